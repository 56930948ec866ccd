//! A folder whose inside is not trusted: whoever works there may put a link where a folder was.
//!
//! The folder is opened once; every path below it is resolved by the kernel from that descriptor, with
//! `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS` of openat2(2) (Linux 5.6). A link that is
//! swapped in between two steps makes the step fail; it cannot lead it elsewhere.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::domain::id::RelPath;

/// How often a resolution that raced with a rename somewhere is tried again (`EAGAIN` of openat2(2)).
const RACED_TRIES_MAX: u32 = 64;

/// Mode of folders made for people; the umask takes its part.
const FOLDER_MODE: Mode = Mode::from_bits_retain(0o777);

/// A folder, held open, below which nothing is followed.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens a folder. The path *to* it may have links in it: it comes from the user, not from a producer.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let dir = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// The folder's path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// What stands at a path below; `None` where nothing does.
    pub(super) fn stat(&self, path: &RelPath) -> Result<Option<Stat>, Errno> {
        match self.parent(path) {
            Ok((parent, name)) => stat_at(parent.as_fd(), name),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the folder that holds a path, and gives the path's last part.
    pub(super) fn parent<'p>(&self, path: &'p RelPath) -> Result<(OwnedFd, &'p OsStr), Errno> {
        match path.as_str().rsplit_once('/') {
            Some((parent, name)) => Ok((beneath(self.fd(), OsStr::new(parent), OFlags::DIRECTORY)?, OsStr::new(name))),
            None => Ok((self.dir.try_clone().map_err(|_| Errno::MFILE)?, OsStr::new(path.as_str()))),
        }
    }

    /// Like [`Root::parent`], and makes the folders that are missing, one step at a time.
    pub(super) fn make_parent<'p>(&self, path: &'p RelPath) -> Result<(OwnedFd, &'p OsStr), Errno> {
        match self.parent(path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let mut folder = self.dir.try_clone().map_err(|_| Errno::MFILE)?;
        let mut parts = path.as_str().split('/').peekable();
        while let Some(part) = parts.next() {
            let part = OsStr::new(part);
            if parts.peek().is_none() {
                return Ok((folder, part));
            }
            match rustix::fs::mkdirat(&folder, part, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            folder = beneath(folder.as_fd(), part, OFlags::DIRECTORY)?;
        }
        Err(Errno::INVAL)
    }
}

/// Opens a path below a folder under the three rules of the module.
pub(super) fn beneath(dir: BorrowedFd<'_>, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RACED_TRIES_MAX {
        match rustix::fs::openat2(dir, path.as_bytes(), flags, Mode::empty(), rules) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return answer,
        }
    }
    Err(Errno::AGAIN)
}

/// What stands under a name in a folder; `None` where nothing does. The name has no `/`.
pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_below_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::create_dir(scratch.path().join("plain")).unwrap();
        symlink(outside.path(), scratch.path().join("out")).unwrap();
        symlink("plain", scratch.path().join("in")).unwrap();
        let root = Root::open(scratch.path()).unwrap();
        let check = |path: &str, expected: Result<(), Errno>| {
            assert_eq!(beneath(root.fd(), OsStr::new(path), OFlags::RDONLY).map(drop), expected, "{path}");
        };
        check("plain", Ok(()));
        check("out", Err(Errno::LOOP));
        check("out/secret", Err(Errno::LOOP));
        check("in", Err(Errno::LOOP));
        check("../x", Err(Errno::XDEV));
        check("nothing", Err(Errno::NOENT));
        let below = |path: &str| RelPath::new(path).unwrap();
        assert_eq!(root.make_parent(&below("out/a/b")).map(drop), Err(Errno::LOOP));
        assert_eq!(root.make_parent(&below("new/deep/b")).map(drop), Ok(()));
        assert!(scratch.path().join("new/deep").is_dir());
        assert!(!outside.path().join("a").exists());
    }
}
