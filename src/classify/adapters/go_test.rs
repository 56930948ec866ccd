//! `go test`: one line a package on stdout. Without `-v` it counts no tests, so a package that says `ok` stands
//! for at least one. A cached package was not run in this attempt and counts as skipped. `-json` is read by its
//! actions, in `go_json.rs`.

use std::sync::LazyLock;

use regex::Regex;

use super::go_json::GoJson;
use super::{Framework, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static PACKAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?P<word>ok  |FAIL|\?   )\t(?P<pkg>\S+)(?:\t(?P<time>\d+(?:\.\d+)?s|\(cached\)))?(?P<rest>.*)$")
        .expect("a fixed pattern")
});
/// A test's result; what a test printed without a line end may stand before it.
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|\S)--- (?P<word>PASS|FAIL|SKIP): (?P<name>\S+) \(\d+(?:\.\d+)?s\)$").expect("a fixed pattern")
});

static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:Test|Benchmark|Example|Fuzz)[\w/]*$").expect("a fixed pattern"));

/// What go prints of a test binary that was ended from outside, directly above the package's line.
pub(super) const SIGNALLED: [&str; 2] = ["signal: killed", "signal: terminated"];

#[derive(Debug, Default)]
pub(super) struct GoTest {
    package: Package,
    from: u64,
    json: GoJson,
}

/// What was told since the last package line.
#[derive(Debug, Default)]
struct Package {
    told: Counts,
    /// First `=== RUN`, which only `-v` prints.
    verbose: Option<Sighting>,
    first: Option<Sighting>,
    /// Top-level tests that began and did not end.
    running: i64,
    passed: bool,
    /// Names of tests on lines of their own, as `-list` prints them.
    listed: u64,
    /// The last line that says that the binary was ended from outside.
    signalled: Option<Sighting>,
}

impl Framework for GoTest {
    fn heads(&self) -> &'static [u8] {
        b"{=-soF?TBE"
    }

    fn tails(&self) -> &'static [u8] {
        // What a test printed without a line end stands before its own result.
        b"S)"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if line.text.starts_with('{') {
            self.json.line(line, notes);
            return;
        }
        if line.text.starts_with(['T', 'B', 'E', 'F']) && NAME.is_match(line.text) {
            self.package.listed += 1;
            return;
        }
        if line.text.ends_with("PASS") {
            self.package.passed = true;
        } else if line.text.starts_with("=== RUN ") {
            self.begins(line);
        } else if line.text.ends_with("s)") && line.text.contains("--- ") {
            self.ends(line);
        } else if SIGNALLED.contains(&line.text) {
            self.package.signalled = Some(line.sighting("go-test"));
        } else if let Some(captures) = package_line(line.text) {
            self.closes(line, &captures, notes);
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some(at) = self.package.first.take() {
            notes.region(at.stream, at.line, u64::MAX);
            notes.unfinished(at);
        }
        self.json.end(notes);
    }
}

impl GoTest {
    fn begins(&mut self, line: &Line<'_>) {
        let package = &mut self.package;
        package.verbose.get_or_insert_with(|| line.sighting("go-test"));
        package.first.get_or_insert_with(|| line.sighting("go-test"));
        let name = line.text.trim_start_matches("=== RUN ").trim();
        package.running += i64::from(!name.contains('/'));
    }

    fn ends(&mut self, line: &Line<'_>) {
        let Some(captures) = TEST.captures(line.text) else { return };
        let package = &mut self.package;
        match captures.name("word").map_or("", |m| m.as_str()) {
            "PASS" => package.told.passed += 1,
            "SKIP" => package.told.skipped += 1,
            _ => package.told.failed += 1,
        }
        package.running -= i64::from(captures.name("name").is_some_and(|m| !m.as_str().contains('/')));
        package.first.get_or_insert_with(|| line.sighting("go-test"));
    }

    fn closes(&mut self, line: &Line<'_>, captures: &regex::Captures<'_>, notes: &mut Notes) {
        let rest = captures.name("rest").map_or("", |m| m.as_str());
        let cached = captures.name("time").is_some_and(|time| time.as_str() == "(cached)");
        let word = captures.name("word").map_or("", |m| m.as_str()).trim();
        let Package { told, verbose, running, passed, listed, signalled, .. } = std::mem::take(&mut self.package);
        let from = std::mem::replace(&mut self.from, line.number + 1).max(1);
        notes.region(line.stream, from, line.number);
        // Names for the most part, as `-list` prints them; a line of somebody else's among them proves no run.
        let listed = listed > 0 && listed.saturating_mul(2) >= line.number.saturating_sub(from);
        let signalled = signalled.filter(|at| at.line + 1 == line.number);
        let not_built = rest.contains("[build failed]") || rest.contains("[setup failed]");
        let counts = match word {
            "FAIL" if not_built => {
                // go's own words on why stand in front of it, so they stay readable.
                notes.unfinished(line.sighting("go-test"));
                return;
            }
            "FAIL" if signalled.is_some() && told.failed == 0 => {
                notes.unfinished(line.sighting("go-test"));
                notes.killed(signalled.unwrap_or_else(|| line.sighting("go-test")));
                return;
            }
            "FAIL" => Counts { failed: told.failed.max(1), ..told },
            // `-v` shows that the binary left before its end.
            "ok" if verbose.is_some() && (running > 0 || !passed) => {
                notes.unfinished(verbose.unwrap_or_else(|| line.sighting("go-test")));
                return;
            }
            "ok" if rest.contains("[no tests to run]") || listed => Counts::default(),
            "ok" if cached => Counts { skipped: told.passed.max(1), ..Counts::default() },
            "ok" if told.passed == 0 && told.skipped > 0 => told,
            "ok" => Counts { passed: told.passed.max(1), ..told },
            _ => Counts::default(),
        };
        notes.summary(summary(Adapter::GoTest, counts, line.sighting("go-test")));
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
        check("FAIL\texample.com/a [build failed]\n", &[], 1);
        check("TestA\nTestB\nok  \texample.com/a\t0.003s\n", &[counts(0, 0, 0, 0)], 0);
        check("FAIL\texample.com/a [setup failed]\n", &[], 1);
        check("=== RUN   TestA\n", &[], 1);
        check("exit status 1\nFAIL\texample.com/a\t0.002s\n", &[counts(0, 1, 0, 0)], 0);
    }

    #[test]
    fn a_binary_that_left_or_was_ended_gave_no_answer() {
        check("=== RUN   TestA\nok  \tx\t0.1s\n", &[], 1);
        check("=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\nok  \tx\t0.1s\n", &[], 1);
        check("=== RUN   TestA\nno line end--- PASS: TestA (0.00s)\nPASS\nok  \tx\t0.1s\n", &[counts(1, 0, 0, 0)], 0);
        check("signal: killed\nFAIL\tx\t3.670s\nFAIL\n", &[], 1);
        check("--- FAIL: TestA (0.00s)\nsignal: killed\nFAIL\tx\t3.670s\n", &[counts(0, 1, 0, 0)], 0);
        check("signal: killed\nexit status 1\nFAIL\tx\t3.670s\n", &[counts(0, 1, 0, 0)], 0);
    }
}
