//! Reading an attempt's part of a run's log: in bounded pieces, from its end, and made fit for a terminal.
//!
//! The producer holds the log file as its stdout or stderr: it may cut it. So a file that is shorter than the
//! exit record says is a gap that the reader reports, not an end.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::domain::evidence::LogSpan;

/// Longest piece, in bytes.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Most bytes that a tail looks at.
const TAIL_BYTES_MAX: u64 = 256 * 1024;

/// A part of an attempt's output, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// At most [`PIECE_BYTES_MAX`] bytes as they were written.
    Bytes(Vec<u8>),
    /// Bytes that are not there any more.
    Gap {
        /// How many.
        bytes: u64,
        /// Why.
        cause: GapCause,
    },
}

/// Why bytes of a log are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// orch dropped the middle to keep the limit.
    Dropped,
    /// The file is shorter than the exit record says: somebody cut it.
    Cut,
}

/// An attempt's part of a log file.
#[derive(Debug)]
pub struct LogPart {
    file: File,
    start: u64,
    end: u64,
    /// First byte of the dropped middle and first byte after it, both within the part.
    hole: Option<(u64, u64)>,
}

impl LogPart {
    /// Opens a log file for reading an attempt's part of it.
    ///
    /// # Errors
    /// What open(2) says; a link or anything but a plain file is refused.
    pub fn open(path: &Path, span: &LogSpan) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the log is not a plain file"));
        }
        let end = span.start.saturating_add(span.bytes);
        let within = |offset: u64| offset.clamp(span.start, end);
        let hole = span.dropped.map(|(from, count)| (within(from), within(from.saturating_add(count))));
        Ok(Self { file, start: span.start, end, hole: hole.filter(|(from, to)| from < to) })
    }

    /// The whole part, piece by piece; memory stays at one piece.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces { part: self, at: self.start }
    }

    /// The last `lines` lines, at most 256 KiB, from the end back to the nearest gap; whole lines where the
    /// limit allows.
    ///
    /// # Errors
    /// What pread(2) says.
    pub fn tail(&self, lines: usize) -> io::Result<Vec<u8>> {
        let end = self.end.min(self.file.metadata()?.len()).max(self.start);
        let hole_end = self.hole.map_or(self.start, |(_, to)| to);
        let from = hole_end.max(end.saturating_sub(TAIL_BYTES_MAX)).min(end);
        let mut bytes = read_at(&self.file, from, usize::try_from(end - from).unwrap_or_default())?;
        if lines == 0 {
            return Ok(Vec::new());
        }
        let ends_in_newline = usize::from(bytes.last() == Some(&b'\n'));
        let newlines = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index);
        let start = newlines.skip(ends_in_newline).nth(lines - 1).map_or(0, |newline| newline + 1);
        bytes.drain(..start);
        if start == 0 && from > hole_end {
            // The limit fell into a line: begin at a character, not in the middle of one.
            let whole = bytes.iter().take(4).position(|byte| byte & 0b1100_0000 != 0b1000_0000).unwrap_or(0);
            bytes.drain(..whole);
        }
        Ok(bytes)
    }
}

/// Iterator over the pieces of a part.
#[derive(Debug)]
pub struct Pieces<'a> {
    part: &'a LogPart,
    at: u64,
}

impl Iterator for Pieces<'_> {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part;
        if self.at >= part.end {
            return None;
        }
        let stop = match part.hole {
            Some((from, to)) if self.at >= from && self.at < to => {
                let bytes = to - self.at;
                self.at = to;
                return Some(Ok(Piece::Gap { bytes, cause: GapCause::Dropped }));
            }
            Some((from, _)) if self.at < from => from,
            Some(_) | None => part.end,
        };
        let room = usize::try_from(stop - self.at).unwrap_or(PIECE_BYTES_MAX).min(PIECE_BYTES_MAX);
        match read_at(&part.file, self.at, room) {
            Ok(bytes) if bytes.is_empty() => {
                let bytes = part.end - self.at;
                self.at = part.end;
                Some(Ok(Piece::Gap { bytes, cause: GapCause::Cut }))
            }
            Ok(bytes) => {
                self.at += bytes.len() as u64;
                Some(Ok(Piece::Bytes(bytes)))
            }
            Err(error) => {
                self.at = part.end;
                Some(Err(error))
            }
        }
    }
}

