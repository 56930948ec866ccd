//! Completions of many runs of one store in the same moment (goal G10): each is recorded as what it was.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use orch::domain::decision::Settlement;
use orch::store::sqlite::SqliteStore;
use orch::store::{RunFilter, Store as _};

use crate::draw::{Draw, Size, again, seed};
use crate::support::{Fifo, Shop};

/// Runs at the same time, each in a worktree of its own.
const AT_ONCE: usize = 64;

/// Each suite says that it is there and is let go by the same event as all the others. The last stage's end is the
/// task's word.
const SUITE: &str = "\
echo \"$ORCH_STAGE $ORCH_ATTEMPT\" >> SCRATCH/ledger
echo here > SCRATCH/said
{ :; } < \"SCRATCH/gate-$ORCH_STAGE\"
code=0
if [ $ORCH_STAGE = sSTAGES ]; then read code < \"SCRATCH/code-$ORCH_TASK\"; fi
echo \"$ORCH_ATTEMPT $code\" >> SCRATCH/ends
exit $code
";

fn pipeline(stages: usize) -> String {
    let mut text = "version: 1\nname: crowd\nartifacts: docs/work-items/{task}\nstages:\n".to_owned();
    for stage in 1..=stages {
        let next = if stage == stages { "done".to_owned() } else { format!("s{}", stage + 1) };
        write!(
            text,
            "  s{stage}:\n    producer:\n      command: {{ command: [sh, suite.sh], evidence: exit-code }}\n    gate: none\n    \
             infra: {{ retries: 0 }}\n    transitions: {{ pass: {next}, fail: failed }}\n"
        )
        .unwrap();
    }
    text
}

#[test]
fn completions_at_once() {
    // Stages of a run; all runs meet at the end of each.
    let (stages, wanted) = Size::wanted().of((2, 128), (10, 20_000_usize));
    let batches = wanted.div_ceil(AT_ONCE * stages);
    let begun = Instant::now();
    let shop = Shop::new(&pipeline(stages), &[("suite.sh", &SUITE.replace("STAGES", &stages.to_string()))]);
    let trees: Vec<PathBuf> = (0..AT_ONCE).map(|n| shop.scratch(&format!("tree-{n}"))).collect();
    for tree in &trees {
        shop.git(&["worktree", "add", "-q", "--detach", tree.to_str().unwrap()]);
    }
    let mut said = shop.fifo("said");
    for stage in 1..=stages {
        let gate = shop.scratch(&format!("gate-s{stage}"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    }
    let mut draw = Draw::new(seed());
    let (mut completions, mut wrong) = (0, Vec::new());
    for batch in 0..batches {
        let codes: Vec<u64> = (0..AT_ONCE).map(|_| draw.below(2)).collect();
        let (counted, found) = crowd(&shop, &trees, &mut said, (batch, stages), &codes);
        completions += counted;
        wrong.extend(found);
    }
    eprintln!(
        "completions, seed {}: {completions}, {AT_ONCE} at once, {} wrong, {:.0} s",
        seed(),
        wrong.len(),
        begun.elapsed().as_secs_f64()
    );
    let repeat = again(&[("ORCH_LAB_SEED", &seed())], "completions_at_once");
    assert!(wrong.is_empty(), "{}\nrepeat: {repeat}", wrong.join("\n"));
    assert_eq!(completions, batches * AT_ONCE * stages);
}

/// One run in each worktree, all of them in step. Completions, and what is wrong with them.
fn crowd(
    shop: &Shop,
    trees: &[PathBuf],
    said: &mut Fifo,
    (batch, stages): (usize, usize),
    codes: &[u64],
) -> (usize, Vec<String>) {
    for file in ["ledger", "ends"] {
        fs::remove_file(shop.scratch(file)).ok();
    }
    let state = shop.scratch(&format!("state-{batch}"));
    let name = |n: usize| format!("b{batch}-{n}");
    let mut going = Vec::new();
    for (n, (tree, code)) in trees.iter().zip(codes).enumerate() {
        fs::write(shop.scratch(&format!("code-{}", name(n))), format!("{code}\n")).unwrap();
        let words = format!("pipeline run --quiet --task {}", name(n));
        going.push(shop.orch(&words).cwd(tree).env("ORCH_STATE_DIR", &state).start());
    }
    let mut gates = Vec::new();
    for stage in 1..=stages {
        for _ in trees {
            assert_eq!(said.next(), "here");
        }
        // Whoever opens a FIFO to read waits for the one who writes: all are let go by this one call, and late ones
        // find it open.
        let gate = shop.scratch(&format!("gate-s{stage}"));
        gates.push(fs::File::options().read(true).write(true).open(gate).unwrap());
    }
    let mut wrong = Vec::new();
    for (n, (going, code)) in going.into_iter().zip(codes).enumerate() {
        let ended = going.end();
        if ended.code() != Some(i32::try_from(*code).unwrap()) {
            wrong.push(format!("task {} with code {code}: {ended}", name(n)));
        }
    }
    let ends = fs::read_to_string(shop.scratch("ends")).unwrap();
    let store = SqliteStore::open_existing(&state).unwrap();
    let audit = store.verify().unwrap();
    if !audit.is_clean() {
        wrong.push(format!("{audit:?}"));
    }
    let mut completions = 0;
    for run in store.runs(&RunFilter::default()).unwrap() {
        for attempt in store.attempts(run.start.run).unwrap() {
            let id = attempt.intent.attempt.to_string();
            let truth: Vec<&str> = ends.lines().filter_map(|line| line.strip_prefix(&format!("{id} "))).collect();
            let told = attempt.decided.map(|decided| decided.settlement);
            let right = match &told {
                Some(Settlement::Passed) => truth == ["0"],
                Some(Settlement::Failed(_)) => truth == ["1"],
                _ => false,
            };
            completions += 1;
            if !right {
                wrong.push(format!("attempt {id} ended with {truth:?} and is {told:?}"));
            }
        }
    }
    if ends.lines().count() != completions {
        wrong.push(format!("{} ended and {completions} are stored", ends.lines().count()));
    }
    fs::remove_dir_all(&state).unwrap();
    (completions, wrong)
}
