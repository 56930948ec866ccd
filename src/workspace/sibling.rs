//! Sibling worktrees of control runs: made beside a task's worktree, under conditions that are like its own, and removed.
//!
//! What git ignores there and no cache is (`.env`, `node_modules`) is carried over by copying, and empty folders, which git
//! does not know. What cannot be made alike is said, and then nothing is run: a control under other conditions would blame
//! the wrong one.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::checkout::{CheckoutError, Start, add, open, remove};
use super::git::{Git, GitError, Place};
use super::logs::escape;
use super::tree::{Less, Snapshot};
use super::worktree::{CommitId, Worktree};
use crate::domain::checkout::BranchName;

/// Most files that are carried over.
pub const CARRIED_FILES_MAX: usize = 50_000;
/// Most bytes that are carried over: 1 GiB.
pub const CARRIED_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest carried file that is searched for the worktree's path; what is longer is data.
const SEARCHED_BYTES_MAX: u64 = 1024 * 1024;
/// Deepest carried folder.
const DEPTH_MAX: usize = 64;
/// Folders that a tool makes anew where they are missing. Those that keep <https://bford.info/cachedir/> say so themselves.
const CACHES: [&str; 4] = ["__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"];
/// The file by which a cache says that it is one.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Most entries of a worktree that are looked at for what git does not list.
const ENTRIES_MAX: usize = 1_000_000;

/// Files that are ignored by git and belong to the conditions of a run, found and fit to be copied.
#[derive(Debug, Default)]
pub struct Carried {
    /// Below the worktree.
    files: Vec<(PathBuf, What)>,
    bytes: u64,
    caches: Caches,
    /// Whether a cache that says so itself was left out.
    left_out: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    File,
    Link(PathBuf),
    /// One with nothing in it.
    Folder,
}

/// What becomes of folders with a [`CACHE_TAG`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caches {
    /// They are left out, as a broken one may be what is at fault.
    #[default]
    LeftOut,
    /// They are copied as they are, as something may need what is in them.
    Copied,
}

/// Why conditions cannot be made equal.
#[derive(Debug)]
pub enum Unequal {
    /// This, in one line.
    Because(String),
    /// git could not say.
    Git(GitError),
}

impl From<GitError> for Unequal {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

fn because<T>(why: String) -> Result<T, Unequal> {
    Err(Unequal::Because(why))
}

/// Finds what has to be carried over, and refuses what cannot be.
///
/// # Errors
/// [`Unequal`] with the file and the reason.
pub fn carried(git: &Git<'_>, of: &Worktree, less: &Less, caches: Caches) -> Result<Carried, Unequal> {
    let what = "list what the worktree ignores";
    let args = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"].map(OsStr::new);
    let answer = git.must(what, of.toplevel(), &of.place(), &args)?;
    let mut found = Carried { caches, ..Carried::default() };
    let mut ignored = HashSet::new();
    for path in answer.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        ignored.insert(path);
        if !less.covers(path) {
            found.take(of.toplevel(), Path::new(OsStr::from_bytes(path)), less, 0)?;
        }
    }
    let mut looked_at = 0;
    found.look_for_unlisted(of.toplevel(), Path::new(""), (less, &ignored), (&mut looked_at, 0))?;
    found.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

impl Carried {
    /// How many files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Whether a cache that says so itself was left out: what is run without it does not have all that the worktree has.
    pub const fn leaves_out(&self) -> bool {
        self.left_out
    }

    /// Walks through what git does not ignore for what it does not list: empty folders are made alike; a FIFO, a socket, a
    /// device or a repository of its own (a submodule that is checked out) cannot be.
    fn look_for_unlisted(
        &mut self,
        top: &Path,
        folder: &Path,
        (less, ignored): (&Less, &HashSet<&[u8]>),
        (looked_at, depth): (&mut usize, usize),
    ) -> Result<(), Unequal> {
        let shown = |path: &Path| escape(path.as_os_str().as_bytes());
        let unreadable =
            |error: io::Error| Unequal::Because(format!("`{}` cannot be looked at: {error}", shown(folder)));
        let mut is_empty = true;
        for entry in std::fs::read_dir(top.join(folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            is_empty = false;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type().map_err(unreadable)?);
            *looked_at += 1;
            if *looked_at > ENTRIES_MAX || depth >= DEPTH_MAX {
                return because(format!(
                    "the worktree has more than {ENTRIES_MAX} entries, or more than {DEPTH_MAX} folders in one another"
                ));
            }
            if entry.file_name() == ".git" {
                if depth == 0 {
                    continue;
                }
                return because(format!(
                    "`{}` is a repository of its own (a submodule?), which is not made in a sibling",
                    shown(folder)
                ));
            }
            let bytes = path.as_os_str().as_bytes();
            if ignored.contains(bytes) || less.covers(bytes) {
                continue;
            }
            if kind.is_dir() {
                self.look_for_unlisted(top, &path, (less, ignored), (looked_at, depth + 1))?;
            } else if !kind.is_file() && !kind.is_symlink() {
                return because(format!("`{}` is neither a file, a folder nor a link", shown(&path)));
            }
        }
        if is_empty && depth > 0 {
            self.files.push((folder.to_owned(), What::Folder));
        }
        Ok(())
    }

