//! docker, podman, compose, kubectl.

use super::{Entry, permanent, transient};

pub(super) const TABLE: &[Entry] = &[
    permanent(
        "docker-denied",
        r"permission denied while trying to connect to the (?:Docker daemon socket|docker API)|dial unix \S+: connect: permission denied",
    ),
    permanent(
        "docker-config",
        r"unable to (?:resolve docker endpoint|parse docker host)|^Failed to initialize: |invalid (?:bind address|DOCKER_HOST|proto)|context \S+ (?:does not exist|not found)|client version \S+ is too (?:old|new)|the input device is not a TTY|cannot attach stdin to a TTY-enabled|^no configuration file provided|^(?:yaml|services\.\S+): |no such service: |^service \S+ (?:is not running|has no container|refers to undefined)|^env file .* not found|^validating \S+: ",
    ),
    transient(
        "docker-daemon",
        r"[Cc]annot connect to (?:the Docker daemon|Podman)|error during connect: |failed to connect to the docker API|[Ii]s the docker daemon running|dial unix \S*(?:docker|podman|containerd)\S*: ",
    ),
    transient(
        "docker-network",
        r"^(?:docker: |Error: |ERROR: )?(?:Error response from daemon: )?.*(?:registry|daemon|/v2/|manifest|image|pull).*(?:i/o timeout|TLS handshake timeout|connection refused|connection reset|no such host|[Tt]oo [Mm]any [Rr]equests|toomanyrequests|server misbehaving|context deadline exceeded|temporarily unavailable|unexpected status.* 5\d\d|received unexpected HTTP status: 5\d\d|: EOF$)|^(?:docker: |Error: )?Error response from daemon: .*(?:is restarting|dial tcp|request canceled|Client\.Timeout|unexpected EOF|i/o timeout|context deadline exceeded|in progress|is marked for removal|[Ss]erver [Ee]rror)|[Cc]ontainer \S+ is restarting",
    ),
    permanent(
        "docker-object",
        r"^(?:docker: |Error: |ERROR: )?(?:Error response from daemon: )?(?:No such (?:container|image|object|volume|network)|no such (?:container|image)|.*(?:[Cc]ontainer \S+ is (?:not running|paused)|pull access denied|manifest .*unknown|manifest for .* not found|no matching manifest|repository .*(?:does not exist|not found)|invalid reference format|[Cc]onflict\. The container name|is already in use by container|bind source path does not exist|invalid mount config|no basic auth credentials|authentication required|requested access to the resource is denied|container state improper|[Cc]annot exec in a (?:stopped|paused) (?:container|state)))|no container with name or ID |^Error response from daemon: .*(?:unauthorized|denied|not found)",
    ),
    permanent(
        "oci-runtime",
        r"OCI runtime (?:exec|create|start) failed: |OCI runtime attempted to invoke|^OCI permission denied|executable file (?:`[^`]+` )?not found in \$PATH|unable to find user |^exec \S+: (?:no such file or directory|exec format error|permission denied|[Nn]o such file|[Pp]ermission)|starting container process caused|unable to start container process|Cwd must be an absolute path|chdir to cwd|^(?:runc|crun)(?:: |\S* )",
    ),
    permanent(
        "docker-usage",
        r#"^(?:docker|podman): (?:'\S+' is not a docker command|unknown (?:command|flag|shorthand flag)|unrecognized command)|^unknown (?:shorthand )?flag: |^unknown command: docker|^"?docker \S+"? (?:requires|accepts)|^docker: ["']docker \S+["'] (?:requires|accepts)"#,
    ),
    permanent("docker-error", r"^(?:docker: )?Error response from daemon: |^(?:docker|podman): (?:invalid|open|stat) "),
    transient("docker-after", r"^Unable to find image .* locally$|^docker: Error$").weak(),
    // -- kubectl and helm --------------------------------------------------------------------------------------
    permanent(
        "kubectl-config",
        r"^The connection to the server localhost:8080 was refused|^(?:error|Error): (?:no configuration has been provided|You must be logged in|context .* does not exist|stat .*: no such file or directory|unknown (?:command|flag|shorthand flag)|the server doesn't have a resource type|unable to upgrade connection: (?:container not found|pod does not exist|Unauthorized|Forbidden)|cannot exec into|unable to load root certificates|error loading config file|.* must be specified|.*getting credentials: |.* (?:may not|must) be |Kubernetes cluster unreachable: .*no configuration)|^[Ee]rror in configuration: |^Error from server \((?:Forbidden|NotFound|Unauthorized|BadRequest|AlreadyExists|Invalid|MethodNotAllowed)\)|^error: .*no configuration has been provided|^invalid configuration: ",
    ),
    transient(
        "kubectl-wait",
        r"^The connection to the server \S+ was refused|^Unable to connect to the server: |^error: (?:timed out waiting|lost connection to pod|unable to upgrade connection|error dialing|error sending request|dial tcp)|^Error from server(?: \((?:Timeout|ServerTimeout|ServiceUnavailable|TooManyRequests|InternalError|Conflict)\))?: |^error: Internal error occurred",
    ),
    transient("kubectl-retry", r"^E\d{4} \d\d:\d\d:\d\d\S* +\d+ \S+\.go:\d+\] .*(?:connection refused|i/o timeout|no such host|currently unable to handle)").weak(),
    transient("kubectl-killed", r"^command terminated with exit code (?:137|143)$").weak(),
];
