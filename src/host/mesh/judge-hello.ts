// What a Hello means for us: whether this connection may become a link. Pure, and symmetric where it must be: both sides judge
// the same two Hellos by the same rules, so both refuse, or none.

import { equalBytes } from '../../base/bytes.ts';
import type { PeerId } from '../../base/ids.ts';
import type { Hello } from './envelope.ts';
import { bothJoining, cloneRefusal, genesisForged, genesisRefusal, type Refusal, versionRefusal } from './refusal.ts';

/** A genesis of our cluster whose signature holds; null for any other bytes. Never throws. */
export type GenesisReader = (genesis: Uint8Array) => { readonly genesisId: string } | null;

export interface HelloContext {
  readonly self: PeerId;
  readonly own: Hello;
  readonly readGenesis: GenesisReader;
  /** The other side, as its certificate proves it. */
  readonly peer: PeerId;
  readonly party: { readonly name: string; readonly dialled: boolean };
}

export type HelloVerdict =
  /** `admit` is the genesis that makes us a member; null when we are one already. */
  | { readonly verdict: 'welcome'; readonly protocol: number; readonly admit: Uint8Array | null }
  | { readonly verdict: 'self' }
  | { readonly verdict: 'clone'; readonly refusal: Refusal }
  | { readonly verdict: 'refused'; readonly refusal: Refusal };

export function judgeHello(theirs: Hello, context: HelloContext): HelloVerdict {
  const { own, peer, self, party } = context;
  if (peer === self) {
    if (theirs.bootId === own.bootId) return { verdict: 'self' };
    return { verdict: 'clone', refusal: cloneRefusal(party, self, [own.bootId, theirs.bootId]) };
  }
  const protocol = Math.min(own.protocolMax, theirs.protocolMax);
  if (protocol < Math.max(own.protocolMin, theirs.protocolMin)) {
    return { verdict: 'refused', refusal: versionRefusal(party, own, theirs) };
  }
  const genesis = judgeGenesis(theirs.genesis, context);
  return 'refusal' in genesis
    ? { verdict: 'refused', refusal: genesis.refusal }
    : { verdict: 'welcome', protocol, admit: genesis.admit };
}

function judgeGenesis(
  theirs: Uint8Array,
  { own, readGenesis, party }: HelloContext,
): { readonly admit: Uint8Array | null } | { readonly refusal: Refusal } {
  const member = own.genesis.length > 0;
  if (theirs.length === 0) return member ? { admit: null } : { refusal: bothJoining(party) };
  if (equalBytes(theirs, own.genesis)) return { admit: null };
  const read = readGenesis(theirs);
  if (read === null) return { refusal: genesisForged(party) };
  if (!member) return { admit: theirs };
  return readGenesis(own.genesis)?.genesisId === read.genesisId ? { admit: null } : { refusal: genesisRefusal(party) };
}
