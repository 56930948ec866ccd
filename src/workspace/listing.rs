//! Which files belong to a worktree's tree, as git lists them: tracked, or neither tracked nor ignored.
//!
//! `git ls-files` reads the index, folders and ignore files. It reads no file's content, so no filter runs, and
//! with `core.fsmonitor=false` nothing else does. Nested repositories (submodules that are checked out, and
//! repositories that lie in the worktree untracked) are listed by the same means, one level down each. What lies in the
//! folder of a submodule that is not checked out is untracked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::beside::beside;
use super::git::{Git, GitError, Place, refused};
use super::tree::TreeError;
use super::worktree::{Head, Worktree, read_head};

/// How deep repositories may lie in each other.
const NESTING_MAX: usize = 8;

/// How many repositories may lie in one worktree.
const REPOSITORIES_MAX: usize = 1000;

/// Mode of a submodule in an index or a tree.
const SUBMODULE: u32 = 0o160_000;

/// One path of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) path: Box<[u8]>,
    pub(super) role: Role,
}

/// What git knows of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// It is in the index.
    Tracked,
    /// It is not, and no ignore rule fits it.
    Untracked,
    /// A submodule.
    Submodule {
        /// The commit the index records.
        recorded: Oid,
        /// The commit that is checked out, where one is.
        checked_out: Option<Oid>,
    },
}

/// A git object's name, 20 or 32 bytes; the rest is zero.
pub(super) type Oid = [u8; 32];

/// What git says of a worktree.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) head: Head,
    /// Sorted by path, each once.
    pub(super) items: Vec<Item>,
    /// Folders that are ignored whole.
    pub(super) ignored: Vec<Box<[u8]>>,
    /// Repositories below, by their folder.
    pub(super) nested: Vec<Box<[u8]>>,
}

/// A commit's files, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadTree {
    pub(super) commit: String,
    pub(super) files: Vec<Recorded>,
}

/// A file as a commit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) path: Box<[u8]>,
    pub(super) mode: u32,
    pub(super) oid: Oid,
}

/// Lists a worktree and everything nested in it.
pub(super) fn list(git: &Git<'_>, worktree: &Worktree) -> Result<Listing, TreeError> {
    let (cwd, place) = (worktree.toplevel(), worktree.place());
    let (read_head, ask_ignored) = (|| read_head(git, cwd, &place), || ask_ignored(git, cwd, &place));
    let (head, files, ignored) = std::thread::scope(|threads| {
        let head = beside(threads, &read_head);
        let ignored = beside(threads, &ask_ignored);
        let files = ask_files(git, cwd, &place);
        (head.join(), files, ignored.join())
    });
    let (head, files, ignored) = (head?, files?, ignored?);
    let mut listing = Listing { head, items: Vec::new(), ignored: folders(&ignored), nested: Vec::new() };
    take_in(git, (worktree.toplevel(), &place), &[], &files, 0, &mut listing)?;
    listing.items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // A path in conflict has up to three lines.
    listing.items.dedup_by(|a, b| a.path == b.path);
    Ok(listing)
}

/// Whether a commit and its trees can be read.
pub(super) fn is_whole(git: &Git<'_>, worktree: &Worktree, commit: &str) -> Result<(), GitError> {
    ask_tree(git, worktree.toplevel(), &worktree.place(), commit).map(drop)
}

