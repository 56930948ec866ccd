//! `orch task pause`, `resume` and `cancel`.

use crate::domain::task::TaskState;
use crate::runner::{Desk, RunError, SystemClock};

use super::args::TaskArgs;
use super::output::{self, Problem};
use super::reach::{Driven, Reached};
use super::{ExitCode, trouble};

pub(super) fn pause(options: &TaskArgs) -> Result<ExitCode, Problem> {
    let mut reached = at_rest(options)?;
    let why = options.reason.clone();
    record(&mut reached, options, |desk| desk.pause(why))
}

pub(super) fn resume(options: &TaskArgs) -> Result<ExitCode, Problem> {
    let mut reached = Reached::open(options.task.as_deref(), &options.state, options.lock, Driven::LeaveIt)?;
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
    let mut reached = Reached::open(options.task.as_deref(), &options.state, options.lock, Driven::StopIt)?;
    let task = reached.stored()?.task;
    if task.state.live_run().is_some() && !task.worktree.exists() {
        output::talk(&format!("orch: {} is gone: what ran there can no longer be judged", task.worktree.display()));
        reached.desk(&SystemClock).abandon().map_err(|error| trouble::of_run(&error))?;
    } else if task.state.live_run().is_some() {
        reached.with_runner(true, |runner| {
            runner.bring_to_rest()?;
            Ok(())
        })?;
    }
    Ok(reached)
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
