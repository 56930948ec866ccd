//! Tier A of killing: a cgroup v2 of the run's own, in which every producer is born.
//!
//! No controller is needed, only a folder in which we may make another. Where there is none, or the kernel refuses to
//! let a child be born there, the walk of [`sweep`](super::sweep) does the work alone.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, statfs};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// How deep cgroups that a producer made in ours are looked for when it is removed.
const DEPTH_MAX: u32 = 16;

/// A cgroup for the producers of one run.
#[derive(Debug)]
pub(super) struct Leaf {
    path: PathBuf,
    folder: OwnedFd,
}

impl Leaf {
    /// Makes one below the calling process's own cgroup; `None` where that cannot be done.
    pub(super) fn make() -> Option<Self> {
        let path = own_cgroup()?.join(format!("orch-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).ok()?;
        let folder = open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok();
        match folder {
            // `cgroup.kill` is there since Linux 5.14.
            Some(folder) if path.join("cgroup.kill").exists() => Some(Self { path, folder }),
            Some(_) | None => {
                remove(&path);
                None
            }
        }
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its folder, for a birth inside.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Kills all in it, and all that they are forking just now.
    pub(super) fn kill(&self) -> io::Result<()> {
        kill(&self.path)
    }

    /// Removes it. Quietly does nothing while something lives in it.
    pub(super) fn remove(self) {
        remove(&self.path);
    }
}

/// Kills all in the cgroup at `path`.
pub(super) fn kill(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.kill"), "1")
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
    inner(path, DEPTH_MAX);
}

/// Folder of the cgroup v2 that the calling process is in, on whatever path that hierarchy is mounted: on hybrid
/// machines it is not `/sys/fs/cgroup`.
fn own_cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = locate(&own, &mounts)?;
    let is_cgroup2 = statfs(&folder).is_ok_and(|found| u64::try_from(found.f_type) == Ok(CGROUP2_MAGIC));
    is_cgroup2.then_some(folder)
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
