//! The schema: numbered migrations, forward only, one transaction each.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sha2::{Digest as _, Sha256};

use super::fault::fault;
use super::folder;
use crate::domain::id::Digest;
use crate::store::error::StoreError;

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    /// The schema's number after it; `user_version` of the file.
    pub(super) number: u32,
    /// What it does.
    sql: &'static str,
    /// Hash of the whole schema after it: a file with any other table, view or trigger is not ours.
    schema: &'static str,
}

/// Every migration, in order.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        sql: include_str!("../migrations/sqlite/0001_init.sql"),
        schema: "d50131a7cdc0048cc15f5b03b3c3283dde0306d544b1d0638b2543cdd524c2f9",
    },
    Migration {
        number: 2,
        sql: include_str!("../migrations/sqlite/0002_deferred.sql"),
        schema: "11821c1470f2879cfdc5396122b55b86361890df02e2d4904258b042e2a7239a",
    },
];

/// `application_id` of our files: "orch" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x6f72_6368;

/// The newest schema of a list; 0 for none.
pub(super) fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |migration| migration.number)
}

/// Brings a schema up to date; a step that fails leaves the one before it.
pub(super) fn apply(conn: &mut Connection, path: &Path, migrations: &[Migration]) -> Result<(), StoreError> {
    let fault = fault(path, "migrate the store");
    // A step may rebuild a table that others point at; the references are checked before each commit instead.
    conn.execute_batch("PRAGMA foreign_keys = OFF").map_err(&fault)?;
    for migration in migrations {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fault)?;
        if schema_number(&tx, path)? >= migration.number {
            continue;
        }
        tx.execute_batch(migration.sql).map_err(&fault)?;
        let dangling: i64 =
            tx.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).map_err(&fault)?;
        if dangling > 0 {
            let what = format!("migration {} would leave {dangling} references to nothing", migration.number);
            return Err(StoreError::Corrupt { path: path.to_owned(), what });
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(&fault)?;
        tx.pragma_update(None, "user_version", migration.number).map_err(&fault)?;
        check_schema(&tx, path, migrations)?;
        tx.commit().map_err(&fault)?;
        failpoint!("store.migrated", error => folder::failed("migrate", path, error));
    }
    conn.execute_batch("PRAGMA foreign_keys = ON").map_err(&fault)
}

/// The schema's number in the file.
pub(super) fn schema_number(conn: &Connection, path: &Path) -> Result<u32, StoreError> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fault(path, "read the store's schema"))
}

/// Refuses a file whose schema is not exactly the one of its number.
pub(super) fn check_schema(conn: &Connection, path: &Path, migrations: &[Migration]) -> Result<(), StoreError> {
    let number = schema_number(conn, path)?;
    let found = schema_digest(conn, path)?;
    match migrations.iter().find(|migration| migration.number == number) {
        Some(migration) if migration.schema == found.to_string() => Ok(()),
        Some(_) => Err(StoreError::NotOurs {
            path: path.to_owned(),
            what: format!("its tables, views or triggers are not those of schema {number} (hash {found})"),
        }),
        None => Err(StoreError::NotOurs { path: path.to_owned(), what: format!("there never was a schema {number}") }),
    }
}

