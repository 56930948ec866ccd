//! The files of a repository that make git do things, for this worktree and for every other: configuration, hooks,
//! attributes, alternates. A producer that changes one of them has left its worktree (RELIABILITY §4.13).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::logs::escape;
use super::worktree::Worktree;
use crate::domain::id::Digest;

/// Single files, below the common git folder and below the worktree's own.
const FILES: [&str; 8] = [
    "config",
    "config.worktree",
    "commondir",
    "gitdir",
    "info/attributes",
    "info/exclude",
    "info/grafts",
    "objects/info/alternates",
];

/// Folders of which every entry counts.
const FOLDERS: [&str; 1] = ["hooks"];

/// Longest file that is hashed; of a longer one its size counts.
const BYTES_MAX: u64 = 1024 * 1024;

/// Most entries of a folder.
const ENTRIES_MAX: usize = 1000;

/// Most changes that are named.
const NAMED_MAX: usize = 20;

/// What those files were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shared(BTreeMap<String, String>);

impl Shared {
    /// Looks at them. One that cannot be read is noted as such: it must stay so.
    pub fn read(worktree: &Worktree) -> Self {
        let mut found = BTreeMap::new();
        let mut roots = vec![("", worktree.common_dir())];
        if worktree.git_dir() != worktree.common_dir() {
            roots.push(("worktree:", worktree.git_dir()));
        }
        for (prefix, root) in roots {
            for name in FILES {
                note(&mut found, format!("{prefix}{name}"), &root.join(name));
            }
            for folder in FOLDERS {
                let path = root.join(folder);
                note(&mut found, format!("{prefix}{folder}"), &path);
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten().take(ENTRIES_MAX);
                for entry in entries {
                    let name = escape(entry.file_name().as_encoded_bytes());
                    note(&mut found, format!("{prefix}{folder}/{name}"), &entry.path());
                }
            }
        }
        Self(found)
    }

    /// What is another now, by name.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let differs = |name: &&String| self.0.get(*name) != now.0.get(*name);
        names.into_iter().filter(differs).take(NAMED_MAX).map(|name| format!(".git/{name}")).collect()
    }
}

/// Notes what stands at a path: nothing is followed, and nothing but a plain file is opened.
fn note(found: &mut BTreeMap<String, String>, name: String, path: &Path) {
    let Ok(meta) = path.symlink_metadata() else { return };
    let kind = meta.file_type();
    let state = if kind.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        format!("link to {}", escape(target.as_os_str().as_encoded_bytes()))
    } else if kind.is_dir() {
        "folder".to_owned()
    } else if kind.is_file() && meta.len() <= BYTES_MAX {
        let mut bytes = Vec::new();
        let read = std::fs::File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => format!("{:o} {}", meta.mode(), Digest::of(&bytes)),
            Err(error) => format!("{:o} unreadable: {}", meta.mode(), error.kind()),
        }
    } else {
        format!("{:o} {} bytes at {}.{}", meta.mode(), meta.len(), meta.mtime(), meta.mtime_nsec())
    };
    found.insert(name, state);
}
