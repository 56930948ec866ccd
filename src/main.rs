//! The `orch` program.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == orch::exec::SUPERVISE => orch::exec::supervise(rest),
        Some(_) | None => ExitCode::from(2),
    }
}
