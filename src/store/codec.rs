//! Stored forms: JSON with a version at its head, and the hash that chains events.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::id::{Digest, TaskName};

use super::MAX_BODY_BYTES;
use super::change::Version;
use super::error::StoreError;

/// Version of the forms this program writes. It reads every version up to this one.
pub(super) const FORM: u32 = 1;
/// What the first event of a task has in place of a previous hash.
pub(super) const GENESIS: Digest = Digest::from_bytes([0; 32]);
/// Keeps these hashes apart from any other use of SHA-256.
const DOMAIN: &[u8] = b"orch event 1\0";

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    body: &'a T,
}

#[derive(Deserialize)]
struct Head {
    v: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<T> {
    #[serde(rename = "v")]
    _v: u32,
    body: T,
}

/// Writes a value in its stored form.
pub(super) fn encode<T: Serialize>(row: &str, body: &T) -> Result<String, StoreError> {
    let text = serde_json::to_string(&Written { v: FORM, body })
        .map_err(|source| StoreError::Unstorable { row: row.to_owned(), source })?;
    if text.len() > MAX_BODY_BYTES {
        return Err(StoreError::TooLarge { row: row.to_owned(), bytes: text.len(), limit: MAX_BODY_BYTES });
    }
    Ok(text)
}

/// Reads a stored form; a version it does not know is an error before anything else of it is believed.
pub(super) fn decode<T: DeserializeOwned>(row: &str, text: &str) -> Result<T, StoreError> {
    let broken = |error: serde_json::Error| StoreError::Disagrees {
        row: row.to_owned(),
        what: format!("its stored form cannot be read: {error}"),
    };
    let head: Head = serde_json::from_str(text).map_err(broken)?;
    match head.v {
        FORM => serde_json::from_str::<Read<T>>(text).map(|read| read.body).map_err(broken),
        found => Err(StoreError::UnknownForm { row: row.to_owned(), found, known: FORM }),
    }
}

/// The hash of an event: over the one before it, its place and its text.
pub(super) fn chain(prev: &Digest, task: &TaskName, seq: Version, text: &str) -> Digest {
    let name = task.as_str().as_bytes();
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(prev.as_bytes());
    hash.update((name.len() as u64).to_be_bytes());
    hash.update(name);
    hash.update(seq.get().to_be_bytes());
    hash.update(text.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_back_and_an_unknown_version_does_not() {
        let text = encode("row", &vec![1, 2]).unwrap();
        assert_eq!(text, r#"{"v":1,"body":[1,2]}"#);
        assert_eq!(decode::<Vec<u32>>("row", &text).unwrap(), [1, 2]);
        let newer = decode::<Vec<u32>>("task `x`", r#"{"v":2,"anything":true}"#).unwrap_err();
        assert!(matches!(newer, StoreError::UnknownForm { found: 2, known: 1, .. }), "{newer:?}");
        for broken in ["", "[]", "{}", r#"{"v":1}"#, r#"{"v":1,"body":[1],"more":1}"#, r#"{"v":-1,"body":[]}"#] {
            assert!(matches!(decode::<Vec<u32>>("row", broken), Err(StoreError::Disagrees { .. })), "{broken}");
        }
    }

    #[test]
    fn a_hash_covers_place_and_text() {
        let task = |name| TaskName::new(name).unwrap();
        let base = chain(&GENESIS, &task("a"), Version::new(1), "text");
        assert_ne!(base, chain(&base, &task("a"), Version::new(1), "text"));
        assert_ne!(base, chain(&GENESIS, &task("b"), Version::new(1), "text"));
        assert_ne!(base, chain(&GENESIS, &task("a"), Version::new(2), "text"));
        assert_ne!(base, chain(&GENESIS, &task("a"), Version::new(1), "Text"));
    }
}
