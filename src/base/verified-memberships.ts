// Remembers whose membership it has verified: a peer shows the same one in each handshake, every two minutes, and the two signatures
// cost more than the handshake's own cryptography. Invariant: what it returns verifyMembership() returned for the same bytes
// under the same authority; whether that member is still let in is not its business. Bounded: the oldest is forgotten.

import { toHex } from './bytes.ts';
import { type ClusterAuthority, type Membership, type MembershipVerifier, verifyMembership } from './membership.ts';

/** Of one authority. */
const REMEMBERED_MAX = 1_024;

export class VerifiedMemberships<Authority extends ClusterAuthority> {
  readonly #facts: Omit<MembershipVerifier, 'authorities'>;
  /** By the credential in hex; an authority that is gone takes what it vouched for with it. */
  readonly #verified = new WeakMap<Authority, Map<string, Membership>>();

  constructor(facts: Omit<MembershipVerifier, 'authorities'>) {
    this.#facts = facts;
  }

  /** As {@link verifyMembership} with this one authority. */
  verify(credential: Uint8Array, by: Authority): Membership | null {
    const known = this.#verified.get(by) ?? new Map<string, Membership>();
    this.#verified.set(by, known);
    const key = toHex(credential);
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    const member = verifyMembership(credential, { ...this.#facts, authorities: [by] });
    if (member === null) return null;
    const [oldest] = known.keys();
    if (known.size >= REMEMBERED_MAX && oldest !== undefined) known.delete(oldest);
    known.set(key, member);
    return member;
  }
}
