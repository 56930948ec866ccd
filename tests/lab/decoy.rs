//! A process that looks like a suite of somebody else, and notes every signal it gets (invariant I15).

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use crate::support::{Shop, command, lives};
use crate::yard::Watched;

const SCRIPT: &str = "trap 'echo signalled >> \"$0\"' TERM INT HUP QUIT USR1 USR2 CONT\necho > \"$1\"\nwhile :; do { read word < \"$2\"; } 2>/dev/null; done\n";

/// The decoy; it ends with its owner.
#[derive(Debug)]
pub(crate) struct Decoy {
    child: Child,
    notes: PathBuf,
}

impl Decoy {
    /// In the shop's worktree, with the mark of an attempt that orch does not know.
    pub(crate) fn beside(shop: &Shop) -> Self {
        let notes = shop.scratch("decoy-notes");
        let mut ready = shop.fifo("decoy-ready");
        let never = shop.scratch("decoy-never");
        rustix::fs::mkfifoat(rustix::fs::CWD, &never, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let child = command("sh")
            .args(["-c", SCRIPT])
            .arg(&notes)
            .arg(shop.scratch("decoy-ready"))
            .arg(never)
            .current_dir(&shop.tree)
            .env_clear()
            .env("ORCH_ATTEMPT", uuid::Uuid::from_u128(1).to_string())
            .spawn()
            .unwrap();
        ready.next();
        Self { child, notes }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What becomes of it soon; a signal takes its time.
    pub(crate) fn harmed_within_a_minute(&self) -> Option<String> {
        let handle = Watched::of(self.pid())?;
        (0..60_000).find_map(|_| {
            handle.is_gone_within(Duration::from_millis(1));
            self.harmed()
        })
    }

    /// What became of it, where it is not well.
    pub(crate) fn harmed(&self) -> Option<String> {
        if self.notes.exists() {
            return Some("a decoy process was signalled".to_owned());
        }
        (!lives(self.pid())).then(|| "a decoy process was killed".to_owned())
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
