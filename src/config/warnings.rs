//! What is set and has no effect, or not the one that was meant: nothing of it stays silent.

use std::collections::BTreeSet;

use super::settings::{Settings, rows};
use super::table::{OWN, Part, Reader, TABLE};
use super::variables::Variables;
use crate::domain::id::SwitchName;
use crate::domain::pipeline::{Pipeline, Producer, ProducerKind, Stage};

/// Beginning of orch's names.
const PREFIX: &str = "ORCH_";

/// Most variables that are warned of one by one.
const UNKNOWN_MAX: usize = 20;

/// Most letters by which a word may differ from the one that was meant.
const DISTANCE_MAX: usize = 3;

impl Settings {
    /// Warnings for a run of some stages in a repository.
    pub fn warnings<'p>(&self, way: impl IntoIterator<Item = &'p Stage>, repository: &str) -> Vec<String> {
        let mut warnings = self.general_warnings();
        let mut switches = BTreeSet::new();
        for stage in way {
            switches.extend(stage.switch.as_ref());
            warnings.extend(self.ungoverned(stage, repository));
        }
        warnings.extend(switches.into_iter().filter_map(|switch| self.near_miss(switch, repository)));
        warnings
    }

    /// Warnings that need no pipeline: unknown variables, and settings that nothing reads yet.
    pub fn general_warnings(&self) -> Vec<String> {
        // A stage may have a switch of this name: then it is read.
        let own = |name: &str| self.declared.iter().any(|switch| Part::ALL.iter().any(|part| part.of(switch) == name));
        let idle = TABLE.iter().filter(|row| row.reader == Reader::NotYet && self.value(row.name).is_some());
        let idle = idle.filter(|row| !own(row.name));
        let idle = idle.map(|row| format!("{} is set and has no effect: nothing reads it yet", row.name));
        self.unknown().iter().cloned().chain(idle).collect()
    }

    /// A stage that a known switch was meant for, by its producer, and that names no switch.
    fn ungoverned(&self, stage: &Stage, repository: &str) -> Option<String> {
        let kind = stage.producer.kind();
        let switch = SwitchName::new(switch_of(kind)?).ok()?;
        if stage.switch.as_ref() == Some(&switch) {
            return None;
        }
        let without = format!(
            "stage `{}` runs a {} and has no `switch: {switch}` in the pipeline file",
            stage.name,
            kind.as_str()
        );
        if let Some(why) = self.off(&switch, repository) {
            return Some(format!("{without}; it runs although {why}"));
        }
        let limits = [Part::TimeoutS, Part::InfraRetries].map(|part| part.of(&switch));
        let idle: Vec<String> = self.set_parts(&switch).into_iter().filter(|name| limits.contains(name)).collect();
        (!idle.is_empty()).then(|| format!("{without}; not for it: {}", idle.join(", ")))
    }

    /// A scope that leaves a repository out and holds a name much like its.
    fn near_miss(&self, switch: &SwitchName, repository: &str) -> Option<String> {
        let scope = self.scope(switch).value;
        if scope.contains(repository) {
            return None;
        }
        let folded = repository.to_lowercase();
        // `team/store` and `store` may well be the same to the one who wrote them.
        let last = |name: &str| name.rsplit('/').next().map(str::to_lowercase).unwrap_or_default();
        let alike = |name: &&String| last(name) == last(repository) || near(&name.to_lowercase(), &folded).is_some();
        let found = scope.names().iter().find(alike)?;
        let name = Part::Repos.of(switch);
        Some(format!("{name} has `{found}`, and this repository is called `{repository}`: is it meant?"))
    }
}

/// The switch that governs a kind of producer in the pipelines that name it.
const fn switch_of(kind: ProducerKind) -> Option<&'static str> {
    match kind {
        ProducerKind::TestRunner => Some("ORCH_TEST_RUNNER"),
        ProducerKind::StagingRunner => Some("ORCH_STAGING_RUNNER"),
        ProducerKind::Agent | ProducerKind::Command | ProducerKind::Approval => None,
    }
}

/// Warnings of variables that look like orch's and are none. Only names are told.
pub(super) fn unknown(
    variables: &Variables,
    declared: &BTreeSet<SwitchName>,
    pipeline: Option<&Pipeline>,
) -> Vec<String> {
    let known: BTreeSet<String> =
        rows(declared).into_iter().map(|(name, _)| name).chain(OWN.map(str::to_owned)).collect();
    let named = named_by(pipeline);
    let stray: Vec<&str> = variables
        .names()
        .filter(|name| name.starts_with(PREFIX) && !known.contains(*name) && !named.contains(*name))
        .collect();
    let mut warnings: Vec<String> =
        stray.iter().take(UNKNOWN_MAX).map(|name| stray_variable(name, &known, pipeline.is_some())).collect();
    if let Some(more @ 1..) = stray.len().checked_sub(UNKNOWN_MAX) {
        warnings.push(format!("{more} further variables begin with {PREFIX} and are no settings of orch"));
    }
    warnings
}

fn stray_variable(name: &str, known: &BTreeSet<String>, with_pipeline: bool) -> String {
    let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    // The common beginning would make short names alike.
    let rest = |name: &str| name.strip_prefix(PREFIX).map(str::to_owned);
    let distance = |other: &String| near(&rest(name)?, &rest(other)?);
    let nearest = known.iter().filter_map(|other| Some((distance(other)?, other))).min();
    let switch = Part::ALL.into_iter().find_map(|part| name.strip_suffix(part.suffix()));
    // A pipeline may read a variable by its name, as a switch or in a host.
    let what = if with_pipeline { "is no setting of orch and has no effect" } else { "is no setting of orch's own" };
    match (nearest, switch) {
        (Some((_, meant)), _) => format!("{shown} {what}: did you mean {meant}?"),
        (None, Some(switch)) => {
            let switch: String = switch.chars().take(80).flat_map(char::escape_debug).collect();
            let which = if with_pipeline { "the pipeline has no" } else { "it counts only where a pipeline has a" };
            format!("{shown} {what}: {which} stage with `switch: {switch}`")
        }
        (None, None) if with_pipeline => format!("{shown} {what}"),
        (None, None) => format!("{shown} {what}; only a pipeline can read it"),
    }
}

/// Variables that the pipeline reads by name: `${NAME}` in a host.
fn named_by(pipeline: Option<&Pipeline>) -> BTreeSet<&str> {
    let stages = pipeline.map(Pipeline::stages).unwrap_or_default();
    let producers = stages.iter().flat_map(|stage| [Some(&stage.producer), stage.fallback.as_ref()]).flatten();
    let texts = producers.flat_map(|producer| match producer {
        Producer::StagingRunner(staging) => {
            let expect = staging.version.as_ref().and_then(|version| version.expect.as_ref());
            let keys = [&staging.user, &staging.identity, &staging.known_hosts, &staging.jump, &staging.control_dir];
            std::iter::once(&staging.host).chain(keys.into_iter().flatten()).chain(expect).collect()
        }
        Producer::Agent(_) | Producer::TestRunner(_) | Producer::Command(_) | Producer::Approval => Vec::new(),
    });
    texts.filter_map(|text: &String| Some(text.split_once("${")?.1.split_once('}')?.0)).collect()
}

/// How far two words are from each other, where one may be meant for the other.
fn near(word: &str, other: &str) -> Option<usize> {
    let most = (other.chars().count() / 3).clamp(1, DISTANCE_MAX);
    if word.len().abs_diff(other.len()) > 2 * DISTANCE_MAX {
        return None;
    }
    Some(strsim::osa_distance(word, other)).filter(|distance| *distance <= most)
}
