//! Floor 1: what was seen → what class it is. Pure: bytes and facts come in, an outcome goes out.
//!
//! Two steps, kept apart so that each can be tested alone and replayed later:
//!
//! ```text
//! output bytes ──reader──▶ OutputFacts ┐
//! report bytes ──junit───▶ ReportFound ├─▶ Evidence ──rules──▶ Outcome
//! exit record ─────────────────────────┘
//! an agent's events ──AgentReader──▶ AgentFacts, part of the Evidence
//! ```
//!
//! The reader is fed pieces of any size and keeps a bounded state, so that a gigabyte of output needs no gigabyte
//! of memory. The rules are one ordered list (`rules.rs`); the first that applies decides. Evidence of the suite
//! stands above every word the suite could print.

mod adapters;
mod agent;
mod channel;
mod code_fault;
mod crash;
mod errno;
pub mod junit;
mod line;
mod proof;
mod reader;
mod rules;
mod signatures;
mod smoke;
mod tally;

pub use adapters::closing_line::{ClosingLineError, check_closing_line};
pub use agent::AgentReader;
pub use channel::{channel_in_words, passes_by_waiting};
pub use errno::{errno_name, signal_name, signal_number};
pub use proof::shown_duration;
pub use reader::Reader;
pub use rules::{classify, classify_suite};
