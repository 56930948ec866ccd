//! The shadow of a stage: an agent that does a runner's work beside it, to be compared (docs/design/0016).
//!
//! It is run when the gate has spoken and that is on the disk, in a sibling worktree that it cannot leave, and it never
//! sees what the runner said. Its faults hold nothing; its only trace is a record beside the attempt.

use crate::domain::agent::{Agent, Require, ScopeFacts};
use crate::domain::id::{Digest, RelPath};
use crate::domain::outcome::Ruling;
use crate::domain::pipeline::{Producer, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan, Cage};
use crate::domain::shadow::{Shadow, ShadowAnswer, ShadowEnd};
use crate::domain::task::Intent;
use crate::engine::{cap_reached, caps_left};
use crate::producer::{Before, prepare, ready, scope_facts};
use crate::store::RunFilter;
use crate::workspace::controls::Found;
use crate::workspace::sibling as siblings;
use crate::workspace::tree::compare;
use crate::workspace::{artifact, shadows};

use super::bench::Bench;
use super::drive::{Course, Runner};
use super::error::{RunError, chain};
use super::judge::{Scene, judge};
use super::notice::Notice;
use super::sibling::{NoAnswer, Sibling, Side, refuse};
use super::watch::Watch;

/// A shadow that is to be run.
#[derive(Debug, Clone)]
pub(super) struct Due {
    stage: Stage,
    agent: Agent,
    key: AttemptKey,
    record: Shadow,
}

