//! What the last look at each staging host saw, for `orch status`: one small file a stage. A hint for people; nothing is
//! decided by it.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Folder of the files, below the state folder.
const FOLDER: &str = "preflight";
/// Most files that are told.
const TOLD_MAX: usize = 64;

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Preflight {
    /// Version of this form: 1.
    pub version: u32,
    /// The stage.
    pub stage: String,
    /// When.
    pub at: Timestamp,
    /// Whether its command could have run.
    pub passed: bool,
    /// What was seen.
    pub seen: String,
}

/// Keeps a look, in place of the one before it.
///
/// # Errors
/// The file cannot be written.
pub fn keep(state: &Path, look: &Preflight) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = state.join(FOLDER);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    io::Write::write_all(&mut file, &serde_json::to_vec(look)?)?;
    file.persist(folder.join(format!("{}.json", look.stage))).map(drop).map_err(|error| error.error)
}

/// Every look that was kept, by stage. What cannot be read is left out.
pub fn kept(state: &Path) -> Vec<Preflight> {
    let Ok(entries) = std::fs::read_dir(state.join(FOLDER)) else { return Vec::new() };
    let named =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let read =
        |path| serde_json::from_slice::<Preflight>(&std::fs::read(path).ok()?).ok().filter(|look| look.version == 1);
    let mut looks: Vec<Preflight> = named.take(TOLD_MAX).filter_map(read).collect();
    looks.sort_by(|a, b| a.stage.cmp(&b.stage));
    looks
}
