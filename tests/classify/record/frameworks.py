#!/usr/bin/env python3
"""Records how real test framework runs end, for the classifier's corpus.

    python3 tests/classify/record/frameworks.py [--only FAMILY[/CASE]] [--out DIR] [--list]

Every case really runs its tool in a fresh folder and keeps what came out: `stdout` and `stderr` byte for byte, the exit (code, signal, or "our own
limit killed it"), and `report.xml` where the case has one. Nothing is typed by hand except the fixture sources and the labels.

* The cases are tables in `frameworks/*.py`, one module per group of tools; `case(...)` below documents a row.
* The label (`expect`, `because`) is what really happened in the world, read by CLASSIFICATION.md section 6. It stands in the tables and is copied
  into `case.json`. `exit` in a row is what the tool is known to do: when a newer tool ends otherwise the recorder says so and keeps the old case.
* Tools: Debian packages, a pip venv and npm packages are installed on the first run, all below SCRATCH. Cargo, nextest and node are taken from the
  machine. Cases themselves never use the network: "registry unreachable" points at 127.0.0.1:9.
* It runs as root in its own UTS and mount name space: the host name in reports is always `builder`, and tiny file systems (disk full) vanish with it.
"""

import argparse
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRATCH = Path(os.environ.get("ORCH_RECORD_SCRATCH", "/tmp/corpus-a"))
VENV, NPM, WORK, HOME = SCRATCH / "venv", SCRATCH / "npm", SCRATCH / "work", SCRATCH / "home"
TABLES = ["python_cases", "rust_cases", "go_cases", "js_cases", "tap_cases", "native_cases"]

DEBIAN = ["bats", "golang-go", "cmake", "g++", "make", "libgtest-dev", "ruby-rspec", "phpunit", "perl", "curl"]
PIP = ["pytest==9.2.0", "pytest-xdist==3.8.0", "pytest-cov==7.1.0", "pytest-timeout==2.4.0", "pytest-rerunfailures==16.7"]
NPM_PACKAGES = ["jest", "mocha", "vitest"]

PYTHON_313 = os.environ.get("ORCH_RECORD_PYTHON_313", "/root/.pyenv/versions/3.13.0/bin/python3")  # unittest changed in 3.12

PASS, FAIL = ("suite-ran", "pass"), ("suite-ran", "fail")
PERMANENT, TRANSIENT = ("permanent-env", None), ("transient-infra", None)

# How to ask each tool for its version: (argv, pattern whose group is the number).
TOOLS = {
    "pytest": (["pytest", "--version"], r"pytest (\S+)"),
    "python": (["python", "-V"], r"Python (\S+)"),
    "python3.13": ([PYTHON_313, "-V"], r"Python (\S+)"),
    "cargo": (["cargo", "--version"], r"cargo (\S+)"),
    "cargo-nextest": (["cargo-nextest", "nextest", "--version"], r"cargo-nextest (\S+)"),
    "go": (["go", "version"], r"go version go(\S+)"),
    "jest": (["jest", "--version"], r"(\S+)"),
    "mocha": (["mocha", "--version"], r"(\S+)"),
    "vitest": (["vitest", "--version"], r"vitest/(\S+)"),
    "node": (["node", "--version"], r"v(\S+)"),
    "npm": (["npm", "--version"], r"(\S+)"),
    "prove": (["prove", "--version"], r"TAP::Harness v(\S+)"),
    "perl": (["perl", "-e", "print $^V"], r"v(\S+)"),
    "bats": (["bats", "--version"], r"Bats (\S+)"),
    "googletest": (["dpkg-query", "-W", "-f", "${Version}", "libgtest-dev"], r"([\d.]+)"),
    "ctest": (["ctest", "--version"], r"ctest version (\S+)"),
    "phpunit": (["phpunit", "--version"], r"PHPUnit (\S+)"),
    "rspec": (["rspec", "--version"], r"rspec-core (\S+)"),
    "make": (["make", "--version"], r"GNU Make (\S+)"),
    "sh": (["dpkg-query", "-W", "-f", "${Version}", "dash"], r"([\d.]+)"),
}


