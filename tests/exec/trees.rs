//! Descendants: nothing of an attempt lives when its record is there.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use orch::domain::evidence::{Exit, KillTier, Stop};
use orch::domain::pipeline::Limits;
use orch::exec::{Launch, MARK};

use crate::harness::{LIMITS, Lab, ORCH, TIERS, Words, lives};

/// Ways to leave a process behind that says its pid on the FIFO `pids` and stays.
const SHAPES: [(&str, &str); 6] = [
    ("plain", "sh -c 'echo $$ > pids; exec sleep 300' &"),
    ("own session", "setsid sh -c 'echo $$ > pids; exec sleep 300' &"),
    ("double fork and own session", "(setsid sh -c '(sh -c \"echo \\$\\$ > pids; exec sleep 300\" &)' &)"),
    ("without an environment", "setsid env -i /bin/sh -c 'echo $$ > pids; exec sleep 300' &"),
    ("session in a session", "setsid sh -c 'setsid sh -c \"echo \\$\\$ > pids; exec sleep 300\" &' &"),
    ("ignores everything", "(trap '' TERM HUP INT; setsid sh -c 'echo $$ > pids; while :; do sleep 1; done') &"),
];

#[test]
fn what_outlives_a_clean_exit_is_dead_before_the_record_and_named() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        for (shape, script) in SHAPES {
            let pids = lab.fifo("pids");
            // The last part waits until the child has said its pid.
            let record = lab.run(&lab.sh(&format!("{script}\nread pid < pids; echo $pid; exit 0")));
            let pid: i32 = String::from_utf8(lab.stdout(&record)).unwrap().trim().parse().unwrap();
            assert!(!lives(pid), "{shape}, {tier:?}");
            assert_eq!(record.exit, Exit::Exited { code: 0 }, "{shape}: a leak is no failure");
            assert_eq!((record.stop, record.survivors.len()), (Stop::Unasked, 0), "{shape}");
            assert!(record.leaked.iter().any(|leaked| leaked.pid == pid), "{shape}: {:?}", record.leaked);
            assert!(record.elapsed < Duration::from_secs(5), "{shape}: {:?}", record.elapsed);
            std::fs::remove_file(pids).unwrap();
        }
    }
}

#[test]
fn a_cancel_reaches_every_shape() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        for (shape, script) in SHAPES {
            let mut pids = Words::open(&lab.fifo("pids"));
            let limits = Limits { grace: Duration::from_millis(200), ..LIMITS };
            let launch = Launch { limits, ..lab.sh(&format!("{script}\nexec sleep 300")) };
            let (stop, mut ask) = std::io::pipe().unwrap();
            let mut pid = 0;
            let record = lab.during(&launch, Some(stop.as_fd()), || {
                pid = pids.pid();
                ask.write_all(b"x").unwrap();
            });
            assert!(matches!(record.exit, Exit::Cancelled { .. }));
            assert!(!lives(pid) && record.survivors.is_empty(), "{shape}, {tier:?}: {record:?}");
            let asked_was_enough = shape != "ignores everything";
            assert_eq!(record.stop == Stop::Asked, asked_was_enough, "{shape}, {tier:?}");
            std::fs::remove_file(lab.work().join("pids")).unwrap();
        }
    }
}

#[test]
fn three_hundred_at_once_and_chains_that_fork_on() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        let many = "for i in $(seq 300); do setsid sleep 300 & done; exit 0";
        let record = lab.run(&lab.sh(many));
        assert_eq!(record.exit, Exit::Exited { code: 0 });
        assert!(record.survivors.is_empty());
        assert_eq!(crate::harness::marked(&record.attempt.to_string()), 0, "{tier:?}");

        let hop = "#!/bin/sh\nsetsid ./hop &\n";
        crate::harness::script(&lab.work(), "hop", hop);
        let record = lab.run(&lab.sh("for i in 1 2 3 4; do ./hop; done; exit 0"));
        assert_eq!(record.exit, Exit::Exited { code: 0 });
        assert!(record.survivors.is_empty(), "{record:?}");
        assert_eq!(crate::harness::marked(&record.attempt.to_string()), 0, "{tier:?}");
    }
}

