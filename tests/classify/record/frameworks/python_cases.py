"""pytest, unittest, doctest and the JUnit reports pytest writes."""

from recorder import FAIL, PASS, PERMANENT, PYTHON_313, TRANSIENT, Kill, case, tiny_disk

CALC = "def add(a, b):\n    return a + b\n\n\ndef half(a):\n    return a / 2\n"
GREEN = "from calc import add, half\n\n\ndef test_add():\n    assert add(1, 2) == 3\n\n\ndef test_half():\n    assert half(4) == 2\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n"
RED = GREEN.replace("add(1, 2) == 3", "add(1, 2) == 4")
INFRA = '''
import sys

WORDS = """ssh: connect to host build7.example port 22: Connection timed out
Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?
curl: (7) Failed to connect to 127.0.0.1 port 8080: Connection refused
OSError: [Errno 28] No space left on device
fatal: unable to access 'https://git.example/x.git/': Could not resolve host: git.example"""


def test_says_it():
    print(WORDS)
    print(WORDS, file=sys.stderr)
'''
INFRA_RED = INFRA + "    raise ConnectionRefusedError(111, 'Connection refused')\n"
SLOW = "import time\n\n\ndef test_first():\n    pass\n\n\ndef test_slow():\n    time.sleep(60)\n\n\ndef test_last():\n    pass\n"
QUITS = "import os\n\n\ndef test_first():\n    pass\n\n\ndef test_quits():\n    os._exit(0)\n\n\ndef test_last():\n    assert False\n"
SEGV = "import ctypes\n\n\ndef test_first():\n    pass\n\n\ndef test_crash():\n    ctypes.string_at(0)\n"
SKIPS = "import pytest\n\n\n@pytest.mark.skip(reason='needs hardware')\ndef test_a():\n    pass\n\n\n@pytest.mark.skip(reason='needs hardware')\ndef test_b():\n    pass\n"
FIXTURE = "import pytest\n\n\n@pytest.fixture\ndef server():\n    raise RuntimeError('no port free')\n\n\ndef test_uses(server):\n    pass\n"
BROKEN = "def add(a, b:\n    return a + b\n"

green = {"calc.py": CALC, "test_calc.py": GREEN}
red = {"calc.py": CALC, "test_calc.py": RED}


def pytest(name, about, argv, exit, expect, because, files, **more):
    case("pytest", name, f"pytest: {about}", "pytest", argv, exit, expect, because, files=files, **more)


R2 = "row 2: the closing summary counts a failure or an error"
R7 = "row 7: green, complete summary and exit 0"
R8 = "row 8: nothing ran, which is never green and not a failing test"
R6 = "row 6: ended from outside before a summary; no verdict"

# -- the plain ends
pytest("all-pass", "three tests pass", ["pytest"], 0, PASS, R7, green)
pytest("one-fails", "one of three tests fails", ["pytest"], 1, FAIL, R2, red)
pytest("quiet-pass", "-q: three tests pass, the summary has no frame", ["pytest", "-q"], 0, PASS, R7, green)
pytest("quiet-fail", "-q: one test fails, the summary has no frame", ["pytest", "-q"], 1, FAIL, R2, red)
pytest("very-quiet-pass", "-qq leaves dots only: no closing line at all", ["pytest", "-qq"], 0, PERMANENT,
       "row 11: exit 0 without closing evidence is no-evidence; dots alone do not prove a complete run", green)
pytest("very-quiet-fail", "-qq with a failure: FAILED lines of the short summary, but no counts", ["pytest", "-qq"], 1, FAIL,
       "row 2 by intent: the run completed and pytest's own short test summary names the failed test, with pytest's own code 1", red)
pytest("verbose-fail", "-v: one test fails", ["pytest", "-v"], 1, FAIL, R2, red)
pytest("colour-pass", "coloured, three tests pass", ["pytest", "--color=yes"], 0, PASS, R7 + "; colour codes are stripped before reading", green)
pytest("colour-fail", "coloured, one test fails", ["pytest", "--color=yes"], 1, FAIL, R2 + "; colour codes are stripped before reading", red)
pytest("terminal-fail", "on a pseudo-terminal: colours and CR LF line ends", ["script", "-qec", "pytest", "/dev/null"], 1, FAIL,
       R2 + "; CR and colour codes are stripped before reading", red)
pytest("xdist-pass", "two workers, all pass", ["pytest", "-n", "2"], 0, PASS, R7, green)
pytest("xdist-worker-crash", "a test aborts its xdist worker", ["pytest", "-n", "2"], 1, FAIL,
       R2 + "; xdist itself names the test that crashed its worker",
       {"test_abort.py": "import os\n\n\ndef test_ok():\n    pass\n\n\ndef test_aborts():\n    os.abort()\n"})
