//! JUnit XML: one test case a stage. Only a verdict is a `<failure>`; what gave none is `<skipped>`, with the reason.
//!
//! A case is called as its stage, so that a reader which compares runs by name finds it again. What failed in an
//! earlier visit of a stage and stands no more is a `flakyFailure`, which no reader counts.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::told::{Case, Finding, Told};

/// The case that stands for orch itself.
const ORCH: &str = "orch";

/// Writes the report.
pub(super) fn render(told: &Told) -> String {
    let mut suite = TestSuite::new(&told.pipeline);
    suite.add_properties(told.facts.iter().map(|(name, value)| Property::new(*name, value)));
    for case in told.standing() {
        let mut written = TestCase::new(&case.stage, status(told, case));
        written.set_classname(&told.pipeline);
        if let Some(elapsed) = case.elapsed {
            written.set_time(elapsed);
        }
        suite.add_test_case(written);
    }
    if let Some(message) = &told.broken {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(message).set_type("orch").set_description(message);
        let mut written = TestCase::new(ORCH, status);
        written.set_classname(&told.pipeline);
        suite.add_test_case(written);
    }
    let mut report = Report::new(ORCH);
    report.add_test_suite(suite);
    report.to_string().expect("a report in memory can be written")
}

fn status(told: &Told, case: &Case) -> TestCaseStatus {
    let mut status = match case.finding {
        Finding::Passed => TestCaseStatus::success(),
        Finding::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Finding::NoVerdict | Finding::Undecided => TestCaseStatus::skipped(),
    };
    match case.finding {
        Finding::Passed => {
            let earlier = told.cases.iter().filter(|other| other.stage == case.stage && !other.stands);
            for failed in earlier.filter(|other| other.finding == Finding::Failed) {
                let mut rerun = TestRerun::new(NonSuccessKind::Failure);
                rerun.set_message(&failed.detail).set_type(&failed.reason).set_description(body(told, failed));
                status.add_rerun(rerun);
            }
        }
        Finding::Failed | Finding::NoVerdict | Finding::Undecided => {
            // GitLab shows the element's text and not its message: both say it.
            let message = match (case.finding, told.hold_of(case)) {
                (Finding::NoVerdict, Some(hold)) => format!("{}: {}", hold.kind, hold.text),
                (Finding::NoVerdict, None) => format!("no verdict ({}): {}", case.reason, case.detail),
                (Finding::Passed | Finding::Failed | Finding::Undecided, _) => case.detail.clone(),
            };
            status.set_message(message).set_type(&case.reason).set_description(body(told, case));
        }
    }
    status
}

fn body(told: &Told, case: &Case) -> String {
    let mut lines = vec![format!("{}: {} ({}): {}", case.title(), case.finding.as_str(), case.reason, case.detail)];
    lines.extend(case.failing.iter().map(|name| format!("failing: {name}")));
    lines.extend(case.next.iter().map(|next| format!("orch: {next}")));
    lines.extend(told.hold_of(case).filter(|_| case.stands).map(|hold| hold.hint.clone()));
    lines.join("\n")
}
