//! JUnit XML reports: read to their closing tag, with bounds, and counted by their test cases.
//!
//! Counters in the attributes are checked against the cases, because reports cut in half and merged by hand exist:
//! the redder of the two counts. A report that does not end in its closing tag is broken.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::domain::evidence::{Counts, ReportFound};
use crate::domain::id::Digest;

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 64;
/// Most elements.
const ELEMENTS_MAX: usize = 5_000_000;
/// Names of failing tests that are kept.
const FAILING_MAX: usize = 20;

/// Reads a report's bytes.
pub fn read(bytes: &[u8]) -> ReportFound {
    match count(bytes) {
        Ok((counts, failing)) => ReportFound::Read { counts, digest: Digest::of(bytes), failing },
        Err(why) => ReportFound::Broken { why },
    }
}

#[derive(Debug, Default)]
struct Case {
    name: String,
    failed: bool,
    error: bool,
    skipped: bool,
}

#[derive(Debug, Default)]
struct Tally {
    cases: Counts,
    attributes: Counts,
    has_attributes: bool,
    failing: Vec<String>,
    suite_errors: u64,
}

fn count(bytes: &[u8]) -> Result<(Counts, Vec<String>), String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("the file is empty".to_owned());
    }
    let mut reader = Reader::from_reader(bytes);
    reader.config_mut().check_end_names = true;
    let mut tally = Tally::default();
    let mut path: Vec<String> = Vec::new();
    let mut case: Option<Case> = None;
    let mut elements = 0_usize;
    let mut closed = false;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("not well-formed at byte {}: {error}", reader.error_position()))?;
        match event {
            Event::Start(tag) => {
                elements += 1;
                if path.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                    return Err("nested too deeply or too many elements".to_owned());
                }
                begin(&tag, &path, &mut case, &mut tally)?;
                path.push(tag.local_name().as_ref().to_owned());
            }
            Event::Empty(tag) => {
                elements += 1;
                if elements > ELEMENTS_MAX {
                    return Err("too many elements".to_owned());
                }
                begin(&tag, &path, &mut case, &mut tally)?;
                let name = tag.local_name().as_ref().to_owned();
                closed |= path.is_empty();
                end(&name, &mut case, &mut tally);
            }
            Event::End(_) => {
                let name = path.pop().unwrap_or_default();
                end(&name, &mut case, &mut tally);
                closed |= path.is_empty();
            }
            Event::DocType(_) => return Err("a document type declaration is refused".to_owned()),
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
    }
    if !closed || !path.is_empty() {
        return Err("the report ends before its closing tag".to_owned());
    }
    Ok((tally.counts(), tally.failing))
}

fn begin(tag: &BytesStart<'_>, path: &[String], case: &mut Option<Case>, tally: &mut Tally) -> Result<(), String> {
    let name = tag.local_name();
    let name: &str = name.as_ref();
    if path.is_empty() && !matches!(name, "testsuites" | "testsuite") {
        return Err(format!("the root element is `{name}`, not `testsuites` or `testsuite`"));
    }
    let parent = path.last().map(String::as_str);
    match (name, case.as_mut()) {
        ("testcase", _) => {
            let text = |key: &str| attribute(tag, key).unwrap_or_default();
            let (class, name) = (text("classname"), text("name"));
            let name = if class.is_empty() { name } else { format!("{class}::{name}") };
            *case = Some(Case { name: name.chars().take(200).collect(), ..Case::default() });
        }
        ("failure", Some(case)) => case.failed = true,
        ("error", Some(case)) => case.error = true,
        ("skipped", Some(case)) => case.skipped = true,
        ("error" | "failure", None) if parent == Some("testsuite") => tally.suite_errors += 1,
        // Nested suites repeat in the outer one's counters: only suites whose parent is the root are added up.
        ("testsuite", None) if path.is_empty() || path.len() == 1 && parent == Some("testsuites") => tally.suite(tag),
        _ => {}
    }
    Ok(())
}

