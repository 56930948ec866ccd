//! What a host, its disk and its shells can do to a suite's word, and what is left there.

use std::fs;

use super::host::{GREEN, Host, LOG, RED, Stage};
use super::sshd::{named, until_none};
use crate::support::{Mount, in_own_mounts};

/// Where the host's user keeps records, in a home of the test's own.
fn at_home(extra: &str) -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let extra = format!("SetEnv HOME={} {extra}", home.path().display());
    (home, extra)
}

#[test]
fn a_suite_hears_every_signal() {
    let host = Host::new(&Stage::sh(&format!("grep Sig /proc/self/status > SCRATCH/signals; {GREEN}")));
    host.run().exits(0);
    let signals = host.noted("signals");
    let ignored = signals.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    // Of those that have a name; the machine's own parent may ignore others.
    assert_eq!(ignored & 0x7fff_ffff, 0, "{signals}");
    for (deed, told) in [("kill -INT $$", "130"), ("kill -QUIT $$", "SIGQUIT")] {
        host.declare(&Stage::sh(&format!("{deed}; {GREEN}")));
        let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
        assert_ne!(ended.code(), Some(0), "{deed}\n{ended}");
        assert!(host.orch("explain").run().stdout().contains(told), "{deed}\n{ended}");
    }
}

#[test]
fn output_that_did_not_fit_on_the_host_is_no_pass() {
    in_own_mounts("trust::output_that_did_not_fit_on_the_host_is_no_pass", || {
        let (home, extra) = at_home("");
        let small = Mount::of_kib(home.path(), 300);
        let host = Host::with(&Stage::sh(GREEN), &extra);
        host.run().exits(0);
        let script = format!("{GREEN}; head -c 400000 /dev/zero | tr '\\0' x; echo; {RED}; exit 0");
        host.declare(&Stage::sh(&script));
        let ended = host.run();
        ended.held(78, "output-incomplete");
        small.take_off();
    });
}

#[test]
fn a_home_without_room_is_passed_over() {
    in_own_mounts("trust::a_home_without_room_is_passed_over", || {
        let (home, extra) = at_home("");
        let small = Mount::of_kib(home.path(), 64);
        fs::create_dir_all(home.path().join(".cache/orch/jobs")).unwrap();
        let filler = fs::File::create(home.path().join("full")).unwrap();
        while std::io::Write::write(&mut &filler, &[0; 4096]).is_ok_and(|written| written > 0) {}
        let host = Host::with(&Stage::sh(&format!("echo ran >> SCRATCH/ledger; {GREEN}")), &extra);
        host.run().exits(0);
        assert_eq!(host.shop.ledger(), ["ran"]);
        small.take_off();
    });
}

#[test]
fn nothing_of_ours_reaches_the_suite_s_environment() {
    let (_home, extra) = at_home("n=one p=two o_n=three o_p=four o_d=five id=six");
    let host = Host::with(&Stage::sh(&format!("env > SCRATCH/env; {GREEN}")).key("env: { set: { o_id: zz } }"), &extra);
    host.run().exits(0);
    let env = host.noted("env");
    let nonce = host.nonce();
    assert!(!env.contains(&nonce), "{env}");
    for (name, value) in [("n", "one"), ("p", "two"), ("id", "six")] {
        assert!(env.lines().any(|line| line == format!("{name}={value}")), "{name}\n{env}");
    }
    assert!(
        env.lines().any(|line| line.starts_with("ORCH_FAR_ATTEMPT=") && line.len() == "ORCH_FAR_ATTEMPT=".len() + 36),
        "{env}"
    );
}

#[test]
fn a_limit_over_a_frozen_link_blames_nobody() {
    let host = Host::new(&Stage::sh(GREEN));
    let script = format!("echo $$ > SCRATCH/said; read word < SCRATCH/go; {GREEN}");
    let stage = Stage::sh(&script).stage("grace: 1s").stage("timeout: 4s").stage("on-timeout: fail");
    host.declare(&stage.key("alive-interval: 5s"));
    let (mut said, mut go) = host.shop.said_and_go();
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    host.until_begun();
    host.sshd.freeze();
    go.say("go");
    // It ended in time, and that is learnt over the next connection.
    going.end().exits(0);
    assert!(host.shop.read(LOG).contains("staging_status: SUCCESS"));
    // A limit that is seen to be over is a fail, where the stage says so.
    let stage = Stage::sh("sleep 60").stage("grace: 1s").stage("timeout: 2s").stage("on-timeout: fail");
    host.declare(&stage);
    host.orch("pipeline run --no-wait --from staging --accept-pipeline").run().exits(1);
}

#[test]
fn a_suite_that_removes_its_record_does_not_run_twice() {
    let (_home, extra) = at_home("");
    let sleeper = format!("sleep 65{:05}", std::process::id());
    let script = format!(
        "echo ran >> SCRATCH/ledger; echo $$ > SCRATCH/said; read word < SCRATCH/go; rm -rf $HOME/.cache; {sleeper}"
    );
    let host = Host::with(&Stage::sh(&script).retries(2).stage("grace: 1s").stage("timeout: 5s"), &extra);
    let (mut said, mut go) = host.shop.said_and_go();
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    host.until_begun();
    go.say("go");
    let ended = going.end();
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert_eq!(host.shop.ledger(), ["ran"], "{ended}");
    until_none(&sleeper);
}

#[test]
fn looks_end_and_so_do_watchers() {
    let (home, extra) = at_home("");
    let sleeper = format!("sleep 66{:05}", std::process::id());
    let words = sleeper.replace(' ', ", \"") + "\"";
    let host = Host::with(&Stage::sh(GREEN).key(&format!("version: {{ command: [{words}] }}")), &extra);
    let ended = host.run();
    ended.held(78, "took too long");
    let told = host.orch("doctor").run();
    assert!(told.stdout().contains("took too long"), "{told}");
    assert_eq!(named(&sleeper), Vec::<i32>::new());

    for (tells, code, words) in [("exit 3", 78, "exit code 3"), (":", 78, "said nothing"), ("echo '/*'", 0, "/*")] {
        let stage = Stage::sh(GREEN).key(&format!("version: {{ command: [sh, -c, \"{tells}\"] }}")).key("ttl: 2d");
        host.declare(&stage);
        let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
        assert_eq!(ended.code(), Some(code), "{ended}");
        assert!(host.orch("explain").run().stdout().contains(words), "{words}\n{ended}");
    }
    // The last one passed, and nobody watches over it any more.
    until_none(&home.path().display().to_string());
}

#[test]
fn a_record_of_a_week_ago_is_kept_while_its_command_runs() {
    let (home, extra) = at_home("");
    let host = Host::with(&Stage::sh(&format!("echo $$ > SCRATCH/said; read word < SCRATCH/go; {GREEN}")), &extra);
    let (mut said, mut go) = host.shop.said_and_go();
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    let records = home.path().join(".cache/orch/jobs");
    let old = records.join("of-a-dead-one");
    fs::create_dir(&old).unwrap();
    for record in fs::read_dir(&records).unwrap() {
        let touched = crate::support::command("touch").args(["-d", "8 days ago"]).arg(record.unwrap().path()).status();
        assert!(touched.unwrap().success());
    }
    host.orch("doctor").run();
    assert!(!old.exists());
    go.say("go");
    going.end().exits(0);
}
