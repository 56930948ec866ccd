//! The bugs that `tests/lab/bugs/hunt` plants: each patch still applies, so that the next hunt is one.

use std::fs;
use std::path::Path;

use crate::support::command;

#[test]
fn every_planted_bug_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches: Vec<_> = fs::read_dir(root.join("tests/lab/bugs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    patches.sort();
    assert!(patches.len() >= 10, "only {} bugs", patches.len());
    for patch in patches {
        let text = fs::read_to_string(&patch).unwrap();
        let lines: Vec<&str> = text.lines().take(2).collect();
        let heads = lines[0].starts_with("Bug: ") && lines[1].starts_with("Hunt: --test ");
        assert!(heads, "{}: it does not say what it is and who finds it", patch.display());
        let mut git = command("git");
        git.args(["apply", "--check"]).arg(&patch).current_dir(root).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = git.output().unwrap();
        assert!(output.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&output.stderr));
    }
}
