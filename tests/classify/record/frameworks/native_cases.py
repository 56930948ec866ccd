"""googletest, make and ctest around native binaries, rspec, phpunit, and home-made suites with a declared closing line."""

import shutil
import subprocess

from recorder import FAIL, PASS, PERMANENT, SCRATCH, TRANSIENT, Kill, case

R2 = "row 2: the closing summary counts a failure"
R6 = "row 6: ended from outside before a summary; no verdict"
R7 = "row 7: green, complete summary and exit 0"
R8 = "row 8: nothing ran, which is never green and not a failing test"

# -- googletest: one binary, the cases choose tests by filter ----------------------------------------------------------------------------------------
GTEST = r"""
#include <gtest/gtest.h>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

TEST(Calc, Adds) { EXPECT_EQ(1 + 2, 3); }
TEST(Calc, Halves) { EXPECT_EQ(4 / 2, 2); }
TEST(Red, Sum) { EXPECT_EQ(1 + 2, 4); }
TEST(Skips, One) { GTEST_SKIP() << "needs hardware"; }
TEST(Skips, Two) { GTEST_SKIP() << "needs hardware"; }
TEST(Says, Pass) {
    puts("Cannot connect to the Docker daemon at unix:///var/run/docker.sock");
    fputs("ssh: connect to host h port 22: Connection timed out\nwrite: No space left on device\n", stderr);
}
TEST(Says, Fail) { puts("connect: Connection refused"); FAIL() << "Connection refused"; }
TEST(Slow, Sleeps) { fflush(stdout); sleep(60); }
TEST(Crash, Segv) { fflush(stdout); *(volatile int *)0 = 1; }
TEST(Crash, Abort) { fflush(stdout); abort(); }
TEST(Crash, Throws) { throw 42; }
TEST(Quits, Zero) { fflush(stdout); exit(0); }
TEST(Off, DISABLED_One) { FAIL(); }
class Server : public testing::Test { protected: static void SetUpTestSuite() { FAIL() << "no server"; } };
TEST_F(Server, Answers) {}
"""


def build(folder):
    made = SCRATCH / "gtest-suite"
    source = SCRATCH / "gtest-suite.cpp"
    if not made.exists() or source.read_text() != GTEST:
        source.write_text(GTEST)
        subprocess.run(["g++", "-O0", "-o", made, source, "-lgtest", "-lgtest_main", "-lpthread"], check=True)
    shutil.copy(made, folder / "suite")


def gtest(name, about, filter, exit, expect, because, *flags, wrap="", **more):
    argv = ["./suite", f"--gtest_filter={filter}", *flags]
    if wrap:
        argv = wrap.replace("SUITE", " ".join(f"'{a}'" if "*" in a else a for a in argv))
    case("gtest", name, f"googletest: {about}", "googletest", argv, exit, expect, because, setup=build, **more)


