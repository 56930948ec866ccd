//! Pids that come again, at once and for somebody else: nobody is taken for alive, and no stranger gets a signal (fault F7,
//! goal G8).
//!
//! Runs in a PID namespace of its own, where only its own children take numbers, and where the next one can be chosen.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use orch::domain::evidence::Canceller;
use orch::domain::id::Nonce;
use orch::exec::{
    BootId, Ending, Recovered, SUPERVISOR_LOCK_FILE, ask_to_stop, living_supervisor, recover, stop_orphan,
};
use orch::workspace::holder::{Holder, Liveness};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use crate::draw::{Size, again};
use crate::harness::{Lab, ORCH, TIERS, Words, identity, signal};
use crate::support::{PASSES, Shop, command};

/// Says to the inner process that it has its own numbers.
const INNER: &str = "ORCH_LAB_OWN_PIDS";
const NEXT_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// How often a number is asked for; another thread of the test program may take it first.
const TRIES_MAX: u32 = 50;
/// Longest wait for a decoy to have blocked its signals, in looks a millisecond apart.
const LOOKS_MAX: u32 = 20_000;

#[test]
fn no_pid_that_comes_again_is_taken_for_its_owner() {
    if std::env::var_os(INNER).is_some() {
        return rounds();
    }
    let root = rustix::process::geteuid().is_root();
    let unshare = || {
        let mut unshare = command("unshare");
        unshare.args(if root { &[] as &[&str] } else { &["--map-root-user"] }).args([
            "--pid",
            "--fork",
            "--mount-proc",
        ]);
        unshare
    };
    if !unshare()
        .args(["sh", "-c", &format!("echo 100 > {NEXT_PID}")])
        .output()
        .is_ok_and(|tried| tried.status.success())
    {
        eprintln!("left out: no PID namespace with numbers of its own can be made here");
        return;
    }
    let test = "pid_reuse::no_pid_that_comes_again_is_taken_for_its_owner";
    let output = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success() && said.contains("test result: ok. 1 passed"), "{said}");
    said.lines().filter(|line| line.contains("forced reuses")).for_each(|line| eprintln!("{line}"));
}

/// Which start the stranger has in what was written down.
#[derive(Debug, Clone, Copy)]
enum Tick {
    /// The one that was written, some ticks before.
    Other,
    /// The very same: the number came again at once.
    Same,
}

fn rounds() {
    let wanted = Size::wanted().of(24, 500);
    let begun = Instant::now();
    let shop = Shop::running(PASSES);
    shop.orch("pipeline run --quiet --task t").run().exits(0);
    let mut found = Vec::new();
    let mut reuses = 0;
    let mut round = 0_usize;
    while reuses < wanted {
        let tick = [Tick::Other, Tick::Same][round % 2];
        let done = if round % 3 == 2 { of_a_holder(&shop, tick) } else { of_a_supervisor(round, tick) };
        match done {
            Ok(forced) => reuses += forced,
            Err(what) => {
                found.push(format!("round {round}, {tick:?}: {what}"));
                reuses += 1;
            }
        }
        round += 1;
    }
    eprintln!(
        "{reuses} forced reuses in {round} rounds: {} false alive or stray signals, {:.0} s",
        found.len(),
        begun.elapsed().as_secs_f64()
    );
    let repeat = again(&[("ORCH_LAB", &"long")], "no_pid_that_comes_again");
    assert!(found.is_empty(), "VIOLATION {}\nrepeat: {repeat}", found.join("\nVIOLATION "));
}

