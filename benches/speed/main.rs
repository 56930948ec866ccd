//! How much time orch costs, as ratios to the least program that does the same work and to what people use instead.
//!
//! `cargo bench --bench speed` runs every row; `cargo bench --bench speed -- b1 g1 --rounds 7` some of them. A row runs its
//! contenders in turns, as whole processes, and prints medians and the ratio of each round, so that what else the
//! machine does falls on all alike. `docs/performance.md` has the goals and the figures. Peers that are not installed are
//! left out by name. Nothing here judges: exact counts are tests, times never are.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::zombie_processes,
    reason = "a program that starts, times and prints; it stops at the first surprise"
)]

mod contest;
mod family;
mod floor;
mod place;
mod rows;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("floor") => floor::run(words.get(1..).unwrap_or_default()),
        Some("family") => family::grow(words.get(1..).unwrap_or_default()),
        Some(_) | None => rows::run(&words),
    }
}
