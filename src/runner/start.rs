//! Where a run starts and what it may come to, before anything is started.

use std::collections::BTreeMap;

use crate::domain::id::{AttemptId, RelPath, RunId, StageName};
use crate::domain::pipeline::{Producer, ReportPlace, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::domain::task::TaskState;
use crate::store::RunFilter;
use crate::workspace::tree::Snapshot;

use super::drive::{Course, RUNS_LOOKED_AT, Runner, Wanted, find};
use super::error::RunError;
use super::ledger::Ledger;
use super::notice::Notice;
use super::reuse::{self, Inputs, Passes};

impl Runner<'_> {
    /// The stage to start at; `None` where the task is done for exactly these inputs.
    pub(super) fn start_stage(
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
    pub(super) fn proven_start<'p>(&mut self, stage: &'p Stage, inputs: Inputs<'_>) -> Result<&'p Stage, RunError>
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
    pub(super) fn check_way(&self, start: &Stage, wanted: &Wanted, tree: &Snapshot) -> Result<(), RunError> {
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
            if let Some(path) = reports_below(stage).find(|path| tree.commits(path)) {
                return Err(RunError::ReportCommitted { stage: stage.name.clone(), path: path.clone() });
            }
            if let Some(name) = self.set_switch(stage) {
                return Err(RunError::NotBuilt {
                    stage: stage.name.clone(),
                    what: format!("the switch {name}, which is set"),
                });
            }
            match &stage.producer {
                Producer::TestRunner(_) | Producer::Command(_) => {}
                Producer::Agent(_) | Producer::StagingRunner(_) | Producer::Approval => {
                    return Err(RunError::NotBuilt {
                        stage: stage.name.clone(),
                        what: format!("the producer `{}`", stage.producer.kind().as_str()),
                    });
                }
            }
        }
        Ok(())
    }

    /// A variable of a stage's switch that is set. Switches are not read yet, and one must not be passed over.
    fn set_switch(&self, stage: &Stage) -> Option<String> {
        let switch = stage.switch.as_ref()?;
        let names = ["_ENABLED", "_REPOS"].map(|part| format!("{switch}{part}"));
        names.into_iter().find(|name| self.host_env.iter().any(|(known, value)| known == name && !value.is_empty()))
    }

    pub(super) fn stages_from(&self, start: &Stage, until: Option<&StageName>) -> Vec<&Stage> {
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
        self.check_way(&start, wanted, &tree)?;
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
}

/// The reports of a stage that are declared below the worktree.
pub(super) fn reports_below(stage: &Stage) -> impl Iterator<Item = &RelPath> {
    let reports = match &stage.producer {
        Producer::TestRunner(suite) | Producer::Command(suite) => suite.reports.as_slice(),
        Producer::StagingRunner(staging) => staging.suite.reports.as_slice(),
        Producer::Agent(_) | Producer::Approval => &[],
    };
    reports.iter().filter_map(|report| match &report.place {
        ReportPlace::Worktree(path) => Some(path),
        ReportPlace::Attempt(_) => None,
    })
}
