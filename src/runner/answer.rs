//! A person's answer to an approval: written down as the stage's artifact, and read back by its gate.

use crate::classify::classify;
use crate::domain::artifact::{Artifact, Work};
use crate::domain::decision::{Decision, HoldReason, Settlement};
use crate::domain::evidence::{Answer, Declared, Evidence, Exit, ExitRecord, TreeFacts};
use crate::domain::id::{AttemptId, Nonce, RunId};
use crate::domain::outcome::{Outcome, Ruling};
use crate::domain::pipeline::{ProducerKind, Stage};
use crate::domain::stamp::Stamp;
use crate::domain::task::{Decided, Event, Intent, RunEnd, TaskState};
use crate::engine::{Launched, decide, settle};
use crate::producer::PrepareError;
use crate::store::PinnedPipeline;
use crate::workspace::artifact::take_away;

use super::drive::{Runner, find};
use super::error::RunError;
use super::judge::{Published, publish_and_read};
use super::ledger::Ledger;
use super::reuse::Inputs;

/// What an answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The run that records it.
    pub run: RunId,
    /// What is done about it.
    pub decision: Decision,
    /// The task's state.
    pub state: TaskState,
}

impl Runner<'_> {
    /// Takes a person's answer to the approval that the task is held for. One commit: the answer is recorded with its
    /// verdict and decision, or nothing is.
    ///
    /// # Errors
    /// [`RunError::NotAsked`] where no approval is waited for; else as [`Runner::drive`].
    pub fn answer(&mut self, answer: Answer) -> Result<Answered, RunError> {
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let held = match ledger.task().map(|task| &task.state) {
            Some(TaskState::Held { stage, reason: HoldReason::Approval, .. }) => stage.clone(),
            _ => return Err(RunError::NotAsked { task: self.task.clone() }),
        };
        let pipeline = self.pipeline;
        let stage = find(pipeline, held.as_str())?;
        let tree = self.snapshot(pipeline, None)?;
        let commit = tree.head().commit.to_string();
        // A person's word stands for no test: what comes before must have passed on this very tree.
        let inputs = Inputs { pipeline: pipeline.digest(), commit: &commit, tree: tree.digest() };
        if let Some(unproven) = self.unproven(stage, inputs)? {
            return Err(RunError::Unproven { stage: stage.name.clone(), unproven: unproven.name.clone() });
        }
        let (run, attempt) = (RunId::new(self.clock.id()), AttemptId::new(self.clock.id()));
        ledger.pin(PinnedPipeline::of(self.pipeline_text.to_vec()));
        let start = self.run_start(run, stage, tree.head())?;
        ledger.apply(Event::RunStarted(start))?;
        let Some(TaskState::Ready { visit, number, .. }) = ledger.task().map(|task| task.state.clone()) else {
            return Err(RunError::Pinned("the task is not ready for its answer".to_owned()));
        };
        let at = self.clock.now();
        let intent = Intent {
            run,
            attempt,
            stage: stage.name.clone(),
            visit,
            number,
            producer: ProducerKind::Approval,
            chosen: "declared".to_owned(),
            fallback: false,
            nonce: Nonce::new(self.clock.secret()),
            argv: Vec::new(),
            cwd: self.worktree.toplevel().to_owned(),
            env_names: Vec::new(),
            tree: tree.digest(),
            dirty: tree.is_dirty(),
            worktree: Some(self.worktree.identity().digest()),
            commit: None,
            at,
        };
        ledger.apply(Event::AttemptIntended(Box::new(intent.clone())))?;
        let record = ExitRecord::without_process(attempt, intent.nonce, Exit::Answered(answer), at, at);
        ledger.apply(Event::AttemptFinished { record: Box::new(record.clone()), at })?;
        let before = tree.digest();
        let unchanged = TreeFacts { before, after: before, left: before, changed: Vec::new(), added: Vec::new() };
        let evidence = Evidence { tree: Some(unchanged), ..Evidence::of(record.exit.clone(), Declared::default()) };
        let outcome = classify(&evidence);
        let (settlement, artifact) = self.publish_answer(stage, &intent, &evidence, outcome.as_ref())?;
        let artifact = artifact.map(|(reference, bytes)| {
            ledger.keep(bytes);
            reference
        });
        let spent = ledger.task().map(|task| task.spent.clone()).unwrap_or_default();
        let launched = Launched { producer: &stage.producer, began: false, infra: &stage.infra, resets_in: None };
        let decision = decide(pipeline, stage, &spent, launched, &settlement);
        let stamp = Stamp::of(&intent, &record, &evidence, outcome.as_ref(), artifact.as_ref());
        let passed = settlement == Settlement::Passed;
        ledger.apply(Event::AttemptDecided(Box::new(Decided {
            attempt,
            evidence,
            outcome,
            settlement,
            decision: decision.clone(),
            artifact,
            stamp,
            at,
        })))?;
        let end = match ledger.task().map(|task| &task.state) {
            Some(TaskState::Held { .. } | TaskState::Waiting { .. }) => RunEnd::Held,
            Some(TaskState::Done { .. }) => RunEnd::Done,
            Some(TaskState::Failed { .. }) => RunEnd::Failed,
            _ if passed => RunEnd::Done,
            _ => RunEnd::Interrupted,
        };
        ledger.apply(Event::RunClosed { run, end, at })?;
        failpoint!("answer.written");
        self.commit(&mut ledger, None)?;
        failpoint!("answer.stored");
        let Some(task) = ledger.task() else { return Err(RunError::Pinned("the task is gone".to_owned())) };
        Ok(Answered { run, decision, state: task.state.clone() })
    }

    fn publish_answer(
        &mut self,
        stage: &Stage,
        intent: &Intent,
        evidence: &Evidence,
        outcome: Option<&Outcome>,
    ) -> Result<(Settlement, Option<Published>), RunError> {
        let (Some(outcome), Exit::Answered(answer), Some(path)) =
            (outcome, &evidence.exit, self.artifact_path(self.pipeline, stage))
        else {
            return Err(RunError::Pinned("an approval without a place for its artifact".to_owned()));
        };
        let document = Artifact {
            task: self.task.clone(),
            stage: stage.name.clone(),
            attempt: intent.number,
            gate: stage.gate.clone(),
            ruling: outcome.conclusion.ruling().unwrap_or(Ruling::Fail),
            reason: answer.why.clone(),
            work: Work::Approval { by: answer.by.clone() },
            finished_at: intent.at,
            failing: Vec::new(),
            excerpts: Vec::new(),
            smoke: Vec::new(),
        }
        .render();
        self.fence()?;
        let root = self.worktree.root();
        let moved_dir = self.state.moved_dir(intent.run, intent.attempt);
        let taken = take_away(root, &path, None, &moved_dir).map_err(|source| RunError::Prepare {
            stage: stage.name.clone(),
            source: PrepareError::Artifact(source),
        })?;
        self.tell_taken(&taken);
        // Where it cannot be written down nothing was answered: the hold stays as it is.
        let (answer, published) = publish_and_read(root, &path, &stage.gate, &document).map_err(|source| {
            RunError::Prepare { stage: stage.name.clone(), source: PrepareError::Artifact(source) }
        })?;
        Ok((settle(evidence, Some(outcome), answer), published))
    }
}
