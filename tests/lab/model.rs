//! The engine in every order that two runners, their supervisors and their deaths allow: breadth first, to the end.
//!
//! The world is small and hostile: a pipeline of three stages, two runners of one task behind one lock, each of which
//! may die before and after every commit and every launch, supervisors that may die at any time, suites that may end in
//! any way. What runners do is the shape of `runner::drive` and `runner::recovery`: intend, launch, take the end, decide
//! and intend the next in one commit. Everything else is the real engine.

use std::collections::{BTreeMap, HashSet, VecDeque};

use orch::domain::decision::{Decision, Settlement};
use orch::domain::evidence::Canceller;
use orch::domain::id::Digest;
use orch::domain::outcome::Reason;
use orch::domain::pipeline::{Pipeline, Stage};
use orch::domain::task::{AttemptPhase, Event, RunEnd, Task, TaskState};
use orch::engine::{Launched, decide, step};

use crate::build;
use crate::draw::Size;
use crate::laws::lawful_step;

#[path = "model/walk.rs"]
mod walk;

const PIPELINE: &str = "\
version: 1
name: table
artifacts: docs/{task}
budgets: { retry: 1 }
stages:
  lint:
    producer:
      command: { command: [lint], evidence: exit-code, idempotent: true }
    gate: none
    infra: { retries: 1, backoff: 30s..30s }
    transitions: { pass: testing, fail: failed }
  testing:
    producer:
      test-runner: { command: [test] }
    artifact: 13-test-report.md
    gate: tests-passed
    infra: { retries: 1, backoff: 30s..30s }
    transitions: { pass: deploy, fail: { rollback: lint, charge: retry } }
  deploy:
    producer:
      command: { command: [deploy], evidence: exit-code }
    gate: none
    transitions: { pass: done, fail: hold }
";

/// How a suite really ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Truth {
    Pass,
    Fail,
    Passing,
    Permanent,
}

const TRUTHS: [Truth; 4] = [Truth::Pass, Truth::Fail, Truth::Passing, Truth::Permanent];

/// An attempt in the world, as far as its supervisor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    /// The supervisor lives and the suite runs.
    Runs,
    /// The exit record is written.
    Recorded(Truth),
    /// The supervisor died first.
    Dead,
}

/// What a runner is about to do. Everything that it knows is gone when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Runner {
    /// Not started, or dead; somebody may start it.
    Away,
    /// Holds the lock and has read the task.
    Reads,
    /// Has committed the intent of this attempt and has launched nothing.
    Intended(u32),
    /// Waits for the end of this attempt.
    Waits(u32),
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    task: Option<Task>,
    /// Attempts that were started, by number.
    processes: BTreeMap<u32, Process>,
    runners: [Runner; 2],
    runs: u32,
    attempts: u32,
    deaths: u32,
    released: u32,
}

impl World {
    /// Nothing has happened.
    fn first() -> Self {
        Self {
            task: None,
            processes: BTreeMap::new(),
            runners: [Runner::Away; 2],
            runs: 0,
            attempts: 0,
            deaths: 0,
            released: 0,
        }
    }

    /// An attempt comes to this.
    fn become_of(&self, attempt: u32, process: Process) -> Self {
        let mut world = self.clone();
        world.processes.insert(attempt, process);
        world
    }

    /// A person releases the task's hold, where it is held and nobody drives it.
    fn released(&self, bounds: Bounds) -> Option<Self> {
        let held = self.task.as_ref().is_some_and(|task| matches!(task.state, TaskState::Held { .. }));
        let free = self.runners == [Runner::Away; 2];
        (held && free && self.released < bounds.released).then(|| {
            let released = self.commit(&[build::released(build::person())]);
            Self { released: self.released + 1, ..released }
        })
    }

