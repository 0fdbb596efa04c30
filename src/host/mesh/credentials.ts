// What a host shows and demands in the mesh's TLS handshakes, made of its keys and the cluster's token. OpenSSL's own verdict
// on certificates is not used (rejectUnauthorized is off on both sides): it would look at the clock and hide its
// reasons; verifyCertificate decides instead, and both sides can say what is wrong.

import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Crypto } from '../../base/capabilities.ts';
import type { ClusterId, PeerId } from '../../base/ids.ts';
import type { ClusterAuthority } from '../../base/membership.ts';
import { deriveClusterKeys, type Token } from '../../base/token.ts';
import type { HostKeys } from '../identity-file.ts';
import { certificatePem, makeCaCertificate, makeHostCertificate, privateKeyPem } from './certificate.ts';

export interface MeshCredentials {
  readonly peer: PeerId;
  readonly clusterId: ClusterId;
  /** Generations whose certificates are accepted. */
  readonly authorities: readonly ClusterAuthority[];
  readonly crypto: Crypto;
  /** TLS 1.3 only, own certificate and key, no session tickets; as options for servers, ready-made for clients. */
  readonly tls: SecureContextOptions;
  readonly secureContext: SecureContext;
}

/** `older` is the token that a rotation replaced, as long as its grace lasts. */
export function makeMeshCredentials(
  { keys, token, older = null }: { readonly keys: HostKeys; readonly token: Token; readonly older?: Token | null },
  crypto: Crypto,
): MeshCredentials {
  const { clusterId } = token;
  const { caSeed } = deriveClusterKeys(token, crypto);
  const authorities = [token, ...(older === null ? [] : [older])].map((one) => ({
    generation: one.generation,
    caKey: crypto.ed25519Public(deriveClusterKeys(one, crypto).caSeed),
  }));
  const tls: SecureContextOptions = {
    minVersion: 'TLSv1.3',
    // Naming our CA keeps Node from loading the public web's.
    ca: certificatePem(makeCaCertificate(token, caSeed, crypto)),
    cert: certificatePem(makeHostCertificate(token, { caSeed, identityKey: keys.identityKey }, crypto)),
    key: privateKeyPem(keys.identitySeed, keys.identityKey),
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
  return { peer: keys.peer, clusterId, authorities, crypto, tls, secureContext: createSecureContext(tls) };
}
