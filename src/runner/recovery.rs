//! Going on after a runner died: reads what was recorded, guesses nothing (RELIABILITY §5).

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::evidence::{ExitRecord, TreeFacts};
use crate::domain::id::{AttemptId, Digest, RunId, StageName};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::domain::task::{AttemptPhase, Effect, Event, RunEnd, TaskState};
use crate::exec::{BootId, Ending, Recovered, recover};
use crate::spec;
use crate::store::{AttemptRecord, RunFilter};

use super::attempt::lost;
use super::drive::{Course, RUNS_LOOKED_AT, Runner, chain, find};
use super::error::RunError;
use super::judge::{Scene, judge};
use super::ledger::Ledger;
use super::notice::Notice;

impl Runner<'_> {
    /// Brings an attempt that an earlier runner left to its decision, and closes that runner's run.
    pub(super) fn recover(&mut self, ledger: &mut Ledger) -> Result<(), RunError> {
        for pending in self.store.pending_effects(Some(&self.task))? {
            self.carry_out(&pending.effect)?;
            self.store.effect_done(&pending.id)?;
        }
        self.repair()?;
        let Some(task) = ledger.task() else { return Ok(()) };
        let Some(run) = task.state.live_run() else { return Ok(()) };
        let running = match &task.state {
            TaskState::Running { attempt, phase, .. } => Some((*attempt, *phase)),
            TaskState::Ready { .. }
            | TaskState::Queued { .. }
            | TaskState::Held { .. }
            | TaskState::Done { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => None,
        };
        (self.notify)(Notice::Warning(format!("run {run} was left by its runner; going on from what it recorded")));
        if let Some((attempt, phase)) = running {
            self.recover_attempt(ledger, run, attempt, phase)?;
        }
        let end = match ledger.task().map(|task| &task.state) {
            Some(TaskState::Held { .. }) => RunEnd::Held,
            Some(TaskState::Done { .. }) => RunEnd::Done,
            Some(TaskState::Failed { .. }) => RunEnd::Failed,
            Some(
                TaskState::Ready { .. }
                | TaskState::Running { .. }
                | TaskState::Queued { .. }
                | TaskState::Cancelled { .. },
            )
            | None => RunEnd::Interrupted,
        };
        ledger.apply(Event::RunClosed { run, end, at: self.clock.now() })?;
        self.commit(ledger)
    }

    /// Brings the worktree's copies of this task's artifacts back to what the store has (invariant I11).
    fn repair(&mut self) -> Result<(), RunError> {
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        let mut standing: BTreeMap<StageName, Effect> = BTreeMap::new();
        for run in self.store.runs(&filter)?.into_iter().rev() {
            for record in self.store.attempts(run.start.run)? {
                // A later attempt took the artifact away before it began; what it did not write must not come back.
                standing.remove(&record.intent.stage);
                if let Some(artifact) = record.decided.and_then(|decided| decided.artifact) {
                    let effect = Effect::PublishArtifact { attempt: record.intent.attempt, artifact };
                    standing.insert(record.intent.stage, effect);
                }
            }
        }
        standing.into_values().try_for_each(|effect| self.carry_out(&effect))
    }

    fn recover_attempt(
        &mut self,
        ledger: &mut Ledger,
        run: RunId,
        attempt: AttemptId,
        phase: AttemptPhase,
    ) -> Result<(), RunError> {
        let gone = |what: &str| RunError::Pinned(what.to_owned());
        let stored = self.store.attempt(attempt)?.ok_or_else(|| gone("its attempt is not in the store"))?;
        let start = self.store.run(run)?.ok_or_else(|| gone("it is not in the store"))?.start;
        let text = self.store.pipeline(&start.pipeline_digest)?.ok_or_else(|| gone("its text is not in the store"))?;
        let pinned = spec::load(&text).map_err(|_| gone("this version of orch refuses its text"))?;
        let stage = find(&pinned, stored.intent.stage.as_str())?;
        let run_dir = self.state.run_dir(run);
        let course = Course {
            run,
            run_dir: run_dir.clone(),
            base_commit: start.base_commit.clone(),
            artifacts: self.worktree.toplevel().join(self.artifacts_folder(&pinned).as_str()),
            tree: self.snapshot(&pinned, None)?,
            published: BTreeMap::new(),
        };
        let key = AttemptKey {
            attempt,
            task: self.task.clone(),
            run,
            stage: stage.name.clone(),
            visit: stored.intent.visit,
            number: stored.intent.number,
        };
        let mut plan = self.plan_of(stage, key, &course)?;
        plan.nonce = stored.intent.nonce;
        let record = match (phase, &stored.finished) {
            (AttemptPhase::Finished, Some(finished)) => (*finished.record).clone(),
            (AttemptPhase::Finished | AttemptPhase::Intended, _) => {
                self.ended(&run_dir, &plan, &stored, &BootId::from_text(&start.boot))?
            }
        };
        let tree = unseen(stored.intent.tree, course.tree.digest());
        let artifact = self.artifact_path(&pinned, stage);
        let scene = Scene {
            stage,
            plan: &plan,
            record: &record,
            run_dir: &run_dir,
            root: self.worktree.root(),
            artifact: artifact.as_ref(),
        };
        let judged = judge(scene, Some(tree));
        self.settle(ledger, &pinned, scene, &stored.intent, judged).map(|_| ())
    }

    /// How an attempt ended whose runner died; waits for a supervisor that still works on it.
    fn ended(
        &mut self,
        run_dir: &Path,
        plan: &AttemptPlan,
        stored: &AttemptRecord,
        boot: &BootId,
    ) -> Result<ExitRecord, RunError> {
        let found = recover(run_dir, plan.key.attempt, plan.nonce, boot, Some(self.stop))
            .map_err(|error| RunError::Supervisor(chain(&error)))?;
        match found {
            Recovered::Settled(Ending::Ended(record)) => Ok(*record),
            Recovered::Settled(Ending::Lost(loss)) => Ok(lost(plan, loss, stored.intent.at, self.clock.now())),
            Recovered::Living { pid } => {
                let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
                Err(RunError::Supervisor(format!(
                    "the attempt's supervisor{pid} still works; the wait for it was broken off"
                )))
            }
        }
    }
}

/// What is known of a tree whose files before the attempt nobody remembers: only whether it is another.
fn unseen(before: Digest, now: Digest) -> TreeFacts {
    TreeFacts { before, after: now, left: now, changed: Vec::new(), added: Vec::new() }
}