    /// A short name of it; two of the same name are the same.
    fn key(&self) -> Digest {
        let text = format!(
            "{}|{:?}|{:?}|{}|{}|{}|{}",
            serde_json::to_string(&self.task).unwrap(),
            self.processes,
            self.runners,
            self.runs,
            self.attempts,
            self.deaths,
            self.released
        );
        Digest::of(text.as_bytes())
    }

    /// Applies events as one commit, each checked against the laws.
    fn commit(&self, events: &[Event]) -> Self {
        let mut task = self.task.clone();
        for event in events {
            let after = step(task.as_ref(), event).unwrap_or_else(|refused| panic!("{refused}: {self:?}")).task;
            if let Some(before) = &task {
                lawful_step(before, event, &after);
            }
            task = Some(after);
        }
        Self { task, ..self.clone() }
    }

    fn with(&self, runner: usize, next: Runner) -> Self {
        let mut world = self.clone();
        world.runners[runner] = next;
        world
    }
}

/// How much of the world there is.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    deaths: u32,
    attempts: u32,
    released: u32,
}

#[test]
fn every_order_of_deaths() {
    let bounds = Size::wanted()
        .of(Bounds { deaths: 2, attempts: 5, released: 1 }, Bounds { deaths: 3, attempts: 6, released: 1 });
    let pipeline = build::pipeline(PIPELINE);
    let first = World::first();
    let mut seen = HashSet::from([first.key()]);
    let mut waiting = VecDeque::from([first]);
    let (mut edges, mut ends) = (0_u64, BTreeMap::<&str, u64>::new());
    while let Some(world) = waiting.pop_front() {
        look(&world);
        let next = successors(&world, &pipeline, bounds);
        if let (true, Some(task)) = (next.is_empty(), &world.task) {
            *ends.entry(task.state.status()).or_default() += 1;
        }
        for world in next {
            edges += 1;
            if seen.insert(world.key()) {
                waiting.push_back(world);
            }
        }
    }
    eprintln!("model, {bounds:?}: {} states, {edges} edges, ends {ends:?}", seen.len());
    assert!(seen.len() > 10_000, "only {} states: the model does not move", seen.len());
}

/// What holds in every state.
fn look(world: &World) {
    let held = world.runners.iter().filter(|runner| **runner != Runner::Away).count();
    assert!(held <= 1, "two runners at once: {world:?}");
    let living = world.processes.values().filter(|process| **process == Process::Runs).count();
    assert!(living <= 1, "two attempts at once: {world:?}");
    let Some(task) = &world.task else { return };
    if living == 1 {
        assert!(task.state.live_run().is_some(), "an attempt runs and nobody owns the task: {world:?}");
    }
}

/// Everything that may happen next.
fn successors(world: &World, pipeline: &Pipeline, bounds: Bounds) -> Vec<World> {
    let mut next = Vec::new();
    for (runner, at) in world.runners.into_iter().enumerate() {
        next.extend(act(world, pipeline, bounds, runner, at));
        if at != Runner::Away && world.deaths < bounds.deaths {
            next.push(World { deaths: world.deaths + 1, ..world.with(runner, Runner::Away) });
        }
    }
    for (attempt, process) in &world.processes {
        if *process != Process::Runs {
            continue;
        }
        let become_of = |process| world.become_of(*attempt, process);
        next.extend(TRUTHS.map(|truth| become_of(Process::Recorded(truth))));
        if world.deaths < bounds.deaths {
            next.push(World { deaths: world.deaths + 1, ..become_of(Process::Dead) });
        }
    }
    next.extend(world.released(bounds));
    next
}

