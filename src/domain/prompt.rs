//! Prompts: a text with named variables, checked when it is read and filled when an attempt is made.
//!
//! `{{name}}` is a variable, with or without blanks inside the braces; `\{{` is a literal `{{`. What a variable stands
//! for is put in once and never looked at again, so that nothing an earlier stage wrote becomes a variable.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::id::{RelPath, StageName, TaskName};

/// Longest prompt file, in bytes.
pub const PROMPT_BYTES_MAX: usize = 256 * 1024;

/// Head of a variable that stands for the artifact of an earlier stage.
pub const ARTIFACTS_HEAD: &str = "artifacts/";

/// A variable with a fixed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The task's name.
    Task,
    /// The stage's name.
    Stage,
    /// How often the task has entered the stage, from 1.
    Visit,
    /// The number of the attempt in this visit, from 1.
    Attempt,
    /// Absolute path of the worktree.
    Worktree,
    /// The commit that the task's change starts from.
    BaseCommit,
    /// Path of the artifact to write, below the worktree.
    Artifact,
    /// What the gate reads in the artifact, in words.
    Contract,
    /// What failed before and where its log is, or that there is nothing.
    Findings,
}

impl Named {
    /// Every one, in the order they are listed to people.
    pub const ALL: [Self; 9] = [
        Self::Task,
        Self::Stage,
        Self::Visit,
        Self::Attempt,
        Self::Worktree,
        Self::BaseCommit,
        Self::Artifact,
        Self::Contract,
        Self::Findings,
    ];

    /// Its name in a prompt.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Stage => "stage",
            Self::Visit => "visit",
            Self::Attempt => "attempt",
            Self::Worktree => "worktree",
            Self::BaseCommit => "base-commit",
            Self::Artifact => "artifact",
            Self::Contract => "contract",
            Self::Findings => "findings",
        }
    }
}

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// One with a fixed name.
    Named(Named),
    /// The artifact of an earlier stage, by its file below the artifacts folder.
    Artifact(RelPath),
}

/// A checked prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt(Vec<Piece>);

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// A variable.
    Variable(Variable),
}

/// What the variables of an attempt stand for.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The task.
    pub task: &'a TaskName,
    /// The stage.
    pub stage: &'a StageName,
    /// Visit, from 1.
    pub visit: u32,
    /// Attempt in the visit, from 1.
    pub attempt: u32,
    /// The worktree.
    pub worktree: &'a str,
    /// The base commit.
    pub base_commit: &'a str,
    /// The artifact's path below the worktree.
    pub artifact: &'a RelPath,
    /// The gate's contract, in words.
    pub contract: &'a str,
    /// What failed before.
    pub findings: Option<&'a str>,
    /// The artifacts of other stages by their files, or why there is none.
    pub artifacts: &'a BTreeMap<RelPath, Result<String, String>>,
}

impl Prompt {
    /// Takes parts that were checked.
    pub const fn new(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    /// Artifacts of earlier stages that it names.
    pub fn artifacts(&self) -> impl Iterator<Item = &RelPath> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(Variable::Artifact(path)) => Some(path),
            Piece::Variable(Variable::Named(_)) | Piece::Text(_) => None,
        })
    }

    fn names(&self, wanted: Named) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Variable(Variable::Named(name)) if *name == wanted))
    }

    /// Fills the variables in. What an agent must know is added where the prompt leaves it out: the artifact with its
    /// contract, and what failed before.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(Variable::Named(name)) => named(&mut text, *name, values),
                Piece::Variable(Variable::Artifact(path)) => match values.artifacts.get(path) {
                    Some(Ok(artifact)) => text.push_str(artifact),
                    Some(Err(why)) => add(&mut text, format_args!("(no artifact {path}: {why})")),
                    None => add(&mut text, format_args!("(no artifact {path})")),
                },
            }
        }
        if !self.names(Named::Artifact) && !self.names(Named::Contract) {
            let (artifact, contract) = (values.artifact, values.contract);
            add(&mut text, format_args!("\n\n## The artifact of this stage\n\nWrite it to `{artifact}`. {contract}\n"));
        }
        if let (Some(findings), false) = (values.findings, self.names(Named::Findings)) {
            add(&mut text, format_args!("\n\n## What failed before\n\n{findings}\n"));
        }
        text
    }
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes every text");
}

fn named(text: &mut String, name: Named, values: &Values<'_>) {
    match name {
        Named::Task => text.push_str(values.task.as_str()),
        Named::Stage => text.push_str(values.stage.as_str()),
        Named::Visit => text.push_str(&values.visit.to_string()),
        Named::Attempt => text.push_str(&values.attempt.to_string()),
        Named::Worktree => text.push_str(values.worktree),
        Named::BaseCommit => text.push_str(values.base_commit),
        Named::Artifact => text.push_str(values.artifact.as_str()),
        Named::Contract => text.push_str(values.contract),
        Named::Findings => text.push_str(values.findings.unwrap_or("nothing failed before")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_and_what_is_left_out_is_added() {
        let (task, stage) = (TaskName::new("t").unwrap(), StageName::new("s").unwrap());
        let artifact = RelPath::new("docs/t/11.md").unwrap();
        let earlier = RelPath::new("10.md").unwrap();
        let artifacts = BTreeMap::from([(earlier.clone(), Err("no stage has written it".to_owned()))]);
        let values = Values {
            task: &task,
            stage: &stage,
            visit: 2,
            attempt: 1,
            worktree: "/w",
            base_commit: "abc",
            artifact: &artifact,
            contract: "It begins with `status: READY`.",
            findings: Some("{{task}} failed"),
            artifacts: &artifacts,
        };
        let check = |pieces: Vec<Piece>, expected: &str| assert_eq!(Prompt::new(pieces).fill(&values), expected);
        let variable = |name| Piece::Variable(Variable::Named(name));
        let text = |text: &str| Piece::Text(text.to_owned());
        check(
            vec![
                text("Do "),
                variable(Named::Task),
                text(": "),
                variable(Named::Findings),
                text(" -> "),
                variable(Named::Artifact),
            ],
            "Do t: {{task}} failed -> docs/t/11.md",
        );
        check(
            vec![text("Go.")],
            "Go.\n\n## The artifact of this stage\n\nWrite it to `docs/t/11.md`. It begins with `status: READY`.\n\n\n\
             ## What failed before\n\n{{task}} failed\n",
        );
        check(
            vec![variable(Named::Contract), variable(Named::Findings), Piece::Variable(Variable::Artifact(earlier))],
            "It begins with `status: READY`.{{task}} failed(no artifact 10.md: no stage has written it)",
        );
    }
}
