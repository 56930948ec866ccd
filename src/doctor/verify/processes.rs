//! Processes of attempts that are over (invariant I14).

use super::{Check, Part, Report};
use crate::exec::{MarkedProcess, marked_processes};

/// Tells of every living process that carries the mark of a decided attempt of this store.
///
/// An attempt is decided when nothing of it lives; so the processes are looked at again after the store, and what ended
/// in between is not told. What the attempt's own record names as a survivor is told, because it lives still.
pub(super) fn of_ended_attempts(check: &Check<'_>, report: &mut Report) {
    let mut suspects = Vec::new();
    for process in marked_processes() {
        let Ok(Some(record)) = check.store.attempt(process.attempt) else { continue };
        let wanted = check.only.is_none_or(|only| *only == record.task);
        if wanted && record.decided.is_some() {
            suspects.push((process, record));
        }
    }
    let living = if suspects.is_empty() { Vec::new() } else { marked_processes() };
    for (process, record) in suspects.iter().filter(|(process, _)| living.contains(process)) {
        let MarkedProcess { pid, name, attempt } = process;
        report.add(
            Part::Processes,
            format!("attempt {attempt} of stage `{}` of task `{}`", record.intent.stage, record.task),
            format!("it is decided, and process {pid} (`{name}`) of it lives"),
        );
    }
}
