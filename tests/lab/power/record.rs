//! Recording a scenario: its commands with every call that changes a file, and what was acknowledged when.

use std::fs;
use std::path::{Path, PathBuf};

use orch::domain::id::{Digest, TaskName};
use orch::store::sqlite::SqliteStore;
use orch::store::{Store as _, Version};

use super::calls::{self, CALLS, Op};
use super::disk::Disk;
use crate::scenario::{Scenario, mend};
use crate::support::tool;
use crate::yard::{Word, Yard};

/// SQLite writes its log back at 1000 pages; a run of two stages that is rolled back once adds about fifty.
const LOG_NEARLY_FULL_BYTES: u64 = 4120 * (1000 - 40);
/// More tasks than fill it.
const OTHERS_MAX: u32 = 80;

/// What a scenario's commands did to the disk.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) name: &'static str,
    pub(crate) yard: Yard,
    /// The disk before the first call.
    pub(crate) before: Disk,
    pub(crate) ops: Vec<Op>,
    /// After so many calls this was the task's last event, and somebody had been told.
    told: Vec<(usize, Told)>,
}

/// An event that the store had when a command spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    seq: Version,
    hash: Digest,
}

/// Runs the commands of a scenario, undisturbed, and writes down what they do.
pub(crate) fn record(scenario: &Scenario, mut yard: Yard) -> Recording {
    scenario.set_out(&mut yard);
    let (scratch, tree) = (yard.shop.scratch("").components().collect::<PathBuf>(), yard.shop.tree.clone());
    let witnesses = [yard.shop.scratch("first"), yard.shop.scratch("ledger")];
    let ground = [scratch, tree, witnesses[0].clone()];
    let before = Disk::new(&ground, &witnesses);
    let mut recording = Recording { name: scenario.name, yard, before, ops: Vec::new(), told: Vec::new() };
    for task in (1..=OTHERS_MAX).map(|number| format!("other-{number}")).filter(|_| scenario.log_is_full) {
        let log = fs::metadata(recording.yard.state().join("orch.db-wal")).map_or(0, |found| found.len());
        if log > LOG_NEARLY_FULL_BYTES {
            break;
        }
        recording.yard.tell(&task, &[("check", Word::Pass), ("testing", Word::Pass)]);
        assert_eq!(recording.yard.orch(&format!("pipeline run --quiet --task {task}")).run().code(), Some(0));
    }
    let roots = recording.roots();
    recording.before.adopt(&roots);
    let mut disk = recording.before.clone();
    for words in scenario.before.iter().chain([&scenario.disturbed]) {
        let ops = recording.trace(words, &disk);
        let spoke = ops.iter().position(|op| *op == Op::Said).unwrap_or(ops.len());
        for op in &ops {
            disk.apply(op);
        }
        let differs = disk.differs(&recording.roots());
        assert!(
            differs.is_empty(),
            "{}, `{words}`: the model of the disk is wrong:\n{}",
            scenario.name,
            differs.join("\n")
        );
        let told = recording.last_event();
        recording.told.push((recording.ops.len() + spoke + 1, told));
        recording.ops.extend(ops);
    }
    recording
}

impl Recording {
    /// What is built anew for each state.
    fn roots(&self) -> [PathBuf; 4] {
        let shop = &self.yard.shop;
        [self.yard.state(), shop.tree.join("docs"), shop.scratch("ledger"), shop.scratch("first")]
    }

    fn trace(&self, words: &str, disk: &Disk) -> Vec<Op> {
        let trace = self.yard.shop.scratch("trace");
        let options = ["-f", "-qq", "-y", "-xx", "-s", "16777216", "-e", "signal=none", "-o", trace.to_str().unwrap()];
        let calls = format!("trace={CALLS}");
        let ended =
            self.yard.orch(words).under(&tool("strace", "strace"), &[&options[..], &["-e", &calls]].concat()).run();
        assert!(matches!(ended.code(), Some(0 | 1 | 10 | 75 | 78)), "{}: {ended}", self.name);
        let roots = self.roots();
        let grounds = [self.yard.shop.scratch("").components().collect::<PathBuf>(), self.yard.shop.tree.clone()];
        let of_interest = |path: &Path| {
            roots.iter().any(|root| path.starts_with(root)) || grounds.iter().any(|ground| path == ground)
        };
        let ops = calls::read(&trace, &of_interest, &|path| disk.has(path));
        fs::remove_file(trace).unwrap();
        ops
    }

    /// The last event of the task, read from a copy: looking leaves marks.
    fn last_event(&self) -> Told {
        let copy = self.yard.shop.scratch("copy");
        fs::remove_dir_all(&copy).ok();
        copy_all(&self.yard.state(), &copy);
        events(&copy).pop().expect("the command stored something")
    }

    /// Whether a file of the state folder was synced.
    pub(crate) fn syncs(&self, file: &str) -> bool {
        self.ops.contains(&Op::Sync(self.yard.state().join(file)))
    }

    /// A call for people.
    pub(crate) fn tell(&self, index: usize) -> String {
        let short = |path: &Path| {
            let scratch = self.yard.shop.scratch("");
            path.strip_prefix(&scratch).unwrap_or(path).display().to_string()
        };
        match &self.ops[index] {
            Op::Make(path) => format!("make {}", short(path)),
            Op::MakeFolder(path) => format!("make folder {}", short(path)),
            Op::Size(path, size) => format!("cut {} to {size}", short(path)),
            Op::Room(path, size) => format!("reserve {} to {size}", short(path)),
            Op::Write(path, at, bytes) => format!("write {} bytes at {at:?} of {}", bytes.len(), short(path)),
            Op::Rename(from, to) => format!("rename {} to {}", short(from), short(to)),
            Op::Link(from, to) => format!("link {} to {}", short(from), short(to)),
            Op::Remove(path) => format!("remove {}", short(path)),
            Op::Sync(path) => format!("sync {}", short(path)),
            Op::Said => "said".to_owned(),
        }
    }

    /// Takes away what the last state left.
    pub(crate) fn wipe(&self) {
        for root in self.roots() {
            let removed = if root.is_dir() { fs::remove_dir_all(&root) } else { fs::remove_file(&root) };
            assert!(removed.is_ok() || !root.exists(), "{}: {removed:?}", root.display());
        }
        fs::create_dir(self.yard.shop.scratch("first")).unwrap();
        fs::remove_file(self.yard.shop.scratch("tool")).ok();
    }

    /// What somebody had been told after so many calls.
    pub(crate) fn acknowledged(&self, calls: usize) -> Option<Told> {
        self.told.iter().rfind(|(after, _)| *after <= calls).map(|(_, told)| *told)
    }

    /// Lets orch go on until the task rests for good.
    pub(crate) fn settle(&self) -> Result<(), String> {
        mend(&self.yard);
        self.yard.settle("t").map(drop)
    }

    /// What was told is stored, and is what it was (I2, I3).
    pub(crate) fn check(&self, acknowledged: Option<Told>) -> Result<(), String> {
        let Some(told) = acknowledged else { return Ok(()) };
        if events(&self.yard.state()).contains(&told) {
            Ok(())
        } else {
            Err(format!("I2: event {} had been told of, and is not stored any more", told.seq))
        }
    }
}

fn events(state: &Path) -> Vec<Told> {
    let store = SqliteStore::open_existing(state).unwrap();
    let events = store.events(&TaskName::new("t").unwrap(), Version::NONE).unwrap();
    events.into_iter().map(|event| Told { seq: event.seq, hash: event.hash }).collect()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
