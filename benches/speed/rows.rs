//! The rows, by the letters of the goals in `docs/performance.md`.

use std::io::Write as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::contest::{Contender, Goal, Line, Spread, contest, mib, told, wait};
use super::family::{self, MARK};
use super::floor::NOTHING;
use super::place::{ORCH, Place, chain, folder, installed, justfile, makefile, ninja};

/// Rounds where the command line says nothing.
const ROUNDS: usize = 7;
/// One GiB, for `head`.
const GIB: &str = "1073741824";
/// One MiB.
const MIB: &str = "1048576";
/// Bytes of a log that is classified.
const LOG_BYTES: usize = 100_000_000;

/// A row: its letters, what it is, and how it is run.
type Row = (&'static str, &'static str, fn(&Given));

const ROWS: [Row; 14] = [
    ("a1", "`--version`", version),
    ("a2", "read 10 stages", validate_small),
    ("a3", "one stage, new store", first_run),
    ("b1", "1,000 stages of nothing in a chain, each on the disk before the next", chain_of_1000),
    ("b3", "slope: 10,000 stages against 1,000", slope),
    ("d1", "one stage with 1 GiB of output, kept", output),
    ("d3", "memory for a GiB of output over that for a MiB", memory),
    ("e1", "read and check 10,000 stages", validate_large),
    ("f1", "1,000 stages done, nothing to do", nothing_to_do),
    ("f2", "999 of 1,000 stages done", resume),
    ("g1", "end a family of 51, no grace", cancel_at_once),
    ("g2", "end a family of 51, some of it deaf, 1 s of grace", cancel_with_grace),
    ("k1", "classify 100 MB", classify_log),
    ("k2", "`orch classify -- COMMAND` over the bare command", classify_wrap),
];

/// What the command line says.
struct Given {
    row: &'static str,
    what: &'static str,
    rounds: usize,
}

pub(crate) fn run(words: &[String]) -> ExitCode {
    let mut wanted = Vec::new();
    let mut rounds = ROUNDS;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().and_then(|number| number.parse().ok()).expect("--rounds NUMBER"),
            row if ROWS.iter().any(|(name, _, _)| *name == row) => wanted.push(row.to_owned()),
            other => {
                let names: Vec<&str> = ROWS.iter().map(|(name, _, _)| *name).collect();
                eprintln!("there is no row `{other}`; rows: {}; option: --rounds NUMBER", names.join(" "));
                return ExitCode::from(2);
            }
        }
    }
    println!("medians (least to most) of {rounds} rounds in turns; ratios are taken within a round");
    for (row, what, made) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == row) {
            made(&Given { row, what, rounds });
        }
    }
    ExitCode::SUCCESS
}

impl Given {
    fn contest(&self, contenders: &[Contender<'_>], goals: &[Goal]) {
        contest(self.row, self.what, self.rounds, contenders, goals);
    }
}

/// A floor as a contender.
fn floor(name: &str, place: &Place, words: &[&str]) -> Contender<'static> {
    let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let words = [own, "floor".to_owned()].into_iter().chain(words.iter().map(|word| (*word).to_owned()));
    Contender::new(name, Line::new(&place.path(""), words))
}

/// A peer as a contender, where it is installed.
fn peer<'a>(name: &str, cwd: &Path, words: &[&str]) -> Option<Contender<'a>> {
    let program = installed(name)?;
    let words = std::iter::once(program).chain(words.iter().map(|word| (*word).to_owned()));
    Some(Contender::new(name, Line::new(cwd, words)))
}

fn version(given: &Given) {
    let place = Place::new();
    let here = place.path("");
    let mut contenders = vec![Contender::new("orch", Line::new(&here, [ORCH, "--version"]))];
    contenders.extend(["ninja", "make", "just"].into_iter().filter_map(|name| peer(name, &here, &["--version"])));
    contenders.push(Contender::new("exec of nothing", Line::new(&here, [NOTHING])));
    given.contest(&contenders, &[Goal { against: "ninja", at_most: 1.0 }, Goal { against: "make", at_most: 1.0 }]);
}

fn nothings(_: usize) -> String {
    format!("[{NOTHING}]")
}

fn validate_small(given: &Given) {
    let place = Place::new().pipeline(&chain(10, &nothings));
    let line = Line::new(&place.worktree(), [ORCH, "pipeline", "validate", "pipelines/speed.yaml"]);
    let mut contenders = vec![Contender::new("orch", line)];
    contenders.extend(peer("ninja", &folder(&place.path("ninja"), "build.ninja", &ninja(10)), &["-t", "targets"]));
    contenders.extend(peer("just", &folder(&place.path("just"), "justfile", &justfile(10)), &["--summary"]));
    contenders.extend(peer("make", &folder(&place.path("make"), "Makefile", &makefile(10)), &["-n"]));
    given.contest(&contenders, &[Goal { against: "ninja", at_most: 1.0 }, Goal { against: "just", at_most: 0.55 }]);
}

