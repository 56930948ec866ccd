//! The first mistakes of a new user: what happened, where, and the command that comes next.

use std::fs;

use crate::support::{Ended, NOTES, PASSES, REPORT, Shop, Testing, git_in};

/// Commands that need a checkout; each gives the same answer.
const NEED_A_CHECKOUT: [&str; 7] =
    ["pipeline run", "pipeline run --dry-run", "status", "run list", "explain", "logs", "verify"];

fn noting() -> Shop {
    Shop::running(&format!("{NOTES}{PASSES}"))
}

/// Every command in a folder is refused so, and nothing is started or made.
#[track_caller]
fn refused_in(shop: &Shop, folder: &std::path::Path, what: &str, next: &str) {
    for words in NEED_A_CHECKOUT {
        shop.orch(words)
            .cwd(folder)
            .run()
            .refused(3, what)
            .talks(folder.to_str().unwrap())
            .talks(next)
            .never("panicked");
    }
    shop.orch("doctor").cwd(folder).run().exits(3).says(what).says(next);
    assert!(shop.ledger().is_empty() && !shop.state().exists());
}

#[test]
fn the_wrong_folder() {
    let shop = noting();
    let outside = shop.scratch("outside");
    fs::create_dir(&outside).unwrap();
    refused_in(&shop, &outside, "it is not inside a git worktree", "git init");
    shop.orch("pipeline run --worktree ../nowhere").run().refused(3, "../nowhere").talks("there is no such folder");
    shop.orch("pipeline run --worktree suite.sh").run().refused(3, "suite.sh").talks("it is not a folder");
    // Any folder of a checkout is a right one.
    shop.write("deep/down/keep", "");
    shop.orch("pipeline run").cwd(shop.tree.join("deep/down")).run().exits(0);
}

#[test]
fn inside_the_git_folder() {
    let shop = noting();
    for folder in [".git", ".git/refs"] {
        refused_in(&shop, &shop.tree.join(folder), "it is inside a git folder", "change to the checkout");
    }
}

#[test]
fn a_bare_repository() {
    let shop = noting();
    let bare = shop.scratch("bare.git");
    shop.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    refused_in(&shop, &bare, "it is a bare repository", "git worktree add ../checkout");
    // What it says leads on.
    git_in(&bare, &["worktree", "add", "-q", "../checkout"]);
    shop.orch("pipeline run").cwd(shop.scratch("checkout")).run().exits(0);
}

#[test]
fn a_repository_without_a_commit() {
    let shop = Shop::bare_of_commits();
    shop.write("pipelines/shop.yaml", &Testing::new().text());
    shop.write("suite.sh", PASSES);
    refused_in(&shop, &shop.tree, "its branch has no commit yet", "git add -A && git commit -m first");
    shop.git(&["add", "-A"]);
    shop.git(&["commit", "-qm", "first"]);
    shop.run().exits(0);
}

#[test]
fn no_pipeline() {
    let shop = noting();
    fs::rename(shop.tree.join("pipelines"), shop.scratch("kept")).unwrap();
    let folder = shop.tree.join("pipelines");
    let check = |ended: Ended| {
        ended
            .refused(3, "there is no pipeline in")
            .talks(folder.to_str().unwrap())
            .talks("orch pipeline run --pipeline FILE");
    };
    check(shop.run());
    fs::create_dir(&folder).unwrap();
    shop.write("pipelines/notes.txt", "not one\n");
    check(shop.run());
    let kept = shop.scratch("kept/shop.yaml");
    shop.orch("pipeline run --pipeline").arg(&kept).run().exits(0);
}

#[test]
fn two_pipelines() {
    let shop = noting();
    shop.write("pipelines/other.yml", &Testing::new().text());
    let ended = shop.run().refused(3, "there are several pipelines");
    let first = shop.tree.join("pipelines/other.yml");
    ended.talks("shop.yaml").talks(&format!("orch pipeline run --pipeline {}", first.display()));
    assert!(shop.ledger().is_empty());
    shop.orch("pipeline run --pipeline pipelines/shop.yaml").run().exits(0);
}

#[test]
fn a_pipeline_that_does_not_exist() {
    let shop = noting();
    let check = |name: &str, what: &str| {
        let ended = shop.orch("pipeline run --pipeline").arg(name).run().refused(3, name);
        ended.talks(what).talks("there is pipelines/shop.yaml");
    };
    check("pipelines/shoop.yaml", "No such file");
    check("shop.yaml", "No such file");
    check("pipelines", "it is no plain file");
    shop.orch("pipeline validate pipelines/shoop.yaml").run().refused(3, "there is pipelines/shop.yaml");
    // The file itself instead of --pipeline is a slip of the command line.
    shop.orch("pipeline run pipelines/shop.yaml").run().exits(2).talks("Usage: orch pipeline run");
    assert!(shop.ledger().is_empty());
}

/// No error: the tree's identity covers what is not committed. It is told, once.
#[test]
fn a_dirty_tree() {
    let shop = noting();
    shop.run().exits(0).never("differs from its commit");
    shop.write("suite.sh", &format!("{NOTES}{PASSES}# changed\n"));
    let ended = shop.run().exits(0).says("task main: done").talks("the worktree differs from its commit");
    assert_eq!(ended.stderr().matches("differs from its commit").count(), 1, "{ended}");
    assert_eq!(shop.orch("run show --json").run().exits(0).json()["attempts"][0]["dirty"], true);
    assert!(shop.has(REPORT));
}

/// No error either: the task has a name of its own, and it is told which.
#[test]
fn a_detached_head() {
    let shop = noting();
    shop.git(&["checkout", "-q", "--detach"]);
    let name = format!("detached-{}", shop.git(&["rev-parse", "--short=12", "HEAD"]));
    shop.run()
        .exits(0)
        .says(&format!("task {name}: done"))
        .talks(&format!("HEAD is detached, so the task is called {name}"));
    shop.orch("pipeline run --task mine").run().exits(0).says("task mine: done").never("HEAD is detached");
}

/// A mistyped command is usage, and says what it could have been.
#[test]
fn a_mistyped_command() {
    let shop = noting();
    shop.orch("pipline run").run().exits(2).talks("'pipeline'");
    shop.orch("pipeline rum").run().exits(2).talks("'run'");
    shop.orch("doctor --jsn").run().exits(2).talks("'--json'");
}

/// What a list of commands says of one is what its own help begins with, at every level.
#[test]
fn the_help_of_each_command_is_about_that_command() {
    let shop = noting();
    let mut asked = vec![String::new()];
    let mut seen = 0;
    while let Some(command) = asked.pop() {
        let help = shop.orch(&format!("{command} --help")).run().exits(0).stdout();
        let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
        // Deeper lines go on with the one before.
        for line in list.lines().filter(|line| !line.starts_with("   ")) {
            let (name, about) = line.trim().split_once("  ").unwrap();
            let own = format!("{command} {name}");
            let help = shop.orch(&format!("{own} --help")).run().exits(0).stdout();
            assert!(help.replace('\n', " ").starts_with(about.trim()), "{own}: {about}\n{help}");
            asked.push(own);
            seen += 1;
        }
    }
    assert!(seen > 25, "only {seen} commands");
}
