"""The throw-away servers the infra cases talk to. All on loopback or on sockets under WORK; each is started on first use and ended at the end."""

import http.server
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from infra.kit import SEALED, WORK, children_of, command_line, wait_until

DEAD = 9  # the discard port: nobody listens there
SSH, SSH_LIMITED, SILENT, SLAM, FULL, BUSY, WEB, TLS, PG = 42022, 42026, 42023, 42024, 42025, 42090, 42080, 42443, 42032
_started = {}


def once(start):
    """Starts a service at its first use only."""
    def started(*names):
        if (start, names) not in _started:
            _started[start, names] = start(*names)
        return _started[start, names]
    started.forget = lambda *names: forget(start, *names)
    return started


def forget(start, *names):
    """Ends one service, so that its next use starts a new one."""
    service = _started.pop((start, names), None)
    if service:
        service.stop()


def stop_all():
    for service in reversed(list(_started.values())):
        if hasattr(service, "stop"):
            service.stop()
    _started.clear()


def background(argv, log, **more):
    with open(log, "wb") as out:
        return subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **more)


def end(process, number=signal.SIGTERM, seconds=20):
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- docker ----

class Engine:
    """A real dockerd without network, and an image `box:1` of busybox with the suites of SUITES in /suite."""

    def __init__(self, name):
        self.dir = WORK / "docker" / name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.host = f"unix://{self.dir}/docker.sock"
        self.env = {**SEALED, "DOCKER_HOST": self.host}
        self.process = background(
            ["dockerd", "-H", self.host, "--data-root", self.dir / "data", "--exec-root", self.dir / "exec", "--pidfile", self.dir / "pid",
             "--iptables=false", "--bridge=none", "--storage-driver=vfs", "--insecure-registry", "127.0.0.0/8"], self.dir / "log", env=SEALED)
        wait_until(lambda: self.try_run("version").returncode == 0, "dockerd", 60)
        root = self.dir / "root"
        for folder in ("bin", "etc", "tmp", "suite"):
            (root / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), root / "bin/busybox")
        for applet in "sh ls cat sleep kill printf true false seq sed grep env id echo dd tail head rm test wget tee timeout".split():
            (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        for name, text in SUITES.items():
            (root / "suite" / name).write_text(text)
            (root / "suite" / name).chmod(0o755)
        (root / "suite/not-executable").write_text("#!/bin/sh\necho 1..1\necho ok 1\n")
        (root / "suite/no-interpreter").write_text("#!/opt/python/bin/python9\n")
        (root / "suite/no-interpreter").chmod(0o755)
        tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", "box:1"], env=self.env, stdin=tar.stdout, check=True, capture_output=True)
        tar.wait()

    def try_run(self, *argv):
        return subprocess.run(["docker", *argv], env=self.env, capture_output=True)

    def docker(self, *argv):
        done = self.try_run(*argv)
        if done.returncode != 0:
            raise RuntimeError(f"docker {argv}: {done.stderr!r}")
        return done.stdout.decode().strip()

    def container(self, name="app-staging", *options):
        """A fresh, idle, running container."""
        self.try_run("rm", "-f", name)
        return self.docker("run", "-d", "--network", "none", "--name", name, *options, "box:1", "sleep", "3600")

    def stop(self):
        for name in self.try_run("ps", "-aq").stdout.decode().split():
            self.try_run("rm", "-f", name)
        end(self.process)
        self.end_orphans()
        shutil.rmtree(self.dir, ignore_errors=True)

    def end_orphans(self):
        """A killed dockerd leaves its containerd, the shims and the containers behind. All of them name this engine's folder."""
        def named():
            return [int(p.name) for p in Path("/proc").glob("[0-9]*") if f"{self.dir}/" in command_line(int(p.name))]
        for pid in [child for shim in named() for child in children_of(shim)] + named():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not named(), "the end of the engine's processes")
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{self.dir}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


engine = once(lambda name="main": Engine(name))

