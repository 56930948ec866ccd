//! Opening a store: every refusal comes before anything that is in it changes.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::blob::Blobs;
use super::fault::{BUSY_TIMEOUT, fault};
use super::folder::{self, Identity, beside};
use super::lock::Lock;
use super::migrate::{self, Migration};
use super::reserve::Reserve;
use super::{DATABASE, SqliteStore};
use crate::store::error::StoreError;

/// The oldest `SQLite` whose write-ahead log is trusted: before it, two connections could reset one at the same time
/// and lose a commit (sqlite.org/wal.html, "the WAL-reset bug").
const OLDEST_ENGINE: (i32, &str) = (3_051_003, "3.51.3");
/// Bytes the log may keep on the disk between checkpoints; its blocks are written again rather than allocated.
const WAL_LIMIT_BYTES: i64 = 16 * 1024 * 1024;
/// Statements kept prepared.
const STATEMENTS: usize = 64;
/// A run's exit records in its folder below `runs/`; `exec` writes them.
const RUN_RECORDS: &str = "exits.jsonl";
/// How often one looks again where another process makes or migrates the store.
const ROUNDS: u32 = 50;

/// What to do where there is no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfAbsent {
    Make,
    Refuse,
}

pub(super) fn open(dir: &Path, absent: IfAbsent, schema: &[Migration]) -> Result<SqliteStore, StoreError> {
    match open_once(dir, absent, schema) {
        // What was left must be brought to its record, also where there is no room even for the index of the log.
        Err(StoreError::DiskFull { .. }) if Reserve::of(&dir.join(DATABASE)).give_up() => {
            let mut store = open_once(dir, absent, schema)?;
            store.short_of_room = true;
            Ok(store)
        }
        result => result,
    }
}

fn open_once(dir: &Path, absent: IfAbsent, schema: &[Migration]) -> Result<SqliteStore, StoreError> {
    if rusqlite::version_number() < OLDEST_ENGINE.0 {
        return Err(StoreError::OldEngine { found: rusqlite::version(), needed: OLDEST_ENGINE.1 });
    }
    let dir = folder::prepare(dir, absent == IfAbsent::Make)?;
    let path = dir.join(DATABASE);
    if absent == IfAbsent::Refuse && folder::private_file(&path)?.is_none() {
        refuse_remains(&dir, &path)?;
        return Err(StoreError::Absent { path });
    }
    let lock = Lock::open(&path)?;
    for _ in 0..ROUNDS {
        let alone = lock.try_alone(&path)?;
        if !alone {
            lock.share(&path)?;
        }
        if let Some(conn) = open_locked(&dir, &path, alone.then_some(&lock), schema)? {
            let identity = Identity::of(&path)?;
            failpoint!("store.opened", error => folder::failed("open", &path, error));
            if alone {
                lock.mark_open(&path, position(&conn, &path)?)?;
                lock.share(&path)?;
            }
            let (blobs, reserve) = (Blobs::of(&dir), Reserve::of(&path));
            return Ok(SqliteStore { conn, path, blobs, identity, broken: false, reserve, short_of_room: false, lock });
        }
        lock.release(&path)?;
    }
    Err(StoreError::InUse { path })
}

/// Opens the database under the lock, which is given where it is held alone; `None` where something must be done
/// alone and others are there.
fn open_locked(
    dir: &Path,
    path: &Path,
    alone: Option<&Lock>,
    schema: &[Migration],
) -> Result<Option<Connection>, StoreError> {
    match folder::private_file(path)? {
        Some(found) if found.len() == 0 => {
            return Err(StoreError::Corrupt { path: path.to_owned(), what: "the file is empty".to_owned() });
        }
        Some(_) => {}
        None if alone.is_some() => {
            refuse_remains(dir, path)?;
            make(path, schema)?;
        }
        None => return Ok(None),
    }
    folder::private_file(&beside(path, "-wal"))?;
    folder::private_file(&beside(path, "-shm"))?;

    let mut conn = connect(path)?;
    check_ours(&conn, path, schema)?;
    let left = alone.map(|lock| lock.left(path));
    if left.is_some_and(|left| !left.in_order) {
        migrate::quick_check(&conn, path)?;
    }
    migrate::check_schema(&conn, path, schema)?;
    if let Some(known) = left.and_then(|left| left.position) {
        let found = position(&conn, path)?;
        if found < known {
            return Err(StoreError::Rewound { path: path.to_owned(), found, known });
        }
    }
    if migrate::schema_number(&conn, path)? < migrate::newest(schema) {
        if alone.is_none() {
            return Ok(None);
        }
        back_up(&conn, dir, path)?;
        migrate::apply(&mut conn, path, schema)?;
    }
    settle(&conn, path)?;
    refuse_emptied(&conn, dir, path)?;
    Ok(Some(conn))
}

