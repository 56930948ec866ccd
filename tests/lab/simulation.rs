//! The real runner, engine and store in a world that is made up: a seed decides who goes on, who dies and when, how
//! suites end, when the store is busy, which lock is stolen and where the clock jumps (RELIABILITY §7, layer 2).
//!
//! The runner is `orch::runner::Runner`, its store the `SqliteStore` on files in memory, its artifacts and logs real
//! files. Made up are git's view of the tree, the supervisors and time: [`orch::runner::World`]. Every runner has a
//! thread and goes on only when it is told to, one effect at a time, so that a seed has one course.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use orch::domain::decision::{Decision, Settlement};
use orch::domain::id::{AttemptId, Digest, TaskName};
use orch::domain::task::{Event, Task, TaskState};
use orch::engine::step;
use orch::runner::{RunError, Wanted};
use orch::store::sqlite::SqliteStore;
use orch::store::{RunFilter, Store as _, StoreError, Version};

use crate::draw::{Draw, Size, again, number, seed};
use crate::world::{Ground, Process, Shared, Slot, Truth};

/// Steps with faults of one seed, and steps that it may take to come to rest after them.
const FAULTY_STEPS: u32 = 120;
const STEPS_MAX: u32 = 2_000;

#[test]
fn seeds() {
    let first = number("ORCH_LAB_FIRST").unwrap_or_else(|| seed() * 1_000_000);
    let count = number("ORCH_LAB_SEEDS").unwrap_or(Size::wanted().of(200, 20_000));
    let begun = Instant::now();
    let next = Mutex::new(first);
    let (found, sum) = (Mutex::new(Vec::new()), Mutex::new(Course::default()));
    let late = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..late {
            scope.spawn(|| {
                let ground = Ground::new();
                loop {
                    let seed = {
                        let mut next = next.lock().unwrap();
                        *next += 1;
                        *next - 1
                    };
                    if seed >= first + count || found.lock().unwrap().len() > 10 {
                        return;
                    }
                    match course(&ground, seed) {
                        Ok(one) => sum.lock().unwrap().add(&one),
                        Err(what) => {
                            let repeat =
                                again(&[("ORCH_LAB_FIRST", &seed), ("ORCH_LAB_SEEDS", &1)], "simulation::seeds");
                            eprintln!("VIOLATION seed {seed}: {what}\nrepeat: {repeat}");
                            found.lock().unwrap().push(seed);
                        }
                    }
                }
            });
        }
    });
    let (found, sum) = (found.into_inner().unwrap(), sum.into_inner().unwrap());
    eprintln!(
        "simulation, {count} seeds from {first}: {} steps, {} commits, {} runners killed, {} supervisors killed, {} locks \
         stolen, {} times busy, {} clock jumps, {} attempts; {} violations, {:.0} s",
        sum.steps,
        sum.commits,
        sum.killed,
        sum.orphaned,
        sum.stolen,
        sum.busy,
        sum.jumps,
        sum.attempts,
        found.len(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(found.is_empty(), "seeds {found:?}");
    assert!(sum.killed > 0 && sum.orphaned > 0 && sum.stolen > 0 && sum.busy > 0 && sum.jumps > 0, "{sum:?}");
}

#[test]
fn a_seed_has_one_course() {
    let ground = Ground::new();
    for seed in 1..=Size::wanted().of(10, 200) {
        let [one, two] = [(); 2].map(|()| course(&ground, seed).unwrap().trace);
        assert_eq!(one, two, "seed {seed}");
    }
}

/// What became of a seed.
#[derive(Debug, Clone)]
struct Course {
    trace: Digest,
    steps: u64,
    commits: u64,
    killed: u64,
    orphaned: u64,
    stolen: u64,
    busy: u64,
    jumps: u64,
    attempts: u64,
}

impl Default for Course {
    fn default() -> Self {
        let trace = Digest::of(b"");
        Self { trace, steps: 0, commits: 0, killed: 0, orphaned: 0, stolen: 0, busy: 0, jumps: 0, attempts: 0 }
    }
}

impl Course {
    fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.commits += other.commits;
        self.killed += other.killed;
        self.orphaned += other.orphaned;
        self.stolen += other.stolen;
        self.busy += other.busy;
        self.jumps += other.jumps;
        self.attempts += other.attempts;
    }

    fn note(&mut self, what: &str) {
        if std::env::var_os("ORCH_LAB_TRACE").is_some() {
            eprintln!("{what}");
        }
        let mut bytes = self.trace.as_bytes().to_vec();
        bytes.extend_from_slice(what.as_bytes());
        self.trace = Digest::of(&bytes);
    }
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    GoOn(usize),
    Start(usize),
    Kill(usize),
    Steal(usize),
    Stop(usize),
    End(AttemptId),
    Orphan(AttemptId),
    Busy(usize),
    Jump,
    Release,
}

