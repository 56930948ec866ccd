//! Agents: their own event stream → facts → outcome.
//!
//! A fault is read from the tool's own error channel alone: its terminal event, its `error` events, its own lines of stderr.
//! What the model writes and what a tool of it printed stand inside events, as texts of theirs, and are never looked
//! at: a test log that quotes a 429 is no fault of the provider. Events that are not known are counted and passed over;
//! lines that are no event stay in the log. Memory is bounded whatever comes.

mod claude_code;
mod codex;
mod gemini;
mod opencode;
mod reset;
mod ruling;
mod seen;

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::agent::{AgentEnd, AgentFacts, AgentFault, Allowance, ScopeFacts};
use crate::domain::artifact::printable;
use crate::domain::evidence::{Exit, FaultKind, OutputFacts, Stream};
use crate::domain::pipeline::AgentProfile;
use crate::domain::profile::{EventFormat, Meaning, Profile};

pub(super) use ruling::ended;
use seen::{Seen, Told};

/// Longest event that is read, in bytes; a longer line is no event.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest line of stderr that is looked at, in bytes.
const STDERR_LINE_BYTES_MAX: usize = 4096;

/// How many lines at the end of stderr are a tool's last words.
const LAST_WORDS_LINES: usize = 5;

/// How many lines of stdout are kept for a tool that tells its errors there: what it prints is wrapped at 80 columns.
const LAST_LINES: usize = 40;

/// Longest text of a fault that is kept, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// Reads what an agent wrote, in pieces of any size.
#[derive(Debug)]
pub struct AgentReader {
    profile: AgentProfile,
    row: Profile,
    seen: Seen,
    event: Line,
    stderr: Line,
    /// The last lines of stderr, each with its number.
    last_words: VecDeque<(u64, String)>,
    /// The last lines of stdout, of a tool that tells its errors there.
    last_lines: VecDeque<(u64, String)>,
    events: u64,
    strange_lines: u64,
    output: OutputFacts,
}

/// A line while it comes.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// It is longer than what is read.
    too_long: bool,
    number: u64,
}

impl Line {
    /// Takes bytes and hands on every line that is complete; `None` stands for one that is too long.
    fn feed(&mut self, bytes: &[u8], bytes_max: usize, take: &mut dyn FnMut(u64, Option<&[u8]>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            if self.bytes.len().saturating_add(text.len()) > bytes_max {
                self.too_long = true;
                self.bytes.clear();
            } else if !self.too_long {
                self.bytes.extend_from_slice(text);
            }
            if ended {
                self.end(take);
            }
        }
    }

    fn end(&mut self, take: &mut dyn FnMut(u64, Option<&[u8]>)) {
        self.number = self.number.saturating_add(1);
        let too_long = std::mem::take(&mut self.too_long);
        take(self.number, (!too_long).then_some(self.bytes.as_slice()));
        self.bytes.clear();
    }

    /// The last line, where it has no end: a tool that was killed in the middle of it.
    fn finish(&mut self, take: &mut dyn FnMut(u64, Option<&[u8]>)) {
        if !self.bytes.is_empty() || self.too_long {
            self.end(take);
        }
    }
}

impl AgentReader {
    /// A reader of a tool's contract.
    pub fn new(profile: AgentProfile) -> Self {
        Self {
            profile,
            row: profile.row(),
            seen: Seen::default(),
            event: Line::default(),
            stderr: Line::default(),
            last_words: VecDeque::new(),
            last_lines: VecDeque::new(),
            events: 0,
            strange_lines: 0,
            output: OutputFacts::default(),
        }
    }

