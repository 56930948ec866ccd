//! Ways to a host that others made: through a host in between, and over a connection that somebody keeps open.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::host::{GREEN, Host, LOG, RED, Stage};
use super::sshd::Sshd;
use crate::support::{Ended, command};

/// How often somebody logged in at a server.
fn logins(sshd: &Sshd) -> usize {
    fs::read_to_string(sshd.path("sshd.log")).unwrap_or_default().matches("Accepted publickey").count()
}

#[test]
fn a_host_behind_another_is_reached_through_it_and_again_when_that_link_breaks() {
    let host = Host::new(&Stage::sh(GREEN));
    let between = Sshd::with(&host.shop.scratch("between"), "");
    fs::copy(host.sshd.path("client.pub"), between.path("authorized")).unwrap();
    let key = fs::read_to_string(between.path("host.pub")).unwrap();
    let known = fs::read_to_string(host.sshd.path("known")).unwrap();
    let way = format!("host: 127.0.0.1, jump: \"localhost:{}\"", between.port);

    let script = format!("echo begun >> SCRATCH/ledger; echo $$ > SCRATCH/said; read word < SCRATCH/go; {GREEN}");
    host.declare(&Stage::sh(&script).key(&way));
    let (mut said, mut go) = host.shop.said_and_go();
    // Its key is pinned like that of any other.
    let refused = host.run().exits(78);
    assert!(refused.stderr().contains("localhost"), "{refused}");
    assert_eq!(logins(&host.sshd), 0, "{refused}");

    fs::write(host.sshd.path("known"), format!("{known}[localhost]:{} {key}", between.port)).unwrap();
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    between.cut();
    go.say("go");
    going.end().exits(0);
    assert_eq!(host.shop.ledger(), ["begun"]);
    // The looks at the start of the runs are among them.
    assert!(logins(&between) >= 2, "{}", logins(&between));
    assert!(host.shop.read(LOG).contains("staging_status: SUCCESS"));
}

/// A connection that a user keeps open, as `ControlMaster` does.
struct Kept<'a> {
    host: &'a Host,
    folder: PathBuf,
}

impl<'a> Kept<'a> {
    fn open(host: &'a Host) -> Self {
        let folder = host.shop.scratch("kept");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let kept = Self { host, folder };
        assert!(kept.ssh(&["-M", "-f", "-N", "-o", "ControlPersist=yes"], &[]), "no connection to keep");
        kept
    }

    fn ssh(&self, options: &[&str], words: &[&str]) -> bool {
        let at = |path: &Path| path.display().to_string();
        let sshd = &self.host.sshd;
        let mut ssh = command("ssh");
        ssh.args(["-F", "/dev/null", "-i", &at(&sshd.path("client")), "-p", &sshd.port.to_string()]);
        ssh.args(["-o", &format!("UserKnownHostsFile={}", at(&sshd.path("known")))]);
        ssh.args(["-o", "BatchMode=yes", "-o", &format!("ControlPath={}/%r@%h:%p", at(&self.folder))]);
        // A master in the background keeps what it is given.
        ssh.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        ssh.args(options).arg("127.0.0.1").args(words).status().unwrap().success()
    }

    fn stands(&self) -> bool {
        self.ssh(&["-O", "check"], &[])
    }

    fn stage(&self, script: &str) -> Stage {
        Stage::sh(script).key(&format!("user: root, control-dir: {}", self.folder.display()))
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.ssh(&["-O", "exit"], &[]);
    }
}

/// Connections of its own that the last attempt made, as it says itself.
fn own_connections(host: &Host) -> String {
    let told: Ended = host.orch("explain").run();
    let text = told.stdout();
    let count = text.split("connections: ").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    count.unwrap_or_else(|| panic!("explain tells nothing of connections\n{told}"))
}

#[test]
fn a_kept_connection_is_used_and_left_open() {
    let host = Host::new(&Stage::sh(GREEN));
    let kept = Kept::open(&host);
    for (script, code) in [(GREEN, 0), (RED, 1)] {
        host.declare(&kept.stage(script));
        host.run().exits(code);
        assert_eq!(own_connections(&host), "0");
    }
    assert_eq!(logins(&host.sshd), 1, "a connection was made although one was kept");
    assert!(kept.stands(), "a connection that is somebody else's was closed");
}

#[test]
fn a_kept_connection_that_breaks_under_a_suite_costs_nothing() {
    let host = Host::new(&Stage::sh(GREEN));
    let kept = Kept::open(&host);
    let script = format!("echo begun >> SCRATCH/ledger; echo $$ > SCRATCH/said; read word < SCRATCH/go; {RED}");
    host.declare(&kept.stage(&script));
    let (mut said, mut go) = host.shop.said_and_go();
    let going = host.orch("pipeline run --no-wait").start();
    said.next();
    host.sshd.cut();
    go.say("go");
    going.end().exits(1);
    assert_eq!(host.shop.ledger(), ["begun"]);
    assert_eq!(own_connections(&host), "1");
}

#[test]
fn a_kept_connection_that_gives_no_session_is_given_up_for_one_of_our_own() {
    // One session at a time, and it is taken.
    let host = Host::with(&Stage::sh(GREEN), "MaxSessions 1");
    let kept = Kept::open(&host);
    let scratch = host.scratch();
    let mut said = host.shop.fifo("taken");
    let taken = std::thread::scope(|scope| {
        let taking = scope.spawn(|| kept.ssh(&[], &[&format!("echo $$ > {scratch}/taken; exec sleep 60")]));
        let pid: i32 = said.next().parse().unwrap();
        host.declare(&kept.stage(GREEN));
        host.run().exits(0);
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::TERM)
            .unwrap();
        taking.join().unwrap()
    });
    assert!(!taken, "the session was not there all the time");
    assert_eq!(own_connections(&host), "1");

    let host = Host::new(&Stage::sh(GREEN));
    let kept = Kept::open(&host);
    host.sshd.freeze();
    host.declare(&kept.stage(&format!("echo begun >> SCRATCH/ledger; {GREEN}")));
    host.run().exits(0);
    assert_eq!((host.shop.ledger(), own_connections(&host).as_str()), (vec!["begun".to_owned()], "1"));
}

#[test]
fn a_connection_to_elsewhere_or_in_a_folder_of_many_is_not_used() {
    let host = Host::new(&Stage::sh(GREEN));
    let kept = Kept::open(&host);
    fs::set_permissions(&kept.folder, fs::Permissions::from_mode(0o777)).unwrap();
    host.declare(&kept.stage(GREEN));
    host.run().exits(0);
    assert_eq!(own_connections(&host), "1");

    // The same machine by another name may be another machine.
    fs::set_permissions(&kept.folder, fs::Permissions::from_mode(0o700)).unwrap();
    let known = fs::read_to_string(host.sshd.path("known")).unwrap();
    fs::write(host.sshd.path("known"), known.replace("[127.0.0.1]", "[localhost]")).unwrap();
    host.declare(&kept.stage(GREEN).key("host: localhost"));
    host.run().exits(0);
    assert_eq!(own_connections(&host), "1");
    fs::write(host.sshd.path("known"), known).unwrap();
}
