//! How often a task entered each stage.
//!
//! A task is copied with every event; this map shares what did not change, so that a copy costs the same for ten stages
//! and for ten thousand (docs/performance.md, b3).

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::id::StageName;

/// Count of entries, by stage. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Visits(RedBlackTreeMapSync<StageName, u32>);

impl Visits {
    /// How often a stage was entered; `None` where it never was.
    pub fn of(&self, stage: &StageName) -> Option<u32> {
        self.0.get(stage).copied()
    }

    /// Enters a stage once more, and says how often that makes.
    pub fn enter(&mut self, stage: &StageName) -> u32 {
        let count = self.of(stage).unwrap_or(0).saturating_add(1);
        self.0.insert_mut(stage.clone(), count);
        count
    }

    /// Stages that were ever entered.
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether no stage was entered yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stages with their counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&StageName, u32)> {
        self.0.iter().map(|(stage, count)| (stage, *count))
    }
}

impl FromIterator<(StageName, u32)> for Visits {
    fn from_iter<I: IntoIterator<Item = (StageName, u32)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}
