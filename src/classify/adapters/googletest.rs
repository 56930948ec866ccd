//! googletest's text: `[==========] Running N tests …` to `[  PASSED  ] N tests.`, on stdout. Its premature-exit
//! file is read as a report.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^\[(?P<mark>==========|  PASSED  |  FAILED  |  SKIPPED )\] (?:Running )?(?P<n>\d+) tests?(?P<rest>.*)$",
    )
    .expect("a fixed pattern")
});
/// Set-up or tear-down of a whole suite that failed; its tests may all be skipped.
static SUITES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^ (?P<n>[1-9]\d*) FAILED TEST (?:SUITE|CASE)S?$").expect("a fixed pattern"));

#[derive(Debug, Default)]
pub(super) struct Googletest {
    open: Option<Sighting>,
    ended: Option<(Counts, Sighting)>,
}

impl Framework for Googletest {
    fn heads(&self) -> &'static [u8] {
        b"[0123456789"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if let Some(captures) = line.text.starts_with(' ').then(|| SUITES.captures(line.text)).flatten() {
            if let Some((counts, _)) = &mut self.ended {
                counts.errors = number(&captures, "n").unwrap_or(u64::MAX);
            }
            return;
        }
        if !line.text.starts_with('[') {
            return;
        }
        let Some(captures) = LINE.captures(line.text) else { return };
        let n = number(&captures, "n").unwrap_or(u64::MAX);
        let rest = captures.name("rest").map_or("", |m| m.as_str());
        match (captures.name("mark").map_or("", |m| m.as_str()).trim(), &mut self.ended) {
            ("==========", _) if line.text.contains("] Running ") => {
                self.flush(notes);
                self.open = Some(line.sighting("googletest"));
            }
            ("==========", _) if rest.ends_with("ran.") || rest.contains(" ran. (") => {
                self.flush(notes);
                self.ended = Some((Counts::default(), line.sighting("googletest")));
            }
            ("PASSED", Some((counts, _))) => counts.passed = n,
            ("FAILED", Some((counts, _))) if rest.starts_with(", listed below") => counts.failed = n,
            ("SKIPPED", Some((counts, _))) if rest.starts_with(", listed below") => counts.skipped = n,
            _ => {}
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

impl Googletest {
    fn flush(&mut self, notes: &mut Notes) {
        let Some((counts, at)) = self.ended.take() else { return };
        let first = self.open.take().map_or(at.line, |open| open.line);
        notes.region(at.stream, first, at.line);
        notes.summary(summary(Adapter::ExitFile, counts, at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    #[test]
    fn closing_blocks() {
        let check = |text: &str, summaries: &[Counts], unfinished: usize| {
            assert_eq!(read(Adapter::ExitFile, Stream::Stdout, text), (summaries.to_vec(), unfinished), "{text}");
        };
        let open = "[==========] Running 2 tests from 1 test suite.\n";
        let ran = "[==========] 2 tests from 1 test suite ran. (0 ms total)\n";
        check(&format!("{open}{ran}[  PASSED  ] 2 tests.\n"), &[counts(2, 0, 0, 0)], 0);
        check(
            &format!("{open}{ran}[  PASSED  ] 1 test.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.B\n"),
            &[counts(1, 1, 0, 0)],
            0,
        );
        check(open, &[], 1);
        check(
            &format!("{open}{ran}[  PASSED  ] 0 tests.\n[  SKIPPED ] 1 test, listed below:\n 1 FAILED TEST SUITE\n"),
            &[counts(0, 0, 1, 1)],
            0,
        );
    }
}
