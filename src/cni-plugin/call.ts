// One call of the plugin: as the shim hands it over, and validated, as all verbs share it.

import { readAttachments } from './attachment-list.ts';
import type { AttachmentKey, CniBackend, NamespaceHandle } from './backend.ts';
import { failures, sentence } from './clean-up.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import type { CniEnvironment } from './environment.ts';
import type { IpamPlugin } from './ipam-plugin.ts';
import type { NetworkConfig } from './network-config.ts';
import type { CniVersion } from './version.ts';

export interface CniRequest {
  /** The CNI_* variables. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  /** CNI_NETNS, opened by the shim; null where it is empty or could not be opened. */
  readonly namespace: NamespaceHandle | null;
  /** Why CNI_NETNS could not be opened; empty otherwise. */
  readonly namespaceFault: string;
  /** The network namespace that the shim runs in; null when it could not tell. */
  readonly callerNamespace: { readonly dev: bigint; readonly ino: bigint } | null;
}

/** One validated call; what the verbs share. */
export interface Call {
  readonly request: CniRequest;
  readonly environment: CniEnvironment;
  readonly version: CniVersion;
  readonly config: NetworkConfig;
  readonly key: AttachmentKey;
  readonly backend: CniBackend;
  /** Null where our own address management serves. */
  readonly ipam: IpamPlugin | null;
  readonly cancelled: AbortSignal;
}

/** GC removes by this, see {@link AttachRequest.owner}. */
export function cniOwner(networkName: string): string {
  return `cni:${networkName}`;
}

/** `eth0 of container c1 on network fabric` */
export function describe({ network, containerId, ifname }: AttachmentKey): string {
  return `${ifname} of container ${containerId} on network ${network}`;
}

/** Throws CniError 11 once the caller is gone. */
export function stopIfCancelled({ cancelled, environment }: Call): void {
  if (!cancelled.aborted) return;
  throw new CniError(CNI_CODE.tryAgainLater, `the caller hung up during ${environment.verb}`);
}

/** Of these keys, those that the runtime's GC does not list. Throws CniError 7. */
export function staleKeys(call: Call, owned: readonly AttachmentKey[]): readonly AttachmentKey[] {
  const valid = new Set(readAttachments(call.config.fields).map(slot));
  return owned.filter((key) => !valid.has(slot(key)));
}

/** Does all, then rejects with CniError 113 if some failed. */
export async function collect(steps: readonly (() => Promise<void>)[]): Promise<void> {
  const errors = await failures(steps);
  if (errors.length === 0) return;
  throw new CniError(CNI_CODE.gcIncomplete, `GC left ${errors.length} undone`, errors.map(sentence).join('; '));
}

/** Throws CniError 50 or 51 when an ADD to that network could not work. */
export function requireReadiness(backend: CniBackend, network: string): void {
  const trouble = backend.readiness(network);
  if (trouble === null) return;
  const [code, what] = trouble.degraded
    ? [CNI_CODE.limited, 'fabric is degraded']
    : [CNI_CODE.notAvailable, 'fabric can not attach containers'];
  throw new CniError(code, what, trouble.reason);
}

function slot({ containerId, ifname }: { readonly containerId: string; readonly ifname: string }): string {
  // Neither may hold a slash.
  return `${containerId}/${ifname}`;
}
