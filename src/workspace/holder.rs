//! Who holds a lock, for people: a card beside the lock, and whether the process on it still lives.
//!
//! The kernel's lock decides; the card only names. So a card that is empty, torn or foreign is no error: the
//! holder is unknown then.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::Nonce;
use crate::exec;

/// Version of the card that is written.
const FORM: u32 = 2;

/// Longest card, in bytes.
pub(super) const CARD_BYTES_MAX: u64 = 64 * 1024;

/// Longest command line on a card, in characters.
const COMMAND_CHARS_MAX: usize = 300;

/// Words in the name of an option or variable whose value is kept off the card.
const SECRET_WORDS: [&str; 7] = ["token", "secret", "password", "passwd", "key", "auth", "credential"];

/// A process that is or was a holder: known by more than its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Holder {
    /// Version of this form: 2. Form 1 had no `pidfd` and is still read.
    pub version: u32,
    /// This acquisition's own word; a release without it clears nothing.
    pub token: Nonce,
    /// Name of the machine, for people.
    pub host: String,
    /// The machine's lasting id, from machine-id(5); empty where it has none.
    pub host_id: String,
    /// The kernel's id of this start of the machine, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Inode of its PID namespace.
    pub pid_namespace: u64,
    /// Its pid there.
    pub pid: i32,
    /// Clock ticks from the machine's start to its own, as in proc(5) `stat`, field 22.
    pub start_ticks: u64,
    /// Inode of its pidfd, which no other process of this boot has (Linux 6.9).
    #[serde(default)]
    pub pidfd: Option<u64>,
    /// Wall clock when it took the lock.
    pub started_at: Timestamp,
    /// Its command line, shortened, without values that look secret.
    pub command: String,
}

/// What is known of the life of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It is gone: no such process, a zombie, another process with its pid, or the machine was started anew.
    Gone,
    /// It cannot be asked from here: another machine or PID namespace, or no right to look. Neither stolen from
    /// nor signalled.
    Unknown,
}

impl Holder {
    /// The card of this very process.
    pub fn this_process(token: Nonce, started_at: Timestamp, words: &[String]) -> Self {
        let here = Here::look();
        let pid = rustix::process::getpid().as_raw_pid();
        let start_ticks = match look_at(pid) {
            Seen::Running { start_ticks } => start_ticks,
            Seen::Ended | Seen::Hidden => 0,
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            version: FORM,
            token,
            host,
            host_id: here.host_id,
            boot_id: here.boot_id,
            pid_namespace: here.pid_namespace,
            pid,
            start_ticks,
            pidfd: exec::own_pidfd(),
            started_at,
            command: without_secrets(words),
        }
    }

    /// Reads a card; `None` for one that is not whole.
    pub(super) fn parse(card: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(card).ok().filter(|holder| (1..=FORM).contains(&holder.version))
    }

    /// Whether it lives, as far as this process can see.
    pub fn liveness(&self) -> Liveness {
        let here = Here::look();
        let same_host = !self.host_id.is_empty() && self.host_id == here.host_id;
        let same_boot = !self.boot_id.is_empty() && self.boot_id == here.boot_id;
        if same_host && !same_boot && !here.boot_id.is_empty() {
            return Liveness::Gone;
        }
        if !same_boot || self.pid_namespace != here.pid_namespace || self.pid <= 1 {
            return Liveness::Unknown;
        }
        match look_at(self.pid) {
            // In the same tick, and yet another: a pid that was used anew at once.
            Seen::Running { .. } if self.pidfd.is_some_and(|noted| exec::is_another(self.pid, noted)) => Liveness::Gone,
            Seen::Running { start_ticks } if start_ticks == self.start_ticks => Liveness::Alive,
            Seen::Running { .. } | Seen::Ended => Liveness::Gone,
            Seen::Hidden => Liveness::Unknown,
        }
    }

    /// Whether it runs, or ran, under another kernel than this one: then this one's locks say nothing of it.
    pub fn is_of_another_machine(&self) -> bool {
        self.liveness() == Liveness::Unknown && self.boot_id != Here::look().boot_id
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let life = match self.liveness() {
            Liveness::Alive => "alive",
            Liveness::Gone => "gone",
            Liveness::Unknown => "cannot be asked from here",
        };
        let Self { pid, host, started_at, command, .. } = self;
        format!("pid {pid} on {host}, since {started_at:.0}, `{}` ({life})", super::logs::escape(command.as_bytes()))
    }
}

/// This machine, this start of it, this PID namespace.
struct Here {
    host_id: String,
    boot_id: String,
    pid_namespace: u64,
}

impl Here {
    fn look() -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            host_id: line("/etc/machine-id"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            pid_namespace: std::fs::metadata("/proc/self/ns/pid").map(|found| found.ino()).unwrap_or_default(),
        }
    }
}

/// What `/proc` shows of a pid.
enum Seen {
    Running { start_ticks: u64 },
    Ended,
    Hidden,
}

