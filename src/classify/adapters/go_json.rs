//! `go test -json`: one JSON object a line (`go doc test2json`), read by its actions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::go_test::SIGNALLED;
use super::summary;
use crate::classify::line::Line;
use crate::classify::reader::Notes;
use crate::domain::evidence::{Counts, Sighting};
use crate::domain::pipeline::Adapter;

/// Most packages that may be open at once; go runs as many as it has processors.
const OPEN_MAX: usize = 1024;

/// One event. Fields of newer versions are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow, default)]
    package: Cow<'a, str>,
    #[serde(borrow, default)]
    test: Cow<'a, str>,
    #[serde(borrow, default)]
    output: Cow<'a, str>,
    #[serde(borrow, default)]
    failed_build: Cow<'a, str>,
}

#[derive(Debug, Default)]
pub(super) struct GoJson {
    open: BTreeMap<String, Package>,
    from: u64,
}

#[derive(Debug)]
struct Package {
    began: Sighting,
    told: Counts,
    running: i64,
    cached: bool,
    /// The last output says that the binary was ended from outside.
    signalled: bool,
    said: Said,
}

/// What go said of a package besides its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// The binary left with a code or a panic.
    Left,
    /// The binary was ended from outside, said directly above the package's own line.
    Killed,
    /// There is no binary.
    NotBuilt,
}

impl Package {
    fn output(&mut self, text: &str) {
        let line = text.trim_end();
        if line.starts_with("FAIL\t") {
            if line.contains("[build failed]") || line.contains("[setup failed]") {
                self.said = Said::NotBuilt;
            } else if self.signalled {
                self.said = Said::Killed;
            }
        } else if self.said == Said::Nothing && (line.starts_with("exit status ") || line.starts_with("panic: ")) {
            self.said = Said::Left;
        }
        self.signalled = SIGNALLED.contains(&line);
        self.cached |= line.starts_with("ok  \t") && line.ends_with("(cached)");
    }
}

impl GoJson {
    pub(super) fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        if !line.text.contains("\"Action\":") {
            return;
        }
        let Ok(event) = serde_json::from_str::<Event<'_>>(line.text) else { return };
        if event.package.is_empty() {
            return;
        }
        if !self.open.contains_key(event.package.as_ref()) {
            if self.open.len() == OPEN_MAX {
                return;
            }
            self.open.insert(event.package.to_string(), Package::new(line));
        }
        let Some(package) = self.open.get_mut(event.package.as_ref()) else { return };
        let top = i64::from(!event.test.contains('/'));
        match (event.action.as_ref(), event.test.is_empty()) {
            ("output", _) => package.output(&event.output),
            ("run", false) => package.running += top,
            ("pass", false) => package.ends(top, |told| &mut told.passed),
            ("skip", false) => package.ends(top, |told| &mut told.skipped),
            // What go ends together with its binary did not fail by itself.
            ("fail", false) if package.said == Said::Killed => {}
            ("fail", false) => package.ends(top, |told| &mut told.failed),
            ("pass" | "skip" | "fail", true) => self.closes(&event, line, notes),
            _ => {}
        }
    }

    pub(super) fn end(&mut self, notes: &mut Notes) {
        for (_, package) in std::mem::take(&mut self.open) {
            notes.region(package.began.stream, package.began.line, u64::MAX);
            notes.unfinished(package.began);
        }
    }

    fn closes(&mut self, event: &Event<'_>, line: &Line<'_>, notes: &mut Notes) {
        let Some(package) = self.open.remove(event.package.as_ref()) else { return };
        notes.region(line.stream, self.from.max(1), line.number);
        self.from = line.number + 1;
        let Package { told, running, cached, said, .. } = package;
        let counts = match event.action.as_ref() {
            "fail" if told.failed > 0 => told,
            "fail" if said == Said::NotBuilt || !event.failed_build.is_empty() => {
                return notes.unfinished(line.sighting("go-test"));
            }
            "fail" if said == Said::Killed => {
                notes.killed(line.sighting("go-test"));
                return notes.unfinished(line.sighting("go-test"));
            }
            "fail" if said == Said::Left || running == 0 => Counts { failed: 1, ..told },
            // Neither a failing test nor a code: older versions say no more of a binary that was killed.
            "fail" => return notes.unfinished(package.began),
            "pass" if running > 0 => return notes.unfinished(package.began),
            "pass" if cached => Counts { skipped: told.passed.max(1), ..Counts::default() },
            "pass" => told,
            _ => Counts::default(),
        };
        notes.summary(summary(Adapter::GoTest, counts, line.sighting("go-test")));
    }
}

