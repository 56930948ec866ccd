//! Agents and suites that break the git of their worktree: the task is held for a person with what is broken and the way
//! out of it, nothing of it is orch's own fault, and `task cancel`, `task add` and `task remove` lead on.

use std::fs;
use std::path::PathBuf;

use crate::office::{Office, WORKS, pipeline};
use crate::support::{Fifo, Shop};

fn tree_of(shop: &Shop) -> PathBuf {
    shop.scratch("shop.worktrees/login")
}

/// An office whose agent writes its artifact, leaves a change that is not committed, and breaks something.
fn office(breaks: &str) -> Office {
    let script = format!(
        "begins\necho '// more' >> src/lib.rs\nartifact docs/work-items/$ORCH_TASK/11-development.md READY\n{breaks}\nends\n"
    );
    let office = Office::of("claude-code", ", writes: [\"src/**\"]")
        .at("development.1.1", &script)
        .does("begins\nartifact docs/work-items/$ORCH_TASK/11-development.md READY\nends\n");
    office.orch("task add login").run().exits(0);
    office
}

/// What the agent does, what the hold names, and whether the folder can be mended where it stands.
const BREAKS: [(&str, &str, bool); 9] = [
    ("echo junk > $(git rev-parse --git-dir)/index", "index cannot be read", true),
    ("I=$(git rev-parse --git-dir)/index; rm $I; mkfifo $I", "index cannot be read", true),
    ("rm -f .git", "worktree repair", true),
    ("echo 'gitdir: /nowhere' > .git", "worktree repair", true),
    ("echo junk > $(git rev-parse --git-dir)/HEAD", "/HEAD is broken", false),
    ("echo 'ref: refs/heads/nowhere' > $(git rev-parse --git-dir)/HEAD", "a branch without a commit", false),
    ("echo /nowhere > $(git rev-parse --git-dir)/commondir", "/commondir is not what it was", false),
    ("rm -rf $(git rev-parse --git-dir)/*", "", false),
    ("rm -f .git; git init -q . 2>/dev/null", "was replaced by a folder", false),
];

#[test]
fn what_an_agent_breaks_holds_its_task_and_task_add_leads_out() {
    for (breaks, named, in_place) in BREAKS {
        let office = office(breaks);
        let (shop, tree) = (&office.shop, tree_of(&office.shop));
        let ended = office.orch("pipeline run --task login").run();
        assert!(ended.stdout().contains(named), "{breaks}\n{ended}");
        ended.held(10, "repository-damaged").says("orch task add login");
        assert_eq!(office.calls(), 1, "{breaks}: nobody is started in a broken worktree");
        // Nothing more comes of it but a word of what to do.
        for _ in 0..2 {
            let again = office.orch("pipeline run --task login").run();
            assert!(matches!(again.code(), Some(3 | 10)), "{breaks}\n{again}");
        }
        let inside = office.orch("pipeline run").cwd(&tree).run();
        assert!(matches!(inside.code(), Some(3 | 10)) && !inside.stderr().contains("git init"), "{breaks}\n{inside}");
        office.orch("verify").run().exits(0);

        let added = office.orch("task add login").run().exits(0);
        assert_eq!(!added.stderr().contains("could not be mended"), in_place, "{breaks}\n{added}");
        let kept = if in_place { tree.clone() } else { shop.scratch("shop.worktrees/login.damaged-1") };
        assert!(fs::read_to_string(kept.join("src/lib.rs")).unwrap().contains("// more"), "{breaks}");
        office.orch("hold release login").run().exits(0);
        office.orch("pipeline run --task login").run().exits(0).says("task login: done");
        shop.git(&["fsck"]);
    }
}

#[test]
fn a_broken_task_is_cancelled_and_removed_and_nothing_is_deleted() {
    for (breaks, ..) in BREAKS {
        let office = office(breaks);
        office.orch("pipeline run --task login").run().held(10, "repository-damaged");
        office.orch("task cancel login").run().exits(0).says("cancelled");
        office.orch("task remove login").run().refused(2, "is broken").talks("orch task add login");
        office.orch("task remove login --force").run().exits(0).says("is removed");
        let kept = office.shop.scratch("shop.worktrees/login.damaged-1");
        assert!(fs::read_to_string(kept.join("src/lib.rs")).unwrap().contains("// more"), "{breaks}");
        assert!(!tree_of(&office.shop).exists(), "{breaks}");
        office.orch("task add login").run().exits(0);
    }
}

