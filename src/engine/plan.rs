//! Resolves one attempt: program and arguments, folder, environment, limits, reports. Nothing is started here.

use std::path::{Path, PathBuf};

use crate::domain::channel::Earlier;
use crate::domain::evidence::Declared;
use crate::domain::id::{AttemptId, Nonce};
use crate::domain::pipeline::{AgentProfile, Argv, ArgvError, EnvSpec, Limits, Producer, Stage, Suite};
use crate::domain::plan::{AttemptKey, AttemptPlan, Environment, Remote};

use super::staging;

/// Names that every producer finds from orch's own environment, where they are set; a `*` at the end stands for
/// any rest. Everything else is passed only where `env: { pass: […] }` names it.
pub const PASSED_NAMES: [&str; 26] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_*",
    "TZ",
    "TERM",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "DENO_CERT",
    "AWS_CA_BUNDLE",
];

/// orch's own environment, read once by the caller; pairs that are not UTF-8 are left out by it.
pub type HostEnv = [(String, String)];

/// Where an attempt happens.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    /// The worktree's absolute path.
    pub worktree: &'a Path,
    /// The task's base commit.
    pub base_commit: &'a str,
    /// Folder of the artifacts, absolute, with the task's name in it.
    pub artifacts: &'a Path,
    /// Folder of this attempt alone, absolute; made by the caller where the plan names it.
    pub attempt_dir: &'a Path,
    /// Where a staging command is started, and what it takes up again.
    pub staging: StagingSite,
}

/// Where a staging command is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StagingSite {
    /// On its host.
    #[default]
    HostSide,
    /// On its host, once the commands of these attempts, which may still run there, were ended.
    Clearing(Vec<AttemptId>),
    /// On its host, where the work of an earlier attempt may still be under way. It is taken up again; where it cannot
    /// be, the others are ended before anything is started.
    Earlier(Earlier, Vec<AttemptId>),
    /// Here: `ORCH_STAGING_RUNNER_EXEC_HOST_SIDE` is off.
    Here,
}

/// How the helper of a staging attempt is started; told by the caller, because only `exec` knows it.
pub const HELPER: [&str; 2] = ["/proc/self/exe", "__remote"];

/// Name of the helper's errand in the attempt's folder.
pub const HELPER_JOB: &str = "remote.json";

/// A stage that cannot be resolved on this site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An approval is a person's word and has no process.
    #[error("an approval starts nothing")]
    Approval,
    /// A word of the command names a variable that is not set.
    #[error("the command names `${{{0}}}`, which is not set")]
    Unset(String),
    /// A value that says how the host is reached, or what runs there, is outside its grammar.
    #[error("`{key}` is {value:?}, which is outside its grammar")]
    Target {
        /// The key of the producer.
        key: &'static str,
        /// What it came to, cut.
        value: String,
    },
    /// A kept connection is looked for by its user, and none is named.
    #[error("`control-dir` needs to know the user: write `host: USER@HOST` or `user: USER`")]
    NoUser,
    /// What is left after the expansion is no command.
    #[error("{0}")]
    Argv(#[from] ArgvError),
}

/// Resolves an attempt of a stage with a producer.
///
/// # Errors
/// [`PlanError`]; nothing has been started then.
pub fn plan(
    stage: &Stage,
    producer: &Producer,
    limits: Limits,
    key: AttemptKey,
    nonce: Nonce,
    site: &Site<'_>,
    host: &HostEnv,
) -> Result<AttemptPlan, PlanError> {
    let suite = match producer {
        Producer::TestRunner(suite) | Producer::Command(suite) => suite,
        Producer::Agent(agent) => return super::agent::plan(agent, limits, key, nonce, site, host),
        Producer::StagingRunner(staging) => &staging.suite,
        Producer::Approval => return Err(PlanError::Approval),
    };
    let attempt_dir: Option<PathBuf> = (!suite.reports.is_empty()).then(|| site.attempt_dir.to_owned());
    let own = attempt_dir.iter().map(|dir| ("ORCH_ATTEMPT_DIR", dir.to_string_lossy().into_owned())).collect();
    let env = environment(&suite.env, None, own, (&key, site), host);
    let argv = expand(&suite.command, &env)?;
    let cwd = suite.cwd.as_ref().map_or_else(|| site.worktree.to_owned(), |cwd| site.worktree.join(cwd.as_str()));
    let local = AttemptPlan {
        key,
        nonce,
        producer: producer.kind(),
        argv,
        shown: suite.command.clone(),
        cwd,
        env,
        limits,
        declared: declared(stage, suite),
        reports: suite.reports.clone(),
        attempt_dir,
        agent: None,
        remote: None,
    };
    let Producer::StagingRunner(far) = producer else { return Ok(local) };
    let (earlier, left) = match &site.staging {
        StagingSite::Here => return Ok(local),
        StagingSite::HostSide => (None, Vec::new()),
        StagingSite::Clearing(left) => (None, left.clone()),
        StagingSite::Earlier(earlier, left) => (Some(*earlier), left.clone()),
    };
    let declared = |name: &str| declares(&far.suite.env, None, name);
    let remote = staging::remote(far, local.argv, limits, (&local.env, declared), host)?;
    Ok(AttemptPlan {
        argv: staging::helper(HELPER, &site.attempt_dir.join(HELPER_JOB))?,
        env: staging::helper_env(host),
        limits: staging::helper_limits(limits),
        attempt_dir: Some(site.attempt_dir.to_owned()),
        remote: Some(Box::new(Remote { earlier, left, ..remote })),
        ..local
    })
}

