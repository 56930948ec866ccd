//! One runner a task, and one task a worktree: a kernel lock on a file that is never removed, and a card that names the holder.
//!
//! flock(2) is dropped by the kernel when the last descriptor of the open file goes, however its holder dies, so
//! a free lock is surely a dead holder. Removing and making a lock file anew is how two holders come about: after
//! locking, the file's inode is compared with the path's, and a file that was replaced is not believed. The state
//! folder is on a local disk (`state_dir` sees to it), where flock(2) holds.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::heartbeat;
use super::holder::{CARD_BYTES_MAX, Holder, Liveness};
use super::state_dir::{StateDir, StateDirError};
use super::worktree::Worktree;
use crate::domain::id::{Digest, TaskName};

/// How often a lock file that was replaced while it was being locked is opened again.
const REPLACED_TRIES_MAX: u32 = 8;

/// How often the card of a holder that has just taken a lock is looked for, and the pause between: half a second in
/// all, so that a refusal names it.
const CARD_TRIES_MAX: u32 = 50;
const CARD_TRIES_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// How often the kernel's table is read before a living holder is said to have no lock.
const TABLE_READS_MAX: u32 = 5;

/// What to do about a lock that is no plain file.
pub const UNSAFE_HELP: &str = "orch makes plain files only: while no orch runs move away what stands there, and look at who can write to the state folder";

/// A lock that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("take the lock of {subject}: {}", named(holder.as_deref()))]
    Held {
        /// What is locked, for people.
        subject: String,
        /// Who; `None` where the card is missing, torn, or names a process that is gone.
        holder: Option<Box<Holder>>,
        /// When the holder last renewed its card.
        heartbeat_at: Option<Timestamp>,
    },
    /// The lock file or its card is a link, a folder or a FIFO, or is being replaced all the time.
    #[error("trust {}: it is no plain file, or something replaces it all the time", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
    },
    /// The folder of the locks.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The kernel refused.
    #[error("lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl LockError {
    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Held { holder: Some(holder), .. } => match holder.liveness() {
                Liveness::Alive => {
                    "wait for it, with --wait TIME or by hand, or stop it; `orch status` shows what it does"
                }
                Liveness::Gone | Liveness::Unknown => {
                    "it is in another PID namespace, container or machine: stop it there; where it is surely gone, `orch unlock --force`"
                }
            },
            Self::Held { holder: None, .. } => {
                "try again in a moment; if it stays so, `fuser` on the lock file names the process"
            }
            Self::Unsafe { .. } => UNSAFE_HELP,
            Self::StateDir(error) => error.help(),
            Self::Io { .. } => "look at the state folder's owner, its mode and the space left",
        }
    }

    /// Whether there was no space for the holder's card.
    pub fn is_a_full_disk(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

fn named(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "an unknown holder has it".to_owned(), |holder| format!("{} has it", holder.describe()))
}

/// What a lock is about.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A task: one runner drives it.
    Task(&'a TaskName),
    /// A worktree: tasks of two names in one checkout would judge each other's changes.
    Worktree(&'a Worktree),
}

impl Subject<'_> {
    /// Head of the names of its files. No task's name begins with a dot.
    fn file_stem(self) -> String {
        match self {
            Self::Task(name) => name.to_string(),
            Self::Worktree(worktree) => {
                format!(".worktree-{}", Digest::of(worktree.toplevel().as_os_str().as_bytes()).short())
            }
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Task(name) => format!("task {name}"),
            Self::Worktree(worktree) => format!("worktree {}", worktree.toplevel().display()),
        }
    }
}

/// A file that is open here, and the path it was opened by.
#[derive(Debug)]
struct Kept {
    file: File,
    path: PathBuf,
    /// Device and inode: its own for as long as it is open.
    inode: (u64, u64),
}

impl Kept {
    fn new(file: File, path: PathBuf) -> std::io::Result<Self> {
        let opened = file.metadata()?;
        Ok(Self { inode: (opened.dev(), opened.ino()), file, path })
    }

    /// Whether the path still names it, and it alone does.
    fn stands(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|named| named.is_file() && named.nlink() == 1 && (named.dev(), named.ino()) == self.inode)
    }
}

