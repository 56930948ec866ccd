"""go test. Debian's go; modules come from nowhere (GOPROXY=off) except where a case asks for an unreachable proxy."""

from recorder import FAIL, PASS, PERMANENT, TRANSIENT, Kill, case

R2 = "row 2: a package line or a test line is red"
R6 = "row 6: ended from outside before a package line; no verdict"
R7 = "row 7: every package is ok and exit 0"
R8 = "row 8: nothing ran, which is never green and not a failing test"
R3 = "row 3: the compiler's own file:line:col error in the tree; the change did it"
MISSING = "Decisions: a missing tool or dependency is permanent-env"

MOD = "module example.test/calc\n\ngo 1.19\n"
LIB = "package calc\n\nfunc Add(a, b int) int {\n\treturn a + b\n}\n"


def module(*bodies, imports='"testing"', **files):
    text = "".join(f"func TestT{n}(t *testing.T) {{\n\t{b}\n}}\n\n" for n, b in enumerate(bodies, 1))
    return {"go.mod": MOD, "calc.go": LIB, "calc_test.go": f"package calc\n\nimport (\n\t" + "\n\t".join(imports.split()) + f"\n)\n\n{text}", **files}


OK, BAD = "if Add(1, 2) != 3 {\n\t\tt.Fatal(\"sum\")\n\t}", "if Add(1, 2) != 4 {\n\t\tt.Fatalf(\"got %d\", Add(1, 2))\n\t}"
SAYS = 'println("ssh: connect to host h port 22: Connection timed out"); print("Cannot connect to the Docker daemon at unix:///var/run/docker.sock\\n"); println("dial tcp 127.0.0.1:5432: connect: connection refused")'
SLEEP = "time.Sleep(time.Minute)"
green, red = module(OK, OK), module(OK, BAD)
other = {"b/b.go": "package b\n", "b/b_test.go": 'package b\n\nimport "testing"\n\nfunc TestB(t *testing.T) {\n}\n'}


def go(name, about, argv, exit, expect, because, files, **more):
    case("go-test", name, f"go test: {about}", "go", argv, exit, expect, because, files=files, **more)


