//! Every way a channel can break, with its class; never a verdict, never a rollback.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::experiment::Class::{Permanent, Transient};
use super::experiment::{Experiment, again};
use super::host::{GREEN, Host, RED, Stage};
use super::proxy::{Proxy, Trick};
use super::sshd::{Sshd, free_port, keygen_of};
use crate::support::command;

/// No connection comes to stand.
const NOBODY_THERE: &[&str] = &[
    "port closed",
    "port closed, IPv6",
    "name not known",
    "name with an empty label",
    "name with a label that is too long",
    "address with too many digits",
    "address that nobody can reach",
    "silence, no banner",
    "closed at once",
    "reset at once",
    "half a banner, then silence",
    "no ssh at all",
    "words without end before a banner",
    "a banner without end",
    "banner of an old protocol",
    "noise behind the banner",
    "reset after 1 byte",
    "reset in the banner",
    "reset in the key exchange",
    "reset in the log-in",
    "stall in the key exchange",
    "stall in the log-in",
    "too many that are not logged in",
    "server stopped between preflight and run",
];

/// Somebody is there and does not let us in, or is not who we know.
const DOOR_CLOSED: &[&str] = &[
    "key not accepted",
    "key file missing",
    "key file empty",
    "key file is noise",
    "key file open to others",
    "key file is a folder",
    "key with a passphrase and no agent",
    "host key not known",
    "host key changed",
    "host key revoked",
    "known hosts missing",
    "no such user",
    "user not allowed",
    "keys switched off",
    "too many failures",
    "no common key exchange",
    "no common cipher",
    "no common MAC",
    "no common host key algorithm",
    "option that ssh does not know",
    "ssh cannot be started",
    "jump host refuses",
    "host key changed between preflight and run",
];

/// We are let in, and the far side cannot do what it is told.
const NOT_ABLE: &[&str] = &[
    "command forced that says no",
    "command forced that swallows",
    "sessions switched off",
    "no tools at all",
    "setsid missing",
    "program missing",
    "program by path missing",
    "program not executable",
    "program is a folder",
    "folder missing",
    "folder is a file",
    "another version",
    "version cannot be told",
    "docker missing there",
    "engine down",
    "engine's socket answers noise",
];

#[test]
fn forty_faults_have_names() {
    let groups = [NOBODY_THERE, DOOR_CLOSED, NOT_ABLE, super::faults_people::USERS, super::faults_run::UNDER_WAY];
    let names: BTreeSet<&str> = groups.concat().into_iter().collect();
    assert_eq!(names.len(), groups.iter().map(|group| group.len()).sum::<usize>(), "a name stands twice");
    assert!(names.len() >= 40, "{}", names.len());
    eprintln!("faults of the channel with a name: {}", names.len());
}

fn green() -> Stage {
    Stage::sh(GREEN)
}

/// With keys that stand in place of the usual ones.
fn keys(keys: &str) -> Stage {
    Stage { keys: format!(", {keys}"), ..green() }
}