#[test]
fn a_late_writer_is_dead_before_the_record() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        let artifact = lab.work().join("report");
        let script = "echo first > report; \
                      (setsid sh -c 'while :; do echo late > report.new; mv report.new report; done' >/dev/null 2>&1 &); \
                      until grep -q late report; do :; done; exit 0";
        let record = lab.run(&lab.sh(script));
        assert_eq!((record.exit.clone(), record.leaked.is_empty()), (Exit::Exited { code: 0 }, false));
        std::fs::write(&artifact, "judged").unwrap();
        assert_eq!(crate::harness::marked(&record.attempt.to_string()), 0);
        // Another attempt takes longer than the writer's loop; it would have written by now.
        lab.run(&lab.sh("sleep 0.05"));
        assert_eq!(std::fs::read_to_string(&artifact).unwrap(), "judged", "{tier:?}");
    }
}

#[test]
fn children_on_their_way_out_are_no_leak() {
    let mut lab = Lab::new();
    let record = lab.run(&lab.sh("sleep 0.02 & exit 0"));
    assert_eq!((record.exit.clone(), record.leaked.len()), (Exit::Exited { code: 0 }, 0), "{record:?}");
    let record = lab.run(&lab.sh("(sleep 0.02; echo last words) & exit 0"));
    assert_eq!(lab.stdout(&record), b"last words\n");
}

#[test]
fn who_left_the_tree_is_found_by_the_mark() {
    let mut lab = Lab::with(KillTier::Walk, Path::new(ORCH));
    let mut pids = Words::open(&lab.fifo("pids"));
    let launch = lab.sh("sleep 300 & exit 0");
    // Started by somebody else, as a multiplexer or a service manager would, with the environment of the attempt.
    let mut stranger = crate::harness::marked_stranger(&launch.attempt.to_string(), &lab.work().join("pids"));
    let pid = pids.pid();
    assert!(lives(pid));
    let record = lab.run(&launch);
    assert!(record.leaked.iter().any(|leaked| leaked.pid == pid), "{record:?}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&stranger.wait().unwrap()), Some(9));
}

#[test]
fn bystanders_are_left_alone() {
    let mut bystander = crate::harness::marked_stranger(&format!("not-{MARK}"), Path::new("/dev/null"));
    let pid = i32::try_from(bystander.id()).unwrap();
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        lab.run(&lab.sh("for i in 1 2 3; do setsid sleep 300 & done; exit 0"));
        assert!(lives(pid), "{tier:?}");
    }
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_child_without_descendants_costs_no_look_at_proc() {
    let lab = Lab::new();
    let work = lab.work();
    let trace = work.join("trace");
    let wrapper = crate::harness::script(
        &work,
        "traced",
        &format!(
            "#!/bin/sh\nexec {} -qq -o {} -e trace=openat,getdents64 {ORCH} \"$@\"\n",
            crate::harness::tool("strace", "strace").display(),
            trace.display(),
        ),
    );
    let mut traced = Lab::with(KillTier::Cgroup, &wrapper);
    for _ in 0..3 {
        assert_eq!(traced.run(&traced.launch(&["true"])).exit, Exit::Exited { code: 0 });
    }
    traced.supervisor.finish().unwrap();
    let calls = std::fs::read_to_string(trace).unwrap();
    let (_, after) = calls.split_once("stderr.log").expect("the supervisor opens its logs");
    let looks: Vec<&str> =
        after.lines().filter(|line| line.contains("\"/proc\"") || line.contains("/stat\"")).collect();
    // One reading of its own start time, before it is ready.
    assert!(looks.len() <= 1, "{looks:?}");
}
