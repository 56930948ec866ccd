//! Tells the far side's own words from the suite's bytes. A mark is a line `ORCH NONCE WORD …` behind a line break of
//! its own; the suite is never given the nonce. What stands before the first mark (a banner, a profile's greeting, a
//! refusal of the login shell) is not the suite's.

use crate::domain::channel::{RemoteEnd, RemoteExit};

/// Longest mark, in bytes.
const MARK_BYTES_MAX: usize = 2048;
/// Most that is kept of what stands before the first mark, in bytes.
const PREAMBLE_BYTES_MAX: usize = 4096;

/// One word of the far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// A shell is there.
    Here,
    /// A tool is missing.
    Missing(String),
    /// No place for records.
    Room,
    /// The working folder is not there.
    Folder,
    /// The program is not there.
    Program,
    /// The container cannot be entered.
    Container(String),
    /// The version that stands there.
    Version(String),
    /// It is another one than is wanted.
    Other,
    /// None is told: the code of what should tell it, nothing where even that is not known.
    Unversioned(String),
    /// Nothing of an earlier attempt's command is there any more, and whether it was ended just now.
    Cleared {
        /// The attempt.
        attempt: String,
        /// Whether something of it ran until now.
        ran: bool,
    },
    /// The command of an earlier attempt still runs, and cannot be ended.
    Stuck(String),
    /// All looked at is as it should be.
    Ready,
    /// A command of this name was started before.
    Taken,
    /// It never began, and never will.
    Void,
    /// It began, and nobody there saw its end.
    Gone,
    /// From here on stdout is the suite's.
    Out,
    /// It has begun: its session.
    Begin(i32),
    /// It was asked to stop, and had ended by itself before.
    Over,
    /// It has ended.
    End(RemoteEnd),
    /// Not understood.
    Strange(String),
}

impl Mark {
    fn read(text: &str, nonce: &str) -> Self {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        match word {
            "here" => Self::Here,
            "missing" => Self::Missing(rest.to_owned()),
            "room" => Self::Room,
            "cwd" => Self::Folder,
            "program" => Self::Program,
            "container" => Self::Container(rest.to_owned()),
            "version" => Self::Version(rest.to_owned()),
            "other" => Self::Other,
            "unversioned" => Self::Unversioned(rest.to_owned()),
            "over" => Self::Over,
            "cleared" => cleared(rest).unwrap_or_else(|| Self::Strange(text.to_owned())),
            "stuck" => Self::Stuck(rest.to_owned()),
            "ready" => Self::Ready,
            "taken" => Self::Taken,
            "void" => Self::Void,
            "gone" => Self::Gone,
            "out" => Self::Out,
            "begin" => rest.parse().map_or_else(|_| Self::Strange(text.to_owned()), Self::Begin),
            "end" => end(rest, nonce).map_or_else(|| Self::Strange(text.to_owned()), Self::End),
            _ => Self::Strange(text.to_owned()),
        }
    }
}

/// `ATTEMPT ran|over`.
fn cleared(text: &str) -> Option<Mark> {
    let (attempt, how) = text.split_once(' ')?;
    let ran = match how {
        "ran" => true,
        "over" => false,
        _ => return None,
    };
    Some(Mark::Cleared { attempt: attempt.to_owned(), ran })
}

/// `NONCE exited|signalled N OUT ERR LEAKED yes|no yes|no`: the record as it stands in its file, which other processes of that
/// user can write, too, and not without the nonce.
fn end(text: &str, nonce: &str) -> Option<RemoteEnd> {
    let mut words = text.split_ascii_whitespace();
    if words.next()? != nonce {
        return None;
    }
    let how = match (words.next()?, words.next()?.parse().ok()?) {
        ("exited", code) => RemoteExit::Exited(code),
        ("signalled", signal) => RemoteExit::Signalled(signal),
        (_, _) => return None,
    };
    let mut number = || words.next()?.parse().ok();
    let (stdout, stderr) = (number()?, number()?);
    let leaked = u32::try_from(number()?).ok()?;
    let mut flag = || match words.next()? {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let (expired, cut) = (flag()?, flag()?);
    Some(RemoteEnd { how, stdout, stderr, leaked, expired, cut })
}

/// What a stream gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The suite's.
    Bytes(Vec<u8>),
    /// The far side's own.
    Mark(Mark),
}

/// Reads one stream.
#[derive(Debug)]
pub(super) struct Marks {
    nonce: String,
    /// `\nORCH NONCE `.
    head: Vec<u8>,
    held: Vec<u8>,
    /// What was said before anything of ours, cut.
    pub(super) preamble: Vec<u8>,
    /// Whether the suite's bytes have begun.
    open: bool,
    /// The mark behind which they begin.
    opener: fn(&Mark) -> bool,
    /// Whether marks come behind that one, too. Where none do, nothing is held back for them: a last line break would
    /// else wait for ever.
    further: bool,
}

