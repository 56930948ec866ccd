//! The pipeline file that a run is pinned to: whether it still is what was read.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::domain::id::Digest;
use crate::spec::TEXT_BYTES_MAX;

/// The file a pipeline was read from.
#[derive(Debug)]
pub struct PipelineFile {
    path: PathBuf,
    /// Absolute: as it is named, and with its links resolved.
    whole: [Option<PathBuf>; 2],
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
        let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let named = folder.and_then(|folder| folder.canonicalize().ok()).zip(path.file_name());
        let whole = [named.map(|(folder, name)| folder.join(name)), path.canonicalize().ok()];
        Self { path, whole, digest, seen }
    }

    /// What it is called below a folder, where it is there: by its own name first, then by what a link leads to.
    pub(super) fn below(&self, folder: &Path) -> Vec<String> {
        let below = |whole: &PathBuf| Some(whole.strip_prefix(folder).ok()?.to_string_lossy().into_owned());
        let mut names: Vec<String> = self.whole.iter().flatten().filter_map(below).collect();
        names.dedup();
        names
    }

    /// Whether the file has other bytes now, or is gone; notes nothing.
    pub(super) fn differs(&self) -> bool {
        let now = Shape::of(&self.path);
        (now.is_none() || now != self.seen) && read(&self.path).is_none_or(|bytes| Digest::of(&bytes) != self.digest)
    }

    /// Whether the file has other bytes now, or is gone.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = Shape::of(&self.path);
        if now.is_some() && now == self.seen {
            return false;
        }
        let same = now.is_some() && read(&self.path).is_some_and(|bytes| Digest::of(&bytes) == self.digest);
        if same {
            self.seen = now;
        }
        !same
    }
}

/// Reads a plain file of a lawful size. Whoever put a FIFO or an endless device in its place changed it, and must not
/// make the runner wait.
fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl Shape {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: (found.dev(), found.ino()),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}
