//! Who drives a task: taking its lock, waiting for it, and the holder as people and machines see it.

use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::classify::shown_duration;
use crate::domain::id::TaskName;
use crate::runner::{Clock as _, RunError, SystemClock};
use crate::store::sqlite::give_up_reserve;
use crate::workspace::heartbeat::{Heartbeat, age};
use crate::workspace::holder::Holder;
use crate::workspace::lock::{Lock, LockError, LockView, Subject, look};
use crate::workspace::lock_log::{self, Deed, Entry};
use crate::workspace::state_dir::StateDir;

use super::output::{self, Problem};
use super::signals::Signals;
use super::store::Place;
use super::{ExitCode, reach, trouble};

/// Pause between two looks at a lock.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// How a lock is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    /// How long all locks of a command may be waited for; whoever comes first gets one, not whoever waits longest.
    wait: Duration,
    /// When that began, on the clock of [`elapsed`].
    since: Duration,
    /// What ends the wait, where signals are caught.
    signals: Option<&'a Signals>,
    /// Whether a refusal is told as a document too.
    json: bool,
}

impl<'a> Asking<'a> {
    /// Begins to count the time.
    pub(super) fn at_most(wait: Duration, signals: Option<&'a Signals>, json: bool) -> Self {
        Self { wait, since: elapsed(), signals, json }
    }
}

/// The locks of a run: its task and its checkout.
pub(super) struct Driving<'a> {
    /// Ends before the locks are released.
    beating: Heartbeat,
    checkout: Lock,
    lock: Lock,
    place: &'a Place,
    task: &'a TaskName,
}

impl<'a> Driving<'a> {
    /// Takes both, and begins to renew their cards.
    pub(super) fn take(
        place: &'a Place,
        task: &'a TaskName,
        card: &Holder,
        asking: Asking<'_>,
    ) -> Result<Self, Problem> {
        let lock = take(&place.state, Subject::Task(task), card, asking)?;
        // Two tasks in one checkout would judge each other's changes.
        let checkout = take(&place.state, Subject::Worktree(&place.worktree), card, asking)?;
        let beating = beat_for(&[&lock, &checkout])?;
        Ok(Self { beating, checkout, lock, place, task })
    }

    /// Whether both still are this process's own.
    pub(super) fn is_ours(&self) -> bool {
        self.lock.is_ours() && self.checkout.is_ours()
    }

    /// Gives both back.
    pub(super) fn release(self) {
        let Self { beating, checkout, lock, place: _, task: _ } = self;
        drop(beating);
        checkout.release();
        lock.release();
    }

    /// Why the run did not come to an end. A lock that was taken away is told with who has it now.
    pub(super) fn stopped_by(&self, error: &RunError, as_json: bool) -> Problem {
        if !matches!(error, RunError::LockLost { .. }) {
            return trouble::of_run(error);
        }
        let gone = if self.lock.is_ours() { Subject::Worktree(&self.place.worktree) } else { Subject::Task(self.task) };
        lost(look(&self.place.state, gone), error, as_json)
    }
}

/// Begins to renew the cards of some locks.
pub(super) fn beat_for(locks: &[&Lock]) -> Result<Heartbeat, Problem> {
    Heartbeat::start(locks)
        .map_err(|error| Problem::new(ExitCode::Internal, format!("could not start the heartbeat: {error}")))
}

/// Takes a lock, or tells who has it. A takeover from a holder that died is told.
pub(super) fn take(state: &StateDir, subject: Subject<'_>, card: &Holder, asking: Asking<'_>) -> Result<Lock, Problem> {
    let mut told = false;
    loop {
        // Its time is when it takes the lock, not when it began to wait.
        let card = Holder { started_at: SystemClock.now(), ..card.clone() };
        let error = match Lock::acquire(state, subject, card) {
            Ok(lock) => {
                if let (Some(gone), Subject::Task(task)) = (lock.took_over_from(), subject) {
                    let who = gone.describe();
                    output::talk(&format!("orch: the last runner of this task ended without releasing it: {who}"));
                    note(state, task, Deed::TakenOver, (lock.card(), gone), None);
                }
                return Ok(lock);
            }
            Err(error) => error,
        };
        // What a dead runner left is recorded under the lock, and its card needs a block of the disk.
        if error.is_a_full_disk() && give_up_reserve(state.path()) {
            continue;
        }
        let left = asking.wait.saturating_sub(elapsed().saturating_sub(asking.since));
        if !matches!(error, LockError::Held { .. }) || left.is_zero() {
            return Err(trouble::locked(&error, asking.json));
        }
        if !told {
            told = true;
            let most = shown_duration(asking.wait);
            output::talk(&format!("orch: waiting at most {most}: could not {error}"));
        }
        pause(left.min(LOOKS_EVERY), asking.signals);
        if let Some(signals) = asking.signals.filter(|signals| signals.seen().is_some()) {
            return Err(Problem::new(signals.exit_code(), "stopped while waiting for a lock; nothing was started"));
        }
    }
}

