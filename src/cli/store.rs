//! Opening what a command works on: worktree, state folder, store.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::pipeline::Argv;
use crate::domain::plan::Environment;
use crate::domain::task::Task;
use crate::exec::{self, Quick, QuickEnd, QuickError};
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use crate::workspace::damage::is_damage;
use crate::workspace::git::{Git, GitAnswer, GitCall, GitError};
use crate::workspace::state_dir::{StateDir, StateDirError, StateDirWish};
use crate::workspace::worktree::Worktree;

use super::ExitCode;
use super::args::StateArgs;
use super::output::{self, Problem};
use super::site;

/// Longest time for one question of a look.
const BRIEFLY: std::time::Duration = std::time::Duration::from_secs(20);

/// When it is said that git does not answer.
const GIT_IS_SLOW_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// Most state folders that are looked into for a folder's task.
const STATES_MAX: usize = 200;

/// A worktree and the state folder of its repository.
pub(super) struct Place {
    pub(super) worktree: Worktree,
    pub(super) state: StateDir,
}

/// git, asked through `exec`.
pub(super) fn git(start: &Path) -> Result<Git<'static>, Problem> {
    Git::find(&run_git, &|name| std::env::var_os(name), start).map_err(|error| of_git(&error))
}

/// The same for a look that should not take long.
pub(super) fn run_git_briefly(call: &GitCall<'_>) -> io::Result<GitAnswer> {
    run_git(&GitCall { deadline: call.deadline.min(BRIEFLY), ..*call })
}

/// An error number tells by itself what a machine is short of; of a missing file only the whole error tells the name.
fn of_quick(error: QuickError) -> io::Error {
    let number = match &error {
        QuickError::Start(failure) => failure.errno,
        QuickError::Wait { source, .. } => source.raw_os_error(),
        QuickError::TimedOut { .. } | QuickError::TooMuch { .. } => None,
    };
    let numbered = number.map(io::Error::from_raw_os_error);
    numbered
        .filter(|numbered| !matches!(numbered.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied))
        .unwrap_or_else(|| io::Error::other(error))
}

/// Starts git for the workspace; only `exec` starts processes.
fn run_git(call: &GitCall<'_>) -> io::Result<GitAnswer> {
    let text = |word: &OsString| {
        let refused =
            || io::Error::new(io::ErrorKind::InvalidInput, "a path or value that is not UTF-8 cannot be given to git");
        word.to_str().map(str::to_owned).ok_or_else(refused)
    };
    let words = call.argv.iter().map(text).collect::<io::Result<Vec<_>>>()?;
    let pairs = call.env.iter().map(|(name, value)| Ok((text(name)?, text(value)?))).collect::<io::Result<Vec<_>>>()?;
    let argv = Argv::new(words).map_err(io::Error::other)?;
    let quick = Quick {
        argv: &argv,
        cwd: call.cwd,
        env: &Environment::new(pairs),
        limit: call.deadline,
        output_max_bytes: usize::try_from(call.stdout_max).unwrap_or(usize::MAX),
    };
    let tell = || {
        let (what, after, limit) = (call.what, GIT_IS_SLOW_AFTER.as_secs(), call.deadline.as_secs());
        output::talk(&format!(
            "orch: git has not answered for {after} s: it was asked to {what}, and is given up after {limit} s"
        ));
    };
    let output = exec::quick_or_tell(quick, GIT_IS_SLOW_AFTER, &tell).map_err(of_quick)?;
    match output.end {
        QuickEnd::Code(code) => Ok(GitAnswer { code, stdout: output.stdout, stderr: output.stderr }),
        QuickEnd::Signal(signal) => Err(io::Error::other(format!("git was ended by signal {signal}"))),
    }
}

/// Opens the worktree and the state folder that the options name.
pub(super) fn place(options: &StateArgs, git: &Git<'_>) -> Result<Place, Problem> {
    state(options, worktree(options, git)?)
}

/// Opens the worktree alone; makes nothing.
pub(super) fn worktree(options: &StateArgs, git: &Git<'_>) -> Result<Worktree, Problem> {
    Worktree::open(git, &options.worktree).map_err(|error| {
        let problem = of_git(&error);
        // Whoever lost a task's `.git` must not make another repository there.
        let owner = if is_damage(&error) { site::owner_of(options, &options.worktree) } else { None };
        match owner {
            Some(task) if task.checkout.is_some() => problem.help(format!(
                "this is the worktree of task {0}, and its git is broken: `orch task add {0}`, given in the main checkout, mends \
                 it and keeps every file; `orch task cancel {0}` there ends the task",
                task.name
            )),
            Some(task) => problem.help(format!(
                "this is the checkout of task {}, and its git is broken: put its `.git` back from a copy or a clone; the files \
                 and orch's records are untouched",
                task.name
            )),
            None => problem,
        }
    })
}

/// State folders there are that may know a folder which git does not: the one that is named, else all of this user's.
pub(super) fn states_without_worktree(options: &StateArgs) -> Vec<PathBuf> {
    let Wish { flag, homes: [env, xdg_state_home, home] } = Wish::of(options);
    let set = |value: Option<OsString>| value.filter(|text| !text.is_empty()).map(PathBuf::from);
    if let Some(named) = flag.or_else(|| set(env)) {
        return vec![named];
    }
    let base = set(xdg_state_home).or_else(|| set(home).map(|home| home.join(".local/state")));
    let entries = base.and_then(|base| std::fs::read_dir(base.join("orch")).ok());
    entries.into_iter().flatten().flatten().take(STATES_MAX).map(|entry| entry.path()).collect()
}

