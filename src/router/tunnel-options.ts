// What the control side of the tunnels needs from the daemon, tells it, and shows of itself: the types of Tunnels' public
// interface. All callbacks are synchronous and must not call back into Tunnels.

import type { AeadCipher, Clock, Crypto, Log, Random, Store } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import type { PeerId } from '../base/ids.ts';
import type { NatFacts } from '../base/nat-facts.ts';
import type { NatPlace } from '../base/nat-place.ts';
import type { Datapath } from './datapath.ts';
import type { StaticKeys, TunnelSecret } from './handshake.ts';

/** The part of a datapath that tunnels drive. */
export type TunnelDatapath = Pick<
  Datapath,
  | 'addSession'
  | 'useSession'
  | 'removeSession'
  | 'setPath'
  | 'setPathMtu'
  | 'sendRaw'
  | 'sendKeepalive'
  | 'sendProbe'
  | 'removePeer'
>;

export interface TunnelOptions {
  readonly self: StaticKeys & { readonly peer: PeerId };
  /** Our membership, signed under that secret's generation: at most 1,000 bytes, opaque here. */
  readonly membership: (secret: TunnelSecret) => Uint8Array;
  /** Of the tokens that are held now, newest first; the same objects as long as they are. */
  readonly secrets: () => readonly TunnelSecret[];
  /**
   * Whether a peer may be met under that secret; default: always. A newer one than it has costs a try, an older one may be a
   * stranger's.
   */
  readonly admits?: (peer: PeerId, secret: TunnelSecret) => boolean;
  /**
   * Who a membership speaks for; null when it is malformed, not signed by the cluster, revoked, or not admitted under this
   * secret, whose mac1 matched. Called once per initiation that passed mac1.
   */
  readonly verifyMembership: (
    membership: Uint8Array,
    secret: TunnelSecret,
  ) => { readonly peer: PeerId; readonly staticKey: Uint8Array } | null;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: Store;
  readonly log: Log;
  readonly datapath: TunnelDatapath;
  /** What the datapath can do, best first; ChaCha20-Poly1305 first where AES is slow. Not empty. */
  readonly ciphers: readonly AeadCipher[];
  /** The largest outer IP packet that this host takes, in bytes: 576 to 65,535. */
  readonly mtu: number;
  /** The outer IP packet of the overlay's largest frame, in bytes: no use to probe for more. Default: `mtu`. */
  readonly neededMtu?: number;
  /** Bit set told to peers. Default: all that this version has. */
  readonly capabilities?: number;
  /** Live hosts that might relay, best first; asked when a peer is not reached. Default: none but those with a session. */
  readonly neighbours?: () => readonly PeerId[];
  /** What this host says of itself: seen elsewhere, it is behind a NAT. Null, the default: no NAT is concluded from anything. */
  readonly ownEndpoints?: () => readonly Endpoint[] | null;
  /** Keeps all tunnels up once they are, by a datagram this often; default null: they may idle out, but for those that a NAT needs. */
  readonly persistentKeepaliveMs?: number | null;
  /** True when this process is too busy to answer handshakes of unproven senders; default: never. */
  readonly overloaded?: () => boolean;
  readonly limits?: Partial<TunnelLimits>;
  readonly events: TunnelEvents;
}

export interface TunnelLimits {
  /** Peers that are remembered, known by gossip or not. Default 16,384. */
  readonly peersMax: number;
  /** Initiations per second from all unproven senders, above which cookies are asked for. Default 50. */
  readonly unprovenPerSecondMax: number;
  /** Initiations per second from one address that has proved itself with a cookie. Default 20. */
  readonly perSourcePerSecondMax: number;
  /** The same, and cookie replies, of all that one relay brings. Default 100 each. */
  readonly perRelayPerSecondMax: number;
  /** Initiations answered, and responses read, per second while under load. Default 200 each. */
  readonly handshakesPerSecondMax: number;
  /** Initiations that we send per second; more wait. Default 200. */
  readonly outgoingPerSecondMax: number;
  /** Of these for direct paths alone: of relayed tunnels, and to whom this host is asked to relay; more are left out. Default 50. */
  readonly directPerSecondMax: number;
  /** Cookie replies per second, to one address and to all. Default 5 and 1,000. */
  readonly cookiesPerSourcePerSecondMax: number;
  readonly cookiesPerSecondMax: number;
}

