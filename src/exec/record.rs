//! `exits.jsonl`: what became of each attempt of a run, written by its supervisor alone.
//!
//! One line a fact, each by a single write into blocks that are there already: no new inode, no change of size and no
//! sync on the path of an attempt. The file protects against the death of processes; power loss is the store's
//! business. The unused rest of the file is NUL bytes.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::domain::evidence::ExitRecord;
use crate::domain::id::{AttemptId, Nonce};

/// The file's name in the run folder.
pub const EXITS_FILE: &str = "exits.jsonl";

/// Version of the lines that are written, and the only one so far.
const FORM: u32 = 1;
/// First size of the file, in bytes: some eighty attempts. It doubles from there, up to [`STEP_MAX_BYTES`] at a time.
const STEP_MIN_BYTES: u64 = 128 * 1024;
/// Largest growth at a time, in bytes.
const STEP_MAX_BYTES: u64 = 1024 * 1024;
/// More than an attempt's lines can take, in bytes; see the bounds of `subject` and `leaked`.
const ATTEMPT_BYTES: u64 = 64 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Line {
    /// Version of this form: 1.
    version: u32,
    /// What happened.
    fact: Fact,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fact {
    /// It is about to be started.
    Starting(Starting),
    /// `execve` succeeded.
    Began(Began),
    /// It ended.
    Ended(Box<ExitRecord>),
}

/// Written before the fork: from here on the command may have run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Starting {
    /// The attempt.
    pub(super) attempt: AttemptId,
    /// The runner's word for it.
    pub(super) nonce: Nonce,
    /// Wall clock, for people.
    pub(super) at: Timestamp,
    /// Where its part of the stdout file starts, in bytes.
    pub(super) stdout: u64,
    /// Where its part of the stderr file starts, in bytes.
    pub(super) stderr: u64,
}

/// The begin mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Began {
    /// The attempt.
    pub(super) attempt: AttemptId,
    /// Its main process.
    pub(super) pid: i32,
}

/// The writing side.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    /// Where the next line goes.
    end: u64,
    /// Size of the file.
    size: u64,
    /// Kept between lines to spare the allocation.
    buffer: Vec<u8>,
    /// Attempts that have lines already.
    known: HashSet<AttemptId>,
}

impl Ledger {
    /// Opens or makes the run's file and goes behind its last line.
    pub(super) fn open(run_dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(plain_flags())
            .open(run_dir.join(EXITS_FILE))?;
        let size = plain(&file)?;
        let (end, torn) = last_byte(&file, size)?;
        let known = known(&file, end)?;
        let mut ledger = Self { file, end, size, buffer: Vec::with_capacity(2048), known };
        ledger.make_room()?;
        if torn {
            // A supervisor died inside a write. Its half line must not swallow ours.
            ledger.file.write_all_at(b"\n", ledger.end)?;
            ledger.end += 1;
        }
        Ok(ledger)
    }

    /// Takes an attempt into the file, once in its life: `false` when it has lines already.
    pub(super) fn admit(&mut self, attempt: AttemptId) -> bool {
        self.known.insert(attempt)
    }

    /// Makes sure that an attempt's lines fit, so that a full disk is met before a process is started and never after.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        if self.size.saturating_sub(self.end) >= ATTEMPT_BYTES {
            return Ok(());
        }
        let step = self.size.clamp(STEP_MIN_BYTES, STEP_MAX_BYTES);
        match fallocate(&self.file, FallocateFlags::empty(), self.size, step) {
            Ok(()) => {
                self.size += step;
                Ok(())
            }
            // The file system cannot reserve; then the file grows with its lines.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Adds one fact.
    pub(super) fn write(&mut self, fact: Fact) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &Line { version: FORM, fact })?;
        self.buffer.push(b'\n');
        failpoint!("record.line", error => error);
        self.file.write_all_at(&self.buffer, self.end)?;
        self.end += u64::try_from(self.buffer.len()).expect("a buffer's length fits 64 bits");
        self.size = self.size.max(self.end);
        Ok(())
    }
}

/// Attempts that earlier supervisors of the run have started.
fn known(file: &File, end: u64) -> io::Result<HashSet<AttemptId>> {
    let mut known = HashSet::new();
    for line in BufReader::new(file).take(end).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(Line { version: _, fact: Fact::Starting(starting) }) => {
                known.insert(starting.attempt);
            }
            Ok(Line { version: _, fact: Fact::Began(_) | Fact::Ended(_) }) | Err(_) => {}
        }
    }
    Ok(known)
}

/// Opens one of a run's files for reading. A suite can reach the run's folder, through its own descriptors for one:
/// no link is followed there, and no pipe is waited for.
///
/// # Errors
/// What open(2) says; [`io::ErrorKind::InvalidInput`] where there is something else than a plain file.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    match OpenOptions::new().read(true).custom_flags(plain_flags()).open(path) {
        Ok(file) => plain(&file).map(|_size| file),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => Err(no_plain_file()),
        Err(error) => Err(error),
    }
}

