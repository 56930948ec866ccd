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
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    sql: include_str!("../migrations/sqlite/0001_init.sql"),
    schema: "51f31bfbcb072804c40e91ad3f66e15613fb8ef3b345fa4fdbd033b489285ab7",
}];

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
