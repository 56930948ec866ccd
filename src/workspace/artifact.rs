//! The canonical artifact in the worktree: taken away before a start, published after an end, read back.
//!
//! The store keeps the bytes of every published artifact; the file is a copy for people, and recovery repairs it.
//! So only what orch did *not* publish needs keeping when it is taken away: it goes to the run's `moved` folder.
//! Published files get mode 0666 less the umask, like any file a person's editor makes: they are to be read,
//! committed and reviewed, and nothing is believed for their mode.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::fetch::{Fetched, Ownership, Refusal, Rules, fetch, kind_name};
use super::root::{Root, beneath, stat_at};
use crate::domain::id::{Digest, RelPath};
use crate::domain::verdict::{Unreadable, UnreadableReason};

/// Longest artifact that is read: 1 MiB.
pub const ARTIFACT_BYTES_MAX: u64 = 1024 * 1024;

/// Most of a foreign file that is copied when it cannot be moved to the state folder's file system: 16 MiB.
const COPY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most things of one name that are kept in one folder.
const KEPT_MAX: u32 = 1000;

/// Head of the names of files that are being written; 32 hex digits follow.
const TEMP_HEAD: &str = ".orch-tmp-";

/// Head of the names of folders that were set aside; 32 hex digits, `-` and the name they had follow.
const ASIDE_HEAD: &str = ".orch-aside-";

/// Random digits in either.
const HEX_DIGITS: usize = 32;

/// Something that orch could not do with an artifact's place.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}")]
pub struct ArtifactError {
    /// What was tried.
    what: &'static str,
    /// The place, below the worktree.
    path: String,
    /// Why not.
    source: std::io::Error,
}

impl ArtifactError {
    fn of(what: &'static str, path: &RelPath) -> impl Fn(Errno) -> Self {
        let path = path.to_string();
        move |errno| Self { what, path: path.clone(), source: errno.into() }
    }

    /// Whether something that is no plain file or folder stands at the place or on its way.
    pub fn is_not_a_file(&self) -> bool {
        let kinds = [Errno::LOOP, Errno::XDEV, Errno::NOTDIR, Errno::ISDIR];
        Errno::from_io_error(&self.source).is_some_and(|errno| kinds.contains(&errno))
    }

    /// What to do next.
    pub fn help(&self) -> &'static str {
        match Errno::from_io_error(&self.source) {
            Some(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => {
                "the folders of an artifact must be plain folders in the worktree: remove the link or file on its path"
            }
            Some(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                "a folder stands where the artifact belongs: remove it"
            }
            Some(Errno::NOSYS) => "orch needs openat2(2): Linux 5.6",
            Some(Errno::PERM) => {
                "something protects it: an attribute such as `i` or `a` (look with `lsattr`, take it off with `chattr -i -a`), or \
                 a container that does not allow openat2(2)"
            }
            Some(_) | None => "look at the folder's owner, its mode and the space left",
        }
    }
}

/// What was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Nothing was there.
    Nothing,
    /// The file that orch had published, byte for byte; it was removed, as the store has it.
    Published,
    /// Something else, and where it is now.
    Moved {
        /// What it was, in a word.
        kind: &'static str,
        /// Where it lies.
        to: PathBuf,
    },
    /// A folder on another file system than the state folder: it was set aside under another name beside it.
    SetAside {
        /// The name beside it.
        name: OsString,
    },
}

/// Whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It outlives the death of processes; the store's bytes repair it after a power loss.
    Relaxed,
    /// File and folder are on the disk on return.
    Synced,
}

/// Takes away what stands at an artifact's place, so that nothing old can answer for a new attempt.
///
/// `published` is the hash of what orch last published there, where it did. `moved_dir` is made when something
/// must be kept. Links, FIFOs and folders are moved as what they are; none is opened.
///
/// # Errors
/// [`ArtifactError`]; then the place is as it was, and the attempt must not start.
pub fn take_away(
    root: &Root,
    path: &RelPath,
    published: Option<&Digest>,
    moved_dir: &Path,
) -> Result<Taken, ArtifactError> {
    let failed = ArtifactError::of("take away what stands at", path);
    let (parent, name) = match root.parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Taken::Nothing),
        Err(errno) => return Err(failed(errno)),
    };
    let Some(stat) = stat_at(parent.as_fd(), name).map_err(&failed)? else { return Ok(Taken::Nothing) };
    if let (Some(published), Ok(found)) = (published, fetch_own(root, path, ARTIFACT_BYTES_MAX))
        && Digest::of(&found.bytes) == *published
    {
        rustix::fs::unlinkat(&parent, name, AtFlags::empty()).map_err(&failed)?;
        return Ok(Taken::Published);
    }
    let kind = FileType::from_raw_mode(stat.st_mode);
    move_out(parent.as_fd(), name, kind, moved_dir).map_err(failed)
}

