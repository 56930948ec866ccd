//! What the machine lacks, whoever says it; and at the very end what anybody could say.

use super::{Entry, permanent, transient};

/// Asked first: a lack of something explains every message that follows from it.
pub(super) const RESOURCES: &[Entry] = &[
    transient(
        "disk-full",
        r"[Nn]o space left on device|\[Errno 28\]|\bENOSPC\b|[Dd]isk quota exceeded|\bEDQUOT\b|database or disk is full|\(os error 28\)|[Nn]ot enough (?:free )?(?:disk )?space|don't have enough free (?:disk )?space|[Ii]nsufficient (?:disk )?space|[Nn]o usable temporary directory",
    ),
    transient(
        "compiler-killed",
        r"fatal error: Killed signal terminated program|internal compiler error: Killed \(program |^(?:collect2|cc1\w*|rustc|ld|clang).*\b(?:signal 9|SIGKILL)\b|could not compile .*\(signal: 9",
    ),
    transient(
        "out-of-memory",
        r"[Cc]annot allocate memory|\[Errno 12\]|\bENOMEM\b|^MemoryError\b|std::bad_alloc|memory allocation of \d+ bytes failed|JavaScript heap out of memory|java\.lang\.OutOfMemoryError|virtual memory exhausted|^fatal error: runtime: (?:out of memory|cannot allocate memory)|\(os error 12\)|^(?:\S+: )?[Oo]ut of memory\b|LLVM ERROR: out of memory|\bOOMKilled\b|oom-kill",
    ),
    transient("jvm-memory-wait", r"There is insufficient memory for the Java Runtime Environment"),
    permanent("jvm-memory", r"^Error occurred during initialization of (?:VM|boot layer)"),
    transient("too-many-files", r"[Tt]oo many open files|\[Errno 2[34]\]|\bE[MN]FILE\b|\(os error 2[34]\)"),
    transient(
        "cannot-fork",
        r"fork: (?:retry: )?Resource temporarily unavailable|Cannot fork|[Ff]ork failed|can't fork|could not fork|BlockingIOError: \[Errno 11\]|can't start new thread|pthread_create failed|\bEAGAIN\b|\(os error 11\)|unable to create (?:new )?native thread|failed to (?:create new OS thread|spawn thread)|exec request failed on channel|[Tt]hread creation failed",
    ),
    transient("text-busy", r": Text file busy$|\[Errno 26\]|\bETXTBSY\b|\(os error 26\)|: [Tt]ext file busy\b"),
    transient("device-busy", r": (?:Device or resource busy|Stale file handle|Interrupted system call)$|\bEBUSY\b"),
    permanent("read-only-fs", r"[Rr]ead-only file system|\[Errno 30\]|\bEROFS\b|\(os error 30\)"),
    transient(
        "port-in-use",
        r"[Aa]ddress already in use|\bEADDRINUSE\b|port is already allocated|\(os error 98\)|[Pp]ort \d+ is already in use|[Aa]ddress in use$",
    ),
    permanent("argument-list", r"[Aa]rgument list too long|\[Errno 7\]|\bE2BIG\b|\(os error 7\)"),
    transient("file-size-limit", r"[Ff]ile size limit exceeded|: File too large$|\[Errno 27\]|\bEFBIG\b"),
];

/// Asked last: said by nobody in particular, so weak throughout.
pub(super) const ANYBODY: &[Entry] = &[
    permanent(
        "usage",
        r"(?i)^(?:\S+: )?(?:error: )?(?:unrecogni[sz]ed|unknown|invalid|illegal|unexpected|bad|no such|ambiguous) (?:\w+ )?(?:option|argument|flag|parameter|switch|(?:sub)?command)s?\b|^(?:\S+: )?(?:error|ERROR): (?:unrecognized arguments|the following arguments are required|argument \S+: )|^flag (?:provided but not defined|needs an argument): |^invalid value .* for flag |^(?:Usage|usage): \S+.* \[|^(?:\S+: )?option '?-.*(?:requires an argument|is unknown|not recognized|doesn't allow)",
    )
    .weak(),
    transient(
        "http-wait",
        r"\bHTTP Error (?:408|425|429|5\d\d)\b|\b(?:429 Client|5\d\d Server) Error\b|\b(?:502 Bad Gateway|503 Service (?:Temporarily )?Unavailable|504 Gateway Time-?out|429 Too Many Requests)\b|\bERROR (?:408|425|429|5\d\d): ",
    ),
    permanent(
        "http",
        r"\bHTTP Error 4\d\d\b|\b4\d\d Client Error\b|\b(?:401 Unauthorized|403 Forbidden|404 Not Found)\b|\bERROR 4\d\d: ",
    )
    .weak(),
    permanent(
        "denied",
        r"^(?:\w+\.)*PermissionError: \[Errno (?:1|13)\]|\bE(?:ACCES|PERM)\b|\(os error (?:1|13)\)|: (?:[Pp]ermission denied|[Oo]peration not permitted)\.?$|\(13: Permission denied\)|[Aa]uthentication failed|must be (?:run as )?root\b|superuser privilege",
    )
    .weak(),
    transient(
        "network",
        r"^(?:\w+\.)*(?:ConnectionRefusedError|ConnectionResetError|ConnectionAbortedError|BrokenPipeError|TimeoutError|socket\.timeout|socket\.gaierror|urllib\.error\.URLError|http\.client\.RemoteDisconnected|ConnectionError|ConnectTimeout|ReadTimeout)\b|\b(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ENOTFOUND|ESOCKETTIMEDOUT|EPIPE)\b|[Tt]emporary failure (?:in name resolution|resolving)|[Nn]ame or service not known|[Nn]o such host\b|[Cc]ould not resolve host|[Uu]nknown host\b|\(os error (?:101|104|110|111|113|32)\)|\[Errno (?:-2|-3|-5|101|104|110|111|113)\]|[Cc]onnection (?:was )?(?:refused|reset|timed out|aborted|closed by)|[Nn]etwork is unreachable|[Nn]o route to host|i/o timeout|TLS handshake timeout|[Oo]peration timed out|[Bb]roken pipe|[Cc]onnect(?:ion)? time(?:d )?out",
    )
    .weak(),
    permanent(
        "file-missing",
        r"^(?:\w+\.)*(?:FileNotFoundError|NotADirectoryError|IsADirectoryError): |\bENOENT\b|\(os error 2\)|: (?:[Nn]o such file or directory|[Nn]o such file|Not a directory|Is a directory|Directory nonexistent|[Cc]annot [Oo]pen)\.?$|\b(?:file|path|directory) (?:\S+ )?(?:does not exist|not found)\b",
    )
    .weak(),
];
