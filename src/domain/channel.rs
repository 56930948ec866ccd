//! A command on another host: where it runs, and what was seen of the way there.
//!
//! The way has a word of its own, apart from the suite's: a begin mark and an end record, both with a nonce that the
//! suite is never given (DESIGN D21). What the transport said is kept as text; the classifier reads it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Exit, Limit, LostReason};
use super::id::{AttemptId, Nonce};
use super::pipeline::{Argv, Suite};

/// A suite on another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// Host, possibly `user@host`, possibly with `${NAME}` from the environment.
    pub host: String,
    /// Port; ssh's own where `None`.
    pub port: Option<u16>,
    /// User there, where `host` names none; possibly `${NAME}`.
    pub user: Option<String>,
    /// Private key file, absolute, below `~/`, or `${NAME}`.
    pub identity: Option<String>,
    /// File of the pinned host keys, in the same form.
    pub known_hosts: Option<String>,
    /// Host to go through, `[user@]host[:port]`, possibly `${NAME}`.
    pub jump: Option<String>,
    /// Folder of connections that somebody keeps open, in the form of `identity`.
    pub control_dir: Option<String>,
    /// Folder there.
    pub cwd: Option<String>,
    /// Longest time until a connection stands.
    pub connect: Duration,
    /// How often the host is asked for a sign of life.
    pub alive: Duration,
    /// How long the command outlives its last connection.
    pub ttl: Duration,
    /// How the version that is tested is learnt; its `expect` may be `${NAME}`.
    pub version: Option<VersionCheck>,
    /// What runs there.
    pub suite: Suite,
}

/// How a host is reached. Every text in it has passed its grammar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// User there; ssh's own default where `None`.
    pub user: Option<String>,
    /// Port; 22 where `None`.
    pub port: Option<u16>,
    /// Absolute path of the private key; ssh's default files where `None`.
    pub identity: Option<String>,
    /// Absolute path of the pinned host keys; the user's own file where `None`.
    pub known_hosts: Option<String>,
    /// `[user@]host[:port]` to go through.
    pub jump: Option<String>,
    /// Absolute path of the socket of a connection that somebody may keep open; none is looked for where `None`.
    pub control: Option<String>,
    /// Longest time until a connection stands.
    pub connect: Duration,
    /// How often the other side is asked for a sign of life; three without an answer are a lost link.
    pub alive: Duration,
}

impl Target {
    /// `user@host:port`, for people.
    pub fn shown(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{user}{host}{port}")
    }
}

/// Whether a word may be a host or a user: a letter or digit first, so that ssh cannot take it for an option, and no
/// character that any shell or ssh itself would read as more than a letter.
pub fn is_host_word(word: &str) -> bool {
    let first = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && word.len() <= 255 && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Splits `[user@]host`, an IPv6 address in brackets; `None` outside the grammar.
pub fn split_host(text: &str) -> Option<(Option<&str>, &str)> {
    let (user, host) = text.split_once('@').map_or((None, text), |(user, host)| (Some(user), host));
    if !user.is_none_or(is_host_word) {
        return None;
    }
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok().then_some((user, address)),
        None => is_host_word(host).then_some((user, host)),
    }
}

/// Whether a text is a jump host, `[user@]host[:port]`.
pub fn is_jump(text: &str) -> bool {
    split_jump(text).is_some()
}

/// Splits `[user@]host[:port]`; `None` outside the grammar.
pub fn split_jump(text: &str) -> Option<(Option<&str>, &str, Option<u16>)> {
    let (head, port) = match text.rsplit_once(':') {
        Some((head, port)) if !port.contains(']') => (head, Some(port)),
        Some(_) | None => (text, None),
    };
    let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        Some(port) => Some(Some(port).filter(digits)?.parse().ok().filter(|port| *port > 0)?),
        None => None,
    };
    let (user, host) = split_host(head)?;
    Some((user, host, port))
}

/// Whether a text is the path of a key, of known hosts or of kept connections: absolute, and of characters that ssh's
/// configuration reads as themselves. A relative one could stand in the worktree.
pub fn is_key_path(text: &str) -> bool {
    text.len() > 1
        && text.len() <= 1024
        && text.starts_with('/')
        && !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\' | '%' | '$' | '*' | '?' | '~'))
}

