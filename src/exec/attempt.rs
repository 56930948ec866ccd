//! One attempt under the supervisor: from the launch to its record, with nothing of it alive at the end.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use crate::domain::evidence::{
    Canceller, Containment, Exit, ExitRecord, KillTier, Leaked, LogSpan, SpawnFailure, SpawnStep, Stop,
};
use crate::domain::id::AttemptId;

use super::bench::{Bench, Heard};
use super::capture::{Capture, Pumped};
use super::clock;
use super::group::{Broken, Children, End, Image, Reaped};
use super::protocol::{Launch, Say};
use super::record::{Began, EXITS_FILE, Fact, Starting};
use super::spawn::{self, Born};
use super::stop::{Cause, Order, Watch};
use super::sweep::{self, Process, Target};

/// Looks at the pipes after the tree is gone. What is left there fits into the pipes, unless a stranger writes on.
const LAST_LOOKS: u32 = 16;

/// Runs an attempt to its end and writes its record.
pub(super) fn run(bench: &mut Bench, launch: &Launch) -> ExitRecord {
    let started_at = clock::wall();
    let since = clock::boot();
    let blank = |end| LogSpan { start: end, bytes: 0, dropped: None };
    let spans = (blank(bench.stdout.end()), blank(bench.stderr.end()));
    let starting = Starting {
        attempt: launch.attempt,
        nonce: launch.nonce,
        at: started_at,
        stdout: bench.stdout.end(),
        stderr: bench.stderr.end(),
    };
    let written = bench.ledger.make_room().and_then(|()| bench.ledger.write(Fact::Starting(starting)));
    let born = written
        .map_err(|error| {
            let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
            spawn::failure(SpawnStep::Output, errno, EXITS_FILE)
        })
        .and_then(|()| {
            failpoint!("child.starting");
            bench.spawn(launch)
        });
    failpoint!("child.started");
    let over = match born {
        Ok(born) => Live::new(bench, launch, born, since).run(),
        Err(failure) => Over::stillborn(failure, spans),
    };
    if let Exit::SpawnFailed(failure) = &over.exit {
        bench.tell_of_failure(launch, failure);
    }
    let record = ExitRecord {
        version: 1,
        attempt: launch.attempt,
        nonce: launch.nonce,
        exit: over.exit,
        began: over.began,
        started_at,
        ended_at: clock::wall(),
        elapsed: clock::boot().saturating_sub(since),
        stdout: over.stdout,
        stderr: over.stderr,
        stop: over.stop,
        leaked: over.leaked,
        survivors: over.survivors,
        tier: over.tier,
        max_rss_kib: over.max_rss_kib,
        user: over.user,
        system: over.system,
        containment: over.containment,
    };
    failpoint!("record.writing");
    // The blocks are there; what can still fail here is the disk itself. The runner is told all the same.
    bench.ledger.write(Fact::Ended(Box::new(record.clone()))).ok();
    failpoint!("record.written");
    record
}

/// What an attempt came to.
struct Over {
    exit: Exit,
    began: bool,
    stdout: LogSpan,
    stderr: LogSpan,
    stop: Stop,
    leaked: Vec<Leaked>,
    survivors: Vec<Leaked>,
    tier: KillTier,
    max_rss_kib: u64,
    user: Duration,
    system: Duration,
    containment: Containment,
}

impl Over {
    /// It never became a process.
    const fn stillborn(failure: SpawnFailure, (stdout, stderr): (LogSpan, LogSpan)) -> Self {
        Self {
            exit: Exit::SpawnFailed(failure),
            began: false,
            stdout,
            stderr,
            stop: Stop::Unasked,
            leaked: Vec::new(),
            survivors: Vec::new(),
            tier: KillTier::Walk,
            max_rss_kib: 0,
            user: Duration::ZERO,
            system: Duration::ZERO,
            containment: Containment::Unasked,
        }
    }
}

/// What woke us.
#[derive(Debug, Clone, Copy)]
enum Source {
    Status,
    Stdout,
    Stderr,
    Child,
    Term,
    Runner,
}

/// A child that has not yet become its program.
struct Becoming {
    pipe: OwnedFd,
    /// Freed only when it has: see [`Image`].
    _image: Image,
}

/// An attempt with a process.
struct Live<'run> {
    bench: &'run mut Bench,
    launch: &'run Launch,
    watch: Watch,
    main: Target,
    tier: KillTier,
    /// Until the child has become the program, or has said why not.
    status: Option<Becoming>,
    broken: Option<Broken>,
    began: bool,
    /// The main process's end, once reaped.
    end: Option<Reaped>,
    /// Whether the kernel said that we have no child left, which for a subreaper means no descendant.
    childless: bool,
    given_up: bool,
    stdout: Capture,
    stderr: Capture,
    leaked: Vec<Leaked>,
    max_rss_kib: u64,
    containment: Containment,
}

