//! How fast the classifier reads output: `cargo bench --bench classify` prints MB/s for kinds of lines.
//!
//! A plain program, so that nothing but the reader is measured. The aim is 150 MB/s on plain lines: a suite that
//! floods a pipe must not wait for its reader.

use std::hint::black_box;
use std::time::{Duration, Instant};

use orch::classify::Reader;
use orch::domain::evidence::Stream;
use orch::domain::pipeline::EvidenceKind;

/// Bytes that are handed to the reader at once, as from a pipe.
const PIECE_BYTES: usize = 64 * 1024;
/// How long each kind of lines is read.
const TIME: Duration = Duration::from_secs(2);

fn main() {
    let kinds: [(&str, &str); 7] = [
        ("plain lines", "2026-11-21T02:10:14.577 INFO  server: request 4711 handled in 12 ms, 200, user=anna\n"),
        ("short lines", "step done\n"),
        ("empty lines", "\n"),
        ("cargo test", "test store::tests::an_event_is_appended_once ... ok\n"),
        ("pytest -v", "tests/test_store.py::test_an_event_is_appended_once PASSED                    [ 42%]\n"),
        (
            "go test -json",
            "{\"Time\":\"2026-11-21T02:10:14.57Z\",\"Action\":\"pass\",\"Package\":\"example.test/calc\",\"Test\":\"TestT1\",\"Elapsed\":0}\n",
        ),
        ("coloured", "\u{1b}[32m\u{1b}[1mok\u{1b}[0m \u{1b}[2mcalc.test.mjs\u{1b}[0m (\u{1b}[33m12 tests\u{1b}[0m)\n"),
    ];
    for (name, line) in kinds {
        let mut piece = line.repeat(PIECE_BYTES / line.len() + 1).into_bytes();
        piece.truncate(PIECE_BYTES);
        let mut reader = Reader::new(&EvidenceKind::Auto);
        let (begin, mut bytes) = (Instant::now(), 0_u64);
        while begin.elapsed() < TIME {
            for _ in 0..16 {
                reader.feed(Stream::Stdout, black_box(&piece));
                bytes += piece.len() as u64;
            }
        }
        let elapsed = begin.elapsed();
        black_box(reader.finish());
        let mb_per_s = bytes as f64 / 1e6 / elapsed.as_secs_f64();
        println!("{name:<16}{mb_per_s:>8.0} MB/s {:>10.1} M lines/s", mb_per_s / line.len() as f64);
    }
    let long = vec![b'x'; 64 << 20];
    let begin = Instant::now();
    let mut reader = Reader::new(&EvidenceKind::Auto);
    reader.feed(Stream::Stdout, black_box(&long));
    black_box(reader.finish());
    println!("{:<16}{:>8.0} MB/s", "one long line", long.len() as f64 / 1e6 / begin.elapsed().as_secs_f64());
}
