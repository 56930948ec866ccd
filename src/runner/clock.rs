//! The wall clock and random ids, as things that are passed in.

use jiff::Timestamp;

/// Tells the time to people and makes ids.
pub trait Clock {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;
    /// A new id that sorts after those before it.
    fn id(&self) -> uuid::Uuid;
    /// A random word that cannot be guessed.
    fn secret(&self) -> uuid::Uuid;
}

/// The machine's clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the runner's clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::now_v7()
    }

    fn secret(&self) -> uuid::Uuid {
        uuid::Uuid::new_v4()
    }
}
