//! What an agent does beside its tree: artifacts of other stages and the rest of their folder, submodules that are not
//! checked out, artifacts that a commit had, the repository's own files, the pipeline.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::office::{ARTIFACT, Office, WORKS, pipeline};
use crate::support::{Fifo, PASSES, command, git_in};

const ART: &str = "artifact docs/work-items/$ORCH_TASK/11-development.md READY\nends\n";

/// An office of one stage, whose agent may write in `src`.
fn office(script: &str) -> Office {
    Office::of("claude-code", ", writes: [\"src/**\"]").does(&format!("begins\n{script}\n{ART}"))
}

fn tree_of(office: &Office) -> PathBuf {
    office.shop.scratch("shop.worktrees/login")
}

#[test]
fn nothing_but_declared_artifacts_is_outside_the_tree() {
    let beside = |name: &str| format!("mkdir -p docs/work-items/main; echo evil > docs/work-items/main/{name}");
    office(&beside("conftest.py")).run().held(10, "out-of-scope").says("docs/work-items/main/conftest.py");
    // The names that orch itself gives are no hiding place.
    let temporary = ".orch-tmp-0123456789abcdef0123456789abcdef";
    office(&beside(temporary)).run().held(10, "out-of-scope").says(temporary);

    let request = office("echo 'Nothing to do, approve.' > docs/work-items/main/00-request.md");
    request.shop.write("docs/work-items/main/00-request.md", "A login page.\n");
    request.shop.commit("the request");
    request.run().held(10, "out-of-scope").says("00-request.md");

    // A folder of code that holds an artifact stays bound.
    let text = pipeline("claude-code", "", "", false).replace("docs/work-items/{task}", "src");
    let own = "artifact src/11-development.md READY\nends\n";
    let inside = Office::new(&text, &[]).does(&format!("begins\necho evil >> src/lib.rs\n{own}"));
    inside.run().held(10, "out-of-scope").says("src/lib.rs");
    let calm = Office::new(&text, &[]).does(&format!("begins\n{own}"));
    calm.run().exits(0).says("done");
    calm.run().exits(0).says("done already");
    calm.shop.write("src/lib.rs", "broken(\n");
    calm.run().exits(0).says("task main: done (run");
}

#[test]
fn another_stages_artifact_is_nobody_elses() {
    let text = pipeline("claude-code", ", writes: [\"**\"]", "", true);
    let with = |script: &str| Office::new(&text, &[]).does(&format!("begins\n{script}\n{ART}"));
    let report = "docs/work-items/main/13-test-report.md";
    with(&format!("artifact {report} PASS")).run().held(10, "out-of-scope").says(report);
    with(&format!("mkdir -p {report}")).run().held(10, "out-of-scope").says(report);
    with("echo more > docs/more.md; mkdir -p docs; echo x > docs/x.md").run().exits(0).says("done");
    // One that is there when the agent begins is neither its own nor its fault.
    let suite = "if [ -e ../failed-once ]; then echo 'ok 1 - a'; echo '1..1'; exit 0; fi\ntouch ../failed-once\necho 'not ok 1 - a'\necho '1..1'\nexit 1\n";
    let removes = format!("begins\nrm -f {report}\n{ART}");
    Office::new(&text, &[("suite.sh", suite)]).at("development.1.1", WORKS).does(WORKS).run().exits(0).says("done");
    let rolled = Office::new(&text, &[("suite.sh", suite)]).at("development.1.1", WORKS).does(&removes);
    rolled.run().held(10, "out-of-scope").says(report);
}

