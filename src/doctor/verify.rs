//! The check of everything that is recorded: against itself, against the engine, against the gates, and against the
//! files beside it (RELIABILITY §6).

mod files;
mod processes;
mod replayed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::id::{Digest, TaskName};
use crate::domain::pipeline::Pipeline;
use crate::store::{AttemptRecord, Audit, EventRecord, RunFilter, RunRecord, Store, StoreError, StoredTask, Version};
use crate::workspace::lock::{self, LockView, Subject};
use crate::workspace::state_dir::StateDir;
use crate::workspace::worktree::Worktree;

/// How often a task that moves while it is read is read again.
const READS_MAX: u32 = 5;

/// Which part of the check found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows, hashes and chains of the store.
    Store,
    /// The events do not lead to the state that is stored.
    Replay,
    /// A pinned pipeline cannot be read.
    Pipeline,
    /// The gate reads a recorded artifact otherwise.
    Gate,
    /// The worktree's copy of an artifact is not what the store has.
    Artifact,
    /// Logs, records or stamps in the state folder.
    Files,
    /// A supervisor's record of a decided attempt is missing or another.
    Records,
    /// Something of an attempt that is over lives.
    Processes,
}

impl Part {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Replay => "replay",
            Self::Pipeline => "pipeline",
            Self::Gate => "gate",
            Self::Artifact => "artifact",
            Self::Files => "files",
            Self::Records => "records",
            Self::Processes => "processes",
        }
    }

    /// What to do next.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Store | Self::Replay => {
                "keep a copy of the state folder, then restore it from a backup (docs/reference/store.md)"
            }
            Self::Pipeline => "use the orch that ran it, or leave it: a new run pins the pipeline of today",
            Self::Gate => "do not rely on this verdict: `orch pipeline run --from STAGE` judges the stage anew",
            Self::Artifact => "the next `orch pipeline run` puts it back from the store and keeps what stands there",
            Self::Files => {
                "the outcome stands in the store and needs no file; find out who changes the state folder, or restore runs/ from a backup"
            }
            Self::Records => {
                "the outcome stands in the store and needs no record; a power loss or a full disk may take one, else find out who changes the state folder"
            }
            Self::Processes => "look at it with `ps`, and end it: nobody else will",
        }
    }
}

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which part of the check found it.
    pub part: Part,
    /// Where: a row, a task and its stage, a file.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// What the check looked at and found.
#[derive(Debug, Default)]
pub struct Report {
    /// The store's own part; empty where the database could not be read through.
    pub audit: Audit,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// Copies of artifacts that were compared.
    pub artifacts_compared: u64,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

impl Report {
    fn add(&mut self, part: Part, place: impl Into<String>, what: impl Into<String>) {
        self.findings.push(Finding { part, place: place.into(), what: what.into() });
    }
}

/// What a check needs.
pub struct Check<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The folder it is in.
    pub state: &'a StateDir,
    /// Only this task's events, verdicts and files; the store itself is checked as a whole in any case.
    pub only: Option<&'a TaskName>,
    /// Opens the worktree at a path, where there is one.
    pub worktree: &'a dyn Fn(&Path) -> Option<Worktree>,
}

impl std::fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("state", &self.state.path()).field("only", &self.only).finish_non_exhaustive()
    }
}

/// A task with everything that belongs to it, read at one version.
struct Whole {
    stored: StoredTask,
    events: Vec<EventRecord>,
    /// Oldest first, each with its attempts.
    runs: Vec<(RunRecord, Vec<AttemptRecord>)>,
}

/// Pinned pipelines by hash; `None` for one that cannot be read.
type Pipelines = BTreeMap<Digest, Option<Pipeline>>;

