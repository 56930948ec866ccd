//! Staging stages: where their command is started, whether it could run now, and waiting until it can.

use std::time::Duration;

use crate::classify;
use crate::domain::channel::{ChannelFacts, Earlier};
use crate::domain::evidence::{Evidence, ExitRecord};
use crate::domain::id::{AttemptId, RunId};
use crate::domain::pipeline::{Ordinal, Producer, Stage, Staging};
use crate::domain::plan::AttemptKey;
use crate::domain::task::TaskState;
use crate::engine::{self, StagingSite};
use crate::exec::{Looked, look};
use crate::store::last_attempt;
use crate::workspace::preflight::{self, Preflight};

use super::choice::Next;
use super::drive::{Course, Driven, Runner};
use super::error::RunError;
use super::notice::Notice;
use super::probe::Found;

/// First and longest pause between two looks at a host that a task waits for.
const LOOK_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];

/// Whether a command began, or may have, and cannot be taken up again: then only an idempotent one is started anew.
pub(super) fn began(record: &ExitRecord, evidence: &Evidence) -> bool {
    evidence.channel.as_ref().map_or(record.began, |facts| facts.may_have_begun && !facts.can_be_resumed())
}

impl Runner<'_> {
    /// Where the command of a stage is started: here, on its host, or on its host where the attempt before it, on the
    /// very same inputs, may have left it running. What may still run there and is not taken up again is ended first.
    pub(super) fn staging_site(
        &self,
        stage: &Stage,
        producer: &Producer,
        course: &Course,
    ) -> Result<StagingSite, RunError> {
        let Producer::StagingRunner(staging) = producer else { return Ok(StagingSite::HostSide) };
        if !self.settings.exec_host_side() {
            return Ok(StagingSite::Here);
        }
        let Some(last) = last_attempt(self.store, &self.task, &stage.name)? else { return Ok(StagingSite::HostSide) };
        let Some(facts) = last.decided.as_ref().and_then(|decided| decided.evidence.channel.as_ref()) else {
            return Ok(StagingSite::HostSide);
        };
        // On another host nothing of it can be taken up or ended; there its TTL ends it.
        if engine::target(staging, &self.host_env).is_ok_and(|target| target.shown() != facts.host) {
            return Ok(StagingSite::HostSide);
        }
        let run = self.store.run(last.intent.run)?;
        let same = run.is_some_and(|run| {
            run.start.commit == course.tree.head().commit.as_str()
                && run.start.pipeline_digest == self.pipeline.digest()
        }) && last.intent.tree == course.tree.digest();
        let job = if facts.can_be_resumed() && same { self.store.attempt(facts.job)? } else { None };
        let left = facts.to_be_cleared();
        Ok(match job {
            Some(job) => {
                let earlier = Earlier { attempt: facts.job, nonce: job.intent.nonce, began: facts.began };
                StagingSite::Earlier(earlier, facts.left.clone())
            }
            None if left.is_empty() => StagingSite::HostSide,
            None => StagingSite::Clearing(left),
        })
    }

    /// What a person may want to know of commands on a host that an attempt found there, or left there.
    pub(super) fn tell_far_side(&mut self, stage: &Stage, evidence: &Evidence) {
        let Some(facts) = &evidence.channel else { return };
        let host = &facts.host;
        let cleared = facts.cleared.iter().map(|attempt| {
            format!("stage `{}`: the command of attempt {attempt} still ran on {host}; it was ended first", stage.name)
        });
        // One that is taken up again is no news.
        let left = if facts.can_be_resumed() { facts.left.clone() } else { facts.to_be_cleared() };
        let left = left.into_iter().map(|attempt| {
            format!(
                "stage `{}`: the command of attempt {attempt} may still run on {host}; the next attempt ends it, else its `ttl`",
                stage.name
            )
        });
        for warning in cleared.chain(left).collect::<Vec<_>>() {
            (self.notify)(Notice::Warning(warning));
        }
    }

    /// What is wrong with how a host is reached, before anything starts.
    pub(super) fn target_refusal(&self, stage: &Stage, staging: &Staging) -> Option<RunError> {
        if !self.settings.exec_host_side() {
            return None;
        }
        let source = engine::target(staging, &self.host_env).err()?;
        Some(RunError::Plan { stage: stage.name.clone(), source })
    }

    /// Looks whether a stage's command could run on its host now. Bounded; starts nothing.
    pub(super) fn preflight(&self, stage: &Stage) -> Found {
        let Next::Run(chosen) = self.choose(stage) else { return Found::NotTried };
        let Producer::StagingRunner(_) = chosen.producer else { return Found::NotTried };
        if !self.settings.exec_host_side() {
            return Found::Passed("the command is started here, and not on its host".to_owned());
        }
        let key = AttemptKey {
            attempt: AttemptId::new(self.clock.id()),
            task: self.task.clone(),
            run: RunId::new(self.clock.id()),
            stage: stage.name.clone(),
            visit: Ordinal::MIN,
            number: Ordinal::MIN,
        };
        let site = engine::Site {
            worktree: self.worktree.toplevel(),
            base_commit: self.worktree.head().commit.as_str(),
            artifacts: self.worktree.toplevel(),
            attempt_dir: self.worktree.toplevel(),
            staging: StagingSite::HostSide,
        };
        let nonce = crate::domain::id::Nonce::new(self.clock.secret());
        match engine::plan(stage, chosen.producer, stage.limits, key, nonce, &site, &self.host_env) {
            Ok(plan) => match &plan.remote {
                Some(remote) => {
                    let found = told(look(&plan, remote));
                    self.keep_look(stage, &found);
                    found
                }
                None => Found::NotTried,
            },
            Err(error) => Found::Failed(error.to_string()),
        }
    }

    /// For `orch status`; nobody misses it who looks anew.
    fn keep_look(&self, stage: &Stage, found: &Found) {
        let (passed, seen) = match found {
            Found::Passed(seen) => (true, seen.clone()),
            Found::Failed(seen) => (false, seen.clone()),
            Found::NotTried => return,
        };
        let look = Preflight { version: 1, stage: stage.name.to_string(), at: self.clock.now(), passed, seen };
        if let Err(error) = preflight::keep(self.state.path(), &look) {
            tracing::debug!(%error, "a preflight was not kept");
        }
    }

    /// Where a task is held for its host, waits until the host can be used again; `true` where it can. Looks at most as
    /// long as the run may wait, and stores nothing: the hold is ended by the run that follows.
    pub(super) fn wait_for_host(&mut self, driven: &Driven, may_wait: &mut Duration) -> Result<bool, RunError> {
        let state = match driven {
            Driven::Ran { state, .. } | Driven::Stays { state, .. } => state,
            Driven::PassedAlready { .. } | Driven::DoneAlready { .. } => return Ok(false),
        };
        let TaskState::Held { stage, reason, .. } = state else { return Ok(false) };
        let (stage, reason) = (stage.clone(), reason.clone());
        let seen = last_attempt(self.store, &self.task, &stage)?;
        let seen = seen.as_ref().and_then(|seen| Some(&seen.decided.as_ref()?.evidence));
        let probe = engine::probe(&reason, seen);
        let Some(stage) = self.pipeline.stage(&stage).cloned().filter(|_| probe.is_waited_for()) else {
            return Ok(false);
        };
        let mut pause = LOOK_PAUSES[0];
        if !may_wait.is_zero() {
            let waits = format!(
                "stage `{}` is held until {}; waiting at most {} s",
                stage.name,
                probe.text(),
                may_wait.as_secs()
            );
            (self.notify)(Notice::Warning(waits));
        }
        while !may_wait.is_zero() && !(self.stopping)() {
            let slice = pause.min(*may_wait);
            self.world.sleep(self.stop, slice);
            *may_wait = may_wait.saturating_sub(slice);
            if (self.stopping)() {
                return Ok(false);
            }
            (self.still_ours)().then_some(()).ok_or_else(|| RunError::LockLost { task: self.task.clone() })?;
            if let Found::Passed(_) = self.preflight(&stage) {
                return Ok(true);
            }
            pause = (pause * 2).min(LOOK_PAUSES[1]);
        }
        Ok(false)
    }
}

/// What a look came to, in words.
pub(super) fn told(looked: Looked) -> Found {
    match looked {
        Looked::Seen(facts) if facts.fault.is_none() => Found::Passed(seen_well(&facts)),
        Looked::Seen(facts) => Found::Failed(classify::channel_in_words(&facts)),
        Looked::NotMade(why) => Found::Failed(format!("the look could not be made: {why}")),
    }
}

fn seen_well(facts: &ChannelFacts) -> String {
    let version = facts.tested.as_ref().map(|tested| format!(", version `{tested}`")).unwrap_or_default();
    format!("{} can be reached and has what the command needs{version}", facts.host)
}