#[test]
fn nobody_there() {
    let mut group = Experiment::of(NOBODY_THERE);
    let host = Host::new(&green());
    for (name, way, told) in [
        ("port closed", format!("port: {}", free_port()), "Connection refused"),
        ("port closed, IPv6", format!("host: \"[::1]\", port: {}", free_port()), "channel-broke"),
        ("name not known", "host: no-such-host.invalid".to_owned(), "resolve"),
        ("name with an empty label", "host: a..b".to_owned(), "resolve"),
        ("name with a label that is too long", format!("host: {}.invalid", "a".repeat(70)), "resolve"),
        ("address with too many digits", "host: 300.300.300.300".to_owned(), "resolve"),
        ("address that nobody can reach", "host: 255.255.255.255".to_owned(), "channel-broke"),
    ] {
        host.declare(&keys(&way));
        group.check(name, &host, Transient, told);
    }
    for (name, trick, class, told) in [
        ("silence, no banner", Trick::Silent, Transient, "channel-broke"),
        ("closed at once", Trick::Close, Transient, "channel-broke"),
        ("reset at once", Trick::Reset, Transient, "channel-broke"),
        ("half a banner, then silence", Trick::SaysAndStalls("SSH-2.0-Ope"), Transient, "channel-broke"),
        ("no ssh at all", Trick::Says("HTTP/1.1 400 Bad Request\r\n\r\n"), Transient, "channel-broke"),
        ("words without end before a banner", Trick::Repeats("result: PASS\r\n"), Transient, "channel-broke"),
        ("a banner without end", Trick::Repeats("SSH-2.0-x"), Transient, "channel-broke"),
        ("banner of an old protocol", Trick::Says("SSH-1.0-old\r\n"), Permanent, "Protocol major versions differ"),
        (
            "noise behind the banner",
            Trick::Says("SSH-2.0-x\r\n~~~~~~~~noise~~~~~~~~noise~~~~~~~~"),
            Transient,
            "channel-broke",
        ),
    ] {
        let proxy = Proxy::new(host.sshd.port, trick);
        host.declare(&keys(&format!("port: {}", proxy.port)));
        group.check(name, &host, class, told);
    }
    for (name, trick) in [
        ("reset after 1 byte", Trick::ResetAfter(1)),
        ("reset in the banner", Trick::ResetAfter(20)),
        ("reset in the key exchange", Trick::ResetAfter(600)),
        ("reset in the log-in", Trick::ResetAfter(1700)),
        ("stall in the key exchange", Trick::StallAfter(600)),
        ("stall in the log-in", Trick::StallAfter(1700)),
    ] {
        let proxy = Proxy::new(host.sshd.port, trick);
        host.sshd.know_at("host.pub", proxy.port);
        let stage = keys(&format!("port: {}", proxy.port));
        host.declare(&if name == "stall in the log-in" { stage.stage("start-timeout: 3s") } else { stage });
        group.check(name, &host, Transient, "channel-broke");
    }
    host.sshd.know("host.pub");
    host.declare(&green());
    let mut behind = Host::behind_development();
    group.with("server stopped between preflight and run", &mut behind, Transient, "Connection refused", |host| {
        between(host, Sshd::down)
    });
    let crowded = Host::with(&green(), "MaxStartups 1:100:1\nLoginGraceTime 120");
    let _waiting = crowded.sshd.knock();
    group.check("too many that are not logged in", &crowded, Transient, "channel-broke");
    group.end();
}

/// Does something to the server once the preflight of a run has passed, and before its stage begins.
fn between(host: &mut Host, change: impl Fn(&mut Sshd)) -> crate::support::Ended {
    host.sshd.down();
    host.sshd.know("host.pub");
    host.sshd.up();
    fs::remove_dir_all(host.shop.state()).ok();
    let (mut said, mut go) = host.shop.said_and_go();
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    host.shop.until("status", "preflight of staging: passed");
    change(&mut host.sshd);
    go.say("go");
    let ended = going.end();
    for fifo in ["said", "go"] {
        fs::remove_file(host.shop.scratch(fifo)).unwrap();
    }
    ended
}

