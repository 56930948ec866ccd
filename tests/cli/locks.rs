//! The lock of a task: its heartbeat, its refusal, waiting for it, and what happens to a runner that loses it.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{NOTES, PASSES, Shop, Testing, WAITS, lives};

const HOUR: Duration = Duration::from_hours(1);

fn waiting(end: &str) -> Shop {
    Shop::running(&format!("{NOTES}{WAITS}{end}"))
}

/// The card of the task's holder.
fn card(shop: &Shop) -> PathBuf {
    shop.state().join("locks/main.json")
}

/// Makes the card an hour older.
fn backdate(shop: &Shop) {
    let file = File::options().write(true).open(card(shop)).unwrap();
    let was = file.metadata().unwrap().modified().unwrap();
    file.set_modified(was - HOUR).unwrap();
}

fn heartbeat_age_s(shop: &Shop) -> u64 {
    let status = shop.orch("status --json").run().exits(0).json();
    status["tasks"][0]["lock"]["holder"]["heartbeat_age_s"].as_u64().unwrap()
}

/// Takes the lock files of the task and of the checkout away, as a person does who wants in at any price.
fn take_lock_files_away(shop: &Shop) {
    for entry in std::fs::read_dir(shop.state().join("locks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_holder_renews_its_card_while_its_child_works() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    backdate(&shop);
    assert!((0..2_000).any(|_| heartbeat_age_s(&shop) < 60), "the card is never renewed");
    shop.orch("status")
        .run()
        .exits(0)
        .says(", heartbeat ")
        .says(" s ago")
        .says("running at testing [")
        .never("its limit");
    go.say("go");
    going.end().exits(0);
    assert!(!card(&shop).exists());
}

#[test]
fn a_holder_renews_its_card_while_it_waits_for_a_retry() {
    let pipeline = Testing::new().retries(1).text().replace("10ms..40ms", "1h..1h");
    let shop = Shop::new(
        &pipeline,
        &[("suite.sh", "echo 'curl: (7) Failed to connect to registry port 443: Connection refused' >&2\nexit 7\n")],
    );
    let going = shop.orch("pipeline run --max-wait 2h").start();
    shop.until("status", "deferred at testing");
    backdate(&shop);
    assert!((0..2_000).any(|_| heartbeat_age_s(&shop) < 60), "the card is never renewed");
    going.signal(Signal::TERM);
    going.end().exits(143);
}

#[test]
fn a_live_holder_is_never_robbed_by_age() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    going.signal(Signal::STOP);
    backdate(&shop);
    let pid = going.pid().to_string();
    shop.run().refused(4, &pid);
    let locked = shop.orch("pipeline run --json").run().exits(4).json();
    let names: Vec<&String> = locked.as_object().unwrap().keys().collect();
    assert_eq!(names, ["error", "hint", "holder", "version"], "{locked}");
    let holder = locked["holder"].as_object().unwrap();
    let names: Vec<&String> = holder.keys().collect();
    assert_eq!(names, ["command", "heartbeat_age", "heartbeat_age_s", "host", "pid", "started_at"], "{locked}");
    assert!(holder["heartbeat_age_s"].as_u64().unwrap() >= HOUR.as_secs(), "{locked}");
    assert!(holder["heartbeat_age"].as_str().unwrap().contains("60 min"), "{locked}");
    shop.orch("status").run().exits(0).says(&pid).says("heartbeat 60 min ago");
    going.signal(Signal::CONT);
    go.say("go");
    going.end().exits(0);
    assert_eq!(shop.ledger().len(), 1);
}

/// The card of a live holder, as another machine would have written it.
fn foreign_card(shop: &Shop) -> Vec<u8> {
    let mut card: Value = serde_json::from_slice(&std::fs::read(card(shop)).unwrap()).unwrap();
    for (name, value) in [("host", "far-away"), ("host-id", "another"), ("boot-id", "another")] {
        card[name] = value.into();
    }
    serde_json::to_vec(&card).unwrap()
}

#[test]
fn another_machine_keeps_its_lock_until_its_heartbeat_expires() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let foreign = foreign_card(&shop);
    go.say("go");
    going.end().exits(0);
    std::fs::write(card(&shop), foreign).unwrap();
    shop.run().refused(4, "on far-away").talks("cannot be asked from here");
    shop.orch("status").run().exits(0).says("last driven from elsewhere");
    backdate(&shop);
    shop.run().exits(0).talks("on far-away").says("done already");
    assert!(!card(&shop).exists());
}

#[test]
fn a_runner_that_lost_its_lock_records_nothing_and_names_the_new_owner() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let first = shop.orch("pipeline run --json").start();
    let suite = said.pid();
    take_lock_files_away(&shop);
    let second = shop.orch("pipeline run").start();
    let owner = second.pid().to_string();
    shop.until("status", &owner);
    assert!(lives(suite), "the child is left to the new owner");
    go.say("go");
    let lost = first.end().exits(4).talks("its lock was taken away from this runner").talks(&owner);
    assert_eq!((&lost.json()["error"], &lost.json()["holder"]["pid"]), (&"run_locked".into(), &second.pid().into()));
    second.end().exits(0);
    assert_eq!(shop.ledger().len(), 1, "nothing was started twice");
    let run = shop.orch("run show --json").run().exits(0).json();
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1, "{run}");
    assert_eq!(run["state"], "done", "{run}");
    shop.orch("verify").run().exits(0);
}

#[test]
fn a_lock_that_nobody_has_any_more_is_lost_too() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    take_lock_files_away(&shop);
    go.say("go");
    going.end().exits(4).talks("nobody has it now").talks("help: ");
    let left = "running at testing; nobody drives it: `orch pipeline run --task main` goes on from what was recorded";
    shop.orch("status").run().exits(0).says(left);
    assert_eq!(shop.orch("status --json").run().exits(0).json()["tasks"][0]["left"], true);
    assert!(!shop.has("docs/work-items/main/13-test-report.md"), "it wrote no artifact");
    shop.run().exits(0).says("done");
    assert_eq!(shop.ledger().len(), 1, "the recorded result is taken");
    assert_eq!(shop.orch("status --json").run().exits(0).json()["tasks"][0]["left"], false);
}

#[test]
fn a_second_run_can_wait_for_the_first() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    shop.orch("pipeline run --wait 50ms").run().refused(4, &going.pid().to_string());
    let mut talk = shop.fifo("talk");
    let write_end = || File::options().write(true).open(shop.scratch("talk")).unwrap();
    let patient = shop.orch("pipeline run --wait 10m").start_talking_to(write_end());
    let line = talk.next();
    assert!(line.contains("waiting at most 10 min") && line.contains(&going.pid().to_string()), "{line}");
    let stopped = shop.orch("pipeline run --wait 10m").start_talking_to(write_end());
    assert!(talk.next().contains("waiting at most 10 min"));
    stopped.signal(Signal::TERM);
    stopped.end().exits(143);
    go.say("go");
    going.end().exits(0);
    patient.end().exits(0).says("done already");
    assert_eq!(shop.ledger().len(), 1);
}

#[test]
fn a_command_on_a_task_can_wait_for_its_runner() {
    let shop = waiting("exit 127\n");
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    shop.orch("hold release").run().refused(4, &going.pid().to_string());
    let mut talk = shop.fifo("talk");
    let release = shop
        .orch("hold release --wait 10m")
        .start_talking_to(File::options().write(true).open(shop.scratch("talk")).unwrap());
    assert!(talk.next().contains("waiting at most 10 min"));
    go.say("go");
    going.end().held(78, "testing");
    release.end().exits(0).says("released");
}
