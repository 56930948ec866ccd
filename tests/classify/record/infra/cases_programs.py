"""What shells, the loader, make, interpreters and the JVM say when a program cannot be run, and bare programs that say nothing of use."""

import os
import signal
import struct

from infra.kit import BY_CLOSING_LINE, VERSIONS, Case, kill_below
from infra.services import BUSY, DEAD, TLS, ports, web

VERSIONS["bash"] = ("bash", ["bash", "--version"])
VERSIONS["dash"] = ("dash", ["dpkg-query", "-W", "-f", "${Version}", "dash"])
VERSIONS["busybox"] = ("busybox", ["busybox"])
VERSIONS["glibc"] = ("glibc", ["ldd", "--version"])
VERSIONS["make"] = ("GNU make", ["make", "--version"])
VERSIONS["java"] = ("openjdk", ["java", "-version"])
VERSIONS["maven"] = ("maven", ["mvn", "-v"])
VERSIONS["python"] = ("python", ["/usr/bin/python3", "--version"])
VERSIONS["node"] = ("node", ["node", "--version"])
VERSIONS["perl"] = ("perl", ["perl", "-e", "printf '%vd', $^V"])
VERSIONS["ruby"] = ("ruby", ["ruby", "--version"])
VERSIONS["php"] = ("php", ["php", "--version"])
VERSIONS["go"] = ("go", ["go", "version"])
VERSIONS["coreutils"] = ("coreutils", ["env", "--version"])
NO_EVIDENCE_ZERO = "row 11: exit 0 without evidence is never a pass"


def files(**by_name):
    """A set-up that writes these files; `__` stands for a dot, `x_` in front makes one executable."""
    def setup(box):
        for name, text in by_name.items():
            mode = 0o755 if name.startswith("x_") else 0o644
            box.write(name.removeprefix("x_").replace("__", "."), text, mode)
    return setup


def shell(name, about, script, expect, because, setup=None, sh="bash", options=None, **more):
    argv = {"bash": ["bash", "-c"], "dash": ["dash", "-c"], "busybox": ["busybox", "sh", "-c"]}[sh] + [script]
    return Case(f"shell/{name}", about, sh, argv, expect, because, setup, options=options or {}, **more)


GREEN = "echo 1..2\necho 'ok 1 - starts'\necho 'ok 2 - stops'\n"
RED = "echo 1..2\necho 'ok 1 - starts'\necho 'not ok 2 - stops'\n"
FORKING = "echo preparing; sleep 0.1 | cat; (sleep 0.1; true) | cat; echo 1..1; echo ok 1"

