//! Laws of the classifier, tried on generated ends: how bytes are cut does not matter, words never beat evidence,
//! nothing turns green or red without proof, and no bytes make it panic.

#![expect(clippy::unwrap_used, reason = "the corpus is there or the test fails")]
#![expect(clippy::disallowed_methods, reason = "one test measures time")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants it wants")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use orch::classify::{Reader, classify, junit};
use orch::domain::evidence::{
    Declared, Evidence, Exit, Limit, LostReason, OutputFacts, ReportFound, SpawnFailure, SpawnStep, Stream,
};
use orch::domain::outcome::{Conclusion, Outcome, Reason, Rule, Ruling};
use orch::domain::pipeline::{Adapter, EvidenceKind, ExitMap};
use proptest::prelude::*;
use serde_json::Value;

/// Families whose ends are the environment's: their last words on stderr are the phrases a suite might print.
const INFRA: [&str; 19] = [
    "apt",
    "cargo-infra",
    "curl",
    "disk",
    "docker",
    "git",
    "java",
    "kill",
    "kubectl",
    "loader",
    "make",
    "misc",
    "npm",
    "pip",
    "psql",
    "shell",
    "sqlite",
    "ssh",
    "other",
];
/// Families of suites, whose recorded reds and greens must stay what they are.
const SUITES: [&str; 11] =
    ["pytest", "unittest", "cargo-test", "nextest", "go-test", "jest", "mocha", "vitest", "node-test", "tap", "bats"];

#[derive(Debug, Clone)]
struct End {
    name: String,
    exit: Exit,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    red: bool,
    green: bool,
}

fn corpus(families: &[&str]) -> Vec<End> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/classify/corpus");
    let listed = |path: &Path| -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> =
            std::fs::read_dir(path).map(|d| d.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
        all.sort();
        all
    };
    let mut ends = Vec::new();
    for folder in families.iter().flat_map(|family| listed(&root.join(family))) {
        let json: Value = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
        // Declared evidence is tried by tests/classify.rs; here every adapter listens.
        let plain =
            json.get("options").is_none_or(|options| options.as_object().is_some_and(serde_json::Map::is_empty));
        let Some(code) = json["exit"]["code"].as_u64().filter(|_| plain) else { continue };
        ends.push(End {
            name: folder.strip_prefix(&root).unwrap().display().to_string(),
            exit: Exit::Exited { code: u8::try_from(code).unwrap() },
            stdout: std::fs::read(folder.join("stdout")).unwrap(),
            stderr: std::fs::read(folder.join("stderr")).unwrap(),
            red: json["expect"]["verdict"] == "fail",
            green: json["expect"]["verdict"] == "pass",
        });
    }
    ends
}

static SUITE_ENDS: LazyLock<Vec<End>> = LazyLock::new(|| corpus(&SUITES));

/// Last lines of stderr of the ends that the environment caused.
static PHRASES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut phrases: Vec<Vec<u8>> = corpus(&INFRA)
        .iter()
        .filter(|end| !end.red && !end.green)
        .flat_map(|end| {
            let text = end.stderr.clone();
            let lines: Vec<Vec<u8>> =
                text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect();
            lines.into_iter().rev().take(3).collect::<Vec<_>>()
        })
        .collect();
    phrases.sort();
    phrases.dedup();
    phrases
});

fn facts(evidence: &EvidenceKind, stdout: &[u8], stderr: &[u8]) -> OutputFacts {
    let mut reader = Reader::new(evidence);
    reader.feed(Stream::Stdout, stdout);
    reader.feed(Stream::Stderr, stderr);
    reader.finish()
}

fn judged(exit: Exit, kind: EvidenceKind, output: OutputFacts) -> Outcome {
    let declared = Declared { evidence: kind, ..Declared::default() };
    let evidence = Evidence { output, ..Evidence::of(exit, declared) };
    let first = classify(&evidence).expect("not cancelled");
    assert_eq!(classify(&evidence), Some(first.clone()), "the same input has the same answer");
    first
}

fn of(exit: Exit, stdout: &[u8], stderr: &[u8]) -> Outcome {
    judged(exit, EvidenceKind::Auto, facts(&EvidenceKind::Auto, stdout, stderr))
}

