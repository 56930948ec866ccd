//! Plain scalars: what YAML 1.2's core schema would make of them, and how a text of the file is shown to people.

/// Longest text that is looked at as a number; what is longer is a text, and no field takes it for anything else.
const NUMBER_BYTES_MAX: usize = 512;

/// What YAML 1.2's core schema makes of a plain scalar, where that is not a text.
pub(super) fn resolves_to(text: &str) -> Option<&'static str> {
    if is_null(text) {
        return Some("nothing");
    }
    if matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") {
        return Some("a boolean");
    }
    is_number(text).then_some("a number")
}

/// Whether it stands for a value that was left out.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_number(text: &str) -> bool {
    let begins_so = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if !begins_so || text.len() > NUMBER_BYTES_MAX {
        return false;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if let Some(octal) = text.strip_prefix("0o") {
        return all(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, 16);
    }
    let (number, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(n, e)| (n, Some(e)));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some_digits = !whole.is_empty() || !fraction.is_empty();
    let exponent_fits = exponent.is_none_or(|e| all(e.strip_prefix(['-', '+']).unwrap_or(e), 10));
    some_digits && digits(whole) && digits(fraction) && exponent_fits
}

/// At most 60 characters of a text from the file, control characters escaped.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_yaml_1_2_says() {
        let check = |what, texts: &[&str]| {
            for text in texts {
                assert_eq!(resolves_to(text), what, "{text}");
            }
        };
        check(Some("nothing"), &["", "~", "null", "Null", "NULL"]);
        check(Some("a boolean"), &["true", "True", "FALSE"]);
        check(Some("a number"), &["0", "-1", "+12", "010", "1.5", ".5", "5.", "1e3", "-1.5E-3", "0o17", "0xfF"]);
        check(Some("a number"), &[".inf", "-.INF", "+.Inf", ".nan"]);
        check(
            None,
            &["no", "on", "yes", "off", "y", "1:30:00", "nUll", "0o18", "0xg", ".", "-", "1e", "-.nan", "1_000"],
        );
        check(None, &["0b11", "1.2.3", "30s", "e3", "."]);
    }

    #[test]
    fn texts_are_shown_without_their_control_characters() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected);
        check("a\"b'c\\d", "a\"b'c\\d");
        check("a\nb\u{1b}[31m", "a\\nb\\u{1b}[31m");
        check(&"é".repeat(61), &("é".repeat(60) + "…"));
    }
}
