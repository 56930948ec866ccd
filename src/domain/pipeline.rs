//! A pipeline: stages and the moves between them. A [`Pipeline`] exists only when every law below holds.
//!
//! The types already leave no room for the most dangerous pipelines: [`Advance`] cannot be reached from a
//! failure, [`OnFail`] cannot advance, and an infra outcome has no transition at all, only an [`InfraPolicy`].

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::agent::{Agent, AgentProfile};
pub use super::channel::Staging;
use super::id::{BudgetName, Digest, PipelineName, RelPath, SerialGroup, StageName, SwitchName};

/// What the variables of a switch have behind its name.
pub const SWITCH_PARTS: [&str; 4] = ["_ENABLED", "_REPOS", "_TIMEOUT_S", "_INFRA_RETRIES"];

/// Most stages one pipeline may have.
pub const STAGES_MAX: usize = 10_000;

/// A graph of stages that keeps every law of [`Pipeline::new`].
#[derive(Debug, Clone)]
pub struct Pipeline {
    parts: Parts,
    index: HashMap<StageName, usize>,
}

/// Everything a pipeline is made of, before its laws are checked.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What people call it.
    pub name: PipelineName,
    /// Repository this pipeline is for, as switches with a repository scope name it.
    pub repository: Option<String>,
    /// Folder of the canonical artifacts, inside the worktree; `{task}` stands for the task's name.
    pub artifacts: RelPath,
    /// What each budget allows.
    pub budgets: BTreeMap<BudgetName, u32>,
    /// Stages in the order of the file; a task starts at the first.
    pub stages: Vec<Stage>,
    /// Hash of the file's bytes: what a run is pinned to.
    pub digest: Digest,
}

/// One stage: a producer, an artifact, a gate, transitions and limits.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// What does its work.
    pub producer: Producer,
    /// Environment switch that can turn the producer off.
    pub switch: Option<SwitchName>,
    /// What runs instead where the switch is off; never because of a fault.
    pub fallback: Option<Producer>,
    /// An agent that does the same work beside the producer, apart from it, to be compared; nothing hangs on it.
    pub shadow: Option<Agent>,
    /// File of its artifact below the artifacts folder. `None` exactly where [`Gate::None`] stands.
    pub artifact: Option<RelPath>,
    /// Contract that reads the artifact.
    pub gate: Gate,
    /// Where a pass leads.
    pub pass: Advance,
    /// What a fail leads to.
    pub fail: OnFail,
    /// What a transient fault is worth.
    pub infra: InfraPolicy,
    /// Time limits.
    pub limits: Limits,
    /// What our own total limit means once the command has begun.
    pub on_timeout: OnTimeout,
    /// One task at a time in this group.
    pub serial: Option<SerialGroup>,
}

impl Stage {
    /// Every agent that may be started for it: as its producer, as the fallback, as the shadow.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        let producers = std::iter::once(&self.producer).chain(&self.fallback);
        producers.filter_map(Producer::agent).chain(&self.shadow)
    }

    /// What is added to the environments of what may be started for it.
    pub fn environments(&self) -> impl Iterator<Item = &EnvSpec> {
        let producers = std::iter::once(&self.producer).chain(&self.fallback);
        producers.filter_map(Producer::env).chain(self.shadow.iter().map(|shadow| &shadow.env))
    }
}

/// Where a pass leads. A pass is the only way forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advance {
    /// To a further stage.
    To(StageName),
    /// The task is done.
    Done,
}

/// What a fail leads to: never forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// Back to an earlier stage, charged to a budget; a spent budget holds.
    Rollback {
        /// The earlier stage, or the stage itself.
        to: StageName,
        /// The budget that pays.
        charge: BudgetName,
    },
    /// A person decides.
    Hold,
    /// The task ends as failed.
    Failed,
}

/// What does a stage's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Producer {
    /// An LLM command line.
    Agent(Agent),
    /// A test suite in the worktree.
    TestRunner(Suite),
    /// A suite on another host, over ssh.
    StagingRunner(Box<Staging>),
    /// Any other deterministic command with declared evidence.
    Command(Suite),
    /// A person's word; no process.
    Approval,
}

/// The kinds of producer, as the pipeline file writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProducerKind {
    /// An LLM command line.
    Agent,
    /// A test suite in the worktree.
    TestRunner,
    /// A suite on another host, over ssh.
    StagingRunner,
    /// Any other deterministic command.
    Command,
    /// A person's word.
    Approval,
}

