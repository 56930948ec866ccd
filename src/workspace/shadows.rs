//! Where the record of a shadow is kept: beside the attempt that it is held against. Nothing is decided by it.

use std::io;
use std::path::{Path, PathBuf};

use super::controls::{Found, read, write};
use crate::domain::shadow::Shadow;

/// Its name in the attempt's folder.
const NAME: &str = "shadow.json";

/// The shadow's artifact, in the shadow's own folder.
const ARTIFACT: &str = "artifact.md";

/// Keeps what is known of a shadow: the old record or the new one, never a part.
///
/// # Errors
/// What the file system says.
pub fn keep(attempt_dir: &Path, shadow: &Shadow) -> io::Result<()> {
    std::fs::create_dir_all(attempt_dir)?;
    write(&attempt_dir.join(NAME), shadow)
}

/// What is kept beside an attempt.
pub fn kept(attempt_dir: &Path) -> Found<Shadow> {
    read(&attempt_dir.join(NAME), |shadow: &Shadow| shadow.version)
}

/// Keeps the bytes of a shadow's artifact in its own folder, for people.
///
/// # Errors
/// What the file system says.
pub fn keep_artifact(folder: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = folder.join(ARTIFACT);
    std::fs::write(&path, bytes)?;
    Ok(path)
}
