//! The clocks of process supervision.
//!
//! Limits run on `CLOCK_BOOTTIME`, which goes on while the machine sleeps and never jumps (RELIABILITY §4.10).
//! The wall clock is written into records for people and decides nothing.

use std::time::Duration;

use jiff::Timestamp;
use rustix::event::Timespec;
use rustix::time::{ClockId, clock_gettime};

/// Longest single wait. `poll` counts a monotonic clock that stops while the machine sleeps; looking up once in a
/// while bounds how late a limit fires after that.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Time since the machine was started, sleep included.
pub(super) fn boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).expect("time since boot is not negative");
    let nanos = u32::try_from(now.tv_nsec).expect("the kernel keeps nanoseconds below a second");
    Duration::new(seconds, nanos)
}

/// Wall clock, for people.
#[expect(clippy::disallowed_methods, reason = "the supervisor is a process of its own; this is its one wall clock")]
pub(super) fn wall() -> Timestamp {
    Timestamp::now()
}

/// How long `poll` may wait for a deadline on the clock of [`boot`].
pub(super) fn wait_until(deadline: Option<Duration>, now: Duration) -> Timespec {
    let left = deadline.map_or(LONGEST_WAIT, |at| at.saturating_sub(now).min(LONGEST_WAIT));
    // Rounded up, so that a wait never ends just before its deadline and spins.
    let left = left.saturating_add(Duration::from_nanos(999));
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).expect("at most LONGEST_WAIT"),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
