//! What class an attempt's end is of, with its proof.

use serde::{Deserialize, Serialize};

use super::evidence::Counts;

/// The class of an end, with what it rests on. Consumers switch on [`Outcome::conclusion`] only; reasons may grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The class, and the suite's own answer where it ran.
    pub conclusion: Conclusion,
    /// Stable id of the cause.
    pub reason: Reason,
    /// The rule that decided.
    pub rule: Rule,
    /// What it rests on.
    pub proof: Proof,
}

/// The three classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// The suite really ran and answered.
    SuiteRan(Ruling),
    /// An agent worked to its end. It has no answer of its own: only the gate speaks.
    AgentRan,
    /// No verdict, and waiting will not help.
    PermanentEnv,
    /// No verdict, and it may pass by itself.
    TransientInfra,
}

impl Conclusion {
    /// The class without the answer, as documents write it.
    pub const fn class(self) -> &'static str {
        match self {
            Self::SuiteRan(_) | Self::AgentRan => "suite-ran",
            Self::PermanentEnv => "permanent-env",
            Self::TransientInfra => "transient-infra",
        }
    }

    /// The answer, where the suite ran.
    pub const fn ruling(self) -> Option<Ruling> {
        match self {
            Self::SuiteRan(ruling) => Some(ruling),
            Self::AgentRan | Self::PermanentEnv | Self::TransientInfra => None,
        }
    }
}

/// What a suite that ran says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// Everything that was executed passed.
    Pass,
    /// Something failed.
    Fail,
}

impl Ruling {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

/// The rules of the classifier, in the order they are asked (`docs/reference/classification.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// 0: there was no process; a person answered.
    Answer,
    /// 1: the command was never started.
    SpawnErrno,
    /// 2: a complete summary or report with failures.
    RedEvidence,
    /// 3: the code cannot be loaded or built, said by a known tool.
    CodeFault,
    /// 4: a running test crashed, named by its framework.
    TestCrash,
    /// 5: the channel to the command broke.
    ChannelBroke,
    /// 5: what was looked at on another host before the command began.
    Preflight,
    /// 6: killed or timed out without a summary.
    Killed,
    /// 7: a complete green summary and exit 0.
    GreenEvidence,
    /// 7b: a green summary and the framework's own failing code.
    SuiteExit,
    /// 8: the evidence says that nothing ran.
    NothingRan,
    /// 9: a known infra text outside the suite's region.
    Signature,
    /// 10: the exit code alone.
    CodeAlone,
    /// 11: the declared exit map.
    ExitMap,
    /// 11: a control run at the base commit.
    ControlRun,
    /// 11: nothing proves anything.
    NoProof,
    /// 13: what an agent's own event stream, or its exit, says of its end.
    AgentEnd,
    /// 13: a fault that an agent's own error channel told.
    AgentFault,
    /// 12: a pass whose smoke checks did not all have the wanted answer.
    SmokeCheck,
}

impl Rule {
    /// Every rule, in order.
    pub const ALL: [Self; 19] = [
        Self::Answer,
        Self::SpawnErrno,
        Self::RedEvidence,
        Self::CodeFault,
        Self::TestCrash,
        Self::ChannelBroke,
        Self::Preflight,
        Self::Killed,
        Self::GreenEvidence,
        Self::SuiteExit,
        Self::NothingRan,
        Self::Signature,
        Self::CodeAlone,
        Self::ExitMap,
        Self::ControlRun,
        Self::NoProof,
        Self::AgentEnd,
        Self::AgentFault,
        Self::SmokeCheck,
    ];

