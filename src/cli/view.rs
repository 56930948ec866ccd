//! Records as people and machines see them: the documents of `--json`, and the same in words.

use serde_json::{Value, json};

use crate::domain::decision::Decision;
use crate::domain::evidence::{Exit, ExitRecord};
use crate::domain::id::TaskName;
use crate::domain::outcome::Ruling;
use crate::domain::pipeline::Advance;
use crate::domain::shadow::Shadow;
use crate::domain::smoke::{SmokeFacts, SmokeSense};
use crate::domain::task::TaskState;
use crate::store::{AttemptRecord, RunRecord, StoredTask};
use crate::workspace::controls::Found;
use crate::workspace::shadows;
use crate::workspace::state_dir::StateDir;

use super::classify;
use super::waiting::Waiting;
use crate::classify::shown_duration;

/// Version of the documents.
const VERSION: u32 = 1;

/// A run with its attempts and their shadows.
pub(super) fn run(run: &RunRecord, state: Option<&TaskState>, attempts: &[AttemptRecord], place: &StateDir) -> Value {
    json!({
        "version": VERSION,
        "run": run.start.run.to_string(),
        "task": run.task.as_str(),
        "pipeline": run.start.pipeline.as_str(),
        "pipeline_digest": run.start.pipeline_digest.to_string(),
        "commit": run.start.commit,
        "base_commit": run.start.base_commit,
        "host": run.start.host,
        "started_at": run.start.at.to_string(),
        "end": run.closing.map(|closing| closing.end.as_str()),
        "closed_at": run.closing.map(|closing| closing.at.to_string()),
        "state": state.map(TaskState::status),
        "hold": state.and_then(|state| hold(&run.task, state, attempts.last())),
        "attempts": attempts.iter().map(|one| attempt(one, place)).collect::<Vec<_>>(),
    })
}

/// A run in a list.
pub(super) fn run_line(run: &RunRecord) -> Value {
    json!({
        "run": run.start.run.to_string(),
        "task": run.task.as_str(),
        "pipeline": run.start.pipeline.as_str(),
        "started_at": run.start.at.to_string(),
        "end": run.closing.map(|closing| closing.end.as_str()),
    })
}

/// A task and where it stands.
pub(super) fn task(stored: &StoredTask, attempt: Option<&AttemptRecord>) -> Value {
    let task = &stored.task;
    json!({
        "task": task.name.as_str(),
        "state": task.state.status(),
        "stage": task.state.stage().map(crate::domain::id::StageName::as_str),
        "run": task.state.live_run().map(|run| run.to_string()),
        "worktree": task.worktree.display().to_string(),
        "checkout": task.checkout.as_ref().map(|checkout| json!({
            "branch": checkout.branch.as_str(),
            "base_commit": checkout.base_commit,
            "standing": checkout.identity.is_some() && task.worktree.exists(),
        })),
        "hold": hold(&task.name, &task.state, attempt),
        "takes_a_turn": task.state.takes_a_turn(),
        "visits": task.visits.iter().map(|(stage, n)| (stage.to_string(), json!(n))).collect::<serde_json::Map<_, _>>(),
        "spent": task.spent.budgets.iter().map(|(name, n)| (name.to_string(), json!(n))).collect::<serde_json::Map<_, _>>(),
    })
}

/// Who stood in for the declared producers of a task's stages.
pub(super) fn fallbacks(attempts: &[AttemptRecord]) -> Value {
    let one = |attempt: &AttemptRecord| {
        let intent = &attempt.intent;
        json!({ "stage": intent.stage.as_str(), "producer": intent.producer.as_str(), "chosen": intent.chosen })
    };
    attempts.iter().map(one).collect()
}

/// The same, a line each.
pub(super) fn fallbacks_in_words(attempts: &[AttemptRecord]) -> Vec<String> {
    let one = |attempt: &AttemptRecord| {
        let intent = &attempt.intent;
        format!("{} was done by {}, the fallback: {}", intent.stage, intent.producer.as_str(), intent.chosen)
    };
    attempts.iter().map(one).collect()
}

/// What a task waits for, where it does.
fn hold(task: &TaskName, state: &TaskState, attempt: Option<&AttemptRecord>) -> Option<Value> {
    Waiting::of(task, state, attempt).map(|waiting| waiting.document())
}

/// The shadow of an attempt.
pub(super) fn shadow(attempt: &AttemptRecord, place: &StateDir) -> Found<Shadow> {
    shadows::kept(&place.attempt_dir(attempt.intent.run, attempt.intent.attempt))
}

/// The same in one line; `None` where none was due.
pub(super) fn shadow_in_words(attempt: &AttemptRecord, place: &StateDir) -> Option<String> {
    match shadow(attempt, place) {
        Found::Nothing => None,
        Found::Unreadable => Some("shadow: its record cannot be read".to_owned()),
        Found::Read(shadow) => {
            let (profile, agreement) = (shadow.profile.as_str(), shadow.agreement().as_str());
            Some(format!("shadow {profile}: {} ({agreement})", shadow.in_words()))
        }
    }
}

