// MeshTransport over the simulated underlay: what TCP and TLS do for Mesh in production, including the gate for strangers and
// the refusal of other clusters' members. Who calls is proved by construction: the caller's own transport says it.

import { type Endpoint, formatEndpoint } from '../../src/base/endpoint.ts';
import { CALLER_LIMITS, CallerGate } from '../../src/host/mesh/caller-limits.ts';
import type { CertificateFault, CertifiedPeer } from '../../src/host/mesh/certificate.ts';
import type { Address } from '../../src/host/mesh/dialler.ts';
import { certificateRefusal, type Refusal, unreachable } from '../../src/host/mesh/refusal.ts';
import type { CallEvents, DialResult, MeshTransport } from '../../src/host/mesh/transport.ts';
import type { SimProcess } from './process.ts';
import type { Nic, SimNetwork, StreamIdentity, StreamListener } from './sim-network.ts';
import { StreamEnd } from './sim-stream.ts';

export const MESH_PORT = 6783;
/** As in src/host/mesh/dial.ts. */
const DIAL_MS = 5_000;
/** TCP and TLS 1.3: the caller has the call after two round trips, the callee half a round trip earlier. */
const HANDSHAKE_WAYS = 4;

export class SimTransport implements MeshTransport {
  readonly #network: SimNetwork;
  readonly #nic: Nic;
  readonly #process: SimProcess;
  readonly #identity: StreamIdentity;

  constructor(network: SimNetwork, nic: Nic, process: SimProcess, identity: StreamIdentity) {
    this.#network = network;
    this.#nic = nic;
    this.#process = process;
    this.#identity = identity;
  }

  async listen(events: CallEvents): Promise<number> {
    const gate = new CallerGate(this.#process, CALLER_LIMITS);
    this.#nic.listener = {
      process: this.#process,
      identity: this.#identity,
      accept: (end, from, caller) => this.#process.run(() => this.#accept({ end, from, caller, gate, events })),
    };
    return MESH_PORT;
  }

  dial({ host, port }: Address, cancelled: AbortSignal): Promise<DialResult> {
    const name = formatEndpoint({ ip: host, port });
    const { world } = this.#network;
    return new Promise((resolve) => {
      const settle = (result: DialResult): void => {
        timeout.run = null;
        this.#process.run(() => resolve(result));
      };
      const fail = (cause: string): void => settle({ refusal: unreachable({ name, dialled: true }, cause) });
      const timeout = world.after(DIAL_MS, () => fail('timeout'));
      if (cancelled.aborted) fail('cancelled');
      const target = this.#network.nicAt(host);
      if (target === null) return;
      const wayMs = this.#network.latencyMs(this.#nic, target);
      world.after(wayMs * HANDSHAKE_WAYS + this.#network.retransmissionMs(0), () => {
        if (timeout.run === null || !this.#process.alive || this.#network.nicAt(host) !== target) return;
        if (!this.#network.passes(this.#nic, target) || !this.#network.passes(target, this.#nic)) return;
        if (target.listener === null) fail('ECONNREFUSED');
        else settle(this.#connect(target, target.listener, name));
      });
    });
  }

  close(): void {
    this.#nic.listener = null;
  }

  async stop(): Promise<void> {
    this.#nic.listener = null;
    for (const stream of [...this.#nic.streams]) stream.destroy();
  }

  #connect(target: Nic, listener: StreamListener, name: string): DialResult {
    const common = commonToken(this.#identity, listener.identity);
    const near = new StreamEnd(this.#network, this.#nic, this.#process);
    const far = new StreamEnd(this.#network, target, listener.process);
    StreamEnd.pair(this.#network, near, far);
    listener.accept(far, { ip: this.#nic.ip, port: MESH_PORT }, this.#identity);
    if (common !== null) {
      const { peer, identityKey } = listener.identity;
      const certified = { peer, identityKey, ...common };
      return { wire: near, certified, at: { ip: target.ip, port: MESH_PORT } };
    }
    near.destroy();
    return { refusal: refusalOf(this.#identity, listener.identity, { name, dialled: true }) };
  }

  #accept(call: {
    readonly end: StreamEnd;
    readonly from: Endpoint;
    readonly caller: StreamIdentity;
    readonly gate: CallerGate;
    readonly events: CallEvents;
  }): void {
    const { end, from, caller, gate, events } = call;
    const barred = gate.enter(from.ip);
    if (barred !== null) {
      events.drop(barred);
      end.destroy();
      return;
    }
    let isPending = true;
    const settled = (): void => {
      if (isPending) gate.leave(from.ip);
      isPending = false;
    };
    const common = commonToken(caller, this.#identity);
    if (common === null) {
      settled();
      events.refused(from.ip, refusalOf(this.#identity, caller, { name: from.ip, dialled: false }));
      end.destroy();
      return;
    }
    const { peer, identityKey } = caller;
    events.accepted({ wire: end, certified: { peer, identityKey, ...common }, from, settled });
  }
}

/** The latest token of the caller that the called host holds, too: src/host/mesh/dial.ts tries them in this order. */
function commonToken(caller: StreamIdentity, called: StreamIdentity): Pick<CertifiedPeer, 'id' | 'generation'> | null {
  if (caller.clusterId !== called.clusterId) return null;
  const held = called.tokens();
  const common = caller.tokens().find(({ id }) => held.some((one) => one.id === id));
  return common === undefined ? null : { id: common.id, generation: common.generation };
}

function refusalOf(own: StreamIdentity, theirs: StreamIdentity, party: { name: string; dialled: boolean }): Refusal {
  const { clusterId } = theirs;
  const { generation } = theirs.tokens()[0]!;
  const newest = own.tokens()[0]!.generation;
  const fault: CertificateFault =
    clusterId !== own.clusterId
      ? { fault: 'other-cluster', clusterId }
      : generation === newest
        ? { fault: 'other-secret' }
        : { fault: 'other-generation', generation, newest };
  return certificateRefusal(party, fault, own.clusterId);
}
