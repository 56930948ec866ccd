//! The gate `tests-passed`: `13-test-report.md`.

use super::contract::{Companion, Contract, zero};

/// `result` is the verdict. `status` and `tests_status` say it again; an agent may leave them out. Counts of what
/// went wrong are not asked for, but where one stands it must be 0 beside a pass.
pub(super) fn contract() -> Contract<'static> {
    const COMPANIONS: &[Companion] = &[
        Companion::Echo { key: "status", pass: "passed", fail: "failed" },
        Companion::Echo { key: "tests_status", pass: "PASS", fail: "FAIL" },
        zero("failed"),
        zero("failures"),
        zero("failing"),
        zero("failure_count"),
        zero("failed_count"),
        zero("failed_tests"),
        zero("tests_failed"),
        zero("errors"),
        zero("errored"),
        zero("error_count"),
        zero("tests_errored"),
        zero("exit_code"),
        zero("exit_status"),
    ];
    Contract { key: "result", pass: vec!["PASS"], fail: vec!["FAIL"], companions: COMPANIONS }
}

#[cfg(test)]
mod tests {
    use crate::domain::pipeline::Gate;
    use crate::domain::verdict::UnreadableReason as Reason;
    use crate::gate::read;

    fn check(block: &str, expected: Result<&str, Reason>) {
        let text = format!("---\n{block}\n---\n");
        let answer = read(&Gate::TestsPassed, text.as_bytes());
        let answer = answer.as_ref().map(|reading| reading.verdict.as_str()).map_err(|why| why.reason);
        assert_eq!(answer, expected, "{block}");
    }

    #[test]
    fn the_verdict_is_result() {
        check("result: PASS", Ok("pass"));
        check("result: FAIL", Ok("fail"));
        check("result: PASS\nstatus: passed\ntests_status: PASS", Ok("pass"));
        check("tests_status: FAIL\nstatus: failed\nresult: FAIL", Ok("fail"));
        check("status: passed\ntests_status: PASS", Err(Reason::NoKey));
    }

    #[test]
    fn companions_agree_where_they_stand() {
        check("result: PASS\nstatus: failed", Err(Reason::Contradiction));
        check("result: FAIL\nstatus: passed", Err(Reason::Contradiction));
        check("result: PASS\ntests_status: FAIL", Err(Reason::Contradiction));
        check("result: FAIL\ntests_status: PASS", Err(Reason::Contradiction));
        check("result: PASS\nstatus: done", Err(Reason::UnknownValue));
        check("result: PASS\ntests_status: pass", Err(Reason::UnknownValue));
    }

    #[test]
    fn counts_of_faults_are_zero_beside_a_pass() {
        for zero in ["0", "00", "\"0\"", "none"] {
            check(&format!("result: PASS\nfailed: {zero}"), Ok("pass"));
        }
        for some in ["3", "1", "-1", "'2'", "99999999999999999999999"] {
            check(&format!("result: PASS\nfailed: {some}"), Err(Reason::Contradiction));
        }
        for unclear in ["three", "0x0", "1.0", "test_login", "\"\"", "+1"] {
            check(&format!("result: PASS\nerrors: {unclear}"), Err(Reason::UnknownValue));
        }
        check("result: PASS\nexit_code: 1", Err(Reason::Contradiction));
        check("result: FAIL\nfailed: 3\nerrors: many", Ok("fail"));
        check("result: FAIL\nfailed: 0", Ok("fail"));
        check("result: PASS\npassed: 12\nskipped: 3", Ok("pass"));
    }
}