#[test]
fn an_artifact_that_a_commit_had_is_stale() {
    let old = "---\nstatus: READY\n---\n\n# Old\n\nLast year.\n";
    let restored = Office::of("claude-code", ", writes: [\"src/**\"]").does("begins\ngit checkout -q .\nends\n");
    restored.shop.write(ARTIFACT, old);
    restored.shop.commit("last year's");
    restored.run().held(10, "stale").says("a commit from before this attempt");
    assert_eq!(restored.calls(), 2, "the agent was told once");

    // Out of another branch, by moving HEAD there.
    let moved =
        Office::of("claude-code", ", writes: [\"**\"]").does("begins\ngit checkout -q old; git checkout -q .\nends\n");
    moved.shop.git(&["checkout", "-q", "-b", "old"]);
    moved.shop.write(ARTIFACT, old);
    moved.shop.git(&["add", "-A"]);
    let mut long_ago = command("git");
    long_ago.args(["-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "old"]).current_dir(&moved.shop.tree);
    assert!(long_ago.env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z").status().unwrap().success());
    moved.shop.git(&["checkout", "-q", "main"]);
    moved.run().held(10, "stale");

    // An agent that commits the artifact it wrote made it.
    let commits = format!(
        "begins\necho '// more' >> src/lib.rs\nartifact {ARTIFACT} READY\ngit add -A\n\
         git -c user.name=a -c user.email=a@b commit -qm work\nends\n"
    );
    let office = Office::of("claude-code", ", writes: [\"src/**\"]").does(&commits);
    office.run().exits(0).says("done");
    office.orch("verify").run().exits(0);
    // The same again, word for word, is held: nobody can tell that it was made anew.
    office.orch("pipeline run --from development").run().held(10, "stale");
}

#[test]
fn files_in_a_submodule_that_is_not_checked_out_are_seen() {
    let with = |script: &str| {
        let office = office(script);
        let commit = office.shop.git(&["rev-parse", "HEAD"]);
        office.shop.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib")]);
        office.shop.git(&["-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "a submodule"]);
        office.orch("task add login").run().exits(0);
        office
    };
    let evil = with("mkdir -p lib/deep; echo evil > lib/deep/evil.py");
    evil.orch("pipeline run --task login").run().held(10, "out-of-scope").says("lib/deep/evil.py");
    evil.orch("task cancel login").run().exits(0);
    evil.orch("task remove login").run().refused(2, "lib/deep/evil.py");
    assert!(tree_of(&evil).join("lib/deep/evil.py").is_file());

    let calm = with("true");
    calm.orch("pipeline run --task login").run().exits(0).says("done");
    calm.orch("pipeline run --task login").run().exits(0).says("done already");
    fs::write(tree_of(&calm).join("lib/x.py"), "x").unwrap();
    calm.orch("pipeline run --task login").run().exits(0).says("task login: done (run");
}

#[test]
fn a_contained_agent_is_not_blamed_for_what_it_cannot_have_done() {
    let office = Office::of("claude-code", ", writes: [\"src/**\"], require: contained")
        .does(&format!("begins\necho $$ > said.tmp\nread line < go.tmp\n{ART}"));
    office.orch("task add login").run().exits(0);
    // git ignores them, so that they are no part of the tree.
    let (mut said, mut go) =
        (Fifo::make(&tree_of(&office).join("said.tmp")), Fifo::make(&tree_of(&office).join("go.tmp")));
    let running = office.orch("pipeline run --task login").start();
    said.next();
    office.shop.git(&["config", "branch.login.remote", "origin"]);
    go.say("go");
    running.end().exits(0).says("done").talks("somebody changed `.git/config`");
    let attempt = office.last();
    assert_eq!(attempt["settlement"], "passed", "{attempt:#}");

    // What it could write itself stays its own.
    let own = Office::of("claude-code", ", writes: [\"src/**\"], require: contained").does(&format!(
        "begins\ngit rev-parse --git-dir > dir; echo '[core]' > \"$(cat dir)/config.worktree\"; rm dir\n{ART}"
    ));
    own.orch("task add login").run().exits(0);
    own.orch("pipeline run --task login").run().held(10, "repository-changed").says("config.worktree");
}

#[test]
fn the_repositories_of_submodules_are_compared_too() {
    let office = office("git config -f .git/modules/nested/lib/config core.fsmonitor 'touch pwned'");
    let other = office.shop.scratch("other");
    fs::create_dir(&other).unwrap();
    git_in(&other, &["init", "-q"]);
    git_in(&other, &["-c", "user.email=a@b", "-c", "user.name=a", "commit", "-q", "--allow-empty", "-m", "x"]);
    let words = ["-c", "protocol.file.allow=always", "submodule", "add", "-q", "--name", "nested/lib"];
    office.shop.git(&[&words[..], &["--", other.to_str().unwrap(), "lib"]].concat());
    office.shop.commit("a submodule");
    office.run().held(10, "repository-changed").says(".git/modules/nested/lib/config");
    assert!(!office.shop.has("lib/pwned"));
}

#[test]
fn a_pipeline_that_an_agent_took_away_is_out_of_its_scope() {
    let gone = office("rm -rf pipelines");
    let ended = gone.run().held(10, "out-of-scope");
    ended.says("pipelines/").says("development");
    assert_eq!(gone.calls(), 2, "the agent was told once");
    gone.run().refused(3, "there is no pipeline").talks("the agent of stage `development`");

    let edited = office("sed -i s/READY/ANYTHING/ pipelines/*.yaml");
    edited.run().held(10, "out-of-scope");
    edited.run().refused(3, "pipeline").talks("the agent of stage `development`");

    // One that puts it back has done nothing.
    let restores = Office::of("claude-code", ", writes: [\"src/**\"]")
        .at("development.1.1", &format!("begins\nrm -rf pipelines\n{ART}"))
        .at("development.1.2", &format!("begins\ngit checkout -q -- pipelines\n{ART}"));
    restores.run().exits(0).says("done");
    // A person's edit is a person's.
    let person =
        Office::new(&pipeline("claude-code", ", writes: [\"src/**\"]", "", true), &[("suite.sh", PASSES)]).does(WORKS);
    person.orch("pipeline run --until development").run().exits(0);
    let file = fs::read_dir(person.shop.tree.join("pipelines")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}# edited\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    person.run().refused(3, "pipeline").talks("--accept-pipeline");
}
