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

/// A state folder that a container used: its PID namespace is gone, and this kernel says that the lock is free.
#[test]
fn a_holder_of_another_pid_namespace_that_let_go_is_cleared() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let mut foreign: Value = serde_json::from_slice(&std::fs::read(card(&shop)).unwrap()).unwrap();
    foreign["pid-namespace"] = 1.into();
    std::fs::write(card(&shop), serde_json::to_vec(&foreign).unwrap()).unwrap();
    shop.orch("unlock").run().refused(4, "cannot be asked from here");
    assert!(deeds(&shop).is_empty());
    going.kill();
    let document = shop.orch("unlock --json").run().exits(0).json();
    assert_eq!((&document["found"], &document["did"]), (&"elsewhere".into(), &"cleared".into()));
    assert_eq!(deeds(&shop)[0]["deed"], "cleared");
    shop.orch("unlock").run().exits(0).says("nobody has its lock");
    go.say("go");
    shop.run().exits(0).never("without releasing it");
}

/// Puts something at a path.
type Put<'a> = &'a dyn Fn(&std::path::Path);

/// What nobody could take is not said to be free (RELIABILITY section 4).
#[test]
fn what_is_no_lock_is_refused_by_its_own_name() {
    let plain = |shop: &Shop, name: &str| {
        let path = shop.state().join("locks").join(name);
        std::fs::remove_file(&path).ok();
        path
    };
    let fifo = |path: &std::path::Path| assert!(command("mkfifo").arg(path).status().unwrap().success());
    let folder = |path: &std::path::Path| std::fs::create_dir(path).unwrap();
    let link = |path: &std::path::Path| std::os::unix::fs::symlink("/dev/null", path).unwrap();
    let kinds: [(&str, Put<'_>); 4] =
        [("main.lock", &fifo), ("main.lock", &folder), ("main.lock", &link), ("main.json", &folder)];
    for (name, put) in kinds {
        let shop = Shop::running(PASSES);
        shop.run().exits(0);
        let path = plain(&shop, name);
        put(&path);
        let run = shop.run().talks("could not trust ").talks(name).talks("move away what stands there");
        assert_eq!(run.code(), Some(70), "{run}");
        shop.orch("unlock").run().refused(70, "could not trust ").talks(name).talks("move away what stands there");
        let doctor = shop.orch("doctor").run().exits(3).never("all is well");
        doctor.says("the lock of task main cannot be taken").says(name);
        shop.orch("status").run().exits(0).says("its lock cannot be read").says(name);
    }
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let locks = std::fs::read_dir(shop.state().join("locks")).unwrap().map(|entry| entry.unwrap().path());
    let checkout = locks.filter_map(|path| path.to_str().map(str::to_owned)).find(|path| path.contains(".worktree-"));
    std::fs::create_dir(checkout.unwrap().replace(".lock", ".json")).unwrap();
    shop.orch("doctor").run().exits(3).says("the lock of this worktree cannot be taken").says(".json");
    let run = shop.run().talks("could not trust ").talks(".json");
    assert_eq!(run.code(), Some(70), "{run}");
}
