//! Short helper commands, git above all: started by the runner itself, with a bound on time and output.
//!
//! Nothing here survives the runner and nothing is recorded. A producer never goes this way.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use crate::domain::evidence::{SpawnFailure, SpawnStep, Stream};
use crate::domain::pipeline::Argv;
use crate::domain::plan::Environment;

use super::clock;
use super::spawn::{failure, find, open_cwd};
use super::sweep::Target;

/// How long output is waited for after the program has ended; somebody it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_millis(200);

/// A short command.
#[derive(Debug, Clone, Copy)]
pub struct Quick<'call> {
    /// Program and arguments.
    pub argv: &'call Argv,
    /// Absolute working folder.
    pub cwd: &'call Path,
    /// Its whole environment.
    pub env: &'call Environment,
    /// Longest duration; its process group is killed then.
    pub limit: Duration,
    /// Most bytes taken of each stream; more is an error, never a cut answer.
    pub output_max_bytes: usize,
}

/// What it gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickOutput {
    /// Its code, or the signal that ended it.
    pub end: QuickEnd,
    /// Its whole standard output.
    pub stdout: Vec<u8>,
    /// Its whole standard error.
    pub stderr: Vec<u8>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuickEnd {
    /// With a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// It gave nothing that could be used.
#[derive(Debug, thiserror::Error)]
pub enum QuickError {
    /// It did not start.
    #[error("start {}{}", .0.subject, cause(.0))]
    Start(SpawnFailure),
    /// It took too long and was killed.
    #[error("{program} took longer than {limit:?}")]
    TimedOut {
        /// It.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// It wrote too much and was killed. A part of it would be read as the whole.
    #[error("{program} wrote more than {max} bytes to its {}", .stream.as_str())]
    TooMuch {
        /// It.
        program: String,
        /// Where.
        stream: Stream,
        /// The bound.
        max: usize,
    },
    /// A system call of our own failed.
    #[error("wait for {program}")]
    Wait {
        /// It.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// Why a start failed, where a system call said so.
fn cause(failure: &SpawnFailure) -> String {
    failure.errno.map(|errno| format!(": {}", Errno::from_raw_os_error(errno))).unwrap_or_default()
}

/// Runs a short command to its end, with `/dev/null` as its input.
///
/// # Errors
/// See [`QuickError`]. A code other than 0 is no error.
pub fn quick(call: Quick<'_>) -> Result<QuickOutput, QuickError> {
    quick_or_tell(call, Duration::MAX, &|| {})
}

/// The same, and tells once where it has not ended after some time.
///
/// # Errors
/// As [`quick`].
pub fn quick_or_tell(call: Quick<'_>, after: Duration, tell: &dyn Fn()) -> Result<QuickOutput, QuickError> {
    let program = call.argv.program();
    let _checked = open_cwd(call.cwd).map_err(QuickError::Start)?;
    let path = find(program, call.env.get("PATH"), call.cwd).map_err(QuickError::Start)?;
    let pipe =
        || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| QuickError::Start(failure(SpawnStep::Output, errno, "pipe")));
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    // The expression holds the writing ends; it is gone after this statement.
    let handle = duct::cmd(call.cwd.join(path), call.argv.words().iter().skip(1))
        .dir(call.cwd)
        .full_env(call.env.pairs())
        .stdin_null()
        .stdout_file(stdout_end)
        .stderr_file(stderr_end)
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
        .unchecked()
        .start()
        .map_err(|error| QuickError::Start(start_failure(&error, program)))?;
    let waiting = |source: io::Error| QuickError::Wait { program: program.to_owned(), source };
    let target = handle.pids().first().and_then(|pid| Target::new(i32::try_from(*pid).ok()?)).expect("one child");
    let outcome = target.open().map_err(|errno| waiting(errno.into())).and_then(|alive| {
        Gathering {
            program,
            stdout: Sink::new(stdout, Stream::Stdout, call.output_max_bytes),
            stderr: Sink::new(stderr, Stream::Stderr, call.output_max_bytes),
        }
        .gather(&alive, call.limit, (after, tell))
    });
    if outcome.is_err() {
        // Not reaped yet: nobody else can have its number.
        target.signal_unreaped_child(Signal::KILL);
    }
    let status = handle.wait().map_err(waiting)?.status;
    let (stdout, stderr) = outcome?;
    Ok(QuickOutput { end: end(status), stdout, stderr })
}

fn end(status: ExitStatus) -> QuickEnd {
    match status.code() {
        Some(code) => QuickEnd::Code(code),
        None => QuickEnd::Signal(status.signal().unwrap_or(0)),
    }
}

fn start_failure(error: &io::Error, program: &str) -> SpawnFailure {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let step = match errno {
        Errno::AGAIN | Errno::NOMEM => SpawnStep::Fork,
        Errno::MFILE | Errno::NFILE => SpawnStep::Output,
        _ => SpawnStep::Exec,
    };
    failure(step, errno, program)
}

struct Gathering<'call> {
    program: &'call str,
    stdout: Sink,
    stderr: Sink,
}

impl Gathering<'_> {
    /// Reads both streams until the program has ended and they have, or the drain is over.
    fn gather(
        mut self,
        alive: &OwnedFd,
        limit: Duration,
        (after, tell): (Duration, &dyn Fn()),
    ) -> Result<(Vec<u8>, Vec<u8>), QuickError> {
        let begun = clock::boot();
        let deadline = begun.saturating_add(limit);
        let mut tell_at = Some(begun.saturating_add(after));
        let mut drained = None;
        loop {
            let now = clock::boot();
            if tell_at.is_some_and(|at| now >= at) && drained.is_none() {
                tell_at = None;
                tell();
            }
            let until = drained.or(tell_at).map_or(deadline, |at: Duration| at.min(deadline));
            match drained {
                Some(at) if now >= at => break,
                Some(_) if !self.stdout.is_open() && !self.stderr.is_open() => break,
                None if now >= deadline => {
                    return Err(QuickError::TimedOut { program: self.program.to_owned(), limit });
                }
                Some(_) | None => {}
            }
            let ended = self.wait(drained.is_none().then_some(alive), until, now)?;
            if ended {
                drained = Some(clock::boot().saturating_add(DRAIN));
            }
        }
        Ok((self.stdout.bytes, self.stderr.bytes))
    }

    /// One wait and what came of it; whether the program has ended.
    fn wait(&mut self, alive: Option<&OwnedFd>, until: Duration, now: Duration) -> Result<bool, QuickError> {
        let mut fds = Vec::with_capacity(3);
        fds.extend(alive.map(|fd| PollFd::new(fd, PollFlags::IN)));
        for sink in [&self.stdout, &self.stderr] {
            fds.extend(sink.pipe.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        }
        if poll(&mut fds, Some(&clock::wait_until(Some(until), now))).is_err() {
            return Ok(false);
        }
        let mut ready = fds.into_iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
        let ended = alive.is_some() && ready.next().unwrap_or(false);
        for sink in [&mut self.stdout, &mut self.stderr] {
            if sink.is_open() && ready.next().unwrap_or(false) {
                sink.read(self.program)?;
            }
        }
        Ok(ended)
    }
}

struct Sink {
    pipe: Option<OwnedFd>,
    stream: Stream,
    bytes: Vec<u8>,
    max: usize,
}

impl Sink {
    const fn new(pipe: OwnedFd, stream: Stream, max: usize) -> Self {
        Self { pipe: Some(pipe), stream, bytes: Vec::new(), max }
    }

    const fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    fn read(&mut self, program: &str) -> Result<(), QuickError> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(count) => self.bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(QuickError::Wait { program: program.to_owned(), source: errno.into() }),
        }
        if self.bytes.len() > self.max {
            return Err(QuickError::TooMuch { program: program.to_owned(), stream: self.stream, max: self.max });
        }
        Ok(())
    }
}
