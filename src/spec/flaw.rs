//! Broken laws of the graph as problems: where each stands in the file, what it means, what to do.

use super::code::Code;
use super::place::Span;
use super::problem::{Draft, Sink};
use super::raw;
use super::scalar::shown;
use super::suggest;
use super::validate::Known;
use crate::domain::id::StageName;
use crate::domain::pipeline::{Flaw, FlawKind, STAGES_MAX, Site};

/// Most stages that one line of help names.
const NAMED_MAX: usize = 8;

/// Where the parts of each stage stand.
#[derive(Debug)]
pub(super) struct Marks {
    /// The value of `stages`.
    pub(super) whole: Span,
    /// Each stage.
    pub(super) stages: Vec<Mark>,
    /// The budgets could not be read, so that none can be called unknown.
    pub(super) budgets_unread: bool,
}

/// Where the parts of one stage stand; the stage's name for parts that it does not have.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Its name.
    pub(super) stage: Span,
    producer: Span,
    fallback: Span,
    shadow: Span,
    artifact: Span,
    gate: Span,
    /// Where its pass leads.
    pub(super) pass: Span,
    /// Where its fail leads.
    pub(super) fail: Span,
    /// Who pays for that.
    pub(super) charge: Span,
    /// Parts that are stand-ins.
    pub(super) broken: Broken,
}

/// Parts of a stage that could not be read, so that nothing follows from them.
#[derive(Debug, Default, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each part is broken by itself")]
pub(super) struct Broken {
    /// The producer.
    pub(super) producer: bool,
    /// The fallback.
    pub(super) fallback: bool,
    /// The switch.
    pub(super) switch: bool,
    /// The gate.
    pub(super) gate: bool,
    /// The artifact.
    pub(super) artifact: bool,
    /// A transition.
    pub(super) edge: bool,
    /// The budget of a rollback.
    pub(super) charge: bool,
}

impl Mark {
    /// Every part at the stage's name.
    pub(super) fn new(stage: Span) -> Self {
        Self {
            stage,
            producer: stage,
            fallback: stage,
            shadow: stage,
            artifact: stage,
            gate: stage,
            pass: stage,
            fail: stage,
            charge: stage,
            broken: Broken::default(),
        }
    }

    /// Notes where the parts of a stage stand, and which of them could not be read.
    pub(super) fn place(&mut self, raw: &raw::Stage) {
        let or_stage = |span: Option<Span>| span.unwrap_or(self.stage);
        self.producer = or_stage(raw.producer.as_ref().map(|part| part.span));
        self.fallback = or_stage(raw.fallback.as_ref().map(|part| part.span));
        self.shadow = or_stage(raw.shadow.as_ref().map(|part| part.span));
        self.artifact = or_stage(raw.artifact.as_ref().map(|part| part.span));
        self.gate = or_stage(raw.gate.as_ref().map(|part| part.span));
        self.broken.fallback = raw.unread.contains(&"fallback");
        self.broken.switch = raw.unread.contains(&"switch");
        self.broken.artifact = raw.unread.contains(&"artifact");
    }
}

impl Marks {
    fn of(&self, site: Site) -> (Span, Option<&Mark>) {
        let pick = |at: usize, part: fn(&Mark) -> Span| {
            let mark = self.stages.get(at);
            (mark.map_or(self.whole, part), mark)
        };
        match site {
            Site::Pipeline => (Span { end: self.whole.start, ..self.whole }, None),
            Site::Stage(at) => pick(at, |mark| mark.stage),
            Site::Artifact(at) => pick(at, |mark| mark.artifact),
            Site::Gate(at) => pick(at, |mark| mark.gate),
            Site::Pass(at) => pick(at, |mark| mark.pass),
            Site::Fail(at) => pick(at, |mark| mark.fail),
            Site::Charge(at) => pick(at, |mark| mark.charge),
            Site::Fallback(at) => pick(at, |mark| mark.fallback),
            Site::Shadow(at) => pick(at, |mark| mark.shadow),
            Site::Producer(at) => pick(at, |mark| mark.producer),
        }
    }

