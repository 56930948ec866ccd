//! Floor 6: drives one task: asks the engine, does what it says, feeds back what happened.
//!
//! ```text
//! recover ─▶ start at a stage ─▶ ( intend ─▶ launch ─▶ gather ─▶ judge ─▶ decide )* ─▶ close the run
//! ```
//!
//! The store learns of a decision before the world does. In a chain the end of one attempt, its decision and the
//! intent of the next are one commit. Whatever breaks here becomes a recorded outcome with a reason (row B9); the
//! only errors that leave this floor are those that keep orch itself from its work.

mod abandon;
mod aftermath;
mod agent;
mod answer;
mod attempt;
mod bench;
mod cage;
mod channel;
mod checkout;
mod choice;
mod clock;
mod control;
mod desk;
mod drive;
mod effects;
mod error;
mod judge;
mod judge_agent;
mod ledger;
mod notice;
mod pinned;
mod probe;
mod recovery;
mod resume;
mod reuse;
mod room;
mod secrets;
mod shadow;
mod sibling;
mod start;
mod told;
mod wait;
mod watch;
mod world;

pub use answer::Answered;
pub use checkout::artifacts_of;
pub use clock::{Clock, SystemClock};
pub use desk::Desk;
pub use drive::{Driven, Runner, Wanted};
pub use error::{RunError, chain};
pub use notice::Notice;
pub use pinned::PipelineFile;
pub use probe::Found;
pub use start::{Planned, PlannedStep};
pub use world::{Machine, Supervises, World};
