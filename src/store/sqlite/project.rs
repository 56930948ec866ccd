//! Events into rows, in the transaction that stores them. A projection that changes no row refuses the change.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::SqliteStore;
use super::fault::{fault, refusal};
use crate::domain::id::TaskName;
use crate::domain::task::Event;
use crate::store::error::StoreError;
use crate::store::rows::{AttemptRow, ClosingColumns, DecidedColumns, FinishedColumns, Position, RunRow, StateColumns};

pub(super) fn project(
    tx: &Transaction<'_>,
    store: &SqliteStore,
    task: &TaskName,
    position: Position,
    event: &Event,
) -> Result<(), StoreError> {
    let (changed, what) = match event {
        // The task's own row is written last, with the state after all events; these change no other.
        Event::TaskAdded { .. }
        | Event::WorktreeMade { .. }
        | Event::WorktreeRemoved { .. }
        | Event::StageHeld { .. }
        | Event::RetryDue { .. }
        | Event::HoldReleased { .. }
        | Event::TaskPaused { .. }
        | Event::TaskResumed { .. }
        | Event::TaskCancelled { .. } => return Ok(()),
        Event::RunStarted(start) => {
            let row = RunRow::started(task.as_str(), position, start);
            (start_run(tx, &row), format!("run {} was started", start.run))
        }
        Event::AttemptIntended(intent) => {
            let row = AttemptRow::intended(task.as_str(), position, intent);
            (intend(tx, &row), format!("attempt {} needs its live run {}", intent.attempt, intent.run))
        }
        Event::AttemptFinished { record, at } => {
            let columns = FinishedColumns::of(position, record, *at);
            let changed = finish(tx, task, &record.attempt.to_string(), &columns);
            (changed, format!("attempt {} is not live and unfinished", record.attempt))
        }
        Event::AttemptDecided(decided) => {
            let columns = DecidedColumns::of(position, decided);
            let changed = decide(tx, task, &decided.attempt.to_string(), &columns);
            (changed, format!("attempt {} is not live", decided.attempt))
        }
        Event::RunClosed { run, end, at } => {
            let columns = ClosingColumns::of(position, *end, *at);
            let changed = close(tx, task, &run.to_string(), &columns);
            (changed, format!("run {run} is not live, or an attempt of it is"))
        }
    };
    let changed = changed.map_err(refusal(&store.path, task, "store what an event comes to"))?;
    exactly_one(task, changed, || what)
}

/// Refuses a guarded write that did not find its row.
pub(super) fn exactly_one(task: &TaskName, changed: usize, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::Refused { task: task.clone(), what: what() }),
    }
}

fn start_run(tx: &Transaction<'_>, row: &RunRow) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "INSERT INTO run (id, task, pipeline, pipeline_digest, commit_id, base_commit, stage, started, started_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        row.id,
        row.task,
        row.pipeline,
        row.pipeline_digest,
        row.commit_id,
        row.base_commit,
        row.stage,
        row.started,
        row.started_at
    ])
}

fn intend(tx: &Transaction<'_>, row: &AttemptRow) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "INSERT INTO attempt (id, run_id, task, stage, visit, number, producer, intended, intended_at) \
         SELECT ?1, id, task, ?4, ?5, ?6, ?7, ?8, ?9 FROM run WHERE id = ?2 AND task = ?3 AND ended IS NULL",
    )?
    .execute(params![
        row.id,
        row.run_id,
        row.task,
        row.stage,
        row.visit,
        row.number,
        row.producer,
        row.intended,
        row.intended_at
    ])
}

fn finish(tx: &Transaction<'_>, task: &TaskName, id: &str, columns: &FinishedColumns) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "UPDATE attempt SET finished = ?3, finished_at = ?4, exit = ?5 \
         WHERE id = ?1 AND task = ?2 AND finished IS NULL AND decided IS NULL",
    )?
    .execute(params![id, task.as_str(), columns.finished, columns.finished_at, columns.exit])
}

fn decide(tx: &Transaction<'_>, task: &TaskName, id: &str, columns: &DecidedColumns) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "UPDATE attempt SET decided = ?3, decided_at = ?4, outcome = ?5, reason = ?6, settlement = ?7, decision = ?8, \
         artifact = ?9 WHERE id = ?1 AND task = ?2 AND decided IS NULL",
    )?
    .execute(params![
        id,
        task.as_str(),
        columns.decided,
        columns.decided_at,
        columns.outcome,
        columns.reason,
        columns.settlement,
        columns.decision,
        columns.artifact
    ])
}

fn close(tx: &Transaction<'_>, task: &TaskName, id: &str, columns: &ClosingColumns) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "UPDATE run SET ended = ?3, closed = ?4, closed_at = ?5 WHERE id = ?1 AND task = ?2 AND ended IS NULL \
         AND NOT EXISTS (SELECT 1 FROM attempt WHERE task = ?2 AND run_id = ?1 AND decided IS NULL)",
    )?
    .execute(params![id, task.as_str(), columns.ended, columns.closed, columns.closed_at])
}

/// Checks that the state calls live exactly what the rows call live.
pub(super) fn check_live(
    tx: &Transaction<'_>,
    store: &SqliteStore,
    task: &TaskName,
    state: &StateColumns,
) -> Result<(), StoreError> {
    let one = |sql: &str| -> Result<Option<String>, StoreError> {
        tx.prepare_cached(sql)
            .and_then(|mut query| query.query_row([task.as_str()], |row| row.get(0)).optional())
            .map(Option::flatten)
            .map_err(fault(&store.path, "read what is live"))
    };
    let run = one("SELECT id FROM run WHERE task = ?1 AND ended IS NULL")?;
    // More than one attempt at a time comes with fan-out; until then a second one is a contradiction.
    let attempts = one("SELECT group_concat(id) FROM attempt WHERE task = ?1 AND decided IS NULL")?;
    for (what, rows, state) in [("run", run, &state.run_id), ("attempt", attempts, &state.attempt_id)] {
        if rows != *state {
            let say = |id: &Option<String>| id.clone().unwrap_or_else(|| "none".to_owned());
            let what = format!("its state calls {what} {} live, and its events leave {}", say(state), say(&rows));
            return Err(StoreError::Refused { task: task.clone(), what });
        }
    }
    Ok(())
}
