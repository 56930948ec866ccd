//! Values of settings: one strict grammar each, so that a slip of the pen is an error and never "false".

use std::fmt;
use std::time::Duration;

use super::table::{INFRA_RETRIES_MAX, Kind, MEBIBYTES_MAX, TIMEOUT_S_MAX};

/// Longest name of a repository, in bytes; the pipeline file has the same bound.
const REPOSITORY_BYTES_MAX: usize = 200;

/// A value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// On or off.
    Switch(bool),
    /// Which repositories.
    Repositories(Scope),
    /// A time in whole seconds.
    Seconds(Duration),
    /// A count, also of MiB.
    Count(u32),
    /// An absolute path.
    Path(String),
    /// A filter of diagnostics.
    LogFilter(String),
}

/// The repositories that a switch is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Every,
    /// Those of these names, compared without regard to case; at least one.
    Only(Vec<String>),
}

impl Scope {
    /// Whether a repository is one of them.
    pub fn contains(&self, repository: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Only(names) => {
                let folded = repository.to_lowercase();
                names.iter().any(|name| name.to_lowercase() == folded)
            }
        }
    }

    /// The names, none of them where it is every repository.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Every => &[],
            Self::Only(names) => names,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every repository"),
            Self::Only(names) => f.write_str(&names.join(", ")),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => on.fmt(f),
            Self::Repositories(scope) => scope.fmt(f),
            Self::Seconds(time) => time.as_secs().fmt(f),
            Self::Count(count) => count.fmt(f),
            Self::Path(text) | Self::LogFilter(text) => f.write_str(text),
        }
    }
}

impl Value {
    /// On or off, where it is a switch.
    pub(super) fn switch(&self) -> Option<bool> {
        if let Self::Switch(on) = self { Some(*on) } else { None }
    }

    /// The scope, where it is one.
    pub(super) fn scope(&self) -> Option<&Scope> {
        if let Self::Repositories(scope) = self { Some(scope) } else { None }
    }

    /// The time, where it is one.
    pub(super) fn seconds(&self) -> Option<Duration> {
        if let Self::Seconds(time) = self { Some(*time) } else { None }
    }

    /// The count, where it is one.
    pub(super) fn count(&self) -> Option<u32> {
        if let Self::Count(count) = self { Some(*count) } else { None }
    }
}

/// A text that is no value of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a value; `None` where the text counts as unset.
pub(super) fn read(kind: Kind, text: &str) -> Result<Option<Value>, Malformed> {
    let value = match kind {
        Kind::Switch => Value::Switch(boolean(text)?),
        Kind::Repositories => Value::Repositories(scope(text)?),
        Kind::Seconds => Value::Seconds(Duration::from_secs(number(text, 1, TIMEOUT_S_MAX)?)),
        Kind::Count => {
            let count = number(text, 0, u64::from(INFRA_RETRIES_MAX))?;
            Value::Count(u32::try_from(count).map_err(|_| Malformed)?)
        }
        Kind::Mebibytes => {
            let size = number(text, 0, u64::from(MEBIBYTES_MAX))?;
            Value::Count(u32::try_from(size).map_err(|_| Malformed)?)
        }
        // An empty path and an empty filter always were as good as none.
        Kind::Path | Kind::Program | Kind::LogFilter if text.is_empty() => return Ok(None),
        Kind::Path | Kind::Program if text.starts_with('/') => Value::Path(text.to_owned()),
        Kind::Path | Kind::Program => return Err(Malformed),
        Kind::LogFilter => {
            tracing_subscriber::EnvFilter::builder().parse(text).map_err(|_| Malformed)?;
            Value::LogFilter(text.to_owned())
        }
    };
    Ok(Some(value))
}

fn boolean(text: &str) -> Result<bool, Malformed> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err(Malformed),
    }
}

fn number(text: &str, least: u64, most: u64) -> Result<u64, Malformed> {
    // `parse` would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u64>().ok()).flatten().ok_or(Malformed)?;
    (least..=most).contains(&number).then_some(number).ok_or(Malformed)
}

