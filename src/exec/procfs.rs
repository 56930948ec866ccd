//! Reading processes from `/proc`.

use std::fs;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// What is needed of `/proc/PID/stat`, as in proc(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// Command name, at most 15 bytes, with what is not UTF-8 replaced.
    pub(super) name: String,
    /// Whether it has ended and waits to be reaped.
    pub(super) zombie: bool,
    /// Its parent.
    pub(super) parent: i32,
    /// Its process group.
    pub(super) group: i32,
    /// Its start in clock ticks after boot.
    pub(super) started: u64,
}

impl Stat {
    /// Reads one; `None` when there is no such process any more.
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::parse(&read(&format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command name may hold blanks and brackets: fields are counted from the last closing one.
    fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let name = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
        let mut rest = std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace();
        let state = rest.next()?;
        let parent = rest.next()?.parse().ok()?;
        let group = rest.next()?.parse().ok()?;
        // Field 22; three of those behind the name are taken.
        let started = rest.nth(16)?.parse().ok()?;
        Some(Self { name, zombie: matches!(state, "Z" | "X" | "x"), parent, group, started })
    }
}

/// Reads one of a process's files, which do not tell their size: `std` asks for it and then reads in five steps, for
/// each of hundreds of processes.
fn read(path: &str) -> Result<Vec<u8>, Errno> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        bytes.reserve(1);
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Every pid there is.
pub(super) fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The value that a process was given for a name at its start. `None` where it may not be read.
pub(super) fn given(pid: i32, name: &str) -> Option<String> {
    let block = read(&format!("/proc/{pid}/environ")).ok()?;
    let value =
        block.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Whether a process was given exactly `NAME=value` at its start. `false` where it may not be read.
pub(super) fn was_given(pid: i32, pair: &str) -> bool {
    read(&format!("/proc/{pid}/environ"))
        .is_ok_and(|block| block.split(|byte| *byte == 0).any(|given| given == pair.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_blanks_are_read() {
        let line = b"42 (a) b (c) S 7 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2 3\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat, Stat { name: "a) b (c".into(), zombie: false, parent: 7, group: 40, started: 12345 });
    }

    #[test]
    fn our_own_is_there() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let stat = Stat::read(own).unwrap();
        assert!(!stat.zombie && stat.started > 0 && pids().contains(&own));
        assert_eq!(stat.parent, rustix::process::getppid().unwrap().as_raw_nonzero().get());
    }
}
