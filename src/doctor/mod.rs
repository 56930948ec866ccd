//! Floor 6: looks, and touches nothing: whether the place is fit for a run ([`examine`]), whether what is stored is
//! whole ([`verify`]), and what is written of one run ([`paper_trail`]).
//!
//! Nothing here takes a task's lock, starts a producer, or makes a folder. A task that is being driven while one looks
//! is never told as broken: what moved between two looks is looked at again, and what a runner has in hand is left out.

mod examine;
mod finding;
mod ground;
mod hosts;
mod machine;
mod others;
mod paper;
mod privacy;
mod programs;
mod switches;
pub mod verify;

pub use examine::{Choose, Told, Visit, examine};
pub use finding::{Finding, Status};
pub use hosts::{StagingLook, staging_looks};
pub use paper::paper_trail;
pub use programs::{Missing, missing_programs};
