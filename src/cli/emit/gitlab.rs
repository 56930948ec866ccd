//! GitLab: a collapsible section with the result in the job's log. What GitLab reads as a file is JUnit XML
//! (`artifacts:reports:junit`).
//!
//! The markers are those of <https://docs.gitlab.com/ci/jobs/job_logs/>; they work on either stream.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::told::{Case, Told};

/// The section, as one text.
pub(super) fn section(told: &Told, now: Timestamp) -> String {
    let (at, name) = (now.as_second(), format!("orch_{}", now.as_nanosecond()));
    let mut text = format!("\x1b[0Ksection_start:{at}:{name}\r\x1b[0Korch: {}\n", told.heading);
    let mut add = |line: &str| writeln!(text, "{line}").expect("a String takes every text");
    for case in &told.cases {
        add(&line(case));
    }
    for name in told.standing().flat_map(|case| &case.failing) {
        add(&format!("  failing: {name}"));
    }
    if let Some(hold) = &told.hold {
        add(&format!("{} at {}: {}", hold.kind, hold.stage, hold.text));
        add(&hold.hint);
    }
    text + &format!("\x1b[0Ksection_end:{at}:{name}\r\x1b[0K\n")
}

fn line(case: &Case) -> String {
    let took = if case.took().is_empty() { String::new() } else { format!(" after {}", case.took()) };
    format!("{}: {} ({}){took}: {}", case.title(), case.finding.as_str(), case.reason, case.detail)
}
