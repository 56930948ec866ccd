//! The machine: orch itself, the kernel, the clock, the environment.

use jiff::Timestamp;

use super::examine::{Notes, Visit};
use super::finding::Finding;
use crate::exec::{BootId, Kernel, kernel};

/// A clock that stands before this was never set: 2025-01-01.
const EARLIEST: i64 = 1_735_689_600;
/// A clock that stands after this is wrong, or this program is very old: 2100-01-01.
const LATEST: i64 = 4_102_444_800;

pub(super) fn look(visit: &Visit, notes: &Notes) {
    let program =
        std::env::current_exe().map_or_else(|_| "an unknown path".to_owned(), |path| path.display().to_string());
    notes.add(Finding::ok("orch", format!("{} at {program}", env!("CARGO_PKG_VERSION"))));
    notes.turn_to("kernel");
    of_kernel(&kernel(), notes);
    notes.add(clock(visit.now, BootId::current().is_ok()));
    notes.add(environment(&visit.host_env));
}

fn of_kernel(kernel: &Kernel, notes: &Notes) {
    let needed =
        [(kernel.pidfd, "pidfd_open"), (kernel.subreaper, "PR_SET_CHILD_SUBREAPER"), (kernel.openat2, "openat2")];
    let missing: Vec<&str> = needed.into_iter().filter_map(|(there, name)| (!there).then_some(name)).collect();
    notes.add(if missing.is_empty() {
        Finding::ok("kernel", format!("Linux {}: pidfd, subreaper, openat2", kernel.release))
    } else {
        let seen = format!("Linux {} refuses {}", kernel.release, missing.join(", "));
        Finding::fail("kernel", seen, "use Linux 5.6 or newer, and a seccomp filter that lets these calls through")
    });
    notes.add(Finding::ok(
        "kernel",
        match &kernel.cgroup {
            Some(folder) => {
                format!("cgroup v2 at {}: a producer and all it started is ended at once", folder.display())
            }
            None => {
                "no writable cgroup v2: what a producer started is found by its mark and ended one by one".to_owned()
            }
        },
    ));
    notes.add(Finding::ok(
        "kernel",
        match kernel.landlock {
            Some(version) => format!("Landlock {version}"),
            None => "no Landlock".to_owned(),
        },
    ));
}

fn clock(now: Timestamp, boot_is_known: bool) -> Finding {
    if !boot_is_known {
        return Finding::fail(
            "clock",
            "/proc/sys/kernel/random/boot_id cannot be read",
            "mount /proc; without it a reboot cannot be told",
        );
    }
    if (EARLIEST..LATEST).contains(&now.as_second()) {
        return Finding::ok("clock", now.to_string());
    }
    Finding::warn(
        "clock",
        format!("it says {now}"),
        "set the clock; orders and limits do not depend on it, but every time that people read does",
    )
}

/// Names only: values may be secrets.
fn environment(host_env: &[(String, String)]) -> Finding {
    let mut names: Vec<&str> =
        host_env.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("ORCH_")).collect();
    names.sort_unstable();
    let seen =
        if names.is_empty() { "no ORCH_* variable is set".to_owned() } else { format!("set: {}", names.join(" ")) };
    Finding::ok("environment", seen)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_told() {
        let check = |second: i64, boot, expected| {
            assert_eq!(clock(Timestamp::from_second(second).unwrap(), boot).status, expected, "{second}");
        };
        check(0, true, Status::Warn);
        check(EARLIEST, true, Status::Ok);
        check(LATEST, true, Status::Warn);
        check(EARLIEST, false, Status::Fail);
    }

    #[test]
    fn the_environment_is_told_by_name() {
        let pairs = [("ORCH_TOKEN", "hush"), ("PATH", "/bin"), ("ORCH_LOG", "debug")];
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(environment(&pairs).seen, "set: ORCH_LOG ORCH_TOKEN");
    }
}
