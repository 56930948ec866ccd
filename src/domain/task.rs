//! A task's life: its states and the events that move it.
//!
//! Events are facts with everything in them that a decision needs, time included. `engine::step` is the one
//! function that says which event is lawful in which state.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::checkout::Checkout;
use super::decision::{Decision, Fault, HoldReason, Settlement, Spent};
use super::evidence::{Evidence, ExitRecord};
use super::id::{AttemptId, Digest, Nonce, PipelineName, RelPath, RunId, StageName, TaskName};
use super::outcome::Outcome;
use super::pipeline::{Ordinal, ProducerKind};
use super::stamp::Stamp;
use super::visits::Visits;

/// Where a task stands: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub name: TaskName,
    /// Its worktree.
    pub worktree: PathBuf,
    /// What is known of that worktree, where it is the task's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// What is true of it now.
    pub state: TaskState,
    /// What it has used up.
    pub spent: Spent,
    /// How often it entered each stage.
    pub visits: Visits,
    /// Attempts of the current visit so far.
    pub launches: u32,
}

/// The states of a task. Each carries exactly what is true in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum TaskState {
    /// No run owns it; it goes on at this stage.
    Queued {
        /// The stage; `None` before its first run.
        stage: Option<StageName>,
    },
    /// A run owns it, between attempts.
    Ready {
        /// The run.
        run: RunId,
        /// The stage that is next.
        stage: StageName,
        /// The visit the next attempt belongs to.
        visit: Ordinal,
        /// The number the next attempt will have.
        number: Ordinal,
    },
    /// A run owns it, and an attempt is under way.
    Running {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// The visit.
        visit: Ordinal,
        /// The attempt.
        attempt: AttemptId,
        /// Its number in the visit.
        number: Ordinal,
        /// How far it is.
        phase: AttemptPhase,
    },
    /// A run owns it and waits for a retry time.
    Waiting {
        /// The run.
        run: RunId,
        /// The stage that is tried again.
        stage: StageName,
        /// The visit.
        visit: Ordinal,
        /// The number the next attempt will have.
        number: Ordinal,
        /// What it waits for.
        deferral: Deferral,
    },
    /// No run owns it; its stage is tried again at a time.
    Deferred {
        /// The run that came here; it is closed.
        run: RunId,
        /// The stage that is tried again.
        stage: StageName,
        /// What it waits for.
        deferral: Deferral,
    },
    /// It waits for its probe or a person.
    Held {
        /// The run that came here; it is closed.
        run: RunId,
        /// The stage that runs next when it is released.
        stage: StageName,
        /// Why.
        reason: HoldReason,
        /// Since when.
        since: Timestamp,
    },
    /// A person laid it aside.
    Paused {
        /// What it goes back to: queued, deferred or held.
        was: Box<Self>,
        /// Who.
        by: String,
        /// Why, where it was said.
        why: Option<String>,
        /// Since when.
        since: Timestamp,
    },
    /// It passed its last gate.
    Done {
        /// The run that ended it.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// A gate said no and the pipeline ends the task there.
    Failed {
        /// The run that ended it.
        run: RunId,
        /// The stage whose gate said no.
        stage: StageName,
        /// When.
        at: Timestamp,
    },
    /// A person ended it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

impl TaskState {
    /// The word of documents and of the store's status column. A task between two attempts is `running`.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Ready { .. } | Self::Running { .. } => "running",
            Self::Waiting { .. } | Self::Deferred { .. } => "deferred",
            Self::Held { .. } => "held",
            Self::Paused { .. } => "paused",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// The stage it stands at.
    pub fn stage(&self) -> Option<&StageName> {
        match self {
            Self::Queued { stage } => stage.as_ref(),
            Self::Paused { was, .. } => was.stage(),
            Self::Ready { stage, .. }
            | Self::Running { stage, .. }
            | Self::Waiting { stage, .. }
            | Self::Deferred { stage, .. }
            | Self::Held { stage, .. }
            | Self::Failed { stage, .. } => Some(stage),
            Self::Done { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// The run that owns it, while one does.
    pub const fn live_run(&self) -> Option<RunId> {
        match self {
            Self::Ready { run, .. } | Self::Running { run, .. } | Self::Waiting { run, .. } => Some(*run),
            Self::Queued { .. }
            | Self::Deferred { .. }
            | Self::Held { .. }
            | Self::Paused { .. }
            | Self::Done { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. } => None,
        }
    }

    /// Whether nothing but a new run moves it any more.
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Done { .. } | Self::Failed { .. } | Self::Cancelled { .. } => true,
            Self::Queued { .. }
            | Self::Ready { .. }
            | Self::Running { .. }
            | Self::Waiting { .. }
            | Self::Deferred { .. }
            | Self::Held { .. }
            | Self::Paused { .. } => false,
        }
    }

    /// Whether it takes a slot and its turn in a serial group. One that waits, is held or paused takes none, so that
    /// a fault of one task does not stop the others (DESIGN D18).
    pub const fn takes_a_turn(&self) -> bool {
        match self {
            Self::Ready { .. } | Self::Running { .. } => true,
            Self::Queued { .. }
            | Self::Waiting { .. }
            | Self::Deferred { .. }
            | Self::Held { .. }
            | Self::Paused { .. }
            | Self::Done { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. } => false,
        }
    }

    /// What it waits for, while it waits for a retry time.
    pub const fn deferral(&self) -> Option<&Deferral> {
        match self {
            Self::Waiting { deferral, .. } | Self::Deferred { deferral, .. } => Some(deferral),
            Self::Queued { .. }
            | Self::Ready { .. }
            | Self::Running { .. }
            | Self::Held { .. }
            | Self::Paused { .. }
            | Self::Done { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. } => None,
        }
    }
}

/// A retry that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deferral {
    /// The fault that is waited out.
    pub fault: Fault,
    /// n-th retry of the visit, from 1.
    pub retry: u32,
    /// How many the visit may have.
    pub max: u32,
    /// How long it waits in all: what is left is never more, whatever became of the wall clock.
    pub pause: Duration,
    /// Wall clock of the retry.
    pub due: Timestamp,
}

impl Deferral {
    /// How long it still waits.
    pub fn left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.due.duration_since(now)).unwrap_or_default().min(self.pause)
    }
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptPhase {
    /// Recorded before anything was started.
    Intended,
    /// Its exit record is in the store.
    Finished,
}

