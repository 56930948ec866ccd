//! Damaged, truncated, replaced and rewound files: named, and never taken for an empty store.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;

use orch::domain::id::Digest;
use orch::domain::task::Effect;
use orch::store::sqlite::SqliteStore;
use orch::store::{ArtifactBytes, Change, Store as _, StoreError, Version};

use crate::Folder;
use crate::build::{Life, name};
use crate::suite::keep;

/// A store with a life in it, whose log has been written back into the database.
fn filled() -> (Folder, Life) {
    let folder = Folder::new();
    let mut life = Life::new("x");
    {
        let mut store = folder.store();
        keep(&mut store, &life.added());
        keep(&mut store, &life.started("s0"));
        for at in 1..12 {
            keep(&mut store, &life.advanced(&format!("s{at}"), format!("report {at}").repeat(50).as_bytes()));
        }
        let (mut waiting, mut paused) = (Life::numbered("waiting", 100), Life::numbered("paused", 200));
        for change in [waiting.added(), waiting.started("s0"), waiting.waiting("s0")] {
            keep(&mut store, &change);
        }
        for change in [paused.added(), paused.asked("s0"), paused.paused()] {
            keep(&mut store, &change);
        }
    }
    folder.raw().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    (folder, life)
}

/// What became of damage: refused when the store is opened, found when it is read or checked, or without effect.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Found,
    Harmless,
}

/// Opens a damaged store; panics where a reader gets another answer and nobody notices.
fn fate(folder: &Folder, before: &str, what: &str) -> Fate {
    let store = match SqliteStore::open(&folder.path()) {
        Ok(store) => store,
        Err(error) => {
            let named = matches!(
                error,
                StoreError::Corrupt { .. }
                    | StoreError::NotOurs { .. }
                    | StoreError::Newer { .. }
                    | StoreError::Rewound { .. }
            );
            assert!(named && error.help().is_some(), "{what}: {error:?}");
            return Fate::Refused;
        }
    };
    match (everything(&store), store.verify()) {
        (Ok(_), Ok(audit)) if !audit.is_clean() => Fate::Found,
        (Ok(now), Ok(_)) => {
            assert!(now == before, "{what} changed an answer and nobody noticed");
            Fate::Harmless
        }
        (Err(_), _) | (_, Err(_)) => Fate::Found,
    }
}

/// Everything a reader gets, or the first error.
fn everything(store: &SqliteStore) -> Result<String, StoreError> {
    let mut text = format!("{:?}{:?}", store.tasks()?, store.events(&name("x"), Version::NONE)?);
    for run in store.runs(&orch::store::RunFilter::default())? {
        write!(text, "{run:?}{:?}", store.attempts(run.start.run)?).unwrap();
    }
    for effect in store.pending_effects(None)? {
        let bytes = match &effect.effect {
            Effect::PublishArtifact { artifact, .. } => store.artifact(&artifact.digest)?,
            Effect::Alert { .. } => None,
        };
        write!(text, "{effect:?}{bytes:?}").unwrap();
    }
    Ok(text)
}

#[test]
fn a_flipped_byte_never_changes_an_answer() {
    let (folder, _) = filled();
    let before = everything(&folder.store()).unwrap();
    let whole = fs::read(folder.database()).unwrap();
    let mut fates = Vec::new();
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        fs::write(folder.database(), &bytes).unwrap();
        fates.push(fate(&folder, &before, &format!("byte {at}")));
    }
    for wanted in [Fate::Refused, Fate::Found] {
        assert!(fates.iter().filter(|fate| **fate == wanted).count() > 10, "{fates:?}");
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let (folder, _) = filled();
    let before = everything(&folder.store()).unwrap();
    let whole = fs::read(folder.database()).unwrap();
    for keep in [whole.len() - 4096, whole.len() / 2, 4096, 100, 1, 0] {
        fs::write(folder.database(), &whole[..keep]).unwrap();
        assert_eq!(fate(&folder, &before, &format!("cut to {keep} bytes")), Fate::Refused, "{keep} bytes");
    }
    // The last byte may be one that nobody needs.
    fs::write(folder.database(), &whole[..whole.len() - 1]).unwrap();
    fate(&folder, &before, "the last byte");
}

