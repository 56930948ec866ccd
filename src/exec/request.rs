//! Asking another runner of ours to stop.

use rustix::process::{Signal, pidfd_send_signal};

use super::procfs::Stat;
use super::sweep::Target;

/// Sends SIGTERM, and SIGCONT in case it is stopped, to a process that is known by its pid and by its start, in clock ticks after boot as in proc(5)
/// `starttime`. `false` where there is no such process any more, or it may not be signalled.
///
/// The caller has seen that it is of this boot and PID namespace. The handle is opened before the process is looked
/// at, so that a pid which is used anew in between gets nothing.
pub fn ask_to_stop(pid: i32, started: u64) -> bool {
    let Some(target) = Target::new(pid) else { return false };
    let Ok(handle) = target.open() else { return false };
    let same = Stat::read(pid).is_some_and(|stat| stat.started == started && !stat.zombie);
    // Asked while it is stopped it would hear nothing.
    same && pidfd_send_signal(&handle, Signal::TERM).is_ok() && pidfd_send_signal(&handle, Signal::CONT).is_ok()
}
