//! Attempts of live runs that never became a process: read before anything else, from files that are there within a
//! second, whether anybody still works on the run or not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::id::{AttemptId, TaskName};
use crate::domain::task::{AttemptPhase, TaskState};
use crate::exec::{Sentinel, living_supervisor, sentinels, was_launched};
use crate::runner::{Clock as _, SystemClock};
use crate::store::{Store, StoredTask};
use crate::workspace::heartbeat::age;
use crate::workspace::lock::LockView;
use crate::workspace::state_dir::StateDir;

use super::output::Problem;
use super::store::of_store;

/// How long an attempt that is to be launched may be without a trace of its supervisor.
const LAUNCHED_WITHIN: Duration = Duration::from_secs(5);

/// What never came to life in a task's live run.
#[derive(Debug, Default)]
pub(super) struct Stillborn {
    /// Starts that failed and are not decided yet.
    failed: Vec<Sentinel>,
    /// An attempt that was to be launched, and was not.
    never_launched: Option<AttemptId>,
}

impl Stillborn {
    /// Looks at a task's live run.
    pub(super) fn of(
        state: &StateDir,
        store: &dyn Store,
        stored: &StoredTask,
        lock: &std::io::Result<LockView>,
    ) -> Result<Self, Problem> {
        let Some(run) = stored.task.state.live_run() else { return Ok(Self::default()) };
        let run_dir = state.run_dir(run);
        let mut failed = Vec::new();
        for sentinel in sentinels(&run_dir) {
            let record = store.attempt(sentinel.attempt).map_err(|error| of_store(&error))?;
            // What is decided is told by the task's state.
            if record.is_none_or(|record| record.decided.is_none()) {
                failed.push(sentinel);
            }
        }
        let TaskState::Running { attempt, phase: AttemptPhase::Intended, .. } = &stored.task.state else {
            return Ok(Self { failed, never_launched: None });
        };
        let has_runner = match lock {
            Ok(LockView::Free | LockView::Abandoned(_)) => false,
            Ok(LockView::Held { .. } | LockView::Elsewhere { .. }) | Err(_) => true,
        };
        let record = store.attempt(*attempt).map_err(|error| of_store(&error))?;
        let never_launched = record.is_some_and(|record| {
            // Exit records that cannot be read are no proof that nothing was launched.
            let launched = || was_launched(&run_dir, *attempt, record.intent.nonce).unwrap_or(true);
            failed.iter().all(|sentinel| sentinel.attempt != *attempt)
                && !has_runner
                && age(record.intent.at, SystemClock.now()) > LAUNCHED_WITHIN
                && living_supervisor(&run_dir).is_none()
                && !launched()
        });
        Ok(Self { failed, never_launched: never_launched.then_some(*attempt) })
    }

    /// One line each, for people.
    pub(super) fn in_words(&self, task: &TaskName) -> Vec<String> {
        let mut lines: Vec<String> = self
            .failed
            .iter()
            .map(|sentinel| {
                let Sentinel { attempt, at, .. } = sentinel;
                format!("{task}: SPAWN FAILED: {} (attempt {attempt}, at {at:.0})", sentinel.in_words())
            })
            .collect();
        lines.extend(self.never_launched.map(|attempt| {
            format!(
                "{task}: NEVER LAUNCHED: attempt {attempt} was to be started, and its runner is gone; `orch pipeline run --task \
                 {task}` goes on"
            )
        }));
        lines
    }

    /// For machines.
    pub(super) fn document(&self) -> Value {
        json!({
            "spawn_errors": self.failed.iter().map(|sentinel| json!({
                "attempt": sentinel.attempt.to_string(),
                "step": sentinel.step.as_str(),
                "errno": sentinel.errno,
                "subject": sentinel.subject,
                "command": sentinel.command,
                "at": sentinel.at.to_string(),
            })).collect::<Vec<_>>(),
            "never_launched": self.never_launched.map(|attempt| attempt.to_string()),
        })
    }
}
