//! Which event is lawful in which state, and what follows. The store's log is a list of these events.

use std::num::NonZeroU32;

use crate::domain::decision::{Decision, HoldReason, Settlement, Spent};
use crate::domain::id::{RunId, StageName};
use crate::domain::outcome::{Conclusion, Outcome};
use crate::domain::pipeline::{Advance, Ordinal};
use crate::domain::task::{
    AttemptPhase, Decided, Deferral, Effect, Event, Intent, Releaser, RunEnd, RunStart, Task, TaskState,
};
use crate::domain::verdict::UnreadableReason;
use crate::domain::visits::Visits;

/// What follows from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The task after it.
    pub task: Task,
    /// What must be done in the world once the event is on the disk.
    pub effects: Vec<Effect>,
}

/// An event that is not lawful in a state. It is never applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event `{event}` is refused in state `{state}`: {why}")]
pub struct Refused {
    /// The state's word, `none` for a task that is not there.
    pub state: &'static str,
    /// The event's word.
    pub event: &'static str,
    /// Which law it would break.
    pub why: &'static str,
}

/// Applies one event; pure and total.
///
/// # Errors
/// [`Refused`] for an event that the state does not allow: the wrong order, another run's or attempt's event, a
/// decision that its settlement does not carry.
pub fn step(task: Option<&Task>, event: &Event) -> Result<Step, Refused> {
    let refused = |why| Refused { state: task.map_or("none", |task| task.state.status()), event: event.kind(), why };
    let Some(task) = task else {
        return match event {
            Event::TaskAdded { task, worktree, checkout, .. } => Ok(Step {
                task: Task {
                    name: task.clone(),
                    worktree: worktree.clone(),
                    checkout: checkout.clone(),
                    state: TaskState::Queued { stage: None },
                    spent: Spent::default(),
                    visits: Visits::default(),
                    launches: 0,
                },
                effects: Vec::new(),
            }),
            Event::WorktreeMade { .. }
            | Event::WorktreeRemoved { .. }
            | Event::RunStarted(_)
            | Event::AttemptIntended(_)
            | Event::AttemptFinished { .. }
            | Event::AttemptDecided(_)
            | Event::RunClosed { .. }
            | Event::StageHeld { .. }
            | Event::RetryDue { .. }
            | Event::HoldReleased { .. }
            | Event::TaskPaused { .. }
            | Event::TaskResumed { .. }
            | Event::TaskCancelled { .. } => Err(refused("there is no such task")),
        };
    };
    let mut next = task.clone();
    let mut effects = Vec::new();
    match event {
        Event::TaskAdded { .. } => return Err(refused("the task is there already")),
        Event::WorktreeMade { worktree, checkout, .. } => {
            if next.state.live_run().is_some() {
                return Err(refused("a run owns the task"));
            }
            if next.checkout.is_none() {
                return Err(refused("the task has no worktree of its own"));
            }
            next.worktree.clone_from(worktree);
            next.checkout = Some(checkout.clone());
        }
        Event::WorktreeRemoved { .. } => {
            if next.state.live_run().is_some() {
                return Err(refused("a run owns the task"));
            }
            let identity = next.checkout.as_mut().map(|checkout| &mut checkout.identity);
            if identity.and_then(Option::take).is_none() {
                return Err(refused("the task has no worktree of its own"));
            }
        }
        Event::RunStarted(start) => run_started(&mut next, start).map_err(refused)?,
        Event::AttemptIntended(intent) => intended(&mut next, intent).map_err(refused)?,
        Event::AttemptFinished { record, .. } => {
            let TaskState::Running { attempt, phase, .. } = &mut next.state else {
                return Err(refused("no attempt is under way"));
            };
            if *attempt != record.attempt {
                return Err(refused("another attempt is under way"));
            }
            if *phase != AttemptPhase::Intended {
                return Err(refused("the attempt has its exit record already"));
            }
            *phase = AttemptPhase::Finished;
        }
        Event::AttemptDecided(decided) => {
            decided_on(&mut next, decided).map_err(refused)?;
            effects.extend(
                decided.artifact.clone().map(|artifact| Effect::PublishArtifact { attempt: decided.attempt, artifact }),
            );
            effects.extend(alert(&next.state));
        }
        Event::RunClosed { run, end, .. } => run_closed(&mut next, *run, *end).map_err(refused)?,
        Event::StageHeld { run, stage, reason, at } => {
            stage_held(&mut next, *run, stage, reason, *at).map_err(refused)?;
            effects.extend(alert(&next.state));
        }
        Event::RetryDue { run, number, .. } => retry_due(&mut next, *run, *number).map_err(refused)?,
        Event::HoldReleased { by, .. } => released(&mut next, by).map_err(refused)?,
        Event::TaskPaused { by, why, at } => {
            require_rest(&next.state, "a paused task is paused already").map_err(refused)?;
            let was = Box::new(next.state.clone());
            next.state = TaskState::Paused { was, by: by.clone(), why: why.clone(), since: *at };
        }
        Event::TaskResumed { .. } => {
            let TaskState::Paused { was, .. } = next.state else { return Err(refused("the task is not paused")) };
            next.state = *was;
        }
        Event::TaskCancelled { at, .. } => {
            if !matches!(next.state, TaskState::Paused { .. }) {
                require_rest(&next.state, "the task is paused").map_err(refused)?;
            }
            next.state = TaskState::Cancelled { at: *at };
        }
    }
    Ok(Step { task: next, effects })
}