T = ["go", "test", "-count=1", "./..."]
go("all-pass", "one package, all pass", T, 0, PASS, R7, green)
go("verbose-pass", "-v, all pass", ["go", "test", "-count=1", "-v", "./..."], 0, PASS, R7, green)
go("cached-pass", "the result comes from the cache", "go test ./... >/dev/null && go test ./...", 0, PERMANENT, R8 + "; (cached) is the word of an earlier run: nothing was executed in this attempt (go test -count=1 runs it)", green)
go("cached-beside-a-run", "one package from the cache, one really run", "go test ./... >/dev/null; sed -i 's/package b/package b\\n\\nfunc New() int { return 1 }/' b/b.go; go test ./...", 0, PASS, R7 + "; the package that was run is green", {**green, **other})
go("json-cached", "-json, the result comes from the cache", "go test -json ./... >/dev/null && go test -json ./...", 0, PERMANENT, R8 + "; (cached) is the word of an earlier run", green)
go("json-panic", "-json, a test panics", ["go", "test", "-count=1", "-json", "./..."], 1, FAIL, R2 + ", read from the JSON actions", module(OK, 'panic("boom")'))
go("json-build-failed", "-json, the package does not compile", ["go", "test", "-count=1", "-json", "./..."], 2, FAIL, R3, {**green, "calc.go": LIB.replace("a + b", '"three"')})
go("json-all-skipped", "-json, every test is skipped", ["go", "test", "-count=1", "-json", "./..."], 0, PERMANENT, R8, module('t.Skip("later")'))
go("json-sigkill", "-json, go is killed mid-run", ["go", "test", "-count=1", "-json", "./..."], "SIGKILL", TRANSIENT, R6, module(OK, SLEEP, imports='"testing" "time"'), kill=Kill("SIGKILL", "--- PASS: TestT1"))
go("json-syscall-exit-0", "-json, a test leaves by the system call", ["go", "test", "-count=1", "-json", "./..."], 0, PERMANENT, "rows 7 and 11: exit 0, but a test that began never ended", module("syscall.Exit(0)", BAD, imports='"syscall" "testing"'))
go("json-binary-sigkilled", "-json, the test binary is killed from outside", ["go", "test", "-count=1", "-json", "./..."], 1, TRANSIENT, "row 4 never counts KILL; row 6: no test failed", module(OK, SLEEP, imports='"testing" "time"'), kill=Kill("SIGKILL", "--- PASS: TestT1", 0.3, who="calc.test"))
go("one-fails", "one test fails", T, 1, FAIL, R2, red)
go("verbose-fail", "-v, one test fails", ["go", "test", "-count=1", "-v", "./..."], 1, FAIL, R2, red)
go("json-pass", "-json, all pass", ["go", "test", "-count=1", "-json", "./..."], 0, PASS, R7 + ", read from the JSON actions", green)
go("json-fail", "-json, one test fails", ["go", "test", "-count=1", "-json", "./..."], 1, FAIL, R2 + ", read from the JSON actions", red)
go("two-packages-one-red", "one package ok, one red", T, 1, FAIL, R2, {**red, **other})
go("build-failed", "the package under test does not compile", T, 2, FAIL, R3, {**green, "calc.go": LIB.replace("a + b", '"three"')})
go("build-failed-beside-green", "one package does not compile, the other is ok", T, 2, FAIL, R3, {**green, "calc.go": LIB.replace("a + b", '"three"'), **other})
go("build-failed-in-test", "the test uses a function that is gone: [build failed]", T, 2, FAIL, R3, module("if Minus(1, 2) != 3 {\n\t\tt.Fatal()\n\t}"))
go("syntax-error", "the package cannot be parsed: [build failed]", T, 2, FAIL, R3, {**green, "calc.go": "package calc\n\nfunc Add(a, b int int {\n"})
go("vet-failed", "go vet's own check inside go test", T, 2, FAIL, R3 + ": vet names file, line and column", module('t.Logf("%d", "x")'))
go("panic", "a test panics", T, 1, FAIL, R2 + "; a Go panic is the test's own end", module(OK, 'panic("boom")'))
go("nil-dereference", "a test dereferences nil: signal SIGSEGV", T, 1, FAIL, R2 + "; the Go run-time names the running test", module("var p *int\n\t_ = *p + 1\n\tt.Log(*p)"))
go("os-exit-0", "a test calls os.Exit(0): go turns it into a panic", T, 1, FAIL, R2 + "; `panic: unexpected call to os.Exit(0) during test`", module("os.Exit(0)", imports='"os" "testing"'))
go("syscall-exit-0", "-v, a test leaves by the system call: `=== RUN` without an end, yet `ok` and exit 0", ["go", "test", "-count=1", "-v", "."], 0, PERMANENT, "rows 7 and 11: exit 0, but the run is not complete: a test that began never ended and `PASS` is missing before `ok`", module("syscall.Exit(0)", BAD, imports='"syscall" "testing"'))
go("own-timeout", "go's own -timeout panics the hanging test", ["go", "test", "-count=1", "-timeout", "1s", "./..."], 1, FAIL, R2 + "; the framework itself ended the test that hangs", module(OK, SLEEP, imports='"testing" "time"'))
go("no-test-files", "no package has a test file", T, 0, PERMANENT, R8, {"go.mod": MOD, "calc.go": LIB})
go("no-tests-to-run", "-run matches nothing: ok ... [no tests to run]", ["go", "test", "-run", "NothingLikeIt", "./..."], 0, PERMANENT, R8, green)
go("all-skipped-verbose", "-v, every test is skipped: ok", ["go", "test", "-count=1", "-v", "./..."], 0, PERMANENT, R8 + "; only -v shows it", module('t.Skip("later")', 't.Skip("later")'))
go("no-packages", "the pattern matches no package", ["go", "test", "./gone/..."], 1, PERMANENT, "row 8 by intent: no packages to test, nothing ran; waiting does not help", green)
go("module-missing", "a module is not in the cache and the proxy is off: [setup failed]", T, 1, PERMANENT, MISSING + "; `module lookup disabled by GOPROXY=off`, no test ran although the package line says FAIL",
   {**green, "http_test.go": 'package calc\n\nimport (\n\t"testing"\n\n\t"example.org/assert"\n)\n\nfunc TestA(t *testing.T) {\n\tassert.True(t, true)\n}\n'})
go("proxy-unreachable", "the module proxy refuses the connection", T, 1, TRANSIENT, "row 9: `dial tcp ... connection refused` from go's own download; may pass by itself, no test ran",
   {**green, "go.mod": MOD + "\nrequire example.org/assert v1.0.0\n", "http_test.go": 'package calc\n\nimport (\n\t"testing"\n\n\t"example.org/assert"\n)\n\nfunc TestA(t *testing.T) {\n\tassert.True(t, true)\n}\n'},
   env={"GOPROXY": "http://127.0.0.1:9", "GONOSUMDB": "*", "GOFLAGS": "-mod=mod"})
