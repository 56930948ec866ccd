//! Looking whether a staging command could run now: reachable, key accepted, host key known, tools, program, container.
//! Bounded, and starts nothing.

use std::path::Path;
use std::time::Duration;

use crate::domain::channel::ChannelFacts;
use crate::domain::pipeline::Argv;
use crate::domain::plan::{AttemptPlan, Environment, Remote};

use super::super::quick::{Quick, quick};
use super::REMOTE;
use super::job::{CHANNEL_FILE, Errand, JOB_FILE, Job};

/// How long a look may take beside its connection.
const SLACK: Duration = Duration::from_secs(10);
/// What a look may say.
const SAID_BYTES_MAX: usize = 64 * 1024;

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// These facts; without a fault all is as it should be.
    Seen(Box<ChannelFacts>),
    /// The look itself could not be made.
    NotMade(String),
}

/// Looks.
pub fn look(plan: &AttemptPlan, remote: &Remote) -> Looked {
    let not_made = |error: &dyn std::fmt::Display| Looked::NotMade(error.to_string());
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return not_made(&error),
    };
    if let Err(error) = Job::of(plan, remote, Errand::Check).write(folder.path()) {
        return not_made(&error);
    }
    let file = folder.path().join(JOB_FILE);
    let words = ["/proc/self/exe", REMOTE, &file.to_string_lossy()].map(str::to_owned);
    let argv = match Argv::new(words.to_vec()) {
        Ok(argv) => argv,
        Err(error) => return not_made(&error),
    };
    let limit = remote.target.connect.saturating_add(SLACK);
    let env: &Environment = &plan.env;
    let call = Quick { argv: &argv, cwd: Path::new("/"), env, limit, output_max_bytes: SAID_BYTES_MAX };
    if let Err(error) = quick(call) {
        return not_made(&error);
    }
    let read = std::fs::read(folder.path().join(CHANNEL_FILE));
    let read = read.and_then(|bytes| Ok(serde_json::from_slice::<ChannelFacts>(&bytes)?));
    match read {
        Ok(facts) if facts.fault.is_none() && !facts.ready => {
            Looked::NotMade(format!("{} gave no answer within {} s", facts.host, limit.as_secs()))
        }
        Ok(facts) => Looked::Seen(Box::new(facts)),
        Err(error) => not_made(&error),
    }
}
