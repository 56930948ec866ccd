//! What the readers of the formats gather.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::agent::{AgentEnd, Usage};

/// Longest text of an error that is looked at, in bytes.
const ERROR_BYTES_MAX: usize = 4096;

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Seen {
    /// Line of the event that is read.
    pub(super) line: u64,
    /// How the stream ended, so far.
    pub(super) end: AgentEnd,
    /// The last error that the tool told in its own channel and did not get over.
    pub(super) error: Option<Told>,
    /// When the provider says that its limit ends.
    pub(super) resets_at: Option<Timestamp>,
    /// What takes the conversation up again.
    pub(super) resume: Option<String>,
    /// What was used up.
    pub(super) usage: Usage,
    /// The message whose usage was counted last.
    pub(super) counted: Option<String>,
}

/// An error as a tool told it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Its words.
    pub(super) text: String,
    /// The provider's HTTP status, where it was told.
    pub(super) status: Option<u16>,
    /// Where.
    pub(super) place: String,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            line: 0,
            end: AgentEnd::NotSeen,
            error: None,
            resets_at: None,
            resume: None,
            usage: Usage::default(),
            counted: None,
        }
    }
}

impl Seen {
    /// The terminal event came, without an error.
    pub(super) fn complete(&mut self) {
        self.end = AgentEnd::Completed;
        self.error = None;
    }

    /// An error was told, and the work may go on.
    pub(super) fn note(&mut self, text: &str, status: Option<u16>) {
        let end = text.floor_char_boundary(ERROR_BYTES_MAX);
        let text = text.get(..end).unwrap_or_default().to_owned();
        self.error = Some(Told { text, status, place: format!("stdout:{}", self.line) });
    }

    /// The terminal event tells an error.
    pub(super) fn give_up(&mut self, text: &str, status: Option<u16>) {
        self.note(text, status);
        let end = text.floor_char_boundary(300);
        self.end = AgentEnd::GaveUp(text.get(..end).unwrap_or_default().to_owned());
    }
}

/// A text below a path of keys.
pub(super) fn text<'v>(event: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(event, path).and_then(Value::as_str)
}

/// A count below a path of keys.
pub(super) fn count(event: &Value, path: &[&str]) -> Option<u64> {
    at(event, path).and_then(Value::as_u64)
}

/// An HTTP status below a path of keys, as a number or as digits.
pub(super) fn status(event: &Value, path: &[&str]) -> Option<u16> {
    let found = at(event, path)?;
    found.as_u64().and_then(|status| u16::try_from(status).ok()).or_else(|| found.as_str()?.parse().ok())
}

/// An amount of US dollars below a path of keys, in millionths.
pub(super) fn micro_usd(event: &Value, path: &[&str]) -> Option<u64> {
    let dollars = at(event, path)?.as_f64().filter(|dollars| (0.0..1e9).contains(dollars))?;
    format!("{dollars:.6}").replace('.', "").parse().ok()
}

fn at<'v>(event: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(event, |value, key| value.get(key))
}
