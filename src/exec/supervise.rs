//! The supervisor process: parent of every producer of a run, outlives the runner.
//!
//! Started as `orch __supervise RUN_DIR TIER` with its socket as descriptor 0. It has one thread, so that the death
//! signal of its children, which the kernel ties to the thread that made them, means the death of the process.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};

use crate::domain::evidence::KillTier;

use super::attempt;
use super::bench::{Bench, Heard};
use super::clock;
use super::group;
use super::protocol::{Channel, Say};

/// The hidden subcommand.
pub const SUPERVISE: &str = "__supervise";
/// Where a panic of the supervisor is written, which has no terminal. Made only then.
const PANIC_FILE: &str = "supervisor.panic";
/// Exit code for a fault of orch's own.
const FAULT: u8 = 70;

/// Words of the subcommand's second argument.
pub(super) const fn tier_word(tier: KillTier) -> &'static str {
    match tier {
        KillTier::Cgroup => "cgroup",
        KillTier::Walk => "walk",
    }
}

/// Body of the hidden subcommand, to be called before anything else in the process; `args` are its own.
pub fn supervise(args: &[OsString]) -> ExitCode {
    let [run_dir, tier] = args else { return ExitCode::from(2) };
    let tier = match tier.to_str() {
        Some("cgroup") => KillTier::Cgroup,
        Some("walk") => KillTier::Walk,
        Some(_) | None => return ExitCode::from(2),
    };
    let Ok(socket) = group::adopt_stdin() else { return ExitCode::from(FAULT) };
    let channel = Channel::new(socket);
    // EPERM: we lead a group already, because somebody started us by hand. Then a terminal's signals reach us, and
    // are caught.
    rustix::process::setsid().ok();
    let run_dir = PathBuf::from(run_dir);
    report_panics(&run_dir);
    match Bench::set_up(&run_dir, tier) {
        Ok(mut bench) => {
            bench.attach(channel);
            failpoint!("supervisor.made");
            bench.say(&Say::Ready);
            serve(&mut bench);
            failpoint!("supervisor.leaving");
            bench.clear();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            channel.send(&Say::NotReady(failure)).ok();
            ExitCode::from(FAULT)
        }
    }
}

/// Attempt after attempt, until the runner is gone or somebody wants us to end.
fn serve(bench: &mut Bench) {
    while let Next::Ask = wait(bench) {
        match bench.hear() {
            Heard::Launch(launch) if !bench.ledger.admit(launch.attempt) => {
                bench.say(&Say::Refused { attempt: launch.attempt });
            }
            Heard::Launch(launch) => {
                let record = attempt::run(bench, &launch);
                bench.say(&Say::Ended(Box::new(record)));
            }
            // It crossed the end of the attempt that it was meant for.
            Heard::Stop(_by) => {}
            Heard::Gone => break,
        }
    }
}

enum Next {
    Ask,
    End,
}

/// Waits between attempts.
fn wait(bench: &mut Bench) -> Next {
    loop {
        let Some(runner) = bench.runner() else { return Next::End };
        let mut fds = [
            PollFd::from_borrowed_fd(runner, PollFlags::IN),
            PollFd::from_borrowed_fd(bench.signals.term(), PollFlags::IN),
            PollFd::from_borrowed_fd(bench.signals.child(), PollFlags::IN),
        ];
        if poll(&mut fds, Some(&clock::wait_until(None, std::time::Duration::ZERO))).is_err() {
            continue;
        }
        let [asked, term, child] = fds.map(|fd| !fd.revents().is_empty());
        if child {
            bench.signals.forget_child();
            while let group::Children::Reaped(_survivor) = bench.reap() {}
        }
        if term {
            return Next::End;
        }
        if asked {
            return Next::Ask;
        }
    }
}

/// The runner sees only that we are gone; what went wrong is for people.
fn report_panics(run_dir: &Path) {
    let path = run_dir.join(PANIC_FILE);
    std::panic::set_hook(Box::new(move |panic| {
        let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        if let Ok(mut file) = file {
            writeln!(file, "{panic}").ok();
        }
    }));
}

/// Arguments of the hidden subcommand.
pub(super) fn arguments(run_dir: &Path, at_most: KillTier) -> [&OsStr; 3] {
    [OsStr::new(SUPERVISE), run_dir.as_os_str(), OsStr::new(tier_word(at_most))]
}
