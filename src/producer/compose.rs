//! Composes the canonical artifact of a deterministic producer. Nothing that the suite wrote there counts.

use crate::classify::signal_name;
use crate::domain::artifact::{Artifact, Excerpt, SmokeResult, Work};
use crate::domain::evidence::{Evidence, Exit, ExitRecord, ReportFound};
use crate::domain::outcome::{Outcome, Rule, Ruling};
use crate::domain::pipeline::Gate;
use crate::domain::plan::AttemptPlan;
use crate::domain::smoke::{SmokeFacts, SmokeSense};

/// The document for a suite that ran.
pub fn compose(
    plan: &AttemptPlan,
    record: &ExitRecord,
    evidence: &Evidence,
    outcome: &Outcome,
    ruling: Ruling,
    gate: &Gate,
    tails: Vec<Excerpt>,
) -> Artifact {
    let failing = evidence
        .reports
        .iter()
        .flat_map(|report| match &report.found {
            ReportFound::Read { failing, .. } => failing.clone(),
            ReportFound::Missing
            | ReportFound::Stale
            | ReportFound::Broken { .. }
            | ReportFound::LeftBehind
            | ReportFound::Removed => Vec::new(),
        })
        .collect();
    // A pass needs no quotation; a fail quotes the stream that its proof stands in, or both.
    let proof = outcome.proof.place.as_deref();
    let told_there = tails.iter().any(|tail| Some(tail.place.as_str()) == proof);
    let excerpts = match ruling {
        Ruling::Pass => Vec::new(),
        // The suite's own output is green; the table of the checks says what is wrong.
        Ruling::Fail if outcome.rule == Rule::SmokeCheck => Vec::new(),
        Ruling::Fail if told_there => tails.into_iter().filter(|tail| Some(tail.place.as_str()) == proof).collect(),
        Ruling::Fail => tails,
    };
    Artifact {
        task: plan.key.task.clone(),
        stage: plan.key.stage.clone(),
        attempt: plan.key.number,
        gate: gate.clone(),
        ruling,
        reason: outcome.proof.detail.clone(),
        work: Work::Command {
            argv: plan.shown.words().to_vec(),
            ended: ended(evidence),
            counts: outcome.proof.counts,
            elapsed: record.elapsed,
        },
        finished_at: record.ended_at,
        failing,
        excerpts,
        smoke: evidence.smoke.iter().map(smoke_result).collect(),
    }
}

fn smoke_result(check: &SmokeFacts) -> SmokeResult {
    let ruling = match check.sense() {
        SmokeSense::Right => Some(Ruling::Pass),
        SmokeSense::Wrong => Some(Ruling::Fail),
        SmokeSense::Unreachable | SmokeSense::Untrusted => None,
    };
    SmokeResult {
        name: format!("GET {}", check.get),
        expected: check.expect.to_string(),
        got: check.seen.in_words(),
        ruling,
    }
}

fn ended(evidence: &Evidence) -> String {
    let how = match &evidence.exit {
        Exit::Exited { code } => format!("exited with code {code}"),
        Exit::Signalled { signal, .. } => signal_name(*signal),
        Exit::TimedOut { limit, .. } => format!("stopped by the {} limit", limit.as_str()),
        Exit::Cancelled { .. } => "cancelled".to_owned(),
        Exit::SpawnFailed(_) => "never started".to_owned(),
        Exit::Lost { reason } => format!("lost ({})", reason.as_str()),
        Exit::Answered(answer) => format!("answered by {}", answer.by),
    };
    match &evidence.channel {
        Some(facts) => format!("{how} on {}", facts.host),
        None => how,
    }
}
