//! The shipped pipeline `pipelines/delivery.yaml`, run whole: agents by the stand-in, everything else by what is real. Only the
//! commands of the two suites are other ones, for a project that has no cargo and a staging host of the test's own.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::office::Office;
use crate::sshd::Sshd;
use crate::support::{Ended, FAILS, PASSES};

const TASK: &str = "login";

/// The shipped text, with the suite of this test.
fn delivery() -> String {
    let shipped = include_str!("../../pipelines/delivery.yaml");
    let command = "        command: [cargo, nextest, run, --profile, ci]\n        report: { junit: target/nextest/ci/junit.xml }\n";
    assert!(shipped.contains(command), "the test knows the shipped command");
    shipped.replace(command, "        command: [sh, suite.sh]\n")
}

/// The same with a staging suite for a host of the test's own: what its server and its client need, and another command.
fn delivery_to(sshd: &Sshd, suite: &str) -> String {
    let text = delivery();
    let command = "        command: [docker, exec, app-staging, python, staging_check.py, --mode, stub]\n";
    assert!(text.contains(command), "the test knows the shipped command");
    let own = format!(
        "        port: {}\n        identity: {}\n        known-hosts: {}\n        command: [sh, -c, {suite:?}]\n",
        sshd.port,
        sshd.path("client").display(),
        sshd.path("known").display(),
    );
    text.replace(command, &own)
}

/// An artifact, as an agent writes it.
fn writes(file: &str, key: &str, word: &str) -> String {
    format!(
        "begins\nmkdir -p docs/work-items/{TASK}\nprintf -- '---\\n{key}: {word}\\n---\\n\\n# Work\\n\\nDone as asked.\\n' > \
         docs/work-items/{TASK}/{file}\nends\n"
    )
}

/// An office whose agents do their work, with a task that has a worktree of its own.
fn office(suite: &str) -> Office {
    office_of(&delivery(), suite)
}

fn office_of(pipeline: &str, suite: &str) -> Office {
    let prompts = ["analysis", "architecture", "development", "review", "tester", "staging"].map(|name| {
        let path = format!("pipelines/prompts/{name}.md");
        let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        (path, text)
    });
    let mut files: Vec<(&str, &str)> = prompts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push(("suite.sh", suite));
    let office = Office::new(pipeline, &files)
        .at("analysis", &writes("07-analysis.md", "status", "CLEAR"))
        .at("architecture", &writes("09-architecture.md", "status", "SOUND"))
        .at("development", &writes("11-development.md", "status", "READY"))
        .at("review", &writes("12-review.md", "verdict", "APPROVED"))
        .at("deploy-staging", &writes("15-staging-log.md", "staging_status", "SUCCESS"));
    office.orch(&format!("task add {TASK}")).run().exits(0);
    office
}

fn run(office: &Office, off: &[&str]) -> Ended {
    off.iter()
        .fold(office.orch(&format!("pipeline run --no-wait --task {TASK}")), |orch, switch| {
            orch.env(&format!("{switch}_ENABLED"), "false")
        })
        .run()
}

const STAGING: &str = "ORCH_STAGING_RUNNER";
const TESTS: &str = "ORCH_TEST_RUNNER";

fn attempts(office: &Office) -> Vec<Value> {
    office.orch("run show --json").run().exits(0).json()["attempts"].as_array().unwrap().clone()
}

