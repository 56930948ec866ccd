//! Scratch repositories, and git as `exec` will run it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orch::domain::id::{AttemptId, RelPath, RunId, TaskName};
use orch::workspace::git::{Git, GitAnswer, GitCall};
use orch::workspace::state_dir::{StateDir, StateDirWish};
use orch::workspace::worktree::Worktree;

/// Starts a program of a test.
#[expect(clippy::disallowed_methods, reason = "tests prepare repositories and play git's runner")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs git as the caller asks.
pub(crate) fn run_git(call: &GitCall<'_>) -> std::io::Result<GitAnswer> {
    let (program, args) = call.argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut git = command(program);
    git.args(args).current_dir(call.cwd).env_clear().envs(call.env.iter().cloned()).stdin(Stdio::null());
    let output = git.output()?;
    let code = output.status.code().ok_or(std::io::ErrorKind::Interrupted)?;
    Ok(GitAnswer { code, stdout: output.stdout, stderr: output.stderr })
}

/// The environment orch would have, with a home of nobody.
pub(crate) fn env(name: &str) -> Option<OsString> {
    match name {
        "HOME" | "XDG_CONFIG_HOME" => Some("/nonexistent".into()),
        name => std::env::var_os(name),
    }
}

/// A repository with one commit, in a scratch folder of its own.
pub(crate) struct Repo {
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Repo {
    /// Tracked: `a`, `dir/b`, an executable `run`, a link `link`; ignored: `*.log` and `target/`.
    pub(crate) fn new() -> Self {
        let repo = Self::empty();
        repo.write("a", "a\n");
        repo.write("dir/b", "b\n");
        repo.write("run", "#!/bin/sh\n");
        repo.write(".gitignore", "*.log\ntarget/\n");
        std::os::unix::fs::symlink("a", repo.path.join("link")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(repo.path.join("run"), mode).unwrap();
        repo.git("add -A");
        repo.git("commit -qm first");
        repo
    }

    /// No commit yet.
    pub(crate) fn empty() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap().join("shop");
        std::fs::create_dir(&path).unwrap();
        let repo = Self { scratch, path };
        repo.git("init -q -b main .");
        repo.git("config user.email test@example.org");
        repo.git("config user.name test");
        repo
    }

    /// Runs git in the repository, as a person would; words are split at spaces.
    pub(crate) fn git(&self, words: &str) -> String {
        git_in(&self.path, &words.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn open(&self) -> Worktree {
        Worktree::open(&git(&self.path), &self.path).unwrap()
    }

    /// A state folder outside the repository.
    pub(crate) fn state(&self) -> StateDir {
        let path = self.scratch.path().join("state");
        let wish = StateDirWish { flag: Some(&path), ..StateDirWish::default() };
        StateDir::open(wish, &self.open(), Path::new("/")).unwrap()
    }
}

/// git for a repository.
pub(crate) fn git(start: &Path) -> Git<'static> {
    Git::find(&run_git, &env, start).unwrap()
}

pub(crate) fn git_in(folder: &Path, words: &[&str]) -> String {
    let mut git = command("git");
    git.args(words).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = git.output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub(crate) fn below(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

pub(crate) fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

pub(crate) fn ids() -> (RunId, AttemptId) {
    (RunId::new(uuid::Uuid::from_u128(1)), AttemptId::new(uuid::Uuid::from_u128(2)))
}
