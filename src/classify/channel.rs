//! Ends of commands on another host that brought no end record: what broke on the way, and whether waiting helps.

use super::line::Line;
use super::proof::outcome;
use super::signatures::{find, telling};
use crate::domain::channel::{ChannelFacts, ChannelFault};
use crate::domain::evidence::{FaultKind, Signature, Stream};
use crate::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule};

/// Longest part of what was said that stands in a detail, in characters.
const SAID_CHARS_MAX: usize = 300;

/// How lines begin in which ssh names the file that it does not like.
const PLACES: [&str; 3] = ["Offending ", "Permissions ", "Load key "];

/// Whether what a transport said may be another thing a moment later.
pub fn passes_by_waiting(said: &str) -> bool {
    layer(said).is_none_or(|signature| signature.fault == FaultKind::Transient)
}

/// What is wrong with a way, in one line; empty where nothing is.
pub fn channel_in_words(facts: &ChannelFacts) -> String {
    classify(facts).map(|outcome| outcome.proof.detail).unwrap_or_default()
}

/// Classifies a way that brought no end; `None` where the end record came, or we stopped the command ourselves.
pub(super) fn classify(facts: &ChannelFacts) -> Option<Outcome> {
    if facts.stopped.is_some() || facts.ended.as_ref().is_some_and(|end| !end.expired) {
        return None;
    }
    let host = facts.host.as_str();
    let Some(fault) = &facts.fault else {
        let detail = format!("nobody saw how the command on {host} ended: the process that listened to it is gone");
        return Some(made(Conclusion::TransientInfra, Reason::Lost, Rule::ChannelBroke, detail, None));
    };
    Some(match fault {
        ChannelFault::NotConnected(said) => {
            let lost = facts.may_have_begun;
            let what = if lost { "the link broke and did not come back" } else { "no connection" };
            spoken(said, FaultKind::Transient, &format!("{host}: {what}"), lost)
        }
        ChannelFault::LinkLost(said) => {
            spoken(said, FaultKind::Transient, &format!("{host}: the link broke"), facts.may_have_begun)
        }
        ChannelFault::NoShell(said) => {
            let what = format!("{host} let us in, and no shell did what it was told");
            spoken(said, FaultKind::Permanent, &what, false)
        }
        ChannelFault::ToolMissing(tool) => {
            let detail = format!("{host} lacks `{tool}`, which the far side of a staging-runner needs");
            made(Conclusion::PermanentEnv, Reason::CommandNotFound, Rule::Preflight, detail, None)
        }
        ChannelFault::NoRoom => {
            let detail =
                format!("{host} has no place for the record of a command: neither ~/.cache nor /tmp can be written");
            made(Conclusion::PermanentEnv, Reason::SpawnFailed, Rule::Preflight, detail, None)
        }
        ChannelFault::Occupied(attempt) => {
            let detail =
                format!("the command of attempt {attempt} still runs on {host}, and does not end when it is killed");
            made(Conclusion::TransientInfra, Reason::ChannelBroke, Rule::Preflight, detail, None)
        }
        ChannelFault::Folder(folder) => {
            let detail = format!("the working folder `{folder}` cannot be entered on {host}");
            made(Conclusion::PermanentEnv, Reason::SpawnFailed, Rule::Preflight, detail, None)
        }
        ChannelFault::Program(program) => {
            let detail = format!("the program `{program}` cannot be found on {host}");
            made(Conclusion::PermanentEnv, Reason::CommandNotFound, Rule::Preflight, detail, None)
        }
        ChannelFault::Container { name, said } => container(host, name, said),
        ChannelFault::Version { wanted, found } => {
            let detail = format!("{host} has version `{}`, and `{}` is to be tested", cut(found), cut(wanted));
            made(Conclusion::PermanentEnv, Reason::VersionMismatch, Rule::Preflight, detail, None)
        }
        ChannelFault::Unversioned(code) => {
            let detail = match code.as_str() {
                "" => format!("what tells the version on {host} could not be run"),
                "0" => format!("what tells the version on {host} said nothing"),
                "137" => format!("what tells the version on {host} was killed, or took too long"),
                code => format!("what tells the version on {host} ended with exit code {code}"),
            };
            made(Conclusion::PermanentEnv, Reason::VersionMismatch, Rule::Preflight, detail, None)
        }
        ChannelFault::Gone => {
            let detail = format!("the command began on {host}, and nobody there saw its end");
            made(Conclusion::TransientInfra, Reason::Lost, Rule::ChannelBroke, detail, None)
        }
        ChannelFault::Expired => {
            let detail = format!("no connection came back to {host} within the TTL, so the command was killed there");
            made(Conclusion::TransientInfra, Reason::Lost, Rule::ChannelBroke, detail, None)
        }
        ChannelFault::NoSsh(why) => {
            let detail = format!("ssh cannot be started here: {why}");
            made(Conclusion::PermanentEnv, Reason::SpawnFailed, Rule::Preflight, detail, None)
        }
        ChannelFault::OwnSide(why) => {
            let detail = format!("orch's own side of the channel failed: {why}");
            made(Conclusion::TransientInfra, Reason::Internal, Rule::ChannelBroke, detail, None)
        }
    })
}

