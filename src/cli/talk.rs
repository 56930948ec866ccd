//! What a run says while it goes on.

use std::time::Duration;

use crate::domain::decision::{Decision, HoldReason, Settlement};
use crate::domain::outcome::{Conclusion, Outcome};
use crate::domain::shadow::Agreement;
use crate::runner::Notice;

use super::{emit, output, view};

pub(super) fn tell(notice: &Notice<'_>) {
    let text = match notice {
        Notice::RunStarted { task, run, stage } => format!("orch: run {run}: task {task} at {stage}"),
        Notice::AttemptStarted { stage, place: (visit, number), argv, .. } => {
            let again =
                if (*visit, *number) == (1, 1) { String::new() } else { format!(" (visit {visit}, attempt {number})") };
            format!("orch: {stage}{again}: {}", words(argv))
        }
        Notice::AttemptDecided { stage, outcome, settlement, decision, .. } => {
            let seen = match (outcome, settlement) {
                // Of an agent its end says nothing; what its artifact says is told.
                (Some(_), Settlement::Failed(findings)) if is_agents(*outcome) => match findings.split_first() {
                    Some((first, rest)) => format!("failed, the gate read: {first}{}", more(rest.len())),
                    None => "failed, the gate read a fail in its artifact".to_owned(),
                },
                (Some(_), Settlement::Unreadable(unreadable)) if is_agents(*outcome) => {
                    format!("its artifact gives no verdict: {unreadable}")
                }
                (Some(outcome), Settlement::Passed | Settlement::Failed(_)) => {
                    format!("{}, {}", settlement.as_str(), outcome.proof.detail)
                }
                (Some(outcome), _) => {
                    format!("{} ({}): {}", outcome.conclusion.class(), outcome.reason.as_str(), outcome.proof.detail)
                }
                (None, _) => "cancelled".to_owned(),
            };
            let next = match decision {
                Decision::Hold(HoldReason::Unreadable(_)) if is_agents(*outcome) => "hold".to_owned(),
                // The cause stands before the arrow.
                Decision::Hold(
                    HoldReason::TimedOut(..) | HoldReason::PermanentEnv(_) | HoldReason::TransientInfra(_),
                ) => "hold".to_owned(),
                Decision::Advance(_)
                | Decision::Rollback { .. }
                | Decision::Rewrite
                | Decision::Retry { .. }
                | Decision::Hold(
                    HoldReason::Failed
                    | HoldReason::BudgetSpent { .. }
                    | HoldReason::Unreadable(_)
                    | HoldReason::Approval
                    | HoldReason::CapReached { .. }
                    | HoldReason::SwitchedOff { .. }
                    | HoldReason::LowSpace { .. },
                )
                | Decision::Fail
                | Decision::Interrupt => view::decision(decision),
            };
            format!("orch: {stage}: {seen} -> {next}")
        }
        // It is shown elsewhere.
        Notice::Working { .. } => return,
        Notice::Waiting { stage, deferral, left } => format!(
            "orch: {stage}: waiting {} for retry {} of {}, due {:.0}",
            crate::classify::shown_duration((*left).max(Duration::from_millis(1))),
            deferral.retry,
            deferral.max,
            deferral.due
        ),
        Notice::ShadowStarted { stage, argv } => format!("orch: {stage}: in the shadow: {}", words(argv)),
        Notice::Shadowed(shadow) => {
            let heed = match shadow.agreement() {
                Agreement::Disagrees => "warning: ",
                Agreement::Agrees | Agreement::NoVerdict => "",
            };
            let (stage, profile) = (&shadow.stage, shadow.profile.as_str());
            format!("orch: {heed}{stage}: shadow {profile}: {}", shadow.in_words())
        }
        Notice::Warning(text) => format!("orch: warning: {text}"),
    };
    output::talk(&emit::talk(&text));
}

/// The command line of this process.
pub(super) fn words_of_this_process() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Arguments for people: words with blanks in quotes, control characters escaped.
pub(super) fn words(argv: &[String]) -> String {
    let shown = |word: &String| {
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\'' | '"' | '\\'));
        if plain { word.clone() } else { format!("{word:?}") }
    };
    argv.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// How many findings are not told in the line.
fn more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (and {count} more)") }
}

/// Whether it is the end of an agent's work, which says nothing by itself.
fn is_agents(outcome: Option<&Outcome>) -> bool {
    outcome.is_some_and(|outcome| outcome.conclusion == Conclusion::AgentRan)
}
