// The datagram by which two hosts agree to use plain VXLAN and watch the path (docs/vxlan.md): an Ethernet frame on the probe
// VNI, signed with a key that only the two can derive. Invariant: what {@link openProbe} accepts was made by that peer for this
// host; reading anything else gives a reason, never an exception.
//
//   0    destination MAC 6, source MAC 6, EtherType 0x88b5 (IEEE local experimental)
//   14   version 1 | kind 1 | zero 2
//   18   sender's peer id 16
//   34   receiver's peer id 16
//   50   nonce 16: an ask's is fresh, answer and withdrawal repeat the ask's
//   66   HMAC-SHA256 over bytes 14 to 65
//   98   zeros up to the length of the largest frame, so that a path too small for those is no path

import { fromHex, toHex } from '../../base/bytes.ts';
import type { Crypto } from '../../base/capabilities.ts';
import { type Mac, macFromBytes, macToBytes, PEER_ID_BYTES, type PeerId } from '../../base/ids.ts';

const ETHER_TYPE = 0x88b5;
const VERSION = 1;
const KINDS = { ask: 1, answer: 2, withdraw: 3 } as const;

const BODY = 14;
const FROM = BODY + 4;
const TO = FROM + PEER_ID_BYTES;
const NONCE = TO + PEER_ID_BYTES;
export const NONCE_BYTES = 16;
const TAG = NONCE + NONCE_BYTES;
const TAG_BYTES = 32;
export const PROBE_BYTES_MIN = TAG + TAG_BYTES;

export type ProbeKind = keyof typeof KINDS;

export interface Probe {
  readonly kind: ProbeKind;
  readonly from: PeerId;
  readonly to: PeerId;
  /** As hex: a key of maps. */
  readonly nonce: string;
}

/** Why a frame is no probe for us. */
export const UNREADABLE = ['probe-malformed', 'probe-version', 'probe-stranger', 'probe-forged'] as const;
export type Unreadable = (typeof UNREADABLE)[number];

/** The key that two hosts share without saying a word: Diffie-Hellman of their static keys, and the token's PSK. */
export function probeKey(
  crypto: Crypto,
  { staticPrivate, peerStatic, psk }: { staticPrivate: Uint8Array; peerStatic: Uint8Array; psk: Uint8Array },
): Uint8Array | null {
  const shared = crypto.x25519Key(staticPrivate).agree(peerStatic);
  if (shared === null) return null;
  const secret = new Uint8Array(shared.length + psk.length);
  secret.set(shared);
  secret.set(psk, shared.length);
  const key = crypto.hkdfSha256(secret, 'fabric vxlan probe 1', TAG_BYTES);
  shared.fill(0);
  secret.fill(0);
  return key;
}

/** The MAC of a host's probe device follows from its id, so that nobody has to say it: locally administered, unicast. */
export function probeMacOf(peer: PeerId): Mac {
  const bytes = fromHex(peer)!.slice(0, 6);
  bytes[0] = 0x0a;
  return macFromBytes(bytes);
}

/** A frame of `frameBytes`, at least {@link PROBE_BYTES_MIN}. */
export function sealProbe(crypto: Crypto, key: Uint8Array, probe: Probe, frameBytes: number): Uint8Array {
  const frame = new Uint8Array(Math.max(frameBytes, PROBE_BYTES_MIN));
  frame.set(macToBytes(probeMacOf(probe.to)));
  frame.set(macToBytes(probeMacOf(probe.from)), 6);
  frame[12] = ETHER_TYPE >>> 8;
  frame[13] = ETHER_TYPE & 0xff;
  frame[BODY] = VERSION;
  frame[BODY + 1] = KINDS[probe.kind];
  frame.set(fromHex(probe.from)!, FROM);
  frame.set(fromHex(probe.to)!, TO);
  frame.set(fromHex(probe.nonce)!, NONCE);
  frame.set(crypto.hmacSha256(key, frame.subarray(BODY, TAG)), TAG);
  return frame;
}

/** `keyOf` gives the key shared with that host, null when there is none. */
export function openProbe(
  crypto: Crypto,
  frame: Uint8Array,
  { self, keyOf }: { self: PeerId; keyOf: (peer: PeerId) => Uint8Array | null },
): Probe | Unreadable {
  if (frame.length < PROBE_BYTES_MIN || ((frame[12]! << 8) | frame[13]!) !== ETHER_TYPE) return 'probe-malformed';
  if (frame[BODY] !== VERSION) return 'probe-version';
  const kind = (Object.keys(KINDS) as ProbeKind[]).find((name) => KINDS[name] === frame[BODY + 1]);
  if (kind === undefined || frame[BODY + 2] !== 0 || frame[BODY + 3] !== 0) return 'probe-malformed';
  const from = toHex(frame.subarray(FROM, TO)) as PeerId;
  const to = toHex(frame.subarray(TO, NONCE)) as PeerId;
  const key = to === self ? keyOf(from) : null;
  if (key === null) return 'probe-stranger';
  const tag = crypto.hmacSha256(key, frame.subarray(BODY, TAG));
  if (!crypto.equal(tag, frame.subarray(TAG, PROBE_BYTES_MIN))) return 'probe-forged';
  return { kind, from, to, nonce: toHex(frame.subarray(NONCE, TAG)) };
}
