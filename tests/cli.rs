//! The program as its users run it: real repositories, real suites, real signals.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "cli/approval.rs"]
mod approval;
#[path = "cli/classify.rs"]
mod classify;
#[path = "cli/completions.rs"]
mod completions;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/control.rs"]
mod control;
#[path = "cli/counts.rs"]
mod counts;
#[path = "cli/day.rs"]
mod day;
#[path = "cli/death.rs"]
mod death;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/emit.rs"]
mod emit;
#[path = "cli/ends.rs"]
mod ends;
#[path = "cli/environment.rs"]
mod environment;
#[path = "cli/first_mistakes.rs"]
mod first_mistakes;
#[path = "cli/graph.rs"]
mod graph;
#[path = "cli/locks.rs"]
mod locks;
#[path = "cli/look.rs"]
mod look;
#[path = "cli/place.rs"]
mod place;
#[path = "cli/progress.rs"]
mod progress;
#[path = "cli/race.rs"]
mod race;
#[path = "cli/refused.rs"]
mod refused;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/room.rs"]
mod room;
#[path = "cli/smoke.rs"]
mod smoke;
#[path = "cli/state.rs"]
mod state;
#[path = "cli/stillborn.rs"]
mod stillborn;
mod support;
#[path = "cli/switches.rs"]
mod switches;
#[path = "cli/tasks.rs"]
mod tasks;
#[path = "cli/unlock.rs"]
mod unlock;
#[path = "cli/verify.rs"]
mod verify;
#[path = "cli/waits.rs"]
mod waits;