impl Check<'_> {
    /// Checks everything. Damage is a finding.
    ///
    /// # Errors
    /// What kept the check from being made.
    pub fn run(&self) -> Result<Report, StoreError> {
        let mut report = Report::default();
        match self.store.verify() {
            Ok(audit) => report.audit = audit,
            Err(error) => damage(&mut report, "the database", error)?,
        }
        for finding in std::mem::take(&mut report.audit.findings) {
            report.add(Part::Store, finding.row, finding.what);
        }
        if report.audit.findings_dropped > 0 {
            report.add(Part::Store, "the store", format!("{} more findings", report.audit.findings_dropped));
        }
        files::unknown_runs(self, &mut report);
        processes::of_ended_attempts(self, &mut report);
        let mut pipelines = Pipelines::new();
        let tasks = match self.store.tasks() {
            Ok(tasks) => tasks,
            Err(error) => return damage(&mut report, "the tasks", error).map(|()| report),
        };
        let last_here = self.last_in_each_worktree(&tasks)?;
        for stored in tasks {
            let name = stored.task.name;
            if self.only.is_some_and(|only| *only != name) {
                continue;
            }
            match self.whole(&name) {
                Ok(Some(whole)) => {
                    self.pipelines_of(&whole, &mut pipelines, &mut report)?;
                    replayed::check(self, &whole, &pipelines, &mut report)?;
                    files::check(self, &whole, &mut report);
                    let last = last_here.get(&whole.stored.task.worktree) == Some(&name);
                    files::artifacts(self, &whole, &pipelines, last, &mut report);
                }
                Ok(None) => {
                    report.left_out.push(format!("task {name} moved at each look; its events were not replayed"));
                }
                Err(error) => damage(&mut report, &format!("task `{name}`"), error)?,
            }
        }
        Ok(report)
    }

    /// Reads a task until nothing has moved meanwhile; `None` where it does not come to rest.
    fn whole(&self, name: &TaskName) -> Result<Option<Whole>, StoreError> {
        for _ in 0..READS_MAX {
            let Some(stored) = self.store.task(name)? else { continue };
            let events = self.store.events(name, Version::NONE)?;
            let mut runs = Vec::new();
            let filter = RunFilter { task: Some(name.clone()), limit: None };
            for run in self.store.runs(&filter)?.into_iter().rev() {
                let attempts = self.store.attempts(run.start.run)?;
                runs.push((run, attempts));
            }
            if self.store.task(name)?.is_some_and(|now| now.version == stored.version) {
                return Ok(Some(Whole { stored, events, runs }));
            }
        }
        Ok(None)
    }

    /// The task that was driven last in each worktree: only its artifacts can be expected there.
    fn last_in_each_worktree(&self, tasks: &[StoredTask]) -> Result<BTreeMap<PathBuf, TaskName>, StoreError> {
        let mut last = BTreeMap::new();
        let runs = match self.store.runs(&RunFilter::default()) {
            Ok(runs) => runs,
            // The audit has told what is wrong with them.
            Err(StoreError::Disagrees { .. } | StoreError::Corrupt { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        for run in runs {
            if let Some(stored) = tasks.iter().find(|stored| stored.task.name == run.task) {
                last.entry(stored.task.worktree.clone()).or_insert(run.task);
            }
        }
        Ok(last)
    }

    fn pipelines_of(&self, whole: &Whole, known: &mut Pipelines, report: &mut Report) -> Result<(), StoreError> {
        for (run, _) in &whole.runs {
            let digest = run.start.pipeline_digest;
            if known.contains_key(&digest) {
                continue;
            }
            let text = match self.store.pipeline(&digest) {
                Ok(text) => text,
                Err(error) => {
                    damage(report, &format!("pipeline {digest}"), error)?;
                    None
                }
            };
            let parsed = match text.map(|text| crate::spec::load(&text)) {
                Some(Ok(pipeline)) => Some(pipeline),
                Some(Err(problems)) => {
                    let first = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
                    let what = format!("this orch refuses its text, {} problems: {first}", problems.len());
                    report.add(
                        Part::Pipeline,
                        format!("pipeline `{}` of run {}", run.start.pipeline, run.start.run),
                        what,
                    );
                    None
                }
                None => None,
            };
            known.insert(digest, parsed);
        }
        Ok(())
    }

    /// Who has a lock, for people; a lock that cannot be looked at counts as taken.
    fn driver(&self, subject: Subject<'_>) -> Option<String> {
        match lock::look(self.state, subject) {
            Ok(LockView::Free | LockView::Abandoned(_)) => None,
            Ok(LockView::Held { holder: Some(holder), .. } | LockView::Elsewhere { holder, .. }) => {
                Some(holder.describe())
            }
            Ok(LockView::Held { holder: None, .. }) => Some("an unknown holder".to_owned()),
            Err(error) => Some(format!("an unknown holder ({error})")),
        }
    }
}

/// Takes damage as a finding, once; hands on what kept the check from being made.
fn damage(report: &mut Report, place: &str, error: StoreError) -> Result<(), StoreError> {
    let (place, what) = if let StoreError::Disagrees { row, what } = error {
        (row, what)
    } else if let StoreError::Corrupt { what, .. } = error {
        (place.to_owned(), what)
    } else if let StoreError::UnknownForm { row, found, known } = error {
        (row, format!("it has form {found}, and this orch knows forms up to {known}"))
    } else {
        return Err(error);
    };
    let told = report.findings.iter().any(|finding| finding.place == place && finding.what == what);
    if !told {
        report.add(Part::Store, place, what);
    }
    Ok(())
}
