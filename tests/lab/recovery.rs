//! Recovery in a large store (goal G5): tasks whose runner and machine died are taken up again, one after the other.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use orch::domain::decision::Spent;
use orch::domain::id::{AttemptId, Digest, Nonce, PipelineName, RunId, StageName, TaskName};
use orch::domain::pipeline::{Ordinal, ProducerKind};
use orch::domain::task::{Event, Intent, RunStart, Task};
use orch::engine::step;
use orch::store::sqlite::SqliteStore;
use orch::store::{Change, PinnedPipeline, Store as _, Version};

use crate::draw::Size;
use crate::support::{NOTES, PASSES, Shop, Testing};

/// Changes that share a sync while the store is filled.
const GROUP: usize = 500;
/// What a recovery may take at the 99th percentile.
const GOAL: Duration = Duration::from_secs(1);

#[test]
fn recovery_at_scale() {
    let (tasks, interrupted) = Size::wanted().of((1_000, 10), (10_000, 100));
    let shop = Shop::new(&Testing::new().retries(1).text(), &[("suite.sh", &format!("{NOTES}{PASSES}"))]);
    fill(&shop, tasks, interrupted);
    let mut times = Vec::new();
    for n in 0..interrupted {
        // The worktree of the dead task is gone with its machine; this one takes its place.
        let begun = Instant::now();
        let ended = shop.orch(&format!("pipeline run --quiet --task cut-{n}")).run();
        times.push(begun.elapsed());
        assert_eq!(ended.code(), Some(0), "cut-{n}: {ended}");
        assert!(ended.stderr().contains("was left by its runner"), "cut-{n}: {ended}");
        assert_eq!(shop.ledger().len(), n + 1, "cut-{n}: {ended}");
    }
    shop.orch("verify").run().exits(0);
    times.sort();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    eprintln!(
        "recovery of {interrupted} in a store of {tasks} tasks, from exec to the end of the run: p50 {:?}, p99 {:?}; {} above {GOAL:?}",
        at(50),
        at(99),
        times.iter().filter(|time| **time > GOAL).count()
    );
}

/// A task whose row is damaged is told, and wedges nobody else (fault F47 of RELIABILITY).
#[test]
fn one_bad_row_wedges_no_other_task() {
    const CUT: usize = 3;
    let shop = Shop::new(&Testing::new().retries(1).text(), &[("suite.sh", &format!("{NOTES}{PASSES}"))]);
    fill(&shop, CUT, CUT);
    let raw = rusqlite::Connection::open(shop.state().join("orch.db")).unwrap();
    let schema = "SELECT sql FROM sqlite_master WHERE name = 'task_only_moves_on'";
    let guard: String = raw.query_row(schema, [], |row| row.get(0)).unwrap();
    raw.execute_batch("DROP TRIGGER task_only_moves_on").unwrap();
    let hash = Digest::of(b"something else").to_string();
    assert_eq!(raw.execute("UPDATE task SET body_hash = ?1 WHERE name = 'cut-0'", [hash]).unwrap(), 1);
    raw.execute_batch(&guard).unwrap();
    drop(raw);
    for n in 1..CUT {
        let ended = shop.orch(&format!("pipeline run --quiet --task cut-{n}")).run().exits(0);
        assert!(ended.stderr().contains("task `cut-0`") && ended.stderr().contains("passed over"), "cut-{n}: {ended}");
    }
    assert_eq!(shop.ledger().len(), CUT - 1);
    let bad = shop.orch("pipeline run --quiet --task cut-0").run();
    assert!(bad.code() == Some(70) && bad.stderr().contains("damaged"), "{bad}");
    shop.orch("verify").run().exits(1).says("cut-0");
}

/// Fills a store with queued tasks, and some whose attempt was intended when everything ended.
fn fill(shop: &Shop, tasks: usize, interrupted: usize) {
    let text = fs::read(shop.tree.join("pipelines/shop.yaml")).unwrap();
    let commit = shop.git(&["rev-parse", "HEAD"]);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let at = jiff::Timestamp::now();
    let mut store = SqliteStore::open(&shop.state()).unwrap();
    let mut changes = Vec::new();
    for n in 0..tasks {
        let cut = n < interrupted;
        let name = TaskName::new(if cut { format!("cut-{n}") } else { format!("queued-{n}") }).unwrap();
        let worktree = PathBuf::from(format!("/gone/{n}"));
        let mut events = vec![Event::TaskAdded { task: name.clone(), worktree, checkout: None, at }];
        if cut {
            let run = RunId::new(uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n as u128));
            let attempt = AttemptId::new(uuid::Uuid::from_u128(0x0199_0000_0001_7000_8000_0000_0000_0000 + n as u128));
            let stage = StageName::new("testing").unwrap();
            fs::create_dir_all(shop.state().join("runs").join(run.to_string())).unwrap();
            events.push(Event::RunStarted(RunStart {
                run,
                pipeline: PipelineName::new("shop").unwrap(),
                pipeline_digest: Digest::of(&text),
                commit: commit.clone(),
                base_commit: commit.clone(),
                stage: stage.clone(),
                boot: boot.clone(),
                host: "host".to_owned(),
                at,
            }));
            events.push(Event::AttemptIntended(Box::new(Intent {
                run,
                attempt,
                stage,
                visit: Ordinal::MIN,
                number: Ordinal::MIN,
                producer: ProducerKind::TestRunner,
                chosen: "declared".to_owned(),
                fallback: false,
                nonce: Nonce::new(uuid::Uuid::from_u128(n as u128)),
                argv: vec!["sh".to_owned(), "suite.sh".to_owned()],
                cwd: shop.tree.clone(),
                env_names: Vec::new(),
                tree: Digest::of(b"tree"),
                dirty: false,
                worktree: None,
                commit: None,
                at,
            })));
        }
        let task = events.iter().fold(None::<Task>, |task, event| Some(step(task.as_ref(), event).unwrap().task));
        let mut change = Change::new(Version::NONE, task.unwrap(), events, name);
        change.pipelines = if cut { vec![PinnedPipeline::of(text.clone())] } else { Vec::new() };
        assert_eq!(change.next.spent, Spent::default());
        changes.push(change);
    }
    for group in changes.chunks(GROUP) {
        for taken in store.commit_all(group).unwrap() {
            taken.unwrap();
        }
    }
}
