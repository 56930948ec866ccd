//! A process in a sibling worktree: what control runs and shadows have in common. The sibling is made for it and taken
//! away again; a note says so meanwhile, and what a dead runner left is ended and taken away by the next run.

use std::path::PathBuf;

use crate::domain::control::Control;
use crate::domain::id::{AttemptId, Nonce, RunId};
use crate::domain::pipeline::{Limits, Producer, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::engine::{PlanError, Site, StagingSite, plan};
use crate::exec::{BootId, longest};
use crate::workspace::controls::{Found, UnderWay};
use crate::workspace::git::Git;
use crate::workspace::sibling::{self, Caches, Carried, Unequal};
use crate::workspace::worktree::{CommitId, Worktree};

use super::drive::{Course, Runner};
use super::error::{RunError, chain};
use super::notice::Notice;

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// This, in one line.
    Refused(String),
    /// orch itself cannot go on.
    Error(RunError),
}

impl From<RunError> for NoAnswer {
    fn from(error: RunError) -> Self {
        Self::Error(error)
    }
}

impl From<Unequal> for NoAnswer {
    fn from(unequal: Unequal) -> Self {
        match unequal {
            Unequal::Because(why) => Self::Refused(why),
            Unequal::Git(error) => Self::Refused(format!("could not {}", chain(&error))),
        }
    }
}

/// There is no answer, for this reason.
pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T, NoAnswer> {
    Err(NoAnswer::Refused(why.into()))
}

/// What a sibling has in common with the worktree.
pub(super) struct Conditions {
    path: PathBuf,
    /// Whether it is on a branch.
    pub(super) on_branch: bool,
    /// What git ignores and no cache is.
    pub(super) carried: Carried,
    /// What the worktree has beside its commit.
    pub(super) uncommitted: Vec<PathBuf>,
}

impl Conditions {
    /// The same without a branch.
    #[must_use]
    pub(super) fn detached(self) -> Self {
        Self { on_branch: false, ..self }
    }
}

/// A sibling that stands.
pub(super) struct Sibling<'s> {
    pub(super) worktree: &'s Worktree,
    /// The id and the nonce of its process.
    pub(super) process: (AttemptId, Nonce),
}

/// Which files of the worktree a sibling has beside a commit's own and those that git ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// None.
    Base,
    /// What is not committed.
    Change,
}

