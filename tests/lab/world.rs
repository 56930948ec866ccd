//! The made-up world of the simulation: one clock, attempts that end when the seed says so, a lock, and runners that
//! go from effect to effect only when they are told to.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Duration;

use jiff::Timestamp;
use orch::config::{Flags, Settings, Variables};
use orch::domain::evidence::{Canceller, Exit, ExitRecord, LogSpan, LostReason};
use orch::domain::id::{AttemptId, Digest, Nonce, RelPath, RunId, StageName, TaskName};
use orch::domain::pipeline::Pipeline;
use orch::exec::{
    Begun, BootId, Ending, ExecError, Launch, Loss, NotStarted, Progress, RecordError, Recovered, STDERR_FILE,
    STDOUT_FILE, Swept,
};
use orch::runner::{Clock, Desk, Notice, RunError, Runner, Supervises, Wanted, World};
use orch::store::sqlite::SqliteStore;
use orch::store::{
    AttemptRecord, Audit, Change, EventRecord, Holder, PendingEffect, Published, RunFilter, RunRecord, Store,
    StoreError, StoredTask, Version,
};
use orch::workspace::git::{Git, GitAnswer, GitCall, GitError};
use orch::workspace::lock::{Lock, Subject};
use orch::workspace::state_dir::{StateDir, StateDirWish};
use orch::workspace::tree::{Less, Snapshot, TreeError};
use orch::workspace::worktree::{Base, Head, Worktree};

use crate::draw::Draw;
use crate::support::{Shop, command};
use crate::yard::PIPELINE;

/// How a suite really ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    Pass,
    Fail,
    Net,
    Absent,
    Killed,
}

/// An attempt that was started.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    run_dir: PathBuf,
    nonce: Nonce,
    started_at: Timestamp,
    become_of: Become,
    truth: Option<Truth>,
    /// Somebody asked it to stop.
    asked: bool,
    /// It was started by a runner that had lost its lock.
    pub(crate) by_zombie: bool,
}

#[derive(Debug, Clone)]
enum Become {
    Runs,
    Ended(Box<ExitRecord>),
    Orphaned,
}

impl Process {
    pub(crate) const fn runs(&self) -> bool {
        matches!(self.become_of, Become::Runs)
    }

    /// What its suite did, where its end was seen.
    pub(crate) const fn truth(&self) -> Option<Truth> {
        self.truth
    }
}

/// Everything that runners share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Milliseconds of the wall clock.
    pub(crate) now: i64,
    ids: u128,
    secrets: Draw,
    pub(crate) processes: BTreeMap<AttemptId, Process>,
    /// Who has the lock.
    pub(crate) holder: Option<usize>,
    pub(crate) stop: [bool; 2],
    /// The next commit meets a busy store.
    pub(crate) busy: [bool; 2],
    committed: bool,
}

impl Shared {
    pub(crate) fn new(seed: u64) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            now: 1_790_000_000_000,
            ids: 0,
            secrets: Draw::new(!seed),
            processes: BTreeMap::new(),
            holder: None,
            stop: [false; 2],
            busy: [false; 2],
            committed: false,
        }))
    }

    pub(crate) fn take_committed(&mut self) -> bool {
        std::mem::take(&mut self.committed)
    }

    pub(crate) fn enters(&mut self, slot: usize) {
        self.holder = Some(slot);
        self.stop[slot] = false;
        self.busy[slot] = false;
    }

    /// Whether it still had the lock.
    pub(crate) fn leaves(&mut self, slot: usize) -> bool {
        let had = self.holder == Some(slot);
        if had {
            self.holder = None;
        }
        had
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now).unwrap()
    }

    /// The end of an attempt, with what it printed and its record.
    pub(crate) fn end(&mut self, attempt: AttemptId, truth: Truth) {
        let now = self.time();
        let process = self.processes.get_mut(&attempt).unwrap();
        let (stdout, stderr, exit) = match (process.asked, truth) {
            (true, _) => ("", "", Exit::Cancelled { by: Canceller::Shutdown }),
            (false, Truth::Pass) => ("1..1\nok 1 - pay\n", "", Exit::Exited { code: 0 }),
            (false, Truth::Fail) => ("1..1\nnot ok 1 - pay\n", "", Exit::Exited { code: 1 }),
            (false, Truth::Net) => {
                ("", "curl: (7) Failed to connect to registry port 443: Connection refused\n", Exit::Exited { code: 7 })
            }
            (false, Truth::Absent) => ("", "", Exit::Exited { code: 127 }),
            (false, Truth::Killed) => ("", "", Exit::Signalled { signal: 9, core: false }),
        };
        process.truth = (!process.asked).then_some(truth);
        let record = ExitRecord {
            began: true,
            stdout: append(&process.run_dir.join(STDOUT_FILE), stdout),
            stderr: append(&process.run_dir.join(STDERR_FILE), stderr),
            ..ExitRecord::without_process(attempt, process.nonce, exit, process.started_at, now)
        };
        process.become_of = Become::Ended(Box::new(record));
    }

    /// The end of a supervisor in the middle of an attempt.
    pub(crate) fn orphan(&mut self, attempt: AttemptId) {
        self.processes.get_mut(&attempt).unwrap().become_of = Become::Orphaned;
    }
}

