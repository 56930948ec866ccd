//! `orch classify -- CMD`: the command runs here, its streams pass through untouched.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::classify::Reader;
use crate::domain::evidence::{Declared, Evidence, Stream};
use crate::exec::{Through, through};

use super::ExitCode;
use super::args::ClassifyArgs;
use super::classify::read_report;
use super::output::Problem;
use super::signals::Signals;

/// From the request to stop to the kill.
const GRACE: Duration = Duration::from_secs(10);

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Wrapped {
    pub(super) evidence: Evidence,
    /// Whether its stderr ended in the middle of a line, so that the answer needs one of its own.
    pub(super) open_line: bool,
    /// How orch ends where it was told to stop.
    pub(super) stopped: ExitCode,
}

pub(super) fn run(options: &ClassifyArgs, declared: Declared, reports: &[PathBuf]) -> Result<Wrapped, Problem> {
    // A report from before may not answer for this command.
    for path in reports {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("could not remove the old report {}: {error}", path.display());
                return Err(
                    Problem::new(ExitCode::Usage, message).help("name a file that this command will write anew")
                );
            }
            Ok(()) | Err(_) => {}
        }
    }
    let failed =
        |error: std::io::Error| Problem::new(ExitCode::Internal, format!("could not run the command: {error}"));
    let signals = Signals::catch().map_err(failed)?;
    let mut reader = Reader::new(&declared.evidence);
    let call = Through {
        argv: &options.command,
        limit: options.timeout_s.map(Duration::from_secs),
        grace: GRACE,
        stop: signals.descriptor(),
    };
    let mut open_line = false;
    let exit = through(&call, &mut |stream, bytes| {
        reader.feed(stream, bytes);
        // A reader that has gone is no reason to stop the suite.
        match stream {
            Stream::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush()).ok();
            }
            Stream::Stderr => {
                open_line = bytes.last().is_some_and(|byte| *byte != b'\n');
                std::io::stderr().lock().write_all(bytes).ok();
            }
        }
    })
    .map_err(failed)?;
    let reports = reports.iter().map(|path| read_report(path)).collect();
    let evidence = Evidence { output: reader.finish(), reports, ..Evidence::of(exit, declared) };
    Ok(Wrapped { evidence, open_line, stopped: signals.exit_code() })
}
