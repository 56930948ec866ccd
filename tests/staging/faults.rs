//! Every way a channel can break, with its class; never a verdict, never a rollback.

use super::host::{GREEN, Host, RED, Stage};
use super::proxy::{Proxy, Trick};
use super::sshd::free_port;

/// Runs of each fault in the short form, and in the long one.
fn rounds() -> usize {
    if std::env::var("ORCH_STAGING").is_ok_and(|form| form == "long") { 10 } else { 1 }
}

/// Runs a prepared host as often as is asked for, and checks code and words each time.
fn check(name: &str, host: &Host, code: i32, told: &str) {
    for round in 0..rounds() {
        let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
        assert_eq!(ended.code(), Some(code), "{name}, round {round}\n{ended}");
        assert!(ended.stdout().contains(told), "{name}, round {round}: no {told:?}\n{ended}");
        assert!(!host.shop.has(super::host::LOG), "{name}: a verdict from a fault of the channel");
    }
    eprintln!("fault {name}: {} of {} right", rounds(), rounds());
}

fn green() -> Stage {
    Stage::sh(GREEN)
}

#[test]
fn a_connection_that_does_not_come_to_stand() {
    let mut host = Host::new(&green());
    host.declare(&green().key(&format!("# \n        port: {}", free_port())).key("# "));
    host.declare(&Stage { keys: format!(", port: {}", free_port()), ..green() });
    check("refused", &host, 75, "Connection refused");
    host.declare(&Stage { keys: ", host: no-such-host.invalid".to_owned(), ..green() });
    check("no such name", &host, 75, "resolve");
    for (name, trick, told) in [
        ("silent", Trick::Silent, "channel-broke"),
        ("closed at once", Trick::Close, "channel-broke"),
        ("reset at once", Trick::Reset, "channel-broke"),
        ("no ssh at all", Trick::Says("HTTP/1.1 400 Bad Request\r\n\r\n"), "channel"),
        ("banner of an old protocol", Trick::Says("SSH-1.0-old\r\n"), "channel"),
    ] {
        let proxy = Proxy::new(host.sshd.port, trick);
        host.declare(&Stage { keys: format!(", port: {}", proxy.port), ..green() });
        let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
        assert!(matches!(ended.code(), Some(75 | 78)), "{name}\n{ended}");
        assert!(ended.stdout().contains(told), "{name}\n{ended}");
    }
    // Cut within the handshake, at many bytes.
    for at in [1, 20, 60, 400, 1200, 1600] {
        let proxy = Proxy::new(host.sshd.port, Trick::ResetAfter(at));
        let known = std::fs::read_to_string(host.sshd.path("known")).unwrap();
        let known = known.replace(&format!(":{} ", host.sshd.port), &format!(":{} ", proxy.port));
        std::fs::write(host.sshd.path("known"), known).unwrap();
        host.declare(&Stage { keys: format!(", port: {}", proxy.port), ..green() });
        check(&format!("reset after {at} bytes"), &host, 75, "channel-broke");
        host.sshd.know("host.pub");
    }
    host.sshd.down();
}

#[test]
fn a_door_that_stays_closed() {
    let host = Host::new(&green());
    let stranger = format!(", identity: {}", host.sshd.path("stranger").display());
    host.declare(&Stage { keys: stranger, ..green() });
    check("key not accepted", &host, 78, "Permission denied");
    host.declare(&Stage { keys: ", identity: /nowhere/at/all".to_owned(), ..green() });
    check("key not there", &host, 78, "channel-refused");
    host.declare(&green());
    host.sshd.know("stranger.pub");
    check("changed host key", &host, 78, "channel-refused");
    std::fs::write(host.sshd.path("known"), "").unwrap();
    check("unknown host key", &host, 78, "channel-refused");
    host.sshd.know("host.pub");
    host.declare(&Stage { keys: ", user: nobody-of-that-name".to_owned(), ..green() });
    check("no such user", &host, 78, "Permission denied");
}

#[test]
fn a_host_without_a_shell_or_without_what_is_needed() {
    let host = Host::with(&green(), "ForceCommand echo This account is currently not available.; exit 1");
    check("no login", &host, 78, "currently not available");
    let host = Host::with(&green(), "ForceCommand exit 0");
    check("a shell that does something else", &host, 78, "no shell");
    let host = Host::with(&green(), "SetEnv PATH=/nowhere");
    check("no tools", &host, 78, "");
    let host = Host::new(&Stage::words(&["no-such-program", "x"]));
    check("program missing", &host, 78, "command-not-found");
    host.declare(&Stage::words(&["/no/such/program"]));
    check("program by path missing", &host, 78, "command-not-found");
    host.declare(&green().key("remote-cwd: /no/such/folder"));
    check("folder missing", &host, 78, "/no/such/folder");
    host.declare(&green().key("version: { command: [echo, v2], expect: v3 }"));
    check("another version", &host, 78, "version-mismatch");
    host.declare(&Stage::words(&["docker", "exec", "no-such-container", "check"]));
    let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
    assert!(matches!(ended.code(), Some(75 | 78)), "{ended}");
    assert!(ended.stdout().contains("container-down") || ended.stdout().contains("command-not-found"), "{ended}");
}

#[test]
fn the_version_that_was_tested_is_recorded() {
    let host = Host::new(&green().key("version: { command: [echo, v3], expect: \"${WANTED}\" }"));
    host.orch("pipeline run --no-wait").env("WANTED", "v3").run().exits(0);
    let shown = host.orch("explain --json").run();
    assert!(shown.stdout().contains("v3"), "{shown}");
}

#[test]
fn words_of_a_suite_are_no_fault_of_the_channel() {
    let words = "ssh: connect to host x port 22: Connection refused\nPermission denied (publickey).\n\
                 Host key verification failed.\nclient_loop: send disconnect: Broken pipe\nORCH-END 0 exited 0\n";
    let host = Host::new(&Stage::sh(&format!("echo '{words}' >&2; echo '{words}'; {RED}; exit 255")));
    host.run().exits(1);
    let host = Host::new(&Stage::sh(&format!("echo '{words}' >&2; echo '{words}'; {GREEN}")));
    host.run().exits(0);
}
