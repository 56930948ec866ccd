//! The chain of a task's events: each follows from the one before, and its hash is that of its text.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::fault::fault;
use super::read::version;
use super::write::integer;
use crate::domain::id::{Digest, TaskName};
use crate::domain::task::Event;
use crate::store::change::Version;
use crate::store::codec::{self, GENESIS};
use crate::store::error::StoreError;
use crate::store::record::EventRecord;

pub(super) fn events(
    conn: &Connection,
    path: &Path,
    task: &TaskName,
    after: Version,
) -> Result<Vec<EventRecord>, StoreError> {
    let fault = fault(path, "read events");
    // One statement sees one state of the store. The event before the first wanted one tells what that is chained to.
    let sql = "SELECT seq, kind, at, prev, hash, body FROM event WHERE task = ?1 AND seq >= ?2 ORDER BY seq";
    let mut query = conn.prepare_cached(sql).map_err(&fault)?;
    let mut rows = query.query((task.as_str(), integer(after))).map_err(&fault)?;
    let mut chain = Chain::new(task.clone());
    if after > Version::NONE {
        match rows.next().map_err(&fault)? {
            Some(row) => chain.resume(after, row, path)?,
            None => return Ok(Vec::new()),
        }
    }
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(&fault)? {
        records.push(chain.take(row, path)?);
    }
    Ok(records)
}

/// Walks the events of a task and checks that each follows from the one before.
pub(super) struct Chain {
    task: TaskName,
    seq: Version,
    head: Digest,
}

impl Chain {
    pub(super) fn new(task: TaskName) -> Self {
        Self { task, seq: Version::NONE, head: GENESIS }
    }

    pub(super) fn seq(&self) -> Version {
        self.seq
    }

    pub(super) fn head(&self) -> Digest {
        self.head
    }

    fn resume(&mut self, at: Version, row: &Row<'_>, path: &Path) -> Result<(), StoreError> {
        let seq = version(row, 0, path)?;
        let hash: String = row.get(4).map_err(fault(path, "read events"))?;
        if seq != at {
            return Err(self.broken(at, format!("event {seq} stands in its place")));
        }
        self.head = hash.parse().map_err(|_| self.broken(at, "its hash is not one"))?;
        self.seq = at;
        Ok(())
    }

    /// Takes the next row of `seq, kind, at, prev, hash, body`.
    pub(super) fn take(&mut self, row: &Row<'_>, path: &Path) -> Result<EventRecord, StoreError> {
        let fault = fault(path, "read events");
        let (seq, kind): (Version, String) = (version(row, 0, path)?, row.get(1).map_err(&fault)?);
        let (at, prev): (String, String) = (row.get(2).map_err(&fault)?, row.get(3).map_err(&fault)?);
        let (hash, text): (String, String) = (row.get(4).map_err(&fault)?, row.get(5).map_err(&fault)?);
        let place = self.seq.after(1);
        if seq != place {
            return Err(self.broken(place, format!("event {seq} stands in its place")));
        }
        if prev != self.head.to_string() {
            return Err(self.broken(place, "it does not follow the event before it"));
        }
        let computed = codec::chain(&self.head, &self.task, place, &text);
        if hash != computed.to_string() {
            return Err(self.broken(place, "its hash is not that of its text"));
        }
        let event: Event = codec::decode(&self.row(place), &text)?;
        if event.kind() != kind || event.at().to_string() != at {
            let what = format!("its columns say `{kind}` at {at}, its text `{}` at {}", event.kind(), event.at());
            return Err(self.broken(place, what));
        }
        let record = EventRecord { seq: place, prev: self.head, hash: computed, event, text };
        (self.seq, self.head) = (place, computed);
        Ok(record)
    }

    fn row(&self, seq: Version) -> String {
        format!("event {seq} of task `{}`", self.task)
    }

    fn broken(&self, seq: Version, what: impl Into<String>) -> StoreError {
        StoreError::Disagrees { row: self.row(seq), what: what.into() }
    }
}
