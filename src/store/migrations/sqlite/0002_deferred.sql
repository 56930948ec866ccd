-- A run may wait for a retry time: the task is deferred then, and the run still owns it. An attempt is live only while
-- its task is running. A task may be paused before its first run, at no stage.
--
-- SQLite cannot change a CHECK; the table is made anew, as https://www.sqlite.org/lang_altertable.html#otheralter
-- tells, with foreign keys off and checked before the commit.

CREATE TABLE task_next (
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
  CHECK (status <> 'running' OR run_id IS NOT NULL),
  CHECK (run_id IS NULL OR status IN ('running', 'deferred')), -- deferred: its run waits for the retry time
  CHECK (attempt_id IS NULL OR status = 'running'),
  CHECK ((run_id IS NULL) = (started_at IS NULL)),
  CHECK (run_id IS NOT NULL OR owner IS NULL),
  CHECK ((owner IS NULL) = (pid IS NULL)),
  CHECK (stage IS NOT NULL OR status IN ('queued', 'paused', 'done', 'cancelled'))
) STRICT, WITHOUT ROWID;

INSERT INTO task_next SELECT name, version, head, status, stage, run_id, attempt_id, owner, pid, started_at,
  stages, entries, body, body_hash FROM task;

DROP TABLE task;
ALTER TABLE task_next RENAME TO task;

CREATE TRIGGER task_only_moves_on BEFORE UPDATE ON task WHEN NEW.version <= OLD.version OR NEW.name <> OLD.name
BEGIN SELECT RAISE(ABORT, 'a task only moves on'); END;
