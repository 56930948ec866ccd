//! Values that are a word or a map: producer, gate, what a pass and a fail lead to, and the two plain maps from
//! names to values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::code::Code;
use super::place::{Span, Spanned};
use super::problem::{Draft, Sink};
use super::raw::{Agent, KeyGate, Rollback, Stage, Suite};
use super::read::{FromNode, Mapping as _, name, scalar, spanned, text, unknown_key, wrong_shape};
use super::scalar::shown;
use super::suggest;
use super::tree::{Kind, NodeRef};
use super::values::inline_schema;
use crate::domain::pipeline::{ProducerKind, STAGES_MAX};

/// Names that a transition gives a meaning of its own, and that no stage may have.
pub(super) const RESERVED: [&str; 4] = ["done", "failed", "hold", "none"];

/// What does a stage's work; exactly one of its kinds.
#[derive(Debug)]
pub(super) enum Producer {
    /// An LLM command line.
    Agent(Box<Agent>),
    /// A suite: `test-runner`, `staging-runner` or `command`.
    Suite(ProducerKind, Box<Suite>),
    /// A person.
    Approval,
}

const PRODUCERS: [ProducerKind; 5] = [
    ProducerKind::Agent,
    ProducerKind::TestRunner,
    ProducerKind::StagingRunner,
    ProducerKind::Command,
    ProducerKind::Approval,
];

impl FromNode for Producer {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        let kinds = || PRODUCERS.iter().map(|kind| kind.as_str());
        if !matches!(node.kind(), Kind::Map) {
            wrong_shape(node, format_args!("a map with one of {}", suggest::one_of(kinds())), sink);
            return None;
        }
        let mut found: Option<(&str, Span, Option<Self>)> = None;
        for (key, value) in node.entries() {
            let Some(kind) = PRODUCERS.into_iter().find(|kind| kind.as_str() == key.text) else {
                unknown_producer(key.text, key.span, sink);
                continue;
            };
            match &found {
                Some((first, span, _)) => {
                    let message = format!("`{}` is a second producer; a stage has one", key.text);
                    let draft = Draft::new(Code::OneProducer, key.span, message);
                    let help = "give the work of the second to a stage of its own, or make it the `fallback`";
                    sink.push(draft.related(*span, format!("`{first}` is the first")).help(help));
                }
                None => found = Some((kind.as_str(), key.span, read_kind(kind, value, sink))),
            }
        }
        if node.is_empty() {
            let message = format!("{} names no producer", name(node));
            let help = format!("name one of {}", suggest::one_of(kinds()));
            sink.push(Draft::new(Code::OneProducer, node.label(), message).help(help));
        }
        found.and_then(|(_, _, producer)| producer)
    }
}

fn unknown_producer(key: &str, span: Span, sink: &mut Sink) {
    let kinds = || PRODUCERS.iter().map(|kind| kind.as_str());
    let help = suggest::did_you_mean(key, kinds(), sink).unwrap_or_else(|| {
        if Suite::KEYS.contains(&key) || Agent::KEYS.contains(&key) {
            format!("`{key}` belongs one level deeper, into a producer such as `test-runner:`")
        } else if Stage::KEYS.contains(&key) {
            format!("`{key}` is a key of the stage; indent it less")
        } else {
            format!("known: {}", suggest::all_of(kinds()))
        }
    });
    sink.push(Draft::new(Code::OneProducer, span, format!("`{}` is no producer", shown(key))).help(help));
}

fn read_kind(kind: ProducerKind, value: NodeRef<'_>, sink: &mut Sink) -> Option<Producer> {
    match kind {
        ProducerKind::Agent => Agent::read(value, sink).map(|agent| Producer::Agent(Box::new(agent))),
        ProducerKind::TestRunner | ProducerKind::StagingRunner | ProducerKind::Command => {
            Suite::read(kind, value, sink).map(|suite| Producer::Suite(kind, Box::new(suite)))
        }
        ProducerKind::Approval => {
            if !matches!(value.kind(), Kind::Map) {
                wrong_shape(value, "an empty map: `approval: {}`", sink);
                return None;
            }
            for (key, _) in value.entries() {
                let _: Option<&str> = unknown_key("an approval", &[], key.text, key.span, sink);
            }
            Some(Producer::Approval)
        }
    }
}

