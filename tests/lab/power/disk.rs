//! A disk as POSIX lets it be: what is synced is there after a power loss, anything else may be there, or in part.
//!
//! Sectors of a file go to the disk in any order, each in any of the versions it has had since the file was synced. A
//! name goes there with a sync of its folder, or at any other time; names go in any order too, only never one change of
//! a name before an earlier one of the same name. Nothing is taken for granted that a file system merely happens to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::calls::Op;
use crate::draw::Draw;

/// What survives of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Nothing.
    Nothing,
    /// Everything: the same as the death of every process.
    Everything,
    /// Names in order up to some point, data by lot: as a journal keeps them.
    InOrder,
    /// Each name and each sector by lot.
    ByLot,
}

impl Manner {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Everything, Self::InOrder, Self::ByLot];
}

/// A file or a folder, whatever it is called.
type Node = usize;

/// A change of a file that was not synced yet.
#[derive(Debug, Clone)]
enum Change {
    Size(u64),
    Room(u64),
    Write(u64, Vec<u8>),
}

#[derive(Debug, Clone, Default)]
struct File {
    /// As it is on the disk.
    synced: Vec<u8>,
    /// As whoever looks sees it.
    seen: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Body {
    File(File),
    /// Names on the disk.
    Folder(BTreeMap<String, Node>),
}

/// A change of names that was not synced yet.
#[derive(Debug, Clone)]
struct Names {
    /// (folder, name) and what it is afterwards.
    becomes: Vec<(Node, String, Option<Node>)>,
}

impl Names {
    fn touches(&self, other: &Self) -> bool {
        let of = |names: &Self| {
            names.becomes.iter().map(|(folder, name, _)| (*folder, name.clone())).collect::<BTreeSet<_>>()
        };
        !of(self).is_disjoint(&of(other))
    }
}

/// The disk, and what the page cache has on top of it.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    nodes: Vec<Body>,
    /// Every path as whoever looks sees it.
    seen: BTreeMap<PathBuf, Node>,
    pending: Vec<Names>,
    /// Folders that were there before and stay.
    ground: Vec<PathBuf>,
    /// What is outside of the machine that loses its power: always there.
    witnesses: Vec<PathBuf>,
}

