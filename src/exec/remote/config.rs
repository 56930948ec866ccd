//! ssh's configuration for one target: everything that the user's own file could say is said here.

use crate::domain::channel::{Target, is_host_word, is_jump, is_key_path};

/// The name by which ssh is told where to go; what it means stands in the file.
pub(super) const ALIAS: &str = "orch-target";

/// Signs of life that may be missing in a row.
const ALIVE_MISSED_MAX: u32 = 3;

/// Whether every text of a target is inside its grammar: asked again here, whoever asked before.
pub(super) fn fits(target: &Target) -> bool {
    let host = is_host_word(&target.host) || target.host.parse::<std::net::Ipv6Addr>().is_ok();
    host && target.user.as_deref().is_none_or(is_host_word)
        && target.jump.as_deref().is_none_or(is_jump)
        && target.identity.as_deref().is_none_or(is_key_path)
        && target.known_hosts.as_deref().is_none_or(is_key_path)
}

/// The file's text (RELIABILITY §4.12).
pub(super) fn config(target: &Target) -> String {
    let mut lines = vec![format!("Host {ALIAS}"), format!("  HostName {}", target.host)];
    lines.extend(target.user.as_ref().map(|user| format!("  User {user}")));
    lines.extend(target.port.map(|port| format!("  Port {port}")));
    match &target.jump {
        Some(jump) => lines.push(format!("  ProxyJump {jump}")),
        None => lines.push("  ProxyCommand none".to_owned()),
    }
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