export const TUNNEL_LIMITS: TunnelLimits = {
  peersMax: 16_384,
  unprovenPerSecondMax: 50,
  perSourcePerSecondMax: 20,
  perRelayPerSecondMax: 100,
  handshakesPerSecondMax: 200,
  outgoingPerSecondMax: 200,
  directPerSecondMax: 50,
  cookiesPerSourcePerSecondMax: 5,
  cookiesPerSecondMax: 1_000,
};

export interface TunnelEvents {
  /** A member that gossip has not named yet has a session with us and proved to receive at `endpoint`; null: by a relay. */
  peerSeen(seen: { readonly peer: PeerId; readonly staticKey: Uint8Array; readonly endpoint: Endpoint | null }): void;
  /** Where an authenticated peer is now (null: behind a relay), and the largest outer packet that both sides take; repeats are possible. */
  placed(peer: PeerId, place: { readonly endpoint: Endpoint | null; readonly pathMtu: number | null }): void;
  /** The peer answered a datagram of {@link Tunnels.prod} or of the search for the path's MTU, of that size. Absent: nobody waits. */
  probed?(peer: PeerId, bytes: number): void;
  /**
   * A tunnel came up that was down, fell silent under traffic or answers again, goes by a relay, by another one or directly again, or
   * a series of tries ended without an answer. New keys of a live tunnel are no news.
   */
  turned?(peer: PeerId, turn: TunnelTurn): void;
  /** What a NAT makes of this host is otherwise than told before, or for the first time. Absent: nobody publishes it. */
  natChanged?(facts: NatFacts): void;
  /** Something is due earlier than the last `tick` said: call `tick` again within this many milliseconds. */
  wake(withinMs: number): void;
}

export type TunnelTurn =
  | { readonly to: 'established' | 'silent' | 'answering' }
  | { readonly to: 'direct'; readonly nat: NatPlace }
  | { readonly to: 'relayed'; readonly relay: PeerId }
  | { readonly to: 'failed'; readonly reason: string };

export type TunnelState = 'idle' | 'handshaking' | 'established' | 'failed';

export interface TunnelStatus {
  readonly peer: PeerId;
  readonly state: TunnelState;
  /** In words, why it is not better; null when all is well or nobody asked for the tunnel. */
  readonly reason: string | null;
  readonly cipher: AeadCipher | null;
  /** Round trip of the last handshake that we initiated. */
  readonly handshakeRttMs: number | null;
  /** Where datagrams go; null before the first handshake, and behind a relay. */
  readonly endpoint: Endpoint | null;
  /** By whom it is reached; null: directly, or not yet. */
  readonly relay: PeerId | null;
  /** Where the direct path crosses a NAT; null: by a relay, or not yet. */
  readonly nat: NatPlace | null;
  /** The largest outer IP packet that is sent: what both sides take, or what probes found the path to carry, in bytes. */
  readonly pathMtu: number | null;
  readonly sessionAgeMs: number | null;
  readonly capabilities: number | null;
  /** How long the handshake under way has gone unanswered; null: none is. */
  readonly unansweredMs: number | null;
  /** Clock.monotonicMs of the last datagram that proved to be the peer's, as far as the control side knows; null: none. */
  readonly heardMs: number | null;
}

/** Handshakes since start. */
export interface HandshakeCounts {
  /** Initiations that we sent, tries that were repeated included. */
  readonly initiations: number;
  /** Sessions of tunnels that were down. */
  readonly established: number;
  /** New keys of tunnels that were up. */
  readonly rekeyed: number;
  /** Series of tries that ended without an answer. */
  readonly gaveUp: number;
}

/** Why a handshake datagram was dropped (docs/drops.md). */
export const TUNNEL_DROPS = [
  'malformed',
  'mac1',
  'cookie-required',
  'cookie-limit',
  'cookie-invalid',
  'source-rate',
  'work-limit',
  'decrypt',
  'payload',
  'membership',
  'static-key',
  'self',
  'timestamp',
  'initiation-rate',
  'peer-limit',
  'no-common-cipher',
  'unexpected-response',
  'unexpected-cookie',
  'relay-source',
] as const;
export type TunnelDrop = (typeof TUNNEL_DROPS)[number];
