// Keeps fabric's nftables as they should be: writes both tables, remembers how the kernel shows them, and writes them
// again when they look different; and keeps the accept rules in chains of others. Elements of containers that were attached
// by an earlier daemon survive every rewrite.

import { createHash } from 'node:crypto';
import { formatIp, parseIp } from '../../base/address.ts';
import type { Log } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import { parseMac } from '../../base/ids.ts';
import type { VxlanPlan } from '../host-network.ts';
import {
  type AntiSpoofElement,
  type AntiSpoofSet,
  elementText,
  type PortIdentity,
  portElements,
} from './anti-spoof.ts';
import { ForeignAccepts, type Opening } from './foreign-accepts.ts';
import { type NetworkInterfaces, NFT_TABLE } from './names.ts';
import { isObject, type NftListing, PacketFilterPrograms } from './nft.ts';
import { type OverlayRulesInput, overlayRules, removeOverlayChains, removeOverlayRules } from './overlay-rules.ts';
import { vxlanRules } from './vxlan-rules.ts';

export class PacketFilter {
  readonly #programs = new PacketFilterPrograms();
  readonly #foreign: ForeignAccepts;
  readonly #log: Log;
  /** Of the last rewrite: the text without elements, and what the kernel then showed. */
  #written: { readonly rules: string; readonly shown: string } | null = null;

  constructor(log: Log) {
    this.#log = log;
    this.#foreign = new ForeignAccepts(this.#programs, log);
  }

  /** Rejects with FabricError when nftables can't be used at all. */
  async preflight(): Promise<void> {
    await this.#programs.list('tables');
  }

  /**
   * True when something had to be written. The first call of a process always writes. Of `input.elements` only `settled` ones
   * are missed: the others belong to ports that are being made.
   */
  async ensure(input: OverlayRulesInput, settled: readonly AntiSpoofElement[]): Promise<boolean> {
    const rules = overlayRules({ ...input, elements: [] });
    if (this.#written?.rules === rules) {
      const listing = await this.#listing();
      const whole = hasElements(listing, settled) && hasVxlanPeers(listing, input.vxlan);
      if (whole && fingerprint(listing) === this.#written.shown) return false;
    }
    await this.#write(overlayRules(input));
    this.#written = { rules, shown: fingerprint(await this.#listing()) };
    return true;
  }

  /** What was made for a network that {@link ensure} is told of no more. Idempotent. */
  async forget({ bridge, portNear }: Pick<NetworkInterfaces, 'bridge' | 'portNear'>): Promise<void> {
    await this.#programs.apply(removeOverlayChains(portNear));
    if (this.#written !== null) this.#written = { ...this.#written, shown: fingerprint(await this.#listing()) };
    await this.#foreign.remove([bridge]);
  }

  /** See {@link ForeignAccepts.ensure}. */
  ensureAccepted(openings: readonly Opening[]): Promise<boolean> {
    return this.#foreign.ensure(openings);
  }

  async removeAccepted(interfaces: readonly string[]): Promise<void> {
    await this.#foreign.remove(interfaces);
  }

  async removeTables(): Promise<void> {
    this.#written = null;
    await this.#programs.apply(removeOverlayRules());
  }

  /** True when the port may send what is its own, and nothing else. */
  admits(port: PortIdentity): Promise<boolean> {
    const elements = portElements(port).map((element) => ({ set: element.set, text: elementText(element) }));
    return this.#programs.hasElements('bridge', NFT_TABLE, elements);
  }

  /** What a port may send, as an earlier daemon allowed it; null when the sets do not know its name. */
  async findPort(hostIfname: string): Promise<PortIdentity | null> {
    return portInSets(await this.#listing(), hostIfname);
  }

  /** True for the netlink sockets of programs that we ran lately: the kernel numbers a program's first one by its process id. */
  isOfOurPrograms(portId: number): boolean {
    return this.#programs.ran(portId);
  }

  async #write(text: string): Promise<void> {
    try {
      await this.#programs.apply(text);
    } catch (error) {
      if (!(error instanceof FabricError) || error.code !== 'nftables') throw error;
      // Another version's sets or chains of the same names may be of other types.
      this.#log.warn('nftables refused an update of our tables; making them anew', { why: error.message });
      await this.#programs.apply(`${removeOverlayRules()}${text}`);
    }
  }

  async #listing(): Promise<NftListing> {
    const tables = await Promise.all(
      ['inet', 'bridge'].map((family) => this.#programs.list('table', family, NFT_TABLE)),
    );
    return tables.flatMap((table) => table ?? []);
  }
}

/** Of all but what changes by itself: handles, counters, elements, and the program's version. */
export function fingerprint(listing: NftListing): string {
  const kept = listing.filter((object) => !('metainfo' in object));
  const text = JSON.stringify(kept, (key, value: unknown) => {
    if (key === 'handle' || key === 'elem') return undefined;
    return key === 'counter' ? null : value;
  });
  return createHash('sha256').update(text).digest('hex');
}

/** Reads the elements `"ifname" . mac` and `"ifname" . mac . ip` of one interface. */
export function portInSets(listing: NftListing, hostIfname: string): PortIdentity | null {
  const fields = (name: AntiSpoofSet): readonly (readonly unknown[])[] =>
    listing
      .flatMap(({ set }) => (isObject(set) && set.name === name && Array.isArray(set.elem) ? set.elem : []))
      .flatMap((element) => (isObject(element) && Array.isArray(element.concat) ? [element.concat] : []))
      .filter(([ifname]) => ifname === hostIfname);
  const [text] = fields('source_macs').map(([, mac]) => mac);
  const mac = typeof text === 'string' ? parseMac(text) : null;
  if (mac === null) return null;
  const ips = [...fields('source_ips'), ...fields('source_ip6s')].map(([, , ip]) => parseIp(String(ip)));
  return { hostIfname, mac, ips: ips.filter((ip) => ip !== null).map(formatIp) };
}

/** False when somebody let others in, or shut a peer out. */
export function hasVxlanPeers(listing: NftListing, plan: VxlanPlan | null): boolean {
  return vxlanRules(plan, [], '').sets.every(({ name, elements }) => {
    const set = listing.map((object) => object.set).find((one) => isObject(one) && one.name === name);
    const there = isObject(set) && Array.isArray(set.elem) ? set.elem : [];
    return there.length === elements.length && elements.every((element) => there.includes(element));
  });
}

/** False when a set has fewer elements than it must have: someone emptied it. */
export function hasElements(listing: NftListing, elements: readonly AntiSpoofElement[]): boolean {
  const wanted = new Map<string, number>();
  for (const { set } of elements) wanted.set(set, (wanted.get(set) ?? 0) + 1);
  for (const { set } of listing) {
    if (!isObject(set) || typeof set.name !== 'string') continue;
    const there = Array.isArray(set.elem) ? set.elem.length : 0;
    if (there < (wanted.get(set.name) ?? 0)) return false;
    wanted.delete(set.name);
  }
  return wanted.size === 0;
}
