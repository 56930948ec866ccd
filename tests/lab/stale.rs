//! What an earlier run published is gone when a later attempt has published nothing (row D3).

use std::fs;

use crate::oracle::{self, Done};
use crate::yard::{Word, Yard};

const REPORT: &str = "docs/work-items/t/13-test-report.md";

#[test]
fn an_artifact_of_an_earlier_run() {
    let yard = Yard::new();
    yard.tell("t", &[("check", Word::Pass), ("testing", Word::Pass)]);
    yard.settle("t").unwrap();
    assert!(yard.shop.has(REPORT));
    fs::remove_dir_all(yard.shop.scratch("first")).unwrap();
    fs::create_dir(yard.shop.scratch("first")).unwrap();
    yard.tell("t", &[("testing", Word::Absent)]);
    yard.shop.write("new.txt", "another tree\n");
    yard.shop.commit("another commit");
    let held = yard.orch("pipeline run --quiet --task t").run();
    assert_eq!(held.code(), Some(78), "{held}");
    oracle::look(&yard, &[("t".to_owned(), Done::Runners)].into()).unwrap();
    assert!(!yard.shop.has(REPORT), "the pass of another tree still stands in the worktree");
}