# Small suites in plain sh. TAP ones speak for themselves, the others close with the declared line.
SUITES = {
    "green.sh": "#!/bin/sh\necho 1..3\necho 'ok 1 - reads the config'\necho 'ok 2 - opens the store'\necho 'ok 3 - serves a page'\n",
    "red.sh": "#!/bin/sh\necho 1..3\necho 'ok 1 - reads the config'\necho 'not ok 2 - opens the store'\necho '# expected 3, got 4'\n"
              "echo 'ok 3 - serves a page'\nexit 1\n",
    "green-line.sh": "#!/bin/sh\nfor n in 1 2 3; do echo \"check $n passed\"; done\necho 'suite: 3 checks, 3 passed, 0 failed'\n",
    "red-line.sh": "#!/bin/sh\necho 'check 1 passed'\necho 'check 2 FAILED: expected 3, got 4' >&2\necho 'suite: 2 checks, 1 passed, 1 failed'\n"
                   "exit 1\n",
    "slow.sh": "#!/bin/sh\necho 1..4\necho 'ok 1 - reads the config'\necho 'ok 2 - opens the store'\nsleep 50\necho 'ok 3 - serves a page'\n"
               "echo 'ok 4 - shuts down'\n",
    "green-then-slow.sh": "#!/bin/sh\necho 1..2\necho 'ok 1 - reads the config'\necho 'ok 2 - opens the store'\nsleep 50\n",
    "red-then-slow.sh": "#!/bin/sh\necho 1..2\necho 'ok 1 - reads the config'\necho 'not ok 2 - opens the store'\nsleep 50\nexit 1\n",
}


# ---- ssh ----

class SshServer:
    """A real sshd with its own keys, and a client configuration with a host for each way to go wrong."""

    def __init__(self):
        self.dir = WORK / "ssh"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        for key in ("host", "other-host", "key", "wrong-key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", self.dir / key], check=True)
        (self.dir / "authorized").write_text((self.dir / "key.pub").read_text())
        for name, text in SUITES.items():
            (self.dir / name).write_text(text)
        common = (f"ListenAddress 127.0.0.1\nHostKey {self.dir}/host\nAuthorizedKeysFile {self.dir}/authorized\nStrictModes no\nUsePAM no\n"
                  f"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n")
        (self.dir / "sshd_config").write_text(f"Port {SSH}\nPidFile {self.dir}/pid\n{common}")
        (self.dir / "sshd_limited").write_text(f"Port {SSH_LIMITED}\nPidFile {self.dir}/pid2\nMaxAuthTries 1\nCiphers aes256-ctr\n{common}")
        self.servers = [background(["/usr/sbin/sshd", "-D", "-e", "-f", self.dir / name], self.dir / f"{name}.log", env=SEALED)
                        for name in ("sshd_config", "sshd_limited")]
        for port in (SSH, SSH_LIMITED):
            wait_until(lambda: can_connect(port), "sshd")
        host, other = ((self.dir / f"{k}.pub").read_text().split()[:2] for k in ("host", "other-host"))
        (self.dir / "known").write_text("".join(f"[127.0.0.1]:{port} {' '.join(host)}\n" for port in (SSH, SSH_LIMITED)))
        (self.dir / "known-changed").write_text(f"[127.0.0.1]:{SSH} {' '.join(other)}\n")
        (self.dir / "known-none").write_text("")
        block = "Host {}\n  HostName 127.0.0.1\n  Port {}\n  UserKnownHostsFile {}\n  IdentityFile {}\n".format
        known, key = self.dir / "known", self.dir / "key"
        (self.dir / "config").write_text(
            block("staging", SSH, known, key)
            + block("staging-wrong-key", SSH, known, self.dir / "wrong-key")
            + block("staging-no-key-file", SSH, known, self.dir / "no-such-key")
            + block("staging-changed", SSH, self.dir / "known-changed", key)
            + block("staging-unknown", SSH, self.dir / "known-none", key)
            + block("staging-nologin", SSH, known, key) + "  User nobody\n"
            + block("staging-limited", SSH_LIMITED, known, self.dir / "wrong-key") + f"  IdentityFile {self.dir}/other-host\n  Ciphers aes256-ctr\n"
            + block("staging-cipher", SSH_LIMITED, known, key) + "  Ciphers chacha20-poly1305@openssh.com\n"
            + block("staging-dead", DEAD, known, key) + block("staging-silent", SILENT, known, key)
            + block("staging-slam", SLAM, known, key) + block("staging-full", FULL, known, key)
            + "Host staging-nowhere\n  HostName no-such-host.invalid\n"
            + "Host *\n  User root\n  BatchMode yes\n  ConnectTimeout 3\n  ServerAliveInterval 1\n  ServerAliveCountMax 2\n  IdentitiesOnly yes\n"
            + "  GlobalKnownHostsFile /dev/null\n  UpdateHostKeys no\n")

    @property
    def config(self):
        return str(self.dir / "config")

    def session(self):
        """The pid of the sshd that serves the newest session."""
        found = [p for p in children_of(self.servers[0].pid) if command_line(p).startswith("sshd:")]
        return found[-1]

    def stop(self):
        for server in self.servers:
            end(server)


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


sshd = once(SshServer)


