//! From an agent's exit record to a settlement: its event stream, its artifact, the gate. Nothing it says of itself
//! counts; the artifact is read once, beneath the worktree, after everything of the attempt is gone.

use crate::classify::classify;
use crate::domain::agent::{AgentEnd, ScopeFacts};
use crate::domain::evidence::TreeFacts;
use crate::domain::id::RelPath;
use crate::domain::outcome::Conclusion;
use crate::domain::plan::AgentPlan;
use crate::domain::task::ArtifactRef;
use crate::domain::verdict::{Unreadable, UnreadableReason};
use crate::engine::{GateAnswer, settle};
use crate::gate::{self, Origin};
use crate::producer::gather_agent;
use crate::store::ArtifactBytes;
use crate::workspace::artifact::{ARTIFACT_BYTES_MAX, Taken, clear_way, read_back, take_away};

use super::judge::{Judged, Published, Scene};

/// Judges an agent's attempt.
pub(super) fn judge_agent(
    scene: Scene<'_>,
    agent: &AgentPlan,
    tree: Option<TreeFacts>,
    scope: ScopeFacts,
) -> std::io::Result<Judged> {
    let mut evidence = gather_agent(scene.plan, agent, scene.record, scene.run_dir, (tree, scope))?;
    if let Some(facts) = &mut evidence.agent
        && facts.fault.is_some()
        && facts.end == AgentEnd::WithItsProcess
    {
        facts.answered = answered(scene);
    }
    let outcome = classify(&evidence);
    let ran = outcome.as_ref().is_some_and(|outcome| outcome.conclusion == Conclusion::AgentRan);
    let (answer, artifact, moved) = if ran {
        read(scene)
    } else {
        // What it left before it was stopped answers for nothing, and nobody may take it for an answer.
        let moved = scene.artifact.map(|path| take_away(scene.root, path, None, scene.moved_dir));
        (GateAnswer::NoGate, None, moved.and_then(Result::ok).unwrap_or(Taken::Nothing))
    };
    let settlement = settle(&evidence, outcome.as_ref(), answer);
    Ok(Judged { evidence, outcome, settlement, artifact, moved })
}

/// Whether an artifact of this attempt stands there that its gate can read.
fn answered(scene: Scene<'_>) -> bool {
    let bytes = scene.artifact.and_then(|path| read_back(scene.root, path, ARTIFACT_BYTES_MAX).ok());
    bytes.is_some_and(|bytes| gate::read(&scene.stage.gate, &bytes).is_ok() && mismatch(scene, &bytes).is_none())
}

/// Reads the artifact and asks the gate. Bytes that could be read are kept, whatever the gate says of them.
fn read(scene: Scene<'_>) -> (GateAnswer, Option<Published>, Taken) {
    let Some(path) = scene.artifact else { return (GateAnswer::NoGate, None, Taken::Nothing) };
    let bytes = match read_back(scene.root, path, ARTIFACT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(unreadable) => {
            // A link on the way would keep every further attempt from being made ready.
            let moved = clear_way(scene.root, path, scene.moved_dir).unwrap_or(Taken::Nothing);
            return (GateAnswer::Unreadable(unreadable), None, moved);
        }
    };
    if scene.masker.finds(&bytes) {
        // People commit and send artifacts: it does not stay there.
        let moved = take_away(scene.root, path, None, scene.moved_dir).unwrap_or(Taken::Nothing);
        let detail = "a secret stands in it; it was taken away".to_owned();
        let unreadable = Unreadable { reason: UnreadableReason::HoldsSecret, line: None, detail };
        return (GateAnswer::Unreadable(unreadable), None, moved);
    }
    let answer = match gate::read(&scene.stage.gate, &bytes) {
        Ok(reading) => match stale(scene, path, &bytes).or_else(|| mismatch(scene, &bytes)) {
            Some(unreadable) => GateAnswer::Unreadable(unreadable),
            None => GateAnswer::Read(reading.verdict, reading.findings),
        },
        Err(unreadable) => GateAnswer::Unreadable(unreadable),
    };
    let kept = ArtifactBytes::of(bytes);
    (answer, Some((ArtifactRef { path: path.clone(), digest: kept.digest }, kept)), Taken::Nothing)
}

/// Whether an artifact is one that a commit had before: then this attempt did not make it.
fn stale(scene: Scene<'_>, path: &RelPath, bytes: &[u8]) -> Option<Unreadable> {
    scene.committed.iter().any(|committed| committed.is(bytes)).then(|| Unreadable {
        reason: UnreadableReason::Stale,
        line: None,
        detail: format!(
            "{path} is to the byte what a commit from before this attempt has there, so this attempt did not make it; it has \
             to be written anew, with what was found this time"
        ),
    })
}

/// What an artifact claims to belong to, where that is not this attempt (row A14).
fn mismatch(scene: Scene<'_>, bytes: &[u8]) -> Option<Unreadable> {
    let key = &scene.plan.key;
    gate::claims(&scene.stage.gate, bytes).into_iter().find_map(|claim| {
        let said = claim.value.as_str();
        let holds = match claim.origin {
            Origin::Task => said == key.task.as_str(),
            Origin::Stage => said == key.stage.as_str(),
            Origin::Run => said == key.run.to_string(),
            Origin::Attempt => said == key.attempt.to_string() || said == key.number.to_string(),
            Origin::Commit => is_name_of(said, scene.commit),
        };
        (!holds).then(|| Unreadable {
            reason: UnreadableReason::StampMismatch,
            line: claim.line,
            detail: format!("it says `{}: {said}`, which is not this attempt's", claim.origin.key()),
        })
    })
}

/// Whether a text is a commit's name, whole or its beginning.
fn is_name_of(text: &str, commit: &str) -> bool {
    text.len() >= 7 && commit.starts_with(&text.to_ascii_lowercase())
}