pytest("xfail-and-xpass", "expected failure and unexpected pass, not strict", ["pytest"], 0, PASS, R7 + "; xfailed and xpassed are not failures",
       {"test_x.py": "import pytest\n\n\n@pytest.mark.xfail\ndef test_a():\n    assert False\n\n\n@pytest.mark.xfail\ndef test_b():\n    pass\n\n\ndef test_c():\n    pass\n"})
pytest("only-xfail", "the only test is an expected failure", ["pytest"], 0, PASS,
       "row 7: the test was executed and ended as declared; nothing failed and at least one test ran",
       {"test_x.py": "import pytest\n\n\n@pytest.mark.xfail\ndef test_a():\n    assert False\n"})
pytest("xpass-strict", "a strict expected failure passes", ["pytest"], 1, FAIL, R2 + "; XPASS(strict) is a failure",
       {"test_x.py": "import pytest\n\n\n@pytest.mark.xfail(strict=True)\ndef test_b():\n    pass\n\n\ndef test_c():\n    pass\n"})
pytest("subtests-fail", "sub-tests, one fails", ["pytest"], 1, FAIL, R2,
       {"test_s.py": "def test_many(subtests):\n    for n in range(4):\n        with subtests.test(n=n):\n            assert n != 2\n"})
pytest("rerun-flaky-pass", "a flaky test passes on its second run", ["pytest", "--reruns", "2"], 0, PASS, R7 + "; a rerun is not a failure",
       {"test_f.py": "import pathlib\n\n\ndef test_flaky():\n    p = pathlib.Path('seen')\n    first = not p.exists()\n    p.touch()\n    assert not first\n\n\ndef test_ok():\n    pass\n"})
pytest("stops-at-first-failure", "-x stops after the first failure", ["pytest", "-x"], 1, FAIL, R2, red)
pytest("doctest-modules-pass", "--doctest-modules, the examples hold", ["pytest", "--doctest-modules"], 0, PASS, R7,
       {"calc.py": 'def add(a, b):\n    """\n    >>> add(1, 2)\n    3\n    """\n    return a + b\n'})
pytest("doctest-modules-fail", "--doctest-modules, an example does not hold", ["pytest", "--doctest-modules"], 1, FAIL, R2,
       {"calc.py": 'def add(a, b):\n    """\n    >>> add(1, 2)\n    4\n    """\n    return a + b\n'})
pytest("test-timeout-plugin", "pytest-timeout ends a hanging test", ["pytest", "--timeout", "1"], 1, FAIL, R2 + "; the framework itself ended the test that hangs", {"test_slow.py": SLOW})
pytest("min-tests-not-reached", "three tests pass where at least fifty are declared", ["pytest"], 0, PERMANENT,
       "row 7 asks for the declared minimum; fewer tests than declared is neither green nor the code's failure", green, options={"min-tests": 50})

# -- set-up, collection, loading
pytest("fixture-error", "a fixture raises, no test ran", ["pytest"], 1, FAIL, "row 2: errors > 0; a summary with errors only in set-up is a fail (open policy point)", {"test_f.py": FIXTURE})
pytest("teardown-error", "a test passes and its teardown raises", ["pytest"], 1, FAIL, R2,
       {"test_f.py": "import pytest\n\n\n@pytest.fixture\ndef server():\n    yield 1\n    raise RuntimeError('still busy')\n\n\ndef test_uses(server):\n    assert server\n"})
pytest("syntax-error", "the module under test cannot be parsed", ["pytest"], 2, FAIL, "row 3: SyntaxError of a project file, named by pytest while collecting", {"calc.py": BROKEN, "test_calc.py": GREEN})
pytest("syntax-error-in-test", "a test file cannot be parsed", ["pytest"], 2, FAIL, "row 3: SyntaxError of a project file, named by pytest while collecting", {"test_calc.py": BROKEN})
pytest("project-name-missing", "the test imports a name the project no longer has", ["pytest"], 2, FAIL, "row 3: cannot import name, with a project path",
       {"calc.py": "def plus(a, b):\n    return a + b\n", "test_calc.py": GREEN})
pytest("project-submodule-missing", "the test imports a module the project's package does not have", ["pytest"], 2, FAIL,
       "row 3: ERROR collecting; the package `shop` was found, its module `shop.cart` is missing, so the project's own tree is at fault",
       {"shop/__init__.py": "", "test_shop.py": "from shop.cart import Cart\n\n\ndef test_cart():\n    assert Cart()\n"})
