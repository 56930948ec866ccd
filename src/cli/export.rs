//! `orch export`: everything that is recorded of one run as one document, secrets hidden, for a report that others read.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::domain::evidence::{LogSpan, Stream};
use crate::domain::id::{Digest, RunId};
use crate::domain::mask::MaskStream;
use crate::producer::log_name;
use crate::store::{AttemptRecord, Store, Version};
use crate::workspace::logs::{LogPart, Piece};

use super::args::ExportArgs;
use super::output::{self, Problem};
use super::status::{existing, find_run};
use super::store::{Place, of_store};
use super::{ExitCode, store, view};

/// Most of one stream of one attempt, from its end.
const LOG_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of all logs together; the newest attempts come first.
const LOGS_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn export(options: &ExportArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    let id = find_run(store.as_ref(), options.run.as_deref())?;
    output::document(&document(store.as_ref(), &place, id)?);
    Ok(ExitCode::Success)
}

/// The whole document. Secrets are hidden where it is written.
fn document(store: &dyn Store, place: &Place, id: RunId) -> Result<Value, Problem> {
    let failed = |error| of_store(&error);
    let gone = || Problem::new(ExitCode::Internal, format!("run {id} is not in the store"));
    let run = store.run(id).map_err(failed)?.ok_or_else(gone)?;
    let attempts = store.attempts(id).map_err(failed)?;
    let state = store.task(&run.task).map_err(failed)?.map(|stored| stored.task.state);
    let events = store.events(&run.task, Version::NONE).map_err(failed)?;
    // An event is kept as the text that its hash was taken of.
    let events = events.into_iter().map(|record| {
        let event: Value = serde_json::from_str(&record.text).unwrap_or(Value::String(record.text));
        json!({ "seq": record.seq.get(), "hash": record.hash.to_string(), "event": event })
    });
    let events: Vec<Value> = events.collect();
    let pipeline = store.pipeline(&run.start.pipeline_digest).map_err(failed)?;
    let mut artifacts = Map::new();
    for artifact in attempts.iter().filter_map(|attempt| attempt.decided.as_ref()?.artifact.as_ref()) {
        artifacts.insert(artifact.digest.to_string(), bytes(store, &artifact.digest)?);
    }
    let mut left = LOGS_BYTES_MAX;
    let mut logs: Vec<Value> = attempts.iter().rev().map(|attempt| logs_of(place, attempt, &mut left)).collect();
    logs.reverse();
    Ok(json!({
        "version": 1,
        "orch": env!("CARGO_PKG_VERSION"),
        "run": view::run(&run, state.as_ref(), &attempts, &place.state),
        "evidence": attempts.iter().map(|attempt| json!({
            "attempt": attempt.intent.attempt.to_string(),
            "evidence": attempt.decided.as_ref().map(|decided| &decided.evidence),
        })).collect::<Vec<_>>(),
        "events": events,
        "pipeline": pipeline.map(|text| String::from_utf8_lossy(&text).into_owned()),
        "artifacts": artifacts,
        "logs": logs,
    }))
}

fn bytes(store: &dyn Store, digest: &Digest) -> Result<Value, Problem> {
    let found = store.artifact(digest).map_err(|error| of_store(&error))?;
    Ok(json!(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())))
}

fn logs_of(place: &Place, attempt: &AttemptRecord, left: &mut usize) -> Value {
    let run_dir = place.state.run_dir(attempt.intent.run);
    let mut told = json!({ "attempt": attempt.intent.attempt.to_string() });
    let Some(finished) = &attempt.finished else { return told };
    for (stream, span) in [(Stream::Stdout, &finished.record.stdout), (Stream::Stderr, &finished.record.stderr)] {
        let most = LOG_BYTES_MAX.min(*left);
        told[stream.as_str()] = match tail(&run_dir.join(log_name(stream)), span, most) {
            Ok(bytes) => {
                *left = left.saturating_sub(bytes.len());
                json!({ "bytes": span.bytes, "end": String::from_utf8_lossy(&bytes) })
            }
            Err(error) => json!({ "bytes": span.bytes, "error": error.to_string() }),
        };
    }
    told
}

/// The end of a stream. Secrets are hidden before it is cut, so that no part of one is left at the cut.
fn tail(path: &Path, span: &LogSpan, most: usize) -> std::io::Result<Vec<u8>> {
    if span.bytes == 0 {
        return Ok(Vec::new());
    }
    let part = LogPart::open(path, span)?;
    output::with_masker(|masker| {
        let Some(masker) = masker else { return Err(std::io::Error::other("nothing hides its secrets")) };
        let mut stream = MaskStream::new(masker);
        let mut kept = Vec::new();
        let mut keep = |bytes: &[u8]| {
            kept.extend_from_slice(bytes);
            kept.drain(..kept.len().saturating_sub(most));
        };
        for piece in part.pieces() {
            match piece? {
                Piece::Bytes(bytes) => keep(&stream.push(&bytes)),
                Piece::Gap { bytes, .. } => {
                    keep(&stream.finish());
                    keep(format!("\n[{bytes} bytes were not kept]\n").as_bytes());
                }
            }
        }
        keep(&stream.finish());
        Ok(kept)
    })
}
