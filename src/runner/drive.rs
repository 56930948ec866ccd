//! The loop of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Settings;
use crate::domain::agent::Usage;
use crate::domain::decision::Decision;
use crate::domain::id::{AttemptId, Digest, RelPath, RunId, StageName, TaskName};
use crate::domain::mask::Masker;
use crate::domain::pipeline::{Ordinal, Pipeline, Stage};
use crate::domain::plan::AttemptKey;
use crate::domain::task::{Event, RunEnd, RunStart, TaskState};
use crate::exec::BootId;
use crate::producer::{Before, PrepareError};
use crate::store::{Holder, PinnedPipeline, RunFilter, Store};
use crate::workspace::artifact::take_away;
use crate::workspace::state_dir::StateDir;
use crate::workspace::tree::{Less, Snapshot};
use crate::workspace::tree_cache;
use crate::workspace::worktree::{Head, Worktree};

use super::agent::Prompts;
use super::bench::Bench;
use super::checkout::artifacts_of;
use super::choice::Next;
use super::clock::Clock;
use super::error::RunError;
use super::ledger::Ledger;
use super::notice::Notice;
use super::pinned::PipelineFile;
use super::reuse;
use super::shadow::Due;
use super::start::reports_below;
use super::told::Told;
use super::wait::Waited;
use super::world::World;

/// Runs whose verdicts are looked at for reuse.
pub(super) const RUNS_LOOKED_AT: u32 = 50;

/// How often a run begins anew because the tree changed under it.
const MOVES_MAX: u32 = 5;

/// What is asked of a run.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Run this stage again; earlier ones only where their verdicts do not stand.
    pub from: Option<StageName>,
    /// Stop after this stage has passed.
    pub until: Option<StageName>,
    /// How long this run may wait for retry times, in all.
    pub max_wait: Duration,
    /// Go on with a pipeline that is not the one the task was left with.
    pub accept_pipeline: bool,
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
    /// The stage of `--until` has passed for this very commit, tree and pipeline; nothing was started.
    PassedAlready {
        /// The stage.
        until: StageName,
        /// The task's last run.
        run: RunId,
    },
    /// The task was done already, for this very commit, tree and pipeline; nothing was started.
    DoneAlready {
        /// The run that did it.
        run: RunId,
    },
    /// The task is held, deferred or paused, and stays so; nothing was started.
    Stays {
        /// The task's last run.
        run: Option<RunId>,
        /// The task's state.
        state: TaskState,
        /// What its probe found, where it was tried.
        found: Option<String>,
    },
}

/// How the stages of a run ended.
enum Closed {
    /// The run closed so.
    As(RunEnd),
    /// The run closed because its tree is another; the task goes on with a new one.
    Moved,
}

/// What one try at driving a task came to.
enum Once {
    /// This.
    Driven {
        /// How it came out.
        driven: Driven,
        /// What is left of the time that may be waited.
        may_wait: Duration,
    },
    /// The tree changed under it.
    Moved {
        /// What is left of the time that may be waited.
        may_wait: Duration,
    },
}

