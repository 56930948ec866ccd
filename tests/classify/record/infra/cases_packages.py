"""Package tools whose registry, lock, manifest or toolchain is not as they need it: pip, npm, cargo, apt."""

import fcntl
import json
import os
import zipfile

from infra.kit import NOBODY, PATH, VERSIONS, WORK, Case, kill_below
from infra.services import DEAD, WEB, web

PY = "/usr/bin/python3"
VERSIONS["pip"] = ("pip", [PY, "-m", "pip", "--version"])
VERSIONS["npm"] = ("npm", ["npm", "--version"])
CARGO_PATH = f"/root/.cargo/bin:{PATH}"
CARGO_ENV = {"PATH": CARGO_PATH, "RUSTUP_HOME": "/root/.rustup", "CARGO_HOME": f"{WORK}/cargo-home", "CARGO_NET_RETRY": "0", "CARGO_TERM_COLOR": "never",
             "RUSTUP_AUTO_INSTALL": "0"}
VERSIONS["cargo"] = ("cargo", ["cargo", "--version"], CARGO_ENV)
VERSIONS["apt"] = ("apt", ["apt-get", "--version"])
GREEN = "echo 1..2\necho 'ok 1 - starts'\necho 'ok 2 - stops'\n"
RED = "echo 1..2\necho 'ok 1 - starts'\necho 'not ok 2 - stops'\nexit 1\n"


# ---- pip ----

def pip(name, about, argv, expect, because, setup=None, index=f"http://127.0.0.1:{WEB}/simple/", break_system=True, user=None, **env):
    base = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "1", "PIP_TIMEOUT": "2", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_CACHE_DIR": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if break_system:
        base["PIP_BREAK_SYSTEM_PACKAGES"] = "1"
    return Case(f"pip/{name}", about, "pip", [PY, "-m", "pip", *argv], expect, because, setup, env={**base, **env}, user=user)


def index(box):
    """A real small index with one real wheel, which needs another package that is not there."""
    web()
    folder = WORK / "index" / "left-pad-py"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "left_pad_py-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("left_pad_py.py", "x = 1\n" + "# filler\n" * 20000)
        wheel.writestr("left_pad_py-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: left-pad-py\nVersion: 1.0\nRequires-Python: >=3\n")
        wheel.writestr("left_pad_py-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: box\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("left_pad_py-1.0.dist-info/RECORD", "left_pad_py.py,,\nleft_pad_py-1.0.dist-info/METADATA,,\nleft_pad_py-1.0.dist-info/WHEEL,,\n"
                       "left_pad_py-1.0.dist-info/RECORD,,\n")


CASES = [
    pip("index-refused", "pip's index does not listen", ["install", "left-pad-py"], "transient",
        "row 9: refused connection; the last line 'No matching distribution found' only sounds permanent", index=f"http://127.0.0.1:{DEAD}/simple/"),
    pip("index-unknown-host", "pip's index has a name that does not resolve", ["install", "left-pad-py"], "transient",
        "row 9: an unknown host name is transient (once, then a hold)", index="http://no-such-host.invalid/simple/", PIP_TRUSTED_HOST="no-such-host.invalid"),
    # Without -vv this pip prints for 503 what it prints for a package nobody has, so no classifier could tell the two apart.
    pip("index-503-verbose", "pip's index answers 503, and pip -vv says so", ["-vv", "install", "left-pad-py"], "transient", "row 9: 5xx", lambda box: web(),
        f"http://127.0.0.1:{WEB}/status/503/simple/"),
    pip("index-401", "pip's index wants a password", ["install", "--no-input", "left-pad-py"], "permanent",
        "row 9: pip hides the 401 and says 'No matching distribution found', which is permanent as well", lambda box: web(),
        f"http://127.0.0.1:{WEB}/status/401/simple/"),
    pip("no-such-package", "the package is not in the index", ["install", "no-such-package-at-all"], "permanent", "row 9: the index answered, it is not there", index),
    pip("no-such-version", "the version is not in the index", ["install", "left-pad-py==2.0"], "permanent", "row 9: the index answered, it is not there", index),
    pip("externally-managed", "pip may not touch the system's python", ["install", "left-pad-py"], "permanent", "row 9: configuration", index, break_system=False),
    pip("requirements-missing", "pip -r with a file that is not there", ["install", "-r", "requirements-test.txt"], "permanent", "row 9: the file is missing"),
    pip("hash-mismatch", "the package's hash is not the one that is required", ["install", "--target", "lib", "-r", "requirements.txt"], "permanent",
        "row 9: 'DO NOT MATCH THE HASHES', waiting will not help", lambda box: (index(box), box.write("requirements.txt", "left-pad-py==1.0 --hash=sha256:" + "0" * 64 + "\n"))),
    pip("disk-full", "pip's target disk is full", ["install", "--target", "disk/lib", "left-pad-py"], "transient", "row 9: no space left",
        lambda box: (index(box), box.tmpfs("disk", "size=64k")), TMPDIR="disk"),
    pip("target-denied", "pip may not write into its target", ["install", "--target", "/usr/lib/python3/lib", "left-pad-py"], "permanent", "row 9: permission denied", index,
        user=NOBODY),
    pip("installs", "pip installs a package: no suite at all", ["install", "-q", "--target", "lib", "left-pad-py"], "permanent",
        "row 11: exit 0 without evidence is never a pass", index),
]


