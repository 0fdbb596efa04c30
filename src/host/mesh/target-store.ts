// The operator's targets (--join, connect) as they outlive the daemon, so that a restart finds the cluster with no flags. Kept
// apart from Mesh, because a joiner has targets before it has a store.

import type { Store } from '../../base/capabilities.ts';
import { parseHostPort } from '../../base/endpoint.ts';
import { type Address, addressKey } from './dialler.ts';

const SPACE = 'mesh/target';
const NOTHING = new Uint8Array(0);

/** Idempotent. */
export function rememberTarget(store: Store, address: Address): void {
  store.put(SPACE, addressKey(address), NOTHING);
}

/** Idempotent. */
export function forgetTarget(store: Store, address: Address): void {
  store.delete(SPACE, addressKey(address));
}

export function rememberedTargets(store: Store): readonly Address[] {
  return store.entries(SPACE).flatMap(([key]) => parseHostPort(key) ?? []);
}
