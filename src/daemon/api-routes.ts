// The calls of the local API (docs/openapi.json): what the CLI asks for and the CNI plugin's door. Every body is checked here;
// before this host is a member of a cluster only status, token, connect, forget, stop and reset are there.

import { formatIp, parseIp } from '../base/address.ts';
import type { Clock, Log, Random, Store } from '../base/capabilities.ts';
import { type Endpoint, parseHostPort } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { type PeerId, parseMac } from '../base/ids.ts';
import type { AttachmentKey, NamespaceHandle } from '../cni-plugin/backend.ts';
import type { ReservationEntry } from './address-reservations.ts';
import { CniRoute, type CniRoutePorts, cniApiRoutes } from './cni-route.ts';
import { dnsRoutes } from './dns-routes.ts';
import { examineRoutes } from './examine-routes.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Member } from './member.ts';
import { networkNameOf, networkRoutes } from './network-routes.ts';
import { traceRoutes } from './open-tracer.ts';
import type { PendingDeletes } from './pending-deletes.ts';
import { GRACE_DEFAULT_MS } from './rotations.ts';
import type { Status } from './status-types.ts';

export interface ApiPorts {
  status(): Status;
  token(): string;
  connect(address: { readonly host: string; readonly port: number }): void;
  /** False when that host was not dialled anyway. */
  forget(address: { readonly host: string; readonly port: number }): boolean;
  /** Durable. */
  setExposed(exposed: boolean): void;
  /** Durable. Rejects when the plugin's socket can't be had. */
  setDocker(enabled: boolean): Promise<void>;
  /** `leave`: unused address blocks go to a peer first; rejects when none takes them. The end itself is not awaited. */
  stop(leave: boolean): Promise<void>;
  /** Resolves, before the end, with the directory whose state goes last: what stays there could not be removed. */
  reset(force: boolean): Promise<{ readonly stateDir: string }>;
  peerPid(socketFd: number): number;
  /** TCP and UDP port of mesh and tunnels. */
  meshPort(): number;
  /** Where the link to it leads; null: there is none. */
  linkedAt(peer: PeerId): Endpoint | null;
  cniServed: CniRoutePorts['served'];
  /** Calls that show what happens here. */
  readonly observed: ApiRoutes;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface MemberApi {
  readonly member: Member;
  readonly store: Store;
  readonly pendingDeletes: PendingDeletes;
}

/** Whom `fabric attach` attaches for; CNI networks have owners of their own. */
const CLI_OWNER = 'cli';
/** Of a nickname or a peer id. */
const NAME_MAX = 64;
/** As many as a host holds: the ports of a bridge and the reservations. */
const PRUNED_MAX = 8192;

export function apiRoutes(ports: ApiPorts, membership?: MemberApi): ApiRoutes {
  const always: ApiRoutes = {
    'GET /v1/status': () => ports.status(),
    ...ports.observed,
    'GET /v1/token': () => ({ token: ports.token() }),
    'POST /v1/connect': ({ body }) => ports.connect(hostOf(body)),
    'POST /v1/forget': ({ body }) => {
      const address = hostOf(body);
      if (ports.forget(address)) return;
      throw new FabricError('peer-unknown', {
        what: `${address.host} is not among the hosts to dial`,
        fix: forgettable(ports.status().targets),
      });
    },
    'POST /v1/docker': ({ body }) => {
      const { enabled } = objectOf(body);
      if (typeof enabled !== 'boolean') throw malformed('enabled must be true or false');
      return ports.setDocker(enabled);
    },
    'POST /v1/stop': ({ body }) => ports.stop(body !== undefined && objectOf(body).leave === true),
    'POST /v1/reset': ({ body }) => ports.reset(objectOf(body).force === true),
  };
  return membership === undefined ? always : { ...always, ...memberRoutes(ports, membership) };
}

function memberRoutes(ports: ApiPorts, { member, pendingDeletes }: MemberApi): ApiRoutes {
  const cni = new CniRoute({
    backend: member.attachments,
    random: ports.random,
    clock: ports.clock,
    log: ports.log,
    served: (call) => ports.cniServed(call),
    beforeAdd: (env) => pendingDeletes.beforeAdd(env),
  });
  return {
    ...cniApiRoutes(cni, ports.peerPid),
    'POST /v1/attach': async ({ body, closed, socketFd }) => {
      const { namespace, ifname, name, aliases, ips, network } = objectOf(body);
      const handle = namespaceOf(namespace, ports.peerPid(socketFd));
      const attachment = await member.attachments.attach(
        {
          ...attachmentKeyOf(handle, ifname, networkNameOf(network)),
          namespace: handle,
          owner: CLI_OWNER,
          addresses: { ips: listOf(ips), ranges: [] },
          foreignIpam: null,
          mac: null,
          name: typeof name === 'string' ? name.slice(0, 253) : '',
          ...aliasesOf(aliases),
          defaultRoute: true,
          routes: [],
        },
        closed,
      );
      return { addresses: attachment.addresses.map(({ address }) => address) };
    },
    'POST /v1/detach': async ({ body, socketFd }) => {
      const { namespace, ifname, network } = objectOf(body);
      const handle = namespaceOf(namespace, ports.peerPid(socketFd));
      const key = attachmentKeyOf(handle, ifname, networkNameOf(network));
      if (member.attachments.find(key) === null) throw unknownAttachment(member, key);
      await member.attachments.detach(key);
    },
    'POST /v1/prune': async ({ body, socketFd }) => {
      requireCaller(objectOf(body).pid, ports.peerPid(socketFd), 'what it saw of network namespaces');
      return { freed: await prune(member, body) };
    },
    ...dnsRoutes(member.names),
    ...traceRoutes({ member, clock: ports.clock }),
    ...examineRoutes({ member, port: () => ports.meshPort(), linkedAt: (peer) => ports.linkedAt(peer) }),
    ...networkRoutes(member),
    'POST /v1/rmpeer': ({ body }) => member.admission.removals.remove(peerNameOf(body)),
    'POST /v1/revoke': ({ body }) => member.admission.revoke(peerNameOf(body)),
    'POST /v1/token/rotate': ({ body }) => {
      const { graceMs = GRACE_DEFAULT_MS } = objectOf(body);
      if (typeof graceMs !== 'number') throw malformed('graceMs must be a number');
      return member.admission.rotations.rotate({ graceMs });
    },
    'POST /v1/unhold': ({ body }) => {
      const { what, network } = objectOf(body);
      const { id, routes } = member.networks.named(networkNameOf(network));
      return { cleared: routes.moves.clear(id, macOrAddress(what)) };
    },
    'POST /v1/expose': async () => {
      ports.setExposed(true);
      return { addresses: await member.place.expose() };
    },
    'POST /v1/hide': async () => {
      ports.setExposed(false);
      await member.place.hide();
    },
  };
}

/** Frees what still belongs to the namespace that the caller judged: an attach meanwhile has made it another. */
async function prune(member: Member, body: unknown): Promise<readonly AttachmentKey[]> {
  const { attachments } = objectOf(body);
  if (!Array.isArray(attachments) || attachments.length > PRUNED_MAX) throw malformed('the attachments are malformed');
  const freed: AttachmentKey[] = [];
  for (const item of attachments.map(objectOf)) {
    const judged = (entry: Pick<ReservationEntry, 'key' | 'namespaceDev' | 'namespaceIno'>): boolean =>
      entry.key.network === item.network &&
      entry.key.containerId === item.containerId &&
      entry.key.ifname === item.ifname &&
      `${entry.namespaceDev}:${entry.namespaceIno}` === item.namespaceId;
    const attached = member.attachmentEntries.all().find(judged);
    const reserved = member.reservations.all().find(judged);
    if (attached !== undefined) await member.attachments.detach(attached.key);
    if (reserved !== undefined) await member.reservations.release(reserved.key);
    const key = attached?.key ?? reserved?.key;
    if (key !== undefined) freed.push(key);
  }
  return freed;
}

function peerNameOf(body: unknown): string {
  const { peer } = objectOf(body);
  if (typeof peer === 'string' && peer.length > 0 && peer.length <= NAME_MAX) return peer;
  throw malformed('the host is malformed');
}

function hostOf(body: unknown): { host: string; port: number } {
  const { host } = objectOf(body);
  const address = typeof host === 'string' ? parseHostPort(host) : null;
  if (address === null) throw malformed(`${String(host)} is no host`);
  return address;
}

/** Canonical text. */
function macOrAddress(value: unknown): string {
  const text = typeof value === 'string' ? value : '';
  const ip = parseIp(text);
  const what = parseMac(text.toLowerCase()) ?? (ip === null ? null : formatIp(ip));
  if (what === null) throw malformed(`${text} is neither a MAC nor an address`, 'fabric status names what is held');
  return what;
}

/** `fabric attach` knows no container id: the namespace's inode stands for it. */
function attachmentKeyOf(namespace: NamespaceHandle, ifname: unknown, network: string): AttachmentKey {
  if (typeof ifname !== 'string' || !/^[^\s/:]{1,15}$/.test(ifname) || ifname === '.' || ifname === '..') {
    throw malformed(`${String(ifname)} is no interface name`, 'Use 1 to 15 characters, no space, slash or colon');
  }
  return { network, containerId: `netns-${namespace.ino}`, ifname };
}

/** The pid must be the caller's own, by the kernel's word: nobody names another process's descriptors. */
function namespaceOf(value: unknown, callerPid: number): NamespaceHandle {
  const { pid, fd, dev, ino, path } = objectOf(value);
  const isId = (id: unknown): id is string => typeof id === 'string' && /^\d{1,20}$/.test(id);
  if (
    typeof fd !== 'number' ||
    !Number.isInteger(fd) ||
    fd < 0 ||
    !isId(dev) ||
    !isId(ino) ||
    typeof path !== 'string'
  ) {
    throw malformed('the namespace is malformed');
  }
  requireCaller(pid, callerPid, 'the namespace');
  return { pid: callerPid, fd, dev: BigInt(dev), ino: BigInt(ino), path };
}

/** A caller in another PID namespace than ours has another number there, and sees other processes. */
function requireCaller(said: unknown, callerPid: number, what: string): void {
  if (said === callerPid) return;
  throw new FabricError('namespace-invalid', {
    what: `${what} is refused`,
    why: `the caller is process ${callerPid}, the request says ${String(said)}`,
    fix: 'Run the command in the PID namespace of the fabric daemon',
  });
}

/** Attaches without any when none is given. */
function aliasesOf(value: unknown): { readonly aliases?: readonly string[] } {
  const aliases = listOf(value, 'aliases');
  if (aliases.some((alias) => alias.length > 253)) throw malformed('the aliases are malformed');
  return aliases.length === 0 ? {} : { aliases };
}

function listOf(value: unknown, what = 'addresses'): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > 16 || !value.every((item) => typeof item === 'string')) {
    throw malformed(`the ${what} are malformed`);
  }
  return value;
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('the request is no object');
  return value as Record<string, unknown>;
}

function forgettable(targets: Status['targets']): string {
  return targets.length === 0
    ? 'This host was told to dial nobody'
    : `This host was told to dial: ${targets.map(({ host }) => host).join(', ')}`;
}

function malformed(what: string, fix?: string): FabricError {
  return new FabricError('usage', fix === undefined ? { what } : { what, fix });
}

function unknownAttachment(
  { attachmentEntries }: Member,
  { network, containerId, ifname }: AttachmentKey,
): FabricError {
  const others = attachmentEntries.all().filter(({ key }) => key.containerId === containerId);
  return new FabricError('attachment-unknown', {
    what: `that namespace has no ${ifname} that fabric attach made in the network ${network}`,
    ...(others.length === 0
      ? {}
      : { why: `it has ${others.map(({ key }) => `${key.ifname} in ${key.network}`).join(', ')}` }),
    fix: 'See fabric ps; --ifname and --network say which one is meant',
  });
}
