//! A shop: a git repository with a pipeline, and orch run in it as its users run it.
//!
//! `SCRATCH` in any text that is written to the shop stands for the scratch folder, which holds the repository
//! (`shop`), orch's state (`state`) and whatever a suite leaves outside the worktree.

mod fifo;
mod mount;
mod process;
mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use fifo::Fifo;
pub(crate) use mount::{Mount, in_own_mounts};
pub(crate) use process::{Ended, Orch, await_end, command, lives, supervisor_of};
pub(crate) use service::{Answer, Service};

/// A suite that runs one test and passes.
pub(crate) const PASSES: &str = "echo 1..1\necho 'ok 1 - pay'\n";
/// A suite that runs one test and fails.
pub(crate) const FAILS: &str = "echo 1..1\necho 'not ok 1 - pay'\nexit 1\n";
/// Notes which attempt runs, in a ledger that no attempt can take back.
pub(crate) const NOTES: &str = "echo \"$ORCH_STAGE $ORCH_ATTEMPT\" >> SCRATCH/ledger\n";
/// Says that it has begun, with its pid, and waits for a word.
pub(crate) const WAITS: &str = "echo $$ > SCRATCH/said\nread word < SCRATCH/go\n";
/// Where the artifact of the stage `testing` stands.
pub(crate) const REPORT: &str = "docs/work-items/main/13-test-report.md";

/// A pipeline with one stage, `testing`, that runs `sh suite.sh`.
#[derive(Debug, Clone)]
pub(crate) struct Testing {
    suite: String,
    stage: String,
    fail: &'static str,
    retries: u32,
}

impl Testing {
    pub(crate) fn new() -> Self {
        Self { suite: "command: [sh, suite.sh]".to_owned(), stage: String::new(), fail: "failed", retries: 0 }
    }

    /// Another command.
    pub(crate) fn command(mut self, words: &str) -> Self {
        self.suite = format!("command: {words}");
        self
    }

    /// A further key of the producer.
    pub(crate) fn suite(mut self, key: &str) -> Self {
        self.suite = format!("{}, {key}", self.suite);
        self
    }

    /// A further key of the stage.
    pub(crate) fn stage(mut self, key: &str) -> Self {
        self.stage = format!("{}    {key}\n", self.stage);
        self
    }

    /// Retries of a passing fault, a hundredth of a second apart; none is the default here.
    pub(crate) fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// What a fail leads to.
    pub(crate) fn fail(mut self, fail: &'static str) -> Self {
        self.fail = fail;
        self
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let Self { suite, stage, fail, .. } = self;
        format!(
            "version: 1\nname: shop\nartifacts: docs/work-items/{{task}}\nbudgets: {{ retry: 1 }}\nstages:\n  \
             testing:\n    producer:\n      test-runner: {{ {suite} }}\n    artifact: 13-test-report.md\n    \
             gate: tests-passed\n    infra: {{ retries: {}, backoff: 10ms..40ms }}\n    transitions: {{ pass: done, fail: {fail} }}\n{stage}",
            self.retries
        )
    }
}

/// A pipeline of two stages: `check` runs `sh check.sh` and is judged by its exit code, `testing` runs `sh suite.sh`.
pub(crate) const CHECK_THEN_TESTING: &str = "\
version: 1
name: shop
artifacts: docs/work-items/{task}
budgets: { retry: 1 }
stages:
  check:
    producer:
      command: { command: [sh, check.sh], evidence: exit-code }
    gate: none
    transitions: { pass: testing, fail: failed }
  testing:
    producer:
      test-runner: { command: [sh, suite.sh] }
    artifact: 13-test-report.md
    gate: tests-passed
    infra: { retries: 0 }
    transitions: { pass: done, fail: { rollback: check, charge: retry } }
";

/// What a small disk needs: nothing is asked for and nothing is kept.
const NO_ROOM_NEEDED: [(&str, &str); 3] =
    [("ORCH_STATE_FREE_MIN_MIB", "0"), ("ORCH_WORKTREE_FREE_MIN_MIB", "0"), ("ORCH_STATE_RESERVE_MIB", "0")];

/// A repository with a pipeline in a scratch folder of its own.
#[derive(Debug)]
pub(crate) struct Shop {
    _scratch: tempfile::TempDir,
    pub(crate) tree: PathBuf,
    on_a_small_disk: AtomicBool,
}