fn act(world: &World, pipeline: &Pipeline, bounds: Bounds, runner: usize, at: Runner) -> Vec<World> {
    match at {
        // The lock lets one in.
        Runner::Away => {
            let free = world.runners == [Runner::Away; 2];
            let rests = world.task.as_ref().is_some_and(|task| task.state.is_terminal());
            let stays = world.task.as_ref().is_some_and(|task| matches!(task.state, TaskState::Held { .. }));
            if free && !rests && !stays { vec![world.with(runner, Runner::Reads)] } else { Vec::new() }
        }
        Runner::Reads => match world.task.as_ref().map(|task| task.state.clone()) {
            Some(TaskState::Running { attempt, phase, .. }) => {
                let number = number_of(world, attempt);
                match (phase, world.processes.get(&number)) {
                    // It waits for a supervisor that lives.
                    (AttemptPhase::Intended, Some(Process::Runs)) => Vec::new(),
                    (AttemptPhase::Intended, found) => {
                        let events = recovered(world, pipeline, number, found.copied());
                        vec![world.commit(&events).with(runner, Runner::Away)]
                    }
                    (AttemptPhase::Finished, _) => panic!("an end is decided in the commit that stores it: {world:?}"),
                }
            }
            Some(TaskState::Ready { .. } | TaskState::Waiting { .. }) => {
                vec![world.commit(&[build::closed(world.runs, RunEnd::Interrupted)]).with(runner, Runner::Away)]
            }
            Some(TaskState::Queued { .. } | TaskState::Deferred { .. }) | None => begins(world, bounds, runner),
            Some(
                TaskState::Held { .. }
                | TaskState::Paused { .. }
                | TaskState::Done { .. }
                | TaskState::Failed { .. }
                | TaskState::Cancelled { .. },
            ) => vec![world.with(runner, Runner::Away)],
        },
        Runner::Intended(attempt) => {
            let mut launched = world.with(runner, Runner::Waits(attempt));
            let before = launched.processes.insert(attempt, Process::Runs);
            assert_eq!(before, None, "attempt {attempt} is started twice: {world:?}");
            vec![launched]
        }
        Runner::Waits(attempt) => match world.processes[&attempt] {
            Process::Runs => Vec::new(),
            found @ (Process::Recorded(_) | Process::Dead) => goes_on(world, pipeline, bounds, runner, attempt, found),
        },
    }
}

/// A new run and its first intent, in one commit.
fn begins(world: &World, bounds: Bounds, runner: usize) -> Vec<World> {
    if world.attempts >= bounds.attempts {
        return Vec::new();
    }
    let run = world.runs + 1;
    let stage =
        world.task.as_ref().and_then(|task| task.state.stage()).map_or("lint", |stage| stage.as_str()).to_owned();
    let mut events = Vec::new();
    if world.task.is_none() {
        events.push(build::task_added());
    }
    events.push(build::run_started(run, &stage));
    let mut next = World { runs: run, ..world.commit(&events) };
    if let Some(TaskState::Waiting { number, .. }) = next.task.as_ref().map(|task| &task.state) {
        next = next.commit(&[build::retry_due(run, number.get())]);
    }
    vec![intends(&next, runner)]
}

/// The intent of what is next.
fn intends(world: &World, runner: usize) -> World {
    let Some(TaskState::Ready { stage, visit, number, .. }) = world.task.as_ref().map(|task| task.state.clone()) else {
        panic!("nothing is next: {world:?}");
    };
    let attempt = world.attempts + 1;
    let intended = build::intended(world.runs, attempt, stage.as_str(), (visit, number));
    World { attempts: attempt, ..world.commit(&[intended]).with(runner, Runner::Intended(attempt)) }
}