impl<'run> Live<'run> {
    fn new(bench: &'run mut Bench, launch: &'run Launch, born: Born, since: Duration) -> Self {
        let Born { main, status, stdout, stderr, tier, containment, image } = born;
        Self {
            watch: Watch::new(launch.limits, launch.begins, since),
            main,
            tier,
            status: Some(Becoming { pipe: status, _image: image }),
            broken: None,
            began: false,
            end: None,
            childless: false,
            given_up: false,
            stdout: Capture::new(stdout, &bench.stdout, launch.output_max_bytes),
            stderr: Capture::new(stderr, &bench.stderr, launch.output_max_bytes),
            leaked: Vec::new(),
            max_rss_kib: 0,
            containment,
            bench,
            launch,
        }
    }

    fn run(mut self) -> Over {
        loop {
            let now = clock::boot();
            if self.watch.deadline().is_some_and(|at| now >= at) {
                // Output and an end that have come by themselves win over a limit that fires in the same moment.
                self.pump_stdout(now);
                self.pump_stderr(now);
                self.reap(now);
            }
            if self.given_up || self.is_over() {
                return self.finish();
            }
            match self.watch.due(now) {
                Some(order) => self.obey(order),
                None => {
                    for source in self.wait(now) {
                        self.hear(source);
                    }
                }
            }
        }
    }

    /// Whether its main process has ended and nothing else of it lives.
    const fn is_over(&self) -> bool {
        self.end.is_some() && self.childless
    }

    /// Waits for something to happen, at most until the next limit.
    fn wait(&self, now: Duration) -> Vec<Source> {
        let child = self.bench.signals.child();
        let known = [
            (Source::Status, self.status.as_ref().map(|becoming| becoming.pipe.as_fd())),
            (Source::Stdout, self.stdout.pipe()),
            (Source::Stderr, self.stderr.pipe()),
            (Source::Child, Some(child)),
            (Source::Term, Some(self.bench.signals.term())),
            (Source::Runner, self.bench.runner()),
        ];
        // On the stack: the heap is shared with a child that has not yet become its program. What is closed waits for nothing.
        let mut fds = known.map(|(_, fd)| match fd {
            Some(fd) => PollFd::from_borrowed_fd(fd, PollFlags::IN),
            None => PollFd::from_borrowed_fd(child, PollFlags::empty()),
        });
        match poll(&mut fds, Some(&clock::wait_until(self.watch.deadline(), now))) {
            Ok(_count) => {
                let ready =
                    known.into_iter().zip(&fds).filter(|((_, fd), seen)| fd.is_some() && !seen.revents().is_empty());
                ready.map(|((source, _), _)| source).collect()
            }
            // A signal came; its byte lies in one of the pipes.
            Err(_interrupted) => Vec::new(),
        }
    }

    fn hear(&mut self, source: Source) {
        let now = clock::boot();
        match source {
            Source::Status => self.read_status(now),
            Source::Stdout => {
                self.pump_stdout(now);
            }
            Source::Stderr => {
                self.pump_stderr(now);
            }
            Source::Child => {
                self.bench.signals.forget_child();
                self.reap(now);
            }
            Source::Term => {
                self.bench.signals.forget_term();
                self.cancel(Canceller::Shutdown, now);
            }
            Source::Runner => match self.bench.hear() {
                Heard::Stop(by) => self.cancel(by, now),
                // It died: the attempt goes on, and its record waits for the next runner.
                Heard::Gone => {}
                // The runner has one attempt under way and knows it. One that does not is not talked to any more.
                Heard::Launch(_) => self.bench.hang_up(),
            },
        }
    }

    fn pump_stdout(&mut self, now: Duration) -> Pumped {
        let pumped = self.stdout.pump(&mut self.bench.stdout, self.bench.null.as_ref(), now);
        if pumped == Pumped::Some {
            self.watch.first_event(now);
        }
        self.note(pumped, now)
    }

    fn pump_stderr(&mut self, now: Duration) -> Pumped {
        let pumped = self.stderr.pump(&mut self.bench.stderr, self.bench.null.as_ref(), now);
        self.note(pumped, now)
    }

    fn note(&mut self, pumped: Pumped, now: Duration) -> Pumped {
        match pumped {
            Pumped::Some => self.watch.output(now),
            Pumped::Nothing | Pumped::End => {}
        }
        pumped
    }

    /// The child has become the program, or says why it could not, or was killed before it came to either.
    fn read_status(&mut self, now: Duration) {
        let Some(becoming) = self.status.take() else { return };
        let mut word = [0; Broken::BYTES];
        match rustix::io::read(&becoming.pipe, &mut word) {
            Ok(Broken::BYTES) => self.broken = Some(Broken::from_bytes(word)),
            Ok(_closed) if self.watch.cause().is_none() => self.begin(now),
            Ok(_killed_before) => {}
            Err(_interrupted) => self.status = Some(becoming),
        }
    }

    fn begin(&mut self, now: Duration) {
        self.began = true;
        self.watch.begin(now);
        let pid = self.main.pid();
        let began = Began { attempt: self.launch.attempt, pid };
        // Without this line the attempt still counts as one that may have begun, because of the line before it.
        self.bench.ledger.write(Fact::Began(began)).ok();
        failpoint!("child.began");
        self.bench.say(&Say::Began { pid });
    }

