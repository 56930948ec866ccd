//! From an exit record to a decision's settlement: gather, classify, compose, publish, read back, gate.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::classify::{classify, classify_suite};
use crate::domain::agent::ScopeFacts;
use crate::domain::artifact::Excerpt;
use crate::domain::control::Control;
use crate::domain::decision::{Fault, Settlement};
use crate::domain::evidence::{Canceller, Evidence, Exit, ExitRecord, OutputFacts, TreeFacts};
use crate::domain::id::{Digest, RelPath};
use crate::domain::mask::Masker;
use crate::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule, Ruling};
use crate::domain::pipeline::{Gate, Producer, Smoke, Stage};
use crate::domain::plan::AttemptPlan;
use crate::domain::smoke::SmokeFacts;
use crate::domain::task::ArtifactRef;
use crate::domain::verdict::{Unreadable, UnreadableReason};
use crate::engine::{GateAnswer, settle};
use crate::gate;
use crate::producer::{compose, gather, gather_agent, smoke, smoke_not_made};
use crate::store::ArtifactBytes;
use crate::workspace::artifact::{ARTIFACT_BYTES_MAX, ArtifactError, Durability, Taken, publish, read_back, take_away};
use crate::workspace::root::Root;
use crate::workspace::tree::Committed;

use super::judge_agent::judge_agent;

/// What an attempt came to, with the bytes its verdict was read from.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) evidence: Evidence,
    pub(super) outcome: Option<Outcome>,
    pub(super) settlement: Settlement,
    pub(super) artifact: Option<Published>,
    /// What the suite had put in the artifact's way.
    pub(super) moved: Taken,
}

/// Where an attempt's traces are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) stage: &'a Stage,
    /// The producer that ran: the declared one, or its fallback.
    pub(super) producer: &'a Producer,
    pub(super) plan: &'a AttemptPlan,
    pub(super) record: &'a ExitRecord,
    pub(super) run_dir: &'a Path,
    pub(super) root: &'a Root,
    pub(super) artifact: Option<&'a RelPath>,
    /// Where things go that stand in the artifact's way.
    pub(super) moved_dir: &'a Path,
    /// What a control run said of its end, where one was made.
    pub(super) control: Option<&'a Control>,
    /// The commit that the worktree is at now.
    pub(super) commit: &'a str,
    /// What hides secrets in what is published.
    pub(super) masker: &'a Masker,
    /// What an agent changed; `None` for every other producer.
    pub(super) scope: Option<&'a ScopeFacts>,
    /// What commits have at the artifact's place that was not made by this attempt.
    pub(super) committed: &'a [Committed],
    /// What is broken of the worktree's git since, where anything is.
    pub(super) damage: Option<&'a str>,
}

/// Judges an attempt. Never fails and never panics: what breaks on the way is an outcome with a reason (row B9).
pub(super) fn judge(scene: Scene<'_>, tree: Option<TreeFacts>) -> Judged {
    let attempt = AssertUnwindSafe(|| try_judge(scene, tree.clone()));
    let broken = match catch_unwind(attempt) {
        Ok(Ok(judged)) => return judged,
        Ok(Err(error)) => format!("the attempt's output could not be read: {error}"),
        Err(_) => "a bug in orch: the code that judges attempts panicked; the lines above have the place".to_owned(),
    };
    let evidence = Evidence {
        output: OutputFacts { incomplete: true, ..OutputFacts::default() },
        tree,
        damage: scene.damage.map(str::to_owned),
        ..Evidence::of(scene.record.exit.clone(), scene.plan.declared.clone())
    };
    let outcome = match evidence.exit {
        Exit::Cancelled { .. } => None,
        Exit::Exited { .. }
        | Exit::Signalled { .. }
        | Exit::TimedOut { .. }
        | Exit::SpawnFailed(_)
        | Exit::Answered(_)
        | Exit::Lost { .. } => Some(internal(broken)),
    };
    let settlement = settle(&evidence, outcome.as_ref(), GateAnswer::NoGate);
    Judged { evidence, outcome, settlement, artifact: None, moved: Taken::Nothing }
}

