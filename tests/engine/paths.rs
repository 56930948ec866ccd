//! What holds on every path: random pipelines, random ends, random events in any order.

use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use orch::domain::decision::{Decision, HoldReason, Settlement};
use orch::domain::pipeline::{Advance, OnFail, Pipeline, Stage};
use orch::domain::task::{Deferral, Event, Releaser, RunEnd, Task, TaskState};
use orch::engine::{Launched, charge, decide, replay, step};

use crate::build::{
    at, budget, cancelled, closed, decided, deferral, finished, hold_for, intended, is_unknown, nth, paused, person,
    pipeline, released, resumed, retry, retry_due, run_id, run_started, settlements, stage, stage_held, switched_off,
    task_added,
};
use crate::laws::{lawful_step, retry_due_to, retry_of};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Attempts that one visit of a stage may have: an agent's unreadable artifact is worth a second one, a passing fault
/// as many as the stage says.
fn attempts_a_visit(stage: &Stage) -> u32 {
    1 + u32::from(!stage.producer.kind().is_deterministic()) + stage.infra.retries
}

/// Most attempts of a task before it stops: every rollback is paid for, and between two rollbacks a task visits
/// each stage at most once, as passes lead in no circle.
fn attempts_max(pipeline: &Pipeline) -> u32 {
    let rollbacks: u32 = pipeline.budgets().values().sum();
    let per_walk: u32 = pipeline.stages().iter().map(attempts_a_visit).sum();
    (rollbacks + 1) * per_walk
}

/// One stage of a random pipeline, before it has a name.
#[derive(Debug, Clone)]
struct Draft {
    producer: u8,
    fail: u8,
    to: usize,
    budget: u8,
    /// A stage beside the chain that the rollback goes to, and where its pass leads.
    aside: Option<usize>,
    idempotent: bool,
    infra: Infra,
}

/// Retries, first pause and longest pause, in seconds.
type Infra = (u32, u64, u64);

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let infra = (0..5_u32, 1..40_u64, 0..200_u64).prop_map(|(retries, base, more)| (retries, base, base + more));
    let ways = (0..6_u8, any::<usize>(), 0..3_u8, proptest::option::weighted(0.3, any::<usize>()));
    let draft =
        (0..4_u8, ways, any::<bool>(), infra).prop_map(|(producer, (fail, to, budget, aside), idempotent, infra)| {
            Draft { producer, fail, to, budget, aside, idempotent, infra }
        });
    proptest::collection::vec(draft, 1..7)
}

/// The text of a valid pipeline: a chain of stages with rollbacks to earlier ones, to themselves and to stages aside.
fn text(drafts: &[Draft], budgets: &[u32]) -> String {
    let mut text = "version: 1\nname: random\nbudgets:\n".to_owned();
    for (n, max) in budgets.iter().enumerate() {
        writeln!(text, "  b{n}: {max}").unwrap();
    }
    text.push_str("stages:\n");
    let mut asides = String::new();
    for (n, draft) in drafts.iter().enumerate() {
        let pass = if n + 1 < drafts.len() { format!("s{}", n + 1) } else { "done".to_owned() };
        let back = draft.to % (n + 1);
        let to = match draft.aside {
            Some(to) if draft.fail > 1 => {
                let back = format!("s{}", to % (n + 1));
                stage_text(&mut asides, &format!("fix{n}"), &Draft { producer: 0, ..draft.clone() }, &back, "hold");
                format!("fix{n}")
            }
            _ => format!("s{back}"),
        };
        let fail = match draft.fail {
            0 => "hold".to_owned(),
            1 => "failed".to_owned(),
            _ => format!("{{ rollback: {to}, charge: b{} }}", usize::from(draft.budget) % budgets.len()),
        };
        stage_text(&mut text, &format!("s{n}"), draft, &pass, &fail);
    }
    text + &asides
}

