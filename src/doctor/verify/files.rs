//! The files beside the store: logs, exit records and stamps in the state folder, copies of artifacts in worktrees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Check, Part, Pipelines, Report, Whole};
use crate::doctor::paper;
use crate::domain::evidence::Stream;
use crate::domain::id::{Digest, RunId, StageName};
use crate::domain::pipeline::ProducerKind;
use crate::domain::pipeline::{Advance, OnFail, Pipeline};
use crate::domain::stamp::Stamp;
use crate::domain::task::ArtifactRef;
use crate::exec::{EXITS_FILE, Trail, trail};
use crate::producer::log_name;
use crate::store::AttemptRecord;
use crate::workspace::artifact::{ARTIFACT_BYTES_MAX, read_back};
use crate::workspace::lock::Subject;
use crate::workspace::worktree::Worktree;

/// Longest stamp that is read.
const STAMP_BYTES_MAX: u64 = 1024 * 1024;

/// Runs that left records and that the store does not know: it was put back from an older copy.
pub(super) fn unknown_runs(check: &Check<'_>, report: &mut Report) {
    let entries = std::fs::read_dir(check.state.path().join("runs")).into_iter().flatten().flatten();
    // Records are begun after the commit that announces the run, so the store is asked after the folder.
    for entry in entries {
        let Some(run) = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()) else { continue };
        let has_records = std::fs::metadata(entry.path().join(EXITS_FILE)).is_ok_and(|found| found.len() > 0);
        if has_records && matches!(check.store.run(run), Ok(None)) {
            report.add(
                Part::Store,
                format!("run {run}"),
                format!(
                    "it left records in {}, and the store does not know it: an older copy was put back",
                    entry.path().display()
                ),
            );
        }
    }
}

/// Looks at the logs and stamps of a task's attempts.
pub(super) fn check(check: &Check<'_>, whole: &Whole, report: &mut Report) {
    for (run, attempts) in &whole.runs {
        let folder = check.state.run_dir(run.start.run);
        let place = format!("run {} of task `{}`", run.start.run, whole.stored.task.name);
        let written = |attempt: &&AttemptRecord| {
            attempt
                .finished
                .as_ref()
                .is_some_and(|finished| finished.record.stdout.bytes + finished.record.stderr.bytes > 0)
        };
        if !folder.is_dir() {
            if attempts.iter().any(|attempt| written(&attempt)) {
                report.add(
                    Part::Files,
                    place,
                    format!("its folder {} is gone, with its logs and reports", folder.display()),
                );
            }
            continue;
        }
        for attempt in attempts {
            logs(&folder, attempt, report);
            exit_record(&folder, attempt, report);
            stamp(&check.state.attempt_dir(run.start.run, attempt.intent.attempt), attempt, report);
        }
    }
}

fn logs(folder: &Path, attempt: &AttemptRecord, report: &mut Report) {
    let Some(finished) = &attempt.finished else { return };
    for (stream, span) in [(Stream::Stdout, &finished.record.stdout), (Stream::Stderr, &finished.record.stderr)] {
        let path = folder.join(log_name(stream));
        let wanted = span.start.saturating_add(span.bytes);
        let found = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        // The store knows that a part was not kept: nobody took it away later.
        let was_cut = attempt.decided.as_ref().is_none_or(|decided| decided.evidence.output.incomplete);
        let what = match found {
            _ if span.bytes == 0 => continue,
            Some(len) if len >= wanted => continue,
            Some(len) if was_cut => {
                report.left_out.push(format!(
                    "attempt {}: the length of {} was not compared: it has {len} of {wanted} bytes, and it was recorded \
                     that a part of its output was not kept",
                    attempt.intent.attempt,
                    path.display()
                ));
                continue;
            }
            Some(len) => format!("{} has {len} bytes, and the attempt's output ends at {wanted}", path.display()),
            None => format!("{} is gone", path.display()),
        };
        report.add(Part::Files, format!("attempt {}", attempt.intent.attempt), what);
    }
}

/// The supervisor's own lines about an attempt that is decided. Its end is in the store; without them nothing shows
/// any more where it came from.
fn exit_record(folder: &Path, attempt: &AttemptRecord, report: &mut Report) {
    let (Some(finished), Some(_decided)) = (&attempt.finished, &attempt.decided) else { return };
    // An end that the runner wrote down itself, because no supervisor was there or nobody had to be.
    if attempt.intent.producer == ProducerKind::Approval || paper::nobody_saw(&finished.record.exit) {
        return;
    }
    let what = match trail(folder, attempt.intent.attempt, attempt.intent.nonce) {
        Ok(Trail::Ended(record)) if record.exit == finished.record.exit => return,
        Ok(Trail::Ended(_)) => "tells of another end than the store",
        Ok(Trail::Nothing | Trail::Open { .. }) => "has no line about its end, and the attempt is decided",
        Ok(Trail::Bad) => "has lines about it that are torn, doubled or of another nonce",
        Err(_) => "cannot be read",
    };
    let what = format!("{} {what}", folder.join(EXITS_FILE).display());
    report.add(Part::Records, format!("attempt {}", attempt.intent.attempt), what);
}

