//! The file's shape → [`Pipeline`]: values that belong together, then the laws of the graph.
//!
//! Everything is looked at in one go. Where a part could not be read, a stand-in takes its place so that the rest
//! can still be checked, and flaws that only come of the stand-in are left out: one mistake, one problem.

use std::collections::{BTreeMap, HashSet};

use super::code::Code;
use super::flaw::{self, Mark, Marks};
use super::outside;
use super::place::{Span, Spanned};
use super::problem::{Draft, Sink};
use super::producer;
use super::raw;
use super::read::List;
use super::scalar::shown;
use super::suggest;
use super::values::Text;
use super::words::{self, Fail, Pass, RESERVED};
use crate::domain::id::{BudgetName, Digest, PipelineName, StageName, SwitchName};
use crate::domain::pipeline::{
    Advance, Agent, Gate, InfraPolicy, KeyGate, Limits, OnFail, OnTimeout, Parts, Pipeline, Producer, SWITCH_PARTS,
    Stage,
};

/// Checks a file's values and its graph; `None` where the sink got a problem.
pub(super) fn pipeline(raw: raw::Pipeline, digest: Digest, sink: &mut Sink) -> Option<Pipeline> {
    let repository = raw.repository.and_then(|text| repository(text, sink));
    let artifacts = outside::artifacts_folder(raw.artifacts.as_ref(), sink);
    let budgets_unread = raw.unread.contains(&"budgets");
    let budgets = raw.budgets.map(|names| budgets(names.value, sink)).unwrap_or_default();
    let defaults = limits(&raw.defaults.map(|defaults| defaults.value).unwrap_or_default(), Limits::default());
    let stages = raw.stages?;
    let all: Vec<String> = stages.value.0.iter().map(|(name, _)| name.value.clone()).collect();
    let names = Known {
        stages: all.iter().cloned().collect(),
        in_order: all,
        budgets: budgets.keys().map(|name| name.as_str().to_owned()).collect(),
    };
    let mut marks = Marks { whole: stages.span, stages: Vec::with_capacity(names.in_order.len()), budgets_unread };
    let mut checked = Vec::with_capacity(stages.value.0.len());
    for (at, (name, stage)) in stages.value.0.into_iter().enumerate() {
        let mut mark = Mark::new(name.span);
        let name = stage_name(at, name, sink);
        checked.push(check_stage(name, stage.unwrap_or_default(), defaults, &names, &mut mark, sink));
        marks.stages.push(mark);
    }
    let parts = Parts {
        name: raw.name.map_or_else(|| stand_in(PipelineName::new("unnamed")), |name| name.value),
        repository,
        artifacts,
        budgets,
        stages: checked,
        digest,
    };
    match Pipeline::new(parts) {
        Ok(pipeline) => (sink.count() == 0).then_some(pipeline),
        Err(flaws) => {
            flaw::report(flaws, &marks, &names, sink);
            None
        }
    }
}

/// Names that a reference may mean, for "did you mean".
pub(super) struct Known {
    /// Stages, in the order of the file.
    pub(super) in_order: Vec<String>,
    /// The same, to be looked up.
    pub(super) stages: HashSet<String>,
    /// Budgets.
    pub(super) budgets: Vec<String>,
}

/// A value for a part that could not be read; never part of a pipeline that comes out.
fn stand_in<T, E>(made: Result<T, E>) -> T {
    made.unwrap_or_else(|_| unreachable!("a stand-in keeps its grammar"))
}

fn repository(text: Spanned<Text>, sink: &mut Sink) -> Option<String> {
    let written = &text.value.0;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if written.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && written.chars().all(fits)
        && written.len() <= 200
    {
        return Some(text.value.0);
    }
    let message = format!("`repository` is no name of a repository: `{}`", shown(written));
    let help = "letters, digits, `.`, `_`, `-` and `/`, a letter or digit first";
    sink.push(Draft::new(Code::BadName, text.span, message).help(help));
    None
}

/// A switch is named without the parts that its variables add: `NAME_ENABLED` would be read as `NAME_ENABLED_ENABLED`,
/// and the variable that was meant would do nothing.
fn switch_name(switch: Spanned<SwitchName>, sink: &mut Sink) -> SwitchName {
    let written = switch.value.to_string();
    if let Some(head) = SWITCH_PARTS.iter().find_map(|part| written.strip_suffix(part)) {
        let message = format!("`switch` names a variable of a switch, not the switch: `{written}`");
        sink.push(Draft::new(Code::BadName, switch.span, message).help(format!("did you mean `switch: {head}`?")));
    }
    switch.value
}

