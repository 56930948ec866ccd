//! The check of the whole store: everything against everything else.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::blob::Blobs;
use super::chain::Chain;
use super::content;
use super::fault::fault;
use super::read::{self, gather};
use crate::domain::id::{Digest, TaskName};
use crate::domain::task::Event;
use crate::store::audit::Audit;
use crate::store::error::StoreError;
use crate::store::rows::{self, AttemptRow, ClosingColumns, DecidedColumns, FinishedColumns, Position, RunRow};

pub(super) fn verify(conn: &Connection, path: &Path, blobs: &Blobs) -> Result<Audit, StoreError> {
    // All statements see one state of the store, whatever others write meanwhile.
    let tx = conn.unchecked_transaction().map_err(fault(path, "read the store"))?;
    let mut audit = Audit::default();
    pages(&tx, path, &mut audit)?;
    references(&tx, path, &mut audit)?;
    let names = gather(&tx, path, "SELECT name FROM task ORDER BY name", [], |row| {
        row.get::<_, String>(0).map_err(fault(path, "read a task"))
    })?;
    for name in names {
        match read::named("task", "name", &name) {
            Ok(name) => task(&tx, path, &name, &mut audit)?,
            Err(error) => note(&mut audit, error)?,
        }
    }
    bytes(&tx, path, blobs, &mut audit)?;
    match read::pending_effects(&tx, path, None) {
        Ok(pending) => audit.effects_pending = pending.len() as u64,
        Err(error) => note(&mut audit, error)?,
    }
    tx.finish().map_err(fault(path, "read the store"))?;
    Ok(audit)
}

/// Damage is a finding; what keeps the check from being made is an error.
fn note(audit: &mut Audit, error: StoreError) -> Result<(), StoreError> {
    if let StoreError::Disagrees { row, what } = error {
        audit.add(row, what);
    } else if let StoreError::Corrupt { path, what } = error {
        audit.add(path.display().to_string(), what);
    } else if let StoreError::UnknownForm { row, found, known } = error {
        audit.add(row, format!("it has form {found}, and this orch knows forms up to {known}"));
    } else {
        return Err(error);
    }
    Ok(())
}

fn pages(conn: &Connection, path: &Path, audit: &mut Audit) -> Result<(), StoreError> {
    let lines: Vec<String> =
        gather(conn, path, "PRAGMA integrity_check", [], |row| row.get(0).map_err(fault(path, "check the store")))?;
    if lines != ["ok"] {
        for line in lines {
            audit.add("the file", line);
        }
    }
    Ok(())
}

fn references(conn: &Connection, path: &Path, audit: &mut Audit) -> Result<(), StoreError> {
    let found = gather(conn, path, "PRAGMA foreign_key_check", [], |row| {
        let fault = fault(path, "check the store");
        let from: String = row.get(0).map_err(&fault)?;
        let to: String = row.get(2).map_err(&fault)?;
        Ok((from, to))
    })?;
    for (from, to) in found {
        audit.add(format!("a row of {from}"), format!("it points at no {to}"));
    }
    Ok(())
}

/// What a task's events come to.
#[derive(Default)]
struct Derived {
    runs: BTreeMap<String, RunRow>,
    attempts: BTreeMap<String, AttemptRow>,
}

impl Derived {
    fn take(&mut self, task: &TaskName, position: Position, event: &Event) -> Result<(), String> {
        let task = task.as_str();
        match event {
            Event::TaskAdded { .. }
            | Event::WorktreeMade { .. }
            | Event::WorktreeRemoved { .. }
            | Event::StageHeld { .. }
            | Event::RetryDue { .. }
            | Event::HoldReleased { .. }
            | Event::TaskPaused { .. }
            | Event::TaskResumed { .. }
            | Event::TaskCancelled { .. } => {}
            Event::RunStarted(start) => {
                self.runs.insert(start.run.to_string(), RunRow::started(task, position, start));
            }
            Event::AttemptIntended(intent) => {
                let row = AttemptRow::intended(task, position, intent);
                self.attempts.insert(intent.attempt.to_string(), row);
            }
            Event::AttemptFinished { record, at } => {
                let columns = FinishedColumns::of(position, record, *at);
                once(&mut self.attempt(&record.attempt.to_string())?.finished, columns)?;
            }
            Event::AttemptDecided(decided) => {
                let columns = DecidedColumns::of(position, decided);
                once(&mut self.attempt(&decided.attempt.to_string())?.decided, columns)?;
            }
            Event::RunClosed { run, end, at } => {
                let row = self.runs.get_mut(&run.to_string()).ok_or("it closes a run that was not started")?;
                once(&mut row.closing, ClosingColumns::of(position, *end, *at))?;
            }
        }
        Ok(())
    }

    fn attempt(&mut self, id: &str) -> Result<&mut AttemptRow, String> {
        self.attempts.get_mut(id).ok_or_else(|| "it ends an attempt that was not intended".to_owned())
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("it ends a second time what had ended".to_owned()),
    }
}

