//! The helper's way through one attempt: connect, start or take up again, listen, connect anew where the link breaks,
//! stop what must stop. Everything it learns goes into the facts, which are written down as it goes.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::classify::passes_by_waiting;
use crate::domain::channel::{Began, ChannelFacts, ChannelFault, Leaves, RemoteEnd, Stopped};
use crate::domain::evidence::Limit;

use super::job::{CHANNEL_FILE, Errand, Job, Key};
use super::link::{Den, Link, Unlinked};
use super::marks::{Mark, Piece};
use super::program::{Mode, Received, program};
use super::session::{Session, Told};

/// Pauses before a lost link is tried anew: the first, doubled up to the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How long a lost link is tried anew within one attempt, where the TTL is not shorter.
const RETURN_MAX: Duration = Duration::from_mins(1);
/// How long the end of what was stopped is waited for, beside its grace.
const STOP_SLACK: Duration = Duration::from_secs(4);
/// How long a session may take to leave once its work is done.
const LEAVE: Duration = Duration::from_secs(1);
/// How long the last bytes may take once the end record is here and the session says nothing more.
const WHOLE_WITHIN: Duration = Duration::from_secs(5);
/// What ssh says of a session that the server does not open.
const SESSION_REFUSED: &str = "Session open refused by peer";
/// Beats within a TTL.
const BEATS: u32 = 12;

/// Drives a job to its end and gives what was seen.
pub(super) async fn drive(job: &Job, folder: &Path) -> io::Result<ChannelFacts> {
    let mut drive = Drive::new(job, folder)?;
    drive.save()?;
    drive.run().await;
    drive.save()?;
    Ok(drive.facts)
}

/// What ended a session, or a try at one.
#[derive(Debug)]
enum Turn {
    /// There is nothing more to do.
    Over,
    /// The link broke, or never stood; what was said.
    Broken(ChannelFault),
    /// What an earlier attempt left cannot be taken up: it never began, or its end is lost.
    Fresh(Option<ChannelFault>),
    /// A connection that somebody keeps gave no session; one of our own may.
    Unkept,
}

struct Drive<'a> {
    job: &'a Job,
    folder: &'a Path,
    facts: ChannelFacts,
    key: Key,
    mode: Mode,
    received: Received,
    end: Option<RemoteEnd>,
    started: Instant,
    began_at: Option<Instant>,
    last_output: Instant,
    term: Signal,
    /// When what was asked to stop is given up.
    give_up: Option<Instant>,
    /// Whether a kept connection was given up. What was sent over it may arrive yet, and its record there decides.
    unkept: bool,
    /// Whether the end of what a limit stopped was asked for over a second link.
    asked_again: bool,
    /// Whether a second request to stop has come.
    hasty: bool,
    /// When bytes that the end record counts, and that do not come, are asked for anew.
    whole_by: Option<Instant>,
}

impl<'a> Drive<'a> {
    fn new(job: &'a Job, folder: &'a Path) -> io::Result<Self> {
        let now = Instant::now();
        let key = job.earlier.unwrap_or(job.own);
        Ok(Self {
            job,
            folder,
            facts: job.facts(),
            key,
            mode: match (job.errand, job.earlier) {
                (Errand::Check, _) => Mode::Check,
                (Errand::Run, Some(_)) => Mode::Resume,
                (Errand::Run, None) => Mode::Start,
            },
            received: Received::default(),
            end: None,
            started: now,
            began_at: None,
            last_output: now,
            term: signal(SignalKind::terminate())?,
            give_up: None,
            unkept: false,
            asked_again: false,
            hasty: false,
            whole_by: None,
        })
    }

    /// Written whole or not at all, so that a helper that is killed leaves what it knew.
    fn save(&self) -> io::Result<()> {
        let fresh = self.folder.join("channel.json.new");
        std::fs::write(&fresh, serde_json::to_vec(&self.facts)?)?;
        std::fs::rename(fresh, self.folder.join(CHANNEL_FILE))
    }

    fn note(&self) {
        // The last one is looked at; without room for this one the runner knows less and believes less.
        self.save().ok();
    }

