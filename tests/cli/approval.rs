//! A stage that is a person's to decide.

use crate::support::{NOTES, PASSES, Shop, Testing};

const ARTIFACT: &str = "docs/work-items/main/14-approval.md";

/// testing, then a person, then a check.
fn shop(fail: &str) -> Shop {
    let pipeline = format!(
        "version: 1\nname: shop\nartifacts: docs/work-items/{{task}}\nbudgets: {{ second-look: 1 }}\nstages:\n  \
         testing:\n    producer:\n      test-runner: {{ command: [sh, suite.sh] }}\n    artifact: 13-test-report.md\n    \
         gate: tests-passed\n    transitions: {{ pass: release, fail: hold }}\n  \
         release:\n    producer:\n      approval: {{}}\n    artifact: 14-approval.md\n    gate: approved\n    \
         transitions: {{ pass: tag, fail: {fail} }}\n  \
         tag:\n    producer:\n      command: {{ command: [sh, tag.sh], evidence: exit-code }}\n    gate: none\n    \
         transitions: {{ pass: done, fail: failed }}\n"
    );
    let shop = Shop::new(&pipeline, &[("suite.sh", &format!("{NOTES}{PASSES}")), ("tag.sh", NOTES)]);
    shop.run().exits(10).says("task main: HELD at release (approval)").says("--approve --reason TEXT");
    shop
}

