//! `orch verify`: clean where all is as it was recorded, also while a run is under way; each kind of damage by its
//! name and with its remedy.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::support::{CHECK_THEN_TESTING, Ended, FAILS, NOTES, PASSES, REPORT, Shop, Testing, WAITS, command};

/// A task with a rollback, a held run, a release and a pass behind it.
fn lived() -> Shop {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", "echo checked\n"), ("suite.sh", FAILS)]);
    shop.run().held(10, "budget");
    shop.write("suite.sh", PASSES);
    shop.commit("mended");
    shop.release_and_run().exits(0);
    shop
}

fn verify(shop: &Shop) -> Ended {
    shop.orch("verify").run().never("panicked")
}

/// Writes past orch into its database.
fn damage(shop: &Shop, sql: &str) {
    let raw = Connection::open(shop.state().join("orch.db")).unwrap();
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    // Nothing keeps somebody with a shell from this.
    let mut query = raw.prepare("SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let drops: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut query = raw.prepare("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let makes: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    raw.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    for sql in drops.iter().map(String::as_str).chain([sql]).chain(makes.iter().map(String::as_str)) {
        raw.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

fn run_folder(shop: &Shop) -> PathBuf {
    let list = shop.orch("run list").run().exits(0).stdout();
    shop.state().join("runs").join(list.split_whitespace().next().unwrap())
}

#[test]
fn a_life_is_clean() {
    let shop = lived();
    verify(&shop).exits(0).says("clean: 1 tasks, 2 runs").says("1 compared with their copies");
    shop.orch("verify main").run().exits(0).says("clean");
    let document = shop.orch("verify --json").run().exits(0).json();
    assert_eq!((&document["clean"], &document["findings"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(document["checked"]["artifact_copies"], 1);
    shop.orch("verify other").run().refused(2, "there is no task `other`").talks("orch status");
    // Looking changes nothing.
    shop.run().exits(0).says("done already");
}

#[test]
fn before_the_first_run_there_is_nothing_to_check() {
    let shop = Shop::running(PASSES);
    verify(&shop).refused(2, "nothing has been run yet");
}

#[test]
fn a_task_that_is_driven_is_not_broken() {
    let shop = Shop::running(&format!("{WAITS}{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    verify(&shop).exits(0).says("clean").talks("its artifacts were not compared: it is running");
    go.say("go");
    going.end().exits(0);
    verify(&shop).exits(0).says("1 compared");
    // The second run has taken the artifact away, and its runner dies.
    shop.write("suite.sh", &format!("{WAITS}{PASSES}# again\n").replace("SCRATCH", shop.scratch("").to_str().unwrap()));
    let going = shop.orch("pipeline run").start();
    said.next();
    assert!(!shop.has(REPORT));
    verify(&shop).exits(0).says("clean");
    going.kill();
    verify(&shop).exits(0).says("clean");
    go.say("go");
    shop.run().exits(0);
    verify(&shop).exits(0).says("clean");
}

/// However often one looks while runs come and go, nothing is told as broken.
#[test]
fn runs_that_come_and_go_are_not_broken() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let going: Vec<_> = (0..8)
        .map(|round| {
            shop.write("note", &format!("{round}\n"));
            let run = shop.orch("pipeline run").start();
            let looks = [shop.orch("verify").start(), shop.orch("verify").start()];
            for look in looks {
                look.end().exits(0).says("clean");
            }
            run.end()
        })
        .collect();
    // One that saw the next change of the tree is held, and that is no damage.
    assert!(going.iter().all(|ended| matches!(ended.code(), Some(0 | 4 | 78))), "{going:?}");
    verify(&shop).exits(0).says("clean");
}

#[test]
fn an_artifact_that_was_changed_or_removed_is_told_until_it_is_put_back() {
    let shop = lived();
    shop.write(REPORT, "scribbled\n");
    verify(&shop).exits(1).says("artifact: ").says(REPORT).says("not what the gate read").says("orch pipeline run");
    fs::remove_file(shop.tree.join(REPORT)).unwrap();
    let document = shop.orch("verify --json").run().exits(1).json();
    assert_eq!((&document["clean"], &document["findings"][0]["part"]), (&false.into(), &"artifact".into()));
    assert!(document["findings"][0]["help"].as_str().is_some_and(|help| !help.is_empty()), "{document}");
    shop.run().exits(0).says("done already");
    verify(&shop).exits(0).says("clean");
    // Another commit: the verdict does not stand for it, and neither does its artifact.
    shop.git(&["commit", "-q", "--allow-empty", "-m", "on"]);
    fs::remove_file(shop.tree.join(REPORT)).unwrap();
    verify(&shop).exits(0).talks("has moved on from commit");
}

#[test]
fn files_that_went_away_are_told() {
    let shop = lived();
    let folder = run_folder(&shop);
    fs::write(folder.join("stdout.log"), "").unwrap();
    verify(&shop).exits(1).says("files: ").says("stdout.log has 0 bytes").says("the outcome stands in the store");
    fs::remove_file(folder.join("stdout.log")).unwrap();
    verify(&shop).exits(1).says("stdout.log is gone");
    fs::remove_dir_all(&folder).unwrap();
    verify(&shop).exits(1).says("its folder ").says("is gone, with its logs");

    let reporting = Testing::new()
        .command("[sh, suite.sh, \"${ORCH_ATTEMPT_DIR}\"]")
        .suite("report: { junit: \"{attempt}/junit.xml\" }");
    let suite = "printf '<testsuites><testsuite name=\"a\" tests=\"1\"><testcase name=\"b\" classname=\"c\"/></testsuite></testsuites>' > \"$1/junit.xml\"\n";
    let shop = Shop::new(&reporting.text(), &[("suite.sh", suite)]);
    shop.run().exits(0);
    verify(&shop).exits(0);
    let attempts = run_folder(&shop).join("attempts");
    let attempt = fs::read_dir(attempts).unwrap().next().unwrap().unwrap().path();
    let stamp = fs::read_to_string(attempt.join("stamp.json")).unwrap();
    fs::write(attempt.join("stamp.json"), stamp.replace("\"dirty\": false", "\"dirty\": true")).unwrap();
    verify(&shop).exits(1).says("stamp.json is not the stamp that the store has");
}

/// What orch itself recorded as cut is nobody's deed; a run that was held for it stays checkable.
#[test]
fn output_that_was_never_kept_accuses_nobody() {
    let shop = Shop::running(&format!("yes line | head -c 20000000\n{PASSES}"));
    // More than the store and its reserve need, and less than the suite writes.
    let limited = shop.orch("pipeline run").under(&crate::support::tool("prlimit", "util-linux"), &["--fsize=9216000"]);
    limited.run().held(78, "output-incomplete");
    verify(&shop).exits(0).says("clean").talks("a part of its output was not kept");
    fs::remove_file(run_folder(&shop).join("stdout.log")).unwrap();
    verify(&shop).exits(1).says("stdout.log is gone");
}

#[test]
fn an_exit_record_that_is_missing_is_told() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let records = run_folder(&shop).join("exits.jsonl");
    let whole = fs::read_to_string(&records).unwrap();
    let run = records.parent().unwrap().file_name().unwrap().to_owned();
    fs::write(&records, "").unwrap();
    let told = verify(&shop).exits(1).says("records: ").says("has no line about its end, and the attempt is decided");
    told.says("a power loss or a full disk may take one");
    fs::remove_file(&records).unwrap();
    verify(&shop).exits(1).says("records: ").says("has no line about its end");
    let doctor = shop.orch("doctor").arg(&run).run().exits(1).says("the exit record of attempt").says("is missing");
    doctor.never("NEVER LAUNCHED").never("settles it");
    fs::write(&records, whole.replace("{\"code\":0}", "{\"code\":1}")).unwrap();
    verify(&shop).exits(1).says("tells of another end than the store");
    fs::write(&records, whole).unwrap();
    verify(&shop).exits(0);
    // Taken away while the run goes on, it is missing all the same.
    let shop = Shop::running(&format!("rm -f SCRATCH/state/runs/*/exits.jsonl\n{PASSES}"));
    shop.run().exits(0);
    verify(&shop).exits(1).says("records: ");
}

/// Invariant I14: somebody started it with the attempt's environment, after the attempt.
#[test]
fn a_process_of_an_attempt_that_is_over_is_told() {
    let shop = Shop::running(&format!("{NOTES}{PASSES}"));
    shop.run().exits(0);
    let attempt = shop.ledger()[0].split(' ').nth(1).unwrap().to_owned();
    verify(&shop).exits(0);
    let mut late = command("sleep").arg("300").env("ORCH_ATTEMPT", &attempt).spawn().unwrap();
    let told = verify(&shop).exits(1).says("1 finding");
    late.kill().unwrap();
    late.wait().unwrap();
    told.says(&format!("attempt {attempt}")).says(&format!("process {} (`sleep`)", late.id()));
    verify(&shop).exits(0);
}

#[test]
fn a_run_that_the_store_does_not_know_is_told() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let copy = shop.scratch("copy.db");
    Connection::open(shop.state().join("orch.db"))
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    shop.write("suite.sh", &format!("{PASSES}# again\n"));
    shop.run().exits(0);
    // Restored as docs/reference/store.md says.
    for file in ["orch.db", "orch.db-wal", "orch.db-shm", "orch.db.lock"] {
        fs::remove_file(shop.state().join(file)).unwrap();
    }
    fs::rename(copy, shop.state().join("orch.db")).unwrap();
    let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    fs::set_permissions(shop.state().join("orch.db"), private).unwrap();
    verify(&shop).exits(1).says("the store does not know it");
}

/// Each damage in the database itself has its line; a store that cannot be opened at all is no finding but an error.
#[test]
fn damage_in_the_database_is_found() {
    let shop = lived();
    let whole = shop.scratch("whole");
    let copy = |from: &PathBuf, to: &PathBuf| {
        assert!(crate::support::command("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&shop.state(), &whole);
    let check = |sql: &str, says: &str| {
        damage(&shop, sql);
        let ended = verify(&shop);
        assert_eq!(ended.code(), Some(1), "{sql}\n{ended}");
        ended.says(says).says("docs/reference/store.md");
        fs::remove_dir_all(shop.state()).unwrap();
        copy(&whole, &shop.state());
    };
    check("UPDATE event SET body = replace(body, 'main', 'mean') WHERE seq = 1", "event 1 of task `main`: its hash");
    check("DELETE FROM event WHERE seq = 3", "event 3 of task `main`");
    check("UPDATE event SET prev = hash WHERE seq = 4", "event 4 of task `main`");
    check("UPDATE attempt SET exit = 'exited 0', reason = 'tests-passed'", "store: attempt ");
    check("UPDATE run SET ended = 'failed' WHERE ended = 'done'", "store: run ");
    check("DELETE FROM attempt", "its row is gone");
    check("UPDATE artifact SET body = CAST(replace(CAST(body AS TEXT), 'PASS', 'FAIL') AS BLOB)", "store: ");
    check("DELETE FROM artifact", "artifact");
    check("UPDATE pipeline SET body = CAST('version: 2' AS BLOB)", "pipeline");
    check("UPDATE task SET stages = stages + 1, entries = entries + 1", "task `main`");
    check("UPDATE task SET head = replace(head, '1', '2')", "its head is not the hash of its last event");
    verify(&shop).exits(0);
    // What its own rules forbid is met when it is opened, where it was not left in order, or by the check.
    damage(&shop, "UPDATE attempt SET settlement = 'failed' WHERE settlement = 'passed'");
    let ended = verify(&shop);
    assert!(matches!(ended.code(), Some(1 | 70)), "{ended}");
    assert!((ended.stdout() + &ended.stderr()).contains("CHECK constraint failed in attempt"), "{ended}");
    fs::write(shop.state().join("orch.db"), "").unwrap();
    verify(&shop).refused(70, "the file is empty");
}

/// Somebody who writes lawful chains by hand: the store finds no fault with them, the engine and the gate do.
mod forged {
    use orch::domain::id::{AttemptId, RunId, TaskName};
    use orch::domain::task::{ArtifactRef, Event, RunEnd};
    use orch::engine;
    use orch::store::sqlite::SqliteStore;
    use orch::store::{ArtifactBytes, Change, EventRecord, Store as _, StoredTask, Version};

    use super::{lived, verify};
    use crate::support::Shop;

    fn main_task() -> TaskName {
        TaskName::new("main").unwrap()
    }

    fn open(shop: &Shop) -> (SqliteStore, StoredTask, Vec<EventRecord>) {
        let store = SqliteStore::open(&shop.state()).unwrap();
        let stored = store.task(&main_task()).unwrap().unwrap();
        let events = store.events(&main_task(), Version::NONE).unwrap();
        (store, stored, events)
    }

    #[test]
    fn events_that_do_not_lead_to_the_state() {
        let shop = lived();
        let (mut store, stored, events) = open(&shop);
        let start = |record: &EventRecord| {
            if let Event::RunStarted(start) = &record.event { Some(start.clone()) } else { None }
        };
        let mut start = events.iter().rev().find_map(start).unwrap();
        start.run = RunId::new(uuid::Uuid::now_v7());
        let end = Event::RunClosed { run: start.run, end: RunEnd::Done, at: start.at };
        let change = Change::new(stored.version, stored.task, vec![Event::RunStarted(start), end], main_task());
        store.commit(&change).unwrap();
        drop(store);
        verify(&shop).exits(1).says("replay: ");
    }

    #[test]
    fn a_pass_whose_artifact_says_fail() {
        let shop = lived();
        let (mut store, stored, events) = open(&shop);
        let bytes = store.artifact(&last_artifact(&events).digest).unwrap().unwrap();
        let red = String::from_utf8(bytes).unwrap().replace("PASS", "FAIL").replace("passed", "failed");
        let red = ArtifactBytes::of(red.into_bytes());
        // The last run once more, under new ids, with another artifact.
        let from = events.iter().rposition(|record| matches!(record.event, Event::RunStarted(_))).unwrap();
        let run = RunId::new(uuid::Uuid::now_v7());
        let mut attempt = AttemptId::new(uuid::Uuid::now_v7());
        let mut task = stored.task;
        let mut forged = Vec::new();
        for record in &events[from..] {
            let mut event = record.event.clone();
            if let Event::RunStarted(start) = &mut event {
                start.run = run;
            } else if let Event::AttemptIntended(intent) = &mut event {
                attempt = AttemptId::new(uuid::Uuid::now_v7());
                (intent.run, intent.attempt) = (run, attempt);
                intent.visit = task.visits.of(&intent.stage).unwrap().try_into().unwrap();
            } else if let Event::AttemptFinished { record, .. } = &mut event {
                record.attempt = attempt;
            } else if let Event::AttemptDecided(decided) = &mut event {
                decided.attempt = attempt;
                if let Some(artifact) = &mut decided.artifact {
                    artifact.digest = red.digest;
                }
            } else if let Event::RunClosed { run: closed, .. } = &mut event {
                *closed = run;
            }
            task = engine::step(Some(&task), &event).unwrap().task;
            forged.push(event);
        }
        let mut change = Change::new(stored.version, task, forged, main_task());
        change.artifacts.push(red);
        store.commit(&change).unwrap();
        drop(store);
        verify(&shop).exits(1).says("gate: ").says("it passed, and the gate reads fail").never("replay: ");
    }

    fn last_artifact(events: &[EventRecord]) -> ArtifactRef {
        let artifact = |record: &EventRecord| {
            if let Event::AttemptDecided(decided) = &record.event { decided.artifact.clone() } else { None }
        };
        events.iter().rev().find_map(artifact).unwrap()
    }
}
