//! Floor 4: the door to the worktree and to orch's own files.
//!
//! Two kinds of places, and they are not trusted alike. The worktree belongs to producers: nothing in it is
//! followed, run or believed without a look ([`root`], [`git`], [`tree`], [`artifact`], [`report`]). The state
//! folder belongs to orch: it is private, and what does not look so is refused ([`state_dir`], [`lock`], [`logs`],
//! [`tree_cache`]).
//!
//! Nothing here starts a process (git is asked through a [`git::GitRunner`] that the caller gives), decides
//! anything, or reads orch's environment by itself.

pub mod artifact;
pub mod beside;
pub mod checkout;
mod content;
pub mod controls;
pub mod damage;
mod fetch;
pub mod filesystem;
pub mod git;
pub mod heartbeat;
pub mod holder;
mod less;
mod listing;
pub mod lock;
pub mod lock_log;
pub mod logs;
pub mod preflight;
pub mod report;
pub mod repository;
pub mod root;
pub mod scope;
pub mod secrets;
pub mod shadows;
pub mod shared;
pub mod sibling;
pub mod standing;
pub mod state_dir;
pub mod tree;
pub mod tree_cache;
mod watch;
pub mod worktree;
