//! The laws of a pipeline's graph, checked all at once.
//!
//! A stage has exactly one way forward, so the passes of a pipeline form chains: every law below is a walk along
//! them that looks at each stage a bounded number of times and never recurses. Ten thousand stages in one chain
//! are checked as easily as three.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use super::id::{RelPath, StageName};
use super::pipeline::{Advance, Flaw, FlawKind, Gate, KeyGate, OnFail, Parts, ProducerKind, STAGES_MAX, Site, Stage};

/// Longest key and longest word of a declared gate, in characters.
const GATE_WORD_CHARS_MAX: usize = 64;

/// Indexes the stages by name and lists every broken law, in the order of the stages.
pub(super) fn check(parts: &Parts) -> (HashMap<StageName, usize>, Vec<Flaw>) {
    let mut flaws = Flaws(Vec::new());
    let index = index(&parts.stages, &mut flaws);
    match parts.stages.len() {
        0 => flaws.add(Site::Pipeline, FlawKind::NoStages),
        count if count > STAGES_MAX => flaws.add(Site::Pipeline, FlawKind::TooManyStages(count)),
        _ => {
            for (at, stage) in parts.stages.iter().enumerate() {
                own_laws(at, stage, parts, &mut flaws);
            }
            artifacts(&parts.stages, &mut flaws);
            graph(&parts.stages, &index, &mut flaws);
        }
    }
    flaws.0.sort_by_key(|flaw| order(flaw.site));
    (index, flaws.0)
}

struct Flaws(Vec<Flaw>);

impl Flaws {
    fn add(&mut self, site: Site, kind: FlawKind) {
        self.0.push(Flaw { site, kind });
    }
}

fn order(site: Site) -> usize {
    match site {
        Site::Pipeline => 0,
        Site::Stage(at)
        | Site::Artifact(at)
        | Site::Gate(at)
        | Site::Pass(at)
        | Site::Fail(at)
        | Site::Charge(at)
        | Site::Fallback(at)
        | Site::Shadow(at)
        | Site::Producer(at) => at + 1,
    }
}

fn index(stages: &[Stage], flaws: &mut Flaws) -> HashMap<StageName, usize> {
    let mut index = HashMap::with_capacity(stages.len());
    for (at, stage) in stages.iter().enumerate() {
        match index.get(&stage.name) {
            Some(first) => flaws.add(Site::Stage(at), FlawKind::DuplicateStage(*first)),
            None => drop(index.insert(stage.name.clone(), at)),
        }
    }
    index
}

/// Laws that look at one stage alone.
fn own_laws(at: usize, stage: &Stage, parts: &Parts, flaws: &mut Flaws) {
    match (&stage.gate, &stage.artifact) {
        (Gate::None, Some(_)) => flaws.add(Site::Artifact(at), FlawKind::ArtifactWithoutGate),
        (Gate::TestsPassed | Gate::StagingStatus | Gate::Approved | Gate::Key(_), None) => {
            flaws.add(Site::Gate(at), FlawKind::GateWithoutArtifact);
        }
        (Gate::None, None) | (Gate::TestsPassed | Gate::StagingStatus | Gate::Approved | Gate::Key(_), Some(_)) => {}
    }
    let mut fit = |site, kind: ProducerKind| {
        if !fits(&stage.gate, kind) {
            flaws.add(site, FlawKind::GateDoesNotFit { gate: stage.gate.as_str(), producer: kind.as_str() });
        }
    };
    fit(Site::Gate(at), stage.producer.kind());
    if let Some(fallback) = &stage.fallback {
        fit(Site::Fallback(at), fallback.kind());
    }
    if stage.shadow.is_some() {
        fit(Site::Shadow(at), ProducerKind::Agent);
    }
    if stage.fallback.is_some() && stage.switch.is_none() {
        flaws.add(Site::Fallback(at), FlawKind::FallbackWithoutSwitch);
    }
    if stage.shadow.is_some() && !stage.producer.kind().is_deterministic() {
        let producer = stage.producer.kind().as_str();
        flaws.add(Site::Shadow(at), FlawKind::ShadowWithoutRunner { producer });
    }
    if let Gate::Key(gate) = &stage.gate {
        for what in key_gate(gate) {
            flaws.add(Site::Gate(at), FlawKind::BadKeyGate(what));
        }
    }
    if let OnFail::Rollback { charge, .. } = &stage.fail
        && !parts.budgets.contains_key(charge)
    {
        flaws.add(Site::Charge(at), FlawKind::UnknownBudget(charge.clone()));
    }
}

