//! Asking git, without running anything a repository's configuration names.
//!
//! Agents work in the worktree and may write the shared configuration, hooks, attributes and refs. So git is an
//! absolute program found outside the worktree, gets a stated environment and options that outrank every
//! configuration file, reads through plumbing that knows no filters, and never talks to another machine. Nothing
//! here starts a process: the caller gives a [`GitRunner`].

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

/// Longest answer of a listing, in bytes; about five million files.
const ANSWER_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Longest time for one question.
const DEADLINE: Duration = Duration::from_mins(2);

/// Options that outrank the repository's and the user's configuration (git-config(1), `-c`).
const OPTIONS: [&str; 11] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.sshCommand=false",
    "core.pager=cat",
    "diff.external=",
    "gpg.program=false",
    "credential.helper=",
    "protocol.allow=never",
    "protocol.ext.allow=never",
    "safe.bareRepository=explicit",
];

/// One question to git.
#[derive(Debug)]
pub struct GitCall<'a> {
    /// What it is asked for, such as `list the files`.
    pub what: &'static str,
    /// Absolute program and arguments.
    pub argv: &'a [OsString],
    /// Absolute working folder.
    pub cwd: &'a Path,
    /// The whole environment; nothing else may be passed on.
    pub env: &'a [(OsString, OsString)],
    /// Longest standard output; a longer one is an error, never a cut answer.
    pub stdout_max: u64,
    /// Longest time.
    pub deadline: Duration,
}

/// What git said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitAnswer {
    /// Exit code; an end by a signal or by the deadline is an error of the runner.
    pub code: i32,
    /// Standard output, whole.
    pub stdout: Vec<u8>,
    /// Standard error; may be cut.
    pub stderr: Vec<u8>,
}

