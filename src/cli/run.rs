//! `orch pipeline run`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::config::{Flags, Settings};
use crate::doctor;
use crate::domain::decision::{Decision, HoldReason, Settlement};
use crate::domain::id::{NameError, Nonce, RunId, StageName, TaskName};
use crate::domain::pipeline::Pipeline;
use crate::domain::task::{RunEnd, TaskState};
use crate::runner::{Clock as _, Driven, Notice, PipelineFile, RunError, Runner, SystemClock, Wanted};
use crate::store::{Holder, Store};
use crate::workspace::git::Git;
use crate::workspace::holder;
use crate::workspace::lock::{Lock, LockError, Subject};
use crate::workspace::worktree::Worktree;

use super::args::RunArgs;
use super::emit::{Emits, Stdout, Told};
use super::output::{self, Problem};
use super::progress::Progress;
use super::signals::Signals;
use super::waiting::Waiting;
use super::{ExitCode, config, emit, pipeline, plan, reach, store, view};

pub(super) fn run(options: &RunArgs) -> Result<ExitCode, Problem> {
    let emits = Emits::plan(&options.emit, if options.state.json { Stdout::Taken } else { Stdout::Answer })?;
    emits.clear()?;
    let git = store::git(&options.state.worktree)?;
    let worktree = store::worktree(&options.state, &git)?;
    // Everything that is in the way is told at once.
    let read = pipeline_path(options.pipeline.as_deref(), &worktree)
        .and_then(|path| pipeline::load(&path).map(|(pipeline, text)| (path, pipeline, text)));
    let known = read.as_ref().ok().map(|(_, pipeline, _)| pipeline);
    let settings = settings(&config::flags(&options.overrides, &options.state), known);
    let ((path, pipeline, text), settings) = match (read, settings) {
        (Ok(read), Ok(settings)) => (read, settings),
        (Err(problem), settings) => {
            return Err(problem.and(settings.err()).and(store::trouble(&options.state, &worktree)));
        }
        (Ok(_), Err(problem)) => return Err(problem.and(store::trouble(&options.state, &worktree))),
    };
    let repository = repository(&git, &worktree, &pipeline)?;
    let wanted = Wanted {
        from: stage(options.from.as_deref())?,
        until: stage(options.until.as_deref())?,
        max_wait: if options.no_wait { Duration::ZERO } else { options.max_wait },
        accept_pipeline: options.accept_pipeline,
    };
    let task = task_name(options.task.as_deref(), &worktree)?;
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
    let card = holder::Holder::this_process(Nonce::new(clock.secret()), clock.now(), &words_of_this_process());
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
    for warning in settings.warnings(pipeline.stages(), &repository) {
        output::talk(&format!("orch: warning: {warning}"));
    }

    for missing in doctor::missing_programs(&pipeline, (&settings, &repository), &place.worktree, &store::host_env()) {
        output::talk(&format!(
            "orch: warning: the program `{}` of stage `{}` cannot be found; the stage will be held unless it is there by then",
            missing.program, missing.stage
        ));
    }

    let begun = Cell::new(None);
    let mut progress = Progress::new(options.progress.quiet, options.progress.progress_s);
    let every = progress.every();
    let mut notify = |notice: Notice<'_>| {
        if let Notice::RunStarted { run, .. } = &notice {
            begun.set(Some(*run));
        }
        progress.tell(&notice);
        tell(&notice);
    };
    let mut runner = Runner {
        pipeline: &pipeline,
        pipeline_text: &text,
        pipeline_file: Some(PipelineFile::read(path, pipeline.digest())),
        task: task.clone(),
        git: &git,
        worktree: &place.worktree,
        state: &place.state,
        store: store.as_mut(),
        holder: owner,
        person: reach::person(),
        host_env: store::host_env(),
        settings: &settings,
        repository,
        clock: &clock,
        stop: signals.descriptor(),
        stopping: &|| signals.seen().is_some(),
        progress: every,
        notify: &mut notify,
    };
    if options.dry_run {
        let plans = runner.dry_run(&wanted).map_err(|error| of_run(&error))?;
        plan::show(&plans, options.state.json);
        return Ok(ExitCode::Success);
    }
    let driven = runner.drive(&wanted);
    progress.clear();
    let driven = match driven {
        Ok(driven) => driven,
        Err(error) => {
            let problem = of_run(&error);
            let told = told(store.as_ref(), begun.get(), &pipeline, "", None);
            let mut told = told.unwrap_or_else(|_| nothing(&pipeline, "", None)).broken(&problem.message);
            told.set("exit_code", json!(problem.code.code()));
            emits.finish(&told, problem.code);
            return Err(problem);
        }
    };
    if let Driven::Ran { run, .. } = &driven
        && store.attempts(*run).is_ok_and(|attempts| attempts.iter().any(|attempt| attempt.intent.dirty))
    {
        output::talk("orch: the worktree differs from its commit: what is said here holds for the files as they are");
    }
    let code = exit_code(&driven, &signals);
    let code = report(options, store.as_ref(), &pipeline, &task, &driven, code, &emits)?;
    checkout.release();
    lock.release();
    Ok(code)
}