fn budgets(names: words::Names<super::values::Count<0, 1000>>, sink: &mut Sink) -> BTreeMap<BudgetName, u32> {
    let mut budgets = BTreeMap::new();
    for (name, count) in names.0 {
        match BudgetName::new(name.value) {
            Ok(budget) => drop(budgets.insert(budget, count.map_or(1, |count| count.value.0))),
            Err(error) => {
                let message = format!("`{}` is no {}", shown(&error.found), error.kind);
                let draft = Draft::new(Code::BadName, name.span, message);
                sink.push(draft.help(format!("allowed: {}", error.allowed)));
            }
        }
    }
    budgets
}

/// A stage's limits: its own, else the defaults'.
fn limits(own: &raw::Defaults, defaults: Limits) -> Limits {
    Limits {
        total: own.timeout.as_ref().map_or(defaults.total, |span| span.value.0),
        idle: own.idle_timeout.as_ref().map_or(defaults.idle, |span| span.value.0),
        start: own.start_timeout.as_ref().map_or(defaults.start, |span| span.value.0),
        grace: own.grace.as_ref().map_or(defaults.grace, |span| span.value.0),
    }
}

fn check_stage(
    name: StageName,
    raw: raw::Stage,
    defaults: Limits,
    names: &Known,
    mark: &mut Mark,
    sink: &mut Sink,
) -> Stage {
    mark.place(&raw);
    let producer = raw.producer.and_then(|raw| producer::producer(raw.value, sink));
    let fallback = raw.fallback.map(|raw| producer::producer(raw.value, sink));
    let shadow = raw.shadow.and_then(|raw| shadow(raw, fallback.as_ref(), mark.broken.fallback, sink));
    let gate = raw.gate.and_then(|raw| gate(raw.value));
    mark.broken.producer = producer.is_none();
    mark.broken.fallback |= matches!(fallback, Some(None));
    mark.broken.gate = gate.is_none();
    let (pass, fail) = raw.transitions.map(|map| (map.value.pass, map.value.fail)).unwrap_or_default();
    let pass = advance(pass, names, mark, sink);
    let fail = on_fail(fail, names, mark, sink);
    let standard = InfraPolicy::default();
    let infra = raw.infra.map(|map| map.value).unwrap_or_default();
    let own = raw::Defaults {
        timeout: raw.timeout,
        idle_timeout: raw.idle_timeout,
        start_timeout: raw.start_timeout,
        grace: raw.grace,
        unread: Vec::new(),
    };
    Stage {
        name,
        producer: producer.unwrap_or(Producer::Approval),
        switch: raw.switch.map(|switch| switch_name(switch, sink)),
        fallback: fallback.flatten(),
        shadow,
        artifact: raw.artifact.map(|path| path.value),
        gate: gate.unwrap_or(Gate::None),
        pass,
        fail,
        infra: InfraPolicy {
            retries: infra.retries.map_or(standard.retries, |count| count.value.0),
            backoff_base: infra.backoff.as_ref().map_or(standard.backoff_base, |backoff| backoff.value.base),
            backoff_cap: infra.backoff.as_ref().map_or(standard.backoff_cap, |backoff| backoff.value.cap),
        },
        limits: limits(&own, defaults),
        on_timeout: raw.on_timeout.map_or(OnTimeout::Hold, |word| word.value.0),
        serial: raw.serial.map(|serial| serial.value),
    }
}

/// The shadow: an agent of its own, or the one that is the fallback.
fn shadow(
    raw: Spanned<words::Shadow>,
    fallback: Option<&Option<Producer>>,
    fallback_unread: bool,
    sink: &mut Sink,
) -> Option<Agent> {
    match (raw.value, fallback) {
        (words::Shadow::Own(own), _) => producer::agent_of(*own, sink),
        (words::Shadow::Fallback, Some(Some(Producer::Agent(agent)))) => Some(agent.clone()),
        // What could not be read may have been one.
        (words::Shadow::Fallback, Some(None)) => None,
        (words::Shadow::Fallback, _) if fallback_unread => None,
        (words::Shadow::Fallback, _) => {
            let message = "`shadow: agent` names the agent of `fallback`, and there is none";
            let help = "write `shadow: { agent: { profile: …, prompt: … } }`, or make an agent the `fallback`";
            sink.push(Draft::new(Code::Shadow, raw.span, message).help(help));
            None
        }
    }
}

fn stage_name(at: usize, name: Spanned<String>, sink: &mut Sink) -> StageName {
    let substitute = || stand_in(StageName::new(format!("0-broken-{at}")));
    if RESERVED.contains(&name.value.as_str()) {
        let message = format!("no stage can be called `{}`: the word has a meaning of its own", name.value);
        sink.push(Draft::new(Code::ReservedName, name.span, message).help("choose another name"));
        return substitute();
    }
    StageName::new(name.value).unwrap_or_else(|error| {
        let message = format!("`{}` is no {}", shown(&error.found), error.kind);
        sink.push(Draft::new(Code::BadName, name.span, message).help(format!("allowed: {}", error.allowed)));
        substitute()
    })
}

