//! What holds for all bytes.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;

use orch::domain::artifact::{Artifact, Excerpt, SmokeResult, Work, words};
use orch::domain::evidence::Counts;
use orch::domain::id::{StageName, TaskName};
use orch::domain::outcome::Ruling;
use orch::domain::pipeline::{Gate, KeyGate};
use orch::domain::verdict::Verdict;
use orch::gate::{document, read};

use crate::{every_gate, files, gate_of, oracle};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Text that leans towards what could break out of a document.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "\\PC{0,8}",
        2 => any::<String>(),
        1 => Just("\n---\n".to_owned()),
        1 => Just("result: PASS\n".to_owned()),
        1 => Just("staging_status: SUCCESS\r\n".to_owned()),
        1 => "`{1,7}",
        1 => "~{3,5}",
        1 => Just(format!("<{}content>", '/')),
        1 => Just(format!("\n<{}invoke>\n", '/')),
        1 => Just("<tool_use>".to_owned()),
        1 => Just("\n<<<<<<< HEAD\n".to_owned()),
        1 => Just("\n## Empty\n\n## Next\n".to_owned()),
        1 => Just("|".to_owned()),
        1 => Just("\u{1b}[0m\u{202e}\u{2028}\u{85}\0".to_owned()),
        1 => "[\\\\\"'#: -]{1,4}",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Words that a pipeline may declare: printable, of any kind.
fn declared_words() -> impl Strategy<Value = Gate> {
    let word = prop_oneof!["[A-Z]{1,8}", "yes|no|true|null|1|~", "[ -~]{1,12}", "[a-zäß완✓ ]{1,6}"];
    proptest::collection::hash_set(word, 2..6).prop_map(|set| {
        let mut words: Vec<String> = set.into_iter().collect();
        words.sort();
        let fail = words.split_off(1);
        Gate::Key(KeyGate { key: "status".to_owned(), pass: words, fail })
    })
}

fn any_gate() -> impl Strategy<Value = Gate> {
    prop_oneof![Just(Gate::TestsPassed), Just(Gate::StagingStatus), Just(Gate::Approved), declared_words()]
}

fn any_ruling() -> impl Strategy<Value = Ruling> {
    prop_oneof![Just(Ruling::Pass), Just(Ruling::Fail)]
}

fn any_work() -> impl Strategy<Value = Work> {
    let counts = proptest::option::of((any::<u64>(), any::<u64>()).prop_map(|(passed, failed)| Counts {
        passed,
        failed,
        errors: failed,
        skipped: passed,
    }));
    let command = (proptest::collection::vec(hostile(), 0..4), hostile(), counts, any::<Duration>())
        .prop_map(|(argv, ended, counts, elapsed)| Work::Command { argv, ended, counts, elapsed });
    prop_oneof![command, hostile().prop_map(|by| Work::Approval { by })]
}

fn any_artifact() -> impl Strategy<Value = Artifact> {
    let smoke = (hostile(), hostile(), hostile(), proptest::option::of(any_ruling()))
        .prop_map(|(name, expected, got, ruling)| SmokeResult { name, expected, got, ruling });
    let excerpt = (hostile(), any::<u64>(), proptest::collection::vec(hostile(), 0..12))
        .prop_map(|(place, line, lines)| Excerpt { place, line, lines });
    let texts = (
        hostile(),
        any_work(),
        proptest::collection::vec(hostile(), 0..25),
        proptest::collection::vec(excerpt, 0..4),
        proptest::collection::vec(smoke, 0..4),
    );
    let seconds = -377_705_023_201_i64..=253_402_207_200;
    (any_gate(), any_ruling(), 1..=u32::MAX, seconds, texts).prop_map(
        |(gate, ruling, attempt, second, (reason, work, failing, excerpts, smoke))| Artifact {
            task: TaskName::new("t").unwrap(),
            stage: StageName::new("s").unwrap(),
            attempt: NonZeroU32::new(attempt).unwrap(),
            gate,
            ruling,
            reason,
            work,
            finished_at: jiff::Timestamp::from_second(second).unwrap_or_default(),
            failing,
            excerpts,
            smoke,
        },
    )
}

/// One change of a file: where (as a fraction of its length), and what.
#[derive(Debug, Clone)]
enum Change {
    Flip(u8),
    Insert(Vec<u8>),
    Remove(usize),
    DoubleLine,
    SwapLines,
    Cut,
}

