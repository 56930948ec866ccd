//! What an agent's end comes to (DESIGN D14): it worked to its end, and only the gate speaks; or a fault kept it from it.

use crate::domain::agent::{AgentEnd, AgentFacts};
use crate::domain::evidence::{Evidence, Exit, FaultKind};
use crate::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule};

use super::super::proof::outcome;

/// The outcome of an agent; `None` where its own end says nothing, and how its process ended must.
pub(in crate::classify) fn ended(evidence: &Evidence, facts: &AgentFacts) -> Option<Outcome> {
    let by_itself = match evidence.exit {
        Exit::Exited { .. } => true,
        // What came before the end was told counts: a tool is often killed while it cleans up.
        Exit::Signalled { .. } | Exit::TimedOut { .. } => false,
        // Nobody saw that nothing of it lives any more.
        Exit::Lost { .. } | Exit::SpawnFailed(_) | Exit::Answered(_) | Exit::Cancelled { .. } => return None,
    };
    // The fault was told on the way. A tool without a terminal event cannot say that it got over it; its artifact can.
    let got_over = facts.answered && by_itself && facts.end == AgentEnd::WithItsProcess;
    if let Some(fault) = facts.fault.as_ref().filter(|_| !got_over) {
        let (conclusion, reason) = match fault.kind {
            FaultKind::Permanent => (Conclusion::PermanentEnv, Reason::AgentSetUp),
            FaultKind::Transient => (Conclusion::TransientInfra, Reason::ProviderLimit),
        };
        let until = fault.resets_at.map(|at| format!("; the limit ends at {at}")).unwrap_or_default();
        let proof = Proof {
            detail: format!("{} says: `{}`{until}", facts.profile.as_str(), fault.text),
            source: Some(facts.profile.as_str().to_owned()),
            place: Some(fault.place.clone()),
            pattern: Some(fault.pattern.clone()),
            text: Some(fault.text.clone()),
            ..Proof::default()
        };
        return Some(outcome(conclusion, reason, Rule::AgentFault, proof));
    }
    let (reason, detail) = match &facts.end {
        AgentEnd::Completed => (Reason::AgentEnded, "it told the end of its work; only the gate speaks now".to_owned()),
        AgentEnd::WithItsProcess if by_itself => {
            (Reason::AgentEnded, "it ended by itself; only the gate speaks now".to_owned())
        }
        AgentEnd::OutOf(what) => (Reason::AgentLimit, format!("it stopped at a limit of its own: {}", what.as_str())),
        AgentEnd::GaveUp(why) => (Reason::AgentGaveUp, format!("it gave up: `{why}`")),
        AgentEnd::NotSeen if by_itself => {
            let detail =
                format!("{} ended without its terminal event and named no known fault", facts.profile.as_str());
            let proof = Proof { detail, source: Some("wait".to_owned()), ..Proof::default() };
            return Some(outcome(Conclusion::TransientInfra, Reason::Unclassified, Rule::NoProof, proof));
        }
        AgentEnd::NotSeen | AgentEnd::WithItsProcess => return None,
    };
    let proof = Proof { detail, source: Some(facts.profile.as_str().to_owned()), ..Proof::default() };
    Some(outcome(Conclusion::AgentRan, reason, Rule::AgentEnd, proof))
}
