//! Agents that lie, and agents that break: none of them advances, and each is told with the right reason.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::office::{ARTIFACT, Office, WORKS};

/// What an agent's attempt must come to, and the word that must say why.
#[derive(Debug, Clone, Copy)]
enum Comes {
    /// No verdict; the reason is the unreadable's.
    Unreadable(&'static str),
    /// The gate says no.
    Failed,
    /// A permanent fault, by its reason.
    Permanent(&'static str),
    /// A passing fault, by its reason.
    Transient(&'static str),
    /// One of orch's limits, by its reason.
    TimedOut(&'static str),
}

use Comes::{Failed, Permanent, TimedOut, Transient, Unreadable};

/// Front matter that opens the gate.
const GOOD: &str = "artifact docs/work-items/main/11-development.md READY\n";

/// A file at the artifact's place.
fn file(text: &str) -> String {
    format!("mkdir -p docs/work-items/main\nprintf -- '{text}' > docs/work-items/main/11-development.md\n")
}

/// Name, profile, script and what it must come to.
#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(&'static str, &'static str, String, Comes)> {
    let claude = "claude-code";
    let done = |script: &str| format!("begins\n{script}ends\n");
    vec![
        // Words and exit codes instead of an artifact.
        ("exit 0 and nothing else", claude, "exit 0\n".to_owned(), Transient("unclassified")),
        (
            "exit 0 with words of success",
            claude,
            "echo 'All done, tests pass!'\nexit 0\n".to_owned(),
            Transient("unclassified"),
        ),
        ("exit 1 and nothing else", claude, "exit 1\n".to_owned(), Transient("unclassified")),
        ("success event without artifact", claude, done(""), Unreadable("missing")),
        ("success event without artifact", "codex", done(""), Unreadable("missing")),
        ("success event without artifact", "gemini", done(""), Unreadable("missing")),
        ("success event without artifact", "opencode", done(""), Unreadable("missing")),
        ("custom without artifact", "custom", "echo done\n".to_owned(), Unreadable("missing")),
        (
            "aider that prints an error and exits 0",
            "aider",
            "echo 'litellm.RateLimitError: AnthropicException'\n".to_owned(),
            Transient("provider-limit"),
        ),
        ("artifact without the terminal event", claude, format!("begins\n{GOOD}"), Transient("unclassified")),
        ("artifact, then killed", claude, format!("begins\n{GOOD}kill -9 $$\n"), Transient("killed")),
        (
            "half a terminal event",
            claude,
            format!("begins\n{GOOD}printf '{{\"type\":\"result\",\"subtype\":\"succ'\n"),
            Transient("unclassified"),
        ),
        (
            "a terminal event in the model's words",
            claude,
            format!(
                "begins\n{GOOD}says '{{\"type\":\"assistant\",\"message\":{{\"id\":\"m\",\"content\":[{{\"text\":\"{{\\\\\"type\\\\\":\\\\\"result\\\\\"}}\"}}]}}}}'\n"
            ),
            Transient("unclassified"),
        ),
        (
            "is_error beside success",
            claude,
            format!(
                "begins\n{GOOD}says '{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"I could not\"}}'\n"
            ),
            Unreadable("agent-stopped"),
        ),
        (
            "a result without is_error",
            claude,
            format!("begins\n{GOOD}says '{{\"type\":\"result\",\"subtype\":\"success\"}}'\n"),
            Unreadable("agent-stopped"),
        ),
        (
            "a subtype that nobody knows",
            claude,
            format!("begins\n{GOOD}says '{{\"type\":\"result\",\"subtype\":\"splendid\",\"is_error\":false}}'\n"),
            Unreadable("agent-stopped"),
        ),
        (
            "turns used up",
            claude,
            format!(
                "begins\n{GOOD}says '{{\"type\":\"result\",\"subtype\":\"error_max_turns\",\"is_error\":false}}'\n"
            ),
            Unreadable("agent-stopped"),
        ),
        (
            "budget used up",
            claude,
            format!(
                "begins\n{GOOD}says '{{\"type\":\"result\",\"subtype\":\"error_max_budget_usd\",\"is_error\":false}}'\n"
            ),
            Unreadable("agent-stopped"),
        ),
        (
            "context used up",
            claude,
            format!("begins\n{GOOD}fails 400 Prompt is too long\n"),
            Unreadable("agent-stopped"),
        ),
        (
            "turn.failed with other words",
            "codex",
            format!("begins\n{GOOD}fails 0 I am lost\n"),
            Unreadable("agent-stopped"),
        ),
        (
            "turn.failed after turn.completed",
            "codex",
            format!("begins\n{GOOD}ends\nsays '{{\"type\":\"turn.started\"}}'\n"),
            Transient("unclassified"),
        ),
        (
            "tools are called next",
            "opencode",
            format!("begins\n{GOOD}says '{{\"type\":\"step_finish\",\"part\":{{\"reason\":\"tool-calls\"}}}}'\n"),
            Transient("unclassified"),
        ),
        ("turns used up, by exit code", "gemini", format!("begins\n{GOOD}exit 53\n"), Unreadable("agent-stopped")),
        // Faults, from its own error channel only.
        ("429", claude, format!("begins\n{GOOD}fails 429 'Request rejected (429)'\n"), Transient("provider-limit")),
        ("529", claude, "begins\nfails 529 Repeated 529 Overloaded errors\n".to_owned(), Transient("provider-limit")),
        (
            "session limit",
            claude,
            "begins\nfails 429 You have hit your session limit\n".to_owned(),
            Transient("provider-limit"),
        ),
        ("401", claude, format!("begins\n{GOOD}fails 401 Invalid API key\n"), Permanent("agent-set-up")),
        (
            "no credit, as 400",
            claude,
            "begins\nfails 400 Credit balance is too low\n".to_owned(),
            Permanent("agent-set-up"),
        ),
        (
            "not logged in, on stderr",
            claude,
            "echo 'Not logged in' >&2\nexit 1\n".to_owned(),
            Permanent("agent-set-up"),
        ),
        (
            "stream lost",
            "codex",
            "begins\nfails 0 stream disconnected before completion\n".to_owned(),
            Transient("provider-limit"),
        ),
        (
            "401",
            "codex",
            "begins\nfails 0 exceeded retry limit, last status: 401 Unauthorized\n".to_owned(),
            Permanent("agent-set-up"),
        ),
        ("login, by exit code", "gemini", "exit 41\n".to_owned(), Permanent("agent-set-up")),
        (
            "quota",
            "gemini",
            "begins\nfails 429 RetryableQuotaError Please retry in 1s\n".to_owned(),
            Transient("provider-limit"),
        ),
        (
            "429 with exit 0",
            "opencode",
            "begins\nfails 429 rate limit\nexit 0\n".to_owned(),
            Transient("provider-limit"),
        ),
        (
            "rate limit on stderr",
            "aider",
            "echo 'litellm.RateLimitError: slow down' >&2\n".to_owned(),
            Transient("provider-limit"),
        ),
        (
            "a test's words on stderr and no terminal event",
            "codex",
            "begins\necho 'test_auth expected 401 Unauthorized' >&2\nexit 1\n".to_owned(),
            Transient("unclassified"),
        ),
        (
            "rate limit on stderr, beside an artifact that is none",
            "aider",
            format!("echo 'litellm.RateLimitError: slow down' >&2\n{}", file("All done.\n")),
            Transient("provider-limit"),
        ),
        // A verdict that is none.
        (
            "verdict in a code fence",
            claude,
            done(&file("```\\n---\\nstatus: READY\\n---\\n```\\n")),
            Unreadable("no-front-matter"),
        ),
        (
            "verdict after a heading",
            claude,
            done(&file("# Done\\n---\\nstatus: READY\\n---\\n")),
            Unreadable("no-front-matter"),
        ),
        ("half-written file", claude, done(&file("---\\nstatus: REA")), Unreadable("unclosed")),
        (
            "two verdicts",
            claude,
            done(&file("---\\nstatus: BLOCKED\\nstatus: READY\\n---\\n")),
            Unreadable("duplicate-key"),
        ),
        ("an unknown word", claude, done(&file("---\\nstatus: ready\\n---\\n")), Unreadable("unknown-value")),
        ("no key", claude, done(&file("---\\nresult: PASS\\n---\\n")), Unreadable("no-key")),
        ("an empty file", claude, done(&file("")), Unreadable("no-front-matter")),
        ("a NUL byte", claude, done(&file("---\\nstatus: READY\\000\\n---\\n")), Unreadable("not-text")),
        (
            "a leaked tool tag",
            claude,
            done(&file("---\\nstatus: READY\\n---\\n\\nDone.\\n</content>\\n")),
            Unreadable("unfinished"),
        ),
        (
            "a conflict mark",
            claude,
            done(&file("---\\nstatus: READY\\n---\\n\\n<<<<<<< ours\\n")),
            Unreadable("unfinished"),
        ),
        (
            "two MiB",
            claude,
            done(&format!(
                "{}head -c 2097152 /dev/zero | tr '\\\\0' x >> docs/work-items/main/11-development.md\n",
                file("---\\nstatus: READY\\n---\\n")
            )),
            Unreadable("too-large"),
        ),
        ("it says no", claude, done("artifact docs/work-items/main/11-development.md BLOCKED\n"), Failed),
        (
            "it says no, loudly green",
            claude,
            done("echo 'PASS PASS PASS'\nartifact docs/work-items/main/11-development.md BLOCKED\n"),
            Failed,
        ),
        // A file that is none.
        (
            "a symlink",
            claude,
            done(
                "mkdir -p docs/work-items/main\nprintf -- '---\\nstatus: READY\\n---\\n' > good.md\nln -sf ../../../good.md docs/work-items/main/11-development.md\n",
            ),
            Unreadable("not-a-file"),
        ),
        (
            "a symlinked folder",
            claude,
            done(
                "mkdir -p elsewhere docs/work-items\nrmdir docs/work-items/main 2>/dev/null\nprintf -- '---\\nstatus: READY\\n---\\n' > elsewhere/11-development.md\nln -sfn ../../elsewhere docs/work-items/main\n",
            ),
            Unreadable("not-a-file"),
        ),
        (
            "a hard link",
            claude,
            done(&format!("{GOOD}ln -f docs/work-items/main/11-development.md twin.md\n")),
            Unreadable("not-a-file"),
        ),
        (
            "a FIFO",
            claude,
            done("mkdir -p docs/work-items/main\nmkfifo docs/work-items/main/11-development.md\n"),
            Unreadable("not-a-file"),
        ),
        ("a folder", claude, done("mkdir -p docs/work-items/main/11-development.md\n"), Unreadable("not-a-file")),
        (
            "at another place",
            claude,
            done("artifact docs/work-items/other/11-development.md READY\n"),
            Unreadable("missing"),
        ),
        // An artifact of something else.
        (
            "of another attempt",
            claude,
            done(&file("---\\nstatus: READY\\nattempt: 01a00000-0000-7000-8000-000000000000\\n---\\n")),
            Unreadable("stamp-mismatch"),
        ),
        (
            "of another task",
            claude,
            done(&file("---\\nstatus: READY\\ntask: other\\n---\\n")),
            Unreadable("stamp-mismatch"),
        ),
        (
            "of another stage",
            claude,
            done(&file("---\\nstatus: READY\\nstage: testing\\n---\\n")),
            Unreadable("stamp-mismatch"),
        ),
        (
            "of another commit",
            claude,
            done(&file("---\\nstatus: READY\\ncommit: 0123456789abcdef\\n---\\n")),
            Unreadable("stamp-mismatch"),
        ),
        // Beyond its scope.
        (
            "edits a test to pass",
            claude,
            done(&format!("echo 'echo 1..0' > suite.sh\n{GOOD}")),
            Unreadable("out-of-scope"),
        ),
        ("removes a file", claude, done(&format!("rm suite.sh\n{GOOD}")), Unreadable("out-of-scope")),
        ("adds a file", claude, done(&format!("touch extra.txt\n{GOOD}")), Unreadable("out-of-scope")),
        (
            "edits its prompt",
            claude,
            done(&format!("echo 'always pass' > prompts/dev.md\n{GOOD}")),
            Unreadable("out-of-scope"),
        ),
        (
            "commits beyond its scope",
            claude,
            done(&format!("echo x > suite.sh\ngit add -A\ngit -c user.name=a -c user.email=a@b commit -qm x\n{GOOD}")),
            Unreadable("out-of-scope"),
        ),
        (
            "changes git's configuration",
            claude,
            done(&format!("git config core.fsmonitor 'touch pwned'\n{GOOD}")),
            Unreadable("repository-changed"),
        ),
        (
            "plants a hook",
            claude,
            done(&format!(
                "printf '#!/bin/sh\\ntouch pwned\\n' > .git/hooks/post-index-change\nchmod +x .git/hooks/post-index-change\n{GOOD}"
            )),
            Unreadable("repository-changed"),
        ),
        (
            "hides files by info/exclude",
            claude,
            done(&format!("mkdir -p .git/info\necho 'suite.sh' >> .git/info/exclude\n{GOOD}")),
            Unreadable("repository-changed"),
        ),
        (
            "plants a filter",
            claude,
            done(&format!("git config filter.x.clean 'touch pwned'\n{GOOD}")),
            Unreadable("repository-changed"),
        ),
        // It does not end, or not well.
        ("hangs without a word", claude, "sleep 600\n".to_owned(), TimedOut("start-timeout")),
        ("hangs after its first event", claude, "begins\nsleep 600\n".to_owned(), TimedOut("stalled")),
        ("hangs, custom", "custom", "sleep 600\n".to_owned(), TimedOut("stalled")),
        (
            "one line of 100 MB",
            claude,
            format!("begins\n{GOOD}head -c 104857600 /dev/zero | tr '\\\\0' x\n"),
            Transient("unclassified"),
        ),
        ("dies of a signal", claude, "begins\nkill -SEGV $$\n".to_owned(), Transient("killed")),
    ]
}

fn office(profile: &str, script: &str) -> Office {
    let stage = "    idle-timeout: 1s\n    start-timeout: 1s\n    grace: 200ms\n";
    let text = crate::office::pipeline(
        profile,
        ", writes: [\"src/**\", \"*.md\", \"elsewhere/**\", \"docs/**\"]",
        stage,
        false,
    );
    Office::new(&text, &[]).does(script)
}

#[track_caller]
fn check(name: &str, office: &Office, comes: Comes) {
    let ended = office.run();
    let shown = format!("{name}\n{ended}");
    assert!(!ended.stdout().contains("done"), "{shown}");
    let attempt = office.last();
    let (settlement, reason, code) = match comes {
        Unreadable(reason) => ("unreadable", reason, 10),
        Failed => ("failed", "", 10),
        Permanent(reason) => ("permanent-env", reason, 78),
        Transient(reason) => ("transient-infra", reason, 75),
        TimedOut(reason) => ("timed-out", reason, 75),
    };
    assert_eq!(attempt["settlement"], settlement, "{shown}\n{attempt:#}");
    let told = format!("{} {}", attempt["decision"].as_str().unwrap(), attempt["outcome"]["reason"].as_str().unwrap());
    assert!(told.contains(reason), "{told}\n{shown}");
    assert_eq!(ended.code(), Some(code), "{shown}");
    assert_ne!(attempt["outcome"]["verdict"], Value::from("pass"), "{shown}");
    assert!(!office.shop.has("pwned"), "{shown}");
}

/// `ORCH_LIES=NAME` runs those whose name has it.
#[test]
fn no_liar_advances() {
    let only = std::env::var("ORCH_LIES").unwrap_or_default();
    let cases: Vec<_> = cases().into_iter().filter(|(name, ..)| name.contains(&only)).collect();
    assert!(!only.is_empty() || cases.len() >= 60, "{}", cases.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, profile, script, comes)) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    check(&format!("{name} ({profile})"), &office(profile, script), *comes);
                }
            });
        }
    });
}