@dataclass
class Kill:
    """Ends a run from outside: once `after` stands in its output (and `wait` seconds passed), `who` gets `how`."""

    how: str  # a signal's name, or "timed-out": orch's own limit, SIGKILL to the whole group
    after: str
    wait: float = 0.3
    who: str = ""  # part of the command line of the descendant to hit; empty: the command itself


@dataclass
class Case:
    family: str
    name: str
    about: str
    tool: str  # a key of TOOLS
    argv: list
    exit: object  # what the tool is known to do: a code, a signal's name, or "timed-out"
    expect: tuple  # PASS, FAIL, PERMANENT, TRANSIENT
    because: str
    files: dict = field(default_factory=dict)  # path -> text, written before the run
    setup: object = None  # function of the case's folder, run before the command
    env: dict = field(default_factory=dict)  # added to the clean environment; None removes
    kill: Kill = None
    options: dict = field(default_factory=dict)  # evidence, min-tests, closing-line, report
    capture_in: str = ""  # folder of the case that holds stdout while it runs (disk full)


CASES = []


def case(family, name, about, tool, argv, exit, expect, because, **more):
    """Adds one row. `argv` as one string means `sh -c`."""
    if isinstance(argv, str):
        argv = ["sh", "-c", argv]
    CASES.append(Case(family, name, about, tool, argv, exit, expect, because, **more))


