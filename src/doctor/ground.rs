//! The ground a run stands on: git, the worktree, the state folder, the store.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::examine::{Notes, Visit};
use super::finding::Finding;
use super::privacy;
use crate::config::{Flags, STATE_FREE_MIN, Settings, Variables, WORKTREE_FREE_MIN};
use crate::domain::decision::size;
use crate::domain::id::{RelPath, TaskName};
use crate::domain::pipeline::Pipeline;
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;
use crate::workspace::filesystem;
use crate::workspace::git::Git;
use crate::workspace::state_dir::{StateDir, StateDirError};
use crate::workspace::tree::{Less, Snapshot};
use crate::workspace::tree_cache;
use crate::workspace::worktree::Worktree;

/// Below this much not even its first transaction fits.
const STATE_FREE_LEAST_BYTES: u64 = 1024 * 1024;

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

pub(super) fn worktree(visit: &Visit, notes: &Notes) -> Option<Worktree> {
    notes.turn_to("git");
    let git = match &visit.git {
        Ok(git) => git,
        Err(error) => {
            notes.add(Finding::fail("git", format!("could not {}", chain(error)), error.help()));
            return None;
        }
    };
    match git.version() {
        Ok(version) => notes.add(Finding::ok("git", format!("{version} at {}", git.program().display()))),
        Err(error) => notes.add(Finding::fail("git", format!("could not {}", chain(&error)), error.help())),
    }
    notes.turn_to("worktree");
    let worktree = match Worktree::open(git, &visit.worktree) {
        Ok(worktree) => worktree,
        Err(error) => {
            notes.add(Finding::fail("worktree", format!("could not {}", chain(&error)), error.help()));
            return None;
        }
    };
    let head = worktree.head();
    let place = worktree.toplevel().display();
    let at = match &head.branch {
        Some(branch) => format!("{place}, branch {branch} at {}", head.commit.short()),
        None => format!("{place}, HEAD detached at {0}: its task is called detached-{0}", head.commit.short()),
    };
    notes.add(Finding::ok("worktree", at));
    if worktree.toplevel().join(".gitmodules").is_file() {
        notes.add(Finding::ok("worktree", "it has submodules; their commits and files belong to its tree"));
    }
    match filesystem::facts(worktree.toplevel()) {
        Ok(facts) if facts.read_only => {
            notes.add(Finding::fail(
                "worktree",
                format!("{place} is mounted read-only"),
                "artifacts are written into it: use a checkout on a file system that can be written",
            ));
        }
        Ok(facts) if facts.free_bytes < floors(visit).worktree => {
            let seen = format!("{} free in {place}", size(facts.free_bytes));
            notes.add(below(&seen, "worktree", floors(visit).worktree, WORKTREE_FREE_MIN));
        }
        Ok(facts) => notes.add(Finding::ok("worktree", format!("{} free", size(facts.free_bytes)))),
        Err(error) => notes.add(Finding::warn(
            "worktree",
            format!("could not look at the file system of {place}: {error}"),
            "look at it with `df`",
        )),
    }
    Some(worktree)
}

/// Whether the worktree differs from its commit; the longest look of all, so it comes late.
pub(super) fn tree(
    git: &Git<'_>,
    worktree: &Worktree,
    state: Option<&StateDir>,
    pipeline: Option<&Pipeline>,
    notes: &Notes,
) {
    notes.turn_to("worktree");
    let known = state.and_then(|state| tree_cache::load(worktree, &state.tree_cache(worktree)));
    // What a run of the branch's task leaves out.
    let head = worktree.head();
    let task = match head.branch.as_deref() {
        Some(branch) => TaskName::from_branch(branch),
        None => TaskName::new(format!("detached-{}", head.commit.short())).ok(),
    };
    let artifacts = pipeline.zip(task).map_or_else(Vec::new, |(pipeline, task)| {
        let folder = pipeline.artifacts().as_str().replace("{task}", task.as_str());
        let names = pipeline.stages().iter().filter_map(|stage| stage.artifact.as_ref());
        names.filter_map(|name| RelPath::new(format!("{folder}/{name}")).ok()).collect()
    });
    match Snapshot::take(git, worktree, &Less::new(artifacts, []), known.as_ref()) {
        Ok(tree) if tree.is_dirty() => {
            let seen = format!("{} of {} files differ from the commit", tree.dirty_paths(), tree.files());
            notes.add(Finding::ok(
                "worktree",
                format!("{seen}; verdicts are bound to the files as they are, not to the commit alone"),
            ));
        }
        Ok(tree) => notes.add(Finding::ok("worktree", format!("{} files, as committed", tree.files()))),
        Err(error) => notes.add(Finding::fail(
            "worktree",
            chain(&error),
            "look at the file that is named; the tree must be readable for a verdict to be bound to it",
        )),
    }
}