#[test]
fn an_artifact_from_before_answers_for_nothing() {
    let office = office("claude-code", "begins\nends\n");
    office.shop.write(ARTIFACT, "---\nstatus: READY\n---\n");
    office.shop.commit("an artifact of yesterday");
    check("stale", &office, Unreadable("missing"));
    assert!(!office.shop.has(ARTIFACT));
}

#[test]
fn a_daemon_that_outlives_its_agent_changes_nothing_afterwards() {
    let script = "begins\nartifact docs/work-items/main/11-development.md BLOCKED\n\
                  setsid sh -c 'trap \"\" TERM HUP; sleep 0.4; printf -- \"---\\nstatus: READY\\n---\\n\" > docs/work-items/main/11-development.md' \
                  < /dev/null > /dev/null 2>&1 &\nends\n";
    let office = office("claude-code", script);
    check("daemon", &office, Failed);
    assert!(office.shop.read(ARTIFACT).contains("BLOCKED"));
}

#[test]
fn an_agent_that_leads_git_elsewhere_is_refused() {
    for script in [
        format!("begins\nmv .git .aside\ngit init -q .\n{GOOD}ends\n"),
        format!("begins\nmv .git .aside\necho 'gitdir: .aside' > .git\n{GOOD}ends\n"),
        format!("begins\ngit config core.worktree /\n{GOOD}ends\n"),
    ] {
        let office = office("claude-code", &script);
        let ended = office.run();
        assert!(!ended.stdout().contains("done") && ended.code() != Some(0), "{script}\n{ended}");
    }
}

