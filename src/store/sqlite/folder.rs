//! The state folder and its files: private, local, and still the same ones.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::store::error::{Insecurity, StoreError};

/// Makes the folder where it is wanted, and refuses one that is not private or not local. The path comes back
/// without symbolic links, because `SQLite` follows none of them.
pub(super) fn prepare(folder: &Path, make: bool) -> Result<PathBuf, StoreError> {
    if make {
        let result = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        result.map_err(|source| failed("make", folder, source))?;
    }
    let found = match std::fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Absent { path: folder.join(super::DATABASE) });
        }
        Err(error) => return Err(failed("look at", folder, error)),
    };
    let refuse = |what| Err(StoreError::Insecure { path: folder.to_owned(), what });
    if found.is_symlink() {
        return refuse(Insecurity::Symlink);
    }
    if !found.is_dir() {
        return refuse(Insecurity::Kind("folder"));
    }
    owned_and_closed(folder, &found)?;
    let system = rustix::fs::statfs(folder).map_err(|error| failed("look at", folder, error.into()))?;
    if let Some(kind) = network(u64::try_from(system.f_type).unwrap_or_default()) {
        return Err(StoreError::Network { path: folder.to_owned(), kind });
    }
    std::fs::canonicalize(folder).map_err(|source| failed("look at", folder, source))
}

/// A file of the store as it stands, `None` where there is none; refuses one that others can reach.
pub(super) fn private_file(path: &Path) -> Result<Option<std::fs::Metadata>, StoreError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("look at", path, error)),
    };
    let refuse = |what| Err(StoreError::Insecure { path: path.to_owned(), what });
    if found.is_symlink() {
        return refuse(Insecurity::Symlink);
    }
    if !found.is_file() {
        return refuse(Insecurity::Kind("file"));
    }
    if found.nlink() != 1 {
        return refuse(Insecurity::HardLinks(found.nlink()));
    }
    owned_and_closed(path, &found)?;
    Ok(Some(found))
}

fn owned_and_closed(path: &Path, found: &std::fs::Metadata) -> Result<(), StoreError> {
    let refuse = |what| Err(StoreError::Insecure { path: path.to_owned(), what });
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse(Insecurity::Owner(found.uid()));
    }
    if found.mode() & 0o077 != 0 {
        return refuse(Insecurity::Mode(found.mode() & 0o7777));
    }
    Ok(())
}

/// The name of a network file system by its number in statfs(2). 9p and FUSE are not listed: both carry local
/// folders into containers, and where they cannot share memory `SQLite` refuses them by itself.
const fn network(kind: u64) -> Option<&'static str> {
    match kind {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x564c => Some("NCP"),
        0x00c3_6400 => Some("Ceph"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636f => Some("OCFS2"),
        _ => None,
    }
}

/// A path with something behind its last part, such as `orch.db` and `-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes new names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    std::fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(|source| failed("sync", folder, source))
}

/// How many folders may have been made with a store: its own, and `.local/state/orch` above it.
const MADE_ABOVE_MAX: usize = 5;

/// Makes the name of a file and those of the folders above it durable, as far up as this user may look: what orch
/// made itself it may.
pub(super) fn sync_names_above(file: &Path) -> Result<(), StoreError> {
    for above in file.ancestors().skip(1).take(MADE_ABOVE_MAX) {
        match sync_folder(above) {
            Err(StoreError::ReadOnly { .. }) => break,
            result @ (Ok(()) | Err(_)) => result?,
        }
    }
    Ok(())
}

/// An error of a file, with full disks and read-only ones by their own names.
pub(super) fn failed(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    let path = path.to_owned();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's kinds grow")]
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => StoreError::ReadOnly { path },
        _ => StoreError::Io { doing, path, source },
    }
}

/// Which files a connection works on. `SQLite` itself goes on quietly when one of them is unlinked.
pub(super) struct Identity {
    files: Vec<(PathBuf, u64, u64)>,
}

impl Identity {
    /// Notes the database, its log and its index as they are now.
    pub(super) fn of(database: &Path) -> Result<Self, StoreError> {
        let mut files = Vec::with_capacity(3);
        for path in [database.to_owned(), beside(database, "-wal"), beside(database, "-shm")] {
            let found = private_file(&path)?.ok_or_else(|| StoreError::Replaced { path: path.clone() })?;
            files.push((path, found.dev(), found.ino()));
        }
        Ok(Self { files })
    }

    /// Checks that the names still lead to the same files: what is written there can be found again.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, device, inode) in &self.files {
            let same =
                std::fs::symlink_metadata(path).is_ok_and(|found| found.dev() == *device && found.ino() == *inode);
            if !same {
                return Err(StoreError::Replaced { path: path.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_number() {
        assert_eq!(network(0x6969), Some("NFS"));
        assert_eq!(network(0xff53_4d42), Some("CIFS"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(network(local), None, "{local:x}");
        }
    }
}
