//! Faults that need users of their own on the far side: accounts without a shell, homes that cannot be written, sockets
//! that one may not open.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use super::experiment::Class::{Permanent, Transient};
use super::experiment::Experiment;
use super::host::{GREEN, Host, Stage};
use super::people::{People, bind, open, open_to_all};
use crate::support::command;

/// What one user may find, and another not.
pub(crate) const USERS: &[&str] = &[
    "account without a log-in",
    "login shell missing",
    "login shell that ends with 127",
    "login shell that is no program",
    "profile that ends the shell",
    "profile that does not end",
    "home and /tmp cannot be written",
    "disk full there",
    "disk full there, without a byte",
    "folder that one may not enter",
    "program that one may not start",
    "engine's socket that one may not open",
];

fn of(user: &str) -> Stage {
    Stage::sh(GREEN).key(&format!("user: {user}"))
}

#[test]
fn what_a_user_may_not() {
    People::run("faults_people::what_a_user_may_not", |people| {
        let mut group = Experiment::of(USERS);
        let host = Host::new(&Stage::sh(GREEN));
        open_to_all(&host);
        let shells = people.programs("shells");
        let script = |name: &str, text: &str| {
            let path = shells.join(name);
            fs::write(&path, text).unwrap();
            open(&path);
            path.to_str().unwrap().to_owned()
        };
        let broken = script("broken", "#!/bin/sh\nexit 127\n");
        let noise = script("noise", "\0\0\0 no program");
        for (name, user, shell, told) in [
            ("account without a log-in", "closed", "/usr/sbin/nologin", "not available"),
            ("login shell missing", "shell-less", "/no/such/shell", "Permission denied"),
            ("login shell that ends with 127", "broken", broken.as_str(), "no shell"),
            ("login shell that is no program", "noise", noise.as_str(), "no shell"),
        ] {
            people.add(user, shell);
            host.declare(&of(user));
            group.check(name, &host, Permanent, told);
        }
        for (name, user, profile, class) in [
            ("profile that ends the shell", "ended", "echo '9 checks, 0 failed'; exit 0\n", Permanent),
            ("profile that does not end", "endless", "sleep 20\n", Transient),
        ] {
            let home = people.add(user, "/bin/bash");
            fs::write(home.join(".bashrc"), profile).unwrap();
            host.declare(&of(user).stage("start-timeout: 3s"));
            group.check(name, &host, class, "");
        }
        disks(people, &host, &mut group);
        people.add("plain", "/bin/bash");
        let secret = host.shop.scratch("secret");
        fs::create_dir(&secret).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
        host.declare(&of("plain").key(&format!("remote-cwd: {}", secret.display())));
        group.check("folder that one may not enter", &host, Permanent, "cannot be entered");
        let tool = script("tool", "#!/bin/sh\n");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o700)).unwrap();
        host.declare(&Stage::words(&[&tool]).key("user: plain"));
        group.check("program that one may not start", &host, Permanent, "command-not-found");
        let name = "engine's socket that one may not open";
        if command("docker").arg("--version").output().is_ok() {
            let socket = host.shop.scratch("engine");
            super::proxy::speak_at(&socket, b"nobody hears this\n");
            fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
            let words = ["docker", "exec", "app", "check"];
            let env = format!("env: {{ set: {{ DOCKER_HOST: \"unix://{}\" }} }}", socket.display());
            host.declare(&Stage::words(&words).key("user: plain").key(&env));
            group.check(name, &host, Permanent, "permission denied");
        } else {
            group.left_out(name, "there is no docker here (docker.io)");
        }
        group.end();
    });
}

/// Homes on disks that are full, or may not be written; `/tmp` is no better.
fn disks(people: &mut People, host: &Host, group: &mut Experiment) {
    for (name, user, kib) in [
        ("home and /tmp cannot be written", "read-only", None),
        ("disk full there", "full", Some("size=64k")),
        ("disk full there, without a byte", "byteless", Some("size=64k,nr_inodes=3")),
    ] {
        let home = people.add(user, "/bin/bash");
        let other = format!("/tmp/orch-{}", people.last());
        // Somebody else's folder stands where the second place would be.
        fs::create_dir(&other).unwrap_or_else(|error| panic!("{other}: {error}"));
        match kib {
            None => {
                bind(&home, &home);
                let words = ["-o", "remount,bind,ro"];
                assert!(command("mount").args(words).arg(&home).status().unwrap().success());
            }
            Some(size) => {
                let words = ["-t", "tmpfs", "-o", size, "small"];
                assert!(command("mount").args(words).arg(&home).status().unwrap().success());
                chown(&home, Some(people.last()), Some(people.last())).unwrap();
                fill(&home.join("filling"));
            }
        }
        host.declare(&of(user));
        group.check(name, host, Permanent, "no place for the record");
        fs::remove_dir(&other).unwrap();
    }
}

/// Takes every byte that a small disk has.
fn fill(file: &Path) {
    let mut block = fs::File::create(file).unwrap();
    while std::io::Write::write_all(&mut block, &[b'x'; 4096]).is_ok() {}
}
