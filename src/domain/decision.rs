//! What an attempt came to, and what is done about it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::{Canceller, Limit};
use super::id::{BudgetName, StageName, SwitchName};
use super::outcome::{Outcome, Reason, Ruling};
use super::pipeline::Advance;
use super::verdict::Unreadable;

/// What an attempt came to: a verdict, an unreadable artifact, or a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// The gate said pass.
    Passed,
    /// The gate said fail; what a person or an agent should look at.
    Failed(Vec<String>),
    /// The artifact gives no verdict.
    Unreadable(Unreadable),
    /// One of our limits ended it.
    TimedOut(Limit, Fault),
    /// The environment is at fault for good.
    PermanentEnv(Fault),
    /// The infrastructure is at fault for now.
    TransientInfra(Fault),
    /// It was stopped on request; there is no outcome.
    Cancelled(Canceller),
}

impl Settlement {
    /// The word of documents and of the store.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Unreadable(_) => "unreadable",
            Self::TimedOut(..) => "timed-out",
            Self::PermanentEnv(_) => "permanent-env",
            Self::TransientInfra(_) => "transient-infra",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// The gate's verdict, where there is one.
    pub const fn ruling(&self) -> Option<Ruling> {
        match self {
            Self::Passed => Some(Ruling::Pass),
            Self::Failed(_) => Some(Ruling::Fail),
            Self::Unreadable(_)
            | Self::TimedOut(..)
            | Self::PermanentEnv(_)
            | Self::TransientInfra(_)
            | Self::Cancelled(_) => None,
        }
    }

    /// What was seen, in one line.
    pub fn detail(&self) -> String {
        match self {
            Self::Passed | Self::Failed(_) => self.as_str().to_owned(),
            Self::Unreadable(unreadable) => unreadable.to_string(),
            Self::TimedOut(_, fault) | Self::PermanentEnv(fault) | Self::TransientInfra(fault) => fault.detail.clone(),
            Self::Cancelled(_) => "it was stopped".to_owned(),
        }
    }
}

/// A fault of the environment, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Stable id of the cause.
    pub reason: Reason,
    /// One line: what was seen.
    pub detail: String,
}

impl Fault {
    /// The fault of an outcome without a verdict.
    pub fn of(outcome: &Outcome) -> Self {
        Self { reason: outcome.reason, detail: outcome.proof.detail.clone() }
    }
}

/// What a task has used up. Rollbacks are counted until a person releases the hold of a spent budget, rewrites and
/// retries for the current visit, until a hold of it is released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spent {
    /// Rollbacks charged to each budget.
    pub budgets: BTreeMap<BudgetName, u32>,
    /// Attempts of this visit that left an unreadable artifact and were given another try.
    pub rewrites: u32,
    /// Attempts of this visit that met a passing fault and were given another try.
    #[serde(default)]
    pub retries: u32,
}

impl Spent {
    /// Rollbacks charged to one budget.
    pub fn of(&self, budget: &BudgetName) -> u32 {
        self.budgets.get(budget).copied().unwrap_or(0)
    }
}

/// The move chosen for a settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Decision {
    /// On to what a pass leads to.
    Advance(Advance),
    /// Back to an earlier stage, charged to a budget.
    Rollback {
        /// The stage.
        to: StageName,
        /// Who pays.
        charge: BudgetName,
    },
    /// The same stage once more, so that its producer can mend its artifact.
    Rewrite,
    /// The same stage once more after a pause, for a fault that may pass.
    Retry {
        /// n-th retry of the visit, from 1.
        retry: u32,
        /// How many the visit may have.
        max: u32,
        /// How long to wait first.
        pause: Duration,
    },
    /// The task waits, with a reason.
    Hold(HoldReason),
    /// The task ends as failed.
    Fail,
    /// The attempt counts for nothing; the task goes on at this stage later.
    Interrupt,
}

/// Why a task waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HoldReason {
    /// The suite failed and the stage says `fail: hold`.
    Failed,
    /// The suite failed and the budget of its rollback is spent.
    BudgetSpent {
        /// The budget.
        budget: BudgetName,
        /// What it allows.
        max: u32,
    },
    /// The artifact gives no verdict.
    Unreadable(Unreadable),
    /// One of our limits ended it.
    TimedOut(Limit, Fault),
    /// A permanent fault of the environment.
    PermanentEnv(Fault),
    /// A passing fault of the infrastructure.
    TransientInfra(Fault),
    /// The stage is a person's to decide.
    Approval,
    /// What the stage's agents may use up in a run is used up.
    CapReached {
        /// The cap.
        what: String,
        /// What was used.
        used: u64,
        /// What it allows.
        max: u64,
    },
    /// The stage's producer is switched off or out of scope, and nothing else is declared to run.
    SwitchedOff {
        /// The switch.
        switch: SwitchName,
        /// What it says.
        why: String,
    },
    /// A file system has less free space than is asked for before anything is started.
    LowSpace {
        /// A folder on it.
        place: String,
        /// What was free, in bytes.
        free_bytes: u64,
        /// What must be free, in bytes.
        least_bytes: u64,
        /// The setting that says so.
        setting: String,
    },
}

