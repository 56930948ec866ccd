//! Chooses what happens to a task after an attempt.

use std::time::Duration;

use crate::domain::decision::{Decision, Fault, HoldReason, Settlement, Spent};
use crate::domain::id::BudgetName;
use crate::domain::outcome::Reason;
use crate::domain::pipeline::{InfraPolicy, OnFail, Pipeline, Producer, Stage};
use crate::domain::verdict::UnreadableReason;

/// Attempts of a visit that an agent gets to mend an unreadable artifact; others would only repeat themselves.
const AGENT_REWRITES_MAX: u32 = 1;

/// What a decision must know of the launch itself.
#[derive(Debug, Clone, Copy)]
pub struct Launched<'a> {
    /// The producer that ran.
    pub producer: &'a Producer,
    /// Whether it began, or may have begun: then only an idempotent one is started again (DESIGN D6).
    pub began: bool,
    /// What a passing fault is worth here.
    pub infra: &'a InfraPolicy,
    /// How long the limit of an agent's provider still lasts, where it said so.
    pub resets_in: Option<Duration>,
}

/// Chooses the move for a settlement; total, so that no settlement goes unanswered.
///
/// Only [`Settlement::Passed`] advances and only [`Settlement::Failed`] rolls back or ends a task.
pub fn decide(
    pipeline: &Pipeline,
    stage: &Stage,
    spent: &Spent,
    launched: Launched<'_>,
    settlement: &Settlement,
) -> Decision {
    match settlement {
        Settlement::Passed => Decision::Advance(stage.pass.clone()),
        Settlement::Failed(_) => match &stage.fail {
            OnFail::Rollback { to, charge } => {
                let max = pipeline.budget(charge);
                if spent.of(charge) < max {
                    Decision::Rollback { to: to.clone(), charge: charge.clone() }
                } else {
                    Decision::Hold(HoldReason::BudgetSpent { budget: charge.clone(), max })
                }
            }
            OnFail::Hold => Decision::Hold(HoldReason::Failed),
            OnFail::Failed => Decision::Fail,
        },
        Settlement::Unreadable(unreadable)
            if may_mend(launched.producer)
                && unreadable.reason != UnreadableReason::RepositoryDamaged
                && spent.rewrites < AGENT_REWRITES_MAX =>
        {
            Decision::Rewrite
        }
        Settlement::Unreadable(unreadable) => Decision::Hold(HoldReason::Unreadable(unreadable.clone())),
        Settlement::TimedOut(limit, fault) => Decision::Hold(HoldReason::TimedOut(*limit, fault.clone())),
        Settlement::PermanentEnv(fault) => Decision::Hold(HoldReason::PermanentEnv(fault.clone())),
        Settlement::TransientInfra(fault) => {
            let max = retries_for(fault, launched.infra);
            // A limit that outlasts every pause is a hold whose probe is the time of its end: no retry is spent on it.
            let too_long = launched.resets_in.is_some_and(|left| left > launched.infra.backoff_cap);
            if may_start_again(launched) && spent.retries < max && !too_long {
                let retry = spent.retries.saturating_add(1);
                let pause = pause_before(retry, launched.infra).max(launched.resets_in.unwrap_or_default());
                Decision::Retry { retry, max, pause }
            } else {
                Decision::Hold(HoldReason::TransientInfra(fault.clone()))
            }
        }
        Settlement::Cancelled(_) => Decision::Interrupt,
    }
}

/// Whether the producer can do better once it is told what is wrong with its artifact.
const fn may_mend(producer: &Producer) -> bool {
    match producer {
        Producer::Agent(_) => true,
        Producer::TestRunner(_) | Producer::StagingRunner(_) | Producer::Command(_) | Producer::Approval => false,
    }
}

/// A command that began may have had its effects: it is never replayed blindly.
const fn may_start_again(launched: Launched<'_>) -> bool {
    !launched.began || launched.producer.idempotent()
}

/// How many retries a fault is worth: what nobody recognises gets one more try at most (`CLASSIFICATION.md` §6,
/// row 11).
fn retries_for(fault: &Fault, infra: &InfraPolicy) -> u32 {
    let unknown = matches!(fault.reason, Reason::Unclassified | Reason::GreenButNonzero | Reason::OutputIncomplete);
    if unknown { infra.retries.min(1) } else { infra.retries }
}

/// The pause before the n-th retry: it doubles from the base up to the cap (row A9).
pub fn pause_before(retry: u32, infra: &InfraPolicy) -> Duration {
    let doublings = retry.saturating_sub(1).min(31);
    infra.backoff_base.saturating_mul(1_u32 << doublings).min(infra.backoff_cap)
}

/// What a decision costs the task: at most one unit of one budget, and only for a rollback.
pub fn charge(decision: &Decision) -> Option<&BudgetName> {
    match decision {
        Decision::Rollback { charge, .. } => Some(charge),
        Decision::Advance(_)
        | Decision::Rewrite
        | Decision::Retry { .. }
        | Decision::Hold(_)
        | Decision::Fail
        | Decision::Interrupt => None,
    }
}
