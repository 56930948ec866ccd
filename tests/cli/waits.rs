//! A task that waits: retries and their times, holds and their release, pauses.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{CHECK_THEN_TESTING, FAILS, NOTES, PASSES, REPORT, Shop, Testing, WAITS};

/// A suite that cannot reach its registry until `SCRATCH/net` is there.
const NEEDS_NET: &str = "if ! test -e SCRATCH/net; then echo 'curl: (7) Failed to connect to registry port 443: Connection refused' >&2; exit 7; fi\n";

fn needs_net(retries: u32) -> Shop {
    let suite = format!("{NOTES}{NEEDS_NET}{PASSES}");
    Shop::new(&Testing::new().retries(retries).text(), &[("suite.sh", &suite)])
}

/// The same with a pause that no test waits out.
fn long_pause(suite: &str) -> Shop {
    let text = Testing::new().retries(2).text().replace("10ms..40ms", "1h..2h");
    Shop::new(&text, &[("suite.sh", suite)])
}

fn the_hold(shop: &Shop) -> Value {
    shop.orch("hold list --json").run().exits(0).json()["holds"][0].clone()
}

#[test]
fn a_passing_fault_is_tried_again_with_growing_pauses_and_then_held() {
    let shop = needs_net(3);
    shop.run()
        .held(75, "Connection refused")
        .talks("retry 1 of 3 in 10 ms")
        .talks("retry 2 of 3 in 20 ms")
        .talks("retry 3 of 3 in 40 ms");
    assert_eq!(shop.ledger().len(), 4, "one attempt and three retries");
    let attempts = shop.orch("run show --json").run().json()["attempts"].clone();
    let decisions: Vec<&str> = attempts.as_array().unwrap().iter().map(|a| a["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions[..3], ["retry 1 of 3 in 10 ms", "retry 2 of 3 in 20 ms", "retry 3 of 3 in 40 ms"]);
    assert!(decisions[3].starts_with("hold: "), "{decisions:?}");
    let status = shop.orch("status --json").run().json();
    assert_eq!(status["tasks"][0]["spent"], serde_json::json!({}), "no developer retry was charged");
    assert!(!shop.has(REPORT));
    // The hold is stable; a release gives the retries again.
    shop.run().held(75, "orch hold release main").says("nothing was started");
    assert_eq!(shop.ledger().len(), 4);
    shop.release_and_run().held(75, "Connection refused");
    assert_eq!(shop.ledger().len(), 8);
}

#[test]
fn a_fault_that_passes_costs_nothing() {
    let shop = needs_net(1);
    let back = NEEDS_NET.replace("then echo", "then touch SCRATCH/net; echo");
    shop.write("suite.sh", &format!("{NOTES}{back}{PASSES}"));
    shop.commit("the net comes back by itself");
    shop.run().exits(0).talks("retry 1 of 1").says("task main: done");
    assert_eq!(shop.ledger().len(), 2);
}

#[test]
fn what_nobody_recognises_gets_one_more_try_at_most() {
    let suite = format!("{NOTES}exit 9\n");
    let shop = Shop::new(&Testing::new().retries(3).text(), &[("suite.sh", &suite)]);
    shop.run().held(75, "unclassified");
    assert_eq!(shop.ledger().len(), 2);
}

#[test]
fn a_command_that_began_is_started_again_only_where_it_is_idempotent() {
    let suite = format!("{NOTES}echo 'curl: (7) Failed to connect to h port 1: Connection refused' >&2\nexit 7\n");
    let command = |idempotent: &str| {
        let text = format!(
            "version: 1\nname: shop\nstages:\n  deploy:\n    producer:\n      command: {{ command: [sh, suite.sh], \
             evidence: exit-code{idempotent} }}\n    gate: none\n    infra: {{ retries: 2, backoff: 10ms..10ms }}\n    \
             transitions: {{ pass: done, fail: hold }}\n"
        );
        let shop = Shop::new(&text, &[("suite.sh", &suite)]);
        shop.run().held(75, "Connection refused");
        shop.ledger().len()
    };
    assert_eq!(command(""), 1);
    assert_eq!(command(", idempotent: false"), 1);
    assert_eq!(command(", idempotent: true"), 3);
}

#[test]
fn timeouts_and_permanent_faults_are_held_at_once() {
    let quick = Testing::new().retries(3).stage("timeout: 200ms").text();
    let shop = Shop::new(&quick, &[("suite.sh", &format!("{NOTES}echo 1..1\nexec sleep 600\n"))]);
    shop.run().held(75, "total limit");
    assert_eq!(shop.ledger().len(), 1);
    let shop = Shop::new(&Testing::new().retries(3).text(), &[("suite.sh", &format!("{NOTES}exit 127\n"))]);
    shop.run().held(78, "exit code 127");
    assert_eq!(shop.ledger().len(), 1);
}

#[test]
fn no_wait_leaves_the_task_deferred_with_its_time() {
    let shop = long_pause(&format!("{NOTES}{NEEDS_NET}{PASSES}"));
    let ended =
        shop.orch("pipeline run --no-wait").run().exits(75).says("DEFERRED at testing").says("retry 1 of 2, due ");
    assert!(ended.says("orch hold release main").stdout().starts_with("task main: DEFERRED"));
    shop.orch("status").run().exits(0).says("main: deferred at testing");
    let hold = the_hold(&shop);
    assert_eq!((&hold["state"], &hold["retry"], &hold["retries_max"]), (&"deferred".into(), &1.into(), &2.into()));
    assert!(hold["due"].is_string() && hold["evidence"].as_str().unwrap().contains("curl: (7)"), "{hold}");
    // A second run keeps to the time, and says so.
    for words in ["pipeline run --no-wait", "pipeline run --max-wait 5m"] {
        shop.orch(words).run().exits(75).says("DEFERRED").says("nothing was started");
    }
    assert_eq!(shop.orch("pipeline run --no-wait --json").run().exits(75).json()["nothing_started"], true);
    assert_eq!(shop.ledger().len(), 1);
    // A person brings it forward.
    std::fs::write(shop.scratch("net"), "").unwrap();
    shop.orch("hold release").run().exits(0).says("testing runs next");
    shop.orch("pipeline run --no-wait").run().exits(0);
    assert_eq!(shop.ledger().len(), 2);
}

#[test]
fn a_wait_outlives_its_runner_and_is_stopped_by_a_signal() {
    let shop = long_pause(&format!("{NOTES}{NEEDS_NET}{PASSES}"));
    let going = shop.orch("pipeline run --max-wait 3h").start();
    shop.until("status", "main: deferred at testing");
    going.signal(Signal::TERM);
    going.end().exits(143).says("DEFERRED");
    let due = the_hold(&shop)["due"].clone();
    let going = shop.orch("pipeline run --max-wait 3h").start();
    shop.until("status", "[driven by");
    going.kill();
    shop.orch("pipeline run --no-wait").run().exits(75).says("DEFERRED");
    let hold = the_hold(&shop);
    assert_eq!(hold["due"], due, "the time is the one that was recorded");
    assert!(hold["evidence"].as_str().is_some_and(|line| line.contains("curl: (7)")), "{hold}");
    assert_eq!(shop.ledger().len(), 1, "waiting starts nothing");
    shop.orch("pipeline run --no-wait --max-wait 1h").run().exits(2);
    shop.orch("pipeline run --max-wait soon").run().exits(2).talks("30s");
}

#[test]
fn a_missing_tool_is_held_at_once_and_released_by_looking() {
    let shop = Shop::new(&Testing::new().command("[./tool.sh]").text(), &[("keep", "")]);
    shop.run().held(78, "`./tool.sh`").says("orch hold release main --recheck");
    shop.run().held(78, "still cannot be found").says("nothing was started");
    shop.orch("hold release --recheck").run().exits(78).says("the hold stays");
    shop.write("tool.sh", &format!("#!/bin/sh\n{PASSES}"));
    shop.git(&["update-index", "--add", "--chmod=+x", "tool.sh"]);
    shop.git(&["checkout-index", "-f", "tool.sh"]);
    shop.orch("hold release --recheck --reason installed").run().exits(0).says("tool.sh");
    let events = shop.orch("run show --events").run().stdout();
    assert!(events.contains("hold-released") && events.contains("installed"), "{events}");
    shop.run().exits(0).says("task main: done");
}

#[test]
fn a_probe_that_passes_ends_its_hold_without_anyone() {
    let shop = Shop::new(&Testing::new().command("[./tool.sh]").text(), &[("keep", "")]);
    shop.run().held(78, "`./tool.sh`");
    shop.write("tool.sh", &format!("#!/bin/sh\n{PASSES}"));
    shop.git(&["update-index", "--add", "--chmod=+x", "tool.sh"]);
    shop.git(&["checkout-index", "-f", "tool.sh"]);
    shop.run().exits(0).talks("the hold of `testing` has ended").says("task main: done");
}

#[test]
fn a_release_needs_something_to_release() {
    let shop = Shop::running(PASSES);
    shop.orch("hold release").run().refused(2, "nothing has been run yet");
    shop.orch("hold list").run().exits(0).says("no task waits");
    shop.run().exits(0);
    shop.orch("hold list").run().exits(0).says("no task waits");
    shop.orch("hold release").run().refused(2, "is not held");
    shop.orch("hold show").run().refused(2, "does not wait: it is done");
    shop.orch("hold release other").run().refused(2, "there is no task other");
    shop.orch("hold release ../x").run().refused(2, "../x");
    shop.orch("hold release --approve --reason yes").run().refused(2, "not held for an approval");
    assert!(!shop.state().join("locks/other.lock").exists(), "a mistyped name leaves no lock");
}

#[test]
fn a_hold_is_shown_with_the_evidence_behind_it() {
    let shop = needs_net(0);
    shop.run().held(75, "Connection refused");
    shop.orch("hold show").run().exits(0).says("evidence: stderr:1: curl: (7)").says("rule: 9-signature");
    let hold = shop.orch("hold show main --json").run().exits(0).json();
    assert_eq!(
        (&hold["version"], &hold["kind"], &hold["exit_code"]),
        (&1.into(), &"transient-infra".into(), &75.into())
    );
    assert_eq!(hold["release"], "orch hold release main");
}

#[test]
fn a_paused_task_stays_until_it_is_resumed_and_goes_on_where_it_stood() {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{PASSES}"))]);
    shop.orch("pipeline run --until check").run().exits(0);
    shop.orch("task pause --reason lunch").run().exits(0).says("main: paused at testing");
    shop.run().exits(10).says("PAUSED at testing").says("lunch").says("orch task resume main");
    shop.orch("hold list").run().says("orch task resume main");
    shop.orch("hold release").run().refused(2, "it is paused").talks("orch task resume main");
    shop.orch("task pause").run().refused(2, "paused already");
    shop.orch("task resume").run().exits(0).says("main: queued at testing");
    shop.orch("task resume").run().refused(2, "not paused");
    shop.run().exits(0);
    assert_eq!(shop.ledger().len(), 2);
    shop.orch("task pause").run().refused(2, "come to its end");
}

#[test]
fn a_held_task_that_was_paused_is_held_again() {
    let shop = needs_net(0);
    shop.run().held(75, "Connection refused");
    let before = the_hold(&shop);
    shop.orch("task pause").run().exits(0);
    shop.orch("task resume").run().exits(0).says("main: held at testing");
    assert_eq!(the_hold(&shop), before);
}

#[test]
fn cancel_stops_what_runs_and_ends_the_task() {
    let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
    let (mut said, _go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    shop.orch("task cancel --reason wrong").run().exits(0).says("main: cancelled").talks("to stop");
    assert!(!crate::support::lives(suite), "nothing of the task lives");
    going.end().exits(143);
    shop.orch("status").run().exits(0).says("main: cancelled");
    shop.orch("task cancel").run().refused(2, "come to its end");
    // A cancelled task begins anew.
    shop.write("suite.sh", &format!("{NOTES}{PASSES}"));
    shop.run().exits(0);
}

#[test]
fn cancel_brings_what_a_dead_runner_left_to_its_end() {
    let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
    let (mut said, _go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    going.kill();
    shop.orch("task cancel").run().exits(0).says("main: cancelled");
    assert!(!crate::support::lives(suite), "the orphan was stopped");
    let run = shop.orch("run show --json").run().json();
    assert_eq!((&run["end"], &run["state"]), (&"interrupted".into(), &"cancelled".into()));
}

/// What cannot be judged any more is still recorded, and the task can be ended.
#[test]
fn cancel_needs_no_worktree() {
    for killed in [true, false] {
        let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
        let (mut said, _go) = shop.said_and_go();
        let other = shop.scratch("other");
        shop.git(&["worktree", "add", "-q", "-b", "feature", other.to_str().unwrap()]);
        let going = shop.orch("pipeline run").cwd(&other).start();
        let suite = said.pid();
        if killed {
            going.kill();
            std::fs::remove_dir_all(&other).unwrap();
            shop.orch("task cancel feature").run().exits(0).says("feature: cancelled").talks("is gone");
        } else {
            std::fs::remove_dir_all(&other).unwrap();
            // Its runner records what it stopped, and that is all there is to bring to rest.
            shop.orch("task cancel feature").run().exits(0).says("feature: cancelled");
            going.end();
        }
        assert!(!crate::support::lives(suite), "nothing of it lives");
        let run = shop.orch("run show --json").run().exits(0).json();
        assert_eq!((&run["end"], &run["state"]), (&"interrupted".into(), &"cancelled".into()));
        assert_eq!(run["attempts"][0]["settlement"], "cancelled");
        shop.orch("verify").run().exits(0);
    }
}

#[test]
fn a_stopped_runner_hears_a_cancel() {
    let shop = Shop::running(&format!("{NOTES}{WAITS}{PASSES}"));
    let (mut said, _go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    said.pid();
    going.signal(Signal::STOP);
    shop.orch("task cancel").run().exits(0).says("main: cancelled");
    going.end().exits(143);
}

#[test]
fn a_pipeline_file_that_becomes_a_fifo_stops_nobody() {
    let shop = Shop::new(
        CHECK_THEN_TESTING,
        &[("check.sh", "rm SCRATCH/live.yaml\nmkfifo SCRATCH/live.yaml\n"), ("suite.sh", PASSES)],
    );
    let outside = shop.scratch("live.yaml");
    std::fs::write(&outside, CHECK_THEN_TESTING).unwrap();
    shop.orch("pipeline run --pipeline").arg(&outside).run().exits(3).talks("changed while the run was under way");
}

#[test]
fn a_pipeline_that_was_changed_is_refused_until_it_is_accepted() {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{PASSES}"))]);
    shop.orch("pipeline run --until check").run().exits(0);
    shop.write("pipelines/shop.yaml", &format!("{CHECK_THEN_TESTING}# edited\n"));
    shop.run().refused(3, "another pipeline").talks("--accept-pipeline");
    shop.write("pipelines/shop.yaml", CHECK_THEN_TESTING);
    shop.run().exits(0);
    assert_eq!(shop.ledger().len(), 2, "the file is as it was: it goes on");
}

#[test]
fn a_pipeline_that_is_changed_under_a_run_stops_it_at_the_next_stage() {
    let shop = Shop::new(
        CHECK_THEN_TESTING,
        &[("check.sh", &format!("{NOTES}{WAITS}")), ("suite.sh", &format!("{NOTES}{PASSES}"))],
    );
    let outside = shop.scratch("p.yaml");
    std::fs::write(&outside, CHECK_THEN_TESTING).unwrap();
    let (mut said, mut go) = shop.said_and_go();
    let going = shop.orch("pipeline run --pipeline").arg(&outside).start();
    said.pid();
    std::fs::write(&outside, CHECK_THEN_TESTING.replace("[sh, suite.sh]", "[\"true\"]")).unwrap();
    go.say("go");
    going.end().exits(3).talks("changed while the run was under way").talks("--accept-pipeline");
    assert_eq!(shop.ledger().len(), 1, "nothing of the next stage was started");
    shop.orch("pipeline run --pipeline").arg(&outside).run().refused(3, "another pipeline");
    let going = shop.orch("pipeline run --accept-pipeline --pipeline").arg(&outside).start();
    said.pid();
    go.say("go");
    // `true` is no suite: exit 0 alone proves nothing.
    going.end().held(78, "no-evidence");
}

/// A verdict of an earlier stage does not stand for what somebody wrote while the run waited.
#[test]
fn a_tree_that_changes_during_a_wait_is_proven_anew() {
    for committed in [false, true] {
        let pipeline = CHECK_THEN_TESTING.replace("infra: { retries: 0 }", "infra: { retries: 100, backoff: 2s..2s }");
        let shop = Shop::new(&pipeline, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{NEEDS_NET}{PASSES}"))]);
        let going = shop.orch("pipeline run").start();
        shop.until("run show", "retry 1 of 100");
        shop.write("check.sh", &format!("{NOTES}exit 1\n"));
        if committed {
            shop.commit("broken");
        }
        std::fs::write(shop.scratch("net"), "").unwrap();
        going.end().exits(1).talks("the worktree changed while the run was under way").says("FAILED at check");
    }
}

#[test]
fn a_hold_is_told_once() {
    let shop = needs_net(1);
    let program = shop.scratch("tell");
    std::fs::write(&program, format!("#!/bin/sh\necho \"$ORCH_ALERT\" >> {}\n", shop.scratch("told").display()))
        .unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = || shop.orch("pipeline run").env("ORCH_ALERT_COMMAND", &program).run();
    let told = || std::fs::read_to_string(shop.scratch("told")).unwrap_or_default().lines().count();
    run().held(75, "Connection refused").talks("retry 1 of 1");
    assert_eq!(told(), 1, "a retry is no hold");
    run().held(75, "nothing was started");
    assert_eq!(told(), 1);
    let alert: Value = serde_json::from_str(&std::fs::read_to_string(shop.scratch("told")).unwrap()).unwrap();
    assert_eq!(
        (&alert["event"], &alert["task"], &alert["kind"]),
        (&"held".into(), &"main".into(), &"transient-infra".into())
    );
    // One that fails is told of, and changes nothing.
    std::fs::write(&program, "#!/bin/sh\nexit 3\n").unwrap();
    shop.orch("hold release").run().exits(0);
    run().held(75, "Connection refused").talks("the alert command").talks("exit code 3");
    shop.orch("hold release").run().exits(0);
    shop.orch("pipeline run")
        .env("ORCH_ALERT_COMMAND", "/nowhere/tell")
        .run()
        .held(75, "refused")
        .talks("/nowhere/tell");
    shop.orch("hold release").run().exits(0);
    shop.orch("pipeline run").env("ORCH_ALERT_COMMAND", "tell").run().refused(3, "ORCH_ALERT_COMMAND");
}

#[test]
fn three_rollbacks_and_then_a_person() {
    let pipeline = CHECK_THEN_TESTING.replace("retry: 1", "retry: 3");
    let shop = Shop::new(&pipeline, &[("check.sh", NOTES), ("suite.sh", &format!("{NOTES}{FAILS}"))]);
    shop.run().held(10, "budget `retry` is spent (3 allowed)");
    let status = shop.orch("status --json").run().json();
    assert_eq!(status["tasks"][0]["spent"], serde_json::json!({ "retry": 3 }));
    assert_eq!(shop.ledger().len(), 8);
}
