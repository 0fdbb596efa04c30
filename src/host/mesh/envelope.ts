// The messages of a link: proto/mesh.proto as protobufjs descriptors (nothing is read or generated at run time; a test parses
// the .proto and fails when the two differ) and a codec with checked fields. Decoding never throws: a message that is
// malformed, too large in a field or of an unknown kind is null, and the link that carried it lives on.

import protobuf from 'protobufjs/light.js';
import { formatIp, ipFromBytes, ipToBytes, parseIp } from '../../base/address.ts';
import { ATTESTATION_BYTES_MAX } from '../../base/attestation.ts';
import { ByteReader, ByteWriter, fromHex, toHex } from '../../base/bytes.ts';
import { type Endpoint, makeEndpoint } from '../../base/endpoint.ts';
import { type BootId, parseVni, type Vni } from '../../base/ids.ts';

/** What gossip, ipam and rumours and the examiner send through a link; each is a field of Envelope. */
export type Channel = 'gossip' | 'lease' | 'life' | 'examine';

export const GOODBYE_REASONS = [
  'stopping',
  'leaving',
  'duplicate',
  'replaced',
  'self',
  'clone',
  'refused',
  'restarting',
  'removed',
  'token',
  'surplus',
] as const;
/**
 * `leaving` is for good, `stopping` until the next start, `restarting` too, but its tunnels go on meanwhile; `removed` says that an
 * operator has removed the receiver from the cluster, `token` that the receiver's is an older one, `surplus` that the sender lives on and has links enough; the others end a
 * link that shall not be.
 */
export type GoodbyeReason = (typeof GOODBYE_REASONS)[number];

/** What one side says of itself when a link begins. */
export interface Hello {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly version: string;
  readonly nickname: string;
  readonly bootId: BootId;
  /** The cluster's signed genesis; empty when the sender is not admitted yet. */
  readonly genesis: Uint8Array;
  readonly endpoints: readonly Endpoint[];
  readonly port: number;
  readonly networks: readonly Vni[];
  /** Of an operator's certificate (src/base/attestation.ts); absent: none. */
  readonly attestation?: Uint8Array;
}

export type Envelope =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'welcome' }
  | Probe
  | { readonly kind: 'goodbye'; readonly reason: GoodbyeReason; readonly detail: string }
  /** A second live host uses the receiver's identity. */
  | { readonly kind: 'clone'; readonly detail: string }
  | ChannelMessage;

interface Probe {
  readonly kind: 'ping' | 'pong';
  /** A uint32. */
  readonly sequence: number;
}

interface ChannelMessage {
  readonly kind: Channel;
  readonly bytes: Uint8Array;
}

const BOOT_ID_BYTES = 8;
const GENESIS_BYTES_MAX = 4_096;
const TEXT_LENGTH_MAX = 256;
const ENDPOINTS_MAX = 16;
const NETWORKS_MAX = 4_096;
const MESSAGES = {
  Envelope: {
    oneofs: {
      kind: { oneof: ['hello', 'welcome', 'ping', 'pong', 'goodbye', 'gossip', 'lease', 'clone', 'life', 'examine'] },
    },
    fields: {
      hello: { type: 'Hello', id: 1 },
      welcome: { type: 'Welcome', id: 2 },
      ping: { type: 'Ping', id: 3 },
      pong: { type: 'Pong', id: 4 },
      goodbye: { type: 'Goodbye', id: 5 },
      gossip: { type: 'bytes', id: 6 },
      lease: { type: 'bytes', id: 7 },
      clone: { type: 'Clone', id: 8 },
      life: { type: 'bytes', id: 9 },
      examine: { type: 'bytes', id: 10 },
    },
  },
  Endpoint: { fields: { ip: { type: 'bytes', id: 1 }, port: { type: 'uint32', id: 2 } } },
  Hello: {
    fields: {
      protocolMin: { type: 'uint32', id: 1 },
      protocolMax: { type: 'uint32', id: 2 },
      version: { type: 'string', id: 3 },
      nickname: { type: 'string', id: 4 },
      bootId: { type: 'bytes', id: 5 },
      genesis: { type: 'bytes', id: 6 },
      endpoints: { rule: 'repeated', type: 'Endpoint', id: 7 },
      port: { type: 'uint32', id: 8 },
      networks: { rule: 'repeated', type: 'uint32', id: 9 },
      attestation: { type: 'bytes', id: 10 },
    },
  },
  Welcome: { fields: {} },
  Ping: { fields: { sequence: { type: 'uint32', id: 1 } } },
  Pong: { fields: { sequence: { type: 'uint32', id: 1 } } },
  Goodbye: { fields: { reason: { type: 'string', id: 1 }, detail: { type: 'string', id: 2 } } },
  Clone: { fields: { detail: { type: 'string', id: 1 } } },
};