/// Writes down what was done to a task's lock, who did it, and who had it before.
pub(super) fn note(state: &StateDir, task: &TaskName, deed: Deed, (by, from): (&Holder, &Holder), why: Option<&str>) {
    let person = reach::person();
    let entry = Entry { at: SystemClock.now(), deed, person: &person, by, from, why };
    if let Err(error) = lock_log::note(state, task, &entry) {
        output::talk(&format!("orch: warning: could not write to the log of the task's lock: {error}"));
    }
}

/// Sleeps so long, or until a signal comes.
pub(super) fn pause(time: Duration, signals: Option<&Signals>) {
    let time = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 50_000_000 });
    let mut fds: Vec<PollFd<'_>> =
        signals.map(|signals| PollFd::from_borrowed_fd(signals.descriptor(), PollFlags::IN)).into_iter().collect();
    // Interrupted or not: the caller looks again.
    poll(&mut fds, Some(&time)).ok();
}

/// Since some moment, sleep of the machine included.
fn elapsed() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// The refusal of a lock for machines (row F3).
pub(super) fn refusal(holder: Option<&Holder>, heartbeat_at: Option<Timestamp>, hint: &str) -> Value {
    json!({
        "version": 1,
        "error": "run_locked",
        "holder": holder.map(|holder| document(holder, heartbeat_at)),
        "hint": hint,
    })
}

/// A holder for machines.
pub(super) fn document(holder: &Holder, heartbeat_at: Option<Timestamp>) -> Value {
    let age = heartbeat_at.map(|at| age(at, SystemClock.now()));
    json!({
        "pid": holder.pid,
        "host": holder.host,
        "started_at": holder.started_at.to_string(),
        "command": holder.command,
        "heartbeat_age": age.map(shown_age),
        "heartbeat_age_s": age.map(|age| age.as_secs()),
    })
}

/// How old a holder's last beat is, for people; in front stands who it is.
pub(super) fn beat(heartbeat_at: Option<Timestamp>) -> String {
    heartbeat_at.map_or_else(String::new, |at| format!(", heartbeat {} ago", shown_age(age(at, SystemClock.now()))))
}

/// An age for people, in whole numbers of the largest unit that it has two of.
fn shown_age(age: Duration) -> String {
    const MINUTE_S: u64 = 60;
    const HOUR_S: u64 = 60 * MINUTE_S;
    const DAY_S: u64 = 24 * HOUR_S;
    let seconds = age.as_secs();
    let units = [(DAY_S, "days"), (HOUR_S, "h"), (MINUTE_S, "min")];
    match units.into_iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} s"),
    }
}

/// What is seen of a lock: one word for machines.
pub(super) const fn word(view: &LockView) -> &'static str {
    match view {
        LockView::Free => "free",
        LockView::Abandoned(_) => "abandoned",
        LockView::Elsewhere { .. } => "elsewhere",
        LockView::Held { holder: Some(_), .. } => "held",
        LockView::Held { holder: None, .. } => "held-by-unknown",
    }
}

/// A run whose lock was taken away has started and written nothing since.
fn lost(view: std::io::Result<LockView>, error: &RunError, as_json: bool) -> Problem {
    let (holder, heartbeat_at) = match view {
        Ok(LockView::Held { holder, heartbeat_at }) => (holder, heartbeat_at),
        Ok(LockView::Elsewhere { holder, heartbeat_at }) => (Some(holder), heartbeat_at),
        Ok(LockView::Free | LockView::Abandoned(_)) | Err(_) => (None, None),
    };
    let who = holder.as_ref().map_or_else(
        || "nobody has it now".to_owned(),
        |holder| format!("{}{} has it now", holder.describe(), beat(heartbeat_at)),
    );
    let hint = "nothing more was started or recorded here; what was under way belongs to whoever has the lock, or to \
                the next `orch pipeline run`";
    if as_json {
        output::document(&refusal(holder.as_deref(), heartbeat_at, hint));
    }
    Problem::new(ExitCode::Locked, format!("could not {error}: {who}")).help(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_whole_units() {
        let ages = [
            (0, "0 s"),
            (3, "3 s"),
            (119, "119 s"),
            (120, "2 min"),
            (3_600, "60 min"),
            (7_200, "2 h"),
            (218_138_194, "2524 days"),
        ];
        for (seconds, shown) in ages {
            assert_eq!(shown_age(Duration::from_millis(seconds * 1_000 + 999)), shown);
        }
    }
}
