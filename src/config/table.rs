//! The one list of settings: documents, `.env.example`, checks and `orch config show` are made from it.

use crate::domain::id::SwitchName;
use crate::domain::pipeline::SWITCH_PARTS;

/// Longest total limit that a setting may give: a week.
pub const TIMEOUT_S_MAX: u64 = 7 * 24 * 60 * 60;

/// Most further attempts that a setting may give; the pipeline file has the same bound.
pub const INFRA_RETRIES_MAX: u32 = 100;

/// Most space that a setting may ask for: a tebibyte.
pub(super) const MEBIBYTES_MAX: u32 = 1024 * 1024;

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// Names of repositories, separated by commas.
    Repositories,
    /// Whole seconds, 1 to [`TIMEOUT_S_MAX`].
    Seconds,
    /// A count, 0 to [`INFRA_RETRIES_MAX`].
    Count,
    /// A size in whole MiB, 0 to 1048576 (1 TiB).
    Mebibytes,
    /// An absolute path of a folder.
    Path,
    /// An absolute path of a program.
    Program,
    /// A filter of diagnostics.
    LogFilter,
}

impl Kind {
    /// What is accepted, fit behind "give ".
    pub const fn accepted(self) -> &'static str {
        match self {
            Self::Switch => "true or false (also 1 and 0, on and off, yes and no, in any case), or unset it",
            Self::Repositories => {
                "names of repositories separated by commas, such as `shop, team/store`; empty or unset means every \
                 repository"
            }
            Self::Seconds => "whole seconds in decimal digits, 1 to 604800 (7 days), or unset it",
            Self::Count => "a whole number in decimal digits, 0 to 100, or unset it",
            Self::Mebibytes => "a size in MiB in decimal digits, 0 to 1048576 (1 TiB), or unset it",
            Self::Path => "a path, which must be absolute, or unset it",
            Self::Program => "the path of a program, which must be absolute, or unset it",
            Self::LogFilter => "a level or targets with levels, such as `debug` or `orch::runner=debug`, or unset it",
        }
    }

    /// The same in a few words, for a table.
    pub(super) const fn short(self) -> &'static str {
        match self {
            Self::Switch => "`true` or `false`",
            Self::Repositories => "names, separated by commas",
            Self::Seconds => "seconds, 1 to 604800",
            Self::Count => "0 to 100",
            Self::Mebibytes => "MiB, 0 to 1048576",
            Self::Path => "absolute path",
            Self::Program => "absolute path of a program",
            Self::LogFilter => "log filter",
        }
    }

    /// A value that a person may start from.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Switch => "true",
            Self::Repositories => "shop,store",
            Self::Seconds => "1800",
            Self::Count => "3",
            Self::Mebibytes => "512",
            Self::Path => "/var/lib/orch",
            Self::Program => "/usr/local/bin/tell-us",
            Self::LogFilter => "orch=info",
        }
    }
}

/// Whether anything reads a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// It has an effect.
    Built,
    /// Its value is checked and has no effect: the mechanism does not exist in this version.
    NotYet,
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name of the variable.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What counts without it.
    pub default: &'static str,
    /// The flag that outranks it.
    pub flag: Option<&'static str>,
    /// What it does, in one line.
    pub about: &'static str,
    /// Whether anything reads it.
    pub reader: Reader,
}

/// The four variables of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `NAME_ENABLED`.
    Enabled,
    /// `NAME_REPOS`.
    Repos,
    /// `NAME_TIMEOUT_S`.
    TimeoutS,
    /// `NAME_INFRA_RETRIES`.
    InfraRetries,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Enabled, Self::Repos, Self::TimeoutS, Self::InfraRetries];

    /// What stands behind the switch's name.
    pub const fn suffix(self) -> &'static str {
        let [enabled, repos, timeout_s, infra_retries] = SWITCH_PARTS;
        match self {
            Self::Enabled => enabled,
            Self::Repos => repos,
            Self::TimeoutS => timeout_s,
            Self::InfraRetries => infra_retries,
        }
    }

    /// The variable of a switch.
    pub fn of(self, switch: &SwitchName) -> String {
        format!("{switch}{}", self.suffix())
    }

    /// The part of a switch with a name that is in no table.
    pub const fn setting(self) -> Setting {
        match self {
            Self::Enabled => enabled("", "when off, the declared fallback runs, or the task is held"),
            Self::Repos => repos(""),
            Self::TimeoutS => timeout_s(""),
            Self::InfraRetries => infra_retries(""),
        }
    }
}

