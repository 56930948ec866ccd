//! The table as people read it: the reference, and the example for a service manager.

use std::fmt::Write as _;

use super::table::{Part, Reader, Setting, TABLE};

/// Head of the reference; `TABLE` follows.
const HEAD: &str = "\
# Switches and settings

Made from the table in `src/config/table.rs`: `ORCH_BLESS=1 cargo test --test config` writes it anew.

A setting is a variable of the environment that orch is started with. A flag outranks it, it outranks the pipeline file, and the
pipeline file outranks the default. `orch config show --origin` says what is in force and where it comes from. No `.env` file is read: an
agent could write one into the worktree. [.env.example](../../.env.example) is for the service manager that starts orch.

| variable | value | default | flag | what it does |
| --- | --- | --- | --- | --- |
";

/// What stands between the table and the switches of a pipeline.
const SWITCHES: &str = "
## Switches

A stage with `switch: NAME` in the pipeline file reads four variables, whatever the name is:

| variable | value | default | flag | what it does |
| --- | --- | --- | --- | --- |
";

/// What follows the tables.
const TAIL: &str = "
What a stage with a switch does:

| the switch is | a `fallback` is declared | what runs |
| --- | --- | --- |
| on, and the repository is in scope | either | the declared producer |
| off, or the repository is out of scope | yes | the fallback, as if the mechanism were not there: with the limits of the pipeline file |
| off, or the repository is out of scope | yes, and `--no-fallback` is given | nothing: the task is held |
| off, or the repository is out of scope | no | nothing: the task is held |

A fault of the environment never is a reason to fall back. Which producer was chosen, and why, stands in the record.

A stage without `switch:` is not governed by any. Where a `test-runner` stage has none while `ORCH_TEST_RUNNER_ENABLED` is off, or a
`staging-runner` stage while `ORCH_STAGING_RUNNER_ENABLED` is, it runs, and a warning says so.

## Values

- A switch is `true`, `1`, `on` or `yes`, or `false`, `0`, `off` or `no`, in any case.
- Numbers are decimal digits. `--timeout-s` and `--infra-retries` count for every stage of the run.
- A list of repositories has names separated by commas; blanks around them do not count, nor does case. A name is letters, digits, `.`, `_`,
  `-` and `/`. There are no patterns. An empty or blank list means every repository.
- An empty path or log filter counts as unset. An empty switch or number is malformed: give a value, or unset it.
- A malformed value, or one that is not UTF-8, is an error at start, also of a setting that nothing reads yet. All of them are told at once;
  the exit code is 3, and nothing is started.
- A variable that begins with `ORCH_` and is none of these gives a warning with the name that may be meant.

## The name of a repository

What the pipeline's `repository:` says; else the last part of the URL of the remote `origin`, without `.git`; else the folder that the
repository lies in. Names are compared whole: `team/store` in the pipeline file is not `store` in a list. The URL stands in the
repository's configuration, where an agent may write: where a scope must hold against one, say `repository:`.
";

/// `docs/reference/switches.md`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for setting in &TABLE {
        row(&mut text, setting.name, setting);
    }
    text.push_str(SWITCHES);
    for part in Part::ALL {
        row(&mut text, &format!("NAME{}", part.suffix()), &part.setting());
    }
    text.push_str(TAIL);
    text
}

fn row(text: &mut String, name: &str, setting: &Setting) {
    let flag = setting.flag.map(|flag| format!("`{flag}`")).unwrap_or_default();
    let yet = match setting.reader {
        Reader::Built => "",
        Reader::NotYet => ". Checked, and nothing reads it yet: it has no effect in this version",
    };
    let (kind, default, about) = (setting.kind.short(), setting.default, setting.about);
    writeln!(text, "| `{name}` | {kind} | {default} | {flag} | {about}{yet} |").expect("a String takes any text");
}

/// Head of the example.
const EXAMPLE_HEAD: &str = "\
# Settings of orch for the service manager that starts it, such as systemd's EnvironmentFile=.
# orch itself reads no .env file: an agent could write one into the worktree.
# Made from the table in src/config/table.rs; docs/reference/switches.md says more. Every line is commented out.
";

/// `.env.example`.
pub fn env_example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for setting in &TABLE {
        let yet = match setting.reader {
            Reader::Built => "",
            Reader::NotYet => " (nothing reads it yet)",
        };
        let (about, default) = (setting.about.replace('`', ""), setting.default.replace('`', ""));
        writeln!(text, "\n# {about}{yet}; default: {default}\n# {}={}", setting.name, setting.kind.example())
            .expect("a String takes any text");
    }
    text
}
