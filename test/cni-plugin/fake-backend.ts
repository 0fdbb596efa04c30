// A CniBackend in memory that keeps what it was asked, and calls of the plugin against it. Addresses count up from
// 10.32.0.2 and fd00::2; failures are set by the test.

import { FabricError } from '../../src/base/errors.ts';
import { type Mac, type PeerId, parseMac } from '../../src/base/ids.ts';
import type {
  AddressService,
  AttachedAddress,
  Attachment,
  AttachmentFinding,
  AttachmentKey,
  AttachRequest,
  CniBackend,
  ForeignIpam,
  NameService,
  NamespaceHandle,
  ReserveRequest,
} from '../../src/cni-plugin/backend.ts';
import type { CniRequest } from '../../src/cni-plugin/call.ts';
import type { CniOutcome, PluginExec } from '../../src/cni-plugin/ipam-plugin.ts';
import { handleCni } from '../../src/cni-plugin/operations.ts';

export const CONTAINER_MAC = parseMac('02:00:00:00:00:02') as Mac;
const BRIDGE_MAC = parseMac('02:00:00:00:00:01') as Mac;
const HOST_MAC = parseMac('02:00:00:00:00:03') as Mac;

export class FakeBackend implements CniBackend {
  readonly self = '00'.repeat(16) as PeerId;
  readonly attached = new Map<string, Attachment & { readonly owner: string }>();
  readonly requests: AttachRequest[] = [];
  readonly detached: AttachmentKey[] = [];
  /** What foreign IPAM plugins gave. */
  readonly given: Awaited<ReturnType<ForeignIpam['obtain']>>[] = [];
  readonly addresses = new FakeAddressService();
  findings: readonly AttachmentFinding[] = [];
  /** What containers are told of names. */
  names: NameService | null = null;
  notReady: { readonly reason: string; readonly degraded: boolean } | null = null;
  /** Awaited by attach after it has taken effect: a test stops an ADD there. */
  attachGate: Promise<void> = Promise.resolve();
  failAttach: Error | null = null;
  /** As {@link failAttach}, once a foreign IPAM plugin has given addresses. */
  failAddressed: Error | null = null;
  /** Detaching these container ids fails. */
  readonly stuck = new Set<string>();
  #next = 2;

  nameService(): NameService | null {
    return this.names;
  }

  async attach(request: AttachRequest): Promise<Attachment> {
    this.requests.push(request);
    if (this.failAttach !== null) throw this.failAttach;
    if (this.find(request) !== null) throw new FabricError('attachment-exists', { what: 'attached already' });
    const number = this.#next++;
    const foreign = await request.foreignIpam?.obtain();
    if (foreign !== undefined) this.given.push(foreign);
    if (this.failAddressed !== null) throw this.failAddressed;
    const { ips } = request.addresses;
    const addresses =
      foreign !== undefined
        ? foreign.addresses.map(({ address, gateway }) => ({ address, gateway: gateway ?? '10.47.255.254' }))
        : ips.length > 0
          ? ips.map((ip) => ({ address: ip.includes('/') ? ip : `${ip}/12`, gateway: '10.47.255.254' }))
          : [
              { address: `10.32.0.${number}/12`, gateway: '10.47.255.254' },
              { address: `fd00::${number}/48`, gateway: 'fd00::1' },
            ];
    const attachment = {
      network: request.network,
      containerId: request.containerId,
      ifname: request.ifname,
      mac: request.mac ?? CONTAINER_MAC,
      addresses,
      routes: [
        { dst: '0.0.0.0/0', gw: '10.47.255.254' },
        { dst: '::/0', gw: 'fd00::1' },
        ...request.routes.map((route) => ({ ...route, gw: route.gw ?? '10.47.255.254' })),
      ],
      name: request.name,
      mtu: 1418,
      bridge: { name: 'fabric0', mac: BRIDGE_MAC },
      host: { name: 'fab0123456789a', mac: HOST_MAC },
      namespacePath: request.namespace!.path,
      owner: request.owner,
    };
    this.attached.set(keyText(request), attachment);
    await this.attachGate;
    return attachment;
  }

