#!/usr/bin/env python3
"""Runs orch on real projects from the package registries: unmodified, and broken in every way that matters.

    python3 tests/projects/run.py [--orch PATH] [--only NAME] [--case ID] [--keep] [--work DIR] [--results FILE]

README.md beside this file says what is checked. Exit code 0 when every answer was right, 1 when one was wrong,
2 when a project could not be fetched or prepared (a registry that is not reachable, a tool that is not installed).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXIT_PASS, EXIT_FAILED, EXIT_HELD, EXIT_TRANSIENT, EXIT_PERMANENT = 0, 1, 10, 75, 78
REPORT = "13-test-report.md"
# What a failing test prints here must never turn its failure into a fault of the environment.
WORDS = (
    "ssh: connect to host ci port 22: Connection refused; curl: (7) Failed to connect; "
    "bash: line 1: docker: command not found; No space left on device; Killed"
)
BUDGET_S = 45 * 60
started = time.monotonic()


class Unprepared(Exception):
    """A project could not be fetched or prepared; says nothing about orch."""


def sh(argv, cwd=None, env=None, timeout=300, check=True):
    """Runs a command with a time limit. A failure that `check` covers is `Unprepared`."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, timeout=timeout, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        raise Unprepared(f"`{' '.join(argv)}` did not end in {timeout} s") from None
    except OSError as error:
        raise Unprepared(f"`{argv[0]}` could not be started: {error}") from None
    if check and done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        raise Unprepared(f"`{' '.join(argv)}` ended with {done.returncode}:\n{tail}")
    return done


def fetch(what, argv, **kwargs):
    """A command that needs a registry."""
    try:
        return sh(argv, **kwargs)
    except Unprepared as error:
        raise Unprepared(f"{what}: not available from its registry (offline, or the registry refused it?)\n{error}") from None


# ---------------------------------------------------------------------------------------------------------------
# Pipeline files

def scalar(value):
    return json.dumps(value)


def yaml_of(value, indent=0):
    """Maps as blocks, everything else as JSON, which is YAML."""
    pad = "  " * indent
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{pad}{key}:")
            lines.append(yaml_of(item, indent + 1))
        else:
            lines.append(f"{pad}{key}: {scalar(item)}")
    return "\n".join(lines)


FAIL_MAPS = {
    "failed": ("failed", EXIT_FAILED),
    "hold": ("hold", EXIT_HELD),
    # One rollback is paid for; the second failure finds the budget spent, and a person is asked.
    "rollback": ({"rollback": "compile", "charge": "developer-retry"}, EXIT_HELD),
}


def pipeline_text(project, *, compile_argv=None, test_argv=None, test_env=None, report=None):
    """compile (a command with an exit map) → tests (a test-runner behind the gate `tests-passed`)."""
    target, _ = FAIL_MAPS[project.fail]
    env = {"pass": ["CARGO_HOME", "RUSTUP_*"]} if project.kind == "rust" else {}
    compile_env = {**env, "set": dict(project.env)} if project.env else dict(env)
    tests_set = {**project.env, **(test_env or {})}
    tests_env = {**env, "set": tests_set} if tests_set else dict(env)
    runner = {"command": test_argv or project.test, "evidence": "auto"}
    report = project.report if report is None else report
    if report:
        runner["report"] = {"junit": report}
    if tests_env:
        runner["env"] = tests_env
    command = {
        "command": compile_argv or project.compile,
        "evidence": "exit-code",
        "exit": {"pass": [0], "fail": [101 if project.kind == "rust" else 1]},
    }
    if compile_env:
        command["env"] = compile_env
    document = {"version": 1, "name": project.name.replace("_", "-"), "artifacts": "docs/work-items/{task}"}
    if project.fail == "rollback":
        document["budgets"] = {"developer-retry": 1}
    document["defaults"] = {"timeout": "5m", "idle-timeout": "4m"}
    document["stages"] = {
        "compile": {
            "producer": {"command": command},
            "gate": "none",
            "transitions": {"pass": "tests", "fail": "hold" if project.fail == "hold" else "failed"},
        },
        "tests": {
            "producer": {"test-runner": runner},
            "artifact": REPORT,
            "gate": "tests-passed",
            "transitions": {"pass": "done", "fail": target},
        },
    }
    return yaml_of(document) + "\n"


# ---------------------------------------------------------------------------------------------------------------
# Projects