/// Plays one seed to its end.
fn course(ground: &Ground, seed: u64) -> Result<Course, String> {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let folder = tempfile::Builder::new().permissions(private).tempdir_in(ground.memory()).unwrap();
    let state = ground.state_dir(folder.path());
    std::fs::remove_dir_all(ground.worktree().toplevel().join("docs")).ok();
    let shared = Shared::new(seed);
    std::thread::scope(|scope| {
        let mut game = Play {
            draw: Draw::new(seed),
            course: Course::default(),
            store: SqliteStore::open(folder.path()).map_err(|error| format!("{error:?}"))?,
            seen: Seen::default(),
            shared: &shared,
            slots: [None, None],
            state: folder.path().to_owned(),
            looked: false,
        };
        let start = |slot: usize, wanted: Wanted| Slot::start(scope, ground, &shared, &state, slot, wanted);
        let done = game.play(ground, &start);
        // Nobody is left waiting, whatever was found.
        for slot in game.slots.iter_mut().filter_map(Option::take) {
            slot.kill();
        }
        done.map(|()| game.course)
    })
}

/// A seed that is being played.
struct Play<'p, 'scope> {
    draw: Draw,
    course: Course,
    store: SqliteStore,
    seen: Seen,
    shared: &'p Mutex<Shared>,
    slots: [Option<Slot<'scope>>; 2],
    state: PathBuf,
    /// Whether a run has looked after everything once the task was at rest.
    looked: bool,
}

impl<'scope> Play<'_, 'scope> {
    fn play(&mut self, ground: &Ground, start: &dyn Fn(usize, Wanted) -> Slot<'scope>) -> Result<(), String> {
        let mut last_look = false;
        for turn in 0..STEPS_MAX {
            let faulty = turn < FAULTY_STEPS && !last_look && !self.looked;
            let moves = self.moves(faulty, last_look);
            if moves.is_empty() {
                if self.looked {
                    return self.at_rest(ground);
                }
                // Once more, and nothing to do but to bring the copies back.
                last_look = true;
                continue;
            }
            let weight: u64 = moves.iter().map(|(_, weight)| weight).sum();
            let mut lot = self.draw.below(weight);
            let mut chosen = moves[0].0;
            for (one, weight) in moves {
                if lot < weight {
                    chosen = one;
                    break;
                }
                lot -= weight;
            }
            self.course.steps += 1;
            self.make(chosen, faulty, ground, start)?;
            if last_look && matches!(chosen, Move::Start(_)) {
                last_look = false;
                self.looked = true;
            }
            if self.shared.lock().unwrap().take_committed() {
                self.course.commits += 1;
                self.seen.follow(&self.store, self.shared, &mut self.course)?;
            }
        }
        Err(format!("it does not come to rest in {STEPS_MAX} steps: {:?}", self.seen.task))
    }

    /// What may happen, and how likely.
    fn moves(&self, faulty: bool, last_look: bool) -> Vec<(Move, u64)> {
        let shared = self.shared.lock().unwrap();
        let mut moves = Vec::new();
        let state = self.seen.task.as_ref().map(|task| &task.state);
        let rests = state.is_some_and(TaskState::is_terminal);
        let held = matches!(state, Some(TaskState::Held { .. }));
        let free = shared.holder.is_none();
        for (slot, there) in self.slots.iter().enumerate() {
            match there {
                Some(_) => {
                    moves.push((Move::GoOn(slot), 40));
                    if faulty {
                        moves.extend([(Move::Kill(slot), 2), (Move::Stop(slot), 1), (Move::Busy(slot), 1)]);
                    }
                }
                None if free && slot == 0 && (!rests || last_look) && !held => moves.push((Move::Start(slot), 10)),
                // Two at once: the lock went, as it does where somebody removes its file.
                None if !free && faulty => moves.push((Move::Steal(slot), 1)),
                None if free && faulty && !rests && !held => moves.push((Move::Start(slot), 5)),
                None => {}
            }
        }
        for (attempt, process) in &shared.processes {
            if process.runs() {
                moves.push((Move::End(*attempt), 12));
                if faulty {
                    moves.push((Move::Orphan(*attempt), 3));
                }
            }
        }
        if held && free {
            moves.push((Move::Release, 10));
        }
        if faulty && !moves.is_empty() {
            moves.push((Move::Jump, 1));
        }
        moves
    }

