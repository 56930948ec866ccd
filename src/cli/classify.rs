//! `orch classify`: a recorded end, or a command run here.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::classify::{self, Reader, check_closing_line, junit, signal_number};
use crate::domain::evidence::{Declared, Evidence, Exit, Limit, ReportFacts, ReportFound, Stream};
use crate::domain::outcome::Outcome;
use crate::domain::pipeline::{Adapter, EvidenceKind, ExitMap, OnTimeout, ReportKind};
use crate::runner::{Clock as _, SystemClock};

use super::args::ClassifyArgs;
use super::emit::{Emits, Stdout, Told};
use super::output::{self, Problem};
use super::{ExitCode, emit, wrap};

/// Version of the answer.
const VERSION: u32 = 1;
/// Longest report that is read.
const REPORT_MAX_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn classify(options: &ClassifyArgs) -> Result<ExitCode, Problem> {
    let declared = declared(options)?;
    let reports = report_paths(&options.report)?;
    let emits = Emits::plan(&options.emit, Stdout::Taken)?;
    let read = reports.iter().chain(&options.stdout).chain(&options.stderr);
    emits.keep_off(read.map(PathBuf::as_path))?;
    if options.command.is_empty() {
        if options.timeout_s.is_some() {
            // clap does not ask for what another option excludes.
            return Err(usage("--timeout-s stops a command, and none is given")
                .help("give one: orch classify --timeout-s N -- CMD; a recorded end that was forced is --timed-out"));
        }
        let evidence = recorded(options, declared, &reports)?;
        let outcome = classify::classify(&evidence).ok_or_else(|| usage("a cancelled end has no class"))?;
        emits.clear()?;
        let told = Told::of_command(None, &evidence, Some(&outcome), None, document(&outcome));
        output::document(told.document());
        return Ok(emits.finish(&told, ExitCode::of_conclusion(outcome.conclusion)));
    }
    emits.clear()?;
    let begun_at = SystemClock.now();
    let wrapped = wrap::run(options, declared, &reports)?;
    let elapsed = Duration::try_from(SystemClock.now().duration_since(begun_at)).ok();
    if wrapped.open_line {
        output::talk("");
    }
    let program = options.command.first().map(|word| word.to_string_lossy());
    let Some(outcome) = classify::classify(&wrapped.evidence) else {
        let cancelled = json!({ "version": VERSION, "outcome": null, "verdict": null, "reason": "cancelled" });
        emits.finish(
            &Told::of_command(program.as_deref(), &wrapped.evidence, None, elapsed, cancelled),
            wrapped.stopped,
        );
        output::talk("orch: cancelled; a cancelled command has no class");
        return Ok(wrapped.stopped);
    };
    let told = Told::of_command(program.as_deref(), &wrapped.evidence, Some(&outcome), elapsed, document(&outcome));
    // The answer is the last line.
    let code = emits.finish(&told, ExitCode::of_conclusion(outcome.conclusion));
    if options.json {
        output::talk(&told.document().to_string());
    } else {
        output::talk(&emit::talk(&in_words(&outcome)));
    }
    Ok(code)
}

/// The answer of DESIGN D20.
pub(super) fn document(outcome: &Outcome) -> Value {
    let proof = &outcome.proof;
    json!({
        "version": VERSION,
        "outcome": outcome.conclusion.class(),
        "verdict": outcome.conclusion.ruling().map(crate::domain::outcome::Ruling::as_str),
        "reason": outcome.reason.as_str(),
        "rule": outcome.rule.as_str(),
        "proof": {
            "detail": proof.detail,
            "source": proof.source,
            "place": proof.place,
            "line": proof.line,
            "text": proof.text,
            "pattern": proof.pattern,
            "counts": proof.counts,
        },
    })
}

/// One line for people.
pub(super) fn in_words(outcome: &Outcome) -> String {
    let verdict = outcome.conclusion.ruling().map(|ruling| format!(", {}", ruling.as_str())).unwrap_or_default();
    format!(
        "orch: {}{verdict} ({}): {} [rule {}]",
        outcome.conclusion.class(),
        outcome.reason.as_str(),
        outcome.proof.detail,
        outcome.rule.as_str()
    )
}

