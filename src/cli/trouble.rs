//! What keeps a run from its work, told to people: what happened, where, what to do next.

use crate::producer::PrepareError;
use crate::runner::RunError;
use crate::workspace::lock::LockError;

use super::output::{self, Problem};
use super::{ExitCode, driver, store};

pub(super) fn locked(error: &LockError, as_json: bool) -> Problem {
    let code = match error {
        LockError::Held { .. } => ExitCode::Locked,
        LockError::Unsafe { .. } | LockError::StateDir(_) | LockError::Io { .. } => ExitCode::Internal,
    };
    if let (LockError::Held { holder, heartbeat_at, .. }, true) = (error, as_json) {
        output::document(&driver::refusal(holder.as_deref(), *heartbeat_at, error.help()));
    }
    Problem::could_not(code, error).help(error.help())
}

pub(super) fn of_run(error: &RunError) -> Problem {
    let help = match error {
        RunError::UnknownStage { .. } => "name one of those with --from or --until".to_owned(),
        RunError::ReportCommitted { .. } => {
            "name a file that only the suite writes, and that git ignores; or take this one out of the commit"
                .to_owned()
        }
        RunError::LeftHere { task } => {
            format!("finish it with `orch pipeline run --task {task}`, or use a worktree of its own")
        }
        RunError::LockLost { .. } => "`orch status` says who has it now; nothing more was recorded here".to_owned(),
        RunError::Elsewhere { .. } => {
            "finish it there with `orch pipeline run`, or give this worktree a task of its own with --task".to_owned()
        }
        RunError::UntilBefore { .. } => "name a stage that passes lead to".to_owned(),
        RunError::PipelineChanged { .. } => {
            "restore the file, or go on with the new one: `orch pipeline run --accept-pipeline`; no earlier verdict \
             stands for it then"
                .to_owned()
        }
        RunError::PipelineEdited { .. } => {
            "what was recorded is kept; restore the file and run again, or go on with the new one: `orch pipeline run \
             --accept-pipeline`"
                .to_owned()
        }
        RunError::StageGone { .. } => "start at one that it has, with --from STAGE".to_owned(),
        RunError::Damaged { .. } => "nothing more was started; mend it, then run again".to_owned(),
        RunError::Moving => {
            "find out what writes into it; files that are made while it works belong into .gitignore".to_owned()
        }
        RunError::Unproven { stage, .. } => {
            format!("`orch pipeline run --from {stage}` proves them and asks again; or put the worktree back as it was")
        }
        RunError::NoTask { .. } => "`orch status` lists the tasks there are".to_owned(),
        RunError::NotNow { .. } => "`orch status` shows where each task stands".to_owned(),
        RunError::NotAsked { .. } => "`orch hold list` says what each task waits for".to_owned(),
        RunError::NeedsAnswer { task } => {
            format!("`orch hold release {task} --approve --reason TEXT`, or `--reject --reason TEXT`")
        }
        RunError::Plan { .. } => "set the variable, or declare it under `env:` of the stage's producer".to_owned(),
        RunError::Secrets(_) => "look at secrets.json in the state folder, its owner, and the space left".to_owned(),
        RunError::ShortSecret { name, .. } => short_secret_help(name),
        RunError::MayWrite { .. } => {
            "name only what the tool itself must write, such as `~/.claude`; an agent that can write there could decide about \
             itself"
                .to_owned()
        }
        RunError::Danger { .. } => {
            "leave the key out; or, where the agent may do what it likes, set ORCH_AGENT_SKIP_PERMISSIONS_ENABLED=true"
                .to_owned()
        }
        RunError::Prompt { .. } => {
            "nothing was started; docs/reference/agents.md says what a prompt may hold, and `orch pipeline validate` \
             looks at every prompt"
                .to_owned()
        }
        RunError::Prepare { source, .. } => prepare_help(source),
        RunError::Store(error) => return store::of_store(error),
        RunError::Git(error) => return store::of_git(error),
        RunError::StateDir(error) => return store::of_state_dir(error),
        RunError::Tree(_) => {
            "look at the file that is named; the tree must be readable for a verdict to be bound to it".to_owned()
        }
        RunError::Refused(_) | RunError::Pinned(_) => {
            "please report this: it is a bug, or the store was edited".to_owned()
        }
        RunError::Untold { .. } => {
            "look at the state folder's space, owner and mode, then run it again: nothing was decided about the stage"
                .to_owned()
        }
        RunError::Supervisor(_) => {
            "run it again: what was recorded is kept, and the task goes on from there".to_owned()
        }
    };
    Problem::could_not(code_of(error), error).help(help)
}

/// How orch ends for it.
const fn code_of(error: &RunError) -> ExitCode {
    match error {
        RunError::LeftHere { .. } | RunError::LockLost { .. } => ExitCode::Locked,
        RunError::UnknownStage { .. }
        | RunError::UntilBefore { .. }
        | RunError::NoTask { .. }
        | RunError::NotNow { .. }
        | RunError::NotAsked { .. }
        | RunError::NeedsAnswer { .. } => ExitCode::Usage,
        RunError::ReportCommitted { .. }
        | RunError::Prompt { .. }
        | RunError::ShortSecret { .. }
        | RunError::MayWrite { .. }
        | RunError::Danger { .. }
        | RunError::Prepare { .. }
        | RunError::Elsewhere { .. }
        | RunError::Moving
        | RunError::Damaged { .. }
        | RunError::Unproven { .. }
        | RunError::PipelineChanged { .. }
        | RunError::PipelineEdited { .. }
        | RunError::StageGone { .. }
        | RunError::Plan { .. } => ExitCode::Invalid,
        RunError::Untold { .. }
        | RunError::Secrets(_)
        | RunError::Store(_)
        | RunError::Git(_)
        | RunError::Tree(_)
        | RunError::StateDir(_)
        | RunError::Refused(_)
        | RunError::Pinned(_)
        | RunError::Supervisor(_) => ExitCode::Internal,
    }
}

fn short_secret_help(name: &str) -> String {
    format!(
        "give `{name}` a longer value, or leave it out of `env:` where the stage does not need it; a mask for so few bytes \
         would hide what is no secret"
    )
}

fn prepare_help(error: &PrepareError) -> String {
    match error {
        PrepareError::Artifact(error) => error.help().to_owned(),
        PrepareError::Report(error) => error.help().to_owned(),
        PrepareError::Folder { .. } => "look at the state folder's owner, mode and space".to_owned(),
    }
}