    fn make(
        &mut self,
        chosen: Move,
        faulty: bool,
        ground: &Ground,
        start: &dyn Fn(usize, Wanted) -> Slot<'scope>,
    ) -> Result<(), String> {
        match chosen {
            Move::GoOn(slot) => {
                let there = self.slots[slot].as_mut().unwrap();
                match there.go_on() {
                    Ok(place) => self.course.note(&format!("{slot} {place}")),
                    Err(ended) => {
                        self.slots[slot] = None;
                        let fenced = !self.shared.lock().unwrap().leaves(slot);
                        self.course.note(&format!("{slot} ends {}", ended.as_ref().map_or("badly", |()| "well")));
                        may_end_so(ended, fenced, self.course.stolen > 0)?;
                    }
                }
            }
            Move::Start(slot) | Move::Steal(slot) => {
                if matches!(chosen, Move::Steal(_)) {
                    self.course.stolen += 1;
                }
                self.shared.lock().unwrap().enters(slot);
                let max_wait = std::time::Duration::from_secs(if faulty { self.draw.below(2) * 7200 } else { 7200 });
                self.slots[slot] = Some(start(slot, Wanted { max_wait, ..Wanted::default() }));
                self.course.note(&format!("{slot} starts"));
            }
            Move::Kill(slot) => {
                self.slots[slot].take().unwrap().kill();
                self.shared.lock().unwrap().leaves(slot);
                self.course.killed += 1;
                self.course.note(&format!("{slot} dies"));
            }
            Move::Stop(slot) => {
                self.shared.lock().unwrap().stop[slot] = true;
                self.course.note(&format!("{slot} is asked to stop"));
            }
            Move::Busy(slot) => {
                self.shared.lock().unwrap().busy[slot] = true;
                self.course.busy += 1;
            }
            Move::Jump => {
                let day = 86_400_000;
                let by = i64::try_from(self.draw.below(2 * day)).unwrap() - i64::try_from(day).unwrap();
                self.shared.lock().unwrap().now += by;
                self.course.jumps += 1;
                self.course.note(&format!("the clock jumps by {by}"));
            }
            Move::End(attempt) => {
                let truth = match self.draw.below(if faulty { 10 } else { 3 }) {
                    3 | 4 => Truth::Fail,
                    5 | 6 => Truth::Net,
                    7 => Truth::Absent,
                    8 => Truth::Killed,
                    _ => Truth::Pass,
                };
                self.shared.lock().unwrap().end(attempt, truth);
                self.course.note(&format!("{attempt} does {truth:?}"));
            }
            Move::Orphan(attempt) => {
                self.shared.lock().unwrap().orphan(attempt);
                self.course.orphaned += 1;
                self.course.note(&format!("the supervisor of {attempt} dies"));
            }
            Move::Release => {
                ground.release(&self.state, self.shared)?;
                self.course.note("released");
            }
        }
        Ok(())
    }

    /// Everything at the end.
    fn at_rest(&mut self, ground: &Ground) -> Result<(), String> {
        let wrong = |what: String| Err(format!("at rest: {what}"));
        let store = &self.store;
        let audit = store.verify().map_err(|error| error.to_string())?;
        if !audit.is_clean() {
            return wrong(format!("{audit:?}"));
        }
        let task = TaskName::new("t").unwrap();
        let runs = store.runs(&RunFilter { task: Some(task), limit: None }).unwrap();
        let mut last = None;
        for run in runs.iter().rev() {
            if run.closing.is_none() {
                return wrong(format!("run {} was left open", run.start.run));
            }
            for attempt in store.attempts(run.start.run).unwrap() {
                if attempt.decided.is_none() {
                    return wrong(format!("attempt {} has no outcome", attempt.intent.attempt));
                }
                self.course.attempts += 1;
                last = attempt.decided;
            }
        }
        if let Some(published) = last.and_then(|decided| decided.artifact) {
            let there = std::fs::read(ground.worktree().toplevel().join(published.path.as_str())).ok();
            if there.is_none() || there != store.artifact(&published.digest).unwrap() {
                return wrong("the artifact in the worktree is not the store's (I11)".to_owned());
            }
        }
        if let Some(left) = store.pending_effects(None).unwrap().iter().find(|left| !left.id.starts_with("publish:")) {
            return wrong(format!("effect {} was left (I16)", left.id));
        }
        Ok(())
    }
}

