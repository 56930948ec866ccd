//! The paper trail of one run (row G5): for each attempt, what was to be started, what its supervisor wrote of it, how it
//! ended and what was decided; whether each is there, and whether they agree.

use std::path::Path;

use super::finding::Finding;
use crate::domain::evidence::{Exit, ExitRecord, LostReason};
use crate::domain::pipeline::ProducerKind;
use crate::exec::{RecordError, Sentinel, Trail, sentinels, trail};
use crate::store::{AttemptRecord, RunRecord};

/// What to do about a record that is missing.
const MISSING_HELP: &str = "the outcome stands in the store and nothing is to be settled; a power loss or a full disk may take a record, else find out who removes files of the state folder";

const BRIEF: &str = "brief";
const LAUNCH: &str = "launch";
const END: &str = "end";
const DECISION: &str = "decision";

/// Looks at a run's attempts, oldest first.
pub fn paper_trail(run: &RunRecord, attempts: &[AttemptRecord], run_dir: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    if attempts.is_empty() {
        found.push(Finding::ok(BRIEF, "no attempt was intended: nothing was to be started"));
    }
    let told = sentinels(run_dir);
    for attempt in attempts {
        found.push(brief(attempt));
        if attempt.intent.producer != ProducerKind::Approval {
            let written = trail(run_dir, attempt.intent.attempt, attempt.intent.nonce);
            let sentinel = told.iter().find(|sentinel| sentinel.attempt == attempt.intent.attempt);
            found.push(launch(run, attempt, sentinel, &written));
            found.push(end(attempt, &written));
        }
        found.push(decision(run, attempt));
    }
    if run.closing.is_none() {
        let next = format!("`orch pipeline run --task {}` goes on from what it recorded", run.task);
        found.push(Finding::warn(DECISION, "the run is open: it is under way, or its runner died", next));
    }
    found
}

fn brief(attempt: &AttemptRecord) -> Finding {
    let intent = &attempt.intent;
    let program = intent.argv.first().map_or("nothing", String::as_str);
    let environment = if intent.env_names.is_empty() { "none".to_owned() } else { intent.env_names.join(", ") };
    Finding::ok(
        BRIEF,
        format!(
            "attempt {} of stage `{}`, intended {:.0}: `{program}` with {} arguments, in {}, environment {environment}",
            intent.attempt,
            intent.stage,
            intent.at,
            intent.argv.len().saturating_sub(1),
            intent.cwd.display(),
        ),
    )
}

fn launch(
    run: &RunRecord,
    attempt: &AttemptRecord,
    sentinel: Option<&Sentinel>,
    written: &Result<Trail, RecordError>,
) -> Finding {
    let id = attempt.intent.attempt;
    match (written, sentinel) {
        (Err(error), _) => unreadable(LAUNCH, error),
        (Ok(_), Some(sentinel)) => {
            Finding::warn(LAUNCH, format!("SPAWN FAILED: {}", sentinel.in_words()), "`orch explain` says what follows")
        }
        (Ok(Trail::Ended(record)), None) if matches!(record.exit, Exit::SpawnFailed(_)) => Finding::fail(
            LAUNCH,
            format!("attempt {id} could not be started, and its sentinel is gone"),
            "find out who removes files of the state folder",
        ),
        (Ok(Trail::Ended(record)), None) => {
            Finding::ok(LAUNCH, format!("started {:.0}, after the brief", record.started_at))
        }
        (Ok(Trail::Open { starting_at, pid: Some(pid) }), None) => {
            Finding::ok(LAUNCH, format!("started {starting_at:.0}, main process {pid}"))
        }
        (Ok(Trail::Open { starting_at, pid: None }), None) => Finding::warn(
            LAUNCH,
            format!("was about to start at {starting_at:.0}; whether it began, nobody wrote down"),
            "it is not started again unless the stage is idempotent",
        ),
        (Ok(Trail::Nothing), None) if ended_by_itself(attempt) => Finding::fail(
            LAUNCH,
            format!(
                "the exit record of attempt {id} is missing: it ended, and no supervisor's line tells of its start"
            ),
            MISSING_HELP,
        ),
        (Ok(Trail::Nothing), None) if attempt.decided.is_some() => Finding::warn(
            LAUNCH,
            format!("NEVER LAUNCHED: no supervisor wrote anything of attempt {id}"),
            "it is settled; `orch explain` says what followed",
        ),
        (Ok(Trail::Nothing), None) => Finding::warn(
            LAUNCH,
            format!("NEVER LAUNCHED: no supervisor wrote anything of attempt {id}"),
            format!("`orch pipeline run --task {}` settles it and goes on", run.task),
        ),
        (Ok(Trail::Bad), None) => bad(LAUNCH, attempt),
    }
}

