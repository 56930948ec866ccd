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

/// The last attempt of each stage that passed under a pipeline and a commit: the tree it started from and the one
/// it left.
pub(super) type Passes = BTreeMap<StageName, (Digest, Digest)>;

/// Notes a decided attempt: a pass stands until a later attempt of the same stage says otherwise.
pub(super) fn note(passes: &mut Passes, attempt: &AttemptRecord) {
    let Some(decided) = &attempt.decided else { return };
    let left = decided.evidence.tree.as_ref().map(|tree| tree.left);
    match (&decided.settlement, left) {
        (Settlement::Passed, Some(left)) => {
            passes.insert(attempt.intent.stage.clone(), (attempt.intent.tree, left));
        }
        (Settlement::Cancelled(_), _) => {}
        _ => {
            passes.remove(&attempt.intent.stage);
        }
    }
}

/// The commit that a run left the worktree at: its agents may have made new ones.
pub(super) fn commit_left(start: &str, attempts: &[AttemptRecord]) -> String {
    let left = |attempt: &AttemptRecord| {
        let decided = attempt.decided.as_ref()?;
        decided.evidence.agent.as_ref().and_then(|facts| facts.scope.commit.clone())
    };
    attempts.iter().rev().find_map(left).unwrap_or_else(|| start.to_owned())
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
pub(super) fn first_unproven<'p>(way: &[&'p Stage], passes: &Passes, inputs: Inputs<'_>) -> Option<&'p Stage> {
    let first = way.first()?;
    let mut before: Option<Digest> = None;
    for stage in way {
        match (passes.get(&stage.name), before) {
            (None, _) => return Some(stage),
            (Some((started, _)), Some(left)) if *started != left => return Some(stage),
            (Some((_, left)), _) => before = Some(*left),
        }
    }
    (before != Some(inputs.tree)).then_some(*first)
}

/// Every stage that a run from one stage may come to, `until` being the last that is passed.
pub(super) fn reachable<'p>(pipeline: &'p Pipeline, from: &'p Stage, until: Option<&StageName>) -> Vec<&'p Stage> {
    let mut seen: Vec<&Stage> = Vec::new();
    let mut waiting = vec![from];
    while let Some(stage) = waiting.pop() {
        if seen.iter().any(|known| known.name == stage.name) {
            continue;
        }
        seen.push(stage);
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
    seen.sort_by_key(|stage| pipeline.position(&stage.name));
    seen
}
