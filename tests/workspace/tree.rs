//! The tree's identity: what changes it, what does not, and what never runs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};

use orch::domain::evidence::TreeFacts;
use orch::domain::id::Digest;
use orch::workspace::git::{Git, GitAnswer, GitCall, GitError};
use orch::workspace::tree::{Less, Snapshot, TreeError, compare};
use orch::workspace::tree_cache::{load, save};

use crate::support::{Repo, below, env, git, git_in, run_git};

fn less() -> Less {
    Less::new([below("docs/work-items/t/13-test-report.md")], [below("report.xml")])
}

fn take(repo: &Repo, known: Option<&Snapshot>) -> Snapshot {
    Snapshot::take(&git(&repo.path), &repo.open(), &less(), known).unwrap()
}

/// What an attempt that does `act` is seen to have done.
fn facts(repo: &Repo, act: impl FnOnce(&Repo)) -> TreeFacts {
    let before = take(repo, None);
    act(repo);
    compare(&before, &take(repo, Some(&before)))
}

fn check(act: impl FnOnce(&Repo), changed: &[&str], added: &[&str]) {
    let facts = facts(&Repo::new(), act);
    assert_eq!((facts.changed.as_slice(), facts.added.as_slice()), (&strings(changed)[..], &strings(added)[..]));
    assert_eq!(facts.was_changed(), !changed.is_empty());
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_an_attempt_did_is_seen() {
    check(|_| (), &[], &[]);
    check(|repo| repo.write("a", "b\n"), &["a"], &[]);
    check(|repo| std::fs::remove_file(repo.path.join("dir/b")).unwrap(), &["dir/b"], &[]);
    check(|repo| repo.write("new", ""), &[], &["new"]);
    check(|repo| repo.write("x.log", "ignored"), &[], &[]);
    check(|repo| repo.write("target/x", "ignored"), &[], &[]);
    check(|repo| repo.write("docs/work-items/t/13-test-report.md", "ours"), &[], &[]);
    check(|repo| repo.write("docs/work-items/t/conftest.py", ""), &[], &["docs/work-items/t/conftest.py"]);
    check(|repo| repo.write("docs/work-items/t2/x", ""), &[], &["docs/work-items/t2/x"]);
    check(|repo| repo.write("report.xml", "declared"), &[], &[]);
    let mode = || std::fs::Permissions::from_mode(0o755);
    check(|repo| std::fs::set_permissions(repo.path.join("a"), mode()).unwrap(), &["a"], &[]);
    check(
        |repo| {
            std::fs::remove_file(repo.path.join("link")).unwrap();
            symlink("dir/b", repo.path.join("link")).unwrap();
        },
        &["link"],
        &[],
    );
    // The content stays, the kind does not; and a folder that became a link has no files of the tree in it.
    check(
        |repo| {
            std::fs::rename(repo.path.join("dir"), repo.scratch.path().join("away")).unwrap();
            symlink(repo.scratch.path().join("away"), repo.path.join("dir")).unwrap();
        },
        &["dir/b"],
        &["dir"],
    );
    check(
        |repo| {
            std::fs::remove_file(repo.path.join("a")).unwrap();
            repo.write("a/inside", "");
        },
        &["a"],
        &["a/inside"],
    );
    check(|repo| drop((std::fs::remove_file(repo.path.join("a")), fifo(repo, "a"))), &["a"], &[]);
}

fn fifo(repo: &Repo, path: &str) {
    assert!(crate::support::command("mkfifo").arg(repo.path.join(path)).status().unwrap().success());
}

#[test]
fn git_bookkeeping_changes_nothing() {
    check(|repo| drop(repo.git("commit -q --allow-empty -m x")), &[], &[]);
    check(|repo| drop(repo.git("update-index --refresh -q")), &[], &[]);
    check(|repo| drop(repo.git("rm -q --cached a")), &[], &[]);
    // Hiding a file from the listing hides no change of it.
    check(|repo| repo.write(".git/info/exclude", "a\n"), &[], &[]);
    check(
        |repo| {
            repo.git("rm -q --cached a");
            repo.write(".git/info/exclude", "a\n");
            repo.write("a", "changed");
        },
        &["a"],
        &[],
    );
    check(
        |repo| {
            repo.git("update-index --assume-unchanged a");
            repo.git("update-index --skip-worktree dir/b");
            repo.write("a", "changed");
            repo.write("dir/b", "changed");
        },
        &["a", "dir/b"],
        &[],
    );
}

#[test]
fn the_decision_is_made_on_all_and_twenty_are_named() {
    let act = |repo: &Repo| {
        std::fs::remove_file(repo.path.join("run")).unwrap();
        (0..30).for_each(|n| repo.write(&format!("new/{n}"), ""));
    };
    let facts = facts(&Repo::new(), act);
    assert_eq!((facts.changed.len(), facts.added.len()), (1, 20));
    assert!(facts.was_changed());

    let repo = Repo::new();
    std::fs::remove_file(repo.path.join("a")).unwrap();
    let before = take(&repo, None);
    repo.write("a", "a\n");
    let facts = compare(&before, &take(&repo, Some(&before)));
    assert_eq!(facts.changed, ["a"], "a tracked file that was missing and is back");
    assert!(facts.was_changed());
}

#[test]
fn the_same_files_have_the_same_identity_anywhere() {
    let digest = |repo: &Repo| take(repo, None).digest();
    let (one, two) = (Repo::new(), Repo::new());
    assert_eq!(digest(&one), digest(&two));
    two.git("commit -q --allow-empty -m other");
    two.write("x.log", "ignored");
    assert_eq!(digest(&one), digest(&two));
    two.write("a", "other\n");
    assert_ne!(digest(&one), digest(&two));
    // Names and contents cannot be moved against each other.
    let (ab, a_b) = (Repo::new(), Repo::new());
    ab.write("n", "fx");
    a_b.write("nf", "x");
    assert_ne!(digest(&ab), digest(&a_b));
    // The form is part of what verdicts are bound to: this value changes only together with its version.
    assert_eq!(digest(&one), GOLDEN.parse::<Digest>().unwrap());
}

/// Identity of [`Repo::new`]'s files, computed from docs/design/0005 by a program in another language.
const GOLDEN: &str = "d3b5c09259c8f57a73e18cf8d51150835bb906908e2eeb1f8cd7919963cb7f90";

#[test]
fn dirty_is_anything_but_head() {
    let check = |act: &dyn Fn(&Repo), expected: bool| {
        let repo = Repo::new();
        act(&repo);
        assert_eq!(take(&repo, None).is_dirty(), expected);
    };
    check(&|_| (), false);
    check(&|repo| repo.write("x.log", ""), false);
    check(&|repo| repo.write("report.xml", ""), false);
    check(&|repo| repo.write("docs/work-items/t/13-test-report.md", ""), false);
    check(&|repo| repo.write("docs/work-items/t/x.md", ""), true);
    check(&|repo| repo.write("a", "a\n"), false);
    check(&|repo| repo.write("a", "b\n"), true);
    check(&|repo| repo.write("new", ""), true);
    check(&|repo| std::fs::remove_file(repo.path.join("a")).unwrap(), true);
    let mode = || std::fs::Permissions::from_mode(0o644);
    check(&|repo| std::fs::set_permissions(repo.path.join("run"), mode()).unwrap(), true);
    // The index is not the tree.
    check(&|repo| drop(repo.git("rm -q --cached a")), false);

    let scratch = Repo::new();
    let known = take(&scratch, None);
    scratch.write("a", "b\n");
    assert!(take(&scratch, Some(&known)).is_dirty());
    scratch.git("commit -qam changed");
    let after = take(&scratch, Some(&known));
    assert!(!after.is_dirty());
    assert_eq!(after.head().commit.as_str(), scratch.git("rev-parse HEAD"));
}

#[test]
fn repositories_with_sha256_names() {
    let repo = Repo::empty();
    std::fs::remove_dir_all(repo.path.join(".git")).unwrap();
    repo.git("init -q -b main --object-format=sha256 .");
    repo.write("a", "a\n");
    repo.git("add a");
    repo.git("-c user.name=x -c user.email=y commit -qm x");
    assert!(!take(&repo, None).is_dirty());
    repo.write("a", "b\n");
    assert!(take(&repo, None).is_dirty());
}

#[test]
fn names_may_be_any_bytes() {
    let repo = Repo::new();
    let odd = [&b"\xff\xfe"[..], b"new\nline", b"tab\there", b"-x", b" ", b"quote\"'", "käse".as_bytes()];
    for name in odd {
        std::fs::write(repo.path.join(OsStr::from_bytes(name)), "x").unwrap();
    }
    let before = take(&repo, None);
    assert_eq!(before.files(), 5 + odd.len());
    for name in odd {
        std::fs::write(repo.path.join(OsStr::from_bytes(name)), "y").unwrap();
    }
    let facts = compare(&before, &take(&repo, Some(&before)));
    assert_eq!(facts.changed.len(), odd.len());
    assert!(facts.changed.contains(&"\\xff\\xfe".to_owned()), "{:?}", facts.changed);
    assert!(facts.changed.iter().all(|name| !name.contains('\u{1b}')));
}

#[test]
fn nothing_an_agent_configured_runs() {
    let repo = Repo::new();
    let trap = repo.scratch.path().join("trap");
    let pwned = repo.scratch.path().join("pwned");
    std::fs::write(&trap, format!("#!/bin/sh\ntouch {}\ncat\n", pwned.display())).unwrap();
    std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o755)).unwrap();
    let trap_path = trap.display();
    let hooks = repo.path.join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    for hook in ["post-index-change", "reference-transaction", "post-checkout", "pre-commit", "fsmonitor-watchman"] {
        std::fs::copy(&trap, hooks.join(hook)).unwrap();
        std::fs::copy(&trap, repo.path.join(".git/hooks").join(hook)).unwrap();
    }
    let included = repo.scratch.path().join("included");
    std::fs::write(&included, format!("[core]\n\tfsmonitor = {trap_path}\n[alias]\n\tls-tree = !{trap_path}\n"))
        .unwrap();
    let more = format!(
        "[core]\n\tfsmonitor = {trap_path}\n\thooksPath = {hooks}\n\tsshCommand = {trap_path}\n\tpager = {trap_path}\n\
         \teditor = {trap_path}\n\taskPass = {trap_path}\n\
         [filter \"evil\"]\n\tclean = {trap_path}\n\tsmudge = {trap_path}\n\tprocess = {trap_path}\n\trequired = true\n\
         [diff]\n\texternal = {trap_path}\n[diff \"evil\"]\n\ttextconv = {trap_path}\n\
         [alias]\n\tstatus = !{trap_path}\n\tls-files = !{trap_path}\n\trev-parse = !{trap_path}\n\
         [pager]\n\tls-files = {trap_path}\n\tconfig = {trap_path}\n\
         [gpg]\n\tprogram = {trap_path}\n[credential]\n\thelper = !{trap_path}\n\
         [remote \"origin\"]\n\turl = ext::{trap_path}\n\tpromisor = true\n\tpartialclonefilter = blob:none\n\
         [extensions]\n\tpartialClone = origin\n[protocol \"ext\"]\n\tallow = always\n\
         [include]\n\tpath = {included}\n",
        hooks = hooks.display(),
        included = included.display(),
    );
    let config = repo.path.join(".git/config");
    let text = std::fs::read_to_string(&config).unwrap();
    repo.write(".gitattributes", "* filter=evil diff=evil\n");
    std::fs::write(&config, text + &more).unwrap();
    // A file with the index's time in the index is one that git would read, and filter, to know more.
    repo.write("a", "changed\n");
    std::fs::remove_file(repo.path.join(".git/objects").join(object_of_a())).unwrap();

    let git = git(&repo.path);
    let worktree = repo.open();
    let before = Snapshot::take(&git, &worktree, &less(), None).unwrap();
    assert!(before.is_dirty());
    repo.write("a", "again\n");
    let after = Snapshot::take(&git, &worktree, &less(), Some(&before)).unwrap();
    assert_eq!(compare(&before, &after).changed, ["a"]);
    worktree.base(&git, worktree.head()).unwrap();
    worktree.repository(&git, None).unwrap();
    worktree.read_head(&git).unwrap();
    assert!(!pwned.exists());
    // The trap works: git by itself walks into it.
    let mut plain = crate::support::command("git");
    plain.arg("-C").arg(&repo.path).args(["add", "a"]).output().unwrap();
    assert!(pwned.exists());
}

