//! Real files beside what is expected of them.

use orch::domain::pipeline::Gate;
use orch::domain::verdict::{UnreadableReason, Verdict};
use orch::gate::{ARTIFACT_MAX_BYTES, Reading, read};

use crate::{every_gate, files, folder, gate_of, oracle};

/// The reasons a gate itself can give; the others belong to whoever opens the file.
const REASONS: [UnreadableReason; 12] = [
    UnreadableReason::NotText,
    UnreadableReason::NoFrontMatter,
    UnreadableReason::Unclosed,
    UnreadableReason::BadLine,
    UnreadableReason::DuplicateKey,
    UnreadableReason::LookalikeKey,
    UnreadableReason::NoKey,
    UnreadableReason::UnknownValue,
    UnreadableReason::Contradiction,
    UnreadableReason::SecondBlock,
    UnreadableReason::Unfinished,
    UnreadableReason::TooLarge, // made below; a repository has better things to carry
];

#[test]
fn nothing_in_the_corpus_opens_a_gate_and_each_file_has_its_reason() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for reason in REASONS.into_iter().filter(|reason| *reason != UnreadableReason::TooLarge) {
        for (name, bytes) in files(&format!("must-not-open/{}", reason.as_str())) {
            count += 1;
            match read(&gate_of(&name), &bytes) {
                Err(why) if why.reason == reason => {
                    let lines = u32::try_from(bytes.split(|byte| *byte == b'\n').count()).unwrap();
                    assert!(why.line.is_none_or(|line| (1..=lines).contains(&line)), "{name}: {why:?}");
                    assert!(!why.detail.contains('\n') && !why.detail.is_empty(), "{name}: {why:?}");
                }
                other => wrong.push(format!("{}/{name}: {other:?}", reason.as_str())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 120, "only {count} files");
}

#[test]
fn nothing_in_the_corpus_opens_any_other_gate() {
    for reason in REASONS.into_iter().filter(|reason| *reason != UnreadableReason::TooLarge) {
        for (name, bytes) in files(&format!("must-not-open/{}", reason.as_str())) {
            for gate in every_gate() {
                let opened = matches!(read(&gate, &bytes), Ok(Reading { verdict: Verdict::Pass, .. }));
                // Two files are another gate's own pass, put here to show that the wrong gate does not take them.
                let own = matches!(
                    (name.as_str(), &gate),
                    ("13-staging-log.md", Gate::StagingStatus) | ("15-tests-report.md", Gate::TestsPassed)
                );
                assert_eq!(opened, own, "{name} under {}", gate.as_str());
            }
        }
    }
}

#[test]
fn every_folder_of_the_corpus_is_a_reason() {
    for entry in std::fs::read_dir(folder("must-not-open")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(REASONS.iter().any(|reason| reason.as_str() == name), "{name}");
    }
}

#[test]
fn good_reports_are_read() {
    let check = |name: &str, expected: Verdict, at_least: usize| {
        let all = files(name);
        assert!(all.len() >= at_least, "{name}");
        for (file, bytes) in all {
            let reading = read(&gate_of(&file), &bytes);
            assert_eq!(reading.as_ref().map(|r| &r.verdict), Ok(&expected), "{name}/{file}: {reading:?}");
        }
    };
    check("opens", Verdict::Pass, 20);
    check("fails", Verdict::Fail, 10);
}

#[test]
fn the_oracle_agrees_about_every_file() {
    for (name, bytes) in files("opens") {
        if let Some(words) = oracle::Words::of(&gate_of(&name)) {
            assert!(oracle::may_open(&words, &bytes), "{name}");
        }
    }
    for (name, bytes) in files("fails") {
        if let Some(words) = oracle::Words::of(&gate_of(&name)) {
            assert!(!oracle::may_open(&words, &bytes), "{name}");
        }
    }
}

#[test]
fn failures_are_handed_on() {
    let (_, bytes) = files("fails").into_iter().find(|(name, _)| name == "13-only-result.md").unwrap();
    assert_eq!(read(&Gate::TestsPassed, &bytes).unwrap().findings, ["- login::rejects_empty_password"]);
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let check = |bytes: &[u8], reason| {
        let why = read(&Gate::TestsPassed, bytes).unwrap_err();
        assert_eq!(why.reason, reason);
    };
    let padded = |length: usize| {
        let mut bytes = b"---\nresult: PASS\n---\n".to_vec();
        bytes.resize(length, b'x');
        bytes
    };
    check(&padded(ARTIFACT_MAX_BYTES + 1), UnreadableReason::TooLarge);
    assert_eq!(read(&Gate::TestsPassed, &padded(ARTIFACT_MAX_BYTES)).unwrap().verdict, Verdict::Pass);
    check(&vec![b'-'; 100_000_000], UnreadableReason::TooLarge);
    check(&[b"---\n", "[".repeat(100_000).as_bytes()].concat(), UnreadableReason::Unclosed);
    check(&[b"---\n", "[".repeat(60_000).as_bytes(), b"\n---\n"].concat(), UnreadableReason::BadLine);
    check(&vec![b'\n'; ARTIFACT_MAX_BYTES], UnreadableReason::NoFrontMatter);
}