fn append(path: &Path, text: &str) -> LogSpan {
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    let start = file.metadata().unwrap().len();
    file.write_all(text.as_bytes()).unwrap();
    LogSpan { start, bytes: text.len() as u64, dropped: None }
}

/// What does not change from seed to seed: a repository, its tree as git sees it, a pipeline, settings.
pub(crate) struct Ground {
    shop: Shop,
    worktree: Worktree,
    base: Base,
    tree: Snapshot,
    text: String,
    pipeline: Pipeline,
    settings: Settings,
}

fn run_git(call: &GitCall<'_>) -> std::io::Result<GitAnswer> {
    let (program, args) = call.argv.split_first().unwrap();
    let mut git = command(program);
    let output = git.args(args).current_dir(call.cwd).env_clear().envs(call.env.iter().cloned()).output()?;
    Ok(GitAnswer { code: output.status.code().unwrap(), stdout: output.stdout, stderr: output.stderr })
}

impl Ground {
    pub(crate) fn new() -> Self {
        let text = PIPELINE.replace("1ms..4ms", "30s..2m");
        let shop = Shop::new(&text, &[("suite.sh", "true\n")]);
        let env = |name: &str| match name {
            "HOME" | "XDG_CONFIG_HOME" => Some("/nonexistent".into()),
            name => std::env::var_os(name),
        };
        let git = Git::find(&run_git, &env, &shop.tree).unwrap();
        let worktree = Worktree::open(&git, &shop.tree).unwrap();
        let less = Less::new([RelPath::new("docs/work-items/t/13-test-report.md").unwrap()], []);
        let tree = Snapshot::take(&git, &worktree, &less, None).unwrap();
        let base = worktree.base(&git, worktree.head()).unwrap();
        let pipeline = orch::spec::load(text.as_bytes()).unwrap();
        let nothing: [(&str, &str); 0] = [];
        let settings = Settings::read(&Variables::new(nothing), &Flags::default(), Some(&pipeline)).unwrap();
        Self { shop, worktree, base, tree, text, pipeline, settings }
    }

    /// A folder in memory, where the machine has one.
    pub(crate) fn memory(&self) -> PathBuf {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { memory.to_owned() } else { self.shop.scratch("") }
    }

    pub(crate) fn worktree(&self) -> &Worktree {
        &self.worktree
    }

    pub(crate) fn state_dir(&self, folder: &Path) -> StateDir {
        let wish = StateDirWish { flag: Some(folder), env: None, xdg_state_home: None, home: None };
        StateDir::open(wish, &self.worktree, folder).unwrap()
    }

    /// A person releases the task's hold.
    pub(crate) fn release(&self, folder: &Path, shared: &Mutex<Shared>) -> Result<(), String> {
        let state = self.state_dir(folder);
        let task = TaskName::new("t").unwrap();
        let clock = Time { shared, slot: None };
        let card = orch::workspace::holder::Holder::this_process(Nonce::new(clock.secret()), clock.now(), &[]);
        let lock = Lock::acquire(&state, Subject::Task(&task), card).map_err(|error| error.to_string())?;
        let mut store = SqliteStore::open(folder).map_err(|error| error.to_string())?;
        let holder = Holder { owner: "lab".to_owned(), pid: 2 };
        let mut desk = Desk {
            store: &mut store,
            task,
            holder,
            person: "ada".to_owned(),
            state: &state,
            lock: &lock,
            clock: &clock,
        };
        desk.release(None, None).map_err(|error| format!("a hold cannot be released: {error:?}"))?;
        shared.lock().unwrap().committed = true;
        Ok(())
    }
}

