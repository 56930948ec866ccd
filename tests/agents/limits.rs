//! What agents may use up, and limits of their providers that end.

use crate::office::{Office, WORKS};

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

#[test]
fn the_end_of_a_providers_limit_is_waited_for() {
    let limited = "begins\nsays '{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"rejected\",\"resetsAt\":AT}}'\nfails 429 You have hit your session limit\n";
    let at = |seconds: i64| limited.replace("AT", &(now() + seconds).to_string());
    let office = Office::of("claude-code", ", writes: [\"**\"]").does(&at(3600));
    office.run().held(75, "session limit");
    assert_eq!(office.calls(), 1, "no retry is spent on a limit that lasts");
    office.run().exits(75).says("has not come yet");
    let over = Office::of("claude-code", ", writes: [\"**\"]").does(&at(-5)).at("development.1.2", WORKS);
    over.run().exits(0).says("done");
}
