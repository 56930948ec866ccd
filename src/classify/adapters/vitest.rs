//! vitest: ` Test Files  …`, `      Tests  …`, `     Errors  …` below each other on stdout.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static RUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*(?:RUN|DEV) +v\d+\.\d+\.\d+\S* ").expect("a fixed pattern"));
static TALLY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^ *(?P<what>Test Files|Tests)  +(?P<parts>no tests|(?:\d+ [a-z]+(?: [a-z]+)?(?: \| )?)+)(?: \(\d+\))?$",
    )
    .expect("a fixed pattern")
});
static ERRORS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^ *(?:Type )?Errors  +(?P<n>\d+) errors?$").expect("a fixed pattern"));

#[derive(Debug, Default)]
pub(super) struct Vitest {
    open: Option<Sighting>,
    files_failed: u64,
    closing: Option<(Counts, Sighting)>,
}

impl Framework for Vitest {
    fn heads(&self) -> &'static [u8] {
        b"NTEDSR"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let text = line.text.trim_start();
        if text.starts_with("No test files found, exiting with code") {
            self.open = None;
            notes.summary(summary(Adapter::Vitest, Counts::default(), line.sighting("vitest")));
        } else if text.starts_with("Test") {
            let Some(captures) = TALLY.captures(line.text) else { return };
            let counts = tally(captures.name("parts").map_or("", |m| m.as_str()));
            if captures.name("what").is_some_and(|m| m.as_str() == "Tests") {
                self.closing = Some((counts, line.sighting("vitest")));
            } else {
                self.flush(notes);
                self.files_failed = counts.failed;
            }
        } else if text.starts_with("Errors ") || text.starts_with("Type Errors ") {
            let n = ERRORS.captures(line.text).and_then(|c| number(&c, "n"));
            if let (Some(n), Some((counts, _))) = (n, &mut self.closing) {
                counts.errors = counts.errors.saturating_add(n);
            }
        } else if text.starts_with("Duration ") || text.starts_with("Start at ") {
            self.flush(notes);
        } else if (text.starts_with("RUN ") || text.starts_with("DEV ")) && RUN.is_match(line.text) {
            self.open = Some(line.sighting("vitest"));
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        self.flush(notes);
        if let Some(open) = self.open.take() {
            notes.region(open.stream, open.line, u64::MAX);
            notes.unfinished(open);
        }
    }
}

impl Vitest {
    fn flush(&mut self, notes: &mut Notes) {
        let Some((mut counts, at)) = self.closing.take() else { return };
        // A file that could not be loaded counts no test: the failure would be lost.
        if std::mem::take(&mut self.files_failed) > 0 && !counts.red() {
            counts.errors = 1;
        }
        let first = self.open.take().map_or(1, |open| open.line);
        notes.region(at.stream, first, at.line);
        notes.summary(summary(Adapter::Vitest, counts, at));
    }
}

fn tally(parts: &str) -> Counts {
    let mut counts = Counts::default();
    for (n, word) in parts.split(" | ").filter_map(|part| part.split_once(' ')) {
        let Ok(n) = n.parse::<u64>() else { continue };
        match word {
            "passed" | "expected fail" => counts.passed = counts.passed.saturating_add(n),
            "failed" => counts.failed = n,
            _ => counts.skipped = counts.skipped.saturating_add(n),
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    #[test]
    fn tallies() {
        let check = |text: &str, summaries: &[Counts], unfinished: usize| {
            assert_eq!(read(Adapter::Vitest, Stream::Stdout, text), (summaries.to_vec(), unfinished), "{text}");
        };
        let run = "\n RUN  v4.1.12 /w\n\n";
        check(
            &format!(
                "{run} Test Files  1 failed (1)\n      Tests  1 failed | 1 passed | 1 skipped (3)\n   Start at  02:11\n"
            ),
            &[counts(1, 1, 0, 1)],
            0,
        );
        check(&format!("{run} Test Files  2 passed (2)\n      Tests  4 passed (4)\n"), &[counts(4, 0, 0, 0)], 0);
        check(
            &format!("{run} Test Files  1 failed | 1 passed (2)\n      Tests  4 passed (4)\n   Duration  2ms\n"),
            &[counts(4, 0, 1, 0)],
            0,
        );
        check(
            &format!(
                "{run} Test Files  1 passed (1)\n      Tests  4 passed (4)\n     Errors  1 error\n   Start at  1\n"
            ),
            &[counts(4, 0, 1, 0)],
            0,
        );
        check(&format!("{run} Test Files  1 failed (1)\n      Tests  no tests\n"), &[counts(0, 0, 1, 0)], 0);
        check("No test files found, exiting with code 1\n", &[counts(0, 0, 0, 0)], 0);
        check(run, &[], 1);
        check("Tests  many\n", &[], 0);
    }
}
