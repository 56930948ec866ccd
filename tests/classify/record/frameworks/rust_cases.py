"""cargo test (libtest) and cargo nextest. Crates without dependencies, so that no registry is needed; nextest's own profile asks for JUnit where a case has a report."""

from recorder import FAIL, PASS, PERMANENT, SCRATCH, TRANSIENT, Kill, case, tiny_disk

R2 = "row 2: a closing summary counts a failure"
R6 = "row 6: ended from outside before a summary; no verdict"
R7 = "row 7: green, complete summary and exit 0"
R8 = "row 8: nothing ran, which is never green and not a failing test"
R3 = "row 3: the compiler's own error with a path in the tree; the change did it"
MISSING = "Decisions: a missing tool, dependency or toolchain is permanent-env"

TOML = '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n'
LIB = "pub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n"


def tests(*bodies, attr=""):
    text = "".join(f"    #[test]\n{attr}    fn t{n}() {{\n        {b}\n    }}\n\n" for n, b in enumerate(bodies, 1))
    return "#[cfg(test)]\nmod tests {\n" + text + "}\n"


def crate(*bodies, **more):
    return {"Cargo.toml": TOML, "src/lib.rs": LIB + "\n" + tests(*bodies, **more)}


OK, BAD = "assert_eq!(crate::add(1, 2), 3);", "assert_eq!(crate::add(1, 2), 4);"
SAYS = ('println!("Cannot connect to the Docker daemon at unix:///var/run/docker.sock"); eprintln!("ssh: connect to host h port 22: Connection timed out"); '
        'eprintln!("error: failed to get `serde` as a dependency of package `calc`"); eprintln!("No space left on device (os error 28)");')
SLEEP = "std::thread::sleep(std::time::Duration::from_secs(60));"
SEGV = "unsafe { std::ptr::null_mut::<u8>().write_volatile(1) }"
green, red = crate(OK, OK), crate(OK, BAD)
two = {"Cargo.toml": TOML, "src/lib.rs": LIB, "tests/one.rs": "#[test]\nfn one() {}\n", "tests/two.rs": "#[test]\nfn two() {\n    assert_eq!(1, 2);\n}\n"}
NEEDS_SERDE = {"Cargo.toml": TOML + '\n[dependencies]\nserde = "1"\n', "src/lib.rs": LIB}


def cargo(name, about, argv, exit, expect, because, files, **more):
    case("cargo-test", name, f"cargo test: {about}", "cargo", argv, exit, expect, because, files=files, **more)


