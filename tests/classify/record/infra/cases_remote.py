"""ssh against a real sshd on loopback, and git."""

import os
import signal

from infra.kit import BY_CLOSING_LINE, VERSIONS, Case
from infra.services import DEAD, SLAM, TLS, WEB, WORK, engine, ports, sshd, web

VERSIONS["ssh"] = ("ssh (OpenSSH)", ["ssh", "-V"])
VERSIONS["git"] = ("git", ["git", "--version"])
CONFIG = f"{WORK}/ssh/config"


def ready(box):
    ports()
    sshd()


def ssh(name, about, host, command, expect, because, act=None, options=None, setup=ready):
    return Case(f"ssh/{name}", about, "ssh", ["ssh", "-F", CONFIG, host, command], expect, because, setup, act, options or {})


def cut_after(text, number=signal.SIGKILL):
    """Ends (or stops) the sshd that serves the session, once the suite has printed `text`."""
    def act(box, pid):
        box.wait_for(text)
        session = sshd().session()
        os.kill(session, number)
        if number == signal.SIGSTOP:
            box.cleanups.append(lambda: os.kill(session, signal.SIGKILL))
    return act


SUITE = f"sh {WORK}/ssh"

CASES = [
    ssh("refused", "ssh to a port where nobody listens", "staging-dead", f"{SUITE}/green.sh", "transient", "row 9: ssh's 'Connection refused'"),
    ssh("connect-timeout", "ssh to a port that never completes the connection", "staging-full", f"{SUITE}/green.sh", "transient",
        "row 9: ssh's 'Connection timed out'"),
    ssh("banner-timeout", "ssh to a port that accepts and then is silent", "staging-silent", f"{SUITE}/green.sh", "transient",
        "row 5: timed out during banner exchange"),
    ssh("kex-closed", "ssh to a server that closes the connection at once", "staging-slam", f"{SUITE}/green.sh", "transient",
        "row 5: kex_exchange_identification"),
    ssh("unknown-host-name", "ssh to a name that does not resolve", "staging-nowhere", f"{SUITE}/green.sh", "transient",
        "row 9: an unknown host name is transient (once, then a hold)"),
    ssh("name-server-failing", "ssh while the name server fails", "servfail.invalid", f"{SUITE}/green.sh", "transient", "row 9: a temporary failure"),
    ssh("wrong-key", "ssh with a key the server does not know", "staging-wrong-key", f"{SUITE}/green.sh", "permanent", "row 9: authentication is permanent"),
    ssh("no-key-file", "ssh whose key file does not exist", "staging-no-key-file", f"{SUITE}/green.sh", "permanent", "row 9: authentication is permanent"),
    ssh("too-many-keys", "ssh offers more keys than the server listens to", "staging-limited", f"{SUITE}/green.sh", "permanent",
        "row 9: authentication is permanent, here told by 'Received disconnect'"),
    ssh("no-common-cipher", "client and server share no cipher", "staging-cipher", f"{SUITE}/green.sh", "permanent",
        "row 9: 'Unable to negotiate' is configuration"),
    ssh("host-key-changed", "the server's host key is another one than known_hosts says", "staging-changed", f"{SUITE}/green.sh", "permanent",
        "row 9: host key"),
    ssh("host-key-unknown", "the server's host key is not known and nobody may be asked", "staging-unknown", f"{SUITE}/green.sh", "permanent",
        "row 9: host key"),
    ssh("nologin", "the account's shell is nologin", "staging-nologin", f"{SUITE}/green.sh", "permanent",
        "row 9: 'This account is currently not available.', on stdout, exit 1"),
    Case("ssh/bad-option", "ssh with an option it does not know", "ssh", ["ssh", "-F", CONFIG, "-o", "ServerAlive=3", "staging", "true"], "permanent",
         "row 9: 'Bad configuration option', 255", ready),
    Case("ssh/no-config-file", "ssh whose -F file does not exist", "ssh", ["ssh", "-F", f"{WORK}/nowhere/config", "staging", "true"], "permanent",
         "row 9: 'Can't open user configuration file', 255", ready),
    ssh("green", "a green TAP suite over ssh", "staging", f"{SUITE}/green.sh", "pass", "row 7"),
    ssh("red", "a red TAP suite over ssh", "staging", f"{SUITE}/red.sh", "fail", "row 2"),
    ssh("green-line", "a green home-made suite over ssh", "staging", f"{SUITE}/green-line.sh", "pass", "row 7", options=BY_CLOSING_LINE),
    ssh("red-line", "a red home-made suite over ssh", "staging", f"{SUITE}/red-line.sh", "fail", "row 2", options=BY_CLOSING_LINE),
    ssh("red-exit-255", "a red suite over ssh whose own exit code is 255", "staging", f"{SUITE}/red.sh; exit 255", "fail",
        "row 2: red evidence whatever the code; ssh printed nothing of its own"),
    ssh("red-prints-ssh-words", "a red suite that prints ssh's error words", "staging",
        f"echo 'ssh: connect to host db port 22: Connection refused' >&2; {SUITE}/red.sh", "fail", "row 2: words of the suite never beat red"),
    ssh("green-prints-ssh-words", "a green suite that prints ssh's error words", "staging",
        f"echo 'ssh: connect to host db port 22: Connection refused' >&2; {SUITE}/green.sh", "pass", "row 7: complete green evidence and exit 0"),
    ssh("remote-255-silent", "the remote command returns 255 without a word", "staging", "exit 255", "transient", "row 5: 255, no evidence, empty stderr"),
    ssh("remote-255-chatter", "the remote command talks and returns 255", "staging", "echo deploying; echo done; exit 255", "transient",
        "row 5: 255 without complete evidence and with empty stderr"),
    ssh("remote-127", "the remote shell does not find the suite's tool", "staging", "cd /tmp && run-suite --all", "permanent",
        "row 9: the remote bash says 'command not found'"),
    ssh("remote-126", "the remote script is not executable", "staging", f"{WORK}/ssh/green.sh", "permanent", "row 9: 'Permission denied', 126"),
    ssh("remote-1-silent", "the remote command returns 1 without a word", "staging", "exit 1", "transient", "row 11: unclassified"),
    ssh("remote-1-chatter", "the remote command talks and returns 1", "staging", "echo 'checking the site'; echo 'something is odd' >&2; exit 1",
        "transient", "row 11: no evidence, no known signature"),
    ssh("remote-0-chatter", "the remote command talks and returns 0", "staging", "echo 'everything is fine'", "permanent",
        "row 11: exit 0 without evidence is never a pass"),
    ssh("remote-folder-missing", "the folder of the suite is not on the remote host", "staging", "cd /srv/app && sh run-suite.sh", "permanent",
        "row 9: the remote bash says 'No such file or directory'"),
    ssh("remote-python-module-missing", "the remote python lacks the test tool", "staging", "/usr/bin/python3 -m no_such_test_tool -q", "permanent",
        "row 9: 'No module named', the test tool is missing"),
    ssh("remote-docker-container-missing", "over ssh, docker exec into a container that does not exist", "staging",
        f"DOCKER_HOST=unix://{WORK}/docker/main/docker.sock docker exec gone sh run-suite.sh", "permanent",
        "row 9: the last layer that spoke is docker: a missing container", setup=lambda box: (ready(box), engine("main"))),
    ssh("remote-docker-engine-down", "over ssh, docker exec where no engine runs", "staging",
        f"DOCKER_HOST=unix://{WORK}/nowhere/docker.sock docker exec app sh run-suite.sh", "transient", "row 9: docker cannot connect to its engine"),
    ssh("remote-killed", "the remote command is killed by SIGKILL in the middle of a suite", "staging",
        "echo 1..3; echo 'ok 1 - starts'; kill -KILL $$", "transient", "row 5: 255, empty stderr, evidence incomplete"),
    ssh("remote-segfault-after-red", "the remote suite is red and complete, then its shell dies of SIGSEGV", "staging",
        "echo 1..2; echo 'ok 1 - starts'; echo 'not ok 2 - stops'; kill -SEGV $$", "fail", "row 2: complete red evidence stands alone"),
    ssh("remote-killed-after-green", "the remote suite is green and complete, then its shell is killed", "staging",
        "echo 1..2; echo 'ok 1 - starts'; echo 'ok 2 - stops'; kill -KILL $$", "transient", "row 5: 255; the exit status did not arrive as 0"),
    ssh("cut-mid-suite", "the session's sshd is killed in the middle of a suite", "staging", f"{SUITE}/slow.sh", "transient",
        "row 5: 'closed by remote host' and 255", cut_after("ok 2")),
    ssh("cut-after-green", "the session's sshd is killed after a complete green summary", "staging", f"{SUITE}/green-then-slow.sh", "transient",
        "row 5: even after a green summary the exit status did not arrive", cut_after("ok 2")),
    ssh("cut-after-red", "the session's sshd is killed after a complete red summary", "staging", f"{SUITE}/red-then-slow.sh", "fail",
        "row 2: a complete red summary stands alone", cut_after("not ok 2")),
    ssh("server-stopped-responding", "the session's sshd hangs in the middle of a suite", "staging", f"{SUITE}/slow.sh", "transient",
        "row 5: 'server ... not responding' and 255", cut_after("ok 2", signal.SIGSTOP)),
]