pytest("third-party-missing", "a third-party package is not installed", ["pytest"], 2, FAIL,
       "row 2: pytest itself counts an error; red cannot be forged into a hold (a control run attributes it later)",
       {"test_http.py": "import requests\n\n\ndef test_get():\n    assert requests.get\n"})
pytest("third-party-missing-in-project", "the module under test imports a third-party package that is not installed", ["pytest"], 2, FAIL,
       "row 2: pytest itself counts an error; red cannot be forged into a hold (a control run attributes it later)",
       {"calc.py": "import numpy as np\n\n\ndef add(a, b):\n    return np.add(a, b)\n", "test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"})
pytest("third-party-missing-and-a-failure", "one file misses a package, another file's test really fails", ["pytest", "--continue-on-collection-errors"], 1, FAIL,
       "row 2: a test was executed and failed; the missing package beside it does not take that back",
       {**red, "test_http.py": "import requests\n\n\ndef test_get():\n    assert requests.get\n"})
pytest("conftest-syntax-error", "conftest.py cannot be parsed: usage error 4, no summary", ["pytest"], 4, FAIL, "row 3: ImportError while loading conftest, SyntaxError in the project's file", {"conftest.py": BROKEN, **green})
pytest("conftest-name-missing", "conftest.py imports a name the project does not have", ["pytest"], 4, FAIL, "row 3: ImportError while loading conftest, cannot import name with a project path",
       {"conftest.py": "from calc import gone\n", **green})
pytest("conftest-third-party-missing", "conftest.py imports a package that is not installed", ["pytest"], 4, PERMANENT, "Decisions: a dependency that is missing is permanent-env; nothing ran",
       {"conftest.py": "import psycopg\n", **green})
pytest("tool-missing", "python has no pytest", ["/usr/bin/python3", "-m", "pytest"], 1, PERMANENT, "Decisions: the test tool is missing", green)
pytest("command-missing", "the shell finds no pytest", "pytest-9 tests", 127, PERMANENT, "rows 9 and 10: the shell could not find the test tool, 127", green)
pytest("unknown-option", "an option pytest does not know", ["pytest", "--frobnicate"], 4, PERMANENT, "row 8: usage error 4, nothing ran; waiting does not help and no test was executed", green)
pytest("plugin-missing", "--cov without pytest-cov", ["pytest", "-p", "no:pytest_cov", "--cov=calc"], 4, PERMANENT, "Decisions: a missing plugin is a missing dependency; usage error 4, nothing ran", green)
pytest("path-missing", "the named folder does not exist", ["pytest", "tests/integration"], 4, PERMANENT, "row 8: `no tests ran`, usage error 4", green)
pytest("internal-error", "a hook in conftest.py raises while collecting: internal error 3", ["pytest"], 3, PERMANENT,
       "row 8: `no tests ran`, code 3; an internal error of the tool is not the verdict of a test",
       {**green, "conftest.py": "def pytest_collection_modifyitems(items):\n    raise RuntimeError('hook broke')\n"})

# -- nothing ran
pytest("nothing-collected", "no test in the folder", ["pytest"], 5, PERMANENT, R8, {"calc.py": CALC})
pytest("all-deselected", "-k matches nothing", ["pytest", "-k", "nothing_like_it"], 5, PERMANENT, R8, green)
pytest("all-skipped", "every test is skipped, exit 0", ["pytest"], 0, PERMANENT, R8, {"test_s.py": SKIPS})
pytest("all-skipped-allowed", "every test is skipped and min-tests is 0", ["pytest"], 0, PASS, "row 7 with the stage's own switch: min-tests 0 lets an empty suite pass", {"test_s.py": SKIPS}, options={"min-tests": 0})
pytest("nothing-collected-hidden", "no test in the folder, the code is thrown away", "pytest || true", 0, PERMANENT, R8, {"calc.py": CALC})

# -- cut off
pytest("sigkill", "killed mid-run", ["pytest", "-v"], "SIGKILL", TRANSIENT, R6, {"test_slow.py": SLOW}, kill=Kill("SIGKILL", "test_first PASSED"))
pytest("sigterm", "terminated mid-run", ["pytest"], "SIGTERM", TRANSIENT, R6, {"test_slow.py": SLOW}, kill=Kill("SIGTERM", "test_slow.py ."))
pytest("sigkill-after-failure", "an F was printed, then killed before the summary", ["pytest"], "SIGKILL", TRANSIENT, R6 + "; an F in the progress line is no closing summary",
       {"test_slow.py": SLOW.replace("pass", "assert False", 1)}, kill=Kill("SIGKILL", "test_slow.py F"))
