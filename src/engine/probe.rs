//! What a hold waits for: read from its reason and from what was seen.

use crate::domain::decision::{HoldReason, Probe};
use crate::domain::evidence::{Evidence, Exit, SpawnStep};

/// The probe of a hold. `seen` is the evidence of the attempt that led to it, where one did.
pub fn probe(reason: &HoldReason, seen: Option<&Evidence>) -> Probe {
    match reason {
        HoldReason::Approval => Probe::Answer,
        HoldReason::SwitchedOff { switch, .. } => Probe::Switch(switch.clone()),
        HoldReason::LowSpace { .. } => Probe::Space,
        HoldReason::PermanentEnv(_) => {
            seen.and_then(|seen| missing(seen).or_else(|| channel(seen))).unwrap_or(Probe::Person)
        }
        HoldReason::TransientInfra(_) => {
            seen.and_then(|seen| reset(seen).map(Probe::Time).or_else(|| channel(seen))).unwrap_or(Probe::Person)
        }
        HoldReason::Failed
        | HoldReason::BudgetSpent { .. }
        | HoldReason::Unreadable(_)
        | HoldReason::CapReached { .. }
        | HoldReason::TimedOut(..) => Probe::Person,
    }
}

/// When the limit of an agent's provider ends.
fn reset(seen: &Evidence) -> Option<jiff::Timestamp> {
    seen.agent.as_ref()?.fault.as_ref()?.resets_at
}

/// A way to another host that broke, and that a preflight can look at. A command whose end is lost for good is a
/// person's matter: a preflight would say nothing of what it did.
fn channel(seen: &Evidence) -> Option<Probe> {
    let facts = seen.channel.as_ref().filter(|facts| facts.ended.is_none() && facts.stopped.is_none())?;
    (!facts.may_have_begun || facts.can_be_resumed()).then(|| Probe::Channel(facts.host.clone()))
}

/// What the start of the producer did not find.
fn missing(seen: &Evidence) -> Option<Probe> {
    let Exit::SpawnFailed(failure) = &seen.exit else { return None };
    match failure.step {
        SpawnStep::Find => Some(Probe::Program(failure.subject.clone())),
        SpawnStep::Cwd => Some(Probe::Folder(failure.subject.clone())),
        // The file is there and cannot be started: only the start itself would tell.
        SpawnStep::Output
        | SpawnStep::Input
        | SpawnStep::Contain
        | SpawnStep::Fork
        | SpawnStep::Exec
        | SpawnStep::Supervisor => None,
    }
}
