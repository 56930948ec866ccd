//! Process trees of eight shapes: nothing of an attempt lives when its record is there, and nobody else is signalled
//! (fault F26, goal G7).
//!
//! Who lives is counted by working folder, which no shape leaves: neither by cgroup, parent nor mark, by which orch finds
//! them. The time from the grace's end to the record is told and not tested; it is the machine's.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use orch::domain::evidence::{Exit, ExitRecord, KillTier};
use orch::domain::pipeline::Limits;
use orch::exec::Launch;

use crate::decoy::Decoy;
use crate::draw::{Draw, Size, again, number, seed};
use crate::harness::{LIMITS, Lab, ORCH, TIERS, Words, script};
use crate::support::{PASSES, Shop};

const GRACE: Duration = Duration::from_millis(50);
/// How long an attempt's children may take to leave by themselves after its main process.
const LEAK_GRACE: Duration = Duration::from_millis(150);
const MANY: u64 = 300;
/// How long a tree may take to stand; below the limit of its attempt.
const GROWN_WITHIN_S: i64 = 100;
/// How often one hears how far it is, in trees.
const TELL_EVERY: usize = 100;

/// Ways to grow a tree of `$1` processes. What comes next in the script is run when it stands, or nearly so.
const SHAPES: [(&str, &str); 8] = [
    ("ignores TERM", "trap '' TERM; i=0; while [ $i -lt $1 ]; do sleep 300 & i=$((i+1)); done"),
    ("own sessions", "i=0; while [ $i -lt $1 ]; do setsid sleep 300 & i=$((i+1)); done"),
    ("double forks", "i=0; while [ $i -lt $1 ]; do (setsid sh -c '(sleep 300 &) & sleep 300 &' &); i=$((i+2)); done"),
    ("chain of hops", "./hop $(($1/2))"),
    (
        "holds the pipes",
        "i=0; while [ $i -lt $1 ]; do setsid sh -c 'exec 3>&1 4>&2; exec sleep 300' & i=$((i+1)); done",
    ),
    (
        "ignores everything",
        "trap '' HUP INT QUIT TERM USR1 USR2; i=0; while [ $i -lt $1 ]; do setsid env -i /bin/sleep 300 & i=$((i+1)); done",
    ),
    ("many children", "i=0; while [ $i -lt 300 ]; do sleep 300 & i=$((i+1)); done"),
    ("forks on and on", "./on; ./on; ./on; ./on"),
];

/// How a tree comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Somebody asks it to stop.
    Asked,
    /// Its main process leaves it behind.
    Left,
}

/// What one tree came to.
struct Felled {
    /// From when all should be over to the record.
    late: Duration,
    processes: u64,
}

#[test]
fn trees_are_felled_whole() {
    let wanted = Size::wanted().of(32, 2_000);
    let wanted = number("ORCH_LAB_TREES").unwrap_or(wanted);
    let begun = Instant::now();
    let found = Mutex::new(Vec::new());
    let shop = Shop::running(PASSES);
    let decoy = Decoy::beside(&shop);
    let mut told = Vec::new();
    // One after the other: a tree that grows beside one that is felled would be measured too.
    for tier in TIERS {
        told.push((tier, fell_many(tier, wanted / 2, &found)));
    }
    let mut found = found.into_inner().unwrap();
    found.extend(decoy.harmed());
    for (tier, felled) in &told {
        let bound = if *tier == KillTier::Cgroup { 100 } else { 250 };
        eprintln!(
            "trees, seed {}, {tier:?}: {} trees of {} processes; record after the end of the grace: {}, later than {bound} ms: {}",
            seed(),
            felled.len(),
            felled.iter().map(|felled| felled.processes).sum::<u64>(),
            late(felled),
            felled.iter().filter(|felled| felled.late.as_millis() > bound).count(),
        );
    }
    eprintln!("trees: {} violations, {:.0} s", found.len(), begun.elapsed().as_secs_f64());
    let repeat = again(&[("ORCH_LAB_SEED", &seed()), ("ORCH_LAB_TREES", &wanted)], "trees_are_felled_whole");
    assert!(found.is_empty(), "VIOLATION {}\nrepeat: {repeat}", found.join("\nVIOLATION "));
}

