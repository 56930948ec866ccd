//! The laws of a pipeline's graph, checked all at once.

use std::collections::HashMap;

use super::id::StageName;
use super::pipeline::{Flaw, Parts};

pub(super) fn check(parts: &Parts) -> (HashMap<StageName, usize>, Vec<Flaw>) {
    let index = parts.stages.iter().enumerate().map(|(i, stage)| (stage.name.clone(), i)).collect();
    (index, Vec::new())
}
