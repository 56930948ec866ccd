//! Outside text made fit for reports: what a suite prints must not steer a reader, a terminal or a page.

use crate::workspace::logs;

/// Longest text of one field, in characters.
const TEXT_CHARS_MAX: usize = 1000;

/// Makes outside text printable: control and invisible characters are shown as escapes, as in `orch logs`; line
/// ends stay; what XML cannot hold is replaced; what is too long is cut.
pub(super) fn clean(text: &str) -> String {
    let shown = logs::escape(text.as_bytes());
    let mut kept: String = shown.chars().take(TEXT_CHARS_MAX).map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
    if shown.chars().nth(TEXT_CHARS_MAX).is_some() {
        kept.push_str(" …");
    }
    kept
}

/// [`clean`], on one line.
pub(super) fn line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// A line of talk that may hold outside text: nothing in it steers a terminal, or is a command to a CI runner
/// (GitHub's reads `##[name]` anywhere in a line).
pub(in crate::cli) fn talk(text: &str) -> String {
    logs::escape(text.as_bytes()).replace("##[", "# #[")
}

/// What XML 1.0 allows, beside the control characters that [`logs::escape`] has taken (<https://www.w3.org/TR/xml/#charsets>).
const fn is_xml(c: char) -> bool {
    !matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_and_nothing_is_endless() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text), expected);
        check("a\x1b[31mb\0c\rd", "a\\x1b[31mb\\x00c\\rd");
        check("two\nlines", "two\nlines");
        check("\u{ffff}\u{202e}", "\u{fffd}\\u{202e}");
        assert_eq!(talk("a\x1bb ##[error]c"), "a\\x1bb # #[error]c");
        assert_eq!(line("two\nlines\tthree"), "two lines three");
        assert_eq!(clean(&"x".repeat(5000)).chars().count(), TEXT_CHARS_MAX + 2);
        assert_eq!(clean(&"x".repeat(TEXT_CHARS_MAX)).chars().count(), TEXT_CHARS_MAX);
    }
}
