//! The tables, whole: what a settlement leads to, and which event is lawful where.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use orch::domain::decision::{Decision, HoldReason, Settlement, Spent};
use orch::domain::evidence::{Canceller, Exit, Limit, LostReason, SpawnFailure, SpawnStep};
use orch::domain::outcome::Reason;
use orch::domain::pipeline::{Advance, InfraPolicy};
use orch::domain::task::{AttemptPhase, Effect, Event, Releaser, RunEnd, Task, TaskState};
use orch::engine::{Launched, charge, decide, pause_before, probe, step};

use crate::build::{
    at, attempt_id, budget, cancelled, closed, decided, decided_with, deferral, evidence_of, fault, finished, hold_for,
    intended, is_unknown, move_of, nth, outcome_of, paused, person, pipeline, released, resumed, retry, retry_due,
    run_id, run_started, settlements, stage, stage_held, switched_off, task_added, unreadable, word,
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
        "not idempotent" => "test-runner: { command: [run], idempotent: false }",
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
    // What nobody recognises differs in its retries only: they have their own table.
    for settlement in settlements().into_iter().filter(|settlement| !is_unknown(settlement)) {
        for (says, fail) in
            [("rollback", "{ rollback: development, charge: retry }"), ("hold", "hold"), ("failed", "failed")]
        {
            for (state, used) in [("unspent", 1), ("spent", 2)] {
                for producer in ["deterministic", "agent"] {
                    for rewrites in [0, 1] {
                        let pipeline = judged_by(producer, fail);
                        let judged = pipeline.stage(&stage("testing")).unwrap();
                        let spent = Spent { budgets: BTreeMap::from([(budget("retry"), used)]), rewrites, retries: 0 };
                        let launched = Launched { producer: &judged.producer, began: true, infra: &judged.infra };
                        let decision = decide(&pipeline, judged, &spent, launched, &settlement);
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

/// Which fault is worth another try: what began, what may begin again, what the visit has spent (rows A9, C14-C16).
#[test]
fn every_fault_has_its_retries() {
    let mut table = String::new();
    for max in [0, 3] {
        let infra = InfraPolicy { retries: max, backoff_base: secs(30), backoff_cap: secs(100) };
        writeln!(table, "## infra: {{ retries: {max}, backoff: 30s..100s }}").unwrap();
        table
            .push_str("settlement                           began  idempotent  decision after 0, 1, 2 and 3 retries\n");
        for settlement in settlements() {
            for began in [false, true] {
                for producer in ["deterministic", "not idempotent"] {
                    let pipeline = judged_by(producer, "hold");
                    let judged = pipeline.stage(&stage("testing")).unwrap();
                    let decisions = [0, 1, 2, 3].map(|retries| {
                        let launched = Launched { producer: &judged.producer, began, infra: &infra };
                        let spent = Spent { retries, ..Spent::default() };
                        let decision = decide(&pipeline, judged, &spent, launched, &settlement);
                        assert_eq!(charge(&decision), None, "{settlement:?} was charged");
                        move_of(&decision)
                    });
                    let same = decisions.iter().all(|decision| *decision == decisions[0]);
                    let shown = if same { decisions[0].clone() } else { decisions.join(" | ") };
                    let (began, idempotent) = (yes(began), yes(judged.producer.idempotent()));
                    writeln!(table, "{:<35}  {began:<5}  {idempotent:<10}  {shown}", word(&settlement)).unwrap();
                }
            }
        }
        table.push('\n');
    }
    matches_snapshot("retries", &table);
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Row A9: the pause doubles from its base up to its cap, however many there were.
#[test]
fn a_pause_doubles_up_to_its_cap() {
    let check = |base, cap, expected: [u64; 6]| {
        let infra = InfraPolicy { retries: 100, backoff_base: secs(base), backoff_cap: secs(cap) };
        assert_eq!(
            [1, 2, 3, 4, 50, u32::MAX].map(|nth| pause_before(nth, &infra)),
            expected.map(secs),
            "{base}..{cap}"
        );
    };
    check(30, 600, [30, 60, 120, 240, 600, 600]);
    check(1, 1, [1, 1, 1, 1, 1, 1]);
    check(10, 15, [10, 15, 15, 15, 15, 15]);
    check(0, 600, [0, 0, 0, 0, 0, 0]);
    check(u64::MAX / 2, u64::MAX, [u64::MAX / 2, u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX, u64::MAX]);
}

/// Every hold has a probe, and only a hold that may end by itself has one that orch can try.
#[test]
fn every_hold_has_its_probe() {
    let mut table = String::from("hold              seen                            ends by itself  waits until\n");
    let failed_to = |step| Exit::SpawnFailed(SpawnFailure { step, errno: Some(2), subject: "cargo".to_owned() });
    let seen = [
        ("nothing", None),
        ("exited 1", Some(Exit::Exited { code: 1 })),
        ("lost", Some(Exit::Lost { reason: LostReason::SupervisorDied })),
        ("no program", Some(failed_to(SpawnStep::Find))),
        ("no folder", Some(failed_to(SpawnStep::Cwd))),
        ("no exec", Some(failed_to(SpawnStep::Exec))),
        ("no fork", Some(failed_to(SpawnStep::Fork))),
    ];
    for reason in reasons() {
        for (what, exit) in &seen {
            let evidence = exit.clone().map(evidence_of);
            let probe = probe(&reason, evidence.as_ref());
            assert!(!probe.can_be_tried() || reason.may_end_by_itself(), "{reason:?} would be released by {probe:?}");
            let ends = yes(reason.may_end_by_itself());
            writeln!(table, "{:<16}  {what:<30}  {ends:<14}  {}", reason.kind(), probe.text()).unwrap();
        }
    }
    matches_snapshot("probes", &table);
}

/// Every reason of a hold.
fn reasons() -> Vec<HoldReason> {
    let held = decisions().into_iter().filter_map(|(_, decision)| match decision {
        Decision::Hold(reason) => Some(reason),
        Decision::Advance(_)
        | Decision::Rollback { .. }
        | Decision::Rewrite
        | Decision::Retry { .. }
        | Decision::Fail
        | Decision::Interrupt => None,
    });
    let mut reasons: Vec<HoldReason> = held.chain([HoldReason::Approval, switched_off()]).collect();
    reasons.dedup_by_key(|reason| reason.kind());
    reasons
}

#[test]
fn every_event_is_lawful_or_refused_in_every_state() {
    let mut table = String::new();
    for (name, task) in states() {
        writeln!(table, "## {name}").unwrap();
        for (what, event) in events() {
            let answer = match step(task.as_ref(), &event) {
                Ok(next) => {
                    let effects = next.effects.iter().map(|effect| match effect {
                        Effect::PublishArtifact { .. } => " + publish",
                        Effect::Alert { .. } => " + alert",
                    });
                    format!("{}{}", shown(&next.task), effects.collect::<String>())
                }
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
            writeln!(table, "{:<35} from {class:<16} {answer}", word(&settlement)).unwrap();
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
        (
            "waiting for a retry",
            TaskState::Waiting {
                run: run_id(1),
                stage: stage("testing"),
                visit: nth(1),
                number: nth(2),
                deferral: deferral(),
            },
        ),
        ("deferred", deferred()),
        ("held", held(HoldReason::Failed)),
        ("held, budget spent", held(HoldReason::BudgetSpent { budget: budget("retry"), max: 1 })),
        ("held, permanent-env", held(HoldReason::PermanentEnv(fault(Reason::SpawnFailed)))),
        ("held for an approval", held(HoldReason::Approval)),
        ("paused, was new", aside(TaskState::Queued { stage: None })),
        ("paused, was deferred", aside(deferred())),
        ("paused, was held", aside(held(HoldReason::Failed))),
        ("done", TaskState::Done { run: run_id(1), at: at() }),
        ("failed", TaskState::Failed { run: run_id(1), stage: stage("testing"), at: at() }),
        ("cancelled", TaskState::Cancelled { at: at() }),
    ];
    let with = |state: TaskState| {
        let mut task = step(None, &task_added()).unwrap().task;
        let new = [TaskState::Queued { stage: None }, aside(TaskState::Queued { stage: None })].contains(&state);
        if !new {
            task.visits = [(stage("development"), 1), (stage("testing"), 1)].into_iter().collect();
            task.spent = Spent { budgets: BTreeMap::from([(budget("retry"), 1)]), rewrites: 1, retries: 1 };
        }
        task.launches = u32::from(!new && !matches!(state, TaskState::Ready { .. }));
        Task { state, ..task }
    };
    let known = states.into_iter().map(|(name, state)| (name, Some(with(state))));
    [("no task", None)].into_iter().chain(known).collect()
}

fn held(reason: HoldReason) -> TaskState {
    TaskState::Held { run: run_id(1), stage: stage("testing"), reason, since: at() }
}

fn deferred() -> TaskState {
    TaskState::Deferred { run: run_id(1), stage: stage("testing"), deferral: deferral() }
}

fn aside(was: TaskState) -> TaskState {
    TaskState::Paused { was: Box::new(was), by: "ada".to_owned(), why: None, since: at() }
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
        (Settlement::TransientInfra(fault(Reason::Lost)), retry(1, 3)),
        (Settlement::TransientInfra(fault(Reason::Lost)), retry(2, 3)),
        (Settlement::TransientInfra(fault(Reason::Lost)), retry(2, 1)),
        (Settlement::PermanentEnv(fault(Reason::SpawnFailed)), retry(2, 3)),
        (Settlement::TransientInfra(fault(Reason::Lost)), rollback),
        (Settlement::Cancelled(Canceller::Shutdown), Decision::Interrupt),
    ];
    for (settlement, decision) in moves {
        events.push((
            format!("decided: {}, {}", word(&settlement), move_of(&decision)),
            decided(1, settlement, decision),
        ));
    }
    events.extend([
        ("stage-held for an approval".to_owned(), stage_held(1, "testing", HoldReason::Approval)),
        ("stage-held, switched off".to_owned(), stage_held(1, "testing", switched_off())),
        ("stage-held as failed".to_owned(), stage_held(1, "testing", HoldReason::Failed)),
        ("stage-held, another stage".to_owned(), stage_held(1, "development", HoldReason::Approval)),
        ("stage-held by another run".to_owned(), stage_held(2, "testing", HoldReason::Approval)),
        ("retry-due".to_owned(), retry_due(1, 2)),
        ("retry-due, of another run".to_owned(), retry_due(2, 2)),
        ("retry-due, of another number".to_owned(), retry_due(1, 1)),
        ("hold-released by a person".to_owned(), released(person())),
        ("hold-released by its probe".to_owned(), released(Releaser::Probe)),
        ("task-paused".to_owned(), paused()),
        ("task-resumed".to_owned(), resumed()),
        ("task-cancelled".to_owned(), cancelled()),
    ]);
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
        // The next one of the state it is tried in.
        ("retry", retry(2, 3)),
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
    let Spent { budgets, rewrites, retries } = &task.spent;
    let spent = budgets.get(&budget("retry")).copied().unwrap_or(0);
    let state = shown_state(&task.state);
    format!("{state}; spent {spent}, rewrites {rewrites}, retries {retries}, launches {}", task.launches)
}

fn shown_state(state: &TaskState) -> String {
    match state {
        TaskState::Queued { stage: None } => "queued".to_owned(),
        TaskState::Queued { stage: Some(stage) } => format!("queued at {stage}"),
        TaskState::Ready { stage, visit, number, .. } => format!("ready at {stage} {visit}.{number}"),
        TaskState::Running { stage, visit, number, phase, .. } => {
            format!("running {stage} {visit}.{number} {phase:?}").to_lowercase()
        }
        TaskState::Waiting { stage, visit, number, deferral, .. } => {
            format!("waiting at {stage} {visit}.{number} for retry {} of {}", deferral.retry, deferral.max)
        }
        TaskState::Deferred { stage, deferral, .. } => {
            format!("deferred at {stage} for retry {} of {}", deferral.retry, deferral.max)
        }
        TaskState::Held { stage, reason, .. } => format!("held at {stage} ({})", reason.kind()),
        TaskState::Paused { was, .. } => format!("paused ({})", shown_state(was)),
        TaskState::Done { .. } => "done".to_owned(),
        TaskState::Failed { stage, .. } => format!("failed at {stage}"),
        TaskState::Cancelled { .. } => "cancelled".to_owned(),
    }
}