/// Most bytes that a look at the last line reads.
const LAST_LINE_BYTES_MAX: u64 = 1024;

/// What a log file shows from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glance {
    /// Its length.
    pub bytes: u64,
    /// When it was last written to, by the wall clock.
    pub changed_at: Option<Timestamp>,
}

/// Looks at a log file without opening it.
///
/// # Errors
/// What stat(2) says.
pub fn glance(path: &Path) -> io::Result<Glance> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok(Glance { bytes: meta.len(), changed_at: Timestamp::try_from(meta.modified()?).ok() })
}

/// The last line at or behind an offset that is not blank, without its end; its own end where it is long. What a
/// carriage return has overwritten is no longer there.
///
/// # Errors
/// As [`LogPart::open`].
pub fn last_line(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let part = LogPart::open(path, &LogSpan { start: from, bytes: u64::MAX - from, dropped: None })?;
    let end = part.file.metadata()?.len();
    let start = from.max(end.saturating_sub(LAST_LINE_BYTES_MAX)).min(end);
    let bytes = read_at(&part.file, start, usize::try_from(end - start).unwrap_or_default())?;
    let mut lines = bytes.rsplit(|byte| matches!(byte, b'\n' | b'\r'));
    Ok(lines.find(|line| !line.trim_ascii().is_empty()).unwrap_or_default().to_vec())
}

/// Reads so many bytes from an offset on, or fewer where the file ends.
fn read_at(file: &File, from: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    while bytes.len() < most {
        let at = from.saturating_add(bytes.len() as u64);
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // The allocator may have given more, and what lies behind belongs to another attempt.
    bytes.truncate(most);
    Ok(bytes)
}

/// Makes output fit for a terminal or a page: line ends and tabs stay, everything that could move a cursor, set a
/// title, fill a clipboard or turn text around is shown as an escape (`\x1b`, `\r`, `\u{202e}`, `\xff` for a byte
/// that is not UTF-8). A carriage return right before a line end is part of it and is left out.
pub fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' | '\t' => shown.push(c),
                '\r' if chars.peek() == Some(&'\n') => {}
                '\r' => shown.push_str("\\r"),
                c if c.is_ascii_control() => push(&mut shown, format_args!("\\x{:02x}", u32::from(c))),
                c if c.is_control() || is_invisible(c) => push(&mut shown, format_args!("\\u{{{:x}}}", u32::from(c))),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            push(&mut shown, format_args!("\\x{byte:02x}"));
        }
    }
    shown
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes every text");
}

