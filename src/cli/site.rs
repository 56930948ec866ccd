//! Which worktree a command works in: the task's own where it has one, from anywhere in the repository.

use std::path::Path;

use crate::domain::id::TaskName;
use crate::domain::task::Task;
use crate::workspace::checkout::{self, CheckoutError};
use crate::workspace::damage::is_damage;
use crate::workspace::git::Git;
use crate::workspace::worktree::Worktree;

use super::args::StateArgs;
use super::output::{self, Problem};
use super::{ExitCode, goal, store};

/// git, the worktree a command works in, and the task it belongs to.
pub(super) struct Site {
    pub(super) git: Git<'static>,
    pub(super) worktree: Worktree,
    /// The task whose own this worktree is.
    owner: Option<TaskName>,
}

impl Site {
    /// Finds it: the worktree of a named task that has its own, else the one that `--worktree` names.
    pub(super) fn find(options: &StateArgs, named: Option<&str>) -> Result<Self, Problem> {
        let git = store::git(&options.worktree)?;
        let worktree = store::worktree(options, &git)?;
        // The main checkout is nobody's own.
        if named.is_none() && worktree.git_dir() == worktree.common_dir() {
            return Ok(Self { git, worktree, owner: None });
        }
        // What is in the way of the store is told by whoever opens it next.
        let Some(known) = tasks(options, &worktree) else { return Ok(Self { git, worktree, owner: None }) };
        let is_it = |task: &Task| match named {
            Some(name) => task.name.as_str() == name,
            None => task.worktree == worktree.toplevel(),
        };
        let Some(task) = known.into_iter().find(|task| task.checkout.is_some() && is_it(task)) else {
            return Ok(Self { git, worktree, owner: None });
        };
        if task.worktree == worktree.toplevel() {
            proven(&task, &worktree)?;
            return Ok(Self { git, worktree, owner: Some(task.name) });
        }
        if !task.worktree.is_dir() {
            return Err(gone(&task));
        }
        let git = store::git(&task.worktree)?;
        let own = checkout::open(&git, &worktree, &task.worktree).map_err(|error| broken(&task, &error))?;
        proven(&task, &own)?;
        output::talk(&format!("orch: task {} has its own worktree: {}", task.name, own.toplevel().display()));
        Ok(Self { git, worktree: own, owner: Some(task.name) })
    }

    /// The task: the named one, else the one that the worktree belongs to, else the one that the branch names.
    pub(super) fn task(&self, named: Option<&str>) -> Result<TaskName, Problem> {
        match (named, &self.owner) {
            (None, Some(owner)) => Ok(owner.clone()),
            (Some(_), _) | (None, None) => goal::task_name(named, &self.worktree),
        }
    }

    /// Whether the task is known without a branch.
    pub(super) const fn is_owned(&self) -> bool {
        self.owner.is_some()
    }
}

fn tasks(options: &StateArgs, worktree: &Worktree) -> Option<Vec<Task>> {
    let state = store::state_of(options, worktree).ok()?;
    let store = store::open_existing(&state).ok()??;
    Some(store.tasks().ok()?.into_iter().map(|stored| stored.task).collect())
}

/// Refuses a worktree that is not the recorded one.
pub(super) fn proven(task: &Task, worktree: &Worktree) -> Result<(), Problem> {
    match task.checkout.as_ref().and_then(|checkout| checkout.identity) {
        Some(identity) if identity == worktree.identity().digest() => Ok(()),
        Some(_) => Err(of_checkout(&CheckoutError::Replaced(worktree.toplevel().to_owned()))),
        None => Err(gone(task)),
    }
}

/// A task's worktree that cannot be opened.
fn broken(task: &Task, error: &CheckoutError) -> Problem {
    let problem = of_checkout(error);
    let is_broken = match error {
        CheckoutError::Git(error) => is_damage(error),
        CheckoutError::OtherRepository { .. } => true,
        CheckoutError::Tree(_)
        | CheckoutError::BranchElsewhere { .. }
        | CheckoutError::BranchThere { .. }
        | CheckoutError::BaseUnknown { .. }
        | CheckoutError::Taken(_)
        | CheckoutError::OtherBranch { .. }
        | CheckoutError::Main(_)
        | CheckoutError::Inside { .. }
        | CheckoutError::Replaced(_)
        | CheckoutError::Io { .. } => false,
    };
    if is_broken {
        problem.help(format!(
            "the git of task {0}'s worktree is broken: `orch task add {0}` mends it and keeps every file; `orch task cancel {0}` \
             ends the task",
            task.name
        ))
    } else {
        problem
    }
}

/// The task whose worktree a folder is or lies in, which git does not take for one any more. Looked for where nothing else
/// tells which repository it belonged to.
pub(super) fn owner_of(options: &StateArgs, folder: &Path) -> Option<Task> {
    let folder = folder.canonicalize().ok()?;
    let states = store::states_without_worktree(options);
    let tasks = states.iter().filter_map(|state| store::tasks_in(state)).flatten();
    tasks
        .into_iter()
        .filter(|task| folder.starts_with(&task.worktree))
        .max_by_key(|task| task.worktree.as_os_str().len())
}

fn gone(task: &Task) -> Problem {
    Problem::new(ExitCode::Invalid, format!("the worktree of task {} is gone: {}", task.name, task.worktree.display()))
        .help(format!("`orch task add {}` makes it again, on its branch", task.name))
}

pub(super) fn of_checkout(error: &CheckoutError) -> Problem {
    let code = match error {
        CheckoutError::BranchElsewhere { .. }
        | CheckoutError::BranchThere { .. }
        | CheckoutError::BaseUnknown { .. }
        | CheckoutError::Taken(_)
        | CheckoutError::OtherBranch { .. }
        | CheckoutError::Main(_)
        | CheckoutError::Inside { .. } => ExitCode::Usage,
        CheckoutError::Git(_)
        | CheckoutError::Tree(_)
        | CheckoutError::OtherRepository { .. }
        | CheckoutError::Replaced(_)
        | CheckoutError::Io { .. } => ExitCode::Invalid,
    };
    Problem::could_not(code, error).help(error.help())
}
