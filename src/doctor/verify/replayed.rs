//! Whether the engine and the gates of today come to what is recorded (invariants I9 and I10).

use super::{Check, Part, Pipelines, Report, Whole, damage};
use crate::domain::decision::Settlement;
use crate::domain::pipeline::{Gate, Pipeline};
use crate::domain::task::Task;
use crate::domain::verdict::Verdict;
use crate::engine;
use crate::gate;
use crate::store::{AttemptRecord, StoreError};

pub(super) fn check(
    check: &Check<'_>,
    whole: &Whole,
    pipelines: &Pipelines,
    report: &mut Report,
) -> Result<(), StoreError> {
    let stored = &whole.stored.task;
    let place = format!("task `{}`", stored.name);
    match engine::replay(whole.events.iter().map(|record| &record.event)) {
        Ok(Some(task)) if task == *stored => {}
        Ok(Some(task)) => {
            report.add(Part::Replay, place, format!("its events lead to another {}", difference(&task, stored)));
        }
        Ok(None) => report.add(Part::Replay, place, "it has no event"),
        Err((index, refused)) => {
            report.add(Part::Replay, format!("event {} of {place}", index.saturating_add(1)), refused.to_string());
        }
    }
    for (run, attempts) in &whole.runs {
        let pipeline = pipelines.get(&run.start.pipeline_digest).and_then(Option::as_ref);
        for attempt in attempts {
            if let Some(pipeline) = pipeline {
                verdict(check, attempt, pipeline, report)?;
            }
        }
    }
    Ok(())
}

/// What differs between two forms of a task, by the names of its parts.
fn difference(replayed: &Task, stored: &Task) -> String {
    let parts = [
        ("worktree", replayed.worktree == stored.worktree),
        ("state", replayed.state == stored.state),
        ("count of what it spent", replayed.spent == stored.spent),
        ("count of visits", replayed.visits == stored.visits),
        ("count of launches", replayed.launches == stored.launches),
    ];
    let names: Vec<&str> = parts.into_iter().filter_map(|(name, same)| (!same).then_some(name)).collect();
    let states = format!("{} by its events, {} by its row", replayed.state.status(), stored.state.status());
    format!("{} ({states})", names.join(" and "))
}

/// Reads the artifact of a verdict again, by the gate of the pipeline it was judged under.
fn verdict(
    check: &Check<'_>,
    attempt: &AttemptRecord,
    pipeline: &Pipeline,
    report: &mut Report,
) -> Result<(), StoreError> {
    let intent = &attempt.intent;
    let place = format!("attempt {} of stage `{}` of task `{}`", intent.attempt, intent.stage, attempt.task);
    let Some(decided) = &attempt.decided else { return Ok(()) };
    let wanted = match &decided.settlement {
        Settlement::Passed => Verdict::Pass,
        Settlement::Failed(_) => Verdict::Fail,
        Settlement::Unreadable(_)
        | Settlement::TimedOut(..)
        | Settlement::PermanentEnv(_)
        | Settlement::TransientInfra(_)
        | Settlement::Cancelled(_) => return Ok(()),
    };
    let Some(stage) = pipeline.stage(&intent.stage) else {
        report.add(Part::Gate, place, "its pipeline has no such stage");
        return Ok(());
    };
    let Some(artifact) = &decided.artifact else {
        if stage.gate != Gate::None {
            report.add(Part::Gate, place, format!("it {} without an artifact", decided.settlement.as_str()));
        }
        return Ok(());
    };
    let bytes = match check.store.artifact(&artifact.digest) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            report.add(Part::Store, place, format!("the bytes of its artifact {} are gone", artifact.path));
            return Ok(());
        }
        Err(error) => return damage(report, &place, error),
    };
    match gate::read(&stage.gate, &bytes) {
        Ok(reading) if reading.verdict == wanted => {}
        Ok(reading) => {
            let what = format!("it {}, and the gate reads {}", decided.settlement.as_str(), reading.verdict.as_str());
            report.add(Part::Gate, place, what);
        }
        Err(unreadable) => {
            let what = format!(
                "it {}, and the gate cannot read its artifact: {}",
                decided.settlement.as_str(),
                unreadable.detail
            );
            report.add(Part::Gate, place, what);
        }
    }
    Ok(())
}
