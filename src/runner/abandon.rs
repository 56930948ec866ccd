//! Ending what a dead runner left where the worktree is gone: nothing of the attempt can be judged any more.

use crate::domain::decision::{Decision, Settlement};
use crate::domain::evidence::{Canceller, Declared, Evidence, ExitRecord, OutputFacts};
use crate::domain::stamp::Stamp;
use crate::domain::task::{AttemptPhase, Decided, Event, RunEnd, TaskState};
use crate::exec::{BootId, Ending, Recovered, recover, stop_orphan};

use super::bench::lost_of;
use super::desk::Desk;
use super::error::{RunError, chain};
use super::ledger::Ledger;

impl Desk<'_> {
    /// Stops what still works on the task, records how it ended, as a cancelled attempt, and closes its run.
    ///
    /// # Errors
    /// [`RunError::Store`], or [`RunError::Supervisor`] where the attempt's end cannot be read.
    pub fn abandon(&mut self) -> Result<(), RunError> {
        let gone = |what: &str| RunError::Pinned(what.to_owned());
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let Some(task) = ledger.task() else { return Err(RunError::NoTask { task: self.task.clone() }) };
        let Some(run) = task.state.live_run() else { return Ok(()) };
        if let TaskState::Running { attempt, phase, .. } = task.state {
            let stored = self.store.attempt(attempt)?.ok_or_else(|| gone("its attempt is not in the store"))?;
            let start = self.store.run(run)?.ok_or_else(|| gone("it is not in the store"))?.start;
            let record = match (phase, &stored.finished) {
                (AttemptPhase::Finished, Some(finished)) => (*finished.record).clone(),
                (AttemptPhase::Finished | AttemptPhase::Intended, _) => {
                    let run_dir = self.state.run_dir(run);
                    stop_orphan(&run_dir);
                    let boot = BootId::from_text(&start.boot);
                    let found = recover(&run_dir, attempt, stored.intent.nonce, &boot, None, None)
                        .map_err(|error| RunError::Supervisor(chain(&error)))?;
                    let record: ExitRecord = match found {
                        Recovered::Settled(Ending::Ended(record)) => *record,
                        Recovered::Settled(Ending::Lost(loss)) => {
                            lost_of(attempt, stored.intent.nonce, loss, stored.intent.at, self.clock.now())
                        }
                        Recovered::Living { .. } => {
                            return Err(RunError::Supervisor("its supervisor does not end".to_owned()));
                        }
                    };
                    ledger.apply(Event::AttemptFinished { record: Box::new(record.clone()), at: self.clock.now() })?;
                    record
                }
            };
            let evidence = Evidence {
                output: OutputFacts { incomplete: true, ..OutputFacts::default() },
                ..Evidence::of(record.exit.clone(), Declared::default())
            };
            let stamp = Stamp::of(&stored.intent, &record, &evidence, None, None);
            ledger.apply(Event::AttemptDecided(Box::new(Decided {
                attempt,
                evidence,
                outcome: None,
                settlement: Settlement::Cancelled(Canceller::Request),
                decision: Decision::Interrupt,
                artifact: None,
                stamp,
                at: self.clock.now(),
            })))?;
        }
        ledger.apply(Event::RunClosed { run, end: RunEnd::Interrupted, at: self.clock.now() })?;
        ledger.commit(self.store)?;
        Ok(())
    }
}
