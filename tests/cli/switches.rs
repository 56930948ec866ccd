//! The kill switches, carried out: each × on, off, in scope, out of scope, malformed × with and without a fallback.

use serde_json::Value;

use crate::support::{NOTES, Orch, PASSES, REPORT, Shop};

/// One stage, `testing`, whose producer is declared by the switch's own kind, and perhaps a fallback.
fn shop(switch: &str, fallback: bool) -> Shop {
    let producer = if switch == "ORCH_STAGING_RUNNER" {
        "staging-runner: { host: staging, command: [sh, suite.sh], evidence: tap }"
    } else {
        "test-runner: { command: [sh, suite.sh] }"
    };
    let gate = if switch == "ORCH_STAGING_RUNNER" { "staging-status" } else { "tests-passed" };
    let artifact = if switch == "ORCH_STAGING_RUNNER" { "15-staging-log.md" } else { "13-test-report.md" };
    let fallback =
        if fallback { "    fallback: { command: { command: [sh, other.sh], evidence: tap } }\n" } else { "" };
    let text = format!(
        "version: 1\nname: shop\nrepository: shop\nartifacts: docs/work-items/{{task}}\nstages:\n  testing:\n    \
         producer:\n      {producer}\n    switch: {switch}\n{fallback}    artifact: {artifact}\n    gate: {gate}\n    \
         infra: {{ retries: 0 }}\n    transitions: {{ pass: done, fail: failed }}\n"
    );
    let suite = |name: &str| format!("echo {name} >> SCRATCH/who\n{NOTES}{PASSES}");
    Shop::new(&text, &[("suite.sh", &suite("declared")), ("other.sh", &suite("fallback"))])
}

/// Which producers ran.
fn who(shop: &Shop) -> String {
    std::fs::read_to_string(shop.scratch("who")).unwrap_or_default().replace('\n', " ").trim().to_owned()
}

fn run(shop: &Shop, set: &[(&str, &str)]) -> Orch {
    set.iter().fold(shop.orch("pipeline run"), |orch, (name, value)| orch.env(name, value))
}

fn attempt(shop: &Shop) -> Value {
    shop.orch("run show --json").run().exits(0).json()["attempts"][0].clone()
}

#[test]
fn every_switch_does_what_it_says() {
    for switch in ["ORCH_TEST_RUNNER", "SHOP_TESTS", "ORCH_STAGING_RUNNER"] {
        let [enabled, repos] = ["ENABLED", "REPOS"].map(|part| format!("{switch}_{part}"));
        let on: [Vec<(&str, &str)>; 5] = [
            vec![],
            vec![(&enabled, "true")],
            vec![(&enabled, "ON"), (&repos, "")],
            vec![(&repos, " other , SHOP ")],
            vec![(&enabled, "1"), (&repos, "shop")],
        ];
        let off: [Vec<(&str, &str)>; 4] = [
            vec![(&enabled, "false")],
            vec![(&enabled, "0"), (&repos, "shop")],
            vec![(&enabled, "true"), (&repos, "other")],
            vec![(&repos, "shopping, other")],
        ];
        let bad: [Vec<(&str, &str)>; 4] =
            [vec![(&enabled, "flase")], vec![(&enabled, "")], vec![(&enabled, "2")], vec![(&repos, "a b/..")]];
        for fallback in [false, true] {
            for set in &on {
                let shop = shop(switch, fallback);
                // The declared producer runs, and never quietly the fallback; its host is this machine here.
                run(&shop, set).env("ORCH_STAGING_RUNNER_EXEC_HOST_SIDE", "false").run().exits(0).never("fallback");
                assert_eq!(who(&shop), "declared", "{switch} {set:?}");
                let attempt = attempt(&shop);
                let kind = if switch == "ORCH_STAGING_RUNNER" { "staging-runner" } else { "test-runner" };
                assert_eq!((&attempt["producer"], &attempt["fallback"]), (&kind.into(), &false.into()));
            }
            for set in &off {
                let shop = shop(switch, fallback);
                if fallback {
                    run(&shop, set).run().exits(0).talks("fallback").talks(switch);
                    // Said afterwards too, where people look.
                    let said = "testing was done by command, the fallback: ";
                    shop.orch("status").run().exits(0).says(said).says(switch);
                    shop.orch("task show").run().exits(0).says(said);
                    for words in ["status --json", "task show --json"] {
                        let document = shop.orch(words).run().exits(0).json();
                        let task = document.get("tasks").map_or(&document, |tasks| &tasks[0]);
                        let told = &task["fallbacks"][0];
                        assert_eq!(
                            (&told["stage"], &told["producer"]),
                            (&"testing".into(), &"command".into()),
                            "{task}"
                        );
                    }
                    assert_eq!(who(&shop), "fallback", "{switch} {set:?}");
                    let attempt = attempt(&shop);
                    assert_eq!((&attempt["producer"], &attempt["fallback"]), (&"command".into(), &true.into()));
                    assert!(attempt["chosen"].as_str().unwrap().contains(switch), "{attempt}");
                    continue;
                }
                run(&shop, set).run().held(10, "nothing may run here").says(switch).never("-> done");
                assert_eq!(who(&shop), "", "{switch} {set:?}");
                assert!(!shop.has(REPORT));
                // Stable while it is off; ended by its own probe once it is on.
                run(&shop, set).run().held(10, "nothing was started");
                if switch != "ORCH_STAGING_RUNNER" {
                    shop.run().exits(0).talks("the hold of `testing` has ended");
                    assert_eq!(who(&shop), "declared");
                }
            }
            for set in &bad {
                let shop = shop(switch, fallback);
                run(&shop, set).run().refused(3, switch).talks("malformed");
                assert_eq!(who(&shop), "");
                assert!(!shop.state().exists(), "nothing is made for a malformed value");
            }
        }
    }
}

