//! What an attempt is doing, on stderr: one line that is rewritten on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::domain::id::StageName;
use crate::domain::pipeline::Limits;
use crate::runner::Notice;

use super::{emit, output};

/// How often the line on a terminal is rewritten.
const REWRITE_EVERY: Duration = Duration::from_millis(500);
/// Width where the terminal does not tell.
const COLUMNS: usize = 80;
/// Longest part of a last line in a plain line, in columns.
const PLAIN_COLUMNS_MAX: usize = 200;

/// Shows progress, and keeps it apart from all other talk.
#[derive(Debug)]
pub(super) struct Progress {
    form: Form,
    /// Whether a line stands there that the next word must take away.
    shown: bool,
    utf8: bool,
    colour: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Off,
    Rewritten,
    Plain { every: Duration },
}

impl Progress {
    /// For this stderr; `quiet` turns it off, `every_s` is the pause between two plain lines.
    pub(super) fn new(quiet: bool, every_s: u32) -> Self {
        // Diagnostics would break into the line.
        let diagnostics = std::env::var_os("ORCH_LOG").is_some_and(|wish| !wish.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let form = match (quiet, every_s) {
            (false, _) if std::io::stderr().is_terminal() && !dumb && !diagnostics => Form::Rewritten,
            (true, _) | (false, 0) => Form::Off,
            (false, every_s) => Form::Plain { every: Duration::from_secs(u64::from(every_s)) },
        };
        Self { form, shown: false, utf8: output::utf8(), colour: output::colour() }
    }

    /// How often it wants to be told.
    pub(super) const fn every(&self) -> Option<Duration> {
        match self.form {
            Form::Off => None,
            Form::Rewritten => Some(REWRITE_EVERY),
            Form::Plain { every } => Some(every),
        }
    }

    /// Shows a notice of work; takes the line away for every other one.
    pub(super) fn tell(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Working { stage, elapsed, limits, bytes, silent, last_line } => {
                self.show(&Work { stage, elapsed: *elapsed, limits, bytes: *bytes, silent: *silent, last_line });
            }
            Notice::RunStarted { .. }
            | Notice::Waiting { .. }
            | Notice::AttemptStarted { .. }
            | Notice::AttemptDecided { .. }
            | Notice::ShadowStarted { .. }
            | Notice::Shadowed(_)
            | Notice::Warning(_) => self.clear(),
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            write!(std::io::stderr().lock(), "\r\x1b[2K").ok();
        }
    }

    fn show(&mut self, work: &Work<'_>) {
        match self.form {
            Form::Off => {}
            Form::Plain { .. } => output::talk(&work.line(self.utf8, false, PLAIN_COLUMNS_MAX)),
            Form::Rewritten => {
                let line = work.line(self.utf8, self.colour, columns().saturating_sub(1));
                write!(std::io::stderr().lock(), "\r\x1b[2K{}", output::masked(&line)).ok();
                self.shown = true;
            }
        }
    }
}

/// What is known of a running attempt.
struct Work<'a> {
    stage: &'a StageName,
    elapsed: Duration,
    limits: &'a Limits,
    bytes: u64,
    silent: Duration,
    last_line: &'a [u8],
}

impl Work<'_> {
    /// One line of at most so many columns; plain ones cut only the part that the suite printed.
    fn line(&self, utf8: bool, colour: bool, columns_max: usize) -> String {
        let half = |limit: Duration| limit / 2;
        let slow = self.elapsed > half(self.limits.total);
        let idle = self.silent > half(self.limits.idle);
        let mut parts = vec![(format!("orch: {}: {}", self.stage, span(self.elapsed)), false)];
        if slow {
            parts.push((format!(" SLOW (limit {})", span(self.limits.total)), true));
        }
        let silent = if self.bytes == 0 {
            ", no output yet".to_owned()
        } else {
            format!(", {} bytes, last output {} ago", grouped(self.bytes), age(self.silent))
        };
        parts.push((silent, false));
        if idle {
            parts.push((format!(" IDLE (limit {})", span(self.limits.idle)), true));
        }
        let last = emit::talk(&String::from_utf8_lossy(self.last_line)).replace(['\n', '\t'], " ");
        if !last.trim().is_empty() {
            parts.push((format!(": {}", last.trim()), false));
        }
        let mut line = String::new();
        let mut left = columns_max;
        for (text, marked) in parts {
            let text = if utf8 { text } else { ascii(&text) };
            let (kept, cut) = fit(&text, left, if utf8 { "…" } else { "..." });
            left = left.saturating_sub(width(&kept));
            if marked && colour {
                line.extend(["\x1b[1;33m", &kept, "\x1b[0m"]);
            } else {
                line += &kept;
            }
            if cut {
                break;
            }
        }
        line
    }
}

