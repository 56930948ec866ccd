//! The crash lab: the real program with real suites is killed, starved and run in crowds, and one oracle looks at what
//! is left (RELIABILITY §6 and §7). `docs/reliability.md` has the figures and how to make the long form.
//!
//! `ORCH_LAB=long` asks for the full size, `ORCH_LAB_SEED=N` for other draws. Whatever goes wrong is printed with the
//! command that tries it again.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stderr, reason = "an experiment says what it has counted")]
#![expect(clippy::disallowed_methods, reason = "an experiment measures time")]

#[path = "lab/bugs.rs"]
mod bugs;
#[expect(dead_code, reason = "tests/engine.rs uses the rest")]
#[path = "engine/build.rs"]
mod build;
#[path = "lab/completions.rs"]
mod completions;
#[path = "lab/decoy.rs"]
mod decoy;
#[path = "lab/draw.rs"]
mod draw;
#[expect(dead_code, reason = "tests/exec uses the rest")]
#[path = "exec/harness.rs"]
mod harness;
#[expect(dead_code, reason = "tests/engine.rs uses the rest")]
#[path = "engine/laws.rs"]
mod laws;
#[path = "lab/model.rs"]
mod model;
#[path = "lab/oracle.rs"]
mod oracle;
#[path = "lab/orphans_end.rs"]
mod orphans_end;
#[path = "lab/pid_reuse.rs"]
mod pid_reuse;
#[path = "lab/planted.rs"]
mod planted;
#[path = "lab/power/mod.rs"]
mod power;
#[path = "lab/random_kills.rs"]
mod random_kills;
#[path = "lab/recovery.rs"]
mod recovery;
#[path = "lab/scenario.rs"]
mod scenario;
#[path = "lab/simulation.rs"]
mod simulation;
#[path = "lab/sites.rs"]
mod sites;
#[path = "lab/spawn_failures.rs"]
mod spawn_failures;
#[path = "lab/stale.rs"]
mod stale;
#[path = "lab/stopped.rs"]
mod stopped;
#[expect(dead_code, unused_imports, reason = "tests/cli.rs uses the rest")]
mod support;
#[path = "lab/syscall_walk.rs"]
mod syscall_walk;
#[path = "lab/trees.rs"]
mod trees;
#[path = "lab/world.rs"]
mod world;
#[path = "lab/yard.rs"]
mod yard;
