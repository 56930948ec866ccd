//! Where state may be kept, and where not.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use orch::workspace::state_dir::{StateDir, StateDirError, StateDirSource, StateDirWish};

use crate::support::{Repo, ids};

fn open(repo: &Repo, wish: StateDirWish<'_>) -> Result<StateDir, StateDirError> {
    StateDir::open(wish, &repo.open(), repo.scratch.path())
}

#[test]
fn the_first_that_is_set_decides() {
    let repo = Repo::new();
    let at = |name: &str| repo.scratch.path().join(name).into_os_string();
    let (flag, env, xdg, home) = (at("flag"), at("env"), at("xdg"), at("home"));
    let all =
        StateDirWish { flag: Some(Path::new(&flag)), env: Some(&env), xdg_state_home: Some(&xdg), home: Some(&home) };
    let check = |wish: StateDirWish<'_>, source, start: &str| {
        let state = open(&repo, wish).unwrap();
        assert_eq!(state.source(), source);
        assert!(state.path().starts_with(start), "{}", state.path().display());
        assert_eq!(state.path().metadata().unwrap().mode() & 0o777, 0o700);
        state
    };
    check(all, StateDirSource::Flag, flag.to_str().unwrap());
    check(StateDirWish { flag: None, ..all }, StateDirSource::Env, env.to_str().unwrap());
    let wish = StateDirWish { flag: Some(Path::new("")), env: Some(OsStr::new("")), ..all };
    check(wish, StateDirSource::XdgStateHome, at("xdg/orch/shop-").to_str().unwrap().trim_end_matches("shop-"));
    let wish = StateDirWish { flag: None, env: None, xdg_state_home: Some(OsStr::new("relative")), home: Some(&home) };
    let state = check(wish, StateDirSource::Home, at("home/.local/state/orch").to_str().unwrap());
    let name = state.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("shop-") && name.len() == "shop-".len() + 12, "{name}");

    repo.git("worktree add -q ../linked -b x");
    let linked_path = repo.scratch.path().join("linked");
    let linked = orch::workspace::worktree::Worktree::open(&crate::support::git(&linked_path), &linked_path).unwrap();
    let again = StateDir::open(wish, &linked, Path::new("/")).unwrap();
    assert_eq!(again.path(), state.path(), "all worktrees of a repository share it");
    assert!(matches!(open(&repo, StateDirWish::default()), Err(StateDirError::NoWish)));
}

#[test]
fn unsafe_places_are_refused() {
    let repo = Repo::new();
    let flag = |path: &Path| {
        open(&repo, StateDirWish { flag: Some(path), ..StateDirWish::default() }).expect_err("it must be refused")
    };
    assert!(matches!(flag(&repo.path.join("state")), StateDirError::WithinReach { .. }));
    assert!(matches!(flag(&repo.path.join(".git/orch")), StateDirError::WithinReach { .. }));
    assert!(!repo.path.join("state").exists(), "nothing is made before it is known to be safe");
    assert!(matches!(flag(Path::new("../x")), StateDirError::BadPath { .. }));
    let at = |name: &str| repo.scratch.path().join(name);
    symlink(&repo.path, at("way-in")).unwrap();
    assert!(matches!(flag(&at("way-in/state")), StateDirError::WithinReach { .. }));

    std::fs::create_dir(at("open")).unwrap();
    std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(flag(&at("open")), StateDirError::Open { mode: 0o750, .. }));
    std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink(at("open"), at("link")).unwrap();
    assert!(matches!(flag(&at("link")), StateDirError::Link(_)));
    std::fs::write(at("file"), "").unwrap();
    assert!(matches!(flag(&at("file")), StateDirError::NotAFolder(_)));
    if std::os::unix::fs::chown(at("open"), Some(12345), None).is_ok() {
        assert!(matches!(flag(&at("open")), StateDirError::Foreign { owner: 12345, .. }));
    }
    let wish = StateDirWish { env: Some(OsStr::new("relative")), ..StateDirWish::default() };
    assert!(matches!(open(&repo, wish), Err(StateDirError::BadPath { .. })));
}

#[test]
fn folders_of_runs_are_made_when_they_are_needed() {
    let repo = Repo::new();
    let state = repo.state();
    let (run, attempt) = ids();
    let folder = state.attempt_dir(run, attempt);
    assert!(
        folder.ends_with("runs/00000000-0000-0000-0000-000000000001/attempts/00000000-0000-0000-0000-000000000002")
    );
    assert!(!state.run_dir(run).exists());
    state.make(&folder).unwrap();
    assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
    assert!(state.make(Path::new("/tmp/x")).is_err());
    assert!(state.make(&state.path().join("../x")).is_err());
    assert!(state.still_there());
    std::fs::rename(state.path(), repo.scratch.path().join("away")).unwrap();
    std::fs::create_dir(state.path()).unwrap();
    assert!(!state.still_there());
}
