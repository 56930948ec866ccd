//! The strict grammar of front matter: one flat block of `key: value` lines at the first byte.
//!
//! ```text
//! artifact = "---" EOL { line EOL } "---" [ EOL body ]
//! line     = "" | key ": " value
//! key      = [a-z][a-z0-9_-]{0,63}
//! value    = plain | '"' { char | "\\" | "\"" } '"' | "'" { char | "''" } "'"
//! ```
//!
//! No comments, no indentation, no trailing blanks, no lists, no empty values. Whatever YAML would give a meaning
//! (tags, anchors, flow brackets, block scalars) cannot be written here, so that the YAML reader has nothing to add.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::domain::verdict::{Unreadable, UnreadableReason};

use super::fold::{fold, looks_like};
use super::{line_number, quoted, unreadable};

/// Most lines between the two `---` lines.
pub const BLOCK_LINES_MAX: usize = 200;

/// Most bytes between the two `---` lines.
pub const BLOCK_MAX_BYTES: usize = 64 * 1024;

const FENCE: &str = "---";
const KEY_MAX_BYTES: usize = 64;

/// A front-matter block and what follows it.
#[derive(Debug)]
pub(super) struct FrontMatter<'a> {
    /// The lines between the two `---` lines.
    pub(super) block: &'a [&'a str],
    /// Its keys and values, in order; no key twice.
    pub(super) entries: Vec<Entry<'a>>,
    /// The lines after the block.
    pub(super) body: &'a [&'a str],
    /// Lines before the body.
    pub(super) body_offset: usize,
}

/// A key and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The key.
    pub(super) key: &'a str,
    /// The value without its quotes.
    pub(super) value: Cow<'a, str>,
    /// Whether the value stood in quotes.
    pub(super) quoted: bool,
    /// Line in the artifact, from 1.
    pub(super) line: Option<u32>,
}

