//! What a person sees while an attempt runs: on a real terminal, and where stderr is a pipe.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Orch, PASSES, Shop, Testing, WAITS};

/// Longest wait for a word; far beyond what any test takes.
const DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Says something that would steer a terminal, and waits.
fn suite() -> String {
    format!("printf 'one\\n\\033[31mt\\303\\251st two ##[error]\\n'\n{WAITS}{PASSES}")
}

/// A terminal: what is written to it can be read here.
fn terminal(columns: u16) -> (File, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (File::from(master), slave)
}

/// Reads until a part has come, or the other side is gone.
fn read_until(from: &mut File, so_far: &mut String, part: &str) {
    let mut bytes = [0; 4096];
    while !so_far.contains(part) {
        let mut fds = [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&DEADLINE)), Ok(1), "nothing came: {so_far:?}");
        match from.read(&mut bytes) {
            // A terminal whose other side is closed answers EIO.
            Ok(0) | Err(_) => return,
            Ok(n) => so_far.push_str(&String::from_utf8_lossy(bytes.get(..n).unwrap())),
        }
    }
}

/// Runs a suite that waits until `part` was seen on stderr; gives all of stderr.
fn watched(shop: &Shop, call: Orch, stderr: (File, OwnedFd), part: &str) -> String {
    let (mut said, mut go) = shop.said_and_go();
    let (mut from, to) = stderr;
    let going = call.start_talking_to(to);
    said.next();
    let mut seen = String::new();
    read_until(&mut from, &mut seen, part);
    assert!(seen.contains(part), "{part:?} never came: {seen:?}");
    go.say("on");
    read_until(&mut from, &mut seen, "never");
    let stdout = going.end().exits(0).says("task main: done").stdout();
    assert!(!stdout.contains("last output") && !stdout.contains('\u{1b}'), "{stdout}");
    seen
}

fn pipe() -> (File, OwnedFd) {
    let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (File::from(from), to)
}

#[test]
fn a_terminal_has_one_line_that_is_rewritten_and_taken_away() {
    let shop = Shop::running(&suite());
    let call = shop.orch("pipeline run").env("TERM", "xterm");
    let seen = watched(&shop, call, terminal(120), "last output");
    let line = seen.split("\r\u{1b}[2K").find(|part| part.contains("last output")).unwrap();
    assert!(line.starts_with("orch: testing: ") && line.ends_with(": \\x1b[31mtést two # #[error]"), "{line:?}");
    assert!(!line.contains('\n'), "{line:?}");
    // Taken away before the next word; nothing but the line is without an end.
    let decided = seen.find("orch: testing: passed").unwrap();
    assert!(seen.get(..decided).unwrap().ends_with("\r\u{1b}[2K"), "{seen:?}");
    assert!(seen.ends_with('\n'), "{seen:?}");
}

#[test]
fn the_line_fits_the_terminal_and_the_locale() {
    let shop = Shop::running(&suite());
    let call = shop.orch("pipeline run").env("TERM", "xterm").env("LC_ALL", "C");
    let seen = watched(&shop, call, terminal(40), "last");
    let lines = seen.split("\r\u{1b}[2K").filter(|part| part.starts_with("orch: testing: ") && part.contains("last"));
    for line in lines {
        let line = line.split('\r').next().unwrap();
        assert!(line.len() < 40 && line.is_ascii(), "{line:?}");
    }
}

#[test]
fn marks_are_coloured_unless_nobody_wants_that() {
    let pipeline = Testing::new().stage("idle-timeout: 6s\n    timeout: 100s").text();
    let shop = Shop::new(&pipeline, &[("suite.sh", &suite())]);
    let seen = watched(&shop, shop.orch("pipeline run").env("TERM", "xterm"), terminal(200), "IDLE (limit 6s)");
    assert!(seen.contains("\u{1b}[1;33m IDLE (limit 6s)\u{1b}[0m"), "{seen:?}");
    let shop = Shop::new(&pipeline, &[("suite.sh", &suite())]);
    let call = shop.orch("pipeline run").env("TERM", "xterm").env("NO_COLOR", "1");
    let seen = watched(&shop, call, terminal(200), "IDLE (limit 6s)");
    assert!(!seen.contains("\u{1b}[1;33m"), "{seen:?}");
}

#[test]
fn elsewhere_a_plain_line_comes_now_and_then() {
    let check = |call: Orch, shop: &Shop, stderr: (File, OwnedFd)| {
        let seen = watched(shop, call, stderr, "last output");
        assert!(!seen.contains('\u{1b}') && !seen.replace("\r\n", "\n").contains('\r'), "{seen:?}");
        let line = seen.lines().find(|line| line.contains("last output")).unwrap();
        assert!(line.starts_with("orch: testing: ") && line.contains(" bytes, last output "), "{line:?}");
    };
    let shop = Shop::running(&suite());
    check(shop.orch("pipeline run --progress-s 1"), &shop, pipe());
    // A terminal that cannot move its cursor.
    let shop = Shop::running(&suite());
    check(shop.orch("pipeline run --progress-s 1").env("TERM", "dumb"), &shop, terminal(120));
}

#[test]
fn quiet_shows_none() {
    let pipeline = Testing::new().stage("timeout: 1200ms").text();
    let check = |words: &str, (mut from, to): (File, OwnedFd)| {
        let shop = Shop::new(&pipeline, &[("suite.sh", "echo one\nexec sleep 100\n")]);
        let going = shop.orch(words).env("TERM", "xterm").start_talking_to(to);
        let mut seen = String::new();
        read_until(&mut from, &mut seen, "never");
        going.end().exits(75);
        assert!(seen.contains("orch: testing: ") && !seen.contains("output"), "{words}: {seen:?}");
    };
    check("pipeline run --quiet", terminal(120));
    check("pipeline run --progress-s 0", pipe());
}

#[test]
fn a_git_that_does_not_answer_is_told() {
    let shop = Shop::running(PASSES);
    // git reads this file for each list, and waits for somebody to write into the FIFO.
    let exclude = Path::new(&shop.git(&["rev-parse", "--absolute-git-dir"])).join("info/exclude");
    std::fs::create_dir_all(exclude.parent().unwrap()).unwrap();
    std::fs::remove_file(&exclude).ok();
    rustix::fs::mkfifoat(rustix::fs::CWD, &exclude, Mode::from_raw_mode(0o600)).unwrap();
    let mut said = shop.fifo("said");
    let going =
        shop.orch("pipeline run").start_talking_to(File::options().write(true).open(shop.scratch("said")).unwrap());
    while !said.next().contains("git has not answered for 5 s: it was asked to list the files of the worktree") {}
    // Both lists wait; whoever comes later finds a file.
    let writer = rustix::fs::open(&exclude, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    std::fs::write(exclude.with_extension("new"), "").unwrap();
    std::fs::rename(exclude.with_extension("new"), &exclude).unwrap();
    drop(writer);
    going.end().exits(0);
}
