//! A finished run, or a classified command, as every report format tells it. All outside text in it is clean.

use std::time::Duration;

use serde_json::Value;

use crate::domain::decision::Settlement;
use crate::domain::evidence::{Evidence, ReportFound};
use crate::domain::outcome::{Conclusion, Outcome, Ruling};
use crate::store::{AttemptRecord, RunRecord};

use super::super::view;
use super::super::waiting::Waiting;
use super::text;

/// What is told.
#[derive(Debug)]
pub(in crate::cli) struct Told {
    /// Name of the pipeline, or what stands for it.
    pub(super) pipeline: String,
    /// The first line of the answer.
    pub(super) heading: String,
    /// Every attempt, in order.
    pub(super) cases: Vec<Case>,
    /// Why the task waits.
    pub(super) hold: Option<Hold>,
    /// Why orch itself could not go on.
    pub(super) broken: Option<String>,
    /// Names and values that say which run it is.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The same as a document.
    pub(super) document: Value,
}

/// One attempt of a stage.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) stage: String,
    /// Visit and number; `None` where nothing was started.
    pub(super) place: Option<(u32, u32)>,
    pub(super) finding: Finding,
    /// The word of what it came to, or of the reason.
    pub(super) reason: String,
    /// What was seen, on one line.
    pub(super) detail: String,
    /// What was done about it.
    pub(super) next: Option<String>,
    pub(super) elapsed: Option<Duration>,
    /// First failing tests, as reports name them.
    pub(super) failing: Vec<String>,
    /// Whether it is the last of its stage, the one that stands.
    pub(super) stands: bool,
}

/// What a report may say of an attempt. Only a verdict fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The gate said pass.
    Passed,
    /// The gate said fail.
    Failed,
    /// No verdict: held, put off, or stopped.
    NoVerdict,
    /// orch broke before it was decided.
    Undecided,
}

impl Finding {
    /// The word for people.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NoVerdict => "no verdict",
            Self::Undecided => "undecided",
        }
    }

    const fn of(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Passed => Self::Passed,
            Settlement::Failed(_) => Self::Failed,
            Settlement::Unreadable(_)
            | Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_)
            | Settlement::Cancelled(_) => Self::NoVerdict,
        }
    }
}

/// Why a task waits, and what ends it.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) stage: String,
    /// Its state, and what kind of hold it is.
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) hint: String,
}

impl Told {
    /// A run, as the store has it.
    pub(in crate::cli) fn of_run(heading: &str, run: &RunRecord, attempts: &[AttemptRecord], document: Value) -> Self {
        let mut cases: Vec<Case> = attempts.iter().map(Case::of).collect();
        mark_standing(&mut cases);
        Self {
            pipeline: run.start.pipeline.to_string(),
            heading: text::line(heading),
            cases,
            hold: None,
            broken: None,
            facts: vec![
                ("task", run.task.to_string()),
                ("run", run.start.run.to_string()),
                ("commit", text::line(&run.start.commit)),
            ],
            document,
        }
    }

    /// Adds why the task waits. A stage that waits before anything of it was started has a case too.
    pub(in crate::cli) fn waits(mut self, waiting: Option<&Waiting<'_>>) -> Self {
        self.hold = waiting.map(|waiting| Hold {
            stage: waiting.stage().map_or_else(|| "the first stage".to_owned(), ToString::to_string),
            kind: if waiting.status() == waiting.kind() {
                waiting.kind().to_owned()
            } else {
                format!("{} ({})", waiting.status(), waiting.kind())
            },
            text: text::line(&waiting.text()),
            hint: format!("to let it go on: `{}`", text::line(&waiting.way_out())),
        });
        if let Some(hold) = &self.hold
            && !self.cases.iter().any(|case| case.stage == hold.stage)
        {
            self.cases.push(Case::held(hold));
            mark_standing(&mut self.cases);
        }
        self
    }

    /// A run that orch could not go on with, or not begin.
    pub(in crate::cli) fn broken(mut self, message: &str) -> Self {
        self.heading = text::line(&format!("orch could not go on: {message}"));
        self.broken = Some(text::line(message));
        self.set("error", Value::from(message));
        self
    }

    /// Nothing of a pipeline was run.
    pub(in crate::cli) fn nothing(pipeline: &str, heading: &str, document: Value) -> Self {
        Self {
            pipeline: text::line(pipeline),
            heading: text::line(heading),
            cases: Vec::new(),
            hold: None,
            broken: None,
            facts: Vec::new(),
            document,
        }
    }

