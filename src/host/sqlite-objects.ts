// Databases and statements of better-sqlite3 that are never collected as garbage. Its version 12 wraps them in node::ObjectWrap,
// whose destructor, since Node 24.19, ends the process with a failed assertion when the collector runs outside of JavaScript;
// version 13 is free of that, but wants Node 22. Invariant: callers prepare a fixed number of statements per database.

import Database from 'better-sqlite3';

const kept = new Set<object>();

/** Errors of SQLite are those of better-sqlite3; a file that is not there is one only with `fileMustExist`. */
export function openDatabase(path: string, options: Database.Options): Database.Database {
  return keep(new Database(path, options));
}

export function prepare<Parameters extends unknown[], Row = unknown>(
  database: Database.Database,
  sql: string,
): Database.Statement<Parameters, Row> {
  return keep(database.prepare<Parameters, Row>(sql));
}

/** The value of a pragma that has one: `application_id`, `quick_check(1)`. To set one, `exec` it. */
export function readPragma(database: Database.Database, pragma: string): unknown {
  return prepare<[]>(database, `PRAGMA ${pragma}`).pluck().get();
}

function keep<T extends object>(object: T): T {
  kept.add(object);
  return object;
}
