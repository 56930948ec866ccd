//! The shape of the file, key by key. What stands here is also the JSON Schema, the list of keys that a
//! misspelt one is compared with, and (kept equal by a test) `docs/reference/pipeline.md`.

use schemars::{Schema, SchemaGenerator};

use super::code::Code;
use super::command::Command;
use super::place::Span as Place;
use super::problem::{Draft, Sink};
use super::read::{FromNode, Given, List, Mapping as _, mapping, missing_key};
use super::scalar::shown;
use super::tree::{Kind, NodeRef};
use super::values::{Backoff, Count, Flag, OneOf, Span, Text, Version, Word, Words};
use super::words::{Fail, Gate, Names, Pass, Producer, Shadow, Stages};
use crate::domain::agent::Require;
use crate::domain::id::{BudgetName, PipelineName, RelPath, SerialGroup, StageName, SwitchName};
use crate::domain::pipeline::{Adapter, AgentProfile, OnTimeout, ProducerKind};

mapping! {
    /// A pipeline: stages, and the moves between them.
    Pipeline "the pipeline" {
        /// Version of this form: 1.
        "version" version: Version, required;
        /// What people call the pipeline.
        "name" name: PipelineName, required;
        /// Repository the pipeline is for, as switches with a repository scope name it.
        "repository" repository: Text;
        /// Folder of the canonical artifacts, inside the worktree; `{task}` stands for the task's name.
        "artifacts" artifacts: Text;
        /// What each budget allows: rollbacks a task may cost before a person looks.
        "budgets" budgets: Names<Count<0, 1000>>;
        /// Limits of every stage that does not set its own.
        "defaults" defaults: Defaults;
        /// The stages by name; a task starts at the first in the file.
        "stages" stages: Stages, required;
    }
}

mapping! {
    /// Limits of every stage that does not set its own.
    Defaults "the defaults" {
        /// Longest time from the begin mark to the end.
        "timeout" timeout: Span<true>;
        /// Longest time without any output.
        "idle-timeout" idle_timeout: Span<true>;
        /// Longest time until the begin mark (remote) or the first event (agent).
        "start-timeout" start_timeout: Span<true>;
        /// Time from the request to stop to the kill.
        "grace" grace: Span<false>;
    }
}

mapping! {
    /// A stage: a producer, an artifact, a gate, transitions, limits.
    Stage "a stage" {
        /// What does the stage's work.
        "producer" producer: Producer, required;
        /// Environment switch that can turn the producer off: reads `NAME_ENABLED` and `NAME_REPOS`.
        "switch" switch: SwitchName;
        /// What runs instead where the switch is off; never because of a fault.
        "fallback" fallback: Producer;
        /// An agent that does a runner's work beside it and is compared with the gate; it decides nothing.
        "shadow" shadow: Shadow;
        /// File of the stage's artifact, below the artifacts folder.
        "artifact" artifact: RelPath;
        /// What reads the artifact; `none` where a deterministic producer's own end decides.
        "gate" gate: Gate, required;
        /// Where a pass and a fail lead.
        "transitions" transitions: Transitions, required;
        /// What a transient fault of the infrastructure is worth; it has no transition.
        "infra" infra: Infra;
        /// Longest time from the begin mark to the end.
        "timeout" timeout: Span<true>;
        /// Longest time without any output.
        "idle-timeout" idle_timeout: Span<true>;
        /// Longest time until the begin mark (remote) or the first event (agent).
        "start-timeout" start_timeout: Span<true>;
        /// Time from the request to stop to the kill.
        "grace" grace: Span<false>;
        /// What the total limit means once the command has begun: hold, or a fail of the suite's contract.
        "on-timeout" on_timeout: OneOf<OnTimeout>;
        /// One task at a time in this group of stages.
        "serial" serial: SerialGroup;
    }
}

mapping! {
    /// Where a pass and a fail lead.
    Transitions "transitions" unknown infra_transition {
        /// The next stage, or `done`.
        "pass" pass: Pass, required;
        /// `hold`, `failed`, or a rollback to an earlier stage, charged to a budget.
        "fail" fail: Fail, required;
    }
}

mapping! {
    /// Back to an earlier stage, charged to a budget; a spent budget holds.
    Rollback "a rollback" {
        /// The earlier stage, or the stage itself.
        "rollback" to: StageName, required;
        /// The budget that pays.
        "charge" charge: BudgetName, required;
    }
}

