//! Opening a worktree, and not being led astray by what an agent put there.

use std::os::unix::fs::symlink;

use orch::workspace::git::{Git, GitError};
use orch::workspace::worktree::{Base, BaseFrom, Worktree};

use crate::support::{Repo, env, git, git_in, run_git};

fn base_of(worktree: &Worktree, git: &Git<'_>) -> Result<Base, GitError> {
    worktree.base(git, worktree.head())
}

fn open_error(path: &std::path::Path) -> GitError {
    Worktree::open(&git(path), path).expect_err("it must be refused")
}

#[test]
fn a_main_worktree_and_a_linked_one() {
    let repo = Repo::new();
    let main = repo.open();
    let commit = repo.git("rev-parse HEAD");
    assert_eq!(main.toplevel(), repo.path);
    assert_eq!(main.head().commit.as_str(), commit);
    assert_eq!(main.head().branch.as_deref(), Some("main"));
    assert_eq!(main.folder_name(), "shop");

    repo.git("worktree add -q ../linked -b feature/x");
    let linked_path = repo.path.parent().unwrap().join("linked");
    std::fs::create_dir(linked_path.join("sub")).unwrap();
    let linked = Worktree::open(&git(&linked_path), &linked_path.join("sub")).unwrap();
    assert_eq!(linked.toplevel(), linked_path);
    assert_eq!(linked.common_dir(), main.common_dir());
    assert_ne!(linked.git_dir(), main.git_dir());
    assert_eq!(linked.head().branch.as_deref(), Some("feature/x"));
    git_in(&linked_path, &["checkout", "-q", "--detach"]);
    assert_eq!(linked.read_head(&git(&linked_path)).unwrap().branch, None);
}

#[test]
fn places_that_cannot_be_worked_in() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(matches!(open_error(scratch.path()), GitError::NotAWorktree(_)));
    assert!(matches!(open_error(&Repo::empty().path), GitError::Unborn(_)));
    let repo = Repo::new();
    assert!(matches!(open_error(&repo.path.join(".git")), GitError::InGitFolder(_)));
    git_in(scratch.path(), &["init", "-q", "--bare", "bare.git"]);
    assert!(matches!(open_error(&scratch.path().join("bare.git")), GitError::Bare(_)));
    let missing = Git::find(&run_git, &|_| None, &repo.path).expect_err("no PATH");
    assert!(matches!(missing, GitError::Missing));
    repo.git("config core.worktree /tmp");
    assert!(matches!(open_error(&repo.path), GitError::Redirected { .. } | GitError::NotAWorktree(_)));
}

#[test]
fn another_users_repository_is_not_trusted() {
    let repo = Repo::new();
    // Only root can give a folder away; others see the same refusal on a folder that was given to them.
    if std::os::unix::fs::chown(repo.path.join(".git"), Some(12345), None).is_ok() {
        let owner = Some(12345);
        std::os::unix::fs::chown(&repo.path, owner, None).unwrap();
        let error = open_error(&repo.path);
        assert!(matches!(error, GitError::DubiousOwnership(_)), "{error}");
        assert!(error.help().contains("safe.directory"));
    }
}

#[test]
fn git_is_not_taken_from_the_worktree() {
    let repo = Repo::new();
    repo.write("bin/git", "#!/bin/sh\ntouch pwned\n");
    repo.git("update-index --add bin/git");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(repo.path.join("bin/git"), mode).unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(repo.path.join("bin/git"), outside.path().join("git")).unwrap();
    let real = std::env::var("PATH").unwrap();
    let search = format!(".::bin:{}:{}:{real}", repo.path.join("bin").display(), outside.path().display());
    let env = |name: &str| if name == "PATH" { Some(search.clone().into()) } else { env(name) };
    let git = Git::find(&run_git, &env, &repo.path).unwrap();
    assert!(!git.program().starts_with(&repo.path) && !git.program().starts_with(outside.path()));
    Worktree::open(&git, &repo.path).unwrap();
    assert!(!repo.path.join("pwned").exists());
}

