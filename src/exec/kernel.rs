//! What the kernel and this process's place in it offer, found out without making or changing anything.

use std::path::PathBuf;

use rustix::fs::{Access, CWD, Mode, OFlags, ResolveFlags, access, openat2};
use rustix::process::{PidfdFlags, child_subreaper, getpid, pidfd_open};

use super::{cgroup, group};

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, for people.
    pub release: String,
    /// Processes can be held by a descriptor (Linux 5.3).
    pub pidfd: bool,
    /// A process can adopt what its children leave behind (Linux 3.4).
    pub subreaper: bool,
    /// Paths can be resolved without following links (Linux 5.6).
    pub openat2: bool,
    /// A cgroup v2 in which this process may make others that can be killed whole (Linux 5.14).
    pub cgroup: Option<PathBuf>,
    /// Version of Landlock, where it is switched on.
    pub landlock: Option<u32>,
}

/// Asks the kernel.
pub fn kernel() -> Kernel {
    let no_links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Kernel {
        release: rustix::system::uname().release().to_string_lossy().into_owned(),
        pidfd: pidfd_open(getpid(), PidfdFlags::empty()).is_ok(),
        subreaper: child_subreaper().is_ok(),
        openat2: openat2(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), no_links).is_ok(),
        cgroup: cgroup::own_cgroup()
            .filter(|folder| access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok())
            // The root of the hierarchy has no `cgroup.kill`, and a new one below it has.
            .filter(|folder| folder.join("cgroup.kill").exists() || !folder.join("cgroup.events").exists()),
        landlock: group::landlock_version(),
    }
}
