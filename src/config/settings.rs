//! Settings in force: flag over environment over pipeline file over default (row N3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::table::{self, Kind, Part, Setting, TABLE};
use super::value::{self, Scope, Value};
use super::variables::Variables;
use super::warnings;
use crate::domain::id::SwitchName;
use crate::domain::pipeline::{InfraPolicy, Limits, Pipeline, Producer, Stage};

/// Longest part of a malformed value that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Most names of a scope that a reason lists.
const LISTED_MAX: usize = 5;

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--no-fallback`: hold instead of running a declared fallback.
    pub no_fallback: bool,
    /// `--timeout-s`.
    pub timeout: Option<Duration>,
    /// `--infra-retries`.
    pub infra_retries: Option<u32>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This flag.
    Flag(&'static str),
    /// This variable.
    Environment(String),
    /// The pipeline file.
    Pipeline,
    /// Nobody said anything, or the pipeline file says what is built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Pipeline => f.write_str("pipeline"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// A setting and its value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Name of the variable.
    pub name: String,
    /// The setting.
    pub setting: Setting,
    /// The value; `None` where nothing was given and the default is no value of its own.
    pub value: Option<Value>,
    /// Where it comes from.
    pub origin: Origin,
}

/// A variable with a value that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The variable.
    pub name: String,
    /// Its value, cut and without control characters; `None` where it is not UTF-8.
    pub shown: Option<String>,
    /// What it should be.
    pub kind: Kind,
}

impl ConfigProblem {
    /// What is wrong, fit behind "error: ".
    pub fn message(&self) -> String {
        match self.shown.as_deref() {
            None => format!("{} is malformed: it is not UTF-8", self.name),
            Some("") => format!("{} is malformed: it is set and empty", self.name),
            Some(shown) => format!("{} is malformed: `{shown}`", self.name),
        }
    }

    /// What to do next.
    pub fn help(&self) -> String {
        format!("give {}", self.kind.accepted())
    }
}

/// Which producer a stage runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<'s> {
    /// This one.
    Run {
        /// The producer.
        producer: &'s Producer,
        /// Why it is this one, for the record and for people.
        why: String,
        /// Whether it is the declared fallback.
        fallback: bool,
    },
    /// None: the stage is held, and a person decides.
    Off {
        /// What switches it off.
        switch: SwitchName,
        /// Why.
        why: String,
    },
}

/// Every setting, read and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    read: BTreeMap<String, Value>,
    /// Switches of the pipeline.
    pub(super) declared: BTreeSet<SwitchName>,
    flags: Flags,
    unknown: Vec<String>,
}

impl Settings {
    /// Reads every setting of the table, and the variables of every switch that the pipeline declares.
    ///
    /// # Errors
    /// Every malformed value, in the order of the table, then of the pipeline's own switches.
    pub fn read(variables: &Variables, flags: &Flags, pipeline: Option<&Pipeline>) -> Result<Self, Vec<ConfigProblem>> {
        let stages = pipeline.map(Pipeline::stages).unwrap_or_default();
        let declared: BTreeSet<SwitchName> = stages.iter().filter_map(|stage| stage.switch.clone()).collect();
        let mut read = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, setting) in rows(&declared) {
            let Some(found) = variables.get(&name) else { continue };
            let text = found.to_str();
            match text.map(|text| value::read(setting.kind, text)) {
                Some(Ok(Some(value))) => drop(read.insert(name, value)),
                Some(Ok(None)) => {}
                Some(Err(value::Malformed)) | None => {
                    problems.push(ConfigProblem { name, shown: text.map(shown), kind: setting.kind });
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let unknown = warnings::unknown(variables, &declared, pipeline);
        Ok(Self { read, declared, flags: flags.clone(), unknown })
    }

    /// Every setting with its value in force: the table, then the pipeline's own switches.
    pub fn in_force(&self) -> Vec<InForce> {
        let row = |(name, setting): (String, Setting)| {
            let flag = self.flag(&setting).zip(setting.flag);
            let (value, origin) = match (flag, self.read.get(&name)) {
                (Some((value, flag)), _) => (Some(value), Origin::Flag(flag)),
                (None, Some(value)) => (Some(value.clone()), Origin::Environment(name.clone())),
                (None, None) => (default(&setting), Origin::Default),
            };
            InForce { name, setting, value, origin }
        };
        rows(&self.declared).into_iter().map(row).collect()
    }

    fn flag(&self, setting: &Setting) -> Option<Value> {
        setting.flag?;
        match setting.kind {
            Kind::Seconds => self.flags.timeout.map(Value::Seconds),
            Kind::Count => self.flags.infra_retries.map(Value::Count),
            Kind::Path => self.flags.state_dir.as_ref().map(|path| Value::Path(path.display().to_string())),
            Kind::Switch | Kind::Repositories | Kind::Mebibytes | Kind::Program | Kind::LogFilter => None,
        }
    }

    /// The program that is told of holds.
    pub fn alert_command(&self) -> Option<&str> {
        match self.read.get(super::table::ALERT_COMMAND)? {
            Value::Path(path) => Some(path),
            Value::Switch(_) | Value::Repositories(_) | Value::Seconds(_) | Value::Count(_) | Value::LogFilter(_) => {
                None
            }
        }
    }

    /// Whether an end that says nothing gets a control run.
    pub fn control_run(&self) -> bool {
        self.read.get(super::table::CONTROL_RUN).and_then(Value::switch).unwrap_or(true)
    }

    /// Whether agents are contained where the kernel has it.
    pub fn containment(&self) -> bool {
        self.read.get(super::table::CONTAINMENT).and_then(Value::switch).unwrap_or(true)
    }

    /// Whether shadows are run.
    pub fn shadows(&self) -> bool {
        self.read.get(super::table::SHADOW).and_then(Value::switch).unwrap_or(true)
    }

    /// Whether agents may be started without their tool's own permission checks.
    pub fn may_skip_permissions(&self) -> bool {
        self.read.get(super::table::SKIP_PERMISSIONS).and_then(Value::switch).unwrap_or(false)
    }

    /// Whether a staging command is started on its host.
    pub fn exec_host_side(&self) -> bool {
        self.read.get(super::table::EXEC_HOST_SIDE).and_then(Value::switch).unwrap_or(true)
    }

    /// Least free space of the state folder's file system, in bytes.
    pub fn state_free_min_bytes(&self) -> u64 {
        self.bytes(table::STATE_FREE_MIN, table::STATE_FREE_MIN_MIB)
    }

    /// Least free space of the worktree's file system, in bytes.
    pub fn worktree_free_min_bytes(&self) -> u64 {
        self.bytes(table::WORKTREE_FREE_MIN, table::WORKTREE_FREE_MIN_MIB)
    }

    /// Space that is kept beside the store, in bytes.
    pub fn state_reserve_bytes(&self) -> u64 {
        self.bytes(table::STATE_RESERVE, table::STATE_RESERVE_MIB)
    }

    fn bytes(&self, name: &str, default_mib: u32) -> u64 {
        u64::from(self.read.get(name).and_then(Value::count).unwrap_or(default_mib)) * 1024 * 1024
    }

    /// Whether a switch is on.
    pub fn enabled(&self, switch: &SwitchName) -> Sourced<bool> {
        self.part(switch, Part::Enabled, Value::switch).unwrap_or(Sourced { value: true, origin: Origin::Default })
    }

    /// The repositories that a switch is for.
    pub fn scope(&self, switch: &SwitchName) -> Sourced<Scope> {
        let read = self.part(switch, Part::Repos, |value| value.scope().cloned());
        read.unwrap_or(Sourced { value: Scope::Every, origin: Origin::Default })
    }

    fn part<T>(&self, switch: &SwitchName, part: Part, of: impl Fn(&Value) -> Option<T>) -> Option<Sourced<T>> {
        let name = part.of(switch);
        let value = self.read.get(&name).and_then(of)?;
        Some(Sourced { value, origin: Origin::Environment(name) })
    }

    /// Whether any of a switch's variables is set; the suffixes of those that are.
    pub(super) fn set_parts(&self, switch: &SwitchName) -> Vec<String> {
        Part::ALL.into_iter().map(|part| part.of(switch)).filter(|name| self.read.contains_key(name)).collect()
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.read.get(name)
    }

    pub(super) fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Why a switch keeps its producers from running in a repository; `None` where it does not.
    pub(super) fn off(&self, switch: &SwitchName, repository: &str) -> Option<String> {
        if !self.enabled(switch).value {
            return Some(format!("{}=false switches it off", Part::Enabled.of(switch)));
        }
        let scope = self.scope(switch).value;
        (!scope.contains(repository)).then(|| {
            format!("repository `{repository}` is not in {} ({})", Part::Repos.of(switch), listed(scope.names()))
        })
    }

    /// Chooses the producer of a stage in a repository: the declared one, the declared fallback, or none.
    ///
    /// A stage whose switch these settings were not read for is off: a switch is never passed over.
    pub fn choice<'s>(&self, stage: &'s Stage, repository: &str) -> Choice<'s> {
        let declared = |why| Choice::Run { producer: &stage.producer, why, fallback: false };
        let Some(switch) = &stage.switch else { return declared("declared".to_owned()) };
        if !self.declared.contains(switch) {
            let why = format!("the switch {switch} was not read when orch started");
            return Choice::Off { switch: switch.clone(), why };
        }
        match (self.off(switch, repository), &stage.fallback) {
            (None, _) => declared(self.on(switch, repository)),
            (Some(why), Some(producer)) if !self.flags.no_fallback => {
                let kind = stage.producer.kind().as_str();
                Choice::Run { producer, why: format!("the fallback of `{kind}`: {why}"), fallback: true }
            }
            (Some(why), Some(fallback)) => {
                let kind = fallback.kind().as_str();
                let why = format!("{why}, and --no-fallback keeps its fallback `{kind}` from running");
                Choice::Off { switch: switch.clone(), why }
            }
            (Some(why), None) => Choice::Off { switch: switch.clone(), why },
        }
    }

    /// Why the declared producer of a switch runs.
    fn on(&self, switch: &SwitchName, repository: &str) -> String {
        let enabled = Part::Enabled.of(switch);
        let enabled = match self.enabled(switch).origin {
            Origin::Default => format!("{enabled} is not set"),
            Origin::Flag(_) | Origin::Environment(_) | Origin::Pipeline => format!("{enabled}=true"),
        };
        match self.scope(switch).value {
            Scope::Every => format!("declared; {enabled}"),
            Scope::Only(_) => {
                format!("declared; {enabled}, and repository `{repository}` is in {}", Part::Repos.of(switch))
            }
        }
    }

    /// The total limit of a stage in a repository. The variables of a switch count only where it lets its producer
    /// run: a fallback runs as if the mechanism were not there.
    pub fn timeout(&self, stage: &Stage, repository: &str) -> Sourced<Duration> {
        let flag = self.flags.timeout.map(|value| Sourced { value, origin: Origin::Flag(Part::TimeoutS.flag_name()) });
        flag.or_else(|| self.part(self.governing(stage, repository)?, Part::TimeoutS, Value::seconds))
            .unwrap_or_else(|| of_pipeline(stage.limits.total, &Limits::default().total))
    }

    /// The further attempts of a stage in a repository, as [`Settings::timeout`].
    pub fn infra_retries(&self, stage: &Stage, repository: &str) -> Sourced<u32> {
        let flag = self.flags.infra_retries;
        flag.map(|value| Sourced { value, origin: Origin::Flag(Part::InfraRetries.flag_name()) })
            .or_else(|| self.part(self.governing(stage, repository)?, Part::InfraRetries, Value::count))
            .unwrap_or_else(|| of_pipeline(stage.infra.retries, &InfraPolicy::default().retries))
    }

    /// The time limits of a stage in a repository.
    pub fn limits(&self, stage: &Stage, repository: &str) -> Limits {
        Limits { total: self.timeout(stage, repository).value, ..stage.limits }
    }

    /// What a transient fault is worth to a stage in a repository.
    pub fn infra(&self, stage: &Stage, repository: &str) -> InfraPolicy {
        InfraPolicy { retries: self.infra_retries(stage, repository).value, ..stage.infra.clone() }
    }

    /// The switch whose variables count for a stage.
    fn governing<'s>(&self, stage: &'s Stage, repository: &str) -> Option<&'s SwitchName> {
        stage.switch.as_ref().filter(|switch| self.off(switch, repository).is_none())
    }
}

impl Part {
    /// The flag that outranks it; empty where there is none.
    const fn flag_name(self) -> &'static str {
        match self.setting().flag {
            Some(flag) => flag,
            None => "",
        }
    }
}

/// Every variable with its setting: the table, then the parts of further switches.
pub(super) fn rows(declared: &BTreeSet<SwitchName>) -> Vec<(String, Setting)> {
    let mut rows: Vec<(String, Setting)> = TABLE.iter().map(|setting| (setting.name.to_owned(), *setting)).collect();
    for switch in declared {
        for part in Part::ALL {
            let name = part.of(switch);
            // A switch named after the head of another row would be read in two ways.
            if TABLE.iter().all(|setting| setting.name != name) {
                rows.push((name, part.setting()));
            }
        }
    }
    rows
}

fn default(setting: &Setting) -> Option<Value> {
    match setting.kind {
        Kind::Switch => Some(Value::Switch(setting.default != "`false`")),
        Kind::Repositories => Some(Value::Repositories(Scope::Every)),
        Kind::Seconds | Kind::Count | Kind::Mebibytes | Kind::Path | Kind::Program | Kind::LogFilter => None,
    }
}

/// A value of the pipeline, which keeps no note of what its file left out.
fn of_pipeline<T: PartialEq>(value: T, built_in: &T) -> Sourced<T> {
    let origin = if value == *built_in { Origin::Default } else { Origin::Pipeline };
    Sourced { value, origin }
}

fn listed(names: &[String]) -> String {
    let first = names.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A malformed value for people: cut, control characters escaped.
fn shown(text: &str) -> String {
    let mut kept: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        kept.push('…');
    }
    kept
}