T = ["cargo", "test"]
cargo("all-pass", "two tests and no doc-test pass", T, 0, PASS, R7 + "; the doc-tests' 0 is normal", green)
cargo("one-fails", "one of two tests fails", T, 101, FAIL, R2, red)
cargo("quiet-pass", "-q, two tests pass", [*T, "-q"], 0, PASS, R7, green)
cargo("quiet-fail", "-q, one fails", [*T, "-q"], 101, FAIL, R2, red)
cargo("colour-fail", "coloured, one fails", [*T, "--color=always", "--", "--color=always"], 101, FAIL, R2 + "; colour codes are stripped", red)
cargo("colour-pass", "coloured, all pass", [*T, "--color=always", "--", "--color=always"], 0, PASS, R7 + "; colour codes are stripped", green)
cargo("pass-with-infra-words", "passing tests print infrastructure errors (--nocapture)", [*T, "--", "--nocapture"], 0, PASS, R7 + "; words inside the suite do not count", crate(SAYS, OK))
cargo("fail-with-infra-words", "a failing test prints infrastructure errors", T, 101, FAIL, R2 + "; words inside the suite do not count", crate(SAYS + ' panic!("Connection refused (os error 111)");', OK))
cargo("several-binaries-one-red", "--no-fail-fast: three binaries, the last one red", [*T, "--no-fail-fast"], 101, FAIL, R2 + "; one line per binary, any red wins", two)
cargo("stops-after-red-binary", "the first binary is red, cargo stops there", T, 101, FAIL, R2, {**two, "src/lib.rs": LIB + tests(BAD)})
cargo("doc-test-fails", "unit tests pass, a doc-test fails", T, 101, FAIL, R2 + "; the doc-tests' own line is red", {**green, "src/lib.rs": "/// ```\n/// assert_eq!(calc::add(1, 2), 4);\n/// ```\n" + green["src/lib.rs"]})
cargo("should-panic-does-not", "should_panic does not panic", T, 101, FAIL, R2, crate(OK, attr="    #[should_panic]\n"))
cargo("compile-error", "error[E0308] in the library", T, 101, FAIL, R3, {**green, "src/lib.rs": LIB.replace("a + b", '"three"')})
cargo("compile-error-colour", "error[E0308], coloured", [*T, "--color=always"], 101, FAIL, R3 + "; colour codes are stripped", {**green, "src/lib.rs": LIB.replace("a + b", '"three"')})
cargo("compile-error-in-test", "a test uses a function that is gone: error[E0425]", T, 101, FAIL, R3, crate("assert_eq!(crate::minus(1, 2), 3);"))
cargo("parse-error", "the library cannot be parsed: `error:` without a number", T, 101, FAIL, R3, {**green, "src/lib.rs": "pub fn add(a: i32, b: i32 -> i32 {\n    a + b\n}\n"})
cargo("undeclared-crate", "uses a crate that Cargo.toml does not name: error[E0432]", T, 101, FAIL, R3 + ": the dependency was never declared, so this is no missing environment", {**green, "src/lib.rs": "use serde::Serialize;\n" + LIB})
cargo("denied-warning", "RUSTFLAGS=-Dwarnings and an unused variable", T, 101, FAIL, R3, {**green, "src/lib.rs": LIB.replace("    a + b", "    let c = 1;\n    a + b")}, env={"RUSTFLAGS": "-Dwarnings"})
cargo("manifest-broken", "Cargo.toml cannot be parsed", T, 101, FAIL, "row 3: cargo names its own file with line and column; the change did it", {**green, "Cargo.toml": TOML + "[dependencies\n"})
cargo("dependency-missing-offline", "a dependency is not there and cargo is offline", T, 101, PERMANENT, MISSING, NEEDS_SERDE, env={"CARGO_NET_OFFLINE": "true", "CARGO_HOME": str(SCRATCH / "cargo-empty")})
cargo("registry-unreachable", "the registry refuses the connection", T, 101, TRANSIENT, "row 9: `error: failed to get` with a refused connection; may pass by itself",
      {**NEEDS_SERDE, ".cargo/config.toml": '[source.crates-io]\nreplace-with = "near"\n[source.near]\nregistry = "sparse+http://127.0.0.1:9/index/"\n[net]\nretry = 1\n'}, env={"CARGO_HOME": str(SCRATCH / "cargo-empty")})
cargo("path-dependency-missing", "a path dependency's folder is not there", T, 101, PERMANENT, MISSING + "; the folder lies outside the tree, so the text cannot tell a forgotten check-out from a wrong manifest",
      {**green, "Cargo.toml": TOML + '\n[dependencies]\nshared = { path = "../shared-gone" }\n'})
cargo("toolchain-missing", "rustup does not have the named toolchain", ["cargo", "+1.2.3", "test"], 1, PERMANENT, MISSING, green)
cargo("linker-missing", "the linker is not installed: `could not compile`", T, 101, PERMANENT, MISSING + "; `could not compile` alone does not blame the code", green, env={"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER": "cc-of-the-sdk"})
cargo("target-missing", "the standard library for the target is not installed: error[E0463]", [*T, "--target", "thumbv7em-none-eabihf"], 101, PERMANENT, MISSING + "; E0463 `can't find crate for `core`/`std`` has no --> path", green)
cargo("runner-missing", "the target's runner is not installed: (never executed)", T, 101, PERMANENT, MISSING + "; `(never executed)` says that no test ran", green, env={"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER": "qemu-x86_64-sdk"})
cargo("cargo-missing", "the shell finds no cargo", "cargo test", 127, PERMANENT, "rows 9 and 10: the shell could not find the tool", green, env={"PATH": "/usr/bin:/bin"})
cargo("nextest-missing", "no such command: nextest", ["cargo", "nextest", "run"], 101, PERMANENT, MISSING, green, env={"PATH": str(SCRATCH / "bin") + ":/usr/bin:/bin"})
cargo("unknown-option", "an option cargo does not know", [*T, "--frobnicate"], 1, PERMANENT, "row 8 by intent: usage error, nothing ran, waiting does not help", green)
cargo("unknown-option-of-libtest", "an option the test binary does not know", [*T, "--", "--frobnicate"], 101, PERMANENT, "row 8 by intent: usage error of the test binary, nothing ran, waiting does not help", green)
cargo("disk-full", "the target folder's disk is full while compiling", T, 101, TRANSIENT, "row 3's exception: the tool itself says No space left on device, so `could not compile` does not blame the code",
      green, setup=lambda f: tiny_disk(f / "target", "256k", 40000))
