//! The tables, whole: what a settlement leads to, and which event is lawful where.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use orch::domain::decision::{Decision, HoldReason, Settlement, Spent};
use orch::domain::evidence::{Canceller, Limit};
use orch::domain::outcome::Reason;
use orch::domain::pipeline::Advance;
use orch::domain::task::{AttemptPhase, Event, RunEnd, Task, TaskState};
use orch::engine::{charge, decide, step};

use crate::build::{
    at, attempt_id, budget, closed, decided, decided_with, fault, finished, hold_for, intended, move_of, nth,
    outcome_of, pipeline, run_id, run_started, settlements, stage, task_added, unreadable, word,
};

/// Compares with the snapshot beside this file.
fn matches_snapshot(name: &str, text: &str) {
    let settings = {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(".");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings
    };
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A pipeline whose second stage has the producer and the fail transition under test.
fn judged_by(producer: &str, fail: &str) -> orch::domain::pipeline::Pipeline {
    let producer = match producer {
        "agent" => "agent: { profile: custom, prompt: p.md, command: [write] }",
        _ => "test-runner: { command: [run] }",
    };
    pipeline(&format!(
        "version: 1\nname: table\nbudgets: {{ retry: 2 }}\nstages:\n  \
         development:\n    producer:\n      agent: {{ profile: custom, prompt: p.md, command: [write] }}\n    \
         artifact: 11-development.md\n    gate: {{ key: status, pass: [READY], fail: [BLOCKED] }}\n    \
         transitions: {{ pass: testing, fail: hold }}\n  \
         testing:\n    producer:\n      {producer}\n    artifact: 13-test-report.md\n    gate: tests-passed\n    \
         transitions: {{ pass: release, fail: {fail} }}\n  \
         release:\n    producer:\n      command: {{ command: [run], evidence: exit-code }}\n    gate: none\n    \
         transitions: {{ pass: done, fail: {{ rollback: development, charge: retry }} }}\n"
    ))
}

#[test]
fn every_settlement_has_its_decision() {
    let mut table = String::from(
        "settlement            fail says  budget   producer       rewrites  decision                                charges\n",
    );
    for settlement in settlements() {
        for (says, fail) in
            [("rollback", "{ rollback: development, charge: retry }"), ("hold", "hold"), ("failed", "failed")]
        {
            for (state, used) in [("unspent", 1), ("spent", 2)] {
                for producer in ["deterministic", "agent"] {
                    for rewrites in [0, 1] {
                        let pipeline = judged_by(producer, fail);
                        let judged = pipeline.stage(&stage("testing")).unwrap();
                        let spent = Spent { budgets: BTreeMap::from([(budget("retry"), used)]), rewrites };
                        let decision = decide(&pipeline, judged, &spent, &settlement);
                        let charged = charge(&decision).map_or("-".to_owned(), ToString::to_string);
                        writeln!(
                            table,
                            "{:<20}  {says:<9}  {state:<7}  {producer:<13}  {rewrites:<8}  {:<38}  {charged}",
                            word(&settlement),
                            move_of(&decision)
                        )
                        .unwrap();
                    }
                }
            }
        }
    }
    matches_snapshot("decisions", &table);
}

#[test]
fn every_event_is_lawful_or_refused_in_every_state() {
    let mut table = String::new();
    for (name, task) in states() {
        writeln!(table, "## {name}").unwrap();
        for (what, event) in events() {
            let answer = match step(task.as_ref(), &event) {
                Ok(next) => format!("{}{}", shown(&next.task), if next.effects.is_empty() { "" } else { " + publish" }),
                Err(refused) => format!("refused: {}", refused.why),
            };
            writeln!(table, "{what:<64} {answer}").unwrap();
        }
        table.push('\n');
    }
    matches_snapshot("steps", &table);
}

#[test]
fn a_settlement_carries_its_own_decisions_only() {
    let mut table = String::new();
    let task = states().into_iter().find(|(name, _)| *name == "running, finished").and_then(|(_, task)| task).unwrap();
    for settlement in settlements() {
        let mut carried = Vec::new();
        let mut refused = Vec::new();
        for (name, decision) in decisions() {
            match step(Some(&task), &decided(1, settlement.clone(), decision)) {
                Ok(_) => carried.push(name),
                Err(_) => refused.push(name),
            }
        }
        writeln!(table, "{}\n  carries  {}\n  refuses  {}", word(&settlement), carried.join(", "), refused.join(", "))
            .unwrap();
    }
    matches_snapshot("carries", &table);
}

#[test]
fn a_settlement_needs_an_outcome_that_it_can_come_from() {
    let mut table = String::new();
    let task = states().into_iter().find(|(name, _)| *name == "running, finished").and_then(|(_, task)| task).unwrap();
    let classes = settlements();
    for settlement in settlements() {
        let decision = match &settlement {
            Settlement::Passed => Decision::Advance(Advance::Done),
            Settlement::Failed(_) => Decision::Fail,
            Settlement::Cancelled(_) => Decision::Interrupt,
            Settlement::Unreadable(_)
            | Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_) => Decision::Hold(hold_for(&settlement)),
        };
        for (class, from) in ["pass", "fail", "permanent-env", "transient-infra", "no outcome"].into_iter().zip([
            &classes[0],
            &classes[1],
            &classes[6],
            &classes[7],
            &classes[8],
        ]) {
            let event = decided_with(1, outcome_of(from), settlement.clone(), decision.clone());
            let answer = step(Some(&task), &event).map_or_else(|refused| refused.why, |_| "lawful");
            writeln!(table, "{:<20} from {class:<16} {answer}", word(&settlement)).unwrap();
        }
    }
    matches_snapshot("outcomes", &table);
}