/// Reads the block. `watched` are the keys that nothing else may look like.
pub(super) fn parse<'a>(lines: &'a [&'a str], watched: &[&str]) -> Result<FrontMatter<'a>, Unreadable> {
    let Some((_, rest)) = lines.split_first().filter(|(first, _)| **first == FENCE) else {
        let detail = match lines.first() {
            Some(first) => format!("the first line is {}, not `---`", quoted(first)),
            None => "the file is empty".to_owned(),
        };
        return Err(unreadable(UnreadableReason::NoFrontMatter, Some(1), detail));
    };
    let (block, body) = split(rest)?;
    let body_offset = block.len() + 2;
    hidden(block)?;
    let entries = entries(block, watched)?;
    second_block(body, body_offset)?;
    Ok(FrontMatter { block, entries, body, body_offset })
}

/// Finds the closing line.
fn split<'a>(rest: &'a [&'a str]) -> Result<(&'a [&'a str], &'a [&'a str]), Unreadable> {
    let unclosed = |detail: String| unreadable(UnreadableReason::Unclosed, Some(1), detail);
    let reach = rest.get(..=BLOCK_LINES_MAX).unwrap_or(rest);
    let Some(close) = reach.iter().position(|line| *line == FENCE) else {
        return Err(unclosed(format!("no line `---` closes the front matter within {BLOCK_LINES_MAX} lines")));
    };
    let (block, from_close) = rest.split_at(close);
    if block.iter().map(|line| line.len() + 1).sum::<usize>() > BLOCK_MAX_BYTES {
        return Err(unclosed(format!("the front matter has more than {BLOCK_MAX_BYTES} bytes")));
    }
    Ok((block, from_close.get(1..).unwrap_or_default()))
}

/// Refuses characters that show another text than the bytes say, or that some readers take for a line end.
fn hidden(block: &[&str]) -> Result<(), Unreadable> {
    for (index, line) in block.iter().enumerate() {
        if let Some(c) = line.chars().find(|c| is_hidden(*c)) {
            let detail = format!("the character U+{:04X} in the front matter", u32::from(c));
            return Err(unreadable(UnreadableReason::NotText, line_number(index + 1), detail));
        }
    }
    Ok(())
}

/// Tab, line and paragraph separators, bidirectional controls, byte order marks and noncharacters.
const fn is_hidden(c: char) -> bool {
    let bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line_end = matches!(c, '\u{2028}' | '\u{2029}');
    let nonchar = matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe;
    c == '\t' || c == '\u{feff}' || bidi || line_end || nonchar
}

fn entries<'a>(block: &'a [&'a str], watched: &[&str]) -> Result<Vec<Entry<'a>>, Unreadable> {
    let watched: Vec<(&str, String)> = watched.iter().map(|key| (*key, fold(key))).collect();
    let mut seen: HashMap<String, (&str, Option<u32>)> = HashMap::new();
    let mut entries = Vec::new();
    for (index, line) in block.iter().enumerate() {
        if line.is_empty() {
            continue;
        }
        let entry = entry(line, line_number(index + 1), &watched)?;
        if let Some((key, first)) = seen.insert(fold(entry.key), (entry.key, entry.line)) {
            let first = first.unwrap_or_default();
            let detail = if key == entry.key {
                format!("`{key}` already stands on line {first}")
            } else {
                format!("`{}` looks like `{key}` on line {first}", entry.key)
            };
            return Err(unreadable(UnreadableReason::DuplicateKey, entry.line, detail));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry<'a>(line: &'a str, number: Option<u32>, watched: &[(&str, String)]) -> Result<Entry<'a>, Unreadable> {
    let bad = |why: &str| unreadable(UnreadableReason::BadLine, number, format!("{}: {why}", quoted(line)));
    if line.starts_with(' ') {
        return Err(bad("the front matter is flat; no indentation, and no line of blanks alone"));
    }
    if line.starts_with('#') {
        return Err(bad("comments are not allowed in the front matter"));
    }
    let (before, after) = line.split_once(':').ok_or_else(|| bad("not of the form `key: value`"))?;
    // What starts with a mark is another kind of line (list, quote, quoted key), not another spelling of a key.
    let spelled = before.starts_with(|c: char| !c.is_ascii_punctuation()) && before.trim_end() == before;
    let lookalike = watched.iter().find(|(key, folded)| spelled && before != *key && looks_like(before, folded));
    if let Some((key, _)) = lookalike {
        let detail = format!("the key {} looks like `{key}` and is not it", quoted(before));
        return Err(unreadable(UnreadableReason::LookalikeKey, number, detail));
    }
    if !is_key(before) {
        return Err(bad("a key is a small letter, then small letters, digits, `_` or `-`, at most 64, then `: `"));
    }
    let value = after.strip_prefix(' ').ok_or_else(|| bad("a value stands one space after the colon"))?;
    let (value, quoted) = match value.chars().next() {
        Some('"') => (double_quoted(value).map_err(bad)?, true),
        Some('\'') => (single_quoted(value).map_err(bad)?, true),
        _ => (plain(value).map_err(bad)?, false),
    };
    Ok(Entry { key: before, value, quoted, line: number })
}

fn is_key(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    text.len() <= KEY_MAX_BYTES
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().skip(1).all(rest)
}

/// Words as they stand. What YAML gives a meaning is refused, wherever it would have one.
fn plain(value: &str) -> Result<Cow<'_, str>, &'static str> {
    const INDICATORS: &str = "-?:,[]{}#&*!|>%@`";
    let mut chars = value.chars();
    let (first, second) = (chars.next(), chars.next());
    let negative = first == Some('-') && second.is_some_and(|c| c.is_ascii_digit());
    match first {
        None => Err("a value is missing"),
        Some(' ') => Err("a value stands one space after the colon"),
        Some(first) if INDICATORS.contains(first) && !negative => {
            Err("a value that starts with this character needs quotes")
        }
        Some(_) if value.ends_with(' ') => Err("blanks at the end of the line"),
        Some(_) if value.contains(": ") || value.ends_with(':') => Err("a value with a further `: ` needs quotes"),
        Some(_) if value.contains(" #") => Err("comments are not allowed in the front matter"),
        Some(_) => Ok(Cow::Borrowed(value)),
    }
}

fn double_quoted(value: &str) -> Result<Cow<'_, str>, &'static str> {
    let mut text = String::new();
    let mut chars = value.chars().skip(1);
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.next().is_none() => return Ok(Cow::Owned(text)),
            '"' => return Err("something follows the closing quote"),
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some(_) | None => return Err("in double quotes only `\\\\` and `\\\"` are known"),
            },
            _ => text.push(c),
        }
    }
    Err("the closing quote is missing")
}

fn single_quoted(value: &str) -> Result<Cow<'_, str>, &'static str> {
    let mut text = String::new();
    let mut chars = value.chars().skip(1);
    while let Some(c) = chars.next() {
        match (c == '\'').then(|| chars.next()) {
            None => text.push(c),
            Some(Some('\'')) => text.push('\''),
            Some(Some(_)) => return Err("something follows the closing quote"),
            Some(None) => return Ok(Cow::Owned(text)),
        }
    }
    Err("the closing quote is missing")
}

/// Refuses a second block, or a second YAML document, right after the first.
fn second_block(body: &[&str], offset: usize) -> Result<(), Unreadable> {
    let first = body.iter().enumerate().find(|(_, line)| !line.trim().is_empty());
    match first {
        Some((index, line)) if line.trim_start().starts_with(FENCE) || line.trim() == "..." => {
            let detail = format!("{} right after the front matter; one block only", quoted(line));
            Err(unreadable(UnreadableReason::SecondBlock, line_number(offset + index), detail))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = Vec<(String, String)>;

    fn read(text: &str) -> Result<Pairs, (UnreadableReason, Option<u32>)> {
        let lines: Vec<&str> = text.lines().collect();
        let front = parse(&lines, &["result", "tests_status"]).map_err(|why| (why.reason, why.line))?;
        Ok(front.entries.iter().map(|entry| (entry.key.to_owned(), entry.value.to_string())).collect())
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        let check = |line: &str, value: &str| {
            let entries = read(&format!("---\n{line}\n---\n"));
            assert_eq!(entries.as_deref().ok().and_then(|e| e.first()).map(|e| e.1.as_str()), Some(value), "{line}");
        };
        check("a: b", "b");
        check("a: two words", "two words");
        check("a: \"two words\"", "two words");
        check("a: 'it''s'", "it's");
        check(r#"a: "say \"hi\" \\ bye""#, r#"say "hi" \ bye"#);
        check("a: \"\"", "");
        check("a: \" b \"", " b ");
        check("a: -3.5", "-3.5");
        check("a: http://127.0.0.1:8080/x#y", "http://127.0.0.1:8080/x#y");
        check("a: 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z");
        check("a-1_b: Grüße, 12 of 12 [ok]", "Grüße, 12 of 12 [ok]");
        check("a: null", "null");
    }

    #[test]
    fn a_line_outside_the_grammar_is_named() {
        for bad in [
            "a",
            "a:",
            "a: ",
            "a:b",
            "a:  b",
            "a : b",
            " a: b",
            "  ",
            "a: b ",
            "# a: b",
            "a: b # c",
            "A: b",
            "1a: b",
            "\"a\": b",
            "? a",
            "- a",
            "a: - b",
            "a: [b]",
            "a: {b}",
            "a: |",
            "a: >",
            "a: &x b",
            "a: *x",
            "a: !!str b",
            "a: %b",
            "a: @b",
            "a: `b`",
            "a: b: c",
            "a: b:",
            "a: \"b",
            "a: \"b\" c",
            "a: \"b\\n\"",
            "a: 'b",
            "a: 'b'c",
            "a: \"b\" # c",
            "<<: b",
            "...",
            "%YAML 1.2",
            "--- ",
        ] {
            assert_eq!(read(&format!("---\nx: y\n{bad}\n---\n")), Err((UnreadableReason::BadLine, Some(3))), "{bad:?}");
        }
        let long = format!("---\n{}: b\n---\n", "k".repeat(65));
        assert_eq!(read(&long), Err((UnreadableReason::BadLine, Some(2))));
    }

    #[test]
    fn keys_stand_once_and_alone() {
        let check = |text: &str, reason, line| assert_eq!(read(text), Err((reason, Some(line))), "{text}");
        check("---\na: b\na: b\n---\n", UnreadableReason::DuplicateKey, 3);
        check("---\na_b: c\na-b: c\n---\n", UnreadableReason::DuplicateKey, 3);
        check("---\nresult: PASS\nResult: FAIL\n---\n", UnreadableReason::LookalikeKey, 3);
        check("---\nr\u{435}sult: PASS\n---\n", UnreadableReason::LookalikeKey, 2);
        check("---\ntests-status: FAIL\n---\n", UnreadableReason::LookalikeKey, 2);
    }

    #[test]
    fn the_block_has_a_beginning_and_an_end() {
        let check = |text: &str, reason, line| assert_eq!(read(text), Err((reason, Some(line))), "{text}");
        check("", UnreadableReason::NoFrontMatter, 1);
        check("\n---\na: b\n---\n", UnreadableReason::NoFrontMatter, 1);
        check("--- \na: b\n---\n", UnreadableReason::NoFrontMatter, 1);
        check("---", UnreadableReason::Unclosed, 1);
        check("---\na: b\n", UnreadableReason::Unclosed, 1);
        check("---\na: b\n---\n---\na: c\n---\n", UnreadableReason::SecondBlock, 4);
        check("---\na: b\n---\n\n \n---\na: c\n---\n", UnreadableReason::SecondBlock, 6);
        check("---\na: b\n---\n--- # two\na: c\n", UnreadableReason::SecondBlock, 4);
        check("---\na: b\n---\n...\n---\na: c\n", UnreadableReason::SecondBlock, 4);
        check("---\na: b\u{202e}\n---\n", UnreadableReason::NotText, 2);
        check("---\na: b\u{2028}c\n---\n", UnreadableReason::NotText, 2);
        assert_eq!(read("---\n---\n"), Ok(vec![]));
        assert_eq!(read("---\n\na: b\n\n---"), Ok(vec![("a".into(), "b".into())]));
    }

    #[test]
    fn the_limits_of_the_block_are_exact() {
        let block = |n: usize| (0..n).map(|i| format!("k{i}x: v\n")).collect::<Vec<_>>().concat();
        assert_eq!(read(&format!("---\n{}---\n", block(BLOCK_LINES_MAX))).map(|e| e.len()), Ok(BLOCK_LINES_MAX));
        let over = format!("---\n{}---\n", block(BLOCK_LINES_MAX + 1));
        assert_eq!(read(&over), Err((UnreadableReason::Unclosed, Some(1))));
        let wide = |n: usize| format!("---\na: {}\n---\n", "x".repeat(n));
        assert!(read(&wide(BLOCK_MAX_BYTES - 4)).is_ok());
        assert_eq!(read(&wide(BLOCK_MAX_BYTES - 3)), Err((UnreadableReason::Unclosed, Some(1))));
    }
}
