//! What runner and supervisor say to each other, over a pair of seqpacket sockets.
//!
//! A message is JSON in one or more packets. Each packet starts with two bytes: the protocol's version and whether
//! more follows; arguments of 200 kB so reach the supervisor, and it is `execve` that refuses them. End of file is
//! the death, or the orderly end, of the other side.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::evidence::{Canceller, ExitRecord, SpawnFailure};
use crate::domain::id::{AttemptId, Nonce};
use crate::domain::pipeline::{Argv, Limits};
use crate::domain::plan::{AttemptPlan, Cage, Environment};

/// Version of the packets and of what is in them.
pub(super) const PROTOCOL: u8 = 2;

/// Largest payload of a packet, in bytes; well below the default send buffer of a Unix socket.
const PACKET_BYTES: usize = 32 * 1024;

/// Largest message, in bytes. The kernel refuses arguments and environment above 6 MiB; JSON at most sextuples them.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Default bound of what is kept of one output stream of an attempt, in bytes.
pub const OUTPUT_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// One attempt, as the supervisor needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// Which attempt; its id is also the mark in the producer's environment.
    pub attempt: AttemptId,
    /// Ties the exit record to this launch; never given to the producer.
    pub nonce: Nonce,
    /// Program and arguments.
    pub argv: Argv,
    /// Absolute working folder.
    pub cwd: PathBuf,
    /// The producer's whole environment. The supervisor sets [`MARK`](super::MARK) on top and adds nothing else.
    pub env: Environment,
    /// Time limits.
    pub limits: Limits,
    /// Bytes kept of each output stream; above it the middle is dropped.
    pub output_max_bytes: u64,
    /// File that is its standard input; `/dev/null` where there is none.
    pub stdin: Option<PathBuf>,
    /// What ends the start limit.
    pub begins: Begins,
    /// What it may reach; everything where `None`.
    pub cage: Option<Cage>,
}

/// What ends the start limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begins {
    /// `execve` has succeeded.
    WithExec,
    /// The first bytes of its standard output, counted from `execve` on.
    WithOutput,
}

impl Launch {
    /// The launch of a plan, with the default bound of output.
    pub fn of(plan: &AttemptPlan) -> Self {
        Self {
            attempt: plan.key.attempt,
            nonce: plan.nonce,
            argv: plan.argv.clone(),
            cwd: plan.cwd.clone(),
            env: plan.env.clone(),
            limits: plan.limits,
            output_max_bytes: OUTPUT_MAX_BYTES,
            stdin: plan.agent.as_ref().filter(|agent| agent.on_stdin).map(|agent| agent.prompt.clone()),
            begins: match &plan.agent {
                Some(agent) if agent.tells_first_event => Begins::WithOutput,
                Some(_) | None => Begins::WithExec,
            },
            cage: plan.agent.as_ref().map(|agent| agent.cage.clone()),
        }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, nonce: _, argv, cwd, env, limits, output_max_bytes, stdin, begins, cage } = self;
        f.debug_struct("Launch")
            .field("attempt", attempt)
            .field("program", &argv.program())
            .field("words", &argv.words().len())
            .field("cwd", cwd)
            .field("env", env)
            .field("limits", limits)
            .field("output_max_bytes", output_max_bytes)
            .field("stdin", stdin)
            .field("begins", begins)
            .field("cage", cage)
            .finish_non_exhaustive()
    }
}

/// What the runner asks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(super) enum Ask {
    /// Start an attempt; only when none is under way.
    Launch(Box<WireLaunch>),
    /// Stop the attempt under way; asked again, kill it at once.
    Stop {
        /// Who wants it.
        by: Canceller,
    },
}

/// What the supervisor says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(super) enum Say {
    /// It holds the run folder and can be asked.
    Ready,
    /// It could not take the run folder, and ends.
    NotReady(SpawnFailure),
    /// `execve` succeeded.
    Began {
        /// The main process.
        pid: i32,
    },
    /// An attempt of this id was started before; nothing was done.
    Refused {
        /// It.
        attempt: AttemptId,
    },
    /// The attempt ended, nothing of it lives, and its record is in the file.
    Ended(Box<ExitRecord>),
}

/// [`Launch`] as it is sent. Has no `Debug`: the environment's values are in it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct WireLaunch {
    attempt: AttemptId,
    nonce: Nonce,
    argv: Argv,
    /// Any bytes: a folder's name need not be UTF-8.
    cwd: OsString,
    env: Vec<(String, String)>,
    limits: Limits,
    output_max_bytes: u64,
    stdin: Option<OsString>,
    begins: Begins,
    cage: Option<Cage>,
}

impl From<&Launch> for WireLaunch {
    fn from(launch: &Launch) -> Self {
        Self {
            attempt: launch.attempt,
            nonce: launch.nonce,
            argv: launch.argv.clone(),
            cwd: launch.cwd.clone().into_os_string(),
            env: launch.env.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            limits: launch.limits,
            output_max_bytes: launch.output_max_bytes,
            stdin: launch.stdin.clone().map(PathBuf::into_os_string),
            begins: launch.begins,
            cage: launch.cage.clone(),
        }
    }
}

