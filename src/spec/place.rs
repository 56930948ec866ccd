//! Places in a text: byte spans while reading, lines and columns for people.

use std::ops::Range;

/// A place in a pipeline text, for people and for tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// Bytes of the text while it is read; a text is at most [`super::TEXT_BYTES_MAX`] long, so 32 bits are enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Span {
    /// First byte.
    pub(super) start: u32,
    /// Byte after the last one.
    pub(super) end: u32,
}

impl Span {
    /// The bytes `start..end`.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let narrow = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end.max(start)) }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spanned<T> {
    /// The value.
    pub(super) value: T,
    /// Its bytes.
    pub(super) span: Span,
}

/// Turns byte spans into lines and columns; made only when there is a problem to show.
#[derive(Debug)]
pub(super) struct LineIndex<'t> {
    text: &'t [u8],
    starts: Vec<usize>,
}

impl<'t> LineIndex<'t> {
    /// Finds every start of a line.
    pub(super) fn new(text: &'t [u8]) -> Self {
        let after_breaks = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// Line and column of a span. Bytes that are no UTF-8 count one column each.
    pub(super) fn place(&self, span: Span) -> Place {
        let start = (span.start as usize).min(self.text.len());
        let end = (span.end as usize).clamp(start, self.text.len());
        let line = self.starts.partition_point(|line_start| *line_start <= start);
        let line_start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(line_start..start).unwrap_or_default();
        let column = before.iter().filter(|byte| (**byte & 0xC0) != 0x80).count() + 1;
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Place { line: narrow(line.max(1)), column: narrow(column), span: start..end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a: é\nbé: c\n";
        let index = LineIndex::new(text.as_bytes());
        let check = |start, end, line, column| {
            let place = index.place(Span::new(start, end));
            assert_eq!((place.line, place.column), (line, column), "{start}..{end}");
        };
        check(0, 1, 1, 1);
        check(3, 5, 1, 4);
        check(5, 6, 1, 5);
        check(6, 7, 2, 1);
        check(11, 12, 2, 5);
        check(13, 13, 3, 1);
        check(999, 1000, 3, 1);
    }
}