    fn take(&mut self, top: &Path, path: &Path, less: &Less, depth: usize) -> Result<(), Unequal> {
        let shown = || escape(path.as_os_str().as_bytes());
        if less.covers(path.as_os_str().as_bytes()) {
            return Ok(());
        }
        let whole = top.join(path);
        let unreadable = |error: io::Error| Unequal::Because(format!("`{}` cannot be carried over: {error}", shown()));
        let facts = whole.symlink_metadata().map_err(unreadable)?;
        if facts.is_dir() {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if CACHES.contains(&name) {
                return Ok(());
            }
            let tagged = whole.join(CACHE_TAG).symlink_metadata().is_ok_and(|tag| tag.is_file());
            if tagged && self.caches == Caches::LeftOut {
                self.left_out = true;
                return Ok(());
            }
            if depth >= DEPTH_MAX {
                return because(format!("the ignored folder `{}` is too deep to be carried over", shown()));
            }
            let mut is_empty = true;
            for entry in std::fs::read_dir(&whole).map_err(unreadable)? {
                is_empty = false;
                self.take(top, &path.join(entry.map_err(unreadable)?.file_name()), less, depth + 1)?;
            }
            if is_empty {
                self.files.push((path.to_owned(), What::Folder));
            }
            return Ok(());
        }
        let what = if facts.is_symlink() {
            let target = std::fs::read_link(&whole).map_err(unreadable)?;
            if target.starts_with(top) && self.caches == Caches::LeftOut {
                return because(format!("the ignored link `{}` leads into the worktree by its absolute path", shown()));
            }
            What::Link(target)
        } else if facts.is_file() {
            self.bytes = self.bytes.saturating_add(facts.len());
            // Compilers write absolute paths into their caches. Where those are copied they may lead back: it is the change that
            // they lead to.
            if self.caches == Caches::LeftOut && names_it(&whole, facts.len(), top).map_err(unreadable)? {
                return because(format!("the ignored file `{}` has the worktree's absolute path in it", shown()));
            }
            What::File
        } else {
            return because(format!("the ignored `{}` is neither a file, a folder nor a link", shown()));
        };
        self.files.push((path.to_owned(), what));
        if self.files.len() > CARRIED_FILES_MAX || self.bytes > CARRIED_BYTES_MAX {
            if self.caches == Caches::Copied {
                return because(format!(
                    "the change fails without the caches that a {CACHE_TAG} names, and they are more than is copied to try it \
                     with them ({CARRIED_FILES_MAX} files, {CARRIED_BYTES_MAX} bytes with what else git ignores)"
                ));
            }
            return because(format!(
                "git ignores more files than are carried over ({CARRIED_FILES_MAX} files, {CARRIED_BYTES_MAX} bytes); \
                 a cache may say that it is one with a {CACHE_TAG}"
            ));
        }
        Ok(())
    }

