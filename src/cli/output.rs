//! Writing to the two streams: data to stdout, talk to stderr, and errors as what happened, where, what to do next.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use serde_json::{Value, json};

use crate::config::is_secret;
use crate::domain::mask::Masker;
use crate::runner::chain;
use crate::workspace::secrets;

use super::ExitCode;

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Problem {
    /// How orch ends.
    pub code: ExitCode,
    /// What happened and where, fit behind "error: ".
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// What else stands in the way.
    pub also: Vec<Self>,
    /// What was found one by one, for documents; people have been told.
    pub(super) problems: Value,
}

impl Problem {
    /// A problem without a next step.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, also: Vec::new(), problems: Value::Null }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what was found one by one.
    #[must_use]
    pub(super) fn problems(mut self, problems: Value) -> Self {
        self.problems = problems;
        self
    }

    /// Adds another that was found with it; how orch ends is said by the first.
    #[must_use]
    pub fn and(mut self, other: Option<Self>) -> Self {
        self.also.extend(other);
        self
    }

    /// A failure that `could not {error}` describes, with its causes.
    pub fn could_not(code: ExitCode, error: &dyn std::error::Error) -> Self {
        Self::new(code, format!("could not {}", chain(error)))
    }

    /// The same for machines; nothing where a document stands on stdout already, such as that of a lock's holder.
    pub(super) fn document(&self) {
        if !DOCUMENTED.load(Ordering::Relaxed) {
            let mut told = self.fields();
            told["version"] = json!(1);
            told["exit_code"] = json!(self.code.code());
            document(&told);
        }
    }

    fn fields(&self) -> Value {
        json!({
            "error": self.code.word(),
            "message": self.message,
            "help": self.help,
            "problems": self.problems,
            "also": self.also.iter().map(Self::fields).collect::<Vec<_>>(),
        })
    }

    /// Tells it on stderr.
    pub fn report(&self) -> ExitCode {
        talk(&format!("error: {}", self.message));
        if let Some(help) = &self.help {
            talk(&format!("help: {help}"));
        }
        for other in &self.also {
            other.report();
        }
        self.code
    }
}

/// Switches diagnostics on where `ORCH_LOG` asks for them; they go to stderr.
pub(super) fn diagnostics() -> Result<(), Problem> {
    let Some(wish) = std::env::var_os("ORCH_LOG").filter(|wish| !wish.is_empty()) else { return Ok(()) };
    let refuse = |why: String| {
        Problem::new(ExitCode::Invalid, format!("ORCH_LOG is malformed: {why}"))
            .help("give a level or targets with levels, such as `debug` or `orch::runner=debug`")
    };
    let wish = wish.into_string().map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    let filter = tracing_subscriber::EnvFilter::builder().parse(&wish).map_err(|error| refuse(error.to_string()))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Diagnostics).init();
    Ok(())
}

/// Writes data to stdout, with a line end. A reader that has gone is no error of orch.
pub(super) fn data(text: &str) {
    let text = masked(text);
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { stdout.write_all(b"\n") });
    note(written.and_then(|()| stdout.flush()));
}

/// The first write to stdout that failed, other than for a reader that has gone.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

fn note(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        // Only the first is told.
        UNWRITTEN.set(error.to_string()).ok();
    }
}

/// How orch ends: not well where its answer is not on stdout.
pub(super) fn ended(code: ExitCode) -> ExitCode {
    let Some(why) = UNWRITTEN.get() else { return code };
    let problem = Problem::new(ExitCode::Internal, format!("the answer could not be written to stdout: {why}"))
        .help("what was done is recorded: `orch status` and `orch run list` show it");
    problem.report();
    if code == ExitCode::Success { ExitCode::Internal } else { code }
}

/// What hides secrets in everything that is written here.
static MASKER: RwLock<Option<Masker>> = RwLock::new(None);

/// Learns the secrets of this process's environment, by the names of its variables.
fn learn(masker: &mut Masker) {
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && is_secret(name)
        {
            masker.learn(value);
        }
    }
}

/// Hides secrets in what is written from now on: those of the environment, and those that a state folder remembers.
pub(super) fn hide_secrets(state: Option<&Path>) -> Result<(), Problem> {
    let made = state.map_or_else(secrets::fresh, secrets::recall);
    let mut masker = made.map_err(|error| {
        Problem::new(ExitCode::Internal, format!("could not read which secrets are to be hidden: {error}"))
            .help("look at secrets.json in the state folder; without it only the environment's secrets are known")
    })?;
    learn(&mut masker);
    *MASKER.write().unwrap_or_else(PoisonError::into_inner) = Some(masker);
    Ok(())
}

/// A text with its secrets hidden.
pub(super) fn masked(text: &str) -> String {
    let masker = MASKER.read().unwrap_or_else(PoisonError::into_inner);
    masker.as_ref().map_or_else(|| text.to_owned(), |masker| masker.mask_text(text))
}

/// Runs something with what hides secrets in a stream.
pub(super) fn with_masker<T>(act: impl FnOnce(Option<&Masker>) -> T) -> T {
    act(MASKER.read().unwrap_or_else(PoisonError::into_inner).as_ref())
}

/// Diagnostics on stderr, secrets hidden.
struct Diagnostics;

impl std::io::Write for Diagnostics {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let shown = with_masker(|masker| masker.map_or_else(|| bytes.to_vec(), |masker| masker.mask(bytes)));
        std::io::stderr().lock().write_all(&shown).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

/// Whether a document was written to stdout.
static DOCUMENTED: AtomicBool = AtomicBool::new(false);

/// Writes a document to stdout: one line of JSON.
pub(super) fn document(value: &Value) {
    DOCUMENTED.store(true, Ordering::Relaxed);
    data(&value.to_string());
}

/// Writes bytes to stdout as they are; the caller has hidden what must not be seen.
pub(super) fn raw(bytes: &[u8]) {
    note(std::io::stdout().lock().write_all(bytes));
}

/// Writes a line of talk to stderr, whole: where several processes share one stderr, their lines do not mix.
pub(super) fn talk(text: &str) {
    let mut line = masked(text);
    line.push('\n');
    std::io::stderr().lock().write_all(line.as_bytes()).ok();
}

/// Whether talk may be coloured: a terminal, and nobody said no (<https://no-color.org>).
pub(super) fn colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !set("NO_COLOR") && !dumb
}

/// Whether the locale shows more than ASCII, as `setlocale` would find it.
pub(super) fn utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    set.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Answers a command line that cannot be understood, or one that asks for help.
pub(super) fn usage(error: &clap::Error, as_json: bool) -> ExitCode {
    error.print().ok();
    if !error.use_stderr() {
        return ExitCode::Success;
    }
    if as_json {
        let told = error.render().to_string();
        let message = told.trim_start_matches("error: ").lines().next().unwrap_or_default();
        Problem::new(ExitCode::Usage, message).help("`--help` lists the options").document();
    }
    ExitCode::Usage
}