impl ProducerKind {
    /// The word of the pipeline file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::TestRunner => "test-runner",
            Self::StagingRunner => "staging-runner",
            Self::Command => "command",
            Self::Approval => "approval",
        }
    }

    /// Whether orch itself writes the artifact, from the exit record and the report.
    pub const fn is_deterministic(self) -> bool {
        match self {
            Self::TestRunner | Self::StagingRunner | Self::Command => true,
            Self::Agent | Self::Approval => false,
        }
    }
}

impl Producer {
    /// Which kind it is.
    pub const fn kind(&self) -> ProducerKind {
        match self {
            Self::Agent(_) => ProducerKind::Agent,
            Self::TestRunner(_) => ProducerKind::TestRunner,
            Self::StagingRunner(_) => ProducerKind::StagingRunner,
            Self::Command(_) => ProducerKind::Command,
            Self::Approval => ProducerKind::Approval,
        }
    }

    /// The agent, where it is one.
    pub const fn agent(&self) -> Option<&Agent> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::TestRunner(_) | Self::StagingRunner(_) | Self::Command(_) | Self::Approval => None,
        }
    }

    /// Read-only checks of a running service that follow a pass.
    pub fn smoke(&self) -> &[Smoke] {
        match self {
            Self::TestRunner(suite) | Self::Command(suite) => &suite.smoke,
            Self::StagingRunner(staging) => &staging.suite.smoke,
            Self::Agent(_) | Self::Approval => &[],
        }
    }

    /// Environment beside the allow list.
    pub const fn env(&self) -> Option<&EnvSpec> {
        match self {
            Self::Agent(agent) => Some(&agent.env),
            Self::TestRunner(suite) | Self::Command(suite) => Some(&suite.env),
            Self::StagingRunner(staging) => Some(&staging.suite.env),
            Self::Approval => None,
        }
    }

    /// Whether the producer may be started again after its begin mark was seen.
    pub const fn idempotent(&self) -> bool {
        match self {
            Self::Agent(_) | Self::Approval => true,
            Self::TestRunner(suite) | Self::Command(suite) => suite.idempotent,
            Self::StagingRunner(staging) => staging.suite.idempotent,
        }
    }
}

/// A command whose output or report proves what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Program and arguments; started directly, never through a shell.
    pub command: Argv,
    /// Folder it starts in, below the worktree; the worktree itself where `None`.
    pub cwd: Option<RelPath>,
    /// What proves that the suite ran.
    pub evidence: EvidenceKind,
    /// Report files it writes.
    pub reports: Vec<Report>,
    /// Fewest executed tests for a pass; 0 lets an empty suite pass.
    pub min_tests: u64,
    /// Environment beside the allow list.
    pub env: EnvSpec,
    /// Read-only checks of a running service.
    pub smoke: Vec<Smoke>,
    /// May be started again after it began.
    pub idempotent: bool,
}

/// Program and arguments: at least the program, no NUL byte in any word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Argv(Vec<String>);

/// Why a list of words is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgvError {
    /// No word at all, or an empty program.
    #[error("a command needs a program as its first word")]
    NoProgram,
    /// A word holds a NUL byte, which no process can be given.
    #[error("word {0} of the command holds a NUL byte")]
    Nul(usize),
    /// The program holds blanks: a whole command line in one word (row B16).
    #[error("the program {0:?} looks like a whole command line; write one word a list item")]
    CommandLine(String),
}

impl Argv {
    /// Takes words that a process can be started with.
    ///
    /// # Errors
    /// [`ArgvError`] for no program, NUL bytes, or a program with blanks followed by a flag.
    pub fn new(words: Vec<String>) -> Result<Self, ArgvError> {
        let program = words.first().filter(|word| !word.trim().is_empty()).ok_or(ArgvError::NoProgram)?;
        if let Some(index) = words.iter().position(|word| word.contains('\0')) {
            return Err(ArgvError::Nul(index));
        }
        if !program.contains('/') && program.chars().any(char::is_whitespace) || program.contains(" -") {
            return Err(ArgvError::CommandLine(program.clone()));
        }
        Ok(Self(words))
    }

    /// The program.
    pub fn program(&self) -> &str {
        self.0.first().expect("an Argv has a program")
    }

    /// All words, the program first.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Argv {
    type Error = ArgvError;
    fn try_from(words: Vec<String>) -> Result<Self, ArgvError> {
        Self::new(words)
    }
}

impl From<Argv> for Vec<String> {
    fn from(argv: Argv) -> Self {
        argv.0
    }
}

/// What proves that a suite ran (DESIGN D21).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// Every adapter is tried; any red beats any green.
    Auto,
    /// One known framework.
    Adapter(Adapter),
    /// A line with named groups `total`, `passed`, `failed`, `skipped` (those it has).
    ClosingLine(String),
    /// For what is no suite: the exit code, by this map.
    ExitCode(ExitMap),
}

