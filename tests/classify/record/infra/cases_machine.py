"""The machine itself: full or read-only disks, spent limits, and programs that are killed or run into a time limit."""

import os
import signal

from infra.kit import BY_CLOSING_LINE, NOBODY, VERSIONS, Case, kill_below

VERSIONS["tar"] = ("tar", ["tar", "--version"])
VERSIONS["gcc"] = ("gcc", ["gcc", "--version"])
VERSIONS["perl-5"] = ("perl", ["perl", "-e", "printf '%vd', $^V"])
PY = "/usr/bin/python3"
GREEN = "echo 1..2\necho 'ok 1 - starts'\necho 'ok 2 - stops'\n"
RED = "echo 1..2\necho 'ok 1 - starts'\necho 'not ok 2 - stops'\n"


def disk(name, about, tool, argv, expect, because, setup=None, **more):
    return Case(f"disk/{name}", about, tool, argv, expect, because, setup, **more)


def full(size="size=32k", **files):
    def setup(box):
        box.tmpfs("disk", size)
        box.write("big", os.urandom(100_000))
        for name, text in files.items():
            box.write(name.replace("__", "."), text)
    return setup


def read_only(box):
    box.tmpfs("disk", "size=1m")
    box.write("disk/config", "a=1\n")
    box.write("big", b"x" * 1000)
    box.run("mount", "-o", "remount,ro", box.dir / "disk")


def no_inodes(box):
    box.tmpfs("disk", "size=1m,nr_inodes=3")
    box.write("disk/one", "")
    box.write("disk/two", "")


FULL = "row 9: no space left may pass when space is freed"
READ_ONLY = "row 9: a read-only file system is permanent"
CASES = [
    disk("full-python", "a python suite writes its fixture onto a full disk", "python", [PY, "suite.py"], "transient", FULL,
         full(suite__py="with open('disk/fixture', 'wb') as f:\n    f.write(b'x' * 100000)\nprint('1..1\\nok 1')\n")),
    disk("full-python-mid-suite", "the disk runs full in the middle of a TAP suite", "python", [PY, "suite.py"], "transient", FULL,
         full(suite__py="print('1..2\\nok 1 - starts', flush=True)\nwith open('disk/fixture', 'wb') as f:\n    f.write(b'x' * 100000)\nprint('ok 2')\n")),
    disk("full-tar", "tar unpacks onto a full disk", "tar", ["tar", "-xf", "big.tar", "-C", "disk"], "transient", FULL,
         lambda box: (full()(box), box.run("tar", "-cf", "big.tar", "big"))),
    disk("full-cp", "cp onto a full disk", "coreutils", ["cp", "big", "disk/big"], "transient", FULL, full()),
    disk("full-dd", "dd onto a full disk", "coreutils", ["dd", "if=big", "of=disk/big", "bs=4k"], "transient", FULL, full()),
    disk("full-bash-echo", "bash's echo onto a full disk", "bash", ["bash", "-c", "set -e; cat big > disk/big || true; echo more > disk/log; sh suite.sh"],
         "transient", FULL, full(suite__sh=GREEN)),
    disk("full-dash-echo", "dash's echo onto a full disk: it says only 'I/O error'", "dash",
         ["dash", "-c", "set -e; cat big > disk/big || true; echo more > disk/log; sh suite.sh"], "transient", FULL, full(suite__sh=GREEN)),
    disk("full-heredoc", "bash cannot keep a here-document: its folder for temporary files is full", "bash",
         ["bash", "-c", "cat big > disk/big; head -c 100000 big | base64 > text; eval \"cat <<END\n$(cat text)\nEND\" > /dev/null && sh suite.sh"], "transient", FULL,
         full(suite__sh=GREEN), env={"TMPDIR": "disk"}),
    disk("full-gcc", "the disk is full while gcc compiles", "gcc", ["gcc", "-o", "disk/suite", "suite.c"], "transient",
         "row 3 yields to ENOSPC told by the same tool", full("size=8k", suite__c="int main(void) { return 0; }\n"), env={"TMPDIR": "disk"}),
    disk("full-tee-after-green", "a green suite whose log is teed onto a full disk", "bash",
         ["bash", "-c", "set -o pipefail; cat big > disk/big 2>/dev/null; sh suite.sh | tee disk/log"], "transient",
         "row 9: green needs exit 0; tee says no space left, after the suite's end", full(suite__sh=GREEN)),
    disk("full-tee-after-red", "a red suite whose log is teed onto a full disk", "bash",
         ["bash", "-c", "set -o pipefail; cat big > disk/big 2>/dev/null; sh suite.sh | tee disk/log"], "fail", "row 2: red evidence stands above every infra word",
         full(suite__sh=RED)),
    disk("full-stdout", "the program's own output cannot be written", "bash", ["bash", "-c", "sh suite.sh > /dev/full"], "transient", FULL, full(suite__sh=GREEN)),
    disk("full-perl", "perl closes a file on a full disk", "perl-5", ["perl", "-e", "open(F, '>', 'disk/f') or die; print F 'x' x 100000; close(F) or die \"close: $!\\n\""],
         "transient", FULL, full()),
    disk("full-node", "node writes onto a full disk", "node", ["node", "-e", "require('fs').writeFileSync('disk/f', 'x'.repeat(100000))"], "transient", FULL, full()),
    disk("no-inodes", "the disk has no inode left", "coreutils", ["mkdir", "disk/three"], "transient", FULL, no_inodes),
    disk("read-only-touch", "touch on a read-only file system", "coreutils", ["touch", "disk/mark"], "permanent", READ_ONLY, read_only),
    disk("read-only-python", "python on a read-only file system", "python", [PY, "-c", "open('disk/mark', 'w')"], "permanent", READ_ONLY, read_only),
    disk("read-only-cp", "cp onto a read-only file system", "coreutils", ["cp", "big", "disk/big"], "permanent", READ_ONLY, read_only),
    disk("read-only-bash", "bash redirects onto a read-only file system", "bash", ["bash", "-c", "set -e; echo start > disk/log; echo 1..1; echo ok 1"], "permanent",
         READ_ONLY, read_only),
    disk("no-exec", "the suite is on a file system mounted noexec", "bash", ["bash", "-c", "disk/suite.sh"], "permanent", "row 9: 'Permission denied', 126",
         lambda box: (box.tmpfs("disk", "size=1m,noexec"), box.script("disk/suite.sh", "#!/bin/sh\n" + GREEN))),
    disk("denied-python", "a python suite may not write its folder", "python", [PY, "-c", "open('/etc/suite.log', 'w')"], "permanent", "row 9: permission denied",
         user=NOBODY),
    disk("open-files-python", "python has no file descriptor left", "python", [PY, "-c", "f = [open('/dev/null') for _ in range(50)]"], "transient", "row 9: EMFILE",
         limits={"nofile": 20}),
    disk("open-files-pipe", "a shell cannot make a pipe: no file descriptor left", "bash", ["bash", "-c", "exec 3</dev/null 4</dev/null 5</dev/null; true | cat; sh suite.sh"],
         "transient", "row 9: EMFILE", limits={"nofile": 6}),
    disk("file-size-limit", "the program writes a file larger than it may: SIGXFSZ", "coreutils", ["dd", "if=/dev/zero", "of=f", "bs=4k", "count=100"], "transient",
         "row 11: a signal without evidence is unclassified", limits={"fsize": 40960}),
]


