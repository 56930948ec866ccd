"""docker: client without an engine, `exec` and `run` against a real engine, and suites that run inside a container."""

import os
import signal

from infra.kit import BY_CLOSING_LINE, NOBODY, VERSIONS, Case, tool_version, wait_until
from infra.services import DEAD, WEB, WORK, engine, web

MAIN = f"unix://{WORK}/docker/main/docker.sock"
DOOMED = f"unix://{WORK}/docker/doomed/docker.sock"
VERSIONS["docker client"] = ("docker", ["docker", "--version"])
VERSIONS["engine"] = ("engine", ["dockerd", "--version"])
VERSIONS["docker"] = lambda: f"{tool_version('docker client')}, {tool_version('engine')}"


def running(box):
    engine("main").container()


def exec_(name, about, argv, expect, because, setup=running, act=None, options=None, **more):
    """A row for `docker exec` into the container app-staging."""
    return Case(f"docker/exec-{name}", about, "docker", ["docker", "exec", *argv], expect, because, setup, act, options or {},
                {"DOCKER_HOST": MAIN}, **more)


def run_(name, about, argv, expect, because, setup=lambda box: engine("main"), act=None, **more):
    return Case(f"docker/run-{name}", about, "docker", ["docker", "run", "--rm", "--network", "none", *argv], expect, because, setup, act, {},
                {"DOCKER_HOST": MAIN}, **more)


def stopped(box):
    running(box)
    engine("main").docker("kill", "app-staging")


def paused(box):
    running(box)
    engine("main").docker("pause", "app-staging")
    box.cleanups.append(lambda: engine("main").docker("unpause", "app-staging"))


def created_only(box):
    engine("main").try_run("rm", "-f", "app-staging")
    engine("main").docker("create", "--network", "none", "--name", "app-staging", "box:1", "sleep", "3600")


def restarting(box):
    engine("main").try_run("rm", "-f", "app-staging")
    engine("main").docker("run", "-d", "--restart", "always", "--network", "none", "--name", "app-staging", "box:1", "false")
    box.cleanups.append(lambda: engine("main").docker("rm", "-f", "app-staging"))
    wait_until(lambda: engine("main").docker("inspect", "-f", "{{.State.Restarting}}", "app-staging") == "true", "restarting", 40)


def kill_container(text):
    def act(box, pid):
        box.wait_for(text)
        engine("main").docker("kill", "app-staging")
    return act


def end_engine(number):
    def act(box, pid):
        box.wait_for("ok 2")
        os.kill(engine("doomed").process.pid, number)
    return act


def doomed(box):
    """An engine of its own, which the case may end."""
    engine("doomed").container()
    box.cleanups.append(lambda: engine.forget("doomed"))


def small_memory(box):
    engine("main").container("app-staging", "--memory", "16m", "--memory-swap", "16m")


EATER = "echo 1..2; echo 'ok 1 - starts'; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"

