//! Shadows: an agent beside the runner, compared with the gate and believed in nothing (design 0016).

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::office::Office;
use crate::support::{FAILS, NOTES, PASSES, REPORT, lives};

/// `testing` by a runner with a shadow, then perhaps `after`, a stage that passes.
fn pipeline(shadow: &str, stage: &str, after: bool) -> String {
    let (pass, behind) = if after {
        let behind = "  after:\n    producer: { command: { command: [sh, after.sh], evidence: exit-code } }\n    gate: \
                      none\n    transitions: { pass: done, fail: failed }\n";
        ("after", behind)
    } else {
        ("done", "")
    };
    format!(
        "version: 1\nname: shop\nartifacts: docs/work-items/{{task}}\nbudgets: {{ retry: 1 }}\nstages:\n  testing:\n    \
         producer: {{ test-runner: {{ command: [sh, suite.sh] }} }}\n    shadow: {{ agent: {{ profile: claude-code, prompt: \
         prompts/dev.md{shadow} }} }}\n    artifact: 13-test-report.md\n    gate: tests-passed\n    infra: {{ retries: 0 }}\n\
         {stage}    transitions: {{ pass: {pass}, fail: failed }}\n{behind}"
    )
}

fn office(suite: &str, shadow: &str, script: &str) -> Office {
    Office::new(&pipeline(shadow, "", false), &[("suite.sh", suite)]).at("testing", script)
}

/// A shadow that reports a word.
fn reports(word: &str) -> String {
    format!(
        "begins\nmkdir -p docs/work-items/main\nprintf -- '---\\nresult: {word}\\n---\\n\\n# Tests\\n\\nAll of them ran.\\n' > \
         {REPORT}\nends\n"
    )
}

/// The shadow of the last attempt.
fn shadow(office: &Office) -> Value {
    office.last()["shadow"].clone()
}

