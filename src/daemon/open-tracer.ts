// Makes the tracer of one network of a member, and the call of the local API that leads to it.

import type { Clock } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME, DEFAULT_VNI, type Mac } from '../base/ids.ts';
import { readFramePath } from '../host/linux/frame-path.ts';
import { networkInterfaces } from '../host/linux/names.ts';
import { networkOfEntry } from './attachment-store.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Member } from './member.ts';
import type { Network } from './network.ts';
import { type LocalPort, Tracer } from './trace.ts';

const PLACE_LENGTH_MAX = 253;

export interface TraceFacts {
  readonly member: Member;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

export function traceRoutes(facts: TraceFacts): ApiRoutes {
  return {
    'POST /v1/trace': ({ body }) => {
      const { from, to, network = DEFAULT_NETWORK_NAME } = (body ?? {}) as Readonly<Record<string, unknown>>;
      if (typeof network !== 'string') throw new FabricError('usage', { what: 'the network is malformed' });
      return openTracer(facts, facts.member.networks.named(network)).trace(placeOf(from), placeOf(to));
    },
  };
}

function openTracer({ member, clock }: TraceFacts, { id, bridge, routes }: Network): Tracer {
  const { tunnels, slot, names, directory, examiner, vxlan } = member;
  return new Tracer({
    bridge,
    localPorts: () => localPorts(member, { id, bridge, routes }),
    routes: () => routes.list(),
    installedSinceMs: ({ network, mac }) => routes.installedSinceMs(network, mac),
    nowMs: () => clock.monotonicMs(),
    addressesOf: (name) => names.addressesOf(id, name),
    nicknameOf: (peer) => directory.nameOf(peer),
    kernel: readFramePath,
    datapath: () => ({ name: slot.name ?? 'no datapath', fault: slot.failure }),
    isPlain: (peer) => id === DEFAULT_VNI && vxlan?.view(peer)?.state === 'up',
    tunnel: (peer) => tunnels.status(peer),
    probe: (peer) => examiner.time(peer),
    askPort: (peer, mac: Mac) => examiner.askPort(peer, mac),
  });
}

function localPorts(
  { attachmentEntries, place }: Member,
  { id, bridge, routes }: Pick<Network, 'id' | 'bridge' | 'routes'>,
): readonly LocalPort[] {
  const ofThis = attachmentEntries.all().filter((entry) => networkOfEntry(entry) === id);
  const containers = ofThis.map(({ mac, name, key, hostIfname, owner, state }) => ({
    mac,
    name,
    containerId: key.containerId,
    ifname: key.ifname,
    portName: hostIfname,
    owner,
    attached: state === 'attached',
  }));
  if (id !== DEFAULT_VNI) return containers;
  const { mac } = place;
  const { hostPort } = networkInterfaces(bridge);
  const self = { mac, name: 'host', containerId: '', ifname: '', portName: hostPort, owner: 'fabric', attached: true };
  return routes.ownerOfMac(DEFAULT_VNI, mac) !== null ? [...containers, self] : containers;
}

function placeOf(value: unknown): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= PLACE_LENGTH_MAX) return value;
  throw new FabricError('usage', { what: 'the place is malformed' });
}
