//! What the same command did at the task's base commit (DESIGN D16).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Exit, LogSpan};
use super::id::{AttemptId, RunId};
use super::outcome::Reason;

/// The answer of a control run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Control {
    /// It could not run there either: the environment is at fault.
    BaseCannotRun {
        /// What it did there.
        base: Box<ControlRun>,
    },
    /// It runs there, and the change ended again as it had: the change is at fault.
    BaseRuns {
        /// What it did at the base commit.
        base: Box<ControlRun>,
        /// What it did at the change's commit, in a worktree made in the same way.
        change: Box<ControlRun>,
    },
    /// It runs there, and the change ended otherwise than it had: nobody is at fault for sure.
    Unsteady {
        /// What it did at the base commit.
        base: Box<ControlRun>,
        /// What it did at the change's commit, in a worktree made in the same way.
        change: Box<ControlRun>,
    },
    /// The conditions could not be made equal, or the control run gave no answer.
    Refused {
        /// Which, in one line.
        why: String,
    },
}

impl Control {
    /// The processes it started or heard of.
    pub fn runs(&self) -> Vec<(&'static str, &ControlRun)> {
        match self {
            Self::BaseCannotRun { base } => vec![("base", base)],
            Self::BaseRuns { base, change } | Self::Unsteady { base, change } => {
                vec![("base", base), ("change", change)]
            }
            Self::Refused { .. } => Vec::new(),
        }
    }
}

/// One process of a control run. It is no attempt: its end decides nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ControlRun {
    /// The commit that was checked out.
    pub commit: String,
    /// The id of its exit record.
    pub id: AttemptId,
    /// The run in whose folder its record and its output are.
    pub run: RunId,
    /// How it ended.
    pub exit: Exit,
    /// The reason that the classifier gives for that end; `None` where it was stopped.
    pub reason: Option<Reason>,
    /// The same in one line.
    pub detail: String,
    /// How long it ran.
    pub elapsed: Duration,
    /// Its part of the run's stdout file.
    pub stdout: LogSpan,
    /// Its part of the run's stderr file.
    pub stderr: LogSpan,
    /// Whether another attempt asked for it, after this one had ended.
    pub shared: bool,
}
