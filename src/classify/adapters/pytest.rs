//! pytest: one closing line on stdout, framed by `=` unless `-q`.
//!
//! A session header opens a session and a closing line ends it. A session inside another one (a plugin's own
//! tests) belongs to the outer one, provided that the outer one closes. A session that says between exclamation
//! marks that it was stopped is complete only where it is red. `-qq` prints no closing line: there the failures
//! listed below `short test summary info` are its last word.

use std::sync::LazyLock;

use regex::Regex;

use super::{Framework, segments, summary};
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting, Stream, Summary};
use crate::domain::pipeline::Adapter;

static HEADER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^={3,} test session starts ={3,}$").expect("a fixed pattern"));
static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:=+ )?(?P<what>(?:\d+ [a-z]+(?: [a-z]+)?, )*(?:\d+ [a-z]+(?: [a-z]+)?|no tests ran|no tests collected(?: \(\d+ deselected\))?)) in \d+(?:\.\d+)?(?:s| seconds)(?: \([0-9:, a-z]+\))?(?: =+)?$")
        .expect("a fixed pattern")
});
static PROGRESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[.FEsxXRp]+ +\[ *\d+%\]$").expect("a fixed pattern"));
static STOPPED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^!{3,} (?:KeyboardInterrupt|Interrupted: .*|stopping after \d+ failures?|(?:\w+\.)+(?:Exit|Interrupted|\w*Error): .*|Exit: .*) !{3,}$")
        .expect("a fixed pattern")
});
static SHORT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^={3,} short test summary info ={3,}$").expect("a fixed pattern"));

/// Letters of pytest's progress line, one for each test.
const PROGRESS_MARKS: [char; 8] = ['.', 'F', 'E', 's', 'x', 'X', 'R', 'p'];

/// Deepest nesting of sessions that is kept apart.
const SESSIONS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Pytest {
    open: Vec<Session>,
    progress: Option<Sighting>,
    stopped: bool,
    /// The last closing line.
    closed: Option<Sighting>,
    /// A quiet session closed on stdout; the last line below it, where it is another one's progress.
    quiet_closed: bool,
    dots: Option<Sighting>,
    /// A list of failures without a session header above it, and what it lists.
    short: Option<(Sighting, Counts)>,
}

#[derive(Debug)]
struct Session {
    at: Sighting,
    inner: Vec<Summary>,
}

impl Session {
    /// Notes what a session inside this one said; many are added up.
    fn within(&mut self, summary: Summary) {
        if self.inner.len() < SESSIONS_MAX {
            self.inner.push(summary);
        } else if let Some(last) = self.inner.last_mut() {
            last.counts = last.counts.plus(summary.counts);
        }
    }
}

impl Framework for Pytest {
    fn heads(&self) -> &'static [u8] {
        &super::EVERY_HEAD
    }

    fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if self.quiet_closed && line.stream == Stream::Stdout && !line.text.is_empty() {
            let dots = line.text.bytes().all(|byte| b".FEsxXp".contains(&byte));
            self.dots = dots.then(|| line.sighting("pytest"));
        }
        if line.text.starts_with("===") {
            if HEADER.is_match(line.text) {
                if self.open.len() < SESSIONS_MAX {
                    self.open.push(Session { at: line.sighting("pytest"), inner: Vec::new() });
                }
                self.stopped = false;
                return;
            }
            if self.open.is_empty() && SHORT.is_match(line.text) {
                self.short = Some((line.sighting("pytest"), Counts::default()));
                return;
            }
        } else if line.text.starts_with("!!!") && STOPPED.is_match(line.text) {
            // The line stands above the closing line, or directly below it.
            match self.closed.take().filter(|at| at.stream == line.stream && line.number <= at.line + 2) {
                Some(at) => notes.unfinished(at),
                None => self.stopped = true,
            }
            return;
        }
        if let Some((at, counts)) = self.short.as_mut().filter(|(at, _)| at.stream == line.stream) {
            if line.text.starts_with("FAILED ") {
                counts.failed += 1;
                at.text = super::shown(line.text);
                at.line = line.number;
                return;
            }
            if line.text.starts_with("ERROR ") {
                counts.errors += 1;
                return;
            }
        }
        if line.text.ends_with("%]")
            && line.text.starts_with(PROGRESS_MARKS)
            && self.progress.is_none()
            && PROGRESS.is_match(line.text)
        {
            self.progress = Some(line.sighting("pytest"));
            return;
        }
        let Some(counts) = closing(line.text) else { return };
        let summary = summary(Adapter::Pytest, counts, line.sighting("pytest"));
        let session = if self.open.last().is_some_and(|session| session.at.stream == line.stream) {
            self.open.pop()
        } else {
            None
        };
        let first = session.as_ref().map_or(1, |session| session.at.line);
        notes.region(line.stream, first, line.number);
        self.progress = None;
        self.short = None;
        self.closed = Some(summary.at.clone());
        self.quiet_closed |= line.stream == Stream::Stdout && !line.text.starts_with('=');
        if std::mem::take(&mut self.stopped) && !counts.red() {
            notes.unfinished(summary.at);
            return;
        }
        match self.open.last_mut() {
            Some(outer) => outer.within(summary),
            None => notes.summary(summary),
        }
    }

    fn end(&mut self, notes: &mut Notes) {
        if let Some(at) = self.dots.take() {
            notes.unfinished(at);
        }
        for session in self.open.drain(..) {
            notes.region(session.at.stream, session.at.line, u64::MAX);
            notes.unfinished(session.at);
            for summary in session.inner {
                notes.summary(summary);
            }
        }
        if let Some((at, counts)) = self.short.take().filter(|(_, counts)| counts.red()) {
            self.progress = None;
            notes.region(at.stream, 1, at.line);
            notes.summary(summary(Adapter::Pytest, counts, at));
        }
        if let Some(at) = self.progress.take() {
            notes.region(Stream::Stdout, at.line, u64::MAX);
            notes.unfinished(at);
        }
    }
}