CASES = [
    *[shell(f"{sh}-not-found", f"{sh} does not find the suite's program", "run-suite --all", "permanent", "row 9: the shell says 'not found', 127", sh=sh)
      for sh in ("bash", "dash", "busybox")],
    *[shell(f"{sh}-not-executable", f"{sh} may not execute the suite's script", "./suite.sh", "permanent", "row 9: 'Permission denied', 126",
            files(suite__sh=GREEN), sh) for sh in ("bash", "dash", "busybox")],
    *[shell(f"{sh}-missing-interpreter", f"{sh} starts a script whose #! program is missing", "./suite.sh", "permanent",
            "row 9: the interpreter is missing on this machine", files(x_suite__sh="#!/opt/python/bin/python9\nprint(1)\n"), sh)
      for sh in ("bash", "dash", "busybox")],
    shell("crlf-interpreter", "a script with CR LF line ends: its interpreter is 'sh\\r'", "./suite.sh", "permanent",
          "row 9: the shell says that the required file is missing; nothing ran", files(x_suite__sh="#!/bin/sh\r\necho 1..1\r\n")),
    shell("env-interpreter-missing", "a script that starts through env a program which is missing", "./suite.sh", "permanent",
          "row 9: env's own 'No such file or directory', 127", files(x_suite__sh="#!/usr/bin/env python9\nprint(1)\n")),
    *[shell(f"{sh}-script-missing", f"{sh} is given a script that is not there", f"{sh if sh != 'busybox' else 'busybox sh'} tests/run-all.sh", "permanent",
            "row 9: the suite's script is missing; nothing ran", sh=sh) for sh in ("bash", "dash", "busybox")],
    Case("shell/bash-script-syntax-error", "the suite's own script in the worktree does not parse", "bash", ["bash", "tests/run.sh"], "fail",
         "row 3: code that cannot be parsed, said by its interpreter with file and line inside the worktree: the change did it",
         lambda box: box.write("tests/run.sh", "echo 1..1\nif true; then\n  echo ok 1\nesac\n")),
    Case("shell/dash-script-syntax-error", "the suite's own script in the worktree does not parse", "dash", ["dash", "tests/run.sh"], "fail",
         "row 3: code that cannot be parsed, said by its interpreter with file and line inside the worktree: the change did it",
         lambda box: box.write("tests/run.sh", "echo preparing\nif true; then\n  echo ok 1\nesac\n")),
    shell("bash-command-syntax-error", "the stage's command line itself does not parse", "run-suite --only (fast)", "permanent",
          "row 9: bash's '-c: line 1' is the stage's configuration, not the code under test"),
    shell("dash-command-syntax-error", "the stage's command line itself does not parse", "run-suite --only (fast)", "permanent",
          "row 9: the -c text is the stage's configuration, not the code under test", sh="dash"),
    shell("dash-fork-refused", "dash cannot fork: the user has all the processes it may have", FORKING, "transient", "row 9: 'Cannot fork' is EAGAIN", sh="dash",
          user=61111, limits={"nproc": 1}),
    shell("bash-fork-refused", "bash cannot fork: the user has all the processes it may have", FORKING, "transient",
          "row 9: 'fork: Resource temporarily unavailable', 254", user=61111, limits={"nproc": 1}),
    shell("folder-missing", "the folder of the suite is not there", "cd /srv/app && ./suite.sh", "permanent", "row 9: bash's 'No such file or directory'"),
    shell("folder-denied", "the folder of the suite may not be entered", "cd /root/app && ./suite.sh", "permanent", "row 9: bash's 'Permission denied'", user=65534),
    shell("redirect-denied", "the log file may not be written", "./suite.sh > /var/log/suite.log", "permanent", "row 9: bash's 'Permission denied'",
          files(x_suite__sh=GREEN), user=65534),
    shell("unbound-variable", "bash -u: a variable of the environment is not set", "set -u; echo deploying to $STAGING_HOST", "permanent",
          "row 9: the environment lacks a variable; waiting will not set it"),
    shell("dash-unbound-variable", "dash -u: a variable of the environment is not set", "set -u; echo deploying to $STAGING_HOST", "permanent",
          "row 9: the environment lacks a variable; waiting will not set it", sh="dash"),
    shell("required-variable", "${X:?}: a variable of the environment is not set", ": ${STAGING_HOST:?must be set}; ./suite.sh", "permanent",
          "row 9: the environment lacks a variable; waiting will not set it"),
    shell("source-missing", "the settings file the command sources is not there", ". ./settings.sh && ./suite.sh", "permanent", "row 9: a file is missing", sh="dash"),
    shell("text-file-busy", "the program is being written while it is started", "exec 3>>tool; ./tool", "transient", "row 9: ETXTBSY passes by itself",
          lambda box: (box.run("cp", "/bin/true", box.dir / "tool"))),
    shell("argument-list-too-long", "the command line is longer than the kernel takes", "/bin/echo $(seq -w 1 400000)", "permanent",
          "row 9: 'Argument list too long', 126; the next try is as long"),
    shell("too-many-open-files", "bash has no file descriptor left", "set -e; for i in 1 2 3 4 5 6 7 8; do eval \"exec {fd$i}</dev/null\"; done; echo 1..1; echo ok 1",
          "transient", "row 9: EMFILE", limits={"nofile": 12}),
    shell("exit-75", "a deploy script returns 75, try again later", "echo 'staging is being deployed'; exit 75", "transient", "row 10: 75"),
    shell("exit-78-silent", "a script returns 78 without a word", "exit 78", "transient", "row 11: a code that row 10 does not name is unclassified"),
    shell("exit-126-silent", "a wrapper returns 126 without a word", "exit 126", "permanent", "row 10: 126"),
    shell("exit-127-silent", "a wrapper returns 127 without a word", "exit 127", "permanent", "row 10: 127"),
    shell("exit-255-silent", "a wrapper returns 255 without a word", "exit 255", "transient", "row 10: 255"),
    shell("exit-1-silent", "a script returns 1 without a word", "exit 1", "transient", "row 11: unclassified"),
    shell("exit-1-chatter", "a script talks and returns 1", "echo 'checking the site'; echo 'something is odd' >&2; exit 1", "transient", "row 11: unclassified"),
    shell("exit-1-says-failed", "a script without evidence that merely says so", "echo 'Tests failed!'; exit 1", "transient",
          "row 11: a word is no summary with counts: unclassified"),
    shell("exit-0-silent", "a script returns 0 without a word", "exit 0", "permanent", NO_EVIDENCE_ZERO),
    shell("exit-0-chatter", "a script talks and returns 0", "echo 'everything is fine'", "permanent", NO_EVIDENCE_ZERO),
    shell("exit-0-says-passed", "a script without evidence that merely says so", "echo 'All tests passed!'", "permanent", NO_EVIDENCE_ZERO),
    shell("error-swallowed", "the tool is missing, and '|| true' turns that into 0", "run-suite --all || true", "permanent",
          "row 9 or 11: nothing ran and the tool is missing"),
    shell("pipe-swallows", "the tool is missing, and a pipe into tee turns that into 0", "run-suite --all | tee suite.log", "permanent",
          "row 9 or 11: nothing ran and the tool is missing"),
    shell("pipe-swallows-red", "a red suite whose exit a pipe into tee turns into 0", "(sh suite.sh; exit 1) | tee suite.log", "fail",
          "row 2: exit 0 never beats red", files(suite__sh=RED)),
    shell("red-then-127", "a red suite, and then a tool that is missing", "sh suite.sh; upload-coverage", "fail", "row 2: red evidence whatever the code",
          files(suite__sh=RED)),
    shell("red-exit-75", "a red suite that returns 75", "sh suite.sh; exit 75", "fail", "row 2: red evidence whatever the code", files(suite__sh=RED)),
    shell("red-exit-137", "a red suite that itself returns 137", "sh suite.sh; exit 137", "fail", "row 2: red evidence whatever the code",
          files(suite__sh=RED)),
    shell("green-then-127", "a green suite, and then a tool that is missing", "sh suite.sh; upload-coverage", "permanent",
          "row 9: after the suite's end the shell says 'command not found'; green needs exit 0", files(suite__sh=GREEN)),
    shell("green-exit-7", "a green suite, and then a silent 7", "sh suite.sh; exit 7", "transient", "row 11: green evidence beside a foreign code: unclassified",
          files(suite__sh=GREEN)),
    shell("green-then-curl-refused", "a green suite whose upload afterwards is refused", f"sh suite.sh && curl -sS http://127.0.0.1:{DEAD}/upload", "transient",
          "row 9: after the suite's end curl says (7)", files(suite__sh=GREEN)),
    shell("setup-refused-before-suite", "set -e: the fixture's download is refused, the suite never starts",
          f"set -e; curl -sSf http://127.0.0.1:{DEAD}/fixture.sql; sh suite.sh", "transient", "row 9: curl's (7) and no evidence", files(suite__sh=GREEN)),
    shell("terminated-child", "bash reports a child that was ended by SIGTERM", "sh -c 'kill -TERM $$'; exit $?", "transient",
          "row 6: 143 without evidence"),
    shell("killed-child", "bash reports a child that was killed", "echo 1..2; echo 'ok 1 - starts'; sh -c 'kill -KILL $$'; exit $?", "transient",
          "row 6: 137 without complete evidence"),
    shell("permission-to-signal", "a script may not signal the server it should restart", "kill -HUP 1", "permanent", "row 9: not permitted", user=65534),
]

