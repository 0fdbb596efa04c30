// The networks of the pcap datapath: of each its table, its port to a bridge and the inner header of its frames. Invariant: the
// main network, that of the datapath's options, is always there; frames of a network that is not here cross nowhere.

import { assert } from '../../base/errors.ts';
import type { PeerId, Vni } from '../../base/ids.ts';
import type { TableChange } from '../datapath.ts';
import { type Applied, ForwardingTable, type ForwardingTableOptions } from '../forwarding-table.ts';
import { INNER_BYTES, InnerKind, innerHeader, writeInnerHeader } from '../wire-format.ts';
import type { FramePort } from './frame-port.ts';

export class PcapNetwork {
  readonly id: Vni;
  readonly table: ForwardingTable;
  readonly port: FramePort;
  /** Of a whole frame, as it goes in front of it. */
  readonly frameHeader = new Uint8Array(INNER_BYTES);

  constructor(options: ForwardingTableOptions, port: FramePort) {
    this.id = options.network;
    this.table = new ForwardingTable(options);
    this.port = port;
    writeInnerHeader(this.frameHeader, 0, innerHeader(InnerKind.frame, this.id));
  }
}

export interface PcapNetworksPorts {
  /** Not opened yet. */
  makePort(portName: string): FramePort;
  /** A network came: its port is to be opened. */
  came(network: PcapNetwork): void;
}

export class PcapNetworks {
  readonly main: PcapNetwork;
  readonly #ports: PcapNetworksPorts;
  readonly #byId = new Map<number, PcapNetwork>();
  readonly #portNames = new Map<number, string>();
  /** Of ports that are closed. */
  #lost: Losses = { overload: 0, captureOverrun: 0 };

  constructor(main: PcapNetwork, ports: PcapNetworksPorts) {
    this.main = main;
    this.#ports = ports;
    this.#byId.set(main.id, main);
  }

  get(id: number): PcapNetwork | undefined {
    return id === this.main.id ? this.main : this.#byId.get(id);
  }

  all(): Iterable<PcapNetwork> {
    return this.#byId.values();
  }

  /** Changes of networks that are not here are none of ours. */
  apply(change: TableChange): Applied {
    switch (change.kind) {
      case 'network':
        this.#put(change);
        return 'done';
      case 'network-gone':
        this.#remove(change.network);
        return 'done';
      default:
        return this.#byId.get(change.network)?.table.apply(change) ?? 'done';
    }
  }

  removePeer(peer: PeerId): void {
    for (const { table } of this.#byId.values()) table.removePeer(peer);
  }

  /** Of all ports that there ever were. */
  losses(): Losses {
    return [...this.#byId.values()].reduce((sum, { port }) => plus(sum, port.losses()), this.#lost);
  }

  closePorts(): void {
    for (const { port } of this.#byId.values()) port.close();
  }

  /** A repeat changes nothing. */
  #put({ network, portName, gatewayMac, gatewayIps }: TableChange & { readonly kind: 'network' }): void {
    assert(network !== this.main.id, 'the main network comes with the options');
    if (this.#portNames.get(network) === portName) return;
    this.#remove(network);
    const fresh = new PcapNetwork({ network, gatewayMac, gatewayIps }, this.#ports.makePort(portName));
    this.#byId.set(network, fresh);
    this.#portNames.set(network, portName);
    this.#ports.came(fresh);
  }

  #remove(network: Vni): void {
    if (network === this.main.id) return;
    const port = this.#byId.get(network)?.port;
    if (port === undefined) return;
    port.close();
    this.#lost = plus(this.#lost, port.losses());
    this.#byId.delete(network);
    this.#portNames.delete(network);
  }
}

type Losses = ReturnType<FramePort['losses']>;

function plus(a: Losses, b: Losses): Losses {
  return { overload: a.overload + b.overload, captureOverrun: a.captureOverrun + b.captureOverrun };
}
