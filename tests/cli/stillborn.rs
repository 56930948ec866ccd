//! Attempts that never became a process, as an operator meets them: told at once, whoever has died.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use crate::support::{CHECK_THEN_TESTING, Ended, Mount, PASSES, Shop, Testing, in_own_mounts, tool};

fn without_program() -> Shop {
    Shop::new(&Testing::new().command("[no-such-program, --token, hush]").text(), &[])
}

/// A run whose runner is killed when it is about to hear its supervisor for the n-th time: first that it is ready, then
/// how the attempt ended.
fn killed_at_word(shop: &Shop, n: u32) {
    let strace = tool("strace", "strace");
    let inject = format!("inject=recvfrom:signal=KILL:when={n}");
    let words = ["-qq", "-o", "/dev/null", "-e", "trace=recvfrom", "-e", &inject];
    let ended: Ended = shop.orch("pipeline run").under(&strace, &words).run();
    assert!(ended.status.signal() == Some(9) || ended.code() == Some(137), "{ended}");
}

/// The folder of the only run.
fn run_dir(shop: &Shop) -> PathBuf {
    let mut runs = std::fs::read_dir(shop.state().join("runs")).unwrap();
    runs.next().unwrap().unwrap().path()
}

#[test]
fn a_failed_start_is_told_first_though_its_runner_died() {
    let shop = without_program();
    killed_at_word(&shop, 2);
    let status = shop.orch("status").run().exits(0).never("hush");
    assert!(status.headline().contains("SPAWN FAILED: `no-such-program` could not be started"), "{status}");
    let status = shop.orch("status --json").run().exits(0).json();
    let told = &status["tasks"][0]["stillborn"]["spawn_errors"];
    assert_eq!(told.as_array().unwrap().len(), 1, "{status}");
    assert_eq!((&told[0]["step"], &told[0]["errno"]), (&"find".into(), &2.into()));
    assert_eq!((&told[0]["command"], &told[0]["subject"]), (&"no-such-program".into(), &"no-such-program".into()));
    // The next run takes the record; from then on the task's state says it.
    shop.run().held(78, "no-such-program");
    shop.orch("status").run().exits(0).never("SPAWN FAILED").says("held at testing");
    let sentinels = std::fs::read_dir(run_dir(&shop)).unwrap().flatten();
    let sentinels = sentinels.filter(|entry| entry.file_name().to_string_lossy().ends_with(".spawn.error"));
    assert_eq!(sentinels.count(), 1, "it stays beside the record");
}

#[test]
fn an_attempt_that_nobody_launched_is_told() {
    let shop = Shop::running(PASSES);
    killed_at_word(&shop, 1);
    shop.until("status", "NEVER LAUNCHED: attempt ");
    let status = shop.orch("status --json").run().exits(0).json();
    assert!(status["tasks"][0]["stillborn"]["never_launched"].is_string(), "{status}");
    // Nothing of it ran, so that nothing is at fault: the task goes on.
    shop.run().exits(0).talks("was left by its runner");
    shop.orch("status").run().exits(0).never("NEVER LAUNCHED");
}

#[test]
fn a_child_that_dies_at_once_has_a_result_with_its_code_and_its_words() {
    let shop = Shop::running("echo 'boom: no config' >&2\nexit 3\n");
    shop.run().held(75, "exit code 3");
    shop.orch("run show").run().exits(0).says("exit code 3");
    shop.orch("logs").run().exits(0).says("boom: no config");
    shop.orch("status").run().exits(0).never("SPAWN FAILED").never("NEVER LAUNCHED");
}

#[test]
fn a_failed_start_that_cannot_be_put_on_record_is_an_error_and_decides_nothing() {
    in_own_mounts("stillborn::a_failed_start_that_cannot_be_put_on_record_is_an_error_and_decides_nothing", || {
        let pipeline = CHECK_THEN_TESTING.replace("[sh, suite.sh]", "[no-such-program]");
        let shop = Shop::new(&pipeline, &[("check.sh", "cat /dev/zero > SCRATCH/state/runs/fill\ntrue\n")]);
        std::fs::create_dir_all(shop.state().join("runs")).unwrap();
        for folder in [shop.state(), shop.state().join("runs")] {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let _small = Mount::of_kib(&shop.state().join("runs"), 1024);
        shop.run()
            .exits(70)
            .talks("`no-such-program` could not be started")
            .talks("help: look at the state folder's space");
        shop.orch("status").run().exits(0).says("running at testing");
        std::fs::remove_file(shop.state().join("runs/fill")).unwrap();
        shop.run().held(78, "no-such-program");
    });
}
