//! Where orch keeps its own files: one private folder a repository, shared by its worktrees, outside all of them.
//!
//! `--state-dir`, else `ORCH_STATE_DIR`, else `$XDG_STATE_HOME/orch/<folder>-<hash>`, else
//! `~/.local/state/orch/<folder>-<hash>`. `<folder>` is the name of the repository's folder and `<hash>` 12 hex
//! digits of its common git dir's path. The folder's name, not the origin's: a remote that is renamed must not
//! make orch forget its tasks.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::Mode;

use super::artifact::make_private;
use super::filesystem::{self, Locality};
use super::root::Root;
use super::worktree::Worktree;
use crate::domain::id::{AttemptId, Digest, RunId};

/// What says where the state is, as the command line and the environment give it. Empty values count as unset.
#[derive(Debug, Clone, Copy, Default)]
pub struct StateDirWish<'a> {
    /// `--state-dir`.
    pub flag: Option<&'a Path>,
    /// `ORCH_STATE_DIR`.
    pub env: Option<&'a OsStr>,
    /// `XDG_STATE_HOME`; a relative one counts as unset, as its specification wants.
    pub xdg_state_home: Option<&'a OsStr>,
    /// `HOME`.
    pub home: Option<&'a OsStr>,
}

/// Which of them decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateDirSource {
    /// `--state-dir`.
    Flag,
    /// `ORCH_STATE_DIR`.
    Env,
    /// `XDG_STATE_HOME`.
    XdgStateHome,
    /// `HOME`.
    Home,
}

impl StateDirSource {
    /// The word of `orch status` and `orch config show --origin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "--state-dir",
            Self::Env => "ORCH_STATE_DIR",
            Self::XdgStateHome => "XDG_STATE_HOME",
            Self::Home => "HOME",
        }
    }
}

/// A place where state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// None of the four says where.
    #[error("choose a state folder: none of --state-dir, ORCH_STATE_DIR, XDG_STATE_HOME and HOME is set")]
    NoWish,
    /// A path with `..`, or a relative `ORCH_STATE_DIR`.
    #[error("use {} as the state folder: {why}", path.display())]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It lies in the worktree or in the repository's git folder, where producers may write.
    #[error("use {} as the state folder: it is inside {}, where producers work", path.display(), inside.display())]
    WithinReach {
        /// The path.
        path: PathBuf,
        /// The worktree or git folder.
        inside: PathBuf,
    },
    /// A link stands where the folder belongs.
    #[error("use {} as the state folder: it is a symbolic link", .0.display())]
    Link(PathBuf),
    /// Something else stands where the folder belongs.
    #[error("use {} as the state folder: it is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// It belongs to another user.
    #[error("use {} as the state folder: it belongs to user {owner}", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Other users may look into it or write to it.
    #[error("use {} as the state folder: its mode is {mode:03o}, so other users can reach it", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Locks and the database do not hold over a network.
    #[error("use {} as the state folder: it is on a network file system ({kind})", path.display())]
    Network {
        /// The path.
        path: PathBuf,
        /// The file system.
        kind: String,
    },
    /// It was there, and is not any more.
    #[error("go on with the state folder {}, which was removed or replaced while it was in use", .0.display())]
    Gone(PathBuf),
    /// It could not be made or opened.
    #[error("make or open {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl StateDirError {
    /// What to do next.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NoWish => "name one with --state-dir",
            Self::BadPath { .. } => "name an absolute path without `..`",
            Self::WithinReach { .. } => "name a folder outside the worktree and its repository with --state-dir",
            Self::NotAFolder(_) => "name a folder with --state-dir; one that does not exist yet is made",
            Self::Link(_) => "name the folder the link points to",
            Self::Foreign { .. } => "name a folder of your own with --state-dir",
            Self::Open { .. } => "chmod 700 it, after a look at what others may have left there",
            Self::Network { .. } => "name a folder on a local disk with --state-dir",
            Self::Gone(_) => "put it back where it was and run again: what was recorded in it is kept",
            Self::Io { .. } => "look at the parent folder's owner and mode, and at the space left",
        }
    }
}

