//! Tier A of killing: a cgroup v2 of the run's own, in which every producer is born.
//!
//! No controller is needed, only a folder in which we may make another. Where there is none, or the kernel refuses to
//! let a child be born there, the walk of [`sweep`](super::sweep) does the work alone.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, statfs};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// Head of the names of our cgroups; a UUID follows.
const PREFIX: &str = "orch-";
/// How deep cgroups that a producer made in ours are looked for when it is removed.
const DEPTH_MAX: u32 = 16;

/// Cgroups for the producers of one run: an outer one that stays, and in it the one that they are born in.
///
/// The inner one is used until it was killed, and then replaced: Linux 6.18 compares the kill count of the cgroup that a
/// child is born in with the one of its parent's, and kills every later child at its birth.
#[derive(Debug)]
pub(super) struct Leaf {
    outer: PathBuf,
    generation: u32,
    folder: OwnedFd,
    killed: Cell<bool>,
}

impl Leaf {
    /// Chooses a place for one below the calling process's own cgroup, to be written down before it is made there;
    /// `None` where there is no cgroup v2.
    pub(super) fn place() -> Option<PathBuf> {
        Some(own_cgroup()?.join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple())))
    }

    /// Makes one; `None` where that cannot be done.
    pub(super) fn make(outer: PathBuf) -> Option<Self> {
        fs::create_dir(&outer).ok()?;
        // `cgroup.kill` is there since Linux 5.14.
        let folder = if outer.join("cgroup.kill").exists() { inner(&outer, 0) } else { None };
        let Some(folder) = folder else {
            remove(&outer);
            return None;
        };
        Some(Self { outer, generation: 0, folder, killed: Cell::new(false) })
    }

    /// The inner one, for a birth inside.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Kills all in it, and all that they are forking just now.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.killed.set(true);
        kill(&self.outer)
    }

    /// Makes it fit for the next birth; `None` where that cannot be done.
    pub(super) fn renewed(self) -> Option<Self> {
        if !self.killed.get() {
            return Some(self);
        }
        let Self { outer, generation, .. } = self;
        // What survived stays in the old one and is removed with the outer one, at the end.
        remove(&outer.join(generation.to_string()));
        let generation = generation.checked_add(1)?;
        let Some(folder) = inner(&outer, generation) else {
            remove(&outer);
            return None;
        };
        Some(Self { outer, generation, folder, killed: Cell::new(false) })
    }

    /// Removes it. Quietly does nothing while something lives in it.
    pub(super) fn remove(self) {
        remove(&self.outer);
    }
}

fn inner(outer: &Path, generation: u32) -> Option<OwnedFd> {
    let path = outer.join(generation.to_string());
    fs::create_dir(&path).ok()?;
    open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Kills all in the cgroup at `path`. A path that is not one of ours is refused: it comes from a file, and whoever
/// changed that file would have us kill a stranger's.
pub(super) fn kill(path: &Path) -> io::Result<()> {
    if !is_ours(path) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    fs::OpenOptions::new().write(true).open(path.join("cgroup.kill"))?.write_all(b"1")
}

/// Whether a path is a cgroup v2 with a name that only [`Leaf::place`] gives.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
    let named = name.is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
    named && !path.is_symlink() && is_cgroup2(path)
}

fn is_cgroup2(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(CGROUP2_MAGIC))
}

/// Whether any process lives in the cgroup at `path` or below.
pub(super) fn is_populated(path: &Path) -> bool {
    fs::read_to_string(path.join("cgroup.events")).is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// Removes the cgroup at `path` and those that a producer made in it.
pub(super) fn remove(path: &Path) {
    fn inner(path: &Path, depth: u32) {
        if depth > 0
            && let Ok(entries) = fs::read_dir(path)
        {
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                inner(&entry.path(), depth - 1);
            }
        }
        // An error means that it is gone, or that something lives there; neither can be helped here.
        fs::remove_dir(path).ok();
    }
    if is_ours(path) || path.parent().is_some_and(is_ours) {
        inner(path, DEPTH_MAX);
    }
}

/// Folder of the cgroup v2 that the calling process is in, on whatever path that hierarchy is mounted: on hybrid
/// machines it is not `/sys/fs/cgroup`.
pub(super) fn own_cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = locate(&own, &mounts)?;
    is_cgroup2(&folder).then_some(folder)
}

/// Finds the folder from `/proc/self/cgroup` and `/proc/self/mountinfo`; forms as in cgroups(7) and proc(5).
fn locate(own: &str, mounts: &str) -> Option<PathBuf> {
    let inside = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        // A cgroup outside what is mounted here starts with `/..`.
        let below = Path::new(inside).strip_prefix(root).ok()?;
        let stays = below.components().all(|part| matches!(part, Component::Normal(_)));
        (stays && !mount.contains('\\')).then(|| Path::new(mount).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_cgroup_of_ours_is_neither_written_to_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join(format!("{PREFIX}{}", uuid::Uuid::nil().simple()));
        fs::create_dir(&named).unwrap();
        for path in [dir.path(), named.as_path(), Path::new("/sys/fs/cgroup"), Path::new("/")] {
            assert!(kill(path).is_err(), "{}", path.display());
            remove(path);
        }
        assert!(named.exists() && !named.join("cgroup.kill").exists());
        // A stranger's cgroup, whatever it is called.
        if let Some(own) = own_cgroup() {
            assert!(!is_ours(&own) && !is_ours(&own.join("orch-mine")));
        }
    }

    #[test]
    fn the_folder_is_found_where_the_hierarchy_is_mounted() {
        let check = |own: &str, mounts: &str, expected: Option<&str>| {
            assert_eq!(locate(own, mounts), expected.map(PathBuf::from), "{own} in {mounts}");
        };
        let unified = "25 1 0:22 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let container = "25 1 0:22 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        check("0::/user.slice/a.scope\n", unified, Some("/sys/fs/cgroup/user.slice/a.scope"));
        check("4:memory:/x\n0::/\n", hybrid, Some("/sys/fs/cgroup/unified"));
        check("0::/docker/abc/sub\n", container, Some("/sys/fs/cgroup/sub"));
        check("0::/elsewhere\n", container, None);
        check("0::/../other\n", unified, None);
        check("4:memory:/x\n", hybrid, None);
        check("0::/\n", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", None);
    }
}
