//! Floor 7: arguments → command → exit code. Data goes to stdout, talk to stderr.

mod args;
mod classify;
mod doctor;
mod exit_code;
mod explain;
mod gate;
mod logs;
mod output;
mod pipeline;
mod run;
mod signals;
mod status;
mod store;
mod verify;
mod view;
mod wrap;

use std::ffi::OsString;

use clap::Parser as _;

use args::{Args, Command, PipelineCommand, RunCommand};
pub use exit_code::ExitCode;
pub use output::Problem;

/// Runs orch with the process's arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return output::usage(&error),
    };
    if let Err(problem) = output::diagnostics() {
        return problem.report();
    }
    let done = match args.command {
        Command::Pipeline(PipelineCommand::Run(options)) => run::run(&options),
        Command::Pipeline(PipelineCommand::Validate(options)) => pipeline::validate(&options),
        Command::Pipeline(PipelineCommand::Schema(_)) => Ok(pipeline::schema()),
        Command::Classify(options) => classify::classify(&options),
        Command::Gate(args::GateCommand::Check(options)) => gate::check(&options),
        Command::Status(options) => status::status(&options),
        Command::Run(RunCommand::List(options)) => status::run_list(&options),
        Command::Run(RunCommand::Show(options)) => status::run_show(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Logs(options) => logs::logs(&options),
        Command::Doctor(options) => doctor::doctor(&options),
        Command::Verify(options) => verify::verify(&options),
    };
    done.unwrap_or_else(|problem| problem.report())
}
