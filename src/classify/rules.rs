//! The ordered rules: evidence → outcome. The first that applies decides; each is one function with its number.
//!
//! Evidence stands above words, and words above bare exit codes. Without proof nothing is green and nothing is
//! the code's fault.

use crate::domain::control::Control;
use crate::domain::evidence::{
    Answer, Counts, Evidence, Exit, FaultKind, Limit, ReportFound, Sighting, Signature, SpawnStep, Stream, Summary,
};
use crate::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule, Ruling};
use crate::domain::pipeline::{EvidenceKind, ExitMap, OnTimeout};

use super::agent;
use super::channel;
use super::errno::{errno_name, may_pass, signal_name};
use super::proof::{outcome, plain, seen, shown_duration, source_name, told};
use super::reader::SUITE_KILLED;
use super::signatures::{is_closed_door, is_cut_link, is_resource, is_weak, telling};
use super::smoke;
use super::tally::{counts, own_failing_code, unusable};

const PASS: Conclusion = Conclusion::SuiteRan(Ruling::Pass);
const FAIL: Conclusion = Conclusion::SuiteRan(Ruling::Fail);

/// How many lines at the end of stderr are its last words (rule 7b).
const LAST_WORDS_LINES: usize = 3;

/// Classifies an attempt's end; `None` for one that was cancelled, which has no outcome (rule 0).
pub fn classify(evidence: &Evidence) -> Option<Outcome> {
    classify_suite(evidence).map(|suite| smoke::beside(suite, &evidence.smoke))
}

/// Classifies the suite's own end (rules 0 to 11), whatever the smoke checks saw.
pub fn classify_suite(evidence: &Evidence) -> Option<Outcome> {
    if matches!(evidence.exit, Exit::Cancelled { .. }) {
        return None;
    }
    if let Exit::Answered(answer) = &evidence.exit {
        return Some(answered(answer));
    }
    let case = Case::new(evidence);
    if let Some(facts) = &evidence.agent {
        let ended = case.spawn_errno().or_else(|| agent::ended(evidence, facts)).or_else(|| case.killed());
        return Some(ended.unwrap_or_else(|| case.no_proof()));
    }
    let outcome = case
        .spawn_errno()
        .or_else(|| case.red_evidence())
        .or_else(|| case.code_fault())
        .or_else(|| case.test_crash())
        .or_else(|| evidence.channel.as_ref().and_then(channel::classify))
        .or_else(|| case.channel_broke())
        .or_else(|| case.killed())
        .or_else(|| case.green_evidence())
        .or_else(|| case.suite_exit())
        .or_else(|| case.nothing_ran())
        .or_else(|| case.signature())
        .or_else(|| case.code_alone())
        .unwrap_or_else(|| case.no_proof());
    Some(outcome)
}

/// A person's word is a verdict on what the person was asked, and on nothing else.
fn answered(answer: &Answer) -> Outcome {
    let (conclusion, reason, word) =
        if answer.approved { (PASS, Reason::Approved, "approved") } else { (FAIL, Reason::Rejected, "rejected") };
    let why = if answer.why.is_empty() { String::new() } else { format!(": {}", answer.why) };
    let proof = Proof {
        detail: format!("{word} by {}{why}", answer.by),
        source: Some("person".to_owned()),
        ..Proof::default()
    };
    outcome(conclusion, reason, Rule::Answer, proof)
}

/// The evidence with what several rules ask of it.
struct Case<'a> {
    evidence: &'a Evidence,
    /// Most tests that any one source counts, and the sum of everything red.
    counts: Option<Counts>,
}

/// The number of "permission denied" in errno(3).
const EACCES: i32 = 13;

