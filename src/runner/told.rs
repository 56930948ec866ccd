//! What failed before, for the agent that is to mend it.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::domain::decision::{Decision, Settlement};
use crate::domain::evidence::ExitRecord;
use crate::domain::id::{RelPath, RunId, StageName};

use super::judge::{Judged, Scene};

/// Most findings that a prompt repeats.
const FINDINGS_MAX: usize = 50;

/// The last attempt of a task that came to a verdict, or to an artifact without one.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) run: RunId,
    pub(super) stage: StageName,
    pub(super) settlement: Settlement,
    pub(super) decision: Decision,
    pub(super) record: ExitRecord,
    pub(super) artifact: Option<RelPath>,
}

impl Told {
    /// Whether an end is worth telling: a fault of the environment says nothing about the work.
    pub(super) const fn says_something(settlement: &Settlement) -> bool {
        match settlement {
            Settlement::Passed | Settlement::Failed(_) | Settlement::Unreadable(_) => true,
            Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_)
            | Settlement::Cancelled(_) => false,
        }
    }

    /// What an attempt came to, before it is decided what follows; `None` where that says nothing about the work.
    pub(super) fn draft(scene: Scene<'_>, judged: &Judged) -> Option<Self> {
        Self::says_something(&judged.settlement).then(|| Self {
            run: scene.plan.key.run,
            stage: scene.stage.name.clone(),
            settlement: judged.settlement.clone(),
            decision: Decision::Interrupt,
            record: scene.record.clone(),
            artifact: judged.artifact.as_ref().map(|(artifact, _)| artifact.path.clone()),
        })
    }

    /// Whether it is a finding for a stage: its own, or of the stage that sent the task back to it.
    pub(super) fn is_for(&self, stage: &StageName) -> bool {
        let sent_back = match &self.decision {
            Decision::Rollback { to, .. } => to == stage,
            Decision::Advance(_)
            | Decision::Rewrite
            | Decision::Retry { .. }
            | Decision::Hold(_)
            | Decision::Fail
            | Decision::Interrupt => self.stage == *stage,
        };
        sent_back && self.settlement != Settlement::Passed
    }

    /// The findings in words. What a suite or an agent wrote stands in quotation, line by line.
    pub(super) fn in_words(&self, stage: &StageName, logs: &[PathBuf]) -> String {
        let mut text = String::new();
        let mut line = |words: String| writeln!(text, "{words}").expect("a String takes every text");
        let own = self.stage == *stage;
        match &self.settlement {
            Settlement::Failed(findings) => {
                line(format!("The gate of stage `{}` said no.", self.stage));
                if findings.is_empty() {
                    line("It named no finding of its own.".to_owned());
                }
                for finding in findings.iter().take(FINDINGS_MAX) {
                    line(format!("> {}", finding.replace('\n', "\n> ")));
                }
            }
            Settlement::Unreadable(unreadable) => {
                let whose = if own { "Your last artifact" } else { "Its artifact" };
                let place = unreadable.line.map(|line| format!(" (line {line})")).unwrap_or_default();
                line(format!("{whose} gives no verdict{place}: {}", unreadable.reason.as_str()));
                line(format!("> {}", unreadable.detail.replace('\n', "\n> ")));
                line("Mend exactly that; this is the only further attempt before a person is asked.".to_owned());
            }
            Settlement::Passed
            | Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_)
            | Settlement::Cancelled(_) => {}
        }
        if let Some(artifact) = self.artifact.as_ref().filter(|_| !own) {
            line(format!("Its artifact is `{artifact}`, below the worktree."));
        }
        for log in logs {
            line(format!("The end of its output is in `{}`.", log.display()));
        }
        text.truncate(text.trim_end().len());
        text
    }
}
