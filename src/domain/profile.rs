//! The one table of agent tools: how each is started, how it is given its prompt, what its event stream looks like,
//! and which texts of its own error channel are faults of its provider (`ECOSYSTEM.md` §5).
//!
//! Every vendor rewords these within a year, so they are data, and a test puts each into its tool's own error event. A
//! text that is not here makes no fault: the end is `unclassified`, tried once more and held.

use super::agent::AgentProfile;
use super::evidence::FaultKind;

/// How a tool is given its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptChannel {
    /// On standard input.
    Stdin,
    /// As a file whose path follows this option.
    File(&'static str),
}

/// Form of a tool's event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    /// `--output-format stream-json` of Claude Code.
    ClaudeCode,
    /// `--json` of Codex.
    Codex,
    /// `--output-format stream-json` of Gemini.
    Gemini,
    /// `--format json` of opencode.
    Opencode,
    /// None: its exit is its end.
    None,
}

impl EventFormat {
    /// Whether the end of its work is told by an event.
    pub const fn has_events(self) -> bool {
        match self {
            Self::ClaudeCode | Self::Codex | Self::Gemini | Self::Opencode => true,
            Self::None => false,
        }
    }
}

/// What a tool's format tells of what it used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tells {
    /// Turns.
    pub turns: bool,
    /// Tokens.
    pub tokens: bool,
    /// Cost.
    pub cost: bool,
}

/// A text of a tool's own error channel, and what it means. Compared without regard to case.
#[derive(Debug, Clone, Copy)]
pub struct AgentSignature {
    /// Stable id.
    pub id: &'static str,
    /// What must stand in the text.
    pub text: &'static str,
    /// What it means.
    pub means: Meaning,
}

/// What a text of an error channel means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A fault of the provider, the account or the network.
    Fault(FaultKind),
    /// The agent has no room left in its context: no fault, and no verdict.
    Context,
}

/// A tool.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Program and arguments, before the limits.
    pub argv: &'static [&'static str],
    /// Arguments behind everything else.
    pub last: &'static [&'static str],
    /// What it is told where its own permission checks stay in force.
    pub careful: &'static [&'static str],
    /// What tells it to ask nobody; empty where it has no such option.
    pub bypass: &'static [&'static str],
    /// How it is given its prompt.
    pub channel: PromptChannel,
    /// Its event stream.
    pub format: EventFormat,
    /// Option that limits its turns.
    pub max_turns: Option<&'static str>,
    /// Option that limits its cost, in US dollars.
    pub max_cost: Option<&'static str>,
    /// What its format tells.
    pub tells: Tells,
    /// Variables with its credentials, passed on where they are set; their values are secrets.
    pub secrets: &'static [&'static str],
    /// Further variables that are passed on where they are set.
    pub passed: &'static [&'static str],
    /// Exit codes that name a fault of the set-up, where no terminal event came.
    pub set_up_codes: &'static [(u8, &'static str)],
    /// Exit code that says that the turns are used up.
    pub turns_code: Option<u8>,
    /// Its own texts.
    pub signatures: &'static [AgentSignature],
    /// How a line of its stderr begins in which it tells an error of its own, behind a time where there is one, in lower
    /// case; empty where every line is its own.
    pub stderr_begins: &'static [&'static str],
    /// The same of its stdout; empty where it tells no errors there.
    pub stdout_begins: &'static [&'static str],
    /// How a line of its stdout begins that it writes after an answer of the model: an error before it was got over.
    pub answered_begins: &'static str,
}

const TRANSIENT: Meaning = Meaning::Fault(FaultKind::Transient);
const PERMANENT: Meaning = Meaning::Fault(FaultKind::Permanent);

const fn means(id: &'static str, text: &'static str, means: Meaning) -> AgentSignature {
    AgentSignature { id, text, means }
}

