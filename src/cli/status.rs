//! `orch status`, `orch run list` and `orch run show`: they look and take no lock.

use std::str::FromStr as _;

use serde_json::{Value, json};

use crate::domain::id::{RunId, TaskName};
use crate::store::{RunFilter, Store, StoredTask, Version};
use crate::workspace::lock::{self, LockView, Subject};
use crate::workspace::{logs, preflight};

use super::args::{RunListArgs, RunShowArgs, StateArgs};
use super::output::{self, Problem};
use super::reach::{last_attempt, stood_in};
use super::stillborn::Stillborn;
use super::store::{Place, of_store};
use super::waiting::Waiting;
use super::{ExitCode, driver, store, view};

pub(super) fn status(options: &StateArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.worktree)?;
    let place = store::place(options, &git)?;
    let store = store::open_existing(&place.state)?;
    let tasks = match &store {
        Some(store) => store.tasks().map_err(|error| of_store(&error))?,
        None => Vec::new(),
    };
    let attempts = match &store {
        Some(store) => {
            tasks.iter().map(|stored| last_attempt(store.as_ref(), stored)).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let locks: Vec<std::io::Result<LockView>> =
        tasks.iter().map(|stored| lock::look(&place.state, Subject::Task(&stored.task.name))).collect();
    let mut stillborn = Vec::with_capacity(tasks.len());
    for (stored, lock) in tasks.iter().zip(&locks) {
        stillborn.push(match &store {
            Some(store) => Stillborn::of(&place.state, store.as_ref(), stored, lock)?,
            None => Stillborn::default(),
        });
    }
    let stood_in = match &store {
        Some(store) => tasks.iter().map(|stored| stood_in(store.as_ref(), stored)).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let mut left = Vec::with_capacity(tasks.len());
    for (stored, lock) in tasks.iter().zip(&locks) {
        left.push(match &store {
            Some(store) => is_left(store.as_ref(), stored, lock)?,
            None => false,
        });
    }
    let preflights = preflight::kept(place.state.path());
    if options.json {
        let tasks: Vec<Value> = tasks
            .iter()
            .zip(attempts.iter().zip(&stood_in))
            .zip(locks.iter().zip(stillborn.iter().zip(&left)))
            .map(|((stored, (attempt, stood_in)), (lock, (stillborn, left)))| {
                let mut shown = view::task(stored, attempt.as_ref());
                shown["fallbacks"] = view::fallbacks(stood_in);
                shown["holder"] = json!(holder(lock));
                shown["lock"] = driven_by(lock);
                shown["left"] = json!(left);
                shown["stillborn"] = stillborn.document();
                shown
            })
            .collect();
        output::document(&json!({
            "version": 1,
            "state_dir": place.state.path().display().to_string(),
            "state_dir_origin": place.state.source().as_str(),
            "tasks": tasks,
            "preflights": preflights.iter().map(|look| json!({
                "stage": look.stage, "at": look.at, "passed": look.passed, "seen": look.seen,
            })).collect::<Vec<_>>(),
        }));
        return Ok(ExitCode::Success);
    }
    for (stored, stillborn) in tasks.iter().zip(&stillborn) {
        for line in stillborn.in_words(&stored.task.name) {
            output::data(&logs::escape(line.as_bytes()));
        }
    }
    output::data(&format!("state: {} (from {})", place.state.path().display(), place.state.source().as_str()));
    if tasks.is_empty() {
        output::data("no task yet; `orch pipeline run` makes one");
    }
    let looks = attempts.iter().zip(&stood_in).zip(locks.iter().zip(&left));
    for (stored, ((attempt, stood_in), (lock, left))) in tasks.iter().zip(looks) {
        let task = &stored.task;
        let stage = task.state.stage().map(|stage| format!(" at {stage}")).unwrap_or_default();
        let why = Waiting::of(&task.name, &task.state, attempt.as_ref())
            .map(|waiting| format!(": {}; {}", waiting.text(), waiting.way_out()))
            .unwrap_or_default();
        let holder = holder(lock).map(|holder| format!(" [{holder}]")).unwrap_or_default();
        let left = if *left {
            format!("; nobody drives it: `orch pipeline run --task {}` goes on from what was recorded", task.name)
        } else {
            String::new()
        };
        let line = format!("{}: {}{stage}{why}{left}{holder}", task.name, task.state.status());
        // Why it waits may be what a suite printed.
        output::data(&logs::escape(line.as_bytes()));
        for line in view::fallbacks_in_words(stood_in) {
            output::data(&logs::escape(format!("  {line}").as_bytes()));
        }
    }
    for look in preflights {
        let word = if look.passed { "passed" } else { "failed" };
        let line = format!("preflight of {}: {word} at {}: {}", look.stage, look.at, look.seen);
        output::data(&logs::escape(line.as_bytes()));
    }
    Ok(ExitCode::Success)
}

/// Whether a run of the task is open and nobody drives it: its runner died or gave up.
fn is_left(store: &dyn Store, stored: &StoredTask, lock: &std::io::Result<LockView>) -> Result<bool, Problem> {
    let free = match lock {
        Ok(LockView::Free | LockView::Abandoned(_)) => true,
        Ok(LockView::Held { .. } | LockView::Elsewhere { .. }) | Err(_) => false,
    };
    if !free || stored.task.state.live_run().is_none() {
        return Ok(false);
    }
    // The lock was looked at after the task: a run that came to its end in between was not left.
    let now = store.task(&stored.task.name).map_err(|error| of_store(&error))?;
    Ok(now.is_some_and(|now| now.version == stored.version))
}

fn holder(lock: &std::io::Result<LockView>) -> Option<String> {
    match lock {
        Ok(LockView::Held { holder: Some(holder), heartbeat_at }) => {
            Some(format!("driven by {}{}", holder.describe(), driver::beat(*heartbeat_at)))
        }
        Ok(LockView::Held { holder: None, .. }) => Some("driven by an unknown holder".to_owned()),
        Ok(LockView::Elsewhere { holder, heartbeat_at }) => {
            Some(format!("last driven from elsewhere: {}{}", holder.describe(), driver::beat(*heartbeat_at)))
        }
        Ok(LockView::Abandoned(holder)) => Some(format!("left by {}", holder.describe())),
        Ok(LockView::Free) => None,
        Err(error) => Some(format!("its lock cannot be read: {error}")),
    }
}

/// The lock of a task for machines.
fn driven_by(lock: &std::io::Result<LockView>) -> Value {
    let (state, holder) = match lock {
        Ok(view @ (LockView::Free | LockView::Held { holder: None, .. })) => (driver::word(view), None),
        Ok(view @ LockView::Abandoned(holder)) => (driver::word(view), Some(driver::document(holder, None))),
        Ok(
            view @ (LockView::Elsewhere { holder, heartbeat_at }
            | LockView::Held { holder: Some(holder), heartbeat_at }),
        ) => (driver::word(view), Some(driver::document(holder, *heartbeat_at))),
        Err(_) => ("unreadable", None),
    };
    json!({ "state": state, "holder": holder })
}

pub(super) fn run_list(options: &RunListArgs) -> Result<ExitCode, Problem> {
    let task = options
        .task
        .as_deref()
        .map(|name| TaskName::from_str(name).map_err(|error| Problem::new(ExitCode::Usage, error.to_string())))
        .transpose()?;
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let runs = match store::open_existing(&place.state)? {
        Some(store) => store.runs(&RunFilter { task, limit: Some(options.limit) }).map_err(|error| of_store(&error))?,
        None => Vec::new(),
    };
    if options.state.json {
        output::document(&json!({ "version": 1, "runs": runs.iter().map(view::run_line).collect::<Vec<_>>() }));
        return Ok(ExitCode::Success);
    }
    for run in runs {
        let end = run.closing.map_or("live", |closing| closing.end.as_str());
        output::data(&format!(
            "{}  {}  {:<11}  {}  {}",
            run.start.run, run.start.at, end, run.task, run.start.pipeline
        ));
    }
    Ok(ExitCode::Success)
}

pub(super) fn run_show(options: &RunShowArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    let failed = |error| of_store(&error);
    let id = find_run(store.as_ref(), options.run.as_deref())?;
    let run = store.run(id).map_err(failed)?.ok_or_else(nothing)?;
    if options.events {
        for record in store.events(&run.task, Version::NONE).map_err(failed)? {
            output::data(&format!(
                "{{\"version\":1,\"seq\":{},\"hash\":\"{}\",\"event\":{}}}",
                record.seq, record.hash, record.text
            ));
        }
        return Ok(ExitCode::Success);
    }
    let attempts = store.attempts(id).map_err(failed)?;
    let state = store.task(&run.task).map_err(failed)?.map(|stored| stored.task.state);
    if options.state.json {
        output::document(&view::run(&run, state.as_ref(), &attempts, &place.state));
        return Ok(ExitCode::Success);
    }
    let end = run.closing.map_or("live", |closing| closing.end.as_str());
    output::data(&format!("run {id}: task {}, pipeline {}, {end}", run.task, run.start.pipeline));
    output::data(&format!("commit {}, base {}, started {}", run.start.commit, run.start.base_commit, run.start.at));
    for attempt in attempts {
        let ended =
            attempt.finished.as_ref().map_or("under way".to_owned(), |finished| view::exit_in_words(&finished.record));
        let came_to = attempt.decided.as_ref().map_or(String::new(), |decided| {
            format!(", {} -> {}", decided.settlement.as_str(), view::decision(&decided.decision))
        });
        let used = attempt.decided.as_ref().and_then(|decided| decided.evidence.agent.as_ref()?.usage.in_words());
        let used = used.map(|used| format!("; used {used}")).unwrap_or_default();
        let instead = if attempt.intent.fallback { format!(" [{}]", attempt.intent.chosen) } else { String::new() };
        output::data(&format!(
            "  {}  {} (visit {}, attempt {}): {ended}{came_to}{used}{instead}",
            attempt.intent.attempt, attempt.intent.stage, attempt.intent.visit, attempt.intent.number
        ));
        if let Some(line) = view::shadow_in_words(&attempt, &place.state) {
            output::data(&logs::escape(format!("    {line}").as_bytes()));
        }
    }
    Ok(ExitCode::Success)
}

/// The store of a command that needs one to be there.
pub(super) fn existing(place: &Place) -> Result<Box<dyn Store>, Problem> {
    store::open_existing(&place.state)?.ok_or_else(|| {
        Problem::new(
            ExitCode::Usage,
            format!("nothing has been run yet: there is no store in {}", place.state.path().display()),
        )
        .help("run `orch pipeline run` first, or name the folder with --state-dir")
    })
}

fn nothing() -> Problem {
    Problem::new(ExitCode::Usage, "there is no run yet").help("run `orch pipeline run` first")
}

/// The run that an id or its beginning names, or the newest.
pub(super) fn find_run(store: &dyn Store, prefix: Option<&str>) -> Result<RunId, Problem> {
    match prefix {
        Some(prefix) => store.find_run(prefix).map_err(|error| of_store(&error)),
        None => store
            .runs(&RunFilter { task: None, limit: Some(1) })
            .map_err(|error| of_store(&error))?
            .first()
            .map(|run| run.start.run)
            .ok_or_else(nothing),
    }
}