/// What happened to a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The task came to be.
    TaskAdded {
        /// Its name.
        task: TaskName,
        /// Its worktree.
        worktree: PathBuf,
        /// The same as the task's own, where it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkout: Option<Checkout>,
        /// When.
        at: Timestamp,
    },
    /// The task's own worktree was made anew, or is taken as it is now.
    WorktreeMade {
        /// Where.
        worktree: PathBuf,
        /// What is known of it.
        checkout: Checkout,
        /// Who asked for it.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The task's own worktree was removed; its branch stays.
    WorktreeRemoved {
        /// Who asked for it.
        by: String,
        /// What was there that no commit has and was given up, where a person said so.
        lost: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// A run took the task.
    RunStarted(RunStart),
    /// An attempt is about to be started.
    AttemptIntended(Box<Intent>),
    /// An attempt ended and nothing of it lives any more.
    AttemptFinished {
        /// How, as the supervisor recorded it.
        record: Box<ExitRecord>,
        /// When it was taken into the store.
        at: Timestamp,
    },
    /// The attempt was classified, gated and decided.
    AttemptDecided(Box<Decided>),
    /// The stage that is next may not start, or is a person's to decide.
    StageHeld {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Why.
        reason: HoldReason,
        /// When.
        at: Timestamp,
    },
    /// The time of a retry has come.
    RetryDue {
        /// The run that waited.
        run: RunId,
        /// The number of the attempt that is next: a timer of another one does nothing.
        number: Ordinal,
        /// When.
        at: Timestamp,
    },
    /// A hold was released, or a retry brought forward: the same stage runs next.
    HoldReleased {
        /// Who, or what, released it.
        by: Releaser,
        /// Why, where it was said.
        why: Option<String>,
        /// What was looked at before, where something was.
        checked: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A person laid the task aside.
    TaskPaused {
        /// Who.
        by: String,
        /// Why, where it was said.
        why: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A person took the task up again.
    TaskResumed {
        /// Who.
        by: String,
        /// Why, where it was said.
        why: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A person ended the task.
    TaskCancelled {
        /// Who.
        by: String,
        /// Why, where it was said.
        why: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// The run let go of the task.
    RunClosed {
        /// The run.
        run: RunId,
        /// How.
        end: RunEnd,
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// The word of documents and of the store's kind column.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TaskAdded { .. } => "task-added",
            Self::WorktreeMade { .. } => "worktree-made",
            Self::WorktreeRemoved { .. } => "worktree-removed",
            Self::RunStarted(_) => "run-started",
            Self::AttemptIntended(_) => "attempt-intended",
            Self::AttemptFinished { .. } => "attempt-finished",
            Self::AttemptDecided(_) => "attempt-decided",
            Self::RunClosed { .. } => "run-closed",
            Self::StageHeld { .. } => "stage-held",
            Self::RetryDue { .. } => "retry-due",
            Self::HoldReleased { .. } => "hold-released",
            Self::TaskPaused { .. } => "task-paused",
            Self::TaskResumed { .. } => "task-resumed",
            Self::TaskCancelled { .. } => "task-cancelled",
        }
    }

    /// When it happened, by the wall clock; order is kept by sequence numbers, not by this.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::TaskAdded { at, .. }
            | Self::WorktreeMade { at, .. }
            | Self::WorktreeRemoved { at, .. }
            | Self::AttemptFinished { at, .. }
            | Self::RunClosed { at, .. }
            | Self::StageHeld { at, .. }
            | Self::RetryDue { at, .. }
            | Self::HoldReleased { at, .. }
            | Self::TaskPaused { at, .. }
            | Self::TaskResumed { at, .. }
            | Self::TaskCancelled { at, .. } => *at,
            Self::RunStarted(start) => start.at,
            Self::AttemptIntended(intent) => intent.at,
            Self::AttemptDecided(decided) => decided.at,
        }
    }
}

/// Who released a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Releaser {
    /// A person, by name.
    Person(String),
    /// Its probe passed.
    Probe,
}

impl Releaser {
    /// Who, for people.
    pub fn text(&self) -> &str {
        match self {
            Self::Person(name) => name,
            Self::Probe => "its probe",
        }
    }
}

/// A run's start: what every verdict in it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunStart {
    /// The run.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: PipelineName,
    /// Hash of the pipeline file's bytes.
    pub pipeline_digest: Digest,
    /// Commit the worktree stands at; 40 or 64 hex digits.
    pub commit: String,
    /// The task's base commit, which control runs use.
    pub base_commit: String,
    /// The stage it starts at.
    pub stage: StageName,
    /// The kernel's id of this start of the machine, as in `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Name of the machine, for people.
    pub host: String,
    /// When.
    pub at: Timestamp,
}

