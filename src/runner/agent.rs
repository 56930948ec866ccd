//! What a run does for an agent besides: its prompt, its folder, its cage, what it may use up, what it changed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::agent::{Agent, ScopeFacts, Usage};
use crate::domain::decision::{Decision, HoldReason};
use crate::domain::evidence::{Containment, Exit, ExitRecord};
use crate::domain::id::{Digest, RelPath, StageName};
use crate::domain::pipeline::{Pipeline, Producer, Stage};
use crate::domain::plan::{AttemptPlan, Cage};
use crate::domain::prompt::{PROMPT_BYTES_MAX, Prompt, Values};
use crate::engine::{cap_reached, contract};
use crate::producer::{Before, Bounds, PrepareError, copy_logs, ready, scope_facts};
use crate::spec::{self, problem};
use crate::store::RunFilter;
use crate::workspace::artifact::{ARTIFACT_BYTES_MAX, read_back};
use crate::workspace::scope::Scope;
use crate::workspace::shared::Shared;
use crate::workspace::standing::Standing;
use crate::workspace::tree::Snapshot;
use crate::workspace::worktree::Worktree;

use super::drive::{Course, RUNS_LOOKED_AT, Runner};
use super::error::RunError;
use super::judge::Judged;
use super::notice::Notice;
use super::told::Told;

/// The prompts of a run, by stage and file: what was read when it started counts to its end.
pub(super) type Prompts = BTreeMap<(StageName, RelPath), Prompt>;

/// What an attempt used up, where an agent made it.
pub(super) fn used_by(judged: &Judged) -> Option<Usage> {
    judged.evidence.agent.as_ref().map(|facts| facts.usage)
}

impl Course {
    /// Takes note of what the next agent, and the next start of this one, must know.
    pub(super) fn take_note(&mut self, stage: &Stage, used: Option<Usage>, told: Option<Told>, decision: &Decision) {
        if let Some(usage) = used {
            let used = self.used.entry(stage.name.clone()).or_default();
            *used = used.plus(usage);
        }
        if let Some(told) = told {
            self.told = Some(Told { decision: decision.clone(), ..told });
        }
    }
}

