//! The embedded engine: `SQLite`, one file in a private folder, write-ahead log, every commit synced.
//!
//! The folder holds `orch.db` with its `-wal` and `-shm`, `orch.db.lock` (who has it open, how it was closed),
//! `orch.db.reserve` (space for a full disk), `blobs/sha256/` (large artifacts) and `backups/` (copies from before each migration). A file that is not ours,
//! not private, newer, damaged or gone while its neighbours are there is refused with a reason; an empty store is
//! never started in its place. Why it is built so: `docs/design/0004-store.md`.

mod blob;
mod chain;
mod content;
mod fault;
mod find;
mod folder;
mod lock;
mod migrate;
mod open;
mod project;
mod read;
mod reserve;
mod verify;
mod visits;
mod write;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::Store;
use super::audit::Audit;
use super::change::{Change, Version};
use super::error::StoreError;
use super::record::{AttemptRecord, EventRecord, PendingEffect, Published, RunFilter, RunRecord, StoredTask};
use crate::domain::id::{AttemptId, Digest, RunId, StageName, TaskName};

use blob::Blobs;
use folder::Identity;
use lock::Lock;
use reserve::Reserve;

/// The database's name in its folder.
pub const DATABASE: &str = "orch.db";

/// Gives up the reserve of a folder's store, so that its next run can be recorded on a full disk. Whether there was
/// any; the run after makes it again.
pub fn give_up_reserve(folder: &Path) -> bool {
    Reserve::of(&folder.join(DATABASE)).give_up()
}

/// A store in a folder on a local disk.
pub struct SqliteStore {
    // Dropped in this order: the connection lets go of the files before the lock says so.
    conn: Connection,
    path: PathBuf,
    blobs: Blobs,
    identity: Identity,
    /// Whether an earlier write left open what is on the disk.
    broken: bool,
    reserve: Reserve,
    /// Whether the reserve was given up, or there was no room for it.
    short_of_room: bool,
    lock: Lock,
}

impl SqliteStore {
    /// Opens the store of a folder, and makes folder and store where there are none.
    ///
    /// # Errors
    /// Every refusal of [`StoreError`] that concerns files; see the module's head.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        open::open(folder, open::IfAbsent::Make, migrate::MIGRATIONS)
    }

    /// Opens the store of a folder where there is one, for commands that only look.
    ///
    /// # Errors
    /// [`StoreError::Absent`], and as [`SqliteStore::open`].
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        open::open(folder, open::IfAbsent::Refuse, migrate::MIGRATIONS)
    }

    /// Keeps so many bytes beside the database for what must be stored when the disk is full; 0 keeps none. `false`
    /// where there is no room for them: then the store works, and says [`Store::is_short_of_room`].
    ///
    /// # Errors
    /// The file cannot be made for another reason.
    pub fn keep_reserve(&mut self, bytes: u64) -> Result<bool, StoreError> {
        let kept = self.reserve.keep(bytes)?;
        self.short_of_room = !kept;
        Ok(kept)
    }

    /// How much the reserve holds now.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve.bytes()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a consistent copy of the database, checks it, and only then gives it its name. Large artifacts are
    /// files of their own and are not in it.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the target exists, and what else kept it from being written.
    pub fn backup(&self, target: &Path) -> Result<(), StoreError> {
        migrate::copy(&self.conn, &self.path, target)
    }

    /// Number of its schema.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn schema(&self) -> Result<u32, StoreError> {
        migrate::schema_number(&self.conn, &self.path)
    }

    /// Version of the engine in this program.
    pub fn engine() -> &'static str {
        rusqlite::version()
    }

    /// Reads every page and index entry.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one is damaged.
    pub fn quick_check(&self) -> Result<(), StoreError> {
        migrate::quick_check(&self.conn, &self.path)
    }

    /// Position of the last event of the store.
    fn position(&self) -> Result<u64, StoreError> {
        open::position(&self.conn, &self.path)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // A store that is broken or was replaced stays marked as open, so that the next start checks it.
        if !self.broken
            && self.identity.check().is_ok()
            && let Ok(position) = self.position()
        {
            self.lock.mark_clean(&self.path, position);
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, change: &Change) -> Result<Version, StoreError> {
        write::commit(self, change)
    }

    fn commit_all(&mut self, changes: &[Change]) -> Result<Vec<Result<Version, StoreError>>, StoreError> {
        write::commit_all(self, changes)
    }

    fn effect_done(&mut self, id: &str) -> Result<(), StoreError> {
        write::effect_done(self, id)
    }

    fn is_short_of_room(&self) -> bool {
        self.short_of_room
    }

    fn task(&self, name: &TaskName) -> Result<Option<StoredTask>, StoreError> {
        read::task(&self.conn, &self.path, name)
    }

    fn tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        read::tasks(&self.conn, &self.path)
    }

    fn live_tasks(&self) -> Result<Vec<Result<StoredTask, StoreError>>, StoreError> {
        read::live_tasks(&self.conn, &self.path)
    }

    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        read::run(&self.conn, &self.path, id)
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        read::runs(&self.conn, &self.path, filter)
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<AttemptRecord>, StoreError> {
        read::attempt(&self.conn, &self.path, id)
    }

    fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        read::attempts(&self.conn, &self.path, run)
    }

    fn last_attempt(&self, run: RunId, stage: Option<&StageName>) -> Result<Option<AttemptRecord>, StoreError> {
        read::last_attempt(&self.conn, &self.path, run, stage)
    }

    fn published(&self, run: RunId) -> Result<Vec<Published>, StoreError> {
        read::published(&self.conn, &self.path, run)
    }

    fn find_run(&self, prefix: &str) -> Result<RunId, StoreError> {
        find::find(&self.conn, &self.path, find::Kind::Run, prefix)
    }

    fn find_attempt(&self, prefix: &str) -> Result<AttemptId, StoreError> {
        find::find(&self.conn, &self.path, find::Kind::Attempt, prefix)
    }

    fn events(&self, task: &TaskName, after: Version) -> Result<Vec<EventRecord>, StoreError> {
        chain::events(&self.conn, &self.path, task, after)
    }

    fn artifact(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        content::artifact(&self.conn, &self.path, &self.blobs, digest)
    }

    fn pipeline(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        content::pipeline(&self.conn, &self.path, digest)
    }

    fn pending_effects(&self, task: Option<&TaskName>) -> Result<Vec<PendingEffect>, StoreError> {
        read::pending_effects(&self.conn, &self.path, task)
    }

    fn verify(&self) -> Result<Audit, StoreError> {
        verify::verify(&self.conn, &self.path, &self.blobs)
    }
}
