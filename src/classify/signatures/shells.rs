//! The loader that starts programs, and the shells that call them.

use super::{Entry, permanent, transient};

pub(super) const TABLE: &[Entry] = &[
    permanent(
        "loader",
        r"error while loading shared libraries: |cannot open shared object file|version `[A-Z]+_[^']*' not found|symbol lookup error: |undefined symbol: |^Error relocating |Error loading shared library |[Cc]annot execute binary file|[Ee]xec format error|bad interpreter|cannot execute: |\(os error 8\)|\[Errno 8\]|^FATAL: kernel too old|wrong ELF class|invalid ELF header|file too short$",
    ),
    permanent(
        "command-not-found",
        r"(?:^|: )command not found(?:$|: )|^(?:\S+: )?(?:\S+: )?(?:line )?\d*:? ?\S+: not found$|^(?:\S*/)?(?:sh|bash|dash|ash|zsh|ksh|mksh|fish|busybox|-bash|-sh): .*: (?:command )?not found$|^fish: Unknown command|^\S+: applet not found$|^Command '.*' not found",
    ),
    permanent(
        "shell-file",
        r"^(?:\S*/)?-?(?:sh|bash|dash|ash|zsh|ksh|mksh|busybox): .*(?:No such file or directory|[Nn]o such file|Permission denied|Is a directory|Not a directory|cannot open|[Cc]an't open|cannot create|can't cd to|Operation not permitted|File exists)|^\S+: (?:line )?\d+: .*(?:: No such file or directory|: [Nn]o such file|: Permission denied|: Is a directory|cannot open |[Cc]an't open |cannot create |can't cd to |: Operation not permitted|: Directory nonexistent)|^(?:\S*/)?env: .*(?:No such file or directory|Permission denied|invalid option)",
    ),
    permanent(
        "shell-wrapper",
        r"^(?:\S*/)?(?:timeout|nice|nohup|xargs|exec|stdbuf|setsid|sudo|time|strace|setpriv|chroot|unshare|runuser|su|taskset|ionice|flock|gosu|tini|dumb-init|doas|watch|parallel|entr|script)(?:\[\d+\])?: .*(?:No such file or directory|[Nn]o such file|Permission denied|command not found|failed to (?:run|execute)|not found|cannot run|[Oo]peration not permitted|invalid (?:option|time interval))",
    ),
    permanent(
        "sudo",
        r"^sudo: (?:a (?:terminal|password) is required|no tty present|unknown user|effective uid|unable to)|^su: |is not in the sudoers file|^Sorry, user ",
    ),
    permanent(
        "shell-syntax",
        r"^(?:\S*/)?-?(?:sh|bash|dash|ash|zsh|ksh|mksh|busybox): (?:-c: )?(?:line )?\d+: [Ss]yntax error|^(?:\S*/)?(?:sh|bash|zsh|ksh):.* syntax error|^(?:\S*/)?zsh:\d+: (?:parse error|no matches found)|unexpected EOF while looking for matching",
    ),
    permanent(
        "shell-unbound",
        r": unbound variable$|: parameter (?:not set|null or not set)$|^(?:\S*/)?(?:sh|dash|bash|ash|\S+\.sh): (?:line )?\d+: [A-Z_][A-Z0-9_]*: \S",
    ),
    permanent(
        "shell-option",
        r"^(?:\S*/)?(?:sh|bash|dash|ash|zsh|ksh|busybox): (?:0: )?(?:line \d+: )?(?:set: |-\S*: )?(?:[Ii]llegal|invalid|bad) option|^(?:\S*/)?(?:sh|bash|dash): (?:line \d+: )?\S+: (?:numeric argument required|restricted)",
    ),
    transient("shell-killed", r"^(?:\S+: line \d+: +\d+ )?(?:Killed|Terminated|Hangup)$|^(?:Killed|Terminated)\b")
        .weak(),
];
