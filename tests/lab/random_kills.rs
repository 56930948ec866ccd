//! Random SIGKILLs of runners, of supervisors and of both, again and again in one recovery (goal G1).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::decoy::Decoy;
use crate::draw::{Draw, Size, again, number, seed};
use crate::oracle::{self, Done, Seen};
use crate::yard::{REFUSED, Watched, Word, Yard, children, is_locked_by_the_dead, supervisor};

/// Worktrees that are struck at the same time; one a core of the smallest machine.
const WORKERS: u64 = 2;
/// Kills in one recovery.
const KILLS_MAX: u64 = 5;
/// Rounds that share a store before the oracle looks at it.
const ROUNDS_A_STORE: u64 = 12;
/// How often a round is tried when it is repeated: its draws are the same, its races are not.
const REPEATS: u64 = 200;
/// What a first attempt does. A pass is likelier, so that there is a way to go on.
const WORDS: [Word; 9] =
    [Word::Pass, Word::Pass, Word::Pass, Word::Fail, Word::Net, Word::Absent, Word::Killed, Word::Slow, Word::Leaky];
/// Mean times from the start of a runner to its kill: short ones hit its start, long ones its end.
const MEANS_MS: [u64; 6] = [3, 10, 25, 50, 90, 160];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Runner,
    Supervisor,
    Both,
    /// The runner, everything it started and everything that started: as the kernel does when memory is short.
    Tree,
}

/// Kills that still have to be made, and those that were.
#[derive(Debug)]
struct Quota {
    wanted: [(Blow, u64); 4],
    made: [AtomicU64; 4],
}

impl Quota {
    fn new(runner: u64, supervisor: u64, both: u64, tree: u64) -> Self {
        let wanted = [(Blow::Runner, runner), (Blow::Supervisor, supervisor), (Blow::Both, both), (Blow::Tree, tree)];
        Self { wanted, made: Default::default() }
    }

    fn made(&self, index: usize) -> u64 {
        self.made[index].load(Ordering::Relaxed)
    }

    fn is_met(&self) -> bool {
        self.wanted.iter().enumerate().all(|(index, (_, wanted))| self.made(index) >= *wanted)
    }

    fn count(&self, blow: Blow) {
        let index = self.wanted.iter().position(|(other, _)| *other == blow).unwrap();
        self.made[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Whom to kill: as often as it is still wanted.
    fn draw(&self, draw: &mut Draw) -> Blow {
        let left: Vec<(Blow, u64)> = self
            .wanted
            .iter()
            .enumerate()
            .map(|(index, (blow, wanted))| (*blow, wanted.saturating_sub(self.made(index))))
            .collect();
        let mut at = draw.below(left.iter().map(|(_, left)| left).sum::<u64>().max(1));
        for (blow, left) in left {
            if at < left {
                return blow;
            }
            at -= left;
        }
        Blow::Runner
    }
}

#[test]
fn random_kills() {
    let size = Size::wanted();
    let quota = match size {
        Size::Short => Quota::new(60, 12, 6, 2),
        Size::Long => Quota::new(10_000, 2_000, 1_000, 200),
    };
    let begun = Instant::now();
    let found = Mutex::new(Vec::new());
    let total = Mutex::new(Seen::default());
    let one = number("ORCH_LAB_ROUND");
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (quota, found, total) = (&quota, &found, &total);
            scope.spawn(move || strike(worker, one, quota, found, total));
        }
    });
    let total = total.into_inner().unwrap();
    eprintln!(
        "random kills, seed {}: runner {}, supervisor {}, both {}, tree {}; {} tasks, {} attempts, {} lost with their supervisor; {} runs refused for the lock of a dead one; {:.0} s",
        seed(),
        quota.made(0),
        quota.made(1),
        quota.made(2),
        quota.made(3),
        total.tasks,
        total.attempts,
        total.lost,
        REFUSED.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f64(),
    );
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{} violations\n{}", found.len(), found.join("\n"));
}