    async fn run(&mut self) {
        let mut den = match Den::make(&self.job.target) {
            Ok(den) => den,
            Err(error) => {
                self.facts.fault = Some(ChannelFault::OwnSide(format!("ssh's files cannot be made: {error}")));
                return;
            }
        };
        let mut pause = PAUSES[0];
        let mut return_until = None;
        loop {
            let (before, asked) = (self.received, self.mode);
            match self.turn(&den).await {
                Turn::Over => return,
                Turn::Unkept => {
                    den.keep_away();
                    if !std::mem::replace(&mut self.unkept, true) {
                        self.mode = asked;
                    }
                }
                Turn::Fresh(lost) => {
                    if lost.is_some() && !self.job.idempotent {
                        self.facts.fault = lost;
                        return;
                    }
                    self.facts.may_have_begun = false;
                    self.facts.began = None;
                    if self.key == self.job.own {
                        // Its own name is used up there; the next attempt has another.
                        self.facts.fault = Some(lost.unwrap_or_else(|| {
                            ChannelFault::LinkLost("the link broke before the command began".to_owned())
                        }));
                        return;
                    }
                    self.key = self.job.own;
                    self.facts.job = self.key.attempt;
                    self.mode = Mode::Start;
                }
                Turn::Broken(fault) => {
                    let now = Instant::now();
                    if self.asks_again(now) {
                        continue;
                    }
                    if self.received != before {
                        (pause, return_until) = (PAUSES[0], None);
                    }
                    let until = *return_until.get_or_insert_with(|| now + RETURN_MAX.min(self.job.ttl));
                    let until = self.give_up.map_or(until, |at| at.min(until));
                    let worth = self.facts.may_have_begun && may_pass(&fault) && self.mode == Mode::Resume;
                    self.facts.fault = Some(fault);
                    self.note();
                    if !worth || now + pause >= until || self.hasty {
                        return;
                    }
                    if self.rest(pause).await {
                        return;
                    }
                    pause = (pause * 2).min(PAUSES[1]);
                }
            }
        }
    }

    /// Whether a limit is over and the link gave no sign of the end: it may be frozen, and another one knows. Once.
    fn asks_again(&mut self, now: Instant) -> bool {
        let limit = matches!(self.facts.stopped, Some(Stopped::Limit { .. }));
        let again = limit && self.give_up.is_some_and(|at| now >= at) && self.mode == Mode::Resume && !self.asked_again;
        if again {
            self.asked_again = true;
            self.give_up = Some(now + self.job.target.connect + self.job.limits.grace + STOP_SLACK);
        }
        again
    }

    /// A pause; whether the job is to be given up.
    async fn rest(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        tokio::select! {
            () = sleep_until(until) => {}
            _ = self.term.recv() => self.stop(Stopped::Request),
        }
        // A limit that fires without a link is no word on the suite: it stays lost, and the next attempt asks for it.
        self.limit_reached().is_some()
    }

    /// One connection with one session.
    async fn turn(&mut self, den: &Den) -> Turn {
        self.facts.connections += 1;
        let link = tokio::select! {
            linked = Link::connect(den) => linked,
            _ = self.term.recv() => {
                self.facts.stopped = Some(Stopped::Request);
                return Turn::Over;
            }
            () = sleep_until(self.started + self.job.limits.start), if self.began_at.is_none() => {
                return Turn::Broken(ChannelFault::NotConnected(format!(
                    "no connection within the start limit of {} s", self.job.limits.start.as_secs_f64()
                )));
            }
        };
        let link = match link {
            Ok(link) => link,
            Err(Unlinked::NoSsh(error)) => {
                return Turn::Broken(ChannelFault::NoSsh(error.to_string()));
            }
            Err(Unlinked::Said(said)) => return Turn::Broken(ChannelFault::NotConnected(said)),
        };
        self.facts.connections -= u32::from(link.is_kept());
        let turn = self.on(&link).await;
        link.close().await;
        turn
    }

    async fn on(&mut self, link: &Link) -> Turn {
        let program = program(self.job, self.key, self.mode, self.received);
        let starting = self.mode == Mode::Start;
        if starting {
            self.facts.may_have_begun = true;
            self.mode = Mode::Resume;
            self.note();
        }
        let mut session = match Session::start(link, program, &self.key.nonce.to_string()) {
            Ok(session) => session,
            Err(error) => return Turn::Broken(ChannelFault::NoSsh(error.to_string())),
        };
        if self.facts.stopped.is_some() {
            session.order(if self.hasty { "kill" } else { "stop" });
        }
        let turn = self.listen(&mut session, link, starting).await;
        if self.end.is_some() && matches!(turn, Turn::Over) {
            // Its end is written down here; the record there is not needed any more.
            self.note();
            session.order("done");
        }
        timeout(LEAVE, session.leave()).await.ok();
        turn
    }