/// Starts git and waits for it; `exec` has the real one.
pub type GitRunner<'a> = &'a (dyn Fn(&GitCall<'_>) -> io::Result<GitAnswer> + Sync);

/// A question that git did not answer, or a place that cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No git on the search path.
    #[error("find git on the search path")]
    Missing,
    /// It could not be started or did not end by itself in time.
    #[error("run git to {what}")]
    Run {
        /// What it was asked for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nothing is there.
    #[error("use {}: there is no such folder", .0.display())]
    NoSuchFolder(PathBuf),
    /// A file, or what else is no folder.
    #[error("use {}: it is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The inside of a git folder.
    #[error("use {}: it is inside a git folder, where no files of a checkout are", .0.display())]
    InGitFolder(PathBuf),
    /// No repository.
    #[error("use {}: it is not inside a git worktree", .0.display())]
    NotAWorktree(PathBuf),
    /// A repository without a worktree.
    #[error("use {}: it is a bare repository", .0.display())]
    Bare(PathBuf),
    /// No commit yet.
    #[error("use {}: its branch has no commit yet", .0.display())]
    Unborn(PathBuf),
    /// The repository belongs to somebody else.
    #[error("use {}: git finds that it belongs to another user", .0.display())]
    DubiousOwnership(PathBuf),
    /// A line break in the path, or a path that cannot be resolved.
    #[error("use {}: its path cannot be told to git", .0.display())]
    UnusablePath(PathBuf),
    /// The configuration leads git to another worktree.
    #[error("use {}: its configuration leads git to {}", expected.display(), found.display())]
    Redirected {
        /// The folder with the `.git` entry.
        expected: PathBuf,
        /// What git takes for the worktree.
        found: PathBuf,
    },
    /// A folder whose `.git` leads to the git folder of another worktree.
    #[error("use {}: its git folder is that of the worktree {}", path.display(), original.display())]
    Copied {
        /// The folder.
        path: PathBuf,
        /// What the git folder names as its worktree.
        original: PathBuf,
    },
    /// The `.git` entry or a folder behind it is not the one that was opened.
    #[error("trust {}: {what} was replaced", path.display())]
    Replaced {
        /// The worktree.
        path: PathBuf,
        /// Which part.
        what: &'static str,
    },
    /// What makes it this worktree could not be looked at.
    #[error("look at {what} of {}", path.display())]
    Unreadable {
        /// The worktree.
        path: PathBuf,
        /// Which part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// git refused.
    #[error("{what}: git exited with {code}: {said}")]
    Failed {
        /// What it was asked for.
        what: &'static str,
        /// Its exit code.
        code: i32,
        /// The first line it wrote to stderr.
        said: String,
    },
    /// An answer that does not have the documented form.
    #[error("{what}: git's answer is not understood")]
    Garbled {
        /// What it was asked for.
        what: &'static str,
    },
}

impl GitError {
    /// Whether the machine had no descriptor, process, memory or space for it: nothing is said about the repository then.
    pub fn is_of_the_machine(&self) -> bool {
        let (Self::Run { source, .. } | Self::Unreadable { source, .. }) = self else { return false };
        is_short(source)
    }

    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Run { .. } | Self::Unreadable { .. } if self.is_of_the_machine() => {
                "the machine or this user's limits (`ulimit -a`) are at their end: make room, then run it again"
            }
            Self::Missing => {
                "install git 2.31 or newer; folders inside the worktree and relative folders of PATH do not count"
            }
            Self::Run { .. } => "run the same git command by hand in the worktree to see what it waits for",
            Self::NoSuchFolder(_) | Self::NotAFolder(_) => "name the folder of a checkout with --worktree DIR",
            Self::InGitFolder(_) => "change to the checkout it belongs to, or name that with --worktree DIR",
            Self::NotAWorktree(_) => {
                "change to a checkout, or name one with --worktree DIR; a new project becomes one with `git init`"
            }
            Self::Bare(_) => "make a checkout with `git worktree add ../checkout`, and run orch there",
            Self::Unborn(_) => {
                "a verdict is bound to a commit, so make a first one: `git add -A && git commit -m first`"
            }
            Self::DubiousOwnership(_) => "when you trust it: git config --global --add safe.directory PATH",
            Self::Unreadable { .. } => "look at the worktree's .git: its owner, its mode, and the disk it lies on",
            Self::UnusablePath(_) => "use a path without line breaks that this user may read",
            Self::Redirected { .. } => "remove core.worktree from the repository's configuration",
            Self::Copied { original, .. } if original.exists() => {
                "a copy is no worktree: work in the original, or make one of its own with `orch task add` or `git worktree add`"
            }
            Self::Copied { .. } => "where it was moved here, `git worktree repair` in it says so to git",
            Self::Replaced { .. } => "look at the worktree's .git: something put another one there during the run",
            Self::Failed { .. } | Self::Garbled { .. } => "`git fsck` and `git status` in the worktree say more",
        }
    }
}

/// git, ready to be asked.
pub struct Git<'r> {
    program: PathBuf,
    env: Vec<(OsString, OsString)>,
    run: GitRunner<'r>,
}

impl std::fmt::Debug for Git<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Git").field("program", &self.program).finish_non_exhaustive()
    }
}

