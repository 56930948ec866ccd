//! `orch hold list`, `show` and `release`.

use serde_json::{Value, json};

use crate::domain::decision::HoldReason;
use crate::domain::evidence::Answer;
use crate::domain::task::TaskState;
use crate::runner::{Found, RunError, SystemClock};

use super::args::{HoldShowArgs, ReleaseArgs, StateArgs};
use super::output::{self, Problem};
use super::reach::{LiveRunner, Reached, last_attempt, named, person, require};
use super::store::of_store;
use super::waiting::Waiting;
use super::{ExitCode, explain, status, store, trouble, view};

pub(super) fn list(options: &StateArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.worktree)?;
    let place = store::place(options, &git)?;
    let mut documents: Vec<Value> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    if let Some(store) = store::open_existing(&place.state)? {
        for stored in store.tasks().map_err(|error| of_store(&error))? {
            let attempt = last_attempt(store.as_ref(), &stored)?;
            let Some(waiting) = Waiting::of(&stored.task.name, &stored.task.state, attempt.as_ref()) else { continue };
            documents.push(waiting.document());
            words.push(waiting.in_words());
        }
    }
    if options.json {
        output::document(&json!({ "version": 1, "holds": documents }));
    } else if words.is_empty() {
        output::data("no task waits");
    } else {
        output::data(&words.join("\n\n"));
    }
    Ok(ExitCode::Success)
}

pub(super) fn show(options: &HoldShowArgs) -> Result<ExitCode, Problem> {
    let (worktree, task) = named(options.task.as_deref(), &options.state)?;
    let place = store::state(&options.state, worktree)?;
    let store = status::existing(&place)?;
    let stored = require(store.as_ref(), &task)?;
    let attempt = last_attempt(store.as_ref(), &stored)?;
    let waiting = Waiting::of(&task, &stored.task.state, attempt.as_ref()).ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("task {task} does not wait: it is {}", stored.task.state.status()))
            .help("`orch hold list` lists the tasks that do")
    })?;
    if options.state.json {
        let mut document = waiting.document();
        document["version"] = json!(1);
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    let seen = attempt.as_ref().map(|attempt| format!("\n\n{}", explain::in_words(attempt))).unwrap_or_default();
    output::data(&format!("{}{seen}", waiting.in_words()));
    Ok(ExitCode::Success)
}

pub(super) fn release(options: &ReleaseArgs) -> Result<ExitCode, Problem> {
    let mut reached = Reached::open(options.task.as_deref(), &options.state, options.lock, LiveRunner::LeaveIt)?;
    let state = reached.stored()?.task.state;
    let asks = matches!(&state, TaskState::Held { reason: HoldReason::Approval, .. });
    if options.approve || options.reject {
        return answer(&mut reached, options);
    }
    if asks {
        return Err(trouble::of_run(&RunError::NeedsAnswer { task: reached.task.clone() }));
    }
    if !matches!(&state, TaskState::Held { .. } | TaskState::Deferred { .. }) {
        let problem = Problem::new(
            ExitCode::Usage,
            format!("task {} is not held and waits for no retry: it is {}", reached.task, state.status()),
        );
        return Err(if matches!(state, TaskState::Paused { .. }) {
            problem.help(format!("take it up again with `orch task resume {}`", reached.task))
        } else {
            problem.help("`orch hold list` lists the tasks that wait")
        });
    }
    let mut checked = None;
    if options.recheck {
        let looked = reached.with_runner(false, |runner| {
            let (_, found) = runner.recheck()?;
            Ok(found)
        })?;
        match looked {
            Found::Passed(found) => checked = Some(found),
            Found::NotTried => {
                output::talk("orch: nothing of this hold can be looked at from here; it is released on your word");
            }
            Found::Failed(found) => return stays(&reached, &found, options.state.json),
        }
    }
    let state = reached
        .desk(&SystemClock)
        .release(options.reason.clone(), checked.clone())
        .map_err(|error| trouble::of_run(&error))?;
    let stage = state.stage().map(ToString::to_string).unwrap_or_default();
    if options.state.json {
        let mut document = reached.document()?;
        document["checked"] = json!(checked);
        output::document(&document);
    } else {
        let seen = checked.map(|checked| format!(" ({checked})")).unwrap_or_default();
        output::data(&format!(
            "task {}: released{seen}; {stage} runs next: orch pipeline run --task {}",
            reached.task, reached.task
        ));
    }
    Ok(ExitCode::Success)
}

/// Says that a hold stays; orch ends as the hold says.
fn stays(reached: &Reached, found: &str, as_json: bool) -> Result<ExitCode, Problem> {
    let stored = reached.stored()?;
    let attempt = last_attempt(reached.store.as_ref(), &stored)?;
    let Some(waiting) = Waiting::of(&reached.task, &stored.task.state, attempt.as_ref()) else {
        return Err(Problem::new(ExitCode::Internal, format!("task {} is no longer held", reached.task))
            .help("`orch status` shows where it stands"));
    };
    if as_json {
        let mut document = waiting.document();
        document["version"] = json!(1);
        document["checked"] = json!(found);
        output::document(&document);
    } else {
        output::data(&format!("{}\nlooked: {found}; the hold stays", waiting.in_words()));
    }
    Ok(waiting.exit_code())
}

fn answer(reached: &mut Reached, options: &ReleaseArgs) -> Result<ExitCode, Problem> {
    let why = options.reason.clone().unwrap_or_default();
    if why.trim().is_empty() {
        return Err(Problem::new(ExitCode::Usage, "an answer needs a reason").help("say why with --reason TEXT"));
    }
    let given = Answer { approved: options.approve, by: person(), why };
    let answered = reached.with_runner(false, |runner| runner.answer(given))?;
    if options.state.json {
        let mut document = reached.document()?;
        document["run"] = json!(answered.run.to_string());
        document["decision"] = json!(view::decision(&answered.decision));
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    let word = if options.approve { "approved" } else { "rejected" };
    let goes_on = matches!(answered.state, TaskState::Queued { .. });
    let next =
        if goes_on { format!("; it goes on with `orch pipeline run --task {}`", reached.task) } else { String::new() };
    output::data(&format!("task {}: {word} -> {}{next}", reached.task, view::decision(&answered.decision)));
    Ok(ExitCode::Success)
}