fn closing(text: &str) -> Option<Counts> {
    // `3 passed in …`, `=== 3 passed in … ===`, `no tests ran in …`; a line of a log rarely ends like that, too.
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || c == '=' || c == 'n');
    if !begins || !text.ends_with(['s', ')', '=']) || !text.contains(" in ") {
        return None;
    }
    let what = CLOSING.captures(text)?.name("what")?.as_str();
    let mut counts = Counts::default();
    if what.starts_with("no tests") {
        return Some(counts);
    }
    for (number, word) in segments(what)? {
        match word {
            "passed" | "xfailed" | "xpassed" | "subtests passed" | "subtest passed" => counts.passed += number,
            "failed" | "subtests failed" | "subtest failed" => counts.failed += number,
            "error" | "errors" => counts.errors += number,
            "skipped" | "deselected" | "subtests skipped" | "subtest skipped" => counts.skipped += number,
            "warning" | "warnings" | "rerun" | "reruns" => {}
            _ => return None,
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, read};
    use super::*;

    fn check(text: &str, summaries: &[Counts], unfinished: usize) {
        assert_eq!(read(Adapter::Pytest, Stream::Stdout, text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn closing_lines() {
        check("==== 1 failed, 2 passed, 1 skipped in 0.12s ====", &[counts(2, 1, 0, 1)], 0);
        check("3 passed in 61.21s (0:01:01)", &[counts(3, 0, 0, 0)], 0);
        check("==== 1 failed, 2 passed in 0.12 seconds ====", &[counts(2, 1, 0, 0)], 0);
        check("==== 2 passed, 1 warning, 2 errors in 0.1s ====", &[counts(2, 0, 2, 0)], 0);
        check("==== no tests ran in 0.01s ====", &[counts(0, 0, 0, 0)], 0);
        check("==== 5 deselected in 0.01s ====", &[counts(0, 0, 0, 5)], 0);
        check("1 xfailed, 1 xpassed in 0.01s", &[counts(2, 0, 0, 0)], 0);
        check("finished 3 things in 0.12s", &[], 0);
        check("3 passed, 1 exploded in 0.12s", &[], 0);
    }

    #[test]
    fn a_session_without_closing_line_is_unfinished() {
        check("===== test session starts =====\ncollected 3 items\n\ntest_a.py ..", &[], 1);
        check("..F [ 10%]\n..", &[], 1);
        check("... [100%]\n3 passed in 0.1s\n..", &[counts(3, 0, 0, 0)], 1);
        check("... [100%]\n3 passed in 0.1s\n..\ndone\n", &[counts(3, 0, 0, 0)], 0);
    }

    #[test]
    fn a_stopped_session_is_complete_only_where_it_is_red() {
        let stopped = "!!!!!!!!!!!!!! KeyboardInterrupt !!!!!!!!!!!!!!\n";
        check(&format!("{stopped}==== 1 passed in 0.61s ===="), &[], 1);
        check(&format!("{stopped}==== 1 failed, 1 passed in 0.61s ===="), &[counts(1, 1, 0, 0)], 0);
        check("==== 1 passed in 0.49s ====\n!!!!!!!! _pytest.outcomes.Exit: bye !!!!!!!!\n", &[counts(1, 0, 0, 0)], 1);
        check("!!! what a day !!!\n==== 1 passed in 0.49s ====\n", &[counts(1, 0, 0, 0)], 0);
    }

    #[test]
    fn a_very_quiet_session_ends_with_its_list_of_failures() {
        let list = "F.. [100%]\n====== short test summary info ======\nFAILED test_a.py::test_b - assert 3\n";
        check(list, &[counts(0, 1, 0, 0)], 0);
        check(&format!("{list}1 failed, 2 passed in 0.1s\n"), &[counts(2, 1, 0, 0)], 0);
        check("====== short test summary info ======\n", &[], 0);
    }

    #[test]
    fn an_inner_session_belongs_to_the_outer_one() {
        let inner = "===== test session starts =====\n==== 1 failed in 0.1s ====\n";
        check(&format!("===== test session starts =====\n{inner}==== 3 passed in 1.0s ===="), &[counts(3, 0, 0, 0)], 0);
        check(&format!("===== test session starts =====\n{inner}"), &[counts(0, 1, 0, 0)], 1);
        check(&format!("{inner}{inner}"), &[counts(0, 1, 0, 0), counts(0, 1, 0, 0)], 0);
    }
}
