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
/// What a macro could not reach while the code was built.
const RUSTC_OUTSIDE: [&str; 5] = [
    "not defined at compile time",
    "set `DATABASE_URL`",
    "(os error ",
    "Connection refused",
    "error communicating with database",
];
pattern!(RUSTC_PLACE, r"^\s*--> (?P<path>[^:]+):\d+:\d+$");
pattern!(
    CC,
    r"^(?P<path>[^\s:][^:]*\.(?:c|cc|cpp|cxx|c\+\+|m|mm|h|hh|hpp|hxx|ipp|inl|cu|s|S|f90|zig)):\d+:\d+: (?:fatal )?error: (?P<what>.*)$"
);
pattern!(TSC, r"^(?P<path>[^\s(:][^(:]*\.[cm]?tsx?)(?:\(\d+,\d+\): error TS\d+: |:\d+:\d+ - error TS\d+: )");
pattern!(JAVAC, r"^(?:\[ERROR\] )?(?P<path>\S+\.(?:java|kt|scala)):(?:\d+: error: |\[\d+,\d+\] )");
pattern!(CSHARP, r"^(?P<path>[^\s(:][^(:]*\.(?:cs|fs|vb)(?:proj)?)\(\d+,\d+\): error (?P<what>(?:CS|FS|BC)\d+: .*)$");
pattern!(GO, r"^(?:vet: )?(?P<path>\S+\.go):\d+:\d+: (?P<what>.*)$");
pattern!(
    GO_IMPORT,
    r#"no required module provides package|cannot find (?:module|package)|lookup disabled by|dial tcp|Get "|missing go\.sum entry|is not in (?:std|GOROOT)|verifying|: reading |no such host|no matching versions|unknown revision|build constraints exclude"#
);
pattern!(GO_PACKAGE, r#"package "?(?P<package>[^\s;:"]+)"#);
pattern!(LD, r"^(?:\S*ld(?:\.\w+)?: )?(?P<path>[^\s:]+\.\w+):(?:\(\.text[^)]*\)|\d+): undefined reference to ");
pattern!(PY_FILE, r#"^\s+File "(?P<path>[^"]+)", line \d+"#);
pattern!(PY_SYNTAX, r"^(?:E\s+)?(?:SyntaxError|IndentationError|TabError): ");
pattern!(
    PY_NAME,
    r"^(?:E\s+)?ImportError: cannot import name .* from (?:partially initialized module )?'[^']*' \((?:most likely due to a circular import\) \()?(?P<path>[^)]+)\)$"
);
pattern!(PYTEST_INI, r"^ERROR: (?P<path>\S+\.(?:ini|toml|cfg))(?::\d+)?: (?P<what>.*)$");
pattern!(CONFTEST, r"^ImportError while loading conftest '(?P<path>[^']+)'\.$");
pattern!(COLLECTING, r"^_{3,} ERROR collecting (?P<path>\S+) _{3,}$");
pattern!(NODE_PLACE, r"^(?:\s*Exception during run: )?(?:file://)?(?P<path>/?\S+\.[cm]?[jt]sx?):\d+(?::\d+)?$");
pattern!(SHELL, r"^(?P<path>[^\s:]+): (?:line )?\d+: [Ss]yntax error\b");
pattern!(RUBY, r"^\s*(?:\S*ruby: )?(?P<path>[^\s:]+\.rb):\d+: (?:syntax errors?\b|.*\(SyntaxError\)$)");
pattern!(PHP, r"^(?:PHP )?(?:Parse|Fatal) error: +(?:syntax error, .*) in (?P<path>\S+) on line \d+$");
pattern!(
    PERL,
    r#"^(?:syntax error|Global symbol "[^"]+" requires explicit package name .*|Can't find string terminator .*|Missing right curly .*) at (?P<path>\S+) line \d+"#
);
pattern!(
    MAKE,
    r"^(?P<path>\S*[Mm]akefile|\S+\.mk):\d+: \*\*\* (?:missing separator|.*commands commence before first target|.*unterminated)"
);
pattern!(CARGO_MANIFEST, r"^\s*(?:error: )?failed to parse (?:manifest|lock file) at:? `?(?P<path>[^`]+?)`?$");
pattern!(
    CARGO_TOO_OLD,
    r"feature `\S+` is required|not stabilized in this version of Cargo|older than the `\d+` edition|lock file version .* was found|supported edition values are"
);
pattern!(NPM_JSON, r"^npm (?:error|ERR!) code EJSONPARSE$");
pattern!(NPM_PACKAGE, r"^npm (?:error|ERR!) .*?(?P<path>[^\s:]*package\.json)\b");
pattern!(GO_MOD, r"^(?P<path>[^\s:]*go\.(?:mod|work)):\d+(?::\d+)?: (?P<what>.*)$");
/// What a conftest says that could not be loaded for want of something outside the code.
static OUTSIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^E +(?:\w+\.)*(?:ModuleNotFoundError|ImportError: (?:lib|/|No module)|OSError|IOError|PermissionError|FileNotFoundError|Connection\w*Error|Timeout\w*|\w*OperationalError|gaierror|URLError|HTTPError|KeyError|PackageNotFoundError|DistributionNotFound|MemoryError)\b|^E +.*\[Errno ")
        .expect("a fixed pattern")
});
/// Errors that only say that a dependency is not installed, and those that follow from it.
static TS_MISSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"error TS(?:2307: Cannot find module '[^./]|7016: |2688: |2580: |2582: |2584: |2592: |2593: )")
        .expect("a fixed pattern")
});
static JAVA_MISSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"package \S+ does not exist|cannot find symbol|static import only from").expect("a fixed pattern")
});

