"""TAP: raw producers, perl's prove, and bats (which prints TAP, or a pretty form on request)."""

from recorder import FAIL, PASS, PERMANENT, TRANSIENT, Kill, case

R2 = "row 2: the closing result is red"
R6 = "row 6: ended from outside before the plan was fulfilled; no verdict"
R7 = "row 7: plan fulfilled, no failure and exit 0"
R8 = "row 8: nothing ran, which is never green and not a failing test"
SHORT = "section 4: fewer results than the plan is a truncated run, no verdict"
MISSING = "Decisions: a missing tool or dependency is permanent-env"


def prove(name, about, argv, exit, expect, because, *tests, **more):
    case("tap", name, f"prove: {about}", "prove", argv, exit, expect, because, files={f"t/{n:02}.t": "use Test::More;\n" + t for n, t in enumerate(tests, 1)}, **more)


def raw(name, about, body, exit, expect, because, **more):
    case("tap", name, f"raw TAP: {about}", "sh", ["sh", "suite.sh"], exit, expect, because, files={"suite.sh": body}, **more)


P = ["prove", "t"]
OK, BAD = "plan tests => 2; ok(1, 'adds'); ok(1, 'halves');\n", "plan tests => 2; ok(1, 'adds'); is(3, 4, 'halves');\n"
SAYS = "diag('Cannot connect to the Docker daemon'); diag('ssh: connect to host h port 22: Connection timed out'); print STDERR \"No space left on device\\n\"; "
prove("prove-pass", "two files pass", P, 0, PASS, R7, OK, OK)
prove("prove-verbose-pass", "-v, passes", [*P, "-v"], 0, PASS, R7, OK)
prove("prove-colour-fail", "--color, one fails", [*P, "--color"], 1, FAIL, R2 + "; colour codes are stripped", OK, BAD)
prove("prove-fail", "one of four tests fails", P, 1, FAIL, R2, OK, BAD)
prove("prove-plan-short", "a file runs fewer tests than planned", P, 1, FAIL, R2 + ": prove itself says Result: FAIL (bad plan)", "plan tests => 3; ok(1); ok(1); exit 0;\n")
prove("prove-todo", "a TODO test fails", P, 0, PASS, R7 + "; not ok # TODO is not a failure", "plan tests => 2; ok(1); TODO: { local $TODO = 'later'; ok(0, 'new'); }\n")
prove("prove-todo-passes", "a TODO test passes unexpectedly", P, 0, PASS, R7 + "; prove lists it and stays green", "plan tests => 2; ok(1); TODO: { local $TODO = 'later'; ok(1, 'new'); }\n")
prove("prove-skip-all", "every file skips all: Result: NOTESTS, exit 0", P, 0, PERMANENT, R8, "plan skip_all => 'needs a server';\n")
prove("prove-one-file-skips", "one file skips all, the other passes", P, 0, PASS, R7, OK, "plan skip_all => 'needs a server';\n")
prove("prove-dubious", "all tests ok, then die: Dubious, test returned 255", P, 1, FAIL, R2 + ": prove itself says Result: FAIL", "ok(1); die 'broken';\n")
prove("prove-exit-code", "all tests ok, the file ends with 3", P, 1, FAIL, R2 + ": prove itself says Result: FAIL", "plan tests => 1; ok(1); exit 3;\n")
prove("prove-segfault", "a test file dies of SIGSEGV", P, 1, FAIL, "rows 2 and 4: prove names the signal of the file and says Result: FAIL", "plan tests => 2; ok(1); kill 'SEGV', $$; sleep 1;\n")
prove("prove-bail-out", "Bail out!: Result: FAIL, code 255", P, 255, FAIL, "row 2 by the letter: prove prints a complete summary with Result: FAIL, whatever the exit code and whatever the suite says about its reasons", "plan tests => 3; ok(1); BAIL_OUT('database gone');\n")
prove("prove-syntax-error", "a test file cannot be parsed", P, 1, FAIL, "rows 2 and 3: a syntax error at a project file and line", "plan tests => 2; ok(1, ;\n")
prove("prove-module-missing", "a module is not installed: Can't locate ... in @INC", P, 1, FAIL, "row 2: prove itself says Result: FAIL; red cannot be forged into a hold (a control run attributes it later)", "use DBD::Oracle; plan tests => 2; ok(1); ok(1);\n")
prove("prove-file-missing", "the named file does not exist", ["prove", "t/99-gone.t"], 2, PERMANENT, "row 8 by intent: prove cannot find its file, nothing ran; waiting does not help", OK)
prove("prove-no-files", "a folder without test files: Result: NOTESTS", ["prove", "lib"], 0, PERMANENT, R8, OK, setup=lambda f: (f / "lib").mkdir())
prove("prove-pass-with-infra-words", "passing tests print infrastructure errors", P, 0, PASS, R7 + "; words inside the suite do not count", SAYS + OK)
prove("prove-fail-with-infra-words", "a failing test prints infrastructure errors", P, 1, FAIL, R2 + "; words inside the suite do not count", SAYS + BAD)
prove("prove-or-true", "red suite, `|| true`", "prove t || true", 0, FAIL, R2 + "; exit 0 never beats red", BAD)
prove("prove-sigkill", "killed mid-run", P, "SIGKILL", TRANSIENT, R6, OK, "plan tests => 2; ok(1); sleep 60; ok(1);\n", kill=Kill("SIGKILL", "01.t", 1))
prove("prove-timeout-124", "timeout(1) ends the suite", ["timeout", "2", *P], 124, TRANSIENT, R6, "plan tests => 2; ok(1); sleep 60; ok(1);\n")
prove("perl-plan-short", "perl FILE without prove runs fewer tests than planned", ["perl", "t/01.t"], 255, TRANSIENT, SHORT + "; row 10: 255", "plan tests => 3; ok(1); ok(1);\n")
prove("perl-fail", "perl FILE without prove, one of two fails", ["perl", "t/01.t"], 1, FAIL, "row 2: plan fulfilled, one `not ok`", BAD)
raw("raw-pass", "three ok, plan first", "echo 1..3\nfor n in 1 2 3; do echo \"ok $n - step $n\"; done\n", 0, PASS, R7)
raw("raw-plan-last-pass", "three ok, plan last", "for n in 1 2 3; do echo \"ok $n - step $n\"; done\necho 1..3\n", 0, PASS, R7)
raw("raw-fail-exit-0", "one not ok, exit 0", "echo 1..3\necho 'ok 1 - a'\necho 'not ok 2 - b'\necho 'ok 3 - c'\n", 0, FAIL, "row 2: plan fulfilled, one `not ok`; exit 0 never beats red")
raw("raw-fail-exit-2", "two not ok, the exit code is their number", "echo TAP version 13\necho 1..3\necho 'not ok 1 - a'\necho 'not ok 2 - b'\necho 'ok 3 - c'\nexit 2\n", 2, FAIL, "row 2: plan fulfilled, two `not ok`")
raw("raw-todo-and-skip", "a TODO failure and a skip", "echo 1..3\necho 'ok 1 - a'\necho 'not ok 2 - b # TODO later'\necho 'ok 3 # SKIP no network'\n", 0, PASS, R7 + "; TODO and SKIP are no failures")
raw("raw-all-skipped", "every test is skipped", "echo 1..2\necho 'ok 1 # SKIP no network'\necho 'ok 2 # skip no network'\n", 0, PERMANENT, R8)
raw("raw-skip-all", "1..0 # SKIP", "echo '1..0 # SKIP no database'\n", 0, PERMANENT, R8)
raw("raw-plan-short", "plan of three, two results, exit 0", "echo 1..3\necho 'ok 1 - a'\necho 'ok 2 - b'\nexit 0\n", 0, PERMANENT, "row 11: " + SHORT + "; exit 0 without complete evidence")
raw("raw-no-plan", "results without any plan, exit 0", "echo 'ok 1 - a'\necho 'ok 2 - b'\n", 0, PERMANENT, "row 11: without a plan nobody knows whether the run is complete; exit 0 without complete evidence")
raw("raw-bail-out", "Bail out! after one ok, exit 1", "echo 1..3\necho 'ok 1 - a'\necho 'Bail out! no route to the device'\nexit 1\n", 1, TRANSIENT, "row 11: the plan is not fulfilled and no test failed; unclassified")
raw("raw-sigkill", "killed after two of three", "echo 1..3\necho 'ok 1 - a'\necho 'ok 2 - b'\nsleep 60\necho 'ok 3 - c'\n", "SIGKILL", TRANSIENT, R6, kill=Kill("SIGKILL", "ok 2"))

