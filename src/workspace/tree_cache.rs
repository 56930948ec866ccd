//! Keeping a snapshot between two runs, so that the next one reads only what changed since.
//!
//! The file is a hint: it lies in the private state folder, ends in the hash of its bytes, and every stamp in it is
//! held against the worktree again by [`Snapshot::take`]. One that is torn, of another version or of another
//! worktree is as good as none.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::content::{Entry, Kind, Stamp};
use super::less::Less;
use super::listing::{HeadTree, Oid, Recorded};
use super::tree::{Inner, Snapshot};
use super::watch::Watch;
use super::worktree::{CommitId, Head, Worktree};
use crate::domain::id::Digest;

/// First bytes of the file; another form needs another head.
const HEAD: &[u8] = b"orch tree cache 2\0";

/// Longest file that is read: 1 GiB.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Keeps a snapshot. Whoever reads sees the old file or the new one; only one may write, under the worktree's lock.
///
/// # Errors
/// What the file system says; nothing is lost but time.
pub fn save(snapshot: &Snapshot, worktree: &Worktree, path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // Not the folders above it: a state folder that was taken away must not come back with nothing but this in it.
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let bytes = encode(snapshot.inner(), worktree);
    // One name is enough under the worktree's lock; what a killed run left goes first.
    let temp = path.with_extension("cache.tmp");
    match std::fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temp)?;
    failpoint!("tree-cache.named", error => error);
    failpoint!("tree-cache.writing", return Ok(()));
    let written = file.write_all(&bytes).and_then(|()| std::fs::rename(&temp, path));
    if written.is_err() {
        std::fs::remove_file(&temp).ok();
    }
    written
}

/// A snapshot that was kept of this worktree; to be given to [`Snapshot::take`] as what is known. `None` where
/// there is none that can be read.
pub fn load(worktree: &Worktree, path: &Path) -> Option<Snapshot> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of(body).as_bytes() != hash {
        return None;
    }
    decode(body.strip_prefix(HEAD)?, worktree).map(Snapshot::from_inner)
}

fn encode(inner: &Inner, worktree: &Worktree) -> Vec<u8> {
    let mut out = Out(HEAD.to_vec());
    out.bytes(worktree.toplevel().as_os_str().as_bytes());
    out.bytes(inner.head.commit.as_str().as_bytes());
    out.bytes(inner.head.branch.as_deref().unwrap_or_default().as_bytes());
    for paths in inner.less.parts() {
        out.list(&paths, |out, path| out.bytes(path));
    }
    out.list(&inner.entries, |out, entry| {
        out.bytes(&entry.path);
        out.0.push(entry.kind.byte());
        out.0.push(u8::from(entry.settled));
        out.0.extend(entry.content.as_bytes());
        out.0.extend(entry.blob);
        out.stamp(&entry.stamp);
    });
    out.list(&inner.absent, |out, path| out.bytes(path));
    out.bytes(inner.head_tree.commit.as_bytes());
    out.list(&inner.head_tree.files, |out, file| {
        out.bytes(&file.path);
        out.0.extend(file.mode.to_le_bytes());
        out.0.extend(file.oid);
    });
    let watch = inner.watch.as_ref();
    out.0.push(u8::from(watch.is_some()));
    if let Some(watch) = watch {
        out.list(&watch.folders, |out, (path, stamp)| {
            out.bytes(path);
            out.stamp(stamp);
        });
        out.list(&watch.names, |out, (path, names)| {
            out.bytes(path);
            out.0.extend(names.as_bytes());
        });
        out.list(&watch.git_files, |out, (path, stamp)| {
            out.bytes(path.as_os_str().as_bytes());
            out.0.push(u8::from(stamp.is_some()));
            out.stamp(&stamp.unwrap_or_default());
        });
    }
    let hash = Digest::of(&out.0);
    out.0.extend(hash.as_bytes());
    out.0
}

fn decode(body: &[u8], worktree: &Worktree) -> Option<Inner> {
    let mut text = In(body);
    if text.bytes()? != worktree.toplevel().as_os_str().as_bytes() {
        return None;
    }
    let commit = CommitId::new(text.text()?).ok()?;
    let branch = Some(text.text()?.to_owned()).filter(|name| !name.is_empty());
    let path = |text: &mut In<'_>| Some(Box::from(text.bytes()?));
    let less = Less::from_parts(text.list(path)?.into_iter().collect(), text.list(path)?.into_iter().collect());
    let entries: Vec<Entry> = text.list(|text| {
        Some(Entry {
            path: text.bytes()?.into(),
            kind: Kind::from_byte(text.byte()?)?,
            settled: text.byte()? == 1,
            content: Digest::from_bytes(text.array()?),
            blob: text.array::<{ size_of::<Oid>() }>()?,
            stamp: text.stamp()?,
        })
    })?;
    let absent = text.list(|text| Some(text.bytes()?.into()))?;
    let tree_commit = text.text()?.to_owned();
    let files = text.list(|text| {
        let path = text.bytes()?.into();
        Some(Recorded { path, mode: u32::from_le_bytes(text.array()?), oid: text.array()? })
    })?;
    let watch = if text.byte()? == 1 {
        let folders = text.list(|text| Some((text.bytes()?.into(), text.stamp()?)))?;
        let names = text.list(|text| Some((text.bytes()?.into(), Digest::from_bytes(text.array()?))))?;
        let git_files = text.list(|text| {
            let path = PathBuf::from(std::ffi::OsString::from_vec(text.bytes()?.to_vec()));
            let (there, stamp) = (text.byte()? == 1, text.stamp()?);
            Some((path, there.then_some(stamp)))
        })?;
        Some(Watch { folders, names, git_files })
    } else {
        None
    };
    let head_tree = HeadTree { commit: tree_commit, files };
    let sorted = entries.is_sorted_by(|a, b| a.path < b.path) && text.0.is_empty();
    sorted.then(|| Inner::from_parts(Head { commit, branch }, less, entries, absent, head_tree, watch))
}

/// Writes: numbers little-endian, texts and lists with their length first.
struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.0.extend((items.len() as u64).to_le_bytes());
        for item in items {
            each(self, item);
        }
    }

    fn stamp(&mut self, stamp: &Stamp) {
        let Stamp { device, inode, mode, size, mtime_ns, ctime_ns } = stamp;
        self.0.extend(device.to_le_bytes());
        self.0.extend(inode.to_le_bytes());
        self.0.extend(mode.to_le_bytes());
        self.0.extend(size.to_le_bytes());
        self.0.extend(mtime_ns.to_le_bytes());
        self.0.extend(ctime_ns.to_le_bytes());
    }
}

/// Reads what [`Out`] wrote; `None` as soon as something does not fit.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // The count is not believed for an allocation: each item takes at least a byte.
        let count = self.length().filter(|count| *count <= self.0.len())?;
        (0..count).map(|_| each(self)).collect()
    }

    fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp {
            device: u64::from_le_bytes(self.array()?),
            inode: u64::from_le_bytes(self.array()?),
            mode: u32::from_le_bytes(self.array()?),
            size: u64::from_le_bytes(self.array()?),
            mtime_ns: i128::from_le_bytes(self.array()?),
            ctime_ns: i128::from_le_bytes(self.array()?),
        })
    }
}
