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

/// File with the [`Identity`] of the run's latest supervisor.
const IDENTITY_FILE: &str = "supervisor.json";
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
    /// Version of this form: 1.
    pub(super) version: u32,
    /// The boot it lives in.
    pub(super) boot: BootId,
    /// Inode of its pid namespace; in another one its pid means nothing.
    pub(super) pid_namespace: u64,
    /// Its pid there.
    pub(super) pid: i32,
    /// Its start in clock ticks after boot, as in proc(5) `starttime`.
    pub(super) started: u64,
    /// Its cgroup for producers, where it could make one.
    pub(super) leaf: Option<PathBuf>,
}

impl Identity {
    /// The calling process.
    pub(super) fn own(leaf: Option<PathBuf>) -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Self {
            version: 1,
            boot: BootId::current()?,
            pid_namespace: own_pid_namespace()?,
            pid,
            started: super::procfs::Stat::read(pid).map_or(0, |stat| stat.started),
            leaf,
        })
    }

    /// Reads the run's; `None` where there is none, or none that can be read.
    pub(super) fn read(run_dir: &Path) -> Option<Self> {
        let text = fs::read(run_dir.join(IDENTITY_FILE)).ok()?;
        serde_json::from_slice(&text).ok().filter(|identity: &Self| identity.version == 1)
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