impl Runner<'_> {
    /// git, where the world has one.
    pub(super) fn git(&self) -> Result<&Git<'_>, NoAnswer> {
        self.world.git().map_or_else(|| refuse("there is no git"), Ok)
    }

    /// What can be made equal in a sibling, or why not.
    pub(super) fn conditions(
        &self,
        course: &Course,
        uncommitted: Vec<PathBuf>,
        caches: Caches,
    ) -> Result<Conditions, NoAnswer> {
        let Some(path) = sibling::place(self.worktree) else {
            return refuse("there is no folder beside the worktree");
        };
        let carried = sibling::carried(self.git()?, self.worktree, &self.less(self.pipeline), caches)?;
        Ok(Conditions { path, on_branch: course.tree.head().branch.is_some(), carried, uncommitted })
    }

    /// The plan of a stage's attempt as it runs in a sibling, under the sibling's own id.
    pub(super) fn plan_in_sibling(
        &self,
        course: &Course,
        (stage, producer): (&Stage, &Producer),
        limits: Limits,
        key: &AttemptKey,
        sibling: &Sibling<'_>,
    ) -> Result<AttemptPlan, PlanError> {
        let (id, nonce) = sibling.process;
        let attempt_dir = self.state.attempt_dir(course.run, id);
        let artifacts = sibling.worktree.toplevel().join(self.artifacts_folder(self.pipeline).as_str());
        let site = Site {
            worktree: sibling.worktree.toplevel(),
            base_commit: &course.base_commit,
            artifacts: &artifacts,
            attempt_dir: &attempt_dir,
            staging: StagingSite::Here,
        };
        plan(stage, producer, limits, AttemptKey { attempt: id, ..key.clone() }, nonce, &site, &self.host_env)
    }

    /// Does something in a sibling at a commit. Gives what came of it, and why the sibling could not be taken away where
    /// it could not. Where orch itself cannot go on, everything is left as it stands for the runner that comes next.
    pub(super) fn in_sibling<T>(
        &mut self,
        course: &Course,
        (commit, side): (&CommitId, Side),
        conditions: &Conditions,
        limits: Limits,
        act: impl FnOnce(&mut Self, &Sibling<'_>) -> Result<T, NoAnswer>,
    ) -> Result<(T, Result<(), String>), NoAnswer> {
        self.fence()?;
        if (self.stopping)() {
            return refuse("the run was asked to stop");
        }
        if conditions.path.symlink_metadata().is_ok() {
            return refuse(format!("something is at the place of its worktree: {}", conditions.path.display()));
        }
        let process = (AttemptId::new(self.clock.id()), Nonce::new(self.clock.secret()));
        let branch = if conditions.on_branch { sibling::branch(&process.0.to_string()) } else { None };
        let file = UnderWay::file(self.state, self.worktree);
        self.state.make(&self.state.controls_dir()).map_err(RunError::from)?;
        let note = UnderWay::new(course.run, process, longest(limits), conditions.path.clone(), branch);
        note.write(&file).or_else(|error| refuse(format!("its note could not be written: {error}")))?;
        failpoint!("sibling.noted");
        let done = self
            .make_sibling((commit, side), conditions, &note)
            .and_then(|worktree| act(self, &Sibling { worktree: &worktree, process }));
        if let Err(NoAnswer::Error(error)) = done {
            return Err(NoAnswer::Error(error));
        }
        failpoint!("sibling.used");
        let cleared = self.clear(&note).and_then(|()| {
            failpoint!("sibling.cleared");
            std::fs::remove_file(&file).map_err(|error| format!("its note could not be removed: {error}"))
        });
        done.map(|value| (value, cleared))
    }

    fn make_sibling(
        &self,
        (commit, side): (&CommitId, Side),
        conditions: &Conditions,
        note: &UnderWay,
    ) -> Result<Worktree, NoAnswer> {
        let made = sibling::make(
            self.git()?,
            self.worktree,
            &conditions.path,
            commit,
            note.branch.as_ref(),
            &conditions.carried,
        )
        .or_else(|error| refuse(format!("its worktree could not be made: could not {}", chain(&error))))?;
        if side == Side::Change {
            sibling::change_over(self.worktree, &made, &conditions.uncommitted)
                .or_else(|error| refuse(format!("what is not committed could not be copied: {error}")))?;
        }
        failpoint!("sibling.made");
        Ok(made)
    }

    fn clear(&self, note: &UnderWay) -> Result<(), String> {
        let Some(git) = self.world.git() else { return Ok(()) };
        sibling::clear(git, self.worktree, &note.path, note.branch.as_ref())
            .map_err(|error| format!("its worktree could not be taken away: could not {}", chain(&error)))
    }

    /// Asks what a dead runner left in a sibling to stop; its supervisor goes on to the end else.
    pub(super) fn stop_left_sibling(&self) {
        let file = UnderWay::file(self.state, self.worktree);
        let Found::Read(note) = UnderWay::read(&file) else { return };
        self.world.stop_orphan(&self.state.run_dir(note.run));
    }

    /// What is known of a control run that was under way when a run's runner died: that its answer is lost.
    pub(super) fn left_control(&self, run: RunId) -> Option<Control> {
        let Found::Read(note) = UnderWay::read(&UnderWay::file(self.state, self.worktree)) else { return None };
        (note.run == run).then(|| Control::Refused {
            why: format!("its runner died while control run {} was under way, and the answer is lost", note.id),
        })
    }

    /// Takes away what a dead runner left in a sibling: its processes, its worktree, its branch, its note.
    pub(super) fn clear_left_sibling(&mut self) -> Result<(), RunError> {
        let file = UnderWay::file(self.state, self.worktree);
        let found = UnderWay::read(&file);
        if matches!(found, Found::Nothing) {
            return Ok(());
        }
        self.fence()?;
        if let Found::Read(note) = found {
            let run_dir = self.state.run_dir(note.run);
            let boot = self.store.run(note.run)?.map(|run| BootId::from_text(&run.start.boot));
            if let Some(boot) = boot {
                self.world.stop_orphan(&run_dir);
                // Waits for its supervisor, and ends what is left where that died, too.
                self.world
                    .recover(&run_dir, (note.id, note.nonce), &boot, note.patience, None)
                    .map_err(|error| RunError::Supervisor(chain(&error)))?;
            }
            // Only what orch itself makes is taken away, whatever the note says.
            let own = sibling::place(self.worktree).as_ref() == Some(&note.path);
            let told = if own { self.clear(&note).err() } else { Some("its note names another folder".to_owned()) };
            if let Some(why) = told {
                (self.notify)(Notice::Warning(format!("a sibling worktree was left: {why}")));
                return Ok(());
            }
        }
        if let Err(error) = std::fs::remove_file(&file) {
            (self.notify)(Notice::Warning(format!("could not remove {}: {error}", file.display())));
        }
        Ok(())
    }
}
