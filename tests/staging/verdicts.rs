//! One map from what was seen to an artifact's words, for the test-runner and the staging-runner alike (row B4).

use std::fmt::Write as _;

use orch::classify::{Reader, classify};
use orch::domain::artifact::words;
use orch::domain::channel::{Began, ChannelFacts, ChannelFault, RemoteEnd, RemoteExit};
use orch::domain::evidence::{Declared, Evidence, Exit, LostReason, Stream};
use orch::domain::id::AttemptId;
use orch::domain::outcome::Conclusion;
use orch::domain::pipeline::{EvidenceKind, Gate};

/// What a suite may print.
const SAID: [(&str, &str); 4] = [
    ("green", "3 checks, 0 failed\n"),
    ("red", "3 checks, 1 failed\n"),
    ("no checks", "0 checks, 0 failed\n"),
    ("nothing", ""),
];

/// How it may end.
fn ends() -> Vec<(&'static str, Exit)> {
    let exited = |code| Exit::Exited { code };
    let signalled = |signal| Exit::Signalled { signal, core: false };
    vec![
        ("0", exited(0)),
        ("1", exited(1)),
        ("75", exited(75)),
        ("126", exited(126)),
        ("127", exited(127)),
        ("255", exited(255)),
        ("SIGKILL", signalled(9)),
        ("lost", Exit::Lost { reason: LostReason::Link }),
    ]
}

/// What was seen of the way, where the suite ran on another host and ended so.
fn way(exit: &Exit) -> ChannelFacts {
    let how = match exit {
        Exit::Exited { code } => Some(RemoteExit::Exited(*code)),
        Exit::Signalled { signal, .. } => Some(RemoteExit::Signalled(u8::try_from(*signal).unwrap())),
        Exit::TimedOut { .. }
        | Exit::Cancelled { .. }
        | Exit::SpawnFailed(_)
        | Exit::Lost { .. }
        | Exit::Answered(_) => None,
    };
    ChannelFacts {
        may_have_begun: true,
        began: Some(Began { session: 7 }),
        ended: how.map(|how| RemoteEnd { how, stdout: 0, stderr: 0, leaked: 0, expired: false, cut: false }),
        fault: how.is_none().then(|| ChannelFault::LinkLost("Connection to h closed by remote host.".to_owned())),
        ..ChannelFacts::new("h".to_owned(), AttemptId::new(uuid::Uuid::nil()))
    }
}

fn told(exit: &Exit, said: &str, channel: Option<ChannelFacts>, gate: &Gate) -> String {
    let kind = EvidenceKind::ClosingLine(r"(?P<total>\d+) checks, (?P<failed>\d+) failed".to_owned());
    let mut reader = Reader::new(&kind);
    reader.feed(Stream::Stdout, said.as_bytes());
    let evidence = Evidence {
        exit: channel.as_ref().map_or_else(|| exit.clone(), |facts| facts.exit(&Exit::Exited { code: 0 })),
        declared: Declared { evidence: kind, ..Declared::default() },
        output: reader.finish(),
        reports: Vec::new(),
        control: None,
        tree: None,
        smoke: Vec::new(),
        agent: None,
        channel,
        damage: None,
    };
    let outcome = classify(&evidence).expect("not cancelled");
    match outcome.conclusion {
        Conclusion::SuiteRan(ruling) => {
            words(gate, ruling).iter().map(|(key, word)| format!("{key}: {word}")).collect::<Vec<_>>().join(", ")
        }
        Conclusion::AgentRan => "an agent's".to_owned(),
        Conclusion::PermanentEnv | Conclusion::TransientInfra => format!("none ({})", outcome.conclusion.class()),
    }
}

#[test]
fn the_verdict_map_of_both_runners() {
    let mut table = String::new();
    for (said, text) in SAID {
        for (name, exit) in ends() {
            let here = told(&exit, text, None, &Gate::TestsPassed);
            let there = told(&exit, text, Some(way(&exit)), &Gate::StagingStatus);
            // One map: where one of them has a word, the other has the same one in its own key.
            let sense = |told: &str| [told.contains("PASS") || told.contains("SUCCESS"), told.contains("FAIL")];
            assert_eq!(sense(&here), sense(&there), "{said}, {name}: {here} | {there}");
            writeln!(table, "{said:<10} {name:<8} {here:<56} {there}").unwrap();
        }
    }
    crate::support::golden("tests/staging/verdicts.txt", &table);
}
