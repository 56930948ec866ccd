//! `orch pipeline run`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::doctor;
use crate::domain::decision::{Decision, HoldReason, Settlement};
use crate::domain::id::{NameError, Nonce, StageName, TaskName};
use crate::domain::task::{RunEnd, TaskState};
use crate::runner::{Clock as _, Driven, Notice, RunError, Runner, SystemClock, Wanted};
use crate::store::Holder;
use crate::workspace::holder;
use crate::workspace::lock::{Lock, LockError, Subject};
use crate::workspace::worktree::Worktree;

use super::args::RunArgs;
use super::output::{self, Problem};
use super::signals::Signals;
use super::{ExitCode, pipeline, store, view};

pub(super) fn run(options: &RunArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let worktree = store::worktree(&options.state, &git)?;
    // Everything that is in the way is told at once.
    let (pipeline, text) = pipeline_path(options.pipeline.as_deref(), &worktree)
        .and_then(|path| pipeline::load(&path))
        .map_err(|problem| problem.and(store::trouble(&options.state, &worktree)))?;
    let wanted = Wanted { from: stage(options.from.as_deref())?, until: stage(options.until.as_deref())? };
    let task = task_name(options, &worktree)?;
    if options.task.is_none() && worktree.head().branch.is_none() {
        output::talk(&format!(
            "orch: HEAD is detached, so the task is called {task}; --task NAME gives it another name"
        ));
    }
    let place = store::state(&options.state, worktree)?;

    // From here on a request to stop is heard, not obeyed at once: what is begun is brought to its record.
    let signals = Signals::catch()
        .map_err(|error| Problem::new(ExitCode::Internal, format!("could not watch for signals: {error}")))?;
    let clock = SystemClock;
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let card = holder::Holder::this_process(Nonce::new(clock.secret()), clock.now(), &words);
    let owner = Holder { owner: card.describe(), pid: std::process::id() };
    let take = |subject| {
        Lock::acquire(&place.state, subject, card.clone()).map_err(|error| locked(&error, options.state.json))
    };
    let lock = take(Subject::Task(&task))?;
    // Two tasks in one checkout would judge each other's changes.
    let checkout = take(Subject::Worktree(&place.worktree))?;
    if let Some(gone) = lock.took_over_from() {
        output::talk(&format!("orch: the last runner of this task ended without releasing it: {}", gone.describe()));
    }
    let mut store = store::open(&place.state)?;

    for missing in doctor::missing_programs(&pipeline, &place.worktree, &store::host_env()) {
        output::talk(&format!(
            "orch: warning: the program `{}` of stage `{}` cannot be found; the stage will be held unless it is there by then",
            missing.program, missing.stage
        ));
    }

    let mut notify = |notice: Notice<'_>| tell(&notice);
    let mut runner = Runner {
        pipeline: &pipeline,
        pipeline_text: &text,
        task: task.clone(),
        git: &git,
        worktree: &place.worktree,
        state: &place.state,
        store: store.as_mut(),
        holder: owner,
        host_env: store::host_env(),
        clock: &clock,
        stop: signals.descriptor(),
        stopping: &|| signals.seen().is_some(),
        notify: &mut notify,
    };
    if options.dry_run {
        let plans = runner.dry_run(&wanted).map_err(|error| of_run(&error))?;
        show_plans(&plans, options.state.json);
        return Ok(ExitCode::Success);
    }
    let driven = runner.drive(&wanted).map_err(|error| of_run(&error))?;
    if let Driven::Ran { run, .. } = &driven
        && store.attempts(*run).is_ok_and(|attempts| attempts.iter().any(|attempt| attempt.intent.dirty))
    {
        output::talk("orch: the worktree differs from its commit: what is said here holds for the files as they are");
    }
    let code = exit_code(&driven, &signals);
    let run = match &driven {
        Driven::Ran { run, .. } | Driven::PassedAlready { run, .. } | Driven::DoneAlready { run } => *run,
    };
    let failed = |error| store::of_store(&error);
    let record = store.run(run).map_err(failed)?;
    let state = store.task(&task).map_err(failed)?.map(|stored| stored.task.state);
    if options.state.json {
        let attempts = store.attempts(run).map_err(failed)?;
        let mut document = record.map_or(Value::Null, |record| view::run(&record, state.as_ref(), &attempts));
        if let Value::Object(fields) = &mut document {
            fields.insert("exit_code".to_owned(), json!(code.code()));
            fields.insert(
                "already_done".to_owned(),
                json!(matches!(driven, Driven::DoneAlready { .. } | Driven::PassedAlready { .. })),
            );
        }
        output::document(&document);
    } else {
        output::data(&headline(&task, &driven));
    }
    checkout.release();
    lock.release();
    Ok(code)
}

