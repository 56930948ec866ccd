//! A shop whose suites do what a word says and note it outside orch, and blows against the processes that run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::support::{Ended, Orch, Shop};

/// Two stages, a rollback, retries: what `Word` says of the first attempt of each stage decides the way.
pub(crate) const PIPELINE: &str = "\
version: 1
name: yard
artifacts: docs/work-items/{task}
budgets: { retry: 2 }
stages:
  check:
    producer:
      command: { command: [sh, suite.sh], evidence: exit-code, idempotent: true }
    gate: none
    infra: { retries: 2, backoff: 1ms..4ms }
    transitions: { pass: testing, fail: failed }
  testing:
    producer:
      test-runner: { command: [sh, suite.sh] }
    artifact: 13-test-report.md
    gate: tests-passed
    infra: { retries: 2, backoff: 1ms..4ms }
    transitions: { pass: done, fail: { rollback: check, charge: retry } }
";

/// The suite of every stage. The first attempt of a stage does its word, each later one passes.
///
/// The notes are appended in one write each, so that no kill leaves half a line. In a control run, which is no attempt, it
/// notes nothing: the base commit has no `part.txt` and passes, the change has one and is as mute as before.
pub(crate) const SUITE: &str = "\
set -C
case $ORCH_WORKTREE in *.orch-control) test -e part.txt && exit 3; echo 1..1; echo 'ok 1 - pay'; exit 0;; esac
word=pass
if { true > \"SCRATCH/first/$ORCH_TASK.$ORCH_STAGE\"; } 2>/dev/null; then read word < \"SCRATCH/words/$ORCH_TASK.$ORCH_STAGE\"; fi
echo \"begin $ORCH_TASK $ORCH_STAGE $ORCH_ATTEMPT $word\" >> SCRATCH/ledger
note() { echo \"end $ORCH_TASK $ORCH_STAGE $ORCH_ATTEMPT $word\" >> SCRATCH/ledger; }
case $word in
fail) note; echo 1..1; echo 'not ok 1 - pay'; exit 1;;
net) note; echo 'curl: (7) Failed to connect to registry port 443: Connection refused' >&2; exit 7;;
absent) note; exit 127;;
mute) note; exit 3;;
killed) note; kill -KILL $$;;
slow) sleep 0.02; note; echo 1..1; echo 'ok 1 - pay';;
hang) exec sleep 60;;
stop) read pid comm state parent rest < /proc/$PPID/stat
  case $(tr '\\0' ' ' < /proc/$parent/cmdline) in *'pipeline run'*) kill -TERM $parent; exec sleep 60;; esac
  note; exit 127;;
leaky) sleep 60 & sleep 60 & note; echo 1..1; echo 'ok 1 - pay';;
pass) note; echo 1..1; echo 'ok 1 - pay';;
esac
";

/// What a suite does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Pass,
    Fail,
    /// A fault that passes by itself.
    Net,
    /// A fault that does not.
    Absent,
    /// Says no and nothing else: a control run attributes it, where one is made.
    Mute,
    /// Ends by a signal that nobody of orch sent.
    Killed,
    Slow,
    /// Runs into its limit.
    Hang,
    /// Has its runner stopped; where there is none, as [`Word::Absent`].
    Stop,
    /// Passes and leaves processes behind.
    Leaky,
}

impl Word {
    const NAMES: [(&'static str, Self); 10] = [
        ("pass", Self::Pass),
        ("fail", Self::Fail),
        ("net", Self::Net),
        ("absent", Self::Absent),
        ("mute", Self::Mute),
        ("killed", Self::Killed),
        ("slow", Self::Slow),
        ("hang", Self::Hang),
        ("stop", Self::Stop),
        ("leaky", Self::Leaky),
    ];

    pub(crate) fn text(self) -> &'static str {
        Self::NAMES.iter().find(|(_, word)| *word == self).unwrap().0
    }

    pub(crate) fn read(text: &str) -> Self {
        Self::NAMES.iter().find(|(name, _)| *name == text).unwrap_or_else(|| panic!("the word {text:?}")).1
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) ended: bool,
    pub(crate) task: String,
    pub(crate) stage: String,
    pub(crate) attempt: String,
    pub(crate) word: Word,
}

/// A shop, and a state folder that is taken anew now and then.
#[derive(Debug)]
pub(crate) struct Yard {
    pub(crate) shop: Shop,
    turn: u64,
}

impl Yard {
    pub(crate) fn new() -> Self {
        Self::with(PIPELINE)
    }

    pub(crate) fn with(pipeline: &str) -> Self {
        let shop = Shop::new(pipeline, &[("suite.sh", SUITE)]);
        let mut yard = Self { shop, turn: 0 };
        yard.anew();
        yard
    }

    /// Begins with an empty store and an empty ledger.
    pub(crate) fn anew(&mut self) {
        fs::remove_dir_all(self.state()).ok();
        fs::remove_dir_all(self.shop.tree.join("docs")).ok();
        fs::remove_file(self.shop.scratch("ledger")).ok();
        for folder in ["first", "words"] {
            fs::remove_dir_all(self.shop.scratch(folder)).ok();
            fs::create_dir(self.shop.scratch(folder)).unwrap();
        }
        self.turn += 1;
    }

