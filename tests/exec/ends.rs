//! How main processes end by themselves.

use orch::domain::evidence::{Exit, KillTier, Stop};
use orch::domain::id::Nonce;
use orch::exec::{ExecError, MARK};

use crate::harness::{Lab, TIERS};
use std::path::Path;

#[test]
fn a_code_is_kept_and_the_record_is_whole() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(crate::harness::ORCH));
        let launch = lab.sh("echo out; echo err >&2; exit 3");
        let record = lab.run(&launch);
        assert_eq!(record.exit, Exit::Exited { code: 3 });
        assert_eq!((record.attempt, record.nonce), (launch.attempt, launch.nonce));
        assert_eq!((record.began, record.stop), (true, Stop::Unasked));
        assert_eq!((record.leaked.len(), record.survivors.len()), (0, 0));
        assert!(record.max_rss_kib > 100 && record.started_at <= record.ended_at && !record.elapsed.is_zero());
        assert_eq!(lab.stdout(&record), b"out\n");
        assert_eq!(lab.stderr(&record), b"err\n");
        if tier == KillTier::Walk {
            assert_eq!(record.tier, KillTier::Walk);
        }
        lab.supervisor.finish().unwrap();
    }
}

#[test]
fn every_code_from_0_to_255_is_itself() {
    let mut lab = Lab::new();
    for code in 0..=255 {
        let record = lab.run(&lab.sh(&format!("exit {code}")));
        assert_eq!(record.exit, Exit::Exited { code });
    }
}

#[test]
fn an_exit_in_the_first_millisecond_is_never_lost() {
    let mut lab = Lab::new();
    for turn in 0..200 {
        let program = if turn % 2 == 0 { "true" } else { "false" };
        let record = lab.run(&lab.launch(&[program]));
        assert_eq!(record.exit, Exit::Exited { code: turn % 2 }, "turn {turn}");
        assert!(record.began);
    }
}

#[test]
fn death_by_each_signal_names_it() {
    let mut lab = Lab::new();
    // Those whose default action ends a process, as in signal(7).
    let ends = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31];
    let dumps = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];
    for signal in ends {
        let record = lab.run(&lab.sh(&format!("ulimit -c 0; kill -{signal} $$")));
        assert_eq!(record.exit, Exit::Signalled { signal, core: false }, "{signal}");
        let record = lab.run(&lab.sh(&format!("ulimit -c unlimited; kill -{signal} $$")));
        let core = dumps.contains(&signal) && cores_are_written();
        assert_eq!(record.exit, Exit::Signalled { signal, core }, "{signal}");
    }
}

/// A hard limit of 0, or a pattern that names no place, keeps the kernel from writing cores.
fn cores_are_written() -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core).maximum;
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    limit.is_none() && pattern.trim() == "core"
}

#[test]
fn a_producer_gets_its_pairs_and_the_mark_and_nothing_else() {
    let mut lab = Lab::new();
    let launch = lab.launch(&["env"]);
    let record = lab.run(&launch);
    let text = String::from_utf8(lab.stdout(&record)).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mark = format!("{MARK}={}", launch.attempt);
    assert_eq!(lines, [mark.as_str(), "PATH=/usr/local/bin:/usr/bin:/bin"]);
}

#[test]
fn a_producer_has_three_descriptors_its_own_group_and_default_signals() {
    let mut lab = Lab::new();
    assert_eq!(lab.says("ls /proc/self/fd").trim(), "0\n1\n2\n3", "the three, and the folder that ls reads");
    let text = lab.says("for fd in 0 1 2; do readlink /proc/self/fd/$fd; done");
    let targets: Vec<&str> = text.lines().collect();
    assert_eq!(targets[0], "/dev/null");
    assert!(targets[1].starts_with("pipe:") && targets[2].starts_with("pipe:"), "{targets:?}");

    let text =
        lab.says("cut -d' ' -f1,5 /proc/self/stat; echo $$; cat /proc/self/status | grep -E '^Sig(Blk|Ign|Cgt)'; pwd");
    let lines: Vec<&str> = text.lines().collect();
    let (group, main) = (lines[0].split(' ').nth(1).unwrap(), lines[1]);
    assert_eq!(group, main, "the main process leads the group");
    for line in &lines[2..5] {
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
    assert_eq!(Path::new(lines[5]), lab.work().canonicalize().unwrap());
}

#[test]
fn descriptors_that_the_runner_itself_inherited_do_not_reach_a_producer() {
    // A shell with more descriptors than it should have, and signals ignored and blocked, starts the supervisor.
    let dir = tempfile::tempdir().unwrap();
    let wrapper = crate::harness::script(
        dir.path(),
        "wrapper",
        &format!("#!/bin/sh\ntrap '' HUP INT USR1\nexec {} \"$@\" 5</dev/zero 9</etc/passwd\n", crate::harness::ORCH),
    );
    let mut lab = Lab::within(dir, KillTier::Walk, &wrapper);
    assert_eq!(lab.says("ls /proc/self/fd").trim(), "0\n1\n2\n3", "the three, and the folder that ls reads");
    assert_eq!(lab.says("cat /proc/self/status | grep SigIgn").trim(), "SigIgn:\t0000000000000000");
}

#[test]
fn one_attempt_at_a_time() {
    let mut lab = Lab::new();
    let launch = lab.sh("exit 0");
    assert!(matches!(
        lab.supervisor.wait(None, orch::domain::evidence::Canceller::Request, &mut |_| ()),
        Err(ExecError::Idle)
    ));
    lab.supervisor.launch(&launch).unwrap();
    assert!(matches!(lab.supervisor.launch(&launch), Err(ExecError::Busy { attempt }) if attempt == launch.attempt));
    lab.record(None);
    let again = orch::exec::Launch { nonce: Nonce::new(uuid::Uuid::new_v4()), ..launch };
    assert!(lab.run(&again).began, "the supervisor keeps no list of names; the runner makes each id once");
}