/// A runner was told to die.
struct Died;

/// What the player says to a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    GoOn,
    Die,
}

/// What a runner says to the player.
enum Said {
    /// It is about to do this, and waits.
    At(&'static str),
    Ended(Result<(), RunError>),
    Died,
}

/// A runner in its thread.
pub(crate) struct Slot<'scope> {
    orders: Sender<Order>,
    said: Receiver<Said>,
    thread: std::thread::ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Slot<'scope> {
    /// Starts a runner; it waits at its first effect.
    pub(crate) fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        ground: &'env Ground,
        shared: &Arc<Mutex<Shared>>,
        state: &'env StateDir,
        slot: usize,
        wanted: Wanted,
    ) -> Self {
        let (orders, heard) = channel();
        let (says, said) = channel();
        let shared = Arc::clone(shared);
        let thread = scope.spawn(move || {
            let line = Arc::new(Line { says: says.clone(), heard: Mutex::new(heard) });
            let ended = catch_unwind(AssertUnwindSafe(|| run(ground, &shared, state, slot, &line, &wanted)));
            let last = match ended {
                Ok(ended) => Said::Ended(ended),
                Err(panic) if panic.is::<Died>() => Said::Died,
                Err(panic) => resume_unwind(panic),
            };
            says.send(last).ok();
        });
        let slot = Self { orders, said, thread };
        assert!(matches!(slot.said.recv(), Ok(Said::At(_))), "a runner does nothing");
        slot
    }

    /// Lets it do what it is at, up to the next effect.
    ///
    /// # Errors
    /// It has ended so.
    pub(crate) fn go_on(&mut self) -> Result<&'static str, Result<(), RunError>> {
        self.orders.send(Order::GoOn).unwrap();
        match self.said.recv() {
            Ok(Said::At(place)) => Ok(place),
            Ok(Said::Ended(ended)) => Err(ended),
            Ok(Said::Died) | Err(_) => panic!("a runner panicked; its seed is the last one"),
        }
    }

    /// It dies where it is.
    pub(crate) fn kill(self) {
        self.orders.send(Order::Die).ok();
        while !matches!(self.said.recv(), Ok(Said::Ended(_) | Said::Died) | Err(_)) {}
        self.thread.join().unwrap();
    }
}

/// A runner's side of the line to its player.
struct Line {
    says: Sender<Said>,
    heard: Mutex<Receiver<Order>>,
}

impl Line {
    /// An effect is next: waits for the word to go on, or dies.
    fn at(&self, place: &'static str) {
        self.says.send(Said::At(place)).ok();
        if self.heard.lock().unwrap().recv() != Ok(Order::GoOn) {
            resume_unwind(Box::new(Died));
        }
    }
}

fn run(
    ground: &Ground,
    shared: &Arc<Mutex<Shared>>,
    state: &StateDir,
    slot: usize,
    line: &Arc<Line>,
    wanted: &Wanted,
) -> Result<(), RunError> {
    line.at("starts");
    let mut store = Disturbed { inner: SqliteStore::open(state.path())?, shared, slot, line };
    let (never, _asks) = UnixStream::pair().unwrap();
    let clock = Time { shared, slot: Some(line) };
    let world = MadeUp { ground, shared, slot, line };
    let mut notify = |notice: Notice<'_>| {
        if matches!(notice, Notice::AttemptDecided { .. }) {
            line.at("tells");
        }
    };
    let mut runner = Runner {
        pipeline: &ground.pipeline,
        pipeline_text: ground.text.as_bytes(),
        pipeline_file: None,
        task: TaskName::new("t").unwrap(),
        world: &world,
        worktree: &ground.worktree,
        state,
        store: &mut store,
        holder: Holder { owner: format!("runner-{slot}"), pid: 2 },
        person: "ada".to_owned(),
        host_env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        settings: &ground.settings,
        repository: "shop".to_owned(),
        clock: &clock,
        stop: never.as_fd(),
        stopping: &|| shared.lock().unwrap().stop[slot],
        still_ours: &|| shared.lock().unwrap().holder == Some(slot),
        progress: None,
        notify: &mut notify,
    };
    runner.drive(wanted).map(drop)
}

