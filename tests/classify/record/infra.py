#!/usr/bin/env python3
"""Records ends that the environment caused, for the classifier's corpus.

    python3 tests/classify/record/infra.py [--only FAMILY[/CASE]] [--out DIR] [--list]

Every case really runs its command and keeps what came out: `stdout` and `stderr` byte for byte, and the true wait status. Nothing is typed by hand
but the fixtures and the labels.

* The cases are rows of the tables in `infra/cases_*.py`; `Case` in `infra/kit.py` tells what a row holds. The label (`expect`, `because`) is what
  really happened in the world, read by CLASSIFICATION.md section 6, and is copied into `case.json`.
* The servers (dockerd, sshd, http, PostgreSQL) are real, private and throw-away: own folders under WORK, own ports on 127.0.0.1, started at
  first use, ended by pid at the end (`infra/services.py`). "Unreachable" always means 127.0.0.1:9 or a name below `.invalid`.
* Debian packages that are missing are installed first. A row whose tool cannot be had that way (kubectl, cargo) is skipped and its recorded case stays.
* Host names are resolved by a server of our own: everything is NXDOMAIN, and what begins with `servfail` is SERVFAIL.
* It needs root (mounts, other users, dockerd) and Linux. Two runs differ only in process ids, times and container ids.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# `infra` must be the folder beside this file, not this file: a package wins over a module of the same name on the path.
from infra import kit, services  # noqa: E402

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
TABLES = ["containers", "remote", "network", "programs", "packages", "machine"]
PACKAGES = {  # program -> Debian package
    "dockerd": "docker.io", "/usr/sbin/sshd": "openssh-server", "busybox": "busybox-static", "psql": "postgresql-client", "sqlite3": "sqlite3",
    "gcc": "gcc", "make": "make", "javac": "default-jdk-headless", "git": "git", "curl": "curl", "perl": "perl", "ruby": "ruby", "php": "php-cli",
    "/usr/lib/postgresql/15/bin/initdb": "postgresql", "/usr/lib/python3/dist-packages/pip": "python3-pip", "wget": "wget",
}


def install_missing():
    missing = [package for program, package in PACKAGES.items() if not (shutil.which(program) or Path(program).exists())]
    if missing:
        subprocess.run(["apt-get", "update"], check=True, stdout=sys.stderr)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True, stdout=sys.stderr,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def go_inside():
    """Goes on in own mount and host-name name spaces: tiny file systems vanish with it, and all names are resolved by our own server."""
    if not os.environ.get("ORCH_INFRA_INSIDE"):
        os.environ["ORCH_INFRA_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--uts", "--propagation", "private", sys.executable, *sys.argv])
    subprocess.run(["hostname", "builder"], check=True)
    services.names()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--only", action="append", default=[], help="FAMILY or FAMILY/CASE; may be given more than once")
    arguments.add_argument("--out", type=Path, default=CORPUS)
    arguments.add_argument("--list", action="store_true")
    given = arguments.parse_args()
    cases = [case for table in TABLES for case in importlib.import_module(f"infra.cases_{table}").CASES]
    double = {case.path for case in cases if sum(other.path == case.path for other in cases) > 1}
    if double:
        sys.exit(f"cases named twice: {sorted(double)}")
    if given.only:
        cases = [case for case in cases if any(case.path == only or case.path.startswith(only.rstrip("/") + "/") for only in given.only)]
    if given.list:
        print("\n".join(case.path for case in cases))
        return
    install_missing()
    go_inside()
    kit.HOME.mkdir(parents=True, exist_ok=True)
    for folder in (kit.WORK, kit.HOME):
        folder.chmod(0o755)
    troubles = []
    try:
        for case in cases:
            program = {**kit.SEALED, **case.env}["PATH"]
            if not shutil.which(case.argv[0], path=program) and "/" not in case.argv[0]:
                print(f"{case.path:45} skipped: no {case.argv[0]}", flush=True)
                continue
            try:
                print(kit.record(case, given.out), flush=True)
            except Exception as error:
                troubles.append(case.path)
                print(f"{case.path:45} NOT RECORDED: {error}", flush=True)
    finally:
        services.stop_all()
    print(f"{len(cases) - len(troubles)} recorded, {len(troubles)} not: {' '.join(troubles)}")
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    main()
