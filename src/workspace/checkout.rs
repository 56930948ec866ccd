//! Worktrees that orch makes: one a task, locked, on a branch of its own, and removed only when nothing is lost by it.
//!
//! Making a checkout is the one thing here that lets git write into a worktree. Hooks are off as for every call
//! ([`super::git`]); filters that the configuration names are set to nothing, so that files lie there as the commit has
//! them, which is also how their hashes are taken ([`super::tree`]).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, RenameFlags};
use rustix::io::Errno;

use super::damage::is_damage;
use super::git::{Git, GitAnswer, GitError, Place, refused};
use super::listing;
use super::logs::escape;
use super::tree::{Less, Snapshot, TreeError};
use super::worktree::{CommitId, Worktree};
use crate::domain::checkout::BranchName;
use crate::domain::id::{Digest, RelPath};

/// Files in a worktree's git folder that stand while something is under way, and what it is.
const UNDER_WAY: [(&str, &str); 7] = [
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase"),
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("BISECT_LOG", "a bisect"),
    ("sequencer", "a sequence of picks"),
];

/// Folders that may be set aside under one name.
const ASIDE_MAX: u32 = 100;

/// A worktree that could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The files of the worktree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The branch is checked out in another worktree.
    #[error("check out branch `{branch}`: it is checked out in {} already", path.display())]
    BranchElsewhere {
        /// The branch.
        branch: BranchName,
        /// Where.
        path: PathBuf,
    },
    /// A base was named for a branch that is there already.
    #[error("start branch `{branch}` at a base: there is such a branch already")]
    BranchThere {
        /// The branch.
        branch: BranchName,
    },
    /// Nothing has that name.
    #[error("start at `{wanted}`: there is no such branch, tag or commit")]
    BaseUnknown {
        /// What was asked for, escaped.
        wanted: String,
    },
    /// Something stands at the path that is no worktree of this repository.
    #[error("make the worktree {}: something is there that is no worktree of this repository", .0.display())]
    Taken(PathBuf),
    /// A worktree of this repository on another branch stands there.
    #[error("take the worktree {}: it is on {found}, not on branch `{branch}`", path.display())]
    OtherBranch {
        /// The worktree.
        path: PathBuf,
        /// The wanted branch.
        branch: BranchName,
        /// What it is on, for people.
        found: String,
    },
    /// The repository's main checkout stands there.
    #[error("take {}: it is the repository's main checkout, which cannot be one task's own", .0.display())]
    Main(PathBuf),
    /// The path lies where no checkout may be.
    #[error("make the worktree {}: it would lie inside {}", path.display(), inside.display())]
    Inside {
        /// The path.
        path: PathBuf,
        /// A worktree, git folder, or orch's state.
        inside: PathBuf,
    },
    /// What stands there leads to another repository.
    #[error("trust {}: it leads to the repository {}", path.display(), found.display())]
    OtherRepository {
        /// The worktree.
        path: PathBuf,
        /// Its shared git folder.
        found: PathBuf,
    },
    /// It is not the worktree that was recorded.
    #[error("trust {}: the folder, its .git or its git folder is not the one that was recorded", .0.display())]
    Replaced(PathBuf),
    /// The path cannot be used.
    #[error("make the worktree {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CheckoutError {
    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            Self::Git(error) => error.help().to_owned(),
            Self::Tree(error) => error.help().to_owned(),
            Self::BranchElsewhere { path, .. } if path.is_dir() => format!(
                "name another with --branch; or, where that is no main checkout, take it as it is: --path {}",
                path.display()
            ),
            Self::BranchElsewhere { path, .. } => format!(
                "that folder is gone: `git worktree unlock {0}`, if it is locked, then `git worktree prune`; or put it back",
                path.display()
            ),
            Self::BranchThere { .. } => {
                "leave --base out to take the branch up as it stands, or name another with --branch".to_owned()
            }
            Self::BaseUnknown { .. } => {
                "`git branch -a` and `git tag` list what there is; a commit is named in full or \
                                         by at least 7 hex digits"
                    .to_owned()
            }
            Self::Taken(_) => "name another place with --path, or move that away".to_owned(),
            Self::OtherBranch { .. } => "name that branch with --branch, or another place with --path".to_owned(),
            Self::Main(_) => {
                "run `orch pipeline run` there without --task; or name another branch with --branch".to_owned()
            }
            Self::Inside { .. } => "name a place outside every checkout with --path".to_owned(),
            Self::OtherRepository { .. } => {
                "something put another `.git` there; `git worktree repair` from the main checkout mends it".to_owned()
            }
            Self::Replaced(_) => {
                "look at its `.git`; if that was you, `orch task add` with the same name takes it as it is now"
                    .to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                "name the place with --path, without `..`".to_owned()
            }
            Self::Io { .. } => "look at the owner, the mode and the space of the folder above it".to_owned(),
        }
    }
}

