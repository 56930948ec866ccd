//! What every engine must do, written against [`Store`] alone.

use orch::domain::decision::{Decision, Settlement};
use orch::domain::evidence::Exit;
use orch::domain::id::{Digest, RunId};
use orch::domain::pipeline::{Advance, ProducerKind};
use orch::domain::task::{AttemptPhase, Effect, Event, RunEnd, TaskState};
use orch::domain::visits::Visits;
use orch::store::{
    ArtifactBytes, Change, Holder, PinnedPipeline, Published, ROW_ARTIFACT_BYTES, RunFilter, Store, StoreError, Version,
};

use crate::build::{Life, PIPELINE, artifact_ref, at, attempt_id, name, run_id, stage};

/// An engine with an empty store; opening again gives another connection to the same store.
pub(crate) trait Engine: Sync {
    fn open(&self) -> Box<dyn Store>;
}

/// Commits what must go through.
pub(crate) fn keep(store: &mut dyn Store, change: &Change) -> Version {
    store.commit(change).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

fn assert_clean(store: &dyn Store) {
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.findings);
}

fn refused(result: Result<Version, StoreError>, part: &str) {
    match result {
        Err(StoreError::Refused { what, .. }) => assert!(what.contains(part), "{what}"),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_new_store_is_empty(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.tasks().unwrap(), []);
    assert_eq!(store.task(&name("x")).unwrap(), None);
    assert_eq!(store.run(run_id(1)).unwrap(), None);
    assert_eq!(store.attempt(attempt_id(1)).unwrap(), None);
    assert_eq!(store.events(&name("x"), Version::NONE).unwrap(), []);
    assert_eq!(store.artifact(&Digest::of(b"")).unwrap(), None);
    assert_eq!(store.pipeline(&Digest::of(b"")).unwrap(), None);
    assert_clean(&*store);
}

/// A whole life is read back from another connection, as records and as rows.
pub(crate) fn a_life_reads_back(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    for change in [life.added(), life.started("development"), life.advanced("testing", b"report")] {
        assert_eq!(keep(&mut *store, &change), change.version());
    }
    keep(&mut *store, &life.rolled_back("development"));
    keep(&mut *store, &life.finished("development"));
    drop(store);

    let mut store = engine.open();
    let found = store.task(&name("x")).unwrap().unwrap();
    assert_eq!((&found.task, found.version), (&life.task, life.version));
    let attempts = store.attempts(run_id(1)).unwrap();
    assert_eq!(attempts.iter().map(|found| found.intent.attempt).collect::<Vec<_>>(), [1, 2, 3].map(attempt_id));
    assert!(attempts[0].decided.as_ref().unwrap().artifact.is_some());
    assert_eq!(attempts[2].finished.as_ref().unwrap().record.attempt, attempt_id(3));
    assert!(attempts[2].decided.is_none());
    assert_eq!(store.attempt(attempt_id(2)).unwrap().as_ref(), attempts.get(1));
    assert_eq!(store.last_attempt(run_id(1), None).unwrap().as_ref(), attempts.last());
    assert_eq!(store.last_attempt(run_id(1), Some(&stage("testing"))).unwrap().as_ref(), attempts.get(1));
    assert_eq!(store.last_attempt(run_id(1), Some(&stage("deploy"))).unwrap(), None);
    let published = store.published(run_id(1)).unwrap();
    let seen = attempts.iter().map(|found| Published {
        attempt: found.intent.attempt,
        stage: found.intent.stage.clone(),
        artifact: found.decided.as_ref().and_then(|decided| decided.artifact.clone()),
    });
    assert_eq!(published, seen.collect::<Vec<_>>());
    assert_eq!(store.run(run_id(1)).unwrap().unwrap().closing, None);

    let events = vec![
        life.decided_event(Settlement::Passed, Decision::Advance(Advance::Done), None),
        life.closed_event(RunEnd::Done),
    ];
    let end = at(life.clock);
    keep(&mut *store, &life.change(TaskState::Done { run: run_id(1), at: end }, events));
    let run = store.run(run_id(1)).unwrap().unwrap();
    assert_eq!(run.closing.map(|closing| (closing.end, closing.at)), Some((RunEnd::Done, end)));
    assert_eq!(run.task, name("x"));
    assert_eq!(store.pipeline(&run.start.pipeline_digest).unwrap().unwrap(), PIPELINE);
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.findings);
    assert_eq!((audit.tasks, audit.runs, audit.attempts, audit.events), (1, 1, 3, 12));
    assert_eq!((audit.artifacts, audit.pipelines, audit.effects_pending), (1, 1, 1));
}