/// The size of a plain file.
fn plain(file: &File) -> io::Result<u64> {
    let found = file.metadata()?;
    if found.is_file() { Ok(found.len()) } else { Err(no_plain_file()) }
}

fn no_plain_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")
}

fn plain_flags() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).expect("open flags fit a C int")
}

/// Where the text ends, and whether its last line lacks its end.
fn last_byte(file: &File, size: u64) -> io::Result<(u64, bool)> {
    let mut block = [0; 16 * 1024];
    let mut upto = size;
    while upto > 0 {
        let from = upto.saturating_sub(16 * 1024);
        let length = usize::try_from(upto - from).expect("at most a block");
        let part = &mut block[..length];
        file.read_exact_at(part, from)?;
        if let Some(index) = part.iter().rposition(|byte| *byte != 0) {
            let end = from + u64::try_from(index).expect("at most a block") + 1;
            return Ok((end, part[index] != b'\n'));
        }
        upto = from;
    }
    Ok((0, false))
}

/// What the file says of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trace {
    /// Nothing: it was never started.
    Nothing,
    /// It was started and its end is not there.
    Open {
        /// What was written before the fork.
        starting: Starting,
        /// Whether `execve` is known to have succeeded.
        began: Option<Began>,
    },
    /// It ended.
    Ended(Box<ExitRecord>),
    /// There is something of that name that is not ours or cannot be read.
    Bad,
}

/// Reads what the run's file says of one attempt.
pub(super) fn trace(run_dir: &Path, attempt: AttemptId, nonce: Nonce) -> Result<Trace, RecordError> {
    let path = run_dir.join(EXITS_FILE);
    let failed = |source| RecordError::Io { path: path.clone(), source };
    let file = match open_plain(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Trace::Nothing),
        // Somebody put it there: what the supervisor wrote is gone.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(Trace::Bad),
        Err(error) => return Err(failed(error)),
    };
    let name = attempt.to_string();
    let mut found = Trace::Nothing;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        match line.split_last() {
            Some((b'\n', text)) => {
                found = follow(found, text, &name, (attempt, nonce)).map_err(|newer| RecordError::Newer {
                    path: path.clone(),
                    found: newer,
                    known: FORM,
                })?;
            }
            // The end, the unused rest, or a line that a dying supervisor did not finish: no fact.
            Some(_) | None => return Ok(found),
        }
    }
}

/// One more line of the file; the error is the version of a newer form.
fn follow(found: Trace, text: &[u8], name: &str, (attempt, nonce): (AttemptId, Nonce)) -> Result<Trace, u32> {
    let of_ours = text.windows(name.len()).any(|part| part == name.as_bytes());
    if !of_ours {
        return Ok(found);
    }
    // A newer form is no broken record: whoever can read it has the result.
    if let Some(newer) = form_of(text).filter(|form| *form > FORM) {
        return Err(newer);
    }
    let Ok(Line { version: FORM, fact }) = serde_json::from_slice(text) else { return Ok(Trace::Bad) };
    Ok(match (found, fact) {
        (Trace::Nothing, Fact::Starting(starting)) if starting.attempt == attempt && starting.nonce == nonce => {
            Trace::Open { starting, began: None }
        }
        (Trace::Open { starting, began: None }, Fact::Began(began)) if began.attempt == attempt => {
            Trace::Open { starting, began: Some(began) }
        }
        (Trace::Open { .. }, Fact::Ended(record)) if record.attempt == attempt && record.nonce == nonce => {
            Trace::Ended(record)
        }
        // Twice, out of order, of another nonce, or only mentioning the attempt.
        (Trace::Nothing | Trace::Open { .. } | Trace::Ended(_) | Trace::Bad, _) => Trace::Bad,
    })
}

/// What a run's supervisor wrote cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The kernel refused.
    #[error("read {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer orch wrote it.
    #[error(
        "read {path}: it has form {found}, and this orch knows forms up to {known}; use the orch that started the run, \
         or a newer one",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
}

