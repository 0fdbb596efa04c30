// CNI errors: the codes of the specification (1 to 99), ours from 100 (docs/cni.md lists them), and their JSON. Every
// failure of an operation becomes one of these; nothing else is ever printed on stdout by a failing plugin.

import { type ErrorCode, type Explanation, FabricError } from '../base/errors.ts';
import { CNI_VERSION_NEWEST, type CniVersion } from './version.ts';

/** Stable: a code is never given a second meaning. */
export const CNI_CODE = {
  // From the specification.
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  environment: 4,
  io: 5,
  decode: 6,
  config: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limited: 51,
  // Ours.
  internal: 100,
  attachmentExists: 101,
  interfaceExists: 102,
  addressExhausted: 103,
  addressInUse: 104,
  addressForeign: 105,
  kernel: 106,
  kernelFeatureMissing: 107,
  limit: 108,
  notImplemented: 109,
  state: 110,
  notRoot: 111,
  checkFailed: 112,
  gcIncomplete: 113,
  ipamPlugin: 114,
} as const;

export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = '') {
    super(message);
    this.name = 'CniError';
    this.code = code;
    this.details = details;
  }
}

const CODE_OF: Readonly<Record<ErrorCode, number>> = {
  usage: CNI_CODE.config,
  'not-implemented': CNI_CODE.notImplemented,
  'not-root': CNI_CODE.notRoot,
  'daemon-unreachable': CNI_CODE.tryAgainLater,
  'daemon-running': CNI_CODE.state,
  'port-in-use': CNI_CODE.kernel,
  'kernel-feature-missing': CNI_CODE.kernelFeatureMissing,
  netlink: CNI_CODE.kernel,
  nftables: CNI_CODE.kernel,
  'range-overlap': CNI_CODE.state,
  'token-missing': CNI_CODE.state,
  'token-malformed': CNI_CODE.state,
  'token-refused': CNI_CODE.state,
  'token-outdated': CNI_CODE.state,
  'certificate-invalid': CNI_CODE.state,
  'certificate-refused': CNI_CODE.state,
  'certificate-in-use': CNI_CODE.state,
  'cluster-mismatch': CNI_CODE.state,
  'version-mismatch': CNI_CODE.state,
  'identity-clone': CNI_CODE.state,
  'peer-unreachable': CNI_CODE.tryAgainLater,
  'peer-unknown': CNI_CODE.state,
  'peer-alive': CNI_CODE.state,
  'peer-removed': CNI_CODE.state,
  'state-contradiction': CNI_CODE.state,
  'state-damaged': CNI_CODE.state,
  'state-locked': CNI_CODE.state,
  syncing: CNI_CODE.tryAgainLater,
  'lease-expired': CNI_CODE.tryAgainLater,
  'address-exhausted': CNI_CODE.addressExhausted,
  'address-in-use': CNI_CODE.addressInUse,
  'address-foreign': CNI_CODE.addressForeign,
  'address-held': CNI_CODE.tryAgainLater,
  'address-invalid': CNI_CODE.config,
  'attachment-exists': CNI_CODE.attachmentExists,
  'attachment-unknown': CNI_CODE.unknownContainer,
  'name-unknown': CNI_CODE.state,
  'network-unknown': CNI_CODE.config,
  'network-exists': CNI_CODE.state,
  'network-in-use': CNI_CODE.state,
  'namespace-invalid': CNI_CODE.environment,
  'interface-exists': CNI_CODE.interfaceExists,
  limit: CNI_CODE.limit,
  timeout: CNI_CODE.tryAgainLater,
  internal: CNI_CODE.internal,
};

export function cniCodeOf(code: ErrorCode): number {
  return CODE_OF[code];
}

/** Total: whatever was thrown has a CNI error. What is no error of ours is a bug and says so, with its message kept. */
export function asCniError(thrown: unknown): CniError {
  if (thrown instanceof CniError) return thrown;
  if (thrown instanceof FabricError)
    return new CniError(cniCodeOf(thrown.code), thrown.explanation.what, reason(thrown.explanation));
  return new CniError(
    CNI_CODE.internal,
    'internal error of the fabric daemon',
    thrown instanceof Error ? thrown.message : String(thrown),
  );
}

/** The error object of the specification on one line. `version` is the configuration's where it is known. */
export function formatCniError(error: CniError, version: CniVersion | null): string {
  const { code, message: msg, details } = error;
  const cniVersion = version ?? CNI_VERSION_NEWEST;
  return `${JSON.stringify(details === '' ? { cniVersion, code, msg } : { cniVersion, code, msg, details })}\n`;
}

function reason({ why, fix }: Explanation): string {
  return [why, fix].filter((part) => part !== undefined).join('. ');
}
