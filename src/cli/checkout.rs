//! `orch task add`, `remove` and `prune`: tasks with worktrees of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::Flags;
use crate::domain::checkout::{BranchName, Checkout};
use crate::domain::id::{Nonce, TaskName};
use crate::domain::task::{Task, TaskState};
use crate::runner::{Clock as _, Desk, SystemClock};
use crate::store::{Holder, Store};
use crate::workspace::checkout::{
    Broken, CheckoutError, How, Made, Wish, is_usable, list, make, open as open_checkout, remove as remove_checkout,
    set_aside, unsaved,
};
use crate::workspace::damage::is_damage;
use crate::workspace::git::Git;
use crate::workspace::heartbeat::Heartbeat;
use crate::workspace::holder;
use crate::workspace::lock::{Lock, Subject};
use crate::workspace::worktree::Worktree;

use super::args::{LockArgs, StateArgs, TaskAddArgs, TaskPruneArgs, TaskRemoveArgs};
use super::driver::{self, Asking};
use super::output::{self, Problem};
use super::site::{Site, of_checkout};
use super::status::existing;
use super::store::{Place, of_store};
use super::{ExitCode, goal, reach, store, talk, trouble, view};

/// A task's record under its lock, from a worktree that need not be its own.
struct Counter {
    place: Place,
    store: Box<dyn Store>,
    task: TaskName,
    holder: Holder,
    card: holder::Holder,
    /// Ends before the lock is released.
    _beating: Heartbeat,
    lock: Lock,
}

impl Counter {
    fn open(options: &StateArgs, lock: LockArgs, worktree: Worktree, task: TaskName) -> Result<Self, Problem> {
        let settings = goal::settings(&Flags::default(), None)?;
        let place = store::state(options, worktree)?;
        let clock = SystemClock;
        let card =
            holder::Holder::this_process(Nonce::new(clock.secret()), clock.now(), &talk::words_of_this_process());
        let holder = Holder { owner: card.describe(), pid: std::process::id() };
        let asking = Asking::at_most(lock.wait, None, options.json);
        let lock = driver::take(&place.state, Subject::Task(&task), &card, asking)?;
        let beating = driver::beat_for(&[&lock])?;
        let store = store::open(&place.state, settings.state_reserve_bytes())?;
        Ok(Self { place, store, task, holder, card, _beating: beating, lock })
    }

    fn known(&self) -> Result<Option<Task>, Problem> {
        Ok(self.store.task(&self.task).map_err(|error| of_store(&error))?.map(|stored| stored.task))
    }

    fn desk<'a>(&'a mut self, clock: &'a SystemClock) -> Desk<'a> {
        Desk {
            store: self.store.as_mut(),
            task: self.task.clone(),
            holder: self.holder.clone(),
            person: reach::person(),
            state: &self.place.state,
            lock: &self.lock,
            clock,
        }
    }

    fn document(&self) -> Result<Value, Problem> {
        let stored = reach::require(self.store.as_ref(), &self.task)?;
        let attempt = reach::last_attempt(self.store.as_ref(), &stored)?;
        let mut document = view::task(&stored, attempt.as_ref());
        document["version"] = json!(1);
        Ok(document)
    }
}

