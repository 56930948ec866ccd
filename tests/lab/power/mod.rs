//! Power losses: the calls of real runs are written down, and from each point on the way a disk is built as it may be
//! found afterwards; recovery goes over it, and the oracle looks (RELIABILITY §7, layer 6; goal G22).
//!
//! The machine after the loss is another boot: its boot id is another one, in mounts of the test's own.

mod calls;
mod disk;
mod record;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use crate::draw::{Draw, Size, again, number, seed};
use crate::oracle::{self, Done};
use crate::scenario::{CHECKPOINT, SCENARIOS, Scenario, Stage};
use crate::support::{command, in_own_mounts};

use disk::{Disk, Manner};
use record::{Recording, record};

const TEST: &str = "power::a_disk_after_a_power_loss";
const WORKERS: usize = 2;
/// Most violations that are told.
const TOLD_MAX: usize = 12;
/// After so many states of a scenario a line says how far it is.
const TOLD_EVERY: u64 = 50;
/// How often a state is drawn again that was looked at before.
const REDRAWN_MAX: u32 = 8;

/// Ways that are recorded; the others wait for a minute of their own or differ in what happens outside of files.
const RECORDED: [&str; 10] = [
    "pass",
    "fail-rollback",
    "retry",
    "deferred",
    "permanent-hold",
    "release",
    "resume",
    "cancel",
    "spawn-failure",
    "approval",
];

fn scenarios() -> Vec<&'static Scenario> {
    let recorded = SCENARIOS.iter().filter(|scenario| RECORDED.contains(&scenario.name));
    // Its recording alone takes many runs.
    let long = (Size::wanted() == Size::Long).then_some(&CHECKPOINT);
    recorded.chain(long).collect()
}

#[test]
fn a_disk_after_a_power_loss() {
    in_own_mounts(TEST, || {
        let states = number("ORCH_LAB_STATES").unwrap_or(Size::wanted().of(80, 5_200));
        let begun = Instant::now();
        let stage = Stage::new();
        let mut recordings: Vec<Recording> =
            scenarios().iter().map(|scenario| record(scenario, scenario.yard(&stage))).collect();
        for recording in recordings.iter().filter(|recording| recording.name == CHECKPOINT.name) {
            assert!(recording.syncs("orch.db"), "the log was not written back in it");
        }
        let points: usize = recordings.iter().map(|recording| recording.ops.len()).sum();
        other_boot(recordings[0].yard.shop.scratch("boot-id").as_path());
        let scenarios = recordings.len();
        let waiting: Mutex<Vec<(usize, &mut Recording)>> = Mutex::new(recordings.iter_mut().enumerate().collect());
        let found = Mutex::new(Vec::new());
        let looked_at = Mutex::new((0_u64, 0_u64));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let Some((which, recording)) = waiting.lock().unwrap().pop() else { return };
                        let (states, lost) = lose((which, scenarios), recording, states, &found);
                        let mut looked_at = looked_at.lock().unwrap();
                        *looked_at = (looked_at.0 + states, looked_at.1 + lost);
                    }
                });
            }
        });
        let (looked_at, lost) = looked_at.into_inner().unwrap();
        let found = found.into_inner().unwrap();
        eprintln!(
            "power losses, seed {}: {looked_at} states of {points} points in {} scenarios, {lost} attempts lost, {} violations, {:.0} s",
            seed(),
            scenarios,
            found.len(),
            begun.elapsed().as_secs_f64(),
        );
        assert!(found.is_empty(), "{}", found.join("\n"));
        assert!(looked_at > 0, "nothing was looked at");
    });
}

/// From now on, and as long as these mounts are there, this is another start of the machine.
fn other_boot(file: &Path) {
    fs::write(file, "00000000-0000-4000-8000-000000000000\n").unwrap();
    let mounted = command("mount").arg("--bind").arg(file).arg("/proc/sys/kernel/random/boot_id").status();
    assert!(mounted.is_ok_and(|status| status.success()), "a boot id cannot be laid over the machine's");
}

/// Looks at this scenario's part of so many states. How many, and how many attempts were lost in them.
fn lose((which, of): (usize, usize), recording: &mut Recording, states: u64, found: &Mutex<Vec<String>>) -> (u64, u64) {
    let one = number("ORCH_LAB_STATE");
    let mut known = BTreeSet::new();
    let (mut looked_at, mut lost) = (0, 0);
    for state in (which as u64..states).step_by(of).filter(|state| one.is_none_or(|one| one == *state)) {
        if found.lock().unwrap().len() >= TOLD_MAX {
            break;
        }
        let mut draw = Draw::new(seed() ^ (state << 24));
        let mut drawn = draw_state(recording, &mut draw);
        for _ in 0..REDRAWN_MAX {
            if known.insert(drawn.state.number()) {
                looked_at += 1;
                if looked_at % TOLD_EVERY == 0 {
                    eprintln!("{}: {looked_at} states", recording.name);
                }
                match look(recording, &drawn) {
                    Ok(seen) => lost += seen as u64,
                    Err(what) => {
                        let repeat = again(
                            &[("ORCH_LAB_SEED", &seed()), ("ORCH_LAB_STATES", &states), ("ORCH_LAB_STATE", &state)],
                            TEST,
                        );
                        let place = format!("state {state}, {}, {:?} at {}", recording.name, drawn.manner, drawn.place);
                        eprintln!("VIOLATION seed {}, {place}: {what}\nrepeat: {repeat}", seed());
                        found.lock().unwrap().push(format!("{place}\n  {repeat}"));
                    }
                }
                break;
            }
            drawn = draw_state(recording, &mut draw);
        }
    }
    (looked_at, lost)
}

/// A disk as it may be found.
struct Drawn {
    state: disk::State,
    manner: Manner,
    /// How many of the calls had been made.
    calls: usize,
    /// The last of them, for people.
    place: String,
}

fn draw_state(recording: &Recording, draw: &mut Draw) -> Drawn {
    let calls = usize::try_from(draw.below(recording.ops.len() as u64 + 1)).unwrap();
    let manner = draw.one_of(&Manner::ALL);
    let mut disk: Disk = recording.before.clone();
    recording.ops[..calls].iter().for_each(|op| disk.apply(op));
    let place = calls
        .checked_sub(1)
        .map_or_else(|| "the start".to_owned(), |last| format!("call {calls}: {}", recording.tell(last)));
    Drawn { state: disk.lose_power(manner, draw), manner, calls, place }
}

/// Builds a disk, lets orch go on, and has the oracle look. How many attempts were lost.
fn look(recording: &Recording, drawn: &Drawn) -> Result<usize, String> {
    recording.wipe();
    drawn.state.build(&recording.yard.state());
    let acknowledged = recording.acknowledged(drawn.calls);
    recording.settle().map_err(|what| format!("it does not go on: {what}"))?;
    let seen = oracle::look(&recording.yard, &[("t".to_owned(), Done::Power)].into())?;
    recording.check(acknowledged)?;
    Ok(seen.lost)
}