/// Every stage is passed, a review asks for changes once (row A15), a suite fails once, and both times the developer is told.
#[test]
fn a_task_goes_the_whole_way() {
    let suite = format!("grep -q tested src/lib.rs && {{ {PASSES}exit 0; }}\necho the till is open\n{FAILS}");
    let developer = format!(
        "case $prompt in\n*'stage `review` said no'*) echo '// mended' >> src/lib.rs;;\n*'stage `testing` said no'*) echo '// tested' >> src/lib.rs;;\n\
         *) echo '// begun' >> src/lib.rs;;\nesac\n{}",
        writes("11-development.md", "status", "READY")
    );
    let reviewer = format!(
        "if grep -q mended src/lib.rs; then {}else {}fi\n",
        writes("12-review.md", "verdict", "APPROVED"),
        writes("12-review.md", "verdict", "REQUEST_CHANGES")
    );
    let office = office(&suite).at("development", &developer).at("review", &reviewer);
    run(&office, &[STAGING]).exits(0).says("task login: done").talks("the fallback of `staging-runner`");
    let went: Vec<(String, String, String)> = attempts(&office)
        .iter()
        .map(|attempt| {
            let text = |key: &str| attempt[key].as_str().unwrap().to_owned();
            (text("stage"), text("producer"), text("settlement"))
        })
        .collect();
    let went: Vec<(&str, &str, &str)> = went.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    let developed = ("development", "agent", "passed");
    assert_eq!(
        went,
        [
            ("analysis", "agent", "passed"),
            ("architecture", "agent", "passed"),
            developed,
            ("review", "agent", "failed"),
            developed,
            ("review", "agent", "passed"),
            ("testing", "test-runner", "failed"),
            developed,
            ("review", "agent", "passed"),
            ("testing", "test-runner", "passed"),
            ("deploy-staging", "agent", "passed"),
        ]
    );
    let task = office.orch(&format!("task show {TASK} --json")).run().exits(0).json();
    assert_eq!((&task["state"], &task["spent"]["developer-retry"]), (&"done".into(), &2.into()));
    assert_eq!(task["spent"]["design-retry"], Value::Null);
    office.orch("verify").run().exits(0);
    // What it did is in its worktree; nothing of it is in the main checkout.
    assert!(!office.shop.has("docs"));
    office.orch(&format!("task remove {TASK}")).run().refused(2, "`src/lib.rs`");
}

#[test]
fn each_stage_has_its_own_way_to_say_no() {
    let check = |stage: &str, script: &str, code: i32, says: &str| {
        let office = office(PASSES).at(stage, script);
        let ended = run(&office, &[STAGING]).exits(code);
        assert!(ended.stdout().contains(says), "{stage}\n{ended}");
    };
    check("analysis", &writes("07-analysis.md", "status", "UNCLEAR"), 10, "fail: hold");
    check(
        "architecture",
        &writes("09-architecture.md", "status", "NOT_FEASIBLE"),
        10,
        "budget `design-retry` is spent",
    );
    check("development", &writes("11-development.md", "status", "BLOCKED"), 10, "fail: hold");
    check("review", &writes("12-review.md", "verdict", "REQUEST_CHANGES"), 10, "budget `developer-retry` is spent");
    check("review", &writes("12-review.md", "verdict", "LOOKS_GOOD"), 10, "unknown-value");
    check(
        "deploy-staging",
        &writes("15-staging-log.md", "staging_status", "FAILED"),
        10,
        "budget `developer-retry` is spent",
    );
    // An analyst that changes code is not believed (row B17).
    let meddles = format!("echo '// mine' >> src/lib.rs\n{}", writes("07-analysis.md", "status", "CLEAR"));
    check("analysis", &meddles, 10, "src/lib.rs");
}

/// `testing` by the runner and by an agent, swapped by its flag: the gate sees the same path, the same contract, and for the
/// same bytes gives the same answer (rows A3, B7).
#[test]
fn testing_is_swapped_by_a_flag_and_the_gate_sees_the_same() {
    for (suite, settlement, word) in [(PASSES, "passed", "PASS"), (FAILS, "failed", "FAIL")] {
        let by_runner = office(suite);
        let until = format!("pipeline run --no-wait --task {TASK} --until testing");
        let seen = |office: &Office, off: bool| {
            let orch = office.orch(&until);
            let orch = if off { orch.env("ORCH_TEST_RUNNER_ENABLED", "false") } else { orch };
            orch.env("ORCH_STAGING_RUNNER_ENABLED", "false").run();
            let attempts = attempts(office);
            // The last: a fail goes back and is tested again, and its file takes the place of the one before.
            attempts.into_iter().rfind(|attempt| attempt["stage"] == "testing").unwrap()
        };
        let runner = seen(&by_runner, false);
        assert_eq!((&runner["producer"], &runner["settlement"]), (&"test-runner".into(), &settlement.into()));
        let digest = runner["artifact"]["digest"].as_str().unwrap().to_owned();
        let bytes = artifact_of(&by_runner, &digest, word);

        // The agent writes the very bytes of the runner.
        let by_agent = office(suite);
        fs::write(by_agent.shop.scratch("bytes"), &bytes).unwrap();
        let by_agent = by_agent.at(
            "testing",
            &format!("begins\nmkdir -p docs/work-items/{TASK}\ncat SCRATCH/bytes > docs/work-items/{TASK}/13-test-report.md\nends\n"),
        );
        let agent = seen(&by_agent, true);
        assert_eq!(agent["producer"], "agent", "{agent:#}");
        assert_eq!(agent["artifact"], runner["artifact"], "path and bytes");
        assert_eq!((&agent["settlement"], &agent["decision"]), (&runner["settlement"], &runner["decision"]));
        assert!(agent["chosen"].as_str().unwrap().contains(TESTS));
        // The contract that the agent is told is that of the gate which reads the runner's file.
        let prompt = by_agent.left("prompt");
        assert!(prompt.contains("`result: PASS` or `result: FAIL`"), "{prompt}");
    }
}