const PASS: Conclusion = Conclusion::SuiteRan(Ruling::Pass);
const FAIL: Conclusion = Conclusion::SuiteRan(Ruling::Fail);

/// Puts a line in front of the line that begins at or after `place`.
fn with_line(text: &[u8], place: usize, line: &[u8]) -> Vec<u8> {
    let place = place.min(text.len());
    let at = if place == 0 {
        0
    } else {
        text.iter().skip(place - 1).position(|b| *b == b'\n').map_or(text.len(), |n| place + n)
    };
    let (head, tail) = text.split_at(at);
    let gap: &[u8] = if head.last().is_some_and(|b| *b != b'\n') { b"\n" } else { b"" };
    [head, gap, line, b"\n", tail].concat()
}

#[test]
fn there_is_something_to_try() {
    assert!(PHRASES.len() > 300, "only {} phrases", PHRASES.len());
    assert!(SUITE_ENDS.iter().filter(|end| end.red).count() > 80);
    assert!(SUITE_ENDS.iter().filter(|end| end.green).count() > 40);
}

/// Every phrase, in front of and behind the whole output of a red and a green suite of every kind, on both streams.
#[test]
fn no_known_phrase_around_a_suite_changes_its_verdict() {
    let mut kinds: Vec<&End> = Vec::new();
    for family in SUITES {
        let of_family = |end: &&End| end.name.starts_with(&format!("{family}/"));
        let summed = |end: &&End| of(end.exit.clone(), &end.stdout, &end.stderr).rule == Rule::RedEvidence;
        kinds.extend(SUITE_ENDS.iter().filter(of_family).find(|end| end.green));
        kinds.extend(SUITE_ENDS.iter().filter(of_family).filter(|end| end.red).find(summed));
    }
    assert!(kinds.len() >= 18, "only {} kinds of suites", kinds.len());
    for end in kinds {
        let expected = if end.red { FAIL } else { PASS };
        // All phrases at once, so that the test stays fast, and each alone through the reader's own table.
        let all = PHRASES.join(&b'\n');
        for (stdout, stderr) in [
            (with_line(&end.stdout, 0, &all), end.stderr.clone()),
            (with_line(&end.stdout, usize::MAX, &all), end.stderr.clone()),
            (end.stdout.clone(), with_line(&end.stderr, 0, &all)),
            (end.stdout.clone(), with_line(&end.stderr, usize::MAX, &all)),
        ] {
            let outcome = of(end.exit.clone(), &stdout, &stderr);
            // A code fault or a crash of another program is told in its own format, not by an infra phrase.
            assert_eq!(outcome.conclusion, expected, "{}: {}", end.name, outcome.proof.detail);
        }
    }
}

fn any_end() -> impl Strategy<Value = End> {
    (0..SUITE_ENDS.len()).prop_map(|index| SUITE_ENDS[index].clone())
}

fn any_phrase() -> impl Strategy<Value = Vec<u8>> {
    (0..PHRASES.len()).prop_map(|index| PHRASES[index].clone())
}

fn any_exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        any::<u8>().prop_map(|code| Exit::Exited { code }),
        (1..65_i32).prop_map(|signal| Exit::Signalled { signal, core: false }),
        Just(Exit::TimedOut { limit: Limit::Total, after: Duration::from_secs(1) }),
        Just(Exit::TimedOut { limit: Limit::Idle, after: Duration::from_secs(1) }),
        Just(Exit::Lost { reason: LostReason::Link }),
        Just(Exit::SpawnFailed(SpawnFailure { step: SpawnStep::Exec, errno: Some(2), subject: "x".to_owned() })),
    ]
}