/// Takes away what stands where a folder of an artifact's path belongs and is none: a link, a file. To be called after
/// a producer put it there; what it leads to is not touched.
///
/// # Errors
/// [`ArtifactError`]; then it still stands there.
pub fn clear_way(root: &Root, path: &RelPath, moved_dir: &Path) -> Result<Taken, ArtifactError> {
    let failed = ArtifactError::of("clear the way to", path);
    for (end, _) in path.as_str().match_indices('/') {
        let Some(folder) = path.as_str().get(..end).and_then(|text| RelPath::new(text).ok()) else { continue };
        let (parent, name) = match root.parent(&folder) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(Taken::Nothing),
            Err(errno) => return Err(failed(errno)),
        };
        let Some(stat) = stat_at(parent.as_fd(), name).map_err(&failed)? else { return Ok(Taken::Nothing) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory {
            return move_out(parent.as_fd(), name, kind, moved_dir).map_err(failed);
        }
    }
    Ok(Taken::Nothing)
}

/// Moves a thing to a folder of orch's own, under a name that is free there.
pub(super) fn move_out(parent: BorrowedFd<'_>, name: &OsStr, kind: FileType, to: &Path) -> Result<Taken, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    make_private(to).map_err(errno)?;
    let folder = Root::open(to).map_err(errno)?;
    let free = |try_move: &dyn Fn(&OsStr) -> Result<(), Errno>| {
        for number in 1..=KEPT_MAX {
            let mut kept = OsString::from(format!("{number:03}-"));
            kept.push(name);
            match try_move(&kept) {
                Err(Errno::EXIST) => {}
                Ok(()) => return Ok(kept),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    };
    let moved = |kept: OsString| Taken::Moved { kind: kind_name(kind), to: to.join(kept) };
    match free(&|kept| rustix::fs::renameat_with(parent, name, folder.fd(), kept, RenameFlags::NOREPLACE)) {
        Ok(kept) => return Ok(moved(kept)),
        Err(Errno::XDEV) => {}
        Err(errno) => return Err(errno),
    }
    if kind == FileType::Directory {
        // Copying a tree that somebody else made is no work for a runner; beside it, it answers for nothing.
        let mut aside = OsString::from(format!("{ASIDE_HEAD}{}-", random_hex()?));
        aside.push(name);
        rustix::fs::renameat_with(parent, name, parent, &aside, RenameFlags::NOREPLACE)?;
        return Ok(Taken::SetAside { name: aside });
    }
    let text = match kind {
        FileType::RegularFile => {
            let file = File::from(beneath(parent, name, OFlags::RDONLY | OFlags::NONBLOCK)?);
            let mut bytes = Vec::new();
            file.take(COPY_BYTES_MAX).read_to_end(&mut bytes).map_err(errno)?;
            bytes
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
            [b"symbolic link to ", target.as_bytes(), b"\n"].concat()
        }
        other @ (FileType::Directory
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown) => format!("{}\n", kind_name(other)).into_bytes(),
    };
    let kept = free(&|kept| {
        let file = create(folder.fd(), kept, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(&text).map_err(errno)
    })?;
    rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
    Ok(moved(kept))
}

/// Publishes an artifact: whoever looks sees the old file or the new one, never a part.
///
/// Folders that are missing are made. A file, link or FIFO at the place is replaced; a folder is an error.
///
/// # Errors
/// [`ArtifactError`]; then the place is as it was.
pub fn publish(root: &Root, path: &RelPath, bytes: &[u8], durability: Durability) -> Result<(), ArtifactError> {
    let failed = ArtifactError::of("publish", path);
    let (parent, name) = root.make_parent(path).map_err(&failed)?;
    let temp = OsString::from(format!("{TEMP_HEAD}{}", random_hex().map_err(&failed)?));
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    let mut file = File::from(create(parent.as_fd(), &temp, mode).map_err(&failed)?);
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    failpoint!("artifact.named", error => failed(errno(error)));
    let written = file
        .write_all(bytes)
        .and_then(|()| if durability == Durability::Synced { file.sync_all() } else { Ok(()) })
        .map_err(errno)
        .and_then(|()| rustix::fs::renameat(&parent, &temp, &parent, name));
    if let Err(error) = written {
        // The temporary file may stay behind when even this fails; `sweep` finds it by its name.
        rustix::fs::unlinkat(&parent, &temp, AtFlags::empty()).ok();
        return Err(failed(error));
    }
    match durability {
        Durability::Relaxed => Ok(()),
        Durability::Synced => rustix::fs::fsync(&parent).map_err(failed),
    }
}

/// Reads a published or agent-written artifact, once, bounded by `cap_bytes`.
///
/// # Errors
/// [`Unreadable`] with the precise reason; never a verdict.
pub fn read_back(root: &Root, path: &RelPath, cap_bytes: u64) -> Result<Vec<u8>, Unreadable> {
    fetch_own(root, path, cap_bytes).map(|found| found.bytes).map_err(|refusal| {
        let reason = match refusal {
            Refusal::Missing => UnreadableReason::Missing,
            Refusal::Link | Refusal::NotAFolder | Refusal::Kind(_) | Refusal::Names(_) | Refusal::Foreign(_) => {
                UnreadableReason::NotAFile
            }
            Refusal::TooLarge { .. } => UnreadableReason::TooLarge,
            Refusal::Restless | Refusal::Os(_) => UnreadableReason::Unopenable,
        };
        Unreadable { reason, line: None, detail: format!("{path}: {refusal}") }
    })
}

/// Removes files that a killed `publish` left beside an artifact, and says how many. Only under the task's lock.
///
/// # Errors
/// [`ArtifactError`] when the folder cannot be listed.
pub fn sweep(root: &Root, path: &RelPath) -> Result<usize, ArtifactError> {
    let failed = ArtifactError::of("sweep beside", path);
    let parent = match root.parent(path) {
        Ok((parent, _)) => parent,
        Err(Errno::NOENT) => return Ok(0),
        Err(errno) => return Err(failed(errno)),
    };
    // A descriptor of its own: reading a folder moves the descriptor's place in it.
    let listed = beneath(parent.as_fd(), OsStr::new("."), OFlags::DIRECTORY).map_err(&failed)?;
    let mut removed = 0;
    for entry in rustix::fs::Dir::read_from(&listed).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name().to_bytes();
        let ours = is_temporary(name);
        let name = OsStr::from_bytes(name);
        let plain = |name| {
            let stat = stat_at(parent.as_fd(), name).ok().flatten();
            stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        };
        if ours && plain(name) && rustix::fs::unlinkat(&parent, name, AtFlags::empty()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a name is that of a file that [`publish`] is writing.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    name.strip_prefix(TEMP_HEAD.as_bytes())
        .is_some_and(|rest| rest.len() == HEX_DIGITS && rest.iter().copied().all(is_hex))
}

/// The name that something had before it was set aside under this one.
pub(super) fn name_before_aside(name: &[u8]) -> Option<&[u8]> {
    let (hex, rest) = name.strip_prefix(ASIDE_HEAD.as_bytes())?.split_at_checked(HEX_DIGITS)?;
    rest.strip_prefix(b"-").filter(|_| hex.iter().copied().all(is_hex))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn fetch_own(root: &Root, path: &RelPath, cap_bytes: u64) -> Result<Fetched, Refusal> {
    fetch(root, path, Rules { cap_bytes, ownership: Ownership::OursAlone })
}

fn create(parent: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, mode)
}

/// Makes a folder of orch's own, and those above it, for this user alone.
pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// 32 random hex digits.
pub(super) fn random_hex() -> Result<String, Errno> {
    let mut bytes = [0_u8; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got == bytes.len() { Ok(uuid::Uuid::from_bytes(bytes).simple().to_string()) } else { Err(Errno::IO) }
}