fn object_of_a() -> &'static str {
    "78/981922613b2afb6025042ff6bd878ac1994e85"
}

#[test]
fn nested_repositories_are_part_of_the_tree() {
    let repo = Repo::new();
    let inner = Repo::new();
    let url = inner.path.to_str().unwrap();
    git_in(&repo.path, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]);
    repo.git("commit -qm submodule");
    let clean = take(&repo, None);
    assert!(!clean.is_dirty());
    assert_eq!(clean.files(), 5 + 2 + 5, "its own, .gitmodules and the submodule, and the submodule's");
    repo.write("sub/a", "changed");
    let after = take(&repo, Some(&clean));
    assert_eq!(compare(&clean, &after).changed, ["sub/a"]);
    assert!(after.is_dirty());
    repo.write("sub/a", "a\n");
    repo.write("sub/x.log", "ignored there");
    assert_eq!(take(&repo, None).digest(), clean.digest());
    git_in(
        &repo.path.join("sub"),
        &["-c", "user.name=x", "-c", "user.email=y", "commit", "-q", "--allow-empty", "-mx"],
    );
    let moved = take(&repo, Some(&clean));
    assert_eq!(moved.digest(), clean.digest(), "the files are the same");
    assert!(moved.is_dirty(), "the commit is not the one that is recorded");

    repo.git("submodule --quiet deinit -f sub");
    let without = take(&repo, None);
    assert_ne!(without.digest(), clean.digest());

    let loose = Repo::new();
    git_in(&loose.path, &["init", "-q", "below"]);
    loose.write("below/x", "x");
    let before = take(&loose, None);
    assert!(before.is_dirty());
    loose.write("below/x", "y");
    assert_eq!(compare(&before, &take(&loose, Some(&before))).changed, ["below/x"]);
}