cargo("disk-full-while-linking", "the disk fills up while linking: the linker dies of a Bus error, nothing says `No space`", T, 101, TRANSIENT,
      "row 11: `could not compile` and `linking with `cc` failed` without a --> path do not blame the code; no evidence, unclassified",
      green, setup=lambda f: tiny_disk(f / "target", "1m", 500000))
cargo("no-tests", "the crate has no test", T, 0, PERMANENT, R8 + "; P+F is 0 over all binaries", {"Cargo.toml": TOML, "src/lib.rs": LIB})
cargo("filter-matches-nothing", "the filter matches nothing", [*T, "nothing_like_it"], 0, PERMANENT, R8 + "; P+F is 0", green)
cargo("all-ignored", "every test is ignored", T, 0, PERMANENT, R8 + "; P+F is 0", crate(OK, OK, attr="    #[ignore]\n"))
cargo("no-run", "--no-run only builds", [*T, "--no-run"], 0, PERMANENT, "row 11: exit 0 without evidence; the tests were built, not run", green)
cargo("abort", "a test aborts: (signal: 6, SIGABRT)", T, 101, FAIL, "row 4: cargo says that the test binary died by SIGABRT", crate(OK, "std::process::abort();"))
cargo("segfault", "a test crashes: (signal: 11, SIGSEGV)", T, 101, FAIL, "row 4: cargo says that the test binary died by SIGSEGV", crate(OK, SEGV))
cargo("stack-overflow", "a test recurses for ever", T, 101, FAIL, "row 4: the run-time names the overflowing thread and cargo says SIGABRT", crate("fn f(n: u64) -> u64 { std::hint::black_box(f(n + 1)) + 1 } assert_eq!(f(0), 1);"))
cargo("binary-sigkilled", "the test binary is killed from outside: (signal: 9, SIGKILL)", T, 101, TRANSIENT, "row 4 never counts KILL; row 6: no closing line of that binary, so no verdict", crate(SLEEP), kill=Kill("SIGKILL", "running 1 test", who="target/debug/deps/calc-"))
cargo("binary-sigkilled-after-green", "the first binary is green, the second is killed: (signal: 9, SIGKILL)", [*T, "--test", "one", "--test", "two"], 101, TRANSIENT, "row 6: the second binary never printed its line; the first one's green does not stand for it",
      {**two, "tests/two.rs": "#[test]\nfn two() {\n    " + SLEEP + "\n}\n"}, kill=Kill("SIGKILL", "Running tests/two.rs", 1, who="target/debug/deps/two-"))
cargo("sigkill", "cargo itself is killed mid-run", T, "SIGKILL", TRANSIENT, R6, crate(SLEEP, OK), kill=Kill("SIGKILL", "running 2 tests"))
cargo("sigkill-while-building", "cargo is killed while compiling", T, "SIGKILL", TRANSIENT, R6, {**green, "build.rs": "fn main() {\n    " + SLEEP + "\n}\n"}, kill=Kill("SIGKILL", "Compiling calc", 1))
cargo("timeout-124", "timeout(1) ends the suite", ["timeout", "4", *T], 124, TRANSIENT, R6, crate(SLEEP, OK))
cargo("own-limit", "orch's own limit ends the suite", T, "timed-out", TRANSIENT, R6 + " (reason timeout)", crate(SLEEP, OK), kill=Kill("timed-out", "running 2 tests"))
cargo("process-exit-0", "a test calls process::exit(0): `running 2 tests`, no result, exit 0", T, 0, PERMANENT,
      "rows 7 and 11: exit 0, but a binary that began has no closing line; the doc-tests' `0 passed` is not the suite's evidence", crate("std::process::exit(0);", OK))
