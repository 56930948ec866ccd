//! The control run: whether the change or the environment is at fault for an end that says nothing (DESIGN D16,
//! docs/design/0014).
//!
//! ```text
//! the end proves nothing ─▶ the same command at the base commit, in a sibling worktree
//!    cannot run there either ─▶ the environment          runs ─▶ the change once more, in a sibling made in the same way,
//!                                                                 and where caches were left out, once more with them
//!                                                          ends as before ─▶ the change      ends otherwise ─▶ nobody
//! ```
//!
//! Its processes run under the run's supervisor with the stage's limits, have exit records of their own, and decide nothing
//! by themselves.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::classify::classify_suite;
use crate::domain::channel::ChannelFacts;
use crate::domain::control::{Control, ControlRun};
use crate::domain::evidence::{Evidence, ExitRecord, TreeFacts};
use crate::domain::id::Digest;
use crate::domain::outcome::{Conclusion, Outcome, Rule};
use crate::domain::pipeline::{Producer, Stage, Suite};
use crate::domain::plan::AttemptPlan;
use crate::engine::ambiguous;
use crate::exec;
use crate::producer::{gather, prepare};
use crate::workspace::controls::Answers;
use crate::workspace::root::Root;
use crate::workspace::sibling::{self, Caches};
use crate::workspace::worktree::CommitId;

use super::bench::Bench;
use super::drive::{Course, Runner};
use super::error::{RunError, chain};
use super::judge::{Judged, Scene, judge};
use super::notice::Notice;
use super::sibling::{Conditions, NoAnswer, Sibling, Side, refuse};
use super::watch::Watch;

/// Pause between two looks at whether another runner has its answer.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Fewest hex digits of a version that name a commit for sure.
const COMMIT_DIGITS_MIN: usize = 12;

