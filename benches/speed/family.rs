//! A family of 51 processes that is hard to end, as a stage's producer: 36 plain, 10 that ignore requests, 2 in a group of their
//! own, 1 in a session of its own, 1 in a session of its own and forked twice, and their parent.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

/// In the environment of every member.
pub(crate) const MARK: &str = "BENCH_FAMILY";

/// Longest life of a member, in seconds, should nobody end it.
const LIFE_S: &str = "60";

/// How many there are.
pub(crate) const SIZE: usize = 51;

/// Grows the family, says so by making the file, and waits.
pub(crate) fn grow(words: &[String]) -> ExitCode {
    let [said] = words else { panic!("family FILE") };
    let sleep = || {
        let mut command = Command::new("sleep");
        command.arg(LIFE_S).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let shell = |text: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", text]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut children = Vec::new();
    for _ in 0..36 {
        children.push(sleep().spawn().unwrap());
    }
    for _ in 0..10 {
        children.push(shell(&format!("trap '' TERM INT HUP; exec sleep {LIFE_S}")).spawn().unwrap());
    }
    for _ in 0..2 {
        children.push(sleep().process_group(0).spawn().unwrap());
    }
    children.push(shell(&format!("exec setsid sleep {LIFE_S}")).spawn().unwrap());
    shell(&format!("(setsid sleep {LIFE_S} &)")).status().unwrap();
    while alive() < SIZE {
        rustix::thread::sched_yield();
    }
    std::fs::write(said, "grown").unwrap();
    for mut child in children {
        child.wait().unwrap();
    }
    ExitCode::SUCCESS
}

/// How many members are alive, of the family that this process's environment, or its own mark, names.
pub(crate) fn alive() -> usize {
    alive_of(&std::env::var(MARK).unwrap())
}

/// How many members of a family are alive.
pub(crate) fn alive_of(name: &str) -> usize {
    let mark = format!("{MARK}={name}");
    let member = |pid: &std::ffi::OsStr| {
        let folder = std::path::Path::new("/proc").join(pid);
        // A zombie has no environment; a process on its way to its program is still the shell.
        let sleeps = std::fs::read(folder.join("comm")).is_ok_and(|name| name != b"sh\n" && name != b"setsid\n");
        let marked = std::fs::read(folder.join("environ"))
            .is_ok_and(|env| env.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes()));
        sleeps && marked
    };
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.map(|entry| entry.file_name()).filter(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    pids.filter(|pid| member(pid)).count()
}
