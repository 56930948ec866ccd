//! TAP and prove, on stdout. A TAP document is complete when its plan is fulfilled; prove's `Result:` line stands
//! for everything that it read before.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static PLAN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^1\.\.(?P<n>\d+)(?: *# *(?P<skip>[Ss][Kk][Ii][Pp]).*)?$").expect("a fixed pattern"));
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?P<not>not )?ok(?: (?P<n>\d+))?(?:$| )(?:.*?# *(?P<mark>[Tt][Oo][Dd][Oo]|[Ss][Kk][Ii][Pp]\S*)\b.*)?")
        .expect("a fixed pattern")
});
static FILES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Files=\d+, Tests=(?P<n>\d+), ").expect("a fixed pattern"));
static FAILED_OF: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^Failed \d+/\d+ test programs\. (?P<n>\d+)/\d+ subtests failed\.$").expect("a fixed pattern")
});
/// What bats prints below a document whose set-up failed.
const BATS_CUT: &str = "# bats warning: Executed ";

#[derive(Debug, Default)]
pub(super) struct Tap {
    document: Document,
    /// A document with a version line or a plan was closed: a count that begins anew is another one.
    closed: bool,
    /// Tests that prove counted, and failed ones among them.
    prove: Option<u64>,
    prove_failed: u64,
    prove_began: Option<Sighting>,
}

#[derive(Debug, Default)]
struct Document {
    first: Option<Sighting>,
    plan: Option<Sighting>,
    planned: u64,
    version: bool,
    /// It follows another document and begins with a result that is numbered 1.
    follows: bool,
    counts: Counts,
    bailed: bool,
}

impl Document {
    const fn seen(&self) -> u64 {
        self.counts.passed + self.counts.failed + self.counts.skipped
    }

    fn close(self, notes: &mut Notes) {
        let Some(first) = self.first.clone() else { return };
        match &self.plan {
            Some(plan)
                if self.planned == self.counts.passed + self.counts.failed + self.counts.skipped && !self.bailed =>
            {
                notes.region(first.stream, first.line, u64::MAX);
                notes.summary(summary(Adapter::Tap, self.counts, plan.clone()));
            }
            Some(plan) => {
                notes.region(first.stream, first.line, u64::MAX);
                notes.unfinished(plan.clone());
            }
            None if self.version || self.follows => {
                notes.region(first.stream, first.line, u64::MAX);
                notes.unfinished(first);
            }
            // Lines that begin with `ok` are anybody's.
            None => {}
        }
    }
}

impl Framework for Tap {
    fn heads(&self) -> &'static [u8] {
        b"T1on#BFR"
    }

    fn tails(&self) -> &'static [u8] {
        // prove names a file and ends with its state, or in the middle of it.
        b"k.)s"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let text = line.text;
        if text.starts_with("TAP version ") {
            std::mem::take(&mut self.document).close(notes);
            self.document.version = true;
            self.document.first = Some(line.sighting("tap"));
        } else if text.starts_with("1..") {
            self.plan(line, notes);
        } else if text.starts_with("ok") || text.starts_with("not ok") {
            self.result(line, notes);
        } else if text.starts_with(BATS_CUT) {
            self.cut_by_bats(line, notes);
        } else if text.starts_with("Bail out!") {
            self.document.bailed = true;
            self.document.first.get_or_insert_with(|| line.sighting("tap"));
        } else if let Some(n) =
            text.starts_with("Files=").then(|| FILES.captures(text).and_then(|c| number(&c, "n"))).flatten()
        {
            self.prove = Some(n);
        } else if let Some(n) =
            text.starts_with("Failed ").then(|| FAILED_OF.captures(text).and_then(|c| number(&c, "n"))).flatten()
        {
            self.prove_failed = n;
        } else if let Some(word) = text.strip_prefix("Result: ") {
            self.prove_result(word, line, notes);
        } else if self.prove_began.is_none() && text.contains(".t .") {
            self.prove_began = Some(line.sighting("prove"));
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        std::mem::take(&mut self.document).close(notes);
        if let Some(at) = self.prove_began.take() {
            notes.region(at.stream, at.line, u64::MAX);
            notes.unfinished(at);
        }
    }
}

impl Tap {
    /// bats says itself that it executed fewer tests than planned; where one of them failed, that is its last word.
    fn cut_by_bats(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if self.document.counts.failed == 0 {
            return;
        }
        let document = std::mem::take(&mut self.document);
        let first = document.first.map_or(line.number, |at| at.line);
        notes.region(line.stream, first, line.number);
        notes.summary(summary(Adapter::Tap, document.counts, line.sighting("bats")));
    }

