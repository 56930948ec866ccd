//! `locks/<task>.log`: who took a lock over, and who undid one by hand.
//!
//! A file beside the lock, and no event of the task: whoever unlocks is not the task's owner and may write nothing to its
//! chain, and a lock can be left before its task has its first event. It decides nothing and is never read by orch.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use jiff::Timestamp;
use serde::Serialize;

use super::holder::Holder;
use super::state_dir::StateDir;
use crate::domain::id::TaskName;

/// Above this size, in bytes, the file is set aside as `<task>.log.old` and a new one begun.
const LOG_BYTES_MAX: u64 = 256 * 1024;

/// What was done to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Its holder had died, and another runner took it.
    TakenOver,
    /// The card of a dead holder was cleared by hand.
    Cleared,
    /// Its living holder was asked to stop, and did.
    Stopped,
    /// It was taken from a holder that could not be asked.
    Seized,
}

impl Deed {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TakenOver => "taken-over",
            Self::Cleared => "cleared",
            Self::Stopped => "stopped",
            Self::Seized => "seized",
        }
    }
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// What was done.
    pub deed: Deed,
    /// The person who did it, by name.
    pub person: &'a str,
    /// The process that did it.
    pub by: &'a Holder,
    /// Who had it before.
    pub from: &'a Holder,
    /// Why, in the person's words.
    pub why: Option<&'a str>,
}

/// Adds a line.
///
/// # Errors
/// What the kernel says of the file; the lock does not depend on it.
pub fn note(state: &StateDir, task: &TaskName, entry: &Entry<'_>) -> std::io::Result<()> {
    let path = state.locks_dir().join(format!("{task}.log"));
    if std::fs::symlink_metadata(&path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        std::fs::rename(&path, path.with_extension("log.old"))?;
    }
    let mut line = serde_json::to_vec(&serde_json::json!({ "version": 1, "entry": entry }))?;
    line.push(b'\n');
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags).open(path)?.write_all(&line)
}
