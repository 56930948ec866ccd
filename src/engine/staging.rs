//! Resolves a staging attempt: where its host is, what runs there, and the helper that goes there.

use std::path::Path;
use std::time::Duration;

use crate::domain::channel::{Container, Target, VersionCheck, is_jump, is_key_path, split_host};
use crate::domain::pipeline::{Argv, Limits, Staging};
use crate::domain::plan::{Environment, Remote};

use super::plan::{HostEnv, PlanError};

/// What the helper adds to the limits that it keeps itself, before its supervisor ends it.
const HELPER_SLACK: Duration = Duration::from_mins(5);

/// ssh's port where none is named.
const SSH_PORT: u16 = 22;
/// Longest path of a socket, in bytes (`unix(7)`: 108 with the closing NUL).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Names of orch's own environment that ssh is given. No agent's socket is among them.
const HELPER_NAMES: [&str; 4] = ["HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR"];

/// Names that orch sets and that mean something on another host, too. The attempt has another name there, because the
/// other host may be this machine: whoever sweeps an attempt here must not meet what it started there.
const FAR_NAMES: [&str; 4] = ["ORCH_TASK", "ORCH_RUN", "ORCH_STAGE", "ORCH_BASE_COMMIT"];

/// Where a staging host is, with every `${NAME}` replaced and every grammar asked again.
///
/// # Errors
/// [`PlanError::Unset`] and [`PlanError::Target`].
pub fn target(staging: &Staging, host: &HostEnv) -> Result<Target, PlanError> {
    let wrong = |key: &'static str, value: &str| PlanError::Target { key, value: value.chars().take(80).collect() };
    let expanded = |text: &Option<String>| text.as_ref().map(|text| expand(text, host)).transpose();
    let whole = expand(&staging.host, host)?;
    let (user, name) = split_host(&whole).ok_or_else(|| wrong("host", &whole))?;
    let user = match (user, expanded(&staging.user)?) {
        (Some(user), _) => Some(user.to_owned()),
        (None, Some(user)) if crate::domain::channel::is_host_word(&user) => Some(user),
        (None, Some(user)) => return Err(wrong("user", &user)),
        (None, None) => None,
    };
    let path = |key, text: &Option<String>| match expanded(text)?.map(|path| at_home(&path, host)) {
        Some(path) if is_key_path(&path) => Ok(Some(path)),
        Some(path) => Err(wrong(key, &path)),
        None => Ok(None),
    };
    let jump = expanded(&staging.jump)?;
    if let Some(jump) = jump.as_deref().filter(|jump| !is_jump(jump)) {
        return Err(wrong("jump", jump));
    }
    let control = match (path("control-dir", &staging.control_dir)?, &user) {
        (None, _) => None,
        (Some(dir), Some(user)) => {
            Some(control(&dir, user, name, staging.port).ok_or_else(|| wrong("control-dir", &dir))?)
        }
        (Some(_), None) => return Err(PlanError::NoUser),
    };
    Ok(Target {
        host: name.to_owned(),
        user,
        port: staging.port,
        identity: path("identity", &staging.identity)?,
        known_hosts: match path("known-hosts", &staging.known_hosts)? {
            Some(path) => Some(path),
            // Where every other `~` is: ssh itself would take the account's home.
            None => Some(at_home("~/.ssh/known_hosts", host)).filter(|path| is_key_path(path)),
        },
        control,
        jump,
        connect: staging.connect,
        alive: staging.alive,
    })
}

/// The socket of a kept connection, named as ssh's `%r@%h:%p` names it, so that a connection to elsewhere is never taken
/// for one to here; `None` where no socket can have such a long path.
fn control(dir: &str, user: &str, host: &str, port: Option<u16>) -> Option<String> {
    let socket = format!("{dir}/{user}@{host}:{}", port.unwrap_or(SSH_PORT));
    (socket.len() <= SOCKET_PATH_BYTES_MAX).then_some(socket)
}

fn at_home(path: &str, host: &HostEnv) -> String {
    let home = host.iter().find(|(name, _)| name == "HOME").map(|(_, value)| value.as_str());
    match (path.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => format!("{home}/{below}"),
        (Some(_) | None, _) => path.to_owned(),
    }
}

/// Replaces the one `${NAME}` of a text by a variable of orch's own environment.
fn expand(text: &str, host: &HostEnv) -> Result<String, PlanError> {
    let Some((before, rest)) = text.split_once("${") else { return Ok(text.to_owned()) };
    let Some((name, after)) = rest.split_once('}') else { return Ok(text.to_owned()) };
    let value = host.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| PlanError::Unset(name.to_owned()))?;
    Ok(format!("{before}{value}{after}"))
}

