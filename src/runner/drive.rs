//! The loop of a run.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::domain::decision::{Decision, Settlement};
use crate::domain::evidence::{Exit, ExitRecord, LostReason, TreeFacts};
use crate::domain::id::{AttemptId, Digest, Nonce, RelPath, RunId, StageName, TaskName};
use crate::domain::pipeline::{Pipeline, Producer, ReportPlace, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::domain::stamp::Stamp;
use crate::domain::task::{AttemptPhase, Decided, Effect, Event, Intent, RunEnd, RunStart, TaskState};
use crate::engine::{Site, decide, plan};
use crate::exec::{BootId, Ending, Recovered, recover, stop_orphan};
use crate::producer::prepare;
use crate::spec;
use crate::store::{AttemptRecord, Holder, PinnedPipeline, RunFilter, Store};
use crate::workspace::artifact::{Durability, Taken, publish, take_away};
use crate::workspace::git::Git;
use crate::workspace::state_dir::StateDir;
use crate::workspace::tree::{Less, Snapshot, compare};
use crate::workspace::tree_cache;
use crate::workspace::worktree::Worktree;

use super::attempt::{Bench, lost};
use super::clock::Clock;
use super::error::RunError;
use super::judge::{Judged, Scene, judge};
use super::ledger::Ledger;
use super::notice::Notice;
use super::reuse::{self, Inputs, Passes};

/// Runs whose verdicts are looked at for reuse.
const RUNS_LOOKED_AT: u32 = 50;

/// What is asked of a run.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Run this stage again; earlier ones only where their verdicts do not stand.
    pub from: Option<StageName>,
    /// Stop after this stage has passed.
    pub until: Option<StageName>,
}

/// How a run came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driven {
    /// A run was made; the task stands so now.
    Ran {
        /// The run.
        run: RunId,
        /// How it closed.
        end: RunEnd,
        /// The task's state.
        state: TaskState,
    },
    /// The task was done already, for this very commit, tree and pipeline; nothing was started.
    DoneAlready {
        /// The run that did it.
        run: RunId,
    },
}

/// Everything a run needs.
pub struct Runner<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// Its file's bytes.
    pub pipeline_text: &'a [u8],
    /// The task.
    pub task: TaskName,
    /// git.
    pub git: &'a Git<'a>,
    /// The task's worktree.
    pub worktree: &'a Worktree,
    /// The state folder.
    pub state: &'a StateDir,
    /// The store in it.
    pub store: &'a mut dyn Store,
    /// This process, for people.
    pub holder: Holder,
    /// orch's own environment, UTF-8 pairs only.
    pub host_env: Vec<(String, String)>,
    /// Clock and ids.
    pub clock: &'a dyn Clock,
    /// Readable when the run is asked to stop; every byte is a request.
    pub stop: BorrowedFd<'a>,
    /// Whether it has been asked to stop.
    pub stopping: &'a dyn Fn() -> bool,
    /// Told what happens.
    pub notify: &'a mut dyn FnMut(Notice<'_>),
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("task", &self.task)
            .field("worktree", &self.worktree.toplevel())
            .finish_non_exhaustive()
    }
}

/// What stays the same for a whole run.
struct Course {
    run: RunId,
    run_dir: PathBuf,
    base_commit: String,
    artifacts: PathBuf,
    tree: Snapshot,
    /// What orch last published at each path, for this task.
    published: BTreeMap<RelPath, Digest>,
}