impl HoldReason {
    /// The word of documents.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::BudgetSpent { .. } => "budget-spent",
            Self::Unreadable(_) => "unreadable",
            Self::TimedOut(..) => "timed-out",
            Self::PermanentEnv(_) => "permanent-env",
            Self::TransientInfra(_) => "transient-infra",
            Self::Approval => "approval",
            Self::CapReached { .. } => "cap-reached",
            Self::SwitchedOff { .. } => "switched-off",
            Self::LowSpace { .. } => "low-space",
        }
    }

    /// Whether the stage is held before anything of it was started.
    pub const fn is_before_a_start(&self) -> bool {
        match self {
            Self::Approval | Self::CapReached { .. } | Self::SwitchedOff { .. } | Self::LowSpace { .. } => true,
            Self::Failed
            | Self::BudgetSpent { .. }
            | Self::Unreadable(_)
            | Self::TimedOut(..)
            | Self::PermanentEnv(_)
            | Self::TransientInfra(_) => false,
        }
    }

    /// Whether a probe may end it: a fault or a switch can come right by itself, a verdict and an answer cannot.
    pub const fn may_end_by_itself(&self) -> bool {
        match self {
            Self::TimedOut(..)
            | Self::PermanentEnv(_)
            | Self::TransientInfra(_)
            | Self::SwitchedOff { .. }
            | Self::LowSpace { .. } => true,
            Self::Failed
            | Self::BudgetSpent { .. }
            | Self::Unreadable(_)
            | Self::Approval
            | Self::CapReached { .. } => false,
        }
    }

    /// One line for people.
    pub fn text(&self) -> String {
        match self {
            Self::Failed => "the gate said no, and the stage asks for a person (`fail: hold`)".to_owned(),
            Self::BudgetSpent { budget, max } => {
                format!("the gate said no, and the budget `{budget}` is spent ({max} allowed)")
            }
            Self::Unreadable(unreadable) => format!("the artifact gives no verdict: {unreadable}"),
            Self::TimedOut(limit, fault) => format!("the {} limit ended the attempt: {}", limit.as_str(), fault.detail),
            Self::PermanentEnv(fault) => {
                format!("the environment is at fault ({}): {}", fault.reason.as_str(), fault.detail)
            }
            Self::TransientInfra(fault) => {
                format!("the infrastructure is at fault ({}): {}", fault.reason.as_str(), fault.detail)
            }
            Self::Approval => "a person must approve or reject".to_owned(),
            Self::CapReached { what, used, max } if what == MICRO_USD => {
                format!("the agents of this run have used {}, and the stage allows {}", dollars(*used), dollars(*max))
            }
            Self::CapReached { what, used, max } => {
                format!("the agents of this run have used {used} {what}, and the stage allows {max}")
            }
            Self::SwitchedOff { why, .. } => format!("nothing may run here: {why}"),
            Self::LowSpace { place, free_bytes, least_bytes, setting } => format!(
                "{} free in {place}, and nothing is started below {} ({setting})",
                size(*free_bytes),
                size(*least_bytes)
            ),
        }
    }
}

/// The word of documents for a cost in millionths of a US dollar.
pub const MICRO_USD: &str = "micro-usd";

/// Millionths of a US dollar for people: cents, and what is less where there is any.
pub fn dollars(micro_usd: u64) -> String {
    let part = format!("{:06}", micro_usd % 1_000_000);
    let part = part.trim_end_matches('0');
    format!("${}.{part:0<2}", micro_usd / 1_000_000)
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let units = [(1024 * 1024 * 1024, "GiB"), (1024 * 1024, "MiB"), (1024, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

/// What must come true before a held task goes on (DESIGN D18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A person looks and releases the hold.
    Person,
    /// A person approves or rejects.
    Answer,
    /// The program can be found where the producer would look for it.
    Program(String),
    /// The producer's working folder is there.
    Folder(String),
    /// The switch lets the producer, or its fallback, run.
    Switch(SwitchName),
    /// A time has come: the end of a provider's limit.
    Time(Timestamp),
    /// The stage's command could run on its host: reached, let in, and everything that it needs there.
    Channel(String),
    /// There is as much free space as is asked for.
    Space,
}

impl Probe {
    /// What it waits for, for people.
    pub fn text(&self) -> String {
        match self {
            Self::Person => "a person's word".to_owned(),
            Self::Answer => "a person's approval or rejection".to_owned(),
            Self::Program(name) => format!("the program `{name}` can be found"),
            Self::Folder(path) => format!("the folder `{path}` is there"),
            Self::Switch(name) => format!("the switch `{name}` lets something run"),
            Self::Time(at) => format!("{at:.0}"),
            Self::Channel(host) => format!("the preflight of {host} passes"),
            Self::Space => "there is enough free space".to_owned(),
        }
    }

    /// Whether it can pass without anybody doing something here, so that a run waits for it.
    pub const fn is_waited_for(&self) -> bool {
        match self {
            Self::Channel(_) => true,
            Self::Person
            | Self::Answer
            | Self::Program(_)
            | Self::Folder(_)
            | Self::Switch(_)
            | Self::Time(_)
            | Self::Space => false,
        }
    }

    /// Whether orch can look for itself.
    pub const fn can_be_tried(&self) -> bool {
        match self {
            Self::Person | Self::Answer => false,
            Self::Program(_) | Self::Folder(_) | Self::Switch(_) | Self::Time(_) | Self::Space | Self::Channel(_) => {
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_dollars() {
        for (micro, expected) in
            [(0, "$0.00"), (1, "$0.000001"), (12_500, "$0.0125"), (2_500_000, "$2.50"), (10_000_000, "$10.00")]
        {
            assert_eq!(dollars(micro), expected);
        }
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, expected) in [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(size(bytes), expected);
        }
    }
}