  async detach(key: AttachmentKey): Promise<void> {
    this.detached.push(key);
    if (this.stuck.has(key.containerId)) throw new FabricError('netlink', { what: `${key.containerId} is stuck` });
    this.attached.delete(keyText(key));
  }

  async check(): Promise<readonly AttachmentFinding[]> {
    return this.findings;
  }

  find(key: AttachmentKey): Attachment | null {
    return this.attached.get(keyText(key)) ?? null;
  }

  listOwned(owner: string): readonly AttachmentKey[] {
    return [...this.attached.values()].filter((attachment) => attachment.owner === owner);
  }

  readiness(): { readonly reason: string; readonly degraded: boolean } | null {
    return this.notReady;
  }
}

/** Addresses count up from 10.32.1.2. */
export class FakeAddressService implements AddressService {
  readonly requests: ReserveRequest[] = [];
  readonly reserved = new Map<string, AttachmentKey & { owner: string; addresses: readonly AttachedAddress[] }>();
  readonly stuck = new Set<string>();
  /** Awaited after a reservation has taken effect. */
  gate: Promise<void> = Promise.resolve();

  async reserve(request: ReserveRequest): Promise<readonly AttachedAddress[]> {
    this.requests.push(request);
    if (this.find(request) !== null) throw new FabricError('attachment-exists', { what: 'reserved already' });
    const { network, containerId, ifname, owner } = request;
    const number = this.requests.length + 1;
    const addresses = [
      { address: `10.32.1.${number}/12`, gateway: '10.47.255.254' },
      { address: `fd00:1::${number}/48`, gateway: 'fd00::1' },
    ];
    this.reserved.set(keyText(request), { network, containerId, ifname, owner, addresses });
    await this.gate;
    return addresses;
  }

  async release(key: AttachmentKey): Promise<void> {
    if (this.stuck.has(key.containerId)) throw new FabricError('internal', { what: `${key.containerId} is stuck` });
    this.reserved.delete(keyText(key));
  }

  find(key: AttachmentKey): readonly AttachedAddress[] | null {
    return this.reserved.get(keyText(key))?.addresses ?? null;
  }

  listOwned(owner: string): readonly AttachmentKey[] {
    return [...this.reserved.values()].filter((entry) => entry.owner === owner);
  }
}

export function keyText({ network, containerId, ifname }: AttachmentKey): string {
  return `${network}/${containerId}/${ifname}`;
}

export const NAMESPACE: NamespaceHandle = { pid: 77, fd: 3, dev: 4n, ino: 4026532000n, path: '/run/netns/c1' };

/** The smallest complete configuration. */
export const CONFIG = { cniVersion: '1.0.0', name: 'fabric', type: 'fabric' };

export function addEnv(changes: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/run/netns/c1',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    ...changes,
  };
}

export interface PluginRun {
  readonly outcome: CniOutcome;
  /** Stdout decoded; an empty object when it is empty. */
  readonly json: CniJson;
}

export interface CniJson {
  readonly code?: number;
  readonly msg?: string;
  readonly details?: string;
  readonly [member: string]: unknown;
}

/** Runs the plugin. `config` is sent as JSON unless it is text or bytes already. */
export async function run(
  backend: CniBackend,
  env: Readonly<Record<string, string>>,
  config: unknown = CONFIG,
  options: Partial<CniRequest> & { readonly signal?: AbortSignal; readonly exec?: PluginExec } = {},
): Promise<PluginRun> {
  const { signal = new AbortController().signal, exec = null, ...changes } = options;
  const stdin =
    config instanceof Uint8Array
      ? config
      : new TextEncoder().encode(typeof config === 'string' ? config : JSON.stringify(config));
  const request = { env, stdin, namespace: NAMESPACE, namespaceFault: '', callerNamespace: null, ...changes };
  const outcome = await handleCni(request, backend, signal, exec);
  return { outcome, json: outcome.stdout === '' ? {} : (JSON.parse(outcome.stdout) as CniJson) };
}
