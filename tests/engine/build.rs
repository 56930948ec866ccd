//! Pipelines, events and settlements for the engine's tests.

use std::time::Duration;

use jiff::Timestamp;
use orch::domain::decision::{Decision, Fault, HoldReason, Settlement};
use orch::domain::evidence::{Canceller, Declared, Evidence, Exit, ExitRecord, KillTier, Limit, LogSpan, Stop};
use orch::domain::id::{
    AttemptId, BudgetName, Digest, Nonce, PipelineName, RelPath, RunId, StageName, SwitchName, TaskName,
};
use orch::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule, Ruling};
use orch::domain::pipeline::{Ordinal, Pipeline, ProducerKind};
use orch::domain::stamp::Stamp;
use orch::domain::task::{ArtifactRef, Decided, Deferral, Event, Intent, Releaser, RunEnd, RunStart};
use orch::domain::verdict::{Unreadable, UnreadableReason};

/// A valid pipeline.
pub(crate) fn pipeline(text: &str) -> Pipeline {
    orch::spec::load(text.as_bytes()).unwrap_or_else(|problems| {
        panic!("{}", orch::spec::problem::render(text, "pipeline.yaml", &problems, false));
    })
}

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(crate) fn budget(name: &str) -> BudgetName {
    BudgetName::new(name).unwrap()
}

pub(crate) fn nth(n: u32) -> Ordinal {
    Ordinal::new(n).unwrap()
}

pub(crate) fn run_id(n: u32) -> RunId {
    RunId::new(uuid::Uuid::from_u128(0x1000 + u128::from(n)))
}

pub(crate) fn attempt_id(n: u32) -> AttemptId {
    AttemptId::new(uuid::Uuid::from_u128(0x2000 + u128::from(n)))
}

pub(crate) fn at() -> Timestamp {
    Timestamp::new(1_790_000_000, 0).unwrap()
}

pub(crate) fn fault(reason: Reason) -> Fault {
    Fault { reason, detail: "seen".to_owned() }
}

pub(crate) fn unreadable() -> Unreadable {
    Unreadable { reason: UnreadableReason::NoKey, line: None, detail: "no key".to_owned() }
}

/// One settlement of each kind that a decision may depend on.
pub(crate) fn settlements() -> Vec<Settlement> {
    vec![
        Settlement::Passed,
        Settlement::Failed(vec!["test_pay".to_owned()]),
        Settlement::Unreadable(unreadable()),
        Settlement::TimedOut(Limit::Total, fault(Reason::Timeout)),
        Settlement::TimedOut(Limit::Idle, fault(Reason::Stalled)),
        Settlement::TimedOut(Limit::Start, fault(Reason::StartTimeout)),
        Settlement::PermanentEnv(fault(Reason::SpawnFailed)),
        Settlement::TransientInfra(fault(Reason::Lost)),
        Settlement::Cancelled(Canceller::Request),
        Settlement::Cancelled(Canceller::Shutdown),
        Settlement::TransientInfra(fault(Reason::Unclassified)),
        Settlement::TransientInfra(fault(Reason::GreenButNonzero)),
        Settlement::TransientInfra(fault(Reason::OutputIncomplete)),
    ]
}

/// A settlement as a table shows it. Match fully: a new variant belongs into [`settlements`].
pub(crate) fn word(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Passed => "passed".to_owned(),
        Settlement::Failed(_) => "failed".to_owned(),
        Settlement::Unreadable(_) => "unreadable".to_owned(),
        Settlement::TimedOut(limit, _) => format!("timed-out ({})", limit.as_str()),
        Settlement::PermanentEnv(_) => "permanent-env".to_owned(),
        Settlement::TransientInfra(fault) if is_unknown(settlement) => {
            format!("transient-infra ({})", fault.reason.as_str())
        }
        Settlement::TransientInfra(_) => "transient-infra".to_owned(),
        Settlement::Cancelled(by) => format!("cancelled ({by:?})").to_lowercase(),
    }
}

/// Whether nobody recognised the fault, so that it is worth one retry at most (`CLASSIFICATION.md` §6, row 11).
pub(crate) fn is_unknown(settlement: &Settlement) -> bool {
    let unknown = [Reason::Unclassified, Reason::GreenButNonzero, Reason::OutputIncomplete];
    matches!(settlement, Settlement::TransientInfra(fault) if unknown.contains(&fault.reason))
}