cargo("process-exit-0-beside-green", "one binary is green, another one's test calls process::exit(0)", T, 0, PERMANENT,
      "rows 7 and 11: exit 0, but the run is not complete: `running 1 test` of the second binary has no closing line", {**two, "tests/two.rs": "#[test]\nfn two() {\n    std::process::exit(0);\n}\n"})
cargo("red-or-true", "red suite, `|| true`", "cargo test || true", 0, FAIL, R2 + "; exit 0 never beats red", red)
cargo("red-tee", "red suite behind a pipe", "cargo test 2>&1 | tee log.txt", 0, FAIL, R2 + "; exit 0 never beats red", red)
cargo("compile-error-or-true", "compile error, `|| true`", "cargo test || true", 0, FAIL, "row 3 stands before row 11: the compiler's own error; exit 0 does not beat it", {**green, "src/lib.rs": LIB.replace("a + b", '"three"')})
cargo("green-then-7", "green suite, then a refused upload", "cargo test && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not cargo's own code; curl was refused", green)
cargo("green-then-pytest-missing", "green suite, then `python -m pytest` without pytest", "cargo test && /usr/bin/python3 -m pytest", 1, PERMANENT, MISSING + "; the green part before it does not stand for the suite that never started, and 1 is not cargo's failing code", green)
cargo("green-then-compile-error", "the first crate is green, the second does not compile", "cargo test && cargo test --manifest-path b/Cargo.toml", 101, FAIL, R3 + "; the green part before it does not stand for it",
      {**green, "b/Cargo.toml": TOML + "\n[workspace]\n", "b/src/lib.rs": LIB.replace("a + b", '"three"')})
cargo("green-then-red-pytest", "cargo is green, pytest is red and its code is lost", "cargo test; pytest -q; true", 0, FAIL, "row 2: two suites, any red wins", {**green, "test_x.py": "def test_x():\n    assert False\n"})
cargo("red-then-green-pytest", "cargo is red, pytest is green and gives the code", "cargo test; pytest -q", 0, FAIL, "row 2: two suites, any red wins", {**red, "test_x.py": "def test_x():\n    pass\n"})
cargo("two-green-suites", "cargo and pytest, both green", "cargo test && pytest -q", 0, PASS, R7 + "; both suites are green", {**green, "test_x.py": "def test_x():\n    pass\n"})

# -- nextest --------------------------------------------------------------------------------------------------------------------------------------


def nextest(name, about, argv, exit, expect, because, files, **more):
    case("nextest", name, f"cargo nextest: {about}", "cargo-nextest", argv, exit, expect, because, files=files, **more)


