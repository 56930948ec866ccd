//! A task that waits: why, for what, and the one command that lets it go on.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::classify::shown_duration;
use crate::domain::decision::{HoldReason, Probe};
use crate::domain::id::{StageName, TaskName};
use crate::domain::outcome::Proof;
use crate::domain::task::{Deferral, TaskState};
use crate::engine;
use crate::store::AttemptRecord;

use super::ExitCode;

/// A task that waits.
pub(super) struct Waiting<'a> {
    task: &'a TaskName,
    state: &'a TaskState,
    how: How<'a>,
    /// The attempt that led here, where one did.
    attempt: Option<&'a AttemptRecord>,
}

/// How it waits.
enum How<'a> {
    Held { reason: &'a HoldReason, since: Timestamp },
    Deferred(&'a Deferral),
    Paused { by: &'a str, why: Option<&'a str>, since: Timestamp },
}

impl<'a> Waiting<'a> {
    /// `None` for a task that does not wait.
    pub(super) fn of(task: &'a TaskName, state: &'a TaskState, attempt: Option<&'a AttemptRecord>) -> Option<Self> {
        let how = match state {
            TaskState::Held { reason, since, .. } => How::Held { reason, since: *since },
            TaskState::Deferred { deferral, .. } | TaskState::Waiting { deferral, .. } => How::Deferred(deferral),
            TaskState::Paused { by, why, since, .. } => How::Paused { by, why: why.as_deref(), since: *since },
            TaskState::Queued { .. }
            | TaskState::Ready { .. }
            | TaskState::Running { .. }
            | TaskState::Done { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => return None,
        };
        Some(Self { task, state, how, attempt })
    }

    /// The stage it waits at.
    pub(super) fn stage(&self) -> Option<&StageName> {
        self.state.stage()
    }

    /// The word of its state: held, deferred or paused.
    pub(super) const fn status(&self) -> &'static str {
        self.state.status()
    }

    /// One word for what it is.
    pub(super) const fn kind(&self) -> &'static str {
        match &self.how {
            How::Held { reason, .. } => reason.kind(),
            How::Deferred(_) => "deferred",
            How::Paused { .. } => "paused",
        }
    }

    /// Why, in one line.
    pub(super) fn text(&self) -> String {
        match &self.how {
            How::Held { reason, .. } => reason.text(),
            How::Deferred(deferral) => format!("{}: {}", deferral.fault.reason.as_str(), deferral.fault.detail),
            How::Paused { by, why, .. } => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                format!("laid aside by {by}{why}")
            }
        }
    }

    /// What must come true.
    pub(super) fn waits_for(&self) -> String {
        match &self.how {
            How::Held { reason, .. } => self.probe(reason).text(),
            How::Deferred(deferral) => format!(
                "retry {} of {}, due {:.0} (a pause of {})",
                deferral.retry,
                deferral.max,
                deferral.due,
                shown_duration(deferral.pause)
            ),
            How::Paused { .. } => "a person to resume it".to_owned(),
        }
    }

    fn probe(&self, reason: &HoldReason) -> Probe {
        let seen = self.attempt.and_then(|attempt| attempt.decided.as_ref()).map(|decided| &decided.evidence);
        engine::probe(reason, seen)
    }

    fn waits_for_a_time(&self, reason: &HoldReason) -> bool {
        matches!(self.probe(reason), Probe::Time(_))
    }

    /// The one command that lets it go on.
    pub(super) fn way_out(&self) -> String {
        let task = self.task;
        match &self.how {
            How::Held { reason: HoldReason::Approval, .. } => {
                format!("orch hold release {task} --approve --reason TEXT")
            }
            // Before its time a look can only fail, and afterwards the next run looks by itself.
            How::Held { reason, .. } if self.waits_for_a_time(reason) => format!("orch hold release {task}"),
            How::Held { reason, .. } if self.probe(reason).can_be_tried() => {
                format!("orch hold release {task} --recheck")
            }
            How::Held { .. } | How::Deferred(_) => format!("orch hold release {task}"),
            How::Paused { .. } => format!("orch task resume {task}"),
        }
    }

    /// How `orch pipeline run` ends for it.
    pub(super) const fn exit_code(&self) -> ExitCode {
        match &self.how {
            How::Held { reason, .. } => ExitCode::of_hold(reason),
            How::Deferred(_) => ExitCode::TransientInfra,
            How::Paused { .. } => ExitCode::HeldForPerson,
        }
    }

    fn proof(&self) -> Option<&Proof> {
        Some(&self.attempt?.decided.as_ref()?.outcome.as_ref()?.proof)
    }

    /// What it rests on: the line of output or report, or what else was seen.
    pub(super) fn evidence_line(&self) -> Option<String> {
        let proof = self.proof()?;
        let told = proof.text.as_deref().unwrap_or(&proof.detail);
        Some(match (&proof.place, &proof.source) {
            (Some(place), _) => {
                let line = proof.line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("{place}{line}: {told}")
            }
            (None, Some(source)) => format!("{source}: {told}"),
            (None, None) => told.to_owned(),
        })
    }

    fn since(&self) -> Option<Timestamp> {
        match &self.how {
            How::Held { since, .. } | How::Paused { since, .. } => Some(*since),
            How::Deferred(_) => self.attempt?.decided.as_ref().map(|decided| decided.at),
        }
    }

    fn due(&self) -> Option<&Deferral> {
        match self.how {
            How::Deferred(deferral) => Some(deferral),
            How::Held { .. } | How::Paused { .. } => None,
        }
    }

    /// All of it, for machines.
    pub(super) fn document(&self) -> Value {
        let deferral = self.due();
        json!({
            "task": self.task.as_str(),
            "state": self.state.status(),
            "stage": self.state.stage().map(crate::domain::id::StageName::as_str),
            "kind": self.kind(),
            "text": self.text(),
            "since": self.since().map(|since| since.to_string()),
            "waits_for": self.waits_for(),
            "due": deferral.map(|deferral| deferral.due.to_string()),
            "retry": deferral.map(|deferral| deferral.retry),
            "retries_max": deferral.map(|deferral| deferral.max),
            "evidence": self.evidence_line(),
            "attempt": self.attempt.map(|attempt| attempt.intent.attempt.to_string()),
            "release": self.way_out(),
            "exit_code": self.exit_code().code(),
        })
    }

    /// All of it, for people: the first line alone says that it is no good news.
    pub(super) fn in_words(&self) -> String {
        let stage = self.state.stage().map(|stage| format!(" at {stage}")).unwrap_or_default();
        let mut lines = vec![
            format!("task {}: {}{stage} ({})", self.task, self.state.status().to_ascii_uppercase(), self.kind()),
            self.text(),
        ];
        // Without a place the text above has said it.
        let placed = self.proof().is_some_and(|proof| proof.place.is_some());
        lines.extend(self.evidence_line().filter(|_| placed).map(|line| format!("evidence: {line}")));
        lines.extend(self.since().map(|since| format!("since: {since}")));
        lines.push(format!("waits for: {}", self.waits_for()));
        let by_itself = match &self.how {
            How::Held { reason, .. } if self.waits_for_a_time(reason) => {
                format!("orch pipeline run --task {}, once that time has come; or at once: ", self.task)
            }
            How::Held { .. } | How::Deferred(_) | How::Paused { .. } => String::new(),
        };
        lines.push(format!("to let it go on: {by_itself}{}", self.way_out()));
        lines.join("\n")
    }
}
