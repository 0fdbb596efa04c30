// What becomes of network namespaces, seen from where the command runs: does a path still lead to a namespace, and does any
// process live in it? A namespace is told by device and inode, because paths are reused.

import { readdirSync, statSync } from 'node:fs';

/**
 * `in-use`: a process lives in it. `idle`: no process, but its path leads to it: a container that did not start yet, or ended
 * without a DEL. `gone`: no process, and its path leads nowhere or to another namespace. `unknown`: nobody noted which it is.
 */
export type NamespaceUse = 'in-use' | 'idle' | 'gone' | 'unknown';

interface Noted {
  readonly namespacePath: string;
  /** `device:inode`, or empty. */
  readonly namespaceId: string;
}

/** Looks at all processes once; then answers for any number of namespaces. */
export function namespaceUses(): (noted: Noted) => NamespaceUse {
  const inhabited = new Set<string>();
  for (const name of readdirSync('/proc')) {
    const id = /^\d+$/.test(name) ? idAt(`/proc/${name}/ns/net`) : null;
    if (id !== null) inhabited.add(id);
  }
  return ({ namespacePath, namespaceId }) => {
    if (namespaceId === '') return 'unknown';
    if (inhabited.has(namespaceId)) return 'in-use';
    return idAt(namespacePath) === namespaceId ? 'idle' : 'gone';
  };
}

/** Null when there is nothing, or a process that ended meanwhile. */
function idAt(path: string): string | null {
  const status = statSync(path, { bigint: true, throwIfNoEntry: false });
  return status === undefined ? null : `${status.dev}:${status.ino}`;
}
