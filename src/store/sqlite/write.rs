//! The one write path: a change in one transaction with one sync.

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::fault::{BUSY_TIMEOUT, BUSY_TRIES, fault, is_busy, leaves_doubt, refusal};
use super::visits::{self, Tally};
use super::{SqliteStore, project, read};
use crate::domain::id::{Digest, TaskName};
use crate::store::ROW_ARTIFACT_BYTES;
use crate::store::change::{ArtifactBytes, Change, Version};
use crate::store::codec::{self, GENESIS};
use crate::store::error::StoreError;
use crate::store::form;
use crate::store::rows::{Position, StateColumns};

pub(super) fn commit(store: &mut SqliteStore, change: &Change) -> Result<Version, StoreError> {
    change.check()?;
    with_reserve(store, |store| {
        write_blobs(store, change)?;
        in_transaction(store, |tx, store| apply(tx, store, change))
    })
}

/// Writes, and once more with the space of the reserve where the disk is full. Nothing of the first try is stored.
fn with_reserve<T>(
    store: &mut SqliteStore,
    mut write: impl FnMut(&mut SqliteStore) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    refuse_broken(store)?;
    match write(store) {
        Err(StoreError::DiskFull { .. }) if !store.broken && store.reserve.give_up() => {
            store.short_of_room = true;
            tracing::warn!(store = %store.path.display(), "the disk is full: the reserve was given up");
            write(store)
        }
        result => result,
    }
}

pub(super) fn commit_all(
    store: &mut SqliteStore,
    changes: &[Change],
) -> Result<Vec<Result<Version, StoreError>>, StoreError> {
    with_reserve(store, |store| {
        let mut checked = Vec::with_capacity(changes.len());
        for change in changes {
            checked.push(match change.check().and_then(|()| write_blobs(store, change)) {
                // Met by all of them alike.
                Err(error @ StoreError::DiskFull { .. }) => return Err(error),
                checked => checked,
            });
        }
        in_transaction(store, |tx, store| {
            let mut results = Vec::with_capacity(changes.len());
            for (change, checked) in changes.iter().zip(checked) {
                results.push(match checked {
                    Ok(()) => apply_alone(tx, store, change)?,
                    Err(error) => Err(error),
                });
            }
            Ok(results)
        })
    })
}

pub(super) fn effect_done(store: &mut SqliteStore, id: &str) -> Result<(), StoreError> {
    with_reserve(store, |store| in_transaction(store, |tx, store| mark_done(tx, store, id)))
}

/// After a sync that failed nobody knows what is on the disk; the next to open the store looks.
fn refuse_broken(store: &SqliteStore) -> Result<(), StoreError> {
    if store.broken { Err(StoreError::Broken { path: store.path.clone() }) } else { Ok(()) }
}

/// Runs one write transaction: the lock is taken at its start, so that it is never refused half way.
fn in_transaction<T>(
    store: &mut SqliteStore,
    write: impl FnOnce(&Transaction<'_>, &SqliteStore) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = begin(store)?;
    failpoint!("store.begun", error => super::folder::failed("write", &store.path, error));
    let result = write(&tx, store)?;
    failpoint!("store.written", error => super::folder::failed("write", &store.path, error));
    // What is written to a file without a name cannot be found again: look before, and before it is acknowledged.
    store.identity.check()?;
    if let Err(error) = tx.commit() {
        let doubt = leaves_doubt(&error);
        let error = fault(&store.path, "commit")(error);
        store.broken = doubt;
        return Err(error);
    }
    failpoint!("store.committed");
    if let Err(error) = store.identity.check() {
        store.broken = true;
        return Err(error);
    }
    Ok(result)
}

fn begin(store: &SqliteStore) -> Result<Transaction<'_>, StoreError> {
    let mut tries = 1;
    loop {
        match Transaction::new_unchecked(&store.conn, TransactionBehavior::Immediate) {
            Ok(tx) => return Ok(tx),
            Err(error) if is_busy(&error) && tries < BUSY_TRIES => tries += 1,
            Err(error) if is_busy(&error) => return Err(StoreError::Busy { waited: BUSY_TIMEOUT * tries }),
            Err(error) => return Err(fault(&store.path, "begin a change")(error)),
        }
    }
}