impl<'r> Git<'r> {
    /// Finds git on the search path, outside the worktree that `start` lies in. Relative and empty parts of the
    /// path do not count.
    ///
    /// `env` reads orch's own environment; of it only `PATH`, `HOME` and `XDG_CONFIG_HOME` reach git.
    ///
    /// # Errors
    /// [`GitError::Missing`].
    pub fn find(run: GitRunner<'r>, env: &dyn Fn(&str) -> Option<OsString>, start: &Path) -> Result<Self, GitError> {
        let search = env("PATH").unwrap_or_default();
        let inside = enclosing(start);
        let outside = |path: &Path| inside.as_deref().is_none_or(|worktree| !path.starts_with(worktree));
        let folders: Vec<PathBuf> =
            std::env::split_paths(&search).filter(|folder| folder.is_absolute() && outside(folder)).collect();
        let search = std::env::join_paths(folders).map_err(|_| GitError::Missing)?;
        let program = which::which_in_global("git", Some(&search))
            .map_err(|_| GitError::Missing)?
            .find(|found| std::fs::canonicalize(found).is_ok_and(|real| outside(&real)))
            .ok_or(GitError::Missing)?;
        let mut stated: Vec<(OsString, OsString)> = vec![("PATH".into(), search)];
        for name in ["HOME", "XDG_CONFIG_HOME"] {
            stated.extend(env(name).map(|value| (name.into(), value)));
        }
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ALLOW_PROTOCOL", "none"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
        ] {
            stated.push((name.into(), value.into()));
        }
        Ok(Self { program, env: stated, run })
    }

    /// The absolute program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it calls itself, such as `git version 2.43.0`.
    ///
    /// # Errors
    /// [`GitError`] when git cannot answer.
    pub fn version(&self) -> Result<String, GitError> {
        let said = self.must("tell its version", Path::new("/"), &Place::Discover, &[OsStr::new("version")])?;
        Ok(String::from_utf8_lossy(&said).trim_end().to_owned())
    }

    /// Asks in a folder; whatever git answers is given back.
    pub(super) fn ask(
        &self,
        what: &'static str,
        cwd: &Path,
        place: &Place<'_>,
        args: &[&OsStr],
    ) -> Result<GitAnswer, GitError> {
        self.ask_with(what, cwd, place, args, &[])
    }

    /// The same with more in git's environment.
    pub(super) fn ask_with(
        &self,
        what: &'static str,
        cwd: &Path,
        place: &Place<'_>,
        args: &[&OsStr],
        more: &[(OsString, OsString)],
    ) -> Result<GitAnswer, GitError> {
        let mut words: Vec<OsString> = vec![self.program.clone().into(), "--no-pager".into()];
        for option in OPTIONS {
            words.extend(["-c".into(), option.into()]);
        }
        let mut env = self.env.clone();
        env.extend_from_slice(more);
        match place {
            Place::Discover => {}
            Place::Exactly { git_dir, toplevel } => {
                words.extend([with("--git-dir=", git_dir), with("--work-tree=", toplevel)]);
            }
            Place::Nested { ceiling } => env.push(("GIT_CEILING_DIRECTORIES".into(), ceiling.as_os_str().to_owned())),
        }
        words.extend(args.iter().map(|arg| (*arg).to_owned()));
        let call = GitCall { what, argv: &words, cwd, env: &env, stdout_max: ANSWER_BYTES_MAX, deadline: DEADLINE };
        (self.run)(&call).map_err(|source| match (source.kind() == io::ErrorKind::NotFound, cwd.is_dir()) {
            (true, true) => GitError::Missing,
            (true, false) => GitError::NotAWorktree(cwd.to_owned()),
            (false, _) => GitError::Run { what, source },
        })
    }

    /// Asks in a folder and wants exit code 0.
    pub(super) fn must(
        &self,
        what: &'static str,
        cwd: &Path,
        place: &Place<'_>,
        args: &[&OsStr],
    ) -> Result<Vec<u8>, GitError> {
        let answer = self.ask(what, cwd, place, args)?;
        if answer.code == 0 { Ok(answer.stdout) } else { Err(refused(what, &answer)) }
    }
}

/// How git finds the repository it is asked about.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// From the working folder upward, with git's own check of the owner.
    Discover,
    /// These folders, whatever the configuration says.
    Exactly {
        /// The worktree's own git folder.
        git_dir: &'a Path,
        /// The worktree.
        toplevel: &'a Path,
    },
    /// In the working folder itself and nowhere above it.
    Nested {
        /// The folder above.
        ceiling: &'a Path,
    },
}

/// Whether the machine had no descriptor, process, memory or space.
pub(super) fn is_short(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::NOSPC, Errno::DQUOT];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// The error of an answer with another exit code than 0.
pub(super) fn refused(what: &'static str, answer: &GitAnswer) -> GitError {
    let text = String::from_utf8_lossy(&answer.stderr);
    let said: String = text.lines().next().unwrap_or("nothing").chars().filter(|c| !c.is_control()).take(300).collect();
    GitError::Failed { what, code: answer.code, said }
}

/// The nearest folder at or above `start` with a `.git` entry, links resolved.
pub(super) fn enclosing(start: &Path) -> Option<PathBuf> {
    let start = std::fs::canonicalize(start).ok()?;
    start.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok()).map(Path::to_owned)
}

fn with(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}