# ---- npm ----

def npm(name, about, argv, expect, because, setup=None, registry=f"http://127.0.0.1:{DEAD}/", program="npm", **env):
    base = {"NPM_CONFIG_REGISTRY": registry, "NPM_CONFIG_FETCH_RETRIES": "0", "NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_FUND": "false",
            "NPM_CONFIG_AUDIT": "false", "NPM_CONFIG_CACHE": f"{WORK}/npm-cache"}
    return Case(f"npm/{name}", about, "npm", [program, *argv], expect, because, setup, env={**base, **env})


def package(scripts=None, files=None, **more):
    def setup(box):
        web()
        box.write("package.json", json.dumps({"name": "app", "version": "1.0.0", "scripts": scripts or {}, **more}))
        for name, text in (files or {}).items():
            box.write(name, text if isinstance(text, str) else json.dumps(text))
    return setup


def npm_disk_full(box):
    web()
    disk = box.tmpfs("disk", "size=64k")
    box.write("disk/package.json", json.dumps({"name": "app", "version": "1.0.0", "dependencies": {"big": "file:../big.tgz"}}))
    box.write("big/package.json", json.dumps({"name": "big", "version": "1.0.0"}))
    box.write("big/data.bin", os.urandom(200_000))
    box.run("npm", "pack", "./big", env={"NPM_CONFIG_CACHE": f"{WORK}/npm-cache"})
    os.rename(box.dir / "big-1.0.0.tgz", box.dir / "big.tgz")