    /// The stable id of documents: number and name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "0-answer",
            Self::SpawnErrno => "1-spawn-errno",
            Self::RedEvidence => "2-red-evidence",
            Self::CodeFault => "3-code-fault",
            Self::TestCrash => "4-test-crash",
            Self::ChannelBroke => "5-channel-broke",
            Self::Preflight => "5-preflight",
            Self::Killed => "6-killed",
            Self::GreenEvidence => "7-green-evidence",
            Self::SuiteExit => "7b-suite-exit",
            Self::NothingRan => "8-nothing-ran",
            Self::Signature => "9-signature",
            Self::CodeAlone => "10-code-alone",
            Self::ExitMap => "11-exit-map",
            Self::ControlRun => "11-control-run",
            Self::NoProof => "11-no-proof",
            Self::AgentEnd => "13-agent-end",
            Self::AgentFault => "13-agent-fault",
            Self::SmokeCheck => "12-smoke-check",
        }
    }
}

/// Stable ids of causes. The list may grow; no consumer may fail on a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Everything passed.
    TestsPassed,
    /// Tests failed.
    TestsFailed,
    /// The code under test cannot be loaded or built.
    CodeFault,
    /// A test crashed its process.
    TestCrash,
    /// Green, and the framework's own exit code says no.
    SuiteExitNonzero,
    /// The declared exit map says pass.
    ExitCodePass,
    /// The declared exit map says fail.
    ExitCodeFail,
    /// The stage says that its total limit is part of its contract.
    TimeoutFail,
    /// A person approved.
    Approved,
    /// A person rejected.
    Rejected,
    /// The command could not be started, for good.
    SpawnFailed,
    /// The command could not be started for want of something that may come back.
    SpawnResources,
    /// The channel to the command broke.
    ChannelBroke,
    /// The channel to the command cannot be opened as things stand: key, host key, account, configuration.
    ChannelRefused,
    /// A container that the command enters cannot be entered.
    ContainerDown,
    /// Another version stands on the host than the one that was to be tested.
    VersionMismatch,
    /// A signal ended it before a verdict.
    Killed,
    /// One of our limits ended it.
    Timeout,
    /// It gave no output for too long.
    Stalled,
    /// It did not begin in time.
    StartTimeout,
    /// Nobody saw how it ended.
    Lost,
    /// Nothing was executed.
    NothingRan,
    /// Fewer tests than declared were executed.
    TooFewTests,
    /// A known permanent fault of the environment.
    EnvSignature,
    /// A known passing fault of the infrastructure.
    InfraSignature,
    /// The shell could not find or start a command.
    CommandNotFound,
    /// The exit code asks to try again.
    TryAgainCode,
    /// It ended well and proved nothing.
    NoEvidence,
    /// A declared report is missing, old or broken.
    ReportUnusable,
    /// Part of the output was not kept, so that a red summary may be missing.
    OutputIncomplete,
    /// A green summary and a code that is not the framework's.
    GreenButNonzero,
    /// Files that stood in the worktree changed while the suite ran.
    TreeChanged,
    /// The base commit cannot run it either.
    BaseCannotRun,
    /// The base commit runs it; the change broke it.
    ChangeBrokeRunner,
    /// The suite passed, and a smoke check got a wrong answer.
    SmokeFailed,
    /// The suite passed, and a smoke check got no answer from the service itself.
    SmokeUnreachable,
    /// The suite passed, and a smoke check could not trust the service's certificate.
    SmokeTls,
    /// Nothing known; at most one more try.
    Unclassified,
    /// An agent worked to its end.
    AgentEnded,
    /// An agent stopped at a limit of its own.
    AgentLimit,
    /// An agent told an error that is no fault of the infrastructure.
    AgentGaveUp,
    /// An agent cannot work here until a person acts: its account, its bill, its set-up.
    AgentSetUp,
    /// An agent's provider refused or failed for now.
    ProviderLimit,
    /// orch itself broke while it handled the attempt.
    Internal,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 44] = [
        Self::TestsPassed,
        Self::TestsFailed,
        Self::CodeFault,
        Self::TestCrash,
        Self::SuiteExitNonzero,
        Self::ExitCodePass,
        Self::ExitCodeFail,
        Self::TimeoutFail,
        Self::Approved,
        Self::Rejected,
        Self::SpawnFailed,
        Self::SpawnResources,
        Self::ChannelBroke,
        Self::ChannelRefused,
        Self::ContainerDown,
        Self::VersionMismatch,
        Self::Killed,
        Self::Timeout,
        Self::Stalled,
        Self::StartTimeout,
        Self::Lost,
        Self::NothingRan,
        Self::TooFewTests,
        Self::EnvSignature,
        Self::InfraSignature,
        Self::CommandNotFound,
        Self::TryAgainCode,
        Self::NoEvidence,
        Self::ReportUnusable,
        Self::OutputIncomplete,
        Self::GreenButNonzero,
        Self::TreeChanged,
        Self::BaseCannotRun,
        Self::ChangeBrokeRunner,
        Self::SmokeFailed,
        Self::SmokeUnreachable,
        Self::SmokeTls,
        Self::Unclassified,
        Self::AgentEnded,
        Self::AgentLimit,
        Self::AgentGaveUp,
        Self::AgentSetUp,
        Self::ProviderLimit,
        Self::Internal,
    ];

    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TestsPassed => "tests-passed",
            Self::TestsFailed => "tests-failed",
            Self::CodeFault => "code-fault",
            Self::TestCrash => "test-crash",
            Self::SuiteExitNonzero => "suite-exit-nonzero",
            Self::ExitCodePass => "exit-code-pass",
            Self::ExitCodeFail => "exit-code-fail",
            Self::TimeoutFail => "timeout-fail",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::SpawnFailed => "spawn-failed",
            Self::SpawnResources => "spawn-resources",
            Self::ChannelBroke => "channel-broke",
            Self::ChannelRefused => "channel-refused",
            Self::ContainerDown => "container-down",
            Self::VersionMismatch => "version-mismatch",
            Self::Killed => "killed",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::StartTimeout => "start-timeout",
            Self::Lost => "lost",
            Self::NothingRan => "nothing-ran",
            Self::TooFewTests => "too-few-tests",
            Self::EnvSignature => "env-signature",
            Self::InfraSignature => "infra-signature",
            Self::CommandNotFound => "command-not-found",
            Self::TryAgainCode => "try-again-code",
            Self::NoEvidence => "no-evidence",
            Self::ReportUnusable => "report-unusable",
            Self::OutputIncomplete => "output-incomplete",
            Self::GreenButNonzero => "green-but-nonzero",
            Self::TreeChanged => "tree-changed",
            Self::BaseCannotRun => "base-cannot-run",
            Self::ChangeBrokeRunner => "change-broke-runner",
            Self::SmokeFailed => "smoke-failed",
            Self::SmokeUnreachable => "smoke-unreachable",
            Self::SmokeTls => "smoke-tls",
            Self::Unclassified => "unclassified",
            Self::AgentEnded => "agent-ended",
            Self::AgentLimit => "agent-limit",
            Self::AgentGaveUp => "agent-gave-up",
            Self::AgentSetUp => "agent-set-up",
            Self::ProviderLimit => "provider-limit",
            Self::Internal => "internal",
        }
    }
}

/// What an outcome rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proof {
    /// One line for people.
    pub detail: String,
    /// Who said it: a tool, an adapter, `errno`, `wait`.
    pub source: Option<String>,
    /// The stream or report it stands in.
    pub place: Option<String>,
    /// Line there, from 1.
    pub line: Option<u64>,
    /// The matched text, at most 300 characters.
    pub text: Option<String>,
    /// Id of the signature that matched.
    pub pattern: Option<String>,
    /// Tests, where they were counted.
    pub counts: Option<Counts>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_rule() {
        let page = include_str!("../../docs/reference/classification.md");
        for rule in Rule::ALL {
            assert!(page.contains(&format!("`{}`", rule.as_str())), "{}", rule.as_str());
        }
        for reason in [Reason::SmokeFailed, Reason::SmokeUnreachable, Reason::SmokeTls] {
            assert!(page.contains(&format!("`{}`", reason.as_str())), "{}", reason.as_str());
        }
    }
}
