// The networks beside the default one in which this host has containers, or Docker has a network: before the first of them comes,
// the network gets its bridge and port in the kernel, its tables in the datapath, and peers hear that there is a member here; after
// the last has left, all that goes again. Invariant: one of these changes runs at a time; a network is up as long as anything here
// is in it.

import type { Log } from '../base/capabilities.ts';
import { assert, FabricError } from '../base/errors.ts';
import { DEFAULT_VNI, type Vni } from '../base/ids.ts';
import type { HostNetwork, OverlayNetworkConfig } from '../host/host-network.ts';
import type { TableChange } from '../router/datapath.ts';
import type { DatapathSlot } from './datapath-slot.ts';
import { overlayNetwork } from './genesis.ts';
import type { Network } from './network.ts';
import { leadsTo, type Networks } from './networks.ts';

/** As kSparePorts of native/engine/main.cc: so many ports an engine can take beside its first. */
export const NETWORKS_HERE_MAX = 64;

export interface NetworkPresencePorts {
  readonly log: Log;
  readonly host: Pick<HostNetwork, 'addNetwork' | 'removeNetwork' | 'datapathPortOf'>;
  readonly slot: Pick<DatapathSlot, 'applyTables' | 'settle'>;
  readonly networks: Pick<Networks, 'get' | 'labelOf' | 'forgetUnused'>;
  /** Overlay MTU in bytes. */
  readonly mtu: number;
  /** True while a container of this host is in the network, or is on its way in or out, or Docker may bring one. */
  isUsed(network: Vni): boolean;
  floodListOf(network: Vni): TableChange;
  /** {@link NetworkPresence.members} has changed. Resolves when what serves on the networks' gateways has followed; never rejects. */
  changed(): Promise<void>;
}

export class NetworkPresence {
  readonly #ports: NetworkPresencePorts;
  readonly #up = new Set<Vni>();
  /** The tail of the queue of changes. */
  #busy: Promise<void> = Promise.resolve();

  constructor(ports: NetworkPresencePorts) {
    this.#ports = ports;
  }

  /** Networks in which this host has members, ascending. */
  members(): readonly Vni[] {
    return [DEFAULT_VNI, ...[...this.#up].sort((a, b) => a - b)];
  }

  isUp(network: Vni): boolean {
    return network === DEFAULT_VNI || this.#up.has(network);
  }

  /** At start, before kernel and datapath are set up: these are up from now on. Returns what the kernel shall have of them. */
  restore(ids: Iterable<Vni>): readonly OverlayNetworkConfig[] {
    const found = [...new Set(ids)].flatMap((id) => (id === DEFAULT_VNI ? [] : (this.#ports.networks.get(id) ?? [])));
    for (const { id } of found) this.#up.add(id);
    return found.map((network) => this.#configOf(network));
  }

  /** All tables of the networks that are up, for a datapath that starts anew; the default one's are not among them. */
  tables(): readonly TableChange[] {
    return [...this.#up].flatMap((id) => this.#tablesOf(id));
  }

  floodLists(): readonly TableChange[] {
    return this.members().map((id) => this.#ports.floodListOf(id));
  }

  /** Idempotent. Rejects with `network-unknown`, `range-overlap`, `limit`, or what the kernel says. */
  async enter(id: Vni): Promise<void> {
    if (this.isUp(id)) return;
    await this.#alone(async () => {
      if (this.isUp(id)) return;
      const network = this.#ports.networks.get(id);
      if (network === null) throw new FabricError('network-unknown', { what: `the network ${id} is gone` });
      this.#refuse(network);
      await this.#ports.host.addNetwork(this.#configOf(network));
      this.#up.add(id);
      this.#ports.slot.applyTables(this.#tablesOf(id));
      await this.#ports.changed();
      this.#ports.log.info('network is up here', { network: this.#ports.networks.labelOf(id), bridge: network.bridge });
    });
  }

  /** Something of this host left the network: when it was the last, nothing of it stays. What fails is tried again then. */
  left(id: Vni): void {
    if (id === DEFAULT_VNI || this.#ports.isUsed(id)) return;
    void this.#alone(() => this.#leaveIfUnused(id)).catch((error: unknown) => {
      this.#ports.log.error('a network could not be taken down', { network: id, reason: String(error) });
    });
  }

  /** Its frames cross no more, though containers are in it. */
  cut(id: Vni): void {
    if (!this.#up.delete(id)) return;
    this.#ports.slot.applyTables([{ kind: 'network-gone', network: id }]);
    void this.#ports.changed();
  }

  /** Resolves when the changes under way are done. */
  async idle(): Promise<void> {
    await this.#busy;
  }

  async #leaveIfUnused(id: Vni): Promise<void> {
    const { host, slot, networks, isUsed, changed } = this.#ports;
    if (isUsed(id)) return; // another came meanwhile
    if (this.#up.delete(id)) {
      await changed();
      slot.applyTables([{ kind: 'network-gone', network: id }]);
    }
    await slot.settle(); // the datapath has let go of the port
    await host.removeNetwork(id);
    networks.forgetUnused(id);
  }

  /** Two hosts apart may have made networks of one range: no host leads to both. */
  #refuse({ id, facts }: Network): void {
    const { networks } = this.#ports;
    if (this.#up.size >= NETWORKS_HERE_MAX) {
      throw new FabricError('limit', { what: `this host is in ${NETWORKS_HERE_MAX} networks beside the default one` });
    }
    if (facts.internal) return;
    const ranges = [facts.v4, facts.v6].flatMap((side) => side?.range ?? []);
    for (const other of this.members().flatMap((up) => networks.get(up) ?? [])) {
      if (!ranges.some((range) => leadsTo(other.facts, range))) continue;
      throw new FabricError('range-overlap', {
        what: `this host can't be in the network ${networks.labelOf(id)}`,
        why: `its range overlaps that of ${networks.labelOf(other.id)}, which has containers here`,
        fix: 'Use another host for one of the two, or make networks --internal',
      });
    }
  }

  #tablesOf(id: Vni): readonly TableChange[] {
    const network = this.#ports.networks.get(id);
    const portName = this.#ports.host.datapathPortOf(id);
    if (network === null || portName === null) return [];
    const { gatewayMac, gatewayIps } = network.facts;
    return [
      { kind: 'network', network: id, portName, gatewayMac, gatewayIps },
      ...network.routes.tables(),
      this.#ports.floodListOf(id),
    ];
  }

  #configOf(network: Network): OverlayNetworkConfig {
    assert(network.id !== DEFAULT_VNI, 'the default network is set up apart');
    return overlayNetwork(network.facts, { bridge: network.bridge, mtu: this.#ports.mtu });
  }

  #alone(work: () => Promise<void>): Promise<void> {
    const mine = this.#busy.then(work);
    this.#busy = mine.catch(() => undefined); // whoever asked for it hears of it
    return mine;
  }
}
