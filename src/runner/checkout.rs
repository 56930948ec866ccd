//! The record of a task's own worktree: which it is, and that it was made or removed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::checkout::Checkout;
use crate::domain::id::{Digest, RelPath, TaskName};
use crate::domain::task::{Event, TaskState};
use crate::store::{RunFilter, Store, StoreError};
use crate::workspace::worktree::Head;

use super::desk::Desk;
use super::drive::{RUNS_LOOKED_AT, Runner};
use super::error::RunError;
use super::ledger::Ledger;

/// Hashes of what orch last published for a task, by path.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub fn artifacts_of(store: &dyn Store, task: &TaskName) -> Result<BTreeMap<RelPath, Digest>, StoreError> {
    let filter = RunFilter { task: Some(task.clone()), limit: Some(RUNS_LOOKED_AT) };
    let mut published = BTreeMap::new();
    for run in store.runs(&filter)?.into_iter().rev() {
        let of_run = store.published(run.start.run)?;
        published.extend(of_run.into_iter().filter_map(|one| one.artifact).map(|one| (one.path, one.digest)));
    }
    Ok(published)
}

impl Desk<'_> {
    /// Records a new task with a worktree of its own.
    ///
    /// # Errors
    /// [`RunError::NotNow`] where there is such a task.
    pub fn add(&mut self, worktree: PathBuf, checkout: Checkout) -> Result<TaskState, RunError> {
        let event =
            Event::TaskAdded { task: self.task.clone(), worktree, checkout: Some(checkout), at: self.clock.now() };
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let state = ledger.task().map_or("none", |task| task.state.status());
        let task = self.task.clone();
        ledger.apply(event).map_err(|refused| RunError::NotNow { task, state, why: refused.why })?;
        if !self.lock.is_ours() {
            return Err(RunError::LockLost { task: self.task.clone() });
        }
        ledger.commit(self.store)?;
        Ok(TaskState::Queued { stage: None })
    }

    /// Records that the task's worktree was made anew, or is taken as it is now.
    ///
    /// # Errors
    /// [`RunError::NotNow`] where a run owns the task, or it has no worktree of its own.
    pub fn worktree_made(&mut self, worktree: PathBuf, checkout: Checkout) -> Result<TaskState, RunError> {
        let (by, at) = (self.person.clone(), self.clock.now());
        self.record(|_| Ok(Event::WorktreeMade { worktree, checkout, by, at }))
    }

    /// Records that the task's worktree is removed, and what was given up with it.
    ///
    /// # Errors
    /// As [`Desk::worktree_made`].
    pub fn worktree_removed(&mut self, lost: Vec<String>) -> Result<TaskState, RunError> {
        let (by, at) = (self.person.clone(), self.clock.now());
        self.record(|_| Ok(Event::WorktreeRemoved { by, lost, at }))
    }
}

impl Runner<'_> {
    /// The commit that the task's change starts from: the recorded one while HEAD descends from it, else the merge base
    /// with the default branch.
    pub(super) fn base_commit(&self, head: &Head) -> Result<String, RunError> {
        let recorded = self.store.task(&self.task)?.and_then(|stored| stored.task.checkout);
        if let (Some(checkout), Some(git)) = (recorded, self.world.git())
            && self.worktree.descends_from(git, &checkout.base_commit)?
        {
            return Ok(checkout.base_commit);
        }
        Ok(self.world.base(self.worktree, head)?.commit.to_string())
    }
}
