//! What the files of a run say of one attempt, and which processes carry whose mark, for people who look.

use std::path::Path;

use jiff::Timestamp;

use crate::domain::evidence::ExitRecord;
use crate::domain::id::{AttemptId, Nonce};

use super::procfs::{self, Stat};
use super::record::{RecordError, Trace, trace};
use super::sweep::MARK;

/// A living process that carries an attempt's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedProcess {
    /// Its pid.
    pub pid: i32,
    /// Its command name, at most 15 bytes.
    pub name: String,
    /// The attempt that it was started in.
    pub attempt: AttemptId,
}

/// Every living process that this user may look at and that carries the mark of an attempt. Signals nobody.
pub fn marked_processes() -> Vec<MarkedProcess> {
    let marked = |pid: i32| {
        let attempt = procfs::given(pid, MARK)?.parse().ok()?;
        let stat = Stat::read(pid).filter(|stat| !stat.zombie)?;
        Some(MarkedProcess { pid, name: stat.name, attempt })
    };
    procfs::pids().into_iter().filter_map(marked).collect()
}

/// How far an attempt came, by its supervisor's own lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trail {
    /// No supervisor came to it.
    Nothing,
    /// It was started, and no end is written.
    Open {
        /// When it was about to be started, by the wall clock.
        starting_at: Timestamp,
        /// Its main process, where `execve` succeeded.
        pid: Option<i32>,
    },
    /// It ended.
    Ended(Box<ExitRecord>),
    /// There are lines about it that are not ours or cannot be read.
    Bad,
}

/// Reads the trail. Takes no lock, waits for nothing and touches nothing.
///
/// # Errors
/// The run's exit records cannot be read, or a newer orch wrote them.
pub fn trail(run_dir: &Path, attempt: AttemptId, nonce: Nonce) -> Result<Trail, RecordError> {
    Ok(match trace(run_dir, attempt, nonce)? {
        Trace::Nothing => Trail::Nothing,
        Trace::Open { starting, began } => Trail::Open { starting_at: starting.at, pid: began.map(|began| began.pid) },
        Trace::Ended(record) => Trail::Ended(record),
        Trace::Bad => Trail::Bad,
    })
}