/// Words of cargo about itself, in lines below a manifest it refuses.
const CARGO_HINTS: [&str; 4] = ["feature `", "this version of Cargo", "lock file version", "supported edition values"];

/// Watches both streams for code that cannot be loaded.
#[derive(Debug, Default)]
pub(super) struct CodeFaults {
    found: VecDeque<Sighting>,
    java_missing: bool,
    context: [Context; 2],
}

/// What a following line may complete.
#[derive(Debug, Default)]
struct Context {
    rustc: Option<Sighting>,
    python_path: Option<String>,
    conftest: Option<Sighting>,
    node: Option<(u64, String)>,
    /// The packages that `go` named on lines of their own, while their errors follow.
    go_packages: Vec<String>,
    go_mod: bool,
    npm_json: Option<Sighting>,
}

/// Most packages of one `go` run that are remembered.
const PACKAGES_MAX: usize = 64;

impl CodeFaults {
    pub(super) fn line(&mut self, line: &Line<'_>) {
        let index = match line.stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        let found = self.context[index].line(line).into_iter();
        // cargo's own refusal: the part it speaks of was never built, whatever ran before.
        if line.text.starts_with("error: could not compile `") {
            let rustc = self.found.iter_mut().filter(|at| at.tool == "rustc" && at.stream == line.stream);
            rustc.for_each(|at| "cargo".clone_into(&mut at.tool));
        }
        if CARGO_HINTS.iter().any(|hint| line.text.contains(hint)) && CARGO_TOO_OLD.is_match(line.text) {
            self.found.retain(|at| at.tool != "cargo-manifest");
        }
        if builds_a_dependency(line.text) {
            self.found.retain(|at| at.tool != "cc" || at.stream != line.stream);
        }
        if line.text.contains("note: module requires Go ") {
            self.found.retain(|at| at.tool != "go");
        }
        if line.text.contains("does not exist") && line.text.contains(".java") && JAVA_MISSING.is_match(line.text) {
            self.found.retain(|at| at.tool != "javac" || !JAVA_MISSING.is_match(&at.text));
            self.java_missing = true;
        }
        let follows = |at: &Sighting| self.java_missing && at.tool == "javac" && JAVA_MISSING.is_match(&at.text);
        self.found.extend(found.filter(|at| !follows(at)));
        while self.found.len() > KEPT_MAX {
            self.found.pop_front();
        }
    }

    pub(super) fn end(self) -> Vec<Sighting> {
        let Self { found, context, .. } = self;
        let conftests = context.into_iter().filter_map(|context| context.conftest);
        found
            .into_iter()
            .chain(conftests)
            .map(|at| if at.tool == "cargo-manifest" { Sighting { tool: "cargo".to_owned(), ..at } } else { at })
            .collect()
    }
}