    /// Copies all of it.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        for (path, what) in &self.files {
            let (source, target) = (from.join(path), to.join(path));
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder)?;
            }
            match what {
                What::Folder => std::fs::create_dir_all(&target)?,
                What::Link(goal) => std::os::unix::fs::symlink(goal, &target)?,
                What::File => {
                    std::fs::copy(&source, &target)?;
                    let times = FileTimes::new().set_modified(source.metadata()?.modified()?);
                    // A file without a right to be written was copied with its mode.
                    File::open(&target)?.set_times(times)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a file has the worktree's path in it.
fn names_it(file: &Path, bytes: u64, top: &Path) -> io::Result<bool> {
    if bytes > SEARCHED_BYTES_MAX {
        return Ok(false);
    }
    let mut text = Vec::new();
    File::open(file)?.take(SEARCHED_BYTES_MAX).read_to_end(&mut text)?;
    Ok(memchr::memmem::find(&text, top.as_os_str().as_bytes()).is_some())
}

/// What a worktree has that its commit has not: the part of the change that is not committed.
///
/// # Errors
/// [`Unequal`] for more than is copied, and for what cannot be.
pub fn uncommitted(of: &Worktree, tree: &Snapshot) -> Result<Vec<PathBuf>, Unequal> {
    let paths: Vec<PathBuf> =
        tree.differences().into_iter().map(|(path, _)| PathBuf::from(OsStr::from_bytes(&path))).collect();
    if paths.len() > CARRIED_FILES_MAX {
        return because(format!("more than {CARRIED_FILES_MAX} files differ from the commit"));
    }
    let plain = |path: &PathBuf| {
        let found = of.toplevel().join(path).symlink_metadata();
        found
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |found| found.is_file() || found.is_symlink())
    };
    match paths.iter().find(|path| !plain(path)) {
        Some(odd) => {
            let odd = escape(odd.as_os_str().as_bytes());
            because(format!("`{odd}` differs from the commit and is neither a file nor a link"))
        }
        None => Ok(paths),
    }
}

/// Brings into a sibling what is not committed.
///
/// # Errors
/// What the file system says.
pub fn change_over(of: &Worktree, sibling: &Worktree, uncommitted: &[PathBuf]) -> io::Result<()> {
    for path in uncommitted {
        let (source, target) = (of.toplevel().join(path), sibling.toplevel().join(path));
        match std::fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let Ok(facts) = source.symlink_metadata() else { continue };
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if facts.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Where the sibling of a worktree stands: in the same folder, so that what lies around it is the same.
pub fn place(of: &Worktree) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(of.toplevel().file_name()?);
    name.push(".orch-control");
    Some(of.toplevel().parent()?.join(name))
}

/// The branch that a sibling is on where its worktree is on one.
pub fn branch(id: &str) -> Option<BranchName> {
    BranchName::new(format!("orch-control/{id}")).ok()
}

/// Makes a sibling at a commit: on a branch where the worktree is on one, detached where it is.
///
/// # Errors
/// [`CheckoutError`]; what was begun is to be taken away with [`clear`].
pub fn make(
    git: &Git<'_>,
    of: &Worktree,
    path: &Path,
    commit: &CommitId,
    on: Option<&BranchName>,
    carried: &Carried,
) -> Result<Worktree, CheckoutError> {
    let start = match on {
        Some(branch) => Start::NewBranch(branch, commit.clone()),
        None => Start::Detached(commit),
    };
    add(git, of, path, &start)?;
    let sibling = open(git, of, path)?;
    let io = |source| CheckoutError::Io { path: path.to_owned(), source };
    carried.copy(of.toplevel(), path).map_err(io)?;
    Ok(sibling)
}

/// Removes a folder with all that is in it, also where a tool left folders in it that may not be written.
fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path)?;
            std::fs::remove_dir_all(path)
        }
        done => done,
    }
}

/// Lets this user into every folder below one, and write there. Links are not followed.
fn make_writable(folder: &Path) -> io::Result<()> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Takes a sibling away with its branch, however far it was made. Nothing to take away is no error.
///
/// # Errors
/// [`GitError`], or what keeps the folder.
pub fn clear(git: &Git<'_>, of: &Worktree, path: &Path, on: Option<&BranchName>) -> Result<(), CheckoutError> {
    let known = super::checkout::list(git, of)?.iter().any(|known| known.path == path);
    // The folder first: git does not remove a worktree whose `.git` is gone or leads elsewhere, and forgets one that is gone.
    remove_all(path).map_err(|source| CheckoutError::Io { path: path.to_owned(), source })?;
    if known {
        remove(git, of, path)?;
    }
    if let Some(branch) = on {
        let place = Place::Exactly { git_dir: of.common_dir(), toplevel: of.toplevel() };
        let reference = branch.reference();
        let words = ["update-ref", "-d", "--", &reference].map(OsStr::new);
        git.must("remove the branch of a control run", of.common_dir(), &place, &words)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_opened_up_and_links_are_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (inside, outside) = (scratch.path().join("in/a/b"), scratch.path().join("out"));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        for path in [&inside, &inside.parent().unwrap().to_owned(), &outside] {
            std::fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
        }
        make_writable(&scratch.path().join("in")).unwrap();
        assert_eq!((mode(&inside), mode(inside.parent().unwrap()), mode(&outside)), (0o700, 0o700, 0o555));
        remove_all(&scratch.path().join("in")).unwrap();
        remove_all(&scratch.path().join("in")).unwrap();
        assert!(outside.is_dir() && !scratch.path().join("in").exists());
    }
}
