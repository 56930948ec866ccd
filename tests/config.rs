//! Settings: what the environment, the flags and the pipeline come to, and the documents that are made of the table.
//!
//! `ORCH_BLESS=1 cargo test --test config` writes the documents anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orch::config::{
    Choice, ConfigProblem, Flags, Kind, OWN, Origin, Reader, Settings, TABLE, Value, Variables, env_example, reference,
};
use orch::domain::id::StageName;
use orch::domain::pipeline::{Pipeline, Stage};

const PIPELINE: &str = "\
version: 1
name: shop
budgets: { retry: 1 }
stages:
  testing:
    producer:
      test-runner: { command: [sh, suite.sh] }
    switch: ORCH_TEST_RUNNER
    fallback:
      agent: { profile: claude-code, prompt: prompts/tester.md }
    artifact: 13-test-report.md
    gate: tests-passed
    timeout: 20m
    infra: { retries: 5 }
    transitions: { pass: mine, fail: hold }
  mine:
    producer:
      test-runner: { command: [sh, suite.sh] }
    switch: SHOP_CHECKS
    gate: none
    transitions: { pass: free, fail: hold }
  free:
    producer:
      test-runner: { command: [sh, suite.sh] }
    gate: none
    transitions: { pass: staging, fail: hold }
  staging:
    producer:
      staging-runner:
        host: \"${ORCH_STAGING_HOST}\"
        command: [check]
        evidence: closing-line
        closing-line: '(?P<failed>\\d+) failed'
    switch: ORCH_STAGING_RUNNER
    artifact: 15-staging-log.md
    gate: staging-status
    transitions: { pass: done, fail: hold }
";

fn pipeline() -> Pipeline {
    orch::spec::load(PIPELINE.as_bytes()).unwrap()
}

fn stage<'p>(pipeline: &'p Pipeline, name: &str) -> &'p Stage {
    pipeline.stage(&StageName::new(name).unwrap()).unwrap()
}

fn settings(pairs: &[(&str, &str)], flags: &Flags) -> Settings {
    Settings::read(&Variables::new(pairs.iter().copied()), flags, Some(&pipeline())).unwrap()
}

fn problems(pairs: &[(&str, &str)]) -> Vec<ConfigProblem> {
    Settings::read(&Variables::new(pairs.iter().copied()), &Flags::default(), Some(&pipeline())).unwrap_err()
}

/// The producer that a stage runs, or `off`; and why.
fn chosen(pairs: &[(&str, &str)], flags: &Flags, name: &str) -> (&'static str, bool, String) {
    let pipeline = pipeline();
    match settings(pairs, flags).choice(stage(&pipeline, name), "Shop") {
        Choice::Run { producer, why, fallback } => (producer.kind().as_str(), fallback, why),
        Choice::Off { why, .. } => ("off", false, why),
    }
}

#[test]
fn each_state_of_a_switch_has_one_answer() {
    let check = |name: &str, pairs: &[(&str, &str)], expected: &str, why: &str| {
        let (producer, fallback, said) = chosen(pairs, &Flags::default(), name);
        assert_eq!((producer, fallback), (expected, expected == "agent"), "{name} {pairs:?}");
        assert_eq!(said, why, "{name} {pairs:?}");
    };
    for (name, switch, declared) in [
        ("testing", "ORCH_TEST_RUNNER", "test-runner"),
        ("mine", "SHOP_CHECKS", "test-runner"),
        ("staging", "ORCH_STAGING_RUNNER", "staging-runner"),
    ] {
        let (enabled, repos) = (format!("{switch}_ENABLED"), format!("{switch}_REPOS"));
        // Only `testing` has a fallback.
        let (other, head) = if name == "testing" { ("agent", "the fallback of `test-runner`: ") } else { ("off", "") };
        check(name, &[], declared, &format!("declared; {enabled} is not set"));
        for on in ["true", "TRUE", "1", "on", "Yes"] {
            check(name, &[(&enabled, on)], declared, &format!("declared; {enabled}=true"));
        }
        for off in ["false", "False", "0", "OFF", "no"] {
            check(name, &[(&enabled, off)], other, &format!("{head}{enabled}=false switches it off"));
        }
        for every in ["", "  "] {
            check(name, &[(&repos, every)], declared, &format!("declared; {enabled} is not set"));
        }
        check(
            name,
            &[(&repos, "store , SHOP")],
            declared,
            &format!("declared; {enabled} is not set, and repository `Shop` is in {repos}"),
        );
        let out = format!("{head}repository `Shop` is not in {repos} (store, team/shop)");
        check(name, &[(&repos, "store, team/shop"), (&enabled, "true")], other, &out);
        let off = format!("{head}{enabled}=false switches it off");
        check(name, &[(&repos, "shop"), (&enabled, "false")], other, &off);
    }
    // Another switch changes nothing, and no switch means no switch.
    check(
        "testing",
        &[("SHOP_CHECKS_ENABLED", "false")],
        "test-runner",
        "declared; ORCH_TEST_RUNNER_ENABLED is not set",
    );
    check("free", &[("ORCH_TEST_RUNNER_ENABLED", "false")], "test-runner", "declared");
}

