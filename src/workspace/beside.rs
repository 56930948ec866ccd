//! Work in a thread of its own, where one can be had.

use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Work that was begun in a thread, or was done at once.
#[derive(Debug)]
pub enum Beside<'scope, T> {
    /// It is under way.
    Thread(ScopedJoinHandle<'scope, T>),
    /// It came to this.
    Done(T),
}

/// Begins a piece of work in a thread. A machine that has no room for another thread is only slower: then the work is
/// done here and now.
pub fn beside<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope (impl Fn() -> T + Sync),
) -> Beside<'scope, T> {
    match Builder::new().spawn_scoped(scope, work) {
        Ok(thread) => Beside::Thread(thread),
        Err(_no_room) => Beside::Done(work()),
    }
}

impl<T> Beside<'_, T> {
    /// Waits for its end. A panic of the thread goes on here.
    pub fn join(self) -> T {
        match self {
            Self::Thread(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Self::Done(answer) => answer,
        }
    }
}
