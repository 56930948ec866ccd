//! Codex, `codex exec --json`: `exec_events.rs`.
//!
//! An `error` event may be a notice of a retry, so it only counts where no `turn.completed` follows. An item of type
//! `error` is not fatal, and like every item holds the model's or a tool's words.

use serde_json::Value;

use crate::domain::agent::Usage;

use super::seen::{Seen, count, text};

pub(super) fn take(event: &Value, seen: &mut Seen) {
    match text(event, &["type"]) {
        Some("thread.started") => seen.resume = text(event, &["thread_id"]).map(str::to_owned),
        Some("turn.completed") => {
            let usage = Usage {
                turns: Some(1),
                input_tokens: count(event, &["usage", "input_tokens"]),
                output_tokens: count(event, &["usage", "output_tokens"]),
                micro_usd: None,
            };
            seen.usage = seen.usage.plus(usage);
            seen.complete();
        }
        Some("turn.failed") => seen.give_up(text(event, &["error", "message"]).unwrap_or("no reason was told"), None),
        Some("error") => seen.note(text(event, &["message"]).unwrap_or_default(), None),
        Some("turn.started") => seen.end = crate::domain::agent::AgentEnd::NotSeen,
        Some(_) | None => {}
    }
}