    /// Takes bytes of a stream.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8]) {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match stream {
            Stream::Stdout => {
                self.output.stdout_bytes = self.output.stdout_bytes.saturating_add(count);
                if self.row.format.has_events() {
                    let Self { event, row, seen, events, strange_lines, .. } = self;
                    event.feed(bytes, EVENT_BYTES_MAX, &mut |number, line| {
                        take_event(row.format, seen, number, line, (&mut *events, &mut *strange_lines));
                    });
                } else if !self.row.stdout_begins.is_empty() {
                    let Self { event, last_lines, .. } = self;
                    event.feed(bytes, STDERR_LINE_BYTES_MAX, &mut |number, line| {
                        keep(last_lines, LAST_LINES, number, line);
                    });
                }
            }
            Stream::Stderr => {
                self.output.stderr_bytes = self.output.stderr_bytes.saturating_add(count);
                let Self { stderr, last_words, .. } = self;
                stderr.feed(bytes, STDERR_LINE_BYTES_MAX, &mut |number, line| {
                    keep(last_words, LAST_WORDS_LINES, number, line);
                });
            }
        }
    }

    /// Takes note of a part that was not kept. A line that it cut is no event.
    pub fn gap(&mut self, stream: Stream) {
        self.output.incomplete = true;
        match stream {
            Stream::Stdout => self.event.too_long = true,
            Stream::Stderr => self.stderr.too_long = true,
        }
    }

    /// What was seen. `ended_at` is what "try again in 5 minutes" counts from.
    pub fn finish(mut self, exit: &Exit, ended_at: Timestamp) -> (AgentFacts, OutputFacts) {
        let Self { event, row, seen, events, strange_lines, last_lines, .. } = &mut self;
        event.finish(&mut |number, line| {
            if row.format.has_events() {
                take_event(row.format, seen, number, line, (&mut *events, &mut *strange_lines));
            } else {
                keep(last_lines, LAST_LINES, number, line);
            }
        });
        let Self { stderr, last_words, .. } = &mut self;
        stderr.finish(&mut |number, line| keep(last_words, LAST_WORDS_LINES, number, line));
        let words: Vec<&str> = self.last_words.iter().map(|(_, text)| text.as_str()).collect();
        self.output.stderr_tail = printable(&words.join("\n"), STDERR_LINE_BYTES_MAX);
        let mut end = if self.row.format.has_events() { self.seen.end.clone() } else { AgentEnd::WithItsProcess };
        let code = match exit {
            Exit::Exited { code } => Some(*code),
            Exit::Signalled { .. }
            | Exit::TimedOut { .. }
            | Exit::Cancelled { .. }
            | Exit::SpawnFailed(_)
            | Exit::Answered(_)
            | Exit::Lost { .. } => None,
        };
        let mut fault = None;
        // A tool that came to its end knows better than an error that it told on the way.
        if !matches!(end, AgentEnd::Completed | AgentEnd::OutOf(_)) {
            let told = self.seen.error.take().into_iter().chain(self.own_words(&end));
            for told in told {
                match meaning(&self.row, &told) {
                    Some((_, Meaning::Context)) => end = AgentEnd::OutOf(Allowance::Context),
                    Some((pattern, Meaning::Fault(kind))) => {
                        let in_event = self.seen.resets_at.and_then(|at| reset::believed(at, ended_at));
                        let resets_at = in_event.or_else(|| reset::in_text(&told.text, ended_at));
                        let text = printable(&told.text, TEXT_CHARS_MAX);
                        fault = Some(AgentFault { pattern, kind, text, place: told.place, resets_at });
                    }
                    None => continue,
                }
                break;
            }
            if end == AgentEnd::NotSeen && fault.is_none() {
                if code.is_some() && code == self.row.turns_code {
                    end = AgentEnd::OutOf(Allowance::Turns);
                }
                let known = self.row.set_up_codes.iter().find(|(known, _)| Some(*known) == code);
                fault = known.map(|(code, what)| AgentFault {
                    pattern: format!("exit-{code}"),
                    kind: FaultKind::Permanent,
                    text: (*what).to_owned(),
                    place: "exit code".to_owned(),
                    resets_at: None,
                });
            }
        }
        let facts = AgentFacts {
            profile: self.profile,
            end,
            fault,
            answered: false,
            events: self.events,
            strange_lines: self.strange_lines,
            resume: self.seen.resume.map(|id| printable(&id, 128)),
            usage: self.seen.usage,
            scope: ScopeFacts::default(),
        };
        (facts, self.output)
    }

    /// The tool's own last words on stderr, and on stdout where it tells its errors there, the last line first; none where its
    /// terminal event came.
    fn own_words(&self, end: &AgentEnd) -> Vec<Told> {
        match end {
            AgentEnd::NotSeen | AgentEnd::WithItsProcess => {}
            AgentEnd::Completed | AgentEnd::OutOf(_) | AgentEnd::GaveUp(_) => return Vec::new(),
        }
        let told = |stream: Stream| {
            move |(number, text): &(u64, String)| Told {
                text: text.clone(),
                status: None,
                place: format!("{}:{number}", stream.as_str()),
            }
        };
        let Profile { stderr_begins, stdout_begins, answered_begins, .. } = self.row;
        let is_error = |(_, text): &&(u64, String)| stderr_begins.is_empty() || begins(text, stderr_begins);
        let answered = |(_, text): &&(u64, String)| !answered_begins.is_empty() && begins(text, &[answered_begins]);
        let on_stderr = self.last_words.iter().rev().filter(is_error).map(told(Stream::Stderr));
        let since_answer = self.last_lines.iter().rev().take_while(|line| !answered(line));
        on_stderr
            .chain(since_answer.filter(|(_, text)| begins(text, stdout_begins)).map(told(Stream::Stdout)))
            .collect()
    }
}

