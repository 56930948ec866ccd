//! `orch completions SHELL`, and the answers its scripts ask for.
//!
//! The script calls `orch -- WORDS…` with `ORCH_COMPLETE` set, so that tasks, runs and stages are those that are there
//! now. An answer is made from what can be read at once; whatever is missing or broken gives no candidates and no
//! words: nobody asked for an error while typing.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;

use crate::domain::pipeline::Pipeline;
use crate::spec;
use crate::store::{RunFilter, Store};

use super::args::{Args, CompletionsArgs, StateArgs};
use super::output::{self, Problem};
use super::{ExitCode, goal, store, view};

/// Set by the scripts, to the shell's name.
const ASKED: &str = "ORCH_COMPLETE";
/// Runs that are offered, newest first.
const RUNS_MAX: u32 = 50;
/// Runs whose attempts are offered.
const RUNS_OF_ATTEMPTS_MAX: u32 = 5;
/// Longest pipeline file that is read for its stages.
const PIPELINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

pub(super) fn completions(options: &CompletionsArgs) -> Result<ExitCode, Problem> {
    let shells = Shells::builtins();
    let shell = shells.completer(&options.shell).ok_or_else(|| {
        let names: Vec<&str> = shells.names().collect();
        Problem::new(ExitCode::Usage, format!("no script is made for the shell `{}`", options.shell))
            .help(format!("one of: {}", names.join(", ")))
    })?;
    let mut script = Vec::new();
    shell
        .write_registration(ASKED, "orch", "orch", &program(), &mut script)
        .map_err(|error| Problem::new(ExitCode::Internal, format!("could not write the script: {error}")))?;
    let script = String::from_utf8_lossy(&script);
    if options.json {
        output::document(&serde_json::json!({ "version": 1, "shell": options.shell, "script": script }));
    } else {
        output::data(&script);
    }
    Ok(ExitCode::Success)
}

/// The program that the script calls: found on the search path, unless this one was started by its path.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let by_path = Path::new(&called).components().count() > 1;
    let path = if by_path { std::path::absolute(&called).ok() } else { None };
    path.map_or_else(|| "orch".to_owned(), |path| path.to_string_lossy().into_owned())
}

/// Answers a script. `None` where none asked: the variable alone does not count, so that one which was left in an
/// environment cannot turn a run into a silent success.
pub(super) fn answer(arguments: &[OsString]) -> Option<ExitCode> {
    let shell = std::env::var(ASKED).ok()?;
    let words = arguments.get(1..).filter(|words| words.first().is_some_and(|word| word == "--"))?;
    let mut command = Args::command();
    command.build();
    let mut found = Vec::new();
    let written = Shells::builtins().completer(&shell).map(|shell| {
        let words = words.get(1..).unwrap_or_default().to_vec();
        shell.write_complete(&mut command, words, std::env::current_dir().ok().as_deref(), &mut found)
    });
    if matches!(written, Some(Ok(()))) {
        output::raw(&found);
    }
    Some(ExitCode::Success)
}

/// The shells that a script is made for.
pub(super) fn shells(current: &OsStr) -> Vec<CompletionCandidate> {
    matching(current, Shells::builtins().names().map(|name| (name.to_owned(), String::new())).collect())
}

/// Tasks of the repository.
pub(super) fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    let from = |store: &dyn Store| {
        let told = |task: &crate::store::StoredTask| (task.task.name.to_string(), task.task.state.status().to_owned());
        store.tasks().map(|tasks| tasks.iter().map(told).collect()).unwrap_or_default()
    };
    candidates(current, from)
}

/// Runs of the repository, newest first.
pub(super) fn runs(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, run_ids)
}

/// Attempts of the newest runs.
pub(super) fn attempts(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, attempt_ids)
}

/// Attempts, then runs.
pub(super) fn attempts_and_runs(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, |store| attempt_ids(store).into_iter().chain(run_ids(store)).collect())
}

/// Stages of the pipeline that the command line names, or of the only one.
pub(super) fn stages(current: &OsStr) -> Vec<CompletionCandidate> {
    let pipeline = pipeline().map(|pipeline| {
        let told = |stage: &crate::domain::pipeline::Stage| {
            (stage.name.to_string(), stage.producer.kind().as_str().to_owned())
        };
        pipeline.stages().iter().map(told).collect()
    });
    matching(current, pipeline.unwrap_or_default())
}

fn run_ids(store: &dyn Store) -> Vec<(String, String)> {
    let runs = store.runs(&RunFilter { task: None, limit: Some(RUNS_MAX) }).unwrap_or_default();
    let told = |run: &crate::store::RunRecord| {
        let end = run.closing.map_or("live", |closing| closing.end.as_str());
        (run.start.run.to_string(), format!("{}, {end}, {}", run.task, run.start.at))
    };
    runs.iter().map(told).collect()
}

fn attempt_ids(store: &dyn Store) -> Vec<(String, String)> {
    let runs = store.runs(&RunFilter { task: None, limit: Some(RUNS_OF_ATTEMPTS_MAX) }).unwrap_or_default();
    let attempts = runs.iter().flat_map(|run| store.attempts(run.start.run).unwrap_or_default().into_iter().rev());
    let told = |attempt: crate::store::AttemptRecord| {
        let came_to =
            attempt.decided.as_ref().map_or("under way".to_owned(), |decided| view::decision(&decided.decision));
        (attempt.intent.attempt.to_string(), format!("{}: {came_to}", attempt.intent.stage))
    };
    attempts.map(told).collect()
}

fn candidates(current: &OsStr, from: impl FnOnce(&dyn Store) -> Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let options = StateArgs {
        worktree: option("--worktree").unwrap_or_else(|| PathBuf::from(".")),
        state_dir: option("--state-dir"),
        json: false,
    };
    let opened = store::git(&options.worktree)
        .and_then(|git| store::place(&options, &git))
        .and_then(|place| store::open_existing(&place.state));
    let found = opened.ok().flatten().map(|store| from(store.as_ref()));
    matching(current, found.unwrap_or_default())
}

fn matching(current: &OsStr, found: Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    let fits = found.into_iter().filter(|(value, _)| value.starts_with(begun.as_ref()));
    let candidate = |(order, (value, help)): (usize, (String, String))| {
        CompletionCandidate::new(value).help(Some(help.into())).display_order(Some(order))
    };
    fits.enumerate().map(candidate).collect()
}

fn pipeline() -> Option<Pipeline> {
    let worktree = option("--worktree").unwrap_or_else(|| PathBuf::from("."));
    let path = option("--pipeline").or_else(|| goal::only_pipeline(&worktree).ok())?;
    // A FIFO would be waited for.
    if !std::fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(PIPELINE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    spec::load(&bytes).ok()
}

/// The value of an option on the command line that is being typed.
fn option(name: &str) -> Option<PathBuf> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let behind = |word: &OsString| {
        let rest = word.to_str()?.strip_prefix(name)?.strip_prefix('=')?;
        Some(PathBuf::from(rest))
    };
    let apart = words.windows(2).find(|pair| pair.first().is_some_and(|word| word == name));
    let apart = apart.and_then(|pair| pair.last()).filter(|value| !value.is_empty()).map(PathBuf::from);
    apart.or_else(|| words.iter().find_map(behind))
}
