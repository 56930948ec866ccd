//! Links and hosts that fail while a suite is under way, and do not come back: held, never judged, and nothing runs twice.

use std::fs;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::experiment::Class::{Permanent, Transient};
use super::experiment::{Class, Experiment, right, rounds};
use super::host::{GREEN, Host, RED, Stage};
use super::proxy::{Proxy, Trick};
use super::sshd::until_none;
use crate::support::Fifo;

/// What can happen to a suite that has begun, or is about to.
pub(crate) const UNDER_WAY: &[&str] = &[
    "cut before the begin mark",
    "cut after the begin mark",
    "reset after the begin mark",
    "stalled after the begin mark",
    "stalled before the end mark",
    "peer frozen",
    "host key changed under way",
    "key withdrawn under way",
    "watcher there killed",
    "expired there",
];

/// A suite that says that it has begun and waits for a word, with the shortest TTL.
fn waiting(then: &str) -> Stage {
    Stage::sh(&format!("echo begun >> SCRATCH/ledger; echo $$ > SCRATCH/said; read word < SCRATCH/go; {then}"))
}

/// A host behind a proxy.
struct Way {
    host: Host,
    proxy: Proxy,
    said: Fifo,
    go: Fifo,
}

impl Way {
    fn to(stage: &Stage) -> Self {
        let host = Host::new(stage);
        let proxy = Proxy::new(host.sshd.port, Trick::Pass);
        host.sshd.know_at("host.pub", proxy.port);
        host.declare(&stage.clone().key("ttl: 5s").key(&format!("port: {}", proxy.port)));
        let (said, go) = host.shop.said_and_go();
        Self { host, proxy, said, go }
    }

    /// Runs until the suite has begun, lets something happen, and looks how it ends.
    fn told(&mut self, name: &str, round: usize, class: Class, words: &str, happens: impl FnOnce(&mut Self, i32)) {
        let going = self.host.orch("pipeline run --no-wait").start();
        let pid = self.said.pid();
        happens(self, pid);
        let ended = going.end();
        right(name, round, &self.host, class, words, &ended);
    }
}

/// One fault: its name, its class, a word of what is told, the suite, and what happens to it.
type Fault = (&'static str, Class, &'static str, fn() -> Stage, fn(&mut Way, i32));

const FAULTS: [Fault; 9] = [
    ("cut before the begin mark", Transient, "", looking_first, |way, _| way.host.sshd.down()),
    ("cut after the begin mark", Transient, "lost", red, |way, _| way.host.sshd.down()),
    ("reset after the begin mark", Transient, "lost", red, |way, _| way.proxy.drop_all(Trick::Reset)),
    ("stalled after the begin mark", Transient, "lost", red, |way, _| way.proxy.stall_all()),
    ("stalled before the end mark", Transient, "lost", red, |way, _| {
        way.proxy.stall_all();
        way.go.say("go");
    }),
    ("peer frozen", Transient, "lost", red, |way, _| {
        way.proxy.turn(Trick::Silent);
        way.host.sshd.freeze();
    }),
    ("host key changed under way", Permanent, "channel-refused", red, |way, _| {
        way.host.sshd.know_at("stranger.pub", way.proxy.port);
        way.host.sshd.cut();
    }),
    ("key withdrawn under way", Permanent, "channel-refused", red, |way, _| {
        fs::write(way.host.sshd.path("authorized"), "").unwrap();
        way.host.sshd.cut();
    }),
    ("watcher there killed", Transient, "lost", red, |_, pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        kill_process(Pid::from_raw(parent).unwrap(), Signal::KILL).unwrap();
    }),
];

fn red() -> Stage {
    waiting(RED)
}

/// What is looked at before the begin takes its time.
fn looking_first() -> Stage {
    let look = "version: { command: [sh, -c, \"echo $$ > SCRATCH/said; read word < SCRATCH/go\"], expect: x }";
    Stage::sh(&format!("echo begun >> SCRATCH/ledger; {RED}")).key(look)
}

#[test]
fn what_breaks_under_way_and_does_not_come_back() {
    let mut group = Experiment::of(UNDER_WAY);
    // They mostly wait for their TTL: together.
    thread::scope(|scope| {
        for (name, class, words, stage, happens) in FAULTS {
            scope.spawn(move || {
                for round in 0..rounds() {
                    let mut way = Way::to(&stage());
                    way.told(name, round, class, words, happens);
                    assert!(way.host.shop.ledger().len() <= 1, "{name}: it ran twice");
                }
            });
        }
        scope.spawn(|| (0..rounds()).for_each(expired));
    });
    for name in UNDER_WAY {
        group.ran(name);
    }
    group.end();
}

/// The way back comes only when the TTL is over: what ran was killed there, and a person looks.
fn expired(round: usize) {
    let sleeper = format!("sleep 7{:05}", std::process::id());
    let suite = format!("echo begun >> SCRATCH/ledger; echo $$ > SCRATCH/said; {sleeper}");
    let mut way = Way::to(&Stage::sh(&suite).stage("grace: 1s"));
    way.told("expired there", round, Transient, "lost", |way, _| way.host.sshd.down());
    until_none(&sleeper);
    way.host.sshd.up();
    let ended = way.host.orch("pipeline run --no-wait").run();
    right("expired there", round, &way.host, Transient, "lost", &ended);
    assert_eq!(way.host.shop.ledger(), ["begun"]);
}

/// A suite that ended while nobody could hear it has its end there; the next run fetches it.
#[test]
fn an_end_that_nobody_heard_is_fetched() {
    for (then, code) in [(GREEN, 0), (RED, 1)] {
        let mut way = Way::to(&waiting(then));
        way.told("an end that nobody heard", 0, Transient, "lost", |way, _| {
            way.proxy.stall_all();
            way.go.say("go");
        });
        way.proxy.mend();
        way.host.orch("pipeline run --no-wait").run().exits(code);
        assert_eq!(way.host.shop.ledger(), ["begun"]);
    }
}