#[test]
fn a_nested_repository_does_not_lead_out() {
    let repo = Repo::new();
    let other = Repo::new();
    other.write("secret", "x");
    // A gitlink whose folder is a link to elsewhere.
    let commit = other.git("rev-parse HEAD");
    repo.git(&format!("update-index --add --cacheinfo 160000,{commit},sub"));
    symlink(&other.path, repo.path.join("sub")).unwrap();
    let before = take(&repo, None);
    assert_eq!(before.dirty_names(), ["sub"]);
    other.write("secret", "y");
    assert_eq!(before.digest(), take(&repo, None).digest(), "what the link leads to is not looked at");
    // A nested `.git` that is no repository does not make git look further up.
    std::fs::remove_file(repo.path.join("sub")).unwrap();
    repo.write("sub/.git/x", "");
    let error = Snapshot::take(&git(&repo.path), &repo.open(), &less(), None).expect_err("it is broken");
    assert!(matches!(&error, TreeError::Nested { path, source: GitError::Failed { .. } } if path == "sub"), "{error}");
    // Without a `.git` its files are untracked files of this tree, and those that are ignored are not.
    std::fs::remove_dir_all(repo.path.join("sub/.git")).unwrap();
    repo.write("sub/deep/x", "x");
    repo.write("sub/x.log", "ignored");
    let before = take(&repo, None);
    assert_eq!(before.dirty_names(), ["sub", "sub/deep/x"], "HEAD has no such submodule");
    repo.write("sub/deep/x", "changed");
    assert_eq!(compare(&before, &take(&repo, Some(&before))).changed, ["sub/deep/x"]);
}

