//! What stands at the places of a task's artifacts, and what orch's own passing files beside them are called. These do
//! not belong to the tree, so that what an agent did to those of other stages is told from here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Dir, OFlags};
use serde::{Deserialize, Serialize};

use super::artifact::{ARTIFACT_BYTES_MAX, is_temporary, name_before_aside, read_back};
use super::logs::escape;
use super::root::{Root, beneath};
use crate::domain::id::{Digest, RelPath};
use crate::domain::verdict::UnreadableReason;

/// What stood there at one moment, by path: the hash of a file, else what is in the way of reading it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Standing(BTreeMap<String, String>);

impl Standing {
    /// Looks at the places of artifacts, less one.
    pub fn read(root: &Root, artifacts: impl IntoIterator<Item = RelPath>, less: Option<&RelPath>) -> Self {
        let mut found = BTreeMap::new();
        let mut folders = BTreeSet::new();
        for path in artifacts {
            let folder = path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
            folders.insert(folder.to_owned());
            if Some(&path) == less {
                continue;
            }
            match read_back(root, &path, ARTIFACT_BYTES_MAX) {
                Ok(bytes) => {
                    found.insert(path.to_string(), Digest::of(&bytes).to_string());
                }
                Err(unreadable) if unreadable.reason == UnreadableReason::Missing => {}
                Err(unreadable) => {
                    found.insert(path.to_string(), unreadable.to_string());
                }
            }
        }
        for folder in folders {
            for name in passing(root, &folder) {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                found.insert(path, "there".to_owned());
            }
        }
        Self(found)
    }

    /// The paths at which something else stands now, or nothing any more; not where exactly what was recorded stands.
    pub fn changes(&self, now: &Self, recorded: &BTreeMap<RelPath, Digest>) -> Vec<String> {
        let paths: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let as_recorded = |path: &str| {
            let recorded = RelPath::new(path).ok().and_then(|path| recorded.get(&path));
            recorded.is_some_and(|digest| now.0.get(path) == Some(&digest.to_string()))
        };
        let differs = |path: &&String| self.0.get(*path) != now.0.get(*path) && !as_recorded(path);
        paths.into_iter().filter(differs).cloned().collect()
    }
}

/// Names in a folder that only orch gives.
fn passing(root: &Root, folder: &str) -> Vec<String> {
    let name = if folder.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(folder.as_bytes()) };
    let listed =
        beneath(root.fd(), name, OFlags::RDONLY | OFlags::DIRECTORY).and_then(|folder| Dir::read_from(&folder));
    let names = listed.into_iter().flatten().flatten().map(|entry| entry.file_name().to_bytes().to_vec());
    names.filter(|name| is_temporary(name) || name_before_aside(name).is_some()).map(|name| escape(&name)).collect()
}