/// Longer texts stand before shorter ones that are part of them: the first that is found counts.
const CLAUDE_CODE: &[AgentSignature] = &[
    means("claude-context", "prompt is too long", Meaning::Context),
    means("claude-credit", "credit balance is too low", PERMANENT),
    means("claude-login", "not logged in", PERMANENT),
    means("claude-login", "please run /login", PERMANENT),
    means("claude-key", "invalid api key", PERMANENT),
    means("claude-token", "oauth token revoked", PERMANENT),
    means("claude-token", "oauth token has expired", PERMANENT),
    means("claude-organization", "organization has been disabled", PERMANENT),
    means("claude-tls", "ssl certificate verification failed", PERMANENT),
    means("claude-auth", "authentication_failed", PERMANENT),
    means("claude-auth", "authentication_error", PERMANENT),
    means("claude-billing", "billing_error", PERMANENT),
    means("claude-window", "hit your session limit", TRANSIENT),
    means("claude-window", "weekly limit", TRANSIENT),
    means("claude-window", "usage limit reached", TRANSIENT),
    means("claude-overloaded", "overloaded", TRANSIENT),
    means("claude-limit", "temporarily limiting requests", TRANSIENT),
    means("claude-limit", "request rejected (429)", TRANSIENT),
    means("claude-limit", "rate_limit", TRANSIENT),
    means("claude-server", "internal server error", TRANSIENT),
    means("claude-server", "server_error", TRANSIENT),
    means("claude-timeout", "request timed out", TRANSIENT),
    means("claude-network", "unable to connect to api", TRANSIENT),
];

const CODEX: &[AgentSignature] = &[
    means("codex-context", "context window", Meaning::Context),
    means("codex-auth", "401 unauthorized", PERMANENT),
    means("codex-auth", "403 forbidden", PERMANENT),
    means("codex-repository", "not inside a trusted directory", PERMANENT),
    means("codex-window", "hit your usage limit", TRANSIENT),
    means("codex-stream", "stream disconnected before completion", TRANSIENT),
    means("codex-network", "error sending request", TRANSIENT),
    means("codex-limit", "exceeded retry limit, last status: 429", TRANSIENT),
    means("codex-server", "exceeded retry limit, last status: 5", TRANSIENT),
];

const GEMINI: &[AgentSignature] = &[
    means("gemini-validation", "validation_required", PERMANENT),
    means("gemini-key", "api key not valid", PERMANENT),
    means("gemini-window", "quota_exhausted", TRANSIENT),
    means("gemini-window", "terminalquotaerror", TRANSIENT),
    means("gemini-limit", "rate_limit_exceeded", TRANSIENT),
    means("gemini-limit", "retryablequotaerror", TRANSIENT),
    means("gemini-limit", "please retry in", TRANSIENT),
    means("gemini-server", "503 service unavailable", TRANSIENT),
];

const OPENCODE: &[AgentSignature] = &[
    means("opencode-auth", "providerautherror", PERMANENT),
    means("opencode-key", "invalid api key", PERMANENT),
    means("opencode-window", "usage limit reached", TRANSIENT),
    means("opencode-overloaded", "overloaded", TRANSIENT),
    means("opencode-limit", "rate limit", TRANSIENT),
];

/// litellm's names, as aider's own table of exceptions has them.
const AIDER: &[AgentSignature] = &[
    means("aider-context", "contextwindowexceedederror", Meaning::Context),
    means("aider-auth", "litellm.authenticationerror", PERMANENT),
    means("aider-auth", "litellm.permissiondeniederror", PERMANENT),
    means("aider-model", "litellm.notfounderror", PERMANENT),
    means("aider-limit", "litellm.ratelimiterror", TRANSIENT),
    means("aider-server", "litellm.serviceunavailableerror", TRANSIENT),
    means("aider-server", "litellm.internalservererror", TRANSIENT),
    means("aider-timeout", "litellm.timeout", TRANSIENT),
    means("aider-network", "litellm.apiconnectionerror", TRANSIENT),
];

const NOTHING: Tells = Tells { turns: false, tokens: false, cost: false };

impl AgentProfile {
    /// Every profile, in the order they are listed to people.
    pub const ALL: [Self; 6] = [Self::ClaudeCode, Self::Codex, Self::Gemini, Self::Opencode, Self::Aider, Self::Custom];

