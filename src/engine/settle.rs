//! What an attempt came to: the class of its end, and what its gate says.

use crate::domain::decision::{Fault, Settlement};
use crate::domain::evidence::{Canceller, Evidence, Exit};
use crate::domain::outcome::{Conclusion, Outcome, Reason, Ruling};
use crate::domain::verdict::{Unreadable, UnreadableReason, Verdict};

/// What a stage's gate answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateAnswer {
    /// `gate: none`: the classification's own verdict counts.
    NoGate,
    /// The artifact was read back.
    Read(Verdict, Vec<String>),
    /// It gives no verdict.
    Unreadable(Unreadable),
}

/// Brings the class and the gate's answer together; total. A gate can never make a pass out of a suite that
/// failed or did not run.
pub fn settle(evidence: &Evidence, outcome: Option<&Outcome>, gate: GateAnswer) -> Settlement {
    let Some(outcome) = outcome else {
        return Settlement::Cancelled(match evidence.exit {
            Exit::Cancelled { by } => by,
            Exit::Exited { .. }
            | Exit::Signalled { .. }
            | Exit::TimedOut { .. }
            | Exit::SpawnFailed(_)
            | Exit::Answered(_)
            | Exit::Lost { .. } => Canceller::Request,
        });
    };
    if let Some(damage) = &evidence.damage {
        let (reason, detail) = (UnreadableReason::RepositoryDamaged, damage.clone());
        return Settlement::Unreadable(Unreadable { reason, line: None, detail });
    }
    let fault = || Fault::of(outcome);
    match outcome.conclusion {
        Conclusion::PermanentEnv => Settlement::PermanentEnv(fault()),
        Conclusion::TransientInfra => match evidence.exit {
            Exit::TimedOut { limit, .. } => Settlement::TimedOut(limit, fault()),
            Exit::Exited { .. }
            | Exit::Signalled { .. }
            | Exit::Cancelled { .. }
            | Exit::SpawnFailed(_)
            | Exit::Answered(_)
            | Exit::Lost { .. } => Settlement::TransientInfra(fault()),
        },
        Conclusion::AgentRan => agent(evidence, outcome, gate),
        Conclusion::SuiteRan(Ruling::Pass) if tree_changed(evidence).is_some() => {
            let changed = tree_changed(evidence).unwrap_or_default();
            Settlement::PermanentEnv(Fault {
                reason: Reason::TreeChanged,
                detail: format!(
                    "the worktree changed between the start and the end of the attempt, so its answer does not count: {changed}"
                ),
            })
        }
        Conclusion::SuiteRan(ruling) => match (ruling, gate) {
            (_, GateAnswer::Unreadable(unreadable)) => Settlement::Unreadable(unreadable),
            (Ruling::Pass, GateAnswer::NoGate | GateAnswer::Read(Verdict::Pass, _)) => Settlement::Passed,
            (Ruling::Fail, GateAnswer::NoGate) => Settlement::Failed(vec![outcome.proof.detail.clone()]),
            (Ruling::Fail, GateAnswer::Read(Verdict::Fail, findings)) => Settlement::Failed(findings),
            (Ruling::Pass, GateAnswer::Read(Verdict::Fail, _)) | (Ruling::Fail, GateAnswer::Read(Verdict::Pass, _)) => {
                Settlement::Unreadable(Unreadable {
                    reason: UnreadableReason::Contradiction,
                    line: None,
                    detail: format!(
                        "the suite's own answer is {}, the published artifact says the opposite",
                        ruling.as_str()
                    ),
                })
            }
        },
    }
}

/// Of an agent that worked to its end only the gate speaks, and only where nothing else takes its word away.
fn agent(evidence: &Evidence, outcome: &Outcome, gate: GateAnswer) -> Settlement {
    let unreadable = |reason, detail| Settlement::Unreadable(Unreadable { reason, line: None, detail });
    let scope = evidence.agent.as_ref().map(|facts| &facts.scope);
    if outcome.reason != Reason::AgentEnded {
        return unreadable(UnreadableReason::AgentStopped, outcome.proof.detail.clone());
    }
    if let Some(why) = scope.and_then(|scope| scope.unknown.as_ref()) {
        return unreadable(UnreadableReason::OutOfScope, format!("whether it kept to its scope is not known: {why}"));
    }
    if let Some(scope) = scope.filter(|scope| !scope.repository.is_empty()) {
        let detail = format!("it changed the repository's own files: {}", listed(&scope.repository));
        return unreadable(UnreadableReason::RepositoryChanged, detail);
    }
    if let Some(scope) = scope.filter(|scope| scope.outside_count > 0) {
        let named = listed(&scope.outside);
        let hint = match &scope.folder {
            Some(folder) => format!("; `{folder}` alone covers nothing in that folder, `{folder}/**` does"),
            None => String::new(),
        };
        let detail = format!("it changed {} paths outside its `writes`: {named}{hint}", scope.outside_count);
        return unreadable(UnreadableReason::OutOfScope, detail);
    }
    match gate {
        GateAnswer::NoGate => unreadable(UnreadableReason::Missing, "an agent's stage needs a gate".to_owned()),
        GateAnswer::Read(Verdict::Pass, _) => Settlement::Passed,
        GateAnswer::Read(Verdict::Fail, findings) => Settlement::Failed(findings),
        GateAnswer::Unreadable(unreadable) => Settlement::Unreadable(unreadable),
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The first files that were changed, where any were; by whom, nobody has seen.
fn tree_changed(evidence: &Evidence) -> Option<String> {
    let tree = evidence.tree.as_ref().filter(|tree| tree.was_changed())?;
    let shown: Vec<String> = tree.changed.iter().take(5).map(|path| format!("`{path}`")).collect();
    Some(if shown.is_empty() {
        "its hash is another, and which files it is cannot be told: what stood there before is not remembered"
            .to_owned()
    } else {
        shown.join(", ")
    })
}
