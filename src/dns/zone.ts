// The names of one network: those that containers have by their claims, and those that operators added. Keeps what hosts say and
// judges it when asked: a name counts only while the claim behind it does (src/router/routes.ts), so the names of a container
// that ended or of a host that is dead are gone at once, and nothing of theirs has to be found and removed.

import { parseIp } from '../base/address.ts';
import type { Mac, PeerId } from '../base/ids.ts';
import type { NameRecord } from '../base/records.ts';
import { relativeName } from './domain-names.ts';

export interface ZonePorts {
  /** Without a trailing dot, lower case. */
  readonly domain: string;
  /** Whose claim on that MAC counts now; null: nobody's. */
  holderOf(mac: Mac): PeerId | null;
  isAlive(author: PeerId): boolean;
  /** Nearest first when given: what an answer's addresses are sorted by, any unit; equal ones take turns. */
  distanceTo?(author: PeerId): number;
}

/** What of a claim makes names. */
export interface NamedClaim {
  readonly mac: Mac;
  readonly ips: readonly string[];
  readonly name: string;
  readonly aliases?: readonly string[];
}

/** One name with what one author gives it. */
export interface ZoneRow {
  /** With the domain. */
  readonly name: string;
  /** Without prefix length. */
  readonly ips: readonly string[];
  readonly author: PeerId;
}

interface Target {
  readonly ip: string;
  /** Of the claim that the address hangs on; null: on its author alone. */
  readonly mac: Mac | null;
}

/** Somebody's statement that these names have these addresses. */
interface Holder {
  readonly kind: 'claim' | 'added';
  readonly author: PeerId;
  readonly names: readonly string[];
  readonly targets: readonly Target[];
}

interface Node {
  readonly holders: Set<Holder>;
  /** Names below this one, whole: this one exists because of them (RFC 8020). */
  readonly below: Set<string>;
  /** How often each family was asked for: answers begin with the next address each time. */
  readonly turns: Map<4 | 6, number>;
}

export class Zone {
  readonly #ports: ZonePorts;
  readonly #nodes = new Map<string, Node>();
  readonly #byAddress = new Map<string, Set<Holder>>();
  readonly #claims = new Map<string, Holder>();
  readonly #added = new Map<string, Holder>();
  /** Rises with each change. */
  serial = 1;
  /** Names of records that are none. */
  unusable = 0;

  constructor(ports: ZonePorts) {
    this.#ports = ports;
  }

  get domain(): string {
    return this.#ports.domain;
  }

  get isEmpty(): boolean {
    return this.#claims.size === 0 && this.#added.size === 0;
  }

  setClaim(author: PeerId, claim: NamedClaim): void {
    const { mac } = claim;
    const given = [claim.name, ...(claim.aliases ?? [])].filter((text) => text !== '');
    const targets = claim.ips.filter(isAnswerable).map((ip) => ({ ip, mac }));
    // Also without a name: what operators add may hang on it.
    this.#put(this.#claims, claimKey(author, mac), { kind: 'claim', author, names: this.#usable(given), targets });
  }

  removeClaim(author: PeerId, mac: Mac): void {
    this.#remove(this.#claims, claimKey(author, mac));
  }

  setAdded(author: PeerId, record: NameRecord): void {
    const { name } = record;
    const targets = record.targets.filter(({ ip }) => isAnswerable(ip));
    this.#put(this.#added, addedKey(author, name), { kind: 'added', author, names: this.#usable([name]), targets });
  }

  removeAdded(author: PeerId, name: string): void {
    this.#remove(this.#added, addedKey(author, name));
  }

