//! A suite that ran and failed always counts: whatever else stands in the evidence.

use std::time::Duration;

use proptest::prelude::*;

use orch::classify::{classify, classify_suite};
use orch::domain::control::{Control, ControlRun};
use orch::domain::decision::Settlement;
use orch::domain::evidence::{
    Canceller, Counts, Declared, Evidence, Exit, FaultKind, Limit, LogSpan, LostReason, OutputFacts, ReportFacts,
    ReportFound, Sighting, Signature, SpawnFailure, SpawnStep, Stream, Summary, SummarySource, TreeFacts,
};
use orch::domain::id::{AttemptId, Digest, RunId};
use orch::domain::outcome::{Conclusion, Reason, Rule, Ruling};
use orch::domain::pipeline::{Adapter, EvidenceKind, ExitMap, OnTimeout, ReportKind};
use orch::domain::smoke::{SmokeFacts, SmokeSeen, SmokeSense};
use orch::domain::verdict::Verdict;
use orch::engine::{GateAnswer, settle};

use crate::build::unreadable;

fn counts(red: bool) -> impl Strategy<Value = Counts> {
    let lot = prop_oneof![Just(0_u64), 1..5_u64, Just(u64::MAX)];
    let reds = prop_oneof![(1..4_u64, 0..4_u64), (0..4_u64, 1..4_u64)];
    (lot.clone(), reds, lot).prop_map(move |(passed, (failed, errors), skipped)| {
        let (failed, errors) = if red { (failed, errors) } else { (0, 0) };
        Counts { passed, failed, errors, skipped }
    })
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)]
}

fn sighting() -> impl Strategy<Value = Sighting> {
    let text = prop_oneof![
        Just("Cannot connect to the Docker daemon".to_owned()),
        Just("client_loop: send disconnect: Broken pipe".to_owned()),
        Just("OSError: [Errno 28] No space left on device".to_owned()),
        "\\PC{0,20}",
    ];
    (stream(), 1..200_u64, text).prop_map(|(stream, line, text)| Sighting {
        tool: "tool".to_owned(),
        stream,
        line,
        text,
    })
}

fn summary(red: bool) -> impl Strategy<Value = Summary> {
    let adapter = proptest::sample::select(Adapter::ALL.to_vec()).prop_map(SummarySource::Adapter);
    let source = prop_oneof![4 => adapter, 1 => Just(SummarySource::ClosingLine)];
    (source, counts(red), sighting()).prop_map(|(source, counts, at)| Summary { source, counts, at })
}

fn report(red: bool) -> impl Strategy<Value = ReportFacts> {
    let read = counts(red).prop_map(|counts| ReportFound::Read {
        counts,
        digest: Digest::of(b"report"),
        failing: vec!["test_pay".to_owned()],
    });
    let other = proptest::sample::select(vec![
        ReportFound::Missing,
        ReportFound::Stale,
        ReportFound::Broken { why: "cut".to_owned() },
        ReportFound::LeftBehind,
        ReportFound::Removed,
    ]);
    let found = if red { read.boxed() } else { prop_oneof![read, other].boxed() };
    found.prop_map(|found| ReportFacts { kind: ReportKind::Junit, path: "r.xml".to_owned(), found })
}

/// Ends after which a suite may have spoken.
fn ended() -> impl Strategy<Value = Exit> {
    let after = Duration::from_secs(1);
    let limits = [Limit::Total, Limit::Idle, Limit::Start].map(|limit| Exit::TimedOut { limit, after });
    let lost = [LostReason::SupervisorDied, LostReason::Reboot, LostReason::BadRecord, LostReason::Link]
        .map(|reason| Exit::Lost { reason });
    prop_oneof![
        4 => any::<u8>().prop_map(|code| Exit::Exited { code }),
        1 => proptest::sample::select(vec![1, 2, 6, 9, 11, 15]).prop_map(|signal| Exit::Signalled { signal, core: false }),
        1 => proptest::sample::select(limits.to_vec()),
        1 => proptest::sample::select(lost.to_vec()),
    ]
}

/// Ends without a word of the suite.
fn never_ran() -> impl Strategy<Value = Exit> {
    let failed = |errno| Exit::SpawnFailed(SpawnFailure { step: SpawnStep::Exec, errno, subject: "run".to_owned() });
    prop_oneof![
        Just(Exit::Cancelled { by: Canceller::Request }),
        proptest::sample::select(vec![None, Some(2), Some(13), Some(8), Some(11), Some(12)]).prop_map(failed),
        Just(Exit::Lost { reason: LostReason::NeverStarted }),
    ]
}

fn declared() -> impl Strategy<Value = Declared> {
    let evidence = prop_oneof![
        Just(EvidenceKind::Auto),
        proptest::sample::select(Adapter::ALL.to_vec()).prop_map(EvidenceKind::Adapter),
        Just(EvidenceKind::ClosingLine("(?P<failed>\\d+) failed".to_owned())),
        Just(EvidenceKind::ExitCode(ExitMap::default())),
        Just(EvidenceKind::ExitCode(ExitMap { pass: vec![0, 1, 101, 255], fail: vec![] })),
    ];
    (evidence, 0..3_u64, any::<bool>()).prop_map(|(evidence, min_tests, fail)| Declared {
        evidence,
        min_tests,
        on_timeout: if fail { OnTimeout::Fail } else { OnTimeout::Hold },
    })
}

