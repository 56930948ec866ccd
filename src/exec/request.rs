//! Asking another runner of ours to stop.

use rustix::process::{Signal, pidfd_send_signal};

use super::procfs::Stat;
use super::sweep::Target;

/// Sends SIGTERM, and SIGCONT in case it was stopped and could not act on it, to a process that is known by its pid and by its start, in clock ticks after boot as in proc(5)
/// `starttime`. `false` where there is no such process any more, or it may not be signalled.
///
/// The caller has seen that it is of this boot and PID namespace. The handle is opened before the process is looked
/// at, so that a pid which is used anew in between gets nothing.
pub fn ask_to_stop(pid: i32, started: u64) -> bool {
    let Some(target) = Target::new(pid) else { return false };
    let Ok(handle) = target.open() else { return false };
    let same = Stat::read(pid).is_some_and(|stat| stat.started == started && !stat.zombie);
    let asked = same && pidfd_send_signal(&handle, Signal::TERM).is_ok();
    if asked {
        // Refused only where the one before was.
        pidfd_send_signal(&handle, Signal::CONT).ok();
    }
    asked
}
