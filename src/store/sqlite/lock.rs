//! `orch.db.lock`: who has the store open, and how it was left.
//!
//! Every open store holds a shared `flock`, and what must be done alone (make, migrate, check after an unclean
//! stop) is done under an exclusive one. The one line in it says `open`, or `clean` with what the last one out saw.
//! It is neither synced nor on the path of a commit: a line that is missing, torn or from another boot only costs
//! a `quick_check`. `SQLite`'s own locks guard the data; this one guards nothing but the order of these steps.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::folder;
use crate::store::error::StoreError;

/// Length of the line; it is overwritten in place.
const LINE_BYTES: usize = 160;
/// How long one waits for another process that makes or migrates the store.
const WAIT_STEPS: u32 = 1000;
/// Milliseconds between two looks.
const WAIT_STEP_MS: u32 = 10;

/// The open lock file.
pub(super) struct Lock {
    file: File,
}

/// How the store was left by the last one out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// It was closed, in this boot, and the file has not been touched since.
    pub(super) in_order: bool,
    /// Position of the last event that is known to have been in it.
    pub(super) position: Option<u64>,
}

impl Lock {
    /// Opens the lock file of a database, made where there is none.
    pub(super) fn open(database: &Path) -> Result<Self, StoreError> {
        let path = path(database);
        folder::private_file(&path)?;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)
            .map_err(|source| folder::failed("open", &path, source))?;
        Ok(Self { file })
    }

    /// Takes the store for this process alone, where nobody has it open.
    pub(super) fn try_alone(&self, database: &Path) -> Result<bool, StoreError> {
        self.take(database, FlockOperation::NonBlockingLockExclusive)
    }

    /// Shares the store, and waits for one who makes or migrates it.
    pub(super) fn share(&self, database: &Path) -> Result<(), StoreError> {
        for _ in 0..WAIT_STEPS {
            if self.take(database, FlockOperation::NonBlockingLockShared)? {
                return Ok(());
            }
            pause(database)?;
        }
        Err(StoreError::InUse { path: database.to_owned() })
    }

    /// Lets go for a moment, so that one of those who wait can have it alone.
    pub(super) fn release(&self, database: &Path) -> Result<(), StoreError> {
        self.take(database, FlockOperation::Unlock)?;
        pause(database)
    }

    fn take(&self, database: &Path, operation: FlockOperation) -> Result<bool, StoreError> {
        match flock(&self.file, operation) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
            Err(error) => Err(folder::failed("lock", &path(database), error.into())),
        }
    }

    /// Reads how the store was left; only for the one who has it alone.
    pub(super) fn left(&self, database: &Path) -> Left {
        let mut line = [0; LINE_BYTES];
        let read = self.file.read_at(&mut line, 0).unwrap_or_default();
        let text = line.get(..read).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [word, boot, position, shape @ ..] = words.as_slice() else {
            return Left { in_order: false, position: None };
        };
        let untouched = shape_of(database).is_some_and(|now| now.split(' ').eq(shape.iter().copied()));
        Left { in_order: *word == "clean" && *boot == boot_id() && untouched, position: position.parse().ok() }
    }

    /// Says that the store is open, and what is in it.
    pub(super) fn mark_open(&self, database: &Path, position: u64) -> Result<(), StoreError> {
        self.write(&format!("open {} {position}", boot_id()))
            .map_err(|source| folder::failed("write", &path(database), source))
    }

    /// Says how the last one out left the store; nothing where others have it open.
    pub(super) fn mark_clean(&self, database: &Path, position: u64) {
        failpoint!("store.closing", return);
        if self.try_alone(database).unwrap_or(false)
            && let Some(shape) = shape_of(database)
        {
            // Where this cannot be written the line stays `open`, and the next start checks the store.
            drop(self.write(&format!("clean {} {position} {shape}", boot_id())));
        }
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        self.file.write_all_at(format!("{text:<width$}\n", width = LINE_BYTES - 1).as_bytes(), 0)
    }
}

fn path(database: &Path) -> PathBuf {
    folder::beside(database, ".lock")
}

/// What changes when somebody else touches the database file: inode, size, time of its last change.
fn shape_of(database: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(database).ok()?;
    Some(format!("{} {} {}.{}", found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

/// This boot, as the kernel names it; one word.
fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = text.trim();
    if id.is_empty() { "unknown".to_owned() } else { id.to_owned() }
}

/// Waits a step. No descriptor: a wait with a deadline; an early return only means an early look.
fn pause(database: &Path) -> Result<(), StoreError> {
    let step = rustix::time::Timespec { tv_sec: 0, tv_nsec: i64::from(WAIT_STEP_MS) * 1_000_000 };
    match rustix::event::poll(&mut [], Some(&step)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(folder::failed("wait for", &path(database), error.into())),
    }
}
