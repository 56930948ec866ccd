//! Known texts of layers below the suite: shells, transports, package tools, loaders (rule 9).
//!
//! One table. Each entry is the layer's own prefix and wording, anchored; it is asked only of lines outside the
//! suites' regions. The first entry that matches a line names it, so that special cases stand before general ones.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::line::Line;
use crate::domain::evidence::{FaultKind, Signature};

use FaultKind::{Permanent, Transient};

/// Id, fault, pattern. Ids are stable: they stand in records.
const TABLE: &[(&str, FaultKind, &str)] = &[
    // -- resources, whoever says it --------------------------------------------------------------------------
    (
        "disk-full",
        Transient,
        r"[Nn]o space left on device|\[Errno 28\]|\bENOSPC\b|[Dd]isk quota exceeded|database or disk is full|\(os error 28\)",
    ),
    (
        "out-of-memory",
        Transient,
        r"[Cc]annot allocate memory|\[Errno 12\]|^MemoryError$|std::bad_alloc|memory allocation of \d+ bytes failed|JavaScript heap out of memory|java\.lang\.OutOfMemoryError|virtual memory exhausted|^fatal error: runtime: out of memory|\(os error 12\)|^Out of memory",
    ),
    ("jvm-memory", Permanent, r"^Error occurred during initialization of (?:VM|boot layer)"),
    ("jvm-memory-wait", Transient, r"There is insufficient memory for the Java Runtime Environment"),
    ("too-many-files", Transient, r"[Tt]oo many open files|\[Errno 24\]|\bEMFILE\b|\(os error 24\)"),
    (
        "cannot-fork",
        Transient,
        r"fork: (?:retry: )?Resource temporarily unavailable|Cannot fork|fork failed|can't fork|BlockingIOError: \[Errno 11\]|can't start new thread|pthread_create failed|\bEAGAIN\b|\(os error 11\)",
    ),
    ("read-only-fs", Permanent, r"[Rr]ead-only file system|\[Errno 30\]|\bEROFS\b|\(os error 30\)"),
    ("port-in-use", Transient, r"[Aa]ddress already in use|\bEADDRINUSE\b|port is already allocated|\(os error 98\)"),
    // -- ssh -------------------------------------------------------------------------------------------------
    (
        "ssh-host-key",
        Permanent,
        r"^Host key verification failed\.|^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!|^No \S+ host key is known for ",
    ),
    (
        "ssh-auth",
        Permanent,
        r"^(?:\S+@\S+: )?Permission denied \((?:publickey|password|keyboard-interactive|gssapi|hostbased)[^)]*\)|^(?:Received disconnect from .*: 2: )?Too many authentication failures|^no such identity: |^Load key .*: |^ssh: .*Bad configuration|^command-line: line \d+: |: terminating, \d+ bad configuration options",
    ),
    (
        "ssh-refused",
        Transient,
        r"^ssh: connect to host \S+ port \d+: (?:Connection refused|Connection timed out|No route to host|Network is unreachable|Operation timed out|Connection reset by peer)",
    ),
    ("ssh-unknown-host", Transient, r"^ssh: Could not resolve hostname "),
    (
        "ssh-cut",
        Transient,
        r"^(?:Connection (?:to|closed by|reset by|timed out|to .* closed by remote host)|Timeout, server |client_loop: |kex_exchange_identification: |ssh_exchange_identification: |ssh_dispatch_run_fatal: |Connection to .* (?:closed by remote host|timed out)|.*banner exchange: |Read from remote host |packet_write_wait: |mux_client_request_session: |ssh: )",
    ),
    ("nologin", Permanent, r"^This account is currently not available\.$"),
    // -- docker and other container engines ------------------------------------------------------------------
    (
        "docker-daemon-denied",
        Permanent,
        r"permission denied while trying to connect to the (?:Docker daemon socket|docker API)",
    ),
    (
        "docker-daemon",
        Transient,
        r"[Cc]annot connect to the Docker daemon|error during connect: |failed to connect to the docker API|[Ii]s the docker daemon running|dial unix \S*docker\S*: ",
    ),
    (
        "docker-daemon-network",
        Transient,
        r"^(?:docker: )?Error response from daemon: .*(?:i/o timeout|TLS handshake timeout|connection refused|connection reset|no such host|dial tcp|[Tt]oo [Mm]any [Rr]equests|toomanyrequests|EOF$|server misbehaving|context deadline exceeded|temporarily unavailable|is restarting)",
    ),
    (
        "docker-container",
        Permanent,
        r"^(?:docker: )?Error(?: response from daemon)?: (?:No such (?:container|image|object)|.*(?:is not running|is paused|pull access denied|manifest .*unknown|not found|repository .*does not exist|unauthorized|denied|invalid reference format|Conflict))|^Unable to find image .* locally$|^(?:docker: )?Error: No such ",
    ),
    (
        "oci-runtime",
        Permanent,
        r"OCI runtime (?:exec|create) failed: |^docker: .*(?:executable file not found|exec format error|no such file or directory)|unable to find user ",
    ),
    (
        "docker-usage",
        Permanent,
        r"^docker: '\S+' is not a docker command|^unknown (?:shorthand )?flag: |^docker: unknown ",
    ),
    ("docker-error", Permanent, r"^(?:docker: )?Error response from daemon: "),
    (
        "compose",
        Permanent,
        r"^(?:service .* is not running|no such service: |no configuration file provided: not found)",
    ),
    (
        "kubectl-refused",
        Permanent,
        r"^The connection to the server \S+ was refused|^error: no configuration has been provided|^error: You must be logged in|^Error from server \((?:Forbidden|NotFound|Unauthorized)\)|^error: context .* does not exist|^error: stat .*: no such file or directory",
    ),
    (
        "kubectl-wait",
        Transient,
        r"^Unable to connect to the server: |^error: timed out waiting for the condition|^Error from server \((?:Timeout|ServiceUnavailable|TooManyRequests|InternalError)\)",
    ),
    // -- curl and wget ---------------------------------------------------------------------------------------
    ("curl-http-wait", Transient, r"^curl: \(22\) .*\b(?:408|425|429|5\d\d)\b"),
    ("curl-http", Permanent, r"^curl: \(22\) "),
    ("curl-cert", Permanent, r"^curl: \((?:51|53|54|58|59|60|66|77|80|82|83|90|91)\) "),
    ("curl-usage", Permanent, r"^curl: \((?:1|2|3|4|23|26|27|37|48|67)\) |^curl: option "),
    ("curl-network", Transient, r"^curl: \(\d+\) "),
    (
        "wget",
        Transient,
        r"^wget: (?:unable to resolve|can't connect|download timed out|server returned error: HTTP/\S+ 5)|^(?:Connecting to|Resolving) .*(?:failed: )",
    ),
    // -- git -------------------------------------------------------------------------------------------------
    (
        "git-lock",
        Transient,
        r"^(?:fatal|error): (?:Unable to create '.*\.lock': File exists|cannot lock ref |could not lock )|Another git process seems to be running",
    ),
    (
        "git-auth",
        Permanent,
        r"^fatal: (?:Authentication failed|could not read (?:Username|Password)|repository '.*' not found|unable to access '.*': The requested URL returned error: 4\d\d)|^remote: (?:Invalid username|Repository not found|Permission to .* denied)|^ERROR: Repository not found",
    ),
    ("git-cert", Permanent, r"^fatal: unable to access '.*': .*(?:certificate|SSL)"),
    (
        "git-network",
        Transient,
        r"^fatal: (?:unable to access '|unable to look up |unable to connect to |the remote end hung up|early EOF|read error: |expected flush|protocol error)|^fatal: Could not read from remote repository\.|^error: RPC failed|^fetch-pack: ",
    ),
    (
        "git-repository",
        Permanent,
        r"^fatal: (?:not a git repository|detected dubious ownership|'.*' does not appear to be a git repository|couldn't find remote ref|repository '.*' does not exist|ambiguous argument|bad revision|invalid reference|Remote branch .* not found|pathspec|not a valid object|bad object|unsafe repository|destination path)|^error: pathspec ",
    ),
    // -- package tools ---------------------------------------------------------------------------------------
    (
        "pip-network",
        Transient,
        r"^(?:WARNING: )?Retrying \(Retry\(total=|^ERROR: Could not install packages due to an OSError: .*(?:HTTPS?ConnectionPool|Connection|Max retries)|ReadTimeoutError|NewConnectionError|^ERROR: HTTP error 5\d\d",
    ),
    (
        "pip-missing",
        Permanent,
        r"^ERROR: (?:No matching distribution found|Could not find a version that satisfies|Could not open requirements file|Cannot install |ResolutionImpossible|HTTP error 4\d\d|Invalid requirement|Package '.*' requires a different Python|THESE PACKAGES DO NOT MATCH|Directory '.*' is not installable)|^error: externally-managed-environment",
    ),
    (
        "npm-network",
        Transient,
        r"^npm (?:error|ERR!) (?:code )?(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|ERR_SOCKET_TIMEOUT|E5\d\d|E429|EHOSTUNREACH|ENETUNREACH|FETCH_ERROR)\b|^npm (?:error|ERR!) network ",
    ),
    (
        "npm-missing",
        Permanent,
        r"^npm (?:error|ERR!) (?:code )?(?:E404|E401|E403|ERESOLVE|ETARGET|ENOENT|ENOTCACHED|EACCES|EBADENGINE|EUSAGE|ENEEDAUTH|EOTP|ENOVERSIONS|EINTEGRITY|ENOWORKSPACES|EBADPLATFORM)\b|^npm (?:error|ERR!) (?:Missing script: |canceled|could not determine executable to run|Invalid )|^npm error npx canceled",
    ),
    (
        "yarn",
        Permanent,
        r#"^error Couldn't find (?:a package\.json|the binary)|^error Command ".*" not found|^ ?ERR_PNPM_(?:NO_SCRIPT|NO_IMPORTER)"#,
    ),
    (
        "cargo-network",
        Transient,
        r"^\s*(?:warning: )?spurious network error|^error: failed to (?:get|download|fetch|update|query) .*|^\s*\[(?:6|7|28|35|52|56)\] |^\s*(?:Could not connect to server|Couldn't connect to server|Could not resolve host|Timeout was reached|download of \S+ failed)|^error: unable to update registry",
    ),
    (
        "cargo-offline",
        Permanent,
        r"^error: no matching package named |^As a reminder, you're using offline mode|attempting to make an HTTP request, but --offline was specified|can't be updated, because --offline|^error: (?:the lock file .* needs to be updated|cannot update the lock file|failed to select a version)",
    ),
    ("cargo-lock", Transient, r"^\s*Blocking waiting for file lock"),
    (
        "cargo-tool",
        Permanent,
        r"^error: (?:no such (?:sub)?command: |toolchain '.*' is not installed|could not find `Cargo\.toml`|component .* is unavailable|linker `.*` not found|the option `Z` is only accepted|rustup could not choose|no override and no default toolchain|.* is not installed for the toolchain|invalid toolchain name|custom toolchain|failed to run custom build command|package ID specification|no (?:test|bin|example|bench|library) target)|^error: toolchain .* is not installed|^error: rustc \S+ is not supported by the following|^error: package `.*` cannot be built because it requires rustc|^error\[E0463\]: can't find crate for `(?:std|core|test)`|ld: cannot find -l|/ld: cannot find ",
    ),
    ("cargo-never-executed", Permanent, r"\(never executed\)"),
    ("cargo-killed", Transient, r"process didn't exit successfully: .*\(signal: (?:9, SIGKILL|15, SIGTERM)"),
    ("nextest-exec-failed", Permanent, r"^\s*XFAIL \[|tests? run: .*\d+ exec failed"),
    (
        "apt-lock",
        Transient,
        r"^E: Could not get lock |^E: Unable to (?:acquire|lock) |^E: Unable to fetch |^E: Failed to fetch |^W: Failed to fetch ",
    ),
    (
        "apt-missing",
        Permanent,
        r"^E: (?:Unable to locate package|Package '.*' has no installation candidate|Could not open lock file|The repository '.*' )|^dpkg: error: requested operation requires superuser",
    ),
    (
        "go-module",
        Transient,
        r"(?:dial tcp|proxy\.golang\.org|lookup \S+).*(?:connection refused|i/o timeout|no such host|server misbehaving)",
    ),
    (
        "go-missing",
        Permanent,
        r"no required module provides package|^go: (?:go\.mod file not found|cannot find main module|cannot find module providing|module .* not found|updates to go\.(?:mod|sum) needed|missing go\.sum entry|toolchain not available|download go)|missing go\.sum entry|module lookup disabled by GOPROXY=off|^go: unknown |is not in std$",
    ),
    (
        "maven-network",
        Transient,
        r"^\[ERROR\] .*(?:Connection refused|Connect to .* failed|timed out|Unknown host|transfer failed)",
    ),
    (
        "maven-missing",
        Permanent,
        r"^\[ERROR\] .*(?:Could not resolve dependencies|Non-resolvable parent|there is no POM in this directory|No goals have been specified|Unknown lifecycle phase)|^Error: JAVA_HOME ",
    ),
    // -- databases -------------------------------------------------------------------------------------------
    (
        "psql-auth",
        Permanent,
        r#"^(?:psql: )?(?:error: )?(?:connection to server .* failed: )?FATAL: +(?:password authentication failed|no pg_hba\.conf entry|database "|role "|Peer authentication failed|Ident authentication failed|permission denied)|^createdb: error: .*|fe_sendauth: no password supplied"#,
    ),
    (
        "psql-network",
        Transient,
        r"^psql: error: |^psql: could not connect|^pg_dump: error: connection|FATAL: +(?:the database system is (?:starting up|shutting down|in recovery mode)|sorry, too many clients|remaining connection slots|terminating connection)|server closed the connection unexpectedly",
    ),
    ("mysql", Transient, r"^ERROR (?:2002|2003|2005|2013|1040) \("),
    ("mysql-auth", Permanent, r"^ERROR (?:1044|1045|1049|2058) \("),
    ("sqlite-locked", Transient, r"[Dd]atabase is locked|\(database is locked\)"),
    (
        "sqlite-file",
        Permanent,
        r"^Error:? (?:.*: )?(?:file is not a database|unable to open database)|^Error: in prepare, (?:file is not a database|no such table|attempt to write a readonly)|^Parse error.*(?:file is not a database|no such table)|unable to open database",
    ),
    ("redis", Transient, r"^Could not connect to Redis at "),
    // -- interpreters ----------------------------------------------------------------------------------------
    (
        "python-module",
        Permanent,
        r"^(?:E +)?ModuleNotFoundError: No module named |^\S*python[0-9.]*: No module named |^\S*python[0-9.]*: can't open file |^\S*python[0-9.]*: Error while finding module specification|^Could not find platform (?:in)?dependent libraries|^pyenv: (?:version|.*command not found)|^Fatal Python error: (?:init|Py_Init|_Py)|^ImportError: (?:lib\S+|/\S+): |^(?:E +)?ImportError: lib\S+\.so",
    ),
    (
        "node-module",
        Permanent,
        r"^(?:Error|Error \[ERR_MODULE_NOT_FOUND\]|Error \[MODULE_NOT_FOUND\]): Cannot find (?:module|package) |^node: bad option: |^node: .* is not allowed in NODE_OPTIONS|^Error \[ERR_MODULE_NOT_FOUND\]|^error Cannot find module|^\s*code: 'MODULE_NOT_FOUND'",
    ),
    (
        "perl-module",
        Permanent,
        r#"^Can't locate \S+ in @INC|^Can't open perl script "|^Cannot detect source of|^(?:Can't exec|Could not execute \()"#,
    ),
    (
        "ruby-module",
        Permanent,
        r"(?:cannot load such file -- |Could not find gem |^Could not locate Gemfile|^bundler: command not found)",
    ),
    (
        "java-class",
        Permanent,
        r"^Error: (?:Could not find or load main class|Unable to (?:access|initialize) |LinkageError|A JNI error|Main method not found|Could not create the Java Virtual Machine)|java\.lang\.(?:UnsupportedClassVersionError|NoClassDefFoundError|ClassNotFoundException)|^Unrecognized (?:VM )?option|^Error: Invalid or corrupt jarfile|^Invalid maximum heap size",
    ),
    // -- loaders and shells ----------------------------------------------------------------------------------
    (
        "loader",
        Permanent,
        r"error while loading shared libraries: |version `[A-Z]+_[^']*' not found|symbol lookup error: |^Error relocating |Error loading shared library |^exec \S+: exec format error|[Cc]annot execute binary file|[Ee]xec format error|: (?:bad interpreter|cannot execute: required file not found)|cannot execute: |\(os error 8\)",
    ),
    (
        "shell-not-found",
        Permanent,
        r"^(?:\S+: )?(?:\S+: )?(?:line )?\d*:? ?\S+: (?:command )?not found$|: command not found$|^(?:sh|bash|dash|ash|zsh|ksh|busybox): .*: (?:not found|No such file or directory|Permission denied)$|^\S+: (?:line )?\d+: .*: (?:not found|No such file or directory|Permission denied|Is a directory)$|^env: .*: (?:No such file or directory|Permission denied)$|^(?:timeout|nice|nohup|xargs|exec|stdbuf|setsid|sudo|time|strace|setpriv|chroot|unshare): .*(?:No such file or directory|Permission denied|command not found|failed to run command|not found)|^(?:nohup|timeout): failed to run command|^/bin/sh: ",
    ),
    (
        "sudo",
        Permanent,
        r"^sudo: (?:a (?:terminal|password) is required|no tty present|.*command not found|unknown user)|^su: ",
    ),
    ("shell-unbound", Permanent, r": unbound variable$|: parameter (?:not set|null or not set)$"),
    (
        "make-missing",
        Permanent,
        r"^make(?:\[\d+\])?: \*\*\* (?:No rule to make target|No targets)|^make: \*\*\* .*: No such file|^make(?:\[\d+\])?: .*: No such file or directory$|^make(?:\[\d+\])?: .*: (?:Permission denied|Command not found)$|^make(?:\[\d+\])?: \*\*\* \[.*\] Error 127$|^make(?:\[\d+\])?: \*\*\* \[.*\] Error 126$",
    ),
    (
        "make-killed",
        Transient,
        r"^make(?:\[\d+\])?: \*\*\* \[.*\] (?:Killed|Terminated|Error 137|Error 143)|^\S+: line \d+: +\d+ (?:Killed|Terminated) ",
    ),
    ("cc-header", Permanent, r"fatal error: \S+: No such file or directory$"),
    (
        "cmake",
        Permanent,
        r"^CMake Error: (?:The source directory|CMake was unable to find|CMAKE_\w+ not set)|^CMake Error at .*\(find_package\)|^No tests were found!!!$",
    ),
    (
        "usage",
        Permanent,
        r"^(?:ERROR: usage: |ERROR: file or directory not found: |pytest: error: |error: unexpected argument |error: unrecognized (?:option|subcommand)|error: invalid option)|^\S+: error: (?:unrecognized arguments|the following arguments are required|argument )|^(?:Usage|usage): \S+.* \[|^\S+: (?:unrecognized|unknown|invalid) option",
    ),
    // -- the network, said by languages' own error values ----------------------------------------------------
    (
        "certificate",
        Permanent,
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|self[- ]signed certificate|x509: certificate|unable to (?:get local issuer|verify the first) certificate|DEPTH_ZERO_SELF_SIGNED_CERT",
    ),
    (
        "denied",
        Permanent,
        r"^(?:\w+\.)*PermissionError: \[Errno 13\]|\bEACCES\b|\(os error 13\)|^(?:cp|tar|mkdir|touch|cat|rm|mv|ln|chmod|install|cd|ls|sh|bash): .*Permission denied$",
    ),
    (
        "network",
        Transient,
        r"^(?:\w+\.)*(?:ConnectionRefusedError|ConnectionResetError|ConnectionAbortedError|BrokenPipeError|TimeoutError|socket\.timeout|socket\.gaierror|urllib\.error\.URLError|http\.client\.RemoteDisconnected)\b|\b(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ENOTFOUND)\b|[Tt]emporary failure in name resolution|[Nn]ame or service not known|^\S*(?:nc|telnet|ncat|ping): .*(?:refused|timed out|unreachable|[Tt]emporary failure)|\(os error (?:104|110|111|113)\)|^requests\.exceptions\.(?:ConnectionError|ConnectTimeout|ReadTimeout)",
    ),
    (
        "file-missing",
        Permanent,
        r"^(?:\w+\.)*FileNotFoundError: \[Errno 2\]|^(?:cp|tar|mkdir|touch|cat|rm|mv|ln|chmod|install|cd|ls|stat|source|unzip): .*(?:No such file or directory|Cannot open)|\(os error 2\)$",
    ),
];

