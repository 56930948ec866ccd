//! Kill -9 of the runner at system calls all along a run of two stages: the next run brings the task to its end, and
//! nothing is lost, doubled or half.
//!
//! `strace` kills the runner, and only it, at the entry of one call: its supervisor lives on, as it should.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[expect(dead_code, unused_imports, reason = "tests/cli.rs uses the rest")]
mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;

use orch::domain::id::{RunId, TaskName};
use orch::domain::task::{Event, TaskState};
use orch::engine::replay;
use orch::store::sqlite::SqliteStore;
use orch::store::{RunFilter, Store as _, Version};

use support::{CHECK_THEN_TESTING, NOTES, PASSES, REPORT, Shop, tool};

/// Calls that change something outside the process, or wait for something that did.
const CALLS: &str = "pwrite64,write,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,\
    linkat,utimensat,flock,fcntl,openat,openat2,socketpair,sendto,sendmsg,recvfrom,recvmsg,poll,ppoll,clone,clone3,vfork,\
    execve,wait4,waitid,close,exit_group";
/// Points of a walk, evenly spread over all calls of a run; `ORCH_CRASH_POINTS` asks for more.
const POINTS: usize = 40;
/// Points that are tried at the same time.
const WORKERS: usize = 3;

/// The n-th call of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    call: String,
    nth: usize,
}

fn shop() -> Shop {
    Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{PASSES}"))])
}

/// Every call of a run that nobody disturbs, in order.
fn calls() -> Vec<Point> {
    let shop = shop();
    let trace = shop.scratch("trace");
    let options = ["-qq", "-o", trace.to_str().unwrap(), "-e", &format!("trace={CALLS}"), "-e", "signal=none"];
    shop.orch("pipeline run").under(&tool("strace", "strace"), &options).run().exits(0);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut point = |line: &str| {
        let call = line.split('(').next()?.to_owned();
        let nth = seen.entry(call.clone()).or_default();
        *nth += 1;
        Some(Point { call, nth: *nth })
    };
    std::fs::read_to_string(trace).unwrap().lines().filter(|line| line.contains('(')).filter_map(&mut point).collect()
}

/// So many of them, the first and the last among them.
fn sample(all: &[Point]) -> Vec<Point> {
    let wish = std::env::var("ORCH_CRASH_POINTS").ok().map_or(POINTS, |count| count.parse().unwrap());
    let count = wish.min(all.len());
    (0..count).map(|n| all[n * (all.len() - 1) / (count - 1).max(1)].clone()).collect()
}

#[test]
fn a_runner_may_die_at_any_call() {
    let waiting = Mutex::new(sample(&calls()));
    let killed = Mutex::new(0_usize);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(point) = waiting.lock().unwrap().pop() else { return };
                    let died = die_at(&point);
                    *killed.lock().unwrap() += usize::from(died);
                }
            });
        }
    });
    let killed = killed.into_inner().unwrap();
    assert!(killed > POINTS / 2, "only {killed} points were reached: the walk is no walk any more");
}

/// Failpoints are in the build of `tests/failpoints.rs` alone.
#[test]
#[cfg(not(feature = "failpoints"))]
fn an_ordinary_build_has_no_failpoint() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_orch")).unwrap();
    assert_eq!(memchr::memmem::find(&program, b"ORCH_FAILPOINT"), None);
}

/// Kills a runner there, runs again, and looks at everything that is left. Whether the point was reached.
fn die_at(point: &Point) -> bool {
    let shop = shop();
    let Point { call, nth } = point;
    let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
    let options = ["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", "signal=none", "-e", &inject];
    let first = shop.orch("pipeline run").under(&tool("strace", "strace"), &options).run();
    let second = shop.run();
    assert_eq!(second.code(), Some(0), "{point:?}\nfirst: {first}\nsecond: {second}");
    look(&shop, point);
    first.code() != Some(0)
}

fn look(shop: &Shop, point: &Point) {
    let store = SqliteStore::open_existing(&shop.state()).unwrap();
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{point:?}: {audit:?}");

    let name = TaskName::new("main").unwrap();
    let stored = store.task(&name).unwrap().unwrap().task;
    assert!(matches!(stored.state, TaskState::Done { .. }), "{point:?}: {:?}", stored.state);
    assert!(stored.spent.budgets.is_empty(), "{point:?}: a death was charged: {:?}", stored.spent);
    let events: Vec<Event> =
        store.events(&name, Version::NONE).unwrap().into_iter().map(|record| record.event).collect();
    assert_eq!(replay(&events).unwrap().as_ref(), Some(&stored), "{point:?}");

    let runs = store.runs(&RunFilter::default()).unwrap();
    assert!(runs.iter().all(|run| run.closing.is_some()), "{point:?}: a run was left open");
    let attempts: Vec<_> = runs.iter().flat_map(|run| store.attempts(run.start.run).unwrap()).collect();
    let started = shop.ledger();
    for line in &started {
        let id = line.split(' ').nth(1).unwrap();
        assert_eq!(started.iter().filter(|other| *other == line).count(), 1, "{point:?}: {id} was started twice");
        assert!(attempts.iter().any(|attempt| attempt.intent.attempt.to_string() == id), "{point:?}: {id} is unknown");
    }
    for stage in ["check", "testing"] {
        assert!(started.iter().any(|line| line.starts_with(stage)), "{point:?}: {stage} never ran");
    }
    assert!(attempts.iter().all(|attempt| attempt.decided.is_some()), "{point:?}: an attempt has no outcome");

    let last = attempts_of(&store, runs[0].start.run).or_else(|| attempts_of(&store, runs.last()?.start.run)).unwrap();
    assert_eq!(std::fs::read(shop.tree.join(REPORT)).unwrap(), last, "{point:?}: the artifact is not the store's");
}

/// Bytes of the artifact that a run published last.
fn attempts_of(store: &SqliteStore, run: RunId) -> Option<Vec<u8>> {
    let published = store.attempts(run).unwrap().into_iter().rev().find_map(|attempt| attempt.decided?.artifact)?;
    store.artifact(&published.digest).unwrap()
}
