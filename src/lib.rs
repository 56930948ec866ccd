//! orch: a deterministic pipeline stage runner with gate contracts.

pub mod classify;
pub mod domain;
pub mod engine;
pub mod gate;
pub mod spec;
pub mod store;
pub mod workspace;