N = ["cargo", "nextest", "run"]
FLAKY = 'let p = std::path::Path::new("seen"); let first = !p.exists(); std::fs::write(p, "").unwrap(); assert!(!first);'
CONFIG = ".config/nextest.toml"
ONE = {CONFIG: "[profile.default]\ntest-threads = 1\n"}
REPORT = {CONFIG: '[profile.default.junit]\npath = "report.xml"\n'}
KEEP = "cargo nextest run; code=$?; mv target/nextest/default/report.xml .; exit $code"
nextest("all-pass", "two tests pass", N, 0, PASS, R7, green)
nextest("one-fails", "one of two tests fails", N, 100, FAIL, R2, red)
nextest("colour-fail", "coloured, one fails", [*N, "--color=always"], 100, FAIL, R2 + "; colour codes are stripped", red)
nextest("colour-pass", "coloured, all pass", [*N, "--color=always"], 0, PASS, R7 + "; colour codes are stripped", green)
nextest("fail-with-infra-words", "a failing test prints infrastructure errors", N, 100, FAIL, R2 + "; words inside the suite do not count", crate(SAYS + ' panic!("Connection refused");', OK))
nextest("pass-with-infra-words", "passing tests print infrastructure errors", [*N, "--no-capture"], 0, PASS, R7 + "; words inside the suite do not count", crate(SAYS, OK))
nextest("fail-fast", "stops at the first failure: N/M tests run, 1 failed", N, 100, FAIL, R2 + "; nextest itself cancelled the rest because of the failure", {**crate(BAD, OK, OK), **ONE})
nextest("segfault", "a test crashes: SIGSEGV", N, 100, FAIL, "rows 2 and 4: nextest names the test that died by SIGSEGV and counts it as failed", crate(OK, SEGV))
nextest("abort", "a test aborts: SIGABRT", N, 100, FAIL, "rows 2 and 4: nextest names the test that died by SIGABRT and counts it as failed", crate(OK, "std::process::abort();"))
nextest("test-sigkilled", "one test's process is killed from outside, the run completes", [*N, "--no-fail-fast"], 100, FAIL,
        "row 2 by the letter: a complete closing summary counts a failed test, and red evidence is never turned into a hold; row 4's exception for KILL only speaks of crashes without a summary", crate(OK, SLEEP), kill=Kill("SIGKILL", "PASS", 1, who="tests::t2"))
nextest("flaky-pass", "a flaky test passes on its second try", [*N, "--retries", "2"], 0, PASS, R7 + "; flaky is passed", crate(FLAKY, OK))
nextest("retries-exhausted", "a test fails on every try", [*N, "--retries", "1"], 100, FAIL, R2, red)
nextest("test-timeout", "nextest's own slow-timeout ends a hanging test", N, 100, FAIL, R2 + "; the framework itself ended the test that hangs", {**crate(OK, SLEEP), CONFIG: '[profile.default]\nslow-timeout = { period = "1s", terminate-after = 1 }\n'})
nextest("leaky-pass", "a test leaves a child behind that holds its output", N, 0, PASS, R7 + "; leaky is passed", crate('std::process::Command::new("sleep").arg("5").spawn().unwrap();', OK))
nextest("no-tests", "the crate has no test: exit 4", N, 4, PERMANENT, R8, {"Cargo.toml": TOML, "src/lib.rs": LIB})
nextest("no-tests-pass", "--no-tests=pass: 0 tests run, exit 0", [*N, "--no-tests=pass"], 0, PERMANENT, R8, {"Cargo.toml": TOML, "src/lib.rs": LIB})
nextest("no-tests-warn", "--no-tests=warn: 0 tests run, exit 0", [*N, "--no-tests=warn", "nothing_like_it"], 0, PERMANENT, R8, green)
nextest("all-ignored", "every test is ignored", N, 4, PERMANENT, R8, crate(OK, attr="    #[ignore]\n"))
nextest("compile-error", "error[E0308]", N, 101, FAIL, R3, {**green, "src/lib.rs": LIB.replace("a + b", '"three"')})
nextest("list-failed", "the target's runner is not installed: the list cannot be made, 104", N, 104, PERMANENT, MISSING + "; section 3: 104 is no verdict", green, env={"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER": "qemu-x86_64-sdk"})
GOES = '#!/bin/sh\n# Lists the tests (nextest asks twice), then is gone: the environment breaks between list and run.\ncase "$*" in *--list*) echo >>listed; [ "$(wc -l <listed)" -lt 2 ] || rm -f "$0" ;; esac\nexec "$@"\n'
RUNNER = {"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER": "./runner.sh"}
nextest("exec-failed", "the runner vanishes between list and run: XFAIL, exec failed", [*N, "--no-fail-fast"], 100, PERMANENT, "Decisions: no test executed is never the developer's failure; every one is counted as exec failed, none as failed",
        {**green, "runner.sh": GOES}, env={**RUNNER, "NEXTEST_DOUBLE_SPAWN": "0"})
