//! Every failpoint alone and every ordered pair of them, the second in the recovery from the first: the real program on
//! real suites dies there, is run again until it rests, and is judged by the oracle of the lab.
//!
//! `cargo test --features failpoints --test failpoints`. `ORCH_LAB=long` tries every pair, `ORCH_LAB_SEED=N` draws
//! otherwise, `ORCH_LAB_SECONDS=N` ends it early, `ORCH_LAB_POINT=A` or `A,B` tries one again.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stderr, reason = "an experiment says what it has counted")]
#![expect(clippy::disallowed_methods, reason = "an experiment measures time")]

#[expect(dead_code, reason = "tests/lab.rs uses the rest")]
#[path = "lab/draw.rs"]
mod draw;
#[expect(dead_code, reason = "tests/lab.rs uses the rest")]
#[path = "lab/oracle.rs"]
mod oracle;
#[path = "failpoints/points.rs"]
mod points;
#[expect(dead_code, reason = "tests/lab.rs uses the rest")]
#[path = "lab/scenario.rs"]
mod scenario;
#[path = "failpoints/scenarios.rs"]
mod scenarios;
#[expect(dead_code, unused_imports, reason = "tests/cli.rs uses the rest")]
mod support;
#[expect(dead_code, reason = "tests/lab.rs uses the rest")]
#[path = "lab/yard.rs"]
mod yard;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use draw::{Draw, Size, number, seed};
use oracle::Done;
use points::{Can, POINTS};
use scenario::{SCENARIOS, Scenario, Stage, mend};
use scenarios::{CONTROL, SHADOW};
use support::{Ended, Fifo};
use yard::Yard;

/// Experiments at the same time: they wait more than they work.
const WORKERS: usize = 6;
/// Pairs that the short form tries.
const PAIRS: usize = 30;
/// One of so many points waits in the short form.
const WAITS_ONE_OF: usize = 5;
/// Deaths that lead into recovery: of the runner alone, and of its supervisor too in the middle of an attempt.
const DEATHS: [&str; 2] = ["launch.sent", "launch.sent+child.began"];
const RUN: &str = "pipeline run --quiet --task t";

/// The scenarios of the lab, and those with a sibling worktree.
static ALL: LazyLock<Vec<Scenario>> = LazyLock::new(|| SCENARIOS.into_iter().chain([CONTROL, SHADOW]).collect());

/// What a point does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Abort,
    NoSpace,
    Io,
    Return,
    Pause,
}

/// One experiment: points, one a command, in this order.
#[derive(Debug, Clone)]
struct Trial {
    scenario: usize,
    acts: Vec<(&'static str, Act)>,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acts: Vec<String> = self.acts.iter().map(|(name, act)| format!("{name}:{act:?}")).collect();
        write!(f, "{} in {}", acts.join(","), ALL[self.scenario].name)
    }
}

/// A way to a point: a scenario, and the deaths before, one a command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    scenario: usize,
    before: Vec<&'static str>,
}

/// What each scenario passes where nothing is disturbed.
static PASSED: LazyLock<Vec<(Way, Vec<&'static str>)>> =
    LazyLock::new(|| each((0..ALL.len()).map(|scenario| Way { scenario, before: Vec::new() }).collect(), passed));

/// The ways to every point that the source names, found by looking at what is passed.
static WAYS: LazyLock<BTreeMap<&'static str, Way>> = LazyLock::new(|| {
    let mut ways = BTreeMap::new();
    let mut note = |passed: Vec<&'static str>, way: &Way| {
        for name in passed {
            ways.entry(name).or_insert_with(|| way.clone());
        }
    };
    for (way, passed) in PASSED.iter() {
        note(passed.clone(), way);
    }
    let deaths = DEATHS.iter().map(|name| Way { scenario: 0, before: vec![*name] }).collect();
    for (way, passed) in each(deaths, passed) {
        note(passed, &way);
    }
    ways
});

/// Does something for each of many, some at the same time; in the order of what was given.
fn each<T: Send + Sync + Clone, U: Send>(all: Vec<T>, act: impl Fn(&mut Yards, &T) -> U + Sync) -> Vec<(T, U)> {
    let waiting = Mutex::new(all.into_iter().enumerate().rev().collect::<Vec<_>>());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut yards = Yards { stage: Stage::new(), yards: BTreeMap::new() };
                loop {
                    let Some((at, one)) = waiting.lock().unwrap().pop() else { return };
                    let answer = act(&mut yards, &one);
                    done.lock().unwrap().push((at, one, answer));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, ..)| *at);
    done.into_iter().map(|(_, one, answer)| (one, answer)).collect()
}

/// A worker's own places, one a scenario.
struct Yards {
    stage: Stage,
    yards: BTreeMap<usize, Yard>,
}

