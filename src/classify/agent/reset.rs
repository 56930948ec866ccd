//! When a provider's limit ends, as its words tell it: seconds since 1970, a time with a zone, or a time from now.
//! A clock time without a date or a zone says nothing that could be counted on.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use regex::Regex;

/// Longest wait that is believed: a weekly limit, and a day.
const WAIT_MAX: Duration = Duration::from_hours(8 * 24);

static EPOCH: LazyLock<Regex> = LazyLock::new(|| pattern(r"limit reached\|(\d{10})\b"));
static ABSOLUTE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d))"));
static RELATIVE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:again|retry|resets?|reset after) (?:in |after )?((?:\d+(?:\.\d+)? ?(?:days?|hours?|hrs?|minutes?|mins?|seconds?|secs?|d|h|m|s)\b?[ ,]*)+)",
    )
});
static PART: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d+)(?:\.\d+)? ?([a-zA-Z])"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of ours")
}

/// The end of a limit, where it lies ahead and near enough to be waited for.
pub(super) fn believed(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let wait = Duration::try_from(at.duration_since(now)).ok()?;
    (wait <= WAIT_MAX).then_some(at)
}

/// The end of the limit.
pub(super) fn in_text(text: &str, now: Timestamp) -> Option<Timestamp> {
    let believed = |at| believed(at, now);
    if let Some(found) = EPOCH.captures(text) {
        return Timestamp::from_second(found.get(1)?.as_str().parse().ok()?).ok().and_then(believed);
    }
    if let Some(found) = ABSOLUTE.captures(text) {
        return found.get(1)?.as_str().parse().ok().and_then(believed);
    }
    let found = RELATIVE.captures(text)?.get(1)?.as_str();
    let mut wait = Duration::ZERO;
    for part in PART.captures_iter(found) {
        let count: u64 = part.get(1)?.as_str().parse().ok()?;
        let unit = match part.get(2)?.as_str() {
            "d" | "D" => 86_400,
            "h" | "H" => 3_600,
            "m" | "M" => 60,
            _ => 1,
        };
        wait = wait.saturating_add(Duration::from_secs(count.saturating_mul(unit)));
    }
    // A part of a second more is a second more.
    let wait = wait.saturating_add(Duration::from_secs(u64::from(found.contains('.'))));
    now.checked_add(wait).ok().and_then(believed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_limit_is_read_where_it_can_be_counted_on() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(in_text(text, now), expected, "{text}");
        };
        check("Claude AI usage limit reached|1795953600", Some("2026-11-29T12:00:00Z"));
        check("Please retry in 12.3s", Some("2026-11-29T12:00:13Z"));
        check("try again in 17s.", Some("2026-11-29T12:00:17Z"));
        check("Try again in 3 days 4 hours 5 minutes.", Some("2026-12-02T16:05:00Z"));
        check("Your quota will reset after 18h31m10s.", Some("2026-11-30T06:31:10Z"));
        check("resets 2026-11-29T15:00:00+01:00", Some("2026-11-29T14:00:00Z"));
        check("You've hit your session limit · resets 3pm", None);
        check("try again at 3:14 PM", None);
        check("retry in 400 days", None);
        check("resets 2026-11-29T11:00:00Z", None);
        check("nothing", None);
    }
}
