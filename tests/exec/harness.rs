//! A run folder with a supervisor, and small parts for talking to children.

#![expect(clippy::disallowed_methods, reason = "tests start their helpers themselves")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orch::domain::evidence::{Canceller, Exit, ExitRecord, KillTier, LogSpan};
use orch::domain::id::{AttemptId, Nonce};
use orch::domain::pipeline::{Argv, Limits};
use orch::domain::plan::Environment;
use orch::exec::{Ending, Launch, MARK, OUTPUT_MAX_BYTES, STDERR_FILE, STDOUT_FILE, Supervisor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) const ORCH: &str = env!("CARGO_BIN_EXE_orch");
pub(crate) const TIERS: [KillTier; 2] = [KillTier::Cgroup, KillTier::Walk];

/// A uid that nothing else runs under, so that its processes can be counted.
const NOBODY: u32 = 54_321;

/// Far beyond what any test takes; a limit that fires where none should is a failure.
pub(crate) const LIMITS: Limits = Limits {
    total: Duration::from_mins(2),
    idle: Duration::from_mins(2),
    start: Duration::from_mins(2),
    grace: Duration::from_mins(1),
};

/// A run folder, its supervisor, and a working folder beside it.
pub(crate) struct Lab {
    pub(crate) supervisor: Supervisor,
    pub(crate) dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(KillTier::Cgroup, Path::new(ORCH))
    }

    pub(crate) fn with(tier: KillTier, program: &Path) -> Self {
        Self::within(tempfile::tempdir().unwrap(), tier, program)
    }

    pub(crate) fn within(dir: tempfile::TempDir, tier: KillTier, program: &Path) -> Self {
        fs::create_dir_all(dir.path().join("run")).unwrap();
        fs::create_dir_all(dir.path().join("work")).unwrap();
        let supervisor = Supervisor::start_with(program, &dir.path().join("run"), tier).unwrap();
        Self { supervisor, dir }
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Its cgroup for producers, where it could make one.
    pub(crate) fn leaf(&self) -> Option<PathBuf> {
        identity(&self.run_dir())["leaf"].as_str().map(PathBuf::from)
    }

    /// The working folder of its producers.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn launch(&self, words: &[&str]) -> Launch {
        launch(&self.work(), words)
    }

    pub(crate) fn sh(&self, script: &str) -> Launch {
        self.launch(&["sh", "-c", script])
    }

    /// Launches and waits for the record.
    pub(crate) fn run(&mut self, launch: &Launch) -> ExitRecord {
        self.supervisor.launch(launch).unwrap();
        self.record(None)
    }

    /// Waits for the record of what was launched.
    pub(crate) fn record(&mut self, stop: Option<BorrowedFd<'_>>) -> ExitRecord {
        match self.supervisor.wait(stop, Canceller::Request, &mut |_| ()).unwrap() {
            Ending::Ended(record) => *record,
            Ending::Lost(loss) => panic!("lost: {loss:?}"),
        }
    }

    /// Runs a script that has to exit with 0 and gives its stdout.
    pub(crate) fn says(&mut self, script: &str) -> String {
        let record = self.run(&self.sh(script));
        let (stdout, stderr) = (self.stdout(&record), self.stderr(&record));
        assert_eq!(record.exit, Exit::Exited { code: 0 }, "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    pub(crate) fn stdout(&self, record: &ExitRecord) -> Vec<u8> {
        part(&self.run_dir().join(STDOUT_FILE), &record.stdout)
    }

    pub(crate) fn stderr(&self, record: &ExitRecord) -> Vec<u8> {
        part(&self.run_dir().join(STDERR_FILE), &record.stderr)
    }

    /// A lab whose supervisor is not root, for what root may always do.
    pub(crate) fn as_nobody() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        if !rustix::process::geteuid().is_root() {
            return Self::with(KillTier::Walk, Path::new(ORCH));
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["run", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            std::os::unix::fs::chown(dir.path().join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let wrapper = script(
            dir.path(),
            "as-nobody",
            &format!(
                "#!/bin/sh\nexec {} --reuid {NOBODY} --regid {NOBODY} --clear-groups {} \"$@\"\n",
                tool("setpriv", "util-linux").display(),
                dir.path().join("orch").display(),
            ),
        );
        // The build folder may lie where others cannot go. Another process copies it, for the reason that `script` gives.
        let copied = Command::new("/bin/cp").arg(ORCH).arg(dir.path().join("orch")).status().unwrap();
        assert!(copied.success());
        Self::within(dir, KillTier::Walk, &wrapper)
    }

    /// Sets a resource limit of the running supervisor.
    pub(crate) fn limit_of_supervisor(&self, option: &str, value: usize) {
        let pid = self.supervisor.pid();
        // As the supervisor's own user: even root may not always do it to others.
        let owner = fs::metadata(format!("/proc/{pid}")).unwrap();
        let done = Command::new(tool("prlimit", "util-linux"))
            .uid(owner.uid())
            .gid(owner.gid())
            .args(["--pid", &pid.to_string(), &format!("{option}={value}:")])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// A FIFO in the working folder.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        fifo(&self.work().join(name))
    }

    /// Launches, and does something meanwhile.
    pub(crate) fn during(
        &mut self,
        launch: &Launch,
        stop: Option<BorrowedFd<'_>>,
        act: impl FnOnce() + Send,
    ) -> ExitRecord {
        self.supervisor.launch(launch).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(act);
            self.record(stop)
        })
    }
}

