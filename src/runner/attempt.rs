//! One attempt, from its plan to its decision: what it would start, whether it may, its intent, its end, its judgement.

use std::time::Duration;

use crate::domain::agent::Agent;
use crate::domain::decision::{Decision, Settlement};
use crate::domain::id::Nonce;
use crate::domain::pipeline::{Pipeline, Producer, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::domain::stamp::Stamp;
use crate::domain::task::{AttemptPhase, Decided, Event, Intent, TaskState};
use crate::engine::{Launched, Site, caps_left, decide, plan};
use crate::exec::ExecError;
use crate::producer::prepare;
use crate::workspace::artifact::Taken;
use crate::workspace::tree::Snapshot;

use super::agent::used_by;
use super::bench::Bench;
use super::channel::began;
use super::choice::Chosen;
use super::drive::{Course, Runner};
use super::error::{RunError, chain};
use super::judge::{Judged, Scene, judge};
use super::ledger::Ledger;
use super::notice::Notice;
use super::told::Told;
use super::watch::Watch;

impl Runner<'_> {
    /// Runs one attempt to its decision. Its end and its decision are stored with the next commit. `None`, and
    /// nothing is started, where the tree is no longer the one that the stage before left: while the run waited, or
    /// in between, somebody changed it.
    pub(super) fn attempt(
        &mut self,
        ledger: &mut Ledger,
        course: &mut Course,
        bench: &mut Bench,
        (stage, chosen): (&Stage, Chosen<'_>),
        key: AttemptKey,
    ) -> Result<Option<Decision>, RunError> {
        let attempt = key.attempt;
        let mut plan = self.plan_of(stage, chosen.producer, key, course)?;
        if chosen.fallback {
            (self.notify)(Notice::Warning(format!("stage `{}`: {}", stage.name, chosen.why)));
        }
        let artifact = self.artifact_path(self.pipeline, stage);
        let published = artifact.as_ref().and_then(|path| course.published.get(path)).copied();
        let moved_dir = self.state.moved_dir(course.run, attempt);
        self.fence()?;
        let taken =
            prepare(&plan, self.worktree.root(), artifact.as_ref().map(|path| (path, published.as_ref())), &moved_dir)
                .map_err(|source| RunError::Prepare { stage: stage.name.clone(), source })?;
        self.tell_taken(&taken);
        failpoint!("attempt.prepared");
        let before = self.look_again(&course.tree)?;
        if (before.digest(), &before.head().commit) != (course.tree.digest(), &course.tree.head().commit) {
            return Ok(None);
        }
        let before_visit = self.make_ready(course, (stage, chosen.producer), &mut plan, &before)?;
        let intent = self.intent(course, stage, (chosen.why, chosen.fallback), &plan, &before);
        ledger.apply(Event::AttemptIntended(Box::new(intent.clone())))?;
        self.commit(ledger, artifact.as_ref())?;
        failpoint!("attempt.intended");
        // What is launched cannot be called back: a runner that lost its lock in between leaves it to the new owner.
        self.fence()?;
        (self.notify)(Notice::AttemptStarted {
            stage: &stage.name,
            attempt,
            place: (plan.key.visit.get(), plan.key.number.get()),
            argv: plan.shown.words(),
        });
        let mut watch = Watch::new(&stage.name, plan.limits, &course.run_dir, self.clock, self.progress, self.notify);
        let record =
            bench.run(self.world, &plan, &course.run_dir, self.stop, self.clock, &mut watch).map_err(|error| {
                match error {
                    ExecError::Sentinel(source) => RunError::Untold { stage: stage.name.clone(), source },
                    error @ (ExecError::Busy { .. }
                    | ExecError::Repeated { .. }
                    | ExecError::Idle
                    | ExecError::Channel(_)
                    | ExecError::Record(_)
                    | ExecError::Wait(_)) => RunError::Supervisor(chain(&error)),
                }
            })?;
        failpoint!("attempt.ended");
        // Before the artifact is written: without the lock the record stays for whoever has it now.
        self.fence()?;
        self.close_state(&plan);
        let producer = chosen.producer;
        let aftermath = self.aftermath(course, (stage, producer), (&plan, &record), &before, before_visit.as_ref())?;
        let commit = course.tree.head().commit.to_string();
        let scene = Scene {
            stage,
            producer,
            plan: &plan,
            record: &record,
            run_dir: &course.run_dir,
            root: self.worktree.root(),
            artifact: artifact.as_ref(),
            moved_dir: &moved_dir,
            control: None,
            commit: &commit,
            masker: &course.masker,
            scope: aftermath.scope.as_ref(),
            committed: &aftermath.committed,
            damage: aftermath.damage.as_deref(),
        };
        let judged = match aftermath.tree {
            Some(tree) => self.judge_or_control(course, bench, scene, tree)?,
            None => judge(scene, None),
        };
        failpoint!("attempt.judged");
        if judged.moved != Taken::Nothing && aftermath.damage.is_none() {
            // What was taken out of the artifact's way may have been part of the tree.
            course.tree = self.look_again(&course.tree)?;
        }
        course.published.extend(judged.artifact.as_ref().map(|(artifact, _)| (artifact.path.clone(), artifact.digest)));
        let (used, told) = (used_by(&judged), Told::draft(scene, &judged));
        let ruling = judged.settlement.ruling();
        let decision = self.settle(ledger, self.pipeline, scene, &intent, judged)?;
        course.shadow = self.due(stage, chosen.fallback, &intent, ruling);
        self.tell_uncounted(course, (stage, chosen.producer), &record, used);
        course.take_note(stage, used, told, &decision);
        Ok(Some(decision))
    }

    /// What is recorded before a start.
    fn intent(
        &self,
        course: &Course,
        stage: &Stage,
        (chosen, fallback): (String, bool),
        plan: &AttemptPlan,
        before: &Snapshot,
    ) -> Intent {
        let env = plan.remote.as_ref().map_or(&plan.env, |remote| &remote.env);
        Intent {
            run: course.run,
            attempt: plan.key.attempt,
            stage: stage.name.clone(),
            visit: plan.key.visit,
            number: plan.key.number,
            producer: plan.producer,
            chosen,
            fallback,
            nonce: plan.nonce,
            argv: plan.shown.words().to_vec(),
            cwd: plan.cwd.clone(),
            env_names: env.names().into_iter().map(str::to_owned).collect(),
            tree: before.digest(),
            dirty: before.is_dirty(),
            worktree: Some(self.worktree.identity().digest()),
            commit: Some(before.head().commit.as_str().to_owned()),
            at: self.clock.now(),
        }
    }

    /// Records an attempt's end and decision in the ledger.
    pub(super) fn settle(
        &mut self,
        ledger: &mut Ledger,
        pipeline: &Pipeline,
        scene: Scene<'_>,
        intent: &Intent,
        judged: Judged,
    ) -> Result<Decision, RunError> {
        let (stage, record) = (scene.stage, scene.record);
        let attempt = record.attempt;
        let already = matches!(
            ledger.task().map(|task| &task.state),
            Some(TaskState::Running { phase: AttemptPhase::Finished, .. })
        );
        if !already {
            ledger.apply(Event::AttemptFinished { record: Box::new(record.clone()), at: self.clock.now() })?;
        }
        if scene.plan.agent.is_some() {
            self.tell_left(&judged.moved);
        } else {
            self.tell_taken(&judged.moved);
        }
        self.tell_far_side(stage, &judged.evidence);
        let spent = ledger.task().map(|task| task.spent.clone()).unwrap_or_default();
        let infra = self.infra(stage);
        let resets_at = judged.evidence.agent.as_ref().and_then(|facts| facts.fault.as_ref()?.resets_at);
        let resets_in = resets_at.map(|at| Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default());
        let began = began(record, &judged.evidence);
        let launched = Launched { producer: scene.producer, began, infra: &infra, resets_in };
        let decision = decide(pipeline, stage, &spent, launched, &judged.settlement);
        if let Some(tree) = &judged.evidence.tree
            && !tree.added.is_empty()
            && judged.settlement == Settlement::Passed
        {
            let names: Vec<String> = tree.added.iter().take(5).map(|path| format!("`{path}`")).collect();
            (self.notify)(Notice::Warning(format!(
                "stage `{}` left new files that git does not ignore: {}",
                stage.name,
                names.join(", ")
            )));
        }
        (self.notify)(Notice::AttemptDecided {
            stage: &stage.name,
            attempt,
            outcome: judged.outcome.as_ref(),
            settlement: &judged.settlement,
            decision: &decision,
        });
        let artifact = judged.artifact.map(|(reference, bytes)| {
            ledger.keep(bytes);
            reference
        });
        let stamp = Stamp::of(intent, record, &judged.evidence, judged.outcome.as_ref(), artifact.as_ref());
        self.keep_stamp(scene.plan, &stamp);
        ledger.apply(Event::AttemptDecided(Box::new(Decided {
            attempt,
            evidence: judged.evidence,
            outcome: judged.outcome,
            settlement: judged.settlement,
            decision: decision.clone(),
            artifact,
            stamp,
            at: self.clock.now(),
        })))?;
        failpoint!("attempt.decided");
        Ok(decision)
    }

    pub(super) fn plan_of(
        &self,
        stage: &Stage,
        producer: &Producer,
        key: AttemptKey,
        course: &Course,
    ) -> Result<AttemptPlan, RunError> {
        let attempt_dir = self.state.attempt_dir(course.run, key.attempt);
        let site = Site {
            worktree: self.worktree.toplevel(),
            base_commit: &course.base_commit,
            artifacts: &course.artifacts,
            attempt_dir: &attempt_dir,
            staging: self.staging_site(stage, producer, course)?,
        };
        let nonce = Nonce::new(self.clock.secret());
        // Of a cap only what is left is given to the tool.
        let left = match (producer, course.used.get(&stage.name)) {
            (Producer::Agent(agent), Some(used)) => {
                Some(Producer::Agent(Agent { caps: caps_left(&agent.caps, used), ..agent.clone() }))
            }
            (_, _) => None,
        };
        plan(stage, left.as_ref().unwrap_or(producer), self.limits(stage), key, nonce, &site, &self.host_env)
            .map_err(|source| RunError::Plan { stage: stage.name.clone(), source })
    }

    /// Looks at it once more, less what was left out before.
    pub(super) fn look_again(&self, known: &Snapshot) -> Result<Snapshot, RunError> {
        Ok(self.world.snapshot(self.worktree, known.less(), Some(known))?)
    }
}
