//! What an agent of the same user, root too, can still do to the runner, and what no stage can open to it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use crate::office::{Office, WORKS};

/// The agent's parent is the supervisor, whose parent is the runner.
const FINDS_RUNNER: &str =
    "runner=$(sed -n 's/^PPid:[[:space:]]*//p' \"/proc/$PPID/status\")\nout=$ORCH_ATTEMPT_DIR/reach\n";

/// The runner's environment has every secret of its user. As root, `CAP_PERFMON` and `CAP_SYS_ADMIN` would open it past Landlock.
#[test]
fn the_environment_of_the_runner_is_out_of_reach_of_root_too() {
    let script = format!(
        "{FINDS_RUNNER}begins\ntry() {{ if sh -c \"$2\" 2>/dev/null; then echo \"$1 yes\"; else echo \"$1 no\"; fi >> \"$out\"; }}\n\
         try own 'grep -q ORCH_TASK /proc/self/environ'\ntry parent \"cat /proc/$PPID/environ\"\n\
         try runner \"cat /proc/$runner/environ\"\ntry memory \"head -c 1 /proc/$runner/mem\"\n\
         try maps \"cat /proc/$runner/maps\"\ntry fds \"readlink /proc/$runner/fd/1\"\n\
         sed -n 's/^CapEff:[[:space:]]*//p; s/^CapPrm:[[:space:]]*//p; s/^CapInh:[[:space:]]*//p; s/^CapAmb:[[:space:]]*//p' \
         /proc/self/status > \"$ORCH_ATTEMPT_DIR/caps\"\n{}",
        WORKS.replacen("begins\n", "", 1)
    );
    let office = Office::of("claude-code", ", writes: [\"src/**\"], require: contained").does(&script);
    office.orch("pipeline run").env("DB_PASSWORD", "planted-1234").run().exits(0).says("done");
    assert_eq!(office.left("reach"), "own yes\nparent no\nrunner no\nmemory no\nmaps no\nfds no\n");
    // chown, dac-override, fowner, fsetid, setgid, setuid, net-bind-service: as far as this test has them itself.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
    let kept = u64::from_str_radix(own.trim(), 16).unwrap() & 0x4db;
    assert_eq!(office.left("caps"), format!("{:016x}\n{kept:016x}\n{kept:016x}\n{:016x}\n", 0, 0));
    let recorded = office.last()["containment"]["in-force"]["capabilities"].as_array().unwrap().len();
    assert_eq!(recorded, usize::try_from(kept.count_ones()).unwrap());
    office.orch("explain").run().exits(0).says(if kept == 0 { "; no capabilities)" } else { "; capabilities: chown" });
}

/// What is granted is not hidden, so a grant around what is hidden would open it.
#[test]
fn no_stage_opens_the_state_or_keys_to_its_agent() {
    let refused = |place: &str, why: &str| {
        let office = Office::of("claude-code", &format!(", writes: [\"**\"], may-write: [\"{place}\"]")).does(WORKS);
        fs::create_dir_all(office.shop.scratch("home/.config")).unwrap();
        fs::create_dir_all(office.shop.scratch("home/.cache")).unwrap();
        std::os::unix::fs::symlink("../../state", office.shop.scratch("home/.cache/agent")).unwrap();
        office.run().refused(3, why).talks(&format!("may-write: {place}"));
        office.orch("pipeline plan").run().exits(0).says("refused").says(why);
        assert!(!office.shop.state().join("runs").exists(), "{place}: something was started");
    };
    refused("~/.config", "covers a place of keys");
    refused("~/.config/gh/hosts.yml", "lies in a place of keys");
    refused("~/.cache/agent", "covers orch's state folder");
    refused("~/.cache/agent/runs", "lies in orch's state folder");
    // The folder around the home, the state and the repository, by its whole name.
    let tmp = std::env::temp_dir();
    refused(tmp.to_str().unwrap(), "covers");
    let hooks = Office::of("claude-code", ", writes: [\"**\"], may-write: [\"SCRATCH/shop/.git/hooks\"]").does(WORKS);
    hooks.run().refused(3, "covers git's configuration");
    let office = Office::of("claude-code", ", writes: [\"**\"], may-write: [~/.config/our-agent]").does(WORKS);
    office.run().exits(0).says("done");
}

/// Landlock does not forbid `chmod`: a state folder that others could reach would be refused by every later command.
#[test]
fn a_state_folder_whose_mode_an_agent_changed_is_private_again() {
    let office = Office::of("claude-code", ", writes: [\"src/**\"]").does(&format!("chmod 777 SCRATCH/state\n{WORKS}"));
    office.run().exits(0).says("done").talks("had mode 777 after the agent of stage `development`");
    assert_eq!(fs::metadata(office.shop.state()).unwrap().permissions().mode() & 0o777, 0o700);
    office.orch("status").run().exits(0);
    office.run().exits(0).never("had mode");
}

/// Any process of the same user may limit the files of another. That is an error with words, and no death.
#[test]
fn a_runner_whose_files_were_limited_says_so() {
    let limit = "prlimit --pid \"$runner\" --fsize=0:0\nprlimit --pid \"$PPID\" --fsize=0:0\n";
    let script = format!("{FINDS_RUNNER}{limit}{WORKS}");
    let office = Office::of("claude-code", ", writes: [\"src/**\"]").does(&script);
    let (mut talk, stderr) = std::io::pipe().unwrap();
    office.orch("pipeline run").start_talking_to(stderr).end().exits(70);
    let mut said = String::new();
    talk.read_to_string(&mut said).unwrap();
    assert!(said.contains("error: could not ") && said.contains("orch.db"), "{said}");
    // Nobody saw the end, and the next run says so and tries again.
    office.does(WORKS).run().exits(0).talks("was left by its runner").talks("supervisor-died").says("done");
}
