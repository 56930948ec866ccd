//! The pipeline, and whether what its stages name is there. A program that is missing is no error of a start: its stage
//! is held with a record, and one that an earlier stage builds is not there yet.

use std::collections::HashSet;
use std::path::Path;

use rustix::io::Errno;

use super::examine::{Notes, Visit};
use super::finding::Finding;
use super::hosts;
use crate::config::{Choice, Settings};
use crate::domain::evidence::SpawnFailure;
use crate::domain::id::{AttemptId, Nonce, RelPath, RunId, TaskName};
use crate::domain::pipeline::{EnvSpec, Ordinal, Pipeline, Producer, Stage};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::engine::{HostEnv, PlanError, Site, StagingSite, plan};
use crate::exec;
use crate::spec;
use crate::workspace::worktree::Worktree;

/// Longest pipeline file, plus the byte that shows that it is longer.
const PIPELINE_READ_BYTES: u64 = 8 * 1024 * 1024 + 1;

/// A program that a stage names and that is not on its producer's search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The stage.
    pub stage: String,
    /// The program, as the pipeline names it.
    pub program: String,
    /// What is wrong with it, in words.
    pub seen: &'static str,
}

/// Programs that cannot be found now, by the search path their producers would have. Those named by a path in the
/// worktree are left out: an earlier stage may build them. So are those of producers that a switch keeps from running.
pub fn missing_programs<'a>(
    pipeline: &'a Pipeline,
    (settings, repository): (&'a Settings, &str),
    worktree: &Worktree,
    host: &HostEnv,
) -> Vec<Missing> {
    let mut found = HashSet::new();
    let missing = |stage: &'a Stage| {
        let Choice::Run { producer, .. } = settings.choice(stage, repository) else { return None };
        let sought = sought(producer);
        if sought.is_some_and(|sought| found.contains(&sought)) {
            return None;
        }
        let plan = resolve(stage, producer, worktree, host)?.ok().filter(|plan| plan.remote.is_none())?;
        let program = plan.argv.program();
        let Err(failure) = exec::find(program, plan.env.get("PATH"), &plan.cwd) else {
            found.extend(sought);
            return None;
        };
        let elsewhere = !program.contains('/') || Path::new(program).is_absolute();
        elsewhere.then(|| Missing {
            stage: stage.name.to_string(),
            program: plan.shown.program().to_owned(),
            seen: not_usable(&failure),
        })
    };
    pipeline.stages().iter().filter_map(missing).collect()
}

/// What is wrong with a program, in words: a file that nobody may execute is not missing.
fn not_usable(failure: &SpawnFailure) -> &'static str {
    if failure.errno == Some(Errno::ACCESS.raw_os_error()) {
        "is there, and is a folder or nobody may execute it"
    } else {
        "cannot be found"
    }
}

/// A program, and what says where it is looked for: many stages of a long pipeline share them, and each search is a
/// dozen system calls. `None` where the stage itself may have a part in it.
fn sought(producer: &Producer) -> Option<(&str, &EnvSpec, Option<&RelPath>)> {
    let suite = match producer {
        Producer::TestRunner(suite) | Producer::Command(suite) => suite,
        Producer::StagingRunner(_) | Producer::Agent(_) | Producer::Approval => return None,
    };
    let program = suite.command.program();
    (!program.contains("${")).then_some((program, &suite.env, suite.cwd.as_ref()))
}

/// The plan an attempt of this stage would have; `None` for producers without a command of their own.
pub(super) fn resolve(
    stage: &Stage,
    producer: &Producer,
    worktree: &Worktree,
    host: &HostEnv,
) -> Option<Result<AttemptPlan, PlanError>> {
    match producer {
        Producer::TestRunner(_) | Producer::Command(_) | Producer::StagingRunner(_) | Producer::Agent(_) => {}
        Producer::Approval => return None,
    }
    let nil = uuid::Uuid::nil();
    let key = AttemptKey {
        attempt: AttemptId::new(nil),
        task: TaskName::new("doctor").expect("a plain name"),
        run: RunId::new(nil),
        stage: stage.name.clone(),
        visit: Ordinal::MIN,
        number: Ordinal::MIN,
    };
    let site = Site {
        worktree: worktree.toplevel(),
        base_commit: worktree.head().commit.as_str(),
        artifacts: worktree.toplevel(),
        attempt_dir: worktree.toplevel(),
        staging: StagingSite::HostSide,
    };
    Some(plan(stage, producer, stage.limits, key, Nonce::new(nil), &site, host))
}

