//! The artifact's place: nothing old answers, nothing is followed, nothing is half.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use orch::domain::id::Digest;
use orch::domain::verdict::UnreadableReason;
use orch::workspace::artifact::{ARTIFACT_BYTES_MAX, Durability, Taken, publish, read_back, sweep, take_away};
use orch::workspace::report::{REPORT_BYTES_MAX, Report, clear_report, read_report, stands};
use orch::workspace::root::Root;

use crate::support::{below, command};

const PLACE: &str = "docs/work-items/t/13-test-report.md";

struct Scene {
    scratch: tempfile::TempDir,
    root: Root,
}

impl Scene {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("tree")).unwrap();
        let root = Root::open(&scratch.path().join("tree")).unwrap();
        Self { scratch, root }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.scratch.path().join("tree").join(path)
    }

    fn with_folder(self) -> Self {
        std::fs::create_dir_all(self.at(PLACE).parent().unwrap()).unwrap();
        self
    }

    fn moved(&self) -> std::path::PathBuf {
        self.scratch.path().join("moved")
    }

    fn refusal(&self) -> UnreadableReason {
        read_back(&self.root, &below(PLACE), ARTIFACT_BYTES_MAX).expect_err("no verdict can be in it").reason
    }
}

fn fifo(path: &Path) {
    assert!(command("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_is_published_is_read_back() {
    let scene = Scene::new();
    for (text, durability) in [("one\n", Durability::Relaxed), ("two\n", Durability::Synced)] {
        publish(&scene.root, &below(PLACE), text.as_bytes(), durability).unwrap();
        assert_eq!(read_back(&scene.root, &below(PLACE), ARTIFACT_BYTES_MAX).unwrap(), text.as_bytes());
    }
    let found = std::fs::metadata(scene.at(PLACE)).unwrap();
    assert_eq!(found.mode() & 0o133, 0, "for people: readable as the umask says, not executable");
    assert_eq!(std::fs::read_dir(scene.at(PLACE).parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    publish(&scene.root, &below("top.md"), b"x", Durability::Relaxed).unwrap();
}

#[test]
fn a_link_is_neither_written_through_nor_read_through() {
    let scene = Scene::new().with_folder();
    let secret = scene.scratch.path().join("secret");
    std::fs::write(&secret, "result: PASS").unwrap();
    symlink(&secret, scene.at(PLACE)).unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    publish(&scene.root, &below(PLACE), b"new", Durability::Relaxed).unwrap();
    assert_eq!(std::fs::read(&secret).unwrap(), b"result: PASS");
    assert!(scene.at(PLACE).symlink_metadata().unwrap().is_file());

    std::fs::remove_dir_all(scene.at("docs")).unwrap();
    let outside = scene.scratch.path().join("outside");
    std::fs::create_dir_all(outside.join("work-items/t")).unwrap();
    std::fs::write(outside.join("work-items/t/13-test-report.md"), "result: PASS").unwrap();
    symlink(&outside, scene.at("docs")).unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    let error = publish(&scene.root, &below(PLACE), b"new", Durability::Relaxed).expect_err("a link on the way");
    assert!(error.help().contains("link"), "{}", error.help());
    take_away(&scene.root, &below(PLACE), None, &scene.moved()).expect_err("a link on the way");
    assert_eq!(std::fs::read(outside.join("work-items/t/13-test-report.md")).unwrap(), b"result: PASS");
}

#[test]
fn only_a_plain_file_of_ours_is_read() {
    let scene = Scene::new();
    assert_eq!(scene.refusal(), UnreadableReason::Missing);
    let scene = scene.with_folder();
    assert_eq!(scene.refusal(), UnreadableReason::Missing);

    fifo(&scene.at(PLACE));
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    std::fs::remove_file(scene.at(PLACE)).unwrap();

    let _socket = std::os::unix::net::UnixListener::bind(scene.at(PLACE)).unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    std::fs::remove_file(scene.at(PLACE)).unwrap();

    std::fs::create_dir(scene.at(PLACE)).unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    std::fs::remove_dir(scene.at(PLACE)).unwrap();

    std::fs::write(scene.at("other"), "result: PASS").unwrap();
    std::fs::hard_link(scene.at("other"), scene.at(PLACE)).unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    std::fs::remove_file(scene.at(PLACE)).unwrap();

    std::fs::File::create(scene.at(PLACE)).unwrap().set_len(8 << 30).unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::TooLarge);

    std::fs::write(scene.at(PLACE), vec![b'x'; 1024]).unwrap();
    assert!(read_back(&scene.root, &below(PLACE), 1024).is_ok());
    assert_eq!(read_back(&scene.root, &below(PLACE), 1023).unwrap_err().reason, UnreadableReason::TooLarge);

    if std::os::unix::fs::chown(scene.at(PLACE), Some(12345), None).is_ok() {
        assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
    }
    std::fs::remove_file(scene.at(PLACE)).unwrap();
    std::fs::remove_dir(scene.at("docs/work-items/t")).unwrap();
    std::fs::write(scene.at("docs/work-items/t"), "").unwrap();
    assert_eq!(scene.refusal(), UnreadableReason::NotAFile);
}

#[test]
fn a_file_that_is_swapped_all_the_time_gives_whole_bytes_or_none() {
    let scene = Scene::new().with_folder();
    let texts = [vec![b'a'; 70_000], vec![b'b'; 50_000]];
    publish(&scene.root, &below(PLACE), &texts[0], Durability::Relaxed).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let other = Root::open(scene.root.path()).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for text in &texts {
                    publish(&other, &below(PLACE), text, Durability::Relaxed).unwrap();
                }
            }
        });
        let mut whole = 0;
        for _ in 0..500 {
            match read_back(&scene.root, &below(PLACE), ARTIFACT_BYTES_MAX) {
                Ok(bytes) => {
                    assert!(texts.contains(&bytes), "{} bytes", bytes.len());
                    whole += 1;
                }
                Err(found) => assert_eq!(found.reason, UnreadableReason::Unopenable, "{found}"),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(whole > 0);
    });
}

