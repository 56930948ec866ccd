//! What is done in the world after a commit that asked for it. Doing it twice does no harm.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::decision::HoldReason;
use crate::domain::id::{AttemptId, Digest, RelPath, RunId, StageName};
use crate::domain::pipeline::Argv;
use crate::domain::plan::{AttemptPlan, Environment};
use crate::domain::stamp::Stamp;
use crate::domain::task::{ArtifactRef, Effect};
use crate::exec::{self, Quick, QuickEnd};
use crate::workspace::artifact::{ARTIFACT_BYTES_MAX, Durability, Taken, publish, read_back, take_away};
use crate::workspace::state_dir::StateDirError;

use super::drive::Runner;
use super::error::{RunError, chain};
use super::ledger::Ledger;
use super::notice::Notice;

/// How long an alert command may take.
const ALERT_LIMIT: Duration = Duration::from_secs(10);
/// Most output of an alert command; nobody reads it.
const ALERT_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Names that an alert command finds from orch's own environment.
const ALERT_NAMES: [&str; 5] = ["PATH", "HOME", "USER", "LANG", "TZ"];

impl Runner<'_> {
    /// Writes the stamp into the attempt's folder, where there is one. The store has it in any case.
    pub(super) fn keep_stamp(&mut self, plan: &AttemptPlan, stamp: &Stamp) {
        failpoint!("stamp.writing", return);
        let Some(folder) = &plan.attempt_dir else { return };
        let written = serde_json::to_vec_pretty(stamp)
            .map_err(std::io::Error::other)
            .and_then(|bytes| std::fs::write(folder.join("stamp.json"), bytes));
        if let Err(error) = written {
            (self.notify)(Notice::Warning(format!("stamp.json was not written to {}: {error}", folder.display())));
        }
    }

    /// Refuses to go on without the lock (row F10). Another runner may work here by now: nothing more is started or
    /// written, and what is under way is left to it.
    pub(super) fn fence(&self) -> Result<(), RunError> {
        if (self.still_ours)() {
            return Ok(());
        }
        // The lock went with the folder: nobody has taken it.
        if !self.state.still_there() {
            return Err(StateDirError::Gone(self.state.path().to_owned()).into());
        }
        Err(RunError::LockLost { task: self.task.clone() })
    }

    /// Stores what happened and carries out what follows from it; not what belongs to `vacant`, the place that was
    /// just made ready for an attempt: nothing old may stand there again.
    pub(super) fn commit(&mut self, ledger: &mut Ledger, vacant: Option<&RelPath>) -> Result<(), RunError> {
        // The store's own guard, the task's version, closes the moment between this look and the commit.
        self.fence()?;
        let effects = ledger.commit(self.store)?;
        failpoint!("effects.asked");
        for effect in effects {
            match &effect {
                Effect::PublishArtifact { artifact, .. } if Some(&artifact.path) == vacant => {}
                Effect::PublishArtifact { .. } | Effect::Alert { .. } => self.carry_out(&effect)?,
            }
            failpoint!("effects.carried-out");
            match effect {
                Effect::PublishArtifact { .. } => ledger.carried_out(&effect),
                // Marked at once: nobody is to be told twice.
                Effect::Alert { .. } => self.store.effect_done(&effect.id())?,
            }
        }
        Ok(())
    }

    /// Does in the world what an event asked for.
    pub(super) fn carry_out(&mut self, effect: &Effect) -> Result<(), RunError> {
        self.fence()?;
        match effect {
            Effect::PublishArtifact { attempt, artifact } => self.republish(*attempt, artifact),
            Effect::Alert { run, stage, reason, since } => {
                self.alert(*run, stage, reason, *since);
                Ok(())
            }
        }
    }

    /// Tells the configured program of a hold. Its failure is told and changes nothing (row P8).
    fn alert(&mut self, run: RunId, stage: &StageName, reason: &HoldReason, since: Timestamp) {
        let Some(program) = self.settings.alert_command() else { return };
        // Hidden before the document is made: what is escaped in it may be a form that no mask knows.
        let masker = self.masker();
        let hide = |text: &str| match &masker {
            Ok(masker) => masker.mask_text(text),
            Err(error) => format!("not told, because its secrets cannot be hidden: {}", chain(error)),
        };
        let document = serde_json::json!({
            "version": 1,
            "event": "held",
            "task": self.task.as_str(),
            "repository": hide(&self.repository),
            "run": run.to_string(),
            "stage": stage.as_str(),
            "kind": reason.kind(),
            "text": hide(&reason.text()),
            "since": since.to_string(),
            "worktree": hide(&self.worktree.toplevel().display().to_string()),
        });
        let passed = self.host_env.iter().filter(|(name, _)| ALERT_NAMES.contains(&name.as_str())).cloned();
        let env = Environment::new(passed.chain([("ORCH_ALERT".to_owned(), document.to_string())]));
        let done = Argv::new(vec![program.to_owned()]).map_err(|error| error.to_string()).and_then(|argv| {
            let call = Quick {
                argv: &argv,
                cwd: self.worktree.toplevel(),
                env: &env,
                limit: ALERT_LIMIT,
                output_max_bytes: ALERT_OUTPUT_BYTES_MAX,
            };
            match exec::quick(call).map_err(|error| chain(&error))?.end {
                QuickEnd::Code(0) => Ok(()),
                QuickEnd::Code(code) => Err(format!("exit code {code}")),
                QuickEnd::Signal(signal) => Err(format!("ended by signal {signal}")),
            }
        });
        if let Err(why) = done {
            (self.notify)(Notice::Warning(format!("the alert command `{program}` failed: {why}")));
        }
    }

    /// Makes the worktree's copy of an artifact what the store says. The file stands there already, unless
    /// something came between; the store has the truth, and what came between is kept.
    fn republish(&mut self, attempt: AttemptId, artifact: &ArtifactRef) -> Result<(), RunError> {
        let found = read_back(self.worktree.root(), &artifact.path, ARTIFACT_BYTES_MAX);
        if found.is_ok_and(|bytes| Digest::of(&bytes) == artifact.digest) {
            return Ok(());
        }
        let Some(bytes) = self.store.artifact(&artifact.digest)? else {
            (self.notify)(Notice::Warning(format!(
                "{} cannot be repaired: the store has no such bytes",
                artifact.path
            )));
            return Ok(());
        };
        if let Some(stored) = self.store.attempt(attempt)? {
            let moved_dir = self.state.moved_dir(stored.intent.run, attempt);
            match take_away(self.worktree.root(), &artifact.path, None, &moved_dir) {
                Ok(taken) => self.tell_taken(&taken),
                Err(error) => (self.notify)(Notice::Warning(format!("could not {}", chain(&error)))),
            }
        }
        failpoint!("repair.way-cleared");
        match publish(self.worktree.root(), &artifact.path, &bytes, Durability::Relaxed) {
            Ok(()) => (self.notify)(Notice::Warning(format!("{} was repaired from the store", artifact.path))),
            Err(error) => (self.notify)(Notice::Warning(format!("could not {}", chain(&error)))),
        }
        Ok(())
    }

    /// Tells a person where an artifact is that its agent left without coming to a good end.
    pub(super) fn tell_left(&mut self, taken: &Taken) {
        match taken {
            Taken::Moved { kind, to } => (self.notify)(Notice::Warning(format!(
                "the agent's artifact (a {kind}) answers for nothing, because its attempt did not come to a good end; it is now {}",
                to.display()
            ))),
            Taken::Nothing | Taken::Published | Taken::SetAside { .. } => self.tell_taken(taken),
        }
    }

    /// Tells a person what was moved out of an artifact's way.
    pub(super) fn tell_taken(&mut self, taken: &Taken) {
        let text = match taken {
            Taken::Nothing | Taken::Published => return,
            Taken::Moved { kind, to } => {
                format!("a {kind} that orch did not write stood at the artifact's place; it is now {}", to.display())
            }
            Taken::SetAside { name } => {
                format!("a folder stood at the artifact's place; it is now called {}", name.to_string_lossy())
            }
        };
        (self.notify)(Notice::Warning(text));
    }
}
