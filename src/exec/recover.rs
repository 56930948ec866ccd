//! After a death: what became of an attempt. Reads facts and guesses nothing (RELIABILITY §5).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::domain::evidence::{ExitRecord, LogSpan, LostReason};
use crate::domain::id::{AttemptId, Nonce};

use super::bench::{STDERR_FILE, STDOUT_FILE};
use super::clock;
use super::handle::SLACK;
use super::identity::{BootId, Hold, Identity, try_lock};
use super::pidfd::open_same;
use super::record::{RecordError, Starting, Trace, trace};
use super::sweep::{ROUND, Swept, Target, leftovers};

/// How often the lock is tried where its holder cannot be watched.
const UNWATCHED_ROUND: Duration = Duration::from_millis(50);

/// How an attempt ended, as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The supervisor saw it.
    Ended(Box<ExitRecord>),
    /// Nobody saw it.
    Lost(Loss),
}

/// An attempt whose end nobody saw. Nothing of it lives, except what `swept` calls survivors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What is known of why.
    pub reason: LostReason,
    /// Whether the command had begun.
    pub begun: Begun,
    /// Its part of the stdout file; the tail may be missing.
    pub stdout: LogSpan,
    /// Its part of the stderr file; the tail may be missing.
    pub stderr: LogSpan,
    /// What was left of it and was ended now.
    pub swept: Swept,
}

/// What is known of a begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It had not: the supervisor did not come to starting it.
    No,
    /// It may have: the supervisor died while starting it. Not to be started again blindly.
    Unknown,
    /// It had.
    Yes,
}

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It is over.
    Settled(Ending),
    /// Its supervisor lives and works on; the wait for it was broken off.
    Living {
        /// The supervisor, where it can be seen from here.
        pid: Option<i32>,
    },
}

/// Finds out what became of an attempt whose runner died. `boot_then` is the boot in which it was intended.
///
/// Waits for a supervisor that still lives, until the attempt has ended; a readable `stop` breaks the wait off and
/// leaves the attempt alone. A supervisor that is silent for longer than `patience`, which is at least what the
/// attempt's limits allow, is stalled: it is woken, and killed when that does not help. May be called any number of
/// times.
///
/// # Errors
/// The run's files cannot be read, or a newer orch wrote them.
pub fn recover(
    run_dir: &Path,
    attempt: AttemptId,
    nonce: Nonce,
    boot_then: &BootId,
    patience: Option<Duration>,
    stop: Option<BorrowedFd<'_>>,
) -> Result<Recovered, RecordError> {
    let failed = |source: io::Error| RecordError::Io { path: run_dir.to_owned(), source };
    let same_boot = BootId::current().map_err(failed)? == *boot_then;
    Identity::refuse_newer(run_dir)?;
    let mut stalled = patience.map(|patience| Stalled::after(clock::boot().saturating_add(patience)));
    loop {
        match try_lock(run_dir) {
            // The folder went with a power loss, or somebody removed it; the store knows of the attempt, and it must
            // not stand still for ever.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !run_dir.exists() => {
                return Ok(Recovered::Settled(Ending::Lost(unwitnessed(attempt, same_boot))));
            }
            Err(error) => return Err(failed(error)),
            // Held until the leftovers are gone, so that no new supervisor comes in between.
            Ok(Hold::Ours(_lock)) => {
                return settle(run_dir, attempt, nonce, same_boot).map(Recovered::Settled);
            }
            Ok(Hold::Taken) => {
                let holder = Holder::look(run_dir);
                if let (Some(holder), Some(stalled)) = (&holder, &mut stalled) {
                    stalled.look_after(holder);
                }
                if let Waited::BrokenOff = wait(holder.as_ref(), stalled.as_ref(), stop) {
                    return Ok(Recovered::Living { pid: holder.map(|holder| holder.target.pid()) });
                }
            }
        }
    }
}

/// Asks the supervisor of a run whose runner died to stop its attempt, as a cancel by shutdown. `false` when none lives
/// or it cannot be reached from here.
pub fn stop_orphan(run_dir: &Path) -> bool {
    match try_lock(run_dir) {
        Ok(Hold::Taken) => {
            // Asked while it is stopped, which its own suite can do to it, it would hear nothing.
            Holder::look(run_dir).is_some_and(|holder| holder.signal(Signal::TERM) && holder.signal(Signal::CONT))
        }
        Ok(Hold::Ours(_)) | Err(_) => false,
    }
}

/// The supervisor of a run, where it lives and can be seen from here. Takes no lock and waits for nothing.
pub fn living_supervisor(run_dir: &Path) -> Option<i32> {
    Some(Holder::look(run_dir)?.target.pid())
}