/// The clock and the ids.
struct Time<'a> {
    shared: &'a Mutex<Shared>,
    /// Whoever asks may die there.
    slot: Option<&'a Line>,
}

impl Clock for Time<'_> {
    fn now(&self) -> Timestamp {
        let mut shared = self.shared.lock().unwrap();
        shared.now += 1;
        shared.time()
    }

    fn id(&self) -> uuid::Uuid {
        if let Some(line) = self.slot {
            line.at("makes an id");
        }
        let mut shared = self.shared.lock().unwrap();
        shared.ids += 1;
        uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + shared.ids)
    }

    fn secret(&self) -> uuid::Uuid {
        let mut shared = self.shared.lock().unwrap();
        uuid::Uuid::from_u64_pair(shared.secrets.next(), shared.secrets.next())
    }
}

/// git's view, processes and time.
struct MadeUp<'a> {
    ground: &'a Ground,
    shared: &'a Arc<Mutex<Shared>>,
    slot: usize,
    line: &'a Arc<Line>,
}

impl World for MadeUp<'_> {
    fn base(&self, _: &Worktree, _: &Head) -> Result<Base, GitError> {
        Ok(self.ground.base.clone())
    }

    fn snapshot(&self, _: &Worktree, _: &Less, _: Option<&Snapshot>) -> Result<Snapshot, TreeError> {
        self.line.at("looks at the tree");
        Ok(self.ground.tree.clone())
    }

    fn supervise(&self, run_dir: &Path, _: &Launch) -> Result<Box<dyn Supervises>, NotStarted> {
        self.line.at("starts a supervisor");
        Ok(Box::new(Supervisor {
            run_dir: run_dir.to_owned(),
            current: None,
            shared: Arc::clone(self.shared),
            line: Arc::clone(self.line),
            slot: self.slot,
        }))
    }

    fn recover(
        &self,
        _: &Path,
        (attempt, _): (AttemptId, Nonce),
        _: &BootId,
        _: Duration,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Recovered, RecordError> {
        loop {
            self.line.at("looks what became of an attempt");
            let shared = self.shared.lock().unwrap();
            match shared.processes.get(&attempt).map(|process| &process.become_of) {
                Some(Become::Runs) if stop.is_some() && shared.stop[self.slot] => {
                    return Ok(Recovered::Living { pid: None });
                }
                Some(Become::Runs) => {}
                Some(Become::Ended(record)) => return Ok(Recovered::Settled(Ending::Ended(record.clone()))),
                Some(Become::Orphaned) => {
                    return Ok(Recovered::Settled(lost(LostReason::SupervisorDied, Begun::Yes)));
                }
                None => return Ok(Recovered::Settled(lost(LostReason::NeverStarted, Begun::No))),
            }
        }
    }

    fn stop_orphan(&self, run_dir: &Path) -> bool {
        let mut shared = self.shared.lock().unwrap();
        let mut found = false;
        for process in shared.processes.values_mut().filter(|process| process.run_dir == run_dir && process.runs()) {
            process.asked = true;
            found = true;
        }
        found
    }

    fn sleep(&self, _: BorrowedFd<'_>, time: Duration) {
        self.line.at("sleeps");
        self.shared.lock().unwrap().now += i64::try_from(time.as_millis()).unwrap();
    }
}

fn lost(reason: LostReason, begun: Begun) -> Ending {
    let (stdout, stderr) = (LogSpan::default(), LogSpan::default());
    Ending::Lost(Loss { reason, begun, stdout, stderr, swept: Swept::default() })
}

/// A runner's line to a supervisor that is only a row of [`Shared`].
struct Supervisor {
    run_dir: PathBuf,
    current: Option<AttemptId>,
    shared: Arc<Mutex<Shared>>,
    line: Arc<Line>,
    slot: usize,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("current", &self.current).finish_non_exhaustive()
    }
}

impl Supervises for Supervisor {
    fn tick_every(&mut self, _: Option<Duration>) {}