/// Which exit codes of a command are a verdict; any other code holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitMap {
    /// Codes that mean pass.
    pub pass: Vec<u8>,
    /// Codes that mean fail.
    pub fail: Vec<u8>,
}

impl Default for ExitMap {
    fn default() -> Self {
        Self { pass: vec![0], fail: vec![1] }
    }
}

/// The frameworks whose evidence orch can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adapter {
    /// `JUnit` XML report files.
    Junit,
    /// pytest's closing line.
    Pytest,
    /// Python's unittest.
    Unittest,
    /// libtest through `cargo test`.
    CargoTest,
    /// cargo-nextest.
    Nextest,
    /// `go test`.
    GoTest,
    /// jest.
    Jest,
    /// mocha.
    Mocha,
    /// vitest.
    Vitest,
    /// `node --test`.
    NodeTest,
    /// TAP and prove.
    Tap,
    /// bats.
    Bats,
    /// googletest's premature-exit file.
    ExitFile,
}

impl Adapter {
    /// Every adapter, in the order they are listed to people.
    pub const ALL: [Self; 13] = [
        Self::Junit,
        Self::Pytest,
        Self::Unittest,
        Self::CargoTest,
        Self::Nextest,
        Self::GoTest,
        Self::Jest,
        Self::Mocha,
        Self::Vitest,
        Self::NodeTest,
        Self::Tap,
        Self::Bats,
        Self::ExitFile,
    ];

    /// The word of the pipeline file and of `--evidence`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
            Self::CargoTest => "cargo-test",
            Self::Nextest => "nextest",
            Self::GoTest => "go-test",
            Self::Jest => "jest",
            Self::Mocha => "mocha",
            Self::Vitest => "vitest",
            Self::NodeTest => "node-test",
            Self::Tap => "tap",
            Self::Bats => "bats",
            Self::ExitFile => "exit-file",
        }
    }

    /// The adapter of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|adapter| adapter.as_str() == word)
    }
}

/// A report file that a suite writes and orch reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its format.
    pub kind: ReportKind,
    /// Where it is written.
    pub place: ReportPlace,
}

/// Formats of report files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    /// `JUnit` XML.
    Junit,
    /// A file that exists while a googletest-like suite runs and is removed at its end.
    ExitFile,
}

/// Where a report file is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportPlace {
    /// Below the worktree.
    Worktree(RelPath),
    /// Below the attempt's own folder, `ORCH_ATTEMPT_DIR`: `{attempt}/…` in the file.
    Attempt(RelPath),
}

/// Environment of a producer beside the allow list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Names, or prefixes that end in `*`, that are passed on from orch's own environment.
    pub pass: Vec<String>,
    /// Names with fixed values.
    pub set: BTreeMap<String, String>,
}

/// One read-only request to a running service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smoke {
    /// URL to get.
    pub get: String,
    /// Wanted HTTP status.
    pub expect: u16,
    /// Longest time from the first byte sent to the last header read, connecting included.
    pub timeout: Duration,
}

/// What reads a stage's artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// `gate: none`: deterministic producers only; the classification's own verdict counts.
    None,
    /// Built in: `13-test-report.md`.
    TestsPassed,
    /// Built in: `15-staging-log.md`.
    StagingStatus,
    /// Built in: a person's approval.
    Approved,
    /// A key with closed sets of words.
    Key(KeyGate),
}

impl Gate {
    /// The word of the pipeline file, or `key` for a declared gate.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TestsPassed => "tests-passed",
            Self::StagingStatus => "staging-status",
            Self::Approved => "approved",
            Self::Key(_) => "key",
        }
    }
}

/// A declared gate: one key and the words that decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGate {
    /// Front-matter key: `[a-z][a-z0-9_-]{0,63}`.
    pub key: String,
    /// Words that mean pass; never empty, none also in `fail`.
    pub pass: Vec<String>,
    /// Words that mean fail.
    pub fail: Vec<String>,
}

/// What a transient fault is worth: further attempts within a visit, and the pauses between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraPolicy {
    /// Further attempts after the first.
    pub retries: u32,
    /// First pause.
    pub backoff_base: Duration,
    /// Longest pause.
    pub backoff_cap: Duration,
}

impl Default for InfraPolicy {
    fn default() -> Self {
        Self { retries: 3, backoff_base: Duration::from_secs(30), backoff_cap: Duration::from_mins(10) }
    }
}

/// Time limits of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the begin mark to the end.
    pub total: Duration,
    /// Without any output.
    pub idle: Duration,
    /// Until the begin mark.
    pub start: Duration,
    /// From the request to stop to the kill.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_mins(30),
            idle: Duration::from_mins(10),
            start: Duration::from_mins(2),
            grace: Duration::from_secs(10),
        }
    }
}