fn usage(message: impl Into<String>) -> Problem {
    Problem::new(ExitCode::Usage, message)
}

fn declared(options: &ClassifyArgs) -> Result<Declared, Problem> {
    let evidence = match (options.closing_line.as_deref(), options.evidence.as_str()) {
        (Some(pattern), "auto" | "closing-line") => {
            check_closing_line(pattern).map_err(|error| usage(format!("--closing-line: {error}")))?;
            EvidenceKind::ClosingLine(pattern.to_owned())
        }
        (Some(_), other) => return Err(usage(format!("--closing-line does not go with --evidence {other}"))),
        (None, "auto") => EvidenceKind::Auto,
        (None, "closing-line") => return Err(usage("--evidence closing-line needs --closing-line REGEX")),
        (None, "exit-code") => EvidenceKind::ExitCode(ExitMap::default()),
        (None, word) => EvidenceKind::Adapter(Adapter::from_word(word).ok_or_else(|| unknown_evidence(word))?),
    };
    Ok(Declared { evidence, min_tests: options.min_tests, on_timeout: OnTimeout::Hold })
}

fn unknown_evidence(word: &str) -> Problem {
    let names: Vec<&str> = Adapter::ALL.iter().map(|adapter| adapter.as_str()).collect();
    usage(format!("no evidence is called `{word}`"))
        .help(format!("one of: auto, exit-code, closing-line, {}", names.join(", ")))
}

fn report_paths(given: &[String]) -> Result<Vec<PathBuf>, Problem> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some(("junit", path)) if !path.is_empty() => Ok(PathBuf::from(path)),
            Some(_) | None => Err(usage(format!("--report {text}: reports are given as junit=FILE"))
                .help("what orch writes is --emit json=FILE")),
        })
        .collect()
}

fn recorded(options: &ClassifyArgs, declared: Declared, reports: &[PathBuf]) -> Result<Evidence, Problem> {
    let exit = match (options.exit_code, options.signal.as_deref(), options.timed_out) {
        (Some(code), None, false) => Exit::Exited { code },
        (None, Some(name), false) => {
            let signal = signal_number(name).ok_or_else(|| usage(format!("no signal is called `{name}`")))?;
            Exit::Signalled { signal, core: false }
        }
        (None, None, true) => Exit::TimedOut { limit: Limit::Total, after: Duration::ZERO },
        _ => {
            return Err(usage("say how the command ended, with --exit-code N, --signal NAME or --timed-out")
                .help("or give a command to run: orch classify -- CMD"));
        }
    };
    let mut reader = Reader::new(&declared.evidence);
    for (stream, path) in [(Stream::Stdout, &options.stdout), (Stream::Stderr, &options.stderr)] {
        if let Some(path) = path {
            feed_file(&mut reader, stream, path)?;
        }
    }
    let reports = reports.iter().map(|path| read_report(path)).collect();
    Ok(Evidence { output: reader.finish(), reports, ..Evidence::of(exit, declared) })
}

fn feed_file(reader: &mut Reader, stream: Stream, path: &Path) -> Result<(), Problem> {
    let failed = |error: std::io::Error| usage(format!("could not read {}: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok(());
        }
        reader.feed(stream, buffer.get(..n).unwrap_or_default());
    }
}

/// Reads a report that the command line names. What cannot be read is a broken report, not a missing option.
pub(super) fn read_report(path: &Path) -> ReportFacts {
    let found = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => ReportFound::Missing,
        Err(error) => ReportFound::Broken { why: error.to_string() },
        Ok(file) => {
            let mut bytes = Vec::new();
            match file.take(REPORT_MAX_BYTES + 1).read_to_end(&mut bytes) {
                Err(error) => ReportFound::Broken { why: error.to_string() },
                Ok(n) if n as u64 > REPORT_MAX_BYTES => {
                    ReportFound::Broken { why: format!("it is longer than {REPORT_MAX_BYTES} bytes") }
                }
                Ok(_) => junit::read(&bytes),
            }
        }
    };
    ReportFacts { kind: ReportKind::Junit, path: path.display().to_string(), found }
}