/// What runs on the host. `local` is the environment that the same command would have here: the words were expanded
/// from it, and what the pipeline declares of it goes along.
///
/// # Errors
/// As [`target`]; and [`PlanError::Target`] for a program that begins with `-`.
pub(super) fn remote(
    staging: &Staging,
    argv: Argv,
    limits: Limits,
    (local, declared): (&Environment, impl Fn(&str) -> bool),
    host: &HostEnv,
) -> Result<Remote, PlanError> {
    if argv.program().starts_with('-') {
        return Err(PlanError::Target { key: "command", value: argv.program().chars().take(80).collect() });
    }
    let env = local.pairs().filter(|(name, _)| FAR_NAMES.contains(name) || declared(name));
    let version = match &staging.version {
        None => None,
        Some(check) => {
            let expect = check.expect.as_ref().map(|expect| expand(expect, host)).transpose()?;
            Some(VersionCheck { command: check.command.clone(), expect })
        }
    };
    Ok(Remote {
        target: target(staging, host)?,
        container: Container::of(argv.words()),
        argv,
        cwd: staging.cwd.clone(),
        env: Environment::new(env.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        version,
        ttl: staging.ttl,
        limits,
        earlier: None,
        left: Vec::new(),
        idempotent: staging.suite.idempotent,
    })
}

/// The helper's environment: what ssh needs, and a search path without relative folders.
pub(super) fn helper_env(host: &HostEnv) -> Environment {
    let value = |wanted: &str| host.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let path = value("PATH").unwrap_or_default();
    let absolute: Vec<&str> = path.split(':').filter(|folder| folder.starts_with('/')).collect();
    let own = [("PATH".to_owned(), absolute.join(":")), ("LC_ALL".to_owned(), "C".to_owned())];
    let passed = HELPER_NAMES.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?)));
    Environment::new(own.into_iter().chain(passed))
}

/// The limits of the helper's own process, beyond those that it keeps itself.
pub(super) fn helper_limits(limits: Limits) -> Limits {
    let total = limits.start.saturating_add(limits.total).saturating_add(limits.grace).saturating_add(HELPER_SLACK);
    Limits { total, idle: total, grace: limits.grace.saturating_add(Duration::from_secs(8)), ..limits }
}

/// The helper's command: this very program, with the file of its errand.
pub(super) fn helper(program: [&str; 2], job: &Path) -> Result<Argv, PlanError> {
    let [program, word] = program.map(str::to_owned);
    Ok(Argv::new(vec![program, word, job.to_string_lossy().into_owned()])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn staging(host: &str) -> Staging {
        use crate::domain::pipeline::{EnvSpec, EvidenceKind, Suite};
        Staging {
            host: host.to_owned(),
            port: None,
            user: None,
            identity: Some("~/.ssh/id".to_owned()),
            known_hosts: None,
            jump: None,
            control_dir: None,
            cwd: None,
            connect: Duration::from_secs(1),
            alive: Duration::from_secs(1),
            ttl: Duration::from_mins(1),
            version: None,
            suite: Suite {
                command: Argv::new(vec!["true".to_owned()]).unwrap(),
                cwd: None,
                evidence: EvidenceKind::Auto,
                reports: Vec::new(),
                min_tests: 1,
                env: EnvSpec { pass: Vec::new(), set: BTreeMap::new() },
                smoke: Vec::new(),
                idempotent: false,
            },
        }
    }

    #[test]
    fn a_value_is_checked_again_once_it_is_known() {
        let check = |value: &str, expected: Option<(&str, Option<&str>)>| {
            let env = [("H".to_owned(), value.to_owned()), ("HOME".to_owned(), "/home/x".to_owned())];
            let found = target(&staging("${H}"), &env);
            let found = found.as_ref().ok().map(|target| (target.host.as_str(), target.user.as_deref()));
            assert_eq!(found, expected, "{value:?}");
        };
        check("staging.example.org", Some(("staging.example.org", None)));
        check("deploy@10.0.0.1", Some(("10.0.0.1", Some("deploy"))));
        check("[::1]", Some(("::1", None)));
        for bad in ["", "-oProxyCommand=touch pwned", "u@v@h", "a b", "a;b", "`id`", "$(id)", "%h", "h\n", "${H}"] {
            check(bad, None);
        }
        assert_eq!(
            target(&staging("h"), &[("HOME".to_owned(), "/home/x".to_owned())]).unwrap().identity.as_deref(),
            Some("/home/x/.ssh/id")
        );
    }

    #[test]
    fn a_relative_folder_is_no_place_for_ssh() {
        let env =
            [("PATH".to_owned(), ".:/usr/bin::bin:/bin".to_owned()), ("SSH_AUTH_SOCK".to_owned(), "/x".to_owned())];
        let env = helper_env(&env);
        assert_eq!((env.get("PATH"), env.get("SSH_AUTH_SOCK")), (Some("/usr/bin:/bin"), None));
    }
}
