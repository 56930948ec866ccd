//! What a suite does to its worktree and to what orch keeps there: nothing of it counts as an answer.

use std::fs;

use crate::support::{FAILS, PASSES, REPORT, Shop, lives};

const FORGED: &str = "---\nresult: PASS\nstatus: passed\ntests_status: PASS\n---\n";

#[test]
fn an_artifact_that_the_suite_writes_is_ignored() {
    let forge = format!("mkdir -p docs/work-items/main\nprintf '%s' '{FORGED}' > {REPORT}\n");
    let shop = Shop::running(&format!("{forge}{FAILS}"));
    shop.run().exits(1);
    assert!(shop.read(REPORT).contains("result: FAIL"));
    // Nothing ran: the forged pass stays what the suite wrote, and opens no gate.
    Shop::running(&forge).run().held(78, "nothing shows that a test was executed");
}

#[test]
fn a_folder_in_the_artifacts_place_does_not_hide_a_fail() {
    let shop = Shop::running(&format!("mkdir -p {REPORT}/deep\n{FAILS}"));
    shop.run().exits(1).talks("a folder that orch did not write stood at the artifact's place; it is now ");
    assert!(shop.read(REPORT).contains("result: FAIL"));
}

#[test]
fn what_stood_at_the_artifacts_place_is_moved_aside_and_named() {
    let shop = Shop::running(PASSES);
    shop.write(REPORT, "notes of a person\n");
    let ended = shop.run().exits(0).talks("stood at the artifact's place; it is now ");
    let stderr = ended.stderr();
    let moved = stderr.lines().find_map(|line| line.split_once("it is now ")).unwrap().1;
    assert_eq!(fs::read_to_string(moved).unwrap(), "notes of a person\n");
    assert!(shop.read(REPORT).contains("result: PASS"));
    // orch's own artifact of the last run is no news.
    shop.write("suite.sh", &format!("{PASSES}# again\n"));
    shop.run().exits(0).never("stood at");
}

#[test]
fn an_artifact_that_a_person_changed_is_kept_beside_the_true_one() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let published = shop.read(REPORT);
    shop.write(REPORT, "scribbled\n");
    let stderr = shop.run().exits(0).talks("it is now ").stderr();
    let moved = stderr.lines().find_map(|line| line.split_once("it is now ")).unwrap().1;
    assert_eq!(fs::read_to_string(moved).unwrap(), "scribbled\n");
    assert_eq!(shop.read(REPORT), published);
}

#[test]
fn a_suite_that_changes_a_tracked_file_and_passes_is_held() {
    let shop = Shop::running(&format!("echo fixed >> price.txt\n{PASSES}"));
    shop.write("price.txt", "1\n");
    shop.commit("price");
    let held = shop.run().held(78, "`price.txt`").says("tree-changed");
    held.says("the worktree changed between the start and the end of the attempt").never("the suite changed");
    assert!(!shop.has(REPORT), "no artifact may say PASS");
    // A fail counts all the same.
    let red = Shop::running(&format!("echo x >> .gitignore\n{FAILS}"));
    red.run().exits(1);
}

#[test]
fn a_branch_that_was_switched_is_named() {
    let shop = Shop::running(&format!("git checkout -q -b foo\n{PASSES}"));
    shop.run().held(78, "`HEAD (branch main is now branch foo)`").says("tree-changed");
}

#[test]
fn a_tracked_file_that_the_suite_removes_or_renames_is_seen() {
    for script in
        ["rm suite.sh.orig\n", "mv suite.sh.orig other\n", "chmod +x suite.sh.orig\n", "ln -sf x suite.sh.orig\n"]
    {
        let shop = Shop::running(&format!("{script}{PASSES}"));
        shop.write("suite.sh.orig", "1\n");
        shop.commit("orig");
        shop.run().held(78, "`suite.sh.orig`");
    }
}

#[test]
fn a_new_file_is_a_warning_and_an_ignored_one_is_none() {
    let shop = Shop::running(&format!("touch left-over cache.tmp\n{PASSES}"));
    shop.run().exits(0).talks("warning: stage `testing` left new files").talks("`left-over`").never("cache.tmp");
}

#[test]
fn what_a_suite_leaves_running_is_dead_before_its_answer_is_read() {
    let child = "trap '' TERM HUP; echo $$ > SCRATCH/said; read word < SCRATCH/go; \
                 mkdir -p docs/work-items/main; echo forged > docs/work-items/main/13-test-report.md; echo late; touch SCRATCH/late";
    let shop = Shop::running(&format!("setsid sh child.sh &\nread pid < SCRATCH/inner\n{PASSES}"));
    let child = child.replace("echo $$ > SCRATCH/said", "echo $$ > SCRATCH/said; echo $$ > SCRATCH/inner");
    shop.write("child.sh", &format!("{child}\n"));
    shop.commit("child");
    let (mut said, mut go) = shop.said_and_go();
    let _inner = shop.fifo("inner");
    shop.run().exits(0);
    let pid = said.pid();
    assert!(!lives(pid), "the grandchild outlived its attempt");
    let (report, logs) = (shop.read(REPORT), shop.orch("logs").run().raw_stdout);
    go.say("now");
    assert_eq!((shop.read(REPORT), shop.orch("logs").run().raw_stdout), (report, logs));
    assert!(!shop.scratch("late").exists());
    shop.orch("explain").run().exits(0).says("left behind and ended: sh");
}
