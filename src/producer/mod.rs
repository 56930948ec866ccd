//! Floor 5: what stands around a producer's process: the place made ready before, the evidence gathered after, the
//! artifact composed from it.
//!
//! ```text
//! AttemptPlan ──prepare──▶ a place without old answers ──exec──▶ ExitRecord
//! ExitRecord + logs + reports + tree ──gather──▶ Evidence       Evidence + Outcome ──compose──▶ Artifact
//! ```
//!
//! A new kind of producer adds a way to fill a plan; classification, artifact and transitions stay as they are.

mod compose;
mod gather;
mod prepare;

pub use compose::compose;
pub use gather::{Gathered, gather, log_name};
pub use prepare::{PrepareError, prepare};
