//! `orch config show`, and settings that no command may pass over.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use serde_json::Value;

use crate::support::{NOTES, Orch, PASSES, Shop, Testing, git_in};

/// `testing` has a switch of its own, and a command as its fallback.
fn switched() -> String {
    Testing::new().stage("switch: SHOP_TESTS").stage(FALLBACK).text()
}

const FALLBACK: &str = "fallback: { command: { command: [sh, other.sh], evidence: tap } }";

fn shop() -> Shop {
    Shop::new(&switched(), &[("suite.sh", &format!("{NOTES}{PASSES}"))])
}

fn show(shop: &Shop, more: &str) -> Orch {
    shop.orch(&format!("config show --pipeline pipelines/shop.yaml {more}"))
}

/// The document's only stage.
fn stage(orch: Orch) -> Value {
    let document = orch.arg("--json").run().exits(0).json();
    assert_eq!(document["valid"], true);
    document["pipeline"]["stages"][0].clone()
}

fn row(document: &Value, name: &str) -> Value {
    let rows = document["settings"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {document}")).clone()
}

#[test]
fn the_plain_table_needs_no_repository() {
    let shop = Shop::running(PASSES);
    let outside = shop.scratch("outside");
    fs::create_dir(&outside).unwrap();
    let plain = shop.orch("config show").cwd(&outside).env("ORCH_LOG", "error").run().exits(0);
    for line in
        ["ORCH_TEST_RUNNER_ENABLED ", "every repository", "not set: the stage's timeout", "nothing reads it yet"]
    {
        assert!(plain.stdout().contains(line), "{line}\n{plain}");
    }
    let plain = plain.never("[default]").never("[environment]");
    assert_eq!(plain.stderr(), "");
    shop.orch("config show --origin").cwd(&outside).run().exits(0).says("[default]").says("[environment]");
    let document = shop.orch("config show --json").cwd(&outside).run().exits(0).json();
    assert_eq!(document["pipeline"], Value::Null);
    let state = row(&document, "ORCH_STATE_DIR");
    assert_eq!((state["value"].as_str(), &state["origin"]), (shop.state().to_str(), &"environment".into()));
    assert_eq!(row(&document, "ORCH_TEST_RUNNER_REPOS")["value"], serde_json::json!([]));
    assert_eq!(row(&document, "ORCH_SERIAL_GATE_ENABLED")["effective"], false);
    assert!(!shop.state().exists(), "looking makes nothing");
}

#[test]
fn each_state_of_a_switch_is_told_with_the_producer_that_runs() {
    let shop = shop();
    let check = |pairs: &[(&str, &str)], producer: Option<&str>, fallback: bool, why: &str| {
        let mut orch = show(&shop, "");
        for (name, value) in pairs {
            orch = orch.env(name, value);
        }
        let stage = stage(orch);
        assert_eq!(stage["producer"].as_str(), producer, "{pairs:?} {stage}");
        assert_eq!(stage["fallback"], fallback, "{pairs:?} {stage}");
        assert!(stage["why"].as_str().unwrap().contains(why), "{pairs:?} {stage}");
    };
    check(&[], Some("test-runner"), false, "declared; SHOP_TESTS_ENABLED is not set");
    check(&[("SHOP_TESTS_ENABLED", "ON")], Some("test-runner"), false, "declared; SHOP_TESTS_ENABLED=true");
    check(&[("SHOP_TESTS_ENABLED", "no")], Some("command"), true, "SHOP_TESTS_ENABLED=false switches it off");
    check(&[("SHOP_TESTS_REPOS", "")], Some("test-runner"), false, "declared");
    check(&[("SHOP_TESTS_REPOS", "store, SHOP")], Some("test-runner"), false, "is in SHOP_TESTS_REPOS");
    check(&[("SHOP_TESTS_REPOS", "store")], Some("command"), true, "`shop` is not in SHOP_TESTS_REPOS (store)");
    let held = stage(show(&shop, "--no-fallback").env("SHOP_TESTS_ENABLED", "0"));
    assert_eq!(held["producer"], Value::Null);
    let words = show(&shop, "--no-fallback").env("SHOP_TESTS_ENABLED", "0").run().exits(0);
    words.says("none, the task is held: SHOP_TESTS_ENABLED=false switches it off, and --no-fallback keeps");
}

#[test]
fn origins_follow_the_precedence() {
    let shop = shop();
    let env = |orch: Orch| orch.env("SHOP_TESTS_TIMEOUT_S", "600").env("SHOP_TESTS_INFRA_RETRIES", "0");
    let check = |orch: Orch, timeout: (u64, &str), retries: (u64, &str)| {
        let stage = stage(orch);
        let found = (stage["timeout_ms"]["value"].as_u64().unwrap(), stage["timeout_ms"]["origin"].as_str().unwrap());
        assert_eq!(found, (timeout.0 * 1000, timeout.1));
        let found = &stage["infra_retries"];
        assert_eq!((found["value"].as_u64().unwrap(), found["origin"].as_str().unwrap()), retries);
    };
    let named = ("environment SHOP_TESTS_TIMEOUT_S", "environment SHOP_TESTS_INFRA_RETRIES");
    check(show(&shop, ""), (1800, "default"), (0, "pipeline"));
    check(env(show(&shop, "")), (600, named.0), (0, named.1));
    let flags = "--timeout-s 7 --infra-retries 9";
    check(env(show(&shop, flags)), (7, "flag --timeout-s"), (9, "flag --infra-retries"));
    let text = switched().replace("infra: { retries: 0", "timeout: 5m\n    infra: { retries: 1");
    shop.write("pipelines/shop.yaml", &text);
    check(show(&shop, ""), (300, "pipeline"), (1, "pipeline"));
    check(env(show(&shop, "")), (600, named.0), (0, named.1));
    // Switched off, the fallback has the limits of the file.
    check(env(show(&shop, "")).env("SHOP_TESTS_ENABLED", "false"), (300, "pipeline"), (1, "pipeline"));
    show(&shop, "--origin").run().exits(0).says("timeout   300s [pipeline]").says("(from folder)");
    let document = shop.orch("config show --json --state-dir /flag").run().exits(0).json();
    let state = row(&document, "ORCH_STATE_DIR");
    assert_eq!((&state["value"], &state["origin"]), (&"/flag".into(), &"flag --state-dir".into()));
}

#[test]
fn the_repository_is_the_pipelines_the_origins_or_the_folder() {
    let shop = shop();
    let repository = |shop: &Shop| {
        let found = show(shop, "--json").run().exits(0).json()["pipeline"]["repository"].clone();
        (found["name"].as_str().unwrap().to_owned(), found["from"].as_str().unwrap().to_owned())
    };
    let is = |name: &str, from: &str| (name.to_owned(), from.to_owned());
    assert_eq!(repository(&shop), is("shop", "folder"));
    shop.git(&["remote", "add", "origin", "git@example.org:team/store.git"]);
    assert_eq!(repository(&shop), is("store", "origin"));
    shop.write("pipelines/shop.yaml", &switched().replace("name: shop\n", "name: shop\nrepository: team/kiosk\n"));
    assert_eq!(repository(&shop), is("team/kiosk", "pipeline"));
    // What the pipeline says needs no repository; without it there must be one.
    let outside = shop.scratch("outside");
    fs::create_dir(&outside).unwrap();
    let file = shop.tree.join("pipelines/shop.yaml");
    shop.orch("config show --pipeline").arg(&file).cwd(&outside).run().exits(0).says("repository team/kiosk");
    shop.write("pipelines/shop.yaml", &switched());
    shop.orch("config show --pipeline").arg(&file).cwd(&outside).run().refused(3, "git worktree");
    shop.orch("config show --pipeline").arg(&file).arg("--worktree").arg(&shop.tree).cwd(&outside).run().exits(0);
    // A worktree of a bare clone has the name of the clone.
    let bare = shop.scratch("market.git");
    shop.git(&["clone", "-q", "--bare", ".", "../market.git"]);
    git_in(&bare, &["remote", "remove", "origin"]);
    git_in(&bare, &["worktree", "add", "-q", "../linked", "-b", "x"]);
    let linked = shop.orch("config show --pipeline pipelines/shop.yaml").cwd(shop.scratch("linked")).run();
    linked.exits(0).says("repository market,");
}

#[test]
fn malformed_settings_are_all_told_and_nothing_starts() {
    let shop = shop();
    let broken = |orch: Orch| {
        orch.env("SHOP_TESTS_ENABLED", "ture")
            .env("SHOP_TESTS_TIMEOUT_S", "")
            .env("ORCH_STAGING_RUNNER_REPOS", "a,,b")
            .env("ORCH_SERIAL_GATE_ENABLED", OsString::from_vec(b"\xff".to_vec()))
            .env("ORCH_LOG", "orch=loud")
    };
    for orch in [show(&shop, ""), shop.orch("pipeline run")] {
        broken(orch)
            .run()
            .refused(3, "SHOP_TESTS_ENABLED is malformed: `ture`")
            .talks("true or false")
            .talks("SHOP_TESTS_TIMEOUT_S is malformed: it is set and empty")
            .talks("ORCH_STAGING_RUNNER_REPOS is malformed: `a,,b`")
            .talks("ORCH_SERIAL_GATE_ENABLED is malformed: it is not UTF-8")
            .talks("ORCH_LOG is malformed")
            .talks("5 settings are malformed; nothing was started");
    }
    assert!(shop.ledger().is_empty() && !shop.state().exists());
    let document = broken(show(&shop, "--json")).run().exits(3).json();
    assert_eq!(document["valid"], false);
    assert_eq!(document["problems"].as_array().unwrap().len(), 5, "{document}");
    // Other commands tell of the one that they read.
    broken(shop.orch("status")).run().refused(3, "ORCH_LOG is malformed");
    // A pipeline that names no such switch leaves its variables alone.
    shop.orch("config show").env("SHOP_TESTS_ENABLED", "ture").run().exits(0);
}

#[test]
fn flags_out_of_bounds_are_usage() {
    let shop = shop();
    for words in
        ["--timeout-s 0", "--timeout-s 604801", "--timeout-s 5m", "--infra-retries 101", "--infra-retries many"]
    {
        for command in ["config show", "pipeline run"] {
            shop.orch(&format!("{command} {words}")).run().exits(2).talks(words.split(' ').next().unwrap());
        }
    }
    shop.orch("config").run().exits(2).talks("Usage");
    shop.orch("config show --pipeline pipelines/none.yaml").run().refused(3, "pipelines/none.yaml");
}

#[test]
fn what_has_no_effect_is_warned_of_and_its_value_is_not_shown() {
    let shop = Shop::running(&format!("{NOTES}{PASSES}"));
    let strayed = |orch: Orch| {
        orch.env("ORCH_TEST_RUNER_ENABLED", "hunter2")
            .env("ORCH_SERIAL_GATE_ENABLED", "false")
            .env("ORCH_TASK", "hunter3")
            .env("SECRET_TOKEN", "hunter4")
    };
    for orch in [shop.orch("config show"), show(&shop, ""), shop.orch("pipeline run")] {
        strayed(orch)
            .run()
            .exits(0)
            .talks("warning: ORCH_TEST_RUNER_ENABLED is no setting of orch")
            .talks("did you mean ORCH_TEST_RUNNER_ENABLED?")
            .talks("warning: ORCH_SERIAL_GATE_ENABLED is set and has no effect")
            .never("ORCH_TASK")
            .never("hunter");
    }
    let document =
        strayed(show(&shop, "--json")).env("ORCH_TEST_RUNNER_ENABLED", "false").run().exits(0).never("hunter");
    let warnings = document.json()["warnings"].to_string();
    assert!(warnings.contains("stage `testing`") && warnings.contains("switch: ORCH_TEST_RUNNER"), "{warnings}");
}
