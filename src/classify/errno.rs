//! Names of error numbers and signals, as Linux numbers them (asm-generic/errno-base.h, errno.h, signal(7)).

const ERRNO: &[(i32, &str, &str)] = &[
    (1, "EPERM", "operation not permitted"),
    (2, "ENOENT", "no such file or directory"),
    (4, "EINTR", "interrupted system call"),
    (5, "EIO", "input/output error"),
    (7, "E2BIG", "argument list too long"),
    (8, "ENOEXEC", "exec format error"),
    (11, "EAGAIN", "resource temporarily unavailable"),
    (12, "ENOMEM", "cannot allocate memory"),
    (13, "EACCES", "permission denied"),
    (16, "EBUSY", "device or resource busy"),
    (20, "ENOTDIR", "not a directory"),
    (21, "EISDIR", "is a directory"),
    (22, "EINVAL", "invalid argument"),
    (23, "ENFILE", "too many open files in the system"),
    (24, "EMFILE", "too many open files"),
    (26, "ETXTBSY", "text file busy"),
    (28, "ENOSPC", "no space left on device"),
    (30, "EROFS", "read-only file system"),
    (36, "ENAMETOOLONG", "file name too long"),
    (40, "ELOOP", "too many levels of symbolic links"),
    (80, "ELIBBAD", "accessing a corrupted shared library"),
    (122, "EDQUOT", "disk quota exceeded"),
];

const SIGNALS: &[(i32, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// Shows an error number as name and words, such as `ENOENT (no such file or directory)`.
pub fn errno_name(errno: i32) -> String {
    ERRNO
        .iter()
        .find(|(number, ..)| *number == errno)
        .map_or_else(|| format!("error number {errno}"), |(_, name, words)| format!("{name} ({words})"))
}

/// Shows a signal by name; real-time signals by number.
pub fn signal_name(signal: i32) -> String {
    SIGNALS
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

/// Reads `SIGKILL`, `KILL` or `9`; 1 to 64 are signals.
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().find(|(_, known)| known.strip_prefix("SIG") == Some(name)).map(|(number, _)| *number)
}

/// Whether an error number of a failed start may pass by itself.
pub(super) const fn may_pass(errno: i32) -> bool {
    // EAGAIN, ENOMEM, ENFILE, EMFILE, ETXTBSY, EINTR, EBUSY, ENOSPC, EDQUOT.
    matches!(errno, 4 | 11 | 12 | 16 | 23 | 24 | 26 | 28 | 122)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for text in ["SIGKILL", "KILL", "kill", "9"] {
            assert_eq!(signal_number(text), Some(9), "{text}");
        }
        for text in ["0", "65", "-9", "SIGNOPE", ""] {
            assert_eq!(signal_number(text), None, "{text}");
        }
        assert_eq!(signal_name(11), "SIGSEGV");
    }
}
