//! What a run looks at and sets in motion besides its store and its files: git's view of the worktree, the processes,
//! and time that passes. There are two: this machine, and the one that the simulation in `tests/lab` makes up.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::domain::evidence::Canceller;
use crate::domain::id::{AttemptId, Nonce};
use crate::exec::{self, BootId, Ending, ExecError, Launch, NotStarted, Progress, RecordError, Recovered, Supervisor};
use crate::workspace::git::{Git, GitError};
use crate::workspace::tree::{Less, Snapshot, TreeError};
use crate::workspace::worktree::{Base, Head, Worktree};

/// The world of a run.
pub trait World {
    /// Where the task's work began, with HEAD as the tree has it.
    ///
    /// # Errors
    /// As [`Worktree::base`].
    fn base(&self, worktree: &Worktree, head: &Head) -> Result<Base, GitError>;

    /// The tree as it is now.
    ///
    /// # Errors
    /// As [`Snapshot::take`].
    fn snapshot(&self, worktree: &Worktree, less: &Less, known: Option<&Snapshot>) -> Result<Snapshot, TreeError>;

    /// Starts the supervisor of a run for the attempt that comes first.
    ///
    /// # Errors
    /// As [`Supervisor::start_for`].
    fn supervise(&self, run_dir: &Path, first: &Launch) -> Result<Box<dyn Supervises>, NotStarted>;

    /// What became of an attempt whose runner died; see [`exec::recover`]. A supervisor that is silent for longer than
    /// `patience` is stalled.
    ///
    /// # Errors
    /// As [`exec::recover`].
    fn recover(
        &self,
        run_dir: &Path,
        attempt: (AttemptId, Nonce),
        boot_then: &BootId,
        patience: Duration,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Recovered, RecordError>;

    /// Asks the supervisor of a run whose runner died to stop its attempt.
    fn stop_orphan(&self, run_dir: &Path) -> bool;

    /// Lets time pass, until a request to stop comes at most.
    fn sleep(&self, stop: BorrowedFd<'_>, time: Duration);
}

/// A supervisor, as its runner uses it; see [`Supervisor`].
pub trait Supervises: std::fmt::Debug {
    /// Asks for [`Progress::Working`] in such steps.
    fn tick_every(&mut self, tick: Option<Duration>);

    /// Starts an attempt.
    ///
    /// # Errors
    /// As [`Supervisor::launch`].
    fn launch(&mut self, launch: &Launch) -> Result<(), ExecError>;

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`Supervisor::wait`].
    fn wait(
        &mut self,
        stop: Option<BorrowedFd<'_>>,
        by: Canceller,
        on: &mut dyn FnMut(Progress),
    ) -> Result<Ending, ExecError>;

    /// Ends it.
    ///
    /// # Errors
    /// As [`Supervisor::finish`].
    fn finish(self: Box<Self>) -> Result<(), ExecError>;
}

impl Supervises for Supervisor {
    fn tick_every(&mut self, tick: Option<Duration>) {
        Self::tick_every(self, tick);
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), ExecError> {
        Self::launch(self, launch)
    }

    fn wait(
        &mut self,
        stop: Option<BorrowedFd<'_>>,
        by: Canceller,
        on: &mut dyn FnMut(Progress),
    ) -> Result<Ending, ExecError> {
        Self::wait(self, stop, by, on)
    }

    fn finish(self: Box<Self>) -> Result<(), ExecError> {
        Self::finish(*self)
    }
}

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// git.
    pub git: &'a Git<'a>,
}

impl World for Machine<'_> {
    fn base(&self, worktree: &Worktree, head: &Head) -> Result<Base, GitError> {
        worktree.base(self.git, head)
    }

    fn snapshot(&self, worktree: &Worktree, less: &Less, known: Option<&Snapshot>) -> Result<Snapshot, TreeError> {
        Snapshot::take(self.git, worktree, less, known)
    }

    fn supervise(&self, run_dir: &Path, first: &Launch) -> Result<Box<dyn Supervises>, NotStarted> {
        Ok(Box::new(Supervisor::start_for(Path::new("/proc/self/exe"), run_dir, first)?))
    }

    fn recover(
        &self,
        run_dir: &Path,
        (attempt, nonce): (AttemptId, Nonce),
        boot_then: &BootId,
        patience: Duration,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Recovered, RecordError> {
        exec::recover(run_dir, attempt, nonce, boot_then, Some(patience), stop)
    }

    fn stop_orphan(&self, run_dir: &Path) -> bool {
        exec::stop_orphan(run_dir)
    }

    fn sleep(&self, stop: BorrowedFd<'_>, time: Duration) {
        let time = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        // Interrupted or not: the caller looks at the clock and at the request.
        poll(&mut [PollFd::from_borrowed_fd(stop, PollFlags::IN)], Some(&time)).ok();
    }
}