impl Runner<'_> {
    /// Drives the task until it is done, failed, held, stopped, or has passed the stage of `until`.
    ///
    /// # Errors
    /// [`RunError`] where orch itself cannot do its work. What is recorded by then stays; the next run goes on
    /// from there.
    pub fn drive(&mut self, wanted: &Wanted) -> Result<Driven, RunError> {
        for name in wanted.from.iter().chain(&wanted.until) {
            find(self.pipeline, name.as_str())?;
        }
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        if let Some(driven) = self.recover(&mut ledger)?
            && wanted.from.is_none()
        {
            return Ok(driven);
        }
        let head = self.worktree.read_head(self.git)?;
        let commit = head.commit.to_string();
        let cache = self.state.tree_cache(self.worktree);
        let known = tree_cache::load(self.worktree, &cache);
        let tree = self.snapshot(self.pipeline, known.as_ref())?;
        let start = self.start_stage(&ledger, wanted, &commit, &tree)?;
        let Some(stage) = start else {
            let Some(TaskState::Done { run, .. }) = ledger.task().map(|task| task.state.clone()) else {
                return Err(RunError::Pinned("a done task without its run".to_owned()));
            };
            return Ok(Driven::DoneAlready { run });
        };
        self.check_way(&stage, wanted)?;

        let run = RunId::new(self.clock.id());
        let run_dir = self.state.run_dir(run);
        self.state.make(&run_dir)?;
        let base_commit = self.worktree.base(self.git)?.commit.to_string();
        if ledger.task().is_none() {
            let worktree = self.worktree.toplevel().to_owned();
            ledger.apply(Event::TaskAdded { task: self.task.clone(), worktree, at: self.clock.now() })?;
        }
        ledger.pin(PinnedPipeline::of(self.pipeline_text.to_vec()));
        ledger.apply(Event::RunStarted(RunStart {
            run,
            pipeline: self.pipeline.name().clone(),
            pipeline_digest: self.pipeline.digest(),
            commit: commit.clone(),
            base_commit: base_commit.clone(),
            stage: stage.name.clone(),
            at: self.clock.now(),
        }))?;
        (self.notify)(Notice::RunStarted { task: &self.task, run, stage: &stage.name });
        let artifacts = self.worktree.toplevel().join(self.artifacts_folder(self.pipeline).as_str());
        let published = self.published()?;
        let mut course = Course { run, run_dir, base_commit, artifacts, tree, published };
        let mut bench = Bench::default();
        let end = self.run_stages(&mut ledger, &mut course, &mut bench, wanted);
        bench.close();
        // A hint for the next run; losing it costs time only.
        if let Err(error) = tree_cache::save(&course.tree, self.worktree, &cache) {
            tracing::debug!(%error, "the tree's cache was not kept");
        }
        let end = end?;
        let state = ledger.task().map(|task| task.state.clone());
        let Some(state) = state else { return Err(RunError::Pinned("the task is gone".to_owned())) };
        Ok(Driven::Ran { run, end, state })
    }

    fn run_stages(
        &mut self,
        ledger: &mut Ledger,
        course: &mut Course,
        bench: &mut Bench,
        wanted: &Wanted,
    ) -> Result<RunEnd, RunError> {
        loop {
            let state = ledger.task().map(|task| task.state.clone());
            let (stage, visit, number) = match state {
                Some(TaskState::Ready { stage, visit, number, .. }) => (stage, visit, number),
                Some(TaskState::Held { .. }) => return self.close(ledger, course, RunEnd::Held),
                Some(TaskState::Done { .. }) => return self.close(ledger, course, RunEnd::Done),
                Some(TaskState::Failed { .. }) => return self.close(ledger, course, RunEnd::Failed),
                Some(TaskState::Cancelled { .. }) => return self.close(ledger, course, RunEnd::Cancelled),
                Some(TaskState::Queued { .. } | TaskState::Running { .. }) | None => {
                    return Err(RunError::Pinned("the task is not between two attempts".to_owned()));
                }
            };
            if (self.stopping)() {
                return self.close(ledger, course, RunEnd::Interrupted);
            }
            let pipeline = self.pipeline;
            let stage = find(pipeline, stage.as_str())?;
            let key = AttemptKey {
                attempt: AttemptId::new(self.clock.id()),
                task: self.task.clone(),
                run: course.run,
                stage: stage.name.clone(),
                visit,
                number,
            };
            let decision = self.attempt(ledger, course, bench, stage, key)?;
            match decision {
                Decision::Interrupt => return self.close(ledger, course, RunEnd::Interrupted),
                Decision::Advance(_) if wanted.until.as_ref() == Some(&stage.name) => {
                    return self.close(ledger, course, RunEnd::Done);
                }
                Decision::Advance(_)
                | Decision::Rollback { .. }
                | Decision::Rewrite
                | Decision::Hold(_)
                | Decision::Fail => {}
            }
        }
    }

    /// Runs one attempt to its decision. Its end and its decision are stored with the next commit.
    fn attempt(
        &mut self,
        ledger: &mut Ledger,
        course: &mut Course,
        bench: &mut Bench,
        stage: &Stage,
        key: AttemptKey,
    ) -> Result<Decision, RunError> {
        let attempt = key.attempt;
        let plan = self.plan_of(stage, key, course)?;
        let artifact = self.artifact_path(self.pipeline, stage);
        let published = artifact.as_ref().and_then(|path| course.published.get(path)).copied();
        let moved_dir = self.state.moved_dir(course.run, attempt);
        let taken =
            prepare(&plan, self.worktree.root(), artifact.as_ref().map(|path| (path, published.as_ref())), &moved_dir)
                .map_err(|source| RunError::Prepare { stage: stage.name.clone(), source })?;
        self.tell_taken(&taken);
        let before = self.snapshot(self.pipeline, Some(&course.tree))?;
        let intent = Intent {
            run: course.run,
            attempt,
            stage: stage.name.clone(),
            visit: plan.key.visit,
            number: plan.key.number,
            producer: plan.producer,
            chosen: "declared".to_owned(),
            nonce: plan.nonce,
            argv: plan.argv.words().to_vec(),
            cwd: plan.cwd.clone(),
            env_names: plan.env.names().into_iter().map(str::to_owned).collect(),
            tree: before.digest(),
            dirty: before.is_dirty(),
            at: self.clock.now(),
        };
        ledger.apply(Event::AttemptIntended(Box::new(intent.clone())))?;
        self.commit(ledger, artifact.as_ref())?;
        (self.notify)(Notice::AttemptStarted {
            stage: &stage.name,
            attempt,
            place: (plan.key.visit.get(), plan.key.number.get()),
            argv: plan.argv.words(),
        });
        let record = bench
            .run(&plan, &course.run_dir, self.stop, self.clock)
            .map_err(|error| RunError::Supervisor(chain(&error)))?;
        let after = self.snapshot(self.pipeline, Some(&before))?;
        let tree = compare(&before, &after);
        course.tree = after;
        let scene = Scene {
            stage,
            plan: &plan,
            record: &record,
            run_dir: &course.run_dir,
            root: self.worktree.root(),
            artifact: artifact.as_ref(),
            moved_dir: &moved_dir,
        };
        let judged = judge(scene, Some(tree));
        course.published.extend(judged.artifact.as_ref().map(|(artifact, _)| (artifact.path.clone(), artifact.digest)));
        self.settle(ledger, self.pipeline, scene, &intent, judged)
    }

    /// Records an attempt's end and decision in the ledger.
    fn settle(
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
        self.tell_taken(&judged.moved);
        let spent = ledger.task().map(|task| task.spent.clone()).unwrap_or_default();
        let decision = decide(pipeline, stage, &spent, &judged.settlement);
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
        Ok(decision)
    }

    /// Writes the stamp into the attempt's folder, where there is one. The store has it in any case.
    fn keep_stamp(&mut self, plan: &AttemptPlan, stamp: &Stamp) {
        let Some(folder) = &plan.attempt_dir else { return };
        let written = serde_json::to_vec_pretty(stamp)
            .map_err(std::io::Error::other)
            .and_then(|bytes| std::fs::write(folder.join("stamp.json"), bytes));
        if let Err(error) = written {
            (self.notify)(Notice::Warning(format!("stamp.json was not written to {}: {error}", folder.display())));
        }
    }

    fn close(&mut self, ledger: &mut Ledger, course: &Course, end: RunEnd) -> Result<RunEnd, RunError> {
        ledger.apply(Event::RunClosed { run: course.run, end, at: self.clock.now() })?;
        self.commit(ledger, None)?;
        Ok(end)
    }

    /// Stores what happened and carries out what follows from it; not what belongs to `vacant`, the place that was
    /// just made ready for an attempt: nothing old may stand there again.
    fn commit(&mut self, ledger: &mut Ledger, vacant: Option<&RelPath>) -> Result<(), RunError> {
        let effects = ledger.commit(self.store)?;
        for effect in effects {
            let Effect::PublishArtifact { artifact, .. } = &effect;
            if Some(&artifact.path) != vacant {
                self.carry_out(&effect)?;
            }
            ledger.carried_out(&effect);
        }
        Ok(())
    }

    /// Makes the worktree's copy of an artifact what the store says. The file stands there already, unless
    /// something came between; the store has the truth, and what came between is kept.
    fn carry_out(&mut self, effect: &Effect) -> Result<(), RunError> {
        let Effect::PublishArtifact { attempt, artifact } = effect;
        let found = crate::workspace::artifact::read_back(
            self.worktree.root(),
            &artifact.path,
            crate::workspace::artifact::ARTIFACT_BYTES_MAX,
        );
        if found.is_ok_and(|bytes| Digest::of(&bytes) == artifact.digest) {
            return Ok(());
        }
        let Some(bytes) = self.store.artifact(&artifact.digest)? else { return Ok(()) };
        if let Some(stored) = self.store.attempt(*attempt)? {
            let moved_dir = self.state.moved_dir(stored.intent.run, *attempt);
            match take_away(self.worktree.root(), &artifact.path, None, &moved_dir) {
                Ok(taken) => self.tell_taken(&taken),
                Err(error) => (self.notify)(Notice::Warning(format!("could not {}", chain(&error)))),
            }
        }
        match publish(self.worktree.root(), &artifact.path, &bytes, Durability::Relaxed) {
            Ok(()) => (self.notify)(Notice::Warning(format!("{} was repaired from the store", artifact.path))),
            Err(error) => (self.notify)(Notice::Warning(format!("could not {}", chain(&error)))),
        }
        Ok(())
    }

    /// Brings an attempt that an earlier runner left to its decision, and closes that runner's run. Where that is a
    /// hold or a fail, it is what this run has to tell: it must not be lost behind another attempt.
    fn recover(&mut self, ledger: &mut Ledger) -> Result<Option<Driven>, RunError> {
        for pending in self.store.pending_effects(Some(&self.task))? {
            self.carry_out(&pending.effect)?;
            self.store.effect_done(&pending.id)?;
        }
        let Some(task) = ledger.task() else { return Ok(None) };
        let Some(run) = task.state.live_run() else { return Ok(None) };
        if task.worktree != self.worktree.toplevel() && task.worktree.exists() {
            return Err(RunError::Elsewhere { run, worktree: task.worktree.clone() });
        }
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
        let record = match running {
            Some((attempt, phase)) => Some(self.recover_attempt(ledger, run, attempt, phase)?),
            None => None,
        };
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
        self.commit(ledger, None)?;
        // What was never started left nothing to look at, so that the task can simply go on; so it does where
        // its stage passed or was stopped.
        let started = record.is_none_or(|record| record.exit != Exit::Lost { reason: LostReason::NeverStarted });
        let ended = matches!(end, RunEnd::Held | RunEnd::Failed) || (self.stopping)();
        let state = ledger.task().map(|task| task.state.clone());
        Ok(state.filter(|_| started && ended).map(|state| Driven::Ran { run, end, state }))
    }

    fn recover_attempt(
        &mut self,
        ledger: &mut Ledger,
        run: RunId,
        attempt: AttemptId,
        phase: AttemptPhase,
    ) -> Result<ExitRecord, RunError> {
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
            (AttemptPhase::Finished | AttemptPhase::Intended, _) => self.ended(&run_dir, &plan, &stored)?,
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
            moved_dir: &self.state.moved_dir(run, attempt),
        };
        let judged = judge(scene, Some(tree));
        self.settle(ledger, &pinned, scene, &stored.intent, judged)?;
        Ok(record)
    }

    /// How an attempt ended whose runner died; waits for a supervisor that still works on it. A request to stop is
    /// passed on to that supervisor.
    fn ended(&mut self, run_dir: &Path, plan: &AttemptPlan, stored: &AttemptRecord) -> Result<ExitRecord, RunError> {
        let failed = |error: &dyn std::error::Error| RunError::Supervisor(chain(error));
        let boot = BootId::current().map_err(|error| failed(&error))?;
        let mut stop = Some(self.stop);
        loop {
            let found = recover(run_dir, plan.key.attempt, plan.nonce, &boot, stop).map_err(|error| failed(&error))?;
            return Ok(match found {
                Recovered::Settled(Ending::Ended(record)) => *record,
                Recovered::Settled(Ending::Lost(loss)) => lost(plan, loss, stored.intent.at, self.clock.now()),
                Recovered::Living { .. } => {
                    // Once: it ends within its grace now, and its record says that it was cancelled.
                    stop_orphan(run_dir);
                    stop = None;
                    continue;
                }
            });
        }
    }

    /// The stage to start at; `None` where the task is done for exactly these inputs.
    fn start_stage(
        &mut self,
        ledger: &Ledger,
        wanted: &Wanted,
        commit: &str,
        tree: &Snapshot,
    ) -> Result<Option<Stage>, RunError> {
        let inputs = Inputs { pipeline: self.pipeline.digest(), commit, tree: tree.digest() };
        let state = ledger.task().map(|task| &task.state);
        let stage = match (&wanted.from, state) {
            (Some(from), _) => self.proven_start(find(self.pipeline, from.as_str())?, inputs)?,
            (
                None,
                Some(
                    TaskState::Queued { stage: Some(at) }
                    | TaskState::Held { stage: at, .. }
                    | TaskState::Ready { stage: at, .. }
                    | TaskState::Running { stage: at, .. },
                ),
            ) => {
                if let Some(stage) = self.pipeline.stage(at) {
                    self.proven_start(stage, inputs)?
                } else {
                    (self.notify)(Notice::Warning(format!(
                        "the task stands at `{at}`, which the pipeline no longer has; starting at its first stage"
                    )));
                    self.pipeline.first()
                }
            }
            (None, Some(TaskState::Done { run, .. })) => {
                let start = self.store.run(*run)?.map(|record| record.start);
                let same =
                    start.is_some_and(|start| start.pipeline_digest == inputs.pipeline && start.commit == commit);
                let last = self.store.attempts(*run)?.into_iter().next_back();
                let left =
                    last.and_then(|last| last.decided).and_then(|decided| decided.evidence.tree.map(|tree| tree.left));
                if same && left == Some(inputs.tree) {
                    return Ok(None);
                }
                self.pipeline.first()
            }
            (
                None,
                Some(TaskState::Queued { stage: None } | TaskState::Failed { .. } | TaskState::Cancelled { .. }) | None,
            ) => self.pipeline.first(),
        };
        Ok(Some(stage.clone()))
    }

    /// A stage to go on at, or the first before it whose verdict does not stand for these inputs.
    fn proven_start<'p>(&mut self, stage: &'p Stage, inputs: Inputs<'_>) -> Result<&'p Stage, RunError>
    where
        Self: 'p,
    {
        let way = reuse::way_to(self.pipeline, &stage.name).unwrap_or_default();
        let passes = self.passes(inputs)?;
        let Some(earlier) = reuse::first_unproven(&way, &passes, inputs) else { return Ok(stage) };
        (self.notify)(Notice::Warning(format!(
            "starting at `{}`: it comes before `{}` and has no pass for this commit, tree and pipeline",
            earlier.name, stage.name
        )));
        Ok(earlier)
    }

    /// The passes that stand for a commit and a pipeline, oldest runs first.
    fn passes(&self, inputs: Inputs<'_>) -> Result<Passes, RunError> {
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        let mut passes = Passes::new();
        for run in self.store.runs(&filter)?.into_iter().rev() {
            if run.start.pipeline_digest != inputs.pipeline || run.start.commit != inputs.commit {
                passes.clear();
                continue;
            }
            for attempt in self.store.attempts(run.start.run)? {
                reuse::note(&mut passes, &attempt);
            }
        }
        Ok(passes)
    }

    /// Refuses, before anything starts, a way that leads through a producer which is not built.
    fn check_way(&self, start: &Stage, wanted: &Wanted) -> Result<(), RunError> {
        let until = match &wanted.until {
            Some(name) => Some(&find(self.pipeline, name.as_str())?.name),
            None => None,
        };
        let way = self.stages_from(start, until);
        if let Some(until) = until
            && !reuse::passes_lead(self.pipeline, start, until)
        {
            return Err(RunError::UntilBefore { from: start.name.clone(), until: until.clone() });
        }
        for stage in way {
            match &stage.producer {
                // A check that is declared and not made would be a pass without proof.
                Producer::TestRunner(suite) | Producer::Command(suite) if !suite.smoke.is_empty() => {
                    return Err(RunError::NotBuilt { stage: stage.name.clone(), what: "smoke checks" });
                }
                Producer::TestRunner(_) | Producer::Command(_) => {}
                Producer::Agent(_) | Producer::StagingRunner(_) | Producer::Approval => {
                    return Err(RunError::NotBuilt { stage: stage.name.clone(), what: stage.producer.kind().as_str() });
                }
            }
        }
        Ok(())
    }

    fn stages_from(&self, start: &Stage, until: Option<&StageName>) -> Vec<&Stage> {
        let Some(start) = self.pipeline.stage(&start.name) else { return Vec::new() };
        reuse::reachable(self.pipeline, start, until)
    }

    /// The plans of every stage that a run would come to, in the order of the file. Starts and stores nothing.
    ///
    /// # Errors
    /// As [`Runner::drive`].
    pub fn dry_run(&mut self, wanted: &Wanted) -> Result<Vec<(Stage, AttemptPlan)>, RunError> {
        let ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let head = self.worktree.read_head(self.git)?;
        let commit = head.commit.to_string();
        let tree = self.snapshot(self.pipeline, None)?;
        let Some(start) = self.start_stage(&ledger, wanted, &commit, &tree)? else { return Ok(Vec::new()) };
        self.check_way(&start, wanted)?;
        let run = RunId::new(self.clock.id());
        let course = Course {
            run,
            run_dir: self.state.run_dir(run),
            base_commit: self.worktree.base(self.git)?.commit.to_string(),
            artifacts: self.worktree.toplevel().join(self.artifacts_folder(self.pipeline).as_str()),
            tree,
            published: BTreeMap::new(),
        };
        let one = std::num::NonZeroU32::MIN;
        let stages: Vec<Stage> = self.stages_from(&start, wanted.until.as_ref()).into_iter().cloned().collect();
        stages
            .into_iter()
            .map(|stage| {
                let key = AttemptKey {
                    attempt: AttemptId::new(self.clock.id()),
                    task: self.task.clone(),
                    run,
                    stage: stage.name.clone(),
                    visit: one,
                    number: one,
                };
                self.plan_of(&stage, key, &course).map(|plan| (stage, plan))
            })
            .collect()
    }

    fn plan_of(&self, stage: &Stage, key: AttemptKey, course: &Course) -> Result<AttemptPlan, RunError> {
        let attempt_dir = self.state.attempt_dir(course.run, key.attempt);
        let site = Site {
            worktree: self.worktree.toplevel(),
            base_commit: &course.base_commit,
            artifacts: &course.artifacts,
            attempt_dir: &attempt_dir,
        };
        let nonce = Nonce::new(self.clock.secret());
        plan(stage, &stage.producer, key, nonce, &site, &self.host_env)
            .map_err(|source| RunError::Plan { stage: stage.name.clone(), source })
    }

    /// Looks at the worktree's tree, less artifacts and declared reports.
    fn snapshot(&self, pipeline: &Pipeline, known: Option<&Snapshot>) -> Result<Snapshot, RunError> {
        let reports = pipeline.stages().iter().flat_map(|stage| match &stage.producer {
            Producer::TestRunner(suite) | Producer::Command(suite) => suite.reports.as_slice(),
            Producer::StagingRunner(staging) => staging.suite.reports.as_slice(),
            Producer::Agent(_) | Producer::Approval => &[],
        });
        let places = reports.filter_map(|report| match &report.place {
            ReportPlace::Worktree(path) => Some(path.clone()),
            ReportPlace::Attempt(_) => None,
        });
        let less = Less::new(self.artifacts_folder(pipeline), places);
        Ok(Snapshot::take(self.git, self.worktree, &less, known)?)
    }

    fn artifacts_folder(&self, pipeline: &Pipeline) -> RelPath {
        let text = pipeline.artifacts().as_str().replace("{task}", self.task.as_str());
        RelPath::new(text).unwrap_or_else(|_| pipeline.artifacts().clone())
    }

    fn artifact_path(&self, pipeline: &Pipeline, stage: &Stage) -> Option<RelPath> {
        let name = stage.artifact.as_ref()?;
        RelPath::new(format!("{}/{name}", self.artifacts_folder(pipeline))).ok()
    }

    /// Hashes of what orch last published for this task, by path.
    fn published(&self) -> Result<BTreeMap<RelPath, Digest>, RunError> {
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        let mut published = BTreeMap::new();
        for run in self.store.runs(&filter)?.into_iter().rev() {
            for attempt in self.store.attempts(run.start.run)? {
                published.extend(attempt.decided.and_then(|decided| decided.artifact).map(|a| (a.path, a.digest)));
            }
        }
        Ok(published)
    }

    fn tell_taken(&mut self, taken: &Taken) {
        let text = match taken {
            Taken::Nothing | Taken::Published => return,
            Taken::Moved { kind, to } => {
                format!("a {kind} that orch did not write stood at the artifact's place; it is now {}", to.display())
            }
            Taken::SetAside { name } => {
                format!("a folder stood at the artifact's place; it is now called {}", name.to_string_lossy())
            }
        };
        (self.notify)(Notice::Warning(text));
    }
}

fn find<'p>(pipeline: &'p Pipeline, wanted: &str) -> Result<&'p Stage, RunError> {
    pipeline.stages().iter().find(|stage| stage.name.as_str() == wanted).ok_or_else(|| RunError::UnknownStage {
        wanted: wanted.to_owned(),
        known: pipeline.stages().iter().map(|stage| format!("`{}`", stage.name)).collect::<Vec<_>>().join(", "),
    })
}

/// What is known of a tree whose files before the attempt nobody remembers: only whether it is another.
fn unseen(before: Digest, now: Digest) -> TreeFacts {
    TreeFacts { before, after: now, left: now, changed: Vec::new(), added: Vec::new() }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}