/// The artifact's bytes, from the worktree or, where a later stage took them away, from what moved on.
fn artifact_of(office: &Office, digest: &str, word: &str) -> Vec<u8> {
    let path = office.shop.scratch(&format!("shop.worktrees/{TASK}/docs/work-items/{TASK}/13-test-report.md"));
    let bytes = fs::read(path).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains(&format!("result: {word}")), "{digest}");
    bytes
}

/// The same for `deploy-staging`, with a real server on the other side of the runner: two runs of one and the same pipeline
/// file, that differ in nothing but the flag and the artifact's writer.
#[test]
fn staging_is_swapped_by_a_flag_and_the_gate_sees_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sshd = Sshd::with(&folder.path().join("sshd"), "");
    for (line, settlement, word) in
        [("3 checks, 0 failed", "passed", "SUCCESS"), ("3 checks, 1 failed", "failed", "FAILED")]
    {
        let code = i32::from(settlement == "failed");
        let text = delivery_to(&sshd, &format!("echo '{line}'; exit {code}"));
        let seen = |office: &Office, off: bool| {
            let orch =
                office.orch(&format!("pipeline run --no-wait --task {TASK}")).env("ORCH_STAGING_HOST", "127.0.0.1");
            let orch = if off { orch.env("ORCH_STAGING_RUNNER_ENABLED", "false") } else { orch };
            let ended = orch.run();
            let run = office.orch("run show --json").run().exits(0).json();
            let last = run["attempts"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["stage"], "deploy-staging", "{ended}");
            (run["pipeline_digest"].clone(), last)
        };
        let by_runner = office_of(&text, PASSES);
        let (pipeline, runner) = seen(&by_runner, false);
        assert_eq!(
            (&runner["producer"], &runner["settlement"]),
            (&"staging-runner".into(), &settlement.into()),
            "{runner:#}"
        );
        let path = format!("shop.worktrees/{TASK}/docs/work-items/{TASK}/15-staging-log.md");
        let bytes = fs::read(by_runner.shop.scratch(&path)).unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(&format!("staging_status: {word}")));

        let by_agent = office_of(&text, PASSES);
        fs::write(by_agent.shop.scratch("bytes"), &bytes).unwrap();
        let by_agent = by_agent.at(
            "deploy-staging",
            &format!("begins\nmkdir -p docs/work-items/{TASK}\ncat SCRATCH/bytes > docs/work-items/{TASK}/15-staging-log.md\nends\n"),
        );
        let (same, agent) = seen(&by_agent, true);
        assert_eq!((same, &agent["producer"]), (pipeline, &"agent".into()), "{agent:#}");
        assert_eq!(agent["artifact"], runner["artifact"], "path and bytes");
        assert_eq!((&agent["settlement"], &agent["decision"]), (&runner["settlement"], &runner["decision"]));
        assert!(agent["chosen"].as_str().unwrap().contains(STAGING));
        let prompt = by_agent.left("prompt");
        assert!(prompt.contains("`staging_status: SUCCESS` or `staging_status: FAILED`"), "{prompt}");
    }
}