gtest("all-pass", "two tests pass", "Calc.*", 0, PASS, R7)
gtest("one-fails", "one of three fails", "Calc.*:Red.*", 1, FAIL, R2)
gtest("colour-fail", "coloured, one of three fails", "Calc.*:Red.*", 1, FAIL, R2 + "; colour codes are stripped", "--gtest_color=yes")
gtest("brief-pass", "--gtest_brief=1, two tests pass", "Calc.*", 0, PASS, R7, "--gtest_brief=1")
gtest("throws", "a test throws, googletest catches it", "Calc.*:Crash.Throws", 1, FAIL, R2)
gtest("set-up-suite-fails", "SetUpTestSuite fails", "Server.*", 1, FAIL, "row 2: googletest counts the suite's set-up as failed although its test is ok (open policy point)")
gtest("filter-matches-nothing", "0 tests ran, exit 0", "Nothing.*", 0, PERMANENT, R8)
gtest("all-disabled", "the only test is disabled, exit 0", "Off.*", 0, PERMANENT, R8)
gtest("all-skipped", "every test is skipped, exit 0", "Skips.*", 0, PERMANENT, R8)
gtest("repeat-one-red", "--gtest_repeat=2, red in both rounds, exit 1", "Calc.*:Red.*", 1, FAIL, "row 2: several concatenated runs, any red wins", "--gtest_repeat=2")
gtest("segfault", "a test crashes the process: [ RUN ] and no end", "Calc.*:Crash.Segv", "SIGSEGV", FAIL, "row 4: SIGSEGV of the suite's own process, seen by its parent, with a test open in the framework's output; nobody sends that signal from outside")
gtest("abort", "a test aborts the process", "Calc.*:Crash.Abort", "SIGABRT", FAIL, "row 4: SIGABRT of the suite's own process, seen by its parent, with a test open in the framework's output")
gtest("exit-0", "a test calls exit(0): no summary, exit 0", "Calc.*:Quits.*", 0, PERMANENT, "row 11: exit 0 without a closing summary")
gtest("sigkill", "killed mid-run", "Calc.*:Slow.*", "SIGKILL", TRANSIENT, R6, kill=Kill("SIGKILL", "Slow.Sleeps"))
gtest("timeout-124", "timeout(1) ends the suite", "Calc.*:Slow.*", 124, TRANSIENT, R6, wrap="timeout 2 SUITE")
gtest("pass-with-infra-words", "a passing test prints infrastructure errors", "Calc.*:Says.Pass", 0, PASS, R7 + "; words inside the suite do not count")
gtest("fail-with-infra-words", "a failing test prints infrastructure errors", "Calc.*:Says.*", 1, FAIL, R2 + "; words inside the suite do not count")
gtest("red-or-true", "red suite, `|| true`", "Calc.*:Red.*", 0, FAIL, R2 + "; exit 0 never beats red", wrap="SUITE || true")
gtest("shared-library-missing", "the loader misses a shared library: 127", "Calc.*", 127, PERMANENT, "Decisions: a missing dependency; section 3: the loader's 127", wrap="gcc -shared -o libhw.so -x c /dev/null && gcc -x c -o app - -L. -Wl,--no-as-needed -lhw <main.c; rm libhw.so; ./app",
      files={"main.c": "int main(void) { return 0; }\n"})
gtest("binary-missing", "the suite was never built: 127", "Calc.*", 127, PERMANENT, "rows 9 and 10: the shell did not find the suite's binary", wrap="rm suite; SUITE")
gtest("binary-not-executable", "the suite's binary may not be executed: 126", "Calc.*", 126, PERMANENT, "rows 9 and 10: the shell may not execute the suite's binary", wrap="chmod -x suite; SUITE")
for name, about, filter, exit, expect, because in [
    ("gtest-green", "two tests pass", "Calc.*", 0, PASS, "row 7: green report and exit 0"),
    ("gtest-red", "one of three fails", "Calc.*:Red.*", 1, FAIL, "row 2: a report with failures"),
    ("gtest-all-skipped", "every test is skipped", "Skips.*", 0, PERMANENT, R8),
    ("gtest-zero-tests", "the filter matches nothing", "Nothing.*", 0, PERMANENT, R8),
]:
    case("junit", name, f"JUnit report by googletest: {about}", "googletest", ["./suite", f"--gtest_filter={filter}", "--gtest_output=xml:report.xml"], exit, expect, because, setup=build, options={"report": "report.xml"})

# -- make and ctest around a native binary -----------------------------------------------------------------------------------------------------------
MAKE = "test: suite\n\t./suite\n\nsuite: suite.c\n\t$(CC) -o $@ $<\n"


def make(name, about, source, exit, expect, because, **more):
    case("other", name, f"make test: {about}", "make", ["make", "test"], exit, expect, because, files={"Makefile": MAKE, "suite.c": source}, **more)


