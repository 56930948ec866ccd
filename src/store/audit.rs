//! What a check of the whole store found.

use std::fmt;

/// The result of [`Store::verify`](super::Store::verify): what was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Tasks whose chain and row were checked.
    pub tasks: u64,
    /// Runs that were derived from events and compared.
    pub runs: u64,
    /// Attempts that were derived from events and compared.
    pub attempts: u64,
    /// Events whose hash was computed again.
    pub events: u64,
    /// Artifacts whose hash was computed again.
    pub artifacts: u64,
    /// Pipelines whose hash was computed again.
    pub pipelines: u64,
    /// Effects not marked done; not wrong by itself.
    pub effects_pending: u64,
    /// What is wrong, at most [`Audit::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings over that limit.
    pub findings_dropped: u64,
}

impl Audit {
    /// Most findings that are kept.
    pub const MAX_FINDINGS: usize = 1000;

    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(&mut self, row: impl Into<String>, what: impl Into<String>) {
        if self.findings.len() < Self::MAX_FINDINGS {
            self.findings.push(Finding { row: row.into(), what: what.into() });
        } else {
            self.findings_dropped = self.findings_dropped.saturating_add(1);
        }
    }
}

/// Something wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The row, such as ``event 7 of task `x` ``.
    pub row: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.row, self.what)
    }
}
