//! Places to run in: a git repository with a pipeline and a state folder of its own, and the same work for the peers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::contest::Line;
use super::floor::NOTHING;

/// The program under measure.
pub(crate) const ORCH: &str = env!("CARGO_BIN_EXE_orch");

/// A scratch folder, removed when dropped.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::Builder::new().prefix("speed-").tempdir().unwrap() };
        std::fs::create_dir(place.worktree()).unwrap();
        place.git(&["init", "-q", "-b", "main"]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn worktree(&self) -> PathBuf {
        self.path("tree")
    }

    fn git(&self, words: &[&str]) {
        let names = ["-c", "user.name=speed", "-c", "user.email=speed@localhost", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.args(names).args(words).current_dir(self.worktree()).stdout(Stdio::null());
        assert!(git.status().unwrap().success());
    }

    /// Puts a pipeline into the repository, as its only commit.
    pub(crate) fn pipeline(self, text: &str) -> Self {
        std::fs::create_dir(self.worktree().join("pipelines")).unwrap();
        std::fs::write(self.worktree().join("pipelines/speed.yaml"), text).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "speed"]);
        self
    }

    /// `orch pipeline run` with more words, in this place.
    pub(crate) fn run(&self, words: &[&str]) -> Line {
        let state = self.text("state");
        let mut all = vec![ORCH, "pipeline", "run", "--state-dir", &state, "--quiet"];
        all.extend(words);
        Line::new(&self.worktree(), all)
    }

    /// Forgets everything that orch has stored here.
    pub(crate) fn forget(&self) {
        match std::fs::remove_dir_all(self.path("state")) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
}

/// A pipeline of stages in a chain, each with this command.
pub(crate) fn chain(stages: usize, command: &dyn Fn(usize) -> String) -> String {
    let mut text = "version: 1\nname: speed\nstages:\n".to_owned();
    for stage in 0..stages {
        let next = if stage + 1 == stages { "done".to_owned() } else { format!("s{}", stage + 1) };
        writeln!(
            text,
            "  s{stage}:\n    producer:\n      command:\n        command: {}\n        evidence: exit-code\n    gate: none\n    \
             transitions: {{ pass: {next}, fail: hold }}",
            command(stage)
        )
        .unwrap();
    }
    text
}

/// The same chain of nothing for make.
pub(crate) fn makefile(stages: usize) -> String {
    let mut text = format!("all: s{}\ns0:\n\t@{NOTHING}\n", stages - 1);
    for stage in 1..stages {
        writeln!(text, "s{stage}: s{}\n\t@{NOTHING}", stage - 1).unwrap();
    }
    text
}

/// For ninja.
pub(crate) fn ninja(stages: usize) -> String {
    let mut text = format!("rule nothing\n  command = {NOTHING}\nbuild s0: nothing\n");
    for stage in 1..stages {
        writeln!(text, "build s{stage}: nothing s{}", stage - 1).unwrap();
    }
    text
}

/// For just.
pub(crate) fn justfile(stages: usize) -> String {
    let mut text = format!("s0:\n    @{NOTHING}\n");
    for stage in 1..stages {
        write!(text, "s{stage}: s{}\n    @{NOTHING}\n", stage - 1).unwrap();
    }
    text
}

/// A program's place on the search path, where it is installed.
pub(crate) fn installed(program: &str) -> Option<String> {
    which::which(program).ok().map(|path| path.to_str().unwrap().to_owned())
}

/// Makes a folder with one file in it.
pub(crate) fn folder(path: &Path, file: &str, text: &str) -> PathBuf {
    std::fs::create_dir_all(path).unwrap();
    std::fs::write(path.join(file), text).unwrap();
    path.to_owned()
}