/// The runner sees the end of its attempt: it decides, and goes on or closes, in one commit.
fn goes_on(
    world: &World,
    pipeline: &Pipeline,
    bounds: Bounds,
    runner: usize,
    attempt: u32,
    found: Process,
) -> Vec<World> {
    let decided = world.commit(&ended(world, pipeline, attempt, Some(found)));
    let Some(task) = &decided.task else { panic!("the task is gone") };
    let close = |end| decided.commit(&[build::closed(decided.runs, end)]).with(runner, Runner::Away);
    match &task.state {
        TaskState::Ready { .. } if decided.attempts < bounds.attempts => vec![intends(&decided, runner)],
        TaskState::Waiting { number, .. } if decided.attempts < bounds.attempts => {
            let due = decided.commit(&[build::retry_due(decided.runs, number.get())]);
            // Or it does not wait so long.
            vec![intends(&due, runner), close(RunEnd::Held)]
        }
        TaskState::Ready { .. } => vec![close(RunEnd::Interrupted)],
        TaskState::Waiting { .. } | TaskState::Held { .. } => vec![close(RunEnd::Held)],
        TaskState::Done { .. } => vec![close(RunEnd::Done)],
        TaskState::Failed { .. } => vec![close(RunEnd::Failed)],
        TaskState::Queued { .. }
        | TaskState::Running { .. }
        | TaskState::Deferred { .. }
        | TaskState::Paused { .. }
        | TaskState::Cancelled { .. } => panic!("decided into {:?}", task.state),
    }
}

/// What recovery stores: the end, its decision, and the end of the run that was left.
fn recovered(world: &World, pipeline: &Pipeline, attempt: u32, found: Option<Process>) -> Vec<Event> {
    let mut events = ended(world, pipeline, attempt, found);
    let after = world.commit(&events).task.unwrap();
    let end = match after.state {
        TaskState::Held { .. } => RunEnd::Held,
        TaskState::Done { .. } => RunEnd::Done,
        TaskState::Failed { .. } => RunEnd::Failed,
        TaskState::Ready { .. }
        | TaskState::Running { .. }
        | TaskState::Waiting { .. }
        | TaskState::Queued { .. }
        | TaskState::Deferred { .. }
        | TaskState::Paused { .. }
        | TaskState::Cancelled { .. } => RunEnd::Interrupted,
    };
    events.push(build::closed(world.runs, end));
    events
}

/// An attempt's end and its decision, by the engine; what became of it in the world is all that is known.
fn ended(world: &World, pipeline: &Pipeline, attempt: u32, found: Option<Process>) -> Vec<Event> {
    let task = world.task.as_ref().unwrap();
    let stage: &Stage = pipeline.stage(task.state.stage().unwrap()).unwrap();
    let (settlement, began) = match found {
        Some(Process::Recorded(Truth::Pass)) => (Settlement::Passed, true),
        Some(Process::Recorded(Truth::Fail)) => (Settlement::Failed(vec!["test_pay".to_owned()]), true),
        Some(Process::Recorded(Truth::Passing)) => {
            (Settlement::TransientInfra(build::fault(Reason::InfraSignature)), true)
        }
        Some(Process::Recorded(Truth::Permanent)) => {
            (Settlement::PermanentEnv(build::fault(Reason::CommandNotFound)), true)
        }
        Some(Process::Dead) => (Settlement::TransientInfra(build::fault(Reason::Lost)), true),
        None => (Settlement::TransientInfra(build::fault(Reason::Lost)), false),
        Some(Process::Runs) => panic!("decided while it runs: {world:?}"),
    };
    let launched = Launched { producer: &stage.producer, began, infra: &stage.infra };
    let decision = decide(pipeline, stage, &task.spent, launched, &settlement);
    let verdict = matches!(settlement, Settlement::Passed | Settlement::Failed(_));
    let seen = matches!(found, Some(Process::Recorded(Truth::Pass | Truth::Fail)));
    assert_eq!(verdict, seen, "a verdict needs an end that was seen");
    let moves = matches!(decision, Decision::Advance(_) | Decision::Rollback { .. } | Decision::Fail);
    assert!(!moves || verdict, "{found:?} led to {decision:?}");
    assert!(settlement != Settlement::Cancelled(Canceller::Request));
    vec![build::finished(attempt), build::decided(attempt, settlement, decision)]
}

fn number_of(world: &World, attempt: orch::domain::id::AttemptId) -> u32 {
    (1..=world.attempts).find(|number| build::attempt_id(*number) == attempt).unwrap()
}