mapping! {
    /// What a transient fault of the infrastructure is worth.
    Infra "the infra policy" unknown infra_policy {
        /// Further attempts within a visit.
        "retries" retries: Count<0, 100>;
        /// First and longest pause between them: `30s..10m`.
        "backoff" backoff: Backoff;
    }
}

mapping! {
    /// A declared gate: a key of the artifact's front matter, and the words that decide.
    KeyGate "a gate" {
        /// Front-matter key.
        "key" key: Text, required;
        /// Words that mean pass.
        "pass" pass: List<Text>, required;
        /// Words that mean fail.
        "fail" fail: List<Text>, required;
    }
}

mapping! {
    /// An LLM command line.
    Agent "an agent" {
        /// Which tool's contract it keeps.
        "profile" profile: OneOf<AgentProfile>, required;
        /// File of the prompt, inside the repository.
        "prompt" prompt: RelPath, required;
        /// Globs of paths it may change besides its artifact; anything else makes the stage unreadable.
        "writes" writes: List<Text>;
        /// Program and arguments of a `custom` profile, one word an item.
        "command" command: Given<Command>;
        /// Environment beside the allow list and the profile's own variables.
        "env" env: Env;
        /// Turns that the stage's attempts may take in one run.
        "max-turns" max_turns: Count<1, 10_000>;
        /// Tokens that they may read and write in one run.
        "max-tokens" max_tokens: Count<1, 1_000_000_000>;
        /// US dollars that they may cost in one run, such as `2.50`.
        "max-cost" max_cost: Word;
        /// `contained`: nothing is started where the kernel cannot contain it.
        "require" require: OneOf<Require>;
        /// Files and folders outside the worktree that it may write: absolute, or below `~/`.
        "may-write" may_write: List<Text>;
        /// Whether the tool is told to skip its own permission checks; the environment must agree.
        "skip-permissions" skip_permissions: Flag;
    }
}

mapping! {
    /// A command whose output or report proves what it did.
    Suite "a suite" {
        /// Host to run on, `[user@]host`; one `${NAME}` reads the environment.
        "host" host: Text;
        /// Port of the host, 22 where it is left out.
        "port" port: Count<1, 65535>;
        /// User on the host, where `host` names none; `${NAME}` reads the environment.
        "user" user: Text;
        /// Private key: an absolute path, one below `~/`, or `${NAME}`.
        "identity" identity: Text;
        /// Pinned host keys: an absolute path, one below `~/`, or `${NAME}`.
        "known-hosts" known_hosts: Text;
        /// Host to go through, `[user@]host[:port]`; `${NAME}` reads the environment.
        "jump" jump: Text;
        /// Folder of ssh connections that are kept open, their sockets named `%r@%h:%p`: absolute, below `~/`, or `${NAME}`.
        "control-dir" control_dir: Text;
        /// Folder on the host: absolute, or below the user's home.
        "remote-cwd" remote_cwd: Text;
        /// Longest time until a connection stands.
        "connect-timeout" connect_timeout: Span<true>;
        /// How often the host is asked for a sign of life; three without an answer are a lost link.
        "alive-interval" alive_interval: Span<true>;
        /// How long the command outlives its last connection.
        "ttl" ttl: Span<true>;
        /// What tells the version that is tested.
        "version" version: RemoteVersion;
        /// Program and arguments, one word an item; started directly, never through a shell.
        "command" command: Command, required;
        /// Folder it starts in, below the worktree.
        "cwd" cwd: RelPath;
        /// What proves that the suite ran.
        "evidence" evidence: OneOf<Evidence>;
        /// Pattern of the suite's last line, with named groups out of `total`, `passed`, `failed`, `skipped`.
        "closing-line" closing_line: Text;
        /// Which exit codes are a verdict; only with `evidence: exit-code`.
        "exit" exit: Exit;
        /// Report files it writes.
        "report" report: Report;
        /// Fewest executed tests for a pass; 0 lets an empty suite pass.
        "min-tests" min_tests: Count<0, 1_000_000>;
        /// Environment beside the allow list.
        "env" env: Env;
        /// Read-only requests to a running service.
        "smoke" smoke: List<Smoke>;
        /// Whether it may be started again after it began.
        "idempotent" idempotent: Flag;
    }
}

mapping! {
    /// What tells the version that stands on a host.
    RemoteVersion "a version" {
        /// Program and arguments; its output is the version.
        "command" command: Command, required;
        /// The version that must stand there; `${NAME}` reads the environment.
        "expect" expect: Text;
    }
}