/// Whether a runner may end so: one that lost its lock is refused, and may take the change from under the one that has it
/// now. Nobody else.
fn may_end_so(ended: Result<(), RunError>, fenced: bool, stolen: bool) -> Result<(), String> {
    match ended {
        Ok(()) | Err(RunError::Store(StoreError::Busy { .. })) => Ok(()),
        Err(RunError::Store(StoreError::Superseded { .. })) if stolen => Ok(()),
        Err(RunError::LockLost { .. }) if fenced => Ok(()),
        Err(error) => Err(format!("a runner ends so (lock lost: {fenced}): {error:?}")),
    }
}

/// The task as its events tell it, followed commit by commit.
#[derive(Default)]
struct Seen {
    version: Version,
    task: Option<Task>,
    decided: BTreeSet<String>,
    rollbacks: u32,
}

impl Seen {
    fn follow(&mut self, store: &SqliteStore, shared: &Mutex<Shared>, course: &mut Course) -> Result<(), String> {
        let name = TaskName::new("t").unwrap();
        let shared = shared.lock().unwrap();
        for record in store.events(&name, self.version).map_err(|error| error.to_string())? {
            let event = record.event;
            course.note(event.kind());
            let after = step(self.task.as_ref(), &event).map_err(|refused| format!("I9: {refused}"))?.task;
            if let Event::AttemptDecided(decided) = &event {
                if !self.decided.insert(decided.attempt.to_string()) {
                    return Err(format!("I3: {} is decided twice", decided.attempt));
                }
                self.rollbacks += u32::from(matches!(decided.decision, Decision::Rollback { .. }));
                lawful(decided.attempt, &decided.settlement, shared.processes.get(&decided.attempt))?;
            }
            if let (Event::RunStarted(_), Some(TaskState::Done { .. } | TaskState::Failed { .. })) =
                (&event, self.task.as_ref().map(|task| &task.state))
            {
                self.rollbacks = 0;
            }
            self.version = self.version.after(1);
            self.task = Some(after);
        }
        let stored = store.task(&name).map_err(|error| error.to_string())?;
        if stored.as_ref().map(|stored| (&stored.task, stored.version))
            != self.task.as_ref().map(|task| (task, self.version))
        {
            return Err(format!("I9: the events lead to {:?}, stored is {stored:?}", self.task));
        }
        let spent: u32 = self.task.iter().flat_map(|task| task.spent.budgets.values()).sum();
        // A person who releases a spent budget fills it again.
        if spent > self.rollbacks {
            return Err(format!("I12: {spent} charged for {} rollbacks", self.rollbacks));
        }
        let living = shared.processes.values().filter(|process| process.runs() && !process.by_zombie).count();
        if living > 1 {
            return Err("I4: two attempts of one task live".to_owned());
        }
        Ok(())
    }
}

/// What an attempt came to, against what it did.
fn lawful(attempt: AttemptId, settlement: &Settlement, process: Option<&Process>) -> Result<(), String> {
    // Who has no lock any more may still start what nobody waits for.
    if process.is_some_and(|process| process.by_zombie) {
        return Ok(());
    }
    let truth = process.and_then(Process::truth);
    let right = match settlement {
        Settlement::Passed => truth == Some(Truth::Pass),
        Settlement::Failed(_) => truth == Some(Truth::Fail),
        Settlement::TransientInfra(_) => !matches!(truth, Some(Truth::Pass | Truth::Fail | Truth::Absent)),
        Settlement::PermanentEnv(_) => truth == Some(Truth::Absent),
        Settlement::Cancelled(_) => truth.is_none(),
        Settlement::Unreadable(_) | Settlement::TimedOut(..) => false,
    };
    if right { Ok(()) } else { Err(format!("I1, I10, I12: {attempt} did {truth:?} and is {settlement:?}")) }
}
