//! A look at an attempt's output while it runs, for people. It decides nothing: limits are the supervisor's.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::evidence::Stream;
use crate::domain::id::StageName;
use crate::domain::pipeline::Limits;
use crate::producer::log_name;
use crate::workspace::logs::{self, Glance};

use super::clock::Clock;
use super::notice::Notice;

/// Looks at one attempt.
pub(super) struct Watch<'a> {
    pub(super) stage: &'a StageName,
    pub(super) limits: Limits,
    pub(super) clock: &'a dyn Clock,
    /// How often; never where `None`.
    pub(super) every: Option<Duration>,
    pub(super) notify: &'a mut dyn FnMut(Notice<'_>),
    logs: [Log; 2],
    last_line: Vec<u8>,
}

/// One of its two log files.
struct Log {
    path: PathBuf,
    /// Where the attempt's part begins.
    from: u64,
    seen: Glance,
}

impl<'a> Watch<'a> {
    /// To be made before the attempt is launched.
    pub(super) fn new(
        stage: &'a StageName,
        limits: Limits,
        run_dir: &std::path::Path,
        clock: &'a dyn Clock,
        every: Option<Duration>,
        notify: &'a mut dyn FnMut(Notice<'_>),
    ) -> Self {
        let log = |stream| {
            let path = run_dir.join(log_name(stream));
            let seen = if every.is_some() { logs::glance(&path).unwrap_or_default() } else { Glance::default() };
            Log { path, from: seen.bytes, seen: Glance { changed_at: None, ..seen } }
        };
        Self {
            stage,
            limits,
            clock,
            every,
            notify,
            logs: [Stream::Stdout, Stream::Stderr].map(log),
            last_line: Vec::new(),
        }
    }

    /// Looks at the logs and tells what is there: two stats, and a short read where something is new.
    pub(super) fn look(&mut self, elapsed: Duration) {
        for log in &mut self.logs {
            let Ok(now) = logs::glance(&log.path) else { continue };
            if now.bytes > log.from && now != log.seen {
                self.last_line = logs::last_line(&log.path, log.from).unwrap_or_default();
                log.seen = now;
            }
        }
        let bytes = self.logs.iter().map(|log| log.seen.bytes.saturating_sub(log.from)).sum();
        let last = self.logs.iter().filter_map(|log| log.seen.changed_at).max();
        let age = |at: Timestamp| Duration::try_from(self.clock.now().duration_since(at)).unwrap_or_default();
        (self.notify)(Notice::Working {
            stage: self.stage,
            elapsed,
            limits: self.limits,
            bytes,
            // A clock that was set, or a file that was touched, cannot make it older than the attempt.
            silent: last.map_or(elapsed, |at| age(at).min(elapsed)),
            last_line: &self.last_line,
        });
    }
}