#[test]
fn a_replaced_git_entry_is_refused() {
    let repo = Repo::new();
    repo.git("worktree add -q ../linked -b x");
    let linked_path = repo.path.parent().unwrap().join("linked");
    let linked = Worktree::open(&git(&linked_path), &linked_path).unwrap();
    let recorded = serde_json::to_string(linked.identity()).unwrap();
    linked.check().unwrap();

    let evil = Repo::new();
    let entry = linked_path.join(".git");
    let honest = std::fs::read(&entry).unwrap();
    std::fs::write(&entry, format!("gitdir: {}\n", evil.path.join(".git").display())).unwrap();
    let error = linked.check().expect_err("its content is another");
    assert!(matches!(error, GitError::Replaced { what: "its .git", .. }), "{error}");
    assert!(matches!(linked.read_head(&git(&linked_path)), Err(GitError::Replaced { .. })));

    std::fs::write(&entry, &honest).unwrap();
    linked.check().unwrap();
    let commondir = linked.git_dir().join("commondir");
    std::fs::write(&commondir, evil.path.join(".git").to_str().unwrap()).unwrap();
    assert!(matches!(linked.check(), Err(GitError::Replaced { what: "its commondir", .. })));
    std::fs::write(&commondir, "../..\n").unwrap();
    let again = Worktree::open(&git(&linked_path), &linked_path).unwrap();
    again.check_is(&serde_json::from_str(&recorded).unwrap()).unwrap();

    let main = repo.open();
    std::fs::rename(repo.path.join(".git"), repo.path.join("old")).unwrap();
    std::fs::rename(evil.path.join(".git"), repo.path.join(".git")).unwrap();
    assert!(matches!(main.check(), Err(GitError::Replaced { .. })));
}

#[test]
fn the_base_commit_is_known_or_said_to_be_unknown() {
    let repo = Repo::new();
    let first = repo.git("rev-parse HEAD");
    repo.git("checkout -q -b feature");
    repo.write("a", "changed\n");
    repo.git("commit -qam second");
    let git = git(&repo.path);
    let base = base_of(&repo.open(), &git).unwrap();
    assert_eq!((base.commit.as_str(), base.from), (first.as_str(), BaseFrom::DefaultBranch("refs/heads/main")));

    repo.git("update-ref refs/remotes/origin/trunk HEAD");
    repo.git("symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/trunk");
    let base = base_of(&repo.open(), &git).unwrap();
    let head = repo.git("rev-parse HEAD");
    assert_eq!((base.commit.as_str(), base.from), (head.as_str(), BaseFrom::DefaultBranch("refs/remotes/origin/HEAD")));

    repo.git("symbolic-ref -d refs/remotes/origin/HEAD");
    repo.git("branch -q -D main");
    assert_eq!(base_of(&repo.open(), &git).unwrap().from, BaseFrom::NoDefaultBranch);

    repo.git("checkout -q --orphan main");
    repo.git("commit -qm other");
    repo.git("checkout -q feature");
    let base = base_of(&repo.open(), &git).unwrap();
    assert_eq!((base.commit.as_str(), base.from), (head.as_str(), BaseFrom::Unrelated("refs/heads/main")));
}

#[test]
fn a_hostile_branch_name_is_only_a_name() {
    let repo = Repo::new();
    for name in ["--upload-pack=touch pwned", "-x", "@{-1}", "$(touch pwned)"] {
        let reference = format!("ref: refs/heads/{name}\n");
        let commit = repo.git("rev-parse main");
        std::fs::write(repo.path.join(".git/refs/heads").join(name), format!("{commit}\n")).unwrap();
        std::fs::write(repo.path.join(".git/HEAD"), reference).unwrap();
        // git may refuse such a name; it never becomes an option.
        if let Ok(worktree) = Worktree::open(&git(&repo.path), &repo.path) {
            base_of(&worktree, &git(&repo.path)).unwrap();
        }
        assert!(!repo.path.join("pwned").exists());
        std::fs::write(repo.path.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::remove_file(repo.path.join(".git/refs/heads").join(name)).unwrap();
    }
}