pytest("own-limit", "orch's own limit ends the suite", ["pytest", "-v"], "timed-out", TRANSIENT, R6 + " (reason timeout)", {"test_slow.py": SLOW}, kill=Kill("timed-out", "test_first PASSED"))
pytest("timeout-124", "timeout(1) ends the suite", ["timeout", "2", "pytest"], 124, TRANSIENT, R6, {"test_slow.py": SLOW})
pytest("shell-137", "the shell reports pytest's SIGKILL as 137", "pytest; exit $?", 137, TRANSIENT, R6, {"test_slow.py": SLOW}, kill=Kill("SIGKILL", "test_slow.py .", who="bin/pytest"))
pytest("shell-143", "the shell reports pytest's SIGTERM as 143", "pytest; exit $?", 143, TRANSIENT, R6, {"test_slow.py": SLOW}, kill=Kill("SIGTERM", "test_slow.py .", who="bin/pytest"))
pytest("interrupted", "SIGINT: a green summary with `KeyboardInterrupt`, exit 2", ["pytest"], 2, TRANSIENT,
       "rows 7 and 11: the summary counts only what ran before the interrupt, so the run is not complete and 2 is no failing code of the tests", {"test_slow.py": SLOW}, kill=Kill("SIGINT", "test_slow.py ."))
pytest("os-exit-0", "a test calls os._exit(0): exit 0, dots, no summary", ["pytest"], 0, PERMANENT, "row 11: exit 0 without evidence", {"test_q.py": QUITS})
pytest("os-exit-1", "a test calls os._exit(1): no summary", ["pytest"], 1, TRANSIENT, "row 11: no evidence and a non-zero code", {"test_q.py": QUITS.replace("_exit(0)", "_exit(1)")})
pytest("segfault", "a test crashes the interpreter, faulthandler names it", ["pytest"], "SIGSEGV", FAIL, "row 4: Fatal Python error, the framework names the running test", {"test_c.py": SEGV})
pytest("segfault-139", "the same crash behind a shell", "pytest; exit $?", 139, FAIL, "row 4: Fatal Python error, the framework names the running test", {"test_c.py": SEGV})
pytest("abort", "a test calls abort()", ["pytest", "-q"], "SIGABRT", FAIL, "row 4: Fatal Python error: Aborted", {"test_c.py": "import os\n\n\ndef test_a():\n    os.abort()\n"})
pytest("disk-full", "the disk that takes the output is full: the tool dies without a summary", ["pytest", "-v"], 120, TRANSIENT,
       "row 11: no closing evidence, a non-zero code; a full disk is not the code's fault",
       {"test_m.py": "import pytest\n\n\n@pytest.mark.parametrize('n', range(300))\ndef test_n(n):\n    pass\n"}, setup=lambda f: tiny_disk(f / "disk", "64k", 8000), capture_in="disk")

# -- words that belong to someone else
pytest("pass-with-infra-words", "a passing test prints infrastructure errors (-s)", ["pytest", "-s"], 0, PASS, R7 + "; words inside the suite do not count", {"test_i.py": INFRA})
pytest("fail-with-infra-words", "a failing test prints infrastructure errors and raises Connection refused", ["pytest"], 1, FAIL, R2 + "; words inside the suite do not count", {"test_i.py": INFRA_RED})
pytest("fail-with-forged-summary", "a failing test prints a green summary line", ["pytest"], 1, FAIL, R2 + "; the forged line stands in the captured output before the real one",
       {"test_i.py": "def test_forges():\n    print('============================== 5 passed in 0.10s ===============================')\n    assert False\n"})
pytest("fail-with-forged-summary-live", "a failing test prints a green summary line, -s -q", ["pytest", "-s", "-q"], 1, FAIL, R2 + "; the last summary of the run is the real one",
       {"test_i.py": "def test_forges():\n    print()\n    print('5 passed in 0.10s')\n    assert False\n"})
pytest("fail-after-infra-words", "curl is refused first, then the suite runs red", "curl -sS http://127.0.0.1:9/warm-up; pytest", 1, FAIL, R2 + "; an earlier error line does not excuse it", red)
pytest("pass-before-infra-words", "green suite, then a clean-up that is refused and ignored", "pytest && { curl -sS http://127.0.0.1:9/notify || true; }", 0, PASS, R7 + "; the refused notification is not the suite", green)

