//! The identity of a worktree's tree, and what an attempt did to it (DESIGN D19, docs/design/0005).
//!
//! The tree is every file that git tracks or does not ignore, less declared artifacts and reports: path, kind and
//! the SHA-256 of the bytes as they lie there. No filter runs, nothing is followed, and nothing but `git ls-files`
//! and its like is asked.

use std::sync::Arc;

use super::beside::{Beside, beside};
use super::content::{Clock, Entry, Kind, Reader, blob_name};
use super::filesystem::{Locality, locality};
use super::git::{Git, GitError};
use super::listing::{HeadTree, Item, Oid, Role, head_tree, list};
use super::logs::escape;
use super::watch::Watch;
use super::worktree::{Head, Worktree};
use crate::domain::evidence::TreeFacts;
use crate::domain::id::{Digest, RelPath};

pub use super::less::Less;

/// Most paths that are named of each kind; the decision is made on all.
const NAMED_MAX: usize = 20;

/// Longest path that is named, in characters.
const NAME_CHARS_MAX: usize = 300;

/// Digits of a commit's name in a repository with SHA-256 names.
const SHA256_DIGITS: usize = 64;

/// Files below which one thread is enough.
const ALONE_MAX: usize = 512;

/// Most threads that hash.
const THREADS_MAX: usize = 4;

/// A tree that could not be looked at: a fault of the environment.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// git did not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// git did not answer about a repository that lies in the worktree.
    #[error("read the repository in {path}")]
    Nested {
        /// Its folder, escaped.
        path: String,
        /// Why.
        source: GitError,
    },
    /// Repositories lie in each other too deep, or too many.
    #[error("list the files of {path}: too many repositories lie in each other")]
    TooNested {
        /// The folder.
        path: String,
    },
    /// A file or folder could not be read.
    #[error("read {path}")]
    Unreadable {
        /// The path, escaped.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl TreeError {
    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Git(error) => error.help(),
            Self::Nested { .. } => {
                "look at the `.git` of that folder: put it back, or move the folder out of the worktree; a submodule is checked \
                 out anew with `git submodule update --init --force`"
            }
            Self::TooNested { .. } => "ignore the folder of nested repositories, or move it out of the worktree",
            Self::Unreadable { .. } => "look at the owner and the mode of the file: orch must be able to read it",
        }
    }
}

/// The bytes that a commit has at a path, by their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    name: Oid,
    sha256_names: bool,
}

impl Committed {
    /// Whether these are the bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        blob_name(bytes, self.sha256_names) == self.name
    }
}

/// A worktree's tree at one moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) digest: Digest,
    pub(super) head: Head,
    pub(super) dirty: bool,
    pub(super) less: Less,
    /// Sorted by path.
    pub(super) entries: Vec<Entry>,
    /// Tracked paths where nothing stands; sorted.
    pub(super) absent: Vec<Box<[u8]>>,
    /// Files of the snapshot this one was taken after that are no longer listed, where they still stand; sorted.
    unlisted: Vec<Entry>,
    pub(super) head_tree: Arc<HeadTree>,
    /// What must be unchanged for all of this to be; `None` where it cannot be watched.
    pub(super) watch: Option<Watch>,
}

/// That HEAD is another, in words: its commit, its branch, or both.
pub fn head_moved(was: &Head, is: &Head) -> String {
    let branch = |head: &Head| {
        head.branch
            .as_ref()
            .map_or_else(|| "no branch".to_owned(), |name| format!("branch {}", escape(name.as_bytes())))
    };
    let mut moved = Vec::new();
    if was.commit != is.commit {
        moved.push(format!("{} is now {}", was.commit.short(), is.commit.short()));
    }
    if was.branch != is.branch {
        moved.push(format!("{} is now {}", branch(was), branch(is)));
    }
    format!("HEAD ({})", moved.join(", "))
}

