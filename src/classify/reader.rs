//! Reads a command's output once, in pieces, with bounded memory.

use std::collections::VecDeque;

use crate::domain::evidence::{FaultKind, OutputFacts, Sighting, Signature, Stream, Summary, SummarySource};
use crate::domain::pipeline::{Adapter, EvidenceKind};

use super::adapters::{self, Readers, closing_line::ClosingLine};
use super::code_fault::CodeFaults;
use super::crash::Crashes;
use super::line::{Line, Splitter, shown};
use super::signatures;

/// Lines at the head of a stream in which known infra texts are looked for.
const HEAD_LINES: usize = 256;
/// Lines at the end of a stream in which known infra texts are looked for.
const TAIL_LINES: usize = 512;
/// Facts of one kind that are kept.
const KEPT_MAX: usize = 64;
/// Bytes of the tail of stderr that are kept for people.
const STDERR_TAIL_BYTES: usize = 4096;

/// Id of the signature that an adapter notes when a framework says that it was ended from outside (rule 6).
pub(super) const SUITE_KILLED: &str = "suite-killed";

/// Takes the two streams in pieces of any size and says what they show.
#[derive(Debug)]
pub struct Reader {
    stdout: Channel,
    stderr: Channel,
    frameworks: Readers,
    closing_line: Option<ClosingLine>,
    code_faults: CodeFaults,
    crashes: Crashes,
    notes: Notes,
    incomplete: bool,
}

#[derive(Debug)]
struct Channel {
    splitter: Splitter,
    head: Vec<(u64, String)>,
    tail: VecDeque<(u64, String)>,
}

impl Channel {
    const fn new(stream: Stream) -> Self {
        Self { splitter: Splitter::new(stream), head: Vec::new(), tail: VecDeque::new() }
    }

    fn keep(&mut self, line: &Line<'_>) {
        if self.head.len() < HEAD_LINES {
            self.head.push((line.number, line.text.to_owned()));
            return;
        }
        // The oldest line's memory is used again for the newest.
        let mut oldest =
            if self.tail.len() == TAIL_LINES { self.tail.pop_front().unwrap_or_default() } else { Default::default() };
        oldest.0 = line.number;
        line.text.clone_into(&mut oldest.1);
        self.tail.push_back(oldest);
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = (u64, &str)> {
        self.head.iter().chain(&self.tail).map(|(number, text)| (*number, text.as_str()))
    }
}

/// What the frameworks note down while lines go by.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) summaries: Vec<Summary>,
    pub(super) unfinished: Vec<Sighting>,
    regions: Vec<Region>,
    killed: Vec<Sighting>,
    nextest: Vec<(Stream, u64, u64)>,
}

/// Lines of one stream in which a suite is talking, both ends included.
#[derive(Debug, Clone, Copy)]
struct Region {
    stream: Stream,
    first: u64,
    last: u64,
    hides: Hides,
}

/// What does not count of the words in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hides {
    /// Nothing counts but the suite's own summary.
    Everything,
    /// Faults of code do not count; a layer's words choose the kind of hold, as it shares the stream.
    CodeFaults,
}

impl Notes {
    /// Notes a closing summary.
    pub(super) fn summary(&mut self, summary: Summary) {
        match self.summaries.len() < KEPT_MAX {
            true => self.summaries.push(summary),
            // The count of tests must stay true when a long chain of suites runs: fold into the last of its kind.
            false => match self.summaries.iter_mut().rev().find(|known| known.source == summary.source) {
                Some(known) => {
                    known.counts = known.counts.plus(summary.counts);
                    known.at = summary.at;
                }
                None => self.summaries.push(summary),
            },
        }
    }

    /// Notes a suite, or a part of one, that began and did not end.
    pub(super) fn unfinished(&mut self, at: Sighting) {
        if self.unfinished.len() < KEPT_MAX {
            self.unfinished.push(at);
        }
    }

    /// Notes that a suite was talking from one line to another.
    pub(super) fn region(&mut self, stream: Stream, first: u64, last: u64) {
        self.add(Region { stream, first, last, hides: Hides::Everything });
    }

    /// Notes a run of nextest: other suites' lines in it are the output of its tests.
    pub(super) fn nextest_region(&mut self, stream: Stream, first: u64, last: u64) {
        self.region(stream, first, last);
        if self.nextest.len() < KEPT_MAX {
            self.nextest.push((stream, first, last));
        }
    }

    /// Notes lines that a suite and the tool around it share.
    pub(super) fn shared_region(&mut self, stream: Stream, first: u64, last: u64) {
        self.add(Region { stream, first, last, hides: Hides::CodeFaults });
    }

    /// Notes that a framework says it was ended from outside.
    pub(super) fn killed(&mut self, at: Sighting) {
        if self.killed.len() < KEPT_MAX {
            self.killed.push(at);
        }
    }