fn scope(text: &str) -> Result<Scope, Malformed> {
    if text.trim().is_empty() {
        return Ok(Scope::Every);
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().all(|name| is_repository(name)) { Ok(Scope::Only(names)) } else { Err(Malformed) }
}

/// Whether a text names a repository: `shop`, `team/store`, `.github`; never a pattern.
fn is_repository(name: &str) -> bool {
    name.len() <= REPOSITORY_BYTES_MAX
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && !name.starts_with(['-', '/'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &str, expected: &Value) {
        assert_eq!(read(kind, text), Ok(Some(expected.clone())), "{kind:?} {text:?}");
    }

    #[test]
    fn booleans_are_a_few_words_and_nothing_else() {
        for (text, on) in [
            ("true", true),
            ("TRUE", true),
            ("1", true),
            ("On", true),
            ("yes", true),
            ("false", false),
            ("False", false),
            ("0", false),
            ("OFF", false),
            ("no", false),
        ] {
            check(Kind::Switch, text, &Value::Switch(on));
        }
        for text in ["", " ", "ture", "fasle", "2", "01", " true", "false\r", "y", "n", "disabled", "null", "'true'"] {
            assert_eq!(read(Kind::Switch, text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_decimal_digits_within_bounds() {
        for (text, seconds) in [("1", 1), ("600", 600), ("007", 7), ("604800", 604_800)] {
            check(Kind::Seconds, text, &Value::Seconds(Duration::from_secs(seconds)));
        }
        let none =
            ["", "0", "-1", "+5", "1.5", "1e3", "0x10", "30m", " 5", "5 ", "604801", "99999999999999999999", "٣"];
        for text in none {
            assert_eq!(read(Kind::Seconds, text), Err(Malformed), "{text:?}");
        }
        for (text, count) in [("0", 0), ("3", 3), ("100", 100)] {
            check(Kind::Count, text, &Value::Count(count));
        }
        for text in ["", "-1", "101", "three", "18446744073709551616"] {
            assert_eq!(read(Kind::Count, text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_list_of_repositories_is_trimmed_and_blank_is_every() {
        let only = |names: &[&str]| Value::Repositories(Scope::Only(names.iter().map(ToString::to_string).collect()));
        for text in ["", " ", "\t "] {
            check(Kind::Repositories, text, &Value::Repositories(Scope::Every));
        }
        check(Kind::Repositories, "shop", &only(&["shop"]));
        check(Kind::Repositories, " Shop ,\tteam/store,.github", &only(&["Shop", "team/store", ".github"]));
        for text in [",", "a,", ",a", "a,,b", "*", "shop*", "a b", "a;b", "-a", "/a", "..", "naïve", "a\nb"] {
            assert_eq!(read(Kind::Repositories, text), Err(Malformed), "{text:?}");
        }
        assert_eq!(read(Kind::Repositories, &"x".repeat(201)), Err(Malformed));
    }

    #[test]
    fn names_are_compared_whole_and_without_case() {
        let scope = scope("Shop, team/store").unwrap();
        for (name, inside) in
            [("shop", true), ("SHOP", true), ("Team/Store", true), ("store", false), ("shop2", false), ("", false)]
        {
            assert_eq!(scope.contains(name), inside, "{name}");
        }
        assert!(Scope::Every.contains("anything"));
    }

    #[test]
    fn paths_are_absolute_and_filters_can_be_read() {
        check(Kind::Path, "/var/lib/orch", &Value::Path("/var/lib/orch".to_owned()));
        assert_eq!(read(Kind::Path, ""), Ok(None));
        assert_eq!(read(Kind::Path, "state"), Err(Malformed));
        check(Kind::LogFilter, "orch=debug,info", &Value::LogFilter("orch=debug,info".to_owned()));
        assert_eq!(read(Kind::LogFilter, ""), Ok(None));
        assert_eq!(read(Kind::LogFilter, "orch=loud"), Err(Malformed));
    }
}
