//! Older stores open: stores as each schema's orch wrote them, kept as SQL.
//!
//! When a stored form changes, these samples stay, and the new form gets one of its own:
//! `ORCH_STORE_SAMPLE=tests/store/samples/schema-2.sql cargo test --test store sample` writes one.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use orch::domain::decision::HoldReason;
use orch::domain::task::{Event, Releaser, Task, TaskState};
use orch::engine::{replay, step};
use orch::store::sqlite::SqliteStore;
use orch::store::{Change, Store as _, Version};
use rusqlite::types::ValueRef;

use crate::Folder;
use crate::build::{Life, PIPELINE, at, attempt_id, name, run_id, stage};
use crate::suite::keep;

/// What this file's tests wrote with the first schema; the lives of its tasks are made up.
const FIRST: &str = include_str!("samples/schema-1.sql");
/// What `orch pipeline run` of the first schema left: a held task that was started again without a release, one whose
/// budget is spent, and one that met a passing fault.
pub(crate) const FIRST_RUN: &str = include_str!("samples/schema-1-run.sql");
/// Every state of the second schema.
const SECOND: &str = include_str!("samples/schema-2.sql");

/// A state folder with a database in it, not opened yet.
pub(crate) fn folder_of(sample: &str) -> Folder {
    let folder = Folder::new();
    fs::DirBuilder::new().mode(0o700).create(folder.path()).unwrap();
    // One transaction: the sample's own statements would be one each.
    let fast = "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; BEGIN";
    folder.raw().execute_batch(&format!("{fast}; {sample}; COMMIT")).unwrap();
    fs::set_permissions(folder.database(), fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

fn assert_clean(store: &SqliteStore) {
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.findings);
}

fn states(store: &SqliteStore) -> Vec<(String, &'static str)> {
    store.tasks().unwrap().iter().map(|found| (found.task.name.to_string(), found.task.state.status())).collect()
}

/// Every table whose rows are kept, as text.
pub(crate) fn rows(conn: &rusqlite::Connection) -> String {
    let mut text = String::new();
    for table in ["pipeline", "artifact", "event", "run", "attempt", "task", "visit", "outbox"] {
        dump(conn, table, &mut text);
    }
    text
}

/// The events lead to the stored states, by the engine's own fold.
pub(crate) fn assert_replays(store: &SqliteStore) {
    for found in store.tasks().unwrap() {
        assert_eq!(replay(&events(store, found.task.name.as_str())).unwrap(), Some(found.task));
    }
}

fn events(store: &SqliteStore, task: &str) -> Vec<Event> {
    store.events(&name(task), Version::NONE).unwrap().into_iter().map(|record| record.event).collect()
}

/// Moves a task on by one event, as the engine does it.
fn go_on(store: &mut SqliteStore, task: &str, event: Event) -> Task {
    let found = store.task(&name(task)).unwrap().unwrap();
    let next = step(Some(&found.task), &event).unwrap_or_else(|refused| panic!("{refused}")).task;
    keep(store, &Change::new(found.version, next.clone(), vec![event], name(task)));
    next
}

fn released() -> Event {
    Event::HoldReleased { by: Releaser::Person("ada".to_owned()), why: None, checked: None, at: at(900) }
}

/// An older store is copied and migrated when it is opened: no row changes, and the copy has the old schema.
#[test]
fn a_store_of_the_first_schema_is_migrated() {
    for (sample, last) in [(FIRST, 20), (FIRST_RUN, 43)] {
        let folder = folder_of(sample);
        let before = rows(&folder.raw());
        let store = folder.store();
        assert_eq!(rows(&folder.raw()), before);
        assert_clean(&store);
        let number = |path| -> u32 {
            let conn = rusqlite::Connection::open(path).unwrap();
            conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(number(folder.database()), 2);
        let copy = folder.path().join(format!("backups/orch.schema-1.event-{last}.db"));
        assert_eq!(rows(&rusqlite::Connection::open(&copy).unwrap()), before);
        assert_eq!(number(copy), 1);
        // Opened again, there is nothing to do.
        drop(store);
        assert_clean(&folder.store());
        assert_eq!(fs::read_dir(folder.path().join("backups")).unwrap().count(), 1);
    }
}

#[test]
fn a_store_of_the_first_schema_opens() {
    let folder = folder_of(FIRST);
    let mut store = folder.store();
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.findings);
    assert_eq!((audit.tasks, audit.runs, audit.attempts, audit.events), (2, 3, 5, 20));
    assert_eq!(states(&store), [("first".to_owned(), "done"), ("second".to_owned(), "running")]);
    assert_eq!(store.run(run_id(1)).unwrap().unwrap().start.pipeline.as_str(), "delivery");
    assert!(store.attempt(attempt_id(1)).unwrap().unwrap().decided.is_some());
    let pinned = store.run(run_id(1)).unwrap().unwrap().start.pipeline_digest;
    assert_eq!(store.pipeline(&pinned).unwrap().unwrap(), PIPELINE);
    // It goes on from there.
    let found = store.task(&name("second")).unwrap().unwrap();
    let mut life = Life::numbered("second", 51);
    (life.task, life.version) = (found.task, found.version);
    keep(&mut store, &life.waiting("testing"));
    keep(&mut store, &life.deferred());
    keep(&mut store, &life.paused());
    assert_eq!(store.events(&name("second"), Version::NONE).unwrap().len() as u64, life.version.get());
    assert_eq!(store.task(&name("second")).unwrap().unwrap().task, life.task);
    assert_clean(&store);
}

/// What orch itself wrote with the first schema is read by today's engine, and goes on with today's events.
#[test]
fn runs_of_the_first_schema_go_on() {
    let folder = folder_of(FIRST_RUN);
    let mut store = folder.store();
    assert_eq!(
        states(&store),
        [("lost", "held"), ("resumed", "done"), ("spent", "held")].map(|(a, b)| (a.to_owned(), b))
    );
    assert_replays(&store);
    // A held task was started again, and nobody released it.
    let kinds: Vec<&str> = events(&store, "resumed").iter().map(Event::kind).collect();
    assert!(kinds.windows(2).any(|pair| pair == ["run-closed", "run-started"]), "{kinds:?}");
    assert!(!kinds.contains(&"hold-released"));

    let spent = store.task(&name("spent")).unwrap().unwrap().task;
    assert!(matches!(spent.state, TaskState::Held { reason: HoldReason::BudgetSpent { .. }, .. }), "{spent:?}");
    assert_eq!((spent.spent.budgets.len(), spent.spent.retries), (1, 0));
    let after = go_on(&mut store, "spent", released());
    assert_eq!((after.spent.budgets.len(), after.state.status()), (0, "queued"));
    let by = || "ada".to_owned();
    let held = store.task(&name("lost")).unwrap().unwrap().task.state;
    go_on(&mut store, "lost", Event::TaskPaused { by: by(), why: None, at: at(901) });
    assert_eq!(go_on(&mut store, "lost", Event::TaskResumed { by: by(), why: None, at: at(902) }).state, held);
    go_on(&mut store, "lost", Event::TaskCancelled { by: by(), why: None, at: at(903) });
    assert_replays(&store);
    assert_clean(&store);
}

/// Every state of the second schema reads back, replays, and goes on.
#[test]
fn a_store_of_the_second_schema_opens() {
    let folder = folder_of(SECOND);
    let mut store = folder.store();
    assert_clean(&store);
    let expected = [
        ("answered", "done"),
        ("asked", "held"),
        ("cancelled", "cancelled"),
        ("deferred", "deferred"),
        ("first", "done"),
        ("held", "held"),
        ("new", "paused"),
        ("paused", "paused"),
        ("rejected", "failed"),
        ("released", "queued"),
        ("second", "running"),
        ("waiting", "deferred"),
    ];
    assert_eq!(states(&store), expected.map(|(task, status)| (task.to_owned(), status)));
    assert_replays(&store);
    assert!(!folder.path().join("backups").exists(), "there was nothing to migrate");
    for task in ["asked", "deferred", "held"] {
        assert_eq!(go_on(&mut store, task, released()).state.status(), "queued");
    }
    let resumed = go_on(&mut store, "paused", Event::TaskResumed { by: "ada".to_owned(), why: None, at: at(901) });
    assert_eq!(resumed.state.deferral().map(|deferral| (deferral.retry, deferral.max)), Some((1, 3)));
    let waiting = store.task(&name("waiting")).unwrap().unwrap().task.state;
    let (TaskState::Waiting { run, number, .. }, Some(at_stage)) = (&waiting, waiting.stage()) else {
        panic!("{waiting:?}")
    };
    assert_eq!(*at_stage, stage("testing"));
    let due = Event::RetryDue { run: *run, number: *number, at: at(902) };
    assert_eq!(go_on(&mut store, "waiting", due).state.status(), "running");
    assert_replays(&store);
    assert_clean(&store);
}

/// Writes the sample where `ORCH_STORE_SAMPLE` says; without it, checks only that writing one works.
#[test]
fn a_sample_can_be_written() {
    let folder = Folder::new();
    {
        let mut store = folder.store();
        let mut first = Life::new("first");
        keep(&mut store, &first.added());
        keep(&mut store, &first.started("development"));
        keep(&mut store, &first.advanced("testing", b"report"));
        keep(&mut store, &first.rolled_back("development"));
        keep(&mut store, &first.done());
        let mut second = Life::numbered("second", 50);
        keep(&mut store, &second.added());
        keep(&mut store, &second.started("testing"));
        for (at, task) in (1..).zip(["waiting", "deferred", "paused", "cancelled", "released", "held"]) {
            let mut life = Life::numbered(task, 100 * at);
            keep(&mut store, &life.added());
            keep(&mut store, &life.started("testing"));
            if task == "held" {
                keep(&mut store, &life.held("testing"));
                continue;
            }
            keep(&mut store, &life.waiting("testing"));
            if task == "waiting" {
                continue;
            }
            keep(&mut store, &life.deferred());
            match task {
                "paused" => keep(&mut store, &life.paused()),
                "cancelled" => keep(&mut store, &life.cancelled()),
                "released" => keep(&mut store, &life.released("testing")),
                _ => continue,
            };
        }
        for (at, task) in (10..).zip(["asked", "answered", "rejected"]) {
            let mut life = Life::numbered(task, 100 * at);
            keep(&mut store, &life.added());
            keep(&mut store, &life.asked("review"));
            if task != "asked" {
                keep(&mut store, &life.answered("review", task == "answered"));
            }
        }
        let mut new = Life::numbered("new", 2000);
        keep(&mut store, &new.added());
        keep(&mut store, &new.paused());
        assert_replays(&store);
    }
    let raw = folder.raw();
    let mut text = String::new();
    let number: u32 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let schema = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'trigger', type = 'index', rowid";
    let mut query = raw.prepare(schema).unwrap();
    let lines = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    lines.for_each(|line| writeln!(text, "{};", line.unwrap()).unwrap());
    for table in ["pipeline", "artifact", "event", "run", "attempt", "task", "visit", "outbox"] {
        dump(&raw, table, &mut text);
    }
    writeln!(text, "PRAGMA application_id = {};\nPRAGMA user_version = {number};", 0x6f72_6368).unwrap();
    let text = format!("PRAGMA foreign_keys = OFF;\n{text}");
    if let Ok(path) = std::env::var("ORCH_STORE_SAMPLE") {
        fs::write(path, &text).unwrap();
    }
    rusqlite::Connection::open_in_memory().unwrap().execute_batch(&text).unwrap();
}

/// Writes a table's rows as SQL.
fn dump(conn: &rusqlite::Connection, table: &str, text: &mut String) {
    let mut query = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
    let columns = query.column_count();
    let mut rows = query.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<String> = (0..columns).map(|at| literal(row.get_ref(at).unwrap())).collect();
        writeln!(text, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
    }
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(bytes) => {
            format!("x'{}'", bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
        }
    }
}
