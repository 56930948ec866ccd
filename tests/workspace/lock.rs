//! One runner a task, whoever dies when.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use jiff::Timestamp;
use orch::domain::id::{Nonce, TaskName};
use orch::workspace::holder::{Holder, Liveness};
use orch::workspace::lock::{Lock, LockError, LockView, Subject, look};
use orch::workspace::state_dir::{StateDir, StateDirWish};
use orch::workspace::worktree::Worktree;

use crate::support::{Repo, command, git, task};

/// Says to a copy of this test program that it is a contender; `REPO:STATE`.
const CONTENDER: &str = "ORCH_TEST_CONTENDER";

fn card() -> Holder {
    Holder::this_process(Nonce::new(uuid::Uuid::new_v4()), Timestamp::UNIX_EPOCH, &["orch".into(), "run".into()])
}

fn acquire(state: &StateDir, name: &TaskName) -> Result<Lock, LockError> {
    Lock::acquire(state, Subject::Task(name), card())
}

fn holder_of(error: LockError) -> Option<Box<Holder>> {
    match error {
        LockError::Held { holder, .. } => holder,
        other @ (LockError::Unsafe { .. } | LockError::StateDir(_) | LockError::Io { .. }) => panic!("{other}"),
    }
}

/// Plays a contender when asked to; an ordinary run has nothing to do here.
#[test]
fn contender() {
    let Ok(places) = std::env::var(CONTENDER) else { return };
    let (repo, state) = places.split_once(':').unwrap();
    let (repo, state) = (PathBuf::from(repo), PathBuf::from(state));
    let worktree = Worktree::open(&git(&repo), &repo).unwrap();
    let wish = StateDirWish { flag: Some(&state), ..StateDirWish::default() };
    let state = StateDir::open(wish, &worktree, &repo).unwrap();
    let mut line = String::new();
    let mut out = std::io::stderr();
    writeln!(out, "ready").unwrap();
    std::io::stdin().read_line(&mut line).unwrap();
    let lock = acquire(&state, &task("t"));
    match &lock {
        Ok(_) => writeln!(out, "won").unwrap(),
        Err(LockError::Held { .. }) => writeln!(out, "held").unwrap(),
        Err(other) => writeln!(out, "{other}").unwrap(),
    }
    std::io::stdin().read_line(&mut line).unwrap();
}

struct Contender {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Contender {
    fn start(repo: &Repo) -> Self {
        let places = format!("{}:{}", repo.path.display(), repo.scratch.path().join("state").display());
        let mut child = command(std::env::current_exe().unwrap())
            .args(["--exact", "lock::contender", "--nocapture"])
            .env(CONTENDER, places)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut contender = Self { child, said };
        assert_eq!(contender.line(), "ready");
        contender
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn exactly_one_of_64_processes_wins() {
    let repo = Repo::new();
    let mut contenders: Vec<Contender> = (0..64).map(|_| Contender::start(&repo)).collect();
    contenders.iter_mut().for_each(Contender::go);
    let answers: Vec<String> = contenders.iter_mut().map(Contender::line).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == "won").count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| *answer == "held").count(), 63, "{answers:?}");
}