/// The right to drive a task or to use a worktree, until it is released, dropped, or its process dies.
#[derive(Debug)]
pub struct Lock {
    locked: Kept,
    /// Ours, open: its age can be renewed without touching what another holder may have put in its place.
    card_file: Kept,
    card: Holder,
    /// The card that a holder left which did not release: it died, and this is a takeover.
    took_over_from: Option<Box<Holder>>,
}

impl Lock {
    /// Takes a lock, or says who has it. Waits for nothing but a new holder's name.
    ///
    /// A free lock is taken whatever its card says, except one of another machine: this kernel cannot know whether
    /// that holder lives, so its card keeps the lock until it is older than [`heartbeat::HEARTBEAT_TTL`]. `card` was
    /// made now.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(state: &StateDir, subject: Subject<'_>, card: Holder) -> Result<Self, LockError> {
        let folder = state.locks_dir();
        state.make(&folder)?;
        let stem = subject.file_stem();
        let path = folder.join(format!("{stem}.lock"));
        let card_path = folder.join(format!("{stem}.json"));
        let io = |source: std::io::Error| match Errno::from_io_error(&source) {
            Some(Errno::LOOP | Errno::ISDIR) => LockError::Unsafe { path: path.clone() },
            Some(_) | None => LockError::Io { path: path.clone(), source },
        };
        for _ in 0..REPLACED_TRIES_MAX {
            let file = open(&path).map_err(io)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let error = held(subject, &card_path);
                    // A holder that was killed may have left the lock for a moment to a child it had just forked: by
                    // now that one has gone its way.
                    let nobody = matches!(&error, LockError::Held { holder: None, .. });
                    if !nobody || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                        return Err(error);
                    }
                }
                Err(errno) => return Err(io(errno.into())),
            }
            let locked = Kept::new(file, path.clone()).map_err(io)?;
            if !locked.stands() {
                continue;
            }
            let (left, heartbeat_at) = read_card(&card_path);
            let left = left.map(Box::new);
            if left.as_ref().is_some_and(|left| left.is_of_another_machine())
                && !heartbeat::is_expired(heartbeat_at, card.started_at)
            {
                return Err(LockError::Held { subject: subject.describe(), holder: left, heartbeat_at });
            }
            failpoint!("lock.taken", error => io(error));
            let card_file = write_card(card_path.clone(), &card).map_err(|source| of_card(&card_path, source))?;
            failpoint!("lock.named");
            return Ok(Self { locked, card_file, card, took_over_from: left });
        }
        Err(LockError::Unsafe { path })
    }

    /// Takes a lock from a holder that cannot be asked: in another PID namespace, with a card that has expired. The lock
    /// file is replaced, so that the old holder, should it live, finds at its next look that it has no lock.
    ///
    /// # Errors
    /// [`LockError::Held`] for every other holder.
    pub fn seize(state: &StateDir, subject: Subject<'_>, card: Holder) -> Result<Self, LockError> {
        let (holder, heartbeat_at) = match Self::acquire(state, subject, card.clone()) {
            Err(LockError::Held { holder: Some(holder), heartbeat_at, .. }) => (holder, heartbeat_at),
            taken @ (Ok(_) | Err(_)) => return taken,
        };
        if holder.liveness() != Liveness::Unknown || !heartbeat::is_expired(heartbeat_at, card.started_at) {
            return Err(LockError::Held { subject: subject.describe(), holder: Some(holder), heartbeat_at });
        }
        let (folder, stem) = (state.locks_dir(), subject.file_stem());
        let path = folder.join(format!("{stem}.lock"));
        let io = |source: std::io::Error| LockError::Io { path: path.clone(), source };
        let fresh = folder.join(format!("{stem}.lock.new"));
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        let file = open(&fresh).map_err(io)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| io(errno.into()))?;
        std::fs::rename(&fresh, &path).map_err(io)?;
        let locked = Kept::new(file, path.clone()).map_err(io)?;
        let card_path = folder.join(format!("{stem}.json"));
        let card_file = write_card(card_path.clone(), &card).map_err(|source| of_card(&card_path, source))?;
        Ok(Self { locked, card_file, card, took_over_from: Some(holder) })
    }

    /// This holder's card.
    pub fn card(&self) -> &Holder {
        &self.card
    }

    /// Who had the lock and died without releasing it; worth a line in the log.
    pub fn took_over_from(&self) -> Option<&Holder> {
        self.took_over_from.as_deref()
    }

    /// Whether the lock still is what it was: the same file under the same name, and our card. A runner that
    /// finds otherwise starts and writes nothing more.
    ///
    /// Two files are looked at, none is read while both are ours. A card that is missing or torn takes nothing away.
    pub fn is_ours(&self) -> bool {
        self.locked.stands() && (self.card_file.stands() || !self.names_another())
    }

    /// What renews its card, for a thread of its own.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn pulse(&self) -> std::io::Result<Pulse> {
        Ok(Pulse { card: self.card_file.file.try_clone()? })
    }

    fn names_another(&self) -> bool {
        read_card(&self.card_file.path).0.is_some_and(|holder| holder.token != self.card.token)
    }

    /// Gives the lock back. The card goes when it is ours; the lock file stays for ever.
    pub fn release(self) {
        drop(self);
    }
}

