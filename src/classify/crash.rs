//! Crashes of a running test, named by its own framework or by its parent (rule 4).
//!
//! SEGV, ABRT, BUS, FPE and ILL are the program's doing. KILL and TERM come from outside and are left to rule 6.

use std::sync::LazyLock;

use regex::Regex;

use super::line::Line;
use crate::domain::evidence::Sighting;

const KEPT_MAX: usize = 16;

/// One of these stands in every line that may tell of a crash.
static HINTS: LazyLock<regex::bytes::Regex> = LazyLock::new(|| {
    regex::bytes::Regex::new(r"SIG[A-Z]|Fatal Python error|\*\*\* \[|: line \d").expect("a fixed pattern")
});

static CRASH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^Fatal Python error: (?:Segmentation fault|Aborted|Bus error|Floating point exception|Illegal instruction)\b",
        r"|process didn't exit successfully: `(?P<program>[^`]+)` \(signal: (?:4|6|7|8|11), SIG[A-Z]+",
        r"|^\s*(?:SIGSEGV|SIGABRT|SIGBUS|SIGFPE|SIGILL) \[\s*[0-9.]+s\] ",
        r"|^make(?:\[\d+\])?: \*\*\* \[[^\]]+\] (?:Segmentation fault|Aborted|Bus error|Floating point exception|Illegal instruction)\b",
        r"|^\S+: line \d+: +\d+ (?:Segmentation fault|Aborted|Bus error|Floating point exception|Illegal instruction) +(?:\(core dumped\) +)?(?:\./|[a-z]\w*/)",
        r"|^A jest worker process \(pid=\d+\) was terminated by another process: signal=(?:SIGSEGV|SIGABRT|SIGBUS|SIGFPE|SIGILL)\b",
    ))
    .expect("a fixed pattern")
});

/// Watches both streams for crashes.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    found: Vec<Sighting>,
}

impl Crashes {
    pub(super) fn line(&mut self, line: &Line<'_>) {
        if self.found.len() == KEPT_MAX || !HINTS.is_match(line.text.as_bytes()) {
            return;
        }
        let Some(captures) = CRASH.captures(line.text) else { return };
        // A compiler that crashes says nothing about a running test.
        let compiler = captures.name("program").is_some_and(|program| program.as_str().contains("rustc "));
        if !compiler {
            self.found.push(line.sighting("crash"));
        }
    }

    pub(super) fn end(self) -> Vec<Sighting> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::Stream;

    #[test]
    fn crashes_are_told_from_kills() {
        let check = |text: &str, expected: bool| {
            let mut crashes = Crashes::default();
            crashes.line(&Line { text, stream: Stream::Stderr, number: 1 });
            assert_eq!(!crashes.end().is_empty(), expected, "{text}");
        };
        check("Fatal Python error: Segmentation fault", true);
        check(
            "  process didn't exit successfully: `/w/target/debug/deps/a-1` (signal: 6, SIGABRT: process abort signal)",
            true,
        );
        check("  process didn't exit successfully: `/w/target/debug/deps/a-1` (signal: 9, SIGKILL: kill)", false);
        check(
            "  process didn't exit successfully: `rustc --crate-name a` (signal: 11, SIGSEGV: invalid memory reference)",
            false,
        );
        check("     SIGSEGV [   0.010s] crate tests::a", true);
        check("make: *** [Makefile:2: test] Segmentation fault (core dumped)", true);
        check("make: *** [Makefile:2: test] Killed", false);
        check("run.sh: line 2:  77 Segmentation fault      ./a.out", true);
        check("run.sh: line 2:  77 Segmentation fault      /usr/bin/docker ps", false);
    }
}
