//! What a person does with a task that no run owns: release, pause, resume, cancel. Nothing is started here.

use crate::domain::decision::HoldReason;
use crate::domain::id::TaskName;
use crate::domain::task::{Event, Releaser, TaskState};
use crate::store::{Holder, Store};
use crate::workspace::lock::Lock;
use crate::workspace::state_dir::StateDir;

use super::clock::Clock;
use super::error::RunError;
use super::ledger::Ledger;

/// The place where a person's commands on a task are recorded, under the task's lock.
pub struct Desk<'a> {
    /// The store.
    pub store: &'a mut dyn Store,
    /// The task.
    pub task: TaskName,
    /// This process, for people.
    pub holder: Holder,
    /// Who gives the command.
    pub person: String,
    /// The state folder.
    pub state: &'a StateDir,
    /// The task's lock.
    pub lock: &'a Lock,
    /// Clock and ids.
    pub clock: &'a dyn Clock,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("task", &self.task).field("person", &self.person).finish_non_exhaustive()
    }
}

impl Desk<'_> {
    /// Releases a hold, or brings a retry forward: the same stage runs next.
    ///
    /// # Errors
    /// [`RunError::NotNow`] where the task is not held; [`RunError::NeedsAnswer`] where it waits for an approval.
    pub fn release(&mut self, why: Option<String>, checked: Option<String>) -> Result<TaskState, RunError> {
        let by = Releaser::Person(self.person.clone());
        let at = self.clock.now();
        let task = self.task.clone();
        self.record(|state| {
            if matches!(state, TaskState::Held { reason: HoldReason::Approval, .. }) {
                return Err(RunError::NeedsAnswer { task });
            }
            Ok(Event::HoldReleased { by, why, checked, at })
        })
    }

    /// Lays the task aside until it is resumed.
    ///
    /// # Errors
    /// [`RunError::NotNow`] where it has come to its end or is paused already.
    pub fn pause(&mut self, why: Option<String>) -> Result<TaskState, RunError> {
        let (by, at) = (self.person.clone(), self.clock.now());
        self.record(|_| Ok(Event::TaskPaused { by, why, at }))
    }

    /// Takes a paused task up again: it stands where it stood.
    ///
    /// # Errors
    /// [`RunError::NotNow`] where it is not paused.
    pub fn resume(&mut self, why: Option<String>) -> Result<TaskState, RunError> {
        let (by, at) = (self.person.clone(), self.clock.now());
        self.record(|_| Ok(Event::TaskResumed { by, why, at }))
    }

    /// Ends the task for good.
    ///
    /// # Errors
    /// [`RunError::NotNow`] where it has come to its end already.
    pub fn cancel(&mut self, why: Option<String>) -> Result<TaskState, RunError> {
        let (by, at) = (self.person.clone(), self.clock.now());
        self.record(|_| Ok(Event::TaskCancelled { by, why, at }))
    }

    fn record(&mut self, event: impl FnOnce(&TaskState) -> Result<Event, RunError>) -> Result<TaskState, RunError> {
        let mut ledger = Ledger::open(self.store, &self.task, self.holder.clone())?;
        let Some(state) = ledger.task().map(|task| task.state.clone()) else {
            return Err(RunError::NoTask { task: self.task.clone() });
        };
        ledger.apply(event(&state)?).map_err(|refused| RunError::NotNow {
            task: self.task.clone(),
            state: state.status(),
            why: refused.why,
        })?;
        if !self.lock.is_ours() {
            return Err(RunError::LockLost { task: self.task.clone() });
        }
        failpoint!("desk.deciding");
        ledger.commit(self.store)?;
        failpoint!("desk.decided");
        ledger.task().map(|task| task.state.clone()).ok_or(RunError::NoTask { task: self.task.clone() })
    }
}