/// Looks at the pipeline; gives it back where it is valid.
pub(super) fn look(visit: &Visit, worktree: &Worktree, notes: &Notes) -> Option<Pipeline> {
    notes.turn_to("pipeline");
    let path = match (visit.pipeline)(worktree) {
        Ok(path) => path,
        Err(told) => {
            notes.add(Finding::fail("pipeline", told.what, told.help));
            return None;
        }
    };
    let shown = path.display();
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let seen = format!("could not read {shown}: {error}");
            notes.add(Finding::fail("pipeline", seen, "name the file with --pipeline FILE"));
            return None;
        }
    };
    let pipeline = match spec::load(&bytes) {
        Ok(pipeline) => pipeline,
        Err(problems) => {
            let noun = if problems.len() == 1 { "problem" } else { "problems" };
            let seen = format!("{shown} has {} {noun}", problems.len());
            notes.add(Finding::fail(
                "pipeline",
                seen,
                format!("`orch pipeline validate {shown}` shows each with its place"),
            ));
            return None;
        }
    };
    notes.add(Finding::ok(
        "pipeline",
        format!("{shown}: `{}`, {} stages, valid", pipeline.name(), pipeline.stages().len()),
    ));
    for stage in pipeline.stages() {
        notes.add(of_stage(stage, worktree, &visit.host_env));
    }
    Some(pipeline)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(PIPELINE_READ_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn of_stage(stage: &Stage, worktree: &Worktree, host: &HostEnv) -> Finding {
    const AREA: &str = "programs";
    let name = &stage.name;
    let plan = match resolve(stage, &stage.producer, worktree, host) {
        Some(Ok(plan)) => plan,
        Some(Err(error)) => {
            return Finding::fail(
                AREA,
                format!("{name}: {error}"),
                "set the variable, or declare it under `env:` of the stage's producer",
            );
        }
        None => {
            return Finding::ok(
                AREA,
                format!("{name}: a producer of kind {}, which is not looked at here", stage.producer.kind().as_str()),
            );
        }
    };
    if let Some(remote) = &plan.remote {
        return hosts::of_stage(name.as_str(), &plan, remote);
    }
    let word = plan.shown.program();
    if !plan.cwd.is_dir() {
        let seen = format!("{name}: its folder {} is not there", plan.cwd.display());
        return Finding::warn(AREA, seen, "an earlier stage must make it; otherwise the stage is held (permanent-env)");
    }
    match exec::find(plan.argv.program(), plan.env.get("PATH"), &plan.cwd) {
        // A word with a variable in it may come out as a secret.
        Ok(_) if word.contains("${") => Finding::ok(AREA, format!("{name}: {word} is there")),
        Ok(path) => Finding::ok(AREA, format!("{name}: {word} is {}", path.display())),
        Err(failure) => {
            let why = failure
                .errno
                .map(std::io::Error::from_raw_os_error)
                .map_or_else(String::new, |error| format!(": {error}"));
            let help = if failure.errno == Some(Errno::ACCESS.raw_os_error()) {
                "`chmod +x` helps where it is a program; until then the stage is held (permanent-env)"
            } else if word.contains('/') {
                "an earlier stage must make it; otherwise the stage is held (permanent-env)"
            } else {
                "install it, or add its folder to PATH; until then the stage is held (permanent-env)"
            };
            Finding::warn(AREA, format!("{name}: the program `{word}` {}{why}", not_usable(&failure)), help)
        }
    }
}
