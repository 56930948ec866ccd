//! What rows come to: the columns of run, attempt and task, derived from events.
//!
//! Writing, reading and `verify` use the same derivation, so that a row is either what its events say or an error.

use crate::domain::decision::Decision;
use crate::domain::evidence::{Canceller, Exit, ExitRecord};
use crate::domain::task::{Decided, Intent, RunEnd, RunStart, Task, TaskState};
use jiff::Timestamp;

use super::error::StoreError;

/// Place of an event in the store.
pub(super) type Position = i64;

/// A row of `run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunRow {
    pub(super) id: String,
    pub(super) task: String,
    pub(super) pipeline: String,
    pub(super) pipeline_digest: String,
    pub(super) commit_id: String,
    pub(super) base_commit: String,
    pub(super) stage: String,
    pub(super) started: Position,
    pub(super) started_at: String,
    pub(super) closing: Option<ClosingColumns>,
}

/// The columns of a closed run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClosingColumns {
    pub(super) ended: String,
    pub(super) closed: Position,
    pub(super) closed_at: String,
}

impl RunRow {
    pub(super) fn started(task: &str, position: Position, start: &RunStart) -> Self {
        Self {
            id: start.run.to_string(),
            task: task.to_owned(),
            pipeline: start.pipeline.to_string(),
            pipeline_digest: start.pipeline_digest.to_string(),
            commit_id: start.commit.clone(),
            base_commit: start.base_commit.clone(),
            stage: start.stage.to_string(),
            started: position,
            started_at: start.at.to_string(),
            closing: None,
        }
    }
}

impl ClosingColumns {
    pub(super) fn of(position: Position, end: RunEnd, at: Timestamp) -> Self {
        Self { ended: end.as_str().to_owned(), closed: position, closed_at: at.to_string() }
    }
}

/// A row of `attempt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptRow {
    pub(super) id: String,
    pub(super) run_id: String,
    pub(super) task: String,
    pub(super) stage: String,
    pub(super) visit: u32,
    pub(super) number: u32,
    pub(super) producer: String,
    pub(super) intended: Position,
    pub(super) intended_at: String,
    pub(super) finished: Option<FinishedColumns>,
    pub(super) decided: Option<DecidedColumns>,
}

/// The columns of a finished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FinishedColumns {
    pub(super) finished: Position,
    pub(super) finished_at: String,
    pub(super) exit: String,
}

/// The columns of a decided attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DecidedColumns {
    pub(super) decided: Position,
    pub(super) decided_at: String,
    pub(super) outcome: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) settlement: String,
    pub(super) decision: String,
    pub(super) artifact: Option<String>,
}

impl AttemptRow {
    pub(super) fn intended(task: &str, position: Position, intent: &Intent) -> Self {
        Self {
            id: intent.attempt.to_string(),
            run_id: intent.run.to_string(),
            task: task.to_owned(),
            stage: intent.stage.to_string(),
            visit: intent.visit.get(),
            number: intent.number.get(),
            producer: intent.producer.as_str().to_owned(),
            intended: position,
            intended_at: intent.at.to_string(),
            finished: None,
            decided: None,
        }
    }
}

impl FinishedColumns {
    pub(super) fn of(position: Position, record: &ExitRecord, at: Timestamp) -> Self {
        Self { finished: position, finished_at: at.to_string(), exit: exit_text(&record.exit) }
    }
}

impl DecidedColumns {
    pub(super) fn of(position: Position, decided: &Decided) -> Self {
        Self {
            decided: position,
            decided_at: decided.at.to_string(),
            outcome: decided.outcome.as_ref().map(|outcome| outcome.conclusion.class().to_owned()),
            reason: decided.outcome.as_ref().map(|outcome| outcome.reason.as_str().to_owned()),
            settlement: decided.settlement.as_str().to_owned(),
            decision: decision_word(&decided.decision).to_owned(),
            artifact: decided.artifact.as_ref().map(|artifact| artifact.digest.to_string()),
        }
    }
}

/// The columns of `task` that its state determines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateColumns {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) stage: Option<String>,
    pub(super) run_id: Option<String>,
    pub(super) attempt_id: Option<String>,
}

impl StateColumns {
    pub(super) fn of(task: &Task) -> Self {
        Self {
            name: task.name.to_string(),
            status: task.state.status().to_owned(),
            stage: task.state.stage().map(ToString::to_string),
            run_id: task.state.live_run().map(|run| run.to_string()),
            attempt_id: live_attempt(&task.state),
        }
    }
}

/// The attempt that a state calls live.
fn live_attempt(state: &TaskState) -> Option<String> {
    match state {
        TaskState::Running { attempt, .. } => Some(attempt.to_string()),
        TaskState::Queued { .. }
        | TaskState::Ready { .. }
        | TaskState::Waiting { .. }
        | TaskState::Deferred { .. }
        | TaskState::Paused { .. }
        | TaskState::Held { .. }
        | TaskState::Done { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => None,
    }
}

/// Compares a stored row with what its events say.
pub(super) fn agree<T: std::fmt::Debug + PartialEq>(row: &str, stored: &T, derived: &T) -> Result<(), StoreError> {
    if stored == derived {
        return Ok(());
    }
    Err(StoreError::Disagrees { row: row.to_owned(), what: difference("row", stored, "events", derived) })
}

/// Says where two rows differ: the first line of their pretty forms that is not the same, with its column.
pub(super) fn difference<T: std::fmt::Debug>(one: &str, stored: &T, other: &str, derived: &T) -> String {
    let (stored, derived) = (format!("{stored:#?}"), format!("{derived:#?}"));
    let mut column = "columns";
    for (left, right) in stored.lines().zip(derived.lines()) {
        if let Some((name, _)) = left.trim().split_once(": ") {
            column = name;
        }
        if left != right {
            return format!("{column}: its {one} says `{}`, its {other} `{}`", value(left), value(right));
        }
    }
    format!("its {one} and its {other} differ")
}

/// The value in a line of a pretty form.
fn value(line: &str) -> &str {
    let line = line.trim();
    line.split_once(": ").map_or(line, |(_, value)| value).trim_end_matches([',', '{', '(', ' '])
}

fn exit_text(exit: &Exit) -> String {
    match exit {
        Exit::Exited { code } => format!("exited {code}"),
        Exit::Signalled { signal, core: _ } => format!("signalled {signal}"),
        Exit::TimedOut { limit, after: _ } => format!("timed-out {}", limit.as_str()),
        Exit::Cancelled { by: Canceller::Request } => "cancelled request".to_owned(),
        Exit::Cancelled { by: Canceller::Shutdown } => "cancelled shutdown".to_owned(),
        Exit::SpawnFailed(failure) => format!("spawn-failed {}", failure.step.as_str()),
        Exit::Lost { reason } => format!("lost {}", reason.as_str()),
        Exit::Answered(answer) if answer.approved => "approved".to_owned(),
        Exit::Answered(_) => "rejected".to_owned(),
    }
}

const fn decision_word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Advance(_) => "advance",
        Decision::Rollback { .. } => "rollback",
        Decision::Rewrite => "rewrite",
        Decision::Retry { .. } => "retry",
        Decision::Hold(_) => "hold",
        Decision::Fail => "fail",
        Decision::Interrupt => "interrupt",
    }
}
