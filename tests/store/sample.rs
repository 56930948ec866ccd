//! Older stores open: a store as the first release wrote it, kept as SQL.
//!
//! When a stored form changes, this sample stays, and the new form gets one of its own:
//! `ORCH_STORE_SAMPLE=tests/store/samples/schema-1.sql cargo test --test store sample` writes one.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use orch::store::{Store as _, Version};
use rusqlite::types::ValueRef;

use crate::Folder;
use crate::build::{Life, PIPELINE, attempt_id, name, run_id};
use crate::suite::keep;

const SAMPLE: &str = include_str!("samples/schema-1.sql");

#[test]
fn a_store_of_the_first_schema_opens() {
    let folder = Folder::new();
    fs::DirBuilder::new().mode(0o700).create(folder.path()).unwrap();
    {
        let raw = rusqlite::Connection::open(folder.database()).unwrap();
        raw.execute_batch(SAMPLE).unwrap();
    }
    fs::set_permissions(folder.database(), fs::Permissions::from_mode(0o600)).unwrap();
    let mut store = folder.store();
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.findings);
    assert_eq!((audit.tasks, audit.runs, audit.attempts, audit.events), (2, 3, 5, 20));
    let states: Vec<_> = store.tasks().unwrap().iter().map(|found| found.task.state.status()).collect();
    assert_eq!(states, ["done", "running"]);
    assert_eq!(store.run(run_id(1)).unwrap().unwrap().start.pipeline.as_str(), "delivery");
    assert!(store.attempt(attempt_id(1)).unwrap().unwrap().decided.is_some());
    let pinned = store.run(run_id(1)).unwrap().unwrap().start.pipeline_digest;
    assert_eq!(store.pipeline(&pinned).unwrap().unwrap(), PIPELINE);
    // It goes on from there.
    let found = store.task(&name("second")).unwrap().unwrap();
    let mut life = Life::numbered("second", 51);
    (life.task, life.version) = (found.task, found.version);
    keep(&mut store, &life.interrupted("testing"));
    assert_eq!(store.events(&name("second"), Version::NONE).unwrap().len() as u64, life.version.get());
    assert!(store.verify().unwrap().is_clean());
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
        keep(&mut store, &first.held("development"));
        keep(&mut store, &first.started("development"));
        keep(&mut store, &first.advanced("testing", b"report"));
        keep(&mut store, &first.rolled_back("development"));
        keep(&mut store, &first.done());
        let mut second = Life::numbered("second", 50);
        keep(&mut store, &second.added());
        keep(&mut store, &second.started("testing"));
    }
    let raw = folder.raw();
    let mut text = String::new();
    let number: u32 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let schema = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'trigger', type = 'index', rowid";
    let mut query = raw.prepare(schema).unwrap();
    let lines = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    lines.for_each(|line| writeln!(text, "{};", line.unwrap()).unwrap());
    for table in ["pipeline", "artifact", "event", "run", "attempt", "task", "visit", "outbox"] {
        let mut query = raw.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|at| literal(row.get_ref(at).unwrap())).collect();
            writeln!(text, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    writeln!(text, "PRAGMA application_id = {};\nPRAGMA user_version = {number};", 0x6f72_6368).unwrap();
    let text = format!("PRAGMA foreign_keys = OFF;\n{text}");
    if let Ok(path) = std::env::var("ORCH_STORE_SAMPLE") {
        fs::write(path, &text).unwrap();
    }
    rusqlite::Connection::open_in_memory().unwrap().execute_batch(&text).unwrap();
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
