//! What is refused before anything starts: what happened, where, and what to do next.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{NOTES, PASSES, Shop, Testing, WAITS, tool};

fn noting() -> String {
    format!("{NOTES}{PASSES}")
}

#[test]
fn an_invalid_pipeline_starts_nothing() {
    let shop = Shop::new(&Testing::new().text().replace("command:", "comand:"), &[("suite.sh", &noting())]);
    let ended = shop.run().exits(3).talks("pipelines/shop.yaml").talks("comand").talks("nothing was started");
    assert_eq!(ended.stdout(), "");
    assert!(shop.ledger().is_empty());
    assert!(!shop.state().exists(), "a refusal leaves no state behind");
    let problems = shop.orch("pipeline validate pipelines/shop.yaml --json").run().exits(3).json();
    assert!(problems["problems"].as_array().is_some_and(|list| !list.is_empty()), "{problems}");
    shop.orch("pipeline validate pipelines/none.yaml").run().refused(3, "pipelines/none.yaml");
    shop.orch("pipeline run --pipeline pipelines/none.yaml").run().refused(3, "pipelines/none.yaml");
}

#[test]
fn a_pipeline_is_found_or_asked_for() {
    let shop = Shop::running(PASSES);
    shop.write("sub/keep", "");
    shop.orch("pipeline run").cwd(shop.tree.join("sub")).run().exits(0);
    shop.write("pipelines/other.yml", &Testing::new().text());
    shop.run().refused(3, "several pipelines").talks("--pipeline FILE");
    fs::remove_dir_all(shop.tree.join("pipelines")).unwrap();
    shop.run().refused(3, "there is no pipeline").talks("--pipeline FILE");
}

#[test]
fn only_a_worktree_with_a_commit_can_be_driven() {
    let shop = Shop::running(PASSES);
    let outside = shop.scratch("outside");
    fs::create_dir(&outside).unwrap();
    for words in ["pipeline run", "status", "run list", "run show", "explain", "logs"] {
        shop.orch(words).cwd(&outside).run().refused(3, "git");
    }
    shop.orch("pipeline run --worktree /no/such/folder").run().refused(3, "/no/such/folder");
    shop.git(&["clone", "-q", "--bare", ".", "../bare"]);
    shop.orch("pipeline run").cwd(shop.scratch("bare")).run().refused(3, "bare");
    let unborn = Shop::bare_of_commits();
    unborn.write("pipelines/shop.yaml", &Testing::new().text());
    unborn.run().refused(3, "commit");
}

#[test]
fn a_state_folder_that_is_not_safe_is_refused() {
    let shop = Shop::running(PASSES);
    let run = |dir: &std::path::Path| shop.orch("pipeline run --state-dir").arg(dir).run();
    let open = shop.scratch("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    run(&open).refused(3, "other users can reach it").talks("chmod 700");
    run(&shop.tree.join("state")).refused(3, "inside").talks("--state-dir");
    let file = shop.scratch("file");
    fs::write(&file, "").unwrap();
    run(&file).refused(3, file.to_str().unwrap());
    let link = shop.scratch("link");
    std::os::unix::fs::symlink(shop.scratch("home"), &link).unwrap();
    run(&link).refused(3, "symbolic link");
    if rustix::process::geteuid().is_root() {
        let foreign = shop.scratch("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&foreign, Some(54_321), None).unwrap();
        run(&foreign).refused(3, "belongs to user 54321");
    }
    shop.orch("pipeline run").env("ORCH_STATE_DIR", "relative").run().refused(3, "must be absolute");
    shop.orch("pipeline run").without_env("ORCH_STATE_DIR").without_env("HOME").run().refused(3, "--state-dir");
    run(std::path::Path::new("/proc/orch")).refused(3, "/proc");
}

#[test]
fn a_command_line_that_cannot_be_understood_is_usage() {
    let shop = Shop::running(PASSES);
    for words in
        ["", "no-such-command", "pipeline run --no-such-flag", "pipeline validate", "gate check", "explain a b"]
    {
        shop.orch(words).run().exits(2).talks("Usage");
    }
    shop.orch("pipeline run --task ../x").run().refused(2, "../x");
    for words in ["--help", "--version", "pipeline run --help"] {
        shop.orch(words).run().exits(0);
    }
}

#[test]
fn a_detached_head_and_odd_branches_have_a_task_name() {
    let shop = Shop::running(PASSES);
    shop.git(&["checkout", "-q", "--detach"]);
    let commit = shop.git(&["rev-parse", "--short=12", "HEAD"]);
    shop.run().exits(0).says(&format!("task detached-{commit}: done"));
    shop.git(&["checkout", "-q", "-b", "feature/pay+now"]);
    shop.run().exits(0).says("task feature-pay-now: done");
}

#[test]
fn a_task_left_unfinished_elsewhere_is_not_judged_here() {
    let shop = Shop::running(&format!("{WAITS}{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    shop.git(&["worktree", "add", "-q", "../second", "-b", "second"]);
    let going = shop.orch("pipeline run --task shop").start();
    said.next();
    going.kill();
    go.say("go");
    let elsewhere = shop.orch("pipeline run --task shop").cwd(shop.scratch("second")).run();
    elsewhere.refused(3, shop.tree.to_str().unwrap()).talks("--task");
    shop.orch("pipeline run --task shop").run().exits(0);
}

#[test]
fn a_store_without_room_says_so_and_starts_nothing() {
    let shop = Shop::running(&noting());
    let full = ["-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC"];
    shop.orch("pipeline run").under(&tool("strace", "strace"), &full).run().refused(70, "no space left");
    assert!(shop.ledger().is_empty());
    shop.run().exits(0);
}

/// An answer that nobody got is no success.
#[test]
fn a_stdout_that_cannot_be_written_is_told() {
    let shop = Shop::running(&noting());
    let full =
        |words: &str| shop.orch(words).under(&tool("sh", "dash"), &["-c", "exec \"$0\" \"$@\" > /dev/full"]).run();
    for words in ["pipeline run", "status", "status --json", "run list --json", "doctor"] {
        full(words).refused(70, "could not be written to stdout").talks("No space left").talks("orch run list");
    }
    assert_eq!(shop.ledger().len(), 1);
    shop.run().exits(0).says("already");
}

/// A user whose limits are at their end is not told that somebody has tampered with the worktree.
#[test]
fn too_few_descriptors_are_no_other_worktree() {
    let shop = Shop::running(&noting());
    let mut short = 0;
    for limit in 4..=24 {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let ended =
            shop.orch("pipeline run --quiet").under(&tool("sh", "dash"), &["-c", &script]).run().never("replaced");
        // Below some six the loader of the program itself gives up.
        if ended.code() == Some(70) {
            short += 1;
        } else {
            assert!(matches!(ended.code(), Some(0 | 75 | 127)), "{limit}: {ended}");
        }
    }
    assert!(short > 3, "only {short} limits were too low");
}
