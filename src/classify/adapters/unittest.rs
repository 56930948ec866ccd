//! Python's unittest: `Ran N tests in Ts`, a blank line, then `OK` or `FAILED (…)`; usually on stderr.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting, Stream};
use crate::domain::pipeline::Adapter;

static RAN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Ran (?P<n>\d+) tests? in \d+\.\d+s$").expect("a fixed pattern"));
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?P<word>OK|FAILED|NO TESTS RAN)(?: \((?P<parts>[^)]*)\))?$").expect("a fixed pattern")
});

/// A test that began, without its result.
static BEGUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^test\S* \((?:\S+\)(?: \.\.\.)?|.*\) \.\.\.) ?$").expect("a fixed pattern"));

/// How far below `Ran N tests` its result may stand.
const BELOW_LINES: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Unittest {
    /// `Ran` was seen on the stream; its result line stands below.
    ran: [Option<(u64, Sighting)>; 2],
    region_from: [u64; 2],
    /// The last line below a result, where it names a test that began.
    begun: [Option<Sighting>; 2],
}

const fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

impl Framework for Unittest {
    fn heads(&self) -> &'static [u8] {
        &super::EVERY_HEAD
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let slot = slot(line.stream);
        if line.text.starts_with("Ran ")
            && let Some(total) = RAN.captures(line.text).as_ref().and_then(|c| number(c, "n"))
        {
            if let Some((_, before)) = self.ran[slot].replace((total, line.sighting("unittest"))) {
                notes.unfinished(before);
            }
            return;
        }
        if line.text.is_empty() {
            return;
        }
        let begins = self.region_from[slot] > 0 && line.text.starts_with("test") && BEGUN.is_match(line.text);
        self.begun[slot] = begins.then(|| line.sighting("unittest"));
        let Some((total, at)) = &self.ran[slot] else { return };
        if line.number > at.line + BELOW_LINES {
            notes.unfinished(at.clone());
            self.ran[slot] = None;
            return;
        }
        // A thread that outlives the tests may write between the two lines.
        let Some(captures) = RESULT.captures(line.text) else { return };
        let word = captures.name("word").map_or("", |m| m.as_str());
        let counts = counts(*total, word, captures.name("parts").map_or("", |m| m.as_str()));
        self.ran[slot] = None;
        notes.region(line.stream, self.region_from[slot].max(1), line.number);
        self.region_from[slot] = line.number + 1;
        notes.summary(summary(Adapter::Unittest, counts, line.sighting("unittest")));
    }

    fn end(&mut self, notes: &mut Notes) {
        for (_, at) in self.ran.iter_mut().filter_map(Option::take) {
            notes.unfinished(at);
        }
        for at in self.begun.iter_mut().filter_map(Option::take) {
            notes.unfinished(at);
        }
    }
}

fn counts(total: u64, word: &str, parts: &str) -> Counts {
    let mut counts = Counts::default();
    for part in parts.split(", ") {
        let Some((name, value)) = part.split_once('=') else { continue };
        let Ok(value) = value.parse::<u64>() else { continue };
        match name {
            "failures" | "unexpected successes" => counts.failed += value,
            "errors" => counts.errors += value,
            "skipped" => counts.skipped += value,
            _ => {}
        }
    }
    counts.passed = total.saturating_sub(counts.failed + counts.errors + counts.skipped);
    if word == "FAILED" && !counts.red() {
        counts.errors = 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::Unittest, Stream::Stderr, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn closing_lines() {
        check("...\n-----\nRan 3 tests in 0.001s\n\nOK\n", &[counts(3, 0, 0, 0)], 0);
        check("Ran 3 tests in 0.001s\n\nFAILED (failures=1, errors=1)\n", &[counts(1, 1, 1, 0)], 0);
        check("Ran 2 tests in 0.001s\n\nOK (skipped=2)\n", &[counts(0, 0, 0, 2)], 0);
        check("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", &[counts(0, 0, 0, 0)], 0);
        check("Ran 1 test in 0.000s\n\nFAILED (unexpected successes=1)\n", &[counts(0, 1, 0, 0)], 0);
        check("Ran 3 tests in 0.001s\n", &[], 1);
        check("Ran 3 tests in 0.001s\nsomething else\n", &[], 1);
        check("Ran 3 tests in 0.001s\nwords\n\nFAILED (failures=1)\n", &[counts(2, 1, 0, 0)], 0);
        check("OK\n", &[], 0);
        let green = "Ran 1 test in 0.001s\n\nOK\n";
        check(&format!("{green}test_b (t.T.test_b) ... "), &[counts(1, 0, 0, 0)], 1);
        check(&format!("{green}test_b (t.T.test_b) ... ok\n"), &[counts(1, 0, 0, 0)], 0);
    }
}