/// Variables that orch sets for what it starts; an orch that a producer starts finds them.
pub const OWN: [&str; 11] = [
    "ORCH_TASK",
    "ORCH_RUN",
    "ORCH_STAGE",
    "ORCH_ATTEMPT",
    "ORCH_WORKTREE",
    "ORCH_BASE_COMMIT",
    "ORCH_ARTIFACTS",
    "ORCH_ATTEMPT_DIR",
    "ORCH_PROMPT_FILE",
    "ORCH_FAR_ATTEMPT",
    "ORCH_ALERT",
];

/// Whether control runs are made.
pub(super) const CONTROL_RUN: &str = "ORCH_CONTROL_RUN_ENABLED";

/// Where a staging command is started.
pub(super) const EXEC_HOST_SIDE: &str = "ORCH_STAGING_RUNNER_EXEC_HOST_SIDE";

/// The program that is told of holds.
pub(super) const ALERT_COMMAND: &str = "ORCH_ALERT_COMMAND";

/// Whether agents are contained.
pub(super) const CONTAINMENT: &str = "ORCH_CONTAINMENT_ENABLED";

/// Whether shadows are run.
pub(super) const SHADOW: &str = "ORCH_SHADOW_ENABLED";

/// Whether agents may be started without their tool's own permission checks.
pub(super) const SKIP_PERMISSIONS: &str = "ORCH_AGENT_SKIP_PERMISSIONS_ENABLED";

/// Least free space of the state folder's file system.
pub const STATE_FREE_MIN: &str = "ORCH_STATE_FREE_MIN_MIB";
/// Least free space of the worktree's file system.
pub const WORKTREE_FREE_MIN: &str = "ORCH_WORKTREE_FREE_MIN_MIB";
/// Space that is kept beside the store.
pub const STATE_RESERVE: &str = "ORCH_STATE_RESERVE_MIB";

/// The three of them where nothing is said, in MiB (RELIABILITY §4.9).
pub(super) const STATE_FREE_MIN_MIB: u32 = 256;
pub(super) const WORKTREE_FREE_MIN_MIB: u32 = 1024;
pub(super) const STATE_RESERVE_MIB: u32 = 8;

/// Every setting with a name of its own, in the order in which people read them.
pub const TABLE: [Setting; 21] = [
    enabled(
        "ORCH_TEST_RUNNER_ENABLED",
        "when off, stages with `switch: ORCH_TEST_RUNNER` run their fallback, or are held",
    ),
    repos("ORCH_TEST_RUNNER_REPOS"),
    timeout_s("ORCH_TEST_RUNNER_TIMEOUT_S"),
    infra_retries("ORCH_TEST_RUNNER_INFRA_RETRIES"),
    enabled(
        "ORCH_STAGING_RUNNER_ENABLED",
        "when off, stages with `switch: ORCH_STAGING_RUNNER` run their fallback, or are held",
    ),
    repos("ORCH_STAGING_RUNNER_REPOS"),
    timeout_s("ORCH_STAGING_RUNNER_TIMEOUT_S"),
    infra_retries("ORCH_STAGING_RUNNER_INFRA_RETRIES"),
    enabled(
        EXEC_HOST_SIDE,
        "when off, a `staging-runner` starts the very same command here, in the worktree, and not on its host",
    ),
    enabled(
        CONTROL_RUN,
        "whether a test-runner's end that says nothing is tried again at the base commit, to tell the change from the environment",
    ),
    not_yet(enabled("ORCH_SERIAL_GATE_ENABLED", "whether stages of one `serial` group wait for each other")),
    not_yet(enabled(
        "ORCH_IMPOSSIBLE_QUEUED_SANITIZE_ENABLED",
        "whether queued rows that cannot be are healed and counted when an old store is opened",
    )),
    enabled(CONTAINMENT, "whether agents are started in containment where the kernel has it"),
    enabled(SHADOW, "whether the `shadow` of a stage is run beside its runner; it decides nothing either way"),
    Setting {
        default: "`false`",
        ..enabled(
            SKIP_PERMISSIONS,
            "lets stages with `skip-permissions: true` start their agents so; without it they are refused",
        )
    },
    Setting {
        name: "ORCH_STATE_DIR",
        kind: Kind::Path,
        default: "one folder a repository below `$XDG_STATE_HOME/orch`, else `~/.local/state/orch`",
        flag: Some("--state-dir"),
        about: "where the state is kept; outside every worktree",
        reader: Reader::Built,
    },
    mebibytes(
        STATE_FREE_MIN,
        "`256`",
        "least free space for the state folder: below it nothing is started, and the task waits; 0 asks for none",
    ),
    mebibytes(
        WORKTREE_FREE_MIN,
        "`1024`",
        "least free space for the worktree: below it nothing is started, and the task waits; 0 asks for none",
    ),
    mebibytes(
        STATE_RESERVE,
        "`8`",
        "space kept beside the store, so that what runs is still recorded when the disk is full; 0 keeps none",
    ),
    Setting {
        name: ALERT_COMMAND,
        kind: Kind::Program,
        default: "no alert",
        flag: None,
        about: "program that is started once for each hold, with a JSON document about it in `ORCH_ALERT`",
        reader: Reader::Built,
    },
    Setting {
        name: "ORCH_LOG",
        kind: Kind::LogFilter,
        default: "no diagnostics",
        flag: None,
        about: "diagnostics on stderr",
        reader: Reader::Built,
    },
];

