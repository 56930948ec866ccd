//! The settings of the environment, and what the switches make of each stage.

use super::examine::{Notes, Visit};
use super::finding::Finding;
use crate::config::{Choice, Flags, Settings};
use crate::domain::pipeline::Pipeline;
use crate::workspace::worktree::Worktree;

const AREA: &str = "switches";

/// Looks at the settings, and at the stages that have a switch.
pub(super) fn look(visit: &Visit, place: Option<(&Worktree, &Pipeline)>, notes: &Notes) {
    notes.turn_to(AREA);
    let settings = match Settings::read(&visit.variables, &Flags::default(), place.map(|(_, pipeline)| pipeline)) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                notes.add(Finding::fail(AREA, problem.message(), problem.help()));
            }
            return;
        }
    };
    let (Some((worktree, pipeline)), Ok(git)) = (place, &visit.git) else {
        for warning in settings.general_warnings() {
            notes.add(Finding::warn(AREA, warning, "unset it, or give it the name that was meant"));
        }
        notes.add(Finding::ok(AREA, "every setting can be read".to_owned()));
        return;
    };
    let repository = match worktree.repository(git, pipeline.repository()) {
        Ok(repository) => repository.name,
        Err(error) => {
            notes.add(Finding::fail(AREA, format!("could not {error}"), error.help()));
            return;
        }
    };
    for warning in settings.warnings(pipeline.stages(), &repository) {
        notes.add(Finding::warn(AREA, warning, "`orch config show --origin` shows what is in force"));
    }
    notes.add(Finding::ok(AREA, format!("every setting can be read; this repository is called `{repository}`")));
    for stage in pipeline.stages().iter().filter(|stage| stage.switch.is_some()) {
        let name = &stage.name;
        notes.add(match settings.choice(stage, &repository) {
            Choice::Run { fallback: false, why, .. } => {
                Finding::ok(AREA, format!("stage `{name}` runs as declared: {why}"))
            }
            Choice::Run { fallback: true, why, .. } => Finding::warn(
                AREA,
                format!("stage `{name}` runs its fallback: {why}"),
                "switch it on, or take the repository into its scope, where that is not what is wanted",
            ),
            Choice::Off { why, .. } => Finding::warn(
                AREA,
                format!("stage `{name}` would be held: {why}"),
                "switch it on, take the repository into its scope, or declare a `fallback:`",
            ),
        });
    }
}