/// Hash over everything in the schema, but for the statistics a person's `ANALYZE` leaves.
fn schema_digest(conn: &Connection, path: &Path) -> Result<Digest, StoreError> {
    let fault = fault(path, "read the store's schema");
    let mut query = conn
        .prepare(
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema \
             WHERE name NOT IN ('sqlite_stat1', 'sqlite_stat4') ORDER BY type, name",
        )
        .map_err(&fault)?;
    let mut rows = query.query([]).map_err(&fault)?;
    let mut hash = Sha256::new();
    while let Some(row) = rows.next().map_err(&fault)? {
        for column in 0..4 {
            let text: String = row.get(column).map_err(&fault)?;
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// Copies the database to a new file that has its name only when it is whole, synced and checked.
pub(super) fn copy(conn: &Connection, path: &Path, target: &Path) -> Result<(), StoreError> {
    let temp = folder::beside(target, ".tmp");
    let io = |doing| move |source| folder::failed(doing, target, source);
    if target.try_exists().map_err(io("look at"))? {
        return Err(folder::failed("write", target, std::io::ErrorKind::AlreadyExists.into()));
    }
    match std::fs::remove_file(&temp) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(folder::failed("remove", &temp, error)),
    }
    // SQLite takes an empty file as its target; made here, it is private from its first byte.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).map_err(io("make"))?;
    let name =
        temp.to_str().ok_or_else(|| folder::failed("write", target, std::io::ErrorKind::InvalidFilename.into()))?;
    conn.execute("VACUUM INTO ?1", [name]).map_err(fault(path, "copy the store"))?;
    let check = Connection::open_with_flags(&temp, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(fault(&temp, "open the copy"))?;
    quick_check(&check, &temp)?;
    drop(check);
    file.sync_all().map_err(io("sync"))?;
    std::fs::rename(&temp, target).map_err(io("rename"))?;
    target.parent().map_or(Ok(()), folder::sync_folder)
}

/// Reads every page and index entry; an error where one is damaged.
pub(super) fn quick_check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let fault = fault(path, "check the store");
    let mut query = conn.prepare("PRAGMA quick_check(20)").map_err(&fault)?;
    let lines: Vec<String> = query.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(&fault)?;
    if lines == ["ok"] { Ok(()) } else { Err(StoreError::Corrupt { path: path.to_owned(), what: lines.join("; ") }) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{SqliteStore, open};
    use super::*;
    use crate::domain::id::TaskName;
    use crate::store::{Store as _, Version};

    /// A database of schema 1 with two tasks in it, as the first release wrote it.
    const FILLED: &str = include_str!("../../../tests/store/samples/schema-1.sql");

    /// A private folder.
    fn empty() -> tempfile::TempDir {
        let private = std::fs::Permissions::from_mode(0o700);
        tempfile::Builder::new().permissions(private).tempdir().unwrap()
    }

    /// A state folder with that database.
    fn filled() -> tempfile::TempDir {
        let dir = empty();
        let path = dir.path().join(super::super::DATABASE);
        Connection::open(&path).unwrap().execute_batch(FILLED).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        dir
    }

    /// Our migrations and one more; the hash of its schema is computed here, as one who writes it would.
    fn with_next(sql: &'static str) -> Vec<Migration> {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        let schema = match conn.execute_batch(sql) {
            Ok(()) => schema_digest(&conn, Path::new("memory")).unwrap().to_string().leak(),
            Err(_) => "",
        };
        [MIGRATIONS, &[Migration { number: newest(MIGRATIONS) + 1, sql, schema }]].concat()
    }

    fn open_with(dir: &tempfile::TempDir, migrations: &[Migration]) -> Result<SqliteStore, StoreError> {
        open::open(dir.path(), open::IfAbsent::Make, migrations)
    }

    fn backups(dir: &tempfile::TempDir) -> Vec<String> {
        let found = std::fs::read_dir(dir.path().join("backups")).into_iter().flatten();
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    const NEXT: &str = "ALTER TABLE task ADD COLUMN priority INTEGER NOT NULL DEFAULT 5 CHECK (priority >= 0)";

    #[test]
    fn every_migration_has_its_number() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, (1..=newest(MIGRATIONS)).collect::<Vec<_>>());
    }

    /// A filled store is copied, then migrated, over one schema and over several; nothing of it changes but the schema.
    #[test]
    fn a_filled_store_is_migrated_after_a_copy() {
        let known = newest(MIGRATIONS);
        for from in 1..=known {
            let (dir, kept) = (filled(), format!("orch.schema-{from}.event-20.db"));
            let old = MIGRATIONS.split_at(usize::try_from(from).unwrap()).0;
            let (before, events) = {
                let store = open_with(&dir, old).unwrap();
                (store.tasks().unwrap(), store.events(&TaskName::new("first").unwrap(), Version::NONE).unwrap())
            };
            let already = backups(&dir);
            let store = open_with(&dir, &with_next(NEXT)).unwrap();
            assert_eq!(store.tasks().unwrap(), before);
            assert_eq!(store.events(&TaskName::new("first").unwrap(), Version::NONE).unwrap(), events);
            assert!(store.verify().unwrap().is_clean());
            let priority: u32 = store.conn.query_row("SELECT min(priority) FROM task", [], |row| row.get(0)).unwrap();
            assert_eq!(priority, 5);
            let mut copies = backups(&dir);
            copies.retain(|copy| !already.contains(copy));
            assert_eq!(copies, std::slice::from_ref(&kept));
            drop(store);

            // An older orch refuses it and says so.
            let error = open_with(&dir, MIGRATIONS).map(drop).unwrap_err();
            let told =
                matches!(error, StoreError::Newer { found, known: said, .. } if (found, said) == (known + 1, known));
            assert!(told, "{error:?}");
            // The copy is the store from before.
            let path = dir.path().join(super::super::DATABASE);
            for suffix in ["", "-wal", "-shm", ".lock"] {
                std::fs::remove_file(folder::beside(&path, suffix)).unwrap();
            }
            std::fs::rename(dir.path().join("backups").join(kept), &path).unwrap();
            let store = open_with(&dir, old).unwrap();
            assert_eq!(store.tasks().unwrap(), before);
        }
    }

    /// A step that fails leaves the schema before it, whole.
    #[test]
    fn a_failed_migration_leaves_the_store_as_it_was() {
        for broken in [
            "ALTER TABLE task ADD COLUMN priority INTEGER; CREATE TABLE task (a)",
            // Lawful SQL that leaves a run without its pipeline.
            "DROP TRIGGER pipeline_is_never_changed; DELETE FROM pipeline",
        ] {
            let dir = filled();
            assert!(open_with(&dir, &with_next(broken)).is_err());
            let store = open_with(&dir, MIGRATIONS).unwrap();
            assert!(store.verify().unwrap().is_clean());
            assert_eq!(store.tasks().unwrap().len(), 2);
        }
    }

    #[test]
    fn an_empty_store_is_migrated_without_a_copy() {
        let dir = empty();
        drop(open_with(&dir, MIGRATIONS).unwrap());
        assert_eq!(open_with(&dir, &with_next(NEXT)).unwrap().tasks().unwrap(), []);
        assert_eq!(backups(&dir), [""; 0]);
    }

    /// The schema changes with one process only.
    #[test]
    fn an_open_store_is_not_migrated() {
        let dir = filled();
        let store = open_with(&dir, MIGRATIONS).unwrap();
        let error = open_with(&dir, &with_next(NEXT)).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
        assert_eq!(schema_number(&store.conn, Path::new("x")).unwrap(), newest(MIGRATIONS));
    }
}
