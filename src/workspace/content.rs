//! What one path of a tree is: its kind and the hash of its content, read without following anything.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{FileType, Mode, OFlags, Stat, Timespec};
use rustix::io::Errno;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::listing::Oid;
use super::root::{Root, beneath, stat_at};
use crate::domain::id::Digest;

/// Bytes read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// How often a file that changes while it is read is read again.
const RESTLESS_TRIES_MAX: u32 = 3;

/// How much older than the look a change must be, so that a later one surely has another time: file systems
/// take their time from a clock that ticks every 1 to 10 ms.
const SETTLED_NS: i128 = 50_000_000;

/// The same for file systems that count whole seconds, or two.
const SETTLED_COARSE_NS: i128 = 2_100_000_000;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Executable,
    Link,
    Submodule,
    /// A FIFO, socket or device in the place of a file.
    Special,
}

impl Kind {
    /// The byte of hashes and of the cache.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::File => b'f',
            Self::Executable => b'x',
            Self::Link => b'l',
            Self::Submodule => b's',
            Self::Special => b'?',
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'f' => Some(Self::File),
            b'x' => Some(Self::Executable),
            b'l' => Some(Self::Link),
            b's' => Some(Self::Submodule),
            b'?' => Some(Self::Special),
            _ => None,
        }
    }

    /// Its mode in a commit's tree; `None` for what cannot be committed.
    pub(super) const fn git_mode(self) -> Option<u32> {
        match self {
            Self::File => Some(0o100_644),
            Self::Executable => Some(0o100_755),
            Self::Link => Some(0o120_000),
            Self::Submodule => Some(0o160_000),
            Self::Special => None,
        }
    }
}

/// What stat(2) shows of an inode that changes whenever its content or place could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime_ns: i128,
    pub(super) ctime_ns: i128,
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let time = |seconds: i64, nanos: u64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime_ns: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether a change after `now` would surely show in the stamp.
    pub(super) fn is_settled(&self, now: &Clock) -> bool {
        let age = now.ns - self.ctime_ns;
        let whole_seconds = self.ctime_ns % 1_000_000_000 == 0;
        now.local && age > if whole_seconds { SETTLED_COARSE_NS } else { SETTLED_NS }
    }
}

/// The file system's clock at the beginning of a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    ns: i128,
    /// Stamps of another machine's clock settle nothing.
    local: bool,
}

impl Clock {
    pub(super) fn read(local: bool) -> Self {
        let Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Self { ns: i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec), local }
    }
}

/// A path's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Box<[u8]>,
    pub(super) kind: Kind,
    pub(super) content: Digest,
    /// Its name as a git object, from its bytes as they are; all zero where it has none.
    pub(super) blob: Oid,
    pub(super) stamp: Stamp,
    pub(super) settled: bool,
}

/// Reads paths below a folder; paths in order keep their folder open.
pub(super) struct Reader<'a> {
    root: &'a Root,
    now: Clock,
    sha256_names: bool,
    folder: Option<OpenFolder>,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// `sha256_names` is true for repositories whose objects have SHA-256 names.
    pub(super) fn new(root: &'a Root, now: Clock, sha256_names: bool) -> Self {
        Self { root, now, sha256_names, folder: None, buffer: vec![0; BUFFER_BYTES] }
    }

    /// What stands at a path; `None` where no file, link or special file does. `known` is what stood there at an
    /// earlier look: its hash is taken over when the stamp proves it.
    pub(super) fn look(&mut self, path: &[u8], known: Option<&Entry>) -> Result<Option<Entry>, Errno> {
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
            None => (&[][..], path),
        };
        if self.folder.as_ref().is_none_or(|(open, _)| **open != *folder) {
            let opened = if folder.is_empty() {
                beneath(self.root.fd(), OsStr::new("."), OFlags::DIRECTORY)
            } else {
                beneath(self.root.fd(), OsStr::from_bytes(folder), OFlags::DIRECTORY)
            };
            self.folder = Some((folder.into(), opened));
        }
        let parent = match &self.folder {
            Some((_, Ok(parent))) => parent,
            Some((_, Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))) | None => return Ok(None),
            Some((_, Err(errno))) => return Err(*errno),
        };
        let name = OsStr::from_bytes(name);
        let Some(stat) = stat_at(parent.as_fd(), name)? else { return Ok(None) };
        let stamp = Stamp::of(&stat);
        if let Some(known) = known.filter(|known| known.settled && known.stamp == stamp) {
            return Ok(Some(known.clone()));
        }
        let (kind, stamp, content, blob) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Ok(None),
            FileType::RegularFile => match hash_file(parent.as_fd(), name, &mut self.buffer, self.sha256_names) {
                Ok(Some(hashed)) => hashed,
                Ok(None) | Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(errno),
            },
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                let hashes = Hashes::of(&target, self.sha256_names);
                (Kind::Link, stamp, hashes.0, hashes.1)
            }
            other @ (FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown) => {
                let name = super::fetch::kind_name(other);
                (Kind::Special, stamp, Digest::of(name.as_bytes()), Oid::default())
            }
        };
        let settled = stamp.is_settled(&self.now);
        Ok(Some(Entry { path: path.into(), kind, content, blob, stamp, settled }))
    }
}