/// What an attempt comes to that was intended and never launched: nothing, as one that was stopped. It is no fault of
/// anything, and costs nothing.
pub(super) fn never_launched(scene: Scene<'_>, tree: TreeFacts) -> Judged {
    let evidence =
        Evidence { tree: Some(tree), ..Evidence::of(scene.record.exit.clone(), scene.plan.declared.clone()) };
    let settlement = Settlement::Cancelled(Canceller::Shutdown);
    Judged { evidence, outcome: None, settlement, artifact: None, moved: Taken::Nothing }
}

fn internal(detail: String) -> Outcome {
    Outcome {
        conclusion: Conclusion::TransientInfra,
        reason: Reason::Internal,
        rule: Rule::NoProof,
        proof: Proof { detail, source: Some("orch".to_owned()), ..Proof::default() },
    }
}

/// What an attempt comes to after which nothing can be bound to the worktree's tree: no verdict, and no artifact.
fn damaged(scene: Scene<'_>, damage: &str) -> std::io::Result<Judged> {
    let evidence = match &scene.plan.agent {
        Some(agent) => gather_agent(scene.plan, agent, scene.record, scene.run_dir, (None, ScopeFacts::default()))?,
        None => gather(scene.plan, scene.record, scene.run_dir, scene.root, None)?.evidence,
    };
    let evidence = Evidence { damage: Some(damage.to_owned()), ..evidence };
    let outcome = classify(&evidence);
    // What it left answers for nothing, and nobody may take it for an answer.
    let moved = scene.artifact.map(|path| take_away(scene.root, path, None, scene.moved_dir));
    let settlement = settle(&evidence, outcome.as_ref(), GateAnswer::NoGate);
    Ok(Judged {
        evidence,
        outcome,
        settlement,
        artifact: None,
        moved: moved.and_then(Result::ok).unwrap_or(Taken::Nothing),
    })
}

fn try_judge(scene: Scene<'_>, tree: Option<TreeFacts>) -> std::io::Result<Judged> {
    if let Some(damage) = scene.damage {
        return damaged(scene, damage);
    }
    if let Some(agent) = &scene.plan.agent {
        return judge_agent(scene, agent, tree, scene.scope.cloned().unwrap_or_default());
    }
    let gathered = gather(scene.plan, scene.record, scene.run_dir, scene.root, tree)?;
    let mut evidence = gathered.evidence;
    evidence.control = scene.control.cloned();
    evidence.smoke = smoke_facts(scene.producer.smoke(), &evidence);
    let outcome = classify(&evidence);
    let document = document(scene, &evidence, outcome.as_ref(), gathered.tails);
    // What the suite wrote where the artifact belongs counts for nothing, and nobody may take it for orch's. What
    // stands there with the very bytes of the document is what an earlier runner published before it died.
    let ours = document.as_deref().map(Digest::of);
    let moved = match scene.artifact.map(|path| take_away(scene.root, path, ours.as_ref(), scene.moved_dir)) {
        None => Taken::Nothing,
        Some(Ok(moved)) => moved,
        // Without a verdict there is nothing to publish, and the hold has its own reason.
        Some(Err(_)) if document.is_none() => Taken::Nothing,
        Some(Err(error)) => {
            let settlement = unpublished(&error);
            return Ok(Judged { evidence, outcome, settlement, artifact: None, moved: Taken::Nothing });
        }
    };
    let (Some(document), Some(path)) = (document, scene.artifact) else {
        let settlement = settle(&evidence, outcome.as_ref(), no_artifact(&scene.stage.gate));
        return Ok(Judged { evidence, outcome, settlement, artifact: None, moved });
    };
    Ok(match publish_and_read(scene.root, path, &scene.stage.gate, &document) {
        Ok((answer, artifact)) => {
            let settlement = settle(&evidence, outcome.as_ref(), answer);
            Judged { evidence, outcome, settlement, artifact, moved }
        }
        Err(error) => Judged { evidence, outcome, settlement: unpublished(&error), artifact: None, moved },
    })
}

