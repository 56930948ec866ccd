//! One session: its program sent, its marks and bytes taken apart, its orders passed on. It says what happened; what is
//! done about it is `drive`'s.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::link::Link;
use super::marks::{Marks, Piece};
use super::program::Program;

/// Bytes taken at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What a session tells.
#[derive(Debug)]
pub(super) enum Told {
    /// Pieces of its stdout.
    Stdout(Vec<Piece>),
    /// Pieces of its stderr.
    Stderr(Vec<Piece>),
    /// It is over, and everything it gave was told.
    Over,
}

/// A session under way.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    marks: [Marks; 2],
    orders: Option<UnboundedSender<Vec<u8>>>,
    buffers: [Vec<u8>; 2],
}

impl Session {
    pub(super) fn start(link: &Link, program: Program, nonce: &str) -> io::Result<Self> {
        let mut child = link.session(&program.word)?;
        let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("a session without stdin"))?;
        let (orders, mut coming) = unbounded_channel::<Vec<u8>>();
        orders.send(program.text.into_bytes()).ok();
        // Apart, because a far side that does not read must not keep us from reading it. Bounded by the beats of a TTL.
        tokio::spawn(async move {
            while let Some(bytes) = coming.recv().await {
                if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                    return;
                }
            }
        });
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let marks = [Marks::of_stdout(nonce), Marks::of_stderr(nonce)];
        let buffers = [vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]];
        Ok(Self { child, stdout, stderr, marks, orders: Some(orders), buffers })
    }

    /// Sends one word of those that `listen` in the program knows.
    pub(super) fn order(&self, word: &str) {
        if let Some(orders) = &self.orders {
            // A session that is over says so by itself.
            orders.send(format!("{word}\n").into_bytes()).ok();
        }
    }

    /// Waits for the next thing it tells.
    pub(super) async fn next(&mut self) -> io::Result<Told> {
        let [for_stdout, for_stderr] = &mut self.buffers;
        let [marks_out, marks_err] = &mut self.marks;
        loop {
            if self.stdout.is_none() && self.stderr.is_none() {
                return self.child.wait().await.map(|_| Told::Over);
            }
            tokio::select! {
                read = read(&mut self.stderr, for_stderr), if self.stderr.is_some() => match read? {
                    0 => {
                        self.stderr = None;
                        let rest = marks_err.rest();
                        if !rest.is_empty() {
                            return Ok(Told::Stderr(rest));
                        }
                    }
                    count => return Ok(Told::Stderr(marks_err.feed(for_stderr.get(..count).unwrap_or_default()))),
                },
                read = read(&mut self.stdout, for_stdout), if self.stdout.is_some() => match read? {
                    0 => {
                        self.stdout = None;
                        let rest = marks_out.rest();
                        if !rest.is_empty() {
                            return Ok(Told::Stdout(rest));
                        }
                    }
                    count => return Ok(Told::Stdout(marks_out.feed(for_stdout.get(..count).unwrap_or_default()))),
                },
            }
        }
    }

    /// What was said on the other side before anything of ours.
    pub(super) fn preamble(&self) -> String {
        let texts = self.marks.iter().map(|marks| String::from_utf8_lossy(&marks.preamble).trim().to_owned());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Says nothing more to it, and waits until it is over.
    pub(super) async fn leave(mut self) {
        self.orders = None;
        self.stdout = None;
        self.stderr = None;
        self.child.wait().await.ok();
    }
}

async fn read<R: tokio::io::AsyncRead + Unpin>(stream: &mut Option<R>, buffer: &mut [u8]) -> io::Result<usize> {
    match stream {
        Some(stream) => stream.read(buffer).await,
        None => std::future::pending().await,
    }
}