/// Rows D5 and H10: events come back in order, chained, from any point.
pub(crate) fn events_are_chained(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    let changes = [life.added(), life.started("testing"), life.advanced("deploy", b"report"), life.done()];
    for change in &changes {
        keep(&mut *store, change);
    }
    let all = store.events(&name("x"), Version::NONE).unwrap();
    let sent: Vec<Event> = changes.iter().flat_map(|change| change.events.clone()).collect();
    assert_eq!(all.iter().map(|record| record.event.clone()).collect::<Vec<_>>(), sent);
    assert_eq!(all[0].prev, Digest::from_bytes([0; 32]));
    for pair in all.windows(2) {
        assert_eq!(pair[1].prev, pair[0].hash);
        assert_eq!(pair[1].seq, pair[0].seq.after(1));
    }
    assert!(all.iter().all(|record| record.text.starts_with(r#"{"v":1,"#)));
    assert_eq!(store.task(&name("x")).unwrap().unwrap().head, all.last().unwrap().hash);
    for after in 0..=all.len() {
        let rest = store.events(&name("x"), Version::new(after as u64)).unwrap();
        assert_eq!(rest, all[after..]);
    }
    assert_eq!(store.events(&name("x"), Version::new(99)).unwrap(), []);
}

/// A writer with an old view changes nothing and is told what stands there.
pub(crate) fn the_version_guards(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    let added = life.added();
    keep(&mut *store, &added);
    match store.commit(&added) {
        Err(StoreError::Superseded { expected, found: Some(found), .. }) => {
            assert_eq!((expected, found.version), (Version::NONE, Version::new(1)));
            assert_eq!(found.task, added.next);
        }
        other => panic!("{other:?}"),
    }
    let mut late = life.clone();
    keep(&mut *store, &life.started("testing"));
    late.run = 5;
    late.attempt = 5;
    let error = store.commit(&late.started("testing")).unwrap_err();
    assert_eq!(error.to_string(), "task `x` has moved: running at `testing`, version 3 where 1 was expected");
    let mut absent = Life::new("y");
    absent.added();
    let error = store.commit(&absent.started("testing")).unwrap_err();
    assert!(matches!(error, StoreError::Superseded { found: None, .. }), "{error:?}");
    assert_eq!(store.runs(&RunFilter::default()).unwrap().len(), 1);
    assert_clean(&*store);
}

/// A state with visits of a stage that no event of the change enters is refused, not stored by half.
pub(crate) fn visits_are_those_of_the_events(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    keep(&mut *store, &life.added());
    let mut stray = life.clone().started("testing");
    stray.next.visits.enter(&stage("elsewhere"));
    refused(store.commit(&stray), "visits of 2 stages");
    keep(&mut *store, &life.started("testing"));
    keep(&mut *store, &life.rolled_back("development"));
    keep(&mut *store, &life.advanced("testing", b"report"));
    let found = store.task(&name("x")).unwrap().unwrap().task.visits;
    assert_eq!(found, Visits::from_iter([(stage("development"), 1), (stage("testing"), 2)]));
}

/// What is refused leaves nothing: no event, no row, no artifact, no effect.
pub(crate) fn a_refusal_leaves_nothing(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    keep(&mut *store, &life.added());
    keep(&mut *store, &life.started("testing"));
    let before = life.clone();
    let mut change = life.advanced("deploy", b"report");
    // The last of its events names an attempt that is not live.
    change.events.push(before.clone().finished_event());
    refused(store.commit(&change), "not live and unfinished");
    assert_eq!(store.task(&name("x")).unwrap().unwrap().version, before.version);
    assert_eq!(store.events(&name("x"), Version::NONE).unwrap().len(), 3);
    assert_eq!(store.artifact(&Digest::of(b"report")).unwrap(), None);
    assert_eq!(store.pending_effects(None).unwrap(), []);
    assert_eq!(store.attempts(run_id(1)).unwrap().len(), 1);
    // The same connection goes on.
    let mut again = before;
    keep(&mut *store, &again.advanced("deploy", b"report"));
    assert_clean(&*store);
}

/// Contradictions between events, rows and the state are refused by name.
pub(crate) fn contradictions_are_refused(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");

    let mut empty = life.clone().added();
    empty.events.clear();
    refused(store.commit(&empty), "no event");
    let mut other = life.clone().added();
    other.next.name = name("y");
    refused(store.commit(&other), "task `y`");
    let mut headless = life.clone();
    headless.version = Version::NONE;
    refused(store.commit(&headless.started("testing")), "task-added");
    let mut forged = life.clone().added();
    forged.artifacts = vec![ArtifactBytes { digest: Digest::of(b"a"), bytes: b"b".to_vec() }];
    refused(store.commit(&forged), "another hash");

    keep(&mut *store, &life.added());
    let mut twice = life.clone();
    let event = twice.added_event();
    refused(store.commit(&twice.change(TaskState::Queued { stage: None }, vec![event])), "task-added");
    let mut unpinned = life.clone().started("testing");
    unpinned.pipelines.clear();
    refused(store.commit(&unpinned), "FOREIGN KEY");
    let mut asleep = life.clone().started("testing");
    asleep.next.state = TaskState::Queued { stage: None };
    refused(store.commit(&asleep), "its state calls run none live");
    let mut ready = life.clone().started("testing");
    ready.next.state = TaskState::Ready {
        run: run_id(1),
        stage: stage("testing"),
        visit: crate::build::one(),
        number: crate::build::one(),
    };
    refused(store.commit(&ready), "its state calls attempt none live");

    keep(&mut *store, &life.started("testing"));
    let mut second = life.clone();
    refused(store.commit(&second.started("testing")), "");
    let mut parallel = life.clone();
    let event = parallel.intended_event("testing");
    let state = parallel.running("testing", AttemptPhase::Intended);
    refused(store.commit(&parallel.change(state, vec![event])), "UNIQUE");
    let mut parallel = life.clone();
    let event = parallel.intended_event("deploy");
    let state = parallel.running("deploy", AttemptPhase::Intended);
    refused(store.commit(&parallel.change(state, vec![event])), "its events leave");
    let mut abandoned = life.clone();
    let event = abandoned.closed_event(RunEnd::Interrupted);
    let queued = TaskState::Queued { stage: Some(stage("testing")) };
    refused(store.commit(&abandoned.change(queued, vec![event])), "is not live, or an attempt of it is");
    let mut foreign = Life::numbered("y", 0);
    keep(&mut *store, &foreign.added());
    foreign.attempt = 1;
    let event = foreign.finished_event();
    refused(store.commit(&foreign.change(TaskState::Queued { stage: None }, vec![event])), "not live and unfinished");
    let mut missing = life.clone().advanced("deploy", b"report");
    missing.artifacts.clear();
    refused(store.commit(&missing), "FOREIGN KEY");
    assert_clean(&*store);
}

/// Rows H3 and H5: an attempt ends once, a run closes once.
pub(crate) fn an_end_is_final(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    for change in [life.added(), life.started("testing"), life.finished("testing")] {
        keep(&mut *store, &change);
    }
    let mut again = life.clone();
    refused(store.commit(&again.finished("testing")), "not live and unfinished");
    let held = life.held("testing");
    let mut held = Change { events: held.events.into_iter().skip(1).collect(), ..held };
    life.version = held.version();
    held.next = life.task.clone();
    keep(&mut *store, &held);
    for event in [
        life.clone().decided_event(Settlement::Passed, Decision::Advance(Advance::Done), None),
        life.clone().closed_event(RunEnd::Done),
        life.clone().intended_event("testing"),
    ] {
        let mut again = life.clone();
        let state = again.task.state.clone();
        refused(store.commit(&again.change(state, vec![event])), "live");
    }
    let attempt = store.attempt(attempt_id(1)).unwrap().unwrap();
    assert_eq!(attempt.decided.unwrap().settlement, Settlement::Failed(vec!["one test".to_owned()]));
    // A rerun is a new run.
    keep(&mut *store, &life.started("testing"));
    assert_eq!(store.runs(&RunFilter::default()).unwrap().len(), 2);
    assert_clean(&*store);
}

/// Rows I1 and I2: whichever way a task gets back to the queue, nothing of its run stays with it.
pub(crate) fn a_queued_task_has_no_owner(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    let holder = Some(Holder { owner: "host 1 since 12:00".to_owned(), pid: 4711 });
    keep(&mut *store, &Change { holder: holder.clone(), ..life.added() });
    assert_eq!(store.task(&name("x")).unwrap().unwrap().holder, None);
    keep(&mut *store, &Change { holder: holder.clone(), ..life.started("testing") });
    assert_eq!(store.task(&name("x")).unwrap().unwrap().holder, holder);
    keep(&mut *store, &Change { holder, ..life.interrupted("testing") });
    let found = store.task(&name("x")).unwrap().unwrap();
    assert_eq!((found.task.state.status(), found.holder), ("queued", None));
    let attempt = store.attempt(attempt_id(1)).unwrap().unwrap();
    assert!(attempt.finished.is_none());
    assert_eq!(attempt.decided.unwrap().outcome, None);
    assert_clean(&*store);
}

/// A task that waits keeps its run and its holder while the run waits with it, and neither once the run let go.
pub(crate) fn a_waiting_task_reads_back(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    let holder = Some(Holder { owner: "host 1 since 12:00".to_owned(), pid: 4711 });
    keep(&mut *store, &life.added());
    keep(&mut *store, &Change { holder: holder.clone(), ..life.started("testing") });
    let attempt = attempt_id(life.attempt);
    let standing = |store: &mut dyn Store, change: Change, status: &str, held: bool| {
        keep(store, &change);
        let found = engine.open().task(&name("x")).unwrap().unwrap();
        assert_eq!(found.task, change.next);
        let holder = holder.clone().filter(|_| held);
        assert_eq!((found.task.state.status(), found.holder), (status, holder));
        assert_clean(store);
    };
    standing(&mut *store, Change { holder: holder.clone(), ..life.waiting("testing") }, "deferred", true);
    let decided = store.attempt(attempt).unwrap().unwrap().decided.unwrap();
    assert!(matches!(decided.decision, Decision::Retry { retry: 1, max: 3, .. }), "{:?}", decided.decision);
    // Nobody else's run may start, and the attempt that was waited out is final.
    refused(store.commit(&life.clone().started("testing")), "UNIQUE");
    refused(store.commit(&life.clone().finished("testing")), "not live");
    standing(&mut *store, Change { holder: holder.clone(), ..life.deferred() }, "deferred", false);
    let before = life.task.state.clone();
    standing(&mut *store, life.paused(), "paused", false);
    standing(&mut *store, life.resumed(), "deferred", false);
    assert_eq!(life.task.state, before);
    standing(&mut *store, life.released("testing"), "queued", false);
    standing(&mut *store, life.paused(), "paused", false);
    standing(&mut *store, life.cancelled(), "cancelled", false);
}

/// A task may be laid aside, taken up and ended before its first run.
pub(crate) fn a_new_task_may_be_paused(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    for change in [life.added(), life.paused(), life.resumed(), life.paused(), life.cancelled()] {
        keep(&mut *store, &change);
        assert_eq!(engine.open().task(&name("x")).unwrap().unwrap().task, change.next);
    }
    assert_clean(&*store);
}

/// An approval is held before a start, and answered by an attempt without a process.
pub(crate) fn an_answer_is_an_attempt(engine: &dyn Engine) {
    for (approved, status) in [(true, "done"), (false, "failed")] {
        let mut store = engine.open();
        let mut life = Life::numbered(status, if approved { 0 } else { 50 });
        for change in [life.added(), life.asked("review"), life.answered("review", approved)] {
            keep(&mut *store, &change);
            assert_eq!(store.task(&name(status)).unwrap().unwrap().task, change.next);
        }
        let attempt = store.attempt(attempt_id(life.attempt)).unwrap().unwrap();
        assert_eq!(attempt.intent.producer, ProducerKind::Approval);
        match attempt.finished.unwrap().record.exit {
            Exit::Answered(answer) => assert_eq!((answer.approved, answer.by.as_str()), (approved, "ada")),
            other => panic!("{other:?}"),
        }
        assert_clean(&*store);
    }
}

/// A change may lead into a stage and end elsewhere: the visit is kept.
pub(crate) fn a_visit_outlives_its_change(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    keep(&mut *store, &life.added());
    keep(&mut *store, &life.started("testing"));
    let onward = Decision::Advance(Advance::To(stage("deploy")));
    let mut events = vec![life.finished_event(), life.decided_event(Settlement::Passed, onward, None)];
    events.push(life.closed_event(RunEnd::Interrupted));
    life.task.visits.enter(&stage("deploy"));
    let Change { events: last, .. } = life.clone().cancelled();
    events.extend(last);
    let end = at(life.clock + 1);
    keep(&mut *store, &life.change(TaskState::Cancelled { at: end }, events));
    assert_eq!(store.task(&name("x")).unwrap().unwrap().task.visits, life.task.visits);
    assert_clean(&*store);
}

/// Row D7: small artifacts and large ones come back as they were, from the same call.
pub(crate) fn artifacts_read_back(engine: &dyn Engine) {
    let mut store = engine.open();
    let sizes = [0, 1, ROW_ARTIFACT_BYTES, ROW_ARTIFACT_BYTES + 1, 3_000_000];
    let all: Vec<Vec<u8>> = sizes.iter().map(|size| (0..=250).cycle().take(*size).collect()).collect();
    let mut life = Life::new("x");
    let mut change = life.added();
    change.artifacts = all.iter().cloned().map(ArtifactBytes::of).collect();
    // The same bytes twice are one artifact.
    change.artifacts.push(ArtifactBytes::of(Vec::new()));
    keep(&mut *store, &change);
    let store = engine.open();
    for bytes in &all {
        assert!(store.artifact(&Digest::of(bytes)).unwrap().as_ref() == Some(bytes), "{} bytes", bytes.len());
    }
    assert_eq!(store.verify().unwrap().artifacts, 5);
}

/// Effects are asked for once, stay until they are marked, and are marked by the next change as well.
pub(crate) fn effects_are_done_once(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    keep(&mut *store, &life.added());
    keep(&mut *store, &life.started("a"));
    keep(&mut *store, &life.advanced("b", b"first"));
    let mut other = Life::numbered("y", 100);
    keep(&mut *store, &other.added());
    keep(&mut *store, &other.started("a"));
    keep(&mut *store, &other.advanced("b", b"second"));

    let pending = store.pending_effects(None).unwrap();
    assert_eq!(pending.iter().map(|effect| effect.task.clone()).collect::<Vec<_>>(), [name("x"), name("y")]);
    assert_eq!(store.pending_effects(Some(&name("y"))).unwrap(), pending[1..]);
    let expected = Effect::PublishArtifact { attempt: attempt_id(1), artifact: artifact_ref(b"first") };
    assert_eq!(pending[0].effect, expected);

    store.effect_done(&pending[1].id).unwrap();
    store.effect_done(&pending[1].id).unwrap();
    assert!(matches!(store.effect_done("publish:nothing"), Err(StoreError::NoEffect { .. })));
    let mut change = life.advanced("c", b"third");
    change.done = vec![pending[0].id.clone()];
    // Asked for again, it stays done.
    change.effects.push(expected);
    keep(&mut *store, &change);
    let left = store.pending_effects(None).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].effect.id(), format!("publish:{}:{}", attempt_id(2), Digest::of(b"third")));

    let mut change = life.advanced("d", b"fourth");
    change.done = vec!["publish:nothing".to_owned()];
    assert!(matches!(store.commit(&change), Err(StoreError::NoEffect { .. })));
    assert_clean(&*store);
}

/// One sync for many tasks: each change is taken or refused by itself.
pub(crate) fn a_group_is_taken_one_by_one(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut lives: Vec<Life> = (0..5).map(|at| Life::numbered(&format!("t{at}"), at * 10)).collect();
    let mut changes: Vec<Change> = lives.iter_mut().map(Life::added).collect();
    // One that stands there already, one that contradicts itself, one that refers to nothing.
    keep(&mut *store, &changes[1].clone());
    changes[2].events.clear();
    let mut unpinned = lives[0].started("testing");
    unpinned.pipelines.clear();
    changes.push(unpinned);
    let results = store.commit_all(&changes).unwrap();
    assert_eq!(results.len(), 6);
    assert_eq!(*results[0].as_ref().unwrap(), Version::new(1));
    assert!(matches!(results[1], Err(StoreError::Superseded { .. })), "{:?}", results[1]);
    assert!(matches!(results[2], Err(StoreError::Refused { .. })), "{:?}", results[2]);
    assert!(results[3].is_ok() && results[4].is_ok());
    assert!(matches!(results[5], Err(StoreError::Refused { .. })), "{:?}", results[5]);
    assert_eq!(store.tasks().unwrap().len(), 4);
    assert_clean(&*store);
}

/// As many as are driven, wait or were left; the others are not even read.
pub(crate) fn live_tasks_are_those_that_a_run_owns(engine: &dyn Engine) {
    let mut store = engine.open();
    assert!(store.live_tasks().unwrap().is_empty());
    for (at, name) in (0..).zip(["queued", "running", "waiting", "deferred", "held", "done"]) {
        let mut life = Life::numbered(name, at * 10);
        keep(&mut *store, &life.added());
        if name != "queued" {
            keep(&mut *store, &life.started("testing"));
        }
        if name == "waiting" || name == "deferred" {
            keep(&mut *store, &life.waiting("testing"));
        }
        if name == "deferred" {
            keep(&mut *store, &life.deferred());
        }
        if name == "held" {
            keep(&mut *store, &life.held("testing"));
        }
        if name == "done" {
            keep(&mut *store, &life.done());
        }
    }
    let live: Vec<_> = store.live_tasks().unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(live.iter().map(|found| found.task.name.as_str()).collect::<Vec<_>>(), ["running", "waiting"]);
    for found in live {
        assert_eq!(store.task(&found.task.name).unwrap(), Some(found));
    }
}

pub(crate) fn runs_are_listed_newest_first(engine: &dyn Engine) {
    let mut store = engine.open();
    // Ids against the order of time: order is that of events.
    let (mut late, mut early) = (Life::numbered("late", 0), Life::numbered("early", 500));
    for life in [&mut early, &mut late] {
        keep(&mut *store, &life.added());
        for _ in 0..3 {
            keep(&mut *store, &life.started("testing"));
            keep(&mut *store, &life.held("testing"));
        }
    }
    let list = |filter: RunFilter| -> Vec<RunId> {
        store.runs(&filter).unwrap().iter().map(|record| record.start.run).collect()
    };
    assert_eq!(list(RunFilter::default()), [3, 2, 1, 503, 502, 501].map(run_id));
    assert_eq!(list(RunFilter { limit: Some(2), task: None }), [3, 2].map(run_id));
    assert_eq!(list(RunFilter { limit: Some(2), task: Some(name("early")) }), [503, 502].map(run_id));
    assert_eq!(list(RunFilter { limit: None, task: Some(name("nobody")) }), []);
    assert_eq!(list(RunFilter { limit: Some(0), task: None }), []);
}

pub(crate) fn ids_are_found_by_prefix(engine: &dyn Engine) {
    let mut store = engine.open();
    for number in 0..12 {
        let mut life = Life::numbered(&format!("t{number}"), number * 16);
        keep(&mut *store, &life.added());
        keep(&mut *store, &life.started("testing"));
    }
    let whole = run_id(1).to_string();
    assert_eq!(store.find_run(&whole).unwrap(), run_id(1));
    assert_eq!(store.find_run(&whole.replace('-', "").to_uppercase()).unwrap(), run_id(1));
    assert_eq!(store.find_attempt(&attempt_id(17).to_string()).unwrap(), attempt_id(17));
    match store.find_run("0199f0c4") {
        Err(StoreError::Ambiguous { kind: "run", candidates, more: true, .. }) => assert_eq!(candidates.len(), 10),
        other => panic!("{other:?}"),
    }
    let common = whole.get(..34).unwrap();
    match store.find_run(common) {
        Err(StoreError::Ambiguous { candidates, .. }) => assert_eq!(candidates[0], whole),
        other => panic!("{other:?}"),
    }
    for none in ["", "ffff", "../../etc", "%", "0199f0c4-0000-7000-8000-000000000001-", "é"] {
        let error = store.find_attempt(none).unwrap_err();
        assert!(matches!(error, StoreError::NoSuch { kind: "attempt", .. }), "{none}: {error:?}");
    }
}

/// Row I8: whoever races for a version, exactly one wins it, and nobody is turned away busy.
pub(crate) fn racing_writers_win_once(engine: &dyn Engine) {
    const WRITERS: u64 = 16;
    const WINS: u64 = 12;
    keep(&mut *engine.open(), &Life::new("x").added());
    let won: Vec<Vec<Version>> = std::thread::scope(|scope| {
        let race = |writer: u64| {
            let mut store = engine.open();
            let mut won = Vec::new();
            while (won.len() as u64) < WINS {
                let found = store.task(&name("x")).unwrap().unwrap();
                let mut life = Life::numbered("x", writer * 1000 + found.version.get());
                (life.task, life.version) = (found.task, found.version);
                let change = match life.task.state {
                    TaskState::Queued { .. } => life.started("testing"),
                    TaskState::Running { run, attempt, .. } => {
                        life.run = (0..WRITERS * 2000).find(|number| run_id(*number) == run).unwrap();
                        life.attempt = (0..WRITERS * 2000).find(|number| attempt_id(*number) == attempt).unwrap();
                        life.interrupted("testing")
                    }
                    ref state @ (TaskState::Ready { .. }
                    | TaskState::Waiting { .. }
                    | TaskState::Deferred { .. }
                    | TaskState::Paused { .. }
                    | TaskState::Held { .. }
                    | TaskState::Done { .. }
                    | TaskState::Failed { .. }
                    | TaskState::Cancelled { .. }) => panic!("{state:?}"),
                };
                match store.commit(&change) {
                    Ok(version) => won.push(version),
                    Err(StoreError::Superseded { found: Some(found), .. }) => assert!(found.version > change.expected),
                    Err(error) => panic!("{error}: {error:?}"),
                }
            }
            won
        };
        let threads: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || race(writer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut versions: Vec<Version> = won.into_iter().flatten().collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len() as u64, WRITERS * WINS, "a version was won twice");
    let store = engine.open();
    // Every change had two events.
    assert_eq!(store.task(&name("x")).unwrap().unwrap().version, Version::new(1 + 2 * WRITERS * WINS));
    assert_eq!(*versions.last().unwrap(), Version::new(1 + 2 * WRITERS * WINS));
    assert_clean(&*store);
}

/// Writers of different tasks do not turn each other away either.
pub(crate) fn writers_of_different_tasks_all_succeed(engine: &dyn Engine) {
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                let mut store = engine.open();
                let mut life = Life::numbered(&format!("t{writer}"), writer * 1000);
                keep(&mut *store, &life.added());
                keep(&mut *store, &life.started("s0"));
                for at in 1..25 {
                    keep(&mut *store, &life.advanced(&format!("s{at}"), format!("report {writer} {at}").as_bytes()));
                }
            });
        }
    });
    let store = engine.open();
    assert_eq!(store.tasks().unwrap().len(), 8);
    let audit = store.verify().unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.findings);
    assert_eq!(audit.attempts, 8 * 25);
}

/// The same pipeline may be pinned by any number of runs.
pub(crate) fn a_pipeline_is_kept_once(engine: &dyn Engine) {
    let mut store = engine.open();
    let mut life = Life::new("x");
    let mut change = life.added();
    change.pipelines = vec![PinnedPipeline::of(b"other".to_vec()), PinnedPipeline::of(b"other".to_vec())];
    keep(&mut *store, &change);
    keep(&mut *store, &life.started("testing"));
    keep(&mut *store, &life.held("testing"));
    keep(&mut *store, &life.started("testing"));
    assert_eq!(store.pipeline(&Digest::of(b"other")).unwrap().unwrap(), b"other");
    assert_eq!(store.verify().unwrap().pipelines, 2);
}