/// A container that a command enters, so that one can look whether it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Container {
    /// `docker` or `podman`.
    pub engine: String,
    /// Its name or id.
    pub name: String,
}

impl Container {
    /// The container of a `docker exec` or `podman exec`.
    pub fn of(words: &[String]) -> Option<Self> {
        Self::read(words).map(|(container, _)| container)
    }

    /// Whether these words start a command in a container and do not wait for it.
    pub fn is_detached(words: &[String]) -> bool {
        Self::read(words).is_some_and(|(_, detached)| detached)
    }

    /// The container, and whether an option before it says that nobody waits.
    fn read(words: &[String]) -> Option<(Self, bool)> {
        const WITH_VALUE: [&str; 5] = ["--env", "--env-file", "--user", "--workdir", "--detach-keys"];
        /// Letters that take a value: what follows in the word, else the next word.
        const LETTERS_WITH_VALUE: [char; 3] = ['e', 'u', 'w'];
        let [engine, verb, rest @ ..] = words else { return None };
        let program = engine.rsplit('/').next()?;
        if !matches!(program, "docker" | "podman") || verb != "exec" {
            return None;
        }
        let mut detached = false;
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            let name = match word.strip_prefix('-') {
                None => word,
                Some("-") => rest.next()?,
                Some(long) if long.starts_with('-') => {
                    detached |= matches!(word.as_str(), "--detach" | "--detach=true");
                    if WITH_VALUE.contains(&word.as_str()) {
                        rest.next();
                    }
                    continue;
                }
                Some(letters) => {
                    let taker = letters.find(LETTERS_WITH_VALUE);
                    detached |= letters.get(..taker.unwrap_or(letters.len())).is_some_and(|flags| flags.contains('d'));
                    if taker.is_some_and(|at| at + 1 == letters.len()) {
                        rest.next();
                    }
                    continue;
                }
            };
            return Some((Self { engine: engine.clone(), name: name.clone() }, detached));
        }
        None
    }
}

/// A command that tells which version stands on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VersionCheck {
    /// It; its output is the version.
    pub command: Argv,
    /// The version that must stand there; any where `None`.
    pub expect: Option<String>,
}

/// What was seen of the way to another host and back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChannelFacts {
    /// Version of this form: 1.
    pub version: u32,
    /// Where to, for people.
    pub host: String,
    /// The attempt whose command this is: an earlier one, where its work was taken up again.
    pub job: AttemptId,
    /// Whether the far side may have begun: everything it needs had been sent, and nothing shows that it did not.
    pub may_have_begun: bool,
    /// The begin mark: session of the command on its host.
    pub began: Option<Began>,
    /// The end record.
    pub ended: Option<RemoteEnd>,
    /// What broke, where something did.
    pub fault: Option<ChannelFault>,
    /// What we stopped it for.
    pub stopped: Option<Stopped>,
    /// Connections that were made or tried.
    pub connections: u32,
    /// Whether a look found all as it should be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
    /// The version that was tested, as the stage's own command told it.
    pub tested: Option<String>,
    /// Commands of earlier attempts that may still run there: whoever starts the next one ends them first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<AttemptId>,
    /// Commands of earlier attempts that were found running there, and were ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared: Vec<AttemptId>,
}

/// The begin mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Began {
    /// Session, and process, of the command there.
    pub session: i32,
}

/// The end record of the far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RemoteEnd {
    /// How the command ended.
    pub how: RemoteExit,
    /// Bytes of its standard output.
    pub stdout: u64,
    /// Bytes of its standard error.
    pub stderr: u64,
    /// Processes it left behind, which were killed.
    pub leaked: u32,
    /// Whether it was killed because no connection came back in time.
    pub expired: bool,
    /// Whether a part of its output was lost there: the disk was full, or more came than is kept.
    #[serde(default)]
    pub cut: bool,
}

/// An earlier attempt whose command may still be under way on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Earlier {
    /// It.
    pub attempt: AttemptId,
    /// Its secret there.
    pub nonce: Nonce,
    /// Its begin mark, where one was heard.
    pub began: Option<Began>,
}

/// A code or a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteExit {
    /// A code.
    Exited(u8),
    /// A signal's number.
    Signalled(u8),
}

/// Why we stopped a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Stopped {
    /// A limit of the stage.
    Limit {
        /// Which.
        limit: Limit,
        /// Its value.
        after: Duration,
    },
    /// Somebody asked.
    Request,
}

