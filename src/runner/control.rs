//! The control run: whether the change or the environment is at fault for an end that says nothing (DESIGN D16,
//! docs/design/0014).
//!
//! ```text
//! the end proves nothing ─▶ the same command at the base commit, in a sibling worktree
//!    cannot run there either ─▶ the environment          runs ─▶ the change once more, in a sibling made in the same way
//!                                                          ends as before ─▶ the change      ends otherwise ─▶ nobody
//! ```
//!
//! Its processes run under the run's supervisor with the stage's limits, have exit records of their own, and decide nothing
//! by themselves. What is left of one whose runner died is ended and taken away by the next run.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::classify::classify_suite;
use crate::domain::control::{Control, ControlRun};
use crate::domain::evidence::{Evidence, ExitRecord, TreeFacts};
use crate::domain::id::{AttemptId, Digest, Nonce};
use crate::domain::outcome::{Conclusion, Outcome, Rule};
use crate::domain::pipeline::{Producer, Stage, Suite};
use crate::domain::plan::{AttemptKey, AttemptPlan};
use crate::engine::{Site, StagingSite, ambiguous, plan, search_path};
use crate::exec::{self, BootId, longest};
use crate::producer::{gather, prepare};
use crate::workspace::controls::{Answers, Found, UnderWay};
use crate::workspace::git::Git;
use crate::workspace::root::Root;
use crate::workspace::sibling::{self, Carried, Unequal};
use crate::workspace::tree::Less;
use crate::workspace::worktree::CommitId;

use super::bench::Bench;
use super::drive::{Course, Runner};
use super::error::{RunError, chain};
use super::judge::{Judged, Scene, judge};
use super::notice::Notice;
use super::start::reports_below;
use super::watch::Watch;

/// Pause between two looks at whether another runner has its answer.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// An attempt whose end says nothing.
#[derive(Clone, Copy)]
struct Suspect<'a> {
    stage: &'a Stage,
    producer: &'a Producer,
    plan: &'a AttemptPlan,
    record: &'a ExitRecord,
    evidence: &'a Evidence,
}

/// Why there is no answer.
enum NoAnswer {
    Refused(String),
    Error(RunError),
}

impl From<RunError> for NoAnswer {
    fn from(error: RunError) -> Self {
        Self::Error(error)
    }
}

impl From<Unequal> for NoAnswer {
    fn from(unequal: Unequal) -> Self {
        match unequal {
            Unequal::Because(why) => Self::Refused(why),
            Unequal::Git(error) => Self::Refused(format!("could not {}", chain(&error))),
        }
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, NoAnswer> {
    Err(NoAnswer::Refused(why.into()))
}

/// What both siblings have in common.
struct Conditions {
    path: PathBuf,
    /// Whether they are on a branch, as the worktree is.
    on_branch: bool,
    carried: Carried,
    /// What the change has beside its commit.
    uncommitted: Vec<PathBuf>,
}

/// Which of the two siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Base,
    Change,
}

/// A control's process, ended.
struct Ran {
    control: ControlRun,
    outcome: Option<Outcome>,
    evidence: Evidence,
}

impl Runner<'_> {
    /// Judges an attempt; where its end says nothing, with what a control run says.
    pub(super) fn judge_or_control(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        scene: Scene<'_>,
        tree: TreeFacts,
    ) -> Result<Judged, RunError> {
        let judged = judge(scene, Some(tree.clone()));
        let Scene { stage, producer, plan, record, .. } = scene;
        let suspect = Suspect { stage, producer, plan, record, evidence: &judged.evidence };
        let control = self.control(course, bench, suspect)?;
        if control.is_none() {
            return Ok(judged);
        }
        // Without a verdict nothing was published; now there may be one.
        Ok(judge(Scene { control: control.as_ref(), ..scene }, Some(tree)))
    }

    /// Makes a control run where an end asks for one. `None` where none is asked for, or it is switched off.
    fn control(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        suspect: Suspect<'_>,
    ) -> Result<Option<Control>, RunError> {
        let Producer::TestRunner(suite) = suspect.producer else { return Ok(None) };
        if !ambiguous(suspect.evidence) || !self.settings.control_run() || self.world.git().is_none() {
            return Ok(None);
        }
        match self.attribute(course, bench, suspect, suite) {
            Ok(control) => Ok(Some(control)),
            Err(NoAnswer::Refused(why)) => {
                (self.notify)(Notice::Warning(format!(
                    "stage `{}`: no control run says who is at fault: {why}",
                    suspect.stage.name
                )));
                Ok(Some(Control::Refused { why }))
            }
            Err(NoAnswer::Error(error)) => Err(error),
        }
    }