fn end(name: &str, case: &mut Option<Case>, tally: &mut Tally) {
    if name != "testcase" {
        return;
    }
    let Some(case) = case.take() else { return };
    let counts = &mut tally.cases;
    if case.failed {
        counts.failed += 1;
    } else if case.error {
        counts.errors += 1;
    } else if case.skipped {
        counts.skipped += 1;
    } else {
        counts.passed += 1;
    }
    if (case.failed || case.error) && tally.failing.len() < FAILING_MAX {
        tally.failing.push(case.name);
    }
}

impl Tally {
    fn suite(&mut self, tag: &BytesStart<'_>) {
        let read = |name: &str| attribute(tag, name).and_then(|text| text.trim().parse::<u64>().ok());
        let (failed, errors) = (read("failures"), read("errors"));
        self.has_attributes |= failed.is_some() || errors.is_some();
        self.attributes = self.attributes.plus(Counts {
            passed: 0,
            failed: failed.unwrap_or(0),
            errors: errors.unwrap_or(0),
            skipped: 0,
        });
    }

    fn counts(&self) -> Counts {
        let mut counts = self.cases;
        counts.errors = counts.errors.saturating_add(self.suite_errors);
        if self.has_attributes && !counts.red() && self.attributes.red() {
            counts.failed = self.attributes.failed;
            counts.errors = self.attributes.errors;
            counts.passed = counts.passed.saturating_sub(counts.failed.saturating_add(counts.errors));
        }
        counts
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok().flatten()?;
    let value = attribute.value.into_owned();
    Some(quick_xml::escape::unescape(&value).map_or_else(|_| value.clone(), std::borrow::Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Counts, &str>) {
        match (read(text.as_bytes()), expected) {
            (ReportFound::Read { counts, .. }, Ok(expected)) => assert_eq!(counts, expected, "{text}"),
            (ReportFound::Broken { why }, Err(part)) => assert!(why.contains(part), "{why} for {text}"),
            (found, expected) => panic!("{found:?} is not {expected:?} for {text}"),
        }
    }

    const fn counts(passed: u64, failed: u64, errors: u64, skipped: u64) -> Counts {
        Counts { passed, failed, errors, skipped }
    }

    #[test]
    fn cases_are_counted() {
        check(r#"<testsuite tests="1"><testcase name="a"/></testsuite>"#, Ok(counts(1, 0, 0, 0)));
        check(
            r#"<?xml version="1.0"?><testsuites><testsuite name="s" failures="1"><testcase name="a"><failure>x</failure></testcase><testcase name="b"><skipped/></testcase><testcase name="c"/></testsuite></testsuites>"#,
            Ok(counts(1, 1, 0, 1)),
        );
        check(r#"<testsuites><testsuite errors="2"/></testsuites>"#, Ok(counts(0, 0, 2, 0)));
        check(r#"<testsuite tests="0"/>"#, Ok(counts(0, 0, 0, 0)));
        check("<testsuites/>", Ok(counts(0, 0, 0, 0)));
    }

    #[test]
    fn broken_reports() {
        check("", Err("empty"));
        check("  \n", Err("empty"));
        check("<testsuite><testcase name='a'>", Err("closing tag"));
        check("<testsuite><testcase name='a'/></testsui", Err("not well-formed"));
        check("<html></html>", Err("root element"));
        check("not xml", Err("closing tag"));
        check("<!DOCTYPE x><testsuite/>", Err("document type"));
        check(&"<testsuite>".repeat(100), Err("too deeply"));
    }

    #[test]
    fn failing_tests_are_named() {
        let ReportFound::Read { failing, .. } =
            read(br#"<testsuite><testcase classname="m" name="a &amp; b"><error/></testcase></testsuite>"#)
        else {
            panic!("a whole report is read");
        };
        assert_eq!(failing, ["m::a & b"]);
    }
}
