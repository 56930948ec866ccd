//! What the supervisor holds for the life of a run: its files, its signals, its line to the runner.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::poll;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};

use crate::domain::evidence::{Canceller, KillTier, SpawnFailure, SpawnStep};

use super::capture::Log;
use super::cgroup::{self, Leaf};
use super::clock;
use super::group::{self, Children};
use super::identity::{Hold, Identity, LOCK_FILE, try_lock};
use super::protocol::{Ask, Channel, Launch, Say};
use super::record::{EXITS_FILE, Ledger};
use super::sentinel::{self, Sentinel};
use super::spawn::{self, Born, Gifts};
use super::sweep::ROUND;

/// File with every attempt's standard output, one behind the other.
pub const STDOUT_FILE: &str = "stdout.log";
/// File with every attempt's standard error, one behind the other.
pub const STDERR_FILE: &str = "stderr.log";

/// Added to the `oom_score_adj` of children, of at most 1000: they go before their supervisor.
const OOM_SCORE_STEP: i32 = 500;

/// How long an idle supervisor may take to leave the run folder.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// What the supervisor holds.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) ledger: Ledger,
    pub(super) stdout: Log,
    pub(super) stderr: Log,
    pub(super) null: Null,
    pub(super) signals: Signals,
    /// The cgroup for producers, where there is one.
    pub(super) leaf: Option<Leaf>,
    /// Children that an earlier attempt left and that cannot be killed.
    pub(super) survivors: Vec<i32>,
    oom_score: i32,
    run_dir: PathBuf,
    runner: Option<Channel>,
    /// Dropped by the kernel at our death.
    _lock: File,
}

/// `/dev/null`.
#[derive(Debug)]
pub(super) struct Null(OwnedFd);

impl Null {
    /// It, for a reading or writing.
    pub(super) fn as_ref(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What came from the runner.
#[derive(Debug)]
pub(super) enum Heard {
    /// Start this.
    Launch(Box<Launch>),
    /// Stop.
    Stop(Canceller),
    /// It is gone.
    Gone,
}

impl Bench {
    /// Takes the run folder.
    ///
    /// # Errors
    /// The step is `supervisor`, and the subject the file that cannot be had. EWOULDBLOCK on the lock: another
    /// supervisor of this run lives.
    pub(super) fn set_up(run_dir: &Path, at_most: KillTier) -> Result<Self, SpawnFailure> {
        let failed = |subject: &'static str| move |error: io::Error| supervisor_failure(&error, subject);
        let lock = take_lock(run_dir)?;
        failpoint!("supervisor.locked", error => supervisor_failure(&error, LOCK_FILE));
        if let Some(leaf) = Identity::read(run_dir).filter(Identity::is_within_reach).and_then(|earlier| earlier.leaf) {
            cgroup::remove(&leaf);
        }
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| supervisor_failure(&errno.into(), "subreaper"))?;
        let signals = Signals::catch().map_err(failed("signals"))?;
        let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| supervisor_failure(&errno.into(), "/dev/null"))?;
        let ledger = Ledger::open(run_dir).map_err(failed(EXITS_FILE))?;
        let stdout = Log::open(&run_dir.join(STDOUT_FILE)).map_err(failed(STDOUT_FILE))?;
        let stderr = Log::open(&run_dir.join(STDERR_FILE)).map_err(failed(STDERR_FILE))?;
        let place = match at_most {
            KillTier::Cgroup => Leaf::place(),
            KillTier::Walk => None,
        };
        // Written before the cgroup is made, so that whoever comes after our death knows where to look.
        Identity::own(place.clone()).and_then(|identity| identity.write(run_dir)).map_err(failed("supervisor.json"))?;
        failpoint!("supervisor.named");
        let leaf = place.and_then(Leaf::make);
        Ok(Self {
            ledger,
            stdout,
            stderr,
            null: Null(null),
            signals,
            leaf,
            survivors: Vec::new(),
            oom_score: children_oom_score(),
            run_dir: run_dir.to_owned(),
            runner: None,
            _lock: lock,
        })
    }

    /// Reaps one child, without waiting. The number of one that is gone may be anybody's from then on.
    pub(super) fn reap(&mut self) -> Children {
        let seen = group::reap();
        match seen {
            Children::Reaped(reaped) => self.survivors.retain(|pid| *pid != reaped.pid),
            Children::None => self.survivors.clear(),
            Children::Living => {}
        }
        seen
    }

    /// Takes the line to the runner.
    pub(super) fn attach(&mut self, runner: Channel) {
        self.runner = Some(runner);
    }

