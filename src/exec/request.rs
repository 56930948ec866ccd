//! Asking another runner of ours to stop.

use rustix::process::{Signal, pidfd_send_signal};

use super::pidfd::open_same;

/// Sends SIGTERM, and SIGCONT in case it is stopped, to a process that is known by its pid, by its start in clock ticks
/// after boot as in proc(5) `starttime`, and by the inode of its pidfd where that was noted. `false` where there is no
/// such process any more, or it may not be signalled.
///
/// The caller has seen that it is of this boot and PID namespace. The handle is opened before the process is looked
/// at, so that a pid which is used anew in between gets nothing.
pub fn ask_to_stop(pid: i32, started: u64, pidfd: Option<u64>) -> bool {
    let Some((_, handle)) = open_same(pid, started, pidfd) else { return false };
    // Asked while it is stopped it would hear nothing.
    pidfd_send_signal(&handle, Signal::TERM).is_ok() && pidfd_send_signal(&handle, Signal::CONT).is_ok()
}
