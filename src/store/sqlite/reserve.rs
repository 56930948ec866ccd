//! The reserve: space beside the database that is given up when the disk is full, so that what runs can still be
//! recorded.
//!
//! It is a file with nothing in it. It is shared by every process that has the store open; whoever meets the full disk
//! first has it, and the next run makes it again where there is room.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use super::folder;
use crate::store::error::StoreError;

/// Bytes of a block as stat(2) counts them.
const STAT_BLOCK_BYTES: u64 = 512;
/// Written at a time where the file system cannot reserve.
static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];

/// The reserve of a database.
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn of(database: &Path) -> Self {
        Self { path: folder::beside(database, ".reserve") }
    }

    fn open(&self, make: bool) -> Result<Option<File>, StoreError> {
        if folder::private_file(&self.path)?.is_none() && !make {
            return Ok(None);
        }
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = OpenOptions::new()
            .write(true)
            .create(make)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(&self.path);
        opened.map(Some).map_err(|source| folder::failed("open", &self.path, source))
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> u64 {
        std::fs::symlink_metadata(&self.path)
            .map_or(0, |found| found.len().min(found.blocks().saturating_mul(STAT_BLOCK_BYTES)))
    }

    /// Makes it hold so much. `false`, and it holds nothing, where there is no room for it.
    pub(super) fn keep(&self, bytes: u64) -> Result<bool, StoreError> {
        if self.bytes() == bytes {
            return Ok(true);
        }
        let failed = |source| folder::failed("reserve space in", &self.path, source);
        match self.open(bytes > 0).and_then(|file| match file {
            Some(file) => file.set_len(0).and_then(|()| fill(&file, bytes)).map_err(failed),
            None => Ok(()),
        }) {
            Ok(()) => Ok(true),
            Err(StoreError::DiskFull { .. }) => {
                self.give_up();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives its space back. Whether there was any.
    pub(super) fn give_up(&self) -> bool {
        let held = self.bytes() > 0;
        // Where it cannot be cut, the write that it was for fails as it would have without it.
        matches!(self.open(false), Ok(Some(file)) if file.set_len(0).is_ok()) && held
    }
}

/// Gives an empty file so many bytes of the disk.
fn fill(file: &File, bytes: u64) -> std::io::Result<()> {
    match if bytes == 0 { Ok(()) } else { fallocate(file, FallocateFlags::empty(), 0, bytes) } {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        result => return result.map_err(Into::into),
    }
    let mut at = 0;
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(CHUNK.len());
        let chunk = CHUNK.get(..left).unwrap_or(&CHUNK);
        file.write_all_at(chunk, at)?;
        at += u64::try_from(chunk.len()).expect("a chunk's length fits 64 bits");
    }
    // Blocks that were only promised are no reserve.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_changed_given_up_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(&dir.path().join("orch.db"));
        assert_eq!((reserve.bytes(), reserve.give_up()), (0, false));
        for bytes in [1 << 20, 1 << 16, 1 << 20] {
            assert!(reserve.keep(bytes).unwrap());
            assert_eq!(reserve.bytes(), bytes);
        }
        assert!(reserve.give_up());
        assert_eq!((reserve.bytes(), reserve.give_up()), (0, false));
        assert!(reserve.keep(1 << 16).unwrap() && reserve.keep(0).unwrap());
        assert_eq!(reserve.bytes(), 0);
    }
}
