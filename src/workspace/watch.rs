//! Telling that a tree is unchanged without asking git: by the stamps of everything its listing depends on.
//!
//! The list of files depends on the folders that are not ignored, the index and the ignore files; HEAD's files on
//! its reference. When all of these, and all files, have the stamps they had, and every stamp was old enough then
//! that a later change must show in it, the tree is the same. The ignore files inside the worktree are files of
//! the tree. A folder that holds an artifact or a report changes with each stage: of it the names count, less those that
//! do not belong to the tree, and every file behind them must be as old as a stamp must be. Ignore rules outside the repository (`core.excludesFile`) are not watched: they belong to the user.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use rustix::io::Errno;

use super::content::{Clock, Entry, Kind, Stamp};
use super::less::Less;
use super::listing::Listing;
use super::root::{beneath, stat_at};
use super::worktree::Worktree;
use crate::domain::id::Digest;

/// Most folders that are watched; above, git is asked each time.
const FOLDERS_MAX: usize = 200_000;

/// Stamps of what a listing depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watch {
    /// Folders by their path below the worktree; the worktree's own is empty.
    pub(super) folders: Vec<(Box<[u8]>, Stamp)>,
    /// Folders of which something is left out, and the hash of the other names in them.
    pub(super) names: Vec<(Box<[u8]>, Digest)>,
    /// git's own files, by their absolute path; `None` where none stands.
    pub(super) git_files: Vec<(PathBuf, Option<Stamp>)>,
}

impl Watch {
    /// Notes the stamps after a listing that began at `now`; `None` where one of them proves nothing yet.
    pub(super) fn set(worktree: &Worktree, listing: &Listing, less: &Less, now: &Clock) -> Option<Self> {
        let ignored: HashSet<&[u8]> = listing.ignored.iter().map(AsRef::as_ref).collect();
        let mut folders = Vec::new();
        let mut names = Vec::new();
        let mut ignore_files = Vec::new();
        let mut open: Vec<Box<[u8]>> = vec![Box::default()];
        while let Some(path) = open.pop() {
            let folder = opened(worktree, &path).ok()?;
            let stamp = Stamp::of(&rustix::fs::fstat(&folder).ok()?);
            if folders.len() >= FOLDERS_MAX {
                return None;
            }
            let is_shared = less.is_in(&path);
            let mut others = Vec::new();
            for (name, kind) in entries(&folder).ok()? {
                let inner = if path.is_empty() { name.clone() } else { [&path, &b"/"[..], &name].concat() };
                if less.covers(&inner) {
                    continue;
                }
                // Most of these are files of the tree; one that ignores itself is not.
                if name == b".gitignore" {
                    ignore_files.push(worktree.toplevel().join(OsStr::from_bytes(&inner)));
                }
                let is_folder = kind == FileType::Directory;
                if is_folder && !ignored.contains(inner.as_slice()) {
                    open.push(inner.into());
                } else if is_shared && !is_folder {
                    // A name that was taken away and came back since the listing has a fresh inode or a fresh ctime.
                    let stat = stat_at(folder.as_fd(), OsStr::from_bytes(&name)).ok()??;
                    if !Stamp::of(&stat).is_settled(now) {
                        return None;
                    }
                }
                if is_shared {
                    others.push((name, kind));
                }
            }
            if is_shared {
                names.push((path.clone(), digest_of(others)));
            } else if !stamp.is_settled(now) {
                return None;
            }
            folders.push((path, folder_stamp(stamp, is_shared)));
        }
        let git_files = git_files(worktree, listing.head.branch.as_deref())?.into_iter().chain(ignore_files);
        let git_files: Vec<(PathBuf, Option<Stamp>)> = git_files.map(stamped).collect::<Option<_>>()?;
        let settled = git_files.iter().all(|(_, stamp)| stamp.is_none_or(|stamp| stamp.is_settled(now)));
        settled.then_some(Self { folders, names, git_files })
    }

