//! Claude Code, `--output-format stream-json`: SDK message types of CLI 2.1.
//!
//! An API failure comes as `subtype: "success"` with `is_error: true`; the flag counts, never the word.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::agent::{AgentEnd, Allowance, Usage};

use super::seen::{Seen, count, micro_usd, status, text};

pub(super) fn take(event: &Value, seen: &mut Seen) {
    if let Some(session) = text(event, &["session_id"]) {
        seen.resume = Some(session.to_owned());
    }
    match text(event, &["type"]) {
        Some("assistant") => assistant(event, seen),
        Some("rate_limit_event") => rate_limit(event, seen),
        Some("result") => result(event, seen),
        // Everything else, and what later versions add, says nothing of the end.
        Some(_) | None => {}
    }
}

fn assistant(event: &Value, seen: &mut Seen) {
    // The tool's own field beside the message; the message's text is the model's.
    if let Some(error) = text(event, &["error"]) {
        seen.note(error, None);
    }
    let id = text(event, &["message", "id"]);
    // A message comes once for each of its blocks, every time with the usage of the whole.
    if id.is_none() || seen.counted.as_deref() == id {
        return;
    }
    seen.counted = id.map(str::to_owned);
    let mut usage = tokens(event, &["message", "usage"]);
    usage.turns = Some(1);
    seen.usage = seen.usage.plus(usage);
}

fn rate_limit(event: &Value, seen: &mut Seen) {
    let info = event.get("rate_limit_info").unwrap_or(event);
    if text(info, &["status"]) != Some("rejected") {
        return;
    }
    let at = count(info, &["resetsAt"]).or_else(|| count(info, &["resets_at"]));
    seen.resets_at = at.and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok());
    seen.note("the provider's rate limit rejected the request", Some(429));
}

fn result(event: &Value, seen: &mut Seen) {
    let mut usage = tokens(event, &["usage"]);
    usage.turns = count(event, &["num_turns"]);
    usage.micro_usd = micro_usd(event, &["total_cost_usd"]);
    // The sum of the messages stands in where the result does not tell.
    let counted = std::mem::take(&mut seen.usage);
    seen.usage = Usage {
        turns: usage.turns.or(counted.turns),
        input_tokens: usage.input_tokens.or(counted.input_tokens),
        output_tokens: usage.output_tokens.or(counted.output_tokens),
        micro_usd: usage.micro_usd.or(counted.micro_usd),
    };
    let is_error = event.get("is_error").and_then(Value::as_bool);
    match (text(event, &["subtype"]), is_error) {
        (Some("error_max_turns"), _) => seen.end = AgentEnd::OutOf(Allowance::Turns),
        (Some("error_max_budget_usd"), _) => seen.end = AgentEnd::OutOf(Allowance::Cost),
        (Some("success"), Some(false)) => seen.complete(),
        (subtype, _) => {
            let errors = event.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let words: Vec<&str> = text(event, &["result"]).into_iter().chain(errors).collect();
            let told =
                if words.is_empty() { subtype.unwrap_or("no reason was told").to_owned() } else { words.join("; ") };
            seen.give_up(&told, status(event, &["api_error_status"]));
        }
    }
}

fn tokens(event: &Value, path: &[&str]) -> Usage {
    let one = |key: &str| {
        let mut path = path.to_vec();
        path.push(key);
        count(event, &path)
    };
    let caches = ["cache_creation_input_tokens", "cache_read_input_tokens"].into_iter().filter_map(one);
    let input_tokens = one("input_tokens").map(|input| caches.fold(input, u64::saturating_add));
    Usage { input_tokens, output_tokens: one("output_tokens"), ..Usage::default() }
}
