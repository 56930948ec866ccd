//! Where a run starts and what it may come to, before anything is started.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::agent::{Agent, AgentProfile, Permissions};
use crate::domain::decision::HoldReason;
use crate::domain::id::{AttemptId, RelPath, RunId, StageName};
use crate::domain::pipeline::{Producer, ProducerKind, ReportPlace, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::domain::task::TaskState;
use crate::store::RunFilter;
use crate::workspace::tree::Snapshot;

use super::agent::Prompts;
use super::choice::Next;
use super::drive::{Course, RUNS_LOOKED_AT, Runner, Wanted, find};
use super::error::RunError;
use super::ledger::Ledger;
use super::notice::Notice;
use super::reuse::{self, Inputs, Verdicts};

/// A stage that a run may come to, and what it would do there.
#[derive(Debug)]
pub struct Planned {
    /// The stage.
    pub stage: Stage,
    /// What would be done.
    pub step: PlannedStep,
}

/// What a run would do with a stage.
#[derive(Debug)]
pub enum PlannedStep {
    /// A producer would be started.
    Start {
        /// With this plan.
        plan: Box<AttemptPlan>,
        /// Why this producer.
        why: String,
        /// Whether it stands in for the declared one.
        fallback: bool,
        /// The agent that would be run beside it, to be compared.
        shadow: Option<AgentProfile>,
    },
    /// The task would be held there.
    Hold(HoldReason),
    /// The run would be refused before anything starts.
    Refused(RunError),
}

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
                    | TaskState::Deferred { stage: at, .. }
                    | TaskState::Waiting { stage: at, .. }
                    | TaskState::Ready { stage: at, .. }
                    | TaskState::Running { stage: at, .. },
                ),
            ) => match self.pipeline.stage(at) {
                Some(stage) => self.proven_start(stage, inputs)?,
                None => return Err(self.stage_gone(at)),
            },
            (None, Some(TaskState::Done { run, .. })) => {
                let start = self.store.run(*run)?.map(|record| record.start);
                // Agents commit: the run is done for the commit that they left.
                let attempts = if self.has_agents() { self.store.attempts(*run)? } else { Vec::new() };
                let same = start.is_some_and(|start| {
                    start.pipeline_digest == inputs.pipeline && reuse::commit_left(&start.commit, &attempts) == commit
                });
                let last = self.store.last_attempt(*run, None)?.and_then(|last| last.decided);
                let left = last.and_then(|decided| decided.evidence.tree.map(|tree| tree.left));
                if same && left == Some(inputs.tree) {
                    return Ok(None);
                }
                self.pipeline.first()
            }
            (
                None,
                Some(
                    TaskState::Queued { stage: None }
                    | TaskState::Failed { .. }
                    | TaskState::Cancelled { .. }
                    // Taken up before, or refused.
                    | TaskState::Paused { .. },
                )
                | None,
            ) => self.pipeline.first(),
        };
        Ok(Some(stage.clone()))
    }

    /// A stage to go on at, or the first before it whose verdict does not stand for these inputs.
    pub(super) fn proven_start<'p>(&mut self, stage: &'p Stage, inputs: Inputs<'_>) -> Result<&'p Stage, RunError>
    where
        Self: 'p,
    {
        let Some(earlier) = self.unproven(stage, inputs)? else { return Ok(stage) };
        (self.notify)(Notice::Warning(format!(
            "starting at `{}`: it comes before `{}` and has no pass for this commit, tree and pipeline",
            earlier.name, stage.name
        )));
        Ok(earlier)
    }

    /// The first stage on the way to one whose verdict does not stand for these inputs.
    pub(super) fn unproven<'p>(&self, stage: &Stage, inputs: Inputs<'_>) -> Result<Option<&'p Stage>, RunError>
    where
        Self: 'p,
    {
        let way = reuse::way_to(self.pipeline, &stage.name).unwrap_or_default();
        let verdicts = self.verdicts(&way, inputs)?;
        Ok(reuse::first_unproven(&way, &verdicts, inputs))
    }

    /// The newest verdict of each stage of a way, as far as its runs were bound to a commit and a pipeline. Looks
    /// no further back than to the first run that was not, and than it must.
    fn verdicts(&self, way: &[&Stage], inputs: Inputs<'_>) -> Result<Verdicts, RunError> {
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        let mut verdicts = Verdicts::new();
        let mut commit = inputs.commit.to_owned();
        for run in self.store.runs(&filter)? {
            if run.start.pipeline_digest != inputs.pipeline
                || way.iter().all(|stage| verdicts.contains_key(&stage.name))
                || !self.has_agents() && run.start.commit != commit
            {
                break;
            }
            let attempts = self.store.attempts(run.start.run)?;
            // An agent commits: what passed before it stands for the commit that it left, too.
            if reuse::commit_left(&run.start.commit, &attempts) != commit {
                break;
            }
            for attempt in attempts.iter().rev() {
                reuse::note(&mut verdicts, attempt);
            }
            commit = run.start.commit;
        }
        Ok(verdicts)
    }

    /// Whether a stage of the pipeline may be done by an agent.
    fn has_agents(&self) -> bool {
        let producers =
            self.pipeline.stages().iter().flat_map(|stage| std::iter::once(&stage.producer).chain(&stage.fallback));
        producers.into_iter().any(|producer| producer.kind() == ProducerKind::Agent)
    }

    /// Refuses, before anything starts, a way that leads through a stage which cannot be run here.
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
        way.into_iter().find_map(|stage| self.refusal(stage, tree)).map_or(Ok(()), Err)
    }

    pub(super) fn stages_from(&self, start: &Stage, until: Option<&StageName>) -> Vec<&Stage> {
        let Some(start) = self.pipeline.stage(&start.name) else { return Vec::new() };
        reuse::reachable(self.pipeline, start, until)
    }

    /// What a run would do with every stage that it may come to, in the order of the file. Starts and stores nothing.
    ///
    /// # Errors
    /// As [`Runner::drive`].
    pub fn dry_run(&mut self, wanted: &Wanted) -> Result<Vec<Planned>, RunError> {
        let ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let tree = self.snapshot(self.pipeline, None)?;
        let commit = tree.head().commit.to_string();
        let Some(start) = self.start_stage(&ledger, wanted, &commit, &tree)? else { return Ok(Vec::new()) };
        let run = RunId::new(self.clock.id());
        let course = Course {
            run,
            run_dir: self.state.run_dir(run),
            base_commit: self.base_commit(tree.head())?,
            artifacts: self.worktree.toplevel().join(self.artifacts_folder(self.pipeline).as_str()),
            tree,
            published: BTreeMap::new(),
            may_wait: wanted.max_wait,
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
                let step = match self.refusal(&stage, &course.tree) {
                    Some(refusal) => PlannedStep::Refused(refusal),
                    None => match self.choose(&stage) {
                        Next::Hold(reason) => PlannedStep::Hold(reason),
                        Next::Run(chosen) => {
                            let plan = self.plan_of(&stage, chosen.producer, key, &course)?;
                            PlannedStep::Start {
                                plan: Box::new(plan),
                                why: chosen.why,
                                fallback: chosen.fallback,
                                shadow: self.shadow_of(&stage, chosen.fallback).map(|agent| agent.profile),
                            }
                        }
                    },
                };
                Ok(Planned { stage, step })
            })
            .collect()
    }

    /// Whether an agent is to skip its tool's permission checks, and the environment does not agree.
    fn is_dangerous(&self, agent: &Agent) -> bool {
        agent.permissions == Permissions::Skipped && !self.settings.may_skip_permissions()
    }

    /// What keeps a stage from being run by this version or on this tree.
    fn refusal(&self, stage: &Stage, tree: &Snapshot) -> Option<RunError> {
        // What is held is started by nobody.
        let Next::Run(chosen) = self.choose(stage) else { return None };
        let shadow = self.shadow_of(stage, chosen.fallback);
        if shadow.is_some_and(|shadow| self.is_dangerous(shadow)) {
            return Some(RunError::Danger { stage: stage.name.clone() });
        }
        let agents = chosen.producer.agent().into_iter().chain(shadow);
        if let Some(refusal) = agents.into_iter().find_map(|agent| self.opens_too_much(stage, agent)) {
            return Some(refusal);
        }
        if let Some(name) = self.short_secret(chosen.producer, shadow) {
            return Some(RunError::ShortSecret { stage: stage.name.clone(), name });
        }
        if let Some(path) = reports_of(chosen.producer).find(|path| tree.commits(path)) {
            return Some(RunError::ReportCommitted { stage: stage.name.clone(), path: path.clone() });
        }
        match chosen.producer {
            Producer::TestRunner(_) | Producer::Command(_) | Producer::Approval => None,
            Producer::Agent(agent) if self.is_dangerous(agent) => Some(RunError::Danger { stage: stage.name.clone() }),
            Producer::Agent(agent) => self.prompt(stage, agent).err(),
            Producer::StagingRunner(staging) => self.target_refusal(stage, staging),
        }
    }
}

/// The reports of a stage, and of its fallback, that are declared below the worktree.
pub(super) fn reports_below(stage: &Stage) -> impl Iterator<Item = &RelPath> {
    std::iter::once(&stage.producer).chain(&stage.fallback).flat_map(reports_of)
}

fn reports_of(producer: &Producer) -> impl Iterator<Item = &RelPath> {
    let reports = match producer {
        Producer::TestRunner(suite) | Producer::Command(suite) => suite.reports.as_slice(),
        Producer::StagingRunner(staging) => staging.suite.reports.as_slice(),
        Producer::Agent(_) | Producer::Approval => &[],
    };
    reports.iter().filter_map(|report| match &report.place {
        ReportPlace::Worktree(path) => Some(path),
        ReportPlace::Attempt(_) => None,
    })
}