fn stage_text(text: &mut String, name: &str, draft: &Draft, pass: &str, fail: &str) {
    let idempotent = draft.idempotent;
    let (producer, rest) = match draft.producer {
        0 => (
            "agent: { profile: custom, prompt: p.md, command: [write] }".to_owned(),
            format!("artifact: {name}.md\n    gate: {{ key: status, pass: [READY], fail: [BLOCKED] }}"),
        ),
        1 => (
            format!("command: {{ command: [run], evidence: exit-code, idempotent: {idempotent} }}"),
            "gate: none".to_owned(),
        ),
        2 => (format!("test-runner: {{ command: [run], idempotent: {idempotent} }}"), "gate: none".to_owned()),
        _ => (
            format!("test-runner: {{ command: [run], idempotent: {idempotent} }}"),
            format!("artifact: {name}.md\n    gate: tests-passed"),
        ),
    };
    let (retries, base, cap) = draft.infra;
    writeln!(
        text,
        "  {name}:\n    producer:\n      {producer}\n    {rest}\n    transitions: {{ pass: {pass}, fail: {fail} }}\n    \
         infra: {{ retries: {retries}, backoff: {base}s..{cap}s }}"
    )
    .unwrap();
}

fn random_pipeline() -> impl Strategy<Value = Pipeline> {
    (drafts(), proptest::collection::vec(0..4_u32, 1..4))
        .prop_map(|(drafts, budgets)| pipeline(&text(&drafts, &budgets)))
}

fn any_settlement() -> impl Strategy<Value = Settlement> {
    // Verdicts and passing faults more often, so that walks become long.
    let all = settlements();
    let (passed, failed, lost) = (all[0].clone(), all[1].clone(), all[7].clone());
    prop_oneof![4 => Just(passed), 4 => Just(failed), 3 => Just(lost), 3 => proptest::sample::select(all)]
}

/// What an attempt came to, and whether its producer began.
type End = (Settlement, bool);

fn any_end() -> impl Strategy<Value = End> {
    (any_settlement(), any::<bool>())
}

/// What is done with a task that waits: by its run, a death, or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nudge {
    /// Its run waits for the retry time, or another run takes it up.
    Wait,
    /// Its run lets go of it before the time.
    LetGo,
    /// A person releases it.
    Release,
    /// A person lays it aside and takes it up again.
    LayAside,
    /// A person ends it.
    Cancel,
}

fn any_nudge() -> impl Strategy<Value = Nudge> {
    prop_oneof![
        6 => Just(Nudge::Wait),
        2 => Just(Nudge::LetGo),
        4 => Just(Nudge::Release),
        2 => Just(Nudge::LayAside),
        1 => Just(Nudge::Cancel),
    ]
}

/// A task on its way, every event of it, and what somebody outside did to it.
struct Journey<'a> {
    pipeline: &'a Pipeline,
    task: Task,
    log: Vec<Event>,
    runs: u32,
    attempts: u32,
    /// Releases, restarts and stops from outside: each may lead to further attempts.
    outside: u32,
}

impl<'a> Journey<'a> {
    fn new(pipeline: &'a Pipeline) -> Self {
        let log = vec![task_added()];
        let task = replay(&log).unwrap().unwrap();
        let mut new = Self { pipeline, task, log, runs: 0, attempts: 0, outside: 0 };
        new.start(pipeline.first().name.as_str());
        new
    }

    fn start(&mut self, place: &str) {
        self.runs += 1;
        self.apply(run_started(self.runs, place));
    }

    fn apply(&mut self, event: Event) {
        let once = step(Some(&self.task), &event).unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(Ok(&once), step(Some(&self.task), &event).as_ref(), "same input, same answer");
        lawful_step(&self.task, &event, &once.task);
        self.task = once.task;
        self.log.push(event);
    }

    fn refuses(&self, event: &Event) {
        assert!(step(Some(&self.task), event).is_err(), "{event:?} was taken by {:?}", self.task.state);
    }

