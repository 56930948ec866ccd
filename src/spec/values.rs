//! Single values of the file: texts, names, counts, booleans, durations, and words out of closed sets.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::code::Code;
use super::problem::{Draft, Sink};
use super::read::{FromNode, name, scalar, text};
use super::scalar::shown;
use super::suggest;
use super::tree::{Kind, NodeRef};
use crate::domain::id::{BudgetName, NameError, PipelineName, RelPath, SerialGroup, StageName, SwitchName};

/// Longest duration a pipeline may name: 30 days.
const DURATION_MAX: Duration = Duration::from_hours(30 * 24);

/// Puts a schema into every place of its use rather than under `definitions`.
macro_rules! inline_schema {
    ($name:expr, $generator:ident => $schema:expr) => {
        fn schema_name() -> Cow<'static, str> {
            $name.into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema($generator: &mut SchemaGenerator) -> Schema {
            $schema
        }
    };
}
pub(super) use inline_schema;

/// A text; numbers and booleans only in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl FromNode for Text {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        text(node, "a text", sink).map(|text| Self(text.to_owned()))
    }
}

impl JsonSchema for Text {
    inline_schema!("Text", _generator => json_schema!({ "type": "string", "minLength": 1 }));
}

/// A word of a command, or the value of a variable: taken as it is written, so that `[sleep, 10]` is two words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word(pub(super) String);

impl FromNode for Word {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        scalar(node, "a text", sink).map(|text| Self(text.to_owned()))
    }
}

impl JsonSchema for Word {
    inline_schema!("Word", _generator => json_schema!({ "type": ["string", "number", "boolean"] }));
}

macro_rules! names {
    ($($name:ident: $code:ident, $pattern:expr;)*) => {$(
        impl FromNode for $name {
            fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
                let text = text(node, "a name", sink)?;
                match Self::new(text) {
                    Ok(name) => Some(name),
                    Err(error) => {
                        sink.push(bad_name(Code::$code, node, &error));
                        None
                    }
                }
            }
        }

        impl JsonSchema for $name {
            inline_schema!(stringify!($name), _generator => json_schema!({ "type": "string", "pattern": $pattern }));
        }
    )*};
}

names! {
    PipelineName: BadName, "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    BudgetName: BadName, "^[a-z0-9][a-z0-9_-]{0,63}$";
    SerialGroup: BadName, "^[a-z0-9][a-z0-9_-]{0,63}$";
    StageName: BadName, "^[a-z0-9][a-z0-9_-]{0,63}$";
    SwitchName: BadName, "^[A-Z][A-Z0-9_]{0,63}$";
    RelPath: PathOutside, r"^[^/\\](?:[^\\]*[^/\\])?$";
}

/// The problem of a value that is no such name.
pub(super) fn bad_name(code: Code, node: NodeRef<'_>, error: &NameError) -> Draft {
    let message = format!("{} is no {}: `{}`", name(node), error.kind, shown(&error.found));
    Draft::new(code, node.span(), message).help(format!("allowed: {}", error.allowed))
}

/// The version of the file's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version;

impl FromNode for Version {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        let plain = matches!(node.kind(), Kind::Scalar { plain: true, .. });
        match scalar(node, "the number 1", sink)? {
            "1" if plain => Some(Self),
            other => {
                let quotes = if plain { "" } else { " in quotes" };
                let message = format!("`version` is `{}`{quotes}; this orch reads version 1", shown(other));
                sink.push(Draft::new(Code::Version, node.span(), message).help("write `version: 1`"));
                None
            }
        }
    }
}

impl JsonSchema for Version {
    inline_schema!("Version", _generator => json_schema!({ "type": "integer", "const": 1 }));
}

