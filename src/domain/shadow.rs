//! What an agent made of a stage's work beside the producer whose artifact the gate read (docs/design/0016). It decides
//! nothing: it is there to be compared.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agent::{AgentProfile, Usage};
use super::decision::Settlement;
use super::evidence::{Containment, Exit, LogSpan};
use super::id::{AttemptId, Digest, RunId, StageName};
use super::outcome::Ruling;

/// The shadow of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shadow {
    /// Version of this form: 1.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The stage.
    pub stage: StageName,
    /// The attempt whose artifact the gate read.
    pub attempt: AttemptId,
    /// What that gate said.
    pub gate: Ruling,
    /// The id of its own process, where one was to be started.
    pub process: Option<AttemptId>,
    /// Which tool it is.
    pub profile: AgentProfile,
    /// When the gate's answer was there.
    pub at: Timestamp,
    /// What became of it.
    pub end: ShadowEnd,
}

/// What became of a shadow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ShadowEnd {
    /// It is next, or under way.
    Due,
    /// Its runner ended before it did.
    Left,
    /// It could not be run, or what it did could not be read.
    NotRun {
        /// Why, in one line.
        why: String,
    },
    /// It ended.
    Ended(Box<ShadowAnswer>),
}

/// What an ended shadow left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ShadowAnswer {
    /// What the stage would have come to, had the gate read its artifact.
    pub settlement: Settlement,
    /// How its process ended.
    pub exit: Exit,
    /// How long it ran.
    pub elapsed: Duration,
    /// What it used up, as far as it told.
    pub usage: Usage,
    /// Which containment it was started in.
    pub containment: Containment,
    /// Hash of its artifact, where it could be read; the file is `artifact.md` in its own folder.
    pub artifact: Option<Digest>,
    /// Its part of the run's stdout file.
    pub stdout: LogSpan,
    /// Its part of the run's stderr file.
    pub stderr: LogSpan,
}

/// How a shadow stands to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Both say the same.
    Agrees,
    /// One says pass, the other fail.
    Disagrees,
    /// The shadow says nothing, for whatever reason.
    NoVerdict,
}

impl Agreement {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Disagrees => "disagrees",
            Self::NoVerdict => "no-verdict",
        }
    }
}

impl Shadow {
    /// Holds its verdict against the gate's. Whatever is no verdict is neither for nor against.
    pub fn agreement(&self) -> Agreement {
        match self.verdict() {
            None => Agreement::NoVerdict,
            Some(verdict) if verdict == self.gate => Agreement::Agrees,
            Some(_) => Agreement::Disagrees,
        }
    }

    /// What it says, where it says anything.
    pub fn verdict(&self) -> Option<Ruling> {
        match &self.end {
            ShadowEnd::Ended(answer) => answer.settlement.ruling(),
            ShadowEnd::Due | ShadowEnd::Left | ShadowEnd::NotRun { .. } => None,
        }
    }

    /// In one line, for people.
    pub fn in_words(&self) -> String {
        let gate = self.gate.as_str();
        match (&self.end, self.verdict()) {
            (ShadowEnd::Due, _) => "it has not ended yet".to_owned(),
            (ShadowEnd::Left, _) => "its runner ended before it did".to_owned(),
            (ShadowEnd::NotRun { why }, _) => format!("no answer: {why}"),
            (ShadowEnd::Ended(_), Some(verdict)) if verdict == self.gate => {
                format!("{} as the gate does", said(verdict))
            }
            (ShadowEnd::Ended(_), Some(verdict)) => format!("DISAGREES: {}, and the gate says {gate}", said(verdict)),
            (ShadowEnd::Ended(answer), None) => format!("no verdict: {}", answer.settlement.detail()),
        }
    }
}

const fn said(verdict: Ruling) -> &'static str {
    match verdict {
        Ruling::Pass => "says pass",
        Ruling::Fail => "says fail",
    }
}