impl Context {
    fn line(&mut self, line: &Line<'_>) -> Option<Sighting> {
        if let Some(found) = self.rustc(line).or_else(|| self.python(line)).or_else(|| self.node(line)) {
            return Some(found);
        }
        self.go(line).or_else(|| compiler(line)).or_else(|| script(line)).or_else(|| self.manifest(line))
    }

    /// `go` names the package on a line of its own before its errors.
    fn go(&mut self, line: &Line<'_>) -> Option<Sighting> {
        let text = line.text;
        if let Some(package) = text.strip_prefix("# ") {
            if self.go_packages.len() < PACKAGES_MAX {
                self.go_packages.extend(package.split_whitespace().next().map(str::to_owned));
            }
            return None;
        }
        if text.is_empty() {
            self.go_packages.clear();
            self.go_mod = false;
            return None;
        }
        if text.starts_with("go: errors parsing go.") {
            self.go_mod = true;
            return None;
        }
        if self.go_mod {
            let captures = GO_MOD.captures(text)?;
            // A go that is too old for the file's version is no fault of the file.
            let old = captures.name("what").is_some_and(|what| {
                what.as_str().contains("invalid go version") || what.as_str().contains("unknown directive: toolchain")
            });
            return ours(&captures).filter(|()| !old).map(|()| line.sighting("go"));
        }
        if text.starts_with("\timports ") && text.ends_with(": import cycle not allowed") {
            return Some(line.sighting("go"));
        }
        if !text.contains(".go:") || self.go_packages.is_empty() && !text.starts_with("vet: ") {
            return None;
        }
        let captures = GO.captures(text)?;
        let what = captures.name("what").map_or("", |what| what.as_str());
        if GO_IMPORT.is_match(what) {
            // Only a package below one of the project's own is the project's to bring along.
            let missing = GO_PACKAGE.captures(what).and_then(|c| Some(c.name("package")?.as_str().to_owned()))?;
            let below = |own: &String| missing.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/'));
            self.go_packages.iter().any(below).then_some(())?;
        }
        ours(&captures).map(|()| line.sighting("go"))
    }

    /// The project's own manifest that its tool cannot parse.
    fn manifest(&mut self, line: &Line<'_>) -> Option<Sighting> {
        let text = line.text;
        if text.contains("failed to parse ") {
            return ours(&CARGO_MANIFEST.captures(text)?).map(|()| line.sighting("cargo-manifest"));
        }
        if text.starts_with("ERROR: ") {
            let captures = PYTEST_INI.captures(text)?;
            // What the file asks for is not installed: the file is well-formed.
            let asks = captures.name("what").is_some_and(|what| what.as_str().contains(" requires "));
            return ours(&captures).filter(|()| !asks).map(|()| line.sighting("pytest"));
        }
        if !text.starts_with("npm ") {
            return None;
        }
        if NPM_JSON.is_match(text) {
            self.npm_json = Some(line.sighting("npm"));
            return None;
        }
        let head = self.npm_json.take_if(|_| text.contains("package.json"))?;
        ours(&NPM_PACKAGE.captures(text)?).filter(|()| line.number <= head.line + 2 * NEAR_LINES).map(|()| head)
    }

