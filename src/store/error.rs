//! What can go wrong in the store, by what went wrong.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::id::TaskName;

use super::change::Version;
use super::record::StoredTask;

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Other writers did not let go in time; nothing was stored.
    #[error("other writers kept the store busy for {} s", waited.as_secs())]
    Busy {
        /// How long it was tried.
        waited: Duration,
    },
    /// The task does not stand where the caller saw it; nothing was stored.
    #[error("task `{task}` {}", superseded(*expected, found.as_deref()))]
    Superseded {
        /// The task.
        task: TaskName,
        /// Where the caller saw it.
        expected: Version,
        /// What stands there now.
        found: Option<Box<StoredTask>>,
    },
    /// The change contradicts itself or what is stored; nothing was stored.
    #[error("a change of task `{task}` was refused: {what}")]
    Refused {
        /// The task.
        task: TaskName,
        /// The contradiction.
        what: String,
    },
    /// Nobody asked for the effect that is to be marked done.
    #[error("no effect `{id}` was asked for")]
    NoEffect {
        /// The effect.
        id: String,
    },
    /// A value has no stored form, such as a path that is not UTF-8; nothing was stored.
    #[error("{row} cannot be written down")]
    Unstorable {
        /// What it belongs to.
        row: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A stored form over its limit; nothing was stored.
    #[error("{row} has {bytes} bytes, over the limit of {limit}")]
    TooLarge {
        /// What it belongs to.
        row: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No run or attempt has an id that begins so.
    #[error("no {kind} has an id that begins with `{prefix}`")]
    NoSuch {
        /// `run` or `attempt`.
        kind: &'static str,
        /// What was asked for.
        prefix: String,
    },
    /// Several ids begin so.
    #[error("`{prefix}` could be {} {kind}s: {}", count(candidates, *more), candidates.join(", "))]
    Ambiguous {
        /// `run` or `attempt`.
        kind: &'static str,
        /// What was asked for.
        prefix: String,
        /// The first ids it could be.
        candidates: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// Stored data contradicts itself.
    #[error("{row} is damaged: {what}")]
    Disagrees {
        /// The row.
        row: String,
        /// What does not agree.
        what: String,
    },
    /// A stored form that a newer orch wrote.
    #[error("{row} has form {found}, and this orch knows forms up to {known}")]
    UnknownForm {
        /// The row.
        row: String,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The database file is damaged.
    #[error("store {path} is damaged: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        what: String,
    },
    /// The database lacks changes that it once had: its log was removed, or an older copy was put in its place.
    #[error("store {path} has {found} events, and it was closed with {known}")]
    Rewound {
        /// The file.
        path: PathBuf,
        /// Position of its last event.
        found: u64,
        /// Position of the last event when it was closed.
        known: u64,
    },
    /// The database is gone and what belongs to it is there.
    #[error("store {path} is missing, and {beside} is there")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What belongs to it.
        beside: PathBuf,
    },
    /// The database has no event, and a run that it must have known has left its records.
    #[error("store {path} has no events, and {beside} is there")]
    Emptied {
        /// The file.
        path: PathBuf,
        /// The records of a run.
        beside: PathBuf,
    },
    /// There is no store, and this caller does not make one.
    #[error("there is no store at {path}")]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The file was removed or replaced while it was in use; what was acknowledged before is in the old file.
    #[error("{path} was removed or replaced while it was in use")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A newer orch wrote the store.
    #[error("store {path} has schema {found}, and this orch knows schemas up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// The file is no store of orch.
    #[error("{path} is not a store of orch: {what}")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// Somebody else could read or write the store.
    #[error("{path} is not private: {what}")]
    Insecure {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: Insecurity,
    },
    /// The folder is on a file system without dependable locks.
    #[error("{path} is on {kind}, a network file system")]
    Network {
        /// The folder.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// The store must be changed by one process alone, and another has it open.
    #[error("another orch has store {path} open")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The engine in this program is too old to be trusted with a write-ahead log.
    #[error("SQLite {found} is older than {needed}")]
    OldEngine {
        /// The engine's version.
        found: &'static str,
        /// The oldest one that is allowed.
        needed: &'static str,
    },
    /// No space on the device, or over a quota; nothing was stored.
    #[error("no space left for store {path}")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error("store {path} is read-only")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write failed in a way that leaves open what is on the disk.
    #[error("store {path} takes no more changes after a failed write")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("could not {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The engine refused in a way that orch does not know: a bug of orch.
    #[error("the store's engine could not {doing}")]
    Engine {
        /// What was tried.
        doing: &'static str,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// What to do next, where there is something.
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Busy { .. } => Some("try again; `orch status` shows who drives which task"),
            Self::Superseded { .. } => Some("somebody else moved the task; look at it with `orch status`"),
            Self::NoSuch { .. } => Some("`orch run list` and `orch run show` list ids"),
            Self::Ambiguous { .. } => Some("give more characters of the id"),
            Self::Disagrees { .. } => {
                Some("keep the folder as it is, name another one with --state-dir, and report how it came to be")
            }
            Self::Corrupt { .. } => Some(
                "keep a copy of the file with its -wal, then restore the newest file of backups/ (docs/reference/store.md)",
            ),
            Self::Rewound { .. } => Some(
                "its -wal was removed or an older copy put in its place; restore it, or, to go on from what is there, remove orch.db.lock",
            ),
            Self::Emptied { .. } => Some(
                "its -wal was removed; restore it, or orch.db from your own backup; to begin anew, move the whole state folder away",
            ),
            Self::Missing { .. } => Some(
                "restore orch.db from backups/ or your own backup; to begin anew, move the whole state folder away",
            ),
            Self::Absent { .. } => Some("`orch pipeline run` makes one; `--state-dir` names another folder"),
            Self::Replaced { .. } => Some(
                "find out who touched the state folder, put back what was there, and run `orch pipeline run` again",
            ),
            Self::Newer { .. } | Self::UnknownForm { .. } => Some("use the newer orch that wrote it"),
            Self::NotOurs { .. } => Some(
                "if it was a store of orch, keep a copy and restore it (docs/reference/store.md); `--state-dir` names another folder",
            ),
            Self::Insecure { what, .. } => Some(what.help()),
            Self::Network { .. } => Some("put the state folder on a local disk with `--state-dir` or ORCH_STATE_DIR"),
            Self::InUse { .. } => Some("stop it, then start again: the schema changes with one process only"),
            Self::DiskFull { .. } => {
                Some("free some space and run it again: what was recorded is kept, and nothing was half stored")
            }
            Self::ReadOnly { .. } => Some("make the state folder writable for this user"),
            Self::Broken { .. } => Some("start again: the store is checked when it is opened"),
            Self::OldEngine { .. } => Some("build orch with its bundled SQLite"),
            Self::TooLarge { .. } | Self::Refused { .. } | Self::NoEffect { .. } | Self::Engine { .. } => {
                Some("this is a bug in orch; please report it with the message")
            }
            Self::Unstorable { .. } => Some("paths of worktrees must be UTF-8"),
            Self::Io { .. } => None,
        }
    }
}

/// Why a file or folder is not private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Insecurity {
    /// Others may read or write it.
    #[error("its mode is {0:04o}")]
    Mode(u32),
    /// It belongs to somebody else.
    #[error("it belongs to user {0}")]
    Owner(u32),
    /// It is a symbolic link.
    #[error("it is a symbolic link")]
    Symlink,
    /// It has a second name.
    #[error("it has {0} hard links")]
    HardLinks(u64),
    /// It is not of the wanted kind.
    #[error("it is not a {0}")]
    Kind(&'static str),
}

impl Insecurity {
    const fn help(self) -> &'static str {
        match self {
            Self::Mode(_) => "`chmod 700` the folder and `chmod 600` the files, and see who used the access",
            Self::Owner(_) => "run orch as the user who owns the state folder",
            Self::Symlink | Self::HardLinks(_) | Self::Kind(_) => {
                "name the real folder with `--state-dir` and put plain files into it"
            }
        }
    }
}

