//! Outcomes and their proofs, in words for people.

use crate::domain::artifact::printable;
use crate::domain::evidence::{Counts, Sighting, SummarySource};
use crate::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule};

/// Longest line of a proof, in characters.
const DETAIL_CHARS_MAX: usize = 2_000;

/// An outcome of its parts.
pub(super) fn outcome(conclusion: Conclusion, reason: Reason, rule: Rule, proof: Proof) -> Outcome {
    // One line for people, whatever a test is called.
    let detail = printable(&proof.detail, DETAIL_CHARS_MAX);
    let text = proof.text.map(|text| printable(&text, DETAIL_CHARS_MAX));
    Outcome { conclusion, reason, rule, proof: Proof { detail, text, ..proof } }
}

/// What was seen in the output, as a proof.
pub(super) fn seen(at: &Sighting, detail: String) -> Proof {
    Proof {
        detail,
        source: Some(at.tool.clone()),
        place: Some(at.stream.as_str().to_owned()),
        line: Some(at.line),
        text: Some(at.text.clone()),
        ..Proof::default()
    }
}

/// A proof that rests on no line of output.
pub(super) fn plain(detail: String) -> Proof {
    Proof { detail, ..Proof::default() }
}

/// Who wrote a summary.
pub(super) const fn source_name(source: &SummarySource) -> &'static str {
    match source {
        SummarySource::Adapter(adapter) => adapter.as_str(),
        SummarySource::ClosingLine => "the closing line",
    }
}

/// Counts in words: `3 passed, 1 failed`.
pub(super) fn told(counts: Counts) -> String {
    let parts: Vec<String> =
        [(counts.passed, "passed"), (counts.failed, "failed"), (counts.errors, "errors"), (counts.skipped, "skipped")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {word}"))
            .collect();
    if parts.is_empty() { "0 tests".to_owned() } else { parts.join(", ") }
}

/// A duration as short as it can be read.
pub fn shown_duration(duration: std::time::Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        // A recorded end whose limit nobody told.
        0 => "its limit".to_owned(),
        1..1000 => format!("{ms} ms"),
        _ if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}
