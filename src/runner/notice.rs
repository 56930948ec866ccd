//! What the runner tells while it works; the command line shows it.

use std::time::Duration;

use crate::domain::decision::{Decision, Settlement};
use crate::domain::id::{AttemptId, RunId, StageName, TaskName};
use crate::domain::outcome::Outcome;
use crate::domain::pipeline::Limits;
use crate::domain::shadow::Shadow;
use crate::domain::task::Deferral;

/// One thing that happened.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A run took the task.
    RunStarted {
        /// The task.
        task: &'a TaskName,
        /// The run.
        run: RunId,
        /// Its first stage.
        stage: &'a StageName,
    },
    /// An attempt is being started.
    AttemptStarted {
        /// Its stage.
        stage: &'a StageName,
        /// The attempt.
        attempt: AttemptId,
        /// Its visit and number in it.
        place: (u32, u32),
        /// Program and arguments.
        argv: &'a [String],
    },
    /// An attempt is under way; told in the steps that [`Runner::progress`](super::Runner::progress) asks for.
    Working {
        /// Its stage.
        stage: &'a StageName,
        /// Since it was launched.
        elapsed: Duration,
        /// Its limits.
        limits: Limits,
        /// Bytes it has written to both streams.
        bytes: u64,
        /// Since it last wrote anything, or was launched.
        silent: Duration,
        /// The last line it wrote that is not blank, as it wrote it; cut to its end.
        last_line: &'a [u8],
    },
    /// An attempt was decided.
    AttemptDecided {
        /// Its stage.
        stage: &'a StageName,
        /// The attempt.
        attempt: AttemptId,
        /// Its class; `None` when it was cancelled.
        outcome: Option<&'a Outcome>,
        /// What it came to.
        settlement: &'a Settlement,
        /// What is done about it.
        decision: &'a Decision,
    },
    /// The shadow of the last attempt is being started.
    ShadowStarted {
        /// Its stage.
        stage: &'a StageName,
        /// Program and arguments.
        argv: &'a [String],
    },
    /// A shadow came to its end, or never did.
    Shadowed(&'a Shadow),
    /// The run waits for a retry time.
    Waiting {
        /// Its stage.
        stage: &'a StageName,
        /// What it waits for.
        deferral: &'a Deferral,
        /// How long from now.
        left: Duration,
    },
    /// Something a person may want to know.
    Warning(String),
}