    fn launch(&mut self, launch: &Launch) -> Result<(), ExecError> {
        self.line.at("launches");
        let mut shared = self.shared.lock().unwrap();
        let process = Process {
            run_dir: self.run_dir.clone(),
            nonce: launch.nonce,
            started_at: shared.time(),
            become_of: Become::Runs,
            truth: None,
            asked: false,
            by_zombie: shared.holder != Some(self.slot),
        };
        let before = shared.processes.insert(launch.attempt, process);
        assert!(before.is_none(), "I5: attempt {} is started twice", launch.attempt);
        self.current = Some(launch.attempt);
        Ok(())
    }

    fn wait(
        &mut self,
        _: Option<BorrowedFd<'_>>,
        _: Canceller,
        on: &mut dyn FnMut(Progress),
    ) -> Result<Ending, ExecError> {
        let attempt = self.current.ok_or(ExecError::Idle)?;
        loop {
            // It may be woken for nothing, and long after the end.
            self.line.at("waits for an end");
            let mut shared = self.shared.lock().unwrap();
            let stop = shared.stop[self.slot];
            let process = shared.processes.get_mut(&attempt).unwrap();
            match &process.become_of {
                Become::Runs if stop && !process.asked => {
                    process.asked = true;
                    on(Progress::Stopping);
                }
                Become::Runs => {}
                Become::Ended(record) => return Ok(Ending::Ended(record.clone())),
                Become::Orphaned => return Ok(lost(LostReason::SupervisorDied, Begun::Yes)),
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<(), ExecError> {
        Ok(())
    }
}

/// The real store, whose runner may die before and after every change, and which is busy now and then.
struct Disturbed<'a> {
    inner: SqliteStore,
    shared: &'a Mutex<Shared>,
    slot: usize,
    line: &'a Line,
}

impl std::fmt::Debug for Disturbed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Disturbed<'_> {
    fn change<T>(&mut self, make: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.line.at("changes the store");
        if std::mem::take(&mut self.shared.lock().unwrap().busy[self.slot]) {
            return Err(StoreError::Busy { waited: Duration::from_secs(5) });
        }
        let made = make(&mut self.inner);
        self.shared.lock().unwrap().committed |= made.is_ok();
        self.line.at("has changed the store");
        made
    }
}

impl Store for Disturbed<'_> {
    fn commit(&mut self, change: &Change) -> Result<Version, StoreError> {
        self.change(|store| store.commit(change))
    }

    fn commit_all(&mut self, changes: &[Change]) -> Result<Vec<Result<Version, StoreError>>, StoreError> {
        self.change(|store| store.commit_all(changes))
    }

    fn effect_done(&mut self, id: &str) -> Result<(), StoreError> {
        self.change(|store| store.effect_done(id))
    }

    fn task(&self, name: &TaskName) -> Result<Option<StoredTask>, StoreError> {
        self.line.at("reads the task");
        self.inner.task(name)
    }

    fn tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        self.inner.tasks()
    }

    fn is_short_of_room(&self) -> bool {
        self.inner.is_short_of_room()
    }

    fn live_tasks(&self) -> Result<Vec<Result<StoredTask, StoreError>>, StoreError> {
        self.inner.live_tasks()
    }

    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.inner.run(id)
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs(filter)
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<AttemptRecord>, StoreError> {
        self.inner.attempt(id)
    }

    fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.inner.attempts(run)
    }

    fn last_attempt(&self, run: RunId, stage: Option<&StageName>) -> Result<Option<AttemptRecord>, StoreError> {
        self.inner.last_attempt(run, stage)
    }

    fn published(&self, run: RunId) -> Result<Vec<Published>, StoreError> {
        self.inner.published(run)
    }

    fn find_run(&self, prefix: &str) -> Result<RunId, StoreError> {
        self.inner.find_run(prefix)
    }

    fn find_attempt(&self, prefix: &str) -> Result<AttemptId, StoreError> {
        self.inner.find_attempt(prefix)
    }

    fn events(&self, task: &TaskName, after: Version) -> Result<Vec<EventRecord>, StoreError> {
        self.inner.events(task, after)
    }

    fn artifact(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.artifact(digest)
    }

    fn pipeline(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.pipeline(digest)
    }

    fn pending_effects(&self, task: Option<&TaskName>) -> Result<Vec<PendingEffect>, StoreError> {
        self.inner.pending_effects(task)
    }

    fn verify(&self) -> Result<Audit, StoreError> {
        self.inner.verify()
    }
}
