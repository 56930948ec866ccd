//! A suite's own closing line: a declared pattern with the named groups `total`, `passed`, `failed`, `skipped`.

use regex::{Regex, RegexBuilder};

use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Summary, SummarySource};

/// Largest compiled pattern, in bytes.
const PATTERN_MAX_BYTES: usize = 1 << 20;
/// The group names that count.
const GROUPS: [&str; 4] = ["total", "passed", "failed", "skipped"];

/// Why a pattern cannot be a closing line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClosingLineError {
    /// Not a regular expression of the `regex` crate (no look-around, no back-references), or too large.
    #[error("not a usable regular expression: {0}")]
    Pattern(String),
    /// A group with a name that means nothing here.
    #[error("unknown group `{0}`; the groups are `total`, `passed`, `failed` and `skipped`")]
    UnknownGroup(String),
    /// The groups cannot tell whether anything failed.
    #[error("the groups must tell what failed: `failed` with `total` or `passed`, or `total` with `passed`")]
    CannotTell,
    /// It matches an empty line.
    #[error("the pattern matches an empty line")]
    MatchesEmpty,
}

/// Checks a pattern that a pipeline or an option declares.
///
/// # Errors
/// [`ClosingLineError`] in words that fit behind "closing-line".
pub fn check_closing_line(pattern: &str) -> Result<(), ClosingLineError> {
    ClosingLine::new(pattern).map(|_| ())
}

#[derive(Debug)]
pub(in crate::classify) struct ClosingLine {
    pattern: Regex,
}

impl ClosingLine {
    pub(in crate::classify) fn new(pattern: &str) -> Result<Self, ClosingLineError> {
        let pattern = RegexBuilder::new(pattern).size_limit(PATTERN_MAX_BYTES).build().map_err(|error| {
            ClosingLineError::Pattern(error.to_string().lines().last().unwrap_or_default().trim().to_owned())
        })?;
        let names: Vec<&str> = pattern.capture_names().flatten().collect();
        if let Some(unknown) = names.iter().find(|name| !GROUPS.contains(name)) {
            return Err(ClosingLineError::UnknownGroup((*unknown).to_owned()));
        }
        let has = |name| names.contains(&name);
        let tells = has("failed") && (has("total") || has("passed")) || has("total") && has("passed");
        if !tells {
            return Err(ClosingLineError::CannotTell);
        }
        if pattern.is_match("") {
            return Err(ClosingLineError::MatchesEmpty);
        }
        Ok(Self { pattern })
    }

    pub(in crate::classify) fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let Some(captures) = self.pattern.captures(line.text) else { return };
        let read = |name: &str| captures.name(name).map(|m| m.as_str().parse::<u64>().ok());
        let Some(counts) = counts(read("total"), read("passed"), read("failed"), read("skipped")) else { return };
        // Where nothing was executed no test can have printed what stands above.
        if counts.ran() > 0 || counts.red() {
            notes.region(line.stream, 1, line.number);
        }
        notes.summary(Summary { source: SummarySource::ClosingLine, counts, at: line.sighting("closing-line") });
    }
}

/// Works the counts out; `None` where a group did not match, is no number, or the numbers contradict each other.
#[expect(clippy::option_option, reason = "a group is absent, matched without a number, or a number")]
fn counts(
    total: Option<Option<u64>>,
    passed: Option<Option<u64>>,
    failed: Option<Option<u64>>,
    skipped: Option<Option<u64>>,
) -> Option<Counts> {
    let skipped_n = skipped.map_or(Some(0), |n| n)?;
    let (passed_n, failed_n) = match (total, passed, failed) {
        (_, Some(passed), Some(failed)) => (passed?, failed?),
        (Some(total), None, Some(failed)) => (total?.checked_sub(failed?)?.checked_sub(skipped_n)?, failed?),
        (Some(total), Some(passed), None) => (passed?, total?.checked_sub(passed?)?.checked_sub(skipped_n)?),
        (None, _, None) | (None, None, Some(_)) | (Some(_), None, None) => return None,
    };
    Some(Counts { passed: passed_n, failed: failed_n, errors: 0, skipped: skipped_n })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counts, facts};
    use super::*;
    use crate::domain::evidence::Stream;
    use crate::domain::pipeline::EvidenceKind;

    fn check(pattern: &str, text: &str, expected: &[Counts]) {
        let facts = facts(&EvidenceKind::ClosingLine(pattern.to_owned()), Stream::Stdout, text);
        assert_eq!(facts.summaries.iter().map(|s| s.counts).collect::<Vec<_>>(), expected, "{pattern} on {text}");
    }

    #[test]
    fn counts_are_worked_out_from_the_groups_there_are() {
        let total_failed = r"^(?P<total>\d+) checks, (?P<failed>\d+) failed$";
        check(total_failed, "5 checks, 0 failed", &[counts(5, 0, 0, 0)]);
        check(total_failed, "5 checks, 2 failed", &[counts(3, 2, 0, 0)]);
        check(total_failed, "5 checks, 7 failed", &[]);
        check(total_failed, "five checks, 0 failed", &[]);
        check(r"(?P<passed>\d+) of (?P<total>\d+) passed", "4 of 5 passed", &[counts(4, 1, 0, 0)]);
        check(r"p=(?P<passed>\d+) f=(?P<failed>\d+) s=(?P<skipped>\d+)", "p=1 f=0 s=3", &[counts(1, 0, 0, 3)]);
    }

    #[test]
    fn patterns_that_cannot_tell_are_refused() {
        assert!(matches!(check_closing_line(r"(?P<failed>\d+"), Err(ClosingLineError::Pattern(_))));
        assert!(matches!(check_closing_line(r"(?=x)"), Err(ClosingLineError::Pattern(_))));
        assert!(matches!(check_closing_line(r"((a{100}){100}){100}"), Err(ClosingLineError::Pattern(_))));
        assert_eq!(check_closing_line(r"(?P<count>\d+)"), Err(ClosingLineError::UnknownGroup("count".to_owned())));
        assert_eq!(check_closing_line(r"done"), Err(ClosingLineError::CannotTell));
        assert_eq!(check_closing_line(r"(?:(?P<total>\d+) (?P<failed>\d+))?"), Err(ClosingLineError::MatchesEmpty));
    }
}
