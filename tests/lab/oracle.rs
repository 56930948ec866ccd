//! The oracle: reads the store, the folders and the ledger that suites wrote outside orch, and says what is wrong
//! (invariants I1 to I7, I9 to I12, I14, I16 and I19 of RELIABILITY §6; I15 is the decoy's).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use orch::domain::decision::{Decision, Settlement};
use orch::domain::evidence::{Exit, ExitRecord, LostReason};
use orch::domain::task::Event;
use orch::engine::replay;
use orch::store::sqlite::SqliteStore;
use orch::store::{AttemptRecord, RunFilter, Store as _, StoredTask, Version};

use crate::support::Ended;
use crate::yard::{Note, Word, Yard};

/// What was done to a task, and so what may become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Runners died at most: every result is the true one.
    Runners,
    /// Supervisors died too: an attempt may be lost, and is never anything worse.
    Supervisors,
    /// Files and system calls failed: an attempt may end in a fault of the machine.
    Faults,
    /// The power went: an attempt may be lost, and so may files that are not the store's.
    Power,
}

/// What the oracle has looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) tasks: usize,
    pub(crate) attempts: usize,
    pub(crate) lost: usize,
}

/// Looks at everything of a yard, after recovery and at rest. `done` says what was done to each task.
///
/// # Errors
/// What is wrong, all of it.
pub(crate) fn look(yard: &Yard, done: &BTreeMap<String, Done>) -> Result<Seen, String> {
    let mut wrong = Wrong::default();
    let verified = yard.orch("verify --json").run();
    if verified.code() != Some(0) && !(done.values().all(|done| *done == Done::Power) && lacks_files_only(&verified)) {
        wrong.say(&format!("orch verify: {verified}"));
    }
    let store = SqliteStore::open_existing(&yard.state()).map_err(|error| format!("the store: {error}"))?;
    let tasks = store.tasks().map_err(|error| format!("the tasks: {error}"))?;
    let notes = yard.notes();
    let mut seen = Seen { tasks: tasks.len(), ..Seen::default() };
    let mut known = BTreeSet::new();
    for stored in &tasks {
        let name = stored.task.name.to_string();
        let what = done.get(&name).copied().unwrap_or(Done::Runners);
        wrong.place.clone_from(&name);
        let attempts = task(&store, stored, &mut wrong);
        seen.attempts += attempts.len();
        for attempt in &attempts {
            known.insert(attempt.intent.attempt.to_string());
            seen.lost += usize::from(ended(attempt, &notes, what, &mut wrong));
        }
        charges(stored, &attempts, &mut wrong);
        artifact(yard, &store, &name, &attempts, &mut wrong);
        records(&yard.state(), &attempts, what, &mut wrong);
    }
    wrong.place.clear();
    for note in notes.iter().filter(|note| !note.ended) {
        let starts = notes.iter().filter(|other| !other.ended && other.attempt == note.attempt).count();
        wrong.unless(starts == 1, || format!("I5: attempt {} was started {starts} times", note.attempt));
        wrong.unless(known.contains(&note.attempt), || format!("I5: attempt {} ran and is not stored", note.attempt));
    }
    for name in done.keys() {
        let there = tasks.iter().any(|stored| stored.task.name.as_str() == name);
        wrong.unless(there, || format!("I2: task {name} is not in the store"));
    }
    for pending in store.pending_effects(None).map_err(|error| error.to_string())? {
        // An artifact's mark may wait for the next commit of its task; its file is compared above.
        wrong.unless(pending.id.starts_with("publish:"), || format!("I16: effect {} was left", pending.id));
    }
    for left in [yard.shop.scratch(".shop.orch-control"), yard.shop.tree.join(".git/worktrees/.shop.orch-control")] {
        wrong.unless(!left.exists(), || format!("I14: {} was left", left.display()));
    }
    wrong.extend(&marked(&known));
    if wrong.text.is_empty() { Ok(seen) } else { Err(wrong.text) }
}

/// Whether all that is wrong is a log, a folder of a run or a supervisor's line, which no sync keeps. A line that tells
/// another end than the store is none of them.
fn lacks_files_only(verified: &Ended) -> bool {
    let Ok(told) = serde_json::from_slice::<serde_json::Value>(&verified.raw_stdout) else { return false };
    let findings = told["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let unkept = |finding: &serde_json::Value| match finding["part"].as_str() {
        Some("files") => true,
        Some("records") => !finding["what"].as_str().is_none_or(|what| what.contains("another end")),
        _ => false,
    };
    verified.code() == Some(1) && !findings.is_empty() && findings.iter().all(unkept)
}