    fn plan(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let Some(captures) = PLAN.captures(line.text) else { return };
        if self.document.plan.is_some() {
            std::mem::take(&mut self.document).close(notes);
        }
        self.document.planned = number(&captures, "n").unwrap_or(u64::MAX);
        self.document.plan = Some(line.sighting("tap"));
        self.document.first.get_or_insert_with(|| line.sighting("tap"));
    }

    fn result(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let Some(captures) = RESULT.captures(line.text) else { return };
        // A new document begins where the count begins anew.
        let restarts = number(&captures, "n") == Some(1) && self.document.seen() > 0;
        let full = self.document.plan.is_some() && self.document.seen() >= self.document.planned;
        if restarts && full {
            self.closed = true;
            std::mem::take(&mut self.document).close(notes);
        }
        if self.document.first.is_none() {
            self.document.follows = self.closed && number(&captures, "n") == Some(1);
        }
        self.document.first.get_or_insert_with(|| line.sighting("tap"));
        let mark = captures.name("mark").map(|m| m.as_str().to_ascii_lowercase());
        let counts = &mut self.document.counts;
        match (captures.name("not").is_some(), mark.as_deref()) {
            (_, Some("todo")) | (false, None) => counts.passed += 1,
            (false, Some(_)) => counts.skipped += 1,
            (true, _) => counts.failed += 1,
        }
    }

    fn prove_result(&mut self, word: &str, line: &Line<'_>, notes: &mut Notes) {
        let Some(tests) = self.prove.take() else { return };
        let failed = std::mem::take(&mut self.prove_failed);
        let counts = match word.trim() {
            "PASS" => Counts { passed: tests, ..Counts::default() },
            "FAIL" if failed == 0 => Counts { passed: tests, errors: 1, ..Counts::default() },
            "FAIL" => Counts { passed: tests.saturating_sub(failed), failed, ..Counts::default() },
            "NOTESTS" => Counts::default(),
            _ => return,
        };
        self.document = Document::default();
        let first = self.prove_began.take().map_or(1, |at| at.line);
        notes.region(line.stream, first, line.number);
        notes.summary(summary(Adapter::Tap, counts, line.sighting("prove")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::Tap, Stream::Stdout, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn documents() {
        check("1..2\nok 1 - a\nok 2 - b\n", &[counts(2, 0, 0, 0)], 0);
        check("ok 1 - a\nnot ok 2 - b\n1..2\n", &[counts(1, 1, 0, 0)], 0);
        check("1..3\nok 1\nnot ok 2 # TODO later\nok 3 # skip no net\n", &[counts(2, 0, 0, 1)], 0);
        check("1..3\nok 1\n", &[], 1);
        check("1..0 # SKIP no network\n", &[counts(0, 0, 0, 0)], 0);
        check("1..1\nok 1\n1..1\nnot ok 1\n", &[counts(1, 0, 0, 0), counts(0, 1, 0, 0)], 0);
        check("1..2\nok 1\nBail out! database gone\n", &[], 1);
        check("TAP version 13\nok 1\n", &[], 1);
        let cut = "# bats warning: Executed 1 instead of expected 2 tests\n";
        check(&format!("1..2\nnot ok 1 setup_file failed\n{cut}"), &[counts(0, 1, 0, 0)], 0);
        check(&format!("1..2\nok 1 a\n{cut}"), &[], 1);
        check("ok then\nokay\n", &[], 0);
        check("1..2\nok 1\nok 2\nok 1\n", &[counts(2, 0, 0, 0)], 1);
        check("ok 1\nok 2\n1..2\nnot ok 1\nok 2\n", &[counts(2, 0, 0, 0)], 1);
        check("ok 1\nok 2\n1..2\nok 1\n1..1\n", &[counts(2, 0, 0, 0), counts(1, 0, 0, 0)], 0);
    }

    #[test]
    fn prove() {
        let head = "t/a.t .. ok\n";
        check(
            &format!("{head}All tests successful.\nFiles=1, Tests=3,  0 wallclock secs\nResult: PASS\n"),
            &[counts(3, 0, 0, 0)],
            0,
        );
        check(&format!("{head}Files=1, Tests=0,  0 wallclock secs\nResult: NOTESTS\n"), &[counts(0, 0, 0, 0)], 0);
        check(
            &format!("{head}Failed 1/1 test programs. 1/3 subtests failed.\nFiles=1, Tests=3,  0 w\nResult: FAIL\n"),
            &[counts(2, 1, 0, 0)],
            0,
        );
        check(head, &[], 1);
    }
}
