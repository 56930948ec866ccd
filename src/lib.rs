//! orch: a deterministic pipeline stage runner with gate contracts.

pub mod classify;
pub mod cli;
pub mod domain;
pub mod engine;
pub mod exec;
pub mod gate;
pub mod producer;
pub mod runner;
pub mod spec;
pub mod store;
pub mod workspace;