# ---- the loader ----

TOOL_C = "int main(void) { return 0; }\n"


def compiled(change=None):
    """Compiles a program `tool`, and changes its bytes."""
    def setup(box):
        box.write("tool.c", TOOL_C)
        box.run("gcc", "-o", "tool", "tool.c")
        if change:
            box.write("tool", change((box.dir / "tool").read_bytes()), 0o755)
    return setup


def newer_glibc(raw):
    """The program now wants GLIBC_2.99 where it wanted 2.34, in name and hash: what a build on a newer system looks like."""
    def elf_hash(name):
        value = 0
        for byte in name:
            value = (value << 4) + byte
            value = (value ^ (value >> 24 & 0xF0)) & 0x0FFFFFFF
        return struct.pack("<I", value)
    return raw.replace(b"GLIBC_2.34", b"GLIBC_2.99").replace(elf_hash(b"GLIBC_2.34"), elf_hash(b"GLIBC_2.99"))


def for_arm(raw):
    return raw[:18] + struct.pack("<H", 183) + raw[20:]


def with_library(box, keep=True, body="int answer(void) { return 0; }\n"):
    box.write("answer.c", "int answer(void) { return 0; }\n")
    box.write("tool.c", "int answer(void); int main(void) { return answer(); }\n")
    box.run("gcc", "-shared", "-o", "libanswer.so.1", "answer.c", "-Wl,-soname,libanswer.so.1")
    box.run("gcc", "-o", "tool", "tool.c", "./libanswer.so.1", "-Wl,-rpath,/opt/answer/lib")
    if keep:
        box.write("other.c", body)
        box.run("gcc", "-shared", "-o", "libanswer.so.1", "other.c", "-Wl,-soname,libanswer.so.1")
    else:
        (box.dir / "libanswer.so.1").unlink()


