//! Two runners, signals, and deaths: whatever dies, the true result is recorded once.

use std::path::Path;

use rustix::process::Signal;

use crate::support::{FAILS, NOTES, PASSES, REPORT, Shop, Testing, WAITS, lives, supervisor_of};

/// Notes its attempt, says that it has begun, waits for a word, and then ends so.
fn waiting(end: &str) -> Shop {
    Shop::running(&format!("{NOTES}{WAITS}{end}"))
}

fn kill(pid: i32) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn of_two_runners_one_runs_and_the_other_names_it() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let pid = going.pid().to_string();
    shop.run().refused(4, &pid);
    let locked = shop.orch("pipeline run --json").run().exits(4).json();
    assert_eq!((&locked["error"], &locked["holder"]["pid"]), (&"run_locked".into(), &going.pid().into()));
    assert!(locked["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    // Another task in the same worktree would judge the first one's changes.
    shop.orch("pipeline run --task other").run().refused(4, &pid);
    shop.orch("status").run().exits(0).says("main: running at testing").says(&pid);
    go.say("go");
    going.end().exits(0);
    assert_eq!(shop.ledger().len(), 1);
}

#[test]
fn of_two_runners_at_the_same_moment_one_runs() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let both = [shop.orch("pipeline run").start(), shop.orch("pipeline run").start()];
    said.next();
    go.say("go");
    let mut codes = both.map(|going| going.end().code());
    codes.sort_unstable();
    // The slower one may come when all is done: then it finds nothing to do.
    assert!(matches!(codes, [Some(0), Some(0 | 4)]), "{codes:?}");
    assert_eq!(shop.ledger().len(), 1);
}

#[test]
fn a_signal_stops_the_stage_and_the_next_run_goes_on_there() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let shop = waiting(PASSES);
        let (mut said, mut go) = shop.said_and_go();
        let going = shop.orch("pipeline run").start();
        let suite = said.pid();
        going.signal(signal);
        going.end().exits(code).says("task main: interrupted").never("FAILED").never("HELD");
        assert!(!lives(suite));
        assert!(!shop.has(REPORT));
        shop.orch("status").run().exits(0).says("main: queued at testing");
        shop.orch("explain").run().exits(0).says("a cancelled attempt has no outcome");
        go.say("go");
        shop.run().exits(0).talks("attempt 2");
        assert_eq!(shop.ledger().len(), 2);
    }
}

#[test]
fn a_second_signal_makes_haste() {
    let pipeline = Testing::new().stage("grace: 10m").text();
    let suite =
        "trap 'echo asked > SCRATCH/said' TERM\necho $$ > SCRATCH/said\nwhile :; do read word < SCRATCH/go; done\n";
    let shop = Shop::new(&pipeline, &[("suite.sh", suite)]);
    let (mut said, _go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    going.signal(Signal::INT);
    assert_eq!(said.next(), "asked");
    going.signal(Signal::INT);
    going.end().exits(130);
    assert!(!lives(suite));
}

#[test]
fn a_runner_that_is_killed_loses_no_result() {
    let check = |end: &str, code: i32, says: &str| {
        let shop = waiting(end);
        let (mut said, mut go) = shop.said_and_go();
        let going = shop.orch("pipeline run").start();
        let suite = said.pid();
        going.kill();
        assert!(lives(suite), "the suite goes on without its runner");
        shop.orch("status").run().exits(0).says("running at testing");
        go.say("go");
        let next = shop.run().exits(code).says(says).talks("was left by its runner");
        assert_eq!(shop.ledger().len(), 1, "{next}");
        let attempts = shop.orch("run show --json").run().exits(0).json();
        assert_eq!(attempts["attempts"].as_array().unwrap().len(), 1);
        shop
    };
    check(PASSES, 0, "done already");
    let failed = check(FAILS, 1, "FAILED at testing");
    assert!(failed.read(REPORT).contains("result: FAIL"));
    check("exit 127\n", 78, "HELD at testing");
    check("kill -KILL $$\n", 75, "HELD at testing");
}

#[test]
fn what_a_killed_runner_was_writing_beside_an_artifact_is_swept() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let folder = Path::new(REPORT).parent().unwrap().to_str().unwrap();
    let half = format!("{folder}/.orch-tmp-{}", "0a".repeat(16));
    let notes = format!("{folder}/.orch-tmp-notes");
    for path in [&half, &notes] {
        shop.write(path, "half");
    }
    shop.run().exits(0);
    assert!(!shop.has(&half), "orch's own is gone");
    assert!(shop.has(&notes), "what only looks like it is somebody's");
}

