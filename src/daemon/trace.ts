// `fabric trace`: the way that a frame takes from a container of this host to any place on the overlay, hop by hop, with the entry
// that decides each, and a live probe through the tunnel. It ends at the first hop that would not pass the frame on, and says why.
//
//   container ─ port ─ bridge ─┬─ port ─ container                                          on this host
//                              └─ table ─ datapath ─ tunnel ─ underlay ═ probe ═ remote port  on another one

import { formatIp, parseIp } from '../base/address.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { formatEndpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { type Mac, type PeerId, parseMac } from '../base/ids.ts';
import { throughNat } from '../base/nat-place.ts';
import type { FramePath, FramePathQuestion } from '../host/linux/frame-path.ts';
import type { Route } from '../router/routes.ts';
import type { TunnelStatus } from '../router/tunnel-options.ts';
import type { PortFacts } from './examination-message.ts';

export type HopKind =
  | 'container'
  | 'port'
  | 'bridge'
  | 'table'
  | 'datapath'
  | 'tunnel'
  | 'relay'
  | 'underlay'
  | 'probe'
  | 'remote-port';

export interface Hop {
  readonly kind: HopKind;
  /** What it is. */
  readonly what: string;
  /** The entry or fact that makes the frame go on from there. */
  readonly because: string;
  /** Round trip, where something was timed. */
  readonly ms: number | null;
  /** Why the frame goes no further; null: it does. */
  readonly fault: string | null;
}

export interface TracePlace {
  /** As people call it. */
  readonly name: string;
  readonly mac: Mac;
  readonly ips: readonly string[];
  readonly peer: PeerId;
  /** Its host's nickname. */
  readonly host: string;
  readonly local: boolean;
}

export interface Trace {
  readonly from: TracePlace;
  readonly to: TracePlace;
  readonly hops: readonly Hop[];
  readonly reached: boolean;
}

/** A container of this host, or the host itself. */
export interface LocalPort {
  readonly mac: Mac;
  readonly name: string;
  readonly containerId: string;
  readonly ifname: string;
  /** Its end in the bridge. */
  readonly portName: string;
  readonly owner: string;
  readonly attached: boolean;
}

export interface TracePorts {
  readonly bridge: string;
  localPorts(): readonly LocalPort[];
  routes(): readonly Route[];
  /** Clock.monotonicMs since which the datapath's tables have it; null: they have it not. */
  installedSinceMs(route: Route): number | null;
  nowMs(): number;
  /** Addresses of a name; empty: nobody has it. */
  addressesOf(name: string): readonly string[];
  nicknameOf(peer: PeerId): string;
  kernel(question: FramePathQuestion): Promise<FramePath>;
  /** Name of the datapath, or why none works. */
  datapath(): { readonly name: string; readonly fault: string | null };
  /** Unicast to it leaves by plain VXLAN. */
  isPlain(peer: PeerId): boolean;
  tunnel(peer: PeerId): TunnelStatus | null;
  /** Brings the tunnel up where it is not; null: no answer. */
  probe(peer: PeerId): Promise<number | null>;
  askPort(peer: PeerId, mac: Mac): Promise<PortFacts | null | 'unknown'>;
}

/** What was looked up before the hops are told, so that all of them speak of one path. */
interface FoundPath {
  readonly kernel: FramePath;
  readonly relay: PeerId | null;
  /** Of the relay, if there is one. */
  readonly endpoint: Endpoint | null;
  readonly probeMs: number | null;
}

const ID_PREFIX_MIN = 6;
/** Our name for the host itself. */
const THIS_HOST = 'host';

export class Tracer {
  readonly #ports: TracePorts;

  constructor(ports: TracePorts) {
    this.#ports = ports;
  }