#[test]
fn a_test_log_that_quotes_a_limit_is_no_fault_of_the_provider() {
    let script = format!(
        "begins\nsays '{{\"type\":\"assistant\",\"message\":{{\"id\":\"m\",\"content\":[{{\"type\":\"text\",\"text\":\"429 rate_limit, Invalid API key\"}}]}}}}'\n\
         says '{{\"type\":\"user\",\"message\":{{\"content\":[{{\"type\":\"tool_result\",\"content\":\"error: 529 Overloaded\"}}]}}}}'\n\
         says '{{\"type\":\"something_new\",\"error\":\"429\"}}' 'no event at all: 429'\n{}",
        WORKS.replacen("begins\n", "", 1)
    );
    office("claude-code", &script).run().exits(0).says("task main: done");
}

/// A tool without a terminal event cannot say that it got over an error; an artifact that its gate can read says it.
#[test]
fn an_error_that_aider_got_over_is_no_fault() {
    for (stream, word, code) in [(">&2", "READY", 0), ("", "READY", 0), (">&2", "BLOCKED", 10)] {
        let script = format!(
            "echo 'litellm.RateLimitError: 429 Retrying in 0.2 seconds...' {stream}\n\
             artifact docs/work-items/main/11-development.md {word}\n"
        );
        let office = office("aider", &script);
        office.run().exits(code);
        assert_eq!(office.last()["settlement"], if code == 0 { "passed" } else { "failed" });
        let argv = office.left("argv");
        assert!(argv.contains("--no-gitignore\n--chat-history-file\n/dev/null\n"), "{argv}");
    }
}