nextest("exec-failed-double-spawn", "the runner vanishes between list and run; with double-spawn nextest counts plain failures (exit code 70)", [*N, "--no-fail-fast"], 100, FAIL,
        "row 2 by the letter: a complete summary counts failed tests; `[double-spawn] failed to exec` stands in the tests' own output, where anyone can print it, so it must not turn red into a hold", {**green, "runner.sh": GOES}, env=RUNNER)
nextest("set-up-script-fails", "nextest's set-up script fails: 105", N, 105, TRANSIENT, "section 3: 105 is no verdict; row 11: no summary of tests, unclassified",
        {**green, CONFIG: "experimental = ['setup-scripts']\n[scripts.setup.db]\ncommand = 'false'\n[[profile.default.scripts]]\nfilter = 'all()'\nsetup = 'db'\n"})
nextest("filter-broken", "a filter expression that does not parse: 94", [*N, "-E", "test(("], 94, PERMANENT, "row 8 by intent: usage error, nothing ran, waiting does not help", green)
nextest("unknown-option", "an option nextest does not know", [*N, "--frobnicate"], 2, PERMANENT, "row 8 by intent: usage error, nothing ran, waiting does not help", green)
nextest("sigkill", "killed mid-run", N, "SIGKILL", TRANSIENT, R6, crate(OK, SLEEP), kill=Kill("SIGKILL", "PASS"))
nextest("sigterm", "SIGTERM: nextest ends its tests and prints a summary that counts the ended one", ["cargo-nextest", "nextest", "run"], 100, TRANSIENT,
        "row 6: nextest says that it was cancelled by a signal before any test failed; the one it counts as failed is the one it ended itself (SIGTERM), and row 4 never counts TERM", crate(OK, SLEEP), kill=Kill("SIGTERM", "PASS", 1))
nextest("sigint", "SIGINT mid-run", ["cargo-nextest", "nextest", "run"], 100, TRANSIENT, "row 6: cancelled by a signal before any test failed; the one it counts is the one it ended itself (SIGINT)", crate(OK, SLEEP), kill=Kill("SIGINT", "PASS", 1))
nextest("timeout-124", "timeout(1) ends the suite", ["timeout", "4", *N], 124, TRANSIENT, "row 6: timeout(1) ended it; what nextest counts as failed is the test it ended itself", crate(OK, SLEEP))
nextest("process-exit-0", "a test calls process::exit(0)", N, 0, PASS, "row 7: nextest runs every test in its own process and takes exit 0 as passed; the summary is green and complete", crate("std::process::exit(0);", OK))
nextest("red-or-true", "red suite, `|| true`", "cargo nextest run || true", 0, FAIL, R2 + "; exit 0 never beats red", red)
nextest("green-then-7", "green suite, then a refused upload", "cargo nextest run && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not nextest's own code; curl was refused", green)
nextest("green-then-red-doc-tests", "nextest is green, the doc-tests after it are red", "cargo nextest run && cargo test --doc", 101, FAIL, "row 2: two suites, any red wins", {**green, "src/lib.rs": "/// ```\n/// assert_eq!(calc::add(1, 2), 4);\n/// ```\n" + green["src/lib.rs"]})


def report(name, about, argv, exit, expect, because, files, **more):
    case("junit", name, f"JUnit report by nextest: {about}", "cargo-nextest", argv, exit, expect, because, files={**files, **REPORT}, options={"report": "report.xml"}, **more)


report("nextest-green", "two tests pass", KEEP, 0, PASS, "row 7: green report and exit 0", green)
report("nextest-red", "one fails", KEEP, 100, FAIL, "row 2: a report with failures", red)
report("nextest-red-exit-0", "one fails, the code and the output are thrown away", "cargo nextest run 2>/dev/null; mv target/nextest/default/report.xml .", 0, FAIL, "row 2: a report with failures; exit 0 never beats red", red)
report("nextest-flaky", "a flaky test passes on its second try", KEEP.replace("run;", "run --retries 2;"), 0, PASS, "row 7: green report (flakyFailure elements are not failures) and exit 0", crate(FLAKY, OK))