#[test]
fn a_run_that_waits_for_an_orphan_can_be_stopped() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let first = shop.orch("pipeline run").start();
    let suite = said.pid();
    first.kill();
    let second = shop.orch("pipeline run").start();
    // It holds the lock, so it is on its way to the orphan or waits for it; either way the signal is not lost.
    let holder = second.pid().to_string();
    assert!((0..500).any(|_| shop.orch("status").run().stdout().contains(&holder)), "it never took the lock");
    second.signal(Signal::TERM);
    second.end().exits(143).says("interrupted");
    assert!(!lives(suite), "the orphan was stopped too");
    go.say("go");
    shop.run().exits(0);
    assert_eq!(shop.ledger().len(), 2);
}

#[test]
fn a_supervisor_that_its_suite_stopped_is_woken_by_a_request_to_stop() {
    let shop = Shop::running(&format!("{NOTES}kill -STOP $PPID\n{WAITS}{PASSES}"));
    let (mut said, _go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    going.signal(Signal::TERM);
    going.end().exits(143).says("interrupted");
    assert!(!lives(suite));
}

#[test]
fn a_supervisor_that_is_killed_is_a_lost_attempt() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    kill(supervisor_of(going.pid()));
    going.end().held(75, "nobody saw how it ended (supervisor-died)");
    assert!(!lives(suite), "what it supervised is ended with it");
    go.say("go");
    shop.release_and_run().exits(0);
    assert_eq!(shop.ledger().len(), 2);
}

#[test]
fn when_both_are_killed_the_next_run_says_so() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    let supervisor = supervisor_of(going.pid());
    // The runner first: it must not see its supervisor die.
    going.kill();
    kill(supervisor);
    shop.run().held(75, "nobody saw how it ended (supervisor-died)");
    assert!(!lives(suite));
    assert_eq!(shop.ledger().len(), 1, "the lost attempt is told before anything is started again");
    go.say("go");
    shop.release_and_run().exits(0);
}

#[test]
fn a_run_left_by_its_runner_is_told_from_a_live_one() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let pid = going.pid().to_string();
    going.kill();
    shop.orch("status").run().exits(0).says("left by").says(&pid);
    go.say("go");
    shop.run().exits(0).talks(&format!("ended without releasing it: pid {pid}"));
}

