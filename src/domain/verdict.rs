//! What a gate says of an artifact.

use serde::{Deserialize, Serialize};

/// A gate's answer to a readable artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The artifact says pass.
    Pass,
    /// The artifact says fail.
    Fail,
}

impl Verdict {
    /// The word of documents.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

/// An artifact that gives no verdict. Never a fail: nobody is sent to repair code for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Unreadable {
    /// Stable id of the cause.
    pub reason: UnreadableReason,
    /// Line in the artifact, from 1, where one can be named.
    pub line: Option<u32>,
    /// What stands there and what was wanted, in one line.
    pub detail: String,
}

/// Why an artifact gives no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnreadableReason {
    /// No file.
    Missing,
    /// The file is older than the attempt.
    Stale,
    /// Symlink, hard link, FIFO, folder, or outside the worktree.
    NotAFile,
    /// The file could not be opened or read.
    Unopenable,
    /// Over the size limit.
    TooLarge,
    /// Not UTF-8, a NUL byte, a BOM, or a forbidden control character.
    NotText,
    /// No front matter at the first byte.
    NoFrontMatter,
    /// The front matter has no closing line, or is too long.
    Unclosed,
    /// A line outside the strict grammar.
    BadLine,
    /// A key twice.
    DuplicateKey,
    /// A key that looks like the verdict key or a companion and is not it.
    LookalikeKey,
    /// The verdict key is absent.
    NoKey,
    /// A value outside the closed set.
    UnknownValue,
    /// Companion keys disagree.
    Contradiction,
    /// A second block right after the first.
    SecondBlock,
    /// The strict grammar and the YAML reader disagree.
    Ambiguous,
    /// Leaked tool-call tags, conflict markers, sections without text: nobody finished this.
    Unfinished,
    /// The stored hash is another.
    HashMismatch,
    /// The stamp belongs to another run, attempt or tree.
    StampMismatch,
    /// The agent changed files outside its write scope, or whether it did cannot be told.
    OutOfScope,
    /// The agent changed the repository's shared configuration or its hooks.
    RepositoryChanged,
    /// The worktree's git is broken since: no verdict can be bound to its tree.
    RepositoryDamaged,
    /// The agent stopped at a limit of its own, or gave up: what it left is not finished.
    AgentStopped,
    /// A secret stands in it.
    HoldsSecret,
}

impl UnreadableReason {
    /// Every reason.
    pub const ALL: [Self; 24] = [
        Self::Missing,
        Self::Stale,
        Self::NotAFile,
        Self::Unopenable,
        Self::TooLarge,
        Self::NotText,
        Self::NoFrontMatter,
        Self::Unclosed,
        Self::BadLine,
        Self::DuplicateKey,
        Self::LookalikeKey,
        Self::NoKey,
        Self::UnknownValue,
        Self::Contradiction,
        Self::SecondBlock,
        Self::Ambiguous,
        Self::Unfinished,
        Self::HashMismatch,
        Self::StampMismatch,
        Self::OutOfScope,
        Self::RepositoryChanged,
        Self::RepositoryDamaged,
        Self::AgentStopped,
        Self::HoldsSecret,
    ];

    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::NotAFile => "not-a-file",
            Self::Unopenable => "unopenable",
            Self::TooLarge => "too-large",
            Self::NotText => "not-text",
            Self::NoFrontMatter => "no-front-matter",
            Self::Unclosed => "unclosed",
            Self::BadLine => "bad-line",
            Self::DuplicateKey => "duplicate-key",
            Self::LookalikeKey => "lookalike-key",
            Self::NoKey => "no-key",
            Self::UnknownValue => "unknown-value",
            Self::Contradiction => "contradiction",
            Self::SecondBlock => "second-block",
            Self::Ambiguous => "ambiguous",
            Self::Unfinished => "unfinished",
            Self::HashMismatch => "hash-mismatch",
            Self::StampMismatch => "stamp-mismatch",
            Self::OutOfScope => "out-of-scope",
            Self::RepositoryChanged => "repository-changed",
            Self::RepositoryDamaged => "repository-damaged",
            Self::AgentStopped => "agent-stopped",
            Self::HoldsSecret => "holds-secret",
        }
    }
}