    /// Whether everything still has its stamp, and its names.
    pub(super) fn is_quiet(&self, worktree: &Worktree, less: &Less, files: &[Entry], absent: &[Box<[u8]>]) -> bool {
        let root = worktree.root().fd();
        let stamp = |path: &[u8]| -> Result<Stamp, Errno> {
            let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
            Ok(Stamp::of(&rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW)?))
        };
        let names = |path: &[u8]| -> Result<Digest, Errno> {
            let inner = |name: &[u8]| if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
            let found = entries(&opened(worktree, path)?)?.into_iter();
            Ok(digest_of(found.filter(|(name, _)| !less.covers(&inner(name))).collect()))
        };
        self.git_files.iter().all(|(path, known)| stamped(path.clone()).is_some_and(|(_, found)| found == *known))
            && self.folders.iter().all(|(path, known)| {
                stamp(path).map(|found| folder_stamp(found, less.is_in(path))).as_ref() == Ok(known)
            })
            && self.names.iter().all(|(path, known)| names(path).as_ref() == Ok(known))
            && files.iter().all(|entry| entry.kind == Kind::Submodule || stamp(&entry.path) == Ok(entry.stamp))
            && absent.iter().all(|path| matches!(stamp(path), Err(Errno::NOENT | Errno::NOTDIR)))
    }
}

/// A folder's size says nothing about its names; where something in it is left out, its times do not either.
fn folder_stamp(stamp: Stamp, is_shared: bool) -> Stamp {
    if is_shared { Stamp { size: 0, mtime_ns: 0, ctime_ns: 0, ..stamp } } else { Stamp { size: 0, ..stamp } }
}

fn opened(worktree: &Worktree, path: &[u8]) -> Result<OwnedFd, Errno> {
    let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    beneath(worktree.root().fd(), name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// What stands in a folder, less git's own.
fn entries(folder: &OwnedFd) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b".." | b".git") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = stat_at(folder.as_fd(), OsStr::from_bytes(name))?.ok_or(Errno::NOENT)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known @ (FileType::Directory
            | FileType::RegularFile
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice) => known,
        };
        found.push((name.to_vec(), kind));
    }
    Ok(found)
}

/// Hash of names, in whatever order the file system gave them, and of which of them are folders.
fn digest_of(found: Vec<(Vec<u8>, FileType)>) -> Digest {
    let mut names: Vec<Vec<u8>> = found
        .into_iter()
        .map(|(mut name, kind)| {
            name.extend((kind == FileType::Directory).then_some(b'/'));
            name
        })
        .collect();
    names.sort_unstable();
    // No name has a NUL in it.
    Digest::of(&names.join(&0))
}

/// git's own files that a listing and HEAD depend on; `None` for a branch whose file cannot be named.
fn git_files(worktree: &Worktree, branch: Option<&str>) -> Option<Vec<PathBuf>> {
    let own = ["index", "HEAD", "config.worktree", "info/sparse-checkout", "reftable/tables.list"];
    let shared = ["packed-refs", "config", "info/exclude", "reftable/tables.list"];
    let mut files: Vec<PathBuf> = own.iter().map(|name| worktree.git_dir().join(name)).collect();
    files.extend(shared.iter().map(|name| worktree.common_dir().join(name)));
    match branch {
        Some(name) if name.contains(char::REPLACEMENT_CHARACTER) => return None,
        Some(name) => files.push(worktree.common_dir().join("refs/heads").join(name)),
        None => {}
    }
    Some(files)
}

fn stamped(path: PathBuf) -> Option<(PathBuf, Option<Stamp>)> {
    match rustix::fs::lstat(&path) {
        Ok(stat) => Some((path, Some(Stamp::of(&stat)))),
        Err(Errno::NOENT | Errno::NOTDIR) => Some((path, None)),
        Err(_) => None,
    }
}