/// What broke on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelFault {
    /// No connection came to stand; what ssh said.
    NotConnected(String),
    /// A connection stood, and no shell answered on the other side; what was said there.
    NoShell(String),
    /// The link broke and did not come back; what ssh said.
    LinkLost(String),
    /// A tool that the far side needs is not there.
    ToolMissing(String),
    /// There is no place for the record of a command.
    NoRoom,
    /// The command of an earlier attempt still runs there, and could not be ended.
    Occupied(AttemptId),
    /// The working folder is not there.
    Folder(String),
    /// The program is not there.
    Program(String),
    /// The container cannot be entered; what its engine said, or its state.
    Container {
        /// It.
        name: String,
        /// What was said.
        said: String,
    },
    /// Another version stands there than the one that is wanted.
    Version {
        /// What is wanted.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// What tells the version did not tell one.
    Unversioned(String),
    /// The command's record is there no more, or nobody there saw its end.
    Gone,
    /// It was killed there because no connection came back within the TTL.
    Expired,
    /// ssh cannot be started here.
    NoSsh(String),
    /// orch's own side failed: a file cannot be made or written.
    OwnSide(String),
}

impl ChannelFacts {
    /// Facts of a command that nothing was done for yet.
    pub const fn new(host: String, job: AttemptId) -> Self {
        Self {
            version: 1,
            host,
            job,
            may_have_begun: false,
            began: None,
            ended: None,
            fault: None,
            stopped: None,
            connections: 0,
            ready: false,
            tested: None,
            left: Vec::new(),
            cleared: Vec::new(),
        }
    }

    /// How the command itself ended, where `recorded` is the end of the process that stood for it here.
    pub fn exit(&self, recorded: &Exit) -> Exit {
        match (&self.stopped, &self.ended, recorded) {
            (Some(Stopped::Limit { limit, after }), _, _) => Exit::TimedOut { limit: *limit, after: *after },
            (None, Some(RemoteEnd { expired: false, how, .. }), _) => match *how {
                RemoteExit::Exited(code) => Exit::Exited { code },
                RemoteExit::Signalled(signal) => Exit::Signalled { signal: i32::from(signal), core: false },
            },
            (_, _, Exit::Cancelled { .. } | Exit::TimedOut { .. } | Exit::SpawnFailed(_)) => recorded.clone(),
            (_, _, Exit::Exited { .. } | Exit::Signalled { .. } | Exit::Lost { .. } | Exit::Answered(_)) => {
                Exit::Lost { reason: LostReason::Link }
            }
        }
    }

    /// Whether its command may still run there: nobody saw its end, and nothing shows that there is none to see.
    pub fn may_still_run(&self) -> bool {
        let over = self.fault.as_ref().is_some_and(|fault| fault.leaves() == Leaves::Nothing);
        self.may_have_begun && self.ended.is_none() && !over
    }

    /// Whether its command may still run, or its end still lie there, for another attempt to fetch. What we stopped is
    /// not taken up again.
    pub fn can_be_resumed(&self) -> bool {
        self.stopped.is_none() && self.may_still_run()
    }

    /// What whoever starts the next command there has to end first.
    pub fn to_be_cleared(&self) -> Vec<AttemptId> {
        let own = self.may_still_run().then_some(self.job);
        self.left.iter().copied().filter(|left| Some(*left) != own).chain(own).collect()
    }
}

/// What a fault leaves of a command that had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves<'a> {
    /// The way broke: the work goes on there. What the transport said.
    Work(&'a str),
    /// Nothing: it was ended there, or its record is lost.
    Nothing,
    /// Whatever there was: the fault says nothing of it.
    Unknown,
}

