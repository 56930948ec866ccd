//! Too little room: nothing is started below the floors, and what runs when the disk fills is recorded all the same.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::support::{
    CHECK_THEN_TESTING, Ended, Mount, NOTES, PASSES, Shop, WAITS, await_end, command, in_own_mounts, supervisor_of,
    tool,
};

/// Everything that is left of a disk.
fn fill(file: &Path) {
    let of = format!("of={}", file.display());
    assert!(!command("dd").args(["if=/dev/zero", "bs=4k"]).arg(of).output().unwrap().status.success());
}

/// Held at a stage for want of space: the numbers are told, it may pass by itself, and nothing was started.
fn is_short_of_space(shop: &Shop, ended: Ended, place: &Path, least: &str, started: usize) {
    let told = format!("free in {}, and nothing is started below {least}", place.display());
    ended.held(75, &told);
    shop.orch("hold list").run().exits(0).says(&told);
    assert_eq!(shop.ledger().len(), started);
}

#[test]
fn below_a_floor_nothing_is_started_and_with_room_it_goes_on_by_itself() {
    in_own_mounts("room::below_a_floor_nothing_is_started_and_with_room_it_goes_on_by_itself", || {
        let shop = Shop::running(&format!("{NOTES}{PASSES}"));
        fs::create_dir(shop.state()).unwrap();
        let _mount = Mount::of_kib(&shop.state(), 8 * 1024);
        let run =
            |words: &str| shop.orch(words).env("ORCH_STATE_FREE_MIN_MIB", "4").env("ORCH_STATE_RESERVE_MIB", "1").run();
        let filled = shop.state().join("fill");
        fs::write(&filled, vec![0; 5 * 1024 * 1024]).unwrap();
        is_short_of_space(&shop, run("pipeline run"), &shop.state(), "4.0 MiB (ORCH_STATE_FREE_MIN_MIB)", 0);
        // Still too little: it looks, and starts nothing.
        run("pipeline run").exits(75).says("nothing was started");
        run("doctor").exits(3).says("nothing is started below 4.0 MiB");
        fs::remove_file(&filled).unwrap();
        run("pipeline run").exits(0).talks("has ended");
        assert_eq!(shop.ledger().len(), 1);
        // Nothing of it was charged or held against the task.
        shop.orch("run list").run().exits(0).says("held");
        shop.orch("verify").run().exits(0);
    });
}

#[test]
fn the_worktree_has_a_floor_of_its_own() {
    in_own_mounts("room::the_worktree_has_a_floor_of_its_own", || {
        let shop = Shop::running(&format!("{NOTES}{PASSES}"));
        let free = rustix::fs::statvfs(&shop.tree).unwrap();
        let more_mib = free.f_bavail * free.f_frsize / 1024 / 1024 + 100 * 1024;
        let run =
            shop.orch("pipeline run").env("ORCH_WORKTREE_FREE_MIN_MIB", more_mib.min(1_048_576).to_string()).run();
        run.exits(75).says("(ORCH_WORKTREE_FREE_MIN_MIB)").says(shop.tree.to_str().unwrap());
        assert!(shop.ledger().is_empty());
        shop.orch("pipeline run").env("ORCH_WORKTREE_FREE_MIN_MIB", "0").run().exits(0);
    });
}

/// The suite of the first stage fills the disk. Its end is recorded with the reserve, and the next stage is not started.
#[test]
fn what_runs_when_the_disk_fills_is_recorded() {
    in_own_mounts("room::what_runs_when_the_disk_fills_is_recorded", || {
        let check = format!("{NOTES}dd if=/dev/zero of=SCRATCH/state/fill bs=4k 2>/dev/null\ntrue\n");
        let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", &check), ("suite.sh", &format!("{NOTES}{PASSES}"))]);
        fs::create_dir(shop.state()).unwrap();
        let _mount = Mount::of_kib(&shop.state(), 8 * 1024);
        let run =
            || shop.orch("pipeline run").env("ORCH_STATE_FREE_MIN_MIB", "2").env("ORCH_STATE_RESERVE_MIB", "1").run();
        let reserve = || fs::metadata(shop.state().join("orch.db.reserve")).unwrap().blocks() * 512;
        is_short_of_space(&shop, run(), &shop.state(), "2.0 MiB (ORCH_STATE_FREE_MIN_MIB)", 1);
        assert_eq!(reserve(), 0, "the reserve was needed");
        shop.orch("run show --json").run().exits(0).says("\"passed\"");
        // Full as it is, a further run is told so and keeps what there is.
        is_short_of_space(&shop, run(), &shop.state(), "2.0 MiB (ORCH_STATE_FREE_MIN_MIB)", 1);
        fs::remove_file(shop.state().join("fill")).unwrap();
        run().exits(0);
        assert_eq!((reserve(), shop.ledger().len()), (1024 * 1024, 2), "the first stage was not run again");
        shop.orch("verify").run().exits(0);
    });
}