const fn enabled(name: &'static str, about: &'static str) -> Setting {
    Setting { name, kind: Kind::Switch, default: "`true`", flag: None, about, reader: Reader::Built }
}

const fn repos(name: &'static str) -> Setting {
    Setting {
        name,
        kind: Kind::Repositories,
        default: "every repository",
        flag: None,
        about: "repositories that the switch is for; in any other it is as if it were off",
        reader: Reader::Built,
    }
}

const fn timeout_s(name: &'static str) -> Setting {
    Setting {
        name,
        kind: Kind::Seconds,
        default: "the stage's `timeout`",
        flag: Some("--timeout-s"),
        about: "total time limit of the switch's stages, in place of their `timeout`",
        reader: Reader::Built,
    }
}

const fn infra_retries(name: &'static str) -> Setting {
    Setting {
        name,
        kind: Kind::Count,
        default: "the stage's `infra: { retries }`",
        flag: Some("--infra-retries"),
        about: "further attempts after a transient fault, in place of the stage's `infra: { retries }`",
        reader: Reader::Built,
    }
}

const fn mebibytes(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { name, kind: Kind::Mebibytes, default, flag: None, about, reader: Reader::Built }
}

const fn not_yet(setting: Setting) -> Setting {
    Setting { reader: Reader::NotYet, ..setting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_lines_are_lines() {
        let names: BTreeSet<&str> = TABLE.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for setting in TABLE {
            assert!(setting.name.starts_with("ORCH_"), "{}", setting.name);
            assert!(!setting.about.contains('\n') && !setting.about.contains('|') && !setting.about.ends_with('.'));
        }
    }

    #[test]
    fn both_known_switches_have_all_four_parts() {
        for switch in ["ORCH_TEST_RUNNER", "ORCH_STAGING_RUNNER"] {
            let switch = SwitchName::new(switch).unwrap();
            for part in Part::ALL {
                let row = TABLE.iter().find(|setting| setting.name == part.of(&switch)).unwrap();
                assert_eq!((row.kind, row.flag), (part.setting().kind, part.setting().flag), "{}", row.name);
            }
        }
    }

    #[test]
    fn the_bounds_are_the_ones_that_are_told() {
        assert!(Kind::Seconds.accepted().contains(&TIMEOUT_S_MAX.to_string()));
        assert!(Kind::Seconds.short().contains(&TIMEOUT_S_MAX.to_string()));
        assert!(Kind::Count.accepted().contains(&format!("0 to {INFRA_RETRIES_MAX}")));
        assert!(Kind::Mebibytes.accepted().contains(&format!("0 to {MEBIBYTES_MAX}")));
        assert!(Kind::Mebibytes.short().contains(&format!("0 to {MEBIBYTES_MAX}")));
        let defaults = [STATE_FREE_MIN_MIB, WORKTREE_FREE_MIN_MIB, STATE_RESERVE_MIB];
        let told: Vec<&str> =
            TABLE.iter().filter(|row| row.kind == Kind::Mebibytes).map(|row| row.default.trim_matches('`')).collect();
        assert_eq!(told, defaults.map(|default| default.to_string()));
        assert!(Kind::Count.short().contains(&INFRA_RETRIES_MAX.to_string()));
    }

    #[test]
    fn the_documentation_has_the_names_that_producers_find() {
        let page = include_str!("../../docs/reference/environment.md");
        for name in OWN {
            assert!(page.contains(&format!("| `{name}` |")), "docs/reference/environment.md lacks {name}");
        }
    }
}
