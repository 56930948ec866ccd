//! Floor 3: process trees. The only module that starts, signals or reaps a process.
//!
//! A run has one supervisor process ([`supervise()`]), which is the parent of its producers and outlives the runner. The
//! runner talks to it through [`Supervisor`]; after a death [`recover()`] says what became of an attempt. Short helper
//! commands of the runner's own go through [`quick()`]. Why it is made so, and what it costs, stands in
//! `docs/design/0003-supervisor.md`.
//!
//! Kept here, whatever dies:
//! - A start that failed is told by a file before it is told by anything else.
//! - An attempt has at most one exit record, written when nothing of it lives any more.
//! - An end that nobody saw is lost; it never becomes a code.
//! - No number is signalled that may belong to a stranger; 0, 1, negative numbers and our own pid cannot be aimed at.
//! - Output never waits for the disk to have room, and its memory does not grow.

mod attempt;
mod bench;
mod capture;
mod cgroup;
mod clock;
mod contain;
mod group;
mod handle;
mod identity;
mod kernel;
mod pidfd;
mod procfs;
mod protocol;
mod quick;
mod record;
mod recover;
mod remote;
mod request;
mod sentinel;
mod spawn;
mod stop;
mod supervise;
mod sweep;
mod through;
mod trail;

pub use bench::{STDERR_FILE, STDOUT_FILE};
pub use group::normalise_signals;
pub use handle::{ExecError, NotStarted, Progress, Supervisor, longest};
pub use identity::{BootId, LOCK_FILE as SUPERVISOR_LOCK_FILE};
pub use kernel::{Kernel, kernel};
pub use pidfd::{is_another, own_pidfd};
pub use protocol::{Begins, ChannelError, Launch, OUTPUT_MAX_BYTES};
pub use quick::{Quick, QuickEnd, QuickError, QuickOutput, quick, quick_or_tell};
pub use record::{EXITS_FILE, RecordError};
pub use recover::{Begun, Ending, Loss, Recovered, living_supervisor, recover, stop_orphan};
pub use remote::{CHANNEL_FILE, JOB_FILE, Looked, REMOTE, hand_over, look, remote};
pub use request::ask_to_stop;
pub use sentinel::{Sentinel, SentinelError, sentinels, was_launched};
pub use spawn::find;
pub use supervise::{SUPERVISE, supervise};
pub use sweep::{MARK, Swept};
pub use through::{Through, through};
pub use trail::{MarkedProcess, Trail, marked_processes, trail};
