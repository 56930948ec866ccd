//! Whether the commands of staging stages could run on their hosts: a look there, bounded, that starts nothing.

use super::finding::Finding;
use crate::classify::channel_in_words;
use crate::domain::plan::{AttemptPlan, Remote};
use crate::exec::{Looked, look};

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
