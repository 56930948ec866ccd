//! Named events: a line through a FIFO, waited for with a deadline.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longest wait for a word; far beyond what any test takes.
const DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A FIFO that is open on our side all the time, so that no word is lost whoever comes first.
#[derive(Debug)]
pub(crate) struct Fifo(BufReader<File>);

impl Fifo {
    pub(crate) fn make(path: &Path) -> Self {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
        Self(BufReader::new(File::options().read(true).write(true).open(path).unwrap()))
    }

    /// The next line.
    ///
    /// # Panics
    /// Nobody says anything.
    pub(crate) fn next(&mut self) -> String {
        if self.0.buffer().is_empty() {
            let mut fds = [PollFd::from_borrowed_fd(self.0.get_ref().as_fd(), PollFlags::IN)];
            assert_eq!(poll(&mut fds, Some(&DEADLINE)), Ok(1), "nobody said anything");
        }
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line as a pid.
    pub(crate) fn pid(&mut self) -> i32 {
        self.next().trim().parse().unwrap()
    }

    /// Says a line to whoever reads next.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").unwrap();
    }
}
