//! Finding and signalling the processes of an attempt.
//!
//! Signals go through a pidfd that was opened before the process was looked at: a pid that is used anew in between
//! gets nothing, because the pidfd belongs to the dead one.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};

use crate::domain::evidence::Leaked;
use crate::domain::id::AttemptId;

use super::{cgroup, clock, procfs};

/// Name of the variable that marks every process of an attempt.
pub const MARK: &str = "ORCH_ATTEMPT";

/// Most processes that are named in a record; more are killed all the same.
const NAMED_MAX: usize = 128;
/// How long processes may take to disappear after SIGKILL. Only the kernel's own work is left then.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two rounds of killing.
pub(super) const ROUND: Duration = Duration::from_millis(5);

/// A pid that may be signalled: never 0, never 1, never negative, never our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target(Pid);

impl Target {
    /// Takes a pid.
    pub(super) fn new(raw: i32) -> Option<Self> {
        if raw <= 1 {
            return None;
        }
        Pid::from_raw(raw).filter(|pid| *pid != getpid()).map(Self)
    }

    /// Opens a handle on whatever has this number now.
    pub(super) fn open(self) -> rustix::io::Result<OwnedFd> {
        pidfd_open(self.0, PidfdFlags::empty())
    }

    /// The number.
    pub(super) fn pid(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Signals the group that a child, not reaped yet, leads; the child alone where it has left that group.
    pub(super) fn signal_group_of_unreaped_child(self, signal: Signal) {
        if kill_process_group(self.0, signal).is_err() {
            kill_process(self.0, signal).ok();
        }
    }

    /// Signals a child that was not reaped yet and the group it leads, which it may not have made yet.
    pub(super) fn signal_unreaped_child(self, signal: Signal) {
        // ESRCH: it has not come to making its group, or has ended. EPERM: it runs as somebody else; what is left of
        // it is named in the record.
        kill_process_group(self.0, signal).ok();
        kill_process(self.0, signal).ok();
    }
}

/// A living process that was found.
#[derive(Debug)]
pub(super) struct Process {
    target: Target,
    handle: OwnedFd,
    group: i32,
    name: String,
}

impl Process {
    /// Signals it, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        // ESRCH: it is gone. EPERM: it runs as somebody else and will be named as a survivor.
        pidfd_send_signal(&self.handle, signal).ok();
    }

    /// Whether it has not ended.
    fn lives(&self) -> bool {
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut fds, Some(&clock::wait_until(Some(Duration::ZERO), Duration::ZERO))).is_ok_and(|ready| ready == 0)
    }

    /// Its pid.
    pub(super) const fn target(&self) -> Target {
        self.target
    }

    /// Its process group.
    pub(super) const fn group(&self) -> i32 {
        self.group
    }
}

/// What a record says of processes.
pub(super) fn named(processes: &[Process]) -> Vec<Leaked> {
    processes
        .iter()
        .take(NAMED_MAX)
        .map(|process| Leaked { pid: process.target.pid(), name: process.name.clone() })
        .collect()
}

/// The living descendants of the calling process, parents before children.
///
/// A tree that changes meanwhile may hide some; whoever wants it empty asks again.
pub(super) fn descendants() -> Vec<Process> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in procfs::pids() {
        if let Some(stat) = procfs::Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found: Vec<Process> = Vec::new();
    let own = getpid().as_raw_nonzero().get();
    gather(own, None, &children, &mut found);
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.target.pid()) {
        gather(parent, Some(next), &children, &mut found);
        next += 1;
    }
    found
}

/// Adds the children of `parent` that are proven to be its children.
fn gather(parent: i32, at: Option<usize>, children: &HashMap<i32, Vec<i32>>, found: &mut Vec<Process>) {
    for pid in children.get(&parent).into_iter().flatten() {
        let Some(target) = Target::new(*pid) else { continue };
        let Ok(handle) = target.open() else { continue };
        let Some(stat) = procfs::Stat::read(*pid) else { continue };
        // Read while the child's handle is open. The parent is us, or was alive after the reading: so the number it
        // was compared with was its own.
        let parent_lives = at.and_then(|index| found.get(index)).is_none_or(Process::lives);
        if stat.parent == parent && parent_lives && !stat.zombie {
            found.push(Process { target, handle, group: stat.group, name: stat.name });
        }
    }
}

