//! What one event may do to a task, said once more and otherwise than the engine says it.

use std::collections::BTreeMap;
use std::time::Duration;

use orch::domain::decision::{Decision, HoldReason, Settlement};
use orch::domain::pipeline::Stage;
use orch::domain::task::{AttemptPhase, Event, Releaser, RunEnd, Task, TaskState};
use orch::engine::charge;

use crate::build::{at, is_fault, is_unknown};

/// What an accepted event may do to a task.
pub(crate) fn lawful_step(before: &Task, event: &Event, after: &Task) {
    let moved = before.state.stage() != after.state.stage() || after.state.is_terminal();
    lawful_rest(before, event, after);
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
            assert_eq!(
                before.state.deferral().is_some() && !moved,
                after.state.deferral().is_some(),
                "a retry waits on"
            );
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
                TaskState::Deferred { .. } => matches!(end, RunEnd::Interrupted | RunEnd::Held),
                TaskState::Ready { .. }
                | TaskState::Running { .. }
                | TaskState::Waiting { .. }
                | TaskState::Paused { .. }
                | TaskState::Cancelled { .. } => false,
            };
            assert!(told, "a run closed as {} leaves {:?}", end.as_str(), after.state);
        }
        Event::StageHeld { run, stage, reason, .. } => {
            let TaskState::Ready { run: owner, stage: next, .. } = &before.state else {
                panic!("held between no two attempts: {before:?}");
            };
            assert_eq!((owner, next), (run, stage));
            assert!(reason.is_before_a_start(), "{reason:?}");
            assert!(matches!(&after.state, TaskState::Held { reason: told, .. } if told == reason));
            assert_eq!(before.spent, after.spent);
        }
        Event::RetryDue { run, number, .. } => {
            let TaskState::Waiting { run: owner, stage, visit, number: next, .. } = before.state.clone() else {
                panic!("a timer without a wait: {before:?}");
            };
            assert_eq!((owner, next), (*run, *number), "a stale timer does nothing");
            assert_eq!(after.state, TaskState::Ready { run: owner, stage, visit, number: next });
            assert_eq!(before.spent, after.spent);
        }
        Event::HoldReleased { by, .. } => lawful_release(before, by, after),
        Event::TaskPaused { .. } => {
            assert!(before.state.live_run().is_none() && !before.state.is_terminal());
            let TaskState::Paused { was, .. } = &after.state else { panic!("{after:?}") };
            assert!(!matches!(**was, TaskState::Paused { .. }) && **was == before.state);
            assert_eq!(before, &Task { state: before.state.clone(), ..after.clone() }, "pausing changes nothing else");
        }
        Event::TaskResumed { .. } => {
            let TaskState::Paused { was, .. } = &before.state else { panic!("{before:?}") };
            assert_eq!(after, &Task { state: (**was).clone(), ..before.clone() }, "resuming gives back what it was");
        }
        Event::TaskCancelled { .. } => {
            assert!(before.state.live_run().is_none() && !before.state.is_terminal());
            assert!(matches!(after.state, TaskState::Cancelled { .. }));
            assert_eq!(before.spent, after.spent);
        }
        Event::WorktreeMade { .. } | Event::WorktreeRemoved { .. } => {
            assert!(before.state.live_run().is_none() && before.checkout.is_some());
            let Task { worktree, checkout, .. } = before.clone();
            assert_eq!(before, &Task { worktree, checkout, ..after.clone() }, "a worktree changes nothing else");
        }
        Event::TaskAdded { .. } => panic!("a task is added once"),
    }
}

/// What moves a task that stands still, and what it costs while it does.
fn lawful_rest(before: &Task, event: &Event, after: &Task) {
    match &before.state {
        TaskState::Held { .. } => {
            let person = matches!(
                event,
                Event::HoldReleased { .. }
                    | Event::RunStarted(_)
                    | Event::TaskPaused { .. }
                    | Event::TaskCancelled { .. }
            );
            assert!(person || before == after, "{event:?} moved a held task");
        }
        TaskState::Paused { .. } => {
            assert!(matches!(event, Event::TaskResumed { .. } | Event::TaskCancelled { .. }), "{event:?}");
        }
        TaskState::Cancelled { .. } => assert!(matches!(event, Event::RunStarted(_)), "{event:?}"),
        TaskState::Queued { .. }
        | TaskState::Ready { .. }
        | TaskState::Running { .. }
        | TaskState::Waiting { .. }
        | TaskState::Deferred { .. }
        | TaskState::Done { .. }
        | TaskState::Failed { .. } => {}
    }
    let waits = after.state.deferral().is_some();
    assert_eq!(after.state.takes_a_turn(), after.state.live_run().is_some() && !waits, "who waits takes no turn");
}

/// The same stage runs next, with nothing spent on the way into the hold; only a person fills a budget again.
fn lawful_release(before: &Task, by: &Releaser, after: &Task) {
    assert!(matches!(before.state, TaskState::Held { .. } | TaskState::Deferred { .. }), "{before:?}");
    assert_eq!(after.state, TaskState::Queued { stage: before.state.stage().cloned() });
    assert_eq!((after.spent.rewrites, after.spent.retries), (0, 0));
    let mut budgets = before.spent.budgets.clone();
    if let TaskState::Held { reason: HoldReason::BudgetSpent { budget, .. }, .. } = &before.state {
        assert_ne!(*by, Releaser::Probe);
        budgets.remove(budget);
    }
    assert_eq!(after.spent.budgets, budgets);
    assert_eq!((&before.visits, before.launches), (&after.visits, after.launches));
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
    if let Some((retry, max, pause)) = retry_of(decision) {
        assert!(matches!(settlement, Settlement::TransientInfra(_)), "{settlement:?} led to {decision:?}");
        assert!(retry == before.spent.retries + 1 && retry == after.spent.retries && retry <= max);
        let deferral = after.state.deferral().unwrap();
        assert_eq!((deferral.retry, deferral.max, deferral.pause), (retry, max, pause));
        assert_eq!(deferral.due, at() + pause, "due when it was decided and the pause is over");
    }
    assert_eq!(retry_of(decision).is_some(), matches!(after.state, TaskState::Waiting { .. }));
}

/// Retry, maximum and pause of a decision.
pub(crate) fn retry_of(decision: &Decision) -> Option<(u32, u32, Duration)> {
    if let Decision::Retry { retry, max, pause } = decision { Some((*retry, *max, *pause)) } else { None }
}

/// The retry that a settlement is worth.
pub(crate) fn retry_due_to(
    stage: &Stage,
    so_far: u32,
    began: bool,
    settlement: &Settlement,
) -> Option<(u32, u32, Duration)> {
    let Settlement::TransientInfra(_) = settlement else { return None };
    let max = if is_unknown(settlement) { stage.infra.retries.min(1) } else { stage.infra.retries };
    if (began && !stage.producer.idempotent()) || so_far >= max {
        return None;
    }
    let wanted = (0..so_far).fold(stage.infra.backoff_base, |pause, _| pause * 2);
    Some((so_far + 1, max, wanted.min(stage.infra.backoff_cap)))
}
