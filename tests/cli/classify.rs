//! `orch classify`: a recorded end, and a command run behind it.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Ended, FAILS, PASSES, Shop};

fn shop() -> Shop {
    Shop::new("", &[("passes.sh", PASSES), ("fails.sh", FAILS)])
}

fn green(shop: &Shop) -> std::path::PathBuf {
    let path = shop.scratch("green");
    fs::write(&path, "1..1\nok 1 - pay\n").unwrap();
    path
}

/// The answer of the wrapping form: the last line of stderr.
fn last_line(ended: &Ended) -> Value {
    let stderr = ended.stderr();
    assert!(stderr.ends_with('\n'), "{ended}");
    let line = stderr.lines().next_back().unwrap();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}\n{ended}"))
}

#[test]
fn a_recorded_end_has_one_answer() {
    let shop = shop();
    let green = green(&shop);
    let red = shop.scratch("red");
    fs::write(&red, "1..1\nnot ok 1 - pay\n").unwrap();
    let docker = shop.scratch("docker");
    fs::write(
        &docker,
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n",
    )
    .unwrap();
    let check = |words: &str, files: &[(&str, &std::path::Path)], code: i32, outcome: &str, verdict: Value| {
        let call =
            files.iter().fold(shop.orch(&format!("classify {words}")), |call, (flag, path)| call.arg(flag).arg(path));
        let answer = call.run().exits(code).json();
        assert_eq!((&answer["outcome"], &answer["verdict"]), (&outcome.into(), &verdict), "{answer}");
        for key in ["reason", "rule"] {
            assert!(answer[key].is_string(), "{answer}");
        }
        assert!(answer["proof"].is_object());
    };
    check("--exit-code 0", &[("--stdout", &green)], 0, "suite-ran", "pass".into());
    check("--exit-code 1", &[("--stdout", &red)], 1, "suite-ran", "fail".into());
    check("--exit-code 0", &[("--stdout", &red)], 1, "suite-ran", "fail".into());
    check("--exit-code 1", &[("--stdout", &red), ("--stderr", &docker)], 1, "suite-ran", "fail".into());
    check("--exit-code 0", &[], 78, "permanent-env", Value::Null);
    check("--exit-code 127", &[], 78, "permanent-env", Value::Null);
    check("--signal KILL", &[("--stdout", &green)], 75, "transient-infra", Value::Null);
    check("--signal 9", &[], 75, "transient-infra", Value::Null);
    check("--timed-out", &[("--stdout", &green)], 75, "transient-infra", Value::Null);
    check("--exit-code 0 --min-tests 2", &[("--stdout", &green)], 78, "permanent-env", Value::Null);
    check("--exit-code 0 --evidence pytest", &[("--stdout", &green)], 78, "permanent-env", Value::Null);
    check("--exit-code 1 --evidence exit-code", &[], 1, "suite-ran", "fail".into());
    let said = shop.scratch("said");
    fs::write(&said, "7 checks, 0 failed\n").unwrap();
    let closing = "--exit-code 0 --closing-line (?P<total>\\d+)\\schecks,\\s(?P<failed>\\d+)\\sfailed";
    check(closing, &[("--stdout", &said)], 0, "suite-ran", "pass".into());
}

#[test]
fn a_report_is_read() {
    let shop = shop();
    let report = shop.scratch("junit.xml");
    let junit = format!("junit={}", report.display());
    let call = |words: &str| shop.orch(words).arg("--report").arg(&junit).run();
    fs::write(&report, "<testsuite tests=\"1\"><testcase name=\"a\"/></testsuite>").unwrap();
    assert_eq!(call("classify --exit-code 0").exits(0).json()["verdict"], "pass");
    fs::write(&report, "<testsuite tests=\"1\"><testcase name=\"a\"><failure/></testcase></testsuite>").unwrap();
    assert_eq!(call("classify --exit-code 0").exits(1).json()["verdict"], "fail");
    fs::remove_file(&report).unwrap();
    call("classify --exit-code 0").exits(78);
}