/// Renews the card of a holder.
#[derive(Debug)]
pub struct Pulse {
    card: File,
}

impl Pulse {
    /// Renews the card's time. A card that another holder has put in its place is not touched.
    ///
    /// # Errors
    /// What futimens(3) says; the lock holds all the same.
    pub fn beat(&self) -> std::io::Result<()> {
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        rustix::fs::futimens(&self.card, &rustix::fs::Timestamps { last_access: now, last_modification: now })?;
        Ok(())
    }
}

/// What kept a card from being written.
fn of_card(path: &Path, source: std::io::Error) -> LockError {
    match Errno::from_io_error(&source) {
        Some(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => LockError::Unsafe { path: path.to_owned() },
        Some(_) | None => LockError::Io { path: path.to_owned(), source },
    }
}

/// Writes a card whole, under a name of its own first: a reader sees one card or none.
fn write_card(path: PathBuf, card: &Holder) -> std::io::Result<Kept> {
    let bytes = serde_json::to_vec(card)?;
    // One name is enough: only the holder of the lock writes here, and what a killed one left goes first.
    let temp = path.with_extension("json.tmp");
    match std::fs::remove_file(&temp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
    let written = file.write_all(&bytes).and_then(|()| std::fs::rename(&temp, &path));
    if written.is_err() {
        std::fs::remove_file(&temp).ok();
    }
    written.and_then(|()| Kept::new(file, path))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still under the kernel's lock, so that no new holder's card can stand there; `locked` closes after this.
        let ours = read_card(&self.card_file.path).0.is_some_and(|holder| holder.token == self.card.token);
        if ours && self.locked.stands() {
            std::fs::remove_file(&self.card_file.path).ok();
        }
        failpoint!("lock.card-gone");
        // Closing alone would not do: a child that another thread has forked and that did not exec yet holds the
        // descriptor too. Should unlocking fail, closing is what is left.
        rustix::fs::flock(&self.locked.file, FlockOperation::Unlock).ok();
    }
}

/// What can be seen of a lock without touching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockView {
    /// Nobody has it.
    Free,
    /// Nobody has it, and the last holder did not release it: it died.
    Abandoned(Box<Holder>),
    /// Somebody in another PID namespace or on another machine had it last; only trying to take it tells more.
    Elsewhere {
        /// Who.
        holder: Box<Holder>,
        /// When the holder last renewed its card.
        heartbeat_at: Option<Timestamp>,
    },
    /// Somebody has it.
    Held {
        /// Who, where the card tells.
        holder: Option<Box<Holder>>,
        /// When the holder last renewed its card.
        heartbeat_at: Option<Timestamp>,
    },
}

