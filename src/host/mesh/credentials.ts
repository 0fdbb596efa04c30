// What a host shows and demands in the mesh's TLS handshakes, made of its keys and the tokens that it holds. OpenSSL's own verdict
// on certificates is not used (rejectUnauthorized is off on both sides): it would look at the clock and hide its
// reasons; verifyCertificate decides instead, and both sides can say what is wrong. A caller names the token that it shows
// (SNI, RFC 6066 §3), so that a host that missed a rotation is answered by the certificate that it can judge.

import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Crypto } from '../../base/capabilities.ts';
import type { ClusterId, PeerId, TokenId } from '../../base/ids.ts';
import type { Generation } from '../../base/keyring.ts';
import type { HostKeys } from '../identity-file.ts';
import {
  type CertificateAuthority,
  certificatePem,
  makeCaCertificate,
  makeHostCertificate,
  privateKeyPem,
} from './certificate.ts';

/** Of one token. */
export interface MeshCredential {
  readonly id: TokenId;
  /** By which a caller names it; resolves nowhere. */
  readonly serverName: string;
  /** TLS 1.3 only, own certificate and key, no session tickets; as options for servers, ready-made for clients. */
  readonly tls: SecureContextOptions;
  readonly secureContext: SecureContext;
}

export interface MeshCredentials {
  readonly peer: PeerId;
  readonly clusterId: ClusterId;
  /** Tokens whose certificates hold, newest first. */
  readonly authorities: readonly CertificateAuthority[];
  readonly crypto: Crypto;
  /** In the same order; not empty. */
  readonly own: readonly MeshCredential[];
}

/** `generations`: newest first, not empty. */
export function makeMeshCredentials(
  { keys, generations }: { readonly keys: HostKeys; readonly generations: readonly Generation[] },
  crypto: Crypto,
): MeshCredentials {
  return {
    peer: keys.peer,
    clusterId: generations[0]!.token.clusterId,
    authorities: generations,
    crypto,
    own: generations.map((generation) => credentialOf(generation, keys, crypto)),
  };
}

function credentialOf({ id, token, caSeed }: Generation, keys: HostKeys, crypto: Crypto): MeshCredential {
  const tls: SecureContextOptions = {
    minVersion: 'TLSv1.3',
    // Naming our CA keeps Node from loading the public web's.
    ca: certificatePem(makeCaCertificate(token, caSeed, crypto)),
    cert: certificatePem(makeHostCertificate(token, { caSeed, identityKey: keys.identityKey }, crypto)),
    key: privateKeyPem(keys.identitySeed, keys.identityKey),
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
  return { id, serverName: `${id}.fabric.internal`, tls, secureContext: createSecureContext(tls) };
}
