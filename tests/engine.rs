//! The engine: its two tables as reviewed snapshots, and what holds on every path through them.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "engine/build.rs"]
mod build;
#[path = "engine/laws.rs"]
mod laws;
#[path = "engine/paths.rs"]
mod paths;
#[path = "engine/red.rs"]
mod red;
#[path = "engine/tables.rs"]
mod tables;
