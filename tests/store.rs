//! The store: one suite for every engine, and what is `SQLite`'s own.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the one variant it wants")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test they are called from")]

#[path = "store/build.rs"]
mod build;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/refusal.rs"]
mod refusal;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/sample.rs"]
mod sample;
#[path = "store/suite.rs"]
mod suite;

use std::path::PathBuf;

use orch::store::Store;
use orch::store::sqlite::SqliteStore;
use suite::Engine;

/// A state folder of `SQLite`'s for one test.
pub(crate) struct Folder {
    temp: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    /// The state folder; made by the store.
    pub(crate) fn path(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("orch.db")
    }

    /// A connection past the store's own code.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        let raw = rusqlite::Connection::open(self.database()).unwrap();
        raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        raw
    }

    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.path()).unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }
}

impl Engine for Folder {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}

/// Runs the suite against an engine, one test a function.
macro_rules! conformance {
    ($engine:ident: $new:expr; $($name:ident)+) => {
        mod $engine {
            $(#[test]
            fn $name() {
                crate::suite::$name(&$new);
            })+
        }
    };
}

conformance! {
    sqlite: crate::Folder::new();
    a_new_store_is_empty
    a_life_reads_back
    events_are_chained
    the_version_guards
    visits_are_those_of_the_events
    a_refusal_leaves_nothing
    contradictions_are_refused
    an_end_is_final
    a_queued_task_has_no_owner
    a_waiting_task_reads_back
    a_new_task_may_be_paused
    an_answer_is_an_attempt
    a_visit_outlives_its_change
    artifacts_read_back
    effects_are_done_once
    a_group_is_taken_one_by_one
    live_tasks_are_those_that_a_run_owns
    runs_are_listed_newest_first
    ids_are_found_by_prefix
    racing_writers_win_once
    writers_of_different_tasks_all_succeed
    a_pipeline_is_kept_once
}
