// What fabric must remember of a host's kernel to put it back: sysctls as they were. One small JSON file, written
// atomically and durably before the kernel is changed. It counts for one boot and one network namespace only, because
// sysctls start anew with either. A damaged file is reported, never replaced.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { FabricError } from '../../base/errors.ts';
import { errnoName } from '../native.ts';
import type { SysctlOriginals } from './forwarding-plan.ts';
import { isObject } from './nft.ts';
import type { FamilyGuard, ForwardingGuard } from './overlay-rules.ts';

export interface HostState {
  /** Boot and network namespace that it was written in. */
  readonly place: string;
  readonly originals: SysctlOriginals;
  readonly guard: ForwardingGuard;
}

export class HostStateFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Null when there is no file. Throws FabricError `state-damaged`. */
  read(): HostState | null {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (errnoName(error) === 'ENOENT') return null;
      throw error;
    }
    const state = parseHostState(text);
    if (state !== null) return state;
    throw new FabricError('state-damaged', {
      what: `can't read ${this.#path}`,
      why: 'it is not what fabric wrote',
      fix: 'Remove it; the forwarding sysctls then stay as they are now when fabric is reset',
    });
  }

  /** Durable when it returns. */
  write(state: HostState): void {
    const temporary = `${this.#path}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, `${JSON.stringify(state, null, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#path);
    const folder = openSync(dirname(this.#path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Null on anything malformed: a path outside net/ or a value that is no number must never be written to /proc/sys. */
export function parseHostState(text: string): HostState | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(value) || typeof value.place !== 'string' || !isObject(value.originals) || !isObject(value.guard)) {
    return null;
  }
  const originals: Record<string, string> = {};
  for (const [path, original] of Object.entries(value.originals)) {
    const plain = /^net\/ipv[46]\/conf\/[^/\s]{1,15}\/[a-z_]+$/.test(path) && !/\/\.{1,2}\//.test(path);
    if (!plain || typeof original !== 'string' || !/^-?\d{1,10}$/.test(original)) return null;
    originals[path] = original;
  }
  const ip4 = parseGuard(value.guard.ip4);
  const ip6 = parseGuard(value.guard.ip6);
  if (ip4 === undefined || ip6 === undefined) return null;
  return { place: value.place, originals, guard: { ip4, ip6 } };
}

/** Undefined: malformed. */
function parseGuard(value: unknown): FamilyGuard | null | undefined {
  if (value === null) return null;
  if (!isObject(value)) return undefined;
  const { forwardedFrom, bridgesBefore } = value;
  return isTexts(forwardedFrom) && isTexts(bridgesBefore) ? { forwardedFrom, bridgesBefore } : undefined;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string');
}
