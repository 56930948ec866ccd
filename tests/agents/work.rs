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
    // The commit from before the agent cannot run it either, so nobody is blamed.
    office.run().exits(78);
    assert_eq!(office.calls(), 1);
    fs::write(office.shop.tree.join("suite.sh"), "exit 7\n").unwrap();
    office.orch("hold release").run().exits(0);
    office.run().exits(75);
    assert_eq!(office.orch("run show --json").run().json()["attempts"].as_array().unwrap().len(), 1, "testing alone");
}

#[test]
fn a_bad_prompt_starts_nothing() {
    let office = Office::of("claude-code", ", writes: [\"**\"]").does(WORKS);
    office.orch("pipeline validate pipelines/shop.yaml").run().exits(0);
    office.shop.write("prompts/dev.md", "Work.\n  Write {{artefact}}.\n");
    office.shop.commit("a misspelt variable");
    office.run().refused(3, "prompts/dev.md").talks("2:9").talks("did you mean `artifact`?");
    office.orch("pipeline validate pipelines/shop.yaml").run().exits(3).talks("dev.md:2:9").talks("ORCH0318");
    let told = office.orch("pipeline validate pipelines/shop.yaml --json").run().exits(3).json();
    assert_eq!((&told["problems"][0]["line"], &told["problems"][0]["column"]), (&2.into(), &9.into()), "{told}");
    office.shop.write("prompts/dev.md", "Read {{artifacts/a.md}}.\n");
    let alone = office.orch("pipeline validate pipelines/shop.yaml").run().exits(3);
    alone.talks("no other stage of this pipeline has an artifact").never("are nothing");
    fs::remove_file(office.shop.tree.join("prompts/dev.md")).unwrap();
    office.shop.commit("no prompt");
    office.run().refused(3, "nothing is there");
    office.orch("pipeline validate pipelines/shop.yaml").run().exits(3).talks("could not read the prompt");
    office.orch("pipeline plan").run().exits(0).says("refused");
}

#[test]
fn an_agent_whose_runner_was_killed_is_judged_by_the_next_one() {
    for (change, says) in [("echo more >> src/lib.rs\n", "done"), ("echo more >> suite.sh\n", "out-of-scope")] {
        let text = pipeline("claude-code", ", writes: [\"src/**\"], may-write: [SCRATCH/said]", "", false);
        let script = format!(
            "begins\necho $$ > SCRATCH/said\nread word < SCRATCH/go\n{change}artifact docs/work-items/main/11-development.md READY\nends\n"
        );
        let office = Office::new(&text, &[]).at("development.1.1", &script).does(WORKS);
        let (mut said, mut go) = office.shop.said_and_go();
        let going = office.orch("pipeline run").start();
        said.next();
        going.kill();
        go.say("go");
        let ended = office.run();
        assert!(ended.stdout().contains(says), "{change}: {ended}");
        // The second attempt of the liar leaves the change of the first where it is, and is held against the same beginning.
        let passed = says == "done";
        assert_eq!(office.last()["settlement"], if passed { "passed" } else { "unreadable" });
        assert_eq!(office.last()["number"], if passed { 1 } else { 2 });
    }
}

#[test]
fn a_name_of_orchs_own_hides_nothing_from_the_next_runner() {
    let hidden = format!("docs/work-items/main/.orch-tmp-{}", "0a".repeat(16));
    let text = pipeline("claude-code", ", writes: [\"src/**\"], may-write: [SCRATCH/said]", "", false);
    let script = format!(
        "begins\necho $$ > SCRATCH/said\nread word < SCRATCH/go\nmkdir -p docs/work-items/main\necho x > {hidden}\n\
         artifact docs/work-items/main/11-development.md READY\nends\n"
    );
    let office = Office::new(&text, &[]).at("development.1.1", &script).does(WORKS);
    let (mut said, mut go) = office.shop.said_and_go();
    let going = office.orch("pipeline run").start();
    said.next();
    going.kill();
    go.say("go");
    // It counts against the agent first, and is swept then.
    office.run().talks("out-of-scope").talks(".orch-tmp-");
    assert!(!office.shop.has(&hidden));
}

#[test]
fn a_tool_that_is_not_there_holds_until_it_is() {
    let office = Office::of("claude-code", ", writes: [\"**\"]").does(WORKS);
    let program = office.shop.scratch("bin/claude");
    let aside = office.shop.scratch("bin/aside");
    fs::rename(&program, &aside).unwrap();
    office.run().held(78, "claude").talks("claude");
    office.run().exits(78).says("still cannot be found");
    fs::rename(&aside, &program).unwrap();
    office.run().exits(0).says("done");
}

#[test]
fn secrets_and_state_of_a_worktree_of_its_own_stay_out_of_reach() {
    let script = "begins\nout=$ORCH_ATTEMPT_DIR/reach\n\
        try() { if sh -c \"$2\" 2>/dev/null; then echo \"$1 yes\"; else echo \"$1 no\"; fi >> \"$out\"; }\n\
        try config 'echo >> SCRATCH/shop/.git/config'\n\
        try hook 'echo > SCRATCH/shop/.git/hooks/pre-commit'\n\
        try main-tree 'echo > SCRATCH/shop/src/lib.rs'\n\
        try commit 'git add -A && git -c user.name=a -c user.email=a@b commit -qm work'\n\
        artifact docs/work-items/side/11-development.md READY\necho x > src/new\nends\n";
    let office = Office::of("claude-code", ", writes: [\"src/**\"], require: contained").does(script);
    let side = office.shop.scratch("side");
    office.shop.git(&["worktree", "add", "-q", "-b", "side", side.to_str().unwrap()]);
    fs::write(side.join("src/first"), "x").unwrap();
    office.orch("pipeline run").cwd(&side).run().exits(0);
    assert_eq!(office.left("reach"), "config no\nhook no\nmain-tree no\ncommit yes\n");
}
