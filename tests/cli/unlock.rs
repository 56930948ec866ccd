//! `orch unlock`: what it finds, what it does about it, and what it refuses.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{NOTES, PASSES, Shop, WAITS, command};

fn waiting() -> Shop {
    Shop::running(&format!("{NOTES}{WAITS}{PASSES}"))
}

fn card(shop: &Shop) -> PathBuf {
    shop.state().join("locks/main.json")
}

fn backdate(shop: &Shop) {
    let file = File::options().write(true).open(card(shop)).unwrap();
    let was = file.metadata().unwrap().modified().unwrap();
    file.set_modified(was - Duration::from_hours(1)).unwrap();
}

/// What stands in the log of the task's lock.
fn deeds(shop: &Shop) -> Vec<Value> {
    let text = std::fs::read_to_string(shop.state().join("locks/main.log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect()
}

#[test]
fn a_free_lock_is_said_to_be_free() {
    let shop = Shop::running(PASSES);
    shop.orch("unlock").run().exits(0).says("task main: nobody has its lock");
    shop.run().exits(0);
    let document = shop.orch("unlock --json").run().exits(0).json();
    assert_eq!((&document["found"], &document["did"]), (&"free".into(), &"nothing".into()));
    assert!(deeds(&shop).is_empty());
    shop.orch("unlock no/such/name").run().refused(2, "no/such/name");
}

#[test]
fn a_live_holder_keeps_its_lock_and_stops_when_it_is_asked() {
    for stopped in [false, true] {
        let shop = waiting();
        let (mut said, mut go) = shop.said_and_go();
        let going = shop.orch("pipeline run").start();
        said.next();
        let pid = going.pid();
        if stopped {
            going.signal(Signal::STOP);
        }
        backdate(&shop);
        shop.orch("unlock").run().refused(4, "its holder lives").talks(&pid.to_string()).talks("heartbeat");
        let refused = shop.orch("unlock --json").run().exits(4).json();
        assert_eq!((&refused["error"], &refused["holder"]["pid"]), (&"run_locked".into(), &pid.into()));
        assert!(deeds(&shop).is_empty(), "nothing was done");
        let unlock = shop.orch("unlock --force --reason").arg("it hangs").start();
        going.end().exits(143);
        unlock.end().exits(0).says("was asked to stop, and did");
        let deeds = deeds(&shop);
        assert_eq!((deeds.len(), &deeds[0]["deed"], &deeds[0]["why"]), (1, &"stopped".into(), &"it hangs".into()));
        assert_eq!(deeds[0]["from"]["pid"], pid);
        go.say("go");
        shop.run().exits(0);
    }
}

#[test]
fn a_lock_that_was_left_is_cleared_and_both_are_written_down() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let pid = going.pid();
    going.kill();
    shop.orch("status").run().exits(0).says("left by");
    let document = shop.orch("unlock --json").run().exits(0).json();
    assert_eq!((&document["found"], &document["did"]), (&"abandoned".into(), &"cleared".into()));
    assert_eq!(document["holder"]["pid"], pid);
    shop.orch("status").run().exits(0).says("running at testing").never("left by");
    assert_eq!((&deeds(&shop)[0]["deed"], &deeds(&shop)[0]["from"]["pid"]), (&"cleared".into(), &pid.into()));
    go.say("go");
    shop.run().exits(0).never("without releasing it");
    assert_eq!(shop.ledger().len(), 1, "the result of the run that was left is taken");
}

#[test]
fn a_takeover_is_written_down_with_both_runners() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let first = shop.orch("pipeline run").start();
    said.next();
    let gone = first.pid();
    first.kill();
    let second = shop.orch("pipeline run").start();
    let by = second.pid();
    go.say("go");
    second.end().exits(0).talks("ended without releasing it");
    let deeds = deeds(&shop);
    assert_eq!((deeds.len(), &deeds[0]["deed"]), (1, &"taken-over".into()));
    assert_eq!((&deeds[0]["from"]["pid"], &deeds[0]["by"]["pid"]), (&gone.into(), &by.into()));
}

#[test]
fn a_holder_whose_card_is_torn_is_not_robbed() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    std::fs::write(card(&shop), "{").unwrap();
    for words in ["unlock", "unlock --force"] {
        shop.orch(words).run().refused(4, "its card cannot be read");
    }
    let refused = shop.orch("unlock --force --json").run().exits(4).json();
    assert_eq!((&refused["error"], &refused["holder"]), (&"run_locked".into(), &Value::Null));
    go.say("go");
    going.end().exits(0);
}

#[test]
fn a_holder_of_another_machine_is_believed_until_its_heartbeat_expires() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let mut foreign: Value = serde_json::from_slice(&std::fs::read(card(&shop)).unwrap()).unwrap();
    for (name, value) in [("host", "far-away"), ("host-id", "another"), ("boot-id", "another")] {
        foreign[name] = value.into();
    }
    go.say("go");
    going.end().exits(0);
    std::fs::write(card(&shop), serde_json::to_vec(&foreign).unwrap()).unwrap();
    shop.orch("unlock").run().refused(4, "cannot be asked from here").talks("far-away");
    shop.orch("unlock --force").run().refused(4, "less than 30 s ago");
    backdate(&shop);
    shop.orch("unlock").run().refused(4, "cannot be asked from here");
    assert!(deeds(&shop).is_empty());
    shop.orch("unlock --force").run().exits(0).says("taken from a holder that cannot be asked");
    assert_eq!(deeds(&shop)[0]["deed"], "seized");
    shop.run().exits(0).says("done already");
}

/// The children of a process that `unshare --fork` made.
fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[expect(clippy::print_stdout, reason = "the reader of a test's output should know what was not looked at")]
#[test]
fn a_holder_in_another_pid_namespace_is_fenced_off() {
    let root = rustix::process::geteuid().is_root();
    let mut words = vec!["--pid", "--fork", "--mount-proc"];
    if !root {
        words.insert(0, "--map-root-user");
    }
    if !command("unshare").args(&words).arg("true").output().is_ok_and(|tried| tried.status.success()) {
        println!("left out: no PID namespace can be made here");
        return;
    }
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let unshare = crate::support::tool("unshare", "util-linux");
    let going = shop.orch("pipeline run").under(&unshare, &words).start();
    said.next();
    let [inner] = children(going.pid())[..] else { panic!("one orch is expected") };
    let inner = Pid::from_raw(inner).unwrap();
    shop.run().refused(4, "cannot be asked from here");
    shop.orch("unlock --force").run().refused(4, "less than 30 s ago");
    // It hangs, so that its heartbeat expires.
    kill_process(inner, Signal::STOP).unwrap();
    backdate(&shop);
    shop.run().refused(4, "cannot be asked from here");
    shop.orch("unlock").run().refused(4, "cannot be asked from here");
    shop.orch("unlock --force --json").run().exits(0);
    // It wakes up: its lock is gone.
    kill_process(inner, Signal::CONT).unwrap();
    go.say("go");
    going.end().exits(4).talks("its lock was taken away from this runner");
    shop.run().exits(0).talks("was left by its runner");
    assert_eq!(shop.ledger().len(), 1);
}
