//! The worktree and orch's own files, with real git, real links and real processes.

mod artifact;
mod git;
mod lock;
mod state_dir;
mod support;
mod tree;
