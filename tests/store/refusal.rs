//! Stores that must not be opened: not private, not ours, newer, hostile, or gone.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use orch::store::sqlite::SqliteStore;
use orch::store::{Insecurity, Store as _, StoreError};

use crate::Folder;
use crate::build::{Life, name};
use crate::suite::keep;

/// A folder with a closed store in it that has one task.
fn filled() -> Folder {
    let folder = Folder::new();
    keep(&mut folder.store(), &Life::new("x").added());
    folder
}

fn error(folder: &Folder) -> StoreError {
    match SqliteStore::open(&folder.path()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => {
            assert!(error.help().is_some(), "{error}");
            error
        }
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn insecure(folder: &Folder, file: &str, expected: Insecurity) {
    match error(folder) {
        StoreError::Insecure { path, what } => {
            assert_eq!((path.ends_with(file), what), (true, expected), "{}", path.display());
        }
        other => panic!("{other:?}"),
    }
}

/// Security 86.
#[test]
fn others_must_not_reach_it() {
    let folder = filled();
    for open in [0o777, 0o750, 0o701] {
        mode(&folder.path(), open);
        insecure(&folder, "state", Insecurity::Mode(open));
    }
    mode(&folder.path(), 0o700);
    for file in ["orch.db", "orch.db-wal", "orch.db-shm", "orch.db.lock"] {
        mode(&folder.path().join(file), 0o640);
        insecure(&folder, file, Insecurity::Mode(0o640));
        mode(&folder.path().join(file), 0o600);
    }
    fs::hard_link(folder.database(), folder.path().join("second")).unwrap();
    insecure(&folder, "orch.db", Insecurity::HardLinks(2));
    fs::remove_file(folder.path().join("second")).unwrap();
    folder.store();
}

#[test]
fn it_makes_everything_private() {
    let folder = Folder::new();
    let mut store = folder.store();
    let mut change = Life::new("x").added();
    change.artifacts = vec![orch::store::ArtifactBytes::of(vec![7; 100_000])];
    keep(&mut store, &change);
    store.backup(&folder.path().join("copy.db")).unwrap();
    let mut found = 0;
    let mut look = vec![folder.path()];
    while let Some(path) = look.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{path:?}");
        found += 1;
        if path.is_dir() {
            look.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(found, 9, "state, blobs, sha256, an artifact, orch.db, -wal, -shm, .lock, copy.db");
}

#[test]
fn somebody_elses_folder_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = filled();
    for path in [folder.path(), folder.database()] {
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        match error(&folder) {
            StoreError::Insecure { what: Insecurity::Owner(12345), .. } => {}
            other => panic!("{other:?}"),
        }
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
}

/// Security 87: links, other programs' files, newer stores.
#[test]
fn links_are_not_followed() {
    for file in ["orch.db", "orch.db-wal", "orch.db.lock"] {
        let folder = filled();
        let (path, elsewhere) = (folder.path().join(file), folder.path().join("elsewhere"));
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        insecure(&folder, file, Insecurity::Symlink);
    }
    let folder = filled();
    let elsewhere = folder.path().with_file_name("elsewhere");
    fs::rename(folder.path(), &elsewhere).unwrap();
    symlink(&elsewhere, folder.path()).unwrap();
    insecure(&folder, "state", Insecurity::Symlink);

    let folder = Folder::new();
    fs::write(folder.path(), "").unwrap();
    assert!(SqliteStore::open(&folder.path()).is_err());
    let folder = Folder::new();
    folder.store();
    fs::remove_file(folder.database()).unwrap();
    fs::create_dir(folder.database()).unwrap();
    insecure(&folder, "orch.db", Insecurity::Kind("file"));
}

#[test]
fn other_programs_files_are_left_alone() {
    let put = |make: &dyn Fn(&Path)| {
        let folder = Folder::new();
        folder.store();
        for file in ["orch.db", "orch.db-wal", "orch.db-shm", "orch.db.lock"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        make(&folder.database());
        mode(&folder.database(), 0o600);
        let before = fs::read(folder.database()).unwrap();
        let error = error(&folder);
        assert_eq!(fs::read(folder.database()).unwrap(), before);
        error
    };
    let other = |path: &Path| {
        let raw = rusqlite::Connection::open(path).unwrap();
        raw.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (a)").unwrap();
    };
    assert!(matches!(put(&other), StoreError::NotOurs { .. }));
    let unnamed = |path: &Path| rusqlite::Connection::open(path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(put(&unnamed), StoreError::NotOurs { .. }));
    assert!(matches!(
        put(&|path| fs::write(path, "a text, and quite a long one".repeat(99)).unwrap()),
        StoreError::NotOurs { .. }
    ));
    assert!(matches!(put(&|path| fs::write(path, "").unwrap()), StoreError::Corrupt { .. }));
}

/// Row N6.
#[test]
fn a_newer_store_is_refused() {
    let folder = filled();
    for newer in [3, 4711] {
        folder.raw().execute_batch(&format!("PRAGMA user_version = {newer}")).unwrap();
        let error = error(&folder);
        assert!(matches!(error, StoreError::Newer { found, known: 2, .. } if found == newer), "{error:?}");
        assert_eq!(error.help(), Some("use the newer orch that wrote it"));
    }
}

/// Security 88.
#[test]
fn a_schema_with_more_in_it_is_hostile() {
    for sql in [
        "CREATE TRIGGER evil AFTER INSERT ON event BEGIN DELETE FROM outbox; END",
        "CREATE VIEW evil AS SELECT load_extension('x')",
        "CREATE TABLE evil (a)",
        "CREATE INDEX evil ON task (stage)",
        "DROP TRIGGER event_is_never_changed",
        "DROP INDEX one_live_run",
    ] {
        let folder = filled();
        folder.raw().execute_batch(sql).unwrap();
        let error = error(&folder);
        assert!(matches!(&error, StoreError::NotOurs { what, .. } if what.contains("schema 2")), "{sql}: {error:?}");
    }
    // A person's ANALYZE adds statistics only.
    let folder = filled();
    folder.raw().execute_batch("ANALYZE").unwrap();
    assert!(folder.store().task(&name("x")).unwrap().is_some());
}

#[test]
fn an_unknown_form_is_refused_on_reading() {
    let folder = filled();
    let store = folder.store();
    let body = r#"{"v":2,"body":{}}"#;
    let hash = orch::domain::id::Digest::of(body.as_bytes()).to_string();
    let sql = "UPDATE task SET version = 2, body = ?1, body_hash = ?2";
    folder.raw().execute(sql, [body, hash.as_str()]).unwrap();
    let error = store.task(&name("x")).unwrap_err();
    assert_eq!(error.to_string(), "task `x` has form 2, and this orch knows forms up to 1");
}

#[test]
fn a_missing_store_is_not_begun_anew() {
    for remains in ["runs/0199f0c4", "blobs/sha256/00ff"] {
        let folder = filled();
        for file in ["orch.db", "orch.db-wal", "orch.db-shm", "orch.db.lock"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        fs::create_dir_all(folder.path().join(remains)).unwrap();
        let error = error(&folder);
        assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
        assert!(error.help().unwrap().contains("restore"), "{error:?}");
        assert!(!folder.database().exists());
        assert!(matches!(SqliteStore::open_existing(&folder.path()), Err(StoreError::Missing { .. })));
    }
    let folder = filled();
    fs::remove_file(folder.database()).unwrap();
    let error = error(&folder);
    assert!(matches!(&error, StoreError::Missing { beside, .. } if beside.ends_with("orch.db-wal")), "{error:?}");
}

/// Records of a run are begun after the commit that announces it: with no event the log must have been removed.
#[test]
fn a_store_that_lost_all_events_is_not_begun_anew() {
    let folder = Folder::new();
    drop(folder.store());
    let run = folder.path().join("runs/0199f0c4");
    fs::create_dir_all(&run).unwrap();
    // A run whose first commit failed leaves a folder without records.
    drop(folder.store());
    fs::write(run.join("exits.jsonl"), "x").unwrap();
    let error = error(&folder);
    assert!(matches!(&error, StoreError::Emptied { beside, .. } if beside.ends_with("exits.jsonl")), "{error:?}");
    assert!(error.help().unwrap().contains("restore"), "{error:?}");
}

#[test]
fn looking_does_not_make_a_store() {
    let folder = Folder::new();
    assert!(matches!(SqliteStore::open_existing(&folder.path()), Err(StoreError::Absent { .. })));
    assert!(!folder.path().exists());
    drop(folder.store());
    assert_eq!(SqliteStore::open_existing(&folder.path()).unwrap().tasks().unwrap(), []);
}
