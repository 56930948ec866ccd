//! The ways through orch that are disturbed at every system call: what is done before, which command is disturbed,
//! and what is mended before everything goes on.

use crate::oracle::Done;
use crate::support::{Answer, Service};
use crate::yard::{PIPELINE, Word, Yard};

/// One way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) pipeline: fn(&Stage) -> String,
    pub(crate) words: [(&'static str, Word); 2],
    /// Commands that nobody disturbs.
    pub(crate) before: &'static [&'static str],
    /// Whether other tasks have filled the store's log nearly up to where it is written back.
    pub(crate) log_is_full: bool,
    /// What is done to the place after them.
    pub(crate) spoil: fn(&Yard),
    /// The command that is disturbed.
    pub(crate) disturbed: &'static str,
    /// What may become of its attempts where nothing is disturbed at all.
    pub(crate) allowed: Done,
}

/// What a scenario's pipeline may name.
#[derive(Debug)]
pub(crate) struct Stage {
    service: Service,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { service: Service::new(&[("/health", Answer::Status(200))]) }
    }
}

const RUN: &str = "pipeline run --quiet --task t";
pub(crate) const PLAIN: Scenario = Scenario {
    name: "pass",
    pipeline: |_| PIPELINE.to_owned(),
    words: [("check", Word::Pass), ("testing", Word::Pass)],
    before: &[],
    log_is_full: false,
    spoil: |_| {},
    disturbed: RUN,
    allowed: Done::Runners,
};

/// All of them.
pub(crate) const SCENARIOS: [Scenario; 15] = [
    PLAIN,
    Scenario { name: "fail-rollback", words: [("check", Word::Pass), ("testing", Word::Fail)], ..PLAIN },
    Scenario { name: "retry", words: [("check", Word::Net), ("testing", Word::Pass)], ..PLAIN },
    Scenario {
        name: "deferred",
        words: [("check", Word::Net), ("testing", Word::Pass)],
        disturbed: "pipeline run --quiet --no-wait --task t",
        ..PLAIN
    },
    Scenario { name: "permanent-hold", words: [("check", Word::Pass), ("testing", Word::Absent)], ..PLAIN },
    Scenario {
        name: "release",
        words: [("check", Word::Pass), ("testing", Word::Absent)],
        before: &[RUN],
        disturbed: "hold release t",
        ..PLAIN
    },
    Scenario {
        name: "resume",
        words: [("check", Word::Pass), ("testing", Word::Absent)],
        before: &[RUN, "hold release t"],
        ..PLAIN
    },
    Scenario {
        name: "cancel",
        words: [("check", Word::Absent), ("testing", Word::Pass)],
        before: &[RUN],
        disturbed: "task cancel t",
        ..PLAIN
    },
    Scenario {
        name: "timeout",
        pipeline: |_| PIPELINE.replace("    gate: tests-passed", "    timeout: 1s\n    gate: tests-passed"),
        words: [("check", Word::Pass), ("testing", Word::Hang)],
        ..PLAIN
    },
    Scenario { name: "stopped", words: [("check", Word::Pass), ("testing", Word::Stop)], ..PLAIN },
    Scenario { name: "leak", words: [("check", Word::Leaky), ("testing", Word::Leaky)], ..PLAIN },
    Scenario {
        name: "spawn-failure",
        pipeline: |_| {
            PIPELINE.replace("command: [sh, suite.sh], evidence", "command: [SCRATCH/tool, suite.sh], evidence")
        },
        allowed: Done::Faults,
        ..PLAIN
    },
    Scenario {
        name: "approval",
        pipeline: |_| {
            let asks = "  check:\n    producer: { approval: {} }\n    artifact: 12-approval.md\n    gate: approved\n    \
                        transitions: { pass: testing, fail: hold }\n";
            let (head, rest) = PIPELINE.split_once("  check:\n").unwrap();
            let (_, testing) = rest.split_once("  testing:\n").unwrap();
            format!("{head}{asks}  testing:\n{testing}")
        },
        before: &[RUN],
        disturbed: "hold release t --approve --reason fine",
        ..PLAIN
    },
    Scenario {
        name: "smoke",
        pipeline: |stage| {
            let smoke = format!("command: [sh, suite.sh], smoke: [{{ get: \"{}\" }}] }}", stage.service.url("/health"));
            PIPELINE.replace("test-runner: { command: [sh, suite.sh] }", &format!("test-runner: {{ {smoke}"))
        },
        ..PLAIN
    },
    Scenario {
        name: "repair",
        before: &[RUN],
        spoil: |yard| std::fs::remove_dir_all(yard.shop.tree.join("docs")).unwrap(),
        ..PLAIN
    },
];

/// A run during which the store's log is written back into the database and begun anew.
pub(crate) const CHECKPOINT: Scenario = Scenario {
    name: "checkpoint",
    words: [("check", Word::Pass), ("testing", Word::Fail)],
    log_is_full: true,
    ..PLAIN
};

/// Mends what a scenario is about.
pub(crate) fn mend(yard: &Yard) {
    std::os::unix::fs::symlink("/bin/sh", yard.shop.scratch("tool")).unwrap();
}

impl Scenario {
    /// A yard for it, to be used again and again.
    pub(crate) fn yard(&self, stage: &Stage) -> Yard {
        Yard::with(&(self.pipeline)(stage))
    }

    /// Brings a yard to where its first command begins.
    pub(crate) fn set_out(&self, yard: &mut Yard) {
        yard.anew();
        std::fs::remove_file(yard.shop.scratch("tool")).ok();
        yard.tell("t", &self.words);
    }

    /// Brings a yard to where the disturbed command begins.
    pub(crate) fn set_up(&self, yard: &mut Yard) {
        yard.anew();
        std::fs::remove_file(yard.shop.scratch("tool")).ok();
        if yard.take_up_kept() {
            return;
        }
        self.set_out(yard);
        for words in self.before {
            yard.orch(words).run();
        }
        (self.spoil)(yard);
        // The first time is as every other.
        yard.keep();
        yard.anew();
        yard.take_up_kept();
    }
}
