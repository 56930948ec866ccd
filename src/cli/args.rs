//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Deterministic pipeline stage runner with gate contracts.
#[derive(Debug, Parser)]
#[command(name = "orch", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
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
    /// Explain an attempt's outcome, or a problem's code
    Explain(ExplainArgs),
    /// Show an attempt's output
    Logs(LogsArgs),
    /// Look whether this place is fit for a run (exit 0, or 3 where something would stop one)
    Doctor(DoctorArgs),
    /// Check everything that is recorded against everything else (exit 0 clean, 1 findings)
    Verify(VerifyArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum PipelineCommand {
    /// Drive a worktree's task through a pipeline
    Run(RunArgs),
    /// Report every problem of a pipeline file
    Validate(ValidateArgs),
    /// Print the JSON Schema (draft-07) of pipeline files
    Schema(SchemaArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum GateCommand {
    /// Answer pass (exit 0), fail (1) or unreadable (10) for an artifact file
    Check(GateCheckArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// List runs, newest first
    List(RunListArgs),
    /// Show one run: its attempts, outcomes and decisions
    Show(RunShowArgs),
}

/// Where the state of a repository's tasks is.
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
    #[arg(long, value_name = "NAME")]
    pub(super) task: Option<String>,
    /// Run this stage again, and what follows; earlier stages are reused only where all their inputs are equal
    #[arg(long, value_name = "STAGE")]
    pub(super) from: Option<String>,
    /// Stop after this stage has passed
    #[arg(long, value_name = "STAGE")]
    pub(super) until: Option<String>,
    /// Show what would be started, and start nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) state: StateArgs,
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
    /// Write the answer to a file, as json=FILE
    #[arg(long, value_name = "FORMAT=FILE")]
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
    #[arg(long, value_name = "NAME")]
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
    #[arg(value_name = "RUN")]
    pub(super) run: Option<String>,
    /// Print the task's events as JSON lines
    #[arg(long)]
    pub(super) events: bool,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExplainArgs {
    /// An attempt's id, the unique beginning of it, or a code such as ORCH0101 [default: the newest attempt]
    #[arg(value_name = "ATTEMPT|CODE")]
    pub(super) what: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct LogsArgs {
    /// An attempt's or a run's id, or the unique beginning of it [default: the newest attempt]
    #[arg(value_name = "ATTEMPT|RUN")]
    pub(super) what: Option<String>,
    /// Only attempts that did not pass
    #[arg(long)]
    pub(super) failed: bool,
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
pub(super) struct VerifyArgs {
    /// Only this task's events, verdicts and files; the store is checked as a whole in any case
    #[arg(value_name = "TASK")]
    pub(super) task: Option<String>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DoctorArgs {
    /// Pipeline file [default: the only file in pipelines/]
    #[arg(long, value_name = "FILE")]
    pub(super) pipeline: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}