/// A decision as a table shows it.
pub(crate) fn move_of(decision: &Decision) -> String {
    use orch::domain::pipeline::Advance;
    match decision {
        Decision::Advance(Advance::To(stage)) => format!("advance to {stage}"),
        Decision::Advance(Advance::Done) => "advance to done".to_owned(),
        Decision::Rollback { to, charge } => format!("roll back to {to}, charge {charge}"),
        Decision::Rewrite => "rewrite".to_owned(),
        Decision::Retry { retry, max, pause } => format!("retry {retry} of {max} after {} s", pause.as_secs_f64()),
        Decision::Hold(reason) => format!("hold ({})", reason.kind()),
        Decision::Fail => "fail".to_owned(),
        Decision::Interrupt => "interrupt".to_owned(),
    }
}

/// Whether the environment, and not a verdict, speaks.
pub(crate) fn is_fault(settlement: &Settlement) -> bool {
    match settlement {
        Settlement::Passed | Settlement::Failed(_) => false,
        Settlement::Unreadable(_)
        | Settlement::TimedOut(..)
        | Settlement::PermanentEnv(_)
        | Settlement::TransientInfra(_)
        | Settlement::Cancelled(_) => true,
    }
}

/// The hold that goes with a settlement.
pub(crate) fn hold_for(settlement: &Settlement) -> HoldReason {
    match settlement.clone() {
        Settlement::Passed | Settlement::Failed(_) | Settlement::Cancelled(_) => HoldReason::Failed,
        Settlement::Unreadable(unreadable) => HoldReason::Unreadable(unreadable),
        Settlement::TimedOut(limit, fault) => HoldReason::TimedOut(limit, fault),
        Settlement::PermanentEnv(fault) => HoldReason::PermanentEnv(fault),
        Settlement::TransientInfra(fault) => HoldReason::TransientInfra(fault),
    }
}

pub(crate) fn task_added() -> Event {
    Event::TaskAdded { task: TaskName::new("shop-1").unwrap(), worktree: "/work/shop".into(), checkout: None, at: at() }
}

pub(crate) fn run_started(run: u32, first: &str) -> Event {
    Event::RunStarted(RunStart {
        run: run_id(run),
        pipeline: PipelineName::new("table").unwrap(),
        pipeline_digest: Digest::of(b"pipeline"),
        commit: "a".repeat(40),
        base_commit: "b".repeat(40),
        stage: stage(first),
        boot: "boot".to_owned(),
        host: "host".to_owned(),
        at: at(),
    })
}

pub(crate) fn intended(run: u32, attempt: u32, place: &str, nth: (Ordinal, Ordinal)) -> Event {
    Event::AttemptIntended(Box::new(intent(run, attempt, place, nth)))
}

fn intent(run: u32, attempt: u32, place: &str, (visit, number): (Ordinal, Ordinal)) -> Intent {
    Intent {
        run: run_id(run),
        attempt: attempt_id(attempt),
        stage: stage(place),
        visit,
        number,
        producer: ProducerKind::TestRunner,
        chosen: "declared".to_owned(),
        fallback: false,
        nonce: Nonce::new(uuid::Uuid::from_u128(7)),
        argv: vec!["true".to_owned()],
        cwd: "/work/shop".into(),
        env_names: vec!["PATH".to_owned()],
        tree: Digest::of(b"tree"),
        dirty: false,
        worktree: None,
        commit: None,
        at: at(),
    }
}

pub(crate) fn finished(attempt: u32) -> Event {
    Event::AttemptFinished { record: Box::new(record(attempt)), at: at() }
}

fn record(attempt: u32) -> ExitRecord {
    ExitRecord {
        version: 1,
        attempt: attempt_id(attempt),
        nonce: Nonce::new(uuid::Uuid::from_u128(7)),
        exit: Exit::Exited { code: 0 },
        began: true,
        started_at: at(),
        ended_at: at(),
        elapsed: Duration::from_millis(3),
        stdout: LogSpan::default(),
        stderr: LogSpan::default(),
        stop: Stop::Unasked,
        leaked: Vec::new(),
        survivors: Vec::new(),
        tier: KillTier::Walk,
        max_rss_kib: 0,
        user: Duration::ZERO,
        system: Duration::ZERO,
        containment: orch::domain::evidence::Containment::Unasked,
    }
}

