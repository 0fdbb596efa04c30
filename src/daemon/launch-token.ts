// Which token a launch uses: the one given, or a new one for a host that creates a cluster (DESIGN §1). `--join` never creates a
// cluster, and a token never makes one unless the operator says that this is the first host. Decides only; nothing becomes durable.

import type { Crypto, Random } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { Keyring } from '../base/keyring.ts';
import { generateToken, parseToken, type Token } from '../base/token.ts';
import type { LaunchOptions } from './launch-options.ts';

/** The token of a host that belongs to no cluster yet. Throws FabricError `token-missing`, `usage`, or what parseToken says. */
export function firstToken(
  { token, joins, init }: Pick<LaunchOptions, 'token' | 'joins' | 'init'>,
  { crypto, random }: { readonly crypto: Crypto; readonly random: Random },
): Token {
  if (joins.length > 0) {
    if (token !== null) return parseToken(token, crypto);
    throw new FabricError('token-missing', {
      what: "--join needs the cluster's token",
      fix: "Run 'fabric token' on a member and pass it: --token-file FILE, or --token-file - and paste it",
    });
  }
  if (token === null) return generateToken(random);
  if (init) return parseToken(token, crypto);
  throw new FabricError('usage', {
    what: 'a token was given without --join',
    why: 'it is not clear whether this host shall join a cluster or make the first of one',
    fix: 'Say --join HOST, or --init when this is the first host',
  });
}

/**
 * A member may be given its own cluster's token again; a later one is taken in, by which a host that was away for too long comes
 * back. Throws FabricError `state-contradiction` for another cluster's.
 */
export function takeGivenToken(given: LaunchOptions['token'], keyring: Keyring, crypto: Crypto): void {
  if (given === null) return;
  const token = parseToken(given, crypto);
  if (token.clusterId !== keyring.clusterId) {
    throw new FabricError('state-contradiction', {
      what: `the token is of cluster ${token.clusterId}, this host belongs to ${keyring.clusterId}`,
      fix: 'Leave that cluster first with fabric reset, or launch without a token to resume',
    });
  }
  if (token.generation > keyring.current.generation) keyring.replaceAll(token);
}
