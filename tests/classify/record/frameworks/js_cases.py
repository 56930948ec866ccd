"""node --test, jest, mocha and vitest: by their own closing lines, by a report, by a declared closing line."""

from recorder import FAIL, NPM, PASS, PERMANENT, TRANSIENT, Kill, case

R2 = "row 2: the closing summary counts a failure"
R6 = "row 6: ended from outside before a summary; no verdict"
R7 = "row 7: green, complete summary and exit 0"
R8 = "row 8: nothing ran, which is never green and not a failing test"
MISSING = "Decisions: a missing tool or dependency is permanent-env"

ADD = "exports.add = (a, b) => a + b;\n"
SAYS = ("console.log('Cannot connect to the Docker daemon at unix:///var/run/docker.sock'); console.error('ssh: connect to host h port 22: Connection timed out'); "
        "console.error('npm error code ECONNREFUSED'); console.error('Error: ENOSPC: no space left on device, write');")
SLEEP = "await new Promise((r) => setTimeout(r, 60000));"


def node_file(*bodies, head=""):
    return "const test = require('node:test');\nconst assert = require('node:assert');\nconst { add } = require('./calc');\n" + head + "".join(f"test('t{n}', async () => {{ {b} }});\n" for n, b in enumerate(bodies, 1))


def files(make, *bodies, **more):
    return {"calc.js": ADD, "calc.test.js": make(*bodies, **more)}


NOK, NBAD = "assert.strictEqual(add(1, 2), 3);", "assert.strictEqual(add(1, 2), 4);"


def node(name, about, argv, exit, expect, because, files, **more):
    case("node-test", name, f"node --test: {about}", "node", argv, exit, expect, because, files=files, **more)


