//! What was seen in an attempt: facts, recorded and never edited.
//!
//! An end is a sum type. No number stands for "unknown": [`Exit::Lost`] is its own way to end and can never
//! become a verdict.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agent::AgentFacts;
use super::channel::ChannelFacts;
use super::control::Control;
use super::id::{AttemptId, Digest, Nonce};
use super::pipeline::{Adapter, EvidenceKind, OnTimeout, ReportKind};
use super::smoke::SmokeFacts;

/// How a producer's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Exit {
    /// It ended by itself with a code, 0 to 255.
    Exited {
        /// The code of `wait`.
        code: u8,
    },
    /// A signal that was not ours ended it. A direct child has no code then.
    Signalled {
        /// Signal number, as in signal(7).
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// One of our own limits ended it.
    TimedOut {
        /// Which limit.
        limit: Limit,
        /// The limit's value.
        after: Duration,
    },
    /// We were asked to stop it.
    Cancelled {
        /// Who asked.
        by: Canceller,
    },
    /// It never ran.
    SpawnFailed(SpawnFailure),
    /// Nobody saw how it ended.
    Lost {
        /// What is known of why.
        reason: LostReason,
    },
    /// There was no process: a person answered.
    Answered(Answer),
}

/// A person's word on an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answer {
    /// Approved or rejected.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// Why, in the person's words.
    pub why: String,
}

/// Which of our limits fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// From begin to end.
    Total,
    /// No output for too long.
    Idle,
    /// No begin mark in time.
    Start,
}

impl Limit {
    /// The word of records and reasons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Idle => "idle",
            Self::Start => "start",
        }
    }
}

/// Who asked for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Canceller {
    /// A person or a caller, by a command.
    Request,
    /// orch's own shutdown, by a signal to it.
    Shutdown,
}

/// A producer that never ran: the step that failed and the error number the kernel gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SpawnFailure {
    /// What was tried.
    pub step: SpawnStep,
    /// Error number, as in errno(3). `None` where no system call failed (a program not on the search path).
    pub errno: Option<i32>,
    /// The program or folder it was about.
    pub subject: String,
}

/// Steps of starting a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpawnStep {
    /// The working folder.
    Cwd,
    /// The program on the search path.
    Find,
    /// Pipes and log files of its output.
    Output,
    /// The file that is its standard input.
    Input,
    /// The containment it was to be started in.
    Contain,
    /// `fork`.
    Fork,
    /// `execve`; with ENOENT on a program that is there, its `#!` interpreter is missing.
    Exec,
    /// The supervisor process itself.
    Supervisor,
}

impl SpawnStep {
    /// The word of records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cwd => "cwd",
            Self::Find => "find",
            Self::Output => "output",
            Self::Input => "input",
            Self::Contain => "contain",
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Supervisor => "supervisor",
        }
    }
}

/// Why nobody saw the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LostReason {
    /// The supervisor died before it wrote the exit record.
    SupervisorDied,
    /// The machine was started anew.
    Reboot,
    /// The exit record is there and is not ours, or cannot be read.
    BadRecord,
    /// The attempt was intended and nothing shows that it was started.
    NeverStarted,
    /// The link to the host was lost and the host does not know.
    Link,
}

impl LostReason {
    /// The word of records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SupervisorDied => "supervisor-died",
            Self::Reboot => "reboot",
            Self::BadRecord => "bad-record",
            Self::NeverStarted => "never-started",
            Self::Link => "link",
        }
    }
}

/// What the supervisor writes once, when nothing of the attempt lives any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExitRecord {
    /// Version of this form: 1.
    pub version: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// The word the runner gave for it; a record with another is not believed.
    pub nonce: Nonce,
    /// How it ended.
    pub exit: Exit,
    /// Whether `execve` succeeded: the begin mark.
    pub began: bool,
    /// Wall clock at the start; for people.
    pub started_at: Timestamp,
    /// Wall clock at the end; for people.
    pub ended_at: Timestamp,
    /// Monotonic time between them.
    pub elapsed: Duration,
    /// Its part of the run's stdout file.
    pub stdout: LogSpan,
    /// Its part of the run's stderr file.
    pub stderr: LogSpan,
    /// How it was stopped, where it did not end by itself.
    pub stop: Stop,
    /// Descendants that outlived the main process and were killed.
    pub leaked: Vec<Leaked>,
    /// Descendants that could not be killed.
    pub survivors: Vec<Leaked>,
    /// Which mechanism swept the tree.
    pub tier: KillTier,
    /// Peak resident memory of its largest process, in KiB.
    pub max_rss_kib: u64,
    /// Processor time of the main process in user mode.
    pub user: Duration,
    /// Processor time of the main process in the kernel.
    pub system: Duration,
    /// Which containment it was started in.
    #[serde(default, skip_serializing_if = "Containment::is_unasked")]
    pub containment: Containment,
}

