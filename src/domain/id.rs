//! Names and numbers: newtypes, each with one grammar and one way in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A text that is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {kind}: {allowed}")]
pub struct NameError {
    /// What the text was meant to name.
    pub kind: &'static str,
    /// The text, cut to 80 characters.
    pub found: String,
    /// The grammar in words.
    pub allowed: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $first:expr, $rest:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text that keeps the grammar.
            ///
            /// # Errors
            /// [`NameError`] with the grammar in words.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let first: fn(u8) -> bool = $first;
                let rest: fn(u8) -> bool = $rest;
                let fits = text.len() <= $max
                    && text.bytes().next().is_some_and(first)
                    && text.bytes().skip(1).all(rest);
                if fits {
                    Ok(Self(text))
                } else {
                    Err(NameError { kind: $kind, found: text.chars().take(80).collect(), allowed: $allowed })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

fn lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn lower_digit_dash(byte: u8) -> bool {
    lower_or_digit(byte) || byte == b'-' || byte == b'_'
}

fn alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn alnum_dot_dash(byte: u8) -> bool {
    alnum(byte) || matches!(byte, b'.' | b'-' | b'_')
}

name!(
    /// Name of a stage, unique in its pipeline.
    StageName, "stage name", 64, lower_or_digit, lower_digit_dash,
    "lower-case letters, digits, `-` and `_`, at most 64, a letter or digit first"
);
name!(
    /// Name of a budget that rollbacks are charged to.
    BudgetName, "budget name", 64, lower_or_digit, lower_digit_dash,
    "lower-case letters, digits, `-` and `_`, at most 64, a letter or digit first"
);
name!(
    /// Name of a group of stages in which one task runs at a time.
    SerialGroup, "serial group", 64, lower_or_digit, lower_digit_dash,
    "lower-case letters, digits, `-` and `_`, at most 64, a letter or digit first"
);
name!(
    /// Name of a pipeline.
    PipelineName, "pipeline name", 64, alnum, alnum_dot_dash,
    "letters, digits, `.`, `-` and `_`, at most 64, a letter or digit first"
);
name!(
    /// Name of a task: the piece of work that moves along a pipeline.
    TaskName, "task name", 100, alnum, alnum_dot_dash,
    "letters, digits, `.`, `-` and `_`, at most 100, a letter or digit first"
);
name!(
    /// Prefix of the environment names of a switch, such as `ORCH_TEST_RUNNER`.
    SwitchName, "switch", 64, |b| b.is_ascii_uppercase(), |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_',
    "upper-case letters, digits and `_`, at most 64, a letter first"
);

impl TaskName {
    /// Names a task after a branch: every run of characters outside the grammar becomes one `-`.
    ///
    /// Two branches can share a task name only when they differ in such characters alone.
    pub fn from_branch(branch: &str) -> Option<Self> {
        let mut text = String::new();
        for c in branch.chars() {
            let keep = c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            match (keep, text.ends_with('-')) {
                (true, _) => text.push(c),
                (false, true) => {}
                (false, false) => text.push('-'),
            }
        }
        let text: String = text.trim_matches(|c| matches!(c, '-' | '.' | '_')).chars().take(100).collect();
        Self::new(text).ok()
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Wraps a UUID; version 7 keeps ids in the order of their making.
            pub const fn new(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| NameError {
                    kind: "id",
                    found: text.chars().take(80).collect(),
                    allowed: "a UUID such as 0199f0c4-1111-7abc-8def-0123456789ab",
                })
            }
        }
    };
}

uuid_id!(
    /// One stretch of driving a task.
    RunId
);
uuid_id!(
    /// One launch of a producer.
    AttemptId
);
uuid_id!(
    /// A random word that ties an exit record to the attempt that asked for it; never shown to a producer.
    Nonce
);

/// SHA-256 of some bytes, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes an already computed SHA-256.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError {
            kind: "digest",
            found: text.chars().take(80).collect(),
            allowed: "64 lower-case hex digits",
        };
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(index * 2..index * 2 + 2).ok_or_else(error)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A path below a folder: relative, UTF-8, no empty, `.` or `..` part, never inside `.git`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

impl RelPath {
    /// Takes a path that cannot leave the folder it is joined to (symlinks are refused where it is opened).
    ///
    /// # Errors
    /// [`NameError`] for an absolute path, `..`, `.git`, control characters, or more than 512 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let part_fits = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.eq_ignore_ascii_case(".git") && part.len() <= 255
        };
        let fits = !text.is_empty()
            && text.len() <= 512
            && !text.chars().any(|c| c.is_control() || c == '\\')
            && text.split('/').all(part_fits);
        if fits {
            Ok(Self(text))
        } else {
            Err(NameError {
                kind: "path inside the worktree",
                found: text.chars().take(80).collect(),
                allowed: "relative, without `.`, `..`, `.git`, `\\`, empty parts or control characters, at most 512 bytes",
            })
        }
    }

    /// The path as text, parts joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RelPath {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_grammar() {
        for good in ["testing", "deploy-staging", "a", "0x", "a_b"] {
            assert!(StageName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "../../x", "--force", "a\nb", "Testing", "é", "a\u{1b}b", &"x".repeat(65)] {
            assert!(StageName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_task_is_named_after_its_branch() {
        let check = |branch, expected: Option<&str>| {
            assert_eq!(TaskName::from_branch(branch).as_ref().map(TaskName::as_str), expected, "{branch}");
        };
        check("main", Some("main"));
        check("feature/login page", Some("feature-login-page"));
        check("--upload-pack=x", Some("upload-pack-x"));
        check("//", None);
    }

    #[test]
    fn paths_cannot_leave_their_folder() {
        for good in ["a", "docs/x.md", "docs/work-items/t/13-test-report.md", "..a/b"] {
            assert!(RelPath::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/etc/x",
            "a/../../b",
            "a//b",
            "a/",
            "./a",
            ".git/hooks/x",
            ".GIT/config",
            "x\0y",
            "a\\b",
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_reads_back_what_it_shows() {
        let digest = Digest::of(b"orch");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert!("zz".parse::<Digest>().is_err());
        assert!("É".repeat(32).parse::<Digest>().is_err());
    }
}
