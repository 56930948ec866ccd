//! `--emit FORMAT[=FILE]`: a finished run in the forms that CI systems read.
//!
//! All formats are made from one model, [`Told`]. A file is checked before anything is started, an old one is taken
//! away, and the new one appears whole or not at all.

mod github;
mod gitlab;
mod junit;
mod markdown;
mod text;
mod told;

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::runner::{Clock as _, SystemClock};

use super::ExitCode;
use super::output::{self, Problem};

pub(super) use text::talk;
pub(super) use told::Told;

/// What may stand behind `--emit`.
const FORMATS: &str = "junit=FILE, gitlab[=FILE], markdown[=FILE], json=FILE, github, none";

/// One wish for a report.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Junit(PathBuf),
    /// A section in the job's log, and a JUnit file where one is named.
    Gitlab(Option<PathBuf>),
    /// Annotations, and the step's summary where the runner names one.
    Github {
        summary: Option<PathBuf>,
    },
    Markdown(PathBuf),
    MarkdownOut,
    Json(PathBuf),
}

impl Wish {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Junit(path) | Self::Gitlab(Some(path)) | Self::Markdown(path) | Self::Json(path) => Some(path),
            Self::Gitlab(None) | Self::Github { .. } | Self::MarkdownOut => None,
        }
    }
}

/// Most bytes of an older report that are looked at.
const OLDER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Whether what stands at a report's place is nothing, empty, or an older report of that kind.
fn may_go(wish: &Wish, path: &Path) -> bool {
    use std::io::Read as _;
    let mut text = String::new();
    match std::fs::File::open(path).and_then(|file| file.take(OLDER_BYTES_MAX).read_to_string(&mut text)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
        Err(_) => return false,
        Ok(_) => {}
    }
    let text = text.trim();
    text.is_empty()
        || match wish {
            Wish::Junit(_) | Wish::Gitlab(_) => {
                (text.starts_with("<?xml") || text.starts_with("<testsuite")) && text.contains("<testsuite")
            }
            Wish::Markdown(_) => text.starts_with(markdown::HEAD),
            Wish::Json(_) => serde_json::from_str::<serde_json::Value>(text)
                .is_ok_and(|document| document["version"] == 1 && document.is_object()),
            Wish::Github { .. } | Wish::MarkdownOut => false,
        }
}

/// Who has stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdout {
    /// The answer for people, which a report may stand in for.
    Answer,
    /// A document, or the output of a command.
    Taken,
}

/// The reports that are wished for.
#[derive(Debug)]
pub(super) struct Emits(Vec<Wish>);

