//! Who is at fault where a suite on another host says nothing: what stands there decides, or nobody does (design 0014).

use std::fs;

use crate::host::{Host, Stage};

/// A host on which a version stands, and a branch with a change on top of the base commit. Gives the base commit.
fn host(stage: &Stage) -> (Host, String) {
    let host = Host::new(stage);
    let base = host.shop.git(&["rev-parse", "HEAD"]);
    host.shop.git(&["checkout", "-q", "-b", "work"]);
    host.shop.write("change", "1\n");
    host.shop.commit("change");
    (host, base)
}

fn mute() -> Stage {
    Stage::sh("echo nothing to say; exit 3")
}

#[test]
fn only_a_version_that_is_the_base_commit_attributes_an_end_on_a_host() {
    let stage = || mute().key("version: { command: [cat, SCRATCH/stands] }");
    let check = |stands: &dyn Fn(&Host, &str) -> String, code: i32, says: &str| {
        let (host, base) = host(&stage());
        fs::write(host.shop.scratch("stands"), stands(&host, &base)).unwrap();
        let ended = host.run();
        let told = host.orch("explain").run().exits(0).stdout();
        assert_eq!(ended.code(), Some(code), "{ended}\n{told}");
        assert!(told.contains(says), "{says}\n{told}");
        assert!(!told.contains("change-broke-runner"), "{told}");
        assert!(!host.shop.scratch(".shop.orch-control").exists());
        host.orch("verify").run().exits(0);
    };
    let own = "the attempt was its own control run";
    check(&|_, base| format!("{base}\n"), 78, own);
    check(&|_, base| base.get(..12).unwrap().to_uppercase(), 78, own);
    check(&|_, base| base.get(..11).unwrap().to_owned(), 75, "and the base commit cannot be brought there");
    check(&|host, _| host.shop.git(&["rev-parse", "HEAD"]), 75, "and the base commit cannot be brought there");
    check(&|_, base| format!("v1 {base}"), 75, "and the base commit cannot be brought there");
    check(&|_, _| String::new(), 78, "said nothing");
}

#[test]
fn without_a_version_nobody_is_blamed() {
    let (host, _) = host(&mute());
    host.run().held(75, "nothing says why").talks("nothing tells which commit stands there");
    let off = self::host(&mute()).0;
    off.orch("pipeline run --no-wait").env("ORCH_CONTROL_RUN_ENABLED", "false").run().exits(75).never("control run");
    // What says something needs none.
    let red = self::host(&Stage::sh(&format!("{}; exit 1", crate::host::RED))).0;
    red.run().exits(1).never("control run");
}