fn look_at(pid: i32) -> Seen {
    let stat = match std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Under `hidepid` a foreign process looks as if it were not there; the kernel still tells by kill(2).
            let found = rustix::process::Pid::from_raw(pid).map(rustix::process::test_kill_process);
            return match found {
                Some(Err(rustix::io::Errno::SRCH)) | None => Seen::Ended,
                Some(Ok(()) | Err(_)) => Seen::Hidden,
            };
        }
        // ESRCH: it ended between open and read.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Seen::Ended,
        Err(_) => return Seen::Hidden,
    };
    // The name in field 2 may hold spaces and parentheses; the fields count from its last one.
    let text = String::from_utf8_lossy(&stat);
    let Some((_, fields)) = text.rsplit_once(')') else { return Seen::Hidden };
    let mut fields = fields.split_ascii_whitespace();
    match (fields.next(), fields.nth(18).and_then(|ticks| ticks.parse().ok())) {
        (Some("Z" | "X" | "x"), _) => Seen::Ended,
        (Some(_), Some(start_ticks)) => Seen::Running { start_ticks },
        (_, _) => Seen::Hidden,
    }
}

/// A command line for people: nothing after `--`, no value of anything that sounds secret.
fn without_secrets(words: &[String]) -> String {
    let sounds_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        SECRET_WORDS.iter().any(|word| name.contains(word))
    };
    let mut shown: Vec<String> = Vec::new();
    let mut hide_next = false;
    for word in words {
        if word == "--" {
            shown.push("-- …".to_owned());
            break;
        }
        if std::mem::take(&mut hide_next) {
            shown.push("…".to_owned());
            continue;
        }
        match word.split_once('=') {
            Some((name, _)) if sounds_secret(name) => shown.push(format!("{name}=…")),
            Some(_) => shown.push(word.clone()),
            None => {
                hide_next = word.starts_with('-') && sounds_secret(word);
                shown.push(word.clone());
            }
        }
    }
    shown.join(" ").chars().take(COMMAND_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Holder {
        Holder::this_process(Nonce::new(uuid::Uuid::nil()), Timestamp::UNIX_EPOCH, &["orch".to_owned()])
    }

    #[test]
    fn a_process_is_known_by_more_than_its_pid() {
        assert_eq!(card().liveness(), Liveness::Alive);
        let check = |change: &dyn Fn(&mut Holder), expected| {
            let mut holder = card();
            change(&mut holder);
            assert_eq!(holder.liveness(), expected, "{holder:?}");
        };
        check(&|holder| holder.start_ticks += 1, Liveness::Gone);
        check(&|holder| holder.pidfd = None, Liveness::Alive);
        check(&|holder| holder.pid = 4_194_304, Liveness::Gone);
        check(&|holder| holder.pid_namespace += 1, Liveness::Unknown);
        check(&|holder| holder.pid = 0, Liveness::Unknown);
        check(
            &|holder| {
                holder.host_id = "another".to_owned();
                holder.boot_id = "another".to_owned();
            },
            Liveness::Unknown,
        );
    }

    /// Before Linux 6.9 all pidfds have one inode; then the start alone has to tell them apart.
    #[test]
    fn another_process_of_the_same_pid_and_start_is_not_the_holder() {
        let other = exec::own_pidfd().unwrap() + 1;
        let holder = Holder { pidfd: Some(other), ..card() };
        // Our own pid cannot be aimed at, so nothing can be seen of it: look at the parent's.
        let parent = rustix::process::getppid().unwrap().as_raw_pid();
        let Seen::Running { start_ticks } = look_at(parent) else { panic!("the parent is gone") };
        assert_eq!(Holder { pid: parent, start_ticks, ..holder }.liveness(), Liveness::Gone);
    }

    #[test]
    fn the_older_form_is_read_and_a_newer_one_names_nobody() {
        let mut form: serde_json::Value = serde_json::to_value(card()).unwrap();
        form.as_object_mut().unwrap().remove("pidfd");
        form["version"] = 1.into();
        let older = Holder::parse(form.to_string().as_bytes()).unwrap();
        assert_eq!((older.pidfd, older.liveness()), (None, Liveness::Alive));
        form["version"] = (FORM + 1).into();
        assert_eq!(Holder::parse(form.to_string().as_bytes()), None);
    }

    #[test]
    fn secrets_stay_off_the_card() {
        let check = |line: &str, expected| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(without_secrets(&words), expected);
        };
        check("orch pipeline run --task a", "orch pipeline run --task a");
        check("orch serve --api-token abc --port=1", "orch serve --api-token … --port=1");
        check("orch serve --api-token=abc", "orch serve --api-token=…");
        check("orch classify -- curl -H x", "orch classify -- …");
    }

    #[test]
    fn a_torn_card_names_nobody() {
        let whole = serde_json::to_vec(&card()).unwrap();
        assert_eq!(Holder::parse(&whole), Some(card()));
        for end in 0..whole.len() {
            assert_eq!(Holder::parse(whole.get(..end).unwrap()), None, "{end}");
        }
        assert_eq!(Holder::parse(b"\xff\xfe"), None);
    }
}