fn any_change() -> impl Strategy<Value = (u32, Change)> {
    let token = prop_oneof![
        Just("---\n"),
        Just("result: PASS\n"),
        Just("result: FAIL\n"),
        Just("Result: FAIL\n"),
        Just("r\u{435}sult: FAIL\n"),
        Just("status: failed\n"),
        Just("failed: 3\n"),
        Just("\r\n"),
        Just("\r"),
        Just(" "),
        Just("\u{200b}"),
        Just("\u{feff}"),
        Just("# "),
        Just("\""),
        Just(": "),
        Just("\n"),
    ]
    .prop_map(|token| Change::Insert(token.as_bytes().to_vec()));
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Flip),
        proptest::collection::vec(any::<u8>(), 1..4).prop_map(Change::Insert),
        token,
        (1_usize..12).prop_map(Change::Remove),
        Just(Change::DoubleLine),
        Just(Change::SwapLines),
        Just(Change::Cut),
    ];
    (any::<u32>(), change)
}

fn changed(bytes: &[u8], at: u32, change: &Change) -> Vec<u8> {
    // Half of all changes hit the block, which stands at the start.
    let reach = if at.is_multiple_of(2) { bytes.len().min(80) } else { bytes.len() };
    let at = usize::try_from(at / 2).unwrap() % (reach + 1);
    let (before, after) = bytes.split_at(at);
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let line = (before.split(|byte| *byte == b'\n').count() - 1).min(lines.len().saturating_sub(1));
    match change {
        Change::Flip(mask) => {
            let mut flipped = bytes.to_vec();
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= mask;
            }
            flipped
        }
        Change::Insert(new) => [before, new, after].concat(),
        Change::Remove(count) => [before, after.get(*count..).unwrap_or_default()].concat(),
        Change::DoubleLine | Change::SwapLines if lines.is_empty() => Vec::new(),
        Change::DoubleLine => {
            lines.insert(line, lines[line]);
            lines.concat()
        }
        Change::SwapLines => {
            let other = (line + 1).min(lines.len() - 1);
            lines.swap(line, other);
            lines.concat()
        }
        Change::Cut => before.to_vec(),
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn whatever_is_rendered_reads_back_as_what_was_ruled(artifact in any_artifact()) {
        let bytes = artifact.render();
        prop_assert!(bytes.len() < orch::gate::ARTIFACT_MAX_BYTES);
        let reading = read(&artifact.gate, &bytes);
        let verdict = reading.as_ref().map(|reading| reading.verdict.as_str());
        prop_assert_eq!(verdict, Ok(artifact.ruling.as_str()), "{:?}\n{}", reading, String::from_utf8_lossy(&bytes));
        let fail = artifact.ruling == Ruling::Fail;
        prop_assert_eq!(reading.is_ok_and(|reading| !reading.findings.is_empty()), fail);
    }

    #[test]
    fn a_rendered_document_has_the_front_matter_of_its_ruling_alone(artifact in any_artifact()) {
        let bytes = artifact.render();
        let text = String::from_utf8(bytes).unwrap();
        let block: Vec<&str> = text.lines().skip(1).take_while(|line| *line != "---").collect();
        let expected: Vec<&str> = words(&artifact.gate, artifact.ruling).into_iter().map(|(key, _)| key).collect();
        let keys: Vec<&str> = block.iter().filter_map(|line| line.split(':').next()).collect();
        prop_assert_eq!(keys, expected);
        prop_assert_eq!(artifact.render(), text.into_bytes());
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for gate in every_gate() {
            let answer = read(&gate, &bytes);
            prop_assert_eq!(&answer, &read(&gate, &bytes));
            prop_assert!(answer.is_err());
        }
    }

    #[test]
    fn any_text_after_a_fence_has_an_answer(text in hostile(), line_end in "\n|\r\n") {
        for gate in every_gate() {
            let bytes = format!("---{line_end}{text}{line_end}---{line_end}{text}");
            let answer = read(&gate, bytes.as_bytes());
            let document = document(gate.as_str(), &answer);
            prop_assert_eq!(document["verdict"].is_null(), answer.is_err());
            prop_assert_eq!(document["unreadable"].is_null(), answer.is_ok());
        }
    }
}

proptest! {
    #![proptest_config(config(6000))]

    #[test]
    fn a_changed_file_that_still_opens_is_one_the_oracle_accepts(
        pick in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(any_change(), 1..4),
    ) {
        let (name, mut bytes) = pick.get(&SOURCES).clone();
        for (at, change) in &changes {
            bytes = changed(&bytes, *at, change);
        }
        let gate = gate_of(&name);
        if let (Ok(reading), Some(words)) = (read(&gate, &bytes), oracle::Words::of(&gate))
            && reading.verdict == Verdict::Pass
        {
            prop_assert!(oracle::may_open(&words, &bytes), "{}: {:?}", name, String::from_utf8_lossy(&bytes));
        }
    }
}

/// Files that read well, to be changed.
static SOURCES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let mut all = files("opens");
    all.extend(files("fails"));
    all.extend(files("golden").into_iter().filter(|(name, _)| name.starts_with('1')));
    all
});