fn first_run(given: &Given) {
    let place = Place::new().pipeline(&chain(1, &nothings));
    let database = place.text("floor.db");
    let remove = || {
        for tail in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{database}{tail}")).ok();
        }
    };
    let mut contenders = vec![Contender::new("orch", place.run(&[])).ready(|| place.forget())];
    contenders.push(floor("floor_full", &place, &["full2", &database, "1"]).ready(remove));
    contenders.extend(peer("make", &folder(&place.path("make"), "Makefile", &makefile(1)), &["-s"]));
    given.contest(&contenders, &[Goal { against: "floor_full", at_most: 1.4 }]);
}

/// The runs of a chain, and of its floors and peers.
fn chained(place: &Place, stages: usize) -> Vec<Contender<'_>> {
    let number = stages.to_string();
    let mut contenders = vec![Contender::new("orch", place.run(&["--from", "s0"]))];
    contenders.push(floor("floor_full1_warm", place, &["full1", &place.text("floor.db"), &number]));
    contenders.push(floor("floor_none", place, &["spawn", &number]));
    contenders.extend(peer("ninja", &folder(&place.path("ninja"), "build.ninja", &ninja(stages)), &[]));
    contenders.extend(peer(
        "just",
        &folder(&place.path("just"), "justfile", &justfile(stages)),
        &[&format!("s{}", stages - 1)],
    ));
    contenders.extend(peer("make", &folder(&place.path("make"), "Makefile", &makefile(stages)), &["-s"]));
    contenders
}

fn chain_of_1000(given: &Given) {
    let place = Place::new().pipeline(&chain(1000, &nothings));
    let goals = [
        Goal { against: "floor_full1_warm", at_most: 1.25 },
        Goal { against: "ninja", at_most: 0.70 },
        Goal { against: "just", at_most: 0.70 },
        Goal { against: "make", at_most: 1.55 },
    ];
    given.contest(&chained(&place, 1000), &goals);
}

/// Seconds a stage, of a chain beyond its first stage.
fn slope_of(place: &Place, stages: u32) -> f64 {
    let line = place.run(&["--from", "s0"]);
    let short = place.run(&["--from", "s0", "--until", "s0"]);
    (line.run().wall.as_secs_f64() - short.run().wall.as_secs_f64()) / f64::from(stages - 1)
}

fn slope(given: &Given) {
    println!("\n{}  {}", given.row, given.what);
    let short = Place::new().pipeline(&chain(1000, &nothings));
    let long = Place::new().pipeline(&chain(10_000, &nothings));
    let mut ratios = Vec::new();
    for _ in 0..given.rounds.min(3) {
        let (thousand, ten_thousand) = (slope_of(&short, 1000), slope_of(&long, 10_000));
        println!("    {:.3} ms a stage of 10,000, {:.3} of 1,000", ten_thousand * 1e3, thousand * 1e3);
        ratios.push(ten_thousand / thousand);
    }
    let Spread { least, middle, most } = Spread::of(&ratios);
    println!("    10,000 : 1,000  {middle:.3} ({least:.3} to {most:.3}), {}", told(middle, 1.05));
}

/// A place whose one stage writes so many bytes.
fn flood(bytes: &str) -> Place {
    Place::new().pipeline(&chain(1, &|_| format!("[head, -c, '{bytes}', /dev/zero]")))
}

fn output(given: &Given) {
    let place = flood(GIB);
    let file = place.text("kept");
    let gone = || {
        std::fs::remove_file(&file).ok();
    };
    let contenders = [
        Contender::new("orch", place.run(&[])).ready(|| place.forget()),
        floor("direct file", &place, &["direct", &file, "head", "-c", GIB, "/dev/zero"]).ready(gone),
        floor("pipe and copier", &place, &["copier", &file, "head", "-c", GIB, "/dev/zero"]).ready(gone),
    ];
    let goals = [Goal { against: "direct file", at_most: 1.10 }, Goal { against: "pipe and copier", at_most: 1.15 }];
    given.contest(&contenders, &goals);
}

fn memory(given: &Given) {
    println!("\n{}  {}", given.row, given.what);
    // A MiB and not nothing: what reads output is made once, with the first byte.
    let (little, much) = (flood(MIB), flood(GIB));
    let mut growth = Vec::new();
    for _ in 0..given.rounds {
        little.forget();
        much.forget();
        growth.push(mib(much.run(&[]).run().peak_kib) - mib(little.run(&[]).run().peak_kib));
    }
    let Spread { least, middle, most } = Spread::of(&growth);
    println!("    {middle:.2} MiB ({least:.2} to {most:.2}), {}", told(middle, 1.0));
}

