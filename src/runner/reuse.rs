//! Where a run starts: which earlier verdicts still stand (DESIGN D19).

use std::collections::BTreeMap;

use crate::domain::decision::Settlement;
use crate::domain::id::{Digest, StageName};
use crate::domain::pipeline::{Advance, OnFail, Pipeline, Stage};
use crate::store::AttemptRecord;

/// What a verdict must have been bound to, to stand now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) pipeline: Digest,
    pub(super) commit: &'a str,
    pub(super) tree: Digest,
}

/// What the newest attempt of each stage under a pipeline and a commit came to: for a pass the tree it started from
/// and the one it left, else `None`.
pub(super) type Verdicts = BTreeMap<StageName, Option<(Digest, Digest)>>;

/// Notes a decided attempt, the newest first: a pass stands unless a later attempt of the same stage said otherwise.
pub(super) fn note(verdicts: &mut Verdicts, attempt: &AttemptRecord) {
    let Some(decided) = &attempt.decided else { return };
    let left = decided.evidence.tree.as_ref().map(|tree| tree.left);
    let verdict = match (&decided.settlement, left) {
        (Settlement::Passed, Some(left)) => Some((attempt.intent.tree, left)),
        // It says nothing.
        (Settlement::Cancelled(_), _) => return,
        _ => None,
    };
    verdicts.entry(attempt.intent.stage.clone()).or_insert(verdict);
}

/// The stages from the first along the passes up to `to`, without it; `None` where passes do not lead there.
pub(super) fn way_to<'p>(pipeline: &'p Pipeline, to: &StageName) -> Option<Vec<&'p Stage>> {
    let mut way = Vec::new();
    let mut stage = pipeline.first();
    while stage.name != *to {
        way.push(stage);
        match &stage.pass {
            Advance::To(next) => stage = pipeline.stage(next)?,
            Advance::Done => return None,
        }
    }
    Some(way)
}

/// Whether passes lead from a stage to another, or are there already.
pub(super) fn passes_lead(pipeline: &Pipeline, from: &Stage, to: &StageName) -> bool {
    let next = |stage: &&Stage| match &stage.pass {
        Advance::To(next) => pipeline.stage(next),
        Advance::Done => None,
    };
    std::iter::successors(pipeline.stage(&from.name), next).any(|stage| stage.name == *to)
}

/// The first stage on the way whose verdict does not stand for these inputs; `None` where all do.
///
/// A chain stands when each stage started from the tree that the one before it left, and the last left the tree
/// that is there now.
pub(super) fn first_unproven<'p>(way: &[&'p Stage], verdicts: &Verdicts, inputs: Inputs<'_>) -> Option<&'p Stage> {
    let first = way.first()?;
    let mut before: Option<Digest> = None;
    for stage in way {
        match (verdicts.get(&stage.name).copied().flatten(), before) {
            (None, _) => return Some(stage),
            (Some((started, _)), Some(left)) if started != left => return Some(stage),
            (Some((_, left)), _) => before = Some(left),
        }
    }
    (before != Some(inputs.tree)).then_some(*first)
}

/// Every stage that a run from one stage may come to, `until` being the last that is passed.
pub(super) fn reachable<'p>(pipeline: &'p Pipeline, from: &'p Stage, until: Option<&StageName>) -> Vec<&'p Stage> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![from];
    while let Some(stage) = waiting.pop() {
        // In the order of the file.
        if seen.insert(pipeline.position(&stage.name), stage).is_some() {
            continue;
        }
        let next = match &stage.pass {
            Advance::To(next) if until != Some(&stage.name) => Some(next),
            Advance::To(_) | Advance::Done => None,
        };
        let back = match &stage.fail {
            OnFail::Rollback { to, .. } => Some(to),
            OnFail::Hold | OnFail::Failed => None,
        };
        waiting.extend(next.into_iter().chain(back).filter_map(|name| pipeline.stage(name)));
    }
    seen.into_values().collect()
}
