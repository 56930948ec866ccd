//! `docs/reference/artifacts.md` says what the gates do.

use std::fs;
use std::path::Path;

use orch::domain::verdict::{UnreadableReason, Verdict};
use orch::gate::read;

use crate::{folder, gate_of};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/artifacts.md")).unwrap()
}

#[test]
fn every_reason_has_a_row() {
    let page = page();
    for reason in UnreadableReason::ALL {
        assert!(page.contains(&format!("\n| `{}` | ", reason.as_str())), "{}", reason.as_str());
    }
}

#[test]
fn the_page_shows_the_golden_files() {
    let page = page();
    for name in
        ["13-test-report.pass.md", "13-test-report.fail.md", "15-staging-log.success.md", "15-staging-log.smoke.md"]
    {
        let golden = fs::read_to_string(folder("golden").join(name)).unwrap();
        assert!(page.contains(&format!("`````text\n{golden}`````\n")), "{name}");
    }
}

#[test]
fn the_smallest_example_opens_the_gate() {
    let page = page();
    let (_, below) = page.split_once("## What an agent has to write").unwrap();
    let example = below.split("```text\n").nth(1).and_then(|text| text.split("```").next()).unwrap();
    assert_eq!(read(&gate_of("13-example"), example.as_bytes()).unwrap().verdict, Verdict::Pass);
}