/// Walks a task's events, derives its rows and compares them with what is stored.
fn task(conn: &Connection, path: &Path, name: &TaskName, audit: &mut Audit) -> Result<(), StoreError> {
    audit.tasks += 1;
    let mut chain = Chain::new(name.clone());
    let mut derived = Derived::default();
    {
        let fault = fault(path, "read events");
        let sql = "SELECT seq, kind, at, prev, hash, body, position FROM event WHERE task = ?1 ORDER BY seq";
        let mut query = conn.prepare_cached(sql).map_err(&fault)?;
        let mut rows = query.query([name.as_str()]).map_err(&fault)?;
        while let Some(row) = rows.next().map_err(&fault)? {
            audit.events += 1;
            let record = match chain.take(row, path) {
                Ok(record) => record,
                // Nothing behind a broken link can be believed.
                Err(error) => return note(audit, error),
            };
            let position = row.get(6).map_err(&fault)?;
            if let Err(what) = derived.take(name, position, &record.event) {
                audit.add(format!("event {} of task `{name}`", record.seq), what);
            }
        }
    }
    state(conn, path, name, &chain, &derived, audit)?;
    let runs = gather(
        conn,
        path,
        &format!("SELECT {} FROM run r WHERE r.task = ?1", read::RUN_COLUMNS),
        [name.as_str()],
        |row| read::run_row(row).map(|row| (row.id.clone(), row)).map_err(fault(path, "read a run")),
    )?;
    audit.runs += compare("run", runs, derived.runs, audit);
    let sql = format!("SELECT {} FROM attempt a WHERE a.task = ?1", read::ATTEMPT_COLUMNS);
    let attempts = gather(conn, path, &sql, [name.as_str()], |row| {
        read::attempt_row(row).map(|row| (row.id.clone(), row)).map_err(fault(path, "read an attempt"))
    })?;
    audit.attempts += compare("attempt", attempts, derived.attempts, audit);
    Ok(())
}

/// Compares a task's row with its events: last number, last hash, what is live.
fn state(
    conn: &Connection,
    path: &Path,
    name: &TaskName,
    chain: &Chain,
    derived: &Derived,
    audit: &mut Audit,
) -> Result<(), StoreError> {
    let row = format!("task `{name}`");
    let stored = match read::task(conn, path, name) {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(()),
        Err(error) => return note(audit, error),
    };
    if stored.version != chain.seq() {
        audit.add(&row, format!("it stands at version {}, and its last event is {}", stored.version, chain.seq()));
    }
    if stored.head != chain.head() {
        audit.add(&row, "its head is not the hash of its last event");
    }
    let columns = rows::StateColumns::of(&stored.task);
    let live_runs: Vec<&String> =
        derived.runs.values().filter(|run| run.closing.is_none()).map(|run| &run.id).collect();
    if live_runs != columns.run_id.iter().collect::<Vec<_>>() {
        audit.add(&row, "the run that its state calls live is not the one its events leave open");
    }
    let live_attempts: Vec<&String> =
        derived.attempts.values().filter(|attempt| attempt.decided.is_none()).map(|attempt| &attempt.id).collect();
    if live_attempts != columns.attempt_id.iter().collect::<Vec<_>>() {
        audit.add(&row, "the attempt that its state calls live is not the one its events leave open");
    }
    Ok(())
}

/// Compares rows with what was derived; how many were looked at.
fn compare<T: std::fmt::Debug + PartialEq>(
    kind: &str,
    stored: Vec<(String, T)>,
    mut derived: BTreeMap<String, T>,
    audit: &mut Audit,
) -> u64 {
    let count = stored.len() as u64;
    for (id, row) in stored {
        match derived.remove(&id) {
            Some(wanted) if wanted == row => {}
            Some(wanted) => audit.add(format!("{kind} {id}"), rows::difference("row", &row, "events", &wanted)),
            None => audit.add(format!("{kind} {id}"), "no event of its task made it"),
        }
    }
    for id in derived.into_keys() {
        audit.add(format!("{kind} {id}"), "its row is gone");
    }
    count
}

/// Computes the hashes of artifacts and pipelines again.
fn bytes(conn: &Connection, path: &Path, blobs: &Blobs, audit: &mut Audit) -> Result<(), StoreError> {
    let digests = |table: &str| {
        gather(conn, path, &format!("SELECT digest FROM {table} ORDER BY digest"), [], |row| {
            row.get::<_, String>(0).map_err(fault(path, "read a hash"))
        })
    };
    for text in digests("artifact")? {
        audit.artifacts += 1;
        let read = read::named::<Digest>("artifact", "digest", &text)
            .and_then(|digest| content::artifact(conn, path, blobs, &digest));
        if let Err(error) = read {
            note(audit, error)?;
        }
    }
    for text in digests("pipeline")? {
        audit.pipelines += 1;
        let read = read::named::<Digest>("pipeline", "digest", &text)
            .and_then(|digest| content::pipeline(conn, path, &digest));
        if let Err(error) = read {
            note(audit, error)?;
        }
    }
    Ok(())
}
