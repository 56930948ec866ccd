//! What an experiment is asked for by its environment, and its random numbers: the same seed, the same draws.

use std::fmt::Display;
use std::time::Duration;

/// How large the experiments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Part of `cargo test`: everything within a minute.
    Short,
    /// The figures of `docs/reliability.md`.
    Long,
}

impl Size {
    /// `ORCH_LAB`; short where it is not set.
    pub(crate) fn wanted() -> Self {
        match std::env::var("ORCH_LAB").as_deref() {
            Err(_) | Ok("short") => Self::Short,
            Ok("long") => Self::Long,
            Ok(other) => panic!("ORCH_LAB is {other:?}; it is short or long"),
        }
    }

    pub(crate) fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// `ORCH_LAB_SEED`; 1 where it is not set, so that every run of `cargo test` draws the same.
pub(crate) fn seed() -> u64 {
    number("ORCH_LAB_SEED").unwrap_or(1)
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name} is {text:?}: {error}")))
}

/// How one thing is tried again.
pub(crate) fn again(variables: &[(&str, &dyn Display)], test: &str) -> String {
    let set: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} cargo test --test lab {test} -- --nocapture", set.join(" "))
}

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// An exponential time with this mean.
    #[expect(clippy::cast_precision_loss, reason = "52 bits are drawn")]
    pub(crate) fn exponential(&mut self, mean: Duration) -> Duration {
        let unit = ((self.next() >> 12) as f64 + 1.0) / (1_u64 << 52) as f64;
        mean.mul_f64(-unit.ln())
    }
}