fn validate_large(given: &Given) {
    let text = |stages: usize| {
        let command = "[cargo, nextest, run, --profile, ci, --workspace, --no-fail-fast, --retries, '0']";
        let env = "\n        env: { pass: [\"CARGO_*\", \"RUSTUP_*\"], set: { RUST_BACKTRACE: \"1\", CI: \"true\" } }";
        chain(stages, &|_| format!("{command}{env}"))
    };
    let place = Place::new().pipeline(&text(10_000));
    let file = place.worktree().join("pipelines/speed.yaml").to_str().unwrap().to_owned();
    let contenders = [
        Contender::new("orch", Line::new(&place.worktree(), [ORCH, "pipeline", "validate", &file])),
        floor("typed parse", &place, &["typed", &file]),
    ];
    println!("    the file has {} bytes", std::fs::metadata(&file).unwrap().len());
    given.contest(&contenders, &[Goal { against: "typed parse", at_most: 1.35 }]);
}

fn nothing_to_do(given: &Given) {
    let place = Place::new().pipeline(&chain(1000, &nothings));
    place.run(&[]).run();
    let mut contenders = vec![Contender::new("orch", place.run(&[]))];
    contenders.extend(made(&place, 0));
    given.contest(&contenders, &[Goal { against: "make", at_most: 1.0 }]);
}

/// make with 1,000 files in a chain, the last `left` of which are missing at each run.
fn made<'a>(place: &Place, left: usize) -> Option<Contender<'a>> {
    use std::fmt::Write as _;
    let mut text = "all: f999\nf0:\n\t@touch f0\n".to_owned();
    for file in 1..1000 {
        writeln!(text, "f{file}: f{}\n\t@touch f{file}", file - 1).unwrap();
    }
    let folder = folder(&place.path("make"), "Makefile", &text);
    let contender = peer("make", &folder, &["-s"])?;
    contender.line.run();
    Some(contender.ready(move || {
        for file in 1000 - left..1000 {
            std::fs::remove_file(folder.join(format!("f{file}"))).unwrap();
        }
    }))
}

fn resume(given: &Given) {
    let place = Place::new().pipeline(&chain(1000, &nothings));
    place.run(&[]).run();
    let mut contenders = vec![Contender::new("orch", place.run(&[])).ready(|| {
        place.run(&["--from", "s998", "--until", "s998"]).run();
    })];
    contenders.extend(made(&place, 1));
    given.contest(&contenders, &[Goal { against: "make", at_most: 1.5 }]);
}

fn cancel_at_once(given: &Given) {
    cancel(given, Duration::ZERO, &[("no grace", 2.0)]);
}

fn cancel_with_grace(given: &Given) {
    cancel(given, Duration::from_secs(1), &[]);
}

/// Lets orch run a family, asks orch to stop, and looks who is left.
fn cancel(given: &Given, grace: Duration, against_limit: &[(&str, f64)]) {
    println!("\n{}  {}", given.row, given.what);
    let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let (mut taken, mut limits, mut left) = (Vec::new(), Vec::new(), 0);
    for round in 0..=given.rounds {
        let name = format!("{}-{}-{round}", std::process::id(), given.row);
        let place = Place::new();
        let said = place.text("said");
        let stage = chain(1, &|_| format!("['{own}', family, '{said}']"));
        let env = format!(
            "        env: {{ set: {{ {MARK}: '{name}' }} }}\n    grace: {}ms\n    gate: none",
            grace.as_millis()
        );
        let place = place.pipeline(&stage.replace("    gate: none", &env));
        let mut line = place.run(&[]);
        line.codes = vec![130, 143];
        let mut child = line.command().spawn().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        while !Path::new(&said).exists() {
            assert!(child.try_wait().unwrap().is_none(), "orch ended before the family was grown");
            rustix::thread::sched_yield();
        }
        let begin = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let (status, _) = wait(pid);
        let wall = begin.elapsed();
        assert_eq!(status.code(), Some(143), "orch ended with {status}");
        left += family::alive_of(&name);
        let limit = limit(&own, &place, &format!("{name}-limit"));
        if round > 0 {
            taken.push(wall.as_secs_f64() * 1e3);
            limits.push(limit.as_secs_f64() * 1e3);
        }
    }
    let Spread { least, middle, most } = Spread::of(&taken);
    println!(
        "    orch: {middle:.1} ms ({least:.1} to {most:.1}) from the signal to its end; {left} members left (goal 0)"
    );
    let Spread { least, middle: limit, most } = Spread::of(&limits);
    println!("    limit: {limit:.1} ms ({least:.1} to {most:.1}) to kill and reap the family by a walk");
    for (name, at_most) in against_limit {
        println!("    {name} : limit  {:.2}, {}", middle / limit, told(middle / limit, *at_most));
    }
    if !grace.is_zero() {
        let over = middle - grace.as_secs_f64() * 1e3;
        println!("    {over:.1} ms over the grace, {}", told(over, 50.0));
    }
}