    /// One attempt from a ready task to its decision, with every law of a single move checked.
    fn attempt(&mut self, (settlement, began): &End) -> Decision {
        let TaskState::Ready { run: _, stage, visit, number } = self.task.state.clone() else {
            panic!("{:?} is not ready", self.task)
        };
        let id = u32::try_from(self.log.len()).unwrap();
        let place = self.pipeline.stage(&stage).unwrap();
        let launched = Launched { producer: &place.producer, began: *began, infra: &place.infra, resets_in: None };
        let spent = self.task.spent.clone();
        let decision = decide(self.pipeline, place, &spent, launched, settlement);
        assert_eq!(decision, decide(self.pipeline, place, &spent, launched, settlement), "same input, same answer");
        assert_eq!(
            retry_of(&decision),
            retry_due_to(place, spent.retries, *began, settlement),
            "{settlement:?}, began: {began}"
        );
        self.apply(intended(self.runs, id, stage.as_str(), (visit, number)));
        self.apply(finished(id));
        self.apply(decided(id, settlement.clone(), decision.clone()));
        self.attempts += 1;
        let max = attempts_max(self.pipeline) * (1 + self.outside);
        assert!(self.attempts <= max, "{} attempts, at most {max} were promised", self.attempts);
        decision
    }

    /// Does with a waiting task what somebody wants; `false` where nobody moves it any more.
    fn nudge(&mut self, wish: Option<Nudge>) -> bool {
        let state = self.task.state.clone();
        match (&state, wish) {
            (TaskState::Waiting { run, number, .. }, None | Some(Nudge::Wait)) => {
                // Timers of an earlier run, of one that never was, and of another attempt.
                for (run, number) in [(self.runs + 1, number.get()), (self.runs, number.get() + 1)] {
                    self.refuses(&retry_due(run, number));
                }
                if self.runs > 1 {
                    self.refuses(&retry_due(self.runs - 1, number.get()));
                }
                assert_eq!(*run, run_id(self.runs));
                self.apply(retry_due(self.runs, number.get()));
            }
            (TaskState::Waiting { .. }, Some(Nudge::LetGo | Nudge::Release | Nudge::LayAside | Nudge::Cancel)) => {
                for early in [released(person()), paused(), cancelled()] {
                    self.refuses(&early);
                }
                self.apply(closed(self.runs, RunEnd::Interrupted));
            }
            (_, None) => return false,
            (TaskState::Deferred { stage, .. } | TaskState::Queued { stage: Some(stage) }, Some(Nudge::Wait)) => {
                self.start(stage.as_str());
            }
            (TaskState::Held { stage, .. }, Some(Nudge::Wait)) => {
                // A command starts it as it is: the log of an older store has that.
                self.outside += 1;
                self.start(stage.as_str());
            }
            (TaskState::Held { .. } | TaskState::Deferred { .. }, Some(Nudge::Release)) => {
                self.outside += 1;
                self.apply(released(person()));
            }
            (_, Some(Nudge::LayAside)) => {
                let before = self.task.clone();
                self.apply(paused());
                for other in [run_started(self.runs + 1, "s0"), released(person()), released(Releaser::Probe), paused()]
                {
                    self.refuses(&other);
                }
                self.apply(resumed());
                assert_eq!(self.task, before, "it goes on where it was laid aside");
            }
            (_, Some(Nudge::Cancel)) => self.apply(cancelled()),
            (_, Some(Nudge::LetGo | Nudge::Release | Nudge::Wait)) => {}
        }
        true
    }
}