class Project:
    """A package as its registry has it, in a git repository of its own."""

    kind = ""

    def __init__(self, name, version, **options):
        self.name, self.version = name, version
        self.fail = options.pop("fail", "failed")
        self.report = options.pop("report", None)
        self.options = options
        self.env = {}

    def place(self, work, cache):
        self.base = work / self.name
        self.repo, self.side, self.state = self.base / "repo", self.base / "side", self.base / "state"
        self.cache = cache
        shutil.rmtree(self.base, ignore_errors=True)
        self.side.mkdir(parents=True)

    def git(self, *argv, check=True):
        who = ["-c", "user.name=orch", "-c", "user.email=orch@example.invalid", "-c", "commit.gpgsign=false",
               "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"]
        return sh(["git", *who, *argv], cwd=self.repo, check=check)

    def prepare(self):
        source = self.fetch()
        shutil.copytree(source, self.repo, symlinks=True)
        self.git("init", "-q", "-b", "main")
        (self.repo / ".git/info").mkdir(exist_ok=True)
        (self.repo / ".git/info/exclude").write_text("node_modules/\n__pycache__/\n*.egg-info/\n.pytest_cache/\n")
        self.install()
        self.git("add", "-A", "--force")
        self.git("rm", "-r", "-q", "--cached", "--ignore-unmatch", "node_modules")
        self.git("commit", "-q", "-m", f"{self.name} {self.version} as published")
        self.git("tag", "base")

    def write(self, path, text):
        path = self.repo / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def append(self, path, text):
        path = self.repo / path
        path.write_text(path.read_text() + text)

    def prepend(self, path, text):
        path = self.repo / path
        path.write_text(text + path.read_text())

    def install(self):
        """Brings the dependencies and says how the project is compiled and tested."""

    def cases(self):
        """Every way in which the project is run."""
        yield Case("0", "unmodified", want_pass())
        yield Case("1", "a failing test", want_fail(self), change=self.plant_failure, planted=True)
        yield Case("2a", "broken code, whole pipeline", want_compile_fail(self), change=self.break_library)
        yield Case("2b", "broken code, seen by the suite", want_fail(self), change=self.break_library,
                   pipeline={"compile_argv": self.neutral()})
        yield from self.nothing_ran()
        yield Case("4t", "suite replaced by `true`", want_nothing(UNSEEN if not self.report else {"report-unusable"}),
                   pipeline={"test_argv": ["true"]})
        yield from self.tool_missing()
        yield from self.more()
        yield Case("0r", "unmodified, run again as it was", want_already(), branch="case-0", fresh=False)
        if not self.options.get("broken") == "import":
            yield Case("2r", "then broken, same task", want_compile_fail(self), branch="case-0", fresh=False,
                       change=self.break_library)

    def neutral(self):
        return ["git", "--version"]

    def more(self):
        """Ways of this project alone."""
        return ()


class Rust(Project):
    kind = "rust"

    def fetch(self):
        probe = self.side / "fetch"
        (probe / "src").mkdir(parents=True)
        (probe / "src/lib.rs").write_text("")
        (probe / "Cargo.toml").write_text(
            '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n'
            f'[dependencies]\n{self.name} = "={self.version}"\n')
        what = f"crate {self.name} {self.version}"
        done = fetch(what, ["cargo", "metadata", "--format-version", "1", "--quiet"], cwd=probe)
        packages = json.loads(done.stdout)["packages"]
        manifest = next(p["manifest_path"] for p in packages if p["name"] == self.name)
        return Path(manifest).parent

    def install(self):
        for mark in (".cargo-ok", ".cargo-checksum.json"):
            (self.repo / mark).unlink(missing_ok=True)
        # The package is not a member of whatever workspace may stand above the work folder.
        if not (self.repo / "Cargo.lock").exists():
            fetch(f"{self.name}: dependencies", ["cargo", "generate-lockfile", "--quiet"], cwd=self.repo)
        fetch(f"{self.name}: dependencies", ["cargo", "fetch", "--quiet"], cwd=self.repo)
        self.env = {"CARGO_TARGET_DIR": str(self.side / "target"), "CARGO_TERM_COLOR": "never"}
        self.compile = ["cargo", "check", "--offline"]
        self.test = ["cargo", "test", "--offline"]

    def library(self):
        return self.options.get("library", "src/lib.rs")

    def plant_failure(self):
        text = f'\n#[test]\nfn orch_planted() {{\n    eprintln!("{WORDS}");\n    assert_eq!(1 + 1, 3);\n}}\n'
        # A published manifest may name its test files one by one; a new file would not be seen then.
        if "planted" in self.options:
            self.append(self.options["planted"], text)
        else:
            self.write("tests/orch_planted.rs", text)

    def break_library(self):
        if self.options.get("broken") == "type":
            self.append(self.library(), "\n#[allow(dead_code)]\nfn orch_broken() -> u32 { \"text\" }\n")
        else:
            self.append(self.library(), "\nfn orch_broken( {\n")

    def nothing_ran(self):
        yield Case("4f", "filter that matches nothing", want_nothing({"nothing-ran"}),
                   pipeline={"test_argv": [*self.test, "--", "no_such_test_of_orch"]})
        yield Case("4s", "`--no-run`: built, not run", want_nothing({"nothing-ran", "no-evidence"}),
                   pipeline={"test_argv": [*self.test, "--no-run"]})

    def tool_missing(self):
        way = self.options["missing"]
        if way == "path":
            yield Case("3", "no `cargo` in PATH", want_missing("compile"), path=[])
        elif way == "subcommand":
            names = ["nextest", "tarpaulin", "hack", "llvm-cov", "orch-no-such-subcommand"]
            name = next(n for n in names if not shutil.which(f"cargo-{n}"))
            yield Case("3", f"`cargo {name}` not installed", want_missing("tests"),
                       pipeline={"test_argv": ["cargo", name, "run"]})
        elif way == "rustc":
            yield Case("3", "no `rustc`", want_missing("tests"),
                       pipeline={"test_env": {"RUSTC": "/nonexistent/rustc"}})
        elif way == "linker":
            flags = {"RUSTFLAGS": "-C linker=no-such-cc", "CARGO_TARGET_DIR": str(self.side / "target-linker")}
            yield Case("3", "no linker", want_missing("tests"), pipeline={"test_env": flags})


