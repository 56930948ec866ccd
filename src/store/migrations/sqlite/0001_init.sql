-- Tasks, runs, attempts, the event log they are made from, and what hangs on it.
--
-- The event log is the truth: every column of task, run and attempt can be derived from it, and `verify` does.
-- Times are RFC 3339 text for people; order is `event.position` over the store and `event.seq` within a task.
-- A PostgreSQL sibling differs in types only: BLOB is bytea, `position` an identity column, STRICT and
-- WITHOUT ROWID go away, RAISE becomes a trigger function, and the two circular references an ALTER TABLE.

CREATE TABLE pipeline (
  digest TEXT NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
  body   BLOB NOT NULL
) STRICT;

CREATE TABLE artifact (
  digest TEXT NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
  size   INTEGER NOT NULL CHECK (size >= 0),
  body   BLOB, -- null: the bytes are the file blobs/sha256/<digest>
  CHECK ((body IS NULL) = (size > 65536)),
  CHECK (body IS NULL OR length(body) = size)
) STRICT;

CREATE TABLE event (
  position INTEGER PRIMARY KEY,
  task     TEXT NOT NULL REFERENCES task (name) DEFERRABLE INITIALLY DEFERRED,
  seq      INTEGER NOT NULL CHECK (seq >= 1),
  kind     TEXT NOT NULL,
  at       TEXT NOT NULL,
  prev     TEXT NOT NULL CHECK (length(prev) = 64), -- hash of the task's event before, zeros for its first
  hash     TEXT NOT NULL CHECK (length(hash) = 64),
  body     TEXT NOT NULL,                           -- {"v":1,"body":…}; these bytes are what is hashed
  UNIQUE (task, seq)
) STRICT;

CREATE TABLE task (
  name       TEXT NOT NULL PRIMARY KEY,
  version    INTEGER NOT NULL CHECK (version >= 1), -- seq of its last event
  head       TEXT NOT NULL CHECK (length(head) = 64), -- hash of its last event
  status     TEXT NOT NULL
             CHECK (status IN ('queued', 'running', 'deferred', 'held', 'paused', 'done', 'failed', 'cancelled')),
  stage      TEXT,
  run_id     TEXT REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED, -- the live run
  attempt_id TEXT REFERENCES attempt (id) DEFERRABLE INITIALLY DEFERRED, -- the live attempt
  owner      TEXT,    -- who drives the run: host and start, as the runner names itself
  pid        INTEGER, -- the runner's process, a hint for people
  started_at TEXT,    -- of the live run
  stages     INTEGER NOT NULL CHECK (stages >= 0), -- its rows in visit
  entries    INTEGER NOT NULL CHECK (entries >= stages), -- the sum of their counts
  body       TEXT NOT NULL, -- {"v":1,"body":…}: the whole state but its visits
  body_hash  TEXT NOT NULL CHECK (length(body_hash) = 64), -- against damage; the events say what is right
  CHECK (status <> 'queued'
         OR (run_id IS NULL AND attempt_id IS NULL AND owner IS NULL AND pid IS NULL AND started_at IS NULL)),
  CHECK ((status = 'running') = (run_id IS NOT NULL)),
  CHECK ((run_id IS NULL) = (started_at IS NULL)),
  CHECK (run_id IS NOT NULL OR (attempt_id IS NULL AND owner IS NULL)),
  CHECK ((owner IS NULL) = (pid IS NULL)),
  CHECK (stage IS NOT NULL OR status IN ('queued', 'done', 'cancelled'))
) STRICT, WITHOUT ROWID;

