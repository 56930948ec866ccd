//! The stored form of a task: all of it but its visits, which are rows of their own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::codec;
use super::error::StoreError;
use crate::domain::decision::Spent;
use crate::domain::id::TaskName;
use crate::domain::task::{Task, TaskState};
use crate::domain::visits::Visits;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    name: &'a TaskName,
    worktree: &'a Path,
    state: &'a TaskState,
    spent: &'a Spent,
    launches: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Read {
    name: TaskName,
    worktree: PathBuf,
    state: TaskState,
    spent: Spent,
    launches: u32,
}

/// Writes a task without its visits.
pub(super) fn encode_task(row: &str, task: &Task) -> Result<String, StoreError> {
    // Named one by one: a new field must find its place here.
    let Task { name, worktree, state, spent, visits: _, launches } = task;
    codec::encode(row, &Written { name, worktree, state, spent, launches: *launches })
}

/// Reads a task and gives it its visits.
pub(super) fn decode_task(row: &str, text: &str, visits: Visits) -> Result<Task, StoreError> {
    let Read { name, worktree, state, spent, launches } = codec::decode(row, text)?;
    Ok(Task { name, worktree, state, spent, visits, launches })
}