/// Nothing of a shadow is left beside or in the worktree.
#[track_caller]
fn is_clean(office: &Office) {
    assert!(!office.shop.scratch(".shop.orch-control").exists(), "a sibling was left");
    assert_eq!(office.shop.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(office.shop.git(&["branch", "--list"]), "* main");
    assert_eq!(office.shop.git(&["log", "--all", "--format=%s"]), "first");
    assert_eq!(office.shop.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    let notes = fs::read_dir(office.shop.state().join("controls")).into_iter().flatten().count();
    assert_eq!(notes, 0, "a note was left");
}

#[test]
fn both_work_the_gate_reads_one_and_the_other_is_compared() {
    let check = |suite: &str, word: &str, code: i32, verdict: &str, agreement: &str| {
        let office = office(suite, "", &reports(word));
        let ended = office.run().exits(code);
        let seen = shadow(&office);
        assert_eq!((&seen["verdict"], &seen["agreement"]), (&verdict.into(), &agreement.into()), "{ended}\n{seen:#}");
        let disagrees = agreement == "disagrees";
        assert_eq!(ended.stderr().contains("warning: testing: shadow claude-code: DISAGREES"), disagrees, "{ended}");
        // The canonical artifact is the runner's.
        let report = office.shop.read(REPORT);
        assert!(!report.contains("All of them ran"), "{report}");
        assert!(report.contains(if code == 0 { "result: PASS" } else { "result: FAIL" }), "{report}");
        office.orch("run show").run().exits(0).says("    shadow claude-code: ");
        office.orch("explain").run().exits(0).says(&format!("({agreement})"));
        office.orch("logs --shadow").run().exits(0).says("\"type\":\"result\"");
        office.orch("verify").run().exits(0);
        is_clean(&office);
    };
    check(PASSES, "PASS", 0, "pass", "agrees");
    check(FAILS, "FAIL", 1, "fail", "agrees");
    check(PASSES, "FAIL", 0, "fail", "disagrees");
    check(FAILS, "PASS", 1, "pass", "disagrees");
}

/// What a shadow does wrong is its own: no hold, no charge, no retry, no other end than without it.
#[test]
fn its_faults_hold_nothing() {
    let check = |script: &str, says: &str| {
        let office = office(PASSES, "", script);
        let ended = office.run().exits(0).never("HELD");
        let seen = shadow(&office);
        assert_eq!((&seen["agreement"], &seen["verdict"]), (&"no-verdict".into(), &Value::Null), "{ended}");
        assert!(seen["detail"].as_str().unwrap().contains(says), "{says}: {seen:#}");
        let task = office.orch("task show --json").run().exits(0).json();
        assert_eq!((&task["state"], &task["spent"]), (&"done".into(), &serde_json::json!({})));
        assert_eq!(office.orch("run show --json").run().json()["attempts"].as_array().unwrap().len(), 1);
        is_clean(&office);
    };
    check("begins\nends\n", "missing");
    check(&reports("PASSED"), "unknown-value");
    check("begins\nfails 429 'rate limit'\nexit 1\n", "rate limit");
    check("begins\nfails 401 'invalid api key'\nexit 1\n", "api key");
    check("exit 3\n", "");
    check("kill -9 $$\n", "");
    check(&format!("echo '// mine' >> src/lib.rs\n{}", reports("PASS")), "src/lib.rs");
    check(&format!("git config core.hooksPath x\n{}\nexit 0\n", reports("MAYBE")), "unknown-value");
}

/// A shadow that turns on its own sibling harms nobody, and nothing of it is run.
#[test]
fn a_hostile_shadow_is_taken_away() {
    let check = |script: &str| {
        let office = office(PASSES, "", script);
        let ended = office.run().exits(0);
        let seen = shadow(&office);
        assert_eq!(seen["agreement"], "no-verdict", "{ended}\n{seen:#}");
        assert!(!office.shop.scratch("pwned").exists(), "{script}");
        assert!(office.shop.read(REPORT).contains("result: PASS"));
        is_clean(&office);
        office.orch("pipeline run --from testing").run().exits(0);
        office.orch("verify").run().exits(0);
    };
    let pass = reports("PASS");
    let report =
        "docs/work-items/main && cd docs/work-items/main && FILE 13-test-report.md && cd - > /dev/null\nends\n";
    let file = |make: &str| format!("begins\nmkdir -p {}", report.replace("FILE", make));
    check(&file("ln -s SCRATCH/shop/docs/work-items/main/13-test-report.md"));
    check(&file("mkfifo"));
    check(&file("mkdir"));
    check(&format!("{pass}rm -rf \"$ORCH_WORKTREE\" 2> /dev/null\n"));
    check(&format!(
        "{pass}rm -f .git && git init -q . && git config core.fsmonitor 'touch SCRATCH/pwned' && git config core.hooksPath .\n"
    ));
    check(&format!("{pass}printf 'gitdir: SCRATCH/shop/.git\\n' > .git\n"));
    check(&format!("{pass}rm .git && ln -s SCRATCH .git\n"));
}

/// It works apart: what it writes outside its sibling and its own folder is refused, and what the runner said is not there.
#[test]
fn it_reaches_neither_the_worktree_nor_git_nor_what_the_runner_said() {
    let script = format!(
        "try() {{ if sh -c \"$1\" 2> /dev/null; then echo \"$1\" >> \"$ORCH_ATTEMPT_DIR/got\"; fi; }}\n\
         try 'cat src/lib.rs'\n\
         try 'git status && git log'\n\
         try 'cat SCRATCH/shop/{REPORT}'\n\
         try 'cat SCRATCH/shop/src/lib.rs'\n\
         try 'ls -R SCRATCH/state'\n\
         try 'echo x >> SCRATCH/shop/src/lib.rs'\n\
         try 'echo x > SCRATCH/shop/new'\n\
         try 'rm SCRATCH/shop/{REPORT}'\n\
         try 'echo x > SCRATCH/out'\n\
         try 'git commit -qam mine'\n\
         try 'git update-ref refs/heads/main HEAD~0 && git branch other'\n\
         try 'git config user.name me'\n\
         try 'git worktree prune --expire=now && git stash'\n\
         {}",
        reports("PASS")
    );
    let office = office(PASSES, "", &script);
    office.run().exits(0);
    let seen = shadow(&office);
    assert_eq!(seen["agreement"], "agrees", "{seen:#}");
    assert!(seen["end"]["ended"]["containment"]["in-force"].is_object(), "{seen:#}");
    let run = office.orch("run show --json").run().json()["run"].as_str().unwrap().to_owned();
    let folder = office.attempt_dir(&run, seen["process"].as_str().unwrap());
    let got = fs::read_to_string(folder.join("out/got")).unwrap();
    assert_eq!(got, "cat src/lib.rs\ngit status && git log\n");
    // What it left is there for people.
    assert!(fs::read_to_string(folder.join("artifact.md")).unwrap().contains("All of them ran"));
    let prompt = fs::read_to_string(folder.join("prompt.md")).unwrap();
    assert!(prompt.contains("Before: nothing failed before") && prompt.contains(".shop.orch-control"), "{prompt}");
    assert!(!office.shop.has("new") && !office.shop.scratch("out").exists());
    is_clean(&office);
}

/// It sees what the task has: what is not committed, what git ignores, what other stages wrote.
#[test]
fn it_works_on_what_the_runner_worked_on() {
    let before = "  development:\n    producer: { agent: { profile: codex, prompt: prompts/dev.md, writes: [\"**\"] } }\n    \
                  artifact: 11-development.md\n    gate: { key: status, pass: [READY], fail: [] }\n    transitions: { pass: testing, \
                  fail: hold }\n  testing:\n";
    let script = format!(
        "for file in src/lib.rs local.tmp docs/work-items/main/11-development.md; do cat $file; done > $ORCH_ATTEMPT_DIR/saw\n\
         ls docs/work-items/main >> $ORCH_ATTEMPT_DIR/saw\n{}",
        reports("PASS")
    );
    let office = Office::new(&pipeline("", "", false).replacen("  testing:\n", before, 1), &[("suite.sh", PASSES)])
        .at(
            "development",
            "echo '// more' >> src/lib.rs\nartifact docs/work-items/main/11-development.md READY\nbegins\nends\n",
        )
        .at("testing", &script);
    office.shop.write("local.tmp", "carried\n");
    office.run().exits(0);
    let seen = shadow(&office);
    assert_eq!(seen["agreement"], "agrees", "{seen:#}");
    let run = office.orch("run show --json").run().json()["run"].as_str().unwrap().to_owned();
    let folder = office.attempt_dir(&run, seen["process"].as_str().unwrap());
    let saw = fs::read_to_string(folder.join("out/saw")).unwrap();
    assert!(saw.contains("// more") && saw.contains("carried") && saw.contains("status: READY"), "{saw}");
    assert!(saw.ends_with("11-development.md\n"), "the runner's report is not there: {saw}");
}

/// A shadow that hangs is ended by the stage's limits, and the next stage starts.
#[test]
fn a_shadow_that_hangs_is_ended() {
    let text = pipeline("", "    idle-timeout: 1s\n", true);
    let office =
        Office::new(&text, &[("suite.sh", PASSES), ("after.sh", NOTES)]).at("testing", "begins\nexec sleep 600\n");
    office.run().exits(0);
    assert_eq!(office.shop.ledger().len(), 1);
    let run = office.orch("run show --json").run().json();
    let seen = &run["attempts"][0]["shadow"];
    assert_eq!(
        (&seen["agreement"], &seen["end"]["ended"]["exit"]["timed-out"]["limit"]),
        (&"no-verdict".into(), &"idle".into())
    );
    assert_eq!(run["attempts"][1]["shadow"], Value::Null);
    is_clean(&office);
}

const TALKS: &str = ", may-write: [\"SCRATCH/talk\"]";

/// Says its pid, waits for a word.
fn waits() -> String {
    format!("begins\necho $$ > SCRATCH/talk/said\nread word < SCRATCH/talk/go\n{}", reports("FAIL"))
}

/// A runner that dies while its shadow works has lost nothing but the shadow, and that is said.
#[test]
fn a_death_beside_a_shadow_is_survived() {
    for (after, with_supervisor) in [(false, false), (false, true), (true, false), (true, true)] {
        let suite = format!("{NOTES}{PASSES}");
        let text = pipeline(TALKS, "", after);
        let office = Office::new(&text, &[("suite.sh", &suite), ("after.sh", NOTES)]).at("testing", &waits());
        fs::create_dir(office.shop.scratch("talk")).unwrap();
        let (mut said, _go) = (office.shop.fifo("talk/said"), office.shop.fifo("talk/go"));
        let going = office.orch("pipeline run").start();
        let agent = said.pid();
        // What the gate said is on the disk while the shadow works.
        let task = office.orch("task show --json").run().exits(0).json();
        assert_eq!(task["state"], if after { "running" } else { "done" });
        assert_eq!(shadow(&office)["end"], "due");
        let supervisor = crate::support::supervisor_of(going.pid());
        going.kill();
        if with_supervisor {
            let pid = rustix::process::Pid::from_raw(supervisor).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        }
        let ended = office.run().exits(0).talks("its runner ended before it did");
        assert!(!lives(agent), "the shadow was left\n{ended}");
        let runs = office.orch("run list --json").run().exits(0).json();
        let first = runs["runs"].as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned();
        let told = office.orch(&format!("run show {first} --json")).run().exits(0).json();
        assert_eq!(
            (&told["attempts"][0]["shadow"]["end"], &told["attempts"][0]["settlement"]),
            (&"left".into(), &"passed".into())
        );
        let stages: Vec<String> =
            office.shop.ledger().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(stages, if after { vec!["testing", "after"] } else { vec!["testing"] }, "no stage ran twice");
        is_clean(&office);
        office.orch("verify").run().exits(0);
    }
}

/// A request to stop ends the shadow; the verdict stands, and the next run goes on behind it.
#[test]
fn a_shadow_is_stopped_with_its_run() {
    let text = pipeline(TALKS, "", true);
    let office =
        Office::new(&text, &[("suite.sh", &format!("{NOTES}{PASSES}")), ("after.sh", NOTES)]).at("testing", &waits());
    fs::create_dir(office.shop.scratch("talk")).unwrap();
    let (mut said, _go) = (office.shop.fifo("talk/said"), office.shop.fifo("talk/go"));
    let going = office.orch("pipeline run").start();
    let agent = said.pid();
    going.signal(Signal::TERM);
    going.end().exits(143);
    assert!(!lives(agent));
    let seen = shadow(&office);
    assert_eq!((&seen["agreement"], &seen["detail"]), (&"no-verdict".into(), &"no verdict: it was stopped".into()));
    office.run().exits(0);
    assert_eq!(office.shop.ledger().len(), 2);
    is_clean(&office);
}

/// Where it cannot be contained, is switched off, or the fallback itself runs, no agent is started.
#[test]
fn it_is_started_nowhere_else() {
    let office = office(PASSES, "", &reports("FAIL"));
    office.orch("pipeline run").env("ORCH_CONTAINMENT_ENABLED", "false").run().exits(0);
    let seen = shadow(&office);
    assert_eq!(seen["agreement"], "no-verdict");
    assert!(seen["detail"].as_str().unwrap().contains("ORCH_CONTAINMENT_ENABLED"), "{seen:#}");
    office.orch("pipeline run --from testing").env("ORCH_SHADOW_ENABLED", "false").run().exits(0);
    assert_eq!(shadow(&office), Value::Null);
    office.orch("pipeline plan --from testing").run().exits(0).says("in the shadow: agent claude-code");
    office.orch("pipeline plan --from testing").env("ORCH_SHADOW_ENABLED", "false").run().exits(0).never("shadow");
    // `shadow: agent` is the fallback, which has none where it runs itself.
    let text = pipeline("", "", false).replace(
        "    shadow: { agent: { profile: claude-code, prompt: prompts/dev.md } }\n",
        "    switch: ORCH_TEST_RUNNER\n    fallback: { agent: { profile: claude-code, prompt: prompts/dev.md } }\n    shadow: agent\n",
    );
    let office = Office::new(&text, &[("suite.sh", PASSES)]).at("testing", &reports("FAIL"));
    office.run().exits(0);
    assert_eq!(shadow(&office)["agreement"], "disagrees");
    office.orch("pipeline run --from testing").env("ORCH_TEST_RUNNER_ENABLED", "false").run().exits(1);
    assert_eq!((office.calls(), shadow(&office)), (1, Value::Null));
}

/// A verdict is what a shadow is held against: a fault of the suite starts none. Caps are its own.
#[test]
fn only_a_verdict_calls_for_one_and_caps_are_its_own() {
    let office = office("exit 75\n", "", &reports("PASS"));
    office.run().exits(75);
    assert_eq!(shadow(&office), Value::Null);
    // The stand-in tells 3 turns a call: the second visit has none left.
    let text =
        pipeline(", max-turns: 3", "", false).replace("fail: failed", "fail: { rollback: testing, charge: retry }");
    let office = Office::new(&text, &[("suite.sh", FAILS)]).at("testing", &reports("FAIL"));
    office.run().exits(10);
    let attempts = office.orch("run show --json").run().json()["attempts"].clone();
    assert_eq!(attempts[0]["shadow"]["agreement"], "agrees");
    assert!(attempts[1]["shadow"]["detail"].as_str().unwrap().contains("used 3 of 3 turns"), "{attempts:#}");
}