    async fn listen(&mut self, session: &mut Session, link: &Link, starting: bool) -> Turn {
        let beat = (self.job.ttl / BEATS).max(Duration::from_millis(50));
        let mut next_beat = Instant::now() + beat;
        let mut here = false;
        // Nobody but its keeper asks a kept connection for signs of life.
        let here_by = Instant::now() + self.job.target.connect;
        loop {
            let deadline = self.next_limit();
            tokio::select! {
                told = session.next() => match told {
                    Ok(Told::Stdout(pieces)) => {
                        for piece in pieces {
                            match piece {
                                Piece::Bytes(bytes) => self.pass(&bytes, Way::Stdout),
                                Piece::Mark(_) => {}
                            }
                        }
                    }
                    Ok(Told::Stderr(pieces)) => {
                        for piece in pieces {
                            match piece {
                                Piece::Bytes(bytes) => self.pass(&bytes, Way::Stderr),
                                Piece::Mark(Mark::Here) => here = true,
                                Piece::Mark(mark) => if let Some(turn) = self.heard(mark, starting) {
                                    return turn;
                                },
                            }
                        }
                    }
                    Ok(Told::Over) => return self.over(session, link, here).await,
                    Err(error) => return Turn::Broken(ChannelFault::OwnSide(format!("a session cannot be read: {error}"))),
                },
                () = sleep_until(next_beat) => {
                    session.order("b");
                    next_beat = Instant::now() + beat;
                }
                () = sleep_until(here_by), if link.is_kept() && !here => return Turn::Unkept,
                _ = self.term.recv() => {
                    self.stop(Stopped::Request);
                    session.order(if self.hasty { "kill" } else { "stop" });
                }
                () = sleep_until(deadline) => match (self.give_up, self.limit_reached()) {
                    _ if self.whole_by.is_some_and(|at| Instant::now() >= at) => {
                        self.whole_by = None;
                        return Turn::Broken(ChannelFault::LinkLost("bytes of the output did not come".to_owned()));
                    }
                    (Some(at), _) if Instant::now() >= at => {
                        return Turn::Broken(ChannelFault::LinkLost("its end did not come after it was stopped".to_owned()));
                    }
                    (None, Some(stopped)) => {
                        self.stop(stopped);
                        session.order("stop");
                    }
                    (Some(_) | None, _) => {}
                },
            }
            if self.is_whole() {
                return Turn::Over;
            }
        }
    }

    /// Whether the end is here, and every byte that it counts.
    fn is_whole(&mut self) -> bool {
        let Some(end) = self.end else { return false };
        let whole = self.received.stdout >= end.stdout && self.received.stderr >= end.stderr;
        if whole {
            self.facts.ended = Some(end);
            self.facts.fault = end.expired.then_some(ChannelFault::Expired);
        }
        whole
    }

    fn heard(&mut self, mark: Mark, starting: bool) -> Option<Turn> {
        let fault = match mark {
            Mark::Here | Mark::Out | Mark::Strange(_) => return None,
            Mark::Begin(session) => {
                self.facts.began = Some(Began { session });
                self.facts.fault = None;
                self.began_at = self.began_at.or_else(|| Some(Instant::now()));
                self.last_output = Instant::now();
                self.note();
                return None;
            }
            Mark::End(end)
                if end.expired && self.job.earlier.is_some() && self.key != self.job.own && self.job.idempotent =>
            {
                return Some(Turn::Fresh(None));
            }
            Mark::End(end) => {
                self.end = Some(end);
                self.whole_by = Some(Instant::now() + WHOLE_WITHIN);
                return None;
            }
            Mark::Version(found) => {
                self.facts.tested = Some(found);
                return None;
            }
            Mark::Cleared { attempt, ran } => {
                self.facts.left.retain(|left| left.to_string() != attempt);
                if ran && let Some(attempt) = self.job.left.iter().find(|left| left.to_string() == attempt) {
                    self.facts.cleared.push(*attempt);
                }
                self.note();
                return None;
            }
            Mark::Stuck(attempt) => {
                let known = self.job.left.iter().find(|left| left.to_string() == attempt);
                ChannelFault::Occupied(*known.unwrap_or(&self.job.own.attempt))
            }
            Mark::Ready => {
                self.facts.ready = true;
                return Some(Turn::Over);
            }
            // What was heard to begin did not "never begin": its record was removed.
            Mark::Void if self.facts.began.is_some() => return Some(Turn::Fresh(Some(ChannelFault::Gone))),
            Mark::Void => return Some(Turn::Fresh(None)),
            Mark::Over => {
                if let Some(Stopped::Limit { .. }) = self.facts.stopped {
                    self.facts.stopped = None;
                }
                return None;
            }
            Mark::Unversioned(code) => ChannelFault::Unversioned(code),
            Mark::Taken if self.unkept => return Some(Turn::Unkept),
            Mark::Gone | Mark::Taken => return Some(Turn::Fresh(Some(ChannelFault::Gone))),
            Mark::Missing(tool) => ChannelFault::ToolMissing(tool),
            Mark::Room => ChannelFault::NoRoom,
            Mark::Folder => ChannelFault::Folder(self.job.cwd.clone().unwrap_or_default()),
            Mark::Program => ChannelFault::Program(self.job.argv.program().to_owned()),
            Mark::Container(said) => {
                let name = self.job.container.as_ref().map(|container| container.name.clone()).unwrap_or_default();
                ChannelFault::Container { name, said }
            }
            Mark::Other => {
                let wanted = self.job.version.as_ref().and_then(|version| version.expect.clone()).unwrap_or_default();
                ChannelFault::Version { wanted, found: self.facts.tested.clone().unwrap_or_default() }
            }
        };
        if starting {
            self.facts.may_have_begun = false;
        }
        self.facts.fault = Some(fault);
        Some(Turn::Over)
    }

