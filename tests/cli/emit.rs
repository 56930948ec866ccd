//! `--emit`: what CI systems read of a run. `ORCH_GOLDEN_UPDATE=1` writes the golden files anew.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use rustix::process::Signal;

use crate::support::{self, CHECK_THEN_TESTING, Ended, FAILS, NOTES, PASSES, Shop, Testing, WAITS};

/// What a suite may print to do harm, fit for an XML attribute.
const HOSTILE: &str = "]]&gt; ::error::x ##[error]y &lt;script&gt;|`[a](http://b) %0A";

/// Takes ids, times and commits out of a report.
fn frozen(text: &str) -> String {
    let rules = [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "RUN"),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r#"time="[0-9.]+""#, r#"time="T""#),
        (r"\b[0-9]+\.[0-9] s\b", "T s"),
        (r"section_(start|end):[0-9]+:orch_[0-9]+", "section_$1:T:orch_N"),
    ];
    rules
        .iter()
        .fold(text.to_owned(), |text, (rule, with)| Regex::new(rule).unwrap().replace_all(&text, *with).into_owned())
}

fn golden(name: &str, text: &str) {
    support::golden(&format!("tests/cli/emit/{name}"), &frozen(text));
}

/// The workflow commands on stderr.
fn commands(ended: &Ended) -> String {
    ended.stderr().split_inclusive('\n').filter(|line| line.starts_with("::")).collect()
}

struct Emitted {
    ended: Ended,
    junit: PathBuf,
}

/// Runs with every format and checks each against its golden file.
fn run(shop: &Shop, name: &str, code: i32) -> Emitted {
    let file = |format: &str| shop.scratch(&format!("emitted.{format}"));
    let [junit, gitlab, markdown, json, summary] = ["xml", "gitlab", "md", "json", "summary"].map(file);
    fs::write(&summary, "before\n").unwrap();
    let ended = shop
        .orch("pipeline run --emit github")
        .arg(format!("--emit=junit={}", junit.display()))
        .arg(format!("--emit=gitlab={}", gitlab.display()))
        .arg(format!("--emit=markdown={}", markdown.display()))
        .arg(format!("--emit=json={}", json.display()))
        .env("GITHUB_STEP_SUMMARY", &summary)
        .run()
        .exits(code);
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}\n{ended}", path.display()));
    golden(&format!("{name}.xml"), &read(&junit));
    golden(&format!("{name}.md"), &read(&markdown));
    golden(&format!("{name}.github"), &commands(&ended));
    let stderr = ended.stderr();
    let section = stderr.find("\x1b[0Ksection_start").and_then(|from| stderr.get(from..)).unwrap_or_default();
    golden(&format!("{name}.gitlab"), section);
    assert_eq!(read(&gitlab), read(&junit));
    assert_eq!(read(&summary), format!("before\n{}\n", read(&markdown)));
    let document: serde_json::Value = serde_json::from_str(&read(&json)).unwrap();
    assert_eq!((&document["version"], &document["exit_code"]), (&1.into(), &code.into()), "{document}");
    let left = fs::read_dir(shop.scratch(""))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".orch-")));
    assert_eq!(left.count(), 0, "temporary files were left behind");
    Emitted { ended, junit }
}

/// What orch's own reader makes of a report.
fn read_back(shop: &Shop, junit: &Path, code: u8) -> serde_json::Value {
    let call = shop.orch("classify --emit none --report").arg(format!("junit={}", junit.display()));
    call.arg(format!("--exit-code={}", u8::from(code != 0))).run().exits(i32::from(code)).json()
}

#[test]
fn a_pass_is_told_in_every_form() {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", PASSES)]);
    let emitted = run(&shop, "pass", 0);
    assert_eq!(read_back(&shop, &emitted.junit, 0)["proof"]["counts"]["passed"], 2);
}

#[test]
fn a_fail_is_a_failure_and_an_error_annotation() {
    let shop = Shop::running(FAILS);
    let emitted = run(&shop, "fail", 1);
    assert_eq!(read_back(&shop, &emitted.junit, 1)["proof"]["counts"]["failed"], 1);
}

#[test]
fn a_hold_is_no_failure() {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", "kill -KILL $$\n")]);
    let emitted = run(&shop, "hold", 75);
    assert!(!commands(&emitted.ended).contains("::error"), "{}", emitted.ended);
    let counts = read_back(&shop, &emitted.junit, 0)["proof"]["counts"].clone();
    assert_eq!((&counts["passed"], &counts["failed"], &counts["skipped"]), (&1.into(), &0.into(), &1.into()));
}