/// Large artifacts are on the disk before the transaction that names them; without it they are only unused files.
fn write_blobs(store: &SqliteStore, change: &Change) -> Result<(), StoreError> {
    let mut large = change.artifacts.iter().filter(|artifact| artifact.bytes.len() > ROW_ARTIFACT_BYTES);
    large.try_for_each(|artifact| store.blobs.write(&artifact.digest, &artifact.bytes))
}

/// Applies one change of several so that its refusal leaves nothing of it and does not touch the others.
fn apply_alone(
    tx: &Transaction<'_>,
    store: &SqliteStore,
    change: &Change,
) -> Result<Result<Version, StoreError>, StoreError> {
    let step = |sql| tx.execute_batch(sql).map_err(fault(&store.path, "divide a change"));
    step("SAVEPOINT one")?;
    match apply(tx, store, change) {
        Ok(version) => step("RELEASE one").map(|()| Ok(version)),
        Err(error @ (StoreError::Superseded { .. } | StoreError::Refused { .. } | StoreError::NoEffect { .. })) => {
            step("ROLLBACK TO one; RELEASE one").map(|()| Err(error))
        }
        Err(error) => Err(error),
    }
}

fn apply(tx: &Transaction<'_>, store: &SqliteStore, change: &Change) -> Result<Version, StoreError> {
    let Standing { mut head, tally } = guard(tx, store, change)?;
    let refused = refusal(&store.path, &change.task, "store a change");
    for pipeline in &change.pipelines {
        let sql = "INSERT INTO pipeline (digest, body) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING";
        tx.prepare_cached(sql)
            .and_then(|mut insert| insert.execute(params![pipeline.digest.to_string(), pipeline.text]))
            .map_err(&refused)?;
    }
    for artifact in &change.artifacts {
        insert_artifact(tx, artifact).map_err(&refused)?;
    }
    let mut seq = change.expected;
    let mut position: Position = 0;
    for event in &change.events {
        seq = seq.after(1);
        let row = format!("event {seq} of task `{}`", change.task);
        let body = codec::encode(&row, event)?;
        let hash = codec::chain(&head, &change.task, seq, &body);
        let sql = "INSERT INTO event (task, seq, kind, at, prev, hash, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let at = event.at().to_string();
        let values =
            params![change.task.as_str(), integer(seq), event.kind(), at, head.to_string(), hash.to_string(), body];
        position = tx.prepare_cached(sql).and_then(|mut insert| insert.insert(values)).map_err(&refused)?;
        head = hash;
        project::project(tx, store, &change.task, position, event)?;
    }
    for effect in &change.effects {
        ask(tx, store, &change.task, position, effect)?;
    }
    for id in &change.done {
        mark_done(tx, store, id)?;
    }
    let tally = visits::write(tx, store, change, tally)?;
    let body = form::encode_task(&format!("task `{}`", change.task), &change.next)?;
    let changed = write_task(tx, change, &Standing { head, tally }, seq, &body).map_err(&refused)?;
    project::exactly_one(&change.task, changed, || "the task moved under the lock".to_owned())?;
    project::check_live(tx, store, &change.task, &StateColumns::of(&change.next))?;
    Ok(seq)
}

/// What a task's row says that the next one builds on.
struct Standing {
    head: Digest,
    tally: Tally,
}

/// Checks that the task stands where the caller saw it.
fn guard(tx: &Transaction<'_>, store: &SqliteStore, change: &Change) -> Result<Standing, StoreError> {
    let found: Option<(i64, String, u32, u32)> = tx
        .prepare_cached("SELECT version, head, stages, entries FROM task WHERE name = ?1")
        .and_then(|mut query| {
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            query.query_row([change.task.as_str()], columns).optional()
        })
        .map_err(fault(&store.path, "read a task"))?;
    match found {
        None if change.expected == Version::NONE => Ok(Standing { head: GENESIS, tally: Tally::default() }),
        Some((version, head, stages, entries)) if version == integer(change.expected) => {
            let head = read::named(&format!("task `{}`", change.task), "head", &head)?;
            Ok(Standing { head, tally: Tally { stages: stages.into(), entries: entries.into() } })
        }
        None | Some(_) => {
            let found = read::task(tx, &store.path, &change.task)?.map(Box::new);
            Err(StoreError::Superseded { task: change.task.clone(), expected: change.expected, found })
        }
    }
}

