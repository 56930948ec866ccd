//! Links that are cut for real, helpers and runners that are killed: the work is taken up again, or is gone, and no
//! process is left on the far side.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::host::{GREEN, Host, RED, Stage};
use super::proxy::{Proxy, Trick};
use super::sshd::{named, until_none};
use crate::support::Fifo;

/// A suite that says that it has begun, notes that it did, and waits for a word.
fn waiting(then: &str) -> Stage {
    Stage::sh(&format!(
        "echo begun >> SCRATCH/ledger; echo before; echo $$ > SCRATCH/said; read word < SCRATCH/go; echo after; {then}"
    ))
}

/// The FIFO that the suite waits at, and the pid that it told, once it has begun.
fn begun<T>(host: &Host, start: impl FnOnce() -> T) -> (T, Fifo, String) {
    let (mut said, go) = host.shop.said_and_go();
    let going = start();
    let pid = said.next();
    (going, go, pid)
}

fn helper_of(host: &Host) -> i32 {
    let found = named(&format!("__remote {}", host.shop.state().display()));
    *found.first().expect("a helper is under way")
}

#[test]
fn a_cut_link_is_taken_up_again_and_the_suite_runs_once() {
    let host = Host::new(&waiting(RED));
    let (going, mut go, _) = begun(&host, || host.orch("pipeline run --no-wait").start());
    host.sshd.cut();
    go.say("go");
    going.end().exits(1);
    assert_eq!(host.shop.ledger(), ["begun"]);
    let log = host.shop.read(super::host::LOG);
    assert!(log.contains("staging_status: FAILED"), "{log}");
}

#[test]
fn a_link_that_breaks_again_and_again_loses_no_byte() {
    let host = Host::new(&Stage::sh(GREEN));
    let script = format!(
        "i=0; while [ $i -lt 9000 ]; do echo \"line $i of the suite\"; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.05; done; {GREEN}"
    );
    // More than the largest packet of ssh, or no connection would ever get on.
    let proxy = Proxy::new(host.sshd.port, Trick::CloseAfter(90_000));
    let known = fs::read_to_string(host.sshd.path("known")).unwrap();
    fs::write(host.sshd.path("known"), known.replace(&format!(":{} ", host.sshd.port), &format!(":{} ", proxy.port)))
        .unwrap();
    host.declare(&Stage { keys: format!(", port: {}", proxy.port), ..Stage::sh(&script) });
    host.run().exits(0);
    assert!(proxy.taken() > 1, "the link was never cut");
    let out = host.orch("logs --raw").run();
    let lines: Vec<String> =
        out.stdout().lines().filter(|line| line.contains("of the suite")).map(str::to_owned).collect();
    let expected: Vec<String> = (0..9000).map(|n| format!("line {n} of the suite")).collect();
    assert!(
        lines.iter().zip(&expected).all(|(line, wanted)| line.ends_with(wanted.as_str())) && lines.len() == 9000,
        "{} lines",
        lines.len()
    );
}

#[test]
fn a_killed_helper_costs_nothing_where_a_retry_is_left() {
    let host = Host::new(&waiting(RED).retries(2));
    let (going, mut go, _) = begun(&host, || host.orch("pipeline run").start());
    kill_process(Pid::from_raw(helper_of(&host)).unwrap(), Signal::KILL).unwrap();
    go.say("go");
    going.end().exits(1);
    assert_eq!(host.shop.ledger(), ["begun"], "a suite that is not idempotent ran twice");
}

#[test]
fn a_killed_runner_and_a_killed_helper_are_taken_up_by_the_next_run() {
    let host = Host::new(&waiting(GREEN).retries(2));
    let (going, mut go, _) = begun(&host, || host.orch("pipeline run").start());
    let helper = helper_of(&host);
    going.kill();
    kill_process(Pid::from_raw(helper).unwrap(), Signal::KILL).unwrap();
    go.say("go");
    host.orch("pipeline run").run().exits(0);
    assert_eq!(host.shop.ledger(), ["begun"]);
}

#[test]
fn a_stalled_link_is_noticed_and_taken_up_again() {
    let host = Host::new(&Stage::sh(GREEN));
    let proxy = Proxy::new(host.sshd.port, Trick::StallAfter(6_000));
    let known = fs::read_to_string(host.sshd.path("known")).unwrap();
    fs::write(host.sshd.path("known"), known.replace(&format!(":{} ", host.sshd.port), &format!(":{} ", proxy.port)))
        .unwrap();
    let stage = waiting(&format!("head -c 20000 /dev/zero | tr '\\0' x; echo; {GREEN}"));
    host.declare(&Stage { keys: format!(", port: {}", proxy.port), ..stage });
    let (going, mut go, _) = begun(&host, || host.orch("pipeline run --no-wait").start());
    proxy.turn(Trick::Pass);
    go.say("go");
    going.end().exits(0);
    assert_eq!(host.shop.ledger(), ["begun"]);
}

#[test]
fn a_frozen_peer_is_left_and_its_work_taken_up_again() {
    let host = Host::new(&waiting(RED));
    let (going, mut go, _) = begun(&host, || host.orch("pipeline run --no-wait").start());
    host.sshd.freeze();
    go.say("go");
    going.end().exits(1);
    assert_eq!(host.shop.ledger(), ["begun"]);
}

#[test]
fn a_suite_whose_end_nobody_saw_is_lost_and_never_a_verdict() {
    let host = Host::new(&waiting(GREEN));
    let (going, _go, pid) = begun(&host, || host.orch("pipeline run --no-wait").start());
    // Everything of it dies there, the one who watches over it first.
    let watcher = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let parent: i32 = watcher.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(parent).unwrap(), Signal::KILL).unwrap();
    going.end().held(75, "lost");
    assert!(!host.shop.has(super::host::LOG));
    // Released by a person it starts anew; not before.
    assert_eq!(host.shop.ledger(), ["begun"]);
}

#[test]
fn nothing_is_left_after_cancels_and_cut_links() {
    let long = std::env::var("ORCH_STAGING").is_ok_and(|form| form == "long");
    let rounds = if long { 66 } else { 2 };
    let mut left = 0;
    for round in 0..rounds {
        let name = format!("sleep 9{:05}", std::process::id() % 10_000 * 10 + round % 10);
        for how in ["cancel", "limit", "cut"] {
            let stage = Stage::sh(&format!("setsid {name} & echo $$ > SCRATCH/said; {name}"));
            let stage = match how {
                "limit" => stage.stage("timeout: 1s").stage("grace: 1s"),
                _ => stage.key("ttl: 5s").stage("grace: 1s"),
            };
            let host = Host::new(&stage);
            let mut said = host.shop.fifo("said");
            let going = host.orch("pipeline run --no-wait").start();
            said.next();
            match how {
                "cancel" => going.signal(Signal::TERM),
                "cut" => {
                    // The way back is gone for good: the TTL is what is left.
                    let mut host = host;
                    host.sshd.down();
                    going.end().held(75, "lost");
                    until_none(&name);
                    left += named(&name).len();
                    continue;
                }
                _ => {}
            }
            going.end();
            left += named(&name).len();
        }
    }
    eprintln!("left after {} cancels, limits and cut links: {left} processes", rounds * 3);
    assert_eq!(left, 0);
}
