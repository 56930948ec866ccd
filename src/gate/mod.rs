//! Floor 1: artifact bytes → verdict.
//!
//! A gate reads one thing, the bytes of a stage's canonical artifact, and gives one of three answers: pass, fail,
//! or *unreadable* with a reason. Who wrote the bytes and how that process ended is not asked here. What is not
//! surely a pass or a fail is unreadable; nothing is guessed, trimmed or repaired.
//!
//! The order of the checks is fixed, so that one artifact always has one reason: `text` (size, encoding, control
//! characters), `grammar` (the front-matter block, line by line), `yaml` (a second reader that must see the same
//! map), `contract` (which key decides, which words, which companions must agree; one file per gate), `lint`
//! (texts that nobody finished). `docs/reference/artifacts.md` says all of it for people.
//!
//! Nothing here opens a file, reads a clock or looks at the environment, and no input makes it panic.

mod approved;
mod contract;
mod findings;
mod fold;
mod grammar;
mod key;
mod lint;
mod markdown;
mod staging_status;
mod tests_passed;
mod text;
mod yaml;

use serde_json::{Value, json};

use crate::domain::pipeline::Gate;
use crate::domain::verdict::{Unreadable, UnreadableReason, Verdict};

use contract::Contract;

pub use grammar::{BLOCK_LINES_MAX, BLOCK_MAX_BYTES};
pub use text::ARTIFACT_MAX_BYTES;

/// Version of the document that [`document`] makes.
pub const DOCUMENT_VERSION: u32 = 1;

/// What a readable artifact says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The verdict.
    pub verdict: Verdict,
    /// For people: with a fail, the lines of the body's failure section, at most 20 of at most 300 characters.
    pub findings: Vec<String>,
}

/// Reads an artifact as a gate asks. Total and deterministic: same gate, same bytes, same answer.
///
/// # Errors
/// [`Unreadable`] with the first reason in the order of the checks. [`Gate::None`] has no artifact, so that any
/// bytes given for it are unreadable.
pub fn read(gate: &Gate, bytes: &[u8]) -> Result<Reading, Unreadable> {
    let contract = match gate {
        Gate::TestsPassed => tests_passed::contract(),
        Gate::StagingStatus => staging_status::contract(),
        Gate::Approved => approved::contract(),
        Gate::Key(declared) => key::contract(declared),
        Gate::None => return Err(unreadable(UnreadableReason::NoKey, None, "`gate: none` reads no artifact")),
    };
    read_by(&contract, bytes)
}

fn read_by(contract: &Contract<'_>, bytes: &[u8]) -> Result<Reading, Unreadable> {
    let lines = text::lines(bytes)?;
    let front = grammar::parse(&lines, &contract.watched())?;
    yaml::agree(&front)?;
    let verdict = contract.judge(&front.entries)?;
    let kinds = markdown::kinds(front.body);
    lint::check(&lines, &front, &kinds)?;
    let findings = match verdict {
        Verdict::Pass => Vec::new(),
        Verdict::Fail => findings::of(front.body, &kinds),
    };
    Ok(Reading { verdict, findings })
}

/// What an artifact may say of where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `task`.
    Task,
    /// `stage`.
    Stage,
    /// `run`.
    Run,
    /// `attempt`: an id, or the number in the visit.
    Attempt,
    /// `commit`: of the worktree it was written in, whole or its beginning.
    Commit,
}

impl Origin {
    /// The key of the front matter.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Stage => "stage",
            Self::Run => "run",
            Self::Attempt => "attempt",
            Self::Commit => "commit",
        }
    }
}

/// A word of an artifact about where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What it is about.
    pub origin: Origin,
    /// What it says.
    pub value: String,
    /// Line in the artifact, from 1.
    pub line: Option<u32>,
}

/// What a readable artifact says of where it comes from, besides the gate's own key.
pub fn claims(gate: &Gate, bytes: &[u8]) -> Vec<Claim> {
    let own = match gate {
        Gate::Key(declared) => declared.key.as_str(),
        Gate::None | Gate::TestsPassed | Gate::StagingStatus | Gate::Approved => "",
    };
    let Ok(lines) = text::lines(bytes) else { return Vec::new() };
    let Ok(front) = grammar::parse(&lines, &[]) else { return Vec::new() };
    let origins = [Origin::Task, Origin::Stage, Origin::Run, Origin::Attempt, Origin::Commit];
    let claim = |entry: &grammar::Entry<'_>| {
        let origin = origins.into_iter().find(|origin| origin.key() == entry.key && entry.key != own)?;
        Some(Claim { origin, value: entry.value.clone().into_owned(), line: entry.line })
    };
    front.entries.iter().filter_map(claim).collect()
}

/// The answer of `orch gate check --json` (DESIGN D20).
pub fn document(gate_word: &str, result: &Result<Reading, Unreadable>) -> Value {
    let verdict = result.as_ref().ok().map(|reading| reading.verdict.as_str());
    let unreadable = result.as_ref().err().map(|why| {
        json!({
            "reason": why.reason.as_str(),
            "line": why.line,
            "detail": why.detail,
        })
    });
    json!({ "version": DOCUMENT_VERSION, "gate": gate_word, "verdict": verdict, "unreadable": unreadable })
}

fn unreadable(reason: UnreadableReason, line: Option<u32>, detail: impl Into<String>) -> Unreadable {
    Unreadable { reason, line, detail: detail.into() }
}

/// Line number, from 1, of an index.
fn line_number(index: usize) -> Option<u32> {
    u32::try_from(index).ok().and_then(|index| index.checked_add(1))
}

/// A piece of the artifact as a detail quotes it: one line, escaped, cut.
fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        format!("{start:?}…")
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_field_for_every_answer() {
        let pass = read(&Gate::TestsPassed, b"---\nresult: PASS\n---\n");
        assert_eq!(
            document("tests-passed", &pass),
            json!({ "version": 1, "gate": "tests-passed", "verdict": "pass", "unreadable": null })
        );
        let none = read(&Gate::StagingStatus, b"---\nstaging_status: MAYBE\n---\n");
        let answer = document("staging-status", &none);
        assert_eq!(answer["verdict"], Value::Null);
        assert_eq!(answer["unreadable"]["reason"], "unknown-value");
        assert_eq!(answer["unreadable"]["line"], 2);
        assert!(answer["unreadable"]["detail"].is_string());
        let empty = document("tests-passed", &read(&Gate::TestsPassed, b""));
        assert_eq!(empty["unreadable"]["line"], 1);
    }

    #[test]
    fn a_stage_without_a_gate_has_nothing_to_read() {
        let answer = read(&Gate::None, b"---\nresult: PASS\n---\n").unwrap_err();
        assert_eq!(answer.reason, UnreadableReason::NoKey);
    }

    #[test]
    fn a_long_quotation_is_cut() {
        assert_eq!(quoted("a\u{1b}b"), r#""a\u{1b}b""#);
        assert!(quoted(&"x".repeat(1000)).chars().count() < 70);
    }
}
