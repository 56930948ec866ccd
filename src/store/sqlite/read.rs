//! Reading: every record is made from its events and compared with its row.

use std::path::Path;
use std::str::FromStr;

use rusqlite::{Connection, Params, Row};

use super::fault::fault;
use super::visits::{self, Tally};
use crate::domain::id::{AttemptId, Digest, RunId, StageName, TaskName};
use crate::domain::task::{ArtifactRef, Event};
use crate::domain::visits::Visits;
use crate::store::change::{Holder, Version};
use crate::store::codec;
use crate::store::error::StoreError;
use crate::store::form;
use crate::store::record::{
    AttemptRecord, Finished, PendingEffect, Published, RunClosing, RunFilter, RunRecord, StoredTask,
};
use crate::store::rows::{
    self, AttemptRow, ClosingColumns, DecidedColumns, FinishedColumns, Position, RunRow, StateColumns,
};

/// Columns of `run`, in the order [`run_row`] takes them.
pub(super) const RUN_COLUMNS: &str = "r.id, r.task, r.pipeline, r.pipeline_digest, r.commit_id, r.base_commit, r.stage, r.started, r.started_at, \
     r.ended, r.closed, r.closed_at";
/// Columns of `attempt`, in the order [`attempt_row`] takes them.
pub(super) const ATTEMPT_COLUMNS: &str = "a.id, a.run_id, a.task, a.stage, a.visit, a.number, a.producer, a.intended, a.intended_at, \
     a.finished, a.finished_at, a.exit, \
     a.decided, a.decided_at, a.outcome, a.reason, a.settlement, a.decision, a.artifact";
/// Place of `a.intended` among them.
const INTENDED: usize = 7;
/// Columns of `task`, in the order [`task_of`] takes them.
pub(super) const TASK_COLUMNS: &str = "name, version, head, status, stage, run_id, attempt_id, owner, pid, body, body_hash, stages, entries, \
     (SELECT group_concat(v.stage || ' ' || v.count) FROM visit v WHERE v.task = task.name)";

pub(super) fn task(conn: &Connection, path: &Path, name: &TaskName) -> Result<Option<StoredTask>, StoreError> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM task WHERE name = ?1");
    Ok(gather(conn, path, &sql, [name.as_str()], |row| task_of(row, path))?.pop())
}

pub(super) fn tasks(conn: &Connection, path: &Path) -> Result<Vec<StoredTask>, StoreError> {
    gather(conn, path, &format!("SELECT {TASK_COLUMNS} FROM task ORDER BY name"), [], |row| task_of(row, path))
}

pub(super) fn live_tasks(conn: &Connection, path: &Path) -> Result<Vec<Result<StoredTask, StoreError>>, StoreError> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM task WHERE run_id IS NOT NULL ORDER BY name");
    gather(conn, path, &sql, [], |row| Ok(task_of(row, path)))
}

pub(super) fn run(conn: &Connection, path: &Path, id: RunId) -> Result<Option<RunRecord>, StoreError> {
    let sql = run_query("WHERE r.id = ?1");
    Ok(gather(conn, path, &sql, [id.to_string()], |row| run_of(row, path))?.pop())
}

pub(super) fn runs(conn: &Connection, path: &Path, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
    let limit = filter.limit.unwrap_or(u32::MAX);
    if let Some(task) = &filter.task {
        let sql = run_query("WHERE r.task = ?1 ORDER BY r.started DESC LIMIT ?2");
        gather(conn, path, &sql, (task.as_str(), limit), |row| run_of(row, path))
    } else {
        gather(conn, path, &run_query("ORDER BY r.started DESC LIMIT ?1"), [limit], |row| run_of(row, path))
    }
}

pub(super) fn attempt(conn: &Connection, path: &Path, id: AttemptId) -> Result<Option<AttemptRecord>, StoreError> {
    let sql = attempt_query("attempt a", "WHERE a.id = ?1");
    Ok(gather(conn, path, &sql, [id.to_string()], |row| attempt_of(row, path))?.pop())
}

pub(super) fn attempts(conn: &Connection, path: &Path, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
    // Their order is found first: a sorter would carry the texts of all events through a file.
    let sql = attempt_query(
        "(SELECT id FROM attempt WHERE run_id = ?1 ORDER BY intended LIMIT -1) this CROSS JOIN attempt a ON a.id = this.id",
        "",
    );
    let read = |row: &Row<'_>| Ok((row.get(INTENDED).map_err(fault(path, "read an attempt"))?, attempt_of(row, path)?));
    let mut found: Vec<(Position, AttemptRecord)> = gather(conn, path, &sql, [run.to_string()], read)?;
    // Nearly always so already; the engine promises no order here.
    found.sort_by_key(|(intended, _)| *intended);
    Ok(found.into_iter().map(|(_, attempt)| attempt).collect())
}

