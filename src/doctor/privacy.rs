//! Whether what is in the state folder is this user's alone. The folder itself is, or it is refused, so nobody else gets
//! past it; what is told here is what would be open if that changed, or what another user left inside.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::examine::Notes;
use super::finding::Finding;

/// Folders whose files orch alone makes. What producers write lies deeper than this looks.
const FOLDERS: [&str; 5] = ["locks", "trees", "runs", "backups", "controls"];
/// Most files and folders that are looked at.
const LOOKED_AT_MAX: usize = 20_000;
/// How many are named.
const NAMED_MAX: usize = 3;
/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

pub(super) fn look(state: &Path, notes: &Notes) {
    let owner = rustix::process::geteuid().as_raw();
    let mut wrong = Vec::new();
    let mut count = 0_usize;
    for (path, found) in entries(state).take(LOOKED_AT_MAX) {
        let foreign = found.uid() != owner;
        let open = !found.is_symlink() && found.mode() & OTHERS_WRITE != 0;
        if !foreign && !open {
            continue;
        }
        count = count.saturating_add(1);
        if wrong.len() < NAMED_MAX {
            wrong.push(format!("{} (owner {}, mode {:04o})", path.display(), found.uid(), found.mode() & 0o7777));
        }
    }
    if count > 0 {
        let more = count.saturating_sub(wrong.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.add(Finding::warn(
            "state",
            format!("others may write to, or own, what orch keeps: {}{more}", wrong.join(", ")),
            "look at what they hold, then `chown` them to yourself and `chmod go-w` them",
        ));
    }
}

/// What lies in the state folder, in its folders, and in the folder of each run.
fn entries(state: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let folders = FOLDERS.map(|name| state.join(name));
    let runs = state.join("runs");
    let each_run = listed(&runs).filter(|(_, found)| found.is_dir()).flat_map(|(run, _)| listed(&run));
    listed(state).chain(folders.into_iter().flat_map(|folder| listed(&folder))).chain(each_run)
}

/// What lies in a folder; nothing where it cannot be read.
fn listed(folder: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // Not followed: what a link leads to is not orch's.
    entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
}
