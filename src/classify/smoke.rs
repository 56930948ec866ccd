//! Rule 12: what the smoke checks make of a suite that passed. They can take a pass away and do nothing else.

use crate::domain::outcome::{Conclusion, Outcome, Proof, Reason, Rule, Ruling};
use crate::domain::smoke::{SmokeFacts, SmokeSense};

use super::proof::outcome;

/// The suite's own outcome, unless it is a pass that a check takes away. One wrong answer is a fail, whatever the
/// others are.
pub(super) fn beside(suite: Outcome, checks: &[SmokeFacts]) -> Outcome {
    match suite.conclusion {
        Conclusion::SuiteRan(Ruling::Fail)
        | Conclusion::AgentRan
        | Conclusion::PermanentEnv
        | Conclusion::TransientInfra => return suite,
        Conclusion::SuiteRan(Ruling::Pass) => {}
    }
    let of = |sense| checks.iter().filter(move |check| check.sense() == sense);
    let first = |sense| of(sense).next().map(|check| (sense, check, of(sense).count()));
    let found = first(SmokeSense::Wrong).or_else(|| first(SmokeSense::Untrusted));
    let Some((sense, check, count)) = found.or_else(|| first(SmokeSense::Unreachable)) else { return suite };
    let (conclusion, reason, what) = match sense {
        SmokeSense::Untrusted => {
            (Conclusion::PermanentEnv, Reason::SmokeTls, "could not trust the service's certificate or TLS")
        }
        SmokeSense::Unreachable => {
            (Conclusion::TransientInfra, Reason::SmokeUnreachable, "got no answer from the service itself")
        }
        SmokeSense::Wrong | SmokeSense::Right => (Conclusion::SuiteRan(Ruling::Fail), Reason::SmokeFailed, "failed"),
    };
    let checks = match checks.len() {
        1 => "its smoke check".to_owned(),
        all => format!("{count} of {all} smoke checks"),
    };
    let seen = check.seen.in_words();
    let detail =
        format!("the suite passed and {checks} {what}: `GET {}`: wanted {}, got {seen}", check.get, check.expect);
    let proof = Proof {
        detail,
        source: Some("smoke".to_owned()),
        place: Some(check.get.clone()),
        text: Some(seen),
        counts: suite.proof.counts,
        ..Proof::default()
    };
    outcome(conclusion, reason, Rule::SmokeCheck, proof)
}
