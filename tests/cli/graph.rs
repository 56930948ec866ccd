//! `orch pipeline graph`: every form of the drawing, and a run painted on it.

use std::fmt::Write as _;
use std::fs;

use crate::support::{CHECK_THEN_TESTING, FAILS, PASSES, Shop, WAITS, golden};

/// A side chain that joins, all three ends of a fail, a fallback, a switch and a serial group.
const BRANCHED: &str = "\
version: 1
name: shop
artifacts: docs/work-items/{task}
budgets: { retry: 2, mend: 1 }
stages:
  build:
    producer:
      command: { command: [sh, build.sh], evidence: exit-code }
    gate: none
    transitions: { pass: testing, fail: failed }
  mending:
    producer:
      command: { command: [sh, mend.sh], evidence: exit-code }
    gate: none
    transitions: { pass: testing, fail: hold }
  testing:
    producer:
      test-runner: { command: [sh, suite.sh] }
    switch: ORCH_TEST_RUNNER
    fallback:
      agent: { profile: claude-code, prompt: prompts/tester.md }
    artifact: 13-test-report.md
    gate: tests-passed
    serial: box
    transitions: { pass: release, fail: { rollback: mending, charge: mend } }
  release:
    producer:
      approval: {}
    artifact: approval.md
    gate: approved
    transitions: { pass: done, fail: { rollback: build, charge: retry } }
";

fn draw(shop: &Shop, words: &str) -> String {
    shop.orch(&format!("pipeline graph {words}")).run().exits(0).never("error").stdout()
}

/// Checks that a text is well-formed XML.
fn well_formed(text: &str) {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut depth = 0_i32;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error}\n{text}")) {
            quick_xml::events::Event::Start(_) => depth += 1,
            quick_xml::events::Event::End(_) => depth -= 1,
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Empty(_)
            | quick_xml::events::Event::Text(_)
            | quick_xml::events::Event::CData(_)
            | quick_xml::events::Event::Comment(_)
            | quick_xml::events::Event::Decl(_)
            | quick_xml::events::Event::PI(_)
            | quick_xml::events::Event::DocType(_)
            | quick_xml::events::Event::GeneralRef(_) => {}
        }
    }
    assert_eq!(depth, 0, "{text}");
}