fn stamp(folder: &Path, attempt: &AttemptRecord, report: &mut Report) {
    let Some(decided) = &attempt.decided else { return };
    let path = folder.join("stamp.json");
    let found = match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() && found.len() <= STAMP_BYTES_MAX => std::fs::read(&path).ok(),
        Ok(_) => None,
        // Not every attempt has a folder, and the store has its stamp.
        Err(_) => return,
    };
    let same = found
        .and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok())
        .is_some_and(|stamp| stamp == decided.stamp);
    if !same {
        let what = format!("{} is not the stamp that the store has", path.display());
        report.add(Part::Files, format!("attempt {}", attempt.intent.attempt), what);
    }
}

/// Compares the artifacts that stand for a task with the copies in its worktree (invariant I11).
///
/// Only where they can be expected there: nobody drives it, no run was left open, it was the last one to run in that
/// worktree, and the worktree is at the commit of its last run.
pub(super) fn artifacts(check: &Check<'_>, whole: &Whole, pipelines: &Pipelines, last: bool, report: &mut Report) {
    let task = &whole.stored.task;
    let Some((run, _)) = whole.runs.last() else { return };
    let leave_out = |report: &mut Report, why: String| {
        report.left_out.push(format!("task {}: its artifacts were not compared: {why}", task.name));
    };
    if task.state.live_run().is_some() {
        return leave_out(report, "it is running, or was left by its runner".to_owned());
    }
    if !last {
        return leave_out(report, "another task ran in its worktree after it".to_owned());
    }
    let Some(worktree) = (check.worktree)(&task.worktree).filter(|found| found.toplevel() == task.worktree) else {
        return leave_out(report, format!("{} is no worktree any more", task.worktree.display()));
    };
    if worktree.head().commit.as_str() != run.start.commit {
        return leave_out(report, format!("its worktree has moved on from commit {}", short(&run.start.commit)));
    }
    let driver = |check: &Check<'_>| {
        let subjects = [Subject::Task(&task.name), Subject::Worktree(&worktree)];
        subjects.into_iter().find_map(|subject| check.driver(subject))
    };
    if let Some(driver) = driver(check) {
        return leave_out(report, format!("it is driven by {driver}"));
    }
    let mut wrong = Vec::new();
    let standing = standing(whole, pipelines);
    for (stage, artifact) in &standing {
        if let Some(what) = differs(&worktree, artifact) {
            let place = format!(
                "{} of stage `{stage}` of task `{}`",
                worktree.toplevel().join(artifact.path.as_str()).display(),
                task.name
            );
            wrong.push((place, what));
        }
    }
    // A run that began meanwhile takes artifacts away before its first commit.
    let moved = !matches!(check.store.task(&task.name), Ok(Some(now)) if now.version == whole.stored.version);
    if !wrong.is_empty()
        && let Some(driver) = driver(check).or_else(|| moved.then(|| "a run that has just ended".to_owned()))
    {
        return leave_out(report, format!("it is driven by {driver}"));
    }
    report.artifacts_compared = report.artifacts_compared.saturating_add(standing.len() as u64);
    for (place, what) in wrong {
        report.add(Part::Artifact, place, what);
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn differs(worktree: &Worktree, artifact: &ArtifactRef) -> Option<String> {
    match read_back(worktree.root(), &artifact.path, ARTIFACT_BYTES_MAX) {
        Ok(bytes) if Digest::of(&bytes) == artifact.digest => None,
        Ok(_) => Some("it is not what the gate read".to_owned()),
        Err(unreadable) => Some(format!("it cannot be read: {}", unreadable.detail)),
    }
}

/// The last artifact of each stage that no later run or attempt took away.
fn standing(whole: &Whole, pipelines: &Pipelines) -> BTreeMap<StageName, ArtifactRef> {
    let mut standing: BTreeMap<StageName, ArtifactRef> = BTreeMap::new();
    for (run, attempts) in &whole.runs {
        // A run takes away the artifacts of every stage it may come to.
        match pipelines.get(&run.start.pipeline_digest).and_then(Option::as_ref) {
            Some(pipeline) => {
                let reach = reach(pipeline, &run.start.stage);
                standing.retain(|stage, _| !reach.contains(stage));
            }
            None => standing.clear(),
        }
        for attempt in attempts {
            standing.remove(&attempt.intent.stage);
            if let Some(artifact) = attempt.decided.as_ref().and_then(|decided| decided.artifact.clone()) {
                standing.insert(attempt.intent.stage.clone(), artifact);
            }
        }
    }
    standing
}

/// Every stage that a run from one stage may come to.
fn reach(pipeline: &Pipeline, from: &StageName) -> BTreeSet<StageName> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        let Some(stage) = pipeline.stage(name) else { continue };
        if !seen.insert(stage.name.clone()) {
            continue;
        }
        match &stage.pass {
            Advance::To(next) => waiting.push(next),
            Advance::Done => {}
        }
        match &stage.fail {
            OnFail::Rollback { to, .. } => waiting.push(to),
            OnFail::Hold | OnFail::Failed => {}
        }
    }
    seen
}