/// What is there after a power loss: folders and files by path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct State(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Disk {
    /// Folders that are on the disk, and empty as far as the lab goes; the second ones are witnesses.
    pub(crate) fn new(ground: &[PathBuf], witnesses: &[PathBuf]) -> Self {
        let mut disk = Self {
            nodes: Vec::new(),
            seen: BTreeMap::new(),
            pending: Vec::new(),
            ground: ground.to_vec(),
            witnesses: witnesses.to_vec(),
        };
        for path in ground {
            disk.nodes.push(Body::Folder(BTreeMap::new()));
            disk.seen.insert(path.clone(), disk.nodes.len() - 1);
        }
        disk
    }

    /// Takes what stands on the machine's disk below these paths for synced long ago.
    pub(crate) fn adopt(&mut self, roots: &[PathBuf]) {
        let mut found = State::default();
        roots.iter().filter(|root| root.exists()).for_each(|root| walk(root, &mut found));
        for (path, body) in found.0 {
            if self.ground.contains(&path) {
                continue;
            }
            let bytes = body.map(|bytes| if is_shared_memory(&path) { Vec::new() } else { bytes });
            self.make(
                &path,
                match bytes {
                    None => Body::Folder(BTreeMap::new()),
                    Some(bytes) => Body::File(File { synced: bytes.clone(), seen: bytes, pending: Vec::new() }),
                },
            );
        }
        for names in std::mem::take(&mut self.pending) {
            settle(&mut self.nodes, &names);
        }
    }

    pub(crate) fn has(&self, path: &Path) -> bool {
        self.seen.contains_key(path)
    }

    fn node(&self, path: &Path) -> Node {
        *self.seen.get(path).unwrap_or_else(|| panic!("{} was changed and never made", path.display()))
    }

    /// Folder and name of a path.
    fn place(&self, path: &Path) -> (Node, String) {
        (self.node(path.parent().unwrap()), path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    fn name(&mut self, becomes: Vec<(Node, String, Option<Node>)>) {
        self.pending.push(Names { becomes });
    }

    /// Does what a call did.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Make(path) => self.make(path, Body::File(File::default())),
            Op::MakeFolder(path) => self.make(path, Body::Folder(BTreeMap::new())),
            Op::Size(path, size) => self.change(path, Change::Size(*size)),
            Op::Room(path, size) => self.change(path, Change::Room(*size)),
            Op::Write(path, at, bytes) => {
                let node = self.node(path);
                let Body::File(file) = &self.nodes[node] else { panic!("{} is a folder", path.display()) };
                let at = at.unwrap_or(file.seen.len() as u64);
                self.change(path, Change::Write(at, bytes.clone()));
            }
            Op::Rename(from, to) => {
                let node = self.node(from);
                let ((old, was), (new, is)) = (self.place(from), self.place(to));
                self.name(vec![(old, was, None), (new, is, Some(node))]);
                let moved: Vec<_> = self.seen.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    let node = self.seen.remove(&path).unwrap();
                    let rest = path.strip_prefix(from).unwrap();
                    let to = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    self.seen.insert(to, node);
                }
            }
            Op::Link(from, to) => {
                let node = self.node(from);
                let (folder, name) = self.place(to);
                self.name(vec![(folder, name, Some(node))]);
                self.seen.insert(to.clone(), node);
            }
            Op::Remove(path) => {
                self.node(path);
                let (folder, name) = self.place(path);
                self.name(vec![(folder, name, None)]);
                self.seen.remove(path);
            }
            Op::Sync(path) => {
                let node = self.node(path);
                match &mut self.nodes[node] {
                    Body::File(file) => {
                        file.synced.clone_from(&file.seen);
                        file.pending.clear();
                    }
                    Body::Folder(_) => self.sync_names(node),
                }
            }
            Op::Said => {}
        }
    }

    fn make(&mut self, path: &Path, body: Body) {
        let (folder, name) = self.place(path);
        self.nodes.push(body);
        let node = self.nodes.len() - 1;
        self.name(vec![(folder, name, Some(node))]);
        self.seen.insert(path.to_owned(), node);
    }

    fn change(&mut self, path: &Path, change: Change) {
        if is_shared_memory(path) {
            return;
        }
        let node = self.node(path);
        let Body::File(file) = &mut self.nodes[node] else { panic!("{} is a folder", path.display()) };
        apply(&mut file.seen, &change);
        file.pending.push(change);
    }

    /// Names in a folder are on the disk, and with them earlier changes that they rest on.
    fn sync_names(&mut self, folder: Node) {
        let mut goes: Vec<bool> =
            self.pending.iter().map(|names| names.becomes.iter().any(|(at, ..)| *at == folder)).collect();
        for at in (0..self.pending.len()).rev() {
            let needed =
                (at + 1..self.pending.len()).any(|later| goes[later] && self.pending[later].touches(&self.pending[at]));
            goes[at] |= needed;
        }
        let pending = std::mem::take(&mut self.pending);
        for (names, goes) in pending.into_iter().zip(goes) {
            if goes { settle(&mut self.nodes, &names) } else { self.pending.push(names) }
        }
    }

    /// What there is for whoever looks now.
    fn seen(&self) -> State {
        let mut state = State::default();
        for (path, node) in &self.seen {
            if !self.ground.contains(path) {
                let body = match &self.nodes[*node] {
                    Body::File(file) => Some(file.seen.clone()),
                    Body::Folder(_) => None,
                };
                state.0.insert(path.clone(), body);
            }
        }
        state
    }

    /// Where what is seen is not what stands on the machine's disk.
    pub(crate) fn differs(&self, roots: &[PathBuf]) -> Vec<String> {
        let (seen, mut found) = (self.seen().0, State::default());
        for root in roots.iter().filter(|root| root.exists()) {
            walk(root, &mut found);
        }
        let all: BTreeSet<&PathBuf> = seen.keys().chain(found.0.keys()).collect();
        let told = |body: Option<&Option<Vec<u8>>>| match body {
            None => "is not there".to_owned(),
            Some(None) => "is a folder".to_owned(),
            Some(Some(bytes)) => format!("has {} bytes", bytes.len()),
        };
        all.into_iter()
            .filter(|path| !self.ground.contains(path))
            .filter(|path| !is_shared_memory(path))
            .filter(|path| seen.get(*path) != found.0.get(*path))
            .map(|path| {
                format!("{} {}, the model says it {}", path.display(), told(found.0.get(path)), told(seen.get(path)))
            })
            .collect()
    }

    /// What may be there after a power loss now.
    pub(crate) fn lose_power(&self, manner: Manner, draw: &mut Draw) -> State {
        let mut nodes = self.nodes.clone();
        // How likely what was not synced is there all the same, in tenths.
        let odds = draw.below(11);
        let upto = draw.below(self.pending.len() as u64 + 1);
        let mut left: Vec<&Names> = Vec::new();
        for (at, names) in self.pending.iter().enumerate() {
            let survives = match manner {
                Manner::Nothing => false,
                Manner::Everything => true,
                Manner::InOrder => (at as u64) < upto,
                Manner::ByLot => draw.below(10) < odds,
            };
            if survives && !left.iter().any(|earlier| earlier.touches(names)) {
                settle(&mut nodes, names);
            } else {
                left.push(names);
            }
        }
        let sector = draw.one_of(&[512, 4096]);
        let bodies: Vec<Option<Vec<u8>>> = nodes
            .iter()
            .map(|body| match body {
                Body::Folder(_) => None,
                Body::File(file) => Some(match manner {
                    Manner::Nothing => file.synced.clone(),
                    Manner::Everything => file.seen.clone(),
                    Manner::InOrder | Manner::ByLot => torn(file, sector, odds, draw),
                }),
            })
            .collect();
        let mut state = State::default();
        for ground in &self.ground {
            gather(&nodes, &bodies, self.seen[ground], ground, &mut state);
        }
        for (path, body) in self.seen().0 {
            if self.witnesses.iter().any(|witness| path.starts_with(witness)) {
                state.0.insert(path, body);
            }
        }
        state.0.retain(|path, _| !self.ground.contains(path));
        state
    }
}