fn superseded(expected: Version, found: Option<&StoredTask>) -> String {
    match found {
        None => format!("is not in the store, and version {expected} was expected"),
        Some(found) => {
            let at = found.task.state.stage().map(|stage| format!(" at `{stage}`")).unwrap_or_default();
            let status = found.task.state.status();
            if expected == Version::NONE {
                format!("is in the store already: {status}{at}, version {}", found.version)
            } else {
                format!("has moved: {status}{at}, version {} where {expected} was expected", found.version)
            }
        }
    }
}

fn count(candidates: &[String], more: bool) -> String {
    format!("{}{}", candidates.len(), if more { " or more" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_fragments_that_name_the_thing() {
        let check = |error: StoreError, expected: &str| assert_eq!(error.to_string(), expected);
        check(
            StoreError::Insecure { path: "/s".into(), what: Insecurity::Mode(0o777) },
            "/s is not private: its mode is 0777",
        );
        check(
            StoreError::Superseded { task: TaskName::new("x").unwrap(), expected: Version::new(3), found: None },
            "task `x` is not in the store, and version 3 was expected",
        );
        check(
            StoreError::Ambiguous {
                kind: "run",
                prefix: "01".to_owned(),
                candidates: vec!["01a".into(), "01b".into()],
                more: true,
            },
            "`01` could be 2 or more runs: 01a, 01b",
        );
    }
}