    fn artifact(&self, at: usize) -> Span {
        self.of(Site::Artifact(at)).0
    }
}

/// Reports flaws of the graph, without those that only come of a stand-in.
pub(super) fn report(flaws: Vec<Flaw>, marks: &Marks, names: &Known, sink: &mut Sink) {
    let edges_known = marks.stages.iter().all(|mark| !mark.broken.edge);
    for flaw in flaws {
        let (span, mark) = marks.of(flaw.site);
        let broken = mark.map(|mark| mark.broken).unwrap_or_default();
        let consequence = match (&flaw.kind, flaw.site) {
            (FlawKind::GateDoesNotFit { .. }, Site::Fallback(_)) => broken.fallback || broken.gate,
            (FlawKind::GateDoesNotFit { .. }, Site::Shadow(_)) | (FlawKind::BadKeyGate(_), _) => broken.gate,
            (FlawKind::ShadowWithoutRunner { .. }, _) => broken.producer,
            (FlawKind::GateDoesNotFit { .. }, _) => broken.producer || broken.gate,
            (FlawKind::GateWithoutArtifact | FlawKind::ArtifactWithoutGate, _) => broken.artifact || broken.gate,
            (FlawKind::UnknownTarget(name), _) => names.stages.contains(name.as_str()),
            (FlawKind::UnknownBudget(_), _) => broken.charge || marks.budgets_unread,
            (FlawKind::Unreachable | FlawKind::RollbackForward(_), _) => !edges_known,
            (FlawKind::FallbackWithoutSwitch, _) => broken.switch,
            (
                FlawKind::NoStages
                | FlawKind::TooManyStages(_)
                | FlawKind::DuplicateStage(_)
                | FlawKind::DuplicateArtifact(_)
                | FlawKind::ArtifactBelowArtifact(_)
                | FlawKind::UnboundedLoop(_),
                _,
            ) => false,
        };
        if !consequence {
            one(flaw, span, marks, names, sink);
        }
    }
}

