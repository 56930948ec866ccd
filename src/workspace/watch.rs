//! Telling that a tree is unchanged without asking git: by the stamps of everything its listing depends on.
//!
//! The list of files depends on the folders that are not ignored, the index and the ignore files; HEAD's files on
//! its reference. When all of these, and all files, have the stamps they had, and every stamp was old enough then
//! that a later change must show in it, the tree is the same. The ignore files inside the worktree are files of
//! the tree. Ignore rules outside the repository (`core.excludesFile`) are not watched: they belong to the user.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use rustix::io::Errno;

use super::content::{Clock, Entry, Kind, Stamp};
use super::listing::Listing;
use super::root::{beneath, stat_at};
use super::tree::Less;
use super::worktree::Worktree;

/// Most folders that are watched; above, git is asked each time.
const FOLDERS_MAX: usize = 200_000;

/// Stamps of what a listing depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watch {
    /// Folders by their path below the worktree; the worktree's own is empty.
    pub(super) folders: Vec<(Box<[u8]>, Stamp)>,
    /// git's own files, by their absolute path; `None` where none stands.
    pub(super) git_files: Vec<(PathBuf, Option<Stamp>)>,
}

impl Watch {
    /// Notes the stamps after a listing that began at `now`; `None` where one of them proves nothing yet.
    pub(super) fn set(worktree: &Worktree, listing: &Listing, less: &Less, now: &Clock) -> Option<Self> {
        let ignored: HashSet<&[u8]> = listing.ignored.iter().map(AsRef::as_ref).collect();
        let mut folders = Vec::new();
        let mut ignore_files = Vec::new();
        let mut open: Vec<Box<[u8]>> = vec![Box::default()];
        while let Some(path) = open.pop() {
            let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(&path) };
            let folder = beneath(worktree.root().fd(), name, OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
            let stamp = folder_stamp(Stamp::of(&rustix::fs::fstat(&folder).ok()?));
            if !stamp.is_settled(now) || folders.len() >= FOLDERS_MAX {
                return None;
            }
            for entry in Dir::read_from(&folder).ok()? {
                let entry = entry.ok()?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b".." | b".git") {
                    continue;
                }
                // Most of these are files of the tree; one that ignores itself is not.
                if name == b".gitignore" {
                    ignore_files.push(worktree.toplevel().join(OsStr::from_bytes(&path)).join(".gitignore"));
                }
                let is_folder = match entry.file_type() {
                    FileType::Directory => true,
                    FileType::Unknown => {
                        let stat = stat_at(folder.as_fd(), OsStr::from_bytes(name)).ok()??;
                        FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                    }
                    FileType::RegularFile
                    | FileType::Symlink
                    | FileType::Fifo
                    | FileType::Socket
                    | FileType::CharacterDevice
                    | FileType::BlockDevice => false,
                };
                let inner = if path.is_empty() { name.to_vec() } else { [&path, &b"/"[..], name].concat() };
                if is_folder && !ignored.contains(inner.as_slice()) && !less.covers(&inner) {
                    open.push(inner.into());
                }
            }
            folders.push((path, stamp));
        }
        let git_files = git_files(worktree, listing.head.branch.as_deref())?.into_iter().chain(ignore_files);
        let git_files: Vec<(PathBuf, Option<Stamp>)> = git_files.map(stamped).collect::<Option<_>>()?;
        let settled = git_files.iter().all(|(_, stamp)| stamp.is_none_or(|stamp| stamp.is_settled(now)));
        settled.then_some(Self { folders, git_files })
    }

    /// Whether everything still has its stamp.
    pub(super) fn is_quiet(&self, worktree: &Worktree, entries: &[Entry], absent: &[Box<[u8]>]) -> bool {
        let root = worktree.root().fd();
        let stamp = |path: &[u8]| -> Result<Stamp, Errno> {
            let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
            Ok(Stamp::of(&rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW)?))
        };
        self.git_files.iter().all(|(path, known)| stamped(path.clone()).is_some_and(|(_, found)| found == *known))
            && self.folders.iter().all(|(path, known)| stamp(path).map(folder_stamp) == Ok(*known))
            && entries.iter().all(|entry| entry.kind == Kind::Submodule || stamp(&entry.path) == Ok(entry.stamp))
            && absent.iter().all(|path| matches!(stamp(path), Err(Errno::NOENT | Errno::NOTDIR)))
    }
}

/// A folder's size says nothing about its names.
fn folder_stamp(stamp: Stamp) -> Stamp {
    Stamp { size: 0, ..stamp }
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
