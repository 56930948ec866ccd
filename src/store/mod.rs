//! The store: durable tasks, runs, attempts and the events they are made from. The only module that speaks SQL.
//!
//! The event log is the truth; rows are what it comes to, projected in the same transaction. One [`Change`] is one
//! transaction and one sync, however many events it carries, so that in a chain the end of one attempt, its
//! decision and the intent of the next are one commit. What the store has acknowledged is on the disk.
//!
//! The store never decides: the caller computes the next [`Task`](crate::domain::task::Task) with `engine::step`
//! and the store checks that rows, events and that state agree. A row that disagrees is an error, not a guess.
//! It never reads a clock: every time is in an event.
//!
//! `sqlite` is the embedded engine. `tests/store/` holds one suite that any engine must pass.

mod audit;
mod change;
mod codec;
mod error;
mod form;
mod record;
mod rows;
pub mod sqlite;

pub use audit::{Audit, Finding};
pub use change::{ArtifactBytes, Change, Holder, PinnedPipeline, Version};
pub use error::{Insecurity, StoreError};
pub use record::{
    AttemptRecord, EventRecord, Finished, PendingEffect, Published, RunClosing, RunFilter, RunRecord, StoredTask,
};

use crate::domain::id::{AttemptId, Digest, RunId, StageName, TaskName};

/// Largest artifact that is kept in its row; larger ones are files of their own.
pub const ROW_ARTIFACT_BYTES: usize = 64 * 1024;
/// Largest artifact the store takes.
pub const MAX_ARTIFACT_BYTES: usize = 64 * 1024 * 1024;
/// Largest pipeline text the store takes.
pub const MAX_PIPELINE_BYTES: usize = 8 * 1024 * 1024;
/// Largest stored form of one event, state or effect.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Most ids that an ambiguous prefix lists.
pub const MAX_CANDIDATES: u8 = 10;

/// Runs that are looked through for a task's last attempt of a stage: one that only waited has none.
const RUNS_LOOKED_THROUGH: u32 = 50;

/// The last attempt of a stage, over the newest runs of a task.
///
/// # Errors
/// As [`Store::runs`] and [`Store::last_attempt`].
pub fn last_attempt(
    store: &dyn Store,
    task: &TaskName,
    stage: &StageName,
) -> Result<Option<AttemptRecord>, StoreError> {
    let filter = RunFilter { task: Some(task.clone()), limit: Some(RUNS_LOOKED_THROUGH) };
    for run in store.runs(&filter)? {
        let found = store.last_attempt(run.start.run, Some(stage))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Durable tasks and events. Reads see committed changes only.
pub trait Store: std::fmt::Debug + Send {
    /// Stores one change of one task: events, rows, artifacts and effects together or not at all.
    ///
    /// When it returns, the change is on the disk. One transaction and one sync for any number of events.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] where the task does not stand at `change.expected`; [`StoreError::Refused`]
    /// where the change contradicts what is stored or itself; else what kept the store from its work.
    fn commit(&mut self, change: &Change) -> Result<Version, StoreError>;

    /// Stores changes of several tasks with one sync. Each is taken or refused by itself; the outer error means
    /// that none is stored.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn commit_all(&mut self, changes: &[Change]) -> Result<Vec<Result<Version, StoreError>>, StoreError>;

    /// Marks an effect as carried out; again does nothing. [`Change::done`] does the same without a sync of its own.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where nobody asked for such an effect.
    fn effect_done(&mut self, id: &str) -> Result<(), StoreError>;

    /// Whether the space that was kept for a full disk had to be given up, or could not be kept: what runs can be
    /// brought to its record, and nothing more is to be started.
    fn is_short_of_room(&self) -> bool;

    /// A task and its version.
    ///
    /// # Errors
    /// [`StoreError::Disagrees`] where its row and its state do.
    fn task(&self, name: &TaskName) -> Result<Option<StoredTask>, StoreError>;

    /// Every task, by name.
    ///
    /// # Errors
    /// As [`Store::task`].
    fn tasks(&self) -> Result<Vec<StoredTask>, StoreError>;

    /// The tasks that a run owns, by name: as many as are driven or were left, however many the store has. One that
    /// is damaged is an error of its own and hides no other.
    ///
    /// # Errors
    /// What keeps the store from being read at all.
    fn live_tasks(&self) -> Result<Vec<Result<StoredTask, StoreError>>, StoreError>;

    /// A run.
    ///
    /// # Errors
    /// [`StoreError::Disagrees`] where its row and its events do.
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// As [`Store::run`].
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError>;

    /// An attempt.
    ///
    /// # Errors
    /// [`StoreError::Disagrees`] where its row and its events do.
    fn attempt(&self, id: AttemptId) -> Result<Option<AttemptRecord>, StoreError>;

    /// The attempts of a run, in the order they were intended.
    ///
    /// # Errors
    /// As [`Store::attempt`].
    fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// The attempt of a run that was intended last: of one stage, or of all. Costs the same however many there are.
    ///
    /// # Errors
    /// As [`Store::attempt`].
    fn last_attempt(&self, run: RunId, stage: Option<&StageName>) -> Result<Option<AttemptRecord>, StoreError>;

    /// What the attempts of a run published, in the order they were intended. Reads the events of those alone that
    /// published something.
    ///
    /// # Errors
    /// As [`Store::attempt`].
    fn published(&self, run: RunId) -> Result<Vec<Published>, StoreError>;

    /// The one run whose id begins so, with or without hyphens.
    ///
    /// # Errors
    /// [`StoreError::NoSuch`], or [`StoreError::Ambiguous`] with the ids it could be.
    fn find_run(&self, prefix: &str) -> Result<RunId, StoreError>;

    /// The one attempt whose id begins so, with or without hyphens.
    ///
    /// # Errors
    /// As [`Store::find_run`].
    fn find_attempt(&self, prefix: &str) -> Result<AttemptId, StoreError>;

    /// A task's events after a version, in order, their hashes checked.
    ///
    /// # Errors
    /// [`StoreError::Disagrees`] where the chain is broken.
    fn events(&self, task: &TaskName, after: Version) -> Result<Vec<EventRecord>, StoreError>;

    /// An artifact's bytes, their hash checked.
    ///
    /// # Errors
    /// [`StoreError::Disagrees`] where the bytes have another hash (row D7) or their file is gone.
    fn artifact(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// The text of a pinned pipeline, its hash checked.
    ///
    /// # Errors
    /// As [`Store::artifact`].
    fn pipeline(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Effects that were asked for and are not marked done, oldest first; of one task or of all.
    ///
    /// # Errors
    /// [`StoreError::Disagrees`] where one cannot be read.
    fn pending_effects(&self, task: Option<&TaskName>) -> Result<Vec<PendingEffect>, StoreError>;

    /// Checks everything that is stored against everything else: hash chains, sequence gaps, rows against events,
    /// the hashes of artifacts and pipelines. Replay through `engine::step` is the caller's part.
    ///
    /// # Errors
    /// Only where the check itself could not be made; what it found is in the [`Audit`].
    fn verify(&self) -> Result<Audit, StoreError>;
}
