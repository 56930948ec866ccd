//! `orch config show`: every setting in force, and what the stages of a pipeline come to with them.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::config::{Choice, ConfigProblem, Flags, InForce, Origin, Reader, Scope, Settings, Value, Variables};
use crate::domain::pipeline::{Pipeline, Stage};
use crate::workspace::repository::Repository;

use super::args::{ConfigShowArgs, OverrideArgs, StateArgs};
use super::output::{self, Problem};
use super::{ExitCode, pipeline, store};

/// Version of the document.
const VERSION: u32 = 1;

/// orch's own environment, values that are not UTF-8 included.
pub(super) fn variables() -> Variables {
    Variables::new(std::env::vars_os())
}

/// What the command line says of settings.
pub(super) fn flags(overrides: &OverrideArgs, state: &StateArgs) -> Flags {
    Flags {
        no_fallback: overrides.no_fallback,
        timeout: overrides.timeout_s.map(Duration::from_secs),
        infra_retries: overrides.infra_retries,
        state_dir: state.state_dir.clone(),
    }
}

/// Tells every malformed setting; the last line counts them.
pub(super) fn refused(problems: &[ConfigProblem]) -> Problem {
    for problem in problems {
        output::talk(&format!("error: {}", problem.message()));
        output::talk(&format!("help: {}", problem.help()));
    }
    let count = problems.len();
    let noun = if count == 1 { "setting is" } else { "settings are" };
    Problem::new(ExitCode::Invalid, format!("{count} {noun} malformed; nothing was started"))
        .help("docs/reference/switches.md lists every setting")
        .problems(listed(problems))
}

pub(super) fn show(options: &ConfigShowArgs) -> Result<ExitCode, Problem> {
    let pipeline = options.pipeline.as_deref().map(pipeline::load).transpose()?.map(|(pipeline, _)| pipeline);
    let flags = flags(&options.overrides, &options.state);
    let settings = match Settings::read(&variables(), &flags, pipeline.as_ref()) {
        Ok(settings) => settings,
        Err(problems) => {
            if options.state.json {
                output::document(&malformed(&problems));
            }
            return Err(refused(&problems));
        }
    };
    let staged = match &pipeline {
        Some(pipeline) => Some((pipeline, repository(options, pipeline)?)),
        None => None,
    };
    let warnings = match &staged {
        Some((pipeline, repository)) => settings.warnings(pipeline.stages(), &repository.name),
        None => settings.general_warnings(),
    };
    if options.state.json {
        let of_pipeline = staged.as_ref().map(|(pipeline, repository)| {
            let stages: Vec<Json> =
                pipeline.stages().iter().map(|stage| stage_document(&settings, stage, &repository.name)).collect();
            json!({
                "name": pipeline.name().as_str(),
                "repository": { "name": repository.name, "from": repository.from.as_str() },
                "stages": stages,
            })
        });
        output::document(&json!({
            "version": VERSION,
            "valid": true,
            "problems": [],
            "settings": settings.in_force().iter().map(setting_document).collect::<Vec<_>>(),
            "pipeline": of_pipeline,
            "warnings": warnings,
        }));
    } else {
        table(&settings.in_force(), options.origin);
        if let Some((pipeline, repository)) = &staged {
            let from = if options.origin { format!(" (from {})", repository.from.as_str()) } else { String::new() };
            output::data(&format!("\nrepository {}{from}, pipeline {}", repository.name, pipeline.name()));
            for stage in pipeline.stages() {
                stage_in_words(&settings, stage, &repository.name, options.origin);
            }
        }
    }
    for warning in warnings {
        output::talk(&format!("orch: warning: {warning}"));
    }
    Ok(ExitCode::Success)
}

/// What the repository is called; without `repository:` in the pipeline only a worktree can tell.
fn repository(options: &ConfigShowArgs, pipeline: &Pipeline) -> Result<Repository, Problem> {
    if let Some(name) = pipeline.repository() {
        return Ok(Repository::declared(name));
    }
    let git = store::git(&options.state.worktree)?;
    let worktree = store::worktree(&options.state, &git)?;
    worktree.repository(&git, None).map_err(|error| store::of_git(&error))
}

fn malformed(problems: &[ConfigProblem]) -> Json {
    json!({ "version": VERSION, "valid": false, "problems": listed(problems) })
}

