//! `go test`: one line a package on stdout. Without `-v` it counts no tests, so a package that says `ok` stands
//! for at least one. A cached package was not run in this attempt and counts as skipped.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static PACKAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?P<word>ok  |FAIL|\?   )\t(?P<pkg>\S+)(?:\t(?P<time>\d+(?:\.\d+)?s|\(cached\)))?(?P<rest>.*)$")
        .expect("a fixed pattern")
});
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^--- (?P<word>PASS|FAIL|SKIP): \S+ \((?P<n>\d+)(?:\.\d+)?s\)$").expect("a fixed pattern")
});

#[derive(Debug, Default)]
pub(super) struct GoTest {
    /// Tests told since the last package line.
    told: Counts,
    running: Option<Sighting>,
    from: u64,
}

impl Framework for GoTest {
    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if line.text.starts_with("=== RUN ") {
            self.running.get_or_insert_with(|| line.sighting("go-test"));
            return;
        }
        if line.text.starts_with("--- ") {
            if let Some(captures) = TEST.captures(line.text).filter(|c| number(c, "n").is_some()) {
                match captures.name("word").map_or("", |m| m.as_str()) {
                    "PASS" => self.told.passed += 1,
                    "SKIP" => self.told.skipped += 1,
                    _ => self.told.failed += 1,
                }
                self.running.get_or_insert_with(|| line.sighting("go-test"));
            }
            return;
        }
        let Some(captures) = package_line(line.text) else { return };
        let rest = captures.name("rest").map_or("", |m| m.as_str());
        let cached = captures.name("time").is_some_and(|time| time.as_str() == "(cached)");
        let word = captures.name("word").map_or("", |m| m.as_str()).trim();
        let told = std::mem::take(&mut self.told);
        let counts = match word {
            "ok" if rest.contains("[no tests to run]") => Counts::default(),
            "ok" if cached => Counts { skipped: told.passed.max(1), ..Counts::default() },
            "ok" if told.passed == 0 && told.skipped > 0 => told,
            "ok" => Counts { passed: told.passed.max(1), ..told },
            "FAIL" if rest.contains("[build failed]") || rest.contains("[setup failed]") => return,
            "FAIL" => Counts { failed: told.failed.max(1), ..told },
            _ => Counts::default(),
        };
        self.running = None;
        notes.region(line.stream, self.from.max(1), line.number);
        self.from = line.number + 1;
        notes.summary(summary(Adapter::GoTest, counts, line.sighting("go-test")));
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some(at) = self.running.take() {
            notes.region(at.stream, at.line, u64::MAX);
            notes.unfinished(at);
        }
    }
}

fn package_line(text: &str) -> Option<regex::Captures<'_>> {
    let starts = text.starts_with("ok  \t") || text.starts_with("FAIL\t") || text.starts_with("?   \t");
    if starts { PACKAGE.captures(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::GoTest, Stream::Stdout, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn package_lines() {
        check("ok  \texample.com/a\t0.002s\n", &[counts(1, 0, 0, 0)], 0);
        check("--- FAIL: TestA (0.00s)\nFAIL\nFAIL\texample.com/a\t0.002s\n", &[counts(0, 1, 0, 0)], 0);
        check(
            "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n--- PASS: TestB (0.00s)\nPASS\nok  \tx\t0.1s\n",
            &[counts(2, 0, 0, 0)],
            0,
        );
        check("?   \texample.com/a\t[no test files]\n", &[counts(0, 0, 0, 0)], 0);
        check("ok  \texample.com/a\t0.002s [no tests to run]\n", &[counts(0, 0, 0, 0)], 0);
        check("ok  \texample.com/a\t(cached)\n", &[counts(0, 0, 0, 1)], 0);
        check("FAIL\texample.com/a [build failed]\n", &[], 0);
        check("=== RUN   TestA\n", &[], 1);
    }
}
