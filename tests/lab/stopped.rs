//! A holder that is stopped for three times as long as its card is believed (fault F15): on this machine nobody robs it,
//! and one that was robbed elsewhere records nothing when it wakes.
//!
//! The short form sets the card's time back; the long form waits.

use std::fs::File;
use std::time::Duration;

use orch::workspace::heartbeat::HEARTBEAT_TTL;
use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::draw::Size;
use crate::support::{NOTES, PASSES, Shop, WAITS, command, tool};
use crate::yard::children;

const LONG: Duration = Duration::from_secs(HEARTBEAT_TTL.as_secs() * 3);

fn waiting() -> Shop {
    Shop::running(&format!("{NOTES}{WAITS}{PASSES}"))
}

/// Lets the time pass that a card is believed, three times.
fn pass(shop: &Shop) {
    match Size::wanted() {
        Size::Short => {
            let card = File::options().write(true).open(shop.state().join("locks/main.json")).unwrap();
            let was = card.metadata().unwrap().modified().unwrap();
            card.set_modified(was - LONG).unwrap();
        }
        Size::Long => {
            poll(&mut [], Some(&Timespec::try_from(LONG).unwrap())).unwrap();
        }
    }
}

fn events(shop: &Shop) -> String {
    let runs = shop.orch("run list --json").run().exits(0).json();
    runs["runs"].to_string()
}

#[test]
fn a_stopped_holder_of_this_machine_is_not_robbed() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run --quiet").start();
    said.next();
    going.signal(Signal::STOP);
    pass(&shop);
    let name = format!("pid {} on ", going.pid());
    shop.run().refused(4, &name);
    shop.orch("unlock").run().refused(4, &name);
    going.signal(Signal::CONT);
    go.say("go");
    going.end().exits(0);
    assert_eq!(shop.ledger().len(), 1, "one runner, one start");
    shop.orch("verify").run().exits(0);
}

#[test]
fn a_holder_that_was_robbed_elsewhere_records_nothing_when_it_wakes() {
    let root = rustix::process::geteuid().is_root();
    let mut words = vec!["--pid", "--fork", "--mount-proc"];
    if !root {
        words.insert(0, "--map-root-user");
    }
    if !command("unshare").args(&words).arg("true").output().is_ok_and(|tried| tried.status.success()) {
        eprintln!("left out: no PID namespace can be made here");
        return;
    }
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let zombie = shop.orch("pipeline run").under(&tool("unshare", "util-linux"), &words).start();
    said.next();
    let [inner] = children(zombie.pid())[..] else { panic!("one orch is expected") };
    let inner = Pid::from_raw(inner).unwrap();
    kill_process(inner, Signal::STOP).unwrap();
    shop.run().refused(4, "cannot be asked from here");
    pass(&shop);
    shop.orch("unlock --force").run().exits(0).says("taken from a holder that cannot be asked");
    let before = events(&shop);
    kill_process(inner, Signal::CONT).unwrap();
    // Its suite ends now; the result is its supervisor's to write and the new owner's to record.
    go.say("go");
    zombie.end().exits(4).talks("its lock was taken away from this runner");
    assert_eq!(events(&shop), before, "the zombie wrote nothing");
    shop.run().exits(0).talks("was left by its runner");
    assert_eq!(shop.ledger().len(), 1, "the result is taken, not made again");
    shop.orch("verify").run().exits(0);
}
