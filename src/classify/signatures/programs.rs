//! Databases, caches, system services.

use super::{Entry, permanent, transient};

pub(super) const TABLE: &[Entry] = &[
    transient(
        "postgres-wait",
        r"FATAL: +(?:the database system is|sorry, too many clients|remaining connection slots|terminating connection|could not (?:fork|open shared)|canceling)|server closed the connection unexpectedly",
    ),
    permanent(
        "postgres-denied",
        r#"FATAL: +(?:password authentication failed|no pg_hba\.conf entry|database "|role "|Peer authentication failed|Ident authentication failed|permission denied|no PostgreSQL user|invalid)|fe_sendauth: no password supplied|server does not support SSL, but SSL was required|^(?:createdb|dropdb|createuser|pg_restore|pg_dump): error: (?:database|role) (?:creation|removal) failed: "#,
    ),
    permanent(
        "psql-usage",
        r"^psql: (?:error: )?(?:[^ ]+: (?:No such file or directory|Permission denied)$|(?:could not open|could not stat) file|invalid |unrecognized option|option requires)|^psql: error: missing",
    ),
    transient(
        "postgres-network",
        r"^(?:psql|pg_dump|pg_restore|pg_basebackup|createdb|dropdb|vacuumdb|reindexdb): (?:error: )?(?:connection|could not (?:connect|translate)|timeout)|^psql: error: |could not connect to server|could not translate host name|Is the server running (?:on|locally)|^\S+:\d+ - (?:no response|rejecting connections)",
    ),
    permanent("mysql-denied", r"^ERROR (?:1044|1045|1049|1698|2058|2059) \(|Access denied for user|Unknown database '"),
    transient(
        "mysql-wait",
        r"^ERROR (?:1040|1205|1213|2002|2003|2005|2006|2013) \(|Can't connect to (?:local )?(?:MySQL|MariaDB|server)|MySQL server has gone away|Too many connections",
    ),
    transient("sqlite-locked", r"[Dd]atabase (?:table )?is locked"),
    permanent(
        "sqlite-file",
        r"file is not a database|unable to open database|attempt to write a readonly database|database disk image is malformed|^(?:Runtime|Parse) error.*no such table|^Error: in prepare, |^sqlite3: Error: |^Error: (?:near line|stepping|no such)",
    ),
    permanent("redis-denied", r"NOAUTH Authentication required|WRONGPASS |NOPERM "),
    transient("redis-wait", r"^Could not connect to Redis at |LOADING Redis is loading|CLUSTERDOWN|MASTERDOWN"),
    transient("mongo-wait", r"MongoNetworkError|MongoServerSelectionError|couldn't connect to server"),
    permanent("mongo-denied", r"MongoServerError: Authentication failed"),
    permanent(
        "no-systemd",
        r"^System has not been booted with systemd|^Unit \S+ (?:not found|could not be found)|^Failed to (?:start|restart|enable|stop) \S+: Unit .* not found",
    ),
    permanent("no-bus", r"^Failed to connect to (?:system scope |user scope )?bus").weak(),
];