def loader(name, about, argv, expect, because, setup, tool="glibc", **more):
    return Case(f"loader/{name}", about, tool, argv, expect, because, setup, **more)


CASES += [
    loader("missing-library", "a shared library of the program is missing", ["./tool"], "permanent", "row 9: the loader's own words, 127",
           lambda box: with_library(box, keep=False)),
    loader("missing-library-in-shell", "the same, started by bash", ["bash", "-c", "./tool && echo 1..1"], "permanent", "row 9: the loader's own words, 127",
           lambda box: with_library(box, keep=False)),
    loader("undefined-symbol", "the shared library is an older one, without the symbol", ["./tool"], "permanent", "row 9: the loader's 'symbol lookup error'",
           lambda box: with_library(box, body="int older(void) { return 0; }\n"), env={"LD_LIBRARY_PATH": "."}),
    loader("damaged-library", "the shared library is not one", ["./tool"], "permanent", "row 9: the loader's 'invalid ELF header'",
           lambda box: (with_library(box, keep=False), box.write("libanswer.so.1", "not a library, but long enough to be read as a header\n" * 4)),
           env={"LD_LIBRARY_PATH": "."}),
    loader("newer-glibc", "the program was built for a newer glibc", ["./tool"], "permanent", "row 9: \"version `GLIBC_2.99' not found\", exit 1",
           compiled(newer_glibc)),
    *[loader(f"other-processor-{sh}", f"{sh} starts a program for another processor", [sh, "-c", "./tool"], "permanent", "row 9: 'Exec format error', 126",
             compiled(for_arm), tool=sh) for sh in ("bash", "dash")],
    loader("other-libc", "the program wants another loader (musl), which is not here", ["bash", "-c", "./tool"], "permanent",
           "row 9: bash says that a required file is not found", compiled(lambda raw: raw.replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-musl-x86_64.so.1\0\0\0")),
           tool="bash"),
    loader("preload-missing-green", "LD_PRELOAD names a library that is missing; the loader grumbles, the suite is green", ["sh", "suite.sh"], "pass",
           "row 7: complete green evidence and exit 0; the loader's line was a warning", lambda box: box.write("suite.sh", GREEN),
           env={"LD_PRELOAD": "libnope.so.1"}),
    loader("python-extension", "a python extension module lacks a shared library", ["/usr/bin/python3", "-c", "import answer"], "permanent",
           "row 9: ImportError of a shared library: the environment", lambda box: (
               with_library(box, keep=False), box.write("answer.py", "import ctypes\nctypes.CDLL('libanswer.so.1')\n")), tool="python"),
]


# ---- make ----

def make(name, about, makefile, expect, because, argv=("make", "test"), extra=None, act=None, **more):
    def setup(box):
        if makefile is not None:
            box.write("Makefile", makefile)
        if extra:
            extra(box)
    return Case(f"make/{name}", about, "make", list(argv), expect, because, setup, act, **more)


CASES += [
    make("no-makefile", "make where no Makefile is", None, "permanent", "row 9: make's own words; nothing ran", ("make",)),
    make("no-rule", "make of a target nobody defined", "build:\n\ttrue\n", "permanent", "row 9: 'No rule to make target', the stage asks for what is not there"),
    make("folder-missing", "make -C with a folder that is not there", None, "permanent", "row 9: make's own words", ("make", "-C", "app", "test")),
    make("recipe-1-silent", "a recipe returns 1 without a word", "test:\n\t@exit 1\n", "transient", "row 11: make's 'Error 1' is no evidence: unclassified"),
    make("recipe-not-found", "the recipe's program is missing", "test:\n\trun-suite --all\n", "permanent", "row 9: 127 inside make, which itself returns 2"),
    make("recipe-not-found-in-shell", "the recipe's program is missing, said by the recipe's shell", "test:\n\tcd . && run-suite --all\n", "permanent",
         "row 9: the recipe's shell says 'not found'"),
    make("recipe-denied", "the recipe's script is not executable", "test:\n\t./suite.sh\n", "permanent", "row 9: 'Permission denied'",
         extra=lambda box: box.write("suite.sh", GREEN)),
    make("recipe-segfault", "the recipe's test program dies of SIGSEGV", "test: suite\n\t./suite\n", "fail",
         "row 4: make, the parent, attributes the crash to the recipe's own program",
         extra=lambda box: box.write("suite.c", "int main(void) { *(volatile int *)0 = 1; return 0; }\n")),
    make("recipe-abort", "the recipe's test program aborts", "test: suite\n\t./suite\n", "fail",
         "row 4: make, the parent, attributes the crash to the recipe's own program",
         extra=lambda box: box.write("suite.c", "#include <stdlib.h>\nint main(void) { abort(); }\n")),
    make("recipe-killed", "the recipe's program is killed by SIGKILL", "test:\n\t@echo 1..3; echo 'ok 1 - starts'\n\tsleep 40\n", "transient",
         "row 6: KILL is never the code's own crash", act=lambda box, pid: (box.wait_for("sleep 40"), kill_below(pid, "sleep 40"))),
    make("recipe-terminated", "the recipe's program is ended by SIGTERM", "test:\n\tsleep 40\n", "transient", "row 6: TERM is never the code's own crash",
         act=lambda box, pid: (box.wait_for("sleep 40"), kill_below(pid, "sleep 40", signal.SIGTERM))),
    make("terminated", "make itself is ended by SIGTERM", "test:\n\tsleep 40\n", "transient", "row 6: SIGTERM without evidence",
         act=lambda box, pid: (box.wait_for("sleep 40"), os.kill(pid, signal.SIGTERM))),
    make("compile-error", "the code under test does not compile", "test: suite\n\t./suite\n", "fail", "row 3: gcc's 'file:line:col: error:'",
         extra=lambda box: box.write("suite.c", "int main(void) { return answer; }\n")),
    make("missing-separator", "the project's Makefile does not parse", "test:\nrun-suite\n", "fail",
         "row 3: code that cannot be parsed, said by make with file and line inside the worktree: the change did it"),
    make("compiler-missing", "the compiler is not installed", "CC = gcc-99\ntest: suite\n\t./suite\n", "permanent", "row 9: the toolchain is missing",
         extra=lambda box: box.write("suite.c", TOOL_C)),
    make("library-missing", "a library to link with is not installed", "LDLIBS = -lanswer42\ntest: suite\n\t./suite\n", "permanent",
         "row 9: ld's 'cannot find -l': a dependency is missing", extra=lambda box: box.write("suite.c", TOOL_C)),
    make("download-refused", "the recipe's download is refused", f"test: fixture\n\tsh suite.sh\nfixture:\n\tcurl -sSf -o fixture http://127.0.0.1:{DEAD}/f\n",
         "transient", "row 9: the last layer that knows is curl: (7)", extra=lambda box: box.write("suite.sh", GREEN)),
    make("container-engine-down", "the recipe's docker exec finds no engine", "test:\n\tdocker exec app sh run-suite.sh\n", "transient",
         "row 9: the layer that knows is docker: it cannot connect", env={"DOCKER_HOST": "unix:///tmp/corpus-b/nowhere/docker.sock"}),
    make("green", "a green TAP suite by make", "test:\n\t@sh suite.sh\n", "pass", "row 7", extra=lambda box: box.write("suite.sh", GREEN)),
    make("red", "a red TAP suite by make", "test:\n\t@sh suite.sh\n", "fail", "row 2", extra=lambda box: box.write("suite.sh", RED + "exit 1\n")),
    make("red-parallel-with-missing-tool", "make -k: a red suite, and beside it a tool that is missing", "test: unit lint\nunit:\n\t@sh suite.sh\nlint:\n\t@run-lint\n",
         "fail", "row 2: red evidence stands above every infra word", ("make", "-k", "test"), lambda box: box.write("suite.sh", RED + "exit 1\n")),
    make("up-to-date", "make has nothing to do: nothing ran", "test: suite.done\n", "permanent", NO_EVIDENCE_ZERO, extra=lambda box: box.write("suite.done", "")),
]


# ---- java ----

def classes(box, source="public class Main { public static void main(String[] a) { System.out.println(\"1..1\\nok 1\"); } }\n"):
    box.write("Main.java", source)
    box.run("javac", "Main.java")


def newer_class(box):
    classes(box)
    raw = (box.dir / "Main.class").read_bytes()
    box.write("Main.class", raw[:6] + struct.pack(">H", 70) + raw[8:])  # 70: Java 26


def without_library(box):
    box.write("Library.java", "public class Library { public static void go() { } }\n")
    box.write("Main.java", "public class Main { public static void main(String[] a) { Library.go(); } }\n")
    box.run("javac", "Main.java", "Library.java")
    (box.dir / "Library.class").unlink()


def java(name, about, argv, expect, because, setup=None, program="java", tool="java", **more):
    return Case(f"java/{name}", about, tool, [program, *argv], expect, because, setup, **more)


EATER = ("import java.util.*; public class Main { public static void main(String[] a) { System.out.println(\"1..2\\nok 1\"); "
         "List<byte[]> l = new ArrayList<>(); while (true) l.add(new byte[1 << 20]); } }\n")
CASES += [
    java("no-such-class", "java with a main class that is not there", ["-cp", ".", "app.SuiteRunner"], "permanent", "row 9: the JVM's own words; nothing ran"),
    java("no-such-jar", "java with a jar that is not there", ["-jar", "build/suite.jar"], "permanent", "row 9: the JVM's own words; nothing ran"),
    java("newer-class-file", "the class was compiled for a newer Java", ["-cp", ".", "Main"], "permanent", "row 9: UnsupportedClassVersionError: the wrong JVM",
         newer_class),
    java("missing-library", "a class of a library is not on the class path", ["-cp", ".", "Main"], "permanent", "row 9: NoClassDefFoundError: a dependency is missing",
         without_library),
    java("unknown-option", "java with an option this JVM does not know", ["-XX:+UseTheForce", "-cp", ".", "Main"], "permanent", "row 9: on stdout and stderr",
         classes),
    java("heap-not-representable", "java -Xmx larger than any address", ["-Xmx99999999999g", "-cp", ".", "Main"], "permanent", "row 9: configuration", classes),
    java("heap-too-large", "java -Xmx larger than the machine: no room for the heap", ["-Xmx99999999g", "-cp", ".", "Main"], "permanent",
         "row 9: the option asks for more than the machine has, and the next try asks for the same", classes),
    java("heap-smaller-than-start", "java -Xms larger than -Xmx", ["-Xms2g", "-Xmx1g", "-cp", ".", "Main"], "permanent", "row 9: configuration, on stdout", classes),
    java("out-of-memory", "the heap is exhausted in the middle of a suite", ["-Xmx24m", "-XX:+UseSerialGC", "-cp", ".", "Main"], "transient",
         "row 11: OutOfMemoryError before a complete summary is no verdict", lambda box: classes(box, EATER)),
    java("compile-error", "the code under test does not compile", ["Main.java"], "fail", "row 3: javac's 'Main.java:1: error:'",
         lambda box: box.write("Main.java", "public class Main { int x = answer; }\n"), "javac"),
    java("compile-package-missing", "javac is given a file that is not there", ["src/Main.java"], "permanent", "row 9: javac's 'file not found'", None, "javac"),
    java("green", "a green TAP suite in Java", ["-cp", ".", "Main"], "pass", "row 7", classes),
    java("maven-offline", "maven -o lacks its plugins", ["-B", "-o", "-q", "test"], "permanent", "row 9: offline, and the artifact has never been downloaded",
         files(pom__xml="<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version></project>\n"), "mvn", "maven"),
    java("maven-refused", "maven's repository does not listen", ["-B", "-q", "-s", "settings.xml", "test"], "transient", "row 9: refused connection",
         lambda box: (box.write("pom.xml", "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version></project>\n"),
                      box.write("settings.xml", "<settings><localRepository>repo</localRepository><mirrors><mirror><id>box</id><mirrorOf>*</mirrorOf>"
                                f"<url>http://127.0.0.1:{DEAD}/m2</url><blocked>false</blocked></mirror></mirrors></settings>\n")), "mvn", "maven"),
    java("maven-no-pom", "maven where no pom.xml is", ["-B", "-q", "test"], "permanent", "row 9: nothing ran", None, "mvn", "maven"),
    java("maven-java-home-wrong", "JAVA_HOME names a folder that is not there", ["-B", "-q", "test"], "permanent", "row 9: configuration", None, "mvn", "maven",
         env={"JAVA_HOME": "/opt/jdk-99"}),
]


# ---- interpreters, and suites that print infra words ----

def misc(name, about, tool, argv, expect, because, setup=None, **more):
    return Case(f"misc/{name}", about, tool, argv, expect, because, setup, **more)


PY = "/usr/bin/python3"
WORDS = ("print('check: a refused port is reported as \"Connection refused\"')\n"
         "import sys\n"
         "print('curl: (7) Failed to connect to 127.0.0.1 port 9', file=sys.stderr)\n"
         "print('fatal: not a git repository', file=sys.stderr)\n"
         "print('bash: line 1: docker: command not found', file=sys.stderr)\n"
         "print('Error: No space left on device', file=sys.stderr)\n")

CASES += [
    misc("python-module-missing", "a suite in python imports a module that is not installed", "python", [PY, "suite.py"], "permanent",
         "row 9: a dependency is missing; python's traceback with exit 1 before anything ran", files(suite__py="import no_such_module\nprint('1..1')\n")),
    misc("python-test-tool-missing", "python -m of a test tool that is not installed", "python", [PY, "-m", "no_such_test_tool", "tests"], "permanent",
         "row 9: 'No module named', the test tool is missing"),
    misc("python-script-missing", "python is given a script that is not there", "python", [PY, "tests/run_all.py"], "permanent",
         "row 9: \"can't open file\", exit 2; nothing ran"),
    misc("python-missing", "env does not find the python that is wanted", "coreutils", ["env", "python9.9", "suite.py"], "permanent", "row 9: env's own words, 127"),
    misc("env-denied", "env may not execute the program", "coreutils", ["env", "./suite.sh"], "permanent", "row 9: env's own words, 126", files(suite__sh=GREEN)),
    misc("python-syntax-error", "the code under test does not parse", "python", [PY, "suite.py"], "fail", "row 3: SyntaxError with a path inside the worktree",
         files(suite__py="import app\n", app__py="def answer(:\n    return 42\n")),
    misc("python-indentation-error", "the code under test does not parse", "python", [PY, "suite.py"], "fail",
         "row 3: IndentationError, a SyntaxError, with a path inside the worktree", files(suite__py="import app\n", app__py="def answer():\nreturn 42\n")),
    misc("python-cannot-import-name", "the code under test lost a name the suite imports", "python", [PY, "suite.py"], "fail",
         "row 3: 'cannot import name' with a path inside the worktree", files(suite__py="from app import answer\n", app__py="question = 1\n")),
    misc("python-traceback", "a suite without evidence ends with a traceback", "python", [PY, "suite.py"], "transient", "row 11: no evidence: unclassified",
         files(suite__py="print('starting')\nraise RuntimeError('odd')\n")),
    misc("python-refused", "a suite's fixture cannot connect, before anything ran", "python", [PY, "suite.py"], "transient",
         "row 9 or 11: refused connection and no evidence", files(suite__py=f"import socket\nsocket.create_connection(('127.0.0.1', {DEAD}))\nprint('1..1')\n")),
    misc("python-unknown-host", "a suite's fixture cannot resolve a name, before anything ran", "python", [PY, "suite.py"], "transient",
         "row 9 or 11: an unknown host name is transient", files(suite__py="import socket\nsocket.create_connection(('no-such-host.invalid', 80))\n")),
    misc("python-bad-certificate", "a suite's fixture does not trust a server's certificate", "python", [PY, "suite.py"], "permanent", "row 9: TLS certificate",
         lambda box: (web(), box.write("suite.py", f"import urllib.request\nurllib.request.urlopen('https://127.0.0.1:{TLS}/')\n"))),
    misc("python-port-taken", "python's http.server on a port that is taken", "python", [PY, "-m", "http.server", "--bind", "127.0.0.1", str(BUSY)], "transient",
         "row 9: port in use", lambda box: ports()),
    misc("node-port-taken", "a node server on a port that is taken", "node", ["node", "-e", f"require('http').createServer().listen({BUSY}, '127.0.0.1')"],
         "transient", "row 9: EADDRINUSE", lambda box: ports()),
    misc("node-script-missing", "node is given a script that is not there", "node", ["node", "tests/run-all.js"], "permanent", "row 9: nothing ran"),
    misc("node-module-missing", "a suite in node requires a package that is not installed", "node", ["node", "suite.js"], "permanent",
         "row 9: a dependency is missing", files(suite__js="require('no-such-package')\nconsole.log('1..1\\nok 1')\n")),
    misc("node-unknown-option", "node with an option it does not know", "node", ["node", "--experimental-magic", "suite.js"], "permanent", "row 9: 'bad option', 9"),
    misc("node-out-of-memory", "node's heap is exhausted in the middle of a suite", "node",
         ["node", "--max-old-space-size=20", "-e", "console.log('1..2\\nok 1'); const a = []; for (;;) a.push(new Array(1000).fill({}))"], "transient",
         "row 11: a crash for lack of memory that no framework attributed to a test, and no complete evidence"),
    misc("node-refused", "a node script's connection is refused", "node", ["node", "-e", f"require('net').connect({DEAD}, '127.0.0.1')"], "transient",
         "row 9: ECONNREFUSED and no evidence"),
    misc("perl-module-missing", "a suite in perl uses a module that is not installed", "perl", ["perl", "suite.pl"], "permanent", "row 9: a dependency is missing",
         files(suite__pl="use No::Such::Module;\nprint \"1..1\\nok 1\\n\";\n")),
    misc("perl-script-missing", "perl is given a script that is not there", "perl", ["perl", "t/all.pl"], "permanent", "row 9: nothing ran"),
    misc("ruby-gem-missing", "a suite in ruby requires a gem that is not installed", "ruby", ["ruby", "suite.rb"], "permanent", "row 9: a dependency is missing",
         files(suite__rb="require 'no_such_gem'\nputs '1..1'\n")),
    misc("php-script-missing", "php is given a script that is not there", "php", ["php", "tests/all.php"], "permanent",
         "row 9: 'Could not open input file', on stdout, exit 1"),
    misc("go-no-module", "go test where no go.mod is", "go", ["go", "test", "./..."], "permanent", "row 9: nothing ran", env={"GOTOOLCHAIN": "local", "GOFLAGS": ""}),
    misc("go-proxy-refused", "go's module proxy does not listen", "go", ["go", "test", "./..."], "transient", "row 9: refused connection to the proxy",
         files(go__mod="module app\n\ngo 1.19\n", app_test__go="package app\n\nimport _ \"example.invalid/answer\"\n"),
         env={"GOTOOLCHAIN": "local", "GOPROXY": f"http://127.0.0.1:{DEAD}", "GOFLAGS": "-mod=mod", "GONOSUMDB": "*"}),
    misc("go-proxy-off", "go may not ask for a module it lacks", "go", ["go", "test", "./..."], "permanent", "row 9: offline, a dependency is missing",
         files(go__mod="module app\n\ngo 1.19\n", app_test__go="package app\n\nimport _ \"example.invalid/answer\"\n"),
         env={"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod"}),
    misc("systemctl-without-systemd", "systemctl where systemd does not run", "coreutils", ["systemctl", "restart", "app"], "permanent",
         "row 9: 'System has not been booted with systemd'"),
    misc("infra-words-red", "a red home-made suite that prints the words of many infra faults", "python", [PY, "suite.py"], "fail",
         "row 2: red evidence stands above every infra word", files(suite__py=WORDS + "print('suite: 5 checks, 4 passed, 1 failed')\nsys.exit(1)\n"),
         options=BY_CLOSING_LINE),
    misc("infra-words-green", "a green home-made suite that prints the words of many infra faults", "python", [PY, "suite.py"], "pass",
         "row 7: green evidence and exit 0", files(suite__py=WORDS + "print('suite: 5 checks, 5 passed, 0 failed')\n"), options=BY_CLOSING_LINE),
    misc("infra-words-red-127", "the same red suite returns 127", "python", [PY, "suite.py"], "fail", "row 2: red evidence whatever the code",
         files(suite__py=WORDS + "print('suite: 5 checks, 4 passed, 1 failed')\nsys.exit(127)\n"), options=BY_CLOSING_LINE),
    misc("closing-line-missing", "a home-made suite ends with 0 but never prints its closing line", "python", [PY, "suite.py"], "permanent", NO_EVIDENCE_ZERO,
         files(suite__py="print('check 1 passed')\nprint('check 2 passed')\n"), options=BY_CLOSING_LINE),
    misc("closing-line-nothing-ran", "a home-made suite counts no check at all", "python", [PY, "suite.py"], "permanent", "row 8: nothing ran",
         files(suite__py="print('suite: 0 checks, 0 passed, 0 failed')\n"), options=BY_CLOSING_LINE),
    misc("closing-line-below-minimum", "a home-made suite ran fewer checks than declared", "python", [PY, "suite.py"], "permanent",
         "row 7 does not apply below the declared minimum; exit 0 without sufficient evidence is permanent",
         files(suite__py="print('suite: 3 checks, 3 passed, 0 failed')\n"), options={**BY_CLOSING_LINE, "min-tests": 10}),
    misc("closing-line-quoted-in-log", "a suite that talks about a closing line within another line, and never closes", "python", [PY, "suite.py"], "transient",
         "row 11: the pattern is anchored to the whole line, so there is no evidence",
         files(suite__py="print('expected \"suite: 3 checks, 3 passed, 0 failed\" from the child')\nraise SystemExit(3)\n"), options=BY_CLOSING_LINE),
    misc("formatter-declared-dirty", "a formatter check that finds a difference, its exit declared as evidence", "coreutils", ["diff", "-u", "a.txt", "b.txt"],
         "fail", "row 11: evidence exit-code is declared, 1 is in its fail map", files(a__txt="one\n", b__txt="two\n"), options={"evidence": "exit-code"}),
    misc("formatter-declared-clean", "a formatter check that finds nothing, its exit declared as evidence", "coreutils", ["diff", "-u", "a.txt", "b.txt"],
         "pass", "row 11: evidence exit-code is declared, 0 is in its pass map", files(a__txt="one\n", b__txt="one\n"), options={"evidence": "exit-code"}),
    misc("formatter-declared-missing", "a declared check whose tool is missing", "bash", ["bash", "-c", "check-format --all"], "permanent",
         "row 9 is read before the exit map: command not found", options={"evidence": "exit-code"}),
]