impl Emits {
    /// Reads and checks what `--emit` asks for; without one, what the CI system around is known to read.
    pub(super) fn plan(given: &[String], stdout: Stdout) -> Result<Self, Problem> {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| value == OsStr::new("true"));
        let mut wishes = Vec::new();
        if given.is_empty() {
            wishes.extend(set("GITHUB_ACTIONS").then(github_wish));
            wishes.extend(set("GITLAB_CI").then_some(Wish::Gitlab(None)));
        }
        for text in given.iter().filter(|text| *text != "none" || given.len() > 1) {
            wishes.push(wish(text, stdout)?);
        }
        let emits = Self(wishes);
        let files: Vec<&Path> = emits.files().collect();
        for (n, path) in files.iter().enumerate() {
            if files.iter().take(n).any(|other| same(other, path)) {
                return Err(usage(format!("--emit: {} is named twice", path.display()))
                    .help("give each report a file of its own"));
            }
            check(path)?;
        }
        Ok(emits)
    }

    /// Takes the reports of an earlier run away: none of them may answer for this one.
    /// What is no report is no file that orch may remove: a mistyped name must not cost a suite or a store.
    pub(super) fn clear(&self) -> Result<(), Problem> {
        for (wish, path) in self.0.iter().filter_map(|wish| Some((wish, wish.file()?))) {
            if !may_go(wish, path) {
                return Err(usage(format!("--emit: {} is there, and is no such report", path.display()))
                    .help("name another file; a report may only take the place of an older one"));
            }
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(usage(format!("--emit: could not remove the old {}: {error}", path.display()))
                        .help("name a file that orch may write"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Refuses a report in the place of a file that is read.
    pub(super) fn keep_off<'p>(&self, read: impl IntoIterator<Item = &'p Path>) -> Result<(), Problem> {
        match read.into_iter().find(|path| self.files().any(|file| same(file, path))) {
            Some(path) => Err(usage(format!("--emit: {} is read, and would be written over", path.display()))
                .help("give the report a file of its own")),
            None => Ok(()),
        }
    }

    /// Whether nothing is wished for.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the answer for people is replaced by a report.
    pub(super) fn takes_stdout(&self) -> bool {
        self.0.contains(&Wish::MarkdownOut)
    }

    /// Writes every report. All are tried; the first that cannot be written is told.
    pub(super) fn write(&self, told: &Told) -> Result<(), Problem> {
        let mut first = Ok(());
        for wish in &self.0 {
            let done = match wish {
                Wish::Junit(path) => replace(path, &junit::render(told)),
                Wish::Gitlab(file) => {
                    output::talk(gitlab::section(told, SystemClock.now()).trim_end_matches('\n'));
                    file.as_ref().map_or(Ok(()), |path| replace(path, &junit::render(told)))
                }
                Wish::Github { summary } => {
                    for command in github::commands(told) {
                        output::talk(&command);
                    }
                    summary.as_ref().map_or(Ok(()), |path| append(path, &markdown::render(told)))
                }
                Wish::Markdown(path) => replace(path, &markdown::render(told)),
                Wish::MarkdownOut => {
                    output::data(&markdown::render(told));
                    Ok(())
                }
                Wish::Json(path) => replace(path, &format!("{}\n", told.document)),
            };
            first = first.and(done);
        }
        first
    }

    /// Writes every report and gives the exit code of the command: a success whose report is missing is none.
    pub(super) fn finish(&self, told: &Told, code: ExitCode) -> ExitCode {
        match (self.write(told), code) {
            (Ok(()), code) => code,
            (Err(problem), ExitCode::Success) => problem.report(),
            (Err(problem), code) => {
                problem.report();
                code
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(Wish::file)
    }
}

/// Whether two paths name one file, as far as the folders that are there tell.
fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

fn usage(message: String) -> Problem {
    Problem::new(ExitCode::Usage, message)
}

fn github_wish() -> Wish {
    Wish::Github { summary: std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from) }
}

fn wish(text: &str, stdout: Stdout) -> Result<Wish, Problem> {
    let refuse = |why: &str| usage(format!("--emit {text}: {why}")).help(format!("one of: {FORMATS}"));
    let (format, file) = match text.split_once('=') {
        Some((_, "")) => return Err(refuse("a file's name is missing")),
        Some((format, file)) => (format, Some(PathBuf::from(file))),
        None => (text, None),
    };
    match (format, file) {
        ("junit", Some(file)) => Ok(Wish::Junit(file)),
        ("json", Some(file)) => Ok(Wish::Json(file)),
        ("markdown", Some(file)) => Ok(Wish::Markdown(file)),
        ("markdown", None) => match stdout {
            Stdout::Answer => Ok(Wish::MarkdownOut),
            Stdout::Taken => Err(refuse("stdout is taken; name a file, as markdown=FILE")),
        },
        ("gitlab", file) => Ok(Wish::Gitlab(file)),
        ("github", None) => Ok(github_wish()),
        ("junit" | "json", None) => Err(refuse("this format is written to a file")),
        ("github", Some(_)) => Err(refuse("this format goes to the step's log and summary, not to a file")),
        ("none", _) => Err(refuse("`none` stands alone")),
        (_, _) => Err(refuse("there is no such format")),
    }
}

/// Whether a file can be written there, found out before anything is started.
fn check(path: &Path) -> Result<(), Problem> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(usage(format!("--emit: {} is no plain file", path.display()))
                .help("name a plain file, or one that is not there yet"));
        }
        Ok(_) | Err(_) => {}
    }
    fresh(path).map(drop).map_err(|error| {
        usage(format!("--emit: {} cannot be written: {error}", path.display()))
            .help("name a file in a folder that is there and can be written to")
    })
}

/// An unnamed beginning of a file, in its folder.
fn fresh(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Reports are read by others; the umask has its say.
    tempfile::Builder::new().prefix(".orch-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

fn replace(path: &Path, text: &str) -> Result<(), Problem> {
    let written = fresh(path).and_then(|mut file| {
        file.write_all(output::masked(text).as_bytes())?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    written.map_err(|error| not_written(path, &error))
}

fn append(path: &Path, text: &str) -> Result<(), Problem> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened
        .and_then(|mut file| file.write_all(format!("{}\n", output::masked(text)).as_bytes()))
        .map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(ExitCode::Internal, format!("could not write {}: {error}", path.display()))
        .help("look at the folder and the space on its disk; the store has the run: `orch run show`")
}