class Python(Project):
    kind = "python"

    def fetch(self):
        into = self.cache / "sdists"
        into.mkdir(parents=True, exist_ok=True)
        spec = f"{self.name}=={self.version}"
        shape = re.compile(re.escape(self.name).replace("\\-", "[-_.]") + "-" + re.escape(self.version) + r"\.(tar\.gz|zip)$")
        found = [path for path in into.iterdir() if shape.match(path.name)]
        if not found:
            fetch(f"sdist {spec}", [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check",
                                    "--no-deps", "--no-binary", self.name, "-d", into, spec])
            found = [path for path in into.iterdir() if shape.match(path.name)]
        if not found:
            raise Unprepared(f"pip download brought no sdist of {spec}")
        return unpack(found[0], self.side / "sdist")

    def install(self):
        venv = self.side / "venv"
        sh([sys.executable, "-m", "venv", venv])
        self.python = venv / "bin/python"
        needs = self.options.get("needs", ["pytest==8.3.5"])
        if needs:
            self.pip("install", *needs)
        self.env = {"PYTHONDONTWRITEBYTECODE": "1"}
        if "src" in self.options:
            self.env["PYTHONPATH"] = self.options["src"]
        self.compile = [str(self.python), "-m", "compileall", "-q", self.options["module"]]
        self.test = [word.replace("{python}", str(self.python)).replace("{bin}", str(venv / "bin"))
                     for word in self.options["test"]]

    def pip(self, *argv):
        fetch(f"{self.name}: pip {' '.join(argv)}",
              [self.python, "-m", "pip", *argv[:1], "-q", "--disable-pip-version-check", *argv[1:]])

    def plant_failure(self):
        style = self.options.get("style", "pytest")
        if style == "unittest":
            text = f"import unittest\n\n\nclass Planted(unittest.TestCase):\n    def test_planted(self):\n" \
                   f"        print({WORDS!r})\n        self.assertEqual(1 + 1, 3)\n"
        else:
            text = f"def test_planted():\n    print({WORDS!r})\n    assert 1 + 1 == 3\n"
        self.write(self.options["planted"], text)

    def break_library(self):
        if self.options.get("broken") == "import":
            self.append(self.options["library"], "\nfrom os import no_such_name_of_orch\n")
        else:
            self.prepend(self.options["library"], "def orch_broken(:\n    pass\n")

    def cases(self):
        for case in super().cases():
            # A name that is not there compiles; only the suite finds it.
            if case.id == "2a" and self.options.get("broken") == "import":
                case = Case("2a", "broken import, whole pipeline", want_fail(self), change=self.break_library)
            yield case

    def nothing_ran(self):
        if self.options.get("style") == "unittest":
            yield Case("4f", "filter that matches nothing", want_nothing({"nothing-ran"}),
                       pipeline={"test_argv": [*self.test, "discover", "-p", "no_such_*.py"]})
            yield Case("4s", "every test skipped", want_nothing({"nothing-ran"}), change=self.skip_unittest,
                       pipeline={"test_argv": [str(self.python), "-m", "unittest", "orch_skipped"]})
            return
        yield Case("4f", "filter that matches nothing", want_nothing({"nothing-ran"}),
                   pipeline={"test_argv": [*self.test, "-k", "no_such_test_of_orch"]})
        yield Case("4s", "every test skipped, exit 0", want_nothing({"nothing-ran"}), change=self.skip_pytest)
        yield Case("4c", "`--collect-only`, exit 0", want_nothing({"nothing-ran", "no-evidence"}),
                   pipeline={"test_argv": [*self.test, "--collect-only", "-q"]})

    def skip_pytest(self):
        self.write("conftest.py", "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n"
                                  "    for item in items:\n        item.add_marker(pytest.mark.skip(reason='all'))\n")

    def skip_unittest(self):
        self.write("orch_skipped.py", "import unittest\n\n\n@unittest.skip('all')\nclass All(unittest.TestCase):\n"
                                      "    def test_one(self):\n        pass\n")

    def tool_missing(self):
        way = self.options["missing"]
        if way == "interpreter":
            yield Case("3", "no `python`", want_missing("compile"),
                       before=lambda: self.python.rename(self.side / "python-away"),
                       after=lambda: (self.side / "python-away").rename(self.python))
            return
        if way == "script":
            yield Case("3i", "bin/pytest with its interpreter gone", want_missing("tests"),
                       pipeline={"compile_argv": ["git", "--version"]},
                       before=lambda: self.python.rename(self.side / "python-away"),
                       after=lambda: (self.side / "python-away").rename(self.python))
        yield Case("3", {"script": "bin/pytest uninstalled", "module": "`python -m pytest` uninstalled",
                         "shell": "`sh -c pytest` uninstalled"}[way], want_missing("tests"),
                   before=lambda: self.pip("uninstall", "-y", "pytest"),
                   after=lambda: self.pip("install", *self.options.get("needs", ["pytest==8.3.5"])))


