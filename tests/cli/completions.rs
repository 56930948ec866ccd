//! `orch completions`: the scripts, and what they are answered.

use crate::support::{CHECK_THEN_TESTING, Ended, Orch, PASSES, Shop, command};

/// What bash completes for the words behind `orch`, the last one being typed.
fn bash(shop: &Shop, words: &[&str]) -> Vec<String> {
    let script = shop.scratch("orch.bash");
    let ended = shop.orch("completions bash").run().exits(0);
    std::fs::write(&script, &ended.raw_stdout).unwrap();
    // As readline calls it; `compopt` works within a completion only and is allowed to fail.
    let asks = r#"source "$1"; shift
        [[ $(complete -p orch) == *_clap_complete_orch* ]] || exit 9
        COMP_WORDS=(orch "$@"); COMP_CWORD=$#; COMP_TYPE=9
        _clap_complete_orch orch "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = command("bash");
    bash.args(["--norc", "--noprofile", "-c", asks, "bash"]).arg(&script).args(words);
    bash.current_dir(&shop.tree).env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
    bash.env("HOME", shop.scratch("home")).env("ORCH_STATE_DIR", shop.state());
    let ended = Orch::new(bash).run().exits(0);
    assert_eq!(ended.stderr(), "", "{ended}");
    ended.stdout().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn asked(shop: &Shop, shell: &str, words: &str) -> Ended {
    let index = words.split(' ').count() - 1;
    let call = words.split(' ').fold(shop.orch("--").env("ORCH_COMPLETE", shell), Orch::arg);
    call.env("_CLAP_COMPLETE_INDEX", index.to_string()).env("_CLAP_IFS", "\n").run().exits(0)
}

fn shop() -> Shop {
    let shop = Shop::new(CHECK_THEN_TESTING, &[("check.sh", "exit 0\n"), ("suite.sh", PASSES)]);
    shop.run().exits(0);
    shop.orch("pipeline run --task other --from check").run().exits(0);
    shop
}

#[test]
fn bash_completes_commands_options_and_what_is_there() {
    let shop = shop();
    assert!(bash(&shop, &["pipe"]).contains(&"pipeline".to_owned()));
    assert!(bash(&shop, &["pipeline", "run", "--fr"]).contains(&"--from".to_owned()));
    assert_eq!(bash(&shop, &["pipeline", "run", "--from", ""]), ["check", "testing"]);
    assert_eq!(bash(&shop, &["pipeline", "run", "--until", "te"]), ["testing"]);
    assert_eq!(bash(&shop, &["pipeline", "run", "--task", ""]), ["main", "other"]);
    assert_eq!(bash(&shop, &["run", "list", "--task", "o"]), ["other"]);
    assert_eq!(bash(&shop, &["pipeline", "graph", "--format", "sv"]), ["svg"]);
    let runs = shop.orch("run list --json").run().json();
    let newest = runs["runs"][0]["run"].as_str().unwrap();
    let found = bash(&shop, &["run", "show", ""]);
    assert_eq!(
        (found.first().map(String::as_str), runs["runs"].as_array().unwrap().len()),
        (Some(newest), 2),
        "{found:?}"
    );
    assert!(bash(&shop, &["logs", ""]).contains(&newest.to_owned()));
    assert_eq!(bash(&shop, &["explain", ""]).iter().filter(|id| id.len() == 36).count(), 4);
}

#[test]
fn every_shell_has_a_script_and_is_answered() {
    let shop = shop();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        shop.orch(&format!("completions {shell}")).run().exits(0).says("ORCH_COMPLETE").says("orch");
        asked(&shop, shell, "orch pipeline run --task ").says("main").never("error");
    }
    asked(&shop, "fish", "orch pipeline run --task ").says("main\tdone");
    shop.orch("completions tcsh").run().refused(2, "tcsh");
    assert_eq!(shop.orch("completions zsh --json").run().exits(0).json()["shell"], "zsh");
}

#[test]
fn what_is_broken_gives_no_candidates_and_no_words() {
    let shop = shop();
    let silent = |ended: Ended| assert_eq!((ended.stdout(), ended.stderr()), (String::new(), String::new()));
    shop.write("pipelines/shop.yaml", "no: pipeline\n");
    silent(asked(&shop, "fish", "orch pipeline run --from "));
    silent(asked(&shop, "tcsh", "orch pipeline run --task "));
    std::fs::remove_dir_all(shop.tree.join(".git")).unwrap();
    silent(asked(&shop, "fish", "orch run show 0"));
    silent(asked(&shop, "fish", "orch pipeline run --task "));
}

#[test]
fn a_variable_that_was_left_behind_changes_nothing() {
    let shop = Shop::running(PASSES);
    shop.orch("pipeline run").env("ORCH_COMPLETE", "bash").run().exits(0).says("done");
    shop.orch("classify -- sh suite.sh").env("ORCH_COMPLETE", "bash").run().exits(0).talks("suite-ran");
}
