//! Floor 2: what to do next. Pure and total: every settlement has a decision, every event a lawful or a refused step.
//!
//! ```text
//! Stage + Site ──plan──▶ AttemptPlan
//! Outcome + gate's reading ──settle──▶ Settlement ──decide──▶ Decision
//! (Task, Event) ──step──▶ (Task, effects) | Refused          events ──replay──▶ Task
//! ```
//!
//! Routing and charging are two tables (row A8): `decide` says where a task goes, `charge` says who pays.

mod agent;
mod ambiguous;
mod decide;
mod plan;
mod probe;
mod settle;
mod staging;
mod step;

pub use agent::{OUT_NAME, PROMPT_FILE, PROMPT_NAME, TMP_NAME, cap_reached, caps_left, contract};
pub use ambiguous::ambiguous;
pub use decide::{Launched, charge, decide, pause_before};
pub use plan::{HELPER, HELPER_JOB, HostEnv, PASSED_NAMES, PlanError, Site, StagingSite, declares, plan, search_path};
pub use probe::probe;
pub use settle::{GateAnswer, settle};
pub use staging::target;
pub use step::{Refused, Step, replay, step};
