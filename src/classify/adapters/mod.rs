//! One file a framework: how it says that it began, what it counted, and that it reached its end.
//!
//! An adapter believes complete closing summaries only. What began and did not close is noted as unfinished and
//! keeps the stage from a pass. Formats were read off real runs; `tests/classify/corpus/` holds them.

use std::fmt::Debug;

use crate::domain::evidence::{Counts, Sighting, Summary, SummarySource};
use crate::domain::pipeline::Adapter;

use super::line::{Line, shown};
use super::reader::Notes;

mod bats;
mod cargo_test;
pub(super) mod closing_line;
pub(super) mod go_json;
mod go_test;
mod googletest;
mod jest;
mod mocha;
mod nextest;
mod node_test;
mod pytest;
mod tap;
mod unittest;
mod vitest;

/// Every first byte: for frameworks that must see what follows their closing line, whatever it is.
static EVERY_HEAD: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the index stays below 256")]
        let byte = index as u8;
        bytes[index] = byte;
        index += 1;
    }
    bytes
};

/// Reads one framework's output line by line.
pub(super) trait Framework: Debug {
    /// First bytes, behind white space, of the lines that it reads.
    fn heads(&self) -> &'static [u8];
    /// Last bytes of further lines that it reads.
    fn tails(&self) -> &'static [u8] {
        b""
    }
    /// Takes the next line of either stream that begins or ends as it asked for.
    fn line(&mut self, line: &Line<'_>, notes: &mut Notes);
    /// Both streams have ended.
    fn end(&mut self, notes: &mut Notes);
}

/// Which frameworks read a line, by its first and its last byte: nearly every line is nobody's.
#[derive(Debug)]
pub(super) struct Readers {
    frameworks: Vec<Box<dyn Framework>>,
    heads: [u16; 256],
    tails: [u16; 256],
}

impl Readers {
    pub(super) fn new(frameworks: Vec<Box<dyn Framework>>) -> Self {
        let (mut heads, mut tails) = ([0; 256], [0; 256]);
        for (index, framework) in frameworks.iter().enumerate() {
            framework.heads().iter().for_each(|byte| heads[usize::from(*byte)] |= 1 << index);
            framework.tails().iter().for_each(|byte| tails[usize::from(*byte)] |= 1 << index);
        }
        Self { frameworks, heads, tails }
    }

    pub(super) fn line(&mut self, line: &Line<'_>, notes: &mut Notes) {
        let bytes = line.text.as_bytes();
        let (Some(head), Some(tail)) = (bytes.iter().find(|byte| !byte.is_ascii_whitespace()), bytes.last()) else {
            return;
        };
        let mut wanted = self.heads[usize::from(*head)] | self.tails[usize::from(*tail)];
        while wanted != 0 {
            let index = wanted.trailing_zeros();
            wanted &= wanted - 1;
            if let Some(framework) = self.frameworks.get_mut(index as usize) {
                framework.line(line, notes);
            }
        }
    }

    pub(super) fn end(&mut self, notes: &mut Notes) {
        self.frameworks.iter_mut().for_each(|framework| framework.end(notes));
    }
}

/// Every framework that speaks on a stream.
pub(super) fn all() -> Vec<Box<dyn Framework>> {
    Adapter::ALL.into_iter().filter_map(make).collect()
}

/// The readers of one declared framework. bats speaks TAP when it is asked to.
pub(super) fn only(adapter: Adapter) -> Vec<Box<dyn Framework>> {
    match adapter {
        Adapter::Bats => make(Adapter::Bats).into_iter().chain(make(Adapter::Tap)).collect(),
        Adapter::NodeTest => make(Adapter::NodeTest).into_iter().chain(make(Adapter::Tap)).collect(),
        Adapter::Junit
        | Adapter::Pytest
        | Adapter::Unittest
        | Adapter::CargoTest
        | Adapter::Nextest
        | Adapter::GoTest
        | Adapter::Jest
        | Adapter::Mocha
        | Adapter::Vitest
        | Adapter::Tap
        | Adapter::ExitFile => make(adapter).into_iter().collect(),
    }
}

fn make(adapter: Adapter) -> Option<Box<dyn Framework>> {
    match adapter {
        Adapter::Junit => None,
        Adapter::Pytest => Some(Box::<pytest::Pytest>::default()),
        Adapter::Unittest => Some(Box::<unittest::Unittest>::default()),
        Adapter::CargoTest => Some(Box::<cargo_test::CargoTest>::default()),
        Adapter::Nextest => Some(Box::<nextest::Nextest>::default()),
        Adapter::GoTest => Some(Box::<go_test::GoTest>::default()),
        Adapter::Jest => Some(Box::<jest::Jest>::default()),
        Adapter::Mocha => Some(Box::<mocha::Mocha>::default()),
        Adapter::Vitest => Some(Box::<vitest::Vitest>::default()),
        Adapter::NodeTest => Some(Box::<node_test::NodeTest>::default()),
        Adapter::Tap => Some(Box::<tap::Tap>::default()),
        Adapter::Bats => Some(Box::<bats::Bats>::default()),
        Adapter::ExitFile => Some(Box::<googletest::Googletest>::default()),
    }
}

fn summary(adapter: Adapter, counts: Counts, at: Sighting) -> Summary {
    Summary { source: SummarySource::Adapter(adapter), counts, at }
}

/// The number of a regex group, where it matched.
fn number(captures: &regex::Captures<'_>, group: &str) -> Option<u64> {
    captures.name(group)?.as_str().parse().ok()
}

/// Reads `3 failed, 1 passed` into pairs of number and word; `None` for anything else.
fn segments(text: &str) -> Option<Vec<(u64, &str)>> {
    text.split(", ")
        .map(|segment| {
            let (number, word) = segment.trim().split_once(' ')?;
            Some((number.parse().ok()?, word.trim()))
        })
        .collect()
}

#[cfg(test)]
pub(super) mod testing {
    use crate::domain::evidence::{Counts, OutputFacts, Stream};
    use crate::domain::pipeline::{Adapter, EvidenceKind};

    /// What one adapter says of a text on one stream: the sum of its summaries and the number of unfinished parts.
    pub(in crate::classify) fn read(adapter: Adapter, stream: Stream, text: &str) -> (Vec<Counts>, usize) {
        let facts = facts(&EvidenceKind::Adapter(adapter), stream, text);
        (facts.summaries.iter().map(|s| s.counts).collect(), facts.unfinished.len())
    }

    pub(in crate::classify) fn facts(evidence: &EvidenceKind, stream: Stream, text: &str) -> OutputFacts {
        let mut reader = super::super::Reader::new(evidence);
        reader.feed(stream, text.as_bytes());
        reader.finish()
    }

    /// `passed/failed/errors/skipped`.
    pub(in crate::classify) fn counts(passed: u64, failed: u64, errors: u64, skipped: u64) -> Counts {
        Counts { passed, failed, errors, skipped }
    }
}
