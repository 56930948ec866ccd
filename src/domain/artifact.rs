//! The canonical document that orch writes for a deterministic producer.
//!
//! Same input, same bytes: time and duration are given, never read. Golden files in `tests/gate/golden/` freeze
//! the text. No stamp stands in it (DESIGN D4).
//!
//! The front matter is made of [`words`] and nothing else. Every text that came from outside (commands, test names,
//! output) goes through `markup` first, so that it can neither add a line nor end a code block.

mod markup;

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::evidence::Counts;
use super::id::{StageName, TaskName};
use super::outcome::Ruling;
use super::pipeline::{Gate, Ordinal};
use markup::{cell, code, code_block, front_value, prose};

pub use markup::printable;

/// Most failing tests that are named.
pub const FAILING_MAX: usize = 20;

/// Most lines of output that are quoted, over all excerpts.
pub const EXCERPT_LINES_MAX: usize = 40;

/// Most smoke checks that are listed.
pub const SMOKE_MAX: usize = 40;

/// Everything a canonical document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The task.
    pub task: TaskName,
    /// The stage.
    pub stage: StageName,
    /// n-th launch in this visit, from 1.
    pub attempt: Ordinal,
    /// The gate that will read it; decides the front matter.
    pub gate: Gate,
    /// What it says.
    pub ruling: Ruling,
    /// Why, in one sentence.
    pub reason: String,
    /// What was done.
    pub work: Work,
    /// When it ended; shown in UTC to the second.
    pub finished_at: Timestamp,
    /// Failing tests by name; the first [`FAILING_MAX`] are listed.
    pub failing: Vec<String>,
    /// Quoted output, each piece with its place; [`EXCERPT_LINES_MAX`] lines in all.
    pub excerpts: Vec<Excerpt>,
    /// Smoke checks in their order; the first [`SMOKE_MAX`] are listed.
    pub smoke: Vec<SmokeResult>,
}

/// What the ruling rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A command that was run.
    Command {
        /// Program and arguments, for display.
        argv: Vec<String>,
        /// How it ended, in words.
        ended: String,
        /// Tests, where they were counted.
        counts: Option<Counts>,
        /// Monotonic time from begin to end.
        elapsed: Duration,
    },
    /// A person's word.
    Approval {
        /// Who gave it.
        by: String,
    },
}

/// Lines of output with the place they stand at (row D11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The stream or report.
    pub place: String,
    /// Line there of the first quoted line, from 1.
    pub line: u64,
    /// The lines.
    pub lines: Vec<String>,
}

/// One smoke check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeResult {
    /// What was asked.
    pub name: String,
    /// What was wanted.
    pub expected: String,
    /// What was got.
    pub got: String,
    /// Whether that was right; `None` where the service itself gave no answer.
    pub ruling: Option<Ruling>,
}

/// The one map from a ruling to an artifact's words (row B4): front-matter keys and values, the verdict key first.
///
/// Empty where there is nothing to say it with: `gate: none`, or a declared gate without a word for it.
pub fn words(gate: &Gate, ruling: Ruling) -> Vec<(&str, &str)> {
    match (gate, ruling) {
        (Gate::None, Ruling::Pass | Ruling::Fail) => vec![],
        (Gate::TestsPassed, Ruling::Pass) => vec![("result", "PASS"), ("status", "passed"), ("tests_status", "PASS")],
        (Gate::TestsPassed, Ruling::Fail) => vec![("result", "FAIL"), ("status", "failed"), ("tests_status", "FAIL")],
        (Gate::StagingStatus, Ruling::Pass) => vec![("staging_status", "SUCCESS")],
        (Gate::StagingStatus, Ruling::Fail) => vec![("staging_status", "FAILED")],
        (Gate::Approved, Ruling::Pass) => vec![("decision", "APPROVED")],
        (Gate::Approved, Ruling::Fail) => vec![("decision", "REJECTED")],
        (Gate::Key(gate), Ruling::Pass) => gate.pass.first().map(|word| (&*gate.key, &**word)).into_iter().collect(),
        (Gate::Key(gate), Ruling::Fail) => gate.fail.first().map(|word| (&*gate.key, &**word)).into_iter().collect(),
    }
}