#[test]
fn a_dead_holder_is_taken_over_from_and_a_live_one_named() {
    let repo = Repo::new();
    let state = repo.state();
    assert_eq!(look(&state, Subject::Task(&task("t"))).unwrap(), LockView::Free);
    let mut other = Contender::start(&repo);
    other.go();
    assert_eq!(other.line(), "won");
    let pid = i32::try_from(other.child.id()).unwrap();
    let error = acquire(&state, &task("t")).expect_err("it is held");
    assert!(error.to_string().contains(&format!("pid {pid} on ")), "{error}");
    let holder = holder_of(error).unwrap();
    assert_eq!((holder.pid, holder.liveness()), (pid, Liveness::Alive));
    assert!(matches!(
        look(&state, Subject::Task(&task("t"))).unwrap(),
        LockView::Held { holder: Some(_), heartbeat_at: Some(_) }
    ));
    assert!(acquire(&state, &task("another")).is_ok(), "another task has another lock");

    other.kill();
    assert!(matches!(look(&state, Subject::Task(&task("t"))).unwrap(), LockView::Abandoned(dead) if dead.pid == pid));
    let lock = acquire(&state, &task("t")).unwrap();
    let dead = lock.took_over_from().unwrap();
    assert_eq!((dead.pid, dead.liveness()), (pid, Liveness::Gone));
    assert!(lock.is_ours());
    lock.pulse().unwrap().beat().unwrap();
    lock.release();
    assert_eq!(look(&state, Subject::Task(&task("t"))).unwrap(), LockView::Free);
    assert!(acquire(&state, &task("t")).unwrap().took_over_from().is_none());
    assert!(state.locks_dir().join("t.lock").exists(), "the lock file stays");
}

#[test]
fn a_broken_card_is_an_unknown_holder() {
    let repo = Repo::new();
    let state = repo.state();
    let lock = acquire(&state, &task("t")).unwrap();
    let path = state.locks_dir().join("t.json");
    let whole = std::fs::read(&path).unwrap();
    let half = whole.get(..whole.len() / 2).unwrap();
    for card in [&b""[..], b"{", half, b"\xff\xfe\0", b"null", b"[]"] {
        std::fs::write(&path, card).unwrap();
        let error = acquire(&state, &task("t")).expect_err("the kernel's lock still holds");
        assert!(error.to_string().contains("unknown holder"), "{error}");
        assert!(holder_of(error).is_none());
    }
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(holder_of(acquire(&state, &task("t")).unwrap_err()).is_none());
    drop(lock);
    assert!(path.symlink_metadata().is_ok(), "a card that is not ours is not cleared");
}

#[test]
fn a_lock_file_that_was_taken_away_is_noticed() {
    let repo = Repo::new();
    let state = repo.state();
    let path = state.locks_dir().join("t.lock");
    let lock = acquire(&state, &task("t")).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!lock.is_ours());
    let second = acquire(&state, &task("t")).unwrap();
    assert!(second.is_ours() && !lock.is_ours());
    drop(lock);
    assert!(second.is_ours(), "the first holder does not clear the second one's card");
    drop(second);

    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(acquire(&state, &task("t")), Err(LockError::Unsafe { .. })));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(acquire(&state, &task("t")), Err(LockError::Unsafe { .. })));
}

#[test]
fn a_worktree_has_one_task_at_a_time() {
    let repo = Repo::new();
    let (state, worktree) = (repo.state(), repo.open());
    let lock = Lock::acquire(&state, Subject::Worktree(&worktree), card()).unwrap();
    let error = Lock::acquire(&state, Subject::Worktree(&worktree), card()).expect_err("it is held");
    assert!(error.to_string().contains(worktree.toplevel().to_str().unwrap()), "{error}");
    assert!(acquire(&state, &task("worktree")).is_ok(), "a task's lock is another");
    lock.release();
    assert_eq!(look(&state, Subject::Worktree(&worktree)).unwrap(), LockView::Free);
}

/// A child that ended and is not reaped answers to signal 0, and is dead all the same (fault F9, row F12).
#[test]
fn a_zombie_holds_nothing() {
    let mut child = command("sleep").arg("300").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat().rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let holder = Holder { pid, start_ticks: fields[19].parse().unwrap(), pidfd: None, ..card() };
    assert_eq!(holder.liveness(), Liveness::Alive);
    let handle =
        rustix::process::pidfd_open(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::PidfdFlags::empty())
            .unwrap();
    child.kill().unwrap();
    // Readable when it has ended, and it is not reaped until `wait`.
    let mut fds = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 })), Ok(1));
    assert!(stat().contains(") Z "), "{}", stat());
    assert_eq!(holder.liveness(), Liveness::Gone);
    child.wait().unwrap();
}
