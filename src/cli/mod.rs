//! Floor 7: arguments → command → exit code. Data goes to stdout, talk to stderr.

mod args;
mod checkout;
mod classify;
mod complete;
mod config;
mod doctor;
mod driver;
mod emit;
mod exit_code;
mod explain;
mod export;
mod gate;
mod goal;
mod graph;
mod hold;
mod logs;
mod output;
mod pipeline;
mod plan;
mod progress;
mod prompts;
mod reach;
mod run;
mod signals;
mod site;
mod status;
mod stillborn;
mod store;
mod talk;
mod task;
mod trouble;
mod unlock;
mod verify;
mod view;
mod waiting;
mod wrap;

use std::ffi::OsString;

use clap::Parser as _;

use args::{Args, Command, ConfigCommand, HoldCommand, PipelineCommand, RunCommand, TaskCommand};
pub use exit_code::ExitCode;
pub use output::Problem;

/// Runs orch with the process's arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = complete::answer(&arguments) {
        return code;
    }
    let as_json = wants_json(&arguments);
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return output::usage(&error, as_json),
    };
    let tell = |problem: Problem| {
        if as_json {
            problem.document();
        }
        problem.report()
    };
    if let Err(problem) = output::hide_secrets(None) {
        return tell(problem);
    }
    if let Err(problem) = output::diagnostics()
        && !tells_all_settings(&args.command)
    {
        return tell(problem);
    }
    let done = match args.command {
        Command::Pipeline(PipelineCommand::Run(options)) => run::run(&options),
        Command::Pipeline(PipelineCommand::Plan(options)) => plan::plan(&options),
        Command::Pipeline(PipelineCommand::Validate(options)) => pipeline::validate(&options),
        Command::Pipeline(PipelineCommand::Graph(options)) => graph::graph(&options),
        Command::Pipeline(PipelineCommand::Schema(_)) => Ok(pipeline::schema()),
        Command::Classify(options) => classify::classify(&options),
        Command::Gate(args::GateCommand::Check(options)) => gate::check(&options),
        Command::Status(options) => status::status(&options),
        Command::Run(RunCommand::List(options)) => status::run_list(&options),
        Command::Run(RunCommand::Show(options)) => status::run_show(&options),
        Command::Hold(HoldCommand::List(options)) => hold::list(&options),
        Command::Hold(HoldCommand::Show(options)) => hold::show(&options),
        Command::Hold(HoldCommand::Release(options)) => hold::release(&options),
        Command::Task(TaskCommand::Add(options)) => checkout::add(&options),
        Command::Task(TaskCommand::List(options)) => task::list(&options),
        Command::Task(TaskCommand::Show(options)) => task::show(&options),
        Command::Task(TaskCommand::Remove(options)) => checkout::remove(&options),
        Command::Task(TaskCommand::Prune(options)) => checkout::prune(&options),
        Command::Task(TaskCommand::Pause(options)) => task::pause(&options),
        Command::Task(TaskCommand::Resume(options)) => task::resume(&options),
        Command::Task(TaskCommand::Cancel(options)) => task::cancel(&options),
        Command::Unlock(options) => unlock::unlock(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Logs(options) => logs::logs(&options),
        Command::Export(options) => export::export(&options),
        Command::Completions(options) => complete::completions(&options),
        Command::Config(ConfigCommand::Show(options)) => config::show(&options),
        Command::Doctor(options) => doctor::doctor(&options),
        Command::Verify(options) => verify::verify(&options),
    };
    output::ended(done.unwrap_or_else(tell))
}

/// Whether an answer on stdout is asked for as a document; `classify` puts its own on stderr.
fn wants_json(arguments: &[OsString]) -> bool {
    let own = || arguments.iter().skip(1).take_while(|word| *word != "--");
    own().any(|word| word == "--json") && own().next().is_none_or(|command| command != "classify")
}

/// Whether a command tells every malformed setting by itself, `ORCH_LOG` among them.
const fn tells_all_settings(command: &Command) -> bool {
    match command {
        Command::Pipeline(PipelineCommand::Run(_) | PipelineCommand::Plan(_))
        | Command::Config(ConfigCommand::Show(_)) => true,
        Command::Pipeline(PipelineCommand::Validate(_) | PipelineCommand::Graph(_) | PipelineCommand::Schema(_))
        | Command::Classify(_)
        | Command::Gate(_)
        | Command::Status(_)
        | Command::Run(_)
        | Command::Hold(_)
        | Command::Task(_)
        | Command::Unlock(_)
        | Command::Explain(_)
        | Command::Logs(_)
        | Command::Export(_)
        | Command::Completions(_)
        | Command::Doctor(_)
        | Command::Verify(_) => false,
    }
}
