//! What stands around an agent's process: its folder with the prompt made ready before, its event stream read after.
//!
//! In the attempt's folder `prompt.md` and `findings/` are orch's; a contained agent reads them and writes to `out/`
//! and `tmp/` alone. What was there before the visit's first attempt is kept beside them, so that what an agent
//! changed can be told in a later attempt, and by another runner after the death of this one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::classify::AgentReader;
use crate::domain::agent::ScopeFacts;
use crate::domain::evidence::{Evidence, ExitRecord, LogSpan, Stream, TreeFacts};
use crate::domain::id::{Digest, RelPath};
use crate::domain::plan::{AgentPlan, AttemptPlan};
use crate::engine::{OUT_NAME, TMP_NAME};
use crate::workspace::logs::{LogPart, Piece};
use crate::workspace::scope::{Scope, outside};
use crate::workspace::shared::Shared;
use crate::workspace::standing::Standing;
use crate::workspace::tree::Snapshot;
use crate::workspace::tree_cache;
use crate::workspace::worktree::Worktree;

use super::gather::log_name;

/// Copies of what failed before, in the attempt's folder.
const FINDINGS_NAME: &str = "findings";

/// The tree before the visit's first attempt.
const TREE_NAME: &str = "before.tree";

/// The repository's shared files and the artifacts then.
const BESIDE_NAME: &str = "before.beside.json";

/// Most names of a kind that are told; the decision is made on all.
const NAMED_MAX: usize = 20;

/// Most of a failed attempt's log that is copied, from its end.
const LOG_BYTES_MAX: u64 = 256 * 1024;

/// What is read before it, so that a secret at the cut is seen whole and hidden.
const LOG_BYTES_BEFORE: u64 = 32 * 1024;

/// What was there before the first attempt of a visit.
#[derive(Debug, Clone)]
pub struct Before {
    /// The tree.
    pub tree: Snapshot,
    /// What does not belong to the tree.
    beside: Beside,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    /// The repository's shared files before the visit; with what others changed since.
    visit: Shared,
    /// The same before the attempt that is under way.
    attempt: Shared,
    /// The artifacts before the run's first attempt of the visit: a run puts back and takes away some of them when it starts.
    artifacts: Standing,
}

impl Before {
    /// Looks at the repository and at artifacts beside a tree that was looked at.
    pub fn now(tree: Snapshot, worktree: &Worktree, artifacts: Standing) -> Self {
        let visit = Shared::read(worktree);
        Self { tree, beside: Beside { attempt: visit.clone(), visit, artifacts } }
    }

    /// What an attempt's folder keeps; `None` where that is gone or cannot be read.
    pub fn load(folder: &Path, worktree: &Worktree) -> Option<Self> {
        let beside = serde_json::from_slice(&std::fs::read(folder.join(BESIDE_NAME)).ok()?).ok()?;
        Some(Self { tree: tree_cache::load(worktree, &folder.join(TREE_NAME))?, beside })
    }

    /// The same before a further attempt.
    #[must_use]
    pub fn again(mut self, worktree: &Worktree) -> Self {
        self.beside.attempt = Shared::read(worktree);
        self
    }

    /// The same before the first attempt of a further run.
    #[must_use]
    pub fn in_another_run(mut self, worktree: &Worktree, artifacts: Standing) -> Self {
        self.beside.artifacts = artifacts;
        self.again(worktree)
    }

    /// Takes what others changed of the repository's shared files as it is now.
    ///
    /// # Errors
    /// What the file system says: then a further run may hold it against the agent.
    pub fn accept(&mut self, names: &[String], folder: &Path, worktree: &Worktree) -> io::Result<()> {
        let now = Shared::read(worktree);
        for name in names {
            self.beside.visit.accept(name, &now);
        }
        self.save_beside(folder)
    }

    fn save(&self, folder: &Path, worktree: &Worktree) -> io::Result<()> {
        tree_cache::save(&self.tree, worktree, &folder.join(TREE_NAME))?;
        self.save_beside(folder)
    }

    fn save_beside(&self, folder: &Path) -> io::Result<()> {
        write_private(&folder.join(BESIDE_NAME), &serde_json::to_vec(&self.beside).map_err(io::Error::other)?)
    }
}

/// Makes the attempt's folder ready: the prompt for this user alone, folders to write to, what was there before.
///
/// # Errors
/// What the file system says; the attempt must not start then.
pub fn ready(
    plan: &AttemptPlan,
    agent: &AgentPlan,
    prompt: &str,
    before: Option<&Before>,
    worktree: &Worktree,
) -> io::Result<()> {
    let folder = plan.attempt_dir.as_deref().ok_or(io::ErrorKind::NotFound)?;
    for name in [OUT_NAME, TMP_NAME] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(name))?;
    }
    // Nothing is kept of what is not known: a later attempt must not take it for known either.
    if let Some(before) = before {
        before.save(folder, worktree)?;
    }
    write_private(&agent.prompt, prompt.as_bytes())
}