    /// Keeps everything as it is now.
    pub(crate) fn keep(&self) {
        let kept = self.shop.scratch("kept");
        fs::create_dir(&kept).unwrap();
        for (name, place) in self.places() {
            copy(&place, &kept.join(name));
        }
    }

    /// Brings back what was kept. Whether anything was.
    pub(crate) fn take_up_kept(&self) -> bool {
        let kept = self.shop.scratch("kept");
        if !kept.exists() {
            return false;
        }
        for (name, place) in self.places() {
            copy(&kept.join(name), &place);
        }
        true
    }

    /// What an experiment changes.
    fn places(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("state", self.state()),
            ("docs", self.shop.tree.join("docs")),
            ("ledger", self.shop.scratch("ledger")),
            ("first", self.shop.scratch("first")),
            ("words", self.shop.scratch("words")),
        ]
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.shop.scratch(&format!("state-{}", self.turn))
    }

    pub(crate) fn orch(&self, words: &str) -> Orch {
        // A small reserve: a disk is built anew for each state of a power loss.
        self.shop.orch(words).env("ORCH_STATE_DIR", self.state()).env("USER", "lab").env("ORCH_STATE_RESERVE_MIB", "1")
    }

    /// Says what the first attempts of a task do.
    pub(crate) fn tell(&self, task: &str, words: &[(&str, Word)]) {
        for (stage, word) in words {
            fs::write(self.shop.scratch(&format!("words/{task}.{stage}")), format!("{}\n", word.text())).unwrap();
        }
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        let note = |line: String| {
            let [kind, task, stage, attempt, word] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            Note {
                ended: kind == "end",
                task: str::to_owned(task),
                stage: str::to_owned(stage),
                attempt: str::to_owned(attempt),
                word: Word::read(word),
            }
        };
        self.shop.ledger().into_iter().map(note).collect()
    }

    /// Lets nothing disturb a task until it rests for good; releases every hold on the way.
    ///
    /// # Errors
    /// It does not come to rest, or orch says that it is at fault itself.
    pub(crate) fn settle(&self, task: &str) -> Result<Ended, String> {
        const TURNS_MAX: u32 = 16;
        let mut said = String::new();
        for _ in 0..TURNS_MAX {
            let ended = self.orch(&format!("pipeline run --quiet --task {task}")).run();
            match ended.code() {
                Some(0 | 1) => return Ok(ended),
                // Stopped by its own suite.
                Some(143) => {}
                _ if is_locked_by_the_dead(&ended) => {}
                Some(10 | 75 | 78) => {
                    let answer = if ended.stdout().contains("(approval)") { "--approve --reason fine" } else { "" };
                    let released = self.orch(&format!("hold release {task} {answer}")).run();
                    if released.code() != Some(0) {
                        return Err(format!("a hold cannot be released: {released}\nafter {ended}"));
                    }
                }
                _ => return Err(format!("a run without disturbance ends so: {ended}")),
            }
            said = ended.to_string();
        }
        Err(format!("the task does not come to rest; last: {said}"))
    }
}

/// Copies a file or a folder, modes included; nothing where there is none.
fn copy(from: &Path, to: &Path) {
    let Ok(found) = fs::symlink_metadata(from) else { return };
    if !found.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, found.permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// How often a run was refused because a dead runner's lock was still held.
pub(crate) static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Whether a run was refused for a lock that nobody alive has taken: a child that the dead runner had forked, and that
/// has not come to its exec, keeps the runner's descriptors for a moment. Counted; the run is tried again.
pub(crate) fn is_locked_by_the_dead(ended: &Ended) -> bool {
    let refused = ended.code() == Some(4) && ended.stderr().contains("an unknown holder has it");
    REFUSED.fetch_add(u64::from(refused), Ordering::Relaxed);
    refused
}

/// A process that can be watched and killed without ever meeting another of the same number.
#[derive(Debug)]
pub(crate) struct Watched(std::os::fd::OwnedFd);

impl Watched {
    pub(crate) fn of(pid: i32) -> Option<Self> {
        pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok().map(Self)
    }

    pub(crate) fn is_gone_within(&self, time: Duration) -> bool {
        let time = Timespec::try_from(time).unwrap();
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&time)) == Ok(1)
    }

    pub(crate) fn kill(&self) -> bool {
        pidfd_send_signal(&self.0, Signal::KILL).is_ok()
    }
}

/// The supervisor that lives for this runner, or for the newest run that another left.
pub(crate) fn supervisor(runner: i32, state: &Path) -> Option<Watched> {
    let ours = children(runner).into_iter().find_map(|pid| supervises(pid, ""));
    ours.or_else(|| {
        let newest = fs::read_dir(state.join("runs")).ok()?.map(|entry| entry.unwrap().path()).max()?;
        let identity: serde_json::Value =
            serde_json::from_slice(&fs::read(newest.join("supervisor.json")).ok()?).ok()?;
        let pid = i32::try_from(identity["pid"].as_i64()?).ok()?;
        supervises(pid, newest.file_name()?.to_str()?)
    })
}

/// A handle on a process that is a supervisor whose arguments hold this.
fn supervises(pid: i32, part: &str) -> Option<Watched> {
    // The handle first: what is read afterwards is about the same process, or about nobody.
    let handle = Watched::of(pid)?;
    let line = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).into_owned();
    (line.contains("__supervise") && line.contains(part)).then_some(handle)
}

pub(crate) fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