T = ["node", "--test"]
n_green, n_red = files(node_file, NOK, NOK), files(node_file, NOK, NBAD)
node("all-pass", "two tests pass (spec reporter is for terminals, TAP here)", T, 0, PASS, R7, n_green)
node("one-fails", "one of two fails", T, 1, FAIL, R2, n_red)
node("spec-pass", "spec reporter, all pass", [*T, "--test-reporter=spec"], 0, PASS, R7, n_green)
node("spec-fail", "spec reporter, one fails", [*T, "--test-reporter=spec"], 1, FAIL, R2, n_red)
node("spec-colour-fail", "spec reporter, coloured, one fails", [*T, "--test-reporter=spec"], 1, FAIL, R2 + "; colour codes are stripped", n_red, env={"FORCE_COLOR": "1"})
node("dot-pass", "dot reporter: dots and no count", [*T, "--test-reporter=dot"], 0, PERMANENT, "row 11: exit 0 without closing evidence; dots alone do not prove a complete run", n_green)
node("single-file-fail", "node FILE without --test, one fails", ["node", "calc.test.js"], 1, FAIL, R2, n_red)
node("single-file-pass", "node FILE without --test, all pass", ["node", "calc.test.js"], 0, PASS, R7, n_green)
node("syntax-error", "the module under test cannot be parsed", T, 1, FAIL, "rows 2 and 3: SyntaxError in a project file; node counts the file as a failed test", {**n_green, "calc.js": "exports.add = (a, b => a + b;\n"})
node("project-module-missing", "a relative module is not there", T, 1, FAIL, "rows 2 and 3: Cannot find module './gone', a path of the tree", files(node_file, NOK, head="require('./gone');\n"))
node("third-party-missing", "a package is not installed: the file counts as one failed test", T, 1, FAIL, "row 2: node itself counts the file as a failed test; red cannot be forged into a hold (a control run attributes it later)", files(node_file, NOK, head="require('left-pad');\n"))
node("no-files", "no test file in the folder", T, 0, PERMANENT, R8, {"calc.js": ADD})
node("file-without-tests", "a test file without any test counts as one pass", T, 0, PERMANENT, R8 + "; node names the file itself as the passed test", {"calc.js": ADD, "calc.test.js": "const { add } = require('./calc');\n"})
node("named-file-missing", "the named file does not exist", [*T, "gone.test.js"], 1, PERMANENT, "row 8 by intent: Could not find the named file, nothing ran; waiting does not help", n_green)
node("all-skipped", "every test is skipped", T, 0, PERMANENT, R8, {"calc.js": ADD, "calc.test.js": "const test = require('node:test');\ntest.skip('a', () => {});\ntest.skip('b', () => {});\n"})
node("todo-fails", "a todo test fails, that is no failure", T, 0, PASS, R7 + "; todo is not a failure", {"calc.js": ADD, "calc.test.js": "const test = require('node:test');\ntest('a', () => {});\ntest.todo('b', () => { throw new Error('not yet'); });\n"})
node("cancelled", "a test never settles: cancelled", T, 1, FAIL, "row 2: node itself counts a cancelled test beside exit 1; the promise that never settles is the code's", {"calc.js": ADD, "calc.test.js": "const test = require('node:test');\ntest('a', () => {});\ntest('b', () => new Promise(() => {}));\n"})
node("hook-fails", "a before hook throws", T, 1, FAIL, R2, {"calc.js": ADD, "calc.test.js": "const { describe, it, before } = require('node:test');\ndescribe('d', () => { before(() => { throw new Error('no server'); }); it('a', () => {}); });\n"})
node("process-exit-0", "a test calls process.exit(0)", T, 0, PERMANENT, "rows 7 and 8: the file's only line is the file itself, as with a file without tests; no test reported its end", files(node_file, NOK, "process.exit(0);", NBAD))
node("abort", "a test aborts the process", T, 1, FAIL, "rows 2 and 4: node names the file whose process died by SIGABRT and counts it as failed", files(node_file, NOK, "process.abort();"))
node("file-sigkilled", "the test file's process is killed from outside", T, 1, FAIL, "row 2 by the letter: a complete closing summary counts a failed file, and red evidence is never turned into a hold", files(node_file, NOK, SLEEP), kill=Kill("SIGKILL", "TAP version", 1.5, who="calc.test.js"))
node("own-timeout", "--test-timeout ends a hanging test", [*T, "--test-timeout=1000"], 1, FAIL, R2 + "; the framework itself ended the test that hangs", files(node_file, NOK, SLEEP))
node("sigkill", "killed mid-run", T, "SIGKILL", TRANSIENT, R6, files(node_file, NOK, SLEEP), kill=Kill("SIGKILL", "TAP version", 1))
node("sigterm", "SIGTERM mid-run: node leaves with 1, without a summary", T, 1, TRANSIENT, R6 + "; the TAP has no plan and no closing counters", files(node_file, NOK, SLEEP), kill=Kill("SIGTERM", "TAP version", 1.5))
node("timeout-124", "timeout(1) ends the suite", ["timeout", "2", *T], 124, TRANSIENT, R6, files(node_file, NOK, SLEEP))
node("pass-with-infra-words", "passing tests print infrastructure errors", T, 0, PASS, R7 + "; words inside the suite do not count", files(node_file, SAYS, NOK))
node("fail-with-infra-words", "a failing test prints infrastructure errors", T, 1, FAIL, R2 + "; words inside the suite do not count", files(node_file, SAYS + " throw new Error('connect ECONNREFUSED 127.0.0.1:5432');"))
node("red-or-true", "red suite, `|| true`", "node --test || true", 0, FAIL, R2 + "; exit 0 never beats red", n_red)
node("unknown-option", "an option node does not know", [*T, "--frobnicate"], 9, PERMANENT, "row 8 by intent: usage error, nothing ran; waiting does not help", n_green)
node("green-then-7", "green suite, then a refused upload", "node --test && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not node's own code; curl was refused", n_green)
node("declared-but-only-pytest-ran", "node --test is declared, but only pytest ran; node found no file", "pytest -q && node --test", 0, PERMANENT, "row 8: the declared suite counts 0 tests; the green pytest part before it does not stand for it",
     {"calc.js": ADD, "test_x.py": "def test_x():\n    pass\n"}, options={"evidence": "node-test"})
case("junit", "node-green", "JUnit report by node --test: all pass", "node", [*T, "--test-reporter=junit", "--test-reporter-destination=report.xml"], 0, PASS, "row 7: green report and exit 0", files=n_green, options={"report": "report.xml"})
case("junit", "node-red-exit-0", "JUnit report by node --test: one fails, the code is thrown away", "node", "node --test --test-reporter=junit --test-reporter-destination=report.xml || true", 0, FAIL,
     "row 2: a report with failures (node writes no counters on the root element); exit 0 never beats red", files=n_red, options={"report": "report.xml"})