export const MESH_SERVICE = 'fabric.mesh.v1.Mesh';
export const MESH_SCHEMA = protobuf.Root.fromJSON({
  nested: { fabric: { nested: { mesh: { nested: { v1: { nested: MESSAGES } } } } } },
}).resolveAll();
const ENVELOPE = MESH_SCHEMA.lookupType('fabric.mesh.v1.Envelope');

/** Protocol Buffers' wire type of bytes. */
const LENGTH_DELIMITED = 2;
const LENGTH_BYTES_MAX = 5;
const CHANNELS: readonly Channel[] = ['gossip', 'lease', 'life', 'examine'];
/** By the first byte of an envelope. */
const CHANNEL_OF_TAG: ReadonlyMap<number, Channel> = new Map(CHANNELS.map((channel) => [tagOf(channel), channel]));
const PING_TAG = tagOf('ping');
const PONG_TAG = tagOf('pong');
/** Of the only field of Ping and Pong, a varint. */
const SEQUENCE_TAG = MESSAGES.Ping.fields.sequence.id << 3;

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  if ('bytes' in envelope) return encodeChannel(envelope);
  return 'sequence' in envelope ? encodeProbe(envelope) : ENVELOPE.encode(fieldsOf(envelope)).finish();
}

/** Byte fields of the result are views of `bytes`, and no Buffers: a `slice` of them is a copy. */
export function decodeEnvelope(bytes: Uint8Array): Envelope | null {
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return decodeChannel(plain) ?? decodeProbe(plain) ?? decodeFields(plain);
}

/** Nearly all messages are these, nothing but bytes: protobufjs would take most of the time that a link takes for one. */
function encodeChannel({ kind, bytes }: ChannelMessage): Uint8Array {
  const { length } = bytes;
  return new ByteWriter(1 + LENGTH_BYTES_MAX + length).u8(tagOf(kind)).varint(length).bytes(bytes).finishMessage();
}

/** On an idle link all messages are these. */
function encodeProbe({ kind, sequence }: Probe): Uint8Array {
  // Protocol Buffers leave out what is zero.
  const body = sequence === 0 ? new Uint8Array(0) : new ByteWriter().u8(SEQUENCE_TAG).varint(sequence).finish();
  return new ByteWriter().u8(tagOf(kind)).u8(body.length).bytes(body).finish();
}

/** Null for all that is not exactly one of these. */
function decodeProbe(bytes: Uint8Array): Probe | null {
  const reader = new ByteReader(bytes);
  const tag = reader.u8();
  const kind = tag === PING_TAG ? 'ping' : tag === PONG_TAG ? 'pong' : null;
  if (kind === null || reader.u8() !== reader.remaining || reader.u8() !== SEQUENCE_TAG) return null;
  const sequence = reader.varint();
  return reader.failed || reader.remaining > 0 || sequence > 0xffff_ffff ? null : { kind, sequence };
}

/** Null for all that is not exactly one of these. */
function decodeChannel(bytes: Uint8Array): ChannelMessage | null {
  const reader = new ByteReader(bytes);
  const kind = CHANNEL_OF_TAG.get(reader.u8());
  if (kind === undefined) return null;
  const length = reader.varint();
  return reader.failed || length !== reader.remaining ? null : { kind, bytes: reader.bytes(length) };
}

function tagOf(kind: Channel | Probe['kind']): number {
  return (MESSAGES.Envelope.fields[kind].id << 3) | LENGTH_DELIMITED;
}

