//! Scenarios for the points that no scenario of the lab comes to.

use crate::scenario::{PLAIN, Scenario};
use crate::yard::{PIPELINE, Word};

/// A run that asks the base commit who is at fault: the change is not committed.
pub(crate) const CONTROL: Scenario = Scenario {
    name: "control",
    words: [("check", Word::Pass), ("testing", Word::Mute)],
    spoil: |yard| yard.shop.write("part.txt", "1\n"),
    ..PLAIN
};

/// A run with an agent in the shadow of its suite.
pub(crate) const SHADOW: Scenario = Scenario {
    name: "shadow",
    pipeline: |_| {
        PIPELINE.replace(
            "    gate: tests-passed",
            "    shadow: { agent: { profile: custom, prompt: prompt.md, command: [sh, \"${ORCH_WORKTREE}/agent.sh\"] } }\n    \
             gate: tests-passed",
        )
    },
    words: [("check", Word::Pass), ("testing", Word::Fail)],
    spoil: |yard| {
        yard.shop.write("prompt.md", "Test it.\n");
        yard.shop.write(
            "agent.sh",
            "mkdir -p docs/work-items/t\nprintf -- '---\\nresult: PASS\\n---\\n\\n# Tests\\n\\nThey ran.\\n' > \
             docs/work-items/t/13-test-report.md\n",
        );
    },
    ..PLAIN
};