# -- jest -----------------------------------------------------------------------------------------------------------------------------------------


def jest_file(*bodies, head=""):
    return "const { add } = require('./calc');\n" + head + "".join(f"test('t{n}', async () => {{ {b} }});\n" for n, b in enumerate(bodies, 1))


def jest(name, about, argv, exit, expect, because, files, **more):
    case("jest", name, f"jest: {about}", "jest", argv, exit, expect, because, files={"package.json": '{ "name": "calc", "private": true, "scripts": { "test": "jest" } }\n', **files}, **more)


JOK, JBAD = "expect(add(1, 2)).toBe(3);", "expect(add(1, 2)).toBe(4);"
j_green, j_red = files(jest_file, JOK, JOK), files(jest_file, JOK, JBAD)
J = ["jest"]
jest("all-pass", "two tests pass", J, 0, PASS, R7, j_green)
jest("one-fails", "one of two fails", J, 1, FAIL, R2, j_red)
jest("npm-test-fails", "behind npm test, one fails", ["npm", "test"], 1, FAIL, R2, j_red)
jest("colour-fail", "coloured, one fails", [*J, "--colors"], 1, FAIL, R2 + "; colour codes are stripped", j_red)
jest("verbose-pass", "--verbose, all pass", [*J, "--verbose"], 0, PASS, R7, j_green)
jest("reporter-missing", "--reporters=jest-silent-reporter is not installed", [*J, "--reporters=jest-silent-reporter"], 1, PERMANENT, MISSING + "; the reporter module is not found, nothing ran", j_green)
jest("syntax-error", "the module under test cannot be parsed: 1 suite failed, 0 tests", J, 1, FAIL, "rows 2 and 3: a SyntaxError in a project file, `Test Suites: 1 failed`", {**j_green, "calc.js": "exports.add = (a, b => a + b;\n"})
jest("project-module-missing", "a relative module is not there", J, 1, FAIL, "rows 2 and 3: Cannot find module './gone', a path of the tree", files(jest_file, JOK, head="require('./gone');\n"))
jest("third-party-missing", "a package is not installed: 1 suite failed, 0 tests", J, 1, FAIL, "row 2: jest itself counts a failed suite; red cannot be forged into a hold (a control run attributes it later)", files(jest_file, JOK, head="require('left-pad');\n"))
jest("suite-red-tests-green", "one file fails to load, the other file's tests pass", J, 1, FAIL, "row 2: `Test Suites: 1 failed` although `Tests:` counts no failure", {**j_green, "other.test.js": "throw new Error('broken set-up');\n"})
jest("empty-test-file", "a test file without a test: suite failed", J, 1, FAIL, "row 2: jest itself counts the suite as failed: `Your test suite must contain at least one test`", {"calc.js": ADD, "calc.test.js": "require('./calc');\n"})
jest("no-tests", "no test file: exit 1", J, 1, PERMANENT, R8, {"calc.js": ADD})
jest("pass-with-no-tests", "no test file, --passWithNoTests: exit 0", [*J, "--passWithNoTests"], 0, PERMANENT, R8, {"calc.js": ADD})
jest("filter-matches-nothing", "-t matches nothing: all skipped, exit 0", [*J, "-t", "nothing like it"], 0, PERMANENT, R8, j_green)
jest("all-skipped", "every test is skipped", J, 0, PERMANENT, R8, {"calc.js": ADD, "calc.test.js": "test.skip('a', () => {});\ntest.skip('b', () => {});\n"})
jest("coverage-too-low", "green suite, coverage threshold not met", [*J, "--coverage", "--coverageThreshold", '{"global":{"lines":100}}'], 1, FAIL, "row 7b: green, complete, and jest's own failing code",
     {"calc.js": ADD + "exports.unused = (a) => {\n  if (a) {\n    return 1;\n  }\n  return 2;\n};\n", "calc.test.js": jest_file(JOK)})
