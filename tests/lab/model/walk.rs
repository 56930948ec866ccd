//! The model as seeds walk it: deeper than breadth first can come, with more deaths and attempts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Bounds, PIPELINE, Process, Runner, TRUTHS, World, act, look};
use crate::build;
use crate::draw::{Draw, Size, again, number, seed};

const BOUNDS: Bounds = Bounds { deaths: 12, attempts: 16, released: 3 };
/// Moves of a seed, and how many in a row may find nothing to do.
const MOVES_MAX: u32 = 400;
const IDLE_MAX: u32 = 40;

#[test]
fn seeds_of_the_engine_alone() {
    let count = number("ORCH_LAB_SEEDS").unwrap_or(Size::wanted().of(2_000, 1_000_000));
    let first = number("ORCH_LAB_FIRST").unwrap_or_else(|| seed() * 1_000_000);
    let begun = Instant::now();
    let (next, moves) = (AtomicU64::new(first), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let pipeline = build::pipeline(PIPELINE);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let told = Told(seed);
                    moves.fetch_add(walk(seed, &pipeline), Ordering::Relaxed);
                    std::mem::forget(told);
                }
            });
        }
    });
    let moves = moves.into_inner();
    eprintln!("engine alone, {count} seeds from {first}: {moves} moves, {:.0} s", begun.elapsed().as_secs_f64());
    assert!(moves > count * 20, "the walk stands still");
}

/// Says which seed it was, where a law is broken.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        let repeat = again(&[("ORCH_LAB_FIRST", &self.0), ("ORCH_LAB_SEEDS", &1)], "seeds_of_the_engine_alone");
        eprintln!("VIOLATION seed {}\nrepeat: {repeat}", self.0);
    }
}

/// Walks one seed to its end; gives the moves that did something.
fn walk(seed: u64, pipeline: &orch::domain::pipeline::Pipeline) -> u64 {
    let mut draw = Draw::new(seed);
    let mut world = World::first();
    let (mut moves, mut idle) = (0, 0);
    for _ in 0..MOVES_MAX {
        match moved(&world, pipeline, &mut draw) {
            Some(next) => {
                look(&next);
                world = next;
                moves += 1;
                idle = 0;
            }
            None if idle == IDLE_MAX => break,
            None => idle += 1,
        }
    }
    moves
}

/// What a lot leads to; `None` where it cannot happen now.
fn moved(world: &World, pipeline: &orch::domain::pipeline::Pipeline, draw: &mut Draw) -> Option<World> {
    let lot = draw.below(16);
    let runner = usize::try_from(draw.below(2)).unwrap();
    let mut living =
        world.processes.iter().filter(|(_, process)| **process == Process::Runs).map(|(number, _)| *number);
    match lot {
        0..8 => {
            let mut next = act(world, pipeline, BOUNDS, runner, world.runners[runner]);
            (!next.is_empty()).then(|| next.swap_remove(usize::try_from(draw.below(next.len() as u64)).unwrap()))
        }
        8 => (world.runners[runner] != Runner::Away && world.deaths < BOUNDS.deaths)
            .then(|| World { deaths: world.deaths + 1, ..world.with(runner, Runner::Away) }),
        9..14 => living.next().map(|number| world.become_of(number, Process::Recorded(draw.one_of(&TRUTHS)))),
        14 => living
            .next()
            .filter(|_| world.deaths < BOUNDS.deaths)
            .map(|number| World { deaths: world.deaths + 1, ..world.become_of(number, Process::Dead) }),
        _ => world.released(BOUNDS),
    }
}