impl JsonSchema for Producer {
    fn schema_name() -> Cow<'static, str> {
        "Producer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let agent = generator.subschema_for::<Agent>();
        json_schema!({
            "type": "object",
            "description": "What does a stage's work; exactly one of its kinds.",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
            "properties": {
                "agent": agent,
                "test-runner": Suite::schema(ProducerKind::TestRunner, generator),
                "staging-runner": Suite::schema(ProducerKind::StagingRunner, generator),
                "command": Suite::schema(ProducerKind::Command, generator),
                "approval": {
                    "type": "object", "additionalProperties": false,
                    "description": "A person's word; no process. The stage is held until `orch hold release`.",
                },
            },
        })
    }
}

/// The agent that does a runner's work beside it: the stage's fallback, or one of its own.
#[derive(Debug)]
pub(super) enum Shadow {
    /// `agent`: the one that is the fallback.
    Fallback,
    /// This one.
    Own(Box<Agent>),
}

impl FromNode for Shadow {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        const WANTED: &str = "`agent`, which is the agent of `fallback`, or `{ agent: { profile: …, prompt: … } }`";
        if !matches!(node.kind(), Kind::Map) {
            let word = text(node, WANTED, sink)?;
            if word != ProducerKind::Agent.as_str() {
                only_agents(word, node.span(), sink);
                return None;
            }
            return Some(Self::Fallback);
        }
        let mut own = None;
        for (key, value) in node.entries() {
            if key.text == ProducerKind::Agent.as_str() {
                own = Agent::read(value, sink).map(|agent| Self::Own(Box::new(agent)));
            } else {
                only_agents(key.text, key.span, sink);
            }
        }
        if node.is_empty() {
            wrong_shape(node, WANTED, sink);
        }
        own
    }
}

fn only_agents(word: &str, span: Span, sink: &mut Sink) {
    let message = format!("`{}` cannot be a shadow; only an agent can", shown(word));
    let help = "write `shadow: agent` where the `fallback` is an agent, or `shadow: { agent: { … } }`";
    sink.push(Draft::new(Code::Shadow, span, message).help(help));
}

impl JsonSchema for Shadow {
    inline_schema!("Shadow", generator => {
        let agent = generator.subschema_for::<Agent>();
        json_schema!({ "oneOf": [
            { "enum": ["agent"] },
            { "type": "object", "required": ["agent"], "additionalProperties": false, "properties": { "agent": agent } },
        ] })
    });
}

/// What reads a stage's artifact: a word, or a key with its words.
#[derive(Debug)]
pub(super) enum Gate {
    /// `none` or a built-in gate.
    BuiltIn(crate::domain::pipeline::Gate),
    /// A declared gate.
    Key(KeyGate),
}

fn built_in_gates() -> [crate::domain::pipeline::Gate; 4] {
    use crate::domain::pipeline::Gate;
    [Gate::TestsPassed, Gate::StagingStatus, Gate::Approved, Gate::None]
}

impl FromNode for Gate {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if matches!(node.kind(), Kind::Map) {
            return KeyGate::read(node, sink).map(Self::Key);
        }
        let gates = built_in_gates();
        let words = || gates.iter().map(crate::domain::pipeline::Gate::as_str);
        if node.is_null() {
            let draft = Draft::new(Code::MissingGate, node.label(), "`gate` has no value");
            sink.push(draft.help("say `gate: none` where a deterministic producer's own end decides"));
            return None;
        }
        let written = scalar(node, "the name of a gate, or `{ key: …, pass: […], fail: […] }`", sink)?;
        if let Some(gate) = gates.iter().find(|gate| gate.as_str() == written) {
            return Some(Self::BuiltIn(gate.clone()));
        }
        let known = || {
            format!(
                "known: {}; or declare one: `{{ key: status, pass: [READY], fail: [BLOCKED] }}`",
                suggest::all_of(words())
            )
        };
        let help = suggest::did_you_mean(written, words(), sink).unwrap_or_else(known);
        let message = format!("`{}` is no gate", shown(written));
        sink.push(Draft::new(Code::UnknownGate, node.span(), message).help(help));
        None
    }
}

