//! `SQLite`'s errors in the store's words.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::domain::id::TaskName;
use crate::store::error::StoreError;

/// How long one attempt to write waits for other writers.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a write is begun before it is given up.
pub(super) const BUSY_TRIES: u32 = 6;

/// Names what went wrong; `doing` completes "could not …".
pub(super) fn fault<'a>(path: &'a Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + 'a {
    move |error| name(path, doing, error)
}

/// The same for a write of a task, where a constraint that does not hold refuses the change.
pub(super) fn refusal<'a>(
    path: &'a Path,
    task: &'a TaskName,
    doing: &'static str,
) -> impl Fn(rusqlite::Error) -> StoreError + 'a {
    move |error| {
        if let rusqlite::Error::SqliteFailure(failure, text) = &error
            && failure.code == ErrorCode::ConstraintViolation
        {
            let what = text.clone().unwrap_or_else(|| failure.to_string());
            return StoreError::Refused { task: task.clone(), what };
        }
        name(path, doing, error)
    }
}

/// Whether another writer holds the lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether it is open what an error during a commit left on the disk.
pub(super) fn leaves_doubt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "both enums are SQLite's own and grow with it")]
fn name(path: &Path, doing: &'static str, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match &error {
        rusqlite::Error::SqliteFailure(failure, text) => {
            let what = || text.clone().unwrap_or_else(|| failure.to_string());
            match failure.code {
                // The index of the log could not grow: SQLite has no other word for a full disk there.
                ErrorCode::SystemIoFailure if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
                    StoreError::DiskFull { path }
                }
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy { waited: BUSY_TIMEOUT },
                ErrorCode::DiskFull => StoreError::DiskFull { path },
                ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly { path },
                ErrorCode::DatabaseCorrupt => StoreError::Corrupt { path, what: what() },
                ErrorCode::NotADatabase => StoreError::NotOurs { path, what: what() },
                ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => {
                    StoreError::Io { doing, path, source: io::Error::other(error) }
                }
                _ => StoreError::Engine { doing, source: Box::new(error) },
            }
        }
        // Tables are STRICT: another type in a column is damage.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => StoreError::Corrupt { path, what: error.to_string() },
        _ => StoreError::Engine { doing, source: Box::new(error) },
    }
}