#[test]
fn a_fail_that_was_mended_in_a_later_visit_stands_no_more() {
    let suite = format!("if [ -e ../once ]; then\n{PASSES}exit 0\nfi\ntouch ../once\n{FAILS}");
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", &suite)]);
    let emitted = run(&shop, "mended", 0);
    assert!(!commands(&emitted.ended).contains("::error"), "{}", emitted.ended);
    read_back(&shop, &emitted.junit, 0);
    // A fail that holds stays a fail: what is red is never shown as skipped.
    let shop = Shop::new(&Testing::new().fail("hold").text(), &[("suite.sh", FAILS)]);
    let emitted = run(&shop, "fail-hold", 10);
    read_back(&shop, &emitted.junit, 1);
}

#[test]
fn hostile_names_stay_text_in_every_form() {
    let raw = format!(
        "<testsuite tests=\"1\"><testcase name=\"{HOSTILE} \u{1b}[31m\u{85}\u{202e}&#13;z\"><failure/></testcase></testsuite>"
    );
    let pipeline = Testing::new().suite("report: { junit: out.tmp }").text();
    let shop = Shop::new(&pipeline, &[("suite.sh", "cp report.xml out.tmp\nexit 1\n"), ("report.xml", &raw)]);
    let emitted = run(&shop, "hostile", 1);
    read_back(&shop, &emitted.junit, 1);
    for format in ["xml", "md", "summary"] {
        let text = fs::read_to_string(shop.scratch(&format!("emitted.{format}"))).unwrap();
        assert!(!text.contains(['\u{1b}', '\0', '\r', '\u{85}', '\u{202e}']), "{format}: {text}");
        assert!(!text.contains("<script>") && !text.contains("]]>"), "{format}: {text}");
    }
    let talk = emitted.ended.stderr();
    let talk = talk.split("::error title").next().unwrap();
    assert!(!talk.contains(['\u{1b}', '\r', '\u{85}']) && !talk.contains("##["), "{talk}");
    for line in commands(&emitted.ended).lines() {
        assert!(line.starts_with("::error title=orch%3A testing failed::"), "{line}");
    }
    for words in ["explain", "status"] {
        let shown = shop.orch(words).run().exits(0).stdout();
        assert!(!shown.contains(['\u{1b}', '\r', '\u{85}']), "{words}: {shown}");
    }
    // NUL and bytes that are no text come by the output.
    let tap = "printf '1..1\\nnot ok 1 - a\\000b\\033[31m\\377 ]]> ::error::x\\n'\nexit 1\n";
    let emitted = run(&Shop::running(tap), "hostile-output", 1);
    assert!(commands(&emitted.ended).lines().all(|line| !line.contains(['\0', '\u{1b}'])), "{}", emitted.ended);
}

#[test]
fn a_run_that_is_stopped_or_cannot_begin_leaves_a_report_too() {
    let shop = Shop::new(&Testing::new().text(), &[("suite.sh", WAITS)]);
    let (mut said, _go) = shop.said_and_go();
    let emit = |name: &str| format!("--emit={name}={}", shop.scratch(name).display());
    fs::write(shop.scratch("junit"), "<testsuites name=\"an earlier run\"/>").unwrap();
    let going = shop.orch("pipeline run").arg(emit("junit")).arg(emit("json")).start();
    said.next();
    assert!(!shop.scratch("junit").exists(), "an old report stands there while the run goes on");
    going.signal(Signal::TERM);
    going.end().exits(143);
    let junit = fs::read_to_string(shop.scratch("junit")).unwrap();
    assert!(junit.contains("<skipped message=\"no verdict (cancelled)"), "{junit}");

    shop.orch("pipeline run --from nope")
        .arg(emit("junit"))
        .arg(emit("json"))
        .arg("--emit=github")
        .run()
        .refused(2, "nope");
    let junit = fs::read_to_string(shop.scratch("junit")).unwrap();
    assert!(junit.contains("<error message=") && junit.contains("nope"), "{junit}");
    let document: serde_json::Value = serde_json::from_slice(&fs::read(shop.scratch("json")).unwrap()).unwrap();
    assert!(document["error"].as_str().unwrap().contains("nope"), "{document}");

    // Where not even the pipeline can be read, at least no old report answers.
    shop.write("pipelines/shop.yaml", "no: pipeline\n");
    shop.orch("pipeline run").arg(emit("junit")).run().exits(3);
    assert!(!shop.scratch("junit").exists());
}

