//! Looking whether what a hold waits for has come true. Nothing of the stage is started.

use std::path::{Path, PathBuf};

use crate::domain::decision::Probe;
use crate::domain::id::{AttemptId, RunId};
use crate::domain::pipeline::{Ordinal, Stage};
use crate::domain::plan::AttemptKey;
use crate::engine::{Site, plan};
use crate::exec;

use super::choice::Next;
use super::drive::Runner;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It has come true; what was seen.
    Passed(String),
    /// It has not; what was seen.
    Failed(String),
    /// Only a person can tell.
    NotTried,
}

impl Runner<'_> {
    /// Looks.
    pub(super) fn look(&self, probe: &Probe, stage: &Stage, cwd: &Path) -> Found {
        match probe {
            Probe::Person | Probe::Answer => Found::NotTried,
            Probe::Program(name) => {
                let search = self.search_path(stage);
                match exec::find(name, search.as_deref(), cwd) {
                    Ok(path) => {
                        // `components` takes out what `./` adds.
                        let path: PathBuf = cwd.join(path).components().collect();
                        Found::Passed(format!("`{name}` is {} now", path.display()))
                    }
                    Err(_) => Found::Failed(format!("`{name}` still cannot be found")),
                }
            }
            Probe::Folder(path) if cwd.join(path).is_dir() => {
                Found::Passed(format!("the folder `{path}` is there now"))
            }
            Probe::Folder(path) => Found::Failed(format!("the folder `{path}` is still not there")),
            Probe::Switch(name) => match self.choose(stage) {
                Next::Run(chosen) => Found::Passed(format!("`{name}` lets the stage run: {}", chosen.why)),
                Next::Hold(reason) => Found::Failed(reason.text()),
            },
        }
    }

    /// The search path that the stage's producer would have.
    fn search_path(&self, stage: &Stage) -> Option<String> {
        let Next::Run(chosen) = self.choose(stage) else { return None };
        let one = Ordinal::MIN;
        let key = AttemptKey {
            attempt: AttemptId::new(self.clock.id()),
            task: self.task.clone(),
            run: RunId::new(self.clock.id()),
            stage: stage.name.clone(),
            visit: one,
            number: one,
        };
        let (worktree, none) = (self.worktree.toplevel(), Path::new("/"));
        let site = Site { worktree, base_commit: "", artifacts: none, attempt_dir: none };
        let nonce = crate::domain::id::Nonce::new(self.clock.secret());
        let plan = plan(stage, chosen.producer, self.limits(stage), key, nonce, &site, &self.host_env).ok()?;
        plan.env.get("PATH").map(str::to_owned)
    }
}