CREATE TABLE visit (
  task  TEXT NOT NULL REFERENCES task (name) DEFERRABLE INITIALLY DEFERRED,
  stage TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count >= 1),
  PRIMARY KEY (task, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
  id              TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36),
  task            TEXT NOT NULL REFERENCES task (name) DEFERRABLE INITIALLY DEFERRED,
  pipeline        TEXT NOT NULL,
  pipeline_digest TEXT NOT NULL REFERENCES pipeline (digest),
  commit_id       TEXT NOT NULL,
  base_commit     TEXT NOT NULL,
  stage           TEXT NOT NULL, -- where it started
  started         INTEGER NOT NULL UNIQUE REFERENCES event (position),
  started_at      TEXT NOT NULL,
  ended           TEXT CHECK (ended IN ('done', 'failed', 'held', 'cancelled', 'interrupted')),
  closed          INTEGER REFERENCES event (position),
  closed_at       TEXT,
  CHECK ((ended IS NULL) = (closed IS NULL)),
  CHECK ((ended IS NULL) = (closed_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX run_by_task ON run (task, started);
CREATE UNIQUE INDEX one_live_run ON run (task) WHERE ended IS NULL;

CREATE TABLE attempt (
  id          TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36),
  run_id      TEXT NOT NULL REFERENCES run (id),
  task        TEXT NOT NULL REFERENCES task (name) DEFERRABLE INITIALLY DEFERRED,
  stage       TEXT NOT NULL,
  visit       INTEGER NOT NULL CHECK (visit >= 1),
  number      INTEGER NOT NULL CHECK (number >= 1),
  producer    TEXT NOT NULL CHECK (producer IN ('agent', 'test-runner', 'staging-runner', 'command', 'approval')),
  intended    INTEGER NOT NULL REFERENCES event (position),
  intended_at TEXT NOT NULL,
  finished    INTEGER REFERENCES event (position),
  finished_at TEXT,
  exit        TEXT, -- such as 'exited 1', 'timed-out idle', 'lost reboot'
  decided     INTEGER REFERENCES event (position),
  decided_at  TEXT,
  outcome     TEXT CHECK (outcome IN ('suite-ran', 'permanent-env', 'transient-infra')),
  reason      TEXT,
  settlement  TEXT CHECK (settlement IN
              ('passed', 'failed', 'unreadable', 'timed-out', 'permanent-env', 'transient-infra', 'cancelled')),
  decision    TEXT CHECK (decision IN ('advance', 'rollback', 'retry', 'rewrite', 'hold', 'fail', 'interrupt')),
  artifact    TEXT REFERENCES artifact (digest),
  UNIQUE (run_id, stage, visit, number),
  CHECK ((finished IS NULL) = (finished_at IS NULL) AND (finished IS NULL) = (exit IS NULL)),
  CHECK ((decided IS NULL) = (decided_at IS NULL)),
  CHECK ((decided IS NULL) = (settlement IS NULL)),
  CHECK ((decided IS NULL) = (decision IS NULL)),
  CHECK ((outcome IS NOT NULL) = (decided IS NOT NULL AND settlement <> 'cancelled')),
  CHECK ((outcome IS NULL) = (reason IS NULL)),
  CHECK (artifact IS NULL OR decided IS NOT NULL),
  -- No false green and no false blame: only a suite that ran moves a task on, back or to its end.
  CHECK (settlement IS NULL OR settlement NOT IN ('passed', 'failed') OR outcome = 'suite-ran'),
  CHECK (decision IS NULL OR decision <> 'advance' OR settlement = 'passed'),
  CHECK (decision IS NULL OR decision NOT IN ('rollback', 'fail') OR settlement = 'failed')
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_live_attempt ON attempt (task, stage) WHERE decided IS NULL;

CREATE TABLE outbox (
  id        TEXT NOT NULL PRIMARY KEY,
  task      TEXT NOT NULL REFERENCES task (name) DEFERRABLE INITIALLY DEFERRED,
  asked     INTEGER NOT NULL REFERENCES event (position),
  body      TEXT NOT NULL, -- {"v":1,"body":…}
  body_hash TEXT NOT NULL CHECK (length(body_hash) = 64),
  state     TEXT NOT NULL CHECK (state IN ('pending', 'done'))
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_pending ON outbox (asked) WHERE state = 'pending';

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;

CREATE TRIGGER event_is_never_removed BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never removed'); END;

CREATE TRIGGER closed_run_is_final BEFORE UPDATE ON run WHEN OLD.ended IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a closed run is final'); END;

CREATE TRIGGER run_is_never_removed BEFORE DELETE ON run
BEGIN SELECT RAISE(ABORT, 'a run is never removed'); END;

CREATE TRIGGER decided_attempt_is_final BEFORE UPDATE ON attempt WHEN OLD.decided IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a decided attempt is final'); END;

CREATE TRIGGER finished_attempt_keeps_its_end BEFORE UPDATE OF finished, finished_at, exit ON attempt
WHEN OLD.finished IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an attempt finishes once'); END;

CREATE TRIGGER attempt_is_never_removed BEFORE DELETE ON attempt
BEGIN SELECT RAISE(ABORT, 'an attempt is never removed'); END;

CREATE TRIGGER artifact_is_never_changed BEFORE UPDATE ON artifact
BEGIN SELECT RAISE(ABORT, 'an artifact is never changed'); END;

CREATE TRIGGER pipeline_is_never_changed BEFORE UPDATE ON pipeline
BEGIN SELECT RAISE(ABORT, 'a pinned pipeline is never changed'); END;

CREATE TRIGGER task_only_moves_on BEFORE UPDATE ON task WHEN NEW.version <= OLD.version OR NEW.name <> OLD.name
BEGIN SELECT RAISE(ABORT, 'a task only moves on'); END;