# -- bats -----------------------------------------------------------------------------------------------------------------------------------------


def bats(name, about, argv, exit, expect, because, text, **more):
    case("bats", name, f"bats: {about}", "bats", argv, exit, expect, because, files={"calc.bats": text}, **more)


def tests(*bodies):
    return "".join(f'@test "t{n}" {{\n  {b}\n}}\n\n' for n, b in enumerate(bodies, 1))


B, PRETTY = ["bats", "calc.bats"], ["bats", "--pretty", "calc.bats"]
BOK, BBAD = '[ "$((1 + 2))" -eq 3 ]', '[ "$((1 + 2))" -eq 4 ]'
B_SAYS = "echo 'Cannot connect to the Docker daemon'; echo 'ssh: connect to host h port 22: Connection refused' >&2; echo '# curl: (7) Failed to connect' >&3"
XTERM = {"TERM": "xterm"}
bats("tap-pass", "two tests pass; TAP, since stdout is no terminal", B, 0, PASS, R7, tests(BOK, BOK))
bats("tap-fail", "one of two fails; TAP", ["bats", "--tap", "calc.bats"], 1, FAIL, "row 2: plan fulfilled, one `not ok`", tests(BOK, BBAD))
bats("pretty-pass", "--pretty: cursor codes, `2 tests, 0 failures`", PRETTY, 0, PASS, R7 + "; colour and cursor codes are stripped", tests(BOK, BOK), env=XTERM)
bats("pretty-fail", "--pretty: one of three fails, one skipped", PRETTY, 1, FAIL, R2 + "; colour and cursor codes are stripped", tests(BOK, BBAD, "skip later"), env=XTERM)
bats("all-skipped", "every test is skipped", B, 0, PERMANENT, R8, tests("skip later", "skip later"))
bats("pretty-all-skipped", "--pretty: every test is skipped", PRETTY, 0, PERMANENT, R8, tests("skip later", "skip later"), env=XTERM)
bats("no-tests", "a file without tests: 1..0", B, 0, PERMANENT, R8, "true\n")
bats("filter-matches-nothing", "--filter matches nothing: 1..0", [*B, "--filter", "nothing like it"], 0, PERMANENT, R8, tests(BOK))
bats("syntax-error", "the test file cannot be parsed", B, 1, FAIL, "row 3: bash's own syntax error with the project's file and line; bats counts it as a failed gathering", tests(BOK, "if true; then echo"))
bats("setup-file-fails", "setup_file fails", B, 1, FAIL, "row 2: bats itself prints `not ok` for the set-up (open policy point)", "setup_file() {\n  false\n}\n\n" + tests(BOK, BOK))
bats("command-missing-in-test", "a test's command is not installed: not ok, 127", B, 1, FAIL, "row 2: the test was executed and failed; 127 stands inside the suite's own output", tests(BOK, "jq-of-us --version"))
bats("file-missing", "the named file does not exist", ["bats", "gone.bats"], 1, PERMANENT, "row 8 by intent: bats cannot find its file, nothing ran; waiting does not help", tests(BOK))
bats("bats-missing", "the shell finds no bats", ["/bin/sh", "-c", "bats calc.bats"], 127, PERMANENT, "rows 9 and 10: the shell could not find the tool", tests(BOK), env={"PATH": "/bin-of-nobody"})
bats("exit-0-in-test", "a test calls exit 0: bats notices", B, 1, FAIL, "row 2: plan fulfilled, one `not ok`", tests("exit 0", BOK))
bats("or-true", "red suite, `|| true`", "bats calc.bats || true", 0, FAIL, "row 2: plan fulfilled, one `not ok`; exit 0 never beats red", tests(BOK, BBAD))
bats("pass-with-infra-words", "passing tests print infrastructure errors", B, 0, PASS, R7 + "; words inside the suite do not count", tests(B_SAYS, BOK))
bats("fail-with-infra-words", "a failing test prints infrastructure errors", B, 1, FAIL, "row 2: plan fulfilled, one `not ok`; words inside the suite do not count", tests(B_SAYS + "; false", BOK))
bats("sigkill", "killed mid-run", B, "SIGKILL", TRANSIENT, R6, tests(BOK, "sleep 60"), kill=Kill("SIGKILL", "ok 1"))
bats("timeout-124", "timeout(1) ends the suite", ["timeout", "3", *B], 124, TRANSIENT, R6, tests(BOK, "sleep 60", BOK))