impl Runner<'_> {
    /// Says, once a run, which caps of a stage count without an attempt that did not tell what it used up: it may have used
    /// anything, and is no nothing.
    pub(super) fn tell_uncounted(
        &mut self,
        course: &mut Course,
        (stage, producer): (&Stage, &Producer),
        record: &ExitRecord,
        used: Option<Usage>,
    ) {
        let Producer::Agent(agent) = producer else { return };
        if matches!(record.exit, Exit::SpawnFailed(_)) {
            return;
        }
        for cap in used.unwrap_or_default().untold(&agent.caps) {
            if course.uncounted.insert((stage.name.clone(), cap)) {
                (self.notify)(Notice::Warning(format!(
                    "stage `{}`: an attempt did not tell what `{cap}` counts, so the cap holds for what the others tell",
                    stage.name
                )));
            }
        }
    }

    /// Reads the prompts of stages.
    pub(super) fn prompts<'s>(&self, stages: impl IntoIterator<Item = &'s Stage>) -> Result<Prompts, RunError> {
        let mut prompts = Prompts::new();
        for stage in stages {
            for agent in stage.agents() {
                prompts.insert((stage.name.clone(), agent.prompt.clone()), self.prompt(stage, agent)?);
            }
        }
        Ok(prompts)
    }

    /// Reads and checks one prompt.
    pub(super) fn prompt(&self, stage: &Stage, agent: &Agent) -> Result<Prompt, RunError> {
        let cap = u64::try_from(PROMPT_BYTES_MAX).unwrap_or(u64::MAX);
        let failed = |why: String| RunError::Prompt { stage: stage.name.clone(), path: agent.prompt.clone(), why };
        let bytes =
            read_back(self.worktree.root(), &agent.prompt, cap).map_err(|unreadable| failed(unreadable.detail))?;
        spec::prompt(&bytes, self.pipeline, stage).map_err(|problems| {
            let text = String::from_utf8_lossy(&bytes);
            failed(problem::render(&text, agent.prompt.as_str(), &problems, false).trim_end().to_owned())
        })
    }

    /// What was there before the first attempt of this visit. A person who released a hold has seen what is there now.
    fn before_visit(
        &self,
        course: &Course,
        stage: &Stage,
        plan: &AttemptPlan,
        now: &Snapshot,
    ) -> Result<Option<Before>, RunError> {
        let standing = || self.standing_beside(self.pipeline, stage, self.worktree);
        let fresh = || Some(Before::now(now.clone(), self.worktree, standing()));
        if plan.key.number.get() == 1 {
            return Ok(fresh());
        }
        if let Some((attempt, before)) = &course.before
            && *attempt == (plan.key.stage.clone(), plan.key.visit)
        {
            return Ok(Some(before.clone().again(self.worktree)));
        }
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        for run in self.store.runs(&filter)? {
            let earlier = self.store.attempts(run.start.run)?.into_iter().rev().find(|attempt| {
                (&attempt.intent.stage, attempt.intent.visit) == (&plan.key.stage, plan.key.visit)
                    && attempt.intent.attempt != plan.key.attempt
            });
            if let Some(earlier) = earlier {
                let held = earlier.decided.is_some_and(|decided| matches!(decided.decision, Decision::Hold(_)));
                let folder = self.state.attempt_dir(run.start.run, earlier.intent.attempt);
                let kept = || Before::load(&folder, self.worktree);
                return Ok(if held {
                    fresh()
                } else {
                    kept().map(|before| before.in_another_run(self.worktree, standing()))
                });
            }
        }
        Ok(None)
    }

    /// Makes ready what an agent needs besides; gives what was there before its visit.
    pub(super) fn make_ready(
        &self,
        course: &mut Course,
        (stage, producer): (&Stage, &Producer),
        plan: &mut AttemptPlan,
        now: &Snapshot,
    ) -> Result<Option<Before>, RunError> {
        let Producer::Agent(agent) = producer else { return Ok(None) };
        let before = self.before_visit(course, stage, plan, now)?;
        course.before = before.clone().map(|before| ((stage.name.clone(), plan.key.visit), before));
        self.ready_agent(course, (stage, agent), plan, before.as_ref())?;
        Ok(before)
    }

    /// Makes everything ready for an agent's start.
    fn ready_agent(
        &self,
        course: &Course,
        (stage, agent): (&Stage, &Agent),
        plan: &mut AttemptPlan,
        before: Option<&Before>,
    ) -> Result<(), RunError> {
        let cage = self.cage(stage, agent, plan)?;
        let failed = |path: &Path, source| {
            let source = PrepareError::Folder { path: path.display().to_string(), source };
            RunError::Prepare { stage: stage.name.clone(), source }
        };
        let Some(folder) = plan.attempt_dir.clone() else { return Ok(()) };
        let findings = self.findings(course, stage, &folder).map_err(|source| failed(&folder, source))?;
        let prompt =
            self.fill(course, (stage, agent), plan, findings.as_deref()).map_err(|source| failed(&folder, source))?;
        if let Some(agent) = &mut plan.agent {
            agent.cage = cage;
        }
        let Some(planned) = &plan.agent else { return Ok(()) };
        ready(plan, planned, &prompt, before, self.worktree).map_err(|source| failed(&folder, source))
    }

    /// What the agent of a stage must be told of what failed before; copies of the logs come into its folder.
    fn findings(&self, course: &Course, stage: &Stage, folder: &Path) -> std::io::Result<Option<String>> {
        let Some(told) = course.told.as_ref().filter(|told| told.is_for(&stage.name)) else { return Ok(None) };
        let run_dir = self.state.run_dir(told.run);
        let logs = copy_logs(folder, &run_dir, &told.record, &|bytes| course.masker.mask(bytes))?;
        Ok(Some(course.masker.mask_text(&told.in_words(&stage.name, &logs))))
    }

    /// The prompt of an agent, which works where its plan says.
    pub(super) fn fill(
        &self,
        course: &Course,
        (stage, agent): (&Stage, &Agent),
        plan: &AttemptPlan,
        findings: Option<&str>,
    ) -> std::io::Result<String> {
        let missing = || std::io::Error::other("the run has no prompt for this stage");
        let prompt = course.prompts.get(&(stage.name.clone(), agent.prompt.clone())).ok_or_else(missing)?;
        let artifact = self.artifact_path(self.pipeline, stage).ok_or_else(missing)?;
        let artifacts = prompt.artifacts().map(|file| (file.clone(), self.earlier(course, file))).collect();
        Ok(prompt.fill(&Values {
            task: &plan.key.task,
            stage: &stage.name,
            visit: plan.key.visit.get(),
            attempt: plan.key.number.get(),
            worktree: &plan.cwd.to_string_lossy(),
            base_commit: &course.base_commit,
            artifact: &artifact,
            contract: &contract(&stage.gate).unwrap_or_default(),
            findings,
            artifacts: &artifacts,
        }))
    }

    /// What another stage wrote, where it stands there as it was recorded.
    fn earlier(&self, course: &Course, file: &RelPath) -> Result<String, String> {
        let path = RelPath::new(format!("{}/{file}", self.artifacts_folder(self.pipeline)))
            .map_err(|error| error.to_string())?;
        let recorded = course.published.get(&path).ok_or("no stage has written it")?;
        let bytes = read_back(self.worktree.root(), &path, ARTIFACT_BYTES_MAX).map_err(|found| found.detail)?;
        if Digest::of(&bytes) != *recorded {
            return Err("it was changed after it was recorded".to_owned());
        }
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// What an agent changed, held against its scope; and the names of what others changed meanwhile of the repository's
    /// shared files. Prompts, the pipeline and other stages' artifacts are in no scope unless `writes` names the very file.
    pub(super) fn scope(
        &self,
        pipeline: &Pipeline,
        (stage, producer): (&Stage, &Producer),
        (course, plan, record): (&Course, &AttemptPlan, &ExitRecord),
        before: Option<&Before>,
        after: &Snapshot,
    ) -> Option<(ScopeFacts, Vec<String>)> {
        let Producer::Agent(agent) = producer else { return None };
        let scope = match self.bounds(pipeline, agent) {
            Ok(scope) => scope,
            Err(why) => return Some((ScopeFacts { unknown: Some(why), ..ScopeFacts::default() }, Vec::new())),
        };
        let cage = match self.cage(stage, agent, plan) {
            Ok(cage) => cage,
            Err(error) => {
                let why = format!("what it could write is not known: {error}");
                return Some((ScopeFacts { unknown: Some(why), ..ScopeFacts::default() }, Vec::new()));
            }
        };
        let bounds = self.bounds_of(pipeline, stage, (self.worktree, &course.published), &scope, (&cage, record));
        let (mut facts, by_others) = scope_facts(before, after, self.worktree, &bounds);
        // A pipeline that git ignores is no part of the tree.
        let edited = self.pipeline_file.as_ref().filter(|file| facts.unknown.is_none() && file.differs());
        let edited = edited.and_then(|file| file.below(self.worktree.toplevel()).into_iter().next());
        if let Some(path) = edited.filter(|path| !scope.names(path)) {
            if let Some(known) = facts.outside.iter().position(|known| *known == path) {
                facts.outside.swap(0, known);
            } else {
                facts.outside.insert(0, path);
                facts.outside_count = facts.outside_count.saturating_add(1);
            }
        }
        Some((facts, by_others))
    }

    /// What an agent in a worktree is held to, once it has ended.
    pub(super) fn bounds_of<'b>(
        &self,
        pipeline: &Pipeline,
        stage: &Stage,
        (worktree, recorded): (&Worktree, &'b BTreeMap<RelPath, Digest>),
        scope: &'b Scope,
        (cage, record): (&'b Cage, &ExitRecord),
    ) -> Bounds<'b> {
        let contained = match record.containment {
            Containment::InForce { .. } => true,
            Containment::Unasked | Containment::Missing { .. } => false,
        };
        Bounds {
            scope,
            artifacts: self.standing_beside(pipeline, stage, worktree),
            recorded,
            reach: contained.then_some(cage.write.as_slice()),
        }
    }

    /// The artifacts of the other stages, as they stand in a worktree now.
    pub(super) fn standing_beside(&self, pipeline: &Pipeline, stage: &Stage, worktree: &Worktree) -> Standing {
        let own = self.artifact_path(pipeline, stage);
        Standing::read(worktree.root(), self.artifact_paths(pipeline), own.as_ref())
    }

    /// What an agent may change.
    pub(super) fn bounds(&self, pipeline: &Pipeline, agent: &Agent) -> Result<Scope, String> {
        let mut guarded: Vec<String> =
            pipeline.stages().iter().flat_map(Stage::agents).map(|agent| agent.prompt.to_string()).collect();
        guarded.extend(self.pipeline_file.iter().flat_map(|file| file.below(self.worktree.toplevel())));
        Scope::new(&agent.writes, guarded).map_err(|error| format!("`writes` cannot be read: {error}"))
    }

    /// Takes what somebody else changed of the repository's shared files as it is now, and says so: a contained agent
    /// cannot have done it.
    pub(super) fn take_others(&mut self, course: &mut Course, stage: &Stage, plan: &AttemptPlan, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let shown =
            names.iter().take(5).map(|name| format!("`{}`", Shared::shown(name))).collect::<Vec<_>>().join(", ");
        (self.notify)(Notice::Warning(format!(
            "somebody changed {shown} while the agent of stage `{}` worked, which could not write there; it counts as it \
             is now",
            stage.name
        )));
        if let (Some((_, before)), Some(folder)) = (&mut course.before, &plan.attempt_dir)
            && let Err(error) = before.accept(names, folder, self.worktree)
        {
            (self.notify)(Notice::Warning(format!("that could not be kept for a further run: {error}")));
        }
    }

    /// What failed before, as the store has it. Only agents are told.
    pub(super) fn told_before(&self) -> Result<Option<Told>, RunError> {
        if self.pipeline.stages().iter().all(|stage| stage.agents().next().is_none()) {
            return Ok(None);
        }
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(RUNS_LOOKED_AT) };
        for run in self.store.runs(&filter)? {
            for attempt in self.store.attempts(run.start.run)?.into_iter().rev() {
                let record = attempt.finished.map(|finished| *finished.record);
                if let (Some(decided), Some(record)) = (attempt.decided, record)
                    && Told::says_something(&decided.settlement)
                {
                    let (settlement, decision, artifact) = (decided.settlement, decided.decision, decided.artifact);
                    let path = artifact.map(|artifact| artifact.path);
                    let stage = attempt.intent.stage;
                    return Ok(Some(Told { run: run.start.run, stage, settlement, decision, record, artifact: path }));
                }
            }
        }
        Ok(None)
    }

    /// Why a stage may not start another agent: its attempts of this run have used up what its caps allow.
    pub(super) fn capped(course: &Course, stage: &Stage, producer: &Producer) -> Option<HoldReason> {
        let Producer::Agent(agent) = producer else { return None };
        let (what, used, max) = cap_reached(&agent.caps, course.used.get(&stage.name)?)?;
        Some(HoldReason::CapReached { what: what.to_owned(), used, max })
    }
}