impl Shop {
    /// One stage that runs this suite.
    pub(crate) fn running(suite: &str) -> Self {
        Self::new(&Testing::new().text(), &[("suite.sh", suite)])
    }

    /// A pipeline and files, all of them committed on branch `main`.
    pub(crate) fn new(pipeline: &str, files: &[(&str, &str)]) -> Self {
        let shop = Self::bare_of_commits();
        shop.write("pipelines/shop.yaml", pipeline);
        shop.write(".gitignore", "__pycache__/\n*.tmp\ntarget/\n");
        for (path, text) in files {
            shop.write(path, text);
        }
        shop.commit("first");
        shop
    }

    /// A repository without a commit.
    pub(crate) fn bare_of_commits() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().canonicalize().unwrap().join("shop");
        fs::create_dir(&tree).unwrap();
        let shop = Self { _scratch: scratch, tree, on_a_small_disk: AtomicBool::new(false) };
        shop.git(&["init", "-q", "-b", "main", "."]);
        shop.git(&["config", "user.email", "test@example.org"]);
        shop.git(&["config", "user.name", "test"]);
        shop
    }

    /// From now on orch asks for no free space and keeps no reserve: a test's disk may be smaller than both.
    pub(crate) fn on_a_small_disk(&self) {
        self.on_a_small_disk.store(true, Ordering::Relaxed);
    }

    /// A path in the scratch folder.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.tree.parent().unwrap().join(name)
    }

    /// orch's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch("state")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let scratch = self.scratch("");
        fs::write(path, text.replace("SCRATCH", scratch.to_str().unwrap().trim_end_matches('/'))).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.tree.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.tree.join(path)).is_ok()
    }

    /// What the suites noted, one line an attempt.
    pub(crate) fn ledger(&self) -> Vec<String> {
        let text = fs::read_to_string(self.scratch("ledger")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A FIFO in the scratch folder.
    pub(crate) fn fifo(&self, name: &str) -> Fifo {
        Fifo::make(&self.scratch(name))
    }

    /// The two FIFOs of [`WAITS`]: what it says, and what it waits for.
    pub(crate) fn said_and_go(&self) -> (Fifo, Fifo) {
        (self.fifo("said"), self.fifo("go"))
    }

    pub(crate) fn git(&self, words: &[&str]) -> String {
        git_in(&self.tree, words)
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", message]);
    }

    /// orch in the worktree, with an environment of its own; words are split at blanks.
    pub(crate) fn orch(&self, words: &str) -> Orch {
        let mut orch = command(env!("CARGO_BIN_EXE_orch"));
        orch.args(words.split_whitespace())
            .current_dir(&self.tree)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.scratch("home"))
            .env("LANG", "C.UTF-8")
            .env("ORCH_STATE_DIR", self.state())
            .stdin(std::process::Stdio::null());
        if self.on_a_small_disk.load(Ordering::Relaxed) {
            orch.envs(NO_ROOM_NEEDED);
        }
        Orch::new(orch)
    }

    /// `orch pipeline run`, to its end.
    pub(crate) fn run(&self) -> Ended {
        self.orch("pipeline run").run()
    }

    /// Asks again and again until the answer holds a text.
    ///
    /// # Panics
    /// It never does.
    pub(crate) fn until(&self, words: &str, part: &str) {
        const ASKED_MAX: usize = 2_000;
        let found = (0..ASKED_MAX).any(|_| self.orch(words).run().stdout().contains(part));
        assert!(found, "`orch {words}` never says {part:?}");
    }

    /// Releases the hold of the branch's task, and runs it.
    pub(crate) fn release_and_run(&self) -> Ended {
        self.orch("hold release").run().exits(0).says("released");
        self.run()
    }
}

pub(crate) fn git_in(folder: &Path, words: &[&str]) -> String {
    let mut git = command("git");
    git.args(words).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = git.output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Checks a text against its golden file; `ORCH_GOLDEN_UPDATE=1` writes the file anew.
#[track_caller]
pub(crate) fn golden(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("ORCH_GOLDEN_UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap_or_default(), "{path}");
}

/// A program that some tests need.
///
/// # Panics
/// It is not installed.
pub(crate) fn tool(name: &str, package: &str) -> PathBuf {
    which::which(name).unwrap_or_else(|_| panic!("{name} is needed: apt-get install {package}"))
}
