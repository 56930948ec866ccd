"""The kit of the infra recorder: what a case is, and how one end is recorded.

A `Case` is one row of the tables in `cases_*.py`: a command, what is prepared before it, what happens to it while it runs, and the answer
that is right for it. `record` runs it once, with a sealed environment, and keeps its raw bytes and its true wait status.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

WORK = Path("/tmp/corpus-b")  # all scratch; its name appears in some recorded texts, so it does not change
HOME = WORK / "home"
NOBODY = 65534
STREAM_LIMIT = 64 * 1024
CASE_SECONDS = 60

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SEALED = {"PATH": PATH, "HOME": str(HOME), "LC_ALL": "C", "TERM": "dumb", "USER": "root", "LOGNAME": "root", "TZ": "UTC"}

EXPECTATIONS = {
    "pass": {"outcome": "suite-ran", "verdict": "pass"},
    "fail": {"outcome": "suite-ran", "verdict": "fail"},
    "permanent": {"outcome": "permanent-env", "verdict": None},
    "transient": {"outcome": "transient-infra", "verdict": None},
}

# The closing line of the home-made suites below.
CLOSING_LINE = r"^suite: (?P<total>\d+) checks, (?P<passed>\d+) passed, (?P<failed>\d+) failed$"
BY_CLOSING_LINE = {"evidence": "closing-line", "closing-line": CLOSING_LINE}


@dataclass
class Case:
    path: str  # family/name, the folder below the corpus
    about: str
    tool: str  # key of VERSIONS
    argv: list
    expect: str  # key of EXPECTATIONS
    because: str
    setup: Callable = None  # setup(box), before the command
    act: Callable = None  # act(box, pid), beside the running command
    options: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    user: int = None  # run as this uid and gid
    limits: dict = field(default_factory=dict)  # resource name -> limit, or (soft, hard)
    seconds: float = None  # orch's own time limit: the recorder kills the command and writes "timed-out"


@dataclass
class Box:
    """The fresh folder one case runs in."""

    dir: Path
    out: Path
    err: Path
    cleanups: list = field(default_factory=list)

    def write(self, name, text, mode=0o644):
        file = self.dir / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return file

    def script(self, name, text):
        return self.write(name, text, 0o755)

    def run(self, *argv, env=None, **more):
        """A preparing command, which must succeed."""
        done = subprocess.run([str(a) for a in argv], cwd=self.dir, env={**SEALED, **(env or {})}, capture_output=True, **more)
        if done.returncode != 0:
            raise RuntimeError(f"preparing {argv}: {done.stdout!r} {done.stderr!r}")
        return done.stdout.decode()

    def start(self, *argv, env=None, **more):
        """A background process, ended with the case."""
        process = subprocess.Popen([str(a) for a in argv], cwd=self.dir, env={**SEALED, **(env or {})}, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
        self.cleanups.append(lambda: (process.kill(), process.wait()))
        return process

    def tmpfs(self, name, options):
        point = self.dir / name
        point.mkdir()
        self.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", point)
        self.cleanups.append(lambda: subprocess.run(["umount", "-l", str(point)], check=False))
        return point

    def wait_for(self, text, stream=None, seconds=20):
        """Until the running command has printed `text`."""
        file = stream or self.out
        wait_until(lambda: text.encode() in file.read_bytes(), f"{text!r} in {file.name}", seconds)


def wait_until(test, what, seconds=20):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.05)


def children_of(pid):
    """All processes below `pid`, by /proc."""
    below, todo = [], [pid]
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parents.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(text.split()[0]))
    while todo:
        found = parents.get(todo.pop(), [])
        below += found
        todo += found
    return below


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def kill_below(pid, text, number=signal.SIGKILL):
    """Sends a signal to the process below `pid` whose command line contains `text`."""
    found = []
    wait_until(lambda: found.extend(p for p in children_of(pid) if text in command_line(p)) or found, f"a process {text!r}")
    os.kill(found[-1], number)


VERSIONS = {}  # tool key -> argv whose first match of a version number is told, or a callable
_told = {}


def tool_version(key):
    if key not in _told:
        source = VERSIONS[key]
        if callable(source):
            _told[key] = source()
        else:
            name, argv, *env = source
            done = subprocess.run(argv, env={**SEALED, **(env[0] if env else {})}, capture_output=True, cwd=WORK)
            found = re.search(rb"(\d+\.[\d.]+(?:p\d+)?)", done.stdout + done.stderr)
            _told[key] = f"{name} {found.group(1).decode()}" if found else name
    return _told[key]


def record(case, corpus):
    """Runs the case once and writes its folder. Returns a line to show."""
    folder = WORK / "w" / case.path.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    streams = WORK / "streams"
    streams.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    box = Box(folder, streams / "stdout", streams / "stderr")
    for stream in (box.out, box.err):
        stream.write_bytes(b"")
    try:
        if case.setup:
            case.setup(box)
        if case.user is not None:
            os.chown(folder, case.user, case.user)
        exit_ = run_recorded(case, box)
    finally:
        for cleanup in reversed(box.cleanups):
            cleanup()
        shutil.rmtree(folder, ignore_errors=True)
    out, err = box.out.read_bytes(), box.err.read_bytes()
    if max(len(out), len(err)) >= STREAM_LIMIT:
        raise RuntimeError(f"{case.path}: a stream is too long")
    target = Path(corpus) / case.path
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "stdout").write_bytes(out)
    (target / "stderr").write_bytes(err)
    document = {"about": case.about, "tool": tool_version(case.tool), "argv": case.argv, "exit": exit_}
    if case.options:
        document["options"] = case.options
    document["expect"] = EXPECTATIONS[case.expect]
    document["because"] = case.because
    (target / "case.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{case.path:45} {case.expect:10} {json.dumps(exit_):24} out {len(out):5} err {len(err):5}"


def run_recorded(case, box):
    def limit():
        for name, value in case.limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), value if isinstance(value, tuple) else (value, value))

    identity = {} if case.user is None else {"user": case.user, "group": case.user, "extra_groups": []}
    with open(box.out, "wb") as out, open(box.err, "wb") as err:
        process = subprocess.Popen(case.argv, cwd=box.dir, env={**SEALED, **case.env}, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                   start_new_session=True, preexec_fn=limit if case.limits else None, **identity)
    trouble = []

    def beside():
        try:
            case.act(box, process.pid)
        except Exception as error:  # told by the main thread
            trouble.append(error)
            process.kill()

    helper = threading.Thread(target=beside)
    if case.act:
        helper.start()
    timed_out = False
    try:
        code = process.wait(case.seconds or CASE_SECONDS)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if case.seconds is None:
            raise RuntimeError(f"{case.path}: did not end") from None
    finally:
        if case.act:
            helper.join()
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what the command left behind
        except ProcessLookupError:
            pass
    if trouble:
        raise trouble[0]
    if timed_out:
        return {"timed-out": True}
    return {"signal": signal.Signals(-code).name} if code < 0 else {"code": code}
