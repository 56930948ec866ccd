//! What a second run does with a task that waits (DESIGN D19).

use crate::domain::decision::{HoldReason, Probe};
use crate::domain::id::StageName;
use crate::domain::task::{Event, Releaser, TaskState};
use crate::store::{RunFilter, last_attempt};

use super::drive::{Driven, Runner, Wanted};
use super::error::RunError;
use super::ledger::Ledger;
use super::notice::Notice;
use super::probe::Found;

/// Most stages that are named as like a missing one.
const NEAREST_MAX: usize = 3;

impl Runner<'_> {
    /// Takes a waiting task up again, or says that it stays as it is. What it releases is stored with the run that
    /// follows.
    pub(super) fn take_up(&mut self, ledger: &mut Ledger, wanted: &Wanted) -> Result<Option<Driven>, RunError> {
        let Some(state) = ledger.task().map(|task| task.state.clone()) else { return Ok(None) };
        if let TaskState::Paused { .. } = &state {
            return self.stays(state, None).map(Some);
        }
        let changed = self.check_pinned(&state, wanted)?;
        let by_command = match (&wanted.from, changed) {
            (Some(stage), _) => Some(format!("run again with --from {stage}")),
            (None, true) => Some("another pipeline was accepted".to_owned()),
            (None, false) => None,
        };
        match &state {
            TaskState::Held { .. } | TaskState::Deferred { .. } if by_command.is_some() => {
                let by = Releaser::Person(self.person.clone());
                ledger.apply(Event::HoldReleased { by, why: by_command, checked: None, at: self.clock.now() })?;
                Ok(None)
            }
            TaskState::Held { stage, reason, .. } => {
                let (stage, reason) = (stage.clone(), reason.clone());
                match self.try_probe(&stage, &reason)? {
                    (_, Found::Passed(found)) => {
                        (self.notify)(Notice::Warning(format!("the hold of `{stage}` has ended: {found}")));
                        ledger.apply(Event::HoldReleased {
                            by: Releaser::Probe,
                            why: None,
                            checked: Some(found),
                            at: self.clock.now(),
                        })?;
                        Ok(None)
                    }
                    (_, Found::Failed(found)) => self.stays(state, Some(found)).map(Some),
                    (_, Found::NotTried) => self.stays(state, None).map(Some),
                }
            }
            TaskState::Deferred { deferral, .. } if deferral.left(self.clock.now()) > wanted.max_wait => {
                self.stays(state, None).map(Some)
            }
            TaskState::Queued { .. }
            | TaskState::Ready { .. }
            | TaskState::Running { .. }
            | TaskState::Waiting { .. }
            | TaskState::Deferred { .. }
            | TaskState::Paused { .. }
            | TaskState::Done { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => Ok(None),
        }
    }

    /// Tries the probe of the task's hold, and records nothing.
    ///
    /// # Errors
    /// [`RunError::Store`].
    pub fn recheck(&mut self) -> Result<(Probe, Found), RunError> {
        let stored = self.store.task(&self.task)?;
        match stored.map(|stored| stored.task.state) {
            Some(TaskState::Held { stage, reason, .. }) => self.try_probe(&stage, &reason),
            _ => Ok((Probe::Person, Found::NotTried)),
        }
    }

    fn stays(&mut self, state: TaskState, found: Option<String>) -> Result<Driven, RunError> {
        let task = self.task.clone();
        Ok(Driven::Stays { run: self.last_run(&task)?, state, found })
    }

    /// Refuses a pipeline that is not the one a task in the middle of its way was left with (row A13); `true` where
    /// it is another and was accepted.
    fn check_pinned(&mut self, state: &TaskState, wanted: &Wanted) -> Result<bool, RunError> {
        let midway = match state {
            TaskState::Queued { stage: Some(stage) }
            | TaskState::Held { stage, .. }
            | TaskState::Deferred { stage, .. } => stage,
            TaskState::Queued { stage: None }
            | TaskState::Ready { .. }
            | TaskState::Running { .. }
            | TaskState::Waiting { .. }
            | TaskState::Paused { .. }
            | TaskState::Done { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => return Ok(false),
        };
        let task = self.task.clone();
        let last = self.store.runs(&RunFilter { task: Some(task.clone()), limit: Some(1) })?.into_iter().next();
        // Without a run there is nothing that it could have been left under.
        let Some(was) = last.map(|run| run.start.pipeline_digest) else { return Ok(false) };
        let now = self.pipeline.digest();
        if was == now {
            return Ok(false);
        }
        if !wanted.accept_pipeline {
            let (was, now) = (was.short(), now.short());
            return Err(RunError::PipelineChanged { task, stage: midway.clone(), was, now });
        }
        (self.notify)(Notice::Warning(format!(
            "going on with pipeline {} in place of {}: no earlier verdict stands for it",
            now.short(),
            was.short()
        )));
        Ok(true)
    }

    /// Tries the probe of a hold at a stage.
    pub(super) fn try_probe(&mut self, stage: &StageName, reason: &HoldReason) -> Result<(Probe, Found), RunError> {
        let seen = last_attempt(self.store, &self.task, stage)?;
        let probe = crate::engine::probe(reason, seen.as_ref().and_then(|seen| Some(&seen.decided.as_ref()?.evidence)));
        let stage = self.pipeline.stage(stage);
        let cwd = seen.map_or_else(|| self.worktree.toplevel().to_owned(), |seen| seen.intent.cwd);
        let found = match stage {
            Some(stage) => self.look(&probe, stage, &cwd),
            None => Found::NotTried,
        };
        Ok((probe, found))
    }

    /// What to say of a stage that the pipeline no longer has.
    pub(super) fn stage_gone(&self, stage: &StageName) -> RunError {
        let mut names: Vec<&str> = self.pipeline.stages().iter().map(|stage| stage.name.as_str()).collect();
        names.sort_by_key(|name| strsim::damerau_levenshtein(name, stage.as_str()));
        names.truncate(NEAREST_MAX);
        let nearest = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        RunError::StageGone { task: self.task.clone(), stage: stage.clone(), nearest }
    }
}