/// Strikes until the quota is met, and has the oracle look at each store.
fn strike(worker: u64, one: Option<u64>, quota: &Quota, found: &Mutex<Vec<String>>, total: &Mutex<Seen>) {
    let mut yard = Yard::new();
    let decoy = Decoy::beside(&yard.shop);
    let mut seeds = Draw::new(seed().wrapping_mul(WORKERS).wrapping_add(worker));
    let mut tries = 0;
    while if one.is_some() { tries < REPEATS } else { !quota.is_met() } {
        yard.anew();
        let mut done = BTreeMap::new();
        let mut rounds = Vec::new();
        let mut wrong = String::new();
        for turn in 0..if one.is_some() { 1 } else { ROUNDS_A_STORE } {
            let seed = one.unwrap_or_else(|| seeds.next());
            let name = format!("t{turn}");
            tries += 1;
            rounds.push(seed);
            match round(&yard, &name, seed, quota) {
                Ok(what) => drop(done.insert(name, what)),
                Err(what) => {
                    wrong = format!("{name} (round {seed}): {what}");
                    break;
                }
            }
        }
        if wrong.is_empty() {
            match oracle::look(&yard, &done) {
                Ok(seen) => {
                    let mut total = total.lock().unwrap();
                    total.tasks += seen.tasks;
                    total.attempts += seen.attempts;
                    total.lost += seen.lost;
                }
                Err(what) => wrong = what,
            }
        }
        wrong.extend(decoy.harmed());
        if !wrong.is_empty() {
            let repeats: Vec<String> =
                rounds.iter().map(|round| again(&[("ORCH_LAB_ROUND", round)], "random_kills")).collect();
            let text =
                format!("{wrong}the rounds t0, t1 … of this store are tried again by\n  {}", repeats.join("\n  "));
            eprintln!("VIOLATION {text}");
            let mut found = found.lock().unwrap();
            found.push(text);
            // The state is evidence; nothing more is learnt from a hundred like it.
            if found.len() >= 5 {
                return;
            }
        }
    }
}

/// One task, driven to its end through some kills.
fn round(yard: &Yard, task: &str, seed: u64, quota: &Quota) -> Result<Done, String> {
    let mut draw = Draw::new(seed);
    yard.tell(task, &[("check", draw.one_of(&WORDS)), ("testing", draw.one_of(&WORDS))]);
    let mut done = Done::Runners;
    for _ in 0..=draw.below(KILLS_MAX) {
        let blow = quota.draw(&mut draw);
        let mean = Duration::from_millis(draw.one_of(&MEANS_MS));
        let delay = draw.exponential(mean);
        let going = yard.orch(&format!("pipeline run --quiet --task {task}")).start();
        let pid = going.pid();
        let runner = Watched::of(pid).unwrap();
        if !runner.is_gone_within(delay) {
            let hit = match blow {
                Blow::Runner => runner.kill(),
                Blow::Supervisor | Blow::Both => {
                    let mut found = None;
                    while found.is_none() && !runner.is_gone_within(Duration::from_micros(500)) {
                        found = supervisor(pid, &yard.state());
                    }
                    found.is_some_and(|supervisor| {
                        runner.is_gone_within(draw.exponential(Duration::from_millis(4)));
                        if blow == Blow::Both && !runner.kill() {
                            return false;
                        }
                        done = Done::Supervisors;
                        supervisor.kill()
                    })
                }
                Blow::Tree => {
                    done = Done::Supervisors;
                    kill_tree(pid);
                    true
                }
            };
            let ended = going.end();
            let died = ended.status.signal() == Some(9);
            if hit && (died || blow == Blow::Supervisor) {
                quota.count(blow);
            }
            check_end(blow, died, &ended)?;
            continue;
        }
        let ended = going.end();
        check_end(blow, false, &ended)?;
        if matches!(ended.code(), Some(10 | 75 | 78)) {
            yard.orch(&format!("hold release {task}")).run().exits(0);
        }
    }
    yard.settle(task)?;
    Ok(done)
}

/// A runner that lived must end in a documented way.
fn check_end(blow: Blow, died: bool, ended: &crate::support::Ended) -> Result<(), String> {
    if died || matches!(ended.code(), Some(0 | 1 | 10 | 75 | 78)) || is_locked_by_the_dead(ended) {
        return Ok(());
    }
    Err(format!("after {blow:?} a runner ends so: {ended}"))
}

/// Kills a process and what it started, the parent first.
fn kill_tree(pid: i32) {
    let handle = Watched::of(pid);
    let below = children(pid);
    if let Some(handle) = handle {
        handle.kill();
    }
    below.into_iter().for_each(kill_tree);
}
