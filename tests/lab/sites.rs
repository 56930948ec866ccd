//! Call sites: a system call and what it is about, read from a trace of `strace -y`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// Folders of the system that are told by name.
const SYSTEM: [&str; 5] = ["/dev", "/etc", "/proc", "/sys", "/usr"];

/// One call of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The how-manieth of its name, from 1.
    pub(crate) nth: usize,
    /// Its name and what it is about, the same from run to run.
    pub(crate) site: String,
}

/// Calls of a trace, in order. Of `fcntl` only those that lock.
pub(crate) fn read(trace: &str, scratch: &Path) -> Vec<Call> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((name, words)) = line.split_once('(') else { continue };
        let nth = seen.entry(name).or_default();
        *nth += 1;
        if name != "fcntl" || words.contains("F_SETLK") {
            let site = format!("{name} {}", object(words, scratch)).trim_end().to_owned();
            calls.push(Call { name: name.to_owned(), nth: *nth, site });
        }
    }
    calls
}

static QUOTED: LazyLock<Regex> = LazyLock::new(|| Regex::new("^(?:AT_FDCWD(?:<[^>]*>)?, )?\"([^\"]*)\"").unwrap());
static BELOW: LazyLock<Regex> = LazyLock::new(|| Regex::new("^[0-9]+<([^>]*)>, \"([^\"]*)\", O_").unwrap());
static DESCRIPTOR: LazyLock<Regex> = LazyLock::new(|| Regex::new("^[0-9]+<([^>]*)>").unwrap());
static ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{12,}|[0-9]+").unwrap()
});
static TEMPORARY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\.tmp[A-Za-z0-9]{6}").unwrap());

/// What a call is about: the file below the scratch folder, or that it is a folder above it; the first folder of any
/// other; or nothing.
fn object(words: &str, scratch: &Path) -> String {
    let path = if let Some(found) = QUOTED.captures(words) {
        found[1].to_owned()
    } else if let Some(found) = BELOW.captures(words) {
        format!("{}/{}", &found[1], &found[2])
    } else if let Some(found) = DESCRIPTOR.captures(words) {
        found[1].to_owned()
    } else {
        return String::new();
    };
    let scratch = scratch.to_str().unwrap().trim_end_matches('/');
    let path = path.trim_end_matches(" (deleted)");
    let short = match path.strip_prefix(scratch) {
        Some(below) => below.trim_start_matches('/'),
        None if path.starts_with('/') => {
            let first = path.split('/').nth(1).map_or("/", |first| path.get(..=first.len()).unwrap());
            match first {
                _ if Path::new(scratch).starts_with(path) => "above",
                "/lib" | "/lib64" => "/usr",
                first if SYSTEM.contains(&first) => first,
                _ => "elsewhere",
            }
        }
        // A pipe, a socket, or a name below a folder that the call was given.
        None => path,
    };
    let short = TEMPORARY.replace_all(short, ".tmp");
    ID.replace_all(&short, "N").into_owned()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/sites.txt")
}

fn kept() -> BTreeSet<String> {
    std::fs::read_to_string(file()).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether a site is about a file of orch's or of the shop's. What lies outside the scratch folder, or has no name, depends on
/// where the tests run, and is walked without being listed.
fn is_ours(site: &str) -> bool {
    site.split_once(' ').is_some_and(|(_, object)| !matches!(object, "above" | "elsewhere"))
}

/// Checks that every site was walked once.
pub(crate) fn check<'a>(sites: impl Iterator<Item = &'a str>, walk: &str) {
    if std::env::var_os("ORCH_LAB_SITES_UPDATE").is_some() {
        return;
    }
    let kept = kept();
    let new: BTreeSet<&str> = sites.filter(|site| is_ours(site) && !kept.contains(*site)).collect();
    assert!(
        new.is_empty(),
        "call sites that were never walked: {new:#?}\nwalk them: ORCH_LAB_SITES_UPDATE=1 ORCH_LAB_SITE=PART {walk} -- --nocapture",
    );
}

/// Adds sites that were walked, where `ORCH_LAB_SITES_UPDATE` asks for it.
pub(crate) fn keep<'a>(sites: impl Iterator<Item = &'a str>) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    if std::env::var_os("ORCH_LAB_SITES_UPDATE").is_none() {
        return;
    }
    let guard = ONE_AT_A_TIME.lock();
    let mut kept = kept();
    kept.extend(sites.map(str::to_owned));
    let text: String = kept.into_iter().map(|site| site + "\n").collect();
    std::fs::write(file(), text).unwrap();
    drop(guard);
}