/// What somebody must be told of a state.
fn alert(state: &TaskState) -> Option<Effect> {
    let TaskState::Held { run, stage, reason, since } = state else { return None };
    Some(Effect::Alert { run: *run, stage: stage.clone(), reason: reason.clone(), since: *since })
}

/// Folds a log of events into the task they lead to.
///
/// # Errors
/// The first [`Refused`] event and its place in the log, from 0.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Option<Task>, (usize, Refused)> {
    let mut task = None;
    for (index, event) in events.into_iter().enumerate() {
        task = Some(step(task.as_ref(), event).map_err(|refused| (index, refused))?.task);
    }
    Ok(task)
}

fn run_started(task: &mut Task, start: &RunStart) -> Result<(), &'static str> {
    let resumes = match &task.state {
        TaskState::Ready { .. } | TaskState::Running { .. } | TaskState::Waiting { .. } => {
            return Err("another run owns the task");
        }
        TaskState::Paused { .. } => return Err("the task is paused"),
        TaskState::Queued { stage } => stage.as_ref() == Some(&start.stage),
        TaskState::Held { stage, .. } | TaskState::Deferred { stage, .. } => *stage == start.stage,
        TaskState::Done { .. } | TaskState::Failed { .. } | TaskState::Cancelled { .. } => {
            task.spent = Spent::default();
            false
        }
    };
    if resumes {
        let visit = ordinal(task.visits.of(&start.stage).unwrap_or(1));
        let (run, number) = (start.run, ordinal(task.launches.saturating_add(1)));
        let stage = start.stage.clone();
        task.state = match task.state.deferral().cloned() {
            Some(deferral) => TaskState::Waiting { run, stage, visit, number, deferral },
            None => TaskState::Ready { run, stage, visit, number },
        };
    } else {
        task.state = enter(task, start.run, &start.stage);
    }
    Ok(())
}

/// Enters a stage anew: a new visit, whose first attempt is next.
fn enter(task: &mut Task, run: RunId, stage: &StageName) -> TaskState {
    let visits = task.visits.enter(stage);
    task.spent.rewrites = 0;
    task.spent.retries = 0;
    task.launches = 0;
    TaskState::Ready { run, stage: stage.clone(), visit: ordinal(visits), number: ordinal(1) }
}

fn ordinal(n: u32) -> Ordinal {
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

fn intended(task: &mut Task, intent: &Intent) -> Result<(), &'static str> {
    let TaskState::Ready { run, stage, visit, number } = &task.state else {
        return Err("the task is not between two attempts");
    };
    if (*run, stage, *visit, *number) != (intent.run, &intent.stage, intent.visit, intent.number) {
        return Err("the attempt is not the next one of this run, stage and visit");
    }
    task.launches = intent.number.get();
    task.state = TaskState::Running {
        run: *run,
        stage: stage.clone(),
        visit: *visit,
        attempt: intent.attempt,
        number: *number,
        phase: AttemptPhase::Intended,
    };
    Ok(())
}

