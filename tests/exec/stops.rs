//! Limits and cancels.

use std::os::fd::AsFd as _;
use std::time::Duration;

use orch::domain::evidence::{Canceller, Exit, KillTier, Limit, Stop};
use orch::domain::pipeline::Limits;
use orch::exec::{Ending, Launch, Progress};

use crate::harness::{LIMITS, Lab, ORCH, TIERS, Words, lives, script, tool};
use std::io::Write as _;
use std::path::Path;

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn the_total_limit_fires_and_is_named() {
    let mut lab = Lab::new();
    let limits = Limits { total: SHORT, ..LIMITS };
    let record = lab.run(&Launch { limits, ..lab.sh("while echo on; do sleep 0.01; done") });
    assert_eq!(record.exit, Exit::TimedOut { limit: Limit::Total, after: SHORT });
    assert_eq!((record.began, record.stop), (true, Stop::Asked));
    assert!(record.elapsed >= SHORT && record.elapsed < Duration::from_secs(20));
    assert!(lab.stdout(&record).starts_with(b"on\non\n"));
}

#[test]
fn the_idle_limit_counts_from_the_last_byte_on_either_stream() {
    let mut lab = Lab::new();
    let limits = Limits { idle: Duration::from_millis(500), ..LIMITS };
    let script = "for i in 1 2 3 4; do sleep 0.25; echo out; sleep 0.25; echo err >&2; done; exec sleep 100";
    let record = lab.run(&Launch { limits, ..lab.sh(script) });
    assert_eq!(record.exit, Exit::TimedOut { limit: Limit::Idle, after: Duration::from_millis(500) });
    assert_eq!(lab.stderr(&record), b"err\nerr\nerr\nerr\n");
    assert!(record.elapsed >= Duration::from_millis(2500));
}

#[test]
fn the_start_limit_fires_when_execve_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("work/slow");
    // Holds back the one system call that names this file, as a dead file server would.
    let wrapper = script(
        dir.path(),
        "held-back",
        &format!(
            "#!/bin/sh\nexec {} -qq -f -o /dev/null -P {} -e inject=execve:delay_enter=5s {ORCH} \"$@\"\n",
            tool("strace", "strace").display(),
            slow.display(),
        ),
    );
    let mut lab = Lab::within(dir, KillTier::Walk, &wrapper);
    std::fs::copy("/bin/true", &slow).unwrap();
    let limits = Limits { start: SHORT, ..LIMITS };
    let record = lab.run(&Launch { limits, ..lab.launch(&[slow.to_str().unwrap()]) });
    assert_eq!(record.exit, Exit::TimedOut { limit: Limit::Start, after: SHORT });
    assert_eq!((record.began, record.stop), (false, Stop::Killed));
    assert!(record.elapsed < Duration::from_secs(20), "{:?}", record.elapsed);
    // The tracer also holds back the death of what it has stopped: a process that cannot be killed. It is named, and
    // the next attempt is not blamed for it.
    let next = lab.run(&lab.sh("exit 3"));
    assert_eq!((next.exit, next.leaked, next.survivors), (Exit::Exited { code: 3 }, Vec::new(), Vec::new()));
}

#[test]
fn whoever_ignores_the_request_is_killed_after_the_grace() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        let mut ready = Words::open(&lab.fifo("ready"));
        let limits = Limits { grace: SHORT, ..LIMITS };
        let launch = Launch { limits, ..lab.sh("trap 'echo heard' TERM; echo > ready; while :; do sleep 0.01; done") };
        let (stop, mut ask) = std::io::pipe().unwrap();
        let record = lab.during(&launch, Some(stop.as_fd()), || {
            ready.next();
            ask.write_all(b"x").unwrap();
        });
        assert_eq!(record.exit, Exit::Cancelled { by: Canceller::Request });
        assert_eq!(record.stop, Stop::Killed);
        assert_eq!(lab.stdout(&record), b"heard\n", "asked once");
        assert!(record.elapsed >= SHORT && record.elapsed < Duration::from_secs(20));
    }
}

#[test]
fn whoever_obeys_is_not_waited_for() {
    let mut lab = Lab::new();
    let mut ready = Words::open(&lab.fifo("ready"));
    // A stopped process cannot obey before it is continued.
    let launch =
        lab.sh("trap 'echo bye; exit 0' TERM; (trap 'exit 0' TERM; echo > ready; kill -STOP 0; sleep 50) & wait; wait");
    let (stop, mut ask) = std::io::pipe().unwrap();
    let record = lab.during(&launch, Some(stop.as_fd()), || {
        ready.next();
        ask.write_all(b"x").unwrap();
    });
    assert_eq!(record.exit, Exit::Cancelled { by: Canceller::Request }, "its own exit 0 is ours");
    assert!(record.elapsed < LIMITS.grace, "{:?}", record.elapsed);
    assert_eq!(lab.stdout(&record), b"bye\n");
}

