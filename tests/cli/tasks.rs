//! Tasks with worktrees of their own: added, found from anywhere, run side by side, removed when nothing is lost.
//!
//! The short form runs 12 tasks of one repository at once, the long form 50:
//!
//! ```sh
//! ORCH_TEST_TASKS=50 cargo test --test cli tasks::many -- --nocapture
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::support::{NOTES, Orch, PASSES, Shop, WAITS, git_in};

const TASKS: &str = "ORCH_TEST_TASKS";
const TASKS_SHORT: usize = 12;

fn shop() -> Shop {
    Shop::running(&format!("{NOTES}{PASSES}"))
}

fn tree_of(shop: &Shop, task: &str) -> PathBuf {
    shop.scratch("shop.worktrees").join(task)
}

fn report_of(shop: &Shop, task: &str) -> PathBuf {
    tree_of(shop, task).join(format!("docs/work-items/{task}/13-test-report.md"))
}

#[test]
fn a_task_gets_a_worktree_and_is_found_from_anywhere() {
    let shop = shop();
    let base = shop.git(&["rev-parse", "HEAD"]);
    let added = shop.orch("task add login --json").run().exits(0).json();
    assert_eq!(
        (&added["made"], &added["state"], &added["checkout"]["branch"]),
        (&"new".into(), &"queued".into(), &"login".into())
    );
    assert_eq!(added["checkout"]["base_commit"], base.as_str());
    let tree = tree_of(&shop, "login");
    assert_eq!(added["worktree"], tree.to_str().unwrap());
    assert_eq!(git_in(&tree, &["symbolic-ref", "HEAD"]), "refs/heads/login");
    let listed = shop.git(&["worktree", "list", "--porcelain"]);
    assert!(listed.contains("locked orch task login"), "{listed}");

    // From the main checkout, from a folder below it, and from another task's worktree.
    shop.orch("pipeline run --task login").run().exits(0).talks("has its own worktree");
    assert!(report_of(&shop, "login").is_file());
    assert!(!shop.has("docs"), "the main checkout is left alone");
    shop.write("deep/er/x.tmp", "");
    shop.orch("pipeline run --task login --from testing").cwd(shop.tree.join("deep/er")).run().exits(0);
    shop.orch("task add other --branch feature/other-1 --base login").run().exits(0).says("a new branch");
    shop.orch("pipeline run --task login --from testing").cwd(tree_of(&shop, "other")).run().exits(0);
    // In its own worktree the task needs no name, whatever its branch is called.
    shop.orch("pipeline plan").cwd(tree_of(&shop, "other")).run().exits(0).says("test-runner sh suite.sh");
    shop.orch("pipeline run").cwd(tree_of(&shop, "other")).run().exits(0).says("task other: done");
    shop.orch("task list").run().exits(0).says("login: done; branch login").says("other: done; branch feature/other-1");
    let shown = shop.orch("task show").cwd(&tree).run().exits(0).says("task login: done").says(&base);
    shown.says("run 0");
    assert_eq!(shop.ledger().len(), 4);
    shop.orch("verify").run().exits(0);

    // A base is what the change starts from, also once main has moved on and been merged.
    shop.write("more.txt", "more");
    shop.commit("second");
    git_in(&tree, &["-c", "user.email=a@b", "-c", "user.name=a", "merge", "-q", "--no-ff", "-m", "merge", "main"]);
    shop.orch("pipeline run --task login").run().exits(0);
    let run = shop.orch("run show --json").run().exits(0).json();
    assert_eq!(run["base_commit"], base.as_str());
}

