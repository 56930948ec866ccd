//! `orch unlock`: says what is seen of a task's lock, and undoes one whose holder is gone.

use serde_json::json;

use crate::domain::id::{Nonce, TaskName};
use crate::runner::{Clock as _, SystemClock};
use crate::workspace::heartbeat::{HEARTBEAT_TTL, is_expired};
use crate::workspace::holder::{Holder, Liveness};
use crate::workspace::lock::{Lock, LockView, Subject, UNSAFE_HELP, is_free, look};
use crate::workspace::lock_log::Deed;

use super::args::UnlockArgs;
use super::output::{self, Problem};
use super::store::Place;
use super::{ExitCode, driver, goal, reach, store, talk, trouble};

/// A task whose lock is looked at.
struct Bolt<'a> {
    place: &'a Place,
    task: &'a TaskName,
    options: &'a UnlockArgs,
}

pub(super) fn unlock(options: &UnlockArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let task = goal::task_name(options.task.as_deref(), &place.worktree)?;
    let bolt = Bolt { place: &place, task: &task, options };
    let view = bolt.look(Subject::Task(&task))?;
    if let LockView::Elsewhere { holder, .. } = &view
        && bolt.is_free_after_all(holder)
    {
        bolt.clear(holder, Deed::Cleared)?;
        let done = "its holder is gone, the kernel says: nobody has the lock; the card was cleared";
        return Ok(bolt.answer(&view, Some((holder, Deed::Cleared)), done));
    }
    match &view {
        LockView::Free => Ok(bolt.answer(&view, None, "nobody has its lock; nothing was done")),
        LockView::Abandoned(holder) => {
            bolt.clear(holder, Deed::Cleared)?;
            Ok(bolt.answer(&view, Some((holder, Deed::Cleared)), "its holder is gone; the card was cleared"))
        }
        LockView::Held { holder: Some(holder), heartbeat_at } | LockView::Elsewhere { holder, heartbeat_at } => {
            match (holder.liveness(), options.force) {
                (Liveness::Alive, true) => {
                    reach::stop_runner(&place, &task)?;
                    // Its own release clears its card; nothing is left to do but to write it down.
                    bolt.note(holder, Deed::Stopped);
                    Ok(bolt.answer(&view, Some((holder, Deed::Stopped)), "its holder was asked to stop, and did"))
                }
                (Liveness::Alive, false) => {
                    Err(bolt.refuse(&view, "its holder lives", "wait for it, or ask it to stop with --force"))
                }
                // Between the lock and the new holder's card stands the card of the one before.
                (Liveness::Gone, _) => {
                    Err(bolt.refuse(&view, "somebody has just taken it", "give this command again in a moment"))
                }
                (Liveness::Unknown, false) => Err(bolt.refuse(
                    &view,
                    "its holder cannot be asked from here",
                    "look there whether it lives; where it is surely gone, --force",
                )),
                (Liveness::Unknown, true) if !is_expired(*heartbeat_at, SystemClock.now()) => Err(bolt.refuse(
                    &view,
                    &format!("its holder renewed it less than {} s ago, so it lives", HEARTBEAT_TTL.as_secs()),
                    "stop it where it runs",
                )),
                (Liveness::Unknown, true) => {
                    bolt.clear(holder, Deed::Seized)?;
                    let done = "it was taken from a holder that cannot be asked; should that one live, it records nothing more";
                    Ok(bolt.answer(&view, Some((holder, Deed::Seized)), done))
                }
            }
        }
        LockView::Held { holder: None, .. } => Err(bolt.refuse(
            &view,
            "a living process has it, and its card cannot be read",
            "`fuser` on the lock file names the process; stop it",
        )),
    }
}

impl Bolt<'_> {
    fn look(&self, subject: Subject<'_>) -> Result<LockView, Problem> {
        look(&self.place.state, subject).map_err(|error| {
            let help = if error.kind() == std::io::ErrorKind::InvalidData {
                UNSAFE_HELP
            } else {
                "look at the state folder's owner and mode"
            };
            let what = format!("could not look at the lock of task {}: could not {error}", self.task);
            Problem::new(ExitCode::Internal, what).help(help)
        })
    }

    /// Whether a holder in another PID namespace has let go. This kernel gives its lock to nobody else while it lives, so
    /// it is enough to take it for a moment; of another machine's locks it knows nothing.
    fn is_free_after_all(&self, holder: &Holder) -> bool {
        if holder.is_of_another_machine() {
            return false;
        }
        is_free(&self.place.state, Subject::Task(self.task))
    }

    /// Takes the lock, and that of the checkout where the same holder left it, and gives them back.
    fn clear(&self, holder: &Holder, deed: Deed) -> Result<(), Problem> {
        let checkout = Subject::Worktree(&self.place.worktree);
        let same = match self.look(checkout)? {
            LockView::Abandoned(left) | LockView::Elsewhere { holder: left, .. } => left.token == holder.token,
            LockView::Free | LockView::Held { .. } => false,
        };
        let both = [Some(Subject::Task(self.task)), same.then_some(checkout)];
        for subject in both.into_iter().flatten() {
            let taken = match deed {
                Deed::Seized => Lock::seize(&self.place.state, subject, this_process()),
                Deed::TakenOver | Deed::Cleared | Deed::Stopped => {
                    Lock::acquire(&self.place.state, subject, this_process())
                }
            };
            taken.map_err(|error| trouble::locked(&error, self.options.state.json))?.release();
        }
        self.note(holder, deed);
        Ok(())
    }

    fn note(&self, from: &Holder, deed: Deed) {
        driver::note(&self.place.state, self.task, deed, (&this_process(), from), self.options.reason.as_deref());
    }

    fn refuse(&self, view: &LockView, why: &str, hint: &str) -> Problem {
        let (holder, heartbeat_at) = match view {
            LockView::Held { holder, heartbeat_at } => (holder.as_deref(), *heartbeat_at),
            LockView::Elsewhere { holder, heartbeat_at } => (Some(&**holder), *heartbeat_at),
            LockView::Abandoned(holder) => (Some(&**holder), None),
            LockView::Free => (None, None),
        };
        if self.options.state.json {
            output::document(&driver::refusal(holder, heartbeat_at, hint));
        }
        let who = holder.map(|holder| format!(": {}{}", holder.describe(), driver::beat(heartbeat_at)));
        let who = who.unwrap_or_default();
        Problem::new(ExitCode::Locked, format!("could not unlock task {}: {why}{who}", self.task)).help(hint)
    }

    fn answer(&self, view: &LockView, done: Option<(&Holder, Deed)>, words: &str) -> ExitCode {
        if self.options.state.json {
            output::document(&json!({
                "version": 1,
                "task": self.task.as_str(),
                "found": driver::word(view),
                "holder": done.map(|(holder, _)| driver::document(holder, None)),
                "did": done.map_or("nothing", |(_, deed)| deed.as_str()),
            }));
        } else {
            let who = done.map(|(holder, _)| format!(" ({})", holder.describe())).unwrap_or_default();
            output::data(&format!("task {}: {words}{who}", self.task));
        }
        ExitCode::Success
    }
}

fn this_process() -> Holder {
    let clock = SystemClock;
    Holder::this_process(Nonce::new(clock.secret()), clock.now(), &talk::words_of_this_process())
}
