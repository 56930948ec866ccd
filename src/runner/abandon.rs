//! Ending what a dead runner left where its worktree is gone or broken: nothing of the attempt can be judged any more.

use std::os::fd::BorrowedFd;

use crate::classify::classify;
use crate::domain::decision::{Decision, HoldReason, Settlement};
use crate::domain::evidence::{Canceller, Declared, Evidence, ExitRecord, OutputFacts};
use crate::domain::id::{AttemptId, RunId};
use crate::domain::stamp::Stamp;
use crate::domain::task::{AttemptPhase, Decided, Event, RunEnd, TaskState};
use crate::engine::{GateAnswer, settle};
use crate::exec::{BootId, Ending, Recovered, recover, stop_orphan};
use crate::store::Store;
use crate::workspace::state_dir::StateDir;

use super::bench::lost_of;
use super::clock::Clock;
use super::desk::Desk;
use super::error::{RunError, chain};
use super::ledger::Ledger;

/// Why nothing of an attempt can be judged.
#[derive(Debug)]
pub(super) enum Unjudged {
    /// Its worktree is gone, or is not the one that it began in.
    Gone,
    /// Its worktree's git is broken, so.
    Damaged(String),
}

/// Where an attempt that cannot be judged is ended.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) state: &'a StateDir,
    pub(super) clock: &'a dyn Clock,
    /// What still works on the attempt is stopped when this becomes readable; at once where there is none.
    pub(super) stop: Option<BorrowedFd<'a>>,
}

/// Waits for what still works on an attempt, or stops it, and records how it ended: as cancelled, or held for what is
/// broken.
pub(super) fn end_unjudged(
    ledger: &mut Ledger,
    place: Place<'_>,
    (run, attempt, phase): (RunId, AttemptId, AttemptPhase),
    why: Unjudged,
) -> Result<(), RunError> {
    let gone = |what: &str| RunError::Pinned(what.to_owned());
    let stored = place.store.attempt(attempt)?.ok_or_else(|| gone("its attempt is not in the store"))?;
    let start = place.store.run(run)?.ok_or_else(|| gone("it is not in the store"))?.start;
    let record = match (phase, &stored.finished) {
        (AttemptPhase::Finished, Some(finished)) => (*finished.record).clone(),
        (AttemptPhase::Finished | AttemptPhase::Intended, _) => {
            let run_dir = place.state.run_dir(run);
            let boot = BootId::from_text(&start.boot);
            let find = |stop| {
                recover(&run_dir, attempt, stored.intent.nonce, &boot, None, stop)
                    .map_err(|error| RunError::Supervisor(chain(&error)))
            };
            let ended = match place.stop {
                Some(stop) => Some(find(Some(stop))?),
                None => None,
            };
            let found = match ended {
                Some(settled @ Recovered::Settled(_)) => settled,
                Some(Recovered::Living { .. }) | None => {
                    stop_orphan(&run_dir);
                    find(None)?
                }
            };
            let record: ExitRecord = match found {
                Recovered::Settled(Ending::Ended(record)) => *record,
                Recovered::Settled(Ending::Lost(loss)) => {
                    lost_of(attempt, stored.intent.nonce, loss, stored.intent.at, place.clock.now())
                }
                Recovered::Living { .. } => {
                    return Err(RunError::Supervisor("its supervisor does not end".to_owned()));
                }
            };
            ledger.apply(Event::AttemptFinished { record: Box::new(record.clone()), at: place.clock.now() })?;
            record
        }
    };
    let damage = match why {
        Unjudged::Gone => None,
        Unjudged::Damaged(damage) => Some(damage),
    };
    let evidence = Evidence {
        output: OutputFacts { incomplete: true, ..OutputFacts::default() },
        damage,
        ..Evidence::of(record.exit.clone(), Declared::default())
    };
    let held = evidence.damage.as_ref().and_then(|_| classify(&evidence));
    let settlement = match &held {
        Some(outcome) => settle(&evidence, Some(outcome), GateAnswer::NoGate),
        None => Settlement::Cancelled(Canceller::Request),
    };
    let decision = match &settlement {
        Settlement::Unreadable(unreadable) => Decision::Hold(HoldReason::Unreadable(unreadable.clone())),
        Settlement::Passed
        | Settlement::Failed(_)
        | Settlement::TimedOut(..)
        | Settlement::PermanentEnv(_)
        | Settlement::TransientInfra(_)
        | Settlement::Cancelled(_) => Decision::Interrupt,
    };
    let stamp = Stamp::of(&stored.intent, &record, &evidence, held.as_ref(), None);
    ledger.apply(Event::AttemptDecided(Box::new(Decided {
        attempt,
        evidence,
        outcome: held,
        settlement,
        decision,
        artifact: None,
        stamp,
        at: place.clock.now(),
    })))?;
    Ok(())
}

impl Desk<'_> {
    /// Stops what still works on the task, records how it ended, as a cancelled attempt, and closes its run.
    ///
    /// # Errors
    /// [`RunError::Store`], or [`RunError::Supervisor`] where the attempt's end cannot be read.
    pub fn abandon(&mut self) -> Result<(), RunError> {
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let Some(task) = ledger.task() else { return Err(RunError::NoTask { task: self.task.clone() }) };
        let Some(run) = task.state.live_run() else { return Ok(()) };
        if let TaskState::Running { attempt, phase, .. } = task.state {
            let place = Place { store: self.store, state: self.state, clock: self.clock, stop: None };
            end_unjudged(&mut ledger, place, (run, attempt, phase), Unjudged::Gone)?;
        }
        ledger.apply(Event::RunClosed { run, end: RunEnd::Interrupted, at: self.clock.now() })?;
        ledger.commit(self.store)?;
        Ok(())
    }
}