#[test]
fn an_exit_code_after_the_end_says_nothing() {
    for end in ["exit 143\n", "exit 1\n", "kill -TERM $$\n", "sleep 600\n"] {
        office("claude-code", &format!("{WORKS}{end}")).run().exits(0).says("task main: done");
    }
}

#[test]
fn a_contained_agent_reaches_nothing_beyond_its_worktree() {
    let script = "begins\nout=$ORCH_ATTEMPT_DIR/reach\n\
        try() { if sh -c \"$2\" 2>/dev/null; then echo \"$1 yes\"; else echo \"$1 no\"; fi >> \"$out\"; }\n\
        try state-list 'ls SCRATCH/state'\n\
        try state-read 'cat SCRATCH/state/orch.db'\n\
        try state-write 'echo x > SCRATCH/state/x'\n\
        try ssh 'cat SCRATCH/home/.ssh/id_ed25519'\n\
        try beside 'echo x > SCRATCH/beside'\n\
        try home 'echo x > SCRATCH/home/x'\n\
        try link 'ln -s SCRATCH/home/.ssh/id_ed25519 k && cat k'\n\
        try environ \"cat /proc/$PPID/environ | grep -q .\"\n\
        try signal \"kill -STOP $PPID\"\n\
        try secret 'test -n \"$OTHER_TOKEN\"'\n\
        try prompt-read 'test -s \"$ORCH_PROMPT_FILE\"'\n\
        try prompt-write 'echo x >> \"$ORCH_PROMPT_FILE\"'\n\
        try tmp 'echo x > \"$TMPDIR/x\"'\n\
        try own 'echo x > \"$ORCH_ATTEMPT_DIR/x\"'\n\
        try worktree 'echo x > src/x'\n\
        try allowed 'echo x > SCRATCH/home/.our-agent/x'\n\
        try null 'echo x > /dev/null'\n\
        try fds 'test $(ls /proc/self/fd | wc -l) -le 4'\n\
        rm -f k\nartifact docs/work-items/main/11-development.md READY\nends\n";
    let office =
        Office::of("claude-code", ", writes: [\"**\"], require: contained, may-write: [~/.our-agent]").does(script);
    fs::create_dir_all(office.shop.scratch("home/.ssh")).unwrap();
    fs::write(office.shop.scratch("home/.ssh/id_ed25519"), "key").unwrap();
    fs::create_dir(office.shop.scratch("home/.our-agent")).unwrap();
    symlink("id_ed25519", office.shop.scratch("home/.ssh/other")).unwrap();
    office.orch("pipeline run --no-wait").env("OTHER_TOKEN", "abcdefghij").run().exits(0);
    let expected = "state-list no\nstate-read no\nstate-write no\nssh no\nbeside no\nhome no\nlink no\nenviron no\nsignal no\nsecret no\n\
                    prompt-read yes\nprompt-write no\ntmp yes\nown yes\nworktree yes\nallowed yes\nnull yes\nfds yes\n";
    assert_eq!(office.left("reach"), expected);
    assert_eq!(office.left("umask"), "0077\n");
    assert!(office.last()["containment"]["in-force"]["landlock"].as_u64().unwrap() >= 1);
    office.orch("explain").run().exits(0).says("contained (Landlock");
}

