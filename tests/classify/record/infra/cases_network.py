"""Clients of a network: curl, wget, psql, kubectl; and sqlite3, whose database is a file."""

import sqlite3
import subprocess

from infra.kit import NOBODY, SEALED, VERSIONS, Case, wait_until
from infra.services import DEAD, FULL, PG, SILENT, TLS, WEB, WORK, ports, postgres, web

VERSIONS["curl"] = ("curl", ["curl", "--version"])
VERSIONS["wget"] = ("wget", ["wget", "--version"])
VERSIONS["psql"] = ("psql", ["psql", "--version"])
VERSIONS["sqlite3"] = ("sqlite3", ["sqlite3", "--version"])
VERSIONS["kubectl"] = ("kubectl", ["kubectl", "version", "--client"])
SITE = f"http://127.0.0.1:{WEB}"


def with_web(box):
    web()


def curl(name, about, argv, expect, because, setup=with_web, **more):
    return Case(f"curl/{name}", about, "curl", ["curl", "-sS", *argv], expect, because, setup, **more)


def tiny_disk(box):
    web()
    box.tmpfs("disk", "size=4k")
    box.write("disk/filler", b"x" * 4096)


CASES = [
    curl("refused", "curl to a port where nobody listens", [f"http://127.0.0.1:{DEAD}/health"], "transient", "row 9: (7), refused"),
    curl("unknown-host", "curl to a name that does not resolve", ["http://no-such-host.invalid/"], "transient",
         "row 9: (6), an unknown host name is transient (once, then a hold)"),
    curl("name-server-failing", "curl while the name server fails", ["http://servfail.invalid/"], "transient", "row 9: (6)"),
    curl("timeout", "curl to a server that is silent", ["-m", "1", f"{SITE}/slow"], "transient", "row 9: (28)"),
    curl("connect-timeout", "curl to a port that never completes the connection", ["--connect-timeout", "1", f"http://127.0.0.1:{FULL}/"], "transient",
         "row 9: (28)", lambda box: ports()),
    curl("empty-reply", "the server closes without an answer", [f"{SITE}/empty"], "transient", "row 9: (52)"),
    curl("reset", "the server resets the connection", [f"{SITE}/reset"], "transient", "row 9: (56)"),
    curl("partial", "the server closes in the middle of the body", [f"{SITE}/partial"], "transient", "row 9: (18)"),
    *[curl(f"http-{status}", f"curl -f, the server answers {status}", ["-f", f"{SITE}/status/{status}"], expect, f"row 9: (22), {status} {reason}")
      for status, expect, reason in ((401, "permanent", "needs a credential"), (403, "permanent", "is a permission"),
                                     (404, "permanent", "is not there"), (429, "transient", "may pass by itself"),
                                     (500, "transient", "may pass by itself"), (503, "transient", "may pass by itself"))],
    curl("http-404-without-f", "curl without -f: the error page is printed and the exit is 0", [f"{SITE}/status/404"], "permanent",
         "row 11: exit 0 without evidence is never a pass"),
    curl("bad-certificate", "the server's certificate is self-signed", [f"https://127.0.0.1:{TLS}/"], "permanent", "row 9: (60), TLS certificate"),
    curl("malformed-url", "the URL is malformed", ["http://127.0.0.1:99999/"], "permanent", "row 9: (3), configuration"),
    curl("unknown-scheme", "the URL's scheme is unknown", ["htps://127.0.0.1/"], "permanent", "row 9: (1), configuration"),
    curl("unknown-option", "curl with an option it does not know", ["--jsonn", SITE], "permanent", "row 9: (2), usage"),
    curl("disk-full", "curl cannot write what it gets", ["-o", "disk/answer", f"{SITE}/status/200"], "transient", "row 9: (23), no space left", tiny_disk),
    curl("output-denied", "curl may not write into the folder", ["-o", "/answer", f"{SITE}/status/200"], "permanent", "row 9: (23), permission denied",
         user=NOBODY),
    curl("silent-refused", "curl -s alone: refused, without a word", ["--no-show-error", f"http://127.0.0.1:{DEAD}/health"], "transient",
         "row 11: code 7 without evidence or words is unclassified"),
    curl("smoke-declared", "a smoke check whose exit code is declared to be its evidence", ["-f", "-o", "/dev/null", f"{SITE}/status/200"], "pass",
         "row 11: evidence exit-code is declared, 0 is in its pass map", options={"evidence": "exit-code"}),
    curl("smoke-declared-refused", "the same declared check, but refused", ["-f", f"http://127.0.0.1:{DEAD}/health"], "transient",
         "row 9 is read before the exit map: (7), refused", options={"evidence": "exit-code"}),
    Case("misc/wget-refused", "wget to a port where nobody listens", "wget", ["wget", "-q", "-O", "-", "-t", "1", f"http://127.0.0.1:{DEAD}/"], "transient",
         "row 11: wget -q says nothing, code 4 is unclassified"),
    Case("misc/wget-refused-loud", "wget to a port where nobody listens", "wget", ["wget", "-nv", "-O", "-", "-t", "1", f"http://127.0.0.1:{DEAD}/"],
         "transient", "row 9: refused"),
    Case("misc/wget-404", "wget, the server answers 404", "wget", ["wget", "-nv", "-O", "-", f"{SITE}/status/404"], "permanent", "row 9: 404", with_web),
    Case("misc/wget-503", "wget, the server answers 503", "wget", ["wget", "-nv", "-O", "-", "-t", "1", f"{SITE}/status/503"], "transient", "row 9: 503",
         with_web),
]


