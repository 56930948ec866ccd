//! One output stream: from the child's pipe into the run's log file.
//!
//! Producers get pipes and never the files (docs/design/0003-supervisor.md): through `/dev/stderr` a script can open
//! what it is given once more, and cut a file it was given to nothing. The supervisor drains with `splice`, and by reading and
//! writing once output flows: a `splice` holds the pipe for as long as the file takes, and the child waits. It bounds
//! what is kept, and goes on draining when the disk does not take any more, so that a child never waits for the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};

use crate::domain::evidence::LogSpan;

/// Kept from the start of a stream that is above its bound, in bytes.
const HEAD_BYTES: u64 = 8 * 1024 * 1024;
/// Kept at least from its end, in bytes.
const TAIL_BYTES: u64 = 24 * 1024 * 1024;
/// Granularity of holes, in bytes; the block size of common file systems.
const BLOCK_BYTES: u64 = 4096;
/// Size of the pipe once output flows, in bytes: the most that an unprivileged process may ask for by default.
const PIPE_BYTES: usize = 1024 * 1024;
/// A single gulp of this size shows that output flows, in bytes.
const FLOWING_BYTES: u64 = 16 * 1024;
/// Buffer where output flows, or where the file system does not take a `splice`, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;
/// How long a file that refused bytes is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A log file of the run. The supervisor is its only writer.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Where the next byte goes.
    end: u64,
    takes_splice: bool,
    takes_holes: bool,
    /// Made when it is needed first, and kept.
    buffer: Vec<u8>,
}

impl Log {
    /// Opens or makes a log file and goes to its end.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("an open flag fits a C int");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow)
            .open(path)?;
        let end = file.metadata()?.len();
        Ok(Self { file, end, takes_splice: true, takes_holes: true, buffer: Vec::new() })
    }

    /// Its end, in bytes.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }
}

/// What one look at the pipe gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Bytes came; there may be more.
    Some,
    /// Nothing is there now.
    Nothing,
    /// Nobody can write any more.
    End,
}

/// One stream of one attempt.
#[derive(Debug)]
pub(super) struct Capture {
    pipe: Option<OwnedFd>,
    start: u64,
    bytes: u64,
    dropped: Option<Range<u64>>,
    max: u64,
    /// The bound was reached and the file system has no holes: nothing more is kept.
    full: bool,
    /// The file refused bytes and is left alone until then.
    refused: Option<Duration>,
    /// Output flows: the pipe was widened, and is read and written.
    flows: bool,
}

impl Capture {
    /// Starts at the end of the log.
    pub(super) const fn new(pipe: OwnedFd, log: &Log, output_max_bytes: u64) -> Self {
        Self {
            pipe: Some(pipe),
            start: log.end,
            bytes: 0,
            dropped: None,
            max: output_max_bytes,
            full: false,
            refused: None,
            flows: false,
        }
    }

    /// The pipe, while somebody may write into it.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Moves what is there, at most a pipe's content. Never waits for the child.
    pub(super) fn pump(&mut self, log: &mut Log, null: BorrowedFd<'_>, now: Duration) -> Pumped {
        let Some(pipe) = self.pipe.take() else { return Pumped::End };
        let may_keep = !self.full && self.refused.is_none_or(|until| now >= until);
        let moved = if may_keep { keep(&pipe, log, self.flows) } else { discard(&pipe, null).map(Moved::Dropped) };
        let retry_at = now.saturating_add(RETRY_AFTER);
        let moved = match moved {
            Err(Refusal::File) => {
                self.refused = Some(retry_at);
                discard(&pipe, null).map(Moved::Dropped)
            }
            other => other,
        };
        let (count, kept) = match moved {
            Ok(Moved::Kept(count)) => (count, true),
            Ok(Moved::Dropped(count)) => (count, false),
            Ok(Moved::Refused(count)) => {
                self.refused = Some(retry_at);
                (count, false)
            }
            Err(Refusal::Empty) => {
                self.pipe = Some(pipe);
                return Pumped::Nothing;
            }
            // A pipe that can neither be kept nor discarded is closed, so that the child cannot fill it and hang.
            Err(Refusal::File) => return Pumped::End,
        };
        if count == 0 {
            return Pumped::End;
        }
        if !self.flows && count >= FLOWING_BYTES {
            // Refused when the user's pipes take too much memory together; the small pipe works as well.
            fcntl_setpipe_size(&pipe, PIPE_BYTES).ok();
            self.flows = true;
        }
        self.pipe = Some(pipe);
        let from = log.end;
        log.end += count;
        self.bytes += count;
        if !kept {
            self.drop_range(from..log.end);
        }
        self.keep_bound(log);
        Pumped::Some
    }

