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

/// A suite that is long under way the first time, and that notes the second time whether the first is still there.
fn twice(sleeper: &str) -> Stage {
    Stage::sh(&format!(
        "if [ -e SCRATCH/first ]; then kill -0 $(cat SCRATCH/first) 2>/dev/null && echo overlap >> SCRATCH/ledger; \
         echo second >> SCRATCH/ledger; {GREEN}; else echo $$ > SCRATCH/first; echo first >> SCRATCH/ledger; \
         setsid {sleeper} & echo $$ > SCRATCH/said; {sleeper}; fi"
    ))
}

/// The second attempt runs alone, and says what it found.
fn runs_alone(host: &Host, sleeper: &str, run: &crate::support::Ended) {
    assert_eq!(run.code(), Some(0), "{run}");
    assert!(run.stderr().contains("still ran on") && run.stderr().contains("it was ended first"), "{run}");
    assert_eq!(host.shop.ledger(), ["first", "second"]);
    assert_eq!(named(sleeper), Vec::<i32>::new());
    let explained = host.orch("explain").run();
    assert!(explained.stdout().contains("was ended first"), "{explained}");
}

#[test]
fn what_a_cancel_over_a_dead_link_left_is_ended_before_the_next_attempt() {
    let sleeper = format!("sleep 61{:05}", std::process::id());
    let mut host = Host::new(&twice(&sleeper).stage("grace: 1s"));
    let mut said = host.shop.fifo("said");
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    host.sshd.down();
    going.signal(Signal::TERM);
    let ended = going.end();
    assert_eq!(ended.code(), Some(143), "{ended}");
    assert!(ended.stderr().contains("may still run on"), "{ended}");
    assert_ne!(named(&sleeper), Vec::<i32>::new(), "the link was dead");
    // An attempt that does not reach the host either forgets nothing.
    host.orch("pipeline run --no-wait").run().exits(75);
    host.sshd.up();
    runs_alone(&host, &sleeper, &host.run());
}

#[test]
fn what_a_limit_over_a_stalled_link_left_is_ended_before_the_next_attempt() {
    let sleeper = format!("sleep 62{:05}", std::process::id());
    let host = Host::new(&twice(&sleeper));
    let proxy = Proxy::new(host.sshd.port, Trick::Pass);
    host.sshd.know_at("host.pub", proxy.port);
    let stage = twice(&sleeper)
        .stage("grace: 1s")
        .stage("timeout: 3s")
        .key("alive-interval: 5s")
        .key(&format!("port: {}", proxy.port));
    host.declare(&stage);
    let mut said = host.shop.fifo("said");
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    host.until_begun();
    proxy.stall_all();
    going.end().held(75, "total limit");
    assert_ne!(named(&sleeper), Vec::<i32>::new(), "the link was dead");
    proxy.mend();
    host.orch("hold release").run().exits(0);
    runs_alone(&host, &sleeper, &host.run());
}

#[test]
fn what_ran_on_an_older_commit_is_ended_before_the_newer_one_is_tested() {
    let sleeper = format!("sleep 63{:05}", std::process::id());
    let host = Host::new(&twice(&sleeper).stage("grace: 1s").key("idempotent: true"));
    let mut said = host.shop.fifo("said");
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    kill_process(Pid::from_raw(helper_of(&host)).unwrap(), Signal::KILL).unwrap();
    going.end().exits(75);
    assert_ne!(named(&sleeper), Vec::<i32>::new(), "nobody told it to stop");
    host.shop.write("README.md", "another commit\n");
    host.shop.commit("another");
    runs_alone(&host, &sleeper, &host.run());
}

