/** The tables, by version. A file of an older version is brought up to the newest one, a newer one is refused. */
import type { DatabaseSync } from 'node:sqlite'
import { leaveBundleTables } from './takeover/bundles.ts'
import { leaveRows } from './takeover/rows.ts'

/** `TRIV`, in the header of the file. */
export const applicationId = 0x54524956

/**
 * Migration i leads from version i to i + 1. What is written here once is never changed: files of it are out there.
 *
 * Until 5: `outbox.id` is the order of delivery, see `idOf`; `due` is 0 for what may go now; `ranked` is 1 for messages that have a
 * key, once their route has seen a priority. `unpacked`: bundles that the spool still has and whose messages are rows now; `spool` in
 * `meta`: 1 while it may have any.
 *
 * From 6 on: `pages`, see page.ts; `first` and `last` are ids of its messages, of one rank; `due` is 0 for what may go now; `received` that of the oldest;
 * `wanted` all targets of any of its messages; `checksum` that of the heads. `gone.places` has a bit for every message that a target is done with.
 * Beside them what is noted of some messages, by id: `attempts`; `first_reasons`, of a message that some of its targets did not get and others
 * still wait for; `suspects`, which a process may have died of; `ranked`, with a key, on routes that have seen a priority.
 */
export const migrations: readonly (string | ((database: DatabaseSync, directory: string) => void))[] = [
  `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  INSERT INTO meta VALUES ('clean', 1);

  CREATE TABLE routes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE targets (
    route INTEGER NOT NULL, bit INTEGER NOT NULL, place INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (route, bit)
  ) WITHOUT ROWID;

  CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, route INTEGER NOT NULL, due INTEGER NOT NULL, wanted INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL, received INTEGER NOT NULL, ranked INTEGER, key,
    starts INTEGER NOT NULL DEFAULT 0, requeues INTEGER NOT NULL DEFAULT 0, dead TEXT, params TEXT,
    fields TEXT NOT NULL, payload BLOB
  );
  CREATE INDEX waiting ON outbox (route, due, id, wanted, done, bytes);
  CREATE INDEX ranks ON outbox (route, key) WHERE ranked = 1;

  CREATE TABLE attempts (
    id INTEGER NOT NULL, bit INTEGER NOT NULL, attempts INTEGER NOT NULL, failures INTEGER NOT NULL,
    due INTEGER NOT NULL, noted INTEGER NOT NULL,
    PRIMARY KEY (id, bit)
  ) WITHOUT ROWID;

  CREATE TABLE seen (
    route INTEGER NOT NULL, message TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (route, message)
  ) WITHOUT ROWID;
  CREATE INDEX seen_at ON seen (route, at);

  CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, route TEXT NOT NULL, reason TEXT NOT NULL, last_at INTEGER NOT NULL,
    first_at INTEGER NOT NULL, attempts INTEGER NOT NULL, requeues INTEGER NOT NULL, forwarded_at INTEGER, to_forward INTEGER,
    target TEXT, bit INTEGER, code TEXT NOT NULL, message TEXT NOT NULL, params TEXT,
    fields TEXT NOT NULL, payload BLOB
  );
  CREATE INDEX dead_letters_by_route ON dead_letters (route, reason, last_at);
  CREATE INDEX dead_letters_forwarded ON dead_letters (forwarded_at) WHERE forwarded_at IS NOT NULL;
  CREATE INDEX dead_letters_to_forward ON dead_letters (to_forward) WHERE to_forward = 1;

  CREATE TABLE kept (
    connection TEXT NOT NULL, space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (connection, space, key)
  ) WITHOUT ROWID;
  `,
  `
  CREATE TABLE bundles (id INTEGER PRIMARY KEY, messages BLOB NOT NULL);
  CREATE TABLE bundles_gone (id INTEGER PRIMARY KEY, gone BLOB NOT NULL);
  `,
  leaveBundleTables,
  `
  ALTER TABLE dead_letters ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
  UPDATE dead_letters
    SET bytes = octet_length(fields) + coalesce(octet_length(payload), 0) + octet_length(message) + 512;
  CREATE INDEX dead_letters_by_age ON dead_letters (last_at, bytes);
  `,
  // until then what a route had seen was kept by its number, and its window was not known here
  `
  CREATE TABLE scopes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, window INTEGER NOT NULL);
  INSERT INTO scopes
    SELECT id, 'route ' || name, 30 * 86400000 FROM routes WHERE id IN (SELECT DISTINCT route FROM seen);
  DELETE FROM seen WHERE route NOT IN (SELECT id FROM scopes);
  ALTER TABLE seen RENAME COLUMN route TO scope;
  `,
  leaveRows,
]