#[test]
fn what_cannot_be_added_is_refused_with_the_next_step() {
    let shop = shop();
    shop.orch("task add login").run().exits(0);
    let refused = |words: &str, what: &str| {
        shop.orch(words).run().refused(2, what);
    };
    refused("task add login", "there is a task login already: it is queued");
    refused("task add login --branch other", "it is on branch `login`");
    refused("task add x --branch main", "it is checked out in");
    refused("task add x --branch login", "it is checked out in");
    refused("task add x --base nowhere", "there is no such branch, tag or commit");
    refused("task add x --base @{-1}", "there is no such branch, tag or commit");
    refused("task add x --base=--upload-pack=y", "there is no such branch, tag or commit");
    refused("task add x --branch=--upload-pack=y", "is not a branch name");
    refused("task add x --branch a..b", "is not a branch name");
    refused("task add a/b", "is not a task name");
    shop.git(&["branch", "old"]);
    refused("task add x --branch old --base main", "there is such a branch already");
    fs::create_dir_all(tree_of(&shop, "x")).unwrap();
    fs::write(tree_of(&shop, "x").join("mine"), "").unwrap();
    refused("task add x", "something is there that is no worktree of this repository");
    refused("task add x --path inside", "it would lie inside");
    refused(&format!("task add x --path {}", shop.state().join("t").display()), "it would lie inside");
    refused(&format!("task add x --path {}", shop.tree.display()), "it is the repository's main checkout");
    refused(&format!("task add x --path {}", tree_of(&shop, "login").display()), "not on branch `x`");
    refused("task show nobody", "there is no task nobody");
    refused("task remove nobody", "there is no task nobody");
    let dots = shop.orch("task add x --path rel/../../x").run().refused(3, "`..` behind a folder that is not there");
    dots.talks("without `..`").never("invalid input");
    shop.orch("task add x --path").arg("a\nb").run().refused(3, "its path cannot be told to git");
    let bare = shop.scratch("bare.git");
    shop.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    shop.orch("task add x").cwd(&bare).run().refused(3, "it is a bare repository");
    // Nothing of all that left a task, a branch or a worktree behind.
    let tasks = shop.orch("task list --json").run().exits(0).json();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1, "{tasks}");
    assert_eq!(shop.git(&["branch", "--format=%(refname:short)"]), "login\nmain\nold");
    assert_eq!(shop.git(&["worktree", "list"]).lines().count(), 2);
    // A task of the main checkout has its name, too.
    shop.run().exits(0);
    refused("task add main --branch z", "there is a task main already: it is done");
}

#[test]
fn a_branch_and_a_worktree_that_are_there_are_taken_up() {
    let shop = shop();
    shop.git(&["branch", "begun"]);
    shop.orch("task add one --branch begun").run().exits(0).says("which was there already");
    let place = shop.scratch("by-hand");
    shop.git(&["worktree", "add", "-q", "-b", "hand", place.to_str().unwrap()]);
    fs::write(place.join("mine.txt"), "work").unwrap();
    shop.orch("task add two --branch hand").run().refused(2, "--path");
    shop.orch(&format!("task add two --branch hand --path {}", place.display()))
        .run()
        .exits(0)
        .says("was there already");
    assert!(place.join("mine.txt").is_file());
    shop.orch(&format!("task add three --branch hand --path {}", place.display())).run().refused(2, "of task two");
    // git that was killed in the middle: no index, and a part of the files.
    let half = tree_of(&shop, "half");
    shop.git(&["worktree", "add", "-q", "--no-checkout", "-b", "half", half.to_str().unwrap()]);
    let index = git_in(&half, &["rev-parse", "--path-format=absolute", "--git-path", "index"]);
    fs::remove_file(&index).ok();
    assert!(!half.join("suite.sh").exists());
    shop.orch("task add half").run().exits(0).says("was there already");
    assert!(half.join("suite.sh").is_file());
    shop.orch("pipeline run --task half").run().exits(0);
    // A folder that went away is made again, on the same branch and base.
    let base = shop.orch("task show one --json").run().json()["checkout"]["base_commit"].clone();
    fs::remove_dir_all(tree_of(&shop, "one")).unwrap();
    shop.orch("pipeline run --task one").run().refused(3, "is gone").talks("orch task add one");
    shop.orch("task add one --branch begun").run().exits(0);
    shop.orch("pipeline run --task one").run().exits(0);
    assert_eq!(shop.orch("task show one --json").run().json()["checkout"]["base_commit"], base);
    shop.orch("verify").run().exits(0);
}

