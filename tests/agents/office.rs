//! An office: a shop with an agent in it, which is a real program that plays a tool's event stream from a script
//! (`tests/agent/stand-in.sh`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Ended, Orch, PASSES, Shop};

/// Where the artifact of `development` stands.
pub(crate) const ARTIFACT: &str = "docs/work-items/main/11-development.md";

/// What every prompt of these tests is.
const PROMPT: &str = "Work on {{task}} in {{worktree}}.\n\nWrite {{artifact}}. {{contract}}\n\nBefore: {{findings}}\n\nCall {{visit}}.{{attempt}}.\n";

/// The tools, by their profile and the name of their program.
pub(crate) const TOOLS: [(&str, &str); 6] = [
    ("claude-code", "claude"),
    ("codex", "codex"),
    ("gemini", "gemini"),
    ("opencode", "opencode"),
    ("aider", "aider"),
    ("custom", "our-agent"),
];

/// A shop with an agent.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) shop: Shop,
}

/// The pipeline: `development` by an agent, and perhaps `testing` behind it.
pub(crate) fn pipeline(profile: &str, agent: &str, stage: &str, testing: bool) -> String {
    let command = if profile == "custom" { ", command: [our-agent]" } else { "" };
    let (pass, behind) = if testing {
        let behind = "  testing:\n    producer:\n      test-runner: { command: [sh, suite.sh] }\n    artifact: \
                      13-test-report.md\n    gate: tests-passed\n    infra: { retries: 0 }\n    transitions: { pass: \
                      done, fail: { rollback: development, charge: retry } }\n";
        ("testing", behind)
    } else {
        ("done", "")
    };
    format!(
        "version: 1\nname: shop\nartifacts: docs/work-items/{{task}}\nbudgets: {{ retry: 2 }}\nstages:\n  \
         development:\n    producer:\n      agent: {{ profile: {profile}, prompt: prompts/dev.md{command}{agent} }}\n    \
         artifact: 11-development.md\n    gate: {{ key: status, pass: [READY], fail: [BLOCKED] }}\n    \
         infra: {{ retries: 1, backoff: 10ms..20ms }}\n{stage}    transitions: {{ pass: {pass}, fail: hold }}\n{behind}"
    )
}

impl Office {
    /// One stage, done by the agent of a profile; `agent` is more of its map.
    pub(crate) fn of(profile: &str, agent: &str) -> Self {
        Self::new(&pipeline(profile, agent, "", false), &[])
    }

    pub(crate) fn new(pipeline: &str, files: &[(&str, &str)]) -> Self {
        let mut all = vec![("prompts/dev.md", PROMPT), ("src/lib.rs", "// code\n"), ("suite.sh", PASSES)];
        all.extend(files);
        let office = Self { shop: Shop::new(pipeline, &all) };
        let bin = office.shop.scratch("bin");
        fs::create_dir(&bin).unwrap();
        fs::create_dir(office.shop.scratch("home")).unwrap();
        for (_, program) in TOOLS {
            let path = bin.join(program);
            fs::write(&path, include_str!("../agent/stand-in.sh")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        office
    }

    /// What the agent does in every call.
    pub(crate) fn does(self, script: &str) -> Self {
        self.at("development", script)
    }

    /// What it does in one call: `development.2.1` is the first of its second visit.
    pub(crate) fn at(self, call: &str, script: &str) -> Self {
        let scratch = self.shop.scratch("");
        let text = script.replace("SCRATCH", scratch.to_str().unwrap().trim_end_matches('/'));
        fs::write(self.shop.scratch(&format!("script.{call}")), text).unwrap();
        self
    }

    pub(crate) fn orch(&self, words: &str) -> Orch {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.shop.scratch("bin").display());
        self.shop.orch(words).env("PATH", path)
    }

    pub(crate) fn run(&self) -> Ended {
        self.orch("pipeline run").run()
    }

    /// How often the agent was called.
    pub(crate) fn calls(&self) -> u32 {
        let attempts = self.orch("run show --json").run().json()["attempts"].clone();
        let agents = attempts.as_array().into_iter().flatten().filter(|attempt| attempt["producer"] == "agent");
        u32::try_from(agents.count()).unwrap()
    }

    /// The last attempt.
    pub(crate) fn last(&self) -> Value {
        let run = self.orch("run show --json").run().exits(0).json();
        run["attempts"].as_array().unwrap().last().unwrap().clone()
    }

    /// A file that the last agent left in its own folder.
    pub(crate) fn left(&self, name: &str) -> String {
        let run = self.orch("run show --json").run().json();
        let mut agents = run["attempts"].as_array().unwrap().iter().filter(|attempt| attempt["producer"] == "agent");
        let attempt = agents.next_back().unwrap()["attempt"].as_str().unwrap().to_owned();
        let folder = self.attempt_dir(run["run"].as_str().unwrap(), &attempt);
        fs::read_to_string(folder.join("out").join(name)).unwrap()
    }

    pub(crate) fn attempt_dir(&self, run: &str, attempt: &str) -> PathBuf {
        self.shop.state().join("runs").join(run).join("attempts").join(attempt)
    }
}

/// A good day's work of every tool.
pub(crate) const WORKS: &str =
    "begins\necho '// more' >> src/lib.rs\nartifact docs/work-items/main/11-development.md READY\nends\n";
