//! The path of a stage that is done by an agent.

use std::fs;

use serde_json::Value;

use crate::office::{Office, TOOLS, WORKS, pipeline};
use crate::support::{FAILS, PASSES};

#[test]
fn every_tool_is_started_its_own_way_and_passes_by_its_artifact() {
    for (profile, program) in TOOLS {
        let office = Office::of(profile, ", writes: [\"src/**\"]").does(WORKS);
        office.run().exits(0).says("task main: done");
        let (argv, prompt) = (office.left("argv"), office.left("prompt"));
        assert!(!argv.contains("Work on"), "{profile}: the prompt is in no argument: {argv}");
        assert!(prompt.starts_with("Work on main in "), "{profile}: {prompt}");
        assert!(prompt.contains("`READY` for a pass, or with `BLOCKED` for a fail"), "{prompt}");
        assert!(prompt.contains("Before: nothing failed before"), "{prompt}");
        let attempt = office.last();
        assert_eq!(attempt["outcome"]["outcome"], "suite-ran", "{attempt:#}");
        assert_eq!((&attempt["outcome"]["verdict"], &attempt["settlement"]), (&Value::Null, &"passed".into()));
        assert!(attempt["artifact"]["digest"].is_string());
        assert!(attempt["argv"][0].as_str().unwrap().ends_with(program), "{attempt:#}");
        office.run().exits(0).says("nothing was started");
    }
}

#[test]
fn what_failed_goes_back_to_the_agent_with_its_log() {
    let red = format!("[ -f src/fixed ] && {{ {PASSES}exit 0; }}\necho the till is open\n{FAILS}");
    let office = Office::new(&pipeline("claude-code", ", writes: [\"**\"]", "", true), &[("suite.sh", &red)])
        .does(WORKS)
        .at("development.2.1", &format!("{WORKS}touch src/fixed\ncp \"$(dirname \"$ORCH_ATTEMPT_DIR\")/findings/stdout.log\" \"$ORCH_ATTEMPT_DIR/seen\"\n"));
    office.run().exits(0).says("task main: done");
    let prompt = office.left("prompt");
    assert!(prompt.contains("The gate of stage `testing` said no."), "{prompt}");
    assert!(prompt.contains("docs/work-items/main/13-test-report.md"), "{prompt}");
    assert!(prompt.contains("/findings/stdout.log`"), "{prompt}");
    assert!(office.left("seen").contains("the till is open\n1..1\nnot ok 1 - pay"));
}

#[test]
fn an_unreadable_artifact_goes_back_once_and_then_to_a_person() {
    let office = Office::of("codex", ", writes: [\"**\"]").does("begins\nends\n");
    office.run().held(10, "missing");
    assert_eq!(office.calls(), 2);
    let prompt = office.left("prompt");
    assert!(prompt.contains("Your last artifact gives no verdict: missing"), "{prompt}");
    let mended = Office::of("codex", ", writes: [\"**\"]").does("begins\nends\n").at("development.1.2", WORKS);
    mended.run().exits(0).says("done");
    assert_eq!(mended.calls(), 2);
}

#[test]
fn an_agent_that_commits_is_not_asked_again_for_its_commit() {
    let script = format!("{WORKS}git add -A && git -c user.name=a -c user.email=a@b commit -qm work\n");
    let office =
        Office::new(&pipeline("custom", ", writes: [\"**\"]", "", true), &[("suite.sh", "exit 7\n")]).does(&script);
    office.run().exits(75);
    assert_eq!(office.calls(), 1);
    fs::write(office.shop.tree.join("suite.sh"), "exit 7\n").unwrap();
    office.orch("hold release").run().exits(0);
    office.run().exits(75);
    assert_eq!(office.orch("run show --json").run().json()["attempts"].as_array().unwrap().len(), 1, "testing alone");
}