jest("process-exit-0", "a test calls process.exit(0)", J, 0, PERMANENT, "row 11: exit 0 without a closing summary", files(jest_file, JOK, "process.exit(0);", JBAD))
jest("timeout-of-test", "a test runs longer than jest allows", [*J, "--testTimeout=500", "--forceExit"], 1, FAIL, R2 + "; the framework itself ended the test that hangs", files(jest_file, JOK, SLEEP))
jest("open-handle-pass", "green, but something keeps running: --forceExit", [*J, "--forceExit"], 0, PASS, R7, files(jest_file, JOK, "setInterval(() => {}, 1000);"))
jest("sigkill", "killed mid-run", [*J, "--testTimeout=90000"], "SIGKILL", TRANSIENT, R6, files(jest_file, JOK, "process.stderr.write('started'); " + SLEEP), kill=Kill("SIGKILL", "started", 0.5))
jest("timeout-124", "timeout(1) ends the suite", ["timeout", "4", *J, "--testTimeout=90000"], 124, TRANSIENT, R6, files(jest_file, JOK, SLEEP))
jest("pass-with-infra-words", "passing tests print infrastructure errors", J, 0, PASS, R7 + "; words inside the suite do not count", files(jest_file, SAYS, JOK))
jest("fail-with-infra-words", "a failing test prints infrastructure errors", J, 1, FAIL, R2 + "; words inside the suite do not count", files(jest_file, SAYS + " throw new Error('connect ECONNREFUSED 127.0.0.1:5432');"))
jest("red-or-true", "red suite, `|| true`", "jest || true", 0, FAIL, R2 + "; exit 0 never beats red", j_red)
jest("red-tee", "red suite behind a pipe", "jest 2>&1 | tee log.txt", 0, FAIL, R2 + "; exit 0 never beats red", j_red)
jest("unknown-option", "an option jest does not know", [*J, "--frobnicate"], 1, PERMANENT, "row 8 by intent: usage error, nothing ran; waiting does not help", j_green)
jest("jest-missing", "npm test where jest is not installed", ["npm", "test"], 127, PERMANENT, "rows 9 and 10: npm's shell could not find the tool", j_green, env={"PATH": "/usr/bin:/bin"})
jest("script-missing", "npm has no script of that name", ["npm", "run", "test:unit"], 1, PERMANENT, "row 9: `npm error Missing script`, nothing ran; waiting does not help", j_green)
jest("package-json-missing", "npm test in a folder without package.json", "rm package.json && npm test", 254, PERMANENT, "row 9: `npm error` ENOENT: nothing ran; waiting does not help", j_green)
jest("green-then-7", "green suite, then a refused upload", "jest && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not jest's own code; curl was refused", j_green)
jest("green-then-lint-missing", "green suite, then a linter that is not installed", "jest && eslint-of-us .", 127, PERMANENT, "rows 9 and 10: the shell did not find a command after the suite", j_green)

# -- mocha and vitest: no closing line of one shape, so a report is declared; vitest's own line is declared as closing line --------------------------
MOCHA = ["mocha", "--reporter", "xunit", "--reporter-option", "output=report.xml", "calc.test.js"]


def mocha_file(*bodies):
    return "const assert = require('assert');\nconst { add } = require('./calc');\n" + "".join(f"it('t{n}', async () => {{ {b} }});\n" for n, b in enumerate(bodies, 1))


case("other", "mocha-xunit-pass", "mocha, xunit report: two pass", "mocha", MOCHA, 0, PASS, "row 7: green report and exit 0", files=files(mocha_file, NOK, NOK), options={"report": "report.xml"})
case("other", "mocha-xunit-fail", "mocha, xunit report: seven fail, the exit code is their number", "mocha", MOCHA, 7, FAIL, "row 2: a report with failures; mocha's code is the number of failures, which is no curl and no chain", files=files(mocha_file, NOK, *[NBAD] * 7), options={"report": "report.xml"})
case("other", "mocha-xunit-fail-127", "mocha, 127 failures: exit 127", "mocha", MOCHA, 127, FAIL, "row 2: a report with failures, whatever the exit code; 127 is the number of failures here",
     files={"calc.js": ADD, "calc.test.js": "for (let n = 0; n < 127; n += 1) it(`t${n}`, () => { throw new Error(); });\n"}, options={"report": "report.xml"})
LINE = r"^\s*Tests\s+(?:(?P<failed>\d+) failed)?(?: \| )?(?:(?P<passed>\d+) passed)?(?: \| )?(?:(?P<skipped>\d+) skipped)? \((?P<total>\d+)\)$"