CHECKS = {"evidence": "closing-line", "closing-line": r"^(?P<total>\d+) checks, (?P<failed>\d+) failed$"}
make("make-pass", "home-made C suite, green", '#include <stdio.h>\nint main(void) { puts("12 checks, 0 failed"); return 0; }\n', 0, PASS, R7 + ", read by the declared closing line", options=CHECKS)
make("make-fail", "home-made C suite, red: make turns 1 into 2", '#include <stdio.h>\nint main(void) { puts("12 checks, 3 failed"); return 1; }\n', 2, FAIL, R2 + ", read by the declared closing line", options=CHECKS)
make("make-segfault", "the suite crashes: make *** Segmentation fault", "int main(void) { *(volatile int *)0 = 1; return 0; }\n", 2, FAIL, "row 4: make names the crash of the suite", options=CHECKS)
make("make-aborted", "the suite aborts: make *** Aborted", "#include <stdlib.h>\nint main(void) { abort(); }\n", 2, FAIL, "row 4: make names the crash of the suite", options=CHECKS)
make("make-killed", "the suite is killed from outside: make *** Killed", '#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts("begin"); fflush(stdout); sleep(60); return 0; }\n', 2, TRANSIENT, "row 4 never counts KILL; row 6: no closing line, no verdict", options=CHECKS, kill=Kill("SIGKILL", "begin", who="./suite"))
make("make-compile-error", "the suite does not compile: file:line:col: error", "int main(void) { return undefined_name; }\n", 2, FAIL, "row 3: the compiler's file:line:col: error in the tree", options=CHECKS)
make("make-link-error", "undefined reference", "int add(int, int);\nint main(void) { return add(1, 2); }\n", 2, FAIL, "row 3 by intent: the linker names a function of the project that nobody defines; the change did it", options=CHECKS)
make("make-compiler-missing", "the compiler is not installed", "int main(void) { return 0; }\n", 2, PERMANENT, "Decisions: a missing toolchain; make: cc-of-the-sdk: No such file or directory", options=CHECKS, env={"MAKEFLAGS": "CC=cc-of-the-sdk"})
make("make-header-missing", "a system header is not installed: fatal error", "#include <libpq-fe.h>\nint main(void) { return 0; }\n", 2, PERMANENT, "Decisions: a missing dependency is permanent-env; a system header in angle brackets was not found, nothing ran", options=CHECKS)
case("other", "make-no-rule", "make test: there is no such rule", "make", ["make", "test"], 2, PERMANENT, "row 8 by intent: No rule to make target, nothing ran; waiting does not help", files={"Makefile": "all:\n\ttrue\n"})

CMAKE = "cmake_minimum_required(VERSION 3.20)\nproject(calc NONE)\nenable_testing()\nadd_test(NAME adds COMMAND true)\nadd_test(NAME halves COMMAND true)\n"
CTEST = {"evidence": "closing-line", "closing-line": r"tests passed, (?P<failed>\d+) tests? failed out of (?P<total>\d+)$"}


def ctest(name, about, lines, exit, expect, because, **more):
    case("other", name, f"ctest: {about}", "ctest", "cmake -S . -B build >cmake.log && ctest --test-dir build", exit, expect, because, files={"CMakeLists.txt": CMAKE + lines}, options=CTEST, **more)


ctest("ctest-pass", "two tests pass", "", 0, PASS, R7 + ", read by the declared closing line")
ctest("ctest-fail", "one of three fails", "add_test(NAME red COMMAND false)\n", 8, FAIL, R2 + ", read by the declared closing line; ctest's code is 8")
ctest("ctest-segfault", "one of three crashes", "add_test(NAME crash COMMAND sh -c \"kill -SEGV $$\")\n", 8, FAIL, R2 + ", read by the declared closing line")
ctest("ctest-no-tests", "No tests were found, exit 0", "file(WRITE ${CMAKE_BINARY_DIR}/CTestCustom.cmake \"set(CTEST_CUSTOM_TESTS_IGNORE adds halves)\")\n", 0, PERMANENT, R8 + "; ctest prints no closing line then")
ctest("ctest-not-found", "a test's program was never built: Not Run", "add_test(NAME gone COMMAND no-such-program)\n", 8, FAIL, R2 + ": ctest counts `Not Run` as failed; two others were executed")

# -- rspec and phpunit -------------------------------------------------------------------------------------------------------------------------------
RSPEC = {"evidence": "closing-line", "closing-line": r"^(?P<total>\d+) examples?, (?P<failed>\d+) failures?(?:, (?P<skipped>\d+) pending)?"}


def rspec(name, about, body, exit, expect, because):
    case("other", name, f"rspec: {about}", "rspec", ["rspec", "calc_spec.rb"], exit, expect, because, files={"calc_spec.rb": body}, options=RSPEC)


