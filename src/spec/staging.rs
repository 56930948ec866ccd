//! A suite on another host: how it is reached, and how long it outlives its connection.

use std::time::Duration;

use super::code::Code;
use super::command::{Variable, variables};
use super::outside;
use super::place::Spanned;
use super::problem::{Draft, Sink};
use super::raw;
use super::scalar::shown;
use super::values::Text;
use crate::domain::channel::{VersionCheck, is_host_word, is_jump, is_key_path};
use crate::domain::pipeline::{Staging, Suite};

/// Longest time until a connection stands, where the file names none.
const CONNECT: Duration = Duration::from_secs(10);
/// How often the host is asked for a sign of life, where the file names nothing.
const ALIVE: Duration = Duration::from_secs(5);
/// How long a command outlives its last connection, where the file names nothing: longer than the longest pause before a
/// retry.
const TTL: Duration = Duration::from_mins(15);
/// Shortest TTL: below it a slow moment would kill a living suite.
const TTL_MIN: Duration = Duration::from_secs(5);

/// How a path of a key file is written.
const PATH: &str =
    "write an absolute path or one below `~/`, without quotes, `\\`, `%`, `$` and patterns; or `${NAME}`";

/// Checks what a staging-runner has beside its suite.
pub(super) fn staging(
    raw: &mut raw::Suite,
    sink: &mut Sink,
    suite: impl FnOnce(raw::Suite, &mut Sink) -> Option<Suite>,
) -> Option<Staging> {
    let raw = std::mem::take(raw);
    if let Some(host) = &raw.host {
        outside::host(host, sink);
    }
    let user = raw.user.as_ref().map(|user| {
        let help = "letters, digits, `.`, `_` and `-`, a letter or digit first, or `${NAME}`";
        fits(user, "no user", help, is_host_word, sink)
    });
    let path = |text: &Option<Spanned<Text>>, what: &str, sink: &mut Sink| {
        let at_home =
            |path: &str| is_key_path(path) || path.strip_prefix("~/").is_some_and(|p| is_key_path(&format!("/{p}")));
        text.as_ref().map(|text| fits(text, what, PATH, at_home, sink))
    };
    let identity = path(&raw.identity, "no path of a key file", sink);
    let known_hosts = path(&raw.known_hosts, "no path of a key file", sink);
    let control_dir = path(&raw.control_dir, "no path of a folder", sink);
    let jump = raw.jump.as_ref().map(|jump| {
        let help = "write `[user@]host[:port]`, an IPv6 address in brackets, or `${NAME}`";
        fits(jump, "no host to go through", help, is_jump, sink)
    });
    let cwd = raw.remote_cwd.as_ref().map(|cwd| {
        let help = "write a folder on the host, without control characters";
        let plain = |path: &str| !path.chars().any(char::is_control) && path.len() <= 4096;
        fits(cwd, "no folder", help, plain, sink)
    });
    if let Some(ttl) = raw.ttl.as_ref().filter(|ttl| ttl.value.0 < TTL_MIN) {
        let draft = Draft::new(Code::DurationRange, ttl.span, "a `ttl` is at least 5s");
        sink.push(
            draft.help("the command is killed on its host when no connection has given a sign of life for that long"),
        );
    }
    for (name, span) in [("connect-timeout", &raw.connect_timeout), ("alive-interval", &raw.alive_interval)] {
        let Some(span) = span else { continue };
        if span.value.0 < Duration::from_secs(1) || span.value.0.subsec_millis() > 0 {
            let draft = Draft::new(Code::DurationRange, span.span, format!("`{name}` is whole seconds, at least `1s`"));
            sink.push(draft.help("ssh counts it in seconds"));
        }
    }
    let version = raw.version.as_ref().and_then(|version| {
        let command = version.value.command.as_ref()?;
        command.value.check_variables(|_| false, false, sink);
        let expect = version.value.expect.as_ref().map(|expect| {
            let help = "write the version, or `${NAME}` to read it from the environment";
            fits(expect, "no version", help, |text| !text.chars().any(char::is_control) && text.len() <= 200, sink)
        });
        Some(VersionCheck { command: command.value.argv.clone(), expect })
    });
    let duration = |span: &Option<Spanned<super::values::Span<true>>>, standard| {
        span.as_ref().map_or(standard, |span| span.value.0)
    };
    let (connect, alive) = (duration(&raw.connect_timeout, CONNECT), duration(&raw.alive_interval, ALIVE));
    let ttl = duration(&raw.ttl, TTL);
    let port = raw.port.as_ref().and_then(|port| u16::try_from(port.value.0).ok());
    let host = raw.host.as_ref().map(|host| host.value.0.clone());
    let suite = suite(raw, sink)?;
    Some(Staging {
        host: host?,
        port,
        user,
        identity,
        known_hosts,
        jump,
        control_dir,
        cwd,
        connect,
        alive,
        ttl,
        version,
        suite,
    })
}

/// A text inside its grammar; one `${NAME}` may stand for all of it, and is checked when its value is known.
fn fits(text: &Spanned<Text>, what: &str, help: &str, grammar: impl Fn(&str) -> bool, sink: &mut Sink) -> String {
    let written = text.value.0.as_str();
    let named: Vec<Variable<'_>> = variables(written).into_iter().collect();
    let whole = matches!(named.as_slice(), [Variable::Name(name)] if written == format!("${{{name}}}"));
    if !whole && !grammar(written) {
        let message = format!("`{}` is {what}", shown(written));
        sink.push(Draft::new(Code::Host, text.span, message).help(help));
    }
    written.to_owned()
}