    /// Adds a region, to the one before it where they touch: a suite of a million parts is one region.
    fn add(&mut self, region: Region) {
        let last = self.regions.iter_mut().rev().find(|r| r.stream == region.stream && r.hides == region.hides);
        match last {
            Some(last) if region.first >= last.first && region.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(region.last);
            }
            Some(_) | None => self.regions.push(region),
        }
    }

    /// One run can be told by two adapters: node's runner and bats also speak TAP, and nextest shows what the
    /// libtest below it printed. The one that knows more stands.
    fn supersede(&mut self) {
        let by = |s: &Summary, adapter| s.source == SummarySource::Adapter(adapter);
        if self.summaries.iter().any(|s| by(s, Adapter::NodeTest)) {
            self.summaries.retain(|s| !by(s, Adapter::Tap) || s.counts.red());
        }
        let below = |at: &Sighting| {
            self.nextest.iter().any(|(stream, first, last)| *stream == at.stream && (*first..=*last).contains(&at.line))
        };
        self.summaries.retain(|s| !by(s, Adapter::CargoTest) || !below(&s.at));
        self.unfinished.retain(|at| at.tool != "cargo-test" || !below(at));
    }

    fn hidden(&self, at: &Sighting, what: Hides) -> bool {
        let within = |r: &Region| r.stream == at.stream && r.first <= at.line && at.line <= r.last;
        self.regions.iter().any(|r| within(r) && (r.hides == Hides::Everything || what == Hides::CodeFaults))
    }
}

impl Reader {
    /// A reader for what a stage declares. A declared adapter is the only one that is believed; `auto` and
    /// `exit-code` try all.
    pub fn new(evidence: &EvidenceKind) -> Self {
        let frameworks = match evidence {
            EvidenceKind::Auto | EvidenceKind::ExitCode(_) => adapters::all(),
            EvidenceKind::Adapter(adapter) => adapters::only(*adapter),
            EvidenceKind::ClosingLine(_) => Vec::new(),
        };
        let closing_line = match evidence {
            EvidenceKind::ClosingLine(pattern) => ClosingLine::new(pattern).ok(),
            EvidenceKind::Auto | EvidenceKind::ExitCode(_) | EvidenceKind::Adapter(_) => None,
        };
        Self {
            stdout: Channel::new(Stream::Stdout),
            stderr: Channel::new(Stream::Stderr),
            frameworks: Readers::new(frameworks),
            closing_line,
            code_faults: CodeFaults::default(),
            crashes: Crashes::default(),
            notes: Notes::default(),
            incomplete: false,
        }
    }

    /// Takes the next bytes of a stream.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8]) {
        self.with_lines(stream, |splitter, each| splitter.feed(bytes, each));
    }

    /// Notes that bytes are missing here: what follows is no continuation of what came before.
    pub fn gap(&mut self, stream: Stream) {
        self.feed(stream, b"\n");
        self.incomplete = true;
    }

    fn with_lines(&mut self, stream: Stream, work: impl FnOnce(&mut Splitter, &mut dyn FnMut(Line<'_>))) {
        let Self { stdout, stderr, frameworks, closing_line, code_faults, crashes, notes, incomplete: _ } = self;
        let channel = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        let mut splitter = std::mem::replace(&mut channel.splitter, Splitter::new(stream));
        work(&mut splitter, &mut |line| {
            channel.keep(&line);
            frameworks.line(&line, notes);
            if let Some(closing_line) = closing_line {
                closing_line.line(&line, notes);
            }
            match line.text.starts_with('{').then(|| adapters::go_json::build_output(line.text)).flatten() {
                Some(text) => code_faults.line(&Line { text: &text, ..line }),
                None => code_faults.line(&line),
            }
            crashes.line(&line);
        });
        channel.splitter = splitter;
    }

    /// Ends both streams and says what they show.
    pub fn finish(mut self) -> OutputFacts {
        self.with_lines(Stream::Stdout, Splitter::finish);
        self.with_lines(Stream::Stderr, Splitter::finish);
        let Self { stdout, stderr, mut frameworks, closing_line: _, code_faults, crashes, mut notes, incomplete } =
            self;
        frameworks.end(&mut notes);
        notes.supersede();
        let mut signatures = [&stdout, &stderr]
            .into_iter()
            .zip([Stream::Stdout, Stream::Stderr])
            .flat_map(|(channel, stream)| {
                channel.lines().filter_map(move |(number, text)| signatures::find(&Line { text, stream, number }))
            })
            .filter(|signature: &Signature| !notes.hidden(&signature.at, Hides::Everything))
            .collect::<Vec<_>>();
        let killed = std::mem::take(&mut notes.killed);
        signatures.extend(killed.into_iter().map(|at| Signature {
            pattern: SUITE_KILLED.to_owned(),
            fault: FaultKind::Transient,
            at,
        }));
        let code_faults = code_faults.end().into_iter().filter(|at| !notes.hidden(at, Hides::CodeFaults)).collect();
        let crashes = crashes.end();
        OutputFacts {
            signatures: last(signatures),
            code_faults,
            crashes,
            stdout_bytes: stdout.splitter.bytes(),
            stderr_bytes: stderr.splitter.bytes(),
            incomplete,
            stderr_tail: tail_text(&stderr),
            summaries: notes.summaries,
            unfinished: notes.unfinished,
        }
    }
}

/// Keeps the last facts of a long list: the layer that spoke last comes first in a person's search for the cause.
fn last<T>(mut facts: Vec<T>) -> Vec<T> {
    let surplus = facts.len().saturating_sub(KEPT_MAX);
    facts.drain(..surplus);
    facts
}

fn tail_text(channel: &Channel) -> String {
    let mut lines = Vec::new();
    let mut bytes = 0;
    for (_, text) in channel.lines().rev() {
        let text = shown(text);
        bytes += text.len() + 1;
        if bytes > STDERR_TAIL_BYTES {
            break;
        }
        lines.push(text);
    }
    lines.reverse();
    lines.join("\n")
}
