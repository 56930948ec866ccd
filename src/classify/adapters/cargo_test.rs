//! libtest through `cargo test`: `running N tests` … `test result: …` for each test binary, on stdout.
//!
//! Lines of a suite below another one (nextest shows a failing test's own output) are not its own: they are
//! indented or on stderr.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting, Stream};
use crate::domain::pipeline::Adapter;

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^test result: (?P<word>ok|FAILED)\. (?P<p>\d+) passed; (?P<f>\d+) failed; (?P<i>\d+) ignored; (?P<m>\d+) measured; (?P<x>\d+) filtered out(?:; finished in [0-9.]+s)?$")
        .expect("a fixed pattern")
});
static RUNNING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^running (?P<n>\d+) tests?$").expect("a fixed pattern"));
/// Lines below `error: test failed` in which cargo gives the cause: an empty one, `Caused by:`, the cause and its own.
const WHY_LINES: u64 = 6;

static KILLED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"process didn't exit successfully: .*\(signal: (?:9, SIGKILL|15, SIGTERM|2, SIGINT|1, SIGHUP)")
        .expect("a fixed pattern")
});

#[derive(Debug, Default)]
pub(super) struct CargoTest {
    /// The binary that is running, and how many tests it said it has.
    open: Option<(Sighting, u64)>,
    /// First line of the part of stderr that the running binary shares with cargo.
    on_stderr: Option<u64>,
    /// Line at which cargo said that a binary failed; it tells why directly below.
    failed_at: Option<u64>,
}

impl Framework for CargoTest {
    fn heads(&self) -> &'static [u8] {
        b"rtRDeCFcp"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if line.stream == Stream::Stderr {
            self.cargo(line, notes);
            return;
        }
        if line.text.starts_with("running ") {
            if let Some(captures) = RUNNING.captures(line.text) {
                let announced = number(&captures, "n").unwrap_or(u64::MAX);
                if let Some((open, _)) = self.open.replace((line.sighting("cargo-test"), announced)) {
                    notes.region(open.stream, open.line, line.number);
                    notes.unfinished(open);
                }
            }
            return;
        }
        if !line.text.starts_with("test result: ") {
            return;
        }
        let Some(captures) = RESULT.captures(line.text) else { return };
        let read = |group| number(&captures, group).unwrap_or(u64::MAX);
        let mut counts = Counts {
            passed: read("p").saturating_add(read("m")),
            failed: read("f"),
            errors: 0,
            skipped: read("i").saturating_add(read("x")),
        };
        if captures.name("word").is_some_and(|word| word.as_str() == "FAILED") && !counts.red() {
            counts.errors = 1;
        }
        let told = ["p", "f", "i", "m"].into_iter().map(read).fold(0, u64::saturating_add);
        let open = self.open.take();
        notes.region(line.stream, open.as_ref().map_or(line.number, |(open, _)| open.line), line.number);
        // A result of fewer or more tests than were announced is another one's, or a cut one.
        if let Some((open, _)) = open.filter(|(_, announced)| *announced != told) {
            notes.unfinished(open);
            if !counts.red() {
                return;
            }
        }
        notes.summary(summary(Adapter::CargoTest, counts, line.sighting("cargo-test")));
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some((open, _)) = self.open.take() {
            notes.region(open.stream, open.line, u64::MAX);
            notes.unfinished(open);
        }
        if let Some(first) = self.on_stderr.take() {
            notes.shared_region(Stream::Stderr, first, u64::MAX);
        }
    }
}

impl CargoTest {
    /// cargo announces each test binary on stderr; what follows there until cargo speaks again is the binary's,
    /// mixed with the words of whatever comes after the last binary.
    fn cargo(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let text = line.text.trim_start();
        let announces = line.text.len() > text.len()
            && (text.starts_with("Running ") && text.contains('(') || text.starts_with("Doc-tests "));
        let cargo_again = text.starts_with("error: test failed, to rerun pass")
            || text.starts_with("error: doctest failed, to rerun pass")
            || line.text.len() > text.len()
                && ["Compiling ", "Checking ", "Documenting ", "Finished "].iter().any(|word| text.starts_with(word));
        if (announces || cargo_again)
            && let Some(first) = self.on_stderr.take()
        {
            notes.shared_region(line.stream, first, line.number - 1);
        }
        if announces {
            self.on_stderr = Some(line.number + 1);
        }
        if text.starts_with("error: test failed, to rerun pass") {
            self.failed_at = Some(line.number);
        }
        let tells_why = self.failed_at.is_some_and(|at| line.number <= at + WHY_LINES);
        // A binary that was never started or was ended from outside gave no answer, whatever the others said.
        if tells_why && line.text.contains("(never executed)") {
            notes.unfinished(line.sighting("cargo-test"));
        }
        if tells_why && KILLED.is_match(line.text) {
            notes.unfinished(line.sighting("cargo-test"));
            notes.killed(line.sighting("cargo-test"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;

    const OK: &str = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    const RED: &str =
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::CargoTest, Stream::Stdout, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn closing_lines() {
        check(&format!("running 3 tests\n{OK}"), &[counts(2, 0, 0, 1)], 0);
        check(&format!("running 3 tests\n{OK}running 2 tests\n{RED}"), &[counts(2, 0, 0, 1), counts(1, 1, 0, 0)], 0);
        check("running 3 tests\ntest a ... ok\n", &[], 1);
        check(&format!("running 3 tests\ntest a ... ok\nrunning 3 tests\n{OK}"), &[counts(2, 0, 0, 1)], 1);
        check(&format!("running 9 tests\n{OK}"), &[], 1);
        check(&format!("running 9 tests\n{RED}"), &[counts(1, 1, 0, 0)], 1);
        check("test result: great\n", &[], 0);
        check(&format!("    {RED}"), &[], 0);
        assert_eq!(read(Adapter::CargoTest, Stream::Stderr, RED), (vec![], 0));
    }

    #[test]
    fn a_binary_without_an_answer_is_unfinished() {
        let told = |why: &str| {
            let text = format!("error: test failed, to rerun pass `--test a`\n\nCaused by:\n  {why}\n");
            read(Adapter::CargoTest, Stream::Stderr, &text)
        };
        assert_eq!(told("could not execute process `/w/a` (never executed)"), (vec![], 1));
        assert_eq!(told("process didn't exit successfully: `/w/a` (signal: 9, SIGKILL: kill)"), (vec![], 1));
        assert_eq!(told("process didn't exit successfully: `/w/a` (exit status: 1)"), (vec![], 0));
    }
}
