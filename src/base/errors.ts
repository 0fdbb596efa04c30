// Expected failures. A FabricError carries a stable documented code for programs and three sentences for people:
// what happened, why, and what to do. Bugs are not FabricErrors: they throw assertions.

/** Stable, documented in docs/errors.md; codes are only ever added. */
export type ErrorCode =
  | 'usage'
  | 'not-implemented'
  | 'not-root'
  | 'daemon-unreachable'
  | 'daemon-running'
  | 'port-in-use'
  | 'kernel-feature-missing'
  | 'netlink'
  | 'nftables'
  | 'range-overlap'
  | 'token-missing'
  | 'token-malformed'
  | 'token-refused'
  | 'token-outdated'
  | 'certificate-invalid'
  | 'certificate-refused'
  | 'certificate-in-use'
  | 'cluster-mismatch'
  | 'version-mismatch'
  | 'identity-clone'
  | 'peer-unreachable'
  | 'peer-unknown'
  | 'peer-alive'
  | 'peer-removed'
  | 'state-contradiction'
  | 'state-damaged'
  | 'state-locked'
  | 'syncing'
  | 'lease-expired'
  | 'address-exhausted'
  | 'address-in-use'
  | 'address-foreign'
  | 'address-held'
  | 'address-invalid'
  | 'attachment-exists'
  | 'attachment-unknown'
  | 'name-unknown'
  | 'network-unknown'
  | 'network-exists'
  | 'network-in-use'
  | 'namespace-invalid'
  | 'interface-exists'
  | 'limit'
  | 'timeout'
  | 'internal';

export interface Explanation {
  /** What happened, one sentence without a full stop, naming the object. */
  readonly what: string;
  /** Why it happened, as far as known. */
  readonly why?: string;
  /** What the operator can do; a command where there is one. */
  readonly fix?: string;
}

export class FabricError extends Error {
  readonly code: ErrorCode;
  readonly explanation: Explanation;

  constructor(code: ErrorCode, explanation: Explanation, options?: { cause?: unknown }) {
    super(explain(explanation), options);
    this.name = 'FabricError';
    this.code = code;
    this.explanation = explanation;
  }
}

/** `what: why. Fix` on one line. */
export function explain({ what, why, fix }: Explanation): string {
  const reason = why === undefined ? what : `${what}: ${why}`;
  return fix === undefined ? reason : `${reason}. ${fix}`;
}

/** Throws when an invariant of ours is broken: a bug, never bad input. Stays on in production. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${invariant}`);
}
