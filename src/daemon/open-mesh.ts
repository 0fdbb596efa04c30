// Makes this host's end of the mesh, not started: TLS by the tokens, who this host says it is, and whom its links tell. What comes
// before this host is a member goes nowhere.

import type { Clock, Crypto, Log, Random, Timers } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { type BootId, DEFAULT_VNI } from '../base/ids.ts';
import type { Keyring } from '../base/keyring.ts';
import type { OperatorCertificates } from '../host/certificates/operator-certificates.ts';
import type { HostKeys } from '../host/identity-file.ts';
import type { CertifiedPeer } from '../host/mesh/certificate.ts';
import { makeMeshCredentials } from '../host/mesh/credentials.ts';
import { Mesh } from '../host/mesh/mesh.ts';
import type { RefusalReport } from '../host/mesh/mesh-ports.ts';
import type { Refusal } from '../host/mesh/refusal.ts';
import { TlsTransport } from '../host/mesh/tls-transport.ts';
import { type CertificateJudge, faultRefusal } from './certificates.ts';
import { readGenesis } from './genesis.ts';
import type { Member } from './member.ts';
import { judgeOf } from './open-certificates.ts';
import { PROTOCOL, VERSION } from './version.ts';

export interface MeshCapabilities {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly log: Log;
}

export interface MeshWiring {
  readonly keys: HostKeys;
  readonly keyring: Keyring;
  readonly files: OperatorCertificates;
  /** Empty for a host that wants to join. */
  readonly genesis: Uint8Array;
  readonly bootId: BootId;
  readonly listen: { readonly host: string; readonly port: number };
  readonly nickname: string;
  readonly endpoints: readonly Endpoint[];
  /** Null until this host is admitted. */
  member(): Member | null;
  refused(report: RefusalReport): void;
  /** Two live hosts use one identity. */
  clone(report: RefusalReport): void;
  /** A member let us in. */
  admitted(genesis: Uint8Array): void;
}

/** `renew`: the keyring holds other tokens than before, or the operator's certificates are others; links go on. */
export function openMesh(
  { clock, timers, random, crypto, log }: MeshCapabilities,
  wiring: MeshWiring,
): { readonly mesh: Mesh; readonly judge: CertificateJudge; renew(): void } {
  const { keys, keyring, files, genesis, bootId, listen, nickname, endpoints, member } = wiring;
  const { clusterId } = keyring;
  const credentials = () => makeMeshCredentials({ keys, generations: keyring.generations }, crypto);
  const judge = judgeOf(files, { clusterId, identityKey: keys.identityKey });
  const shown = () => {
    const attestation = judge.own();
    return attestation === null ? {} : { attestation };
  };
  const transport = new TlsTransport({ credentials: credentials(), listen, clock });
  const mesh = new Mesh({
    self: keys.peer,
    clusterId,
    transport,
    facts: { ...PROTOCOL, version: VERSION, nickname, bootId, genesis, endpoints, networks: [DEFAULT_VNI], ...shown() },
    readGenesis: (bytes) => readGenesis(bytes, clusterId, crypto),
    bar: (proved, { attestation = null }) => {
      const own = member();
      return own === null ? strangerRefusal(proved, attestation, judge) : own.admission.refusalOf(proved, attestation);
    },
    clock,
    timers,
    random,
    log,
    isAlive: (peer) => member()?.isAlive(peer) ?? true,
    events: {
      linkUp: (link) => member()?.linkUp(link.peer),
      linkDown: (link, reason) => member()?.linkDown(link.peer, reason),
      heard: (peer) => member()?.neighbourhood.heard(peer),
      unreached: (peer) => member()?.neighbourhood.unreached(peer),
      message: (link, channel, bytes) => member()?.message(link.peer, channel, bytes),
      writable: (link) => member()?.writable(link.peer),
      refused: (report) => {
        if (report.code === 'token-outdated') member()?.admission.rotations.toldOutdated();
        wiring.refused(report);
      },
      removed: (report) => member()?.admission.removals.toldByPeer(report),
      clone: (report) => wiring.clone(report),
      admitted: (bytes) => wiring.admitted(bytes),
    },
  });
  const renew = (): void => {
    transport.updateCredentials(credentials());
    mesh.updateFacts(shown());
  };
  return { mesh, judge, renew };
}

/** Of a joiner, which knows nobody's certificates yet. */
function strangerRefusal(
  { peer, identityKey }: CertifiedPeer,
  attestation: Uint8Array | null,
  { demanded, judge }: CertificateJudge,
): Refusal | null {
  if (!demanded) return null;
  const judgement = judge(attestation, identityKey);
  return judgement.holds ? null : faultRefusal(peer, judgement);
}
