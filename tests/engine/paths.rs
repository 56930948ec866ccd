//! What holds on every path: random pipelines, random ends, random events in any order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use orch::domain::decision::{Decision, Settlement};
use orch::domain::pipeline::{Advance, OnFail, Pipeline, Stage};
use orch::domain::task::{AttemptPhase, Event, RunEnd, Task, TaskState};
use orch::engine::{charge, decide, replay, step};

use crate::build::{
    budget, closed, decided, finished, hold_for, intended, is_fault, nth, pipeline, run_started, settlements, stage,
    task_added,
};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Attempts that one visit of a stage may have: an agent's unreadable artifact is worth a second one.
fn attempts_a_visit(stage: &Stage) -> u32 {
    if stage.producer.kind().is_deterministic() { 1 } else { 2 }
}

/// Most attempts of a task before it stops: every rollback is paid for, and between two rollbacks a task visits
/// each stage at most once, as passes lead in no circle.
fn attempts_max(pipeline: &Pipeline) -> u32 {
    let rollbacks: u32 = pipeline.budgets().values().sum();
    let per_walk: u32 = pipeline.stages().iter().map(attempts_a_visit).sum();
    (rollbacks + 1) * per_walk
}

/// One stage of a random pipeline, before it has a name.
#[derive(Debug, Clone)]
struct Draft {
    producer: u8,
    fail: u8,
    to: usize,
    budget: u8,
    /// A stage beside the chain that the rollback goes to, and where its pass leads.
    aside: Option<usize>,
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (0..4_u8, 0..6_u8, any::<usize>(), 0..3_u8, proptest::option::weighted(0.3, any::<usize>()))
        .prop_map(|(producer, fail, to, budget, aside)| Draft { producer, fail, to, budget, aside });
    proptest::collection::vec(draft, 1..7)
}

/// The text of a valid pipeline: a chain of stages with rollbacks to earlier ones, to themselves and to stages aside.
fn text(drafts: &[Draft], budgets: &[u32]) -> String {
    let mut text = "version: 1\nname: random\nbudgets:\n".to_owned();
    for (n, max) in budgets.iter().enumerate() {
        writeln!(text, "  b{n}: {max}").unwrap();
    }
    text.push_str("stages:\n");
    let mut asides = String::new();
    for (n, draft) in drafts.iter().enumerate() {
        let pass = if n + 1 < drafts.len() { format!("s{}", n + 1) } else { "done".to_owned() };
        let back = draft.to % (n + 1);
        let to = match draft.aside {
            Some(to) if draft.fail > 1 => {
                stage_text(&mut asides, &format!("fix{n}"), 0, &format!("s{}", to % (n + 1)), "hold");
                format!("fix{n}")
            }
            _ => format!("s{back}"),
        };
        let fail = match draft.fail {
            0 => "hold".to_owned(),
            1 => "failed".to_owned(),
            _ => format!("{{ rollback: {to}, charge: b{} }}", usize::from(draft.budget) % budgets.len()),
        };
        stage_text(&mut text, &format!("s{n}"), draft.producer, &pass, &fail);
    }
    text + &asides
}

fn stage_text(text: &mut String, name: &str, producer: u8, pass: &str, fail: &str) {
    let (producer, rest) = match producer {
        0 => (
            "agent: { profile: custom, prompt: p.md, command: [write] }",
            format!("artifact: {name}.md\n    gate: {{ key: status, pass: [READY], fail: [BLOCKED] }}"),
        ),
        1 => ("command: { command: [run], evidence: exit-code }", "gate: none".to_owned()),
        2 => ("test-runner: { command: [run] }", "gate: none".to_owned()),
        _ => ("test-runner: { command: [run] }", format!("artifact: {name}.md\n    gate: tests-passed")),
    };
    writeln!(
        text,
        "  {name}:\n    producer:\n      {producer}\n    {rest}\n    transitions: {{ pass: {pass}, fail: {fail} }}"
    )
    .unwrap();
}

