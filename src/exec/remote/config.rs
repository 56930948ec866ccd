//! ssh's configuration for one target: everything that the user's own file could say is said here.

use std::path::Path;

use crate::domain::channel::{Target, is_host_word, is_jump, is_key_path, split_jump};

use super::program::quote;

/// The name by which ssh is told where to go; what it means stands in the file. No host of a pipeline can have it.
pub(super) const ALIAS: &str = "orch+target";

/// Signs of life that may be missing in a row.
const ALIVE_MISSED_MAX: u32 = 3;

/// Whether every text of a target is inside its grammar: asked again here, whoever asked before.
pub(super) fn fits(target: &Target) -> bool {
    let host = is_host_word(&target.host) || target.host.parse::<std::net::Ipv6Addr>().is_ok();
    host && target.user.as_deref().is_none_or(is_host_word)
        && target.jump.as_deref().is_none_or(is_jump)
        && target.identity.as_deref().is_none_or(is_key_path)
        && target.known_hosts.as_deref().is_none_or(is_key_path)
        && target.control.as_deref().is_none_or(is_key_path)
}

/// Name of the file itself, in the folder of a helper's connections.
pub(super) const CONFIG_FILE: &str = "config";
/// Name of the file with what ssh says of the way through the host in between.
pub(super) const JUMP_LOG_FILE: &str = "jump.log";

/// The file's text (RELIABILITY §4.12), for a folder of a helper's connections.
pub(super) fn config(target: &Target, folder: &Path) -> String {
    let mut lines = vec![format!("Host {ALIAS}"), format!("  HostName {}", target.host)];
    lines.extend(target.user.as_ref().map(|user| format!("  User {user}")));
    lines.extend(target.port.map(|port| format!("  Port {port}")));
    let jump = target.jump.as_deref().and_then(|jump| through(jump, folder));
    lines.push(format!("  ProxyCommand {}", jump.as_deref().unwrap_or("none")));
    lines.push("Host *".to_owned());
    lines.extend(target.identity.as_ref().map(|path| format!("  IdentityFile \"{path}\"")));
    let known_hosts =
        target.known_hosts.as_ref().map_or_else(|| "~/.ssh/known_hosts".to_owned(), |p| format!("\"{p}\""));
    lines.push(format!("  UserKnownHostsFile {known_hosts}"));
    lines.push(format!("  ConnectTimeout {}", target.connect.as_secs().max(1)));
    lines.push(format!("  ServerAliveInterval {}", target.alive.as_secs().max(1)));
    lines.push(format!("  ServerAliveCountMax {ALIVE_MISSED_MAX}"));
    lines.extend(HARDENED.iter().map(|line| format!("  {line}")));
    lines.join("\n") + "\n"
}

/// What `ProxyJump` would start, and where it says what goes wrong: else a key that the host in between refuses looks like
/// a connection that was closed. `None` outside the grammar, which `fits` has asked.
fn through(jump: &str, folder: &Path) -> Option<String> {
    let (user, host, port) = split_jump(jump)?;
    let file = |name| quote(&folder.join(name).to_string_lossy().replace('%', "%%"));
    let mut ssh = format!("ssh -F {} -E {} -W '[%h]:%p'", file(CONFIG_FILE), file(JUMP_LOG_FILE));
    for (option, value) in [("-l", user.map(str::to_owned)), ("-p", port.map(|port| port.to_string()))] {
        if let Some(value) = value {
            ssh = format!("{ssh} {option} {value}");
        }
    }
    Some(format!("{ssh} -- {host}"))
}

const HARDENED: [&str; 20] = [
    "BatchMode yes",
    "StrictHostKeyChecking yes",
    "GlobalKnownHostsFile /dev/null",
    "UpdateHostKeys no",
    "IdentityAgent none",
    "IdentitiesOnly yes",
    "ForwardAgent no",
    "ForwardX11 no",
    "ClearAllForwardings yes",
    "PermitLocalCommand no",
    "ControlPath none",
    "RequestTTY no",
    "EscapeChar none",
    "CanonicalizeHostname no",
    "AddKeysToAgent no",
    "VisualHostKey no",
    "VerifyHostKeyDNS no",
    "Tunnel no",
    "ConnectionAttempts 1",
    "LogLevel INFO",
];