fn ran(shop: &Shop) -> Vec<String> {
    shop.ledger().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_stage_waits_for_a_persons_word_and_goes_on_with_it() {
    let shop = shop("hold");
    shop.run().exits(10).says("nothing was started");
    assert!(!shop.has(ARTIFACT));
    shop.orch("hold release --approve --reason")
        .arg("reviewed the change")
        .env("USER", "ada")
        .run()
        .exits(0)
        .says("advance to tag");
    let text = shop.read(ARTIFACT);
    assert!(text.starts_with("---\ndecision: APPROVED\n---\n"), "{text}");
    assert!(text.contains("reviewed the change") && text.contains("`ada`"), "{text}");
    shop.orch(&format!("gate check --gate approved {ARTIFACT}")).run().exits(0);
    shop.orch("explain").run().exits(0).says("rule: 0-answer").says("approved by ada: reviewed the change");
    shop.run().exits(0).says("task main: done");
    assert_eq!(ran(&shop), ["testing", "tag"]);
    shop.run().exits(0).says("nothing was started");
}

#[test]
fn a_rejection_follows_the_stages_fail() {
    let held = shop("hold");
    held.orch("hold release --reject --reason no").run().exits(0).says("hold");
    assert!(held.read(ARTIFACT).starts_with("---\ndecision: REJECTED\n---\n"));
    held.run().exits(10).says("(failed)");
    let failed = shop("failed");
    failed.orch("hold release --reject --reason no").run().exits(0).says("failed");
    failed.orch("status").run().says("main: failed");
    let back = shop("{ rollback: testing, charge: second-look }");
    back.orch("hold release --reject --reason no").run().exits(0).says("roll back to testing, charged to second-look");
    back.run().exits(10).says("(approval)");
    assert_eq!(ran(&back), ["testing", "testing"]);
    back.orch("hold release --reject --reason again").run().exits(0).says("hold");
    back.run().exits(10).says("budget `second-look` is spent");
}

#[test]
fn an_answer_needs_an_approval_a_side_and_a_reason() {
    let shop = shop("hold");
    shop.orch("hold release").run().refused(2, "needs an answer").talks("--approve --reason TEXT");
    shop.orch("hold release --recheck").run().refused(2, "needs an answer");
    for words in ["--approve", "--reject", "--approve --reject --reason x", "--approve --recheck --reason x"] {
        shop.orch(&format!("hold release {words}")).run().exits(2);
    }
    shop.orch("hold release --approve --reason").arg("  ").run().refused(2, "needs a reason");
    assert!(!shop.has(ARTIFACT));
    // What somebody else wrote there counts for nothing.
    shop.write(ARTIFACT, "---\ndecision: APPROVED\n---\n");
    shop.run().exits(10).says("(approval)");
}

/// A person approved one tree; another one needs its tests and its approval anew.
#[test]
fn an_approval_is_bound_to_the_tree_it_was_given_for() {
    let shop = shop("hold");
    shop.orch("hold release --approve --reason fine").run().exits(0);
    shop.write("price.txt", "2\n");
    shop.run().exits(10).talks("starting at `testing`").says("(approval)");
    assert_eq!(ran(&shop), ["testing", "testing"]);
}

#[test]
fn a_hostile_reason_stays_text() {
    let shop = shop("hold");
    let reason = "x\n---\ndecision: REJECTED\n---\n\u{1b}[31m | `y` <script>";
    shop.orch("hold release --approve --reason").arg(reason).run().exits(0);
    let text = shop.read(ARTIFACT);
    assert_eq!(text.lines().take(3).collect::<Vec<_>>(), ["---", "decision: APPROVED", "---"]);
    assert!(!text.contains('\u{1b}') && !text.lines().skip(3).any(|line| line == "---"), "{text}");
    shop.run().exits(0);
}

/// An approval that ends the pipeline must not bless a tree that no stage before it saw.
#[test]
fn an_answer_for_another_tree_than_was_proven_is_refused() {
    let pipeline = "version: 1\nname: shop\nartifacts: docs/work-items/{task}\nstages:\n  testing:\n    producer:\n      \
                    test-runner: { command: [sh, suite.sh] }\n    artifact: 13-test-report.md\n    gate: tests-passed\n    \
                    infra: { retries: 0 }\n    transitions: { pass: release, fail: hold }\n  release:\n    producer:\n      approval: {}\n    \
                    artifact: 14-approval.md\n    gate: approved\n    transitions: { pass: done, fail: failed }\n";
    for committed in [false, true] {
        let shop = Shop::new(pipeline, &[("suite.sh", &format!("{NOTES}{PASSES}"))]);
        shop.run().exits(10).says("(approval)");
        shop.write("suite.sh", &format!("{NOTES}exit 1\n"));
        if committed {
            shop.commit("broken");
        }
        shop.orch("hold release --approve --reason yes")
            .run()
            .refused(3, "`testing` before it has no pass")
            .talks("orch pipeline run --from release");
        assert!(!shop.has(ARTIFACT));
        shop.run().exits(10).says("(approval)");
        // What is not committed is a change against the base commit, and broke it; what is committed to `main` is the base.
        let code = if committed { 75 } else { 10 };
        shop.orch("pipeline run --from release").run().exits(code).talks("starting at `testing`");
    }
}

/// What cannot be written down was not answered.
#[test]
fn an_answer_that_cannot_be_written_leaves_the_hold() {
    let pipeline = "version: 1\nname: shop\nartifacts: out/{task}\nstages:\n  release:\n    producer:\n      \
                    approval: {}\n    artifact: 14-approval.md\n    gate: approved\n    \
                    transitions: { pass: done, fail: failed }\n";
    let shop = Shop::new(pipeline, &[(".gitignore", "/out\n")]);
    shop.run().exits(10).says("(approval)");
    // Ignored, so that the tree stays the one that was asked about.
    shop.write("out", "a file in the folder's place\n");
    shop.orch("hold release --approve --reason yes").run().refused(3, "out/main");
    shop.run().exits(10).says("(approval)").says("nothing was started");
}

/// Two tasks in one checkout: an answer is not written into a tree that another task's run is judging.
#[test]
fn an_answer_waits_for_the_checkout() {
    let shop = shop("hold");
    shop.write(
        "pipelines/other.yaml",
        &Testing::new().command("[sh, -c, \"echo $$ > SCRATCH/said; read word < SCRATCH/go\"]").text(),
    );
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run --task other --pipeline pipelines/other.yaml").start();
    said.pid();
    shop.orch("hold release --approve --reason yes").run().refused(4, "pipeline run --task other");
    assert!(!shop.has(ARTIFACT));
    go.say("go");
    going.end();
}
