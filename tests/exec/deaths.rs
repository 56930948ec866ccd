//! What is left when the supervisor, the runner, or both are killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use orch::domain::evidence::{Canceller, Exit, KillTier, LostReason};
use orch::domain::id::{AttemptId, Nonce};
use orch::domain::plan::Environment;
use orch::exec::{
    Begun, BootId, EXITS_FILE, Ending, Launch, Loss, Progress, Recovered, Supervisor, recover, stop_orphan,
};

use crate::harness::{Lab, ORCH, TIERS, Words, identity, lives, marked, signal};

const FAKE_RUNNER: &str = "ORCH_TEST_FAKE_RUNNER";

fn here() -> BootId {
    BootId::current().unwrap()
}

fn settled(run_dir: &Path, attempt: AttemptId, nonce: Nonce) -> Ending {
    settled_since(run_dir, attempt, nonce, &here())
}

fn settled_since(run_dir: &Path, attempt: AttemptId, nonce: Nonce, boot: &BootId) -> Ending {
    match recover(run_dir, attempt, nonce, boot, None, None).unwrap() {
        Recovered::Settled(ending) => ending,
        Recovered::Living { pid } => panic!("nobody asked to stop waiting for {pid:?}"),
    }
}

fn lost(ending: Ending) -> Loss {
    match ending {
        Ending::Lost(loss) => loss,
        Ending::Ended(record) => panic!("{record:?}"),
    }
}

#[test]
fn a_supervisor_that_is_killed_leaves_nothing_and_the_attempt_is_lost() {
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        let supervisor = lab.supervisor.pid();
        let mut pids = Words::open(&lab.fifo("pids"));
        let launch =
            lab.sh("setsid sh -c 'echo $$ > pids; exec sleep 300' & echo half; echo $$ > pids; exec sleep 300");
        lab.supervisor.launch(&launch).unwrap();
        let mut left = Vec::new();
        let ending = std::thread::scope(|scope| {
            scope.spawn(|| {
                left = vec![pids.pid(), pids.pid()];
                signal(supervisor, "KILL");
            });
            lab.supervisor.wait(None, Canceller::Request, &mut |_| ()).unwrap()
        });
        let loss = lost(ending);
        assert_eq!((loss.reason, loss.begun), (LostReason::SupervisorDied, Begun::Yes));
        assert!(loss.swept.survivors.is_empty());
        assert!(left.iter().all(|pid| !lives(*pid)), "{tier:?}: {left:?} {loss:?}");
        assert_eq!(loss.stdout.start, 0);
        // The same answer again, from the files alone.
        let again = lost(settled(&lab.run_dir(), launch.attempt, launch.nonce));
        assert_eq!((again.reason, again.begun), (loss.reason, loss.begun));
        // And the run goes on under a new one.
        let mut next = Lab::within(lab.dir, tier, Path::new(ORCH));
        assert_eq!(next.run(&next.sh("exit 6")).exit, Exit::Exited { code: 6 });
    }
}

#[test]
fn a_supervisor_that_dies_between_attempts_never_started_the_next() {
    let mut lab = Lab::new();
    signal(lab.supervisor.pid(), "KILL");
    let launch = lab.sh("echo > ran");
    lab.supervisor.launch(&launch).unwrap();
    let loss = lost(lab.supervisor.wait(None, Canceller::Request, &mut |_| ()).unwrap());
    assert_eq!((loss.reason, loss.begun), (LostReason::NeverStarted, Begun::No));
    assert!(!lab.work().join("ran").exists());
}

/// Not a test: the runner that others kill. Launches what its environment says and waits.
#[test]
fn fake_runner() {
    let Ok(plan) = std::env::var(FAKE_RUNNER) else { return };
    let [run_dir, work, attempt, nonce, script] = plan.splitn(5, '\n').collect::<Vec<_>>()[..] else {
        panic!("{plan}")
    };
    let mut supervisor = Supervisor::start_with(Path::new(ORCH), Path::new(run_dir), KillTier::Walk).unwrap();
    let launch = Launch {
        attempt: attempt.parse().unwrap(),
        nonce: nonce.parse().unwrap(),
        ..crate::harness::launch(Path::new(work), &["sh", "-c", script])
    };
    supervisor.launch(&launch).unwrap();
    std::fs::write(Path::new(work).join("supervisor.pid"), supervisor.pid().to_string()).unwrap();
    supervisor.wait(None, Canceller::Request, &mut |_| ()).unwrap();
}

