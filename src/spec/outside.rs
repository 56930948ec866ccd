//! Values that name something outside the pipeline: hosts, URLs, files, environment variables. Only their
//! grammar is checked here; whether they are there is looked at by those who use them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::code::Code;
use super::command::{Variable, is_env_name, variables};
use super::place::Spanned;
use super::problem::{Draft, Sink};
use super::raw;
use super::read::List;
use super::scalar::shown;
use super::values::Text;
use crate::domain::agent::path_glob;
use crate::domain::channel::is_host_word;
use crate::domain::id::RelPath;
use crate::domain::pipeline::{EnvSpec, Report, ReportKind, ReportPlace, Smoke};

/// Folder of the artifacts where the file names none.
const ARTIFACTS: &str = "docs/work-items/{task}";
/// Stands for the task's name in the folder of the artifacts.
const TASK: &str = "{task}";
/// Stands for the attempt's folder in the place of a report.
const ATTEMPT: &str = "{attempt}/";
/// Longest URL of a smoke check, in bytes.
const URL_BYTES_MAX: usize = 2_048;
/// Most smoke checks of a stage.
const SMOKE_MAX: usize = 32;
/// Time limit of a smoke check where the file names none.
const SMOKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest and longest time limit of a smoke check.
const SMOKE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

/// Refuses a host that ssh could take for an option, or a shell for a command (`RELIABILITY.md` §4.12):
/// `[user@]host`, both `[A-Za-z0-9][A-Za-z0-9._-]*`, or an IPv6 address in brackets; one `${NAME}`, which is
/// checked again when its value is known.
pub(super) fn host(text: &Spanned<Text>, sink: &mut Sink) {
    let written = text.value.0.as_str();
    let names: Vec<Variable<'_>> = variables(written).into_iter().collect();
    let literal = match names.as_slice() {
        [] => written.to_owned(),
        [Variable::Name(name)] => written.replacen(&format!("${{{name}}}"), "x", 1),
        _ => String::new(),
    };
    let (user, host) = literal.split_once('@').map_or((None, literal.as_str()), |(user, host)| (Some(user), host));
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_word(host),
    };
    if !host_fits || !user.is_none_or(is_host_word) {
        let message = format!("`{}` is no host", shown(written));
        let help = "write `host` or `user@host`: letters, digits, `.`, `_` and `-`, a letter or digit first; an IPv6 \
                    address stands in brackets; one `${NAME}` may stand for a part";
        sink.push(Draft::new(Code::Host, text.span, message).help(help));
    }
}

/// The folder of the artifacts: inside the worktree, `{task}` at most.
pub(super) fn artifacts_folder(text: Option<&Spanned<Text>>, sink: &mut Sink) -> RelPath {
    let standard = || RelPath::new(ARTIFACTS).expect("the standard folder is a path inside the worktree");
    let Some(text) = text else { return standard() };
    let written = text.value.0.as_str();
    let rest = written.replacen(TASK, "task", 1);
    let help = "write a folder inside the worktree; `{task}` stands for the task's name: `docs/work-items/{task}`";
    let problem = if rest.contains(['{', '}']) {
        Some((Code::ArtifactsFolder, "knows one `{task}` and no other placeholder".to_owned()))
    } else if written.split('/').any(|part| part.starts_with('.') && part.contains(TASK)) {
        Some((Code::ArtifactsFolder, "could become `.git` for some task".to_owned()))
    } else {
        RelPath::new(rest).err().map(|error| (Code::PathOutside, format!("is no {}", error.kind)))
    };
    match problem {
        None => RelPath::new(written).unwrap_or_else(|_| standard()),
        Some((code, what)) => {
            let message = format!("the folder of the artifacts `{}` {what}", shown(written));
            sink.push(Draft::new(code, text.span, message).help(help));
            standard()
        }
    }
}

/// Where the reports of a suite stand: below the worktree, or below `{attempt}/`.
pub(super) fn reports(raw: raw::Report, sink: &mut Sink) -> Vec<Report> {
    let kinds = [(ReportKind::Junit, raw.junit), (ReportKind::ExitFile, raw.exit_file)];
    let mut reports: Vec<Report> = Vec::new();
    for (kind, text) in kinds {
        let Some(text) = text else { continue };
        let written = text.value.0.as_str();
        let (path, place): (_, fn(RelPath) -> ReportPlace) = match written.strip_prefix(ATTEMPT) {
            Some(below) => (below, ReportPlace::Attempt),
            None => (written, ReportPlace::Worktree),
        };
        let problem = if path.contains(['{', '}']) {
            Some((Code::Report, "knows `{attempt}/` at its beginning and no other placeholder".to_owned()))
        } else if path.contains(['*', '?']) {
            Some((Code::Report, "is a pattern; a report is one file".to_owned()))
        } else {
            None
        };
        let found = match problem {
            None => RelPath::new(path).map(place).map_err(|error| (Code::PathOutside, format!("is no {}", error.kind))),
            Some(problem) => Err(problem),
        };
        match found {
            Ok(place) if reports.iter().any(|report| report.place == place) => {
                let message = format!("two reports stand in one file, `{}`", shown(written));
                sink.push(Draft::new(Code::Report, text.span, message).help("give each report a file of its own"));
            }
            Ok(place) => reports.push(Report { kind, place }),
            Err((code, what)) => {
                let message = format!("the report `{}` {what}", shown(written));
                let help = "write a file below the worktree, or below the attempt's own folder: `{attempt}/junit.xml`";
                sink.push(Draft::new(code, text.span, message).help(help));
            }
        }
    }
    reports
}