/// Every state, with run 1, attempt 1 and stage `testing` in it.
fn states() -> Vec<(&'static str, Option<Task>)> {
    let running = |phase| TaskState::Running {
        run: run_id(1),
        stage: stage("testing"),
        visit: nth(1),
        attempt: attempt_id(1),
        number: nth(1),
        phase,
    };
    let states = vec![
        ("queued, new", TaskState::Queued { stage: None }),
        ("queued at testing", TaskState::Queued { stage: Some(stage("testing")) }),
        ("ready", TaskState::Ready { run: run_id(1), stage: stage("testing"), visit: nth(1), number: nth(1) }),
        ("running, intended", running(AttemptPhase::Intended)),
        ("running, finished", running(AttemptPhase::Finished)),
        ("held", TaskState::Held { run: run_id(1), stage: stage("testing"), reason: HoldReason::Failed, since: at() }),
        ("done", TaskState::Done { run: run_id(1), at: at() }),
        ("failed", TaskState::Failed { run: run_id(1), stage: stage("testing"), at: at() }),
        ("cancelled", TaskState::Cancelled { at: at() }),
    ];
    let with = |state: TaskState| {
        let mut task = step(None, &task_added()).unwrap().task;
        if state != (TaskState::Queued { stage: None }) {
            task.visits = BTreeMap::from([(stage("development"), 1), (stage("testing"), 1)]);
            task.spent = Spent { budgets: BTreeMap::from([(budget("retry"), 1)]), rewrites: 1 };
        }
        task.launches = u32::from(!matches!(state, TaskState::Queued { stage: None } | TaskState::Ready { .. }));
        Task { state, ..task }
    };
    let known = states.into_iter().map(|(name, state)| (name, Some(with(state))));
    [("no task", None)].into_iter().chain(known).collect()
}

