//! `node --test`: a block of counters at the end of stdout, as TAP comments or with the spec reporter's `ℹ`.
//!
//! node counts a file without any test as one passing test whose name is the file; such a pass proves nothing
//! and is taken off the count.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, number, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

static COUNTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:#|ℹ) (?P<word>tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) (?P<n>\d+)(?:\.\d+)?$")
        .expect("a fixed pattern")
});
static BARE_FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:ok \d+ - |✔ )(?:/|[A-Z]:\\)\S*\.[cm]?[jt]s(?: \([0-9.]+ms\))?$").expect("a fixed pattern")
});

#[derive(Debug, Default)]
pub(super) struct NodeTest {
    block: Option<Block>,
    bare_files: u64,
    began: Option<Sighting>,
}

#[derive(Debug)]
struct Block {
    at: Sighting,
    pass: Option<u64>,
    fail: Option<u64>,
    cancelled: u64,
    skipped: u64,
    /// A line that only node's runner writes was among them; tape begins its block with `# tests` too.
    of_node: bool,
}

impl Framework for NodeTest {
    fn heads(&self) -> &'static [u8] {
        b"o#\xE2"
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if (line.text.starts_with("ok ") || line.text.starts_with('✔')) && BARE_FILE.is_match(line.text) {
            self.bare_files += 1;
            return;
        }
        if self.began.is_none()
            && (line.text.starts_with("# Subtest: ") || line.text.starts_with("▶ ") || line.text.starts_with("✔ "))
        {
            self.began = Some(line.sighting("node-test"));
            return;
        }
        if !line.text.starts_with(['#', 'ℹ']) {
            return;
        }
        let Some(captures) = COUNTER.captures(line.text) else { return };
        let n = number(&captures, "n").unwrap_or(u64::MAX);
        let word = captures.name("word").map_or("", |m| m.as_str());
        if word == "tests" {
            self.block = Some(Block {
                at: line.sighting("node-test"),
                pass: None,
                fail: None,
                cancelled: 0,
                skipped: 0,
                of_node: false,
            });
            return;
        }
        let Some(block) = &mut self.block else { return };
        block.of_node |= matches!(word, "suites" | "cancelled" | "todo" | "duration_ms");
        match word {
            "pass" => block.pass = Some(n),
            "fail" => block.fail = Some(n),
            "cancelled" => block.cancelled = n,
            "skipped" | "todo" => block.skipped = block.skipped.saturating_add(n),
            "duration_ms" => self.close(line, notes),
            _ => {}
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some(block) = self.block.take().filter(|block| block.of_node) {
            notes.region(block.at.stream, 1, u64::MAX);
            notes.unfinished(block.at);
        } else if let Some(at) = self.began.take() {
            notes.region(at.stream, at.line, u64::MAX);
            // A check mark alone may be anybody's; `# Subtest` and `▶` are the runner's.
            if !at.text.starts_with('✔') {
                notes.unfinished(at);
            }
        }
    }
}

impl NodeTest {
    fn close(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let Some(Block { at, pass: Some(pass), fail: Some(fail), cancelled, skipped, of_node: _ }) = self.block.take()
        else {
            return;
        };
        let bare = std::mem::take(&mut self.bare_files).min(pass);
        let counts = Counts {
            passed: pass - bare,
            failed: fail.saturating_add(cancelled),
            errors: 0,
            skipped: skipped.saturating_add(bare),
        };
        let first = self.began.take().map_or(at.line, |began| began.line);
        notes.region(line.stream, first, line.number);
        // Beside tests of other files, a file without any may have died before its first one.
        if bare > 0 && counts.passed > 0 {
            notes.unfinished(at.clone());
        }
        notes.summary(summary(Adapter::NodeTest, counts, at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, facts};
    use super::*;
    use crate::domain::evidence::{Stream, SummarySource};
    use crate::domain::pipeline::EvidenceKind;

    fn check(text: &str, expected: &[Counts], unfinished: usize) {
        let facts = facts(&EvidenceKind::Adapter(Adapter::NodeTest), Stream::Stdout, text);
        let got: Vec<_> = facts
            .summaries
            .iter()
            .filter(|s| s.source == SummarySource::Adapter(Adapter::NodeTest))
            .map(|s| s.counts)
            .collect();
        assert_eq!((got.as_slice(), facts.unfinished.len()), (expected, unfinished), "{text}");
    }

    fn block(pass: u64, fail: u64) -> String {
        format!(
            "# tests {}\n# suites 0\n# pass {pass}\n# fail {fail}\n# cancelled 0\n# skipped 0\n# todo 0\n# duration_ms 52.1\n",
            pass + fail
        )
    }

    #[test]
    fn counters() {
        check(&block(2, 1), &[counts(2, 1, 0, 0)], 0);
        check(&block(2, 1).replace("# ", "ℹ "), &[counts(2, 1, 0, 0)], 0);
        check("# tests 3\n# suites 0\n# pass 3\n", &[], 1);
        // tape: its TAP plan is its proof.
        check("# tests 3\n# pass  3\n\n# ok\n", &[], 0);
        check("# Subtest: a\n", &[], 1);
    }

    #[test]
    fn a_file_without_tests_is_no_passing_test() {
        check(&format!("✔ /w/empty.test.js (40.1ms)\n{}", block(1, 0).replace("# ", "ℹ ")), &[counts(0, 0, 0, 1)], 0);
        let green = block(2, 0).replace("# ", "ℹ ");
        check(&format!("✔ index.js (1.1ms)\n✔ utils.js (1.1ms)\n{green}"), &[counts(2, 0, 0, 0)], 0);
        check(&format!("✔ adds (1.1ms)\n✔ /w/a.test.js (40.1ms)\n{green}"), &[counts(1, 0, 0, 1)], 1);
        check(&format!("✔ adds numbers (1.1ms)\n{}", block(1, 0).replace("# ", "ℹ ")), &[counts(1, 0, 0, 0)], 0);
    }
}
