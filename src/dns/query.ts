// What somebody asks: a query read from the wire, or why it is none that can be served. RFC 1035 §4.1, RFC 6891.

import { CLASS_IN, FLAG, RCODE, TYPE, type WalkedMessage, walkMessage } from './wire.ts';

/** Without EDNS a UDP answer has at most so many octets (RFC 1035 §2.3.4). */
const UDP_BYTES_PLAIN = 512;
/** No datagram of ours is larger: it passes everywhere without fragments (DNS flag day 2020). */
export const UDP_BYTES_MAX = 1232;
export const TCP_BYTES_MAX = 65_535;
const DNSSEC_OK = 0x8000;

export interface Query {
  readonly id: number;
  /** Flags that an answer repeats: recursion desired, checking disabled. */
  readonly repeatedFlags: number;
  /** As in {@link WalkedMessage}. */
  readonly name: string;
  readonly type: number;
  /** The question as asked, a copy. */
  readonly question: Uint8Array;
  /** Null: the asker does not speak EDNS. */
  readonly edns: { readonly dnssecOk: boolean } | null;
  /** Octets that an answer by this transport may have. */
  readonly answerBytesMax: number;
}

export type ReadQuery =
  | { readonly kind: 'query'; readonly query: Query }
  /** To be answered with this code. */
  | { readonly kind: 'error'; readonly query: Query; readonly rcode: number }
  /** To be answered with FORMERR, which needs no more than the id. */
  | { readonly kind: 'malformed'; readonly id: number }
  /** An answer, or no message at all: nothing is sent, so that two servers can't keep each other busy. */
  | { readonly kind: 'ignored' };

export function readQuery(bytes: Uint8Array, transport: 'udp' | 'tcp'): ReadQuery {
  if (bytes.length < 4 || (bytes[2]! & (FLAG.response >> 8)) !== 0) return { kind: 'ignored' };
  const message = walkMessage(bytes);
  if (message === null) return { kind: 'malformed', id: (bytes[0]! << 8) | bytes[1]! };
  const options = message.records.filter(({ section, type }) => section === 'additional' && type === TYPE.OPT);
  const [option] = options;
  const query: Query = {
    id: message.id,
    repeatedFlags: message.flags & (FLAG.recursionDesired | FLAG.checkingDisabled),
    name: message.name,
    type: message.type,
    question: new Uint8Array(message.question),
    edns: option === undefined ? null : { dnssecOk: (option.ttl & DNSSEC_OK) !== 0 },
    answerBytesMax: transport === 'tcp' ? TCP_BYTES_MAX : udpBytes(option?.class),
  };
  const error = errorOf(message, options.length, option?.ttl ?? 0);
  return error === null ? { kind: 'query', query } : { kind: 'error', query, rcode: error };
}

function errorOf({ opcode, type, class: asked }: WalkedMessage, options: number, optionTtl: number): number | null {
  if (opcode !== 0) return RCODE.notImp;
  if (options > 1) return RCODE.formErr;
  if (((optionTtl >>> 16) & 0xff) !== 0) return RCODE.badVers;
  if (type === TYPE.AXFR || type === TYPE.IXFR || asked !== CLASS_IN) return RCODE.refused;
  return type === TYPE.OPT ? RCODE.formErr : null;
}

function udpBytes(offered: number | undefined): number {
  return offered === undefined ? UDP_BYTES_PLAIN : Math.min(Math.max(offered, UDP_BYTES_PLAIN), UDP_BYTES_MAX);
}