fn tree() -> impl Strategy<Value = Option<TreeFacts>> {
    proptest::option::of(any::<bool>().prop_map(|changed| TreeFacts {
        before: Digest::of(b"before"),
        after: Digest::of(if changed { b"changed" } else { b"before" }),
        left: Digest::of(b"left"),
        changed: if changed { vec!["a.py".to_owned()] } else { Vec::new() },
        added: Vec::new(),
    }))
}

prop_compose! {
    fn output()(
        greens in proptest::collection::vec(summary(false), 0..3),
        unfinished in proptest::collection::vec(sighting(), 0..2),
        code_faults in proptest::collection::vec(sighting(), 0..2),
        crashes in proptest::collection::vec(sighting(), 0..2),
        signatures in proptest::collection::vec((sighting(), any::<bool>(), 0..5_usize), 0..4),
        incomplete in any::<bool>(),
    ) -> OutputFacts {
        let signature = |(at, permanent, pattern): (Sighting, bool, usize)| Signature {
            pattern: ["docker-daemon", "ssh-cut", "disk-full", "oom", "dns"][pattern].to_owned(),
            fault: if permanent { FaultKind::Permanent } else { FaultKind::Transient },
            at,
        };
        OutputFacts {
            summaries: greens,
            unfinished,
            code_faults,
            crashes,
            signatures: signatures.into_iter().map(signature).collect(),
            stdout_bytes: 10,
            stderr_bytes: 10,
            incomplete,
            stderr_tail: String::new(),
        }
    }
}

/// What smoke checks may have seen, at least one of them.
fn smoke() -> impl Strategy<Value = Vec<SmokeFacts>> {
    let why = || "why".to_owned();
    let seen = prop_oneof![
        4 => proptest::sample::select(vec![200, 204, 302, 404, 500, 502, 503, 504]).prop_map(|status| SmokeSeen::Answered { status }),
        3 => proptest::sample::select(vec![
            SmokeSeen::NotHttp { why: why() },
            SmokeSeen::Refused,
            SmokeSeen::TimedOut,
            SmokeSeen::NoAddress { why: why() },
            SmokeSeen::Broken { why: why() },
            SmokeSeen::Tls { why: why() },
            SmokeSeen::Other { why: why() },
            SmokeSeen::NotMade,
        ]),
    ];
    let check = (seen, proptest::sample::select(vec![200, 503])).prop_map(|(seen, expect)| SmokeFacts {
        get: "http://127.0.0.1/health".to_owned(),
        expect,
        seen,
        elapsed: Duration::from_millis(7),
    });
    proptest::collection::vec(check, 1..5)
}

/// Evidence with a green summary and nothing beside it: a suite that passed.
fn green_evidence() -> impl Strategy<Value = Evidence> {
    (summary(false), smoke()).prop_map(|(summary, smoke)| Evidence {
        output: OutputFacts { summaries: vec![summary], ..OutputFacts::default() },
        smoke,
        ..Evidence::of(Exit::Exited { code: 0 }, Declared { min_tests: 0, ..Declared::default() })
    })
}

/// Every answer of a control run, and none.
fn controls() -> impl Strategy<Value = Option<Control>> {
    let run = || {
        Box::new(ControlRun {
            commit: "b".repeat(40),
            id: AttemptId::new(uuid::Uuid::from_u128(7)),
            run: RunId::new(uuid::Uuid::from_u128(8)),
            exit: Exit::Exited { code: 3 },
            reason: None,
            detail: "exit code 3".to_owned(),
            elapsed: Duration::from_millis(7),
            stdout: LogSpan::default(),
            stderr: LogSpan::default(),
            shared: false,
        })
    };
    proptest::sample::select(vec![
        None,
        Some(Control::BaseCannotRun { base: run() }),
        Some(Control::BaseRuns { base: run(), change: run() }),
        Some(Control::Unsteady { base: run(), change: run() }),
        Some(Control::Refused { why: "dirty".to_owned() }),
    ])
}

prop_compose! {
    fn evidence(exits: impl Strategy<Value = Exit>)(
        exit in exits,
        declared in declared(),
        output in output(),
        reports in proptest::collection::vec(report(false), 0..3),
        control in controls(),
        tree in tree(),
        smoke in prop_oneof![Just(Vec::new()), smoke()],
    ) -> Evidence {
        Evidence { exit, declared, output, reports, control, tree, smoke, agent: None, channel: None, damage: None }
    }
}

/// Evidence with a red summary or a red report somewhere in it.
fn red_evidence() -> impl Strategy<Value = Evidence> {
    (evidence(ended()), proptest::option::of(summary(true)), report(true), any::<prop::sample::Index>()).prop_map(
        |(mut evidence, red, report, place)| {
            match red {
                Some(red) => evidence.output.summaries.insert(place.index(evidence.output.summaries.len() + 1), red),
                None => evidence.reports.insert(place.index(evidence.reports.len() + 1), report),
            }
            evidence
        },
    )
}