fn end(attempt: &AttemptRecord, written: &Result<Trail, RecordError>) -> Finding {
    let stored = attempt.finished.as_ref().map(|finished| &*finished.record);
    match (written, stored) {
        (Err(error), _) => unreadable(END, error),
        (Ok(Trail::Ended(record)), Some(stored)) if **record == *stored => {
            Finding::ok(END, format!("{} {:.0}; the store has the same", words(stored), stored.ended_at))
        }
        (Ok(Trail::Ended(record)), Some(stored)) => Finding::fail(
            END,
            format!("the supervisor wrote `{}`, and the store has `{}`", words(record), words(stored)),
            "`orch verify` says whether the store is whole; find out who changes the state folder",
        ),
        (Ok(Trail::Ended(record)), None) => Finding::warn(
            END,
            format!("{} {:.0}; not in the store yet", words(record), record.ended_at),
            "the next `orch pipeline run` takes it in",
        ),
        // Written by the runner, because no supervisor was there to write it.
        (Ok(Trail::Nothing | Trail::Open { .. } | Trail::Bad), Some(stored)) if nobody_saw(&stored.exit) => {
            Finding::ok(END, format!("{}: no supervisor saw it", words(stored)))
        }
        (Ok(Trail::Nothing | Trail::Open { .. } | Trail::Bad), Some(stored)) => Finding::fail(
            END,
            format!("the store has `{}`, and no supervisor's line says so", words(stored)),
            MISSING_HELP,
        ),
        (Ok(Trail::Bad), None) => bad(END, attempt),
        (Ok(Trail::Nothing | Trail::Open { .. }), None) => Finding::warn(
            END,
            "NEVER SEEN: no end is written",
            "the next `orch pipeline run` waits for it or says that it is lost",
        ),
    }
}

fn decision(run: &RunRecord, attempt: &AttemptRecord) -> Finding {
    match &attempt.decided {
        Some(decided) => Finding::ok(DECISION, format!("decided {:.0}: {}", decided.at, decided.settlement.as_str())),
        None => Finding::warn(
            DECISION,
            format!("attempt {} is not decided", attempt.intent.attempt),
            format!("`orch pipeline run --task {}` decides it from what was recorded", run.task),
        ),
    }
}

fn unreadable(area: &'static str, error: &RecordError) -> Finding {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Finding::fail(area, format!("could not {error}{cause}"), "nothing is decided from it until it can be read")
}

fn bad(area: &'static str, attempt: &AttemptRecord) -> Finding {
    Finding::fail(
        area,
        format!("the lines about attempt {} are torn, doubled or of another nonce", attempt.intent.attempt),
        "find out who changes the state folder; such an attempt counts as lost",
    )
}

/// Whether the store has an end of it that a supervisor saw.
fn ended_by_itself(attempt: &AttemptRecord) -> bool {
    attempt.finished.as_ref().is_some_and(|finished| !nobody_saw(&finished.record.exit))
}

/// Whether an end is one that the runner records in a supervisor's place.
pub(super) const fn nobody_saw(exit: &Exit) -> bool {
    match exit {
        Exit::Lost { .. } | Exit::SpawnFailed(_) => true,
        Exit::Exited { .. }
        | Exit::Signalled { .. }
        | Exit::TimedOut { .. }
        | Exit::Cancelled { .. }
        | Exit::Answered(_) => false,
    }
}

fn words(record: &ExitRecord) -> String {
    match &record.exit {
        Exit::Exited { code } => format!("exit code {code}"),
        Exit::Signalled { signal, .. } => format!("ended by signal {signal}"),
        Exit::TimedOut { limit, .. } => format!("ended by its {} limit", limit.as_str()),
        Exit::Cancelled { .. } => "cancelled".to_owned(),
        Exit::SpawnFailed(failure) => format!("could not be started, step {}", failure.step.as_str()),
        Exit::Lost { reason: LostReason::NeverStarted } => "never started".to_owned(),
        Exit::Lost { reason } => format!("lost ({})", reason.as_str()),
        Exit::Answered(_) => "answered by a person".to_owned(),
    }
}