impl Marks {
    /// Of stderr: the suite's bytes begin behind the begin mark.
    pub(super) fn of_stderr(nonce: &str) -> Self {
        Self::new(nonce, |mark| matches!(mark, Mark::Begin(_)), true)
    }

    /// Of stdout: they begin behind the one mark there.
    pub(super) fn of_stdout(nonce: &str) -> Self {
        Self::new(nonce, |mark| matches!(mark, Mark::Out), false)
    }

    fn new(nonce: &str, opener: fn(&Mark) -> bool, further: bool) -> Self {
        let head = format!("\nORCH {nonce} ").into_bytes();
        Self { nonce: nonce.to_owned(), head, held: Vec::new(), preamble: Vec::new(), open: false, opener, further }
    }

    /// Takes bytes; gives what is complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        loop {
            if self.open && !self.further {
                let length = self.held.len();
                self.pass(length, &mut pieces);
                return pieces;
            }
            let Some(at) = memchr::memmem::find(&self.held, &self.head) else {
                // The end of what is here may be the beginning of a mark.
                let keep = (1..self.head.len().min(self.held.len() + 1))
                    .rev()
                    .find(|length| self.held.ends_with(self.head.get(..*length).unwrap_or_default()))
                    .unwrap_or(0);
                let free = self.held.len() - keep;
                self.pass(free, &mut pieces);
                return pieces;
            };
            self.pass(at, &mut pieces);
            let rest = self.held.get(self.head.len()..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).or_else(|| (rest.len() > MARK_BYTES_MAX).then_some(rest.len()));
            let Some(length) = length else { return pieces };
            let text = String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned();
            let used = (self.head.len() + length + 1).min(self.held.len());
            self.held.drain(..used);
            let mark = Mark::read(&text, &self.nonce);
            self.open |= (self.opener)(&mark);
            pieces.push(Piece::Mark(mark));
        }
    }

    /// What is left when the stream has ended.
    pub(super) fn rest(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let length = self.held.len();
        self.pass(length, &mut pieces);
        pieces
    }

    fn pass(&mut self, length: usize, pieces: &mut Vec<Piece>) {
        let bytes: Vec<u8> = self.held.drain(..length).collect();
        if bytes.is_empty() {
            return;
        }
        if self.open {
            pieces.push(Piece::Bytes(bytes));
        } else {
            let room = PREAMBLE_BYTES_MAX.saturating_sub(self.preamble.len());
            self.preamble.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a text in pieces of every size and joins what comes of it.
    fn check(text: &str, preamble: &str, bytes: &str, marks: &[Mark]) {
        for size in 1..=text.len() {
            let mut stream = Marks::of_stderr("N1");
            let mut pieces: Vec<Piece> = text.as_bytes().chunks(size).flat_map(|part| stream.feed(part)).collect();
            pieces.extend(stream.rest());
            let mut found = Vec::new();
            let mut joined = Vec::new();
            for piece in pieces {
                match piece {
                    Piece::Bytes(part) => joined.extend(part),
                    Piece::Mark(mark) => found.push(mark),
                }
            }
            assert_eq!(String::from_utf8_lossy(&joined), bytes, "{text:?} in pieces of {size}");
            assert_eq!(found, marks, "{text:?} in pieces of {size}");
            assert_eq!(String::from_utf8_lossy(&stream.preamble), preamble, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn marks_are_told_from_bytes_in_pieces_of_any_size() {
        let end = RemoteEnd { how: RemoteExit::Exited(3), stdout: 10, stderr: 4, leaked: 0, expired: false, cut: true };
        check(
            "motd: result: PASS\n\nORCH N1 here 1\n\nORCH N1 begin 77\nred\n\nORCH N1 end N1 exited 3 10 4 0 no yes\n",
            "motd: result: PASS\n",
            "red\n",
            &[Mark::Here, Mark::Begin(77), Mark::End(end)],
        );
    }

    #[test]
    fn nothing_of_stdout_is_held_back() {
        let mut stream = Marks::of_stdout("N1");
        let pieces = stream.feed(b"hello\n\nORCH N1 out\n3 checks, 0 failed\n");
        let bytes = Piece::Bytes(b"3 checks, 0 failed\n".to_vec());
        assert_eq!(pieces, [Piece::Mark(Mark::Out), bytes]);
        assert_eq!(stream.feed(b"\n"), [Piece::Bytes(b"\n".to_vec())]);
    }

    #[test]
    fn an_end_without_the_nonce_is_the_suite_s_own_text() {
        check(
            "\nORCH N1 begin 7\n\nORCH N2 end N2 exited 0 0 0 0 no no\nORCH-END exited 0\n\nORCH",
            "",
            "\nORCH N2 end N2 exited 0 0 0 0 no no\nORCH-END exited 0\n\nORCH",
            &[Mark::Begin(7)],
        );
        check(
            "\nORCH N1 begin 7\n\nORCH N1 end N2 exited 0 0 0 0 no no\n",
            "",
            "",
            &[Mark::Begin(7), Mark::Strange("end N2 exited 0 0 0 0 no no".to_owned())],
        );
    }
}