/// The folder that a wish leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// As it was wished.
    pub path: PathBuf,
    /// Absolute, links resolved as far as it exists.
    pub real: PathBuf,
    /// What decided.
    pub source: StateDirSource,
}

/// The state folder of one repository, made and found private.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    source: StateDirSource,
    root: Root,
}

impl StateDir {
    /// Chooses the folder, makes it with mode 0700 where it is missing, and refuses one that is not safe.
    ///
    /// # Errors
    /// [`StateDirError`], each with its help.
    pub fn open(wish: StateDirWish<'_>, worktree: &Worktree, cwd: &Path) -> Result<Self, StateDirError> {
        let Choice { path, real, source } = Self::choose(wish, worktree, cwd)?;
        let io = |source| StateDirError::Io { path: path.clone(), source };
        if matches!(source, StateDirSource::XdgStateHome | StateDirSource::Home)
            && let Some(orch) = path.parent()
        {
            ensure_private(orch)?;
        }
        ensure_private(&path)?;
        let root = Root::open(&path).map_err(io)?;
        if let Locality::Network(kind) = filesystem::locality(root.fd()).map_err(|errno| io(errno.into()))? {
            return Err(StateDirError::Network { path, kind });
        }
        Ok(Self { path: real, source, root })
    }

    /// Says which folder would be opened, there or not; makes nothing.
    ///
    /// # Errors
    /// [`StateDirError`] for a place that no folder may be made in.
    pub fn choose(wish: StateDirWish<'_>, worktree: &Worktree, cwd: &Path) -> Result<Choice, StateDirError> {
        let (path, source) = choose(wish, worktree, cwd)?;
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(StateDirError::BadPath { path, why: "it has `..` in it" });
        }
        let io = |source| StateDirError::Io { path: path.clone(), source };
        let real = resolved(&path).map_err(io)?;
        for inside in [worktree.toplevel(), worktree.git_dir(), worktree.common_dir()] {
            if real.starts_with(inside) {
                return Err(StateDirError::WithinReach { path, inside: inside.to_owned() });
            }
        }
        Ok(Choice { path, real, source })
    }

    /// The folder, absolute, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What decided where it is.
    pub fn source(&self) -> StateDirSource {
        self.source
    }

    /// The folder of a run: its logs, and what is kept of its attempts. Not made by this call.
    pub fn run_dir(&self, run: RunId) -> PathBuf {
        self.path.join("runs").join(run.to_string())
    }

    /// The folder of an attempt: reports that stand outside the worktree. Not made by this call.
    pub fn attempt_dir(&self, run: RunId, attempt: AttemptId) -> PathBuf {
        self.run_dir(run).join("attempts").join(attempt.to_string())
    }

    /// Where foreign files are kept that stood at an artifact's place when an attempt was about to start. Not
    /// made by this call.
    pub fn moved_dir(&self, run: RunId, attempt: AttemptId) -> PathBuf {
        self.run_dir(run).join("moved").join(attempt.to_string())
    }

    /// Where the last look at a worktree's tree is kept for the next run. Not made by this call.
    pub fn tree_cache(&self, worktree: &Worktree) -> PathBuf {
        let name = Digest::of(worktree.toplevel().as_os_str().as_bytes()).short();
        self.path.join("trees").join(format!("{name}.cache"))
    }

    /// The folder of the control runs' notes and answers. Not made by this call.
    pub fn controls_dir(&self) -> PathBuf {
        self.path.join("controls")
    }

    /// The folder of the tasks' locks. Not made by this call.
    pub fn locks_dir(&self) -> PathBuf {
        self.path.join("locks")
    }

    /// Makes one of the folders above, for this user alone.
    ///
    /// # Errors
    /// [`StateDirError::Io`], or [`StateDirError::BadPath`] for a path that is not below the state folder.
    pub fn make(&self, folder: &Path) -> Result<(), StateDirError> {
        if !folder.starts_with(&self.path) || folder.components().any(|part| part == Component::ParentDir) {
            return Err(StateDirError::BadPath { path: folder.to_owned(), why: "it is not below the state folder" });
        }
        make_private(folder).map_err(|source| StateDirError::Io { path: folder.to_owned(), source })
    }

    /// Makes the folder private where it no longer is; gives the mode that it had.
    ///
    /// # Errors
    /// It cannot be looked at, or its mode cannot be changed.
    pub fn close_again(&self) -> std::io::Result<Option<u32>> {
        let mode = rustix::fs::fstat(self.root.fd().as_fd())?.st_mode & 0o777;
        if mode == 0o700 {
            return Ok(None);
        }
        // By its descriptor, since at its name another folder may stand by now; through /proc, since one that nobody may
        // search has no `.` to ask for.
        rustix::fs::chmod(format!("/proc/self/fd/{}", self.root.fd().as_raw_fd()), Mode::RWXU)?;
        Ok(Some(mode))
    }

    /// Whether the folder is still the one that was opened.
    pub fn still_there(&self) -> bool {
        let opened = rustix::fs::fstat(self.root.fd().as_fd());
        let named = std::fs::symlink_metadata(&self.path);
        matches!((opened, named), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.dev(), b.ino()))
    }
}

