//! Agents: what a stage declares of one, and what was seen of one beside its process.
//!
//! Nothing an agent says of itself is a verdict. Its own event stream says that it worked to its end, or which fault
//! of its provider ended it; what it did is read by the gate, from its artifact.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::FaultKind;
use super::id::RelPath;
use super::pipeline::{Argv, EnvSpec};

/// An LLM command line and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Which tool's contract it keeps.
    pub profile: AgentProfile,
    /// File of the prompt, relative to the worktree.
    pub prompt: RelPath,
    /// Globs of paths it may change; empty means nothing but its artifact.
    pub writes: Vec<String>,
    /// Command of a `custom` profile.
    pub command: Option<Argv>,
    /// Environment beside the allow list.
    pub env: EnvSpec,
    /// What it may use up.
    pub caps: Caps,
    /// Whether a start without containment is refused.
    pub require: Require,
    /// Files and folders outside the worktree that it may write: absolute, or below `~/`.
    pub may_write: Vec<String>,
    /// Whether the tool is told to ask nobody. Needs the environment's word too (row N7).
    pub permissions: Permissions,
}

/// A glob of paths below the worktree: `*` and `?` stop at `/`, `**` does not.
///
/// # Errors
/// What is wrong with it.
pub fn path_glob(text: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(text).literal_separator(true).build()
}

/// What an agent's start needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// Containment where the kernel has it.
    #[default]
    Nothing,
    /// Containment; without it nothing is started.
    Contained,
}

/// Whether a tool's own permission checks are in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permissions {
    /// They are.
    #[default]
    Kept,
    /// The tool is told to skip them.
    Skipped,
}

/// What the attempts of a stage may use up in one run; `None` is no cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Caps {
    /// Turns.
    pub turns: Option<u64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Cost, in millionths of a US dollar.
    pub micro_usd: Option<u64>,
}

/// The agent tools whose output contracts orch knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentProfile {
    /// Claude Code.
    ClaudeCode,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// opencode.
    Opencode,
    /// aider.
    Aider,
    /// Any other command.
    Custom,
}

/// What was seen of an agent beside its process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AgentFacts {
    /// Whose contract was read.
    pub profile: AgentProfile,
    /// How its own event stream ended.
    pub end: AgentEnd,
    /// A fault of its provider or its account, from its own error channel.
    pub fault: Option<AgentFault>,
    /// Whether an artifact that its gate can read stood there at its end. Looked at only where a tool whose exit is its end
    /// told a fault: with an answer there it got over it.
    #[serde(default)]
    pub answered: bool,
    /// Events that were read, known or not.
    pub events: u64,
    /// Lines of its event stream that are no event.
    pub strange_lines: u64,
    /// What takes its conversation up again.
    pub resume: Option<String>,
    /// What it used up.
    pub usage: Usage,
    /// What it did to the worktree and its repository.
    pub scope: ScopeFacts,
}

/// How an agent's own event stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentEnd {
    /// Its format has no terminal event: its own exit is its end.
    WithItsProcess,
    /// No terminal event came.
    NotSeen,
    /// Its terminal event came, without an error.
    Completed,
    /// It stopped at a limit of its own.
    OutOf(Allowance),
    /// Its terminal event tells an error that is no fault of the infrastructure; in its words.
    GaveUp(String),
}

/// What an agent can run out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowance {
    /// Turns.
    Turns,
    /// Cost.
    Cost,
    /// Room in its context.
    Context,
}

impl Allowance {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Cost => "cost",
            Self::Context => "context",
        }
    }
}

/// A fault that an agent's own error channel told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AgentFault {
    /// Id of the signature, or `status-NNN`.
    pub pattern: String,
    /// Whether waiting can help.
    pub kind: FaultKind,
    /// The tool's words, at most 300 characters.
    pub text: String,
    /// Where it was told.
    pub place: String,
    /// When the provider's limit ends, where it says so.
    pub resets_at: Option<Timestamp>,
}

/// What an agent used up, as far as its format tells; `None` is unknown, never nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// Turns.
    pub turns: Option<u64>,
    /// Tokens read, from caches too.
    pub input_tokens: Option<u64>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
    /// Cost, in millionths of a US dollar.
    pub micro_usd: Option<u64>,
}

impl Usage {
    /// Tokens in all; `None` where one of the two is unknown.
    pub fn tokens(&self) -> Option<u64> {
        Some(self.input_tokens?.saturating_add(self.output_tokens?))
    }

    /// The sum of what is known of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (known, None) | (None, known) => known,
        };
        Self {
            turns: sum(self.turns, other.turns),
            input_tokens: sum(self.input_tokens, other.input_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            micro_usd: sum(self.micro_usd, other.micro_usd),
        }
    }

    /// What of these caps the events did not tell, by the names of the pipeline file.
    pub fn untold(&self, caps: &Caps) -> Vec<&'static str> {
        let rows = [
            ("max-turns", caps.turns, self.turns),
            ("max-tokens", caps.tokens, self.tokens()),
            ("max-cost", caps.micro_usd, self.micro_usd),
        ];
        rows.into_iter().filter(|(_, cap, told)| cap.is_some() && told.is_none()).map(|(name, ..)| name).collect()
    }

    /// In words, for people; `None` where nothing is known.
    pub fn in_words(&self) -> Option<String> {
        let turns = self.turns.map(|turns| format!("{turns} turns"));
        let tokens = self.tokens().map(|tokens| format!("{tokens} tokens"));
        let cost = self.micro_usd.map(|cost| format!("${}.{:04}", cost / 1_000_000, cost % 1_000_000 / 100));
        let told: Vec<String> = [turns, tokens, cost].into_iter().flatten().collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

/// What an agent did to the worktree and to the repository behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScopeFacts {
    /// Changed paths outside its write scope, at most 20.
    pub outside: Vec<String>,
    /// How many there are.
    pub outside_count: u64,
    /// What of the repository's shared configuration changed, at most 20.
    pub repository: Vec<String>,
    /// What of it changed meanwhile where the agent's containment kept it from writing: somebody else did that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_others: Vec<String>,
    /// Why the change could not be compared with what was there before, where it could not.
    pub unknown: Option<String>,
    /// The commit it left the worktree at, where that is another than before.
    pub commit: Option<String>,
    /// A glob of its scope that names a folder alone, where a path outside lies below that folder.
    #[serde(default)]
    pub folder: Option<String>,
}
