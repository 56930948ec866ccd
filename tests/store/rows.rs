//! The schema by itself refuses what no store writes: raw SQL against a filled database.

use orch::store::Store as _;
use rusqlite::Connection;

use crate::Folder;
use crate::build::{Life, attempt_id, name, run_id};
use crate::suite::keep;

/// Task `queued`; task `running` with attempt 12 live and 11 decided; task `held` with a closed run.
fn filled() -> (Folder, Connection) {
    let folder = Folder::new();
    let mut store = folder.store();
    keep(&mut store, &Life::new("queued").added());
    let mut running = Life::numbered("running", 10);
    for change in [running.added(), running.started("testing"), running.advanced("deploy", b"report")] {
        keep(&mut store, &change);
    }
    let mut held = Life::numbered("held", 20);
    for change in [held.added(), held.started("testing"), held.held("testing")] {
        keep(&mut store, &change);
    }
    let raw = folder.raw();
    raw.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    (folder, raw)
}

fn check(raw: &Connection, sql: &str, part: &str) {
    let error = raw.execute_batch(&format!("BEGIN; {sql}; COMMIT")).unwrap_err().to_string();
    raw.execute_batch("ROLLBACK").unwrap();
    assert!(error.contains(part), "{sql}: {error}");
}

/// Row I1: queued means that no run, attempt, process or start is named.
#[test]
fn a_queued_row_names_no_run() {
    let (_folder, raw) = filled();
    let (run, attempt) = (run_id(11), attempt_id(12));
    for set in [
        format!("run_id = '{run}'"),
        format!("attempt_id = '{attempt}'"),
        "owner = 'host', pid = 1".to_owned(),
        "pid = 1".to_owned(),
        "started_at = '2026-01-01T00:00:00Z'".to_owned(),
        format!("run_id = '{run}', started_at = '2026-01-01T00:00:00Z'"),
    ] {
        check(&raw, &format!("UPDATE task SET version = version + 1, {set} WHERE name = 'queued'"), "CHECK");
    }
    // Requeued by hand, a running row must let go of everything in the same update.
    for set in ["run_id = NULL", "run_id = NULL, started_at = NULL", "attempt_id = NULL"] {
        let sql = format!("UPDATE task SET version = version + 1, status = 'queued', {set} WHERE name = 'running'");
        check(&raw, &sql, "CHECK");
    }
    let sql = "UPDATE task SET version = version + 1, run_id = NULL, attempt_id = NULL, started_at = NULL WHERE name = 'running'";
    check(&raw, sql, "CHECK");
    for status in ["running", "deferred", "held", "failed"] {
        let sql =
            format!("UPDATE task SET version = version + 1, status = '{status}', stage = NULL WHERE name = 'held'");
        check(&raw, &sql, "CHECK");
    }
    check(&raw, "UPDATE task SET version = version + 1, status = 'lost' WHERE name = 'held'", "CHECK");
    check(&raw, "UPDATE task SET version = version + 1, owner = 'host' WHERE name = 'running'", "CHECK");
}

/// A run owns a task only while it drives it or waits for its retry time; an attempt is live only while it is driven.
#[test]
fn a_resting_row_names_no_run() {
    let (_folder, raw) = filled();
    let set = |what: &str, name: &str| format!("UPDATE task SET version = version + 1, {what} WHERE name = '{name}'");
    // With its attempt live, a task is running and nothing else.
    for status in ["deferred", "held", "paused", "done", "failed", "cancelled"] {
        check(&raw, &set(&format!("status = '{status}'"), "running"), "CHECK");
    }
    // Without it, its run may wait with it, and nothing else.
    for status in ["held", "paused", "done", "failed", "cancelled"] {
        check(&raw, &set(&format!("status = '{status}', attempt_id = NULL"), "running"), "CHECK");
    }
    let started = "started_at = '2026-01-01T00:00:00Z'";
    for (run, attempt) in
        [(Some(run_id(21)), None), (None, Some(attempt_id(12))), (Some(run_id(21)), Some(attempt_id(12)))]
    {
        let run = run.map_or("NULL".to_owned(), |run| format!("'{run}', {started}"));
        let attempt = attempt.map_or("NULL".to_owned(), |attempt| format!("'{attempt}'"));
        check(&raw, &set(&format!("run_id = {run}, attempt_id = {attempt}"), "held"), "CHECK");
        let sql = set(&format!("status = 'paused', run_id = {run}, attempt_id = {attempt}"), "held");
        check(&raw, &sql, "CHECK");
    }
    // Deferred without a run: no holder, no process, no start.
    for what in [started, "owner = 'host', pid = 1", "pid = 1"] {
        check(&raw, &set(&format!("status = 'deferred', {what}"), "held"), "CHECK");
    }
    // What is lawful is taken, so that the refusals above are those of one column each.
    let waits = set("status = 'deferred', attempt_id = NULL", "running");
    raw.execute_batch(&format!("BEGIN; {waits}; {}; ROLLBACK", set("status = 'deferred'", "held"))).unwrap();
}

