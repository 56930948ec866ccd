//! Which producer a stage gets now, and under which limits.

use crate::domain::decision::HoldReason;
use crate::domain::pipeline::{InfraPolicy, Limits, Producer, Stage};

use super::drive::Runner;

/// What is done with a stage that is next.
#[derive(Debug)]
pub(super) enum Choice<'s> {
    /// A producer is started.
    Run(Chosen<'s>),
    /// It is held before anything of it is started.
    Hold(HoldReason),
}

/// The producer of an attempt.
#[derive(Debug)]
pub(super) struct Chosen<'s> {
    pub(super) producer: &'s Producer,
    /// Why this one, for the record.
    pub(super) why: String,
    /// Whether it stands in for the declared one.
    pub(super) fallback: bool,
}

impl Runner<'_> {
    /// Chooses for a stage.
    pub(super) fn choose<'s>(&self, stage: &'s Stage) -> Choice<'s> {
        let producer = &stage.producer;
        match producer {
            Producer::Approval => Choice::Hold(HoldReason::Approval),
            Producer::Agent(_) | Producer::TestRunner(_) | Producer::StagingRunner(_) | Producer::Command(_) => {
                Choice::Run(Chosen { producer, why: "declared".to_owned(), fallback: false })
            }
        }
    }

    /// The limits of a stage's attempts.
    pub(super) fn limits(&self, stage: &Stage) -> Limits {
        stage.limits
    }

    /// What a passing fault is worth in a stage.
    pub(super) fn infra(&self, stage: &Stage) -> InfraPolicy {
        stage.infra.clone()
    }
}
