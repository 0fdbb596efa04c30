// Why a frame or datagram went no further: every drop has one reason, is counted once, and the counts reach `status` and the
// metrics. docs/drops.md says for each what it means and what to do; a test keeps the two lists equal.

export const DROP_REASONS = [
  // Datagrams that belong to no session
  'datagram-malformed',
  'datagram-version',
  'datagram-type',
  'session-unknown',
  'receive-failed',
  // Datagrams of a session
  'authentication-failed',
  'replayed',
  'too-old',
  'inner-malformed',
  'kind-unsupported',
  'network-unknown',
  'hop-limit',
  'fragment-malformed',
  'fragment-incomplete',
  'fragment-memory',
  'checksum-impossible',
  'probe-limit',
  // Frames, from the port or from a peer
  'frame-short',
  'frame-truncated',
  'frame-too-large',
  'source-invalid',
  'source-elsewhere',
  'destination-elsewhere',
  'reserved-group',
  'gateway-mac',
  'gateway-neighbour',
  'neighbour-spoof',
  'router-advertisement',
  'redirect',
  // Frames from the port that need no tunnel
  'neighbour-answered',
  'neighbour-local',
  'destination-local',
  'no-members',
  'unknown-unicast-limit',
  // On the way out
  'no-endpoint',
  'waiting-overflow',
  'peer-removed',
  'pieces-limit',
  'send-queue-full',
  'send-failed',
  // The port
  'inject-failed',
  'overload',
  'capture-overrun',
  // Tables
  'table-full',
  // The control side
  'daemon-absent',
  // Relays
  'relay-source',
  'relay-nested',
  'relay-unreachable',
  'relay-too-large',
  'relay-overflow',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** Counters by reason. Reasons that never happened are not listed. */
export class DropCounts {
  readonly #counts = new Map<DropReason, number>();

  count(reason: DropReason, by = 1): void {
    if (by > 0) this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + by);
  }

  /** A copy. */
  snapshot(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