# ---- psql ----

def psql(name, about, argv, expect, because, setup=lambda box: postgres(), act=None, program="psql", **env):
    where = ["-h", "127.0.0.1", "-p", str(PG)] if "-h" not in argv else []
    return Case(f"psql/{name}", about, "psql", [program, *where, *argv], expect, because, setup, act, env=env)


def as_administrator(query):
    """By the socket, where a place is reserved."""
    done = subprocess.run(["psql", "-h", str(postgres().dir), "-p", str(PG), "-U", "postgres", "-Atc", query], env=SEALED, capture_output=True)
    return done.stdout.decode().strip()


def sessions(where):
    return int(as_administrator(f"select count(*) from pg_stat_activity where usename = 'app' and {where}") or -1)


def hold_sessions(box, number):
    """Other clients of the database, each in a long query."""
    for _ in range(number):
        box.start("psql", "-h", "127.0.0.1", "-p", PG, "-U", "app", "-c", "select pg_sleep(30)", "app", env={"PGPASSWORD": "right"})
    wait_until(lambda: sessions("state = 'active'") == number, "the other clients")


def end_sessions():
    as_administrator("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
    wait_until(lambda: sessions("true") == 0, "the end of the other clients")


def all_taken(box):
    postgres()
    box.cleanups.append(end_sessions)
    hold_sessions(box, 4)


def the_suite_runs():
    wait_until(lambda: sessions("application_name = 'suite' and state = 'active'") == 1, "the suite's session")


def terminate(box, pid):
    the_suite_runs()
    end_sessions()


def crash_server(box, pid):
    the_suite_runs()
    postgres().run("pg_ctl", "-D", postgres().dir / "data", "-m", "immediate", "stop")
    box.cleanups.append(postgres().start)


def shutting_down(box):
    postgres()
    box.cleanups.append(lambda: (postgres().stop(), postgres().start()))
    hold_sessions(box, 1)
    postgres().run("pg_ctl", "-D", postgres().dir / "data", "-m", "smart", "-W", "stop")
    wait_until(lambda: b"shutdown request" in (postgres().dir / "log").read_bytes(), "the shutdown request")


TAP_SQL = "select '1..2';\nselect 'ok 1 - one row';\nselect '{} 2 - a total';\n"
CASES += [
    psql("refused", "psql to a port where nobody listens", ["-h", "127.0.0.1", "-p", str(DEAD), "-U", "app", "-c", "select 1", "app"], "transient",
         "row 9: refused connection", None),
    psql("no-socket", "psql by a socket that does not exist: no server runs", ["-h", f"{WORK}/nowhere", "-U", "app", "-c", "select 1", "app"], "transient",
         "row 9: 'Is the server running locally': the server is down and may come back", None),
    psql("unknown-host", "psql to a name that does not resolve", ["-h", "no-such-host.invalid", "-U", "app", "-c", "select 1", "app"], "transient",
         "row 9: an unknown host name is transient (once, then a hold)", None),
    psql("connect-timeout", "psql to a port that never completes the connection", ["-h", "127.0.0.1", "-p", str(FULL), "-U", "app", "-c", "select 1", "app"],
         "transient", "row 9: time-out", lambda box: ports(), PGCONNECT_TIMEOUT="2"),
    psql("silent-server", "psql to a port that accepts and then is silent", ["-h", "127.0.0.1", "-p", str(SILENT), "-U", "app", "-c", "select 1", "app"],
         "transient", "row 9: time-out", lambda box: ports(), PGCONNECT_TIMEOUT="2"),
    psql("no-database", "psql to a database that does not exist", ["-U", "postgres", "-c", "select 1", "reports"], "permanent",
         "row 9: somebody must create it"),
    psql("wrong-password", "psql with a wrong password", ["-U", "app", "-c", "select 1", "app"], "permanent", "row 9: authentication", PGPASSWORD="wrong"),
    psql("no-password", "psql without a password where one is wanted", ["-U", "app", "-w", "-c", "select 1", "app"], "permanent", "row 9: authentication"),
    psql("no-hba-entry", "psql as a user the server's access list does not name", ["-U", "guest", "-c", "select 1", "app"], "permanent",
         "row 9: authorization"),
    psql("too-many-clients", "all connections are taken", ["-U", "app", "-c", "select 1", "app"], "transient", "row 9: too many clients, one will end",
         all_taken, PGPASSWORD="right"),
    psql("terminated-by-administrator", "the session is ended by an administrator", ["-U", "app", "-c", "select pg_sleep(30)", "app"], "transient",
         "row 9: the connection to the server was lost", act=terminate, PGPASSWORD="right", PGAPPNAME="suite"),
    psql("server-crashed", "the server is stopped at once in the middle of a query", ["-U", "app", "-c", "select pg_sleep(30)", "app"], "transient",
         "row 9: the connection to the server was lost", act=crash_server, PGPASSWORD="right", PGAPPNAME="suite"),
    psql("shutting-down", "psql while the server shuts down", ["-U", "app", "-c", "select 1", "app"], "transient", "row 9: the server is going down and may come back",
         shutting_down, PGPASSWORD="right"),
    psql("script-missing", "psql -f with a file that is not there", ["-U", "postgres", "-f", "tests/all.sql"], "permanent", "row 9: the suite's file is missing"),
    psql("green", "a green TAP suite in SQL", ["-U", "postgres", "-XAtq", "-f", "suite.sql"], "pass", "row 7",
         lambda box: (postgres(), box.write("suite.sql", TAP_SQL.format("ok")))),
    psql("red", "a red TAP suite in SQL; psql itself returns 0", ["-U", "postgres", "-XAtq", "-f", "suite.sql"], "fail",
         "row 2: red evidence, exit 0 never beats it", lambda box: (postgres(), box.write("suite.sql", TAP_SQL.format("not ok")))),
    psql("chatter-zero", "a query that works: no suite at all", ["-U", "postgres", "-c", "select 1"], "permanent",
         "row 11: exit 0 without evidence is never a pass"),
    psql("isready-no-response", "pg_isready to a port where nobody listens", ["-h", "127.0.0.1", "-p", str(DEAD)], "transient",
         "row 9: 'no response', on stdout", None, program="pg_isready"),
    psql("createdb-exists", "createdb of a database that is there", ["-U", "postgres", "app"], "permanent", "row 9: somebody must decide what to do with it",
         program="createdb"),
]


# ---- sqlite ----

def database(box, mode="delete"):
    connection = sqlite3.connect(box.dir / "app.db", isolation_level=None)
    connection.execute(f"pragma journal_mode={mode}")
    connection.execute("create table t (n)")
    return connection


def locked(box):
    connection = database(box)
    connection.execute("begin exclusive")
    box.cleanups.append(connection.close)


def full(box):
    disk = box.tmpfs("disk", "size=64k")
    connection = sqlite3.connect(disk / "app.db")
    connection.execute("create table t (n)")
    connection.commit()
    connection.close()


def damaged(box):
    connection = database(box)
    connection.executemany("insert into t values (?)", [("x" * 100,)] * 1000)
    connection.close()
    raw = bytearray((box.dir / "app.db").read_bytes())
    raw[4096:40960] = b"\xff" * 36864
    box.write("app.db", bytes(raw))


def only_readable(box):
    database(box).close()
    (box.dir / "app.db").chmod(0o444)


def sqlite(name, about, argv, expect, because, setup, **more):
    return Case(f"sqlite/{name}", about, "sqlite3", ["sqlite3", *argv], expect, because, setup, **more)


CASES += [
    sqlite("locked", "another process holds the database", ["app.db", "insert into t values (1)"], "transient", "row 9: a held lock is transient", locked),
    sqlite("locked-read", "another process holds the database, we only read", ["app.db", "select * from t"], "transient",
           "row 9: a held lock is transient", locked),
    sqlite("locked-script", "another process holds the database, the statement comes from a script", ["-bail", "app.db", ".read load.sql"], "transient",
           "row 9: a held lock is transient", lambda box: (locked(box), box.write("load.sql", "insert into t values (1);\n"))),
    sqlite("not-a-database", "the file is not a database", ["app.db", "select * from t"], "permanent", "row 9: waiting will not mend the file",
           lambda box: box.write("app.db", "this is a text, and a long one, so that it cannot be a header\n" * 20)),
    sqlite("damaged", "the database file is damaged", ["app.db", "select sum(length(n)) from t"], "permanent", "row 9: waiting will not mend the file", damaged),
    sqlite("unable-to-open", "the folder of the database does not exist", ["nowhere/app.db", "select 1"], "permanent", "row 9: the folder is missing", None),
    sqlite("read-only", "the database may not be written", ["app.db", "insert into t values (1)"], "permanent", "row 9: permission", only_readable, user=NOBODY),
    sqlite("disk-full", "the disk is full", ["disk/app.db", "insert into t values (zeroblob(200000))"], "transient", "row 9: no space left", full),
    sqlite("unknown-option", "sqlite3 with an option it does not know", ["-strict-mode", "app.db", "select 1"], "permanent", "row 9: usage", None),
    sqlite("red", "a red TAP suite in SQL", ["app.db", "select '1..1'; select 'not ok 1 - a total'"], "fail", "row 2: red evidence with exit 0",
           lambda box: database(box).close()),
    sqlite("silent-zero", "a statement that works, without a word", ["app.db", "insert into t values (1)"], "permanent",
           "row 11: exit 0 without evidence is never a pass", lambda box: database(box).close()),
]


# ---- kubectl ----

def kubeconfig(box, server, more=""):
    box.write("kube", f"""apiVersion: v1
kind: Config
current-context: box
clusters: [{{name: box, cluster: {{server: "{server}"{more}}}}}]
contexts: [{{name: box, context: {{cluster: box, user: ci}}}}]
users: [{{name: ci, user: {{token: t}}}}]
""")


def kubectl(name, about, argv, expect, because, server=None, more="", extra=None):
    def setup(box):
        if server:
            kubeconfig(box, server, more)
        if extra:
            extra()
    return Case(f"kubectl/{name}", about, "kubectl", ["kubectl", *argv], expect, because, setup, env={"KUBECONFIG": "kube"} if server else {})


EXEC = ["exec", "app-0", "--", "sh", "run-suite.sh"]
CASES += [
    kubectl("no-configuration", "kubectl without any configuration asks localhost:8080", EXEC, "permanent",
            "row 9: localhost:8080 means that the configuration is missing"),
    kubectl("refused", "kubectl whose API server does not listen", EXEC, "transient", "row 9: refused connection to a configured server",
            f"https://127.0.0.1:{DEAD}"),
    kubectl("unknown-host", "kubectl whose API server's name does not resolve", EXEC, "transient",
            "row 9: an unknown host name is transient (once, then a hold)", "https://no-such-host.invalid:6443"),
    kubectl("bad-certificate", "kubectl does not trust the API server's certificate", EXEC, "permanent", "row 9: TLS certificate",
            f"https://127.0.0.1:{TLS}", extra=web),
    kubectl("unauthorized", "the API server answers 401", EXEC, "permanent", "row 9: authentication", f"{SITE}/status/401", extra=web),
    kubectl("forbidden", "the API server answers 403", EXEC, "permanent", "row 9: authorization", f"{SITE}/status/403", extra=web),
    kubectl("unavailable", "the API server answers 503", EXEC, "transient", "row 9: 5xx", f"{SITE}/status/503", extra=web),
    kubectl("no-such-context", "kubectl with a context that is not configured", ["--context", "staging", *EXEC], "permanent", "row 9: configuration",
            f"https://127.0.0.1:{DEAD}"),
    kubectl("no-kubeconfig-file", "kubectl --kubeconfig with a file that is not there", ["--kubeconfig", "nowhere/kube", *EXEC], "permanent",
            "row 9: configuration"),
    kubectl("unknown-command", "kubectl is asked for a command it does not have", ["stage", "app"], "permanent", "row 9: usage",
            f"https://127.0.0.1:{DEAD}"),
]
