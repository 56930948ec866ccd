//! Chooses what happens to a task after an attempt.

use crate::domain::decision::{Decision, HoldReason, Settlement, Spent};
use crate::domain::id::BudgetName;
use crate::domain::pipeline::{OnFail, Pipeline, Stage};

/// Attempts of a visit that an agent gets to mend an unreadable artifact; others would only repeat themselves.
const AGENT_REWRITES_MAX: u32 = 1;

/// Chooses the move for a settlement; total, so that no settlement goes unanswered.
///
/// Only [`Settlement::Passed`] advances and only [`Settlement::Failed`] rolls back or ends a task.
pub fn decide(pipeline: &Pipeline, stage: &Stage, spent: &Spent, settlement: &Settlement) -> Decision {
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
        Settlement::Unreadable(_)
            if !stage.producer.kind().is_deterministic() && spent.rewrites < AGENT_REWRITES_MAX =>
        {
            Decision::Rewrite
        }
        Settlement::Unreadable(unreadable) => Decision::Hold(HoldReason::Unreadable(unreadable.clone())),
        Settlement::TimedOut(limit, fault) => Decision::Hold(HoldReason::TimedOut(*limit, fault.clone())),
        Settlement::PermanentEnv(fault) => Decision::Hold(HoldReason::PermanentEnv(fault.clone())),
        Settlement::TransientInfra(fault) => Decision::Hold(HoldReason::TransientInfra(fault.clone())),
        Settlement::Cancelled(_) => Decision::Interrupt,
    }
}

/// What a decision costs the task: at most one unit of one budget, and only for a rollback.
pub fn charge(decision: &Decision) -> Option<&BudgetName> {
    match decision {
        Decision::Rollback { charge, .. } => Some(charge),
        Decision::Advance(_) | Decision::Rewrite | Decision::Hold(_) | Decision::Fail | Decision::Interrupt => None,
    }
}
