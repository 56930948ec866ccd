//! A runner is killed, or a call of it fails, at the n-th call of a kind, for the calls of every scenario (goals G2 and
//! G3). `strace` does it to the command alone: its supervisor lives on. `tests/exec/kill_points.rs` walks the supervisor,
//! `tests/store/crash.rs` a commit and a migration.
//!
//! A site is a call and what it is about, such as `pwrite64 state/orch.db-wal`. The sites that were walked are kept in
//! `sites.txt`; one that is not there fails, so that code which makes a new kind of call does not go unwalked.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::time::Instant;

use crate::draw::{Draw, Size, again, number, seed};
use crate::oracle::{self, Done};
use crate::scenario::{SCENARIOS, Scenario, Stage, mend};
use crate::sites::{self, Call};
use crate::support::{Ended, tool};
use crate::yard::Yard;

/// Points that are tried at the same time: they wait more than they work.
const WORKERS: usize = 6;
/// Most violations that are told.
const TOLD_MAX: usize = 20;

/// What is done at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    Kill,
    NoSpace,
    Io,
    Interrupted,
    Descriptors,
    Again,
}

/// Faults, how `strace` is told, and the calls that they are done to.
const FAULTS: [(Fault, &str, &[&str]); 6] = [
    (Fault::Kill, "signal=SIGKILL", MUTATING),
    (Fault::NoSpace, "error=ENOSPC", FILLING),
    (Fault::Io, "error=EIO", READING_OR_WRITING),
    (Fault::Interrupted, "error=EINTR", SLOW),
    (Fault::Descriptors, "error=EMFILE", OPENING),
    (Fault::Again, "error=EAGAIN", REFUSABLE),
];

/// Calls that change something outside the process.
const MUTATING: &[&str] = &[
    "pwrite64",
    "write",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "fchmod",
    "flock",
    "sendto",
    "sendmsg",
    "clone",
    "clone3",
    "vfork",
    "execve",
    "exit_group",
];
/// Calls that need space.
const FILLING: &[&str] = &[
    "pwrite64",
    "write",
    "ftruncate",
    "fallocate",
    "open",
    "openat",
    "openat2",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
];
/// Calls that reach the disk.
const READING_OR_WRITING: &[&str] = &[
    "pwrite64",
    "write",
    "pread64",
    "read",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "open",
    "openat",
    "openat2",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "getdents64",
    "statx",
    "newfstatat",
    "fstat",
];
/// Calls that a signal may interrupt.
const SLOW: &[&str] = &[
    "pwrite64",
    "write",
    "pread64",
    "read",
    "open",
    "openat",
    "openat2",
    "flock",
    "fcntl",
    "wait4",
    "waitid",
    "poll",
    "ppoll",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
];

/// Calls that need a descriptor.
const OPENING: &[&str] = &["open", "openat", "openat2", "pipe2", "socketpair", "socket", "pidfd_open", "memfd_create"];
/// Calls that may be told to come again: there are too many processes, or somebody has the lock.
const REFUSABLE: &[&str] = &["clone", "clone3", "vfork", "flock", "fcntl"];

impl Fault {
    fn injected(self) -> &'static str {
        FAULTS.iter().find(|(fault, ..)| *fault == self).unwrap().1
    }
}

/// One place of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    scenario: usize,
    call: String,
    nth: usize,
    fault: Fault,
    site: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", SCENARIOS[self.scenario].name, self.call, self.nth, self.fault.injected())
    }
}

#[test]
fn a_runner_is_killed_at_mutating_calls() {
    walk("a_runner_is_killed_at_mutating_calls", &[Fault::Kill], Size::wanted().of(24, usize::MAX));
}

#[test]
fn calls_of_a_runner_fail() {
    let faults = [Fault::NoSpace, Fault::Io, Fault::Interrupted, Fault::Descriptors, Fault::Again];
    walk("calls_of_a_runner_fail", &faults, Size::wanted().of(30, 4_500));
}