pub(super) fn state(visit: &Visit, worktree: &Worktree, notes: &Notes) -> Option<StateDir> {
    notes.turn_to("state");
    let refused = |error: &StateDirError| Finding::fail("state", format!("could not {}", chain(error)), error.help());
    let choice = match StateDir::choose(visit.wish(), worktree, &visit.cwd) {
        Ok(choice) => choice,
        Err(error) => {
            notes.add(refused(&error));
            return None;
        }
    };
    let origin = choice.source.as_str();
    if std::fs::symlink_metadata(&choice.path).is_err() {
        let above = choice.real.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let writable = rustix::fs::access(above, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        notes.add(match writable {
            Ok(()) => Finding::ok(
                "state",
                format!("{} (from {origin}) is not there yet; the first run makes it", choice.path.display()),
            ),
            Err(error) => Finding::fail(
                "state",
                format!(
                    "{} (from {origin}) is not there, and cannot be made in {}: {error}",
                    choice.path.display(),
                    above.display()
                ),
                "name another folder with --state-dir or ORCH_STATE_DIR",
            ),
        });
        space(above, floors(visit).state, notes);
        return None;
    }
    // It is there: opening makes nothing.
    let state = match StateDir::open(visit.wish(), worktree, &visit.cwd) {
        Ok(state) => state,
        Err(error) => {
            notes.add(refused(&error));
            return None;
        }
    };
    let owner = std::fs::metadata(state.path())
        .map(|found| format!(", owner {}, mode {:04o}", found.uid(), found.mode() & 0o7777));
    notes.add(Finding::ok("state", format!("{} (from {origin}){}", state.path().display(), owner.unwrap_or_default())));
    space(state.path(), floors(visit).state, notes);
    privacy::look(state.path(), notes);
    Some(state)
}

/// What must be free, in bytes.
struct Floors {
    state: u64,
    worktree: u64,
}

/// As the environment says; what cannot be read is told elsewhere, and the defaults stand for it here.
fn floors(visit: &Visit) -> Floors {
    let settings = Settings::read(&visit.variables, &Flags::default(), None)
        .or_else(|_| Settings::read(&Variables::default(), &Flags::default(), None));
    let [state, worktree] = match settings {
        Ok(settings) => [settings.state_free_min_bytes(), settings.worktree_free_min_bytes()],
        Err(_) => [0; 2],
    };
    Floors { state, worktree }
}

fn below(seen: &str, area: &'static str, least_bytes: u64, setting: &str) -> Finding {
    let seen = format!("{seen}, and nothing is started below {} ({setting})", size(least_bytes));
    Finding::fail(area, seen, "free some space, or ask for less with the setting that is named")
}

fn space(folder: &Path, least_bytes: u64, notes: &Notes) {
    let facts = match filesystem::facts(folder) {
        Ok(facts) => facts,
        Err(error) => {
            notes.add(Finding::warn(
                "state",
                format!("could not look at the file system of {}: {error}", folder.display()),
                "look at it with `df`",
            ));
            return;
        }
    };
    let kind = facts.kind.as_deref().unwrap_or("a file system of unknown type");
    let seen = format!("{kind}, {} free", size(facts.free_bytes));
    let elsewhere = "free some space, or name a folder elsewhere with --state-dir";
    notes.add(if facts.read_only {
        Finding::fail(
            "state",
            format!("{} is on {kind}, mounted read-only", folder.display()),
            "mount it for writing, or name a folder elsewhere with --state-dir",
        )
    } else if facts.free_bytes < STATE_FREE_LEAST_BYTES || facts.free_files.is_some_and(|files| files < 16) {
        Finding::fail("state", format!("{seen}: too little for a run"), elsewhere)
    } else if facts.free_bytes < least_bytes {
        below(&seen, "state", least_bytes, STATE_FREE_MIN)
    } else {
        Finding::ok("state", seen)
    });
}

pub(super) fn store(state: &StateDir, notes: &Notes) -> Option<SqliteStore> {
    notes.turn_to("store");
    let refused = |error: &StoreError| {
        Finding::fail("store", chain(error), error.help().unwrap_or("look at the state folder's owner, mode and space"))
    };
    let store = match SqliteStore::open_existing(state.path()) {
        Ok(store) => store,
        Err(StoreError::Absent { .. }) => {
            notes.add(Finding::ok(
                "store",
                format!("none yet; the first run makes it (SQLite {})", SqliteStore::engine()),
            ));
            return None;
        }
        Err(error) => {
            notes.add(refused(&error));
            return None;
        }
    };
    let checked = store.quick_check().and_then(|()| store.schema());
    notes.add(match checked {
        Ok(schema) => {
            let bytes = std::fs::metadata(store.path()).map_or(0, |found| found.len());
            Finding::ok(
                "store",
                format!(
                    "schema {schema}, {}, reserve {}, quick check passed, SQLite {}",
                    size(bytes),
                    size(store.reserve_bytes()),
                    SqliteStore::engine()
                ),
            )
        }
        Err(error) => refused(&error),
    });
    Some(store)
}
