//! `orch pipeline run`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::config::Settings;
use crate::doctor;
use crate::domain::id::{Nonce, RunId, TaskName};
use crate::domain::pipeline::Pipeline;
use crate::domain::task::{RunEnd, TaskState};
use crate::runner::{Clock as _, Driven, Machine, Notice, PipelineFile, RunError, Runner, SystemClock, Wanted};
use crate::store::{Holder, RunFilter, Store};
use crate::workspace::beside::beside;
use crate::workspace::git::Git;
use crate::workspace::holder;
use crate::workspace::state_dir::StateDir;
use crate::workspace::worktree::Worktree;
use crate::workspace::{logs, preflight};

use super::args::RunArgs;
use super::driver::{Asking, Driving};
use super::emit::{Emits, Stdout, Told};
use super::output::{self, Problem};
use super::progress::Progress;
use super::signals::Signals;
use super::site::Site;
use super::waiting::Waiting;
use super::{ExitCode, config, emit, goal, pipeline, plan, reach, store, talk, trouble, view};

pub(super) fn run(options: &RunArgs) -> Result<ExitCode, Problem> {
    let emits = Emits::plan(&options.emit, if options.state.json { Stdout::Taken } else { Stdout::Answer })?;
    emits.clear()?;
    let site = Site::find(&options.state, options.task.as_deref())?;
    let Read { path, pipeline, text, settings } =
        read(options, &site.worktree).map_err(|problem| edited(options, &site, problem))?;
    let wanted = Wanted {
        from: goal::stage(options.from.as_deref())?,
        until: goal::stage(options.until.as_deref())?,
        max_wait: if options.no_wait { Duration::ZERO } else { options.max_wait },
        accept_pipeline: options.accept_pipeline,
    };
    let task = site.task(options.task.as_deref())?;
    if options.task.is_none() && !site.is_owned() && site.worktree.head().branch.is_none() {
        output::talk(&format!(
            "orch: HEAD is detached, so the task is called {task}; --task NAME gives it another name"
        ));
    }
    let Site { git, worktree, .. } = site;
    let place = store::state(&options.state, worktree)?;

    // From here on a request to stop is heard, not obeyed at once: what is begun is brought to its record.
    let signals = Signals::catch()
        .map_err(|error| Problem::new(ExitCode::Internal, format!("could not watch for signals: {error}")))?;
    let clock = SystemClock;
    let card = holder::Holder::this_process(Nonce::new(clock.secret()), clock.now(), &talk::words_of_this_process());
    let owner = Holder { owner: card.describe(), pid: std::process::id() };
    let asking = Asking::at_most(options.lock.wait, Some(&signals), options.state.json);
    let driving = Driving::take(&place, &task, &card, asking)?;
    // Not before the lock: whoever is refused asks git as little as can be.
    let (repository, mut store) = open(&git, &place, &pipeline, &settings)?;
    let host_env = store::host_env();
    warn(&pipeline, (&settings, &repository), &place.worktree, &host_env);
    if !options.dry_run {
        look_ahead(&pipeline, (&settings, &repository), &place, &host_env);
    }

    failpoint!("run.locked");
    let begun = Cell::new(None);
    let mut progress = Progress::new(options.progress.quiet, options.progress.progress_s);
    let every = progress.every();
    let mut notify = |notice: Notice<'_>| {
        if let Notice::RunStarted { run, .. } = &notice {
            begun.set(Some(*run));
        }
        progress.tell(&notice);
        talk::tell(&notice);
    };
    let mut runner = Runner {
        pipeline: &pipeline,
        pipeline_text: &text,
        pipeline_file: Some(PipelineFile::read(path, pipeline.digest())),
        task: task.clone(),
        world: &Machine { git: &git },
        worktree: &place.worktree,
        state: &place.state,
        store: store.as_mut(),
        holder: owner,
        person: reach::person(),
        host_env,
        settings: &settings,
        repository,
        clock: &clock,
        stop: signals.descriptor(),
        stopping: &|| signals.seen().is_some(),
        still_ours: &|| driving.is_ours(),
        progress: every,
        notify: &mut notify,
    };
    if options.dry_run {
        let plans = runner.dry_run(&wanted).map_err(|error| trouble::of_run(&error))?;
        plan::show(&plans, options.state.json);
        return Ok(ExitCode::Success);
    }
    let driven = runner.drive(&wanted);
    progress.clear();
    let driven = match driven {
        Ok(driven) => driven,
        Err(error) => {
            let problem = driving.stopped_by(&error, options.state.json);
            let edited = matches!(error, RunError::PipelineChanged { .. } | RunError::PipelineEdited { .. });
            let problem = if edited {
                told_of_edit(store.as_ref(), &task, &pipeline_name(options, &place.worktree), problem)
            } else {
                problem
            };
            let told = told((store.as_ref(), &place.state), begun.get(), &pipeline, "", None);
            let mut told = told.unwrap_or_else(|_| nothing(&pipeline, "", None)).broken(&problem.message);
            told.set("exit_code", json!(problem.code.code()));
            emits.finish(&told, problem.code);
            return Err(problem);
        }
    };
    if let Driven::Ran { run, .. } = &driven
        && store.last_attempt(*run, None).is_ok_and(|last| last.is_some_and(|last| last.intent.dirty))
    {
        output::talk("orch: the worktree differs from its commit: what is said here holds for the files as they are");
    }
    let code = exit_code(&driven, &signals);
    let code = report(options, (store.as_ref(), &place.state), &pipeline, &task, &driven, code, &emits)?;
    driving.release();
    Ok(code)
}

