//! Resolves an attempt of an agent: the tool's command by its profile, the prompt's channel, the environment.

use crate::domain::agent::{Agent, Caps, Permissions, Usage};
use crate::domain::decision::MICRO_USD;
use crate::domain::evidence::Declared;
use crate::domain::id::Nonce;
use crate::domain::pipeline::{Argv, EvidenceKind, Gate, Limits, OnTimeout, ProducerKind};
use crate::domain::plan::{AgentPlan, AttemptKey, AttemptPlan, Cage};
use crate::domain::profile::{Profile, PromptChannel};

use super::plan::{HostEnv, PlanError, Site, environment, expand};

/// Variable with the prompt's path; a `custom` command that names it gets no prompt on standard input.
pub const PROMPT_FILE: &str = "ORCH_PROMPT_FILE";

/// The rendered prompt, in the attempt's folder.
pub const PROMPT_NAME: &str = "prompt.md";

/// Folder in the attempt's folder in which an agent may leave what it likes.
pub const OUT_NAME: &str = "out";

/// Folder in the attempt's folder that is its `TMPDIR`.
pub const TMP_NAME: &str = "tmp";

pub(super) fn plan(
    agent: &Agent,
    limits: Limits,
    key: AttemptKey,
    nonce: Nonce,
    site: &Site<'_>,
    host: &HostEnv,
) -> Result<AttemptPlan, PlanError> {
    let row = agent.profile.row();
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let prompt = site.attempt_dir.join(PROMPT_NAME);
    let out = site.attempt_dir.join(OUT_NAME);
    let own = vec![
        ("ORCH_ATTEMPT_DIR", text(out)),
        ("TMPDIR", text(site.attempt_dir.join(TMP_NAME))),
        (PROMPT_FILE, text(prompt.clone())),
    ];
    let env = environment(&agent.env, Some(agent.profile), own, (&key, site), host);
    let shown = match &agent.command {
        Some(command) => command.clone(),
        None => Argv::new(words(&row, agent, &agent.caps, &text(prompt.clone())))?,
    };
    let names_file = shown.words().iter().any(|word| word.contains(concat!("${", "ORCH_PROMPT_FILE", "}")));
    let argv = expand(&shown, &env)?;
    Ok(AttemptPlan {
        key,
        nonce,
        producer: ProducerKind::Agent,
        argv,
        shown,
        cwd: site.worktree.to_owned(),
        env,
        limits,
        // Nothing of its output is a suite's, and no limit of ours is its verdict.
        declared: Declared { evidence: EvidenceKind::Auto, min_tests: 0, on_timeout: OnTimeout::Hold },
        reports: Vec::new(),
        attempt_dir: Some(site.attempt_dir.to_owned()),
        agent: Some(AgentPlan {
            profile: agent.profile,
            prompt,
            on_stdin: matches!(row.channel, PromptChannel::Stdin) && !names_file,
            tells_first_event: row.format.has_events(),
            cage: Cage { require: agent.require, ..Cage::default() },
        }),
        remote: None,
    })
}

/// The tool's command, with what it may use up where it has an option for that. The prompt is never a word of it.
fn words(row: &Profile, agent: &Agent, caps: &Caps, prompt: &str) -> Vec<String> {
    let mut words: Vec<String> = row.argv.iter().map(|word| (*word).to_owned()).collect();
    let permissions = match agent.permissions {
        Permissions::Kept => row.careful,
        Permissions::Skipped => row.bypass,
    };
    words.extend(permissions.iter().map(|word| (*word).to_owned()));
    if let (Some(option), Some(turns)) = (row.max_turns, caps.turns) {
        words.extend([option.to_owned(), turns.to_string()]);
    }
    if let (Some(option), Some(cost)) = (row.max_cost, caps.micro_usd) {
        words.extend([option.to_owned(), format!("{}.{:06}", cost / 1_000_000, cost % 1_000_000)]);
    }
    if let PromptChannel::File(option) = row.channel {
        words.extend([option.to_owned(), prompt.to_owned()]);
    }
    words.extend(row.last.iter().map(|word| (*word).to_owned()));
    words
}

/// The first cap that is reached, where one is: its word, what was used up, and what it allows.
pub fn cap_reached(caps: &Caps, used: &Usage) -> Option<(&'static str, u64, u64)> {
    let rows = [
        ("turns", caps.turns, used.turns),
        ("tokens", caps.tokens, used.tokens()),
        (MICRO_USD, caps.micro_usd, used.micro_usd),
    ];
    rows.into_iter().find_map(|(word, cap, used)| {
        let (cap, used) = (cap?, used?);
        (used >= cap).then_some((word, used, cap))
    })
}

/// What is left of the caps once something was used up.
#[must_use]
pub fn caps_left(caps: &Caps, used: &Usage) -> Caps {
    let left = |cap: Option<u64>, used: Option<u64>| cap.map(|cap| cap.saturating_sub(used.unwrap_or(0)));
    Caps {
        turns: left(caps.turns, used.turns),
        tokens: left(caps.tokens, used.tokens()),
        micro_usd: left(caps.micro_usd, used.micro_usd),
    }
}

/// What a gate reads in an artifact, in words for an agent; `None` where an agent has no such gate.
pub fn contract(gate: &Gate) -> Option<String> {
    let form = |keys: &str| {
        format!(
            "It is Markdown and begins at its first byte with front matter: a line `---`, then {keys}, then a line \
             `---`. Each key stands once, in lower case, as `key: WORD`; the words are exact. Below it a person reads \
             what was done. Other texts, such as a verdict in a code block, count for nothing."
        )
    };
    let words = |list: &[String]| list.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    match gate {
        Gate::TestsPassed => Some(form("`result: PASS` or `result: FAIL`")),
        Gate::StagingStatus => Some(form("`staging_status: SUCCESS` or `staging_status: FAILED`")),
        Gate::Key(gate) => Some(form(&format!(
            "the key `{}` with {} for a pass{}",
            gate.key,
            words(&gate.pass),
            if gate.fail.is_empty() { String::new() } else { format!(", or with {} for a fail", words(&gate.fail)) }
        ))),
        Gate::None | Gate::Approved => None,
    }
}
