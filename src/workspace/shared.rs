//! The files of a repository that make git do things, for this worktree and for every other: configuration, hooks,
//! attributes, alternates; and those of its submodules. A producer that changes one of them has left its worktree
//! (RELIABILITY §4.13).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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

/// Where the repositories of submodules lie, below a git folder.
const MODULES: &str = "modules";

/// How deep they may lie in each other and in folders.
const MODULES_DEPTH_MAX: usize = 16;

/// Head of the names of a linked worktree's own files.
const OWN: &str = "worktree:";

/// What those files were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shared(BTreeMap<String, String>);

impl Shared {
    /// Looks at them. One that cannot be read is noted as such: it must stay so.
    pub fn read(worktree: &Worktree) -> Self {
        let mut found = BTreeMap::new();
        let mut roots = vec![(String::new(), worktree.common_dir().to_owned())];
        if worktree.git_dir() != worktree.common_dir() {
            roots.push((OWN.to_owned(), worktree.git_dir().to_owned()));
        }
        for (prefix, root) in roots {
            note_all(&mut found, &prefix, &root);
            modules(&mut found, &format!("{prefix}{MODULES}"), &root.join(MODULES), 0);
        }
        Self(found)
    }

    /// What is another now, by name.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        names.into_iter().filter(|name| self.0.get(*name) != now.0.get(*name)).cloned().collect()
    }

    /// Takes one of them as it is in `now`.
    pub fn accept(&mut self, name: &str, now: &Self) {
        match now.0.get(name) {
            Some(state) => drop(self.0.insert(name.to_owned(), state.clone())),
            None => drop(self.0.remove(name)),
        }
    }

    /// Whether one of them is the same in both.
    pub fn agrees(&self, name: &str, other: &Self) -> bool {
        self.0.get(name) == other.0.get(name)
    }

    /// The name for people.
    pub fn shown(name: &str) -> String {
        format!(".git/{name}")
    }

    /// Where something of a name really stands, links on the way followed; its last part may be escaped.
    pub fn place(worktree: &Worktree, name: &str) -> PathBuf {
        let path = match name.strip_prefix(OWN) {
            Some(own) => worktree.git_dir().join(own),
            None => worktree.common_dir().join(name),
        };
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        parent.zip(path.file_name()).map_or(path.clone(), |(parent, name)| parent.join(name))
    }
}

/// Notes the files of one git folder.
fn note_all(found: &mut BTreeMap<String, String>, prefix: &str, root: &Path) {
    for name in FILES {
        note(found, format!("{prefix}{name}"), &root.join(name));
    }
    for folder in FOLDERS {
        let path = root.join(folder);
        note(found, format!("{prefix}{folder}"), &path);
        for (name, path) in entries(&path) {
            note(found, format!("{prefix}{folder}/{name}"), &path);
        }
    }
}

/// Notes the git folders of submodules: their names may have `/` in them, and they may have submodules of their own.
fn modules(found: &mut BTreeMap<String, String>, prefix: &str, folder: &Path, depth: usize) {
    if depth >= MODULES_DEPTH_MAX {
        found.insert(prefix.to_owned(), "too deep to be looked at".to_owned());
        return;
    }
    for (name, path) in entries(folder) {
        let prefix = format!("{prefix}/{name}");
        let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        // What a link leads to may be anything; that there is one is noted.
        if !is_folder {
            note(found, prefix, &path);
        } else if path.join("HEAD").symlink_metadata().is_ok() || path.join("config").symlink_metadata().is_ok() {
            note_all(found, &format!("{prefix}/"), &path);
            modules(found, &format!("{prefix}/{MODULES}"), &path.join(MODULES), depth + 1);
        } else {
            modules(found, &prefix, &path, depth + 1);
        }
    }
}

/// The first entries of a folder, by their escaped names.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES_MAX);
    entries.map(|entry| (escape(entry.file_name().as_encoded_bytes()), entry.path())).collect()
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