#[test]
fn usage_errors_say_what_to_give() {
    let shop = shop();
    let check = |words: &str, part: &str| {
        let ended = shop.orch(&format!("classify {words}")).run().exits(2).talks(part);
        assert_eq!(ended.stdout(), "", "{words}");
    };
    check("", "--exit-code N");
    check("--exit-code 256", "256");
    check("--exit-code 0 --signal KILL", "cannot be used with");
    check("--signal NOPE", "no signal is called `NOPE`");
    check("--exit-code 0 --evidence nope", "one of: auto");
    check("--exit-code 0 --evidence closing-line", "--closing-line REGEX");
    check("--exit-code 0 --closing-line (", "--closing-line");
    check("--exit-code 0 --stdout /no/such/file", "/no/such/file");
    check("--exit-code 0 --report xml=a", "junit=FILE");
    check("--exit-code 0 --emit xml=a", "json=FILE");
    check("--exit-code 0 -- true", "cannot be used with");
    check("--timeout-s 3 --exit-code 0", "--timed-out");
}

#[test]
fn a_wrapped_command_keeps_its_streams_byte_for_byte() {
    let shop = shop();
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(100_000).chain(*b"ok without an end").collect();
    fs::write(shop.scratch("bytes"), &bytes).unwrap();
    let script = "cat ../bytes; cat ../bytes >&2; exit 3";
    let ended = shop.orch("classify --json -- sh -c").arg(script).run();
    assert!(ended.raw_stdout == bytes, "stdout was touched");
    assert!(ended.raw_stderr.starts_with(&bytes), "stderr was touched");
    let answer = last_line(&ended);
    assert_eq!((&answer["version"], &answer["outcome"]), (&1.into(), &"transient-infra".into()));
    ended.exits(75);
}

#[test]
fn a_wrapped_command_gets_the_code_of_its_class() {
    let shop = shop();
    let check = |command: &str, code: i32, part: &str| {
        let ended = shop.orch(&format!("classify -- {command}")).run().exits(code).talks(part);
        assert!(!ended.stdout().contains("orch:"), "{ended}");
    };
    check("sh passes.sh", 0, "orch: suite-ran, pass");
    check("sh fails.sh", 1, "orch: suite-ran, fail");
    check("true", 78, "orch: permanent-env");
    check("no-such-tool", 78, "no-such-tool");
    check("./passes.sh", 78, "EACCES");
    assert_eq!(last_line(&shop.orch("classify --json -- sh passes.sh").run().exits(0))["verdict"], "pass");
    let killed = shop.orch("classify -- sh -c").arg("kill -KILL $$").run();
    killed.exits(75).talks("SIGKILL");
}

#[test]
fn a_wrapped_command_reads_its_input_and_its_environment() {
    let shop = shop();
    fs::write(shop.scratch("in"), "1..1\nok 1\n").unwrap();
    let input = fs::File::open(shop.scratch("in")).unwrap();
    shop.orch("classify -- cat").stdin(input).run().exits(0).says("ok 1");
    let told = shop.orch("classify -- sh -c").arg("echo $SECRET; echo 1..1; echo ok 1").env("SECRET", "shown").run();
    told.exits(0).says("shown");
}

#[test]
fn the_answer_can_go_to_a_file() {
    let shop = shop();
    let file = shop.scratch("answer.json");
    let emit = format!("json={}", file.display());
    shop.orch("classify --emit").arg(&emit).arg("--").arg("sh").arg("fails.sh").run().exits(1);
    let answer: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&answer["version"], &answer["verdict"]), (&1.into(), &"fail".into()));
}

#[test]
fn a_wrapped_commands_report_must_be_its_own() {
    let shop = shop();
    let report = shop.scratch("junit.xml");
    fs::write(&report, "<testsuite tests=\"1\"><testcase name=\"a\"/></testsuite>").unwrap();
    let junit = format!("junit={}", report.display());
    shop.orch("classify --report").arg(&junit).arg("--").arg("true").run().exits(78).talks("was not written");
}

#[test]
fn a_wrapped_command_is_stopped_by_its_limit_and_by_signals() {
    let shop = shop();
    shop.orch("classify --timeout-s 1 -- sleep 100").run().exits(75).talks("was stopped by orch");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let shop = self::shop();
        let mut said = shop.fifo("said");
        let going = shop.orch("classify -- sh -c").arg("echo here > ../said; exec sleep 100").start();
        said.next();
        going.signal(signal);
        going.end().exits(code).talks("cancelled");
    }
}
