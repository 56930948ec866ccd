//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::complete;

/// Help of `--emit`.
const EMIT_HELP: &str = "Report in a form that CI systems read: junit=FILE, gitlab[=FILE], markdown[=FILE], json=FILE, github, \
                         none; may be given again [default: github or gitlab inside such a job]";

use crate::config::{INFRA_RETRIES_MAX, TIMEOUT_S_MAX};

/// Deterministic pipeline stage runner with gate contracts.
#[derive(Debug, Parser)]
#[command(name = "orch", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Command {
    /// Run, validate and describe pipelines
    #[command(subcommand)]
    Pipeline(PipelineCommand),
    /// Say how a command ended: suite-ran, permanent-env or transient-infra
    Classify(ClassifyArgs),
    /// Read an artifact as its gate does
    #[command(subcommand)]
    Gate(GateCommand),
    /// Show where the tasks of this repository stand
    Status(StateArgs),
    /// List and show runs
    #[command(subcommand)]
    Run(RunCommand),
    /// List, show and release holds
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Add, list and end tasks, each with a worktree of its own
    #[command(subcommand)]
    Task(TaskCommand),
    /// Undo the lock of a task whose runner is gone
    Unlock(UnlockArgs),
    /// Explain an attempt's outcome, or a problem's code
    Explain(ExplainArgs),
    /// Show an attempt's output
    Logs(LogsArgs),
    /// Print everything that is recorded of a run as one JSON document, secrets hidden
    Export(ExportArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Show the settings in force
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look whether this place is fit for a run (exit 0, or 3 where something would stop one)
    Doctor(DoctorArgs),
    /// Check everything that is recorded against everything else (exit 0 clean, 1 findings)
    Verify(VerifyArgs),
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum PipelineCommand {
    /// Drive a worktree's task through a pipeline
    Run(RunArgs),
    /// Show what a run would do with each stage, and why; starts and stores nothing
    Plan(PlanArgs),
    /// Report every problem of a pipeline file
    Validate(ValidateArgs),
    /// Draw a pipeline, and how far a run came in it
    Graph(GraphArgs),
    /// Print the JSON Schema (draft-07) of pipeline files
    Schema(SchemaArgs),
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum ConfigCommand {
    /// Show every setting with its value in force
    Show(ConfigShowArgs),
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum GateCommand {
    /// Answer pass (exit 0), fail (1) or unreadable (10) for an artifact file
    Check(GateCheckArgs),
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum RunCommand {
    /// List runs, newest first
    List(RunListArgs),
    /// Show one run: its attempts, outcomes and decisions
    Show(RunShowArgs),
}

// The structs that commands share have no docstring: a deferred command would take it for its own.

// Where the state of a repository's tasks is.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct StateArgs {
    /// The task's git worktree
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) worktree: PathBuf,
    /// Folder of orch's state [default: `$ORCH_STATE_DIR`, else one per repository below `$XDG_STATE_HOME/orch`]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// Pipeline file [default: the only file in pipelines/]
    #[arg(long, value_name = "FILE")]
    pub(super) pipeline: Option<PathBuf>,
    /// Name of the task [default: the branch]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    /// Run this stage again, and what follows; earlier stages are reused only where all their inputs are equal
    #[arg(long, value_name = "STAGE", add = ArgValueCompleter::new(complete::stages))]
    pub(super) from: Option<String>,
    /// Stop after this stage has passed
    #[arg(long, value_name = "STAGE", add = ArgValueCompleter::new(complete::stages))]
    pub(super) until: Option<String>,
    #[arg(long, value_name = "FORMAT[=FILE]", conflicts_with = "dry_run", help = EMIT_HELP)]
    pub(super) emit: Vec<String>,
    #[command(flatten)]
    pub(super) progress: ProgressArgs,
    /// Show what would be started, and start nothing: as `orch pipeline plan`
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Wait at most so long for retry times, in all, such as 30m or 1h30m
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    pub(super) max_wait: Duration,
    /// Do not wait: leave a task that has to wait for its retry time deferred
    #[arg(long, conflicts_with = "max_wait")]
    pub(super) no_wait: bool,
    /// Go on although the pipeline file has changed since the task was left
    #[arg(long)]
    pub(super) accept_pipeline: bool,
    #[command(flatten)]
    pub(super) lock: LockArgs,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

// What a command does about a lock that another orch has.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub(super) struct LockArgs {
    /// Wait at most so long for the lock of another runner, such as 30s; who comes first gets it, in no promised order
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub(super) wait: Duration,
}

// What outranks the environment and the pipeline file.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct OverrideArgs {
    /// Hold where a switch would let the declared fallback run
    #[arg(long)]
    pub(super) no_fallback: bool,
    /// Total time limit of every stage, in seconds, 1 to 604800
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_S_MAX))]
    pub(super) timeout_s: Option<u64>,
    /// Further attempts of every stage after a transient fault, 0 to 100
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(INFRA_RETRIES_MAX)))]
    pub(super) infra_retries: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigShowArgs {
    /// Say where each value comes from: a flag, the environment, the pipeline file or the default
    #[arg(long)]
    pub(super) origin: bool,
    /// Show what the stages of this pipeline come to as well
    #[arg(long, value_name = "FILE")]
    pub(super) pipeline: Option<PathBuf>,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    /// Pipeline file [default: the only file in pipelines/]
    #[arg(long, value_name = "FILE")]
    pub(super) pipeline: Option<PathBuf>,
    /// Name of the task [default: the branch]
    #[arg(long, value_name = "NAME")]
    pub(super) task: Option<String>,
    /// As of `orch pipeline run`
    #[arg(long, value_name = "STAGE")]
    pub(super) from: Option<String>,
    /// As of `orch pipeline run`
    #[arg(long, value_name = "STAGE")]
    pub(super) until: Option<String>,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum HoldCommand {
    /// List the tasks that wait: why, since when, for what, and the command that releases each
    List(StateArgs),
    /// Show one hold with the evidence behind it
    Show(HoldShowArgs),
    /// Let a held or deferred task go on: the same stage runs with the next `orch pipeline run`
    Release(ReleaseArgs),
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum TaskCommand {
    /// Add a task with a worktree and a branch of its own
    Add(TaskAddArgs),
    /// List the tasks: where each stands, its branch and its worktree
    List(StateArgs),
    /// Show one task: state, worktree, base commit, what it has used up, its last runs
    Show(HoldShowArgs),
    /// Remove the worktree of a task that has come to its end; its branch and its record stay
    Remove(TaskRemoveArgs),
    /// Remove the worktrees of all done and cancelled tasks, where nothing would be lost
    Prune(TaskPruneArgs),
    /// Lay a task aside; what runs of it is stopped
    Pause(TaskArgs),
    /// Take a paused task up again, where it stood
    Resume(TaskArgs),
    /// End a task for good; what runs of it is stopped
    Cancel(TaskArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct TaskAddArgs {
    /// The task
    #[arg(value_name = "NAME")]
    pub(super) task: String,
    /// Its branch; one that is there is taken up as it stands [default: the task's name]
    #[arg(long, value_name = "BRANCH")]
    pub(super) branch: Option<String>,
    /// Where a new branch starts: a branch, a tag or a commit [default: HEAD of the worktree]
    #[arg(long, value_name = "COMMIT")]
    pub(super) base: Option<String>,
    /// Folder of its worktree [default: `REPOSITORY.worktrees/NAME`, beside the repository's folder]
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
    #[command(flatten)]
    pub(super) lock: LockArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TaskRemoveArgs {
    /// The task [default: the branch]
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    /// Remove it with what no commit has
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) lock: LockArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TaskPruneArgs {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct HoldShowArgs {
    /// The task [default: the branch]
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReleaseArgs {
    /// The task [default: the branch]
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    /// Look first whether what the hold waits for has come true, and release it only then
    #[arg(long)]
    pub(super) recheck: bool,
    /// Answer an approval: yes
    #[arg(long, conflicts_with_all = ["reject", "recheck"], requires = "reason")]
    pub(super) approve: bool,
    /// Answer an approval: no
    #[arg(long, conflicts_with = "recheck", requires = "reason")]
    pub(super) reject: bool,
    /// Why, in your words; kept with the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) lock: LockArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TaskArgs {
    /// The task [default: the branch]
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    /// Why, in your words; kept with the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) lock: LockArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct UnlockArgs {
    /// The task [default: the branch]
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    /// Ask a runner that lives to stop; take the lock of one that cannot be asked, 30 s after its last heartbeat
    #[arg(long)]
    pub(super) force: bool,
    /// Why, in your words; kept with the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

/// A duration as the pipeline file writes it.
fn duration(text: &str) -> Result<Duration, String> {
    let none = (text == "0").then_some(Duration::ZERO);
    none.or_else(|| crate::spec::duration(text))
        .ok_or_else(|| "a time needs a number and a unit: 500ms, 30s, 10m, 1h30m".to_owned())
}

// What is shown while a stage runs.
#[derive(Debug, ClapArgs)]
pub(super) struct ProgressArgs {
    /// Show no progress while a stage runs
    #[arg(long)]
    pub(super) quiet: bool,
    /// Seconds between two lines of progress where stderr is no terminal; 0 is none
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(super) progress_s: u32,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ValidateArgs {
    /// Pipeline file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct GraphArgs {
    /// Pipeline file [default: the pipeline of the run, else the only file in pipelines/]
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The form of the drawing
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = GraphFormat::Text, conflicts_with = "json")]
    pub(super) format: GraphFormat,
    /// Show how far this run came: its id, the unique beginning of it, or `newest`
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub(super) run: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

/// The forms of `orch pipeline graph`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum GraphFormat {
    /// For a terminal
    Text,
    /// A Mermaid flowchart
    Mermaid,
    /// For Graphviz
    Dot,
    /// A picture
    Svg,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SchemaArgs {
    /// The schema is JSON in any case
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Exit codes: 0 pass, 1 fail, 75 transient-infra, 78 permanent-env, 2 usage.\n\n\
    With a command behind `--`, it is run here and its output passes through untouched; the answer comes last, on \
    stderr. Without one, a recorded end is classified and the answer is one JSON document on stdout.")]
pub(super) struct ClassifyArgs {
    /// Exit code of a recorded end
    #[arg(long, value_name = "N", conflicts_with_all = ["signal", "timed_out"])]
    pub(super) exit_code: Option<u8>,
    /// Signal of a recorded end, by name or number
    #[arg(long, value_name = "NAME", conflicts_with = "timed_out")]
    pub(super) signal: Option<String>,
    /// The recorded end was forced by the caller's own time limit
    #[arg(long)]
    pub(super) timed_out: bool,
    /// Recorded standard output
    #[arg(long, value_name = "FILE")]
    pub(super) stdout: Option<PathBuf>,
    /// Recorded standard error
    #[arg(long, value_name = "FILE")]
    pub(super) stderr: Option<PathBuf>,
    /// A report to read, such as junit=target/junit.xml; may be given again
    #[arg(long, value_name = "KIND=FILE")]
    pub(super) report: Vec<String>,
    /// What proves that the suite ran: auto, exit-code, closing-line, or a framework's name
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(super) evidence: String,
    /// The suite's own closing line, with the named groups total, passed, failed, skipped
    #[arg(long, value_name = "REGEX")]
    pub(super) closing_line: Option<String>,
    /// Fewest executed tests for a pass
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) min_tests: u64,
    /// Stop the command after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout_s: Option<u64>,
    #[arg(long, value_name = "FORMAT[=FILE]", help = EMIT_HELP)]
    pub(super) emit: Vec<String>,
    /// Put the answer on stderr as one last line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// The command to run
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["exit_code", "signal", "timed_out", "stdout", "stderr"])]
    pub(super) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct GateCheckArgs {
    /// Artifact file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The gate: tests-passed, staging-status or approved [default: told by the file's number, 13 or 15]
    #[arg(long, value_name = "GATE", conflicts_with = "key")]
    pub(super) gate: Option<String>,
    /// Key of a declared gate
    #[arg(long, value_name = "KEY", requires = "pass")]
    pub(super) key: Option<String>,
    /// A word that means pass; may be given again
    #[arg(long, value_name = "WORD", requires = "key")]
    pub(super) pass: Vec<String>,
    /// A word that means fail; may be given again
    #[arg(long, value_name = "WORD", requires = "key")]
    pub(super) fail: Vec<String>,
    /// The answer is JSON in any case
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunListArgs {
    /// Only runs of this task
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::tasks))]
    pub(super) task: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunShowArgs {
    /// The run's id, or the unique beginning of it [default: the newest run]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub(super) run: Option<String>,
    /// Print the task's events as JSON lines
    #[arg(long)]
    pub(super) events: bool,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExportArgs {
    /// The run's id, or the unique beginning of it [default: the newest run]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub(super) run: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExplainArgs {
    /// An attempt's id, the unique beginning of it, or a code such as ORCH0101 [default: the newest attempt]
    #[arg(value_name = "ATTEMPT|CODE", add = ArgValueCompleter::new(complete::attempts))]
    pub(super) what: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct LogsArgs {
    /// An attempt's or a run's id, or the unique beginning of it [default: the newest attempt]
    #[arg(value_name = "ATTEMPT|RUN", add = ArgValueCompleter::new(complete::attempts_and_runs))]
    pub(super) what: Option<String>,
    /// Only attempts that did not pass
    #[arg(long)]
    pub(super) failed: bool,
    /// The output of the attempts' control runs in place of their own
    #[arg(long)]
    pub(super) control: bool,
    /// The output of the attempts' shadows in place of their own
    #[arg(long, conflicts_with = "control")]
    pub(super) shadow: bool,
    /// Bytes as they were written: control characters are not escaped
    #[arg(long)]
    pub(super) raw: bool,
    /// Only this stream: stdout or stderr
    #[arg(long, value_name = "STREAM", value_parser = ["stdout", "stderr"])]
    pub(super) stream: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", add = ArgValueCompleter::new(complete::shells))]
    pub(super) shell: String,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct VerifyArgs {
    /// Only this task's events, verdicts and files; the store is checked as a whole in any case
    #[arg(value_name = "TASK")]
    pub(super) task: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DoctorArgs {
    /// Check the paper trail of this run instead: its id, or the unique beginning of it
    #[arg(value_name = "RUN", conflicts_with = "pipeline", add = ArgValueCompleter::new(complete::runs))]
    pub(super) run: Option<String>,
    /// Pipeline file [default: the only file in pipelines/]
    #[arg(long, value_name = "FILE")]
    pub(super) pipeline: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}