/// Everything a run needs.
pub struct Runner<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// Its file's bytes.
    pub pipeline_text: &'a [u8],
    /// Its file, where a change of it is to be noticed.
    pub pipeline_file: Option<PipelineFile>,
    /// The task.
    pub task: TaskName,
    /// What is outside the store and the files.
    pub world: &'a dyn World,
    /// The task's worktree.
    pub worktree: &'a Worktree,
    /// The state folder.
    pub state: &'a StateDir,
    /// The store in it.
    pub store: &'a mut dyn Store,
    /// This process, for people.
    pub holder: Holder,
    /// The person at the command line, by name.
    pub person: String,
    /// orch's own environment, UTF-8 pairs only.
    pub host_env: Vec<(String, String)>,
    /// Switches, limits and retries in force.
    pub settings: &'a Settings,
    /// What the repository is called where switches name it.
    pub repository: String,
    /// Clock and ids.
    pub clock: &'a dyn Clock,
    /// Readable when the run is asked to stop; every byte is a request.
    pub stop: BorrowedFd<'a>,
    /// Whether it has been asked to stop.
    pub stopping: &'a dyn Fn() -> bool,
    /// Whether the locks that this runner works under are still its own; asked before anything is started or written.
    pub still_ours: &'a dyn Fn() -> bool,
    /// How often [`Notice::Working`] is told; never where `None`.
    pub progress: Option<Duration>,
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
pub(super) struct Course {
    pub(super) run: RunId,
    pub(super) run_dir: PathBuf,
    pub(super) base_commit: String,
    pub(super) artifacts: PathBuf,
    pub(super) tree: Snapshot,
    /// What orch last published at each path, for this task.
    pub(super) published: BTreeMap<RelPath, Digest>,
    /// How long the run may still wait for retry times.
    pub(super) may_wait: Duration,
    /// The prompts of its agents, as they were when it started.
    pub(super) prompts: Prompts,
    /// What the last attempt that says something about the work came to.
    pub(super) told: Option<Told>,
    /// What the agents of each stage have used up in this run.
    pub(super) used: BTreeMap<StageName, Usage>,
    /// The caps of stages that count without an attempt which did not tell, and of which that was said.
    pub(super) uncounted: BTreeSet<(StageName, &'static str)>,
    /// What was there before the first attempt of the agent's visit that is under way.
    pub(super) before: Option<((StageName, Ordinal), Before)>,
    /// The stage whose agent changed the pipeline file in this run.
    pub(super) edited: Option<StageName>,
    /// The shadow that is to be run beside the last attempt.
    pub(super) shadow: Option<Due>,
    /// What the shadows of each stage have used up in this run.
    pub(super) shadow_used: BTreeMap<StageName, Usage>,
    /// What hides secrets in what is published.
    pub(super) masker: Masker,
}

impl Runner<'_> {
    /// Drives the task until it is done, failed, held, stopped, or has passed the stage of `until`.
    ///
    /// # Errors
    /// [`RunError`] where orch itself cannot do its work. What is recorded by then stays; the next run goes on
    /// from there.
    pub fn drive(&mut self, wanted: &Wanted) -> Result<Driven, RunError> {
        let mut wanted = wanted.clone();
        let mut moves = 0;
        while moves < MOVES_MAX {
            let once = self.drive_once(&wanted).map_err(|error| self.damaged(error))?;
            match once {
                Once::Driven { driven, mut may_wait } => {
                    if !self.wait_for_host(&driven, &mut may_wait)? {
                        return Ok(driven);
                    }
                    wanted = Wanted { from: None, max_wait: may_wait, ..wanted };
                }
                Once::Moved { may_wait } => {
                    moves += 1;
                    (self.notify)(Notice::Warning(
                        "the worktree changed while the run was under way; starting where its verdicts still stand"
                            .to_owned(),
                    ));
                    wanted = Wanted { from: None, max_wait: may_wait, ..wanted };
                }
            }
        }
        Err(RunError::Moving)
    }

