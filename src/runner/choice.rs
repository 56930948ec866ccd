//! Which producer a stage gets now, and under which limits.

use crate::config::Choice;
use crate::domain::decision::HoldReason;
use crate::domain::pipeline::{InfraPolicy, Limits, Producer, Stage};

use super::drive::Runner;

/// What is done with a stage that is next.
#[derive(Debug)]
pub(super) enum Next<'s> {
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
    /// Chooses for a stage: by its switch alone, before anything starts. A fault never is a reason to fall back.
    pub(super) fn choose<'s>(&self, stage: &'s Stage) -> Next<'s> {
        match self.settings.choice(stage, &self.repository) {
            Choice::Run { producer: Producer::Approval, .. } => Next::Hold(HoldReason::Approval),
            Choice::Run { producer, why, fallback } => Next::Run(Chosen { producer, why, fallback }),
            Choice::Off { switch, why } => Next::Hold(HoldReason::SwitchedOff { switch, why }),
        }
    }

    /// The limits of a stage's attempts.
    pub(super) fn limits(&self, stage: &Stage) -> Limits {
        self.settings.limits(stage, &self.repository)
    }

    /// What a passing fault is worth in a stage.
    pub(super) fn infra(&self, stage: &Stage) -> InfraPolicy {
        self.settings.infra(stage, &self.repository)
    }
}
