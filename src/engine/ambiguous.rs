//! Which ends only a control run can attribute (DESIGN D16).

use crate::classify::classify_suite;
use crate::domain::evidence::{Evidence, Exit};
use crate::domain::outcome::{Reason, Rule};
use crate::domain::pipeline::EvidenceKind;

/// Whether an attempt ended by itself, with a code that says no, and nothing says why: no verdict, no error number, no fact
/// of a layer below (`CLASSIFICATION.md` §6, row 11). Where the exit code itself is the declared evidence, a code outside
/// its map holds (DESIGN D21).
pub fn ambiguous(evidence: &Evidence) -> bool {
    let by_itself = matches!(evidence.exit, Exit::Exited { code } if code != 0);
    let by_code = matches!(evidence.declared.evidence, EvidenceKind::ExitCode(_));
    let untouched = evidence.tree.as_ref().is_none_or(|tree| !tree.was_changed());
    by_itself
        && !by_code
        && untouched
        && classify_suite(evidence).is_some_and(|outcome| {
            outcome.rule == Rule::NoProof && matches!(outcome.reason, Reason::Unclassified | Reason::GreenButNonzero)
        })
}