impl ExitRecord {
    /// The record of an attempt that came to its end without a process of its own.
    pub fn without_process(
        attempt: AttemptId,
        nonce: Nonce,
        exit: Exit,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> Self {
        Self {
            version: 1,
            attempt,
            nonce,
            exit,
            began: false,
            started_at,
            ended_at,
            elapsed: Duration::try_from(ended_at.duration_since(started_at)).unwrap_or_default(),
            stdout: LogSpan::default(),
            stderr: LogSpan::default(),
            stop: Stop::Unasked,
            leaked: Vec::new(),
            survivors: Vec::new(),
            tier: KillTier::Walk,
            max_rss_kib: 0,
            user: Duration::ZERO,
            system: Duration::ZERO,
            containment: Containment::Unasked,
        }
    }
}

/// What keeps a producer from the rest of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Containment {
    /// Nobody asked for any.
    #[default]
    Unasked,
    /// Landlock, no new privileges, few capabilities, limits and umask.
    InForce {
        /// Version of Landlock's interface.
        landlock: u32,
        /// The capabilities that were kept; records of before they were dropped do not have them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capabilities: Option<Vec<String>>,
    },
    /// It was asked for and is not in force.
    Missing {
        /// Why.
        why: String,
    },
}

impl Containment {
    /// Whether nobody asked for any.
    pub const fn is_unasked(&self) -> bool {
        matches!(self, Self::Unasked)
    }

    /// In words, for people; `None` where nobody asked for any.
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Unasked => None,
            Self::InForce { landlock, capabilities } => {
                let kept = match capabilities.as_deref() {
                    None => String::new(),
                    Some([]) => "; no capabilities".to_owned(),
                    Some(kept) => format!("; capabilities: {}", kept.join(", ")),
                };
                Some(format!("contained (Landlock {landlock}{kept})"))
            }
            Self::Missing { why } => Some(format!("NOT contained: {why}")),
        }
    }
}

/// An attempt's part of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LogSpan {
    /// First byte in the run's file.
    pub start: u64,
    /// Bytes the attempt wrote.
    pub bytes: u64,
    /// Bytes in its middle that were dropped to keep the bound, as offset in the file and count.
    pub dropped: Option<(u64, u64)>,
}

/// How an attempt's processes were brought to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// It ended by itself.
    Unasked,
    /// It ended within the grace after SIGTERM.
    Asked,
    /// It was killed after the grace.
    Killed,
}

/// A process that outlived its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Leaked {
    /// Its pid then.
    pub pid: i32,
    /// Its command name, at most 15 bytes, as in proc(5) `comm`.
    pub name: String,
}

/// What swept an attempt's process tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillTier {
    /// A cgroup v2 leaf and `cgroup.kill`.
    Cgroup,
    /// Subreaper and a walk over `/proc`.
    Walk,
}

/// Everything the classifier is given about one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evidence {
    /// How the process ended.
    pub exit: Exit,
    /// What the stage declared beforehand.
    pub declared: Declared,
    /// What its output shows.
    pub output: OutputFacts,
    /// What its report files show.
    pub reports: Vec<ReportFacts>,
    /// What the same command did at the base commit, where it was run (DESIGN D16).
    pub control: Option<Control>,
    /// Whether the worktree's tree is the same before and after; `None` where nothing compared it.
    pub tree: Option<TreeFacts>,
    /// What the declared smoke checks saw, in their order.
    #[serde(default)]
    pub smoke: Vec<SmokeFacts>,
    /// What was seen of an agent beside its process; `None` for every other producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<AgentFacts>>,
    /// What was seen of the way to another host, where the command ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelFacts>,
    /// What is broken of the worktree's git after it, so that no verdict can be bound to its tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

impl Evidence {
    /// An end, and nothing seen beside it.
    pub fn of(exit: Exit, declared: Declared) -> Self {
        Self {
            exit,
            declared,
            output: OutputFacts::default(),
            reports: Vec::new(),
            control: None,
            tree: None,
            smoke: Vec::new(),
            agent: None,
            channel: None,
            damage: None,
        }
    }
}