#[test]
fn a_runner_that_died_over_a_broken_worktree_is_followed_by_a_hold_or_a_cancel() {
    for (breaks, cancelled) in [(0, false), (0, true), (2, true)] {
        let (breaks, ..) = BREAKS[breaks];
        let office = office(&format!("{breaks}\necho $$ > said.tmp\nread word < go.tmp"));
        let [mut said, mut go] = ["said.tmp", "go.tmp"].map(|name| Fifo::make(&tree_of(&office.shop).join(name)));
        let going = office.orch("pipeline run --task login").start();
        said.next();
        going.kill();
        go.say("go");
        if cancelled {
            office.orch("task cancel login").run().exits(0).says("cancelled");
        } else {
            office.orch("pipeline run --task login").run().held(10, "repository-damaged");
        }
        office.orch("verify").run().exits(0);
        office.orch("task add login").run().exits(0);
    }
}

#[test]
fn a_repository_whose_objects_are_gone_is_not_done() {
    let office = office("rm -rf $(git rev-parse --git-common-dir)/objects/??");
    let ended = office.orch("pipeline run --task login").run().held(10, "repository-damaged");
    ended.says("objects are missing");
}

#[test]
fn a_main_checkout_without_its_git_is_held_and_not_made_anew() {
    let office =
        Office::of("claude-code", ", writes: [\"src/**\"]").does(&WORKS.replace("ends\n", "rm -rf .git\nends\n"));
    let aside = office.shop.scratch("copy.git");
    let copied =
        crate::support::command("cp").arg("-a").arg(office.shop.tree.join(".git")).arg(&aside).status().unwrap();
    assert!(copied.success());
    office.run().held(10, "repository-damaged").says(".git is gone");
    let lost = office.run().refused(3, "not inside a git worktree").talks("put its `.git` back");
    assert!(!lost.stderr().contains("git init"), "{lost}");
    fs::rename(&aside, office.shop.tree.join(".git")).unwrap();
    office.orch("status").run().exits(0).says("repository-damaged");
}

#[test]
fn a_suite_that_breaks_git_is_no_pass_and_no_fault_of_orch() {
    let text = pipeline("claude-code", ", writes: [\"src/**\"]", "", true);
    for (breaks, named) in
        [("rm -f .git", "worktree repair"), ("echo junk > $(git rev-parse --git-dir)/index", "index")]
    {
        let suite = format!("echo 'ok 1 - a'\necho '1..1'\n{breaks}\n");
        let script = WORKS.replace("main", "login");
        let office = Office::new(&text, &[("suite.sh", &suite)]).does(&script);
        office.orch("task add login").run().exits(0);
        office.orch("pipeline run --task login").run().held(10, "repository-damaged").says(named);
        assert!(!tree_of(&office.shop).join("docs/work-items/login/13-test-report.md").exists());
        office.orch("task add login").run().exits(0);
        office.orch("task cancel login").run().exits(0);
        office.orch("verify").run().exits(0);
    }
}

#[test]
fn a_submodule_whose_git_is_broken_holds() {
    let office = Office::of("claude-code", ", writes: [\"src/**\"]")
        .does("begins\nrm -f lib/.git; mkdir lib/.git\nartifact docs/work-items/main/11-development.md READY\nends\n");
    let words = ["-c", "protocol.file.allow=always", "submodule", "add", "-q", "--", "./.", "lib"];
    office.shop.git(&["config", "remote.origin.url", office.shop.tree.to_str().unwrap()]);
    office.shop.git(&words);
    office.shop.commit("a submodule");
    office.run().held(10, "repository-damaged").says("`lib`");
    // A person puts it right; the hold is theirs to release.
    fs::remove_dir(office.shop.tree.join("lib/.git")).unwrap();
    office.orch("task cancel").run().exits(0);
}
