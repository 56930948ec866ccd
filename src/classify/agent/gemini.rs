//! Gemini CLI, `--output-format stream-json`.

use serde_json::Value;

use crate::domain::agent::Usage;

use super::seen::{Seen, count, status, text};

pub(super) fn take(event: &Value, seen: &mut Seen) {
    match text(event, &["type"]) {
        Some("init") => seen.resume = text(event, &["session_id"]).map(str::to_owned),
        Some("error") if text(event, &["severity"]) != Some("warning") => {
            seen.note(text(event, &["message"]).unwrap_or_default(), status(event, &["code"]));
        }
        Some("result") => {
            seen.usage = Usage {
                input_tokens: count(event, &["stats", "input_tokens"]),
                output_tokens: count(event, &["stats", "output_tokens"]),
                ..Usage::default()
            };
            if text(event, &["status"]) == Some("success") {
                seen.complete();
            } else {
                let kind = text(event, &["error", "type"]).unwrap_or_default();
                let message = text(event, &["error", "message"]).unwrap_or("no reason was told");
                seen.give_up(format!("{kind} {message}").trim(), status(event, &["error", "code"]));
            }
        }
        Some(_) | None => {}
    }
}