    fn drive_once(&mut self, wanted: &Wanted) -> Result<Once, RunError> {
        let whole = |driven| Once::Driven { driven, may_wait: wanted.max_wait };
        for name in wanted.from.iter().chain(&wanted.until) {
            find(self.pipeline, name.as_str())?;
        }
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        if let Some(driven) = self.recover(&mut ledger)?
            && wanted.from.is_none()
        {
            return Ok(whole(driven));
        }
        if let Some(stays) = self.take_up(&mut ledger, wanted)? {
            return Ok(whole(stays));
        }
        let cache = self.state.tree_cache(self.worktree);
        let known = tree_cache::load(self.worktree, &cache);
        let tree = self.snapshot(self.pipeline, known.as_ref())?;
        let commit = tree.head().commit.to_string();
        let start = self.start_stage(&ledger, wanted, &commit, &tree)?;
        let Some(stage) = start else {
            let Some(TaskState::Done { run, .. }) = ledger.task().map(|task| task.state.clone()) else {
                return Err(RunError::Pinned("a done task without its run".to_owned()));
            };
            return Ok(whole(Driven::DoneAlready { run }));
        };
        if let (None, Some(until), Some(task)) = (&wanted.from, &wanted.until, ledger.task())
            && reuse::way_to(self.pipeline, &stage.name)
                .is_some_and(|way| way.iter().any(|passed| passed.name == *until))
            && let Some(run) = self.last_run(&task.name.clone())?
        {
            return Ok(whole(Driven::PassedAlready { until: until.clone(), run }));
        }
        self.check_way(&stage, wanted, &tree)?;
        let masker = self.remember_secrets()?;
        let prompts = self.prompts(self.stages_from(&stage, wanted.until.as_ref()))?;

        let run = RunId::new(self.clock.id());
        let run_dir = self.state.run_dir(run);
        self.state.make(&run_dir)?;
        failpoint!("run.folder-made");
        if ledger.task().is_none() {
            let worktree = self.worktree.toplevel().to_owned();
            ledger.apply(Event::TaskAdded {
                task: self.task.clone(),
                worktree,
                checkout: None,
                at: self.clock.now(),
            })?;
        }
        ledger.pin(PinnedPipeline::of(self.pipeline_text.to_vec()));
        let started = self.run_start(run, &stage, tree.head())?;
        let base_commit = started.base_commit.clone();
        ledger.apply(Event::RunStarted(started))?;
        (self.notify)(Notice::RunStarted { task: &self.task, run, stage: &stage.name });
        let artifacts = self.worktree.toplevel().join(self.artifacts_folder(self.pipeline).as_str());
        let published = if self.has_artifacts() { artifacts_of(self.store, &self.task)? } else { BTreeMap::new() };
        let may_wait = wanted.max_wait;
        let told = self.told_before()?;
        let mut course = Course {
            run,
            run_dir,
            base_commit,
            artifacts,
            tree,
            published,
            may_wait,
            prompts,
            told,
            used: BTreeMap::new(),
            uncounted: BTreeSet::new(),
            before: None,
            edited: None,
            shadow: None,
            shadow_used: BTreeMap::new(),
            masker,
        };
        self.clear_way(&stage, &course)?;
        failpoint!("run.way-cleared");
        let mut bench = Bench::default();
        let mut end = self.run_stages(&mut ledger, &mut course, &mut bench, wanted);
        // The run is closed by now: whatever becomes of the shadow, the stage's end is on the disk.
        if end.is_ok()
            && let Err(error) = self.run_shadow(&mut course, &mut bench)
        {
            end = Err(error);
        }
        bench.close();
        // A hint for the next run; losing it costs time only.
        if end.is_ok()
            && let Err(error) = tree_cache::save(&course.tree, self.worktree, &cache)
        {
            tracing::debug!(%error, "the tree's cache was not kept");
        }
        let end = match end? {
            Closed::As(end) => end,
            Closed::Moved => return Ok(Once::Moved { may_wait: course.may_wait }),
        };
        let state = ledger.task().map(|task| task.state.clone());
        let Some(state) = state else { return Err(RunError::Pinned("the task is gone".to_owned())) };
        Ok(Once::Driven { driven: Driven::Ran { run, end, state }, may_wait: course.may_wait })
    }