/// A count in decimal digits, from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<const MIN: u32, const MAX: u32> FromNode for Count<MIN, MAX> {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        let written = scalar(node, format_args!("a count from {MIN} to {MAX}"), sink)?;
        let plain = matches!(node.kind(), Kind::Scalar { plain: true, .. });
        let digits = written.bytes().all(|byte| byte.is_ascii_digit()) && (written == "0" || !written.starts_with('0'));
        let number = written.parse().ok().filter(|number| (MIN..=MAX).contains(number));
        match number {
            Some(number) if plain && digits => Some(Self(number)),
            _ => {
                let quotes = if plain { "" } else { " in quotes" };
                let message =
                    format!("{} is `{}`{quotes}; wanted is a count from {MIN} to {MAX}", name(node), shown(written));
                sink.push(Draft::new(Code::NotCount, node.span(), message));
                None
            }
        }
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Count<MIN, MAX> {
    inline_schema!("Count", _generator => json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }));
}

/// `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl FromNode for Flag {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        let written = scalar(node, "`true` or `false`", sink)?;
        match (node.kind(), written) {
            (Kind::Scalar { plain: true, .. }, "true") => Some(Self(true)),
            (Kind::Scalar { plain: true, .. }, "false") => Some(Self(false)),
            _ => {
                let meant = match written.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" => Some("write `true`"),
                    "false" | "no" | "off" | "n" => Some("write `false`"),
                    _ => None,
                };
                let message = format!("{} is `{}`; wanted is `true` or `false`", name(node), shown(written));
                let draft = Draft::new(Code::NotBoolean, node.span(), message);
                sink.push(draft.maybe_help(meant.map(str::to_owned)));
                None
            }
        }
    }
}

impl JsonSchema for Flag {
    inline_schema!("Flag", _generator => json_schema!({ "type": "boolean" }));
}

/// A duration such as `30s` or `1h30m`; with `POSITIVE` it is more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span<const POSITIVE: bool>(pub(super) Duration);

impl<const POSITIVE: bool> FromNode for Span<POSITIVE> {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        let written = scalar(node, "a duration, such as `30s`", sink)?;
        let duration = checked_duration(node, written, Code::Duration, sink)?;
        if POSITIVE && duration.is_zero() {
            let message = format!("{} is `{}`; it must be more than nothing", name(node), shown(written));
            sink.push(Draft::new(Code::DurationRange, node.span(), message));
            return None;
        }
        Some(Self(duration))
    }
}

impl<const POSITIVE: bool> JsonSchema for Span<POSITIVE> {
    inline_schema!("Duration", _generator => json_schema!({
        "type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "30s", "10m", "1h30m"],
    }));
}

const DURATION_PATTERN: &str = "^(?:[0-9]{1,9}d)?(?:[0-9]{1,9}h)?(?:[0-9]{1,9}m)?(?:[0-9]{1,9}s)?(?:[0-9]{1,9}ms)?$";

fn checked_duration(node: NodeRef<'_>, written: &str, code: Code, sink: &mut Sink) -> Option<Duration> {
    let draft = match parse_duration(written) {
        Ok(duration) if duration <= DURATION_MAX => return Some(duration),
        Ok(_) => {
            let message = format!("`{}` is more than 30 days", shown(written));
            Draft::new(Code::DurationRange, node.span(), message)
        }
        Err(Unparsed::NoUnit) => {
            let message = format!("{}: `{}` has no unit", name(node), shown(written));
            Draft::new(code, node.span(), message).help(format!("did you mean `{written}s`?"))
        }
        Err(Unparsed::NotOne) => {
            let message = format!("{}: `{}` is not a duration", name(node), shown(written));
            Draft::new(code, node.span(), message)
                .help("write whole numbers with units, the largest first: `500ms`, `30s`, `10m`, `1h30m`, `2d`")
        }
    };
    sink.push(draft);
    None
}

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unparsed {
    NoUnit,
    NotOne,
}

/// Whole numbers with units, the largest unit first and each at most once. At most nine digits a number, so that
/// nothing can overflow.
pub(super) fn parse_duration(written: &str) -> Result<Duration, Unparsed> {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = written;
    let mut units = UNITS.iter();
    let mut total_ms = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits).and_then(|digits| digits.parse().ok()).ok_or(Unparsed::NotOne)?;
        let tail = rest.get(digits..).unwrap_or_default();
        let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = tail.get(..letters).unwrap_or_default();
        if unit.is_empty() && tail.is_empty() && rest.len() == written.len() && digits <= 9 {
            return Err(Unparsed::NoUnit);
        }
        let (_, factor) = units.find(|(name, _)| *name == unit).filter(|_| digits <= 9).ok_or(Unparsed::NotOne)?;
        total_ms += number * factor;
        rest = tail.get(letters..).unwrap_or_default();
    }
    if written.is_empty() { Err(Unparsed::NotOne) } else { Ok(Duration::from_millis(total_ms)) }
}

