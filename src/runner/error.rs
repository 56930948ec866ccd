//! What keeps orch itself from its work. A stage that ends badly is no error.

use std::path::PathBuf;

use crate::domain::id::{RelPath, RunId, StageName, TaskName};
use crate::domain::mask::SECRET_BYTES_MIN;
use crate::engine::{PlanError, Refused};
use crate::exec::SentinelError;
use crate::producer::PrepareError;
use crate::store::StoreError;
use crate::workspace::git::GitError;
use crate::workspace::state_dir::StateDirError;
use crate::workspace::tree::TreeError;

/// Why a run could not be driven on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The pipeline has no such stage.
    #[error("find stage `{wanted}` in the pipeline, which has {known}")]
    UnknownStage {
        /// What was asked for, or what the task stands at.
        wanted: String,
        /// The stages there are.
        known: String,
    },
    /// `--until` names a stage that the run cannot reach.
    #[error("stop after stage `{until}`, which does not come after `{from}`")]
    UntilBefore {
        /// Where the run starts.
        from: StageName,
        /// What was asked for.
        until: StageName,
    },
    /// An attempt of this task is under way, or was left, in another worktree.
    #[error("drive the task here: run {run} of it was left unfinished in {}", worktree.display())]
    Elsewhere {
        /// The run.
        run: RunId,
        /// The other worktree.
        worktree: PathBuf,
    },
    /// Another task of this worktree was left unfinished; its producer may still work here.
    #[error("use this worktree: a run of task `{task}` was left unfinished in it")]
    LeftHere {
        /// The other task.
        task: TaskName,
    },
    /// The lock is not this runner's any more; it has started and written nothing since it saw that.
    #[error("go on with task `{task}`: its lock was taken away from this runner")]
    LockLost {
        /// The task.
        task: TaskName,
    },
    /// A declared report is a file of the commit: it would be removed before the start.
    #[error("run stage `{stage}`: its report {path} is a file of the commit, which orch would have to remove")]
    ReportCommitted {
        /// The stage.
        stage: StageName,
        /// The report.
        path: RelPath,
    },
    /// The pipeline is not the one that the task was left with.
    #[error(
        "go on with another pipeline: task `{task}` was left at `{stage}` under pipeline {was}, and the file is {now} now"
    )]
    PipelineChanged {
        /// The task.
        task: TaskName,
        /// Where it stands.
        stage: StageName,
        /// Beginning of the hash it was left with.
        was: String,
        /// Beginning of the file's hash.
        now: String,
    },
    /// The pipeline file was changed while the run was under way.
    #[error("start stage `{next}`: the pipeline file was changed while the run was under way")]
    PipelineEdited {
        /// The stage that was next.
        next: StageName,
    },
    /// The task stands at a stage that the pipeline does not have.
    #[error(
        "find the stage that task `{task}` stands at: the pipeline has no `{stage}`; the nearest it has are {nearest}"
    )]
    StageGone {
        /// The task.
        task: TaskName,
        /// Where it stands.
        stage: StageName,
        /// Names that are like it.
        nearest: String,
    },
    /// The worktree's git is broken.
    #[error("use the worktree of task `{task}`: {damage}")]
    Damaged {
        /// The task.
        task: TaskName,
        /// What is broken, and what mends it.
        damage: String,
    },
    /// The tree is another each time a stage is to start.
    #[error("start a stage: the worktree keeps changing between the stages")]
    Moving,
    /// An approval would bless a tree that the stages before it have not seen.
    #[error(
        "take an answer at `{stage}`: `{unproven}` before it has no pass for the commit and the tree that are there now"
    )]
    Unproven {
        /// The approval's stage.
        stage: StageName,
        /// The first stage whose verdict does not stand.
        unproven: StageName,
    },
    /// There is no such task.
    #[error("find task `{task}`")]
    NoTask {
        /// The task.
        task: TaskName,
    },
    /// A person's command does not fit the task's state.
    #[error("do this with task `{task}`, which is {state}: {why}")]
    NotNow {
        /// The task.
        task: TaskName,
        /// Its state.
        state: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// An approval was answered that nobody asked for.
    #[error("answer for task `{task}`: it is not held for an approval")]
    NotAsked {
        /// The task.
        task: TaskName,
    },
    /// A hold for an approval cannot be released without an answer.
    #[error("release task `{task}`: it is held for an approval, which needs an answer")]
    NeedsAnswer {
        /// The task.
        task: TaskName,
    },
    /// The prompt of an agent's stage cannot be used.
    #[error("use the prompt {path} of stage `{stage}`: {why}")]
    Prompt {
        /// The stage.
        stage: StageName,
        /// The file, below the worktree.
        path: RelPath,
        /// What is wrong with it.
        why: String,
    },
    /// Which secrets are to be hidden cannot be read or kept.
    #[error("remember which secrets are to be hidden: {0}")]
    Secrets(String),
    /// A stage would be given a secret that is too short to be hidden.
    #[error(
        "start stage `{stage}`: the secret `{name}` is shorter than {SECRET_BYTES_MIN} bytes, so it cannot be hidden"
    )]
    ShortSecret {
        /// The stage.
        stage: StageName,
        /// The variable.
        name: String,
    },
    /// A stage asks for an agent without permission checks, and the environment does not.
    #[error("start stage `{stage}`: it says `skip-permissions: true`, and the environment does not agree")]
    Danger {
        /// The stage.
        stage: StageName,
    },
    /// A stage would let its agent write what decides about it, or keys.
    #[error("start stage `{stage}`: its agent may not be given `may-write: {named}`: {why}")]
    MayWrite {
        /// The stage.
        stage: StageName,
        /// The place, as the pipeline names it.
        named: String,
        /// What it covers or lies in.
        why: String,
    },
    /// A stage cannot be resolved here.
    #[error("resolve stage `{stage}`")]
    Plan {
        /// The stage.
        stage: StageName,
        /// Why.
        source: PlanError,
    },
    /// The place of a stage cannot be made ready.
    #[error("start stage `{stage}`")]
    Prepare {
        /// The stage.
        stage: StageName,
        /// Why.
        source: PrepareError,
    },
    /// A stage could not be started, and that could not be put on record.
    #[error("start stage `{stage}`, nor record that")]
    Untold {
        /// The stage.
        stage: StageName,
        /// What could not be written, and what it would have said.
        source: SentinelError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The worktree's tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The state folder.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The engine refused an event: a bug in the runner, or a store that somebody edited.
    #[error("record what happened: {0}")]
    Refused(#[from] Refused),
    /// The task's own pipeline of an earlier run is gone or cannot be read any more.
    #[error("read the pipeline that run was pinned to: {0}")]
    Pinned(String),
    /// The channel to the supervisor broke in a way that leaves the attempt's end unknown.
    #[error("ask the supervisor: {0}")]
    Supervisor(String),
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}