# ---- kill ----

def kill(name, about, argv, expect, because, act=None, tool="dash", setup=None, options=None, **more):
    return Case(f"kill/{name}", about, tool, argv, expect, because, setup, act, options or {}, **more)


def with_suite(text):
    return lambda box: box.write("suite.sh", text)


def then(number, text):
    def act(box, pid):
        box.wait_for(text)
        os.kill(pid, number)
    return act


SLEEPS = "exec sleep 50\n"
NO_VERDICT = "row 6: ended by a signal without complete evidence"
CRASH = "row 11: a bare program's crash; no framework attributed it to a test"
CASES += [
    *[kill(f"{number.name.lower()}-silent", f"a program that said nothing is ended by {number.name}", ["sh", "-c", f"kill -{number.name[3:]} $$"], "transient",
           NO_VERDICT if number.name in ("SIGKILL", "SIGTERM") else CRASH)
      for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP, signal.SIGINT, signal.SIGBUS, signal.SIGPIPE)],
    *[kill(f"{number.name.lower()}-mid-suite", f"a TAP suite is ended by {number.name} before its plan is fulfilled", ["sh", "suite.sh"],
           "transient" if number.name in ("SIGKILL", "SIGTERM") else "fail",
           NO_VERDICT if number.name in ("SIGKILL", "SIGTERM") else "row 4: orch is the parent that names the crash, and a suite had begun and not ended", then(number, "ok 1"), setup=with_suite("echo 1..2\necho 'ok 1 - starts'\n" + SLEEPS))
      for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)],
    kill("sigkill-after-red", "a TAP suite is killed after a complete red summary", ["sh", "suite.sh"], "fail", "row 2: a complete red summary stands alone",
         then(signal.SIGKILL, "not ok 2"), setup=with_suite(RED + SLEEPS)),
    kill("sigterm-after-red-line", "a home-made suite is ended after its red closing line", ["sh", "suite.sh"], "fail",
         "row 2: a complete red summary stands alone", then(signal.SIGTERM, "failed"), setup=with_suite("echo 'suite: 2 checks, 1 passed, 1 failed'\n" + SLEEPS),
         options=BY_CLOSING_LINE),
    kill("sigkill-after-green", "a TAP suite is killed after a complete green summary", ["sh", "suite.sh"], "transient",
         "rows 6 and 7: green needs exit 0", then(signal.SIGKILL, "ok 2"), setup=with_suite(GREEN + SLEEPS)),
    kill("sigterm-after-green-line", "a home-made suite is ended after its green closing line", ["sh", "suite.sh"], "transient", "rows 6 and 7: green needs exit 0",
         then(signal.SIGTERM, "failed"), setup=with_suite("echo 'suite: 2 checks, 2 passed, 0 failed'\n" + SLEEPS), options=BY_CLOSING_LINE),
    kill("not-ok-then-killed", "a TAP suite is killed before its plan is fulfilled, after one 'not ok'", ["sh", "suite.sh"], "transient",
         "row 6: the run is not complete, so its 'not ok' is no closing evidence", then(signal.SIGKILL, "not ok 1"),
         setup=with_suite("echo 1..3\necho 'not ok 1 - starts'\n" + SLEEPS)),
    kill("timed-out-silent", "orch's own limit ends a program that said nothing", ["sleep", "50"], "transient", "row 6: our own time limit, no evidence", tool="coreutils",
         seconds=1),
    kill("timed-out-mid-suite", "orch's own limit ends a TAP suite before its plan is fulfilled", ["sh", "suite.sh"], "transient",
         "row 6: our own time limit, evidence incomplete", setup=with_suite("echo 1..2\necho 'ok 1 - starts'\n" + SLEEPS), seconds=1),
    kill("timed-out-after-red", "orch's own limit ends a TAP suite that is red and complete but hangs", ["sh", "suite.sh"], "fail",
         "row 2: a complete red summary stands alone", setup=with_suite(RED + SLEEPS), seconds=1),
    kill("timed-out-after-green", "orch's own limit ends a TAP suite that is green and complete but hangs", ["sh", "suite.sh"], "transient",
         "rows 6 and 7: green needs exit 0", setup=with_suite(GREEN + SLEEPS), seconds=1),
    kill("timed-out-waiting-for-input", "orch's own limit ends a program that waits for something that never comes", ["sh", "suite.sh"], "transient",
         "row 6: our own time limit, no evidence", setup=with_suite("echo 'waiting for the database'\n" + SLEEPS), seconds=1),
    kill("timeout-command", "timeout(1) ends the suite: 124, silent", ["timeout", "1", "sh", "suite.sh"], "transient", "row 6: 124 without complete evidence",
         tool="coreutils", setup=with_suite("echo 1..2\necho 'ok 1 - starts'\n" + SLEEPS)),
    kill("timeout-command-after-red", "timeout(1) ends a suite that is red and complete but hangs", ["timeout", "1", "sh", "suite.sh"], "fail",
         "row 2: a complete red summary stands alone", tool="coreutils", setup=with_suite(RED + SLEEPS)),
    kill("timeout-command-after-green", "timeout(1) ends a suite that is green and complete but hangs", ["timeout", "1", "sh", "suite.sh"], "transient",
         "rows 6 and 7: green needs exit 0", tool="coreutils", setup=with_suite(GREEN + SLEEPS)),
    kill("timeout-command-kill", "timeout -k kills a suite that does not listen to SIGTERM", ["timeout", "-k", "1", "1", "sh", "suite.sh"], "transient",
         "row 6: 137 without complete evidence", tool="coreutils", setup=with_suite("trap '' TERM\necho 1..2\necho 'ok 1 - starts'\nsleep 50\n")),
    kill("timeout-command-missing-tool", "timeout(1) does not find the suite's program", ["timeout", "5", "run-suite", "--all"], "permanent",
         "row 9: timeout's own words, 127", tool="coreutils"),
    kill("memory-limit-python", "python's memory limit is reached: MemoryError before anything ran", [PY, "-c", "x = 'a' * (1 << 30)"], "transient",
         "row 9 or 11: ENOMEM and no evidence", tool="python", limits={"as": 300 << 20}),
    kill("memory-limit-python-mid-suite", "python's memory limit is reached in the middle of a TAP suite",
         [PY, "-c", "print('1..2\\nok 1 - starts', flush=True)\nx = 'a' * (1 << 30)"], "transient", "row 9 or 11: ENOMEM and no complete evidence", tool="python",
         limits={"as": 300 << 20}),
    kill("memory-limit-bash", "bash cannot allocate", ["bash", "-c", "x=$(head -c 400000000 /dev/zero | tr '\\0' a); sh suite.sh"], "transient", "row 9: ENOMEM",
         tool="bash", limits={"as": 200 << 20}),
    kill("cpu-limit", "the program used up the processor time it may have: SIGXCPU", [PY, "-c", "while True: pass"], "transient",
         "row 11: a signal without evidence is unclassified", tool="python", limits={"cpu": (1, 5)}),
    kill("keyboard-interrupt-python", "a python suite is ended by SIGINT", [PY, "-c", "import time; print('starting', flush=True); time.sleep(50)"], "transient",
         "row 11: a signal without evidence is unclassified", then(signal.SIGINT, "starting"), tool="python"),
]
