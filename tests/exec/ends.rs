//! How main processes end by themselves.

use std::path::Path;

use orch::domain::evidence::{Canceller, Exit, KillTier, Stop};
use orch::domain::id::Nonce;
use orch::exec::{BootId, Ending, ExecError, Launch, MARK, Recovered, recover};

use crate::harness::{Lab, ORCH, TIERS, script};

#[test]
fn a_code_is_kept_and_the_record_is_whole() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        let launch = lab.sh("echo out; echo err >&2; exit 3");
        let record = lab.run(&launch);
        assert_eq!(record.exit, Exit::Exited { code: 3 });
        assert_eq!((record.attempt, record.nonce), (launch.attempt, launch.nonce));
        assert_eq!((record.began, record.stop), (true, Stop::Unasked));
        assert_eq!((record.leaked.len(), record.survivors.len()), (0, 0));
        assert!(record.max_rss_kib > 100 && record.started_at <= record.ended_at && !record.elapsed.is_zero());
        assert_eq!(lab.stdout(&record), b"out\n");
        assert_eq!(lab.stderr(&record), b"err\n");
        let has_leaf = lab.leaf().is_some_and(|leaf| leaf.exists());
        assert_eq!(record.tier == KillTier::Cgroup, has_leaf && tier == KillTier::Cgroup);
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

    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    assert_eq!(lab.says("cat /proc/self/oom_score_adj").trim(), (own + 500).min(1000).to_string());

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
    let wrapper = script(
        dir.path(),
        "wrapper",
        &format!("#!/bin/sh\ntrap '' HUP INT USR1\nexec {ORCH} \"$@\" 5</dev/zero 9</etc/passwd\n"),
    );
    let mut lab = Lab::within(dir, KillTier::Walk, &wrapper);
    assert_eq!(lab.says("ls /proc/self/fd").trim(), "0\n1\n2\n3", "the three, and the folder that ls reads");
    assert_eq!(lab.says("cat /proc/self/status | grep SigIgn").trim(), "SigIgn:\t0000000000000000");
}

#[test]
fn one_attempt_at_a_time() {
    let mut lab = Lab::new();
    let launch = lab.sh("exit 0");
    assert!(matches!(lab.supervisor.wait(None, Canceller::Request, &mut |_| ()), Err(ExecError::Idle)));
    lab.supervisor.launch(&launch).unwrap();
    assert!(matches!(lab.supervisor.launch(&launch), Err(ExecError::Busy { attempt }) if attempt == launch.attempt));
    lab.record(None);
}

#[test]
fn an_attempt_is_started_once_in_its_life() {
    let mut lab = Lab::new();
    let launch = lab.sh("echo >> ran");
    let record = lab.run(&launch);
    let again = Launch { nonce: Nonce::new(uuid::Uuid::new_v4()), ..launch.clone() };
    for _supervisor in 0..2 {
        lab.supervisor.launch(&again).unwrap();
        let refused = lab.supervisor.wait(None, Canceller::Request, &mut |_| ());
        assert!(matches!(refused, Err(ExecError::Repeated { attempt }) if attempt == launch.attempt));
        assert_eq!(lab.run(&lab.sh("exit 0")).exit, Exit::Exited { code: 0 }, "it works on");
        // The next one has only the file to know it from.
        lab.supervisor.finish().unwrap();
        lab = Lab::within(lab.dir, KillTier::Cgroup, Path::new(ORCH));
    }
    assert_eq!(std::fs::read(lab.work().join("ran")).unwrap(), b"\n");
    lab.supervisor.finish().unwrap();
    let found =
        recover(&lab.dir.path().join("run"), launch.attempt, launch.nonce, &BootId::current().unwrap(), None, None);
    assert_eq!(found.unwrap(), Recovered::Settled(Ending::Ended(Box::new(record))));
}

#[test]
fn a_supervisor_has_its_own_session_and_its_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut lab = Lab::new();
    lab.run(&lab.sh("exit 0"));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", lab.supervisor.pid())).unwrap();
    let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, lab.supervisor.pid().to_string());
    let environ = std::fs::read(format!("/proc/{}/environ", lab.supervisor.pid())).unwrap();
    assert!(environ.is_empty(), "nothing of the runner's environment");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(lab.run_dir()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort_unstable();
    assert_eq!(names, ["exits.jsonl", "stderr.log", "stdout.log", "supervisor.json", "supervisor.lock"]);
}