  /** Throws `name-unknown`, or `usage` when `from` is on another host. */
  async trace(fromText: string, toText: string): Promise<Trace> {
    const from = this.#place(fromText);
    const to = this.#place(toText);
    const sender = this.#ports.localPorts().find(({ mac }) => mac === from.mac);
    if (!from.local || sender === undefined) {
      throw new FabricError('usage', {
        what: `${from.name} is not on this host`,
        why: `a trace begins where the frame does: on ${from.host}`,
        fix: `Run it there: fabric trace ${fromText} ${toText}`,
      });
    }
    // The probe comes first: it brings up a tunnel that is idle, as the frame itself would.
    const probeMs = to.local ? null : await this.#ports.probe(to.peer);
    const relay = to.local ? null : (this.#ports.tunnel(to.peer)?.relay ?? null);
    const endpoint = to.local ? null : (this.#ports.tunnel(relay ?? to.peer)?.endpoint ?? null);
    const kernel = await this.#ports.kernel({
      bridge: this.#ports.bridge,
      portName: sender.portName,
      destination: to.mac,
      endpointIp: endpoint?.ip ?? null,
    });
    const hops: Hop[] = [];
    for await (const hop of this.#hops(sender, to, { kernel, relay, endpoint, probeMs })) {
      hops.push(hop);
      if (hop.fault !== null) break;
    }
    return { from, to, hops, reached: hops.every(({ fault }) => fault === null) };
  }

