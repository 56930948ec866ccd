//! `orch pipeline graph`: a pipeline drawn, and how far a run came in it.

mod dot;
mod mermaid;
mod model;
mod svg;
mod text;

use std::path::Path;

use crate::domain::pipeline::Pipeline;

use super::args::{GraphArgs, GraphFormat};
use super::output::{self, Problem};
use super::status::{existing, find_run};
use super::store::of_store;
use super::{ExitCode, goal, pipeline, store};
use model::Graph;

/// What `--run` calls the newest run.
const NEWEST: &str = "newest";

pub(super) fn graph(options: &GraphArgs) -> Result<ExitCode, Problem> {
    let graph = match options.run.as_deref() {
        None => Graph::of(&file(options)?),
        Some(wanted) => painted(options, wanted)?,
    };
    if options.state.json {
        output::document(&graph.to_json());
        return Ok(ExitCode::Success);
    }
    let pen = if output::utf8() { text::Pen::UNICODE } else { text::Pen::ASCII };
    output::data(&match options.format {
        GraphFormat::Text => text::render(&graph, pen),
        GraphFormat::Mermaid => mermaid::render(&graph),
        GraphFormat::Dot => dot::render(&graph),
        GraphFormat::Svg if graph.nodes.len() > svg::STAGES_MAX => {
            let message = format!(
                "{} stages are too many for a picture; svg draws at most {}",
                graph.nodes.len(),
                svg::STAGES_MAX
            );
            return Err(Problem::new(ExitCode::Usage, message).help("use --format text or --format dot"));
        }
        GraphFormat::Svg => svg::render(&graph),
    });
    Ok(ExitCode::Success)
}

fn file(options: &GraphArgs) -> Result<Pipeline, Problem> {
    let path = match &options.file {
        Some(path) => path.clone(),
        None => goal::only_pipeline(&options.state.worktree)?,
    };
    Ok(pipeline::load(&path)?.0)
}

/// The pipeline that a run was pinned to, or the file that is named, with the run's states.
fn painted(options: &GraphArgs, wanted: &str) -> Result<Graph, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    let failed = |error| of_store(&error);
    let id = find_run(store.as_ref(), (wanted != NEWEST).then_some(wanted))?;
    let record = store.run(id).map_err(failed)?.ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("there is no run {id}")).help("`orch run list` lists the runs")
    })?;
    let digest = record.start.pipeline_digest;
    let pipeline = if options.file.is_some() {
        let pipeline = file(options)?;
        if pipeline.digest() != digest {
            output::talk(
                "orch: warning: the run was made with another text of the pipeline; leave FILE out to see that one",
            );
        }
        pipeline
    } else {
        let bytes = store.pipeline(&digest).map_err(failed)?.ok_or_else(|| {
            Problem::new(ExitCode::Usage, format!("the store does not have the pipeline of run {id}"))
                .help("name the pipeline's file")
        })?;
        pipeline::parse(Path::new("the pipeline of the run"), &bytes)?
    };
    let task = store.task(&record.task).map_err(failed)?.map(|stored| stored.task.state);
    let attempts = store.attempts(id).map_err(failed)?;
    let mut graph = Graph::of(&pipeline);
    graph.paint(&record, task.as_ref(), &attempts);
    Ok(graph)
}