/// The files of a commit, and those of the commits that are checked out in nested repositories.
pub(super) fn head_tree(git: &Git<'_>, worktree: &Worktree, listing: &Listing) -> Result<HeadTree, TreeError> {
    let commit = listing.head.commit.as_str();
    let mut files = Vec::new();
    let answer = ask_tree(git, worktree.toplevel(), &worktree.place(), commit)?;
    read_tree(&answer, &[], &mut files)?;
    for nested in &listing.nested {
        let folder = worktree.toplevel().join(OsStr::from_bytes(nested));
        let place = nested_place(&folder)?;
        // A repository without a commit adds nothing; its files then differ from HEAD, as they should.
        if checked_out(git, &folder).map_err(within(nested))?.is_some() {
            let answer = ask_tree(git, &folder, &place, "HEAD").map_err(TreeError::Git).map_err(within(nested))?;
            read_tree(&answer, nested, &mut files)?;
        }
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(HeadTree { commit: commit.to_owned(), files })
}

fn take_in(
    git: &Git<'_>,
    (toplevel, place): (&Path, &Place<'_>),
    prefix: &[u8],
    answer: &[u8],
    depth: usize,
    listing: &mut Listing,
) -> Result<(), TreeError> {
    let garbled = || TreeError::Git(GitError::Garbled { what: LIST });
    let mut bare = Vec::new();
    for line in answer.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let (tag, rest) = line.split_at_checked(2).ok_or_else(garbled)?;
        if tag == b"? " {
            match rest.strip_suffix(b"/") {
                Some(folder) => nest(git, toplevel, &joined(prefix, folder), depth, listing)?,
                None => listing.items.push(Item { path: joined(prefix, rest), role: Role::Untracked }),
            }
            continue;
        }
        // `<mode> <object> <stage>\t<path>`, as git-ls-files(1) has it for `--stage`.
        let tab = rest.iter().position(|byte| *byte == b'\t').ok_or_else(garbled)?;
        let (facts, path) = rest.split_at_checked(tab).ok_or_else(garbled)?;
        let path = joined(prefix, path.get(1..).unwrap_or_default());
        let mut words = facts.split(|byte| *byte == b' ');
        let mode = words.next().and_then(octal).ok_or_else(garbled)?;
        let recorded = words.next().and_then(oid).ok_or_else(garbled)?;
        if mode != SUBMODULE {
            listing.items.push(Item { path, role: Role::Tracked });
            continue;
        }
        let folder = toplevel.join(OsStr::from_bytes(&path));
        if folder.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            // A link or a file in its place is what it is; nothing is followed.
            listing.items.push(Item { path, role: Role::Untracked });
            continue;
        }
        let mut commit = None;
        if folder.join(".git").symlink_metadata().is_ok() {
            commit = checked_out(git, &folder).map_err(within(&path))?;
            nest(git, toplevel, &path, depth, listing)?;
        } else if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bare.push(path.get(if prefix.is_empty() { 0 } else { prefix.len() + 1 }..).unwrap_or_default().to_vec());
        }
        listing.items.push(Item { path, role: Role::Submodule { recorded, checked_out: commit } });
    }
    if bare.is_empty() {
        return Ok(());
    }
    let cwd = if prefix.is_empty() { toplevel.to_owned() } else { toplevel.join(OsStr::from_bytes(prefix)) };
    take_in(git, (toplevel, place), prefix, &ask_unclaimed(git, &cwd, place, &bare)?, depth, listing)
}

/// The files in folders of submodules that are not checked out: they are nobody's but this worktree's. git does not look
/// into such a folder while the index has a submodule there, so it is asked with an empty one.
fn ask_unclaimed(git: &Git<'_>, cwd: &Path, place: &Place<'_>, folders: &[Vec<u8>]) -> Result<Vec<u8>, GitError> {
    let mut words = ["ls-files", "-z", "-t", "--others", "--exclude-standard", "--"].map(OsStr::new).to_vec();
    words.extend(folders.iter().map(|folder| OsStr::from_bytes(folder)));
    // No file can be made there.
    let env = [("GIT_INDEX_FILE", "/proc/self/no-index"), ("GIT_LITERAL_PATHSPECS", "1")];
    let answer = git.ask_with(LIST, cwd, place, &words, &env.map(|(name, value)| (name.into(), value.into())))?;
    if answer.code == 0 { Ok(answer.stdout) } else { Err(refused(LIST, &answer)) }
}

fn nest(git: &Git<'_>, toplevel: &Path, path: &[u8], depth: usize, listing: &mut Listing) -> Result<(), TreeError> {
    if depth >= NESTING_MAX || listing.nested.len() >= REPOSITORIES_MAX {
        return Err(TreeError::TooNested { path: super::logs::escape(path) });
    }
    let folder = toplevel.join(OsStr::from_bytes(path));
    let place = nested_place(&folder)?;
    let files = ask_files(git, &folder, &place).map_err(TreeError::Git).map_err(within(path))?;
    let ignored = ask_ignored(git, &folder, &place).map_err(TreeError::Git).map_err(within(path))?;
    listing.ignored.extend(folders(&ignored).iter().map(|inner| joined(path, inner)));
    listing.nested.push(path.into());
    take_in(git, (toplevel, &place), path, &files, depth + 1, listing)
}