/// Whether a line begins with one of these, behind a time where one stands first.
fn begins(line: &str, forms: &[&str]) -> bool {
    let line = line.trim_start();
    let behind = line.split_once(' ').filter(|(first, _)| {
        first.starts_with(|c: char| c.is_ascii_digit()) && first.contains('T') && first.contains(':')
    });
    let text = behind.map_or(line, |(_, rest)| rest.trim_start()).to_lowercase();
    forms.iter().any(|form| text.starts_with(form))
}

fn take_event(format: EventFormat, seen: &mut Seen, number: u64, line: Option<&[u8]>, counts: (&mut u64, &mut u64)) {
    let (events, strange) = counts;
    let Some(line) = line else {
        *strange = strange.saturating_add(1);
        return;
    };
    if line.trim_ascii().is_empty() {
        return;
    }
    let Some(event) = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object) else {
        *strange = strange.saturating_add(1);
        return;
    };
    *events = events.saturating_add(1);
    seen.line = number;
    match format {
        EventFormat::ClaudeCode => claude_code::take(&event, seen),
        EventFormat::Codex => codex::take(&event, seen),
        EventFormat::Gemini => gemini::take(&event, seen),
        EventFormat::Opencode => opencode::take(&event, seen),
        EventFormat::None => {}
    }
}

fn keep(last_words: &mut VecDeque<(u64, String)>, most: usize, number: u64, line: Option<&[u8]>) {
    let text = line.map(String::from_utf8_lossy).unwrap_or_default();
    if text.trim().is_empty() {
        return;
    }
    if last_words.len() == most {
        last_words.pop_front();
    }
    last_words.push_back((number, text.into_owned()));
}

/// What a told error means: by the provider's status, else by its words.
fn meaning(row: &Profile, told: &Told) -> Option<(String, Meaning)> {
    let text = told.text.to_lowercase();
    let by_words = row.signatures.iter().find(|signature| text.contains(signature.text));
    let by_status =
        told.status.and_then(|status| Some((format!("status-{status}"), Meaning::Fault(of_status(status)?))));
    // A spend limit may come as 429 or 400: the words know more than the number.
    by_words.map(|signature| (signature.id.to_owned(), signature.means)).or(by_status)
}

