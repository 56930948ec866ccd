//! What agents may use up, and limits of their providers that end.

use crate::office::{Office, WORKS, pipeline};
use crate::support::FAILS;

/// Seconds since 1970.
fn now() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

#[test]
fn what_was_used_is_counted_and_a_cap_is_asked_before_the_start() {
    let office = Office::of("claude-code", ", writes: [\"**\"], max-turns: 3, max-cost: 0.5").does("begins\nends\n");
    office.run().held(10, "have used 3 turns, and the stage allows 3");
    assert_eq!(office.calls(), 1, "the second attempt was not paid for");
    let argv = office.left("argv");
    assert!(argv.contains("--max-turns\n3\n--max-budget-usd\n0.500000\n"), "{argv}");
    office.orch("run show").run().exits(0).says("used 3 turns, 150 tokens, $0.0125");
    office.orch("explain").run().exits(0).says("used: 3 turns").says("its conversation: 11111111-2222");
    // What is left goes to the tool.
    let more = Office::of("claude-code", ", writes: [\"**\"], max-turns: 10").does("begins\nends\n");
    more.run().held(10, "missing");
    assert!(more.left("argv").contains("--max-turns\n7\n"), "{}", more.left("argv"));
    // A person who releases it pays anew.
    office.orch("hold release").run().exits(0);
    office.does(WORKS).run().exits(0).says("done");
}

/// What a tool does not tell, or tells as less than nothing, is unknown: it is no 0, and it is said.
#[test]
fn a_cap_that_an_attempt_did_not_count_for_is_told() {
    let told = |cost: &str| {
        format!(
            "begins\nsays '{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"num_turns\":3,\"result\":\"x\"{cost}}}'\n"
        )
    };
    for (cost, left) in
        [("", "1.000000"), (",\"total_cost_usd\":-0.5", "1.000000"), (",\"total_cost_usd\":0.25", "0.750000")]
    {
        let office = Office::of("claude-code", ", writes: [\"**\"], max-turns: 60, max-cost: 1.00").does(&told(cost));
        let run = office.run().held(10, "missing");
        let (said, known) = ("an attempt did not tell what `max-cost` counts", left != "1.000000");
        assert_eq!(run.stderr().matches(said).count(), usize::from(!known), "{run}");
        assert!(office.left("argv").contains(&format!("--max-turns\n57\n--max-budget-usd\n{left}\n")));
        let explained = office.orch("explain").run().exits(0).stdout();
        assert_eq!(
            explained.contains("did not tell what these caps count: max-tokens, max-cost"),
            !known,
            "{explained}"
        );
    }
    // What is held shows dollars.
    let office = Office::of("claude-code", ", writes: [\"**\"], max-cost: 1.00").does(&told(",\"total_cost_usd\":2.5"));
    office.run().held(10, "have used $2.50, and the stage allows $1.00");
}

#[test]
fn the_end_of_a_providers_limit_is_waited_for() {
    let limited = "begins\nsays '{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"rejected\",\"resetsAt\":AT}}'\nfails 429 You have hit your session limit\n";
    let at = |seconds: i64| limited.replace("AT", &(now() + seconds).to_string());
    let office = Office::of("claude-code", ", writes: [\"**\"]").does(&at(3600));
    office.run().held(75, "session limit").says("once that time has come; or at once: orch hold release main");
    assert_eq!(office.calls(), 1, "no retry is spent on a limit that lasts");
    office.run().exits(75).says("has not come yet");
    let over = Office::of("claude-code", ", writes: [\"**\"]").does(&at(-5)).at("development.1.2", WORKS);
    over.run().exits(0).says("done");
    // An end in the past, or beyond what is waited for, is none: the ordinary pauses, and then a person.
    for seconds in [-5, 80 * 365 * 86_400] {
        let office = Office::of("claude-code", ", writes: [\"**\"]").does(&at(seconds));
        office.run().held(75, "waits for: a person's word").says("orch hold release main");
        assert_eq!(office.calls(), 2, "one retry, as the stage says");
        office.run().exits(75);
        assert_eq!(office.calls(), 2, "the hold is not true of itself");
    }
}

/// A stage that waits for its revision is an attempt like any other: where it takes longer than its limit, it is held with
/// that reason, whether a gate sent the task back or the agent is to mend its own artifact (row A11).
#[test]
fn a_revision_that_never_comes_is_held() {
    let stage = "    idle-timeout: 1s\n    start-timeout: 1s\n    grace: 200ms\n";
    let hangs = "begins\nsleep 600\n";
    // The suite says no, and the developer never comes back.
    let text = pipeline("claude-code", ", writes: [\"**\"]", stage, true);
    let office = Office::new(&text, &[("suite.sh", FAILS)]).does(WORKS).at("development.2.1", hangs);
    office.run().held(75, "idle limit");
    let last = office.last();
    assert_eq!((&last["stage"], &last["visit"]), (&"development".into(), &2.into()), "{last:#}");
    let task = office.orch("task show --json").run().exits(0).json();
    assert_eq!((&task["state"], &task["spent"]["retry"]), (&"held".into(), &1.into()), "the way back is paid once");
    // The artifact cannot be read, and its writer never mends it.
    let text = pipeline("claude-code", ", writes: [\"**\"]", stage, false);
    let office = Office::new(&text, &[]).does("begins\nends\n").at("development.1.2", hangs);
    office.run().held(75, "idle limit");
    assert_eq!(office.calls(), 2);
}

/// No two stages work in one worktree at the same time, so none whose declared paths overlap: a second runner is refused,
/// whatever its task and its stage (row E9).
#[test]
fn stages_of_one_worktree_never_run_together() {
    let talk = ", writes: [\"src/**\"], may-write: [\"SCRATCH/talk\"]";
    let office = Office::of("claude-code", talk)
        .does(&format!("begins\necho $$ > SCRATCH/talk/said\nread word < SCRATCH/talk/go\n{WORKS}"));
    std::fs::create_dir(office.shop.scratch("talk")).unwrap();
    let (mut said, mut go) = (office.shop.fifo("talk/said"), office.shop.fifo("talk/go"));
    let going = office.orch("pipeline run").start();
    said.next();
    office.orch("pipeline run").run().exits(4);
    office.orch("pipeline run --task other").run().exits(4);
    go.say("go");
    going.end().exits(0);
    assert_eq!(office.calls(), 1);
}