class Node(Project):
    kind = "node"

    def fetch(self):
        into = self.cache / "npm"
        into.mkdir(parents=True, exist_ok=True)
        tarball = into / f"{self.name}-{self.version}.tgz"
        if not tarball.exists():
            fetch(f"npm package {self.name}@{self.version}",
                  ["npm", "pack", "--loglevel=error", f"{self.name}@{self.version}"], cwd=into)
        return unpack(tarball, self.side / "package")

    def install(self):
        needs = self.options.get("needs", [])
        if needs:
            # Beside the package, so that only the test tool is brought and not every linter of its authors.
            tools = self.side / "tools"
            tools.mkdir()
            (tools / "package.json").write_text('{"name": "tools", "version": "0.0.0", "private": true}')
            fetch(f"{self.name}: npm install {' '.join(needs)}",
                  ["npm", "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error", *needs],
                  cwd=tools)
            (tools / "node_modules").rename(self.repo / "node_modules")
        self.compile = ["node", "--check", self.options["library"]]
        self.test = list(self.options["test"])

    def plant_failure(self):
        self.write(self.options["planted"], self.options["failure"].replace("WORDS", json.dumps(WORDS)))

    def break_library(self):
        self.append(self.options["library"], "\nfunction orchBroken( {\n")

    def more(self):
        """The same through a script of the package's own package.json."""
        if "script" not in self.options:
            return
        argv = ["npm", "run", self.options["script"]]
        name = " ".join(argv)
        modules, away = self.repo / "node_modules", self.side / "node_modules-away"
        yield Case("0n", f"`{name}`", want_pass(), pipeline={"test_argv": argv})
        yield Case("1n", f"`{name}`, a failing test", want_fail(self), change=self.plant_failure, planted=True,
                   pipeline={"test_argv": argv})
        yield Case("2n", f"`{name}`, broken code", want_fail(self), change=self.break_library,
                   pipeline={"test_argv": argv, "compile_argv": self.neutral()})
        yield Case("3n", f"`{name}`, its tool missing", want_missing("tests"), pipeline={"test_argv": argv},
                   before=lambda: modules.rename(away), after=lambda: away.rename(modules))

    def nothing_ran(self):
        for case_id, title, argv, reasons, change in self.options["nothing"]:
            want = want_unclassified() if reasons == "unclassified" else want_nothing(reasons)
            yield Case(case_id, title, want, pipeline={"test_argv": argv},
                       change=(lambda change=change: self.write(*change)) if change else None)

    def tool_missing(self):
        way = self.options["missing"]
        if way == "path":
            empty = self.side / "empty"
            empty.mkdir(exist_ok=True)
            yield Case("3", "no `node` in the stage's PATH", want_missing("tests"),
                       pipeline={"test_env": {"PATH": str(empty)}})
            yield Case("3p", "no `node` in PATH at all", want_missing("compile"), path=[])
        else:
            modules, away = self.repo / "node_modules", self.side / "node_modules-away"
            yield Case("3", way, want_missing("tests"), before=lambda: modules.rename(away),
                       after=lambda: away.rename(modules))


class NoTests:
    """A package that ships no tests: nothing runs, and that is nobody's fault and no success."""

    def cases(self):
        yield Case("0", self.options["why"], want_nothing(self.options["reasons"]))
        if "planted" in self.options or self.kind == "rust":
            yield Case("1", "a failing test", want_fail(self), change=self.plant_failure, planted=True)
        yield from self.more()
        yield Case("4t", "suite replaced by `true`", want_nothing(UNSEEN if not self.report else {"report-unusable"}),
                   pipeline={"test_argv": ["true"]})


class RustNoTests(NoTests, Rust):
    pass


class PythonNoTests(NoTests, Python):
    pass


class NodeNoTests(NoTests, Node):
    pass