/// Which gate may read which producer's work.
///
/// Without an artifact (`none`) only the classification speaks, so an agent or a person needs a gate. A person's
/// approval never stands for tests, and nobody but a person approves. A runner writes the artifact of its own
/// kind, so the other runner's gate would never find its key in it.
const fn fits(gate: &Gate, producer: ProducerKind) -> bool {
    match producer {
        ProducerKind::Agent => matches!(gate, Gate::TestsPassed | Gate::StagingStatus | Gate::Key(_)),
        ProducerKind::TestRunner => matches!(gate, Gate::None | Gate::TestsPassed | Gate::Key(_)),
        ProducerKind::StagingRunner => matches!(gate, Gate::None | Gate::StagingStatus | Gate::Key(_)),
        ProducerKind::Command => {
            matches!(gate, Gate::None | Gate::TestsPassed | Gate::StagingStatus | Gate::Key(_))
        }
        ProducerKind::Approval => matches!(gate, Gate::Approved),
    }
}

/// What is wrong with a declared gate: key outside its grammar, no word for a pass, words that say both.
fn key_gate(gate: &KeyGate) -> Vec<String> {
    let mut wrong = Vec::new();
    let lower = |byte: u8| byte.is_ascii_lowercase();
    let rest = |byte: u8| lower(byte) || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let key = gate.key.as_bytes();
    if key.len() > GATE_WORD_CHARS_MAX || !key.first().copied().is_some_and(lower) || !key.iter().copied().all(rest) {
        wrong.push(format!("the key {:?} is not `[a-z][a-z0-9_-]{{0,63}}`", gate.key));
    }
    if gate.pass.is_empty() {
        wrong.push("no word means pass, so the gate could never open".to_owned());
    }
    let unusable = |word: &&String| {
        word.trim() != word.as_str()
            || word.is_empty()
            || word.chars().count() > GATE_WORD_CHARS_MAX
            || word.chars().any(char::is_control)
    };
    if let Some(word) = gate.pass.iter().chain(&gate.fail).find(unusable) {
        wrong.push(format!("{word:?} cannot stand as a value in an artifact"));
    }
    let pass: std::collections::HashSet<&String> = gate.pass.iter().collect();
    if let Some(word) = gate.fail.iter().find(|word| pass.contains(word)) {
        wrong.push(format!("{word:?} means both pass and fail"));
    }
    wrong
}

/// No two stages write one file, also where a file system folds case or composes letters, and none writes a
/// file where another needs a folder.
fn artifacts(stages: &[Stage], flaws: &mut Flaws) {
    let folded = |path: &RelPath| path.as_str().nfc().collect::<String>().to_lowercase();
    let all: Vec<Option<String>> = stages.iter().map(|stage| stage.artifact.as_ref().map(folded)).collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (at, path) in all.iter().enumerate() {
        if let Some(path) = path {
            match first.get(path.as_str()) {
                Some(earlier) => flaws.add(Site::Artifact(at), FlawKind::DuplicateArtifact(*earlier)),
                None => drop(first.insert(path, at)),
            }
        }
    }
    for (at, path) in all.iter().enumerate() {
        let mut folders = path.iter().flat_map(|path| path.match_indices('/').filter_map(|(end, _)| path.get(..end)));
        if let Some(file) = folders.find_map(|folder| first.get(folder)) {
            flaws.add(Site::Artifact(at), FlawKind::ArtifactBelowArtifact(*file));
        }
    }
}