mapping! {
    /// Which exit codes are a verdict; any other code holds.
    Exit "an exit map" {
        /// Codes that mean pass.
        "pass" pass: List<Count<0, 255>>;
        /// Codes that mean fail.
        "fail" fail: List<Count<0, 255>>;
    }
}

mapping! {
    /// Report files that a suite writes and orch reads: below the worktree, or below `{attempt}/`.
    Report "a report" {
        /// `JUnit` XML.
        "junit" junit: Text;
        /// A file that stands while the suite runs and is removed at its end.
        "exit-file" exit_file: Text;
    }
}

mapping! {
    /// Environment beside the allow list.
    Env "an environment" {
        /// Names, or prefixes that end in `*`, that are passed on from orch's own environment.
        "pass" pass: List<Text>;
        /// Names with fixed values.
        "set" set: Names<Word>;
    }
}

mapping! {
    /// One read-only request.
    Smoke "a smoke check" {
        /// URL to get.
        "get" get: Text, required;
        /// Wanted HTTP status.
        "expect" expect: Count<100, 599>;
        /// Longest time until the whole header of the answer is there, from 1s to 60s.
        "timeout" timeout: Span<true>;
    }
}

/// Whether the file says that it is of another version; then nothing else of it can be judged.
pub(super) fn other_version(root: NodeRef<'_>, sink: &mut Sink) -> bool {
    let version = root.entries().find(|(key, _)| key.text == "version").map(|(_, value)| value);
    let other = version.filter(|value| match value.kind() {
        Kind::Scalar { text, plain: true } => *text != "1" && text.bytes().all(|byte| byte.is_ascii_digit()),
        Kind::Scalar { .. } | Kind::List | Kind::Map | Kind::Broken => false,
    });
    other.is_some_and(|value| Version::read(value, sink).is_none())
}

/// Which map a key belongs to, where it stands in another one.
pub(super) fn home_of(key: &str) -> Option<&'static str> {
    let homes: [(&str, &[&str]); 9] = [
        ("a stage", Stage::KEYS),
        ("a suite such as `test-runner`", Suite::KEYS),
        ("an agent", Agent::KEYS),
        ("`infra`", Infra::KEYS),
        ("`transitions`", Transitions::KEYS),
        ("the pipeline", Pipeline::KEYS),
        ("`fail: { … }`", Rollback::KEYS),
        ("`report`", Report::KEYS),
        ("`env`", Env::KEYS),
    ];
    homes.into_iter().find(|(_, keys)| keys.contains(&key)).map(|(home, _)| home)
}

/// Words by which a pipeline might try to give a fault of the infrastructure a transition.
const INFRA_WORDS: [&str; 13] = [
    "infra",
    "transient-infra",
    "permanent-env",
    "transient",
    "permanent",
    "env",
    "environment",
    "timeout",
    "error",
    "lost",
    "unreadable",
    "fault",
    "infra-error",
];

/// In `transitions`: refuses a way to map a fault.
fn infra_transition(key: &str, span: Place, _value: NodeRef<'_>, sink: &mut Sink) -> bool {
    let known = INFRA_WORDS.contains(&key.replace('_', "-").as_str());
    if known {
        push_infra(format!("`{key}` has no transition: only a suite that ran can move a task"), span, sink);
    }
    known
}

/// In `infra`: refuses a target.
fn infra_policy(key: &str, span: Place, _value: NodeRef<'_>, sink: &mut Sink) -> bool {
    let targets =
        ["rollback", "advance", "pass", "fail", "charge", "hold", "to", "then", "goto", "transitions", "done"];
    let known = targets.contains(&key);
    if known {
        push_infra(format!("a fault of the infrastructure cannot lead to `{}`", shown(key)), span, sink);
    }
    known
}

/// Reports a way to map a fault, and says what happens to one.
pub(super) fn push_infra(message: String, span: Place, sink: &mut Sink) {
    let help = "a fault is tried again as `infra: { retries: 3, backoff: 30s..10m }` says, and then held for a person; \
                it never charges the developer";
    sink.push(Draft::new(Code::InfraTransition, span, message).help(help));
}

/// Keys that only a suite on another host has.
const REMOTE_KEYS: [&str; 12] = [
    "host",
    "port",
    "user",
    "identity",
    "known-hosts",
    "jump",
    "control-dir",
    "remote-cwd",
    "connect-timeout",
    "alive-interval",
    "ttl",
    "version",
];

