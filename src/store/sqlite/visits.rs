//! How often a task entered each stage: a row a stage, so that a change of a task with ten thousand stages writes
//! the ones it entered and not all of them (PERFORMANCE b3).

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::SqliteStore;
use super::fault::refusal;
use crate::domain::decision::Decision;
use crate::domain::id::StageName;
use crate::domain::pipeline::Advance;
use crate::domain::task::Event;
use crate::domain::visits::Visits;
use crate::store::change::Change;
use crate::store::error::StoreError;

/// What a task's row says of its visits, against damage and omission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Stages it ever entered.
    pub(super) stages: u64,
    /// Times it entered one.
    pub(super) entries: u64,
}

impl Tally {
    /// Counts visits.
    pub(super) fn of(visits: &Visits) -> Self {
        Self { stages: visits.len() as u64, entries: visits.iter().map(|(_, count)| u64::from(count)).sum() }
    }
}

/// Writes the visits that a change can have touched: those of the stages it intends or leads into, and of the one it
/// ends at.
pub(super) fn write(
    tx: &Transaction<'_>,
    store: &SqliteStore,
    change: &Change,
    mut tally: Tally,
) -> Result<Tally, StoreError> {
    let refused = refusal(&store.path, &change.task, "store visits");
    for stage in touched(change) {
        let Some(count) = change.next.visits.of(stage) else { continue };
        let before: Option<u32> = tx
            .prepare_cached("SELECT count FROM visit WHERE task = ?1 AND stage = ?2")
            .and_then(|mut query| query.query_row([change.task.as_str(), stage.as_str()], |row| row.get(0)).optional())
            .map_err(&refused)?;
        if before == Some(count) {
            continue;
        }
        tx.prepare_cached(
            "INSERT INTO visit (task, stage, count) VALUES (?1, ?2, ?3) \
             ON CONFLICT (task, stage) DO UPDATE SET count = excluded.count",
        )
        .and_then(|mut upsert| upsert.execute(params![change.task.as_str(), stage.as_str(), count]))
        .map_err(&refused)?;
        tally.stages += u64::from(before.is_none());
        tally.entries = tally.entries + u64::from(count) - u64::from(before.unwrap_or_default());
    }
    if tally.stages == change.next.visits.len() as u64 {
        return Ok(tally);
    }
    Err(StoreError::Refused {
        task: change.task.clone(),
        what: format!(
            "its state has visits of {} stages, and its events leave {}",
            change.next.visits.len(),
            tally.stages
        ),
    })
}

fn touched(change: &Change) -> BTreeSet<&StageName> {
    let intended = change.events.iter().filter_map(|event| match event {
        Event::AttemptIntended(intent) => Some(&intent.stage),
        Event::RunStarted(start) => Some(&start.stage),
        Event::AttemptDecided(decided) => entered(&decided.decision),
        Event::TaskAdded { .. }
        | Event::AttemptFinished { .. }
        | Event::RunClosed { .. }
        | Event::StageHeld { .. }
        | Event::RetryDue { .. }
        | Event::HoldReleased { .. }
        | Event::TaskPaused { .. }
        | Event::TaskResumed { .. }
        | Event::TaskCancelled { .. } => None,
    });
    intended.chain(change.next.state.stage()).collect()
}

/// The stage that a decision leads into; a change may end elsewhere, such as with the task cancelled.
const fn entered(decision: &Decision) -> Option<&StageName> {
    match decision {
        Decision::Advance(Advance::To(stage)) | Decision::Rollback { to: stage, .. } => Some(stage),
        Decision::Advance(Advance::Done)
        | Decision::Rewrite
        | Decision::Retry { .. }
        | Decision::Hold(_)
        | Decision::Fail
        | Decision::Interrupt => None,
    }
}

/// Reads visits as a query gathers them: `stage count,stage count`.
pub(super) fn parse(text: &str) -> Option<Visits> {
    text.split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (stage, count) = pair.split_once(' ')?;
            Some((StageName::new(stage).ok()?, count.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_read_back() {
        let check = |text, expected: Option<&[(&str, u32)]>| {
            let expected: Option<Visits> =
                expected.map(|all| all.iter().map(|(name, count)| (StageName::new(*name).unwrap(), *count)).collect());
            assert_eq!(parse(text), expected, "{text}");
        };
        check("", Some(&[]));
        check("b 2,a 1", Some(&[("a", 1), ("b", 2)]));
        check("a", None);
        check("a -1", None);
        check("A 1", None);
    }
}
