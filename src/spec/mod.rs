//! Floor 1: pipeline text → [`Pipeline`], or every problem of the text at once.
//!
//! ```text
//! bytes ─text→ UTF-8 without surprises ─build→ nodes with spans ─raw→ the file's shape ─validate→ Pipeline
//! ```
//!
//! This module never opens a file, reads the environment or starts anything: what a pipeline names (prompts,
//! programs, hosts) is looked at later, by those who use it. It and the front-matter reader of `gate` are the
//! only ones that know YAML. A text that passes leaves nothing to check downstream; a text that does not comes
//! back as [`problem::Problem`]s with codes, places and help.

mod agent;
mod build;
mod code;
mod command;
mod explain;
mod flaw;
mod outside;
mod place;
pub mod problem;
mod producer;
mod prompt;
mod proof;
mod raw;
mod read;
mod render;
mod scalar;
pub mod schema;
mod staging;
mod suggest;
mod text;
mod tree;
mod validate;
mod values;
mod words;

pub use explain::{Explanation, reference};
pub use prompt::prompt;

use crate::domain::id::Digest;
use crate::domain::pipeline::Pipeline;
use problem::{Problem, Sink};
use read::FromNode as _;

/// Largest file that is read: 8 MiB.
pub const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Reads a duration as pipeline files write it: `500ms`, `30s`, `1h30m`.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    values::parse_duration(text).ok()
}

/// Reads and checks a pipeline file.
///
/// # Errors
/// Every [`Problem`] of the text, in its order: at most [`problem::PROBLEMS_MAX`], then one that counts the rest.
pub fn load(bytes: &[u8]) -> Result<Pipeline, Vec<Problem>> {
    let mut sink = Sink::default();
    let pipeline = text::check(bytes, &mut sink)
        .and_then(|text| build::read(text, &mut sink))
        .filter(|tree| !raw::other_version(tree.root(), &mut sink))
        .and_then(|tree| raw::Pipeline::read(tree.root(), &mut sink))
        .and_then(|raw| validate::pipeline(raw, Digest::of(bytes), &mut sink));
    match pipeline {
        Some(pipeline) if sink.count() == 0 => Ok(pipeline),
        Some(_) | None => Err(sink.finish(bytes)),
    }
}