fn any_gate() -> impl Strategy<Value = GateAnswer> {
    proptest::sample::select(vec![
        GateAnswer::NoGate,
        GateAnswer::Read(Verdict::Pass, Vec::new()),
        GateAnswer::Read(Verdict::Fail, vec!["test_pay".to_owned()]),
        GateAnswer::Unreadable(unreadable()),
    ])
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn red_evidence_always_counts(evidence in red_evidence(), gate in any_gate()) {
        let outcome = classify(&evidence).unwrap();
        prop_assert_eq!(outcome.conclusion, Conclusion::SuiteRan(Ruling::Fail), "{:?}", outcome);
        let settlement = settle(&evidence, Some(&outcome), gate);
        prop_assert!(matches!(settlement, Settlement::Failed(_) | Settlement::Unreadable(_)), "{settlement:?}");
    }

    #[test]
    fn what_did_not_run_gives_no_verdict(evidence in evidence(never_ran()), gate in any_gate()) {
        let mut silent = evidence;
        silent.output = OutputFacts { signatures: silent.output.signatures, ..OutputFacts::default() };
        silent.reports.clear();
        let outcome = classify(&silent);
        let settlement = settle(&silent, outcome.as_ref(), gate);
        prop_assert!(!matches!(settlement, Settlement::Passed | Settlement::Failed(_) | Settlement::Unreadable(_)));
    }

    /// A pass needs exit 0 or a declared code, no red, an unchanged tree, and a gate that says so.
    #[test]
    fn a_pass_is_proven(evidence in prop_oneof![evidence(ended()), red_evidence()], gate in any_gate()) {
        let outcome = classify(&evidence);
        if settle(&evidence, outcome.as_ref(), gate.clone()) == Settlement::Passed {
            let well = match (&evidence.declared.evidence, &evidence.exit) {
                (EvidenceKind::ExitCode(map), Exit::Exited { code }) => *code == 0 || map.pass.contains(code),
                (_, exit) => *exit == Exit::Exited { code: 0 },
            };
            prop_assert!(well);
            prop_assert!(!evidence.output.summaries.iter().any(|summary| summary.counts.red()));
            prop_assert!(evidence.tree.as_ref().is_none_or(|tree| !tree.was_changed()));
            prop_assert!(matches!(gate, GateAnswer::NoGate | GateAnswer::Read(Verdict::Pass, _)));
        }
    }

    /// Smoke checks take a pass away and do nothing else (row B5).
    #[test]
    fn smoke_checks_only_take_a_pass_away(
        evidence in prop_oneof![evidence(ended()), red_evidence(), evidence(never_ran()), green_evidence()],
    ) {
        let before = classify(&Evidence { smoke: Vec::new(), ..evidence.clone() });
        let after = classify(&evidence);
        prop_assert_eq!(classify_suite(&evidence), before.clone());
        if before.as_ref().is_none_or(|before| before.conclusion != Conclusion::SuiteRan(Ruling::Pass)) {
            prop_assert_eq!(before, after);
        }
    }

    /// A pass needs the wanted answer of every check; one wrong answer is a fail, and no answer is none.
    #[test]
    fn a_suite_that_passed_is_what_its_checks_say(evidence in green_evidence()) {
        let suite = classify_suite(&evidence).unwrap();
        prop_assert_eq!(suite.conclusion, Conclusion::SuiteRan(Ruling::Pass), "{:?}", suite);
        let has = |sense| evidence.smoke.iter().any(|check| check.sense() == sense);
        let expected = if has(SmokeSense::Wrong) {
            (Conclusion::SuiteRan(Ruling::Fail), Reason::SmokeFailed)
        } else if has(SmokeSense::Untrusted) {
            (Conclusion::PermanentEnv, Reason::SmokeTls)
        } else if has(SmokeSense::Unreachable) {
            (Conclusion::TransientInfra, Reason::SmokeUnreachable)
        } else {
            (Conclusion::SuiteRan(Ruling::Pass), suite.reason)
        };
        let outcome = classify(&evidence).unwrap();
        prop_assert_eq!((outcome.conclusion, outcome.reason), expected);
        prop_assert_eq!(outcome.proof.counts, suite.proof.counts, "the tests stay counted");
        if expected.0 != suite.conclusion {
            prop_assert_eq!(outcome.rule, Rule::SmokeCheck);
        }
    }

    /// Words are no evidence: what a suite prints of the infrastructure changes no verdict (row C24).
    #[test]
    fn infra_words_change_no_verdict(evidence in red_evidence(), more in proptest::collection::vec(sighting(), 1..4)) {
        let before = classify(&evidence).unwrap();
        let mut louder = evidence;
        louder.output.signatures.extend(more.into_iter().map(|at| Signature {
            pattern: "docker-daemon".to_owned(),
            fault: FaultKind::Transient,
            at,
        }));
        prop_assert_eq!(before.conclusion, classify(&louder).unwrap().conclusion);
    }
}
