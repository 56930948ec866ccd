//! Waiting for a retry time.

use std::time::Duration;

use crate::domain::id::StageName;
use crate::domain::pipeline::Ordinal;
use crate::domain::task::{Deferral, Event};

use super::drive::{Course, Runner};
use super::error::RunError;
use super::ledger::Ledger;
use super::notice::Notice;

/// Longest sleep before the clock is looked at again: a suspended machine does not count its sleep.
const SLICE_MAX: Duration = Duration::from_secs(5);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// The time has come; the retry is next.
    Due,
    /// It would be longer than the run may wait.
    TooLong,
    /// The run was asked to stop.
    Stopped,
}

impl Runner<'_> {
    /// Waits until a retry is due, where the run may wait that long. Everything that happened is stored before.
    pub(super) fn wait(
        &mut self,
        ledger: &mut Ledger,
        course: &mut Course,
        stage: &StageName,
        number: Ordinal,
        deferral: &Deferral,
    ) -> Result<Waited, RunError> {
        self.commit(ledger, None)?;
        failpoint!("wait.begun");
        let mut left = deferral.left(self.clock.now());
        if left > course.may_wait {
            return Ok(Waited::TooLong);
        }
        if !left.is_zero() {
            (self.notify)(Notice::Waiting { stage, deferral, left });
        }
        while !left.is_zero() {
            let slice = left.min(SLICE_MAX);
            self.world.sleep(self.stop, slice);
            if (self.stopping)() {
                return Ok(Waited::Stopped);
            }
            course.may_wait = course.may_wait.saturating_sub(slice);
            // By the wall clock, but never more than what this wait has left: a clock that was set back delays nothing.
            left = left.saturating_sub(slice).min(deferral.left(self.clock.now()));
        }
        ledger.apply(Event::RetryDue { run: course.run, number, at: self.clock.now() })?;
        Ok(Waited::Due)
    }
}