fn container(host: &str, name: &str, said: &str) -> Outcome {
    let state = match said {
        "false false" => Some("is not running"),
        "true true" => Some("is paused"),
        _ => None,
    };
    if let Some(state) = state {
        let detail = format!("the container `{name}` on {host} {state}");
        return made(Conclusion::PermanentEnv, Reason::ContainerDown, Rule::Preflight, detail, None);
    }
    let signature = layer(said);
    let fault = signature.as_ref().map_or(FaultKind::Permanent, |signature| signature.fault);
    let conclusion = conclusion(fault);
    let detail = format!("the container `{name}` on {host} cannot be entered: {}", cut(said));
    made(conclusion, Reason::ContainerDown, Rule::Preflight, detail, signature)
}

/// What a transport said, with its class by the table.
fn spoken(said: &str, standard: FaultKind, what: &str, lost: bool) -> Outcome {
    let signature = layer(said);
    let fault = signature.as_ref().map_or(standard, |signature| signature.fault);
    let reason = match fault {
        FaultKind::Permanent => Reason::ChannelRefused,
        FaultKind::Transient if lost => Reason::Lost,
        FaultKind::Transient => Reason::ChannelBroke,
    };
    let told = signature.as_ref().map_or(said, |signature| signature.at.text.as_str());
    let place =
        said.lines().map(str::trim).find(|line| PLACES.iter().any(|head| line.starts_with(head)) && *line != told);
    let place = place.map(|line| format!("; {}", cut(line))).unwrap_or_default();
    let detail = if told.is_empty() { what.to_owned() } else { format!("{what}: {}{place}", cut(told)) };
    made(conclusion(fault), reason, Rule::ChannelBroke, detail, signature)
}

const fn conclusion(fault: FaultKind) -> Conclusion {
    match fault {
        FaultKind::Permanent => Conclusion::PermanentEnv,
        FaultKind::Transient => Conclusion::TransientInfra,
    }
}

/// The layer's own words in a text, by the table.
fn layer(said: &str) -> Option<Signature> {
    let lines = (1..).zip(said.lines().map(str::trim));
    let found: Vec<Signature> =
        lines.filter_map(|(number, text)| find(&Line { text, stream: Stream::Stderr, number })).collect();
    // A refusal is the cause of the broken link that follows it.
    let refusal = found.iter().find(|signature| signature.fault == FaultKind::Permanent);
    refusal.or_else(|| telling(&found)).cloned()
}

fn made(conclusion: Conclusion, reason: Reason, rule: Rule, detail: String, signature: Option<Signature>) -> Outcome {
    let proof = Proof {
        detail,
        source: Some("channel".to_owned()),
        text: signature.as_ref().map(|signature| signature.at.text.clone()),
        pattern: signature.map(|signature| signature.pattern),
        ..Proof::default()
    };
    outcome(conclusion, reason, rule, proof)
}

fn cut(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).map(|c| if c == '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AttemptId;

    const PERMANENT: &str = "permanent-env";
    const TRANSIENT: &str = "transient-infra";

    #[test]
    fn every_fault_has_its_class() {
        let check = |fault: ChannelFault, class: &str, reason: Reason| {
            let facts = ChannelFacts {
                fault: Some(fault.clone()),
                ..ChannelFacts::new("h".to_owned(), AttemptId::new(uuid::Uuid::nil()))
            };
            let outcome = classify(&facts).unwrap();
            assert_eq!((outcome.conclusion.class(), outcome.reason), (class, reason), "{fault:?}");
        };
        let not_connected = |said: &str| ChannelFault::NotConnected(said.to_owned());
        // The openssh crate takes `ssh: ` away.
        for said in [
            "connect to host 127.0.0.1 port 9: Connection refused",
            "connect to host h port 22: Connection timed out",
            "Could not resolve hostname h: Name or service not known",
            "Could not resolve hostname h: Temporary failure in name resolution",
            "Connection timed out during banner exchange",
            "kex_exchange_identification: read: Connection reset by peer",
            "Connection closed by 127.0.0.1 port 9",
            "",
            "words that nobody knows",
        ] {
            check(not_connected(said), TRANSIENT, Reason::ChannelBroke);
        }
        for said in [
            "u@h: Permission denied (publickey).",
            "No ED25519 host key is known for [h]:22 and you have requested strict checking.\nHost key verification failed.",
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
            "/x/config: line 3: Bad configuration option: foo\n/x/config: terminating, 1 bad configuration options",
            "Unable to negotiate with h port 22: no matching host key type found. Their offer: ssh-dss",
        ] {
            check(not_connected(said), PERMANENT, Reason::ChannelRefused);
        }
        check(
            ChannelFault::NoShell("This account is currently not available.".to_owned()),
            PERMANENT,
            Reason::ChannelRefused,
        );
        check(ChannelFault::NoShell(String::new()), PERMANENT, Reason::ChannelRefused);
        check(
            ChannelFault::LinkLost("Connection to h closed by remote host.".to_owned()),
            TRANSIENT,
            Reason::ChannelBroke,
        );
        check(ChannelFault::ToolMissing("setsid".to_owned()), PERMANENT, Reason::CommandNotFound);
        check(ChannelFault::Program("docker".to_owned()), PERMANENT, Reason::CommandNotFound);
        check(ChannelFault::Gone, TRANSIENT, Reason::Lost);
        let container = |said: &str| ChannelFault::Container { name: "app".to_owned(), said: said.to_owned() };
        check(container("false false"), PERMANENT, Reason::ContainerDown);
        check(container("Error response from daemon: No such container: app"), PERMANENT, Reason::ContainerDown);
        check(
            container("permission denied while trying to connect to the Docker daemon socket at unix:///x"),
            PERMANENT,
            Reason::ContainerDown,
        );
        check(
            container("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
            TRANSIENT,
            Reason::ContainerDown,
        );
    }
}