/// Looks at a lock. Takes nothing, not even for a moment, so that it can be in nobody's way.
///
/// # Errors
/// What the kernel says of the lock file or of `/proc/locks`; [`std::io::ErrorKind::InvalidData`] where a lock or a card is
/// none that could be taken: [`UNSAFE_HELP`].
pub fn look(state: &StateDir, subject: Subject<'_>) -> std::io::Result<LockView> {
    let folder = state.locks_dir();
    let stem = subject.file_stem();
    let (path, card_path) = (folder.join(format!("{stem}.lock")), folder.join(format!("{stem}.json")));
    let unsafe_file = |path: PathBuf| std::io::Error::new(std::io::ErrorKind::InvalidData, LockError::Unsafe { path });
    // A link or a FIFO there is replaced by the next holder's card; a folder stays.
    if std::fs::symlink_metadata(&card_path).is_ok_and(|found| found.is_dir()) {
        return Err(unsafe_file(card_path));
    }
    let (card, heartbeat_at) = read_card(&card_path);
    let holder = card.map(Box::new);
    let inode = match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.is_file() => return Err(unsafe_file(path)),
        Ok(found) => found.ino(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LockView::Free),
        Err(error) => return Err(error),
    };
    // The kernel gives its table page by page, and a line may slip between two pages when a lock before it goes. A
    // holder that lives is asked for again, then.
    let lives = holder.as_ref().is_some_and(|holder| holder.liveness() == Liveness::Alive);
    for _ in 0..if lives { TABLE_READS_MAX } else { 1 } {
        if is_locked(&std::fs::read_to_string("/proc/locks")?, inode) {
            return Ok(LockView::Held { holder, heartbeat_at });
        }
    }
    // A holder in another PID namespace is not in the table.
    Ok(match holder.map(|holder| (holder.liveness(), holder)) {
        None => LockView::Free,
        Some((Liveness::Alive | Liveness::Gone, holder)) => LockView::Abandoned(holder),
        Some((Liveness::Unknown, holder)) => LockView::Elsewhere { holder, heartbeat_at },
    })
}

/// Whether the kernel would give a lock now, asked by taking it for a moment; the card is left alone. It knows of holders
/// in every PID namespace of this machine. `false` where it cannot be asked.
pub fn is_free(state: &StateDir, subject: Subject<'_>) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = state.locks_dir().join(format!("{}.lock", subject.file_stem()));
    let file = rustix::fs::open(path, flags, Mode::empty());
    file.is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Whether somebody has a flock(2) lock on a file. Takes nothing; `false` where there is no such file, and for a
/// holder in another PID namespace.
///
/// # Errors
/// What the kernel says of the file or of `/proc/locks`.
pub fn is_held(path: &Path) -> std::io::Result<bool> {
    let inode = match std::fs::symlink_metadata(path) {
        Ok(found) => found.ino(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(is_locked(&std::fs::read_to_string("/proc/locks")?, inode))
}

/// Whether proc(5) `locks` has a flock(2) lock on an inode, held rather than waited for (`->`).
fn is_locked(table: &str, inode: u64) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        words.next() == Some("FLOCK")
            && words.nth(3).and_then(|file| file.rsplit(':').next()).and_then(|text| text.parse().ok()) == Some(inode)
    })
}

fn held(subject: Subject<'_>, card_path: &Path) -> LockError {
    let (mut holder, mut heartbeat_at) = (None, None);
    for _ in 0..CARD_TRIES_MAX {
        let (card, at) = read_card(card_path);
        let torn = card.is_none() && at.is_some();
        // Between the lock and the card stands the card of the one before, or none; it must not be blamed.
        holder = card.filter(|holder| holder.liveness() != Liveness::Gone).map(Box::new);
        heartbeat_at = at.filter(|_| holder.is_some());
        if holder.is_some() || torn {
            break;
        }
        poll(&mut [], Some(&CARD_TRIES_PAUSE)).ok();
    }
    LockError::Held { subject: subject.describe(), holder, heartbeat_at }
}

/// The card and the time of its last renewal.
fn read_card(path: &Path) -> (Option<Holder>, Option<Timestamp>) {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return (None, None) };
    let Ok(stat) = rustix::fs::fstat(file.as_fd()) else { return (None, None) };
    let at = i32::try_from(stat.st_mtime_nsec).ok().and_then(|nanos| Timestamp::new(stat.st_mtime, nanos).ok());
    let mut card = Vec::new();
    match File::from(file).take(CARD_BYTES_MAX).read_to_end(&mut card) {
        Ok(_) => (Holder::parse(&card), at),
        Err(_) => (None, None),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read_by_inode() {
        let table = "1: FLOCK  ADVISORY  WRITE 812 fe:01:1234 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 813 fe:01:77 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 9 fe:01:55 0 EOF\n";
        assert!(is_locked(table, 1234));
        for free in [77, 55, 234, 1] {
            assert!(!is_locked(table, free), "{free}");
        }
    }
}
