//! Floor 6: drives one task: asks the engine, does what it says, feeds back what happened.
//!
//! ```text
//! recover ─▶ start at a stage ─▶ ( intend ─▶ launch ─▶ gather ─▶ judge ─▶ decide )* ─▶ close the run
//! ```
//!
//! The store learns of a decision before the world does. In a chain the end of one attempt, its decision and the
//! intent of the next are one commit. Whatever breaks here becomes a recorded outcome with a reason (row B9); the
//! only errors that leave this floor are those that keep orch itself from its work.

mod attempt;
mod clock;
mod drive;
mod error;
mod judge;
mod ledger;
mod notice;
mod recovery;
mod reuse;
mod start;
mod watch;

pub use clock::{Clock, SystemClock};
pub use drive::{Driven, Runner, Wanted};
pub use error::{RunError, chain};
pub use notice::Notice;
