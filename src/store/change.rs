//! What a caller asks the store to keep: one change of one task.

use std::fmt;

use crate::domain::id::{Digest, TaskName};
use crate::domain::task::{Effect, Event, Task};

use super::error::StoreError;
use super::{MAX_ARTIFACT_BYTES, MAX_PIPELINE_BYTES};

/// How many events a task has had. 0: the task does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a task that does not exist.
    pub const NONE: Self = Self(0);

    /// Wraps a count of events.
    pub const fn new(events: u64) -> Self {
        Self(events)
    }

    /// The count of events.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after some more events.
    #[must_use]
    pub const fn after(self, events: u64) -> Self {
        Self(self.0.saturating_add(events))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A change of one task: what happened, what it comes to, and the bytes it rests on.
#[derive(Debug, Clone)]
pub struct Change {
    /// The task.
    pub task: TaskName,
    /// Where the caller saw it stand; [`Version::NONE`]: it must not exist.
    pub expected: Version,
    /// Its state after all events, as `engine::step` gives it.
    pub next: Task,
    /// What happened, in order; at least one.
    pub events: Vec<Event>,
    /// Bytes of the artifacts that the events name.
    pub artifacts: Vec<ArtifactBytes>,
    /// What is to be done in the world once this is stored.
    pub effects: Vec<Effect>,
    /// Ids of earlier effects that have been carried out.
    pub done: Vec<String>,
    /// Texts of the pipelines that the events pin.
    pub pipelines: Vec<PinnedPipeline>,
    /// Who drives the task now; kept only while a run owns it.
    pub holder: Option<Holder>,
}

impl Change {
    /// A change that carries events and nothing else.
    pub const fn new(expected: Version, next: Task, events: Vec<Event>, task: TaskName) -> Self {
        Self {
            task,
            expected,
            next,
            events,
            artifacts: Vec::new(),
            effects: Vec::new(),
            done: Vec::new(),
            pipelines: Vec::new(),
            holder: None,
        }
    }

    /// The version the task has once this is stored.
    pub fn version(&self) -> Version {
        self.expected.after(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    /// Checks what can be checked without the store.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let refuse = |what: String| Err(StoreError::Refused { task: self.task.clone(), what });
        if self.next.name != self.task {
            return refuse(format!("its next state is that of task `{}`", self.next.name));
        }
        let Some(first) = self.events.first() else {
            return refuse("it has no event".to_owned());
        };
        for event in &self.events {
            if let Event::TaskAdded { task, .. } = event
                && *task != self.task
            {
                return refuse(format!("it adds task `{task}`"));
            }
        }
        let added = |event: &Event| matches!(event, Event::TaskAdded { .. });
        if added(first) != (self.expected == Version::NONE) || self.events.iter().skip(1).any(added) {
            return refuse("`task-added` must be the first event of a task, and only that".to_owned());
        }
        for artifact in &self.artifacts {
            let bytes = artifact.bytes.len();
            if bytes > MAX_ARTIFACT_BYTES {
                return refuse(format!("an artifact has {bytes} bytes, over the limit of {MAX_ARTIFACT_BYTES}"));
            }
            if Digest::of(&artifact.bytes) != artifact.digest {
                return refuse(format!("the bytes given for artifact {} have another hash", artifact.digest));
            }
        }
        for pipeline in &self.pipelines {
            let bytes = pipeline.text.len();
            if bytes > MAX_PIPELINE_BYTES {
                return refuse(format!("a pipeline has {bytes} bytes, over the limit of {MAX_PIPELINE_BYTES}"));
            }
            if Digest::of(&pipeline.text) != pipeline.digest {
                return refuse(format!("the text given for pipeline {} has another hash", pipeline.digest));
            }
        }
        Ok(())
    }
}

/// An artifact's bytes under their hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ArtifactBytes {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl ArtifactBytes {
    /// Hashes bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { digest: Digest::of(&bytes), bytes }
    }
}

impl fmt::Debug for ArtifactBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactBytes({}, {} bytes)", self.digest.short(), self.bytes.len())
    }
}

/// A pipeline file's bytes under their hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PinnedPipeline {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The file as it was read.
    pub text: Vec<u8>,
}

impl PinnedPipeline {
    /// Hashes a file's bytes.
    pub fn of(text: Vec<u8>) -> Self {
        Self { digest: Digest::of(&text), text }
    }
}

impl fmt::Debug for PinnedPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedPipeline({}, {} bytes)", self.digest.short(), self.text.len())
    }
}

/// Who drives a task, for people; the lock itself is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The runner's name for itself, such as host and start time.
    pub owner: String,
    /// Its process.
    pub pid: u32,
}