impl<'a> Case<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        Self { evidence, counts: counts(evidence) }
    }

    const fn code(&self) -> Option<u8> {
        match self.evidence.exit {
            Exit::Exited { code } => Some(code),
            Exit::Signalled { .. }
            | Exit::TimedOut { .. }
            | Exit::Cancelled { .. }
            | Exit::SpawnFailed(_)
            | Exit::Answered(_)
            | Exit::Lost { .. } => None,
        }
    }

    fn exit_map(&self) -> Option<&'a ExitMap> {
        match &self.evidence.declared.evidence {
            EvidenceKind::ExitCode(map) => Some(map),
            EvidenceKind::Auto | EvidenceKind::Adapter(_) | EvidenceKind::ClosingLine(_) => None,
        }
    }

    /// Green, complete, and enough of it.
    fn green(&self) -> Option<Counts> {
        let counts = self.counts.filter(|counts| !counts.red() && counts.ran() >= self.evidence.declared.min_tests)?;
        self.gaps().is_none().then_some(counts)
    }

    /// What keeps green evidence from being complete.
    fn gaps(&self) -> Option<(Reason, String, Option<&'a Sighting>)> {
        if let Some(report) = self.evidence.reports.iter().find_map(unusable) {
            return Some((Reason::ReportUnusable, report, None));
        }
        if let Some(at) = self.evidence.output.unfinished.first() {
            return Some((
                Reason::NoEvidence,
                format!("a part of the suite began and did not reach its end: `{}`", at.text),
                Some(at),
            ));
        }
        self.evidence.output.incomplete.then(|| {
            (
                Reason::OutputIncomplete,
                "part of the output was not kept, so a failure may be missing from it".to_owned(),
                None,
            )
        })
    }

    /// Whether the declared exit map says that this code is a pass.
    fn passes_by_contract(&self) -> bool {
        self.code().zip(self.exit_map()).is_some_and(|(code, map)| map.pass.contains(&code))
    }

    /// Whether a complete green suite and exit 0 were delivered.
    fn passed(&self) -> bool {
        self.code() == Some(0) && self.green().is_some()
    }

    /// Whether the command began and its end was seen, where it ran on another host: over a link that is frozen a limit
    /// passes that the command itself may have kept.
    fn seen_to_be_over(&self) -> bool {
        self.evidence.channel.as_ref().is_none_or(|facts| facts.began.is_some() && facts.ended.is_some())
    }

    fn last_summary(&self) -> Option<&'a Summary> {
        self.evidence.output.summaries.last()
    }

    // 1 ------------------------------------------------------------------------------------------------------
    fn spawn_errno(&self) -> Option<Outcome> {
        let Exit::SpawnFailed(failure) = &self.evidence.exit else { return None };
        let cause = failure.errno.map_or_else(|| "not found".to_owned(), errno_name);
        let is_there = failure.step == SpawnStep::Find && failure.errno == Some(EACCES);
        let step = match failure.step {
            SpawnStep::Find if is_there => "the program cannot be executed",
            SpawnStep::Cwd => "the working folder cannot be used",
            SpawnStep::Find => "the program cannot be found",
            SpawnStep::Output => "its output cannot be connected",
            SpawnStep::Input => "the file of its standard input cannot be opened",
            SpawnStep::Contain => "the stage requires containment, which cannot be put in force here",
            SpawnStep::Fork => "no process could be made for it",
            SpawnStep::Exec => "the program cannot be executed",
            SpawnStep::Supervisor => "the supervisor cannot be started",
        };
        let (conclusion, reason) = if failure.errno.is_some_and(may_pass) {
            (Conclusion::TransientInfra, Reason::SpawnResources)
        } else {
            (Conclusion::PermanentEnv, Reason::SpawnFailed)
        };
        let hint = match (failure.step, failure.errno) {
            (SpawnStep::Find, Some(EACCES)) => {
                "; it is there, and is a folder or nobody may execute it: `chmod +x` helps where it is a program"
            }
            (SpawnStep::Exec, Some(2)) => "; the file is there, so the interpreter in its first line (`#!`) is missing",
            (SpawnStep::Exec, Some(8)) => "; a script needs a first line such as `#!/bin/sh`",
            _ => "",
        };
        let detail = format!("{step}: `{}`: {cause}{hint}", failure.subject);
        Some(outcome(
            conclusion,
            reason,
            Rule::SpawnErrno,
            Proof { detail, source: Some("errno".to_owned()), ..Proof::default() },
        ))
    }

    // 2 ------------------------------------------------------------------------------------------------------
    fn red_evidence(&self) -> Option<Outcome> {
        for report in &self.evidence.reports {
            if let ReportFound::Read { counts, failing, .. } = &report.found
                && counts.red()
            {
                let named = failing.first().map(|name| format!(", first `{name}`")).unwrap_or_default();
                let proof = Proof {
                    detail: format!("the report says {}{named}", told(*counts)),
                    source: Some("junit".to_owned()),
                    place: Some(report.path.clone()),
                    counts: Some(*counts),
                    ..Proof::default()
                };
                return Some(outcome(FAIL, Reason::TestsFailed, Rule::RedEvidence, proof));
            }
        }
        let red = self.evidence.output.summaries.iter().find(|summary| summary.counts.red())?;
        let detail = format!("{} says {}", source_name(&red.source), told(red.counts));
        Some(outcome(
            FAIL,
            Reason::TestsFailed,
            Rule::RedEvidence,
            Proof { counts: self.counts.or(Some(red.counts)), ..seen(&red.at, detail) },
        ))
    }

    // 3 ------------------------------------------------------------------------------------------------------
    fn code_fault(&self) -> Option<Outcome> {
        if self.passes_by_contract() {
            return None;
        }
        let output = &self.evidence.output;
        // A green suite with exit 0 knows better than a text it printed; but cargo's own refusal to build another
        // part of the stage is not taken back by the part that ran before.
        let passed = self.passed();
        // With another exit code, what ran green still knows better than texts, but not than a build that follows.
        let green = self.green().is_some_and(|counts| counts.ran() > 0);
        let counts = |tool: &str| match (passed, green) {
            (true, _) => tool == "cargo",
            (false, true) => matches!(tool, "cargo" | "rustc" | "go"),
            (false, false) => true,
        };
        let fault = output.code_faults.iter().rev().find(|fault| counts(&fault.tool))?;
        if output.signatures.iter().any(|s| is_resource(s) && s.at.stream == fault.stream) {
            return None;
        }
        let detail = format!("{} says that the code cannot be loaded or built: `{}`", fault.tool, fault.text);
        Some(outcome(FAIL, Reason::CodeFault, Rule::CodeFault, seen(fault, detail)))
    }

    // 4 ------------------------------------------------------------------------------------------------------
    fn test_crash(&self) -> Option<Outcome> {
        let left_behind = self.evidence.reports.iter().find(|report| report.found == ReportFound::LeftBehind);
        if let (Some(report), Some(code)) = (left_behind, self.code())
            && !matches!(code, 124 | 137 | 143)
        {
            let detail =
                format!("the suite left in the middle: its premature-exit file is still there, exit code {code}");
            let proof = Proof {
                detail,
                source: Some("exit-file".to_owned()),
                place: Some(report.path.clone()),
                ..Proof::default()
            };
            return Some(outcome(FAIL, Reason::TestCrash, Rule::TestCrash, proof));
        }
        if self.passed() || self.passes_by_contract() {
            return None;
        }
        if let Some(crash) = self.evidence.output.crashes.last() {
            let detail = format!("a running test crashed: `{}`", crash.text);
            return Some(outcome(FAIL, Reason::TestCrash, Rule::TestCrash, seen(crash, detail)));
        }
        // The suite's own process, seen by its parent: by us, or by a shell or an engine that renders the signal.
        let (signal, how) = match self.evidence.exit {
            Exit::Signalled { signal, .. } => (signal, String::new()),
            Exit::Exited { code } if code > 128 => (i32::from(code) - 128, format!(" (exit code {code})")),
            Exit::Exited { .. }
            | Exit::TimedOut { .. }
            | Exit::Cancelled { .. }
            | Exit::SpawnFailed(_)
            | Exit::Answered(_)
            | Exit::Lost { .. } => return None,
        };
        // A program that is refused memory aborts, too.
        if !is_crash(signal) || self.evidence.output.signatures.iter().any(is_resource) {
            return None;
        }
        let open = self.evidence.output.unfinished.last()?;
        let detail = format!("{}{how} ended the suite while it was running: `{}`", signal_name(signal), open.text);
        Some(outcome(FAIL, Reason::TestCrash, Rule::TestCrash, seen(open, detail)))
    }

    // 5 ------------------------------------------------------------------------------------------------------
    fn channel_broke(&self) -> Option<Outcome> {
        // With an end record from the other host the code is the command's own.
        if self.code() != Some(255) || self.evidence.channel.is_some() {
            return None;
        }
        let output = &self.evidence.output;
        // A door that was never opened is no link that broke.
        if output.signatures.iter().any(|s| is_closed_door(s) && !is_weak(s)) {
            return None;
        }
        if let Some(cut) = output.signatures.iter().rev().find(|signature| is_cut_link(signature)) {
            let detail = format!("the link to the command broke: `{}`", cut.at.text);
            let proof = Proof { pattern: Some(cut.pattern.clone()), ..seen(&cut.at, detail) };
            return Some(outcome(Conclusion::TransientInfra, Reason::ChannelBroke, Rule::ChannelBroke, proof));
        }
        (self.counts.is_none() && output.stderr_bytes == 0).then(|| {
            let detail =
                "exit code 255 without a word: the link or the engine that carried the command broke".to_owned();
            outcome(
                Conclusion::TransientInfra,
                Reason::ChannelBroke,
                Rule::ChannelBroke,
                Proof { detail, ..Proof::default() },
            )
        })
    }

    // 6 ------------------------------------------------------------------------------------------------------
    fn killed(&self) -> Option<Outcome> {
        let infra = |reason, detail: String| {
            let proof = Proof { detail, source: Some("wait".to_owned()), ..Proof::default() };
            Some(outcome(Conclusion::TransientInfra, reason, Rule::Killed, proof))
        };
        match &self.evidence.exit {
            Exit::TimedOut { limit: Limit::Total, after }
                if self.evidence.declared.on_timeout == OnTimeout::Fail && self.seen_to_be_over() =>
            {
                let detail = format!(
                    "the total limit of {} ended it, which this stage declares as a fail",
                    shown_duration(*after)
                );
                let proof = Proof { detail, source: Some("wait".to_owned()), ..Proof::default() };
                Some(outcome(FAIL, Reason::TimeoutFail, Rule::Killed, proof))
            }
            Exit::TimedOut { limit, after } => {
                let (reason, what) = match limit {
                    Limit::Total => (Reason::Timeout, "it did not end within"),
                    Limit::Idle => (Reason::Stalled, "it gave no output for"),
                    Limit::Start => (Reason::StartTimeout, "it did not begin within"),
                };
                infra(reason, format!("{what} {} and was stopped by orch", shown_duration(*after)))
            }
            Exit::Signalled { signal, .. } => {
                infra(Reason::Killed, format!("{} ended it before it gave a verdict", signal_name(*signal)))
            }
            Exit::Lost { reason } => infra(Reason::Lost, format!("nobody saw how it ended ({})", reason.as_str())),
            Exit::Exited { code: code @ (124 | 137 | 143) }
                if self.green().is_none() && self.exit_map().is_none_or(|map| !map.fail.contains(code)) =>
            {
                let meaning = match code {
                    124 => "as timeout(1) says of a command that ran out of time",
                    137 => "as a shell says of SIGKILL",
                    _ => "as a shell says of SIGTERM",
                };
                infra(Reason::Killed, format!("exit code {code}, {meaning}, and no verdict"))
            }
            Exit::Exited { .. } if self.green().is_none() => {
                let killed = self.evidence.output.signatures.iter().find(|s| s.pattern == SUITE_KILLED)?;
                let detail = format!("the framework says that it was ended from outside: `{}`", killed.at.text);
                let proof = Proof { pattern: Some(killed.pattern.clone()), ..seen(&killed.at, detail) };
                Some(outcome(Conclusion::TransientInfra, Reason::Killed, Rule::Killed, proof))
            }
            Exit::Exited { .. } | Exit::Cancelled { .. } | Exit::SpawnFailed(_) | Exit::Answered(_) => None,
        }
    }

    // 7 ------------------------------------------------------------------------------------------------------
    fn green_evidence(&self) -> Option<Outcome> {
        if self.code() != Some(0) {
            return None;
        }
        let counts = self.green()?;
        let proof = match (
            self.last_summary(),
            self.evidence.reports.iter().find(|report| matches!(report.found, ReportFound::Read { .. })),
        ) {
            (Some(summary), _) => {
                let detail = format!("{} says {}, and the exit code is 0", source_name(&summary.source), told(counts));
                Proof { counts: Some(counts), ..seen(&summary.at, detail) }
            }
            (None, Some(report)) => Proof {
                detail: format!("the report says {}, and the exit code is 0", told(counts)),
                source: Some("junit".to_owned()),
                place: Some(report.path.clone()),
                counts: Some(counts),
                ..Proof::default()
            },
            (None, None) => return None,
        };
        Some(outcome(PASS, Reason::TestsPassed, Rule::GreenEvidence, proof))
    }

    // 7b -----------------------------------------------------------------------------------------------------
    fn suite_exit(&self) -> Option<Outcome> {
        let code = self.code().filter(|code| *code != 0)?;
        let counts = self.counts.filter(|counts| !counts.red() && counts.ran() > 0)?;
        self.gaps().is_none().then_some(())?;
        let summary =
            self.evidence.output.summaries.iter().rev().find(|summary| own_failing_code(&summary.source, code))?;
        if self.evidence.output.signatures.iter().any(|s| self.spoke_after(s, &summary.at)) {
            return None;
        }
        let detail = format!(
            "{} says {}, and gave its own failing exit code {code} (coverage, warnings or leaks that it counts as failures)",
            source_name(&summary.source),
            told(counts)
        );
        Some(outcome(
            FAIL,
            Reason::SuiteExitNonzero,
            Rule::SuiteExit,
            Proof { counts: Some(counts), ..seen(&summary.at, detail) },
        ))
    }

    /// Whether another program ended the command after its suite, so that the code may be that program's: it spoke
    /// after the suite on the suite's own stream, or its words are the last ones on the other.
    fn spoke_after(&self, signature: &Signature, summary: &Sighting) -> bool {
        if is_weak(signature) {
            return false;
        }
        if signature.at.stream == summary.stream {
            return signature.at.line > summary.line;
        }
        let tail = &self.evidence.output.stderr_tail;
        let closing = tail.lines().rev().filter(|line| !line.is_empty()).take(LAST_WORDS_LINES);
        signature.at.stream == Stream::Stderr && closing.into_iter().any(|line| line == signature.at.text)
    }

    // 8 ------------------------------------------------------------------------------------------------------
    fn nothing_ran(&self) -> Option<Outcome> {
        let counts = self.counts.filter(|counts| !counts.red())?;
        let min = self.evidence.declared.min_tests;
        if counts.ran() >= min.max(1)
            || (min == 0 && self.code() != Some(0) && counts.ran() > 0)
            || self.exit_map().is_some()
        {
            return None;
        }
        let (reason, detail) = match counts.ran() {
            0 => (Reason::NothingRan, format!("no test was executed ({})", told(counts))),
            ran => (Reason::TooFewTests, format!("{ran} tests were executed, at least {min} are wanted")),
        };
        let proof = match self.last_summary() {
            Some(summary) => seen(&summary.at, detail),
            None => Proof { detail, ..Proof::default() },
        };
        Some(outcome(Conclusion::PermanentEnv, reason, Rule::NothingRan, Proof { counts: Some(counts), ..proof }))
    }

    // 9 ------------------------------------------------------------------------------------------------------
    fn signature(&self) -> Option<Outcome> {
        if self.passes_by_contract() {
            return None;
        }
        let found = telling(&self.evidence.output.signatures)?;
        // With exit 0 only a layer's own words on stderr tell more than that evidence is missing.
        if self.code() == Some(0) && (is_weak(found) || found.at.stream != Stream::Stderr) {
            return None;
        }
        let (conclusion, reason) = match found.fault {
            FaultKind::Permanent => (Conclusion::PermanentEnv, Reason::EnvSignature),
            FaultKind::Transient => (Conclusion::TransientInfra, Reason::InfraSignature),
        };
        let detail = format!("a layer below the suite says: `{}`", found.at.text);
        Some(outcome(
            conclusion,
            reason,
            Rule::Signature,
            Proof { pattern: Some(found.pattern.clone()), ..seen(&found.at, detail) },
        ))
    }

    // 10 -----------------------------------------------------------------------------------------------------
    fn code_alone(&self) -> Option<Outcome> {
        let code = self.code()?;
        let (conclusion, reason, meaning) = match code {
            126 => (
                Conclusion::PermanentEnv,
                Reason::CommandNotFound,
                "as a shell says of a command that cannot be executed",
            ),
            127 => {
                (Conclusion::PermanentEnv, Reason::CommandNotFound, "as a shell says of a command that is not found")
            }
            75 => (Conclusion::TransientInfra, Reason::TryAgainCode, "EX_TEMPFAIL of sysexits.h: try again"),
            255 if self.evidence.channel.is_none() => {
                (Conclusion::TransientInfra, Reason::ChannelBroke, "as ssh says of a broken link")
            }
            _ => return None,
        };
        let detail = format!("exit code {code}, {meaning}, and no verdict");
        Some(outcome(conclusion, reason, Rule::CodeAlone, Proof { detail, ..Proof::default() }))
    }

    // 11 -----------------------------------------------------------------------------------------------------
    fn no_proof(&self) -> Outcome {
        let plain = |conclusion, reason, rule, detail: String| outcome(conclusion, reason, rule, plain(detail));
        let code = self.code();
        if let (Some(code), Some(map)) = (code, self.exit_map()) {
            if map.pass.contains(&code) {
                return match self.evidence.reports.iter().find_map(unusable) {
                    Some(why) => plain(Conclusion::PermanentEnv, Reason::ReportUnusable, Rule::NoProof, why),
                    None => plain(
                        PASS,
                        Reason::ExitCodePass,
                        Rule::ExitMap,
                        format!("exit code {code} is declared as pass"),
                    ),
                };
            }
            if map.fail.contains(&code) {
                return plain(
                    FAIL,
                    Reason::ExitCodeFail,
                    Rule::ExitMap,
                    format!("exit code {code} is declared as fail"),
                );
            }
        }
        if code != Some(0)
            && let Some(outcome) = self.evidence.control.as_ref().and_then(attributed)
        {
            return outcome;
        }
        if code == Some(0) {
            if let Some((reason, detail, at)) = self.gaps() {
                let proof = at.map_or_else(
                    || Proof { detail: detail.clone(), ..Proof::default() },
                    |at| seen(at, detail.clone()),
                );
                return outcome(Conclusion::PermanentEnv, reason, Rule::NoProof, proof);
            }
            let detail = "exit code 0, and nothing shows that a test was executed".to_owned();
            return plain(Conclusion::PermanentEnv, Reason::NoEvidence, Rule::NoProof, detail);
        }
        let ended = code.map_or_else(|| "it ended".to_owned(), |code| format!("exit code {code}"));
        match self.green() {
            Some(counts) => {
                let detail =
                    format!("{ended} after a green summary ({}), and the code is not the suite's own", told(counts));
                plain(Conclusion::TransientInfra, Reason::GreenButNonzero, Rule::NoProof, detail)
            }
            None => plain(
                Conclusion::TransientInfra,
                Reason::Unclassified,
                Rule::NoProof,
                format!("{ended}, and nothing says why"),
            ),
        }
    }
}

/// What a control run says of who is at fault; `None` where it does not say.
fn attributed(control: &Control) -> Option<Outcome> {
    let (conclusion, reason, detail) = match control {
        Control::BaseCannotRun { base } => {
            let detail = format!("the base commit cannot run it either, under the same conditions: {}", base.detail);
            (Conclusion::PermanentEnv, Reason::BaseCannotRun, detail)
        }
        Control::BaseRuns { base, change } => {
            let detail = format!(
                "the base commit runs it under the same conditions ({}), and the change ends again as it did: {}",
                base.detail, change.detail
            );
            (FAIL, Reason::ChangeBrokeRunner, detail)
        }
        Control::Unsteady { .. } | Control::Refused { .. } => return None,
    };
    Some(outcome(conclusion, reason, Rule::ControlRun, plain(detail)))
}

/// Whether a signal is a program's own doing: ILL, ABRT, BUS, FPE, SEGV. KILL and TERM come from outside.
const fn is_crash(signal: i32) -> bool {
    matches!(signal, 4 | 6 | 7 | 8 | 11)
}