#[test]
fn containment_that_is_off_is_told_and_may_be_required() {
    let off = ("ORCH_CONTAINMENT_ENABLED", "false");
    let open = Office::of("claude-code", ", writes: [\"**\"]").does(WORKS);
    open.orch("pipeline run").env(off.0, off.1).run().exits(0);
    open.orch("explain").run().exits(0).says("NOT contained: ORCH_CONTAINMENT_ENABLED=false");
    let strict = Office::of("claude-code", ", writes: [\"**\"], require: contained").does(WORKS);
    let held = strict.orch("pipeline run").env(off.0, off.1).run().held(78, "requires containment");
    held.says("ORCH_CONTAINMENT_ENABLED=false switches it off").never("error number");
    assert!(!strict.shop.has(ARTIFACT));
    strict.orch("hold release").run().exits(0);
    strict.run().exits(0).says("done");
}

/// The line of an attempt says what is wrong, and not only that the agent ended.
#[test]
fn what_an_agent_left_is_told_in_its_line() {
    let fail = office("claude-code", "begins\nartifact docs/work-items/main/11-development.md BLOCKED\nends\n");
    fail.run()
        .exits(10)
        .talks("development: failed, the gate read a fail in its artifact")
        .never("only the gate speaks");
    let none = office("claude-code", &format!("begins\n{}ends\n", file("All done.\\n")));
    none.run().held(10, "no-front-matter").talks("development: its artifact gives no verdict: no-front-matter");
    let fault = office("claude-code", &format!("begins\n{GOOD}fails 429 rate limit\n"));
    fault.run().exits(75).talks("the agent's artifact (a file) answers for nothing").never("orch did not write");
    let text = crate::office::pipeline("claude-code", ", writes: [src]", "", false);
    let alone = Office::new(&text, &[]).does(WORKS);
    alone.run().held(10, "`src` alone covers nothing in that folder, `src/**` does");
}

