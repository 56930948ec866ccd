//! Kill -9 and errors at system calls of a commit: what was acknowledged is stored, and nothing is stored by half.
//!
//! `strace` sends the signal or the error at the k-th call that changes a file, for k from 1 to the end. The driver
//! is this test binary, started again for the one test `driver`, or `opener` where a migration is disturbed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use orch::store::sqlite::SqliteStore;
use orch::store::{ArtifactBytes, Change, Store as _, StoreError, Version};

use crate::Folder;
use crate::build::{Life, name};
use crate::sample;

/// Calls that change a file, a name or what is on the disk.
const CHANGING: &[&str] = &[
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "fchmod",
    "fchown",
];
/// Calls that need space.
const FILLING: &[&str] = &["pwrite64", "ftruncate", "fallocate", "mkdir", "mkdirat"];
/// Calls that wait for the disk.
const SYNCING: &[&str] = &["fsync", "fdatasync"];

/// The tests that are started again as processes to be disturbed.
const DRIVER: &str = "crash::driver";
const OPENER: &str = "crash::opener";

/// A life with everything in it that a commit can carry: small and large artifacts, effects, a rollback, an end.
fn script() -> Vec<Change> {
    let mut life = Life::new("x");
    let mut changes = vec![life.added(), life.started("a"), life.advanced("b", b"small")];
    changes.push(life.advanced("c", &vec![7; 100_000]));
    let done = changes[2].effects.iter().map(orch::domain::task::Effect::id).collect();
    changes.push(Change { done, ..life.rolled_back("b") });
    changes.push(life.held("b"));
    changes
}

/// Commits the rest of the script and writes each version into the ledger once it is acknowledged.
#[test]
fn driver() {
    let (Ok(state), Ok(ledger)) = (std::env::var("ORCH_DRIVER_STATE"), std::env::var("ORCH_DRIVER_LEDGER")) else {
        return;
    };
    let mut ledger = fs::File::options().append(true).create(true).open(ledger).unwrap();
    let mut say = |line: String| ledger.write_all(format!("{line}\n").as_bytes()).unwrap();
    let repeat = std::env::var("ORCH_DRIVER_CHAIN").ok().map_or(0, |count| count.parse().unwrap());
    match drive(Path::new(&state), &mut say, repeat) {
        Ok(()) => {}
        Err(error) => say(format!("error {}", error_word(&error))),
    }
}

fn drive(state: &Path, say: &mut dyn FnMut(String), chain: u64) -> Result<(), StoreError> {
    let mut store = SqliteStore::open(state)?;
    let mut version = store.task(&name("x"))?.map_or(Version::NONE, |found| found.version);
    for change in script() {
        if change.expected >= version {
            version = store.commit(&change).inspect_err(|error| {
                // After a sync that failed nobody knows what is on the disk: it must not be tried again.
                // (A large artifact's own file is another matter: it is written anew under another name.)
                let ours = matches!(error, StoreError::Io { path, .. } if path.ends_with("orch.db"));
                let again = ours.then(|| store.commit(&change));
                if !matches!(again, None | Some(Err(StoreError::Broken { .. }))) {
                    say("error went on after a failed sync".to_owned());
                }
            })?;
            say(version.to_string());
        }
    }
    if chain > 0 {
        let mut life = Life::numbered("chain", 1000);
        store.commit(&life.added())?;
        store.commit(&life.started("s0"))?;
        for at in 1..=chain {
            store.commit(&life.advanced(&format!("s{at}"), format!("report {at}").as_bytes()))?;
        }
    }
    Ok(())
}

fn error_word(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull { .. } => "disk-full",
        StoreError::Io { .. } => "io",
        StoreError::Broken { .. } => "broken",
        StoreError::ReadOnly { .. } => "read-only",
        _ => "other",
    }
}