CASES = [
    Case("docker/no-engine-exec", "docker exec where no engine runs: its socket does not exist", "docker client",
         ["docker", "exec", "app-staging", "sh", "/suite/green.sh"], "transient",
         "row 9: docker's own 'Cannot connect to the Docker daemon' is a refused connection; an engine that is down may come back",
         env={"DOCKER_HOST": f"unix://{WORK}/nowhere/docker.sock"}),
    Case("docker/no-engine-run", "docker run where no engine runs", "docker client", ["docker", "run", "--rm", "box:1", "true"], "transient",
         "row 9: the same words as for exec, but run answers 125", env={"DOCKER_HOST": f"unix://{WORK}/nowhere/docker.sock"}),
    Case("docker/no-engine-tcp-refused", "docker exec with DOCKER_HOST on a port where nobody listens", "docker client",
         ["docker", "exec", "app-staging", "true"], "transient", "row 9: refused connection to the engine",
         env={"DOCKER_HOST": f"tcp://127.0.0.1:{DEAD}"}),
    Case("docker/no-engine-unknown-host", "docker exec with DOCKER_HOST on a host that does not resolve", "docker client",
         ["docker", "exec", "app-staging", "true"], "transient", "row 9: an unknown host name is transient (once, then a hold)",
         env={"DOCKER_HOST": "tcp://no-such-host.invalid:2375"}),
    Case("docker/no-engine-bad-url", "DOCKER_HOST is not a host", "docker client", ["docker", "exec", "app-staging", "true"], "permanent",
         "row 9: the client cannot parse its configuration; waiting will not help", env={"DOCKER_HOST": "staging:host:port"}),
    Case("docker/unknown-context", "docker with a context nobody made", "docker client", ["docker", "--context", "staging", "exec", "app", "true"],
         "permanent", "row 9: the context is configuration that is missing"),
    Case("docker/unknown-subcommand", "docker is asked for a command it does not have (a plugin is not installed)", "docker client",
         ["docker", "stagings", "up"], "permanent", "row 9: docker's own usage error, the tool is not there"),
    Case("docker/socket-denied", "docker exec as a user who may not open the engine's socket", "docker",
         ["docker", "exec", "app-staging", "sh", "/suite/green.sh"], "permanent", "row 9: permission denied is an authorization fault of the host",
         running, env={"DOCKER_HOST": MAIN}, user=NOBODY),
    exec_("no-such-container", "docker exec into a container that does not exist", ["gone", "sh", "/suite/green.sh"], "permanent",
          "row 9: a missing container is permanent; exit 1 is the engine's, not the suite's"),
    exec_("no-such-container-pytest", "docker exec of a test tool into a container that does not exist", ["app-test", "python", "-m", "pytest", "-q"],
          "permanent", "row 9: a missing container is permanent, and pytest's exit code 1 never happened"),
    exec_("stopped", "docker exec into a container that was stopped", ["app-staging", "sh", "/suite/green.sh"], "permanent",
          "row 9: 'is not running' stays so until somebody starts it", stopped),
    exec_("created-only", "docker exec into a container that was never started", ["app-staging", "true"], "permanent",
          "row 9: 'is not running' stays so until somebody starts it", created_only),
    exec_("paused", "docker exec into a paused container", ["app-staging", "sh", "/suite/green.sh"], "permanent",
          "row 9: paused by somebody, waiting alone will not unpause it", paused),
    exec_("restarting", "docker exec into a container that is being restarted by its policy", ["app-staging", "sh", "/suite/green.sh"], "transient",
          "row 9: 'is restarting, wait until the container is running' asks to come again", restarting),
    exec_("missing-executable", "docker exec of a program the image does not have", ["app-staging", "pytest", "-q"], "permanent",
          "row 9: 'executable file not found', on stdout; the tool is missing in the container"),
    exec_("missing-path", "docker exec of an absolute path that is not there", ["app-staging", "/opt/run-suite"], "permanent",
          "row 9: the file is missing in the container"),
    exec_("not-executable", "docker exec of a file without the x bit", ["app-staging", "/suite/not-executable"], "permanent",
          "row 9: 'permission denied' of the OCI runtime, 126"),
    exec_("missing-interpreter", "docker exec of a script whose #! program is missing", ["app-staging", "/suite/no-interpreter"], "permanent",
          "row 9: the OCI runtime says 'no such file or directory' for the interpreter"),
    exec_("bad-workdir", "docker exec with a working folder that does not exist", ["-w", "/srv/app", "app-staging", "true"], "permanent",
          "row 9: the OCI runtime cannot chdir"),
    exec_("bad-user", "docker exec as a user the image does not have", ["-u", "tester", "app-staging", "true"], "permanent",
          "row 9: 'unable to find user' is configuration"),
    exec_("shell-not-found", "a shell in the container does not find the suite's tool", ["app-staging", "sh", "-c", "cd /suite && pytest -q"],
          "permanent", "row 9: busybox's 'sh: pytest: not found' and 127"),
    exec_("script-missing", "the suite's script is not in the container", ["app-staging", "sh", "/suite/run-all.sh"], "permanent",
          "row 9: the shell cannot open the script; nothing ran"),
    exec_("green", "a green TAP suite inside a container", ["app-staging", "sh", "/suite/green.sh"], "pass", "row 7: plan fulfilled, none failed, exit 0"),
    exec_("red", "a red TAP suite inside a container", ["app-staging", "sh", "/suite/red.sh"], "fail", "row 2: one 'not ok' in a complete run"),
    exec_("green-line", "a green home-made suite with a closing line inside a container", ["app-staging", "sh", "/suite/green-line.sh"], "pass",
          "row 7: the declared closing line, 3 of 3, exit 0", options=BY_CLOSING_LINE),
    exec_("red-line", "a red home-made suite with a closing line inside a container", ["app-staging", "sh", "/suite/red-line.sh"], "fail",
          "row 2: the declared closing line counts one failure", options=BY_CLOSING_LINE),
    exec_("red-prints-engine-words", "a red suite that tests a docker wrapper and prints the engine's error words",
          ["app-staging", "sh", "-c", "echo 'checking: Error response from daemon: No such container: gone' >&2; sh /suite/red-line.sh"], "fail",
          "row 2: red evidence stands above every infra word", options=BY_CLOSING_LINE),
    exec_("green-prints-engine-words", "a green suite that tests a docker wrapper and prints the engine's error words",
          ["app-staging", "sh", "-c", "echo 'checking: Error response from daemon: No such container: gone' >&2; sh /suite/green-line.sh"], "pass",
          "row 7: green evidence and exit 0; the words are the suite's own", options=BY_CLOSING_LINE),
    exec_("container-killed", "the container is killed in the middle of a TAP suite", ["app-staging", "sh", "/suite/slow.sh"], "transient",
          "row 6: 137 without complete evidence", act=kill_container("ok 2")),
    exec_("container-killed-after-red", "the container is killed after a complete red summary", ["app-staging", "sh", "/suite/red-then-slow.sh"],
          "fail", "row 2: a complete red summary stands alone", act=kill_container("not ok 2")),
    exec_("container-killed-after-green", "the container is killed after a complete green summary", ["app-staging", "sh", "/suite/green-then-slow.sh"],
          "transient", "rows 6 and 7: green needs exit 0; the suite was killed with 137 and may have had more to say", act=kill_container("ok 2")),
    Case("docker/exec-engine-killed", "the engine is killed in the middle of a TAP suite", "docker", ["docker", "exec", "app-staging", "sh", "/suite/slow.sh"],
         "transient", "row 5: 255 with nothing on stderr and no complete evidence: the channel broke", doomed, end_engine(signal.SIGKILL), env={"DOCKER_HOST": DOOMED}),
    Case("docker/exec-engine-killed-after-green", "the engine is killed after a complete green summary, before the exit status", "docker",
         ["docker", "exec", "app-staging", "sh", "/suite/green-then-slow.sh"], "transient",
         "row 5 and 7: the exit status did not arrive, so the green summary is no verdict", doomed, end_engine(signal.SIGKILL), env={"DOCKER_HOST": DOOMED}),
    Case("docker/exec-engine-killed-after-red", "the engine is killed after a complete red summary", "docker",
         ["docker", "exec", "app-staging", "sh", "/suite/red-then-slow.sh"], "fail", "row 2: a complete red summary stands alone", doomed, end_engine(signal.SIGKILL),
         env={"DOCKER_HOST": DOOMED}),
    Case("docker/exec-engine-stopped", "the engine is shut down properly (SIGTERM) in the middle of a suite", "docker",
         ["docker", "exec", "app-staging", "sh", "/suite/slow.sh"], "transient", "row 5 or 6: no complete evidence, the engine ended the container",
         doomed, end_engine(signal.SIGTERM), env={"DOCKER_HOST": DOOMED}),
    exec_("out-of-memory", "the kernel kills the suite at the container's memory limit", ["app-staging", "sh", "-c", EATER], "transient",
          "row 6: 137 without complete evidence", small_memory),
    exec_("suite-exits-255", "a program in the container returns 255 without a word", ["app-staging", "sh", "-c", "exit 255"], "transient",
          "row 5: 255, no evidence, empty stderr"),
    exec_("suite-exits-1-silent", "a program in the container returns 1 without a word", ["app-staging", "sh", "-c", "exit 1"], "transient",
          "row 11: no evidence of any kind, unclassified"),
    exec_("silent-zero", "a command in the container does nothing and returns 0", ["app-staging", "true"], "permanent",
          "row 11: exit 0 without evidence is never a pass"),
    run_("missing-executable", "docker run of a program the image does not have", ["box:1", "pytest", "-q"], "permanent",
         "row 9: 127 with docker's own message"),
    run_("not-executable", "docker run of a file without the x bit", ["box:1", "/suite/not-executable"], "permanent", "row 9: 126 with docker's own message"),
    run_("no-such-image", "docker run of an image that is not here and may not be pulled", ["--pull", "never", "app:nightly", "true"], "permanent",
         "row 9: 125, the image is missing"),
    run_("registry-refused", "docker run of an image whose registry does not listen", [f"127.0.0.1:{DEAD}/app:1", "true"], "transient",
         "row 9: 125, refused connection to the registry"),
    run_("manifest-unknown", "docker run of an image the registry does not know", [f"127.0.0.1:{WEB}/app:1", "true"], "permanent",
         "row 9: 125, 'manifest unknown' is a 404", lambda box: (web(), engine("main"))),
    run_("bad-option", "docker run with an option it does not know", ["--netwrk=none", "box:1", "true"], "permanent", "row 9: 125, usage"),
    run_("name-taken", "docker run with the name of a container that exists", ["--name", "app-staging", "box:1", "true"], "permanent",
         "row 9: 125, 'is already in use by container'; the left-over must be removed by somebody", running),
    run_("bad-mount", "docker run with a bind mount whose source does not exist",
         ["--mount", f"type=bind,src={WORK}/nowhere,dst=/srv", "box:1", "true"], "permanent", "row 9: 125, invalid mount config"),
    run_("green", "a green TAP suite by docker run", ["box:1", "sh", "/suite/green.sh"], "pass", "row 7"),
    run_("red", "a red TAP suite by docker run", ["box:1", "sh", "/suite/red.sh"], "fail", "row 2"),
    run_("red-exit-125", "a red TAP suite that itself returns 125", ["box:1", "sh", "-c", "sh /suite/red.sh; exit 125"], "fail",
         "row 2: red evidence, whatever the code"),
    run_("container-killed", "the container of docker run is killed in the middle of the suite",
         ["--name", "app-run", "box:1", "sh", "/suite/slow.sh"], "transient", "row 6: 137 without complete evidence",
         act=lambda box, pid: (box.wait_for("ok 2"), engine("main").docker("kill", "app-run"))),
    run_("segfault", "the program in the container dies of SIGSEGV without a word", ["box:1", "sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"], "transient",
         "row 11: 139 of a bare program; no framework attributed the crash to a test"),
]
