//! When an attempt is to be asked to stop, killed, or given up: from times alone, without touching a process.

use std::time::Duration;

use crate::domain::evidence::{Canceller, Limit, Stop};
use crate::domain::pipeline::Limits;

use super::protocol::Begins;
use super::sweep::{GONE_WITHIN, ROUND};

/// How long descendants may outlive a main process that ended by itself, in case they are on their way out.
pub(super) const LEAK_GRACE: Duration = Duration::from_millis(150);

/// Why we end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A limit.
    Limit(Limit, Duration),
    /// Somebody asked.
    Cancel(Canceller),
}

/// What has to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM to everything.
    Ask,
    /// SIGKILL to everything; comes again until nothing lives.
    Kill,
    /// What still lives cannot be killed.
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until `execve` has succeeded.
    Starting { since: Duration },
    /// The main process runs, and has not said anything that counts as its begin.
    Silent { began: Duration },
    /// The main process runs.
    Running { began: Duration, output: Duration },
    /// It was asked to stop.
    Asked { since: Duration },
    /// It has ended by itself, and descendants have not.
    Leaving { since: Duration },
    /// Everything is being killed.
    Killing { since: Duration, next: Duration },
    /// Given up.
    Over,
}

/// Watches over the times of one attempt.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    begins: Begins,
    phase: Phase,
    cause: Option<Cause>,
    killed: bool,
}

impl Watch {
    /// Starts with the launch.
    pub(super) const fn new(limits: Limits, begins: Begins, now: Duration) -> Self {
        Self { limits, begins, phase: Phase::Starting { since: now }, cause: None, killed: false }
    }

    /// `execve` has succeeded.
    pub(super) const fn begin(&mut self, now: Duration) {
        if let Phase::Starting { .. } = self.phase {
            self.phase = match self.begins {
                Begins::WithExec => Phase::Running { began: now, output: now },
                Begins::WithOutput => Phase::Silent { began: now },
            };
        }
    }

    /// The first bytes of its standard output came.
    pub(super) const fn first_event(&mut self, now: Duration) {
        if let Phase::Silent { began } = self.phase {
            self.phase = Phase::Running { began, output: now };
        }
    }

    /// Bytes came.
    pub(super) const fn output(&mut self, now: Duration) {
        if let Phase::Running { began, .. } = self.phase {
            self.phase = Phase::Running { began, output: now };
        }
    }

    /// Somebody wants it stopped. A second wish makes haste; one that comes after the main process's own end does so
    /// too and does not change how it ended.
    pub(super) const fn cancel(&mut self, by: Canceller, now: Duration) -> Option<Order> {
        match self.phase {
            Phase::Silent { .. } | Phase::Running { .. } => {
                self.cause = Some(Cause::Cancel(by));
                Some(self.ask(now))
            }
            // Before `execve` there is nobody to ask.
            Phase::Starting { .. } => {
                self.cause = Some(Cause::Cancel(by));
                Some(self.kill(now))
            }
            Phase::Asked { .. } | Phase::Leaving { .. } => Some(self.kill(now)),
            Phase::Killing { .. } | Phase::Over => None,
        }
    }

    /// The main process has ended and others of the attempt have not.
    pub(super) const fn left_behind(&mut self, now: Duration) {
        match self.phase {
            Phase::Starting { .. } | Phase::Silent { .. } | Phase::Running { .. } => {
                self.phase = Phase::Leaving { since: now };
            }
            Phase::Asked { .. } | Phase::Leaving { .. } | Phase::Killing { .. } | Phase::Over => {}
        }
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Duration) -> Option<Order> {
        if now < self.deadline()? {
            return None;
        }
        match self.phase {
            Phase::Starting { .. } => {
                self.cause = Some(Cause::Limit(Limit::Start, self.limits.start));
                Some(self.kill(now))
            }
            Phase::Silent { .. } => {
                let (limit, after) = if self.limits.total < self.limits.start {
                    (Limit::Total, self.limits.total)
                } else {
                    (Limit::Start, self.limits.start)
                };
                self.cause = Some(Cause::Limit(limit, after));
                Some(self.ask(now))
            }
            Phase::Running { began, output } => {
                let (total, idle) = (began.saturating_add(self.limits.total), output.saturating_add(self.limits.idle));
                let (limit, after) =
                    if total <= idle { (Limit::Total, self.limits.total) } else { (Limit::Idle, self.limits.idle) };
                self.cause = Some(Cause::Limit(limit, after));
                Some(self.ask(now))
            }
            Phase::Killing { since, .. } if now >= since.saturating_add(GONE_WITHIN) => {
                self.phase = Phase::Over;
                Some(Order::GiveUp)
            }
            Phase::Asked { .. } | Phase::Leaving { .. } | Phase::Killing { .. } => Some(self.kill(now)),
            Phase::Over => None,
        }
    }