fn random_pipeline() -> impl Strategy<Value = Pipeline> {
    (drafts(), proptest::collection::vec(0..4_u32, 1..4))
        .prop_map(|(drafts, budgets)| pipeline(&text(&drafts, &budgets)))
}

fn any_settlement() -> impl Strategy<Value = Settlement> {
    // Verdicts more often, so that walks become long.
    let all = settlements();
    let (passed, failed) = (all[0].clone(), all[1].clone());
    prop_oneof![4 => Just(passed), 4 => Just(failed), 2 => proptest::sample::select(all)]
}

/// One attempt from a ready task to its decision, with every law of a single move checked.
fn attempt(pipeline: &Pipeline, task: &Task, settlement: &Settlement, log: &mut Vec<Event>) -> (Task, Decision) {
    let TaskState::Ready { run: _, stage, visit, number } = &task.state else { panic!("{task:?} is not ready") };
    let id = u32::try_from(log.len()).unwrap();
    let place = pipeline.stage(stage).unwrap();
    let decision = decide(pipeline, place, &task.spent, settlement);
    assert_eq!(decision, decide(pipeline, place, &task.spent, settlement), "same input, same answer");
    let mut next = task.clone();
    for event in [
        intended(1, id, stage.as_str(), (*visit, *number)),
        finished(id),
        decided(id, settlement.clone(), decision.clone()),
    ] {
        let once = step(Some(&next), &event).unwrap();
        assert_eq!(Ok(&once), step(Some(&next), &event).as_ref(), "same input, same answer");
        next = once.task;
        log.push(event);
    }
    lawful_move(task, settlement, &decision, &next);
    (next, decision)
}

/// What a single move may do.
fn lawful_move(before: &Task, settlement: &Settlement, decision: &Decision, after: &Task) {
    let units = |task: &Task| task.spent.budgets.values().sum::<u32>();
    if is_fault(settlement) {
        assert!(
            !matches!(decision, Decision::Rollback { .. } | Decision::Fail | Decision::Advance(_)),
            "{settlement:?} led to {decision:?}"
        );
        assert_eq!(charge(decision), None, "{settlement:?} was charged");
        assert_eq!(before.spent.budgets, after.spent.budgets);
        assert_eq!(before.state.stage(), after.state.stage(), "a fault leaves the task where it is");
    }
    assert_eq!(
        matches!(decision, Decision::Advance(_)),
        *settlement == Settlement::Passed,
        "a pass advances, and nothing else does"
    );
    let rollback = u32::from(matches!(decision, Decision::Rollback { .. }));
    assert_eq!(units(after), units(before) + rollback, "a rollback costs one unit, anything else none");
    assert_eq!(charge(decision).is_some(), rollback == 1);
}

