//! Known texts of layers below the suite: shells, transports, package tools, loaders (rule 9).
//!
//! Each entry is a layer's own prefix and wording. It is asked only of lines outside the suites' regions, and only
//! chooses the kind of hold: no entry can make anything green or red. The first entry that matches a line names it,
//! so the tables stand in an order: what a cause says first, special cases before general ones.
//!
//! A line that only follows from another one (`fatal: Could not read from remote repository.` after ssh's own words)
//! or that anybody could say is *weak*: it counts where nothing stronger was said.

mod containers;
mod interpreters;
mod machine;
mod packages;
mod programs;
mod shells;
mod transports;

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::line::Line;
use crate::domain::evidence::{FaultKind, Signature, Stream};

/// One known text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Stable id: it stands in records.
    pub(super) id: &'static str,
    /// Whether waiting can help.
    pub(super) fault: FaultKind,
    /// Whether it only follows from a cause, or could be anybody's.
    pub(super) weak: bool,
    /// What a line looks like.
    pub(super) pattern: &'static str,
}

impl Entry {
    const fn weak(self) -> Self {
        Self { weak: true, ..self }
    }
}

const fn permanent(id: &'static str, pattern: &'static str) -> Entry {
    Entry { id, fault: FaultKind::Permanent, weak: false, pattern }
}

const fn transient(id: &'static str, pattern: &'static str) -> Entry {
    Entry { id, fault: FaultKind::Transient, weak: false, pattern }
}

/// The tables in the order in which they are asked, with what they are about.
pub(super) const TABLES: [(&str, &[Entry]); 9] = [
    ("resources", machine::RESOURCES),
    ("certificates", transports::CERTIFICATES),
    ("containers", containers::TABLE),
    ("transports", transports::TABLE),
    ("package tools", packages::TABLE),
    ("databases and services", programs::TABLE),
    ("interpreters", interpreters::TABLE),
    ("loaders and shells", shells::TABLE),
    ("anybody", machine::ANYBODY),
];

static ENTRIES: LazyLock<Vec<Entry>> =
    LazyLock::new(|| TABLES.iter().flat_map(|(_, table)| table.iter().copied()).collect());
static SET: LazyLock<RegexSet> =
    LazyLock::new(|| set(ENTRIES.iter().map(|entry| entry.pattern)).expect("fixed patterns"));

/// Classes are of ASCII: layers below the suite speak the C locale, and the automaton stays small enough to be fast.
fn set(patterns: impl Iterator<Item = &'static str>) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(patterns).unicode(false).dfa_size_limit(DFA_MAX_BYTES).build()
}

/// Largest automaton that is kept while lines are looked up.
const DFA_MAX_BYTES: usize = 16 << 20;

/// Looks a line up.
pub(super) fn find(line: &Line<'_>) -> Option<Signature> {
    if line.text.is_empty() {
        return None;
    }
    let index = SET.matches(line.text.as_bytes()).iter().min()?;
    let entry = ENTRIES.get(index)?;
    Some(Signature { pattern: entry.id.to_owned(), fault: entry.fault, at: line.sighting(entry.id) })
}

/// The signature that tells most about a command that ended without a verdict: the last strong one, on stderr
/// rather than on stdout; else the last weak one.
pub(super) fn telling(signatures: &[Signature]) -> Option<&Signature> {
    let last = |stream, weak| signatures.iter().rev().find(move |s| s.at.stream == stream && is_weak(s) == weak);
    last(Stream::Stderr, false)
        .or_else(|| last(Stream::Stdout, false))
        .or_else(|| last(Stream::Stderr, true))
        .or_else(|| last(Stream::Stdout, true))
}

/// Whether something stronger should be believed, where it is there.
pub(super) fn is_weak(signature: &Signature) -> bool {
    ENTRIES.iter().any(|entry| entry.id == signature.pattern && entry.weak)
}

/// ssh's own words for a link that broke (rule 5).
pub(super) fn is_cut_link(signature: &Signature) -> bool {
    signature.pattern == transports::SSH_CUT && signature.at.stream == Stream::Stderr
}

/// ssh's own words for a link that never stood and never will.
pub(super) fn is_closed_door(signature: &Signature) -> bool {
    signature.pattern.starts_with("ssh-") && signature.fault == FaultKind::Permanent
}

/// A lack of disk or memory, which can make a compiler fail on good code (rule 3's exception).
pub(super) fn is_resource(signature: &Signature) -> bool {
    matches!(signature.pattern.as_str(), "disk-full" | "out-of-memory" | "compiler-killed")
}

/// A pattern as it may be printed for people: what one id stands for.
pub(super) fn all() -> impl Iterator<Item = (&'static str, Entry)> {
    TABLES.iter().flat_map(|(title, table)| table.iter().map(move |entry| (*title, *entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use FaultKind::{Permanent, Transient};
    use regex::Regex;

    #[test]
    fn ids_are_unique_and_patterns_match_something() {
        let entries: Vec<Entry> = all().map(|(_, entry)| entry).collect();
        for (index, entry) in entries.iter().enumerate() {
            assert!(entries.iter().skip(index + 1).all(|other| other.id != entry.id), "{} stands twice", entry.id);
            assert!(!Regex::new(entry.pattern).unwrap().is_match(""), "{} matches nothing at all", entry.id);
        }
    }

    #[test]
    fn the_cause_beats_what_follows_from_it() {
        let check = |text: &str, expected: &str| {
            let found: Vec<Signature> = (1..)
                .zip(text.lines())
                .filter_map(|(number, text)| find(&Line { text, stream: Stream::Stderr, number }))
                .collect();
            assert_eq!(telling(&found).map(|s| s.pattern.as_str()), Some(expected), "{text}");
        };
        check("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n", "ssh-auth");
        check("WARNING: Retrying (Retry(total=0))\nERROR: No matching distribution found for x\n", "pip-network");
        check("ERROR: No matching distribution found for x\n", "pip-not-found");
        check("error: failed to get `x`\n  got 403\nCaused by:\n  download of config.json failed\n", "cargo-http");
        check("bash: line 1: a: command not found\ncurl: (7) Failed to connect\n", "curl-network");
    }

    #[test]
    fn lines_of_layers() {
        let check = |text: &str, expected: Option<(&str, FaultKind)>| {
            let found = find(&Line { text, stream: Stream::Stderr, number: 1 });
            assert_eq!(found.as_ref().map(|s| (s.pattern.as_str(), s.fault)), expected, "{text}");
        };
        check("bash: line 1: cargo: command not found", Some(("command-not-found", Permanent)));
        check("sh: 1: pytest: not found", Some(("command-not-found", Permanent)));
        check("Error response from daemon: No such container: app", Some(("docker-object", Permanent)));
        check("curl: (22) The requested URL returned error: 503", Some(("curl-http-wait", Transient)));
        check("curl: (22) The requested URL returned error: 404", Some(("curl-http", Permanent)));
        check("curl: (7) Failed to connect to 127.0.0.1 port 9", Some(("curl-network", Transient)));
        check("ssh: connect to host 127.0.0.1 port 9: Connection refused", Some(("ssh-connect", Transient)));
        check("git@host: Permission denied (publickey).", Some(("ssh-auth", Permanent)));
        check("Host key verification failed.", Some(("ssh-host-key", Permanent)));
        check("/usr/bin/python3: No module named pytest", Some(("python-module", Permanent)));
        check(
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            Some(("kubectl-config", Permanent)),
        );
        check(
            "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?",
            Some(("kubectl-wait", Transient)),
        );
        check("all good", None);
        check("", None);
    }
}