/// A worktree as git has it in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its folder.
    pub path: PathBuf,
    /// The whole reference it is on; `None` where it is detached or bare.
    pub on: Option<String>,
    /// Whether it is the first: the main checkout, or the bare repository itself.
    pub main: bool,
    /// Why it is locked, where it is.
    pub locked: Option<String>,
}

/// What is wished of a task's worktree.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The branch; made where there is none.
    pub branch: &'a BranchName,
    /// Where a new branch starts; HEAD of the worktree that is asked from where `None`.
    pub base: Option<&'a str>,
    /// Where.
    pub path: &'a Path,
    /// What the lock says.
    pub reason: &'a str,
    /// Folders that it may not lie in, beside git's own and every checkout.
    pub outside: &'a [&'a Path],
    /// What is to become of a folder there whose git is broken.
    pub broken: Broken,
}

/// What becomes of a folder whose git is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It is refused.
    Refused,
    /// It is the task's own: git's part is mended where it can be, else the folder is set aside. No file of it is lost.
    Mended,
}

/// A worktree that was made or taken.
#[derive(Debug)]
pub struct Made {
    /// It, open.
    pub worktree: Worktree,
    /// How it came to be.
    pub how: How,
    /// Where the folder is now that stood there and could not be mended.
    pub aside: Option<PathBuf>,
}

/// How a task's worktree came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Folder and branch are new.
    New,
    /// The folder is new; the branch was there.
    OnBranch,
    /// Both were there.
    Reused,
}

impl How {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::OnBranch => "on-branch",
            Self::Reused => "reused",
        }
    }
}

/// Lists a repository's worktrees, the main one first.
///
/// # Errors
/// [`GitError`] when git cannot answer.
pub fn list(git: &Git<'_>, from: &Worktree) -> Result<Vec<Listed>, GitError> {
    let what = "list the worktrees";
    let _alone = alone(what, from)?;
    let answer =
        git.must(what, from.toplevel(), &from.place(), &["worktree", "list", "--porcelain"].map(OsStr::new))?;
    let mut found: Vec<Listed> = Vec::new();
    for line in answer.split(|byte| *byte == b'\n') {
        if let Some(path) = line.strip_prefix(b"worktree ") {
            let path = PathBuf::from(OsStr::from_bytes(path));
            found.push(Listed { path, on: None, main: found.is_empty(), locked: None });
            continue;
        }
        let Some(last) = found.last_mut() else { continue };
        let text = String::from_utf8_lossy(line);
        if let Some(reference) = text.strip_prefix("branch ") {
            last.on = Some(reference.to_owned());
        } else if text == "locked" {
            last.locked = Some(String::new());
        } else if let Some(reason) = text.strip_prefix("locked ") {
            last.locked = Some(reason.to_owned());
        }
    }
    Ok(found)
}