    /// A classified command. Its arguments may be secrets: it is called by its program alone. Without an outcome it
    /// was cancelled.
    pub(in crate::cli) fn of_command(
        program: Option<&str>,
        evidence: &Evidence,
        outcome: Option<&Outcome>,
        elapsed: Option<Duration>,
        document: Value,
    ) -> Self {
        let name = program.and_then(|program| program.rsplit('/').next()).unwrap_or("recorded end");
        let (finding, reason) = match outcome.map(|outcome| (outcome.conclusion, outcome.reason.as_str())) {
            Some((Conclusion::SuiteRan(Ruling::Pass), reason)) => (Finding::Passed, reason.to_owned()),
            Some((Conclusion::SuiteRan(Ruling::Fail), reason)) => (Finding::Failed, reason.to_owned()),
            Some((class @ (Conclusion::AgentRan | Conclusion::PermanentEnv | Conclusion::TransientInfra), reason)) => {
                (Finding::NoVerdict, format!("{}, {reason}", class.class()))
            }
            None => (Finding::NoVerdict, "cancelled".to_owned()),
        };
        let detail = outcome.map_or("it was stopped on request", |outcome| &outcome.proof.detail);
        let case = Case {
            stage: text::line(name),
            place: None,
            finding,
            reason,
            detail: text::line(detail),
            next: None,
            elapsed,
            failing: failing(evidence),
            stands: true,
        };
        Self {
            pipeline: "orch classify".to_owned(),
            heading: format!("{}: {} ({})", case.stage, finding.as_str(), case.reason),
            cases: vec![case],
            hold: None,
            broken: None,
            facts: Vec::new(),
            document,
        }
    }

    /// Adds a value to the document.
    pub(in crate::cli) fn set(&mut self, name: &str, value: Value) {
        if let Value::Object(fields) = &mut self.document {
            fields.insert(name.to_owned(), value);
        }
    }

    /// The same as a document.
    pub(in crate::cli) const fn document(&self) -> &Value {
        &self.document
    }

    /// The attempts that stand: one a stage.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.stands)
    }

    /// The hold, where it is of this case's stage.
    pub(super) fn hold_of(&self, case: &Case) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.stage == case.stage)
    }
}

impl Case {
    fn of(attempt: &AttemptRecord) -> Self {
        let intent = &attempt.intent;
        let elapsed = attempt.finished.as_ref().map(|finished| finished.record.elapsed);
        let ended = attempt.finished.as_ref().map(|finished| view::exit_in_words(&finished.record));
        let stage = intent.stage.to_string();
        let place = Some((intent.visit.get(), intent.number.get()));
        let Some(decided) = attempt.decided.as_deref() else {
            return Self {
                stage,
                place,
                finding: Finding::Undecided,
                reason: "undecided".to_owned(),
                detail: text::line(&ended.unwrap_or_else(|| "it may still be under way".to_owned())),
                next: None,
                elapsed,
                failing: Vec::new(),
                stands: false,
            };
        };
        let finding = Finding::of(&decided.settlement);
        let cause = decided.outcome.as_ref().map(|outcome| outcome.reason.as_str());
        let reason = match (finding, cause) {
            (Finding::Passed | Finding::Failed, Some(cause)) => cause.to_owned(),
            (Finding::NoVerdict, Some(cause)) if cause != decided.settlement.as_str() => {
                format!("{}, {cause}", decided.settlement.as_str())
            }
            (Finding::Passed | Finding::Failed | Finding::NoVerdict | Finding::Undecided, _) => {
                decided.settlement.as_str().to_owned()
            }
        };
        let seen = decided.outcome.as_ref().map(|outcome| outcome.proof.detail.clone());
        let detail = match &decided.settlement {
            Settlement::Unreadable(unreadable) => format!("the artifact gives no verdict: {unreadable}"),
            Settlement::Passed
            | Settlement::Failed(_)
            | Settlement::TimedOut(..)
            | Settlement::PermanentEnv(_)
            | Settlement::TransientInfra(_)
            | Settlement::Cancelled(_) => seen.or(ended).unwrap_or_default(),
        };
        Self {
            stage,
            place,
            finding,
            reason,
            detail: text::line(&detail),
            next: Some(text::line(&view::decision(&decided.decision))),
            elapsed,
            failing: failing(&decided.evidence),
            stands: false,
        }
    }

    /// A stage that is held before anything of it was started.
    fn held(hold: &Hold) -> Self {
        Self {
            stage: hold.stage.clone(),
            place: None,
            finding: Finding::NoVerdict,
            reason: hold.kind.clone(),
            detail: hold.text.clone(),
            next: None,
            elapsed: None,
            failing: Vec::new(),
            stands: false,
        }
    }

    /// Its stage, and which attempt where it is not the first.
    pub(super) fn title(&self) -> String {
        match self.place {
            None | Some((1, 1)) => self.stage.clone(),
            Some((visit, number)) => format!("{} (visit {visit}, attempt {number})", self.stage),
        }
    }

    /// How long it took, for people.
    pub(super) fn took(&self) -> String {
        self.elapsed.map_or_else(String::new, |elapsed| format!("{:.1} s", elapsed.as_secs_f64()))
    }
}

fn mark_standing(cases: &mut [Case]) {
    let mut seen = std::collections::BTreeSet::new();
    for case in cases.iter_mut().rev() {
        case.stands = seen.insert(case.stage.clone());
    }
}

fn failing(evidence: &Evidence) -> Vec<String> {
    let names = evidence.reports.iter().flat_map(|report| match &report.found {
        ReportFound::Read { failing, .. } => failing.as_slice(),
        ReportFound::Missing
        | ReportFound::Stale
        | ReportFound::Broken { .. }
        | ReportFound::LeftBehind
        | ReportFound::Removed => &[],
    });
    names.map(|name| text::line(name)).collect()
}