# ---- git ----

def repository(box, name="app"):
    box.run("git", "init", "-q", "-b", "main", name)
    box.write(f"{name}/README", "app\n")
    box.run("git", "-C", name, "add", ".")
    box.run("git", "-C", name, "-c", "user.name=a", "-c", "user.email=a@b.invalid", "commit", "-q", "-m", "first")


def locked(box):
    repository(box)
    box.write("app/.git/index.lock", "")
    box.write("app/new", "new\n")


def ref_locked(box):
    repository(box)
    box.write("app/.git/refs/heads/topic.lock", "")


def owned_by_another(box):
    repository(box)
    for folder, _, files in os.walk(box.dir / "app"):
        for entry in [folder] + [os.path.join(folder, f) for f in files]:
            os.chown(entry, 65534, 65534)


def full_disk(box):
    repository(box)
    box.write("app/big", os.urandom(400_000))
    box.run("git", "-C", "app", "add", ".")
    box.run("git", "-C", "app", "-c", "user.name=a", "-c", "user.email=a@b.invalid", "commit", "-q", "-m", "big")
    box.tmpfs("disk", "size=300k")


def read_only(box):
    repository(box)
    box.tmpfs("disk", "size=1m")
    box.run("mount", "-o", "remount,ro", box.dir / "disk")


