//! Lines as the adapters see them: without colour codes, bounded, numbered.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::domain::evidence::{Sighting, Stream};

/// Longest line that is read; the rest of a longer one is passed over.
pub(super) const LINE_MAX_BYTES: usize = 16 * 1024;

/// Longest text that is kept of a line, in characters.
pub(super) const TEXT_MAX_CHARS: usize = 300;

/// One line of output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Its text without colour codes and line ends.
    pub(super) text: &'a str,
    /// The stream it came from.
    pub(super) stream: Stream,
    /// Its number there, from 1.
    pub(super) number: u64,
}

impl Line<'_> {
    /// The line as a sighting of a tool.
    pub(super) fn sighting(&self, tool: &str) -> Sighting {
        Sighting { tool: tool.to_owned(), stream: self.stream, line: self.number, text: shown(self.text) }
    }
}

/// A text for people: control characters escaped, cut at [`TEXT_MAX_CHARS`].
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim_end().chars().take(TEXT_MAX_CHARS) {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Takes terminal control sequences out of a text: CSI, OSC and two-character escapes (ECMA-48 §5.3–5.6).
pub(super) fn without_escapes(text: &str) -> Cow<'_, str> {
    if memchr(0x1b, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => {
                while chars.next_if(|c| !('\u{40}'..='\u{7e}').contains(c)).is_some() {}
                chars.next();
            }
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || c == '\u{1b}' && chars.next_if_eq(&'\\').is_some() {
                        break;
                    }
                }
            }
            Some('(' | ')') => {
                chars.next();
            }
            Some(_) | None => {}
        }
    }
    Cow::Owned(out)
}

/// Cuts pieces of bytes into lines. A line ends at LF, CR or CR LF, so that progress output which overwrites
/// itself is read state by state; only LF counts in the numbering.
#[derive(Debug)]
pub(super) struct Splitter {
    stream: Stream,
    pending: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl Splitter {
    pub(super) const fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new(), number: 1, bytes: 0 }
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes and hands on every line that is complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at(end);
            if self.pending.is_empty() {
                // Nearly every line lies whole in its piece and needs no copy.
                self.emit(line.get(..LINE_MAX_BYTES).unwrap_or(line), each);
            } else {
                self.keep(line);
                self.emit_pending(each);
            }
            if rest.first() == Some(&b'\n') {
                self.number = self.number.saturating_add(1);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    /// Hands on what stands after the last line end.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        self.emit_pending(each);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_MAX_BYTES.saturating_sub(self.pending.len());
        self.pending.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    fn emit_pending(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        let mut pending = std::mem::take(&mut self.pending);
        self.emit(&pending, each);
        pending.clear();
        self.pending = pending;
    }

    fn emit(&self, line: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        if line.is_empty() {
            return;
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(line),
        };
        let text = without_escapes(&text);
        each(Line { text: text.trim_end(), stream: self.stream, number: self.number });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(u64, String)> {
        let mut splitter = Splitter::new(Stream::Stdout);
        let mut out = Vec::new();
        for piece in pieces {
            splitter.feed(piece, &mut |line| out.push((line.number, line.text.to_owned())));
        }
        splitter.finish(&mut |line| out.push((line.number, line.text.to_owned())));
        out
    }

    fn expect(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
        expected.iter().map(|(n, t)| (*n, (*t).to_owned())).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_are_cut() {
        let whole = b"one\r\ntwo\rthree\n\x1b[31mred\x1b[0m\nlast";
        let expected = expect(&[(1, "one"), (2, "two"), (2, "three"), (3, "red"), (4, "last")]);
        assert_eq!(lines(&[whole]), expected);
        for cut in 0..whole.len() {
            let (left, right) = whole.split_at(cut);
            assert_eq!(lines(&[left, right]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = vec![b'x'; 3 * LINE_MAX_BYTES];
        let got = lines(&[&long, b"\nnext"]);
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].1.len(), LINE_MAX_BYTES);
        assert_eq!(got[1], (2, "next".to_owned()));
    }

    #[test]
    fn escapes_are_taken_out() {
        let check = |text: &str, expected: &str| assert_eq!(without_escapes(text), expected);
        check("\u{1b}[1;32mok\u{1b}[0m", "ok");
        check("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link");
        check("\u{1b}[2K\u{1b}[1Gdone", "done");
        check("\u{1b}", "");
        check("\u{1b}[", "");
    }
}