  /** False: neither this name nor one below it is there. `name` is relative, lower case. */
  exists(name: string): boolean {
    const node = this.#nodes.get(name);
    if (node === undefined) return false;
    if (this.#liveTargets(node).length > 0) return true;
    for (const below of node.below) if (this.#liveTargets(this.#nodes.get(below)!).length > 0) return true;
    return false;
  }

  /** Addresses of one family, in the order of this answer: the next one first each time. */
  addresses(name: string, family: 4 | 6): readonly string[] {
    const node = this.#nodes.get(name);
    if (node === undefined) return [];
    const found = new Map<string, PeerId>();
    for (const { ip, author } of this.#liveTargets(node)) if (familyOf(ip) === family) found.set(ip, author);
    const turn = node.turns.get(family) ?? 0;
    node.turns.set(family, (turn + 1) % 0x4000_0000);
    return this.#inOrder([...found], turn);
  }

  /** Names of an address, relative; those of its container first. */
  namesOf(ip: string): readonly string[] {
    const names = new Set<string>();
    for (const holder of this.#byAddress.get(ip) ?? []) {
      if (holder.targets.some((target) => target.ip === ip && this.#isLive(holder, target))) {
        for (const name of holder.names) names.add(name);
      }
    }
    return [...names];
  }

  /** The MAC whose claim on an address counts now; null: nobody claims it. */
  claimOn(ip: string): Mac | null {
    for (const holder of this.#byAddress.get(ip) ?? []) {
      const target = holder.targets.find((each) => each.ip === ip);
      if (holder.kind === 'claim' && target !== undefined && this.#isLive(holder, target)) return target.mac;
    }
    return null;
  }

  /** Every name that is answered now, sorted. */
  rows(): readonly ZoneRow[] {
    const rows: ZoneRow[] = [];
    for (const [name, { holders }] of this.#nodes) {
      const byAuthor = new Map<PeerId, Set<string>>();
      for (const holder of holders) {
        const live = holder.targets.filter((target) => this.#isLive(holder, target));
        const ips = byAuthor.get(holder.author) ?? new Set();
        for (const { ip } of live) ips.add(ip);
        if (ips.size > 0) byAuthor.set(holder.author, ips);
      }
      for (const [author, ips] of byAuthor) rows.push({ name: `${name}.${this.domain}`, ips: [...ips], author });
    }
    return rows.sort((a, b) => compare(a.name, b.name) || compare(a.author, b.author));
  }

  #put(table: Map<string, Holder>, key: string, holder: Holder): void {
    this.#remove(table, key);
    table.set(key, holder);
    this.serial++;
    for (const name of holder.names) {
      this.#node(name).holders.add(holder);
      for (const above of ancestors(name)) this.#node(above).below.add(name);
    }
    for (const { ip } of holder.targets) {
      const there = this.#byAddress.get(ip) ?? new Set();
      this.#byAddress.set(ip, there.add(holder));
    }
  }

  #remove(table: Map<string, Holder>, key: string): void {
    const holder = table.get(key);
    if (holder === undefined) return;
    table.delete(key);
    this.serial++;
    for (const { ip } of holder.targets) {
      const there = this.#byAddress.get(ip);
      if (there?.delete(holder) === true && there.size === 0) this.#byAddress.delete(ip);
    }
    for (const name of holder.names) {
      this.#nodes.get(name)?.holders.delete(holder);
      this.#dropIfEmpty(name);
    }
  }

  #dropIfEmpty(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined || node.holders.size > 0) return;
    for (const above of ancestors(name)) {
      const parent = this.#nodes.get(above);
      if (parent === undefined) continue;
      parent.below.delete(name);
      if (parent.holders.size === 0 && parent.below.size === 0) this.#nodes.delete(above);
    }
    if (node.below.size === 0) this.#nodes.delete(name);
  }

  #node(name: string): Node {
    let node = this.#nodes.get(name);
    if (node === undefined) {
      node = { holders: new Set(), below: new Set(), turns: new Map() };
      this.#nodes.set(name, node);
    }
    return node;
  }

  #usable(texts: readonly string[]): readonly string[] {
    const names = new Set<string>();
    for (const text of texts) {
      const name = relativeName(text, this.domain);
      if (name === null) this.unusable++;
      else names.add(name);
    }
    return [...names];
  }

  #liveTargets({ holders }: Node): readonly { readonly ip: string; readonly author: PeerId }[] {
    return [...holders].flatMap((holder) =>
      holder.targets
        .filter((target) => this.#isLive(holder, target))
        .map(({ ip, mac }) => ({ ip, author: (mac === null ? null : this.#ports.holderOf(mac)) ?? holder.author })),
    );
  }

  /** An added name needs its author alive, and the claim that it hangs on, whoever has that now. */
  #isLive({ kind, author }: Holder, { ip, mac }: Target): boolean {
    if (mac === null) return this.#ports.isAlive(author);
    const owner = this.#ports.holderOf(mac);
    if (kind === 'claim' || owner === null) return owner === author;
    return this.#ports.isAlive(author) && this.#holds(owner, mac, ip);
  }

  #holds(owner: PeerId, mac: Mac, ip: string): boolean {
    return this.#claims.get(claimKey(owner, mac))?.targets.some((target) => target.ip === ip) === true;
  }

  /** Rotated by `turn`; with distances, within each group of equal ones. */
  #inOrder(found: readonly (readonly [ip: string, author: PeerId])[], turn: number): readonly string[] {
    const { distanceTo } = this.#ports;
    if (distanceTo === undefined) return rotated(found, turn).map(([ip]) => ip);
    const groups = new Map<number, [string, PeerId][]>();
    for (const [ip, author] of found) {
      const distance = distanceTo.call(this.#ports, author);
      groups.set(distance, [...(groups.get(distance) ?? []), [ip, author]]);
    }
    const nearestFirst = [...groups].sort(([a], [b]) => a - b);
    return nearestFirst.flatMap(([, group]) => rotated(group, turn).map(([ip]) => ip));
  }
}

function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const first = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

/** `b.c` and `c` of `a.b.c`. */
function ancestors(name: string): readonly string[] {
  const labels = name.split('.');
  return labels.slice(1).map((_, i) => labels.slice(i + 1).join('.'));
}

/** A link-local address means nothing without an interface. */
function isAnswerable(ip: string): boolean {
  return !ip.startsWith('fe80:');
}

function familyOf(ip: string): 4 | 6 | null {
  return parseIp(ip)?.family ?? null;
}

function claimKey(author: PeerId, mac: Mac): string {
  return `${author}/${mac}`;
}

function addedKey(author: PeerId, name: string): string {
  return `${author}/${name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
