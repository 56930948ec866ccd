//! What a verdict is bound to: which producer, in which attempt, on which tree, ended how, and left which bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agent::Usage;
use super::evidence::{Containment, Evidence, Exit, ExitRecord, ReportFound};
use super::id::{AttemptId, Digest, RunId, StageName};
use super::outcome::Outcome;
use super::pipeline::ProducerKind;
use super::task::{ArtifactRef, Intent};

/// The stamp of an attempt. It stands in the store, and in the attempt's folder where there is one; never in the
/// artifact's text, whose bytes are frozen (DESIGN D4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stamp {
    /// Version of this form: 1.
    pub version: u32,
    /// Version of orch.
    pub orch: String,
    /// The run.
    pub run: RunId,
    /// The stage.
    pub stage: StageName,
    /// The attempt.
    pub attempt: AttemptId,
    /// Kind of producer.
    pub producer: ProducerKind,
    /// When it was started, by the wall clock.
    pub started_at: Timestamp,
    /// Hash of the worktree's tree before the start.
    pub tree_before: Digest,
    /// Hash of the tree it left; `None` where it could not be read.
    pub tree_after: Option<Digest>,
    /// Whether the worktree differed from its commit.
    pub dirty: bool,
    /// How the process ended.
    pub exit: Exit,
    /// Tests executed, where they were counted.
    pub tests_run: Option<u64>,
    /// Tests failed and errors, where they were counted.
    pub tests_failed: Option<u64>,
    /// Hashes of the reports that were read.
    pub reports: Vec<Digest>,
    /// The artifact, where one was published.
    pub artifact: Option<ArtifactRef>,
    /// Which containment the producer was started in.
    #[serde(default, skip_serializing_if = "Containment::is_unasked")]
    pub containment: Containment,
    /// What an agent used up, as far as it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Stamp {
    /// Puts the stamp of an attempt together.
    pub fn of(
        intent: &Intent,
        record: &ExitRecord,
        evidence: &Evidence,
        outcome: Option<&Outcome>,
        artifact: Option<&ArtifactRef>,
    ) -> Self {
        let counts = outcome.and_then(|outcome| outcome.proof.counts);
        let report = |found: &ReportFound| match found {
            ReportFound::Read { digest, .. } => Some(*digest),
            ReportFound::Missing
            | ReportFound::Stale
            | ReportFound::Broken { .. }
            | ReportFound::LeftBehind
            | ReportFound::Removed => None,
        };
        Self {
            version: 1,
            orch: env!("CARGO_PKG_VERSION").to_owned(),
            run: intent.run,
            stage: intent.stage.clone(),
            attempt: intent.attempt,
            producer: intent.producer,
            started_at: record.started_at,
            tree_before: intent.tree,
            tree_after: evidence.tree.as_ref().map(|tree| tree.left),
            dirty: intent.dirty,
            exit: record.exit.clone(),
            tests_run: counts.map(|counts| counts.ran()),
            tests_failed: counts.map(|counts| counts.failed.saturating_add(counts.errors)),
            reports: evidence.reports.iter().filter_map(|facts| report(&facts.found)).collect(),
            artifact: artifact.cloned(),
            containment: record.containment.clone(),
            usage: evidence.agent.as_ref().map(|facts| facts.usage),
        }
    }
}