fn choose(wish: StateDirWish<'_>, worktree: &Worktree, cwd: &Path) -> Result<(PathBuf, StateDirSource), StateDirError> {
    let set = |value: Option<&OsStr>| value.filter(|text| !text.is_empty()).map(PathBuf::from);
    if let Some(path) = set(wish.flag.map(Path::as_os_str)) {
        return Ok((cwd.join(path), StateDirSource::Flag));
    }
    if let Some(path) = set(wish.env) {
        return if path.is_absolute() {
            Ok((path, StateDirSource::Env))
        } else {
            Err(StateDirError::BadPath { path, why: "ORCH_STATE_DIR must be absolute" })
        };
    }
    let xdg = set(wish.xdg_state_home).filter(|path| path.is_absolute());
    let home = || set(wish.home).filter(|path| path.is_absolute()).map(|path| path.join(".local/state"));
    let (base, source) = match xdg {
        Some(base) => (base, StateDirSource::XdgStateHome),
        None => (home().ok_or(StateDirError::NoWish)?, StateDirSource::Home),
    };
    let hash = Digest::of(worktree.common_dir().as_os_str().as_bytes()).short();
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let folder: String = worktree.folder_name().chars().take(60).map(safe).collect();
    let folder = folder.trim_start_matches('.');
    Ok((base.join("orch").join(format!("{folder}-{hash}")), source))
}

/// Resolves the links of the part of a path that exists.
///
/// # Errors
/// A part that exists cannot be looked at.
pub fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    for known in path.ancestors() {
        match std::fs::canonicalize(known) {
            Ok(real) => {
                let rest = path.strip_prefix(known).map_err(|_| std::io::ErrorKind::InvalidInput)?;
                return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::ErrorKind::NotFound.into())
}

/// Makes a folder with mode 0700 unless it is there, and refuses one that is not private.
fn ensure_private(path: &Path) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        make_private(parent).map_err(io)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io(error)),
    }
    let found = std::fs::symlink_metadata(path).map_err(io)?;
    if found.is_symlink() {
        Err(StateDirError::Link(path.to_owned()))
    } else if !found.is_dir() {
        Err(StateDirError::NotAFolder(path.to_owned()))
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        Err(StateDirError::Foreign { path: path.to_owned(), owner: found.uid() })
    } else if found.mode() & 0o077 != 0 {
        Err(StateDirError::Open { path: path.to_owned(), mode: found.mode() & 0o777 })
    } else {
        Ok(())
    }
}
