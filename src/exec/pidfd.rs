//! The one name of a process that never comes again within a boot: the inode of its pidfd.
//!
//! Pid and start, in ticks of 10 ms, came again together in 200 of 300 forced reuses (RELIABILITY §1.2); the inode never.
//! Before Linux 6.9 every pidfd has the same inode: then the comparison tells nothing, and refuses nobody.

use std::os::fd::AsFd;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::procfs::Stat;
use super::sweep::Target;

/// The inode behind a handle.
pub(super) fn inode(handle: impl AsFd) -> Option<u64> {
    rustix::fs::fstat(handle).ok().map(|found| found.st_ino)
}

/// The inode of the calling process's own pidfd, to be written down beside its pid.
pub fn own_pidfd() -> Option<u64> {
    inode(pidfd_open(getpid(), PidfdFlags::empty()).ok()?)
}

/// Whether a process that was written down as this pid, start and pidfd inode is there, under exactly that name.
///
/// The handle is opened before the process is looked at. `None` for the inode is an older form that had none.
pub(super) fn open_same(pid: i32, started: u64, noted: Option<u64>) -> Option<(Target, std::os::fd::OwnedFd)> {
    let target = Target::new(pid)?;
    let handle = target.open().ok()?;
    let stat = Stat::read(pid)?;
    let same = stat.started == started && !stat.zombie && noted.is_none_or(|noted| inode(&handle) == Some(noted));
    same.then_some((target, handle))
}

/// Whether the process that has this pid now is another than the one whose pidfd inode was noted. `false` where that
/// cannot be seen.
pub fn is_another(pid: i32, noted: u64) -> bool {
    let opened = Target::new(pid).and_then(|target| target.open().ok());
    opened.and_then(inode).is_some_and(|found| found != noted)
}
