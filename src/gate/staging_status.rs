//! The gate `staging-status`: `15-staging-log.md`.

use super::contract::{Companion, Contract, zero};

/// `staging_status` is the verdict; counts of what went wrong must be 0 beside a success.
pub(super) fn contract() -> Contract<'static> {
    const COMPANIONS: &[Companion] = &[
        zero("failed"),
        zero("failures"),
        zero("failed_checks"),
        zero("checks_failed"),
        zero("errors"),
        zero("error_count"),
        zero("exit_code"),
        zero("exit_status"),
    ];
    Contract { key: "staging_status", pass: vec!["SUCCESS"], fail: vec!["FAILED"], companions: COMPANIONS }
}

#[cfg(test)]
mod tests {
    use crate::domain::pipeline::Gate;
    use crate::domain::verdict::UnreadableReason as Reason;
    use crate::gate::read;

    #[test]
    fn the_verdict_is_staging_status() {
        let check = |block: &str, expected: Result<&str, Reason>| {
            let text = format!("---\n{block}\n---\n");
            let answer = read(&Gate::StagingStatus, text.as_bytes());
            let answer = answer.as_ref().map(|reading| reading.verdict.as_str()).map_err(|why| why.reason);
            assert_eq!(answer, expected, "{block}");
        };
        check("staging_status: SUCCESS", Ok("pass"));
        check("staging_status: FAILED", Ok("fail"));
        check("staging_status: \"SUCCESS\"", Ok("pass"));
        check("staging_status: FAIL", Err(Reason::UnknownValue));
        check("staging_status: PASS", Err(Reason::UnknownValue));
        check("staging-status: SUCCESS", Err(Reason::LookalikeKey));
        check("result: PASS", Err(Reason::NoKey));
        check("staging_status: SUCCESS\nchecks_failed: 1", Err(Reason::Contradiction));
    }
}
