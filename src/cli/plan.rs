//! `orch pipeline plan`: what a run would do with each stage, and why. Nothing is started, locked or stored.

use serde_json::{Value, json};

use crate::domain::agent::AgentProfile;
use crate::domain::id::{Nonce, RelPath};
use crate::runner::{Clock as _, Machine, Notice, Planned, PlannedStep, Runner, SystemClock, Wanted, chain};
use crate::store::Holder;
use crate::store::sqlite::SqliteStore;

use super::args::PlanArgs;
use super::output::{self, Problem};
use super::site::Site;
use super::{ExitCode, config, goal, pipeline, reach, store, talk, trouble};

pub(super) fn plan(options: &PlanArgs) -> Result<ExitCode, Problem> {
    let site = Site::find(&options.state, options.task.as_deref())?;
    let task = site.task(options.task.as_deref())?;
    let Site { git, worktree, .. } = site;
    let path = goal::pipeline_path(options.pipeline.as_deref(), &worktree)?;
    let (pipeline, text) = pipeline::load(&path)?;
    let settings = goal::settings(&config::flags(&options.overrides, &options.state), Some(&pipeline))?;
    let repository = goal::repository(&git, &worktree, &pipeline)?;
    for warning in settings.warnings(pipeline.stages(), &repository) {
        output::talk(&format!("orch: warning: {warning}"));
    }
    let wanted = Wanted {
        from: goal::stage(options.from.as_deref())?,
        until: goal::stage(options.until.as_deref())?,
        ..Wanted::default()
    };
    let place = store::state(&options.state, worktree)?;
    // Where nothing has been run yet, an empty store elsewhere stands for the one that is not there.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let blank = tempfile::Builder::new()
        .permissions(private)
        .tempdir()
        .map_err(|error| Problem::new(ExitCode::Internal, format!("could not make a temporary folder: {error}")))?;
    let mut store = match store::open_existing(&place.state)? {
        Some(store) => store,
        None => Box::new(SqliteStore::open(blank.path()).map_err(|error| store::of_store(&error))?),
    };
    let (stop, _asked) = std::os::unix::net::UnixStream::pair()
        .map_err(|error| Problem::new(ExitCode::Internal, format!("could not make a pipe: {error}")))?;
    let mut notify = |notice: Notice<'_>| talk::tell(&notice);
    let clock = SystemClock;
    let mut runner = Runner {
        pipeline: &pipeline,
        pipeline_text: &text,
        pipeline_file: None,
        task: task.clone(),
        world: &Machine { git: &git },
        worktree: &place.worktree,
        state: &place.state,
        store: store.as_mut(),
        holder: Holder { owner: Nonce::new(clock.secret()).to_string(), pid: std::process::id() },
        person: reach::person(),
        host_env: store::host_env(),
        settings: &settings,
        repository,
        clock: &clock,
        stop: std::os::fd::AsFd::as_fd(&stop),
        stopping: &|| false,
        // It has no lock, and so it can write nothing.
        still_ours: &|| false,
        progress: None,
        notify: &mut notify,
    };
    let planned = runner.dry_run(&wanted).map_err(|error| trouble::of_run(&error))?;
    show(&planned, options.state.json);
    Ok(ExitCode::Success)
}

/// Shows what would be done.
pub(super) fn show(planned: &[Planned], as_json: bool) {
    if as_json {
        let stages: Vec<Value> = planned.iter().map(document).collect();
        output::document(&json!({ "version": 1, "dry_run": true, "stages": stages }));
        return;
    }
    if planned.is_empty() {
        output::data("nothing would be started: the task is done for this commit, tree and pipeline");
    }
    for stage in planned {
        output::data(&in_words(stage));
    }
}

fn document(planned: &Planned) -> Value {
    let stage = &planned.stage;
    let mut document = json!({
        "stage": stage.name.as_str(),
        "producer": stage.producer.kind().as_str(),
        "switch": stage.switch.as_ref().map(ToString::to_string),
        "gate": stage.gate.as_str(),
        "artifact": stage.artifact.as_ref().map(RelPath::as_str),
    });
    match &planned.step {
        PlannedStep::Start { plan, why, fallback, shadow } => {
            document["step"] = json!("start");
            document["producer"] = json!(plan.producer.as_str());
            document["why"] = json!(why);
            document["fallback"] = json!(fallback);
            document["shadow"] = json!(shadow.map(AgentProfile::as_str));
            document["argv"] = json!(plan.shown.words());
            document["cwd"] = json!(plan.cwd.display().to_string());
            document["env_names"] = json!(plan.env.names());
            document["timeout_ms"] = json!(u64::try_from(plan.limits.total.as_millis()).unwrap_or(u64::MAX));
        }
        PlannedStep::Hold(reason) => {
            document["step"] = json!("hold");
            document["why"] = json!(reason.text());
        }
        PlannedStep::Refused(error) => {
            document["step"] = json!("refused");
            document["why"] = json!(format!("could not {}", chain(error)));
        }
    }
    document
}

fn in_words(planned: &Planned) -> String {
    let stage = &planned.stage;
    match &planned.step {
        PlannedStep::Start { plan, why, fallback, shadow } => {
            let beside = shadow
                .map(|profile| format!("\n  in the shadow: agent {}, which decides nothing", profile.as_str()))
                .unwrap_or_default();
            let instead = if *fallback { " (the fallback)" } else { "" };
            format!(
                "{}: {}{instead} {}\n  why: {why}\n  in {}, gate {}, environment {}{beside}",
                stage.name,
                plan.producer.as_str(),
                talk::words(plan.shown.words()),
                plan.cwd.display(),
                stage.gate.as_str(),
                plan.env.names().join(" ")
            )
        }
        PlannedStep::Hold(reason) => format!("{}: held: {}", stage.name, reason.text()),
        PlannedStep::Refused(error) => format!("{}: refused: could not {}", stage.name, chain(error)),
    }
}