/// Drives a task until it stops; gives back every event.
fn drive(pipeline: &Pipeline, mut next: impl FnMut(&Task, &Stage) -> Settlement) -> (Task, Vec<Event>, u32) {
    let first = pipeline.first().name.as_str();
    let mut log = vec![task_added(), run_started(1, first)];
    let mut task = replay(&log).unwrap().unwrap();
    let mut attempts = 0;
    let max = attempts_max(pipeline);
    loop {
        let TaskState::Ready { stage, .. } = &task.state else { return (task, log, attempts) };
        let settlement = next(&task, pipeline.stage(stage).unwrap());
        let (after, decision) = attempt(pipeline, &task, &settlement, &mut log);
        task = after;
        attempts += 1;
        assert!(attempts <= max, "{attempts} attempts, at most {max} were promised");
        if decision == Decision::Interrupt {
            return (task, log, attempts);
        }
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_loop_ends(pipeline in random_pipeline(), ends in proptest::collection::vec(any_settlement(), 1..40)) {
        let mut ends = ends.iter().cycle();
        let (task, log, _) = drive(&pipeline, |_, _| ends.next().unwrap().clone());
        prop_assert_eq!(replay(&log), Ok(Some(task)), "replay of the events gives the same task");
        for (name, max) in pipeline.budgets() {
            let spent = log_rollbacks(&log, name.as_str());
            prop_assert!(spent <= *max, "budget {} was charged {} times, {} are allowed", name, spent, max);
        }
    }

    /// The worst case: every fail that can be paid for, every rewrite that is given.
    #[test]
    fn even_the_longest_way_ends(pipeline in random_pipeline()) {
        let (task, _, attempts) = drive(&pipeline, |task, stage| {
            let payable = match &stage.fail {
                OnFail::Rollback { charge, .. } => task.spent.of(charge) < pipeline.budget(charge),
                OnFail::Hold | OnFail::Failed => false,
            };
            let all = settlements();
            match (stage.producer.kind().is_deterministic(), task.spent.rewrites, payable) {
                (false, 0, _) => all[2].clone(),
                (_, _, true) => all[1].clone(),
                (_, _, false) => Settlement::Passed,
            }
        });
        let done = matches!(task.state, TaskState::Done { .. });
        prop_assert!(done && attempts >= 1);
    }

    /// Only `Settlement::Passed` of the attempt under way, after its end, opens the way: for any events in any order.
    #[test]
    fn no_order_of_events_opens_a_gate(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut task: Option<Task> = None;
        let mut accepted = Vec::new();
        for event in &events {
            let answer = step(task.as_ref(), event);
            prop_assert_eq!(&answer, &step(task.as_ref(), event));
            let Ok(next) = answer else { continue };
            if let Some(before) = &task {
                lawful_step(before, event, &next.task);
            }
            accepted.push(event.clone());
            task = Some(next.task);
        }
        prop_assert_eq!(replay(&accepted), Ok(task));
    }

    /// A log with one event that is not lawful is refused at that event.
    #[test]
    fn replay_stops_at_the_event_that_is_not_lawful(
        pipeline in random_pipeline(),
        ends in proptest::collection::vec(any_settlement(), 1..10),
        place in any::<prop::sample::Index>(),
    ) {
        let mut ends = ends.iter().cycle();
        let (_, log, _) = drive(&pipeline, |_, _| ends.next().unwrap().clone());
        let at = place.index(log.len()) + 1;
        let mut forged = log.clone();
        forged.insert(at, task_added());
        let refused = replay(&forged).unwrap_err();
        prop_assert_eq!((refused.0, refused.1.event), (at, "task-added"));
    }
}

fn log_rollbacks(log: &[Event], name: &str) -> u32 {
    let charged = |event: &&Event| match event {
        Event::AttemptDecided(decided) => charge(&decided.decision) == Some(&budget(name)),
        Event::TaskAdded { .. }
        | Event::RunStarted(_)
        | Event::AttemptIntended(_)
        | Event::AttemptFinished { .. }
        | Event::RunClosed { .. } => false,
    };
    u32::try_from(log.iter().filter(charged).count()).unwrap()
}

/// Events of a small world, so that many of them fit together.
fn any_event() -> impl Strategy<Value = Event> {
    let run = 1..3_u32;
    let attempt = 1..4_u32;
    let place = prop_oneof![Just("development"), Just("testing")];
    let ends = [RunEnd::Done, RunEnd::Failed, RunEnd::Held, RunEnd::Cancelled, RunEnd::Interrupted];
    prop_oneof![
        1 => Just(task_added()),
        3 => (run.clone(), place.clone()).prop_map(|(run, place)| run_started(run, place)),
        6 => (run.clone(), attempt.clone(), place, 1..3_u32, 1..3_u32)
            .prop_map(|(run, attempt, place, visit, number)| intended(run, attempt, place, (nth(visit), nth(number)))),
        6 => attempt.clone().prop_map(finished),
        6 => (attempt, any_settlement(), any_decision())
            .prop_map(|(attempt, settlement, decision)| {
                // Half of them fit: else hardly any would be accepted.
                let decision = decision.unwrap_or_else(|| fitting(&settlement));
                decided(attempt, settlement, decision)
            }),
        3 => (run, proptest::sample::select(ends.to_vec())).prop_map(|(run, end)| closed(run, end)),
    ]
}

fn any_decision() -> impl Strategy<Value = Option<Decision>> {
    let any = prop_oneof![
        Just(Decision::Advance(Advance::Done)),
        Just(Decision::Advance(Advance::To(stage("testing")))),
        Just(Decision::Rollback { to: stage("development"), charge: budget("retry") }),
        Just(Decision::Rewrite),
        Just(Decision::Fail),
        Just(Decision::Interrupt),
        any_settlement().prop_map(|settlement| Decision::Hold(hold_for(&settlement))),
    ];
    proptest::option::of(any)
}

fn fitting(settlement: &Settlement) -> Decision {
    match settlement {
        Settlement::Passed => Decision::Advance(Advance::To(stage("testing"))),
        Settlement::Failed(_) => Decision::Rollback { to: stage("development"), charge: budget("retry") },
        Settlement::Cancelled(_) => Decision::Interrupt,
        Settlement::Unreadable(_)
        | Settlement::TimedOut(..)
        | Settlement::PermanentEnv(_)
        | Settlement::TransientInfra(_) => Decision::Hold(hold_for(settlement)),
    }
}

/// What an accepted event may do to a task.
fn lawful_step(before: &Task, event: &Event, after: &Task) {
    let moved = before.state.stage() != after.state.stage() || after.state.is_terminal();
    match event {
        Event::AttemptDecided(decided) => {
            let TaskState::Running { attempt, phase, .. } = &before.state else {
                panic!("decided without an attempt under way");
            };
            assert_eq!((*attempt, *phase), (decided.attempt, AttemptPhase::Finished));
            lawful_move(before, &decided.settlement, &decided.decision, after);
            if matches!(after.state, TaskState::Done { .. }) {
                assert_eq!(decided.settlement, Settlement::Passed);
            }
            if matches!(after.state, TaskState::Failed { .. }) {
                assert!(matches!(decided.settlement, Settlement::Failed(_)));
            }
        }
        Event::RunStarted(start) => {
            assert_eq!(before.state.live_run(), None, "one live run a task");
            assert_eq!(after.state.live_run(), Some(start.run));
            let fresh = before.state.is_terminal();
            assert_eq!(after.spent.budgets, if fresh { BTreeMap::new() } else { before.spent.budgets.clone() });
        }
        Event::AttemptIntended(intent) => {
            assert_eq!(before.state.live_run(), Some(intent.run));
            assert!(!moved, "an intent moves nothing");
        }
        Event::AttemptFinished { record, .. } => {
            let finished = |state: &TaskState| {
                let TaskState::Running { attempt, phase, .. } = state else { return None };
                Some((*attempt, *phase))
            };
            assert_eq!(finished(&before.state), Some((record.attempt, AttemptPhase::Intended)));
            assert_eq!(finished(&after.state), Some((record.attempt, AttemptPhase::Finished)));
            assert!(!moved, "an end moves nothing before it is decided");
        }
        Event::RunClosed { run, end, .. } => {
            assert!(!matches!(before.state, TaskState::Running { .. }), "a run never leaves an attempt undecided");
            if let Some(owner) = before.state.live_run() {
                assert_eq!(owner, *run);
            }
            let told = match &after.state {
                TaskState::Held { .. } => *end == RunEnd::Held,
                TaskState::Done { .. } => *end == RunEnd::Done,
                TaskState::Failed { .. } => *end == RunEnd::Failed,
                TaskState::Queued { .. } => matches!(end, RunEnd::Interrupted | RunEnd::Done),
                TaskState::Ready { .. } | TaskState::Running { .. } | TaskState::Cancelled { .. } => false,
            };
            assert!(told, "a run closed as {} leaves {:?}", end.as_str(), after.state);
        }
        Event::TaskAdded { .. } => panic!("a task is added once"),
    }
}