/// An attempt whose end says nothing.
#[derive(Clone, Copy)]
struct Suspect<'a> {
    stage: &'a Stage,
    producer: &'a Producer,
    plan: &'a AttemptPlan,
    record: &'a ExitRecord,
    evidence: &'a Evidence,
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
        let suite = match suspect.producer {
            Producer::TestRunner(suite) => suite,
            Producer::StagingRunner(staging) => &staging.suite,
            Producer::Agent(_) | Producer::Command(_) | Producer::Approval => return Ok(None),
        };
        if !ambiguous(suspect.evidence) || !self.settings.control_run() || self.world.git().is_none() {
            return Ok(None);
        }
        let answer = match &suspect.evidence.channel {
            Some(channel) => far(course, suspect, channel),
            None => self.attribute(course, bench, suspect, suite),
        };
        match answer {
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
        if !suite.idempotent {
            return refuse("the stage says that its command is not to be started twice (`idempotent: false`)");
        }
        let head = course.tree.head().commit.clone();
        let uncommitted = sibling::uncommitted(self.worktree, &course.tree)?;
        if head.as_str() == course.base_commit && uncommitted.is_empty() {
            return refuse("the worktree is the base commit itself");
        }
        let conditions = self.conditions(course, uncommitted.clone(), Caches::LeftOut)?;
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
        let same = |ran: &Ran| ambiguous(&ran.evidence) && ran.control.exit == suspect.record.exit;
        let again = self.run_at(course, bench, suspect, (&head, Side::Change), &conditions)?;
        if !same(&again) {
            return Ok(Control::Unsteady { base, change: Box::new(again.control) });
        }
        // It may have failed for want of a cache that the worktree has. A sibling that lacks something proves nothing.
        if conditions.carried.leaves_out() {
            let whole = self.conditions(course, uncommitted, Caches::Copied)?;
            let third = self.run_at(course, bench, suspect, (&head, Side::Change), &whole)?;
            if !same(&third) {
                return Ok(Control::Unsteady { base, change: Box::new(third.control) });
            }
        }
        Ok(Control::BaseRuns { base, change: Box::new(again.control) })
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
        let program = exec::find(suspect.plan.argv.program(), suspect.plan.env.get("PATH"), &suspect.plan.cwd).ok();
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
        let limits = suspect.plan.limits;
        let (ran, cleared) = self.in_sibling(course, at, conditions, limits, |runner, sibling| {
            runner.run_in(course, bench, suspect, sibling, at.0)
        })?;
        cleared.or_else(refuse)?;
        Ok(ran)
    }

    fn run_in(
        &mut self,
        course: &Course,
        bench: &mut Bench,
        suspect: Suspect<'_>,
        sibling: &Sibling<'_>,
        commit: &CommitId,
    ) -> Result<Ran, NoAnswer> {
        let (id, _) = sibling.process;
        let plan = self.plan_for(course, suspect, sibling)?;
        prepare(&plan, sibling.worktree.root(), None, &self.state.moved_dir(course.run, id))
            .or_else(|error| refuse(format!("its place could not be made ready: could not {}", chain(&error))))?;
        let mut watch =
            Watch::new(&suspect.stage.name, plan.limits, &course.run_dir, self.clock, self.progress, self.notify);
        let record = bench
            .run(self.world, &plan, &course.run_dir, self.stop, self.clock, &mut watch)
            .map_err(|error| RunError::Supervisor(chain(&error)))?;
        failpoint!("control.ended");
        self.fence()?;
        let root = Root::open(sibling.worktree.toplevel())
            .or_else(|error| refuse(format!("its worktree went away: {error}")))?;
        let gathered = gather(&plan, &record, &course.run_dir, &root, None)
            .or_else(|error| refuse(format!("its output could not be read: {error}")))?;
        let outcome = classify_suite(&gathered.evidence);
        let detail = outcome.as_ref().map_or_else(|| "it was stopped".to_owned(), |found| found.proof.detail.clone());
        let control = ControlRun {
            commit: commit.to_string(),
            id,
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
    fn plan_for(&self, course: &Course, suspect: Suspect<'_>, sibling: &Sibling<'_>) -> Result<AttemptPlan, NoAnswer> {
        let (stage, producer) = (suspect.stage, suspect.producer);
        let plan = self
            .plan_in_sibling(course, (stage, producer), suspect.plan.limits, &suspect.plan.key, sibling)
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
}

/// Attributes an end on another host. What stands there is not orch's to change: neither the base commit nor the change can
/// be brought there for a control run. But where the stage's own command told that the base commit stands there, the
/// attempt was a run of the base itself, and what it could not run there the change cannot have broken.
fn far(course: &Course, suspect: Suspect<'_>, channel: &ChannelFacts) -> Result<Control, NoAnswer> {
    let host = &channel.host;
    let Some(tested) = channel.tested.as_deref().map(str::trim) else {
        return refuse(format!(
            "it ran on {host}, and nothing tells which commit stands there; `version` of the stage can tell it"
        ));
    };
    if !names_commit(tested, &course.base_commit) {
        return refuse(format!(
            "it ran on {host}, where `{tested}` stands, and the base commit cannot be brought there"
        ));
    }
    let record = suspect.record;
    let outcome = classify_suite(suspect.evidence);
    Ok(Control::BaseCannotRun {
        base: Box::new(ControlRun {
            commit: course.base_commit.clone(),
            id: record.attempt,
            run: course.run,
            exit: suspect.evidence.exit.clone(),
            reason: outcome.as_ref().map(|outcome| outcome.reason),
            detail: format!("the base commit stands on {host}, so the attempt was its own control run"),
            elapsed: record.elapsed,
            stdout: record.stdout.clone(),
            stderr: record.stderr.clone(),
            shared: false,
        }),
    })
}

/// Whether a version is a commit's name, whole or by at least its first twelve digits.
fn names_commit(version: &str, commit: &str) -> bool {
    version.len() >= COMMIT_DIGITS_MIN && commit.starts_with(&version.to_ascii_lowercase())
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
