//! The least programs that do a row's work: the other side of every ratio.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rusqlite::Connection;

/// What is started where a row starts something that does nothing.
pub(crate) const NOTHING: &str = "/bin/true";

/// Most bytes a copier takes at once.
const PIECE_BYTES: usize = 256 * 1024;

pub(crate) fn run(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["spawn", stages] => spawn(number(stages)),
        ["full1", database, stages] => full1(Path::new(database), number(stages)),
        ["full2", database, stages] => full2(Path::new(database), number(stages)),
        ["direct", file, command @ ..] => direct(Path::new(file), command),
        ["copier", file, command @ ..] => copier(Path::new(file), command),
        ["typed", file] => typed(Path::new(file)),
        other => panic!("there is no floor {other:?}"),
    }
    ExitCode::SUCCESS
}

fn number(text: &str) -> u32 {
    text.parse().unwrap()
}

fn start_nothing() {
    assert!(Command::new(NOTHING).stdin(Stdio::null()).status().unwrap().success());
}

/// Starts and waits, and records nothing.
fn spawn(stages: u32) {
    for _ in 0..stages {
        start_nothing();
    }
}

/// As orch opens its store: WAL, FULL, and a log that keeps its blocks.
fn open(database: &Path) -> Connection {
    let store = Connection::open(database).unwrap();
    store
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE IF NOT EXISTS stage (id INTEGER PRIMARY KEY, state TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, stage INTEGER NOT NULL, body BLOB NOT NULL);",
        )
        .unwrap();
    store.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    store
}

fn commit(store: &Connection, stage: u32, state: &str) {
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut event = store.prepare_cached("INSERT INTO event (stage, body) VALUES (?1, ?2)").unwrap();
    event.execute((stage, [b'x'; 128])).unwrap();
    let mut row = store
        .prepare_cached("INSERT INTO stage VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET state = excluded.state")
        .unwrap();
    row.execute((stage, state)).unwrap();
    store.execute_batch("COMMIT").unwrap();
}

/// One durable commit a stage: its end and the next one's start together.
fn full1(database: &Path, stages: u32) {
    let store = open(database);
    for stage in 0..stages {
        start_nothing();
        commit(&store, stage, "done");
    }
}

/// A start and an end a stage, each durable.
fn full2(database: &Path, stages: u32) {
    let store = open(database);
    for stage in 0..stages {
        commit(&store, stage, "running");
        start_nothing();
        commit(&store, stage, "done");
    }
}

/// The command writes straight into the file.
fn direct(file: &Path, command: &[&str]) {
    let file = File::create(file).unwrap();
    let status = of(command).stdout(file).status().unwrap();
    assert!(status.success());
}

/// The command writes into a pipe, and somebody copies.
fn copier(file: &Path, command: &[&str]) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    let mut child = of(command).stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    rustix::pipe::fcntl_setpipe_size(&pipe, 1024 * 1024).unwrap();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = pipe.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        file.write_all(&piece[..count]).unwrap();
    }
    assert!(child.wait().unwrap().success());
}

fn of(command: &[&str]) -> Command {
    let mut made = Command::new(command[0]);
    made.args(&command[1..]).stdin(Stdio::null());
    made
}

/// A pipeline read into plain structures, with no law checked.
fn typed(file: &Path) {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Pipeline {
        version: u32,
        name: String,
        stages: std::collections::HashMap<String, Stage>,
    }
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Stage {
        producer: std::collections::HashMap<String, Suite>,
        artifact: Option<String>,
        gate: String,
        timeout: Option<String>,
        transitions: std::collections::HashMap<String, String>,
    }
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Suite {
        command: Vec<String>,
        evidence: Option<String>,
        env: Option<Env>,
    }
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Env {
        pass: Option<Vec<String>>,
        set: Option<std::collections::HashMap<String, String>>,
    }
    let text = std::fs::read_to_string(file).unwrap();
    let budget = serde_yaml::budget! { max_nodes: 10_000_000, max_events: 20_000_000 };
    let options = serde_yaml::options! { budget: budget };
    let pipeline: Pipeline = serde_yaml::from_str_with_options(&text, options).unwrap();
    assert!(!pipeline.stages.is_empty());
}
