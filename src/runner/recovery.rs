//! Going on after a runner died: reads what was recorded, guesses nothing (RELIABILITY §5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::domain::control::Control;
use crate::domain::evidence::{Exit, ExitRecord, LostReason, TreeFacts};
use crate::domain::id::{AttemptId, RelPath, RunId, StageName};
use crate::domain::pipeline::Producer;
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::domain::task::{AttemptPhase, Effect, Event, Intent, RunEnd, TaskState};
use crate::exec::{BootId, Ending, Recovered, longest};
use crate::producer::Before;
use crate::spec;
use crate::store::{AttemptRecord, Published, RunFilter};
use crate::workspace::artifact::sweep;
use crate::workspace::tree::{Committed, Snapshot};

use super::abandon::{Place, Unjudged, end_unjudged};
use super::agent::Prompts;
use super::bench::lost;
use super::checkout::artifacts_of;
use super::drive::{Course, Driven, RUNS_LOOKED_AT, Runner, find};
use super::error::{RunError, chain};
use super::judge::{Scene, judge, never_launched};
use super::ledger::Ledger;
use super::notice::Notice;

impl Runner<'_> {
    /// Brings an attempt that an earlier runner left to its decision, and closes that runner's run. Where that is a
    /// hold or a fail, it is what this run has to tell: it must not be lost behind another attempt.
    pub(super) fn recover(&mut self, ledger: &mut Ledger) -> Result<Option<Driven>, RunError> {
        for pending in self.store.pending_effects(Some(&self.task))? {
            self.carry_out(&pending.effect)?;
            self.store.effect_done(&pending.id)?;
        }
        for other in self.store.live_tasks()? {
            // One bad row must not stand in the way of every other task; the lock of the worktree keeps them apart.
            let other = match other {
                Ok(other) => other,
                Err(error) => {
                    let what = chain(&error);
                    (self.notify)(Notice::Warning(format!(
                        "a task that a run owns is passed over: {what}; see `orch verify`"
                    )));
                    continue;
                }
            };
            let here = other.task.worktree == self.worktree.toplevel();
            if here && other.task.name != self.task {
                return Err(RunError::LeftHere { task: other.task.name });
            }
        }
        self.repair()?;
        self.stop_left_sibling();
        let driven = self.recover_run(ledger)?;
        // Not before: what an agent put under such a name counts against it.
        self.sweep_half_written();
        self.clear_left_sibling()?;
        self.mark_left_shadow()?;
        Ok(driven)
    }

    fn recover_run(&mut self, ledger: &mut Ledger) -> Result<Option<Driven>, RunError> {
        let Some(task) = ledger.task() else { return Ok(None) };
        let Some(run) = task.state.live_run() else { return Ok(None) };
        if task.worktree != self.worktree.toplevel() && task.worktree.exists() {
            return Err(RunError::Elsewhere { run, worktree: task.worktree.clone() });
        }
        let running = match &task.state {
            TaskState::Running { attempt, phase, .. } => Some((*attempt, *phase)),
            TaskState::Ready { .. }
            | TaskState::Waiting { .. }
            | TaskState::Queued { .. }
            | TaskState::Deferred { .. }
            | TaskState::Held { .. }
            | TaskState::Paused { .. }
            | TaskState::Done { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => None,
        };
        (self.notify)(Notice::Warning(format!("run {run} was left by its runner; going on from what it recorded")));
        failpoint!("recovery.begun");
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
                | TaskState::Waiting { .. }
                | TaskState::Queued { .. }
                | TaskState::Deferred { .. }
                | TaskState::Paused { .. }
                | TaskState::Cancelled { .. },
            )
            | None => RunEnd::Interrupted,
        };
        ledger.apply(Event::RunClosed { run, end, at: self.clock.now() })?;
        failpoint!("recovery.closing");
        self.commit(ledger, None)?;
        failpoint!("recovery.closed");
        // The task simply goes on where its stage passed, was stopped, or was never started.
        let ended = matches!(end, RunEnd::Held | RunEnd::Failed) || (self.stopping)();
        let state = ledger.task().map(|task| task.state.clone());
        Ok(state.filter(|_| ended).map(|state| Driven::Ran { run, end, state }))
    }

    /// Brings what a dead runner left to its record and closes its run.
    ///
    /// # Errors
    /// As [`Runner::drive`].
    pub fn bring_to_rest(&mut self) -> Result<(), RunError> {
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        self.recover(&mut ledger).map(drop)
    }

    /// Brings the worktree's copies of this task's artifacts back to what the store has (invariant I11).
    fn repair(&mut self) -> Result<(), RunError> {
        if !self.has_artifacts() {
            return Ok(());
        }
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        let mut standing: BTreeMap<StageName, Effect> = BTreeMap::new();
        for run in self.store.runs(&filter)?.into_iter().rev() {
            // A run takes away the artifacts of the stages it may come to; only those before its start stay.
            let start = self.pipeline.position(&run.start.stage);
            standing.retain(|stage, _| self.pipeline.position(stage).zip(start).is_some_and(|(at, start)| at < start));
            for Published { attempt, stage, artifact } in self.store.published(run.start.run)? {
                // A later attempt took the artifact away before it began; what it did not write must not come back.
                standing.remove(&stage);
                if let Some(artifact) = artifact {
                    standing.insert(stage, Effect::PublishArtifact { attempt, artifact });
                }
            }
        }
        standing.into_values().try_for_each(|effect| self.carry_out(&effect))
    }

    /// Removes what a runner was writing beside an artifact when it died.
    fn sweep_half_written(&mut self) {
        let paths: Vec<RelPath> = self.artifact_paths(self.pipeline).collect();
        let mut folders = BTreeSet::new();
        for path in &paths {
            // One look at a folder, however many artifacts stand in it.
            if folders.insert(Path::new(path.as_str()).parent())
                && let Err(error) = sweep(self.worktree.root(), path)
            {
                (self.notify)(Notice::Warning(format!("could not {}", chain(&error))));
            }
        }
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
        let tree = match self.snapshot(&pinned, None) {
            Ok(tree) => tree,
            Err(error) => {
                let damage = self.broken(error)?;
                let place = Place { store: self.store, state: self.state, clock: self.clock, stop: Some(self.stop) };
                return end_unjudged(ledger, place, (run, attempt, phase), Unjudged::Damaged(damage));
            }
        };
        let mut course = Course {
            run,
            run_dir: run_dir.clone(),
            base_commit: start.base_commit.clone(),
            artifacts: self.worktree.toplevel().join(self.artifacts_folder(&pinned).as_str()),
            tree,
            published: artifacts_of(self.store, &self.task)?,
            may_wait: Duration::ZERO,
            prompts: Prompts::new(),
            told: None,
            used: BTreeMap::new(),
            uncounted: BTreeSet::new(),
            before: None,
            edited: None,
            shadow: None,
            shadow_used: BTreeMap::new(),
            masker: self.masker()?,
        };
        let producer = match (&stage.fallback, stored.intent.fallback) {
            (Some(fallback), true) => fallback,
            (None, true) => return Err(gone("the stage has no fallback, and one ran")),
            (_, false) => &stage.producer,
        };
        let key = AttemptKey {
            attempt,
            task: self.task.clone(),
            run,
            stage: stage.name.clone(),
            visit: stored.intent.visit,
            number: stored.intent.number,
        };
        let mut plan = self.plan_of(stage, producer, key, &course)?;
        plan.nonce = stored.intent.nonce;
        let record = match (phase, &stored.finished) {
            (AttemptPhase::Finished, Some(finished)) => (*finished.record).clone(),
            (AttemptPhase::Finished | AttemptPhase::Intended, _) => {
                self.ended(&run_dir, &plan, &stored, &BootId::from_text(&start.boot))?
            }
        };
        failpoint!("recovery.found");
        // What still worked when the first look was taken has ended by now.
        let damage = self.look_at_last(&mut course, producer)?;
        let same_worktree = stored.intent.worktree.is_none_or(|then| then == self.worktree.identity().digest());
        let tree = unseen(&stored.intent, &course.tree, same_worktree);
        let artifact = self.artifact_path(&pinned, stage);
        let before = Before::load(&self.state.attempt_dir(run, attempt), self.worktree);
        let seen = (&course, &plan, &record);
        let (scope, by_others) = self.scope(&pinned, (stage, producer), seen, before.as_ref(), &course.tree).unzip();
        course.before = before.clone().map(|before| ((stage.name.clone(), stored.intent.visit), before));
        self.take_others(&mut course, stage, &plan, &by_others.unwrap_or_default());
        let committed = match artifact.as_ref().filter(|_| scope.is_some()) {
            Some(path) => self.committed_by_then(path, before.as_ref(), &stored.intent, (&course, &record)),
            None => Vec::new(),
        };
        let control = self.left_control(run);
        if let Some(Control::Refused { why }) = &control {
            (self.notify)(Notice::Warning(format!(
                "stage `{}`: no control run says who is at fault: {why}",
                stage.name
            )));
        }
        let scene = Scene {
            stage,
            producer,
            plan: &plan,
            record: &record,
            run_dir: &run_dir,
            root: self.worktree.root(),
            artifact: artifact.as_ref(),
            moved_dir: &self.state.moved_dir(run, attempt),
            control: control.as_ref(),
            commit: course.tree.head().commit.as_str(),
            masker: &course.masker,
            scope: scope.as_ref(),
            committed: &committed,
            damage: damage.as_deref(),
        };
        self.fence()?;
        let judged = if record.exit == (Exit::Lost { reason: LostReason::NeverStarted }) {
            never_launched(scene, tree)
        } else {
            judge(scene, damage.is_none().then_some(tree))
        };
        failpoint!("recovery.judged");
        self.settle(ledger, &pinned, scene, &stored.intent, judged)?;
        Ok(())
    }

    /// Looks once more at what an attempt left, now that nothing of it works any more; gives what is broken there.
    fn look_at_last(&self, course: &mut Course, producer: &Producer) -> Result<Option<String>, RunError> {
        match self.look_again(&course.tree) {
            Ok(tree) => course.tree = tree,
            Err(error) => return self.broken(error).map(Some),
        }
        let agent = matches!(producer, Producer::Agent(_));
        Ok(if agent { self.lost_commit(&course.tree) } else { None })
    }

    /// What commits have at an artifact's place that an agent did not make whose runner died. Of the visit's first attempt
    /// it is known what HEAD was; else when the file was committed tells as much.
    fn committed_by_then(
        &self,
        path: &RelPath,
        before: Option<&Before>,
        intent: &Intent,
        (course, record): (&Course, &ExitRecord),
    ) -> Vec<Committed> {
        let at = |tree: &&Snapshot| Some(tree.head().commit.as_str()) == intent.commit.as_deref();
        let first = before.map(|before| &before.tree).filter(at);
        self.committed(self.worktree, path, (first, &course.tree), record)
    }

    /// How an attempt ended whose runner died; waits for a supervisor that still works on it. A request to stop is
    /// passed on to that supervisor.
    fn ended(
        &mut self,
        run_dir: &Path,
        plan: &AttemptPlan,
        stored: &AttemptRecord,
        boot: &BootId,
    ) -> Result<ExitRecord, RunError> {
        let failed = |error: &dyn std::error::Error| RunError::Supervisor(chain(error));
        let mut stop = Some(self.stop);
        // Counted from now: when it began is only known by the wall clock.
        let mut patience = longest(plan.limits);
        loop {
            let found = self
                .world
                .recover(run_dir, (plan.key.attempt, plan.nonce), boot, patience, stop)
                .map_err(|error| failed(&error))?;
            return Ok(match found {
                Recovered::Settled(Ending::Ended(record)) => *record,
                Recovered::Settled(Ending::Lost(loss)) => lost(plan, loss, stored.intent.at, self.clock.now()),
                Recovered::Living { .. } => {
                    // Once: it ends within its grace now, and its record says that it was cancelled.
                    self.world.stop_orphan(run_dir);
                    stop = None;
                    patience = patience.saturating_sub(plan.limits.start).saturating_sub(plan.limits.total);
                    continue;
                }
            });
        }
    }
}

/// What is known of a tree whose files before the attempt nobody remembers: whether it is another, or stands at another
/// commit; where the attempt began on a clean one, which files differ from that now; and whether it is that of the
/// worktree in which the attempt began. A copy with the same files is not what the suite ran in.
fn unseen(intent: &Intent, now: &Snapshot, same_worktree: bool) -> TreeFacts {
    let is = now.head().commit.as_str();
    let moved = intent.commit.as_deref().filter(|was| *was != is);
    let began_clean = !intent.dirty && intent.commit.is_some() && moved.is_none();
    let mut changed = if began_clean && intent.tree != now.digest() { now.dirty_names() } else { Vec::new() };
    if let Some(was) = moved {
        changed.insert(0, format!("HEAD ({was:.12} is now {is:.12})"));
    }
    if !same_worktree {
        changed.insert(0, ".git".to_owned());
    }
    TreeFacts { before: intent.tree, after: now.digest(), left: now.digest(), changed, added: Vec::new() }
}