fn settle(run_dir: &Path, attempt: AttemptId, nonce: Nonce, same_boot: bool) -> Result<Ending, RecordError> {
    let (reason, begun, starting) = match trace(run_dir, attempt, nonce)? {
        Trace::Ended(record) => return Ok(Ending::Ended(record)),
        Trace::Nothing => (LostReason::NeverStarted, Begun::No, None),
        Trace::Open { starting, began: None } => (LostReason::SupervisorDied, Begun::Unknown, Some(starting)),
        Trace::Open { starting, began: Some(_) } => (LostReason::SupervisorDied, Begun::Yes, Some(starting)),
        Trace::Bad => (LostReason::BadRecord, Begun::Unknown, None),
    };
    failpoint!("recovery.sweeping");
    let swept = if same_boot {
        let leaf = Identity::read(run_dir).filter(Identity::is_within_reach).and_then(|identity| identity.leaf);
        leftovers(attempt, leaf.as_deref())
    } else {
        // Nothing of an earlier boot lives, and nobody of this one is to be touched.
        Swept::default()
    };
    // Records are not synced: after a power loss their absence proves nothing.
    let (reason, begun) = match (same_boot, begun) {
        (true, begun) => (reason, begun),
        (false, Begun::Yes) => (LostReason::Reboot, Begun::Yes),
        (false, Begun::No | Begun::Unknown) => (LostReason::Reboot, Begun::Unknown),
    };
    let (stdout, stderr) = spans(run_dir, starting.as_ref());
    Ok(Ending::Lost(Loss { reason, begun, stdout, stderr, swept }))
}

/// An attempt of which no file is left.
fn unwitnessed(attempt: AttemptId, same_boot: bool) -> Loss {
    let (reason, swept) = if same_boot {
        (LostReason::BadRecord, leftovers(attempt, None))
    } else {
        (LostReason::Reboot, Swept::default())
    };
    Loss { reason, begun: Begun::Unknown, stdout: LogSpan::default(), stderr: LogSpan::default(), swept }
}

/// From where the attempt started to the end of the files: no later attempt has written there.
fn spans(run_dir: &Path, starting: Option<&Starting>) -> (LogSpan, LogSpan) {
    let span = |file: &str, start: u64| {
        let end = std::fs::metadata(run_dir.join(file)).map_or(start, |found| found.len());
        LogSpan { start, bytes: end.saturating_sub(start), dropped: None }
    };
    starting.map_or_else(Default::default, |starting| {
        (span(STDOUT_FILE, starting.stdout), span(STDERR_FILE, starting.stderr))
    })
}

/// The supervisor that holds the lock.
struct Holder {
    target: Target,
    handle: OwnedFd,
}

impl Holder {
    /// `None` where it cannot be seen from here, or what is written about it is about another.
    fn look(run_dir: &Path) -> Option<Self> {
        let identity = Identity::read(run_dir).filter(Identity::is_within_reach)?;
        let (target, handle) = open_same(identity.pid, identity.started, identity.pidfd)?;
        Some(Self { target, handle })
    }

    fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.handle, signal).is_ok()
    }
}

/// When a supervisor that lives and does not come to an end is looked after.
struct Stalled {
    at: Duration,
    /// Whether it was woken already.
    woken: bool,
}

impl Stalled {
    const fn after(at: Duration) -> Self {
        Self { at, woken: false }
    }

    fn look_after(&mut self, holder: &Holder) {
        if clock::boot() < self.at {
            return;
        }
        let pid = holder.target.pid();
        if self.woken {
            tracing::warn!(pid, "a supervisor did not end after it was woken, and is killed");
            holder.signal(Signal::KILL);
        } else {
            tracing::warn!(pid, "a supervisor is overdue, and is woken");
            holder.signal(Signal::CONT);
        }
        *self = Self { at: clock::boot().saturating_add(SLACK), woken: true };
    }
}

enum Waited {
    /// The lock may be free now.
    Changed,
    /// Somebody does not want to wait any more.
    BrokenOff,
}

fn wait(holder: Option<&Holder>, stalled: Option<&Stalled>, stop: Option<BorrowedFd<'_>>) -> Waited {
    let mut fds = Vec::with_capacity(2);
    fds.extend(stop.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    fds.extend(holder.map(|holder| PollFd::from_borrowed_fd(holder.handle.as_fd(), PollFlags::IN)));
    let now = clock::boot();
    let until =
        if holder.is_some() { stalled.map(|stalled| stalled.at) } else { Some(now.saturating_add(UNWATCHED_ROUND)) };
    let ready = poll(&mut fds, Some(&clock::wait_until(until, now))).is_ok_and(|count| count > 0);
    if stop.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
        return Waited::BrokenOff;
    }
    if ready {
        // It has ended. A child that was just being made may hold the lock for a moment longer.
        poll(&mut [], Some(&clock::wait_until(Some(ROUND), Duration::ZERO))).ok();
    }
    Waited::Changed
}
