//! cargo-nextest: `Summary [ 0.1s] N tests run: …` on stderr. Its `XFAIL` and `exec failed` mean that a test
//! binary could not be started, which is no test failure.

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

#[derive(Debug, Default)]
pub(super) struct Nextest {
    open: Option<Sighting>,
}

impl Framework for Nextest {
    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let text = line.text.trim_start();
        if text.starts_with("Starting ") && STARTING.is_match(line.text) {
            if let Some(open) = self.open.replace(line.sighting("nextest")) {
                notes.unfinished(open);
            }
            return;
        }
        if !text.starts_with("Summary ") {
            return;
        }
        let Some(captures) = SUMMARY.captures(line.text) else { return };
        let counts = counts(captures.name("parts").map_or("", |m| m.as_str()));
        let cut =
            matches!((number(&captures, "run"), number(&captures, "total")), (Some(run), Some(total)) if run < total);
        let first = self.open.take().map_or(line.number, |open| open.line);
        notes.region(line.stream, first, line.number);
        // With a failure the run was cut by nextest itself (fail-fast) and the red stands.
        if cut && !counts.red() {
            notes.unfinished(line.sighting("nextest"));
        } else {
            notes.summary(summary(Adapter::Nextest, counts, line.sighting("nextest")));
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some(open) = self.open.take() {
            notes.region(open.stream, open.line, u64::MAX);
            notes.unfinished(open);
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
}
