//! Bytes → lines of clean text.
//!
//! Some programs stop at a NUL, some jump back at a carriage return, some show what a control character hides:
//! two readers of such a file see two files. None of that gets past here.

use crate::domain::verdict::{Unreadable, UnreadableReason};

use super::{line_number, unreadable};

/// Largest artifact a gate reads, in bytes. Whoever opens the file should stop reading one byte later.
pub const ARTIFACT_MAX_BYTES: usize = 1024 * 1024;

/// Splits an artifact into lines, without their ends.
///
/// Lines end with `\n`, or every one of them with `\r\n`. A missing end of the last line is no fault.
pub(super) fn lines(bytes: &[u8]) -> Result<Vec<&str>, Unreadable> {
    if bytes.len() > ARTIFACT_MAX_BYTES {
        let detail = format!("{} bytes; an artifact has at most {ARTIFACT_MAX_BYTES}", bytes.len());
        return Err(unreadable(UnreadableReason::TooLarge, None, detail));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let index = newlines(bytes.get(..error.valid_up_to()).unwrap_or_default());
        not_text(index, "bytes that are not UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        return Err(not_text(0, "a byte order mark; write UTF-8 without one"));
    }
    let windows = text.contains('\r');
    let mut lines: Vec<&str> = text.split('\n').collect();
    let last = lines.len() - 1;
    for (index, line) in lines.iter_mut().enumerate() {
        if windows && index != last {
            let mixed = || not_text(index, "line ends of two kinds: `\\r\\n` on some lines only");
            *line = line.strip_suffix('\r').ok_or_else(mixed)?;
        }
        if let Some(control) = line.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(not_text(index, &format!("the control character U+{:04X}", u32::from(control))));
        }
    }
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    Ok(lines)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

fn not_text(index: usize, what: &str) -> Unreadable {
    unreadable(UnreadableReason::NotText, line_number(index), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_line_end_give_the_same_lines() {
        for good in ["a\nb\n", "a\nb", "a\r\nb\r\n", "a\r\nb"] {
            assert_eq!(lines(good.as_bytes()).unwrap(), ["a", "b"], "{good:?}");
        }
        assert_eq!(lines(b"").unwrap(), Vec::<&str>::new());
        assert_eq!(lines(b"a\n\n").unwrap(), ["a", ""]);
        assert_eq!(lines("a\tü\n".as_bytes()).unwrap(), ["a\tü"]);
    }

    #[test]
    fn what_two_programs_read_differently_is_refused_with_its_line() {
        let check = |bytes: &[u8], line| {
            let error = lines(bytes).unwrap_err();
            assert_eq!((error.reason, error.line), (UnreadableReason::NotText, Some(line)), "{bytes:?}");
        };
        check(b"\xef\xbb\xbfa", 1);
        check(b"a\nb\0c\n", 2);
        check(b"a\nb\rc\n", 1);
        check(b"a\r\nb\n", 2);
        check(b"a\nb\r\n", 1);
        check(b"a\r\r\nb\r\n", 1);
        check(b"a\r\nb\r", 2);
        check(b"a\n\x1b[31m", 2);
        check(b"a\x7f", 1);
        check("a\nb\u{85}".as_bytes(), 2);
        check(b"a\nb\n\xff\n", 3);
    }

    #[test]
    fn the_size_limit_is_exact() {
        assert!(lines(&vec![b'a'; ARTIFACT_MAX_BYTES]).is_ok());
        let error = lines(&vec![b'a'; ARTIFACT_MAX_BYTES + 1]).unwrap_err();
        assert_eq!(error.reason, UnreadableReason::TooLarge);
    }
}
