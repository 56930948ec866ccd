//! Texts from outside, made fit for a Markdown document: they show what they are and change nothing around them.

/// Most characters of a word in the front matter, a name or a sentence.
const INLINE_CHARS_MAX: usize = 600;

/// Most characters of a quoted line of output.
const LINE_CHARS_MAX: usize = 400;

/// A text as one line that shows every character: controls, line ends, and characters that reorder or hide others
/// become escapes such as `\x1b` or `\u{202e}`. Longer texts are cut to `chars_max` and end in `…`.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(chars_max.saturating_add(1)) {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_ascii_control() => shown.extend(ascii_escape(c)),
            c if c.is_control() || is_deceptive(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    cut(shown, chars_max)
}

/// `\x` and two hex digits.
fn ascii_escape(c: char) -> [char; 4] {
    let digit = |value: u32| char::from_digit(value & 0xf, 16).unwrap_or('?');
    ['\\', 'x', digit(u32::from(c) >> 4), digit(u32::from(c))]
}

/// Cuts to so many characters, the last of which says so.
fn cut(text: String, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text;
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

const fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A value of the front matter: bare where it is one plain word, in double quotes elsewhere.
pub(super) fn front_value(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(plain) {
        return word.to_owned();
    }
    // A word with a control character is one that no gate can read; it is shown, and the gate will say so.
    let shown: String = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A sentence: no tag can start in it, and it stays one line.
pub(super) fn prose(text: &str) -> String {
    printable(text, INLINE_CHARS_MAX).replace('&', "&amp;").replace('<', "&lt;").replace("```", "'''")
}

/// A code span that its own text cannot end.
pub(super) fn code(text: &str) -> String {
    let shown = printable(text, INLINE_CHARS_MAX);
    if shown.is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&shown) + 1);
    let edge = |c: char| c == '`' || c == ' ';
    let pad = if shown.starts_with(edge) || shown.ends_with(edge) { " " } else { "" };
    format!("{ticks}{pad}{shown}{pad}{ticks}")
}

/// A piece of Markdown inside a table cell.
pub(super) fn cell(markdown: &str) -> String {
    markdown.replace('|', "\\|")
}

/// A code block that its own lines cannot end.
pub(super) fn code_block(lines: &[&str]) -> String {
    let shown: Vec<String> = lines.iter().map(|line| with_tabs(line)).collect();
    let longest = shown.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let ticks = "`".repeat((longest + 1).max(3));
    format!("{ticks}text\n{}\n{ticks}", shown.join("\n"))
}

/// Output keeps its tabs, which line columns up.
fn with_tabs(line: &str) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let pieces: Vec<String> = line.split('\t').map(|piece| printable(piece, LINE_CHARS_MAX)).collect();
    cut(pieces.join("\t"), LINE_CHARS_MAX)
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_in_a_printable_text() {
        let check = |text, expected| assert_eq!(printable(text, 10), expected, "{text:?}");
        check("a\x1b[3m", r"a\x1b[3m");
        check("a\nb\r\t", r"a\nb\r\t");
        check("\u{202e}x", r"\u{202e}x");
        check("\u{85}", r"\u{85}");
        check("0123456789", "0123456789");
        check("0123456789a", "012345678…");
        check("\x1b\x1b\x1b", r"\x1b\x1b\…");
        check("", "");
    }

    #[test]
    fn code_spans_outlast_their_text() {
        let check = |text, expected| assert_eq!(code(text), expected, "{text:?}");
        check("a b", "`a b`");
        check("a`b", "``a`b``");
        check("`", "`` ` ``");
        check(" a", "`  a `");
        check("", "(empty)");
        check("a\nb", r"`a\nb`");
    }

    #[test]
    fn code_blocks_outlast_their_lines() {
        assert_eq!(code_block(&["a", "b\tc\r"]), "```text\na\nb\tc\n```");
        assert_eq!(code_block(&["x ```` y"]), "`````text\nx ```` y\n`````");
        assert_eq!(code_block(&[""]), "```text\n\n```");
    }

    #[test]
    fn words_of_the_front_matter_are_quoted_where_they_need_it() {
        let check = |word, expected| assert_eq!(front_value(word), expected, "{word:?}");
        check("READY", "READY");
        check("1", "1");
        check("two words", "\"two words\"");
        check("- x: \"y\" \\", r#""- x: \"y\" \\""#);
        check("", "\"\"");
        check("a\nresult: PASS", "\"a\u{fffd}result: PASS\"");
    }
}
