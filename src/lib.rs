//! orch: a deterministic pipeline stage runner with gate contracts.

pub mod classify;
pub mod domain;
pub mod engine;
pub mod gate;
pub mod store;