impl Artifact {
    /// The document's bytes: UTF-8, LF, a line end at the end.
    pub fn render(&self) -> Vec<u8> {
        let front: Vec<String> = words(&self.gate, self.ruling)
            .into_iter()
            .map(|(key, word)| format!("{key}: {}\n", front_value(word)))
            .collect();
        let mut blocks = vec![format!("# {}: {}", self.title(), self.task), self.summary(), self.facts()];
        blocks.extend(self.smoke_checks());
        blocks.extend(self.failures());
        blocks.extend(self.output());
        format!("---\n{}---\n\n{}\n", front.concat(), blocks.join("\n\n")).into_bytes()
    }

    const fn title(&self) -> &'static str {
        match self.gate {
            Gate::TestsPassed => "Test report",
            Gate::StagingStatus => "Staging log",
            Gate::Approved => "Approval",
            Gate::Key(_) | Gate::None => "Stage report",
        }
    }

    fn summary(&self) -> String {
        let word = match (&self.work, self.ruling) {
            (Work::Command { .. }, Ruling::Pass) => "Passed",
            (Work::Command { .. }, Ruling::Fail) => "Failed",
            (Work::Approval { .. }, Ruling::Pass) => "Approved",
            (Work::Approval { .. }, Ruling::Fail) => "Rejected",
        };
        format!("**{word}:** {}", self.sentence())
    }

    /// The reason as a sentence, with one full stop.
    fn sentence(&self) -> String {
        let reason = prose(self.reason.trim());
        let reason = reason.trim_end_matches('.');
        if reason.is_empty() { "no reason was given.".to_owned() } else { format!("{reason}.") }
    }

    fn facts(&self) -> String {
        let mut rows = vec![("stage", self.stage.to_string()), ("attempt", self.attempt.to_string())];
        match &self.work {
            Work::Command { argv, ended, counts, elapsed } => {
                rows.push(("command", cell(&code(&command_line(argv)))));
                rows.push(("ended", cell(&prose(ended))));
                rows.push(("tests", counts.as_ref().map_or_else(|| "not counted".to_owned(), counted)));
                rows.push(("duration", lasted(*elapsed)));
            }
            Work::Approval { by } => rows.push(("decided by", cell(&code(by)))),
        }
        rows.push(("finished", self.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
        let rows: Vec<String> = rows.into_iter().map(|(fact, value)| format!("\n| {fact} | {value} |")).collect();
        format!("| fact | value |\n| --- | --- |{}", rows.concat())
    }

    fn smoke_checks(&self) -> Vec<String> {
        if self.smoke.is_empty() {
            return vec![];
        }
        let rows: Vec<String> = self.smoke.iter().take(SMOKE_MAX).map(SmokeResult::row).collect();
        let table = format!("| check | wanted | got | verdict |\n| --- | --- | --- | --- |{}", rows.concat());
        let mut blocks = vec!["## Smoke checks".to_owned(), table];
        blocks.extend(more(self.smoke.len(), SMOKE_MAX, ""));
        blocks
    }

    fn failures(&self) -> Vec<String> {
        match self.ruling {
            Ruling::Pass => return vec![],
            Ruling::Fail => {}
        }
        let mut lines: Vec<String> = self.failing.iter().take(FAILING_MAX).map(|name| code(name)).collect();
        lines.extend(more(self.failing.len(), FAILING_MAX, ""));
        let wrong = self.smoke.iter().filter(|check| check.ruling == Some(Ruling::Fail));
        lines.extend(wrong.take(SMOKE_MAX).map(SmokeResult::fault));
        if lines.is_empty() {
            lines.push(self.sentence());
        }
        vec!["## Failures".to_owned(), format!("- {}", lines.join("\n- "))]
    }

    fn output(&self) -> Vec<String> {
        let mut room = EXCERPT_LINES_MAX;
        let mut blocks = Vec::new();
        for excerpt in &self.excerpts {
            let lines: Vec<&str> = excerpt.lines.iter().flat_map(|line| line.split('\n')).collect();
            let shown = lines.get(..room).unwrap_or(&lines);
            if shown.is_empty() {
                continue;
            }
            blocks.push(format!("{}, from line {}:", code(&excerpt.place), excerpt.line));
            blocks.push(code_block(shown));
            blocks.extend(more(lines.len(), room, " lines"));
            room -= shown.len();
        }
        if !blocks.is_empty() {
            blocks.insert(0, "## Output".to_owned());
        }
        blocks
    }
}

impl SmokeResult {
    /// A row of the table, with the line end before it.
    fn row(&self) -> String {
        let [name, expected, got] = self.shown().map(|field| cell(&field));
        format!("\n| {name} | {expected} | {got} | {} |", self.ruling.map_or("none", Ruling::as_str))
    }

    /// A line of the failures.
    fn fault(&self) -> String {
        let [name, expected, got] = self.shown();
        format!("smoke check {name}: wanted {expected}, got {got}")
    }

    fn shown(&self) -> [String; 3] {
        [&self.name, &self.expected, &self.got].map(|field| code(field))
    }
}

/// What is said where a list was cut.
fn more(length: usize, max: usize, of_what: &str) -> Option<String> {
    length.checked_sub(max).filter(|more| *more > 0).map(|more| format!("and {more} more{of_what}"))
}

fn counted(counts: &Counts) -> String {
    let Counts { passed, failed, errors, skipped } = counts;
    format!("{passed} passed, {failed} failed, {errors} errors, {skipped} skipped")
}

/// A duration as people write it; tenths of a second below a minute.
fn lasted(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}.{} s", elapsed.subsec_millis() / 100),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, s) => format!("{h} h {m:02} min {s:02} s"),
    }
}