/// A supervisor was killed, its number and its child's are strangers', and something still holds its lock.
fn of_a_supervisor(round: usize, tick: Tick) -> Result<usize, String> {
    let mut lab = Lab::with(TIERS[round / 2 % 2], Path::new(ORCH));
    let run_dir = lab.run_dir();
    let mut words = Words::open(&lab.fifo("words"));
    let launch = lab.sh("echo $$ > words; exec sleep 300");
    let supervisor = lab.supervisor.pid();
    lab.supervisor.launch(&launch).unwrap();
    let suite = words.pid();
    signal(supervisor, "KILL");
    let ending = lab.supervisor.wait(None, Canceller::Request, &mut |_| ()).unwrap();
    let Ending::Lost(_) = ending else { return Err(format!("{ending:?}")) };
    // We are the first process here, and so the parent of what the dead one left; its number is free when it is reaped.
    waitpid(Pid::from_raw(suite), WaitOptions::empty()).unwrap();
    let supervisor = i32::try_from(supervisor).unwrap();
    let strangers = [Stranger::with(supervisor)?, Stranger::with(suite)?];

    let mut told = identity(&run_dir);
    if let Tick::Same = tick {
        told["started"] = strangers[0].started().into();
        fs::write(run_dir.join("supervisor.json"), told.to_string()).unwrap();
    }
    let (attempt, nonce, boot) = (launch.attempt, launch.nonce, BootId::current().unwrap());
    let lock = OpenOptions::new().write(true).open(run_dir.join(SUPERVISOR_LOCK_FILE)).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    if let Some(pid) = living_supervisor(&run_dir) {
        return Err(format!("{pid} is taken for the supervisor"));
    }
    if stop_orphan(&run_dir) {
        return Err("somebody was asked to stop".to_owned());
    }
    // Nobody may be woken or killed, though the time is over.
    let (now, closed) = std::io::pipe().unwrap();
    drop(closed);
    let found = recover(&run_dir, attempt, nonce, &boot, Some(Duration::ZERO), Some(now.as_fd()));
    match found {
        Ok(Recovered::Living { pid: None }) => {}
        other => return Err(format!("recovery says {other:?}")),
    }
    drop(lock);
    match recover(&run_dir, attempt, nonce, &boot, None, None) {
        Ok(Recovered::Settled(Ending::Lost(loss)))
            if loss.swept.killed.is_empty() && loss.swept.survivors.is_empty() => {}
        other => return Err(format!("recovery swept: {other:?}")),
    }
    strangers.iter().try_for_each(Stranger::is_well)?;
    Ok(strangers.len())
}

/// The holder of a task's lock was killed, and its number is a stranger's.
fn of_a_holder(shop: &Shop, tick: Tick) -> Result<usize, String> {
    let owner = Stranger::start();
    let mut card = Holder {
        pid: owner.pid(),
        start_ticks: owner.started(),
        pidfd: Some(pidfd_inode(owner.pid())),
        ..Holder::this_process(Nonce::new(uuid::Uuid::new_v4()), Timestamp::now(), &["orch".to_owned()])
    };
    if card.liveness() != Liveness::Alive {
        return Err(format!("a living holder is {:?}", card.liveness()));
    }
    let pid = owner.pid();
    drop(owner);
    let stranger = Stranger::with(pid)?;
    if let Tick::Same = tick {
        card.start_ticks = stranger.started();
    }
    if card.liveness() != Liveness::Gone {
        return Err(format!("a dead holder is {:?}", card.liveness()));
    }
    if ask_to_stop(card.pid, card.start_ticks, card.pidfd) {
        return Err("somebody was asked to stop".to_owned());
    }
    fs::write(shop.state().join("locks/t.json"), serde_json::to_vec(&card).unwrap()).unwrap();
    let ended = shop.orch("unlock t --force").run();
    if ended.code() != Some(0) || !ended.stdout().contains("its holder is gone") {
        return Err(format!("unlock: {ended}"));
    }
    stranger.is_well()?;
    Ok(1)
}

fn pidfd_inode(pid: i32) -> u64 {
    File::from(pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()).metadata().unwrap().ino()
}

/// A process of nobody's that blocks every signal, so that each one it gets stays to be seen.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        let stranger =
            Self(command("env").args(["--block-signal", "sleep", "300"]).stdin(Stdio::null()).spawn().unwrap());
        let mut looks = 0;
        while stranger.mask("SigBlk") == 0 {
            looks += 1;
            assert!(looks < LOOKS_MAX, "it does not block its signals");
            rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 })).unwrap();
        }
        stranger
    }

    /// One with this number, which is free.
    fn with(pid: i32) -> Result<Self, String> {
        for _ in 0..TRIES_MAX {
            fs::write(NEXT_PID, (pid - 1).to_string()).unwrap();
            let stranger = Self::start();
            if stranger.pid() == pid {
                return Ok(stranger);
            }
        }
        Err(format!("the number {pid} does not come again"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// A set of signals from proc(5) `status`.
    fn mask(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    }

    fn stat(&self) -> Vec<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect()
    }

    fn started(&self) -> u64 {
        self.stat()[19].parse().unwrap()
    }

    fn is_well(&self) -> Result<(), String> {
        let state = self.stat().remove(0);
        if matches!(state.as_str(), "Z" | "X" | "T") {
            return Err(format!("a stranger is in state {state}"));
        }
        match self.mask("SigPnd") | self.mask("ShdPnd") {
            0 => Ok(()),
            pending => Err(format!("a stranger got signals {pending:#x}")),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
