//! Makes tasks, events and changes for the store's tests. What a task comes to is said here by hand: the store
//! must not need the engine to be tested.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use orch::domain::decision::{Decision, Fault, HoldReason, Settlement, Spent};
use orch::domain::evidence::{
    Answer, Counts, Declared, Evidence, Exit, ExitRecord, KillTier, LogSpan, OutputFacts, Sighting, Stop, Stream,
    Summary, SummarySource,
};
use orch::domain::id::{AttemptId, BudgetName, Digest, Nonce, PipelineName, RelPath, RunId, StageName, TaskName};
use orch::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule, Ruling};
use orch::domain::pipeline::{Adapter, Advance, ProducerKind};
use orch::domain::stamp::Stamp;
use orch::domain::task::{
    ArtifactRef, AttemptPhase, Decided, Deferral, Effect, Event, Intent, Releaser, RunEnd, RunStart, Task, TaskState,
};
use orch::domain::visits::Visits;
use orch::store::{ArtifactBytes, Change, PinnedPipeline, Version};

/// The pipeline every run here is bound to.
pub(crate) const PIPELINE: &[u8] = b"version: 1\nname: delivery\nstages: {}\n";

pub(crate) fn name(text: &str) -> TaskName {
    TaskName::new(text).unwrap()
}

pub(crate) fn stage(text: &str) -> StageName {
    StageName::new(text).unwrap()
}

pub(crate) fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// An id with a number in it, in the order of numbers.
fn id(kind: u8, number: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x0199_f0c4_0000_7000_8000_0000_0000_0000 | u128::from(kind) << 56 | u128::from(number))
}

pub(crate) fn run_id(number: u64) -> RunId {
    RunId::new(id(1, number))
}

pub(crate) fn attempt_id(number: u64) -> AttemptId {
    AttemptId::new(id(2, number))
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::new(1_790_000_000 + second, 123_000_000).unwrap()
}

/// A task that is driven through its life one change at a time.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) task: Task,
    pub(crate) version: Version,
    /// Number of its latest run and attempt; start values keep ids of several tasks apart.
    pub(crate) run: u64,
    pub(crate) attempt: u64,
    pub(crate) clock: i64,
}

impl Life {
    pub(crate) fn new(task: &str) -> Self {
        Self::numbered(task, 0)
    }

    /// A task whose ids begin behind `first`.
    pub(crate) fn numbered(task: &str, first: u64) -> Self {
        let task = Task {
            name: name(task),
            worktree: PathBuf::from("/work/trees").join(task),
            checkout: None,
            state: TaskState::Queued { stage: None },
            spent: Spent::default(),
            visits: Visits::default(),
            launches: 0,
        };
        Self { task, version: Version::NONE, run: first, attempt: first, clock: 0 }
    }

    fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        at(self.clock)
    }

    /// A change from where the task stands, with a state after it.
    pub(crate) fn change(&mut self, state: TaskState, events: Vec<Event>) -> Change {
        self.task.state = state;
        let change = Change::new(self.version, self.task.clone(), events, self.task.name.clone());
        self.version = change.version();
        change
    }

    pub(crate) fn added(&mut self) -> Change {
        let event = self.added_event();
        self.change(TaskState::Queued { stage: None }, vec![event])
    }

    pub(crate) fn added_event(&mut self) -> Event {
        let (task, worktree) = (self.task.name.clone(), self.task.worktree.clone());
        Event::TaskAdded { task, worktree, checkout: None, at: self.tick() }
    }

    pub(crate) fn started_event(&mut self, first: &str) -> Event {
        self.run += 1;
        Event::RunStarted(RunStart {
            run: run_id(self.run),
            pipeline: PipelineName::new("delivery").unwrap(),
            pipeline_digest: Digest::of(PIPELINE),
            commit: "a".repeat(40),
            base_commit: "b".repeat(40),
            stage: stage(first),
            boot: "boot".to_owned(),
            host: "host".to_owned(),
            at: self.tick(),
        })
    }

    pub(crate) fn intended_event(&mut self, at_stage: &str) -> Event {
        self.attempt += 1;
        let visits = self.task.visits.enter(&stage(at_stage));
        self.task.launches = 1;
        Event::AttemptIntended(Box::new(Intent {
            run: run_id(self.run),
            attempt: attempt_id(self.attempt),
            stage: stage(at_stage),
            visit: NonZeroU32::new(visits).unwrap(),
            number: one(),
            producer: ProducerKind::TestRunner,
            chosen: "declared".to_owned(),
            fallback: false,
            nonce: Nonce::new(id(3, self.attempt)),
            argv: vec!["cargo".to_owned(), "nextest".to_owned()],
            cwd: self.task.worktree.clone(),
            env_names: vec!["PATH".to_owned()],
            tree: Digest::of(b"tree"),
            dirty: false,
            worktree: None,
            commit: None,
            at: self.tick(),
        }))
    }

    pub(crate) fn finished_event(&mut self) -> Event {
        let at = self.tick();
        Event::AttemptFinished { record: Box::new(exit_record(self.attempt, at)), at }
    }

    pub(crate) fn decided_event(
        &mut self,
        settlement: Settlement,
        decision: Decision,
        artifact: Option<&[u8]>,
    ) -> Event {
        let outcome = match settlement {
            Settlement::Cancelled(_) => None,
            Settlement::Passed => Some(outcome(Conclusion::SuiteRan(Ruling::Pass), Reason::TestsPassed)),
            Settlement::Failed(_) => Some(outcome(Conclusion::SuiteRan(Ruling::Fail), Reason::TestsFailed)),
            Settlement::Unreadable(_)
            | Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_) => Some(outcome(Conclusion::TransientInfra, Reason::Unclassified)),
        };
        Event::AttemptDecided(Box::new(Decided {
            attempt: attempt_id(self.attempt),
            evidence: evidence(),
            outcome,
            settlement,
            decision,
            artifact: artifact.map(artifact_ref),
            stamp: self.stamp(artifact),
            at: self.tick(),
        }))
    }

    fn stamp(&self, artifact: Option<&[u8]>) -> Stamp {
        Stamp {
            version: 1,
            orch: "0.1.0".to_owned(),
            run: run_id(self.run),
            stage: stage("testing"),
            attempt: attempt_id(self.attempt),
            producer: ProducerKind::TestRunner,
            started_at: at(1),
            tree_before: Digest::of(b"tree"),
            tree_after: None,
            dirty: false,
            exit: Exit::Exited { code: 0 },
            tests_run: None,
            tests_failed: None,
            reports: Vec::new(),
            artifact: artifact.map(artifact_ref),
            containment: orch::domain::evidence::Containment::Unasked,
            usage: None,
        }
    }

    pub(crate) fn closed_event(&mut self, end: RunEnd) -> Event {
        Event::RunClosed { run: run_id(self.run), end, at: self.tick() }
    }

    pub(crate) fn running(&self, at_stage: &str, phase: AttemptPhase) -> TaskState {
        TaskState::Running {
            run: run_id(self.run),
            stage: stage(at_stage),
            visit: NonZeroU32::new(self.task.visits.of(&stage(at_stage)).unwrap_or(1)).unwrap(),
            attempt: attempt_id(self.attempt),
            number: one(),
            phase,
        }
    }

    /// A run begins with its first intent.
    pub(crate) fn started(&mut self, at_stage: &str) -> Change {
        let events = vec![self.started_event(at_stage), self.intended_event(at_stage)];
        let state = self.running(at_stage, AttemptPhase::Intended);
        let mut change = self.change(state, events);
        change.pipelines = vec![PinnedPipeline::of(PIPELINE.to_vec())];
        change
    }

    pub(crate) fn finished(&mut self, at_stage: &str) -> Change {
        let events = vec![self.finished_event()];
        let state = self.running(at_stage, AttemptPhase::Finished);
        self.change(state, events)
    }

    /// The transaction of a chain: one attempt ends, passes, and the next is intended, all at once.
    pub(crate) fn advanced(&mut self, next: &str, artifact: &[u8]) -> Change {
        let attempt = attempt_id(self.attempt);
        let decision = Decision::Advance(Advance::To(stage(next)));
        let events = vec![
            self.finished_event(),
            self.decided_event(Settlement::Passed, decision, Some(artifact)),
            self.intended_event(next),
        ];
        let state = self.running(next, AttemptPhase::Intended);
        let mut change = self.change(state, events);
        change.artifacts = vec![ArtifactBytes::of(artifact.to_vec())];
        change.effects = vec![Effect::PublishArtifact { attempt, artifact: artifact_ref(artifact) }];
        change
    }

    /// The last stage passes: the run and the task are done.
    pub(crate) fn done(&mut self) -> Change {
        let mut events =
            vec![self.finished_event(), self.decided_event(Settlement::Passed, Decision::Advance(Advance::Done), None)];
        let state = TaskState::Done { run: run_id(self.run), at: at(self.clock) };
        events.push(self.closed_event(RunEnd::Done));
        self.change(state, events)
    }

    /// The suite fails where the stage asks for a person.
    pub(crate) fn held(&mut self, at_stage: &str) -> Change {
        let mut events = vec![
            self.finished_event(),
            self.decided_event(
                Settlement::Failed(vec!["one test".to_owned()]),
                Decision::Hold(HoldReason::Failed),
                None,
            ),
        ];
        let state = TaskState::Held {
            run: run_id(self.run),
            stage: stage(at_stage),
            reason: HoldReason::Failed,
            since: at(self.clock),
        };
        events.push(self.closed_event(RunEnd::Held));
        self.change(state, events)
    }

    /// The run is stopped: its attempt counts for nothing and the task waits for another run.
    pub(crate) fn interrupted(&mut self, at_stage: &str) -> Change {
        let cancelled = Settlement::Cancelled(orch::domain::evidence::Canceller::Shutdown);
        let events =
            vec![self.decided_event(cancelled, Decision::Interrupt, None), self.closed_event(RunEnd::Interrupted)];
        self.change(TaskState::Queued { stage: Some(stage(at_stage)) }, events)
    }

    /// A rollback that a budget pays for, and the intent of the stage it leads to.
    pub(crate) fn rolled_back(&mut self, to: &str) -> Change {
        let charge = BudgetName::new("developer-retry").unwrap();
        *self.task.spent.budgets.entry(charge.clone()).or_default() += 1;
        let decision = Decision::Rollback { to: stage(to), charge };
        let events = vec![
            self.finished_event(),
            self.decided_event(Settlement::Failed(vec!["one test".to_owned()]), decision, None),
            self.intended_event(to),
        ];
        let state = self.running(to, AttemptPhase::Intended);
        self.change(state, events)
    }

    /// The fault may pass: the run waits for the retry time.
    pub(crate) fn waiting(&mut self, at_stage: &str) -> Change {
        let pause = Duration::from_secs(30);
        let fault = Fault { reason: Reason::Lost, detail: "nobody saw its end".to_owned() };
        let retry = self.task.spent.retries + 1;
        let events = vec![
            self.finished_event(),
            self.decided_event(
                Settlement::TransientInfra(fault.clone()),
                Decision::Retry { retry, max: 3, pause },
                None,
            ),
        ];
        self.task.spent.retries = retry;
        let state = TaskState::Waiting {
            run: run_id(self.run),
            stage: stage(at_stage),
            visit: one(),
            number: NonZeroU32::new(2).unwrap(),
            deferral: Deferral { fault, retry, max: 3, pause, due: at(self.clock) + pause },
        };
        self.change(state, events)
    }

    /// Its run lets go of a waiting task.
    pub(crate) fn deferred(&mut self) -> Change {
        let TaskState::Waiting { run, stage, deferral, .. } = self.task.state.clone() else {
            panic!("{:?} does not wait", self.task.state)
        };
        let events = vec![self.closed_event(RunEnd::Held)];
        self.change(TaskState::Deferred { run, stage, deferral }, events)
    }

    /// A person releases it.
    pub(crate) fn released(&mut self, at_stage: &str) -> Change {
        self.task.spent.retries = 0;
        let by = Releaser::Person("ada".to_owned());
        let event = Event::HoldReleased { by, why: Some("the net is back".to_owned()), checked: None, at: self.tick() };
        self.change(TaskState::Queued { stage: Some(stage(at_stage)) }, vec![event])
    }

    /// A person lays it aside.
    pub(crate) fn paused(&mut self) -> Change {
        let (by, was) = ("ada".to_owned(), Box::new(self.task.state.clone()));
        let since = self.tick();
        let event = Event::TaskPaused { by: by.clone(), why: None, at: since };
        self.change(TaskState::Paused { was, by, why: None, since }, vec![event])
    }

    /// A person takes it up again.
    pub(crate) fn resumed(&mut self) -> Change {
        let TaskState::Paused { was, .. } = self.task.state.clone() else { panic!("{:?}", self.task.state) };
        let event = Event::TaskResumed { by: "ada".to_owned(), why: None, at: self.tick() };
        self.change(*was, vec![event])
    }

    /// A person ends it.
    pub(crate) fn cancelled(&mut self) -> Change {
        let at = self.tick();
        let event = Event::TaskCancelled { by: "ada".to_owned(), why: None, at };
        self.change(TaskState::Cancelled { at }, vec![event])
    }

    /// A run comes to a stage that a person decides: held before anything of it was started.
    pub(crate) fn asked(&mut self, at_stage: &str) -> Change {
        self.task.visits.enter(&stage(at_stage));
        let start = self.started_event(at_stage);
        let (run, since) = (run_id(self.run), self.tick());
        let held = Event::StageHeld { run, stage: stage(at_stage), reason: HoldReason::Approval, at: since };
        let events = vec![start, held, self.closed_event(RunEnd::Held)];
        let state = TaskState::Held { run, stage: stage(at_stage), reason: HoldReason::Approval, since };
        let mut change = self.change(state, events);
        change.pipelines = vec![PinnedPipeline::of(PIPELINE.to_vec())];
        change
    }

    /// The person's word, as a run of its own without a process.
    pub(crate) fn answered(&mut self, at_stage: &str, approved: bool) -> Change {
        let answer = Answer { approved, by: "ada".to_owned(), why: "looks right".to_owned() };
        let start = self.started_event(at_stage);
        let visits = self.task.visits.clone();
        let mut intended = self.intended_event(at_stage);
        self.task.visits = visits;
        if let Event::AttemptIntended(intent) = &mut intended {
            intent.visit = one();
            intent.producer = ProducerKind::Approval;
            intent.argv = Vec::new();
        }
        let mut finished = self.finished_event();
        if let Event::AttemptFinished { record, .. } = &mut finished {
            record.exit = Exit::Answered(answer.clone());
        }
        let (settlement, decision) = if approved {
            (Settlement::Passed, Decision::Advance(Advance::Done))
        } else {
            (Settlement::Failed(vec!["rejected".to_owned()]), Decision::Fail)
        };
        let mut decided = self.decided_event(settlement, decision, None);
        if let Event::AttemptDecided(decided) = &mut decided {
            decided.evidence.exit = Exit::Answered(answer);
        }
        let end = at(self.clock);
        let closed = self.closed_event(if approved { RunEnd::Done } else { RunEnd::Failed });
        let run = run_id(self.run);
        let state = if approved {
            TaskState::Done { run, at: end }
        } else {
            TaskState::Failed { run, stage: stage(at_stage), at: end }
        };
        let mut change = self.change(state, vec![start, intended, finished, decided, closed]);
        change.pipelines = vec![PinnedPipeline::of(PIPELINE.to_vec())];
        change
    }
}