def vitest(name, about, argv, exit, expect, because, *bodies, **more):
    text = "import { expect, test } from 'vitest';\nimport { add } from './calc.mjs';\n" + "".join(f"test{'' if b else '.skip'}('t{n}', () => {{ {b} }});\n" for n, b in enumerate(bodies, 1))
    case("other", name, f"vitest: {about}", "vitest", argv, exit, expect, because, files={"calc.mjs": "export const add = (a, b) => a + b;\n", "calc.test.mjs": text},
         setup=lambda f: (f / "node_modules").symlink_to(NPM / "node_modules"), options={"evidence": "closing-line", "closing-line": LINE}, **more)


vitest("vitest-pass", "two tests pass, read by a declared closing line", ["vitest", "run"], 0, PASS, R7, JOK, JOK)
vitest("vitest-fail", "one of three fails, read by a declared closing line", ["vitest", "run"], 1, FAIL, R2, JOK, JBAD, "")
vitest("vitest-fail-or-true", "one fails, `|| true`", "vitest run || true", 0, FAIL, R2 + "; exit 0 never beats red", JOK, JBAD)


# -- mocha, read by its own closing lines -----------------------------------------------------------------------------------------------------
def mocha(name, about, argv, exit, expect, because, files, **more):
    case("mocha", name, f"mocha: {about}", "mocha", argv, exit, expect, because, files=files, **more)


M = ["mocha", "calc.test.js"]
m_green, m_red = files(mocha_file, NOK, NOK), files(mocha_file, NOK, NBAD)
mocha("all-pass", "all pass", M, 0, PASS, R7, m_green)
mocha("one-fails", "one fails: exit 1", M, 1, FAIL, R2, m_red)
mocha("seven-fail", "seven fail: the exit code is their number", M, 7, FAIL, R2 + "; 7 is the number of failures, not curl's code", files(mocha_file, NOK, *[NBAD] * 7))
mocha("dot-fail", "the dot reporter, one fails", ["mocha", "--reporter", "dot", "calc.test.js"], 1, FAIL, R2, m_red)
mocha("min-pass", "the min reporter, which clears the screen", ["mocha", "--reporter", "min", "calc.test.js"], 0, PASS, R7, m_green)
mocha("colour-fail", "colour codes, one fails", ["mocha", "--color", "calc.test.js"], 1, FAIL, R2, m_red)
mocha("all-pending", "every test is pending", M, 0, PERMANENT, R8, {"calc.js": ADD, "calc.test.js": "it('a');\nit('b');\n"})
mocha("filter-matches-nothing", "-g matches nothing: 0 passing", [*M, "-g", "nothing like it"], 0, PERMANENT, R8, m_green)
mocha("hook-fails", "a before hook fails: 0 passing, 1 failing", M, 1, FAIL, R2, {"calc.js": ADD, "calc.test.js": "before(() => { throw new Error('no server'); });\nit('a', () => {});\n"})
mocha("no-files", "no test file", ["mocha"], 1, PERMANENT, "row 9: No test files found, nothing ran", {"calc.js": ADD})
mocha("third-party-missing", "a package is not installed: no summary", M, 1, PERMANENT, MISSING + "; Cannot find module 'left-pad', no summary", files(lambda *b: "require('left-pad');\n" + mocha_file(*b), NOK))
mocha("syntax-error", "the test file cannot be parsed", M, 1, FAIL, "row 3: node's own SyntaxError at a project file and line", {"calc.js": ADD, "calc.test.js": "const x = ;\n"})
mocha("process-exit-0", "a test leaves by process.exit(0)", M, 0, PERMANENT, "row 11: exit 0 without a closing summary", files(mocha_file, "process.exit(0);", NBAD))
mocha("pass-with-infra-words", "passing tests print infrastructure errors", M, 0, PASS, R7 + "; words inside the suite do not count", files(mocha_file, SAYS, NOK))
mocha("fail-with-infra-words", "a failing test prints infrastructure errors", M, 1, FAIL, R2 + "; words inside the suite do not count", files(mocha_file, SAYS, NBAD))
mocha("red-or-true", "one fails, `|| true`", "mocha calc.test.js || true", 0, FAIL, R2 + "; exit 0 never beats red", m_red)
mocha("green-then-7", "green suite, then a refused upload", "mocha calc.test.js && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not mocha's own code; curl was refused", m_green)
mocha("sigkill", "killed mid-run", M, "SIGKILL", TRANSIENT, R6, files(mocha_file, NOK, "return new Promise(() => { setTimeout(() => {}, 60000); });"), kill=Kill("SIGKILL", "t1"))