pub(super) fn last_attempt(
    conn: &Connection,
    path: &Path,
    run: RunId,
    stage: Option<&StageName>,
) -> Result<Option<AttemptRecord>, StoreError> {
    let last = "SELECT id FROM attempt WHERE run_id = ?1 AND (?2 IS NULL OR stage = ?2) ORDER BY intended DESC LIMIT 1";
    let sql = attempt_query("attempt a", &format!("WHERE a.id = ({last})"));
    let values = (run.to_string(), stage.map(StageName::as_str));
    Ok(gather(conn, path, &sql, values, |row| attempt_of(row, path))?.pop())
}

pub(super) fn published(conn: &Connection, path: &Path, run: RunId) -> Result<Vec<Published>, StoreError> {
    let sql = "SELECT a.id, a.stage, a.artifact, e.task, e.body, a.intended FROM attempt a \
               LEFT JOIN event e ON e.position = a.decided AND a.artifact IS NOT NULL WHERE a.run_id = ?1";
    let mut found: Vec<(Position, Published)> = gather(conn, path, sql, [run.to_string()], |row| {
        let fault = fault(path, "read an attempt");
        let (id, stage): (String, String) = (row.get(0).map_err(&fault)?, row.get(1).map_err(&fault)?);
        let name = format!("attempt {id}");
        let stored: Option<String> = row.get(2).map_err(&fault)?;
        let artifact = match stored {
            None => None,
            Some(digest) => {
                let (_, event) = event_of(row, 3, &name, path)?.ok_or_else(|| lost(&name, "attempt-decided"))?;
                let Event::AttemptDecided(decided) = event else {
                    return Err(wrong(&name, "attempt-decided", &event));
                };
                let same =
                    |found: &ArtifactRef| decided.attempt.to_string() == id && found.digest.to_string() == digest;
                Some(decided.artifact.clone().filter(same).ok_or_else(|| lost(&name, "attempt-decided"))?)
            }
        };
        let one = Published { attempt: named(&name, "id", &id)?, stage: named(&name, "stage", &stage)?, artifact };
        Ok((row.get(5).map_err(&fault)?, one))
    })?;
    // A sorter would carry the texts of the events through a file.
    found.sort_by_key(|(intended, _)| *intended);
    Ok(found.into_iter().map(|(_, one)| one).collect())
}

pub(super) fn pending_effects(
    conn: &Connection,
    path: &Path,
    task: Option<&TaskName>,
) -> Result<Vec<PendingEffect>, StoreError> {
    let sql = "SELECT id, task, body, body_hash FROM outbox WHERE state = 'pending' AND (?1 IS NULL OR task = ?1) ORDER BY asked, id";
    gather(conn, path, sql, [task.map(TaskName::as_str)], |row| {
        let fault = fault(path, "read an effect");
        let (id, task): (String, String) = (row.get(0).map_err(&fault)?, row.get(1).map_err(&fault)?);
        let (body, hash): (String, String) = (row.get(2).map_err(&fault)?, row.get(3).map_err(&fault)?);
        let name = format!("effect `{id}`");
        whole(&name, &body, &hash)?;
        let effect: crate::domain::task::Effect = codec::decode(&name, &body)?;
        if effect.id() != id {
            let what = format!("its text is that of `{}`", effect.id());
            return Err(StoreError::Disagrees { row: name, what });
        }
        Ok(PendingEffect { task: named(&name, "task", &task)?, id, effect })
    })
}

fn run_query(rest: &str) -> String {
    format!(
        "SELECT {RUN_COLUMNS}, es.task, es.body, ec.task, ec.body FROM run r \
         LEFT JOIN event es ON es.position = r.started LEFT JOIN event ec ON ec.position = r.closed {rest}"
    )
}

fn attempt_query(from: &str, rest: &str) -> String {
    format!(
        "SELECT {ATTEMPT_COLUMNS}, ei.task, ei.body, ef.task, ef.body, ed.task, ed.body FROM {from} \
         LEFT JOIN event ei ON ei.position = a.intended LEFT JOIN event ef ON ef.position = a.finished \
         LEFT JOIN event ed ON ed.position = a.decided {rest}"
    )
}

