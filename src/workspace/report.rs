//! Report files that a suite writes and orch reads: removed before the start, read after the end.
//!
//! Unlike an artifact a report may belong to another user: suites run in containers. It counts only when both of
//! its times lie after the start: a copy that a build cache restored with its old time shows that the suite did
//! not run, not that it passed.

use std::os::fd::AsFd as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::fetch::{Ownership, Refusal, Rules, fetch, kind_name};
use super::root::{Root, stat_at};
use crate::domain::id::RelPath;

/// Longest report that is read: 64 MiB.
pub const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much older than the start a new file may look: file systems round their times, to 2 s at the worst.
const ROUNDING: Duration = Duration::from_secs(2);

/// A report after the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// Nothing is there.
    Missing,
    /// It is older than the attempt.
    Stale,
    /// It cannot be read; why, in one line.
    Broken(String),
}

/// A report's place that could not be cleared; the attempt must not start.
#[derive(Debug, thiserror::Error)]
#[error("clear the report's place {path}: {why}")]
pub struct ClearError {
    path: String,
    why: String,
}

impl ClearError {
    /// What to do next.
    pub const fn help(&self) -> &'static str {
        "name a plain file in plain folders below the worktree, and remove what stands there now"
    }
}

/// Removes an old report, so that only a new one can answer. A link at the place is removed, never followed; a
/// folder, or a link on the way, is an error. Says whether something was there.
///
/// # Errors
/// [`ClearError`] with the reason.
pub fn clear_report(root: &Root, path: &RelPath) -> Result<bool, ClearError> {
    let failed = |refusal: Refusal| ClearError { path: path.to_string(), why: refusal.to_string() };
    let (parent, name) = match root.parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(failed(errno.into())),
    };
    let Some(stat) = stat_at(parent.as_fd(), name).map_err(|errno| failed(errno.into()))? else { return Ok(false) };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Err(failed(Refusal::Kind(kind_name(FileType::Directory)))),
        FileType::RegularFile
        | FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => {}
    }
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Reads a report that was written since `started_at` (wall clock), bounded by `cap_bytes`.
pub fn read_report(root: &Root, path: &RelPath, started_at: Timestamp, cap_bytes: u64) -> Report {
    match fetch(root, path, Rules { cap_bytes, ownership: Ownership::Anybody }) {
        Ok(found) if is_older(&found.stat, started_at) => Report::Stale,
        Ok(found) => Report::Bytes(found.bytes),
        Err(Refusal::Missing) => Report::Missing,
        Err(refusal) => Report::Broken(refusal.to_string()),
    }
}

/// Whether a file stands at a path, without reading it: the premature-exit file of googletest and its like.
///
/// # Errors
/// Why it cannot be told, in one line.
pub fn stands(root: &Root, path: &RelPath) -> Result<bool, String> {
    root.stat(path).map(|found| found.is_some()).map_err(|errno| Refusal::from(errno).to_string())
}

fn is_older(stat: &Stat, started_at: Timestamp) -> bool {
    let rounding = SignedDuration::try_from(ROUNDING).unwrap_or(SignedDuration::ZERO);
    let since = started_at.checked_sub(rounding).unwrap_or(started_at);
    // jiff counts the nanoseconds of a time before 1970 downward, stat(2) upward; such a file is old in any case.
    let time = |seconds: i64, nanos: u64| Timestamp::new(seconds, i32::try_from(nanos).unwrap_or_default()).ok();
    let newer = |seconds: i64, nanos: u64| seconds >= 0 && time(seconds, nanos).is_some_and(|time| time >= since);
    !newer(stat.st_mtime, stat.st_mtime_nsec) || !newer(stat.st_ctime, stat.st_ctime_nsec)
}