#[test]
fn no_fallback_holds_and_says_so() {
    let flags = Flags { no_fallback: true, ..Flags::default() };
    let (producer, _, why) = chosen(&[("ORCH_TEST_RUNNER_ENABLED", "off")], &flags, "testing");
    assert_eq!(producer, "off");
    assert_eq!(
        why,
        "ORCH_TEST_RUNNER_ENABLED=false switches it off, and --no-fallback keeps its fallback `agent` from running"
    );
    assert_eq!(chosen(&[], &flags, "testing").0, "test-runner");
}

#[test]
fn a_switch_that_was_not_read_is_not_passed_over() {
    let other = Settings::read(&Variables::default(), &Flags::default(), None).unwrap();
    let pipeline = pipeline();
    let choice = other.choice(stage(&pipeline, "mine"), "shop");
    assert!(matches!(&choice, Choice::Off { why, .. } if why.contains("SHOP_CHECKS")), "{choice:?}");
}

#[test]
fn a_long_scope_is_told_in_short() {
    let (_, _, why) = chosen(&[("SHOP_CHECKS_REPOS", "a,b,c,d,e,f,g")], &Flags::default(), "mine");
    assert_eq!(why, "repository `Shop` is not in SHOP_CHECKS_REPOS (a, b, c, d, e and 2 more)");
}

#[test]
fn a_flag_outranks_the_environment_and_that_the_file() {
    let pipeline = pipeline();
    let check = |pairs: &[(&str, &str)], flags: &Flags, name: &str, timeout: (u64, &str), retries: (u32, &str)| {
        let settings = settings(pairs, flags);
        let stage = stage(&pipeline, name);
        let found = settings.timeout(stage, "shop");
        assert_eq!((found.value.as_secs(), found.origin.to_string().as_str()), timeout, "{name} {pairs:?}");
        assert_eq!(settings.limits(stage, "shop").total, found.value);
        assert_eq!(settings.limits(stage, "shop").idle, stage.limits.idle);
        let found = settings.infra_retries(stage, "shop");
        assert_eq!((found.value, found.origin.to_string().as_str()), retries, "{name} {pairs:?}");
        assert_eq!(settings.infra(stage, "shop").retries, found.value);
        assert_eq!(settings.infra(stage, "shop").backoff_cap, stage.infra.backoff_cap);
    };
    let none = Flags::default();
    let flags = Flags { timeout: Some(Duration::from_secs(9)), infra_retries: Some(0), ..Flags::default() };
    let env = [("ORCH_TEST_RUNNER_TIMEOUT_S", "600"), ("ORCH_TEST_RUNNER_INFRA_RETRIES", "2")];
    let named = ("environment ORCH_TEST_RUNNER_TIMEOUT_S", "environment ORCH_TEST_RUNNER_INFRA_RETRIES");
    check(&[], &none, "mine", (1800, "default"), (3, "default"));
    check(&[], &none, "testing", (1200, "pipeline"), (5, "pipeline"));
    check(&env, &none, "testing", (600, named.0), (2, named.1));
    check(&env, &flags, "testing", (9, "flag --timeout-s"), (0, "flag --infra-retries"));
    check(&env, &none, "mine", (1800, "default"), (3, "default"));
    check(&env, &none, "free", (1800, "default"), (3, "default"));
    check(&env, &flags, "free", (9, "flag --timeout-s"), (0, "flag --infra-retries"));
    // Off is exactly what it was before the mechanism: the fallback has the limits of the file.
    for off in [("ORCH_TEST_RUNNER_ENABLED", "false"), ("ORCH_TEST_RUNNER_REPOS", "store")] {
        check(&[env[0], env[1], off], &none, "testing", (1200, "pipeline"), (5, "pipeline"));
    }
}