class Ports:
    """SILENT accepts and never speaks; SLAM closes at once; FULL never completes a connection; BUSY is simply taken."""

    def __init__(self):
        self.sockets = []
        for port, backlog in ((SILENT, 50), (SLAM, 50), (FULL, 0), (BUSY, 5)):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(backlog)
            self.sockets.append(listener)
        threading.Thread(target=self.slam, daemon=True).start()
        for _ in range(3):  # fills the queue of FULL
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", FULL))
            self.sockets.append(filler)

    def slam(self):
        while True:
            try:
                self.sockets[1].accept()[0].close()
            except OSError:
                return

    def stop(self):
        for open_ in self.sockets:
            open_.close()


ports = once(Ports)


# ---- names ----

class Names:
    """A name server on 127.0.0.1 that knows nothing, and an /etc/resolv.conf (in our own mount name space) that asks it alone."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        conf = WORK / "resolv.conf"
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text("nameserver 127.0.0.1\n")
        subprocess.run(["mount", "--bind", conf, os.path.realpath("/etc/resolv.conf")], check=True)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(1500)
            except OSError:
                return
            code = b"\x81\x82" if query[13:].lower().startswith(b"servfail") else b"\x81\x83"
            self.socket.sendto(query[:2] + code + query[4:6] + bytes(6) + query[12:query.index(0, 12) + 5], client)

    def stop(self):
        self.socket.close()


names = once(Names)


# ---- http ----

class Answers(http.server.BaseHTTPRequestHandler):
    """`/status/NNN...` answers with that status; `/v2/` is a docker registry without images; `/simple/` a package index; `/npm/` a registry."""

    def do_GET(self):
        first, *rest = self.path.strip("/").split("/")
        if first == "status":
            self.answer(int(rest[0][:3]), b"the answer\n")
        elif first == "empty":
            self.close_connection = True
        elif first == "slow":
            time.sleep(5)
        elif first == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
            self.close_connection = True
        elif first == "partial":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"the beginning of it\n")
            self.close_connection = True
        elif first == "v2":
            self.answer(404 if rest and rest[0] else 200, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "application/json")
        elif first == "simple":
            file = WORK / "index" / "/".join(rest)
            if rest and rest[0] == "left-pad-py" and len(rest) == 1:
                self.answer(200, b'<a href="/simple/left-pad-py/left_pad_py-1.0-py3-none-any.whl">left_pad_py-1.0-py3-none-any.whl</a>', "text/html")
            elif file.is_file():
                self.answer(200, file.read_bytes())
            else:
                self.answer(404, b"not found\n")
        else:
            self.answer(404, b'{"error":"not found"}', "application/json")

    do_POST = do_HEAD = do_GET

    def answer(self, status, body, kind="text/plain"):
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="box"')
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Web:
    def __init__(self):
        self.dir = WORK / "web"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=box", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", self.dir / "tls.key", "-out", self.dir / "tls.crt"], check=True,
                       capture_output=True)
        self.servers = [http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers) for port in (WEB, TLS)]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir / "tls.crt", self.dir / "tls.key")
        self.servers[1].socket = context.wrap_socket(self.servers[1].socket, server_side=True)
        for server in self.servers:
            server.handle_error = lambda *_: None
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


web = once(Web)


# ---- postgres ----

class Postgres:
    """An own cluster, run by the user postgres. `app` may log in with a password only."""

    def __init__(self, *settings):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        self.bin = found[-1].parent
        self.dir = WORK / "postgres"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        shutil.chown(self.dir, "postgres")
        self.run("initdb", "-A", "trust", "-D", self.dir / "data", "--no-sync")
        (self.dir / "data/pg_hba.conf").write_text("local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n")
        (self.dir / "data/postgresql.auto.conf").write_text(
            f"port = {PG}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.dir}'\nmax_connections = 5\n"
            "superuser_reserved_connections = 1\nfsync = off\n")
        self.start()
        self.sql("create role app login password 'right'")
        self.sql("create database app owner app")

    def run(self, program, *argv):
        subprocess.run([self.bin / program, *argv], env=SEALED, cwd=self.dir, user="postgres", check=True, capture_output=True)

    def start(self):
        self.run("pg_ctl", "-D", self.dir / "data", "-l", self.dir / "log", "-w", "start")

    def sql(self, text):
        subprocess.run(["psql", "-h", str(self.dir), "-p", str(PG), "-U", "postgres", "-c", text], env=SEALED, check=True, capture_output=True)

    def stop(self):
        subprocess.run([self.bin / "pg_ctl", "-D", self.dir / "data", "-m", "immediate", "stop"], env=SEALED, cwd=self.dir, user="postgres",
                       capture_output=True)


postgres = once(Postgres)