#[test]
fn a_worktree_is_removed_when_nothing_is_lost_or_a_person_says_so() {
    let shop = shop();
    for task in ["done", "dirty", "new", "odd", "held", "merging"] {
        shop.orch(&format!("task add {task}")).run().exits(0);
        if task != "held" {
            shop.orch(&format!("pipeline run --task {task}")).run().exits(0);
        }
    }
    fs::write(tree_of(&shop, "dirty").join("suite.sh"), "changed").unwrap();
    fs::write(tree_of(&shop, "new").join("idea.txt"), "an idea").unwrap();
    let odd = tree_of(&shop, "odd");
    git_in(&odd, &["checkout", "-q", "--detach"]);
    git_in(&odd, &["-c", "user.email=a@b", "-c", "user.name=a", "commit", "-q", "--allow-empty", "-m", "lonely"]);
    let merging =
        git_in(&tree_of(&shop, "merging"), &["rev-parse", "--path-format=absolute", "--git-path", "MERGE_HEAD"]);
    fs::write(merging, format!("{}\n", shop.git(&["rev-parse", "HEAD"]))).unwrap();
    shop.orch("task remove held").run().refused(2, "its worktree is needed").talks("orch task cancel held");
    shop.orch("task remove dirty").run().refused(2, "`suite.sh`").talks("--force");
    shop.orch("task remove new").run().refused(2, "`idea.txt`");
    shop.orch("task remove odd").run().refused(2, "which no branch or tag has");
    shop.orch("task remove merging").run().refused(2, "a merge that is under way");
    let dry = shop.orch("task prune --dry-run").run().exits(0).says("done: ").says("would be removed");
    dry.says("task new: kept").says("task odd: kept");
    assert!(tree_of(&shop, "done").is_dir());
    let pruned = shop.orch("task prune --json").run().exits(0).json();
    let names = |key: &str| -> Vec<String> {
        pruned[key].as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (names("removed"), names("kept")),
        (vec!["done".to_owned()], ["dirty", "merging", "new", "odd"].map(str::to_owned).to_vec())
    );
    // Its artifacts are in the store, and so no reason to keep it. Branch and record stay.
    assert!(!tree_of(&shop, "done").exists());
    assert!(shop.git(&["branch", "--list", "done"]).contains("done"));
    shop.orch("task list").run().exits(0).says("done: done; branch done, its worktree is removed");
    shop.orch("task remove done").run().refused(2, "no worktree of its own");
    shop.orch("task remove new --force --json").run().exits(0).says("idea.txt");
    assert!(!tree_of(&shop, "new").exists());
    shop.orch("run show --events").run().exits(0);
    shop.orch("task cancel held").run().exits(0);
    shop.orch("task remove held").cwd(tree_of(&shop, "held")).run().exits(0);
    // What was removed is made again by the same name.
    shop.orch("task add done").run().exits(0).says("which was there already");
    shop.orch("pipeline run --task done --from testing").run().exits(0);
    shop.orch("verify").run().exits(0);
}

/// The worktree goes away under a run: what the messages say to do leads on.
#[test]
fn a_worktree_that_goes_away_under_a_run_is_made_again() {
    let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    shop.orch("task add t1").run().exits(0);
    let going = shop.orch("pipeline run --task t1").start();
    said.next();
    fs::remove_dir_all(tree_of(&shop, "t1")).unwrap();
    // Its runner lives: it is not disturbed.
    shop.orch("task add t1").run().refused(4, &going.pid().to_string());
    go.say("go");
    going.end().held(10, "repository-damaged").says("is gone");
    shop.orch("status").run().exits(0).says("t1: held at testing");
    shop.orch("pipeline run --task t1").run().refused(3, "is gone").talks("`orch task add t1` makes it again");
    shop.orch("task add t1").run().exits(0).says("which was there already");
    shop.orch("hold release t1").run().exits(0);
    let again = shop.orch("pipeline run --task t1").start();
    said.next();
    go.say("go");
    again.end().exits(0).says("task t1: done");
    assert_eq!(shop.ledger().len(), 2, "the stage was begun anew");
    shop.orch("verify").run().exits(0);
}