impl From<WireLaunch> for Launch {
    fn from(wire: WireLaunch) -> Self {
        Self {
            attempt: wire.attempt,
            nonce: wire.nonce,
            argv: wire.argv,
            cwd: PathBuf::from(wire.cwd),
            env: Environment::new(wire.env),
            limits: wire.limits,
            output_max_bytes: wire.output_max_bytes,
            stdin: wire.stdin.map(PathBuf::from),
            begins: wire.begins,
            cage: wire.cage,
        }
    }
}

/// Why a message did not go through.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// It is larger than any command that a kernel starts.
    #[error("a message of {bytes} bytes is above the limit of {MESSAGE_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The other side speaks another version.
    #[error("the other side speaks version {found} of the protocol, this one speaks {PROTOCOL}")]
    Version {
        /// What it speaks.
        found: u8,
    },
    /// It is not a message.
    #[error("a message cannot be read")]
    Form(#[source] serde_json::Error),
    /// It is a message that has no place here.
    #[error("the other side says something that it may not say now")]
    Unexpected,
    /// The socket failed.
    #[error("the socket to the other side failed")]
    Socket(#[source] io::Error),
}

/// One end of the pair.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Wraps a connected seqpacket socket.
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one message, waiting for room.
    pub(super) fn send(&self, message: &impl Serialize) -> Result<(), ChannelError> {
        let text = serde_json::to_vec(message).map_err(ChannelError::Form)?;
        if text.len() > MESSAGE_BYTES {
            return Err(ChannelError::TooLarge { bytes: text.len() });
        }
        let parts = text.chunks(PACKET_BYTES).len();
        for (index, part) in text.chunks(PACKET_BYTES).enumerate() {
            let mut packet = Vec::with_capacity(part.len() + 2);
            packet.push(PROTOCOL);
            packet.push(u8::from(index + 1 < parts));
            packet.extend_from_slice(part);
            loop {
                match send(&self.socket, &packet, SendFlags::NOSIGNAL) {
                    Ok(_whole) => break,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(ChannelError::Socket(errno.into())),
                }
            }
        }
        Ok(())
    }

    /// Takes the next message, waiting for it; `None` when the other side is gone.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> Result<Option<T>, ChannelError> {
        let mut text = Vec::new();
        let mut packet = vec![0; PACKET_BYTES + 2];
        loop {
            let length = match recv(&self.socket, &mut packet[..], RecvFlags::empty()) {
                Ok((_, 0)) | Err(Errno::CONNRESET | Errno::PIPE) => return Ok(None),
                Ok((_, length)) => length,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(ChannelError::Socket(errno.into())),
            };
            let more = match packet.get(..length) {
                Some([PROTOCOL, more, part @ ..]) => {
                    text.extend_from_slice(part);
                    *more == 1
                }
                Some([found, ..]) => return Err(ChannelError::Version { found: *found }),
                Some([]) | None => return Err(ChannelError::TooLarge { bytes: length }),
            };
            match (more, text.len()) {
                (_, bytes) if bytes > MESSAGE_BYTES => return Err(ChannelError::TooLarge { bytes }),
                (true, _) => {}
                (false, _) => return serde_json::from_slice(&text).map(Some).map_err(ChannelError::Form),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (Channel, Channel) {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        (Channel::new(a), Channel::new(b))
    }

    fn launch(argument_bytes: usize) -> Launch {
        Launch {
            attempt: AttemptId::new(uuid::Uuid::from_u128(1)),
            nonce: Nonce::new(uuid::Uuid::from_u128(2)),
            argv: Argv::new(vec!["true".into(), "\"".repeat(argument_bytes)]).unwrap(),
            cwd: PathBuf::from("/"),
            env: Environment::new([("TOKEN".to_owned(), "hush".to_owned())]),
            limits: Limits::default(),
            output_max_bytes: OUTPUT_MAX_BYTES,
            stdin: Some(PathBuf::from("/prompt")),
            begins: Begins::WithOutput,
            cage: Some(Cage { write: vec![PathBuf::from("/w")], ..Cage::default() }),
        }
    }

    #[test]
    fn messages_of_any_size_come_back_equal() {
        for bytes in [0, 1, PACKET_BYTES, 200_000, 3_000_000] {
            let (ours, theirs) = pair();
            let sent = launch(bytes);
            let wire = WireLaunch::from(&sent);
            let writer = std::thread::spawn(move || ours.send(&Ask::Launch(Box::new(wire))));
            let got = theirs.receive::<Ask>().unwrap().unwrap();
            writer.join().unwrap().unwrap();
            match got {
                Ask::Launch(wire) => assert_eq!(Launch::from(*wire), sent),
                Ask::Stop { .. } => panic!("sent a launch of {bytes}"),
            }
        }
    }

    #[test]
    fn a_closed_end_is_no_error() {
        let (ours, theirs) = pair();
        drop(ours);
        assert!(theirs.receive::<Ask>().unwrap().is_none());
    }

    #[test]
    fn another_version_is_told_apart() {
        let (ours, theirs) = pair();
        send(&ours.socket, &[9, 0, b'{', b'}'], SendFlags::NOSIGNAL).unwrap();
        assert!(matches!(theirs.receive::<Ask>(), Err(ChannelError::Version { found: 9 })));
    }

    #[test]
    fn debug_shows_no_value() {
        let text = format!("{:?}", launch(1));
        assert!(text.contains("TOKEN") && !text.contains("hush"), "{text}");
        assert!(!text.contains(&launch(1).nonce.to_string()), "{text}");
    }
}