/// The other host is the same machine by another name, so that what happens there can be seen.
#[test]
fn what_ran_on_another_host_is_left_to_its_ttl() {
    let sleeper = format!("sleep 67{:05}", std::process::id());
    let script = format!(
        "if [ -e SCRATCH/again ]; then {GREEN}; else touch SCRATCH/again; echo $$ > SCRATCH/said; {sleeper}; fi"
    );
    let host = Host::new(&Stage::sh(&script));
    let known = fs::read_to_string(host.sshd.path("known")).unwrap();
    fs::write(host.sshd.path("known"), format!("{known}{}", known.replace("[127.0.0.1]", "[localhost]"))).unwrap();
    let keys = ["host: \"${STAGE_HOST}\"", "idempotent: true", "ttl: 5s"];
    host.declare(&keys.iter().fold(Stage::sh(&script), |stage, key| stage.key(key)));
    let run = |name: &str| host.orch("pipeline run --no-wait").env("STAGE_HOST", name);
    let mut said = host.shop.fifo("said");
    let going = run("127.0.0.1").start();
    said.next();
    kill_process(Pid::from_raw(helper_of(&host)).unwrap(), Signal::KILL).unwrap();
    going.end().exits(75);
    let ended = run("localhost").run().exits(0);
    assert!(!ended.stderr().contains("was ended first"), "{ended}");
    until_none(&sleeper);
}

/// A record there may be older than the last start of that host: the numbers in it are other processes' then.
#[test]
fn a_session_of_an_older_boot_is_nobody_s() {
    let bystander = format!("sleep 64{:05}", std::process::id());
    let suite = format!(
        "if [ -e SCRATCH/again ]; then {GREEN}; else touch SCRATCH/again; \
         echo $HOME/.cache/orch/jobs/$ORCH_FAR_ATTEMPT > SCRATCH/said; echo $PPID > SCRATCH/said; read word < SCRATCH/go; fi"
    );
    let host = Host::new(&Stage::sh(&suite).key("idempotent: true"));
    let (mut said, _go) = host.shop.said_and_go();
    let going = host.orch("pipeline run --no-wait").start();
    let record = std::path::PathBuf::from(said.next());
    let watcher = Pid::from_raw(said.pid()).unwrap();
    kill_process(Pid::from_raw(helper_of(&host)).unwrap(), Signal::KILL).unwrap();
    going.end().exits(75);
    let mut other = crate::support::command("setsid");
    let mut other = other.args(bystander.split(' ')).spawn().unwrap();
    super::sshd::until_some(&bystander);
    // As if the machine had been started anew, and the bystander had the session's number.
    kill_process(watcher, Signal::KILL).unwrap();
    for name in ["suite", "sup"] {
        fs::write(record.join(name), format!("{} 1 00000000-0000-0000-0000-000000000000\n", named(&bystander)[0]))
            .unwrap();
    }
    host.run().exits(0);
    assert_eq!(named(&bystander).len(), 1, "a process that is nobody's was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

/// How a suite is ended in the experiment below.
#[derive(Debug, Clone, Copy)]
enum Ended {
    Cancel,
    Limit,
    /// The way back is gone for good: the TTL is what is left.
    Cut,
}

#[test]
fn nothing_is_left_after_cancels_limits_and_cut_links() {
    let rounds = if super::experiment::long() { 67 } else { 2 };
    std::thread::scope(|scope| {
        for (index, how) in [Ended::Cancel, Ended::Limit, Ended::Cut].into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..rounds {
                    ends_whole(how, &format!("sleep 9{index}{round:02}{:05}", std::process::id()));
                }
            });
        }
    });
    eprintln!("left after {} cancels, limits and cut links: 0 processes", rounds * 3);
}

/// A suite with a child, and one in a session of its own; nothing of it is left.
fn ends_whole(how: Ended, sleeper: &str) {
    let stage = Stage::sh(&format!("setsid {sleeper} & echo $$ > SCRATCH/said; {sleeper}")).stage("grace: 1s");
    let stage = match how {
        Ended::Limit => stage.stage("timeout: 1s"),
        Ended::Cancel => stage,
        Ended::Cut => stage.key("ttl: 5s"),
    };
    let mut host = Host::new(&stage);
    let mut said = host.shop.fifo("said");
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    match how {
        Ended::Limit => drop(going.end().held(75, "total limit")),
        Ended::Cancel => {
            going.signal(Signal::TERM);
            going.end().exits(143);
        }
        Ended::Cut => {
            host.sshd.down();
            going.end().held(75, "lost");
            until_none(sleeper);
        }
    }
    assert_eq!(named(sleeper), Vec::<i32>::new(), "{how:?}");
}
