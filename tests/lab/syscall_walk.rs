//! A runner is killed, or a call of it fails, at the n-th call of a kind, for the calls of every scenario (goals G2 and
//! G3). `strace` does it to the command alone: its supervisor lives on. `tests/exec/kill_points.rs` walks the supervisor,
//! `tests/store/crash.rs` a commit and a migration.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::time::Instant;

use crate::draw::{Draw, Size, again, number, seed};
use crate::oracle::{self, Done};
use crate::scenario::{SCENARIOS, Scenario, Stage, mend};
use crate::support::{Ended, tool};
use crate::yard::Yard;

const WORKERS: usize = 2;
/// Most violations that are told.
const TOLD_MAX: usize = 20;

/// What is done at a call, and to which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    NoSpace,
    Io,
    Interrupted,
}

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
    "openat",
    "openat2",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
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
    "openat",
    "openat2",
    "rename",
    "renameat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "getdents64",
    "statx",
];
/// Calls that a signal may interrupt.
const SLOW: &[&str] = &[
    "pwrite64",
    "write",
    "pread64",
    "read",
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

impl Fault {
    const ALL: [(Self, &'static str, &'static [&'static str]); 4] = [
        (Self::Kill, "signal=SIGKILL", MUTATING),
        (Self::NoSpace, "error=ENOSPC", FILLING),
        (Self::Io, "error=EIO", READING_OR_WRITING),
        (Self::Interrupted, "error=EINTR", SLOW),
    ];

    fn injected(self) -> &'static str {
        Self::ALL.iter().find(|(fault, ..)| *fault == self).unwrap().1
    }
}

/// One place of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    scenario: usize,
    call: String,
    nth: usize,
    fault: Fault,
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
    let faults = [Fault::NoSpace, Fault::Io, Fault::Interrupted];
    walk("calls_of_a_runner_fail", &faults, Size::wanted().of(24, 4_500));
}

fn walk(test: &str, faults: &[Fault], most: usize) {
    let begun = Instant::now();
    let stage = Stage::new();
    let most = number("ORCH_LAB_POINTS").map_or(most, |points| usize::try_from(points).unwrap());
    let mut sites = 0;
    let mut points = Vec::new();
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        let calls = calls(scenario, &stage);
        for (fault, _, touched) in Fault::ALL.into_iter().filter(|(fault, ..)| faults.contains(fault)) {
            for (call, count) in calls.iter().filter(|(call, _)| touched.contains(&call.as_str())) {
                sites += 1;
                points.extend((1..=*count).map(|nth| Point { scenario: index, call: call.clone(), nth, fault }));
            }
        }
    }
    let all = points.len();
    let mut points = sample(points, most);
    if let Ok(one) = std::env::var("ORCH_LAB_POINT") {
        points.retain(|point| point.to_string() == one);
        assert!(!points.is_empty(), "no point is called {one}");
    }
    let seconds = number("ORCH_LAB_SECONDS");
    let tried = Mutex::new(0_usize);
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
                    *tried.lock().unwrap() += 1;
                    let yard = yards.entry(point.scenario).or_insert_with(|| SCENARIOS[point.scenario].yard(&stage));
                    match disturb(yard, &point) {
                        Ok(hit) => *reached.lock().unwrap() += usize::from(hit),
                        Err(what) => {
                            let repeat = again(&[("ORCH_LAB_POINT", &point), ("ORCH_LAB_POINTS", &usize::MAX)], test);
                            eprintln!("VIOLATION {point}: {what}\nrepeat: {repeat}");
                            let mut found = found.lock().unwrap();
                            found.push(format!("{point}\n  {repeat}"));
                            if found.len() > TOLD_MAX {
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let reached = reached.into_inner().unwrap();
    eprintln!(
        "{test}, seed {}: {} of {all} points, {sites} call sites of {} scenarios, {reached} changed how the command ended, {} violations, {:.0} s",
        seed(),
        tried.into_inner().unwrap(),
        SCENARIOS.len(),
        found.len(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// So many points by lot, in an order by lot; where there are enough, one of every site and fault at least.
fn sample(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut draw = Draw::new(seed());
    for at in (1..points.len()).rev() {
        points.swap(at, usize::try_from(draw.below(at as u64 + 1)).unwrap());
    }
    let mut seen = Vec::new();
    points.sort_by_key(|point| {
        let site = (point.scenario, point.call.clone(), point.fault.injected());
        let known = seen.contains(&site);
        if !known {
            seen.push(site);
        }
        known
    });
    points.truncate(most);
    points
}

/// How often the disturbed command makes each call when nobody disturbs it.
fn calls(scenario: &Scenario, stage: &Stage) -> BTreeMap<String, usize> {
    let mut yard = scenario.yard(stage);
    scenario.set_up(&mut yard);
    let trace = yard.shop.scratch("trace");
    let options = ["-qq", "-o", trace.to_str().unwrap(), "-e", "signal=none"];
    yard.orch(scenario.disturbed).under(&tool("strace", "strace"), &options).run();
    let mut seen = BTreeMap::new();
    for line in std::fs::read_to_string(trace).unwrap().lines() {
        if let Some((call, _)) = line.split_once('(') {
            *seen.entry(call.to_owned()).or_default() += 1;
        }
    }
    seen
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
        Fault::NoSpace | Fault::Io | Fault::Interrupted => Done::Faults,
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
