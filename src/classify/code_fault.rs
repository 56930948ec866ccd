//! Code that cannot be loaded or built, said by a known tool in its own format (rule 3).
//!
//! The change did it, so it is a fail. What a missing dependency or a full disk looks like is left to the
//! signatures: a path outside the worktree, `No module named`, a header that is not found prove nothing.

use std::collections::VecDeque;
use std::sync::LazyLock;

use regex::Regex;

use super::line::Line;
use crate::domain::evidence::{Sighting, Stream};

const KEPT_MAX: usize = 32;
/// A tool's headline and its place stand at most this far apart.
const NEAR_LINES: u64 = 4;

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a fixed pattern"));
    };
}

pattern!(RUSTC_HEAD, r"^error(?:\[E\d{4}\])?: ");
pattern!(RUSTC_PLACE, r"^\s*--> (?P<path>[^:]+):\d+:\d+$");
pattern!(
    CC,
    r"^(?P<path>[^\s:][^:]*\.(?:c|cc|cpp|cxx|c\+\+|m|mm|h|hh|hpp|hxx|ipp|inl|cu|s|S|f90|zig)):\d+:\d+: (?:fatal )?error: (?P<what>.*)$"
);
pattern!(TSC, r"^(?P<path>[^\s(:][^(:]*\.[cm]?tsx?)(?:\(\d+,\d+\): error TS\d+: |:\d+:\d+ - error TS\d+: )");
pattern!(JAVAC, r"^(?:\[ERROR\] )?(?P<path>\S+\.(?:java|kt|scala)):(?:\d+: error: |\[\d+,\d+\] )");
pattern!(GO, r"^(?:vet: )?(?P<path>\S+\.go):\d+:\d+: (?P<what>.*)$");
pattern!(PY_FILE, r#"^\s+File "(?P<path>[^"]+)", line \d+"#);
pattern!(PY_SYNTAX, r"^(?:E\s+)?(?:SyntaxError|IndentationError|TabError): ");
pattern!(
    PY_NAME,
    r"^(?:E\s+)?ImportError: cannot import name .* from (?:partially initialized module )?'[^']*' \((?:most likely due to a circular import\) \()?(?P<path>[^)]+)\)$"
);
pattern!(CONFTEST, r"^ImportError while loading conftest '(?P<path>[^']+)'\.$");
pattern!(COLLECTING, r"^_{3,} ERROR collecting (?P<path>\S+) _{3,}$");
pattern!(NODE_PLACE, r"^(?:file://)?(?P<path>/?\S+\.[cm]?[jt]sx?):\d+(?::\d+)?$");
pattern!(SHELL, r"^(?P<path>[^\s:]+): (?:line )?\d+: [Ss]yntax error\b");
pattern!(
    PERL,
    r#"^(?:syntax error|Global symbol "[^"]+" requires explicit package name .*|Can't find string terminator .*|Missing right curly .*) at (?P<path>\S+) line \d+"#
);
pattern!(
    MAKE,
    r"^(?P<path>\S*[Mm]akefile|\S+\.mk):\d+: \*\*\* (?:missing separator|.*commands commence before first target|.*unterminated)"
);
pattern!(CARGO_MANIFEST, r"^error: failed to parse manifest at `(?P<path>[^`]+)`$");
pattern!(NPM_JSON, r"^npm (?:error|ERR!) (?:code )?EJSONPARSE$");

/// Watches both streams for code that cannot be loaded.
#[derive(Debug, Default)]
pub(super) struct CodeFaults {
    found: VecDeque<Sighting>,
    context: [Context; 2],
}

/// What a following line may complete.
#[derive(Debug, Default)]
struct Context {
    rustc: Option<Sighting>,
    python_path: Option<String>,
    conftest: Option<(u64, Sighting)>,
    node: Option<(u64, String)>,
    go_package: bool,
}

impl CodeFaults {
    pub(super) fn line(&mut self, line: &Line<'_>) {
        let index = match line.stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        let found = self.context[index].line(line);
        self.found.extend(found);
        while self.found.len() > KEPT_MAX {
            self.found.pop_front();
        }
    }

    pub(super) fn end(self) -> Vec<Sighting> {
        let Self { found, context } = self;
        found.into_iter().chain(context.into_iter().filter_map(|context| context.conftest.map(|(_, at)| at))).collect()
    }
}

impl Context {
    fn line(&mut self, line: &Line<'_>) -> Option<Sighting> {
        let text = line.text;
        if let Some(found) = self.rustc(line).or_else(|| self.python(line)).or_else(|| self.node(line)) {
            return Some(found);
        }
        // `go` names the package on a line of its own before its errors.
        self.go_package = text.starts_with("# ") || self.go_package && !text.is_empty();
        if text.contains(".go:") && (self.go_package || text.starts_with("vet: ")) {
            if let Some(captures) = GO.captures(text) {
                let foreign =
                    captures.name("what").is_some_and(|what| what.as_str().contains("no required module provides"));
                return ours(&captures).filter(|()| !foreign).map(|()| line.sighting("go"));
            }
        }
        for (hint, pattern, tool) in [
            ("error: ", &CC, "cc"),
            ("error TS", &TSC, "tsc"),
            (".mk:", &MAKE, "make"),
            ("akefile:", &MAKE, "make"),
            ("yntax error", &SHELL, "shell"),
        ] {
            let Some(captures) = text.contains(hint).then(|| pattern.captures(text)).flatten() else { continue };
            // A header that is not found may be a dependency that is not installed.
            let missing_header =
                captures.name("what").is_some_and(|what| what.as_str().ends_with("No such file or directory"));
            let is_option = captures
                .name("path")
                .is_some_and(|path| path.as_str() == "-c" || !path.as_str().contains(['.', '/', 'M', 'm']));
            return ours(&captures)
                .filter(|()| !missing_header && !(tool == "shell" && is_option))
                .map(|()| line.sighting(tool));
        }
        if text.contains(": error: ") || text.starts_with("[ERROR] ") {
            if let Some(captures) = JAVAC.captures(text) {
                return ours(&captures).map(|()| line.sighting("javac"));
            }
        }
        if text.contains(" at ") {
            if let Some(captures) = PERL.captures(text) {
                return ours(&captures).map(|()| line.sighting("perl"));
            }
        }
        if text.starts_with("error: failed to parse manifest") && CARGO_MANIFEST.is_match(text) {
            return Some(line.sighting("cargo"));
        }
        (text.starts_with("npm ") && NPM_JSON.is_match(text)).then(|| line.sighting("npm"))
    }

    fn rustc(&mut self, line: &Line<'_>) -> Option<Sighting> {
        if line.text.starts_with("error") && RUSTC_HEAD.is_match(line.text) {
            let internal = line.text.starts_with("error: internal compiler error");
            self.rustc = (!internal).then(|| line.sighting("rustc"));
            return None;
        }
        let head = self.rustc.as_ref()?;
        if line.number > head.line + NEAR_LINES {
            self.rustc = None;
            return None;
        }
        let captures = line.text.contains("--> ").then(|| RUSTC_PLACE.captures(line.text)).flatten()?;
        let head = self.rustc.take()?;
        ours(&captures).map(|()| head)
    }

    fn python(&mut self, line: &Line<'_>) -> Option<Sighting> {
        let text = line.text;
        if text.contains("File \"") {
            if let Some(captures) = PY_FILE.captures(text) {
                self.python_path = captures.name("path").map(|path| path.as_str().to_owned());
                return None;
            }
        }
        if text.starts_with("ImportError while loading conftest") {
            self.conftest =
                CONFTEST.captures(text).and_then(|c| ours(&c)).map(|()| (line.number, line.sighting("pytest")));
            return None;
        }
        // A conftest that misses a module proves no fault of the code.
        if text.starts_with("E ") && text.contains("ModuleNotFoundError: ") {
            self.conftest = None;
        }
        if text.starts_with("___") && COLLECTING.is_match(text) {
            self.python_path = None;
            return None;
        }
        if text.contains("Error: ") {
            if PY_SYNTAX.is_match(text) {
                let path = self.python_path.take()?;
                return is_ours(&path).then(|| line.sighting("python"));
            }
            if let Some(captures) = PY_NAME.captures(text) {
                return ours(&captures).map(|()| line.sighting("python"));
            }
        }
        None
    }

    fn node(&mut self, line: &Line<'_>) -> Option<Sighting> {
        let text = line.text;
        if text.ends_with(|c: char| c.is_ascii_digit()) && text.contains("s:") {
            if let Some(captures) = NODE_PLACE.captures(text) {
                self.node = captures.name("path").map(|path| (line.number, path.as_str().to_owned()));
                return None;
            }
        }
        let (number, path) = self.node.as_ref()?;
        if line.number > number + 6 {
            self.node = None;
            return None;
        }
        let fault = text.starts_with("SyntaxError: ") && is_ours(path);
        if fault {
            self.node = None;
        }
        fault.then(|| line.sighting("node"))
    }
}

fn ours(captures: &regex::Captures<'_>) -> Option<()> {
    is_ours(captures.name("path")?.as_str()).then_some(())
}

/// Whether a path may stand in the worktree: not in a toolchain, a package folder or a registry.
fn is_ours(path: &str) -> bool {
    const FOREIGN: [&str; 12] = [
        "/site-packages/",
        "/dist-packages/",
        "/node_modules/",
        "/.cargo/registry/",
        "/.cargo/git/",
        "/cargo/registry/",
        "/rustc/",
        "/go/pkg/mod/",
        "/usr/lib/",
        "/usr/include/",
        "/usr/local/go/",
        "/.rustup/",
    ];
    let library = path.contains("/lib/python") || path.starts_with("node:") || path.starts_with('<');
    !library && !path.starts_with("/usr/") && !FOREIGN.iter().any(|part| path.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, tools: &[&str]) {
        let mut faults = CodeFaults::default();
        for (number, text) in (1..).zip(text.lines()) {
            faults.line(&Line { text, stream: Stream::Stderr, number });
        }
        assert_eq!(faults.end().iter().map(|s| s.tool.as_str()).collect::<Vec<_>>(), tools, "{text}");
    }

    #[test]
    fn compilers() {
        check("error[E0308]: mismatched types\n --> src/lib.rs:2:5\n", &["rustc"]);
        check("error: expected `;`\n  --> src/lib.rs:2:5\n", &["rustc"]);
        check("error[E0308]: mismatched types\n --> /root/.cargo/registry/src/x/lib.rs:2:5\n", &[]);
        check("error: could not compile `x` (lib) due to 1 previous error\n", &[]);
        check("src/a.c:3:5: error: expected ';'\n", &["cc"]);
        check("src/a.c:3:5: fatal error: zlib.h: No such file or directory\n", &[]);
        check("/usr/include/x.h:3:5: error: expected ';'\n", &[]);
        check("src/x.ts(3,5): error TS2322: no\n", &["tsc"]);
        check("src/Foo.java:3: error: ';' expected\n", &["javac"]);
        check("# example.com/a\n./a.go:3:5: undefined: foo\n", &["go"]);
        check("Makefile:3: *** missing separator.  Stop.\n", &["make"]);
    }

    #[test]
    fn interpreters() {
        check("  File \"/w/app.py\", line 3\n    def f(\n         ^\nSyntaxError: '(' was never closed\n", &["python"]);
        check("  File \"/usr/lib/python3/x.py\", line 3\nSyntaxError: bad\n", &[]);
        check("ImportError: cannot import name 'x' from 'app' (/w/app.py)\n", &["python"]);
        check("ModuleNotFoundError: No module named 'requests'\n", &[]);
        check(
            "ImportError while loading conftest '/w/conftest.py'.\nconftest.py:1: in <module>\nE   SyntaxError: bad\n",
            &["pytest"],
        );
        check(
            "ImportError while loading conftest '/w/conftest.py'.\nE   ModuleNotFoundError: No module named 'x'\n",
            &[],
        );
        check("/w/a.js:3\nconst x = ;\n          ^\n\nSyntaxError: Unexpected token ';'\n", &["node"]);
        check("./run.sh: line 3: syntax error near unexpected token `fi'\n", &["shell"]);
        check("bash: -c: line 1: syntax error near unexpected token `fi'\n", &[]);
        check("syntax error at t/a.t line 3, near \"my\"\n", &["perl"]);
    }
}
