//! `orch gate check`: an artifact file, read as its gate reads it.

use std::io::Read as _;
use std::path::Path;

use crate::domain::pipeline::{Gate, KeyGate};
use crate::domain::verdict::{Unreadable, UnreadableReason, Verdict};
use crate::gate;

use super::ExitCode;
use super::args::GateCheckArgs;
use super::output::{self, Problem};

pub(super) fn check(options: &GateCheckArgs) -> Result<ExitCode, Problem> {
    let gate = wanted(options)?;
    let result = read(&options.file).and_then(|bytes| gate::read(&gate, &bytes));
    output::document(&gate::document(gate.as_str(), &result));
    Ok(match result {
        Ok(reading) => match reading.verdict {
            Verdict::Pass => ExitCode::Success,
            Verdict::Fail => {
                for finding in &reading.findings {
                    output::talk(finding);
                }
                ExitCode::Failed
            }
        },
        Err(unreadable) => {
            let line = unreadable.line.map(|line| format!(":{line}")).unwrap_or_default();
            output::talk(&format!("{}{line}: unreadable: {unreadable}", options.file.display()));
            output::talk("help: docs/reference/artifacts.md says what each reason means and how to mend it");
            ExitCode::HeldForPerson
        }
    })
}

fn wanted(options: &GateCheckArgs) -> Result<Gate, Problem> {
    if let Some(key) = &options.key {
        let gate = KeyGate { key: key.clone(), pass: options.pass.clone(), fail: options.fail.clone() };
        let shared = gate.pass.iter().find(|word| gate.fail.contains(word));
        return match shared {
            Some(word) => Err(Problem::new(ExitCode::Usage, format!("the word `{word}` means pass and fail"))),
            None => Ok(Gate::Key(gate)),
        };
    }
    let name = options.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match (options.gate.as_deref(), name.as_str()) {
        (Some("tests-passed"), _) | (None, "13-test-report.md") => Ok(Gate::TestsPassed),
        (Some("staging-status"), _) | (None, "15-staging-log.md") => Ok(Gate::StagingStatus),
        (Some("approved"), _) => Ok(Gate::Approved),
        (Some(other), _) => Err(Problem::new(ExitCode::Usage, format!("no gate is called `{other}`"))
            .help("the gates are tests-passed, staging-status and approved; a declared one is given by --key, --pass and --fail")),
        (None, _) => Err(Problem::new(ExitCode::Usage, format!("the gate of `{name}` is not known by its name"))
            .help("name it with --gate tests-passed|staging-status|approved, or with --key, --pass and --fail")),
    }
}

/// Reads at most one byte more than a gate takes, from a plain file.
fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let refuse = |reason, detail: String| Unreadable { reason, line: None, detail };
    let of_io = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let reason = if missing { UnreadableReason::Missing } else { UnreadableReason::Unopenable };
        refuse(reason, error.to_string())
    };
    let kind = std::fs::symlink_metadata(path).map_err(of_io)?;
    if !kind.is_file() {
        return Err(refuse(UnreadableReason::NotAFile, "it is no plain file".to_owned()));
    }
    let cap = u64::try_from(gate::ARTIFACT_MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(of_io)?.take(cap).read_to_end(&mut bytes).map_err(of_io)?;
    Ok(bytes)
}
