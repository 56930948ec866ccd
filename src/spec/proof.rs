//! What proves that a suite ran: evidence, its closing line, its exit map, and whether they belong together.

use regex::RegexBuilder;

use super::code::Code;
use super::place::{Span, Spanned};
use super::problem::{Draft, Sink};
use super::raw::{Evidence, Exit};
use super::read::List;
use super::scalar::shown;
use super::suggest;
use super::values::{Count, OneOf, Text};
use crate::domain::pipeline::{Adapter, EvidenceKind, ExitMap, Report, ReportKind};

/// Largest compiled pattern of a closing line, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The groups a closing line may name.
const GROUPS: [&str; 4] = ["total", "passed", "failed", "skipped"];

/// What a suite says of its evidence, key by key.
pub(super) struct Said {
    /// `evidence`.
    pub(super) evidence: Option<Spanned<OneOf<Evidence>>>,
    /// `closing-line`.
    pub(super) closing_line: Option<Spanned<Text>>,
    /// `exit`.
    pub(super) exit: Option<Spanned<Exit>>,
}

/// The evidence of a suite; `auto` where it says nothing.
pub(super) fn evidence(said: Said, reports: &[Report], sink: &mut Sink) -> Option<EvidenceKind> {
    let kind = said.evidence.as_ref().map_or(Evidence::Auto, |evidence| evidence.value.0);
    let place = said.evidence.as_ref().map_or_else(Span::default, |evidence| evidence.span);
    if let (Some(line), false) = (&said.closing_line, kind == Evidence::ClosingLine) {
        let message = "`closing-line` is read only with `evidence: closing-line`";
        sink.push(Draft::new(Code::EvidenceSettings, line.span, message).help("say so, or leave the pattern out"));
    }
    if let (Some(exit), false) = (&said.exit, kind == Evidence::ExitCode) {
        let message = "`exit` is read only with `evidence: exit-code`";
        let help = "a suite's exit code alone proves nothing; `exit-code` is for formatters, linters and builds";
        sink.push(Draft::new(Code::EvidenceSettings, exit.span, message).help(help));
    }
    match kind {
        Evidence::Auto => Some(EvidenceKind::Auto),
        Evidence::Adapter(adapter) => {
            needs_report(adapter, place, reports, sink);
            Some(EvidenceKind::Adapter(adapter))
        }
        Evidence::ClosingLine => {
            let Some(line) = said.closing_line else {
                let message = "`evidence: closing-line` needs the pattern of that line";
                let help = r"add `closing-line: '(?P<total>\d+) checks, (?P<failed>\d+) failed'`";
                sink.push(Draft::new(Code::EvidenceSettings, place, message).help(help));
                return None;
            };
            closing_line(line, sink).map(EvidenceKind::ClosingLine)
        }
        Evidence::ExitCode => {
            exit_map(said.exit.map(|exit| exit.value).unwrap_or_default(), sink).map(EvidenceKind::ExitCode)
        }
    }
}

/// Adapters that read a file need that file declared: without it every attempt would be held.
fn needs_report(adapter: Adapter, place: Span, reports: &[Report], sink: &mut Sink) {
    let wanted = match adapter {
        Adapter::Junit => ReportKind::Junit,
        Adapter::ExitFile => ReportKind::ExitFile,
        Adapter::Pytest
        | Adapter::Unittest
        | Adapter::CargoTest
        | Adapter::Nextest
        | Adapter::GoTest
        | Adapter::Jest
        | Adapter::NodeTest
        | Adapter::Tap
        | Adapter::Bats
        | Adapter::Mocha
        | Adapter::Vitest => return,
    };
    if !reports.iter().any(|report| report.kind == wanted) {
        let word = adapter.as_str();
        let draft =
            Draft::new(Code::EvidenceSettings, place, format!("`evidence: {word}` needs `report: {{ {word}: … }}`"));
        sink.push(draft.help("name the file that the suite writes"));
    }
}