PEERS = {"a/package.json": {"name": "a", "version": "1.0.0", "peerDependencies": {"b": "^2.0.0"}}, "b/package.json": {"name": "b", "version": "1.0.0"}}
CASES += [
    npm("registry-refused", "npm's registry does not listen", ["install"], "transient", "row 9: ECONNREFUSED", package(dependencies={"left-pad": "1.0.0"})),
    npm("registry-unknown-host", "npm's registry has a name that does not resolve", ["install"], "transient",
        "row 9: an unknown host name is transient (once, then a hold)", package(dependencies={"left-pad": "1.0.0"}), "http://no-such-host.invalid/"),
    npm("registry-404", "the package is not in the registry", ["install"], "permanent", "row 9: E404", package(dependencies={"no-such-package": "1.0.0"}),
        f"http://127.0.0.1:{WEB}/npm/"),
    npm("registry-401", "npm's registry wants a credential", ["install"], "permanent", "row 9: E401", package(dependencies={"left-pad": "1.0.0"}),
        f"http://127.0.0.1:{WEB}/status/401/"),
    npm("registry-503", "npm's registry answers 503", ["install"], "transient", "row 9: E503", package(dependencies={"left-pad": "1.0.0"}),
        f"http://127.0.0.1:{WEB}/status/503/"),
    npm("test-without-script", "npm test where package.json has no test script", ["test"], "permanent", "row 9: 'Missing script', nothing ran",
        package({"build": "true"})),
    npm("no-package-json", "npm test where no package.json is", ["test"], "permanent", "row 9: ENOENT, nothing ran"),
    npm("broken-package-json", "package.json does not parse", ["test"], "fail", "row 3: the project's own manifest cannot be parsed, said by npm (EJSONPARSE), like Cargo.toml",
        lambda box: box.write("package.json", "{\"name\": \"app\",}")),
    npm("script-tool-missing", "the test script's tool is not installed", ["test"], "permanent", "row 9: 'sh: 1: no-such-runner: not found', 127",
        package({"test": "no-such-runner --all"})),
    npm("script-exit-1-silent", "the test script returns 1 without a word", ["test"], "transient", "row 11: npm's banner is no evidence: unclassified",
        package({"test": "exit 1"})),
    npm("npx-offline", "npx --offline of a tool that is not in the cache", ["--offline", "no-such-runner"], "permanent",
        "row 9: ENOTCACHED, it may not ask and it has not", program="npx"),
    npm("npx-refused", "npx of a tool that is not installed, its registry does not listen", ["--yes", "no-such-runner"], "transient", "row 9: ECONNREFUSED",
        program="npx"),
    npm("eresolve", "the dependencies contradict each other, which npm only warns of; then it asks a registry that does not listen", ["install"], "transient",
        "row 9: ECONNREFUSED is what ended it; the ERESOLVE before it is a warning",
        package(files=PEERS, dependencies={"a": "file:a", "b": "file:b"})),
    npm("ci-without-lock", "npm ci where no lock file is", ["ci"], "permanent", "row 9: EUSAGE", package(dependencies={"left-pad": "1.0.0"})),
    npm("wrong-engine", "the package wants a newer node", ["install"], "permanent", "row 9: EBADENGINE", package(engines={"node": ">=99"}),
        NPM_CONFIG_ENGINE_STRICT="true"),
    npm("disk-full", "npm install onto a full disk", ["install", "--prefix", "disk", "--install-links"], "transient", "row 9: ENOSPC", npm_disk_full),
    npm("green", "a green TAP suite by npm test", ["test", "--silent"], "pass", "row 7", package({"test": "sh suite.sh"}, {"suite.sh": GREEN})),
    npm("red", "a red TAP suite by npm test", ["test"], "fail", "row 2: red evidence above npm's own error lines", package({"test": "sh suite.sh"}, {"suite.sh": RED})),
]


# ---- cargo ----

MANIFEST = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"
TEST = "#[test]\nfn answers() { assert_eq!(2 + 2, 4); }\n"


def cargo(name, about, argv, expect, because, manifest=MANIFEST, files=None, extra=None, act=None, program="cargo", config=None, seconds=None, **env):
    def setup(box):
        if manifest is not None:
            box.write("Cargo.toml", manifest)
            box.write("src/lib.rs", TEST)
        if config:
            box.write(".cargo/config.toml", config)
        for file, text in (files or {}).items():
            box.write(file, text)
        if extra:
            extra(box)
    return Case(f"cargo-infra/{name}", about, "cargo", [program, *argv], expect, because, setup, act, env={**CARGO_ENV, **env}, seconds=seconds)


def small_target(box):
    box.tmpfs("target", "size=200k")


