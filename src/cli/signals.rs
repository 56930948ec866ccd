//! SIGINT and SIGTERM to orch itself: a byte on a socket for whoever waits, and which one it was.

use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Hooked;

use super::ExitCode;

/// Watches for requests to stop.
#[derive(Debug)]
pub(super) struct Signals {
    reader: UnixStream,
    first: Arc<AtomicI32>,
}

impl Signals {
    /// Begins to watch.
    pub(super) fn catch() -> std::io::Result<Self> {
        let (reader, mut writer) = UnixStream::pair()?;
        let first = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&first);
        let mut hooked = Hooked::new([SIGINT, SIGTERM])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in hooked.forever() {
                seen.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).ok();
                if writer.write_all(b"s").is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { reader, first })
    }

    /// Readable once a request came; each byte is one request.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The first signal that came.
    pub(super) fn seen(&self) -> Option<i32> {
        Some(self.first.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// How orch ends when it was stopped.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self.seen() {
            Some(SIGTERM) => ExitCode::Terminated,
            Some(_) | None => ExitCode::Interrupted,
        }
    }
}