/// Living processes that carry the attempt's mark in the environment they were started with, wherever they went.
pub(super) fn marked(attempt: AttemptId) -> Vec<Process> {
    let pair = format!("{MARK}={attempt}");
    procfs::pids()
        .into_iter()
        .filter_map(|pid| {
            let target = Target::new(pid)?;
            if !procfs::was_given(pid, &pair) {
                return None;
            }
            let handle = target.open().ok()?;
            let stat = procfs::Stat::read(pid)?;
            // Once more, now that the number cannot change hands unnoticed.
            (procfs::was_given(pid, &pair) && !stat.zombie).then_some(Process {
                target,
                handle,
                group: stat.group,
                name: stat.name,
            })
        })
        .collect()
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes that were found and killed.
    pub killed: Vec<Leaked>,
    /// Processes that did not go.
    pub survivors: Vec<Leaked>,
}

/// Adds those that are not known by number yet: one that becomes another program between two looks has two names.
pub(super) fn add(known: &mut Vec<Leaked>, more: impl IntoIterator<Item = Leaked>) {
    for process in more {
        if known.len() < NAMED_MAX && !is_among(known, &process) {
            known.push(process);
        }
    }
}

fn is_among(known: &[Leaked], process: &Leaked) -> bool {
    known.iter().any(|known| known.pid == process.pid)
}

/// Kills what carries the attempt's mark, until two looks find nothing.
pub(super) fn kill_marked(attempt: AttemptId) -> Swept {
    let deadline = clock::boot() + GONE_WITHIN;
    let mut killed: Vec<Leaked> = Vec::new();
    let mut empty = 0;
    loop {
        let found = marked(attempt);
        for process in &found {
            process.signal(Signal::KILL);
        }
        add(&mut killed, named(&found));
        empty = if found.is_empty() { empty + 1 } else { 0 };
        if empty == 2 || clock::boot() >= deadline {
            let survivors = named(&found);
            killed.retain(|process| !is_among(&survivors, process));
            return Swept { killed, survivors };
        }
        await_one_gone(&found);
    }
}

/// Waits until one of them has gone, at most a round.
fn await_one_gone(processes: &[Process]) {
    let mut fds: Vec<PollFd<'_>> =
        processes.iter().map(|process| PollFd::from_borrowed_fd(process.handle.as_fd(), PollFlags::IN)).collect();
    if !fds.is_empty() {
        poll(&mut fds, Some(&clock::wait_until(Some(ROUND), Duration::ZERO))).ok();
    }
}

/// Ends what a dead supervisor has left of an attempt: its cgroup, where it had one, and whatever carries the mark.
pub(super) fn leftovers(attempt: AttemptId, leaf: Option<&std::path::Path>) -> Swept {
    let marked = marked(attempt);
    let seen = named(&marked);
    if let Some(leaf) = leaf {
        // Without a leaf there, the mark has to do.
        cgroup::kill(leaf).ok();
    }
    let mut swept = kill_marked(attempt);
    let survivors = &swept.survivors;
    add(&mut swept.killed, seen.into_iter().filter(|process| !is_among(survivors, process)));
    if let Some(leaf) = leaf {
        let deadline = clock::boot() + GONE_WITHIN;
        while cgroup::is_populated(leaf) && clock::boot() < deadline {
            poll(&mut [], Some(&clock::wait_until(Some(ROUND), Duration::ZERO))).ok();
        }
        cgroup::remove(leaf);
    }
    swept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_aim_at_init_at_a_group_or_at_us() {
        let own = getpid().as_raw_nonzero().get();
        for refused in [i32::MIN, -1, 0, 1, own] {
            assert_eq!(Target::new(refused), None, "{refused}");
        }
        assert!(Target::new(own + 1).is_some());
    }
}