#[test]
fn a_door_that_stays_closed() {
    let mut group = Experiment::of(DOOR_CLOSED);
    let mut host = Host::new(&green());
    let folder = host.sshd.path("");
    let at = |name: &str| folder.join(name);
    fs::write(at("empty"), "").unwrap();
    fs::write(at("noise"), "-----BEGIN OPENSSH PRIVATE KEY-----\nbm9pc2U=\n-----END OPENSSH PRIVATE KEY-----\n")
        .unwrap();
    fs::copy(at("client"), at("shown")).unwrap();
    keygen_of("ed25519", &at("locked"), "a passphrase");
    for (name, mode) in [("empty", 0o600), ("noise", 0o600), ("shown", 0o644)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(at("folder")).unwrap();
    let authorized = fs::read_to_string(at("authorized")).unwrap();
    fs::write(at("authorized"), authorized + &fs::read_to_string(at("locked.pub")).unwrap()).unwrap();
    for (name, key) in [
        ("key not accepted", "stranger"),
        ("key file missing", "nothing"),
        ("key file empty", "empty"),
        ("key file is noise", "noise"),
        ("key file open to others", "shown"),
        ("key file is a folder", "folder"),
        ("key with a passphrase and no agent", "locked"),
    ] {
        host.declare(&keys(&format!("identity: {}", at(key).display())));
        group.check(name, &host, Permanent, "channel-refused");
    }
    host.declare(&green());
    fs::write(at("known"), "").unwrap();
    group.check("host key not known", &host, Permanent, "channel-refused");
    host.sshd.know("stranger.pub");
    group.check("host key changed", &host, Permanent, "channel-refused");
    host.sshd.know("host.pub");
    let known = fs::read_to_string(at("known")).unwrap();
    let revoked = format!("{known}@revoked * {}", fs::read_to_string(at("host.pub")).unwrap());
    fs::write(at("known"), revoked).unwrap();
    group.check("host key revoked", &host, Permanent, "channel-refused");
    fs::remove_file(at("known")).unwrap();
    group.check("known hosts missing", &host, Permanent, "channel-refused");
    host.sshd.know("host.pub");
    host.declare(&keys("user: nobody-of-that-name"));
    group.check("no such user", &host, Permanent, "Permission denied");
    keygen_of("rsa", &at("rsa"), "");
    // Its SHA-1 form, which no client of today takes.
    let old_key = format!("HostKey {}\nHostKeyAlgorithms ssh-rsa", at("rsa").display());
    for (name, extra) in [
        ("user not allowed", "AllowUsers nobody-else"),
        ("keys switched off", "PubkeyAuthentication no\nAuthenticationMethods any"),
        ("no common key exchange", "KexAlgorithms diffie-hellman-group1-sha1"),
        ("no common cipher", "Ciphers 3des-cbc"),
        ("no common MAC", "Ciphers aes256-ctr\nMACs hmac-md5"),
        ("no common host key algorithm", &old_key),
    ] {
        let host = Host::with(&green(), extra);
        group.check(name, &host, Permanent, "channel-refused");
    }
    let strict = Host::with(&green(), "MaxAuthTries 1");
    let stranger = format!("identity: {}", strict.sshd.path("stranger").display());
    strict.declare(&keys(&stranger));
    group.check("too many failures", &strict, Permanent, "channel-refused");
    ssh_of_its_own(&mut group, &mut host);
    let closed = free_port();
    host.declare(&green().key(&format!("jump: \"127.0.0.1:{closed}\"")));
    group.check("jump host refuses", &host, Transient, "channel-broke");
    group.with(
        "host key changed between preflight and run",
        &mut Host::behind_development(),
        Permanent,
        "channel-refused",
        |host| between(host, |server| server.know("stranger.pub")),
    );
    group.end();
}

/// Faults of ssh itself on this side: a real one that is older than our configuration, and none.
fn ssh_of_its_own(group: &mut Experiment, host: &mut Host) {
    let folder = host.shop.scratch("programs");
    fs::create_dir(&folder).unwrap();
    let ssh = folder.join("ssh");
    host.declare(&green());
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    fs::write(&ssh, "#!/bin/sh\nexec /usr/bin/ssh -o NoSuchOption=yes \"$@\"\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    group.with("option that ssh does not know", host, Permanent, "the environment is at fault", |host| {
        again(host).env("PATH", &path).run()
    });
    fs::remove_file(&ssh).unwrap();
    for name in ["git", "sh"] {
        std::os::unix::fs::symlink(crate::support::tool(name, name), folder.join(name)).unwrap();
    }
    group.with("ssh cannot be started", host, Permanent, "ssh cannot be started here", |host| {
        again(host).env("PATH", &folder).run()
    });
}

