//! Reaching a task that is there already: its name, its lock, its pinned pipeline, its own worktree.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::config::Flags;
use crate::domain::id::{Nonce, TaskName};
use crate::domain::task::TaskState;
use crate::exec;
use crate::runner::{Clock as _, Desk, Machine, Notice, RunError, Runner, SystemClock};
use crate::spec;
use crate::store::{AttemptRecord, Holder, RunFilter, Store, StoredTask};
use crate::workspace::heartbeat::Heartbeat;
use crate::workspace::holder::{self, Liveness};
use crate::workspace::lock::{Lock, LockView, Subject, look};
use crate::workspace::worktree::Worktree;

use super::args::{LockArgs, StateArgs};
use super::driver::Asking;
use super::output::{self, Problem};
use super::site::Site;
use super::status::existing;
use super::store::{Place, of_store};
use super::{ExitCode, driver, goal, store, talk, trouble, view};

/// How long a runner that was asked to stop may take; its own grace is part of it.
const STOPS_WITHIN: Duration = Duration::from_mins(2);
/// Pause between two looks at a lock.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// A task under this process's lock.
pub(super) struct Reached {
    pub(super) place: Place,
    pub(super) store: Box<dyn Store>,
    pub(super) task: TaskName,
    holder: Holder,
    /// Ends before the lock is released.
    _beating: Heartbeat,
    lock: Lock,
}

/// What to do about a runner that drives the task right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LiveRunner {
    /// Refuse: exit 4.
    LeaveIt,
    /// Ask it to stop, and wait until it has.
    StopIt,
}

impl Reached {
    /// Takes the task's lock and opens the store, which must be there.
    pub(super) fn open(
        name: Option<&str>,
        options: &StateArgs,
        lock: LockArgs,
        driven: LiveRunner,
    ) -> Result<Self, Problem> {
        let (worktree, task) = named(name, options)?;
        let place = store::state(options, worktree)?;
        // Before the lock: a name that is mistyped makes no lock of its own.
        require(existing(&place)?.as_ref(), &task)?;
        let clock = SystemClock;
        let card =
            holder::Holder::this_process(Nonce::new(clock.secret()), clock.now(), &talk::words_of_this_process());
        let holder = Holder { owner: card.describe(), pid: std::process::id() };
        if driven == LiveRunner::StopIt {
            stop_runner(&place, &task)?;
        }
        let asking = Asking::at_most(lock.wait, None, options.json);
        let lock = driver::take(&place.state, Subject::Task(&task), &card, asking)?;
        let beating = driver::beat_for(&[&lock])?;
        let store = existing(&place)?;
        Ok(Self { place, store, task, holder, _beating: beating, lock })
    }

    /// The task as it stands.
    pub(super) fn stored(&self) -> Result<StoredTask, Problem> {
        require(self.store.as_ref(), &self.task)
    }

    /// The task for machines.
    pub(super) fn document(&self) -> Result<serde_json::Value, Problem> {
        let stored = self.stored()?;
        let attempt = last_attempt(self.store.as_ref(), &stored)?;
        let mut document = view::task(&stored, attempt.as_ref());
        document["version"] = serde_json::json!(1);
        Ok(document)
    }

    /// Where a person's commands on it are recorded.
    pub(super) fn desk<'a>(&'a mut self, clock: &'a SystemClock) -> Desk<'a> {
        Desk {
            store: self.store.as_mut(),
            task: self.task.clone(),
            holder: self.holder.clone(),
            person: person(),
            state: &self.place.state,
            lock: &self.lock,
            clock,
        }
    }