fn decided_on(task: &mut Task, decided: &Decided) -> Result<(), &'static str> {
    let TaskState::Running { run, stage, visit, attempt, number: _, phase } = task.state.clone() else {
        return Err("no attempt is under way");
    };
    if attempt != decided.attempt {
        return Err("another attempt is under way");
    }
    if phase != AttemptPhase::Finished {
        return Err("the attempt has no exit record yet");
    }
    if !comes_from(decided.outcome.as_ref(), &decided.settlement) {
        return Err("the outcome does not lead to this settlement");
    }
    if !carries(&decided.settlement, &decided.decision) {
        return Err("the settlement does not carry this decision");
    }
    let again = |task: &Task| TaskState::Ready {
        run,
        stage: stage.clone(),
        visit,
        number: ordinal(task.launches.saturating_add(1)),
    };
    if let Some(budget) = super::charge(&decided.decision) {
        let spent = task.spent.budgets.entry(budget.clone()).or_insert(0);
        *spent = spent.saturating_add(1);
    }
    task.state = match &decided.decision {
        Decision::Advance(Advance::To(to)) | Decision::Rollback { to, .. } => enter(task, run, to),
        Decision::Advance(Advance::Done) => TaskState::Done { run, at: decided.at },
        Decision::Rewrite => {
            task.spent.rewrites = task.spent.rewrites.saturating_add(1);
            again(task)
        }
        Decision::Retry { retry, max, pause } => {
            let Settlement::TransientInfra(fault) = &decided.settlement else {
                return Err("only a passing fault is waited out");
            };
            if *retry != task.spent.retries.saturating_add(1) || retry > max {
                return Err("the retry is not the next one of this visit");
            }
            task.spent.retries = *retry;
            let due = decided.at.saturating_add(*pause).unwrap_or(jiff::Timestamp::MAX);
            let deferral = Deferral { fault: fault.clone(), retry: *retry, max: *max, pause: *pause, due };
            let number = ordinal(task.launches.saturating_add(1));
            TaskState::Waiting { run, stage, visit, number, deferral }
        }
        Decision::Hold(reason) => {
            TaskState::Held { run, stage: stage.clone(), reason: reason.clone(), since: decided.at }
        }
        Decision::Fail => TaskState::Failed { run, stage: stage.clone(), at: decided.at },
        Decision::Interrupt => again(task),
    };
    Ok(())
}

/// A verdict needs a suite that ran, and only a cancelled attempt has no outcome.
fn comes_from(outcome: Option<&Outcome>, settlement: &Settlement) -> bool {
    let Some(outcome) = outcome else { return matches!(settlement, Settlement::Cancelled(_)) };
    match settlement {
        // A worktree whose git is broken gives no verdict, and holds, whatever the end was.
        Settlement::Unreadable(unreadable) if unreadable.reason == UnreadableReason::RepositoryDamaged => true,
        Settlement::Passed | Settlement::Failed(_) | Settlement::Unreadable(_) => {
            matches!(outcome.conclusion, Conclusion::SuiteRan(_) | Conclusion::AgentRan)
        }
        // A suite that ran may still not count: it changed the tree, or its artifact could not be published.
        Settlement::PermanentEnv(_) => outcome.conclusion != Conclusion::TransientInfra,
        Settlement::TransientInfra(_) => outcome.conclusion != Conclusion::PermanentEnv,
        Settlement::TimedOut(..) => outcome.conclusion == Conclusion::TransientInfra,
        Settlement::Cancelled(_) => false,
    }
}

/// The law that keeps the promises whoever writes the event: only a pass advances, only a fail rolls back or
/// ends, and a fault can do nothing but hold, for its own reason.
fn carries(settlement: &Settlement, decision: &Decision) -> bool {
    match (settlement, decision) {
        (Settlement::Passed, Decision::Advance(_))
        | (
            Settlement::Failed(_),
            Decision::Rollback { .. }
            | Decision::Fail
            | Decision::Hold(HoldReason::Failed | HoldReason::BudgetSpent { .. }),
        )
        | (Settlement::Unreadable(_), Decision::Rewrite)
        | (Settlement::TransientInfra(_), Decision::Retry { .. })
        | (Settlement::Cancelled(_), Decision::Interrupt) => true,
        (Settlement::Unreadable(seen), Decision::Hold(HoldReason::Unreadable(told))) => seen == told,
        (Settlement::TimedOut(limit, seen), Decision::Hold(HoldReason::TimedOut(which, told))) => {
            (limit, seen) == (which, told)
        }
        (Settlement::PermanentEnv(seen), Decision::Hold(HoldReason::PermanentEnv(told)))
        | (Settlement::TransientInfra(seen), Decision::Hold(HoldReason::TransientInfra(told))) => seen == told,
        (
            Settlement::Passed
            | Settlement::Failed(_)
            | Settlement::Unreadable(_)
            | Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_)
            | Settlement::Cancelled(_),
            _,
        ) => false,
    }
}

