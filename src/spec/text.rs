//! The first look at a file's bytes: is it a text that a YAML reader may be shown at all?
//!
//! Everything here is one pass over bytes and costs nothing to speak of, so a hostile file is refused before a
//! parser sees it. `\r\n` is a line break; a byte order mark, tabs, lone `\r` and characters that cannot be seen
//! are refused, because what a person reviews should be what orch reads.

use super::TEXT_BYTES_MAX;
use super::code::Code;
use super::place::Span;
use super::problem::{Draft, Sink};

/// Checks the bytes and hands them back as text; `None` where the sink got a problem.
pub(super) fn check<'b>(bytes: &'b [u8], sink: &mut Sink) -> Option<&'b str> {
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {TEXT_BYTES_MAX} are read", bytes.len());
        sink.push(Draft::new(Code::FileTooLarge, Span::default(), message));
        return None;
    }
    if let Some(problem) = mark_or_utf16(bytes) {
        sink.push(problem);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let message = format!("the byte 0x{byte:02x} is not UTF-8");
            let draft = Draft::new(Code::NotUtf8, Span::new(at, at + 1), message);
            sink.push(draft.help("save the file as UTF-8"));
            return None;
        }
    };
    let before = sink.count();
    characters(text, sink);
    (sink.count() == before).then_some(text)
}

fn mark_or_utf16(bytes: &[u8]) -> Option<Draft> {
    let utf16 = |wide: &str| {
        Draft::new(Code::NotUtf8, Span::new(0, bytes.len().min(2)), format!("the file looks like {wide}, not UTF-8"))
            .help("save the file as UTF-8")
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => Some(
            Draft::new(Code::ByteOrderMark, Span::new(0, 3), "the file begins with a byte order mark")
                .help("save the file as UTF-8 without a byte order mark"),
        ),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some(utf16("UTF-32")),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(utf16("UTF-16")),
        [first, 0, second, 0, ..] | [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(utf16("UTF-16")),
        _ => None,
    }
}

/// Reports the first tab and the first character of each forbidden kind, with a count of the rest.
fn characters(text: &str, sink: &mut Sink) {
    let bytes = text.as_bytes();
    let mut tabs = Found::default();
    let mut hidden = Found::default();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\t' => tabs.note(at),
            b'\n' | 0x20..=0x7E => {}
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {}
            0x00..=0x1F | 0x7F => hidden.note(at),
            // C1 controls; bidi marks, line and paragraph separators, bidi isolates; byte order mark. The lead
            // bytes are looked at only, so a text in any script costs one comparison a byte.
            0xC2 | 0xE2 | 0xEF if text.get(at..).and_then(|rest| rest.chars().next()).is_some_and(is_hidden) => {
                hidden.note(at);
            }
            0x80..=0xFF => {}
        }
    }
    if let Some(at) = tabs.first {
        let message = format!("a tab stands in the text{}", tabs.others());
        let help = "indent with spaces; inside a string write `\\t` between double quotes";
        sink.push(Draft::new(Code::Tab, Span::new(at, at + 1), message).help(help));
    }
    if let Some(at) = hidden.first {
        let char = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
        let message = format!("the control character {} stands in the text{}", name(char), hidden.others());
        let draft = Draft::new(Code::ControlCharacter, Span::new(at, at + char.len_utf8()), message);
        sink.push(draft.help("remove it; inside a string write an escape such as `\\x1b` between double quotes"));
    }
}

#[derive(Default)]
struct Found {
    first: Option<usize>,
    more: usize,
}

impl Found {
    fn note(&mut self, at: usize) {
        match self.first {
            None => self.first = Some(at),
            Some(_) => self.more += 1,
        }
    }

    fn others(&self) -> String {
        if self.more == 0 { String::new() } else { format!(" ({} more in the file)", self.more) }
    }
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9F}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

fn name(c: char) -> String {
    match c {
        '\0' => "NUL".to_owned(),
        '\r' => "CR (a carriage return without a line feed)".to_owned(),
        '\u{1b}' => "ESC".to_owned(),
        other => format!("U+{:04X}", u32::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(bytes: &[u8]) -> Vec<Code> {
        let mut sink = Sink::default();
        let text = check(bytes, &mut sink);
        assert_eq!(text.is_none(), sink.count() > 0);
        sink.finish(bytes).into_iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn only_plain_text_reaches_the_parser() {
        for good in ["", "a: b\n", "a: b\r\nc: d\r\n", "a: äöü 字 🎈\n", "# “quoted” – dash… ﷼\n"] {
            assert_eq!(codes(good.as_bytes()), [], "{good:?}");
        }
        let check = |bytes: &[u8], code| assert_eq!(codes(bytes), [code], "{bytes:?}");
        check(b"\xEF\xBB\xBFa: b\n", Code::ByteOrderMark);
        check(b"\xFF\xFEa\0", Code::NotUtf8);
        check(b"\xFE\xFF\0a", Code::NotUtf8);
        check(b"a\0:\0", Code::NotUtf8);
        check(b"\0a\0:", Code::NotUtf8);
        check(b"a: \xff\n", Code::NotUtf8);
        check(b"a: \xC3", Code::NotUtf8);
        check(b"a: \0\n", Code::ControlCharacter);
        check(b"a: b\rc: d\n", Code::ControlCharacter);
        check(b"a: \x1b[31m\n", Code::ControlCharacter);
        check("a: \u{85}\n".as_bytes(), Code::ControlCharacter);
        check("a: \u{202E}\n".as_bytes(), Code::ControlCharacter);
        check("a: \u{FEFF}b\n".as_bytes(), Code::ControlCharacter);
        check(b"\ta: b\n", Code::Tab);
        assert_eq!(codes(b"\ta: \0\n"), [Code::Tab, Code::ControlCharacter]);
    }
}
