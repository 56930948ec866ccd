//! What the helper of a staging attempt is told: a file of the attempt's own folder, read once and removed, because it
//! holds the nonce and the values of the command's environment.

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::channel::{Began, ChannelFacts, Container, Target, VersionCheck};
use crate::domain::id::{AttemptId, Nonce};
use crate::domain::pipeline::{Argv, Limits};
use crate::domain::plan::{AttemptPlan, Remote};

/// Name of the file that tells the helper what to do.
pub const JOB_FILE: &str = "remote.json";
/// Name of the file that the helper writes: what it saw of the way.
pub const CHANNEL_FILE: &str = "channel.json";

/// What is to be done on the other host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Errand {
    /// Run the command, or take up again what an earlier attempt left.
    Run,
    /// Look whether it could run, and start nothing.
    Check,
}

/// One command on one host. Its `Debug` shows no values.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Job {
    pub(super) errand: Errand,
    pub(super) target: Target,
    pub(super) argv: Argv,
    pub(super) cwd: Option<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) container: Option<Container>,
    pub(super) version: Option<VersionCheck>,
    pub(super) ttl: Duration,
    pub(super) limits: Limits,
    /// Bytes that are kept of each stream there.
    pub(super) output_max_bytes: u64,
    /// The attempt itself.
    pub(super) own: Key,
    /// The earlier one whose work is taken up again.
    pub(super) earlier: Option<Key>,
    /// Its begin mark, where one was heard.
    #[serde(default)]
    pub(super) began: Option<Began>,
    /// Earlier attempts whose commands may still run there: they are ended before this one starts.
    pub(super) left: Vec<AttemptId>,
    /// Whether the command may be started again where the earlier one's end cannot be learnt.
    pub(super) idempotent: bool,
}

/// Name and secret of a command's record on its host.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Key {
    pub(super) attempt: AttemptId,
    pub(super) nonce: Nonce,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.attempt).finish()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("errand", &self.errand)
            .field("target", &self.target)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Job {
    pub(super) fn of(plan: &AttemptPlan, remote: &Remote, errand: Errand) -> Self {
        Self {
            errand,
            target: remote.target.clone(),
            argv: remote.argv.clone(),
            cwd: remote.cwd.clone(),
            env: remote.env.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            container: remote.container.clone(),
            version: remote.version.clone(),
            ttl: remote.ttl,
            limits: remote.limits,
            output_max_bytes: super::super::protocol::OUTPUT_MAX_BYTES,
            own: Key { attempt: plan.key.attempt, nonce: plan.nonce },
            earlier: remote.earlier.map(|earlier| Key { attempt: earlier.attempt, nonce: earlier.nonce }),
            began: remote.earlier.and_then(|earlier| earlier.began),
            left: remote.left.clone(),
            idempotent: remote.idempotent,
        }
    }

    /// What is known of the way before anything was done.
    pub(super) fn facts(&self) -> ChannelFacts {
        let key = self.earlier.unwrap_or(self.own);
        ChannelFacts {
            may_have_begun: self.earlier.is_some(),
            began: self.began,
            left: self.left.clone(),
            ..ChannelFacts::new(self.target.shown(), key.attempt)
        }
    }

    /// Writes it for the helper, for nobody else to read.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(JOB_FILE))?;
        file.write_all(&serde_json::to_vec(self)?)
    }

    /// Reads it, and removes it.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        std::fs::remove_file(path)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// Makes the folder of a staging attempt ready: the helper's errand in it, and no facts from before.
///
/// # Errors
/// The file cannot be written.
pub fn hand_over(plan: &AttemptPlan, remote: &Remote, folder: &Path) -> io::Result<()> {
    for old in [JOB_FILE, CHANNEL_FILE] {
        match std::fs::remove_file(folder.join(old)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let job = Job::of(plan, remote, Errand::Run);
    // What is known before anything starts; a helper that never wrote a word has not done anything.
    std::fs::write(folder.join(CHANNEL_FILE), serde_json::to_vec(&job.facts())?)?;
    job.write(folder)
}
