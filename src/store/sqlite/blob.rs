//! Large artifacts: files under their hash, on the disk before the commit that names them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::folder;
use crate::domain::id::Digest;
use crate::store::error::StoreError;

/// `blobs/sha256/` of a state folder.
pub(super) struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(super) fn of(dir: &Path) -> Self {
        Self { folder: dir.join("blobs/sha256") }
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        // A digest is 64 hex digits by its type: it cannot lead out of the folder.
        self.folder.join(digest.to_string())
    }

    /// Writes an artifact's bytes and syncs them with their name. A file that is there and has the right bytes stays.
    pub(super) fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(digest);
        match std::fs::read(&path) {
            // Its bytes were synced before it got this name; whether the name was, nobody knows.
            Ok(found) if Digest::of(&found) == *digest => return self.sync(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(folder::failed("read", &path, error)),
        }
        folder::prepare(&self.folder, true)?;
        let failed = |doing| {
            let path = path.clone();
            move |source| folder::failed(doing, &path, source)
        };
        let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder).map_err(failed("make"))?;
        temp.write_all(bytes).map_err(failed("write"))?;
        temp.as_file().sync_all().map_err(failed("sync"))?;
        temp.persist(&path).map_err(|error| folder::failed("rename", &path, error.error))?;
        self.sync()
    }

    /// Makes the names in the folder durable, and those of the folders above, which may be new.
    fn sync(&self) -> Result<(), StoreError> {
        self.folder.ancestors().take(3).try_for_each(folder::sync_folder)
    }

    /// An artifact's bytes; `None` where the file is gone.
    pub(super) fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(folder::failed("read", &path, error)),
        }
    }
}