/// Drives a task until it stops and nobody moves it any more.
fn drive(
    pipeline: &Pipeline,
    mut next: impl FnMut(&Task, &Stage) -> End,
    nudges: impl IntoIterator<Item = Nudge>,
) -> Journey<'_> {
    let mut nudges = nudges.into_iter();
    let mut journey = Journey::new(pipeline);
    loop {
        match journey.task.state.clone() {
            TaskState::Ready { stage, .. } => {
                let end = next(&journey.task, pipeline.stage(&stage).unwrap());
                let decision = journey.attempt(&end);
                if let TaskState::Held { .. } = journey.task.state {
                    journey.apply(closed(journey.runs, RunEnd::Held));
                }
                if decision == Decision::Interrupt {
                    journey.outside += 1;
                    journey.apply(closed(journey.runs, RunEnd::Interrupted));
                }
            }
            TaskState::Waiting { .. } | TaskState::Deferred { .. } | TaskState::Held { .. } => {
                if !journey.nudge(nudges.next()) {
                    return journey;
                }
            }
            TaskState::Queued { .. } => {
                let wish = nudges.next().map(|wish| if wish == Nudge::Release { Nudge::Wait } else { wish });
                if !journey.nudge(wish) {
                    return journey;
                }
            }
            state @ (TaskState::Running { .. } | TaskState::Paused { .. }) => panic!("{state:?} is left to itself"),
            TaskState::Done { .. } | TaskState::Failed { .. } | TaskState::Cancelled { .. } => return journey,
        }
    }
}

