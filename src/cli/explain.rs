//! `orch explain`: what was seen in an attempt, the rule that decided, and what follows from it.

use crate::classify::classify_suite;
use crate::domain::agent::{AgentFacts, Caps};
use crate::domain::channel::ChannelFacts;
use crate::domain::control::{Control, ControlRun};
use crate::domain::evidence::{Evidence, ReportFound, Sighting};
use crate::domain::id::AttemptId;
use crate::domain::outcome::{Outcome, Rule};
use crate::spec::problem::Code;
use crate::store::{AttemptRecord, Store};
use crate::workspace::logs;

use super::args::ExplainArgs;
use super::output::{self, Problem};
use super::status::{existing, find_run};
use super::store::of_store;
use super::{ExitCode, store, view};

pub(super) fn explain(options: &ExplainArgs) -> Result<ExitCode, Problem> {
    if let Some(text) = options.what.as_deref().filter(|text| text.to_ascii_uppercase().starts_with("ORCH")) {
        return explain_code(text, options.state.json);
    }
    let git = store::git(&options.state.worktree)?;
    let place = store::place(&options.state, &git)?;
    let store = existing(&place)?;
    let attempt = find_attempt(store.as_ref(), options.what.as_deref())?;
    if options.state.json {
        let mut document = view::attempt(&attempt, &place.state);
        document["version"] = serde_json::json!(1);
        document["task"] = serde_json::json!(attempt.task.as_str());
        document["evidence"] = serde_json::json!(attempt.decided.as_ref().map(|decided| &decided.evidence));
        output::document(&document);
        return Ok(ExitCode::Success);
    }
    let shadow = view::shadow_in_words(&attempt, &place.state).map(|line| format!("\n{line}")).unwrap_or_default();
    output::data(&logs::escape(format!("{}{shadow}", in_words(&attempt)).as_bytes()));
    Ok(ExitCode::Success)
}

fn explain_code(text: &str, as_json: bool) -> Result<ExitCode, Problem> {
    let code = Code::from_text(text).ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("no problem has the code `{text}`"))
            .help("docs/reference/problems.md lists them")
    })?;
    let told = code.explanation();
    if as_json {
        output::document(&serde_json::json!({
            "version": 1,
            "code": code.as_str(),
            "title": code.title(),
            "about": told.about,
            "refused": told.wrong,
            "accepted": told.right,
        }));
        return Ok(ExitCode::Success);
    }
    output::data(&format!(
        "{}: {}\n\n{}\n\nrefused:\n\n{}\n\naccepted:\n\n{}",
        code.as_str(),
        code.title(),
        told.about,
        told.wrong.trim_end(),
        told.right.trim_end()
    ));
    Ok(ExitCode::Success)
}

/// The attempt that an id or its beginning names, or the newest of the newest run.
pub(super) fn find_attempt(store: &dyn Store, prefix: Option<&str>) -> Result<AttemptRecord, Problem> {
    let failed = |error| of_store(&error);
    let none = || Problem::new(ExitCode::Usage, "there is no attempt yet").help("`orch run list` lists the runs");
    match prefix {
        Some(prefix) => {
            let id = store.find_attempt(prefix).map_err(failed)?;
            store.attempt(id).map_err(failed)?.ok_or_else(none)
        }
        None => store.attempts(find_run(store, None)?).map_err(failed)?.into_iter().next_back().ok_or_else(none),
    }
}