    fn rustc(&mut self, line: &Line<'_>) -> Option<Sighting> {
        if line.text.starts_with("error") && RUSTC_HEAD.is_match(line.text) {
            let internal = line.text.starts_with("error: internal compiler error");
            let outside = RUSTC_OUTSIDE.iter().any(|words| line.text.contains(words));
            self.rustc = (!internal && !outside).then(|| line.sighting("rustc"));
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
            self.conftest = CONFTEST.captures(text).and_then(|c| ours(&c)).map(|()| line.sighting("pytest"));
            return None;
        }
        // A conftest that misses a module or a service proves no fault of the code.
        if self.conftest.is_some() && text.starts_with("E ") && OUTSIDE.is_match(text) {
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
        // What a package does not export may be the package's wrong version.
        let foreign = text.contains("The requested module '") && !text.contains("The requested module '.");
        let fault = text.starts_with("SyntaxError: ") && is_ours(path) && !foreign;
        if fault {
            self.node = None;
        }
        fault.then(|| line.sighting("node"))
    }
}

/// Words of an installer whose dependency could not be built.
fn builds_a_dependency(text: &str) -> bool {
    let npm = text.starts_with("npm error") || text.starts_with("npm ERR!");
    text.contains("Failed building wheel")
        || text.contains("ERROR: Failed building")
        || text.starts_with("gyp ERR!")
        || npm && (text.contains("/node_modules/") || text.contains("gyp ERR!"))
}

/// Compilers that name file, line and column on one line.
fn compiler(line: &Line<'_>) -> Option<Sighting> {
    let text = line.text;
    if !text.contains("error") && !text.contains("undefined reference") && !text.starts_with("[ERROR] ") {
        return None;
    }
    if text.contains("undefined reference to ") {
        return ours(&LD.captures(text)?).map(|()| line.sighting("ld"));
    }
    if text.contains("error TS") {
        return ours(&TSC.captures(text)?).filter(|()| !TS_MISSING.is_match(text)).map(|()| line.sighting("tsc"));
    }
    if text.contains(": error CS") || text.contains(": error FS") || text.contains(": error BC") {
        let captures = CSHARP.captures(text)?;
        // CS0234 and CS0246: a namespace or type that no reference brings.
        let missing = captures.name("what").is_some_and(|what| what.as_str().starts_with("CS02"));
        return ours(&captures).filter(|()| !missing).map(|()| line.sighting("csc"));
    }
    if let Some(captures) = text.contains("error: ").then(|| CC.captures(text)).flatten() {
        // A header that is not found may be a dependency that is not installed.
        let missing = captures.name("what").is_some_and(|what| {
            what.as_str().ends_with("No such file or directory") || what.as_str().ends_with("file not found")
        });
        return ours(&captures).filter(|()| !missing).map(|()| line.sighting("cc"));
    }
    ours(&JAVAC.captures(text)?).map(|()| line.sighting("javac"))
}

/// Interpreters and make.
fn script(line: &Line<'_>) -> Option<Sighting> {
    let text = line.text;
    if text.contains("akefile:") || text.contains(".mk:") {
        return ours(&MAKE.captures(text)?).map(|()| line.sighting("make"));
    }
    if text.contains("yntax") {
        if let Some(captures) = RUBY.captures(text) {
            return ours(&captures).map(|()| line.sighting("ruby"));
        }
        if let Some(captures) = PHP.captures(text) {
            return ours(&captures).map(|()| line.sighting("php"));
        }
        if let Some(captures) = SHELL.captures(text) {
            // A shell that names itself speaks of its command line, which the stage's configuration wrote.
            let path = captures.name("path").map_or("", |path| path.as_str());
            let file = path.contains(['.', '/']) && !is_shell(path);
            return ours(&captures).filter(|()| file).map(|()| line.sighting("shell"));
        }
    }
    if text.contains(" at ") && text.contains(" line ") {
        return ours(&PERL.captures(text)?).map(|()| line.sighting("perl"));
    }
    None
}

fn is_shell(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "mksh" | "busybox")
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
        check("error: environment variable `X` not defined at compile time\n --> src/lib.rs:2:5\n", &[]);
        check("error: set `DATABASE_URL` to use query macros online\n --> src/lib.rs:2:5\n", &[]);
        check("error: error communicating with database: Connection refused\n --> src/lib.rs:2:5\n", &[]);
        for words in
            ["  ERROR: Failed building wheel for x", "gyp ERR! build error", "npm error path /w/node_modules/x"]
        {
            check(&format!("src/a.c:3:5: error: expected ';'\n{words}\n"), &[]);
        }
        check("src/a.c:3:5: error: expected ';'\nnpm error code 1\n", &["cc"]);
        check("src/a.c:3:5: fatal error: zlib.h: No such file or directory\n", &[]);
        check("/usr/include/x.h:3:5: error: expected ';'\n", &[]);
        check("src/x.ts(3,5): error TS2322: no\n", &["tsc"]);
        check("src/Foo.java:3: error: ';' expected\n", &["javac"]);
        check("# example.com/a\n./a.go:3:5: undefined: foo\n", &["go"]);
        check("Makefile:3: *** missing separator.  Stop.\n", &["make"]);
        check("error[E0308]: no\n --> src/lib.rs:2:5\n\nerror: could not compile `x` (lib)\n", &["cargo"]);
        check(
            "/usr/bin/ld: /tmp/x.o: in function `main':\nsuite.c:(.text+0xf): undefined reference to `add'\n",
            &["ld"],
        );
        check("          suite.c:(.text+0xf): undefined reference to `add'\n", &[]);
        check("src/x.ts(3,5): error TS2307: Cannot find module 'left-pad'\n", &[]);
        check("src/x.ts(3,5): error TS2307: Cannot find module './gone'\n", &["tsc"]);
        check("Calc.cs(3,5): error CS1002: ; expected [/w/calc.csproj]\n", &["csc"]);
        check("A.java:1: error: package org.junit does not exist\nA.java:3: error: cannot find symbol\n", &[]);
        check("A.java:1: error: package org.junit does not exist\nA.java:3: error: ';' expected\n", &["javac"]);
    }

    #[test]
    fn a_missing_package_is_the_codes_fault_only_below_its_own() {
        let check_go = |what: &str, tools: &[&str]| check(&format!("# example.com/a\na.go:3:8: {what}\n"), tools);
        check_go("no required module provides package example.com/a/gone; to add it:", &["go"]);
        check_go("package example.com/a/gone is not in std (/usr/lib/go/src/example.com/a/gone)", &["go"]);
        check_go("no required module provides package example.com/ab; to add it:", &[]);
        check_go("cannot find module providing package x.org/y: module lookup disabled by GOPROXY=off", &[]);
        check_go("x.org/y@v1.0.0: Get \"http://127.0.0.1:9/\": dial tcp 127.0.0.1:9: connect: connection refused", &[]);
        check("a.go:3:8: no required module provides package example.com/a/gone; to add it:\n", &[]);
        check("# a\n./a.go:3:8: undefined: min\nnote: module requires Go 1.21\n", &[]);
    }

    #[test]
    fn manifests() {
        check("error: failed to parse manifest at `/w/Cargo.toml`\n", &["cargo"]);
        check("error: failed to parse lock file at: /w/Cargo.lock\n", &["cargo"]);
        check("error: failed to parse manifest at `/root/.cargo/registry/src/x/Cargo.toml`\n", &[]);
        check(
            "error: failed to parse manifest at `/w/Cargo.toml`\n\nCaused by:\n  feature `edition2024` is required\n",
            &[],
        );
        check("ERROR: /w/pyproject.toml: Expected ']' at the end of a table declaration (at line 1)\n", &["pytest"]);
        check("ERROR: /w/pytest.ini: 'minversion' requires pytest-99, actual pytest-9.2.0'\n", &[]);
        check("npm error code EJSONPARSE\nnpm error JSON.parse Invalid package.json: JSONParseError\n", &["npm"]);
        check("npm ERR! code EJSONPARSE\nnpm ERR! path /w/package.json\n", &["npm"]);
        check("npm ERR! code EJSONPARSE\nnpm ERR! path /w/node_modules/x/package.json\n", &[]);
        check("npm ERR! code EJSONPARSE\nnpm ERR! Unexpected end of JSON input while parsing near ''\n", &[]);
        check("go: errors parsing go.mod:\n/w/go.mod:3: unknown directive: requre\n", &["go"]);
        check("go: errors parsing go.mod:\n/w/go.mod:3: invalid go version '1.23.0': must match format 1.23\n", &[]);
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
        check("/bin/sh: 1: Syntax error: \"(\" unexpected\n", &[]);
        check("/w/run.sh: 7: Syntax error: \"(\" unexpected\n", &["shell"]);
        check("  /w/calc_spec.rb:3: syntax error, unexpected `end', expecting '}'\n", &["ruby"]);
        check("PHP Parse error:  syntax error, unexpected token \";\" in /w/a.php on line 3\n", &["php"]);
        check(
            "ImportError while loading conftest '/w/conftest.py'.\nE   ConnectionRefusedError: [Errno 111] no\n",
            &[],
        );
    }
}
