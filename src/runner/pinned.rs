//! The pipeline file that a run is pinned to: whether it still is what was read.

use std::path::PathBuf;

use crate::domain::id::Digest;

/// The file a pipeline was read from.
#[derive(Debug)]
pub struct PipelineFile {
    path: PathBuf,
    digest: Digest,
    seen: Option<Shape>,
}

/// What tells a changed file without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    inode: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl PipelineFile {
    /// Notes what was read.
    pub fn read(path: PathBuf, digest: Digest) -> Self {
        let seen = Shape::of(&path);
        Self { path, digest, seen }
    }

    /// Whether the file has other bytes now, or is gone.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = Shape::of(&self.path);
        if now.is_some() && now == self.seen {
            return false;
        }
        let same = std::fs::read(&self.path).is_ok_and(|bytes| Digest::of(&bytes) == self.digest);
        if same {
            self.seen = now;
        }
        !same
    }
}

impl Shape {
    fn of(path: &std::path::Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: (found.dev(), found.ino()),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}
