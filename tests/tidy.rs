//! Keeps the architecture visible: floors, doors and sizes, as `src/lib.rs` states them.
#![expect(clippy::unwrap_used, reason = "a test's helpers stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Floor of each module: it may use lower floors only.
const FLOORS: [(&str, u8); 13] = [
    ("domain", 0),
    ("spec", 1),
    ("classify", 1),
    ("gate", 1),
    ("config", 1),
    ("engine", 2),
    ("exec", 3),
    ("store", 3),
    ("workspace", 4),
    ("producer", 5),
    ("runner", 6),
    ("doctor", 6),
    ("cli", 7),
];

/// Modules up to this floor touch nothing of the world.
const PURE_FLOOR_MAX: u8 = 2;

/// What the pure floors may not name.
const WORLDLY: [&str; 11] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "TcpStream",
    "UnixStream",
    "tokio",
    "::now()",
    "rustix",
    "Uuid::new_",
    "now_v7",
];

/// Each outside door and the only modules that may open it.
const DOORS: [(&str, &[&str]); 10] = [
    ("rusqlite", &["store"]),
    ("serde_yaml", &["spec", "gate"]),
    ("Command::new", &["exec"]),
    ("duct::", &["exec"]),
    ("pidfd_send_signal", &["exec"]),
    ("clap::", &["cli"]),
    ("ureq::", &["producer"]),
    ("rustls::", &["producer"]),
    ("tokio::", &["exec"]),
    ("openssh::", &["exec"]),
];

/// Longest source file, in lines; past about 600 a second subject lives in it.
const LINES_MAX: usize = 700;

struct Source {
    path: PathBuf,
    module: String,
    /// Code without comments and without the unit tests at its end.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(&root).unwrap();
            let module =
                relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            found.push(Source { path: relative.to_owned(), module, code, lines: text.lines().count() });
        }
    }
    assert!(found.len() > 50, "only {} sources were found", found.len());
    found
}

#[test]
fn every_arrow_points_down() {
    let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(floor) = floors.get(source.module.as_str()) else {
            assert!(
                ["lib", "main", "failpoint"].contains(&source.module.as_str()),
                "{} has no floor",
                source.path.display()
            );
            continue;
        };
        for (other, other_floor) in FLOORS {
            let named =
                source.code.contains(&format!("crate::{other}::")) || source.code.contains(&format!("crate::{other};"));
            if named && other != source.module && other_floor >= *floor {
                wrong.push(format!("{} (floor {floor}) uses {other} (floor {other_floor})", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_does_not_touch_the_world() {
    let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        if floors.get(source.module.as_str()).is_none_or(|floor| *floor > PURE_FLOOR_MAX) {
            continue;
        }
        for word in WORLDLY.iter().filter(|word| source.code.contains(**word)) {
            wrong.push(format!("{} names {word}", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_door_has_one_keeper() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (door, keepers) in DOORS {
            if source.code.contains(door) && !keepers.contains(&source.module.as_str()) {
                wrong.push(format!("{} opens {door}, which is for {keepers:?}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_has_grown_a_second_subject() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines > LINES_MAX)
        .map(|source| format!("{}: {} lines", source.path.display(), source.lines))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_ignored_or_left_for_later() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let words = ["#[ignore", "todo!(", "unimplemented!(", "thread::sleep("].map(str::to_owned);
    let mut waiting = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests/tidy.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                wrong.extend(
                    words.iter().filter(|word| text.contains(*word)).map(|word| format!("{}: {word}", path.display())),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