    /// What a run that starts now is bound to.
    pub(super) fn run_start(&self, run: RunId, stage: &Stage, head: &Head) -> Result<RunStart, RunError> {
        Ok(RunStart {
            run,
            pipeline: self.pipeline.name().clone(),
            pipeline_digest: self.pipeline.digest(),
            commit: head.commit.to_string(),
            base_commit: self.base_commit(head)?,
            stage: stage.name.clone(),
            boot: BootId::current().map_err(|error| RunError::Supervisor(error.to_string()))?.to_string(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            at: self.clock.now(),
        })
    }

    /// Takes away the artifacts of every stage this run may come to: what an earlier run said of another tree must
    /// not stand there while this one works, or fails before it comes that far.
    fn clear_way(&mut self, start: &Stage, course: &Course) -> Result<(), RunError> {
        self.fence()?;
        let way: Vec<Stage> = self.stages_from(start, None).into_iter().cloned().collect();
        let moved_dir = course.run_dir.join("moved").join("start");
        for stage in way {
            let Some(path) = self.artifact_path(self.pipeline, &stage) else { continue };
            let taken = take_away(self.worktree.root(), &path, course.published.get(&path), &moved_dir)
                .map_err(|source| RunError::Prepare { stage: stage.name, source: PrepareError::Artifact(source) })?;
            self.tell_taken(&taken);
        }
        Ok(())
    }

    fn run_stages(
        &mut self,
        ledger: &mut Ledger,
        course: &mut Course,
        bench: &mut Bench,
        wanted: &Wanted,
    ) -> Result<Closed, RunError> {
        loop {
            let state = ledger.task().map(|task| task.state.clone());
            let (stage, visit, number) = match state {
                Some(TaskState::Ready { stage, visit, number, .. }) => (stage, visit, number),
                Some(TaskState::Waiting { stage, number, deferral, .. }) => {
                    bench.close();
                    match self.wait(ledger, course, &stage, number, &deferral)? {
                        Waited::Due => continue,
                        Waited::TooLong => return self.close(ledger, course, RunEnd::Held).map(Closed::As),
                        Waited::Stopped => return self.close(ledger, course, RunEnd::Interrupted).map(Closed::As),
                    }
                }
                Some(TaskState::Held { .. }) => return self.close(ledger, course, RunEnd::Held).map(Closed::As),
                Some(TaskState::Done { .. }) => return self.close(ledger, course, RunEnd::Done).map(Closed::As),
                Some(TaskState::Failed { .. }) => return self.close(ledger, course, RunEnd::Failed).map(Closed::As),
                Some(TaskState::Cancelled { .. }) => {
                    return self.close(ledger, course, RunEnd::Cancelled).map(Closed::As);
                }
                Some(
                    TaskState::Queued { .. }
                    | TaskState::Running { .. }
                    | TaskState::Deferred { .. }
                    | TaskState::Paused { .. },
                )
                | None => {
                    return Err(RunError::Pinned("the task is not between two attempts".to_owned()));
                }
            };
            if (self.stopping)() {
                return self.close(ledger, course, RunEnd::Interrupted).map(Closed::As);
            }
            if course.shadow.is_some() {
                self.commit(ledger, None)?;
                self.run_shadow(course, bench)?;
                // Somebody may have asked for a stop, or edited the pipeline, meanwhile.
                continue;
            }
            let pipeline = self.pipeline;
            let stage = find(pipeline, stage.as_str())?;
            // The very agent that changed it is told so, and may take it back; the run goes by what it read at its start.
            let mends = course.edited.as_ref() == Some(&stage.name);
            if !mends && self.pipeline_file.as_mut().is_some_and(PipelineFile::has_changed) {
                let next = stage.name.clone();
                self.close(ledger, course, RunEnd::Interrupted)?;
                return Err(RunError::PipelineEdited { next });
            }
            let chosen = match self.choose(stage) {
                Next::Run(chosen) => chosen,
                Next::Hold(reason) => {
                    ledger.apply(Event::StageHeld {
                        run: course.run,
                        stage: stage.name.clone(),
                        reason,
                        at: self.clock.now(),
                    })?;
                    continue;
                }
            };
            if let Some(reason) = Self::capped(course, stage, chosen.producer) {
                let (run, stage, at) = (course.run, stage.name.clone(), self.clock.now());
                ledger.apply(Event::StageHeld { run, stage, reason, at })?;
                continue;
            }
            let room = self.room();
            for unknown in room.unknown {
                (self.notify)(Notice::Warning(unknown));
            }
            if let Some(reason) = room.short {
                let (run, stage) = (course.run, stage.name.clone());
                ledger.apply(Event::StageHeld { run, stage, reason, at: self.clock.now() })?;
                continue;
            }
            let key = AttemptKey {
                attempt: AttemptId::new(self.clock.id()),
                task: self.task.clone(),
                run: course.run,
                stage: stage.name.clone(),
                visit,
                number,
            };
            let Some(decision) = self.attempt(ledger, course, bench, (stage, chosen), key)? else {
                self.close(ledger, course, RunEnd::Interrupted)?;
                return Ok(Closed::Moved);
            };
            match decision {
                Decision::Interrupt => return self.close(ledger, course, RunEnd::Interrupted).map(Closed::As),
                Decision::Advance(_) if wanted.until.as_ref() == Some(&stage.name) => {
                    return self.close(ledger, course, RunEnd::Done).map(Closed::As);
                }
                Decision::Advance(_)
                | Decision::Rollback { .. }
                | Decision::Rewrite
                | Decision::Retry { .. }
                | Decision::Hold(_)
                | Decision::Fail => {}
            }
        }
    }

    pub(super) fn close(&mut self, ledger: &mut Ledger, course: &Course, end: RunEnd) -> Result<RunEnd, RunError> {
        ledger.apply(Event::RunClosed { run: course.run, end, at: self.clock.now() })?;
        failpoint!("run.closing");
        self.commit(ledger, None)?;
        failpoint!("run.closed");
        Ok(end)
    }

    /// Looks at the worktree's tree, less declared artifacts and reports.
    pub(super) fn snapshot(&self, pipeline: &Pipeline, known: Option<&Snapshot>) -> Result<Snapshot, RunError> {
        Ok(self.world.snapshot(self.worktree, &self.less(pipeline), known)?)
    }

    /// What does not belong to the tree.
    pub(super) fn less(&self, pipeline: &Pipeline) -> Less {
        let reports = pipeline.stages().iter().flat_map(reports_below).cloned();
        Less::new(self.artifact_paths(pipeline), reports)
    }

    /// Where the stages' artifacts stand.
    pub(super) fn artifact_paths<'s>(&'s self, pipeline: &'s Pipeline) -> impl Iterator<Item = RelPath> + 's {
        pipeline.stages().iter().filter_map(|stage| self.artifact_path(pipeline, stage))
    }

    pub(super) fn artifacts_folder(&self, pipeline: &Pipeline) -> RelPath {
        let text = pipeline.artifacts().as_str().replace("{task}", self.task.as_str());
        RelPath::new(text).unwrap_or_else(|_| pipeline.artifacts().clone())
    }

    pub(super) fn artifact_path(&self, pipeline: &Pipeline, stage: &Stage) -> Option<RelPath> {
        let name = stage.artifact.as_ref()?;
        RelPath::new(format!("{}/{name}", self.artifacts_folder(pipeline))).ok()
    }

    /// Whether the pipeline has a place in the worktree where something that orch published may stand.
    pub(super) fn has_artifacts(&self) -> bool {
        self.pipeline.stages().iter().any(|stage| stage.artifact.is_some())
    }

    pub(super) fn last_run(&self, task: &TaskName) -> Result<Option<RunId>, RunError> {
        let filter = RunFilter { task: Some(task.clone()), limit: Some(1) };
        Ok(self.store.runs(&filter)?.first().map(|run| run.start.run))
    }
}

pub(super) fn find<'p>(pipeline: &'p Pipeline, wanted: &str) -> Result<&'p Stage, RunError> {
    StageName::new(wanted).ok().and_then(|name| pipeline.stage(&name)).ok_or_else(|| RunError::UnknownStage {
        wanted: wanted.to_owned(),
        known: pipeline.stages().iter().map(|stage| format!("`{}`", stage.name)).collect::<Vec<_>>().join(", "),
    })
}
