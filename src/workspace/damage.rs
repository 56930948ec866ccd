//! What is broken of a worktree's git, and how it is mended: told when a tree cannot be looked at any more that could be
//! before. Shortages of the machine are not among it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::git::{GitError, is_short};
use super::tree::TreeError;
use super::worktree::{Worktree, pointer};

/// Says what of a worktree is broken, and the command that mends it; `None` where the machine or git itself is at fault.
/// The worktree is as it was opened, before it broke.
pub fn damage(worktree: &Worktree, error: &TreeError) -> Option<String> {
    let top = worktree.toplevel().display();
    match error {
        TreeError::Git(error) => of_git(worktree, error),
        TreeError::Nested { path, source } => is_damage(source).then(|| {
            format!(
                "the repository in `{path}` cannot be read ({source}): put its `.git` back, or move it out of {top}"
            )
        }),
        TreeError::TooNested { path } => {
            Some(format!("too many repositories lie in each other at `{path}`: move them out of {top}"))
        }
        TreeError::Unreadable { path, source } => (!is_short(source)).then(|| {
            format!("`{path}` cannot be read ({source}): give it back its owner and its mode, or take it out of {top}")
        }),
    }
}

/// The same for a commit that cannot be read any more.
pub fn of_commit(worktree: &Worktree, commit: &str, error: &GitError) -> Option<String> {
    is_damage(error).then(|| {
        format!(
            "commit {commit:.12} of HEAD cannot be read any more ({error}): objects are missing in {}; bring them back from a \
             clone or a remote (`git fetch`), and `git fsck` says what is still missing",
            worktree.common_dir().display()
        )
    })
}

fn of_git(worktree: &Worktree, error: &GitError) -> Option<String> {
    if !is_damage(error) {
        return None;
    }
    let (top, own) = (worktree.toplevel().display(), worktree.git_dir().display());
    let linked = worktree.git_dir() != worktree.common_dir();
    let entry = worktree.toplevel().join(".git");
    let kind = entry.symlink_metadata().ok();
    Some(if !worktree.toplevel().is_dir() {
        format!("the worktree {top} is gone: put it back where it was")
    } else if linked && kind.as_ref().is_some_and(std::fs::Metadata::is_dir) {
        format!("{top}/.git was replaced by a folder: move that away, then {}", repair(worktree))
    } else if linked && !leads_home(worktree) {
        format!("{top}/.git does not lead to its repository any more: {}", repair(worktree))
    } else if kind.is_none() {
        format!("{top}/.git is gone, and with it the repository: put it back from a copy or a clone")
    } else if linked && !worktree.leads_to_common_dir() {
        format!("{own}/commondir is not what it was: `echo ../.. > {own}/commondir` mends it")
    } else if let (GitError::Replaced { what, .. }, false) = (error, linked)
        && *what != "its index"
    {
        format!(
            "{what} was replaced in {top}: put back what was there; where the new one is meant, the hold's release takes it"
        )
    } else if !has_head(worktree.git_dir()) {
        match worktree.head().branch.as_deref() {
            Some(branch) => format!(
                "{own}/HEAD is broken: `echo 'ref: refs/heads/{branch}' > {own}/HEAD` mends it, then `git -C {top} reset`"
            ),
            None => format!("{own}/HEAD is broken: write the commit into it that was checked out"),
        }
    } else if let GitError::Unborn(_) = error {
        let commit = worktree.head().commit.as_str();
        format!(
            "HEAD of {top} names a branch without a commit: `git -C {top} checkout BRANCH` mends it; it stood at {commit:.12}"
        )
    } else if let Some(said) = of_index(error) {
        format!(
            "{own}/index cannot be read ({said}): move it away, then `git -C {top} reset` mends it; no file is changed"
        )
    } else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("the repository of {top} cannot be read (could not {error}{cause}): `git -C {top} fsck` says more")
    })
}

/// What is wrong with the index, where that is what git has trouble with.
fn of_index(error: &GitError) -> Option<&str> {
    if let GitError::Failed { said, .. } = error {
        said.contains("index").then_some(said)
    } else {
        matches!(error, GitError::Replaced { what: "its index", .. }).then_some("it is no file")
    }
}

fn repair(worktree: &Worktree) -> String {
    let common = worktree.common_dir();
    format!("`git --git-dir={} worktree repair {}` mends it", common.display(), worktree.toplevel().display())
}

/// Whether the worktree's `.git` file still names its own git folder.
fn leads_home(worktree: &Worktree) -> bool {
    let text = pointer(&worktree.toplevel().join(".git")).unwrap_or_default();
    let named = text.strip_prefix(b"gitdir: ").map(|named| OsStr::from_bytes(named.trim_ascii_end()));
    named.is_some_and(|named| {
        worktree.toplevel().join(named).canonicalize().is_ok_and(|real| real == worktree.git_dir())
    })
}

/// Whether a git folder has a HEAD that git takes for one.
fn has_head(git_dir: &Path) -> bool {
    let text = pointer(&git_dir.join("HEAD")).unwrap_or_default();
    let text = text.trim_ascii_end();
    text.starts_with(b"ref: refs/") || (matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit))
}

/// Whether an answer of git, or none, tells of a repository that is broken.
pub fn is_damage(error: &GitError) -> bool {
    match error {
        GitError::Missing
        | GitError::Run { .. }
        | GitError::DubiousOwnership(_)
        | GitError::NoSuchFolder(_)
        | GitError::NotAFolder(_)
        | GitError::InGitFolder(_) => false,
        GitError::NotAWorktree(_)
        | GitError::Bare(_)
        | GitError::Unborn(_)
        | GitError::UnusablePath(_)
        | GitError::Redirected { .. }
        | GitError::Copied { .. }
        | GitError::Replaced { .. }
        | GitError::Unreadable { .. }
        | GitError::Failed { .. }
        | GitError::Garbled { .. } => !error.is_of_the_machine(),
    }
}