pub(crate) fn decided(attempt: u32, settlement: Settlement, decision: Decision) -> Event {
    let outcome = outcome_of(&settlement);
    decided_with(attempt, outcome, settlement, decision)
}

pub(crate) fn decided_with(
    attempt: u32,
    outcome: Option<Outcome>,
    settlement: Settlement,
    decision: Decision,
) -> Event {
    let judged = matches!(settlement, Settlement::Passed | Settlement::Failed(_));
    let evidence = evidence_of(Exit::Exited { code: 0 });
    let artifact = judged.then(|| ArtifactRef {
        path: RelPath::new("docs/13-test-report.md").unwrap(),
        digest: Digest::of(b"artifact"),
    });
    let stamp = Stamp::of(
        &intent(1, attempt, "testing", (nth(1), nth(1))),
        &record(attempt),
        &evidence,
        outcome.as_ref(),
        artifact.as_ref(),
    );
    Event::AttemptDecided(Box::new(Decided {
        attempt: attempt_id(attempt),
        evidence,
        outcome,
        settlement,
        decision,
        artifact,
        stamp,
        at: at(),
    }))
}

/// Evidence of an end that shows nothing else.
pub(crate) fn evidence_of(exit: Exit) -> Evidence {
    Evidence::of(exit, Declared::default())
}

/// The class that a settlement comes from.
pub(crate) fn outcome_of(settlement: &Settlement) -> Option<Outcome> {
    let of = |conclusion, reason, rule| Some(Outcome { conclusion, reason, rule, proof: Proof::default() });
    match settlement {
        Settlement::Passed | Settlement::Unreadable(_) => {
            of(Conclusion::SuiteRan(Ruling::Pass), Reason::TestsPassed, Rule::GreenEvidence)
        }
        Settlement::Failed(_) => of(Conclusion::SuiteRan(Ruling::Fail), Reason::TestsFailed, Rule::RedEvidence),
        Settlement::TimedOut(_, fault) | Settlement::TransientInfra(fault) => {
            of(Conclusion::TransientInfra, fault.reason, Rule::Killed)
        }
        Settlement::PermanentEnv(fault) => of(Conclusion::PermanentEnv, fault.reason, Rule::SpawnErrno),
        Settlement::Cancelled(_) => None,
    }
}

/// The next retry of a visit, as an event of the attempt that met a passing fault.
pub(crate) fn retry(retry: u32, max: u32) -> Decision {
    Decision::Retry { retry, max, pause: Duration::from_secs(30) }
}

pub(crate) fn deferral() -> Deferral {
    let pause = Duration::from_secs(30);
    Deferral { fault: fault(Reason::Lost), retry: 1, max: 3, pause, due: at() + pause }
}

pub(crate) fn switched_off() -> HoldReason {
    HoldReason::SwitchedOff {
        switch: SwitchName::new("ORCH_TEST_RUNNER").unwrap(),
        why: "ORCH_TEST_RUNNER_ENABLED is false".to_owned(),
    }
}

pub(crate) fn stage_held(run: u32, place: &str, reason: HoldReason) -> Event {
    Event::StageHeld { run: run_id(run), stage: stage(place), reason, at: at() }
}

pub(crate) fn retry_due(run: u32, number: u32) -> Event {
    Event::RetryDue { run: run_id(run), number: nth(number), at: at() }
}

pub(crate) fn released(by: Releaser) -> Event {
    Event::HoldReleased { by, why: None, checked: None, at: at() }
}

pub(crate) fn person() -> Releaser {
    Releaser::Person("ada".to_owned())
}

pub(crate) fn paused() -> Event {
    Event::TaskPaused { by: "ada".to_owned(), why: Some("a freeze".to_owned()), at: at() }
}

pub(crate) fn resumed() -> Event {
    Event::TaskResumed { by: "ada".to_owned(), why: None, at: at() }
}

pub(crate) fn cancelled() -> Event {
    Event::TaskCancelled { by: "ada".to_owned(), why: None, at: at() }
}

pub(crate) fn closed(run: u32, end: RunEnd) -> Event {
    Event::RunClosed { run: run_id(run), end, at: at() }
}