fn one(flaw: Flaw, span: Span, marks: &Marks, names: &Known, sink: &mut Sink) {
    let site_name = |at: usize| names.in_order.get(at).map(|name| shown(name)).unwrap_or_default();
    let draft = match flaw.kind {
        FlawKind::NoStages => Draft::new(Code::NoStages, span, "the pipeline has no stages")
            .help("`stages:` is a map from names to stages; docs/reference/pipeline.md has one to start from"),
        FlawKind::TooManyStages(count) => Draft::new(
            Code::TooManyStages,
            span,
            format!("the pipeline has {count} stages; at most {STAGES_MAX} are read"),
        ),
        FlawKind::DuplicateStage(first) => {
            let (first_span, _) = marks.of(Site::Stage(first));
            Draft::new(Code::DuplicateStage, span, "two stages share a name").related(first_span, "the first one")
        }
        FlawKind::DuplicateArtifact(first) => {
            let message = format!("this artifact is already written by `{}`", site_name(first));
            Draft::new(Code::DuplicateArtifact, span, message)
                .related(marks.artifact(first), "the same file, also where case does not count")
                .help("give each stage a file of its own")
        }
        FlawKind::ArtifactBelowArtifact(file) => {
            let message = format!("the folder of this artifact is the artifact of `{}`", site_name(file));
            Draft::new(Code::DuplicateArtifact, span, message)
                .related(marks.artifact(file), "a file here, a folder there")
                .help("give each stage a file of its own")
        }
        FlawKind::UnknownTarget(name) => return unknown_stage(name.as_str(), span, names, sink),
        FlawKind::UnknownBudget(name) => {
            let near = suggest::did_you_mean(name.as_str(), names.budgets.iter().map(String::as_str), sink);
            let help = near.unwrap_or_else(|| format!("declare it: `budgets: {{ {name}: 3 }}`"));
            Draft::new(Code::UnknownBudget, span, format!("the budget `{name}` is not declared")).help(help)
        }
        FlawKind::Unreachable => {
            let first = site_name(0);
            Draft::new(Code::Unreachable, span, "no task can reach this stage").help(format!(
                "a task starts at `{first}`, the first in the file; lead a `pass` here, or leave the stage out"
            ))
        }
        FlawKind::UnboundedLoop(cycle) => {
            let mut path: Vec<&str> = cycle.iter().take(NAMED_MAX).map(StageName::as_str).collect();
            path.push(if cycle.len() > NAMED_MAX { "…" } else { path.first().copied().unwrap_or_default() });
            let message = format!("these passes go round in a circle that nothing bounds: {}", path.join(" → "));
            let help = "let one of them pass to `done`; only a rollback with a `charge` may lead back";
            Draft::new(Code::UnboundedLoop, span, message).help(help)
        }
        FlawKind::RollbackForward(name) => {
            let message = format!("the rollback leads forward: passes of `{name}` do not lead back here");
            let help = "roll back to a stage that comes before this one, or to this one itself";
            Draft::new(Code::RollbackForward, span, message).help(help)
        }
        FlawKind::GateWithoutArtifact => {
            Draft::new(Code::GateWithoutArtifact, span, "the gate has no artifact to read")
                .help("name the file: `artifact: 13-test-report.md`")
        }
        FlawKind::ArtifactWithoutGate => {
            Draft::new(Code::ArtifactWithoutGate, span, "nothing reads this artifact: the stage says `gate: none`")
                .help("leave the artifact out, or name the gate that reads it")
        }
        FlawKind::GateDoesNotFit { gate, producer } => {
            let whose = if matches!(flaw.site, Site::Fallback(_)) {
                "the fallback"
            } else if matches!(flaw.site, Site::Shadow(_)) {
                "the shadow"
            } else {
                "the producer"
            };
            let message = format!("the gate `{gate}` cannot read what {whose}, `{producer}`, leaves");
            Draft::new(Code::GateDoesNotFit, span, message).help(fitting(producer))
        }
        FlawKind::FallbackWithoutSwitch => {
            Draft::new(Code::FallbackWithoutSwitch, span, "the fallback can never run: the stage has no `switch`")
                .help("name the switch: `switch: ORCH_TEST_RUNNER`; a fault never is a reason to fall back")
        }
        FlawKind::ShadowWithoutRunner { producer } => {
            let message = format!("a shadow stands beside a runner, and the producer is `{producer}`");
            Draft::new(Code::Shadow, span, message)
                .help("make the runner the producer and the agent its `shadow`; the gate reads the producer's artifact")
        }
        FlawKind::BadKeyGate(what) => Draft::new(Code::GateWords, span, what)
            .help("a gate is `{ key: status, pass: [READY], fail: [BLOCKED] }`; a word has one meaning"),
    };
    sink.push(draft);
}

fn fitting(producer: &str) -> &'static str {
    match producer {
        "agent" => "an agent is read by `tests-passed`, `staging-status`, or a declared gate",
        "test-runner" => "a test-runner is read by `tests-passed`, a declared gate, or `none`",
        "staging-runner" => "a staging-runner is read by `staging-status`, a declared gate, or `none`",
        "approval" => "a person's word is read by `approved` alone, and never stands for a test gate",
        _ => "a command is read by `tests-passed`, `staging-status`, a declared gate, or `none`",
    }
}

/// Reports a transition to a stage that is not there.
pub(super) fn unknown_stage(name: &str, span: Span, names: &Known, sink: &mut Sink) {
    let all = || names.in_order.iter().map(String::as_str);
    let near = suggest::did_you_mean(name, all().chain(["done"]), sink);
    let known =
        || (names.in_order.len() <= NAMED_MAX).then(|| format!("known: {}", suggest::all_of(all().chain(["done"]))));
    let message = format!("no stage is called `{}`", shown(name));
    sink.push(Draft::new(Code::UnknownStage, span, message).maybe_help(near.or_else(known)));
}
