//! Floor 5: what stands around a producer's process: the place made ready before, the evidence gathered after, the
//! artifact composed from it.
//!
//! ```text
//! AttemptPlan ──prepare──▶ a place without old answers ──exec──▶ ExitRecord
//! ExitRecord + logs + reports + tree ──gather──▶ Evidence       Evidence + Outcome ──compose──▶ Artifact
//! agent: prompt and folder ──ready──▶ …   event stream ──gather_agent──▶ Evidence      change ──scope_facts──▶ its part
//! suite that passed ──smoke──▶ SmokeFacts, part of the Evidence
//! ```
//!
//! A new kind of producer adds a way to fill a plan; classification, artifact and transitions stay as they are.

mod agent;
mod compose;
mod gather;
mod prepare;
mod remote;
mod smoke;

pub use agent::{Before, Bounds, copy_logs, gather_agent, ready, scope_facts};
pub use compose::compose;
pub use gather::{Gathered, gather, log_name};
pub use prepare::{PrepareError, prepare};
pub use smoke::{smoke, smoke_not_made};
