//! A task's checkout: where it is, which commit it stands at, and whether it is still the one that was opened.

use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::git::{Git, GitError, Place, enclosing, refused};
use super::root::Root;
use crate::domain::id::{Digest, RelPath};

/// References that may name the default branch, the best first.
const DEFAULT_BRANCHES: [&str; 5] = [
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
];

/// Longest `.git` or `commondir` file; both hold one path.
const POINTER_BYTES_MAX: u64 = 16 * 1024;

/// Name of a commit: 40 or 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// A text that is not a commit's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a commit: 40 or 64 lower-case hex digits")]
pub struct CommitIdError(String);

impl CommitId {
    /// Takes 40 or 64 hex digits.
    ///
    /// # Errors
    /// [`CommitIdError`] with the text, cut.
    pub fn new(text: &str) -> Result<Self, CommitIdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if matches!(text.len(), 40 | 64) && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CommitIdError(text.chars().take(80).collect()))
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people and for `detached-<12 hex>`.
    pub fn short(&self) -> String {
        self.0.chars().take(12).collect()
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CommitId {
    type Error = CommitIdError;
    fn try_from(text: String) -> Result<Self, CommitIdError> {
        Self::new(&text)
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

/// Where the worktree stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: CommitId,
    /// The branch without `refs/heads/`; `None` when detached. Bytes that are not UTF-8 are replaced. For names
    /// and people only: it never goes back to git.
    pub branch: Option<String>,
}

/// The commit that a task's change starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The commit.
    pub commit: CommitId,
    /// How it is known.
    pub from: BaseFrom,
}

/// How a base commit is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseFrom {
    /// It is the merge base of HEAD and this reference.
    DefaultBranch(&'static str),
    /// There is no default branch to be seen; it is HEAD itself.
    NoDefaultBranch,
    /// HEAD has no ancestor in common with this reference (a shallow clone, or another history); it is HEAD itself.
    Unrelated(&'static str),
}

/// What a worktree's way to its repository is made of; another one is refused, so that an agent cannot lead
/// orch to a repository of its own making.
///
/// Device numbers are left out: they may change when the machine starts anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Identity {
    /// Inode of the worktree's folder.
    toplevel_inode: u64,
    /// Inode of its `.git` entry.
    entry_inode: u64,
    /// Hash of the `.git` file or link; `None` for a folder.
    entry_digest: Option<Digest>,
    /// The worktree's own git folder and its inode.
    git_dir: (PathBuf, u64),
    /// Hash of the `commondir` file in it; `None` where there is none.
    commondir_digest: Option<Digest>,
    /// The shared git folder and its inode.
    common_dir: (PathBuf, u64),
}

/// A git worktree, held open.
#[derive(Debug)]
pub struct Worktree {
    root: Root,
    toplevel: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    head: Head,
    identity: Identity,
}

impl Worktree {
    /// Opens the worktree that a path lies in.
    ///
    /// # Errors
    /// Every way in which a place cannot be worked in has its own [`GitError`].
    pub fn open(git: &Git<'_>, path: &Path) -> Result<Self, GitError> {
        let what = "find the worktree";
        let cwd = std::fs::canonicalize(path).map_err(|error| {
            let gone = error.kind() == std::io::ErrorKind::NotFound;
            if gone { GitError::NoSuchFolder(path.to_owned()) } else { GitError::UnusablePath(path.to_owned()) }
        })?;
        if !cwd.is_dir() {
            return Err(GitError::NotAFolder(cwd));
        }
        let expected = enclosing(&cwd);
        // Before git is asked: after a day git makes a copy the original of its own accord.
        if let Some(toplevel) = &expected {
            not_a_copy(toplevel)?;
        }
        let args =
            ["rev-parse", "--is-bare-repository", "--is-inside-work-tree", "--path-format=absolute", "--git-dir"];
        let more = ["--git-common-dir", "--show-toplevel", "HEAD", "--symbolic-full-name", "HEAD"];
        let words: Vec<&OsStr> = args.iter().chain(&more).map(OsStr::new).collect();
        let answer = git.ask(what, &cwd, &Place::Discover, &words)?;
        if answer.code != 0 {
            let said = String::from_utf8_lossy(&answer.stderr);
            let bare = answer.stdout.starts_with(b"true\n") || said.contains("cannot use bare repository");
            return Err(if said.contains("dubious ownership") {
                GitError::DubiousOwnership(cwd)
            } else if said.contains("must be run in a work tree") || (bare && cwd.iter().any(|part| part == ".git")) {
                // Some versions of git call the `.git` of a checkout a bare repository.
                GitError::InGitFolder(cwd)
            } else if bare {
                GitError::Bare(cwd)
            } else if said.contains("not a git repository") {
                GitError::NotAWorktree(cwd)
            } else if is_unborn(&said) {
                GitError::Unborn(cwd)
            } else {
                refused(what, &answer)
            });
        }
        let Some(toplevel) = expected else { return Err(GitError::NotAWorktree(cwd)) };
        let lines: Vec<&[u8]> = answer.stdout.split(|b| *b == b'\n').collect();
        let [_, _, git_dir, common_dir, found, commit, reference, []] = lines.as_slice() else {
            return Err(GitError::UnusablePath(toplevel));
        };
        let [git_dir, common_dir, found] =
            [git_dir, common_dir, found].map(|line| PathBuf::from(OsStr::from_bytes(line)));
        if found != toplevel {
            return Err(GitError::Redirected { expected: toplevel, found });
        }
        let unusable = |_| GitError::UnusablePath(toplevel.clone());
        let git_dir = std::fs::canonicalize(git_dir).map_err(unusable)?;
        let common_dir = std::fs::canonicalize(common_dir).map_err(unusable)?;
        let root = Root::open(&toplevel).map_err(unusable)?;
        let identity = Identity::read(&toplevel, &git_dir, &common_dir)?;
        let head = Head { commit: commit_in(what, commit)?, branch: branch_in(reference) };
        Ok(Self { root, toplevel, git_dir, common_dir, head, identity })
    }

    /// The worktree's folder, held open; nothing below it is followed.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The worktree's folder, absolute, links resolved.
    pub fn toplevel(&self) -> &Path {
        &self.toplevel
    }

    /// Its own git folder: `.git`, or `.git/worktrees/NAME` of the main one.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The git folder that all worktrees of the repository share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Where it stood when it was opened.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What makes it this worktree and no other.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Checks that nothing was put in the place of the worktree or of its way to the repository.
    ///
    /// # Errors
    /// [`GitError::Replaced`] with the part.
    pub fn check(&self) -> Result<(), GitError> {
        self.check_is(&self.identity)?;
        // git would wait for a FIFO for ever.
        for (name, what) in [("index", "its index"), ("HEAD", "its HEAD")] {
            let found = self.git_dir.join(name).symlink_metadata();
            if found.is_ok_and(|found| !found.is_file() && !found.is_symlink()) {
                return Err(GitError::Replaced { path: self.toplevel.clone(), what });
            }
        }
        Ok(())
    }

    /// Checks that this is the worktree of an identity recorded earlier.
    ///
    /// # Errors
    /// [`GitError::Replaced`] with the part.
    pub fn check_is(&self, recorded: &Identity) -> Result<(), GitError> {
        let found = Identity::read(&self.toplevel, &self.git_dir, &self.common_dir)?;
        match recorded.differs(&found) {
            None => Ok(()),
            Some(what) => Err(GitError::Replaced { path: self.toplevel.clone(), what }),
        }
    }

    /// Where it stands now.
    ///
    /// # Errors
    /// As [`Worktree::open`], and [`GitError::Replaced`].
    pub fn read_head(&self, git: &Git<'_>) -> Result<Head, GitError> {
        self.check()?;
        read_head(git, &self.toplevel, &self.place())
    }

    /// The commit that the change in the worktree starts from, with HEAD where it was read.
    ///
    /// # Errors
    /// [`GitError`] when git cannot answer.
    pub fn base(&self, git: &Git<'_>, head: &Head) -> Result<Base, GitError> {
        let what = "find the default branch";
        self.check()?;
        let mut args = vec![OsStr::new("for-each-ref"), OsStr::new("--format=%(refname) %(objectname)")];
        args.extend(DEFAULT_BRANCHES.map(OsStr::new));
        let known = git.must(what, &self.toplevel, &self.place(), &args)?;
        let commit_of = |reference: &str| {
            known.split(|b| *b == b'\n').find_map(|line| {
                let (name, id) = std::str::from_utf8(line).ok()?.split_once(' ')?;
                (name == reference).then(|| CommitId::new(id).ok()).flatten()
            })
        };
        let Some((reference, tip)) = DEFAULT_BRANCHES.iter().find_map(|name| Some((*name, commit_of(name)?))) else {
            return Ok(Base { commit: head.commit.clone(), from: BaseFrom::NoDefaultBranch });
        };
        if tip == head.commit {
            return Ok(Base { commit: tip, from: BaseFrom::DefaultBranch(reference) });
        }
        let what = "find the merge base";
        let args = ["merge-base", tip.as_str(), head.commit.as_str()].map(OsStr::new);
        let answer = git.ask(what, &self.toplevel, &self.place(), &args)?;
        match answer.code {
            0 => Ok(Base {
                commit: commit_in(what, answer.stdout.trim_ascii_end())?,
                from: BaseFrom::DefaultBranch(reference),
            }),
            1 => Ok(Base { commit: head.commit.clone(), from: BaseFrom::Unrelated(reference) }),
            _ => Err(refused(what, &answer)),
        }
    }

    /// Whether HEAD is a commit or descends from it; not where the repository does not have it any more.
    ///
    /// # Errors
    /// [`GitError`] when git cannot answer.
    pub fn descends_from(&self, git: &Git<'_>, commit: &str) -> Result<bool, GitError> {
        let Ok(commit) = CommitId::new(commit) else { return Ok(false) };
        let args = ["merge-base", "--is-ancestor", commit.as_str(), "HEAD"].map(OsStr::new);
        let answer = git.ask("find whether HEAD has the base", &self.toplevel, &self.place(), &args)?;
        Ok(answer.code == 0)
    }

    /// When the newest commit that HEAD has and that changed a file was made, in seconds of Unix time; `None` where none
    /// did.
    ///
    /// # Errors
    /// [`GitError`] when git cannot answer.
    pub fn last_change(&self, git: &Git<'_>, path: &RelPath) -> Result<Option<i64>, GitError> {
        let what = "find the commit that made a file";
        self.check()?;
        let path = format!(":(top,literal){path}");
        let args = ["rev-list", "--timestamp", "--max-count=1", "HEAD", "--", &path].map(OsStr::new);
        let answer = git.must(what, &self.toplevel, &self.place(), &args)?;
        let Some(word) = answer.split(|byte| *byte == b' ').next().filter(|word| !word.is_empty()) else {
            return Ok(None);
        };
        let seconds = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
        seconds.map(Some).ok_or(GitError::Garbled { what })
    }

    /// Whether a commit and its trees can be read.
    ///
    /// # Errors
    /// [`GitError`] where they cannot.
    pub fn is_whole(&self, git: &Git<'_>, commit: &str) -> Result<(), GitError> {
        super::listing::is_whole(git, self, commit)
    }

    /// The name of the folder the repository lies in: that of its common git dir, or the one above `.git`.
    pub fn folder_name(&self) -> String {
        let folder = match self.common_dir.file_name() {
            Some(name) if name == ".git" => self.common_dir.parent().unwrap_or(&self.common_dir),
            Some(_) | None => &self.common_dir,
        };
        let name = folder.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        let name = name.strip_suffix(".git").unwrap_or(&name);
        if name.is_empty() { "repository".to_owned() } else { name.to_owned() }
    }

    /// Whether the worktree's own git folder still leads to the shared one.
    pub(super) fn leads_to_common_dir(&self) -> bool {
        let read = pointer(&self.git_dir.join("commondir")).ok();
        let led = read.and_then(|text| self.git_dir.join(OsStr::from_bytes(text.trim_ascii_end())).canonicalize().ok());
        led.as_ref() == Some(&self.common_dir)
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place::Exactly { git_dir: &self.git_dir, toplevel: &self.toplevel }
    }
}

impl Identity {
    /// One hash over all of it, for a record.
    pub fn digest(&self) -> Digest {
        // A value of plain paths and numbers always has a form; without one nothing would ever be equal to it.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(toplevel: &Path, git_dir: &Path, common_dir: &Path) -> Result<Self, GitError> {
        let gone = |what| {
            move |source: std::io::Error| {
                let path = toplevel.to_owned();
                let another =
                    matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidData)
                        || Errno::from_io_error(&source) == Some(Errno::LOOP);
                // What cannot be looked at may well be the same.
                if another { GitError::Replaced { path, what } } else { GitError::Unreadable { path, what, source } }
            }
        };
        let entry = toplevel.join(".git");
        let kind = std::fs::symlink_metadata(&entry).map_err(gone("its .git"))?;
        let entry_digest = if kind.is_symlink() {
            let target = std::fs::read_link(&entry).map_err(gone("its .git"))?;
            Some(Digest::of(target.as_os_str().as_bytes()))
        } else if kind.is_dir() {
            None
        } else {
            Some(Digest::of(&pointer(&entry).map_err(gone("its .git"))?))
        };
        let commondir_digest = match pointer(&git_dir.join("commondir")) {
            Ok(text) => Some(Digest::of(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(gone("its commondir")(error)),
        };
        let inode = |path: &Path, what| std::fs::symlink_metadata(path).map(|m| m.ino()).map_err(gone(what));
        Ok(Self {
            toplevel_inode: inode(toplevel, "its folder")?,
            entry_inode: kind.ino(),
            entry_digest,
            git_dir: (git_dir.to_owned(), inode(git_dir, "its git folder")?),
            commondir_digest,
            common_dir: (common_dir.to_owned(), inode(common_dir, "the shared git folder")?),
        })
    }

    /// The first part that is another.
    fn differs(&self, found: &Self) -> Option<&'static str> {
        if self.toplevel_inode != found.toplevel_inode {
            Some("its folder")
        } else if (self.entry_inode, self.entry_digest) != (found.entry_inode, found.entry_digest) {
            Some("its .git")
        } else if self.git_dir != found.git_dir {
            Some("its git folder")
        } else if self.commondir_digest != found.commondir_digest {
            Some("its commondir")
        } else if self.common_dir != found.common_dir {
            Some("the shared git folder")
        } else {
            None
        }
    }
}

/// Refuses a folder whose `.git` file leads to a linked worktree's git folder that names another folder as its worktree.
fn not_a_copy(toplevel: &Path) -> Result<(), GitError> {
    let named = |text: Vec<u8>, from: &Path| from.join(OsStr::from_bytes(text.trim_ascii_end()));
    let Ok(text) = pointer(&toplevel.join(".git")) else { return Ok(()) };
    let Some(text) = text.strip_prefix(b"gitdir: ") else { return Ok(()) };
    let git_dir = named(text.to_vec(), toplevel);
    // Only linked worktrees have it; what is broken there is told by git.
    let (Ok(back), Ok(_)) = (pointer(&git_dir.join("gitdir")), pointer(&git_dir.join("commondir"))) else {
        return Ok(());
    };
    let entry = named(back, &git_dir);
    let original = entry.parent().unwrap_or(&entry);
    if original.canonicalize().is_ok_and(|real| real == toplevel) {
        return Ok(());
    }
    Err(GitError::Copied { path: toplevel.to_owned(), original: original.to_owned() })
}

/// Reads a file that holds one path: a regular file, bounded.
pub(super) fn pointer(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut text = Vec::new();
    file.take(POINTER_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

pub(super) fn read_head(git: &Git<'_>, toplevel: &Path, place: &Place<'_>) -> Result<Head, GitError> {
    let what = "read HEAD";
    let args = ["rev-parse", "HEAD", "--symbolic-full-name", "HEAD"].map(OsStr::new);
    let answer = git.ask(what, toplevel, place, &args)?;
    if answer.code != 0 {
        let said = String::from_utf8_lossy(&answer.stderr);
        return Err(if is_unborn(&said) { GitError::Unborn(toplevel.to_owned()) } else { refused(what, &answer) });
    }
    let mut lines = answer.stdout.split(|b| *b == b'\n');
    let commit = commit_in(what, lines.next().unwrap_or_default())?;
    Ok(Head { commit, branch: branch_in(lines.next().unwrap_or_default()) })
}

/// Whether git says that HEAD names no commit.
fn is_unborn(said: &str) -> bool {
    said.contains("unknown revision") || said.contains("bad revision")
}

fn branch_in(reference: &[u8]) -> Option<String> {
    reference.strip_prefix(b"refs/heads/").map(|name| String::from_utf8_lossy(name).into_owned())
}

fn commit_in(what: &'static str, line: &[u8]) -> Result<CommitId, GitError> {
    let text = std::str::from_utf8(line).map_err(|_| GitError::Garbled { what })?;
    CommitId::new(text).map_err(|_| GitError::Garbled { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_hex() {
        assert!(CommitId::new(&"a1".repeat(20)).is_ok());
        assert!(CommitId::new(&"a1".repeat(32)).is_ok());
        for bad in ["", "HEAD", "--upload-pack=x", &"A1".repeat(20), &"a".repeat(41)] {
            assert!(CommitId::new(bad).is_err(), "{bad}");
        }
    }
}