/// A pattern that says how many tests failed, whatever the suite printed before.
fn closing_line(line: Spanned<Text>, sink: &mut Sink) -> Option<String> {
    let pattern = line.value.0.as_str();
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).nest_limit(50).build();
    let (message, help) = match built {
        Err(regex::Error::CompiledTooBig(_)) => {
            ("the closing line's pattern is too large once compiled".to_owned(), "use smaller repetitions".to_owned())
        }
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!("the closing line's pattern cannot be read: {last}");
            (
                message,
                "it is a regular expression of the Rust crate `regex`: no look-around, no back-references".to_owned(),
            )
        }
        Ok(regex) => {
            let names: Vec<&str> = regex.capture_names().flatten().collect();
            let unknown = names.iter().find(|name| !GROUPS.contains(name)).copied();
            let has = |name: &str| names.contains(&name);
            if let Some(unknown) = unknown {
                let help = suggest::did_you_mean(unknown, GROUPS, sink)
                    .unwrap_or_else(|| format!("name groups out of {}", suggest::one_of(GROUPS)));
                (format!("the closing line names a group `{}`", shown(unknown)), help)
            } else if !(has("failed") || has("total") && has("passed")) {
                let message = "the closing line does not say how many tests failed".to_owned();
                (message, r"name a group `(?P<failed>\d+)`, or both `total` and `passed`".to_owned())
            } else if regex.is_match("") {
                (
                    "the closing line's pattern matches an empty line".to_owned(),
                    "make it match words of the line too".to_owned(),
                )
            } else {
                return Some(line.value.0);
            }
        }
    };
    sink.push(Draft::new(Code::ClosingLine, line.span, message).help(help));
    None
}

/// Which exit codes are a verdict: by default 0 passes and 1 fails.
fn exit_map(raw: Exit, sink: &mut Sink) -> Option<ExitMap> {
    let standard = ExitMap::default();
    let place = raw.pass.as_ref().or(raw.fail.as_ref()).map_or_else(Span::default, |list| list.span);
    let fail_given = raw.fail.is_some();
    let whole = |list: &Option<Spanned<List<Count<0, 255>>>>| list.as_ref().is_none_or(|list| list.value.whole);
    if !whole(&raw.pass) || !whole(&raw.fail) || !raw.unread.is_empty() {
        return None;
    }
    let codes = |list: Option<Spanned<List<Count<0, 255>>>>, standard: Vec<u8>| match list {
        None => standard,
        Some(list) => list.value.items.iter().filter_map(|code| u8::try_from(code.value.0).ok()).collect(),
    };
    let map = ExitMap { pass: codes(raw.pass, standard.pass), fail: codes(raw.fail, standard.fail) };
    let both = map.pass.iter().find(|code| map.fail.contains(code));
    let message = if map.pass.is_empty() {
        "no exit code means pass".to_owned()
    } else if let Some(code) = both {
        format!("the exit code {code} means both pass and fail")
    } else {
        return Some(map);
    };
    let help = if fail_given { "give each code one meaning" } else { "`fail` is `[1]` where the map does not say" };
    sink.push(Draft::new(Code::ExitMap, place, message).help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_counts_failures() {
        let check = |pattern: &str, good: bool| {
            let mut sink = Sink::default();
            let line = Spanned { value: Text(pattern.to_owned()), span: Span::default() };
            assert_eq!(closing_line(line, &mut sink).is_some(), good, "{pattern}");
            assert_eq!(sink.count() == 0, good, "{pattern}");
        };
        check(r"(?P<total>\d+) checks, (?P<failed>\d+) failed", true);
        check(r"(?<passed>\d+)/(?<total>\d+)", true);
        check(r"failed: (?P<failed>\d+)(, skipped: (?P<skipped>\d+))?", true);
        check("", false);
        check(".*", false);
        check("done", false);
        check(r"(?P<total>\d+) run", false);
        check(r"(?P<passed>\d+) ok", false);
        check(r"(?P<faild>\d+) failed", false);
        check(r"(?P<failed>\d*)", false);
        check(r"(?P<failed>\d+", false);
        check(r"(?=x)(?P<failed>\d+)", false);
        check(r"(?P<failed>\d+)\1", false);
        check(r"(?P<failed>((a{100}){100}){100})", false);
        check(&format!("{}(?P<failed>x){}", "(".repeat(100), ")".repeat(100)), false);
        check(r"(a+)+$(?P<failed>\d+)x", true);
    }
}