rspec("rspec-pass", "two examples pass", "RSpec.describe 'calc' do\n  it('adds') { expect(1 + 2).to eq 3 }\n  it('halves') { expect(4 / 2).to eq 2 }\nend\n", 0, PASS, R7 + ", read by the declared closing line")
rspec("rspec-fail", "one of two fails", "RSpec.describe 'calc' do\n  it('adds') { expect(1 + 2).to eq 4 }\n  it('halves') { expect(4 / 2).to eq 2 }\nend\n", 1, FAIL, R2 + ", read by the declared closing line")
rspec("rspec-no-examples", "0 examples, 0 failures, exit 0", "RSpec.describe 'calc' do\nend\n", 0, PERMANENT, R8)
rspec("rspec-load-error", "0 examples, 1 error occurred outside of examples", "RSpec.describe 'calc' do\n  it('adds') { expect(1).to eq 1\nend\n", 1, FAIL, "row 3: a syntax error at a project file and line")


def phpunit(name, about, methods, exit, expect, because):
    text = "<?php\nuse PHPUnit\\Framework\\TestCase;\nfinal class CalcTest extends TestCase {\n" + "".join(f"    public function test{n}(): void {{ {b} }}\n" for n, b in enumerate(methods, 1)) + "}\n"
    case("junit", name, f"JUnit report by phpunit: {about}", "phpunit", ["phpunit", "--log-junit", "report.xml", "CalcTest.php"], exit, expect, because, files={"CalcTest.php": text}, options={"report": "report.xml"})


phpunit("phpunit-green", "two tests pass", ["$this->assertSame(3, 1 + 2);"] * 2, 0, PASS, "row 7: green report and exit 0")
phpunit("phpunit-red", "one fails, one errors", ["$this->assertSame(4, 1 + 2);", "throw new RuntimeException('Connection refused');"], 2, FAIL, "row 2: a report with failures and errors")

# -- home-made suites with a declared closing line ---------------------------------------------------------------------------------------------------
FULL = {"evidence": "closing-line", "closing-line": r"^== (?P<total>\d+) total, (?P<passed>\d+) passed, (?P<failed>\d+) failed, (?P<skipped>\d+) skipped ==$"}


def own(name, about, body, exit, expect, because, options=CHECKS, **more):
    case("home-made", name, f"home-made suite: {about}", "sh", ["sh", "suite.sh"], exit, expect, because, files={"suite.sh": body}, options=options, **more)


