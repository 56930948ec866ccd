//! Floor 1: what the environment, the flags and the pipeline say about how orch works → [`Settings`], or every
//! malformed value at once.
//!
//! ```text
//! variables + flags + pipeline ─▶ Settings ─▶ per stage: which producer, why, limits, retries
//! TABLE ─▶ docs/reference/switches.md, .env.example, `orch config show`
//! ```
//!
//! [`TABLE`] is the only list of settings. This module reads nothing by itself: who calls it gives the variables. A
//! switch chooses between the declared producer, the declared fallback and a hold; it is asked before anything
//! starts, so a fault of the environment never is a reason to fall back.

mod document;
mod secrets;
mod settings;
mod table;
mod value;
mod variables;
mod warnings;

pub use document::{env_example, reference};
pub use secrets::is_secret;
pub use settings::{Choice, ConfigProblem, Flags, InForce, Origin, Settings, Sourced};
pub use table::{
    INFRA_RETRIES_MAX, Kind, OWN, Part, Reader, STATE_FREE_MIN, STATE_RESERVE, Setting, TABLE, TIMEOUT_S_MAX,
    WORKTREE_FREE_MIN,
};
pub use value::{Scope, Value};
pub use variables::Variables;
