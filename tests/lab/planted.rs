//! The test of the oracle: each wrong that a bug could leave behind is planted by hand, and must be told.

use std::collections::BTreeMap;
use std::fs;

use crate::decoy::Decoy;
use crate::oracle::{self, Done};
use crate::support::command;
use crate::yard::{Word, Yard};

/// A task that failed once, was rolled back, and passed.
fn settled() -> (Yard, BTreeMap<String, Done>) {
    let yard = Yard::new();
    yard.tell("t", &[("check", Word::Pass), ("testing", Word::Fail)]);
    yard.settle("t").unwrap();
    let done = BTreeMap::from([("t".to_owned(), Done::Runners)]);
    oracle::look(&yard, &done).unwrap();
    (yard, done)
}

/// Plants something, and the oracle must say this.
fn check(says: &str, plant: impl FnOnce(&Yard)) {
    let (yard, done) = settled();
    plant(&yard);
    let told = oracle::look(&yard, &done).expect_err(says);
    assert!(told.contains(says), "not {says}, but {told}");
}

/// Writes the ledger anew.
fn rewrite(yard: &Yard, change: impl FnOnce(Vec<String>) -> Vec<String>) {
    let lines = change(yard.shop.ledger());
    fs::write(yard.shop.scratch("ledger"), lines.join("\n") + "\n").unwrap();
}

/// Changes every line of the run's exit records.
fn rerecord(yard: &Yard, from: &str, to: &str) {
    for run in fs::read_dir(yard.state().join("runs")).unwrap() {
        let file = run.unwrap().path().join("exits.jsonl");
        let text = String::from_utf8(fs::read(&file).unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }
}

#[test]
fn an_attempt_that_is_started_twice() {
    check("was started 2 times", |yard| {
        rewrite(yard, |mut lines| {
            lines.push(lines[0].clone());
            lines
        });
    });
}

#[test]
fn an_attempt_that_the_store_does_not_know() {
    check("ran and is not stored", |yard| {
        rewrite(yard, |mut lines| {
            lines.push("begin t check 0199aaaa-0000-7000-8000-000000000000 pass".to_owned());
            lines
        });
    });
}

#[test]
fn a_suite_that_failed_and_is_called_passed() {
    check("and is Passed", |yard| {
        rewrite(yard, |lines| lines.into_iter().map(|line| line.replace(" pass", " fail")).collect());
    });
}

#[test]
fn a_suite_that_was_never_run_and_is_called_passed() {
    check("has an end and never ran", |yard| rewrite(yard, |lines| lines[2..].to_vec()));
}

#[test]
fn a_fault_that_is_called_a_verdict() {
    check("and is Failed", |yard| {
        rewrite(yard, |lines| lines.into_iter().map(|line| line.replace(" fail", " net")).collect());
    });
}

#[test]
fn a_pass_of_a_suite_that_did_not_come_to_its_end() {
    check("(ended: false) and is Passed", |yard| {
        rewrite(yard, |lines| {
            lines.into_iter().filter(|line| !(line.starts_with("end") && line.ends_with("pass"))).collect()
        });
    });
}

#[test]
fn a_result_that_is_not_the_supervisors() {
    check("I1: its supervisor wrote", |yard| rerecord(yard, r#""exited":{"code":0}"#, r#""exited":{"code":9}"#));
}

#[test]
fn an_artifact_that_is_not_the_stores() {
    check("I11", |yard| {
        fs::write(yard.shop.tree.join("docs/work-items/t/13-test-report.md"), "---\nresult: PASS\n---\n").unwrap();
    });
}

#[test]
fn an_event_that_is_gone() {
    check("and it was closed with", |yard| {
        let raw = rusqlite::Connection::open(yard.state().join("orch.db")).unwrap();
        let guard: String = raw
            .query_row("SELECT sql FROM sqlite_master WHERE name = 'event_is_never_removed'", [], |row| row.get(0))
            .unwrap();
        raw.execute_batch("PRAGMA foreign_keys = OFF; DROP TRIGGER event_is_never_removed").unwrap();
        raw.execute_batch("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)").unwrap();
        raw.execute_batch(&guard).unwrap();
    });
}

#[test]
fn a_task_that_is_gone() {
    let (mut yard, done) = settled();
    yard.anew();
    yard.tell("other", &[("check", Word::Pass), ("testing", Word::Pass)]);
    yard.settle("other").unwrap();
    assert!(oracle::look(&yard, &done).unwrap_err().contains("I2: task t is not in the store"));
}

#[test]
fn a_process_that_was_left() {
    let (yard, done) = settled();
    let attempt = yard.notes()[0].attempt.clone();
    let mut left = command("sleep").arg("60").env("ORCH_ATTEMPT", attempt).spawn().unwrap();
    // Its environment can be read as soon as it is the program that was started.
    let told = oracle::look(&yard, &done);
    left.kill().unwrap();
    left.wait().unwrap();
    assert!(told.unwrap_err().contains("I14"));
}

#[test]
fn a_stranger_who_is_signalled_or_killed() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, says) in [(Signal::TERM, "signalled"), (Signal::KILL, "killed")] {
        let yard = Yard::new();
        let decoy = Decoy::beside(&yard.shop);
        assert_eq!(decoy.harmed(), None);
        kill_process(Pid::from_raw(decoy.pid()).unwrap(), signal).unwrap();
        assert!(decoy.harmed_within_a_minute().unwrap().contains(says));
    }
}