# -- vitest, read by its own closing lines ----------------------------------------------------------------------------------------------------
def vi(name, about, argv, exit, expect, because, *bodies, head="", extra=None, **more):
    text = "import { expect, test } from 'vitest';\nimport { add } from './calc.mjs';\n" + head + "".join(f"test{'' if b else '.skip'}('t{n}', async () => {{ {b} }});\n" for n, b in enumerate(bodies, 1))
    case("vitest", name, f"vitest: {about}", "vitest", argv, exit, expect, because, files={"calc.mjs": "export const add = (a, b) => a + b;\n", "calc.test.mjs": text, **(extra or {})},
         setup=lambda f: (f / "node_modules").symlink_to(NPM / "node_modules"), **more)


V = ["vitest", "run"]
vi("all-pass", "all pass", V, 0, PASS, R7, JOK, JOK)
vi("one-fails", "one of three fails, one is skipped", V, 1, FAIL, R2, JOK, JBAD, "")
vi("no-colour-fail", "without colour codes", V, 1, FAIL, R2, JOK, JBAD, env={"NO_COLOR": "1"})
vi("dot-fail", "the dot reporter", ["vitest", "run", "--reporter=dot"], 1, FAIL, R2, JOK, JBAD)
vi("tap-fail", "the tap reporter", ["vitest", "run", "--reporter=tap-flat"], 1, FAIL, R2, JOK, JBAD)
vi("all-skipped", "every test is skipped", V, 0, PERMANENT, R8, "", "")
vi("file-fails-tests-pass", "one file cannot be loaded, the other's tests pass", V, 1, FAIL, "row 2: `Test Files  1 failed` although `Tests` counts no failure", JOK, extra={"other.test.mjs": "throw new Error('broken set-up');\n"})
vi("third-party-missing", "a package is not installed: one file fails", V, 1, FAIL, "row 2: vitest itself counts a failed file; red cannot be forged into a hold (a control run attributes it later)", JOK, head="import 'left-pad';\n")
vi("unhandled-error", "a promise is rejected after the tests: Errors  1 error", V, 1, FAIL, "row 2: vitest itself counts an error although the tests passed", JOK + " setTimeout(() => { throw new Error('later'); }, 0); await new Promise((r) => setTimeout(r, 50));")
vi("filter-matches-nothing", "-t matches nothing", ["vitest", "run", "-t", "nothing like it"], 0, PERMANENT, R8, JOK)
vi("unknown-option", "an option it does not know", ["vitest", "run", "--frobnicate"], 1, PERMANENT, "row 9: usage error, nothing ran", JOK)
vi("no-such-file", "the named file does not exist", ["vitest", "run", "gone.test.mjs"], 1, PERMANENT, R8, JOK)
vi("pass-with-infra-words", "passing tests print infrastructure errors", V, 0, PASS, R7 + "; words inside the suite do not count", SAYS, JOK)
vi("fail-with-infra-words", "a failing test prints infrastructure errors", V, 1, FAIL, R2 + "; words inside the suite do not count", SAYS, JBAD)
vi("red-or-true", "one fails, `|| true`", "vitest run || true", 0, FAIL, R2 + "; exit 0 never beats red", JOK, JBAD)
vi("green-then-7", "green suite, then a refused upload", "vitest run && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not vitest's own code; curl was refused", JOK)
vi("timeout-124", "timeout(1) ends the suite", ["timeout", "4", "vitest", "run"], 124, TRANSIENT, R6, JOK, "await new Promise(() => { setTimeout(() => {}, 60000); });", extra={"vitest.config.mjs": "export default { test: { testTimeout: 60000 } };\n"})
vi("coverage-tool-missing", "--coverage without its package", ["vitest", "run", "--coverage"], 1, PERMANENT, MISSING, JOK, env={"CI": "1"})
