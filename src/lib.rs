//! orch: a deterministic pipeline stage runner with gate contracts.
//!
//! A pipeline declares stages; for each stage a producer does the work, its end is classified as suite-ran,
//! permanent-env or transient-infra, and only a suite that really ran can give a verdict. The folders are floors; a
//! module uses the floors below its own, and neighbours on one floor do not know each other:
//!
//! | floor | module | what it is |
//! | --- | --- | --- |
//! | 0 | [`domain`] | the nouns and their laws: names, pipeline, evidence, outcome, artifact, verdict, decision, task |
//! | 1 | [`spec`] | pipeline text → `Pipeline`, or every problem of it at once |
//! | 1 | [`classify`] | output, reports and exit → facts → outcome |
//! | 1 | [`gate`] | artifact bytes → verdict, or unreadable with a reason |
//! | 1 | [`config`] | variables, flags and pipeline → settings, or every malformed value at once |
//! | 2 | [`engine`] | plan, settle, decide, step: what to do next |
//! | 3 | [`exec`] | processes: the supervisor that outlives the runner, limits, trees, exit records |
//! | 3 | [`store`] | durable tasks, runs, attempts and events |
//! | 4 | [`workspace`] | worktrees, artifacts, reports, the state folder, locks, logs |
//! | 5 | [`producer`] | what stands around a producer's process: prepare, gather, compose |
//! | 6 | [`runner`] | drives one task: asks the engine, does what it says, feeds back what happened |
//! | 6 | [`doctor`] | looks and touches nothing: is the place fit, is what is stored whole |
//! | 7 | [`cli`] | arguments → command → exit code |
//!
//! Floors 0 to 2 are the core: no file, process, clock, randomness or environment. What holds everywhere:
//!
//! - The core cannot fail for outside reasons, and the same input always gives the same answer.
//! - Only `exec` starts, signals or reaps a process. Only `store` speaks SQL. Only `producer::smoke` speaks HTTP. Only
//!   `spec` and the front-matter reader of `gate` know YAML.
//! - Only a verdict can send a task back. A fault of the environment never turns into a rollback or a charge.
//! - A verdict is read from the published artifact's bytes, never from the value that wrote them.
//! - The store learns of a decision before the world does.
//! - No number stands for "unknown": an end that nobody saw is `lost`, and `lost` is never a verdict.
//! - Every loop, queue, wait and captured output has a named limit with a unit.
//!
//! `failpoint` is on no floor: its macro is nothing but in the build of `tests/failpoints.rs`.
//! `tests/tidy.rs` keeps the floors; `docs/architecture.md` has the picture.

#[macro_use]
mod failpoint;

pub mod classify;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod domain;
pub mod engine;
pub mod exec;
pub mod gate;
pub mod producer;
pub mod runner;
pub mod spec;
pub mod store;
pub mod workspace;
