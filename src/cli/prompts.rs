//! The prompts that a pipeline names, looked at with it: `orch pipeline validate`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::domain::pipeline::Pipeline;
use crate::domain::prompt::PROMPT_BYTES_MAX;
use crate::spec::{self, problem};

/// A prompt that cannot be used.
#[derive(Debug)]
pub(super) struct BadPrompt {
    stage: String,
    path: PathBuf,
    found: Found,
}

/// What is wrong with it.
#[derive(Debug)]
enum Found {
    /// It cannot be read.
    Unreadable(std::io::Error),
    /// It was read, and has these problems.
    Problems(Vec<u8>, Vec<problem::Problem>),
}

/// The prompts of a pipeline file that cannot be used. Prompts are named from the top of the checkout; where the file is
/// in none, nothing can be said of them.
pub(super) fn problems(file: &Path, pipeline: &Pipeline) -> Vec<BadPrompt> {
    let Some(top) = checkout(file) else { return Vec::new() };
    let mut bad: Vec<BadPrompt> = Vec::new();
    for stage in pipeline.stages() {
        for agent in stage.agents() {
            let path = top.join(agent.prompt.as_str());
            let found = match read(&path) {
                Ok(bytes) => match spec::prompt(&bytes, pipeline, stage) {
                    Ok(_) => continue,
                    Err(problems) => Found::Problems(bytes, problems),
                },
                Err(error) => Found::Unreadable(error),
            };
            if !bad.iter().any(|known| known.path == path) {
                bad.push(BadPrompt { stage: stage.name.to_string(), path, found });
            }
        }
    }
    bad
}

/// The nearest folder above a file that has a `.git` entry.
fn checkout(file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().ok()?;
    file.ancestors().skip(1).find(|folder| folder.join(".git").symlink_metadata().is_ok()).map(Path::to_owned)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if !path.symlink_metadata()?.is_file() {
        return Err(std::io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(PROMPT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl BadPrompt {
    /// For people.
    pub(super) fn in_words(&self, colour: bool) -> String {
        let path = self.path.display().to_string();
        match &self.found {
            Found::Unreadable(error) => format!(
                "error: could not read the prompt {path} of stage `{}`: {error}\nhelp: prompts are named from the top of the \
                 checkout",
                self.stage
            ),
            Found::Problems(bytes, problems) => {
                problem::render(&String::from_utf8_lossy(bytes), &path, problems, colour)
            }
        }
    }
}

/// The same as a document: that of the pipeline's own problems, with the file of each.
pub(super) fn document(bad: &[BadPrompt]) -> Value {
    let mut all = Vec::new();
    for prompt in bad {
        let path = prompt.path.display().to_string();
        match &prompt.found {
            Found::Unreadable(error) => all.push(json!({
                "code": null, "message": format!("could not read the prompt of stage `{}`: {error}", prompt.stage),
                "line": null, "column": null, "help": "prompts are named from the top of the checkout", "file": path,
            })),
            Found::Problems(_, problems) => {
                let told = problem::to_json(problems);
                for problem in told["problems"].as_array().into_iter().flatten() {
                    let mut problem = problem.clone();
                    problem["file"] = json!(path);
                    all.push(problem);
                }
            }
        }
    }
    json!({ "version": 1, "valid": false, "problems": all })
}
