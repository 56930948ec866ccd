//! What all the evidence together counts, and what of it can be believed.

use crate::domain::evidence::{Counts, Evidence, ReportFacts, ReportFound, SummarySource};
use crate::domain::pipeline::Adapter;

/// What is counted: a run that two sources tell of is not counted twice, so the source that counts most stands;
/// everything red is kept.
pub(super) fn counts(evidence: &Evidence) -> Option<Counts> {
    let mut sources: Vec<(Option<&SummarySource>, Counts)> = Vec::new();
    for summary in &evidence.output.summaries {
        match sources.iter_mut().find(|(source, _)| *source == Some(&summary.source)) {
            Some((_, counts)) => *counts = counts.plus(summary.counts),
            None => sources.push((Some(&summary.source), summary.counts)),
        }
    }
    let reports = evidence.reports.iter().filter_map(|report| match &report.found {
        ReportFound::Read { counts, .. } => Some(*counts),
        ReportFound::Missing
        | ReportFound::Stale
        | ReportFound::Broken { .. }
        | ReportFound::LeftBehind
        | ReportFound::Removed => None,
    });
    let reported = reports.reduce(Counts::plus);
    sources.extend(reported.map(|counts| (None, counts)));
    let most = sources.iter().map(|(_, counts)| *counts).max_by_key(|counts| (counts.ran(), counts.skipped))?;
    // Two sources may tell of one failure: the most that any of them counts.
    let most_of = |count: fn(&Counts) -> u64| sources.iter().map(|(_, counts)| count(counts)).max().unwrap_or(0);
    let red = Counts { failed: most_of(|c| c.failed), errors: most_of(|c| c.errors), ..Counts::default() };
    Some(if red.red() { Counts { failed: red.failed, errors: red.errors, ..most } } else { most })
}

/// Why a declared report cannot count; `None` where it can.
pub(super) fn unusable(report: &ReportFacts) -> Option<String> {
    let path = &report.path;
    match &report.found {
        ReportFound::Read { .. } | ReportFound::Removed => None,
        ReportFound::Missing => Some(format!("the declared report `{path}` was not written")),
        ReportFound::Stale => Some(format!("the declared report `{path}` is older than this attempt")),
        ReportFound::Broken { why } => Some(format!("the declared report `{path}` cannot be read: {why}")),
        ReportFound::LeftBehind => Some(format!("the premature-exit file `{path}` was left behind")),
    }
}

/// Whether a code is how the framework itself says no (read off real runs; `CLASSIFICATION.md` §3).
pub(super) fn own_failing_code(source: &SummarySource, code: u8) -> bool {
    let SummarySource::Adapter(adapter) = source else { return false };
    match adapter {
        Adapter::Pytest => matches!(code, 1 | 6),
        Adapter::CargoTest => code == 101,
        Adapter::Nextest => code == 100,
        Adapter::Unittest
        | Adapter::GoTest
        | Adapter::Jest
        | Adapter::Mocha
        | Adapter::Vitest
        | Adapter::NodeTest
        | Adapter::Bats
        | Adapter::ExitFile => code == 1,
        Adapter::Tap | Adapter::Junit => false,
    }
}