impl Yards {
    fn at(&mut self, scenario: usize) -> &mut Yard {
        let yard = self.yards.entry(scenario).or_insert_with(|| ALL[scenario].yard(&self.stage));
        ALL[scenario].set_up(yard);
        yard
    }
}

/// The command of a turn: the scenario's own comes first.
fn command(scenario: usize, turn: usize) -> &'static str {
    if turn == 0 { ALL[scenario].disturbed } else { RUN }
}

/// What arms points that are joined by `+`.
fn armed(names: &str, action: &str) -> String {
    names.split('+').map(|name| format!("{name}={action}")).collect::<Vec<_>>().join(",")
}

/// Whether a point is passed by a supervisor.
fn is_of_supervisor(name: &str) -> bool {
    ["child.", "record.", "supervisor.", "sentinel."].iter().any(|head| name.starts_with(head))
}

/// The points that the command after some deaths passes.
fn passed(yards: &mut Yards, way: &Way) -> Vec<&'static str> {
    let yard = yards.at(way.scenario);
    for (turn, name) in way.before.iter().enumerate() {
        yard.orch(command(way.scenario, turn)).env("ORCH_FAILPOINT", armed(name, "abort")).run();
    }
    let log = yard.shop.scratch("passed");
    std::fs::remove_file(&log).ok();
    yard.orch(command(way.scenario, way.before.len())).env("ORCH_FAILPOINT_LOG", &log).run();
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let passed: BTreeSet<&str> = text.lines().collect();
    POINTS.iter().map(|(name, _)| *name).filter(|name| passed.contains(name)).collect()
}

#[test]
fn the_list_is_that_of_the_source() {
    let mut found = BTreeMap::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if !path.ends_with("failpoint.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for part in text.split("failpoint!(\"").skip(1) {
                    let (name, rest) = part.split_once('"').unwrap();
                    let can = match rest {
                        rest if rest.starts_with(", return") => Can::Leave,
                        rest if rest.starts_with(", ") => Can::Fail,
                        _ => Can::Die,
                    };
                    assert_eq!(found.insert(name.to_owned(), can), None, "{name} is there twice");
                }
            }
        }
    }
    let listed: BTreeMap<String, Can> = POINTS.iter().map(|(name, can)| ((*name).to_owned(), *can)).collect();
    assert_eq!(found, listed, "tests/failpoints/points.rs lists every failpoint");
}

#[test]
fn every_point_is_passed() {
    let never: Vec<&str> = POINTS.iter().map(|(name, _)| *name).filter(|name| !WAYS.contains_key(name)).collect();
    assert!(never.is_empty(), "no scenario comes to {never:?}");
}

#[test]
fn every_point_alone() {
    let place = usize::try_from(seed()).unwrap();
    let trials = POINTS.iter().enumerate().flat_map(|(at, (name, can))| {
        let further: &[Act] = match can {
            Can::Die => &[],
            Can::Fail => &[Act::NoSpace, Act::Io],
            Can::Leave => &[Act::Return],
        };
        let drawn = Size::wanted() == Size::Long || (at + place).is_multiple_of(WAITS_ONE_OF);
        // A child between fork and exec has nobody whom it could tell that it waits.
        let waits = if drawn && *name != "child.born" { &[Act::Pause][..] } else { &[] };
        [Act::Abort].iter().chain(further).chain(waits).map(|act| trial(name, *act, None)).collect::<Vec<_>>()
    });
    judge("every_point_alone", trials.collect());
}

#[test]
fn pairs_of_points() {
    let names = || POINTS.iter().map(|(name, _)| *name);
    let mut trials: Vec<Trial> =
        names().flat_map(|first| names().map(move |second| trial(first, Act::Abort, Some(second)))).collect();
    let mut draw = Draw::new(seed());
    for at in (1..trials.len()).rev() {
        trials.swap(at, usize::try_from(draw.below(at as u64 + 1)).unwrap());
    }
    if std::env::var_os("ORCH_LAB_POINT").is_none() {
        trials.truncate(Size::wanted().of(PAIRS, usize::MAX));
    }
    judge("pairs_of_points", trials);
}

fn trial(first: &'static str, act: Act, second: Option<&'static str>) -> Trial {
    // Of the scenarios that come to both, where there are any: the second may lie on the way of the recovery then.
    let both = PASSED
        .iter()
        .find(|(_, passed)| second.is_some_and(|second| passed.contains(&second)) && passed.contains(&first));
    let way = both.map(|(way, _)| way).or_else(|| WAYS.get(first));
    let way = way.unwrap_or_else(|| panic!("no scenario comes to {first}"));
    let mut acts: Vec<(&str, Act)> = way.before.iter().map(|name| (*name, Act::Abort)).collect();
    acts.push((first, act));
    acts.extend(second.map(|name| (name, Act::Abort)));
    Trial { scenario: way.scenario, acts }
}