# -- codes that lie
pytest("red-or-true", "red suite, `|| true`", "pytest || true", 0, FAIL, R2 + "; exit 0 never beats red", red)
pytest("red-exit-0", "red suite, `; exit 0`", "pytest; exit 0", 0, FAIL, R2 + "; exit 0 never beats red", red)
pytest("red-tee", "red suite behind a pipe without pipefail", "pytest 2>&1 | tee log.txt", 0, FAIL, R2 + "; exit 0 never beats red", red)
pytest("red-then-127", "red suite, then a command that does not exist", "pytest; publish-results", 127, FAIL, R2 + "; whatever the exit code", red)
pytest("red-exit-75", "red suite, the wrapper says EX_TEMPFAIL", "pytest; exit 75", 75, FAIL, R2 + "; whatever the exit code", red)
pytest("red-exit-255", "red suite, the wrapper says 255", "pytest || exit 255", 255, FAIL, R2 + "; whatever the exit code", red)
pytest("red-then-timeout", "red suite, then the wrapper hangs until timeout(1)", ["timeout", "3", "sh", "-c", "pytest; sleep 60"], 124, FAIL, R2 + "; it was complete before the time-out", red)
pytest("green-then-killed", "green summary, then the wrapper is killed before it could report", "pytest; sleep 60; exit 0", "SIGKILL", TRANSIENT,
       "row 7 needs exit 0 delivered and 7b the framework's own code; neither arrived", green, kill=Kill("SIGKILL", "3 passed"))
pytest("green-then-7", "green suite, the chain's next command ends with 7", "pytest && curl -sS http://127.0.0.1:9/publish", 7, TRANSIENT, "rows 9 and 11: 7 is not pytest's own code; curl was refused", green)
pytest("green-then-3", "green suite, a later command ends with 3 and says nothing", "pytest && exit 3", 3, TRANSIENT, "row 11: 3 is pytest's internal error, not its failing code, and the summary is green; unclassified", green)
pytest("green-then-127", "green suite, the chain's next command does not exist", "pytest && publish-results", 127, PERMANENT, "rows 9 and 10: the shell did not find a command after the suite", green)
pytest("coverage-too-low", "green suite, pytest-cov's limit is not reached", ["pytest", "--cov=calc", "--cov-fail-under=95"], 1, FAIL, "row 7b: green, complete, and pytest's own failing code",
       {"calc.py": CALC + "\n\ndef unused(a):\n    if a:\n        return 1\n    return 2\n", "test_calc.py": GREEN})
pytest("warnings-as-errors", "-W error turns a warning into a failure", ["pytest", "-W", "error"], 1, FAIL, R2, {"test_w.py": "import warnings\n\n\ndef test_w():\n    warnings.warn('old', DeprecationWarning)\n"})
pytest("too-many-warnings", "green suite with more warnings than allowed: exit 6", ["pytest", "--max-warnings=0"], 6, FAIL, "row 7b: green, complete, and pytest's own failing code 6",
       {"test_w.py": "import warnings\n\n\ndef test_w():\n    warnings.warn('old', DeprecationWarning)\n"})

# -- several suites
two = {"a/test_a.py": "def test_a():\n    pass\n", "b/test_b.py": "def test_b():\n    assert False\n"}
pytest("red-then-green", "two runs, the first red, the last one's code counts", "pytest a b; pytest a", 0, FAIL, "row 2: several concatenated runs, any red wins", two)
pytest("green-then-red", "two runs, the second red and ignored", "pytest a; pytest b || true", 0, FAIL, "row 2: several concatenated runs, any red wins", two)
pytest("green-then-killed-second", "the first of two runs is green, the second is killed", "pytest a && pytest slow", "SIGKILL", TRANSIENT,
       "row 6: the stage's suite never delivered its summary; an earlier part's green does not stand for it", {**two, "slow/test_slow.py": SLOW}, kill=Kill("SIGKILL", "test_slow.py ."))

# -- unittest -------------------------------------------------------------------------------------------------------------------------------------


def unittest(name, about, argv, exit, expect, because, files, **more):
    case("unittest", name, f"unittest: {about}", "python3.13" if argv is NEW else "python", argv, exit, expect, because, files=files, **more)


def suite(*bodies, head="import unittest\n"):
    tests = "".join(f"\n    def test_{n}(self):\n        {body}\n" for n, body in enumerate(bodies, 1))
    return f"{head}\n\nclass Calc(unittest.TestCase):{tests}"