    fn attribute(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        suspect: Suspect<'_>,
        suite: &Suite,
    ) -> Result<Control, NoAnswer> {
        let conditions = self.conditions(course, suite)?;
        let head = course.tree.head().commit.clone();
        let base =
            CommitId::new(&course.base_commit).or_else(|_| refuse(format!("`{}` is no commit", course.base_commit)))?;
        let answers = self.answers(suspect, &base, &conditions)?;
        let (runs, base) = if let Some(known) = answers.since(suspect.record.ended_at) {
            (known.runs, ControlRun { shared: true, ..known.base })
        } else {
            (self.notify)(Notice::Warning(format!(
                "stage `{}` ended and nothing says why; running the same command at the base commit {}",
                suspect.stage.name,
                base.short()
            )));
            let at = self.clock.now();
            let ran = self.run_at(course, bench, suspect, (&base, Side::Base), &conditions)?;
            let runs = answer_of(&ran)?;
            if let Err(error) = answers.keep(at, runs, &ran.control) {
                tracing::debug!(%error, "the answer of a control run was not kept");
            }
            (runs, ran.control)
        };
        drop(answers);
        let base = Box::new(base);
        if !runs {
            return Ok(Control::BaseCannotRun { base });
        }
        let again = self.run_at(course, bench, suspect, (&head, Side::Change), &conditions)?;
        let same = ambiguous(&again.evidence) && again.control.exit == suspect.record.exit;
        let change = Box::new(again.control);
        Ok(if same { Control::BaseRuns { base, change } } else { Control::Unsteady { base, change } })
    }