#[test]
fn every_setting_is_shown_with_its_origin() {
    let flags = Flags { timeout: Some(Duration::from_secs(9)), state_dir: Some("/s".into()), ..Flags::default() };
    let settings = settings(&[("ORCH_LOG", "debug"), ("ORCH_STATE_DIR", "/e"), ("SHOP_CHECKS_REPOS", "a,b")], &flags);
    let shown = settings.in_force();
    let names: Vec<&str> = shown.iter().map(|row| row.name.as_str()).collect();
    assert!(TABLE.iter().all(|setting| names.contains(&setting.name)));
    let check = |name: &str, value: Option<&str>, origin: &str| {
        let row = shown.iter().find(|row| row.name == name).unwrap();
        assert_eq!(row.value.as_ref().map(Value::to_string).as_deref(), value, "{name}");
        assert_eq!(row.origin.to_string(), origin, "{name}");
    };
    check("ORCH_TEST_RUNNER_ENABLED", Some("true"), "default");
    check("ORCH_TEST_RUNNER_REPOS", Some("every repository"), "default");
    check("ORCH_TEST_RUNNER_TIMEOUT_S", Some("9"), "flag --timeout-s");
    check("ORCH_TEST_RUNNER_INFRA_RETRIES", None, "default");
    check("ORCH_STATE_DIR", Some("/s"), "flag --state-dir");
    check("ORCH_LOG", Some("debug"), "environment ORCH_LOG");
    check("SHOP_CHECKS_REPOS", Some("a, b"), "environment SHOP_CHECKS_REPOS");
    check("SHOP_CHECKS_TIMEOUT_S", Some("9"), "flag --timeout-s");
}

/// Texts that are no value of a kind.
const fn malformed(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Switch => &["", "ture", " true", "2", "disabled"],
        Kind::Repositories => &["a,,b", "shop*", ",", "a b"],
        Kind::Seconds => &["", "0", "30m", "-1", "604801"],
        Kind::Count => &["", "101", "-1", "three"],
        Kind::Mebibytes => &["", "1048577", "-1", "1G", "8 MiB"],
        Kind::Path | Kind::Program => &["state"],
        Kind::LogFilter => &["orch=loud"],
    }
}

#[test]
fn every_malformed_value_of_every_setting_is_refused() {
    let parts = ["_ENABLED", "_REPOS", "_TIMEOUT_S", "_INFRA_RETRIES"].map(|part| format!("SHOP_CHECKS{part}"));
    let kinds = [Kind::Switch, Kind::Repositories, Kind::Seconds, Kind::Count];
    let own = parts.iter().map(String::as_str).zip(kinds);
    for (name, kind) in TABLE.iter().map(|setting| (setting.name, setting.kind)).chain(own) {
        for text in malformed(kind) {
            let found = problems(&[(name, text)]);
            assert_eq!(found.len(), 1, "{name}={text:?}: {found:?}");
            assert!(found[0].message().starts_with(&format!("{name} is malformed: ")), "{}", found[0].message());
            assert!(found[0].message().contains(if text.is_empty() { "empty" } else { text }));
            assert!(found[0].help().contains("give "), "{}", found[0].help());
        }
        let bytes = OsString::from_vec(b"tr\xffue".to_vec());
        let variables = Variables::new([(name, bytes)]);
        let found = Settings::read(&variables, &Flags::default(), Some(&pipeline())).unwrap_err();
        assert_eq!(found[0].message(), format!("{name} is malformed: it is not UTF-8"));
    }
}

#[test]
fn all_malformed_values_are_told_at_once_cut_and_escaped() {
    let long = format!("\u{1b}[31m{}", "x".repeat(500));
    let found = problems(&[
        ("ORCH_LOG", "a=b=c=d"),
        ("SHOP_CHECKS_TIMEOUT_S", "soon"),
        ("ORCH_TEST_RUNNER_ENABLED", "maybe"),
        ("ORCH_STAGING_RUNNER_EXEC_HOST_SIDE", &long),
    ]);
    let names: Vec<&str> = found.iter().map(|problem| problem.name.as_str()).collect();
    let expected =
        ["ORCH_TEST_RUNNER_ENABLED", "ORCH_STAGING_RUNNER_EXEC_HOST_SIDE", "ORCH_LOG", "SHOP_CHECKS_TIMEOUT_S"];
    assert_eq!(names, expected);
    let shown = found[1].message();
    assert!(!shown.contains('\u{1b}') && shown.contains("\\u{1b}[31m") && shown.contains('…'), "{shown}");
    assert!(shown.len() < 250, "{shown}");
}

