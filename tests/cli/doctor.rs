//! `orch doctor`: everything at once, each with its remedy; it starts nothing and makes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Ended, Mount, NOTES, PASSES, Shop, Testing, WAITS, in_own_mounts, supervisor_of};

fn noting() -> Shop {
    Shop::running(&format!("{NOTES}{PASSES}"))
}

fn doctor(shop: &Shop) -> Ended {
    shop.orch("doctor").run().never("panicked")
}

/// The findings of an area with this status.
fn found(ended: &Ended, area: &str, status: &str) -> Vec<String> {
    let document = ended.json();
    let all = document["findings"].as_array().unwrap();
    for finding in all {
        let helped = finding["help"].as_str().is_some_and(|help| !help.is_empty());
        assert_eq!(helped, finding["status"] != "ok", "what is wrong has a remedy: {finding}");
    }
    let fits = all.iter().filter(|finding| finding["area"] == area && finding["status"] == status);
    fits.map(|finding| finding["seen"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_place_that_is_fit() {
    let shop = noting();
    let ended = doctor(&shop).exits(0).says("all is well").says("branch main").says("is not there yet");
    for area in ["orch", "git", "worktree", "state", "store", "kernel", "clock", "pipeline", "programs", "environment"]
    {
        let line = format!("ok    {area}");
        assert!(ended.stdout().contains(&line) || area == "store", "{area}\n{ended}");
    }
    assert!(!shop.state().exists() && shop.ledger().is_empty(), "it makes and starts nothing");
    shop.run().exits(0);
    let ended = shop.orch("doctor --json").run().exits(0);
    assert_eq!(ended.json()["status"], "ok");
    assert!(found(&ended, "store", "ok")[0].contains("quick check passed"), "{ended}");
    assert!(found(&ended, "state", "ok")[0].contains("mode 0700"), "{ended}");
    assert!(found(&ended, "programs", "ok")[0].starts_with("testing: sh is /"), "{ended}");
    assert!(found(&ended, "worktree", "ok").iter().any(|seen| seen.ends_with("as committed")), "{ended}");
    assert_eq!(shop.ledger().len(), 1);
    // A change that is not committed and a detached HEAD are no faults. The artifact of another task is a file like any.
    shop.write("new", "1\n");
    shop.git(&["checkout", "-q", "--detach"]);
    doctor(&shop).exits(0).says("2 of ").says("differ from the commit").says("its task is called detached-");
}

#[test]
fn outside_a_repository_it_says_so() {
    let shop = noting();
    let outside = shop.scratch("outside");
    fs::create_dir(&outside).unwrap();
    let ended = shop.orch("doctor --json").cwd(&outside).run().exits(3);
    assert!(found(&ended, "worktree", "fail")[0].contains(outside.to_str().unwrap()), "{ended}");
    assert_eq!(found(&ended, "state", "ok"), ["not looked at: it belongs to a worktree"]);
    shop.orch("doctor").env("PATH", "/no/such").run().exits(3).says("fail  git").says("install git");
}

/// What is in the way is told at once, not one after the other.
#[test]
fn all_that_stops_a_run_is_told_at_once() {
    let shop = Shop::new(&Testing::new().text().replace("command:", "comand:"), &[("suite.sh", PASSES)]);
    fs::create_dir(shop.state()).unwrap();
    fs::set_permissions(shop.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let ended = shop.orch("doctor --json").run().exits(3);
    assert_eq!((found(&ended, "pipeline", "fail").len(), found(&ended, "state", "fail").len()), (1, 1), "{ended}");
    doctor(&shop).exits(3).says("a run cannot start: 2 to mend").says("orch pipeline validate").says("chmod 700");
    // So does a start.
    shop.run().refused(3, "comand").talks("pipelines/shop.yaml").talks("its mode is 777").talks("chmod 700");
    fs::remove_dir_all(shop.tree.join("pipelines")).unwrap();
    shop.run().refused(3, "there is no pipeline").talks("its mode is 777");
    fs::set_permissions(shop.state(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(shop.state().join("orch.db"), "x").unwrap();
    fs::set_permissions(shop.state().join("orch.db"), fs::Permissions::from_mode(0o600)).unwrap();
    shop.run().refused(3, "there is no pipeline").talks("is not a store of orch");
    // The store's trouble alone has the code that a run gives it.
    shop.write("pipelines/shop.yaml", &Testing::new().text());
    shop.run().refused(70, "is not a store of orch");
}

#[test]
fn each_fault_has_its_finding() {
    let check = |pipeline: &str, area: &str, status: &str, says: &str, code: i32| {
        let shop = Shop::new(pipeline, &[("suite.sh", &format!("{NOTES}{PASSES}"))]);
        let ended = shop.orch("doctor --json").env("SECRET", "hush-hush").run().exits(code).never("hush-hush");
        assert!(found(&ended, area, status).iter().any(|seen| seen.contains(says)), "{says}\n{ended}");
        assert!(shop.ledger().is_empty());
    };
    let suite = Testing::new;
    check(&suite().command("[no-such-program, x]").text(), "programs", "warn", "`no-such-program` cannot be found", 0);
    check(&suite().command("[./suite.sh, x]").text(), "programs", "warn", "`./suite.sh` is there, and ", 0);
    check(&suite().command("[./built, x]").text(), "programs", "warn", "`./built` cannot be found", 0);
    check(&suite().suite("cwd: out").text(), "programs", "warn", "its folder ", 0);
    let unset = suite().command("[sh, \"${NOT_SET}\"]").suite("env: { pass: [NOT_SET] }");
    check(&unset.text(), "programs", "fail", "`${NOT_SET}`, which is not set", 3);
    let secret = suite().command("[sh, \"${SECRET}\"]").suite("env: { pass: [SECRET] }");
    check(&secret.text(), "programs", "ok", "testing: sh is", 0);
    let secret = suite().command("[\"${SECRET}\"]").suite("env: { pass: [SECRET] }");
    check(&secret.text(), "programs", "warn", "`${SECRET}` cannot be found", 0);
    // The search path is the producer's, not orch's.
    let elsewhere = suite().suite("env: { set: { PATH: /no/such } }");
    check(&elsewhere.text(), "programs", "warn", "`sh` cannot be found", 0);
    check("version: 1\n", "pipeline", "fail", "problem", 3);

    let shop = noting();
    let state = shop.tree.join("state");
    let ended = shop.orch("doctor --json").env("ORCH_STATE_DIR", &state).run().exits(3);
    assert!(found(&ended, "state", "fail")[0].contains("where producers work"), "{ended}");
    let ended = shop.orch("doctor --json").env("ORCH_STATE_DIR", "/proc/orch").run().exits(3);
    assert!(found(&ended, "state", "fail")[0].contains("proc"), "{ended}");
    shop.write("pipelines/other.yaml", &Testing::new().text());
    shop.orch("doctor").run().exits(3).says("several pipelines").says("--pipeline");
    shop.orch("doctor --pipeline pipelines/other.yaml").run().exits(0);
    shop.orch("doctor --pipeline pipelines/none.yaml").run().exits(3).says("pipelines/none.yaml");
    shop.run().exits(3);
}

/// The folder keeps others out; what would be open without it, or is another's, is told all the same.
#[test]
fn what_others_may_write_in_the_state_folder_is_told() {
    let shop = noting();
    shop.run().exits(0);
    let ended = shop.orch("doctor --json").run().exits(0);
    assert_eq!(found(&ended, "state", "warn"), [""; 0], "{ended}");
    let run = fs::read_dir(shop.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    for path in [shop.state().join("locks"), shop.state().join("locks/main.lock"), run.join("stdout.log")] {
        let was = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let ended = shop.orch("doctor --json").run().exits(0);
        assert!(found(&ended, "state", "warn")[0].contains(&format!("{} (owner ", path.display())), "{ended}");
        fs::set_permissions(&path, was).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            let ended = shop.orch("doctor --json").run().exits(0);
            assert!(found(&ended, "state", "warn")[0].contains("(owner 12345, "), "{ended}");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
    }
    shop.run().exits(0);
}

#[test]
fn a_store_that_is_refused_is_a_finding() {
    let shop = noting();
    shop.run().exits(0);
    rusqlite::Connection::open(shop.state().join("orch.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let ended = shop.orch("doctor --json").run().exits(3);
    assert!(found(&ended, "store", "fail")[0].contains("has schema 99"), "{ended}");
}

#[test]
fn a_disk_that_is_full_or_read_only() {
    in_own_mounts("doctor::a_disk_that_is_full_or_read_only", || {
        let shop = noting();
        fs::create_dir(shop.state()).unwrap();
        let mount = Mount::of_kib(&shop.state(), 512);
        let ended = shop.orch("doctor --json").run().exits(3);
        assert!(found(&ended, "state", "fail")[0].contains("too little for a run"), "{ended}");
        mount.take_off();
        let mount = Mount::of_kib(&shop.state(), 8192);
        let ended = shop.orch("doctor --json").run().exits(3);
        let seen = found(&ended, "state", "fail")[0].clone();
        assert!(seen.starts_with("tmpfs, ") && seen.contains("below 256.0 MiB (ORCH_STATE_FREE_MIN_MIB)"), "{ended}");
        shop.orch("doctor --json").env("ORCH_STATE_FREE_MIN_MIB", "2").run().exits(0);
        mount.take_off();
        fs::set_permissions(shop.state(), fs::Permissions::from_mode(0o700)).unwrap();
        let mount = Mount::read_only(&shop.state());
        let ended = shop.orch("doctor --json").run().exits(3);
        assert!(found(&ended, "state", "fail")[0].contains("read-only"), "{ended}");
        mount.take_off();
        let _mount = Mount::read_only(&shop.tree);
        let ended = shop.orch("doctor --json").run().exits(3);
        assert!(found(&ended, "worktree", "fail")[0].contains("read-only"), "{ended}");
    });
}

#[test]
fn who_is_at_work_and_what_was_left() {
    let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.next();
    let pid = going.pid().to_string();
    let ended = shop.orch("doctor --json").run().exits(0);
    assert!(found(&ended, "locks", "ok")[0].contains(&format!("task main is driven by pid {pid}")), "{ended}");
    assert_eq!(found(&ended, "leftovers", "ok").len(), 1, "{ended}");
    let supervisor = supervisor_of(going.pid());
    going.kill();
    let ended = shop.orch("doctor --json").run().exits(0);
    assert!(found(&ended, "locks", "warn")[0].contains(&format!("left by pid {pid}")), "{ended}");
    let left = found(&ended, "leftovers", "warn");
    assert!(
        left[0].contains("task main lives without a runner") && left[0].contains(&supervisor.to_string()),
        "{ended}"
    );
    // Looking did not disturb it.
    go.say("go");
    shop.run().exits(0);
    assert_eq!(shop.ledger().len(), 1);
    let ended = shop.orch("doctor --json").run().exits(0);
    assert_eq!((found(&ended, "leftovers", "warn"), found(&ended, "locks", "warn")), (vec![], vec![]), "{ended}");
}

#[test]
fn another_build_of_orch_at_work_is_named() {
    let shop = Shop::running(&format!("{WAITS}{PASSES}"));
    let (mut said, mut go) = shop.said_and_go();
    let other = shop.scratch("other-orch");
    fs::copy(env!("CARGO_BIN_EXE_orch"), &other).unwrap();
    let mut old = crate::support::command(&other);
    old.args(["pipeline", "run"]).current_dir(&shop.tree).env("ORCH_STATE_DIR", shop.state());
    let going = crate::support::Orch::new(old).start();
    said.next();
    let ended = shop.orch("doctor --json").run().exits(0);
    let seen = &found(&ended, "locks", "warn")[0];
    assert!(seen.contains("another build of orch") && seen.contains("other-orch"), "{ended}");
    go.say("go");
    going.end().exits(0);
}

#[test]
fn the_environment_is_told_by_name_only() {
    let shop = noting();
    let ended = shop.orch("doctor").env("ORCH_TOKEN", "hush-hush").env("OTHER", "x").run().exits(0);
    ended.says("ORCH_STATE_DIR ORCH_TOKEN").never("hush-hush").never("OTHER");
}

/// A missing program is a hold with a record; the start only warns of it.
#[test]
fn a_start_warns_of_a_program_that_is_missing() {
    let shop = Shop::new(&Testing::new().command("[no-such-program]").text(), &[("suite.sh", PASSES)]);
    let ended = shop.run().held(78, "no-such-program");
    ended.talks("warning: the program `no-such-program` of stage `testing` cannot be found");
    noting().run().exits(0).never("cannot be found");
}

/// Row G5: what was to be started, what was, how it ended, what was decided; each there, and all of one mind.
#[test]
fn the_paper_trail_of_a_run() {
    let shop = Shop::running(PASSES);
    shop.run().exits(0);
    let run = shop.orch("run list --json").run().json()["runs"][0]["run"].as_str().unwrap().to_owned();
    let trail = || shop.orch("doctor").arg(&run);
    let whole =
        trail().run().exits(0).says("the paper trail is whole").says("exit code 0").says("`sh` with 1 arguments");
    for area in ["brief", "launch", "end", "decision"] {
        assert_eq!(found(&trail().arg("--json").run(), area, "ok").len(), 1, "{area}\n{whole}");
    }
    shop.orch("doctor 00").run().refused(2, "00");

    let records = shop.state().join("runs").join(&run).join("exits.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    std::fs::write(&records, text.replace("{\"code\":0}", "{\"code\":1}")).unwrap();
    trail().run().exits(1).says("the supervisor wrote `exit code 1`, and the store has `exit code 0`");
    std::fs::write(&records, "").unwrap();
    trail().run().exits(1).says("the exit record of attempt").says("no supervisor's line says so");
    std::fs::write(&records, text.replace("\"version\":1,\"fact\"", "\"version\":9,\"fact\"")).unwrap();
    trail().run().exits(1).says("form 9");
}

#[test]
fn the_paper_trail_of_what_never_came_to_life() {
    let shop = Shop::new(&Testing::new().command("[no-such-program]").text(), &[]);
    shop.run().exits(78);
    let run = shop.orch("run list --json").run().json()["runs"][0]["run"].as_str().unwrap().to_owned();
    shop.orch("doctor").arg(&run).run().exits(0).says("SPAWN FAILED: `no-such-program`");
    std::fs::read_dir(shop.state().join("runs").join(&run))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".spawn.error"))
        .for_each(|path| std::fs::remove_file(path).unwrap());
    shop.orch("doctor").arg(&run).run().exits(1).says("its sentinel is gone");
}
