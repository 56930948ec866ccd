//! What a second run does: where it starts, what it reuses, and when it does nothing.

use crate::support::{CHECK_THEN_TESTING, FAILS, NOTES, PASSES, REPORT, Shop, Testing};

/// Two stages that both pass and note their attempts.
fn two_stages() -> Shop {
    Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{PASSES}"))])
}

/// The stages that ran since the last look.
fn ran(shop: &Shop) -> String {
    let stages: Vec<String> = shop.ledger().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    std::fs::remove_file(shop.scratch("ledger")).ok();
    stages.join(" ")
}

#[test]
fn a_done_task_is_left_alone_until_something_changes() {
    let shop = two_stages();
    shop.run().exits(0).says("task main: done");
    assert_eq!(ran(&shop), "check testing");
    let again = |change: &str, expected: &str| {
        let ended = shop.run().exits(0);
        assert_eq!(ran(&shop), expected, "after {change}");
        assert_eq!(ended.stdout().contains("nothing was started"), expected.is_empty(), "after {change}");
    };
    again("nothing", "");
    shop.write("suite.sh", &format!("{NOTES}{PASSES}# edited\n"));
    again("an edit", "check testing");
    again("nothing", "");
    shop.commit("edited");
    again("a commit", "check testing");
    shop.write("pipelines/shop.yaml", &format!("{CHECK_THEN_TESTING}# edited\n"));
    again("another pipeline", "check testing");
    shop.write("notes.txt", "new\n");
    again("a new file", "check testing");
    again("nothing", "");
    shop.write("cache.tmp", "ignored\n");
    again("an ignored file", "");
    std::fs::remove_file(shop.tree.join(REPORT)).unwrap();
    again("a lost artifact", "");
    let done = shop.orch("pipeline run --json").run().exits(0).json();
    assert_eq!((&done["already_done"], &done["exit_code"]), (&true.into(), &0.into()));
}

#[test]
fn a_lost_artifact_comes_back_from_the_store() {
    let shop = two_stages();
    shop.run().exits(0);
    let published = shop.read(REPORT);
    std::fs::remove_file(shop.tree.join(REPORT)).unwrap();
    shop.run().exits(0).talks("was repaired from the store");
    assert_eq!(shop.read(REPORT), published);
}

#[test]
fn from_runs_a_stage_again_and_reuses_the_earlier_ones_where_nothing_changed() {
    let shop = two_stages();
    shop.run().exits(0);
    ran(&shop);
    shop.orch("pipeline run --from testing").run().exits(0);
    assert_eq!(ran(&shop), "testing");
    shop.write("price.txt", "2\n");
    shop.orch("pipeline run --from testing").run().exits(0).talks("starting at `check`");
    assert_eq!(ran(&shop), "check testing");
    shop.orch("pipeline run --from shipping").run().refused(2, "shipping").talks("`check`, `testing`");
    shop.orch("pipeline run --from ../x").run().refused(2, "../x");
    assert_eq!(ran(&shop), "");
}

#[test]
fn until_stops_after_a_stage_that_passed() {
    let shop = two_stages();
    shop.orch("pipeline run --until check").run().exits(0).says("stopped after the stage of --until");
    assert_eq!(ran(&shop), "check");
    shop.run().exits(0).says("task main: done");
    assert_eq!(ran(&shop), "testing");
    shop.orch("pipeline run --until nowhere").run().refused(2, "nowhere");
    shop.orch("pipeline run --from testing --until check").run().refused(2, "does not come after `testing`");
    assert_eq!(ran(&shop), "");
}

#[test]
fn a_dry_run_starts_nothing_and_writes_nothing_into_the_worktree() {
    let shop = two_stages();
    shop.orch("pipeline run --dry-run").run().exits(0).says("check: command sh check.sh").says("testing: test-runner");
    let plan = shop.orch("pipeline run --dry-run --json --from testing").run().exits(0).talks("").json();
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["stages"][0]["argv"], serde_json::json!(["sh", "check.sh"]));
    assert_eq!(ran(&shop), "");
    assert_eq!(shop.git(&["status", "--porcelain", "--ignored"]), "");
    assert_eq!(shop.orch("run list --json").run().exits(0).json()["runs"], serde_json::json!([]));
    shop.run().exits(0);
    shop.orch("pipeline run --dry-run").run().exits(0).says("nothing would be started");
}

#[test]
fn a_held_task_goes_on_at_its_stage_while_the_earlier_verdicts_stand() {
    let pipeline = CHECK_THEN_TESTING.replace("{ rollback: check, charge: retry }", "hold");
    let suite = format!("{NOTES}test -e ../up || exit 127\n{PASSES}");
    let shop = Shop::new(&pipeline, &[("check.sh", NOTES), ("suite.sh", &suite)]);
    shop.run().held(78, "exit code 127");
    assert_eq!(ran(&shop), "check testing");
    shop.run().held(78, "exit code 127").says("nothing was started").says("orch hold release main");
    assert_eq!(ran(&shop), "", "a hold is stable");
    shop.release_and_run().held(78, "exit code 127");
    assert_eq!(ran(&shop), "testing", "the tree is the one that check left");
    shop.write("price.txt", "2\n");
    shop.release_and_run().talks("starting at `check`").held(78, "exit code 127");
    assert_eq!(ran(&shop), "check testing");
    std::fs::write(shop.scratch("up"), "").unwrap();
    shop.release_and_run().exits(0).says("task main: done");
    assert_eq!(ran(&shop), "testing");
}

#[test]
fn a_stage_that_the_pipeline_no_longer_has_is_no_dead_end() {
    let shop = Shop::running("exit 127\n");
    shop.run().held(78, "exit code 127");
    shop.write("pipelines/shop.yaml", &Testing::new().text().replace("testing:", "tests:"));
    shop.write("suite.sh", PASSES);
    shop.run().refused(3, "could not go on with another pipeline").talks("--accept-pipeline");
    shop.orch("pipeline run --accept-pipeline").run().refused(3, "no `testing`").talks("`tests`").talks("--from STAGE");
    shop.orch("pipeline run --accept-pipeline --from tests").run().exits(0).says("done");
}

#[test]
fn a_failed_task_begins_anew_with_a_fresh_budget() {
    let pipeline = Testing::new().fail("{ rollback: testing, charge: retry }").text();
    let shop = Shop::new(&pipeline, &[("suite.sh", &format!("{NOTES}{FAILS}"))]);
    shop.run().held(10, "budget `retry` is spent");
    assert_eq!(ran(&shop), "testing testing");
    shop.run().held(10, "budget `retry` is spent").says("nothing was started");
    assert_eq!(ran(&shop), "");
    // A person looked: the budget may be spent anew.
    shop.release_and_run().held(10, "budget `retry` is spent");
    assert_eq!(ran(&shop), "testing testing");
    shop.write("suite.sh", &format!("{NOTES}{PASSES}"));
    shop.release_and_run().exits(0);
    shop.write("suite.sh", &format!("{NOTES}{FAILS}"));
    ran(&shop);
    shop.run().held(10, "budget `retry` is spent");
    assert_eq!(ran(&shop), "testing testing", "a new run of a task that was done has its budget again");
}