#[test]
fn no_fallback_holds_instead() {
    let shop = shop("ORCH_TEST_RUNNER", true);
    let off = ("ORCH_TEST_RUNNER_ENABLED", "false");
    shop.orch("pipeline run --no-fallback").env(off.0, off.1).run().held(10, "--no-fallback");
    assert_eq!(who(&shop), "");
    // A plan says the same and starts nothing, also where nothing has been run yet.
    let fresh = self::shop("ORCH_TEST_RUNNER", true);
    fresh.orch("pipeline plan").env(off.0, off.1).run().exits(0).says("command (the fallback) sh other.sh");
    assert!(!fresh.state().join("orch.db").exists(), "a plan stores nothing");
    shop.orch("pipeline plan").env(off.0, off.1).run().exits(0).says("command (the fallback) sh other.sh");
    shop.orch("pipeline plan --no-fallback").env(off.0, off.1).run().exits(0).says("testing: held:");
    shop.orch("pipeline plan").run().exits(0).says("test-runner sh suite.sh");
    let plan = shop.orch("pipeline plan --json").env(off.0, off.1).run().exits(0).json();
    assert_eq!((&plan["stages"][0]["step"], &plan["stages"][0]["fallback"]), (&"start".into(), &true.into()));
    assert_eq!(who(&shop), "");
}

#[test]
fn a_switch_is_named_without_its_parts() {
    for part in ["ENABLED", "REPOS", "TIMEOUT_S", "INFRA_RETRIES"] {
        let shop = shop("ORCH_TEST_RUNNER", false);
        let text = shop
            .read("pipelines/shop.yaml")
            .replace("switch: ORCH_TEST_RUNNER", &format!("switch: ORCH_TEST_RUNNER_{part}"));
        shop.write("pipelines/shop.yaml", &text);
        shop.run().exits(3).talks("did you mean `switch: ORCH_TEST_RUNNER`?").talks("nothing was started");
    }
}

/// A fault of the declared producer is never a reason to fall back.
#[test]
fn a_fault_does_not_fall_back() {
    let shop = shop("ORCH_TEST_RUNNER", true);
    shop.write("suite.sh", "echo declared >> SCRATCH/who\nexit 127\n");
    shop.run().held(78, "exit code 127");
    assert_eq!(who(&shop), "declared");
}

#[test]
fn limits_and_retries_of_a_switch_count_and_flags_outrank_them() {
    let shop = shop("ORCH_TEST_RUNNER", false);
    shop.write("suite.sh", "echo declared >> SCRATCH/who\necho 1..1\nexec sleep 600\n");
    run(&shop, &[("ORCH_TEST_RUNNER_TIMEOUT_S", "1")]).run().held(75, "1.0 s");
    shop.orch("hold release").run().exits(0);
    let flag = shop.orch("pipeline run --timeout-s 1").env("ORCH_TEST_RUNNER_TIMEOUT_S", "500");
    flag.run().held(75, "1.0 s");
    shop.orch("pipeline run --timeout-s 0").run().exits(2);
    run(&shop, &[("ORCH_TEST_RUNNER_TIMEOUT_S", "0")]).run().refused(3, "ORCH_TEST_RUNNER_TIMEOUT_S");

    let shop = self::shop("ORCH_TEST_RUNNER", false);
    shop.write(
        "suite.sh",
        "echo x >> SCRATCH/who\necho 'curl: (7) Failed to connect to h: Connection refused' >&2\nexit 7\n",
    );
    shop.write(
        "pipelines/shop.yaml",
        &shop.read("pipelines/shop.yaml").replace("retries: 0", "retries: 0, backoff: 5ms..5ms"),
    );
    run(&shop, &[("ORCH_TEST_RUNNER_INFRA_RETRIES", "2")]).run().held(75, "Connection refused").talks("retry 2 of 2");
    assert_eq!(who(&shop), "x x x");
    shop.orch("hold release").run().exits(0);
    shop.orch("pipeline run --infra-retries 1").env("ORCH_TEST_RUNNER_INFRA_RETRIES", "9").run().held(75, "refused");
    assert_eq!(who(&shop), "x x x x x");
}
