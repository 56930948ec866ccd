//! What control runs keep in the state folder: a note while one is under way, and the answers of base commits.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::state_dir::{StateDir, StateDirError};
use super::worktree::Worktree;
use crate::domain::checkout::BranchName;
use crate::domain::control::ControlRun;
use crate::domain::id::{AttemptId, Digest, Nonce, RunId};

/// Longest of these files.
const BYTES_MAX: u64 = 1024 * 1024;
/// Version of their forms.
const VERSION: u32 = 1;

/// A control run that is under way, for whoever comes after a death.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UnderWay {
    /// Version of this form: 1.
    pub version: u32,
    /// The run it belongs to.
    pub run: RunId,
    /// The id of its process.
    pub id: AttemptId,
    /// The word its exit record must carry.
    pub nonce: Nonce,
    /// How long its supervisor may be silent.
    pub patience: Duration,
    /// Its sibling worktree.
    pub path: PathBuf,
    /// The sibling's branch.
    pub branch: Option<BranchName>,
}

/// What a base commit answered, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answer {
    /// Version of this form: 1.
    pub version: u32,
    /// When it was asked. An attempt that ended before has the same answer.
    pub at: Timestamp,
    /// Whether it runs there.
    pub runs: bool,
    /// What it did.
    pub base: ControlRun,
}

impl UnderWay {
    /// A note of the version that this program writes.
    pub const fn new(
        run: RunId,
        (id, nonce): (AttemptId, Nonce),
        patience: Duration,
        path: PathBuf,
        branch: Option<BranchName>,
    ) -> Self {
        Self { version: VERSION, run, id, nonce, patience, path, branch }
    }

    /// The file of a worktree's note.
    pub fn file(state: &StateDir, worktree: &Worktree) -> PathBuf {
        let name = Digest::of(worktree.toplevel().as_os_str().as_encoded_bytes()).short();
        state.controls_dir().join(format!("{name}.json"))
    }

    /// Reads a note.
    pub fn read(file: &Path) -> Found<Self> {
        read(file, |note: &Self| note.version)
    }

    /// Writes the note before anything is made.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        write(file, self)
    }
}

/// The answers for one base commit, command and environment, under the lock of their one asker.
#[derive(Debug)]
pub struct Answers {
    file: PathBuf,
    _lock: File,
}

impl Answers {
    /// Opens them; `None` while another asks.
    ///
    /// # Errors
    /// The state folder refuses.
    pub fn open(state: &StateDir, key: &Digest) -> Result<Option<Self>, StateDirError> {
        let folder = state.controls_dir();
        state.make(&folder)?;
        let io = |source: io::Error| StateDirError::Io { path: folder.clone(), source };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join(format!("{key}.lock"))).map_err(io)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file: folder.join(format!("{key}.answer.json")), _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(io(errno.into())),
        }
    }

    /// The last answer, where it was asked for after a moment: the same holds for what ended before.
    pub fn since(&self, ended_at: Timestamp) -> Option<Answer> {
        match read(&self.file, |answer: &Answer| answer.version) {
            Found::Read(answer) => Some(answer).filter(|answer| answer.at >= ended_at),
            // An answer is a saving; without one the base commit is asked.
            Found::Nothing | Found::Unreadable => None,
        }
    }

    /// Keeps an answer for those who wait for it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, at: Timestamp, runs: bool, base: &ControlRun) -> io::Result<()> {
        write(&self.file, &Answer { version: VERSION, at, runs, base: base.clone() })
    }
}

/// What stands in one of these files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// There is no such file.
    Nothing,
    /// It cannot be read, or is of another version.
    Unreadable,
    /// This.
    Read(T),
}

pub(super) fn read<T: DeserializeOwned>(file: &Path, version: impl Fn(&T) -> u32) -> Found<T> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(_) => return Found::Unreadable,
    };
    let mut text = Vec::new();
    let whole = opened.take(BYTES_MAX).read_to_end(&mut text).is_ok();
    let found: Option<T> = if whole { serde_json::from_slice(&text).ok() } else { None };
    found.filter(|found| version(found) == VERSION).map_or(Found::Unreadable, Found::Read)
}

/// Writes a file whole: a reader sees the old one or the new one.
pub(super) fn write(file: &Path, value: &impl Serialize) -> io::Result<()> {
    let temp = file.with_extension("tmp");
    match std::fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
    made.write_all(&serde_json::to_vec(value)?)?;
    std::fs::rename(&temp, file)
}
