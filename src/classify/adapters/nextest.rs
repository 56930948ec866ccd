//! cargo-nextest: `Summary [ 0.1s] N tests run: …` on stderr. Its `XFAIL` and `exec failed` mean that a test
//! binary could not be started, which is no test failure.
//!
//! A run that was cancelled by a signal counts the tests that it ended itself as failed. Such a summary is red only
//! where a test failed by itself: a row of FAIL, TIMEOUT or a crash, not of SIGTERM, SIGINT or SIGKILL.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*Summary \[\s*[0-9.]+s\] +(?P<run>\d+)(?:/(?P<total>\d+))? tests? run: (?P<parts>.*)$")
        .expect("a fixed pattern")
});
static STARTING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*Starting \d+ tests? across \d+ binar(?:y|ies)").expect("a fixed pattern"));
static PART: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<n>\d+) (?P<word>passed|failed|exec failed|timed out|skipped)\b").expect("a fixed pattern")
});

static CANCELLED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*Cancell?ing due to (?:interrupt|(?:second )?signal)\b").expect("a fixed pattern")
});
/// A test's final failure: an attempt that is tried again has no place in the count (`(───)`).
static FAILED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:(?:FAIL(?: \+ LEAK)?|LEAK-FAIL|TIMEOUT|ABORT|SIG(?:SEGV|ABRT|BUS|FPE|ILL|SYS|TRAP)) \[|TRY \d+ (?:FAIL|TMT|ABRT|SIG(?:SEGV|ABRT|BUS|FPE|ILL)|ABORT) \[[^\]]*\] \( *\d+/\d+\))")
        .expect("a fixed pattern")
});

#[derive(Debug, Default)]
pub(super) struct Nextest {
    open: Option<Sighting>,
    cancelled: Option<Sighting>,
    failed: bool,
}

impl Framework for Nextest {
    fn heads(&self) -> &'static [u8] {
        b"SCFLTA"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let text = line.text.trim_start();
        if text.starts_with("Starting ") && STARTING.is_match(line.text) {
            let before = std::mem::take(self);
            if let Some(open) = before.open {
                notes.unfinished(open);
            }
            self.open = Some(line.sighting("nextest"));
            return;
        }
        if self.open.is_none() && !text.starts_with("Summary ") {
            return;
        }
        if text.starts_with("Cancel") && CANCELLED.is_match(line.text) {
            self.cancelled = Some(line.sighting("nextest"));
            return;
        }
        if text.starts_with(['F', 'L', 'T', 'A', 'S']) && FAILED.is_match(line.text) {
            self.failed = true;
            return;
        }
        if !text.starts_with("Summary ") {
            return;
        }
        let Some(captures) = SUMMARY.captures(line.text) else { return };
        let counts = counts(captures.name("parts").map_or("", |m| m.as_str()));
        let cut =
            matches!((number(&captures, "run"), number(&captures, "total")), (Some(run), Some(total)) if run < total);
        let Self { open, cancelled, failed } = std::mem::take(self);
        let first = open.map_or(line.number, |open| open.line);
        notes.nextest_region(line.stream, first, line.number);
        if let Some(cancelled) = cancelled.filter(|_| !failed) {
            notes.killed(cancelled);
            notes.unfinished(line.sighting("nextest"));
            return;
        }
        // With a failure the run was cut by nextest itself (fail-fast) and the red stands.
        if cut && !counts.red() {
            notes.unfinished(line.sighting("nextest"));
        } else {
            notes.summary(summary(Adapter::Nextest, counts, line.sighting("nextest")));
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        let Self { open, cancelled, .. } = std::mem::take(self);
        if let Some(open) = open {
            notes.nextest_region(open.stream, open.line, u64::MAX);
            notes.unfinished(open);
        }
        if let Some(cancelled) = cancelled {
            notes.killed(cancelled);
        }
    }
}

fn counts(parts: &str) -> Counts {
    // What stands in brackets (`(1 slow, 2 flaky)`) is said of the passed ones.
    let mut depth = 0_u32;
    let plain: String = parts
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    let mut counts = Counts::default();
    for captures in PART.captures_iter(&plain) {
        let n = number(&captures, "n").unwrap_or(u64::MAX);
        match captures.name("word").map_or("", |m| m.as_str()) {
            "passed" => counts.passed = n,
            "failed" | "timed out" => counts.failed = counts.failed.saturating_add(n),
            "skipped" | "exec failed" => counts.skipped = counts.skipped.saturating_add(n),
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::Nextest, Stream::Stderr, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn summaries() {
        let start = "    Starting 3 tests across 1 binary\n";
        check(
            &format!("{start}     Summary [   0.005s] 3 tests run: 2 passed (1 slow, 1 flaky), 1 failed, 4 skipped\n"),
            &[counts(2, 1, 0, 4)],
            0,
        );
        check("     Summary [   0.005s] 0 tests run: 0 passed, 2 skipped\n", &[counts(0, 0, 0, 2)], 0);
        check("     Summary [   0.005s] 1/3 tests run: 1 passed, 0 skipped\n", &[], 1);
        check("     Summary [   0.005s] 2/3 tests run: 1 passed, 1 timed out, 0 skipped\n", &[counts(1, 1, 0, 0)], 0);
        check("     Summary [   0.005s] 1 test run: 0 passed, 1 exec failed, 0 skipped\n", &[counts(0, 0, 0, 1)], 0);
        check(start, &[], 1);
    }

    #[test]
    fn a_run_cancelled_by_a_signal_is_red_only_by_a_failure_of_its_own() {
        let start = "    Starting 2 tests across 1 binary\n        PASS [   0.008s] (1/2) calc tests::t1\n";
        let cancelled = "  Cancelling due to signal: 1 test still running\n";
        let ended = "     SIGTERM [   1.019s] (2/2) calc tests::t2\n";
        let summary = "     Summary [   1.021s] 2 tests run: 1 passed, 1 failed, 0 skipped\n";
        let red = [counts(1, 1, 0, 0)];
        check(&format!("{start}{cancelled}{ended}{summary}"), &[], 1);
        check(&format!("{start}        FAIL [   0.008s] (2/2) calc tests::t2\n{cancelled}{summary}"), &red, 0);
        check(&format!("{start}{cancelled}     SIGSEGV [   0.008s] (2/2) calc tests::t2\n{summary}"), &red, 0);
        check(&format!("{start}  TRY 1 FAIL [   0.008s] (───) calc tests::t2\n{cancelled}{ended}{summary}"), &[], 1);
        check(&format!("{start}  TRY 2 FAIL [   0.008s] (2/2) calc tests::t2\n{cancelled}{summary}"), &red, 0);
        check(&format!("{start}{ended}{summary}"), &red, 0);
        check(&format!("{start}  Cancelling due to test failure\n{ended}{summary}"), &red, 0);
    }
}