/// Hooks and filters of the repository never run when a worktree is made (RELIABILITY §9, 63 and 68).
#[test]
fn nothing_of_the_repository_runs_when_a_worktree_is_made() {
    let shop = shop();
    let hook = shop.tree.join(".git/hooks/post-checkout");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", shop.scratch("pwned").display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let touch = format!("touch {}; cat", shop.scratch("pwned").display());
    for name in ["evil", "a.b=c", "quo\"ted"] {
        for part in ["smudge", "clean", "process"] {
            shop.git(&["config", &format!("filter.{name}.{part}"), &touch]);
        }
        shop.git(&["config", &format!("filter.{name}.required"), "true"]);
    }
    shop.git(&["config", "core.fsmonitor", &touch]);
    shop.git(&["config", "alias.worktree", &format!("!{touch}")]);
    shop.write("raw.bin", "as it is\n");
    let attributes = shop.tree.join(".git/info/attributes");
    fs::create_dir_all(attributes.parent().unwrap()).unwrap();
    shop.write("raw.txt", "as it is\n");
    shop.git(&["-c", "core.fsmonitor=false", "add", "raw.bin", "raw.txt"]);
    shop.git(&["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "commit", "-qm", "raw"]);
    fs::write(&attributes, "* filter=evil\n*.bin filter=a.b=c\n*.txt filter=quo\"ted\n").unwrap();
    fs::remove_file(shop.scratch("pwned")).ok();
    shop.orch("task add login").run().exits(0);
    assert_eq!(fs::read_to_string(tree_of(&shop, "login").join("raw.bin")).unwrap(), "as it is\n");
    shop.orch("pipeline run --task login").run().exits(0);
    shop.orch("task remove login").run().exits(0);
    assert!(!shop.scratch("pwned").exists(), "something of the repository ran");
}

/// A worktree whose `.git` leads elsewhere is not worked in (RELIABILITY §9, 64).
#[test]
fn a_worktree_that_was_replaced_is_refused() {
    let shop = shop();
    for task in ["login", "pay"] {
        shop.orch(&format!("task add {task}")).run().exits(0);
    }
    let entry = tree_of(&shop, "login").join(".git");
    let right = fs::read_to_string(&entry).unwrap();
    let other = self::shop();
    let elsewhere = other.scratch("elsewhere");
    other.git(&["worktree", "add", "-q", "-b", "login", elsewhere.to_str().unwrap()]);
    fs::write(&entry, fs::read_to_string(elsewhere.join(".git")).unwrap()).unwrap();
    shop.orch("pipeline run --task login").run().refused(3, "");
    // The same repository, another worktree's git folder.
    fs::write(&entry, right.replace("login", "pay")).unwrap();
    shop.orch("pipeline run --task login").run().refused(3, "");
    // A whole repository in the place of the pointer.
    // Kept, so that no new file gets its inode.
    fs::rename(&entry, shop.scratch("kept")).unwrap();
    git_in(&tree_of(&shop, "login"), &["init", "-q", "."]);
    shop.orch("pipeline run --task login").run().refused(3, "");
    assert_eq!(shop.ledger(), [""; 0]);
    // Put back by hand it is a new file, which a person has to stand up for.
    fs::remove_dir_all(&entry).unwrap();
    fs::write(&entry, &right).unwrap();
    shop.orch("pipeline run --task login").run().refused(3, "is not the one that was recorded").talks("orch task add");
    shop.orch("task add login").run().exits(0).says("was there already");
    shop.orch("pipeline run --task login").run().exits(0);
}

/// Many runners of one repository on one store: every run ends, each in its own worktree, each right.
#[test]
#[expect(clippy::print_stdout, reason = "the figure is what the long form is run for")]
fn many_tasks_of_one_repository_run_at_once() {
    let tasks = std::env::var(TASKS).map_or(TASKS_SHORT, |text| text.parse().unwrap());
    // A task's own number decides how its suite ends: pass, fail, or a fault.
    let suite = format!(
        "{NOTES}case $ORCH_TASK in\n*0|*3|*6|*9) echo 1..1; echo 'ok 1 - pay';;\n*1|*4|*7) echo 1..1; echo 'not ok 1 - pay'; exit 1;;\n*) exit 127;;\nesac\n"
    );
    let shop = Shop::running(&suite);
    let name = |n: usize| format!("t{n}");
    let at_once = |words: &(dyn Fn(usize) -> Orch + Sync)| {
        let going: Vec<_> = (0..tasks).map(|n| words(n).start()).collect();
        going.into_iter().map(crate::support::Going::end).collect::<Vec<_>>()
    };
    for ended in at_once(&|n| shop.orch(&format!("task add {}", name(n)))) {
        ended.exits(0);
    }
    let ended = at_once(&|n| shop.orch(&format!("pipeline run --quiet --task {}", name(n))));
    for (n, ended) in ended.into_iter().enumerate() {
        let (code, word) = match n % 10 {
            0 | 3 | 6 | 9 => (0, format!("task {}: done", name(n))),
            1 | 4 | 7 => (1, format!("task {}: FAILED", name(n))),
            _ => (78, format!("task {}: HELD", name(n))),
        };
        ended.exits(code).says(&word);
    }
    let runs = shop.orch("run list --limit 1000 --json").run().exits(0).json();
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), tasks);
    assert!(runs.iter().all(|run| !run["end"].is_null()), "every run closed");
    assert_eq!(shop.ledger().len(), tasks, "every suite ran once");
    let shown = shop.orch("task list --json").run().exits(0).json();
    for task in shown["tasks"].as_array().unwrap() {
        let n: usize = task["task"].as_str().unwrap().strip_prefix('t').unwrap().parse().unwrap();
        let right = match n % 10 {
            0 | 3 | 6 | 9 => "done",
            1 | 4 | 7 => "failed",
            _ => "held",
        };
        assert_eq!(task["state"], right, "{task}");
    }
    shop.orch("verify").run().exits(0);
    println!("{tasks} tasks at once: every run closed, every state right");
}

