// Walks a DNS message without changing it: header, the one question, where each record lies. Queries and the answers of other
// servers are read so and not decoded into text, because text loses names: a label may hold a dot or any byte, and whoever
// turns it into text and back may take one name for another. Never throws; null is "malformed". RFC 1035 §4, RFC 6891 §6.1.

export const TYPE = { A: 1, NS: 2, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS_IN = 1;
export const RCODE = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5, badVers: 16 } as const;
/** Bits of the header's second word. */
export const FLAG = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
} as const;
export const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;
const POINTER = 0xc0;

export type Section = 'answer' | 'authority' | 'additional';

export interface RecordPlace {
  readonly section: Section;
  readonly type: number;
  /** The two octets before the TTL; of an OPT record the sender's UDP payload size. */
  readonly class: number;
  /** Seconds, or of an OPT record its version and flags. */
  readonly ttl: number;
  readonly ttlOffset: number;
  readonly dataOffset: number;
  readonly dataBytes: number;
}

export interface WalkedMessage {
  readonly id: number;
  readonly flags: number;
  readonly opcode: number;
  /** The four bits of the header. */
  readonly rcode: number;
  /** Lower case, dotted, `.` for the root; what dotted text can't hold within a label is `\DDD` (RFC 1035 §5.1). */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** The question as it stands in the message: a view, not a copy. */
  readonly question: Uint8Array;
  readonly records: readonly RecordPlace[];
}

/** Null unless it is one whole message with exactly one question; octets behind it are malformed, too. */
export function walkMessage(bytes: Uint8Array): WalkedMessage | null {
  if (bytes.length < HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(4) !== 1) return null;
  const flags = view.getUint16(2);
  const nameEnd = endOfPlainName(bytes, HEADER_BYTES);
  if (nameEnd === null || nameEnd + 4 > bytes.length) return null;
  const records: RecordPlace[] = [];
  let offset: number | null = nameEnd + 4;
  for (const [index, section] of (['answer', 'authority', 'additional'] as const).entries()) {
    for (let left = view.getUint16(6 + 2 * index); left > 0; left--) {
      const fixed: number | null = endOfName(bytes, offset);
      if (fixed === null || fixed + 10 > bytes.length) return null;
      const dataBytes = view.getUint16(fixed + 8);
      const dataOffset: number = fixed + 10;
      if (dataOffset + dataBytes > bytes.length) return null;
      const type = view.getUint16(fixed);
      const ttl = view.getUint32(fixed + 4);
      records.push({
        section,
        type,
        class: view.getUint16(fixed + 2),
        ttl,
        ttlOffset: fixed + 4,
        dataOffset,
        dataBytes,
      });
      offset = dataOffset + dataBytes;
    }
  }
  if (offset !== bytes.length) return null;
  return {
    id: view.getUint16(0),
    flags,
    opcode: (flags >> 11) & 15,
    rcode: flags & 15,
    name: textOfName(bytes, HEADER_BYTES),
    type: view.getUint16(nameEnd),
    class: view.getUint16(nameEnd + 2),
    question: bytes.subarray(HEADER_BYTES, nameEnd + 4),
    records,
  };
}

/** Equal for questions that differ in case only (RFC 4343), as a string that can be the key of a map. */
export function questionKey(question: Uint8Array): string {
  let key = '';
  for (let i = 0; i < question.length; i++) {
    const byte = question[i]!;
    const isUpper = byte >= 0x41 && byte <= 0x5a && i < question.length - 4; // lengths of labels are below 'A'
    key += String.fromCharCode(isUpper ? byte + 0x20 : byte);
  }
  return key;
}

/** Behind a name without compression: in a question there is nothing to point to. */
function endOfPlainName(bytes: Uint8Array, start: number): number | null {
  let offset = start;
  for (let length = bytes[offset]; length !== undefined; length = bytes[offset]) {
    if (length > LABEL_BYTES_MAX || offset - start + length + 1 > NAME_BYTES_MAX) return null;
    offset += length + 1;
    if (length === 0) return offset;
  }
  return null;
}

/** Behind a name that may end in a pointer, which is not followed. */
function endOfName(bytes: Uint8Array, start: number): number | null {
  let offset = start;
  for (let length = bytes[offset]; length !== undefined; length = bytes[offset]) {
    if ((length & POINTER) === POINTER) return offset + 2;
    if (length > LABEL_BYTES_MAX || offset - start + length + 1 > NAME_BYTES_MAX) return null;
    offset += length + 1;
    if (length === 0) return offset;
  }
  return null;
}

/** Of a name that {@link endOfPlainName} has measured. Different names have different texts. */
function textOfName(bytes: Uint8Array, start: number): string {
  const labels: string[] = [];
  for (let offset = start; bytes[offset] !== 0; offset += bytes[offset]! + 1) {
    const label = String.fromCharCode(...bytes.subarray(offset + 1, offset + 1 + bytes[offset]!));
    labels.push(label.replace(/[^!-~]|[.\\]/g, escaped).toLowerCase());
  }
  return labels.length === 0 ? '.' : labels.join('.');
}

function escaped(char: string): string {
  return `\\${String(char.charCodeAt(0)).padStart(3, '0')}`;
}