/// Pauses between further attempts: `30s..10m`, the first and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff {
    /// First pause.
    pub(super) base: Duration,
    /// Longest pause.
    pub(super) cap: Duration,
}

impl FromNode for Backoff {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        const HELP: &str = "write the first and the longest pause: `30s..10m`";
        let written = scalar(node, "a backoff, such as `30s..10m`", sink)?;
        let Some((base, cap)) = written.split_once("..") else {
            let message = format!("{}: `{}` is not a backoff", name(node), shown(written));
            sink.push(Draft::new(Code::Backoff, node.span(), message).help(HELP));
            return None;
        };
        let base = checked_duration(node, base, Code::Backoff, sink);
        let cap = checked_duration(node, cap, Code::Backoff, sink);
        let (base, cap) = (base?, cap?);
        let what = if base.is_zero() {
            "the first pause must be more than nothing"
        } else if base > cap {
            "the first pause is longer than the longest"
        } else {
            return Some(Self { base, cap });
        };
        let message = format!("{}: `{}`: {what}", name(node), shown(written));
        sink.push(Draft::new(Code::Backoff, node.span(), message).help(HELP));
        None
    }
}

impl JsonSchema for Backoff {
    inline_schema!("Backoff", _generator => json_schema!({
        "type": "string", "pattern": r"^[0-9][0-9dhms]*\.\.[0-9][0-9dhms]*$", "examples": ["30s..10m"],
    }));
}

/// A closed set of words.
pub(super) trait Words: Copy + 'static {
    /// What the word says, for messages.
    const WHAT: &'static str;

    /// Every word with its meaning.
    fn all() -> Vec<(&'static str, Self)>;
}

/// A word out of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OneOf<T>(pub(super) T);

impl<T: Words> FromNode for OneOf<T> {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        let all = T::all();
        let words = || all.iter().map(|(word, _)| *word);
        let written = scalar(node, format_args!("a word, such as `{}`", words().next().unwrap_or_default()), sink)?;
        let found = all.iter().find(|(word, _)| *word == written);
        if found.is_none() {
            let help = suggest::did_you_mean(written, words(), sink)
                .unwrap_or_else(|| format!("known: {}", suggest::all_of(words())));
            let message = format!("{}: `{}` is no {}", name(node), shown(written), T::WHAT);
            sink.push(Draft::new(Code::UnknownWord, node.span(), message).help(help));
        }
        found.map(|(_, value)| Self(*value))
    }
}

impl<T: Words> JsonSchema for OneOf<T> {
    inline_schema!("OneOf", _generator => {
        let words: Vec<&str> = T::all().into_iter().map(|(word, _)| word).collect();
        json_schema!({ "enum": words })
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let check = |text: &str, expected: Result<u64, Unparsed>| {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text:?}");
        };
        check("500ms", Ok(500));
        check("30s", Ok(30_000));
        check("10m", Ok(600_000));
        check("1h", Ok(3_600_000));
        check("1h30m", Ok(5_400_000));
        check("1d2h3m4s5ms", Ok(93_784_005));
        check("0s", Ok(0));
        check("007s", Ok(7_000));
        check("999999999d", Ok(86_399_999_913_600_000));
        for bad in ["30", "0", "999999999"] {
            check(bad, Err(Unparsed::NoUnit));
        }
        for bad in [
            "",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            " 1s",
            "1S",
            "30m1h",
            "1s1s",
            "1x",
            "1h30",
            "1e3s",
            "1_000s",
            ".inf",
            ".nan",
            "1:30:00",
            "0o17",
            "18446744073709551615",
            "123456789012345678901234567890s",
            "٣s",
        ] {
            check(bad, Err(Unparsed::NotOne));
        }
    }
}