#[test]
fn a_second_request_kills_at_once_and_an_end_of_file_is_one() {
    let mut lab = Lab::new();
    let mut ready = Words::open(&lab.fifo("ready"));
    let launch = lab.sh("trap '' TERM; echo > ready; while :; do sleep 0.01; done");
    let (stop, ask) = std::io::pipe().unwrap();
    let mut told = Vec::new();
    lab.supervisor.launch(&launch).unwrap();
    std::thread::scope(|scope| {
        let mut ask = Some(ask);
        scope.spawn(move || {
            ready.next();
            ask.as_mut().unwrap().write_all(b"x").unwrap();
            drop(ask.take());
        });
        let ending =
            lab.supervisor.wait(Some(stop.as_fd()), Canceller::Shutdown, &mut |progress| told.push(progress)).unwrap();
        match ending {
            Ending::Ended(record) => {
                assert_eq!(record.exit, Exit::Cancelled { by: Canceller::Shutdown });
                assert_eq!(record.stop, Stop::Killed);
                assert!(record.elapsed < LIMITS.grace);
            }
            Ending::Lost(loss) => panic!("{loss:?}"),
        }
    });
    assert_eq!(told.iter().filter(|progress| **progress == Progress::Stopping).count(), 2, "{told:?}");
    assert!(told.iter().any(|progress| matches!(progress, Progress::Began { pid } if !lives(*pid))), "{told:?}");
}

#[test]
fn a_request_that_comes_too_late_changes_nothing() {
    let mut lab = Lab::new();
    for turn in 0..100 {
        let (stop, mut ask) = std::io::pipe().unwrap();
        ask.write_all(b"x").unwrap();
        let record = lab.during(&lab.sh("exit 5"), Some(stop.as_fd()), || ());
        let expected = match record.stop {
            Stop::Unasked => Exit::Exited { code: 5 },
            Stop::Asked | Stop::Killed => Exit::Cancelled { by: Canceller::Request },
        };
        assert_eq!(record.exit, expected, "turn {turn}");
    }
}

#[test]
fn a_signal_to_the_supervisor_is_a_cancel_by_shutdown() {
    for signal in ["TERM", "INT", "QUIT"] {
        let mut lab = Lab::new();
        let supervisor = lab.supervisor.pid();
        let mut ready = Words::open(&lab.fifo("ready"));
        let launch = lab.sh("echo > ready; exec sleep 100");
        let record = lab.during(&launch, None, || {
            ready.next();
            crate::harness::signal(supervisor, "HUP");
            crate::harness::signal(supervisor, signal);
        });
        assert_eq!(record.exit, Exit::Cancelled { by: Canceller::Shutdown }, "{signal}");
        let next = lab.run(&lab.sh("exit 2"));
        assert_eq!(next.exit, Exit::Exited { code: 2 }, "it works on");
    }
}

#[test]
fn a_limit_does_not_reach_into_the_next_attempt() {
    let mut lab = Lab::new();
    let limits = Limits { total: SHORT, ..LIMITS };
    let first = lab.run(&Launch { limits, ..lab.sh("exec sleep 100") });
    assert!(matches!(first.exit, Exit::TimedOut { .. }));
    assert_eq!(lab.run(&lab.sh("exit 4")).exit, Exit::Exited { code: 4 });
}

#[test]
fn an_end_and_a_limit_in_the_same_moment_give_one_of_the_two() {
    let mut lab = Lab::new();
    for turn in 0..100 {
        let limits = Limits { total: Duration::from_micros(500 + turn * 20), ..LIMITS };
        let record = lab.run(&Launch { limits, ..lab.launch(&["true"]) });
        let expected = match record.stop {
            Stop::Unasked => Exit::Exited { code: 0 },
            Stop::Asked | Stop::Killed => Exit::TimedOut { limit: Limit::Total, after: limits.total },
        };
        assert_eq!(record.exit, expected, "turn {turn}");
    }
}

#[test]
fn whoever_waits_hears_that_it_goes_on_in_the_steps_he_asked_for() {
    let mut lab = Lab::new();
    let mut go = std::fs::File::options().read(true).write(true).open(lab.fifo("go")).unwrap();
    let step = Duration::from_millis(20);
    let mut heard = Vec::new();
    lab.supervisor.tick_every(Some(step));
    lab.supervisor.launch(&lab.sh("read word < go")).unwrap();
    let ending = lab.supervisor.wait(None, Canceller::Request, &mut |progress| match progress {
        Progress::Working { elapsed } => {
            heard.push(elapsed);
            if heard.len() == 3 {
                go.write_all(b"on\n").unwrap();
            }
        }
        Progress::Began { .. } | Progress::Stopping => {}
    });
    assert!(matches!(ending, Ok(Ending::Ended(record)) if record.exit == Exit::Exited { code: 0 }));
    assert!(heard.len() >= 3 && heard.is_sorted() && heard.first() >= Some(&step), "{heard:?}");
}
