//! A command run in the caller's place: its input is ours, its output is handed on piece by piece.
//!
//! For `orch classify -- CMD`. There is no supervisor and no record: when orch dies, the command is on its own, as
//! it would be behind any wrapper. It stays in our process group, so that a terminal's Ctrl-C reaches it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, set_child_subreaper};

use crate::domain::evidence::{Canceller, Exit, Limit, SpawnStep, Stream};

use super::clock;
use super::spawn::{failure, find};
use super::sweep::{Target, descendants};

/// How long output is waited for after the command has ended; something it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_millis(200);
/// Bytes handed on at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A command to run in our place.
#[derive(Debug)]
pub struct Through<'call> {
    /// Program and arguments; at least the program.
    pub argv: &'call [OsString],
    /// Longest duration.
    pub limit: Option<Duration>,
    /// From the request to stop to the kill.
    pub grace: Duration,
    /// Readable when it is to be stopped; each byte is a request.
    pub stop: BorrowedFd<'call>,
}

/// Runs a command with our input, environment and folder, and hands its output on.
///
/// # Errors
/// A system call of our own failed while the command was running; it is killed then.
pub fn through(call: &Through<'_>, on: &mut dyn FnMut(Stream, &[u8])) -> io::Result<Exit> {
    let program = call.argv.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(error) => return Ok(refused(SpawnStep::Cwd, &error, ".")),
    };
    let search = std::env::var("PATH").ok();
    let path = match find(&program, search.as_deref(), &cwd) {
        Ok(path) => cwd.join(path),
        Err(failure) => return Ok(Exit::SpawnFailed(failure)),
    };
    // What the command leaves behind comes to us and can be stopped with it.
    set_child_subreaper(Some(getpid()))?;
    let mut child = match command(&path, call.argv).spawn() {
        Ok(child) => child,
        Err(error) => {
            let step = match Errno::from_io_error(&error) {
                Some(Errno::AGAIN | Errno::NOMEM) => SpawnStep::Fork,
                Some(Errno::MFILE | Errno::NFILE) => SpawnStep::Output,
                Some(_) | None => SpawnStep::Exec,
            };
            return Ok(refused(step, &error, &path.to_string_lossy()));
        }
    };
    let target = i32::try_from(child.id()).ok().and_then(Target::new).ok_or(Errno::SRCH)?;
    let pump = Pump {
        stdout: child.stdout.take().map(OwnedFd::from),
        stderr: child.stderr.take().map(OwnedFd::from),
        ended: target.open()?,
    };
    let stopped = pump.run(call, on);
    if stopped.is_err() {
        target.signal_unreaped_child(Signal::KILL);
    }
    let status = child.wait()?;
    Ok(match stopped? {
        Some(Halt::Limit) => Exit::TimedOut { limit: Limit::Total, after: call.limit.unwrap_or_default() },
        Some(Halt::Asked) => Exit::Cancelled { by: Canceller::Shutdown },
        None => exit(status),
    })
}

#[expect(clippy::disallowed_methods, reason = "this module is one of the places where processes are started")]
fn command(path: &Path, argv: &[OsString]) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(path);
    command.args(argv.get(1..).unwrap_or_default()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(word) = argv.first() {
        command.arg0(word);
    }
    command
}

fn refused(step: SpawnStep, error: &io::Error, subject: &str) -> Exit {
    Exit::SpawnFailed(failure(step, Errno::from_io_error(error).unwrap_or(Errno::IO), subject))
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code().and_then(|code| u8::try_from(code).ok()), status.signal()) {
        (Some(code), _) => Exit::Exited { code },
        (None, Some(signal)) => Exit::Signalled { signal, core: status.core_dumped() },
        (None, None) => Exit::Lost { reason: crate::domain::evidence::LostReason::BadRecord },
    }
}

/// Why the command was stopped.
#[derive(Debug, Clone, Copy)]
enum Halt {
    Limit,
    Asked,
}

struct Pump {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    ended: OwnedFd,
}

impl Pump {
    /// Hands output on until the command has ended and its streams have, or the drain is over.
    fn run(mut self, call: &Through<'_>, on: &mut dyn FnMut(Stream, &[u8])) -> io::Result<Option<Halt>> {
        let started = clock::boot();
        let mut halt = None;
        let mut kill_at = None;
        let mut drained_at: Option<Duration> = None;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let now = clock::boot();
            let limit_at = call.limit.filter(|_| halt.is_none()).map(|limit| started.saturating_add(limit));
            if drained_at.is_some_and(|at| now >= at)
                || drained_at.is_some() && self.stdout.is_none() && self.stderr.is_none()
            {
                return Ok(halt);
            }
            if drained_at.is_none() && limit_at.is_some_and(|at| now >= at) {
                halt = Some(Halt::Limit);
                kill_at = Some(now.saturating_add(call.grace));
                signal_all(Signal::TERM);
                continue;
            }
            if drained_at.is_none() && kill_at.is_some_and(|at| now >= at) {
                signal_all(Signal::KILL);
                kill_at = Some(now.saturating_add(DRAIN));
            }
            let until = [drained_at, limit_at.filter(|_| drained_at.is_none()), kill_at].into_iter().flatten().min();
            let ready = self.wait(call.stop, drained_at.is_none(), until, now)?;
            if ready.stop {
                // A terminal's Ctrl-C has reached the command already; a plain SIGTERM to us has not.
                rustix::io::read(call.stop, &mut [0_u8; 1][..])?;
                let first = halt.is_none();
                halt = halt.or(Some(Halt::Asked));
                signal_all(if first { Signal::TERM } else { Signal::KILL });
                kill_at = Some(clock::boot().saturating_add(call.grace));
            }
            if ready.stdout && pass(&mut self.stdout, Stream::Stdout, &mut buffer, on)? {
                self.stdout = None;
            }
            if ready.stderr && pass(&mut self.stderr, Stream::Stderr, &mut buffer, on)? {
                self.stderr = None;
            }
            if ready.ended && drained_at.is_none() {
                drained_at = Some(clock::boot().saturating_add(DRAIN));
            }
        }
    }

    fn wait(&self, stop: BorrowedFd<'_>, running: bool, until: Option<Duration>, now: Duration) -> io::Result<Ready> {
        let wanted = [
            running.then(|| self.ended.as_fd()),
            running.then_some(stop),
            self.stdout.as_ref().map(OwnedFd::as_fd),
            self.stderr.as_ref().map(OwnedFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> =
            wanted.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&clock::wait_until(until, now))) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno.into()),
        }
        let mut told = fds.iter().map(|fd| !fd.revents().is_empty());
        let [ended, stop, stdout, stderr] = wanted.map(|fd| fd.is_some() && told.next().unwrap_or(false));
        Ok(Ready { ended, stop, stdout, stderr })
    }
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one a descriptor")]
struct Ready {
    ended: bool,
    stop: bool,
    stdout: bool,
    stderr: bool,
}

/// Hands on what can be read; whether the stream has ended.
fn pass(
    fd: &mut Option<OwnedFd>,
    stream: Stream,
    buffer: &mut [u8],
    on: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<bool> {
    let Some(fd) = fd else { return Ok(true) };
    match rustix::io::read(&*fd, &mut *buffer) {
        Ok(0) => Ok(true),
        Ok(count) => {
            on(stream, buffer.get(..count).unwrap_or_default());
            Ok(false)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn signal_all(signal: Signal) {
    for process in descendants() {
        process.signal(signal);
    }
}
