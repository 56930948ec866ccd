//! Whether there is room for another attempt: looked at before each start, so that a full disk is a hold with its
//! numbers and not a fault of the stage (RELIABILITY §4.9).

use std::path::Path;

use crate::config::{STATE_FREE_MIN, STATE_RESERVE, WORKTREE_FREE_MIN};
use crate::domain::decision::{HoldReason, size};
use crate::workspace::filesystem::free_bytes;

use super::drive::Runner;

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// What there is too little of.
    pub(super) short: Option<HoldReason>,
    /// File systems that do not say what is free: that blocks nothing (row E7).
    pub(super) unknown: Vec<String>,
    /// What is free, for people.
    pub(super) seen: Vec<String>,
}

impl Runner<'_> {
    /// Looks at the state folder and at the worktree.
    pub(super) fn room(&self) -> Room {
        let mut room = Room::default();
        let floor = self.settings.state_free_min_bytes();
        if self.store.is_short_of_room() {
            // What is free now belongs to what must still be recorded; the next run makes the reserve again first.
            let reserve = self.settings.state_reserve_bytes().max(1);
            let (least, setting) = if reserve > floor { (reserve, STATE_RESERVE) } else { (floor, STATE_FREE_MIN) };
            room.look(self.state.path(), least, setting, &|_free, _least| true);
        } else {
            room.look(self.state.path(), floor, STATE_FREE_MIN, &|free, least| free < least);
        }
        let floor = self.settings.worktree_free_min_bytes();
        room.look(self.worktree.toplevel(), floor, WORKTREE_FREE_MIN, &|free, least| free < least);
        room
    }
}

impl Room {
    fn look(&mut self, place: &Path, least_bytes: u64, setting: &str, is_short: &dyn Fn(u64, u64) -> bool) {
        match free_bytes(place) {
            Ok(free_bytes) if is_short(free_bytes, least_bytes) => {
                self.short.get_or_insert_with(|| HoldReason::LowSpace {
                    place: place.display().to_string(),
                    free_bytes,
                    least_bytes,
                    setting: setting.to_owned(),
                });
            }
            Ok(free_bytes) => self.seen.push(format!("{} free in {}", size(free_bytes), place.display())),
            Err(error) => self.unknown.push(format!("the free space of {} cannot be told: {error}", place.display())),
        }
    }
}
