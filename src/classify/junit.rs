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
    /// What the counters of each level add up to.
    levels: Vec<Counts>,
    /// Tests that the topmost suites claim to hold.
    claimed: u64,
    pytest: bool,
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
            Event::Text(text) if closed && path.is_empty() && !text.trim().is_empty() => {
                return Err("text stands after the report's closing tag".to_owned());
            }
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
    let (counts, found) = (tally.counts(), tally.found());
    // A red part of a report stays red.
    if tally.claimed > found && !counts.red() && !tally.pytest {
        return Err(format!("partial: {found} of {} tests are in it", tally.claimed));
    }
    Ok((counts, tally.failing))
}

fn begin(tag: &BytesStart<'_>, path: &[String], case: &mut Option<Case>, tally: &mut Tally) -> Result<(), String> {
    let name = tag.local_name();
    let name: &str = name.as_ref();
    if path.is_empty() && !matches!(name, "testsuites" | "testsuite") {
        return Err(format!("the root element is `{name}`, not `testsuites` or `testsuite`"));
    }
    let parent = path.last().map(String::as_str);
    match (name, case.as_mut()) {
        ("testcase", Some(_)) => return Err("a test case stands inside another one".to_owned()),
        ("testcase", None) => {
            let text = |key: &str| attribute(tag, key).unwrap_or_default();
            let (class, name) = (text("classname"), text("name"));
            let name = if class.is_empty() { name } else { format!("{class}::{name}") };
            let said = [text("status"), text("result")].map(|word| word.to_ascii_lowercase());
            let says = |words: &[&str]| said.iter().any(|word| words.contains(&word.as_str()));
            *case = Some(Case {
                name: name.chars().take(200).collect(),
                failed: says(&["failed", "fail", "failure"]),
                error: says(&["error"]),
                skipped: says(&["notrun", "disabled", "skipped", "suppressed"]),
            });
        }
        ("failure", Some(case)) => case.failed = true,
        ("error", Some(case)) => case.error = true,
        ("skipped", Some(case)) => case.skipped = true,
        ("error" | "failure", None) if parent == Some("testsuite") => tally.suite_errors += 1,
        ("testsuite" | "testsuites", None) => {
            // Nested suites repeat in the outer one's counters: only suites whose parent is the root claim tests.
            let topmost = name == "testsuite" && (path.is_empty() || path.len() == 1 && parent == Some("testsuites"));
            tally.suite(tag, path.len(), topmost)?;
        }
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
    fn suite(&mut self, tag: &BytesStart<'_>, depth: usize, topmost: bool) -> Result<(), String> {
        let read = |name: &str| match attribute(tag, name) {
            None => Ok(0),
            Some(text) => text.trim().parse::<u64>().map_err(|_| format!("the counter {name}=\"{text}\" is no number")),
        };
        let counters = Counts { failed: read("failures")?, errors: read("errors")?, ..Counts::default() };
        let tests = read("tests")?;
        // pytest counts subtests there, which have no case of their own.
        self.pytest |= attribute(tag, "name").is_some_and(|name| name == "pytest" || name == "pytest tests");
        if topmost {
            self.claimed = self.claimed.saturating_add(tests);
        }
        if self.levels.len() <= depth {
            self.levels.resize(depth + 1, Counts::default());
        }
        if let Some(level) = self.levels.get_mut(depth) {
            *level = level.plus(counters);
        }
        Ok(())
    }

    const fn found(&self) -> u64 {
        self.cases.passed + self.cases.failed + self.cases.errors + self.cases.skipped
    }

    /// The redder of cases and counters; of the counters, those of the reddest level.
    fn counts(&self) -> Counts {
        let mut counts = self.cases;
        counts.errors = counts.errors.saturating_add(self.suite_errors);
        let worst = self.levels.iter().max_by_key(|level| level.failed.saturating_add(level.errors));
        if let Some(worst) = worst.filter(|worst| worst.red() && !counts.red()) {
            counts.failed = worst.failed;
            counts.errors = worst.errors;
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
    fn counters_of_every_level_count() {
        check(r#"<testsuites failures="1"><testsuite><testcase/></testsuite></testsuites>"#, Ok(counts(0, 1, 0, 0)));
        check(
            r#"<testsuite failures="0"><testsuite><testsuite errors="1"><testcase/></testsuite></testsuite></testsuite>"#,
            Ok(counts(0, 0, 1, 0)),
        );
        check(r#"<testsuite failures="01.0"><testcase/></testsuite>"#, Err("no number"));
        check(r#"<testsuite tests="1,000"><testcase/></testsuite>"#, Err("no number"));
        check(r#"<testsuite tests="3"><testcase/></testsuite>"#, Err("partial: 1 of 3"));
        check(r#"<testsuite name="pytest" tests="3"><testcase/></testsuite>"#, Ok(counts(1, 0, 0, 0)));
        check(r#"<testsuite tests="3"/>"#, Err("partial"));
        check(r#"<testsuite tests="3" failures="1"/>"#, Ok(counts(0, 1, 0, 0)));
        check(r#"<testsuite tests="3"><testcase><error/></testcase></testsuite>"#, Ok(counts(0, 0, 1, 0)));
    }

    #[test]
    fn a_case_says_in_its_attributes_how_it_ended() {
        let case = |said: &str, expected| check(&format!("<testsuite><testcase {said}/></testsuite>"), Ok(expected));
        case("status='failed'", counts(0, 1, 0, 0));
        case("result='failure'", counts(0, 1, 0, 0));
        case("status='error'", counts(0, 0, 1, 0));
        case("status='notrun' result='suppressed'", counts(0, 0, 0, 1));
        case("status='disabled'", counts(0, 0, 0, 1));
        case("status='run' result='skipped'", counts(0, 0, 0, 1));
        case("status='run' result='completed'", counts(1, 0, 0, 0));
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
        check("<testsuite><testcase><testcase/></testcase></testsuite>", Err("inside another"));
        check("<testsuite><testcase/></testsuite>\nKilled\n", Err("after the report"));
        check("<testsuite><testcase/></testsuite>\n", Ok(counts(1, 0, 0, 0)));
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
