PRAGMA foreign_keys = OFF;
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
CREATE TABLE outbox (
  id        TEXT NOT NULL PRIMARY KEY,
  task      TEXT NOT NULL REFERENCES task (name) DEFERRABLE INITIALLY DEFERRED,
  asked     INTEGER NOT NULL REFERENCES event (position),
  body      TEXT NOT NULL, -- {"v":1,"body":…}
  body_hash TEXT NOT NULL CHECK (length(body_hash) = 64),
  state     TEXT NOT NULL CHECK (state IN ('pending', 'done'))
) STRICT, WITHOUT ROWID;
CREATE INDEX run_by_task ON run (task, started);
CREATE UNIQUE INDEX one_live_run ON run (task) WHERE ended IS NULL;
CREATE UNIQUE INDEX one_live_attempt ON attempt (task, stage) WHERE decided IS NULL;
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
INSERT INTO pipeline VALUES ('eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325', x'76657273696f6e3a20310a6e616d653a2064656c69766572790a7374616765733a207b7d0a');
INSERT INTO artifact VALUES ('845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917', 6, x'7265706f7274');
INSERT INTO event VALUES (1, 'first', 1, 'task-added', '2026-09-21T14:13:21.123Z', '0000000000000000000000000000000000000000000000000000000000000000', '74192591b07e25f4527e6045681b9bd58a1d50286f30af9f4c75ef563cbe652c', '{"v":1,"body":{"task-added":{"task":"first","worktree":"/work/trees/first","at":"2026-09-21T14:13:21.123Z"}}}');
INSERT INTO event VALUES (2, 'first', 2, 'run-started', '2026-09-21T14:13:22.123Z', '74192591b07e25f4527e6045681b9bd58a1d50286f30af9f4c75ef563cbe652c', 'd334ee8eb9d74edf5e0de1a971c304b285a999c5312d710e7ae818362471909b', '{"v":1,"body":{"run-started":{"run":"0199f0c4-0000-7000-8100-000000000001","pipeline":"delivery","pipeline-digest":"eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","base-commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","stage":"development","boot":"boot","host":"host","at":"2026-09-21T14:13:22.123Z"}}}');
INSERT INTO event VALUES (3, 'first', 3, 'attempt-intended', '2026-09-21T14:13:23.123Z', 'd334ee8eb9d74edf5e0de1a971c304b285a999c5312d710e7ae818362471909b', 'e026def7100c3ef9a66af4896248fdb218bfee5e38a15226a1af809fa179e430', '{"v":1,"body":{"attempt-intended":{"run":"0199f0c4-0000-7000-8100-000000000001","attempt":"0199f0c4-0000-7000-8200-000000000001","stage":"development","visit":1,"number":1,"producer":"test-runner","chosen":"declared","nonce":"0199f0c4-0000-7000-8300-000000000001","argv":["cargo","nextest"],"cwd":"/work/trees/first","env-names":["PATH"],"tree":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","dirty":false,"at":"2026-09-21T14:13:23.123Z"}}}');
INSERT INTO event VALUES (4, 'first', 4, 'attempt-finished', '2026-09-21T14:13:24.123Z', 'e026def7100c3ef9a66af4896248fdb218bfee5e38a15226a1af809fa179e430', 'a5540b416616204a3642b6ce542b6e76fdb1dcc561ba66e194fa6b833f1b2d79', '{"v":1,"body":{"attempt-finished":{"record":{"version":1,"attempt":"0199f0c4-0000-7000-8200-000000000001","nonce":"0199f0c4-0000-7000-8300-000000000001","exit":{"exited":{"code":0}},"began":true,"started-at":"2026-09-21T14:13:24.123Z","ended-at":"2026-09-21T14:13:24.123Z","elapsed":{"secs":1,"nanos":500000000},"stdout":{"start":0,"bytes":10,"dropped":null},"stderr":{"start":0,"bytes":0,"dropped":null},"stop":"unasked","leaked":[],"survivors":[],"tier":"walk","max-rss-kib":4096,"user":{"secs":0,"nanos":20000000},"system":{"secs":0,"nanos":5000000}},"at":"2026-09-21T14:13:24.123Z"}}}');
INSERT INTO event VALUES (5, 'first', 5, 'attempt-decided', '2026-09-21T14:13:25.123Z', 'a5540b416616204a3642b6ce542b6e76fdb1dcc561ba66e194fa6b833f1b2d79', '8477406cbce03176314ddd0c11f1f35142130f16674c338c31d509646d156a5b', '{"v":1,"body":{"attempt-decided":{"attempt":"0199f0c4-0000-7000-8200-000000000001","evidence":{"exit":{"exited":{"code":0}},"declared":{"evidence":"auto","min-tests":1,"on-timeout":"hold"},"output":{"summaries":[{"source":{"adapter":"nextest"},"counts":{"passed":12,"failed":0,"errors":0,"skipped":1},"at":{"tool":"nextest","stream":"stderr","line":40,"text":"12 passed"}}],"unfinished":[],"code-faults":[],"crashes":[],"signatures":[],"stdout-bytes":10,"stderr-bytes":0,"incomplete":false,"stderr-tail":""},"reports":[],"control":null,"tree":null},"outcome":{"conclusion":{"suite-ran":"fail"},"reason":"tests-failed","rule":"green-evidence","proof":{"detail":"12 passed","source":null,"place":null,"line":null,"text":null,"pattern":null,"counts":{"passed":12,"failed":0,"errors":0,"skipped":1}}},"settlement":{"failed":["one test"]},"decision":{"hold":"failed"},"artifact":null,"stamp":{"version":1,"orch":"0.1.0","run":"0199f0c4-0000-7000-8100-000000000001","stage":"testing","attempt":"0199f0c4-0000-7000-8200-000000000001","producer":"test-runner","started-at":"2026-09-21T14:13:21.123Z","tree-before":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","tree-after":null,"dirty":false,"exit":{"exited":{"code":0}},"tests-run":null,"tests-failed":null,"reports":[],"artifact":null},"at":"2026-09-21T14:13:25.123Z"}}}');
INSERT INTO event VALUES (6, 'first', 6, 'run-closed', '2026-09-21T14:13:26.123Z', '8477406cbce03176314ddd0c11f1f35142130f16674c338c31d509646d156a5b', '6ef5b1c7eae71a3698ec8398dfe202531de796e591d2d7fa7384ea513a2573a4', '{"v":1,"body":{"run-closed":{"run":"0199f0c4-0000-7000-8100-000000000001","end":"held","at":"2026-09-21T14:13:26.123Z"}}}');
INSERT INTO event VALUES (7, 'first', 7, 'run-started', '2026-09-21T14:13:27.123Z', '6ef5b1c7eae71a3698ec8398dfe202531de796e591d2d7fa7384ea513a2573a4', 'ae3d27e958c07bc42ab53c07e1cae8175fca6ea01385bca23fcddecc50cad4aa', '{"v":1,"body":{"run-started":{"run":"0199f0c4-0000-7000-8100-000000000002","pipeline":"delivery","pipeline-digest":"eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","base-commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","stage":"development","boot":"boot","host":"host","at":"2026-09-21T14:13:27.123Z"}}}');
INSERT INTO event VALUES (8, 'first', 8, 'attempt-intended', '2026-09-21T14:13:28.123Z', 'ae3d27e958c07bc42ab53c07e1cae8175fca6ea01385bca23fcddecc50cad4aa', '12790242b6e46239546c64ce47f1d857d9a83eb12643c853a59a5050694f25a7', '{"v":1,"body":{"attempt-intended":{"run":"0199f0c4-0000-7000-8100-000000000002","attempt":"0199f0c4-0000-7000-8200-000000000002","stage":"development","visit":2,"number":1,"producer":"test-runner","chosen":"declared","nonce":"0199f0c4-0000-7000-8300-000000000002","argv":["cargo","nextest"],"cwd":"/work/trees/first","env-names":["PATH"],"tree":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","dirty":false,"at":"2026-09-21T14:13:28.123Z"}}}');
INSERT INTO event VALUES (9, 'first', 9, 'attempt-finished', '2026-09-21T14:13:29.123Z', '12790242b6e46239546c64ce47f1d857d9a83eb12643c853a59a5050694f25a7', '4497e4c53c50b7316fd750643f97c86ab76e326e41dfe92da9fd8d006cbea60f', '{"v":1,"body":{"attempt-finished":{"record":{"version":1,"attempt":"0199f0c4-0000-7000-8200-000000000002","nonce":"0199f0c4-0000-7000-8300-000000000002","exit":{"exited":{"code":0}},"began":true,"started-at":"2026-09-21T14:13:29.123Z","ended-at":"2026-09-21T14:13:29.123Z","elapsed":{"secs":1,"nanos":500000000},"stdout":{"start":0,"bytes":10,"dropped":null},"stderr":{"start":0,"bytes":0,"dropped":null},"stop":"unasked","leaked":[],"survivors":[],"tier":"walk","max-rss-kib":4096,"user":{"secs":0,"nanos":20000000},"system":{"secs":0,"nanos":5000000}},"at":"2026-09-21T14:13:29.123Z"}}}');
INSERT INTO event VALUES (10, 'first', 10, 'attempt-decided', '2026-09-21T14:13:30.123Z', '4497e4c53c50b7316fd750643f97c86ab76e326e41dfe92da9fd8d006cbea60f', 'a9a7791e1c70f817e5bd6b498a78166d01b58b2dc2aebd35223bb775cde2201b', '{"v":1,"body":{"attempt-decided":{"attempt":"0199f0c4-0000-7000-8200-000000000002","evidence":{"exit":{"exited":{"code":0}},"declared":{"evidence":"auto","min-tests":1,"on-timeout":"hold"},"output":{"summaries":[{"source":{"adapter":"nextest"},"counts":{"passed":12,"failed":0,"errors":0,"skipped":1},"at":{"tool":"nextest","stream":"stderr","line":40,"text":"12 passed"}}],"unfinished":[],"code-faults":[],"crashes":[],"signatures":[],"stdout-bytes":10,"stderr-bytes":0,"incomplete":false,"stderr-tail":""},"reports":[],"control":null,"tree":null},"outcome":{"conclusion":{"suite-ran":"pass"},"reason":"tests-passed","rule":"green-evidence","proof":{"detail":"12 passed","source":null,"place":null,"line":null,"text":null,"pattern":null,"counts":{"passed":12,"failed":0,"errors":0,"skipped":1}}},"settlement":"passed","decision":{"advance":{"to":"testing"}},"artifact":{"path":"docs/work-items/t/13-test-report.md","digest":"845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917"},"stamp":{"version":1,"orch":"0.1.0","run":"0199f0c4-0000-7000-8100-000000000002","stage":"testing","attempt":"0199f0c4-0000-7000-8200-000000000002","producer":"test-runner","started-at":"2026-09-21T14:13:21.123Z","tree-before":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","tree-after":null,"dirty":false,"exit":{"exited":{"code":0}},"tests-run":null,"tests-failed":null,"reports":[],"artifact":{"path":"docs/work-items/t/13-test-report.md","digest":"845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917"}},"at":"2026-09-21T14:13:30.123Z"}}}');
INSERT INTO event VALUES (11, 'first', 11, 'attempt-intended', '2026-09-21T14:13:31.123Z', 'a9a7791e1c70f817e5bd6b498a78166d01b58b2dc2aebd35223bb775cde2201b', '9ba4c297ace4617fc46ddf5002952ae877af38a8bcaada49600eb5f47d29fc84', '{"v":1,"body":{"attempt-intended":{"run":"0199f0c4-0000-7000-8100-000000000002","attempt":"0199f0c4-0000-7000-8200-000000000003","stage":"testing","visit":1,"number":1,"producer":"test-runner","chosen":"declared","nonce":"0199f0c4-0000-7000-8300-000000000003","argv":["cargo","nextest"],"cwd":"/work/trees/first","env-names":["PATH"],"tree":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","dirty":false,"at":"2026-09-21T14:13:31.123Z"}}}');
INSERT INTO event VALUES (12, 'first', 12, 'attempt-finished', '2026-09-21T14:13:32.123Z', '9ba4c297ace4617fc46ddf5002952ae877af38a8bcaada49600eb5f47d29fc84', '7f5caa8dabb4ca91ff46d8187ae822480767d941e7ea5f5e751edb8a6f57f445', '{"v":1,"body":{"attempt-finished":{"record":{"version":1,"attempt":"0199f0c4-0000-7000-8200-000000000003","nonce":"0199f0c4-0000-7000-8300-000000000003","exit":{"exited":{"code":0}},"began":true,"started-at":"2026-09-21T14:13:32.123Z","ended-at":"2026-09-21T14:13:32.123Z","elapsed":{"secs":1,"nanos":500000000},"stdout":{"start":0,"bytes":10,"dropped":null},"stderr":{"start":0,"bytes":0,"dropped":null},"stop":"unasked","leaked":[],"survivors":[],"tier":"walk","max-rss-kib":4096,"user":{"secs":0,"nanos":20000000},"system":{"secs":0,"nanos":5000000}},"at":"2026-09-21T14:13:32.123Z"}}}');
INSERT INTO event VALUES (13, 'first', 13, 'attempt-decided', '2026-09-21T14:13:33.123Z', '7f5caa8dabb4ca91ff46d8187ae822480767d941e7ea5f5e751edb8a6f57f445', 'b832b2d446da93fd10f413351dd0e7344ede24876e1b55cd9dfc4b1ee25fb225', '{"v":1,"body":{"attempt-decided":{"attempt":"0199f0c4-0000-7000-8200-000000000003","evidence":{"exit":{"exited":{"code":0}},"declared":{"evidence":"auto","min-tests":1,"on-timeout":"hold"},"output":{"summaries":[{"source":{"adapter":"nextest"},"counts":{"passed":12,"failed":0,"errors":0,"skipped":1},"at":{"tool":"nextest","stream":"stderr","line":40,"text":"12 passed"}}],"unfinished":[],"code-faults":[],"crashes":[],"signatures":[],"stdout-bytes":10,"stderr-bytes":0,"incomplete":false,"stderr-tail":""},"reports":[],"control":null,"tree":null},"outcome":{"conclusion":{"suite-ran":"fail"},"reason":"tests-failed","rule":"green-evidence","proof":{"detail":"12 passed","source":null,"place":null,"line":null,"text":null,"pattern":null,"counts":{"passed":12,"failed":0,"errors":0,"skipped":1}}},"settlement":{"failed":["one test"]},"decision":{"rollback":{"to":"development","charge":"developer-retry"}},"artifact":null,"stamp":{"version":1,"orch":"0.1.0","run":"0199f0c4-0000-7000-8100-000000000002","stage":"testing","attempt":"0199f0c4-0000-7000-8200-000000000003","producer":"test-runner","started-at":"2026-09-21T14:13:21.123Z","tree-before":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","tree-after":null,"dirty":false,"exit":{"exited":{"code":0}},"tests-run":null,"tests-failed":null,"reports":[],"artifact":null},"at":"2026-09-21T14:13:33.123Z"}}}');
INSERT INTO event VALUES (14, 'first', 14, 'attempt-intended', '2026-09-21T14:13:34.123Z', 'b832b2d446da93fd10f413351dd0e7344ede24876e1b55cd9dfc4b1ee25fb225', 'e0bc2669a7569964513856a6c916510fb1248cf56418cfd42433f493c20f6b99', '{"v":1,"body":{"attempt-intended":{"run":"0199f0c4-0000-7000-8100-000000000002","attempt":"0199f0c4-0000-7000-8200-000000000004","stage":"development","visit":3,"number":1,"producer":"test-runner","chosen":"declared","nonce":"0199f0c4-0000-7000-8300-000000000004","argv":["cargo","nextest"],"cwd":"/work/trees/first","env-names":["PATH"],"tree":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","dirty":false,"at":"2026-09-21T14:13:34.123Z"}}}');
INSERT INTO event VALUES (15, 'first', 15, 'attempt-finished', '2026-09-21T14:13:35.123Z', 'e0bc2669a7569964513856a6c916510fb1248cf56418cfd42433f493c20f6b99', 'c846b7451fe068ae89af928c4eafee418ec0b1c5682e8a6a9124a79bdcfc109b', '{"v":1,"body":{"attempt-finished":{"record":{"version":1,"attempt":"0199f0c4-0000-7000-8200-000000000004","nonce":"0199f0c4-0000-7000-8300-000000000004","exit":{"exited":{"code":0}},"began":true,"started-at":"2026-09-21T14:13:35.123Z","ended-at":"2026-09-21T14:13:35.123Z","elapsed":{"secs":1,"nanos":500000000},"stdout":{"start":0,"bytes":10,"dropped":null},"stderr":{"start":0,"bytes":0,"dropped":null},"stop":"unasked","leaked":[],"survivors":[],"tier":"walk","max-rss-kib":4096,"user":{"secs":0,"nanos":20000000},"system":{"secs":0,"nanos":5000000}},"at":"2026-09-21T14:13:35.123Z"}}}');
INSERT INTO event VALUES (16, 'first', 16, 'attempt-decided', '2026-09-21T14:13:36.123Z', 'c846b7451fe068ae89af928c4eafee418ec0b1c5682e8a6a9124a79bdcfc109b', '84082fb55123bc12d7986a01c286bba361bbe10f311fcb3b7a563669f0840d97', '{"v":1,"body":{"attempt-decided":{"attempt":"0199f0c4-0000-7000-8200-000000000004","evidence":{"exit":{"exited":{"code":0}},"declared":{"evidence":"auto","min-tests":1,"on-timeout":"hold"},"output":{"summaries":[{"source":{"adapter":"nextest"},"counts":{"passed":12,"failed":0,"errors":0,"skipped":1},"at":{"tool":"nextest","stream":"stderr","line":40,"text":"12 passed"}}],"unfinished":[],"code-faults":[],"crashes":[],"signatures":[],"stdout-bytes":10,"stderr-bytes":0,"incomplete":false,"stderr-tail":""},"reports":[],"control":null,"tree":null},"outcome":{"conclusion":{"suite-ran":"pass"},"reason":"tests-passed","rule":"green-evidence","proof":{"detail":"12 passed","source":null,"place":null,"line":null,"text":null,"pattern":null,"counts":{"passed":12,"failed":0,"errors":0,"skipped":1}}},"settlement":"passed","decision":{"advance":"done"},"artifact":null,"stamp":{"version":1,"orch":"0.1.0","run":"0199f0c4-0000-7000-8100-000000000002","stage":"testing","attempt":"0199f0c4-0000-7000-8200-000000000004","producer":"test-runner","started-at":"2026-09-21T14:13:21.123Z","tree-before":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","tree-after":null,"dirty":false,"exit":{"exited":{"code":0}},"tests-run":null,"tests-failed":null,"reports":[],"artifact":null},"at":"2026-09-21T14:13:36.123Z"}}}');
INSERT INTO event VALUES (17, 'first', 17, 'run-closed', '2026-09-21T14:13:37.123Z', '84082fb55123bc12d7986a01c286bba361bbe10f311fcb3b7a563669f0840d97', '1c2a54f62742d4fa53a30368e8fdd85d0bad44bcc70993966ee3511ad90e0d37', '{"v":1,"body":{"run-closed":{"run":"0199f0c4-0000-7000-8100-000000000002","end":"done","at":"2026-09-21T14:13:37.123Z"}}}');
INSERT INTO event VALUES (18, 'second', 1, 'task-added', '2026-09-21T14:13:21.123Z', '0000000000000000000000000000000000000000000000000000000000000000', 'd1e96ce04bac23780a1d6142409654747ff965eddf53788ea00f0a3979236407', '{"v":1,"body":{"task-added":{"task":"second","worktree":"/work/trees/second","at":"2026-09-21T14:13:21.123Z"}}}');
INSERT INTO event VALUES (19, 'second', 2, 'run-started', '2026-09-21T14:13:22.123Z', 'd1e96ce04bac23780a1d6142409654747ff965eddf53788ea00f0a3979236407', '2973ed9722610b167392c32efa1fe704fa85b4fe66065b0cc6a548f5fef2daa3', '{"v":1,"body":{"run-started":{"run":"0199f0c4-0000-7000-8100-000000000033","pipeline":"delivery","pipeline-digest":"eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","base-commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","stage":"testing","boot":"boot","host":"host","at":"2026-09-21T14:13:22.123Z"}}}');
INSERT INTO event VALUES (20, 'second', 3, 'attempt-intended', '2026-09-21T14:13:23.123Z', '2973ed9722610b167392c32efa1fe704fa85b4fe66065b0cc6a548f5fef2daa3', '7a33347859a37cf3087b69965e3db8d1b591ea014b05770db1932a3854e3f964', '{"v":1,"body":{"attempt-intended":{"run":"0199f0c4-0000-7000-8100-000000000033","attempt":"0199f0c4-0000-7000-8200-000000000033","stage":"testing","visit":1,"number":1,"producer":"test-runner","chosen":"declared","nonce":"0199f0c4-0000-7000-8300-000000000033","argv":["cargo","nextest"],"cwd":"/work/trees/second","env-names":["PATH"],"tree":"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622","dirty":false,"at":"2026-09-21T14:13:23.123Z"}}}');
INSERT INTO run VALUES ('0199f0c4-0000-7000-8100-000000000001', 'first', 'delivery', 'eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'development', 2, '2026-09-21T14:13:22.123Z', 'held', 6, '2026-09-21T14:13:26.123Z');
INSERT INTO run VALUES ('0199f0c4-0000-7000-8100-000000000002', 'first', 'delivery', 'eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'development', 7, '2026-09-21T14:13:27.123Z', 'done', 17, '2026-09-21T14:13:37.123Z');
INSERT INTO run VALUES ('0199f0c4-0000-7000-8100-000000000033', 'second', 'delivery', 'eb728dd5f687644539e564aa1ce6e41688f8e0528834c2514dc3f66dc335c325', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'testing', 19, '2026-09-21T14:13:22.123Z', NULL, NULL, NULL);
INSERT INTO attempt VALUES ('0199f0c4-0000-7000-8200-000000000001', '0199f0c4-0000-7000-8100-000000000001', 'first', 'development', 1, 1, 'test-runner', 3, '2026-09-21T14:13:23.123Z', 4, '2026-09-21T14:13:24.123Z', 'exited 0', 5, '2026-09-21T14:13:25.123Z', 'suite-ran', 'tests-failed', 'failed', 'hold', NULL);
INSERT INTO attempt VALUES ('0199f0c4-0000-7000-8200-000000000002', '0199f0c4-0000-7000-8100-000000000002', 'first', 'development', 2, 1, 'test-runner', 8, '2026-09-21T14:13:28.123Z', 9, '2026-09-21T14:13:29.123Z', 'exited 0', 10, '2026-09-21T14:13:30.123Z', 'suite-ran', 'tests-passed', 'passed', 'advance', '845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917');
INSERT INTO attempt VALUES ('0199f0c4-0000-7000-8200-000000000003', '0199f0c4-0000-7000-8100-000000000002', 'first', 'testing', 1, 1, 'test-runner', 11, '2026-09-21T14:13:31.123Z', 12, '2026-09-21T14:13:32.123Z', 'exited 0', 13, '2026-09-21T14:13:33.123Z', 'suite-ran', 'tests-failed', 'failed', 'rollback', NULL);
INSERT INTO attempt VALUES ('0199f0c4-0000-7000-8200-000000000004', '0199f0c4-0000-7000-8100-000000000002', 'first', 'development', 3, 1, 'test-runner', 14, '2026-09-21T14:13:34.123Z', 15, '2026-09-21T14:13:35.123Z', 'exited 0', 16, '2026-09-21T14:13:36.123Z', 'suite-ran', 'tests-passed', 'passed', 'advance', NULL);
INSERT INTO attempt VALUES ('0199f0c4-0000-7000-8200-000000000033', '0199f0c4-0000-7000-8100-000000000033', 'second', 'testing', 1, 1, 'test-runner', 20, '2026-09-21T14:13:23.123Z', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO task VALUES ('first', 17, '1c2a54f62742d4fa53a30368e8fdd85d0bad44bcc70993966ee3511ad90e0d37', 'done', NULL, NULL, NULL, NULL, NULL, NULL, 2, 4, '{"v":1,"body":{"name":"first","worktree":"/work/trees/first","state":{"done":{"run":"0199f0c4-0000-7000-8100-000000000002","at":"2026-09-21T14:13:37.123Z"}},"spent":{"budgets":{"developer-retry":1},"rewrites":0},"launches":0}}', 'c1c13d0b7973200ba4c3d69dfe673ac2b82453e6956432cd46b21a065c0ea30d');
INSERT INTO task VALUES ('second', 3, '7a33347859a37cf3087b69965e3db8d1b591ea014b05770db1932a3854e3f964', 'running', 'testing', '0199f0c4-0000-7000-8100-000000000033', '0199f0c4-0000-7000-8200-000000000033', NULL, NULL, '2026-09-21T14:13:22.123Z', 1, 1, '{"v":1,"body":{"name":"second","worktree":"/work/trees/second","state":{"running":{"run":"0199f0c4-0000-7000-8100-000000000033","stage":"testing","visit":1,"attempt":"0199f0c4-0000-7000-8200-000000000033","number":1,"phase":"intended"}},"spent":{"budgets":{},"rewrites":0},"launches":0}}', '3165d4f77d24a4f987ee26670ffda3f8504bd6990be89dcbb329dddb95eb7883');
INSERT INTO visit VALUES ('first', 'development', 3);
INSERT INTO visit VALUES ('first', 'testing', 1);
INSERT INTO visit VALUES ('second', 'testing', 1);
INSERT INTO outbox VALUES ('publish:0199f0c4-0000-7000-8200-000000000002:845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917', 'first', 11, '{"v":1,"body":{"publish-artifact":{"attempt":"0199f0c4-0000-7000-8200-000000000002","artifact":{"path":"docs/work-items/t/13-test-report.md","digest":"845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917"}}}}', '5012fd1766c68de7b1894a81dfc1b21fd519d163d7738524b8806c1c357d84b3', 'pending');
PRAGMA application_id = 1869767528;
PRAGMA user_version = 1;
