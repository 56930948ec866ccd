//! Makes the place ready: nothing that stands there from before may answer for the new attempt.

use std::path::Path;

use crate::domain::id::{Digest, RelPath};
use crate::domain::pipeline::ReportPlace;
use crate::domain::plan::AttemptPlan;
use crate::exec::hand_over;
use crate::workspace::artifact::{ArtifactError, Taken, take_away};
use crate::workspace::report::{ClearError, clear_report};
use crate::workspace::root::Root;

/// A place that could not be made ready; the attempt was not started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// An old artifact could not be moved away.
    #[error("make the place of the artifact ready")]
    Artifact(#[source] ArtifactError),
    /// An old report could not be removed.
    #[error("make the place of a report ready")]
    Report(#[source] ClearError),
    /// The attempt's folder could not be made.
    #[error("make the attempt's folder {path}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes the old artifact and old reports away and makes the attempt's folder where reports are declared.
///
/// # Errors
/// [`PrepareError`]; the attempt must not start then.
pub fn prepare(
    plan: &AttemptPlan,
    root: &Root,
    artifact: Option<(&RelPath, Option<&Digest>)>,
    moved_dir: &Path,
) -> Result<Taken, PrepareError> {
    let taken = match artifact {
        Some((path, published)) => take_away(root, path, published, moved_dir).map_err(PrepareError::Artifact)?,
        None => Taken::Nothing,
    };
    for report in &plan.reports {
        if let ReportPlace::Worktree(path) = &report.place {
            clear_report(root, path).map_err(PrepareError::Report)?;
        }
    }
    if let Some(folder) = &plan.attempt_dir {
        std::fs::create_dir_all(folder)
            .map_err(|source| PrepareError::Folder { path: folder.display().to_string(), source })?;
        if let Some(remote) = &plan.remote {
            hand_over(plan, remote, folder)
                .map_err(|source| PrepareError::Folder { path: folder.display().to_string(), source })?;
        }
    }
    Ok(taken)
}
