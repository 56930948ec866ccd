//! The runner's side: start a supervisor, give it attempts, wait for their ends.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;

use crate::domain::evidence::{Canceller, Exit, KillTier, SpawnFailure, SpawnStep};
use crate::domain::id::{AttemptId, Nonce};
use crate::domain::pipeline::Limits;

use super::bench::supervisor_failure;
use super::clock;
use super::identity::BootId;
use super::protocol::{Ask, Channel, ChannelError, Launch, Say, WireLaunch};
use super::record::RecordError;
use super::recover::{Ending, Recovered, recover};
use super::sentinel::{self, Sentinel, SentinelError};
use super::spawn;
use super::supervise::arguments;
use super::sweep::{MARK, Target};

/// How much longer than its limits and grace an attempt may take before its supervisor is looked after.
pub(super) const SLACK: Duration = Duration::from_secs(10);
/// How long a supervisor may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A supervisor process and the line to it.
///
/// Dropping it leaves the supervisor to finish what is under way and to end by itself.
#[derive(Debug)]
pub struct Supervisor {
    process: Child,
    channel: Channel,
    run_dir: PathBuf,
    current: Option<Current>,
    tick: Option<Duration>,
}

/// A supervisor that was not started for an attempt.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The attempt's failed start, told by its sentinel.
    #[error("start the supervisor")]
    Failed(SpawnFailure),
    /// It could not even be told.
    #[error(transparent)]
    Untold(#[from] SentinelError),
}

/// The attempt under way.
#[derive(Debug, Clone)]
struct Current {
    attempt: AttemptId,
    /// Its command by name.
    command: String,
    nonce: Nonce,
    /// From launch to the latest end that its limits allow.
    longest: Duration,
    /// The same, from when it began.
    running: Duration,
    grace: Duration,
}

/// What happens to an attempt while one waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// `execve` succeeded.
    Began {
        /// The main process.
        pid: i32,
    },
    /// A request to stop was taken from the descriptor and passed on.
    Stopping,
    /// It is still under way; told where [`Supervisor::tick_every`] asked for it.
    Working {
        /// Since one began to wait.
        elapsed: Duration,
    },
}