/// Makes a task's worktree, or takes the one that stands there on its branch. What an earlier call left half way is
/// finished. Gives it open and locked.
///
/// # Errors
/// [`CheckoutError`]; where git was stopped in the middle, the same call again finishes it.
pub fn make(git: &Git<'_>, from: &Worktree, wish: &Wish<'_>) -> Result<Made, CheckoutError> {
    from.check()?;
    // git's list has one path a line.
    if wish.path.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
        return Err(GitError::UnusablePath(wish.path.to_owned()).into());
    }
    let io = |source| CheckoutError::Io { path: wish.path.to_owned(), source };
    let path = settled(wish.path).map_err(io)?;
    let listed = list(git, from)?;
    let there = listed.iter().find(|known| known.path == path);
    let mut aside = None;
    if let Some(known) = there.filter(|known| known.path.is_dir()) {
        let usable = wish.broken == Broken::Refused || mend(git, from, wish.branch, known)?;
        if usable {
            let worktree = take(git, from, wish.branch, known)?;
            lock(git, from, known, wish.reason)?;
            return Ok(Made { worktree, how: How::Reused, aside });
        }
        aside = Some(set_aside(&path).map_err(io)?);
    } else if wish.broken == Broken::Mended && path.is_dir() && !path.is_symlink() && !is_empty(&path) {
        // git does not know it any more, or never did: it is the task's folder all the same.
        aside = Some(set_aside(&path).map_err(io)?);
    }
    let reference = wish.branch.reference();
    if let Some(other) = listed.iter().find(|known| known.path != path && known.on.as_ref() == Some(&reference)) {
        return Err(CheckoutError::BranchElsewhere { branch: wish.branch.clone(), path: other.path.clone() });
    }
    let checkouts = listed.iter().map(|known| known.path.as_path()).filter(|known| *known != path);
    let own = [from.toplevel(), from.common_dir()];
    if let Some(inside) = checkouts.chain(own).chain(wish.outside.iter().copied()).find(|known| path.starts_with(known))
    {
        return Err(CheckoutError::Inside { inside: inside.to_owned(), path });
    }
    if path.symlink_metadata().is_ok() && !(path.is_dir() && !path.is_symlink() && is_empty(&path)) {
        return Err(CheckoutError::Taken(path));
    }
    let start = match (commit_of(git, from, &reference)?, wish.base) {
        (Some(_), Some(_)) => return Err(CheckoutError::BranchThere { branch: wish.branch.clone() }),
        (Some(_), None) => Start::Branch(wish.branch),
        (None, None) => Start::NewBranch(wish.branch, from.read_head(git)?.commit),
        (None, Some(wanted)) => Start::NewBranch(wish.branch, resolve(git, from, wanted)?),
    };
    if there.is_some() {
        // The folder is gone and git still knows it: nothing of it can be lost any more.
        forget(git, from, &path)?;
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    add(git, from, &path, &start)?;
    let known = Listed { path, on: Some(reference), main: false, locked: None };
    let worktree = take(git, from, wish.branch, &known)?;
    lock(git, from, &known, wish.reason)?;
    let how = if matches!(start, Start::Branch(_)) { How::OnBranch } else { How::New };
    Ok(Made { worktree, how, aside })
}

fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Moves a folder away under a name that is free beside it.
///
/// # Errors
/// What the file system says; then it stands where it stood.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=ASIDE_MAX {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".damaged-{number}"));
        let aside = path.with_file_name(name);
        match rustix::fs::renameat_with(rustix::fs::CWD, path, rustix::fs::CWD, &aside, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            Ok(()) => return Ok(aside),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Mends what git has of a worktree: the `.git` file and the index. Whether it can be worked in then. No file that is
/// checked out is written.
fn mend(git: &Git<'_>, from: &Worktree, branch: &BranchName, known: &Listed) -> Result<bool, CheckoutError> {
    if known.main {
        return Ok(true);
    }
    let opened = match open(git, from, &known.path) {
        Err(CheckoutError::Git(error)) if !is_damage(&error) => return Err(error.into()),
        Ok(worktree) => Ok(worktree),
        Err(_) => {
            let what = "repair the worktree";
            let words = ["worktree", "repair", "--"].map(OsStr::new);
            let words: Vec<&OsStr> = words.into_iter().chain([known.path.as_os_str()]).collect();
            let _alone = alone(what, from)?;
            // What it could not mend is seen when the worktree is opened.
            git.ask(what, from.toplevel(), &from.place(), &words)?;
            open(git, from, &known.path)
        }
    };
    let worktree = match opened {
        Ok(worktree) => worktree,
        Err(CheckoutError::Git(error)) if !is_damage(&error) => return Err(error.into()),
        Err(_) => return Ok(false),
    };
    if worktree.head().branch.as_deref().is_some_and(|on| on != branch.as_str()) {
        // Somebody works on another branch there.
        return Ok(true);
    }
    if worktree.check().is_err() || listing::list(git, &worktree).is_err() {
        let index = worktree.git_dir().join("index");
        set_aside(&index).map_err(|source| CheckoutError::Io { path: index.clone(), source })?;
    }
    if !worktree.git_dir().join("index").exists() {
        let what = "make the index anew";
        let env = no_filters(git, from)?;
        let words = ["read-tree", "HEAD"].map(OsStr::new);
        let answer = git.ask_with(what, worktree.toplevel(), &worktree.place(), &words, &env)?;
        if answer.code != 0 {
            return Ok(false);
        }
    }
    // Objects that are missing are missing for every worktree: another folder would not bring them back.
    worktree.is_whole(git, worktree.head().commit.as_str())?;
    Ok(is_usable(git, &worktree))
}

/// Whether the files of a worktree and of its commit can be listed.
pub fn is_usable(git: &Git<'_>, worktree: &Worktree) -> bool {
    worktree.check().is_ok()
        && listing::list(git, worktree).is_ok()
        && worktree.is_whole(git, worktree.head().commit.as_str()).is_ok()
}

/// Keeps other runners of orch from changing the list of worktrees meanwhile: git reads the entry of a worktree that
/// another git is just making, and fails. The kernel's lock on the shared git folder, gone when it is dropped.
fn alone(what: &'static str, from: &Worktree) -> Result<OwnedFd, GitError> {
    let failed = |errno: rustix::io::Errno| GitError::Run { what, source: errno.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(from.common_dir(), flags, rustix::fs::Mode::empty()).map_err(failed)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&folder, FlockOperation::LockExclusive)).map_err(failed)?;
    Ok(folder)
}