fn insert_artifact(tx: &Transaction<'_>, artifact: &ArtifactBytes) -> rusqlite::Result<()> {
    let size = i64::try_from(artifact.bytes.len()).unwrap_or(i64::MAX);
    let body = (artifact.bytes.len() <= ROW_ARTIFACT_BYTES).then_some(artifact.bytes.as_slice());
    let sql = "INSERT INTO artifact (digest, size, body) VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO NOTHING";
    tx.prepare_cached(sql)?.execute(params![artifact.digest.to_string(), size, body]).map(drop)
}

/// Puts an effect into the outbox once, however often it is asked for.
fn ask(
    tx: &Transaction<'_>,
    store: &SqliteStore,
    task: &TaskName,
    position: Position,
    effect: &crate::domain::task::Effect,
) -> Result<(), StoreError> {
    let refused = refusal(&store.path, task, "store an effect");
    let id = effect.id();
    let body = codec::encode(&format!("effect `{id}`"), effect)?;
    let sql = "INSERT INTO outbox (id, task, asked, body, body_hash, state) VALUES (?1, ?2, ?3, ?4, ?5, 'pending') \
               ON CONFLICT (id) DO NOTHING";
    let inserted = tx
        .prepare_cached(sql)
        .and_then(|mut insert| {
            insert.execute(params![id, task.as_str(), position, body, Digest::of(body.as_bytes()).to_string()])
        })
        .map_err(&refused)?;
    if inserted == 1 {
        return Ok(());
    }
    let same: bool = tx
        .prepare_cached("SELECT task = ?2 AND body = ?3 FROM outbox WHERE id = ?1")
        .and_then(|mut query| query.query_row(params![id, task.as_str(), body], |row| row.get(0)))
        .map_err(&refused)?;
    if same {
        Ok(())
    } else {
        Err(StoreError::Refused { task: task.clone(), what: format!("effect `{id}` was asked for with another text") })
    }
}

fn mark_done(tx: &Transaction<'_>, store: &SqliteStore, id: &str) -> Result<(), StoreError> {
    let changed = tx
        .prepare_cached("UPDATE outbox SET state = 'done' WHERE id = ?1")
        .and_then(|mut update| update.execute([id]))
        .map_err(fault(&store.path, "mark an effect done"))?;
    if changed == 1 { Ok(()) } else { Err(StoreError::NoEffect { id: id.to_owned() }) }
}

/// Writes the task's row: new, or guarded by the version it had.
fn write_task(
    tx: &Transaction<'_>,
    change: &Change,
    standing: &Standing,
    version: Version,
    body: &str,
) -> rusqlite::Result<usize> {
    let columns = StateColumns::of(&change.next);
    // Only a live run has a holder: every way out of it clears these columns in the same update (row I2).
    let holder = change.holder.as_ref().filter(|_| columns.run_id.is_some());
    let sql = if change.expected == Version::NONE {
        "INSERT INTO task (name, version, head, status, stage, run_id, attempt_id, owner, pid, started_at, \
         stages, entries, body, body_hash) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, (SELECT started_at FROM run WHERE id = ?6), ?10, ?11, ?12, ?13 \
         WHERE ?14 = 0"
    } else {
        "UPDATE task SET version = ?2, head = ?3, status = ?4, stage = ?5, run_id = ?6, attempt_id = ?7, owner = ?8, \
         pid = ?9, started_at = (SELECT started_at FROM run WHERE id = ?6), stages = ?10, entries = ?11, body = ?12, \
         body_hash = ?13 WHERE name = ?1 AND version = ?14"
    };
    tx.prepare_cached(sql)?.execute(params![
        columns.name,
        integer(version),
        standing.head.to_string(),
        columns.status,
        columns.stage,
        columns.run_id,
        columns.attempt_id,
        holder.map(|holder| holder.owner.as_str()),
        holder.map(|holder| holder.pid),
        i64::try_from(standing.tally.stages).unwrap_or(i64::MAX),
        i64::try_from(standing.tally.entries).unwrap_or(i64::MAX),
        body,
        Digest::of(body.as_bytes()).to_string(),
        integer(change.expected),
    ])
}

pub(super) fn integer(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX)
}
