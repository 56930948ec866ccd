//! Fingerprints of secrets, kept in the state folder: what is shown later, by a process without the secrets, is masked
//! too. The secrets themselves are never written.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::artifact::random_hex;
use crate::domain::mask::{Fingerprint, Key, Masker};

/// Name of the file.
const NAME: &str = "secrets.json";

/// Most fingerprints that are kept.
const KEPT_MAX: usize = 50_000;

/// Longest file that is read.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Kept {
    version: u32,
    key: Key,
    prints: Vec<Fingerprint>,
}

/// The secrets that were known when something was run here; one that knows shapes only where nothing is kept.
///
/// # Errors
/// The file is there and cannot be read: then nothing may be shown as if it were masked.
pub fn recall(state: &Path) -> io::Result<Masker> {
    use io::Read as _;
    let mut text = Vec::new();
    match std::fs::File::open(state.join(NAME)) {
        Ok(file) => file.take(BYTES_MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return fresh(),
        Err(error) => return Err(error),
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let mut masker = Masker::new(kept.key);
    kept.prints.into_iter().for_each(|print| masker.recall(print));
    Ok(masker)
}

/// One with a key of its own.
///
/// # Errors
/// The kernel gives no random numbers.
pub fn fresh() -> io::Result<Masker> {
    let hex = random_hex()?;
    let part = |range| hex.get(range).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(1);
    Ok(Masker::new(Key { salt: part(0..16), base: part(16..32) }))
}

/// Keeps what a masker knows, where that is more than is kept. The old file or the new one, never a part.
///
/// # Errors
/// What the file system says.
pub fn keep(state: &Path, masker: &Masker) -> io::Result<()> {
    let mut prints = masker.prints();
    if prints.is_empty()
        || recall(state).is_ok_and(|kept| kept.key() == masker.key() && kept.prints().len() == prints.len())
    {
        return Ok(());
    }
    prints.truncate(KEPT_MAX);
    let text = serde_json::to_vec(&Kept { version: 1, key: masker.key(), prints }).map_err(io::Error::other)?;
    let temp: PathBuf = state.join(format!("{NAME}.{}", random_hex()?));
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&temp)?;
    // Without the two syncs a power loss could leave a part of it, which nobody could tell from a damaged one.
    let written = file
        .write_all(&text)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&temp, state.join(NAME)))
        .and_then(|()| std::fs::File::open(state)?.sync_all());
    if written.is_err() {
        std::fs::remove_file(&temp).ok();
    }
    written
}