/// Where a producer's program is looked for: the `PATH` that it would have; `None` where it has none, or no process.
pub fn search_path<'a>(producer: &'a Producer, host: &'a HostEnv) -> Option<&'a str> {
    let env = match producer {
        Producer::TestRunner(suite) | Producer::Command(suite) => &suite.env,
        Producer::Agent(agent) => &agent.env,
        Producer::StagingRunner(_) | Producer::Approval => return None,
    };
    let passed = || host.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    env.set.get("PATH").or_else(passed).map(String::as_str)
}

fn declared(stage: &Stage, suite: &Suite) -> Declared {
    Declared { evidence: suite.evidence.clone(), min_tests: suite.min_tests, on_timeout: stage.on_timeout }
}

/// Whether a variable is declared: set, passed on by name, or one of the agent tool's own.
pub fn declares(spec: &EnvSpec, profile: Option<AgentProfile>, name: &str) -> bool {
    let row = profile.map(AgentProfile::row);
    let own = row.is_some_and(|row| row.secrets.iter().chain(row.passed).any(|known| *known == name));
    own || spec.set.contains_key(name) || spec.pass.iter().any(|pattern| fits(pattern, name))
}

/// The whole environment of a producer: what is passed on, what is declared, what orch sets. `own` is what orch sets
/// for this kind of producer besides.
pub(super) fn environment(
    spec: &EnvSpec,
    profile: Option<AgentProfile>,
    own: Vec<(&'static str, String)>,
    (key, site): (&AttemptKey, &Site<'_>),
    host: &HostEnv,
) -> Environment {
    let listed = |name: &str| {
        let known = PASSED_NAMES.into_iter().any(|pattern| fits(pattern, name));
        !name.starts_with("ORCH_") && (known || declares(spec, profile, name))
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let every = [
        ("ORCH_TASK", key.task.to_string()),
        ("ORCH_RUN", key.run.to_string()),
        ("ORCH_STAGE", key.stage.to_string()),
        ("ORCH_ATTEMPT", key.attempt.to_string()),
        ("ORCH_WORKTREE", text(site.worktree)),
        ("ORCH_BASE_COMMIT", site.base_commit.to_owned()),
        ("ORCH_ARTIFACTS", text(site.artifacts)),
    ];
    let own = every.into_iter().chain(own);
    let passed = host.iter().filter(|(name, _)| listed(name)).cloned();
    let set = spec.set.iter().map(|(name, value)| (name.clone(), value.clone()));
    Environment::new(passed.chain(set).chain(own.map(|(name, value)| (name.to_owned(), value))))
}

/// Whether a name is listed: by itself, or by a prefix that ends in `*`.
fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// Replaces `${NAME}` in each word by the producer's own variable; `$${` is a literal `${`. A word stays one word.
pub(super) fn expand(command: &Argv, env: &Environment) -> Result<Argv, PlanError> {
    let words = command.words().iter().map(|word| expand_word(word, env)).collect::<Result<Vec<_>, _>>()?;
    Ok(Argv::new(words)?)
}

fn expand_word(word: &str, env: &Environment) -> Result<String, PlanError> {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        let Some((name, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(env.get(name).ok_or_else(|| PlanError::Unset(name.to_owned()))?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_passed_name() {
        let page = include_str!("../../docs/reference/environment.md");
        for name in PASSED_NAMES {
            assert!(page.contains(&format!("`{name}`")), "docs/reference/environment.md lacks {name}");
        }
    }

    #[test]
    fn words_are_expanded_and_stay_words() {
        let env = Environment::new([("ORCH_TASK".to_owned(), "a b; rm -rf /".to_owned())]);
        let check = |word: &str, expected: Result<&str, PlanError>| {
            assert_eq!(expand_word(word, &env), expected.map(str::to_owned), "{word}");
        };
        check("plain", Ok("plain"));
        check("--t=${ORCH_TASK}!", Ok("--t=a b; rm -rf /!"));
        check("$${ORCH_TASK}", Ok("${ORCH_TASK}"));
        check("${ORCH_TASK", Ok("${ORCH_TASK"));
        check("${NOPE}", Err(PlanError::Unset("NOPE".to_owned())));
    }
}
