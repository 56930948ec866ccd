//! Others at work here: who drives which task, and what was left behind by runners that are gone.

use std::os::unix::fs::MetadataExt as _;

use super::examine::Notes;
use super::finding::Finding;
use crate::domain::id::RunId;
use crate::exec;
use crate::store::Store;
use crate::workspace::holder::{Holder, Liveness};
use crate::workspace::lock::{self, LockView, Subject};
use crate::workspace::state_dir::StateDir;
use crate::workspace::worktree::Worktree;

/// Most folders of runs that are looked at.
const RUNS_MAX: usize = 10_000;

pub(super) fn look(state: &StateDir, store: &dyn Store, worktree: &Worktree, notes: &Notes) {
    notes.turn_to("locks");
    let tasks = match store.tasks() {
        Ok(tasks) => tasks,
        Err(error) => {
            return notes.add(Finding::fail("locks", error.to_string(), "`orch verify` says more"));
        }
    };
    let mut driven = 0_usize;
    for stored in &tasks {
        let name = &stored.task.name;
        let live = stored.task.state.live_run().is_some();
        if let Some(finding) = of_lock(&format!("task {name}"), state, Subject::Task(name), live) {
            driven = driven.saturating_add(1);
            notes.add(finding);
        }
    }
    if driven == 0 {
        notes.add(Finding::ok("locks", format!("{} tasks, none is driven right now", tasks.len())));
    }
    if let Some(finding) = of_lock("this worktree", state, Subject::Worktree(worktree), false) {
        notes.add(finding);
    }
    notes.turn_to("leftovers");
    leftovers(state, store, notes);
}

fn of_lock(what: &str, state: &StateDir, subject: Subject<'_>, live: bool) -> Option<Finding> {
    const AREA: &str = "locks";
    let again = "`orch pipeline run` goes on from what it recorded";
    Some(match lock::look(state, subject) {
        Ok(LockView::Free) if live => Finding::warn(AREA, format!("{what} was left in the middle of a run"), again),
        Ok(LockView::Free) => return None,
        Ok(LockView::Abandoned(holder)) => {
            Finding::warn(AREA, format!("{what} was left by {}", holder.describe()), again)
        }
        Ok(LockView::Held { holder: Some(holder), .. }) => match other_build(&holder) {
            Some(program) => Finding::warn(
                AREA,
                format!("{what} is driven by {}, another build of orch: {program}", holder.describe()),
                "let it end before a newer orch changes the store",
            ),
            None => Finding::ok(AREA, format!("{what} is driven by {}", holder.describe())),
        },
        Ok(LockView::Held { holder: None, .. }) => Finding::warn(
            AREA,
            format!("{what} is held by an unknown holder"),
            "`fuser` on its lock file in locks/ names the process",
        ),
        Ok(LockView::Elsewhere { holder, .. }) => Finding::warn(
            AREA,
            format!("{what} was last driven from elsewhere: {}", holder.describe()),
            "another PID namespace or machine uses this state folder: look there",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Finding::fail(AREA, format!("could not {error}: the lock of {what} cannot be taken"), lock::UNSAFE_HELP)
        }
        Err(error) => Finding::warn(
            AREA,
            format!("the lock of {what} cannot be looked at: {error}"),
            "look at the owner and mode of locks/",
        ),
    })
}

/// The program of a living holder, where it is not the one that runs here.
fn other_build(holder: &Holder) -> Option<String> {
    if holder.liveness() != Liveness::Alive {
        return None;
    }
    let theirs = format!("/proc/{}/exe", holder.pid);
    let id = |path: &str| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let (ours, found) = (id("/proc/self/exe")?, id(&theirs)?);
    let name = || std::fs::read_link(&theirs).map_or_else(|_| "unknown".to_owned(), |path| path.display().to_string());
    (ours != found).then(name)
}

/// Supervisors that live without a runner: their attempts go on, and their results wait.
fn leftovers(state: &StateDir, store: &dyn Store, notes: &Notes) {
    const AREA: &str = "leftovers";
    let entries = std::fs::read_dir(state.path().join("runs")).into_iter().flatten().flatten();
    let mut found = 0_usize;
    for entry in entries.take(RUNS_MAX) {
        let Some(run) = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()) else { continue };
        // It lets go of its lock when it has brought everything to its record.
        let works = || lock::is_held(&entry.path().join(exec::SUPERVISOR_LOCK_FILE)).unwrap_or(true);
        let Some(pid) = exec::living_supervisor(&entry.path()).filter(|_| works()) else { continue };
        let task = store.run(run).ok().flatten().map(|record| record.task);
        let has_runner = task.as_ref().is_some_and(|task| {
            !matches!(lock::look(state, Subject::Task(task)), Ok(LockView::Free | LockView::Abandoned(_)))
        });
        // One that ended while its runner was looked for was no leftover.
        if has_runner || !works() {
            continue;
        }
        found = found.saturating_add(1);
        let (of, next) = match task {
            Some(task) => (
                format!(" of task {task}"),
                format!("`orch pipeline run --task {task}` waits for it and takes its result"),
            ),
            None => (String::new(), "the store does not know its run: `orch verify` says more".to_owned()),
        };
        notes.add(Finding::warn(
            AREA,
            format!("the supervisor of run {run}{of} lives without a runner, pid {pid}"),
            next,
        ));
    }
    if found == 0 {
        notes.add(Finding::ok(AREA, "no supervisor lives without its runner"));
    }
}
