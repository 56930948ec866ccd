//! `orch logs`: an attempt's output, safe for a terminal unless `--raw`.

use std::path::Path;

use serde_json::json;

use crate::domain::control::Control;
use crate::domain::decision::Settlement;
use crate::domain::evidence::{LogSpan, Stream};
use crate::domain::id::AttemptId;
use crate::domain::mask::MaskStream;
use crate::domain::shadow::{Shadow, ShadowEnd};
use crate::producer::log_name;
use crate::store::AttemptRecord;
use crate::workspace::controls::Found;
use crate::workspace::logs::{LogPart, Piece, escape};

use super::args::LogsArgs;
use super::output::{self, Problem};
use super::status::{existing, find_run};
use super::store::{Place, of_store};
use super::{ExitCode, explain, store, view};

pub(super) fn logs(options: &LogsArgs) -> Result<ExitCode, Problem> {
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    let attempts = match options.what.as_deref() {
        Some(what) => match store.find_run(what) {
            Ok(run) => store.attempts(run).map_err(|error| of_store(&error))?,
            Err(_) => vec![explain::find_attempt(store.as_ref(), Some(what))?],
        },
        None if options.failed => {
            let run = find_run(store.as_ref(), None)?;
            store.attempts(run).map_err(|error| of_store(&error))?
        }
        None => vec![explain::find_attempt(store.as_ref(), None)?],
    };
    let wanted: Vec<&AttemptRecord> = attempts.iter().filter(|attempt| !options.failed || !passed(attempt)).collect();
    if wanted.is_empty() {
        output::talk("orch: every attempt of this run passed; leave --failed out to see their output");
    }
    for attempt in &wanted {
        let Some(finished) = &attempt.finished else {
            output::talk(&format!("orch: attempt {} has not ended yet", attempt.intent.attempt));
            continue;
        };
        if wanted.len() > 1 && !options.state.json {
            output::talk(&format!("orch: {} (attempt {})", attempt.intent.stage, attempt.intent.attempt));
        }
        if options.control {
            show_controls(options, attempt, &place)?;
            continue;
        }
        if options.shadow {
            show_shadow(options, attempt, &place)?;
            continue;
        }
        let run_dir = place.state.run_dir(attempt.intent.run);
        for (stream, span) in [(Stream::Stdout, &finished.record.stdout), (Stream::Stderr, &finished.record.stderr)] {
            if options.stream.as_deref().is_none_or(|only| only == stream.as_str()) {
                show(options, attempt.intent.attempt, &run_dir, stream, span)?;
            }
        }
    }
    Ok(ExitCode::Success)
}

/// The output of the processes of an attempt's control run.
fn show_controls(options: &LogsArgs, attempt: &AttemptRecord, place: &Place) -> Result<(), Problem> {
    let control = attempt.decided.as_ref().and_then(|decided| decided.evidence.control.as_ref());
    let runs = control.map(Control::runs).unwrap_or_default();
    if runs.is_empty() {
        output::talk(&format!("orch: attempt {} has no control run", attempt.intent.attempt));
    }
    for (which, run) in runs {
        if !options.state.json {
            output::talk(&format!("orch: {which}, commit {}", run.commit));
        }
        for (stream, span) in [(Stream::Stdout, &run.stdout), (Stream::Stderr, &run.stderr)] {
            if options.stream.as_deref().is_none_or(|only| only == stream.as_str()) {
                show(options, run.id, &place.state.run_dir(run.run), stream, span)?;
            }
        }
    }
    Ok(())
}

/// The output of an attempt's shadow.
fn show_shadow(options: &LogsArgs, attempt: &AttemptRecord, place: &Place) -> Result<(), Problem> {
    let shadow = view::shadow(attempt, &place.state);
    let Found::Read(Shadow { run, process: Some(process), end: ShadowEnd::Ended(answer), .. }) = shadow else {
        let why = view::shadow_in_words(attempt, &place.state).unwrap_or_else(|| "it has no shadow".to_owned());
        output::talk(&format!("orch: attempt {}: no output of a shadow: {why}", attempt.intent.attempt));
        return Ok(());
    };
    for (stream, span) in [(Stream::Stdout, &answer.stdout), (Stream::Stderr, &answer.stderr)] {
        if options.stream.as_deref().is_none_or(|only| only == stream.as_str()) {
            show(options, process, &place.state.run_dir(run), stream, span)?;
        }
    }
    Ok(())
}

fn passed(attempt: &AttemptRecord) -> bool {
    attempt.decided.as_ref().is_some_and(|decided| decided.settlement == Settlement::Passed)
}

fn show(options: &LogsArgs, attempt: AttemptId, run_dir: &Path, stream: Stream, span: &LogSpan) -> Result<(), Problem> {
    if span.bytes == 0 {
        return Ok(());
    }
    let path = run_dir.join(log_name(stream));
    let failed = |error: std::io::Error| {
        Problem::new(ExitCode::Internal, format!("could not read {}: {error}", path.display()))
            .help("the run's folder may have been pruned; the store still has the outcome: `orch explain`")
    };
    let part = LogPart::open(&path, span).map_err(failed)?;
    let tell = |bytes: &[u8]| match bytes {
        [] => {}
        bytes if options.state.json => output::document(&json!({
            "version": 1,
            "attempt": attempt.to_string(),
            "stream": stream.as_str(),
            "text": String::from_utf8_lossy(bytes),
        })),
        bytes if options.raw => output::raw(bytes),
        bytes => output::raw(escape(bytes).as_bytes()),
    };
    output::with_masker(|masker| {
        let Some(masker) = masker else { return Ok(()) };
        let mut stream_of = MaskStream::new(masker);
        for piece in part.pieces() {
            match piece.map_err(failed)? {
                Piece::Bytes(bytes) => tell(&stream_of.push(&bytes)),
                Piece::Gap { bytes, .. } => {
                    tell(&stream_of.finish());
                    output::talk(&format!("orch: {bytes} bytes of {} were not kept", stream.as_str()));
                }
            }
        }
        tell(&stream_of.finish());
        Ok(())
    })
}