#[test]
fn a_replaced_worktree_is_refused() {
    let repo = Repo::new();
    let worktree = repo.open();
    std::fs::rename(repo.path.join(".git"), repo.scratch.path().join("real")).unwrap();
    repo.git("init -q .");
    let error = Snapshot::take(&git(&repo.path), &worktree, &less(), None).expect_err("another repository");
    assert!(matches!(error, TreeError::Git(GitError::Replaced { .. })));
}

/// Makes everything in a repository old enough for its stamps to prove something.
fn settle(repo: &Repo) {
    let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 120_000_000 };
    // Only time itself makes a stamp old; there is no event to wait for.
    assert!(matches!(rustix::thread::nanosleep(&pause), rustix::thread::NanosleepRelativeResult::Ok));
    assert!(repo.path.exists());
}

#[test]
fn an_unchanged_tree_costs_no_process() {
    let repo = Repo::new();
    repo.write("docs/work-items/t/00-request.md", "please\n");
    repo.write("docs/work-items/t/13-test-report.md", "");
    let asked = AtomicUsize::new(0);
    let run = |call: &GitCall<'_>| -> std::io::Result<GitAnswer> {
        asked.fetch_add(1, Ordering::Relaxed);
        run_git(call)
    };
    let git = Git::find(&run, &env, &repo.path).unwrap();
    let worktree = repo.open();
    let asked_for = |known: &Snapshot| {
        asked.store(0, Ordering::Relaxed);
        let taken = Snapshot::take(&git, &worktree, &less(), Some(known)).unwrap();
        (taken, asked.load(Ordering::Relaxed))
    };
    settle(&repo);
    let mut known = Snapshot::take(&git, &worktree, &less(), None).unwrap();
    let first = known.digest();
    for _ in 0..3 {
        let (taken, questions) = asked_for(&known);
        assert_eq!((taken.digest(), questions), (first, 0));
    }
    // Artifacts and reports come and go, and with them the times of their folders.
    repo.write("docs/work-items/t/13-test-report.md", "another");
    assert_eq!(asked_for(&known).1, 0);
    std::fs::remove_file(repo.path.join("docs/work-items/t/13-test-report.md")).unwrap();
    repo.write("docs/work-items/t/.orch-tmp-0123456789abcdef0123456789abcdef", "half");
    repo.write("report.xml", "");
    assert_eq!(asked_for(&known).1, 0);

    let acts: [(&str, &dyn Fn()); 12] = [
        ("beside an artifact", &|| repo.write("docs/work-items/t/conftest.py", "")),
        ("an ignored file beside a report", &|| repo.write("x.log", "")),
        ("a request", &|| repo.write("docs/work-items/t/00-request.md", "nothing to do\n")),
        ("a folder beside an artifact", &|| repo.write("docs/work-items/t/deep/x", "")),
        ("content", &|| repo.write("a", "b\n")),
        ("new file", &|| repo.write("dir/new", "")),
        ("new file in an empty folder", &|| repo.write("empty/new", "")),
        ("commit", &|| drop(repo.git("commit -q --allow-empty -m x"))),
        ("ref", &|| drop(repo.git("update-ref refs/heads/main HEAD~1"))),
        ("ignore file", &|| repo.write(".gitignore", "*.txt\n")),
        ("exclude", &|| repo.write(".git/info/exclude", "new\n")),
        ("removed", &|| std::fs::remove_file(repo.path.join("run")).unwrap()),
    ];
    std::fs::create_dir(repo.path.join("empty")).unwrap();
    settle(&repo);
    known = asked_for(&known).0;
    for (what, act) in acts {
        assert_eq!(asked_for(&known).1, 0, "before: {what}");
        act();
        assert!(asked_for(&known).1 > 0, "{what}");
        settle(&repo);
        known = asked_for(&known).0;
        let fresh = Snapshot::take(&git, &worktree, &less(), None).unwrap();
        assert_eq!((known.digest(), known.is_dirty()), (fresh.digest(), fresh.is_dirty()), "{what}");
    }
}

