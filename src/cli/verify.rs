//! `orch verify`: everything that is recorded against everything else.

use serde_json::{Value, json};

use crate::doctor::verify::{Check, Finding, Report};
use crate::domain::id::TaskName;
use crate::workspace::worktree::Worktree;

use super::ExitCode;
use super::args::VerifyArgs;
use super::output::{self, Problem};
use super::status::existing;
use super::store::{self, of_store};

/// Version of the document.
const VERSION: u32 = 1;

pub(super) fn verify(options: &VerifyArgs) -> Result<ExitCode, Problem> {
    let only = options
        .task
        .as_deref()
        .map(|name| TaskName::new(name.to_owned()).map_err(|error| Problem::new(ExitCode::Usage, error.to_string())))
        .transpose()?;
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    if let Some(name) = &only
        && store.task(name).is_ok_and(|task| task.is_none())
    {
        return Err(Problem::new(ExitCode::Usage, format!("there is no task `{name}`"))
            .help("`orch status` lists the tasks there are"));
    }
    let open = |path: &std::path::Path| Worktree::open(&git, path).ok();
    let check = Check { store: store.as_ref(), state: &place.state, only: only.as_ref(), worktree: &open };
    let report = check.run().map_err(|error| of_store(&error))?;
    if options.state.json {
        output::document(&document(&report));
    } else {
        tell(&report);
    }
    Ok(if report.findings.is_empty() { ExitCode::Success } else { ExitCode::Failed })
}

fn document(report: &Report) -> Value {
    let audit = &report.audit;
    let finding = |finding: &Finding| {
        json!({
            "part": finding.part.as_str(),
            "place": finding.place,
            "what": finding.what,
            "help": finding.part.help(),
        })
    };
    json!({
        "version": VERSION,
        "clean": report.findings.is_empty(),
        "checked": {
            "tasks": audit.tasks,
            "runs": audit.runs,
            "attempts": audit.attempts,
            "events": audit.events,
            "artifacts": audit.artifacts,
            "pipelines": audit.pipelines,
            "artifact_copies": report.artifacts_compared,
        },
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "left_out": report.left_out,
    })
}

fn tell(report: &Report) {
    let audit = &report.audit;
    for why in &report.left_out {
        output::talk(&format!("orch: {why}"));
    }
    for finding in &report.findings {
        let Finding { part, place, what } = finding;
        output::data(&format!("{}: {place}: {what}; {}", part.as_str(), part.help()));
    }
    let word = match report.findings.len() {
        0 => "clean".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    output::data(&format!(
        "{word}: {} tasks, {} runs, {} attempts, {} events, {} artifacts ({} compared with their copies), {} pipelines",
        audit.tasks,
        audit.runs,
        audit.attempts,
        audit.events,
        audit.artifacts,
        report.artifacts_compared,
        audit.pipelines
    ));
}