/// Columns of the terminal behind stderr.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS)
}

/// Columns a text may take at most: outside ASCII some characters are two wide.
fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

const fn char_width(c: char) -> usize {
    if c.is_ascii() || c == '…' { 1 } else { 2 }
}

/// The beginning that fits, and whether something was cut.
fn fit(text: &str, columns: usize, mark: &str) -> (String, bool) {
    if width(text) <= columns {
        return (text.to_owned(), false);
    }
    let room = columns.saturating_sub(width(mark));
    let mut used = 0;
    let kept = text.chars().take_while(|c| {
        used += char_width(*c);
        used <= room
    });
    let kept: String = kept.collect();
    (if columns < width(mark) { kept } else { kept + mark }, true)
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// A length of time in two units.
fn span(time: Duration) -> String {
    match time.as_secs() {
        0 if !time.is_zero() => format!("0.{}s", time.subsec_millis() / 100),
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        s => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

fn age(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{:.1}s", time.as_secs_f64()) } else { span(time) }
}

/// A count with a comma every three digits.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(elapsed_s: u64, bytes: u64, silent_ms: u64, last: &[u8], utf8: bool, columns: usize) -> String {
        let stage = StageName::new("testing").unwrap();
        let limits = Limits::default();
        let work = Work {
            stage: &stage,
            elapsed: Duration::from_secs(elapsed_s),
            limits: &limits,
            bytes,
            silent: Duration::from_millis(silent_ms),
            last_line: last,
        };
        work.line(utf8, false, columns)
    }

    #[test]
    fn a_line_says_how_long_how_much_and_what_last() {
        assert_eq!(
            line(90, 12_345, 400, b"test pay ... ok", true, 200),
            "orch: testing: 1m30s, 12,345 bytes, last output 0.4s ago: test pay ... ok"
        );
        assert_eq!(line(3, 0, 3000, b"", true, 200), "orch: testing: 3s, no output yet");
        assert_eq!(
            line(1000, 1_000_000, 400_000, b"x", true, 200),
            "orch: testing: 16m40s SLOW (limit 30m00s), 1,000,000 bytes, last output 6m40s ago IDLE (limit 10m00s): x"
        );
        // Half of a limit is not over half.
        assert!(!line(900, 1, 300_000, b"x", true, 200).contains("SLOW"));
        assert!(!line(900, 1, 300_000, b"x", true, 200).contains("IDLE"));
        assert!(line(7300, 1, 0, b"", true, 200).starts_with("orch: testing: 2h01m SLOW"));
    }

    #[test]
    fn a_line_fits_and_cannot_steer() {
        for columns in 0..80 {
            for last in ["käse 🧀🧀🧀 ".repeat(20), "x".repeat(300)] {
                for utf8 in [true, false] {
                    let line = line(90, 12_345, 400, last.as_bytes(), utf8, columns);
                    assert!(width(&line) <= columns, "{columns}: {line}");
                    assert!(utf8 || line.is_ascii());
                }
            }
        }
        let hostile = line(1, 5, 0, b"\x1b]0;title\x07\x1b[2J\xff ##[error]x", true, 200);
        assert!(hostile.ends_with(": \\x1b]0;title\\x07\\x1b[2J\u{fffd} # #[error]x"), "{hostile}");
        assert!(line(1, 5, 0, "é".as_bytes(), false, 200).ends_with(": \\u{e9}"));
    }
}