/// What our own total limit means after the begin mark (DESIGN D6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTimeout {
    /// An infra fault; the task is held.
    #[default]
    Hold,
    /// Part of the suite's contract; a fail.
    Fail,
}

/// Which part of a stage a [`Flaw`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// The pipeline as a whole.
    Pipeline,
    /// The stage with this index, as a whole.
    Stage(usize),
    /// Its artifact.
    Artifact(usize),
    /// Its gate.
    Gate(usize),
    /// Its `pass` transition.
    Pass(usize),
    /// Its `fail` transition.
    Fail(usize),
    /// The budget its rollback charges.
    Charge(usize),
    /// Its fallback.
    Fallback(usize),
    /// Its shadow.
    Shadow(usize),
    /// Its producer.
    Producer(usize),
}

/// A broken law of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub site: Site,
    /// Which law.
    pub kind: FlawKind,
}

/// The laws of a pipeline that need more than one value to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlawKind {
    /// No stage at all.
    NoStages,
    /// More than [`STAGES_MAX`] stages.
    TooManyStages(usize),
    /// Two stages share a name; the first one's index.
    DuplicateStage(usize),
    /// Two stages share an artifact (case folded); the first one's index.
    DuplicateArtifact(usize),
    /// An artifact whose folder is another stage's artifact; that stage's index.
    ArtifactBelowArtifact(usize),
    /// A transition to a stage that is not there.
    UnknownTarget(StageName),
    /// A charge to a budget that is not declared.
    UnknownBudget(BudgetName),
    /// No path of passes and rollbacks from the first stage leads here; asked once every target is known.
    Unreachable,
    /// A cycle of `pass` transitions: nothing bounds it. The stages of the cycle, in order.
    UnboundedLoop(Vec<StageName>),
    /// A rollback to a stage whose passes do not lead back here: it would lead forward or aside.
    RollbackForward(StageName),
    /// A gate without an artifact to read.
    GateWithoutArtifact,
    /// An artifact that nothing reads (`gate: none`).
    ArtifactWithoutGate,
    /// A gate that cannot read what this producer, or the fallback, leaves.
    GateDoesNotFit {
        /// The gate's word.
        gate: &'static str,
        /// The producer's word.
        producer: &'static str,
    },
    /// A fallback without a switch: it could never be chosen.
    FallbackWithoutSwitch,
    /// A shadow beside something that is no runner: there is nothing it could be held against.
    ShadowWithoutRunner {
        /// The producer's word.
        producer: &'static str,
    },
    /// A key gate that decides nothing: what is wrong with its key or its words.
    BadKeyGate(String),
}

impl Pipeline {
    /// Checks every law of the graph and reports all that are broken.
    ///
    /// # Errors
    /// Every [`Flaw`], in the order of the stages.
    pub fn new(parts: Parts) -> Result<Self, Vec<Flaw>> {
        let (index, flaws) = super::pipeline_laws::check(&parts);
        if flaws.is_empty() { Ok(Self { parts, index }) } else { Err(flaws) }
    }

    /// What people call it.
    pub fn name(&self) -> &PipelineName {
        &self.parts.name
    }

    /// The repository it is for, where it says so.
    pub fn repository(&self) -> Option<&str> {
        self.parts.repository.as_deref()
    }

    /// Folder of the artifacts, with `{task}` still in it.
    pub fn artifacts(&self) -> &RelPath {
        &self.parts.artifacts
    }

    /// What a budget allows.
    pub fn budget(&self, name: &BudgetName) -> u32 {
        self.parts.budgets.get(name).copied().expect("a valid pipeline charges declared budgets only")
    }

    /// Every budget.
    pub fn budgets(&self) -> &BTreeMap<BudgetName, u32> {
        &self.parts.budgets
    }

    /// Stages in the order of the file.
    pub fn stages(&self) -> &[Stage] {
        &self.parts.stages
    }

    /// The stage a task starts at.
    pub fn first(&self) -> &Stage {
        self.parts.stages.first().expect("a valid pipeline has a stage")
    }

    /// A stage by name.
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.index.get(name).and_then(|index| self.parts.stages.get(*index))
    }

    /// Place of a stage in the file, from 0.
    pub fn position(&self, name: &StageName) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Hash of the file's bytes.
    pub fn digest(&self) -> Digest {
        self.parts.digest
    }
}

/// Why a [`NonZeroU32`] is used for visits and attempts: they are counted from 1 and 0 names none.
pub type Ordinal = NonZeroU32;
