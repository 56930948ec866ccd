//! `orch pipeline validate` and `orch pipeline schema`.

use std::io::Read as _;
use std::path::Path;

use crate::domain::pipeline::Pipeline;
use crate::spec::{self, problem};

use super::ExitCode;
use super::args::ValidateArgs;
use super::output::{self, Problem};
use super::prompts;

/// Longest pipeline file, plus the byte that shows that it is longer.
const READ_MAX_BYTES: u64 = 8 * 1024 * 1024 + 1;

/// Most files that are suggested.
const SUGGESTED_MAX: usize = 5;

pub(super) fn validate(options: &ValidateArgs) -> Result<ExitCode, Problem> {
    let bytes = read(&options.file)?;
    let loaded = spec::load(&bytes);
    if let Ok(pipeline) = &loaded {
        let found = prompts::problems(&options.file, pipeline);
        if !found.is_empty() {
            if options.json {
                output::document(&prompts::document(&found));
            } else {
                for prompt in &found {
                    output::talk(prompt.in_words(output::colour()).trim_end());
                }
            }
            return Ok(ExitCode::Invalid);
        }
    }
    match (loaded, options.json) {
        (Ok(_), true) => output::document(&problem::to_json(&[])),
        (Ok(pipeline), false) => output::data(&format!(
            "{}: valid: pipeline `{}`, {} stages",
            options.file.display(),
            pipeline.name(),
            pipeline.stages().len()
        )),
        (Err(problems), true) => {
            output::document(&problem::to_json(&problems));
            return Ok(ExitCode::Invalid);
        }
        (Err(problems), false) => {
            report(&options.file, &bytes, &problems);
            return Ok(ExitCode::Invalid);
        }
    }
    Ok(ExitCode::Success)
}

pub(super) fn schema() -> ExitCode {
    let text = serde_json::to_string_pretty(&spec::schema::pipeline()).expect("a JSON value can be written");
    output::data(&text);
    ExitCode::Success
}

/// Reads and validates a pipeline file; its problems go to stderr.
pub(super) fn load(path: &Path) -> Result<(Pipeline, Vec<u8>), Problem> {
    let bytes = read(path)?;
    parse(path, &bytes).map(|pipeline| (pipeline, bytes))
}

/// Validates a pipeline's text; its problems go to stderr.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Pipeline, Problem> {
    match spec::load(bytes) {
        Ok(pipeline) => Ok(pipeline),
        Err(problems) => {
            report(path, bytes, &problems);
            let count = problems.len();
            let noun = if count == 1 { "problem" } else { "problems" };
            let what = format!("{} has {count} {noun}; nothing was started", path.display());
            Err(Problem::new(ExitCode::Invalid, what).problems(problem::to_json(&problems)["problems"].clone()))
        }
    }
}

fn report(path: &Path, bytes: &[u8], problems: &[problem::Problem]) {
    let text = String::from_utf8_lossy(bytes);
    output::talk(problem::render(&text, &path.display().to_string(), problems, output::colour()).trim_end());
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |error: std::io::Error| {
        let problem =
            Problem::new(ExitCode::Invalid, format!("could not read the pipeline {}: {error}", path.display()));
        match beside(path).as_slice() {
            [] => problem.help("name the file with its path; `orch pipeline schema` describes what it holds"),
            files => problem.help(format!("name the file with its path; there is {}", files.join(", "))),
        }
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(failed(std::io::Error::other("it is no plain file")));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(READ_MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Pipelines that could have been meant: in the folder that was named, or below it, or in `pipelines/`.
fn beside(path: &Path) -> Vec<String> {
    let folders = [Some(path), path.parent(), Some(Path::new("pipelines"))];
    let yaml = |path: &Path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    for folder in folders.into_iter().flatten() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<String> = entries.filter(|path| yaml(path)).map(|path| path.display().to_string()).collect();
        found.sort();
        found.truncate(SUGGESTED_MAX);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}
