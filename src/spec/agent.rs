//! Values of an agent: what it may use up, and where it may write outside the worktree.

use super::code::Code;
use super::place::{Span, Spanned};
use super::problem::{Draft, Sink};
use super::raw;
use super::scalar::shown;
use super::values::{Text, Word};
use crate::domain::agent::Caps;
use crate::domain::pipeline::AgentProfile;

/// Most that a cap may allow: a million US dollars.
const DOLLARS_MAX: u64 = 1_000_000;

/// Folders below `~/` that hold keys, which no agent may write.
const KEYS: [&str; 4] = [".ssh", ".gnupg", ".aws", ".kube"];

/// What its attempts may use up. A cap that the tool's format does not tell about would never be reached.
pub(super) fn caps(profile: AgentProfile, raw: &raw::Agent, sink: &mut Sink) -> Caps {
    let tells = profile.row().tells;
    let mut refuse = |told: bool, span: Option<Span>, what: &str| {
        if let (false, Some(span)) = (told, span) {
            let message =
                format!("the events of `{}` do not tell {what}, so that cap is never reached", profile.as_str());
            let help = "leave it out; `timeout` and `idle-timeout` bound every agent";
            sink.push(Draft::new(Code::AgentCap, span, message).help(help));
        }
    };
    refuse(tells.turns, raw.max_turns.as_ref().map(|value| value.span), "turns");
    refuse(tells.tokens, raw.max_tokens.as_ref().map(|value| value.span), "tokens");
    refuse(tells.cost, raw.max_cost.as_ref().map(|value| value.span), "cost");
    Caps {
        turns: raw.max_turns.as_ref().map(|count| u64::from(count.value.0)),
        tokens: raw.max_tokens.as_ref().map(|count| u64::from(count.value.0)),
        micro_usd: raw.max_cost.as_ref().and_then(|word| micro_usd(word, sink)),
    }
}

/// Dollars with at most six digits behind the point, in millionths.
fn micro_usd(word: &Spanned<Word>, sink: &mut Sink) -> Option<u64> {
    let text = word.value.0.as_str();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let amount = (digits(whole) && digits(part) && whole.len() <= 7 && part.len() <= 6)
        .then(|| format!("{whole}{part:0<6}").parse::<u64>().ok())
        .flatten()
        .filter(|amount| (1..=DOLLARS_MAX * 1_000_000).contains(amount));
    if amount.is_none() {
        let message = format!("`{}` is no amount of US dollars", shown(text));
        let help = "write dollars above 0, with at most six digits behind the point: `2.50`";
        sink.push(Draft::new(Code::AgentCap, word.span, message).help(help));
    }
    amount
}

/// Places outside the worktree: absolute, or below `~/`, without `.`, `..` or empty parts, and none that holds keys.
pub(super) fn may_write(places: Vec<Spanned<Text>>, sink: &mut Sink) -> Vec<String> {
    let mut kept = Vec::new();
    for place in places {
        let text = place.value.0.as_str();
        let below = text.strip_prefix("~/").or_else(|| text.strip_prefix('/'));
        let part_fits = |part: &str| !part.is_empty() && part != "." && part != "..";
        let plain = !text.chars().any(char::is_control) && text.len() <= 512;
        let fits = plain && below.is_some_and(|below| below.split('/').all(part_fits));
        let keys = text.split('/').any(|part| KEYS.contains(&part));
        if fits && !keys {
            kept.push(place.value.0);
        } else {
            let what = if keys { "holds keys" } else { "is no absolute path and none below `~/`" };
            let message = format!("`{}` {what}", shown(text));
            let help = "name what the tool itself must write, such as `~/.claude`; no `.` or `..`, no folder of keys";
            sink.push(Draft::new(Code::MayWrite, place.span, message).help(help));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_dollars() {
        let check = |text: &str, expected: Option<u64>| {
            let mut sink = Sink::default();
            let word = Spanned { value: Word(text.to_owned()), span: Span::default() };
            assert_eq!(micro_usd(&word, &mut sink), expected, "{text}");
            assert_eq!(sink.count(), usize::from(expected.is_none()), "{text}");
        };
        check("2.50", Some(2_500_000));
        check("5", Some(5_000_000));
        check("0.000001", Some(1));
        for bad in ["", "0", "0.0", "-1", "1e3", ".5", "5.", "1.0000001", "1000001", "NaN", "$5"] {
            check(bad, None);
        }
    }

    #[test]
    fn places_are_named_whole_and_hold_no_keys() {
        let check = |text: &str, expected: usize| {
            let mut sink = Sink::default();
            let place = Spanned { value: Text(text.to_owned()), span: Span::default() };
            assert_eq!(may_write(vec![place], &mut sink).len(), expected, "{text}");
        };
        for good in ["~/.claude", "~/.claude.json", "/var/cache/x"] {
            check(good, 1);
        }
        for bad in
            ["", "x", "../x", "~/../x", "~", "/", "~/", "/a//b", "/a/../b", "~/.ssh", "~/.ssh/config", "/home/a/.aws"]
        {
            check(bad, 0);
        }
    }
}
