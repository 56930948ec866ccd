//! How a stage ends, and what a caller gets to see of it: headline, exit code, artifact.

use crate::support::{CHECK_THEN_TESTING, FAILS, NOTES, PASSES, REPORT, Shop, Testing};

#[test]
fn a_suite_that_passes_is_done() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0).says("task main: done").talks("testing: sh suite.sh");
    assert!(shop.read(REPORT).starts_with("---\nresult: PASS\nstatus: passed\ntests_status: PASS\n---\n"));
}

#[test]
fn a_real_unittest_suite_passes_and_fails() {
    let test = |wanted: u8| {
        format!(
            "import unittest\nclass Pay(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, {wanted})\n"
        )
    };
    let pipeline = Testing::new().command("[/usr/bin/python3, -B, -m, unittest, -v]").text();
    let shop = Shop::new(&pipeline, &[("test_pay.py", &test(2))]);
    shop.run().exits(0).says("done");
    shop.write("test_pay.py", &test(3));
    shop.run().exits(1).says("FAILED at testing").talks("1 failed");
    let report = shop.read(REPORT);
    assert!(report.contains("result: FAIL") && report.contains("AssertionError: 2 != 3"), "{report}");
}

#[test]
fn a_fail_rolls_back_charges_once_and_then_holds() {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{FAILS}"))]);
    shop.run()
        .talks("testing: failed, tap says 1 failed -> roll back to check, charged to retry")
        .held(10, "budget `retry` is spent");
    let stages: Vec<String> = shop.ledger().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(stages, ["check", "testing", "check", "testing"]);
    assert_eq!(shop.orch("status --json").run().json()["tasks"][0]["spent"]["retry"], 1);
}

#[test]
fn a_rollback_of_a_stage_to_itself_leaves_no_old_artifact_behind() {
    let suite = "if [ -e ../once ]; then ls docs/work-items/main; exit 3; fi\ntouch ../once\n";
    let pipeline = Testing::new().fail("{ rollback: testing, charge: retry }").text();
    let shop = Shop::new(&pipeline, &[("suite.sh", &format!("{suite}{FAILS}"))]);
    shop.run().never("repaired").held(75, "exit code 3");
    assert!(!shop.has(REPORT), "the first attempt's answer stands beside the second's hold");
    shop.orch("logs").run().exits(0).never("13-test-report.md");
}

#[test]
fn fail_failed_ends_the_task_and_fail_hold_asks_a_person() {
    let shop = Shop::running(FAILS);
    shop.run().exits(1).says("task main: FAILED at testing").says("orch explain");
    let pipeline = Testing::new().fail("hold").text();
    Shop::new(&pipeline, &[("suite.sh", FAILS)]).run().held(10, "`fail: hold`");
}

#[test]
fn what_cannot_start_is_the_environments_fault() {
    let check = |command: &str, part: &str| {
        let shop = Shop::new(
            &Testing::new().command(command).text(),
            &[("plain", "echo hi\n"), ("bad", "#!/no/such/sh\n"), ("docs/readme", "\n")],
        );
        shop.git(&["update-index", "--chmod=+x", "bad"]);
        std::fs::set_permissions(shop.tree.join("bad"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        shop.run().held(78, part).says("(permanent-env)");
        assert!(!shop.has(REPORT), "{command} left an artifact");
    };
    check("[no-such-tool, --ci]", "the program cannot be found: `no-such-tool`");
    for there in ["[./plain]", "[\"./docs/\"]"] {
        check(there, "the program cannot be executed");
        check(there, "it is there, and is a folder or nobody may execute it: `chmod +x`");
    }
    check("[./bad]", "the interpreter in its first line (`#!`) is missing");
    check("[sh, -c, 'exit 127']", "exit code 127");
    let shop = Shop::new(&Testing::new().suite("cwd: no/such/folder").text(), &[("suite.sh", PASSES)]);
    shop.run().held(78, "the working folder cannot be used");
}

#[test]
fn what_did_not_run_is_not_green() {
    let check = |suite: &str, part: &str| {
        let shop = Shop::running(suite);
        shop.run().held(78, part);
        assert!(!shop.has(REPORT));
    };
    check("true\n", "nothing shows that a test was executed");
    check("echo 1..0\n", "no test was executed");
    check("echo 1..2\necho 'ok 1 - a # SKIP off'\necho 'ok 2 - b # SKIP off'\n", "2 skipped");
    // A suite that says by name that it may be empty.
    let pipeline = Testing::new().suite("min-tests: 0").text();
    Shop::new(&pipeline, &[("suite.sh", "echo '1..0 # SKIP nothing to do'\n")]).run().exits(0);
}

#[test]
fn a_suite_that_is_killed_gives_no_verdict() {
    let shop = Shop::running("echo 1..2\necho 'ok 1 - a'\nkill -KILL $$\n");
    shop.run().held(75, "SIGKILL");
    assert!(!shop.has(REPORT));
}

#[test]
fn a_red_suite_counts_whatever_it_prints_of_the_network() {
    let words = "echo 'curl: (7) Failed to connect: Connection refused' >&2\necho 'No such container: app' >&2\n";
    Shop::running(&format!("{words}{FAILS}")).run().exits(1).says("FAILED");
    Shop::running(&format!("{words}{PASSES}")).run().exits(0).says("done");
    // The same words from a layer below a suite that never spoke.
    let docker = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2\nexit 1\n";
    Shop::running(docker).run().never("FAILED").never("roll back");
}

#[test]
fn limits_hold_and_say_which_of_them_fired() {
    let limited = |key: &str, suite: &str| Shop::new(&Testing::new().stage(key).text(), &[("suite.sh", suite)]);
    let waits = "exec sleep 100\n";
    limited("timeout: 200ms", waits).run().held(75, "the total limit ended the attempt").says("(timed-out)");
    limited("idle-timeout: 200ms", waits).run().held(75, "the idle limit ended the attempt");
    // Part of the suite's contract, where the stage says so; the idle limit never is.
    let total = limited("timeout: 200ms\n    on-timeout: fail", waits);
    total.run().exits(1).says("FAILED at testing");
    assert!(total.read(REPORT).contains("result: FAIL"));
    limited("idle-timeout: 200ms\n    on-timeout: fail", waits).run().held(75, "the idle limit");
}

#[test]
fn a_check_is_judged_by_its_declared_codes_only() {
    let pipeline = "\
version: 1
name: shop
artifacts: docs/work-items/{task}
stages:
  lint:
    producer:
      command: { command: [sh, lint.sh], evidence: exit-code, exit: { pass: [0, 3], fail: [1] } }
    gate: none
    transitions: { pass: done, fail: failed }
";
    let ends_with = |code: u8| Shop::new(pipeline, &[("lint.sh", &format!("exit {code}\n"))]).run();
    ends_with(0).exits(0);
    ends_with(3).exits(0);
    ends_with(1).exits(1);
    ends_with(2).held(75, "exit code 2");
}