struct Orphaned {
    dir: tempfile::TempDir,
    attempt: AttemptId,
    nonce: Nonce,
    runner: Child,
}

impl Orphaned {
    #[expect(clippy::disallowed_methods, reason = "the test plays a runner that is killed")]
    fn start(script: &str) -> (Self, Words) {
        let dir = tempfile::tempdir().unwrap();
        let (run_dir, work) = (dir.path().join("run"), dir.path().join("work"));
        std::fs::create_dir(&run_dir).unwrap();
        std::fs::create_dir(&work).unwrap();
        let words = Words::open(&crate::harness::fifo(&work.join("words")));
        crate::harness::fifo(&work.join("go"));
        let attempt = AttemptId::new(uuid::Uuid::now_v7());
        let nonce = Nonce::new(uuid::Uuid::new_v4());
        let plan = format!("{}\n{}\n{attempt}\n{nonce}\n{script}", run_dir.display(), work.display());
        let runner = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "deaths::fake_runner", "--nocapture"])
            .env(FAKE_RUNNER, plan)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (Self { dir, attempt, nonce, runner }, words)
    }

    fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn kill_runner(&mut self) {
        self.runner.kill().unwrap();
        self.runner.wait().unwrap();
    }

    fn supervisor(&self) -> u32 {
        identity(&self.run_dir())["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// Lets the script go on.
    fn go(&self) {
        std::fs::write(self.dir.path().join("work/go"), "\n").unwrap();
    }
}

#[test]
fn a_result_outlives_its_runner() {
    let (mut orphaned, mut words) = Orphaned::start("echo begun > words; read x < go; echo true result; exit 9");
    assert_eq!(words.next(), "begun");
    orphaned.kill_runner();
    let ending = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| settled(&orphaned.run_dir(), orphaned.attempt, orphaned.nonce));
        orphaned.go();
        waiting.join().unwrap()
    });
    match ending {
        Ending::Ended(record) => {
            assert_eq!(record.exit, Exit::Exited { code: 9 });
            assert_eq!(record.stdout.bytes, 12);
        }
        Ending::Lost(loss) => panic!("{loss:?}"),
    }
    assert!(!lives(i32::try_from(orphaned.supervisor()).unwrap()), "with nobody to serve it has ended");
    let log = std::fs::read_to_string(orphaned.run_dir().join(EXITS_FILE)).unwrap();
    assert_eq!(log.matches("ended-at").count(), 1);
}

#[test]
fn limits_hold_without_a_runner_and_waiting_can_be_broken_off() {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    let (mut orphaned, mut words) = Orphaned::start("echo begun > words; exec sleep 300");
    words.next();
    orphaned.kill_runner();
    let (stop, mut ask) = std::io::pipe().unwrap();
    ask.write_all(b"x").unwrap();
    let found =
        recover(&orphaned.run_dir(), orphaned.attempt, orphaned.nonce, &here(), None, Some(stop.as_fd())).unwrap();
    assert_eq!(found, Recovered::Living { pid: Some(i32::try_from(orphaned.supervisor()).unwrap()) });
    assert!(stop_orphan(&orphaned.run_dir()));
    match settled(&orphaned.run_dir(), orphaned.attempt, orphaned.nonce) {
        Ending::Ended(record) => assert_eq!(record.exit, Exit::Cancelled { by: Canceller::Shutdown }),
        Ending::Lost(loss) => panic!("{loss:?}"),
    }
    assert!(!stop_orphan(&orphaned.run_dir()), "nobody is there any more");
}

#[test]
fn runner_and_supervisor_killed_together() {
    let script = "setsid sh -c 'echo $$ > words; exec sleep 300' & echo $$ > words; exec sleep 300";
    let (mut orphaned, mut words) = Orphaned::start(script);
    let pids = [words.pid(), words.pid()];
    let supervisor = orphaned.supervisor();
    orphaned.runner.kill().unwrap();
    signal(supervisor, "KILL");
    orphaned.runner.wait().unwrap();
    let loss = lost(settled(&orphaned.run_dir(), orphaned.attempt, orphaned.nonce));
    assert_eq!((loss.reason, loss.begun), (LostReason::SupervisorDied, Begun::Yes));
    assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
    assert_eq!(marked(&orphaned.attempt.to_string()), 0);
}