  async *#hops(
    sender: LocalPort,
    to: TracePlace,
    { kernel, relay, endpoint, probeMs }: FoundPath,
  ): AsyncGenerator<Hop> {
    yield hop('container', describe(sender), `attached by ${sender.owner}`, {
      fault: sender.attached ? null : 'its attachment is not complete (fabric ps)',
    });
    yield hop('port', sender.portName, 'its end in the bridge, and what it may send', { fault: kernel.port.fault });
    yield this.#bridge(to, kernel);
    yield this.#table(to);
    if (to.local) {
      const port = this.#ports.localPorts().find(({ mac }) => mac === to.mac);
      if (port !== undefined) yield hop('container', describe(port), `attached by ${port.owner}`);
      return;
    }
    if (this.#ports.isPlain(to.peer)) {
      yield hop('tunnel', `plain VXLAN to ${to.host}`, 'both hosts trust the other one’s subnet');
    } else {
      const { name, fault } = this.#ports.datapath();
      yield hop('datapath', `${name} on ${kernel.overlayPort.name}`, 'it reads what the bridge floods', {
        fault: fault ?? kernel.overlayPort.fault,
      });
      yield this.#tunnel(to);
      if (relay !== null) yield this.#relay(relay);
    }
    yield underlay(endpoint, kernel);
    yield hop('probe', `${to.host} answers`, 'a small datagram through the tunnel, there and back', {
      ms: probeMs,
      fault: probeMs === null ? 'no answer: see fabric doctor' : null,
    });
    yield await this.#remotePort(to);
  }

  #bridge(to: TracePlace, { entry, overlayPort }: FramePath): Hop {
    const { bridge } = this.#ports;
    if (entry === null) {
      const fault = to.local ? 'a local MAC has no entry: the port gets no unicast' : null;
      return hop('bridge', bridge, `no entry for ${to.mac}: floods to ${overlayPort.name}`, { fault });
    }
    const because = `${entry.state} entry: ${to.mac} is behind ${entry.portName}`;
    const plain = !to.local && this.#ports.isPlain(to.peer);
    const port = this.#ports.localPorts().find(({ mac }) => mac === to.mac);
    const expected = to.local ? entry.portName === port?.portName || port === undefined : plain;
    const fault = expected ? null : 'another port than that of its container or of the datapath has it';
    return hop('bridge', bridge, because, { fault });
  }

  #table(to: TracePlace): Hop {
    const route = this.#ports.routes().find(({ mac, peer }) => mac === to.mac && peer === to.peer);
    if (route === undefined) return hop('table', to.mac, 'nobody claims it', { fault: 'it is in no table' });
    const sinceMs = this.#ports.installedSinceMs(route);
    const age = sinceMs === null ? '' : `, in the table for ${seconds(this.#ports.nowMs() - sinceMs)}`;
    const because = `claimed by ${to.local ? 'this host' : to.host}, sequence ${route.sequence}${age}`;
    const fault = route.state === 'active' ? null : `${route.state}: ${route.reason}`;
    return hop('table', `${to.mac} is on ${to.local ? 'this host' : to.host}`, because, { fault });
  }

  #tunnel(to: TracePlace): Hop {
    const tunnel = this.#ports.tunnel(to.peer);
    const what = `tunnel to ${to.host}`;
    if (tunnel === null) return hop('tunnel', what, 'nothing is known of it', { fault: 'its record has not come' });
    if (tunnel.state !== 'established') {
      return hop('tunnel', what, tunnel.state, { fault: tunnel.reason ?? 'no session: its handshake is not answered' });
    }
    const age = tunnel.sessionAgeMs === null ? '' : ` for ${seconds(tunnel.sessionAgeMs)}`;
    const way = throughNat(tunnel.nat);
    const through = way === null ? '' : `, ${way}`;
    return hop('tunnel', what, `${tunnel.cipher}, established${age}, path MTU ${tunnel.pathMtu} bytes${through}`);
  }

  /** What it passes on it cannot read. */
  #relay(relay: PeerId): Hop {
    const name = this.#ports.nicknameOf(relay);
    const own = this.#ports.tunnel(relay);
    const isUp = own?.state === 'established' && own.relay === null;
    return hop('relay', `${name} passes it on`, 'the other host does not answer directly', {
      fault: isUp ? null : `no direct tunnel to ${name}`,
    });
  }

  async #remotePort(to: TracePlace): Promise<Hop> {
    const port = await this.#ports.askPort(to.peer, to.mac);
    if (port === 'unknown') return hop('remote-port', `a port of ${to.host}`, `${to.host} did not say which`);
    if (port === null) {
      return hop('remote-port', `a port of ${to.host}`, `${to.host} was asked`, {
        fault: 'it has no port with this MAC',
      });
    }
    const behind =
      port.ifname === '' ? 'the host itself' : `${port.ifname} of ${port.name === '' ? 'its container' : port.name}`;
    return hop('remote-port', `${port.hostIfname} on ${to.host}: ${behind}`, `${to.host} says so`, {
      fault: port.up ? null : 'it is down, or its container is gone',
    });
  }

  /** By container name or id, MAC, address, name of the name server, or `host`. */
  #place(text: string): TracePlace {
    const ports = this.#ports.localPorts();
    const byName = ports.filter(
      ({ name, containerId, ifname }) =>
        name === text ||
        containerId === text ||
        (text.length >= ID_PREFIX_MIN && containerId.startsWith(text)) ||
        (text === THIS_HOST && ifname === ''),
    );
    if (byName.length > 1)
      throw new FabricError('usage', { what: `${text} is more than one container`, fix: 'Give a MAC' });
    const mac = byName[0]?.mac ?? parseMac(text.toLowerCase());
    const claims = this.#ports.routes();
    const ip = parseIp(text);
    const ips = mac !== null ? [] : ip === null ? this.#ports.addressesOf(text) : [formatIp(ip)];
    const isIt = (route: Route): boolean =>
      mac === null ? ips.some((ip) => route.ips.includes(ip)) : route.mac === mac;
    const found = claims.find((route) => isIt(route) && route.state === 'active') ?? claims.find(isIt);
    if (found === undefined) {
      throw new FabricError('name-unknown', {
        what: `nobody on the overlay is called ${text}`,
        why: 'it is no container of this host, and no MAC, address or name that a host claims in this network',
        fix: 'See fabric status routes and fabric dns ls; --network says which network is meant',
      });
    }
    const { peer, local } = found;
    const name = ports.find((port) => port.mac === found.mac)?.name;
    return {
      name: name === undefined || name === '' ? text : name,
      mac: found.mac,
      ips: found.ips.filter((ip) => !ip.startsWith('fe80:')),
      peer,
      host: this.#ports.nicknameOf(peer),
      local,
    };
  }
}

function hop(
  kind: HopKind,
  what: string,
  because: string,
  { ms = null, fault = null }: { readonly ms?: number | null; readonly fault?: string | null } = {},
): Hop {
  return { kind, what, because, ms, fault };
}

function underlay(endpoint: Endpoint | null, { route }: FramePath): Hop {
  if (endpoint === null)
    return hop('underlay', 'no address', 'none has proved to be the peer', { fault: 'nowhere to send to' });
  const what = `UDP to ${formatEndpoint(endpoint)}`;
  if (route === null) return hop('underlay', what, 'no route', { fault: `this host has no route to ${endpoint.ip}` });
  const via = route.gateway === null ? '' : ` via ${route.gateway}`;
  return hop('underlay', what, `route ${route.dst}${via} dev ${route.ifname}, MTU ${route.mtu}`);
}

function describe({ name, containerId, ifname }: LocalPort): string {
  return ifname === '' ? 'this host itself' : `${ifname} of ${name === '' ? containerId : name}`;
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1000))} s`;
}
