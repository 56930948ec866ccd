//! What a repository is called, with real repositories.

use orch::workspace::repository::{Repository, RepositoryFrom};
use orch::workspace::worktree::Worktree;

use crate::support::{Repo, git, git_in};

fn named(name: &str, from: RepositoryFrom) -> Repository {
    Repository { name: name.to_owned(), from }
}

fn name_of(repo: &Repo) -> Repository {
    repo.open().repository(&git(&repo.path), None).unwrap()
}

#[test]
fn without_an_origin_it_is_the_folder() {
    let repo = Repo::new();
    assert_eq!(name_of(&repo), named("shop", RepositoryFrom::Folder));
    // Other remotes do not count.
    repo.git("remote add upstream https://example.org/team/other.git");
    assert_eq!(name_of(&repo), named("shop", RepositoryFrom::Folder));
    // A linked worktree has the name of its repository, not of its own folder.
    repo.git("worktree add -q ../linked -b x");
    let linked = repo.path.parent().unwrap().join("linked");
    let linked = Worktree::open(&git(&linked), &linked).unwrap();
    assert_eq!(linked.repository(&git(&repo.path), None).unwrap(), named("shop", RepositoryFrom::Folder));
}

#[test]
fn the_origins_url_outranks_the_folder() {
    let repo = Repo::new();
    repo.git("remote add origin https://user:word@example.org/team/store.git");
    assert_eq!(name_of(&repo), named("store", RepositoryFrom::Origin));
    for (url, name) in [
        ("git@example.org:team/market.git", "market"),
        ("file:///srv/git/kiosk.git/", "kiosk"),
        ("/srv/stall/.git", "stall"),
        ("-u--upload-pack=touch pwned", "-u--upload-pack=touch pwned"),
    ] {
        git_in(&repo.path, &["config", "remote.origin.url", url]);
        assert_eq!(name_of(&repo), named(name, RepositoryFrom::Origin), "{url}");
    }
    assert!(!repo.path.join("pwned").exists());
    // A URL that names nothing.
    git_in(&repo.path, &["config", "remote.origin.url", "https://example.org/"]);
    assert_eq!(name_of(&repo), named("shop", RepositoryFrom::Folder));
}

#[test]
fn of_several_urls_the_first_counts() {
    let repo = Repo::new();
    repo.git("remote add origin https://example.org/first.git");
    repo.git("remote set-url --add origin https://example.org/second.git");
    assert_eq!(name_of(&repo), named("first", RepositoryFrom::Origin));
}

#[test]
fn what_the_pipeline_says_outranks_all() {
    let repo = Repo::new();
    repo.git("remote add origin https://example.org/store.git");
    let found = repo.open().repository(&git(&repo.path), Some("team/shop")).unwrap();
    assert_eq!(found, named("team/shop", RepositoryFrom::Pipeline));
}

#[test]
fn a_worktree_of_a_bare_clone_is_named_as_well() {
    let repo = Repo::new();
    let scratch = repo.scratch.path().canonicalize().unwrap();
    repo.git("clone -q --bare . ../market.git");
    let bare = scratch.join("market.git");
    git_in(&bare, &["worktree", "add", "-q", "../linked", "-b", "x"]);
    let open = || Worktree::open(&git(&scratch.join("linked")), &scratch.join("linked")).unwrap();
    // The clone remembers where it came from: the folder `shop`.
    let origin = git_in(&bare, &["config", "remote.origin.url"]);
    assert!(origin.trim_end_matches(['/', '.']).ends_with("/shop"), "{origin}");
    git_in(&bare, &["config", "remote.origin.url", repo.path.to_str().unwrap()]);
    assert_eq!(open().repository(&git(&bare), None).unwrap(), named("shop", RepositoryFrom::Origin));
    git_in(&bare, &["remote", "remove", "origin"]);
    assert_eq!(open().repository(&git(&bare), None).unwrap(), named("market", RepositoryFrom::Folder));
}
