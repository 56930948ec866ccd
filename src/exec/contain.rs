//! What keeps an agent from the rest of the machine: Landlock, no new privileges, few capabilities, limits, a umask.
//!
//! The rules are made here, in the supervisor, where memory may be allocated; the child only enters them, with one
//! system call between its birth and `execve`. Landlock allows and never forbids, so what is hidden is left out: the
//! folders above it are granted entry by entry. What is made beside those entries later is hidden too.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, Scope,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities};

use super::group;
use crate::domain::plan::Cage;

/// The newest interface that is asked for; older kernels give what they have.
const ABI_WANTED: ABI = ABI::V6;

/// Most entries that are granted one by one.
const RULES_MAX: usize = 20_000;

/// Devices that every program may write to.
const DEVICES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"];

/// Mode bits that a contained process never gives to others.
pub(super) const UMASK: u32 = 0o077;

/// Limits of a contained process and everything it starts: no core file, which would hold its secrets; no file that
/// fills the disk; descriptors for a large build and not for a flood.
pub(super) const LIMITS: [(Resource, u64); 3] =
    [(Resource::Core, 0), (Resource::Fsize, 16 * 1024 * 1024 * 1024), (Resource::Nofile, 65_536)];

/// Capabilities that a contained process keeps, where orch has them: what builds, package managers and test servers of
/// root do with files and ports that they reach anyway. All others are dropped. With `CAP_PERFMON` or `CAP_SYS_ADMIN` a
/// process reads `/proc/PID/environ` of any other, and Landlock is not asked (`may_access_mm` of fs/proc/base.c, Linux 6.13);
/// with `CAP_SYS_RESOURCE` and `CAP_KILL` it ends those of other users.
const KEPT: [(CapabilitySet, &str); 7] = [
    (CapabilitySet::CHOWN, "chown"),
    (CapabilitySet::DAC_OVERRIDE, "dac-override"),
    (CapabilitySet::FOWNER, "fowner"),
    (CapabilitySet::FSETID, "fsetid"),
    (CapabilitySet::SETGID, "setgid"),
    (CapabilitySet::SETUID, "setuid"),
    (CapabilitySet::NET_BIND_SERVICE, "net-bind-service"),
];

/// Rules that a child can enter.
#[derive(Debug)]
pub(super) struct Fence {
    /// The rules.
    pub(super) rules: OwnedFd,
    /// Version of the kernel's interface.
    pub(super) version: u32,
}

/// Makes the rules of a cage.
///
/// # Errors
/// Why there can be none, in words.
pub(super) fn fence(cage: &Cage) -> Result<Fence, String> {
    if let Some(why) = &cage.off {
        return Err(why.clone());
    }
    let version = group::landlock_version().ok_or("the kernel has no Landlock, or it is switched off")?;
    let made = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_WANTED))
        .and_then(|rules| rules.scope(Scope::from_all(ABI_WANTED)))
        .and_then(Ruleset::create)
        .map_err(|error| format!("Landlock: {error}"))?;
    let hidden: Vec<PathBuf> = cage.hidden.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect();
    let mut granted = Vec::new();
    open_up(Path::new("/"), &hidden, &mut granted)?;
    let mut rules = Some(made);
    for path in granted.iter().chain(&cage.read) {
        allow(&mut rules, path, AccessFs::from_read(ABI_WANTED))?;
    }
    for path in cage.write.iter().map(PathBuf::as_path).chain(DEVICES.map(Path::new)) {
        allow(&mut rules, path, AccessFs::from_all(ABI_WANTED))?;
    }
    let rules: Option<OwnedFd> = rules.and_then(Into::into);
    Ok(Fence { rules: rules.ok_or("the kernel has no Landlock, or it is switched off")?, version })
}

/// Lists what is to be granted so that a folder is open without what is hidden below it.
fn open_up(folder: &Path, hidden: &[PathBuf], granted: &mut Vec<PathBuf>) -> Result<(), String> {
    if hidden.iter().any(|path| folder.starts_with(path)) {
        return Ok(());
    }
    if granted.len() > RULES_MAX {
        return Err(format!(
            "more than {RULES_MAX} entries stand beside what is to be hidden, near {}",
            folder.display()
        ));
    }
    if !hidden.iter().any(|path| path.starts_with(folder)) {
        granted.push(folder.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        // A link grants nothing: what it leads to is granted, or hidden, where it lies.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            open_up(&entry.path(), hidden, granted)?;
        }
    }
    Ok(())
}

/// Grants access to a file or a folder; one that is gone by now needs none.
fn allow(rules: &mut Option<RulesetCreated>, path: &Path, access: landlock::BitFlags<AccessFs>) -> Result<(), String> {
    let Ok(file) = PathFd::new(path) else { return Ok(()) };
    // A file takes no rights of a folder.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI_WANTED) };
    let Some(current) = rules.take() else { return Ok(()) };
    let extended = current.add_rule(PathBeneath::new(file, access));
    *rules = Some(extended.map_err(|error| format!("Landlock refuses {}: {error}", path.display()))?);
    Ok(())
}

/// What a contained child of this process may keep of its capabilities.
pub(super) fn kept() -> Result<CapabilitySet, Errno> {
    let all = KEPT.iter().fold(CapabilitySet::empty(), |all, (one, _)| all | *one);
    capabilities(None).map(|own| own.permitted & all)
}

/// Their names.
pub(super) fn names(set: CapabilitySet) -> Vec<String> {
    KEPT.iter().filter(|(one, _)| set.contains(*one)).map(|(_, name)| (*name).to_owned()).collect()
}

/// Drops every capability of the calling process but these, for itself and all that it starts: system calls only.
pub(super) fn drop_capabilities(kept: CapabilitySet) -> Result<(), Errno> {
    if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        for bit in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << bit);
            // EINVAL is behind the last one that the kernel knows. Without the bounding set, `execve` gives none back either:
            // no new privileges are in force.
            if !kept.contains(one) && rustix::thread::remove_capability_from_bounding_set(one).is_err() {
                break;
            }
        }
    }
    // What is no longer inheritable is no longer ambient.
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

/// The limits as the kernel takes them, never above what this process has itself.
pub(super) fn limits() -> [(Resource, Rlimit); LIMITS.len()] {
    LIMITS.map(|(resource, wanted)| {
        let own = rustix::process::getrlimit(resource).maximum;
        let most = Some(own.map_or(wanted, |own| own.min(wanted)));
        (resource, Rlimit { current: most, maximum: most })
    })
}
