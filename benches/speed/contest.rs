//! Contenders in turns: every round runs each of them once, and a ratio is taken within a round.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What one run of a contender took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    /// Peak resident memory of its largest process that was waited for, in KiB.
    pub(crate) peak_kib: i64,
}

/// A command line with its folder.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) words: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    /// Exit codes that are no surprise.
    pub(crate) codes: Vec<i32>,
}

impl Line {
    pub(crate) fn new<W: Into<String>>(cwd: &Path, words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        Self { words, cwd: cwd.to_owned(), env: Vec::new(), codes: vec![0] }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.words.first().unwrap());
        command.args(self.words.iter().skip(1)).current_dir(&self.cwd);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs it once, by itself.
    pub(crate) fn run(&self) -> Run {
        let begin = Instant::now();
        let child = self.command().spawn().unwrap_or_else(|error| panic!("{}: {error}", self.words.join(" ")));
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let (status, peak_kib) = wait(pid);
        let wall = begin.elapsed();
        assert!(
            status.code().is_some_and(|code| self.codes.contains(&code)),
            "`{}` in {} ended with {status}",
            self.words.join(" "),
            self.cwd.display()
        );
        Run { wall, peak_kib }
    }
}

/// Reaps a child together with what it used.
#[expect(unsafe_code, reason = "wait4 has no safe wrapper")]
pub(crate) fn wait(pid: rustix::process::Pid) -> (ExitStatus, i64) {
    let mut status = 0;
    // SAFETY: all zero is a valid rusage, and both pointers are valid for the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let reaped = libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage);
        assert!(reaped > 0, "the child cannot be waited for");
        usage
    };
    (ExitStatus::from_raw(status), usage.ru_maxrss)
}

/// Somebody who does a row's work.
pub(crate) struct Contender<'a> {
    pub(crate) name: String,
    /// Made ready before each run, outside the measure.
    pub(crate) ready: Box<dyn Fn() + 'a>,
    pub(crate) line: Line,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &str, line: Line) -> Self {
        Self { name: name.to_owned(), ready: Box::new(|| ()), line }
    }

    pub(crate) fn ready(mut self, ready: impl Fn() + 'a) -> Self {
        self.ready = Box::new(ready);
        self
    }
}

/// What a row is to show of the first contender against another.
pub(crate) struct Goal {
    /// The other's name.
    pub(crate) against: &'static str,
    /// The ratio that is to be reached.
    pub(crate) at_most: f64,
}

/// Runs the contenders in turns and prints the row.
pub(crate) fn contest(row: &str, what: &str, rounds: usize, contenders: &[Contender<'_>], goals: &[Goal]) {
    println!("\n{row}  {what}");
    let mut taken: Vec<(Vec<f64>, i64)> = vec![(Vec::new(), 0); contenders.len()];
    for round in 0..=rounds {
        for (contender, (times, peak)) in contenders.iter().zip(&mut taken) {
            (contender.ready)();
            let run = contender.line.run();
            // The first round warms caches for all of them.
            if round > 0 {
                times.push(run.wall.as_secs_f64() * 1e3);
                *peak = run.peak_kib.max(*peak);
            }
        }
    }
    for (contender, (times, peak)) in contenders.iter().zip(&taken) {
        let Spread { least, middle, most } = Spread::of(times);
        let peak = mib(*peak);
        println!("    {:<28}{middle:>10.2} ms  ({least:.2} to {most:.2})  peak {peak:.1} MiB", contender.name);
    }
    for goal in goals {
        compare(contenders, &taken, goal);
    }
}

fn compare(contenders: &[Contender<'_>], taken: &[(Vec<f64>, i64)], goal: &Goal) {
    let Some(other) = contenders.iter().position(|contender| contender.name == goal.against) else {
        println!("    against {}: not installed", goal.against);
        return;
    };
    let ratios: Vec<f64> = taken[0].0.iter().zip(&taken[other].0).map(|(own, other)| own / other).collect();
    let Spread { least, middle, most } = Spread::of(&ratios);
    let (own, at_most) = (&contenders[0].name, goal.at_most);
    println!("    {own} : {}  {middle:.3} ({least:.3} to {most:.3}), {}", goal.against, told(middle, at_most));
}

/// A figure beside its goal.
pub(crate) fn told(figure: f64, at_most: f64) -> String {
    format!("goal {at_most:.2}: {}", if figure <= at_most { "reached" } else { "MISSED" })
}

/// KiB as MiB.
pub(crate) fn mib(kib: i64) -> f64 {
    f64::from(i32::try_from(kib).unwrap_or(i32::MAX)) / 1024.0
}

/// Smallest, middle and largest of some figures.
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let middle =
            if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[half - 1], sorted[half]) } else { sorted[half] };
        Self { least: sorted[0], middle, most: sorted[sorted.len() - 1] }
    }
}
