//! Control runs: who is at fault for an end that says nothing. Real repositories, real tools, real faults; the table of them
//! is `control/faults.yaml`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use rustix::process::Signal;
use serde::Deserialize;

use crate::support::{Ended, NOTES, Orch, PASSES, Shop, Testing, WAITS, lives};

/// How many cases run at once.
const AT_ONCE: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    fault: Fault,
    command: String,
    #[serde(default)]
    pass: String,
    base: BTreeMap<String, String>,
    change: BTreeMap<String, String>,
    #[serde(default)]
    world: BTreeMap<String, String>,
    #[serde(default)]
    broken: BTreeMap<String, String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    Change,
    Environment,
    Both,
}

fn cases() -> Vec<Case> {
    serde_yaml::from_str(include_str!("control/faults.yaml")).unwrap()
}

/// Puts files below a folder; `-` removes, and what lies in `tools` can be executed.
fn put(shop: &Shop, folder: &Path, files: &BTreeMap<String, String>) {
    for (name, text) in files {
        let path = folder.join(name);
        if text == "-" {
            fs::remove_file(&path).unwrap();
            continue;
        }
        let tool = name.starts_with("tools/");
        let scratch = shop.scratch("");
        let text = text.replace("SCRATCH", scratch.to_str().unwrap().trim_end_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, if tool { format!("#!/bin/sh\n{text}") } else { text }).unwrap();
        if tool {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// A shop whose branch `work` has a change on top of `main`.
fn changed(pipeline: &str, base: &[(&str, &str)], change: &[(&str, &str)]) -> Shop {
    let shop = Shop::new(pipeline, base);
    shop.git(&["checkout", "-q", "-b", "work"]);
    for (path, text) in change {
        shop.write(path, text);
    }
    shop.commit("change");
    shop
}

/// Nothing of a control run is left.
#[track_caller]
fn is_clean(shop: &Shop) {
    assert!(!shop.scratch(".shop.orch-control").exists(), "a sibling was left");
    assert_eq!(shop.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(shop.git(&["branch", "--list", "orch-control/*"]), "");
    assert_eq!(shop.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    let notes = fs::read_dir(shop.state().join("controls")).map(|found| {
        found.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "json")).count()
    });
    let answers = fs::read_dir(shop.state().join("controls")).map(|found| {
        found.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with("answer.json")).count()
    });
    assert_eq!(notes.unwrap_or(0), answers.unwrap_or(0), "a note was left");
}

fn try_case(case: &Case) -> Result<(), String> {
    let mut testing = Testing::new().command(&case.command);
    if !case.pass.is_empty() {
        testing = testing.suite(&format!("env: {{ pass: {} }}", case.pass));
    }
    let shop = Shop::new(&testing.text(), &[]);
    put(&shop, &shop.tree, &case.base);
    put(&shop, &shop.scratch(""), &case.world);
    shop.commit("base");
    // The case is a real one: the base commit passes in an environment that is whole.
    let base = start(&shop, case, "fast");
    if base.code() != Some(0) {
        return Err(format!("{}: the base does not pass\n{base}", case.name));
    }
    shop.git(&["checkout", "-q", "-b", "work"]);
    put(&shop, &shop.tree, &case.change);
    shop.commit("change");
    put(&shop, &shop.scratch(""), &case.broken);
    let ended = start(&shop, case, "slow");
    let (code, rule) = match case.fault {
        Fault::Change => (1, "change-broke-runner"),
        Fault::Environment | Fault::Both => (78, "base-cannot-run"),
    };
    let told = shop.orch("explain").run().exits(0).stdout();
    if ended.code() != Some(code) || !told.contains(rule) {
        return Err(format!("{}: {:?} is at fault\n{ended}\n{told}", case.name, case.fault));
    }
    is_clean(&shop);
    Ok(())
}

/// A run with the variables of the case; `MODE` is the one whose value is the fault.
fn start(shop: &Shop, case: &Case, mode: &str) -> Ended {
    let scratch = shop.scratch("");
    let scratch = scratch.to_str().unwrap().trim_end_matches('/');
    let mut orch = shop.orch("pipeline run").env("PATH", format!("{scratch}/tools:/usr/local/bin:/usr/bin:/bin"));
    for (name, value) in &case.env {
        orch = orch.env(name, if name == "MODE" { mode.to_owned() } else { value.replace("SCRATCH", scratch) });
    }
    orch.run()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is wanted")]
fn every_fault_is_attributed_to_who_made_it() {
    let cases = cases();
    let of = |fault| cases.iter().filter(|case| case.fault == fault).count();
    let (change, environment, both) = (of(Fault::Change), of(Fault::Environment), of(Fault::Both));
    assert!(change + environment >= 28 && both >= 10, "{change} + {environment}, {both}");
    let waiting = Mutex::new(cases.iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = { waiting.lock().unwrap().next() } {
                    if let Err(why) = try_case(case) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    println!("{change} faults of the change, {environment} of the environment, {both} of both: all attributed right");
}

/// The end of every attempt: how orch ended, and what explain says.
fn explained(shop: &Shop, code: i32) -> String {
    shop.run().exits(code);
    shop.orch("explain").run().exits(0).stdout()
}

const GREEN: &str = PASSES;
const BROKEN: &str = "exit 3\n";

#[test]
fn a_change_that_broke_the_runner_fails_and_rolls_back() {
    let pipeline = Testing::new().fail("{ rollback: testing, charge: retry }").text();
    let shop = changed(&pipeline, &[("suite.sh", GREEN)], &[("suite.sh", BROKEN)]);
    // One charge is allowed; then a person looks. A fail is a fail, with its artifact and its gate.
    shop.run().held(10, "budget");
    let report = fs::read_to_string(shop.tree.join("docs/work-items/work/13-test-report.md")).unwrap();
    assert!(report.contains("result: FAIL") && report.contains("the base commit runs it"), "{report}");
    let told = shop.orch("explain").run().exits(0).stdout();
    for part in ["control run: the base commit runs it, the change does not", "11-control-run", "  base ", "  change "]
    {
        assert!(told.contains(part), "{part}\n{told}");
    }
    shop.orch("logs --control")
        .run()
        .exits(0)
        .says("ok 1 - pay")
        .talks("orch: base, commit")
        .talks("orch: change, commit");
    let document = shop.orch("explain --json").run().exits(0).json();
    let control = &document["evidence"]["control"]["base-runs"];
    assert_eq!((&control["base"]["reason"], &control["base"]["shared"]), (&"tests-passed".into(), &false.into()));
    assert_eq!(control["change"]["exit"]["exited"]["code"], 3);
    shop.orch("verify").run().exits(0);
    is_clean(&shop);
}

#[test]
fn switched_off_it_is_as_if_there_were_no_control_run() {
    let pipeline = Testing::new().text();
    let shop = changed(&pipeline, &[("suite.sh", GREEN)], &[("suite.sh", BROKEN)]);
    let off = shop.orch("pipeline run").env("ORCH_CONTROL_RUN_ENABLED", "false").run();
    off.held(75, "exit code 3, and nothing says why").never("control");
    let told = shop.orch("explain").run().exits(0).stdout();
    assert!(!told.contains("control run") && told.contains("unclassified"), "{told}");
    assert!(!shop.state().join("controls").exists());
    shop.orch("pipeline run").env("ORCH_CONTROL_RUN_ENABLED", "maybe").run().refused(3, "ORCH_CONTROL_RUN_ENABLED");
    shop.orch("config show").run().exits(0).says("ORCH_CONTROL_RUN_ENABLED");
}

#[test]
fn where_conditions_cannot_be_made_equal_nobody_is_blamed() {
    let refused = |shop: &Shop, why: &str| {
        let ended = shop.run().exits(75).talks(why);
        assert!(ended.headline().contains("HELD"), "{ended}");
        let told = shop.orch("explain").run().exits(0).stdout();
        assert!(told.contains("control run: none that tells: ") && told.contains(why), "{told}");
        is_clean_but_dirty(shop);
    };
    let plain = || changed(&Testing::new().text(), &[("suite.sh", GREEN)], &[("suite.sh", BROKEN)]);
    let shop = Shop::running(BROKEN);
    refused(&shop, "the worktree is the base commit itself");
    let shop = plain();
    shop.write("local.tmp", "root=SCRATCH/shop/x");
    refused(&shop, "the ignored file `local.tmp` has the worktree's absolute path in it");
    let shop = plain();
    std::os::unix::fs::symlink(shop.tree.join("suite.sh"), shop.tree.join("link.tmp")).unwrap();
    refused(&shop, "the ignored link `link.tmp` leads into the worktree");
    let shop = plain();
    fs::create_dir(shop.tree.join("target")).unwrap();
    let _fifo = shop.fifo("shop/target/pipe");
    refused(&shop, "the ignored `target/pipe` is neither a file, a folder nor a link");
    let shop =
        changed(&Testing::new().suite("idempotent: false").text(), &[("suite.sh", GREEN)], &[("suite.sh", BROKEN)]);
    refused(&shop, "`idempotent: false`");
    let shop =
        changed(&Testing::new().suite("env: { pass: [LIBS] }").text(), &[("suite.sh", GREEN)], &[("suite.sh", BROKEN)]);
    let libs = shop.tree.join("lib");
    let ended = shop.orch("pipeline run").env("LIBS", format!("/x:{}:/y", libs.display())).run();
    ended.exits(75).talks("the variable `LIBS` has the worktree's absolute path in it");
    let shop = plain();
    fs::create_dir(shop.scratch(".shop.orch-control")).unwrap();
    fs::write(shop.scratch(".shop.orch-control").join("mine"), "").unwrap();
    shop.run().exits(75).talks("something is at the place of its worktree");
    assert!(shop.scratch(".shop.orch-control/mine").is_file(), "a foreign folder is left alone");
    // A cache is left out, whatever stands in it, and so is what the stage reports.
    let shop = plain();
    shop.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    shop.write("target/x.d", "SCRATCH/shop/src/main.rs");
    shop.write("__pycache__/a.pyc", "SCRATCH/shop/a.py");
    assert!(explained(&shop, 1).contains("change-broke-runner"));
}

/// What is not committed is part of the change: changed, new and removed files.
/// A fault that came once and passed, of a change that needs something of the worktree which no sibling has: nobody is blamed
/// (`because` says what is missing, where nothing is run), and the second attempt passes.
#[test]
fn a_change_is_not_blamed_for_what_its_sibling_lacks() {
    let check = |ignored: &str, needs: &str, make: &str, because: &str| {
        let suite = format!("{make}\nif rm once 2>/dev/null; then exit 3; fi\n{needs} || exit 3\n{PASSES}");
        let base = [("suite.sh", PASSES), (".gitignore", &*format!("once\n{ignored}"))];
        let shop = changed(&Testing::new().retries(1).text(), &base, &[("suite.sh", &*suite)]);
        shop.write("once", "");
        let ended = shop.run();
        let told = shop.orch("explain").run().exits(0).stdout();
        assert!(!told.contains("change-broke-runner"), "{needs}\n{ended}\n{told}");
        let ended = if ended.code() == Some(0) { ended } else { panic!("{needs}\n{ended}\n{told}") };
        if !because.is_empty() {
            ended.talks("no control run says who is at fault").talks(because);
        }
        is_clean(&shop);
    };
    let socket = "[ -S db.sock ] || python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"db.sock\")'";
    check("*.sock\n", "[ -S db.sock ]", socket, "`db.sock` is neither a file, a folder nor a link");
    check("", "[ -p work/queue ]", "mkdir -p work; [ -p work/queue ] || mkfifo work/queue", "`work/queue` is neither");
    let make = "[ -d lib/.git ] || { [ ! -f once ] || git init -q lib && echo x > lib/x; }";
    check("lib\n", "[ -f lib/x ]", make, "");
    // Made alike, or tried with it too.
    check("run/\n", "[ -d run ]", "[ ! -f once ] || mkdir -p run", "");
    check("", "[ -d spool/new ]", "[ ! -f once ] || mkdir -p spool/new", "");
    let cache = "[ ! -f once ] || { mkdir cache; echo x > cache/CACHEDIR.TAG; echo \"$PWD\" > cache/index; }";
    check("cache/\n", "[ -f cache/index ]", cache, "");
    // And blamed all the same where it ends like this with the cache, too.
    let shop = changed(
        &Testing::new().retries(1).text(),
        &[("suite.sh", PASSES), (".gitignore", "cache/\n")],
        &[("suite.sh", "exit 3\n")],
    );
    shop.write("cache/CACHEDIR.TAG", "x");
    shop.run().exits(1);
    shop.orch("explain").run().exits(0).says("change-broke-runner");
    is_clean(&shop);
}

/// A submodule is not checked out in a sibling: one that the change added is missing there, and the base does not need it.
#[test]
fn a_submodule_that_the_change_added_blames_nobody() {
    let suite = format!("if rm once 2>/dev/null; then exit 3; fi\n[ -f lib/x ] || exit 3\n{PASSES}");
    let shop =
        changed(&Testing::new().retries(1).text(), &[("suite.sh", PASSES), (".gitignore", "once\n")], &[("a", "")]);
    let other = shop.scratch("other");
    fs::create_dir(&other).unwrap();
    let git = |words: &[&str]| crate::support::git_in(&other, words);
    git(&["init", "-q"]);
    fs::write(other.join("x"), "x").unwrap();
    git(&["add", "-A"]);
    git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]);
    shop.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.to_str().unwrap(), "lib"]);
    shop.write("suite.sh", &suite);
    shop.commit("a submodule");
    shop.write("once", "");
    shop.run().exits(0).talks("`lib` is a repository of its own (a submodule?), which is not made in a sibling");
}

#[test]
fn a_change_that_is_not_committed_is_attributed_too() {
    let suite = format!("test -f part.txt || exit 3\n. ./more.sh\n{PASSES}");
    let base: &[(&str, &str)] = &[("suite.sh", &suite), ("more.sh", ""), ("part.txt", "1")];
    let check = |change: &dyn Fn(&Shop)| {
        let shop = Shop::new(&Testing::new().text(), base);
        change(&shop);
        let told = explained(&shop, 1);
        assert!(told.contains("change-broke-runner"), "{told}");
        is_clean_but_dirty(&shop);
    };
    check(&|shop| shop.write("suite.sh", BROKEN));
    check(&|shop| fs::remove_file(shop.tree.join("part.txt")).unwrap());
    check(&|shop| {
        shop.write("new.sh", BROKEN);
        shop.write("more.sh", ". ./new.sh\n");
    });
    check(&|shop| {
        fs::remove_file(shop.tree.join("part.txt")).unwrap();
        std::os::unix::fs::symlink("nowhere", shop.tree.join("part.txt")).unwrap();
    });
}

fn is_clean_but_dirty(shop: &Shop) {
    assert!(!shop.scratch(".shop.orch-control").exists(), "a sibling was left");
    assert_eq!(shop.git(&["branch", "--list", "orch-control/*"]), "");
}

/// Ends that are no code of the change's own, and faults that may pass, blame nobody.
#[test]
fn what_passes_by_itself_blames_nobody() {
    // The first time it ends without a word, and never again: a fault that was over before the change was tried once more.
    let once = "test -e SCRATCH/seen || { : > SCRATCH/seen; exit 3; }\n";
    let suite = format!("{once}{PASSES}");
    let shop = changed(&Testing::new().text(), &[("suite.sh", GREEN)], &[("suite.sh", &suite)]);
    let told = explained(&shop, 75);
    assert!(told.contains("the change ended otherwise when it was tried again"), "{told}");
    is_clean(&shop);
    // It ends with another code the second time, as mute as before: that is not what it is blamed for.
    // Nor with the same code and a verdict beside it.
    for second in ["exit 4", "echo 1..1; echo 'not ok 1 - pay'; exit 3"] {
        let otherwise = format!("if test -e SCRATCH/seen; then {second}; fi\n: > SCRATCH/seen\nexit 3\n");
        let shop = changed(&Testing::new().text(), &[("suite.sh", GREEN)], &[("suite.sh", &otherwise)]);
        let told = explained(&shop, 75);
        assert!(told.contains("the change ended otherwise when it was tried again"), "{told}");
        is_clean(&shop);
    }
    // The base commit meets a fault of the network: that says nothing of the change.
    let refused = "echo 'curl: (7) Failed to connect to h: Connection refused' >&2\nexit 7\n";
    let shop = changed(&Testing::new().text(), &[("suite.sh", refused)], &[("suite.sh", BROKEN)]);
    let told = explained(&shop, 75);
    assert!(told.contains("the base commit met a fault that may pass"), "{told}");
    is_clean(&shop);
    // Ends that another rule decides ask for none.
    for (suite, code) in [(FAILS_LOUD, 1), ("exit 127\n", 78), ("exit 75\n", 75), ("exit 0\n", 78)] {
        let shop = changed(&Testing::new().text(), &[("suite.sh", GREEN)], &[("suite.sh", suite)]);
        assert!(!explained(&shop, code).contains("control run"), "{suite}");
        assert!(!shop.state().join("controls").exists());
    }
    // A code outside a declared exit map holds (DESIGN D21).
    let by_code = Testing::new().suite("evidence: exit-code").text();
    let shop = changed(&by_code, &[("suite.sh", "exit 0\n")], &[("suite.sh", BROKEN)]);
    assert!(!explained(&shop, 75).contains("control run"));
}

const FAILS_LOUD: &str = "echo 1..1\necho 'not ok 1 - pay'\nexit 3\n";

/// The conditions are those of the attempt: branch or none, carried files, variables that name the worktree.
#[test]
fn a_sibling_stands_under_the_conditions_of_the_attempt() {
    let suite = "test \"$PWD\" = \"$ORCH_WORKTREE\" || exit 20\ncat local.tmp >> SCRATCH/seen\n\
                 { git symbolic-ref -q HEAD || echo none; } | sed 's/[0-9a-f-]\\{36\\}/ID/' >> SCRATCH/seen\n";
    let (green, broken) = (format!("{suite}{PASSES}"), format!("{suite}exit 3\n"));
    let shop = changed(&Testing::new().text(), &[("suite.sh", &green)], &[("suite.sh", &broken)]);
    shop.write("local.tmp", "carried\n");
    shop.run().exits(1);
    let seen = || fs::read_to_string(shop.scratch("seen")).unwrap();
    let branch = "carried\nrefs/heads/orch-control/ID\n";
    assert_eq!(seen(), format!("carried\nrefs/heads/work\n{branch}{branch}"));
    is_clean(&shop);
    fs::remove_file(shop.scratch("seen")).unwrap();
    shop.git(&["checkout", "-q", "--detach"]);
    shop.orch("pipeline run --task work --from testing").run().exits(1);
    assert_eq!(seen(), "carried\nnone\n".repeat(3));
}

/// A runner that dies in a control run leaves nothing for long: its process is ended, its worktree and branch go, and the
/// attempt is recorded once.
#[test]
fn a_death_in_a_control_run_is_survived() {
    for with_supervisor in [false, true] {
        let base = format!("{NOTES}{WAITS}{PASSES}");
        let shop = changed(&Testing::new().text(), &[("suite.sh", &base)], &[("suite.sh", BROKEN)]);
        let (mut said, mut go) = shop.said_and_go();
        let going = shop.orch("pipeline run").start();
        let suite = said.pid();
        let supervisor = crate::support::supervisor_of(going.pid());
        assert!(shop.scratch(".shop.orch-control").is_dir());
        going.kill();
        if with_supervisor {
            rustix::process::kill_process(rustix::process::Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
        }
        // What the dead one left is its attempt without an answer; the next run has it held or tries it again.
        let next = shop.orch("pipeline run --no-wait").start();
        let ended = next.end();
        assert!(!lives(suite), "the control's process was left\n{ended}");
        ended.exits(75).talks("no control run says who is at fault: its runner died while control run ");
        shop.orch("explain").run().exits(0).says("control run: none that tells: its runner died while control run ");
        is_clean(&shop);
        let attempts = shop.orch("run list --json").run().exits(0).json();
        assert!(attempts["runs"].as_array().unwrap().iter().all(|run| !run["end"].is_null()));
        shop.orch("hold release").run().exits(0);
        let again = shop.orch("pipeline run").start();
        said.next();
        go.say("go");
        again.end().exits(1);
        is_clean(&shop);
        shop.orch("verify").run().exits(0);
    }
}

/// A request to stop ends the control run, and nobody is blamed.
#[test]
fn a_control_run_is_stopped_with_its_run() {
    let base = format!("{NOTES}{WAITS}{PASSES}");
    let shop = changed(&Testing::new().retries(1).text(), &[("suite.sh", &base)], &[("suite.sh", BROKEN)]);
    let (mut said, _go) = shop.said_and_go();
    let going = shop.orch("pipeline run").start();
    let suite = said.pid();
    going.signal(Signal::TERM);
    going.end().exits(143).never("FAILED");
    assert!(!lives(suite));
    is_clean(&shop);
}

/// Who waits while another asks is answered with the next answer: of any number of attempts that have ended, two ask, for the
/// first was asked before the last had ended.
#[test]
fn a_base_commit_is_asked_once_for_all_who_wait() {
    const TASKS: usize = 3;
    let base = format!("echo asked >> SCRATCH/asked\n{WAITS}exit 4\n");
    let shop = Shop::new(&Testing::new().text(), &[("suite.sh", &base)]);
    let (mut said, mut go) = shop.said_and_go();
    for task in 0..TASKS {
        shop.orch(&format!("task add t{task}")).run().exits(0);
        let tree = shop.scratch(&format!("shop.worktrees/t{task}"));
        fs::write(tree.join("suite.sh"), format!("echo t{task} > {}\nexit 3\n", shop.scratch("ended").display()))
            .unwrap();
        crate::support::git_in(&tree, &["commit", "-qam", "change"]);
    }
    let mut ends = shop.fifo("ended");
    let going: Vec<_> = (0..TASKS).map(|task| shop.orch(&format!("pipeline run --task t{task}")).start()).collect();
    for _ in 0..TASKS {
        ends.next();
    }
    said.next();
    let shared = |orch: Orch| orch.run().exits(0).stdout().contains("asked for by another attempt");
    go.say("go");
    said.next();
    go.say("go");
    for one in going {
        one.end().exits(78);
    }
    let asked = fs::read_to_string(shop.scratch("asked")).unwrap().lines().count();
    let heard = (0..TASKS).filter(|task| {
        let id = shop.orch(&format!("run list --task t{task} --json")).run().json()["runs"][0]["run"].clone();
        let show = shop.orch(&format!("run show {} --json", id.as_str().unwrap())).run().json();
        let attempt = show["attempts"][0]["attempt"].as_str().unwrap().to_owned();
        shared(shop.orch(&format!("explain {attempt}")))
    });
    assert_eq!(asked + heard.count(), TASKS, "each has an answer, its own or another's");
    assert_eq!(asked, 2);
}

/// A staging command that is started here is controlled like a suite (row C23): same rules, same refusals, same cache.
#[test]
fn a_staging_command_that_runs_here_is_controlled_too() {
    let text = |idempotent: bool| {
        Testing::new()
            .text()
            .replace(
                "test-runner: { command: [sh, suite.sh] }",
                &format!(
                    "staging-runner: {{ host: \"${{WHERE}}\", command: [sh, suite.sh], idempotent: {idempotent} }}"
                ),
            )
            .replace("13-test-report.md", "15-staging-log.md")
            .replace("tests-passed", "staging-status")
    };
    let run = |shop: &Shop| shop.orch("pipeline run").env("ORCH_STAGING_RUNNER_EXEC_HOST_SIDE", "false").run();
    let check = |base: &str, change: &str, code: i32, says: &str| {
        let shop = changed(&text(true), &[("suite.sh", base)], &[("suite.sh", change)]);
        let ended = run(&shop);
        let told = shop.orch("explain").run().exits(0).stdout();
        assert_eq!(ended.code(), Some(code), "{ended}\n{told}");
        assert!(told.contains(says), "{told}");
        is_clean(&shop);
    };
    check(GREEN, BROKEN, 1, "change-broke-runner");
    check(BROKEN, "exit 4\n", 78, "base-cannot-run");
    check("exit 75\n", BROKEN, 75, "the base commit met a fault that may pass");
    let shop = changed(&text(false), &[("suite.sh", GREEN)], &[("suite.sh", BROKEN)]);
    run(&shop).exits(75).talks("`idempotent: false`");
    is_clean(&shop);
}

/// Only attempts of the same base commit and the same environment share an answer, however closely they wait.
#[test]
fn an_answer_is_for_its_base_commit_and_its_environment() {
    let base = format!("test \"$MODE\" = good || exit 4\nif test $ORCH_TASK = t0; then\n{WAITS}fi\n{PASSES}");
    let testing = Testing::new().suite("env: { pass: [MODE] }").text();
    let shop = Shop::new(&testing, &[("suite.sh", &base)]);
    let add = |task: &str| {
        shop.orch(&format!("task add {task}")).run().exits(0);
        let tree = shop.scratch(&format!("shop.worktrees/{task}"));
        fs::write(tree.join("suite.sh"), format!("echo {task} > {}\nexit 3\n", shop.scratch("ended").display()))
            .unwrap();
        crate::support::git_in(&tree, &["commit", "-qam", "change"]);
    };
    for task in ["t0", "t1", "t3"] {
        add(task);
    }
    // The base commit of t2 is another one, and cannot run it.
    shop.write("suite.sh", "exit 5\n");
    shop.commit("broken");
    add("t2");
    let (mut said, mut go) = shop.said_and_go();
    let mut ends = shop.fifo("ended");
    let start = |task: &str, mode: &str| shop.orch(&format!("pipeline run --task {task}")).env("MODE", mode).start();
    let first = start("t0", "good");
    said.next();
    let others = [("t1", "good", 1), ("t2", "good", 78), ("t3", "bad", 78)];
    let others = others.map(|(task, mode, code)| (start(task, mode), code));
    for _ in 0..=others.len() {
        ends.next();
    }
    go.say("go");
    first.end().exits(1);
    for (one, code) in others {
        one.end().exits(code);
    }
}