#[test]
fn one_run_and_one_attempt_are_live() {
    let (_folder, raw) = filled();
    let second_run = format!(
        "INSERT INTO run SELECT '{}', task, pipeline, pipeline_digest, commit_id, base_commit, stage, 1, started_at, \
         NULL, NULL, NULL FROM run WHERE id = '{}'",
        run_id(99),
        run_id(11)
    );
    check(&raw, &second_run, "UNIQUE constraint failed: run.task");
    let second_attempt = format!(
        "INSERT INTO attempt (id, run_id, task, stage, visit, number, producer, intended, intended_at) \
         SELECT '{}', run_id, task, stage, visit, 2, producer, 1, intended_at FROM attempt WHERE id = '{}'",
        attempt_id(99),
        attempt_id(12)
    );
    check(&raw, &second_attempt, "UNIQUE constraint failed: attempt.task, attempt.stage");
    check(&raw, &second_attempt.replace("stage, visit, 2", "'other', 0, 2"), "CHECK");
    check(&raw, &second_attempt.replace("SELECT '0199", "SELECT '01"), "CHECK");
}

#[test]
fn an_end_is_whole_and_final() {
    let (_folder, raw) = filled();
    let (live, decided) = (attempt_id(12), attempt_id(11));
    let set = |what: &str| format!("UPDATE attempt SET {what} WHERE id = '{live}'");
    let end = "decided = 1, decided_at = 'x', settlement";
    check(&raw, &set("decided = 1"), "CHECK");
    check(&raw, &set("outcome = 'suite-ran', reason = 'x'"), "CHECK");
    check(&raw, &set("finished = 1"), "CHECK");
    check(&raw, &set(&format!("{end} = 'passed', decision = 'advance'")), "CHECK");
    check(
        &raw,
        &set(&format!("{end} = 'cancelled', decision = 'interrupt', outcome = 'suite-ran', reason = 'x'")),
        "CHECK",
    );
    check(&raw, &set(&format!("{end} = 'won', decision = 'advance', outcome = 'suite-ran', reason = 'x'")), "CHECK");
    check(
        &raw,
        &set(&format!(
            "{end} = 'passed', decision = 'advance', outcome = 'suite-ran', reason = 'x', artifact = '{}'",
            "0".repeat(64)
        )),
        "FOREIGN KEY",
    );
    // No false green and no false blame, whatever the code above believes.
    for (settlement, decision, outcome) in [
        ("passed", "advance", "transient-infra"),
        ("failed", "rollback", "permanent-env"),
        ("transient-infra", "rollback", "transient-infra"),
        ("permanent-env", "fail", "permanent-env"),
        ("transient-infra", "advance", "transient-infra"),
        ("failed", "advance", "suite-ran"),
        ("unreadable", "rollback", "suite-ran"),
        ("passed", "rollback", "suite-ran"),
    ] {
        let what = format!("{end} = '{settlement}', decision = '{decision}', outcome = '{outcome}', reason = 'x'");
        check(&raw, &set(&what), "CHECK");
    }
    check(
        &raw,
        &format!("UPDATE attempt SET outcome = 'permanent-env' WHERE id = '{decided}'"),
        "decided attempt is final",
    );
    check(&raw, &format!("UPDATE attempt SET decided = NULL WHERE id = '{decided}'"), "decided attempt is final");
    check(&raw, &format!("DELETE FROM attempt WHERE id = '{decided}'"), "never removed");
    check(&raw, &format!("UPDATE run SET ended = 'done' WHERE id = '{}'", run_id(21)), "closed run is final");
    check(&raw, &format!("UPDATE run SET ended = 'done' WHERE id = '{}'", run_id(11)), "CHECK");
    check(&raw, &format!("DELETE FROM run WHERE id = '{}'", run_id(21)), "never removed");
}

#[test]
fn events_and_bytes_never_change() {
    let (_folder, raw) = filled();
    check(&raw, "UPDATE event SET body = '{}' WHERE position = 1", "never changed");
    check(&raw, "DELETE FROM event WHERE position = 1", "never removed");
    let again = "INSERT INTO event (task, seq, kind, at, prev, hash, body) SELECT task, seq, kind, at, prev, hash, body FROM event WHERE position = 1";
    check(&raw, again, "UNIQUE constraint failed: event.task, event.seq");
    check(&raw, &again.replace("SELECT task, seq", "SELECT 'nobody', seq"), "FOREIGN KEY");
    check(&raw, "UPDATE artifact SET body = x'00'", "never changed");
    check(&raw, "UPDATE pipeline SET body = x'00'", "never changed");
    check(&raw, "INSERT INTO artifact VALUES ('short', 0, x'')", "CHECK");
    let digest = "1".repeat(64);
    check(&raw, &format!("INSERT INTO artifact VALUES ('{digest}', 5, x'00')"), "CHECK");
    check(&raw, &format!("INSERT INTO artifact VALUES ('{digest}', 5, NULL)"), "CHECK");
    check(&raw, &format!("INSERT INTO artifact VALUES ('{digest}', 65537, zeroblob(65537))"), "CHECK");
    check(&raw, "UPDATE task SET version = version WHERE name = 'held'", "only moves on");
    check(&raw, "UPDATE task SET version = version - 1 WHERE name = 'held'", "only moves on");
    check(&raw, "UPDATE outbox SET state = 'maybe'", "CHECK");
    check(&raw, "INSERT INTO outbox SELECT * FROM outbox", "UNIQUE");
    // STRICT: a word is not a number.
    check(&raw, "UPDATE task SET version = 'many' WHERE name = 'held'", "TEXT value in INTEGER column");
}