fn gate(raw: words::Gate) -> Option<Gate> {
    let raw = match raw {
        words::Gate::BuiltIn(gate) => return Some(gate),
        words::Gate::Key(raw) => raw,
    };
    let words = |list: Spanned<List<Text>>| {
        let words = list.value.items.into_iter().map(|word| word.value.0).collect();
        list.value.whole.then_some(words)
    };
    Some(Gate::Key(KeyGate { key: raw.key?.value.0, pass: words(raw.pass?)?, fail: words(raw.fail?)? }))
}

fn advance(raw: Option<Spanned<Pass>>, names: &Known, mark: &mut Mark, sink: &mut Sink) -> Advance {
    mark.pass = raw.as_ref().map_or(mark.stage, |pass| pass.span);
    match raw {
        Some(pass) if pass.value.0 == "done" => return Advance::Done,
        Some(pass) => match StageName::new(pass.value.0) {
            Ok(name) => return Advance::To(name),
            // A stage with that impossible name may stand in the file; then its name is the problem.
            Err(error) if names.stages.contains(&error.found) => {}
            Err(error) => flaw::unknown_stage(&error.found, pass.span, names, sink),
        },
        None => {}
    }
    mark.broken.edge = true;
    Advance::Done
}

fn on_fail(raw: Option<Spanned<Fail>>, names: &Known, mark: &mut Mark, sink: &mut Sink) -> OnFail {
    let Some(raw) = raw else {
        mark.broken.edge = true;
        return OnFail::Hold;
    };
    mark.fail = raw.span;
    match raw.value {
        Fail::Hold => OnFail::Hold,
        Fail::Failed => OnFail::Failed,
        Fail::Other(word) => {
            fail_word(&word, raw.span, names, sink);
            mark.broken.edge = true;
            OnFail::Hold
        }
        Fail::Rollback(rollback) => {
            mark.charge = rollback.charge.as_ref().map_or(raw.span, |charge| charge.span);
            mark.broken.charge = rollback.charge.is_none();
            let charge = rollback.charge.map_or_else(|| stand_in(BudgetName::new("unpaid")), |charge| charge.value);
            let Some(to) = rollback.to else {
                mark.broken.edge = true;
                return OnFail::Hold;
            };
            mark.fail = to.span;
            if RESERVED.contains(&to.value.as_str()) {
                rollback_to_word(to.value.as_str(), to.span, sink);
                mark.broken.edge = true;
                return OnFail::Hold;
            }
            OnFail::Rollback { to: to.value, charge }
        }
    }
}

/// `fail: WORD` with a word that is neither `hold` nor `failed`.
fn fail_word(word: &str, span: Span, names: &Known, sink: &mut Sink) {
    let is_stage = names.stages.contains(word);
    if is_stage || word == "done" {
        let message = format!("a fail cannot lead to `{word}`: it never leads forward");
        let help = if is_stage {
            let budget = names.budgets.first().map_or("BUDGET", String::as_str);
            format!(
                "to go back, charge a budget: `fail: {{ rollback: {word}, charge: {budget} }}`; else `hold` or `failed`"
            )
        } else {
            "write `hold`, `failed`, or `{ rollback: STAGE, charge: BUDGET }`".to_owned()
        };
        sink.push(Draft::new(Code::FailAdvances, span, message).help(help));
        return;
    }
    let help = suggest::did_you_mean(
        word,
        ["hold", "failed"].into_iter().chain(names.in_order.iter().map(String::as_str)),
        sink,
    )
    .unwrap_or_else(|| "write `hold`, `failed`, or `{ rollback: STAGE, charge: BUDGET }`".to_owned());
    let message = format!("`{}` is nothing a fail can lead to", shown(word));
    sink.push(Draft::new(Code::UnknownWord, span, message).help(help));
}

/// `rollback: done` and the like.
fn rollback_to_word(word: &str, span: Span, sink: &mut Sink) {
    let draft = match word {
        "done" => Draft::new(Code::FailAdvances, span, "a rollback cannot lead to `done`: it leads back")
            .help("name the stage, or the one before it"),
        other => Draft::new(Code::UnknownStage, span, format!("`{other}` is no stage that a rollback could lead to"))
            .help(format!("write `fail: {}`", if other == "failed" { "failed" } else { "hold" })),
    };
    sink.push(draft);
}
