//! Gathers what an attempt left behind: its output, its reports, its tree.

use std::collections::VecDeque;
use std::path::Path;

use memchr::memchr_iter;

use super::remote;
use crate::classify::{Reader, junit};
use crate::domain::artifact::{EXCERPT_LINES_MAX, Excerpt};
use crate::domain::evidence::{Evidence, ExitRecord, LogSpan, ReportFacts, ReportFound, Stream, TreeFacts};
use crate::domain::pipeline::{Report, ReportKind, ReportPlace};
use crate::domain::plan::AttemptPlan;
use crate::workspace::logs::{LogPart, Piece};
use crate::workspace::report::{self, REPORT_BYTES_MAX, read_report};
use crate::workspace::root::Root;

/// Longest line that an excerpt keeps, in bytes.
const EXCERPT_LINE_BYTES: usize = 400;

/// What an attempt left behind.
#[derive(Debug)]
pub struct Gathered {
    /// The facts.
    pub evidence: Evidence,
    /// The last lines of each stream, for people.
    pub tails: Vec<Excerpt>,
}

/// Reads logs and reports. Whatever cannot be read is a fact about itself, never an empty answer.
///
/// # Errors
/// What the log files' reader says: without the output nothing can be said of the attempt.
pub fn gather(
    plan: &AttemptPlan,
    record: &ExitRecord,
    run_dir: &Path,
    root: &Root,
    tree: Option<TreeFacts>,
) -> std::io::Result<Gathered> {
    let mut reader = Reader::new(&plan.declared.evidence);
    let mut tails = Vec::new();
    for (stream, span) in [(Stream::Stdout, &record.stdout), (Stream::Stderr, &record.stderr)] {
        let tail = read_stream(&mut reader, run_dir, stream, span)?;
        tails.extend(tail.excerpt(stream));
    }
    let reports = plan.reports.iter().map(|declared| read_declared(declared, plan, record, root)).collect();
    let channel = remote::facts(plan, record);
    let mut output = reader.finish();
    output.incomplete |= channel.as_ref().is_some_and(remote::was_cut);
    let exit = channel.as_ref().map_or_else(|| record.exit.clone(), |facts| facts.exit(&record.exit));
    let evidence = Evidence { output, reports, tree, channel, ..Evidence::of(exit, plan.declared.clone()) };
    Ok(Gathered { evidence, tails })
}

fn read_stream(reader: &mut Reader, run_dir: &Path, stream: Stream, span: &LogSpan) -> std::io::Result<Tail> {
    let mut tail = Tail::default();
    if span.bytes == 0 {
        return Ok(tail);
    }
    let part = LogPart::open(&run_dir.join(log_name(stream)), span)?;
    for piece in part.pieces() {
        match piece? {
            Piece::Bytes(bytes) => {
                reader.feed(stream, &bytes);
                tail.feed(&bytes);
            }
            Piece::Gap { .. } => {
                reader.gap(stream);
                tail.feed(b"\n");
            }
        }
    }
    Ok(tail)
}

/// Name of a stream's file in the run's folder.
pub const fn log_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout.log",
        Stream::Stderr => "stderr.log",
    }
}

fn read_declared(declared: &Report, plan: &AttemptPlan, record: &ExitRecord, root: &Root) -> ReportFacts {
    let shown = match &declared.place {
        ReportPlace::Worktree(path) => path.to_string(),
        ReportPlace::Attempt(path) => format!("{{attempt}}/{path}"),
    };
    let found = match &declared.place {
        ReportPlace::Worktree(path) => look(declared.kind, root, path, record),
        ReportPlace::Attempt(path) => match plan.attempt_dir.as_deref().map(Root::open) {
            Some(Ok(folder)) => look(declared.kind, &folder, path, record),
            Some(Err(error)) => ReportFound::Broken { why: format!("the attempt's folder cannot be opened: {error}") },
            None => ReportFound::Broken { why: "the attempt has no folder of its own".to_owned() },
        },
    };
    ReportFacts { kind: declared.kind, path: shown, found }
}

fn look(kind: ReportKind, root: &Root, path: &crate::domain::id::RelPath, record: &ExitRecord) -> ReportFound {
    match kind {
        ReportKind::Junit => match read_report(root, path, record.started_at, REPORT_BYTES_MAX) {
            report::Report::Bytes(bytes) => junit::read(&bytes),
            report::Report::Missing => ReportFound::Missing,
            report::Report::Stale => ReportFound::Stale,
            report::Report::Broken(why) => ReportFound::Broken { why },
        },
        ReportKind::ExitFile => match report::stands(root, path) {
            Ok(true) => ReportFound::LeftBehind,
            Ok(false) => ReportFound::Removed,
            Err(why) => ReportFound::Broken { why },
        },
    }
}

/// The last lines of a stream, with their numbers.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    current: Vec<u8>,
    complete: u64,
}

impl Tail {
    fn feed(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for end in memchr_iter(b'\n', bytes) {
            self.keep(bytes.get(from..end).unwrap_or_default());
            self.push();
            self.complete += 1;
            from = end + 1;
        }
        self.keep(bytes.get(from..).unwrap_or_default());
    }

    fn keep(&mut self, text: &[u8]) {
        let room = EXCERPT_LINE_BYTES.saturating_sub(self.current.len());
        self.current.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
    }

    fn push(&mut self) {
        // The oldest line's memory is used again for the next.
        let mut next =
            if self.lines.len() == EXCERPT_LINES_MAX { self.lines.pop_front() } else { None }.unwrap_or_default();
        next.clear();
        self.lines.push_back(std::mem::replace(&mut self.current, next));
    }

    fn excerpt(mut self, stream: Stream) -> Option<Excerpt> {
        let open = !self.current.is_empty();
        if open {
            self.push();
        }
        let last = self.complete + u64::from(open);
        let kept = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
        let lines: Vec<String> = self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        (!lines.is_empty()).then(|| Excerpt {
            place: stream.as_str().to_owned(),
            line: last.saturating_sub(kept) + 1,
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_knows_the_number_of_its_first_line() {
        let mut tail = Tail::default();
        for n in 1..=100 {
            tail.feed(format!("line {n}\n").as_bytes());
        }
        tail.feed(b"open");
        let excerpt = tail.excerpt(Stream::Stdout).unwrap();
        assert_eq!((excerpt.line, excerpt.lines.len()), (62, EXCERPT_LINES_MAX));
        assert_eq!(excerpt.lines.first().unwrap(), "line 62");
        assert_eq!(excerpt.lines.last().unwrap(), "open");
    }
}