/// Somebody with `sqlite3` and without respect: what was changed past the triggers is named, on reading and by `verify`.
#[test]
fn rows_that_disagree_are_named() {
    let undo = "DROP TRIGGER event_is_never_changed; DROP TRIGGER event_is_never_removed; \
         DROP TRIGGER closed_run_is_final; DROP TRIGGER decided_attempt_is_final; DROP TRIGGER artifact_is_never_changed; \
         DROP TRIGGER task_only_moves_on; DROP TRIGGER pipeline_is_never_changed; DROP TRIGGER finished_attempt_keeps_its_end; \
         PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF";
    let check = |sql: &str, row: &str, what: &str| {
        let (folder, raw) = filled();
        let store = folder.store();
        raw.execute_batch(&format!("{undo}; {sql}")).unwrap();
        let audit = store.verify().unwrap();
        let found = audit.findings.iter().any(|found| found.row.contains(row) && found.what.contains(what));
        assert!(found, "{sql}: {:#?}", audit.findings);
        store
    };
    let attempt = attempt_id(11);
    let store = check(
        "UPDATE task SET status = 'done' WHERE name = 'held'",
        "task `held`",
        "status: its row says `\"done\"`, its state `\"held\"`",
    );
    let error = store.task(&name("held")).unwrap_err().to_string();
    assert_eq!(error, "task `held` is damaged: status: its row says `\"done\"`, its state `\"held\"`");
    assert!(store.tasks().is_err());
    assert!(store.task(&name("running")).is_ok());

    check(
        "UPDATE task SET status = 'deferred' WHERE name = 'held'",
        "task `held`",
        "status: its row says `\"deferred\"`, its state `\"held\"`",
    );
    check("UPDATE task SET version = 9 WHERE name = 'held'", "task `held`", "its last event is 6");
    check(
        "UPDATE task SET head = prev FROM event WHERE name = task AND seq = 1",
        "task `held`",
        "not the hash of its last event",
    );
    check("UPDATE task SET body = '{\"v\":7}' WHERE name = 'held'", "task `held`", "its text has another hash");
    let store = check(
        "UPDATE event SET body = replace(body, 'cargo', 'sudoo') WHERE task = 'held'",
        "event 3 of task `held`",
        "its hash is not that of its text",
    );
    assert!(store.events(&name("held"), orch::store::Version::NONE).is_err());
    check("DELETE FROM event WHERE task = 'held' AND seq = 2", "event 2 of task `held`", "event 3 stands in its place");
    check("DELETE FROM event WHERE task = 'held' AND seq = 6", "task `held`", "its last event is 5");
    check(
        "UPDATE event SET kind = 'run-closed' WHERE task = 'held' AND seq = 1",
        "event 1 of task `held`",
        "its columns say `run-closed`",
    );
    let sql = format!("UPDATE attempt SET outcome = 'permanent-env' WHERE id = '{attempt}'");
    let store = check(
        &sql,
        &format!("attempt {attempt}"),
        "outcome: its row says `\"permanent-env\"`, its events `\"suite-ran\"`",
    );
    assert!(store.attempt(attempt_id(11)).is_err());
    assert!(store.attempts(run_id(11)).is_err());
    check(
        &format!("UPDATE attempt SET decided = intended WHERE id = '{attempt}'"),
        &format!("attempt {attempt}"),
        "decided",
    );
    check(
        &format!("DELETE FROM attempt WHERE id = '{attempt}'")
            .replace("DELETE", "DROP TRIGGER attempt_is_never_removed; DELETE"),
        &format!("attempt {attempt}"),
        "its row is gone",
    );
    let store = check(
        &format!("UPDATE run SET ended = 'done' WHERE id = '{}'", run_id(21)),
        &format!("run {}", run_id(21)),
        "ended",
    );
    assert!(store.run(run_id(21)).is_err());
    assert!(store.runs(&orch::store::RunFilter::default()).is_err());
    check("UPDATE artifact SET body = x'00112233445566'", "artifact", "");
    check("UPDATE pipeline SET body = x'00'", "pipeline", "another hash");
}