/// The first line of the answer: it never says a good word when the task is held.
fn headline(task: &TaskName, driven: &Driven) -> String {
    match driven {
        Driven::PassedAlready { until, run } => {
            format!(
                "task {task}: {until} has passed already for this commit, tree and pipeline (run {run}); nothing was started"
            )
        }
        Driven::DoneAlready { run } => {
            format!("task {task}: done already for this commit, tree and pipeline (run {run}); nothing was started")
        }
        Driven::Ran { run, end, state } => match (end, state) {
            (_, TaskState::Held { stage, reason, .. }) => {
                // What a suite says of itself stands below: the first line is read alone, and held is no good news.
                format!(
                    "task {task}: HELD at {stage} ({})\n{}\nrun {run}; `orch explain` says what was seen, `orch logs` shows the output, \
                     `orch pipeline run` tries the stage again",
                    reason.kind(),
                    reason.text()
                )
            }
            (_, TaskState::Done { .. }) => format!("task {task}: done (run {run})"),
            (_, TaskState::Failed { stage, .. }) => {
                format!("task {task}: FAILED at {stage} (run {run}); `orch explain` and `orch logs --failed` say more")
            }
            (RunEnd::Done, _) => format!("task {task}: stopped after the stage of --until, which passed (run {run})"),
            (RunEnd::Interrupted | RunEnd::Failed | RunEnd::Held | RunEnd::Cancelled, state) => {
                format!(
                    "task {task}: interrupted (run {run}); it is {} and goes on with the next `orch pipeline run`",
                    state.status()
                )
            }
        },
    }
}

fn exit_code(driven: &Driven, signals: &Signals) -> ExitCode {
    match driven {
        Driven::DoneAlready { .. } | Driven::PassedAlready { .. } => ExitCode::Success,
        Driven::Ran { end, state, .. } => match (end, state) {
            (_, TaskState::Held { reason, .. }) => ExitCode::of_hold(reason),
            (_, TaskState::Failed { .. }) => ExitCode::Failed,
            (RunEnd::Done, _) => ExitCode::Success,
            (RunEnd::Interrupted | RunEnd::Cancelled | RunEnd::Failed | RunEnd::Held, _) => signals.exit_code(),
        },
    }
}

fn stage(text: Option<&str>) -> Result<Option<StageName>, Problem> {
    let refused = |error: NameError| {
        Problem::new(ExitCode::Usage, error.to_string()).help("the pipeline file names its stages under `stages:`")
    };
    text.map(|text| StageName::new(text).map_err(refused)).transpose()
}

pub(super) fn pipeline_path(given: Option<&Path>, worktree: &Worktree) -> Result<PathBuf, Problem> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let folder = worktree.toplevel().join("pipelines");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| {
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| is_yaml(path)).collect()
        })
        .unwrap_or_default();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Problem::new(ExitCode::Invalid, format!("there is no pipeline in {}", folder.display())).help(
            "write one there as NAME.yaml (docs/reference/pipeline.md describes the file), or name one: \
                 `orch pipeline run --pipeline FILE`",
        )),
        several @ [first, ..] => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Problem::new(ExitCode::Invalid, format!("there are several pipelines: {}", names.join(", ")))
                .help(format!("name one with --pipeline FILE: `orch pipeline run --pipeline {}`", first.display())))
        }
    }
}