/// Where a new worktree stands.
#[derive(Debug)]
pub(super) enum Start<'a> {
    /// On a new branch, at a commit.
    NewBranch(&'a BranchName, CommitId),
    /// On a branch that is there.
    Branch(&'a BranchName),
    /// On no branch.
    Detached(&'a CommitId),
}

/// Has git make a worktree.
pub(super) fn add(git: &Git<'_>, from: &Worktree, path: &Path, start: &Start<'_>) -> Result<(), GitError> {
    let mut words: Vec<&OsStr> = ["worktree", "add", "--quiet"].map(OsStr::new).to_vec();
    let at = match start {
        Start::NewBranch(branch, commit) => {
            words.extend([OsStr::new("--no-track"), OsStr::new("-b"), OsStr::new(branch.as_str())]);
            commit.as_str()
        }
        Start::Branch(branch) => branch.as_str(),
        Start::Detached(commit) => {
            words.push(OsStr::new("--detach"));
            commit.as_str()
        }
    };
    words.extend([OsStr::new("--"), path.as_os_str(), OsStr::new(at)]);
    let what = "make a worktree";
    let _alone = alone(what, from)?;
    let answer = git.ask_with(what, from.toplevel(), &from.place(), &words, &no_filters(git, from)?)?;
    done(what, &answer)
}

/// Opens a worktree that git lists, as the task's own.
fn take(git: &Git<'_>, from: &Worktree, branch: &BranchName, known: &Listed) -> Result<Worktree, CheckoutError> {
    if known.main {
        return Err(CheckoutError::Main(known.path.clone()));
    }
    if known.on.as_deref() != Some(&branch.reference()) {
        let found = known.on.as_deref().map_or("no branch".to_owned(), |on| {
            format!("branch `{}`", escape(on.strip_prefix("refs/heads/").unwrap_or(on).as_bytes()))
        });
        return Err(CheckoutError::OtherBranch { path: known.path.clone(), branch: branch.clone(), found });
    }
    let worktree = open(git, from, &known.path)?;
    if !worktree.git_dir().join("index").exists() {
        // git was stopped while it wrote the files; it writes the index last, so nobody has worked here.
        let what = "finish the worktree";
        let words = ["reset", "--hard", "--quiet"].map(OsStr::new);
        let env = no_filters(git, from)?;
        done(what, &git.ask_with(what, worktree.toplevel(), &worktree.place(), &words, &env)?)?;
    }
    Ok(worktree)
}

/// Opens a worktree that must be one of the same repository.
///
/// # Errors
/// [`CheckoutError::OtherRepository`], or what opening says.
pub fn open(git: &Git<'_>, from: &Worktree, path: &Path) -> Result<Worktree, CheckoutError> {
    let worktree = Worktree::open(git, path)?;
    if worktree.toplevel() == path && worktree.common_dir() == from.common_dir() {
        Ok(worktree)
    } else {
        Err(CheckoutError::OtherRepository { path: path.to_owned(), found: worktree.common_dir().to_owned() })
    }
}

/// What would be lost with a worktree: changes and files that no commit has, commits that no reference has, repositories
/// in it, and what is under way. `kept` is what the store has of the task's artifacts.
///
/// # Errors
/// [`CheckoutError`] where it cannot be told.
pub fn unsaved(
    git: &Git<'_>,
    worktree: &Worktree,
    kept: &dyn Fn(&RelPath, &Digest) -> bool,
) -> Result<Vec<String>, CheckoutError> {
    let mut lost = Vec::new();
    for (file, what) in UNDER_WAY {
        if worktree.git_dir().join(file).symlink_metadata().is_ok() {
            lost.push(format!("{what} that is under way"));
        }
    }
    lost.dedup();
    let tree = Snapshot::take(git, worktree, &Less::default(), None)?;
    for (path, content) in tree.differences() {
        let named = std::str::from_utf8(&path).ok().and_then(|text| RelPath::new(text).ok());
        if named.zip(content).is_some_and(|(path, content)| kept(&path, &content)) {
            continue;
        }
        lost.push(format!("`{}`", escape(&path)));
    }
    let nested = listing::list(git, worktree)?.nested;
    lost.extend(nested.iter().map(|folder| format!("the repository in `{}`", escape(folder))));
    let head = worktree.read_head(git)?;
    if head.branch.is_none() {
        let args = ["for-each-ref", "--count=1", "--contains", head.commit.as_str()].map(OsStr::new);
        let known = git.must("find who has HEAD", worktree.toplevel(), &worktree.place(), &args)?;
        if known.is_empty() {
            lost.push(format!("commit {}, which no branch or tag has", head.commit.short()));
        }
    }
    Ok(lost)
}

/// Removes a worktree with all that is in it. Its branch stays.
///
/// # Errors
/// [`GitError`] where git cannot.
pub fn remove(git: &Git<'_>, from: &Worktree, path: &Path) -> Result<(), GitError> {
    forget(git, from, path)
}

fn forget(git: &Git<'_>, from: &Worktree, path: &Path) -> Result<(), GitError> {
    let what = "remove a worktree";
    let _alone = alone(what, from)?;
    // From the shared folder: the worktree that is asked from may be the very one.
    let place = Place::Exactly { git_dir: from.common_dir(), toplevel: from.toplevel() };
    let words = ["worktree", "remove", "--force", "--force", "--"].map(OsStr::new);
    let words: Vec<&OsStr> = words.into_iter().chain([path.as_os_str()]).collect();
    done(what, &git.ask(what, from.common_dir(), &place, &words)?)
}

fn lock(git: &Git<'_>, from: &Worktree, known: &Listed, reason: &str) -> Result<(), GitError> {
    if known.locked.is_some() {
        return Ok(());
    }
    let what = "lock the worktree";
    let _alone = alone(what, from)?;
    let words = ["worktree", "lock", "--reason", reason, "--"].map(OsStr::new);
    let words: Vec<&OsStr> = words.into_iter().chain([known.path.as_os_str()]).collect();
    done(what, &git.ask(what, from.toplevel(), &from.place(), &words)?)
}

/// The commit that a person names: a branch, a tag, a remote's branch, or a commit, in this order.
fn resolve(git: &Git<'_>, from: &Worktree, wanted: &str) -> Result<CommitId, CheckoutError> {
    let hex = wanted.len() >= 7 && wanted.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if let Ok(name) = BranchName::new(wanted) {
        for head in ["refs/heads/", "refs/tags/", "refs/remotes/"] {
            if let Some(commit) = commit_of(git, from, &format!("{head}{name}"))? {
                return Ok(commit);
            }
        }
    }
    let commit = if hex { commit_of(git, from, wanted)? } else { None };
    commit.ok_or_else(|| CheckoutError::BaseUnknown { wanted: escape(wanted.as_bytes()).chars().take(80).collect() })
}

/// The commit of a whole reference or of hex digits; `None` where there is none.
fn commit_of(git: &Git<'_>, from: &Worktree, name: &str) -> Result<Option<CommitId>, GitError> {
    let what = "find a commit";
    let wanted = format!("{name}^{{commit}}");
    let words = ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted].map(OsStr::new);
    let answer = git.ask(what, from.toplevel(), &from.place(), &words)?;
    if answer.code != 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(answer.stdout.trim_ascii_end()).into_owned();
    CommitId::new(&text).map(Some).map_err(|_| GitError::Garbled { what })
}

/// What sets every filter that the configuration names to nothing, whatever the name has in it.
fn no_filters(git: &Git<'_>, from: &Worktree) -> Result<Vec<(OsString, OsString)>, GitError> {
    let what = "list the filters";
    let words = ["config", "--null", "--name-only", "--get-regexp", r"^filter\."].map(OsStr::new);
    let answer = git.ask(what, from.toplevel(), &from.place(), &words)?;
    if !matches!(answer.code, 0 | 1) {
        return Err(refused(what, &answer));
    }
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let mut drivers: Vec<&str> =
        text.split('\0').filter_map(|key| key.rsplit_once('.').map(|(name, _)| name)).collect();
    drivers.sort_unstable();
    drivers.dedup();
    let mut env = Vec::new();
    let parts = [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")];
    let pairs = drivers.iter().flat_map(|driver| parts.map(|(part, value)| (format!("{driver}.{part}"), value)));
    let mut count = 0_usize;
    for (key, value) in pairs {
        env.push((format!("GIT_CONFIG_KEY_{count}").into(), key.into()));
        env.push((format!("GIT_CONFIG_VALUE_{count}").into(), value.into()));
        count += 1;
    }
    env.push(("GIT_CONFIG_COUNT".into(), count.to_string().into()));
    Ok(env)
}

fn done(what: &'static str, answer: &GitAnswer) -> Result<(), GitError> {
    if answer.code == 0 { Ok(()) } else { Err(refused(what, answer)) }
}

/// A path with the links of the part of it that is there resolved.
fn settled(path: &Path) -> io::Result<PathBuf> {
    let dots = |part: std::path::Component<'_>| part == std::path::Component::ParentDir;
    for known in path.ancestors() {
        let Ok(real) = std::fs::canonicalize(known) else { continue };
        let rest = path.strip_prefix(known).map_err(|_| io::ErrorKind::InvalidInput)?;
        if rest.components().any(dots) {
            break;
        }
        return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it has `..` behind a folder that is not there"))
}