#[derive(Default)]
struct Wrong {
    place: String,
    text: String,
}

impl Wrong {
    fn say(&mut self, what: &str) {
        writeln!(self.text, "{}: {what}", self.place).unwrap();
    }

    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.say(&what());
        }
    }

    fn extend(&mut self, others: &[String]) {
        for what in others {
            self.say(what);
        }
    }
}

/// One task: at rest, replayed, its runs closed. Its attempts in order.
fn task(store: &SqliteStore, stored: &StoredTask, wrong: &mut Wrong) -> Vec<AttemptRecord> {
    let name = &stored.task.name;
    wrong.unless(stored.task.state.live_run().is_none(), || format!("I17: it is left {:?}", stored.task.state));
    let events: Vec<Event> =
        store.events(name, Version::NONE).unwrap().into_iter().map(|record| record.event).collect();
    match replay(&events) {
        Ok(Some(task)) if task == stored.task => {}
        other => wrong.say(&format!("I9: its events lead to {other:?}, stored is {:?}", stored.task)),
    }
    let mut finals = Vec::new();
    for event in &events {
        if let Event::AttemptDecided(decided) = event {
            finals.push(decided.attempt);
        }
    }
    let once: BTreeSet<_> = finals.iter().map(ToString::to_string).collect();
    wrong.unless(once.len() == finals.len(), || "I3: an attempt was decided twice".to_owned());
    let runs = store.runs(&RunFilter { task: Some(name.clone()), limit: None }).unwrap();
    let mut attempts = Vec::new();
    for run in runs.iter().rev() {
        wrong.unless(run.closing.is_some(), || format!("I4: run {} was left open", run.start.run));
        attempts.extend(store.attempts(run.start.run).unwrap());
    }
    attempts
}

/// One attempt against what its suite noted. Whether it was lost.
fn ended(attempt: &AttemptRecord, notes: &[Note], what: Done, wrong: &mut Wrong) -> bool {
    let id = attempt.intent.attempt.to_string();
    let Some(decided) = &attempt.decided else {
        wrong.say(&format!("I3: attempt {id} has no outcome"));
        return false;
    };
    let word = notes.iter().find(|note| note.attempt == id).map(|note| note.word);
    let came_to_its_end = notes.iter().any(|note| note.ended && note.attempt == id);
    let exit = attempt.finished.as_ref().map(|finished| &finished.record.exit);
    let lost = matches!(exit, Some(Exit::Lost { .. }));
    match exit {
        Some(Exit::Lost { reason: LostReason::NeverStarted }) => {
            wrong.unless(word.is_none(), || format!("I1: attempt {id} ran and is called never started"));
        }
        Some(Exit::Lost { .. }) => {
            wrong.unless(what != Done::Runners, || format!("I1: attempt {id} is lost, and no supervisor died"));
        }
        Some(Exit::Answered(_)) => return false,
        Some(Exit::SpawnFailed(failure)) => {
            wrong.unless(what != Done::Runners, || format!("I1: attempt {id} did not start: {failure:?}"));
            wrong.unless(word.is_none(), || format!("I1: attempt {id} ran and is called never started"));
        }
        // A child that died before it became its program is taken for one that began: the safe side.
        Some(_) => {
            wrong.unless(word.is_some() || what == Done::Faults, || {
                format!("I1: attempt {id} has an end and never ran")
            });
        }
        None => wrong.say(&format!("I3: attempt {id} is decided without an end")),
    }
    let right = match (&decided.settlement, word) {
        (Settlement::Passed, Some(Word::Pass | Word::Slow | Word::Leaky)) => came_to_its_end && !lost,
        // Red evidence counts whether or not the end was seen; the answer of a control run needs it.
        (Settlement::Failed(_), Some(Word::Fail | Word::Mute)) => came_to_its_end,
        // A death in the control run took its answer.
        (Settlement::TransientInfra(_), Some(Word::Mute)) => came_to_its_end || lost,
        (Settlement::TransientInfra(_), Some(Word::Net | Word::Killed))
        | (Settlement::TimedOut(..), Some(Word::Hang))
        | (Settlement::Cancelled(_), Some(Word::Stop)) => true,
        // Nothing of it ran: it is no fault, and costs nothing.
        (Settlement::Cancelled(_), None) => matches!(exit, Some(Exit::Lost { reason: LostReason::NeverStarted })),
        (Settlement::PermanentEnv(_), Some(Word::Absent | Word::Stop)) => !lost,
        (Settlement::TransientInfra(_) | Settlement::PermanentEnv(_), _) => lost || what != Done::Runners,
        (Settlement::Unreadable(_) | Settlement::TimedOut(..), _) => what == Done::Faults,
        (Settlement::Passed | Settlement::Failed(_) | Settlement::Cancelled(_), _) => false,
    };
    wrong.unless(right, || {
        format!(
            "I10, I12: attempt {id} did {word:?} (ended: {came_to_its_end}) and is {:?}, {exit:?}",
            decided.settlement
        )
    });
    if let Decision::Hold(reason) = &decided.decision {
        wrong.unless(!reason.text().is_empty(), || format!("I19: the hold of attempt {id} says nothing"));
    }
    lost
}

