//! What a look found.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// A run can start; a person may want to know.
    Warn,
    /// A run could not start, or not do its work.
    Fail,
}

impl Status {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, such as `git`.
    pub area: &'static str,
    /// How it is.
    pub status: Status,
    /// What was seen, and where.
    pub seen: String,
    /// What to do, where there is something to do.
    pub help: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn ok(area: &'static str, seen: impl Into<String>) -> Self {
        Self { area, status: Status::Ok, seen: seen.into(), help: None }
    }

    /// Something a person may want to know, with what to do.
    pub fn warn(area: &'static str, seen: impl Into<String>, help: impl Into<String>) -> Self {
        Self { area, status: Status::Warn, seen: seen.into(), help: Some(help.into()) }
    }

    /// Something that keeps a run from starting, with what to do.
    pub fn fail(area: &'static str, seen: impl Into<String>, help: impl Into<String>) -> Self {
        Self { area, status: Status::Fail, seen: seen.into(), help: Some(help.into()) }
    }
}
