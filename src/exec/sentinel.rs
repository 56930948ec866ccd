//! `<attempt>.spawn.error`: a start that failed, told by a file that is there before anything else is recorded.
//!
//! Written by whoever sees the failure, the supervisor or the runner, beside the run's exit records. The exit record
//! `spawn-failed` says the same; the file is what a look finds while that record is still on its way to the store,
//! or when nobody lives who would bring it there.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::domain::evidence::{SpawnFailure, SpawnStep};
use crate::domain::id::{AttemptId, Nonce};

use super::record::{RecordError, Trace, open_plain, trace};
use super::spawn::cut;

/// End of the file's name; the attempt's id stands in front.
const SUFFIX: &str = ".spawn.error";
/// Most sentinels of a run that are read.
const READ_MAX: usize = 100;
/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sentinel {
    /// Version of this form: 1.
    pub version: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// What was tried.
    pub step: SpawnStep,
    /// Error number, as in errno(3), where a system call failed.
    pub errno: Option<i32>,
    /// The program, folder or file it was about.
    pub subject: String,
    /// The command by name, without its arguments.
    pub command: String,
    /// Wall clock, for people.
    pub at: Timestamp,
}

impl Sentinel {
    /// What is left for an attempt that could not be started.
    pub(super) fn of(attempt: AttemptId, command: &str, failure: &SpawnFailure, at: Timestamp) -> Self {
        let SpawnFailure { step, errno, subject } = failure.clone();
        Self { version: 1, attempt, step, errno, subject, command: cut(command), at }
    }

    /// What happened, in words.
    pub fn in_words(&self) -> String {
        let why = self.errno.map(|errno| format!(": {}", io::Error::from_raw_os_error(errno))).unwrap_or_default();
        let step = self.step.as_str();
        let about = if self.subject == self.command { String::new() } else { format!(" `{}`", self.subject) };
        format!("`{}` could not be started, step {step}{about}{why}", self.command)
    }
}

/// A start failed, and the file that says so could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {path}, which says that {what}", path = path.display())]
pub struct SentinelError {
    /// The file.
    pub path: PathBuf,
    /// What it would have said.
    pub what: String,
    /// Why not.
    pub source: io::Error,
}

/// Leaves a sentinel, whole or not at all. One that stands there already is kept: the first to see it was nearest.
pub(super) fn leave(run_dir: &Path, sentinel: &Sentinel) -> Result<(), SentinelError> {
    let path = run_dir.join(format!("{}{SUFFIX}", sentinel.attempt));
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    write(run_dir, &path, sentinel).map_err(|source| SentinelError { path, what: sentinel.in_words(), source })
}

fn write(run_dir: &Path, path: &Path, sentinel: &Sentinel) -> io::Result<()> {
    let bytes = serde_json::to_vec(sentinel)?;
    // Supervisor and runner may both write: each under a name of its own.
    let fresh = run_dir.join(format!(".{}{SUFFIX}.{}", sentinel.attempt, std::process::id()));
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).expect("an open flag fits a C int");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(&fresh)?;
    failpoint!("sentinel.named", error => error);
    let written = file.write_all(&bytes).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        fs::remove_file(&fresh).ok();
    }
    written
}

/// The sentinels of a run, oldest attempt first. One that cannot be read is none: the exit record speaks for it.
pub fn sentinels(run_dir: &Path) -> Vec<Sentinel> {
    let entries = fs::read_dir(run_dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(SUFFIX) && !name.starts_with('.'));
    names.sort_unstable();
    names.iter().take(READ_MAX).filter_map(|name| read(&run_dir.join(name), name)).collect()
}

fn read(path: &Path, name: &str) -> Option<Sentinel> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    open_plain(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let sentinel: Sentinel = serde_json::from_slice(&bytes).ok()?;
    (sentinel.version == 1 && *name == format!("{}{SUFFIX}", sentinel.attempt)).then_some(sentinel)
}

/// Whether a supervisor has recorded anything of an attempt.
///
/// # Errors
/// The run's exit records cannot be read.
pub fn was_launched(run_dir: &Path, attempt: AttemptId, nonce: Nonce) -> Result<bool, RecordError> {
    Ok(match trace(run_dir, attempt, nonce)? {
        Trace::Nothing => false,
        Trace::Open { .. } | Trace::Ended(_) | Trace::Bad => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinel(number: u128) -> Sentinel {
        let failure = SpawnFailure { step: SpawnStep::Find, errno: Some(2), subject: "docker".to_owned() };
        Sentinel::of(AttemptId::new(uuid::Uuid::from_u128(number)), "docker", &failure, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_left_is_found_and_the_first_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sentinels(dir.path()).is_empty());
        leave(dir.path(), &sentinel(2)).unwrap();
        leave(dir.path(), &sentinel(1)).unwrap();
        leave(dir.path(), &Sentinel { subject: "later".to_owned(), ..sentinel(2) }).unwrap();
        assert_eq!(sentinels(dir.path()), [sentinel(1), sentinel(2)]);
        assert_eq!(
            sentinel(1).in_words(),
            "`docker` could not be started, step find: No such file or directory (os error 2)"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn what_is_no_sentinel_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let name = |number: u128| format!("{}{SUFFIX}", uuid::Uuid::from_u128(number));
        fs::write(dir.path().join(name(1)), "{").unwrap();
        fs::write(dir.path().join(name(2)), serde_json::to_vec(&sentinel(3)).unwrap()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(name(4))).unwrap();
        fs::create_dir(dir.path().join(name(5))).unwrap();
        assert!(sentinels(dir.path()).is_empty());
    }

    #[test]
    fn a_sentinel_that_cannot_be_written_says_what_it_would_have_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = leave(&dir.path().join("gone"), &sentinel(1)).unwrap_err();
        assert!(error.to_string().contains("`docker` could not be started"), "{error}");
    }
}
