//! Many starters at one worktree: exactly one runs, and each of the others is refused with its name.
//!
//! The short form is 5 rounds of 64 starters. The long form is 200 rounds:
//!
//! ```sh
//! ORCH_TEST_RACE_ROUNDS=200 cargo test --release --test cli race -- --nocapture
//! ```
//!
//! Both print the time from a starter's start to its refusal, git's own start included: p50 and p99 over all rounds.
//! Nothing is asserted about it: it is the machine's, which here starts 64 programs at once.

use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::support::{Ended, NOTES, PASSES, Shop, WAITS};

const STARTERS: usize = 64;
const ROUNDS: &str = "ORCH_TEST_RACE_ROUNDS";
const ROUNDS_SHORT: usize = 5;

fn clock() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

struct Starter {
    pid: i32,
    took: Duration,
    ended: Ended,
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what the long form is run for")]
fn of_64_starters_one_runs_and_the_others_name_it() {
    let rounds = std::env::var(ROUNDS).map_or(ROUNDS_SHORT, |text| text.parse().unwrap());
    let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    let mut refusals = Vec::with_capacity(rounds * STARTERS);
    for round in 1..=rounds {
        let (ended, ends) = channel();
        std::thread::scope(|scope| {
            for _ in 0..STARTERS {
                let (ended, shop) = (ended.clone(), &shop);
                scope.spawn(move || {
                    let since = clock();
                    // Again, though it passed in the last round.
                    let going = shop.orch("pipeline run --quiet --from testing").start();
                    let pid = going.pid();
                    let end = going.end();
                    ended.send(Starter { pid, took: clock().saturating_sub(since), ended: end }).unwrap();
                });
            }
            said.next();
            // The winner waits for a word, so these are all the others.
            let refused: Vec<Starter> = (1..STARTERS).map(|_| ends.recv().unwrap()).collect();
            go.say("go");
            let winner = ends.recv().unwrap();
            winner.ended.exits(0);
            let name = format!("pid {} on ", winner.pid);
            for Starter { took, ended, .. } in refused {
                ended.refused(4, &name);
                refusals.push(took);
            }
        });
        assert_eq!(shop.ledger().len(), round, "exactly one suite ran in each round");
    }
    let runs = shop.orch("run list --limit 10000 --json").run().exits(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), rounds);
    refusals.sort_unstable();
    println!(
        "{rounds} rounds of {STARTERS} starters: start to refusal p50 {:?}, p99 {:?}",
        percentile(&refusals, 50),
        percentile(&refusals, 99)
    );
}
