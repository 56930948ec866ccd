//! What a producer finds in its environment: the allow list, what is declared, and orch's own names.

use crate::support::{NOTES, PASSES, Shop, Testing};

/// Prints its environment into the scratch folder.
const DUMP: &str = "env -0 > SCRATCH/env\n";

fn env_of(shop: &Shop) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(shop.scratch("env")).unwrap();
    let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split('\0').filter_map(pair).collect()
}

fn get(env: &[(String, String)], name: &str) -> Option<String> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[test]
fn only_listed_names_are_passed_on() {
    let pipeline = Testing::new()
        .suite("env: { pass: [SHOP_LEVEL, \"PY_*\", \"OR*\"], set: { MODE: ci, LANG: C, ORCHARD: apple } }")
        .text();
    let shop = Shop::new(&pipeline, &[("suite.sh", &format!("{DUMP}{PASSES}"))]);
    shop.orch("pipeline run")
        .env("SECRET_TOKEN", "hunter2")
        .env("AWS_SECRET_ACCESS_KEY", "hunter3")
        .env("ORCH_HIDDEN", "hunter4")
        .env("SHOP_LEVEL", "3")
        .env("PY_COLOURS", "0")
        .env("LC_ALL", "C")
        .env("https_proxy", "http://proxy:1")
        .run()
        .exits(0);
    let env = env_of(&shop);
    for hidden in ["SECRET_TOKEN", "AWS_SECRET_ACCESS_KEY", "ORCH_HIDDEN", "ORCH_STATE_DIR", "ORCH_ATTEMPT_DIR"] {
        assert_eq!(get(&env, hidden), None, "{hidden}");
    }
    for (name, value) in [
        ("SHOP_LEVEL", "3"),
        ("PY_COLOURS", "0"),
        ("MODE", "ci"),
        ("LANG", "C"),
        ("ORCHARD", "apple"),
        ("LC_ALL", "C"),
        ("https_proxy", "http://proxy:1"),
    ] {
        assert_eq!(get(&env, name).as_deref(), Some(value), "{name}");
    }
    assert!(get(&env, "PATH").is_some() && get(&env, "HOME").is_some());
    // Names are recorded, values are not.
    let shown = shop.orch("explain --json").run().exits(0).never("hunter").never("http://proxy:1");
    assert!(shown.json()["env_names"].as_array().unwrap().iter().any(|name| name == "SHOP_LEVEL"));
}

#[test]
fn orchs_own_names_are_there_and_right() {
    let pipeline = Testing::new().suite("report: { junit: \"{attempt}/junit.xml\" }").text();
    let suite = format!(
        "{DUMP}echo '<testsuite tests=\"1\"><testcase name=\"a\"/></testsuite>' > \"$ORCH_ATTEMPT_DIR/junit.xml\"\n"
    );
    let shop = Shop::new(&pipeline, &[("suite.sh", &suite)]);
    let base = shop.git(&["rev-parse", "HEAD"]);
    let run = shop.orch("pipeline run --task shop-7 --json").run().exits(0).json();
    let env = env_of(&shop);
    let tree = shop.tree.to_str().unwrap();
    let attempt = run["attempts"][0]["attempt"].as_str().unwrap();
    for (name, value) in [
        ("ORCH_TASK", "shop-7"),
        ("ORCH_RUN", run["run"].as_str().unwrap()),
        ("ORCH_STAGE", "testing"),
        ("ORCH_ATTEMPT", attempt),
        ("ORCH_WORKTREE", tree),
        ("ORCH_BASE_COMMIT", &base),
        ("ORCH_ARTIFACTS", &format!("{tree}/docs/work-items/shop-7")),
        ("PWD", tree),
    ] {
        assert_eq!(get(&env, name).as_deref(), Some(value), "{name}");
    }
    let folder = get(&env, "ORCH_ATTEMPT_DIR").unwrap();
    assert!(folder.starts_with(shop.state().to_str().unwrap()) && folder.ends_with(attempt), "{folder}");
}

#[test]
fn a_variable_in_a_word_stays_one_word() {
    let pipeline = Testing::new()
        .command("[sh, suite.sh, \"${GREETING}\", \"t=${ORCH_TASK}!\", \"$${ORCH_TASK}\"]")
        .suite("env: { set: { GREETING: \"a b; touch pwned $(touch pwned)\" } }")
        .text();
    let shop =
        Shop::new(&pipeline, &[("suite.sh", &format!("printf '%s\\n' \"$#\" \"$@\" > SCRATCH/words\n{PASSES}"))]);
    shop.run().exits(0);
    let words = std::fs::read_to_string(shop.scratch("words")).unwrap();
    assert_eq!(words, "3\na b; touch pwned $(touch pwned)\nt=main!\n${ORCH_TASK}\n");
    assert!(!shop.has("pwned"));
}

#[test]
fn a_variable_that_is_not_set_is_refused_before_anything_starts() {
    let pipeline =
        Testing::new().command("[sh, suite.sh, \"${SHOP_HOST}\"]").suite("env: { pass: [SHOP_HOST] }").text();
    let shop = Shop::new(&pipeline, &[("suite.sh", &format!("{NOTES}{PASSES}"))]);
    shop.run().refused(3, "SHOP_HOST");
    assert!(shop.ledger().is_empty());
    shop.orch("pipeline run").env("SHOP_HOST", "staging").run().exits(0);
}

#[test]
fn a_suite_starts_in_its_folder_without_input_and_with_three_descriptors() {
    let script = "pwd > SCRATCH/pwd\nread line && exit 9\nls -m /proc/self/fd > SCRATCH/fds\n";
    let pipeline = Testing::new().command("[sh, ../suite.sh]").suite("cwd: sub").text();
    let shop = Shop::new(&pipeline, &[("suite.sh", &format!("{script}{PASSES}")), ("sub/keep", "")]);
    shop.run().exits(0);
    let read = |name: &str| std::fs::read_to_string(shop.scratch(name)).unwrap().trim().to_owned();
    assert_eq!(read("pwd"), shop.tree.join("sub").to_str().unwrap());
    // 3 is the folder that ls itself reads.
    assert_eq!(read("fds"), "0, 1, 2, 3");
}