impl Package {
    fn new(line: &Line<'_>) -> Self {
        Self {
            began: line.sighting("go-test"),
            told: Counts::default(),
            running: 0,
            cached: false,
            signalled: false,
            said: Said::Nothing,
        }
    }

    /// A test ended; tests below another one are counted with it.
    fn ends(&mut self, top: i64, count: impl FnOnce(&mut Counts) -> &mut u64) {
        self.running -= top;
        *count(&mut self.told) += u64::try_from(top).unwrap_or(0);
    }
}

/// The compiler's line in an event of `go test -json`, go 1.24 and newer.
pub(in crate::classify) fn build_output(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Build {
        action: String,
        output: String,
    }
    let event: Build = text.contains("\"build-output\"").then(|| serde_json::from_str(text).ok()).flatten()?;
    (event.action == "build-output").then(|| event.output.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::testing::{counts, read};
    use super::*;
    use crate::domain::evidence::Stream;

    fn check(events: &[(&str, &str, &str)], summaries: &[Counts], unfinished: usize) {
        let mut text = String::new();
        for (action, test, output) in events {
            let test = if test.is_empty() { String::new() } else { format!(r#","Test":"{test}""#) };
            writeln!(text, r#"{{"Action":"{action}","Package":"p"{test},"Output":"{output}\n"}}"#).unwrap();
        }
        assert_eq!(read(Adapter::GoTest, Stream::Stdout, &text), (summaries.to_vec(), unfinished), "{text}");
    }

    #[test]
    fn actions() {
        let run = ("run", "TestA", "");
        check(&[run, ("pass", "TestA", ""), ("pass", "", "")], &[counts(1, 0, 0, 0)], 0);
        check(&[run, ("fail", "TestA", ""), ("fail", "", "")], &[counts(0, 1, 0, 0)], 0);
        check(&[run, ("skip", "TestA", ""), ("pass", "", "")], &[counts(0, 0, 0, 1)], 0);
        check(
            &[run, ("run", "TestA/x", ""), ("pass", "TestA/x", ""), ("pass", "TestA", ""), ("pass", "", "")],
            &[counts(1, 0, 0, 0)],
            0,
        );
        check(
            &[run, ("pass", "TestA", ""), ("output", "", r"ok  \tp\t(cached)"), ("pass", "", "")],
            &[counts(0, 0, 0, 1)],
            0,
        );
        check(&[("skip", "", "")], &[counts(0, 0, 0, 0)], 0);
        check(&[run, ("pass", "", "")], &[], 1);
        check(&[run], &[], 1);
        check(&[("start", "", "")], &[], 1);
    }

    #[test]
    fn packages_that_fail_without_a_failing_test() {
        let run = ("run", "TestA", "");
        check(&[("output", "", "exit status 1"), ("fail", "", "")], &[counts(0, 1, 0, 0)], 0);
        check(&[run, ("output", "TestA", "panic: boom"), ("fail", "", "")], &[counts(0, 1, 0, 0)], 0);
        check(&[("output", "", r"FAIL\tp [build failed]"), ("fail", "", "")], &[], 1);
        let killed = [run, ("output", "TestA", "signal: killed"), ("output", "TestA", r"FAIL\tp\t1s")];
        check(&[&killed[..], &[("fail", "TestA", ""), ("fail", "", "")]].concat(), &[], 1);
        check(&[run, ("output", "", r"FAIL\tp\t1s"), ("fail", "", "")], &[], 1);
    }

    #[test]
    fn compilers_speak_in_events_too() {
        let text = r#"{"ImportPath":"p","Action":"build-output","Output":"./a.go:3:5: undefined: foo\n"}"#;
        assert_eq!(build_output(text).as_deref(), Some("./a.go:3:5: undefined: foo"));
        assert_eq!(build_output(r#"{"Action":"output","Output":"build-output"}"#), None);
    }
}