#[test]
fn a_copy_of_a_worktree_is_not_the_task() {
    let shop = shop();
    shop.orch("task add login").run().exits(0);
    let (tree, copy) = (tree_of(&shop, "login"), tree_of(&shop, "copy"));
    let copied = crate::support::command("cp").arg("-a").args([&tree, &copy]).status().unwrap();
    assert!(copied.success());
    let words = ["pipeline run", "pipeline run --task login", "task list", "task cancel login"];
    for words in words {
        let refused = shop.orch(words).cwd(&copy).run().refused(3, "its git folder is that of the worktree");
        refused.talks(tree.to_str().unwrap());
    }
    assert!(shop.ledger().is_empty());
    shop.orch("pipeline run").cwd(&tree).run().exits(0).says("task login: done");
    // One that was moved has to be made known to git, and then to orch.
    let moved = tree_of(&shop, "moved");
    fs::remove_dir_all(&copy).unwrap();
    fs::rename(&tree, &moved).unwrap();
    shop.orch("pipeline run").cwd(&moved).run().refused(3, "its git folder is that of").talks("git worktree repair");
    git_in(&moved, &["worktree", "repair"]);
    shop.orch(&format!("task add login --path {}", moved.display())).run().exits(0);
    shop.orch("pipeline run").cwd(&moved).run().exits(0);
}