def git(name, about, argv, expect, because, setup=None, env=None, **more):
    return Case(f"git/{name}", about, "git", ["git", *argv], expect, because, setup, env={"GIT_TERMINAL_PROMPT": "0", **(env or {})}, **more)


GIT_SSH = {"GIT_SSH_COMMAND": f"ssh -F {CONFIG}"}
CASES += [
    git("not-a-repository", "git status outside any repository", ["status"], "permanent", "row 9: git's own fatal, waiting will not help"),
    git("index-lock", "git add while another git holds index.lock", ["-C", "app", "add", "new"], "transient", "row 9: a held lock is transient", locked),
    git("ref-lock", "git branch while the ref is locked", ["-C", "app", "branch", "topic"], "transient", "row 9: a held lock is transient", ref_locked),
    git("dubious-ownership", "git in a repository that belongs to another user", ["-C", "app", "status"], "permanent",
        "row 9: ownership is configuration", owned_by_another),
    git("clone-refused", "git clone over http from a port where nobody listens", ["clone", f"http://127.0.0.1:{DEAD}/app.git"], "transient",
        "row 9: refused connection"),
    git("clone-unknown-host", "git clone from a name that does not resolve", ["clone", "http://no-such-host.invalid/app.git"], "transient",
        "row 9: an unknown host name is transient (once, then a hold)"),
    git("clone-git-protocol-refused", "git clone over git:// from a dead port", ["clone", f"git://127.0.0.1:{DEAD}/app.git"], "transient",
        "row 9: refused connection"),
    git("clone-hung-up", "git clone from a server that closes the connection at once", ["clone", f"git://127.0.0.1:{SLAM}/app.git"], "transient",
        "row 9: the channel broke", lambda box: ports()),
    git("clone-empty-reply", "git clone from a web server that answers nothing", ["clone", f"http://127.0.0.1:{WEB}/empty/app.git"], "transient",
        "row 9: the channel broke", lambda box: web()),
    git("clone-401", "git clone without a password where one is wanted", ["clone", f"http://127.0.0.1:{WEB}/status/401/app.git"], "permanent",
        "row 9: 401", lambda box: web()),
    git("clone-wrong-password", "git clone with a wrong password", ["clone", f"http://ci:wrong@127.0.0.1:{WEB}/status/401/app.git"], "permanent",
        "row 9: authentication failed", lambda box: web()),
    git("clone-403", "git clone is forbidden", ["clone", f"http://127.0.0.1:{WEB}/status/403/app.git"], "permanent", "row 9: 403", lambda box: web()),
    git("clone-404", "git clone of a repository that is not there", ["clone", f"http://127.0.0.1:{WEB}/status/404/app.git"], "permanent", "row 9: 404",
        lambda box: web()),
    git("clone-429", "git clone from a server that limits the rate", ["clone", f"http://127.0.0.1:{WEB}/status/429/app.git"], "transient", "row 9: 429",
        lambda box: web()),
    git("clone-503", "git clone from a server that is overloaded", ["clone", f"http://127.0.0.1:{WEB}/status/503/app.git"], "transient", "row 9: 5xx",
        lambda box: web()),
    git("clone-bad-certificate", "git clone from a server with a self-signed certificate", ["clone", f"https://127.0.0.1:{TLS}/app.git"], "permanent",
        "row 9: TLS certificate", lambda box: web()),
    git("ssh-refused", "git clone over ssh from a dead port", ["clone", "staging-dead:app.git"], "transient",
        "row 9: ssh's refused connection below git's 'Could not read from remote repository'", ready, GIT_SSH),
    git("ssh-denied", "git clone over ssh with a wrong key", ["clone", "staging-wrong-key:app.git"], "permanent",
        "row 9: ssh's 'Permission denied (publickey)' below git's own words", ready, GIT_SSH),
    git("ssh-host-key", "git clone over ssh from a host whose key changed", ["clone", "staging-changed:app.git"], "permanent", "row 9: host key", ready, GIT_SSH),
    git("ssh-unknown-host-name", "git fetch over ssh from a name that does not resolve", ["clone", "staging-nowhere:app.git"], "transient",
        "row 9: an unknown host name is transient (once, then a hold)", ready, GIT_SSH),
    git("ssh-no-repository", "git clone over ssh of a folder that is no repository", ["clone", "staging:/nowhere/app.git"], "permanent",
        "row 9: 'does not appear to be a git repository'", ready, GIT_SSH),
    git("clone-local-missing", "git clone of a local folder that is not there", ["clone", "/nowhere/app.git"], "permanent",
        "row 9: 'repository ... does not exist'"),
    git("fetch-no-remote", "git fetch from a remote that is not configured", ["-C", "app", "fetch", "upstream"], "permanent",
        "row 9: 'does not appear to be a git repository' is configuration", repository),
    git("checkout-missing-ref", "git checkout of a branch that is not there", ["-C", "app", "checkout", "release/9.9"], "permanent",
        "row 9: git's 'pathspec did not match', exit 1", repository),
    git("clone-missing-branch", "git clone of a branch the remote does not have", ["clone", "-q", "-b", "release/9.9", "app", "copy"], "permanent",
        "row 9: 'Remote branch not found'", repository),
    git("fetch-missing-ref", "git fetch of a ref the remote does not have", ["-C", "app", "fetch", "../app", "refs/heads/nope"], "permanent",
        "row 9: \"couldn't find remote ref\"", repository),
    git("unknown-subcommand", "git is asked for a command it does not have (git-lfs is not installed)", ["lfs-none", "pull"], "permanent",
        "row 9: the tool is missing"),
    git("no-identity", "git commit without a user", ["-C", "app", "-c", "user.useConfigOnly=true", "commit", "--allow-empty", "-m", "x"], "permanent", "row 9: configuration is missing",
        repository),
    git("disk-full", "git clone onto a disk without room", ["clone", "-q", "--no-local", "app", "disk/copy"], "transient",
        "row 9: no space left may pass when space is freed", full_disk),
    git("read-only", "git clone onto a read-only file system", ["clone", "-q", "app", "disk/copy"], "permanent", "row 9: a read-only file system is permanent",
        read_only),
    git("chatter-zero", "git log works: no suite at all", ["-C", "app", "log", "--oneline"], "permanent", "row 11: exit 0 without evidence is never a pass",
        repository),
    git("alias-green", "a green TAP suite run by a git alias", ["-C", "app", "-c", "alias.check=!sh ../green.sh", "check"],
        "pass", "row 7: git passes the suite's streams and exit through",
        lambda box: (repository(box), box.write("green.sh", "echo 1..1\necho ok 1\n"))),
    git("alias-red", "a red TAP suite run by a git alias", ["-C", "app", "-c", "alias.check=!sh ../red.sh", "check"], "fail",
        "row 2: red evidence", lambda box: (repository(box), box.write("red.sh", "echo 1..1\necho 'not ok 1 - starts'\nexit 1\n"))),
]