/// The tasks of a store that is there and can be read.
pub(super) fn tasks_in(state: &Path) -> Option<Vec<Task>> {
    let store = SqliteStore::open_existing(state).ok()?;
    Some(store.tasks().ok()?.into_iter().map(|stored| stored.task).collect())
}

/// Where the state folder is wished to be.
struct Wish {
    flag: Option<PathBuf>,
    /// `ORCH_STATE_DIR`, `XDG_STATE_HOME` and `HOME`.
    homes: [Option<OsString>; 3],
}

impl Wish {
    fn of(options: &StateArgs) -> Self {
        let homes = ["ORCH_STATE_DIR", "XDG_STATE_HOME", "HOME"].map(std::env::var_os);
        Self { flag: options.state_dir.as_deref().map(without_dots), homes }
    }

    fn as_given(&self) -> StateDirWish<'_> {
        let [env, xdg_state_home, home] = self.homes.each_ref().map(Option::as_deref);
        StateDirWish { flag: self.flag.as_deref(), env, xdg_state_home, home }
    }
}

/// Opens the state folder that goes with a worktree.
pub(super) fn state(options: &StateArgs, worktree: Worktree) -> Result<Place, Problem> {
    let state = state_of(options, &worktree)?;
    output::hide_secrets(Some(state.path()))?;
    Ok(Place { worktree, state })
}

/// The state folder alone.
pub(super) fn state_of(options: &StateArgs, worktree: &Worktree) -> Result<StateDir, Problem> {
    let wish = Wish::of(options);
    StateDir::open(wish.as_given(), worktree, &cwd()?).map_err(|error| of_state_dir(&error))
}

/// The store, where it is there and can be read; makes nothing.
pub(super) fn peek(options: &StateArgs, worktree: &Worktree) -> Option<Box<dyn Store>> {
    let wish = Wish::of(options);
    let choice = StateDir::choose(wish.as_given(), worktree, &cwd().ok()?).ok()?;
    std::fs::symlink_metadata(&choice.path).ok()?;
    Some(Box::new(SqliteStore::open_existing(&choice.path).ok()?))
}

/// What would keep the state folder or its store from being used; makes nothing.
pub(super) fn trouble(options: &StateArgs, worktree: &Worktree) -> Option<Problem> {
    let wish = Wish::of(options);
    let wish = wish.as_given();
    let cwd = cwd().ok()?;
    let choice = match StateDir::choose(wish, worktree, &cwd) {
        Ok(choice) => choice,
        Err(error) => return Some(of_state_dir(&error)),
    };
    std::fs::symlink_metadata(&choice.path).ok()?;
    match StateDir::open(wish, worktree, &cwd) {
        Ok(state) => open_existing(&state).err(),
        Err(error) => Some(of_state_dir(&error)),
    }
}

/// Resolves `..` in a path as far as it exists; the rest stays as it is.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    let whole = path.canonicalize();
    let parent = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    whole.ok().or_else(parent).unwrap_or_else(|| path.to_owned())
}

/// Opens the store for a run, making it where there is none, and keeps a reserve: what runs may have to be recorded
/// while the disk is full.
pub(super) fn open(state: &StateDir, reserve_bytes: u64) -> Result<Box<dyn Store>, Problem> {
    let mut store = SqliteStore::open(state.path()).map_err(|error| of_store(&error))?;
    store.keep_reserve(reserve_bytes).map_err(|error| of_store(&error))?;
    Ok(Box::new(store))
}

/// Opens a store that must be there already; `None` where nothing has been run here yet.
pub(super) fn open_existing(state: &StateDir) -> Result<Option<Box<dyn Store>>, Problem> {
    match SqliteStore::open_existing(state.path()) {
        Ok(store) => Ok(Some(Box::new(store))),
        Err(StoreError::Absent { .. }) => Ok(None),
        Err(error) => Err(of_store(&error)),
    }
}

pub(super) fn cwd() -> Result<PathBuf, Problem> {
    std::env::current_dir().map_err(|error| {
        Problem::new(ExitCode::Usage, format!("the working folder cannot be told: {error}"))
            .help("change to a folder that is there")
    })
}

/// orch's own environment: pairs that are UTF-8.
pub(super) fn host_env() -> Vec<(String, String)> {
    let text = |value: OsString| value.into_string().ok();
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

pub(super) fn of_git(error: &GitError) -> Problem {
    let code = if error.is_of_the_machine() { ExitCode::Internal } else { ExitCode::Invalid };
    Problem::could_not(code, error).help(error.help())
}

pub(super) fn of_state_dir(error: &StateDirError) -> Problem {
    let code = if matches!(error, StateDirError::Gone(_)) { ExitCode::Internal } else { ExitCode::Invalid };
    Problem::could_not(code, error).help(error.help())
}

pub(super) fn of_store(error: &StoreError) -> Problem {
    let asked = matches!(error, StoreError::NoSuch { .. } | StoreError::Ambiguous { .. });
    let code = if asked { ExitCode::Usage } else { ExitCode::Internal };
    let problem = Problem::new(code, crate::runner::chain(error));
    match error.help() {
        Some(help) => problem.help(help),
        None => problem,
    }
}