impl JsonSchema for Gate {
    inline_schema!("Gate", generator => {
        let words: Vec<String> = built_in_gates().iter().map(|gate| gate.as_str().to_owned()).collect();
        let key = generator.subschema_for::<KeyGate>();
        json_schema!({ "oneOf": [{ "enum": words }, key] })
    });
}

/// Where a pass leads: a word, checked against the stages later.
#[derive(Debug)]
pub(super) struct Pass(pub(super) String);

impl FromNode for Pass {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if matches!(node.kind(), Kind::Map) {
            let draft =
                Draft::new(Code::PassDoesNotAdvance, node.first_line(), "`pass` is a map; a pass only leads forward");
            sink.push(draft.help("name the next stage, or `done`"));
            return None;
        }
        let target = text(node, "the name of a stage, or `done`", sink)?;
        if matches!(target, "hold" | "failed" | "none") {
            let message = format!("a pass cannot lead to `{target}`; it leads forward");
            let help = "name the next stage, or `done`; for a person's decision add a stage with `approval: {}`";
            sink.push(Draft::new(Code::PassDoesNotAdvance, node.span(), message).help(help));
            return None;
        }
        Some(Self(target.to_owned()))
    }
}

impl JsonSchema for Pass {
    inline_schema!("Pass", _generator => json_schema!({
        "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "not": { "enum": ["failed", "hold", "none"] },
    }));
}

/// What a fail leads to: a word, or a rollback with its charge.
#[derive(Debug)]
pub(super) enum Fail {
    /// A person decides.
    Hold,
    /// The task ends.
    Failed,
    /// Any other word: `done`, a stage, or a misspelling; none of them is allowed.
    Other(String),
    /// Back to an earlier stage.
    Rollback(Rollback),
}

impl FromNode for Fail {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if matches!(node.kind(), Kind::Map) {
            return Rollback::read(node, sink).map(Self::Rollback);
        }
        let word = text(node, "`hold`, `failed`, or `{ rollback: STAGE, charge: BUDGET }`", sink)?;
        Some(match word {
            "hold" => Self::Hold,
            "failed" => Self::Failed,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl JsonSchema for Fail {
    inline_schema!("Fail", generator => {
        let rollback = generator.subschema_for::<Rollback>();
        json_schema!({ "oneOf": [{ "enum": ["hold", "failed"] }, rollback] })
    });
}

/// The stages, in the order of the file. A stage that could not be read keeps its name.
#[derive(Debug, Default)]
pub(super) struct Stages(pub(super) Vec<(Spanned<String>, Option<Stage>)>);

impl FromNode for Stages {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if node.is_null() {
            return Some(Self::default());
        }
        if !matches!(node.kind(), Kind::Map) {
            wrong_shape(node, "a map from names to stages: `stages: { testing: { … } }`", sink);
            return None;
        }
        let entry = |(key, value): (super::tree::Spanning<'_>, NodeRef<'_>)| {
            (Spanned { value: key.text.to_owned(), span: key.span }, Stage::read(value, sink))
        };
        Some(Self(node.entries().map(entry).collect()))
    }
}

impl JsonSchema for Stages {
    fn schema_name() -> Cow<'static, str> {
        "Stages".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let stage = generator.subschema_for::<Stage>();
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "maxProperties": STAGES_MAX,
            "propertyNames": { "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "not": { "enum": RESERVED } },
            "additionalProperties": stage,
        })
    }
}

/// A map from free names to values of one kind. Values that cannot be read are reported; their names stay.
#[derive(Debug)]
pub(super) struct Names<V>(pub(super) Vec<(Spanned<String>, Option<Spanned<V>>)>);

impl<V: FromNode> FromNode for Names<V> {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if !matches!(node.kind(), Kind::Map) {
            wrong_shape(node, "a map from names to values", sink);
            return None;
        }
        let entry = |(key, value): (super::tree::Spanning<'_>, NodeRef<'_>)| {
            (Spanned { value: key.text.to_owned(), span: key.span }, spanned(value, sink))
        };
        Some(Self(node.entries().map(entry).collect()))
    }
}

impl<V: JsonSchema> JsonSchema for Names<V> {
    inline_schema!("Names", generator => {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    });
}