    /// Its part of the log file. Nothing is read any more.
    pub(super) fn finish(self, log: &Log) -> LogSpan {
        if self.dropped.as_ref().is_some_and(|range| range.end == log.end) {
            // The file ends in bytes that were never written. Without a size for them they still count as a hole once
            // something follows.
            log.file.set_len(log.end).ok();
        }
        LogSpan {
            start: self.start,
            bytes: self.bytes,
            dropped: self.dropped.map(|range| (range.start, range.end - range.start)),
        }
    }

    /// One range is reported: it spans everything that was dropped.
    fn drop_range(&mut self, more: Range<u64>) {
        self.dropped = Some(match self.dropped.take() {
            None => more,
            Some(known) => known.start.min(more.start)..known.end.max(more.end),
        });
    }

    fn keep_bound(&mut self, log: &mut Log) {
        let dropped = self.dropped.as_ref().map_or(0, |range| range.end - range.start);
        if self.bytes.saturating_sub(dropped) <= self.max || self.full {
            return;
        }
        let head = HEAD_BYTES.min(self.max / 4);
        let tail = TAIL_BYTES.min(self.max / 2);
        let from = (self.start + head).next_multiple_of(BLOCK_BYTES);
        let to = (log.end.saturating_sub(tail) / BLOCK_BYTES) * BLOCK_BYTES;
        let fresh = self.dropped.as_ref().map_or(from, |range| from.max(range.end))..to;
        if !log.takes_holes {
            self.full = true;
        } else if fresh.start < fresh.end {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&log.file, flags, fresh.start, fresh.end - fresh.start) {
                Ok(()) => self.drop_range(from.min(fresh.start)..fresh.end),
                Err(_no_holes_here) => {
                    log.takes_holes = false;
                    self.full = true;
                }
            }
        }
    }
}

enum Moved {
    Kept(u64),
    Dropped(u64),
    /// They were read, and the file did not take them.
    Refused(u64),
}

enum Refusal {
    /// The pipe is empty.
    Empty,
    /// The file did not take the bytes.
    File,
}

fn keep(pipe: &OwnedFd, log: &mut Log, flows: bool) -> Result<Moved, Refusal> {
    while log.takes_splice && !flows {
        let mut at = log.end;
        match splice(pipe, None, &log.file, Some(&mut at), PIPE_BYTES, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
            Ok(count) => return Ok(Moved::Kept(widen(count))),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(Refusal::Empty),
            Err(Errno::INVAL | Errno::NOSYS) => log.takes_splice = false,
            Err(_full_or_broken) => return Err(Refusal::File),
        }
    }
    copy(pipe, log)
}

/// Reads and writes: the pipe is free again, for the child to fill, while the file is written.
fn copy(pipe: &OwnedFd, log: &mut Log) -> Result<Moved, Refusal> {
    log.buffer.resize(BUFFER_BYTES, 0);
    let ready = rustix::io::ioctl_fionread(pipe).map_err(|_| Refusal::File)?;
    let count = match ready {
        // Empty, or at its end; a reading of an empty pipe would wait.
        0 if !is_at_end(pipe) => return Err(Refusal::Empty),
        _ => rustix::io::read(pipe, &mut log.buffer[..]).map_err(|_| Refusal::Empty)?,
    };
    match log.file.write_all_at(&log.buffer[..count], log.end) {
        Ok(()) => Ok(Moved::Kept(widen(count))),
        Err(_full_or_broken) => Ok(Moved::Refused(widen(count))),
    }
}