/// What was acknowledged went to the file that has the name.
#[test]
fn a_file_that_is_taken_away_stops_the_writer() {
    for file in ["orch.db", "orch.db-wal", "orch.db-shm"] {
        let folder = Folder::new();
        let mut life = Life::new("x");
        let mut store = folder.store();
        keep(&mut store, &life.added());
        let path = folder.path().join(file);
        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        let started = life.started("testing");
        assert!(matches!(store.commit(&started), Err(StoreError::Replaced { .. })), "{file} gone");
        fs::copy(&aside, &path).unwrap();
        assert!(matches!(store.commit(&started), Err(StoreError::Replaced { .. })), "{file} replaced");
        fs::rename(&aside, &path).unwrap();
        keep(&mut store, &started);
        drop(store);
        assert_eq!(folder.store().task(&name("x")).unwrap().unwrap().version, started.version());
    }
}

/// A log that is removed while the store is closed takes commits with it: they are missed.
#[test]
fn a_removed_log_is_missed() {
    let folder = Folder::new();
    let mut life = Life::new("x");
    keep(&mut folder.store(), &life.added());
    fs::remove_file(folder.path().join("orch.db-wal")).unwrap();
    let error = SqliteStore::open(&folder.path()).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Rewound { found: 0, known: 1, .. }), "{error:?}");
    // The way out that the help names.
    assert!(error.help().unwrap().contains("orch.db.lock"));
    fs::remove_file(folder.path().join("orch.db.lock")).unwrap();
    assert_eq!(folder.store().tasks().unwrap(), []);
}

#[test]
fn a_log_that_was_written_back_by_sqlite3_is_not_missed() {
    let (folder, life) = filled();
    {
        // What the `sqlite3` command does when it is the last to leave.
        let raw = rusqlite::Connection::open(folder.database()).unwrap();
        raw.query_row("SELECT count(*) FROM task", [], |_| Ok(())).unwrap();
    }
    assert!(!folder.path().join("orch.db-wal").exists());
    assert_eq!(folder.store().task(&name("x")).unwrap().unwrap().version, life.version);
}

/// An artifact's file that is changed or gone is an error when it is read, not other bytes.
#[test]
fn a_large_artifact_is_checked_on_reading() {
    let folder = Folder::new();
    let mut store = folder.store();
    let bytes = vec![7; 100_000];
    let digest = Digest::of(&bytes);
    let change = Change { artifacts: vec![ArtifactBytes::of(bytes.clone())], ..Life::new("x").added() };
    keep(&mut store, &change);
    let file = folder.path().join(format!("blobs/sha256/{digest}"));
    fs::File::options().write(true).open(&file).unwrap().write_all_at(b"x", 5000).unwrap();
    let error = store.artifact(&digest).unwrap_err();
    assert_eq!(error.to_string(), format!("artifact {digest} is damaged: its bytes have another hash"));
    assert_eq!(store.verify().unwrap().findings.len(), 1);
    fs::remove_file(&file).unwrap();
    assert!(store.artifact(&digest).unwrap_err().to_string().contains("is gone"));
    // Written again with another task, it is whole again.
    let again = Change { artifacts: vec![ArtifactBytes::of(bytes.clone())], ..Life::new("y").added() };
    keep(&mut store, &again);
    assert_eq!(store.artifact(&digest).unwrap().unwrap(), bytes);
    assert!(store.verify().unwrap().is_clean());
}

/// A backup is a whole store: restored, it opens and has everything up to its making.
#[test]
fn a_backup_can_be_restored() {
    let (folder, mut life) = filled();
    let target = folder.path().with_file_name("copy.db");
    {
        let mut store = folder.store();
        store.backup(&target).unwrap();
        assert!(matches!(store.backup(&target), Err(StoreError::Io { .. })), "a backup overwrote another");
        keep(&mut store, &life.clone().advanced("later", b"later"));
    }
    for file in ["orch.db", "orch.db-wal", "orch.db-shm", "orch.db.lock"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    fs::copy(&target, folder.database()).unwrap();
    let mut store = folder.store();
    assert_eq!(store.task(&name("x")).unwrap().unwrap().version, life.version);
    assert!(store.verify().unwrap().is_clean());
    keep(&mut store, &life.advanced("other", b"other"));
}