/// Laws of the transitions.
fn graph(stages: &[Stage], index: &HashMap<StageName, usize>, flaws: &mut Flaws) {
    let mut all_known = true;
    let mut find = |site, name: &StageName, flaws: &mut Flaws| {
        let found = index.get(name).copied();
        if found.is_none() {
            all_known = false;
            flaws.add(site, FlawKind::UnknownTarget(name.clone()));
        }
        found
    };
    let mut pass = Vec::with_capacity(stages.len());
    let mut back = Vec::with_capacity(stages.len());
    for (at, stage) in stages.iter().enumerate() {
        pass.push(match &stage.pass {
            Advance::To(name) => find(Site::Pass(at), name, flaws),
            Advance::Done => None,
        });
        back.push(match &stage.fail {
            OnFail::Rollback { to, .. } => find(Site::Fail(at), to, flaws),
            OnFail::Hold | OnFail::Failed => None,
        });
    }
    let chains = Chains::walk(&pass);
    for cycle in &chains.cycles {
        let names = cycle.iter().map(|at| stages[*at].name.clone()).collect();
        let first = cycle.first().copied().unwrap_or_default();
        flaws.add(Site::Pass(first), FlawKind::UnboundedLoop(names));
    }
    for (at, to) in back.iter().enumerate() {
        if let Some(to) = to
            && chains.leads(*to, at) == Some(false)
        {
            flaws.add(Site::Fail(at), FlawKind::RollbackForward(stages[*to].name.clone()));
        }
    }
    // A misspelt target makes everything behind it look unreachable; that is asked once all targets are known.
    if all_known {
        for (at, reached) in reached(&pass, &back).into_iter().enumerate() {
            if !reached {
                flaws.add(Site::Stage(at), FlawKind::Unreachable);
            }
        }
    }
}

/// Which stages a task can come to from the first one, by passes and rollbacks.
fn reached(pass: &[Option<usize>], back: &[Option<usize>]) -> Vec<bool> {
    let mut reached = vec![false; pass.len()];
    let mut todo = vec![0];
    while let Some(at) = todo.pop() {
        if !std::mem::replace(&mut reached[at], true) {
            todo.extend(pass[at].into_iter().chain(back[at]));
        }
    }
    reached
}

/// The chains of passes. Turned round, those that end are trees rooted at the stages whose pass is the end, and
/// a walk through them numbers each stage so that "does this stage lead there" is a comparison of two ranges.
struct Chains {
    /// Per stage: number when entered and first number after all that lead to it; `None` where a chain goes round.
    ranges: Vec<Option<(usize, usize)>>,
    /// Every circle, its first stage in the file first, in the order of the passes.
    cycles: Vec<Vec<usize>>,
}

impl Chains {
    fn walk(pass: &[Option<usize>]) -> Self {
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); pass.len()];
        for (at, next) in pass.iter().enumerate() {
            if let Some(next) = next {
                into[*next].push(at);
            }
        }
        let mut ranges = vec![None; pass.len()];
        let mut number = 0;
        for root in (0..pass.len()).filter(|at| pass[*at].is_none()) {
            let mut open = vec![(root, 0)];
            ranges[root] = Some((number, number));
            number += 1;
            while let Some((at, child)) = open.last_mut() {
                if let Some(next) = into[*at].get(*child).copied() {
                    *child += 1;
                    ranges[next] = Some((number, number));
                    number += 1;
                    open.push((next, 0));
                } else {
                    if let Some((_, end)) = &mut ranges[*at] {
                        *end = number;
                    }
                    open.pop();
                }
            }
        }
        let cycles = cycles(pass, &ranges);
        Self { ranges, cycles }
    }

    /// Whether passes from `from` lead to `to`, or are already there; `None` where one of them goes round.
    fn leads(&self, from: usize, to: usize) -> Option<bool> {
        let (from, (start, end)) = (self.ranges[from]?.0, self.ranges[to]?);
        Some((start..end).contains(&from))
    }
}

