//! Bytes under their hash, checked whenever they are read (row D7).

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::blob::Blobs;
use super::fault::fault;
use crate::domain::id::Digest;
use crate::store::error::StoreError;

pub(super) fn artifact(
    conn: &Connection,
    path: &Path,
    blobs: &Blobs,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, StoreError> {
    let found: Option<(i64, Option<Vec<u8>>)> = conn
        .prepare_cached("SELECT size, body FROM artifact WHERE digest = ?1")
        .and_then(|mut query| query.query_row([digest.to_string()], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(fault(path, "read an artifact"))?;
    let row = format!("artifact {digest}");
    let Some((size, body)) = found else { return Ok(None) };
    let bytes = match body {
        Some(bytes) => bytes,
        None => blobs.read(digest)?.ok_or_else(|| StoreError::Disagrees {
            row: row.clone(),
            what: format!("its file {} is gone", blobs.path(digest).display()),
        })?,
    };
    if u64::try_from(size).ok() != u64::try_from(bytes.len()).ok() || Digest::of(&bytes) != *digest {
        return Err(StoreError::Disagrees { row, what: "its bytes have another hash".to_owned() });
    }
    Ok(Some(bytes))
}

pub(super) fn pipeline(conn: &Connection, path: &Path, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let found: Option<Vec<u8>> = conn
        .prepare_cached("SELECT body FROM pipeline WHERE digest = ?1")
        .and_then(|mut query| query.query_row([digest.to_string()], |row| row.get(0)).optional())
        .map_err(fault(path, "read a pipeline"))?;
    match found {
        Some(text) if Digest::of(&text) != *digest => Err(StoreError::Disagrees {
            row: format!("pipeline {digest}"),
            what: "its text has another hash".to_owned(),
        }),
        found => Ok(found),
    }
}