/// Characters without a shape of their own that change how others are read: bidirectional controls, zero-width
/// ones, line separators, tags.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content: &[u8], span: &LogSpan) -> (tempfile::TempDir, LogPart) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("stdout.log");
        std::fs::write(&path, content).unwrap();
        let part = LogPart::open(&path, span).unwrap();
        (scratch, part)
    }

    #[test]
    fn a_part_is_read_in_bounded_pieces() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (_scratch, part) = part(&content, &LogSpan { start: 1000, bytes: 150_000, dropped: None });
        let mut read = Vec::new();
        for piece in part.pieces() {
            match piece.unwrap() {
                Piece::Bytes(bytes) => {
                    assert!(bytes.len() <= PIECE_BYTES_MAX);
                    read.extend(bytes);
                }
                Piece::Gap { .. } => panic!("there is no gap"),
            }
        }
        assert_eq!(read, content.get(1000..151_000).unwrap());
    }

    #[test]
    fn what_is_missing_is_said() {
        let gap = |bytes, cause| Piece::Gap { bytes, cause };
        let bytes = |text: &str| Piece::Bytes(text.as_bytes().to_vec());
        let check = |span: LogSpan, expected: &[Piece]| {
            let (_scratch, part) = part(b"0123456789", &span);
            assert_eq!(part.pieces().map(Result::unwrap).collect::<Vec<_>>(), expected, "{span:?}");
        };
        let span = |start, bytes, dropped| LogSpan { start, bytes, dropped };
        check(span(2, 6, Some((4, 2))), &[bytes("23"), gap(2, GapCause::Dropped), bytes("67")]);
        check(span(2, 6, Some((0, 4))), &[gap(2, GapCause::Dropped), bytes("4567")]);
        check(span(2, 6, Some((6, 99))), &[bytes("2345"), gap(2, GapCause::Dropped)]);
        check(span(2, 6, Some((9, 1))), &[bytes("234567")]);
        check(span(8, 6, None), &[bytes("89"), gap(4, GapCause::Cut)]);
        check(span(20, 6, None), &[gap(6, GapCause::Cut)]);
        check(span(4, 0, None), &[]);
        check(span(u64::MAX, u64::MAX, Some((u64::MAX, u64::MAX))), &[]);
    }

    #[test]
    fn a_tail_has_whole_lines() {
        let check = |content: &str, lines, expected: &str| {
            let span = LogSpan { start: 0, bytes: content.len() as u64, dropped: None };
            let (_scratch, part) = part(content.as_bytes(), &span);
            assert_eq!(String::from_utf8(part.tail(lines).unwrap()).unwrap(), expected);
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\nb\nc", 9, "a\nb\nc");
        check("a\nb\n", 0, "");
        check("", 3, "");
        check("\n\n\n", 2, "\n\n");
        let long = "é".repeat(200_000);
        let span = LogSpan { start: 0, bytes: long.len() as u64 - 1, dropped: None };
        let (_scratch, tail) = part(long.as_bytes(), &span);
        let tail = tail.tail(1).unwrap();
        assert!(tail.len() as u64 <= TAIL_BYTES_MAX && tail.first() == "é".as_bytes().first());
        let span = LogSpan { start: 0, bytes: 10, dropped: Some((2, 4)) };
        let (_scratch, after_hole) = part(b"01\n3456\n89", &span);
        assert_eq!(after_hole.tail(9).unwrap(), b"6\n89");
    }

    #[test]
    fn the_last_line_is_what_a_person_would_see_last() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("stdout.log");
        let check = |content: &str, from: u64, expected: &str| {
            std::fs::write(&path, content).unwrap();
            assert_eq!(String::from_utf8(last_line(&path, from).unwrap()).unwrap(), expected, "{content:?}");
        };
        check("a\nb\n", 0, "b");
        check("a\nb", 0, "b");
        check("a\n \n\n", 0, "a");
        check("10%\r50%\r", 0, "50%");
        check("a\nb\n", 4, "");
        check("a\nb\n", 400, "");
        check("", 0, "");
        check(&format!("{}end", "x".repeat(5000)), 0, &format!("{}end", "x".repeat(1021)));
        assert_eq!(glance(&path).unwrap().bytes, 5003);
        assert!(glance(&scratch.path().join("none")).is_err());
    }

    #[test]
    fn nothing_reaches_the_terminal_that_could_steer_it() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(escape(bytes), expected);
        check(b"plain\ttext\n", "plain\ttext\n");
        check("käse 🧀".as_bytes(), "käse 🧀");
        check(b"\x1b]52;c;eA==\x07", "\\x1b]52;c;eA==\\x07");
        check(b"100%\rPASS", "100%\\rPASS");
        check(b"dos\r\nend\r", "dos\nend\\r");
        check("\u{9b}31m".as_bytes(), "\\u{9b}31m");
        check(b"\x9b31m", "\\x9b31m");
        check("a\u{202e}b\u{200b}".as_bytes(), "a\\u{202e}b\\u{200b}");
        check(b"\0\x7f\xff", "\\x00\\x7f\\xff");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_escaped_cannot_steer(bytes: Vec<u8>) {
            let shown = escape(&bytes);
            let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_invisible(c);
            assert!(!shown.contains(steers));
        }

        #[test]
        fn every_span_is_accounted_for(start in 0..50_u64, bytes in 0..50_u64, hole in proptest::option::of((0..80_u64, 0..80_u64))) {
            let (_scratch, part) = part(&[b'x'; 40], &LogSpan { start, bytes, dropped: hole });
            let count = |piece| match piece {
                Piece::Bytes(bytes) => bytes.len() as u64,
                Piece::Gap { bytes, .. } => bytes,
            };
            assert_eq!(part.pieces().map(|piece| count(piece.unwrap())).sum::<u64>(), bytes);
        }
    }
}