/// Holds the stage that is next, before anything of it was started.
fn stage_held(
    task: &mut Task,
    run: RunId,
    stage: &StageName,
    reason: &HoldReason,
    at: jiff::Timestamp,
) -> Result<(), &'static str> {
    let TaskState::Ready { run: owner, stage: next, .. } = &task.state else {
        return Err("the task is not between two attempts");
    };
    if (*owner, next) != (run, stage) {
        return Err("the stage is not the next one of this run");
    }
    if !reason.is_before_a_start() {
        return Err("only an attempt can lead to this hold");
    }
    task.state = TaskState::Held { run, stage: stage.clone(), reason: reason.clone(), since: at };
    Ok(())
}

/// Goes on after a pause; the timer of another run or attempt is stale and does nothing.
fn retry_due(task: &mut Task, due: RunId, next: Ordinal) -> Result<(), &'static str> {
    let TaskState::Waiting { run, stage, visit, number, .. } = &task.state else {
        return Err("the task waits for no retry");
    };
    if (*run, *number) != (due, next) {
        return Err("the timer is another run's or attempt's");
    }
    task.state = TaskState::Ready { run: *run, stage: stage.clone(), visit: *visit, number: *number };
    Ok(())
}

/// Puts a task back to its stage. What had been spent on the way into the hold may be spent anew: somebody looked.
fn released(task: &mut Task, by: &Releaser) -> Result<(), &'static str> {
    let stage = match &task.state {
        TaskState::Held { reason, .. } if *by == Releaser::Probe && !reason.may_end_by_itself() => {
            return Err("only a person releases this hold");
        }
        // Its retries are bounded; a probe that empties them would make an endless loop of them.
        TaskState::Deferred { .. } if *by == Releaser::Probe => return Err("only a person brings a retry forward"),
        TaskState::Held { stage, .. } | TaskState::Deferred { stage, .. } => stage.clone(),
        TaskState::Waiting { .. } => return Err("a run owns the task and waits for the retry"),
        TaskState::Paused { .. } => return Err("the task is paused"),
        TaskState::Queued { .. }
        | TaskState::Ready { .. }
        | TaskState::Running { .. }
        | TaskState::Done { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => return Err("the task is not held and waits for no retry"),
    };
    if let TaskState::Held { reason: HoldReason::BudgetSpent { budget, .. }, .. } = &task.state {
        task.spent.budgets.remove(budget);
    }
    task.spent.rewrites = 0;
    task.spent.retries = 0;
    task.state = TaskState::Queued { stage: Some(stage) };
    Ok(())
}

/// Only a task that no run owns, and that has not come to an end, is laid aside or ended.
fn require_rest(state: &TaskState, paused: &'static str) -> Result<(), &'static str> {
    match state {
        TaskState::Queued { .. } | TaskState::Deferred { .. } | TaskState::Held { .. } => Ok(()),
        TaskState::Paused { .. } => Err(paused),
        TaskState::Ready { .. } | TaskState::Running { .. } | TaskState::Waiting { .. } => Err("a run owns the task"),
        TaskState::Done { .. } | TaskState::Failed { .. } | TaskState::Cancelled { .. } => {
            Err("the task has come to its end")
        }
    }
}

/// Lets go of a task. Where the task has come to an end the run says the same; where it has not, the task goes on
/// at its stage.
fn run_closed(task: &mut Task, run: RunId, end: RunEnd) -> Result<(), &'static str> {
    let told = match &task.state {
        TaskState::Ready { run: owner, stage, .. } if *owner == run => {
            let stage = stage.clone();
            task.state = TaskState::Queued { stage: Some(stage) };
            // Done: the stage of `--until` passed.
            matches!(end, RunEnd::Interrupted | RunEnd::Done)
        }
        TaskState::Waiting { run: owner, stage, deferral, .. } if *owner == run => {
            task.state = TaskState::Deferred { run, stage: stage.clone(), deferral: deferral.clone() };
            matches!(end, RunEnd::Interrupted | RunEnd::Held)
        }
        TaskState::Running { run: owner, .. } if *owner == run => return Err("an attempt is under way"),
        TaskState::Held { run: last, .. } if *last == run => end == RunEnd::Held,
        TaskState::Done { run: last, .. } if *last == run => end == RunEnd::Done,
        TaskState::Failed { run: last, .. } if *last == run => end == RunEnd::Failed,
        TaskState::Queued { .. }
        | TaskState::Ready { .. }
        | TaskState::Running { .. }
        | TaskState::Waiting { .. }
        | TaskState::Deferred { .. }
        | TaskState::Held { .. }
        | TaskState::Paused { .. }
        | TaskState::Done { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => return Err("the run does not own the task"),
    };
    told.then_some(()).ok_or("the run's end is not what became of the task")
}