/// A file that nobody can take away is no fault of the kernel.
#[test]
fn an_artifact_that_cannot_be_taken_away_is_told_with_what_helps() {
    let office = office("claude-code", WORKS);
    office.shop.write(ARTIFACT, "mine");
    let immutable = |flag: &str| {
        let path = office.shop.tree.join(ARTIFACT);
        let done = crate::support::command("chattr").arg(flag).arg(path).output();
        done.is_ok_and(|done| done.status.success())
    };
    // Needs CAP_LINUX_IMMUTABLE, and a file system that has attributes.
    if !immutable("+i") {
        return;
    }
    let ended = office.run();
    assert!(immutable("-i"));
    ended.refused(3, "11-development.md").talks("chattr -i -a").never("Linux 5.6");
}

#[test]
fn skipped_permissions_need_two_words() {
    let office = Office::of("claude-code", ", writes: [\"**\"], skip-permissions: true").does(WORKS);
    office.run().refused(3, "skip-permissions").talks("ORCH_AGENT_SKIP_PERMISSIONS_ENABLED");
    office.orch("pipeline run").env("ORCH_AGENT_SKIP_PERMISSIONS_ENABLED", "true").run().exits(0);
    assert!(office.left("argv").contains("--dangerously-skip-permissions"));
    let careful = Office::of("claude-code", ", writes: [\"**\"]").does(WORKS);
    careful.orch("pipeline run").env("ORCH_AGENT_SKIP_PERMISSIONS_ENABLED", "true").run().exits(0);
    assert!(!careful.left("argv").contains("dangerously"));
}
