//! A host that is down and comes up again: the suite runs, nobody is charged, and one alert was sent.

use std::fs;

use super::host::{GREEN, Host, Stage};

#[test]
fn down_and_up_again_ends_the_hold_by_itself() {
    let mut host = Host::new(&Stage::sh(&format!("echo ran >> SCRATCH/ledger; {GREEN}")));
    let alert = host.shop.scratch("alert");
    fs::write(&alert, format!("#!/bin/sh\nprintf '%s\\n' \"$ORCH_ALERT\" >> {}/alerts\n", host.scratch())).unwrap();
    fs::set_permissions(&alert, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    host.sshd.down();
    let mut told = host.shop.fifo("told");
    let path = host.shop.scratch("told");
    let writer = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let going = host.orch("pipeline run --max-wait 60s").env("ORCH_ALERT_COMMAND", &alert).start_talking_to(writer);
    while !told.next().contains("waiting at most") {}
    assert_eq!(host.shop.ledger(), Vec::<String>::new());
    host.sshd.up();
    going.end().exits(0);
    assert_eq!(host.shop.ledger(), ["ran"]);
    assert_eq!(host.noted("alerts").lines().count(), 1);
    let task = host.orch("task list --json").run();
    assert!(!task.stdout().contains("\"retry\":1"), "{task}");
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
