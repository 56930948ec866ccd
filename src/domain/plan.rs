//! Everything one attempt needs, resolved before anything starts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::{AgentProfile, Require};
use super::channel::{Container, Earlier, Target, VersionCheck};
use super::evidence::Declared;
use super::id::{AttemptId, Nonce, RunId, StageName, TaskName};
use super::pipeline::{Argv, Limits, Ordinal, ProducerKind, Report};

/// One attempt, resolved: what is started, where, with what, and what is read afterwards.
#[derive(Clone, PartialEq, Eq)]
pub struct AttemptPlan {
    /// Which attempt.
    pub key: AttemptKey,
    /// Ties the exit record to this plan; never given to the producer.
    pub nonce: Nonce,
    /// Kind of producer.
    pub producer: ProducerKind,
    /// Program and arguments. Words that named a variable hold its value, which may be a secret: for the start only.
    pub argv: Argv,
    /// Program and arguments as the pipeline writes them: for records, documents and people.
    pub shown: Argv,
    /// Absolute working folder.
    pub cwd: PathBuf,
    /// The whole environment of the producer.
    pub env: Environment,
    /// Time limits.
    pub limits: Limits,
    /// What the stage declares about its end.
    pub declared: Declared,
    /// Report files to move away before the start and to read after the end.
    pub reports: Vec<Report>,
    /// Folder of this attempt alone; made only where a report stands in it, an agent works, or a helper has an errand.
    pub attempt_dir: Option<PathBuf>,
    /// What an agent's start needs besides; `None` for every other producer.
    pub agent: Option<AgentPlan>,
    /// What runs on another host; `argv` is the helper's then.
    pub remote: Option<Box<Remote>>,
}

/// What the start of an agent needs besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPlan {
    /// Whose contract it keeps.
    pub profile: AgentProfile,
    /// The prompt, rendered, in the attempt's folder.
    pub prompt: PathBuf,
    /// Whether the prompt is its standard input.
    pub on_stdin: bool,
    /// Whether it begins, for the start limit, with its first output.
    pub tells_first_event: bool,
    /// What it may reach.
    pub cage: Cage,
}

/// What a contained process may reach; everything else is refused by the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cage {
    /// Whether nothing is started without it.
    pub require: Require,
    /// Folders and files that it may write, with everything below.
    pub write: Vec<PathBuf>,
    /// Folders and files that it may read though they lie below something hidden.
    pub read: Vec<PathBuf>,
    /// Folders and files that it may not even read, unless they are named above.
    pub hidden: Vec<PathBuf>,
    /// Why it is not asked for, where it is not.
    pub off: Option<String>,
}

/// A command on another host, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// How the host is reached.
    pub target: Target,
    /// Program and arguments there.
    pub argv: Argv,
    /// Working folder there; the user's home where `None`.
    pub cwd: Option<String>,
    /// What is added to the environment there.
    pub env: Environment,
    /// A container that must run.
    pub container: Option<Container>,
    /// How the version that stands there is learnt.
    pub version: Option<VersionCheck>,
    /// How long it outlives its last connection.
    pub ttl: Duration,
    /// Its limits: the helper counts them from the begin mark there.
    pub limits: Limits,
    /// An earlier attempt whose work may still be under way there.
    pub earlier: Option<Earlier>,
    /// Earlier attempts whose commands may still run there, and are not taken up again: they are ended first.
    pub left: Vec<AttemptId>,
    /// Whether it may be started again after it began.
    pub idempotent: bool,
}

impl fmt::Debug for AttemptPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptPlan")
            .field("key", &self.key)
            .field("shown", &self.shown)
            .field("cwd", &self.cwd)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}

/// Which attempt of which stage of which run of which task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptKey {
    /// Its id.
    pub attempt: AttemptId,
    /// The task.
    pub task: TaskName,
    /// The run.
    pub run: RunId,
    /// The stage.
    pub stage: StageName,
    /// n-th entry of the task into the stage, from 1.
    pub visit: Ordinal,
    /// n-th launch in this visit, from 1.
    pub number: Ordinal,
}

/// Environment of a producer. Values may be secrets: `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Takes pairs; a later pair with the same name replaces the earlier one.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some(pair) => pair.1 = value,
                None => all.push((name, value)),
            }
        }
        Self(all)
    }

    /// Every pair.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Every name, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.pairs().map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