    /// Takes every child that has ended off the process table.
    fn reap(&mut self, now: Duration) {
        loop {
            match self.bench.reap() {
                Children::Reaped(reaped) => {
                    self.max_rss_kib = self.max_rss_kib.max(reaped.max_rss_kib);
                    // Once it is reaped, its number may be a descendant's.
                    if self.end.is_none() && reaped.pid == self.main.pid() {
                        // Its end of the status pipe closed before; the begin mark comes before the end.
                        self.read_status(now);
                        self.end = Some(reaped);
                        failpoint!("child.ended");
                    }
                }
                Children::None => {
                    self.childless = true;
                    break;
                }
                Children::Living => {
                    // Those that outlived an earlier attempt are not this one's.
                    self.childless = !self.bench.survivors.is_empty() && self.end.is_some() && self.family().is_empty();
                    break;
                }
            }
        }
        if self.end.is_some() && !self.childless {
            self.watch.left_behind(now);
        }
    }

    /// Living descendants that belong to this attempt.
    fn family(&self) -> Vec<Process> {
        let mut found = sweep::descendants();
        found.retain(|process| !self.bench.survivors.contains(&process.target().pid()));
        found
    }

    fn cancel(&mut self, by: Canceller, now: Duration) {
        // An attempt that has ended by itself keeps its end.
        self.reap(now);
        if self.is_over() {
            return;
        }
        if let Some(order) = self.watch.cancel(by, now) {
            self.obey(order);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask => {
                self.ask();
                failpoint!("child.asked");
            }
            Order::Kill => {
                self.kill();
                failpoint!("child.killed");
            }
            Order::GiveUp => self.given_up = true,
        }
    }

    /// SIGTERM, once for each process, and SIGCONT for those that are stopped and could not act on it.
    fn ask(&self) {
        let outside: Vec<Process> =
            self.family().into_iter().filter(|process| process.group() != self.main.pid()).collect();
        for signal in [Signal::TERM, Signal::CONT] {
            self.main.signal_group_of_unreaped_child(signal);
            for process in &outside {
                process.signal(signal);
            }
        }
    }

    fn kill(&mut self) {
        // What its main process left behind is named first.
        let left = (self.end.is_some() && self.leaked.is_empty()).then(|| self.family());
        if let Some(family) = &left {
            self.leaked = sweep::named(family);
        }
        if let (KillTier::Cgroup, Some(leaf)) = (self.tier, &self.bench.leaf) {
            // The walk below does it alone when this fails.
            leaf.kill().ok();
        }
        if self.end.is_none() {
            self.main.signal_unreaped_child(Signal::KILL);
        }
        for process in left.unwrap_or_else(|| self.family()) {
            process.signal(Signal::KILL);
        }
    }

    /// The tree is gone, or what is left of it cannot be killed.
    fn finish(mut self) -> Over {
        let now = clock::boot();
        let mut survivors = if self.given_up { self.family() } else { Vec::new() };
        self.bench.survivors.extend(survivors.iter().map(|process| process.target().pid()));
        let mut survivors_named = sweep::named(&survivors);
        survivors.clear();
        if self.watch.has_killed() || self.watch.cause().is_some() {
            self.sweep_marked(self.launch.attempt, &mut survivors_named);
        }
        failpoint!("child.swept");
        for _ in 0..LAST_LOOKS {
            let stdout = self.pump_stdout(now);
            let stderr = self.pump_stderr(now);
            if stdout != Pumped::Some && stderr != Pumped::Some {
                break;
            }
        }
        let exit = self.exit();
        let (user, system) = self.end.map_or((Duration::ZERO, Duration::ZERO), |end| (end.user, end.system));
        Over {
            exit,
            began: self.began,
            stop: self.watch.stop(),
            leaked: self.leaked,
            survivors: survivors_named,
            tier: self.tier,
            max_rss_kib: self.max_rss_kib,
            user,
            system,
            containment: self.containment,
            stdout: self.stdout.finish(&self.bench.stdout),
            stderr: self.stderr.finish(&self.bench.stderr),
        }
    }

    /// A net for what left the tree: it was started by somebody outside and carries the mark.
    fn sweep_marked(&mut self, attempt: AttemptId, survivors: &mut Vec<Leaked>) {
        let swept = sweep::kill_marked(attempt);
        sweep::add(&mut self.leaked, swept.killed);
        sweep::add(survivors, swept.survivors);
    }

    fn exit(&self) -> Exit {
        match (self.broken, self.watch.cause(), self.end) {
            (Some(broken), _, _) => Exit::SpawnFailed(spawn::broken(self.launch, broken)),
            (None, Some(Cause::Limit(limit, after)), _) => Exit::TimedOut { limit, after },
            (None, Some(Cause::Cancel(by)), _) => Exit::Cancelled { by },
            (None, None, Some(Reaped { end: End::Code(code), .. })) => Exit::Exited { code },
            (None, None, Some(Reaped { end: End::Signal { number, core }, .. })) => {
                Exit::Signalled { signal: number, core }
            }
            (None, None, None) => unreachable!("without a cause an attempt goes on until its main process is reaped"),
        }
    }
}
