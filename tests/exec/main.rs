//! Process trees, with real processes: what a supervisor does with children that fail to start, flood, ignore, fork,
//! escape, die, and what is left when it or its runner dies itself.
//!
//! Nothing here waits for time: tests wait for a byte in a FIFO, the end of a process, or a record.

#![expect(clippy::unwrap_used, reason = "a test may panic; helpers count as no tests for the lint")]

mod harness;

mod deaths;
mod ends;
mod helpers;
mod kill_points;
mod output;
mod sentinels;
mod start;
mod stops;
mod trees;