/// Counts what each visit was given, from the log alone.
fn lawful_retries(pipeline: &Pipeline, log: &[Event]) {
    let (mut retries, mut unknown) = (0, 0);
    let mut at_stage = None;
    for event in log {
        if let Event::HoldReleased { .. } = event {
            (retries, unknown) = (0, 0);
        }
        if let Event::AttemptIntended(intent) = event {
            if at_stage != Some((intent.stage.clone(), intent.visit)) {
                (retries, unknown) = (0, 0);
            }
            at_stage = Some((intent.stage.clone(), intent.visit));
        }
        let Event::AttemptDecided(decided) = event else { continue };
        let Some((nth, _, _)) = retry_of(&decided.decision) else { continue };
        (retries, unknown) = (retries + 1, unknown + u32::from(is_unknown(&decided.settlement)));
        let max = pipeline.stage(&at_stage.clone().unwrap().0).unwrap().infra.retries;
        assert_eq!(nth, retries, "the counter is that of the log");
        assert!(retries <= max && unknown <= 1, "{retries} retries of {max}, {unknown} for what nobody knows");
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_loop_ends(
        pipeline in random_pipeline(),
        ends in proptest::collection::vec(any_end(), 1..40),
        nudges in proptest::collection::vec(any_nudge(), 0..30),
    ) {
        let mut ends = ends.iter().cycle();
        let Journey { task, log, .. } = drive(&pipeline, |_, _| ends.next().unwrap().clone(), nudges);
        prop_assert_eq!(replay(&log), Ok(Some(task)), "replay of the events gives the same task");
        lawful_retries(&pipeline, &log);
        for (name, max) in pipeline.budgets() {
            let spent = log_rollbacks(&log, name.as_str());
            // Only a person who releases the hold of a spent budget fills it again.
            let filled = 1 + log_releases(&log, name.as_str());
            prop_assert!(spent <= *max * filled, "budget {} was charged {} times, {} are allowed", name, spent, max);
        }
    }

    /// The worst case: every fail that can be paid for, every rewrite and every retry that is given.
    #[test]
    fn even_the_longest_way_ends(pipeline in random_pipeline()) {
        let journey = drive(&pipeline, |task, stage| {
            let payable = match &stage.fail {
                OnFail::Rollback { charge, .. } => task.spent.of(charge) < pipeline.budget(charge),
                OnFail::Hold | OnFail::Failed => false,
            };
            let all = settlements();
            let settlement = if task.spent.retries < stage.infra.retries {
                &all[7]
            } else {
                match (stage.producer.kind().is_deterministic(), task.spent.rewrites, payable) {
                    (false, 0, _) => &all[2],
                    (_, _, true) => &all[1],
                    (_, _, false) => &all[0],
                }
            };
            (settlement.clone(), false)
        }, []);
        let done = matches!(journey.task.state, TaskState::Done { .. });
        prop_assert!(done && journey.attempts >= 1);
        prop_assert_eq!(replay(&journey.log), Ok(Some(journey.task)));
    }

    /// A wall clock that was set makes a wait shorter, never longer than it was meant.
    #[test]
    fn no_clock_makes_a_pause_longer(pause in 0..200_000_u64, due in any_second(), now in any_second()) {
        let second = |second: i64| jiff::Timestamp::from_second(second).unwrap();
        let wait = Deferral { pause: Duration::from_secs(pause), due: second(due), ..deferral() };
        let left = wait.left(second(now)).as_secs();
        prop_assert_eq!(left, u64::try_from(due - now).unwrap_or(0).min(pause));
    }

    /// Only `Settlement::Passed` of the attempt under way, after its end, opens the way: for any events in any order.
    #[test]
    fn no_order_of_events_opens_a_gate(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut task: Option<Task> = None;
        let mut accepted = Vec::new();
        for event in &events {
            let answer = step(task.as_ref(), event);
            prop_assert_eq!(&answer, &step(task.as_ref(), event));
            let Ok(next) = answer else { continue };
            if let Some(before) = &task {
                lawful_step(before, event, &next.task);
            }
            accepted.push(event.clone());
            task = Some(next.task);
        }
        prop_assert_eq!(replay(&accepted), Ok(task));
    }

    /// A log with one event that is not lawful is refused at that event.
    #[test]
    fn replay_stops_at_the_event_that_is_not_lawful(
        pipeline in random_pipeline(),
        ends in proptest::collection::vec(any_end(), 1..10),
        nudges in proptest::collection::vec(any_nudge(), 0..10),
        place in any::<prop::sample::Index>(),
    ) {
        let mut ends = ends.iter().cycle();
        let Journey { log, .. } = drive(&pipeline, |_, _| ends.next().unwrap().clone(), nudges);
        let at = place.index(log.len()) + 1;
        let mut forged = log.clone();
        forged.insert(at, task_added());
        let refused = replay(&forged).unwrap_err();
        prop_assert_eq!((refused.0, refused.1.event), (at, "task-added"));
    }
}

/// Seconds of the whole range that a time can have, the present more often.
fn any_second() -> impl Strategy<Value = i64> {
    let (first, last) = (jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
    prop_oneof![3 => 1_790_000_000..1_790_300_000_i64, 1 => first..=last]
}

/// A retry at the end of time is due then, and does not overflow.
#[test]
fn a_retry_is_due_when_it_was_decided_and_the_pause_is_over() {
    let pipeline = pipeline(&text(
        &[Draft { producer: 2, fail: 0, to: 0, budget: 0, aside: None, idempotent: true, infra: (3, 30, 600) }],
        &[1],
    ));
    for (decided_at, due) in
        [(at(), at() + Duration::from_secs(30)), (jiff::Timestamp::MAX - Duration::from_secs(5), jiff::Timestamp::MAX)]
    {
        let mut journey = Journey::new(&pipeline);
        journey.apply(intended(1, 1, "s0", (nth(1), nth(1))));
        journey.apply(finished(1));
        let Event::AttemptDecided(mut said) = decided(1, settlements()[7].clone(), retry(1, 3)) else { unreachable!() };
        said.at = decided_at;
        let task = step(Some(&journey.task), &Event::AttemptDecided(said)).unwrap().task;
        assert_eq!(task.state.deferral().map(|deferral| deferral.due), Some(due));
    }
}

fn log_rollbacks(log: &[Event], name: &str) -> u32 {
    let charged = |event: &&Event| matches!(event, Event::AttemptDecided(decided) if charge(&decided.decision) == Some(&budget(name)));
    u32::try_from(log.iter().filter(charged).count()).unwrap()
}

/// How often the hold of a budget was released.
fn log_releases(log: &[Event], name: &str) -> u32 {
    let mut releases = 0;
    let mut held_for = None;
    for event in log {
        if let Event::AttemptDecided(decided) = event {
            held_for = match &decided.decision {
                Decision::Hold(HoldReason::BudgetSpent { budget, .. }) => Some(budget.clone()),
                Decision::Hold(_)
                | Decision::Advance(_)
                | Decision::Rollback { .. }
                | Decision::Rewrite
                | Decision::Retry { .. }
                | Decision::Fail
                | Decision::Interrupt => None,
            };
        }
        if matches!(event, Event::HoldReleased { .. }) {
            releases += u32::from(held_for.take() == Some(budget(name)));
        }
    }
    releases
}

/// Events of a small world, so that many of them fit together.
fn any_event() -> impl Strategy<Value = Event> {
    let run = 1..3_u32;
    let attempt = 1..4_u32;
    let place = prop_oneof![Just("development"), Just("testing")];
    let place_too = place.clone();
    let ends = [RunEnd::Done, RunEnd::Failed, RunEnd::Held, RunEnd::Cancelled, RunEnd::Interrupted];
    prop_oneof![
        1 => Just(task_added()),
        3 => (run.clone(), place.clone()).prop_map(|(run, place)| run_started(run, place)),
        6 => (run.clone(), attempt.clone(), place, 1..3_u32, 1..3_u32)
            .prop_map(|(run, attempt, place, visit, number)| intended(run, attempt, place, (nth(visit), nth(number)))),
        6 => attempt.clone().prop_map(finished),
        6 => (attempt, any_settlement(), any_decision())
            .prop_map(|(attempt, settlement, decision)| {
                // Half of them fit: else hardly any would be accepted.
                let decision = decision.unwrap_or_else(|| fitting(&settlement));
                decided(attempt, settlement, decision)
            }),
        3 => (run.clone(), proptest::sample::select(ends.to_vec())).prop_map(|(run, end)| closed(run, end)),
        2 => (run.clone(), place_too, any_reason()).prop_map(|(run, place, reason)| stage_held(run, place, reason)),
        3 => (run, 1..4_u32).prop_map(|(run, number)| retry_due(run, number)),
        3 => any::<bool>().prop_map(|by_person| released(if by_person { person() } else { Releaser::Probe })),
        2 => Just(paused()),
        2 => Just(resumed()),
        1 => Just(cancelled()),
    ]
}

fn any_reason() -> impl Strategy<Value = HoldReason> {
    let after = any_settlement().prop_map(|settlement| hold_for(&settlement));
    prop_oneof![2 => Just(HoldReason::Approval), 2 => Just(switched_off()), 1 => after]
}

fn any_decision() -> impl Strategy<Value = Option<Decision>> {
    let any = prop_oneof![
        Just(Decision::Advance(Advance::Done)),
        Just(Decision::Advance(Advance::To(stage("testing")))),
        Just(Decision::Rollback { to: stage("development"), charge: budget("retry") }),
        Just(Decision::Rewrite),
        (1..4_u32, 0..4_u32).prop_map(|(nth, max)| retry(nth, max)),
        Just(Decision::Fail),
        Just(Decision::Interrupt),
        any_settlement().prop_map(|settlement| Decision::Hold(hold_for(&settlement))),
    ];
    proptest::option::of(any)
}

fn fitting(settlement: &Settlement) -> Decision {
    match settlement {
        Settlement::Passed => Decision::Advance(Advance::To(stage("testing"))),
        Settlement::Failed(_) => Decision::Rollback { to: stage("development"), charge: budget("retry") },
        Settlement::Cancelled(_) => Decision::Interrupt,
        Settlement::TransientInfra(_) => retry(1, 3),
        Settlement::Unreadable(_) | Settlement::TimedOut(..) | Settlement::PermanentEnv(_) => {
            Decision::Hold(hold_for(settlement))
        }
    }
}