RUN = ["python", "-m", "unittest"]
NEW = [PYTHON_313, "-m", "unittest"]
u_green, u_red = {"test_c.py": suite("self.assertEqual(1 + 1, 2)", "pass")}, {"test_c.py": suite("self.assertEqual(1 + 1, 3)", "pass")}
SAYS = "import sys; print('Cannot connect to the Docker daemon at unix:///var/run/docker.sock', file=sys.stderr); print('ssh: connect to host h port 22: Connection refused')"
sleeps = {"test_c.py": suite("pass", "import time; time.sleep(60)")}

unittest("all-pass", "two tests pass", RUN, 0, PASS, R7, u_green)
unittest("one-fails", "one of two tests fails", RUN, 1, FAIL, R2, u_red)
unittest("verbose-fail", "-v, one test fails", [*RUN, "-v"], 1, FAIL, R2, u_red)
unittest("error", "a test raises", RUN, 1, FAIL, R2, {"test_c.py": suite("{}['x']", "pass")})
unittest("new-python-pass", "python 3.13, two tests pass", NEW, 0, PASS, R7, u_green)
unittest("syntax-error", "the module under test cannot be parsed", RUN, 1, FAIL, "rows 2 and 3: SyntaxError of a project file", {"calc.py": BROKEN, "test_c.py": suite("pass", head="import unittest\nimport calc\n")})
unittest("project-name-missing", "the test imports a name the project does not have", RUN, 1, FAIL, "row 3: cannot import name with a project path",
         {"calc.py": CALC, "test_c.py": suite("pass", head="import unittest\nfrom calc import gone\n")})
unittest("third-party-missing", "a third-party package is not installed: `Ran 1 test`, errors=1", RUN, 1, FAIL,
         "row 2: unittest itself counts an error; red cannot be forged into a hold (a control run attributes it later)", {"test_c.py": suite("pass", head="import unittest\nimport requests\n")})
unittest("zero-tests", "python 3.11: Ran 0 tests, OK, exit 0", RUN, 0, PERMANENT, R8, {"calc.py": CALC})
unittest("zero-tests-new-python", "python 3.13: NO TESTS RAN, exit 5", NEW, 5, PERMANENT, R8, {"calc.py": CALC})
unittest("all-skipped", "python 3.11: every test is skipped", RUN, 0, PERMANENT, R8 + "; skipped ones count in N", {"test_c.py": suite("self.skipTest('later')")})
unittest("all-skipped-new-python", "python 3.13: every test is skipped", NEW, 0, PERMANENT, R8 + "; skipped ones count in N", {"test_c.py": suite("self.skipTest('later')")})
CLASS = "import unittest\n\n\nclass Calc(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        raise RuntimeError('no server')\n\n    def test_a(self):\n        pass\n"
unittest("set-up-class-raises", "python 3.11: setUpClass raises: Ran 0 tests, errors=1", RUN, 1, FAIL, "row 2: errors > 0; errors in set-up only are a fail (open policy point)", {"test_c.py": CLASS})
unittest("set-up-class-raises-new-python", "python 3.13: setUpClass raises, exit 5", NEW, 5, FAIL, "row 2: errors > 0; errors in set-up only are a fail (open policy point)", {"test_c.py": CLASS})
unittest("unexpected-success", "an expected failure passes", RUN, 1, FAIL, R2 + "; an unexpected success is a failure",
         {"test_c.py": "import unittest\n\n\nclass C(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_a(self):\n        pass\n"})
unittest("expected-failure", "an expected failure fails", RUN, 0, PASS, R7, {"test_c.py": "import unittest\n\n\nclass C(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_a(self):\n        self.fail()\n\n    def test_b(self):\n        pass\n"})
unittest("pass-with-infra-words", "a passing test prints infrastructure errors", RUN, 0, PASS, R7 + "; words inside the suite do not count", {"test_c.py": suite(SAYS, "pass")})
unittest("fail-with-infra-words", "a failing test prints infrastructure errors", RUN, 1, FAIL, R2 + "; words inside the suite do not count", {"test_c.py": suite(SAYS + "; self.fail('Connection refused')", "pass")})
unittest("red-or-true", "red suite, `|| true`", "python -m unittest || true", 0, FAIL, R2 + "; exit 0 never beats red", u_red)
unittest("sigkill", "killed mid-run", [*RUN, "-v"], "SIGKILL", TRANSIENT, R6, sleeps, kill=Kill("SIGKILL", "test_1 (test_c.Calc.test_1) ... ok"))
unittest("timeout-124", "timeout(1) ends the suite", ["timeout", "2", *RUN], 124, TRANSIENT, R6, sleeps)
unittest("os-exit-0", "a test calls os._exit(0)", RUN, 0, PERMANENT, "row 11: exit 0 without evidence", {"test_c.py": suite("pass", "import os; os._exit(0)")})
unittest("segfault", "a test crashes, faulthandler names it", ["python", "-X", "faulthandler", "-m", "unittest"], "SIGSEGV", FAIL, "row 4: Fatal Python error", {"test_c.py": suite("import ctypes; ctypes.string_at(0)")})
unittest("green-then-3", "green suite, a later command ends with 3", "python -m unittest && exit 3", 3, TRANSIENT, "row 11: 3 is not unittest's own code; unclassified", u_green)

