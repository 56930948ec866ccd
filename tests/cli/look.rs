//! Looking at what happened: `status`, `run`, `explain`, `logs`, `gate check`, and the documents of `--json`.

use std::fs;

use serde_json::Value;

use crate::support::{CHECK_THEN_TESTING, FAILS, PASSES, REPORT, Shop};

/// A task whose check passed and whose suite fails, held with a spent budget.
fn held() -> Shop {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", "echo checked\n"), ("suite.sh", FAILS)]);
    shop.run().held(10, "budget");
    shop
}

#[test]
fn before_the_first_run_there_is_nothing_and_it_says_so() {
    let shop = Shop::running(PASSES);
    shop.orch("status").run().exits(0).says("no task yet").says(shop.state().to_str().unwrap());
    shop.orch("run list").run().exits(0);
    for words in ["run show", "explain", "export", "logs", "logs --failed"] {
        shop.orch(words).run().refused(2, "nothing has been run yet").talks("orch pipeline run");
    }
}

#[test]
fn status_and_runs_say_where_a_task_stands() {
    let shop = held();
    shop.orch("status").run().exits(0).says("main: held at testing").says("budget `retry` is spent");
    let list = shop.orch("run list").run().exits(0).says("held").says("main").stdout();
    assert_eq!(list.lines().count(), 1);
    shop.orch("run list --task other").run().exits(0).never("held");
    let id = list.split_whitespace().next().unwrap().to_owned();
    shop.orch("run show").run().exits(0).says(&id).says("failed -> roll back to check, charged to retry");
    shop.orch(&format!("run show {id}")).run().exits(0).says("visit 2");
    shop.orch("run show 00000000").run().refused(2, "00000000");
    shop.orch("run show zzz").run().refused(2, "zzz");
}

#[test]
fn the_events_of_a_task_are_told_in_order() {
    let shop = held();
    let events = shop.orch("run show --events").run().exits(0).stdout();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=u64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["version"] == 1 && event["hash"].is_string()));
    assert!(events[0]["event"]["body"]["task-added"].is_object(), "{}", events[0]);
    assert!(events.last().unwrap()["event"]["body"]["run-closed"].is_object());
}

#[test]
fn explain_names_what_was_seen_and_the_rule_that_decided() {
    let shop = held();
    shop.orch("explain")
        .run()
        .exits(0)
        .says("rule: 2-red-evidence")
        .says("rules that did not apply: 0-answer, 1-spawn-errno")
        .says("closing summary of tap: stdout:")
        .says("decision: hold: the gate said no")
        .says("artifact: docs/work-items/main/13-test-report.md");
    let run = shop.orch("run show --json").run().json();
    let first = run["attempts"][0]["attempt"].as_str().unwrap();
    shop.orch(&format!("explain {first}")).run().exits(0).says("stage check").says("rule: 11-exit-map");
    shop.orch("explain 0000").run().refused(2, "0000");
    shop.orch("explain ORCH0101").run().exits(0).says("ORCH0101: ");
    shop.orch("explain orch0101 --json").run().exits(0).json();
    shop.orch("explain ORCH9999").run().refused(2, "ORCH9999");
    // Codes need no repository.
    shop.orch("explain ORCH0101").cwd("/").run().exits(0);
}

#[test]
fn an_export_has_everything_that_is_recorded_of_a_run() {
    let shop = Shop::running(&format!("yes 'a line of a long log' | head -n 20000\n{FAILS}"));
    shop.run().exits(1);
    let told = shop.orch("export").run().exits(0).json();
    let show = shop.orch("run show --json").run().exits(0).json();
    assert_eq!(told["run"], show);
    assert_eq!(told["pipeline"], shop.read("pipelines/shop.yaml"));
    let digest = show["attempts"][0]["artifact"]["digest"].as_str().unwrap();
    assert_eq!(told["artifacts"][digest], shop.read(REPORT));
    assert_eq!(told["evidence"][0]["evidence"]["exit"]["exited"]["code"], 1);
    let events = shop.orch("run show --events").run().exits(0).stdout();
    let kept: Vec<String> =
        events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].to_string()).collect();
    let exported: Vec<String> = told["events"].as_array().unwrap().iter().map(|one| one["event"].to_string()).collect();
    assert_eq!(exported, kept);
    let stdout = &told["logs"][0]["stdout"];
    let end = stdout["end"].as_str().unwrap();
    assert!(end.ends_with("not ok 1 - pay\n") && end.len() == 64 * 1024, "{}", end.len());
    assert!(stdout["bytes"].as_u64().unwrap() > 400_000);
    shop.orch("export zzz").run().refused(2, "zzz");
}

#[test]
fn logs_show_an_attempts_output() {
    let shop = held();
    shop.orch("logs").run().exits(0).says("not ok 1 - pay");
    shop.orch("logs --failed").run().exits(0).says("not ok 1 - pay").never("checked");
    shop.orch("logs --stream stderr").run().exits(0).never("not ok");
    let run = shop.orch("run show --json").run().json();
    let id = run["run"].as_str().unwrap();
    shop.orch(&format!("logs {id}")).run().exits(0).says("checked").says("not ok 1 - pay");
    shop.orch("logs 0000").run().refused(2, "0000");
}