/// Nobody remembers the files that stood before an attempt whose runner died, only their hash. So a new file, which
/// is a warning otherwise, is a hold here: rather that than a pass on a tree that nobody compared.
#[test]
fn a_recovered_pass_with_a_new_file_is_held() {
    let shop = waiting(&format!("touch left-over\n{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    going.kill();
    go.say("go");
    // It began on a clean commit, so what is another now can be named.
    shop.run().held(78, "tree-changed").says("`left-over`").never("the suite changed");
    assert!(!shop.has(REPORT));
    go.say("go");
    shop.release_and_run().exits(0);
}

#[test]
fn a_suite_that_kills_its_supervisor_gets_no_pass() {
    let passes = Shop::running(&format!("{PASSES}kill -KILL $PPID\n"));
    passes.run().held(75, "supervisor-died");
    assert!(!passes.has(REPORT));
    // A fail counts where the supervisor had taken it from the pipe; what was still in there is gone with it.
    let fails = Shop::running("echo 1..1\necho 'not ok 1 - pay'\nkill -KILL $PPID\n").run();
    assert!(matches!(fails.code(), Some(1 | 75)), "{fails}");
}

/// The store outlives a power loss, or somebody who tidies up; the folder of a run need not.
#[test]
fn a_run_folder_that_is_gone_is_a_lost_attempt() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    let supervisor = supervisor_of(going.pid());
    going.kill();
    kill(supervisor);
    std::fs::remove_dir_all(shop.state().join("runs")).unwrap();
    shop.run().held(75, "nobody saw how it ended (bad-record)");
    assert!(!lives(suite));
    go.say("go");
    shop.release_and_run().exits(0);
    assert_eq!(shop.ledger().len(), 2);
}

/// Puts something at a path.
type Put<'a> = &'a dyn Fn(&Path);

/// A suite can find its run's folder through its own descriptors. What it puts there keeps nobody waiting and ends nothing.
#[test]
fn what_is_no_plain_file_in_a_run_folder_is_no_record() {
    let fifo = |path: &Path| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    };
    let link = |path: &Path| std::os::unix::fs::symlink("elsewhere", path).unwrap();
    let folder = |path: &Path| std::fs::create_dir(path).unwrap();
    let puts: [(&str, Put<'_>); 5] = [
        ("exits.jsonl", &fifo),
        ("exits.jsonl", &link),
        ("exits.jsonl", &folder),
        ("supervisor.json", &fifo),
        ("supervisor.json", &link),
    ];
    for (name, put) in puts {
        let shop = waiting(PASSES);
        let (mut said, mut go) = shop.said_and_go();
        let going = shop.orch("pipeline run").start();
        said.next();
        going.kill();
        let run = std::fs::read_dir(shop.state().join("runs")).unwrap().next().unwrap().unwrap().path();
        let path = run.join(name);
        std::fs::remove_file(&path).unwrap();
        put(&path);
        shop.orch("status").run().exits(0);
        go.say("go");
        let ended = shop.run();
        if name == "exits.jsonl" {
            ended.held(75, "nobody saw how it ended (bad-record)");
            assert!(!shop.has(REPORT));
        } else {
            ended.exits(0);
        }
        assert_eq!(shop.ledger().len(), 1, "{name}");
    }
}

/// What was refused while the runner lived is not taken by the next one: another repository with the same files is not
/// what the suite ran in.
#[test]
fn a_pass_in_a_worktree_that_was_replaced_is_held() {
    let copied = "cp -a .git copy\nmv .git SCRATCH/away\nmv copy .git\n";
    let led_away = "mv .git SCRATCH/away\necho gitdir: SCRATCH/away > .git\n";
    for replace in [copied, led_away] {
        let shop = Shop::running(&format!("{NOTES}{replace}{PASSES}"));
        shop.run().held(10, "repository-damaged").says("was replaced in");
        shop.run().exits(10).says("repository-damaged");
        assert!(!shop.has(REPORT));
        assert_eq!(shop.ledger().len(), 1);
    }
    // The same, where its runner died.
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    going.kill();
    let aside = shop.scratch("aside");
    std::fs::rename(&shop.tree, &aside).unwrap();
    crate::support::git_in(
        shop.tree.parent().unwrap(),
        &["clone", "-q", aside.to_str().unwrap(), shop.tree.to_str().unwrap()],
    );
    go.say("go");
    shop.run().held(78, "tree-changed");
}

/// A verdict is bound to the commit: one of the same files is another.
#[test]
fn a_pass_is_not_taken_for_a_commit_that_was_made_meanwhile() {
    let shop = waiting(PASSES);
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    going.kill();
    shop.git(&["commit", "-q", "--allow-empty", "-m", "meanwhile"]);
    go.say("go");
    shop.run().held(78, "tree-changed").says("HEAD (");
    assert!(!shop.has(REPORT));
}