/// Names the repository in the worktree that git had trouble with.
fn within(path: &[u8]) -> impl Fn(TreeError) -> TreeError {
    let path = super::logs::escape(path);
    move |error| match error {
        TreeError::Git(source) => TreeError::Nested { path: path.clone(), source },
        other @ (TreeError::TooNested { .. } | TreeError::Nested { .. } | TreeError::Unreadable { .. }) => other,
    }
}

fn nested_place(folder: &Path) -> Result<Place<'_>, TreeError> {
    // A link on the way would lead git out of the worktree.
    let plain = std::fs::canonicalize(folder).is_ok_and(|real| real == folder);
    match folder.parent() {
        Some(ceiling) if plain => Ok(Place::Nested { ceiling }),
        Some(_) | None => Err(TreeError::Git(GitError::UnusablePath(folder.to_owned()))),
    }
}

const LIST: &str = "list the files of the worktree";

fn ask_files(git: &Git<'_>, cwd: &Path, place: &Place<'_>) -> Result<Vec<u8>, GitError> {
    let args = ["ls-files", "-z", "-t", "--stage", "--cached", "--others", "--exclude-standard"];
    git.must(LIST, cwd, place, &args.map(OsStr::new))
}

fn ask_ignored(git: &Git<'_>, cwd: &Path, place: &Place<'_>) -> Result<Vec<u8>, GitError> {
    let args = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    git.must("list what the worktree ignores", cwd, place, &args.map(OsStr::new))
}

fn ask_tree(git: &Git<'_>, cwd: &Path, place: &Place<'_>, commit: &str) -> Result<Vec<u8>, GitError> {
    let args = ["ls-tree", "-r", "-z", "--full-tree", commit];
    git.must("list the files of HEAD", cwd, place, &args.map(OsStr::new))
}

fn checked_out(git: &Git<'_>, folder: &Path) -> Result<Option<Oid>, TreeError> {
    let args = ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"].map(OsStr::new);
    let answer = git.ask("read a submodule's HEAD", folder, &nested_place(folder)?, &args)?;
    Ok(if answer.code == 0 { oid(answer.stdout.trim_ascii_end()) } else { None })
}

/// Lines of `<mode> <type> <object>\t<path>`, as git-ls-tree(1) has them.
fn read_tree(answer: &[u8], prefix: &[u8], files: &mut Vec<Recorded>) -> Result<(), TreeError> {
    let garbled = || TreeError::Git(GitError::Garbled { what: "list the files of HEAD" });
    for line in answer.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(garbled)?;
        let (facts, path) = line.split_at_checked(tab).ok_or_else(garbled)?;
        let mut words = facts.split(|byte| *byte == b' ');
        let mode = words.next().and_then(octal).ok_or_else(garbled)?;
        let oid = words.nth(1).and_then(oid).ok_or_else(garbled)?;
        files.push(Recorded { path: joined(prefix, path.get(1..).unwrap_or_default()), mode, oid });
    }
    Ok(())
}

/// The folders among the ignored, without their `/`.
fn folders(answer: &[u8]) -> Vec<Box<[u8]>> {
    answer.split(|byte| *byte == 0).filter_map(|path| path.strip_suffix(b"/")).map(Box::from).collect()
}

fn joined(prefix: &[u8], path: &[u8]) -> Box<[u8]> {
    if prefix.is_empty() { path.into() } else { [prefix, b"/", path].concat().into() }
}

fn octal(word: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(word).ok()?, 8).ok()
}

/// Reads 40 or 64 hex digits.
fn oid(word: &[u8]) -> Option<Oid> {
    let text = std::str::from_utf8(word).ok().filter(|text| matches!(text.len(), 40 | 64))?;
    let mut bytes = Oid::default();
    for (index, byte) in bytes.iter_mut().enumerate().take(text.len() / 2) {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