/// Bytes made of lines that mean something, pieces of them, and noise.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any_phrase(),
        (any_end(), any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
            |(end, out, a, b)| {
                let text = if out { end.stdout } else { end.stderr };
                let (a, b) = (a.index(text.len() + 1), b.index(text.len() + 1));
                text[a.min(b)..a.max(b)].to_vec()
            }
        ),
        prop::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        Just(b"{\"Action\":\"fail\",\"Package\":\"p\"}".to_vec()),
        Just(b"1..18446744073709551615".to_vec()),
        Just(b"test result: ok. 18446744073709551615 passed; 18446744073709551615 failed; 0 ignored; 0 measured; 0 filtered out".to_vec()),
        Just(b"==== 18446744073709551615 passed, 18446744073709551615 failed, 18446744073709551615 skipped in 1.0s ====".to_vec()),
        Just(b"99999999999999999999 tests, 3 failures".to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        stdout in any_bytes(), stderr in any_bytes(), cuts in prop::collection::vec(1..97_usize, 1..9)
    ) {
        let mut reader = Reader::new(&EvidenceKind::Auto);
        let mut sizes = cuts.iter().cycle();
        for (stream, mut rest) in [(Stream::Stdout, stdout.as_slice()), (Stream::Stderr, stderr.as_slice())] {
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                reader.feed(stream, piece);
                rest = tail;
            }
        }
        prop_assert_eq!(reader.finish(), facts(&EvidenceKind::Auto, &stdout, &stderr));
    }

    #[test]
    fn a_known_phrase_never_changes_a_red_suite(
        end in any_end(), phrase in any_phrase(), place in any::<prop::sample::Index>(), out in any::<bool>()
    ) {
        let before = of(end.exit.clone(), &end.stdout, &end.stderr);
        let (mut stdout, mut stderr) = (end.stdout.clone(), end.stderr.clone());
        let text = if out { &mut stdout } else { &mut stderr };
        *text = with_line(text, place.index(text.len() + 1), &phrase);
        let after = of(end.exit.clone(), &stdout, &stderr);
        let shown = String::from_utf8_lossy(&phrase).into_owned();
        if before.rule == Rule::RedEvidence {
            prop_assert_eq!(after.conclusion, FAIL, "{} with `{}`: {}", end.name, shown, after.proof.detail);
        }
        if before.conclusion != PASS {
            prop_assert_ne!(after.conclusion, PASS, "{} with `{}`: {}", end.name, shown, after.proof.detail);
        }
    }

    #[test]
    fn a_pass_needs_a_green_summary_and_exit_0(exit in any_exit(), stdout in any_bytes(), stderr in any_bytes()) {
        let output = facts(&EvidenceKind::Auto, &stdout, &stderr);
        let outcome = judged(exit.clone(), EvidenceKind::Auto, output.clone());
        if outcome.conclusion == PASS {
            prop_assert_eq!(exit, Exit::Exited { code: 0 });
            prop_assert!(output.summaries.iter().any(|s| s.counts.passed > 0));
            prop_assert!(output.summaries.iter().all(|s| !s.counts.red()));
            prop_assert!(output.unfinished.is_empty());
        }
    }

    #[test]
    fn a_fail_needs_red_evidence_a_fault_or_a_crash(exit in any_exit(), stdout in any_bytes(), stderr in any_bytes()) {
        let output = facts(&EvidenceKind::Auto, &stdout, &stderr);
        let outcome = judged(exit.clone(), EvidenceKind::Auto, output.clone());
        if outcome.conclusion == FAIL {
            let red = output.summaries.iter().any(|s| s.counts.red());
            let crash_of_suite = !output.unfinished.is_empty();
            let proof = match outcome.rule {
                Rule::RedEvidence => red,
                Rule::CodeFault => !output.code_faults.is_empty(),
                Rule::TestCrash => !output.crashes.is_empty() || crash_of_suite,
                Rule::SuiteExit => matches!(exit, Exit::Exited { code } if code != 0) && !output.summaries.is_empty(),
                _ => false,
            };
            prop_assert!(proof, "{:?}", outcome);
            if let Exit::SpawnFailed(_) = exit {
                prop_assert!(false, "a command that never started cannot fail a test: {outcome:?}");
            }
        }
    }

    #[test]
    fn an_exit_map_passes_only_its_own_codes(exit in any_exit(), stdout in any_bytes(), stderr in any_bytes()) {
        let kind = EvidenceKind::ExitCode(ExitMap::default());
        let outcome = judged(exit.clone(), kind.clone(), facts(&kind, &stdout, &stderr));
        if outcome.conclusion == PASS {
            prop_assert_eq!(exit, Exit::Exited { code: 0 });
        }
    }

    #[test]
    fn a_declared_adapter_never_panics(
        index in 0..Adapter::ALL.len(), exit in any_exit(), stdout in any_bytes(), stderr in any_bytes()
    ) {
        let kind = EvidenceKind::Adapter(Adapter::ALL[index]);
        judged(exit, kind.clone(), facts(&kind, &stdout, &stderr));
    }

    #[test]
    fn no_bytes_make_the_report_reader_panic(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(prop::sample::select(vec![
            "<testsuite>", "</testsuite>", "<testsuites tests='1'>", "</testsuites>", "<testcase name='a'>", "</testcase>",
            "<testcase/>", "<failure>", "</failure>", "<error/>", "<skipped/>", "&lt;", "&x;", "<![CDATA[", "]]>", "<!--",
            "-->", "<?xml version='1.0'?>", "text", "<testsuite failures='99999999999999999999' errors='-1'>",
            "<testsuite failures='18446744073709551615' errors='18446744073709551615'>",
        ]), 0..30).prop_map(|pieces| pieces.concat().into_bytes()),
    ]) {
        if let ReportFound::Read { failing, .. } = junit::read(&bytes) {
            prop_assert!(failing.len() <= 20);
        }
    }
}

