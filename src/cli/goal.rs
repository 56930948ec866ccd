//! What a command is asked to work with: pipeline, task, stages, settings, and what the repository is called.

use std::path::{Path, PathBuf};

use crate::config::{Flags, Settings};
use crate::domain::id::{NameError, StageName, TaskName};
use crate::domain::pipeline::Pipeline;
use crate::workspace::git::Git;
use crate::workspace::worktree::Worktree;

use super::output::Problem;
use super::{ExitCode, config, store};

/// Reads every setting before anything is made or started.
pub(super) fn settings(flags: &Flags, pipeline: Option<&Pipeline>) -> Result<Settings, Problem> {
    Settings::read(&config::variables(), flags, pipeline).map_err(|problems| config::refused(&problems))
}

/// What the repository is called where switches name it.
pub(super) fn repository(git: &Git<'_>, worktree: &Worktree, pipeline: &Pipeline) -> Result<String, Problem> {
    worktree.repository(git, pipeline.repository()).map(|found| found.name).map_err(|error| store::of_git(&error))
}

pub(super) fn stage(text: Option<&str>) -> Result<Option<StageName>, Problem> {
    let refused = |error: NameError| {
        Problem::new(ExitCode::Usage, error.to_string()).help("the pipeline file names its stages under `stages:`")
    };
    text.map(|text| StageName::new(text).map_err(refused)).transpose()
}

pub(super) fn pipeline_path(given: Option<&Path>, worktree: &Worktree) -> Result<PathBuf, Problem> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    only_pipeline(worktree.toplevel())
}

/// The only file in the pipelines folder of a repository.
pub(super) fn only_pipeline(top: &Path) -> Result<PathBuf, Problem> {
    let folder = top.join("pipelines");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| {
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| is_yaml(path)).collect()
        })
        .unwrap_or_default();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Problem::new(ExitCode::Invalid, format!("there is no pipeline in {}", folder.display())).help(
            "write one there as NAME.yaml (docs/reference/pipeline.md describes the file), or name one: \
                 `orch pipeline run --pipeline FILE`",
        )),
        several @ [first, ..] => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Problem::new(ExitCode::Invalid, format!("there are several pipelines: {}", names.join(", ")))
                .help(format!("name one with --pipeline FILE: `orch pipeline run --pipeline {}`", first.display())))
        }
    }
}

fn is_yaml(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

pub(super) fn task_name(given: Option<&str>, worktree: &Worktree) -> Result<TaskName, Problem> {
    if let Some(name) = given {
        return TaskName::new(name).map_err(|error| {
            Problem::new(ExitCode::Usage, error.to_string()).help("`orch status` lists the tasks there are")
        });
    }
    let head = worktree.head();
    let detached = || TaskName::new(format!("detached-{}", head.commit.short())).ok();
    head.branch.as_deref().map_or_else(detached, TaskName::from_branch).ok_or_else(|| {
        Problem::new(ExitCode::Usage, "the branch's name gives no name for the task")
            .help("name the task with --task NAME")
    })
}