#[test]
fn what_cannot_be_written_is_said_before_anything_starts() {
    let shop = Shop::running(&format!("{NOTES}{PASSES}"));
    fs::create_dir(shop.scratch("folder")).unwrap();
    fs::write(shop.scratch("plain"), "").unwrap();
    let check = |word: &str, part: &str| {
        for command in ["pipeline run --json", "classify -- sh suite.sh"] {
            let (command, rest) = command.split_once(" -- ").unwrap_or((command, ""));
            let mut call = shop.orch(command).arg(format!("--emit={word}"));
            for word in ["--"].into_iter().chain(rest.split_whitespace()).filter(|_| !rest.is_empty()) {
                call = call.arg(word);
            }
            call.run().exits(2).talks("error: ").talks(part).talks("help: ");
        }
    };
    for kept in ["suite.sh", "pipelines/shop.yaml", ".git/HEAD", ".git/config"] {
        let before = shop.read(kept);
        for format in ["junit", "markdown", "json", "gitlab"] {
            check(&format!("{format}={kept}"), "is no such report");
        }
        assert_eq!(shop.read(kept), before);
    }
    check("xml=a", "there is no such format");
    check("junit", "written to a file");
    check("junit=", "name is missing");
    check("github=a", "not to a file");
    check("markdown", "stdout is taken");
    check("none=a", "stands alone");
    check("junit=no/such/folder/a.xml", "no/such/folder/a.xml");
    check("junit=../folder", "is no plain file");
    check("json=/dev/null", "is no plain file");
    check("json=../plain/a", "../plain/a");
    shop.orch("pipeline run --emit junit=a.tmp --emit json=a.tmp").run().refused(2, "named twice");
    shop.orch("pipeline run --emit junit=a.tmp --emit json=../shop/a.tmp").run().refused(2, "named twice");
    fs::write(shop.scratch("report.xml"), "<testsuite tests=\"1\"><testcase name=\"a\"/></testsuite>").unwrap();
    let over = shop.orch("classify --exit-code 0 --report junit=../report.xml --emit junit=../shop/../report.xml");
    over.run().refused(2, "would be written over");
    assert!(fs::read_to_string(shop.scratch("report.xml")).unwrap().contains("name=\"a\""));
    shop.orch("pipeline run --emit none --emit json=a.tmp").run().refused(2, "stands alone");
    shop.orch("pipeline run --dry-run --emit json=a.tmp").run().exits(2).talks("cannot be used with");
    assert!(shop.ledger().is_empty(), "something was started");
}

#[test]
fn the_ci_around_is_known_and_none_turns_it_off() {
    let shop = Shop::running(FAILS);
    let inside = |words: &str| shop.orch(words).env("GITHUB_ACTIONS", "true").run();
    inside("pipeline run --json").exits(1).talks("::error title=orch%3A testing failed::").json();
    inside("pipeline run --emit none").exits(1).never("::error");
    shop.orch("pipeline run").run().exits(1).never("::error");
    shop.orch("pipeline run").env("GITLAB_CI", "true").run().exits(1).talks("\u{1b}[0Ksection_start:");
    let wrapped = inside("classify --json -- sh suite.sh").exits(1).talks("::error title=orch%3A sh failed::");
    let last = wrapped.stderr().lines().next_back().map(str::to_owned).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&last).unwrap()["verdict"], "fail");
    inside("classify --exit-code 127").exits(78).talks("::warning title=").never("::error");
}

#[test]
fn markdown_can_stand_on_stdout() {
    let shop = Shop::running(PASSES);
    let ended = shop.orch("pipeline run --emit markdown").run().exits(0);
    assert!(ended.stdout().starts_with("### orch: task main\\: done"), "{ended}");
}

#[test]
fn a_classified_command_has_a_report() {
    let shop = Shop::running(FAILS);
    let junit = shop.scratch("out.xml");
    let emit = format!("--emit=junit={}", junit.display());
    shop.orch("classify").arg(&emit).arg("--").arg("sh").arg("suite.sh").run().exits(1);
    golden("classify.xml", &fs::read_to_string(&junit).unwrap());
    read_back(&shop, &junit, 1);
    shop.orch("classify --signal KILL").arg(&emit).run().exits(75);
    assert!(fs::read_to_string(&junit).unwrap().contains("<skipped message="));
}

#[test]
fn what_waits_without_an_attempt_or_for_a_retry_is_no_failure() {
    let approval = "\
version: 1
name: shop
artifacts: docs/work-items/{task}
stages:
  release:
    producer:
      approval: {}
    artifact: approval.md
    gate: approved
    transitions: { pass: done, fail: failed }
";
    let shop = Shop::new(approval, &[]);
    let junit = shop.scratch("out.xml");
    let emit = format!("--emit=junit={}", junit.display());
    shop.orch("pipeline run --emit github").arg(&emit).run().exits(10).talks("::warning title=").never("::error");
    let text = fs::read_to_string(&junit).unwrap();
    assert!(
        text.contains("<testcase name=\"release\"") && text.contains("<skipped message=\"held (approval)"),
        "{text}"
    );
    assert!(text.contains("orch hold release main --approve"), "{text}");

    let suite = "echo 'curl: (7) Failed to connect to localhost port 1: Connection refused' >&2\nexit 7\n";
    let shop = Shop::new(&Testing::new().retries(3).text(), &[("suite.sh", suite)]);
    let junit = shop.scratch("out.xml");
    let emit = format!("--emit=junit={}", junit.display());
    shop.orch("pipeline run --no-wait --emit github").arg(&emit).run().exits(75).never("::error");
    let text = fs::read_to_string(&junit).unwrap();
    assert!(text.contains("<skipped message=\"deferred: "), "{text}");
}