impl Suite {
    /// Reads the suite of a kind of producer: only a `staging-runner` has a host, and it must.
    pub(super) fn read(kind: ProducerKind, node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if matches!(node.kind(), Kind::List | Kind::Scalar { .. }) && !node.is_null() {
            let word = kind.as_str();
            let draft =
                Draft::new(Code::WrongShape, node.first_line(), format!("`{word}` is no map with a `command` in it"));
            let evidence = if kind == ProducerKind::Command { ", evidence: exit-code" } else { "" };
            sink.push(draft.help(format!("write `{word}: {{ command: [program, argument]{evidence} }}`")));
            return None;
        }
        let suite = <Self as FromNode>::read(node, sink)?;
        let remote = kind == ProducerKind::StagingRunner;
        for (key, _) in node.entries().filter(|(key, _)| REMOTE_KEYS.contains(&key.text) && !remote) {
            let message = format!("`{}` is no key of `{}`", key.text, kind.as_str());
            let draft = Draft::new(Code::UnknownKey, key.span, message);
            sink.push(draft.help("only a `staging-runner` runs on another host"));
        }
        if let Some((key, _)) = node.entries().find(|(key, _)| key.text == "cwd" && remote) {
            let draft = Draft::new(
                Code::UnknownKey,
                key.span,
                "`cwd` is a folder of the worktree, and no key of `staging-runner`",
            );
            sink.push(draft.help("write `remote-cwd` for a folder on the host"));
        }
        if remote && !node.has("host") {
            missing_key(Self::WHAT, "host", node, sink);
        }
        if kind == ProducerKind::Command && !node.has("evidence") {
            let draft = Draft::new(Code::EvidenceMissing, node.label(), "`command` does not say what its evidence is");
            sink.push(draft.help(
                "`evidence: exit-code` for what is no test suite (formatter, linter, build); \
                 for a suite an adapter's name, `auto` or `closing-line`",
            ));
        }
        Some(suite)
    }

    /// The schema of the suite of a kind of producer.
    pub(super) fn schema(kind: ProducerKind, generator: &mut SchemaGenerator) -> Schema {
        let mut schema = <Self as schemars::JsonSchema>::json_schema(generator);
        if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
            if kind == ProducerKind::StagingRunner {
                properties.remove("cwd");
            } else {
                for key in REMOTE_KEYS {
                    properties.remove(key);
                }
            }
        }
        if let Some(required) = schema.get_mut("required").and_then(serde_json::Value::as_array_mut) {
            match kind {
                ProducerKind::StagingRunner => required.push("host".into()),
                ProducerKind::Command => required.push("evidence".into()),
                ProducerKind::TestRunner | ProducerKind::Agent | ProducerKind::Approval => {}
            }
        }
        schema
    }
}

/// What proves that a suite ran, as the file says it: details stand under keys of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Every adapter.
    Auto,
    /// One adapter.
    Adapter(Adapter),
    /// The pattern under `closing-line`.
    ClosingLine,
    /// The map under `exit`.
    ExitCode,
}

impl Words for Evidence {
    const WHAT: &'static str = "kind of evidence";

    fn all() -> Vec<(&'static str, Self)> {
        let adapters = Adapter::ALL.into_iter().map(|adapter| (adapter.as_str(), Self::Adapter(adapter)));
        let own = [("auto", Self::Auto), ("closing-line", Self::ClosingLine), ("exit-code", Self::ExitCode)];
        own.into_iter().chain(adapters).collect()
    }
}

impl Words for AgentProfile {
    const WHAT: &'static str = "agent profile";

    fn all() -> Vec<(&'static str, Self)> {
        vec![
            ("claude-code", Self::ClaudeCode),
            ("codex", Self::Codex),
            ("gemini", Self::Gemini),
            ("opencode", Self::Opencode),
            ("aider", Self::Aider),
            ("custom", Self::Custom),
        ]
    }
}

impl Words for Require {
    const WHAT: &'static str = "requirement";

    fn all() -> Vec<(&'static str, Self)> {
        vec![("contained", Self::Contained)]
    }
}

impl Words for OnTimeout {
    const WHAT: &'static str = "answer to a timeout";

    fn all() -> Vec<(&'static str, Self)> {
        vec![("hold", Self::Hold), ("fail", Self::Fail)]
    }
}