/// The runner and its supervisor cannot go on together.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// One attempt at a time.
    #[error("attempt {attempt} is still under way")]
    Busy {
        /// It.
        attempt: AttemptId,
    },
    /// An attempt of this id was started before. Its record, if any, is untouched; nothing was started.
    #[error("attempt {attempt} was started before")]
    Repeated {
        /// It.
        attempt: AttemptId,
    },
    /// Nothing to wait for.
    #[error("no attempt is under way")]
    Idle,
    /// A message did not go through.
    #[error("talk to the supervisor")]
    Channel(#[from] ChannelError),
    /// The exit records cannot be read.
    #[error("read the exit records")]
    Record(#[from] RecordError),
    /// A start failed, and the file that says so could not be written.
    #[error(transparent)]
    Sentinel(#[from] SentinelError),
    /// A system call of the runner's own side failed.
    #[error("wait for the supervisor")]
    Wait(#[source] io::Error),
}

impl Supervisor {
    /// Starts the supervisor of a run; `program` is the `orch` binary, best `/proc/self/exe`, and `run_dir` an
    /// existing folder for the run's logs and records. The best way of sweeping that the machine has is used.
    ///
    /// # Errors
    /// Step `supervisor`. EWOULDBLOCK on `supervisor.lock`: an earlier one of the same run lives; see [`recover`].
    pub fn start(program: &Path, run_dir: &Path) -> Result<Self, SpawnFailure> {
        Self::start_with(program, run_dir, KillTier::Cgroup)
    }

    /// Like [`Supervisor::start`]; with [`KillTier::Walk`] it keeps off cgroups.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub fn start_with(program: &Path, run_dir: &Path, at_most: KillTier) -> Result<Self, SpawnFailure> {
        let subject = program.to_string_lossy();
        let failed = |error: io::Error| supervisor_failure(&error, &subject);
        let run_dir = std::path::absolute(run_dir).map_err(failed)?;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| failed(errno.into()))?;
        let process = command(program, &run_dir, at_most).stdin(theirs).spawn().map_err(failed)?;
        let starting = Self { process, channel: Channel::new(ours), run_dir, current: None, tick: None };
        match starting.first_word() {
            Ok(Some(Say::Ready)) => Ok(starting),
            Ok(Some(Say::NotReady(failure))) => {
                starting.discard();
                Err(failure)
            }
            Ok(Some(Say::Began { .. } | Say::Refused { .. } | Say::Ended(_)) | None) | Err(_) => {
                starting.discard();
                Err(spawn::failure(SpawnStep::Supervisor, Errno::PROTO, &subject))
            }
        }
    }

    /// Starts the supervisor of a run for the attempt that comes first; a failure leaves that attempt's sentinel.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn start_for(program: &Path, run_dir: &Path, launch: &Launch) -> Result<Self, NotStarted> {
        Self::start(program, run_dir).map_err(|failure| {
            let sentinel = Sentinel::of(launch.attempt, launch.argv.program(), &failure, clock::wall());
            sentinel::leave(run_dir, &sentinel).map_or_else(NotStarted::Untold, |()| NotStarted::Failed(failure))
        })
    }

    /// Asks for [`Progress::Working`] in such steps while one waits; `None` is never, as at the start.
    pub const fn tick_every(&mut self, tick: Option<Duration>) {
        self.tick = tick;
    }

    /// Starts an attempt. How it went, a failed start included, is told by [`Supervisor::wait`].
    ///
    /// # Errors
    /// [`ExecError::Busy`], or a launch that is too large to be sent.
    pub fn launch(&mut self, launch: &Launch) -> Result<(), ExecError> {
        if let Some(Current { attempt, .. }) = &self.current {
            return Err(ExecError::Busy { attempt: *attempt });
        }
        let limits = launch.limits;
        let longest = longest(limits);
        match self.channel.send(&Ask::Launch(Box::new(WireLaunch::from(launch)))) {
            // A supervisor that has died is met, and explained, when one waits.
            Ok(()) | Err(ChannelError::Socket(_)) => {
                let (attempt, nonce) = (launch.attempt, launch.nonce);
                let command = launch.argv.program().to_owned();
                self.current = Some(Current {
                    attempt,
                    command,
                    nonce,
                    longest,
                    running: longest.saturating_sub(limits.start),
                    grace: limits.grace,
                });
                Ok(())
            }
            Err(
                error @ (ChannelError::TooLarge { .. }
                | ChannelError::Version { .. }
                | ChannelError::Form(_)
                | ChannelError::Unexpected),
            ) => Err(error.into()),
        }
    }

    /// Waits for the end of the attempt under way.
    ///
    /// `stop` is a pipe or socket: each byte that can be read from it, and its end of file, is a request in the name
    /// of `by`. The first asks the attempt to stop, the second kills it.
    ///
    /// When the supervisor dies, everything of the attempt is ended first, and what the record says is told: its end,
    /// where it was written in time, or that it was lost.
    ///
    /// # Errors
    /// [`ExecError::Idle`], [`ExecError::Repeated`], or orch's own files and sockets fail.
    pub fn wait(
        &mut self,
        mut stop: Option<BorrowedFd<'_>>,
        by: Canceller,
        on: &mut dyn FnMut(Progress),
    ) -> Result<Ending, ExecError> {
        let Current { attempt, command, nonce, longest, running, grace } =
            self.current.clone().ok_or(ExecError::Idle)?;
        let begun = clock::boot();
        let mut overdue = Overdue::at(begun.saturating_add(longest));
        let mut tick = Tick { every: self.tick, next: self.tick.map(|every| begun.saturating_add(every)) };
        loop {
            let until = tick.next.map_or(overdue.at, |next| next.min(overdue.at));
            let Woken { spoken, asked } = self.listen(stop, until)?;
            if !spoken && tick.is_due(clock::boot()) {
                on(Progress::Working { elapsed: clock::boot().saturating_sub(begun) });
            }
            if !spoken && clock::boot() >= overdue.at {
                // Whoever stopped the supervisor (its own suite can) has stopped our limits too.
                self.rouse(&mut overdue);
                continue;
            }
            // What the supervisor says comes first: a request that crosses the end changes nothing.
            if spoken {
                match self.channel.receive()? {
                    Some(Say::Began { pid }) => {
                        overdue.sooner(clock::boot().saturating_add(running));
                        on(Progress::Began { pid });
                    }
                    Some(Say::Ended(record)) if record.attempt == attempt && record.nonce == nonce => {
                        self.current = None;
                        if let Exit::SpawnFailed(failure) = &record.exit {
                            // The supervisor may have had no descriptor or no room left for it.
                            let sentinel = Sentinel::of(attempt, &command, failure, record.ended_at);
                            sentinel::leave(&self.run_dir, &sentinel)?;
                        }
                        return Ok(Ending::Ended(record));
                    }
                    Some(Say::Refused { attempt }) => {
                        self.current = None;
                        return Err(ExecError::Repeated { attempt });
                    }
                    Some(Say::Ready | Say::NotReady(_) | Say::Ended(_)) => {
                        return Err(ChannelError::Unexpected.into());
                    }
                    None => {
                        self.current = None;
                        return self.explain(attempt, nonce);
                    }
                }
            }
            if asked && let Some(fd) = stop {
                match rustix::io::read(fd, &mut [0]) {
                    Ok(count) => {
                        if count == 0 {
                            stop = None;
                        }
                        on(Progress::Stopping);
                        overdue.sooner(clock::boot().saturating_add(grace).saturating_add(SLACK));
                        self.signal(Signal::CONT);
                        // A supervisor that has died is met at the next reading.
                        self.channel.send(&Ask::Stop { by }).ok();
                        failpoint!("stop.passed-on");
                    }
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(errno) => return Err(ExecError::Wait(errno.into())),
                }
            }
        }
    }

    /// The supervisor's pid, for people.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends the supervisor and takes it off the process table. An attempt that is under way is waited for.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn finish(self) -> Result<(), ExecError> {
        let Self { mut process, channel, run_dir: _, current: _, tick: _ } = self;
        drop(channel);
        process.wait().map(drop).map_err(ExecError::Wait)
    }

    /// The supervisor is gone: what became of its attempt.
    fn explain(&mut self, attempt: AttemptId, nonce: Nonce) -> Result<Ending, ExecError> {
        self.process.wait().map_err(ExecError::Wait)?;
        let boot = BootId::current().map_err(ExecError::Wait)?;
        match recover(&self.run_dir, attempt, nonce, &boot, None, None)? {
            Recovered::Settled(ending) => Ok(ending),
            Recovered::Living { .. } => unreachable!("without a descriptor to stop it, recovery waits for the end"),
        }
    }

    fn first_word(&self) -> Result<Option<Say>, ChannelError> {
        let begun = clock::boot();
        let deadline = begun.saturating_add(READY_WITHIN);
        loop {
            let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
            match poll(&mut fds, Some(&clock::wait_until(Some(deadline), clock::boot()))) {
                Ok(0) if clock::boot() >= deadline => return Ok(None),
                Ok(0) | Err(_) => {}
                Ok(_) => return self.channel.receive(),
            }
        }
    }

    /// Ends a supervisor that did not come to work.
    fn discard(mut self) {
        // It is our child and not reaped; it may also have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }

    /// Wakes a supervisor that was stopped, and ends one that does not answer after that.
    fn rouse(&self, overdue: &mut Overdue) {
        self.signal(if overdue.roused { Signal::KILL } else { Signal::CONT });
        *overdue = Overdue { at: clock::boot().saturating_add(SLACK), roused: true };
    }

    fn signal(&self, signal: Signal) {
        // It is our child and not reaped: nobody else can have its number.
        if let Some(target) = i32::try_from(self.process.id()).ok().and_then(Target::new) {
            target.signal_unreaped_child(signal);
        }
    }

    fn listen(&self, stop: Option<BorrowedFd<'_>>, until: Duration) -> Result<Woken, ExecError> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.channel.as_fd(), PollFlags::IN)];
        fds.extend(stop.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&clock::wait_until(Some(until), clock::boot()))) {
            Ok(_count) => {
                let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
                Ok(Woken { spoken: ready(0), asked: ready(1) })
            }
            Err(Errno::INTR) => Ok(Woken { spoken: false, asked: false }),
            Err(errno) => Err(ExecError::Wait(errno.into())),
        }
    }
}

