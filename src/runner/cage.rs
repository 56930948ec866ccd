//! What a contained agent may reach, and what no stage can open to it.

use std::path::{Path, PathBuf};

use crate::domain::agent::Agent;
use crate::domain::pipeline::Stage;
use crate::domain::plan::{AttemptPlan, Cage};
use crate::engine::{OUT_NAME, TMP_NAME};
use crate::workspace::state_dir::resolved;

use super::drive::Runner;
use super::error::RunError;
use super::notice::Notice;

/// Folders and files below `HOME` that hold keys: a contained agent does not see them.
const KEYS_BELOW_HOME: [&str; 10] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".kube",
    ".netrc",
    ".git-credentials",
    ".config/gh",
    ".config/gcloud",
    ".docker/config.json",
    ".local/state/orch",
];

/// Parts of the common git folder that a commit in a linked worktree writes to; its configuration and its hooks are
/// not among them.
const COMMIT_NEEDS: [&str; 3] = ["objects", "refs", "logs"];

impl Runner<'_> {
    /// What a contained agent may reach: its worktree, what a commit in it needs, its own folder, what its stage names.
    pub(super) fn cage(&self, stage: &Stage, agent: &Agent, plan: &AttemptPlan) -> Result<Cage, RunError> {
        // Asked before the run too; what a name leads to may have changed since.
        if let Some(refusal) = self.opens_too_much(stage, agent) {
            return Err(refusal);
        }
        let (git_dir, common_dir) = (self.worktree.git_dir(), self.worktree.common_dir());
        let mut write = vec![self.worktree.toplevel().to_owned(), git_dir.to_owned()];
        if git_dir != common_dir {
            write.extend(COMMIT_NEEDS.map(|name| common_dir.join(name)));
        }
        Ok(self.cage_around(agent, plan, write))
    }

    /// A cage in which an agent may write what is named, its own folder, and what its stage names.
    pub(super) fn cage_around(&self, agent: &Agent, plan: &AttemptPlan, mut write: Vec<PathBuf>) -> Cage {
        write.extend(plan.attempt_dir.iter().flat_map(|folder| [folder.join(OUT_NAME), folder.join(TMP_NAME)]));
        write.extend(agent.may_write.iter().filter_map(|named| self.place_of(named)));
        let mut hidden = vec![self.state.path().to_owned()];
        hidden.extend(self.home().iter().flat_map(|home| KEYS_BELOW_HOME.map(|name| home.join(name))));
        Cage {
            require: agent.require,
            write,
            read: plan.attempt_dir.iter().cloned().collect(),
            hidden,
            off: (!self.settings.containment()).then(|| "ORCH_CONTAINMENT_ENABLED=false switches it off".to_owned()),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        let home = self.host_env.iter().find(|(name, _)| name == "HOME").map(|(_, value)| PathBuf::from(value));
        home.filter(|home| home.is_absolute())
    }

    /// A place of `may-write`; `None` below a home that there is not.
    fn place_of(&self, named: &str) -> Option<PathBuf> {
        match named.strip_prefix("~/") {
            Some(below) => self.home().map(|home| home.join(below)),
            None => Some(PathBuf::from(named)),
        }
    }

    /// Why `may-write` of a stage cannot stand: a place that covers or lies in what decides about the agent, or in keys, would
    /// open it, because what is granted is not hidden. Links are followed.
    pub(super) fn opens_too_much(&self, stage: &Stage, agent: &Agent) -> Option<RunError> {
        let home = self.home();
        let mut closed = vec![(self.state.path().to_owned(), "orch's state folder")];
        closed.extend(home.iter().flat_map(|home| KEYS_BELOW_HOME.map(|name| (home.join(name), "a place of keys"))));
        // Its configuration and its hooks are compared, and a person's next git call would run what they say.
        let git = |name| (self.worktree.common_dir().join(name), "git's configuration");
        closed.extend(["config", "hooks", "info"].map(git));
        let mut covered = vec![(self.worktree.common_dir().to_owned(), "git's own folder")];
        covered.extend(home.map(|home| (home, "the home folder")));
        let real = |path: &Path| resolved(path).unwrap_or_else(|_| path.to_owned());
        for named in &agent.may_write {
            let Some(place) = self.place_of(named).map(|place| real(&place)) else { continue };
            let covers = |path: &Path| real(path).starts_with(&place);
            let met = closed
                .iter()
                .find(|(path, _)| covers(path) || place.starts_with(real(path)))
                .or_else(|| covered.iter().find(|(path, _)| covers(path)));
            if let Some((path, what)) = met {
                let why = if covers(path) { "covers" } else { "lies in" };
                let why = format!("it {why} {what}, {}", path.display());
                return Some(RunError::MayWrite { stage: stage.name.clone(), named: named.clone(), why });
            }
        }
        None
    }

    /// Looks whether the state folder is still private after an agent, and makes it so. Landlock does not forbid a
    /// contained process to change modes.
    pub(super) fn close_state(&mut self, plan: &AttemptPlan) {
        if plan.agent.is_none() {
            return;
        }
        let stage = &plan.key.stage;
        let text = match self.state.close_again() {
            Ok(None) => return,
            Ok(Some(mode)) => format!(
                "the state folder {} had mode {mode:03o} after the agent of stage `{}`, so that others could reach it; it is \
                 700 again",
                self.state.path().display(),
                stage
            ),
            Err(error) => format!(
                "the mode of the state folder {} was changed while the agent of stage `{}` worked, and cannot be put right: \
                 {error}",
                self.state.path().display(),
                stage
            ),
        };
        (self.notify)(Notice::Warning(text));
    }
}
