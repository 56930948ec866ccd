//! What may happen to the state folder: each case is really made, told with the place and the next step, and loses
//! nothing that was recorded.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use crate::support::{Ended, Mount, NOTES, PASSES, Shop, WAITS, command, in_own_mounts};

/// Notes its attempt and passes.
fn noting() -> Shop {
    Shop::running(&format!("{NOTES}{PASSES}"))
}

/// Notes its attempt, says that it has begun, waits for a word, and passes.
fn waiting() -> Shop {
    Shop::running(&format!("{NOTES}{WAITS}{PASSES}"))
}

/// The ids of all runs, newest first.
fn runs(shop: &Shop) -> Vec<String> {
    let list = shop.orch("run list").run().exits(0).stdout();
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// orch's own trouble or a hold, told as such; never a panic.
fn troubled(ended: Ended) -> Ended {
    let ended = ended.never("panicked");
    match ended.code() {
        Some(70) => ended.talks("error: ").talks("help: "),
        Some(75 | 78) => {
            let code = ended.code().unwrap();
            ended.held(code, "")
        }
        code => panic!("exit {code:?}\n{ended}"),
    }
}

/// Runs a task on, after a run that met trouble, until it passes.
fn goes_on(shop: &Shop, first: Ended) {
    let mut last = first;
    for _ in 0..3 {
        last = if last.code() == Some(70) { shop.run() } else { shop.release_and_run() };
        if last.code() == Some(0) {
            return;
        }
        last = troubled(last);
    }
    panic!("it does not go on\n{last}");
}

/// Writes the log back into the database, as a long life does.
fn written_back(state: &Path) {
    let raw = rusqlite::Connection::open(state.join("orch.db")).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn copy(from: &Path, to: &Path) {
    assert!(command("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_read_only_folder() {
    in_own_mounts("state::a_read_only_folder", || {
        let shop = noting();
        shop.run().exits(0);
        let before = runs(&shop);
        shop.write("suite.sh", &format!("{NOTES}{PASSES}# again\n"));
        let mount = Mount::read_only(&shop.state());
        shop.run().refused(70, "Read-only file system").talks(shop.state().to_str().unwrap());
        shop.orch("status").run().refused(70, "read-only").talks("writable");
        assert_eq!(shop.ledger().len(), 1, "nothing was started");
        mount.take_off();
        shop.run().exits(0);
        assert_eq!(runs(&shop).last(), before.last());
        assert_eq!((runs(&shop).len(), shop.ledger().len()), (2, 2));
    });
}

#[test]
fn a_read_only_place_for_a_first_run() {
    in_own_mounts("state::a_read_only_place_for_a_first_run", || {
        let shop = noting();
        let place = shop.scratch("place");
        fs::create_dir(&place).unwrap();
        let mount = Mount::read_only(&place);
        let run = || shop.orch("pipeline run").env("ORCH_STATE_DIR", place.join("state")).run();
        run().refused(3, "Read-only file system").talks(place.to_str().unwrap());
        assert!(shop.ledger().is_empty());
        mount.take_off();
        run().exits(0);
    });
}

#[test]
fn a_folder_that_this_user_may_not_use() {
    // Only root can be two users.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let shop = noting();
    shop.run().exits(0);
    let before = runs(&shop);
    shop.write("suite.sh", &format!("{NOTES}{PASSES}# again\n"));
    fs::set_permissions(shop.scratch(""), fs::Permissions::from_mode(0o755)).unwrap();
    let owned = |owner: &str| {
        assert!(command("chown").args(["-R", owner]).arg(&shop.tree).status().unwrap().success());
    };
    owned("54321");
    let other = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    let run = || shop.orch("pipeline run").under(Path::new("/usr/bin/setpriv"), &other);
    run().run().refused(3, "belongs to user 0").talks(shop.state().to_str().unwrap());
    // A place where that user may make nothing.
    let closed = shop.scratch("closed/state");
    run().env("ORCH_STATE_DIR", &closed).run().refused(3, "Permission denied").talks("owner and mode");
    owned("0");
    assert_eq!((runs(&shop), shop.ledger().len()), (before, 1));
    shop.run().exits(0);
}

#[test]
fn a_folder_that_others_may_write_to() {
    let shop = noting();
    shop.run().exits(0);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&shop.state(), 0o777);
    for words in ["pipeline run", "status", "run list"] {
        shop.orch(words).run().refused(3, "its mode is 777").talks("chmod 700");
    }
    mode(&shop.state(), 0o700);
    mode(&shop.state().join("orch.db"), 0o666);
    shop.run().refused(70, "its mode is 0666").talks("chmod 600");
    mode(&shop.state().join("orch.db"), 0o600);
    shop.run().exits(0).says("done already");
}

#[test]
fn something_else_in_the_folders_place() {
    let shop = noting();
    fs::write(shop.state(), "a file\n").unwrap();
    shop.run().refused(3, "is not a folder").talks(shop.state().to_str().unwrap());
    shop.orch("pipeline run").env("ORCH_STATE_DIR", shop.state().join("below")).run().refused(3, "state/below");
    fs::remove_file(shop.state()).unwrap();
    shop.run().exits(0);
}

/// From far too little room to enough: wherever it ends, a run with room goes on from there.
#[test]
fn a_full_disk_before_the_first_run() {
    in_own_mounts("state::a_full_disk_before_the_first_run", || {
        let mut ended = std::collections::BTreeSet::new();
        for kib in (64..480).step_by(32) {
            let shop = noting();
            shop.on_a_small_disk();
            fs::create_dir(shop.state()).unwrap();
            let _mount = Mount::of_kib(&shop.state(), 4096);
            let fill = shop.state().join("fill");
            fs::write(&fill, vec![0; (4096 - kib) * 1024]).unwrap();
            let first = shop.run();
            ended.insert(first.code());
            if first.code() == Some(0) {
                continue;
            }
            let first = troubled(first);
            assert!(first.code() != Some(70) || first.stderr().contains("no space left"), "{first}");
            fs::remove_file(fill).unwrap();
            let known = runs(&shop);
            // A hold that the lack of room came to is told and released. An attempt whose output could not be kept runs again.
            goes_on(&shop, first);
            let now = runs(&shop);
            assert!(known.iter().all(|run| now.contains(run)), "{kib} KiB: {known:?}, {now:?}");
            assert!((1..=2).contains(&shop.ledger().len()), "{kib} KiB: {:?}", shop.ledger());
        }
        assert!(ended.contains(&Some(70)) && ended.contains(&Some(0)), "{ended:?}");
    });
}

#[test]
fn a_disk_that_the_suite_fills() {
    in_own_mounts("state::a_disk_that_the_suite_fills", || {
        let fill = "dd if=/dev/zero of=SCRATCH/state/fill bs=64k 2>/dev/null\n";
        let shop = Shop::running(&format!("{NOTES}test -e SCRATCH/enough || {fill}{PASSES}"));
        shop.on_a_small_disk();
        fs::create_dir(shop.state()).unwrap();
        let mount = Mount::of_kib(&shop.state(), 4096);
        troubled(shop.run().exits(70).talks("no space left").talks("free some space"));
        // Still full: it says the same, and starts nothing.
        troubled(shop.run().exits(70).talks("no space left"));
        assert_eq!(shop.ledger().len(), 1);
        let known = runs(&shop);
        fs::remove_file(shop.state().join("fill")).unwrap();
        fs::write(shop.scratch("enough"), "").unwrap();
        // What the full disk did to the attempt is told first: its output is not whole.
        shop.run().held(78, "output-incomplete").talks("was left by its runner");
        assert_eq!((runs(&shop), shop.ledger().len()), (known.clone(), 1));
        shop.release_and_run().exits(0);
        assert_eq!((runs(&shop).last(), shop.ledger().len()), (known.last(), 2));
        mount.take_off();
    });
}

#[test]
fn a_full_disk_under_a_store_that_is_there() {
    in_own_mounts("state::a_full_disk_under_a_store_that_is_there", || {
        let shop = noting();
        shop.on_a_small_disk();
        fs::create_dir(shop.state()).unwrap();
        let _mount = Mount::of_kib(&shop.state(), 2048);
        shop.run().exits(0);
        let before = runs(&shop);
        shop.write("suite.sh", &format!("{NOTES}{PASSES}# again\n"));
        let fill = shop.state().join("fill");
        assert!(!command("dd").arg("if=/dev/zero").arg(format!("of={}", fill.display())).status().unwrap().success());
        let first = troubled(shop.run());
        shop.orch("status").run().never("panicked");
        fs::remove_file(fill).unwrap();
        goes_on(&shop, first);
        assert_eq!(runs(&shop).last(), before.last());
        assert_eq!(shop.ledger().len(), 2);
    });
}

#[test]
fn a_full_worktree() {
    in_own_mounts("state::a_full_worktree", || {
        let shop = noting();
        shop.on_a_small_disk();
        let kept = shop.scratch("kept");
        copy(&shop.tree, &kept);
        let _mount = Mount::of_kib(&shop.tree, 2048);
        copy(&kept.join("."), &shop.tree);
        fs::write(shop.tree.join(".git/info/exclude"), "fill\n").unwrap();
        let fill = shop.tree.join("fill");
        assert!(!command("dd").arg("if=/dev/zero").arg(format!("of={}", fill.display())).status().unwrap().success());
        // The suite passed, and its artifact could not be written: no pass, and nobody is blamed.
        shop.run().held(75, "No space left on device").says("13-test-report.md").never("panicked");
        fs::remove_file(fill).unwrap();
        shop.release_and_run().exits(0);
        assert_eq!((runs(&shop).len(), shop.ledger().len()), (2, 2));
    });
}

/// Damage is made, told by every command, and taken back: what was recorded is still there.
#[test]
fn a_damaged_store_is_told_and_never_begun_anew() {
    let shop = noting();
    shop.run().exits(0);
    let known = runs(&shop);
    let whole = shop.scratch("whole");
    let check = |what: &str, damage: &dyn Fn(&Path), says: &str, next: &str| {
        copy(&shop.state(), &whole);
        damage(&shop.state());
        for words in ["pipeline run", "status", "run list", "explain"] {
            let ended = shop.orch(words).run().never("panicked");
            assert_eq!(ended.code(), Some(70), "{what}: {words}\n{ended}");
            ended.refused(70, says).talks(next).talks(shop.state().to_str().unwrap());
        }
        fs::remove_dir_all(shop.state()).unwrap();
        fs::rename(&whole, shop.state()).unwrap();
        shop.run().exits(0).says("done already");
        assert_eq!((runs(&shop), shop.ledger().len()), (known.clone(), 1), "{what}");
    };
    let database = |state: &Path| state.join("orch.db");
    let poke = |state: &Path, at: u64, bytes: &[u8]| {
        written_back(state);
        fs::OpenOptions::new().write(true).open(state.join("orch.db")).unwrap().write_all_at(bytes, at).unwrap();
    };
    let without =
        |state: &Path, files: &[&str]| files.iter().for_each(|file| fs::remove_file(state.join(file)).unwrap());
    let newer = |state: &Path| {
        rusqlite::Connection::open(database(state)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    };
    check("a newer schema", &newer, "has schema 99", "use the newer orch");
    check("its first bytes", &|state| poke(state, 3, b"X"), "orch.db", "docs/reference/store.md");
    check("its first page", &|state| poke(state, 100, &[0xff; 60]), "orch.db", "docs/reference/store.md");
    check("the schema's page", &|state| poke(state, 4096 - 64, &[0xa5; 64]), "orch.db", "docs/reference/store.md");
    let cut = |state: &Path, len| {
        written_back(state);
        fs::OpenOptions::new().write(true).open(database(state)).unwrap().set_len(len).unwrap();
    };
    check("cut in a page", &|state| cut(state, 5000), "is damaged", "restore");
    check("cut at a page", &|state| cut(state, 8192), "is damaged", "restore");
    check("empty", &|state| fs::write(database(state), "").unwrap(), "the file is empty", "restore");
    let text = |state: &Path| {
        without(state, &["orch.db-wal", "orch.db-shm"]);
        fs::write(
            database(state),
            "hello
",
        )
        .unwrap();
    };
    check("a text", &text, "is not a store of orch", "--state-dir");
    let foreign = |state: &Path| {
        without(state, &["orch.db", "orch.db-wal", "orch.db-shm"]);
        rusqlite::Connection::open(database(state)).unwrap().execute_batch("CREATE TABLE music (name)").unwrap();
        fs::set_permissions(database(state), fs::Permissions::from_mode(0o600)).unwrap();
    };
    check("another program's", &foreign, "a database of another program", "--state-dir");
    check("gone", &|state| without(state, &["orch.db"]), "is missing", "restore orch.db");
    check("its log gone", &|state| without(state, &["orch.db-wal"]), "it was closed with", "its -wal was removed");
    let all = |state: &Path| without(state, &["orch.db-wal", "orch.db-shm", "orch.db.lock"]);
    check("all beside it gone", &all, "has no events, and", "move the whole state folder away");
    let linked = |state: &Path| {
        fs::rename(database(state), state.join("real.db")).unwrap();
        std::os::unix::fs::symlink("real.db", database(state)).unwrap();
    };
    check("a link", &linked, "it is a symbolic link", "plain files");
    check(
        "two names",
        &|state| fs::hard_link(database(state), state.join("x")).unwrap(),
        "2 hard links",
        "plain files",
    );
}

/// Only orch's lock file lost is nothing lost.
#[test]
fn a_lock_file_that_is_gone_is_made_again() {
    let shop = noting();
    shop.run().exits(0);
    fs::remove_file(shop.state().join("orch.db.lock")).unwrap();
    fs::remove_dir_all(shop.state().join("locks")).unwrap();
    shop.run().exits(0).says("done already");
    assert_eq!((runs(&shop).len(), shop.ledger().len()), (1, 1));
}

/// A byte in the middle of any page: refused, or without effect on what is read.
#[test]
fn a_flipped_byte_in_the_middle_panics_nobody() {
    let shop = noting();
    shop.run().exits(0);
    written_back(&shop.state());
    let list = shop.orch("run list").run().exits(0).stdout();
    let whole = fs::read(shop.state().join("orch.db")).unwrap();
    for page in (0..whole.len()).step_by(3 * 4096) {
        let mut bytes = whole.clone();
        for at in [page + 1, page + 2000, page + 4000] {
            bytes[at] ^= 0x55;
        }
        fs::write(shop.state().join("orch.db"), bytes).unwrap();
        let ended = shop.orch("run list").run().never("panicked");
        match ended.code() {
            Some(0) => assert_eq!(ended.stdout(), list, "page {}", page / 4096),
            _ => drop(ended.refused(70, "orch.db")),
        }
    }
    fs::write(shop.state().join("orch.db"), whole).unwrap();
    shop.run().exits(0).says("done already");
}

/// What happens to the folder while the suite waits, how it is told, what is put back, and what the next run does.
#[test]
fn what_is_taken_away_under_a_running_run() {
    let check = |what: &str, take: &dyn Fn(&Shop), back: &dyn Fn(&Shop), then: &dyn Fn(&Shop)| {
        let shop = waiting();
        let (mut said, mut go) = shop.said_and_go();
        let going = shop.orch("pipeline run").start();
        said.next();
        take(&shop);
        go.say("go");
        let ended = going.end().never("panicked");
        assert_eq!(ended.code(), Some(70), "{what}\n{ended}");
        ended.talks("was removed or replaced while it was in use").talks("help: ").never("task main: done");
        back(&shop);
        go.say("go");
        then(&shop);
    };
    let state = |shop: &Shop, file: &str| shop.state().join(file);
    // The attempt's record was in what came back: it is judged, not run again.
    let judged = |shop: &Shop| {
        shop.run().exits(0).talks("was left by its runner");
        assert_eq!((runs(shop).len(), shop.ledger().len()), (1, 1));
    };
    let away = |shop: &Shop| fs::rename(shop.state(), shop.scratch("away")).unwrap();
    let put_back = |shop: &Shop| {
        assert!(!shop.state().exists(), "nothing may stand in its place");
        fs::rename(shop.scratch("away"), shop.state()).unwrap();
    };
    check("the folder moved away and back", &away, &put_back, &judged);
    let link = |shop: &Shop| {
        fs::rename(state(shop, "orch.db"), shop.scratch("real.db")).unwrap();
        std::os::unix::fs::symlink(shop.scratch("real.db"), state(shop, "orch.db")).unwrap();
    };
    let unlink = |shop: &Shop| {
        shop.run().refused(70, "symbolic link");
        fs::remove_file(state(shop, "orch.db")).unwrap();
        fs::rename(shop.scratch("real.db"), state(shop, "orch.db")).unwrap();
    };
    check("the database replaced by a link", &link, &unlink, &judged);
    let gone = |shop: &Shop| fs::remove_dir_all(shop.state()).unwrap();
    let anew = |shop: &Shop| {
        assert!(!shop.state().exists(), "a folder that was taken away does not come back by itself");
        shop.run().exits(0);
        assert_eq!(shop.ledger().len(), 2);
    };
    check("the folder deleted", &gone, &|_| {}, &anew);
    let refused = |says: &'static str| {
        move |shop: &Shop| {
            shop.run().refused(70, says).talks("restore");
            shop.orch("status").run().refused(70, says);
            assert_eq!(shop.ledger().len(), 1, "no empty store was started in its place");
        }
    };
    let database = |shop: &Shop| fs::remove_file(state(shop, "orch.db")).unwrap();
    check("the database deleted", &database, &|_| {}, &refused("is missing, and"));
    let log = |shop: &Shop| fs::remove_file(state(shop, "orch.db-wal")).unwrap();
    check("the log deleted", &log, &|_| {}, &refused("has no events, and"));
}

/// Without the locks' files two runners can meet: the suite runs once all the same, and its result is stored once.
#[test]
fn locks_taken_away_under_a_running_run() {
    let shop = waiting();
    let (mut said, mut go) = shop.said_and_go();
    let first = shop.orch("pipeline run").start();
    said.next();
    fs::remove_dir_all(shop.state().join("locks")).unwrap();
    fs::remove_file(shop.state().join("orch.db.lock")).unwrap();
    let second = shop.orch("pipeline run").start();
    go.say("go");
    let ended = [first.end(), second.end()].map(|ended| ended.never("panicked"));
    assert!(ended.iter().any(|ended| ended.code() == Some(0)), "{}\n{}", ended[0], ended[1]);
    for ended in &ended {
        assert!(matches!(ended.code(), Some(0 | 4 | 70)), "{ended}");
    }
    assert_eq!((runs(&shop).len(), shop.ledger().len()), (1, 1), "{}\n{}", ended[0], ended[1]);
    shop.run().exits(0).says("done already");
}