fn is_yaml(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn task_name(options: &RunArgs, worktree: &Worktree) -> Result<TaskName, Problem> {
    if let Some(name) = &options.task {
        return TaskName::new(name.clone()).map_err(|error| {
            Problem::new(ExitCode::Usage, error.to_string()).help("`orch status` lists the tasks there are")
        });
    }
    let head = worktree.head();
    let detached = || TaskName::new(format!("detached-{}", head.commit.short())).ok();
    head.branch.as_deref().map_or_else(detached, TaskName::from_branch).ok_or_else(|| {
        Problem::new(ExitCode::Usage, "the branch's name gives no name for the task")
            .help("name the task with --task NAME")
    })
}

fn locked(error: &LockError, as_json: bool) -> Problem {
    let code = match error {
        LockError::Held { .. } => ExitCode::Locked,
        LockError::Unsafe { .. } | LockError::StateDir(_) | LockError::Io { .. } => ExitCode::Internal,
    };
    if let (LockError::Held { holder, heartbeat_at, .. }, true) = (error, as_json) {
        output::document(&json!({
            "version": 1,
            "error": "run_locked",
            "holder": holder.as_ref().map(|holder| json!({
                "pid": holder.pid,
                "host": holder.host,
                "started_at": holder.started_at.to_string(),
                "command": holder.command,
                "heartbeat_at": heartbeat_at.map(|at| at.to_string()),
            })),
            "hint": error.help(),
        }));
    }
    Problem::could_not(code, error).help(error.help())
}

fn of_run(error: &RunError) -> Problem {
    let help = match error {
        RunError::UnknownStage { .. } => "name one of those with --from or --until".to_owned(),
        RunError::NotBuilt { .. } => "nothing was started; run a part without it, with --from and --until".to_owned(),
        RunError::ReportCommitted { .. } => {
            "name a file that only the suite writes, and that git ignores; or take this one out of the commit"
                .to_owned()
        }
        RunError::LeftHere { task } => {
            format!("finish it with `orch pipeline run --task {task}`, or use a worktree of its own")
        }
        RunError::Elsewhere { .. } => {
            "finish it there with `orch pipeline run`, or give this worktree a task of its own with --task".to_owned()
        }
        RunError::UntilBefore { .. } => "name a stage that passes lead to".to_owned(),
        RunError::Plan { .. } => "set the variable, or declare it under `env:` of the stage's producer".to_owned(),
        RunError::Prepare { source, .. } => prepare_help(source),
        RunError::Store(error) => return store::of_store(error),
        RunError::Git(error) => return store::of_git(error),
        RunError::StateDir(error) => return store::of_state_dir(error),
        RunError::Tree(_) => {
            "look at the file that is named; the tree must be readable for a verdict to be bound to it".to_owned()
        }
        RunError::Refused(_) | RunError::Pinned(_) => {
            "please report this: it is a bug, or the store was edited".to_owned()
        }
        RunError::Supervisor(_) => {
            "run it again: what was recorded is kept, and the task goes on from there".to_owned()
        }
    };
    let code = match error {
        RunError::LeftHere { .. } => ExitCode::Locked,
        RunError::UnknownStage { .. }
        | RunError::ReportCommitted { .. }
        | RunError::Prepare { .. }
        | RunError::NotBuilt { .. }
        | RunError::UntilBefore { .. }
        | RunError::Elsewhere { .. }
        | RunError::Plan { .. } => ExitCode::Invalid,
        RunError::Store(_)
        | RunError::Git(_)
        | RunError::Tree(_)
        | RunError::StateDir(_)
        | RunError::Refused(_)
        | RunError::Pinned(_)
        | RunError::Supervisor(_) => ExitCode::Internal,
    };
    Problem::could_not(code, error).help(help)
}

fn prepare_help(error: &crate::producer::PrepareError) -> String {
    match error {
        crate::producer::PrepareError::Artifact(error) => error.help().to_owned(),
        crate::producer::PrepareError::Report(error) => error.help().to_owned(),
        crate::producer::PrepareError::Folder { .. } => "look at the state folder's owner, mode and space".to_owned(),
    }
}

fn tell(notice: &Notice<'_>) {
    let text = match notice {
        Notice::RunStarted { task, run, stage } => format!("orch: run {run}: task {task} at {stage}"),
        Notice::AttemptStarted { stage, place: (visit, number), argv, .. } => {
            let again =
                if (*visit, *number) == (1, 1) { String::new() } else { format!(" (visit {visit}, attempt {number})") };
            format!("orch: {stage}{again}: {}", words(argv))
        }
        Notice::AttemptDecided { stage, outcome, settlement, decision, .. } => {
            let seen = match (outcome, settlement) {
                (Some(outcome), Settlement::Passed | Settlement::Failed(_)) => {
                    format!("{}, {}", settlement.as_str(), outcome.proof.detail)
                }
                (Some(outcome), _) => {
                    format!("{} ({}): {}", outcome.conclusion.class(), outcome.reason.as_str(), outcome.proof.detail)
                }
                (None, _) => "cancelled".to_owned(),
            };
            let next = match decision {
                // The cause stands before the arrow.
                Decision::Hold(
                    HoldReason::TimedOut(..) | HoldReason::PermanentEnv(_) | HoldReason::TransientInfra(_),
                ) => "hold".to_owned(),
                Decision::Advance(_)
                | Decision::Rollback { .. }
                | Decision::Rewrite
                | Decision::Hold(HoldReason::Failed | HoldReason::BudgetSpent { .. } | HoldReason::Unreadable(_))
                | Decision::Fail
                | Decision::Interrupt => view::decision(decision),
            };
            format!("orch: {stage}: {seen} -> {next}")
        }
        Notice::Warning(text) => format!("orch: warning: {text}"),
    };
    output::talk(&text);
}

/// Arguments for people: words with blanks in quotes, control characters escaped.
fn words(argv: &[String]) -> String {
    let shown = |word: &String| {
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\'' | '"' | '\\'));
        if plain { word.clone() } else { format!("{word:?}") }
    };
    argv.iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn show_plans(plans: &[(crate::domain::pipeline::Stage, crate::domain::plan::AttemptPlan)], as_json: bool) {
    if as_json {
        let stages: Vec<Value> = plans
            .iter()
            .map(|(stage, plan)| {
                json!({
                    "stage": stage.name.as_str(),
                    "producer": plan.producer.as_str(),
                    "argv": plan.shown.words(),
                    "cwd": plan.cwd.display().to_string(),
                    "env_names": plan.env.names(),
                    "gate": stage.gate.as_str(),
                    "artifact": stage.artifact.as_ref().map(crate::domain::id::RelPath::as_str),
                })
            })
            .collect();
        output::document(&json!({ "version": 1, "dry_run": true, "stages": stages }));
        return;
    }
    if plans.is_empty() {
        output::data("nothing would be started: the task is done for this commit, tree and pipeline");
    }
    for (stage, plan) in plans {
        output::data(&format!(
            "{}: {} {}\n  in {}, gate {}, environment {}",
            stage.name,
            plan.producer.as_str(),
            words(plan.shown.words()),
            plan.cwd.display(),
            stage.gate.as_str(),
            plan.env.names().join(" ")
        ));
    }
}