go("project-package-missing", "imports a package of the own module that is not there", T, 1, PERMANENT, "Decisions: a missing dependency is permanent-env; the output does not show the module's own path, so nobody can tell this package from a third-party one (a control run can)",
   {**green, "calc.go": LIB.replace("package calc\n", 'package calc\n\nimport _ "example.test/calc/gone"\n')}, env={"GOFLAGS": ""})
go("project-package-missing-verbose", "the same where go prints the own module path beside it", T, 1, FAIL, "row 3: go names the project's file and line, and the missing package lies below a package of the project that the output names",
   {**green, "calc_test.go": green["calc_test.go"].replace('"testing"', '"testing"\n\t_ "example.test/calc/gone"')}, env={"GOFLAGS": ""})
go("bad-option-value", "an option the flag parser refuses", ["go", "test", "-count=many", "./..."], 2, PERMANENT, "row 8 by intent: usage error, nothing ran; waiting does not help", green)
go("go-missing", "the shell finds no go", ["/bin/sh", "-c", "go test ./..."], 127, PERMANENT, "rows 9 and 10: the shell could not find the tool", green, env={"PATH": "/bin-of-nobody"})
go("pass-with-infra-words", "passing tests print infrastructure errors", ["go", "test", "-count=1", "-v", "./..."], 0, PASS, R7 + "; words inside the suite do not count", module(SAYS, OK))
go("fail-with-infra-words", "a failing test prints infrastructure errors", T, 1, FAIL, R2 + "; words inside the suite do not count", module(SAYS + "\n\tt.Fatal(\"dial tcp: lookup db: no such host\")", OK))
go("red-or-true", "red suite, `|| true`", "go test -count=1 ./... || true", 0, FAIL, R2 + "; exit 0 never beats red", red)
go("red-json-or-true", "red suite, -json, `|| true`", "go test -count=1 -json ./... || true", 0, FAIL, R2 + "; exit 0 never beats red", red)
go("sigkill", "go is killed mid-run", T, "SIGKILL", TRANSIENT, R6, module(OK, 'os.Stderr.WriteString("started"); ' + SLEEP, imports='"os" "testing" "time"'), kill=Kill("SIGKILL", "", 3))
go("sigkill-verbose", "go test -v is killed mid-run", ["go", "test", "-count=1", "-v", "."], "SIGKILL", TRANSIENT, R6, module(OK, SLEEP, imports='"testing" "time"'), kill=Kill("SIGKILL", "--- PASS: TestT1"))
go("binary-sigkilled", "the test binary is killed from outside: `signal: killed`, FAIL", T, 1, TRANSIENT,
   "row 4 never counts KILL; row 6: go prints `signal: killed` and the package's FAIL without any failed test, so no verdict was delivered", module(OK, SLEEP, imports='"testing" "time"'), kill=Kill("SIGKILL", "", 4, who="calc.test"))
go("timeout-124", "timeout(1) ends the suite", ["timeout", "5", "go", "test", "-count=1", "./..."], 124, TRANSIENT, R6, module(SLEEP, imports='"testing" "time"'))
go("green-then-7", "green suite, then a refused upload", "go test -count=1 ./... && curl -sS http://127.0.0.1:9/upload", 7, TRANSIENT, "rows 9 and 11: 7 is not go's own code; curl was refused", green)
go("list-only", "-list names the tests and runs none", ["go", "test", "-list", ".", "./..."], 0, PERMANENT, R8 + "; it prints `ok` all the same", green)
go("build-failed-or-true-beside-green", "one package does not compile, the other is ok, `|| true`", "go test -count=1 ./... || true", 0, FAIL, R3 + "; the other package's green does not stand for it", {**green, "calc.go": LIB.replace("a + b", '"three"'), **other})
go("import-cycle", "two packages import each other", T, 1, FAIL, "row 3: go itself refuses the project's imports", {**green, "calc.go": 'package calc\n\nimport _ "example.test/calc/b"\n', "b/b.go": 'package b\n\nimport _ "example.test/calc"\n'})
go("go-mod-broken", "go.mod cannot be parsed", T, 1, FAIL, "row 3: the project's own manifest cannot be parsed", {**green, "go.mod": "modul example.test/calc\n"})
go("go-too-old", "go.mod is of a newer go", T, 1, PERMANENT, "Decisions: a toolchain that is too old is permanent-env", {**green, "go.mod": "module example.test/calc\n\ngo 1.99.1\n"})