    /// Does something with a runner in the task's own worktree, under the pipeline that it was left with. A runner
    /// that is `stopping` passes that on to whatever still works on the task.
    pub(super) fn with_runner<T>(
        &mut self,
        stopping: bool,
        act: impl FnOnce(&mut Runner<'_>) -> Result<T, RunError>,
    ) -> Result<T, Problem> {
        let internal = |text: String| Problem::new(ExitCode::Internal, text);
        let stored = self.stored()?;
        let git = store::git(&stored.task.worktree)?;
        let worktree = Worktree::open(&git, &stored.task.worktree).map_err(|error| store::of_git(&error))?;
        // Another task's run in this checkout would judge what is written here.
        let asking = Asking::at_most(Duration::ZERO, None, false);
        let checkout = driver::take(&self.place.state, Subject::Worktree(&worktree), self.lock.card(), asking)?;
        let text = self.pinned_text()?;
        let pipeline = spec::load(&text)
            .map_err(|_| internal(format!("this version of orch refuses the pipeline of task {}", self.task)))?;
        let settings = goal::settings(&Flags::default(), Some(&pipeline))?;
        let repository = goal::repository(&git, &worktree, &pipeline)?;
        let (stop, mut asked) =
            UnixStream::pair().map_err(|error| internal(format!("could not make a pipe: {error}")))?;
        if stopping {
            asked.write_all(b"s").map_err(|error| internal(format!("could not write to a pipe: {error}")))?;
        }
        let mut notify = |notice: Notice<'_>| talk::tell(&notice);
        let lock = &self.lock;
        let mut runner = Runner {
            pipeline: &pipeline,
            pipeline_text: &text,
            pipeline_file: None,
            task: self.task.clone(),
            world: &Machine { git: &git },
            worktree: &worktree,
            state: &self.place.state,
            store: self.store.as_mut(),
            holder: self.holder.clone(),
            person: person(),
            host_env: store::host_env(),
            settings: &settings,
            repository,
            clock: &SystemClock,
            stop: stop.as_fd(),
            stopping: &|| stopping,
            still_ours: &|| lock.is_ours() && checkout.is_ours(),
            progress: None,
            notify: &mut notify,
        };
        act(&mut runner).map_err(|error| trouble::of_run(&error))
    }

    fn pinned_text(&self) -> Result<Vec<u8>, Problem> {
        let lost = || {
            Problem::new(ExitCode::Internal, format!("the pipeline of task {} is not in the store", self.task))
                .help("`orch verify` looks at the whole store")
        };
        let filter = RunFilter { task: Some(self.task.clone()), limit: Some(1) };
        let runs = self.store.runs(&filter).map_err(|error| of_store(&error))?;
        let digest = runs.first().map(|run| run.start.pipeline_digest).ok_or_else(lost)?;
        self.store.pipeline(&digest).map_err(|error| of_store(&error))?.ok_or_else(lost)
    }
}

/// The attempt that led a waiting task where it is; `None` where nothing of the stage was started.
pub(super) fn last_attempt(store: &dyn Store, stored: &StoredTask) -> Result<Option<AttemptRecord>, Problem> {
    let before_a_start = matches!(&stored.task.state, TaskState::Held { reason, .. } if reason.is_before_a_start());
    match stored.task.state.stage() {
        Some(stage) if !before_a_start => {
            crate::store::last_attempt(store, &stored.task.name, stage).map_err(|error| of_store(&error))
        }
        Some(_) | None => Ok(None),
    }
}

/// The latest attempt of each stage whose declared producer another one stood in for (row B8), in the order of the names.
pub(super) fn stood_in(store: &dyn Store, stored: &StoredTask) -> Result<Vec<AttemptRecord>, Problem> {
    let mut found = Vec::new();
    for (stage, _) in stored.task.visits.iter() {
        let last = crate::store::last_attempt(store, &stored.task.name, stage).map_err(|error| of_store(&error))?;
        found.extend(last.filter(|attempt| attempt.intent.fallback));
    }
    Ok(found)
}

/// The worktree that a command about a task is given in, and the task: the named one, else the one that the worktree
/// belongs to, else the branch's. The task's own worktree need not be there.
pub(super) fn named(name: Option<&str>, options: &StateArgs) -> Result<(Worktree, TaskName), Problem> {
    if name.is_none() {
        let site = Site::find(options, None)?;
        let task = site.task(None)?;
        return Ok((site.worktree, task));
    }
    let git = store::git(&options.worktree)?;
    let worktree = store::worktree(options, &git)?;
    let task = goal::task_name(name, &worktree)?;
    Ok((worktree, task))
}

/// A task that must be there.
pub(super) fn require(store: &dyn Store, task: &TaskName) -> Result<StoredTask, Problem> {
    store.task(task).map_err(|error| of_store(&error))?.ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("there is no task {task}"))
            .help("`orch status` lists the tasks there are")
    })
}

/// Asks the runner that drives the task to stop, and waits until the kernel says that it has gone.
pub(super) fn stop_runner(place: &Place, task: &TaskName) -> Result<(), Problem> {
    let look = || {
        look(&place.state, Subject::Task(task)).map_err(|error| {
            Problem::new(ExitCode::Internal, format!("could not look at the lock of task {task}: {error}"))
        })
    };
    let LockView::Held { holder: Some(holder), .. } = look()? else { return Ok(()) };
    let refused = |why: &str| {
        Problem::new(ExitCode::Locked, format!("task {task} is driven by {}: {why}", holder.describe()))
            .help("stop it where it runs, then give this command again")
    };
    if holder.liveness() != Liveness::Alive {
        return Err(refused("it cannot be reached from here"));
    }
    if !exec::ask_to_stop(holder.pid, holder.start_ticks, holder.pidfd) {
        return Err(refused("it could not be asked to stop"));
    }
    output::talk(&format!("orch: asked {} to stop", holder.describe()));
    let mut waited = Duration::ZERO;
    while matches!(look()?, LockView::Held { .. }) {
        if waited >= STOPS_WITHIN {
            return Err(refused("it was asked to stop and has not ended yet"));
        }
        driver::pause(LOOKS_EVERY, None);
        waited += LOOKS_EVERY;
    }
    Ok(())
}

/// Who gives the command, for the record.
pub(super) fn person() -> String {
    let named =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    named.map_or_else(
        || format!("uid {}", rustix::process::getuid().as_raw()),
        |name| name.chars().filter(|c| !c.is_control()).take(64).collect(),
    )
}