/// Tells how the run came out, to people and to the CI around; gives the exit code.
fn report(
    options: &RunArgs,
    store: &dyn Store,
    pipeline: &Pipeline,
    task: &TaskName,
    driven: &Driven,
    code: ExitCode,
    emits: &Emits,
) -> Result<ExitCode, Problem> {
    let run = match driven {
        Driven::Ran { run, .. } | Driven::PassedAlready { run, .. } | Driven::DoneAlready { run } => Some(*run),
        Driven::Stays { run, .. } => *run,
    };
    let failed = |error| store::of_store(&error);
    let stored = store.task(task).map_err(failed)?;
    let attempt = match &stored {
        Some(stored) => reach::last_attempt(store, stored)?,
        None => None,
    };
    let state = stored.as_ref().map(|stored| &stored.task.state);
    let waiting = state.and_then(|state| Waiting::of(task, state, attempt.as_ref()));
    let headline = headline(task, driven, waiting.as_ref());
    if !options.state.json && !emits.takes_stdout() {
        output::data(&emit::talk(&headline));
    }
    Ok(if options.state.json || !emits.is_empty() {
        let heading = headline.lines().next().unwrap_or_default();
        let mut told = told(store, run, pipeline, heading, state)?.waits(waiting.as_ref());
        told.set("hold", json!(waiting.map(|waiting| waiting.document())));
        told.set("exit_code", json!(code.code()));
        told.set("already_done", json!(matches!(driven, Driven::DoneAlready { .. } | Driven::PassedAlready { .. })));
        told.set("nothing_started", json!(!matches!(driven, Driven::Ran { .. })));
        if options.state.json {
            output::document(told.document());
        }
        emits.finish(&told, code)
    } else {
        code
    })
}

/// A run as reports tell it.
fn told(
    store: &dyn Store,
    run: Option<RunId>,
    pipeline: &Pipeline,
    heading: &str,
    state: Option<&TaskState>,
) -> Result<Told, Problem> {
    let failed = |error| store::of_store(&error);
    let record = run.map(|run| store.run(run)).transpose().map_err(failed)?.flatten();
    let Some(record) = record else { return Ok(nothing(pipeline, heading, state)) };
    let attempts = store.attempts(record.start.run).map_err(failed)?;
    let document = view::run(&record, state, &attempts);
    Ok(Told::of_run(heading, &record, &attempts, document))
}

fn nothing(pipeline: &Pipeline, heading: &str, state: Option<&TaskState>) -> Told {
    let document = json!({ "version": 1, "run": null, "state": state.map(TaskState::status) });
    Told::nothing(pipeline.name().as_str(), heading, document)
}

/// Reads every setting before anything is made or started.
pub(super) fn settings(flags: &Flags, pipeline: Option<&Pipeline>) -> Result<Settings, Problem> {
    Settings::read(&config::variables(), flags, pipeline).map_err(|problems| config::refused(&problems))
}

/// What the repository is called where switches name it.
pub(super) fn repository(git: &Git<'_>, worktree: &Worktree, pipeline: &Pipeline) -> Result<String, Problem> {
    worktree.repository(git, pipeline.repository()).map(|found| found.name).map_err(|error| store::of_git(&error))
}

