//! JUnit reports: only what this attempt wrote, whole, counts.

use crate::support::{REPORT, Shop, Testing};

const GREEN: &str = "<testsuite tests=\"2\" failures=\"0\"><testcase name=\"a\"/><testcase name=\"b\"/></testsuite>";
const RED: &str = "<testsuite tests=\"1\" failures=\"1\"><testcase name=\"test_pay\"><failure message=\"2 != 3\"/></testcase></testsuite>";

fn shop(place: &str, suite: &str) -> Shop {
    let pipeline = Testing::new().suite(&format!("report: {{ junit: \"{place}\" }}")).text();
    let (cut, _) = GREEN.split_at(60);
    Shop::new(&pipeline, &[("suite.sh", suite), ("green.xml", GREEN), ("red.xml", RED), ("cut.xml", cut)])
}

#[test]
fn a_fresh_report_in_the_worktree_is_read() {
    let shop = shop("out/junit.xml", "mkdir -p out\ncp green.xml out/junit.xml\n");
    shop.run().exits(0).talks("the report says 2 passed").never("left new files");
    assert!(shop.read(REPORT).contains("2 passed"));
}

#[test]
fn a_report_in_the_attempts_folder_is_read() {
    let shop = shop("{attempt}/junit.xml", "cp \"$1\" \"$ORCH_ATTEMPT_DIR/junit.xml\"\n");
    let with = |file: &str| Testing::new().command(&format!("[sh, suite.sh, {file}]"));
    let report = "report: { junit: \"{attempt}/junit.xml\" }";
    shop.write("pipelines/shop.yaml", &with("green.xml").suite(report).text());
    shop.run().exits(0);
    shop.write("pipelines/shop.yaml", &with("red.xml").suite(report).text());
    shop.run().exits(1).talks("first `test_pay`");
    assert!(shop.read(REPORT).contains("test_pay"));
}

#[test]
fn a_report_from_before_cannot_answer() {
    let stale = shop("junit.xml", "true\n");
    stale.write("junit.xml", GREEN);
    stale.run().held(78, "`junit.xml` was not written");

    // One that somebody committed is not orch's to remove.
    stale.write("junit.xml", GREEN);
    stale.commit("a report that somebody committed");
    stale.orch("hold release").run().exits(0);
    stale.run().exits(3).talks("is a file of the commit");
    assert_eq!(stale.read("junit.xml"), GREEN);

    // The same where the file is put back with its old time: the attempt did not write it.
    let touched = shop("out.tmp", "cp -p green.xml out.tmp\ntouch -d '2001-01-01' out.tmp\n");
    touched.run().held(78, "older than this attempt");
}

#[test]
fn a_report_that_is_missing_or_cut_is_no_pass() {
    shop("out.tmp", "true\n").run().held(78, "the declared report `out.tmp` was not written");
    shop("out.tmp", "cp cut.xml out.tmp\n").run().held(78, "cannot be read");
    // Also where the suite's own summary is green.
    shop("out.tmp", "echo 1..1\necho 'ok 1'\n").run().held(78, "was not written");
}

#[test]
fn red_beats_green_whichever_says_it() {
    let report = shop("out.tmp", "cp red.xml out.tmp\nexit 0\n");
    report.run().exits(1).talks("the report says 1 failed");
    let summary = shop("out.tmp", "cp green.xml out.tmp\necho 1..1\necho 'not ok 1 - pay'\nexit 0\n");
    summary.run().exits(1).talks("tap says 1 failed");
    let both = shop("out.tmp", "cp red.xml out.tmp\necho 1..1\necho 'ok 1'\nexit 0\n");
    both.run().exits(1);
}

#[test]
fn a_green_report_with_a_failing_exit_code_is_no_pass() {
    let shop = shop("out.tmp", "cp green.xml out.tmp\nexit 1\n");
    shop.run().held(75, "exit code 1");
    assert!(!shop.has(REPORT));
}

#[test]
fn a_link_at_the_reports_place_is_not_followed() {
    let shop = shop("out.tmp", "ln -s \"$ORCH_WORKTREE/green.xml\" out.tmp\n");
    shop.run().held(78, "out.tmp");
}
