//! The gates over real bytes: a corpus that must not open, controls that must, golden files, and properties.
//!
//! A file's name starts with the gate that reads it (`13-`, `15-`, `approved-`, `key-`); below `must-not-open/` the
//! folder is the reason it must be given. A bug adds a file.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "gate/corpus.rs"]
mod corpus;
#[path = "gate/docs.rs"]
mod docs;
#[path = "gate/golden.rs"]
mod golden;
#[path = "gate/oracle.rs"]
mod oracle;
#[path = "gate/properties.rs"]
mod properties;

use std::fs;
use std::path::{Path, PathBuf};

use orch::domain::pipeline::{Gate, KeyGate};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate").join(name)
}

/// Every file of a folder, sorted, with its bytes.
fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn gate_of(name: &str) -> Gate {
    match name.split('-').next() {
        Some("13") => Gate::TestsPassed,
        Some("15") => Gate::StagingStatus,
        Some("approved") => Gate::Approved,
        Some("key") => key_gate(),
        other => panic!("{name}: no gate is called {other:?}"),
    }
}

fn key_gate() -> Gate {
    Gate::Key(KeyGate {
        key: "status".to_owned(),
        pass: vec!["READY".to_owned(), "yes".to_owned()],
        fail: vec!["BLOCKED".to_owned(), "no".to_owned()],
    })
}

fn every_gate() -> [Gate; 4] {
    [Gate::TestsPassed, Gate::StagingStatus, Gate::Approved, key_gate()]
}
