//! One connection to a host, and the sessions on it. The only place that knows the `openssh` crate.
//!
//! The crate makes the connection. The sessions on it are ssh's own, started here: the crate's read the user's
//! configuration (a `RemoteCommand` there breaks them, a `SendEnv` leaks into them), and lose what they are told
//! (127, 255 and a broken link are one error there).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, SessionBuilder};
use tokio::process::{Child, Command};

use crate::domain::channel::Target;

use super::config::{self, ALIAS};

/// How long a connection without a session stays, should nobody close it.
const IDLE_S: usize = 20;
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(2);
/// Most of ssh's own words that are kept, in bytes.
const SAID_BYTES_MAX: usize = 4096;

/// The files of the connections of one helper: a private folder with a short name, because a socket's path is short.
#[derive(Debug)]
pub(super) struct Den {
    folder: tempfile::TempDir,
}

impl Den {
    pub(super) fn make(target: &Target) -> io::Result<Self> {
        if !config::fits(target) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the host is outside its grammar"));
        }
        let base =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|base| base.is_absolute() && base.is_dir());
        let base = base.unwrap_or_else(|| PathBuf::from("/tmp"));
        sweep(&base);
        let prefix = format!("orch-ssh-{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).rand_bytes(6).tempdir_in(base)?;
        std::fs::write(folder.path().join("config"), config::config(target))?;
        Ok(Self { folder })
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }
}

/// Removes what helpers left that were killed: only folders of ours whose process is gone.
fn sweep(base: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) =
            name.to_str().and_then(|name| name.strip_prefix("orch-ssh-")?.split_once('-')?.0.parse::<u32>().ok())
        else {
            continue;
        };
        let ours =
            entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::getuid().as_raw());
        if ours && !Path::new(&format!("/proc/{pid}")).exists() {
            // Another helper may be at it as well.
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Link {
    config: PathBuf,
    /// Holds socket and log of the connection.
    folder: tempfile::TempDir,
}

/// No connection came to stand.
#[derive(Debug)]
pub(super) enum Unlinked {
    /// ssh could not be started at all.
    NoSsh(io::Error),
    /// What it said.
    Said(String),
}

impl Link {
    pub(super) async fn connect(den: &Den) -> Result<Self, Unlinked> {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .control_persist(ControlPersist::IdleFor(std::num::NonZeroUsize::new(IDLE_S).expect("not zero")))
            .control_directory(den.folder.path())
            .config_file(den.config());
        match builder.launch_master(ALIAS).await {
            Ok(folder) => Ok(Self { config: den.config(), folder }),
            Err(openssh::Error::Connect(error)) if error.get_ref().is_none() => Err(Unlinked::NoSsh(error)),
            Err(openssh::Error::Connect(error)) => Err(Unlinked::Said(error.to_string())),
            Err(openssh::Error::Master(error)) => Err(Unlinked::NoSsh(error)),
            Err(other) => Err(Unlinked::Said(other.to_string())),
        }
    }

    /// Starts a session. Where the connection is gone it fails and makes no other.
    pub(super) fn session(&self, word: &str) -> io::Result<Child> {
        let mut ssh = self.ssh();
        ssh.arg("-T").arg("-E").arg(self.log()).args(["-o", "ProxyJump=none", "-o", "ProxyCommand=false"]);
        ssh.arg("--").arg(ALIAS).arg(word);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()
    }

    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.config).arg("-S").arg(self.folder.path().join("master"));
        ssh
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("session.log")
    }

    /// What ssh itself said about the connection and its sessions.
    pub(super) fn said(&self) -> String {
        let logs = [self.folder.path().join("log"), self.log()];
        let text = logs.iter().filter_map(|log| std::fs::read(log).ok()).collect::<Vec<_>>().concat();
        let from = text.len().saturating_sub(SAID_BYTES_MAX);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).replace('\r', "").trim().to_owned()
    }

    /// Whether the connection stands.
    pub(super) async fn stands(&self) -> bool {
        matches!(self.tell("check").await, Some(status) if status.success())
    }

    /// Closes the connection; one that is gone already is closed.
    pub(super) async fn close(self) {
        self.tell("exit").await;
    }

    /// Says something to the process that holds the connection; `None` where it did not answer in time.
    async fn tell(&self, word: &str) -> Option<std::process::ExitStatus> {
        let mut ssh = self.ssh();
        ssh.args(["-O", word, "--"]).arg(ALIAS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = ssh.kill_on_drop(true).spawn().ok()?;
        tokio::time::timeout(CLOSE, child.wait()).await.ok()?.ok()
    }
}
