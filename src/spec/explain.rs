//! What each code means: a paragraph, what is wrong, and how it is right. `orch explain ORCH0007` and
//! `docs/reference/problems.md` show it.

use super::code::Code;

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// A paragraph about the problem and why orch refuses it.
    pub about: &'static str,
    /// A fragment of a file that has it; empty where none can be shown.
    pub wrong: &'static str,
    /// The same without it.
    pub right: &'static str,
}

const fn explanation(about: &'static str, wrong: &'static str, right: &'static str) -> Explanation {
    Explanation { about, wrong, right }
}

impl Code {
    /// What the code means.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::FileTooLarge => explanation(
                "A pipeline file is at most 8 MiB, and is refused by its size before anything of it is looked at. \
                 Ten thousand stages need about half of that.",
                "# a file of 9 MiB",
                "# a file for people to read; generated ones are split by pipeline",
            ),
            Self::NotUtf8 => explanation(
                "The file is read as UTF-8. Files that look like UTF-16 or UTF-32 are named as such; otherwise the \
                 first byte that does not belong is shown.",
                "name: caf\\xe9      # Latin-1",
                "name: café         # UTF-8",
            ),
            Self::ByteOrderMark => explanation(
                "Some editors put an invisible mark before the first character. It is refused, because the hash of \
                 the bytes is what a run is pinned to, and a mark that nobody sees should not make two files of one.",
                "\\xEF\\xBB\\xBFversion: 1",
                "version: 1",
            ),
            Self::ControlCharacter => explanation(
                "NUL, escape, a carriage return without a line feed, C1 controls, line separators and the marks that \
                 turn the direction of text are refused: what a person reviews should be what orch reads. Lines may \
                 end in `\\n` or `\\r\\n`.",
                "name: a<ESC>[31mb",
                "name: ab",
            ),
            Self::Tab => explanation(
                "YAML forbids tabs for indentation and allows them in a few other places, where nobody sees the \
                 difference. orch allows them nowhere.",
                "stages:\n	testing:",
                "stages:\n  testing:",
            ),
            Self::EmptyFile => explanation(
                "The file holds nothing but blanks and comments.",
                "# to be written",
                "version: 1\nname: delivery\nstages: { … }",
            ),
            Self::Syntax => explanation(
                "The text cannot be read as YAML 1.2. The place is where the parser could not go on; the mistake is \
                 often on the line above: a bracket or a quote that stays open, or a line that is indented \
                 differently from its neighbours.",
                "pass: [READY\nfail: [BLOCKED]",
                "pass: [READY]\nfail: [BLOCKED]",
            ),
            Self::TooDeep => explanation(
                "Lists and maps are nested more than 16 deep. A pipeline needs seven.",
                "[[[[[[[[[[[[[[[[[ … ",
                "[cargo, test]",
            ),
            Self::TooManyNodes => explanation(
                "A file has at most 1,000,000 values, and a list or map other than `stages` at most 4,096 entries.",
                "command: [a, a, a, …]   # 5,000 words",
                "command: [xargs, -a, words.txt, program]",
            ),
            Self::SecondDocument => explanation(
                "`---` begins a second document. A file holds one pipeline; a `---` before the first key is fine.",
                "name: a\n---\nname: b",
                "name: a",
            ),
            Self::Anchor => explanation(
                "`&name` and `*name` make one value stand in several places. A few lines of them can stand for \
                 gigabytes, and a reader has to look in two places. A pipeline has none; limits that stages share go \
                 under `defaults:`.",
                "a: &limits { timeout: 5m }\nb: *limits",
                "defaults: { timeout: 5m }",
            ),
            Self::Tag => explanation(
                "`!name` makes another type of a value, in some tools even code. A pipeline has no tags, not even \
                 the standard ones.",
                "timeout: !!str 30s",
                "timeout: 30s",
            ),
            Self::MergeKey => explanation(
                "`<<` is YAML 1.1 and not in YAML 1.2. A pipeline has no merge keys.",
                "testing:\n  <<: *base",
                "defaults: { timeout: 5m }",
            ),
            Self::Directive => explanation(
                "Lines that begin with `%` tell a YAML reader about versions and tags. A pipeline needs neither.",
                "%YAML 1.2\n---\nversion: 1",
                "version: 1",
            ),
            Self::KeyNotText => explanation(
                "A key is a word. Numbers, booleans, lists, maps and nothing at all are other things in YAML, and \
                 tools disagree about them as keys. Quotes make a word of anything.",
                "env: { set: { 1: one } }",
                "env: { set: { ONE: one } }",
            ),
            Self::DuplicateKey => explanation(
                "A map holds each key once. Many YAML readers keep the last one silently; which one was meant only \
                 its author knows.",
                "timeout: 5m\ntimeout: 10m",
                "timeout: 10m",
            ),
            Self::TooManyProblems => explanation(
                "A hundred problems are shown; this last one counts the others. Mending the first ones often mends \
                 the rest.",
                "",
                "",
            ),
            Self::UnknownKey => explanation(
                "The map has no such key. Unknown keys are never ignored: a misspelt `min-tests` that is silently \
                 dropped could let an empty suite pass.",
                "comand: [cargo, test]",
                "command: [cargo, test]",
            ),
            Self::MissingKey => explanation(
                "The map needs this key.",
                "transitions: { pass: done }",
                "transitions: { pass: done, fail: hold }",
            ),
            Self::WrongShape => explanation(
                "A list stands where a map is wanted, or a single value where a list is, or nothing at all.",
                "stages:\n  - name: testing",
                "stages:\n  testing: { … }",
            ),
            Self::NotText => explanation(
                "A text is wanted, and what stands there is a number, a boolean or nothing to YAML. In quotes it is \
                 a text. Words of a command and values of variables are taken as they are written and need no \
                 quotes.",
                "name: 1.10",
                "name: \"1.10\"",
            ),
            Self::NotBoolean => explanation(
                "Only `true` and `false` are booleans. `yes`, `on` and their like were booleans in YAML 1.1 and are \
                 texts today; quoted words are texts too.",
                "idempotent: yes",
                "idempotent: true",
            ),
            Self::NotCount => explanation(
                "A count is written in decimal digits, without sign, point, exponent or quotes, and lies within the \
                 limits that the message names.",
                "retries: -1",
                "retries: 3",
            ),
            Self::Version => explanation(
                "The first key says which version of this form the file keeps. This orch reads version 1. Nothing \
                 else of a file with another version is judged.",
                "version: 2",
                "version: 1",
            ),
            Self::BadName => explanation(
                "Names of stages, budgets, groups and pipelines end up in paths, in the environment and in other \
                 files, so their letters are few. The help of the problem says which.",
                "stages: { Run Tests: { … } }",
                "stages: { run-tests: { … } }",
            ),
            Self::ReservedName => explanation(
                "`done`, `failed` and `hold` say where a transition leads, and `none` that there is no gate. No \
                 stage can have these names.",
                "stages: { done: { … } }",
                "stages: { release: { … } }",
            ),
            Self::PathOutside => explanation(
                "Paths are relative to the worktree and cannot leave it: no leading `/`, no `..`, no `.`, no empty \
                 part, no `\\`, and never inside `.git`.",
                "artifact: ../13-test-report.md",
                "artifact: 13-test-report.md",
            ),
            Self::ArtifactsFolder => explanation(
                "The folder of the artifacts may hold `{task}` once, for the task's name, and no other placeholder. \
                 A part that begins with `.` and holds `{task}` is refused, because some task would make `.git` of \
                 it.",
                "artifacts: docs/{run}",
                "artifacts: docs/work-items/{task}",
            ),
            Self::Duration => explanation(
                "A duration is whole numbers with units, the largest unit first: `ms`, `s`, `m`, `h`, `d`. A number \
                 without a unit is refused, because people read it as seconds and as minutes.",
                "timeout: 30",
                "timeout: 30s",
            ),
            Self::DurationRange => explanation(
                "Durations are at most 30 days, and a limit other than `grace` is more than nothing.",
                "timeout: 0s",
                "timeout: 30m",
            ),
            Self::Backoff => explanation(
                "The pauses between further attempts begin with the first duration, double each time and stop at the \
                 second: `30s..10m`.",
                "backoff: 10m..30s",
                "backoff: 30s..10m",
            ),
            Self::UnknownWord => explanation(
                "Only some words are known here; the help names them.",
                "profile: claud-code",
                "profile: claude-code",
            ),
            Self::OneProducer => explanation(
                "A stage has exactly one producer: `agent`, `test-runner`, `staging-runner`, `command` or \
                 `approval`. A second one is a stage of its own, or the `fallback` of a switch.",
                "producer:\n  command: [make]",
                "producer:\n  command: { command: [make], evidence: exit-code }",
            ),
            Self::CommandString => explanation(
                "A command is a list of words that is started directly. In one string every tool splits words \
                 differently, and a shell would run what a name or title smuggles in. Where a shell is meant, write \
                 it: everybody sees it then.",
                "command: cargo test --all",
                "command: [cargo, test, --all]",
            ),
            Self::EmptyCommand => {
                explanation("The first word of a command is its program.", "command: []", "command: [cargo, test]")
            }
            Self::NulInCommand => explanation(
                "No process can be given a word or a variable with a NUL byte.",
                "command: [printf, \"a\\0b\"]",
                "command: [printf, \"a\\\\0b\"]",
            ),
            Self::Variable => explanation(
                "`${NAME}` in a word of a command stands for one of orch's own variables (`ORCH_TASK`, `ORCH_RUN`, \
                 `ORCH_STAGE`, `ORCH_ATTEMPT`, `ORCH_WORKTREE`, `ORCH_BASE_COMMIT`, `ORCH_ARTIFACTS`; \
                 `ORCH_ATTEMPT_DIR` where a report stands in the attempt's folder) or for a name that `env:` \
                 declares. It stays one word whatever its value holds. A literal `${` is written `$${`.",
                "command: [deploy, \"${TARGET}\"]",
                "command: [deploy, \"${TARGET}\"]\nenv: { pass: [TARGET] }",
            ),
            Self::Host => explanation(
                "A host that begins with `-` would be an option to ssh, and one with blanks or quotes could be more. \
                 Hosts are `[user@]host` of letters, digits, `.`, `_` and `-`, a letter or digit first, or an IPv6 \
                 address in brackets. One `${NAME}` may stand for a part, and its value is held to the same rule.",
                "host: \"-oProxyCommand=touch pwned\"",
                "host: \"deploy@${ORCH_STAGING_HOST}\"",
            ),
            Self::ClosingLine => explanation(
                "The pattern of a closing line proves that a suite ran and how many tests failed. It names groups \
                 out of `total`, `passed`, `failed` and `skipped`, at least `failed`, or `total` and `passed`; it \
                 matches no empty line; and it is a regular expression of the Rust crate `regex`, which has no \
                 look-around and no back-references, and takes linear time.",
                "closing-line: 'all done'",
                "closing-line: '(?P<total>\\d+) checks, (?P<failed>\\d+) failed'",
            ),
            Self::EvidenceSettings => explanation(
                "`closing-line` and `exit` are read only with the evidence of the same name, and the adapters \
                 `junit` and `exit-file` need the report that they read. A setting that nothing reads is a \
                 misunderstanding.",
                "evidence: junit",
                "evidence: junit\nreport: { junit: target/junit.xml }",
            ),
            Self::EvidenceMissing => explanation(
                "A `command` may be anything, so it says what proves its work: `exit-code` for formatters, linters \
                 and builds; for a test suite an adapter, `auto`, or a closing line.",
                "command: { command: [cargo, fmt, --check] }",
                "command: { command: [cargo, fmt, --check], evidence: exit-code }",
            ),
            Self::ExitMap => explanation(
                "An exit map names the codes that mean pass and those that mean fail; no code means both, and at \
                 least one means pass. Any other code holds the task. Without a map 0 passes and 1 fails.",
                "exit: { pass: [0, 1] }",
                "exit: { pass: [0, 1], fail: [2] }",
            ),
            Self::EnvName => explanation(
                "Variables are letters, digits and `_`, no digit first. In `pass` a name may end in `*` and then \
                 means every name that begins so; `*` alone is refused, because it would hand every secret on.",
                "env: { pass: [\"*\"] }",
                "env: { pass: [\"CARGO_*\"] }",
            ),
            Self::EnvReserved => explanation(
                "Names that begin with `ORCH_` are set by orch.",
                "env: { set: { ORCH_TASK: x } }",
                "env: { set: { TASK: x } }",
            ),
            Self::Report => explanation(
                "A report is one file, below the worktree or below the attempt's own folder, `{attempt}/`. Patterns \
                 and other placeholders are refused; two reports are two files.",
                "report: { junit: \"target/*.xml\" }",
                "report: { junit: \"{attempt}/junit.xml\" }",
            ),
            Self::AgentCommand => explanation(
                "Known profiles bring their own command; `custom` needs one.",
                "agent: { profile: custom, prompt: p.md }",
                "agent: { profile: custom, prompt: p.md, command: [my-agent] }",
            ),
            Self::Smoke => explanation(
                "A smoke check is a GET of a plain `http` or `https` URL: no user, no variables, no blanks. A \
                 stage has at most 32.",
                "smoke: [{ get: \"ftp://host\" }]",
                "smoke: [{ get: \"http://127.0.0.1:8080/health\", expect: 200 }]",
            ),
            Self::Writes => explanation(
                "Globs of what an agent may change are relative to the worktree and cannot leave it, nor reach into \
                 `.git`.",
                "writes: [\"../**\"]",
                "writes: [\"src/**\"]",
            ),
            Self::PromptText => explanation(
                "A prompt is a file of at most 256 KiB of UTF-8 text, without NUL bytes, and not empty. It is read when \
                 a run starts, and what was read then counts for the whole run, whatever an agent does to the file.",
                "# an empty file",
                "Make the change that docs/work-items/{{task}}/10-plan.md describes.",
            ),
            Self::PromptVariable => explanation(
                "`{{name}}` in a prompt is one of orch's variables: `task`, `stage`, `visit`, `attempt`, `worktree`, \
                 `base-commit`, `artifact`, `contract`, `findings`, or `artifacts/FILE` for what another stage wrote. \
                 A name that is none of them is refused before anything starts; it would reach the agent as it stands.",
                "Write {{artefact}}.",
                "Write {{artifact}}. A literal is written \\{{so}}.",
            ),
            Self::AgentCap => explanation(
                "A cap counts what the tool's own event stream tells. A tool that does not tell it would never reach \
                 the cap, so the cap is refused.",
                "agent: { profile: aider, prompt: p.md, max-cost: \"5.00\" }",
                "agent: { profile: claude-code, prompt: p.md, max-cost: \"5.00\" }",
            ),
            Self::MayWrite => explanation(
                "A contained agent writes in the worktree, in its own folder and nowhere else. `may-write` names what \
                 more it needs, such as the folder in which its tool keeps its sessions: an absolute path, or one below \
                 `~/`, without `.` and `..`. Folders that hold keys cannot be named.",
                "may-write: [../other, ~/.ssh]",
                "may-write: [~/.claude, ~/.claude.json]",
            ),
            Self::Shadow => explanation(
                "A shadow is an agent that does the work of a runner beside it, in a worktree of its own. The gate reads \
                 the runner's artifact, and what the shadow came to is compared with it and decides nothing. So the \
                 stage's producer is a `test-runner`, a `staging-runner` or a `command`, its gate can read an agent's \
                 artifact, and `shadow: agent` has an agent as the `fallback` to name.",
                "producer:\n  agent: { profile: claude-code, prompt: p.md }\nshadow: test-runner",
                "producer:\n  test-runner: { command: [make, check] }\nshadow:\n  agent: { profile: claude-code, prompt: p.md }",
            ),
            Self::MissingGate => explanation(
                "Every stage says what reads its artifact. Where a deterministic producer's own end decides, that is \
                 said too: `gate: none`.",
                "testing:\n  producer: { … }\n  transitions: { … }",
                "testing:\n  producer: { … }\n  gate: none\n  transitions: { … }",
            ),
            Self::UnknownGate => explanation(
                "Built-in gates are `tests-passed`, `staging-status`, `approved` and `none`. Any other is declared: \
                 a key of the artifact's front matter, and the words that mean pass and fail.",
                "gate: test-passed",
                "gate: tests-passed",
            ),
            Self::GateDoesNotFit => explanation(
                "An agent is believed only through a gate, so `none` is for deterministic producers. A runner writes \
                 the artifact of its own kind, so the other runner's gate would never find its key. A person's \
                 approval is read by `approved` alone and never stands for a test gate. A fallback keeps the stage's \
                 gate, and must fit it too.",
                "producer: { approval: {} }\ngate: tests-passed",
                "producer: { approval: {} }\ngate: approved",
            ),
            Self::GateWithoutArtifact => explanation(
                "A gate reads the stage's artifact, so the stage names its file.",
                "gate: tests-passed",
                "artifact: 13-test-report.md\ngate: tests-passed",
            ),
            Self::ArtifactWithoutGate => explanation(
                "With `gate: none` no artifact is written and none is read.",
                "artifact: lint.md\ngate: none",
                "gate: none",
            ),
            Self::GateWords => explanation(
                "A declared gate has a key (`[a-z][a-z0-9_-]{0,63}`), at least one word that means pass, and no word \
                 that means both. Words are compared letter by letter.",
                "gate: { key: status, pass: [OK], fail: [OK] }",
                "gate: { key: status, pass: [OK], fail: [BAD] }",
            ),
            Self::DuplicateArtifact => explanation(
                "Two stages would write one file, on some file systems also where only case or the way letters are \
                 composed differs; or one would need a folder where the other writes a file.",
                "a: { artifact: report.md, … }\nb: { artifact: Report.md, … }",
                "a: { artifact: 11-a.md, … }\nb: { artifact: 12-b.md, … }",
            ),
            Self::InfraTransition => explanation(
                "Only a verdict moves a task. A fault of the environment is tried again as `infra` says, and then \
                 held for its probe or a person; it can lead neither forward nor back, and it charges nobody.",
                "infra: { rollback: development }",
                "infra: { retries: 3, backoff: 30s..10m }",
            ),
            Self::FailAdvances => explanation(
                "A fail never leads forward. It holds the task, ends it, or rolls it back to an earlier stage and \
                 charges a budget for that.",
                "fail: done",
                "fail: { rollback: development, charge: developer-retry }",
            ),
            Self::PassDoesNotAdvance => explanation(
                "A pass leads to a further stage or to `done`. To let a person decide first, add a stage with \
                 `approval: {}`.",
                "pass: hold",
                "pass: approval",
            ),
            Self::UnknownStage => {
                explanation("The transition leads to a stage that is not in the file.", "pass: tesing", "pass: testing")
            }
            Self::UnknownBudget => explanation(
                "The rollback charges a budget that is not declared under `budgets`.",
                "fail: { rollback: a, charge: retries }",
                "budgets: { retries: 3 }",
            ),
            Self::RollbackWithoutCharge => explanation(
                "A rollback is a loop, and a loop needs a bound: the budget that it charges. When the budget is \
                 spent, the task is held.",
                "fail: { rollback: development }",
                "fail: { rollback: development, charge: developer-retry }",
            ),
            Self::RollbackForward => explanation(
                "A rollback leads back: to the stage itself, or to one whose passes lead here again. Anything else \
                 would skip gates on the way.",
                "development:\n  transitions: { pass: testing, fail: { rollback: testing, charge: retry } }",
                "testing:\n  transitions: { pass: done, fail: { rollback: development, charge: retry } }",
            ),
            Self::UnboundedLoop => explanation(
                "Passes that lead round in a circle never end and charge nobody. Only a rollback leads back.",
                "a: { transitions: { pass: b, … } }\nb: { transitions: { pass: a, … } }",
                "a: { transitions: { pass: b, … } }\nb: { transitions: { pass: done, … } }",
            ),
            Self::Unreachable => explanation(
                "No chain of passes and rollbacks from the first stage leads here. It is asked once all other \
                 transitions are known, so a misspelt one is not reported twice.",
                "a: { transitions: { pass: done, … } }\nb: { … }",
                "a: { transitions: { pass: b, … } }\nb: { … }",
            ),
            Self::NoStages => {
                explanation("A pipeline has at least one stage.", "stages: {}", "stages: { testing: { … } }")
            }
            Self::TooManyStages => explanation(
                "A pipeline has at most 10,000 stages.",
                "# 10,001 stages",
                "# pipelines of their own for tasks of their own",
            ),
            Self::FallbackWithoutSwitch => explanation(
                "A fallback runs where the producer is switched off, or the repository is out of the switch's scope; \
                 never because of a fault. Without a switch it could never run.",
                "fallback: { agent: { … } }",
                "switch: ORCH_TEST_RUNNER\nfallback: { agent: { … } }",
            ),
            Self::Detached => explanation(
                "`docker exec -d` (and `podman exec -d`) ends at once and with 0, whatever becomes of the command in the container: \
                 nothing that it says or does could be judged.",
                "command: [docker, exec, -d, app, make, check]",
                "command: [docker, exec, app, make, check]",
            ),
            Self::DuplicateStage => explanation(
                "Stages are told apart by their names. In a file two equal keys are reported as ORCH0016; this code \
                 is for pipelines that are put together by other means.",
                "",
                "",
            ),
        }
    }
}

/// `docs/reference/problems.md`: every code with its explanation.
pub fn reference() -> String {
    let mut out = String::from(
        "# Problems of a pipeline file\n\n\
         Written from the table of codes in `src/spec/`; a test keeps it equal. `orch pipeline validate` shows problems with\n\
         these codes, `orch explain CODE` shows what stands here. A code never changes its meaning.\n",
    );
    for code in Code::ALL {
        let Explanation { about, wrong, right } = code.explanation();
        out.extend(["\n## ", code.as_str(), ": ", code.title(), "\n\n", about, "\n"]);
        if !wrong.is_empty() {
            out.extend(["\nWrong:\n\n```yaml\n", wrong, "\n```\n\nRight:\n\n```yaml\n", right, "\n```\n"]);
        }
    }
    out
}