/// What a provider's HTTP status means; `None` where it does not say that anything outside is at fault.
const fn of_status(status: u16) -> Option<FaultKind> {
    match status {
        401..=403 => Some(FaultKind::Permanent),
        408 | 429 | 500 | 502..=504 | 529 => Some(FaultKind::Transient),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_length_cost_bounded_memory_and_are_no_events() {
        let mut reader = AgentReader::new(AgentProfile::ClaudeCode);
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            reader.feed(Stream::Stdout, &piece);
            assert!(reader.event.bytes.capacity() <= 2 * EVENT_BYTES_MAX);
        }
        reader.feed(Stream::Stdout, b"\n{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false}");
        let (facts, output) = reader.finish(&Exit::Exited { code: 0 }, Timestamp::UNIX_EPOCH);
        assert_eq!((facts.end, facts.events, facts.strange_lines), (AgentEnd::Completed, 1, 1));
        assert!(output.stdout_bytes > 100 << 20);
    }

    /// The error event of a tool with these words.
    fn error_event(format: EventFormat, words: &str) -> String {
        let words = serde_json::json!(words);
        match format {
            EventFormat::ClaudeCode => {
                format!("{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":{words}}}\n")
            }
            EventFormat::Codex => format!("{{\"type\":\"turn.failed\",\"error\":{{\"message\":{words}}}}}\n"),
            EventFormat::Gemini => {
                format!("{{\"type\":\"result\",\"status\":\"error\",\"error\":{{\"message\":{words}}}}}\n")
            }
            EventFormat::Opencode => {
                format!("{{\"type\":\"error\",\"error\":{{\"name\":\"E\",\"data\":{{\"message\":{words}}}}}}}\n")
            }
            EventFormat::None => String::new(),
        }
    }

    #[test]
    fn every_signature_counts_in_the_tools_own_channel_and_nowhere_else() {
        for profile in AgentProfile::ALL {
            let row = profile.row();
            for signature in row.signatures {
                let words = format!("API Error: {} (request 1)", signature.text.to_uppercase());
                let read = |stream, text: &str| {
                    let mut reader = AgentReader::new(profile);
                    reader.feed(stream, text.as_bytes());
                    reader.finish(&Exit::Exited { code: 1 }, Timestamp::UNIX_EPOCH).0
                };
                let told = if row.format.has_events() {
                    read(Stream::Stdout, &error_event(row.format, &words))
                } else {
                    read(Stream::Stderr, &format!("{words}\n"))
                };
                match signature.means {
                    Meaning::Fault(kind) => {
                        let fault = told.fault.unwrap_or_else(|| panic!("{}: {words}", signature.id));
                        assert_eq!((fault.pattern.as_str(), fault.kind), (signature.id, kind), "{words}");
                    }
                    Meaning::Context => assert_eq!(told.end, AgentEnd::OutOf(Allowance::Context), "{words}"),
                }
                let text = serde_json::json!({ "type": "assistant", "message": { "text": words }, "item": words });
                for stray in [text.to_string(), words.clone()] {
                    assert_eq!(read(Stream::Stdout, &format!("{stray}\n")).fault, None, "{stray}");
                }
            }
        }
    }

    /// What a tool's stderr shows besides, and what the model writes to a stdout without events, are no words of the tool.
    #[test]
    fn only_lines_of_the_tools_own_form_are_its_words() {
        let check = |profile, stream, text: &str, expected: Option<&str>| {
            let mut reader = AgentReader::new(profile);
            reader.feed(stream, text.as_bytes());
            let facts = reader.finish(&Exit::Exited { code: 1 }, Timestamp::UNIX_EPOCH).0;
            assert_eq!(facts.fault.map(|fault| fault.pattern).as_deref(), expected, "{text}");
        };
        let codex = |text, expected| check(AgentProfile::Codex, Stream::Stderr, text, expected);
        codex("test_auth expected 401 Unauthorized\n", None);
        codex("2026-11-29T21:00:00.123Z ERROR codex_core::client: 401 Unauthorized\n", Some("codex-auth"));
        codex("2026-11-29T21:00:00.123Z  WARN codex_core::client: 401 Unauthorized\n", None);
        codex("Error: 401 Unauthorized\n", Some("codex-auth"));
        codex("stream error: 401 Unauthorized; retrying 1/5\n", Some("codex-auth"));
        let aider = |text: &str, expected| check(AgentProfile::Aider, Stream::Stdout, text, expected);
        let wrapped = "x\n".repeat(8);
        aider(&format!("litellm.RateLimitError: AnthropicException - \n{wrapped}"), Some("aider-limit"));
        aider("litellm.RateLimitError: slow\nRetrying in 0.2 seconds...\nTokens: 1k sent, 2k received.\n", None);
        aider("We catch `litellm.RateLimitError` here.\n", None);
        aider(&format!("litellm.RateLimitError: slow\n{}", "x\n".repeat(50)), None);
    }

    #[test]
    fn a_status_counts_where_no_words_do() {
        let check = |status: &str, expected: Option<FaultKind>| {
            let mut reader = AgentReader::new(AgentProfile::ClaudeCode);
            let event = format!(
                "{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"api_error_status\":{status},\"result\":\"x\"}}"
            );
            reader.feed(Stream::Stdout, event.as_bytes());
            let facts = reader.finish(&Exit::Exited { code: 0 }, Timestamp::UNIX_EPOCH).0;
            assert_eq!(facts.fault.map(|fault| fault.kind), expected, "{status}");
        };
        for status in ["429", "500", "502", "503", "504", "529", "\"529\""] {
            check(status, Some(FaultKind::Transient));
        }
        for status in ["401", "402", "403"] {
            check(status, Some(FaultKind::Permanent));
        }
        for status in ["400", "404", "422", "null", "99999", "-1", "\"x\""] {
            check(status, None);
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let text = "noise\n{\"type\":\"thread.started\",\"thread_id\":\"t\"}\n{\"type\":\"turn.completed\",\"usage\":\
                    {\"input_tokens\":3,\"output_tokens\":4}}\n";
        let whole = |size: usize| {
            let mut reader = AgentReader::new(AgentProfile::Codex);
            text.as_bytes().chunks(size).for_each(|piece| reader.feed(Stream::Stdout, piece));
            reader.finish(&Exit::Exited { code: 0 }, Timestamp::UNIX_EPOCH).0
        };
        let expected = whole(text.len());
        assert_eq!((&expected.end, expected.usage.tokens()), (&AgentEnd::Completed, Some(7)));
        for size in 1..40 {
            assert_eq!(whole(size), expected, "{size}");
        }
    }
}