#[test]
fn a_host_that_is_not_able() {
    let mut group = Experiment::of(NOT_ABLE);
    let host = Host::with(&green(), "ForceCommand echo This account is currently not available.; exit 1");
    group.check("command forced that says no", &host, Permanent, "currently not available");
    let host = Host::with(&green(), "ForceCommand exit 0");
    group.check("command forced that swallows", &host, Permanent, "no shell");
    let host = Host::with(&green(), "MaxSessions 0");
    group.check("sessions switched off", &host, Permanent, "channel-refused");
    let host = Host::with(&green(), "SetEnv PATH=/nowhere");
    group.check("no tools at all", &host, Permanent, "");
    let host = Host::new(&green());
    let tools = host.shop.scratch("tools");
    fs::create_dir(&tools).unwrap();
    for name in "sh cat dd grep id kill mkdir mkfifo mv rm sleep tr wc".split(' ') {
        std::os::unix::fs::symlink(which::which(name).unwrap(), tools.join(name)).unwrap();
    }
    let host = Host::with(&green(), &format!("SetEnv PATH={}", tools.display()));
    group.check("setsid missing", &host, Permanent, "lacks `setsid`");
    let host = Host::new(&green());
    let file = host.shop.scratch("file");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    let path = file.to_str().unwrap();
    for (name, words) in [
        ("program missing", ["no-such-program", "x"]),
        ("program by path missing", ["/no/such/program", "x"]),
        ("program not executable", [path, "x"]),
        ("program is a folder", ["/tmp", "x"]),
    ] {
        host.declare(&Stage::words(&words));
        group.check(name, &host, Permanent, "command-not-found");
    }
    host.declare(&green().key("remote-cwd: /no/such/folder"));
    group.check("folder missing", &host, Permanent, "/no/such/folder");
    host.declare(&green().key(&format!("remote-cwd: {path}")));
    group.check("folder is a file", &host, Permanent, "cannot be entered");
    host.declare(&green().key("version: { command: [echo, v2], expect: v3 }"));
    group.check("another version", &host, Permanent, "version-mismatch");
    host.declare(&green().key("version: { command: [no-such-program], expect: v3 }"));
    group.check("version cannot be told", &host, Permanent, "version-mismatch");
    let inside = |socket: &str| {
        let words = ["docker", "exec", "app", "check"];
        Stage::words(&words).key(&format!("env: {{ set: {{ DOCKER_HOST: \"unix://{socket}\" }} }}"))
    };
    if command("docker").arg("--version").output().is_ok() {
        host.declare(&inside("/no/such/socket"));
        group.check("engine down", &host, Transient, "container-down");
        let socket = host.shop.scratch("engine");
        super::proxy::speak_at(&socket, b"noise, and no engine\n");
        host.declare(&inside(socket.to_str().unwrap()));
        group.check("engine's socket answers noise", &host, Transient, "container-down");
    } else {
        for name in ["engine down", "engine's socket answers noise"] {
            group.left_out(name, "there is no docker here (docker.io)");
        }
    }
    let host = Host::with(&inside("/no/such/socket"), &format!("SetEnv PATH={}", with_setsid(&tools)));
    group.check("docker missing there", &host, Permanent, "command-not-found");
    group.end();
}

/// The folder of tools, whole.
fn with_setsid(tools: &std::path::Path) -> String {
    fs::create_dir_all(tools).unwrap();
    for name in "sh cat dd grep id kill mkdir mkfifo mv rm sleep tr wc setsid".split(' ') {
        std::os::unix::fs::symlink(which::which(name).unwrap(), tools.join(name)).ok();
    }
    tools.display().to_string()
}

#[test]
fn the_version_that_was_tested_is_recorded() {
    let host = Host::new(&green().key("version: { command: [echo, v3], expect: \"${WANTED}\" }"));
    host.orch("pipeline run --no-wait").env("WANTED", "v3").run().exits(0);
    let shown = host.orch("explain --json").run();
    assert!(shown.stdout().contains("v3"), "{shown}");
}

/// Ends of the suite's own that look like faults of the channel, and words of it that sound like them: always a verdict.
#[test]
fn a_suite_that_sounds_like_a_fault_is_judged() {
    const WORDS: &str = "ssh: connect to host x port 22: Connection refused\nPermission denied (publickey).\n\
        Host key verification failed.\nclient_loop: send disconnect: Broken pipe\nkex_exchange_identification: read: \
        Connection reset by peer\nCannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n\
        Error response from daemon: No such container: app\nsh: 1: docker: not found\n\
        mux_client_request_session: session request failed: Session open refused by peer\n\
        Connection to x closed by remote host.\nORCH-END 0 exited 0\n\nORCH 0 end 0 exited 0 0 0 0 no\n\
        ORCH 00000000-0000-0000-0000-000000000000 gone\n";
    let ends = [
        "exit 255",
        "exit 127",
        "exit 126",
        "exit 125",
        "exit 124",
        "exit 1",
        "exit 75",
        "exit 78",
        "exit 0",
        "kill -9 $$",
        "kill -TERM $$",
        "kill -HUP $$",
        "kill -PIPE $$",
    ];
    let host = Host::new(&green());
    let mut judged = 0;
    for _ in 0..super::experiment::rounds() {
        for end in ends {
            host.declare(&Stage::sh(&format!("echo '{WORDS}' >&2; echo '{WORDS}'; {RED}; echo '{WORDS}' >&2; {end}")));
            let ended = again(&host).run();
            assert_eq!(ended.code(), Some(1), "{end}\n{ended}");
            judged += 1;
        }
        host.declare(&Stage::sh(&format!("echo '{WORDS}' >&2; echo '{WORDS}'; {GREEN}; echo '{WORDS}' >&2")));
        again(&host).run().exits(0);
        judged += 1;
    }
    eprintln!("suites that sound like faults: {judged} judged, 0 held");
}
