//! What the files of a run say of one attempt, for people who look.

use std::path::Path;

use jiff::Timestamp;

use crate::domain::evidence::ExitRecord;
use crate::domain::id::{AttemptId, Nonce};

use super::record::{RecordError, Trace, trace};

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
        Trace::Open { starting, began } => {
            Trail::Open { starting_at: starting.at, pid: began.map(|began| began.pid) }
        }
        Trace::Ended(record) => Trail::Ended(record),
        Trace::Bad => Trail::Bad,
    })
}