/// From launch to the latest end that an attempt's limits allow, with some slack.
pub const fn longest(limits: Limits) -> Duration {
    limits.start.saturating_add(limits.total).saturating_add(limits.grace).saturating_add(SLACK)
}

/// When a supervisor that says nothing is looked after.
struct Overdue {
    at: Duration,
    /// Whether it was woken already.
    roused: bool,
}

impl Overdue {
    const fn at(at: Duration) -> Self {
        Self { at, roused: false }
    }

    fn sooner(&mut self, at: Duration) {
        self.at = self.at.min(at);
    }
}

/// When progress is told next.
struct Tick {
    every: Option<Duration>,
    next: Option<Duration>,
}

impl Tick {
    /// Whether it is time; the next time is a whole step from now, so that a machine that slept is not made up for.
    fn is_due(&mut self, now: Duration) -> bool {
        let due = self.next.is_some_and(|next| now >= next);
        if due {
            self.next = self.every.map(|every| now.saturating_add(every));
        }
        due
    }
}

/// What ended a wait.
struct Woken {
    spoken: bool,
    asked: bool,
}

/// The supervisor's command: no environment but the mark of an attempt that this runner is itself part of, so that
/// whoever sweeps that one finds the supervisor too.
#[expect(clippy::disallowed_methods, reason = "this is the place that starts supervisors")]
fn command(program: &Path, run_dir: &Path, at_most: KillTier) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments(run_dir, at_most))
        .env_clear()
        .envs(std::env::var_os(MARK).map(|outer| (MARK, outer)))
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(feature = "failpoints")]
    command.envs(crate::failpoint::handed_on());
    command
}