/// The time to kill and reap a family by a subreaper's walk: what nobody can do faster without a cgroup.
fn limit(own: &str, place: &Place, name: &str) -> Duration {
    let said = place.text("said-limit");
    std::fs::remove_file(&said).ok();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut line = Line::new(&place.path(""), [own, "family", &said]);
    line.env.push((MARK.to_owned(), name.to_owned()));
    let parent = line.command().spawn().unwrap().id();
    while !Path::new(&said).exists() {
        rustix::thread::sched_yield();
    }
    let begin = Instant::now();
    let mut waiting = vec![std::process::id()];
    let mut found = Vec::new();
    while let Some(pid) = waiting.pop() {
        let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = listed.split_whitespace().map(|pid| pid.parse::<u32>().unwrap());
        waiting.extend(children.clone());
        found.extend(children);
    }
    assert!(found.contains(&parent), "the family is found by a walk");
    for pid in &found {
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
    }
    while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
    begin.elapsed()
}

/// A log of so many bytes, made of these lines.
fn log(place: &Place, name: &str, lines: &[&str]) -> String {
    let piece = lines.join("\n") + "\n";
    let piece = piece.repeat(1_000_000 / piece.len() + 1);
    let mut file = std::fs::File::create(place.path(name)).unwrap();
    let mut written = 0;
    while written < LOG_BYTES {
        file.write_all(piece.as_bytes()).unwrap();
        written += piece.len();
    }
    place.text(name)
}

fn classify_log(given: &Given) {
    println!("\n{}  {}", given.row, given.what);
    let place = Place::new();
    let plain = ["2026-11-21T02:10:14.577 INFO  server: request 4711 handled in 12 ms, 200, user=anna"];
    let mixed = [
        "2026-11-21T02:10:14.577 INFO  server: request 4711 handled in 12 ms, 200, user=anna",
        "test store::tests::an_event_is_appended_once ... ok",
        "tests/test_store.py::test_an_event_is_appended_once PASSED                    [ 42%]",
        "ok 17 - pays by invoice",
        "PASS [   0.004s] orch::store an_event_is_appended_once",
        "    at Object.<anonymous> (src/calc.test.mjs:12:7)",
        "  \u{1b}[32m\u{2713}\u{1b}[39m adds two numbers",
        "{\"Time\":\"2026-11-21T02:10:14.57Z\",\"Action\":\"pass\",\"Package\":\"calc\",\"Test\":\"T1\",\"Elapsed\":0}",
    ];
    for (name, lines, goal) in [("nothing matches", &plain[..], 500.0), ("all adapters", &mixed[..], 150.0)] {
        let file = log(&place, "log", lines);
        let words = [ORCH, "classify", "--exit-code", "0", "--stdout", &file, "--stderr", "/dev/null"];
        let mut line = Line::new(&place.path(""), words);
        line.codes = vec![0, 1, 75, 78];
        let (mut speeds, mut peak) = (Vec::new(), 0);
        for _ in 0..given.rounds {
            let run = line.run();
            speeds.push(f64::from(u32::try_from(LOG_BYTES).unwrap()) / 1e6 / run.wall.as_secs_f64());
            peak = run.peak_kib.max(peak);
        }
        let Spread { least, middle, most } = Spread::of(&speeds);
        let word = if middle >= goal { "reached" } else { "MISSED" };
        let peak = mib(peak);
        println!(
            "    {name:<18}{middle:>6.0} MB/s ({least:.0} to {most:.0}), peak {peak:.1} MiB, goal {goal:.0}: {word}"
        );
    }
}

fn classify_wrap(given: &Given) {
    let place = Place::new();
    let mut wrapped = Line::new(&place.path(""), [ORCH, "classify", "--", NOTHING]);
    wrapped.codes = vec![78];
    let bare = Line::new(&place.path(""), [NOTHING]);
    println!("\n{}  {}", given.row, given.what);
    let rounds = given.rounds.max(1) * 5;
    let over = |line: &Line| {
        let mut line = line.command();
        line.stdin(Stdio::null());
        let begin = Instant::now();
        line.status().unwrap();
        begin.elapsed().as_secs_f64() * 1e3
    };
    let overheads: Vec<f64> = (0..rounds).map(|_| over(&wrapped) - over(&bare)).collect();
    let Spread { least, middle, most } = Spread::of(&overheads);
    println!("    {middle:.2} ms more ({least:.2} to {most:.2}) in {rounds} rounds, {}", told(middle, 3.0));
}