pub(crate) fn artifact_ref(bytes: &[u8]) -> ArtifactRef {
    ArtifactRef { path: RelPath::new("docs/work-items/t/13-test-report.md").unwrap(), digest: Digest::of(bytes) }
}

pub(crate) fn exit_record(attempt: u64, at: Timestamp) -> ExitRecord {
    ExitRecord {
        version: 1,
        attempt: attempt_id(attempt),
        nonce: Nonce::new(id(3, attempt)),
        exit: Exit::Exited { code: 0 },
        began: true,
        started_at: at,
        ended_at: at,
        elapsed: Duration::from_millis(1500),
        stdout: LogSpan { start: 0, bytes: 10, dropped: None },
        stderr: LogSpan::default(),
        stop: Stop::Unasked,
        leaked: Vec::new(),
        survivors: Vec::new(),
        tier: KillTier::Walk,
        max_rss_kib: 4096,
        user: Duration::from_millis(20),
        system: Duration::from_millis(5),
        containment: orch::domain::evidence::Containment::Unasked,
    }
}

fn counts() -> Counts {
    Counts { passed: 12, failed: 0, errors: 0, skipped: 1 }
}

fn evidence() -> Evidence {
    let at = Sighting { tool: "nextest".to_owned(), stream: Stream::Stderr, line: 40, text: "12 passed".to_owned() };
    let summary = Summary { source: SummarySource::Adapter(Adapter::Nextest), counts: counts(), at };
    let output = OutputFacts { summaries: vec![summary], stdout_bytes: 10, ..OutputFacts::default() };
    Evidence { output, ..Evidence::of(Exit::Exited { code: 0 }, Declared::default()) }
}

fn outcome(conclusion: Conclusion, reason: Reason) -> Outcome {
    let proof = Proof { detail: "12 passed".to_owned(), counts: Some(counts()), ..Proof::default() };
    Outcome { conclusion, reason, rule: Rule::GreenEvidence, proof }
}