/// What a stage declares about its own end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Declared {
    /// What proves that the suite ran.
    pub evidence: EvidenceKind,
    /// Fewest executed tests for a pass.
    pub min_tests: u64,
    /// What our own total limit means.
    pub on_timeout: OnTimeout,
}

impl Default for Declared {
    fn default() -> Self {
        Self { evidence: EvidenceKind::Auto, min_tests: 1, on_timeout: OnTimeout::Hold }
    }
}

/// One of a command's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The usual name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What the classifier's readers found in the output; the bytes themselves stay in the logs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputFacts {
    /// Closing summaries, in the order they were read.
    pub summaries: Vec<Summary>,
    /// Suites that began, or parts of suites, without a closing summary.
    pub unfinished: Vec<Sighting>,
    /// Code that cannot be loaded or built, said by a known tool in its own format.
    pub code_faults: Vec<Sighting>,
    /// Crashes of a running test, named by its framework.
    pub crashes: Vec<Sighting>,
    /// Known infra texts outside the suites' regions.
    pub signatures: Vec<Signature>,
    /// Bytes read from stdout.
    pub stdout_bytes: u64,
    /// Bytes read from stderr.
    pub stderr_bytes: u64,
    /// Whether the middle of a stream was not kept, so that a red summary may be missing.
    pub incomplete: bool,
    /// Last lines of stderr, for people; at most 4 KiB, control characters escaped.
    pub stderr_tail: String,
}

/// Where in the output something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sighting {
    /// Which tool said it.
    pub tool: String,
    /// The stream.
    pub stream: Stream,
    /// Line in the stream, from 1.
    pub line: u64,
    /// The line's text without colour codes, at most 300 characters.
    pub text: String,
}

/// A complete closing summary of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Who wrote it.
    pub source: SummarySource,
    /// What it counts.
    pub counts: Counts,
    /// Where it stands.
    pub at: Sighting,
}

/// Who wrote a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SummarySource {
    /// A known framework.
    Adapter(Adapter),
    /// The stage's own closing line.
    ClosingLine,
}

/// Tests counted by a summary or a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Executed and passed.
    pub passed: u64,
    /// Executed and failed.
    pub failed: u64,
    /// Broken in set-up, collection or tear-down.
    pub errors: u64,
    /// Not executed.
    pub skipped: u64,
}

impl Counts {
    /// Tests that were executed to an end.
    pub const fn ran(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    /// Whether anything failed.
    pub const fn red(&self) -> bool {
        self.failed > 0 || self.errors > 0
    }

    /// Sum of two counts.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed.saturating_add(other.passed),
            failed: self.failed.saturating_add(other.failed),
            errors: self.errors.saturating_add(other.errors),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

/// A known infra text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signature {
    /// Id of the pattern in orch's table.
    pub pattern: String,
    /// What the table says of it.
    pub fault: FaultKind,
    /// Where it was seen.
    pub at: Sighting,
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Waiting will not help.
    Permanent,
    /// May pass by itself.
    Transient,
}

/// What a report file shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReportFacts {
    /// Its format.
    pub kind: ReportKind,
    /// Its path, for people.
    pub path: String,
    /// What was found there.
    pub found: ReportFound,
}

/// State of a report file after the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ReportFound {
    /// Read to its end.
    Read {
        /// What it counts.
        counts: Counts,
        /// Its bytes' hash.
        digest: Digest,
        /// First failing tests by name, at most 20.
        failing: Vec<String>,
    },
    /// Nothing is there.
    Missing,
    /// It is older than the attempt.
    Stale,
    /// It cannot be read to its end; why.
    Broken {
        /// Why, in one line.
        why: String,
    },
    /// A premature-exit file: it is still there, so the suite did not reach its end.
    LeftBehind,
    /// A premature-exit file: it is gone, as it should be.
    Removed,
}

/// The worktree before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TreeFacts {
    /// Hash of the tree before the producer started.
    pub before: Digest,
    /// Hash of the same files after it ended.
    pub after: Digest,
    /// Hash of the whole tree it left, new files included: what the next stage starts from.
    pub left: Digest,
    /// Files that stood there and were changed or removed; at most 20.
    pub changed: Vec<String>,
    /// Files that git neither tracks nor ignores and that were not there before; at most 20.
    pub added: Vec<String>,
}

impl TreeFacts {
    /// Whether files that stood there changed.
    pub fn was_changed(&self) -> bool {
        !self.changed.is_empty() || self.before != self.after
    }
}