static PATTERNS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| TABLE.iter().map(|(_, _, pattern)| Regex::new(pattern).expect("a fixed pattern")).collect());
static SET: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(TABLE.iter().map(|(_, _, pattern)| pattern)).expect("fixed patterns"));

/// Looks a line up.
pub(super) fn find(line: &Line<'_>) -> Option<Signature> {
    if line.text.is_empty() {
        return None;
    }
    let index = SET.matches(line.text).iter().min()?;
    let (pattern, fault, _) = TABLE.get(index)?;
    let found = PATTERNS.get(index)?.find(line.text)?;
    (!found.is_empty()).then(|| Signature { pattern: (*pattern).to_owned(), fault: *fault, at: line.sighting(pattern) })
}

/// ssh's own words for a link that broke after it stood (rule 5).
pub(super) fn is_cut_link(signature: &Signature) -> bool {
    signature.pattern == "ssh-cut"
}

/// A lack of disk or memory, which can make a compiler fail on good code (rule 3's exception).
pub(super) fn is_resource(signature: &Signature) -> bool {
    matches!(signature.pattern.as_str(), "disk-full" | "out-of-memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::Stream;

    #[test]
    fn ids_are_unique_and_patterns_match_something() {
        for (index, (id, _, pattern)) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(index + 1).all(|(other, ..)| other != id), "{id} stands twice");
            assert!(!Regex::new(pattern).unwrap().is_match(""), "{id} matches nothing at all");
        }
    }

    #[test]
    fn lines_of_layers() {
        let check = |text: &str, expected: Option<(&str, FaultKind)>| {
            let found = find(&Line { text, stream: Stream::Stderr, number: 1 });
            assert_eq!(found.as_ref().map(|s| (s.pattern.as_str(), s.fault)), expected, "{text}");
        };
        check("bash: line 1: cargo: command not found", Some(("shell-not-found", Permanent)));
        check("sh: 1: pytest: not found", Some(("shell-not-found", Permanent)));
        check("Error response from daemon: No such container: app", Some(("docker-container", Permanent)));
        check("curl: (22) The requested URL returned error: 503", Some(("curl-http-wait", Transient)));
        check("curl: (22) The requested URL returned error: 404", Some(("curl-http", Permanent)));
        check("ssh: connect to host 127.0.0.1 port 9: Connection refused", Some(("ssh-refused", Transient)));
        check("git@host: Permission denied (publickey).", Some(("ssh-auth", Permanent)));
        check("Host key verification failed.", Some(("ssh-host-key", Permanent)));
        check("/usr/bin/python3: No module named pytest", Some(("python-module", Permanent)));
        check("all good", None);
        check("", None);
    }
}