/// The environment of a producer beside the allow list.
pub(super) fn env(raw: raw::Env, sink: &mut Sink) -> EnvSpec {
    let mut env = EnvSpec::default();
    for name in raw.pass.into_iter().flat_map(|list| list.value.items) {
        let prefix = name.value.0.strip_suffix('*').unwrap_or(&name.value.0);
        if is_env_name(prefix) {
            env.pass.push(name.value.0);
        } else {
            let message = format!("`{}` names no environment variable", shown(&name.value.0));
            let help =
                "write a name, or a prefix that ends in `*`, such as `CARGO_*`; `*` alone would pass everything on";
            sink.push(Draft::new(Code::EnvName, name.span, message).help(help));
        }
    }
    for (name, value) in raw.set.into_iter().flat_map(|names| names.value.0) {
        if !is_env_name(&name.value) {
            let message = format!("`{}` names no environment variable", shown(&name.value));
            sink.push(Draft::new(Code::EnvName, name.span, message).help("letters, digits and `_`, no digit first"));
        } else if name.value.starts_with("ORCH_") {
            let message = format!("`{}` is orch's own: names that begin with `ORCH_` are reserved", name.value);
            sink.push(Draft::new(Code::EnvReserved, name.span, message).help("choose another name"));
        } else if let Some(value) = value {
            if value.value.0.contains('\0') {
                let message = format!("the value of `{}` holds a NUL byte, which no process can be given", name.value);
                sink.push(Draft::new(Code::NulInCommand, value.span, message));
            } else {
                env.set.insert(name.value, value.value.0);
            }
        }
    }
    env
}

/// Whether an environment declares a name, by itself or by a prefix.
pub(super) fn declares(env: &EnvSpec, name: &str) -> bool {
    let passes = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    };
    env.set.contains_key(name) || env.pass.iter().any(passes)
}

/// The read-only requests of a stage, at most [`SMOKE_MAX`].
pub(super) fn smoke_checks(raw: Option<Spanned<List<raw::Smoke>>>, sink: &mut Sink) -> Vec<Smoke> {
    let items = raw.map(|list| list.value.items).unwrap_or_default();
    if let Some(further) = items.get(SMOKE_MAX) {
        let message = format!("a stage has {} smoke checks; at most {SMOKE_MAX} can be made", items.len());
        let help = "ask one address of the service that looks at the others itself, such as `/health`";
        sink.push(Draft::new(Code::Smoke, further.span, message).help(help));
    }
    items.iter().take(SMOKE_MAX).filter_map(|check| smoke(&check.value, sink)).collect()
}

/// A read-only request; 200 where the file names no status.
fn smoke(raw: &raw::Smoke, sink: &mut Sink) -> Option<Smoke> {
    let get = raw.get.as_ref()?;
    let url = get.value.0.as_str();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let visible = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    if !authority_fits(authority) || !visible || url.contains("${") || url.len() > URL_BYTES_MAX {
        let message = format!("`{}` is no URL of a smoke check", shown(url));
        let help = "write `http://` or `https://`, a host, perhaps a port and a path; no user, no variables; \
                    other characters are written `%XX`";
        sink.push(Draft::new(Code::Smoke, get.span, message).help(help));
        return None;
    }
    let expect = raw.expect.as_ref().and_then(|expect| u16::try_from(expect.value.0).ok()).unwrap_or(200);
    let timeout = match &raw.timeout {
        None => SMOKE_TIMEOUT,
        Some(timeout) if SMOKE_TIMEOUTS.contains(&timeout.value.0) => timeout.value.0,
        Some(timeout) => {
            let message = "the time limit of a smoke check is outside `1s` to `60s`";
            sink.push(Draft::new(Code::DurationRange, timeout.span, message).help("write a duration such as `5s`"));
            return None;
        }
    };
    Some(Smoke { get: url.to_owned(), expect, timeout })
}

fn authority_fits(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = address.map_or_else(|| is_host_word(host), |address| address.parse::<std::net::Ipv6Addr>().is_ok());
    let port_fits = port
        .is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0));
    host_fits && port_fits
}