fn listed(problems: &[ConfigProblem]) -> Json {
    let row =
        |problem: &ConfigProblem| json!({ "name": problem.name, "message": problem.message(), "help": problem.help() });
    problems.iter().map(row).collect()
}

fn table(rows: &[InForce], with_origin: bool) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    for row in rows {
        let value = row.value.as_ref().map_or_else(|| unset(row), Value::to_string);
        let yet = match row.setting.reader {
            Reader::Built => "",
            Reader::NotYet => "  (nothing reads it yet)",
        };
        let origin = if with_origin { format!("  [{}]", origin_of(row)) } else { String::new() };
        output::data(&format!("{:<width$}  {value}{origin}{yet}", row.name));
    }
}

/// What counts where no value is given.
fn unset(row: &InForce) -> String {
    format!("not set: {}", row.setting.default.replace('`', ""))
}

/// A row's own name need not be said again.
fn origin_of(row: &InForce) -> String {
    match &row.origin {
        Origin::Environment(_) => "environment".to_owned(),
        Origin::Flag(_) | Origin::Pipeline | Origin::Default => row.origin.to_string(),
    }
}

fn setting_document(row: &InForce) -> Json {
    json!({
        "name": row.name,
        "value": row.value.as_ref().map(value_document),
        "origin": origin_of(row),
        "effective": row.setting.reader == Reader::Built,
    })
}

/// A value of a document; no repository stands for every repository.
fn value_document(value: &Value) -> Json {
    match value {
        Value::Switch(on) => json!(on),
        Value::Repositories(scope) => json!(scope.names()),
        Value::Seconds(time) => json!(time.as_secs()),
        Value::Count(count) => json!(count),
        Value::Path(text) | Value::LogFilter(text) => json!(text),
    }
}

fn stage_document(settings: &Settings, stage: &Stage, repository: &str) -> Json {
    fn sourced(value: &Json, origin: &Origin) -> Json {
        json!({ "value": value, "origin": origin.to_string() })
    }
    let switch = stage.switch.as_ref().map(|switch| {
        let (enabled, scope) = (settings.enabled(switch), settings.scope(switch));
        json!({
            "name": switch.as_str(),
            "enabled": sourced(&json!(enabled.value), &enabled.origin),
            "repositories": sourced(&json!(scope.value.names()), &scope.origin),
        })
    });
    let (producer, why, fallback) = match settings.choice(stage, repository) {
        Choice::Run { producer, why, fallback } => (Some(producer.kind().as_str()), why, fallback),
        Choice::Off { why, .. } => (None, why, false),
    };
    let timeout = settings.timeout(stage, repository);
    let retries = settings.infra_retries(stage, repository);
    json!({
        "stage": stage.name.as_str(),
        "switch": switch,
        "declared": stage.producer.kind().as_str(),
        "producer": producer,
        "fallback": fallback,
        "why": why,
        "timeout_ms": sourced(&json!(u64::try_from(timeout.value.as_millis()).unwrap_or(u64::MAX)), &timeout.origin),
        "infra_retries": sourced(&json!(retries.value), &retries.origin),
    })
}

fn stage_in_words(settings: &Settings, stage: &Stage, repository: &str, with_origin: bool) {
    let from = |origin: &Origin| if with_origin { format!(" [{origin}]") } else { String::new() };
    output::data(&format!("{}:", stage.name));
    match &stage.switch {
        Some(switch) => {
            let (enabled, scope) = (settings.enabled(switch), settings.scope(switch));
            let on = if enabled.value { "on" } else { "off" };
            let names = match &scope.value {
                Scope::Every => "for every repository".to_owned(),
                Scope::Only(_) => format!("for {}", scope.value),
            };
            output::data(&format!(
                "  switch    {switch}: {on}{}, {names}{}",
                from(&enabled.origin),
                from(&scope.origin)
            ));
        }
        None => output::data("  switch    none"),
    }
    match settings.choice(stage, repository) {
        Choice::Run { producer, why, .. } => output::data(&format!("  producer  {}: {why}", producer.kind().as_str())),
        Choice::Off { why, .. } => output::data(&format!("  producer  none, the task is held: {why}")),
    }
    let timeout = settings.timeout(stage, repository);
    output::data(&format!("  timeout   {:?}{}", timeout.value, from(&timeout.origin)));
    let retries = settings.infra_retries(stage, repository);
    output::data(&format!("  retries   {}{}", retries.value, from(&retries.origin)));
}