fn walk(test: &str, faults: &[Fault], most: usize) {
    let begun = Instant::now();
    let most = number("ORCH_LAB_POINTS").map_or(most, |points| usize::try_from(points).unwrap());
    let points = points(faults);
    let all = points.len();
    let places: BTreeSet<(&str, &str)> =
        points.iter().map(|point| (point.site.as_str(), point.fault.injected())).collect();
    let places = places.len();
    sites::check(
        points.iter().map(|point| point.site.as_str()),
        &format!("ORCH_LAB=long cargo test --test lab {test}"),
    );
    let mut points = sample(points, most);
    if let Ok(one) = std::env::var("ORCH_LAB_POINT") {
        points.retain(|point| point.to_string() == one);
        assert!(!points.is_empty(), "no point is called {one}");
    }
    if let Ok(part) = std::env::var("ORCH_LAB_SITE") {
        points.retain(|point| point.site.contains(&part));
    }
    let seconds = number("ORCH_LAB_SECONDS");
    points.reverse();
    let tried = Mutex::new(Vec::new());
    let waiting = Mutex::new(points);
    let found = Mutex::new(Vec::new());
    let reached = Mutex::new(0_usize);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let stage = Stage::new();
                let mut yards: BTreeMap<usize, Yard> = BTreeMap::new();
                loop {
                    let late = seconds.is_some_and(|seconds| begun.elapsed().as_secs() >= seconds);
                    let Some(point) = waiting.lock().unwrap().pop().filter(|_| !late) else { return };
                    let yard = yards.entry(point.scenario).or_insert_with(|| SCENARIOS[point.scenario].yard(&stage));
                    match disturb(yard, &point) {
                        Ok(hit) => *reached.lock().unwrap() += usize::from(hit),
                        Err(what) => {
                            let repeat = again(&[("ORCH_LAB_POINT", &point), ("ORCH_LAB_POINTS", &usize::MAX)], test);
                            eprintln!("VIOLATION {point}, {}: {what}\nrepeat: {repeat}", point.site);
                            let mut found = found.lock().unwrap();
                            found.push(format!("{point}\n  {repeat}"));
                            if found.len() > TOLD_MAX {
                                return;
                            }
                        }
                    }
                    tried.lock().unwrap().push(point);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let reached = reached.into_inner().unwrap();
    let tried = tried.into_inner().unwrap();
    let walked: BTreeSet<(&str, &str)> =
        tried.iter().map(|point| (point.site.as_str(), point.fault.injected())).collect();
    eprintln!(
        "{test}, seed {}: {} of {all} points, {} of {places} call sites and faults, {} scenarios, {reached} changed how \
         the command ended, {} violations, {:.0} s",
        seed(),
        tried.len(),
        walked.len(),
        SCENARIOS.len(),
        found.len(),
        begun.elapsed().as_secs_f64(),
    );
    sites::keep(tried.iter().map(|point| point.site.as_str()));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every point of every scenario.
fn points(faults: &[Fault]) -> Vec<Point> {
    let waiting = Mutex::new((0..SCENARIOS.len()).collect::<Vec<_>>());
    let points = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let stage = Stage::new();
                loop {
                    let Some(scenario) = waiting.lock().unwrap().pop() else { return };
                    let calls = calls(&SCENARIOS[scenario], &stage);
                    for (fault, _, touched) in FAULTS.into_iter().filter(|(fault, ..)| faults.contains(fault)) {
                        let of_fault = calls.iter().filter(|call| touched.contains(&call.name.as_str()));
                        points.lock().unwrap().extend(of_fault.map(|call| Point {
                            scenario,
                            call: call.name.clone(),
                            nth: call.nth,
                            fault,
                            site: call.site.clone(),
                        }));
                    }
                }
            });
        }
    });
    let mut points = points.into_inner().unwrap();
    points.sort_by_key(|point| (point.scenario, point.fault.injected(), point.call.clone(), point.nth));
    points
}

/// So many points by lot, in an order by lot. The first are one of every site and fault, in whichever scenario; then
/// comes one of every call and fault of every scenario.
fn sample(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut draw = Draw::new(seed());
    for at in (1..points.len()).rev() {
        points.swap(at, usize::try_from(draw.below(at as u64 + 1)).unwrap());
    }
    let (mut sites, mut calls) = (HashSet::new(), HashSet::new());
    points.sort_by_cached_key(|point| {
        let new_call = calls.insert((point.scenario, point.call.clone(), point.fault));
        if sites.insert((point.site.clone(), point.fault)) { 0 } else { 2 - u8::from(new_call) }
    });
    points.truncate(most);
    points
}

/// The calls that the disturbed command makes when nobody disturbs it.
fn calls(scenario: &Scenario, stage: &Stage) -> Vec<Call> {
    let mut yard = scenario.yard(stage);
    scenario.set_up(&mut yard);
    let trace = yard.shop.scratch("trace");
    let options = ["-qq", "-y", "-o", trace.to_str().unwrap(), "-e", "signal=none"];
    yard.orch(scenario.disturbed).under(&tool("strace", "strace"), &options).run();
    sites::read(&std::fs::read_to_string(trace).unwrap(), &yard.shop.scratch(""))
}

/// Disturbs a command there, lets it go on undisturbed and has the oracle look. Whether the command ended by it.
fn disturb(yard: &mut Yard, point: &Point) -> Result<bool, String> {
    let scenario = SCENARIOS[point.scenario];
    scenario.set_up(yard);
    let Point { call, nth, fault, .. } = point;
    let inject = format!("inject={call}:{}:when={nth}", fault.injected());
    let options = ["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", "signal=none", "-e", &inject];
    let first = yard.orch(scenario.disturbed).under(&tool("strace", "strace"), &options).run();
    let done = match fault {
        Fault::Kill => scenario.allowed,
        Fault::NoSpace | Fault::Io | Fault::Interrupted | Fault::Descriptors | Fault::Again => Done::Faults,
    };
    let died = *fault == Fault::Kill && (first.status.signal() == Some(9) || first.code() == Some(137));
    if !died && !is_documented(&first) {
        return Err(format!("the command ends so: {first}"));
    }
    mend(yard);
    yard.settle("t").map_err(|what| format!("{what}\nthe disturbed command: {first}"))?;
    oracle::look(yard, &[("t".to_owned(), done)].into())
        .map_err(|what| format!("{what}\nthe disturbed command: {first}"))?;
    Ok(died || !matches!(first.code(), Some(0)))
}

/// Whether orch ended in a way that docs/reference/exit-codes.md knows, or never came to be orch.
fn is_documented(ended: &Ended) -> bool {
    match ended.code() {
        Some(0 | 1 | 2 | 3 | 4 | 10 | 70 | 75 | 78 | 143) => !ended.stderr().contains("panicked"),
        Some(127) => ended.stderr().contains("error while loading shared libraries"),
        _ => false,
    }
}
