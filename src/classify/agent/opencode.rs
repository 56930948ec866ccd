//! opencode, `run --format json`.
//!
//! Its terminal event is a `step_finish` whose reason is not that tools are called next. Its exit code says nothing.

use serde_json::Value;

use crate::domain::agent::{AgentEnd, Allowance, Usage};

use super::seen::{Seen, count, micro_usd, status, text};

pub(super) fn take(event: &Value, seen: &mut Seen) {
    if let Some(session) = text(event, &["sessionID"]) {
        seen.resume = Some(session.to_owned());
    }
    match text(event, &["type"]) {
        Some("step_start") => seen.end = AgentEnd::NotSeen,
        Some("step_finish") => step(event.get("part").unwrap_or(event), seen),
        Some("error") => {
            let error = event.get("error").unwrap_or(event);
            let name = text(error, &["name"]).unwrap_or_default();
            let message = text(error, &["data", "message"]).or_else(|| text(error, &["message"])).unwrap_or_default();
            seen.give_up(format!("{name} {message}").trim(), status(error, &["data", "statusCode"]));
        }
        Some(_) | None => {}
    }
}

fn step(part: &Value, seen: &mut Seen) {
    let cached = count(part, &["tokens", "cache", "read"]).unwrap_or(0);
    let usage = Usage {
        turns: Some(1),
        input_tokens: count(part, &["tokens", "input"]).map(|input| input.saturating_add(cached)),
        output_tokens: count(part, &["tokens", "output"]),
        micro_usd: micro_usd(part, &["cost"]),
    };
    seen.usage = seen.usage.plus(usage);
    match text(part, &["reason"]) {
        Some("tool-calls") => seen.end = AgentEnd::NotSeen,
        Some("stop") => seen.complete(),
        Some("length") => seen.end = AgentEnd::OutOf(Allowance::Context),
        other => seen.give_up(&format!("the last step ended with {other:?}"), None),
    }
}