/// Globs of paths that an agent may change: below the worktree, never `.git`.
pub(super) fn writes(globs: Vec<Spanned<Text>>, sink: &mut Sink) -> Vec<String> {
    let mut kept = Vec::new();
    for glob in globs {
        let part_fits =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.eq_ignore_ascii_case(".git");
        let text = &glob.value.0;
        let fits =
            text.split('/').all(part_fits) && text.len() <= 512 && !text.chars().any(|c| c.is_control() || c == '\\');
        let (message, help) = match path_glob(text) {
            _ if !fits => (
                format!("`{}` is no glob of paths inside the worktree", shown(text)),
                "relative, without `.`, `..`, `.git` or empty parts: `src/**`; `**` is everything",
            ),
            _ if text.starts_with('!') => (
                format!("`{}` takes nothing out: there are no exceptions", shown(text)),
                "name what it may change; everything else is outside",
            ),
            Err(error) => (
                format!("`{}` is no glob: {}", shown(text), error.kind()),
                "`*`, `?`, `**`, `[a-z]` and `{a,b}` are known; `[[]` is a bracket, `[{]` a brace",
            ),
            Ok(_) => {
                kept.push(glob.value.0);
                continue;
            }
        };
        sink.push(Draft::new(Code::Writes, glob.span, message).help(help));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::place::Span;
    use super::*;

    fn spanned(text: &str) -> Spanned<Text> {
        Spanned { value: Text(text.to_owned()), span: Span::default() }
    }

    fn problems(check: impl FnOnce(&mut Sink)) -> usize {
        let mut sink = Sink::default();
        check(&mut sink);
        sink.count()
    }

    #[test]
    fn hosts_cannot_be_options_or_commands() {
        for good in [
            "staging",
            "deploy@staging.example.org",
            "10.0.0.1",
            "u_1@h-2",
            "[::1]",
            "root@[fe80::1]",
            "${ORCH_STAGING_HOST}",
            "deploy@${HOST}",
            "${USER}@staging",
            "${NAME}.example.org",
        ] {
            assert_eq!(problems(|sink| host(&spanned(good), sink)), 0, "{good}");
        }
        for bad in [
            "",
            "-oProxyCommand=touch pwned",
            "-oProxyCommand=x@h",
            "u@-x",
            "u@v@h",
            "`id`",
            "$(id)",
            "a;b",
            "a b",
            "a\nb",
            "%h",
            "[::1",
            "[x]",
            "[-oProxyCommand=x]",
            "h:22",
            "@h",
            "u@",
            "${A}${B}",
            "${A}@${B}",
            "-${A}",
            "${}",
            "$${A}",
            "ssh://h",
            "h/x",
            "hôte",
        ] {
            assert_eq!(problems(|sink| host(&spanned(bad), sink)), 1, "{bad:?}");
        }
    }

    #[test]
    fn the_folder_of_the_artifacts_stays_inside() {
        for good in ["docs/work-items/{task}", "artifacts", "x/task-{task}/y", "{task}", ".orch/{task}"] {
            assert_eq!(problems(|sink| drop(artifacts_folder(Some(&spanned(good)), sink))), 0, "{good}");
        }
        for bad in [
            "",
            "/x",
            "../{task}",
            "{task}/..",
            "{run}",
            "{task}/{task}",
            "a{",
            ".{task}",
            "x/.g{task}",
            ".git/x",
            "a//b",
        ] {
            assert_eq!(problems(|sink| drop(artifacts_folder(Some(&spanned(bad)), sink))), 1, "{bad}");
        }
    }

    #[test]
    fn smoke_checks_are_plain_requests() {
        let check = |url: &str, expected| {
            let raw = raw::Smoke { get: Some(spanned(url)), ..raw::Smoke::default() };
            assert_eq!(problems(|sink| drop(smoke(&raw, sink))), expected, "{url:?}");
        };
        for good in
            ["http://127.0.0.1:8080/health", "https://staging.example.org", "http://[::1]:80/a?b=c", "http://h/"]
        {
            check(good, 0);
        }
        for bad in [
            "",
            "ftp://h",
            "http://",
            "http://u@h/",
            "http://h:99999/",
            "http://h:x/",
            "http://h/ x",
            "h/x",
            "http://${H}/",
            "HTTP://h\n",
            "http://h:0/",
            "http://h/`id`",
            "http://h/{a}",
            "http://h/a|b",
            "http://h/a^b",
        ] {
            check(bad, 1);
        }
    }

    #[test]
    fn write_scopes_stay_inside() {
        for good in ["**", "src/**", "*.md", "docs/{a,b}/x"] {
            assert_eq!(problems(|sink| drop(writes(vec![spanned(good)], sink))), 0, "{good}");
        }
        for bad in ["", "/etc/**", "../**", "a/../b", ".git/**", "a//b", "./a", "a\\b"] {
            assert_eq!(problems(|sink| drop(writes(vec![spanned(bad)], sink))), 1, "{bad}");
        }
    }

    #[test]
    fn declared_names_match_whole_or_by_prefix() {
        let env = EnvSpec {
            pass: vec!["HOME".to_owned(), "CARGO_*".to_owned()],
            set: [("X".to_owned(), "1".to_owned())].into(),
        };
        for (name, expected) in
            [("HOME", true), ("HOMEX", false), ("CARGO_HOME", true), ("CARGO", false), ("X", true), ("Y", false)]
        {
            assert_eq!(declares(&env, name), expected, "{name}");
        }
    }
}
