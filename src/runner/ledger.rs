//! What has happened and is not stored yet, and the one way to store it.

use crate::domain::id::TaskName;
use crate::domain::task::{Effect, Event, Task};
use crate::engine::{self, Refused};
use crate::store::{ArtifactBytes, Change, Holder, PinnedPipeline, Store, StoreError, Version};

/// A task's state with the events that lead to it from what is stored.
#[derive(Debug)]
pub(super) struct Ledger {
    name: TaskName,
    task: Option<Task>,
    version: Version,
    events: Vec<Event>,
    effects: Vec<Effect>,
    artifacts: Vec<ArtifactBytes>,
    pipelines: Vec<PinnedPipeline>,
    done: Vec<String>,
    holder: Holder,
}

impl Ledger {
    /// Reads a task, which may not exist yet.
    pub(super) fn open(store: &dyn Store, name: &TaskName, holder: Holder) -> Result<Self, StoreError> {
        let stored = store.task(name)?;
        let (task, version) = stored.map_or((None, Version::NONE), |stored| (Some(stored.task), stored.version));
        Ok(Self {
            name: name.clone(),
            task,
            version,
            events: Vec::new(),
            effects: Vec::new(),
            artifacts: Vec::new(),
            pipelines: Vec::new(),
            done: Vec::new(),
            holder,
        })
    }

    /// The task, with everything that happened applied.
    pub(super) const fn task(&self) -> Option<&Task> {
        self.task.as_ref()
    }

    /// Applies an event, lawful ones only.
    pub(super) fn apply(&mut self, event: Event) -> Result<(), Refused> {
        let step = engine::step(self.task.as_ref(), &event)?;
        self.task = Some(step.task);
        self.effects.extend(step.effects);
        self.events.push(event);
        Ok(())
    }

    /// Adds an artifact's bytes that the next commit keeps.
    pub(super) fn keep(&mut self, artifact: ArtifactBytes) {
        self.artifacts.push(artifact);
    }

    /// Adds a pipeline's text that the next commit keeps.
    pub(super) fn pin(&mut self, pipeline: PinnedPipeline) {
        self.pipelines.push(pipeline);
    }

    /// Notes an effect as carried out; the next commit says so.
    pub(super) fn carried_out(&mut self, effect: &Effect) {
        self.done.push(effect.id());
    }

    /// Stores everything that happened: one transaction. Gives back the effects that are to be carried out now.
    pub(super) fn commit(&mut self, store: &mut dyn Store) -> Result<Vec<Effect>, StoreError> {
        if self.events.is_empty() {
            return Ok(Vec::new());
        }
        let Some(next) = self.task.clone() else { return Ok(Vec::new()) };
        let change = Change {
            task: self.name.clone(),
            expected: self.version,
            next,
            events: std::mem::take(&mut self.events),
            artifacts: std::mem::take(&mut self.artifacts),
            effects: std::mem::take(&mut self.effects),
            done: std::mem::take(&mut self.done),
            pipelines: std::mem::take(&mut self.pipelines),
            holder: Some(self.holder.clone()),
        };
        self.version = store.commit(&change)?;
        Ok(change.effects)
    }
}
