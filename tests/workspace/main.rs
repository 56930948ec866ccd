//! The worktree and orch's own files, with real git, real links and real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod artifact;
mod git;
mod lock;
mod repository;
mod state_dir;
mod support;
mod tree;