fn judge(test: &str, mut trials: Vec<Trial>) {
    let begun = Instant::now();
    if let Ok(one) = std::env::var("ORCH_LAB_POINT") {
        trials.retain(|trial| trial.to_string() == one);
        assert!(!trials.is_empty(), "no trial of {test} is called {one:?}");
    }
    let all = trials.len();
    let late = number("ORCH_LAB_SECONDS").map(Duration::from_secs);
    let in_time = |yards: &mut Yards, trial: &Trial| {
        let now = begun.elapsed();
        late.is_none_or(|late| now < late).then(|| attempt(yards, trial))
    };
    let (mut count, mut acted) = (0, 0);
    let mut found = Vec::new();
    for (trial, answer) in each(trials, in_time) {
        let Some(answer) = answer else { continue };
        count += 1;
        match answer {
            Ok(all) => acted += usize::from(all),
            Err(what) => found.push(format!(
                "VIOLATION {trial}: {what}\nrepeat: ORCH_LAB=long ORCH_LAB_POINT='{trial}' cargo test --features failpoints \
                 --test failpoints {test} -- --nocapture"
            )),
        }
    }
    eprintln!(
        "{test}, seed {}: {count} of {all} trials, {acted} with every point reached, {} violations, {:.0} s",
        seed(),
        found.len(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(acted * 3 > count, "only {acted} of {count} came to their points");
}

/// Makes one experiment. Whether every point was reached.
fn attempt(yards: &mut Yards, trial: &Trial) -> Result<bool, String> {
    let yard = yards.at(trial.scenario);
    let mut reached = 0;
    let mut told = String::new();
    for (turn, (name, act)) in trial.acts.iter().enumerate() {
        let log = yard.shop.scratch(&format!("passed-{turn}"));
        std::fs::remove_file(&log).ok();
        let words = command(trial.scenario, turn);
        let armed =
            |action: &str| yard.orch(words).env("ORCH_FAILPOINT", armed(name, action)).env("ORCH_FAILPOINT_LOG", &log);
        let ended = match act {
            Act::Abort => armed("abort").run(),
            Act::NoSpace => armed("error:28").run(),
            Act::Io => armed("error:5").run(),
            Act::Return => armed("return").run(),
            Act::Pause => pause(yard, words, &armed)?,
        };
        check(&ended, *act)?;
        let passed = std::fs::read_to_string(log).unwrap_or_default();
        reached += usize::from(name.split('+').all(|name| passed.lines().any(|line| line == name)));
        told = format!("{told}\n{words}, {name} {act:?}: {ended}");
    }
    mend(yard);
    yard.settle("t").map_err(|what| format!("{what}\nbefore: {told}"))?;
    let fails = trial.acts.iter().any(|(_, act)| matches!(act, Act::NoSpace | Act::Io | Act::Pause));
    let born = trial.acts.iter().any(|(name, _)| *name == "child.born");
    let dies = trial.acts.iter().any(|(name, _)| name.split('+').any(is_of_supervisor));
    let done = if fails || born {
        Done::Faults
    } else if dies {
        Done::Supervisors
    } else {
        ALL[trial.scenario].allowed
    };
    oracle::look(yard, &[("t".to_owned(), done)].into()).map_err(|what| format!("{what}\nbefore: {told}"))?;
    Ok(reached == trial.acts.len())
}

/// A command waits at a point; another runs to its end meanwhile; then the first goes on.
fn pause(yard: &Yard, words: &str, armed: &dyn Fn(&str) -> support::Orch) -> Result<Ended, String> {
    let place = yard.shop.scratch("pause");
    for name in ["pause", "pause.go"] {
        std::fs::remove_file(yard.shop.scratch(name)).ok();
    }
    let (mut said, mut go) = (yard.shop.fifo("pause"), yard.shop.fifo("pause.go"));
    let going = armed(&format!("pause:{}", place.display())).start();
    said.next();
    let meanwhile = yard.orch(words).run();
    go.say("go");
    let ended = going.end();
    drop::<[Fifo; 2]>([said, go]);
    check(&meanwhile, Act::Pause).map_err(|what| format!("meanwhile: {what}"))?;
    Ok(ended)
}

/// Whether a command ended in a documented way.
fn check(ended: &Ended, act: Act) -> Result<(), String> {
    let right = match ended.code() {
        Some(0 | 1 | 2 | 4 | 10 | 70 | 75 | 78 | 143) => !ended.stderr().contains("panicked"),
        Some(_) => false,
        None => act == Act::Abort,
    };
    if right { Ok(()) } else { Err(format!("a command ends so: {ended}")) }
}
