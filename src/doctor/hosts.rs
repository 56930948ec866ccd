//! Whether the commands of staging stages could run on their hosts: a look there, bounded, that starts nothing.

use jiff::Timestamp;

use super::finding::Finding;
use super::programs::resolve;
use crate::classify::channel_in_words;
use crate::config::{Choice, Settings};
use crate::domain::pipeline::{Pipeline, Producer, Stage};
use crate::domain::plan::{AttemptPlan, Remote};
use crate::engine::HostEnv;
use crate::exec::{Looked, look};
use crate::workspace::preflight::Preflight;
use crate::workspace::worktree::Worktree;

/// A look at the host of a stage, ready to be made.
#[derive(Debug)]
pub struct StagingLook {
    stage: String,
    plan: AttemptPlan,
}

impl StagingLook {
    /// Makes it, at this time; bounded.
    pub fn make(&self, at: Timestamp) -> Preflight {
        let (passed, seen) = match self.plan.remote.as_ref().map(|remote| look(&self.plan, remote)) {
            Some(Looked::Seen(facts)) if facts.fault.is_none() => (true, format!("{} has what it needs", facts.host)),
            Some(Looked::Seen(facts)) => (false, channel_in_words(&facts)),
            Some(Looked::NotMade(why)) => (false, format!("the look could not be made: {why}")),
            None => (true, "it runs here".to_owned()),
        };
        Preflight { version: 1, stage: self.stage.clone(), at, passed, seen }
    }
}

/// The looks for every staging stage whose producer is not switched off, and whose command runs on its host.
pub fn staging_looks(
    pipeline: &Pipeline,
    (settings, repository): (&Settings, &str),
    worktree: &Worktree,
    host: &HostEnv,
) -> Vec<StagingLook> {
    let look = |stage: &Stage| {
        let Choice::Run { producer: producer @ Producer::StagingRunner(_), .. } = settings.choice(stage, repository)
        else {
            return None;
        };
        let plan = resolve(stage, producer, worktree, host)?.ok().filter(|plan| plan.remote.is_some())?;
        Some(StagingLook { stage: stage.name.to_string(), plan })
    };
    if settings.exec_host_side() { pipeline.stages().iter().filter_map(look).collect() } else { Vec::new() }
}

const AREA: &str = "hosts";

/// Looks at the host of a stage. A host that is down is no error of a start: its stage is held, and goes on by itself.
pub(super) fn of_stage(stage: &str, plan: &AttemptPlan, remote: &Remote) -> Finding {
    let help = "until it is mended the stage is held, and goes on by itself once this look passes";
    match look(plan, remote) {
        Looked::Seen(facts) if facts.fault.is_none() => {
            let version = facts.tested.as_ref().map(|tested| format!(", version `{tested}`")).unwrap_or_default();
            Finding::ok(AREA, format!("{stage}: {} can be reached and has what the command needs{version}", facts.host))
        }
        Looked::Seen(facts) => Finding::warn(AREA, format!("{stage}: {}", channel_in_words(&facts)), help),
        Looked::NotMade(why) => {
            Finding::warn(AREA, format!("{stage}: {} could not be looked at: {why}", remote.target.shown()), help)
        }
    }
}