STEPS = "for n in 1 2 3; do echo \"check $n: ok\"; done\n"
own("green", "42 checks, none failed", STEPS + "echo '42 checks, 0 failed'\n", 0, PASS, R7 + ", read by the declared closing line")
own("red", "42 checks, 2 failed, exit 1", STEPS + "echo '42 checks, 2 failed'\nexit 1\n", 1, FAIL, R2)
own("red-exit-0", "2 failed, exit 0", STEPS + "echo '42 checks, 2 failed'\n", 0, FAIL, R2 + "; exit 0 never beats red")
own("red-exit-75", "2 failed, exit 75", STEPS + "echo '42 checks, 2 failed'\nexit 75\n", 75, FAIL, R2 + "; whatever the exit code")
own("red-exit-127", "2 failed, the exit code is the number of some failures: 127", STEPS + "echo '300 checks, 127 failed'\nexit 127\n", 127, FAIL, R2 + "; whatever the exit code")
own("all-groups-green", "total, passed, failed, skipped", STEPS + "echo '== 9 total, 7 passed, 0 failed, 2 skipped =='\n", 0, PASS, R7, options=FULL)
own("all-groups-red", "total, passed, failed, skipped", STEPS + "echo '== 9 total, 6 passed, 1 failed, 2 skipped =='\nexit 1\n", 1, FAIL, R2, options=FULL)
own("all-groups-all-skipped", "everything skipped, exit 0", "echo '== 9 total, 0 passed, 0 failed, 9 skipped =='\n", 0, PERMANENT, R8, options=FULL)
own("zero-checks", "0 checks, exit 0", "echo '0 checks, 0 failed'\n", 0, PERMANENT, R8)
own("zero-checks-allowed", "0 checks, min-tests 0", "echo '0 checks, 0 failed'\n", 0, PASS, "row 7 with the stage's own switch: min-tests 0 lets an empty suite pass", options={**CHECKS, "min-tests": 0})
own("too-few-checks", "3 checks where 40 are declared", "echo '3 checks, 0 failed'\n", 0, PERMANENT, "row 7 asks for the declared minimum; fewer is neither green nor the code's failure", options={**CHECKS, "min-tests": 40})
own("line-missing-exit-0", "no closing line, exit 0", STEPS, 0, PERMANENT, "row 11: exit 0 without evidence")
own("line-missing-exit-1", "no closing line, exit 1", STEPS + "exit 1\n", 1, TRANSIENT, "row 11: no evidence and a non-zero code; unclassified")
own("line-missing-exit-255", "no closing line, exit 255, silent stderr", STEPS + "exit 255\n", 255, TRANSIENT, "row 5: 255 with no complete evidence and an empty stderr")
own("line-missing-exit-75", "no closing line, exit 75: the suite asks to come back later", STEPS + "echo 'device busy' >&2\nexit 75\n", 75, TRANSIENT, "row 10: EX_TEMPFAIL")
own("line-cut", "killed in the middle of the closing line", STEPS + "printf '42 checks, 0'\nsleep 60\necho ' failed'\n", "SIGKILL", TRANSIENT, R6 + "; half a line is no evidence", kill=Kill("SIGKILL", "42 checks, 0"))
own("line-without-newline", "the closing line has no line end, exit 0", STEPS + "printf '42 checks, 0 failed'\n", 0, PASS, R7 + "; the line is whole, only its end of line is missing")
own("green-exit-3", "green closing line, exit 3", STEPS + "echo '42 checks, 0 failed'\nexit 3\n", 3, TRANSIENT, "row 11: a code beside green evidence that is no framework's own; unclassified")
own("green-exit-255", "green closing line, exit 255", STEPS + "echo '42 checks, 0 failed'\nexit 255\n", 255, TRANSIENT, "rows 10 and 11: 255 beside green evidence, a control run decides")
own("green-then-killed", "green closing line, then killed", STEPS + "echo '42 checks, 0 failed'\nsleep 60\n", "SIGKILL", TRANSIENT, "row 7 needs exit 0 delivered; it was not", kill=Kill("SIGKILL", "0 failed"))
own("red-then-own-limit", "red closing line, then orch's own limit", STEPS + "echo '42 checks, 1 failed'\nsleep 60\n", "timed-out", FAIL, R2 + "; it was complete before the limit", kill=Kill("timed-out", "1 failed"))
own("own-limit", "orch's own limit before the closing line", STEPS + "sleep 60\n", "timed-out", TRANSIENT, R6 + " (reason timeout)", kill=Kill("timed-out", "check 3"))
own("progress-cr-green", "progress by CR, then a green closing line", "for n in 1 2 3 4 5; do printf 'running %s/5\\r' $n; done\nprintf '                \\r42 checks, 0 failed\\r\\n'\n", 0, PASS, R7 + "; CR is stripped before reading", options={**CHECKS, "closing-line": r"(?P<total>\d+) checks, (?P<failed>\d+) failed"})
own("colour-red", "coloured closing line, red", STEPS + "printf '\\033[31;1m42 checks, 2 failed\\033[0m\\n'\nexit 1\n", 1, FAIL, R2 + "; colour codes are stripped before reading")
own("stderr-green", "the closing line goes to stderr", STEPS + "echo '42 checks, 0 failed' >&2\n", 0, PASS, R7 + "; the pattern is looked for in both streams")
own("two-parts-first-red", "two parts, the first red, the second green, exit 0", "echo '10 checks, 1 failed'\necho '20 checks, 0 failed'\n", 0, FAIL, "row 2: several closing lines, any red wins")
own("pass-with-infra-words", "prints infrastructure errors, green", "echo 'Cannot connect to the Docker daemon'\necho 'ssh: connect to host h port 22: Connection refused' >&2\necho '42 checks, 0 failed'\n", 0, PASS, R7 + "; words inside the suite do not count")
own("fail-with-infra-words", "prints infrastructure errors, red", "echo 'fatal: unable to access: Could not resolve host'\necho 'No space left on device' >&2\necho '42 checks, 1 failed'\nexit 1\n", 1, FAIL, R2 + "; words inside the suite do not count")