    fn git(&self) -> Result<&Git<'_>, NoAnswer> {
        self.world.git().map_or_else(|| refuse("there is no git"), Ok)
    }

    /// What has to be equal, or what cannot be made so.
    fn conditions(&self, course: &Course, suite: &Suite) -> Result<Conditions, NoAnswer> {
        let head = course.tree.head();
        if !suite.idempotent {
            return refuse("the stage says that its command is not to be started twice (`idempotent: false`)");
        }
        let uncommitted = sibling::uncommitted(self.worktree, &course.tree)?;
        if head.commit.as_str() == course.base_commit && uncommitted.is_empty() {
            return refuse("the worktree is the base commit itself");
        }
        let Some(path) = sibling::place(self.worktree) else {
            return refuse("there is no folder beside the worktree");
        };
        let places = self.pipeline.stages().iter().flat_map(reports_below).cloned();
        let less = Less::new(self.artifacts_folder(self.pipeline), places);
        let carried = sibling::carried(self.git()?, self.worktree, &less)?;
        Ok(Conditions { path, on_branch: head.branch.is_some(), carried, uncommitted })
    }

    /// Waits for its turn to ask a base commit, so that it is asked once by all whose attempts ended before.
    fn answers(&self, suspect: Suspect<'_>, base: &CommitId, conditions: &Conditions) -> Result<Answers, NoAnswer> {
        let key = self.key_of(suspect, base, conditions);
        let longest = suspect.plan.limits.total.saturating_add(suspect.plan.limits.grace).saturating_mul(2);
        let mut waited = Duration::ZERO;
        loop {
            match Answers::open(self.state, &key).map_err(RunError::from)? {
                Some(answers) => return Ok(answers),
                None if (self.stopping)() => return refuse("the run was asked to stop"),
                None if waited >= longest => return refuse("another runner asks the same base commit, without an end"),
                None => {
                    self.world.sleep(self.stop, LOOKS_EVERY);
                    waited = waited.saturating_add(LOOKS_EVERY);
                }
            }
        }
    }

    /// Base, command and environment as one hash. Names that differ from task to task are left out.
    fn key_of(&self, suspect: Suspect<'_>, base: &CommitId, conditions: &Conditions) -> Digest {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new_with_prefix(b"orch control 1\0");
        let top = self.worktree.toplevel().to_string_lossy();
        let mut word = |text: &str| {
            let text = text.replace(&*top, "{worktree}");
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        word(base.as_str());
        suspect.plan.argv.words().iter().for_each(|argument| word(argument));
        word(&suspect.plan.cwd.to_string_lossy());
        for (name, value) in suspect.plan.env.pairs().filter(|(name, _)| !name.starts_with("ORCH_")) {
            word(name);
            word(value);
        }
        word(&format!("{:?} {:?} {:?}", suspect.plan.declared, suspect.plan.reports, suspect.plan.limits));
        word(if conditions.on_branch { "branch" } else { "detached" });
        word(&conditions.carried.files().to_string());
        let search = search_path(suspect.producer, &self.host_env);
        let program = exec::find(suspect.plan.argv.program(), search, &suspect.plan.cwd).ok();
        let stamp = program.and_then(|path| std::fs::metadata(suspect.plan.cwd.join(path)).ok());
        let stamp = stamp.map(|found| (found.dev(), found.ino(), found.len(), found.mtime(), found.ctime()));
        word(&format!("{stamp:?}"));
        Digest::from_bytes(hash.finalize().into())
    }

    /// Runs the command at a commit, in a sibling that is made for it and taken away again.
    fn run_at(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        suspect: Suspect<'_>,
        at: (&CommitId, Side),
        conditions: &Conditions,
    ) -> Result<Ran, NoAnswer> {
        self.fence()?;
        if (self.stopping)() {
            return refuse("the run was asked to stop");
        }
        if conditions.path.symlink_metadata().is_ok() {
            return refuse(format!("something is at the place of its worktree: {}", conditions.path.display()));
        }
        let id = AttemptId::new(self.clock.id());
        let nonce = Nonce::new(self.clock.secret());
        let branch = if conditions.on_branch { sibling::branch(&id.to_string()) } else { None };
        let file = UnderWay::file(self.state, self.worktree);
        self.state.make(&self.state.controls_dir()).map_err(RunError::from)?;
        let note =
            UnderWay::new(course.run, (id, nonce), longest(suspect.plan.limits), conditions.path.clone(), branch);
        note.write(&file).or_else(|error| refuse(format!("its note could not be written: {error}")))?;
        let ran = self.run_sibling(course, bench, suspect, at, conditions, &note);
        let cleared = self.clear(&note);
        let ran = ran?;
        cleared.or_else(refuse)?;
        std::fs::remove_file(&file).or_else(|error| refuse(format!("its note could not be removed: {error}")))?;
        Ok(ran)
    }

    fn run_sibling(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        suspect: Suspect<'_>,
        at: (&CommitId, Side),
        conditions: &Conditions,
        note: &UnderWay,
    ) -> Result<Ran, NoAnswer> {
        let (git, worktree) = (self.git()?, self.worktree);
        let (commit, side) = at;
        let (path, on) = (&conditions.path, note.branch.as_ref());
        let sibling = sibling::make(git, worktree, path, commit, on, &conditions.carried)
            .or_else(|error| refuse(format!("its worktree could not be made: could not {}", chain(&error))))?;
        if side == Side::Change {
            sibling::change_over(worktree, &sibling, &conditions.uncommitted)
                .or_else(|error| refuse(format!("what is not committed could not be copied: {error}")))?;
        }
        let plan = self.plan_for(course, suspect, note, sibling.toplevel())?;
        prepare(&plan, sibling.root(), None, &self.state.moved_dir(course.run, note.id))
            .or_else(|error| refuse(format!("its place could not be made ready: could not {}", chain(&error))))?;
        let mut watch =
            Watch::new(&suspect.stage.name, plan.limits, &course.run_dir, self.clock, self.progress, self.notify);
        let record = bench
            .run(self.world, &plan, &course.run_dir, self.stop, self.clock, &mut watch)
            .map_err(|error| RunError::Supervisor(chain(&error)))?;
        self.fence()?;
        let root = Root::open(path).or_else(|error| refuse(format!("its worktree went away: {error}")))?;
        let gathered = gather(&plan, &record, &course.run_dir, &root, None)
            .or_else(|error| refuse(format!("its output could not be read: {error}")))?;
        let outcome = classify_suite(&gathered.evidence);
        let detail = outcome.as_ref().map_or_else(|| "it was stopped".to_owned(), |found| found.proof.detail.clone());
        let control = ControlRun {
            commit: commit.to_string(),
            id: note.id,
            run: course.run,
            exit: record.exit.clone(),
            reason: outcome.as_ref().map(|outcome| outcome.reason),
            detail,
            elapsed: record.elapsed,
            stdout: record.stdout.clone(),
            stderr: record.stderr.clone(),
            shared: false,
        };
        Ok(Ran { control, outcome, evidence: gathered.evidence })
    }

    /// The attempt's plan, in the sibling.
    fn plan_for(
        &self,
        course: &Course,
        suspect: Suspect<'_>,
        note: &UnderWay,
        sibling: &Path,
    ) -> Result<AttemptPlan, NoAnswer> {
        let key = AttemptKey { attempt: note.id, ..suspect.plan.key.clone() };
        let attempt_dir = self.state.attempt_dir(course.run, note.id);
        let artifacts = sibling.join(self.artifacts_folder(self.pipeline).as_str());
        let site = Site {
            worktree: sibling,
            base_commit: &course.base_commit,
            artifacts: &artifacts,
            attempt_dir: &attempt_dir,
            staging: StagingSite::Here,
        };
        let limits = suspect.plan.limits;
        let plan = plan(suspect.stage, suspect.producer, limits, key, note.nonce, &site, &self.host_env)
            .map_err(|source| RunError::Plan { stage: suspect.stage.name.clone(), source })?;
        let top = self.worktree.toplevel().to_string_lossy();
        let leads_back = |text: &str| {
            text.match_indices(&*top).any(|(at, _)| {
                let rest = text.get(at + top.len()..).unwrap_or_default();
                rest.is_empty() || !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
            })
        };
        if let Some(index) = plan.argv.words().iter().position(|word| leads_back(word)) {
            return refuse(format!(
                "word {} of the command has the worktree's absolute path in it; `${{ORCH_WORKTREE}}` stands for it",
                index + 1
            ));
        }
        if let Some((name, _)) = plan.env.pairs().find(|(_, value)| leads_back(value)) {
            return refuse(format!("the variable `{name}` has the worktree's absolute path in it"));
        }
        Ok(plan)
    }

    fn clear(&self, note: &UnderWay) -> Result<(), String> {
        let Some(git) = self.world.git() else { return Ok(()) };
        sibling::clear(git, self.worktree, &note.path, note.branch.as_ref())
            .map_err(|error| format!("its worktree could not be taken away: could not {}", chain(&error)))
    }

    /// Asks a control run to stop that a dead runner left; its supervisor goes on to the end else.
    pub(super) fn stop_left_control(&self) {
        let file = UnderWay::file(self.state, self.worktree);
        let Found::Read(note) = UnderWay::read(&file) else { return };
        self.world.stop_orphan(&self.state.run_dir(note.run));
    }

    /// Takes away what a dead runner left of a control run: its processes, its worktree, its branch, its note.
    pub(super) fn clear_left_control(&mut self) -> Result<(), RunError> {
        let file = UnderWay::file(self.state, self.worktree);
        let found = UnderWay::read(&file);
        if matches!(found, Found::Nothing) {
            return Ok(());
        }
        self.fence()?;
        if let Found::Read(note) = found {
            let run_dir = self.state.run_dir(note.run);
            let boot = self.store.run(note.run)?.map(|run| BootId::from_text(&run.start.boot));
            if let Some(boot) = boot {
                self.world.stop_orphan(&run_dir);
                // Waits for its supervisor, and ends what is left where that died, too.
                self.world
                    .recover(&run_dir, (note.id, note.nonce), &boot, note.patience, None)
                    .map_err(|error| RunError::Supervisor(chain(&error)))?;
            }
            // Only what orch itself makes is taken away, whatever the note says.
            let own = sibling::place(self.worktree).as_ref() == Some(&note.path);
            let told = if own { self.clear(&note).err() } else { Some("its note names another folder".to_owned()) };
            if let Some(why) = told {
                (self.notify)(Notice::Warning(format!("a control run was left: {why}")));
                return Ok(());
            }
        }
        if let Err(error) = std::fs::remove_file(&file) {
            (self.notify)(Notice::Warning(format!("could not remove {}: {error}", file.display())));
        }
        Ok(())
    }
}

/// Whether a base commit runs the command: whether its suite gave an answer of its own. A fault that may pass is no answer.
fn answer_of(ran: &Ran) -> Result<bool, NoAnswer> {
    let Some(outcome) = &ran.outcome else { return refuse("the control run was stopped") };
    let gives_a_verdict = match outcome.rule {
        Rule::RedEvidence | Rule::GreenEvidence | Rule::SuiteExit => true,
        Rule::Answer
        | Rule::SpawnErrno
        | Rule::CodeFault
        | Rule::TestCrash
        | Rule::ChannelBroke
        | Rule::Preflight
        | Rule::Killed
        | Rule::NothingRan
        | Rule::Signature
        | Rule::CodeAlone
        | Rule::ExitMap
        | Rule::ControlRun
        | Rule::NoProof
        | Rule::SmokeCheck
        | Rule::AgentEnd
        | Rule::AgentFault => false,
    };
    let ambiguous = ambiguous(&ran.evidence);
    if outcome.conclusion == Conclusion::TransientInfra && !ambiguous {
        return refuse(format!("the base commit met a fault that may pass: {}", outcome.proof.detail));
    }
    Ok(gives_a_verdict)
}