/// A published artifact with its bytes.
pub(super) type Published = (ArtifactRef, ArtifactBytes);

/// Puts a document in its place and reads the gate's answer from there: the verdict is that of the published bytes,
/// never of the value that wrote them.
pub(super) fn publish_and_read(
    root: &Root,
    path: &RelPath,
    gate: &Gate,
    document: &[u8],
) -> Result<(GateAnswer, Option<Published>), ArtifactError> {
    failpoint!("artifact.way-cleared");
    publish(root, path, document, Durability::Relaxed)?;
    failpoint!("artifact.published");
    let read = read_back(root, path, ARTIFACT_BYTES_MAX).and_then(|bytes| {
        if Digest::of(&bytes) == Digest::of(document) {
            Ok(bytes)
        } else {
            Err(Unreadable {
                reason: UnreadableReason::HashMismatch,
                line: None,
                detail: "the file was changed between its writing and its reading".to_owned(),
            })
        }
    });
    let (answer, bytes) = match read {
        Ok(bytes) => match gate::read(gate, &bytes) {
            Ok(reading) => (GateAnswer::Read(reading.verdict, reading.findings), Some(bytes)),
            Err(unreadable) => (GateAnswer::Unreadable(unreadable), Some(bytes)),
        },
        Err(unreadable) => (GateAnswer::Unreadable(unreadable), None),
    };
    let published = bytes.map(|bytes| {
        let kept = ArtifactBytes::of(bytes);
        (ArtifactRef { path: path.clone(), digest: kept.digest }, kept)
    });
    Ok((answer, published))
}

/// Makes the declared smoke checks where the suite passed and its pass can stand. Their answers can only take a
/// pass away, so that nobody needs them otherwise.
fn smoke_facts(checks: &[Smoke], evidence: &Evidence) -> Vec<SmokeFacts> {
    let suite = classify_suite(evidence);
    match suite.as_ref().and_then(|suite| suite.conclusion.ruling()) {
        None | Some(Ruling::Fail) => smoke_not_made(checks),
        Some(Ruling::Pass) if settle(evidence, suite.as_ref(), GateAnswer::NoGate) == Settlement::Passed => {
            smoke(checks)
        }
        // A pass that a changed tree takes away is held for the tree, and not for checks that were not made.
        Some(Ruling::Pass) => Vec::new(),
    }
}

/// The document of a suite that ran; `None` where there is no verdict, no place for it, or a pass that may not stand.
fn document(scene: Scene<'_>, evidence: &Evidence, outcome: Option<&Outcome>, tails: Vec<Excerpt>) -> Option<Vec<u8>> {
    let (outcome, _) = outcome.zip(scene.artifact)?;
    let ruling = outcome.conclusion.ruling()?;
    let stands = !matches!(settle(evidence, Some(outcome), GateAnswer::NoGate), Settlement::PermanentEnv(_));
    stands.then(|| {
        let text = compose(scene.plan, scene.record, evidence, outcome, ruling, &scene.stage.gate, tails).render();
        scene.masker.mask(&text)
    })
}

/// An artifact that cannot be written is no fault of the code.
fn unpublished(error: &ArtifactError) -> Settlement {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let detail = format!("could not {error}{cause}");
    if error.is_not_a_file() {
        let detail = format!("{detail}; {}", error.help());
        return Settlement::Unreadable(Unreadable { reason: UnreadableReason::NotAFile, line: None, detail });
    }
    Settlement::TransientInfra(Fault { reason: Reason::Internal, detail })
}

/// A stage with a gate and without an artifact's place can never pass.
fn no_artifact(gate: &Gate) -> GateAnswer {
    match gate {
        Gate::None => GateAnswer::NoGate,
        Gate::TestsPassed | Gate::StagingStatus | Gate::Approved | Gate::Key(_) => GateAnswer::Unreadable(Unreadable {
            reason: UnreadableReason::Missing,
            line: None,
            detail: "no artifact was written".to_owned(),
        }),
    }
}
