//! What stands around the helper of a staging attempt: its errand before, what it saw of the way after.

use crate::domain::channel::{ChannelFacts, ChannelFault};
use crate::domain::evidence::{Exit, ExitRecord, LostReason};
use crate::domain::plan::AttemptPlan;
use crate::exec::{CHANNEL_FILE, OUTPUT_MAX_BYTES};

/// Largest file of facts, in bytes.
const FACTS_BYTES_MAX: u64 = 64 * 1024;

/// What the helper of an attempt saw of the way; `None` for a command that runs here. Facts that are not there, or not
/// readable, are no facts: the command may have begun, and nobody saw its end.
pub(super) fn facts(plan: &AttemptPlan, record: &ExitRecord) -> Option<ChannelFacts> {
    let remote = plan.remote.as_ref()?;
    let job = remote.earlier.map_or(plan.key.attempt, |earlier| earlier.attempt);
    let read = plan.attempt_dir.as_ref().and_then(|folder| {
        let path = folder.join(CHANNEL_FILE);
        let small = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= FACTS_BYTES_MAX);
        let bytes = small.then(|| std::fs::read(&path).ok()).flatten()?;
        serde_json::from_slice::<ChannelFacts>(&bytes).ok()
    });
    let known = read.filter(|facts| facts.version == 1);
    Some(known.unwrap_or_else(|| {
        let never = match &record.exit {
            Exit::SpawnFailed(_) | Exit::Lost { reason: LostReason::NeverStarted } => true,
            Exit::Exited { .. }
            | Exit::Signalled { .. }
            | Exit::TimedOut { .. }
            | Exit::Cancelled { .. }
            | Exit::Answered(_)
            | Exit::Lost { .. } => false,
        };
        ChannelFacts {
            may_have_begun: remote.earlier.is_some() || !never,
            fault: (!never).then(|| ChannelFault::OwnSide("the helper left no word of what it saw".to_owned())),
            left: remote.left.clone(),
            ..ChannelFacts::new(remote.target.shown(), job)
        }
    }))
}

/// Whether the far side lost a part of a stream, or kept no more of it than it may.
pub(super) fn was_cut(facts: &ChannelFacts) -> bool {
    const KEPT: u64 = OUTPUT_MAX_BYTES / 512 * 512;
    facts.ended.as_ref().is_some_and(|end| end.cut || end.stdout >= KEPT || end.stderr >= KEPT)
}
