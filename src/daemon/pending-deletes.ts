// Works off the DELs that the CNI shim recorded while no daemon answered: `<state-dir>/cni-pending/*.json`. Done at start
// before CNI calls are served, before every ADD, and now and then. A record is removed only after its DEL succeeded, so a
// crash repeats it, which is harmless: nothing is attached under its key before. A record that can never succeed is set aside as
// `*.rejected`, for a person to see.

import { readdirSync } from 'node:fs';
import { mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../base/capabilities.ts';
import type { CniBackend } from '../cni-plugin/backend.ts';
import { CNI_CODE, CniError } from '../cni-plugin/cni-error.ts';
import type { CniOutcome } from '../cni-plugin/ipam-plugin.ts';
import { handleCni } from '../cni-plugin/operations.ts';
import { CNI_BODY_BYTES_MAX, type DeferredDelete, parseDeferredDelete } from '../cni-plugin/wire.ts';

/** Ours: one pass looks at this many records; the next pass goes on. */
const RECORDS_PER_PASS_MAX = 4096;
/** A shim writes its record within milliseconds. */
const ABANDONED_AFTER_MS = 60_000;

export interface PendingDeletesCounters {
  done: number;
  /** Tried, failed, kept for another time. */
  kept: number;
  rejected: number;
}

export class PendingDeletes {
  readonly counters: PendingDeletesCounters = { done: 0, kept: 0, rejected: 0 };
  readonly #directory: string;
  readonly #backend: CniBackend;
  readonly #log: Log;
  #pass: Promise<void> | null = null;
  /** Container interfaces whose DEL failed in the last pass. */
  #kept: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: { readonly stateDir: string; readonly backend: CniBackend; readonly log: Log }) {
    this.#directory = join(options.stateDir, 'cni-pending');
    this.#backend = options.backend;
    this.#log = options.log;
  }

  /** Makes the directory (0700), works everything off once, then every `intervalMs`. */
  async start(intervalMs = 30_000): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await this.#sweep();
    await this.workOff();
    this.#timer = setInterval(() => {
      this.workOff().catch((error: unknown) => {
        this.#log.error('deferred DELs can not be read', { directory: this.#directory, error: String(error) });
      });
    }, intervalMs);
    this.#timer.unref();
  }

  /** Ends the timer and waits for a pass under way. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#pass;
  }

  /**
   * One pass over the directory as it is now. Who calls during a pass gets one more after it: the record that matters may
   * have come after the pass had listed the directory. Rejects only when the directory can't be read.
   */
  async workOff(): Promise<void> {
    const before = this.#pass;
    if (before !== null) await before;
    this.#pass ??= this.#run().finally(() => {
      this.#pass = null;
    });
    await this.#pass;
  }

  /**
   * {@link workOff}; rejects with CniError when a DEL of the same container interface is still to be done: it would end what is
   * attached now.
   */
  async beforeAdd(env: Readonly<Record<string, string>>): Promise<void> {
    await this.workOff();
    if (!this.#kept.has(interfaceOf(env))) return;
    const what = `the DEL of ${env.CNI_CONTAINERID}'s last ${env.CNI_IFNAME} has not succeeded yet`;
    throw new CniError(CNI_CODE.tryAgainLater, what, 'the log of the fabric daemon says why');
  }

  /** Removes what shims left that were killed while they wrote: no record, its DEL was never reported as done. */
  async #sweep(): Promise<void> {
    for (const name of this.#list().filter((entry) => entry.endsWith('.tmp'))) {
      const path = join(this.#directory, name);
      try {
        if ((await stat(path)).mtimeMs < Date.now() - ABANDONED_AFTER_MS) await unlink(path);
      } catch (error) {
        if (!isMissing(error)) throw error; // its shim has finished it meanwhile
      }
    }
  }

  async #run(): Promise<void> {
    const names = this.#list()
      .filter((name) => name.endsWith('.json'))
      .sort();
    const kept = new Set<string>();
    for (const name of names.slice(0, RECORDS_PER_PASS_MAX)) await this.#workOffOne(name, kept);
    this.#kept = kept;
  }

  /** Synchronous, because it comes before every ADD: of the empty directory that it is as a rule a thread would only take longer. */
  #list(): readonly string[] {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async #workOffOne(name: string, kept: Set<string>): Promise<void> {
    const path = join(this.#directory, name);
    let record: DeferredDelete | null = null;
    try {
      const content = await readBounded(path);
      record = content === null ? null : parseDeferredDelete(content);
      if (record === null) return await this.#reject(path, 'no deferred DEL');
      const request = { ...record, namespace: null, namespaceFault: '', callerNamespace: null };
      const outcome = await handleCni(request, this.#backend, new AbortController().signal);
      if (!(await this.#settle(path, outcome))) kept.add(interfaceOf(record.env));
    } catch (error) {
      if (isMissing(error)) return;
      if (record !== null) kept.add(interfaceOf(record.env));
      this.counters.kept++;
      this.#log.warn('deferred DEL kept', { path, error: String(error) });
    }
  }

  /** False when the record is kept. */
  async #settle(path: string, outcome: CniOutcome): Promise<boolean> {
    if (outcome.exitCode === 0) {
      await unlink(path);
      this.counters.done++;
      this.#log.info('deferred DEL done', { path });
    } else if (isHopeless(outcome)) {
      await this.#reject(path, outcome.stdout.trim());
    } else {
      this.counters.kept++;
      this.#log.warn('deferred DEL kept', { path, error: outcome.stdout.trim() });
      return false;
    }
    return true;
  }

  async #reject(path: string, why: string): Promise<void> {
    await rename(path, `${path}.rejected`);
    this.counters.rejected++;
    this.#log.warn('deferred DEL rejected', { path, why });
  }
}

function interfaceOf({ CNI_CONTAINERID, CNI_IFNAME }: Readonly<Record<string, string>>): string {
  return `${CNI_CONTAINERID}/${CNI_IFNAME}`;
}

/** Errors of the record itself: it would fail the same way for ever. */
function isHopeless({ stdout }: CniOutcome): boolean {
  const { code } = JSON.parse(stdout) as { code: number };
  const ofTheRecord: readonly number[] = [
    CNI_CODE.environment,
    CNI_CODE.decode,
    CNI_CODE.config,
    CNI_CODE.incompatibleVersion,
    CNI_CODE.unsupportedField,
  ];
  return ofTheRecord.includes(code);
}

/** Null when it is longer than any record that the shim writes. */
async function readBounded(path: string): Promise<Uint8Array | null> {
  const file = await open(path, 'r');
  try {
    return (await file.stat()).size > CNI_BODY_BYTES_MAX ? null : await file.readFile();
  } finally {
    await file.close();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
