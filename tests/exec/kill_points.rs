//! The supervisor killed at every call that changes something, one after the other: an attempt's end is the true one
//! or lost, and what is called never started has not run.

use std::path::Path;

use orch::domain::evidence::{Canceller, Exit, LostReason};
use orch::exec::{Begun, Ending, Launch, Supervisor};

use crate::harness::{Lab, ORCH, identity, script, tool};

/// More than two attempts make of any one call.
const TURNS_MAX: u32 = 100;
const CALLS: [&str; 13] = [
    "setsid",
    "flock",
    "fallocate",
    "mkdir",
    "rename",
    "pwrite64",
    "pipe2",
    "clone3",
    "read",
    "sendto",
    "splice",
    "wait4",
    "rmdir",
];

#[test]
fn at_every_call() {
    let mut deaths = 0;
    for call in CALLS {
        let whole = (1..TURNS_MAX).find(|turn| {
            let survived = survives(call, *turn);
            deaths += u32::from(!survived);
            survived
        });
        assert!(whole.is_some(), "{call} is made more than {TURNS_MAX} times");
    }
    assert!(deaths > 60, "only {deaths} deaths");
}

/// Kills the supervisor when it makes a call for the n-th time; whether it came through two attempts.
fn survives(call: &str, turn: u32) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let wrapper = script(
        dir.path(),
        "killed",
        &format!(
            "#!/bin/sh\nexec {} -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={turn} {ORCH} \"$@\"\n",
            tool("strace", "strace").display(),
        ),
    );
    std::fs::create_dir(dir.path().join("run")).unwrap();
    std::fs::create_dir(dir.path().join("work")).unwrap();
    let run_dir = dir.path().join("run");
    let Ok(supervisor) = Supervisor::start(&wrapper, &run_dir) else {
        goes_on(&run_dir);
        return false;
    };
    let mut lab = Lab { supervisor, dir };
    let first = lab.sh("echo >> ran; exit 3");
    let second = lab.sh("echo >> ran-again; exit 4");
    let point = format!("{call} {turn}");
    // After a death there is nobody to ask for the second.
    let survived = check(&mut lab, &first, "ran", 3, &point) && check(&mut lab, &second, "ran-again", 4, &point);
    lab.supervisor.finish().unwrap();
    goes_on(&run_dir);
    survived
}

/// Wherever the last supervisor died, the next one starts and clears up behind it.
fn goes_on(run_dir: &Path) {
    let before = run_dir.join("supervisor.json").exists().then(|| identity(run_dir));
    Supervisor::start(Path::new(ORCH), run_dir).unwrap().finish().unwrap();
    let leaf = before.as_ref().and_then(|identity| identity["leaf"].as_str());
    assert!(leaf.is_none_or(|leaf| !Path::new(leaf).exists()), "{leaf:?}");
}

/// Whether the attempt's end was seen.
fn check(lab: &mut Lab, launch: &Launch, ledger: &str, code: u8, point: &str) -> bool {
    lab.supervisor.launch(launch).unwrap();
    let ending = lab.supervisor.wait(None, Canceller::Request, &mut |_| ()).unwrap();
    let runs = runs(&lab.work().join(ledger));
    match ending {
        Ending::Ended(record) => {
            assert_eq!((record.exit, runs), (Exit::Exited { code }, 1), "point {point}");
            // Whoever hears of an end may die: it stands in the file before it is told.
            let written = std::fs::read_to_string(lab.run_dir().join("exits.jsonl")).unwrap();
            let line = format!("\"ended\":{{\"version\":1,\"attempt\":\"{}\"", launch.attempt);
            assert!(written.contains(&line), "point {point}: the end was told and not written");
            true
        }
        Ending::Lost(loss) => {
            assert!(loss.swept.survivors.is_empty(), "point {point}: {loss:?}");
            match (loss.reason, loss.begun) {
                (LostReason::NeverStarted, Begun::No) => assert_eq!(runs, 0, "point {point}"),
                (LostReason::SupervisorDied, Begun::Unknown | Begun::Yes) => assert!(runs <= 1, "point {point}"),
                other => panic!("point {point}: {other:?}"),
            }
            false
        }
    }
}

fn runs(ledger: &Path) -> usize {
    std::fs::read(ledger).map_or(0, |lines| lines.len())
}