fn late(felled: &[Felled]) -> String {
    let mut late: Vec<Duration> = felled.iter().map(|felled| felled.late).collect();
    late.sort_unstable();
    let at = |part: usize| late.get(late.len() * part / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

fn fell_many(tier: KillTier, wanted: u64, found: &Mutex<Vec<String>>) -> Vec<Felled> {
    let mut lab = Lab::with(tier, Path::new(ORCH));
    script(&lab.work(), "hop", "#!/bin/sh\nsleep 300 &\n[ \"$1\" -gt 1 ] && setsid ./hop $(($1-1)) &\nexit 0\n");
    script(&lab.work(), "on", "#!/bin/sh\nsetsid ./on &\n");
    let mut words = Words::open(&lab.fifo("words"));
    let mut draw = Draw::new(seed() ^ if tier == KillTier::Cgroup { 1 << 40 } else { 1 << 41 });
    let mut felled = Vec::new();
    for n in 0..wanted {
        let (shape, grow) = SHAPES[usize::try_from(n % 8).unwrap()];
        // Mostly small ones; one in twenty is as large as they come.
        let processes = if draw.below(20) == 0 { MANY } else { 1 + draw.below(24) };
        let end = draw.one_of(&[End::Asked, End::Left]);
        match fell(&mut lab, &mut words, grow, processes, end) {
            Ok(one) => {
                felled.push(one);
                if felled.len().is_multiple_of(TELL_EVERY) {
                    eprintln!("trees, {tier:?}: {} felled so far; late: {}", felled.len(), late(&felled));
                }
            }
            Err(what) => {
                found.lock().unwrap().push(format!("{tier:?}, tree {n}, {shape} of {processes}, {end:?}: {what}"));
            }
        }
    }
    felled
}

fn fell(lab: &mut Lab, words: &mut Words, grow: &str, processes: u64, end: End) -> Result<Felled, String> {
    let stays = if end == End::Asked { "while :; do sleep 300; done" } else { "exit 0" };
    let text = format!("{grow}\necho stands > words\n{stays}");
    let limits = Limits { grace: GRACE, ..LIMITS };
    let launch = Launch { limits, ..lab.launch(&["sh", "-c", &text, "sh", &processes.to_string()]) };
    let (stop, mut ask) = std::io::pipe().unwrap();
    let mut since = Instant::now();
    let record = lab.during(&launch, Some(stop.as_fd()), || {
        words.next_within(GROWN_WITHIN_S);
        since = Instant::now();
        if end == End::Asked {
            ask.write_all(b"x").unwrap();
        }
    });
    let took = since.elapsed();
    let allowed = if end == End::Asked { GRACE } else { LEAK_GRACE };
    let alive = living_in(&lab.work());
    if !alive.is_empty() {
        return Err(format!("{} live on when the record is there: {alive:?}", alive.len()));
    }
    judge(&record, end)?;
    let processes = if grow.contains("300 ]") { MANY } else { processes };
    Ok(Felled { late: took.saturating_sub(allowed), processes })
}

fn judge(record: &ExitRecord, end: End) -> Result<(), String> {
    let as_it_was = match end {
        End::Asked => matches!(record.exit, Exit::Cancelled { .. }),
        End::Left => record.exit == Exit::Exited { code: 0 },
    };
    if !as_it_was {
        return Err(format!("its record says {:?}", record.exit));
    }
    if record.survivors.is_empty() { Ok(()) } else { Err(format!("survivors: {:?}", record.survivors)) }
}

/// Every process that works in a folder and is no zombie.
pub(crate) fn living_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = entries.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder));
    inside
        .map(|entry| std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default())
        .filter(|stat| !stat.is_empty())
        .collect()
}