/// A folder by its path, and it or why it cannot be opened.
type OpenFolder = (Box<[u8]>, Result<OwnedFd, Errno>);

type Hashed = (Kind, Stamp, Digest, Oid);

/// Hashes a file; `None` when it is no plain file any more. A file that never rests gets the hash of what was read
/// last and no object name: whatever it is compared with, it differs.
fn hash_file(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    buffer: &mut [u8],
    sha256_names: bool,
) -> Result<Option<Hashed>, Errno> {
    let mut last = None;
    for _ in 0..RESTLESS_TRIES_MAX {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let mut file = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let stamp = Stamp::of(&stat);
        let kind = if stat.st_mode & 0o100 == 0 { Kind::File } else { Kind::Executable };
        let mut hashes = Hashes::new(stamp.size, sha256_names);
        let mut got = 0_u64;
        // One byte more than the size is asked for, so that a file that grows is noticed and not followed.
        while got <= stamp.size {
            let count = match file.read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            };
            if count == 0 {
                break;
            }
            hashes.update(buffer.get(..count).unwrap_or_default());
            got += count as u64;
        }
        let (content, blob) = hashes.finish();
        let rested = got == stamp.size && Stamp::of(&rustix::fs::fstat(&file)?) == stamp;
        if rested {
            return Ok(Some((kind, stamp, content, blob)));
        }
        // A stamp that no later look can equal.
        last = Some((kind, Stamp { ctime_ns: i128::MAX, ..stamp }, content, Oid::default()));
    }
    Ok(last)
}

/// The name of a git object that has these bytes.
pub(super) fn blob_name(bytes: &[u8], sha256_names: bool) -> Oid {
    Hashes::of(bytes, sha256_names).1
}

/// Both hashes of one pass over some bytes.
struct Hashes {
    content: Sha256,
    blob: Blob,
}

enum Blob {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hashes {
    fn new(size: u64, sha256_names: bool) -> Self {
        let head = format!("blob {size}\0");
        let blob = if sha256_names {
            Blob::Sha256(Sha256::new_with_prefix(head))
        } else {
            Blob::Sha1(Sha1::new_with_prefix(head))
        };
        Self { content: Sha256::new(), blob }
    }

    fn of(bytes: &[u8], sha256_names: bool) -> (Digest, Oid) {
        let mut hashes = Self::new(bytes.len() as u64, sha256_names);
        hashes.update(bytes);
        hashes.finish()
    }

    fn update(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
        match &mut self.blob {
            Blob::Sha1(hasher) => hasher.update(bytes),
            Blob::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> (Digest, Oid) {
        let mut oid = Oid::default();
        match self.blob {
            Blob::Sha1(hasher) => oid.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from),
            Blob::Sha256(hasher) => oid = hasher.finalize().into(),
        }
        (Digest::from_bytes(self.content.finalize().into()), oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_git_names_them() {
        let hex =
            |oid: Oid, bytes: usize| Digest::from_bytes(oid).to_string().chars().take(bytes * 2).collect::<String>();
        // `printf 'a\n' | git hash-object --stdin`, and the same in a repository with SHA-256 names.
        assert_eq!(hex(Hashes::of(b"a\n", false).1, 20), "78981922613b2afb6025042ff6bd878ac1994e85");
        let named = hex(Hashes::of(b"", true).1, 32);
        assert_eq!(named, "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813");
        assert_eq!(Hashes::of(b"orch", false).0, Digest::of(b"orch"));
    }

    #[test]
    fn a_fresh_stamp_proves_nothing() {
        let now = Clock { ns: 10_000_000_001, local: true };
        let stamp = |ctime_ns| Stamp { ctime_ns, ..Stamp::default() };
        let check =
            |ctime_ns, now: &Clock, expected| assert_eq!(stamp(ctime_ns).is_settled(now), expected, "{ctime_ns}");
        check(9_900_000_001, &now, true);
        check(9_990_000_001, &now, false);
        check(11_000_000_001, &now, false);
        check(9_000_000_000, &now, false);
        check(7_000_000_000, &now, true);
        check(i128::MAX, &now, false);
        check(1, &Clock { local: false, ..now }, false);
    }
}