fn settle(nodes: &mut [Body], names: &Names) {
    for (folder, name, node) in &names.becomes {
        let Body::Folder(entries) = &mut nodes[*folder] else { panic!("{name} is in no folder") };
        match node {
            Some(node) => drop(entries.insert(name.clone(), *node)),
            None => drop(entries.remove(name)),
        }
    }
}

fn gather(nodes: &[Body], bodies: &[Option<Vec<u8>>], node: Node, path: &Path, state: &mut State) {
    state.0.insert(path.to_owned(), bodies[node].clone());
    if let Body::Folder(entries) = &nodes[node] {
        for (name, node) in entries {
            gather(nodes, bodies, *node, &path.join(name), state);
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let length = |size: u64| usize::try_from(size).unwrap();
    match change {
        Change::Size(size) => bytes.resize(length(*size), 0),
        Change::Room(size) => bytes.resize(length(*size).max(bytes.len()), 0),
        Change::Write(at, new) => {
            let at = length(*at);
            bytes.resize((at + new.len()).max(bytes.len()), 0);
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
}

/// A file of which each sector is in one of the versions that it has had since it was synced, and so is the size.
fn torn(file: &File, sector: usize, odds: u64, draw: &mut Draw) -> Vec<u8> {
    if file.pending.is_empty() {
        return file.synced.clone();
    }
    let mut versions = vec![file.synced.clone()];
    for change in &file.pending {
        let mut next = versions.last().unwrap().clone();
        apply(&mut next, change);
        versions.push(next);
    }
    let newest = versions.len() - 1;
    let which = |draw: &mut Draw| {
        if draw.below(10) < odds { newest } else { usize::try_from(draw.below(newest as u64 + 1)).unwrap() }
    };
    let size = versions[which(draw)].len();
    let mut bytes = vec![0; size];
    for from in (0..size).step_by(sector) {
        let upto = (from + sector).min(size);
        let version = &versions[which(draw)];
        if let Some(there) = version.get(from..upto.min(version.len())) {
            bytes[from..from + there.len()].copy_from_slice(there);
        }
    }
    bytes
}

impl State {
    pub(crate) fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Puts it on the machine's disk; what stood below its roots is gone before.
    pub(crate) fn build(&self, private: &Path) {
        for (path, body) in &self.0 {
            match body {
                None => fs::create_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
                Some(bytes) => fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            }
            if path.starts_with(private) {
                let mode = if body.is_none() { 0o700 } else { 0o600 };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

/// The index of SQLite's log: no call shows what is written to it, and nobody believes it after a restart.
fn is_shared_memory(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

fn walk(path: &Path, state: &mut State) {
    if path.is_dir() {
        state.0.insert(path.to_owned(), None);
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), state);
        }
    } else {
        state.0.insert(path.to_owned(), Some(fs::read(path).unwrap()));
    }
}
