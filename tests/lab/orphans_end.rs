//! Stages that end while no runner lives: the next run records the true result, and nothing is run again (goal G4).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::draw::{Draw, Size, again, seed};
use crate::support::{FAILS, NOTES, PASSES, Shop};
use crate::yard::{Watched, supervisor};

const WORKERS: u64 = 2;
/// Long beyond what a suite takes to end that was let go.
const SOON: Duration = Duration::from_mins(1);
/// Tasks that share a store.
const TASKS_A_STORE: u64 = 50;

/// How a suite ends, what a run says of it, and the settlement that is stored.
const ENDS: [(&str, i32, &str); 4] =
    [("pass", 0, "passed"), ("fail", 1, "failed"), ("absent", 78, "permanent-env"), ("killed", 75, "transient-infra")];

#[test]
fn stages_that_end_alone() {
    let wanted = Size::wanted().of(12, 1_000);
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, found) = (&next, &found);
            scope.spawn(move || {
                let (shop, mut said, mut go) = waiting();
                let mut draw = Draw::new(seed() ^ (worker << 32));
                while next.fetch_add(1, Ordering::Relaxed) < wanted {
                    let task = next.load(Ordering::Relaxed);
                    let end = draw.one_of(&ENDS);
                    if let Err(what) = alone(&shop, &mut said, &mut go, task, end) {
                        found.lock().unwrap().push(format!("task t{task}, {end:?}: {what}"));
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    eprintln!(
        "stages that end alone, seed {}: {wanted}, {} of them wrong, {:.0} s",
        seed(),
        found.len(),
        begun.elapsed().as_secs_f64()
    );
    let repeat = again(&[("ORCH_LAB_SEED", &seed()), ("ORCH_LAB", &"long")], "stages_that_end_alone");
    assert!(found.is_empty(), "{}\nrepeat: {repeat}", found.join("\n"));
}

/// A suite that says its pid, waits for a word, and does what the word says.
fn waiting() -> (Shop, crate::support::Fifo, crate::support::Fifo) {
    let suite = format!(
        "{NOTES}echo $$ > SCRATCH/said\nread word < SCRATCH/go\ncase $word in\npass) {PASSES};;\nfail) {FAILS};;\n\
         absent) exit 127;;\nkilled) kill -KILL $$;;\nesac\n"
    );
    let shop = Shop::running(&suite);
    let (said, go) = shop.said_and_go();
    (shop, said, go)
}

fn alone(
    shop: &Shop,
    said: &mut crate::support::Fifo,
    go: &mut crate::support::Fifo,
    task: u64,
    (word, code, settled): (&str, i32, &str),
) -> Result<(), String> {
    let state = shop.scratch(&format!("state-{}", task / TASKS_A_STORE));
    let orch = |words: &str| shop.orch(words).env("ORCH_STATE_DIR", &state);
    let before = shop.ledger().len();
    let going = orch(&format!("pipeline run --quiet --task t{task}")).start();
    let suite = Watched::of(said.pid()).ok_or("the suite is gone")?;
    let supervisor = supervisor(going.pid(), &state).ok_or("there is no supervisor")?;
    going.kill();
    go.say(word);
    // Its supervisor writes the record and ends: from here on nobody of orch lives.
    if !suite.is_gone_within(SOON) || !supervisor.is_gone_within(SOON) {
        return Err("the suite or its supervisor does not end".to_owned());
    }
    let ended = orch(&format!("pipeline run --quiet --task t{task} --json")).run();
    if ended.code() != Some(code) {
        return Err(format!("the next run ends so: {ended}"));
    }
    let shown = orch("run list --json --limit 1 --task").arg(format!("t{task}")).run().json();
    let run = shown["runs"][0]["run"].as_str().ok_or_else(|| format!("no run: {shown}"))?.to_owned();
    let attempts = orch("run show --json").arg(&run).run().json()["attempts"].clone();
    let told: Vec<&str> =
        attempts.as_array().unwrap().iter().filter_map(|attempt| attempt["settlement"].as_str()).collect();
    if told != [settled] {
        return Err(format!("{attempts} and not {settled}"));
    }
    let starts = shop.ledger().len() - before;
    if starts != 1 {
        return Err(format!("the suite was started {starts} times"));
    }
    Ok(())
}