#[test]
fn control_characters_reach_a_terminal_only_when_asked_for() {
    let nasty = "printf '\\033]0;pwned\\007\\033[31mnot ok 1 - \\233pay\\r\\033[0m\\n'\n";
    let shop =
        Shop::running(&format!("{nasty}echo 1..1\nprintf 'not ok 1 - \\033[31mred\\033]0;title\\007\\n'\nexit 1\n"));
    let ended = shop.run().exits(1);
    for ended in [
        ended,
        shop.orch("logs").run().exits(0),
        shop.orch("explain").run().exits(0),
        shop.orch("run show").run().exits(0),
        shop.orch("status").run().exits(0),
    ] {
        let shown = [ended.raw_stdout.as_slice(), &ended.raw_stderr].concat();
        assert!(!shown.iter().any(|byte| matches!(byte, 0x1b | 0x07 | b'\r')), "{ended:?}");
    }
    assert!(shop.read(REPORT).bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()));
    assert!(shop.orch("logs --raw").run().exits(0).raw_stdout.contains(&0x1b));
}

#[test]
fn a_gate_answers_for_a_file() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let answer = shop.orch("gate check").arg(REPORT).run().exits(0).json();
    assert_eq!((&answer["gate"], &answer["verdict"]), (&"tests-passed".into(), &"pass".into()));
    assert_eq!(answer["unreadable"], Value::Null);
    let file = shop.scratch("13-test-report.md");
    fs::write(&file, shop.read(REPORT).replace("PASS", "FAIL").replace("status: passed", "status: failed")).unwrap();
    assert_eq!(shop.orch("gate check").arg(&file).run().exits(1).json()["verdict"], "fail");
    fs::write(&file, "---\nresult: PASS\nstatus: failed\n---\n").unwrap();
    let broken = shop.orch("gate check").arg(&file).run().exits(10).talks("help: ").json();
    assert_eq!((&broken["verdict"], &broken["unreadable"]["reason"]), (&Value::Null, &"contradiction".into()));
    let missing = shop.orch("gate check /no/such/13-test-report.md").run().exits(10).json();
    assert_eq!(missing["unreadable"]["reason"], "missing");
    shop.orch("gate check README.md").run().refused(2, "README.md").talks("--gate");
    shop.orch("gate check --gate nope README.md").run().refused(2, "nope");
    fs::write(&file, "---\nstate: READY\n---\n").unwrap();
    shop.orch("gate check --key state --pass READY --fail BLOCKED").arg(&file).run().exits(0);
}

#[test]
fn every_document_has_a_version() {
    let shop = held();
    for (words, code) in [
        ("pipeline run --json", 10),
        ("pipeline run --dry-run --json", 0),
        ("pipeline validate pipelines/shop.yaml --json", 0),
        ("status --json", 0),
        ("run list --json", 0),
        ("run show --json", 0),
        ("explain --json", 0),
        ("explain ORCH0101 --json", 0),
        ("gate check docs/work-items/main/13-test-report.md --json", 1),
        ("classify --exit-code 1 --json", 75),
    ] {
        shop.orch(words).run().exits(code).json();
    }
    for line in shop.orch("logs --json").run().exits(0).stdout().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["version"], 1);
    }
    // A JSON Schema has its own idea of a version.
    let schema: Value = serde_json::from_slice(&shop.orch("pipeline schema").run().exits(0).raw_stdout).unwrap();
    assert!(schema["$schema"].is_string());
}

#[test]
fn an_error_is_a_document_too() {
    let shop = Shop::running(PASSES);
    for (words, code, error) in [
        ("status --json --worktree /nowhere", 3, "invalid"),
        ("run show --json", 2, "usage"),
        ("hold release --json nobody", 2, "usage"),
        ("pipeline run --json --from shipping", 2, "usage"),
        ("pipeline run --json --pipeline pipelines/none.yaml", 3, "invalid"),
        ("pipeline run --json --sideways", 2, "usage"),
        ("task cancel --json", 2, "usage"),
    ] {
        let told = shop.orch(words).run().exits(code).talks("error: ").json();
        assert_eq!(
            (&told["version"], &told["error"], &told["exit_code"]),
            (&1.into(), &error.into(), &code.into()),
            "{words}"
        );
        assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{words}: {told}");
    }
    // A malformed pipeline and a malformed setting are told at once.
    shop.write("pipelines/shop.yaml", "version: 1\nstage: {}\n");
    let told = shop.orch("pipeline run --json").env("ORCH_TEST_RUNNER_ENABLED", "maybe").run().exits(3).json();
    assert!(told["problems"][0]["line"].is_number(), "{told}");
    assert_eq!(told["also"][0]["problems"][0]["name"], "ORCH_TEST_RUNNER_ENABLED", "{told}");
}

#[test]
fn the_document_of_a_run_says_what_the_exit_code_says() {
    let shop = held();
    let run = shop.orch("pipeline run --json").run().exits(10).json();
    assert_eq!((&run["exit_code"], &run["state"], &run["end"]), (&10.into(), &"held".into(), &"held".into()));
    assert_eq!((&run["hold"]["kind"], &run["hold"]["exit_code"]), (&"budget-spent".into(), &10.into()));
    let attempt = run["attempts"].as_array().unwrap().last().unwrap();
    assert_eq!((&attempt["settlement"], &attempt["outcome"]["outcome"]), (&"failed".into(), &"suite-ran".into()));
}