/// Words as a shell would be given them; for display only, nothing is ever run from it.
fn command_line(argv: &[String]) -> String {
    let mut line = String::new();
    for word in argv {
        let separator = if line.is_empty() { "" } else { " " };
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%{}".contains(c);
        let written = if !word.is_empty() && word.chars().all(safe) {
            write!(line, "{separator}{word}")
        } else {
            write!(line, "{separator}'{}'", word.replace('\'', r"'\''"))
        };
        written.expect("a String takes every text");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::pipeline::KeyGate;
    use super::*;

    #[test]
    fn every_gate_has_its_words() {
        let key = Gate::Key(KeyGate {
            key: "status".into(),
            pass: vec!["READY".into(), "OK".into()],
            fail: vec!["BLOCKED".into()],
        });
        let check = |gate: &Gate, ruling, expected: &[(&str, &str)]| assert_eq!(words(gate, ruling), expected);
        check(&Gate::TestsPassed, Ruling::Pass, &[("result", "PASS"), ("status", "passed"), ("tests_status", "PASS")]);
        check(&Gate::TestsPassed, Ruling::Fail, &[("result", "FAIL"), ("status", "failed"), ("tests_status", "FAIL")]);
        check(&Gate::StagingStatus, Ruling::Pass, &[("staging_status", "SUCCESS")]);
        check(&Gate::StagingStatus, Ruling::Fail, &[("staging_status", "FAILED")]);
        check(&Gate::Approved, Ruling::Pass, &[("decision", "APPROVED")]);
        check(&Gate::Approved, Ruling::Fail, &[("decision", "REJECTED")]);
        check(&key, Ruling::Pass, &[("status", "READY")]);
        check(&key, Ruling::Fail, &[("status", "BLOCKED")]);
        check(&Gate::None, Ruling::Pass, &[]);
        check(&Gate::None, Ruling::Fail, &[]);
    }

    #[test]
    fn durations_read_well() {
        let check = |millis, expected| assert_eq!(lasted(Duration::from_millis(millis)), expected);
        check(0, "0.0 s");
        check(12_460, "12.4 s");
        check(59_999, "59.9 s");
        check(60_000, "1 min 00 s");
        check(3_725_000, "1 h 02 min 05 s");
    }

    #[test]
    fn commands_are_shown_with_their_quotes() {
        let check = |argv: &[&str], expected| {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(command_line(&argv), expected);
        };
        check(&["cargo", "nextest", "run", "--profile=ci"], "cargo nextest run --profile=ci");
        check(&["sh", "-c", "it's; true", ""], r"sh -c 'it'\''s; true' ''");
        check(&[], "");
    }
}
