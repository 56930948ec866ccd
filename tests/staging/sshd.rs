//! An OpenSSH server of a test's own: throw-away keys and configuration, a port on loopback, nothing of the machine's.

#![expect(clippy::disallowed_methods, reason = "tests start real servers")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A server, its keys and its clients' key.
#[derive(Debug)]
pub(crate) struct Sshd {
    folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
    extra: String,
}

impl Sshd {
    /// Starts a server below a folder, with further lines of configuration.
    pub(crate) fn with(folder: &Path, extra: &str) -> Self {
        let folder = folder.to_owned();
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all("/run/sshd").ok();
        for name in ["host", "client", "stranger"] {
            keygen(&folder.join(name));
        }
        fs::copy(folder.join("client.pub"), folder.join("authorized")).unwrap();
        let port = free_port();
        let mut server = Self { folder, port, child: None, extra: extra.to_owned() };
        server.know("host.pub");
        server.up();
        server
    }

    /// Writes which host key clients know.
    pub(crate) fn know(&self, public: &str) {
        self.know_at(public, self.port);
    }

    /// Writes which host key clients know at another port, behind which a proxy stands.
    pub(crate) fn know_at(&self, public: &str, port: u16) {
        let key = fs::read_to_string(self.path(public)).unwrap();
        fs::write(self.path("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts it, on the same port as before, and waits until it listens.
    pub(crate) fn up(&mut self) {
        let config = self.path("sshd_config");
        // Of most words the first one counts, of this one the last.
        let crowd = if self.extra.contains("MaxStartups") { "" } else { "MaxStartups 100" };
        let text = format!(
            "{}\n{crowd}\nPort {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxSessions 100\n\
             PermitRootLogin yes\nPrintMotd no\nPrintLastLog no\nUseDNS no\n",
            self.extra,
            self.port,
            self.path("host").display(),
            self.path("authorized").display()
        );
        fs::write(&config, text).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut sshd, 0);
        let mut child = sshd.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("Server listening on 127.0.0.1") {
            let before = said.len();
            lines.read_line(&mut said).unwrap();
            assert!(said.len() > before, "sshd does not listen: {said}");
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("sshd.log")).unwrap();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut &log));
        self.child = Some(child);
    }

    /// Stops listening, and cuts every connection.
    pub(crate) fn down(&mut self) {
        self.cut();
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Connects, hears the greeting, and says nothing: one who is not logged in, as long as it is kept.
    pub(crate) fn knock(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 8]).unwrap();
        stream
    }

    /// Processes that serve a connection: children of the server, and theirs that are called `sshd`.
    pub(crate) fn sessions(&self) -> Vec<i32> {
        let server = self.child.as_ref().map_or(0, |child| i32::try_from(child.id()).unwrap());
        let mut found = children(server);
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            found.extend(children(pid));
            at += 1;
        }
        found.retain(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("sshd")));
        found
    }

    /// Kills the processes of all connections; the server goes on.
    pub(crate) fn cut(&self) {
        for pid in self.sessions() {
            signal(pid, Signal::KILL);
        }
    }

    /// Stops the processes of all connections, as a host does that hangs.
    pub(crate) fn freeze(&self) {
        for pid in self.sessions() {
            signal(pid, Signal::STOP);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        for pid in self.sessions() {
            signal(pid, Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            let group = Pid::from_child(&child);
            kill_process_group(group, Signal::KILL).ok();
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn signal(pid: i32, signal: Signal) {
    // It may have ended by itself since it was seen.
    kill_process(Pid::from_raw(pid).unwrap(), signal).ok();
}

fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn keygen(path: &Path) {
    keygen_of("ed25519", path, "");
}

/// Makes a key of a kind, locked by a passphrase unless that is empty.
pub(crate) fn keygen_of(kind: &str, path: &Path, passphrase: &str) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen is needed: apt-get install openssh-client");
    assert!(done.success());
}

/// Processes whose command line has a text in it.
pub(crate) fn named(part: &str) -> Vec<i32> {
    processes(|pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(part))
    })
}

/// Waits until no process has a text in its command line; it looks as often as a far side's TTL may take.
///
/// # Panics
/// They do not go.
pub(crate) fn until_none(part: &str) {
    const LOOKS_MAX: usize = 600;
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let gone = (0..LOOKS_MAX).any(|_| named(part).is_empty() || rustix::event::poll(&mut [], Some(&pause)).is_err());
    assert!(gone, "{part} is still there");
}

/// Waits until a process of its own, and not one that only starts it, has this command line.
///
/// # Panics
/// None comes.
pub(crate) fn until_some(line: &str) {
    const LOOKS_MAX: usize = 600;
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let is_it = |pid: i32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|found| String::from_utf8_lossy(&found).replace('\0', " ").trim() == line)
    };
    let came =
        (0..LOOKS_MAX).any(|_| !processes(is_it).is_empty() || rustix::event::poll(&mut [], Some(&pause)).is_err());
    assert!(came, "{line} never came");
}

fn processes(fits: impl Fn(i32) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| crate::support::lives(*pid) && fits(*pid)).collect()
}