/// Says of a pipeline that cannot be read whether an agent of the task took it away or spoiled it.
fn edited(options: &RunArgs, site: &Site, problem: Problem) -> Problem {
    match (store::peek(&options.state, &site.worktree), site.task(options.task.as_deref())) {
        (Some(store), Ok(task)) => {
            told_of_edit(store.as_ref(), &task, &pipeline_name(options, &site.worktree), problem)
        }
        (None, _) | (_, Err(_)) => problem,
    }
}

/// The pipeline file, below the worktree, or the folder where the only one is looked for.
fn pipeline_name(options: &RunArgs, worktree: &Worktree) -> String {
    let given = options.pipeline.as_deref().unwrap_or(Path::new("pipelines/"));
    given.strip_prefix(worktree.toplevel()).unwrap_or(given).to_string_lossy().into_owned()
}

/// Adds to a problem which agent changed the pipeline, where the task's last run says that one did.
fn told_of_edit(store: &dyn Store, task: &TaskName, pipeline: &str, problem: Problem) -> Problem {
    let last = store.runs(&RunFilter { task: Some(task.clone()), limit: Some(1) }).unwrap_or_default();
    let attempts = last.first().and_then(|run| store.attempts(run.start.run).ok()).unwrap_or_default();
    let found = attempts.into_iter().rev().find_map(|attempt| {
        let facts = attempt.decided?.evidence.agent?;
        let path = facts.scope.outside.into_iter().find(|path| path.starts_with(pipeline))?;
        Some((attempt.intent.stage, path))
    });
    match found {
        Some((stage, path)) => problem.help(format!(
            "the agent of stage `{stage}` changed {path} outside its `writes`: `git checkout HEAD -- {path}` puts back what HEAD \
             has; look at it before you accept anything else"
        )),
        None => problem,
    }
}

/// What a run is made of before anything is.
struct Read {
    path: PathBuf,
    pipeline: Pipeline,
    text: Vec<u8>,
    settings: Settings,
}

