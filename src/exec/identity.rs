//! Who a supervisor is, written down for those who come after it.
//!
//! A pid with its start time is not unique (RELIABILITY §1.2), so this file proves nothing. Life is proven by the lock
//! that the kernel drops at death; what stands here says where to look and what must not be touched.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::pidfd::own_pidfd;
use super::record::{RecordError, form_of, open_plain};

/// File with the [`Identity`] of the run's latest supervisor.
const IDENTITY_FILE: &str = "supervisor.json";
/// Version of it that is written.
const FORM: u32 = 2;
/// Most bytes of it that are read.
const BYTES_MAX: u64 = 64 * 1024;
/// Locked as long as a supervisor of the run lives. Never removed: a new file of the same name would be a second lock.
pub const LOCK_FILE: &str = "supervisor.lock";

/// The boot during which something was seen; differs after every start of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// The boot we are in.
    ///
    /// # Errors
    /// `/proc/sys/kernel/random/boot_id` cannot be read.
    pub fn current() -> io::Result<Self> {
        Ok(Self::from_text(&fs::read_to_string("/proc/sys/kernel/random/boot_id")?))
    }

    /// A boot id that was kept as text.
    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a supervisor writes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Identity {
    /// Version of this form: 2. Form 1 had no `pidfd` and is still read.
    pub(super) version: u32,
    /// The boot it lives in.
    pub(super) boot: BootId,
    /// Inode of its pid namespace; in another one its pid means nothing.
    pub(super) pid_namespace: u64,
    /// Its pid there.
    pub(super) pid: i32,
    /// Its start in clock ticks after boot, as in proc(5) `starttime`.
    pub(super) started: u64,
    /// Inode of its pidfd, which no other process of this boot has (Linux 6.9).
    #[serde(default)]
    pub(super) pidfd: Option<u64>,
    /// Its cgroup for producers, where it could make one.
    pub(super) leaf: Option<PathBuf>,
}

impl Identity {
    /// The calling process.
    pub(super) fn own(leaf: Option<PathBuf>) -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Self {
            version: FORM,
            boot: BootId::current()?,
            pid_namespace: own_pid_namespace()?,
            pid,
            started: super::procfs::Stat::read(pid).map_or(0, |stat| stat.started),
            pidfd: own_pidfd(),
            leaf,
        })
    }

    /// Reads the run's; `None` where there is none, or none that can be read.
    pub(super) fn read(run_dir: &Path) -> Option<Self> {
        let text = text(&run_dir.join(IDENTITY_FILE)).ok()?;
        serde_json::from_slice(&text).ok().filter(|identity: &Self| (1..=FORM).contains(&identity.version))
    }

    /// Refuses a run whose supervisor wrote a form that this orch does not know.
    pub(super) fn refuse_newer(run_dir: &Path) -> Result<(), RecordError> {
        let path = run_dir.join(IDENTITY_FILE);
        let found = text(&path).ok().and_then(|text| form_of(&text)).filter(|found| *found > FORM);
        found.map_or(Ok(()), |found| Err(RecordError::Newer { path, found, known: FORM }))
    }

    /// Replaces the run's, so that a reader sees the old or the new one.
    pub(super) fn write(&self, run_dir: &Path) -> io::Result<()> {
        let fresh = run_dir.join("supervisor.json.new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        failpoint!("supervisor.naming", error => error);
        serde_json::to_writer(&mut file, self)?;
        fs::rename(fresh, run_dir.join(IDENTITY_FILE))
    }

    /// Whether its pid can be looked up from here and now.
    pub(super) fn is_within_reach(&self) -> bool {
        BootId::current().is_ok_and(|boot| boot == self.boot)
            && own_pid_namespace().is_ok_and(|inode| inode == self.pid_namespace)
    }
}

fn text(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    open_plain(path)?.take(BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn own_pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// What a try at the lock gives.
#[derive(Debug)]
pub(super) enum Hold {
    /// It is ours until the file is dropped.
    Ours(File),
    /// A supervisor lives.
    Taken,
}

/// Tries the run's lock without waiting.
pub(super) fn try_lock(run_dir: &Path) -> io::Result<Hold> {
    let path = run_dir.join(LOCK_FILE);
    loop {
        let file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Hold::Taken),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        // Somebody may have removed the file between the two calls; then this lock guards nothing.
        match fs::metadata(&path) {
            Ok(there) if there.ino() == file.metadata()?.ino() => return Ok(Hold::Ours(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As orch 0.1 wrote it.
    const FORM_1: &str = include_str!("supervisor.v1.sample.json");

    #[test]
    fn the_older_form_is_read_and_a_newer_one_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        assert!(Identity::refuse_newer(dir.path()).is_ok(), "none at all");
        fs::write(&path, FORM_1).unwrap();
        let older = Identity::read(dir.path()).unwrap();
        assert_eq!((older.version, older.pid, older.started, older.pidfd), (1, 4242, 987_654, None));
        assert!(Identity::refuse_newer(dir.path()).is_ok());
        let own = Identity::own(None).unwrap();
        own.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()), Some(own));
        fs::write(&path, r#"{"version":3,"told":"otherwise"}"#).unwrap();
        assert_eq!(Identity::read(dir.path()), None);
        let refused = Identity::refuse_newer(dir.path()).unwrap_err();
        assert!(matches!(refused, RecordError::Newer { found: 3, known: 2, .. }), "{refused:?}");
    }
}
