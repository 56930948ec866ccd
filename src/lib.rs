//! orch: a deterministic pipeline stage runner with gate contracts.

pub mod domain;
pub mod exec;