/// An attempt that is about to be started. Environment by name only: values may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Intent {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The stage.
    pub stage: StageName,
    /// The visit.
    pub visit: Ordinal,
    /// Its number in the visit.
    pub number: Ordinal,
    /// Kind of producer that runs.
    pub producer: ProducerKind,
    /// Why this producer runs; says so where it is a fallback.
    pub chosen: String,
    /// Whether it is the stage's fallback.
    #[serde(default)]
    pub fallback: bool,
    /// The word that its exit record must carry.
    pub nonce: Nonce,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working folder.
    pub cwd: PathBuf,
    /// Names of its environment variables.
    pub env_names: Vec<String>,
    /// Hash of the worktree's tree before the start.
    pub tree: Digest,
    /// Whether the worktree differs from its commit.
    pub dirty: bool,
    /// Hash of what makes it this worktree: its folder and its way to the repository. `None` in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<Digest>,
    /// The commit it stood at. `None` in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Decided {
    /// The attempt.
    pub attempt: AttemptId,
    /// What was seen.
    pub evidence: Evidence,
    /// Its class; `None` for a cancelled attempt.
    pub outcome: Option<Outcome>,
    /// What it came to.
    pub settlement: Settlement,
    /// What is done about it.
    pub decision: Decision,
    /// The artifact the verdict was read from.
    pub artifact: Option<ArtifactRef>,
    /// What all of it is bound to.
    pub stamp: Stamp,
    /// When.
    pub at: Timestamp,
}

/// A published artifact: where it stands in the worktree and which bytes it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArtifactRef {
    /// Path below the worktree.
    pub path: RelPath,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// How a run closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunEnd {
    /// The task is done, or the stage named by `--until` passed.
    Done,
    /// The task failed.
    Failed,
    /// The task is held.
    Held,
    /// The task was cancelled.
    Cancelled,
    /// The run was stopped or died; the task goes on at its stage.
    Interrupted,
}

impl RunEnd {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Something to be done in the world after the commit that asked for it; doing it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// The worktree's copy of an artifact must have these bytes.
    PublishArtifact {
        /// The attempt whose artifact it is.
        attempt: AttemptId,
        /// Which file and bytes.
        artifact: ArtifactRef,
    },
    /// Somebody must be told that the task is held.
    Alert {
        /// The run that came to the hold.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Why.
        reason: HoldReason,
        /// Since when.
        since: Timestamp,
    },
}

impl Effect {
    /// The id that makes it one effect however often it is asked for.
    pub fn id(&self) -> String {
        match self {
            Self::PublishArtifact { attempt, artifact } => format!("publish:{attempt}:{}", artifact.digest),
            // A run comes to one hold at most: it closes with it.
            Self::Alert { run, .. } => format!("alert:{run}"),
        }
    }
}
