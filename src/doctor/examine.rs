//! One look at everything, in a bounded time.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use jiff::Timestamp;

use super::finding::Finding;
use super::{ground, machine, others, programs, switches};
use crate::config::Variables;
use crate::workspace::git::{Git, GitError};
use crate::workspace::state_dir::StateDirWish;
use crate::workspace::worktree::Worktree;

/// Longest time without a word from the look; a network file system that hangs is the usual cause.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A refusal in words: what happened, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What happened and where.
    pub what: String,
    /// What to do next.
    pub help: String,
}

/// Finds the pipeline of a worktree where none was named.
pub type Choose = Box<dyn Fn(&Worktree) -> Result<PathBuf, Told> + Send>;

/// Everything a look needs; nothing is read from orch's environment here.
pub struct Visit {
    /// git, where it was found.
    pub git: Result<Git<'static>, GitError>,
    /// Where the worktree is looked for.
    pub worktree: PathBuf,
    /// orch's own working folder.
    pub cwd: PathBuf,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `ORCH_STATE_DIR`, `XDG_STATE_HOME` and `HOME`.
    pub homes: [Option<OsString>; 3],
    /// `--pipeline`, or how one is chosen.
    pub pipeline: Choose,
    /// orch's own environment; only names are ever told.
    pub host_env: Vec<(String, String)>,
    /// The same as it is read for settings: values that are no text included.
    pub variables: Variables,
    /// The time it is, by the wall clock.
    pub now: Timestamp,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("worktree", &self.worktree).finish_non_exhaustive()
    }
}

impl Visit {
    pub(super) fn wish(&self) -> StateDirWish<'_> {
        let [env, xdg_state_home, home] = self.homes.each_ref().map(Option::as_deref);
        StateDirWish { flag: self.state_dir.as_deref(), env, xdg_state_home, home }
    }
}

/// What the look says while it goes on.
pub(super) enum Word {
    /// It turns to this.
    Turning(&'static str),
    /// It found this.
    Found(Finding),
}

/// Where findings go.
pub(super) struct Notes(Sender<Word>);

impl Notes {
    pub(super) fn turn_to(&self, area: &'static str) {
        // Nobody listens any more once the time is up.
        self.0.send(Word::Turning(area)).ok();
    }

    pub(super) fn add(&self, finding: Finding) {
        self.0.send(Word::Found(finding)).ok();
    }
}

/// Looks at everything. A look that hangs is left behind and told as a fault of what it was at.
pub fn examine(visit: Visit) -> Vec<Finding> {
    let (sender, receiver) = channel();
    // Its own thread, because a call into a file system that hangs cannot be broken off.
    let begun = std::thread::Builder::new().spawn(move || look(&visit, &Notes(sender)));
    match begun {
        Ok(_left_alone) => gather(&receiver, SILENCE_MAX),
        Err(error) => vec![Finding::fail(
            "orch",
            format!("nothing was looked at: no thread for it: {error}"),
            "look at the limits of processes and memory: `ulimit -u`, the container's pids limit",
        )],
    }
}

fn gather(words: &Receiver<Word>, silence_max: Duration) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut at = "orch";
    loop {
        match words.recv_timeout(silence_max) {
            Ok(Word::Turning(area)) => at = area,
            Ok(Word::Found(finding)) => found.push(finding),
            Err(RecvTimeoutError::Disconnected) => return found,
            Err(RecvTimeoutError::Timeout) => {
                let seen = format!(
                    "it did not answer within {} s; what comes after it was not looked at",
                    silence_max.as_secs()
                );
                found.push(Finding::fail(
                    at,
                    seen,
                    "look at its file system and its mounts by hand, with `ls` and `df`",
                ));
                return found;
            }
        }
    }
}

fn look(visit: &Visit, notes: &Notes) {
    machine::look(visit, notes);
    let Some(worktree) = ground::worktree(visit, notes) else {
        for area in ["state", "store", "pipeline", "locks"] {
            notes.add(Finding {
                area,
                status: super::Status::Ok,
                seen: "not looked at: it belongs to a worktree".to_owned(),
                help: None,
            });
        }
        switches::look(visit, None, notes);
        return;
    };
    let state = ground::state(visit, &worktree, notes);
    let store = state.as_ref().and_then(|state| ground::store(state, notes));
    let pipeline = programs::look(visit, &worktree, notes);
    switches::look(visit, pipeline.as_ref().map(|pipeline| (&worktree, pipeline)), notes);
    if let Ok(git) = &visit.git {
        ground::tree(git, &worktree, state.as_ref(), pipeline.as_ref(), notes);
    }
    if let (Some(state), Some(store)) = (&state, &store) {
        others::look(state, store, &worktree, notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_hangs_is_left_behind_and_named() {
        let (sender, receiver) = channel();
        let notes = Notes(sender);
        notes.add(Finding::ok("git", "there"));
        notes.turn_to("state");
        let found = gather(&receiver, Duration::from_millis(10));
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].area, found[1].status), ("state", super::super::Status::Fail));
    }
}