    /// The word of the pipeline file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Aider => "aider",
            Self::Custom => "custom",
        }
    }

    /// Its row.
    pub const fn row(self) -> Profile {
        match self {
            Self::ClaudeCode => Profile {
                argv: &["claude", "-p", "--output-format", "stream-json", "--verbose"],
                careful: &["--permission-mode", "acceptEdits"],
                bypass: &["--dangerously-skip-permissions"],
                format: EventFormat::ClaudeCode,
                max_turns: Some("--max-turns"),
                max_cost: Some("--max-budget-usd"),
                tells: Tells { turns: true, tokens: true, cost: true },
                secrets: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
                passed: &["ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "CLAUDE_CONFIG_DIR"],
                signatures: CLAUDE_CODE,
                ..PLAIN
            },
            Self::Codex => Profile {
                argv: &["codex", "exec", "--json"],
                last: &["-"],
                careful: &["--sandbox", "workspace-write"],
                bypass: &["--dangerously-bypass-approvals-and-sandbox"],
                format: EventFormat::Codex,
                tells: Tells { turns: true, tokens: true, cost: false },
                secrets: &["OPENAI_API_KEY", "CODEX_API_KEY"],
                passed: &["OPENAI_BASE_URL", "CODEX_HOME"],
                signatures: CODEX,
                // Its `tracing` lines, `main`'s own, and the client's; whatever else stands there is a tool's.
                stderr_begins: &["error:", "error ", "stream error"],
                ..PLAIN
            },
            Self::Gemini => Profile {
                argv: &["gemini", "--output-format", "stream-json"],
                careful: &["--approval-mode", "auto_edit"],
                bypass: &["--approval-mode", "yolo"],
                format: EventFormat::Gemini,
                tells: Tells { turns: false, tokens: true, cost: false },
                secrets: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
                passed: &["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_GENAI_USE_VERTEXAI"],
                set_up_codes: &[
                    (41, "it could not log in"),
                    (44, "its sandbox could not be started"),
                    (52, "its configuration is wrong"),
                    (55, "it does not trust the worktree"),
                ],
                turns_code: Some(53),
                signatures: GEMINI,
                ..PLAIN
            },
            Self::Opencode => Profile {
                argv: &["opencode", "run", "--format", "json", "--print-logs", "--log-level", "ERROR"],
                format: EventFormat::Opencode,
                tells: Tells { turns: true, tokens: true, cost: true },
                secrets: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"],
                signatures: OPENCODE,
                ..PLAIN
            },
            Self::Aider => Profile {
                // Without the last three it writes histories into the worktree, and itself into `.gitignore`.
                argv: &[
                    "aider",
                    "--yes-always",
                    "--no-stream",
                    "--no-check-update",
                    "--no-pretty",
                    "--no-gitignore",
                    "--chat-history-file",
                    "/dev/null",
                    "--input-history-file",
                    "/dev/null",
                ],
                channel: PromptChannel::File("--message-file"),
                secrets: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"],
                signatures: AIDER,
                // `tool_error` of aider/io.py prints what litellm raised on stdout; `show_usage_report` follows an answer.
                stdout_begins: &["litellm."],
                answered_begins: "tokens: ",
                ..PLAIN
            },
            Self::Custom => PLAIN,
        }
    }
}

/// A tool of which nothing is known.
const PLAIN: Profile = Profile {
    argv: &[],
    last: &[],
    careful: &[],
    bypass: &[],
    channel: PromptChannel::Stdin,
    format: EventFormat::None,
    max_turns: None,
    max_cost: None,
    tells: NOTHING,
    secrets: &[],
    passed: &[],
    set_up_codes: &[],
    turns_code: None,
    signatures: &[],
    stderr_begins: &[],
    stdout_begins: &[],
    answered_begins: "",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_lower_case_and_none_hides_another_meaning() {
        for profile in AgentProfile::ALL {
            let signatures = profile.row().signatures;
            for (at, signature) in signatures.iter().enumerate() {
                assert_eq!(signature.text, signature.text.to_lowercase(), "{}", signature.id);
                assert!(signature.text.len() >= 9, "{:?} is too short to mean anything", signature.text);
                let hidden = signatures[..at].iter().find(|earlier| signature.text.contains(earlier.text));
                assert!(hidden.is_none(), "{:?} is never reached", signature.text);
            }
        }
    }

    #[test]
    fn what_a_tool_is_told_to_keep_to_can_be_seen_afterwards() {
        for profile in AgentProfile::ALL {
            let row = profile.row();
            assert!(row.max_turns.is_none() || row.tells.turns, "{}", profile.as_str());
            assert!(row.max_cost.is_none() || row.tells.cost, "{}", profile.as_str());
            assert_eq!(row.argv.is_empty(), profile == AgentProfile::Custom);
        }
    }

    #[test]
    fn the_documentation_has_every_profile_and_its_variables() {
        let page = include_str!("../../docs/reference/agents.md");
        for profile in AgentProfile::ALL {
            assert!(page.contains(&format!("`{}`", profile.as_str())), "{}", profile.as_str());
            let row = profile.row();
            for name in row.secrets.iter().chain(row.passed) {
                assert!(page.contains(&format!("`{name}`")), "docs/reference/agents.md lacks {name}");
            }
            if !row.argv.is_empty() {
                assert!(page.contains(&row.argv.join(" ")), "docs/reference/agents.md lacks {:?}", row.argv);
            }
        }
    }
}