    /// Starts a launch.
    pub(super) fn spawn(&mut self, launch: &Launch) -> Result<Born, SpawnFailure> {
        self.leaf = self.leaf.take().and_then(Leaf::renewed);
        let gifts = Gifts { null: self.null.as_ref(), oom_score: self.oom_score };
        spawn::spawn(launch, gifts, &mut self.leaf)
    }

    /// Tells by a file that a launch failed. Where it cannot be written, the runner tries, and says so if it cannot either.
    pub(super) fn tell_of_failure(&self, launch: &Launch, failure: &SpawnFailure) {
        let sentinel = Sentinel::of(launch.attempt, launch.argv.program(), failure, clock::wall());
        sentinel::leave(&self.run_dir, &sentinel).ok();
    }

    /// The line to the runner, while it is there.
    pub(super) fn runner(&self) -> Option<BorrowedFd<'_>> {
        self.runner.as_ref().map(|channel| channel.as_fd())
    }

    /// Tells the runner. One that is gone reads the record later.
    pub(super) fn say(&mut self, word: &Say) {
        if self.runner.as_ref().is_some_and(|runner| runner.send(word).is_err()) {
            self.hang_up();
        }
    }

    /// Takes one message. A runner that breaks the protocol counts as gone.
    pub(super) fn hear(&mut self) -> Heard {
        match self.runner.as_ref().map(Channel::receive) {
            Some(Ok(Some(Ask::Launch(wire)))) => Heard::Launch(Box::new(wire.into())),
            Some(Ok(Some(Ask::Stop { by }))) => Heard::Stop(by),
            Some(Ok(None) | Err(_)) | None => {
                self.hang_up();
                Heard::Gone
            }
        }
    }

    /// Drops the line to the runner.
    pub(super) fn hang_up(&mut self) {
        self.runner = None;
    }

    /// Orderly end.
    pub(super) fn clear(self) {
        if let Some(leaf) = self.leaf {
            leaf.remove();
        }
    }
}

/// Takes the run's lock. One that was idle when its runner died is just leaving, and is waited for.
fn take_lock(run_dir: &Path) -> Result<File, SpawnFailure> {
    let deadline = clock::boot() + LEAVES_WITHIN;
    loop {
        match try_lock(run_dir).map_err(|error| supervisor_failure(&error, LOCK_FILE))? {
            Hold::Ours(lock) => return Ok(lock),
            Hold::Taken if clock::boot() < deadline => {
                poll(&mut [], Some(&clock::wait_until(Some(ROUND), Duration::ZERO))).ok();
            }
            Hold::Taken => return Err(spawn::failure(SpawnStep::Supervisor, Errno::WOULDBLOCK, LOCK_FILE)),
        }
    }
}

/// A failure of the supervisor itself.
pub(super) fn supervisor_failure(error: &io::Error, subject: &str) -> SpawnFailure {
    spawn::failure(SpawnStep::Supervisor, Errno::from_io_error(error).unwrap_or(Errno::IO), subject)
}

fn children_oom_score() -> i32 {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    own.unwrap_or(0_i32).saturating_add(OOM_SCORE_STEP).min(1000)
}

/// Signals as readable descriptors.
#[derive(Debug)]
pub(super) struct Signals {
    child: UnixStream,
    term: UnixStream,
}

impl Signals {
    /// Catches what would end or confuse a supervisor. Caught, not ignored: what is ignored stays so across `execve`.
    fn catch() -> io::Result<Self> {
        group::default_dispositions();
        group::empty_mask();
        let pipe = |signals: &[i32]| -> io::Result<UnixStream> {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            for signal in signals {
                signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
            }
            Ok(read)
        };
        let child = pipe(&[SIGCHLD])?;
        let term = pipe(&[SIGTERM, SIGINT, SIGQUIT])?;
        let unheard = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGPIPE, SIGXFSZ, SIGALRM, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::clone(&unheard))?;
        }
        Ok(Self { child, term })
    }

    /// Readable after a child has ended.
    pub(super) fn child(&self) -> BorrowedFd<'_> {
        self.child.as_fd()
    }

    /// Readable after somebody asked us to stop.
    pub(super) fn term(&self) -> BorrowedFd<'_> {
        self.term.as_fd()
    }

    /// Forgets the ends that were told; to be called before looking for them.
    pub(super) fn forget_child(&self) {
        forget(&self.child);
    }

    /// Forgets that we were asked.
    pub(super) fn forget_term(&self) {
        forget(&self.term);
    }
}

fn forget(mut stream: &UnixStream) {
    use std::io::Read as _;
    let mut bytes = [0; 64];
    while stream.read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
}
