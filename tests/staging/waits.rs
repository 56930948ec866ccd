//! A host that is down and comes up again: the suite runs, nobody is charged, and one alert was sent.

use std::fs;

use super::host::{GREEN, Host, RED, Stage};

/// What a host that is down, and comes up while a run waits for it, costs: the ledger, the alerts, and the counters.
fn down_and_up(suite: &str) -> (Vec<String>, usize, serde_json::Value) {
    let mut host = Host::new(&Stage::sh(&format!("echo ran >> SCRATCH/ledger; {suite}")).developed());
    host.shop.write("develop.sh", "echo developed >> SCRATCH/ledger\n");
    host.shop.commit("development");
    let alert = host.shop.scratch("alert");
    fs::write(&alert, format!("#!/bin/sh\nprintf '%s\\n' \"$ORCH_ALERT\" >> {}/alerts\n", host.scratch())).unwrap();
    fs::set_permissions(&alert, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    host.sshd.down();
    let mut told = host.shop.fifo("told");
    let path = host.shop.scratch("told");
    let writer = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let going = host.orch("pipeline run --max-wait 60s").env("ORCH_ALERT_COMMAND", &alert).start_talking_to(writer);
    while !told.next().contains("waiting at most") {}
    assert_eq!(host.shop.ledger(), ["developed"]);
    host.sshd.up();
    going.end().exits(0);
    let task = host.orch("task show main --json").run().exits(0).json();
    (host.shop.ledger(), host.noted("alerts").lines().count(), task["spent"].clone())
}

#[test]
fn down_and_up_again_ends_the_hold_by_itself() {
    let (ledger, alerts, spent) = down_and_up(GREEN);
    assert_eq!((ledger.as_slice(), alerts), (["developed", "ran"].map(str::to_owned).as_slice(), 1));
    assert!(spent.as_object().is_some_and(|spent| spent.values().all(|count| count == 0)), "{spent}");
}

/// The very same, with a suite that is red once: the counter that stood still before counts that.
#[test]
fn a_red_suite_behind_such_a_hold_is_charged_once() {
    let (ledger, alerts, spent) =
        down_and_up(&format!("if [ -e SCRATCH/red ]; then {GREEN}; else touch SCRATCH/red; {RED}; fi"));
    let expected = ["developed", "ran", "developed", "ran"].map(str::to_owned);
    assert_eq!((ledger.as_slice(), alerts), (expected.as_slice(), 1));
    assert_eq!(spent["developer-retry"], 1, "{spent}");
}

#[test]
fn without_a_wait_it_is_held_and_the_next_run_looks() {
    let mut host = Host::new(&Stage::sh(GREEN));
    host.sshd.down();
    host.run().held(75, "Connection refused");
    host.run().exits(75).says("refused");
    let status = host.orch("status").run();
    assert!(status.stdout().contains("preflight"), "{status}");
    host.orch("doctor").run().says("hosts");
    host.sshd.up();
    host.run().exits(0);
    host.orch("doctor").run().says("can be reached");
}