/// Reads a task from its columns, and refuses one whose columns and state disagree.
pub(super) fn task_of(row: &Row<'_>, path: &Path) -> Result<StoredTask, StoreError> {
    let fault = fault(path, "read a task");
    let stored = StateColumns {
        name: row.get(0).map_err(&fault)?,
        status: row.get(3).map_err(&fault)?,
        stage: row.get(4).map_err(&fault)?,
        run_id: row.get(5).map_err(&fault)?,
        attempt_id: row.get(6).map_err(&fault)?,
    };
    let name = format!("task `{}`", stored.name);
    let (body, hash): (String, String) = (row.get(9).map_err(&fault)?, row.get(10).map_err(&fault)?);
    whole(&name, &body, &hash)?;
    let visits: Option<String> = row.get(13).map_err(&fault)?;
    let tally: (u32, u32) = (row.get(11).map_err(&fault)?, row.get(12).map_err(&fault)?);
    let task = form::decode_task(&name, &body, visited(&name, &visits.unwrap_or_default(), tally)?)?;
    let derived = StateColumns::of(&task);
    if stored != derived {
        let what = rows::difference("row", &stored, "state", &derived);
        return Err(StoreError::Disagrees { row: name, what });
    }
    let (owner, pid): (Option<String>, Option<u32>) = (row.get(7).map_err(&fault)?, row.get(8).map_err(&fault)?);
    let head: String = row.get(2).map_err(&fault)?;
    Ok(StoredTask {
        task,
        version: version(row, 1, path)?,
        head: named(&name, "head", &head)?,
        holder: owner.zip(pid).map(|(owner, pid)| Holder { owner, pid }),
    })
}

/// Reads the columns of a run.
pub(super) fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let closing = match row.get::<_, Option<String>>(9)? {
        Some(ended) => Some(ClosingColumns { ended, closed: row.get(10)?, closed_at: row.get(11)? }),
        None => None,
    };
    Ok(RunRow {
        id: row.get(0)?,
        task: row.get(1)?,
        pipeline: row.get(2)?,
        pipeline_digest: row.get(3)?,
        commit_id: row.get(4)?,
        base_commit: row.get(5)?,
        stage: row.get(6)?,
        started: row.get(7)?,
        started_at: row.get(8)?,
        closing,
    })
}

/// Reads the columns of an attempt.
pub(super) fn attempt_row(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    let finished = match row.get::<_, Option<i64>>(9)? {
        Some(finished) => Some(FinishedColumns { finished, finished_at: row.get(10)?, exit: row.get(11)? }),
        None => None,
    };
    let decided = match row.get::<_, Option<i64>>(12)? {
        Some(decided) => Some(DecidedColumns {
            decided,
            decided_at: row.get(13)?,
            outcome: row.get(14)?,
            reason: row.get(15)?,
            settlement: row.get(16)?,
            decision: row.get(17)?,
            artifact: row.get(18)?,
        }),
        None => None,
    };
    Ok(AttemptRow {
        id: row.get(0)?,
        run_id: row.get(1)?,
        task: row.get(2)?,
        stage: row.get(3)?,
        visit: row.get(4)?,
        number: row.get(5)?,
        producer: row.get(6)?,
        intended: row.get(7)?,
        intended_at: row.get(8)?,
        finished,
        decided,
    })
}

fn run_of(row: &Row<'_>, path: &Path) -> Result<RunRecord, StoreError> {
    let stored = run_row(row).map_err(fault(path, "read a run"))?;
    let name = format!("run {}", stored.id);
    let (task, started) = event_of(row, 12, &name, path)?.ok_or_else(|| lost(&name, "run-started"))?;
    let Event::RunStarted(start) = started else { return Err(wrong(&name, "run-started", &started)) };
    let mut derived = RunRow::started(&task, stored.started, &start);
    let mut closing = None;
    if let Some(columns) = &stored.closing {
        let (_, closed) = event_of(row, 14, &name, path)?.ok_or_else(|| lost(&name, "run-closed"))?;
        let Event::RunClosed { run, end, at } = closed else { return Err(wrong(&name, "run-closed", &closed)) };
        if run != start.run {
            return Err(lost(&name, "run-closed"));
        }
        derived.closing = Some(ClosingColumns::of(columns.closed, end, at));
        closing = Some(RunClosing { end, at });
    }
    rows::agree(&name, &stored, &derived)?;
    Ok(RunRecord { task: named(&name, "task", &task)?, start, closing })
}