    /// When [`Watch::due`] will have an answer; `None` when never.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Starting { since } => Some(since.saturating_add(self.limits.start)),
            Phase::Silent { began } => Some(began.saturating_add(self.limits.start.min(self.limits.total))),
            Phase::Running { began, output } => {
                Some(began.saturating_add(self.limits.total).min(output.saturating_add(self.limits.idle)))
            }
            Phase::Asked { since } => Some(since.saturating_add(self.limits.grace)),
            Phase::Leaving { since } => Some(since.saturating_add(LEAK_GRACE)),
            Phase::Killing { next, .. } => Some(next),
            Phase::Over => None,
        }
    }

    /// Why we ended it; `None` when it ended by itself.
    pub(super) const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// How it was brought to its end.
    pub(super) const fn stop(&self) -> Stop {
        match (self.cause, self.killed) {
            (None, _) => Stop::Unasked,
            (Some(_), false) => Stop::Asked,
            (Some(_), true) => Stop::Killed,
        }
    }

    /// Whether anything was killed.
    pub(super) const fn has_killed(&self) -> bool {
        self.killed
    }

    /// Without a grace nobody has the time to act on a request: it is killed at once.
    const fn ask(&mut self, now: Duration) -> Order {
        if self.limits.grace.is_zero() {
            return self.kill(now);
        }
        self.phase = Phase::Asked { since: now };
        Order::Ask
    }

    const fn kill(&mut self, now: Duration) -> Order {
        let since = match self.phase {
            Phase::Killing { since, .. } => since,
            Phase::Starting { .. }
            | Phase::Silent { .. }
            | Phase::Running { .. }
            | Phase::Asked { .. }
            | Phase::Leaving { .. }
            | Phase::Over => now,
        };
        self.killed = true;
        self.phase = Phase::Killing { since, next: now.saturating_add(ROUND) };
        Order::Kill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const LIMITS: Limits = Limits { total: s(100), idle: s(30), start: s(5), grace: s(10) };

    fn running() -> Watch {
        let mut watch = Watch::new(LIMITS, Begins::WithExec, s(1000));
        watch.begin(s(1001));
        watch
    }

    #[test]
    fn each_limit_fires_at_its_time_and_names_itself() {
        let mut watch = Watch::new(LIMITS, Begins::WithExec, s(1000));
        assert_eq!((watch.deadline(), watch.due(s(1004))), (Some(s(1005)), None));
        assert_eq!(watch.due(s(1005)), Some(Order::Kill));
        assert_eq!(watch.cause(), Some(Cause::Limit(Limit::Start, s(5))));

        let mut watch = running();
        assert_eq!((watch.deadline(), watch.due(s(1030))), (Some(s(1031)), None));
        watch.output(s(1020));
        assert_eq!((watch.deadline(), watch.due(s(1031))), (Some(s(1050)), None));
        assert_eq!(watch.due(s(1050)), Some(Order::Ask));
        assert_eq!(watch.cause(), Some(Cause::Limit(Limit::Idle, s(30))));
        assert_eq!(watch.stop(), Stop::Asked);

        let mut watch = running();
        for second in 1001..=1100 {
            watch.output(s(second));
        }
        assert_eq!((watch.due(s(1100)), watch.due(s(1101))), (None, Some(Order::Ask)));
        assert_eq!(watch.cause(), Some(Cause::Limit(Limit::Total, s(100))));
    }

    #[test]
    fn an_agent_begins_with_its_first_event() {
        let silent = || {
            let mut watch = Watch::new(LIMITS, Begins::WithOutput, s(1000));
            watch.begin(s(1001));
            watch
        };
        let mut watch = silent();
        watch.output(s(1003));
        assert_eq!((watch.due(s(1005)), watch.due(s(1006))), (None, Some(Order::Ask)));
        assert_eq!(watch.cause(), Some(Cause::Limit(Limit::Start, s(5))));

        let mut watch = silent();
        watch.first_event(s(1004));
        assert_eq!((watch.due(s(1033)), watch.due(s(1034))), (None, Some(Order::Ask)));
        assert_eq!(watch.cause(), Some(Cause::Limit(Limit::Idle, s(30))));
    }

    #[test]
    fn after_the_grace_it_kills_until_it_gives_up() {
        let mut watch = running();
        assert_eq!(watch.cancel(Canceller::Request, s(1002)), Some(Order::Ask));
        assert_eq!((watch.due(s(1011)), watch.due(s(1012))), (None, Some(Order::Kill)));
        assert_eq!((watch.due(s(1012)), watch.due(s(1012) + ROUND)), (None, Some(Order::Kill)));
        assert_eq!(watch.due(s(1012) + GONE_WITHIN), Some(Order::GiveUp));
        assert_eq!((watch.deadline(), watch.due(s(2000))), (None, None));
        assert_eq!(watch.stop(), Stop::Killed);
    }

    #[test]
    fn without_a_grace_it_kills_at_once() {
        let limits = Limits { grace: Duration::ZERO, ..LIMITS };
        let mut watch = Watch::new(limits, Begins::WithExec, s(1000));
        watch.begin(s(1001));
        assert_eq!(watch.cancel(Canceller::Request, s(1002)), Some(Order::Kill));
        assert_eq!(watch.stop(), Stop::Killed);
        assert_eq!(watch.due(s(1002) + GONE_WITHIN), Some(Order::GiveUp));
    }

    #[test]
    fn a_second_wish_makes_haste() {
        let mut watch = running();
        assert_eq!(watch.cancel(Canceller::Request, s(1002)), Some(Order::Ask));
        assert_eq!(watch.cancel(Canceller::Shutdown, s(1002)), Some(Order::Kill));
        assert_eq!(watch.cancel(Canceller::Shutdown, s(1002)), None);
        assert_eq!(watch.cause(), Some(Cause::Cancel(Canceller::Request)));
    }

    #[test]
    fn leftovers_get_a_moment_and_do_not_change_the_end() {
        let mut watch = running();
        watch.left_behind(s(1002));
        assert_eq!(watch.deadline(), Some(s(1002) + LEAK_GRACE));
        assert_eq!(watch.due(s(1002) + LEAK_GRACE), Some(Order::Kill));
        assert_eq!((watch.cause(), watch.stop()), (None, Stop::Unasked));

        let mut watch = running();
        watch.left_behind(s(1002));
        assert_eq!(watch.cancel(Canceller::Request, s(1002)), Some(Order::Kill));
        assert_eq!(watch.cause(), None);
    }

    #[test]
    fn a_stop_before_the_begin_kills_at_once() {
        let mut watch = Watch::new(LIMITS, Begins::WithExec, s(1000));
        assert_eq!(watch.cancel(Canceller::Request, s(1000)), Some(Order::Kill));
        watch.begin(s(1000));
        assert_eq!(watch.stop(), Stop::Killed);
    }

    #[test]
    fn limits_without_end_never_fire() {
        let limits = Limits { total: Duration::MAX, idle: Duration::MAX, start: Duration::MAX, grace: s(1) };
        let mut watch = Watch::new(limits, Begins::WithExec, s(1));
        watch.begin(s(2));
        assert_eq!(watch.due(s(4_000_000_000)), None);
    }
}
