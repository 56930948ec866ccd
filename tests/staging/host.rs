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
pub(crate) struct Stage {
    pub(crate) command: String,
    pub(crate) keys: String,
    pub(crate) rest: String,
    pub(crate) retries: u32,
}

impl Stage {
    /// A shell on the host runs this.
    pub(crate) fn sh(script: &str) -> Self {
        Self::words(&["sh", "-c", script])
    }

    pub(crate) fn words(words: &[&str]) -> Self {
        let command = serde_json::to_string(words).unwrap();
        Self { command, keys: String::new(), rest: String::new(), retries: 0 }
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

    fn text(&self, sshd: &Sshd) -> String {
        let Self { command, keys, rest, retries } = self;
        let host = if keys.contains("host:") { "" } else { ", host: 127.0.0.1" };
        let identity = if keys.contains("identity:") {
            String::new()
        } else {
            format!(", identity: {}", sshd.path("client").display())
        };
        let port = if keys.contains(" port:") { String::new() } else { format!(", port: {}", sshd.port) };
        format!(
            "version: 1\nname: shop\nbudgets: {{ retry: 1 }}\nstages:\n  staging:\n    producer:\n      staging-runner: {{ command: {command}{host}{port}{identity}, \
             known-hosts: {known}, evidence: closing-line, closing-line: '(?P<total>\\d+) checks, (?P<failed>\\d+) failed', \
             connect-timeout: 1s, alive-interval: 1s{keys} }}\n    artifact: 15-staging-log.md\n    gate: staging-status\n    \
             infra: {{ retries: {retries}, backoff: 10ms..40ms }}\n    transitions: {{ pass: done, fail: failed }}\n{rest}",
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

    /// A file that a suite on the host wrote into the scratch folder.
    pub(crate) fn noted(&self, name: &str) -> String {
        fs::read_to_string(self.shop.scratch(name)).unwrap_or_default()
    }

    pub(crate) fn scratch(&self) -> String {
        self.shop.scratch("").display().to_string().trim_end_matches('/').to_owned()
    }
}