/// Runs one of the drivers under `strace`.
fn strace(driver: &str, options: &[String], folder: &Folder, ledger: &Path, chain: u64) -> ExitStatus {
    #[expect(clippy::disallowed_methods, reason = "the test is about a process that dies")]
    Command::new("strace")
        .args(["-f", "-qq"])
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", driver, "--test-threads=1", "-q"])
        .env("ORCH_DRIVER_STATE", folder.path())
        .env("ORCH_DRIVER_LEDGER", ledger)
        .env("ORCH_DRIVER_CHAIN", chain.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("these tests need strace(1)")
}

fn injected(call: &str, fault: &str) -> Vec<String> {
    // `?`: not every machine has every call.
    let (trace, inject) = (format!("trace=?{call}"), format!("inject=?{call}:{fault}"));
    ["-o", "/dev/null", "-e", &trace, "-e", &inject].map(str::to_owned).into()
}

/// The versions that were acknowledged, and the errors.
fn read_ledger(ledger: &Path) -> (Vec<Version>, Vec<String>) {
    let text = fs::read_to_string(ledger).unwrap_or_default();
    let (errors, versions): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("error"));
    let versions = versions.into_iter().map(|line| Version::new(line.parse().unwrap())).collect();
    (versions, errors.into_iter().map(str::to_owned).collect())
}