/// Reads the pipeline and the settings. Everything that is in the way is told at once.
fn read(options: &RunArgs, worktree: &Worktree) -> Result<Read, Problem> {
    let read = goal::pipeline_path(options.pipeline.as_deref(), worktree)
        .and_then(|path| pipeline::load(&path).map(|(pipeline, text)| (path, pipeline, text)));
    let known = read.as_ref().ok().map(|(_, pipeline, _)| pipeline);
    let settings = goal::settings(&config::flags(&options.overrides, &options.state), known);
    let problem = match (read, settings) {
        (Ok((path, pipeline, text)), Ok(settings)) => return Ok(Read { path, pipeline, text, settings }),
        (Err(problem), settings) => problem.and(settings.err()),
        (Ok(_), Err(problem)) => problem,
    };
    Err(problem.and(store::trouble(&options.state, worktree)))
}

/// Opens the store, and asks git meanwhile what the repository is called.
fn open(
    git: &Git<'_>,
    place: &store::Place,
    pipeline: &Pipeline,
    settings: &Settings,
) -> Result<(String, Box<dyn Store>), Problem> {
    let named = || goal::repository(git, &place.worktree, pipeline);
    let (repository, store) = std::thread::scope(|threads| {
        let named = beside(threads, &named);
        let store = store::open(&place.state, settings.state_reserve_bytes());
        (named.join(), store)
    });
    Ok((repository?, store?))
}

/// Says what is odd and stops no start.
fn warn(
    pipeline: &Pipeline,
    (settings, repository): (&Settings, &str),
    worktree: &Worktree,
    host_env: &[(String, String)],
) {
    for warning in settings.warnings(pipeline.stages(), repository) {
        output::talk(&format!("orch: warning: {warning}"));
    }
    for missing in doctor::missing_programs(pipeline, (settings, repository), worktree, host_env) {
        output::talk(&format!(
            "orch: warning: the program `{}` of stage `{}` {}; the stage will be held unless that is mended by then",
            missing.program, missing.stage, missing.seen
        ));
    }
}

/// Looks at the hosts of staging stages while the run goes on; it blocks nothing, and what it sees holds nothing up.
fn look_ahead(
    pipeline: &Pipeline,
    (settings, repository): (&Settings, &str),
    place: &super::store::Place,
    host_env: &[(String, String)],
) {
    let looks = doctor::staging_looks(pipeline, (settings, repository), &place.worktree, host_env);
    let (state, at) = (place.state.path().to_owned(), SystemClock.now());
    if looks.is_empty() {
        return;
    }
    std::thread::spawn(move || {
        for look in looks {
            let seen = look.make(at);
            if !seen.passed {
                let text =
                    format!("orch: warning: the preflight of stage `{}` does not pass: {}", seen.stage, seen.seen);
                output::talk(&logs::escape(text.as_bytes()));
            }
            // A hint for `orch status`.
            preflight::keep(&state, &seen).ok();
        }
    });
}

/// Tells how the run came out, to people and to the CI around; gives the exit code.
fn report(
    options: &RunArgs,
    (store, place): (&dyn Store, &StateDir),
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
        let mut told = told((store, place), run, pipeline, heading, state)?.waits(waiting.as_ref());
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
    (store, place): (&dyn Store, &StateDir),
    run: Option<RunId>,
    pipeline: &Pipeline,
    heading: &str,
    state: Option<&TaskState>,
) -> Result<Told, Problem> {
    let failed = |error| store::of_store(&error);
    let record = run.map(|run| store.run(run)).transpose().map_err(failed)?.flatten();
    let Some(record) = record else { return Ok(nothing(pipeline, heading, state)) };
    let attempts = store.attempts(record.start.run).map_err(failed)?;
    let document = view::run(&record, state, &attempts, place);
    Ok(Told::of_run(heading, &record, &attempts, document))
}

fn nothing(pipeline: &Pipeline, heading: &str, state: Option<&TaskState>) -> Told {
    let document = json!({ "version": 1, "run": null, "state": state.map(TaskState::status) });
    Told::nothing(pipeline.name().as_str(), heading, document)
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
