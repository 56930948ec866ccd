//! bats with its pretty reporter: `N tests, M failures` on stdout. With `--tap` it speaks TAP.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::Counts;
use crate::domain::pipeline::Adapter;

static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?P<n>\d+) tests?, (?P<f>\d+) failures?(?:, (?P<s>\d+) skipped)?(?:, (?P<x>\d+) not run)?(?: in \d+(?:\.\d+)? ?s(?:econds?|ec)?)?$")
        .expect("a fixed pattern")
});

#[derive(Debug, Default)]
pub(super) struct Bats {
    from: u64,
}

impl Framework for Bats {
    fn heads(&self) -> &'static [u8] {
        b"0123456789"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if !line.text.starts_with(|c: char| c.is_ascii_digit()) || !line.text.contains(" failure") {
            return;
        }
        let Some(captures) = CLOSING.captures(line.text) else { return };
        let read = |group| number(&captures, group).unwrap_or(0);
        let skipped = read("s") + read("x");
        let counts =
            Counts { passed: read("n").saturating_sub(read("f") + skipped), failed: read("f"), errors: 0, skipped };
        notes.region(line.stream, self.from.max(1), line.number);
        self.from = line.number + 1;
        notes.summary(summary(Adapter::Bats, counts, line.sighting("bats")));
    }

    fn end(&mut self, _notes: &mut Notes) {}
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    #[test]
    fn closing_lines() {
        let check = |text: &str, summaries: &[Counts]| {
            assert_eq!(read(Adapter::Bats, Stream::Stdout, text).0, summaries, "{text}");
        };
        check(" ✓ adds\n\n1 test, 0 failures\n", &[counts(1, 0, 0, 0)]);
        check("3 tests, 1 failure, 1 skipped\n", &[counts(1, 1, 0, 1)]);
        check("0 tests, 0 failures\n", &[counts(0, 0, 0, 0)]);
        check("lots of failures\n", &[]);
    }
}