fn attempt_of(row: &Row<'_>, path: &Path) -> Result<AttemptRecord, StoreError> {
    let stored = attempt_row(row).map_err(fault(path, "read an attempt"))?;
    let name = format!("attempt {}", stored.id);
    let (task, intended) = event_of(row, 19, &name, path)?.ok_or_else(|| lost(&name, "attempt-intended"))?;
    let Event::AttemptIntended(intent) = intended else { return Err(wrong(&name, "attempt-intended", &intended)) };
    let mut derived = AttemptRow::intended(&task, stored.intended, &intent);
    let (mut finished, mut decided) = (None, None);
    if let Some(columns) = &stored.finished {
        let (_, event) = event_of(row, 21, &name, path)?.ok_or_else(|| lost(&name, "attempt-finished"))?;
        let Event::AttemptFinished { record, at } = event else { return Err(wrong(&name, "attempt-finished", &event)) };
        if record.attempt != intent.attempt {
            return Err(lost(&name, "attempt-finished"));
        }
        derived.finished = Some(FinishedColumns::of(columns.finished, &record, at));
        finished = Some(Finished { record, at });
    }
    if let Some(columns) = &stored.decided {
        let (_, event) = event_of(row, 23, &name, path)?.ok_or_else(|| lost(&name, "attempt-decided"))?;
        let Event::AttemptDecided(found) = event else { return Err(wrong(&name, "attempt-decided", &event)) };
        if found.attempt != intent.attempt {
            return Err(lost(&name, "attempt-decided"));
        }
        derived.decided = Some(DecidedColumns::of(columns.decided, &found));
        decided = Some(found);
    }
    rows::agree(&name, &stored, &derived)?;
    Ok(AttemptRecord { task: named(&name, "task", &task)?, intent: *intent, finished, decided })
}

/// Reads an event that a row points at, from the columns `task, body` at an index.
fn event_of(row: &Row<'_>, at: usize, name: &str, path: &Path) -> Result<Option<(String, Event)>, StoreError> {
    let fault = fault(path, "read an event");
    let task: Option<String> = row.get(at).map_err(&fault)?;
    let body: Option<String> = row.get(at + 1).map_err(&fault)?;
    match (task, body) {
        (Some(task), Some(body)) => Ok(Some((task, codec::decode(name, &body)?))),
        (None | Some(_), None) | (None, Some(_)) => Ok(None),
    }
}

/// Reads a task's visits and checks them against what its row says of them.
fn visited(row: &str, text: &str, (stages, entries): (u32, u32)) -> Result<Visits, StoreError> {
    let visits = visits::parse(text);
    let tally = Tally { stages: stages.into(), entries: entries.into() };
    visits.filter(|visits| Tally::of(visits) == tally).ok_or_else(|| StoreError::Disagrees {
        row: row.to_owned(),
        what: format!("its visits are not the {entries} to {stages} stages that its row says"),
    })
}

/// Checks a stored form against its hash.
fn whole(row: &str, body: &str, hash: &str) -> Result<(), StoreError> {
    if Digest::of(body.as_bytes()).to_string() == hash {
        return Ok(());
    }
    Err(StoreError::Disagrees { row: row.to_owned(), what: "its text has another hash".to_owned() })
}

fn lost(row: &str, kind: &str) -> StoreError {
    StoreError::Disagrees { row: row.to_owned(), what: format!("its `{kind}` event is not where it says") }
}

fn wrong(row: &str, kind: &str, found: &Event) -> StoreError {
    let what = format!("it points at a `{}` event for its `{kind}`", found.kind());
    StoreError::Disagrees { row: row.to_owned(), what }
}

/// Reads a version from a column.
pub(super) fn version(row: &Row<'_>, column: usize, path: &Path) -> Result<Version, StoreError> {
    let events: i64 = row.get(column).map_err(fault(path, "read a version"))?;
    u64::try_from(events)
        .map(Version::new)
        .map_err(|_| StoreError::Corrupt { path: path.to_owned(), what: format!("a version is {events}") })
}

/// Parses a name or hash that the store once wrote.
pub(super) fn named<T: FromStr>(row: &str, column: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Disagrees {
        row: row.to_owned(),
        what: format!("its {column} cannot be {:?}", text.chars().take(80).collect::<String>()),
    })
}

/// Runs a query and reads all its rows.
pub(super) fn gather<T>(
    conn: &Connection,
    path: &Path,
    sql: &str,
    values: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let fault = fault(path, "read the store");
    let mut query = conn.prepare_cached(sql).map_err(&fault)?;
    let mut rows = query.query(values).map_err(&fault)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(&fault)? {
        all.push(read(row)?);
    }
    Ok(all)
}