def another_builds(box):
    """Somebody else holds cargo's lock of the build folder."""
    box.write("target/debug/.cargo-lock", "")
    lock = open(box.dir / "target/debug/.cargo-lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    box.cleanups.append(lock.close)


DEPENDS = MANIFEST + "\n[dependencies]\nno-such-crate-at-all = \"1\"\n"
MIRROR = f"[source.crates-io]\nreplace-with = \"box\"\n[source.box]\nregistry = \"sparse+http://127.0.0.1:{{}}/\"\n"
SLOW_TEST = "#[test]\nfn waits() { std::thread::sleep(std::time::Duration::from_secs(40)); }\n"
CASES += [
    cargo("offline-dependency-missing", "cargo --offline lacks a dependency", ["test", "--offline"], "permanent", "row 9: it may not ask and it has not", DEPENDS),
    cargo("registry-refused", "cargo's registry does not listen", ["test"], "transient", "row 9: refused connection", DEPENDS, config=MIRROR.format(DEAD)),
    cargo("registry-unknown-host", "cargo's registry has a name that does not resolve", ["test"], "transient",
          "row 9: an unknown host name is transient (once, then a hold)", DEPENDS,
          config="[source.crates-io]\nreplace-with = \"box\"\n[source.box]\nregistry = \"sparse+http://no-such-host.invalid/\"\n"),
    cargo("registry-503", "cargo's registry answers 503", ["test"], "transient", "row 9: 5xx", DEPENDS, extra=lambda box: web(),
          config=MIRROR.format(f"{WEB}/status/503")),
    cargo("registry-403", "cargo's registry answers 403", ["test"], "permanent", "row 9: 403", DEPENDS, extra=lambda box: web(),
          config=MIRROR.format(f"{WEB}/status/403")),
    cargo("git-dependency-refused", "a git dependency's server does not listen", ["test"], "transient", "row 9: refused connection",
          MANIFEST + f"\n[dependencies]\nhelper = {{ git = \"http://127.0.0.1:{DEAD}/helper.git\" }}\n"),
    cargo("path-dependency-missing", "a path dependency outside the project is not there", ["test"], "permanent", "row 9: a dependency is missing",
          MANIFEST + "\n[dependencies]\nhelper = { path = \"../../nowhere/helper\" }\n"),
    cargo("unknown-subcommand", "cargo is asked for a command that is not installed", ["nextest-pro", "run"], "permanent", "row 9: 'no such command'"),
    cargo("unknown-toolchain", "cargo +TOOLCHAIN that is not installed", ["+nightly-1999-01-01", "test"], "permanent", "row 9: rustup: the toolchain is missing"),
    cargo("toolchain-file-missing", "rust-toolchain.toml wants a toolchain that is not installed", ["test"], "permanent", "row 9: rustup: the toolchain is missing",
          files={"rust-toolchain.toml": "[toolchain]\nchannel = \"1.42.0\"\n"}),
    cargo("lock-needs-update", "--locked, and the lock file is not up to date", ["test", "--locked"], "permanent",
          "row 9: the lock file has to be updated by somebody; waiting will not help", MANIFEST + "\n[dependencies]\nhelper = { path = \"helper\" }\n",
          {"helper/Cargo.toml": MANIFEST.replace("app", "helper"), "helper/src/lib.rs": "", "Cargo.lock": "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n"}),
    cargo("linker-missing", "the linker is not installed", ["test"], "permanent", "row 9: the toolchain is incomplete; 'could not compile' alone is not the code",
          CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER="cc-99"),
    cargo("target-missing", "the standard library of the target is not installed", ["build", "--target", "riscv64gc-unknown-linux-gnu"], "permanent",
          "row 9: error[E0463] without a place in the code: the target is not installed"),
    cargo("rustc-too-old", "the package wants a newer rustc", ["test"], "permanent", "row 9: the toolchain is too old", MANIFEST + "rust-version = \"1.999\"\n"),
    cargo("no-manifest", "cargo test where no Cargo.toml is", ["test"], "permanent", "row 9: nothing ran", None),
    cargo("runner-missing", "the target's runner is not installed", ["test", "--lib"], "permanent",
          "row 9: '(never executed)' tells that 'test failed' is untrue", CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-none"),
    cargo("disk-full", "the disk is full while cargo compiles", ["test"], "transient", "row 9: no space left; 'could not compile' alone is not the code",
          extra=small_target),
    cargo("target-read-only", "the build folder is on a read-only file system", ["test"], "permanent", "row 9: a read-only file system is permanent",
          extra=lambda box: (box.tmpfs("target", "size=1m"), box.run("mount", "-o", "remount,ro", box.dir / "target"))),
    cargo("lock-held-timeout", "another cargo holds the build folder until the stage's limit", ["test"], "transient", "row 6: orch's own limit, no evidence",
          extra=another_builds, seconds=3),
    cargo("test-killed", "the test binary is killed by SIGKILL", ["test", "--lib"], "transient", "row 4 never counts KILL; row 6: no complete evidence",
          files={"src/lib.rs": SLOW_TEST}, act=lambda box, pid: (box.wait_for("running 1 test"), kill_below(pid, "deps/app-"))),
    cargo("build-script-killed", "the build script is killed by SIGKILL", ["test"], "transient", "row 4 never counts KILL; row 6: no complete evidence",
          files={"build.rs": "fn main() { std::thread::sleep(std::time::Duration::from_secs(40)); }\n"},
          act=lambda box, pid: kill_below(pid, "build-script-build")),
    cargo("cargo-missing", "env does not find cargo", ["cargo", "test"], "permanent", "row 9: env's own words, 127", program="env", PATH=PATH),
]


# ---- apt ----

def apt_root(box, sources="", available=""):
    """An own, empty apt below the case's folder."""
    for folder in ("lists/partial", "cache/archives/partial", "dpkg/updates", "etc"):
        (box.dir / folder).mkdir(parents=True)
    box.write("dpkg/status", "")
    box.write("etc/sources.list", sources)


APT = ["-o", "Dir::State=.", "-o", "Dir::State::lists=lists", "-o", "Dir::State::status=dpkg/status", "-o", "Dir::Cache=cache", "-o", "Dir::Etc=etc",
       "-o", "Dir::Etc::Parts=etc/none", "-o", "Acquire::Retries=0", "-o", "Debug::NoLocking=0", "-o", "APT::Sandbox::User=root"]


def held(*locks):
    def setup(box):
        apt_root(box)
        for name in locks:
            file = open(box.dir / name, "w")
            fcntl.lockf(file, fcntl.LOCK_EX)
            box.cleanups.append(file.close)
    return setup


def apt(name, about, argv, expect, because, setup=apt_root, **more):
    folder = str(WORK / "w" / f"apt-{name}")
    options = [o.replace("=dpkg", f"={folder}/dpkg").replace("=lists", f"={folder}/lists").replace("=cache", f"={folder}/cache")
               .replace("=etc", f"={folder}/etc").replace("Dir::State=.", f"Dir::State={folder}") for o in APT]
    return Case(f"apt/{name}", about, "apt", ["apt-get", *options, *argv], expect, because, setup, **more)


def source(url):
    return lambda box: (web(), apt_root(box, f"deb [trusted=yes] {url} stable main\n"))


CASES += [
    apt("dpkg-lock-held", "another process holds dpkg's lock", ["install", "-y", "hello"], "transient", "row 9: a held lock is transient",
        held("dpkg/lock-frontend")),
    apt("lists-lock-held", "another process holds the lock of the package lists", ["update"], "transient", "row 9: a held lock is transient", held("lists/lock")),
    apt("no-such-package", "apt-get install of a package nobody has", ["install", "-y", "no-such-package"], "permanent", "row 9: 'Unable to locate package'"),
    apt("mirror-refused", "apt-get update, its mirror does not listen: only warnings and exit 0", ["update"], "transient",
        "row 9 before row 11: apt's own 'Failed to fetch ... Connection refused' tells what happened, whatever the code", source(f"http://127.0.0.1:{DEAD}/debian")),
    apt("mirror-refused-strict", "the same, and any error is an error", ["-o", "APT::Update::Error-Mode=any", "update"], "transient", "row 9: refused connection",
        source(f"http://127.0.0.1:{DEAD}/debian")),
    apt("mirror-unknown-host", "apt-get update, its mirror's name does not resolve", ["-o", "APT::Update::Error-Mode=any", "update"], "transient",
        "row 9: an unknown host name is transient (once, then a hold)", source("http://no-such-host.invalid/debian")),
    apt("mirror-404", "apt-get update, the mirror has no such release", ["update"], "permanent", "row 9: 404, 'does not have a Release file'",
        source(f"http://127.0.0.1:{WEB}/status/404/debian")),
    apt("mirror-503", "apt-get update, the mirror answers 503", ["-o", "APT::Update::Error-Mode=any", "update"], "transient", "row 9: 5xx",
        source(f"http://127.0.0.1:{WEB}/status/503/debian")),
    apt("broken-sources", "apt's list of sources does not parse", ["update"], "permanent", "row 9: configuration",
        lambda box: apt_root(box, "debian http://127.0.0.1/ stable main\n")),
    Case("apt/not-root", "apt-get install without being root", "apt", ["apt-get", "install", "-y", "hello"], "permanent", "row 9: permission denied", user=NOBODY),
    apt("dpkg-interrupted", "dpkg was interrupted earlier and must be mended by hand", ["install", "-y", "hello"], "permanent", "row 9: somebody must run dpkg --configure -a",
        lambda box: (apt_root(box), box.write("dpkg/updates/0001", "Package: hello\n"))),
]