impl Snapshot {
    /// Looks at the tree.
    ///
    /// `known` is an earlier snapshot of the same worktree: what provably did not change since is not read again,
    /// and when nothing did, not even git is asked. Give the snapshot from before an attempt when taking the one
    /// after it: [`compare`] wants to know of files that stood there and are ignored by now.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn take(git: &Git<'_>, worktree: &Worktree, less: &Less, known: Option<&Self>) -> Result<Self, TreeError> {
        worktree.check()?;
        if let Some(known) = known
            && known.0.less == *less
            && known.still_holds(worktree)
        {
            return Ok(known.clone());
        }
        let local = locality(worktree.root().fd()).is_ok_and(|found| found == Locality::Local);
        let now = Clock::read(local);
        let mut listing = list(git, worktree)?;
        listing.items.retain(|item| !less.covers(&item.path));
        let sha256_names = listing.head.commit.as_str().len() == SHA256_DIGITS;
        let look = Look { worktree, now, sha256_names, known: known.map(|known| known.0.as_ref()) };
        let (entries, absent) = look.at_all(&listing.items)?;
        let unlisted = look.at_unlisted(&entries, less)?;
        let commit = listing.head.commit.as_str();
        // With nested repositories HEAD is more than one commit.
        let reusable = known.filter(|known| listing.nested.is_empty() && known.0.head_tree.commit == commit);
        let head_tree = match reusable {
            Some(known) => Arc::clone(&known.0.head_tree),
            None => Arc::new(head_tree(git, worktree, &listing)?),
        };
        let watch = if listing.nested.is_empty() && entries.iter().all(|entry| entry.settled) {
            Watch::set(worktree, &listing, less, &now)
        } else {
            None
        };
        let dirty = differs(&entries, &head_tree, less);
        let digest = digest_of(entries.iter());
        let inner = Inner {
            digest,
            head: listing.head,
            dirty,
            less: less.clone(),
            entries,
            absent,
            unlisted,
            head_tree,
            watch,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Whether the commit has a file at a path, also one that does not belong to the tree.
    pub fn commits(&self, path: &RelPath) -> bool {
        self.0.head_tree.files.binary_search_by(|file| (*file.path).cmp(path.as_str().as_bytes())).is_ok()
    }

    /// The file that the commit has at a path, also one that does not belong to the tree.
    pub fn committed(&self, path: &RelPath) -> Option<Committed> {
        let HeadTree { commit, files } = &*self.0.head_tree;
        let found = files.binary_search_by(|file| (*file.path).cmp(path.as_str().as_bytes())).ok()?;
        Some(Committed { name: files.get(found)?.oid, sha256_names: commit.len() == SHA256_DIGITS })
    }

    /// What does not belong to it.
    pub fn less(&self) -> &Less {
        &self.0.less
    }

    /// Hash of every path, kind and content.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Where the worktree stood.
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Whether the tree is anything but HEAD's, byte for byte, both without what is left out. A checkout whose
    /// files git converts (line ends, filters) counts as different: the proof of the opposite would need to run
    /// the filter.
    pub fn is_dirty(&self) -> bool {
        self.0.dirty
    }

    /// How many paths differ from HEAD's, as [`Snapshot::is_dirty`] sees it.
    pub fn dirty_paths(&self) -> usize {
        let Inner { entries, head_tree, less, .. } = self.inner();
        let now = entries.iter().map(|entry| (&*entry.path, (entry.kind.git_mode(), Some(entry.blob))));
        let now: std::collections::BTreeMap<_, _> = now.collect();
        let committed = head_tree.files.iter().filter(|file| !less.covers(&file.path));
        let committed: std::collections::BTreeMap<_, _> =
            committed.map(|file| (&*file.path, (Some(file.mode), Some(file.oid)))).collect();
        let changed = committed.iter().filter(|(path, file)| now.get(*path) != Some(*file)).count();
        changed.saturating_add(now.keys().filter(|path| !committed.contains_key(*path)).count())
    }

    /// The paths that differ from HEAD's, each with the hash of what lies there now; `None` where nothing does.
    pub fn differences(&self) -> Vec<(Vec<u8>, Option<Digest>)> {
        let Inner { entries, head_tree, less, .. } = self.inner();
        let committed = head_tree.files.iter().filter(|file| !less.covers(&file.path));
        let mut committed: std::collections::BTreeMap<_, _> =
            committed.map(|file| (&*file.path, (Some(file.mode), file.oid))).collect();
        let mut found = Vec::new();
        for entry in entries {
            if committed.remove(&*entry.path) != Some((entry.kind.git_mode(), entry.blob)) {
                found.push((entry.path.to_vec(), Some(entry.content)));
            }
        }
        found.extend(committed.into_keys().map(|path| (path.to_vec(), None)));
        found
    }

    /// Names of the first paths that differ from HEAD's, for people.
    pub fn dirty_names(&self) -> Vec<String> {
        let shown = |(path, _): &(Vec<u8>, Option<Digest>)| escape(path).chars().take(NAME_CHARS_MAX).collect();
        self.differences().iter().take(NAMED_MAX).map(shown).collect()
    }

    /// How many files it has.
    pub fn files(&self) -> usize {
        self.0.entries.len()
    }

    fn still_holds(&self, worktree: &Worktree) -> bool {
        self.0
            .watch
            .as_ref()
            .is_some_and(|watch| watch.is_quiet(worktree, &self.0.less, &self.0.entries, &self.0.absent))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn from_inner(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl Inner {
    fn find(&self, path: &[u8]) -> Option<&Entry> {
        let among = |entries: &'_ [Entry]| entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok();
        match among(&self.entries) {
            Some(index) => self.entries.get(index),
            None => self.unlisted.get(among(&self.unlisted)?),
        }
    }

    /// Puts a snapshot together from its parts, as the cache has them.
    pub(super) fn from_parts(
        head: Head,
        less: Less,
        entries: Vec<Entry>,
        absent: Vec<Box<[u8]>>,
        head_tree: HeadTree,
        watch: Option<Watch>,
    ) -> Self {
        let digest = digest_of(entries.iter());
        let dirty = differs(&entries, &head_tree, &less);
        let head_tree = Arc::new(head_tree);
        Self { digest, head, dirty, less, entries, absent, unlisted: Vec::new(), head_tree, watch }
    }
}

/// What an attempt did to the files that stood there, and which it added. `after` must have been taken with
/// `before` as the known snapshot; otherwise files that are ignored by now count as removed.
pub fn compare(before: &Snapshot, after: &Snapshot) -> TreeFacts {
    let (b, a) = (before.0.as_ref(), after.0.as_ref());
    if Arc::ptr_eq(&before.0, &after.0) {
        return TreeFacts { before: b.digest, after: b.digest, left: b.digest, changed: Vec::new(), added: Vec::new() };
    }
    let mut changed = Vec::new();
    let name = |list: &mut Vec<String>, path: &[u8]| {
        if list.len() < NAMED_MAX {
            list.push(escape(path).chars().take(NAME_CHARS_MAX).collect());
        }
    };
    let mut same_files = Vec::with_capacity(b.entries.len());
    for old in &b.entries {
        let new = a.find(&old.path);
        same_files.extend(new);
        if new.is_none_or(|new| (new.kind, new.content) != (old.kind, old.content)) {
            name(&mut changed, &old.path);
        }
    }
    let mut added = Vec::new();
    for new in &a.entries {
        if b.entries.binary_search_by(|old| old.path.cmp(&new.path)).is_ok() {
            continue;
        }
        // A tracked file that was missing and is back is no new file: git has it, and the tree was without it.
        let was_missing = b.absent.binary_search(&new.path).is_ok();
        name(if was_missing { &mut changed } else { &mut added }, &new.path);
    }
    TreeFacts { before: b.digest, after: digest_of(same_files.into_iter()), left: a.digest, changed, added }
}

/// One look at many paths.
struct Look<'a> {
    worktree: &'a Worktree,
    now: Clock,
    sha256_names: bool,
    known: Option<&'a Inner>,
}

type Found = (Vec<Entry>, Vec<Box<[u8]>>);

impl Look<'_> {
    fn at_all(&self, items: &[Item]) -> Result<Found, TreeError> {
        if items.len() <= ALONE_MAX {
            return self.at_some(items);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let share = items.len().div_ceil(threads);
        let looks: Vec<_> = items.chunks(share).map(|part| move || self.at_some(part)).collect();
        let parts: Vec<Result<Found, TreeError>> = std::thread::scope(|scope| {
            let begun: Vec<_> = looks.iter().map(|look| beside(scope, look)).collect();
            begun.into_iter().map(Beside::join).collect()
        });
        let mut all = Found::default();
        for part in parts {
            let (entries, absent) = part?;
            all.0.extend(entries);
            all.1.extend(absent);
        }
        Ok(all)
    }

    fn at_some(&self, items: &[Item]) -> Result<Found, TreeError> {
        let mut reader = Reader::new(self.worktree.root(), self.now, self.sha256_names);
        let mut found = Found::default();
        for item in items {
            if let Role::Submodule { recorded, checked_out } = &item.role {
                found.0.push(submodule(&item.path, recorded, checked_out.as_ref()));
                continue;
            }
            let known = self.known.and_then(|known| known.find(&item.path));
            match reader.look(&item.path, known).map_err(|errno| unreadable(&item.path, errno))? {
                Some(entry) => found.0.push(entry),
                None if item.role == Role::Tracked => found.1.push(item.path.clone()),
                None => {}
            }
        }
        Ok(found)
    }

    /// Files of the known snapshot that are not among `listed` and still stand.
    fn at_unlisted(&self, listed: &[Entry], less: &Less) -> Result<Vec<Entry>, TreeError> {
        let mut reader = Reader::new(self.worktree.root(), self.now, self.sha256_names);
        let mut unlisted = Vec::new();
        for old in self.known.map_or(&[][..], |known| &known.entries) {
            let is_listed = listed.binary_search_by(|entry| entry.path.cmp(&old.path)).is_ok();
            if is_listed || less.covers(&old.path) || old.kind == Kind::Submodule {
                continue;
            }
            unlisted.extend(reader.look(&old.path, Some(old)).map_err(|errno| unreadable(&old.path, errno))?);
        }
        Ok(unlisted)
    }
}

fn submodule(path: &[u8], recorded: &Oid, checked_out: Option<&Oid>) -> Entry {
    Entry {
        path: path.into(),
        kind: Kind::Submodule,
        content: Digest::of(recorded),
        blob: *checked_out.unwrap_or(recorded),
        stamp: super::content::Stamp::default(),
        settled: true,
    }
}

fn unreadable(path: &[u8], errno: rustix::io::Errno) -> TreeError {
    TreeError::Unreadable { path: escape(path), source: errno.into() }
}

/// Whether files differ from a commit's, both without what is left out.
fn differs(entries: &[Entry], head: &HeadTree, less: &Less) -> bool {
    let mut committed = head.files.iter().filter(|file| !less.covers(&file.path));
    let as_committed = |entry: &Entry| {
        committed.next().is_some_and(|file| {
            (&file.path, Some(file.mode), file.oid) == (&entry.path, entry.kind.git_mode(), entry.blob)
        })
    };
    !entries.iter().all(as_committed) || committed.next().is_some()
}

/// Hash of paths, kinds and contents, in the order of the paths. The form is part of what verdicts are bound to:
/// a change of it needs a new head.
fn digest_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Digest {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new_with_prefix(b"orch tree 1\0");
    for entry in entries {
        hasher.update([entry.kind.byte()]);
        hasher.update((entry.path.len() as u64).to_le_bytes());
        hasher.update(&entry.path);
        hasher.update(entry.content.as_bytes());
    }
    Digest::from_bytes(hasher.finalize().into())
}
