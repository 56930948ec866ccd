//! What a hold waits for: read from its reason and from what was seen.

use crate::domain::decision::{HoldReason, Probe};
use crate::domain::evidence::{Evidence, Exit, SpawnStep};

/// The probe of a hold. `seen` is the evidence of the attempt that led to it, where one did.
pub fn probe(reason: &HoldReason, seen: Option<&Evidence>) -> Probe {
    match reason {
        HoldReason::Approval => Probe::Answer,
        HoldReason::SwitchedOff { switch, .. } => Probe::Switch(switch.clone()),
        HoldReason::LowSpace { .. } => Probe::Space,
        HoldReason::PermanentEnv(_) => seen.and_then(missing).unwrap_or(Probe::Person),
        HoldReason::TransientInfra(_) => seen.and_then(reset).map_or(Probe::Person, Probe::Time),
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
