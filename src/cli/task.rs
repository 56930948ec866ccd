//! `orch task list`, `show`, `pause`, `resume` and `cancel`.

use serde_json::{Value, json};

use crate::domain::task::{Task, TaskState};
use crate::runner::{Desk, RunError, SystemClock};
use crate::store::RunFilter;
use crate::workspace::damage::is_damage;
use crate::workspace::logs;
use crate::workspace::worktree::Worktree;

use super::args::{HoldShowArgs, StateArgs, TaskArgs};
use super::output::{self, Problem};
use super::reach::{LiveRunner, Reached, last_attempt, named, require, stood_in};
use super::status::existing;
use super::store::of_store;
use super::waiting::Waiting;
use super::{ExitCode, store, trouble, view};

/// Runs that `show` lists, newest first.
const RUNS_SHOWN: u32 = 5;

pub(super) fn list(options: &StateArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.worktree)?;
    let place = store::place(options, &git)?;
    let mut documents: Vec<Value> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    if let Some(store) = store::open_existing(&place.state)? {
        for stored in store.tasks().map_err(|error| of_store(&error))? {
            let attempt = last_attempt(store.as_ref(), &stored)?;
            documents.push(view::task(&stored, attempt.as_ref()));
            let task = &stored.task;
            let stage = task.state.stage().map(|stage| format!(" at {stage}")).unwrap_or_default();
            lines.push(format!("{}: {}{stage}; {}", task.name, task.state.status(), where_it_is(task)));
        }
    }
    if options.json {
        output::document(&json!({ "version": 1, "tasks": documents }));
    } else if lines.is_empty() {
        output::data("no task yet; `orch task add NAME` makes one, or `orch pipeline run` for the branch");
    } else {
        output::data(&lines.join("\n"));
    }
    Ok(ExitCode::Success)
}

pub(super) fn show(options: &HoldShowArgs) -> Result<ExitCode, Problem> {
    let (worktree, task) = named(options.task.as_deref(), &options.state)?;
    let place = store::state(&options.state, worktree)?;
    let store = existing(&place)?;
    let stored = require(store.as_ref(), &task)?;
    let attempt = last_attempt(store.as_ref(), &stored)?;
    let stood_in = stood_in(store.as_ref(), &stored)?;
    let filter = RunFilter { task: Some(task.clone()), limit: Some(RUNS_SHOWN) };
    let runs = store.runs(&filter).map_err(|error| of_store(&error))?;
    if options.state.json {
        let mut document = view::task(&stored, attempt.as_ref());
        document["version"] = json!(1);
        document["fallbacks"] = view::fallbacks(&stood_in);
        document["runs"] = runs.iter().map(view::run_line).collect();
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    let task = &stored.task;
    let stage = task.state.stage().map(|stage| format!(" at {stage}")).unwrap_or_default();
    let mut lines = vec![format!("task {}: {}{stage}", task.name, task.state.status()), where_it_is(task)];
    if let Some(checkout) = &task.checkout {
        lines.push(format!("base commit {}", checkout.base_commit));
    }
    lines.extend(task.spent.budgets.iter().map(|(budget, spent)| format!("budget {budget}: {spent} spent")));
    lines.extend(Waiting::of(&task.name, &task.state, attempt.as_ref()).map(|waiting| waiting.in_words()));
    lines.extend(view::fallbacks_in_words(&stood_in));
    lines.extend(runs.iter().map(|run| {
        let end = run.closing.map_or("live", |closing| closing.end.as_str());
        format!("run {} {}: {end}", run.start.run, run.start.at)
    }));
    output::data(&logs::escape(lines.join("\n").as_bytes()));
    Ok(ExitCode::Success)
}

/// A task's worktree, in words.
fn where_it_is(task: &Task) -> String {
    let path = task.worktree.display();
    match &task.checkout {
        None => format!("worktree {path}"),
        Some(checkout) if checkout.identity.is_none() => {
            format!("branch {}, its worktree is removed", checkout.branch)
        }
        Some(checkout) if !task.worktree.is_dir() => {
            format!("branch {}, its worktree {path} is gone", checkout.branch)
        }
        Some(checkout) => format!("branch {}, worktree {path}", checkout.branch),
    }
}

pub(super) fn pause(options: &TaskArgs) -> Result<ExitCode, Problem> {
    let mut reached = at_rest(options)?;
    let why = options.reason.clone();
    record(&mut reached, options, |desk| desk.pause(why))
}

pub(super) fn resume(options: &TaskArgs) -> Result<ExitCode, Problem> {
    let mut reached = Reached::open(options.task.as_deref(), &options.state, options.lock, LiveRunner::LeaveIt)?;
    let why = options.reason.clone();
    record(&mut reached, options, |desk| desk.resume(why))
}

pub(super) fn cancel(options: &TaskArgs) -> Result<ExitCode, Problem> {
    let mut reached = at_rest(options)?;
    let why = options.reason.clone();
    record(&mut reached, options, |desk| desk.cancel(why))
}

/// Reaches the task and sees to it that nothing of it runs: its runner is asked to stop, and what a dead runner left
/// is brought to its record.
fn at_rest(options: &TaskArgs) -> Result<Reached, Problem> {
    let mut reached = Reached::open(options.task.as_deref(), &options.state, options.lock, LiveRunner::StopIt)?;
    let task = reached.stored()?.task;
    if task.state.live_run().is_none() {
        return Ok(reached);
    }
    if let Some(why) = unusable(&task)? {
        output::talk(&format!("orch: {why}: what ran there can no longer be judged"));
        reached.desk(&SystemClock).abandon().map_err(|error| trouble::of_run(&error))?;
    } else {
        reached.with_runner(true, |runner| {
            runner.bring_to_rest()?;
            Ok(())
        })?;
    }
    Ok(reached)
}

/// Why nothing can be looked at any more in a task's worktree; an error where that is not because of the worktree.
fn unusable(task: &Task) -> Result<Option<String>, Problem> {
    let path = task.worktree.display();
    if !task.worktree.is_dir() {
        return Ok(Some(format!("{path} is gone")));
    }
    let git = store::git(&task.worktree)?;
    match Worktree::open(&git, &task.worktree) {
        Ok(found) if found.toplevel() != task.worktree => Ok(Some(format!("{path} is no worktree any more"))),
        Ok(_) => Ok(None),
        Err(error) if is_damage(&error) => Ok(Some(format!("{path} is broken (could not {error})"))),
        Err(error) => Err(store::of_git(&error)),
    }
}

fn record(
    reached: &mut Reached,
    options: &TaskArgs,
    act: impl FnOnce(&mut Desk<'_>) -> Result<TaskState, RunError>,
) -> Result<ExitCode, Problem> {
    let clock = SystemClock;
    let state = act(&mut reached.desk(&clock)).map_err(|error| trouble::of_run(&error))?;
    if options.state.json {
        let document = reached.document()?;
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    let stage = state.stage().map(|stage| format!(" at {stage}")).unwrap_or_default();
    let next = match &state {
        TaskState::Paused { .. } => format!("; `orch task resume {}` takes it up again", reached.task),
        TaskState::Queued { .. } | TaskState::Deferred { .. } => {
            format!("; it goes on with `orch pipeline run --task {}`", reached.task)
        }
        TaskState::Held { .. } => "; `orch hold list` says what it waits for".to_owned(),
        TaskState::Ready { .. }
        | TaskState::Running { .. }
        | TaskState::Waiting { .. }
        | TaskState::Done { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => String::new(),
    };
    output::data(&format!("task {}: {}{stage}{next}", reached.task, state.status()));
    Ok(ExitCode::Success)
}
