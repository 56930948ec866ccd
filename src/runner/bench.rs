//! The supervisor of a run: started with the first launch, kept for the next ones.

use std::path::Path;

use jiff::Timestamp;

use crate::domain::evidence::{Canceller, Exit, ExitRecord, SpawnFailure};
use crate::domain::id::{AttemptId, Nonce};
use crate::domain::plan::AttemptPlan;
use crate::exec::{Begun, Ending, ExecError, Launch, Loss, NotStarted, Progress};

use super::clock::Clock;
use super::watch::Watch;
use super::world::{Supervises, World};

/// A supervisor that is started with the first attempt and kept for the run.
#[derive(Debug, Default)]
pub(super) struct Bench {
    supervisor: Option<Box<dyn Supervises>>,
}

impl Bench {
    /// Runs a plan to its end. A supervisor that cannot be started is the attempt's own failed start.
    pub(super) fn run(
        &mut self,
        world: &dyn World,
        plan: &AttemptPlan,
        run_dir: &Path,
        stop: std::os::fd::BorrowedFd<'_>,
        clock: &dyn Clock,
        watch: &mut Watch<'_>,
    ) -> Result<ExitRecord, ExecError> {
        let started_at = clock.now();
        let launch = Launch::of(plan);
        let mut supervisor = match self.supervisor.take() {
            Some(supervisor) => supervisor,
            None => match world.supervise(run_dir, &launch) {
                Ok(supervisor) => supervisor,
                Err(NotStarted::Failed(failure)) => return Ok(never_started(plan, failure, started_at, clock.now())),
                Err(NotStarted::Untold(error)) => return Err(error.into()),
            },
        };
        supervisor.tick_every(watch.every);
        failpoint!("launch.supervised");
        supervisor.launch(&launch)?;
        failpoint!("launch.sent");
        let ending = supervisor.wait(Some(stop), Canceller::Shutdown, &mut |progress| match progress {
            Progress::Began { pid } => tracing::debug!(pid, "the producer began"),
            Progress::Stopping => tracing::info!("the producer is asked to stop"),
            Progress::Working { elapsed } => watch.look(elapsed),
        })?;
        Ok(match ending {
            Ending::Ended(record) => {
                self.supervisor = Some(supervisor);
                *record
            }
            // A supervisor that died is not asked again.
            Ending::Lost(loss) => lost(plan, loss, started_at, clock.now()),
        })
    }

    /// Ends the supervisor in order.
    pub(super) fn close(&mut self) {
        if let Some(Err(error)) = self.supervisor.take().map(super::world::Supervises::finish) {
            tracing::warn!(%error, "the supervisor did not end in order");
        }
    }
}

/// The record of an attempt that never came to its supervisor.
pub(super) fn never_started(
    plan: &AttemptPlan,
    failure: SpawnFailure,
    started_at: Timestamp,
    ended_at: Timestamp,
) -> ExitRecord {
    record(plan, Exit::SpawnFailed(failure), started_at, ended_at)
}

/// The record of an attempt whose end nobody saw; its time runs until that was found.
pub(super) fn lost(plan: &AttemptPlan, loss: Loss, started_at: Timestamp, found_at: Timestamp) -> ExitRecord {
    lost_of(plan.key.attempt, plan.nonce, loss, started_at, found_at)
}

/// The same where only the attempt's names are known.
pub(super) fn lost_of(
    attempt: AttemptId,
    nonce: Nonce,
    loss: Loss,
    started_at: Timestamp,
    found_at: Timestamp,
) -> ExitRecord {
    ExitRecord {
        began: loss.begun != Begun::No,
        stdout: loss.stdout,
        stderr: loss.stderr,
        leaked: loss.swept.killed,
        survivors: loss.swept.survivors,
        ..ExitRecord::without_process(attempt, nonce, Exit::Lost { reason: loss.reason }, started_at, found_at)
    }
}

fn record(plan: &AttemptPlan, exit: Exit, started_at: Timestamp, ended_at: Timestamp) -> ExitRecord {
    ExitRecord::without_process(plan.key.attempt, plan.nonce, exit, started_at, ended_at)
}