fn shadow_document(attempt: &AttemptRecord, place: &StateDir) -> Value {
    match shadow(attempt, place) {
        Found::Nothing => Value::Null,
        Found::Unreadable => json!({ "agreement": "no-verdict", "detail": "its record cannot be read" }),
        Found::Read(shadow) => json!({
            "profile": shadow.profile.as_str(),
            "process": shadow.process.map(|id| id.to_string()),
            "gate": shadow.gate.as_str(),
            "verdict": shadow.verdict().map(Ruling::as_str),
            "agreement": shadow.agreement().as_str(),
            "detail": shadow.in_words(),
            "end": shadow.end,
        }),
    }
}

/// An attempt with its shadow, as far as they are.
pub(super) fn attempt(attempt: &AttemptRecord, place: &StateDir) -> Value {
    let intent = &attempt.intent;
    let record = attempt.finished.as_ref().map(|finished| finished.record.as_ref());
    let decided = attempt.decided.as_deref();
    json!({
        "attempt": intent.attempt.to_string(),
        "stage": intent.stage.as_str(),
        "visit": intent.visit.get(),
        "number": intent.number.get(),
        "producer": intent.producer.as_str(),
        "chosen": intent.chosen,
        "fallback": intent.fallback,
        "argv": intent.argv,
        "cwd": intent.cwd.display().to_string(),
        "env_names": intent.env_names,
        "tree": intent.tree.to_string(),
        "dirty": intent.dirty,
        "intended_at": intent.at.to_string(),
        "exit": record.map(|record| exit(&record.exit)),
        "elapsed_ms": record.map(|record| u64::try_from(record.elapsed.as_millis()).unwrap_or(u64::MAX)),
        "stdout_bytes": record.map(|record| record.stdout.bytes),
        "stderr_bytes": record.map(|record| record.stderr.bytes),
        "leaked": record.map(|record| record.leaked.iter().map(|leaked| leaked.name.clone()).collect::<Vec<_>>()),
        "kill_tier": record.map(|record| json!(record.tier)),
        "containment": record.map(|record| json!(record.containment)),
        "agent": decided.and_then(|decided| decided.evidence.agent.as_ref()).map(|facts| json!(facts)),
        "outcome": decided.and_then(|decided| decided.outcome.as_ref()).map(classify::document),
        "smoke": decided.map(|decided| decided.evidence.smoke.iter().map(smoke).collect::<Vec<_>>()),
        "settlement": decided.map(|decided| decided.settlement.as_str()),
        "decision": decided.map(|decided| decision(&decided.decision)),
        "artifact": decided.and_then(|decided| decided.artifact.as_ref()).map(|artifact| json!({
            "path": artifact.path.as_str(),
            "digest": artifact.digest.to_string(),
        })),
        "shadow": shadow_document(attempt, place),
    })
}

fn smoke(check: &SmokeFacts) -> Value {
    json!({
        "get": check.get,
        "expect": check.expect,
        "got": check.seen.in_words(),
        "right": check.sense() == SmokeSense::Right,
        "elapsed_ms": u64::try_from(check.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

fn exit(exit: &Exit) -> Value {
    serde_json::to_value(exit).unwrap_or(Value::Null)
}

/// How a process ended, in words.
pub(super) fn exit_in_words(record: &ExitRecord) -> String {
    end_in_words(&record.exit)
}

/// How a command ended, in words; on another host it is the far end, and not that of the helper here.
pub(super) fn end_in_words(exit: &Exit) -> String {
    match exit {
        Exit::Exited { code } => format!("exit code {code}"),
        Exit::Signalled { signal, .. } => format!("ended by {}", crate::classify::signal_name(*signal)),
        Exit::TimedOut { limit, .. } => format!("stopped by orch's {} limit", limit.as_str()),
        Exit::Cancelled { .. } => "cancelled".to_owned(),
        Exit::SpawnFailed(failure) => format!("never started: {} `{}`", failure.step.as_str(), failure.subject),
        Exit::Lost { reason } => format!("lost: {}", reason.as_str()),
        Exit::Answered(answer) => format!("answered by {}", answer.by),
    }
}

/// A decision as one line.
pub(super) fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Advance(Advance::To(stage)) => format!("advance to {stage}"),
        Decision::Advance(Advance::Done) => "done".to_owned(),
        Decision::Rollback { to, charge } => format!("roll back to {to}, charged to {charge}"),
        Decision::Rewrite => "once more, to mend the artifact".to_owned(),
        Decision::Retry { retry, max, pause } => format!("retry {retry} of {max} in {}", shown_duration(*pause)),
        Decision::Hold(reason) => format!("hold: {}", reason.text()),
        Decision::Fail => "failed".to_owned(),
        Decision::Interrupt => "interrupted".to_owned(),
    }
}