/// What the latest supervisor of a run has written about itself.
pub(crate) fn identity(run_dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(run_dir.join("supervisor.json")).unwrap()).unwrap()
}

pub(crate) fn launch(cwd: &Path, words: &[&str]) -> Launch {
    Launch {
        attempt: AttemptId::new(uuid::Uuid::now_v7()),
        nonce: Nonce::new(uuid::Uuid::new_v4()),
        argv: Argv::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap(),
        cwd: cwd.to_owned(),
        env: Environment::new([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]),
        limits: LIMITS,
        output_max_bytes: OUTPUT_MAX_BYTES,
    }
}

pub(crate) fn part(path: &Path, span: &LogSpan) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(span.bytes).unwrap()];
    File::open(path).unwrap().read_exact_at(&mut bytes, span.start).unwrap();
    bytes
}

pub(crate) fn fifo(path: &Path) -> PathBuf {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
    path.to_owned()
}

/// The reading end of a FIFO, opened before anybody writes.
pub(crate) struct Words(BufReader<File>);

impl Words {
    pub(crate) fn open(fifo: &Path) -> Self {
        // Open for writing too, so that the end of one writer is not the end of the FIFO.
        Self(BufReader::new(File::options().read(true).write(true).open(fifo).unwrap()))
    }

    /// The next line.
    ///
    /// # Panics
    /// After twenty seconds without one.
    pub(crate) fn next(&mut self) -> String {
        self.next_within(20)
    }

    /// The next line.
    ///
    /// # Panics
    /// After so many seconds without one.
    pub(crate) fn next_within(&mut self, seconds: i64) -> String {
        let mut line = String::new();
        let mut fds = [PollFd::from_borrowed_fd(self.0.get_ref().as_fd(), PollFlags::IN)];
        let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
        if self.0.buffer().is_empty() {
            assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "nobody said anything");
        }
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line as a pid.
    pub(crate) fn pid(&mut self) -> i32 {
        self.next().trim().parse().unwrap()
    }
}

/// An executable file. Another process writes it: a test that forks at the same moment would otherwise keep it open for
/// writing in its child, and `execve` would find it busy.
pub(crate) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

/// A program that some tests need.
///
/// # Panics
/// It is not installed.
pub(crate) fn tool(name: &str, package: &str) -> PathBuf {
    which::which(name).unwrap_or_else(|_| panic!("{name} is needed: apt-get install {package}"))
}

/// Whether a process is there and no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(
        |stat| !matches!(stat.rsplit(')').next().map(str::trim_start), Some(rest) if rest.starts_with(['Z', 'X'])),
    )
}

/// Waits until a process is gone or a zombie.
pub(crate) fn await_gone(pid: i32) {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
    let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    let mut fds = [PollFd::new(&handle, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })), Ok(1), "it lives on");
}

/// Sends a signal by its name.
pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("/bin/kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// How many processes carry an attempt's mark.
pub(crate) fn marked(attempt: &str) -> usize {
    let pair = format!("{MARK}={attempt}");
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|given| given == pair.as_bytes())
        })
        .count()
}

/// A process of the test's own, outside every attempt, with a mark; it says its pid to a FIFO and stays.
pub(crate) fn marked_stranger(mark: &str, fifo: &Path) -> Child {
    Command::new("/bin/sh").args(["-c", "echo $$ > \"$0\"; exec sleep 300"]).arg(fifo).env(MARK, mark).spawn().unwrap()
}
