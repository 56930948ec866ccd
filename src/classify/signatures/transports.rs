//! ssh, copies over it, curl, wget, git.

use super::{Entry, permanent, transient};

/// The id of ssh's words for a link that broke.
pub(super) const SSH_CUT: &str = "ssh-cut";

/// Asked before everything that carries TLS, because a client's own prefix says nothing of why.
pub(super) const CERTIFICATES: &[Entry] = &[permanent(
    "certificate",
    r"CERTIFICATE_VERIFY_FAILED|certificate verif(?:y|ication) failed|[Ss]elf[- ]signed certificate|x509: |unable to (?:get local issuer|verify the first) certificate|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|ERR_TLS_CERT|CERT_HAS_EXPIRED|certificate (?:has expired|problem)|cannot verify \S+ certificate|unable to find valid certification path|server gave HTTP response to HTTPS client",
)];

pub(super) const TABLE: &[Entry] = &[
    // -- ssh, scp, rsync ---------------------------------------------------------------------------------------
    permanent(
        "ssh-host-key",
        r"^Host key verification failed\.|^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!|^No \S+ host key is known for |^Host key for \S+ has changed|^Offending \S+ key in ",
    ),
    permanent(
        "ssh-auth",
        r"^(?:\S+@\S+: )?Permission denied \([a-z,-]*\)|^Permission denied, please try again\.|Too many authentication failures|^no such identity: |^(?:Warning: )?Identity file .* not accessible|^Load key .*: |UNPROTECTED PRIVATE KEY FILE|^Permissions \d+ for '.*' are too open|^Bad owner or permissions on |No supported authentication methods|^\S+@\S+'s password: |^(?:WARNING: )?Your (?:password|account) has expired|^sign_and_send_pubkey: ",
    ),
    permanent(
        "ssh-config",
        r"^Can't open user config(?:uration)? file |: (?:line \d+: )?Bad (?:configuration option|number|yes/no argument|SSH2 \w+ spec)|: terminating, \d+ bad configuration options|^Unable to negotiate with |^command-line: line \d+: |^Bad (?:port|local forwarding|remote forwarding|dynamic forwarding|escape|stdio|SSH2|cipher|mac|key)\b.*|^ssh: (?:illegal|unknown|invalid) option|^usage: ssh |^unknown option -- |^hostname contains invalid characters|^Unsupported (?:KEX|option)|^Protocol major versions differ|^subsystem request failed|administratively prohibited|^ssh: .*: line \d+: ",
    ),
    permanent("ssh-nologin", r"^This account is currently not available\.|^Your account is (?:locked|disabled)"),
    transient("ssh-boot", r"^\W*System is (?:booting up|going down)|Unprivileged users are not permitted to log in yet"),
    transient("ssh-connect", r"^ssh: connect to host \S+ port \d+: |^ssh: Could not resolve hostname "),
    transient(
        SSH_CUT,
        r"^Connection (?:closed by|reset by|timed out during|to \S+ closed by remote host|to \S+ timed out|to \S+ port \d+ timed out)|^Timeout, server |^client_loop: |^kex_exchange_identification: |^ssh_exchange_identification: |^ssh_dispatch_run_fatal: |banner exchange: |^Read from (?:remote host|socket) |^Write failed: |^packet_write_wait: |^packet_write_poll: |^mux_client_(?:request_session|read_packet): |^channel \d+: open failed: connect failed: |^stdio forwarding failed|^Received disconnect from |^kex_protocol_error: |^Bad packet length \d",
    ),
    transient("ssh-after", r"^Disconnected from \S+ port \d+|^Connection to \S+ closed\.?$|^ssh: ").weak(),
    permanent("scp-file", r"^(?:scp|sftp): .*(?:No such file or directory|[Pp]ermission denied|not a regular file)"),
    permanent(
        "rsync-file",
        r"^rsync: .*(?:No such file or directory|Permission denied|Operation not permitted)|^rsync: .*unknown option|^rsync error: syntax or usage error",
    ),
    transient(
        "rsync-cut",
        r"^rsync: (?:\[\w+\] )?(?:connection unexpectedly closed|failed to connect)|^rsync error: (?:error in (?:rsync protocol data stream|socket IO)|timeout|unexplained error|received SIG)",
    )
    .weak(),
    // -- curl and wget -----------------------------------------------------------------------------------------
    transient("curl-http-wait", r"^curl: \((?:22|56)\) .*\b(?:408|425|429|5\d\d)\b"),
    permanent("curl-http", r"^curl: \(22\) |^curl: \(56\) .*\b4\d\d\b"),
    permanent("curl-cert", r"^curl: \((?:51|53|54|58|59|60|66|77|80|82|83|90|91)\) "),
    transient("curl-write", r"^curl: \(23\) (?:Failed writing (?:body|received data)|client returned ERROR on write)").weak(),
    permanent(
        "curl-usage",
        r"^curl: \((?:1|2|3|4|9|19|23|26|33|36|37|38|39|43|47|48|63|67|69|71|72|73|74|78|79|94)\) |^curl: option |^curl: no URL specified|^curl: try 'curl --help'|^(?:Warning: |curl: )?(?:Failed to open|Failed to create) the file",
    ),
    transient("curl-network", r"^curl: \(\d+\) "),
    transient("wget-http-wait", r"^wget: server returned error: HTTP/\S+ (?:408|425|429|5\d\d)|^\S+ \S+ ERROR (?:408|425|429|5\d\d): "),
    permanent(
        "wget-http",
        r"^wget: server returned error: HTTP/\S+ 4\d\d|^\S+ \S+ ERROR 4\d\d: |^wget: missing URL|^Username/Password Authentication Failed|^wget: (?:unrecognized|invalid) option|^\S+: Unsupported scheme|^wget: not an http or ftp url",
    ),
    transient(
        "wget",
        r"^wget: (?:unable to resolve|bad address|can't connect|download timed out|error getting response|server returned error: HTTP/\S+ 5)|^(?:Connecting to|Resolving) .*(?:failed: )|^failed: (?:Connection|Network|No route|Temporary)|^Unable to establish SSL connection",
    ),
    transient("port-probe", r"^\S*(?:nc|telnet|ncat|ping|wait-for-it\.sh)(?::| ).*(?:refused|timed out|timeout occurred|unreachable|[Tt]emporary failure)"),
    // -- git ---------------------------------------------------------------------------------------------------
    transient(
        "git-lock",
        r"^(?:fatal|error): (?:Unable to create '.*\.lock': File exists|cannot lock ref |could not lock |unable to lock )|Another git process seems to be running",
    ),
    transient("git-http-wait", r"^fatal: unable to access '.*': The requested URL returned error: (?:408|425|429|5\d\d)|RPC failed; HTTP (?:408|425|429|5\d\d)"),
    permanent("git-http", r"^fatal: unable to access '.*': The requested URL returned error: 4\d\d|RPC failed; HTTP 4\d\d"),
    permanent(
        "git-auth",
        r"^fatal: (?:Authentication failed|could not read (?:Username|Password))|^remote: (?:Invalid username|Repository not found|Permission to .* denied|HTTP Basic: Access denied|Support for password authentication|Write access to repository not granted|You are not allowed|The project you were looking for could not be found)|^ERROR: (?:Repository not found|Permission to )|^fatal: remote error: (?:access denied|.*not (?:found|our ref|exported))",
    ),
    permanent("git-cert", r"^fatal: unable to access '.*': .*(?:certificate|SSL)"),
    permanent(
        "git-repository",
        r"^(?:fatal|error): (?:[Nn]ot a git repository|not in a git directory|detected dubious ownership|'.*' does not appear to be a git repository|couldn't find remote ref|repository '.*' (?:does not exist|not found)|ambiguous argument|bad (?:revision|object|config|default revision)|[Ii]nvalid (?:reference|refspec|object name|branch name|path)|Remote branch .* not found|[Nn]o such (?:remote|branch|ref)|No url found for submodule|pathspec|not a valid object|[Nn]ot a valid|unsafe repository|destination path|no email was given|unable to auto-detect email|empty ident name|refusing to merge|.* already exists|could not create (?:work tree|directory)|cannot create directory|cannot mkdir|insufficient permission|index file (?:corrupt|smaller|open failed)|loose object|object file|unable to (?:create file|write new index|read tree)|protocol '.*' is not supported|transport '.*' not allowed|Unable to find remote helper|remote .* already exists|src refspec|You have not concluded|Your local changes|You are not currently|your current branch .* does not have any commits|this operation must be run in a work tree|unknown (?:repository extension|option)|shallow file has changed|path .* does not exist|unrecognized argument|branch .* not found)|^git: '.*' is not a git command|^\*\*\* Please tell me who you are|^(?:Author|Committer) identity unknown|^ ! \[(?:remote )?rejected\]|^usage: git ",
    ),
    transient(
        "git-network",
        r"^fatal: (?:unable to access '|unable to look up |unable to connect to |unable to fork|read error: )|^error: RPC failed|: errno=|^fatal: (?:unable to connect a socket|Couldn't connect)",
    ),
    transient(
        "git-after",
        r"^fatal: (?:Could not read from remote repository|the remote end hung up|The remote end hung up|early EOF|expected flush|protocol error|index-pack failed|fetch-pack: |clone of |unable to checkout|remote did not send)|^fetch-pack: |^error: (?:failed to push|[Cc]ould not fetch|unable to read sideband)|^send-pack: ",
    )
    .weak(),
];
