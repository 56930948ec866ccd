//! `orch doctor`: is this place fit for `orch pipeline run`?

use serde_json::{Value, json};

use crate::doctor::{Finding, Status, Told, Visit, examine, paper_trail};
use crate::runner::{Clock as _, SystemClock};
use crate::workspace::git::Git;
use crate::workspace::logs;

use super::args::DoctorArgs;
use super::output::{self, Problem};
use super::status::{existing, find_run};
use super::store::of_store;
use super::{ExitCode, config, goal, store};

/// Version of the document.
const VERSION: u32 = 1;

pub(super) fn doctor(options: &DoctorArgs) -> Result<ExitCode, Problem> {
    if let Some(prefix) = &options.run {
        return of_run(options, prefix);
    }
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
        output::document(&document(worst, &findings));
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

/// What is written of one run, and whether it agrees.
fn of_run(options: &DoctorArgs, prefix: &str) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    let id = find_run(store.as_ref(), Some(prefix))?;
    let run = store.run(id).map_err(|error| of_store(&error))?.ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("there is no run `{prefix}`"))
            .help("`orch run list` lists the runs there are")
    })?;
    let attempts = store.attempts(id).map_err(|error| of_store(&error))?;
    let findings = paper_trail(&run, &attempts, &place.state.run_dir(id));
    let worst = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok);
    if options.state.json {
        let mut document = document(worst, &findings);
        document["run"] = json!(id.to_string());
        document["task"] = json!(run.task.as_str());
        output::document(&document);
    } else {
        findings.iter().for_each(tell);
        let missing = findings.iter().filter(|finding| finding.status != Status::Ok).count();
        output::data(&match missing {
            0 => format!("run {id}: the paper trail is whole"),
            count => format!("run {id}: {count} to look at"),
        });
    }
    Ok(match worst {
        Status::Ok | Status::Warn => ExitCode::Success,
        Status::Fail => ExitCode::Failed,
    })
}

fn document(worst: Status, findings: &[Finding]) -> Value {
    json!({
        "version": VERSION,
        "status": worst.as_str(),
        "findings": findings.iter().map(|finding| json!({
            "area": finding.area,
            "status": finding.status.as_str(),
            "seen": finding.seen,
            "help": finding.help,
        })).collect::<Vec<_>>(),
    })
}

fn told(problem: Problem) -> Told {
    Told { what: problem.message, help: problem.help.unwrap_or_default() }
}

fn tell(finding: &Finding) {
    let seen = logs::escape(finding.seen.as_bytes());
    output::data(&format!("{:<4}  {:<11}  {seen}", finding.status.as_str(), finding.area));
    if let Some(help) = &finding.help {
        output::data(&format!("{:<17}  help: {help}", ""));
    }
}