/// Budgets pay for fails that rolled back, and for nothing else (I12, I20).
fn charges(stored: &StoredTask, attempts: &[AttemptRecord], wrong: &mut Wrong) {
    let mut rollbacks: u32 = 0;
    for decided in attempts.iter().filter_map(|attempt| attempt.decided.as_ref()) {
        if let Decision::Rollback { .. } = decided.decision {
            rollbacks += 1;
            let failed = matches!(decided.settlement, Settlement::Failed(_));
            wrong.unless(failed, || format!("I12: {:?} rolled the task back", decided.settlement));
        }
    }
    let spent: u32 = stored.task.spent.budgets.values().sum();
    wrong.unless(spent == rollbacks, || format!("I12: {spent} charged for {rollbacks} rollbacks"));
}

/// The artifact in the worktree is the store's (I11).
fn artifact(yard: &Yard, store: &SqliteStore, name: &str, attempts: &[AttemptRecord], wrong: &mut Wrong) {
    let of = |attempt: &AttemptRecord| attempt.decided.as_ref().and_then(|decided| decided.artifact.clone());
    let Some(last) = attempts.last() else { return };
    let Some(published) = of(last) else {
        // What an earlier attempt of the stage published must not answer for one that published nothing (row D3).
        let old = attempts.iter().filter(|attempt| attempt.intent.stage == last.intent.stage).find_map(of);
        wrong.unless(old.is_none_or(|old| !yard.shop.tree.join(old.path.as_str()).exists()), || {
            format!("I11: the artifact of {name} in the worktree is an earlier attempt's")
        });
        return;
    };
    let stored = store.artifact(&published.digest).ok().flatten();
    let there = fs::read(yard.shop.tree.join(published.path.as_str())).ok();
    wrong.unless(stored.is_some() && stored == there, || {
        format!("I11: the artifact of {name} in the worktree is not the store's")
    });
}

/// What supervisors wrote down is what the store says (I1).
fn records(state: &Path, attempts: &[AttemptRecord], what: Done, wrong: &mut Wrong) {
    for attempt in attempts {
        let file = state.join("runs").join(attempt.intent.run.to_string()).join("exits.jsonl");
        let Ok(bytes) = fs::read(&file) else { continue };
        for line in bytes.split(|byte| *byte == b'\n' || *byte == 0).filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
            let Ok(record) = serde_json::from_value::<ExitRecord>(line["fact"]["ended"].clone()) else { continue };
            if record.attempt != attempt.intent.attempt {
                continue;
            }
            let stored = attempt.finished.as_ref().map(|finished| &*finished.record);
            // Its lines are not synced: an end may be there without the start that makes it one (I1: that, or lost).
            let lost = stored.is_some_and(|stored| matches!(stored.exit, Exit::Lost { reason: LostReason::Reboot }));
            wrong.unless(stored == Some(&record) || (what == Done::Power && lost), || {
                format!("I1: its supervisor wrote {record:?}, stored is {stored:?}")
            });
        }
    }
}

/// Processes that still carry the mark of an attempt (I14).
fn marked(attempts: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(environ) = fs::read(entry.path().join("environ")) else { continue };
        for variable in environ.split(|byte| *byte == 0) {
            let Some(id) = variable.strip_prefix(b"ORCH_ATTEMPT=") else { continue };
            let id = String::from_utf8_lossy(id).into_owned();
            if attempts.contains(&id) {
                found.push(format!("I14: process {} of attempt {id} lives", entry.file_name().display()));
            }
        }
    }
    found
}