# -- doctest --------------------------------------------------------------------------------------------------------------------------------------
DOC = 'def add(a, b):\n    """\n    >>> add(1, 2)\n    3\n    >>> add(2, 2)\n    4\n    """\n    return a + b\n'
DOCTEST = r"^(?P<passed>\d+) passed and (?P<failed>\d+) failed\.$"
case("other", "doctest-pass", "python -m doctest -v: both examples hold", "python", ["python", "-m", "doctest", "-v", "calc.py"], 0, PASS, R7 + ", read by the declared closing line",
     files={"calc.py": DOC}, options={"evidence": "closing-line", "closing-line": DOCTEST})
case("other", "doctest-fail", "python -m doctest -v: an example does not hold", "python", ["python", "-m", "doctest", "-v", "calc.py"], 1, FAIL, "row 2 by the declared closing line: 1 failed",
     files={"calc.py": DOC.replace("    4\n", "    5\n")}, options={"evidence": "closing-line", "closing-line": DOCTEST})
case("other", "doctest-silent", "python -m doctest without -v says nothing when all is well", "python", ["python", "-m", "doctest", "calc.py"], 0, PERMANENT, "row 11: exit 0 without evidence", files={"calc.py": DOC})

# -- JUnit reports --------------------------------------------------------------------------------------------------------------------------------
XML = "pytest -q --junitxml=report.xml"
BARE = "pytest -p no:terminal --junitxml=report.xml"


def junit(name, about, argv, exit, expect, because, files, **more):
    case("junit", name, f"JUnit report by pytest: {about}", "pytest", argv, exit, expect, because, files=files, options={"report": "report.xml"}, **more)


junit("green", "three tests pass", XML, 0, PASS, "row 7: green report and exit 0", green)
junit("green-no-output", "three tests pass, the terminal is silent", BARE, 0, PASS, "row 7: green report and exit 0; the report alone is the evidence", green)
junit("red", "one test fails", XML, 1, FAIL, "row 2: a report with failures", red)
junit("red-no-output", "one test fails, the terminal is silent", BARE, 1, FAIL, "row 2: a report with failures; it alone is the evidence", red)
junit("red-exit-0", "one test fails, the code and the output are thrown away", BARE + " || true", 0, FAIL, "row 2: a report with failures; exit 0 never beats red", red)
junit("red-then-killed", "one test fails, then the wrapper is killed", BARE + "; echo report written; sleep 60", "SIGKILL", FAIL, "row 2: a complete report with failures, whatever ended the command", red, kill=Kill("SIGKILL", "report written"))
junit("errors-only", "a fixture raises: errors, no failures", BARE, 1, FAIL, "row 2: errors > 0; errors in set-up only are a fail (open policy point)", {"test_f.py": FIXTURE})
junit("third-party-missing", "a package is missing while collecting", XML, 2, FAIL, "row 2: the report itself counts an error; red cannot be forged into a hold (a control run attributes it later)", {"test_h.py": "import requests\n\n\ndef test_a():\n    pass\n"})
junit("all-skipped", "every test is skipped", BARE, 0, PERMANENT, R8, {"test_s.py": SKIPS})
junit("zero-tests", "no test in the folder, the code is thrown away", BARE + " || true", 0, PERMANENT, R8, {"calc.py": CALC})
junit("green-exit-1-coverage", "green report, coverage limit not reached", XML + " --cov=calc --cov-fail-under=100", 1, FAIL, "row 7b: green, complete, and pytest's own failing code", {**green, "calc.py": CALC + "\n\ndef unused():\n    return 1\n"})
junit("green-then-7", "green report, then a refused upload", BARE + " && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not the suite's code; curl was refused", green)
junit("green-then-killed", "green report, then the wrapper is killed", BARE + "; echo report written; sleep 60", "SIGKILL", TRANSIENT, "row 7 needs exit 0 delivered; it was not", green, kill=Kill("SIGKILL", "report written"))
junit("cut-in-half", "the report lost its second half, exit 0", BARE + " && size=$(stat -c %s report.xml) && truncate -s $((size / 2)) report.xml", 0, PERMANENT, "row 11: a report that does not parse to its end is no evidence; exit 0", green)
junit("cut-in-half-exit-1", "a red report lost its second half", BARE + "; code=$?; size=$(stat -c %s report.xml); truncate -s $((size / 2)) report.xml; exit $code", 1, TRANSIENT,
      "row 11: a report that does not parse to its end is no evidence; a non-zero code", red)
