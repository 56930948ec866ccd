//! The experiment of faults: each has a name, is made for real, is run once (ten times in the long form), and must come
//! out in its class each time, without a verdict.

use std::collections::BTreeSet;

use super::host::{Host, LOG};
use crate::support::Ended;

/// Whether the full size is asked for.
pub(crate) fn long() -> bool {
    std::env::var("ORCH_STAGING").is_ok_and(|form| form == "long")
}

/// Runs of each fault.
pub(crate) fn rounds() -> usize {
    if long() { 10 } else { 1 }
}

/// The faults of one group: every name is run, and no other.
pub(crate) struct Experiment {
    names: &'static [&'static str],
    done: BTreeSet<&'static str>,
}

/// What a fault must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Waiting does not help.
    Permanent,
    /// Waiting may help.
    Transient,
}

impl Experiment {
    pub(crate) const fn of(names: &'static [&'static str]) -> Self {
        Self { names, done: BTreeSet::new() }
    }

    /// Runs a prepared host as often as is asked for, and checks class and words each time.
    #[track_caller]
    pub(crate) fn check(&mut self, name: &'static str, host: &Host, class: Class, told: &str) {
        for round in 0..rounds() {
            right(name, round, host, class, told, &again(host).run());
        }
        self.ran(name);
    }

    /// The same, where a run takes more than its start.
    #[track_caller]
    pub(crate) fn with(
        &mut self,
        name: &'static str,
        host: &mut Host,
        class: Class,
        told: &str,
        mut run: impl FnMut(&mut Host) -> Ended,
    ) {
        for round in 0..rounds() {
            let ended = run(host);
            right(name, round, host, class, told, &ended);
        }
        self.ran(name);
    }

    /// Notes that a fault was run and was right.
    #[track_caller]
    pub(crate) fn ran(&mut self, name: &'static str) {
        eprintln!("fault {name}: {0} of {0} right", rounds());
        self.note(name);
    }

    /// Notes that a fault cannot be made here, and says so.
    #[track_caller]
    pub(crate) fn left_out(&mut self, name: &'static str, why: &str) {
        eprintln!("skipped: fault {name}: {why}");
        self.note(name);
    }

    #[track_caller]
    fn note(&mut self, name: &'static str) {
        assert!(self.names.contains(&name), "{name} is not in the list of faults");
        assert!(self.done.insert(name), "{name} was run before");
    }

    /// # Panics
    /// Something of the group was not run.
    pub(crate) fn end(self) {
        let left: Vec<&str> = self.names.iter().copied().filter(|name| !self.done.contains(name)).collect();
        assert!(left.is_empty(), "not run: {left:?}");
    }
}

/// The stage once more.
pub(crate) fn again(host: &Host) -> crate::support::Orch {
    host.orch("pipeline run --no-wait --from staging --accept-pipeline")
}

#[track_caller]
pub(crate) fn right(name: &str, round: usize, host: &Host, class: Class, told: &str, ended: &Ended) {
    let code = match class {
        Class::Permanent => 78,
        Class::Transient => 75,
    };
    assert_eq!(ended.code(), Some(code), "{name}, round {round}\n{ended}");
    assert!(ended.stdout().contains(told), "{name}, round {round}: no {told:?}\n{ended}");
    assert!(ended.headline().contains("HELD"), "{name}, round {round}\n{ended}");
    assert!(!host.shop.has(LOG), "{name}: a verdict from a fault of the channel");
}