    /// The session is over without everything having come.
    async fn over(&mut self, session: &Session, link: &Link, here: bool) -> Turn {
        let preamble = session.preamble();
        if !here && link.is_kept() {
            return Turn::Unkept;
        }
        let stands = link.stands().await;
        let said = link.said(stands);
        if !here && stands && said.is_empty() {
            // ssh has nothing to say and the connection stands, and what answered is no shell that did what it was told.
            return self.no_shell(preamble);
        }
        if !here && stands && said.contains(SESSION_REFUSED) {
            // This connection has one session at a time: a server that refuses it lets nobody open any.
            return self.no_shell("the server lets nobody open a session (MaxSessions)".to_owned());
        }
        let said = if said.is_empty() { "the session ended without a word".to_owned() } else { said };
        Turn::Broken(ChannelFault::LinkLost(said))
    }

    fn no_shell(&mut self, said: String) -> Turn {
        self.facts.may_have_begun &= self.job.earlier.is_some();
        self.facts.fault = Some(ChannelFault::NoShell(said));
        Turn::Over
    }

    /// Hands the suite's bytes to our own stream, which the supervisor keeps.
    fn pass(&mut self, bytes: &[u8], way: Way) {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let written = match way {
            Way::Stdout => {
                self.received.stdout += count;
                let mut to = io::stdout().lock();
                to.write_all(bytes).and_then(|()| to.flush())
            }
            Way::Stderr => {
                self.received.stderr += count;
                io::stderr().lock().write_all(bytes)
            }
        };
        if let Err(error) = written {
            self.facts.fault = Some(ChannelFault::OwnSide(format!("the suite's output cannot be handed on: {error}")));
        }
        self.last_output = Instant::now();
        self.whole_by = self.whole_by.map(|_| self.last_output + WHOLE_WITHIN);
    }

    fn stop(&mut self, why: Stopped) {
        if self.facts.stopped.is_some() {
            self.hasty = true;
        } else {
            self.facts.stopped = Some(why);
            self.give_up = Some(Instant::now() + self.job.limits.grace + STOP_SLACK);
        }
    }

    /// When the next limit fires.
    fn next_limit(&self) -> Instant {
        let limits = self.job.limits;
        match (self.give_up, self.began_at) {
            _ if self.whole_by.is_some() => self.whole_by.unwrap_or(self.started),
            (Some(at), _) => at,
            (None, Some(began)) => (began + limits.total).min(self.last_output + limits.idle),
            (None, None) => self.started + limits.start,
        }
    }

    fn limit_reached(&self) -> Option<Stopped> {
        let now = Instant::now();
        let limits = self.job.limits;
        let (limit, after) = match self.began_at {
            None if now >= self.started + limits.start => (Limit::Start, limits.start),
            Some(began) if now >= began + limits.total => (Limit::Total, limits.total),
            Some(_) if now >= self.last_output + limits.idle => (Limit::Idle, limits.idle),
            None | Some(_) => return None,
        };
        Some(Stopped::Limit { limit, after })
    }
}

#[derive(Clone, Copy)]
enum Way {
    Stdout,
    Stderr,
}

/// Whether a fault may pass by itself, so that the same helper tries again.
fn may_pass(fault: &ChannelFault) -> bool {
    matches!(fault.leaves(), Leaves::Work(said) if passes_by_waiting(said))
}