/// Refuses a database without an event where a run has left its records: those are begun after the commit that
/// announces them, so that the commit was there and its log is gone.
fn refuse_emptied(conn: &Connection, dir: &Path, path: &Path) -> Result<(), StoreError> {
    if position(conn, path)? > 0 {
        return Ok(());
    }
    let runs = std::fs::read_dir(dir.join("runs")).into_iter().flatten().flatten();
    let records = runs
        .map(|run| run.path().join(RUN_RECORDS))
        .find(|records| std::fs::symlink_metadata(records).is_ok_and(|found| found.len() > 0));
    // Asked again: another process may have stored the first event and begun its records between the two looks.
    match records {
        Some(beside) if position(conn, path)? == 0 => Err(StoreError::Emptied { path: path.to_owned(), beside }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses to begin anew where runs, artifacts or a log of a store are there.
fn refuse_remains(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let wal = beside(path, "-wal");
    let has_log = std::fs::metadata(&wal).is_ok_and(|found| found.len() > 0);
    let remains = [("runs", filled(&dir.join("runs"))), ("blobs", filled(&dir.join("blobs/sha256")))];
    let found = remains.into_iter().find(|(_, filled)| *filled).map(|(name, _)| dir.join(name));
    match found.or_else(|| has_log.then_some(wal)) {
        Some(beside) => Err(StoreError::Missing { path: path.to_owned(), beside }),
        None => Ok(()),
    }
}

fn filled(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Makes the database under another name and renames it when it is whole and on the disk, so that an empty or half
/// made file is always damage.
fn make(path: &Path, schema: &[Migration]) -> Result<(), StoreError> {
    let temp = beside(path, ".new");
    for leftover in [temp.clone(), beside(&temp, "-wal"), beside(&temp, "-journal")] {
        match std::fs::remove_file(&leftover) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(folder::failed("remove", &leftover, error)),
        }
    }
    let failed = |doing| {
        let temp = temp.clone();
        move |source| folder::failed(doing, &temp, source)
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).map_err(failed("make"))?;
    let mut conn = connect(&temp)?;
    // Nobody else knows the name yet: one sync at the end is enough, and the index needs no file.
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL")
        .map_err(fault(&temp, "set up the store"))?;
    migrate::apply(&mut conn, &temp, schema)?;
    // Asked for, because closing does not say when it could not write the log back.
    let left: i64 = conn
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(fault(&temp, "make the store"))?;
    if left != 0 {
        return Err(StoreError::Busy { waited: BUSY_TIMEOUT });
    }
    // The last one out removes the log here: it belongs to a name that goes away.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(fault(&temp, "make the store"))?;
    conn.close().map_err(|(_, error)| fault(&temp, "make the store")(error))?;
    file.sync_all().map_err(failed("sync"))?;
    failpoint!("store.made", error => folder::failed("rename", &temp, error));
    std::fs::rename(&temp, path).map_err(failed("rename"))?;
    // SQLite would sync the state folder with the first commit. That is too late for what is made in it before: a run's
    // folder without a store is refused. The folders above may be as new as the store, and nobody else syncs them.
    folder::sync_names_above(path)
}

/// Connects without following links, without trusting what the file's schema says.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let fault = fault(path, "open");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(path, flags).map_err(&fault)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(&fault)?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        // The last one out leaves the log as it is: its blocks are used again, and leaving costs no sync.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        conn.set_db_config(option, on).map_err(&fault)?;
    }
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0").map_err(&fault)?;
    Ok(conn)
}

fn check_ours(conn: &Connection, path: &Path, schema: &[Migration]) -> Result<(), StoreError> {
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fault(path, "read"))?;
    if id != migrate::APPLICATION_ID {
        let what = format!("a database of another program (application_id {id:#010x})");
        return Err(StoreError::NotOurs { path: path.to_owned(), what });
    }
    let (found, known) = (migrate::schema_number(conn, path)?, migrate::newest(schema));
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// The settings every connection works with.
fn settle(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let fault = fault(path, "set up the store");
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(&fault)?;
    if mode != "wal" {
        let what = format!("it cannot have a write-ahead log here (mode `{mode}`)");
        return Err(StoreError::Corrupt { path: path.to_owned(), what });
    }
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON").map_err(&fault)?;
    conn.query_row("PRAGMA journal_size_limit = ?1".replace("?1", &WAL_LIMIT_BYTES.to_string()).as_str(), [], |_| {
        Ok(())
    })
    .map_err(&fault)?;
    // The first read makes the log and its index, whose identity is noted next.
    position(conn, path).map(drop)
}

/// Position of the last event.
pub(super) fn position(conn: &Connection, path: &Path) -> Result<u64, StoreError> {
    let found: i64 = conn
        .query_row("SELECT coalesce(max(position), 0) FROM event", [], |row| row.get(0))
        .map_err(fault(path, "read the store"))?;
    Ok(u64::try_from(found).unwrap_or_default())
}

/// Copies a store that has something in it before its schema changes.
fn back_up(conn: &Connection, dir: &Path, path: &Path) -> Result<(), StoreError> {
    let last = position(conn, path)?;
    if last == 0 {
        return Ok(());
    }
    let number = migrate::schema_number(conn, path)?;
    let target = backups(dir)?.join(format!("orch.schema-{number}.event-{last}.db"));
    // Left by a migration that was stopped after its copy: the copy is whole, because it has its name.
    if folder::private_file(&target)?.is_some() {
        return Ok(());
    }
    migrate::copy(conn, path, &target)
}

fn backups(dir: &Path) -> Result<PathBuf, StoreError> {
    folder::prepare(&dir.join("backups"), true)
}
