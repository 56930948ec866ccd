//! A producer as the file has it → a producer that can be started.

use super::agent;
use super::code::Code;
use super::outside;
use super::problem::{Draft, Sink};
use super::proof::{self, Said};
use super::raw;
use super::staging;
use super::words;
use crate::domain::agent::{Permissions, Require};
use crate::domain::channel::Container;
use crate::domain::pipeline::{Agent, AgentProfile, Producer, ProducerKind, ReportPlace, Suite};

/// Variable with the prompt's path.
const PROMPT_FILE: &str = "ORCH_PROMPT_FILE";

/// Fewest executed tests for a pass where the file does not say.
const MIN_TESTS: u64 = 1;

/// Checks a producer; `None` where the sink got a problem that leaves nothing to go on with.
pub(super) fn producer(raw: words::Producer, sink: &mut Sink) -> Option<Producer> {
    match raw {
        words::Producer::Agent(raw) => agent_of(*raw, sink).map(Producer::Agent),
        words::Producer::Approval => Some(Producer::Approval),
        words::Producer::Suite(kind, mut raw) => match kind {
            ProducerKind::TestRunner => suite(kind, *raw, sink).map(Producer::TestRunner),
            ProducerKind::StagingRunner => staging::staging(&mut raw, sink, |raw, sink| suite(kind, raw, sink))
                .map(|staging| Producer::StagingRunner(Box::new(staging))),
            ProducerKind::Command => suite(kind, *raw, sink).map(Producer::Command),
            ProducerKind::Agent | ProducerKind::Approval => None,
        },
    }
}

/// Checks an agent; `None` as for [`producer`].
pub(super) fn agent_of(mut raw: raw::Agent, sink: &mut Sink) -> Option<Agent> {
    let writes = raw.writes.take().map(|list| outside::writes(list.value.items, sink)).unwrap_or_default();
    let profile = raw.profile.as_ref().map(|profile| profile.value.0);
    match (&raw.profile, &raw.command) {
        (Some(profile), None) if profile.value.0 == AgentProfile::Custom => {
            let message = "the profile `custom` does not know which command to start";
            let help = "add `command: [program, argument]`; the prompt comes on its standard input";
            sink.push(Draft::new(Code::AgentCommand, profile.span, message).help(help));
        }
        (Some(profile), Some(command)) if profile.value.0 != AgentProfile::Custom => {
            let message = "a known agent profile brings its own command";
            let draft = Draft::new(Code::AgentCommand, command.span, message);
            sink.push(draft.related(profile.span, "this profile").help("leave it out, or say `profile: custom`"));
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    let env = raw.env.take().map(|env| outside::env(env.value, sink)).unwrap_or_default();
    if let Some(command) = &raw.command {
        // An agent has a folder of its own, and a prompt in it.
        let declared = |name: &str| name == PROMPT_FILE || outside::declares(&env, name);
        command.value.check_variables(declared, true, sink);
    }
    let caps = profile.map(|profile| agent::caps(profile, &raw, sink)).unwrap_or_default();
    let may_write = raw.may_write.map(|list| agent::may_write(list.value.items, sink)).unwrap_or_default();
    if let (Some(profile), Some(flag)) = (profile, &raw.skip_permissions)
        && flag.value.0
        && profile.row().bypass.is_empty()
    {
        let message = format!("`{}` has no option that skips its permission checks", profile.as_str());
        sink.push(Draft::new(Code::AgentCap, flag.span, message).help("leave it out"));
    }
    let command = raw.command.map(|command| command.value.argv);
    Some(Agent {
        profile: profile?,
        prompt: raw.prompt?.value,
        writes,
        command,
        env,
        caps,
        require: raw.require.map_or(Require::Nothing, |word| word.value.0),
        may_write,
        permissions: match raw.skip_permissions {
            Some(flag) if flag.value.0 => Permissions::Skipped,
            Some(_) | None => Permissions::Kept,
        },
    })
}

fn suite(kind: ProducerKind, raw: raw::Suite, sink: &mut Sink) -> Option<Suite> {
    let env = raw.env.map(|env| outside::env(env.value, sink)).unwrap_or_default();
    let reports = raw.report.map(|report| outside::reports(report.value, sink)).unwrap_or_default();
    let said = Said { evidence: raw.evidence, closing_line: raw.closing_line, exit: raw.exit };
    let evidence = proof::evidence(said, &reports, sink);
    if let Some(command) = &raw.command {
        let attempt_dir = reports.iter().any(|report| matches!(report.place, ReportPlace::Attempt(_)));
        command.value.check_variables(|name| outside::declares(&env, name), attempt_dir, sink);
        if Container::is_detached(command.value.argv.words()) {
            let draft =
                Draft::new(Code::Detached, command.span, "this command is started in its container and not waited for");
            sink.push(draft.help("leave `-d` out: a suite is judged by its output and its end"));
        }
    }
    let smoke = outside::smoke_checks(raw.smoke, sink);
    Some(Suite {
        command: raw.command?.value.argv,
        cwd: raw.cwd.map(|cwd| cwd.value),
        evidence: evidence?,
        reports,
        min_tests: raw.min_tests.map_or(MIN_TESTS, |count| u64::from(count.value.0)),
        env,
        smoke,
        idempotent: raw.idempotent.map_or(kind == ProducerKind::TestRunner, |flag| flag.value.0),
    })
}