impl ChannelFault {
    /// What it leaves.
    pub fn leaves(&self) -> Leaves<'_> {
        match self {
            Self::NotConnected(said) | Self::LinkLost(said) => Leaves::Work(said),
            Self::Gone | Self::Expired => Leaves::Nothing,
            Self::NoShell(_)
            | Self::ToolMissing(_)
            | Self::NoRoom
            | Self::Occupied(_)
            | Self::Folder(_)
            | Self::Program(_)
            | Self::Container { .. }
            | Self::Version { .. }
            | Self::Unversioned(_)
            | Self::NoSsh(_)
            | Self::OwnSide(_) => Leaves::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_run_is_cleared_before_the_next_start() {
        let [own, before] = [1, 2].map(|number| AttemptId::new(uuid::Uuid::from_u128(number)));
        let check = |change: fn(&mut ChannelFacts), resumed: bool, left: &[AttemptId]| {
            let mut facts =
                ChannelFacts { left: vec![before], may_have_begun: true, ..ChannelFacts::new("h".into(), own) };
            change(&mut facts);
            assert_eq!((facts.can_be_resumed(), facts.to_be_cleared().as_slice()), (resumed, left), "{facts:?}");
        };
        check(|_| {}, true, &[before, own]);
        check(|facts| facts.fault = Some(ChannelFault::LinkLost(String::new())), true, &[before, own]);
        check(|facts| facts.stopped = Some(Stopped::Request), false, &[before, own]);
        check(|facts| facts.fault = Some(ChannelFault::Gone), false, &[before]);
        check(|facts| facts.fault = Some(ChannelFault::Expired), false, &[before]);
        check(|facts| facts.may_have_begun = false, false, &[before]);
        let end = RemoteEnd { how: RemoteExit::Exited(0), stdout: 0, stderr: 0, leaked: 0, expired: false, cut: false };
        check(|facts| (facts.left, facts.stopped) = (Vec::new(), Some(Stopped::Request)), false, &[own]);
        let mut ended = ChannelFacts { ended: Some(end), may_have_begun: true, ..ChannelFacts::new("h".into(), own) };
        ended.stopped = Some(Stopped::Request);
        assert!(ended.to_be_cleared().is_empty());
    }

    #[test]
    fn facts_of_an_older_form_are_read() {
        let old = r#"{"version":1,"host":"h","job":"00000000-0000-0000-0000-000000000001","may-have-begun":false,"began":null,
            "ended":null,"fault":"no-room","stopped":null,"connections":1,"tested":null}"#;
        let facts: ChannelFacts = serde_json::from_str(old).unwrap();
        assert_eq!((facts.fault, facts.left, facts.cleared), (Some(ChannelFault::NoRoom), Vec::new(), Vec::new()));
    }

    #[test]
    fn the_container_of_an_exec_is_found() {
        let check = |line: &str, expected: Option<&str>| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Container::of(&words).map(|container| container.name).as_deref(), expected, "{line}");
        };
        check("docker exec app check", Some("app"));
        check("docker exec -i -e A=b --user root app check", Some("app"));
        check("/usr/bin/podman exec --env=A=b app check", Some("app"));
        check("docker run app check", None);
        check("docker exec", None);
        check("docker exec -iu 0 app check", Some("app"));
        check("docker exec -iu0 -tw/srv --env A=b app check", Some("app"));
        check("docker exec --user=0 -- app check", Some("app"));
        for (line, detached) in [
            ("docker exec -d app x", true),
            ("podman exec -itd app x", true),
            ("docker exec --detach app x", true),
            ("docker exec -u app -d app x", true),
            ("docker exec -u d app -d", false),
            ("docker exec -ud app x", false),
            ("docker exec app d -d", false),
            ("make -d", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Container::is_detached(&words), detached, "{line}");
        }
        check("sh -c docker", None);
    }

    #[test]
    fn hosts_jumps_and_paths_have_a_grammar() {
        for good in ["h", "u@h", "u@10.0.0.1", "[::1]", "u@[fe80::1]"] {
            assert!(split_host(good).is_some() && is_jump(good), "{good}");
        }
        for good in ["h:22", "u@h:2222", "[::1]:22"] {
            assert!(is_jump(good), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "u@-h", "-u@h", "u@v@h", "h h", "h;x", "%h", "`id`", "[x]", "h\n", "$(id)"]
        {
            assert!(split_host(bad).is_none() && !is_jump(bad), "{bad:?}");
        }
        for bad in ["h:", "h:0", "h:65536", "h:+1", "h:22:23", "h,h2"] {
            assert!(!is_jump(bad), "{bad:?}");
        }
        assert!(is_key_path("/home/ci user/.ssh/id_ed25519"));
        for bad in ["", "/", "id", "./id", "~/id", "/a\"b", "/a%h", "/a\nb", "/${X}"] {
            assert!(!is_key_path(bad), "{bad:?}");
        }
    }
}