#[test]
fn a_change_within_one_tick_of_the_clock_is_seen() {
    let repo = Repo::new();
    let (git, worktree) = (git(&repo.path), repo.open());
    let file = repo.path.join("a");
    let mut known = Snapshot::take(&git, &worktree, &less(), None).unwrap();
    for round in 0..60 {
        // The same length and, where the clock allows, the same time.
        std::fs::write(&file, format!("{}\n", round % 10)).unwrap();
        let taken = Snapshot::take(&git, &worktree, &less(), Some(&known)).unwrap();
        assert_eq!(compare(&known, &taken).changed, ["a"], "round {round}");
        known = taken;
    }
}

#[test]
fn a_kept_snapshot_saves_the_next_run_its_questions() {
    let repo = Repo::new();
    std::fs::remove_file(repo.path.join("dir/b")).unwrap();
    settle(&repo);
    let (state, worktree) = (repo.state(), repo.open());
    let path = state.tree_cache(&worktree);
    assert!(load(&worktree, &path).is_none());
    let taken = take(&repo, None);
    save(&taken, &worktree, &path).unwrap();
    let none = |_: &GitCall<'_>| -> std::io::Result<GitAnswer> { panic!("git must not be asked") };
    let idle = Git::find(&none, &env, &repo.path).unwrap();
    let known = load(&worktree, &path).unwrap();
    let again = Snapshot::take(&idle, &worktree, &less(), Some(&known)).unwrap();
    assert_eq!((again.digest(), again.is_dirty(), again.head()), (taken.digest(), true, taken.head()));

    repo.write("a", "changed");
    let after = take(&repo, Some(&load(&worktree, &path).unwrap()));
    assert_eq!(compare(&taken, &after).changed, ["a"]);

    assert!(load(&Repo::new().open(), &path).is_none(), "another worktree's");
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(7) {
        std::fs::write(&path, whole.get(..end).unwrap()).unwrap();
        assert!(load(&worktree, &path).is_none(), "{end}");
    }
    let mut flipped = whole.clone();
    *flipped.get_mut(whole.len() / 2).unwrap() ^= 1;
    std::fs::write(&path, flipped).unwrap();
    assert!(load(&worktree, &path).is_none());
}

#[test]
fn many_files_are_looked_at_by_several_threads() {
    let repo = Repo::new();
    (0..3000).for_each(|n| repo.write(&format!("many/{}/{n}", n % 50), &n.to_string()));
    let before = take(&repo, None);
    assert_eq!(before.files(), 3005);
    assert_eq!(before.digest(), take(&repo, None).digest());
    repo.write("many/7/1007", "changed");
    assert_eq!(compare(&before, &take(&repo, Some(&before))).changed, ["many/7/1007"]);
}
