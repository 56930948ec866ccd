//! How a command on another host ends is told exactly: code, signal, limits, and nothing of ssh's own.

use super::host::{GREEN, Host, LOG, RED, Stage};

#[test]
fn a_suite_on_the_host_passes_and_the_log_says_so() {
    let host = Host::new(&Stage::sh(&format!("echo on stderr >&2; {GREEN}")));
    host.run().exits(0).says("done");
    let log = host.shop.read(LOG);
    assert!(log.contains("staging_status: SUCCESS"), "{log}");
    assert!(log.contains("`sh`") || log.contains("sh -c"), "{log}");
    host.orch("gate check docs/work-items/main/15-staging-log.md").run().exits(0);
    // The errand holds the nonce; it is gone, and what was seen of the way stays.
    let folders = std::fs::read_dir(host.shop.state().join("runs")).unwrap();
    let files: Vec<String> = walk(folders.map(|entry| entry.unwrap().path()).collect());
    assert!(!files.iter().any(|file| file.ends_with("remote.json")), "{files:?}");
    assert!(files.iter().any(|file| file.ends_with("channel.json")), "{files:?}");
}

fn walk(mut waiting: Vec<std::path::PathBuf>) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => waiting.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => found.push(path.display().to_string()),
        }
    }
    found
}

#[test]
fn codes_and_signals_are_the_suite_s_own() {
    let host = Host::new(&Stage::sh("exit 0"));
    for (script, code, told) in [
        // A red summary stands whatever the code is: 255, 127 and 126 are not ssh's here.
        (format!("{RED}; exit 255"), 1, "1 failed"),
        (format!("{RED}; exit 127"), 1, "1 failed"),
        (format!("{RED}; exit 126"), 1, "1 failed"),
        (format!("{RED}; exit 0"), 1, "1 failed"),
        (format!("{RED}; kill -9 $$"), 1, "1 failed"),
        // Without one, a code proves nothing, and a signal is named.
        ("kill -9 $$".to_owned(), 75, "SIGKILL"),
        ("kill -TERM $$".to_owned(), 75, "SIGTERM"),
        ("exit 0".to_owned(), 78, "no-evidence"),
    ] {
        host.declare(&Stage::sh(&script));
        let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
        assert_eq!(ended.code(), Some(code), "{script}\n{ended}");
        let explained = host.orch("explain").run();
        assert!(explained.stdout().contains(told) || ended.stdout().contains(told), "{script}\n{ended}\n{explained}");
    }
}

#[test]
fn an_exit_map_reads_the_far_code() {
    let host = Host::new(&Stage::sh("exit 3"));
    let map = |script: &str| {
        let stage = Stage::sh(script);
        let text = stage.key("exit: { pass: [0, 3], fail: [255] }");
        host.declare(&text);
        let path = host.shop.scratch("shop/pipelines/shop.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(
            "evidence: closing-line, closing-line: '(?P<total>\\d+) checks, (?P<failed>\\d+) failed', ",
            "evidence: exit-code, ",
        );
        std::fs::write(path, text).unwrap();
        host.shop.commit("map");
        host.orch("pipeline run --no-wait --from staging --accept-pipeline").run()
    };
    map("exit 3").exits(0);
    map("exit 7").exits(75);
}

#[test]
fn a_limit_is_ours_and_the_far_side_is_gone() {
    let host =
        Host::new(&Stage::sh("sleep 4711 & setsid sleep 4712 & sleep 4713").stage("timeout: 1s").stage("grace: 1s"));
    host.run().held(75, "total limit");
    for name in ["sleep 4711", "sleep 4712", "sleep 4713"] {
        assert_eq!(super::sshd::named(name), Vec::<i32>::new(), "{name}");
    }
}

#[test]
fn a_silent_suite_is_stalled() {
    let host = Host::new(&Stage::sh("echo begun; sleep 4714").stage("idle-timeout: 1s").stage("grace: 1s"));
    host.run().held(75, "idle limit");
    assert_eq!(super::sshd::named("sleep 4714"), Vec::<i32>::new());
}

#[test]
fn the_switch_runs_the_very_same_command_here() {
    let host = Host::new(&Stage::sh(&format!("pwd > SCRATCH/where; {GREEN}")));
    let ended = host.orch("pipeline run --no-wait").env("ORCH_STAGING_RUNNER_EXEC_HOST_SIDE", "false").run();
    ended.exits(0);
    assert_eq!(host.noted("where").trim(), host.shop.scratch("shop").display().to_string());
    assert!(host.shop.read(LOG).contains("staging_status: SUCCESS"));
}

#[test]
fn the_environment_and_the_folder_are_those_that_are_declared() {
    let script = format!(
        "pwd > SCRATCH/said; echo \"$MODE|$ORCH_TASK|$${{HOME:+home}}|$${{SECRET-unset}}\" >> SCRATCH/said; {GREEN}"
    );
    let host = Host::new(&Stage::sh(&script).key("env: { set: { MODE: \"a b'c\" } }").key("remote-cwd: /tmp"));
    host.orch("pipeline run --no-wait").env("SECRET", "x").run().exits(0);
    assert_eq!(host.noted("said"), "/tmp\na b'c|main|home|unset\n");
}
