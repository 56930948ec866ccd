//! orch as a process: started, signalled, waited for with a deadline, and what it said.

#![expect(clippy::disallowed_methods, reason = "tests start the program as its users do")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::Value;

/// Longest time that one call of orch may take; far beyond what any test takes.
const DEADLINE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// A call of orch that is being put together.
#[derive(Debug)]
pub(crate) struct Orch(Command);

impl Orch {
    pub(crate) const fn new(command: Command) -> Self {
        Self(command)
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.0.arg(word);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.0.current_dir(folder);
        self
    }

    pub(crate) fn stdin(mut self, file: File) -> Self {
        self.0.stdin(file);
        self
    }

    /// Puts another program in front, which gets orch and its words as arguments.
    pub(crate) fn under(self, program: &Path, words: &[&str]) -> Self {
        let mut outer = command(program);
        outer.args(words).arg(self.0.get_program()).args(self.0.get_args()).env_clear();
        outer.envs(self.0.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = self.0.get_current_dir() {
            outer.current_dir(folder);
        }
        Self(outer)
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Going {
        let [stdout, stderr] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        self.0.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        // A stdin that was given stays.
        let child = self.0.spawn().unwrap();
        Going { child, stdout, stderr }
    }

    /// Starts it with another stderr.
    pub(crate) fn start_talking_to(mut self, stderr: impl Into<Stdio>) -> Going {
        let [stdout, unused] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let child = self.0.stdout(stdout.try_clone().unwrap()).stderr(stderr).spawn().unwrap();
        Going { child, stdout, stderr: unused }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }
}

/// orch under way.
#[derive(Debug)]
pub(crate) struct Going {
    child: Child,
    stdout: File,
    stderr: File,
}

impl Going {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub(crate) fn end(mut self) -> Ended {
        let handle = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)];
        let in_time = poll(&mut fds, Some(&DEADLINE)) == Ok(1);
        if !in_time {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = [self.stdout, self.stderr].map(|mut file| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let ended = Ended { status, raw_stdout: stdout, raw_stderr: stderr };
        assert!(in_time, "orch did not end\n{ended}");
        ended
    }

    /// Kills it and takes it off the process table.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().status.signal(), Some(9));
    }
}

/// How a call of orch ended, and what it said. Every check shows all of it when it fails.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) raw_stdout: Vec<u8>,
    pub(crate) raw_stderr: Vec<u8>,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout(), self.stderr())
    }
}

impl Ended {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.raw_stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.raw_stderr).into_owned()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The first line of the answer.
    pub(crate) fn headline(&self) -> String {
        self.stdout().lines().next().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self}");
        self
    }

    /// stdout has this.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stdout().contains(part), "stdout does not say {part:?}\n{self}");
        self
    }

    /// stderr has this.
    #[track_caller]
    pub(crate) fn talks(self, part: &str) -> Self {
        assert!(self.stderr().contains(part), "stderr does not say {part:?}\n{self}");
        self
    }

    /// Neither stream has this.
    #[track_caller]
    pub(crate) fn never(self, part: &str) -> Self {
        assert!(!self.stdout().contains(part) && !self.stderr().contains(part), "it says {part:?}\n{self}");
        self
    }

    /// Held: the first line says so and no good word (row C22), and the next says what to do.
    #[track_caller]
    pub(crate) fn held(self, code: i32, part: &str) -> Self {
        let headline = self.headline();
        assert!(headline.contains("HELD"), "{self}");
        for good in ["done", "pass", "green", "success", "PASS", " ok"] {
            assert!(!headline.contains(good), "the headline says {good:?}\n{self}");
        }
        self.exits(code).says(part).says("orch explain")
    }

    /// An error: what happened, and what to do next.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, what: &str) -> Self {
        assert_eq!(self.stdout(), "", "{self}");
        self.exits(code).talks("error: ").talks(what).talks("help: ")
    }

    /// stdout as one document of version 1.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let document: Value =
            serde_json::from_slice(&self.raw_stdout).unwrap_or_else(|error| panic!("{error}\n{self}"));
        assert_eq!(document["version"], 1, "{self}");
        document
    }
}

/// The supervisor that orch started: its only child of that kind.
pub(crate) fn supervisor_of(orch: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{orch}/task/{orch}/children")).unwrap();
    let is_supervisor = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.windows(11).any(|part| part == b"__supervise"))
    };
    children.split_whitespace().map(|pid| pid.parse().unwrap()).find(is_supervisor).expect("orch has a supervisor")
}

/// Waits until a process has ended, at most a minute; it need not be a child.
pub(crate) fn await_end(pid: i32) {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
    // One that is gone cannot be opened.
    let Ok(alive) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    let mut fds = [rustix::event::PollFd::new(&alive, rustix::event::PollFlags::IN)];
    let minute = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&minute)), Ok(1), "the process does not end");
}

/// Whether a process is there and no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(
        |stat| !matches!(stat.rsplit(')').next().map(str::trim_start), Some(rest) if rest.starts_with(['Z', 'X'])),
    )
}