#[test]
fn values_of_a_switch_that_no_stage_declares_are_nobodys() {
    let variables = Variables::new([("OTHER_ENABLED", "maybe"), ("OTHER_TIMEOUT_S", "soon")]);
    Settings::read(&variables, &Flags::default(), Some(&pipeline())).unwrap();
}

fn warnings(pairs: &[(&str, &str)], repository: &str) -> Vec<String> {
    settings(pairs, &Flags::default()).warnings(pipeline().stages(), repository)
}

#[test]
fn an_unknown_variable_gets_a_warning_with_the_name_that_was_meant() {
    let check = |name: &str, parts: &[&str]| {
        let found = warnings(&[(name, "hunter2")], "shop");
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(parts.iter().all(|part| found[0].contains(part)), "{}", found[0]);
        assert!(!found[0].contains("hunter2"), "values of unknown variables may be secrets");
    };
    check("ORCH_TEST_RUNER_ENABLED", &["ORCH_TEST_RUNER_ENABLED", "did you mean ORCH_TEST_RUNNER_ENABLED?"]);
    check("ORCH_TEST_RUNNER_ENABLE", &["did you mean ORCH_TEST_RUNNER_ENABLED?"]);
    check("ORCH_TEST_RUNNER_TIMEOUT", &["did you mean ORCH_TEST_RUNNER_TIMEOUT_S?"]);
    check("ORCH_STATEDIR", &["did you mean ORCH_STATE_DIR?"]);
    check("ORCH_QUICK_LANE_ENABLED", &["switch: ORCH_QUICK_LANE", "the pipeline has no stage"]);
    check("ORCH_WHATEVER", &["ORCH_WHATEVER is no setting of orch"]);
    check("ORCH_LOGS", &["did you mean ORCH_LOG?"]);
    assert!(!warnings(&[("ORCH_FOO", "x")], "shop")[0].contains("did you mean"));
    // Without a pipeline nobody can say that it has no effect.
    let variables = Variables::new([("ORCH_WHATEVER", "x"), ("ORCH_QUICK_LANE_REPOS", "x")]);
    let found = Settings::read(&variables, &Flags::default(), None).unwrap().general_warnings();
    assert_eq!(
        found,
        [
            "ORCH_QUICK_LANE_REPOS is no setting of orch's own: \
             it counts only where a pipeline has a stage with `switch: ORCH_QUICK_LANE`",
            "ORCH_WHATEVER is no setting of orch's own; only a pipeline can read it",
        ]
    );
    let pairs: Vec<(String, &str)> = (0..30).map(|n| (format!("ORCH_{}{n}", "X".repeat(20)), "1")).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let found = warnings(&pairs, "shop");
    assert_eq!(found.len(), 21, "{found:?}");
    assert!(found[20].contains("10 further variables"), "{}", found[20]);
}

#[test]
fn known_variables_get_no_warning() {
    assert_eq!(warnings(&OWN.map(|name| (name, "x")), "shop"), Vec::<String>::new());
    // The pipeline reads it by name; other programs' variables are none of orch's business.
    let mine = [("ORCH_STAGING_HOST", "h"), ("ORCHARD", "x"), ("SHOP_CHECKS_ENABLED", "true"), ("PATH", "/bin")];
    assert_eq!(warnings(&mine, "shop"), Vec::<String>::new());
}

#[test]
fn a_stage_that_a_switch_does_not_reach_gets_a_warning() {
    let off = warnings(&[("ORCH_TEST_RUNNER_ENABLED", "false")], "shop");
    // Also one that has a switch of its own.
    let told = |name: &str| {
        format!(
            "stage `{name}` runs a test-runner and has no `switch: ORCH_TEST_RUNNER` in the pipeline file; it runs \
             although ORCH_TEST_RUNNER_ENABLED=false switches it off"
        )
    };
    assert_eq!(off, [told("mine"), told("free")]);
    let out = warnings(&[("ORCH_TEST_RUNNER_REPOS", "elsewhere")], "shop");
    assert!(out.len() == 2 && out[1].contains("`free`") && out[1].contains("ORCH_TEST_RUNNER_REPOS"), "{out:?}");
    let limit = warnings(&[("ORCH_TEST_RUNNER_TIMEOUT_S", "60")], "shop");
    assert!(limit.len() == 2 && limit[1].contains("not for it: ORCH_TEST_RUNNER_TIMEOUT_S"), "{limit:?}");
    // A stage that is not on the way is no news.
    let pipeline = pipeline();
    let settings = settings(&[("ORCH_TEST_RUNNER_ENABLED", "false")], &Flags::default());
    assert_eq!(settings.warnings([stage(&pipeline, "testing")], "shop"), Vec::<String>::new());
}

