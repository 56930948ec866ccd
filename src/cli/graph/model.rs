//! A pipeline as nodes and edges, and how far a run came in it.

use serde_json::{Value, json};

use crate::domain::decision::Decision;
use crate::domain::id::StageName;
use crate::domain::pipeline::{Advance, Gate, OnFail, Pipeline, Producer, Stage};
use crate::domain::task::TaskState;
use crate::store::{AttemptRecord, RunRecord};

/// A pipeline that can be drawn.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) name: String,
    digest: String,
    run: Option<String>,
    /// In the order of the file; the first is where a task starts.
    pub(super) nodes: Vec<Node>,
}

/// A stage.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    producer: &'static str,
    fallback: Option<&'static str>,
    gate: String,
    artifact: Option<String>,
    switch: Option<String>,
    serial: Option<String>,
    pub(super) pass: Pass,
    pub(super) fail: Fail,
    /// How far the run came; `None` where no run is shown.
    pub(super) state: Option<State>,
}

/// Where a pass leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// To the node of this number.
    To(usize),
    Done,
}

/// What a fail leads to.
#[derive(Debug)]
pub(super) enum Fail {
    Rollback { to: usize, charge: String, allowed: u32 },
    Hold,
    Failed,
}

/// The last thing a run shows of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    NotReached,
    Running,
    Passed,
    Failed,
    Held,
    /// It is tried again at a time.
    Waiting,
    /// Its last attempt was stopped and counts for nothing.
    Stopped,
}

impl State {
    pub(super) const ALL: [Self; 7] =
        [Self::NotReached, Self::Running, Self::Passed, Self::Failed, Self::Held, Self::Waiting, Self::Stopped];

    /// The word of documents.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotReached => "not-reached",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        }
    }

    /// Its colour on white.
    pub(super) const fn colour(self) -> &'static str {
        match self {
            Self::NotReached => "#6e7781",
            Self::Running => "#0969da",
            Self::Passed => "#1a7f37",
            Self::Failed => "#cf222e",
            Self::Held => "#9a6700",
            Self::Waiting => "#bc4c00",
            Self::Stopped => "#8250df",
        }
    }
}

impl Graph {
    /// The nodes and edges of a pipeline.
    pub(super) fn of(pipeline: &Pipeline) -> Self {
        let at = |name: &StageName| pipeline.position(name).expect("a valid pipeline leads to its own stages");
        let node = |stage: &Stage| Node {
            name: stage.name.to_string(),
            producer: stage.producer.kind().as_str(),
            fallback: stage.fallback.as_ref().map(|fallback: &Producer| fallback.kind().as_str()),
            gate: match &stage.gate {
                Gate::Key(key) => format!("key {}", key.key),
                gate @ (Gate::None | Gate::TestsPassed | Gate::StagingStatus | Gate::Approved) => {
                    gate.as_str().to_owned()
                }
            },
            artifact: stage.artifact.as_ref().map(ToString::to_string),
            switch: stage.switch.as_ref().map(ToString::to_string),
            serial: stage.serial.as_ref().map(ToString::to_string),
            pass: match &stage.pass {
                Advance::To(next) => Pass::To(at(next)),
                Advance::Done => Pass::Done,
            },
            fail: match &stage.fail {
                OnFail::Rollback { to, charge } => {
                    Fail::Rollback { to: at(to), charge: charge.to_string(), allowed: pipeline.budget(charge) }
                }
                OnFail::Hold => Fail::Hold,
                OnFail::Failed => Fail::Failed,
            },
            state: None,
        };
        Self {
            name: pipeline.name().to_string(),
            digest: pipeline.digest().to_string(),
            run: None,
            nodes: pipeline.stages().iter().map(node).collect(),
        }
    }

    /// Marks every stage with the last thing that a run shows of it.
    pub(super) fn paint(&mut self, run: &RunRecord, task: Option<&TaskState>, attempts: &[AttemptRecord]) {
        self.run = Some(run.start.run.to_string());
        let mut states = std::collections::HashMap::new();
        for attempt in attempts {
            let state = match attempt.decided.as_deref() {
                Some(decided) => state_of(&decided.decision),
                None if run.closing.is_none() => State::Running,
                None => State::Stopped,
            };
            states.insert(attempt.intent.stage.as_str(), state);
        }
        // Held without an attempt, where nothing could be started.
        if let Some(TaskState::Held { run: of, stage, .. }) = task
            && *of == run.start.run
        {
            states.insert(stage.as_str(), State::Held);
        }
        for node in &mut self.nodes {
            node.state = Some(states.get(node.name.as_str()).copied().unwrap_or(State::NotReached));
        }
    }

    /// The document of `--json`.
    pub(super) fn to_json(&self) -> Value {
        let name = |at: usize| self.nodes.get(at).map(|node| node.name.as_str());
        let edge = |from: &Node, to: Option<&str>, end: bool, kind: &str, budget: Option<(&str, u32)>| {
            json!({
                "from": from.name,
                "to": to,
                "end": end,
                "kind": kind,
                "charge": budget.map(|(charge, _)| charge),
                "allowed": budget.map(|(_, allowed)| allowed),
            })
        };
        let edges = self.nodes.iter().flat_map(|node| {
            let pass = match node.pass {
                Pass::To(at) => edge(node, name(at), false, "pass", None),
                Pass::Done => edge(node, Some("done"), true, "pass", None),
            };
            let fail = match &node.fail {
                Fail::Rollback { to, charge, allowed } => {
                    edge(node, name(*to), false, "rollback", Some((charge, *allowed)))
                }
                Fail::Hold => edge(node, Some("hold"), true, "fail", None),
                Fail::Failed => edge(node, Some("failed"), true, "fail", None),
            };
            [pass, fail]
        });
        let node = |node: &Node| {
            json!({
                "stage": node.name,
                "producer": node.producer,
                "fallback": node.fallback,
                "gate": node.gate,
                "artifact": node.artifact,
                "switch": node.switch,
                "serial": node.serial,
                "state": node.state.map(State::as_str),
            })
        };
        json!({
            "version": 1,
            "pipeline": self.name,
            "pipeline_digest": self.digest,
            "run": self.run,
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "edges": edges.collect::<Vec<_>>(),
        })
    }
}

impl Node {
    /// What does its work and what judges it, on one line.
    pub(super) fn about(&self) -> String {
        let fallback = self.fallback.map(|fallback| format!(" or {fallback}")).unwrap_or_default();
        let serial = self.serial.as_ref().map(|group| format!(", serial {group}")).unwrap_or_default();
        format!("{}{fallback}, gate {}{serial}", self.producer, self.gate)
    }
}

/// A budget on an edge.
pub(super) fn budget(charge: &str, allowed: u32) -> String {
    format!("{charge} ({allowed})")
}

const fn state_of(decision: &Decision) -> State {
    match decision {
        Decision::Advance(_) => State::Passed,
        Decision::Rollback { .. } | Decision::Fail => State::Failed,
        Decision::Rewrite => State::Running,
        Decision::Retry { .. } => State::Waiting,
        Decision::Hold(_) => State::Held,
        Decision::Interrupt => State::Stopped,
    }
}
