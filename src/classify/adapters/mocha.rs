//! mocha's reporters that end in `N passing (Tms)`, `N pending`, `N failing`, on stdout.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static PASSING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^  (?P<n>\d+) passing \(\d+(?:ms|s|m|h|d)\)$").expect("a fixed pattern"));
static MORE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^  (?P<n>\d+) (?P<word>pending|failing)$").expect("a fixed pattern"));

/// How far below the first count the others may stand, where something else writes between them.
const BELOW_LINES: u64 = 8;

#[derive(Debug, Default)]
pub(super) struct Mocha {
    closing: Option<(Counts, Sighting)>,
    from: u64,
}

impl Framework for Mocha {
    fn heads(&self) -> &'static [u8] {
        b"0123456789"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if line.text.starts_with("  ") && line.text.ends_with(')') && line.text.contains(" passing (") {
            if let Some(passed) = PASSING.captures(line.text).as_ref().and_then(|c| number(c, "n")) {
                self.flush(notes);
                self.closing = Some((Counts { passed, ..Counts::default() }, line.sighting("mocha")));
                return;
            }
        }
        let Some((counts, at)) = self.closing.as_mut().filter(|(_, at)| at.stream == line.stream) else { return };
        if line.number > at.line + BELOW_LINES {
            self.flush(notes);
            return;
        }
        let Some(captures) = MORE.captures(line.text) else { return };
        let n = number(&captures, "n").unwrap_or(u64::MAX);
        match captures.name("word").map_or("", |m| m.as_str()) {
            "pending" => counts.skipped = n,
            _ => counts.failed = n,
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        self.flush(notes);
    }
}

impl Mocha {
    fn flush(&mut self, notes: &mut Notes) {
        let Some((counts, at)) = self.closing.take() else { return };
        notes.region(at.stream, self.from.max(1), at.line);
        self.from = at.line + 1;
        notes.summary(summary(Adapter::Mocha, counts, at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    #[test]
    fn closing_lines() {
        let check = |text: &str, summaries: &[Counts]| {
            assert_eq!(read(Adapter::Mocha, Stream::Stdout, text).0, summaries, "{text}");
        };
        check("  calc\n    ✔ adds\n\n\n  2 passing (5ms)\n\n", &[counts(2, 0, 0, 0)]);
        check("  2 passing (1s)\n  1 pending\n  3 failing\n\n  1) calc\n", &[counts(2, 3, 0, 1)]);
        check("  0 passing (1ms)\n  1 failing\n", &[counts(0, 1, 0, 0)]);
        check("  0 passing (1ms)\n\n", &[counts(0, 0, 0, 0)]);
        check("  2 passing (1s)\nwords of a thread\n  3 failing\n", &[counts(2, 3, 0, 0)]);
        check("2 passing tests\n  2 passing\n", &[]);
    }
}
