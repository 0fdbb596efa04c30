// Claims on addresses that no lease covers: containers whose addresses a foreign IPAM plugin chose outside the network's
// ranges. Nobody owns such an address beforehand, so each has one holder among the live claims on it: the lowest author, then
// the lowest MAC. That is the same on every host, in whatever order claims arrive. An honest host asks here before it claims,
// so that only two claims made at the same moment ever compete.

import { cidrHasIp, type IpAddress, parseCidr } from '../base/address.ts';
import { assert } from '../base/errors.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';

/** No unicast address of one interface on a shared segment (RFC 6890); link-local IPv4 chooses and defends itself. */
const NOT_HOLDABLE = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  '::/127',
  '::ffff:0:0/96',
  'fe80::/10',
  'ff00::/8',
].map((text) => {
  const block = parseCidr(text);
  assert(block !== null, `CIDR block ${text}`);
  return block;
});

export interface FreeHolder {
  readonly author: PeerId;
  readonly mac: Mac;
}

type Key = Pick<AttachmentRecord, 'network' | 'mac'>;

/** False for loopback, multicast, link-local and unspecified addresses. */
export function isHoldable(ip: IpAddress): boolean {
  return !NOT_HOLDABLE.some((block) => cidrHasIp(block, ip));
}

export class FreeClaims {
  readonly #isAlive: (author: PeerId) => boolean;
  /** By network and address, in order: the first live one holds it. */
  readonly #claims = new Map<string, readonly FreeHolder[]>();

  constructor(isAlive: (author: PeerId) => boolean) {
    this.#isAlive = isAlive;
  }

  /** Idempotent. */
  add(author: PeerId, { network, mac }: Key, ip: string): void {
    const others = this.#without(author, { network, mac }, ip);
    this.#claims.set(keyOf(network, ip), [...others, { author, mac }].sort(compareHolders));
  }

  /** Idempotent. */
  remove(author: PeerId, { network, mac }: Key, ip: string): void {
    const others = this.#without(author, { network, mac }, ip);
    if (others.length === 0) this.#claims.delete(keyOf(network, ip));
    else this.#claims.set(keyOf(network, ip), others);
  }

  claimants(network: Vni, ip: string): readonly FreeHolder[] {
    return this.#claims.get(keyOf(network, ip)) ?? [];
  }

  holder(network: Vni, ip: string): FreeHolder | null {
    return this.claimants(network, ip).find(({ author }) => this.#isAlive(author)) ?? null;
  }

  isHolder(author: PeerId, { network, mac }: Key, ip: string): boolean {
    const holder = this.holder(network, ip);
    return holder?.author === author && holder.mac === mac;
  }

  #without(author: PeerId, { network, mac }: Key, ip: string): readonly FreeHolder[] {
    return this.claimants(network, ip).filter((claim) => claim.author !== author || claim.mac !== mac);
  }
}

function compareHolders(a: FreeHolder, b: FreeHolder): number {
  const left = `${a.author} ${a.mac}`;
  const right = `${b.author} ${b.mac}`;
  return left < right ? -1 : left > right ? 1 : 0;
}

function keyOf(network: Vni, ip: string): string {
  return `${network}/${ip}`;
}
