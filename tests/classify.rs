//! The corpus of real ends: every recorded end is classified and compared with its label.
//!
//! `cargo test --test classify -- --nocapture` prints the score of three classifiers side by side: the exit code
//! alone, the exit code with words, and orch. How the ends were recorded: `tests/classify/record/`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that prints its score")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orch::classify::{Reader, classify, junit, signal_number};
use orch::domain::evidence::{Declared, Evidence, Exit, Limit, ReportFacts, Stream};
use orch::domain::outcome::{Conclusion, Outcome, Ruling};
use orch::domain::pipeline::{Adapter, EvidenceKind, ExitMap, ReportKind};
use serde_json::Value;

/// Fewest ends the corpus may hold, so that a wrong path cannot pass for a perfect score.
const CASES_MIN: usize = 120;

struct Case {
    name: String,
    folder: PathBuf,
    json: Value,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Case {
    fn load(folder: &Path, name: String) -> Self {
        let read =
            |file: &str| std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
        let json =
            serde_json::from_slice(&read("case.json")).unwrap_or_else(|error| panic!("{name}/case.json: {error}"));
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        Self { name, folder: folder.to_owned(), json, stdout, stderr }
    }

    fn option(&self, key: &str) -> Option<&Value> {
        self.json.get("options")?.get(key).filter(|value| !value.is_null())
    }

    fn code(&self) -> Option<u8> {
        self.json["exit"]["code"].as_u64().and_then(|code| u8::try_from(code).ok())
    }

    fn exit(&self) -> Exit {
        let exit = &self.json["exit"];
        if let Some(code) = self.code() {
            return Exit::Exited { code };
        }
        if let Some(signal) = exit["signal"].as_str() {
            let signal = signal_number(signal).unwrap_or_else(|| panic!("{}: {signal} is no signal", self.name));
            return Exit::Signalled { signal, core: false };
        }
        assert_eq!(exit["timed-out"], true, "{}: an end without code, signal or time-out", self.name);
        Exit::TimedOut { limit: Limit::Total, after: Duration::from_mins(1) }
    }

    fn declared(&self) -> Declared {
        let pattern = self.option("closing-line").and_then(Value::as_str);
        let word = self.option("evidence").and_then(Value::as_str).unwrap_or("auto");
        let evidence = match (pattern, word) {
            (Some(pattern), _) => EvidenceKind::ClosingLine(pattern.to_owned()),
            (None, "auto") => EvidenceKind::Auto,
            (None, "exit-code") => EvidenceKind::ExitCode(ExitMap::default()),
            (None, word) => EvidenceKind::Adapter(
                Adapter::from_word(word).unwrap_or_else(|| panic!("{}: evidence {word}", self.name)),
            ),
        };
        let min_tests = self.option("min-tests").and_then(Value::as_u64).unwrap_or(1);
        Declared { evidence, min_tests, ..Declared::default() }
    }

    fn evidence(&self) -> Evidence {
        let declared = self.declared();
        let mut reader = Reader::new(&declared.evidence);
        reader.feed(Stream::Stdout, &self.stdout);
        reader.feed(Stream::Stderr, &self.stderr);
        let reports = self.option("report").and_then(Value::as_str).map(|file| {
            let found = std::fs::read(self.folder.join(file))
                .map_or(orch::domain::evidence::ReportFound::Missing, |bytes| junit::read(&bytes));
            ReportFacts { kind: ReportKind::Junit, path: file.to_owned(), found }
        });
        Evidence {
            exit: self.exit(),
            declared,
            output: reader.finish(),
            reports: reports.into_iter().collect(),
            control: None,
            tree: None,
            smoke: Vec::new(),
            agent: None,
            channel: None,
            damage: None,
        }
    }

    fn expected(&self) -> Answer {
        let expect = &self.json["expect"];
        match (expect["outcome"].as_str(), expect["verdict"].as_str()) {
            (Some("suite-ran"), Some("pass")) => Answer::Pass,
            (Some("suite-ran"), Some("fail")) => Answer::Fail,
            (Some("permanent-env"), None) => Answer::Permanent,
            (Some("transient-infra"), None) => Answer::Transient,
            other => panic!("{}: label {other:?}", self.name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Pass,
    Fail,
    Permanent,
    Transient,
}

impl Answer {
    fn of(outcome: &Outcome) -> Self {
        match outcome.conclusion {
            Conclusion::SuiteRan(Ruling::Pass) => Self::Pass,
            Conclusion::SuiteRan(Ruling::Fail) => Self::Fail,
            Conclusion::AgentRan => panic!("no agent ran"),
            Conclusion::PermanentEnv => Self::Permanent,
            Conclusion::TransientInfra => Self::Transient,
        }
    }
}

fn corpus() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/classify/corpus");
    let mut cases = Vec::new();
    let folders = |path: &Path| -> Vec<PathBuf> {
        let mut all: Vec<_> =
            std::fs::read_dir(path).expect("the corpus can be listed").map(|e| e.unwrap().path()).collect();
        all.sort();
        all
    };
    for family in folders(&root) {
        for folder in folders(&family) {
            let name = folder.strip_prefix(&root).unwrap().display().to_string();
            cases.push(Case::load(&folder, name));
        }
    }
    assert!(cases.len() >= CASES_MIN, "only {} recorded ends were found", cases.len());
    cases
}

/// The usual way: 0 is green, everything else is the code's fault.
fn by_code(case: &Case) -> Answer {
    if case.code() == Some(0) { Answer::Pass } else { Answer::Fail }
}

/// The usual repair: known words on stderr excuse a failure, and the codes of shells and of ssh.
fn by_code_and_words(case: &Case) -> Answer {
    const TRANSIENT: [&str; 8] = [
        "connection refused",
        "timed out",
        "could not resolve",
        "connection reset",
        "temporary failure",
        "no space left",
        "too many requests",
        "cannot connect to the docker daemon",
    ];
    const PERMANENT: [&str; 8] = [
        "command not found",
        "no such file or directory",
        "permission denied",
        "no module named",
        "no such container",
        "not installed",
        "cannot find module",
        "host key verification failed",
    ];
    let stderr = String::from_utf8_lossy(&case.stderr).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    match case.code() {
        Some(0) => Answer::Pass,
        None | Some(124 | 137 | 143 | 255) => Answer::Transient,
        Some(126 | 127) => Answer::Permanent,
        Some(_) if says(&TRANSIENT) => Answer::Transient,
        Some(_) if says(&PERMANENT) => Answer::Permanent,
        Some(_) => Answer::Fail,
    }
}

/// Mistakes by their price.
#[derive(Debug, Default)]
struct Score {
    false_green: Vec<String>,
    false_blame: Vec<String>,
    lost_verdict: Vec<String>,
    wrong_hold: Vec<String>,
    right: usize,
}

impl Score {
    fn note(&mut self, case: &Case, got: Answer, why: &str) {
        let expected = case.expected();
        let line = || format!("{}: expected {expected:?}, got {got:?} {why}", case.name);
        match (expected, got) {
            (expected, got) if expected == got => self.right += 1,
            (_, Answer::Pass) => self.false_green.push(line()),
            (_, Answer::Fail) => self.false_blame.push(line()),
            (Answer::Pass | Answer::Fail, _) => self.lost_verdict.push(line()),
            (Answer::Permanent | Answer::Transient, _) => self.wrong_hold.push(line()),
        }
    }
}

#[test]
fn the_score_of_three_classifiers() {
    let cases = corpus();
    let mut scores = [Score::default(), Score::default(), Score::default()];
    for case in &cases {
        let outcome = classify(&case.evidence()).expect("no recorded end is a cancelled one");
        let why = format!("by {} {}: {}", outcome.rule.as_str(), outcome.reason.as_str(), outcome.proof.detail);
        scores[0].note(case, by_code(case), "");
        scores[1].note(case, by_code_and_words(case), "");
        scores[2].note(case, Answer::of(&outcome), &why);
    }
    let mut table = format!("{} recorded ends\n", cases.len());
    writeln!(
        table,
        "{:<22}{:>8}{:>13}{:>13}{:>14}{:>12}",
        "", "right", "false green", "false blame", "lost verdict", "wrong hold"
    )
    .unwrap();
    for (name, score) in ["exit code", "exit code + words", "orch"].into_iter().zip(&scores) {
        writeln!(
            table,
            "{name:<22}{:>8}{:>13}{:>13}{:>14}{:>12}",
            score.right,
            score.false_green.len(),
            score.false_blame.len(),
            score.lost_verdict.len(),
            score.wrong_hold.len()
        )
        .unwrap();
    }
    println!("{table}");
    let [.., orch] = &scores;
    let mistakes: Vec<&String> =
        [&orch.false_green, &orch.false_blame, &orch.lost_verdict, &orch.wrong_hold].into_iter().flatten().collect();
    assert!(
        mistakes.is_empty(),
        "orch was wrong:\n{}",
        mistakes.iter().fold(String::new(), |all, mistake| all + "  " + mistake + "\n")
    );
}
