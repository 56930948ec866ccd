//! Floor 0: the nouns of orch and the laws they keep by themselves.
//!
//! Nothing here reads a file, a clock, the environment or a random number. A value of one of these types is
//! valid from the moment it exists: names have passed their grammar, a [`pipeline::Pipeline`] has passed every
//! law of its graph.

pub mod agent;
pub mod artifact;
pub mod channel;
pub mod checkout;
pub mod control;
pub mod decision;
pub mod evidence;
pub mod id;
pub mod mask;
pub mod outcome;
pub mod pipeline;
mod pipeline_laws;
pub mod plan;
pub mod profile;
pub mod prompt;
pub mod shadow;
pub mod smoke;
pub mod stamp;
pub mod task;
pub mod verdict;
pub mod visits;