#[test]
fn a_record_of_another_nonce_or_boot_is_not_believed() {
    let mut lab = Lab::new();
    let launch = lab.sh("exit 0");
    let record = lab.run(&launch);
    assert_eq!(record.exit, Exit::Exited { code: 0 });
    let run_dir = lab.run_dir();
    lab.supervisor.finish().unwrap();
    assert_eq!(settled(&run_dir, launch.attempt, launch.nonce), Ending::Ended(Box::new(record)));
    let stranger = Nonce::new(uuid::Uuid::new_v4());
    assert_eq!(lost(settled(&run_dir, launch.attempt, stranger)).reason, LostReason::BadRecord);
    let unknown = AttemptId::new(uuid::Uuid::now_v7());
    assert_eq!(lost(settled(&run_dir, unknown, stranger)).reason, LostReason::NeverStarted);

    let before = BootId::from_text("11111111-2222-3333-4444-555555555555");
    // Records are not synced: after a power loss their absence does not prove that nothing was started.
    let loss = lost(settled_since(&run_dir, unknown, stranger, &before));
    assert_eq!((loss.reason, loss.begun), (LostReason::Reboot, Begun::Unknown));
}

/// Its suite stopped it, and its runner is dead: nobody's limits run any more (RELIABILITY §5, held and silent).
#[test]
fn a_supervisor_that_is_stopped_without_a_runner_is_woken_or_killed() {
    let (mut orphaned, mut words) = Orphaned::start("echo begun > words; exec sleep 300");
    words.next();
    orphaned.kill_runner();
    let supervisor = orphaned.supervisor();
    signal(supervisor, "STOP");
    assert!(stop_orphan(&orphaned.run_dir()), "a request to stop wakes it");
    match settled(&orphaned.run_dir(), orphaned.attempt, orphaned.nonce) {
        Ending::Ended(record) => assert_eq!(record.exit, Exit::Cancelled { by: Canceller::Shutdown }),
        Ending::Lost(loss) => panic!("{loss:?}"),
    }

    // Nobody asks; the attempt's limits are over. The suite goes on stopping it, so it never wakes for long.
    let (mut orphaned, mut words) = Orphaned::start("echo begun > words; while :; do kill -STOP $PPID; done");
    words.next();
    orphaned.kill_runner();
    let patience = Some(std::time::Duration::from_millis(50));
    let found = recover(&orphaned.run_dir(), orphaned.attempt, orphaned.nonce, &here(), patience, None).unwrap();
    let Recovered::Settled(ending) = found else { panic!("{found:?}") };
    assert_eq!(lost(ending).reason, LostReason::SupervisorDied);
    assert!(!lives(i32::try_from(orphaned.supervisor()).unwrap()));
    assert_eq!(marked(&orphaned.attempt.to_string()), 0);
}

/// The pid went to somebody else within the same clock tick: only the pidfd's inode tells them apart.
#[test]
fn a_stranger_with_the_pid_and_the_start_of_a_supervisor_is_not_it() {
    let lab = Lab::new();
    let run_dir = lab.run_dir();
    let card = run_dir.join("supervisor.json");
    let mut told = identity(&run_dir);
    assert!(orch::exec::living_supervisor(&run_dir).is_some());
    told["pidfd"] = (told["pidfd"].as_u64().unwrap() + 1).into();
    std::fs::write(&card, told.to_string()).unwrap();
    assert_eq!(orch::exec::living_supervisor(&run_dir), None);
    assert!(!stop_orphan(&run_dir), "the lock is held, and nobody is signalled");
    assert!(lives(i32::try_from(lab.supervisor.pid()).unwrap()));
    // Form 1 had no inode: pid and start have to do.
    told["version"] = 1.into();
    told.as_object_mut().unwrap().remove("pidfd");
    std::fs::write(&card, told.to_string()).unwrap();
    assert!(orch::exec::living_supervisor(&run_dir).is_some());
    // A newer one is refused, and nothing is decided.
    told["version"] = 3.into();
    std::fs::write(&card, told.to_string()).unwrap();
    let (attempt, nonce) = (AttemptId::new(uuid::Uuid::now_v7()), Nonce::new(uuid::Uuid::new_v4()));
    let refused = recover(&run_dir, attempt, nonce, &here(), None, None).unwrap_err();
    assert!(refused.to_string().contains("form 3"), "{refused}");
}

