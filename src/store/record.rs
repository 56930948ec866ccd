//! What the store gives back: typed records, each read from its events and checked against its row.

use jiff::Timestamp;

use crate::domain::evidence::ExitRecord;
use crate::domain::id::{AttemptId, Digest, StageName, TaskName};
use crate::domain::task::{ArtifactRef, Decided, Effect, Event, Intent, RunEnd, RunStart, Task};

use super::change::{Holder, Version};

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTask {
    /// Its state.
    pub task: Task,
    /// What the next change must expect.
    pub version: Version,
    /// Hash of its last event.
    pub head: Digest,
    /// Who drives it, where a run owns it and its runner said so.
    pub holder: Option<Holder>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The task it drives.
    pub task: TaskName,
    /// What its verdicts are bound to.
    pub start: RunStart,
    /// How it closed; `None` while it is live.
    pub closing: Option<RunClosing>,
}

/// A run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunClosing {
    /// How it ended.
    pub end: RunEnd,
    /// When.
    pub at: Timestamp,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of one task.
    pub task: Option<TaskName>,
    /// At most so many, newest first.
    pub limit: Option<u32>,
}

/// An attempt as far as the worktree's artifacts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// It.
    pub attempt: AttemptId,
    /// Its stage.
    pub stage: StageName,
    /// What it published; `None` where it published nothing, or is not decided yet.
    pub artifact: Option<ArtifactRef>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// The task.
    pub task: TaskName,
    /// What was about to be started.
    pub intent: Intent,
    /// How it ended; `None` while it may be running, or where nothing was started.
    pub finished: Option<Finished>,
    /// What it came to; `None` while it is live.
    pub decided: Option<Box<Decided>>,
}

/// An attempt's end, as its supervisor recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The exit record.
    pub record: Box<ExitRecord>,
    /// When it was taken into the store.
    pub at: Timestamp,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its number in the task, from 1; the task's version after it.
    pub seq: Version,
    /// Hash of the event before it; zeros for the first.
    pub prev: Digest,
    /// Its own hash, over `prev`, task, number and text.
    pub hash: Digest,
    /// What happened.
    pub event: Event,
    /// Its stored form: the bytes that are hashed.
    pub text: String,
}

/// An effect that is not marked done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEffect {
    /// Its id.
    pub id: String,
    /// The task that asked for it.
    pub task: TaskName,
    /// What is to be done.
    pub effect: Effect,
}