/// The circles among the stages that have no range.
fn cycles(pass: &[Option<usize>], ranges: &[Option<(usize, usize)>]) -> Vec<Vec<usize>> {
    let mut seen_in = vec![None; pass.len()];
    let mut cycles = Vec::new();
    for start in (0..pass.len()).filter(|at| ranges[*at].is_none()) {
        let mut at = start;
        while seen_in[at].is_none() {
            seen_in[at] = Some(start);
            let Some(next) = pass[at] else { break };
            at = next;
        }
        if seen_in[at] == Some(start) {
            let mut cycle = vec![at];
            while let Some(next) = cycle.last().and_then(|last| pass[*last]).filter(|next| *next != at) {
                cycle.push(next);
            }
            let first = (0..cycle.len()).min_by_key(|n| cycle[*n]).unwrap_or_default();
            cycle.rotate_left(first);
            // A stage met again only counts once: the walk that found it first owns the circle.
            cycles.push(cycle);
        }
    }
    cycles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{BudgetName, Digest, PipelineName, SwitchName};
    use crate::domain::pipeline::{
        Argv, EnvSpec, EvidenceKind, InfraPolicy, Limits, OnTimeout, Pipeline, Producer, Suite,
    };

    fn name(text: &str) -> StageName {
        StageName::new(text).unwrap()
    }

    fn command() -> Producer {
        Producer::Command(Suite {
            command: Argv::new(vec!["make".to_owned()]).unwrap(),
            cwd: None,
            evidence: EvidenceKind::Auto,
            reports: Vec::new(),
            min_tests: 1,
            env: EnvSpec::default(),
            smoke: Vec::new(),
            idempotent: false,
        })
    }

    fn stage(text: &str, pass: &str, back: Option<&str>) -> Stage {
        Stage {
            name: name(text),
            producer: command(),
            switch: None,
            fallback: None,
            shadow: None,
            artifact: None,
            gate: Gate::None,
            pass: if pass == "done" { Advance::Done } else { Advance::To(name(pass)) },
            fail: match back {
                Some(to) => OnFail::Rollback { to: name(to), charge: BudgetName::new("retry").unwrap() },
                None => OnFail::Hold,
            },
            infra: InfraPolicy::default(),
            limits: Limits::default(),
            on_timeout: OnTimeout::Hold,
            serial: None,
        }
    }

    fn parts(stages: Vec<Stage>) -> Parts {
        Parts {
            name: PipelineName::new("p").unwrap(),
            repository: None,
            artifacts: RelPath::new("docs/{task}").unwrap(),
            budgets: [(BudgetName::new("retry").unwrap(), 3)].into(),
            stages,
            digest: Digest::of(b""),
        }
    }

    fn flaws(stages: Vec<Stage>) -> Vec<(Site, FlawKind)> {
        let flaws = Pipeline::new(parts(stages)).err().unwrap_or_default();
        flaws.into_iter().map(|flaw| (flaw.site, flaw.kind)).collect()
    }

    /// `a>b` passes to b; `a>b<c` passes to b and rolls back to c.
    fn graph_flaws(text: &str) -> Vec<(Site, FlawKind)> {
        let one = |word: &str| {
            let (at, rest) = word.split_once('>').unwrap();
            let (pass, back) = rest.split_once('<').map_or((rest, None), |(pass, back)| (pass, Some(back)));
            stage(at, pass, back)
        };
        flaws(text.split_whitespace().map(one).collect())
    }

    #[test]
    fn transitions_lead_forward_by_passes_and_back_by_charged_rollbacks() {
        let check = |text: &str, expected: &[(Site, FlawKind)]| assert_eq!(graph_flaws(text), expected, "{text}");
        let unknown = |text| FlawKind::UnknownTarget(name(text));
        let forward = |text| FlawKind::RollbackForward(name(text));
        let circle = |texts: &[&str]| FlawKind::UnboundedLoop(texts.iter().map(|text| name(text)).collect());
        check("a>done", &[]);
        check("a>done<a", &[]);
        check("a>b b>c<a c>done<b", &[]);
        check("c>done<c", &[]);
        check("a>b b>done<fix fix>b", &[]);
        check("a>b", &[(Site::Pass(0), unknown("b"))]);
        check("a>b b>done<x c>done", &[(Site::Fail(1), unknown("x"))]);
        check("a>done b>done", &[(Site::Stage(1), FlawKind::Unreachable)]);
        check("a>b<b b>done", &[(Site::Fail(0), forward("b"))]);
        check("a>b b>done<aside aside>done", &[(Site::Fail(1), forward("aside"))]);
        check("a>a", &[(Site::Pass(0), circle(&["a"]))]);
        check("a>b b>c c>b", &[(Site::Pass(1), circle(&["b", "c"]))]);
        check(
            "a>b b>a<b c>d d>c",
            &[
                (Site::Pass(0), circle(&["a", "b"])),
                (Site::Pass(2), circle(&["c", "d"])),
                (Site::Stage(2), FlawKind::Unreachable),
                (Site::Stage(3), FlawKind::Unreachable),
            ],
        );
        check("a>b<c b>x c>done", &[(Site::Fail(0), forward("c")), (Site::Pass(1), unknown("x"))]);
        check(
            "a>b a>done b>done",
            &[(Site::Stage(1), FlawKind::DuplicateStage(0)), (Site::Stage(1), FlawKind::Unreachable)],
        );
    }

    #[test]
    fn a_charge_needs_a_budget() {
        let mut unpaid = stage("a", "done", Some("a"));
        let other = BudgetName::new("other").unwrap();
        unpaid.fail = OnFail::Rollback { to: name("a"), charge: other.clone() };
        assert_eq!(flaws(vec![unpaid]), [(Site::Charge(0), FlawKind::UnknownBudget(other))]);
    }

    #[test]
    fn each_gate_reads_what_its_producer_leaves() {
        let key = Gate::Key(KeyGate { key: "status".to_owned(), pass: vec!["OK".to_owned()], fail: Vec::new() });
        let gates = [Gate::None, Gate::TestsPassed, Gate::StagingStatus, Gate::Approved, key];
        let check = |kind, expected: [bool; 5]| {
            assert_eq!(gates.each_ref().map(|gate| fits(gate, kind)), expected, "{kind:?}");
        };
        check(ProducerKind::Agent, [false, true, true, false, true]);
        check(ProducerKind::TestRunner, [true, true, false, false, true]);
        check(ProducerKind::StagingRunner, [true, false, true, false, true]);
        check(ProducerKind::Command, [true, true, true, false, true]);
        check(ProducerKind::Approval, [false, false, false, true, false]);
    }

    #[test]
    fn gates_and_artifacts_come_together() {
        let check = |gate: Gate, artifact: Option<&str>, expected: &[(Site, FlawKind)]| {
            let mut one = stage("a", "done", None);
            one.gate = gate;
            one.artifact = artifact.map(|path| RelPath::new(path).unwrap());
            assert_eq!(flaws(vec![one]), expected);
        };
        check(Gate::TestsPassed, Some("13-test-report.md"), &[]);
        check(Gate::TestsPassed, None, &[(Site::Gate(0), FlawKind::GateWithoutArtifact)]);
        check(Gate::None, Some("x.md"), &[(Site::Artifact(0), FlawKind::ArtifactWithoutGate)]);
        let misfit = FlawKind::GateDoesNotFit { gate: "approved", producer: "command" };
        check(Gate::Approved, Some("x.md"), &[(Site::Gate(0), misfit)]);
    }

    #[test]
    fn a_fallback_needs_a_switch_and_keeps_the_gate() {
        let mut one = stage("a", "done", None);
        one.fallback = Some(Producer::Approval);
        let misfit = FlawKind::GateDoesNotFit { gate: "none", producer: "approval" };
        let lost = (Site::Fallback(0), FlawKind::FallbackWithoutSwitch);
        assert_eq!(flaws(vec![one.clone()]), [(Site::Fallback(0), misfit), lost]);
        one.switch = Some(SwitchName::new("ORCH_X").unwrap());
        one.fallback = Some(command());
        assert_eq!(flaws(vec![one]), []);
    }

    #[test]
    fn no_two_stages_write_one_file() {
        let check = |paths: [&str; 2], expected: &[(Site, FlawKind)]| {
            let mut stages = vec![stage("a", "b", None), stage("b", "done", None)];
            for (stage, path) in stages.iter_mut().zip(paths) {
                stage.gate = Gate::TestsPassed;
                stage.artifact = Some(RelPath::new(path).unwrap());
            }
            assert_eq!(flaws(stages), expected, "{paths:?}");
        };
        check(["a.md", "b.md"], &[]);
        check(["a.md", "a.md"], &[(Site::Artifact(1), FlawKind::DuplicateArtifact(0))]);
        check(["a.md", "A.MD"], &[(Site::Artifact(1), FlawKind::DuplicateArtifact(0))]);
        check(["\u{e9}.md", "e\u{301}.md"], &[(Site::Artifact(1), FlawKind::DuplicateArtifact(0))]);
        check(["a.md", "a.md/b.md"], &[(Site::Artifact(1), FlawKind::ArtifactBelowArtifact(0))]);
        check(["x/a.md", "X"], &[(Site::Artifact(0), FlawKind::ArtifactBelowArtifact(1))]);
    }

    #[test]
    fn a_declared_gate_decides() {
        let check = |key: &str, pass: &[&str], fail: &[&str], count| {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let gate = KeyGate { key: key.to_owned(), pass: words(pass), fail: words(fail) };
            assert_eq!(key_gate(&gate).len(), count, "{gate:?}: {:?}", key_gate(&gate));
        };
        check("status", &["READY"], &["BLOCKED"], 0);
        check("review-status_2", &["APPROVED", "LGTM"], &[], 0);
        for key in ["", "Status", "2x", "a b", "ключ", &"k".repeat(65)] {
            check(key, &["READY"], &[], 1);
        }
        check("status", &[], &["BLOCKED"], 1);
        check("status", &["A", "B"], &["B"], 1);
        check("status", &[""], &[], 1);
        check("status", &["a\nb"], &[], 1);
        check("status", &[" A"], &[], 1);
        check("", &[], &[""], 3);
    }

    #[test]
    fn size_does_not_matter_up_to_the_limit() {
        let chain = |count: usize, back: fn(usize) -> usize| {
            let one = |at: usize| {
                let pass = if at + 1 == count { "done".to_owned() } else { format!("s{}", at + 1) };
                stage(&format!("s{at}"), &pass, Some(&format!("s{}", back(at))))
            };
            (0..count).map(one).collect::<Vec<_>>()
        };
        assert_eq!(flaws(Vec::new()), [(Site::Pipeline, FlawKind::NoStages)]);
        assert_eq!(flaws(chain(STAGES_MAX, |_| 0)), []);
        assert_eq!(flaws(chain(STAGES_MAX, |at| at + 1)).len(), STAGES_MAX);
        assert_eq!(flaws(chain(STAGES_MAX + 1, |_| 0)), [(Site::Pipeline, FlawKind::TooManyStages(STAGES_MAX + 1))]);
        let mut circle = chain(STAGES_MAX, |_| 0);
        circle.last_mut().unwrap().pass = Advance::To(name("s0"));
        assert!(
            matches!(flaws(circle).as_slice(), [(Site::Pass(0), FlawKind::UnboundedLoop(all))] if all.len() == STAGES_MAX)
        );
    }
}