junit("red-summary-cut-report", "stdout says red, the report is cut", XML + "; code=$?; truncate -s 90 report.xml; exit $code", 1, FAIL, "row 2: pytest's closing summary is red; the cut report cannot take that back", red)
junit("empty-file", "the report is empty, exit 0", BARE + " && truncate -s 0 report.xml", 0, PERMANENT, "row 11: an empty report is no evidence; exit 0", green)
junit("empty-file-killed", "the report was opened, then the suite was killed", "touch report.xml; exec " + BARE + " -s", "SIGKILL", TRANSIENT, R6,
      {"test_slow.py": SLOW.replace("pass", "print('first done', flush=True)", 1)}, kill=Kill("SIGKILL", "first done"))
junit("not-xml", "the report is a web page's error text, exit 0", BARE + " && echo '502 Bad Gateway: upstream did not answer' > report.xml", 0, PERMANENT, "row 11: a file that is no JUnit report is no evidence; exit 0", green)
junit("other-xml", "the report is XML, but no JUnit: a coverage report", "pytest -p no:terminal --cov=calc --cov-report=xml:report.xml", 0, PERMANENT, "row 11: XML without test suites is no evidence; exit 0", green)

# -- what other versions and neighbours of these ends look like ------------------------------------------------------------------------------
ONE = {"test_calc.py": "def test_a():\n    assert True\n"}
pytest("exit-0-by-request", "a test calls pytest.exit with code 0: a green line, and the rest never ran", ["pytest"], 0, PERMANENT,
       "rows 7 and 11: pytest says itself that it was stopped, so the run is not complete", {"test_calc.py": "import pytest\n\n\ndef test_a():\n    pass\n\n\ndef test_b():\n    pytest.exit('enough', returncode=0)\n"})
pytest("conftest-service-refused", "conftest.py connects to a service that does not listen", ["pytest"], 4, TRANSIENT,
       "row 9: a refused connection; ImportError while loading conftest is only pytest's name for it", {"conftest.py": "import socket\n\nsocket.create_connection(('127.0.0.1', 9))\n", **ONE})
pytest("conftest-name-error", "conftest.py uses a name that nobody defines", ["pytest"], 4, FAIL, "row 3: ImportError while loading conftest, a fault of the project's file", {"conftest.py": "x = undefined_name\n", **ONE})
pytest("configuration-broken", "pyproject.toml cannot be parsed", ["pytest"], 4, FAIL, "row 3: the project's own manifest cannot be parsed", {"pyproject.toml": "[tool.pytest.ini_options\n", **ONE})
pytest("version-too-old", "pytest.ini asks for a newer pytest", ["pytest"], 4, PERMANENT, "row 9: the tool is too old", {"pytest.ini": "[pytest]\nminversion = 99\n", **ONE})
pytest("plugin-required", "pytest.ini requires a plug-in that is not installed", ["pytest"], 4, PERMANENT, "Decisions: a missing dependency is permanent-env", {"pytest.ini": "[pytest]\nrequired_plugins = pytest-nosuch\n", **ONE})
pytest("very-quiet-error", "-qq, a fixture fails", ["pytest", "-qq"], 1, FAIL, "row 2: pytest's own short summary names the error", {"test_calc.py": "import pytest\n\n\n@pytest.fixture\ndef broken():\n    1 / 0\n\n\ndef test_a(broken):\n    pass\n"})
pytest("green-then-module-missing", "green suite, then a python module that is not installed: both say 1", "pytest -q && /usr/bin/python3 -m no_such_module", 1, PERMANENT,
       "Decisions: a missing tool is permanent-env; the last words on stderr are the later command's, so 1 is not pytest's", ONE)
pytest("green-then-container-missing", "green suite, then a container engine that is down: both say 1", "pytest -q && DOCKER_HOST=unix:///no/docker.sock docker exec app true", 1, TRANSIENT,
       "row 9: the last words on stderr are docker's, so 1 is not pytest's", ONE)