/// The first line of the answer: it never says a good word when the task is held.
fn headline(task: &TaskName, driven: &Driven, waiting: Option<&Waiting<'_>>) -> String {
    // What a suite says of itself stands below: the first line is read alone, and held is no good news.
    match (driven, waiting) {
        (Driven::Ran { run, .. }, Some(waiting)) => format!(
            "{}\nrun {run}; `orch explain` says what was seen, `orch logs` shows the output",
            waiting.in_words()
        ),
        (Driven::Stays { found, .. }, Some(waiting)) => {
            let looked = found.as_deref().map(|found| format!("looked: {found}\n")).unwrap_or_default();
            format!("{}\n{looked}nothing was started; `orch explain` says what was seen", waiting.in_words())
        }
        (Driven::PassedAlready { until, run }, _) => {
            format!(
                "task {task}: {until} has passed already for this commit, tree and pipeline (run {run}); nothing was started"
            )
        }
        (Driven::DoneAlready { run }, _) => {
            format!("task {task}: done already for this commit, tree and pipeline (run {run}); nothing was started")
        }
        (Driven::Stays { state, .. }, None) => format!("task {task}: {}; nothing was started", state.status()),
        (Driven::Ran { run, end, state }, None) => match (end, state) {
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
        Driven::Stays { state, .. } => of_state(state, signals),
        Driven::Ran { end, state, .. } => match (end, state) {
            (RunEnd::Held, TaskState::Deferred { .. }) => ExitCode::TransientInfra,
            (_, TaskState::Held { reason, .. }) => ExitCode::of_hold(reason),
            (_, TaskState::Failed { .. }) => ExitCode::Failed,
            (RunEnd::Done, _) => ExitCode::Success,
            (RunEnd::Interrupted | RunEnd::Cancelled | RunEnd::Failed | RunEnd::Held, _) => signals.exit_code(),
        },
    }
}

/// How orch ends for a task that stays as it is.
fn of_state(state: &TaskState, signals: &Signals) -> ExitCode {
    match state {
        TaskState::Held { reason, .. } => ExitCode::of_hold(reason),
        TaskState::Paused { .. } => ExitCode::HeldForPerson,
        TaskState::Deferred { .. } | TaskState::Waiting { .. } => ExitCode::TransientInfra,
        TaskState::Queued { .. }
        | TaskState::Ready { .. }
        | TaskState::Running { .. }
        | TaskState::Done { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => signals.exit_code(),
    }
}

pub(super) fn stage(text: Option<&str>) -> Result<Option<StageName>, Problem> {
    let refused = |error: NameError| {
        Problem::new(ExitCode::Usage, error.to_string()).help("the pipeline file names its stages under `stages:`")
    };
    text.map(|text| StageName::new(text).map_err(refused)).transpose()
}

pub(super) fn pipeline_path(given: Option<&Path>, worktree: &Worktree) -> Result<PathBuf, Problem> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    only_pipeline(worktree.toplevel())
}

/// The only file in the pipelines folder of a repository.
pub(super) fn only_pipeline(top: &Path) -> Result<PathBuf, Problem> {
    let folder = top.join("pipelines");
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

pub(super) fn task_name(given: Option<&str>, worktree: &Worktree) -> Result<TaskName, Problem> {
    if let Some(name) = given {
        return TaskName::new(name).map_err(|error| {
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

pub(super) fn locked(error: &LockError, as_json: bool) -> Problem {
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

pub(super) fn of_run(error: &RunError) -> Problem {
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
        RunError::PipelineChanged { .. } => {
            "restore the file, or go on with the new one: `orch pipeline run --accept-pipeline`; no earlier verdict \
             stands for it then"
                .to_owned()
        }
        RunError::PipelineEdited { .. } => {
            "what was recorded is kept; restore the file and run again, or go on with the new one: `orch pipeline run \
             --accept-pipeline`"
                .to_owned()
        }
        RunError::StageGone { .. } => "start at one that it has, with --from STAGE".to_owned(),
        RunError::NoTask { .. } => "`orch status` lists the tasks there are".to_owned(),
        RunError::NotNow { .. } => "`orch status` shows where each task stands".to_owned(),
        RunError::NotAsked { .. } => "`orch hold list` says what each task waits for".to_owned(),
        RunError::NeedsAnswer { task } => {
            format!("`orch hold release {task} --approve --reason TEXT`, or `--reject --reason TEXT`")
        }
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
        RunError::NoTask { .. }
        | RunError::NotNow { .. }
        | RunError::NotAsked { .. }
        | RunError::NeedsAnswer { .. } => ExitCode::Usage,
        RunError::UnknownStage { .. }
        | RunError::ReportCommitted { .. }
        | RunError::Prepare { .. }
        | RunError::NotBuilt { .. }
        | RunError::UntilBefore { .. }
        | RunError::Elsewhere { .. }
        | RunError::PipelineChanged { .. }
        | RunError::PipelineEdited { .. }
        | RunError::StageGone { .. }
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

pub(super) fn tell(notice: &Notice<'_>) {
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
                | Decision::Retry { .. }
                | Decision::Hold(
                    HoldReason::Failed
                    | HoldReason::BudgetSpent { .. }
                    | HoldReason::Unreadable(_)
                    | HoldReason::Approval
                    | HoldReason::SwitchedOff { .. },
                )
                | Decision::Fail
                | Decision::Interrupt => view::decision(decision),
            };
            format!("orch: {stage}: {seen} -> {next}")
        }
        // It is shown elsewhere.
        Notice::Working { .. } => return,
        Notice::Waiting { stage, deferral, left } => format!(
            "orch: {stage}: waiting {} for retry {} of {}, due {:.0}",
            crate::classify::shown_duration(*left),
            deferral.retry,
            deferral.max,
            deferral.due
        ),
        Notice::Warning(text) => format!("orch: warning: {text}"),
    };
    output::talk(&emit::talk(&text));
}

/// The command line of this process.
pub(super) fn words_of_this_process() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Arguments for people: words with blanks in quotes, control characters escaped.
pub(super) fn words(argv: &[String]) -> String {
    let shown = |word: &String| {
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\'' | '"' | '\\'));
        if plain { word.clone() } else { format!("{word:?}") }
    };
    argv.iter().map(shown).collect::<Vec<_>>().join(" ")
}