pub(super) fn in_words(attempt: &AttemptRecord) -> String {
    let intent = &attempt.intent;
    let mut lines = vec![
        format!("attempt {}", intent.attempt),
        format!(
            "  task {}, stage {}, visit {}, attempt {} of it",
            attempt.task, intent.stage, intent.visit, intent.number
        ),
        format!("  producer {} ({}): {:?}", intent.producer.as_str(), intent.chosen, intent.argv),
        format!(
            "  in {}, tree {}{}",
            intent.cwd.display(),
            intent.tree.short(),
            if intent.dirty { ", dirty" } else { "" }
        ),
    ];
    match &attempt.finished {
        Some(finished) => {
            let record = &finished.record;
            lines.push(format!(
                "ended: {}, after {:.3} s; stdout {} bytes, stderr {} bytes",
                attempt
                    .decided
                    .as_ref()
                    .map_or_else(|| view::exit_in_words(record), |decided| view::end_in_words(&decided.evidence.exit)),
                record.elapsed.as_secs_f64(),
                record.stdout.bytes,
                record.stderr.bytes
            ));
            lines.extend(record.containment.in_words().map(|words| format!("  {words}")));
            for leaked in &record.leaked {
                lines.push(format!("  left behind and ended: {} ({})", leaked.name, leaked.pid));
            }
            for survivor in &record.survivors {
                lines.push(format!("  could not be ended: {} ({})", survivor.name, survivor.pid));
            }
        }
        None => lines.push("ended: not yet".to_owned()),
    }
    if let Some(decided) = &attempt.decided {
        lines.push("seen:".to_owned());
        lines.extend(evidence(&decided.evidence).into_iter().map(|line| format!("  {line}")));
        match &decided.outcome {
            Some(outcome) => lines.extend(outcome_lines(outcome, &decided.evidence)),
            None => lines.push("class: none; a cancelled attempt has no outcome".to_owned()),
        }
        lines.push(format!("came to: {}", decided.settlement.as_str()));
        lines.push(format!("decision: {}", view::decision(&decided.decision)));
        if let Some(artifact) = &decided.artifact {
            lines.push(format!("artifact: {} ({})", artifact.path, artifact.digest.short()));
        }
    }
    lines.join("\n")
}

fn evidence(evidence: &Evidence) -> Vec<String> {
    let output = &evidence.output;
    let at = |sighting: &Sighting| format!("{}:{}: {}", sighting.stream.as_str(), sighting.line, sighting.text);
    let mut lines = Vec::new();
    for summary in &output.summaries {
        lines.push(format!("closing summary of {}: {}", summary.at.tool, at(&summary.at)));
    }
    for report in &evidence.reports {
        let found = match &report.found {
            ReportFound::Read { counts, .. } => {
                format!(
                    "{} passed, {} failed, {} errors, {} skipped",
                    counts.passed, counts.failed, counts.errors, counts.skipped
                )
            }
            ReportFound::Missing => "missing".to_owned(),
            ReportFound::Stale => "older than the attempt".to_owned(),
            ReportFound::Broken { why } => format!("broken: {why}"),
            ReportFound::LeftBehind => "left behind".to_owned(),
            ReportFound::Removed => "removed, as it should be".to_owned(),
        };
        lines.push(format!("report {}: {found}", report.path));
    }
    for check in &evidence.smoke {
        lines.push(format!(
            "smoke check GET {}: wanted {}, got {} (after {:.3} s)",
            check.get,
            check.expect,
            check.seen.in_words(),
            check.elapsed.as_secs_f64()
        ));
    }
    lines.extend(output.unfinished.iter().map(|s| format!("began and did not end: {}", at(s))));
    lines.extend(output.code_faults.iter().map(|s| format!("code that cannot be loaded or built: {}", at(s))));
    lines.extend(output.crashes.iter().map(|s| format!("crash of a test: {}", at(s))));
    lines.extend(output.signatures.iter().map(|s| format!("known text ({}): {}", s.pattern, at(&s.at))));
    if let Some(facts) = &evidence.agent {
        lines.extend(agent(facts));
    }
    lines.extend(evidence.channel.as_ref().map(channel).unwrap_or_default());
    if output.incomplete {
        lines.push("part of the output was not kept".to_owned());
    }
    lines.extend(evidence.control.as_ref().map(control).unwrap_or_default());
    if let Some(tree) = &evidence.tree {
        lines.extend(tree.changed.iter().map(|path| format!("changed file: {path}")));
        lines.extend(tree.added.iter().map(|path| format!("new file: {path}")));
    }
    if lines.is_empty() {
        lines.push("nothing that proves anything".to_owned());
    }
    lines
}

