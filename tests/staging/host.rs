//! A shop whose staging host is a server of the test's own.

use std::fs;

use super::sshd::Sshd;
use crate::support::{Ended, Orch, Shop};

/// The stage's artifact.
pub(crate) const LOG: &str = "docs/work-items/main/15-staging-log.md";
/// The closing line that the suites print.
pub(crate) const GREEN: &str = "echo '3 checks, 0 failed'";
pub(crate) const RED: &str = "echo '3 checks, 1 failed'";

/// A shop with its host.
pub(crate) struct Host {
    pub(crate) shop: Shop,
    pub(crate) sshd: Sshd,
}

/// The staging stage of a shop.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) command: String,
    pub(crate) keys: String,
    pub(crate) rest: String,
    pub(crate) retries: u32,
    pub(crate) developed: bool,
}

impl Stage {
    /// A shell on the host runs this.
    pub(crate) fn sh(script: &str) -> Self {
        Self::words(&["sh", "-c", script])
    }

    pub(crate) fn words(words: &[&str]) -> Self {
        let command = serde_json::to_string(words).unwrap();
        Self { command, keys: String::new(), rest: String::new(), retries: 0, developed: false }
    }

    /// A further key of the producer.
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.keys = format!("{}, {key}", self.keys);
        self
    }

    /// A further key of the stage.
    pub(crate) fn stage(mut self, key: &str) -> Self {
        self.rest = format!("{}    {key}\n", self.rest);
        self
    }

    pub(crate) const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Behind a stage `development`, to which a fail goes back for a `developer-retry`.
    pub(crate) const fn developed(mut self) -> Self {
        self.developed = true;
        self
    }

    fn text(&self, sshd: &Sshd) -> String {
        let Self { command, keys, rest, retries, developed } = self;
        let (before, fail) = if *developed {
            let development = "  development:\n    producer: { command: { command: [sh, develop.sh], evidence: exit-code } }\n    \
                               gate: none\n    transitions: { pass: staging, fail: failed }\n";
            (development, "{ rollback: development, charge: developer-retry }")
        } else {
            ("", "failed")
        };
        let host = if keys.contains("host:") { "" } else { ", host: 127.0.0.1" };
        let identity = if keys.contains("identity:") {
            String::new()
        } else {
            format!(", identity: {}", sshd.path("client").display())
        };
        let port = if keys.contains(" port:") { String::new() } else { format!(", port: {}", sshd.port) };
        let alive = if keys.contains("alive-interval:") { "" } else { ", alive-interval: 1s" };
        format!(
            "version: 1\nname: shop\nbudgets: {{ developer-retry: 2 }}\nstages:\n{before}  staging:\n    producer:\n      staging-runner: {{ command: {command}{host}{port}{identity}, \
             known-hosts: {known}, evidence: closing-line, closing-line: '(?P<total>\\d+) checks, (?P<failed>\\d+) failed', \
             connect-timeout: 1s{alive}{keys} }}\n    artifact: 15-staging-log.md\n    gate: staging-status\n    \
             infra: {{ retries: {retries}, backoff: 10ms..40ms }}\n    transitions: {{ pass: done, fail: {fail} }}\n{rest}",
            known = sshd.path("known").display(),
        )
    }
}

impl Host {
    pub(crate) fn new(stage: &Stage) -> Self {
        Self::with(stage, "")
    }

    /// A server with further lines of configuration.
    pub(crate) fn with(stage: &Stage, extra: &str) -> Self {
        let shop = Shop::new("", &[("README.md", "shop\n")]);
        let sshd = Sshd::with(&shop.scratch("sshd"), extra);
        let host = Self { shop, sshd };
        host.declare(stage);
        host
    }

    /// A host whose run says that its first stage is under way, and waits there for a word.
    pub(crate) fn behind_development() -> Self {
        let host = Self::new(&Stage::sh(GREEN).developed());
        host.shop.write("develop.sh", "echo $$ > SCRATCH/said; read word < SCRATCH/go\n");
        host.shop.commit("development");
        host
    }

    /// Writes another pipeline.
    pub(crate) fn declare(&self, stage: &Stage) {
        self.shop.write("pipelines/shop.yaml", &stage.text(&self.sshd));
        self.shop.commit("the stage");
    }

    pub(crate) fn orch(&self, words: &str) -> Orch {
        self.shop.orch(words)
    }

    /// `pipeline run`, which does not wait for the host.
    pub(crate) fn run(&self) -> Ended {
        self.orch("pipeline run --no-wait").run()
    }

    /// The nonce of the last attempt, from the store's own rows.
    pub(crate) fn nonce(&self) -> String {
        let events = self.orch("run show --events").run();
        let text = events.stdout();
        let nonce = text.split("\"nonce\":\"").last().and_then(|rest| rest.split('"').next());
        let nonce = nonce.unwrap_or_else(|| panic!("the events do not tell the nonce\n{events}"));
        assert!(nonce.len() >= 32, "{nonce:?} is no nonce");
        nonce.to_owned()
    }

    /// Waits until the helper of the attempt under way has heard its begin mark.
    pub(crate) fn until_begun(&self) {
        let heard = || {
            let below = |folder: std::path::PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
            let runs = below(self.shop.state().join("runs"));
            runs.flat_map(|run| below(run.path().join("attempts"))).any(|attempt| {
                fs::read_to_string(attempt.path().join("channel.json")).is_ok_and(|text| text.contains("\"began\":{"))
            })
        };
        let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let begun = (0..3000).any(|_| heard() || rustix::event::poll(&mut [], Some(&pause)).is_err());
        assert!(begun, "no begin mark came");
    }

    /// A file that a suite on the host wrote into the scratch folder.
    pub(crate) fn noted(&self, name: &str) -> String {
        fs::read_to_string(self.shop.scratch(name)).unwrap_or_default()
    }

    pub(crate) fn scratch(&self) -> String {
        self.shop.scratch("").display().to_string().trim_end_matches('/').to_owned()
    }
}