#[test]
fn nothing_old_can_answer() {
    let scene = Scene::new();
    let ours = Digest::of(b"ours");
    let take = |published| take_away(&scene.root, &below(PLACE), published, &scene.moved()).unwrap();
    assert_eq!(take(None), Taken::Nothing);
    publish(&scene.root, &below(PLACE), b"ours", Durability::Relaxed).unwrap();
    assert_eq!(take(Some(&ours)), Taken::Published);
    assert_eq!(take(Some(&ours)), Taken::Nothing);
    assert!(!scene.moved().exists(), "the folder is made only when something must be kept");

    publish(&scene.root, &below(PLACE), b"edited", Durability::Relaxed).unwrap();
    let Taken::Moved { kind: "file", to } = take(Some(&ours)) else { panic!("it must be kept") };
    assert_eq!(std::fs::read(&to).unwrap(), b"edited");
    assert_eq!(std::fs::metadata(scene.moved()).unwrap().mode() & 0o777, 0o700);

    symlink("/etc/passwd", scene.at(PLACE)).unwrap();
    let Taken::Moved { kind: "symbolic link", to } = take(None) else { panic!("it must be kept") };
    assert_eq!(std::fs::read_link(&to).unwrap(), Path::new("/etc/passwd"));
    fifo(&scene.at(PLACE));
    assert!(matches!(take(None), Taken::Moved { kind: "FIFO", .. }));
    std::fs::create_dir(scene.at(PLACE)).unwrap();
    std::fs::write(scene.at(PLACE).join("inside"), "").unwrap();
    assert!(matches!(take(None), Taken::Moved { kind: "folder", .. }));
    assert_eq!(std::fs::read_dir(scene.moved()).unwrap().count(), 4);
    assert_eq!(scene.refusal(), UnreadableReason::Missing);
}

