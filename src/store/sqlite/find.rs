//! Ids by their beginnings, as people give them.

use std::path::Path;
use std::str::FromStr;

use rusqlite::Connection;

use super::fault::fault;
use super::read::{gather, named};
use crate::store::MAX_CANDIDATES;
use crate::store::error::StoreError;

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Run,
    Attempt,
}

/// The one id that begins so.
pub(super) fn find<T: FromStr>(conn: &Connection, path: &Path, kind: Kind, prefix: &str) -> Result<T, StoreError> {
    let (word, sql) = match kind {
        Kind::Run => ("run", "SELECT id FROM run WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3"),
        Kind::Attempt => ("attempt", "SELECT id FROM attempt WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3"),
    };
    let none = || StoreError::NoSuch { kind: word, prefix: prefix.chars().take(80).collect() };
    let from = hyphenated(prefix).ok_or_else(none)?;
    // Ids are made of hex digits and hyphens, and `g` sorts behind all of them.
    let values = rusqlite::params![from, format!("{from}g"), MAX_CANDIDATES + 1];
    let mut ids: Vec<String> = gather(conn, path, sql, values, |row| row.get(0).map_err(fault(path, "read an id")))?;
    match ids.as_slice() {
        [] => Err(none()),
        [id] => named(&format!("{word} {id}"), "id", id),
        _ => {
            let more = ids.len() > usize::from(MAX_CANDIDATES);
            ids.truncate(usize::from(MAX_CANDIDATES));
            Err(StoreError::Ambiguous { kind: word, prefix: prefix.to_owned(), candidates: ids, more })
        }
    }
}

/// A prefix as ids are stored: lower case, hyphens where a UUID has them. `None` where no id can begin so.
fn hyphenated(prefix: &str) -> Option<String> {
    let digits: Vec<char> = prefix.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.is_empty() || digits.len() > 32 || !digits.iter().all(char::is_ascii_hexdigit) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.into_iter().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_gets_its_hyphens() {
        let check = |prefix, expected: Option<&str>| assert_eq!(hyphenated(prefix).as_deref(), expected, "{prefix}");
        check("0199f0c4", Some("0199f0c4"));
        check("0199F0C41", Some("0199f0c4-1"));
        check("0199f0c4-1111-7abc-8def-0123456789ab", Some("0199f0c4-1111-7abc-8def-0123456789ab"));
        check("", None);
        check("-", None);
        check("../x", None);
        check("g", None);
        check(&"0".repeat(33), None);
    }
}