/// What is too little there is room for the reserve, and that is another setting than the floor.
#[test]
fn the_setting_that_is_in_the_way_is_named() {
    in_own_mounts("room::the_setting_that_is_in_the_way_is_named", || {
        let shop = Shop::running(&format!("{NOTES}{PASSES}"));
        fs::create_dir(shop.state()).unwrap();
        let _mount = Mount::of_kib(&shop.state(), 1024);
        let ended = shop.orch("pipeline run").env("ORCH_STATE_FREE_MIN_MIB", "0").run();
        ended.held(75, "nothing is started below 8.0 MiB (ORCH_STATE_RESERVE_MIB)").never("ORCH_STATE_FREE_MIN_MIB");
        assert!(shop.ledger().is_empty());
        shop.orch("pipeline run").env("ORCH_STATE_FREE_MIN_MIB", "0").env("ORCH_STATE_RESERVE_MIB", "0").run().exits(0);
    });
}

/// A runner that dies before the disk is full: the next one has the reserve, and records what the supervisor wrote down.
#[test]
fn a_full_disk_does_not_keep_recovery_from_its_work() {
    in_own_mounts("room::a_full_disk_does_not_keep_recovery_from_its_work", || {
        let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
        fs::create_dir(shop.state()).unwrap();
        let _mount = Mount::of_kib(&shop.state(), 8 * 1024);
        let run = || shop.orch("pipeline run").env("ORCH_STATE_FREE_MIN_MIB", "0").env("ORCH_STATE_RESERVE_MIB", "1");
        let (mut said, mut go) = shop.said_and_go();
        let going = run().start();
        said.next();
        let supervisor = supervisor_of(going.pid());
        going.kill();
        let filled = shop.state().join("fill");
        fill(&filled);
        go.say("go");
        // The next run gives the reserve up, and the output must not find room in it.
        await_end(supervisor);
        // The suite passed, and its output could not be kept: that is known, and stored.
        run().run().held(78, "output-incomplete").talks("was left by its runner");
        fs::remove_file(filled).unwrap();
        shop.orch("hold release").run().exits(0);
        let again = run().start();
        said.next();
        go.say("go");
        again.end().exits(0);
        assert_eq!(shop.ledger().len(), 2);
        shop.orch("verify").run().exits(0);
    });
}

/// One write of the store meets a full disk, whichever it is: the run comes to its end or is held, and never breaks.
#[test]
fn any_write_of_the_store_may_meet_a_full_disk() {
    const STRIDE: usize = 7;
    const MOST: usize = 400;
    let shop = Shop::running(&format!("{NOTES}{PASSES}"));
    shop.run().exits(0);
    let mut met = 0;
    for nth in (1..MOST).step_by(STRIDE) {
        shop.write("suite.sh", &format!("{NOTES}{PASSES}# {nth}\n"));
        let inject = format!("inject=pwrite64:error=ENOSPC:when={nth}");
        let options = ["-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", "signal=none", "-e", &inject];
        let ended = shop.orch("pipeline run").under(&tool("strace", "strace"), &options).run();
        assert!(matches!(ended.code(), Some(0 | 75)), "pwrite64 {nth}: {ended}");
        let gave_up = shop.orch("doctor").run().stdout().contains("reserve 0 bytes");
        met += usize::from(gave_up);
        shop.run().exits(0);
        if !gave_up && nth > 60 {
            break;
        }
    }
    assert!(met > 3, "only {met} writes met it");
    shop.orch("verify").run().exits(0);
}
