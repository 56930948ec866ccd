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

use super::config::{self, ALIAS, CONFIG_FILE, JUMP_LOG_FILE};

/// How long a connection without a session stays, should nobody close it.
const IDLE_S: usize = 20;
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(2);
/// Longest path that holds the folder of a helper's connections, in bytes: a socket's path has 107, of which ours and
/// ssh's own names take 70.
const BASE_BYTES_MAX: usize = 36;
/// Most of ssh's own words that are kept, in bytes.
const SAID_BYTES_MAX: usize = 4096;

/// The files of the connections of one helper: a private folder with a short name, because a socket's path is short.
#[derive(Debug)]
pub(super) struct Den {
    folder: tempfile::TempDir,
    /// The socket of a connection that somebody keeps, in a folder that nobody else can write to.
    kept: Option<PathBuf>,
}

impl Den {
    pub(super) fn make(target: &Target) -> io::Result<Self> {
        if !config::fits(target) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the host is outside its grammar"));
        }
        let fits = |base: &PathBuf| base.is_absolute() && base.as_os_str().len() <= BASE_BYTES_MAX && base.is_dir();
        let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(fits);
        let base = base.unwrap_or_else(|| PathBuf::from("/tmp"));
        sweep(&base);
        let prefix = format!("orch-ssh-{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).rand_bytes(6).tempdir_in(base)?;
        std::fs::write(folder.path().join(CONFIG_FILE), config::config(target, folder.path()))?;
        let kept = target.control.as_ref().map(PathBuf::from);
        Ok(Self { folder, kept: kept.filter(|socket| socket.parent().is_some_and(is_private)) })
    }

    /// From now on every connection is one of our own.
    pub(super) fn keep_away(&mut self) {
        self.kept = None;
    }

    fn jump_log(&self) -> PathBuf {
        self.folder.path().join(JUMP_LOG_FILE)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join(CONFIG_FILE)
    }
}

/// Whether a folder is ours, and nobody else can put a socket into it.
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder).is_ok_and(|found| {
        found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0
    })
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
    jump_log: PathBuf,
    /// Holds the log of the sessions, and socket and log of a connection of our own.
    folder: tempfile::TempDir,
    socket: PathBuf,
    /// Whether somebody else made it, and closes it.
    kept: bool,
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
    /// The connection that is kept to this host, else one of our own.
    pub(super) async fn connect(den: &Den) -> Result<Self, Unlinked> {
        match Self::kept(den) {
            Some(link) => Ok(link),
            None => Self::own(den).await,
        }
    }

    /// Where somebody listens at its socket.
    fn kept(den: &Den) -> Option<Self> {
        let socket = den.kept.clone()?;
        std::os::unix::net::UnixStream::connect(&socket).ok()?;
        let folder = tempfile::TempDir::with_prefix_in("kept-", den.folder.path()).ok()?;
        Some(Self { config: den.config(), jump_log: den.jump_log(), folder, socket, kept: true })
    }

    async fn own(den: &Den) -> Result<Self, Unlinked> {
        // What was said of an earlier way is no word on this one.
        std::fs::remove_file(den.jump_log()).ok();
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .control_persist(ControlPersist::IdleFor(std::num::NonZeroUsize::new(IDLE_S).expect("not zero")))
            .control_directory(den.folder.path())
            .config_file(den.config());
        match builder.launch_master(ALIAS).await {
            Ok(folder) => {
                let socket = folder.path().join("master");
                Ok(Self { config: den.config(), jump_log: den.jump_log(), folder, socket, kept: false })
            }
            Err(openssh::Error::Connect(error)) if error.get_ref().is_none() => Err(Unlinked::NoSsh(error)),
            Err(openssh::Error::Connect(error)) => Err(Unlinked::Said(format!("{}{error}", tail(&[den.jump_log()])))),
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
        ssh.arg("-F").arg(&self.config).arg("-S").arg(&self.socket);
        ssh
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("session.log")
    }

    /// What ssh itself said about the connection and its sessions, and, where it does not stand, about the host in between.
    pub(super) fn said(&self, stands: bool) -> String {
        let way = (!stands).then(|| self.jump_log.clone());
        let logs: Vec<PathBuf> = way.into_iter().chain([self.folder.path().join("log"), self.log()]).collect();
        tail(&logs).trim().to_owned()
    }

    /// Whether it is one that somebody else keeps.
    pub(super) const fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whether the connection stands.
    pub(super) async fn stands(&self) -> bool {
        matches!(self.tell("check").await, Some(status) if status.success())
    }

    /// Closes a connection of our own; one that is gone already is closed.
    pub(super) async fn close(self) {
        if !self.kept {
            self.tell("exit").await;
        }
    }

    /// Says something to the process that holds the connection; `None` where it did not answer in time.
    async fn tell(&self, word: &str) -> Option<std::process::ExitStatus> {
        let mut ssh = self.ssh();
        ssh.args(["-O", word, "--"]).arg(ALIAS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = ssh.kill_on_drop(true).spawn().ok()?;
        tokio::time::timeout(CLOSE, child.wait()).await.ok()?.ok()
    }
}

/// The last of what stands in logs, one behind the other.
fn tail(logs: &[PathBuf]) -> String {
    let text = logs.iter().filter_map(|log| std::fs::read(log).ok()).collect::<Vec<_>>().concat();
    let from = text.len().saturating_sub(SAID_BYTES_MAX);
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).replace('\r', "")
}