#[test]
fn the_state_folder_may_be_on_another_file_system() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    let scene = Scene::new().with_folder();
    let to = elsewhere.path().join("moved");
    let take = || take_away(&scene.root, &below(PLACE), None, &to).unwrap();
    std::fs::write(scene.at(PLACE), "text").unwrap();
    let Taken::Moved { kind: "file", to: kept } = take() else { panic!("it must be kept") };
    assert_eq!(std::fs::read(kept).unwrap(), b"text");
    symlink("/etc/passwd", scene.at(PLACE)).unwrap();
    let Taken::Moved { kind: "symbolic link", to: kept } = take() else { panic!("it must be kept") };
    assert_eq!(std::fs::read(kept).unwrap(), b"symbolic link to /etc/passwd\n");
    fifo(&scene.at(PLACE));
    assert!(matches!(take(), Taken::Moved { kind: "FIFO", .. }));
    std::fs::create_dir(scene.at(PLACE)).unwrap();
    assert!(matches!(take(), Taken::SetAside { .. } | Taken::Moved { .. }));
    assert!(scene.at(PLACE).symlink_metadata().is_err());
}

#[test]
fn a_killed_publish_leaves_nothing_for_long() {
    let scene = Scene::new().with_folder();
    let folder = scene.at(PLACE).parent().unwrap().to_owned();
    let ours = folder.join(format!(".orch-tmp-{}", "0a".repeat(16)));
    let foreign = [folder.join(".orch-tmp-x"), folder.join(format!(".orch-tmp-{}", "zz".repeat(16)))];
    std::fs::write(&ours, "half").unwrap();
    for path in &foreign {
        std::fs::write(path, "").unwrap();
    }
    assert_eq!(sweep(&scene.root, &below(PLACE)).unwrap(), 1);
    assert!(!ours.exists() && foreign.iter().all(|path| path.exists()));
    assert_eq!(sweep(&scene.root, &below("no/where")).unwrap(), 0);
}

#[test]
fn a_report_counts_only_when_it_is_new() {
    let scene = Scene::new();
    let report = below("target/junit.xml");
    let started_at = now();
    let read = |started_at| read_report(&scene.root, &report, started_at, REPORT_BYTES_MAX);
    assert_eq!(read(started_at), Report::Missing);
    assert!(!clear_report(&scene.root, &report).unwrap());
    std::fs::create_dir(scene.at("target")).unwrap();
    std::fs::write(scene.at("target/junit.xml"), "<x/>").unwrap();
    assert!(stands(&scene.root, &report).unwrap());
    assert_eq!(read(started_at), Report::Bytes(b"<x/>".to_vec()));
    assert_eq!(read(started_at + Duration::from_mins(1)), Report::Stale);
    // A copy that a build cache restored with its old time.
    let file = std::fs::File::options().write(true).open(scene.at("target/junit.xml")).unwrap();
    file.set_modified((started_at - Duration::from_hours(1)).into()).unwrap();
    assert_eq!(read(started_at), Report::Stale);
    assert!(matches!(read_report(&scene.root, &report, started_at, 3), Report::Broken(_)));

    assert!(clear_report(&scene.root, &report).unwrap());
    assert_eq!(read(started_at), Report::Missing);
    let secret = scene.scratch.path().join("secret.xml");
    std::fs::write(&secret, "<x/>").unwrap();
    symlink(&secret, scene.at("target/junit.xml")).unwrap();
    assert!(matches!(read(started_at), Report::Broken(why) if why.contains("link")));
    assert!(clear_report(&scene.root, &report).unwrap());
    assert!(secret.exists());
    std::fs::create_dir(scene.at("target/junit.xml")).unwrap();
    assert!(clear_report(&scene.root, &report).is_err());
    std::fs::remove_dir_all(scene.at("target")).unwrap();
    symlink(scene.scratch.path(), scene.at("target")).unwrap();
    assert!(clear_report(&scene.root, &below("target/secret.xml")).is_err());
    assert!(secret.exists());
    let mode = secret.metadata().unwrap().permissions().mode();
    assert_ne!(mode, 0);
}

#[expect(clippy::disallowed_methods, reason = "a test is where time comes from")]
fn now() -> Timestamp {
    Timestamp::now()
}