/// Checks that every box is inside the picture and beside all others, and that passes go down.
fn no_box_on_another(svg: &str) {
    let numbers = |text: &str, rule: &str| -> Vec<Vec<i64>> {
        let rule = regex::Regex::new(rule).unwrap();
        rule.captures_iter(text)
            .map(|found| found.iter().skip(1).flatten().map(|number| number.as_str().parse().unwrap()).collect())
            .collect()
    };
    let size = numbers(svg, r#"viewBox="0 0 (\d+) (\d+)""#).remove(0);
    let boxes = numbers(svg, r#"<rect (?:class="end" )?x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)""#);
    assert!(boxes.len() > 1);
    for (n, one) in boxes.iter().enumerate() {
        assert!(one[0] + one[2] <= size[0] && one[1] + one[3] <= size[1], "{one:?} is outside");
        for other in boxes.iter().take(n) {
            let beside = |at: usize, size: usize| one[at] + one[size] < other[at] || other[at] + other[size] < one[at];
            assert!(beside(0, 2) || beside(1, 3), "{one:?} is on {other:?}");
        }
    }
    for pass in numbers(svg, r#"<path d="M(\d+) (\d+) C\d+ \d+ \d+ \d+ (\d+) (\d+)""#) {
        assert!(pass[1] < pass[3], "a pass goes up: {pass:?}");
    }
}

#[test]
fn every_form_is_drawn_from_the_file_alone() {
    let shop = Shop::new(BRANCHED, &[]);
    // Not a repository, and no state.
    fs::remove_dir_all(shop.tree.join(".git")).unwrap();
    for (form, name) in [("text", "txt"), ("mermaid", "mmd"), ("dot", "dot"), ("svg", "svg")] {
        golden(
            &format!("tests/cli/graph/branched.{name}"),
            &draw(&shop, &format!("pipelines/shop.yaml --format {form}")),
        );
    }
    assert_eq!(draw(&shop, ""), draw(&shop, "pipelines/shop.yaml --format text"));
    let svg = draw(&shop, "--format svg");
    well_formed(&svg);
    no_box_on_another(&svg);
    let ascii = shop.orch("pipeline graph").env("LC_ALL", "C").run().exits(0).stdout();
    assert!(
        ascii.is_ascii() && ascii.contains("* testing: test-runner or agent, gate tests-passed, serial box"),
        "{ascii}"
    );
    let document = shop.orch("pipeline graph --json").run().exits(0).json();
    assert_eq!(document["nodes"].as_array().unwrap().len(), 4);
    assert_eq!(document["edges"].as_array().unwrap().len(), 8);
    let edge = document["edges"].as_array().unwrap().iter().find(|edge| edge["charge"] == "mend").unwrap().clone();
    assert_eq!((&edge["from"], &edge["to"], &edge["allowed"]), (&"testing".into(), &"mending".into(), &1.into()));
    assert!(!shop.state().exists(), "a drawing made state");
}

#[test]
fn a_run_is_painted() {
    let states = |shop: &Shop, words: &str| -> Vec<String> {
        let document = shop.orch(&format!("pipeline graph --json {words}")).run().exits(0).json();
        let nodes = document["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node["state"].as_str().unwrap_or("none").to_owned()).collect()
    };
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", "exit 0\n"), ("suite.sh", "kill -KILL $$\n")]);
    shop.orch("pipeline run").run().exits(75);
    assert_eq!(states(&shop, "--run newest"), ["passed", "held"]);
    assert_eq!(states(&shop, ""), ["none", "none"]);
    let run = shop.orch("run list --json").run().json()["runs"][0]["run"].as_str().unwrap().to_owned();
    golden("tests/cli/graph/held.txt", &draw(&shop, &format!("--run {run}")));
    for form in ["mermaid", "dot", "svg"] {
        assert!(draw(&shop, &format!("--format {form} --run {run}")).contains("held"), "{form}");
    }
    well_formed(&draw(&shop, &format!("--format svg --run {run}")));
    // The pipeline of the run is drawn, also when the file has gone on.
    let changed = fs::read_to_string(shop.tree.join("pipelines/shop.yaml")).unwrap().replace("  check:", "  lint:");
    fs::write(shop.tree.join("pipelines/shop.yaml"), changed.replace("rollback: check", "rollback: lint")).unwrap();
    assert!(draw(&shop, "--run newest").contains("check"));
    shop.orch("pipeline graph pipelines/shop.yaml --run newest")
        .run()
        .exits(0)
        .talks("another text of the pipeline")
        .says("lint");

    let failing = Shop::new(CHECK_THEN_TESTING, &[("check.sh", "exit 1\n"), ("suite.sh", FAILS)]);
    failing.run().exits(1);
    assert_eq!(states(&failing, "--run newest"), ["failed", "not-reached"]);

    let going = Shop::new(CHECK_THEN_TESTING, &[("check.sh", "exit 0\n"), ("suite.sh", &format!("{WAITS}{PASSES}"))]);
    let (mut said, mut go) = going.said_and_go();
    let orch = going.orch("pipeline run").start();
    said.next();
    assert_eq!(states(&going, "--run newest"), ["passed", "running"]);
    go.say("on");
    orch.end().exits(0);
    assert_eq!(states(&going, "--run newest"), ["passed", "passed"]);
}

#[test]
fn the_largest_pipeline_is_drawn_or_refused_at_once() {
    let mut text = String::from("version: 1\nname: long\nartifacts: docs\nstages:\n");
    for n in 0..10_000 {
        let next = if n == 9_999 { "done".to_owned() } else { format!("s{}", n + 1) };
        write!(
            text,
            "  s{n}:\n    producer: {{ command: {{ command: [x], evidence: exit-code }} }}\n    gate: none\n    transitions: {{ pass: {next}, fail: failed }}\n"
        )
        .unwrap();
    }
    let shop = Shop::new(&text, &[]);
    for form in ["text", "mermaid", "dot"] {
        assert!(draw(&shop, &format!("--format {form}")).contains("s9999"), "{form}");
    }
    shop.orch("pipeline graph --format svg").run().refused(2, "10000 stages are too many");
    let shop = Shop::new(
        &text
            .replace("pass: s500,", "pass: done,")
            .lines()
            .take(4 + 4 * 500)
            .collect::<Vec<_>>()
            .join("\n")
            .replace("pass: s500", "pass: done"),
        &[],
    );
    let svg = draw(&shop, "--format svg");
    well_formed(&svg);
    no_box_on_another(&svg);
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let shop = Shop::new(CHECK_THEN_TESTING, &[]);
    shop.orch("pipeline graph no-such.yaml").run().refused(3, "no-such.yaml");
    shop.orch("pipeline graph --run newest").run().refused(2, "nothing has been run yet");
    shop.orch("pipeline graph --format png").run().exits(2).talks("svg");
    shop.orch("pipeline graph --format dot --json").run().exits(2).talks("cannot be used with");
    shop.write("pipelines/other.yaml", "version: 1\n");
    shop.orch("pipeline graph").run().refused(3, "several pipelines");
    shop.orch("pipeline graph pipelines/other.yaml").run().exits(3).talks("ORCH0");
    shop.write("pipelines/other.yaml", CHECK_THEN_TESTING);
    shop.orch("pipeline graph --run ffffffff").run().exits(2);
}
