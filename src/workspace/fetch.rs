//! Reading one file from a folder that is not trusted: bounded, once, and only when it is a plain file.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::root::{Root, beneath};
use crate::domain::id::RelPath;

/// How often a file that changes while it is read is read again.
const RESTLESS_TRIES_MAX: u32 = 3;

/// What a file must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Most bytes.
    pub(super) cap_bytes: u64,
    /// Whether it may be known under another name as well, or belong to another user.
    pub(super) ownership: Ownership,
}

/// Whose file it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Ours, under one name only.
    OursAlone,
    /// Anybody's: a suite in a container may write as another user.
    Anybody,
}

/// A file's bytes and the times of its inode.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) stat: Stat,
}

/// Why there are no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("nothing is there")]
    Missing,
    #[error("a symbolic link is on its path")]
    Link,
    #[error("a part of its path is not a folder")]
    NotAFolder,
    #[error("it is a {0}, not a file")]
    Kind(&'static str),
    #[error("it has {0} names (hard links)")]
    Names(u64),
    #[error("it belongs to user {0}")]
    Foreign(u32),
    #[error("it has more than {cap_bytes} bytes")]
    TooLarge { cap_bytes: u64 },
    #[error("it keeps changing while it is read")]
    Restless,
    #[error("it cannot be read: {}", std::io::Error::from(*.0))]
    Os(Errno),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::LOOP | Errno::XDEV => Self::Link,
            Errno::NOTDIR => Self::NotAFolder,
            errno => Self::Os(errno),
        }
    }
}

/// Reads the file at a path below a folder.
///
/// It is looked at before it is opened for reading, as opening a device may do something, and looked at again
/// afterwards: bytes that another process changed meanwhile are not handed out.
pub(super) fn fetch(root: &Root, path: &RelPath, rules: Rules) -> Result<Fetched, Refusal> {
    let (parent, name) = root.parent(path)?;
    for _ in 0..RESTLESS_TRIES_MAX {
        let seen = rustix::fs::fstat(beneath(parent.as_fd(), name, OFlags::PATH)?)?;
        judge(&seen, rules)?;
        let file = File::from(beneath(parent.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        let before = rustix::fs::fstat(&file)?;
        judge(&before, rules)?;
        let expected = usize::try_from(before.st_size).unwrap_or_default();
        let mut bytes = Vec::with_capacity(expected.saturating_add(1));
        let limit = rules.cap_bytes.saturating_add(1);
        (&file)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Refusal::Os(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        if bytes.len() as u64 > rules.cap_bytes {
            return Err(Refusal::TooLarge { cap_bytes: rules.cap_bytes });
        }
        let after = rustix::fs::fstat(&file)?;
        if same_content(&before, &after) && usize::try_from(after.st_size).is_ok_and(|size| size == bytes.len()) {
            return Ok(Fetched { bytes, stat: after });
        }
    }
    Err(Refusal::Restless)
}

fn judge(stat: &Stat, rules: Rules) -> Result<(), Refusal> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(Refusal::Link),
        other @ (FileType::Directory
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown) => return Err(Refusal::Kind(kind_name(other))),
    }
    if rules.ownership == Ownership::OursAlone {
        let names = stat.st_nlink;
        // No name left is a file that was replaced between the two looks; the bytes are still one file's.
        if names > 1 {
            return Err(Refusal::Names(names));
        }
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Refusal::Foreign(stat.st_uid));
        }
    }
    if u64::try_from(stat.st_size).is_ok_and(|size| size <= rules.cap_bytes) {
        Ok(())
    } else {
        Err(Refusal::TooLarge { cap_bytes: rules.cap_bytes })
    }
}

/// Whether no content can have changed between two looks at one inode.
fn same_content(a: &Stat, b: &Stat) -> bool {
    (a.st_size, a.st_mtime, a.st_mtime_nsec) == (b.st_size, b.st_mtime, b.st_mtime_nsec)
}

/// What people call a kind of file.
pub(super) const fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "folder",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Unknown => "thing of unknown kind",
    }
}