fn is_at_end(pipe: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let now = super::clock::wait_until(Some(Duration::ZERO), Duration::ZERO);
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

fn discard(pipe: &OwnedFd, null: BorrowedFd<'_>) -> Result<u64, Refusal> {
    loop {
        match splice(pipe, None, null, None, PIPE_BYTES, SpliceFlags::NONBLOCK) {
            Ok(count) => return Ok(widen(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(Refusal::Empty),
            Err(_broken) => return Err(Refusal::File),
        }
    }
}

fn widen(count: usize) -> u64 {
    u64::try_from(count).expect("a count of bytes fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::MetadataExt as _;

    struct Bench {
        dir: tempfile::TempDir,
        log: Log,
        null: File,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let log = Log::open(&dir.path().join("stdout.log")).unwrap();
            let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
            Self { dir, log, null }
        }

        /// Sends bytes through a pipe as one attempt would.
        fn attempt(&mut self, max: u64, parts: &[&[u8]]) -> LogSpan {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            let mut capture = Capture::new(read, &self.log, max);
            let mut write = File::from(write);
            for part in parts {
                for piece in part.chunks(32 * 1024) {
                    write.write_all(piece).unwrap();
                    assert_eq!(capture.pump(&mut self.log, self.null.as_fd(), Duration::ZERO), Pumped::Some);
                }
            }
            assert_eq!(capture.pump(&mut self.log, self.null.as_fd(), Duration::ZERO), Pumped::Nothing);
            drop(write);
            assert_eq!(capture.pump(&mut self.log, self.null.as_fd(), Duration::ZERO), Pumped::End);
            capture.finish(&self.log)
        }

        fn text(&self) -> Vec<u8> {
            let mut text = Vec::new();
            File::open(self.dir.path().join("stdout.log")).unwrap().read_to_end(&mut text).unwrap();
            text
        }
    }

    #[test]
    fn attempts_follow_each_other_byte_for_byte() {
        for takes_splice in [true, false] {
            let mut bench = Bench::new();
            bench.log.takes_splice = takes_splice;
            let first = bench.attempt(1 << 20, &[b"one\n", b"\xff\xfe no newline"]);
            let second = bench.attempt(1 << 20, &[b"two\n"]);
            assert_eq!(bench.text(), b"one\n\xff\xfe no newlinetwo\n", "splice: {takes_splice}");
            assert_eq!(first, LogSpan { start: 0, bytes: 17, dropped: None });
            assert_eq!(second, LogSpan { start: 17, bytes: 4, dropped: None });
        }
    }

    #[test]
    fn above_the_bound_head_and_tail_are_kept_and_the_middle_is_a_hole() {
        let mut bench = Bench::new();
        let before = bench.attempt(1 << 20, &[b"an earlier attempt\n"]);
        let all: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let max = 1 << 20;
        let span = bench.attempt(max, &[&all]);
        assert_eq!((span.start, span.bytes), (before.bytes, 12_000_000));
        let (offset, count) = span.dropped.expect("twelve times the bound");
        let text = bench.text();
        let at = |offset: u64| usize::try_from(offset).unwrap();
        assert_eq!(&text[..at(before.bytes)], b"an earlier attempt\n");
        let text = &text[at(span.start)..];
        assert_eq!(text.len(), all.len());
        let (head, tail) = (at(offset - span.start), at(offset + count - span.start));
        assert_eq!(text[..head], all[..head]);
        assert_eq!(text[tail..], all[tail..]);
        assert!(text[head..tail].iter().all(|byte| *byte == 0));
        assert!(head >= at(max / 4) && all.len() - tail >= at(max / 2), "{head} and {}", all.len() - tail);
        let blocks = std::fs::metadata(bench.dir.path().join("stdout.log")).unwrap().blocks();
        assert!(blocks * 512 <= max + (1 << 20), "{blocks} blocks on the disk");
    }

    #[test]
    fn without_holes_the_end_is_not_kept_and_that_is_said() {
        let mut bench = Bench::new();
        bench.log.takes_holes = false;
        let all = vec![b'x'; 100_000];
        let span = bench.attempt(50_000, &[&all]);
        let (offset, count) = span.dropped.unwrap();
        assert_eq!(offset + count, 100_000);
        assert!(bench.text()[..usize::try_from(offset).unwrap()].iter().all(|byte| *byte == b'x'));
        let next = bench.attempt(50_000, &[b"next"]);
        assert_eq!(next.start, 100_000);
        assert!(bench.text().ends_with(b"next"));
    }

    #[test]
    fn a_full_disk_costs_bytes_and_never_the_child() {
        let mut bench = Bench::new();
        bench.log.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let span = bench.attempt(1 << 20, &[&vec![b'x'; 200_000]]);
        assert_eq!(span, LogSpan { start: 0, bytes: 200_000, dropped: Some((0, 200_000)) });
    }
}
