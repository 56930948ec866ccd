//! The exit codes of orch: documented in `docs/reference/exit-codes.md`, tested, stable (DESIGN D10).

use crate::domain::decision::HoldReason;
use crate::domain::outcome::{Conclusion, Ruling};

/// How orch itself ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// It reached its success state.
    Success,
    /// A gate said no and the task ended there; a classified command failed; a check found something.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// The pipeline or the configuration is invalid; nothing was started.
    Invalid,
    /// Another runner drives the task.
    Locked,
    /// A person must decide.
    HeldForPerson,
    /// orch itself broke.
    Internal,
    /// Held, and it may pass by itself (`EX_TEMPFAIL` of sysexits.h).
    TransientInfra,
    /// Held, and waiting will not help (`EX_CONFIG` of sysexits.h).
    PermanentEnv,
    /// Stopped by SIGINT.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

impl ExitCode {
    /// Every exit code, in order.
    pub const ALL: [Self; 11] = [
        Self::Success,
        Self::Failed,
        Self::Usage,
        Self::Invalid,
        Self::Locked,
        Self::HeldForPerson,
        Self::Internal,
        Self::TransientInfra,
        Self::PermanentEnv,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Invalid => 3,
            Self::Locked => 4,
            Self::HeldForPerson => 10,
            Self::Internal => 70,
            Self::TransientInfra => 75,
            Self::PermanentEnv => 78,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// One word for documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Invalid => "invalid",
            Self::Locked => "run_locked",
            Self::HeldForPerson => "held",
            Self::Internal => "internal",
            Self::TransientInfra => "transient-infra",
            Self::PermanentEnv => "permanent-env",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// What it means, in the words of the documentation.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "the task reached its success state; a classified command passed",
            Self::Failed => "a gate said no and the task ended there; a classified command's suite failed",
            Self::Usage => "the command line cannot be understood, or names something that is not there",
            Self::Invalid => "the pipeline or the configuration is invalid; nothing was started",
            Self::Locked => "another runner drives the task; the message names it",
            Self::HeldForPerson => {
                "held for a person: approval, unreadable artifact, `fail: hold`, spent budget, switched off; or paused"
            }
            Self::Internal => "orch itself broke",
            Self::TransientInfra => "held or deferred, transient-infra: it may pass by itself",
            Self::PermanentEnv => "held, permanent-env: waiting will not help",
            Self::Interrupted => "interrupted by SIGINT; the task goes on at its stage",
            Self::Terminated => "stopped by SIGTERM; the task goes on at its stage",
        }
    }

    /// The code of a class, for `orch classify`.
    pub const fn of_conclusion(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::SuiteRan(Ruling::Pass) => Self::Success,
            Conclusion::SuiteRan(Ruling::Fail) => Self::Failed,
            Conclusion::PermanentEnv => Self::PermanentEnv,
            Conclusion::TransientInfra => Self::TransientInfra,
        }
    }

    /// The code of a hold.
    pub const fn of_hold(reason: &HoldReason) -> Self {
        match reason {
            HoldReason::Failed
            | HoldReason::BudgetSpent { .. }
            | HoldReason::Unreadable(_)
            | HoldReason::Approval
            | HoldReason::SwitchedOff { .. } => Self::HeldForPerson,
            HoldReason::TimedOut(..) | HoldReason::TransientInfra(_) | HoldReason::LowSpace { .. } => {
                Self::TransientInfra
            }
            HoldReason::PermanentEnv(_) => Self::PermanentEnv,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_design() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 10, 70, 75, 78, 130, 143]);
    }

    #[test]
    fn the_documentation_has_this_table() {
        let page = include_str!("../../docs/reference/exit-codes.md");
        for code in ExitCode::ALL {
            let row = format!("| {} | {} |", code.code(), code.meaning());
            assert!(page.contains(&row), "docs/reference/exit-codes.md lacks the row {row}");
        }
    }
}