/// After a restart every number and mark is somebody else's (fault F5).
#[test]
fn nobody_is_signalled_for_an_attempt_of_an_earlier_boot() {
    let mut lab = Lab::new();
    let mut words = Words::open(&lab.fifo("words"));
    let launch = lab.launch(&["sleep", "300"]);
    lab.supervisor.launch(&launch).unwrap();
    let (run_dir, supervisor) = (lab.run_dir(), lab.supervisor.pid());
    // It says so when it has written it.
    let mut kill = |progress| {
        if matches!(progress, Progress::Began { .. }) {
            signal(supervisor, "KILL");
        }
    };
    lab.supervisor.wait(None, Canceller::Request, &mut kill).unwrap();
    let mut stranger = crate::harness::marked_stranger(&launch.attempt.to_string(), &lab.work().join("words"));
    let pid = words.pid();
    let before = BootId::from_text("11111111-2222-3333-4444-555555555555");
    let loss = lost(settled_since(&run_dir, launch.attempt, launch.nonce, &before));
    assert_eq!((loss.reason, loss.begun), (LostReason::Reboot, Begun::Yes));
    assert!(loss.swept.killed.is_empty() && lives(pid));
    // In the boot that it began in, the same process is a leftover.
    let loss = lost(settled(&run_dir, launch.attempt, launch.nonce));
    assert_eq!(loss.swept.killed.iter().map(|killed| killed.pid).collect::<Vec<_>>(), [pid]);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&stranger.wait().unwrap()), Some(9));
}

/// The store knows of an attempt whose run folder went with a power loss, or with somebody who tidied up.
#[test]
fn without_a_run_folder_nobody_knows() {
    let gone = tempfile::tempdir().unwrap().path().join("run");
    let (attempt, nonce) = (AttemptId::new(uuid::Uuid::now_v7()), Nonce::new(uuid::Uuid::new_v4()));
    let before = BootId::from_text("11111111-2222-3333-4444-555555555555");
    for (boot, reason) in [(here(), LostReason::BadRecord), (before, LostReason::Reboot)] {
        let loss = lost(settled_since(&gone, attempt, nonce, &boot));
        assert_eq!((loss.reason, loss.begun), (reason, Begun::Unknown));
    }
    assert!(!gone.exists());
}

#[test]
fn a_supervisor_ends_with_its_idle_runner_and_leaves_no_cgroup() {
    let lab = Lab::new();
    let leaf = lab.leaf();
    lab.supervisor.finish().unwrap();
    assert!(leaf.is_none_or(|leaf| !leaf.exists()));
}

#[test]
fn a_run_inside_an_attempt_goes_with_it() {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    for tier in TIERS {
        let mut lab = Lab::with(tier, Path::new(ORCH));
        let (run_dir, work) = (lab.dir.path().join("inner-run"), lab.dir.path().join("inner-work"));
        std::fs::create_dir(&run_dir).unwrap();
        std::fs::create_dir(&work).unwrap();
        let mut words = Words::open(&crate::harness::fifo(&work.join("words")));
        let (attempt, nonce) = (AttemptId::new(uuid::Uuid::now_v7()), Nonce::new(uuid::Uuid::new_v4()));
        let script = "setsid sh -c 'echo $$ > words; exec sleep 300' & echo $$ > words; exec sleep 300";
        let plan = format!("{}\n{}\n{attempt}\n{nonce}\n{script}", run_dir.display(), work.display());
        let exe = std::env::current_exe().unwrap();
        let launch = Launch {
            env: Environment::new([(FAKE_RUNNER.to_owned(), plan)]),
            ..lab.launch(&[exe.to_str().unwrap(), "--exact", "deaths::fake_runner"])
        };
        let (stop, mut ask) = std::io::pipe().unwrap();
        let mut pids = [0, 0];
        let record = lab.during(&launch, Some(stop.as_fd()), || {
            pids = [words.pid(), words.pid()];
            ask.write_all(b"xx").unwrap();
        });
        assert!(matches!(record.exit, Exit::Cancelled { .. }), "{tier:?}: {record:?}");
        assert!(record.survivors.is_empty() && pids.iter().all(|pid| !lives(*pid)), "{tier:?}: {pids:?} {record:?}");
        // The inner supervisor was killed or obeyed; in both cases its attempt has an answer.
        settled(&run_dir, attempt, nonce);
    }
}
