//! What an attempt left behind in the worktree and in its repository, looked at once everything of it is gone.

use crate::domain::agent::ScopeFacts;
use crate::domain::evidence::{ExitRecord, TreeFacts};
use crate::domain::id::RelPath;
use crate::domain::pipeline::{Producer, Stage};
use crate::domain::plan::AttemptPlan;
use crate::producer::Before;
use crate::workspace::damage::{damage, of_commit};
use crate::workspace::tree::{Committed, Snapshot, compare, head_moved};
use crate::workspace::worktree::Worktree;

use super::drive::{Course, Runner};
use super::error::RunError;
use super::pinned::PipelineFile;

/// What is there after an attempt.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    /// What became of the tree; `None` where it cannot be told any more.
    pub(super) tree: Option<TreeFacts>,
    /// What an agent changed.
    pub(super) scope: Option<ScopeFacts>,
    /// What commits have at the artifact's place that this attempt did not make.
    pub(super) committed: Vec<Committed>,
    /// What is broken of the worktree's git.
    pub(super) damage: Option<String>,
}

impl Runner<'_> {
    /// Looks at what an attempt left. `before` is the tree at its start, `before_visit` what was there when the agent's
    /// visit began.
    pub(super) fn aftermath(
        &mut self,
        course: &mut Course,
        (stage, producer): (&Stage, &Producer),
        (plan, record): (&AttemptPlan, &ExitRecord),
        before: &Snapshot,
        before_visit: Option<&Before>,
    ) -> Result<Aftermath, RunError> {
        let agent = matches!(producer, Producer::Agent(_));
        if agent && self.pipeline_file.as_ref().is_some_and(PipelineFile::differs) {
            course.edited = Some(stage.name.clone());
        }
        let after = match self.look_again(before) {
            Ok(after) => after,
            Err(error) => return Ok(Aftermath { damage: Some(self.broken(error)?), ..Aftermath::default() }),
        };
        if agent && let Some(damage) = self.lost_commit(&after) {
            return Ok(Aftermath { damage: Some(damage), ..Aftermath::default() });
        }
        let mut tree = compare(before, &after);
        if before.head() != after.head() {
            // A verdict is bound to the commit the suite started from; it says nothing of another one.
            tree.changed.insert(0, head_moved(before.head(), after.head()));
        }
        let seen = (&*course, plan, record);
        let (scope, by_others) = self.scope(self.pipeline, (stage, producer), seen, before_visit, &after).unzip();
        self.take_others(course, stage, plan, &by_others.unwrap_or_default());
        let committed = match self.artifact_path(self.pipeline, stage) {
            Some(path) if agent => self.committed(self.worktree, &path, (Some(before), &after), record),
            Some(_) | None => Vec::new(),
        };
        course.tree = after;
        Ok(Aftermath { tree: Some(tree), scope, committed, damage: None })
    }

    /// What is broken where a tree cannot be looked at any more; the error, where that is the machine.
    pub(super) fn broken(&self, error: RunError) -> Result<String, RunError> {
        let found = if let RunError::Tree(error) = &error { damage(self.worktree, error) } else { None };
        found.map(|damage| self.with_way_out(damage)).ok_or(error)
    }

    /// The same as an error of a run that could not go on.
    pub(super) fn damaged(&self, error: RunError) -> RunError {
        match self.broken(error) {
            Ok(damage) => RunError::Damaged { task: self.task.clone(), damage },
            Err(error) => error,
        }
    }

    /// What is broken, with the command that mends it where the worktree is the task's own.
    fn with_way_out(&self, damage: String) -> String {
        let known = self.store.task(&self.task).ok().flatten();
        if known.is_some_and(|stored| stored.task.checkout.is_some()) {
            format!("{damage}; or give `orch task add {}`, which mends it and keeps every file", self.task)
        } else {
            damage
        }
    }

    /// Whether HEAD's commit is gone: the list of files is known without it where nothing else changed.
    pub(super) fn lost_commit(&self, tree: &Snapshot) -> Option<String> {
        let commit = tree.head().commit.as_str();
        let error = self.worktree.is_whole(self.world.git()?, commit).err()?;
        of_commit(self.worktree, commit, &error)
    }

    /// What commits have at an artifact's place that an attempt did not make: HEAD's before it; and HEAD's after it, where
    /// no commit since its start changed the file. An agent that commits its own artifact made it.
    pub(super) fn committed(
        &self,
        worktree: &Worktree,
        path: &RelPath,
        (before, after): (Option<&Snapshot>, &Snapshot),
        record: &ExitRecord,
    ) -> Vec<Committed> {
        let before = before.and_then(|before| before.committed(path));
        let after = after.committed(path).filter(|after| Some(*after) != before);
        let since = |git| worktree.last_change(git, path).is_ok_and(|at| at >= Some(record.started_at.as_second()));
        let old = after.filter(|_| !self.world.git().is_some_and(since));
        before.into_iter().chain(old).collect()
    }
}
