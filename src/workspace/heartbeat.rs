//! The beat of a holder: its cards are renewed from a thread of their own, whatever the rest of the process waits for.
//!
//! The kernel's lock decides who may work on this machine, and no age takes it away. The beat is for people, and for
//! the one case where the kernel cannot be asked: a card that was left by another machine.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

use super::lock::{Lock, Pulse};

/// How often a holder renews its cards.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// A card that was not renewed for so long says nothing of a holder that cannot be asked any more.
pub const HEARTBEAT_TTL: Duration = Duration::from_secs(30);

/// The thread. It ends when this is dropped, and before the locks are released.
#[derive(Debug)]
pub struct Heartbeat {
    /// Dropped to end it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Begins to renew the cards of these locks.
    ///
    /// # Errors
    /// The kernel has no descriptor or no thread left.
    pub fn start(locks: &[&Lock]) -> std::io::Result<Self> {
        let pulses = locks.iter().map(|lock| lock.pulse()).collect::<std::io::Result<Vec<Pulse>>>()?;
        let (stop, stopped) = channel::<()>();
        let beat = move || {
            while stopped.recv_timeout(HEARTBEAT_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                for pulse in &pulses {
                    // The lock holds all the same; who looks at the card sees that it grows old.
                    if let Err(error) = pulse.beat() {
                        tracing::debug!(%error, "a holder's card was not renewed");
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(beat)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::warn!("the heartbeat ended with a panic");
        }
    }
}

/// How old a beat is. A time that lies ahead is no age: clocks of two machines differ.
pub fn age(beat: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(beat)).unwrap_or_default()
}

/// Whether a beat is too old to speak for its holder. A card without a time speaks for nobody.
pub fn is_expired(beat: Option<Timestamp>, now: Timestamp) -> bool {
    beat.is_none_or(|beat| age(beat, now) > HEARTBEAT_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_expires_after_its_time_and_never_before_it_was_made() {
        let at = |seconds: i64| Timestamp::new(1_000_000 + seconds, 0).unwrap();
        let check = |beat: Option<i64>, now: i64, expected: bool| {
            assert_eq!(is_expired(beat.map(at), at(now)), expected, "{beat:?} at {now}");
        };
        check(Some(0), 0, false);
        check(Some(0), 30, false);
        check(Some(0), 31, true);
        check(Some(100), 0, false);
        check(None, 0, true);
        assert_eq!(age(at(5), at(3)), Duration::ZERO);
        assert!(HEARTBEAT_EVERY * 3 < HEARTBEAT_TTL, "two beats may be missed");
    }
}