function decodeFields(bytes: Uint8Array): Envelope | null {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = ENVELOPE.toObject(ENVELOPE.decode(bytes), { defaults: true, oneofs: true });
  } catch {
    return null;
  }
  const { kind } = fields;
  switch (kind) {
    case 'hello': {
      const hello = helloFrom(fields.hello as HelloFields);
      return hello === null ? null : { kind, hello };
    }
    case 'welcome':
      return { kind };
    case 'ping':
    case 'pong':
      return { kind, sequence: (fields[kind] as { sequence: number }).sequence };
    case 'goodbye':
      return goodbyeFrom(fields[kind] as { reason: string; detail: string });
    case 'clone':
      return { kind, detail: printable((fields[kind] as { detail: string }).detail) };
    case 'gossip':
    case 'lease':
    case 'life':
    case 'examine':
      return { kind, bytes: fields[kind] as Uint8Array };
    default:
      return null;
  }
}

/** What toObject with `defaults` guarantees: every field is there and has its type. */
interface HelloFields {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly version: string;
  readonly nickname: string;
  readonly bootId: Uint8Array;
  readonly genesis: Uint8Array;
  readonly endpoints: readonly { readonly ip: Uint8Array; readonly port: number }[];
  readonly port: number;
  readonly networks: readonly number[];
  readonly attestation: Uint8Array;
}

function fieldsOf(envelope: Exclude<Envelope, ChannelMessage | Probe>): Record<string, unknown> {
  switch (envelope.kind) {
    case 'hello': {
      const { hello } = envelope;
      const endpoints = hello.endpoints
        .slice(0, ENDPOINTS_MAX)
        .map(({ ip, port }) => ({ ip: ipToBytes(parseIp(ip)!), port }));
      const nickname = hello.nickname.slice(0, TEXT_LENGTH_MAX);
      return { hello: { ...hello, nickname, bootId: fromHex(hello.bootId), endpoints } };
    }
    case 'welcome':
      return { welcome: {} };
    case 'goodbye':
      return { goodbye: { reason: envelope.reason, detail: envelope.detail.slice(0, TEXT_LENGTH_MAX) } };
    case 'clone':
      return { clone: { detail: envelope.detail.slice(0, TEXT_LENGTH_MAX) } };
  }
}

function helloFrom(fields: HelloFields): Hello | null {
  const { protocolMin, protocolMax, version, nickname, bootId, genesis, port, attestation } = fields;
  if (protocolMin < 1 || protocolMax < protocolMin) return null;
  if (version.length > TEXT_LENGTH_MAX || nickname.length > TEXT_LENGTH_MAX) return null;
  if (bootId.length !== BOOT_ID_BYTES || genesis.length > GENESIS_BYTES_MAX) return null;
  if (port < 1 || port > 65_535 || attestation.length > ATTESTATION_BYTES_MAX) return null;
  if (fields.endpoints.length > ENDPOINTS_MAX || fields.networks.length > NETWORKS_MAX) return null;
  const endpoints: Endpoint[] = [];
  for (const one of fields.endpoints) {
    const ip = ipFromBytes(one.ip);
    const endpoint = ip === null ? null : makeEndpoint(formatIp(ip), one.port);
    if (endpoint === null) return null;
    endpoints.push(endpoint);
  }
  const networks: Vni[] = [];
  for (const one of fields.networks) {
    const network = parseVni(one);
    if (network === null) return null;
    networks.push(network);
  }
  return {
    protocolMin,
    protocolMax,
    version: printable(version),
    nickname: printable(nickname),
    bootId: toHex(bootId) as BootId,
    genesis: new Uint8Array(genesis),
    endpoints,
    port,
    networks,
    ...(attestation.length > 0 && { attestation: new Uint8Array(attestation) }),
  };
}

function goodbyeFrom({ reason, detail }: { reason: string; detail: string }): Envelope {
  const known = GOODBYE_REASONS.find((one) => one === reason);
  return { kind: 'goodbye', reason: known ?? 'stopping', detail: printable(detail) };
}

/** Foreign text goes into logs: one line, no control characters, bounded. */
function printable(text: string): string {
  return text.slice(0, TEXT_LENGTH_MAX).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}