def unpack(archive, into):
    """The one folder inside an archive."""
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)
    folders = [path for path in into.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise Unprepared(f"{archive.name} holds {len(folders)} folders, not one")
    return folders[0]


# ---------------------------------------------------------------------------------------------------------------
# What is right

class Want:
    def __init__(self, exits, stage, outcome, verdict, artifact, *, reasons=None, stages=None, spent=0, already=False):
        self.exits, self.stage, self.outcome, self.verdict, self.artifact = exits, stage, outcome, verdict, artifact
        self.reasons, self.stages, self.spent, self.already = reasons, stages, spent, already
        self.better = None


def want_pass():
    return Want(EXIT_PASS, "tests", "suite-ran", "pass", "PASS", stages=["compile", "tests"])


def want_already():
    return Want(EXIT_PASS, "tests", "suite-ran", "pass", "PASS", stages=["compile", "tests"], already=True)


def want_fail(project):
    _, code = FAIL_MAPS[project.fail]
    again = project.fail == "rollback"
    return Want(code, "tests", "suite-ran", "fail", "FAIL", stages=["compile", "tests"] * (2 if again else 1),
                spent=1 if again else 0)


def want_compile_fail(project):
    code = EXIT_HELD if project.fail == "hold" else EXIT_FAILED
    return Want(code, "compile", "suite-ran", "fail", None, stages=["compile"])


def want_nothing(reasons):
    return Want(EXIT_PERMANENT, "tests", "permanent-env", None, None, reasons=reasons, stages=["compile", "tests"])


def want_unclassified():
    """An exit that proves nothing, of a tool that orch does not know: held, and nobody is blamed (row 11)."""
    want = Want(EXIT_TRANSIENT, "tests", "transient-infra", None, None, reasons={"unclassified"},
                stages=["compile", "tests"])
    # Better still, once orch knows the tool.
    want.better = want_nothing({"nothing-ran"})
    return want


def want_missing(stage):
    stages = ["compile"] if stage == "compile" else ["compile", "tests"]
    return Want(EXIT_PERMANENT, stage, "permanent-env", None, None, stages=stages)


class Case:
    """One run of orch on one state of a project."""

    def __init__(self, case_id, title, want, *, change=None, pipeline=None, before=None, after=None, path=None,
                 branch=None, fresh=True, planted=False):
        self.id, self.title, self.want = case_id, title, want
        self.change, self.pipeline, self.before, self.after = change, pipeline or {}, before, after
        self.path, self.branch, self.fresh, self.planted = path, branch or f"case-{case_id}", fresh, planted


STALE = {
    "PASS": "---\nresult: PASS\nstatus: passed\ntests_status: PASS\n---\n\n# Test report\n\nLeft by an earlier run.\n",
    "FAIL": "---\nresult: FAIL\nstatus: failed\ntests_status: FAIL\n---\n\n# Test report\n\nLeft by an earlier run.\n",
}
STALE_JUNIT = '<?xml version="1.0"?>\n<testsuite name="old" tests="7" failures="0" errors="0" skipped="0">' + "".join(
    f'<testcase name="t{n}" classname="old" time="0"/>' for n in range(7)) + "</testsuite>\n"


def front_matter(text):
    head = re.match(r"---\n(.*?)\n---\n", text, re.S)
    if not head:
        return None
    return dict(line.split(": ", 1) for line in head.group(1).splitlines() if ": " in line)


FRONT = {
    "PASS": {"result": "PASS", "status": "passed", "tests_status": "PASS"},
    "FAIL": {"result": "FAIL", "status": "failed", "tests_status": "FAIL"},
}


def run_case(orch, project, case):
    """Runs one case; answers (what orch said, list of what was wrong, text for a report of a wrong answer)."""
    want, repo = case.want, project.repo
    if case.fresh:
        project.git("checkout", "-q", "-f", "-B", case.branch, "base")
        project.git("clean", "-fdq")
        if case.change:
            case.change()
            project.git("add", "-A")
            project.git("commit", "-q", "-m", f"case {case.id}: {case.title}")
    else:
        project.git("checkout", "-q", "-f", case.branch)
        if case.change:
            case.change()
            project.git("commit", "-q", "-a", "-m", f"case {case.id}: {case.title}")
    pipeline = project.side / f"{case.branch}.yaml"
    report = repo / "docs/work-items" / case.branch / REPORT
    if case.fresh:
        pipeline.write_text(pipeline_text(project, **case.pipeline))
        # An answer of an earlier run lies where the stage that is judged would put its own.
        if want.stage == "tests":
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(STALE["FAIL" if want.verdict == "pass" else "PASS"])
            if project.report and not project.report.startswith("{"):
                (repo / project.report).parent.mkdir(parents=True, exist_ok=True)
                (repo / project.report).write_text(STALE_JUNIT)
    env = dict(os.environ)
    if case.path is not None:
        env["PATH"] = str(tool_farm(project, case.path))
    argv = [orch, "pipeline", "run", "--pipeline", pipeline, "--worktree", repo, "--state-dir", project.state, "--json"]
    began = time.monotonic()
    if case.before:
        case.before()
    try:
        done = sh(argv, env=env, timeout=420, check=False)
        seconds = time.monotonic() - began
    finally:
        if case.after:
            case.after()
    wrong = []
    try:
        answer = json.loads(done.stdout)
        attempts = answer["attempts"]
        last = attempts[-1]
    except (ValueError, KeyError, IndexError, TypeError):
        text = f"$ {' '.join(map(str, argv))}\nexit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        return {"exit": done.returncode, "seconds": seconds}, ["orch gave no document with attempts"], text
    outcome = last["outcome"] or {}
    counts = (outcome.get("proof") or {}).get("counts")
    front = front_matter(report.read_text()) if report.exists() else None
    said = {
        "exit": done.returncode, "stage": last["stage"], "outcome": outcome.get("outcome"),
        "verdict": outcome.get("verdict"), "reason": outcome.get("reason"), "rule": outcome.get("rule"),
        "counts": counts, "seconds": seconds, "argv": last["argv"],
        "artifact": (front or {}).get("result", "unreadable") if report.exists() else None,
    }

    if want.better and said["outcome"] == want.better.outcome:
        want = want.better

    def check(name, got, expected):
        if got != expected:
            wrong.append(f"{name}: {got!r}, expected {expected!r}")

    check("exit code", done.returncode, want.exits)
    check("exit_code of the document", answer.get("exit_code"), done.returncode)
    check("stages", [attempt["stage"] for attempt in attempts], want.stages)
    check("stage", said["stage"], want.stage)
    check("class", said["outcome"], want.outcome)
    check("verdict", said["verdict"], want.verdict)
    if want.reasons and said["reason"] not in want.reasons:
        wrong.append(f"reason: {said['reason']!r}, expected one of {sorted(want.reasons)}")
    check("artifact", said["artifact"], want.artifact)
    if want.artifact:
        check("front matter", front, FRONT[want.artifact])
        gate = sh([orch, "gate", "check", report, "--gate", "tests-passed", "--json"], check=False)
        check("gate check", gate.returncode, 0 if want.artifact == "PASS" else 1)
        check("path of the artifact", (last["artifact"] or {}).get("path"), str(report.relative_to(repo)))
        if report.exists() and "Left by an earlier run" in report.read_text():
            wrong.append("the artifact is the one an earlier run left")
    else:
        check("recorded artifact", last["artifact"], None)
    if want.verdict == "pass" and (counts is None or counts["passed"] < 1 or counts["failed"] or counts["errors"]):
        wrong.append(f"counts of a pass: {counts}")
    if case.planted and (counts is None or counts["failed"] + counts["errors"] != 1):
        wrong.append(f"counts with one planted failure: {counts}")
    check("already done", answer.get("already_done"), want.already)
    held = want.exits in (EXIT_HELD, EXIT_TRANSIENT, EXIT_PERMANENT)
    check("held", answer.get("hold") is not None, held)
    if held:
        check("exit code of the hold", (answer.get("hold") or {}).get("exit_code"), want.exits)
    status = sh([orch, "status", "--worktree", repo, "--state-dir", project.state, "--json"], check=False)
    check("developer retries spent", spent(status.stdout, case.branch), want.spent)
    dirty = [line for line in project.git("status", "--porcelain").stdout.splitlines() if not re.match(r"\?\? (docs/|reports/)", line)]
    check("files changed by the run", dirty, [])
    text = ""
    if wrong:
        explain = sh([orch, "explain", last["attempt"], "--worktree", repo, "--state-dir", project.state], check=False)
        logs = sh([orch, "logs", last["attempt"], "--worktree", repo, "--state-dir", project.state], check=False)
        text = f"$ {' '.join(map(str, argv))}\n{done.stderr.strip()}\n-- explain\n{explain.stdout.strip()}\n-- logs, tail\n" + \
            "\n".join((logs.stdout + logs.stderr).strip().splitlines()[-30:])
    return said, wrong, text


def spent(document, task):
    try:
        tasks = json.loads(document)["tasks"]
        found = next(t for t in tasks if t["task"] == task)
        return found["spent"].get("developer-retry", 0)
    except (ValueError, KeyError, StopIteration, TypeError):
        return f"no task {task} in the status"


def tool_farm(project, tools):
    """A PATH with git and a shell, and without what the project needs."""
    farm = project.side / "farm"
    farm.mkdir(exist_ok=True)
    for tool in ["git", "sh", "env", "ls", "uname", "true", *tools]:
        found = shutil.which(tool)
        if found and not (farm / tool).exists():
            (farm / tool).symlink_to(found)
    return farm


# ---------------------------------------------------------------------------------------------------------------
# The projects

TAPE_FAILURE = "var test = require('tape');\ntest('planted', function (t) {\n  console.log(WORDS);\n  t.equal(1 + 1, 3);\n  t.end();\n});\n"
NODE_FAILURE = "'use strict'\nconst { test } = require('node:test')\nconst assert = require('node:assert')\n" \
               "test('planted', () => {\n  console.error(WORDS)\n  assert.strictEqual(1 + 1, 3)\n})\n"
MOCHA_FAILURE = "var assert = require('assert');\ndescribe('planted', function () {\n  it('fails', function () {\n" \
                "    console.log(WORDS);\n    assert.equal(1 + 1, 3);\n  });\n});\n"
JEST_FAILURE = "test('planted', () => {\n  console.log(WORDS)\n  expect(1 + 1).toBe(3)\n})\n"
TAPE = ["npx", "--no-install", "tape"]
MOCHA = ["node_modules/.bin/mocha", "--reporter", "xunit", "--reporter-options", "output=reports/junit.xml"]
JEST = ["node", "node_modules/jest/bin/jest.js", "--testMatch", "**/test/*jest.test.js"]
UNSEEN = {"nothing-ran", "no-evidence"}


def projects():
    return [
        Rust("shlex", "1.3.0", missing="path"),
        Rust("either", "1.13.0", fail="hold", missing="subcommand", broken="type"),
        Rust("smallvec", "1.13.2", fail="rollback", missing="rustc"),
        Rust("semver", "1.0.23", missing="linker", planted="tests/test_version.rs"),
        RustNoTests("foreign-types-shared", "0.1.1", why="unmodified: the crate has no tests", reasons={"nothing-ran"},
                    missing="path"),
        Python("toolz", "1.0.0", missing="script", module="toolz", src=".", library="toolz/itertoolz.py",
               planted="toolz/tests/test_planted.py", test=["{bin}/pytest", "-p", "no:cacheprovider", "toolz/tests"]),
        Python("iniconfig", "2.3.1", fail="rollback", missing="module", module="src", src="src",
               library="src/iniconfig/_parse.py", planted="testing/test_planted.py", report="{attempt}/junit.xml",
               test=["{python}", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=${ORCH_ATTEMPT_DIR}/junit.xml"]),
        Python("inflection", "0.5.1", fail="hold", missing="shell", module="inflection", broken="import",
               library="inflection/__init__.py", planted="test_planted.py",
               test=["sh", "-c", "exec {bin}/pytest -q -p no:cacheprovider \"$@\"", "sh"]),
        Python("more-itertools", "10.5.0", missing="interpreter", style="unittest", needs=[], module="more_itertools",
               library="more_itertools/recipes.py", planted="tests/test_planted.py",
               test=["{python}", "-m", "unittest"]),
        PythonNoTests("sortedcontainers", "2.4.0", why="unmodified: the sdist has no tests", reasons={"nothing-ran"},
                      missing="module", module="sortedcontainers", library="sortedcontainers/__init__.py",
                      planted="test_planted.py", test=["{python}", "-m", "pytest", "-p", "no:cacheprovider"]),
        Node("minimist", "1.2.8", missing="`npx tape` not installed", needs=["tape@5.9.0"], library="index.js",
             test=[*TAPE, "test/*.js"], planted="test/planted.js", failure=TAPE_FAILURE,
             nothing=[
                 ("4f", "a file without a test, exit 0", [*TAPE, "orch/none.js"], UNSEEN,
                  ("orch/none.js", "require('tape');\n")),
                 ("4s", "every test skipped, exit 0", [*TAPE, "orch/skip.js"], UNSEEN,
                  ("orch/skip.js", "require('tape').skip('later', function (t) { t.fail(); t.end(); });\n")),
             ]),
        Node("fast-content-type-parse", "3.0.0", fail="hold", missing="path", library="index.js",
             needs=["busboy@1.6.0", "content-type@1.0.5"],
             test=["node", "--test", "test/"], planted="test/planted.test.js", failure=NODE_FAILURE,
             nothing=[
                 ("4f", "name pattern that matches nothing", ["node", "--test", "--test-name-pattern=no-such-test", "test/"],
                  UNSEEN, None),
                 ("4s", "every test skipped, exit 0", ["node", "--test", "orch/"], UNSEEN,
                  ("orch/skip.test.js", "require('node:test').test('later', { skip: true }, () => { throw new Error() })\n")),
             ]),
        Node("json-stringify-safe", "5.0.1", fail="rollback", missing="node_modules gone: no bin/mocha",
             needs=["mocha@2.5.3", "must@0.12.0", "sinon@1.17.7"], library="stringify.js", report="reports/junit.xml",
             test=[*MOCHA, "test"], planted="test/planted_test.js", failure=MOCHA_FAILURE,
             nothing=[
                 ("4f", "`--grep` that matches nothing, exit 0", [*MOCHA, "--grep", "no-such-test", "test"], UNSEEN, None),
                 ("4s", "every test skipped, exit 0", [*MOCHA, "orch"], UNSEEN,
                  ("orch/skip.js", "describe.skip('later', function () { it('fails', function () { throw new Error(); }); });\n")),
                 ("4m", "no test file where it looks", [*MOCHA, "no-such-folder"], "unclassified", None),
                 ("4n", "its own `npm test`, whose file is not published", ["npm", "test", "--silent"], None, None),
             ]),
        Node("process-warning", "4.0.1", missing="node_modules gone: no jest.js", needs=["jest@29.7.0"], script="test:jest",
             library="index.js", test=JEST, planted="test/planted.jest.test.js", failure=JEST_FAILURE,
             nothing=[
                 ("4f", "`-t` that matches nothing: all skipped, exit 0", [*JEST, "-t", "no-such-test"], UNSEEN, None),
                 ("4s", "`--passWithNoTests`, exit 0",
                  ["node", "node_modules/jest/bin/jest.js", "--passWithNoTests", "--testMatch", "**/no-such-test.js"], UNSEEN, None),
             ]),
        NodeNoTests("ms", "2.1.3", why="unmodified: `npm test` without mocha", reasons=None, missing="path",
                    library="index.js", test=["npm", "test"]),
    ]


# ---------------------------------------------------------------------------------------------------------------

def find_orch(given):
    if given:
        path = Path(given).resolve()
        if not path.is_file():
            sys.exit(f"there is no program {path}")
        return path
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for path in (target / "debug/orch", target / "release/orch"):
        if path.is_file():
            return path
    print("orch is not built yet: cargo build", flush=True)
    try:
        subprocess.run(["cargo", "build", "--quiet"], cwd=ROOT, check=True, timeout=1800)
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"orch could not be built: {error}")
    return target / "debug/orch"


def version_line():
    parts = []
    for name, argv in [("python", [sys.executable, "--version"]), ("cargo", ["cargo", "--version"]),
                       ("node", ["node", "--version"]), ("npm", ["npm", "--version"]), ("git", ["git", "--version"])]:
        try:
            parts.append(f"{name} {re.sub(r'^[a-zA-Z ]+', '', sh(argv).stdout.strip()).lstrip('v').split(' ')[0]}")
        except Unprepared:
            parts.append(f"{name} missing")
    return ", ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orch", help="the program to run [default: the one built in target/]")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this project; may be given again")
    parser.add_argument("--case", action="append", metavar="ID", help="only this case (0 is always run); may be given again")
    parser.add_argument("--work", help="folder to work in [default: a fresh one in the temporary folder]")
    parser.add_argument("--keep", action="store_true", help="keep the repositories, state folders and downloads")
    parser.add_argument("--results", metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--list", action="store_true", help="list the projects")
    options = parser.parse_args()
    chosen = projects()
    if options.list:
        for project in chosen:
            print(f"{project.kind:7} {project.name} {project.version}")
        return 0
    if options.only:
        unknown = set(options.only) - {project.name for project in chosen}
        if unknown:
            sys.exit(f"unknown project: {', '.join(sorted(unknown))}; --list shows them")
        chosen = [project for project in chosen if project.name in options.only]
    orch = find_orch(options.orch)
    work = Path(options.work).resolve() if options.work else Path(tempfile.mkdtemp(prefix="orch-projects-")).resolve()
    work.mkdir(parents=True, exist_ok=True)
    versions = version_line()
    print(f"{sh([orch, '--version']).stdout.strip()}; {versions}\nwork folder {work}\n", flush=True)
    rows, passed, failed, unprepared = [], 0, 0, []
    head = f"{'project':32} {'case':5} {'what':46} {'answer':58} {'s':>5}"
    print(head + "\n" + "-" * len(head), flush=True)
    for project in chosen:
        label = f"{project.name} {project.version}"
        if time.monotonic() - started > BUDGET_S:
            unprepared.append(f"{label}: not run, the {BUDGET_S // 60} minutes are over")
            continue
        try:
            project.place(work, work / "cache")
            project.prepare()
            for case in project.cases():
                if options.case and case.id not in options.case and case.id != "0":
                    continue
                said, wrong, text = run_case(orch, project, case)
                answer = f"{said.get('outcome')}/{said.get('verdict') or '-'} {said.get('reason')} exit {said['exit']} {said.get('artifact') or '-'}"
                ok = not wrong
                passed, failed = passed + ok, failed + (not ok)
                rows.append((label, project.kind, project.fail, case, said, wrong))
                print(f"{label:32} {case.id:5} {case.title:46} {answer:58} {said['seconds']:5.1f} {'ok' if ok else 'WRONG'}", flush=True)
                for line in wrong:
                    print(f"    wrong: {line}")
                if text:
                    print("    " + text.replace("\n", "\n    "), flush=True)
        except Unprepared as error:
            unprepared.append(f"{label}: {error}")
            print(f"{label:32} NOT PREPARED: {error}", flush=True)
        finally:
            if not options.keep:
                shutil.rmtree(project.base, ignore_errors=True)
    if options.results:
        Path(options.results).write_text(markdown(orch, versions, rows, passed, failed, unprepared))
    if not options.keep and not options.work:
        shutil.rmtree(work, ignore_errors=True)
    print()
    for line in unprepared:
        print(f"not prepared: {line.splitlines()[0]}")
    print(f"{len({row[0] for row in rows})} projects, {int(time.monotonic() - started)} s")
    # A project that could not be prepared is not a success.
    print(f"{passed} passed, {failed + len(unprepared)} failed")
    return 1 if failed else 2 if unprepared else 0


def markdown(orch, versions, rows, passed, failed, unprepared):
    lines = [
        "# Results of the last full round", "",
        f"Written by `python3 tests/projects/run.py --results tests/projects/RESULTS.md`, {time.strftime('%Y-%m-%d', time.gmtime())}; "
        f"{sh([orch, '--version']).stdout.strip()}; {versions}.", "",
        f"{len({row[0] for row in rows})} projects, {len(rows)} runs, {int(time.monotonic() - started)} s: **{passed} right, {failed} wrong**"
        + (f", {len(unprepared)} projects not prepared." if unprepared else "."), "",
        "| project | `fail:` | case | what | class, verdict | reason (rule) | tests | artifact | exit | right |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, _, fail, case, said, wrong in rows:
        counts = said.get("counts")
        tests = f"{counts['passed']} passed, {counts['failed'] + counts['errors']} failed, {counts['skipped']} skipped" if counts else ""
        lines.append(
            f"| {label} | {fail} | {case.id} | {case.title} | {said.get('outcome')}, {said.get('verdict') or 'none'} at {said.get('stage')} | "
            f"{said.get('reason')} ({said.get('rule')}) | {tests} | {said.get('artifact') or 'none'} | {said['exit']} | {'yes' if not wrong else '**NO**: ' + '; '.join(wrong)} |")
    for line in unprepared:
        first = line.splitlines()[0]
        lines.append(f"\nNot prepared: {first}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
