//! The staging-runner: `orch pipeline run` with a real OpenSSH server of the test's own on the other side.
//!
//! `ORCH_STAGING=long` asks for the full size of the experiments, which print what they counted.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stderr, reason = "an experiment says what it has counted")]

#[path = "staging/control.rs"]
mod control;
#[path = "staging/ends.rs"]
mod ends;
#[path = "staging/engine.rs"]
mod engine;
#[path = "staging/experiment.rs"]
mod experiment;
#[path = "staging/faults.rs"]
mod faults;
#[path = "staging/faults_people.rs"]
mod faults_people;
#[path = "staging/faults_run.rs"]
mod faults_run;
#[path = "staging/host.rs"]
mod host;
#[path = "staging/hostile.rs"]
mod hostile;
#[path = "staging/links.rs"]
mod links;
#[path = "staging/people.rs"]
mod people;
#[path = "staging/proxy.rs"]
mod proxy;
#[path = "staging/sshd.rs"]
mod sshd;
#[expect(dead_code, unused_imports, reason = "tests/cli.rs uses the rest")]
mod support;
#[path = "staging/trust.rs"]
mod trust;
#[path = "staging/verdicts.rs"]
mod verdicts;
#[path = "staging/waits.rs"]
mod waits;
#[path = "staging/ways.rs"]
mod ways;