/// Checks a store after a fault, finishes its script and checks it again.
fn check(folder: &Folder, ledger: &Path, what: &str) {
    let (acknowledged, _) = read_ledger(ledger);
    let whole: Vec<Version> = script().iter().map(Change::version).collect();
    let store = SqliteStore::open(&folder.path()).unwrap_or_else(|error| panic!("{what}: {error}: {error:?}"));
    let found = store.task(&name("x")).unwrap().map_or(Version::NONE, |found| found.version);
    let last = acknowledged.last().copied().unwrap_or_default();
    assert!(found >= last, "{what}: {last} was acknowledged and {found} is stored");
    assert!(found == Version::NONE || whole.contains(&found), "{what}: half a change is stored, {found}");
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{what}: {:#?}", audit.findings);
    for change in script().iter().filter(|change| change.version() <= found) {
        for ArtifactBytes { digest, bytes } in &change.artifacts {
            assert_eq!(store.artifact(digest).unwrap().as_ref(), Some(bytes), "{what}");
        }
    }
    drop(store);
    drive(&folder.path(), &mut |_| {}, 0).unwrap_or_else(|error| panic!("{what}: {error}: {error:?}"));
    let store = folder.store();
    assert_eq!(Some(&store.task(&name("x")).unwrap().unwrap().version), whole.last(), "{what}");
    assert!(store.verify().unwrap().is_clean(), "{what}");
}

/// Tries a fault at the k-th of each of some calls, until what is tried comes to its end without one; how many faults
/// that were. Of `pwrite64` every fourth is taken, because its neighbours are pages of one write;
/// `ORCH_CRASH_STRIDE=1` takes all.
fn at_every(calls: &[&str], fault: impl Fn(u32) -> String, trial: impl Fn(&[String], &str) -> bool) -> u32 {
    const MOST: u32 = 2000;
    let pages = std::env::var("ORCH_CRASH_STRIDE").map_or(4, |stride| stride.parse().unwrap());
    let mut faults = 0;
    for call in calls {
        let stride = if *call == "pwrite64" { pages } else { 1 };
        let done = (1..MOST).step_by(stride).any(|k| {
            faults += 1;
            trial(&injected(call, &fault(k)), &format!("{call} {k}"))
        });
        assert!(done, "the driver never came to its end");
        faults -= 1;
    }
    faults
}

/// A trial that commits the script; whether it came to its end.
fn scripted(judge: impl Fn(&Folder, &Path, &str)) -> impl Fn(&[String], &str) -> bool {
    move |options, what| {
        let folder = Folder::new();
        let ledger = folder.path().with_file_name("ledger");
        let status = strace(DRIVER, options, &folder, &ledger, 0);
        judge(&folder, &ledger, what);
        let (acknowledged, errors) = read_ledger(&ledger);
        status.success() && errors.is_empty() && acknowledged.len() == script().len()
    }
}

/// Security and reliability G2 for this module.
#[test]
fn killed_at_every_changing_call() {
    let kill = |k| format!("signal=SIGKILL:when={k}");
    let faults = at_every(CHANGING, kill, scripted(check));
    assert!(faults > 50, "only {faults} points");
}

/// The disk is full from the k-th call on: every error says so, nothing is half stored, and with space it goes on.
#[test]
fn a_full_disk_is_named_and_harmless() {
    let full = |k| format!("error=ENOSPC:when={k}+");
    let judge = |folder: &Folder, ledger: &Path, what: &str| {
        let (_, errors) = read_ledger(ledger);
        // SQLite reports a full disk under its index as an I/O error of the index.
        assert!(errors.iter().all(|error| error == "error disk-full" || error == "error io"), "{what}: {errors:?}");
        check(folder, ledger, what);
    };
    at_every(FILLING, full, scripted(judge));
}

/// A sync that fails is not acknowledged, and the store takes nothing more until it is opened again.
#[test]
fn a_failed_sync_is_never_acknowledged() {
    let fail = |k| format!("error=EIO:when={k}");
    let judge = |folder: &Folder, ledger: &Path, what: &str| {
        let (_, errors) = read_ledger(ledger);
        assert!(errors.len() <= 1 && errors.iter().all(|error| error == "error io"), "{what}: {errors:?}");
        check(folder, ledger, what);
    };
    at_every(SYNCING, fail, scripted(judge));
}

/// Opens a store, which migrates an older one.
#[test]
fn opener() {
    if let Ok(state) = std::env::var("ORCH_DRIVER_STATE") {
        SqliteStore::open(Path::new(&state)).unwrap();
    }
}

/// A filled store of the first schema, as a life with a log leaves it or as a restored copy is.
fn older(mode: &str) -> (Folder, String) {
    let folder = sample::folder_of(sample::FIRST_RUN);
    let raw = folder.raw();
    raw.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
    let rows = sample::rows(&raw);
    (folder, rows)
}

/// Opened after a migration was disturbed: it is the old store or the new one, whole, and opening it ends the
/// migration. The copy is there before anything changes.
fn check_migrated(folder: &Folder, before: &str, what: &str) {
    let store = SqliteStore::open(&folder.path()).unwrap_or_else(|error| panic!("{what}: {error}: {error:?}"));
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{what}: {:#?}", audit.findings);
    sample::assert_replays(&store);
    let raw = folder.raw();
    let number: u32 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!((number, sample::rows(&raw).as_str()), (2, before), "{what}");
    let copy = rusqlite::Connection::open(folder.path().join("backups/orch.schema-1.event-43.db")).unwrap();
    assert_eq!(sample::rows(&copy), before, "{what}: the copy");
}

/// Row D8: a migration that is killed anywhere loses nothing and is brought to its end by the next one to open.
#[test]
fn a_migration_may_be_killed_at_every_changing_call() {
    kill_migrations("wal");
}

/// A copy that was put in the store's place has no log yet: the migration itself uses a journal there.
#[test]
fn a_migration_of_a_restored_copy_may_be_killed_at_every_changing_call() {
    kill_migrations("delete");
}

fn kill_migrations(mode: &str) {
    let kill = |k| format!("signal=SIGKILL:when={k}");
    let faults = at_every(CHANGING, kill, |options, what| {
        let (folder, before) = older(mode);
        let status = strace(OPENER, options, &folder, Path::new("/dev/null"), 0);
        check_migrated(&folder, &before, &format!("{mode}, {what}"));
        status.success()
    });
    assert!(faults > 30, "only {faults} points with {mode}");
}

/// A disk that is full, or fails, while a store is migrated leaves it as it was.
#[test]
fn a_migration_without_space_changes_nothing() {
    for (calls, error) in [(FILLING, "ENOSPC"), (SYNCING, "EIO")] {
        let fail = |k| format!("error={error}:when={k}+");
        at_every(calls, fail, |options, what| {
            let (folder, before) = older("wal");
            let status = strace(OPENER, options, &folder, Path::new("/dev/null"), 0);
            check_migrated(&folder, &before, &format!("{error}, {what}"));
            status.success()
        });
    }
}

/// PERFORMANCE b4: one sync a stage, and it is `fdatasync`; no new file, no rename, no second sync.
#[test]
fn a_change_is_one_sync() {
    let calls = |chain: u64| {
        let folder = Folder::new();
        let log = folder.path().with_file_name("calls");
        let options = ["-o", log.to_str().unwrap(), "-e", "trace=fsync,fdatasync,openat,rename,unlink,ftruncate"];
        let status =
            strace(DRIVER, &options.map(str::to_owned), &folder, &folder.path().with_file_name("ledger"), chain);
        assert!(status.success());
        let text = fs::read_to_string(log).unwrap();
        let count = |call: &str| text.lines().filter(|line| line.contains(&format!("{call}("))).count();
        ["fdatasync", "fsync", "openat", "rename", "unlink", "ftruncate"].map(count)
    };
    let (short, long) = (calls(5), calls(25));
    let more: Vec<usize> = long.iter().zip(short).map(|(long, short)| long - short).collect();
    assert_eq!(more, [20, 0, 0, 0, 0, 0]);
}
