//! The `orch` program: arguments → command → exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use orch::{cli, exec};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1) {
        Some(first) if first == exec::SUPERVISE => exec::supervise(arguments.get(2..).unwrap_or_default()),
        Some(first) if first == exec::REMOTE => exec::remote(arguments.get(2..).unwrap_or_default()),
        Some(_) | None => {
            exec::normalise_signals();
            ExitCode::from(cli::main(arguments).code())
        }
    }
}