/// Copies the end of a failed attempt's output to where the next agent may read it; gives the files that have anything
/// in them. `mask` hides secrets.
///
/// # Errors
/// What the file system says.
pub fn copy_logs(
    attempt_dir: &Path,
    run_dir: &Path,
    record: &ExitRecord,
    mask: &dyn Fn(&[u8]) -> Vec<u8>,
) -> io::Result<Vec<PathBuf>> {
    let mut copied = Vec::new();
    for (stream, span) in [(Stream::Stdout, &record.stdout), (Stream::Stderr, &record.stderr)] {
        if span.bytes == 0 {
            continue;
        }
        let folder = attempt_dir.join(FINDINGS_NAME);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(log_name(stream));
        let shown = mask(&tail(&run_dir.join(log_name(stream)), span)?);
        let most = usize::try_from(LOG_BYTES_MAX).unwrap_or(usize::MAX);
        write_private(&path, shown.get(shown.len().saturating_sub(most)..).unwrap_or_default())?;
        copied.push(path);
    }
    Ok(copied)
}

fn tail(path: &Path, span: &LogSpan) -> io::Result<Vec<u8>> {
    let skip = span.bytes.saturating_sub(LOG_BYTES_MAX + LOG_BYTES_BEFORE);
    let (mut at, mut bytes) = (0_u64, Vec::new());
    for piece in LogPart::open(path, span)?.pieces() {
        match piece? {
            Piece::Bytes(piece) => {
                let from = usize::try_from(skip.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
                bytes.extend_from_slice(piece.get(from..).unwrap_or_default());
                at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            }
            Piece::Gap { bytes: gone, .. } => {
                at = at.saturating_add(gone);
                bytes.extend_from_slice(format!("\n[{gone} bytes were not kept]\n").as_bytes());
            }
        }
    }
    Ok(bytes)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// Reads an agent's event stream and its own stderr.
///
/// # Errors
/// What the log files' reader says: without the output nothing can be said of the attempt.
pub fn gather_agent(
    plan: &AttemptPlan,
    agent: &AgentPlan,
    record: &ExitRecord,
    run_dir: &Path,
    (tree, scope): (Option<TreeFacts>, ScopeFacts),
) -> io::Result<Evidence> {
    let mut reader = AgentReader::new(agent.profile);
    for (stream, span) in [(Stream::Stdout, &record.stdout), (Stream::Stderr, &record.stderr)] {
        if span.bytes == 0 {
            continue;
        }
        for piece in LogPart::open(&run_dir.join(log_name(stream)), span)?.pieces() {
            match piece? {
                Piece::Bytes(bytes) => reader.feed(stream, &bytes),
                Piece::Gap { .. } => reader.gap(stream),
            }
        }
    }
    let (mut facts, output) = reader.finish(&record.exit, record.ended_at);
    facts.scope = scope;
    Ok(Evidence {
        output,
        tree,
        agent: Some(Box::new(facts)),
        ..Evidence::of(record.exit.clone(), plan.declared.clone())
    })
}

/// What an agent is held to, and what is there after it.
#[derive(Debug)]
pub struct Bounds<'a> {
    /// What it may change of the tree.
    pub scope: &'a Scope,
    /// The artifacts of other stages as they stand now.
    pub artifacts: Standing,
    /// What orch last published.
    pub recorded: &'a BTreeMap<RelPath, Digest>,
    /// Folders and files that it could write to; `None` where nothing kept it from any.
    pub reach: Option<&'a [PathBuf]>,
}

impl Bounds<'_> {
    fn is_out_of_reach(&self, path: &Path) -> bool {
        let real = |granted: &PathBuf| granted.canonicalize().unwrap_or_else(|_| granted.clone());
        self.reach.is_some_and(|reach| !reach.iter().any(|granted| path.starts_with(real(granted))))
    }
}

/// What an agent changed, held against its bounds; and the names of the repository's shared files that others changed.
pub fn scope_facts(
    before: Option<&Before>,
    after: &Snapshot,
    worktree: &Worktree,
    bounds: &Bounds<'_>,
) -> (ScopeFacts, Vec<String>) {
    let Some(Before { tree, beside }) = before else {
        let why = "what was there before it began is not on record any more".to_owned();
        return (ScopeFacts { unknown: Some(why), ..ScopeFacts::default() }, Vec::new());
    };
    let (mut named, mut count) = outside(tree, after, bounds.scope);
    for path in beside.artifacts.changes(&bounds.artifacts, bounds.recorded) {
        if !bounds.scope.names(&path) {
            count = count.saturating_add(1);
            // An artifact is told before whatever else it is one of.
            named.insert(0, path);
        }
    }
    named.truncate(NAMED_MAX);
    let commit = (tree.head() != after.head()).then(|| after.head().commit.to_string());
    let now = Shared::read(worktree);
    let (by_others, repository): (Vec<_>, Vec<_>) = beside.visit.changes(&now).into_iter().partition(|name| {
        beside.visit.agrees(name, &beside.attempt) && bounds.is_out_of_reach(&Shared::place(worktree, name))
    });
    let shown = |names: &[String]| names.iter().take(NAMED_MAX).map(|name| Shared::shown(name)).collect();
    let folder = bounds.scope.folder_of(&named).map(str::to_owned);
    let facts = ScopeFacts {
        outside: named,
        outside_count: count,
        repository: shown(&repository),
        by_others: shown(&by_others),
        unknown: None,
        commit,
        folder,
    };
    (facts, by_others)
}
