//! A worktree that belongs to one task: the branch it is on, the commit the task starts from, and which folder it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{Digest, NameError};

/// Name of a branch without `refs/heads/`: narrower than git's own grammar, so that no name can be taken for an option,
/// a revision or another kind of reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

impl BranchName {
    /// Takes a name that keeps the grammar.
    ///
    /// # Errors
    /// [`NameError`] with the grammar in words.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let byte_fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let part_fits = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
                && part.bytes().all(byte_fits)
                && !part.contains("..")
                && !part.ends_with('.')
                && !part.to_ascii_lowercase().ends_with(".lock")
        };
        // What looks like a commit's name would be taken for one.
        let is_commit = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = text.len() <= 200
            && text.split('/').all(part_fits)
            && !is_commit
            && !text.ends_with("HEAD")
            && !text.starts_with("refs/");
        if fits {
            Ok(Self(text))
        } else {
            Err(NameError {
                kind: "branch name",
                found: text.chars().take(80).collect(),
                allowed: "letters, digits, `.`, `-`, `_` and `/`, at most 200, a letter or digit first in each part, \
                          no part with `..` or ending in `.` or `.lock`, and nothing that reads as a commit or as HEAD",
            })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole reference.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BranchName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> Self {
        name.0
    }
}

/// A task's own worktree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Checkout {
    /// The branch it was made on.
    pub branch: BranchName,
    /// The commit that the task's change starts from; 40 or 64 hex digits.
    pub base_commit: String,
    /// Hash of what makes it this worktree and no other; `None` once it was removed.
    pub identity: Option<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_cannot_be_taken_for_anything_else() {
        for good in ["login", "feature/login-2", "a.b/c_d", "0x", "release/1.2"] {
            assert_eq!(BranchName::new(good).unwrap().reference(), format!("refs/heads/{good}"));
        }
        let hex = "a1".repeat(20);
        for bad in [
            "",
            "-a",
            "--upload-pack=touch pwned",
            "@{-1}",
            "a@{u}",
            "a\nb",
            "a b",
            "a..b",
            "a/",
            "/a",
            "a//b",
            "a/.b",
            "a.lock",
            "a/b.LOCK",
            "a.",
            "HEAD",
            "x/HEAD",
            "refs/heads/a",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "é",
            &hex,
            &"x".repeat(201),
            "a\0b",
            "a\u{1b}b",
            "a/-b",
        ] {
            assert!(BranchName::new(bad).is_err(), "{bad:?}");
        }
    }
}