/// The way to another host and back, less what broke on it: that is the class's detail.
fn channel(facts: &ChannelFacts) -> Vec<String> {
    let began = match (&facts.began, facts.may_have_begun) {
        (Some(began), _) => format!("began as session {}", began.session),
        (None, true) => "may have begun".to_owned(),
        (None, false) => "did not begin".to_owned(),
    };
    let ended = if facts.ended.is_some() { "its end was fetched" } else { "no end of it was seen" };
    let mut lines = vec![format!("on {}: {began}, {ended}; connections: {}", facts.host, facts.connections)];
    lines.extend(facts.tested.as_ref().map(|tested| format!("version there: {tested}")));
    let earlier = |what: &'static str| move |attempt: &AttemptId| format!("attempt {attempt}: {what}");
    lines.extend(facts.cleared.iter().map(earlier("its command still ran there, and was ended first")));
    lines.extend(
        facts.to_be_cleared().iter().map(earlier("its command may still run there; the next attempt sees to it")),
    );
    lines
}

fn control(control: &Control) -> Vec<String> {
    let heading = match control {
        Control::BaseCannotRun { .. } => "control run: the base commit cannot run it either".to_owned(),
        Control::BaseRuns { .. } => "control run: the base commit runs it, the change does not".to_owned(),
        Control::Unsteady { .. } => {
            "control run: the base commit runs it, and the change ended otherwise when it was tried again".to_owned()
        }
        Control::Refused { why } => format!("control run: none that tells: {why}"),
    };
    let told = |(which, run): (&'static str, &ControlRun)| {
        let shared = if run.shared { ", asked for by another attempt" } else { "" };
        let commit: String = run.commit.chars().take(12).collect();
        format!(
            "  {which} {commit}: {} (after {:.3} s{shared}; `orch logs --control` has its output)",
            run.detail,
            run.elapsed.as_secs_f64()
        )
    };
    std::iter::once(heading).chain(control.runs().into_iter().map(told)).collect()
}

/// What was seen of an agent beside its process.
fn agent(facts: &AgentFacts) -> Vec<String> {
    let mut lines = vec![format!(
        "events of {}: {}, lines that are none: {}",
        facts.profile.as_str(),
        facts.events,
        facts.strange_lines
    )];
    lines.extend(
        facts.fault.as_ref().map(|fault| format!("its own error ({}): {}: {}", fault.pattern, fault.place, fault.text)),
    );
    lines.extend(facts.resume.as_ref().map(|id| format!("its conversation: {id}")));
    lines.extend(facts.usage.in_words().map(|used| format!("used: {used}")));
    let tells = facts.profile.row().tells;
    let counted = |tells: bool| tells.then_some(1);
    let caps = Caps { turns: counted(tells.turns), tokens: counted(tells.tokens), micro_usd: counted(tells.cost) };
    let untold = facts.usage.untold(&caps);
    if !untold.is_empty() {
        lines.push(format!("did not tell what these caps count: {}", untold.join(", ")));
    }
    lines.extend(facts.scope.outside.iter().map(|path| format!("changed outside its scope: {path}")));
    lines.extend(facts.scope.repository.iter().map(|path| format!("changed of the repository: {path}")));
    lines.extend(facts.scope.commit.as_ref().map(|commit| format!("left the worktree at commit {commit}")));
    lines
}

fn outcome_lines(outcome: &Outcome, evidence: &Evidence) -> Vec<String> {
    let verdict = outcome.conclusion.ruling().map(|ruling| format!(", {}", ruling.as_str())).unwrap_or_default();
    // The rule of the checks comes after the one by which the suite itself passed.
    let suite = classify_suite(evidence).filter(|_| outcome.rule == Rule::SmokeCheck);
    let decisive = suite.as_ref().map_or(outcome.rule, |suite| suite.rule);
    let excluded: Vec<&str> =
        Rule::ALL.iter().take_while(|rule| **rule != decisive).map(|rule| rule.as_str()).collect();
    let mut lines = vec![
        format!("class: {}{verdict} ({})", outcome.conclusion.class(), outcome.reason.as_str()),
        format!("rule: {}", outcome.rule.as_str()),
        format!("because: {}", outcome.proof.detail),
    ];
    lines.extend(suite.map(|suite| {
        format!(
            "the suite by itself: pass ({}), rule {}: {}",
            suite.reason.as_str(),
            suite.rule.as_str(),
            suite.proof.detail
        )
    }));
    if !excluded.is_empty() {
        lines.push(format!("rules that did not apply: {}", excluded.join(", ")));
    }
    lines
}