#[test]
fn a_name_in_a_scope_that_is_nearly_this_repository_gets_a_warning() {
    for near in ["shpo", "shopp", "team/Shop"] {
        let found = warnings(&[("SHOP_CHECKS_REPOS", near)], "shop");
        assert!(found.len() == 1 && found[0].contains(near) && found[0].contains("`shop`"), "{near}: {found:?}");
    }
    for fine in ["store", "shop,shpo"] {
        assert_eq!(warnings(&[("SHOP_CHECKS_REPOS", fine)], "shop"), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn a_setting_that_nothing_reads_yet_says_so_when_it_is_set() {
    let idle: Vec<&str> = TABLE.iter().filter(|row| row.reader == Reader::NotYet).map(|row| row.name).collect();
    assert_eq!(idle.len(), 2);
    for name in idle {
        let found = warnings(&[(name, "false")], "shop");
        assert_eq!(found, [format!("{name} is set and has no effect: nothing reads it yet")]);
        assert!(reference().lines().any(|line| line.contains(name) && line.contains("nothing reads it yet")));
    }
}

#[test]
fn origins_say_whose_word_it_was() {
    for (origin, text) in [
        (Origin::Flag("--x"), "flag --x"),
        (Origin::Environment("X".to_owned()), "environment X"),
        (Origin::Pipeline, "pipeline"),
        (Origin::Default, "default"),
    ] {
        assert_eq!(origin.to_string(), text);
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Writes a file when blessing, else compares it.
fn keep(file: &Path, text: &str) {
    if std::env::var_os("ORCH_BLESS").is_some() {
        std::fs::write(file, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == text, "{} differs from the table: ORCH_BLESS=1 cargo test --test config", file.display());
}

#[test]
fn the_reference_and_the_example_are_the_table() {
    keep(&root("docs/reference/switches.md"), &reference());
    keep(&root(".env.example"), &env_example());
}

#[test]
fn the_example_sets_nothing_and_every_line_of_it_is_a_good_value() {
    let example = env_example();
    assert!(example.lines().all(|line| line.is_empty() || line.starts_with("# ")), "{example}");
    let pairs: Vec<(String, String)> = example
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .filter(|(name, _)| name.starts_with("ORCH_") && !name.contains(' '))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let names: BTreeSet<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, TABLE.iter().map(|setting| setting.name).collect());
    Settings::read(&Variables::new(pairs), &Flags::default(), None).unwrap();
}

/// Names that only tests read, those of a build with failpoints, and the one that a shell sets when it asks for
/// completions.
const OF_OTHERS: [&str; 5] = ["ORCH_BLESS", "ORCH_TIMES", "ORCH_FAILPOINT", "ORCH_FAILPOINT_LOG", "ORCH_COMPLETE"];

#[test]
fn every_variable_that_the_code_names_is_in_a_list() {
    let known: BTreeSet<&str> = TABLE.iter().map(|row| row.name).chain(OWN).chain(OF_OTHERS).collect();
    let mut named = BTreeSet::new();
    let mut waiting = vec![root("src")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
            for word in code.split('"').filter(|word| word.starts_with("ORCH_") && word.len() > 5) {
                if word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
                    named.insert(word.to_owned());
                }
            }
        }
    }
    assert!(named.contains("ORCH_STATE_DIR") && named.contains("ORCH_LOG"), "{named:?}");
    // Heads of the known switches, which are no variables themselves.
    let heads = ["ORCH_TEST_RUNNER", "ORCH_STAGING_RUNNER"];
    let stray: Vec<&String> =
        named.iter().filter(|name| !known.contains(name.as_str()) && !heads.contains(&name.as_str())).collect();
    assert_eq!(stray, Vec::<&String>::new(), "a variable that is read belongs into the table");
}