/// The version at the head of a form, of any age.
pub(super) fn form_of(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    serde_json::from_slice(text).ok().map(|Head { version }| version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::{Exit, KillTier, LogSpan, Stop};
    use std::time::Duration;

    const NONCE: Nonce = Nonce::new(uuid::Uuid::from_u128(7));

    fn attempt(number: u128) -> AttemptId {
        AttemptId::new(uuid::Uuid::from_u128(number))
    }

    fn starting(number: u128) -> Starting {
        Starting { attempt: attempt(number), nonce: NONCE, at: Timestamp::UNIX_EPOCH, stdout: 0, stderr: 0 }
    }

    fn ended(number: u128, nonce: Nonce) -> Box<ExitRecord> {
        Box::new(ExitRecord {
            version: 1,
            attempt: attempt(number),
            nonce,
            exit: Exit::Exited { code: 3 },
            began: true,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            elapsed: Duration::from_millis(2),
            stdout: LogSpan::default(),
            stderr: LogSpan::default(),
            stop: Stop::Unasked,
            leaked: Vec::new(),
            survivors: Vec::new(),
            tier: KillTier::Walk,
            max_rss_kib: 1,
            user: Duration::ZERO,
            system: Duration::ZERO,
            containment: crate::domain::evidence::Containment::Unasked,
        })
    }

    fn look(dir: &Path, number: u128) -> Trace {
        trace(dir, attempt(number), NONCE).unwrap()
    }

    #[test]
    fn facts_are_followed_attempt_by_attempt_and_over_reopening() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path(), 1), Trace::Nothing);
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.write(Fact::Starting(starting(1))).unwrap();
        assert_eq!(look(dir.path(), 1), Trace::Open { starting: starting(1), began: None });
        let began = Began { attempt: attempt(1), pid: 9 };
        ledger.write(Fact::Began(began.clone())).unwrap();
        assert_eq!(look(dir.path(), 1), Trace::Open { starting: starting(1), began: Some(began) });
        ledger.write(Fact::Ended(ended(1, NONCE))).unwrap();
        drop(ledger);
        let mut again = Ledger::open(dir.path()).unwrap();
        assert!(!again.admit(attempt(1)) && again.admit(attempt(2)) && !again.admit(attempt(2)));
        again.write(Fact::Starting(starting(2))).unwrap();
        assert_eq!(look(dir.path(), 1), Trace::Ended(ended(1, NONCE)));
        assert_eq!(look(dir.path(), 2), Trace::Open { starting: starting(2), began: None });
        assert_eq!(look(dir.path(), 3), Trace::Nothing);
    }

    #[test]
    fn the_file_grows_ahead_of_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        for number in 1..=600 {
            ledger.make_room().unwrap();
            let before = ledger.size;
            ledger.write(Fact::Starting(starting(number))).unwrap();
            ledger.write(Fact::Ended(ended(number, NONCE))).unwrap();
            assert_eq!(ledger.size, before, "a line must not change the size");
        }
        assert_eq!(look(dir.path(), 1), Trace::Ended(ended(1, NONCE)));
        assert_eq!(look(dir.path(), 600), Trace::Ended(ended(600, NONCE)));
    }

    #[test]
    fn what_is_not_ours_is_not_believed() {
        let other = Nonce::new(uuid::Uuid::from_u128(8));
        let cases: [(&str, Vec<Fact>); 4] = [
            ("another nonce at the end", vec![Fact::Starting(starting(1)), Fact::Ended(ended(1, other))]),
            ("another nonce at the start", vec![Fact::Starting(Starting { nonce: other, ..starting(1) })]),
            ("no start", vec![Fact::Ended(ended(1, NONCE))]),
            ("two ends", vec![Fact::Starting(starting(1)), Fact::Ended(ended(1, NONCE)), Fact::Ended(ended(1, NONCE))]),
        ];
        for (what, facts) in cases {
            let dir = tempfile::tempdir().unwrap();
            let mut ledger = Ledger::open(dir.path()).unwrap();
            for fact in facts {
                ledger.write(fact).unwrap();
            }
            assert_eq!(look(dir.path(), 1), Trace::Bad, "{what}");
        }
    }

    #[test]
    fn a_torn_line_is_no_fact_and_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.write(Fact::Starting(starting(1))).unwrap();
        let whole = ledger.end;
        ledger.write(Fact::Ended(ended(1, NONCE))).unwrap();
        let zeros = vec![0; usize::try_from(ledger.end - whole - 20).unwrap()];
        ledger.file.write_all_at(&zeros, whole + 20).unwrap();
        assert_eq!(look(dir.path(), 1), Trace::Open { starting: starting(1), began: None });
        let mut again = Ledger::open(dir.path()).unwrap();
        again.write(Fact::Starting(starting(2))).unwrap();
        again.write(Fact::Ended(ended(2, NONCE))).unwrap();
        assert_eq!(look(dir.path(), 2), Trace::Ended(ended(2, NONCE)));
        assert_eq!(look(dir.path(), 1), Trace::Open { starting: starting(1), began: None });
    }

    #[test]
    fn a_newer_form_is_refused_and_not_taken_for_a_bad_record() {
        let dir = tempfile::tempdir().unwrap();
        let newer = include_str!("exits.v1.sample.jsonl").replace("{\"version\":1,\"fact\"", "{\"version\":2,\"told\"");
        std::fs::write(dir.path().join(EXITS_FILE), newer).unwrap();
        let refused = trace(dir.path(), attempt(1), NONCE).unwrap_err();
        assert!(matches!(refused, RecordError::Newer { found: 2, known: 1, .. }), "{refused:?}");
        assert_eq!(look(dir.path(), 2), Trace::Nothing, "it is about another attempt");
    }

    #[test]
    fn an_older_sample_still_reads() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(EXITS_FILE), include_str!("exits.v1.sample.jsonl")).unwrap();
        assert!(matches!(look(dir.path(), 1), Trace::Ended(record) if record.exit == Exit::Exited { code: 3 }));
    }
}
