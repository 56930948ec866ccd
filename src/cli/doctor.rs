//! `orch doctor`: is this place fit for `orch pipeline run`?

use serde_json::json;

use crate::doctor::{Finding, Status, Told, Visit, examine};
use crate::runner::{Clock as _, SystemClock};
use crate::workspace::git::Git;

use super::args::DoctorArgs;
use super::output::{self, Problem};
use super::{ExitCode, config, goal, store};

/// Version of the document.
const VERSION: u32 = 1;

pub(super) fn doctor(options: &DoctorArgs) -> Result<ExitCode, Problem> {
    let given = options.pipeline.clone();
    let visit = Visit {
        git: Git::find(&store::run_git_briefly, &|name| std::env::var_os(name), &options.state.worktree),
        worktree: options.state.worktree.clone(),
        cwd: store::cwd()?,
        state_dir: options.state.state_dir.as_deref().map(store::without_dots),
        homes: ["ORCH_STATE_DIR", "XDG_STATE_HOME", "HOME"].map(std::env::var_os),
        pipeline: Box::new(move |worktree| goal::pipeline_path(given.as_deref(), worktree).map_err(told)),
        host_env: store::host_env(),
        variables: config::variables(),
        now: SystemClock.now(),
    };
    let findings = examine(visit);
    let worst = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok);
    if options.state.json {
        output::document(&json!({
            "version": VERSION,
            "status": worst.as_str(),
            "findings": findings.iter().map(|finding| json!({
                "area": finding.area,
                "status": finding.status.as_str(),
                "seen": finding.seen,
                "help": finding.help,
            })).collect::<Vec<_>>(),
        }));
    } else {
        findings.iter().for_each(tell);
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        output::data(&match worst {
            Status::Ok => "all is well".to_owned(),
            Status::Warn => format!("a run can start; {} to look at", count(Status::Warn)),
            Status::Fail => {
                format!("a run cannot start: {} to mend, {} to look at", count(Status::Fail), count(Status::Warn))
            }
        });
    }
    Ok(match worst {
        Status::Ok | Status::Warn => ExitCode::Success,
        Status::Fail => ExitCode::Invalid,
    })
}

fn told(problem: Problem) -> Told {
    Told { what: problem.message, help: problem.help.unwrap_or_default() }
}

fn tell(finding: &Finding) {
    output::data(&format!("{:<4}  {:<11}  {}", finding.status.as_str(), finding.area, finding.seen));
    if let Some(help) = &finding.help {
        output::data(&format!("{:<17}  help: {help}", ""));
    }
}