def tiny_disk(folder: Path, size: str, leave: int | None = None):
    """Mounts a file system of `size` on `folder`; with `leave`, fills it up to about that many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tiny", str(folder)], check=True)
    if leave is not None:
        free = os.statvfs(folder)
        (folder / "filler").write_bytes(b"x" * (free.f_bavail * free.f_bsize - leave))


# ---- the machine ----------------------------------------------------------------------------------------------------------------------------


def environment(extra):
    rustup = os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
    path = [VENV / "bin", NPM / "node_modules/.bin", SCRATCH / "bin", "/usr/local/bin", "/usr/bin", "/bin"]
    env = {
        "PATH": ":".join(map(str, path)), "HOME": str(HOME), "LC_ALL": "C.UTF-8", "TZ": "UTC", "USER": "builder",
        "RUSTUP_HOME": rustup, "RUSTUP_AUTO_INSTALL": "0", "CARGO_HOME": str(SCRATCH / "cargo-home"), "CARGO_INCREMENTAL": "0",
        "GOCACHE": str(SCRATCH / "go-cache"), "GOPATH": str(SCRATCH / "go"), "GOPROXY": "off", "GOFLAGS": "-mod=mod",
        "npm_config_update_notifier": "false", "npm_config_cache": str(SCRATCH / "npm-cache"), "NODE_PATH": str(NPM / "node_modules"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for key, value in extra.items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value.replace("$PATH", env["PATH"]) if key == "PATH" else value
    return env


def install():
    for folder in (SCRATCH, WORK, HOME, SCRATCH / "bin"):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("cargo", "rustc", "rustup", "rustdoc"):  # the machine's own, without the rest of ~/.cargo/bin
        link = SCRATCH / "bin" / name
        if not link.exists() and shutil.which(name):
            link.symlink_to(shutil.which(name))
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    missing = [p for p in DEBIAN if subprocess.run(["dpkg", "-s", p], capture_output=True).returncode]
    if missing:
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, **quiet)
    if not (VENV / "bin/pytest").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], **quiet)
        subprocess.run([VENV / "bin/pip", "install", *PIP], **quiet)
    if not (NPM / "node_modules/.bin/vitest").exists():
        NPM.mkdir(exist_ok=True)
        (NPM / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--no-fund", "--no-audit", *NPM_PACKAGES], cwd=NPM, **quiet)


VERSIONS = {}


def version(tool):
    if tool not in VERSIONS:
        argv, pattern = TOOLS[tool]
        got = subprocess.run(argv, env=environment({}), cwd=HOME, capture_output=True, text=True)
        VERSIONS[tool] = f"{tool.removesuffix('3.13')} {re.search(pattern, got.stdout + got.stderr).group(1)}"
    return VERSIONS[tool]


# ---- one run --------------------------------------------------------------------------------------------------------------------------------


def descendants(pid):
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parents.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(text.split()[0]))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def end(process, kill, streams):
    limit = time.monotonic() + 60
    while not any(kill.after.encode() in s.read_bytes() for s in streams):
        if time.monotonic() > limit or process.poll() is not None:
            raise RuntimeError(f"{kill.after!r} never came")
        time.sleep(0.02)
    time.sleep(kill.wait)
    if kill.how == "timed-out":
        os.killpg(process.pid, signal.SIGKILL)
    elif kill.who:
        for pid in descendants(process.pid):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if kill.who in line:
                os.kill(pid, signal.Signals[kill.how])
                return
        raise RuntimeError(f"no descendant like {kill.who!r}")
    else:
        process.send_signal(signal.Signals[kill.how])


def run(c: Case, out: Path):
    folder = WORK / c.family / c.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, text in c.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if text.startswith("#!"):
            file.chmod(0o755)
    if c.setup:
        c.setup(folder)
    capture = folder / c.capture_in if c.capture_in else SCRATCH / "capture"
    (SCRATCH / "capture").mkdir(exist_ok=True)
    streams = [capture / "stdout", SCRATCH / "capture/stderr"]
    with open(streams[0], "wb") as stdout, open(streams[1], "wb") as stderr:
        process = subprocess.Popen(c.argv, cwd=folder, env=environment(c.env), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)
        try:
            if c.kill:
                end(process, c.kill, streams)
            code = process.wait(timeout=300)
        finally:
            try:  # what it left behind in its own session
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    if c.kill and c.kill.how == "timed-out":
        ended, shown = "timed-out", {"timed-out": True}
    elif code < 0:
        ended = signal.Signals(-code).name
        shown = {"signal": ended}
    else:
        ended, shown = code, {"code": code}
    if ended != c.exit:
        print(f"  {c.family}/{c.name}: ended {ended}, the table says {c.exit}: not recorded", file=sys.stderr)
        for s in streams:
            print("    | " + s.read_text(errors="replace")[-1500:].replace("\n", "\n    | "), file=sys.stderr)
        return False
    unknown = set(c.options) - {"evidence", "min-tests", "closing-line", "report"}
    assert not unknown, unknown
    document = {
        "about": c.about, "tool": version(c.tool), "argv": [str(a) for a in c.argv], "exit": shown,
    }
    if c.options:
        document["options"] = c.options
    document["expect"] = {"outcome": c.expect[0], "verdict": c.expect[1]}
    document["because"] = c.because
    target = out / c.family / c.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "case.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for s in streams:
        shutil.copyfile(s, target / s.name)
    if "report" in c.options:
        shutil.copyfile(folder / c.options["report"], target / "report.xml")
    for s in target.iterdir():
        if s.stat().st_size > 64 * 1024:
            print(f"  {c.family}/{c.name}: {s.name} has {s.stat().st_size} bytes", file=sys.stderr)
    return True


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--only", default="", metavar="FAMILY[/CASE]")
    options.add_argument("--out", type=Path, default=HERE.parent / "corpus", metavar="DIR")
    options.add_argument("--list", action="store_true", help="name the cases and stop")
    options = options.parse_args()
    sys.path.insert(0, str(HERE / "frameworks"))
    sys.modules["recorder"] = sys.modules[__name__]  # the tables say `from recorder import case, ...`
    for table in TABLES:
        importlib.import_module(table)
    names = [f"{c.family}/{c.name}" for c in CASES]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    chosen = [c for c in CASES if not options.only or f"{c.family}/{c.name}" == options.only or c.family == options.only]
    if options.list:
        print("\n".join(f"{c.family}/{c.name}" for c in chosen))
        return 0
    if "ORCH_RECORD_INSIDE" not in os.environ:
        install()
        os.environ["ORCH_RECORD_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--uts", "--mount", sys.executable, *sys.argv])
    del os.environ["ORCH_RECORD_INSIDE"]
    socket.sethostname("builder")
    options.out.mkdir(parents=True, exist_ok=True)
    good = 0
    for c in chosen:
        try:
            good += run(c, options.out.resolve())
        except Exception as error:  # one tool's trouble must not cost the rest
            print(f"  {c.family}/{c.name}: {error!r}", file=sys.stderr)
    print(f"{good} of {len(chosen)} cases recorded in {options.out}")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
