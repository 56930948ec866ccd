//! A command on another host, over ssh, and the truth about how it ended.
//!
//! The supervisor stays the parent of everything: for a staging attempt its child is `orch __remote JOB_FILE`, a helper
//! that opens the connection, gives the far side's shell a small program over stdin, hands the suite's bytes on to its
//! own streams, and writes what it saw of the way into `channel.json` beside its job. Nothing is installed there. Why it is made so
//! stands in `docs/design/0009-staging-runner.md`.
//!
//! The only module that knows tokio and openssh; no other command of orch pays for them.

mod check;
mod config;
mod drive;
mod job;
mod link;
mod marks;
mod program;
mod session;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub use check::{Looked, look};
pub use job::{CHANNEL_FILE, JOB_FILE, hand_over};

/// The hidden subcommand.
pub const REMOTE: &str = "__remote";
/// Exit code for a fault of orch's own.
const FAULT: u8 = 70;

/// Body of the hidden subcommand; `args` are its own. Its code says nothing of the command: the facts do.
pub fn remote(args: &[OsString]) -> ExitCode {
    let [file] = args else { return ExitCode::from(2) };
    let file = Path::new(file);
    let done = job::Job::take(file).and_then(|job| {
        let folder = file.parent().unwrap_or_else(|| Path::new("/"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(drive::drive(&job, folder))
    });
    match done {
        Ok(_facts) => ExitCode::SUCCESS,
        Err(_without_facts) => ExitCode::from(FAULT),
    }
}