pub(super) fn add(options: &TaskAddArgs) -> Result<ExitCode, Problem> {
    let usage = |error: &dyn std::error::Error, help: &str| Problem::new(ExitCode::Usage, error.to_string()).help(help);
    let task = TaskName::new(options.task.as_str()).map_err(|error| usage(&error, "name the task in other words"))?;
    let branch = options.branch.as_deref().unwrap_or(task.as_str());
    let branch = BranchName::new(branch).map_err(|error| usage(&error, "name another branch with --branch"))?;
    let git = store::git(&options.state.worktree)?;
    let from = store::worktree(&options.state, &git)?;
    let mut counter = Counter::open(&options.state, options.lock, from, task)?;
    let known = counter.known()?;
    let wished = options.path.as_deref().map(|path| store::cwd().map(|cwd| cwd.join(path))).transpose()?;
    let path = match &known {
        Some(known) => known_path(known, &branch, options, wished)?,
        None => wished.map_or_else(|| default_path(&counter.place.worktree, &counter.task), Ok)?,
    };
    if known.as_ref().is_some_and(|known| known.state.live_run().is_some()) {
        let place = known.as_ref().map_or(path.as_path(), |known| &known.worktree);
        output::talk(&format!(
            "orch: {} is not the worktree any more that a run was left in, or is broken: what ran there can no longer be judged",
            place.display()
        ));
        counter.desk(&SystemClock).abandon().map_err(|error| trouble::of_run(&error))?;
    }
    let reason = format!("orch task {}", counter.task);
    let wish = Wish {
        branch: &branch,
        base: options.base.as_deref(),
        path: &path,
        reason: &reason,
        outside: &[counter.place.state.path()],
        broken: if known.is_some() { Broken::Mended } else { Broken::Refused },
    };
    let Made { worktree: made, how, aside } =
        make(&git, &counter.place.worktree, &wish).map_err(|error| of_checkout(&error))?;
    if let Some(aside) = &aside {
        output::talk(&format!(
            "orch: the folder that stood there could not be mended; it is {} now, with every file that was in it",
            aside.display()
        ));
    }
    free_of_others(&counter, &made)?;
    let recorded =
        known.as_ref().and_then(|known| known.checkout.as_ref()).map(|checkout| checkout.base_commit.clone());
    let base_commit = match (recorded, how) {
        (Some(base), _) => base,
        (None, How::New) => made.head().commit.to_string(),
        (None, How::OnBranch | How::Reused) => {
            made.base(&git, made.head()).map_err(|error| store::of_git(&error))?.commit.to_string()
        }
    };
    let checkout = Checkout { branch, base_commit, identity: Some(made.identity().digest()) };
    let place = made.toplevel().to_owned();
    let clock = SystemClock;
    let mut desk = counter.desk(&clock);
    let done = match known {
        Some(_) => desk.worktree_made(place.clone(), checkout.clone()),
        None => desk.add(place.clone(), checkout.clone()),
    };
    done.map_err(|error| trouble::of_run(&error))?;
    if options.state.json {
        let mut document = counter.document()?;
        document["made"] = json!(how.as_str());
        document["set_aside"] = json!(aside.map(|aside| aside.display().to_string()));
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    let with = match how {
        How::New => "a new branch",
        How::OnBranch => "which was there already",
        How::Reused => "in a worktree that was there already",
    };
    let base: String = checkout.base_commit.chars().take(12).collect();
    output::data(&format!(
        "task {}: worktree {} on branch {}, {with}; base {base}\nit runs with `orch pipeline run --task {}`",
        counter.task,
        place.display(),
        checkout.branch,
        counter.task
    ));
    Ok(ExitCode::Success)
}

/// Where the worktree of a task belongs that is there already: it is made again, or taken as it is now, and nothing else.
fn known_path(
    known: &Task,
    branch: &BranchName,
    options: &TaskAddArgs,
    wished: Option<PathBuf>,
) -> Result<PathBuf, Problem> {
    let taken = |why: String| {
        Problem::new(ExitCode::Usage, format!("there is a task {} already: {why}", known.name))
            .help(format!("name another; `orch task show {}` shows this one", known.name))
    };
    let Some(checkout) = &known.checkout else {
        return Err(taken(format!("it is {}, in {}", known.state.status(), known.worktree.display())));
    };
    if checkout.branch != *branch {
        return Err(taken(format!("it is on branch `{}`", checkout.branch)));
    }
    if options.base.is_some() {
        return Err(taken(format!("it started at {}", checkout.base_commit)));
    }
    let stands = checkout.identity.is_some_and(|identity| {
        let git = store::git(&known.worktree).ok();
        let found = git.and_then(|git| Worktree::open(&git, &known.worktree).ok().map(|found| (git, found)));
        found.is_some_and(|(git, found)| found.identity().digest() == identity && is_usable(&git, &found))
    });
    if stands {
        // Under its lock: nobody drives it, whatever is left of a run.
        return Err(taken(format!("it is {}, in {}", known.state.status(), known.worktree.display())));
    }
    Ok(wished.unwrap_or_else(|| known.worktree.clone()))
}

/// Beside the repository's folder, in one of all its tasks.
fn default_path(from: &Worktree, task: &TaskName) -> Result<PathBuf, Problem> {
    let common = from.common_dir();
    let folder = if common.file_name().is_some_and(|name| name == ".git") { common.parent() } else { Some(common) };
    let beside = folder.and_then(Path::parent).ok_or_else(|| {
        Problem::new(ExitCode::Usage, "there is no folder beside the repository").help("name a place with --path")
    })?;
    Ok(beside.join(format!("{}.worktrees", from.folder_name())).join(task.as_str()))
}

/// Refuses a worktree that another task has.
fn free_of_others(counter: &Counter, made: &Worktree) -> Result<(), Problem> {
    for stored in counter.store.tasks().map_err(|error| of_store(&error))? {
        let standing = stored.task.checkout.as_ref().is_some_and(|checkout| checkout.identity.is_some());
        if standing && stored.task.name != counter.task && stored.task.worktree == made.toplevel() {
            let path = made.toplevel().display();
            return Err(Problem::new(ExitCode::Usage, format!("{path} is the worktree of task {}", stored.task.name))
                .help("name another branch with --branch, or another place with --path"));
        }
    }
    Ok(())
}

pub(super) fn remove(options: &TaskRemoveArgs) -> Result<ExitCode, Problem> {
    // A worktree that is gone or not the recorded one is still to be taken off the list.
    let git = store::git(&options.state.worktree)?;
    let from = store::worktree(&options.state, &git)?;
    let task = match &options.task {
        Some(name) => goal::task_name(Some(name), &from)?,
        None => Site::find(&options.state, None)?.task(None)?,
    };
    let place = store::state(&options.state, store::worktree(&options.state, &git)?)?;
    reach::require(existing(&place)?.as_ref(), &task)?;
    let mut counter = Counter::open(&options.state, options.lock, from, task)?;
    let removed = remove_one(&mut counter, &git, options.force)?;
    if options.state.json {
        let mut document = counter.document()?;
        document["lost"] = json!(removed.lost);
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    output::data(&format!(
        "task {}: {} is removed; branch {} stays",
        counter.task,
        removed.path.display(),
        removed.branch
    ));
    Ok(ExitCode::Success)
}

struct Removed {
    path: PathBuf,
    branch: BranchName,
    lost: Vec<String>,
}

/// Removes a task's worktree under its lock and that of the checkout, where nothing is lost or a person said so.
fn remove_one(counter: &mut Counter, git: &Git<'_>, force: bool) -> Result<Removed, Problem> {
    let Removable { path, branch, lost, broken, _lock } = removable(counter, force)?;
    // What was given up is on record before it is gone.
    counter.desk(&SystemClock).worktree_removed(lost.clone()).map_err(|error| trouble::of_run(&error))?;
    if broken {
        let source = |source| of_checkout(&CheckoutError::Io { path: path.clone(), source });
        let aside = set_aside(&path).map_err(source)?;
        output::talk(&format!(
            "orch: what is in it was not compared, so nothing of it is deleted: it is {} now",
            aside.display()
        ));
    }
    let listed = list(git, &counter.place.worktree).map_err(|error| store::of_git(&error))?;
    if listed.iter().any(|known| known.path == path) {
        remove_checkout(git, &counter.place.worktree, &path).map_err(|error| store::of_git(&error))?;
    }
    Ok(Removed { path, branch, lost })
}

/// A worktree that may be removed.
struct Removable {
    path: PathBuf,
    branch: BranchName,
    lost: Vec<String>,
    /// Whether its git is broken, so that nobody can say what is in it.
    broken: bool,
    /// Nobody may begin to work there meanwhile; `None` where the folder is gone.
    _lock: Option<Lock>,
}

/// What would be removed, and what would be lost with it; a refusal where that must not be.
fn removable(counter: &Counter, force: bool) -> Result<Removable, Problem> {
    let usage = |text: String, help: String| Problem::new(ExitCode::Usage, text).help(help);
    let name = &counter.task;
    let Some(task) = counter.known()? else {
        return Err(usage(format!("there is no task {name}"), "`orch task list` lists the tasks there are".to_owned()));
    };
    let standing = task.checkout.as_ref().filter(|checkout| checkout.identity.is_some());
    let Some(checkout) = standing else {
        let help = "only a worktree that `orch task add` made is removed by orch".to_owned();
        return Err(usage(format!("task {name} has no worktree of its own"), help));
    };
    if !task.state.is_terminal() {
        let text = format!("task {name} is {}: its worktree is needed", task.state.status());
        return Err(usage(text, format!("end it first: `orch task cancel {name}`")));
    }
    let (path, branch) = (task.worktree.clone(), checkout.branch.clone());
    if !path.is_dir() {
        return Ok(Removable { path, branch, lost: Vec::new(), broken: false, _lock: None });
    }
    let own = store::git(&path)?;
    let opened = open_checkout(&own, &counter.place.worktree, &path);
    let usable = opened.as_ref().is_ok_and(|worktree| is_usable(&own, worktree));
    let worktree = match opened {
        Ok(worktree) if usable => worktree,
        // git itself could not be asked.
        Err(CheckoutError::Git(error)) if !is_damage(&error) => return Err(store::of_git(&error)),
        Ok(_) | Err(_) if force => {
            let lost = vec!["what is in it cannot be told: its git is broken".to_owned()];
            return Ok(Removable { path, branch, lost, broken: true, _lock: None });
        }
        Ok(_) | Err(_) => {
            let text = format!("{} is broken, so what would be lost with it cannot be told", path.display());
            let help = format!(
                "`orch task add {name}` mends it and keeps every file; or take it off the list with `orch task remove {name} --force`, \
                 which sets the folder aside"
            );
            return Err(usage(text, help));
        }
    };
    super::site::proven(&task, &worktree)?;
    let asking = Asking::at_most(Duration::ZERO, None, false);
    let lock = driver::take(&counter.place.state, Subject::Worktree(&worktree), &counter.card, asking)?;
    let kept = crate::runner::artifacts_of(counter.store.as_ref(), name).map_err(|error| of_store(&error))?;
    let lost = unsaved(&own, &worktree, &|path, digest| kept.get(path) == Some(digest))
        .map_err(|error| of_checkout(&error))?;
    if lost.is_empty() || force {
        return Ok(Removable { path, branch, lost, broken: false, _lock: Some(lock) });
    }
    let shown = lost.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = lost.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!("{} has what would be lost: {shown}{more}", path.display());
    Err(usage(text, format!("commit it there; or give it up with `orch task remove {name} --force`")))
}

pub(super) fn prune(options: &TaskPruneArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    let tasks = match store::open_existing(&place.state)? {
        Some(store) => store.tasks().map_err(|error| of_store(&error))?,
        None => Vec::new(),
    };
    for stored in tasks {
        let task = stored.task;
        let standing = task.checkout.as_ref().is_some_and(|checkout| checkout.identity.is_some());
        let over = matches!(task.state, TaskState::Done { .. } | TaskState::Cancelled { .. });
        if !standing || !over {
            continue;
        }
        if task.worktree == place.worktree.toplevel() {
            kept.push((task, "this command was given in it".to_owned()));
            continue;
        }
        let from = store::worktree(&options.state, &git)?;
        let tried = Counter::open(&options.state, LockArgs { wait: Duration::ZERO }, from, task.name.clone()).and_then(
            |mut counter| {
                if options.dry_run {
                    removable(&counter, false).map(drop)
                } else {
                    remove_one(&mut counter, &git, false).map(drop)
                }
            },
        );
        match tried {
            Ok(()) => removed.push(task),
            Err(problem) => kept.push((task, problem.message)),
        }
    }
    if options.state.json {
        let told = |task: &Task| json!({ "task": task.name.as_str(), "worktree": task.worktree.display().to_string() });
        let kept = kept.iter().map(|(task, why)| {
            let mut told = told(task);
            told["why"] = json!(why);
            told
        });
        output::document(&json!({
            "version": 1,
            "dry_run": options.dry_run,
            "removed": removed.iter().map(told).collect::<Vec<_>>(),
            "kept": kept.collect::<Vec<_>>(),
        }));
        return Ok(ExitCode::Success);
    }
    let word = if options.dry_run { "would be removed" } else { "is removed" };
    for task in &removed {
        output::data(&format!("task {}: {} {word}", task.name, task.worktree.display()));
    }
    for (task, why) in &kept {
        output::data(&format!("task {}: kept: {why}", task.name));
    }
    if removed.is_empty() && kept.is_empty() {
        output::data("no done or cancelled task has a worktree");
    }
    Ok(ExitCode::Success)
}