impl Runner<'_> {
    /// The shadow of a stage that is done by its declared producer.
    pub(super) fn shadow_of<'s>(&self, stage: &'s Stage, fallback: bool) -> Option<&'s Agent> {
        stage.shadow.as_ref().filter(|_| !fallback && self.settings.shadows())
    }

    /// The shadow that a gate's answer calls for. What is no answer cannot be compared. Put down before the answer is
    /// stored, so that a death in between does not take it away unseen.
    pub(super) fn due(&mut self, stage: &Stage, fallback: bool, intent: &Intent, gate: Option<Ruling>) -> Option<Due> {
        let agent = self.shadow_of(stage, fallback)?.clone();
        let record = Shadow {
            version: 1,
            run: intent.run,
            stage: stage.name.clone(),
            attempt: intent.attempt,
            gate: gate?,
            process: None,
            profile: agent.profile,
            at: self.clock.now(),
            end: ShadowEnd::Due,
        };
        let key = AttemptKey {
            attempt: intent.attempt,
            task: self.task.clone(),
            run: intent.run,
            stage: stage.name.clone(),
            visit: intent.visit,
            number: intent.number,
        };
        self.keep_shadow(&record);
        failpoint!("shadow.due");
        Some(Due { stage: stage.clone(), agent, key, record })
    }

    fn keep_shadow(&mut self, shadow: &Shadow) {
        let folder = self.state.attempt_dir(shadow.run, shadow.attempt);
        if let Err(error) = shadows::keep(&folder, shadow) {
            let text = format!("what became of the shadow of stage `{}` was not kept: {error}", shadow.stage);
            (self.notify)(Notice::Warning(text));
        }
    }

    /// Runs the shadow that is due, where one is. Everything that is decided is stored by then.
    pub(super) fn run_shadow(&mut self, course: &mut Course, bench: &mut Bench) -> Result<(), RunError> {
        let Some(mut due) = course.shadow.take() else { return Ok(()) };
        due.record.end = match self.shadow(course, bench, &mut due) {
            Ok(answer) => {
                let used = course.shadow_used.entry(due.stage.name.clone()).or_default();
                *used = used.plus(answer.usage);
                ShadowEnd::Ended(Box::new(answer))
            }
            Err(NoAnswer::Refused(why)) => ShadowEnd::NotRun { why },
            Err(NoAnswer::Error(error)) => return Err(error),
        };
        self.fence()?;
        self.keep_shadow(&due.record);
        failpoint!("shadow.kept");
        (self.notify)(Notice::Shadowed(&due.record));
        Ok(())
    }

    fn shadow(&mut self, course: &Course, bench: &mut Bench, due: &mut Due) -> Result<ShadowAnswer, NoAnswer> {
        if let Some((what, used, max)) =
            course.shadow_used.get(&due.stage.name).and_then(|used| cap_reached(&due.agent.caps, used))
        {
            return refuse(format!("the shadows of this run have used {used} of {max} {what}"));
        }
        let uncommitted = siblings::uncommitted(self.worktree, &course.tree)?;
        let conditions = self.conditions(course, uncommitted, siblings::Caches::LeftOut)?.detached();
        let commit = course.tree.head().commit.clone();
        let limits = self.limits(&due.stage);
        let (answer, cleared) =
            self.in_sibling(course, (&commit, Side::Change), &conditions, limits, |runner, sibling| {
                due.record.process = Some(sibling.process.0);
                runner.shadow_in(course, bench, due, sibling)
            })?;
        if let Err(why) = cleared {
            (self.notify)(Notice::Warning(format!("the shadow of stage `{}`: {why}", due.stage.name)));
        }
        Ok(answer)
    }

    fn shadow_in(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        due: &Due,
        sibling: &Sibling<'_>,
    ) -> Result<ShadowAnswer, NoAnswer> {
        let (stage, agent, worktree) = (&due.stage, &due.agent, sibling.worktree);
        let (id, _) = sibling.process;
        let Some(artifact) = self.artifact_path(self.pipeline, stage) else {
            return refuse("the stage has no artifact");
        };
        self.bring_artifacts(course, &artifact, sibling)?;
        let moved_dir = self.state.moved_dir(course.run, id);
        let unready =
            |error: &dyn std::error::Error| format!("its place could not be made ready: could not {}", chain(error));
        let mut plan = self.shadow_plan(course, due, sibling)?;
        prepare(&plan, worktree.root(), Some((&artifact, None)), &moved_dir)
            .or_else(|error| refuse(unready(&error)))?;
        let less = self.less(self.pipeline);
        let looked = |error: &dyn std::error::Error| format!("its worktree cannot be read: could not {}", chain(error));
        let tree = self.world.snapshot(worktree, &less, None).or_else(|error| refuse(looked(&error)))?;
        let before = Before::now(tree, worktree, self.standing_beside(self.pipeline, stage, worktree));
        // What failed before is not told: it may be what the runner said just now.
        let prompt = self
            .fill(course, (stage, agent), &plan, None)
            .or_else(|error| refuse(format!("its prompt could not be made: {error}")))?;
        let cage = self.shadow_cage(agent, &plan, sibling);
        if let Some(planned) = &mut plan.agent {
            planned.cage = cage;
        }
        let Some(planned) = &plan.agent else { return refuse("it is no agent") };
        ready(&plan, planned, &prompt, None, worktree)
            .or_else(|error| refuse(format!("its folder could not be made: {error}")))?;
        self.keep_shadow(&due.record);
        (self.notify)(Notice::ShadowStarted { stage: &stage.name, argv: plan.shown.words() });
        let mut watch = Watch::new(&stage.name, plan.limits, &course.run_dir, self.clock, self.progress, self.notify);
        let record = bench
            .run(self.world, &plan, &course.run_dir, self.stop, self.clock, &mut watch)
            .map_err(|error| RunError::Supervisor(chain(&error)))?;
        failpoint!("shadow.ended");
        self.fence()?;
        self.close_state(&plan);
        let after = self.world.snapshot(worktree, &less, Some(&before.tree)).or_else(|error| refuse(looked(&error)))?;
        let scope = match self.bounds(self.pipeline, agent) {
            Ok(scope) => {
                let (recorded, cage) = (&course.published, &planned.cage);
                let bounds = self.bounds_of(self.pipeline, stage, (worktree, recorded), &scope, (cage, &record));
                scope_facts(Some(&before), &after, worktree, &bounds).0
            }
            Err(why) => ScopeFacts { unknown: Some(why), ..ScopeFacts::default() },
        };
        let committed = self.committed(worktree, &artifact, (Some(&before.tree), &after), &record);
        let producer = Producer::Agent(agent.clone());
        let scene = Scene {
            stage,
            producer: &producer,
            plan: &plan,
            record: &record,
            run_dir: &course.run_dir,
            root: worktree.root(),
            artifact: Some(&artifact),
            moved_dir: &moved_dir,
            control: None,
            commit: after.head().commit.as_str(),
            masker: &course.masker,
            scope: Some(&scope),
            committed: &committed,
            damage: None,
        };
        let judged = judge(scene, Some(compare(&before.tree, &after)));
        if let (Some((_, bytes)), Some(folder)) = (&judged.artifact, &plan.attempt_dir)
            && let Err(error) = shadows::keep_artifact(folder, &bytes.bytes)
        {
            (self.notify)(Notice::Warning(format!("the artifact of a shadow was not kept: {error}")));
        }
        Ok(ShadowAnswer {
            settlement: judged.settlement,
            exit: record.exit,
            elapsed: record.elapsed,
            usage: judged.evidence.agent.map(|facts| facts.usage).unwrap_or_default(),
            containment: record.containment,
            artifact: judged.artifact.map(|(artifact, _)| artifact.digest),
            stdout: record.stdout,
            stderr: record.stderr,
        })
    }

    /// Brings what other stages wrote into the sibling, as it was recorded: they are no part of the tree.
    fn bring_artifacts(&self, course: &Course, own: &RelPath, sibling: &Sibling<'_>) -> Result<(), NoAnswer> {
        for (path, recorded) in course.published.iter().filter(|(path, _)| *path != own) {
            let bytes = artifact::read_back(self.worktree.root(), path, artifact::ARTIFACT_BYTES_MAX);
            let Ok(bytes) = bytes else { continue };
            if Digest::of(&bytes) == *recorded {
                artifact::publish(sibling.worktree.root(), path, &bytes, artifact::Durability::Relaxed).or_else(
                    |error| refuse(format!("an earlier artifact could not be brought: could not {}", chain(&error))),
                )?;
            }
        }
        Ok(())
    }

    fn shadow_plan(&self, course: &Course, due: &Due, sibling: &Sibling<'_>) -> Result<AttemptPlan, NoAnswer> {
        let caps = match course.shadow_used.get(&due.stage.name) {
            Some(used) => caps_left(&due.agent.caps, used),
            None => due.agent.caps,
        };
        // Where the kernel cannot keep it in its sibling it is not started at all.
        let agent = Producer::Agent(Agent { caps, require: Require::Contained, ..due.agent.clone() });
        self.plan_in_sibling(course, (&due.stage, &agent), self.limits(&due.stage), &due.key, sibling)
            .or_else(|error| refuse(format!("it cannot be resolved: {error}")))
    }

    /// What it may reach: its sibling and its own folder. Of git it may read everything and write nothing; what the
    /// runner left in the task's worktree it does not see.
    fn shadow_cage(&self, agent: &Agent, plan: &AttemptPlan, sibling: &Sibling<'_>) -> Cage {
        let mut cage = self.cage_around(agent, plan, vec![sibling.worktree.toplevel().to_owned()]);
        cage.require = Require::Contained;
        cage.hidden.push(self.worktree.toplevel().to_owned());
        cage.read.push(self.worktree.common_dir().to_owned());
        cage
    }

    /// Says of a shadow whose runner died that it has no answer.
    pub(super) fn mark_left_shadow(&mut self) -> Result<(), RunError> {
        if self.pipeline.stages().iter().all(|stage| stage.shadow.is_none()) {
            return Ok(());
        }
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(1) };
        let Some(run) = self.store.runs(&filter)?.into_iter().next() else { return Ok(()) };
        let Some(last) = self.store.last_attempt(run.start.run, None)? else { return Ok(()) };
        let folder = self.state.attempt_dir(run.start.run, last.intent.attempt);
        if let Found::Read(shadow) = shadows::kept(&folder)
            && shadow.end == ShadowEnd::Due
        {
            let left = Shadow { end: ShadowEnd::Left, ..shadow };
            self.keep_shadow(&left);
            (self.notify)(Notice::Shadowed(&left));
        }
        Ok(())
    }
}
