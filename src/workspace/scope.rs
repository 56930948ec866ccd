//! What a producer changed of a tree, held against what it may change (row B17).

use globset::{GlobSet, GlobSetBuilder};

use super::logs::escape;
use super::tree::Snapshot;
use crate::domain::agent::path_glob;

/// Most paths that are named; the decision is made on all.
const NAMED_MAX: usize = 20;

/// Longest path that is named, in characters.
const NAME_CHARS_MAX: usize = 300;

/// The paths a producer may change.
#[derive(Debug)]
pub struct Scope {
    allowed: GlobSet,
    /// The globs as they are written.
    globs: Vec<String>,
    /// Paths that are outside even where a glob covers them.
    guarded: Vec<String>,
}

impl Scope {
    /// Makes a scope of globs; `*` and `?` stop at `/`, `**` does not. A guarded path is in the scope only where a
    /// glob is that very path.
    ///
    /// # Errors
    /// What is wrong with a glob.
    pub fn new(globs: &[String], guarded: Vec<String>) -> Result<Self, globset::Error> {
        let mut allowed = GlobSetBuilder::new();
        for glob in globs {
            allowed.add(path_glob(glob)?);
        }
        let guarded = guarded.into_iter().filter(|path| !globs.contains(path)).collect();
        Ok(Self { allowed: allowed.build()?, globs: globs.to_vec(), guarded })
    }

    /// A glob that is a folder's name alone, where one of these paths lies below that folder: `src` covers nothing in it.
    pub fn folder_of(&self, paths: &[String]) -> Option<&str> {
        let above = |glob: &&String| {
            let below = |path: &String| path.strip_prefix(glob.as_str()).is_some_and(|rest| rest.starts_with('/'));
            paths.iter().any(below)
        };
        self.globs.iter().filter(|glob| !glob.contains(['*', '?', '[', '{'])).find(above).map(String::as_str)
    }

    /// Whether a glob is this very path.
    pub fn names(&self, path: &str) -> bool {
        self.globs.iter().any(|glob| glob == path)
    }

    fn covers(&self, path: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let guarded = self.guarded.iter().any(|guarded| guarded.as_bytes() == path);
        !guarded && self.allowed.is_match(std::path::Path::new(std::ffi::OsStr::from_bytes(path)))
    }
}

/// Paths that differ between two looks at a tree and are not in the scope: the first of them by name, and how many.
pub fn outside(before: &Snapshot, after: &Snapshot, scope: &Scope) -> (Vec<String>, u64) {
    let (old, new) = (&before.inner().entries, &after.inner().entries);
    let mut named = Vec::new();
    let mut count = 0_u64;
    let mut note = |path: &[u8]| {
        if !scope.covers(path) {
            count = count.saturating_add(1);
            if named.len() < NAMED_MAX {
                named.push(escape(path).chars().take(NAME_CHARS_MAX).collect());
            }
        }
    };
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        // Both lists are sorted by path.
        match (old.peek(), new.peek()) {
            (Some(was), Some(is)) if was.path == is.path => {
                if (was.kind, was.content) != (is.kind, is.content) {
                    note(&is.path);
                }
                old.next();
                new.next();
            }
            (Some(was), Some(is)) if was.path < is.path => {
                note(&was.path);
                old.next();
            }
            (_, Some(is)) => {
                note(&is.path);
                new.next();
            }
            (Some(was), None) => {
                note(&was.path);
                old.next();
            }
            (None, None) => return (named, count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_named_alone_is_pointed_out() {
        let scope = |glob: &str| Scope::new(&[glob.to_owned()], Vec::new()).unwrap();
        let check = |glob: &str, path: &str, expected: Option<&str>| {
            assert_eq!(scope(glob).folder_of(&[path.to_owned()]), expected, "{glob} {path}");
        };
        check("src", "src/a", Some("src"));
        check("src", "srcx/a", None);
        check("src", "src", None);
        check("s*c", "src/a", None);
    }

    #[test]
    fn globs_stop_at_folders_and_guarded_paths_must_be_named() {
        let guarded = || vec!["prompts/a.md".to_owned(), "prompts/b.md".to_owned()];
        let check = |globs: &[&str], path: &str, expected: bool| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            assert_eq!(Scope::new(&globs, guarded()).unwrap().covers(path.as_bytes()), expected, "{globs:?} {path}");
        };
        check(&[], "a", false);
        check(&["**"], "a/b/c", true);
        check(&["**"], ".hidden", true);
        check(&["*"], "a/b", false);
        check(&["src/**"], "src/a/b.rs", true);
        check(&["src/**"], "srcx/a", false);
        check(&["src/*.rs"], "src/a/b.rs", false);
        check(&["docs/{a,b}/x"], "docs/b/x", true);
        check(&["**"], "prompts/a.md", false);
        check(&["**", "prompts/a.md"], "prompts/a.md", true);
        check(&["**", "prompts/a.md"], "prompts/b.md", false);
    }
}
