//! Package tools: pip, npm and kin, cargo, go modules, apt and kin, Maven, Gradle, Bundler.

use super::{Entry, permanent, transient};

pub(super) const TABLE: &[Entry] = &[
    // -- pip, uv -----------------------------------------------------------------------------------------------
    transient(
        "pip-network",
        r"^(?:WARNING: |  )?Retrying \(Retry\(total=|^ERROR: Could not install packages due to an (?:OSError|EnvironmentError): .*(?:HTTPS?ConnectionPool|Connection|Max retries|5\d\d Server Error)|ReadTimeoutError|ConnectTimeoutError|NewConnectionError|ProtocolError\('|IncompleteRead|^ERROR: HTTP error (?:408|429|5\d\d)|^WARNING: Connection timed out|Max retries exceeded with url|^Could not fetch URL \S+: (?:connection error|HTTPS?ConnectionPool|[45]\d\d)|^error: (?:Failed to fetch|Request failed after \d+ retries)",
    ),
    permanent(
        "pip-missing",
        r"^ERROR: (?:Could not find a version that satisfies .*\(from versions: [^n)]|Could not open requirements file|Cannot install |ResolutionImpossible|HTTP error 4\d\d|Invalid requirement|Ignored the following|Package '.*' requires a different Python|THESE PACKAGES DO NOT MATCH|Hashes are required|In --require-hashes mode|Directory '.*' is not installable|\S+ is not a supported wheel|Could not install packages due to an (?:OSError|EnvironmentError): \[Errno (?:1|2|13)\]|File .* does not (?:exist|appear)|.* does not appear to be a Python project)|^error: externally-managed-environment|^WARNING: 401 Error|No solution found when resolving|^error: (?:No virtual environment found|No interpreter found)|^pkg_resources\.(?:DistributionNotFound|VersionConflict|ContextualVersionConflict)|^importlib\.metadata\.PackageNotFoundError",
    ),
    permanent(
        "pip-not-found",
        r"^ERROR: (?:No matching distribution found|Could not find a version that satisfies|Failed to build|Failed building wheel)|^error: (?:subprocess-exited-with-error|metadata-generation-failed)",
    )
    .weak(),
    // -- npm, yarn, pnpm ---------------------------------------------------------------------------------------
    transient(
        "npm-network",
        r"^npm (?:error|ERR!) +(?:code:? |errno:? )?'?(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|ERR_SOCKET_TIMEOUT|E5\d\d|E408|E429|EHOSTUNREACH|ENETUNREACH|FETCH_ERROR|EPIPE|EIDLETIMEOUT)\b|^npm (?:error|ERR!) network |^npm (?:error|ERR!) 5\d\d |ERR_PNPM_(?:META_FETCH_FAIL|FETCH_5\d\d|FETCH_429)|^error An unexpected error occurred: .*(?:ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|5\d\d)",
    ),
    permanent(
        "npm-missing",
        r"^npm (?:error|ERR!) +(?:code:? )?'?(?:E404|E401|E403|ERESOLVE|ETARGET|ENOENT|enoent|ENOTCACHED|EACCES|EPERM|EBADENGINE|EUSAGE|ENEEDAUTH|EOTP|ENOVERSIONS|EINTEGRITY|ENOWORKSPACES|EBADPLATFORM|EUNSUPPORTEDPROTOCOL|EINVALIDPACKAGENAME|EINVALIDTAGNAME|EINVAL|E4\d\d)\b|^npm (?:error|ERR!) (?:[Mm]issing script: |(?:npx )?canceled|could not determine executable to run|Invalid |notarget |4\d\d )|^npx canceled|^Unknown command: ",
    ),
    permanent(
        "yarn",
        r#"^error (?:Couldn't find (?:a package\.json|the binary|any versions)|Command ".*" not found|Your lockfile needs to be updated|.*[Nn]ot found: )|ERR_PNPM_(?:NO_SCRIPT|NO_IMPORTER|NO_MATCHING|NO_PKG_MANIFEST|FETCH_40\d|OUTDATED_LOCKFILE|RECURSIVE_EXEC)|^Usage Error: "#,
    ),
    // -- cargo, rustup, nextest ----------------------------------------------------------------------------------
    transient("cargo-http-wait", r"failed to get successful HTTP response from .*got (?:408|425|429|5\d\d)\b"),
    permanent("cargo-http", r"failed to get successful HTTP response from .*got 4\d\d\b|^\s*got 4\d\d\b"),
    transient(
        "cargo-network",
        r"spurious network error|^\s*\[(?:5|6|7|16|18|28|35|52|55|56|92)\] |^\s*(?:Could not connect to server|Couldn't connect to server|Could not resolve host|Couldn't resolve host|Timeout was reached)|^error: unable to update registry|^error: could not download file from |^\s*failed to connect to |^\s*network failure seems to have happened",
    ),
    permanent(
        "cargo-offline",
        r"^error: no matching package|^As a reminder, you're using offline mode|--offline was specified|because --(?:locked|frozen|offline) was passed|^error: (?:the lock file .* needs to be updated|cannot update the lock file|failed to select a version|lock file version|no matching version)|^\s*perhaps a crate was updated and forgotten|^\s*(?:failed to read `|could not find `)\S*Cargo\.toml`",
    ),
    transient("cargo-lock", r"^\s*Blocking waiting for file lock"),
    permanent(
        "cargo-tool",
        r"^error: (?:no such (?:sub)?command: |toolchain '.*' is not installed|could not find `Cargo\.toml`|component .* is unavailable|'\S+' is not installed for the|linker `.*` not found|the option `Z` is only accepted|rustup could not choose|no override and no default toolchain|.* is not installed for the toolchain|invalid toolchain name|custom toolchain|package ID specification|package\(s\) `|no (?:test|bin|example|bench|library|default-run)\b.* (?:target|found)|manifest path `.*` does not exist|the manifest-path must be|failed to parse filterset|profile `.*` (?:not found|is not defined)|this repository requires nextest|could not execute process `rustc|Unrecognized option: |the package '.*' does not contain|unknown (?:proxy|target)|target .* not found in channel|invalid value '.*' for '|a value is required for '|unexpected argument |config file .* not found|feature `\S+` is required|none of the selected packages contains|cannot specify|failed to run `rustc`)|^error: toolchain .* is not installed|^error: rustc \S+ is not supported by the following|^error: package `.*` cannot be built because it requires rustc|requires rustc \d|is not stabilized in this version of Cargo|supported edition values are|older than the `\d{4}` edition|^error\[E0463\]: can't find crate for `(?:std|core|test|alloc)`|ld: cannot find -l|/ld: cannot find |linker `.*` not found|target may not be installed",
    ),
    permanent("cargo-never-executed", r"\(never executed\)").weak(),
    transient("cargo-killed", r"process didn't exit successfully: .*\(signal: (?:9, SIGKILL|15, SIGTERM|2, SIGINT)"),
    permanent("cargo-build-script", r"^error: failed to run custom build command").weak(),
    transient("cargo-fetch", r"^error: failed to (?:get|download|fetch|update|query|load source for dependency) |^\s*download of \S+ failed").weak(),
    permanent("nextest-exec-failed", r"^\s*XFAIL \[|tests? run: .*\d+ exec failed"),
    // -- go ----------------------------------------------------------------------------------------------------
    transient("go-module", r"(?:dial tcp|proxy\.golang\.org|sum\.golang\.org|lookup \S+|Get \S+).*(?:connection refused|i/o timeout|no such host|server misbehaving|connection reset|TLS handshake timeout|: EOF)|^go: .*: reading \S+: (?:429|5\d\d) "),
    permanent(
        "go-missing",
        r"no required module provides package|^(?:go|pattern .*): .*(?:go\.mod file not found|cannot find main module|cannot find module providing|module .* not found|no matching versions|unknown revision|invalid version)|updates to go\.(?:mod|sum) needed|missing go\.sum entry|toolchain not available|module lookup disabled by GO(?:PROXY=off|FLAGS)|^go: unknown |is not in (?:std|GOROOT)\b|^pattern \S+: |does not contain main module|^no packages to test|^go: cannot find GOROOT|go\.mod requires go >= |requires go >= \d|: invalid go version |unknown directive: toolchain|checksum mismatch|^go: download go|: reading \S+: (?:401|403|404|410) |inconsistent vendoring|^go: \S+: cannot |C compiler .* not found|cannot find module providing package|import lookup disabled by|^go: go\.mod file not found|^package \S+ is not in ",
    ),
    // -- apt, dpkg, dnf, apk -----------------------------------------------------------------------------------
    permanent(
        "apt-missing",
        r"^E: (?:Unable to locate package|Package '.*' has no installation candidate|Couldn't find any package|Version '.*' for '.*' was not found|Could not open lock file .*Permission denied|Unable to acquire .*are you root|dpkg was interrupted|Type '.*' is not known|Malformed |The list of sources could not be read|Unmet dependencies|Unable to correct problems|Failed to fetch .*  4(?:0[0-79]|1\d|2[0-8]) |Invalid operation|Command line option|Release file for .* is (?:expired|not valid)|Conflicting values set|Unable to parse package file|List directory .* is missing|Internal Error, )|^[WE]: (?:Failed to fetch .*  40[134] |GPG error: )|^dpkg: error: requested operation requires superuser|^Error: Unable to find a match|^No match for argument: |^ERROR: unable to select packages|^  \S+ \(no such package\)",
    ),
    transient(
        "apt-network",
        r"^[WE]: Failed to fetch |^Err:\d+ |^  (?:Could not connect|Cannot initiate the connection|Temporary failure resolving|Connection (?:failed|timed out))|^E: (?:Could not get lock|Unable to acquire .*is another process using it|Unable to lock )|temporary error \(try again later\)|Hash Sum mismatch|Cannot download repomd|^Curl error \(",
    ),
    permanent("apt-repository", r"^E: The repository '.*'|^E: Sub-process .* returned an error code").weak(),
    transient("apt-after", r"^[WE]: (?:Some index files failed|Unable to fetch some archives|Unable to acquire|Could not open lock file)").weak(),
    // -- Maven, Gradle, Bundler ----------------------------------------------------------------------------------
    permanent("maven-offline", r"in offline mode|has not been downloaded from it before|available for offline mode"),
    transient(
        "maven-network",
        r"^(?:\[ERROR\]|>) .*(?:[Cc]onnection refused|Connect to .* failed|[Tt]imed out|[Uu]nknown host|[Tt]ransfer failed|[Cc]onnection reset|status code: 5\d\d|status: 5\d\d|Could not (?:GET|HEAD) )",
    ),
    permanent(
        "maven-missing",
        r"^\[ERROR\] .*(?:Could not resolve dependencies|Could not find artifact|could not be resolved|Non-resolvable parent|there is no POM in this directory|No goals have been specified|Unknown lifecycle phase|No plugin found for prefix|requested profile|status code: 4\d\d|Fatal error compiling: (?:error: )?(?:invalid|release version))|JAVA_HOME (?:environment variable )?is (?:not|set to an invalid)|^Error: JAVA_HOME |^Task '.*' not found|Unsupported class file major version|^> (?:Could not find |Could not resolve )",
    ),
    permanent(
        "ruby-gems",
        r"Could not find (?:gem |\S+ in (?:any of the sources|locally installed gems|rubygems))|^Could not locate Gemfile|^bundler: (?:command not found|failed to load command)|^Your Ruby version is |Bundler could not find compatible versions|^can't find gem ",
    ),
];