/// Every kind of event, rightful and not.
fn events() -> Vec<(String, Event)> {
    let rollback = Decision::Rollback { to: stage("development"), charge: budget("retry") };
    let failed = || Settlement::Failed(Vec::new());
    let mut events = vec![
        ("task-added".to_owned(), task_added()),
        ("run-started at its stage".to_owned(), run_started(2, "testing")),
        ("run-started at another stage".to_owned(), run_started(2, "development")),
        ("attempt-intended, the next".to_owned(), intended(1, 1, "testing", (nth(1), nth(1)))),
        ("attempt-intended, of another run".to_owned(), intended(2, 1, "testing", (nth(1), nth(1)))),
        ("attempt-intended, of another stage".to_owned(), intended(1, 1, "development", (nth(1), nth(1)))),
        ("attempt-intended, of another visit".to_owned(), intended(1, 1, "testing", (nth(2), nth(1)))),
        ("attempt-intended, of another number".to_owned(), intended(1, 1, "testing", (nth(1), nth(2)))),
        ("attempt-finished".to_owned(), finished(1)),
        ("attempt-finished, another attempt".to_owned(), finished(2)),
        (
            "decided: another attempt passed".to_owned(),
            decided(2, Settlement::Passed, Decision::Advance(Advance::Done)),
        ),
    ];
    let moves = [
        (Settlement::Passed, Decision::Advance(Advance::To(stage("release")))),
        (Settlement::Passed, Decision::Advance(Advance::Done)),
        (failed(), rollback.clone()),
        (failed(), Decision::Fail),
        (failed(), Decision::Hold(HoldReason::Failed)),
        (failed(), Decision::Advance(Advance::Done)),
        (Settlement::Unreadable(unreadable()), Decision::Rewrite),
        (Settlement::Unreadable(unreadable()), Decision::Hold(HoldReason::Unreadable(unreadable()))),
        (
            Settlement::TransientInfra(fault(Reason::Lost)),
            Decision::Hold(HoldReason::TransientInfra(fault(Reason::Lost))),
        ),
        (Settlement::TransientInfra(fault(Reason::Lost)), rollback),
        (Settlement::Cancelled(Canceller::Shutdown), Decision::Interrupt),
    ];
    for (settlement, decision) in moves {
        events.push((
            format!("decided: {}, {}", word(&settlement), move_of(&decision)),
            decided(1, settlement, decision),
        ));
    }
    for end in [RunEnd::Done, RunEnd::Failed, RunEnd::Held, RunEnd::Cancelled, RunEnd::Interrupted] {
        events.push((format!("run-closed as {}", end.as_str()), closed(1, end)));
    }
    events.push(("run-closed by another run".to_owned(), closed(2, RunEnd::Interrupted)));
    events
}

/// Every decision, the holds with each of their reasons.
fn decisions() -> Vec<(&'static str, Decision)> {
    vec![
        ("advance", Decision::Advance(Advance::To(stage("release")))),
        ("done", Decision::Advance(Advance::Done)),
        ("rollback", Decision::Rollback { to: stage("development"), charge: budget("retry") }),
        ("rewrite", Decision::Rewrite),
        ("hold as failed", Decision::Hold(HoldReason::Failed)),
        ("hold as budget-spent", Decision::Hold(HoldReason::BudgetSpent { budget: budget("retry"), max: 2 })),
        ("hold as unreadable", Decision::Hold(HoldReason::Unreadable(unreadable()))),
        ("hold as timed-out (total)", Decision::Hold(HoldReason::TimedOut(Limit::Total, fault(Reason::Timeout)))),
        ("hold as timed-out (idle)", Decision::Hold(HoldReason::TimedOut(Limit::Idle, fault(Reason::Stalled)))),
        ("hold as timed-out (start)", Decision::Hold(HoldReason::TimedOut(Limit::Start, fault(Reason::StartTimeout)))),
        ("hold as permanent-env", Decision::Hold(HoldReason::PermanentEnv(fault(Reason::SpawnFailed)))),
        ("hold as transient-infra", Decision::Hold(HoldReason::TransientInfra(fault(Reason::Lost)))),
        ("hold for another fault", Decision::Hold(HoldReason::TransientInfra(fault(Reason::Killed)))),
        ("fail", Decision::Fail),
        ("interrupt", Decision::Interrupt),
    ]
}

/// A task as a table shows it.
fn shown(task: &Task) -> String {
    let state = match &task.state {
        TaskState::Queued { stage: None } => "queued".to_owned(),
        TaskState::Queued { stage: Some(stage) } => format!("queued at {stage}"),
        TaskState::Ready { stage, visit, number, .. } => format!("ready at {stage} {visit}.{number}"),
        TaskState::Running { stage, visit, number, phase, .. } => {
            format!("running {stage} {visit}.{number} {phase:?}").to_lowercase()
        }
        TaskState::Held { stage, reason, .. } => format!("held at {stage} ({})", reason.kind()),
        TaskState::Done { .. } => "done".to_owned(),
        TaskState::Failed { stage, .. } => format!("failed at {stage}"),
        TaskState::Cancelled { .. } => "cancelled".to_owned(),
    };
    let spent = task.spent.budgets.get(&budget("retry")).copied().unwrap_or(0);
    format!("{state}; spent {spent}, rewrites {}, launches {}", task.spent.rewrites, task.launches)
}
