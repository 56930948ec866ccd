//! jest: `Test Suites: …` and `Tests: …`, usually on stderr.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, segments, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:PASS|FAIL|RUNS)\s+\S+\.[cm]?[jt]sx?(?: \([0-9.]+ m?s\))?$").expect("a fixed pattern")
});
static NOTHING: &str = "No tests found, exiting with code";

#[derive(Debug, Default)]
pub(super) struct Jest {
    running: Option<Sighting>,
    suites_failed: u64,
}

impl Framework for Jest {
    fn heads(&self) -> &'static [u8] {
        b"TPFRN"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let text = line.text.trim_start();
        if text.starts_with(NOTHING) {
            notes.summary(summary(Adapter::Jest, Counts::default(), line.sighting("jest")));
        } else if let Some(rest) = text.strip_prefix("Test Suites:") {
            self.suites_failed = tally(rest).map_or(0, |counts| counts.failed);
        } else if let Some(rest) = text.strip_prefix("Tests:") {
            let Some(mut counts) = tally(rest) else { return };
            // A suite file that could not be run counts no test: the failure would be lost.
            if std::mem::take(&mut self.suites_failed) > 0 && !counts.red() {
                counts.errors = 1;
            }
            let first = self.running.take().map_or(line.number, |at| at.line);
            notes.region(line.stream, first, line.number);
            notes.summary(summary(Adapter::Jest, counts, line.sighting("jest")));
        } else if self.running.is_none()
            && (text.starts_with("PASS") || text.starts_with("FAIL") || text.starts_with("RUNS"))
            && FILE.is_match(line.text)
        {
            self.running = Some(line.sighting("jest"));
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some(at) = self.running.take() {
            notes.region(at.stream, at.line, u64::MAX);
            notes.unfinished(at);
        }
    }
}

/// Reads `1 failed, 2 passed, 3 total`; `None` without a total, which every jest tally has.
fn tally(text: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut total = None;
    for (number, word) in segments(text.trim())? {
        match word {
            "failed" => counts.failed = number,
            "passed" => counts.passed = number,
            "skipped" | "todo" => counts.skipped += number,
            "total" => total = Some(number),
            _ if word.starts_with("of ") => total = Some(number),
            _ => return None,
        }
    }
    total.map(|_| counts)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::Jest, Stream::Stderr, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn tallies() {
        check(
            "PASS ./a.test.js\n\nTest Suites: 1 passed, 1 total\nTests:       2 passed, 2 total\n",
            &[counts(2, 0, 0, 0)],
            0,
        );
        check(
            "Test Suites: 1 failed, 1 total\nTests:       1 failed, 1 skipped, 2 passed, 4 total\n",
            &[counts(2, 1, 0, 1)],
            0,
        );
        check("Test Suites: 1 failed, 1 total\nTests:       0 total\n", &[counts(0, 0, 1, 0)], 0);
        check("No tests found, exiting with code 1\n", &[counts(0, 0, 0, 0)], 0);
        check("PASS ./a.test.js\n", &[], 1);
        check("Tests: many\n", &[], 0);
    }
}