/// A name, and a report that grows with a number.
type Bomb = (&'static str, fn(usize) -> String);

/// Time that a report of `n` units takes, best of three.
fn time_of(make: impl Fn(usize) -> String, n: usize) -> Duration {
    let text = make(n);
    (0..3)
        .map(|_| {
            let begin = Instant::now();
            let _found = std::hint::black_box(junit::read(text.as_bytes()));
            begin.elapsed()
        })
        .min()
        .unwrap()
}

#[test]
fn reports_are_read_in_linear_time() {
    let bombs: [Bomb; 5] = [
        ("deep", |n| "<testsuite>".repeat(n)),
        ("wide", |n| format!("<testsuite>{}</testsuite>", "<testcase name='a'/>".repeat(n))),
        ("attributes", |n| {
            let all: String = (0..n).fold(String::new(), |all, i| format!("{all} a{i}='x'"));
            format!("<testsuite{all}/>")
        }),
        ("one long attribute", |n| format!("<testsuite><testcase name='{}'/></testsuite>", "&amp;".repeat(n))),
        ("failures", |n| format!("<testsuite><testcase>{}</testcase></testsuite>", "<failure>x</failure>".repeat(n))),
    ];
    for (name, make) in bombs {
        // Eight times the bytes: linear is 8, quadratic is 64; the floor keeps noise of tiny times out. A busy
        // machine can spoil a round, never all of them; what is quadratic is so in each.
        let linear = (0..8).any(|_| {
            let (small, large) = (time_of(make, 2_000), time_of(make, 16_000));
            large < small.max(Duration::from_millis(1)) * 32
        });
        assert!(linear, "{name}: eight times the bytes take more than 32 times as long");
    }
    assert!(matches!(junit::read("<testsuite>".repeat(1000).as_bytes()), ReportFound::Broken { .. }));
}

#[test]
fn the_reader_keeps_little_of_much() {
    let mut reader = Reader::new(&EvidenceKind::Auto);
    let lines =
        "FAILED test_a.py::test_b - assert 0\nok 1 - x\nnot ok 2 - y\n1..2\nbash: line 1: x: command not found\n";
    for _ in 0..2_000 {
        reader.feed(Stream::Stdout, lines.repeat(10).as_bytes());
    }
    let facts = reader.finish();
    let kept = serde_json::to_vec(&facts).unwrap().len();
    assert!(kept < 256 * 1024, "{kept} bytes of facts");
    assert_eq!(facts.summaries.iter().map(|s| s.counts.failed).sum::<u64>(), 20_000);
}

#[test]
fn reasons_of_holds_are_never_verdicts() {
    let outcome = of(Exit::Lost { reason: LostReason::Link }, b"1..2\nok 1\n", b"");
    assert_eq!((outcome.conclusion, outcome.reason), (Conclusion::TransientInfra, Reason::Lost));
}
